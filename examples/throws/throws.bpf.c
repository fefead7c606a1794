// SPDX-License-Identifier: GPL-2.0
// Counts the exceptions that C++ programs throw and catch, by their type.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/usdt.bpf.h>
#include <maps.bpf.h>

#define MAX_TYPES 4096

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only this process; 0: all
const volatile u32 target_pid = 0;

struct exception {
	u32 pid;
	char comm[16];
	/* The mangled name: `c++filt -t` translates it. */
	char type[44];
};

struct counts {
	u64 thrown;
	u64 rethrown;
	u64 caught;
};

static const struct counts zero;

/* The least recently used types make room for others. */
/// @view {"kind": "table", "sort": "thrown"}
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct exception);
	__type(value, struct counts);
	__uint(max_entries, MAX_TYPES);
} exceptions SEC(".maps");

/* The beginning of each std::type_info in the C++ ABI. */
struct type_info {
	const void *vtable;
	const char *name;
};

static struct counts *counts_of(const struct type_info *type)
{
	struct exception key = {.pid = bpf_get_current_pid_tgid() >> 32};
	const char *name = NULL;

	if (target_pid && target_pid != key.pid)
		return NULL;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	/* Empty if the page with the name is not in memory. */
	bpf_probe_read_user(&name, sizeof(name), &type->name);
	if (bpf_probe_read_user_str(key.type, sizeof(key.type), name) < 0)
		key.type[0] = 0;
	return bpf_map_lookup_or_try_init(&exceptions, &key, &zero);
}

/* Each probe passes the exception and its type. */
SEC("usdt/libstdc++.so.6:libstdcxx:throw")
int BPF_USDT(on_throw, void *object, const struct type_info *type)
{
	struct counts *counts = counts_of(type);

	if (counts)
		__sync_fetch_and_add(&counts->thrown, 1);
	return 0;
}

SEC("usdt/libstdc++.so.6:libstdcxx:rethrow")
int BPF_USDT(on_rethrow, void *object, const struct type_info *type)
{
	struct counts *counts = counts_of(type);

	if (counts)
		__sync_fetch_and_add(&counts->rethrown, 1);
	return 0;
}

SEC("usdt/libstdc++.so.6:libstdcxx:catch")
int BPF_USDT(on_catch, void *object, const struct type_info *type)
{
	struct counts *counts = counts_of(type);

	if (counts)
		__sync_fetch_and_add(&counts->caught, 1);
	return 0;
}

/// @brief Exceptions that C++ programs throw and catch
char LICENSE[] SEC("license") = "GPL";
