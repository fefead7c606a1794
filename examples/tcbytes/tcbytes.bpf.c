// SPDX-License-Identifier: GPL-2.0
// Counts what an interface receives and sends, by direction and protocol.
#include <vmlinux.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <maps.bpf.h>

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/* Leaves the decision about the packet to other programs. */
#define TC_ACT_UNSPEC -1

enum direction {
	RECEIVED,
	SENT,
};

struct kind {
	enum direction direction;
	/* 0 for packets that are not IP, such as ARP. */
	u16 family;
	u16 protocol;
};

struct traffic {
	u64 packets;
	u64 bytes;
};

/* Room for all protocols of both families, and one more, in both directions. */
/// @view {"kind": "table", "sort": "bytes"}
/// @meanings {"protocol": "protocol"}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct kind);
	__type(value, struct traffic);
	__uint(max_entries, 2 * (2 * 256 + 1));
} traffic SEC(".maps");

static int count(struct __sk_buff *skb, enum direction direction)
{
	struct kind kind = {.direction = direction};
	struct traffic *sum, zero = {};
	u16 family = 0;
	u32 offset = 0;
	u8 protocol;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		family = AF_INET;
		offset = offsetof(struct iphdr, protocol);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		family = AF_INET6;
		offset = offsetof(struct ipv6hdr, nexthdr);
	}
	/* Relative to the network header: tunnels have no Ethernet header. */
	if (family && !bpf_skb_load_bytes_relative(skb, offset, &protocol, sizeof(protocol),
						   BPF_HDR_START_NET)) {
		kind.family = family;
		kind.protocol = protocol;
	}
	sum = bpf_map_lookup_or_try_init(&traffic, &kind, &zero);
	if (sum) {
		/* A packet that was merged, or will be split, is several packets on the wire. */
		__sync_fetch_and_add(&sum->packets, skb->gso_segs ?: 1);
		__sync_fetch_and_add(&sum->bytes, skb->len);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc/ingress")
int ingress(struct __sk_buff *skb)
{
	return count(skb, RECEIVED);
}

SEC("tc/egress")
int egress(struct __sk_buff *skb)
{
	return count(skb, SENT);
}

/// @brief Bytes that an interface receives and sends, by protocol
char LICENSE[] SEC("license") = "GPL";
