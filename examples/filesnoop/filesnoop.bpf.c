// SPDX-License-Identifier: GPL-2.0
// Reports names of files that are created, renamed and removed: mkdir, rename, unlink, rmdir.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#define AT_REMOVEDIR 0x200
#define MAX_TASKS 10240
#define PATH_SIZE 256

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "failed", "short": "x"}
/// @description Only failed calls
const volatile bool only_failed = false;

enum op {
	UNLINK,
	MKDIR,
	RMDIR,
	RENAME,
};

struct changed {
	u32 pid;
	enum op op;
	s32 ret;
	char comm[16];
	/* As passed, truncated to this size. */
	char path[PATH_SIZE];
	/* Only of RENAME; other records end before it. */
	char newpath[PATH_SIZE];
};

/* Too large for the BPF stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct changed);
	__uint(max_entries, 1);
} drafts SEC(".maps");

struct call {
	enum op op;
	const char *path;
	const char *newpath;
};

/* The arguments of the calls that threads are in. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct call);
	__uint(max_entries, MAX_TASKS);
} calls SEC(".maps");

/* A perf buffer, which kernels before 5.8 also have. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

static int entered(enum op op, u64 path, u64 newpath)
{
	struct call call = {
		.op = op,
		.path = (const char *)path,
		.newpath = (const char *)newpath,
	};
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;

	if (!target_pid || target_pid == id >> 32)
		bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

/* If the path cannot be read, the call fails, too. */
static void read_path(char *into, const char *path)
{
	if (bpf_probe_read_user_str(into, PATH_SIZE, path) < 0)
		into[0] = 0;
}

/* The paths are read here: at the entry, their pages may not be in memory yet. */
static int left(struct trace_event_raw_sys_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id, zero = 0;
	struct changed *record = bpf_map_lookup_elem(&drafts, &zero);
	struct call *call = bpf_map_lookup_elem(&calls, &tid);

	if (!record || !call)
		return 0;
	if (only_failed && ctx->ret >= 0)
		goto out;
	record->pid = id >> 32;
	record->op = call->op;
	record->ret = ctx->ret;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	read_path(record->path, call->path);
	if (call->op == RENAME) {
		read_path(record->newpath, call->newpath);
		bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record, sizeof(*record));
	} else {
		bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record,
				      offsetof(struct changed, newpath));
	}
out:
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

#define ON_EXIT(call)                                         \
	SEC("tp/syscalls/sys_exit_" #call)                    \
	int call##_exit(struct trace_event_raw_sys_exit *ctx) \
	{                                                     \
		return left(ctx);                             \
	}

/* Other architectures have only the variants with `at`. */
#ifdef __TARGET_ARCH_x86
SEC("tp/syscalls/sys_enter_unlink")
int unlink_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(UNLINK, ctx->args[0], 0);
}
ON_EXIT(unlink)

SEC("tp/syscalls/sys_enter_mkdir")
int mkdir_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(MKDIR, ctx->args[0], 0);
}
ON_EXIT(mkdir)

SEC("tp/syscalls/sys_enter_rmdir")
int rmdir_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(RMDIR, ctx->args[0], 0);
}
ON_EXIT(rmdir)

SEC("tp/syscalls/sys_enter_rename")
int rename_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(RENAME, ctx->args[0], ctx->args[1]);
}
ON_EXIT(rename)
#endif

SEC("tp/syscalls/sys_enter_renameat")
int renameat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(RENAME, ctx->args[1], ctx->args[3]);
}
ON_EXIT(renameat)

SEC("tp/syscalls/sys_enter_unlinkat")
int unlinkat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(ctx->args[2] & AT_REMOVEDIR ? RMDIR : UNLINK, ctx->args[1], 0);
}
ON_EXIT(unlinkat)

SEC("tp/syscalls/sys_enter_mkdirat")
int mkdirat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(MKDIR, ctx->args[1], 0);
}
ON_EXIT(mkdirat)

SEC("tp/syscalls/sys_enter_renameat2")
int renameat2_enter(struct trace_event_raw_sys_enter *ctx)
{
	return entered(RENAME, ctx->args[1], ctx->args[3]);
}
ON_EXIT(renameat2)

/// @brief Names of files that are created, renamed and removed
char LICENSE[] SEC("license") = "GPL";
