/* SPDX-License-Identifier: MIT */
/*
 * bpfpack.h: post-processors for ecli in C (not C++). The interface is version 1 of runner/WASM.md.
 *
 *     clang --target=wasm32-unknown-unknown -nostdlib -O2 -Wl,--no-entry -I THIS_FOLDER x.c -o x.wasm
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -I THIS_FOLDER x.c -o x.wasm
 *
 * The second one is with wasi-libc: printf writes to the output. Nothing flushes stdout at the end: a
 * line that does not end with a line feed needs fflush(stdout).
 *
 * A module writes those of BP_START, BP_RECORDS, BP_SAMPLE, BP_TICK and BP_END that it wants:
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
 * They return 0 to go on and 1 to end the run. What is not there (a source, a member, a number that
 * is none) ends it with an error, unless it is asked for by a function whose name has `find`.
 */
#ifndef BPFPACK_H
#define BPFPACK_H

#include "bpfpack_base.h"
#include "bpfpack_json.h"
#include "bpfpack_ask.h"

/* ---- What ecli offers; those below are easier to use. ---- */

BP_IMPORT(emit) void bp_host_emit(uint32_t source, uint32_t kind, const void *at, uint32_t len);
BP_IMPORT(rows) void bp_host_rows(uint32_t source, const void *rows, uint32_t len);
BP_IMPORT(declare) int32_t bp_host_declare(const char *text, uint32_t len);
BP_IMPORT(source) int32_t bp_host_source(const char *name, uint32_t len);
BP_IMPORT(member)
int32_t bp_host_member(uint32_t source, uint32_t kind, const char *name, uint32_t len, void *at);
BP_IMPORT(symbol) int32_t bp_host_symbol(int64_t at, uint32_t pid, char *room, uint32_t size);
BP_IMPORT(map) int32_t bp_host_map(const char *name, uint32_t len);

/* These four return 0, or an error of Linux below zero: -2 where there is no such key. Keys and
 * values have the map's sizes; values of per-CPU maps are those of all CPUs, each a multiple of 8.
 */
BP_IMPORT(map_lookup) int32_t bp_map_lookup(uint32_t map, const void *key, void *value);
BP_IMPORT(map_update)
int32_t bp_map_update(uint32_t map, const void *key, const void *value, uint64_t flags);
BP_IMPORT(map_delete) int32_t bp_map_delete(uint32_t map, const void *key);
BP_IMPORT(map_next) int32_t bp_map_next(uint32_t map, const void *key, void *next);
/* Has BP_TICK called this often; 0: no more. */
BP_IMPORT(every) void bp_every(uint32_t milliseconds);
#define BP_MONOTONIC 0
#define BP_REALTIME 1
#define BP_BOOTTIME 2
BP_IMPORT(clock) int64_t bp_clock(uint32_t which);
/* Ends the run; ecli exits with this code. */
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

struct bp_member {
	/* As ecli writes them. */
	uint32_t offset, size, type, count, stride;
	uint16_t first_bit, bits;
	/* What a read needs: where it ends, and how the bits of the 8 bytes are moved. */
	uint32_t end;
	uint8_t left, right;
	bool is_signed;
};

/* A record, or a row of a reading. */
struct bp_record {
	const unsigned char *bytes;
	uint32_t len, source;
	/* `cpu` is 65535 where it is not known. */
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
	/* A packed bitfield may lie in 9 bytes: its last bits are left out. */
	if (first + bits > 64)
		bits = 64 - first;
	bytes = (first + bits + 7) / 8;
	member->offset += skip;
	member->end = member->offset > UINT32_MAX - bytes ? UINT32_MAX : member->offset + bytes;
	member->left = bits ? 64 - first - bits : 63;
	member->right = bits ? 64 - bits : 63;
	member->is_signed = member->type == BP_SIGNED;
}

