/* SPDX-License-Identifier: MIT */
/*
 * wasm_bpf.h: modules that own their tracer, in C: the interface `wasm_bpf` of runner/WASM.md.
 *
 *     ecc x.bpf.c -o out
 *     clang --target=wasm32-wasi -O2 -Wl,--export-table -I out x.c -o x.wasm
 *     ecli run x.wasm ARGUMENTS...
 *
 * The object is the file x.bpf.o that ecc writes; WASM_BPF_OBJECT takes it into the module.
 */
#ifndef WASM_BPF_H
#define WASM_BPF_H

#include <stdint.h>

/* The bytes of a file, found as headers are, from `name` to `name_end`, at a multiple of 8. */
#define WASM_BPF_OBJECT(name, file)                                                       \
	__asm__(".section .rodata." #name ",\"\",@\n"                                     \
		".p2align 3\n" #name ":\n"                                                \
		".incbin \"" file "\"\n" #name "_end:\n"                                  \
		".byte 0\n"                                                               \
		".size " #name ", .-" #name "\n"                                          \
		".size " #name "_end, 1\n");                                              \
	extern const unsigned char name[], name##_end[]

#define WASM_BPF_IMPORT(name) __attribute__((import_module("wasm_bpf"), import_name(#name)))

/* A handle; 0 where it cannot be loaded. */
WASM_BPF_IMPORT(wasm_load_bpf_object)
uint64_t wasm_load_bpf_object(const void *object, int32_t size);
/* Detaches its programs, too. */
WASM_BPF_IMPORT(wasm_close_bpf_object) int32_t wasm_close_bpf_object(uint64_t handle);
/* The target may be null: programs attach as their section says. */
WASM_BPF_IMPORT(wasm_attach_bpf_program)
int32_t wasm_attach_bpf_program(uint64_t handle, const char *program, const char *target);
/* A descriptor; -1 where there is no such map. */
WASM_BPF_IMPORT(wasm_bpf_map_fd_by_name)
int32_t wasm_bpf_map_fd_by_name(uint64_t handle, const char *name);
/* Waits for records, and calls for each; the record is in `data`, cut to `size`. The type of the
 * function must be this one: a call by another one is an error. Returns 0, or what is below zero:
 * of a callback that has had enough, -EINTR of errno.h after Ctrl-C, or an error of Linux. */
typedef int32_t wasm_bpf_record(void *context, void *data, uint32_t len);
WASM_BPF_IMPORT(wasm_bpf_buffer_poll)
int32_t wasm_bpf_buffer_poll(uint64_t handle, int32_t map, wasm_bpf_record *call, void *context,
			     void *data, int32_t size, int32_t timeout_ms);
enum wasm_bpf_command {
	WASM_BPF_LOOKUP = 1,
	WASM_BPF_UPDATE = 2,
	WASM_BPF_DELETE = 3,
	WASM_BPF_NEXT_KEY = 4,
	WASM_BPF_LOOKUP_AND_DELETE = 21,
};
/* 0, or an error of Linux below zero. */
WASM_BPF_IMPORT(wasm_bpf_map_operate)
int32_t wasm_bpf_map_operate(int32_t map, int32_t command, const void *key, void *value,
			     void *next_key, uint64_t flags);

#endif
