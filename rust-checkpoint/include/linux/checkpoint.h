/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checkpoint/restart: what the subsystem offers to the owners of files and
 * mappings, and the border between its C and its Rust side.
 *
 * A file or a mapping is saved because its owner says how: ->checkpoint in
 * struct file_operations or struct vm_operations_struct. Without a hook it is
 * refused by name. Most owners of regular files want CHECKPOINT_FILE_OPS.
 */
#ifndef _LINUX_CHECKPOINT_H
#define _LINUX_CHECKPOINT_H

#include <linux/gfp_types.h>
#include <linux/ktime.h>
#include <linux/mm_types.h>
#include <linux/nodemask_types.h>
#include <linux/pid_namespace.h>
#include <linux/types.h>

/*
 * For what is allocated while a job stands still. Its tasks can't die before they
 * are let go, so that the OOM killer would find one victim after the other.
 */
#define CHECKPOINT_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct callback_head;
struct checkpoint_args;
struct checkpoint_ctx;
struct completion;
struct cred;
struct file;
struct inode;
struct k_itimer;
struct mm_struct;
struct page;
struct path;
struct pid;
struct pid_namespace;
struct restart_block;
struct rlimit;
struct rseq;
struct sched_attr;
struct seccomp_filter;
struct sigevent;
struct sigqueue;
struct sock_filter;
struct task_struct;
struct user_namespace;
struct vm_area_struct;

/*
 * What their owners offer to the checkpointer: the functions by which an
 * interrupted system call goes on, the registration of an rseq area as it was,
 * and what system calls do, for use by a task that rebuilds itself.
 */
long hrtimer_nanosleep_restart(struct restart_block *restart);
long do_restart_poll(struct restart_block *restart);
long futex_wait_restart(struct restart_block *restart);
long alarm_timer_nsleep_restart(struct restart_block *restart);
long posix_cpu_nsleep_restart(struct restart_block *restart);
int posix_timer_create_at(clockid_t which_clock, struct sigevent *event, timer_t id);
int posix_timer_delete_id(timer_t timer_id);
int rseq_restore(struct rseq __user *rseq, u32 rseq_len, u32 sig, bool slice);
int do_prlimit(struct task_struct *tsk, unsigned int resource,
	       struct rlimit *new_rlim, struct rlimit *old_rlim);
#ifdef CONFIG_SCHED_AUTOGROUP
void sched_autogroup_join(struct task_struct *p, struct task_struct *leader);
#else
static inline void sched_autogroup_join(struct task_struct *p,
					struct task_struct *leader) { }
#endif
int sched_core_share_from(struct task_struct *owner);
#ifdef CONFIG_SCHED_MM_CID
int sched_mm_cid_join(void);
#else
static inline int sched_mm_cid_join(void)
{
	return 0;
}
#endif
const void *sem_shared_undo(struct task_struct *tsk);
int sem_share_undo(struct task_struct *owner);
void set_child_subreaper(bool is);
long do_set_mempolicy(unsigned short mode, unsigned short flags,
		      nodemask_t *nodes);
long do_mbind(unsigned long start, unsigned long len, unsigned short mode,
	      unsigned short mode_flags, nodemask_t *nmask, unsigned long flags);
int futex_hash_custom_slots(struct mm_struct *mm);
int wait_for_vfork_done(struct task_struct *child, struct completion *vfork);
bool security_cred_same(const struct cred *a, const struct cred *b);

/**
 * struct checkpoint_eventfd - an eventfd(2)
 * @count: its counter
 * @semaphore: EFD_SEMAPHORE
 * @held: something in the kernel signals it, or waits for it
 */
struct checkpoint_eventfd {
	u64 count;
	bool semaphore;
	bool held;
};

void eventfd_describe(struct file *file, struct checkpoint_eventfd *out);
struct file *eventfd_restore(const struct checkpoint_eventfd *in);

/**
 * struct checkpoint_proc - what is open of a process in proc
 * @elsewhere: the proc is one of another pid namespace than the caller's
 * @gone: there is no such process any more
 * @foreign: it is the caller's, or one of the kernel's own
 * @other_mm: it is about an address space that the process does not have any more
 * @busy: somebody reads from it, or there is too much left to be read
 * @text: it was read from, and goes on with what follows
 * @index: where what is read next comes from
 * @last: the same of mappings: which one it was
 * @rest: what was made up already, but not read yet; kvmalloc()ed
 * @len: its length
 */
struct checkpoint_proc {
	bool elsewhere;
	bool gone;
	bool foreign;
	bool other_mm;
	bool busy;
	bool text;
	u64 index;
	u64 last;
	char *rest;
	u32 len;
};

/**
 * struct checkpoint_segment - a segment of System V shared memory
 * @id: shmid
 * @key: IPC_PRIVATE, or what shmget(2) finds it by
 * @name_key: the key that it was made with
 * @mode: permissions, SHM_DEST, SHM_LOCKED
 * @uid: owner
 * @gid: its group
 * @cuid: who has made it
 * @cgid: its group
 * @cpid: process that has made it
 * @lpid: process that was the last to attach or detach it
 * @creator: thread that has made it, if it is there, and not one of init
 * @of_job: a process made it that is, or was, in the pid namespace of current, and
 *	not its init
 * @readable: current may read it
 * @huge_shift: SHM_HUGETLB: logarithm of the size of its pages; else 0
 * @size: bytes, as asked for
 * @nattch: how often it is attached
 * @atime: of the last attach, seconds
 * @dtime: of the last detach, seconds
 * @ctime: of the last change, seconds
 */
