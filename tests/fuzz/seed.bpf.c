// SPDX-License-Identifier: GPL-2.0
// A small object with all that is read of one: maps, records, histograms, arguments, calls. It
// includes nothing, so that its debug information is small.
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) =
	(void *)2;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static void *(*bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;

enum kind { FIRST, SECOND = -1 };
typedef struct {
	u32 kind : 3;
	u32 cpu : 29;
	union {
		u64 time;
		char name[2][4];
	};
	enum kind *other;
} event_t;

struct key {
	u32 slot;
	u32 disk;
};

struct {
	int (*type)[1];
	int (*max_entries)[64];
	struct key *key;
	u64 *value;
} slots SEC(".maps");

struct {
	int (*type)[27];
	int (*max_entries)[4096];
} events SEC(".maps");

/// @cmdarg {"short": "p"}
const volatile int target = 3;
u32 counts[8];

static __attribute__((noinline)) void *reserve(u64 size)
{
	return bpf_ringbuf_reserve(&events, size, 0);
}

static __attribute__((always_inline)) u32 log2l(u64 value)
{
	u32 slot = 0;

	for (int i = 0; i < 5; i++)
		if (value >> (1 << i))
			slot += 1 << i;
	return slot;
}

SEC("raw_tp/sched_switch")
int handle(void *ctx)
{
	struct key key = { .disk = target };
	u64 delta = bpf_ktime_get_ns() - 5, one = 1, *count;
	event_t *event;

	delta /= 1000;
	key.slot = log2l(delta);
	count = bpf_map_lookup_elem(&slots, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&slots, &key, &one, 0);
	counts[key.slot & 7]++;
	event = reserve(sizeof(*event));
	if (event) {
		event->time = delta;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
