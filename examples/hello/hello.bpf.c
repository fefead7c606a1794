// SPDX-License-Identifier: GPL-2.0
// Prints hello for each program that starts, to the trace log of the kernel.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	/* The upper half is the process ID, the lower half the thread ID. */
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	char comm[16];

	bpf_get_current_comm(comm, sizeof(comm));
	bpf_printk("hello, %s, process %u", comm, pid);
	return 0;
}

/// @brief Say hello to each program that starts
char LICENSE[] SEC("license") = "GPL";
