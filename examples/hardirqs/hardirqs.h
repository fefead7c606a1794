/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HARDIRQS_H
#define HARDIRQS_H

#define MAX_SLOTS 20

/* The statistics of a handler. */
struct info {
	__u64 count;
	__u64 total_time;
	__u64 max_time;
	__u32 slots[MAX_SLOTS];
};

#endif
