/* SPDX-License-Identifier: MIT */
/* The base of bpfpack.h, which includes it: memory, and formatted text. */
#ifndef BPFPACK_BASE_H
#define BPFPACK_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __wasi__
#include <stdlib.h>
#include <string.h>
#endif

/* If several C files include this header, the linker keeps one definition. */
#define BP_ONCE __attribute__((weak))
#define BP_INLINE static inline __attribute__((always_inline, unused))
#define BP_OWN static __attribute__((unused))
#define BP_EXPORT(name) __attribute__((export_name(#name)))
#define BP_IMPORT(name) __attribute__((import_module("bpfpack"), import_name(#name)))

BP_IMPORT(text) void bp_host_text(const char *text, uint32_t len);
BP_IMPORT(json) void bp_host_json(const char *text, uint32_t len);
BP_IMPORT(log) void bp_host_log(uint32_t level, const char *text, uint32_t len);
BP_IMPORT(fail) void bp_host_fail(const char *text, uint32_t len) __attribute__((noreturn));

/* ---- Memory ---- */

/* Extra bytes after each allocation: members of any size are read with loads of 8 bytes. */
#define BP_SLACK 8

#ifdef __wasi__
BP_OWN void *bp_find_memory(uint32_t size)
{
	return size > UINT32_MAX - BP_SLACK ? NULL : malloc((size_t)size + BP_SLACK);
}
#else
extern unsigned char __heap_base;
BP_ONCE uintptr_t bp_heap;

BP_OWN void *bp_find_memory(uint32_t size)
{
	uint64_t begin = ((bp_heap ? bp_heap : (uintptr_t)&__heap_base) + 7) & ~(uintptr_t)7;
	uint64_t end = begin + size + BP_SLACK, have = (uint64_t)__builtin_wasm_memory_size(0) << 16;

	if (end > UINT32_MAX)
		return NULL;
	if (end > have &&
	    __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size_t)-1)
		return NULL;
	bp_heap = end;
	return (void *)(uintptr_t)begin;
}

/* The compiler generates calls of these functions from other code, but must not inside them. */
#define BP_PLAIN __attribute__((weak, no_builtin))
typedef uint64_t bp_unaligned __attribute__((aligned(1), may_alias));

BP_PLAIN void *memcpy(void *to, const void *from, size_t size)
{
	unsigned char *at = to;
	const unsigned char *source = from;

	for (; size >= 8; size -= 8, at += 8, source += 8)
		*(bp_unaligned *)at = *(const bp_unaligned *)source;
	while (size--)
		*at++ = *source++;
	return to;
}

BP_PLAIN void *memmove(void *to, const void *from, size_t size)
{
	unsigned char *at = to;
	const unsigned char *source = from;

	if ((uintptr_t)at - (uintptr_t)source >= size)
		return memcpy(to, from, size);
	while (size--)
		at[size] = source[size];
	return to;
}

BP_PLAIN void *memset(void *to, int byte, size_t size)
{
	for (unsigned char *at = to; size--; at++)
		*at = byte;
	return to;
}