/* Looks for a member by its name, `outer.inner` for one inside of another; whether there is one. */
BP_OWN bool bp_find_member(uint32_t source, uint32_t kind, const char *name, struct bp_member *to)
{
	memset(to, 0, sizeof(*to));
	if (bp_host_member(source, kind, name, strlen(name), to) < 0)
		return false;
	bp_prepare(to);
	return true;
}

BP_OWN struct bp_member bp_member(uint32_t source, uint32_t kind, const char *name)
{
	struct bp_member member;

	if (!bp_find_member(source, kind, name, &member))
		bp_fail("kind %u of source %u has no member `%s`", kind, source, name);
	return member;
}

/* An element of an array; one that is not there reads as zeros. */
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

/* How many elements an array has in this record. */
BP_INLINE uint32_t bp_count(struct bp_member array, struct bp_record record)
{
	if (array.count || !array.stride || array.offset > record.len)
		return array.count;
	return (record.len - array.offset) / array.stride;
}

/* Takes no struct: a record whose address is passed on would be in memory, not in registers. */
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

	/* What a record is too short for reads as zeros. */
	if (__builtin_expect(member->end > record.len, 0))
		return bp_load_short(record.bytes + member->offset,
				     member->offset < record.len ? record.len - member->offset : 0)
		       << member->left;
	__builtin_memcpy(&bits, record.bytes + member->offset, sizeof(bits));
	return bits << member->left;
}

/* The bits as an unsigned number; bitfields, too. */
BP_INLINE uint64_t bp_u64(struct bp_member member, struct bp_record record)
{
	return bp_load(&member, record) >> member.right;
}

/* The number, negative where its type is signed and it is. */
BP_INLINE int64_t bp_i64(struct bp_member member, struct bp_record record)
{
	uint64_t bits = bp_load(&member, record);

	return member.is_signed ? (int64_t)bits >> member.right : (int64_t)(bits >> member.right);
}

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

/* The bytes of a member that are in the record. */
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

/* A text, up to its zero. */
BP_INLINE struct bp_text bp_text(struct bp_member member, struct bp_record record)
{
	struct bp_text bytes = bp_bytes(member, record), text = {bytes.at, 0};

	while (text.len < bytes.len && text.at[text.len])
		text.len++;
	return text;
}

/* ---- Records ---- */

