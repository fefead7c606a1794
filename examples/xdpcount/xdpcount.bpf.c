// SPDX-License-Identifier: GPL-2.0
// Counts the packets that an interface receives, by protocol, before the kernel processes them.
#include <vmlinux.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <maps.bpf.h>

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define MAX_TAGS 2

struct kind {
	/* 0 for packets that are not IP, such as ARP. */
	u16 family;
	u16 protocol;
};

struct traffic {
	u64 packets;
	u64 bytes;
};

/* Room for all protocols of both families, and one more. */
/// @view {"kind": "table", "sort": "bytes"}
/// @meanings {"protocol": "protocol"}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct kind);
	__type(value, struct traffic);
	__uint(max_entries, 2 * 256 + 1);
} received SEC(".maps");

static struct kind kind_of(void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct kind kind = {};
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;
	__be16 type;
	void *next;

	if ((void *)(ethernet + 1) > end)
		return kind;
	type = ethernet->h_proto;
	next = ethernet + 1;
	for (int i = 0; i < MAX_TAGS; i++) {
		struct vlan_hdr *tag = next;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return kind;
		type = tag->h_vlan_encapsulated_proto;
		next = tag + 1;
	}
	ipv4 = next;
	ipv6 = next;
	if (type == bpf_htons(ETH_P_IP) && (void *)(ipv4 + 1) <= end) {
		kind.family = AF_INET;
		kind.protocol = ipv4->protocol;
	} else if (type == bpf_htons(ETH_P_IPV6) && (void *)(ipv6 + 1) <= end) {
		kind.family = AF_INET6;
		kind.protocol = ipv6->nexthdr;
	}
	return kind;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct kind kind = kind_of(data, end);
	struct traffic *traffic, zero = {};

	traffic = bpf_map_lookup_or_try_init(&received, &kind, &zero);
	/* No other program updates this value on this CPU at the same time. */
	if (traffic) {
		traffic->packets++;
		traffic->bytes += end - data;
	}
	/* All packets pass. */
	return XDP_PASS;
}

/// @brief Packets that an interface receives, by protocol
char LICENSE[] SEC("license") = "GPL";
