/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls under test, for programs that are built before the C
 * library knows them.
 */
#ifndef CKPT_SYS_H
#define CKPT_SYS_H

#include <linux/checkpoint.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_checkpoint
#define __NR_checkpoint	473
#endif
#ifndef __NR_restart
#define __NR_restart	474
#endif

static inline long sys_checkpoint(int fd, unsigned int flags,
				  struct checkpoint_args *args, size_t size)
{
	return syscall(__NR_checkpoint, fd, flags, args, size);
}

static inline long sys_restart(int fd, unsigned int flags,
			       struct checkpoint_args *args, size_t size)
{
	return syscall(__NR_restart, fd, flags, args, size);
}

#endif /* CKPT_SYS_H */
