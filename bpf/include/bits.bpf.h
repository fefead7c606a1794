/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Logarithms for histogram slots. */
#ifndef __BITS_BPF_H
#define __BITS_BPF_H

#include <bpf/bpf_helpers.h>

#ifndef READ_ONCE
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#endif
#ifndef WRITE_ONCE
#define WRITE_ONCE(x, val) (*(volatile typeof(x) *)&(x) = (val))
#endif

/*
 * log2l(v) is the position of the highest set bit of v: 0 for 0 and 1, 1 for 2 and 3, 2 for 4 to 7 …
 * Slot n of a log2 histogram counts the values whose log2l() is n. It uses five comparisons of halving
 * width, because BPF has no such instruction, and old kernels support no loops.
 */
static __always_inline u64 log2l(u64 v)
{
	u64 bit = 0;

	if (v >> 32) {
		v >>= 32;
		bit += 32;
	}
	if (v >> 16) {
		v >>= 16;
		bit += 16;
	}
	if (v >> 8) {
		v >>= 8;
		bit += 8;
	}
	if (v >> 4) {
		v >>= 4;
		bit += 4;
	}
	if (v >> 2) {
		v >>= 2;
		bit += 2;
	}
	return bit + (v >> 1);
}

/* The same for 32 bits. */
static __always_inline u64 log2(u32 v)
{
	return log2l(v);
}

/* The slot of v in a log2 histogram with `slots` slots; the last one counts all larger values. */
static __always_inline u64 log2_slot(u64 v, u64 slots)
{
	u64 slot = log2l(v);

	return slot < slots ? slot : slots - 1;
}

#endif /* __BITS_BPF_H */
