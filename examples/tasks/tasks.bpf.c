// SPDX-License-Identifier: GPL-2.0
// Lists the tasks of the machine, one per line.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>

/* Macros in the kernel, so vmlinux.h does not have them. */
#define TASK_REPORT 0x7f
#define TASK_IDLE 0x402
#define TASK_RTLOCK_WAIT 0x1000

/// @cmdarg {"long": "processes", "short": "p"}
/// @description Only processes, without their other threads
const volatile bool only_processes = false;

/* Before 5.14, the member is `state`. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

/*
 * The letters of ps(1), by the highest bit of the state. Not 8 or 16 bytes long: clang puts
 * such constants into a separate section, which its BTF does not describe.
 */
static const char letters[12] = "RSDTtXZP";

static char letter_of(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;
	u32 state, reported;

	if (bpf_core_field_exists(old->state))
		state = old->state;
	else
		state = task->__state;
	reported = (state | task->exit_state) & TASK_REPORT;
	if ((state & TASK_IDLE) == TASK_IDLE)
		return 'I';
	if (state & TASK_RTLOCK_WAIT)
		return 'D';
	return reported ? letters[(log2l(reported) + 1) & 7] : 'R';
}

/* The kernel calls it for each task, and once at the end without a task. */
SEC("iter/task")
int list_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	char state[2] = {};

	if (!task)
		return 0;
	if (!ctx->meta->seq_num)
		BPF_SEQ_PRINTF(seq, "    TID     PID    PPID S COMM\n");
	if (only_processes && task->pid != task->tgid)
		return 0;
	/* A string, because older kernels cannot print single characters here. */
	state[0] = letter_of(task);
	BPF_SEQ_PRINTF(seq, "%7d %7d %7d %s %s\n", task->pid, task->tgid, task->real_parent->tgid,
		       state, task->comm);
	return 0;
}

/// @brief The tasks of the machine
char LICENSE[] SEC("license") = "GPL";
