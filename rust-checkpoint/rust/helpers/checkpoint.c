// SPDX-License-Identifier: GPL-2.0

#ifdef CONFIG_CHECKPOINT

#include <linux/checkpoint.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/task_work.h>
#include <linux/uio.h>

__rust_helper unsigned long rust_helper___mm_flags_get_word(const struct mm_struct *mm)
{
	return __mm_flags_get_word(mm);
}

__rust_helper struct inode *rust_helper_d_inode(const struct dentry *dentry)
{
	return d_inode(dentry);
}

__rust_helper bool rust_helper_fatal_signal_pending(struct task_struct *p)
{
	return fatal_signal_pending(p);
}

__rust_helper unsigned long rust_helper_file_count(struct file *f)
{
	return file_count(f);
}

__rust_helper struct inode *rust_helper_file_inode(const struct file *f)
{
	return file_inode(f);
}

__rust_helper loff_t rust_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

__rust_helper void rust_helper_mmap_write_lock(struct mm_struct *mm)
{
	mmap_write_lock(mm);
}

__rust_helper void rust_helper_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

__rust_helper void rust_helper_put_page(struct page *page)
{
	put_page(page);
}

__rust_helper pid_t rust_helper_task_pgrp_nr_ns(struct task_struct *p,
						struct pid_namespace *ns)
{
	return task_pgrp_nr_ns(p, ns);
}

__rust_helper pid_t rust_helper_task_pid_nr_ns(struct task_struct *p,
					       struct pid_namespace *ns)
{
	return task_pid_nr_ns(p, ns);
}

__rust_helper pid_t rust_helper_task_session_nr_ns(struct task_struct *p,
						   struct pid_namespace *ns)
{
	return task_session_nr_ns(p, ns);
}

#endif /* CONFIG_CHECKPOINT */
