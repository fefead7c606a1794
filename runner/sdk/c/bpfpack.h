/* SPDX-License-Identifier: MIT */
/*
 * bpfpack.h: post-processors for ecli in C (not C++), version 1. runner/WASM.md is the reference.
 *
 *     clang --target=wasm32-unknown-unknown -nostdlib -O2 -Wl,--no-entry -I THIS_DIRECTORY x.c -o x.wasm
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -I THIS_DIRECTORY x.c -o x.wasm
 *
 * The second command uses wasi-libc: printf writes to the output. Nothing flushes stdout at the end; a
 * line without a line feed needs fflush(stdout).
 *
 * A module defines any of BP_START, BP_RECORDS, BP_SAMPLE, BP_TICK and BP_END:
 *
 *     static struct bp_member ran;
 *     static uint64_t least;
 *
 *     BP_START(about)
 *     {
 *             ran = bp_member(bp_source("events"), 0, "duration_ns");
 *             least = bp_parameter_time("least", 5 * BP_MS);
 *             return 0;
 *     }
 *
 *     BP_RECORDS(batch)
 *     {
 *             bp_each_record(record, batch)
 *                     if (bp_u64(ran, record) >= least)
 *                             bp_emit(record);
 *             return 0;
 *     }
 *
 * They return 0 to continue and 1 to end the run. A source, member or map that does not exist, or a
 * parameter of the wrong form, ends the run with a failure; functions with `find` in their names
 * report it instead.
 */
#ifndef BPFPACK_H
#define BPFPACK_H

#include "bpfpack_base.h"
#include "bpfpack_json.h"
#include "bpfpack_ask.h"

/* ---- Functions of ecli; the functions below are easier to use. ---- */

BP_IMPORT(emit) void bp_host_emit(uint32_t source, uint32_t kind, const void *at, uint32_t len);
BP_IMPORT(rows) void bp_host_rows(uint32_t source, const void *rows, uint32_t len);
BP_IMPORT(declare) int32_t bp_host_declare(const char *text, uint32_t len);
BP_IMPORT(source) int32_t bp_host_source(const char *name, uint32_t len);
BP_IMPORT(member)
int32_t bp_host_member(uint32_t source, uint32_t kind, const char *name, uint32_t len, void *at);
BP_IMPORT(symbol) int32_t bp_host_symbol(int64_t at, uint32_t pid, char *room, uint32_t size);
BP_IMPORT(map) int32_t bp_host_map(const char *name, uint32_t len);

/* These four return 0, or a negative error number of Linux: -2 (ENOENT) if the key does not exist.
 * Keys and values have the sizes of the map; a value of a per-CPU map has a part for each CPU,
 * rounded up to a multiple of 8. `flags` are those of bpf(2). A null `key` gives the first key. */
BP_IMPORT(map_lookup) int32_t bp_map_lookup(uint32_t map, const void *key, void *value);
BP_IMPORT(map_update)
int32_t bp_map_update(uint32_t map, const void *key, const void *value, uint64_t flags);
BP_IMPORT(map_delete) int32_t bp_map_delete(uint32_t map, const void *key);
BP_IMPORT(map_next) int32_t bp_map_next(uint32_t map, const void *key, void *next);
/* Sets the interval of BP_TICK; 0 ends the calls. */
BP_IMPORT(every) void bp_every(uint32_t milliseconds);
#define BP_MONOTONIC 0
#define BP_REALTIME 1
#define BP_BOOTTIME 2
/* The time of a clock in nanoseconds. */
BP_IMPORT(clock) int64_t bp_clock(uint32_t which);
/* Ends the run; the exit code of ecli is `code`, from 0 to 255. The first call counts. */
BP_IMPORT(stop) void bp_stop(uint32_t code);

BP_EXPORT(bpfpack_version) BP_ONCE int32_t bpfpack_version(void)
{
	return 1;
}

/* ---- Members ---- */

enum bp_type {
	BP_BYTES,
	BP_UNSIGNED,
	BP_SIGNED,
	BP_FLOAT,
	BP_BOOL,
	BP_CHARS,
	BP_POINTER,
	BP_STRUCT,
};

/* The position and type of a member. Find it once, in BP_START. */
struct bp_member {
	/* Written by ecli: bytes; `count` is 1 for no array, 0 for one that ends with the record. */
	uint32_t offset, size, type, count, stride;
	uint16_t first_bit, bits;
	/* For reading: the end of the read, and the shifts of the 8 bytes. */
	uint32_t end;
	uint8_t left, right;
	bool is_signed;
};

