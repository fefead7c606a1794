/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROCESSES_H
#define PROCESSES_H

enum kind {
	EXEC,
	EXIT,
};

/* A program that a process started. */
struct started {
	enum kind kind;
	__u32 pid;
	__u32 ppid;
	/* When the process began. Together with its PID, this identifies the process. */
	__u64 start_ns;
	char comm[16];
	char file[128];
};

struct ended {
	enum kind kind;
	__u32 pid;
	__u32 ppid;
	__u64 start_ns;
	__u64 duration_ns;
	__u32 exit_code;
	/* The signal that ended the process, or 0. */
	__u32 sig;
	char comm[16];
};

#endif
