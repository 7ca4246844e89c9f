// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of what a task has beside memory, files and registers: what hides
 * behind macros, anonymous unions and headers that are private to their owner.
 */
#include <linux/alarmtimer.h>
#include <linux/bsearch.h>
#include <linux/capability.h>
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/futex.h>
#include <linux/io_uring_types.h>
#include <linux/iocontext.h>
#include <linux/ioprio.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/nsproxy.h>
#include <linux/oom.h>
#include <linux/perf_event.h>
#include <linux/pid_namespace.h>
#include <linux/posix-timers.h>
#include <linux/prctl.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seccomp.h>
#include <linux/security.h>
#include <linux/sem.h>
#include <linux/sort.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/thread_info.h>
#include <linux/tty.h>
#include <linux/uprobes.h>
#include <linux/wait.h>

#include "../futex/futex.h"

/* Flags of a futex as futex_wait(2) takes them, the clock as futex(2) does. */
static u32 futex_flags_to_uapi(unsigned int flags)
{
	u32 uapi = flags & FLAGS_SIZE_MASK;

	if (!(flags & FLAGS_SHARED))
		uapi |= FUTEX2_PRIVATE;
	if (flags & FLAGS_NUMA)
		uapi |= FUTEX2_NUMA;
	if (flags & FLAGS_MPOL)
		uapi |= FUTEX2_MPOL;
	if (flags & FLAGS_CLOCKRT)
		uapi |= FUTEX_CLOCK_REALTIME;
	return uapi;
}

/* What the CPU time of the process of @task is, for a clock of CPUCLOCK_*. */
static u64 cpu_time(struct task_struct *task, unsigned int which)
{
	struct task_cputime sum;

	thread_group_cputime(task, &sum);
	switch (which) {
	case CPUCLOCK_PROF:
		return sum.utime + sum.stime;
	case CPUCLOCK_VIRT:
		return sum.utime;
	default:
		return sum.sum_exec_runtime;
	}
}

/* Whether @block is that of a sleep on the CPU time of the own process. */
static bool sleeps_on_cpu(const struct restart_block *block)
{
	return IS_ENABLED(CONFIG_POSIX_TIMERS) &&
	       block->fn == posix_cpu_nsleep_restart &&
	       !CPUCLOCK_PERTHREAD(block->nanosleep.clockid) &&
	       !CPUCLOCK_PID(block->nanosleep.clockid);
}

static enum checkpoint_restart_kind wait_kind(const struct restart_block *block)
{
	if (IS_ENABLED(CONFIG_EPOLL) && block->fn == ep_wait_restart)
		return CHECKPOINT_RESTART_EPOLL;
	if (IS_ENABLED(CONFIG_SYSVIPC) && block->fn == semtimedop_restart)
		return CHECKPOINT_RESTART_SEM;
	if (block->fn == sigtimedwait_restart)
		return CHECKPOINT_RESTART_SIGWAIT;
	if (block->fn == checkpoint_restart_call)
		return CHECKPOINT_RESTART_CALL;
	return CHECKPOINT_RESTART_OTHER;
}

static void set_wait(struct restart_block *block,
		     const struct checkpoint_restart_block *in,
		     long (*fn)(struct restart_block *))
{
	block->wait.id = in->word;
	block->wait.uptr = (void __user *)in->uptr;
	block->wait.uptr2 = (void __user *)in->uptr2;
	block->wait.count = in->flags;
	block->wait.size = in->bitset;
	block->wait.expires = ns_to_ktime(in->expires);
	block->fn = fn;
}

/**
 * checkpoint_get_restart_block - how an interrupted system call goes on
 * @task: a task that stands still
 * @out: filled
 *
 * Every restart block is known, also one that nothing will come back to: a
 * task that is just about to call restart_syscall(2) can't be told from one
 * that is not.
 */
void checkpoint_get_restart_block(struct task_struct *task,
				  struct checkpoint_restart_block *out)
{
	const struct restart_block *block = &task->restart_block;

	memset(out, 0, sizeof(*out));
	out->compat = arch_checkpoint_restart_is_compat(block);
	if (block->fn == do_no_restart_syscall) {
		out->kind = CHECKPOINT_RESTART_NONE;
	} else if (block->fn == hrtimer_nanosleep_restart) {
		out->kind = CHECKPOINT_RESTART_NANOSLEEP;
		out->word = block->nanosleep.clockid;
		out->flags = block->nanosleep.type;
		if (block->nanosleep.type != TT_NONE)
			out->uptr = (unsigned long)block->nanosleep.rmtp;
		out->timed = true;
		out->clock = block->nanosleep.clockid;
		out->expires = ktime_to_ns(block->nanosleep.expires);
	} else if (IS_ENABLED(CONFIG_POSIX_TIMERS) &&
		   block->fn == alarm_timer_nsleep_restart) {
		out->kind = CHECKPOINT_RESTART_ALARM;
		out->flags = block->nanosleep.type;
		if (block->nanosleep.type != TT_NONE)
			out->uptr = (unsigned long)block->nanosleep.rmtp;
		out->timed = true;
		out->clock = block->nanosleep.clockid == ALARM_REALTIME ? CLOCK_REALTIME :
									  CLOCK_BOOTTIME;
		out->expires = ktime_to_ns(block->nanosleep.expires);
	} else if (sleeps_on_cpu(block)) {
		s64 expires = ktime_to_ns(block->nanosleep.expires);

		out->kind = CHECKPOINT_RESTART_CPU;
		out->word = CPUCLOCK_WHICH(block->nanosleep.clockid);
		out->flags = block->nanosleep.type;
		if (block->nanosleep.type != TT_NONE)
			out->uptr = (unsigned long)block->nanosleep.rmtp;
		out->timed = true;
		out->clock = CLOCK_MONOTONIC;
		out->expires = max(expires - (s64)cpu_time(task, out->word), 1);
	} else if (block->fn == do_restart_poll) {
		out->kind = CHECKPOINT_RESTART_POLL;
		out->word = block->poll.nfds;
		out->uptr = (unsigned long)block->poll.ufds;
		out->timed = block->poll.has_timeout;
		out->clock = CLOCK_MONOTONIC;
		if (out->timed)
			out->expires = ktime_to_ns(timespec64_to_ktime(block->poll.end_time));
	} else if (block->fn == futex_wait_restart) {
		unsigned int flags = block->futex.flags;

		out->kind = CHECKPOINT_RESTART_FUTEX;
		out->word = block->futex.val;
		out->uptr = (unsigned long)block->futex.uaddr;
		out->flags = futex_flags_to_uapi(flags);
		out->bitset = block->futex.bitset;
		out->timed = flags & FLAGS_HAS_TIMEOUT;
		out->clock = flags & FLAGS_CLOCKRT ? CLOCK_REALTIME : CLOCK_MONOTONIC;
		out->expires = ktime_to_ns(block->futex.time);
	} else if (wait_kind(block) != CHECKPOINT_RESTART_OTHER) {
		out->kind = wait_kind(block);
		out->word = block->wait.id;
		out->uptr = (unsigned long)block->wait.uptr;
		out->uptr2 = (unsigned long)block->wait.uptr2;
		out->flags = block->wait.count;
		out->bitset = block->wait.size;
		out->timed = true;
		out->clock = CLOCK_MONOTONIC;
		out->expires = ktime_to_ns(block->wait.expires);
	} else {
		out->kind = CHECKPOINT_RESTART_OTHER;
		out->fn = (unsigned long)block->fn;
	}
}

