// SPDX-License-Identifier: GPL-2.0
// How large the requests are that block devices receive, by process name.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bits.bpf.h>
#include <maps.bpf.h>

#define MAX_SLOTS 20
#define MAX_NAMES 10240

/// @cmdarg {"long": "comm", "short": "c"}
/// @description Only processes with this name
const volatile char only_comm[16] = "";

struct process {
	char comm[16];
};

struct hist {
	u64 total_bytes;
	u32 slots[MAX_SLOTS];
};

/// @sample {"interval": 1000, "type": "log2_hist", "unit": "KiB"}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct process);
	__type(value, struct hist);
	__uint(max_entries, MAX_NAMES);
} hists SEC(".maps");

/* Since 5.11, the tracepoint passes only the request; before, its queue was the first argument. */
typedef void (*btf_trace_block_rq_issue___alone)(void *, struct request *);

static __always_inline struct request *request_of(u64 *ctx)
{
	u64 request;

	/* Only one branch remains when the program is loaded, so each needs its own read. */
	if (bpf_core_type_exists(btf_trace_block_rq_issue___alone)) {
		request = ctx[0];
		barrier_var(request);
	} else {
		request = ctx[1];
		barrier_var(request);
	}
	return (struct request *)request;
}

static bool is_chosen(const struct process *process)
{
	if (!only_comm[0])
		return true;
	for (int i = 0; i < sizeof(process->comm); i++) {
		if (process->comm[i] != only_comm[i])
			return false;
		if (!only_comm[i])
			break;
	}
	return true;
}

static int issued(struct request *request)
{
	static const struct hist zero;
	struct process process = {};
	struct hist *hist;
	u32 bytes;

	bpf_get_current_comm(process.comm, sizeof(process.comm));
	if (!is_chosen(&process))
		return 0;
	hist = bpf_map_lookup_or_try_init(&hists, &process, &zero);
	if (!hist)
		return 0;
	bytes = BPF_CORE_READ(request, __data_len);
	__sync_fetch_and_add(&hist->total_bytes, bytes);
	__sync_fetch_and_add(&hist->slots[log2_slot(bytes / 1024, MAX_SLOTS)], 1);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int block_rq_issue_btf(u64 *ctx)
{
	return issued(request_of(ctx));
}

/* For kernels that cannot load the other. ecli attaches one of the two. */
SEC("raw_tp/block_rq_issue")
int block_rq_issue(u64 *ctx)
{
	return issued(request_of(ctx));
}

/// @brief Histograms of the sizes of block I/O, by process name
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
