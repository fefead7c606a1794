/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOFTIRQS_H
#define SOFTIRQS_H

#define MAX_SLOTS 20
#define NR_SOFTIRQ_KINDS 10

/* The times of one kind of soft interrupt. */
struct hist {
	__u32 slots[MAX_SLOTS];
};

#endif
