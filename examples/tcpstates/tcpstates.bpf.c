// SPDX-License-Identifier: GPL-2.0
// Reports each change of the state of a TCP connection, and how long the previous state lasted.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define MAX_PORTS 8
#define MAX_SOCKETS 65536

/// @cmdarg {"long": "ipv4", "short": "4"}
/// @description Only IPv4
const volatile bool only_ipv4 = false;

/// @cmdarg {"long": "ipv6", "short": "6"}
/// @description Only IPv6
const volatile bool only_ipv6 = false;

/// @cmdarg {"long": "sport", "short": "s"}
/// @description Only these ports of this machine, for example 80,443
const volatile u16 target_sports[MAX_PORTS] = {};

/// @cmdarg {"long": "dport", "short": "d"}
/// @description Only these ports of the other side
const volatile u16 target_dports[MAX_PORTS] = {};

/* The states of the kernel, without the prefix TCP_. */
enum state {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECV,
	FIN_WAIT1,
	FIN_WAIT2,
	TIME_WAIT,
	CLOSE,
	CLOSE_WAIT,
	LAST_ACK,
	LISTEN,
	CLOSING,
};

struct changed {
	u64 skaddr;
	/* The process that owns the socket, if it was seen; otherwise 0. */
	u32 pid;
	u16 family;
	/* IPv4 addresses are in the first four bytes. */
	u8 saddr[16];
	u16 sport;
	u8 daddr[16];
	u16 dport;
	enum state oldstate;
	enum state newstate;
	/* 0 if the start of the old state was not seen. */
	u64 delta_us;
	char comm[16];
};

struct socket_state {
	u64 since;
	u32 pid;
	char comm[16];
};

/* LRU, because some sockets are freed without a change of state. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, u64);
	__type(value, struct socket_state);
	__uint(max_entries, MAX_SOCKETS);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

/* Whether a port is in a list; a list that begins with zero has all ports. */
static bool is_among(const volatile u16 *ports, u16 port)
{
	if (!ports[0])
		return true;
	for (int i = 0; i < MAX_PORTS; i++)
		if (ports[i] && ports[i] == port)
			return true;
	return false;
}

/*
 * Whether a system call of the owner makes this change. Other changes happen when a packet
 * arrives, while any process runs.
 */
static bool is_own_doing(enum state newstate)
{
	return newstate == SYN_SENT || newstate == LISTEN || newstate == FIN_WAIT1 ||
	       newstate == LAST_ACK;
}

SEC("raw_tp/inet_sock_set_state")
int inet_sock_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	struct inet_sock *inet = (void *)sk;
	enum state oldstate = ctx->args[1];
	enum state newstate = ctx->args[2];
	struct socket_state *known, state = {};
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	/* Not skc_num, which is 0 again when the socket is closed. */
	u16 sport = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
	u16 dport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	u64 skaddr = (u64)sk, now = bpf_ktime_get_ns(), delta_us = 0;
	struct changed *record;

	/* A bit field before Linux 5.6. SCTP, DCCP and MPTCP come here, too. */
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return 0;

	/* Even if this change is not shown, the next one may be. */
	known = bpf_map_lookup_elem(&sockets, &skaddr);
	if (known) {
		state = *known;
		delta_us = (now - state.since) / 1000;
	}
	state.since = now;
	if (is_own_doing(newstate)) {
		state.pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(state.comm, sizeof(state.comm));
	}
	if (newstate == CLOSE)
		bpf_map_delete_elem(&sockets, &skaddr);
	else
		bpf_map_update_elem(&sockets, &skaddr, &state, BPF_ANY);

	if ((only_ipv4 && family != AF_INET) || (only_ipv6 && family != AF_INET6))
		return 0;
	if (!is_among(target_sports, sport) || !is_among(target_dports, dport))
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	record->skaddr = skaddr;
	record->family = family;
	record->sport = sport;
	record->dport = dport;
	record->pid = state.pid;
	record->oldstate = oldstate;
	record->newstate = newstate;
	record->delta_us = delta_us;
	__builtin_memcpy(record->comm, state.comm, sizeof(record->comm));
	if (family == AF_INET6) {
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

/// @brief Changes of the states of TCP connections, and how long each state lasted
char LICENSE[] SEC("license") = "GPL";
