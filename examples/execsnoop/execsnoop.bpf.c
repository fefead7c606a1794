// SPDX-License-Identifier: GPL-2.0
// Reports each program that starts, with its arguments.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* A power of two. Longer arguments are truncated. */
#define ARGS_SIZE 4096
#define MAX_ARGS 128
#define MAX_TASKS 10240

/// @cmdarg {"long": "failed", "short": "x"}
/// @description Also show failed attempts
const volatile bool with_failed = false;

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only programs of this user; -1: all
const volatile s64 target_uid = -1;

/// @cmdarg {"long": "ppid", "short": "P"}
/// @description Only programs that this process starts; 0: all
const volatile u32 target_ppid = 0;

struct executed {
	u32 pid;
	u32 ppid;
	u32 uid;
	s32 ret;
	char comm[16];
	/* Whether the arguments are longer than `args`. */
	bool cut;
	char args[ARGS_SIZE] __attribute__((aligned(8)));
};

/* A record under construction. `spare` takes the part of an argument that exceeds `args`. */
struct draft {
	struct executed record;
	char spare[ARGS_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct draft);
	__uint(max_entries, 1);
} drafts SEC(".maps");

struct attempt {
	const char *filename;
	const char *const *argv;
};

/* The arguments of the calls that threads are in. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct attempt);
	__uint(max_entries, MAX_TASKS);
} attempts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* The draft without the arguments; null if the options exclude the event. */
static struct draft *begin(s32 ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 ppid = BPF_CORE_READ(task, real_parent, tgid);
	u32 uid = bpf_get_current_uid_gid();
	struct draft *draft;
	u32 zero = 0;

	if (target_uid != -1 && target_uid != uid)
		return NULL;
	if (target_ppid && target_ppid != ppid)
		return NULL;
	draft = bpf_map_lookup_elem(&drafts, &zero);
	if (!draft)
		return NULL;
	draft->record.pid = bpf_get_current_pid_tgid() >> 32;
	draft->record.ppid = ppid;
	draft->record.uid = uid;
	draft->record.ret = ret;
	bpf_get_current_comm(draft->record.comm, sizeof(draft->record.comm));
	return draft;
}

/* Sends the first `size` bytes of the arguments, each of which ends with a zero, as one string. */
static void send(struct executed *record, u32 size)
{
	u64 *words = (void *)record->args;

	for (u32 i = 0; i < ARGS_SIZE / sizeof(*words) && i * sizeof(*words) < size; i++) {
		const u64 low = 0x7f7f7f7f7f7f7f7f;
		u64 word = words[i];

		/* The highest bit of each zero byte, shifted to the bit that a space has set. */
		words[i] = word | ~(((word & low) + low) | word | low) >> 2;
	}
	/* The last zero ends the string. */
	if (!size)
		size = 1;
	if (size > ARGS_SIZE)
		size = ARGS_SIZE;
	record->args[(size - 1) & (ARGS_SIZE - 1)] = 0;
	bpf_ringbuf_output(&events, record, offsetof(struct executed, args) + size, 0);
}

/* Copies a string to the arguments, and returns the position of the next one. */
static u32 add(struct draft *draft, u32 at, const char *text)
{
	long size;

	if (at >= ARGS_SIZE)
		return at;
	size = bpf_probe_read_user_str(draft->record.args + at, ARGS_SIZE, text);
	return size > 0 ? at + size : at;
}

SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	/* The thread ID before the call, which exec can change. */
	u32 tid = ctx->args[1];
	struct draft *draft;
	u64 start, size;

	if (with_failed)
		bpf_map_delete_elem(&attempts, &tid);
	draft = begin(0);
	if (!draft)
		return 0;
	/* The kernel has just written the arguments to the stack of the new program. */
	start = BPF_CORE_READ(task, mm, arg_start);
	size = BPF_CORE_READ(task, mm, arg_end) - start;
	draft->record.cut = size > ARGS_SIZE;
	if (size > ARGS_SIZE)
		size = ARGS_SIZE;
	if (bpf_probe_read_user(draft->record.args, size, (void *)start)) {
		draft->record.cut = true;
		size = 0;
	}
	send(&draft->record, size);
	return 0;
}

static int entered(const char *filename, const char *const *argv)
{
	struct attempt attempt = {.filename = filename, .argv = argv};
	u32 tid = bpf_get_current_pid_tgid();

	if (with_failed)
		bpf_map_update_elem(&attempts, &tid, &attempt, BPF_ANY);
	return 0;
}

/* Only a failed call still has its arguments. Successful calls are already reported. */
static int left(s32 ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct attempt *attempt, tried;
	struct draft *draft;
	const char *arg;
	u32 at, i;

	attempt = bpf_map_lookup_elem(&attempts, &tid);
	if (!attempt)
		return 0;
	tried = *attempt;
	bpf_map_delete_elem(&attempts, &tid);
	if (ret >= 0)
		return 0;
	draft = begin(ret);
	if (!draft)
		return 0;
	/* Attempts along a search path differ only in the file, so it replaces argument 0. */
	at = add(draft, 0, tried.filename);
	/* Empty if the call names an open file. */
	if (at == 1)
		at = 0;
	arg = NULL;
	for (i = 0; i <= MAX_ARGS; i++) {
		if (bpf_probe_read_user(&arg, sizeof(arg), &tried.argv[i]) || !arg)
			break;
		if (at >= ARGS_SIZE || i == MAX_ARGS)
			break;
		if (i || !at)
			at = add(draft, at, arg);
	}
	draft->record.cut = at > ARGS_SIZE || arg;
	send(&draft->record, at);
	return 0;
}

SEC("tp/syscalls/sys_enter_execve")
int execve_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((const char *)ctx->args[0], (const char *const *)ctx->args[1]);
}

SEC("tp/syscalls/sys_exit_execve")
int execve_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_execveat")
int execveat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered((const char *)ctx->args[1], (const char *const *)ctx->args[2]);
}

SEC("tp/syscalls/sys_exit_execveat")
int execveat_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

/// @brief Programs that start, with their arguments
char LICENSE[] SEC("license") = "GPL";
