/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUNQLAT_H
#define RUNQLAT_H

#define MAX_SLOTS 26
#define COMM_LEN 16

/* How long one task, or all of them, waited for a CPU. */
struct hist {
	__u32 slots[MAX_SLOTS];
	char comm[COMM_LEN];
};

#endif
