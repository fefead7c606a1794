// SPDX-License-Identifier: GPL-2.0
// Samples what each CPU runs: the kernel stack and the user stack.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

/* The default depth of perf. */
#define MAX_DEPTH 127

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "user", "short": "U"}
/// @description Only user stacks
const volatile bool only_user = false;

/// @cmdarg {"long": "kernel", "short": "K"}
/// @description Only kernel stacks
const volatile bool only_kernel = false;

/// @cmdarg {"long": "idle", "short": "i"}
/// @description Include idle CPUs
const volatile bool with_idle = false;

struct sample {
	u32 pid;
	u32 cpu_id;
	char comm[16];
	/* In bytes; 0 or negative if there is no stack. The rest of the array is undefined. */
	s32 kstack_sz;
	s32 ustack_sz;
	/* Return addresses, innermost first. */
	u64 kstack[MAX_DEPTH];
	u64 ustack[MAX_DEPTH];
};

/// @interpreter {"stack_trace": {"field_map": {}, "with_symbols": true}}
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

/* An odd number, so that samples do not coincide with timers that fire 100 times per second. */
/// @frequency 49
SEC("perf_event")
int take_sample(struct bpf_perf_event_data *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct sample *sample;

	/* On an idle CPU, the process ID is 0. */
	if ((target_pid && target_pid != pid) || (!pid && !with_idle))
		return 0;
	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample)
		return 0;
	sample->pid = pid;
	sample->cpu_id = bpf_get_smp_processor_id();
	bpf_get_current_comm(sample->comm, sizeof(sample->comm));
	sample->kstack_sz = 0;
	sample->ustack_sz = 0;
	if (!only_user)
		sample->kstack_sz = bpf_get_stack(ctx, sample->kstack, sizeof(sample->kstack), 0);
	if (!only_kernel)
		sample->ustack_sz = bpf_get_stack(ctx, sample->ustack, sizeof(sample->ustack),
						  BPF_F_USER_STACK);
	bpf_ringbuf_submit(sample, 0);
	return 0;
}

/// @brief Samples of what each CPU runs, with stacks
/// @details User stacks are complete if programs are compiled with frame pointers.
char LICENSE[] SEC("license") = "GPL";
