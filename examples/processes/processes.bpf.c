// SPDX-License-Identifier: GPL-2.0
// Reports programs that processes start, and ends of processes, with a key that joins them.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "processes.h"

/* A macro in the kernel, so vmlinux.h does not have it. */
#define SIGNAL_GROUP_EXIT 0x4

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only processes of this user; -1: all
const volatile s64 target_uid = -1;

/// @record_tag kind
/// @record_tags {"started": "EXEC", "ended": "EXIT"}
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct process {
	u64 pid;
	u64 start_ns;
};

/* Processes that ended recently. */
/// @hidden
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct process);
	__type(value, bool);
	__uint(max_entries, 4096);
} ended SEC(".maps");

static bool is_wanted(void)
{
	return target_uid == -1 || target_uid == (u32)bpf_get_current_uid_gid();
}

SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct linux_binprm *program = (void *)ctx->args[2];
	struct started *record;

	if (!is_wanted())
		return 0;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	record->kind = EXEC;
	record->pid = BPF_CORE_READ(task, tgid);
	record->ppid = BPF_CORE_READ(task, real_parent, tgid);
	record->start_ns = BPF_CORE_READ(task, group_leader, start_time);
	BPF_CORE_READ_STR_INTO(&record->comm, task, comm);
	bpf_probe_read_kernel_str(record->file, sizeof(record->file),
				  BPF_CORE_READ(program, filename));
	bpf_ringbuf_submit(record, 0);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct process process = {
		.pid = BPF_CORE_READ(leader, tgid),
		.start_ns = BPF_CORE_READ(leader, start_time),
	};
	struct ended *record;
	bool yes = true;
	u32 status;

	/* A process ends with its last thread, which need not be its leader. */
	if (!is_wanted() || BPF_CORE_READ(task, signal, live.counter))
		return 0;
	/* Two threads that end at the same time can both see that none is left. */
	if (bpf_map_update_elem(&ended, &process, &yes, BPF_NOEXIST))
		return 0;
	/* The status that wait(2) returns. */
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		status = BPF_CORE_READ(task, signal, group_exit_code);
	else
		status = BPF_CORE_READ(leader, exit_code);
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return 0;
	record->kind = EXIT;
	record->pid = process.pid;
	record->ppid = BPF_CORE_READ(leader, real_parent, tgid);
	record->start_ns = process.start_ns;
	record->duration_ns = bpf_ktime_get_ns() - process.start_ns;
	record->exit_code = status >> 8 & 0xff;
	record->sig = status & 0x7f;
	BPF_CORE_READ_STR_INTO(&record->comm, leader, comm);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/// @brief Programs that processes start, and how the processes end
char LICENSE[] SEC("license") = "GPL";
