// SPDX-License-Identifier: GPL-2.0
// A TCP congestion control that does what Reno in the kernel does, and counts the calls.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum count {
	CONNECTIONS,
	ACKS,
	SEGMENTS,
	REDUCTIONS,
	RECOVERIES,
	TIMEOUTS,
	UNDONE,
	NR_COUNTS,
};

/* One per CPU, so that CPUs do not contend for it. */
/// @sample {"interval": 1000, "key_labels": ["connections", "acks", "segments", "reductions",
///          "recoveries", "timeouts", "undone"]}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, NR_COUNTS);
} counts SEC(".maps");

static void add(u32 key, u64 number)
{
	u64 *count = bpf_map_lookup_elem(&counts, &key);

	/* A received packet can interrupt a process that sends. */
	if (count)
		__sync_fetch_and_add(count, number);
}

SEC("struct_ops")
void BPF_PROG(reno_init, struct sock *sk)
{
	add(CONNECTIONS, 1);
}

/* The size of the window at which slow start ends, after a loss. */
SEC("struct_ops")
u32 BPF_PROG(reno_ssthresh, struct sock *sk)
{
	add(REDUCTIONS, 1);
	return tcp_reno_ssthresh(sk);
}

/* The other side has received packets: the window grows. */
SEC("struct_ops")
void BPF_PROG(reno_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	add(ACKS, 1);
	add(SEGMENTS, acked);
	tcp_reno_cong_avoid(sk, ack, acked);
}

/* Nothing was lost after all: the reduction is undone. */
SEC("struct_ops")
u32 BPF_PROG(reno_undo_cwnd, struct sock *sk)
{
	add(UNDONE, 1);
	return tcp_reno_undo_cwnd(sk);
}

SEC("struct_ops")
void BPF_PROG(reno_set_state, struct sock *sk, u8 state)
{
	if (state == TCP_CA_Recovery)
		add(RECOVERIES, 1);
	else if (state == TCP_CA_Loss)
		add(TIMEOUTS, 1);
}

/* With a link, the kernel unregisters it when ecli ends. */
SEC(".struct_ops.link")
struct tcp_congestion_ops reno = {
	.init = (void *)reno_init,
	.ssthresh = (void *)reno_ssthresh,
	.cong_avoid = (void *)reno_cong_avoid,
	.undo_cwnd = (void *)reno_undo_cwnd,
	.set_state = (void *)reno_set_state,
	.name = "counted_reno",
};

/// @brief A TCP congestion control that counts its calls
char LICENSE[] SEC("license") = "GPL";