/* A record, or a row of a reading; `kind` is an index into the records of its source. */
struct bp_record {
	const unsigned char *bytes;
	uint32_t len, source;
	/* `cpu` is 65535 if it is unknown. */
	uint16_t kind, cpu;
};

BP_OWN void bp_prepare(struct bp_member *member)
{
	uint32_t bits = member->bits, first = member->first_bit % 8;
	uint32_t skip = member->bits ? member->first_bit / 8 : 0, bytes;

	if (!bits) {
		first = 0;
		bits = member->size < 8 ? member->size * 8 : 64;
	}
	/* A packed bitfield can span 9 bytes: its last bits are omitted. */
	if (first + bits > 64)
		bits = 64 - first;
	bytes = (first + bits + 7) / 8;
	member->offset += skip;
	member->end = member->offset > UINT32_MAX - bytes ? UINT32_MAX : member->offset + bytes;
	member->left = bits ? 64 - first - bits : 63;
	member->right = bits ? 64 - bits : 63;
	member->is_signed = member->type == BP_SIGNED;
}

/* Finds a member by its name, `outer.inner` for a nested one. Returns whether it exists. */
BP_OWN bool bp_find_member(uint32_t source, uint32_t kind, const char *name, struct bp_member *to)
{
	memset(to, 0, sizeof(*to));
	if (bp_host_member(source, kind, name, strlen(name), to) < 0)
		return false;
	bp_prepare(to);
	return true;
}

/* The same; the run fails if the member does not exist. */
BP_OWN struct bp_member bp_member(uint32_t source, uint32_t kind, const char *name)
{
	struct bp_member member;

	if (!bp_find_member(source, kind, name, &member))
		bp_fail("kind %u of source %u has no member `%s`", kind, source, name);
	return member;
}

/* An element of an array. One that does not exist reads as zeros. */
BP_INLINE struct bp_member bp_element(struct bp_member array, uint32_t index)
{
	uint64_t offset = array.offset + (uint64_t)index * array.stride;
	uint32_t bytes = array.end - array.offset;

	if ((array.count && index >= array.count) || offset > UINT32_MAX - 8)
		offset = UINT32_MAX - 8;
	array.offset = offset;
	array.end = (uint32_t)offset + bytes;
	array.count = 1;
	return array;
}

/* The number of elements of an array in this record. */
BP_INLINE uint32_t bp_count(struct bp_member array, struct bp_record record)
{
	if (array.count || !array.stride || array.offset > record.len)
		return array.count;
	return (record.len - array.offset) / array.stride;
}

/* Takes no struct: a record whose address is passed would be in memory instead of registers. */
BP_OWN __attribute__((noinline)) uint64_t bp_load_short(const unsigned char *bytes, uint32_t have)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < have && i < 8; i++)
		bits |= (uint64_t)bytes[i] << 8 * i;
	return bits;
}

BP_INLINE uint64_t bp_load(const struct bp_member *member, struct bp_record record)
{
	uint64_t bits;

	/* Bytes after the end of the record read as zeros. */
	if (__builtin_expect(member->end > record.len, 0))
		return bp_load_short(record.bytes + member->offset,
				     member->offset < record.len ? record.len - member->offset : 0)
		       << member->left;
	__builtin_memcpy(&bits, record.bytes + member->offset, sizeof(bits));
	return bits << member->left;
}

/* A member as an unsigned number; bitfields, too. */
BP_INLINE uint64_t bp_u64(struct bp_member member, struct bp_record record)
{
	return bp_load(&member, record) >> member.right;
}

/* A member as a signed number. Unsigned types are not sign-extended. */
BP_INLINE int64_t bp_i64(struct bp_member member, struct bp_record record)
{
	uint64_t bits = bp_load(&member, record);

	return member.is_signed ? (int64_t)bits >> member.right : (int64_t)(bits >> member.right);
}

/* A member as a floating-point number; integers are converted. */
BP_INLINE double bp_f64(struct bp_member member, struct bp_record record)
{
	union {
		uint64_t bits;
		double wide;
		float narrow;
	} number = {.bits = bp_u64(member, record)};

	if (member.type != BP_FLOAT)
		return member.is_signed ? (double)bp_i64(member, record) : (double)number.bits;
	return member.size == 4 ? number.narrow : number.wide;
}

/* The bytes of a member, as far as the record contains them. */
BP_INLINE struct bp_text bp_bytes(struct bp_member member, struct bp_record record)
{
	uint32_t have = member.offset < record.len ? record.len - member.offset : 0;
	uint64_t size = member.size;

	if (!member.count)
		size = have;
	else if (member.count > 1)
		size = (uint64_t)member.count * member.stride;
	return (struct bp_text){(const char *)record.bytes + (have ? member.offset : 0),
				size < have ? (uint32_t)size : have};
}

