// SPDX-License-Identifier: GPL-2.0
// Reports each file that is opened, where the kernel asks its security modules.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* The access mode: the lowest two bits of the flags of a file. */
#define O_ACCMODE 03

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only processes of this user; -1: all
const volatile s64 target_uid = -1;

/// @cmdarg {"long": "written", "short": "w"}
/// @description Only files that are opened for writing
const volatile bool only_written = false;

enum access {
	READ,
	WRITE,
	BOTH,
	/* Only for ioctl(2): some drivers accept open(2) with 3, not one of these. */
	NEITHER,
};

struct opened {
	u32 pid;
	u32 uid;
	enum access access;
	char comm[16];
	/* From the root of the process; empty if it is longer. */
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 21);
} opens SEC(".maps");

/* `ret` is the result of the previous BPF program, and is passed on: this one denies nothing. */
SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file, int ret)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u32 uid = bpf_get_current_uid_gid();
	enum access access = file->f_flags & O_ACCMODE;
	struct opened *record;

	if ((target_pid && target_pid != pid) || (target_uid != -1 && target_uid != uid))
		return ret;
	if (only_written && access == READ)
		return ret;
	record = bpf_ringbuf_reserve(&opens, sizeof(*record), 0);
	if (!record)
		return ret;
	record->pid = pid;
	record->uid = uid;
	record->access = access;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	if (bpf_d_path((struct path *)&file->f_path, record->path, sizeof(record->path)) < 0)
		record->path[0] = 0;
	bpf_ringbuf_submit(record, 0);
	return ret;
}

/// @brief Files that are opened, with complete paths
char LICENSE[] SEC("license") = "GPL";
