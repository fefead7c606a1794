// SPDX-License-Identifier: GPL-2.0
// How many pages enter and leave the page cache, become dirty, and are written back.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum event {
	/* Pages that are read, or new: each one is a miss. */
	ADDED,
	REMOVED,
	DIRTIED,
	/* Written back by kernel threads. */
	WRITTEN,
	NR_EVENTS,
};

/// @sample {"interval": 1000, "key_labels": ["added", "removed", "dirtied", "written"]}
u64 pages[NR_EVENTS];

struct folio___before_6_18 {
	unsigned long flags;
} __attribute__((preserve_access_index));

struct folio___before_6_15 {
	unsigned int _folio_nr_pages;
} __attribute__((preserve_access_index));

static int count(enum event event, u64 number)
{
	__sync_fetch_and_add(&pages[event], number);
	return 0;
}

/* Whether the folio has more than one page. */
static bool is_large(struct folio *folio)
{
	struct folio___before_6_18 *old = (void *)folio;
	u64 flags;

	if (bpf_core_field_exists(old->flags))
		flags = BPF_CORE_READ(old, flags);
	else
		flags = BPF_CORE_READ(folio, flags.f);
	return flags & 1ULL << bpf_core_enum_value(enum pageflags, PG_head);
}

/* Before 6.1, a folio does not store its number of pages. Before 5.16, there are no folios. */
static u64 pages_of(struct folio *folio)
{
	struct folio___before_6_15 *old = (void *)folio;

	if (bpf_core_field_exists(folio->_nr_pages))
		return is_large(folio) ? BPF_CORE_READ(folio, _nr_pages) : 1;
	if (bpf_core_field_exists(old->_folio_nr_pages))
		return is_large(folio) ? BPF_CORE_READ(old, _folio_nr_pages) : 1;
	return 1;
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(added, struct folio *folio)
{
	return count(ADDED, pages_of(folio));
}

SEC("tp_btf/mm_filemap_delete_from_page_cache")
int BPF_PROG(removed, struct folio *folio)
{
	return count(REMOVED, pages_of(folio));
}

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(dirtied, struct folio *folio)
{
	return count(DIRTIED, pages_of(folio));
}

/* The name of the tracepoint before 5.18. ecli omits the program whose tracepoint is missing. */
SEC("tp_btf/writeback_dirty_page")
int BPF_PROG(dirtied_page)
{
	return count(DIRTIED, 1);
}

SEC("tp_btf/writeback_pages_written")
int BPF_PROG(written, long number)
{
	return count(WRITTEN, number);
}

/// @brief Count pages that enter the page cache, leave it, become dirty and are written back
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
