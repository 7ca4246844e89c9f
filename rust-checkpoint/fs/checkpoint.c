// SPDX-License-Identifier: GPL-2.0-only
/*
 * File side of checkpoint/restart that needs locks, inlines and what is
 * private to fs/: descriptor tables, names, file locks, opening again.
 */
#include <linux/capability.h>
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/namei.h>
#include <linux/nsproxy.h>
#include <linux/path.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/security.h>

#include "internal.h"
#include "mount.h"

/**
 * checkpoint_next_fd - the next open descriptor of a task
 * @task: a task that stands still, or the caller
 * @fd: in: the number to look from; out: the number found
 * @cloexec: out: whether it is closed by exec
 *
 * Context: may be called anywhere but under task_lock() or file_lock.
 * Return: the file with a reference, or NULL if there is none.
 */
struct file *checkpoint_next_fd(struct task_struct *task, unsigned int *fd,
				bool *cloexec)
{
	struct files_struct *files;
	struct file *file = NULL;
	unsigned int n = *fd;

	task_lock(task);
	files = task->files;
	if (files) {
		spin_lock(&files->file_lock);
		for (; n < files_fdtable(files)->max_fds; n++) {
			file = files_lookup_fd_locked(files, n);
			if (file) {
				get_file(file);
				*cloexec = close_on_exec(n, files);
				break;
			}
		}
		spin_unlock(&files->file_lock);
	}
	task_unlock(task);
	*fd = n;
	return file;
}

static int checkpoint_same_file(const void *wanted, struct file *file,
				unsigned int fd)
{
	return file == wanted ? fd + 1 : 0;
}

/**
 * checkpoint_find_fd - the number of the caller's descriptor for a file
 * @file: an open file
 * @like: number that is preferred if there are several
 *
 * Return: the number, @like or the lowest, or -ENOENT if there is none.
 */
int checkpoint_find_fd(const struct file *file, unsigned int like)
{
	int n;

	rcu_read_lock();
	n = files_lookup_fd_raw(current->files, like) == file ? like + 1 : 0;
	rcu_read_unlock();
	if (!n)
		n = iterate_fd(current->files, 0, checkpoint_same_file, file);
	return n ? n - 1 : -ENOENT;
}

/* Whether a task that is not one of @ns, or is its init, has @files or @fs. */
static bool checkpoint_shared(struct pid_namespace *ns,
			      struct files_struct *files, struct fs_struct *fs)
{
	struct task_struct *g, *p;
	bool shared = false;

	rcu_read_lock();
	for_each_process_thread(g, p) {
		/* Racy, but who shares something with the job keeps it. */
		if ((!files || READ_ONCE(p->files) != files) &&
		    (!fs || READ_ONCE(p->real_fs) != fs))
			continue;
		if (same_thread_group(p, current) || !task_pid_nr_ns(p, ns)) {
			shared = true;
			break;
		}
	}
	rcu_read_unlock();
	return shared;
}

/**
 * checkpoint_outside_fds - the open files of everyone outside of the job
 * @ns: the namespace of the job
 * @fn: called for each, with @arg; ends the walk if it is true; must not sleep
 * @arg: for @fn
 *
 * Outside are the tasks that @ns does not see. Its init is not: what init has
 * open, too, is saved as init's.
 *
 * Context: may be called anywhere but under task_lock() or file_lock.
 */
void checkpoint_outside_fds(struct pid_namespace *ns,
			    bool (*fn)(void *arg, struct file *file), void *arg)
{
	struct files_struct *files;
	struct task_struct *g, *p;
	struct file *file;
	unsigned int n;

	guard(rcu)();
	for_each_process_thread(g, p) {
		/* Most threads have the table of their leader. */
		if ((p != g && READ_ONCE(p->files) == READ_ONCE(g->files)) ||
		    task_pid_nr_ns(p, ns))
			continue;
		guard(task_lock)(p);
		files = p->files;
		for (n = 0; files && n < files_fdtable(files)->max_fds; n++) {
			file = files_lookup_fd_raw(files, n);
			if (file && fn(arg, file))
				return;
		}
	}
}

