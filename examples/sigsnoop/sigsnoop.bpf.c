// SPDX-License-Identifier: GPL-2.0
// Reports each signal that a process sends or fails to send; with --kernel, also the kernel's.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define MAX_TASKS 10240

/* For signals that the kernel makes, the pointer to the siginfo can be one of these. */
#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1

/* Codes of signals that processes send: macros in the kernel. */
#define SI_USER 0
#define SI_QUEUE -1
#define SI_TKILL -6

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only signals that this process sends; 0: any process
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "to", "short": "t"}
/// @description Only signals to this process, or to this thread if the call names a thread; 0: any
const volatile s32 target_tpid = 0;

/// @cmdarg {"long": "signal", "short": "s"}
/// @description Only this signal; 0: all
const volatile u32 target_sig = 0;

/// @cmdarg {"long": "failed", "short": "x"}
/// @description Only failed calls
const volatile bool only_failed = false;

/// @cmdarg {"long": "kernel", "short": "k"}
/// @description Also show signals from the kernel
const volatile bool with_kernel = false;

struct sent {
	/* The sender; for a signal from the kernel, the process that was running. */
	u32 pid;
	/*
	 * As passed: a process, or a thread if the call names one; negative for a group. 0: the
	 * group of the sender, or unknown if the pidfd was invalid.
	 */
	s32 tpid;
	u32 sig;
	s32 ret;
	/* Whether it came from the kernel. */
	bool kernel;
	char comm[16];
};

struct call {
	s32 tpid;
	u32 sig;
	/* Whether a pidfd names the target. */
	bool by_file;
};

/* The arguments of the calls that threads are in. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct call);
	__uint(max_entries, MAX_TASKS);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

static void tell(s32 tpid, u32 sig, s32 ret, bool kernel)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct sent *record;

	if ((target_pid && target_pid != pid) || (target_tpid && target_tpid != tpid) ||
	    (target_sig && target_sig != sig) || (only_failed && ret >= 0))
		return;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		return;
	record->pid = pid;
	record->tpid = tpid;
	record->sig = sig;
	record->ret = ret;
	record->kernel = kernel;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	bpf_ringbuf_submit(record, 0);
}

static int entered(struct call call)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

static int left(s32 ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);

	if (!call)
		return 0;
	tell(call->tpid, call->sig, ret, false);
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

SEC("tp/syscalls/sys_enter_kill")
int kill_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.tpid = ctx->args[0], .sig = ctx->args[1]});
}

SEC("tp/syscalls/sys_exit_kill")
int kill_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_tkill")
int tkill_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.tpid = ctx->args[0], .sig = ctx->args[1]});
}

SEC("tp/syscalls/sys_exit_tkill")
int tkill_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_tgkill")
int tgkill_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.tpid = ctx->args[1], .sig = ctx->args[2]});
}

SEC("tp/syscalls/sys_exit_tgkill")
int tgkill_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_rt_sigqueueinfo")
int rt_sigqueueinfo_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.tpid = ctx->args[0], .sig = ctx->args[1]});
}

SEC("tp/syscalls/sys_exit_rt_sigqueueinfo")
int rt_sigqueueinfo_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_rt_tgsigqueueinfo")
int rt_tgsigqueueinfo_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.tpid = ctx->args[1], .sig = ctx->args[2]});
}

SEC("tp/syscalls/sys_exit_rt_tgsigqueueinfo")
int rt_tgsigqueueinfo_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_pidfd_send_signal")
int pidfd_send_signal_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((struct call){.by_file = true, .sig = ctx->args[1]});
}

SEC("tp/syscalls/sys_exit_pidfd_send_signal")
int pidfd_send_signal_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

/* Whether a signal comes from one of the calls above. */
static bool is_from_process(struct kernel_siginfo *info)
{
	s32 code;

	if ((u64)info == SEND_SIG_NOINFO || (u64)info == SEND_SIG_PRIV)
		return false;
	code = BPF_CORE_READ(info, si_code);
	return code == SI_USER || code == SI_QUEUE || code == SI_TKILL;
}

SEC("raw_tp/signal_generate")
int signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[2];
	s32 tpid = BPF_CORE_READ(task, tgid);
	u32 tid = bpf_get_current_pid_tgid();
	u32 sig = ctx->args[0];
	struct call *call;

	if (!is_from_process((void *)ctx->args[1])) {
		if (with_kernel)
			tell(tpid, sig, 0, true);
		return 0;
	}
	/* Here, the process of the pidfd is known. */
	call = bpf_map_lookup_elem(&calls, &tid);
	if (call && call->by_file)
		call->tpid = tpid;
	return 0;
}

/// @brief Signals that processes send, or fail to send
/// @details For signals from the kernel (--kernel), the process is the one that was running.
char LICENSE[] SEC("license") = "GPL";
