// SPDX-License-Identifier: GPL-2.0
// Says hello to each program that is started, in the kernel's trace log.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	/* The upper half is the process, the lower the thread. */
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	char comm[16];

	bpf_get_current_comm(comm, sizeof(comm));
	bpf_printk("hello, %s, process %u", comm, pid);
	return 0;
}

/// @brief Say hello to each program that is started
char LICENSE[] SEC("license") = "GPL";