struct checkpoint_segment {
	s32 id;
	u32 key;
	u32 name_key;
	u32 mode;
	u32 uid;
	u32 gid;
	u32 cuid;
	u32 cgid;
	s32 cpid;
	s32 lpid;
	s32 creator;
	bool of_job;
	bool readable;
	u32 huge_shift;
	u64 size;
	u64 nattch;
	s64 atime;
	s64 dtime;
	s64 ctime;
};

struct file *checkpoint_next_segment(int *index, struct checkpoint_segment *out);
struct file *checkpoint_new_segment(const struct checkpoint_segment *in,
				    bool noreserve);
struct file *checkpoint_attach_segment(int id, struct file *base, int f_flags);
int checkpoint_ready_segment(const struct checkpoint_segment *in,
			     struct file *base);
void checkpoint_commit_segment(const struct checkpoint_segment *in,
			       struct file *base, struct task_struct *creator);
void checkpoint_drop_segment(int id, struct file *base);
bool checkpoint_ipc_shared(struct pid_namespace *ns);

/**
 * struct checkpoint_seccomp - a seccomp filter
 * @prev: the one that it is stacked upon, NULL for none
 * @insns: its classic program, NULL where there is none
 * @len: how many instructions that has
 * @log: SECCOMP_FILTER_FLAG_LOG
 * @wait_killable_recv: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
 * @listener: somebody is notified of system calls
 */
struct checkpoint_seccomp {
	struct seccomp_filter *prev;
	const struct sock_filter *insns;
	unsigned int len;
	bool log;
	bool wait_killable_recv;
	bool listener;
};

void seccomp_describe_filter(struct seccomp_filter *filter,
			     struct checkpoint_seccomp *out);
struct seccomp_filter *
seccomp_restore_filter(const struct checkpoint_seccomp *in,
		       struct seccomp_filter *prev);
int seccomp_join_filter(struct seccomp_filter *filter);
void seccomp_drop_filter(struct seccomp_filter *filter);

#ifdef CONFIG_CHECKPOINT

/**
 * checkpoint_leaves_out - whether a duplicate goes without a mapping
 * @oldmm: the mm that is duplicated
 * @flags: flags of the mapping
 *
 * What fork(2) duplicates is its own. A duplicate for a checkpoint needs nothing of
 * what is shared, whose owner may count how often it is mapped; nor of huge pages,
 * which are few: a write to one that is there twice takes another one, or takes it
 * away from the duplicate.
 */
static inline bool checkpoint_leaves_out(struct mm_struct *oldmm,
					 vm_flags_t flags)
{
	return oldmm != current->mm && flags & (VM_MAYSHARE | VM_HUGETLB);
}

/**
 * generic_file_checkpoint - save an open file that its path leads back to
 * @ctx: the running checkpoint
 * @file: the file; a regular file, a directory or a stateless device
 *
 * For ->checkpoint in struct file_operations. Records path, identity, flags
 * and position; the content stays where it is.
 *
 * Context: the job stands still. May sleep.
 * Return: 0, also when the file was reported as one that can't be saved;
 * a negative errno when the checkpoint must end.
 */
int generic_file_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/**
 * pipe_checkpoint - save an end of a pipe or FIFO
 * @ctx: the running checkpoint
 * @file: the end
 *
 * For ->checkpoint in struct file_operations. With the first end that is met
 * the content is saved.
 *
 * Context: the job stands still. May sleep.
 * Return: as generic_file_checkpoint().
 */
int pipe_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/**
 * eventfd_checkpoint - save an eventfd
 * @ctx: the running checkpoint
 * @file: the eventfd
 *
 * For ->checkpoint in struct file_operations.
 *
 * Context: the job stands still. May sleep.
 * Return: as generic_file_checkpoint().
 */
int eventfd_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/* What is open of a process in proc, see fs/proc/checkpoint.c. */
int proc_pid_checkpoint(struct checkpoint_ctx *ctx, struct file *file);
int proc_single_checkpoint(struct checkpoint_ctx *ctx, struct file *file);
int proc_mm_checkpoint(struct checkpoint_ctx *ctx, struct file *file);
int proc_maps_checkpoint(struct checkpoint_ctx *ctx, struct file *file);
int proc_dir_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/**
 * sysv_shm_checkpoint - save an attach of System V shared memory
 * @ctx: the running checkpoint
 * @file: the file that it is mapped with
 *
 * For ->checkpoint in struct file_operations.
 *
 * Context: the job stands still. May sleep.
 * Return: as generic_file_checkpoint().
 */
int sysv_shm_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/**
 * socket_checkpoint - save a socket
 * @ctx: the running checkpoint
 * @file: the socket
 *
 * For ->checkpoint in struct file_operations. Sockets that are not supported
 * are refused by name. Of a pair, the end that is met first has both saved.
 *
 * Context: the job stands still. May sleep.
 * Return: as generic_file_checkpoint().
 */
int socket_checkpoint(struct checkpoint_ctx *ctx, struct file *file);

/**
 * filemap_checkpoint - save a mapping whose pages are had back from its file
 * @ctx: the running checkpoint
 * @vma: the mapping
 *
 * For ->checkpoint in struct vm_operations_struct.
 *
 * Context: the job stands still, mmap_lock of its mm is held for reading.
 * Return: as generic_file_checkpoint().
 */
int filemap_checkpoint(struct checkpoint_ctx *ctx, struct vm_area_struct *vma);

/* The same for shared anonymous memory (shmem without a path). */
int shmem_anon_checkpoint(struct checkpoint_ctx *ctx, struct vm_area_struct *vma);

/* The same for a mapping of huge pages (hugetlb), with a file or without. */
int hugetlb_checkpoint(struct checkpoint_ctx *ctx, struct vm_area_struct *vma);

/* The same for an attach of System V shared memory. */
int sysv_shm_checkpoint_mapping(struct checkpoint_ctx *ctx,
				struct vm_area_struct *vma);