/**
 * checkpoint_set_restart_block - say how an interrupted system call goes on
 * @in: one whose clock and flags are valid
 *
 * User addresses need no check: they are looked at when the call goes on.
 *
 * Context: the current task.
 */
void checkpoint_set_restart_block(const struct checkpoint_restart_block *in)
{
	struct restart_block *block = &current->restart_block;

	memset(block, 0, sizeof(*block));
	block->fn = do_no_restart_syscall;
	switch (in->kind) {
	case CHECKPOINT_RESTART_NANOSLEEP:
		block->nanosleep.clockid = in->clock;
		block->nanosleep.type = in->flags;
		block->nanosleep.rmtp = (void __user *)in->uptr;
		block->nanosleep.expires = ns_to_ktime(in->expires);
		block->fn = hrtimer_nanosleep_restart;
		break;
#ifdef CONFIG_POSIX_TIMERS
	case CHECKPOINT_RESTART_ALARM:
		block->nanosleep.clockid = in->clock == CLOCK_REALTIME ? ALARM_REALTIME :
									 ALARM_BOOTTIME;
		block->nanosleep.type = in->flags;
		block->nanosleep.rmtp = (void __user *)in->uptr;
		block->nanosleep.expires = ns_to_ktime(in->expires);
		block->fn = alarm_timer_nsleep_restart;
		break;
	case CHECKPOINT_RESTART_CPU:
		block->nanosleep.clockid = make_process_cpuclock(0, in->word);
		block->nanosleep.type = in->flags;
		block->nanosleep.rmtp = (void __user *)in->uptr;
		block->nanosleep.expires = ktime_add_safe(ns_to_ktime(cpu_time(current, in->word)),
							  ns_to_ktime(in->expires));
		block->fn = posix_cpu_nsleep_restart;
		break;
#endif
	case CHECKPOINT_RESTART_POLL:
		block->poll.nfds = in->word;
		block->poll.ufds = (void __user *)in->uptr;
		block->poll.has_timeout = in->timed;
		block->poll.end_time = ns_to_timespec64(in->expires);
		block->fn = do_restart_poll;
		break;
	case CHECKPOINT_RESTART_FUTEX:
		block->futex.val = in->word;
		block->futex.uaddr = (void __user *)in->uptr;
		block->futex.bitset = in->bitset;
		block->futex.time = ns_to_ktime(in->expires);
		block->futex.flags = futex2_to_flags(in->flags);
		if (in->flags & FUTEX_CLOCK_REALTIME)
			block->futex.flags |= FLAGS_CLOCKRT;
		if (in->timed)
			block->futex.flags |= FLAGS_HAS_TIMEOUT;
		block->fn = futex_wait_restart;
		break;
#ifdef CONFIG_EPOLL
	case CHECKPOINT_RESTART_EPOLL:
		set_wait(block, in, ep_wait_restart);
		break;
#endif
#ifdef CONFIG_SYSVIPC
	case CHECKPOINT_RESTART_SEM:
		set_wait(block, in, semtimedop_restart);
		break;
#endif
	case CHECKPOINT_RESTART_SIGWAIT:
		set_wait(block, in, sigtimedwait_restart);
		break;
	case CHECKPOINT_RESTART_CALL:
		set_wait(block, in, checkpoint_restart_call);
		break;
	default:
		break;
	}
	arch_checkpoint_restart_set_compat(block, in->compat);
}

/* Whether current may sleep on a clock that wakes the machine for it. */
bool checkpoint_may_wake(void)
{
	return IS_ENABLED(CONFIG_POSIX_TIMERS) && alarmtimer_get_rtcdev() &&
	       capable(CAP_WAKE_ALARM);
}

/* Whether @task, which stands still, has enabled time slice extensions. */
bool checkpoint_rseq_slice(struct task_struct *task)
{
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	return task->rseq.slice.state.enabled;
#else
	return false;
#endif
}