/**
 * checkpoint_files - which descriptor table a task has
 * @task: a task that stands still
 * @ns: the namespace of the job
 * @shared: out: whether someone outside of the job, or its init, has it too
 *
 * Return: its address, which is only good to tell one from another.
 */
const void *checkpoint_files(struct task_struct *task,
			     struct pid_namespace *ns, bool *shared)
{
	struct files_struct *files;
	bool alone = true;

	task_lock(task);
	files = task->files;
	if (files)
		alone = atomic_read(&files->count) == 1;
	task_unlock(task);
	*shared = !alone && checkpoint_shared(ns, files, NULL);
	return files;
}

/**
 * checkpoint_has_posix_lock - whether a task has a POSIX lock on a file
 * @task: a task that stands still
 * @file: a file in its descriptor table
 *
 * These locks belong to the descriptor table and the inode, whichever
 * descriptor they were taken through.
 *
 * Context: may be called where spinlocks can be taken.
 */
bool checkpoint_has_posix_lock(struct task_struct *task, struct file *file)
{
	struct file_lock_context *ctx = locks_inode_context(file_inode(file));
	struct files_struct *files;
	struct file_lock *fl;
	bool found = false;

	if (!ctx)
		return false;
	task_lock(task);
	files = task->files;
	task_unlock(task);

	spin_lock(&ctx->flc_lock);
	for_each_file_lock(fl, &ctx->flc_posix) {
		if (fl->c.flc_owner == files) {
			found = true;
			break;
		}
	}
	spin_unlock(&ctx->flc_lock);
	return found;
}

static bool checkpoint_list_has(struct list_head *list, const struct file *file)
{
	struct file_lock *fl;

	for_each_file_lock(fl, list) {
		if (fl->c.flc_owner == file || fl->c.flc_file == file)
			return true;
	}
	return false;
}

/**
 * checkpoint_file_attached - what an open file has attached to itself
 * @file: an open file
 *
 * Return: CHECKPOINT_FILE_* bits.
 */
unsigned int checkpoint_file_attached(struct file *file)
{
	struct file_lock_context *ctx = locks_inode_context(file_inode(file));
	struct fown_struct *fown = file_f_owner(file);
	unsigned int found = 0;
	struct file_lock *fl;

	if (fown && (READ_ONCE(fown->pid) || READ_ONCE(fown->signum)))
		found |= CHECKPOINT_FILE_OWNER;
	if (READ_ONCE(file->f_flags) & FASYNC)
		found |= CHECKPOINT_FILE_OWNER;
	if (!ctx)
		return found;

	spin_lock(&ctx->flc_lock);
	if (checkpoint_list_has(&ctx->flc_flock, file))
		found |= CHECKPOINT_FILE_FLOCK;
	if (checkpoint_list_has(&ctx->flc_lease, file))
		found |= CHECKPOINT_FILE_LEASE;
	/* Those of a descriptor table are looked for with the table. */
	for_each_file_lock(fl, &ctx->flc_posix) {
		if (fl->c.flc_owner == file)
			found |= CHECKPOINT_FILE_OFD_LOCK;
	}
	spin_unlock(&ctx->flc_lock);
	return found;
}

/**
 * checkpoint_user_path - the path a file was opened by
 * @file: an open file
 *
 * The file behind a mapping may be that of a lower layer of a stacked file
 * system; its user path is that of the stacked one.
 */
const struct path *checkpoint_user_path(struct file *file)
{
	return file_user_path(file);
}

/**
 * checkpoint_is_stale_backing - whether a stacked file got another one below it
 * @file: an open file
 *
 * True for a mapping of a lower file that was copied up since, which the user
 * path no longer leads to.
 */
bool checkpoint_is_stale_backing(struct file *file)
{
	if (!(file->f_mode & FMODE_BACKING))
		return false;
	return d_real_inode(file_user_path(file)->dentry) != file_inode(file);
}

