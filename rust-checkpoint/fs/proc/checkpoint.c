// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checkpoint/restart of what is open of a process in proc: which process and which
 * address space it is about, and how far what it says was read.
 *
 * What says something is made up record by record, ahead of who reads it. So besides the
 * position there are the rest of what was made up, and where the next record comes from:
 * with these reading goes on as if nothing had been, whatever there is by then.
 */
#include <linux/checkpoint.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm_types.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "internal.h"

/* So much may be left to be read. */
#define CHECKPOINT_PROC_REST	SZ_1M

/**
 * proc_pid_checkpoint - save an open file or directory of a process
 * @ctx: the running checkpoint
 * @file: one that is nothing but process and position
 *
 * This and the following are for ->checkpoint in struct file_operations; they also tell
 * of what kind a file is.
 *
 * Context: the job stands still. May sleep.
 * Return: as generic_file_checkpoint().
 */
int proc_pid_checkpoint(struct checkpoint_ctx *ctx, struct file *file)
{
	return checkpoint_proc_file(ctx, file);
}

/* The same of a struct seq_file, of one record. */
int proc_single_checkpoint(struct checkpoint_ctx *ctx, struct file *file)
{
	return checkpoint_proc_file(ctx, file);
}

/* The same of one that has the address space for its private data. */
int proc_mm_checkpoint(struct checkpoint_ctx *ctx, struct file *file)
{
	return checkpoint_proc_file(ctx, file);
}

/* The same of a struct seq_file that has struct proc_maps_private. */
int proc_maps_checkpoint(struct checkpoint_ctx *ctx, struct file *file)
{
	return checkpoint_proc_file(ctx, file);
}

/* The same of a directory that is there without processes. */
int proc_dir_checkpoint(struct checkpoint_ctx *ctx, struct file *file)
{
	return checkpoint_proc_file(ctx, file);
}

/**
 * checkpoint_is_of_process - whether there is a place only as long as there is a process
 * @inode: the inode of a file or directory
 */
bool checkpoint_is_of_process(struct inode *inode)
{
	return inode->i_sb->s_magic == PROC_SUPER_MAGIC && proc_pid(inode);
}

/* What is opened with O_PATH has no private data. */
static bool checkpoint_is(struct file *file,
			  int (*kind)(struct checkpoint_ctx *ctx, struct file *file))
{
	return !(file->f_mode & FMODE_PATH) && file->f_op->checkpoint == kind;
}

static struct proc_maps_private *checkpoint_maps_of(struct file *file)
{
	struct seq_file *seq = file->private_data;

	return seq->private;
}

/* The address space that a process has now has to be the one that the file is about. */
static bool checkpoint_has_mm(struct task_struct *task, struct file *file)
{
	struct mm_struct *mm;

	if (checkpoint_is(file, proc_mm_checkpoint))
		mm = file->private_data;
	else if (checkpoint_is(file, proc_maps_checkpoint))
		mm = checkpoint_maps_of(file)->lock_ctx.mm;
	else
		return true;
	guard(task_lock)(task);
	/* A task that is being rebuilt may have that of the caller still. */
	return mm && mm == task->mm && mm != current->mm;
}

/*
 * What the last read(2) has left goes on at the position, if that is where it ended. Who
 * reads it now may do so for as long as it likes.
 */
static int checkpoint_describe_text(struct file *file, struct checkpoint_proc *out)
{
	struct seq_file *seq = file->private_data;
	int err = 0;

	if (!mutex_trylock(&seq->lock)) {
		out->busy = true;
		return 0;
	}
	if (!file->f_pos || file->f_pos != seq->read_pos)
		goto unlock;
	if (seq->count > CHECKPOINT_PROC_REST) {
		out->busy = true;
		goto unlock;
	}
	out->text = true;
	out->index = seq->index;
	if (checkpoint_is(file, proc_maps_checkpoint))
		out->last = checkpoint_maps_of(file)->last_pos;
	if (seq->count) {
		out->rest = kvmalloc(seq->count, CHECKPOINT_GFP);
		if (out->rest)
			memcpy(out->rest, seq->buf + seq->from, seq->count);
		else
			err = -ENOMEM;
		out->len = seq->count;
	}
unlock:
	mutex_unlock(&seq->lock);
	return err;
}

/**
 * checkpoint_describe_proc - what is open of a process in proc
 * @file: a file with a hook of this file
 * @out: what it is; the caller has to free @rest
 *
 * Context: may sleep. The caller is init; nobody but it may let go on who has the file,
 * but for those who share it.
 * Return: 0 or -ENOMEM.
 */
int checkpoint_describe_proc(struct file *file, struct checkpoint_proc *out)
{
	struct inode *inode = file_inode(file);
	struct task_struct *task;

	memset(out, 0, sizeof(*out));
	out->elsewhere = proc_pid_ns(inode->i_sb) != task_active_pid_ns(current);
	if (!checkpoint_is_of_process(inode))
		return 0;
	task = get_proc_task(inode);
	if (!task) {
		out->gone = true;
		return 0;
	}
	out->foreign = same_thread_group(task, current) ||
		       task->flags & (PF_KTHREAD | PF_USER_WORKER);
	out->other_mm = !checkpoint_has_mm(task, file);
	put_task_struct(task);
	if (checkpoint_is(file, proc_single_checkpoint) ||
	    checkpoint_is(file, proc_maps_checkpoint))
		return checkpoint_describe_text(file, out);
	return 0;
}

/**
 * checkpoint_restore_proc - have reading of a file go on where it was
 * @file: a file of a process in proc, known to the caller only, just opened
 * @pos: its position
 * @in: what it was; nothing is said again of what was read already
 *
 * Context: may sleep.
 * Return: 0; -EINVAL if it is not of that kind; -ENOMEM.
 */
int checkpoint_restore_proc(struct file *file, loff_t pos,
			    const struct checkpoint_proc *in)
{
	bool maps = checkpoint_is(file, proc_maps_checkpoint);
	struct seq_file *seq = file->private_data;

	file->f_pos = pos;
	if (!in->text)
		return 0;
	if ((!maps && !checkpoint_is(file, proc_single_checkpoint)) ||
	    in->len > CHECKPOINT_PROC_REST)
		return -EINVAL;
	guard(mutex)(&seq->lock);
	if (in->len) {
		size_t size = ALIGN(in->len, PAGE_SIZE);

		if (seq->buf)
			return -EINVAL;
		seq->buf = kvmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!seq->buf)
			return -ENOMEM;
		seq->size = size;
		memcpy(seq->buf, in->rest, in->len);
	}
	seq->from = 0;
	seq->count = in->len;
	seq->index = in->index;
	seq->read_pos = pos;
	if (maps)
		checkpoint_maps_of(file)->last_pos = in->last;
	return 0;
}
