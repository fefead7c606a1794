// SPDX-License-Identifier: GPL-2.0
// Counts per cgroup, and so per container: programs that start, processes that fail, and processes
// that a signal ends, such as the kernel's when a container has no memory left.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct key {
	u64 cgroup_id;
};

struct counts {
	u64 started_programs;
	u64 failed_processes;
	u64 killed_processes;
};

/// @view {"kind": "table"}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct key);
	__type(value, struct counts);
} counts SEC(".maps");

static const struct counts none;

static __always_inline struct counts *of_current(void)
{
	struct key key = { .cgroup_id = bpf_get_current_cgroup_id() };
	struct counts *found = bpf_map_lookup_elem(&counts, &key);

	if (found)
		return found;
	bpf_map_update_elem(&counts, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counts, &key);
}

SEC("raw_tp/sched_process_exec")
int process_exec(void *ctx)
{
	struct counts *found = of_current();

	if (found)
		__sync_fetch_and_add(&found->started_programs, 1);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	u32 status = BPF_CORE_READ(task, exit_code);
	struct counts *found;

	/* Only the end of the leader counts as the end of the process. */
	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid) || !status)
		return 0;
	found = of_current();
	/* The lowest seven bits of the status are the signal. */
	if (found)
		__sync_fetch_and_add(status & 0x7f ? &found->killed_processes :
						     &found->failed_processes, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
