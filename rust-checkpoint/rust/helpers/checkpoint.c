// SPDX-License-Identifier: GPL-2.0

#ifdef CONFIG_CHECKPOINT

#include <linux/checkpoint.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/security.h>
#include <linux/task_work.h>
#include <linux/uidgid.h>
#include <linux/uio.h>

__rust_helper unsigned long rust_helper___mm_flags_get_word(const struct mm_struct *mm)
{
	return __mm_flags_get_word(mm);
}

__rust_helper struct inode *rust_helper_d_inode(const struct dentry *dentry)
{
	return d_inode(dentry);
}

__rust_helper void rust_helper_clear_restore_sigmask(void)
{
	clear_restore_sigmask();
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

__rust_helper void rust_helper_iov_iter_reexpand(struct iov_iter *i, size_t count)
{
	iov_iter_reexpand(i, count);
}

__rust_helper void rust_helper_mmap_write_lock(struct mm_struct *mm)
{
	mmap_write_lock(mm);
}

__rust_helper void rust_helper_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

__rust_helper void rust_helper_put_group_info(struct group_info *group_info)
{
	put_group_info(group_info);
}

__rust_helper void rust_helper_put_page(struct page *page)
{
	put_page(page);
}

__rust_helper void rust_helper_set_restore_sigmask(void)
{
	set_restore_sigmask();
}

__rust_helper bool rust_helper_task_no_new_privs(struct task_struct *p)
{
	return task_no_new_privs(p);
}

__rust_helper struct pid *rust_helper_task_pgrp(struct task_struct *p)
{
	return task_pgrp(p);
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

__rust_helper struct pid *rust_helper_task_session(struct task_struct *p)
{
	return task_session(p);
}

__rust_helper pid_t rust_helper_task_session_nr_ns(struct task_struct *p,
						   struct pid_namespace *ns)
{
	return task_session_nr_ns(p, ns);
}

__rust_helper void rust_helper_task_set_no_new_privs(struct task_struct *p)
{
	task_set_no_new_privs(p);
}

__rust_helper bool rust_helper_test_tsk_restore_sigmask(struct task_struct *task)
{
	return test_tsk_restore_sigmask(task);
}

__rust_helper void *rust_helper_try_get_task_stack(struct task_struct *task)
{
	return try_get_task_stack(task);
}

__rust_helper void rust_helper_unlock_task_sighand(struct task_struct *task,
						   unsigned long *flags)
{
	unlock_task_sighand(task, flags);
}

#ifndef CONFIG_USER_NS
__rust_helper gid_t rust_helper_from_kgid(struct user_namespace *to, kgid_t gid)
{
	return from_kgid(to, gid);
}

__rust_helper kgid_t rust_helper_make_kgid(struct user_namespace *from, gid_t gid)
{
	return make_kgid(from, gid);
}

__rust_helper kuid_t rust_helper_make_kuid(struct user_namespace *from, uid_t uid)
{
	return make_kuid(from, uid);
}
#endif

#ifndef CONFIG_SECURITY
__rust_helper int rust_helper_security_capable(const struct cred *cred,
					       struct user_namespace *ns,
					       int cap, unsigned int opts)
{
	return security_capable(cred, ns, cap, opts);
}

__rust_helper int rust_helper_security_capset(struct cred *new, const struct cred *old,
					      const kernel_cap_t *effective,
					      const kernel_cap_t *inheritable,
					      const kernel_cap_t *permitted)
{
	return security_capset(new, old, effective, inheritable, permitted);
}

__rust_helper int rust_helper_security_task_fix_setgid(struct cred *new,
						       const struct cred *old,
						       int flags)
{
	return security_task_fix_setgid(new, old, flags);
}

__rust_helper int rust_helper_security_task_fix_setgroups(struct cred *new,
							  const struct cred *old)
{
	return security_task_fix_setgroups(new, old);
}

__rust_helper int rust_helper_security_task_fix_setuid(struct cred *new,
						       const struct cred *old,
						       int flags)
{
	return security_task_fix_setuid(new, old, flags);
}
#endif

#endif /* CONFIG_CHECKPOINT */
