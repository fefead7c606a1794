// SPDX-License-Identifier: GPL-2.0
// Which files processes read and write, and how much.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <maps.bpf.h>
#include "calls.h"

#define MAX_ROWS 10240
#define S_IFMT 00170000
#define S_IFREG 0100000

/// @cmdarg {"long": "all", "short": "a"}
/// @description Include pipes, sockets, terminals and devices
const volatile bool all_files = false;

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

struct use {
	u32 pid;
	char comm[16];
	/* Without its directory. */
	char file[32];
};

struct traffic {
	u64 reads;
	u64 writes;
	u64 rbytes;
	u64 wbytes;
};

/// @view {"kind": "table", "sort": "rbytes"}
/// @meanings {"rbytes": "size", "wbytes": "size"}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct use);
	__type(value, struct traffic);
	__uint(max_entries, MAX_ROWS);
} files SEC(".maps");

/* The open file of a task's descriptor. */
static struct file *file_of(struct task_struct *task, u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (descriptor < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), files + descriptor);
	return file;
}

static bool is_chosen(struct file *file)
{
	return all_files || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;
}

/* The number of the call and its arguments are available until it returns. */
static int returned(struct pt_regs *regs, s64 bytes)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	static const struct traffic zero;
	struct traffic *traffic;
	struct use use = {};
	struct file *file;
	enum direction direction;

	if (bytes < 0 || (target_pid && target_pid != pid))
		return 0;
	direction = direction_of(task, regs);
	if (direction == NEITHER)
		return 0;
	file = file_of(task, PT_REGS_PARM1_CORE_SYSCALL(regs));
	if (!file || !is_chosen(file))
		return 0;
	use.pid = pid;
	bpf_get_current_comm(use.comm, sizeof(use.comm));
	bpf_probe_read_kernel_str(use.file, sizeof(use.file),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	traffic = bpf_map_lookup_or_try_init(&files, &use, &zero);
	if (!traffic)
		return 0;
	__sync_fetch_and_add(direction == READ ? &traffic->reads : &traffic->writes, 1);
	__sync_fetch_and_add(direction == READ ? &traffic->rbytes : &traffic->wbytes, bytes);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit_btf, struct pt_regs *regs, long ret)
{
	return returned(regs, ret);
}

/* For kernels that cannot load the other. ecli attaches one of the two. */
SEC("raw_tp/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	return returned(regs, ret);
}

/// @brief Reads and writes, by process and file
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