/**
 * checkpoint_cred_differs - compare what of credentials can't be brought back
 * @cred: those of a task
 * @like: those of its init, which a restored task begins with
 *
 * Return: the first difference that was found.
 */
enum checkpoint_cred_differs checkpoint_cred_differs(const struct cred *cred,
						     const struct cred *like)
{
#ifdef CONFIG_KEYS
	if (cred->session_keyring != like->session_keyring ||
	    cred->process_keyring || cred->thread_keyring ||
	    cred->request_key_auth != like->request_key_auth ||
	    cred->jit_keyring != like->jit_keyring)
		return CHECKPOINT_CRED_KEYRINGS;
#endif
#ifdef CONFIG_SECURITY
	if (!security_cred_same(cred, like))
		return CHECKPOINT_CRED_LSM;
#endif
	return CHECKPOINT_CRED_SAME;
}

static bool has_perf_events(struct task_struct *task)
{
#ifdef CONFIG_PERF_EVENTS
	struct perf_event_context *ctx = READ_ONCE(task->perf_event_ctxp);

	/* Breakpoints of ptrace(2), which are saved as such. */
	int known = arch_checkpoint_breakpoints(task);

	return (ctx && READ_ONCE(ctx->nr_events) > known) ||
	       !list_empty(&task->perf_event_list);
#else
	return false;
#endif
}

static bool has_uprobes(struct task_struct *task)
{
	if (task->mm && mm_flags_test(MMF_HAS_UPROBES, task->mm))
		return true;
#ifdef CONFIG_UPROBES
	return task->utask &&
	       (task->utask->active_uprobe || task->utask->return_instances);
#else
	return false;
#endif
}

static bool has_io_uring(struct task_struct *task)
{
#ifdef CONFIG_IO_URING
	return (task->io_uring && !xa_empty(&task->io_uring->xa)) ||
	       task->io_uring_restrict;
#else
	return false;
#endif
}

/*
 * Whether there is a cookie that can't be made again: init has one that @task
 * has not, or @task is where others can't be told its pid.
 */
static bool has_core_cookie(struct task_struct *task)
{
#ifdef CONFIG_SCHED_CORE
	unsigned long cookie = READ_ONCE(task->core_cookie);
	unsigned long of_init = READ_ONCE(current->core_cookie);

	if (cookie == of_init)
		return false;
	return !cookie ||
	       task_active_pid_ns(task) != task_active_pid_ns(current);
#else
	return false;
#endif
}

static bool has_user_events(struct task_struct *task)
{
#ifdef CONFIG_USER_EVENTS
	return task->user_event_mm;
#else
	return false;
#endif
}

/**
 * checkpoint_get_seccomp - how a task is confined by seccomp
 * @task: the task, which does not exit meanwhile
 * @filter: where its newest filter goes, NULL for none
 *
 * Filters are only ever added: what a task has it has until it exits.
 *
 * Return: SECCOMP_MODE_*, or a higher number for one that is about to die.
 */
int checkpoint_get_seccomp(struct task_struct *task,
			   struct seccomp_filter **filter)
{
	*filter = NULL;
#ifdef CONFIG_SECCOMP
	*filter = READ_ONCE(task->seccomp.filter);
	return READ_ONCE(task->seccomp.mode);
#else
	return 0;
#endif
}

/* SECCOMP_SET_MODE_STRICT for current. */
int checkpoint_set_seccomp_strict(void)
{
	return prctl_set_seccomp(SECCOMP_MODE_STRICT, NULL);
}

#ifndef CONFIG_SECCOMP_FILTER
void seccomp_describe_filter(struct seccomp_filter *filter,
			     struct checkpoint_seccomp *out)
{
	memset(out, 0, sizeof(*out));
}

struct seccomp_filter *
seccomp_restore_filter(const struct checkpoint_seccomp *in,
		       struct seccomp_filter *prev)
{
	return ERR_PTR(-EINVAL);
}

int seccomp_join_filter(struct seccomp_filter *filter)
{
	return -EINVAL;
}

void seccomp_drop_filter(struct seccomp_filter *filter)
{
}
#endif

/**
 * checkpoint_shared_io_context - the I/O context that a task shares (CLONE_IO)
 * @task: a task that stands still
 *
 * Return: the address of the context, NULL where it shares none.
 */
const void *checkpoint_shared_io_context(struct task_struct *task)
{
	const void *ioc = NULL;

#ifdef CONFIG_BLOCK
	task_lock(task);
	if (task->io_context && atomic_read(&task->io_context->active_ref) > 1)
		ioc = task->io_context;
	task_unlock(task);
#endif
	return ioc;
}

/* Has current have an I/O context for others to share. */
int checkpoint_own_io_context(void)
{
#ifdef CONFIG_BLOCK
	if (!current->io_context)
		return set_task_ioprio(current, 0);
#endif
	return 0;
}

/**
 * checkpoint_share_io_context - have what CLONE_IO would have given current
 * @owner: a task that has an I/O context
 *
 * Context: current, which has not been to user mode.
 * Return: 0, or -ESRCH if @owner has exited.
 */
int checkpoint_share_io_context(struct task_struct *owner)
{
#ifdef CONFIG_BLOCK
	struct io_context *ioc;

	task_lock(owner);
	ioc = owner->io_context;
	if (ioc)
		atomic_inc(&ioc->active_ref);
	task_unlock(owner);
	if (!ioc)
		return -ESRCH;
	if (current->io_context)
		exit_io_context(current);
	task_lock(current);
	current->io_context = ioc;
	task_unlock(current);
	return 0;
#else
	return -EINVAL;
#endif
}

/**
 * checkpoint_shared_sem_undo - the undo list that a task shares (CLONE_SYSVSEM)
 * @task: a task that stands still
 *
 * Return: the address of the list, NULL where it shares none.
 */
