// SPDX-License-Identifier: GPL-2.0
// Reports each line that a user enters in bash.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this shell; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "uid", "short": "u"}
/// @description Only shells of this user; -1: all
const volatile s64 target_uid = -1;

struct entered {
	u32 pid;
	u32 uid;
	char comm[16];
	/* Truncated to this size. */
	char line[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} lines SEC(".maps");

/*
 * Debian's bash contains readline; other builds use the shared library. The function has just
 * written the text, so its pages are in memory.
 */
SEC("uretprobe//bin/bash:readline")
int BPF_URETPROBE(readline_returned, const char *text)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u32 uid = bpf_get_current_uid_gid();
	struct entered *record;

	/* Null: the end of the input. */
	if (!text)
		return 0;
	if ((target_pid && target_pid != pid) || (target_uid != -1 && target_uid != uid))
		return 0;
	record = bpf_ringbuf_reserve(&lines, sizeof(*record), 0);
	if (!record)
		return 0;
	record->pid = pid;
	record->uid = uid;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	if (bpf_probe_read_user_str(record->line, sizeof(record->line), text) < 0)
		record->line[0] = 0;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/// @brief Lines that are entered in bash
char LICENSE[] SEC("license") = "GPL";