struct bp_batch {
	const unsigned char *bytes;
	uint32_t len, source;
	/* When it was read: BP_MONOTONIC. */
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

#define bp_each_record(record, batch)                                               \
	for (struct bp_record record = bp_record_at(batch, 0); record.bytes;        \
	     record = bp_record_after(batch, record))

/* Shows a record, or hands it to the next module. */
BP_INLINE void bp_emit(struct bp_record record)
{
	bp_host_emit(record.source, record.kind, record.bytes, record.len);
}

/* Shows a struct as a record of a declared source. */
#define bp_emit_struct(source, place) bp_host_emit(source, 0, place, sizeof(*(place)))

/* ---- Sources, declared ones, and rows ---- */

/* What the description says of a source. */
BP_OWN struct bp_json bp_about_source(struct bp_json about, uint32_t source)
{
	struct bp_json sources = bp_json_get(about, "sources"), item;
	struct bp_text none;

	while ((item = bp_json_next(&sources, &none)).at)
		if (bp_json_number(bp_json_get(item, "source"), UINT32_MAX) == source)
			break;
	return item;
}

BP_OWN int32_t bp_find_source(const char *name)
{
	return bp_host_source(name, strlen(name));
}

BP_OWN uint32_t bp_source(const char *name)
{
	int32_t source = bp_find_source(name);

	if (source < 0)
		bp_fail("the package has no source `%s`", name);
	return source;
}

/* Makes a source of the module's own, in BP_START:
 * bp_declare({"name": "process", "members": {"pid": "u32", "ran": "u64 duration_ns"}}) */
#define bp_declare(...) bp_host_declare(#__VA_ARGS__, sizeof(#__VA_ARGS__) - 1)

struct bp_sample {
	const unsigned char *bytes;
	uint32_t len, source;
	/* Bytes from one row to the next. */
	uint32_t stride;
	int64_t time;
};

BP_INLINE struct bp_record bp_row_at(struct bp_sample sample, uint32_t at)
{
	if (at + sample.stride > sample.len)
		return (struct bp_record){0};
	return (struct bp_record){sample.bytes + at, sample.stride, sample.source, 0, UINT16_MAX};
}

/* The rows of a reading; members of key and value are read as those of records are. */
#define bp_each_row(row, sample)                                             \
	for (struct bp_record row = bp_row_at(sample, 0); row.bytes;         \
	     row = bp_row_at(sample, row.bytes - (sample).bytes + (sample).stride))

/* Shows a reading as if no module were there. */
BP_INLINE void bp_show_sample(struct bp_sample sample)
{
	bp_host_rows(sample.source, sample.bytes, sample.len);
}

/* Rows that are put together, to be shown as one reading. In each, the value begins at the first
 * multiple of 8 behind the key: struct { uint32_t disk, none; uint32_t slots[27]; }. */
struct bp_rows {
	uint32_t source;
	struct bp_string bytes;
};

BP_OWN void bp_add_row(struct bp_rows *rows, const void *row, uint32_t size)
{
	static const char zeros[8];

	bp_put(&rows->bytes, row, size);
	bp_put(&rows->bytes, zeros, -size & 7);
}

/* Shows them, and begins anew. */
BP_OWN void bp_show_rows(struct bp_rows *rows)
{
	bp_host_rows(rows->source, rows->bytes.at, rows->bytes.len);
	rows->bytes.len = 0;
}

/* ---- Maps and symbols ---- */

BP_OWN uint32_t bp_map(const char *name)
{
	int32_t map = bp_host_map(name, strlen(name));

	if (map < 0)
		bp_fail("the package has no map `%s`", name);
	return map;
}

/* The function at an address of a process, pid 0: of the kernel. The next one overwrites it. */
BP_OWN struct bp_text bp_symbol(uint64_t address, uint32_t pid)
{
	static char room[256];
	int32_t len = bp_host_symbol(address, pid, room, sizeof(room));

	if (len < 0)
		return (struct bp_text){"?", 1};
	return (struct bp_text){room, (uint32_t)len < sizeof(room) ? (uint32_t)len : sizeof(room)};
}

/* ---- What a module writes ---- */

int32_t bp_on_start(struct bp_json about) __attribute__((weak));
BP_ONCE uint32_t *bp_strides;
BP_ONCE uint32_t bp_stride_count;

/* The description is gone when it returns. The size of rows is kept: readings come without it. */
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

/* Before the programs are attached. `about` is the description. */
#define BP_START(about) int32_t bp_on_start(__attribute__((unused)) struct bp_json about)

#define BP_RECORDS(batch)                                                                         \
	BP_INLINE int32_t bp_on_records(struct bp_batch batch);                                   \
	BP_EXPORT(bpfpack_records) int32_t bpfpack_records(uint32_t, const void *, uint32_t, int64_t); \
	int32_t bpfpack_records(uint32_t source, const void *bytes, uint32_t len, int64_t time)   \
	{                                                                                         \
		return bp_on_records((struct bp_batch){bytes, len, source, time});                \
	}                                                                                         \
	BP_INLINE int32_t bp_on_records(struct bp_batch batch)

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

#define BP_TICK(time)                                            \
	BP_EXPORT(bpfpack_tick) int32_t bpfpack_tick(int64_t time); \
	int32_t bpfpack_tick(__attribute__((unused)) int64_t time)

/* When all else is over. */
#define BP_END()                                        \
	BP_EXPORT(bpfpack_end) int32_t bpfpack_end(void); \
	int32_t bpfpack_end(void)

#endif