/**
 * checkpoint_path_name - the name of a place, relative to the caller's root
 * @path: the place
 * @elsewhere: out: whether the place is not in the caller's mount namespace
 * @buf: room for it
 * @len: size of @buf
 *
 * What was opened before a mount namespace was unshared is in the old one, and
 * may be in the new one by the same name: this is the name then, and whether
 * it leads to the same file is for the caller to find out.
 *
 * Return: the name, somewhere in @buf; an error pointer when it is too long;
 * NULL when it can't be reached from the root.
 */
char *checkpoint_path_name(const struct path *path, bool *elsewhere, char *buf,
			   int len)
{
	struct path root;
	char *name;

	*elsewhere = real_mount(path->mnt)->mnt_ns != current->nsproxy->mnt_ns;
	if (*elsewhere) {
		name = d_absolute_path(path, buf, len);
		return name == ERR_PTR(-EINVAL) ? NULL : name;
	}
	get_fs_root(current->fs, &root);
	name = __d_path(path, &root, buf, len);
	path_put(&root);
	return name;
}

/**
 * checkpoint_path_deleted - whether the name of a place is gone
 * @path: the place
 */
bool checkpoint_path_deleted(const struct path *path)
{
	/* NFS keeps what is open under another name until it is closed. */
	return d_unlinked(path->dentry) ||
	       path->dentry->d_flags & DCACHE_NFSFS_RENAMED;
}

/**
 * checkpoint_open - open(2) a place that was looked up
 * @path: the place
 * @flags: O_*, nothing that creates or truncates
 *
 * Makes the checks open(2) makes of the place itself. The name can't be made
 * to lead elsewhere between a look at what it is and the opening of it.
 *
 * Return: the file or an error pointer.
 */
struct file *checkpoint_open(const struct path *path, unsigned int flags)
{
	if (WARN_ON_ONCE(flags & (O_CREAT | O_EXCL | O_TRUNC | __O_TMPFILE)))
		return ERR_PTR(-EINVAL);
	return file_open_root(path, "", flags, 0);
}

/**
 * checkpoint_may_execute - whether a file may become the program of a process
 * @file: an open file
 *
 * Asks what PR_SET_MM_EXE_FILE of prctl(2) asks.
 *
 * Return: 0 or -EACCES.
 */
int checkpoint_may_execute(struct file *file)
{
	if (!S_ISREG(file_inode(file)->i_mode) || path_noexec(&file->f_path))
		return -EACCES;
	return file_permission(file, MAY_EXEC);
}

/**
 * checkpoint_new_files - give the calling task an empty descriptor table
 *
 * Closes what the task got from its parent.
 *
 * Return: 0 or -ENOMEM.
 */
int checkpoint_new_files(void)
{
	struct fd_range all = { .from = 0, .to = UINT_MAX };
	struct files_struct *files, *old;
	unsigned int fd = 0;
	struct file *file;

	files = dup_fd(current->files, &all);
	if (IS_ERR(files))
		return PTR_ERR(files);
	task_lock(current);
	old = current->files;
	current->files = files;
	task_unlock(current);
	put_files_struct(old);

	/* The range says what need not be copied, not what is left out. */
	while ((file = fget_task_next(current, &fd))) {
		fput(file);
		close_fd(fd++);
	}
	return 0;
}

/**
 * checkpoint_install_fd - make an open file a descriptor of the calling task
 * @fd: number of the descriptor, which is free
 * @file: the file
 * @cloexec: close it on exec
 *
 * A descriptor may be above the soft limit, as that may be set below what is
 * open already, but not above what the caller could raise it to.
 *
 * Context: only the calling task uses its signal_struct.
 * Return: 0 or a negative errno.
 */
int checkpoint_install_fd(unsigned int fd, struct file *file, bool cloexec)
{
	struct rlimit *limit = &current->signal->rlim[RLIMIT_NOFILE];
	unsigned long soft = limit->rlim_cur;
	int err;

	if (fd > INT_MAX)
		return -EBADF;
	if (fd >= soft) {
		if (fd >= limit->rlim_max && !capable(CAP_SYS_RESOURCE))
			return -EMFILE;
		task_lock(current->group_leader);
		limit->rlim_cur = RLIM_INFINITY;
		task_unlock(current->group_leader);
	}
	err = receive_fd_replace(fd, file, cloexec ? O_CLOEXEC : 0);
	if (fd >= soft) {
		task_lock(current->group_leader);
		limit->rlim_cur = soft;
		task_unlock(current->group_leader);
	}
	return err < 0 ? err : 0;
}