const void *checkpoint_shared_sem_undo(struct task_struct *task)
{
#ifdef CONFIG_SYSVIPC
	return sem_shared_undo(task);
#else
	return NULL;
#endif
}

static int cmp_shared(const void *key, const void *elt)
{
	const struct checkpoint_shared *object = elt;

	return cmp_int((unsigned long)key, (unsigned long)object->address);
}

static void mark_shared(struct checkpoint_shared *objects, size_t nr,
			const void *address)
{
	struct checkpoint_shared *object;

	if (!address)
		return;
	object = bsearch(address, objects, nr, sizeof(*objects), cmp_shared);
	if (object)
		object->outside = true;
}

/**
 * checkpoint_find_outside - which things others than the job have, too
 * @ns: the namespace of the job, of which current is the init
 * @objects: memories, signal actions, descriptor tables, places (struct fs_struct),
 *	I/O contexts, undo lists and core scheduling cookies of tasks that stand still,
 *	by address, ascending
 * @nr: how many
 *
 * Others are tasks that are not in @ns, and its init; a cookie that init has is
 * not taken for outside, for the job has inherited it. Sets @outside where
 * one of them has it. Looks at all tasks there are.
 */
void checkpoint_find_outside(struct pid_namespace *ns,
			     struct checkpoint_shared *objects, size_t nr)
{
	struct task_struct *g, *p;

	guard(rcu)();
	for_each_process_thread(g, p) {
		bool init = same_thread_group(p, current);

		if (!init && task_pid_nr_ns(p, ns))
			continue;
		/* Racy, but who shares something with the job keeps it. */
		mark_shared(objects, nr, READ_ONCE(p->files));
		mark_shared(objects, nr, READ_ONCE(p->real_fs));
		/* A kernel thread may work in the memory of anybody. */
		if (!(p->flags & PF_KTHREAD)) {
			mark_shared(objects, nr, READ_ONCE(p->mm));
			mark_shared(objects, nr, rcu_access_pointer(p->sighand));
		}
#ifdef CONFIG_BLOCK
		mark_shared(objects, nr, READ_ONCE(p->io_context));
#endif
#ifdef CONFIG_SYSVIPC
		mark_shared(objects, nr, READ_ONCE(p->sysvsem.undo_list));
#endif
#ifdef CONFIG_SCHED_CORE
		if (!init)
			mark_shared(objects, nr,
				    (void *)READ_ONCE(p->core_cookie));
#endif
	}
}

/**
 * checkpoint_ipc_shared - whether others than the job use its IPC namespace
 * @ns: the pid namespace of the job, of which current is the init
 *
 * Looks at all tasks there are. The parent of init does not count: unshare(1) is
 * in the namespaces that it has made while it waits for init. The first IPC
 * namespace is that of kernel threads, too.
 */
bool checkpoint_ipc_shared(struct pid_namespace *ns)
{
	struct ipc_namespace *ipc_ns = current->nsproxy->ipc_ns;
	struct task_struct *g, *p, *parent;
	bool shared;

	guard(rcu)();
	parent = rcu_dereference(current->real_parent);
	for_each_process_thread(g, p) {
		if (task_pid_nr_ns(p, ns) || same_thread_group(p, parent))
			continue;
		task_lock(p);
		shared = p->nsproxy && p->nsproxy->ipc_ns == ipc_ns;
		task_unlock(p);
		if (shared)
			return true;
	}
	return false;
}

/* What CLONE_SYSVSEM would have given current, see sem_share_undo(). */
int checkpoint_sem_share_undo(struct task_struct *owner)
{
#ifdef CONFIG_SYSVIPC
	return sem_share_undo(owner);
#else
	/* Without semaphores, nobody misses the list of what to undo. */
	return 0;
#endif
}

/* Whether the controlling terminal of @task is that of @other, in one session. */
bool checkpoint_has_tty_of(struct task_struct *task, struct task_struct *other)
{
	guard(rcu)();
	return READ_ONCE(task->signal->tty) &&
	       READ_ONCE(task->signal->tty) == READ_ONCE(other->signal->tty) &&
	       task_session(task) == task_session(other);
}

/**
 * checkpoint_set_tty - keep the controlling terminal current has from its parent
 * @keep: or let go of it
 *
 * Return: 0, or -ENOTTY where there is none to keep.
 */
int checkpoint_set_tty(bool keep)
{
	if (keep)
		return READ_ONCE(current->signal->tty) ? 0 : -ENOTTY;
	proc_clear_tty(current);
	return 0;
}

/**
 * checkpoint_share_sighand - share the signal actions of another process
 * @owner: a task of the other process, which has the same address space
 *
 * As CLONE_SIGHAND would have it.
 *
 * Context: the only thread of a process that has not been to user mode.
 * Return: 0, or -ESRCH if @owner has exited.
 */
int checkpoint_share_sighand(struct task_struct *owner)
{
	struct sighand_struct *sighand, *old = current->sighand;
	unsigned long flags;

	sighand = lock_task_sighand(owner, &flags);
	if (!sighand)
		return -ESRCH;
	refcount_inc(&sighand->count);
	unlock_task_sighand(owner, &flags);
	if (sighand == old) {
		__cleanup_sighand(sighand);
		return 0;
	}

	write_lock_irq(&tasklist_lock);
	spin_lock(&old->siglock);
	rcu_assign_pointer(current->sighand, sighand);
	spin_unlock(&old->siglock);
	write_unlock_irq(&tasklist_lock);
	__cleanup_sighand(old);
	return 0;
}

/**
 * checkpoint_shared_mm - the memory that a task shares with other processes (CLONE_VM)
 * @task: a task that stands still, to whose memory the caller has no reference
 *
 * Return: the address of the mm, NULL where only threads of its process have it.
 */
