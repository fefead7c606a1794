// SPDX-License-Identifier: GPL-2.0
// How long reads and writes take, of any kind of file.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>

#define MAX_SLOTS 32
#define MAX_TASKS 10240

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "ns", "short": "n"}
/// @description Times in nanoseconds instead of microseconds
const volatile bool in_ns = false;

enum op {
	READ,
	WRITE,
	NR_OPS,
};

struct times {
	u64 calls;
	u64 failed;
	u64 bytes;
	u64 slots[MAX_SLOTS];
};

/* When the current calls of threads began. The entries of ended threads make room for others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, MAX_TASKS);
} start SEC(".maps");

/* One per CPU, so that CPUs do not contend for it. */
/// @sample {"interval": 1000, "type": "log2_hist", "key_labels": ["read", "write"],
///          "unit": "usecs", "unit_when": {"in_ns": "nsecs"}}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct times);
	__uint(max_entries, NR_OPS);
} times SEC(".maps");

static int entered(void)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	u32 tid = id;

	if (!target_pid || target_pid == id >> 32)
		bpf_map_update_elem(&start, &tid, &now, BPF_ANY);
	return 0;
}

static int left(u32 op, s64 ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 *began = bpf_map_lookup_elem(&start, &tid), delta;
	struct times *sum;

	if (!began)
		return 0;
	delta = bpf_ktime_get_ns() - *began;
	bpf_map_delete_elem(&start, &tid);
	if (!in_ns)
		delta /= 1000;
	sum = bpf_map_lookup_elem(&times, &op);
	if (!sum)
		return 0;
	/* Another thread can run on this CPU in between. */
	__sync_fetch_and_add(&sum->calls, 1);
	if (ret < 0)
		__sync_fetch_and_add(&sum->failed, 1);
	else
		__sync_fetch_and_add(&sum->bytes, ret);
	__sync_fetch_and_add(&sum->slots[log2_slot(delta, MAX_SLOTS)], 1);
	return 0;
}

SEC("fentry/vfs_read")
int BPF_PROG(read_fentry)
{
	return entered();
}

SEC("fexit/vfs_read")
int BPF_PROG(read_fexit, struct file *file, char *buf, size_t count, loff_t *pos, ssize_t ret)
{
	return left(READ, ret);
}

SEC("fentry/vfs_write")
int BPF_PROG(write_fentry)
{
	return entered();
}

SEC("fexit/vfs_write")
int BPF_PROG(write_fexit, struct file *file, char *buf, size_t count, loff_t *pos, ssize_t ret)
{
	return left(WRITE, ret);
}

/* For kernels without BPF trampolines. ecli attaches one of each pair. */
SEC("kprobe/vfs_read")
int BPF_KPROBE(read_kprobe)
{
	return entered();
}

SEC("kretprobe/vfs_read")
int BPF_KRETPROBE(read_kretprobe, ssize_t ret)
{
	return left(READ, ret);
}

SEC("kprobe/vfs_write")
int BPF_KPROBE(write_kprobe)
{
	return entered();
}

SEC("kretprobe/vfs_write")
int BPF_KRETPROBE(write_kretprobe, ssize_t ret)
{
	return left(WRITE, ret);
}

/// @brief Histograms of how long reads and writes take
/// @details Times are in microseconds unless --ns is given.
char LICENSE[] SEC("license") = "GPL";
