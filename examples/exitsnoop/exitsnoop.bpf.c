// SPDX-License-Identifier: GPL-2.0
// Reports each process, or each thread, that ends: how, and after how long.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* A macro in the kernel, so vmlinux.h does not have it. */
#define SIGNAL_GROUP_EXIT 0x4

/// @cmdarg {"long": "threads", "short": "t"}
/// @description Show threads instead of processes
const volatile bool by_thread = false;

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "failed", "short": "x"}
/// @description Omit those that ended with exit code 0
const volatile bool only_failed = false;

struct ended {
	u32 pid;
	u32 tid;
	u32 ppid;
	u32 exit_code;
	/* The signal that ended it, or 0. */
	u32 sig;
	u64 duration_ns;
	char comm[16];
};

/* The kernel reuses PIDs, so the start time is part of the key. */
struct process {
	u64 pid;
	u64 start_time;
};

/* Processes that ended recently. */
/// @hidden
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct process);
	__type(value, bool);
	__uint(max_entries, 4096);
} ended SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

/*
 * Whether the process ends with this thread. Its leader can end long before: by itself, or
 * because another thread starts a program and takes over its ID.
 */
static bool is_last(struct task_struct *task, struct task_struct *leader)
{
	struct process process = {};
	bool yes = true;

	if (BPF_CORE_READ(task, signal, live.counter))
		return false;
	/* Two threads that end at the same time can both see that none is left. */
	process.pid = BPF_CORE_READ(leader, tgid);
	process.start_time = BPF_CORE_READ(leader, start_time);
	return !bpf_map_update_elem(&ended, &process, &yes, BPF_NOEXIST);
}

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct task_struct *shown = by_thread ? task : leader;
	u32 pid = BPF_CORE_READ(task, tgid);
	struct ended *record;
	u32 status;

	if (target_pid && target_pid != pid)
		return 0;
	if (!by_thread && !is_last(task, leader))
		return 0;
	status = BPF_CORE_READ(shown, exit_code);
	/* The status that wait(2) returns. */
	if (!by_thread && BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		status = BPF_CORE_READ(task, signal, group_exit_code);
	if (only_failed && !status)
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	record->pid = pid;
	record->tid = BPF_CORE_READ(shown, pid);
	record->ppid = BPF_CORE_READ(task, real_parent, tgid);
	record->exit_code = status >> 8 & 0xff;
	record->sig = status & 0x7f;
	record->duration_ns = bpf_ktime_get_ns() - BPF_CORE_READ(shown, start_time);
	BPF_CORE_READ_STR_INTO(&record->comm, shown, comm);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/// @brief Processes and threads that end: how, and after how long
char LICENSE[] SEC("license") = "GPL";
