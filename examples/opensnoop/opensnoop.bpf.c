// SPDX-License-Identifier: GPL-2.0
// Reports each file that a process opens, or fails to open.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#define MAX_TASKS 10240

/* The flags of creat(2): O_CREAT | O_WRONLY | O_TRUNC. */
#define CREAT_FLAGS 01101

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only processes of this user; -1: all
const volatile s64 target_uid = -1;

/// @cmdarg {"long": "failed", "short": "x"}
/// @description Only failed calls
const volatile bool only_failed = false;

struct opened {
	u32 pid;
	u32 uid;
	/* A file descriptor, or a negative error. */
	s32 ret;
	u32 flags;
	char comm[16];
	/* As passed, truncated to this size. */
	char fname[256];
};

struct call {
	const char *fname;
	u32 flags;
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
	__uint(max_entries, 1 << 21);
} events SEC(".maps");

static int entered(u64 fname, u32 flags)
{
	struct call call = {.fname = (const char *)fname, .flags = flags};
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;

	if (target_pid && target_pid != id >> 32)
		return 0;
	if (target_uid != -1 && target_uid != (u32)bpf_get_current_uid_gid())
		return 0;
	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

/* The name is read here: at the entry, its page may not be in memory yet. */
static int left(s64 ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct opened *record;
	struct call *call;
	u32 tid = id;

	call = bpf_map_lookup_elem(&calls, &tid);
	if (!call)
		return 0;
	if (only_failed && ret >= 0)
		goto out;
	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	if (!record)
		goto out;
	record->pid = id >> 32;
	record->uid = bpf_get_current_uid_gid();
	record->ret = ret;
	record->flags = call->flags;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	/* If the name cannot be read, the call fails, too. */
	if (bpf_probe_read_user_str(record->fname, sizeof(record->fname), call->fname) < 0)
		record->fname[0] = 0;
	bpf_ringbuf_submit(record, 0);
out:
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* Other architectures have only the variants with `at`. */
#ifdef __TARGET_ARCH_x86
SEC("tp/syscalls/sys_enter_open")
int open_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(ctx->args[0], ctx->args[1]);
}

SEC("tp/syscalls/sys_exit_open")
int open_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_creat")
int creat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(ctx->args[0], CREAT_FLAGS);
}

SEC("tp/syscalls/sys_exit_creat")
int creat_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}
#endif

SEC("tp/syscalls/sys_enter_openat")
int openat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(ctx->args[1], ctx->args[2]);
}

SEC("tp/syscalls/sys_exit_openat")
int openat_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

SEC("tp/syscalls/sys_enter_openat2")
int openat2_enter(struct trace_event_raw_sys_enter *ctx)
{
	/* The third argument points to a struct that begins with the flags. */
	u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)ctx->args[2]);
	return entered(ctx->args[1], flags);
}

SEC("tp/syscalls/sys_exit_openat2")
int openat2_exit(struct trace_event_raw_sys_exit *ctx)
{
	return left(ctx->ret);
}

/// @brief Files that processes open, or fail to open
char LICENSE[] SEC("license") = "GPL";
