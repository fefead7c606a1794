// SPDX-License-Identifier: GPL-2.0
// How long block devices take to process requests.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bits.bpf.h>
#include <maps.bpf.h>

#define MAX_SLOTS 27
#define MAX_DEVICES 256
#define MAX_REQUESTS 10240

/* The bits of the minor number in the kernel's device numbers. */
#define MINOR_BITS 20

/// @cmdarg {"long": "disks", "short": "D"}
/// @description A histogram for each device
const volatile bool per_disk = false;

/// @cmdarg {"long": "queued", "short": "Q"}
/// @description Include the time in the queue, before the device receives the request
const volatile bool with_queue = false;

/// @cmdarg {"long": "milliseconds", "short": "m"}
/// @description Times in milliseconds instead of microseconds
const volatile bool in_ms = false;

struct disk {
	/* 0: all devices together. */
	u32 dev;
};

struct hist {
	/* In the unit of the slots. */
	u64 total_time;
	u32 slots[MAX_SLOTS];
};

/* When requests were issued or queued. The kernel reuses the memory of completed requests. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct request *);
	__type(value, u64);
	__uint(max_entries, MAX_REQUESTS);
} start SEC(".maps");

/// @sample {"interval": 1000, "type": "log2_hist",
///          "unit": "usecs", "unit_when": {"in_ms": "msecs"}}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct disk);
	__type(value, struct hist);
	__uint(max_entries, MAX_DEVICES);
} hists SEC(".maps");

/* Since 5.11, these tracepoints pass only the request; before, its queue was the first argument. */
typedef void (*btf_trace_block_rq_issue___alone)(void *, struct request *);

/* Before 5.17, the request points to its disk. */
struct request___before_5_17 {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

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

static u32 device_of(struct request *request)
{
	struct request___before_5_17 *old = (void *)request;
	struct gendisk *disk;

	if (bpf_core_field_exists(old->rq_disk))
		disk = BPF_CORE_READ(old, rq_disk);
	else
		disk = BPF_CORE_READ(request, q, disk);
	if (!disk)
		return 0;
	return BPF_CORE_READ(disk, major) << MINOR_BITS | BPF_CORE_READ(disk, first_minor);
}

static int queued(struct request *request)
{
	u64 now;

	if (!with_queue)
		return 0;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &request, &now, BPF_ANY);
	return 0;
}

static int issued(struct request *request)
{
	u64 now = bpf_ktime_get_ns();

	/* Some requests are never queued: their time starts here. */
	bpf_map_update_elem(&start, &request, &now, with_queue ? BPF_NOEXIST : BPF_ANY);
	return 0;
}

static int completed(struct request *request)
{
	static const struct hist zero;
	struct disk disk = {};
	u64 *since, time;
	struct hist *hist;

	since = bpf_map_lookup_elem(&start, &request);
	if (!since)
		return 0;
	time = (bpf_ktime_get_ns() - *since) / (in_ms ? 1000000 : 1000);
	bpf_map_delete_elem(&start, &request);
	if (per_disk)
		disk.dev = device_of(request);
	hist = bpf_map_lookup_or_try_init(&hists, &disk, &zero);
	if (!hist)
		return 0;
	__sync_fetch_and_add(&hist->total_time, time);
	__sync_fetch_and_add(&hist->slots[log2_slot(time, MAX_SLOTS)], 1);
	return 0;
}

SEC("tp_btf/block_rq_insert")
int block_rq_insert_btf(u64 *ctx)
{
	return queued(request_of(ctx));
}

SEC("tp_btf/block_rq_issue")
int block_rq_issue_btf(u64 *ctx)
{
	return issued(request_of(ctx));
}

SEC("tp_btf/block_rq_complete")
int block_rq_complete_btf(u64 *ctx)
{
	return completed((struct request *)ctx[0]);
}

/* For kernels that cannot load the others. ecli attaches one of each pair. */
SEC("raw_tp/block_rq_insert")
int block_rq_insert(u64 *ctx)
{
	return queued(request_of(ctx));
}

SEC("raw_tp/block_rq_issue")
int block_rq_issue(u64 *ctx)
{
	return issued(request_of(ctx));
}

SEC("raw_tp/block_rq_complete")
int block_rq_complete(u64 *ctx)
{
	return completed((struct request *)ctx[0]);
}

/// @brief Histograms of how long block devices take for requests
/// @details Times are in microseconds unless --milliseconds is given.
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
