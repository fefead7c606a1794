// SPDX-License-Identifier: GPL-2.0
// Reports each TCP connection that a process of this machine opens.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET6 10

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only processes of this user; -1: all
const volatile s64 target_uid = -1;

/// @cmdarg {"long": "dport", "short": "d"}
/// @description Only connections to this port; 0: all
const volatile u16 target_dport = 0;

struct connecting {
	u32 pid;
	u32 uid;
	u16 family;
	/* IPv4 addresses are in the first four bytes. */
	u8 saddr[16];
	u8 daddr[16];
	/* In network byte order, as its type tells user space. */
	__be16 dport;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

/*
 * All outgoing connections pass through this state, and only they. connect(2) or sendto(2) itself
 * changes the state, so the current process is the caller.
 */
SEC("raw_tp/inet_sock_set_state")
int inet_sock_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u32 uid = bpf_get_current_uid_gid();
	__be16 dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	struct connecting *record;

	if (ctx->args[2] != TCP_SYN_SENT)
		return 0;
	/* A bit field before Linux 5.6. MPTCP comes here, too, in addition to the TCP below it. */
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (target_pid && target_pid != pid)
		return 0;
	if (target_uid != -1 && target_uid != uid)
		return 0;
	if (target_dport && bpf_htons(target_dport) != dport)
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	record->pid = pid;
	record->uid = uid;
	record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	record->dport = dport;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	if (record->family == AF_INET6) {
		BPF_CORE_READ_INTO(&record->saddr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&record->daddr, sk, __sk_common.skc_v6_daddr);
	} else {
		__builtin_memset(record->saddr, 0, sizeof(record->saddr));
		__builtin_memset(record->daddr, 0, sizeof(record->daddr));
		BPF_CORE_READ_INTO((__be32 *)record->saddr, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__be32 *)record->daddr, sk, __sk_common.skc_daddr);
	}
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/// @brief TCP connections that processes of this machine open
char LICENSE[] SEC("license") = "GPL";
