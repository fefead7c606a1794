/* SPDX-License-Identifier: GPL-2.0 */
/* Which system calls read and which write, by their numbers on each architecture. */
#ifndef CALLS_H
#define CALLS_H

enum direction {
	NEITHER,
	READ,
	WRITE,
};

#if defined(__TARGET_ARCH_x86)

#define NUMBER(regs) ((s64)BPF_CORE_READ(regs, orig_ax))
/* TS_COMPAT: a call of a 32-bit program, whose calls have other numbers. */
#define IS_COMPAT(task) (BPF_CORE_READ(task, thread_info.status) & 2)

#define NR_READ 0
#define NR_PREAD64 17
#define NR_READV 19
#define NR_PREADV 295
#define NR_PREADV2 327
#define NR_WRITE 1
#define NR_PWRITE64 18
#define NR_WRITEV 20
#define NR_PWRITEV 296
#define NR_PWRITEV2 328

#elif defined(__TARGET_ARCH_arm64)

#define NUMBER(regs) ((s64)BPF_CORE_READ(regs, syscallno))
/* TIF_32BIT */
#define IS_COMPAT(task) (BPF_CORE_READ(task, thread_info.flags) & 1 << 22)

#define NR_READ 63
#define NR_PREAD64 67
#define NR_READV 65
#define NR_PREADV 69
#define NR_PREADV2 286
#define NR_WRITE 64
#define NR_PWRITE64 68
#define NR_WRITEV 66
#define NR_PWRITEV 70
#define NR_PWRITEV2 287

#else
#error "no system call numbers for this architecture"
#endif

static __always_inline enum direction direction_of(struct task_struct *task, struct pt_regs *regs)
{
	enum direction direction;

	switch (NUMBER(regs)) {
	case NR_READ:
	case NR_PREAD64:
	case NR_READV:
	case NR_PREADV:
	case NR_PREADV2:
		direction = READ;
		break;
	case NR_WRITE:
	case NR_PWRITE64:
	case NR_WRITEV:
	case NR_PWRITEV:
	case NR_PWRITEV2:
		direction = WRITE;
		break;
	default:
		return NEITHER;
	}
	return IS_COMPAT(task) ? NEITHER : direction;
}

#endif