/* The same for the pages the kernel itself maps, such as the vdso. */
int special_mapping_checkpoint(struct checkpoint_ctx *ctx, struct vm_area_struct *vma);

#define CHECKPOINT_FILE_OP(fn)	.checkpoint = fn,
#define CHECKPOINT_VM_OP(fn)	.checkpoint = fn,

/* Entry points of the Rust side, called by kernel/checkpoint/sys.c. */
long checkpoint_save(struct file *file, unsigned int flags,
		     struct checkpoint_args *args);
long checkpoint_restart(struct file *file, unsigned int flags,
			struct checkpoint_args *args);

/* What mm/checkpoint.c finds in an address space that was captured. */
enum checkpoint_pages {
	CHECKPOINT_PAGES_DATA,	/* must be in the image */
	CHECKPOINT_PAGES_ZERO,	/* hold nothing */
	CHECKPOINT_PAGES_GUARD,	/* guard region (MADV_GUARD_INSTALL) */
	CHECKPOINT_PAGES_OTHER,	/* poison, uffd markers: can't be saved */
};

typedef int (*checkpoint_pages_fn)(void *arg, unsigned long start,
				   unsigned long end,
				   enum checkpoint_pages what,
				   unsigned long pfn);

/**
 * struct checkpoint_huge - what is peculiar to a mapping of huge pages
 * @shift: logarithm of their size
 * @anon: it was made without a file (MAP_ANONYMOUS)
 * @unreserved: private, and its pages are not reserved
 * @robbed: pages were taken from it, for its parent, when there were no others
 * @grows: to map it again would make its file longer
 */
struct checkpoint_huge {
	u32 shift;
	bool anon;
	bool unreserved;
	bool robbed;
	bool grows;
};

/* What mm/checkpoint_track.c finds in an address space that is tracked. */
enum checkpoint_tracked {
	CHECKPOINT_TRACKED_UNCHANGED,	/* as they were when they were captured last */
	CHECKPOINT_TRACKED_HELD,	/* changed, and held */
	CHECKPOINT_TRACKED_ABSENT,	/* have to be read */
	CHECKPOINT_TRACKED_ZERO,	/* hold nothing */
	CHECKPOINT_TRACKED_OTHER,	/* poison, uffd markers: can't be saved */
};

/**
 * struct checkpoint_page_range - consecutive pages of the same kind
 * @start: first address
 * @end: behind the last one
 * @pfn: of those that are held, the number of the first page; the others follow
 * @what: enum checkpoint_tracked
 * @shared: others have them mapped, too
 */
struct checkpoint_page_range {
	unsigned long start;
	unsigned long end;
	unsigned long pfn;
	u32 what;
	bool shared;
};

struct checkpoint_track;

/* What prctl(2) has set for an address space. */
#define CHECKPOINT_MM_THP_DISABLE	0x01 /* PR_SET_THP_DISABLE */
#define CHECKPOINT_MM_THP_EXCEPT	0x02 /* PR_THP_DISABLE_EXCEPT_ADVISED */
#define CHECKPOINT_MM_MERGE_ANY		0x04 /* PR_SET_MEMORY_MERGE */
#define CHECKPOINT_MM_MDWE		0x08 /* PR_MDWE_REFUSE_EXEC_GAIN */
#define CHECKPOINT_MM_MDWE_NO_INHERIT	0x10 /* PR_MDWE_NO_INHERIT */

/* C side of the abstractions in rust/kernel/checkpoint/. */
int checkpoint_walk_pages(struct mm_struct *mm, unsigned long start,
			  unsigned long end, checkpoint_pages_fn fn, void *arg);
void checkpoint_put_pages(unsigned long pfn, unsigned long count);
struct page *checkpoint_get_page(unsigned long pfn);
bool checkpoint_is_mapped_more_than(struct page *page, int n);
struct checkpoint_track *checkpoint_track_mm(struct mm_struct *mm);
void checkpoint_put_track(struct checkpoint_track *track);
u32 checkpoint_track_since(struct checkpoint_track *track, const u8 parent[16],
			   const u8 image[16], u32 id);
long checkpoint_track_pages(struct checkpoint_track *track, struct mm_struct *mm,
			    unsigned long start, unsigned long end, bool all,
			    struct checkpoint_page_range *out, unsigned int room,
			    unsigned int *count);
struct xarray *checkpoint_new_index(void);
void checkpoint_free_index(struct xarray *index);
int checkpoint_first_owner(struct xarray *index, unsigned long pfn,
			   unsigned long *owner);
long checkpoint_inherit_pages(struct mm_struct *from, unsigned long start,
			      unsigned long end, bool *inherited);
bool checkpoint_parent_changed(struct task_struct *task);
void checkpoint_set_exit_signal(struct task_struct *task, int sig,
				bool parent_changed);
int checkpoint_set_groups(struct task_struct *task, pid_t pgid, pid_t sid);
int checkpoint_new_mm(struct user_namespace *user_ns);
int checkpoint_unshare_exec_state(void);
int checkpoint_share_mm(struct task_struct *owner);
int checkpoint_mmap(struct file *file, unsigned long addr, unsigned long len,
		    unsigned long prot, unsigned long flags,
		    unsigned long pgoff, bool lock);
int checkpoint_set_vma_flags(unsigned long addr, vm_flags_t flags);
int checkpoint_install_guards(unsigned long addr, unsigned long len);
u32 checkpoint_huge_shift(struct inode *inode);
bool checkpoint_describe_huge(struct vm_area_struct *vma,
			      struct checkpoint_huge *out);
