/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Map access that several CPUs may do at once. */
#ifndef __MAPS_BPF_H
#define __MAPS_BPF_H

#include <bpf/bpf_helpers.h>

/* From the kernel's errno-base.h, which vmlinux.h cannot bring: it has no macros. */
#ifndef EEXIST
#define EEXIST 17
#endif

/*
 * The value of a key; when there is none yet, it is made as a copy of *init. Two CPUs that do this
 * at once get the same element. A null pointer when the map is full.
 */
static __always_inline void *
bpf_map_lookup_or_try_init(void *map, const void *key, const void *init)
{
	void *value = bpf_map_lookup_elem(map, key);
	/* The helper returns an int in a register of 64 bits: compare the int. */
	int err;

	if (value)
		return value;
	err = bpf_map_update_elem(map, key, init, BPF_NOEXIST);
	if (err && err != -EEXIST)
		return (void *)0;
	return bpf_map_lookup_elem(map, key);
}

/* The value of a key, which is removed; a null pointer when there is none. */
static __always_inline void *
bpf_map_lookup_and_delete(void *map, const void *key)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		bpf_map_delete_elem(map, key);
	return value;
}

#endif /* __MAPS_BPF_H */