/* A member as text, up to its first zero byte. */
BP_INLINE struct bp_text bp_text(struct bp_member member, struct bp_record record)
{
	struct bp_text bytes = bp_bytes(member, record), text = {bytes.at, 0};

	while (text.len < bytes.len && text.at[text.len])
		text.len++;
	return text;
}

/* ---- Records ---- */

/* Consecutive records of a buffer. */
struct bp_batch {
	const unsigned char *bytes;
	uint32_t len, source;
	/* When it was read: BP_MONOTONIC, in nanoseconds. */
	int64_t time;
};

BP_INLINE struct bp_record bp_record_at(struct bp_batch batch, uint32_t at)
{
	struct bp_record record = {0};

	if (at + 8 <= batch.len) {
		const unsigned char *header = batch.bytes + at;

		__builtin_memcpy(&record.len, header, 4);
		__builtin_memcpy(&record.kind, header + 4, 2);
		__builtin_memcpy(&record.cpu, header + 6, 2);
		record.source = batch.source;
		record.bytes = header + 8;
	}
	return record;
}

BP_INLINE struct bp_record bp_record_after(struct bp_batch batch, struct bp_record record)
{
	return bp_record_at(batch, record.bytes - batch.bytes + ((record.len + 7) & ~7u));
}

/* Iterates over the records of a batch. */
#define bp_each_record(record, batch)                                               \
	for (struct bp_record record = bp_record_at(batch, 0); record.bytes;        \
	     record = bp_record_after(batch, record))

/* Shows a record, or passes it to the next module. */
BP_INLINE void bp_emit(struct bp_record record)
{
	bp_host_emit(record.source, record.kind, record.bytes, record.len);
}

/* Shows a struct, given by its address, as a record of a declared source. */
#define bp_emit_struct(source, place) bp_host_emit(source, 0, place, sizeof(*(place)))

/* ---- Sources, declarations, and rows ---- */

/* The description of a source; its `at` is null if it does not exist. */
BP_OWN struct bp_json bp_about_source(struct bp_json about, uint32_t source)
{
	struct bp_json sources = bp_json_get(about, "sources"), item;
	struct bp_text none;

	while ((item = bp_json_next(&sources, &none)).at)
		if (bp_json_number(bp_json_get(item, "source"), UINT32_MAX) == source)
			break;
	return item;
}

/* The number of a source; -1 if it does not exist. */
BP_OWN int32_t bp_find_source(const char *name)
{
	return bp_host_source(name, strlen(name));
}

/* The same; the run fails if the source does not exist. */
BP_OWN uint32_t bp_source(const char *name)
{
	int32_t source = bp_find_source(name);

	if (source < 0)
		bp_fail("the package has no source `%s`", name);
	return source;
}

/* Declares a source of the module, in BP_START, and returns its number:
 * bp_declare({"name": "process", "members": {"pid": "u32", "ran": "u64 duration_ns"}}) */
#define bp_declare(...) bp_host_declare(#__VA_ARGS__, sizeof(#__VA_ARGS__) - 1)

/* A reading of a map. `time` is BP_MONOTONIC, in nanoseconds. */
struct bp_sample {
	const unsigned char *bytes;
	uint32_t len, source;
	/* The size of a row in bytes. */
	uint32_t stride;
	int64_t time;
};

BP_INLINE struct bp_record bp_row_at(struct bp_sample sample, uint32_t at)
{
	if (at + sample.stride > sample.len)
		return (struct bp_record){0};
	return (struct bp_record){sample.bytes + at, sample.stride, sample.source, 0, UINT16_MAX};
}

/* Iterates over the rows of a reading. Members of keys and values are read as those of records. */
#define bp_each_row(row, sample)                                             \
	for (struct bp_record row = bp_row_at(sample, 0); row.bytes;         \
	     row = bp_row_at(sample, row.bytes - (sample).bytes + (sample).stride))

/* Shows a reading unchanged. */
BP_INLINE void bp_show_sample(struct bp_sample sample)
{
	bp_host_rows(sample.source, sample.bytes, sample.len);
}

/* Rows that are collected and shown as one reading. In each row, the value starts at the first
 * multiple of 8 after the key: struct { uint32_t disk, none; uint32_t slots[27]; }. Set `source`; the
 * other members are 0 at the start. */