/**
 * checkpoint_get_fs - root, working directory and umask of a task
 * @task: a task that stands still
 * @ns: the namespace of the job
 * @root: out: its root, with a reference
 * @cwd: out: its working directory, with a reference
 * @umask: out: its umask
 * @shared: out: whether someone outside of the job, or its init, has them too
 *
 * Return: the address of all that, to tell one from another; NULL if the task
 * has none, and nothing was written then.
 */
const void *checkpoint_get_fs(struct task_struct *task,
			      struct pid_namespace *ns, struct path *root,
			      struct path *cwd, int *umask, bool *shared)
{
	struct fs_struct *fs;
	bool alone;

	task_lock(task);
	fs = task->real_fs;
	if (fs) {
		read_seqlock_excl(&fs->seq);
		*root = fs->root;
		*cwd = fs->pwd;
		path_get(root);
		path_get(cwd);
		*umask = fs->umask;
		alone = fs->users == 1;
		read_sequnlock_excl(&fs->seq);
	}
	task_unlock(task);
	if (fs)
		*shared = !alone && checkpoint_shared(ns, NULL, fs);
	return fs;
}

/**
 * checkpoint_set_root - chroot(2) to a place
 * @path: a directory
 *
 * Asks nothing if it is the root of the caller already.
 */
int checkpoint_set_root(const struct path *path)
{
	struct path root;
	bool same;
	int err;

	get_fs_root(current->fs, &root);
	same = path_equal(path, &root);
	path_put(&root);
	if (same)
		return 0;

	err = path_permission(path, MAY_EXEC | MAY_CHDIR);
	if (err)
		return err;
	if (!ns_capable(current_user_ns(), CAP_SYS_CHROOT))
		return -EPERM;
	err = security_path_chroot(path);
	if (!err)
		set_fs_root(current->fs, path);
	return err;
}

/**
 * checkpoint_set_cwd - chdir(2) to a place
 * @path: a directory
 */
int checkpoint_set_cwd(const struct path *path)
{
	int err = path_permission(path, MAY_EXEC | MAY_CHDIR);

	if (!err)
		set_fs_pwd(current->fs, path);
	return err;
}

/**
 * checkpoint_set_umask - umask(2)
 * @umask: the new mask
 */
void checkpoint_set_umask(int umask)
{
	current->fs->umask = umask & 0777;
}

/**
 * checkpoint_write_log - write to a descriptor of the caller, as far as it goes
 * @fd: the number of the descriptor
 * @text: what to write
 * @len: its length
 *
 * The image file may be the same open file and its position lock be held: the
 * lock is tried, not waited for.
 *
 * Context: may sleep; a fatal signal ends it.
 */
void checkpoint_write_log(int fd, const char *text, size_t len)
{
	struct file *file = fget(fd);
	bool locked = false;
	loff_t pos = 0;
	bool stream;

	if (!file)
		return;
	if (!(file->f_mode & FMODE_WRITE))
		goto out;
	stream = file->f_mode & FMODE_STREAM;
	if (file->f_mode & FMODE_ATOMIC_POS)
		locked = mutex_trylock(&file->f_pos_lock);
	if (!stream)
		pos = file->f_pos;
	while (len && !fatal_signal_pending(current)) {
		ssize_t n = kernel_write(file, text, len, &pos);

		if (n <= 0)
			break;
		text += n;
		len -= n;
	}
	if (!stream)
		file->f_pos = pos;
	if (locked)
		mutex_unlock(&file->f_pos_lock);
out:
	fput(file);
}

/* For file systems that are modules. */
EXPORT_SYMBOL_GPL(generic_file_checkpoint);
EXPORT_SYMBOL_GPL(filemap_checkpoint);