struct file *checkpoint_new_shm(loff_t size, bool noreserve, u32 shift);
struct page *checkpoint_shm_page(struct file *file, pgoff_t index);
const char *checkpoint_memfd_name(struct file *file, unsigned int *seals,
				  bool *made);
struct file *checkpoint_new_memfd(const char *name, u32 shift);
int checkpoint_seal_memfd(struct inode *inode, unsigned int seals);
loff_t checkpoint_shm_data(struct file *file, loff_t *offset);
u32 checkpoint_vma_pkey(struct vm_area_struct *vma);
size_t checkpoint_vma_name(struct vm_area_struct *vma, char *buf, size_t len);
int checkpoint_set_vma_name(unsigned long addr, const char *name);
u32 checkpoint_mm_settings(struct mm_struct *mm);
u32 checkpoint_futex_hash(struct mm_struct *mm);
int checkpoint_set_futex_hash(u32 hash);
int checkpoint_begin_mm_settings(u32 settings);
int checkpoint_end_mm_settings(u32 settings);
void checkpoint_set_mm_flags(struct mm_struct *mm, u32 coredump_filter,
			     bool topdown);
int checkpoint_set_exe(struct mm_struct *mm, struct file *exe);
u32 checkpoint_membarrier(struct mm_struct *mm);
int checkpoint_set_membarrier(u32 commands);
void checkpoint_copy_binfmt(struct mm_struct *mm, struct mm_struct *like);
vm_flags_t checkpoint_pkey_to_flags(u32 pkey);
unsigned long checkpoint_nr_mappings(struct file *file);
bool checkpoint_shm_noreserve(struct file *file);
bool checkpoint_shm_policy(struct file *file);
int checkpoint_lock_vma(unsigned long addr, unsigned long len);

/* What checkpoint_file_attached() finds. */
#define CHECKPOINT_FILE_OWNER		0x1 /* F_SETOWN, F_SETSIG, O_ASYNC, F_NOTIFY */
#define CHECKPOINT_FILE_FLOCK		0x2 /* flock(2) */
#define CHECKPOINT_FILE_OFD_LOCK	0x4 /* F_OFD_SETLK */
#define CHECKPOINT_FILE_LEASE		0x8 /* F_SETLEASE, F_SETDELEG */

struct file *checkpoint_next_fd(struct task_struct *task, unsigned int *fd,
				bool *cloexec);
int checkpoint_find_fd(const struct file *file, unsigned int like);
struct task_struct *checkpoint_next_outside(struct pid_namespace *ns, int *nr);
const void *checkpoint_files(struct task_struct *task, bool *alone);
bool checkpoint_has_posix_lock(struct task_struct *task, struct file *file);
unsigned int checkpoint_file_attached(struct file *file);
void checkpoint_set_flags(struct file *file, unsigned int mask,
			  unsigned int flags);
const struct path *checkpoint_user_path(struct file *file);
bool checkpoint_is_stale_backing(struct file *file);
char *checkpoint_path_name(const struct path *path, bool *elsewhere, char *buf,
			   int len);
bool checkpoint_path_deleted(const struct path *path);
struct file *checkpoint_open(const struct path *path, unsigned int flags);
int checkpoint_may_execute(struct file *file);

/**
 * struct checkpoint_attributes - what a regular file has besides its content
 * @size: length in bytes
 * @mode: type and permissions
 * @uid: owner in the caller's user namespace, -1 if it has no id there
 * @gid: group in the caller's user namespace, -1 if it has no id there
 * @nlink: names it has; not set by checkpoint_set_attributes()
 * @atime_sec: time of last access, seconds
 * @mtime_sec: time of last modification, seconds
 * @atime_nsec: time of last access, nanoseconds of the second
 * @mtime_nsec: time of last modification, nanoseconds of the second
 * @linkable: without a name, and may be given one (O_TMPFILE without O_EXCL);
 *	not set by checkpoint_set_attributes()
 * @xattrs: has extended attributes that a new file would not have; not set by
 *	checkpoint_set_attributes()
 */
struct checkpoint_attributes {
	u64 size;
	u32 mode;
	u32 uid;
	u32 gid;
	u32 nlink;
	s64 atime_sec;
	s64 mtime_sec;
	u32 atime_nsec;
	u32 mtime_nsec;
	bool linkable;
	bool xattrs;
};

int checkpoint_get_attributes(const struct path *path,
			      struct checkpoint_attributes *out);
int checkpoint_set_attributes(struct file *file,
			      const struct checkpoint_attributes *in);
struct file *checkpoint_create_deleted(const struct path *dir, const char *name,
				       bool linkable);
loff_t checkpoint_file_data(struct file *file, loff_t *offset);
int checkpoint_read_page(struct file *file, loff_t pos, struct page *page);
int checkpoint_write_page(struct file *file, loff_t pos, struct page *page,
			  size_t len);

typedef int (*checkpoint_pipe_fn)(void *arg, const char *data, size_t len,
				  bool packet);

bool checkpoint_is_anonymous_pipe(struct file *file);
int checkpoint_peek_pipe(struct file *file, u32 *capacity,
			 checkpoint_pipe_fn fn, void *arg);
int checkpoint_new_pipe(struct file **ends, u32 capacity, u32 uid, u32 gid,
			umode_t mode);
int checkpoint_claim_fifo(struct file *file, u32 capacity);
bool checkpoint_fifo_waits(struct file *file);
void checkpoint_fifo_wait(struct file *file);
int checkpoint_fill_pipe(struct file *file, const void *data, size_t len,
			 bool packet);

