// SPDX-License-Identifier: GPL-2.0-only
/*
 * File side of checkpoint/restart that needs locks, inlines and what is
 * private to fs/: descriptor tables, names, file locks, opening again.
 */
#include <linux/anon_inodes.h>
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
#include <linux/highmem.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/nsproxy.h>
#include <linux/path.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/uidgid.h>
#include <linux/xattr.h>

#include "internal.h"
#include "mount.h"

/* How many numbers are looked at before others get the lock. */
#define CHECKPOINT_FDS 1024

/**
 * checkpoint_next_fd - the next open descriptor of a task
 * @task: the task
 * @fd: in: the number to look from; out: the number found
 * @cloexec: out: whether it is closed by exec
 *
 * Context: may sleep.
 * Return: the file with a reference, or NULL if there is none.
 */
struct file *checkpoint_next_fd(struct task_struct *task, unsigned int *fd,
				bool *cloexec)
{
	struct files_struct *files;
	struct file *file = NULL;
	unsigned int n = *fd;
	unsigned int end, max;

	do {
		cond_resched();
		guard(task_lock)(task);
		files = task->files;
		if (!files)
			break;
		guard(spinlock)(&files->file_lock);
		max = files_fdtable(files)->max_fds;
		for (end = n + CHECKPOINT_FDS; n < min(end, max); n++) {
			file = files_lookup_fd_locked(files, n);
			if (file) {
				get_file(file);
				*cloexec = close_on_exec(n, files);
				break;
			}
		}
	} while (!file && n < max);
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

/* The flags of @file in @mask, as F_SETFL sets them; nobody else knows the file. */
void checkpoint_set_flags(struct file *file, unsigned int mask,
			  unsigned int flags)
{
	file->f_flags = (file->f_flags & ~mask) | (flags & mask);
	file->f_iocb_flags = iocb_flags(file);
}

/* Whether @task is outside of the job of @ns, and its descriptors are its own. */
static bool checkpoint_is_outside(struct task_struct *task,
				  struct pid_namespace *ns)
{
	struct files_struct *files = READ_ONCE(task->files);

	if (!files)
		return false;
	/* Most threads have the table of their leader. */
	if (!thread_group_leader(task) &&
	    files == READ_ONCE(task->group_leader->files))
		return false;
	if (same_thread_group(task, current))
		return files != current->files;
	return !task_pid_nr_ns(task, ns);
}

/**
 * checkpoint_next_outside - the next task whose files are not those of the job
 * @ns: the namespace of the job
 * @nr: in: number in the initial namespace to look from; out: behind the one
 *	found
 *
 * Those are the tasks that @ns does not see, one for each descriptor table as a
 * rule, and threads of its init that do not share the caller's table. What the
 * caller has open, too, is saved as init's.
 *
 * Context: any.
 * Return: the task with a reference, or NULL if there are no more.
 */
struct task_struct *checkpoint_next_outside(struct pid_namespace *ns, int *nr)
{
	struct task_struct *task;
	struct pid *pid;

	guard(rcu)();
	while ((pid = find_ge_pid(*nr, &init_pid_ns))) {
		*nr = pid_nr(pid) + 1;
		task = pid_task(pid, PIDTYPE_PID);
		if (task && checkpoint_is_outside(task, ns))
			return get_task_struct(task);
	}
	return NULL;
}

/**
 * checkpoint_files - which descriptor table a task has
 * @task: a task that stands still
 * @alone: out: whether only @task has it
 *
 * Return: its address, which is only good to tell one from another.
 */
const void *checkpoint_files(struct task_struct *task, bool *alone)
{
	struct files_struct *files;

	guard(task_lock)(task);
	files = task->files;
	*alone = !files || atomic_read(&files->count) == 1;
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

/* Whether a file has attributes that it would not have if it were made again. */
static int checkpoint_has_xattrs(struct dentry *dentry, bool *has)
{
	char *list __free(kvfree) = NULL;
	ssize_t len;

	*has = false;
	len = vfs_listxattr(dentry, NULL, 0);
	if (len == -EOPNOTSUPP || !len)
		return 0;
	if (len < 0)
		return len;
	list = kvmalloc(len, CHECKPOINT_GFP);
	if (!list)
		return -ENOMEM;
	len = vfs_listxattr(dentry, list, len);
	if (len < 0)
		return len;
	/* The security module labels a file that is made; a socket has its own. */
	for (char *name = list; name < list + len; name += strlen(name) + 1) {
		if (!strcmp(name, XATTR_SYSTEM_PREFIX "sockprotoname"))
			continue;
		if (strncmp(name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) ||
		    !strcmp(name, XATTR_NAME_CAPS))
			*has = true;
	}
	return 0;
}

/**
 * checkpoint_get_attributes - what a regular file has besides its content
 * @path: the file
 * @out: out: what it has
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_get_attributes(const struct path *path,
			      struct checkpoint_attributes *out)
{
	struct inode *inode = d_inode(path->dentry);
	struct kstat stat;
	int err;

	/* Whoever serves the file may be of the job, which stands still. */
	err = vfs_getattr(path, &stat, STATX_BASIC_STATS, AT_STATX_DONT_SYNC);
	if (err)
		return err;
	out->size = stat.size;
	out->mode = stat.mode;
	out->uid = from_kuid(current_user_ns(), stat.uid);
	out->gid = from_kgid(current_user_ns(), stat.gid);
	out->nlink = stat.nlink;
	out->atime_sec = stat.atime.tv_sec;
	out->atime_nsec = stat.atime.tv_nsec;
	out->mtime_sec = stat.mtime.tv_sec;
	out->mtime_nsec = stat.mtime.tv_nsec;
	out->linkable = inode_state_read_once(inode) & I_LINKABLE;
	return checkpoint_has_xattrs(path->dentry, &out->xattrs);
}

static int checkpoint_change(struct file *file, struct iattr *attr)
{
	struct inode *inode = file_inode(file);
	int err;

	err = inode_lock_killable(inode);
	if (err)
		return err;
	err = notify_change(file_mnt_idmap(file), file->f_path.dentry, attr, NULL);
	inode_unlock(inode);
	return err;
}

/* Sets owner and group, and after them the mode, and what else @attr says. */
static int checkpoint_change_owner(struct file *file,
				   const struct checkpoint_attributes *in,
				   struct iattr *attr)
{
	struct mnt_idmap *idmap = file_mnt_idmap(file);
	struct inode *inode = file_inode(file);
	kuid_t uid = make_kuid(current_user_ns(), in->uid);
	kgid_t gid = make_kgid(current_user_ns(), in->gid);
	struct iattr owner = {};
	int err;

	if (!uid_valid(uid) || !gid_valid(gid))
		return -EINVAL;
	if (!vfsuid_eq_kuid(i_uid_into_vfsuid(idmap, inode), uid)) {
		owner.ia_valid |= ATTR_UID;
		owner.ia_vfsuid = VFSUIDT_INIT(uid);
	}
	if (!vfsgid_eq_kgid(i_gid_into_vfsgid(idmap, inode), gid)) {
		owner.ia_valid |= ATTR_GID;
		owner.ia_vfsgid = VFSGIDT_INIT(gid);
	}
	if (owner.ia_valid) {
		err = checkpoint_change(file, &owner);
		if (err)
			return err;
	}
	/* A change of the owner takes rights away, so this is after that. */
	attr->ia_valid |= ATTR_MODE;
	attr->ia_mode = (inode->i_mode & S_IFMT) | (in->mode & S_IALLUGO);
	return checkpoint_change(file, attr);
}

static int checkpoint_change_all(struct file *file,
				 const struct checkpoint_attributes *in)
{
	struct iattr times = {
		.ia_valid = ATTR_CTIME | ATTR_ATIME | ATTR_ATIME_SET |
			    ATTR_MTIME | ATTR_MTIME_SET,
		.ia_atime = { .tv_sec = in->atime_sec, .tv_nsec = in->atime_nsec },
		.ia_mtime = { .tv_sec = in->mtime_sec, .tv_nsec = in->mtime_nsec },
	};
	int err;

	err = do_truncate(file_mnt_idmap(file), file->f_path.dentry, in->size, 0,
			  file);
	if (err)
		return err;
	return checkpoint_change_owner(file, in, &times);
}

/**
 * checkpoint_set_attributes - set what a regular file has besides its content
 * @file: the file, without a name, open for writing, known to the caller only
 * @in: what it is to have
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_set_attributes(struct file *file,
			      const struct checkpoint_attributes *in)
{
	int err = mnt_want_write_file(file);

	if (!err) {
		err = checkpoint_change_all(file, in);
		mnt_drop_write_file(file);
	}
	return err;
}

/**
 * checkpoint_set_owner - set owner, group and mode of what has no name
 * @file: the file, known to the caller only
 * @uid: owner, in the user namespace of the caller
 * @gid: group, in the user namespace of the caller
 * @mode: access mode
 *
 * Context: may sleep.
 * Return: 0 or a negative errno; what fchown(2) and fchmod(2) return.
 */
int checkpoint_set_owner(struct file *file, u32 uid, u32 gid, umode_t mode)
{
	struct checkpoint_attributes attributes = {
		.uid = uid, .gid = gid, .mode = mode,
	};
	struct iattr attr = {};

	return checkpoint_change_owner(file, &attributes, &attr);
}

/* Deletes a file that was made just now. */
static int checkpoint_unlink(const struct path *dir, struct file *file)
{
	struct dentry *dentry;
	int err;

	err = mnt_want_write(dir->mnt);
	if (err)
		return err;
	dentry = start_removing_dentry(dir->dentry, file->f_path.dentry);
	if (IS_ERR(dentry)) {
		/* Somebody has done so, or has given it another name. */
		err = d_unlinked(file->f_path.dentry) ? 0 : PTR_ERR(dentry);
	} else {
		err = security_path_unlink(dir, dentry);
		if (!err)
			err = vfs_unlink(mnt_idmap(dir->mnt), d_inode(dir->dentry),
					 dentry, NULL);
		end_removing(dentry);
	}
	mnt_drop_write(dir->mnt);
	return err;
}

/**
 * checkpoint_create_deleted - make a file that was deleted
 * @dir: the directory to make it in
 * @name: the name it had
 * @linkable: it never had one, and may be given one (O_TMPFILE without O_EXCL)
 *
 * As /proc/PID/fd shows the name that a deleted file had, it is made with that
 * name and deleted, where nothing else has the name; and without one by what
 * O_TMPFILE does otherwise, or if it is @linkable. Makes the checks that
 * open(2) makes.
 *
 * Context: may sleep.
 * Return: the file, open for reading and writing, or an error pointer; -EEXIST
 * if the name is taken and the file system can't do without.
 */
struct file *checkpoint_create_deleted(const struct path *dir, const char *name,
				       bool linkable)
{
	int flags = O_RDWR | O_EXCL | O_LARGEFILE;
	struct file *file;
	int err;

	if (!*name || strchr(name, '/') || name_is_dot_dotdot(name, strlen(name)))
		return ERR_PTR(-EINVAL);
	if (linkable) {
		flags &= ~O_EXCL;
		goto unnamed;
	}
	file = file_open_root(dir, name, flags | O_CREAT | O_NOFOLLOW, 0600);
	if (file != ERR_PTR(-EEXIST)) {
		if (IS_ERR(file))
			return file;
		err = checkpoint_unlink(dir, file);
		if (err) {
			fput(file);
			return ERR_PTR(err);
		}
		return file;
	}

unnamed:
	err = mnt_want_write(dir->mnt);
	if (err)
		return ERR_PTR(err);
	file = kernel_tmpfile_open(mnt_idmap(dir->mnt), dir,
				   S_IFREG | 0600, flags, current_cred());
	mnt_drop_write(dir->mnt);
	return file == ERR_PTR(-EOPNOTSUPP) ? ERR_PTR(-EEXIST) : file;
}

/**
 * checkpoint_file_data - find data in a regular file
 * @file: the file, known to the caller only
 * @offset: in: where to look from, page-aligned; out: the page the data starts in
 *
 * Context: may sleep.
 * Return: length of the pages it is in, 0 if there is none, or a negative errno.
 */
loff_t checkpoint_file_data(struct file *file, loff_t *offset)
{
	loff_t start, end;

	start = vfs_llseek(file, *offset, SEEK_DATA);
	if (start == -ENXIO)
		return 0;
	if (start < 0)
		return start;
	/* Blocks may be smaller than pages. */
	end = vfs_llseek(file, start, SEEK_HOLE);
	if (end < 0)
		return end;
	*offset = round_down(start, PAGE_SIZE);
	return round_up(end, PAGE_SIZE) - *offset;
}

/**
 * checkpoint_read_page - read a page from a file
 * @file: the file, open for reading
 * @pos: where to read
 * @page: where to; keeps what it has behind the end of the file
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_read_page(struct file *file, loff_t pos, struct page *page)
{
	char *to = kmap_local_page(page);
	size_t done = 0;
	ssize_t n = 0;

	while (done < PAGE_SIZE) {
		n = kernel_read(file, to + done, PAGE_SIZE - done, &pos);
		if (n <= 0)
			break;
		done += n;
	}
	kunmap_local(to);
	return n < 0 ? n : 0;
}

/**
 * checkpoint_write_page - write from a page to a file
 * @file: the file, open for writing
 * @pos: where to write
 * @page: what to write
 * @len: how much of it
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_write_page(struct file *file, loff_t pos, struct page *page,
			  size_t len)
{
	char *from = kmap_local_page(page);
	size_t done = 0;
	ssize_t n = 1;

	while (done < len) {
		n = kernel_write(file, from + done, len - done, &pos);
		if (n <= 0)
			break;
		done += n;
	}
	kunmap_local(from);
	if (n < 0)
		return n;
	return n ? 0 : -EIO;
}

/**
 * checkpoint_is_anonymous_pipe - whether an open pipe is one of pipe(2)
 * @file: an open pipe or FIFO
 */
bool checkpoint_is_anonymous_pipe(struct file *file)
{
	return file_inode(file)->i_sb->s_magic == PIPEFS_MAGIC;
}

/**
 * checkpoint_peek_pipe - look at what is in a pipe
 * @file: an end of it
 * @capacity: out: what F_GETPIPE_SZ says
 * @fn: called for each buffer in the order of reading, with @arg; @packet says
 *	that it is read by itself (O_DIRECT); ends the walk if it is not 0
 * @arg: for @fn
 *
 * Context: may sleep; @fn is called under the mutex of the pipe.
 * Return: 0, what @fn returned, -EOPNOTSUPP if it is a pipe for notifications,
 * or another negative errno.
 */
int checkpoint_peek_pipe(struct file *file, u32 *capacity,
			 checkpoint_pipe_fn fn, void *arg)
{
	struct pipe_inode_info *pipe = get_pipe_info(file, false);
	unsigned int head, tail;
	int err;

	if (!pipe || pipe_has_watch_queue(pipe))
		return -EOPNOTSUPP;
	err = mutex_lock_killable(&pipe->mutex);
	if (err)
		return err;
	*capacity = pipe->max_usage * PAGE_SIZE;
	head = pipe->head;
	for (tail = pipe->tail; tail != head && !err; tail++) {
		struct pipe_buffer *buf = pipe_buf(pipe, tail);
		char *data;

		err = pipe_buf_confirm(pipe, buf);
		if (err || !buf->len)
			continue;
		data = kmap_local_page(buf->page);
		err = fn(arg, data + buf->offset, buf->len,
			 buf->flags & PIPE_BUF_FLAG_PACKET);
		kunmap_local(data);
	}
	mutex_unlock(&pipe->mutex);
	return err;
}

/**
 * checkpoint_new_pipe - make a pipe
 * @ends: out: its ends, for reading and for writing
 * @capacity: as for F_SETPIPE_SZ
 * @uid: owner, in the user namespace of the caller
 * @gid: group, in the user namespace of the caller
 * @mode: access mode
 *
 * Return: 0 or a negative errno; what pipe(2), F_SETPIPE_SZ, fchown(2) and
 * fchmod(2) return.
 */
int checkpoint_new_pipe(struct file **ends, u32 capacity, u32 uid, u32 gid,
			umode_t mode)
{
	long ret;

	ret = create_pipe_files(ends, 0);
	if (ret)
		return ret;
	ret = pipe_fcntl(ends[1], F_SETPIPE_SZ, capacity);
	if (ret >= 0)
		ret = checkpoint_set_owner(ends[1], uid, gid, mode);
	if (ret) {
		fput(ends[0]);
		fput(ends[1]);
	}
	return ret;
}

/**
 * checkpoint_claim_fifo - have a FIFO alone, with nothing in it
 * @file: an end of it, open for reading and writing
 * @capacity: as for F_SETPIPE_SZ
 *
 * Context: may sleep.
 * Return: 0, -EBUSY if somebody else has it open or waits for it in open(2), or
 * another negative errno as of F_SETPIPE_SZ.
 */
int checkpoint_claim_fifo(struct file *file, u32 capacity)
{
	struct pipe_inode_info *pipe = get_pipe_info(file, false);
	bool alone;
	long ret;

	if (!pipe)
		return -EINVAL;
	mutex_lock(&pipe->mutex);
	alone = pipe->readers == 1 && pipe->writers == 1 && pipe_is_empty(pipe);
	mutex_unlock(&pipe->mutex);
	if (!alone)
		return -EBUSY;
	ret = pipe_fcntl(file, F_SETPIPE_SZ, capacity);
	return ret < 0 ? ret : 0;
}

/**
 * checkpoint_fifo_waits - whether the reader of a FIFO still waits for a writer
 * @file: an end of it
 *
 * It was opened with O_NONBLOCK while nobody wrote, and nobody has come since:
 * poll(2) does not say that the other end was closed.
 *
 * Context: may sleep.
 */
bool checkpoint_fifo_waits(struct file *file)
{
	struct pipe_inode_info *pipe = get_pipe_info(file, false);
	bool waits;

	if (!pipe)
		return false;
	mutex_lock(&pipe->mutex);
	waits = (file->f_mode & (FMODE_READ | FMODE_WRITE)) == FMODE_READ &&
		!pipe->writers && file->f_pipe == pipe->w_counter;
	mutex_unlock(&pipe->mutex);
	return waits;
}

/**
 * checkpoint_fifo_wait - have a reader wait for a writer to come
 * @file: an end for reading, known to the caller only
 *
 * Context: may sleep.
 */
void checkpoint_fifo_wait(struct file *file)
{
	struct pipe_inode_info *pipe = get_pipe_info(file, false);

	if (!pipe)
		return;
	mutex_lock(&pipe->mutex);
	file->f_pipe = pipe->w_counter;
	mutex_unlock(&pipe->mutex);
}

/**
 * checkpoint_fill_pipe - put data into a pipe or FIFO
 * @file: its end for writing, known to the caller only
 * @data: what to write
 * @len: how much of it
 * @packet: it is to be read by itself, as with O_DIRECT
 *
 * Return: 0 or a negative errno, -EAGAIN if there is no room.
 */
int checkpoint_fill_pipe(struct file *file, const void *data, size_t len,
			 bool packet)
{
	unsigned int flags = file->f_flags;
	ssize_t ret;

	file->f_flags |= O_NONBLOCK | (packet ? O_DIRECT : 0);
	ret = kernel_write(file, data, len, NULL);
	file->f_flags = flags;
	if (ret < 0)
		return ret;
	return ret == len ? 0 : -EAGAIN;
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
	/*
	 * Files are closed by task works. Not on the way to user mode, but now:
	 * the image may come from a pipe whose other end is among them.
	 */
	task_work_run();
	return 0;
}

/**
 * checkpoint_share_files - share the descriptor table of another task
 * @owner: the other task
 *
 * As CLONE_FILES would have it. Closes what only the caller had.
 *
 * Return: 0, or -ESRCH if @owner has exited.
 */
int checkpoint_share_files(struct task_struct *owner)
{
	struct files_struct *files;

	task_lock(owner);
	files = owner->files;
	if (files)
		atomic_inc(&files->count);
	task_unlock(owner);
	if (!files)
		return -ESRCH;

	task_lock(current);
	swap(current->files, files);
	task_unlock(current);
	put_files_struct(files);
	return 0;
}

/**
 * checkpoint_share_fs - share root, working directory and umask with a task
 * @owner: the other task
 *
 * As CLONE_FS would have it.
 *
 * Return: 0, -ESRCH if @owner has exited.
 */
int checkpoint_share_fs(struct task_struct *owner)
{
	struct fs_struct *fs, *old;
	bool last;

	task_lock(owner);
	fs = owner->real_fs;
	if (fs) {
		read_seqlock_excl(&fs->seq);
		fs->users++;
		read_sequnlock_excl(&fs->seq);
	}
	task_unlock(owner);
	if (!fs)
		return -ESRCH;

	task_lock(current);
	old = current->real_fs;
	current->fs = fs;
	current->real_fs = fs;
	read_seqlock_excl(&old->seq);
	last = !--old->users;
	read_sequnlock_excl(&old->seq);
	task_unlock(current);
	if (last)
		free_fs_struct(old);
	return 0;
}

/**
 * checkpoint_new_fs - root, working directory and umask of the caller's own
 *
 * Return: 0 or -ENOMEM.
 */
int checkpoint_new_fs(void)
{
	return current->real_fs->users == 1 ? 0 : unshare_fs_struct();
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
 * checkpoint_lend_cred - have an open file be one that another task has opened
 * @file: a file that nobody else knows, and has the credentials of the caller
 * @task: a task that has not been to user mode, with its credentials
 *
 * Some files ask who has opened them when they are read.
 */
void checkpoint_lend_cred(struct file *file, struct task_struct *task)
{
	const struct cred *cred = file->f_cred;

	file->f_cred = get_task_cred(task);
	put_cred(cred);
}

static const struct file_operations checkpoint_placeholder_fops = { };

/**
 * checkpoint_placeholder - an open file that holds the place of another one
 *
 * Return: the file, with which nothing can be done, or an error pointer.
 */
struct file *checkpoint_placeholder(void)
{
	return anon_inode_getfile("[checkpoint]", &checkpoint_placeholder_fops, NULL,
				  O_RDONLY);
}

/**
 * checkpoint_replace_fd - have a descriptor refer to another open file
 * @task: a task that has not been to user mode, and stands still
 * @fd: a descriptor of it
 * @old: what it refers to; the caller has a reference
 * @file: what it is to refer to
 *
 * Context: may sleep.
 * Return: 0, -EBADF if it refers to something else, or what a security module says.
 */
int checkpoint_replace_fd(struct task_struct *task, unsigned int fd,
			  struct file *old, struct file *file)
{
	int err = security_file_receive(file);

	if (err)
		return err;
	guard(task_lock)(task);
	if (!task->files)
		return -EBADF;
	guard(spinlock)(&task->files->file_lock);
	if (files_lookup_fd_locked(task->files, fd) != old)
		return -EBADF;
	rcu_assign_pointer(files_fdtable(task->files)->fd[fd], get_file(file));
	/* Not the last reference. */
	fput(old);
	return 0;
}

/**
 * checkpoint_get_fs - root, working directory and umask of a task
 * @task: a task that stands still
 * @root: out: its root, with a reference
 * @cwd: out: its working directory, with a reference
 * @umask: out: its umask
 * @alone: out: whether only @task has them
 *
 * Return: the address of all that, to tell one from another; NULL if the task
 * has none, and nothing was written then.
 */
const void *checkpoint_get_fs(struct task_struct *task, struct path *root,
			      struct path *cwd, int *umask, bool *alone)
{
	struct fs_struct *fs;

	guard(task_lock)(task);
	fs = task->real_fs;
	if (fs) {
		read_seqlock_excl(&fs->seq);
		*root = fs->root;
		*cwd = fs->pwd;
		path_get(root);
		path_get(cwd);
		*umask = fs->umask;
		*alone = fs->users == 1;
		read_sequnlock_excl(&fs->seq);
	}
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
	if (!stream && (locked || !(file->f_mode & FMODE_ATOMIC_POS)))
		file->f_pos = pos;
	if (locked)
		mutex_unlock(&file->f_pos_lock);
out:
	fput(file);
}

/* For file systems that are modules. */
EXPORT_SYMBOL_GPL(generic_file_checkpoint);
EXPORT_SYMBOL_GPL(filemap_checkpoint);