struct bp_rows {
	uint32_t source;
	struct bp_string bytes;
};

/* Adds a row of `size` bytes, padded to a multiple of 8. */
BP_OWN void bp_add_row(struct bp_rows *rows, const void *row, uint32_t size)
{
	static const char zeros[8];

	bp_put(&rows->bytes, row, size);
	bp_put(&rows->bytes, zeros, -size & 7);
}

/* Shows the rows as one reading, and removes them. */
BP_OWN void bp_show_rows(struct bp_rows *rows)
{
	bp_host_rows(rows->source, rows->bytes.at, rows->bytes.len);
	rows->bytes.len = 0;
}

/* ---- Maps and symbols ---- */

/* The number of a map; the run fails if the map does not exist. */
BP_OWN uint32_t bp_map(const char *name)
{
	int32_t map = bp_host_map(name, strlen(name));

	if (map < 0)
		bp_fail("the package has no map `%s`", name);
	return map;
}

/* The name of the function at an address of a process, or of the kernel (pid 0); `?` if it is
 * unknown. The next call overwrites it. */
BP_OWN struct bp_text bp_symbol(uint64_t address, uint32_t pid)
{
	static char room[256];
	int32_t len = bp_host_symbol(address, pid, room, sizeof(room));

	if (len < 0)
		return (struct bp_text){"?", 1};
	return (struct bp_text){room, (uint32_t)len < sizeof(room) ? (uint32_t)len : sizeof(room)};
}

/* ---- Functions that a module defines ---- */

int32_t bp_on_start(struct bp_json about) __attribute__((weak));
BP_ONCE uint32_t *bp_strides;
BP_ONCE uint32_t bp_stride_count;

/* The description is valid only until this returns. The sizes of rows, which readings do not contain,
 * are kept. */
BP_EXPORT(bpfpack_start) BP_ONCE int32_t bpfpack_start(const char *text, uint32_t len)
{
	struct bp_json about = {text, text + len}, sources = bp_json_get(about, "sources"), item;
	struct bp_text none;

	while ((item = bp_json_next(&sources, &none)).at)
		bp_stride_count++;
	bp_strides = bp_memory(bp_stride_count * sizeof(*bp_strides));
	for (uint32_t source = 0; source < bp_stride_count; source++) {
		item = bp_about_source(about, source);
		bp_strides[source] = bp_json_number(bp_json_get(item, "stride"), 0);
	}
	return bp_on_start ? bp_on_start(about) : 0;
}

/* Called once, before the programs are attached. `about` is the description. */
#define BP_START(about) int32_t bp_on_start(__attribute__((unused)) struct bp_json about)

/* Called for a batch of records. */
#define BP_RECORDS(batch)                                                                         \
	BP_INLINE int32_t bp_on_records(struct bp_batch batch);                                   \
	BP_EXPORT(bpfpack_records) int32_t bpfpack_records(uint32_t, const void *, uint32_t, int64_t); \
	int32_t bpfpack_records(uint32_t source, const void *bytes, uint32_t len, int64_t time)   \
	{                                                                                         \
		return bp_on_records((struct bp_batch){bytes, len, source, time});                \
	}                                                                                         \
	BP_INLINE int32_t bp_on_records(struct bp_batch batch)

/* Called for a reading of a map. */
#define BP_SAMPLE(sample)                                                                         \
	BP_INLINE int32_t bp_on_sample(struct bp_sample sample);                                  \
	BP_EXPORT(bpfpack_sample) int32_t bpfpack_sample(uint32_t, const void *, uint32_t, int64_t); \
	int32_t bpfpack_sample(uint32_t source, const void *rows, uint32_t len, int64_t time)     \
	{                                                                                         \
		uint32_t stride = source < bp_stride_count ? bp_strides[source] : 0;              \
                                                                                                  \
		stride = stride ? stride : len ? len : 8;                                         \
		return bp_on_sample((struct bp_sample){rows, len, source, stride, time});         \
	}                                                                                         \
	BP_INLINE int32_t bp_on_sample(struct bp_sample sample)

/* Called at the interval of bp_every. `time` is BP_MONOTONIC, in nanoseconds. */
#define BP_TICK(time)                                            \
	BP_EXPORT(bpfpack_tick) int32_t bpfpack_tick(int64_t time); \
	int32_t bpfpack_tick(__attribute__((unused)) int64_t time)

/* Called once, after the last record and the last reading. */
#define BP_END()                                        \
	BP_EXPORT(bpfpack_end) int32_t bpfpack_end(void); \
	int32_t bpfpack_end(void)

#endif
