/* SPDX-License-Identifier: MIT */
/*
 * wasm_bpf.h: modules that are whole tracers, in C: the interface `wasm_bpf` of runner/WASM.md.
 *
 *     ecc x.bpf.c -o out
 *     clang --target=wasm32-wasi -O2 -Wl,--export-table -I out x.c -o x.wasm
 *     ecli run x.wasm ARGUMENTS...
 *
 * ecc writes the object x.bpf.o; WASM_BPF_OBJECT embeds it in the module.
 */
#ifndef WASM_BPF_H
#define WASM_BPF_H

#include <stdint.h>

/* Embeds a file, searched like a header, as the bytes from `name` to `name_end`, aligned to 8. */
#define WASM_BPF_OBJECT(name, file)                                                       \
	__asm__(".section .rodata." #name ",\"\",@\n"                                     \
		".p2align 3\n" #name ":\n"                                                \
		".incbin \"" file "\"\n" #name "_end:\n"                                  \
		".byte 0\n"                                                               \
		".size " #name ", .-" #name "\n"                                          \
		".size " #name "_end, 1\n");                                              \
	extern const unsigned char name[], name##_end[]

#define WASM_BPF_IMPORT(name) __attribute__((import_module("wasm_bpf"), import_name(#name)))

/* Loads an object of `size` bytes. Returns a handle; 0 if it cannot be loaded. */
WASM_BPF_IMPORT(wasm_load_bpf_object)
uint64_t wasm_load_bpf_object(const void *object, int32_t size);
/* Detaches the programs of an object and frees it. Returns 0; -1 for an unknown handle. */
WASM_BPF_IMPORT(wasm_close_bpf_object) int32_t wasm_close_bpf_object(uint64_t handle);
/* Attaches a program; a null target means that of its section. Returns 0, or a negative error number
 * of Linux. */
WASM_BPF_IMPORT(wasm_attach_bpf_program)
int32_t wasm_attach_bpf_program(uint64_t handle, const char *program, const char *target);
/* Returns the number of a map; -1 if the object has no such map. */
WASM_BPF_IMPORT(wasm_bpf_map_fd_by_name)
int32_t wasm_bpf_map_fd_by_name(uint64_t handle, const char *name);
/* Waits up to `timeout_ms` (negative: forever) for records, and calls `call` for each one, with the
 * record in `data`, truncated to `size` bytes. The function must have this type; a call with another
 * type is an error. Returns 0, the negative result of a callback, which ends the poll, -EINTR of
 * errno.h after Ctrl-C, or a negative error number of Linux. */
typedef int32_t wasm_bpf_record(void *context, void *data, uint32_t len);
WASM_BPF_IMPORT(wasm_bpf_buffer_poll)
int32_t wasm_bpf_buffer_poll(uint64_t handle, int32_t map, wasm_bpf_record *call, void *context,
			     void *data, int32_t size, int32_t timeout_ms);
/* Commands of bpf(2). */
enum wasm_bpf_command {
	WASM_BPF_LOOKUP = 1,
	WASM_BPF_UPDATE = 2,
	WASM_BPF_DELETE = 3,
	WASM_BPF_NEXT_KEY = 4,
	WASM_BPF_LOOKUP_AND_DELETE = 21,
};
/* Reads, writes or removes an element, or finds the next key. Returns 0, or a negative error number of
 * Linux: -2 (ENOENT) if the key does not exist. */
WASM_BPF_IMPORT(wasm_bpf_map_operate)
int32_t wasm_bpf_map_operate(int32_t map, int32_t command, const void *key, void *value,
			     void *next_key, uint64_t flags);

#endif
