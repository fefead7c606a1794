// SPDX-License-Identifier: GPL-2.0
// Reports each TCP connection of a cgroup, with its round-trip time.
#include <vmlinux.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10

/* The return value that changes nothing. */
#define GO_ON 1

/// @cmdarg {"long": "least-us", "short": "l"}
/// @description Only connections with at least this round-trip time, in microseconds
const volatile u32 least_us = 0;

enum side {
	/* This machine opened the connection. */
	CLIENT,
	SERVER,
};

struct established {
	enum side side;
	u16 family;
	/* IPv4 addresses are in the first four bytes. */
	u8 saddr[16];
	u16 sport;
	u8 daddr[16];
	u16 dport;
	/* Of the handshake; 0 if it was not measured. */
	u32 rtt_us;
	u32 mss;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} connections SEC(".maps");

SEC("sockops")
int established(struct bpf_sock_ops *ctx)
{
	struct established *record;
	u32 *saddr, *daddr;
	u32 rtt_us;

	if (ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB &&
	    ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return GO_ON;
	/* The kernel stores eighths of a microsecond. */
	rtt_us = ctx->srtt_us >> 3;
	if (rtt_us < least_us)
		return GO_ON;
	record = bpf_ringbuf_reserve(&connections, sizeof(*record), 0);
	if (!record)
		return GO_ON;
	record->side = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ? SERVER : CLIENT;
	record->family = ctx->family;
	/* One is in host byte order, the other in network byte order, in 32 bits. */
	record->sport = ctx->local_port;
	record->dport = bpf_ntohl(ctx->remote_port);
	record->rtt_us = rtt_us;
	record->mss = ctx->mss_cache;
	saddr = (u32 *)record->saddr;
	daddr = (u32 *)record->daddr;
	if (record->family == AF_INET6) {
		saddr[0] = ctx->local_ip6[0];
		saddr[1] = ctx->local_ip6[1];
		saddr[2] = ctx->local_ip6[2];
		saddr[3] = ctx->local_ip6[3];
		daddr[0] = ctx->remote_ip6[0];
		daddr[1] = ctx->remote_ip6[1];
		daddr[2] = ctx->remote_ip6[2];
		daddr[3] = ctx->remote_ip6[3];
	} else {
		saddr[0] = ctx->local_ip4;
		daddr[0] = ctx->remote_ip4;
		saddr[1] = saddr[2] = saddr[3] = 0;
		daddr[1] = daddr[2] = daddr[3] = 0;
	}
	bpf_ringbuf_submit(record, 0);
	return GO_ON;
}

/// @brief TCP connections of a cgroup, and their round-trip times
char LICENSE[] SEC("license") = "GPL";