/* What is in the way of saving a socket. */
enum checkpoint_socket_refusal {
	CHECKPOINT_SOCKET_OK,
	CHECKPOINT_SOCKET_FAMILY,	/* no UNIX socket */
	CHECKPOINT_SOCKET_LISTENS,
	CHECKPOINT_SOCKET_NAMED,	/* it or the other end has a name */
	CHECKPOINT_SOCKET_NET_NS,	/* not of the network namespace of init */
	CHECKPOINT_SOCKET_OPTION,	/* an option, filter or time stamp */
	CHECKPOINT_SOCKET_ONE_WAY,	/* connected to one that is not to it */
	CHECKPOINT_SOCKET_URGENT,	/* MSG_OOB */
	CHECKPOINT_SOCKET_RIGHTS,	/* descriptors on their way */
	CHECKPOINT_SOCKET_IDS,		/* a sender has no id where init is */
	CHECKPOINT_SOCKET_NESTED,	/* a sender was in a nested pid namespace */
};

/**
 * struct checkpoint_socket - what a UNIX socket is, besides options and content
 * @type: SOCK_*
 * @shutdown: 1 if it can't be read from any more, 2 if not written to
 * @error: the error that is pending
 * @peer_uid: user who made the other end, in the caller's user namespace
 * @peer_gid: the group
 * @peer_pid: the process
 * @peer_exited: the process has exited
 * @connected: it has another end, or had
 * @peer_cred: the credentials of who made the other end, NULL if nobody did
 */
struct checkpoint_socket {
	u32 type;
	u32 shutdown;
	u32 error;
	u32 peer_uid;
	u32 peer_gid;
	s32 peer_pid;
	bool peer_exited;
	bool connected;
	const struct cred *peer_cred;
};

/**
 * struct checkpoint_message - what waits to be read from a socket
 * @data: the bytes
 * @len: how many
 * @uid: user of the sender, in the caller's user namespace
 * @gid: group of the sender
 * @pid: process of the sender
 * @exited: that has exited
 * @creds: it says who sent it
 */
struct checkpoint_message {
	const void *data;
	size_t len;
	u32 uid;
	u32 gid;
	s32 pid;
	bool exited;
	bool creds;
};

typedef int (*checkpoint_message_fn)(void *arg,
				     const struct checkpoint_message *message);

int checkpoint_socket_family(struct file *file);
enum checkpoint_socket_refusal
checkpoint_get_socket(struct file *file, struct pid_namespace *ns,
		      struct checkpoint_socket *out);
int checkpoint_socket_group(const struct checkpoint_socket *socket,
			    unsigned int nr, u32 *gid);
void checkpoint_put_socket(struct checkpoint_socket *socket);
struct file *checkpoint_socket_peer(struct file *file);
bool checkpoint_socket_option(struct file *file, unsigned int *nr, u32 *name,
			      u64 *value);
int checkpoint_peek_socket(struct file *file, struct pid_namespace *ns,
			   checkpoint_message_fn fn, void *arg);
int checkpoint_new_sockets(struct file **ends, int type, bool pair);
struct pid *checkpoint_exited_pid(pid_t nr);
int checkpoint_connect_socket(struct file *from, struct file *to);
int checkpoint_fill_socket(struct file *from, struct file *to,
			   const struct checkpoint_message *m,
			   struct pid *exited);
int checkpoint_set_socket_option(struct file *file, u32 name, u64 value);
int checkpoint_set_peer_cred(struct file *file, pid_t nr, struct pid *exited,
			     const struct cred *cred);
void checkpoint_set_socket_state(struct file *file, u32 shutdown, u32 error);
int checkpoint_set_owner(struct file *file, u32 uid, u32 gid, umode_t mode);

int checkpoint_new_files(void);
int checkpoint_share_files(struct task_struct *owner);
int checkpoint_new_fs(void);
int checkpoint_share_fs(struct task_struct *owner);
int checkpoint_install_fd(unsigned int fd, struct file *file, bool cloexec);
struct file *checkpoint_placeholder(void);
int checkpoint_replace_fd(struct task_struct *task, unsigned int fd,
			  struct file *old, struct file *file);
int checkpoint_proc_file(struct checkpoint_ctx *ctx, struct file *file);
int checkpoint_describe_proc(struct file *file, struct checkpoint_proc *out);
int checkpoint_restore_proc(struct file *file, loff_t pos,
			    const struct checkpoint_proc *in);
void checkpoint_lend_cred(struct file *file, struct task_struct *task);
bool checkpoint_is_of_process(struct inode *inode);
const void *checkpoint_get_fs(struct task_struct *task, struct path *root,
			      struct path *cwd, int *umask, bool *alone);
int checkpoint_set_root(const struct path *path);
int checkpoint_set_cwd(const struct path *path);
void checkpoint_set_umask(int umask);
void checkpoint_write_log(int fd, const char *text, size_t len);
enum checkpoint_restart_kind {
	CHECKPOINT_RESTART_NONE,
	CHECKPOINT_RESTART_NANOSLEEP,
	CHECKPOINT_RESTART_POLL,
	CHECKPOINT_RESTART_FUTEX,
	CHECKPOINT_RESTART_EPOLL,
	CHECKPOINT_RESTART_SEM,
	CHECKPOINT_RESTART_SIGWAIT,
	CHECKPOINT_RESTART_CALL,
	CHECKPOINT_RESTART_ALARM,
	CHECKPOINT_RESTART_CPU,
	CHECKPOINT_RESTART_OTHER,
};

