/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * checkpoint(2) and restart(2): save the tasks of a pid namespace to a file
 * descriptor and bring them back.
 *
 *	long checkpoint(int fd, unsigned int flags,
 *			struct checkpoint_args *args, size_t size);
 *	long restart(int fd, unsigned int flags,
 *		     struct checkpoint_args *args, size_t size);
 *
 * Only the init (PID 1) of a pid namespace may call them. The contract is in
 * Documentation/userspace-api/checkpoint.rst, the image format in
 * Documentation/userspace-api/checkpoint-image.rst.
 */
#ifndef _UAPI_LINUX_CHECKPOINT_H
#define _UAPI_LINUX_CHECKPOINT_H

#include <linux/types.h>

/* Flags of checkpoint(2). */
#define CHECKPOINT_F_ARGS	(1U << 0) /* args and size are valid */
#define CHECKPOINT_F_DRY_RUN	(1U << 1) /* report what is in the way, write nothing */
#define CHECKPOINT_F_TRACK	(1U << 2) /* keep track of what changes from now on */

/* Flags of restart(2). */
#define RESTART_F_ARGS		(1U << 0) /* args and size are valid */

/**
 * struct checkpoint_args - inputs and results of checkpoint(2) and restart(2)
 * @log_fd:	in: where the reports go, one JSON object a line; -1 for nowhere
 * @root_pid:	out: pid, in the caller's namespace, of the first task
 * @timeout_ns:	in: how long tasks may take to stop; 0 means 10 seconds
 * @freeze_ns:	out: time from the first task stopped to the last released
 * @total_ns:	out: time of the whole call
 * @image_bytes: out: length of the image written or read
 * @tasks:	out: number of tasks saved or restarted
 * @refusals:	out: number of reports that name something in the way
 * @pages_data:	out: pages whose content is in the image
 * @pages_zero:	out: pages seen that hold nothing and were not written
 * @pages_parent: out: pages that are as in the parent and were not written
 * @uuid:	out: UUID of the image
 * @parent:	in: UUID of an image written with CHECKPOINT_F_TRACK: what has not
 *		changed since is not written; all zeros to write everything
 *
 * The results are written back whenever CHECKPOINT_F_ARGS or RESTART_F_ARGS is
 * given, after a failure too. The structure is extensible under the rules of
 * clone3(2): a shorter one is extended with zeros, a longer one is refused
 * with E2BIG unless its tail is zero.
 */
struct checkpoint_args {
	__s32 log_fd;
	__s32 root_pid;
	__aligned_u64 timeout_ns;
	__aligned_u64 freeze_ns;
	__aligned_u64 total_ns;
	__aligned_u64 image_bytes;
	__aligned_u64 tasks;
	__aligned_u64 refusals;
	__aligned_u64 pages_data;
	__aligned_u64 pages_zero;
	__aligned_u64 pages_parent;
	__u8 uuid[16];
	__u8 parent[16];
};

#define CHECKPOINT_ARGS_SIZE_VER0	112 /* sizeof the first published struct */

#endif /* _UAPI_LINUX_CHECKPOINT_H */
