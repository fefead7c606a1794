// SPDX-License-Identifier: GPL-2.0
// Lists the tasks of the machine, a line each.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>

/* The kernel's names of these are macros, which vmlinux.h cannot bring. */
#define TASK_REPORT 0x7f
#define TASK_IDLE 0x402
#define TASK_RTLOCK_WAIT 0x1000

/// @cmdarg {"long": "processes", "short": "p"}
/// @description Only processes, without their other threads
const volatile bool only_processes = false;

/* Kernels before 5.14 have `state` in place of `__state`. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

/*
 * The letters that ps(1) has, by the highest bit of the state. Not of 8 or 16 bytes: clang puts
 * such constants into a section of their own, of which its BTF does not know.
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

/* The kernel calls it for each task, and once without one at the end. */
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
	/* A text, since older kernels print no single characters here. */
	state[0] = letter_of(task);
	BPF_SEQ_PRINTF(seq, "%7d %7d %7d %s %s\n", task->pid, task->tgid, task->real_parent->tgid,
		       state, task->comm);
	return 0;
}

/// @brief The tasks of the machine
char LICENSE[] SEC("license") = "GPL";