/**
 * struct checkpoint_restart_block - how an interrupted system call goes on
 * @kind: which call; what it means to the other members:
 * @word: nanosleep: clock, poll: number of descriptors, futex: value, epoll:
 *	descriptor, sem: id, call: its number, cpu: CPUCLOCK_*
 * @uptr: nanosleep, alarm, cpu: where the time left goes, poll: descriptors, futex: word,
 *	epoll: events, sem: operations, sigwait: set of signals
 * @uptr2: epoll: signal mask, sigwait: where the siginfo goes
 * @flags: nanosleep, alarm, cpu: enum timespec_type, futex: FUTEX2_*, FUTEX_CLOCK_REALTIME,
 *	epoll, sem: number of events or operations
 * @bitset: futex: bitset, epoll: size of the signal mask
 * @timed: @expires counts
 * @compat: it was an ia32 system call
 * @clock: CLOCK_* of @expires
 * @expires: end of the time-out, ns; cpu: how much is left
 * @fn: with CHECKPOINT_RESTART_OTHER: the function
 */
struct checkpoint_restart_block {
	enum checkpoint_restart_kind kind;
	u32 word;
	unsigned long uptr;
	unsigned long uptr2;
	u32 flags;
	u32 bitset;
	bool timed;
	bool compat;
	s32 clock;
	s64 expires;
	unsigned long fn;
};

void checkpoint_get_restart_block(struct task_struct *task,
				  struct checkpoint_restart_block *out);
void checkpoint_set_restart_block(const struct checkpoint_restart_block *in);
bool checkpoint_may_wake(void);

/* System calls with a time-out that go on until the same time; see again.c. */
int checkpoint_go_on_until(ktime_t until, int otherwise);
bool checkpoint_goes_on_until(ktime_t *until);
long checkpoint_time_left(long timeout);
int checkpoint_go_on_for(long left, int otherwise);
void checkpoint_forget(void);
void checkpoint_note_for(long left);
int checkpoint_go_on_noted(int otherwise);
void checkpoint_waited(void);
bool checkpoint_is_watched(void);
long checkpoint_restart_call(struct restart_block *block);
long checkpoint_call_again(struct restart_block *block);
void checkpoint_init_park(struct callback_head *work,
			  void (*fn)(struct callback_head *work));
bool arch_checkpoint_is_compat(void);
bool arch_checkpoint_knows_call(int nr, bool compat);
long arch_checkpoint_call(int nr);

/* What a task may have that can't be saved; a bit each. */
enum checkpoint_unsupported {
	CHECKPOINT_HAS_PERF_EVENTS,
	CHECKPOINT_HAS_UPROBES,
	CHECKPOINT_HAS_IO_URING,
	CHECKPOINT_HAS_SEM_UNDO,
	CHECKPOINT_HAS_TTY,
	CHECKPOINT_HAS_CORE_COOKIE,
	CHECKPOINT_HAS_PI_FUTEX,
	CHECKPOINT_HAS_VFORK,
	CHECKPOINT_HAS_EXIT,
	CHECKPOINT_HAS_TRACEES,
	CHECKPOINT_HAS_OVERRIDE,
	CHECKPOINT_HAS_USER_EVENTS,
	CHECKPOINT_HAS_UTS_NS,
	CHECKPOINT_HAS_IPC_NS,
	CHECKPOINT_HAS_MNT_NS,
	CHECKPOINT_HAS_NET_NS,
	CHECKPOINT_HAS_TIME_NS,
	CHECKPOINT_HAS_CGROUP_NS,
	CHECKPOINT_HAS_NR
};

int checkpoint_share_sighand(struct task_struct *owner);
u64 checkpoint_unsupported(struct task_struct *task);
void checkpoint_flag_nproc(const struct cred *new);
bool checkpoint_has_tty_of(struct task_struct *task, struct task_struct *other);
int checkpoint_set_tty(bool keep);
int checkpoint_get_seccomp(struct task_struct *task,
			   struct seccomp_filter **filter);
int checkpoint_set_seccomp_strict(void);
const void *checkpoint_shared_mm(struct task_struct *task);
const void *checkpoint_shared_sighand(struct task_struct *task);
const void *checkpoint_shared_io_context(struct task_struct *task);
int checkpoint_share_io_context(struct task_struct *owner);
int checkpoint_own_io_context(void);

/**
 * struct checkpoint_mempolicy - a NUMA policy, as set_mempolicy(2) and mbind(2)
 *	take it
 * @mode: MPOL_*
 * @flags: MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING
 * @home_node: set_mempolicy_home_node(2), -1 for none
 */
struct checkpoint_mempolicy {
	u32 mode;
	u32 flags;
	s32 home_node;
};

/* PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH */
#define CHECKPOINT_SPEC_CONTROLS	3

/**
 * struct checkpoint_attr - state that prctl(2) and its like set
 * @oom_score_adj: /proc/PID/oom_score_adj
 * @oom_score_adj_min: the lowest that needs no capability
 * @ioprio: as ioprio_set(2), 0 for none
 * @timer_slack_ns: PR_SET_TIMERSLACK
 * @default_timer_slack_ns: what PR_SET_TIMERSLACK 0 goes back to
 * @personality: personality(2)
 * @subreaper: PR_SET_CHILD_SUBREAPER
 * @autoreap: CLONE_AUTOREAP
 * @mce_process: PR_MCE_KILL_SET
 * @mce_early: PR_MCE_KILL_EARLY
 * @io_flusher: PR_SET_IO_FLUSHER
 * @timer_restore_ids: PR_TIMER_CREATE_RESTORE_IDS
 * @speculation: PR_SET_SPECULATION_CTRL, what each control is set to, as
 *	PR_SPEC_ENABLE and its kin; 0 where tasks do not control it
 * @dispatch: PR_SET_SYSCALL_USER_DISPATCH: PR_SYS_DISPATCH_*
 * @dispatch_start: where its range begins
 * @dispatch_len: how long that is
 * @dispatch_selector: address of its selector, 0 for none
 * @autogroup_nice: /proc/PID/autogroup, of a session leader with a group of its
 *	own
 */
