// SPDX-License-Identifier: GPL-2.0
// Reports each process that ends: how, and after how long.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/// Leave out processes that ended well
const volatile bool only_failed = false;

/// @cmdarg {"long": "least-ms", "short": "m"}
/// @description Leave out processes that lived shorter than this, in milliseconds
const volatile u32 least_ms = 0;

/* No header describes the records: ecc finds the struct at the call below. */
struct ended {
	u32 pid;
	u32 ppid;
	u32 exit_code;
	u32 signal;
	u64 lived_ms;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} ended SEC(".maps");

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	u64 lived_ms = (bpf_ktime_get_ns() - BPF_CORE_READ(task, start_time)) / 1000000;
	u32 status = BPF_CORE_READ(task, exit_code);
	struct ended *record;

	/* Only the end of the leader counts as the end of the process. */
	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	if (lived_ms < least_ms || (only_failed && !status))
		return 0;
	record = bpf_ringbuf_reserve(&ended, sizeof(*record), 0);
	if (!record)
		return 0;
	record->pid = BPF_CORE_READ(task, tgid);
	record->ppid = BPF_CORE_READ(task, real_parent, tgid);
	record->exit_code = status >> 8 & 0xff;
	record->signal = status & 0x7f;
	record->lived_ms = lived_ms;
	BPF_CORE_READ_STR_INTO(&record->comm, task, comm);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/// @brief Processes that end: how, and after how long
char LICENSE[] SEC("license") = "GPL";
