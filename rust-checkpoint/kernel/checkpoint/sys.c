// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls checkpoint(2) and restart(2): who may call, what the arguments
 * mean. The work is done in Rust, see checkpoint.rs and restart.rs.
 */
#include <linux/capability.h>
#include <linux/checkpoint.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/syscalls.h>
#include <linux/tty.h>
#include <linux/uaccess.h>

#include <uapi/linux/checkpoint.h>

/* One checkpoint or restart at a time in a pid namespace is up to its init. */
static int checkpoint_allowed(void)
{
	struct pid_namespace *ns = task_active_pid_ns(current);

	if (!is_child_reaper(task_tgid(current)))
		return -EPERM;
	if (!checkpoint_restore_ns_capable(ns->user_ns))
		return -EPERM;
	return 0;
}

/* Only inputs are taken over. */
static int copy_args(struct checkpoint_args *args, unsigned int flags,
		     struct checkpoint_args __user *uargs, size_t size)
{
	struct checkpoint_args in;
	int err;

	*args = (struct checkpoint_args) { .log_fd = -1 };
	BUILD_BUG_ON(sizeof(*args) != CHECKPOINT_ARGS_SIZE_VER0);
	BUILD_BUG_ON(CHECKPOINT_F_ARGS != RESTART_F_ARGS);

	if (!(flags & CHECKPOINT_F_ARGS))
		return 0;
	if (size < CHECKPOINT_ARGS_SIZE_VER0)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(args, sizeof(*args), uargs, size);
	if (err)
		return err;
	in = *args;
	*args = (struct checkpoint_args) {
		.log_fd = in.log_fd,
		.timeout_ns = in.timeout_ns,
	};
	memcpy(args->parent, in.parent, sizeof(in.parent));
	return 0;
}

/*
 * The calls are killable, not interruptible: a SIGCHLD must not make a write
 * to a pipe come back early. Signals that init gets meanwhile stay pending.
 */
static long call_blocked(long (*fn)(struct file *, unsigned int,
				    struct checkpoint_args *),
			 struct file *file, unsigned int flags,
			 struct checkpoint_args *args)
{
	sigset_t all, saved;
	long ret;

	sigfillset(&all);
	sigdelsetmask(&all, sigmask(SIGKILL) | sigmask(SIGSTOP));
	sigprocmask(SIG_SETMASK, &all, &saved);
	ret = fn(file, flags, args);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	return ret;
}

static long do_call(int fd, unsigned int flags, unsigned int known,
		    struct checkpoint_args __user *uargs, size_t size,
		    fmode_t mode,
		    long (*fn)(struct file *, unsigned int,
			       struct checkpoint_args *))
{
	bool dry_run = known & flags & CHECKPOINT_F_DRY_RUN;
	struct checkpoint_args args;
	ktime_t start = ktime_get();
	long ret;

	if (flags & ~known || (dry_run && flags & CHECKPOINT_F_TRACK))
		return -EINVAL;
	ret = checkpoint_allowed();
	if (ret)
		return ret;
	ret = copy_args(&args, flags, uargs, size);
	if (ret)
		return ret;
	/* What nobody keeps track of has no parent. */
	if (memchr_inv(args.parent, 0, sizeof(args.parent)) &&
	    !(flags & known & CHECKPOINT_F_TRACK))
		return -EINVAL;
	/* Now, while it can fail without consequences. */
	if ((flags & CHECKPOINT_F_ARGS) && copy_to_user(uargs, &args, sizeof(args)))
		return -EFAULT;
	if (args.log_fd >= 0) {
		CLASS(fd, log)(args.log_fd);

		if (fd_empty(log) || !(fd_file(log)->f_mode & FMODE_WRITE))
			return -EBADF;
	}

	if (dry_run) {
		ret = call_blocked(fn, NULL, flags, &args);
	} else {
		CLASS(fd_pos, f)(fd);

		if (fd_empty(f) || !(fd_file(f)->f_mode & mode))
			return -EBADF;
		if (args.log_fd >= 0) {
			CLASS(fd, log)(args.log_fd);

			/* It would be written into the image. */
			if (!fd_empty(log) && fd_file(log) == fd_file(f))
				return -EINVAL;
		}
		ret = call_blocked(fn, fd_file(f), flags, &args);
	}

	args.total_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	/* What was done was done, whatever the caller did to its memory. */
	if ((flags & CHECKPOINT_F_ARGS) && copy_to_user(uargs, &args, sizeof(args)))
		pr_debug("results could not be stored\n");
	return ret;
}

/**
 * sys_checkpoint - save every task of the caller's pid namespace but init
 * @fd: where the image goes: file, pipe, socket or block device
 * @flags: CHECKPOINT_F_*
 * @uargs: inputs and results, looked at only with CHECKPOINT_F_ARGS
 * @size: size of @uargs
 *
 * Return: 0 or a negative errno, see checkpoint(2).
 */
SYSCALL_DEFINE4(checkpoint, int, fd, unsigned int, flags,
		struct checkpoint_args __user *, uargs, size_t, size)
{
	return do_call(fd, flags,
		       CHECKPOINT_F_ARGS | CHECKPOINT_F_DRY_RUN | CHECKPOINT_F_TRACK,
		       uargs, size, FMODE_WRITE, checkpoint_save);
}

/**
 * sys_restart - bring back the tasks of an image under the calling init
 * @fd: where the image is read from
 * @flags: RESTART_F_*
 * @uargs: inputs and results, looked at only with RESTART_F_ARGS
 * @size: size of @uargs
 *
 * Return: 0 or a negative errno, see restart(2).
 */
SYSCALL_DEFINE4(restart, int, fd, unsigned int, flags,
		struct checkpoint_args __user *, uargs, size_t, size)
{
	/* The tasks must come to where init is. */
	if (current->nsproxy->pid_ns_for_children != task_active_pid_ns(current))
		return -EINVAL;
	return do_call(fd, flags, RESTART_F_ARGS, uargs, size, FMODE_READ,
		       checkpoint_restart);
}