struct checkpoint_attr {
	short oom_score_adj;
	short oom_score_adj_min;
	int ioprio;
	u64 timer_slack_ns;
	u64 default_timer_slack_ns;
	u32 personality;
	bool subreaper;
	bool autoreap;
	bool mce_process;
	bool mce_early;
	bool io_flusher;
	bool timer_restore_ids;
	u8 speculation[CHECKPOINT_SPEC_CONTROLS];
	u32 dispatch;
	u64 dispatch_start;
	u64 dispatch_len;
	u64 dispatch_selector;
	int autogroup_nice;
};

/* Something that tasks of a job share. */
struct checkpoint_shared {
	const void *address;
	bool outside;		/* set by checkpoint_find_outside() */
};

void checkpoint_find_outside(struct pid_namespace *ns,
			     struct checkpoint_shared *objects, size_t nr);
void checkpoint_get_attr(struct task_struct *task, struct checkpoint_attr *attr);
int checkpoint_set_attr(const struct checkpoint_attr *attr, bool leader);
int checkpoint_set_speculation(unsigned int which, u8 ctrl);
int checkpoint_set_dispatch(const struct checkpoint_attr *attr);
int checkpoint_autogroup_nice(struct task_struct *task);
int checkpoint_set_autogroup_nice(int nice);
const void *checkpoint_core_cookie(struct task_struct *task);
int checkpoint_join_core_cookie(struct task_struct *owner);
const void *checkpoint_shared_sem_undo(struct task_struct *task);
int checkpoint_sem_share_undo(struct task_struct *owner);
void checkpoint_set_pdeath_signal(int sig);
void checkpoint_set_autoreap(bool autoreap);
void checkpoint_get_sched(struct task_struct *task, struct sched_attr *attr);
int checkpoint_reset_clamps(void);
unsigned int checkpoint_nr_cpus(void);
bool checkpoint_get_affinity(struct task_struct *task, unsigned long *bits);
int checkpoint_set_affinity(const unsigned long *bits, unsigned int nr);
void checkpoint_get_mempolicy(struct task_struct *task,
			      struct checkpoint_mempolicy *out,
			      unsigned long *nodes);
bool checkpoint_get_vma_policy(struct vm_area_struct *vma,
			       struct checkpoint_mempolicy *out,
			       unsigned long *nodes);
unsigned int checkpoint_nr_nodes(void);
int checkpoint_set_mempolicy(const struct checkpoint_mempolicy *in,
			     const unsigned long *nodes, unsigned int nr);
int checkpoint_set_vma_policy(unsigned long addr, unsigned long len,
			      const struct checkpoint_mempolicy *in,
			      const unsigned long *nodes, unsigned int nr);

/* In what credentials differ that can't be brought back. */
enum checkpoint_cred_differs {
	CHECKPOINT_CRED_SAME,
	CHECKPOINT_CRED_KEYRINGS,
	CHECKPOINT_CRED_LSM,
};

enum checkpoint_cred_differs checkpoint_cred_differs(const struct cred *cred,
						     const struct cred *like);
bool checkpoint_rseq_slice(struct task_struct *task);
bool arch_checkpoint_restart_is_compat(const struct restart_block *block);
void arch_checkpoint_restart_set_compat(struct restart_block *block, bool compat);

/**
 * struct checkpoint_usage - resources that processes have used
 * @utime: time in user mode, ns
 * @stime: time in the kernel, ns
 * @gtime: time as a virtual CPU, ns
 * @min_flt: page faults without I/O
 * @maj_flt: page faults with I/O
 * @nvcsw: voluntary context switches
 * @nivcsw: involuntary context switches
 * @inblock: blocks of 512 bytes read
 * @oublock: blocks of 512 bytes written
 * @maxrss: most memory that was resident, pages
 */
struct checkpoint_usage {
	u64 utime;
	u64 stime;
	u64 gtime;
	u64 min_flt;
	u64 maj_flt;
	u64 nvcsw;
	u64 nivcsw;
	u64 inblock;
	u64 oublock;
	u64 maxrss;
};

/**
 * struct checkpoint_task_usage - what a task and, if it leads it, its process have used
 * @own: the task itself; maxrss is 0
 * @gone: threads of the process that are gone; maxrss is that of the process
 * @children: what its children have used that it has waited for
 * @runtime: time on CPUs, ns
 * @gone_runtime: that of the threads that are gone
 * @told_utime: what was last told of the time of the task in user mode, ns
 * @told_stime: the same, in the kernel
 * @process_utime: the same of the process
 * @process_stime: the same of the process
 */
struct checkpoint_task_usage {
	struct checkpoint_usage own;
	struct checkpoint_usage gone;
	struct checkpoint_usage children;
	u64 runtime;
	u64 gone_runtime;
	u64 told_utime;
	u64 told_stime;
	u64 process_utime;
	u64 process_stime;
};

void checkpoint_get_usage(struct task_struct *task, struct checkpoint_task_usage *out);
void checkpoint_set_usage(struct task_struct *task, const struct checkpoint_task_usage *in);
void checkpoint_sync_cputimer(struct task_struct *task);

/**
 * struct checkpoint_exit - how a process ended
 * @status: what wait(2) says of it
 * @own: what it has used itself
 * @children: what its children have used that it has waited for
 */
struct checkpoint_exit {
	u32 status;
	struct checkpoint_usage own;
	struct checkpoint_usage children;
};

