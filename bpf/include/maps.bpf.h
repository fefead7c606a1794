/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Map access that several CPUs can perform at once. */
#ifndef __MAPS_BPF_H
#define __MAPS_BPF_H

#include <bpf/bpf_helpers.h>

/* From the kernel's errno-base.h: vmlinux.h contains no macros. */
#ifndef EEXIST
#define EEXIST 17
#endif

/*
 * Returns the value of a key. If the key does not exist, it is added with a copy of *init; two CPUs
 * that do this at once get the same element. Returns a null pointer if the map is full.
 */
static __always_inline void *
bpf_map_lookup_or_try_init(void *map, const void *key, const void *init)
{
	void *value = bpf_map_lookup_elem(map, key);
	/* The helper returns an int in a 64-bit register: compare the int. */
	int err;

	if (value)
		return value;
	err = bpf_map_update_elem(map, key, init, BPF_NOEXIST);
	if (err && err != -EEXIST)
		return (void *)0;
	return bpf_map_lookup_elem(map, key);
}

/* Removes a key, and returns its value; a null pointer if the key does not exist. */
static __always_inline void *
bpf_map_lookup_and_delete(void *map, const void *key)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		bpf_map_delete_elem(map, key);
	return value;
}

#endif /* __MAPS_BPF_H */