const void *checkpoint_shared_mm(struct task_struct *task)
{
	/* Those that have exited have none any more. */
	return atomic_read(&task->mm->mm_users) > atomic_read(&task->signal->live) ?
	       task->mm : NULL;
}

/**
 * checkpoint_shared_sighand - the signal actions that a task shares (CLONE_SIGHAND)
 * @task: a task that stands still
 *
 * Return: their address, NULL where only threads of its process have them.
 */
const void *checkpoint_shared_sighand(struct task_struct *task)
{
	const struct sighand_struct *sighand = rcu_access_pointer(task->sighand);

	return refcount_read(&sighand->count) > get_nr_threads(task) ? sighand : NULL;
}

/**
 * checkpoint_flag_nproc - have exec fail where there are too many processes
 * @new: credentials that the calling task is about to get
 *
 * As setresuid(2) does when a limit is exceeded.
 */
void checkpoint_flag_nproc(const struct cred *new)
{
	if (new->ucounts == current_ucounts())
		return;
	if (is_rlimit_overlimit(new->ucounts, UCOUNT_RLIMIT_NPROC,
				rlimit(RLIMIT_NPROC)) &&
	    new->user != INIT_USER)
		current->flags |= PF_NPROC_EXCEEDED;
	else
		current->flags &= ~PF_NPROC_EXCEEDED;
}

/* Whether @task is the first thread of its process that lives. */
static bool speaks_for_process(struct task_struct *task)
{
	struct task_struct *t;

	guard(rcu)();
	for_each_thread(task, t)
		if (!READ_ONCE(t->exit_state) && !(t->flags & PF_USER_WORKER))
			return t == task;
	return false;
}

/**
 * checkpoint_unsupported - what a task has that can't be saved
 * @task: a task that stands still
 *
 * What would be inherited from init, which is current, is no matter.
 * Documentation/admin-guide/checkpoint-state.rst says of every member of
 * struct task_struct and struct signal_struct what happens to it.
 *
 * Return: bits of enum checkpoint_unsupported.
 */
