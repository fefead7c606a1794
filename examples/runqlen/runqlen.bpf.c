// SPDX-License-Identifier: GPL-2.0
// Samples how many tasks wait for each CPU.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <maps.bpf.h>

#define MAX_SLOTS 32
#define MAX_CPUS 4096

/// @cmdarg {"long": "cpus", "short": "C"}
/// @description A histogram for each CPU
const volatile bool per_cpu = false;

struct queue {
	/* -1: all CPUs together. */
	s32 cpu;
};

/* Slot n counts the samples in which n tasks waited; the last slot also counts larger numbers. */
struct hist {
	u64 total_tasks;
	u32 slots[MAX_SLOTS];
};

/// @sample {"interval": 1000, "type": "linear_hist", "unit": "tasks"}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct queue);
	__type(value, struct hist);
	__uint(max_entries, MAX_CPUS);
} hists SEC(".maps");

/* Linux 6.12 and 6.13. */
struct cfs_rq___from_6_12 {
	unsigned int h_nr_delayed;
} __attribute__((preserve_access_index));

/* Since 6.12, tasks that already sleep can stay in the queue until their turn would come. */
static u32 asleep(struct cfs_rq *queue)
{
	struct cfs_rq___from_6_12 *old = (void *)queue;

	if (bpf_core_field_exists(queue->h_nr_runnable))
		return BPF_CORE_READ(queue, h_nr_queued) - BPF_CORE_READ(queue, h_nr_runnable);
	if (bpf_core_field_exists(old->h_nr_delayed))
		return BPF_CORE_READ(old, h_nr_delayed);
	return 0;
}

/* The runnable tasks of this CPU, of all scheduling classes. */
static s32 wanting(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	/* The queue of the task can be that of its cgroup; the queue of the CPU has all tasks. */
	struct rq *rq = BPF_CORE_READ(task, se.cfs_rq, rq);

	return BPF_CORE_READ(rq, nr_running) - asleep(&rq->cfs);
}

/* An odd number, so that samples do not coincide with timers that fire 100 times per second. */
/// @frequency 99
SEC("perf_event")
int take_sample(void *ctx)
{
	static const struct hist zero;
	struct queue key = { .cpu = -1 };
	struct hist *hist;
	s32 waiting = wanting();

	/* One of them runs, unless the CPU is idle. */
	if ((u32)bpf_get_current_pid_tgid())
		waiting--;
	/* A task that is leaving the CPU is no longer in the queue. */
	if (waiting < 0)
		waiting = 0;
	if (per_cpu)
		key.cpu = bpf_get_smp_processor_id();
	hist = bpf_map_lookup_or_try_init(&hists, &key, &zero);
	if (!hist)
		return 0;
	__sync_fetch_and_add(&hist->total_tasks, waiting);
	__sync_fetch_and_add(&hist->slots[waiting < MAX_SLOTS ? waiting : MAX_SLOTS - 1], 1);
	return 0;
}

/// @brief Histograms of how many tasks wait for a CPU
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
