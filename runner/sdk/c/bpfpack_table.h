/* SPDX-License-Identifier: MIT */
/*
 * bpfpack_table.h: hash tables, for joins and counters. Keys are compared byte by byte, so the padding
 * of a key must be zero.
 *
 *     static struct bp_table started = BP_TABLE(uint32_t, struct start);
 *     struct start *start = bp_table_add(&started, &pid);
 */
#ifndef BPFPACK_TABLE_H
#define BPFPACK_TABLE_H

#include "bpfpack.h"

struct bp_table {
	uint32_t key_size, value_size;
	/* The number of elements, and of places: a power of two. A place is a flag, a key and a value. */
	uint32_t used, places;
	unsigned char *at;
};

/* Initializes a table with the types of its keys and values. */
#define BP_TABLE(key, value) {sizeof(key), sizeof(value), 0, 0, NULL}

BP_INLINE uint32_t bp_table_stride(const struct bp_table *table)
{
	return 8 + ((table->key_size + 7) & ~7u) + ((table->value_size + 7) & ~7u);
}

BP_INLINE unsigned char *bp_table_place(const struct bp_table *table, uint32_t place)
{
	return table->at + (size_t)place * bp_table_stride(table);
}

BP_INLINE void *bp_table_value(const struct bp_table *table, unsigned char *place)
{
	return place + 8 + ((table->key_size + 7) & ~7u);
}

BP_OWN uint32_t bp_table_hash(const struct bp_table *table, const void *key)
{
	const unsigned char *bytes = key;
	uint32_t hash = 2166136261u;

	for (uint32_t i = 0; i < table->key_size; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return (hash ^ hash >> 15) & (table->places - 1);
}

/* The place of a key, or the free place for it. */
BP_OWN uint32_t bp_table_search(const struct bp_table *table, const void *key)
{
	uint32_t place = bp_table_hash(table, key);
	unsigned char *at;

	for (; *(at = bp_table_place(table, place)); place = (place + 1) & (table->places - 1))
		if (!memcmp(at + 8, key, table->key_size))
			break;
	return place;
}

/* The value of a key; null if it does not exist. */
BP_OWN void *bp_table_find(const struct bp_table *table, const void *key)
{
	unsigned char *at;

	if (!table->places)
		return NULL;
	at = bp_table_place(table, bp_table_search(table, key));
	return *at ? bp_table_value(table, at) : NULL;
}

/* The value of a key, which is added with a zeroed value if it does not exist. Adding another key can
 * move the value. */
BP_OWN void *bp_table_add(struct bp_table *table, const void *key)
{
	unsigned char *at;

	if ((table->used + 1) * 4 > table->places * 3) {
		struct bp_table more = *table;

		more.places = table->places ? table->places * 2 : 64;
		if (more.places > UINT32_MAX / bp_table_stride(table))
			bp_fail("a table has too many elements");
		more.at = bp_memory(more.places * bp_table_stride(table));
		for (uint32_t place = 0; place < table->places; place++) {
			at = bp_table_place(table, place);
			if (*at)
				memcpy(bp_table_place(&more, bp_table_search(&more, at + 8)), at,
				       bp_table_stride(table));
		}
#ifdef __wasi__
		free(table->at);
#endif
		*table = more;
	}
	at = bp_table_place(table, bp_table_search(table, key));
	if (!*at) {
		*at = 1;
		table->used++;
		memcpy(at + 8, key, table->key_size);
		memset(bp_table_value(table, at), 0, table->value_size);
	}
	return bp_table_value(table, at);
}

/* Removes a key, if it exists. It can move other values. */
BP_OWN void bp_table_remove(struct bp_table *table, const void *key)
{
	uint32_t free, place, home, last = table->places - 1;
	unsigned char *at;

	if (!table->places)
		return;
	free = bp_table_search(table, key);
	if (!*bp_table_place(table, free))
		return;
	table->used--;
	/* Move up later elements whose search starts here or before. */
	for (place = (free + 1) & last; *(at = bp_table_place(table, place)); place = (place + 1) & last) {
		home = bp_table_hash(table, at + 8);
		if (((place - home) & last) < ((place - free) & last))
			continue;
		memcpy(bp_table_place(table, free), at, bp_table_stride(table));
		free = place;
	}
	*bp_table_place(table, free) = 0;
}

/* Iterates over all elements, in no order: for (uint32_t at = 0; bp_table_next(t, &at, &k, &v);).
 * The table must not change meanwhile. Returns false at the end. */
BP_OWN bool bp_table_next(const struct bp_table *table, uint32_t *at, const void **key,
			  void **value)
{
	while (*at < table->places) {
		unsigned char *place = bp_table_place(table, (*at)++);

		if (!*place)
			continue;
		*key = place + 8;
		*value = bp_table_value(table, place);
		return true;
	}
	return false;
}

#endif