u64 checkpoint_unsupported(struct task_struct *task)
{
	struct signal_struct *sig = task->signal;
	const struct nsproxy *ns = task->nsproxy, *like = current->nsproxy;
	u64 has = 0;

	if (!ns || !task->mm || task->flags & PF_EXITING)
		return BIT_ULL(CHECKPOINT_HAS_EXIT);

#define HAS(what, cond)						\
	do {							\
		if (cond)					\
			has |= BIT_ULL(CHECKPOINT_HAS_##what);	\
	} while (0)

	HAS(PERF_EVENTS, has_perf_events(task));
	HAS(UPROBES, has_uprobes(task));
	HAS(IO_URING, has_io_uring(task));
	HAS(SEM_UNDO, sem_has_undo(task));
	HAS(CORE_COOKIE, has_core_cookie(task));
	HAS(USER_EVENTS, has_user_events(task));
	HAS(PI_FUTEX, !list_empty(&task->futex.pi_state_list));
	HAS(VFORK, task->vfork_done);
	HAS(TRACEES, !list_empty(&task->ptraced));
	HAS(OVERRIDE, rcu_access_pointer(task->cred) !=
		      rcu_access_pointer(task->real_cred) ||
		      task->fs != task->real_fs);

	HAS(TTY,
	    sig->tty && speaks_for_process(task) &&
	    !checkpoint_has_tty_of(task, current));
	HAS(EXIT,
	    sig->flags & SIGNAL_GROUP_EXIT || sig->group_exec_task ||
	    sig->core_state);

	HAS(UTS_NS, ns->uts_ns != like->uts_ns);
	HAS(IPC_NS, ns->ipc_ns != like->ipc_ns);
	HAS(MNT_NS, ns->mnt_ns != like->mnt_ns);
	HAS(NET_NS, ns->net_ns != like->net_ns);
	HAS(TIME_NS,
	    ns->time_ns != like->time_ns ||
	    ns->time_ns_for_children != like->time_ns_for_children);
	HAS(CGROUP_NS, ns->cgroup_ns != like->cgroup_ns);
#undef HAS
	return has;
}

static int get_ioprio(struct task_struct *task)
{
	int prio = 0;

#ifdef CONFIG_BLOCK
	task_lock(task);
	if (task->io_context)
		prio = task->io_context->ioprio;
	task_unlock(task);
#endif
	return prio;
}

#define IO_FLUSHER	(PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE)

/**
 * checkpoint_is_zombie - whether a task that has exited stays until it is waited for
 * @task: the task
 *
 * A leader without its threads is one; but neither is one that waits for the
 * rest of its process to exit, nor one that reaps itself, which it becomes in
 * two steps.
 *
 * Context: takes tasklist_lock for reading.
 */
bool checkpoint_is_zombie(struct task_struct *task)
{
	guard(read_lock)(&tasklist_lock);
	if (task->exit_state != EXIT_ZOMBIE)
		return false;
	return !delay_group_leader(task) ||
	       !(READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT);
}

/* What a task has used itself. */
static struct checkpoint_usage task_usage(struct task_struct *task)
{
	struct checkpoint_usage usage = {
		.gtime = task_gtime(task),
		.min_flt = task->min_flt,
		.maj_flt = task->maj_flt,
		.nvcsw = task->nvcsw,
		.nivcsw = task->nivcsw,
		.inblock = task_io_get_inblock(task),
		.oublock = task_io_get_oublock(task),
	};

	task_cputime(task, &usage.utime, &usage.stime);
	return usage;
}

/* What the threads of a process have used that are gone. */
static struct checkpoint_usage gone_usage(const struct signal_struct *sig)
{
	return (struct checkpoint_usage) {
		.utime = sig->utime,
		.stime = sig->stime,
		.gtime = sig->gtime,
		.min_flt = sig->min_flt,
		.maj_flt = sig->maj_flt,
		.nvcsw = sig->nvcsw,
		.nivcsw = sig->nivcsw,
		.inblock = sig->inblock,
		.oublock = sig->oublock,
		.maxrss = sig->maxrss,
	};
}

static struct checkpoint_usage children_usage(const struct signal_struct *sig)
{
	return (struct checkpoint_usage) {
		.utime = sig->cutime,
		.stime = sig->cstime,
		.gtime = sig->cgtime,
		.min_flt = sig->cmin_flt,
		.maj_flt = sig->cmaj_flt,
		.nvcsw = sig->cnvcsw,
		.nivcsw = sig->cnivcsw,
		.inblock = sig->cinblock,
		.oublock = sig->coublock,
		.maxrss = sig->cmaxrss,
	};
}

static void set_task_usage(struct task_struct *task,
			   const struct checkpoint_usage *own, u64 runtime)
{
	task->utime = own->utime;
	task->stime = own->stime;
	task->gtime = own->gtime;
	task->min_flt = own->min_flt;
	task->maj_flt = own->maj_flt;
	task->nvcsw = own->nvcsw;
	task->nivcsw = own->nivcsw;
	task->se.sum_exec_runtime = runtime;
#ifdef CONFIG_TASK_IO_ACCOUNTING
	task_io_accounting_init(&task->ioac);
	task->ioac.read_bytes = own->inblock << 9;
	task->ioac.write_bytes = own->oublock << 9;
#endif
}

/* Context: stats_lock is held for writing. */
static void set_process_usage(struct signal_struct *sig,
			      const struct checkpoint_usage *gone, u64 runtime,
			      const struct checkpoint_usage *children)
{
	lockdep_assert_held(&sig->stats_lock.lock);
	sig->utime = gone->utime;
	sig->stime = gone->stime;
	sig->gtime = gone->gtime;
	sig->sum_sched_runtime = runtime;
	sig->min_flt = gone->min_flt;
	sig->maj_flt = gone->maj_flt;
	sig->nvcsw = gone->nvcsw;
	sig->nivcsw = gone->nivcsw;
	sig->inblock = gone->inblock;
	sig->oublock = gone->oublock;
	sig->maxrss = gone->maxrss;
	sig->cutime = children->utime;
	sig->cstime = children->stime;
	sig->cgtime = children->gtime;
	sig->cmin_flt = children->min_flt;
	sig->cmaj_flt = children->maj_flt;
	sig->cnvcsw = children->nvcsw;
	sig->cnivcsw = children->nivcsw;
	sig->cinblock = children->inblock;
	sig->coublock = children->oublock;
	sig->cmaxrss = children->maxrss;
}

/* CPU time as it was last told, from which it does not go back. */
static void set_told(struct prev_cputime *prev, u64 utime, u64 stime)
{
#ifndef CONFIG_VIRT_CPU_ACCOUNTING_NATIVE
	guard(raw_spinlock_irqsave)(&prev->lock);
	prev->utime = utime;
	prev->stime = stime;
#endif
}

static void get_told(struct prev_cputime *prev, u64 *utime, u64 *stime)
{
#ifndef CONFIG_VIRT_CPU_ACCOUNTING_NATIVE
	guard(raw_spinlock_irqsave)(&prev->lock);
	*utime = prev->utime;
	*stime = prev->stime;
#endif
}

/**
 * checkpoint_get_usage - what a task and its process have used
 * @task: a task that stands still, or the first thread of a process, which has
 *	exited
 * @out: filled; what is the process's, if it leads it
 */
void checkpoint_get_usage(struct task_struct *task, struct checkpoint_task_usage *out)
{
	struct signal_struct *sig = task->signal;
	unsigned int seq;

	*out = (struct checkpoint_task_usage) {
		.own = task_usage(task),
		.runtime = task_sched_runtime(task),
	};
	get_told(&task->prev_cputime, &out->told_utime, &out->told_stime);
	if (!thread_group_leader(task))
		return;
	do {
		seq = read_seqbegin(&sig->stats_lock);
		out->gone = gone_usage(sig);
		out->gone_runtime = sig->sum_sched_runtime;
		out->children = children_usage(sig);
	} while (read_seqretry(&sig->stats_lock, seq));
	get_told(&sig->prev_cputime, &out->process_utime, &out->process_stime);
}

static int set_usage_of_sleeper(struct task_struct *task, void *arg)
{
	const struct checkpoint_task_usage *in = arg;

	/* It was killed, and its figures are of no interest any more. */
	if (task_is_runnable(task) || task_curr(task))
		return 0;
	set_task_usage(task, &in->own, in->runtime);
	set_told(&task->prev_cputime, in->told_utime, in->told_stime);
	return 0;
}

/**
 * checkpoint_set_usage - put on record what a task has used
 * @task: a task that waits, and has not been to user mode, or the first thread
 *	of a process, which has exited
 * @in: what it and its exited threads and children have used
 *
 * What it took to restore it is forgotten.
 */
void checkpoint_set_usage(struct task_struct *task, const struct checkpoint_task_usage *in)
{
	struct signal_struct *sig = task->signal;

	task_call_func(task, set_usage_of_sleeper, (void *)in);
	if (!thread_group_leader(task))
		return;
	write_seqlock_irq(&sig->stats_lock);
	set_process_usage(sig, &in->gone, in->gone_runtime, &in->children);
	write_sequnlock_irq(&sig->stats_lock);
	set_told(&sig->prev_cputime, in->process_utime, in->process_stime);
}

/**
 * checkpoint_sync_cputimer - have CPU timers go by the time that is on record
 * @task: a task of a process whose tasks all wait
 *
 * RLIMIT_CPU has made the process count.
 */
void checkpoint_sync_cputimer(struct task_struct *task)
{
	struct task_cputime_atomic *to = &task->signal->cputimer.cputime_atomic;
	struct task_cputime sum;

	thread_group_cputime(task, &sum);
	atomic64_set(&to->utime, sum.utime);
	atomic64_set(&to->stime, sum.stime);
	atomic64_set(&to->sum_exec_runtime, sum.sum_exec_runtime);
}

/**
 * checkpoint_get_exit - how a zombie ended
 * @task: a zombie, or the first thread of a process, which has exited
 * @out: filled
 *
 * If somebody waits for it meanwhile, it is for the caller to find out.
 */
void checkpoint_get_exit(struct task_struct *task, struct checkpoint_exit *out)
{
	struct signal_struct *sig = task->signal;
	struct checkpoint_usage gone = gone_usage(sig);

	/* The process lives on: what counts for it does not end here. */
	if (delay_group_leader(task)) {
		*out = (struct checkpoint_exit) {
			.status = task->exit_code,
			.own = task_usage(task),
		};
		task_cputime_adjusted(task, &out->own.utime, &out->own.stime);
		return;
	}
	*out = (struct checkpoint_exit) {
		.status = sig->flags & SIGNAL_GROUP_EXIT ? sig->group_exit_code :
							   task->exit_code,
		.own = task_usage(task),
		.children = children_usage(sig),
	};
	out->own.gtime += gone.gtime;
	out->own.min_flt += gone.min_flt;
	out->own.maj_flt += gone.maj_flt;
	out->own.nvcsw += gone.nvcsw;
	out->own.nivcsw += gone.nivcsw;
	out->own.inblock += gone.inblock;
	out->own.oublock += gone.oublock;
	out->own.maxrss = gone.maxrss;
	thread_group_cputime_adjusted(task, &out->own.utime, &out->own.stime);
}

/* The counters of a zombie go to those of its process. */
static void set_zombie_usage(struct task_struct *task, const struct checkpoint_usage *own,
			     const struct checkpoint_usage *children)
{
	struct signal_struct *sig = task->signal;
	const struct checkpoint_usage none = {};

	set_task_usage(task, &none, 0);
	set_process_usage(sig, own, own->utime + own->stime, children);
	set_told(&sig->prev_cputime, own->utime, own->stime);
}

/**
 * checkpoint_set_exit - make a zombie look as one that ended in another way
 * @task: a task that was restored and killed, a zombie; one that has exited
 *	while its threads live; or one that was waited for, which is left alone
 * @in: how it ended
 * @exit_signal: the signal that its parent was sent
 *
 * The parent was told before the checkpoint. Not so a caller whose child it is,
 * which is not the one it was: it is told now.
 *
 * Context: takes tasklist_lock for writing.
 */
void checkpoint_set_exit(struct task_struct *task,
			 const struct checkpoint_exit *in, int exit_signal)
{
	bool reap = false;

	if (WARN_ON_ONCE(!valid_signal(exit_signal) || !thread_group_leader(task)))
		return;
	write_lock_irq(&tasklist_lock);
	if (task->exit_state == EXIT_ZOMBIE && !thread_group_empty(task)) {
		task->exit_code = in->status;
		/* What it has used counts in its process: checkpoint_set_usage(). */
		task->exit_signal = exit_signal;
	} else if (task->exit_state == EXIT_ZOMBIE) {
		task->exit_code = in->status;
		task->signal->group_exit_code = in->status;
		task->signal->flags |= SIGNAL_GROUP_EXIT;
		task->flags &= ~(PF_SIGNALED | PF_DUMPCORE);
		if (in->status & 0x7f)
			task->flags |= PF_SIGNALED;
		if (in->status & 0x80)
			task->flags |= PF_DUMPCORE;
		task->exit_signal = exit_signal;
		write_seqlock(&task->signal->stats_lock);
		set_zombie_usage(task, &in->own, &in->children);
		write_sequnlock(&task->signal->stats_lock);
		if (same_thread_group(task->real_parent, current))
			reap = do_notify_parent(task, exit_signal);
		if (reap)
			task->exit_state = EXIT_DEAD;
	}
	write_unlock_irq(&tasklist_lock);
	if (reap)
		release_task(task);
}

/* PR_GET_SPECULATION_CTRL of @task, as PR_SET_SPECULATION_CTRL takes it. */
static u8 get_speculation(struct task_struct *task, unsigned int which)
{
	int ctrl = arch_prctl_spec_ctrl_get(task, which);

	return ctrl > 0 && ctrl & PR_SPEC_PRCTL ? ctrl & ~PR_SPEC_PRCTL : 0;
}

/**
 * checkpoint_set_speculation - PR_SET_SPECULATION_CTRL for current
 * @which: PR_SPEC_STORE_BYPASS and its kin
 * @ctrl: what checkpoint_get_attr() said
 *
 * What is mitigated for all, or what this CPU is not affected by, needs no
 * mitigation by a task.
 *
 * Return: 0; -EINVAL where tasks do not control it, and it is not as safe as
 * @ctrl had it; or as PR_SET_SPECULATION_CTRL: -EPERM for what init has disabled
 * for good.
 */
int checkpoint_set_speculation(unsigned int which, u8 ctrl)
{
	/* The default of each is to do nothing. */
	u8 usual = which == PR_SPEC_L1D_FLUSH ? PR_SPEC_DISABLE : PR_SPEC_ENABLE;
	int is = arch_prctl_spec_ctrl_get(current, which);

	if (!ctrl || get_speculation(current, which) == ctrl)
		return 0;
	if (is > 0 && is & PR_SPEC_PRCTL)
		return arch_prctl_spec_ctrl_set(current, which, ctrl);
	if (ctrl == usual)
		return 0;
	return which != PR_SPEC_L1D_FLUSH &&
	       (is == PR_SPEC_NOT_AFFECTED || is == PR_SPEC_DISABLE) ? 0 : -EINVAL;
}

static void get_dispatch(struct task_struct *task, struct checkpoint_attr *attr)
{
#ifdef CONFIG_SYSCALL_USER_DISPATCH
	const struct syscall_user_dispatch *sd = &task->syscall_dispatch;

	if (!test_task_syscall_work(task, SYSCALL_USER_DISPATCH))
		return;
	attr->dispatch = PR_SYS_DISPATCH_EXCLUSIVE_ON;
	attr->dispatch_start = sd->offset;
	attr->dispatch_len = sd->len;
	attr->dispatch_selector = (unsigned long)sd->selector;
	/* Kept as what is left out of the address space, which wraps around. */
	if (sd->offset && sd->offset + sd->len <= sd->offset) {
		attr->dispatch = PR_SYS_DISPATCH_INCLUSIVE_ON;
		attr->dispatch_start = sd->offset + sd->len;
		attr->dispatch_len = -sd->len;
	}
#endif
}

/**
 * checkpoint_set_dispatch - PR_SET_SYSCALL_USER_DISPATCH for current
 * @attr: what checkpoint_get_attr() said
 *
 * Return: 0, -EINVAL, -EFAULT or -EPERM.
 */
int checkpoint_set_dispatch(const struct checkpoint_attr *attr)
{
	if (attr->dispatch == PR_SYS_DISPATCH_OFF)
		return 0;
	return set_syscall_user_dispatch(attr->dispatch, attr->dispatch_start,
					 attr->dispatch_len,
					 (char __user *)attr->dispatch_selector);
}

/**
 * checkpoint_get_attr - state of a task that prctl(2) and its like set
 * @task: a task that stands still
 * @attr: filled
 */
void checkpoint_get_attr(struct task_struct *task, struct checkpoint_attr *attr)
{
	struct signal_struct *sig = task->signal;

	*attr = (struct checkpoint_attr) {
		.oom_score_adj = READ_ONCE(sig->oom_score_adj),
		.oom_score_adj_min = READ_ONCE(sig->oom_score_adj_min),
		.ioprio = get_ioprio(task),
		.timer_slack_ns = task->timer_slack_ns,
		.default_timer_slack_ns = task->default_timer_slack_ns,
		.personality = task->personality,
		.subreaper = sig->is_child_subreaper,
		.autoreap = sig->autoreap,
		.mce_process = task->flags & PF_MCE_PROCESS,
		.mce_early = task->flags & PF_MCE_EARLY,
		.io_flusher = (task->flags & IO_FLUSHER) == IO_FLUSHER,
		.timer_restore_ids = sig->timer_create_restore_ids,
		.autogroup_nice = checkpoint_autogroup_nice(task),
	};
	for (int i = 0; i < CHECKPOINT_SPEC_CONTROLS; i++)
		attr->speculation[i] = get_speculation(task, i);
	get_dispatch(task, attr);
}

/* As a write to /proc/self/oom_score_adj. */
static int set_oom_score_adj(short adj, short min)
{
	struct signal_struct *sig = current->signal;
	int err = 0;

	guard(mutex)(&oom_adj_mutex);
	if (adj == sig->oom_score_adj && min == sig->oom_score_adj_min)
		return 0;
	if ((adj < sig->oom_score_adj_min || min != sig->oom_score_adj_min) &&
	    !capable(CAP_SYS_RESOURCE))
		return -EACCES;
	sig->oom_score_adj = adj;
	sig->oom_score_adj_min = min;
	return err;
}

/**
 * checkpoint_set_attr - set what prctl(2) and its like set
 * @attr: what to set; autoreap is left out
 * @leader: also what belongs to the process
 *
 * Context: current, which has not been to user mode.
 * Return: 0, -EACCES, -EPERM, -EINVAL as the calls that set it.
 */
int checkpoint_set_attr(const struct checkpoint_attr *attr, bool leader)
{
	int err;

	if (attr->io_flusher && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (leader) {
		err = set_oom_score_adj(attr->oom_score_adj,
					attr->oom_score_adj_min);
		if (err)
			return err;
		current->signal->timer_create_restore_ids = attr->timer_restore_ids;
		set_child_subreaper(attr->subreaper);
	}
#ifdef CONFIG_BLOCK
	if (attr->ioprio != get_ioprio(current)) {
		err = ioprio_check_cap(attr->ioprio);
		if (!err)
			err = set_task_ioprio(current, attr->ioprio);
		if (err)
			return err;
	}
#endif
	current->flags &= ~(PF_MCE_PROCESS | PF_MCE_EARLY | IO_FLUSHER);
	if (attr->mce_process)
		current->flags |= PF_MCE_PROCESS;
	if (attr->mce_early)
		current->flags |= PF_MCE_EARLY;
	if (attr->io_flusher)
		current->flags |= IO_FLUSHER;
	current->personality = attr->personality;

	task_lock(current);
	current->default_timer_slack_ns = attr->default_timer_slack_ns;
	current->timer_slack_ns = attr->timer_slack_ns;
	task_unlock(current);
	return 0;
}

/* PR_SET_PDEATHSIG */
void checkpoint_set_pdeath_signal(int sig)
{
	read_lock(&tasklist_lock);
	current->pdeath_signal = sig;
	read_unlock(&tasklist_lock);
}

/* CLONE_AUTOREAP */
void checkpoint_set_autoreap(bool autoreap)
{
	write_lock_irq(&tasklist_lock);
	current->signal->autoreap = autoreap;
	write_unlock_irq(&tasklist_lock);
}
