// SPDX-License-Identifier: GPL-2.0
// Reports each connect(2) of the processes in a cgroup.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10

/* The return value that allows the call. */
#define ALLOW 1

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "tcp", "short": "t"}
/// @description Only TCP
const volatile bool only_tcp = false;

struct connecting {
	u32 pid;
	u32 uid;
	char comm[16];
	u16 family;
	u16 protocol;
	/* An IPv4 address is in the first four bytes. */
	u8 daddr[16];
	__be16 dport;
};

/// @meanings {"protocol": "protocol"}
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} connects SEC(".maps");

/* A record without the address; null if the options exclude the call or the buffer is full. */
static struct connecting *begin(struct bpf_sock_addr *ctx, u16 family)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct connecting *record;

	if ((target_pid && target_pid != pid) || (only_tcp && ctx->protocol != IPPROTO_TCP))
		return NULL;
	record = bpf_ringbuf_reserve(&connects, sizeof(*record), 0);
	if (!record)
		return NULL;
	record->pid = pid;
	record->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	record->family = family;
	record->protocol = ctx->protocol;
	record->dport = ctx->user_port;
	return record;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct connecting *record = begin(ctx, AF_INET);
	u32 *daddr;

	if (!record)
		return ALLOW;
	daddr = (u32 *)record->daddr;
	daddr[0] = ctx->user_ip4;
	daddr[1] = daddr[2] = daddr[3] = 0;
	bpf_ringbuf_submit(record, 0);
	return ALLOW;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct connecting *record = begin(ctx, AF_INET6);
	u32 *daddr;

	if (!record)
		return ALLOW;
	daddr = (u32 *)record->daddr;
	daddr[0] = ctx->user_ip6[0];
	daddr[1] = ctx->user_ip6[1];
	daddr[2] = ctx->user_ip6[2];
	daddr[3] = ctx->user_ip6[3];
	bpf_ringbuf_submit(record, 0);
	return ALLOW;
}

/// @brief Calls of connect(2) in a cgroup, with their addresses
char LICENSE[] SEC("license") = "GPL";