/**
 * struct checkpoint_timer - a timer of timer_create(2)
 * @id: its ID
 * @clock: CLOCK_*, or a CPU clock as clock_getcpuclockid(3) gives it, where the
 *	process is
 * @base: the clock by which it expires: CLOCK_MONOTONIC for a CLOCK_REALTIME
 *	timer that was set with a relative time, that without alarm for those
 *	that wake the machine, else @clock
 * @cpu_pid: of a CPU clock: the thread or process, 0 if it is gone
 * @notify: SIGEV_*
 * @signo: the signal
 * @value: what it brings
 * @target: the thread or process it is for, 0 if it is gone
 * @armed: it runs
 * @requeue: it has expired, and goes on when its signal is delivered
 * @timed: it has an expiry
 * @queued: its signal is pending
 * @stale: it was set anew after the signal was queued
 * @ignored: it has expired, and goes on when its signal is no longer ignored
 * @periodic: it had an interval when the signal was queued
 * @expires: its expiry on @base, ns; of a CPU clock: the time left
 * @interval: its interval, ns
 * @overrun: so far, for the next signal
 * @overrun_last: timer_getoverrun(2)
 */
struct checkpoint_timer {
	s32 id;
	s32 clock;
	s32 base;
	s32 cpu_pid;
	s32 notify;
	s32 signo;
	u64 value;
	s32 target;
	bool armed;
	bool requeue;
	bool timed;
	bool queued;
	bool stale;
	bool ignored;
	bool periodic;
	s64 expires;
	s64 interval;
	s64 overrun;
	s64 overrun_last;
};

void checkpoint_clocks_of_init(s64 *monotonic, s64 *boottime);
unsigned int checkpoint_get_timers(struct task_struct *task,
				   struct checkpoint_timer *out, unsigned int room);
int checkpoint_next_timer_id(struct task_struct *task);
void checkpoint_set_next_timer_id(int id);
int checkpoint_new_timer(const struct checkpoint_timer *in, struct pid_namespace *ns,
			 const struct cred *cred, struct k_itimer **out);
void checkpoint_put_timer(struct k_itimer *timer);
void checkpoint_queue_timer(struct k_itimer *timer, const struct checkpoint_timer *in);
void checkpoint_arm_timer(struct k_itimer *timer, const struct checkpoint_timer *in,
			  bool queued);
bool checkpoint_is_of_deleted_timer(const struct sigqueue *q);
int checkpoint_queue_deleted_timer(const struct checkpoint_timer *in, int *free);

#define CHECKPOINT_ITIMERS	3

/**
 * struct checkpoint_itimer - a timer of setitimer(2)
 * @armed: it runs
 * @expires: ITIMER_REAL: its expiry on CLOCK_MONOTONIC, ns; else the time left
 * @interval: its interval, ns
 */
struct checkpoint_itimer {
	bool armed;
	s64 expires;
	s64 interval;
};

void checkpoint_get_itimers(struct task_struct *task, struct checkpoint_itimer *out);
void checkpoint_arm_itimers(struct task_struct *task, const struct checkpoint_itimer *in);

bool checkpoint_is_zombie(struct task_struct *task);
void checkpoint_get_exit(struct task_struct *task, struct checkpoint_exit *out);
void checkpoint_set_exit(struct task_struct *task,
			 const struct checkpoint_exit *in, int exit_signal);
#define CHECKPOINT_PID_NS_FRESH	(-1)	/* nobody was in it yet */
#define CHECKPOINT_PID_NS_OTHER	(-2)	/* none that can be had back */

/**
 * struct checkpoint_pid_ns - in which pid namespace a task is
 * @pids: its pids in the namespaces below that of the caller, innermost first
 * @depth: how many those are
 * @init: pid of the init of its namespace, 0 if that is the caller's
 * @children: pid of the init of the namespace that its children will be in, or
 *	CHECKPOINT_PID_NS_*; 0 if that is its own
 * @other: a namespace is owned by another user namespace, or has settings
 */
struct checkpoint_pid_ns {
	pid_t pids[MAX_PID_NS_LEVEL];
	unsigned int depth;
	pid_t init;
	pid_t children;
	bool other;
};

void checkpoint_get_pid_ns(struct task_struct *task, struct pid_namespace *ns,
			   struct checkpoint_pid_ns *out);
void checkpoint_get_group_ns(struct task_struct *task, bool session,
			     struct pid_namespace *ns,
			     struct checkpoint_pid_ns *out);
size_t checkpoint_children(struct task_struct *task, struct pid_namespace *ns,
			   bool whole, pid_t *pids, size_t room);
int checkpoint_set_parent(struct task_struct *task, struct task_struct *parent);
struct task_struct *checkpoint_vfork_child(struct task_struct *task);
void checkpoint_vfork_attach(struct task_struct *child, struct completion *done);
int checkpoint_vfork_wait(struct task_struct *child, struct completion *done);
bool checkpoint_hold_asleep(struct task_struct *task);
void checkpoint_release_asleep(struct task_struct *task);
unsigned int arch_checkpoint_breakpoints(struct task_struct *task);

/*
 * Called by a task at its task-work point when it was let go: goes on with an
 * interrupted system call where restart_syscall(2) may not be let do it.
 */
void arch_checkpoint_unpark(void);

#else

#define CHECKPOINT_FILE_OP(fn)
#define CHECKPOINT_VM_OP(fn)

static inline bool checkpoint_leaves_out(struct mm_struct *oldmm,
					 vm_flags_t flags)
{
	return false;
}

static inline int checkpoint_go_on_until(ktime_t until, int otherwise)
{
	return otherwise;
}

static inline bool checkpoint_goes_on_until(ktime_t *until)
{
	return false;
}

static inline long checkpoint_time_left(long timeout)
{
	return timeout;
}

static inline int checkpoint_go_on_for(long left, int otherwise)
{
	return otherwise;
}

static inline void checkpoint_waited(void)
{
}

#endif /* CONFIG_CHECKPOINT */
#endif /* _LINUX_CHECKPOINT_H */
