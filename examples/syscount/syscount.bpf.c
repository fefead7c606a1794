// SPDX-License-Identifier: GPL-2.0
// Which system calls are made, how often, and how long they take.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps.bpf.h>

#define MAX_THREADS 10240
#define MAX_ROWS 16384

/// @cmdarg {"long": "times", "short": "t"}
/// @description Also measure the time of each call
const volatile bool with_times = false;

/// @cmdarg {"long": "processes", "short": "P"}
/// @description Count each process separately
const volatile bool per_process = false;

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

struct call {
	/* 0: all processes together. */
	u32 pid;
	u32 syscall;
};

struct calls {
	u64 count;
	u64 total_ns;
	char comm[16];
};

struct begun {
	u64 time;
	u32 syscall;
};

/* The calls that threads are in. The entries of ended threads make room for others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, u32);
	__type(value, struct begun);
	__uint(max_entries, MAX_THREADS);
} start SEC(".maps");

/// @view {"kind": "table", "sort": "count"}
/// @meanings {"total_ns": "duration_ns"}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct call);
	__type(value, struct calls);
	__uint(max_entries, MAX_ROWS);
} counts SEC(".maps");

/* Whether a 32-bit program makes the call: its calls have other numbers. */
static bool is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	/* TS_COMPAT */
	return BPF_CORE_READ(task, thread_info.status) & 2;
#elif defined(__TARGET_ARCH_arm64)
	/* TIF_32BIT */
	return BPF_CORE_READ(task, thread_info.flags) & 1 << 22;
#else
	return false;
#endif
}

static void count(u32 pid, u32 syscall, u64 time)
{
	struct call call = { .syscall = syscall };
	static const struct calls zero;
	struct calls *calls;

	if (per_process)
		call.pid = pid;
	calls = bpf_map_lookup_or_try_init(&counts, &call, &zero);
	if (!calls)
		return;
	/* Set each time: a new process has the name of its parent until it starts a program. */
	if (per_process) {
		struct task_struct *task = (void *)bpf_get_current_task();

		BPF_CORE_READ_STR_INTO(&calls->comm, task, group_leader, comm);
	}
	__sync_fetch_and_add(&calls->count, 1);
	/* If it is always 0, clang emits another instruction, which needs Linux 5.12. */
	if (time)
		__sync_fetch_and_add(&calls->total_ns, time);
}

static int entered(s64 number)
{
	struct begun begun = { .syscall = number };
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32, tid = id;

	/* Negative: a debugger or seccomp skips the call. */
	if (number < 0 || (target_pid && target_pid != pid))
		return 0;
	if (is_compat((void *)bpf_get_current_task()))
		return 0;
	if (!with_times) {
		count(pid, number, 0);
		return 0;
	}
	begun.time = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &tid, &begun, BPF_ANY);
	return 0;
}

static int left(void)
{
	u64 id = bpf_get_current_pid_tgid(), time;
	struct begun *begun;
	u32 tid = id;

	if (!with_times)
		return 0;
	begun = bpf_map_lookup_elem(&start, &tid);
	if (!begun)
		return 0;
	time = bpf_ktime_get_ns() - begun->time;
	count(id >> 32, begun->syscall, time);
	bpf_map_delete_elem(&start, &tid);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter_btf, struct pt_regs *regs, long number)
{
	return entered(number);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit_btf)
{
	return left();
}

/* For kernels that cannot load the others. ecli attaches one of each pair. */
SEC("raw_tp/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long number)
{
	return entered(number);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(sys_exit)
{
	return left();
}

/// @brief Count system calls, and the time that they take
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