BP_PLAIN int memcmp(const void *left, const void *right, size_t size)
{
	const unsigned char *a = left, *b = right;

	for (; size; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

BP_PLAIN size_t strlen(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	return len;
}
#endif

/* Called by ecli: allocates memory that ecli writes to. Returns null if there is none. */
BP_EXPORT(bpfpack_alloc) BP_ONCE void *bpfpack_alloc(uint32_t size)
{
	return bp_find_memory(size);
}

/* Allocates `size` bytes of zeroed memory, which is never freed. Without memory, the run fails. */
BP_OWN void *bp_memory(uint32_t size)
{
	static const char none[] = "out of memory";
	void *at = bp_find_memory(size);

	if (!at)
		bp_host_fail(none, sizeof(none) - 1);
	return memset(at, 0, size);
}

/* ---- Texts ---- */

/* Text of `len` bytes, without a terminating zero. */
struct bp_text {
	const char *at;
	uint32_t len;
};

/* The arguments of %.*s: bp_textf("%.*s", BP_TEXT(comm)). */
#define BP_TEXT(text) (int)(text).len, (text).at
/* A JSON format without escaped quotes: bp_jsonf(BP_JSON({"pid": %u}), pid). */
#define BP_JSON(...) #__VA_ARGS__

/* Whether a text is equal to a C string. */
BP_INLINE bool bp_equal(struct bp_text text, const char *other)
{
	return strlen(other) == text.len && !memcmp(text.at, other, text.len);
}

/* Text that grows. All members are 0 at the start; `len = 0` empties it. */
struct bp_string {
	char *at;
	uint32_t len, room;
};

/* Appends bytes. */
BP_OWN void bp_put(struct bp_string *string, const void *bytes, uint32_t len)
{
	if (len > string->room - string->len) {
		uint32_t room = string->room < 512 ? 1024 : string->room * 2;
		char *at = bp_memory(room < string->len + len ? room + len : room);

		memcpy(at, string->at, string->len);
		string->room = room < string->len + len ? room + len : room;
		string->at = at;
	}
	memcpy(string->at + string->len, bytes, len);
	string->len += len;
}

/* Appends text as a JSON string. */
BP_OWN void bp_put_quoted(struct bp_string *string, struct bp_text text)
{
	bp_put(string, "\"", 1);
	for (uint32_t i = 0; i < text.len; i++) {
		unsigned char c = text.at[i];

		if (c < ' ') {
			char code[] = "\\u00..";

			code[4] = "01"[c >> 4];
			code[5] = "0123456789abcdef"[c & 15];
			bp_put(string, code, 6);
			continue;
		}
		if (c == '"' || c == '\\')
			bp_put(string, "\\", 1);
		bp_put(string, &c, 1);
	}
	bp_put(string, "\"", 1);
}

/* Appends text, padded with spaces to `width` bytes. */
BP_OWN void bp_put_padded(struct bp_string *string, struct bp_text text, int width, bool left)
{
	int spaces = width - (int)text.len;

	for (int i = 0; !left && i < spaces; i++)
		bp_put(string, " ", 1);
	bp_put(string, text.at, text.len);
	for (int i = 0; left && i < spaces; i++)
		bp_put(string, " ", 1);
}

/* Appends formatted text: %s %.*s %c %d %i %u %x %p %%, with widths, `-` and `0`, and the lengths
 * hh, h, l, ll, z. There is no %f: for a time in microseconds, %llu.%03llu prints milliseconds. If
 * `json` is true, %s is a quoted and escaped JSON string. */
BP_OWN void bp_put_format(struct bp_string *string, bool json, const char *format, va_list list)
{
	for (; *format; format++) {
		bool left = false, zeros = false, negative = false;
		int width = 0, precision = -1, longs = 0, base = 10;
		uint64_t number;
		char digits[72], *digit = digits + sizeof(digits);
		struct bp_text text;

		if (*format != '%') {
			bp_put(string, format, 1);
			continue;
		}
		for (format++; *format == '-' || *format == '0'; format++)
			*(*format == '-' ? &left : &zeros) = true;
		if (*format == '*') {
			width = va_arg(list, int);
			format++;
		}
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + *format - '0';
		if (*format == '.' && *++format == '*') {
			precision = va_arg(list, int);
			format++;
		} else if (format[-1] == '.') {
			for (precision = 0; *format >= '0' && *format <= '9'; format++)
				precision = precision * 10 + *format - '0';
		}
		for (; *format == 'l' || *format == 'h' || *format == 'z'; format++)
			longs += *format == 'l';
		switch (*format) {
		case 0:
			return;
		case 's':
			text.at = va_arg(list, const char *);
			for (text.len = 0; precision < 0 ? text.at[text.len] != 0 :
							   text.len < (uint32_t)precision && text.at[text.len];)
				text.len++;
			if (json)
				bp_put_quoted(string, text);
			else
				bp_put_padded(string, text, width, left);
			continue;
		case 'c':
			*--digit = va_arg(list, int);
			bp_put_padded(string, (struct bp_text){digit, 1}, width, left);
			continue;
		case 'd':
		case 'i':
			number = longs > 1 ? va_arg(list, int64_t) : va_arg(list, int32_t);
			negative = (int64_t)number < 0;
			number = negative ? 0 - number : number;
			break;
		case 'x':
		case 'p':
			base = 16;
			/* fall through */
		case 'u':
			number = longs > 1 ? va_arg(list, uint64_t) : va_arg(list, uint32_t);
			break;
		default:
			bp_put(string, format, 1);
			continue;
		}
		do {
			*--digit = "0123456789abcdef"[number % base];
		} while (number /= base);
		width = width > 64 ? 64 : width;
		while (zeros && !left && digits + sizeof(digits) - digit < width - negative)
			*--digit = '0';
		if (negative)
			*--digit = '-';
		text = (struct bp_text){digit, (uint32_t)(digits + sizeof(digits) - digit)};
		bp_put_padded(string, text, width, left);
	}
}

#define BP_LIKE_PRINTF(at) __attribute__((format(printf, at, at + 1)))
BP_ONCE struct bp_string bp_line;

/* Formats text into `bp_line`, which the next call overwrites. */
#define BP_FORMAT(json, format)                          \
	do {                                             \
		va_list list;                            \
                                                         \
		bp_line.len = 0;                         \
		va_start(list, format);                  \
		bp_put_format(&bp_line, json, format, list); \
		va_end(list);                            \
	} while (0)

/* Appends formatted text to a string. */
BP_LIKE_PRINTF(2) BP_OWN void bp_addf(struct bp_string *string, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	bp_put_format(string, false, format, list);
	va_end(list);
}

/* Shows a line of text. The formats are those of bp_put_format, not all those of printf. */
BP_LIKE_PRINTF(1) BP_OWN void bp_textf(const char *format, ...)
{
	BP_FORMAT(false, format);
	bp_host_text(bp_line.at, bp_line.len);
}

/* Shows a JSON value; %s prints a quoted string. */
BP_LIKE_PRINTF(1) BP_OWN void bp_jsonf(const char *format, ...)
{
	BP_FORMAT(true, format);
	bp_host_json(bp_line.at, bp_line.len);
}

/* Prints a note on standard error, unless --quiet is given. */
BP_LIKE_PRINTF(1) BP_OWN void bp_note(const char *format, ...)
{
	BP_FORMAT(false, format);
	bp_host_log(0, bp_line.at, bp_line.len);
}

/* Prints a warning on standard error, unless --quiet is given. */
BP_LIKE_PRINTF(1) BP_OWN void bp_warn(const char *format, ...)
{
	BP_FORMAT(false, format);
	bp_host_log(1, bp_line.at, bp_line.len);
}

/* Ends the run with exit code 10 and this message. Does not return. */
BP_LIKE_PRINTF(1) __attribute__((noreturn)) BP_OWN void bp_fail(const char *format, ...)
{
	BP_FORMAT(false, format);
	bp_host_fail(bp_line.at, bp_line.len);
}

#endif
