// SPDX-License-Identifier: GPL-2.0
// Counts packets at a hook of the firewall, by protocol.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <maps.bpf.h>

/* A macro in the kernel, so vmlinux.h does not have it. */
#define NF_ACCEPT 1

struct kind {
	enum nf_inet_hooks hook;
	u16 family;
	u16 protocol;
};

struct traffic {
	u64 packets;
	u64 bytes;
};

/* Room for all protocols of both families at all five hooks. */
/// @view {"kind": "table", "sort": "bytes"}
/// @meanings {"protocol": "protocol"}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct kind);
	__type(value, struct traffic);
	__uint(max_entries, 5 * 2 * 256);
} traffic SEC(".maps");

/* 0 if there is no header. */
static u8 protocol_of(struct sk_buff *skb, u8 family)
{
	struct bpf_dynptr packet;
	/* The kernel copies a header here if it is not contiguous. */
	struct ipv6hdr copy;

	/* At these hooks, a packet begins with its IP header. */
	if (bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &packet))
		return 0;
	if (family == NFPROTO_IPV4) {
		struct iphdr *ipv4 = bpf_dynptr_slice(&packet, 0, &copy, sizeof(*ipv4));

		return ipv4 ? ipv4->protocol : 0;
	}
	struct ipv6hdr *ipv6 = bpf_dynptr_slice(&packet, 0, &copy, sizeof(*ipv6));

	return ipv6 ? ipv6->nexthdr : 0;
}

SEC("netfilter")
int count(struct bpf_nf_ctx *ctx)
{
	/* The numbers of the families are those of sockets. */
	struct kind kind = {.hook = ctx->state->hook, .family = ctx->state->pf};
	struct traffic *sum, zero = {};

	kind.protocol = protocol_of(ctx->skb, kind.family);
	sum = bpf_map_lookup_or_try_init(&traffic, &kind, &zero);
	/* A process that sends a packet here can be interrupted by a received packet. */
	if (sum) {
		__sync_fetch_and_add(&sum->packets, 1);
		__sync_fetch_and_add(&sum->bytes, ctx->skb->len);
	}
	return NF_ACCEPT;
}

/// @brief Packets at a hook of the firewall, by protocol
char LICENSE[] SEC("license") = "GPL";
