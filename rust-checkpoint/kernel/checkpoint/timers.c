// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of timers: of setitimer(2), alarm(2) and timer_create(2).
 *
 * The lock of a POSIX timer is taken with interrupts off, siglock below it. A
 * task that stands still creates and deletes no timers, but those it has go on
 * to expire.
 */
#include <linux/alarmtimer.h>
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/hrtimer.h>
#include <linux/hrtimer_bases.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/posix-timers.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/time_namespace.h>

#include "../time/posix-timers.h"

static bool is_cpu_timer(const struct k_itimer *timer)
{
	return timer->it_clock < 0;
}

static bool is_alarm(clockid_t clock)
{
	return clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
}

/* What the CPU clock of a timer shows, ns. */
static u64 sample_thread(unsigned int which, struct task_struct *task)
{
	u64 utime, stime;

	if (which == CPUCLOCK_SCHED)
		return task_sched_runtime(task);
	task_cputime(task, &utime, &stime);
	return which == CPUCLOCK_VIRT ? utime : utime + stime;
}

static u64 sample_group(unsigned int which, struct task_struct *task)
{
	struct task_cputime sum;
	u64 samples[CPUCLOCK_MAX];

	if (READ_ONCE(task->signal->posix_cputimers.timers_active)) {
		thread_group_sample_cputime(task, samples);
		return samples[which];
	}
	thread_group_cputime(task, &sum);
	switch (which) {
	case CPUCLOCK_SCHED:
		return sum.sum_exec_runtime;
	case CPUCLOCK_VIRT:
		return sum.utime;
	default:
		return sum.utime + sum.stime;
	}
}

/* The same for the clock of a timer; false if its task is gone. */
static bool sample_timer(struct k_itimer *timer, u64 *now)
{
	bool thread = CPUCLOCK_PERTHREAD(timer->it_clock);
	unsigned int which = CPUCLOCK_WHICH(timer->it_clock);
	struct task_struct *task;

	guard(rcu)();
	task = pid_task(timer->it.cpu.pid, thread ? PIDTYPE_PID : PIDTYPE_TGID);
	if (!task)
		return false;
	*now = thread ? sample_thread(which, task) : sample_group(which, task);
	return true;
}

/* The number of a task in the namespace of the caller, 0 if it has none or is gone. */
static pid_t live_pid(struct pid *pid, enum pid_type type)
{
	if (!pid_has_task(pid, type))
		return 0;
	return pid_nr_ns(pid, task_active_pid_ns(current));
}

static void get_timer(struct k_itimer *timer, struct checkpoint_timer *out)
{
	*out = (struct checkpoint_timer) {
		.id = timer->it_id,
		.clock = timer->it_clock,
		.notify = timer->it_sigev_notify,
		.signo = timer->sigq.info.si_signo,
		.value = (unsigned long)timer->sigq.info.si_value.sival_ptr,
		.target = live_pid(timer->it_pid, timer->it_pid_type),
		.armed = timer->it_status == POSIX_TIMER_ARMED,
		.requeue = timer->it_status == POSIX_TIMER_REQUEUE_PENDING,
		.interval = ktime_to_ns(timer->it_interval),
		.overrun = timer->it_overrun,
		.overrun_last = timer->it_overrun_last,
		.stale = timer->it_signal_seq != timer->it_sigqueue_seq,
		.periodic = timer->it_sig_periodic,
	};
	if (is_cpu_timer(timer)) {
		bool thread = CPUCLOCK_PERTHREAD(timer->it_clock);
		u64 expires = timer->it.cpu.node.expires, now;

		out->base = timer->it_clock;
		out->cpu_pid = live_pid(timer->it.cpu.pid,
					thread ? PIDTYPE_PID : PIDTYPE_TGID);
		if (expires && sample_timer(timer, &now)) {
			out->timed = true;
			out->expires = expires - now;
		}
	} else if (is_alarm(timer->it_clock)) {
		const struct alarm *alarm = &timer->it.alarm.alarmtimer;

		out->base = alarm->timer.base->clockid;
		out->timed = out->armed || out->requeue;
		out->expires = ktime_to_ns(alarm->node.expires);
	} else {
		const struct hrtimer *hrtimer = &timer->it.real.timer;

		out->base = hrtimer->base->clockid;
		out->timed = out->armed || out->requeue;
		out->expires = ktime_to_ns(hrtimer_get_expires(hrtimer));
	}
	/* Those of a task are also changed by whoever sends it signals. */
	scoped_guard (rcu) {
		struct task_struct *task = pid_task(timer->it_pid, timer->it_pid_type);
		unsigned long flags;

		if (task && lock_task_sighand(task, &flags)) {
			out->queued = !list_empty(&timer->sigq.list);
			out->ignored = !hlist_unhashed(&timer->ignored_list);
			unlock_task_sighand(task, &flags);
		}
	}
}

/**
 * checkpoint_clocks_of_init - clocks as the time namespace of the caller shows them
 * @monotonic: CLOCK_MONOTONIC, ns; without the offset, and with it after the call
 * @boottime: CLOCK_BOOTTIME
 */
void checkpoint_clocks_of_init(s64 *monotonic, s64 *boottime)
{
	struct timespec64 ts = ns_to_timespec64(*monotonic);

	timens_add_monotonic(&ts);
	*monotonic = timespec64_to_ns(&ts);
	ts = ns_to_timespec64(*boottime);
	timens_add_boottime(&ts);
	*boottime = timespec64_to_ns(&ts);
}

/**
 * checkpoint_get_timers - the POSIX timers of a process
 * @task: a task of the process, all of which stand still
 * @out: room for them
 * @room: how many @out has room for
 *
 * Return: how many there are, though there may have been no room for all.
 */
unsigned int checkpoint_get_timers(struct task_struct *task,
				   struct checkpoint_timer *out, unsigned int room)
{
	struct k_itimer *timer;
	unsigned int nr = 0;

	guard(rcu)();
	hlist_for_each_entry_rcu(timer, &task->signal->posix_timers, list) {
		guard(spinlock_irq)(&timer->it_lock);
		if (!posixtimer_valid(timer))
			continue;
		if (nr < room)
			get_timer(timer, &out[nr]);
		nr++;
	}
	return nr;
}

/* The number that the next timer of a process gets, if it is free. */
int checkpoint_next_timer_id(struct task_struct *task)
{
	return atomic_read(&task->signal->next_posix_timer_id) & INT_MAX;
}

void checkpoint_set_next_timer_id(int id)
{
	atomic_set(&current->signal->next_posix_timer_id, id);
}

/* The number that task @nr of @ns has for the current one, 0 for none. */
static pid_t pid_here(pid_t nr, struct pid_namespace *ns)
{
	guard(rcu)();
	return pid_vnr(find_pid_ns(nr, ns));
}

/**
 * checkpoint_new_timer - create a timer of the current process
 * @in: what it was; it is not armed yet
 * @ns: where its pids are from
 * @cred: who may need CAP_WAKE_ALARM for it
 * @out: where a reference to it goes
 *
 * A process may have given up the right to timers that wake the machine when it
 * had created some.
 *
 * Context: nobody else creates or deletes timers of this process.
 * Return: 0, -EBUSY when there is one with this ID, or as timer_create(2).
 */
int checkpoint_new_timer(const struct checkpoint_timer *in, struct pid_namespace *ns,
			 const struct cred *cred, struct k_itimer **out)
{
	struct sigevent event = {
		.sigev_notify = in->notify,
		.sigev_signo = in->signo,
		.sigev_value.sival_ptr = (void __user *)(unsigned long)in->value,
	};
	clockid_t clock = in->clock;
	struct k_itimer *timer;
	int err = -EINVAL;

	if (in->notify & SIGEV_THREAD_ID)
		event.sigev_notify_thread_id = pid_here(in->target, ns);
	/* The clock of the calling thread is that of the one which created it. */
	if (clock < 0) {
		pid_t measured = pid_here(in->cpu_pid, ns), known = CPUCLOCK_PID(clock);

		if (!measured || (known && known != measured))
			return -EINVAL;
		clock = make_process_cpuclock(measured, clock & CLOCKFD_MASK);
	}
	/* What the timer counts against is that of the objective credentials. */
	scoped_with_creds(is_alarm(clock) ? cred : current_cred())
		err = posix_timer_create_at(clock, &event, in->id);
	if (err)
		return err;

	guard(rcu)();
	timer = hlist_entry_safe(rcu_dereference(hlist_first_rcu(&current->signal->posix_timers)),
				 struct k_itimer, list);
	if (!timer || timer->it_id != in->id || !rcuref_get(&timer->rcuref))
		return -EINVAL;
	scoped_guard (spinlock_irq, &timer->it_lock)
		timer->it_clock = in->clock;
	*out = timer;
	return 0;
}

/* Drops the reference of checkpoint_new_timer(). */
void checkpoint_put_timer(struct k_itimer *timer)
{
	posixtimer_putref(timer);
}

/* Returns the old mask. */
static sigset_t swap_blocked(const sigset_t *blocked)
{
	sigset_t old;

	guard(spinlock_irq)(&current->sighand->siglock);
	old = current->blocked;
	current->blocked = *blocked;
	recalc_sigpending();
	return old;
}

/**
 * checkpoint_queue_timer - queue the signal of a timer that was pending
 * @timer: a timer that is not armed
 * @in: what it was
 *
 * At the end of the queue that it goes to, whether it is ignored or not.
 *
 * Context: the task that the signal is for, or one of the process.
 */
void checkpoint_queue_timer(struct k_itimer *timer, const struct checkpoint_timer *in)
{
	sigset_t blocked;

	sigfillset(&blocked);
	blocked = swap_blocked(&blocked);
	scoped_guard (spinlock_irq, &timer->it_lock) {
		if (posixtimer_valid(timer)) {
			timer->it_status = in->periodic ? POSIX_TIMER_REQUEUE_PENDING :
							  POSIX_TIMER_DISARMED;
			posixtimer_send_sigqueue(timer);
			/* It was set anew after it had expired: the signal is void. */
			if (in->stale)
				timer->it_signal_seq++;
		}
	}
	swap_blocked(&blocked);
}

/**
 * checkpoint_is_of_deleted_timer - whether nobody gets a signal any more
 * @q: a signal of a timer that is pending
 *
 * Context: siglock of its process is held.
 */
bool checkpoint_is_of_deleted_timer(const struct sigqueue *q)
{
	return !posixtimer_valid(container_of(q, struct k_itimer, sigq));
}

/**
 * checkpoint_queue_deleted_timer - queue the signal of a timer that was deleted since
 * @in: the ID it had, the signal, what it would have brought, and whether it is
 *	for the current thread
 * @free: in: an ID to look from downwards, for one that is free; out: what it was
 *
 * Context: nobody else creates or deletes timers of this process.
 * Return: 0, -EINTR, or as timer_create(2).
 */
int checkpoint_queue_deleted_timer(const struct checkpoint_timer *in, int *free)
{
	const struct checkpoint_timer timer = {
		.clock = CLOCK_MONOTONIC,
		.notify = in->notify,
		.signo = in->signo,
		.value = in->value,
		.target = task_pid_vnr(current),
	};
	struct checkpoint_timer with_id = timer;
	int next_id = checkpoint_next_timer_id(current);
	struct k_itimer *made;
	int err;

	for (;; --*free) {
		with_id.id = *free;
		err = checkpoint_new_timer(&with_id, task_active_pid_ns(current),
					   current_cred(), &made);
		if (err != -EBUSY)
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	checkpoint_set_next_timer_id(next_id);
	if (err)
		return err;
	scoped_guard (spinlock_irq, &made->it_lock)
		made->sigq.info.si_tid = in->id;
	checkpoint_queue_timer(made, &timer);
	err = posix_timer_delete_id(with_id.id);
	posixtimer_putref(made);
	return err;
}

/* As posixtimer_sig_ignore() in kernel/signal.c. */
static void set_ignored(struct k_itimer *timer, bool stale)
{
	struct task_struct *task;
	unsigned long flags;

	guard(rcu)();
	task = pid_task(timer->it_pid, timer->it_pid_type);
	if (!task || !lock_task_sighand(task, &flags))
		return;
	if (list_empty(&timer->sigq.list) && hlist_unhashed(&timer->ignored_list)) {
		posixtimer_sigqueue_getref(&timer->sigq);
		timer->it_sig_periodic = true;
		timer->it_sigqueue_seq = timer->it_signal_seq;
		hlist_add_head(&timer->ignored_list, &task->signal->ignored_posix_timers);
		if (stale)
			timer->it_signal_seq++;
	}
	unlock_task_sighand(task, &flags);
}

static void arm_cpu_timer(struct k_itimer *timer, const struct checkpoint_timer *in)
{
	struct itimerspec64 it = { .it_interval = ns_to_timespec64(in->interval) };
	s64 expires;
	u64 now;

	if (!in->timed || !sample_timer(timer, &now))
		return;
	if (check_add_overflow((s64)now, in->expires, &expires))
		expires = in->expires < 0 ? 1 : KTIME_MAX;
	/* 0 is none. */
	expires = max(expires, 1);
	if (in->requeue) {
		timer->it.cpu.node.expires = expires;
		return;
	}
	/* Also sends the signal if it has expired. */
	it.it_value = ns_to_timespec64(expires);
	timer->kclock->timer_set(timer, TIMER_ABSTIME, &it, NULL);
}

/* Return: whether it has expired. */
static bool arm_alarm(struct k_itimer *timer, const struct checkpoint_timer *in)
{
	struct alarm *alarm = &timer->it.alarm.alarmtimer;
	ktime_t expires = ns_to_ktime(max(in->expires, 0));

	if (!in->timed || hrtimer_active(&alarm->timer))
		return false;
	if (!in->armed) {
		alarm->node.expires = expires;
		return false;
	}
	timer->it_status = POSIX_TIMER_ARMED;
	return !timer->kclock->timer_arm(timer, expires, true,
					 in->notify == SIGEV_NONE);
}

/* Return: whether it has expired. */
static bool arm_hrtimer(struct k_itimer *timer, const struct checkpoint_timer *in)
{
	struct hrtimer *hrtimer = &timer->it.real.timer;
	/* Those that send no signal are never queued. */
	bool start = in->armed && in->notify != SIGEV_NONE;
	/* The other kind of CLOCK_REALTIME timer. */
	bool relative = in->base != in->clock;
	ktime_t expires = ns_to_ktime(max(in->expires, 0));
	bool queued;

	if (!in->timed || hrtimer_active(hrtimer))
		return false;
	if (in->armed)
		timer->it_status = POSIX_TIMER_ARMED;
	if (relative && start) {
		expires = max(ktime_sub(expires, ktime_get()), 0);
		queued = timer->kclock->timer_arm(timer, expires, false, false);
	} else if (relative) {
		queued = timer->kclock->timer_arm(timer, 0, false, true);
		hrtimer_set_expires(hrtimer, expires);
	} else {
		queued = timer->kclock->timer_arm(timer, expires, true, !start);
	}
	return !queued;
}

/**
 * checkpoint_arm_timer - have a timer go on
 * @timer: one of checkpoint_new_timer()
 * @in: what it was; expires is that of now
 * @queued: its signal was queued
 *
 * Context: any task. That of the timer has not been to user mode.
 */
void checkpoint_arm_timer(struct k_itimer *timer, const struct checkpoint_timer *in,
			  bool queued)
{
	bool expired = false;

	guard(spinlock_irq)(&timer->it_lock);
	/* Its process was killed. */
	if (!posixtimer_valid(timer))
		return;
	timer->it_interval = ns_to_ktime(in->interval);
	timer->it_status = in->requeue ? POSIX_TIMER_REQUEUE_PENDING :
					 POSIX_TIMER_DISARMED;
	if (is_cpu_timer(timer))
		arm_cpu_timer(timer, in);
	else if (is_alarm(timer->it_clock))
		expired = arm_alarm(timer, in);
	else
		expired = arm_hrtimer(timer, in);
	/* Arming may reset what follows. */
	timer->it_interval = ns_to_ktime(in->interval);
	timer->it_overrun = in->overrun;
	timer->it_overrun_last = in->overrun_last;
	if (in->ignored)
		set_ignored(timer, in->stale);
	/* Or it expired while it was saved. */
	if (expired || (in->queued && !queued && !in->stale))
		posix_timer_queue_signal(timer);
}

/**
 * checkpoint_get_itimers - timers of setitimer(2)
 * @task: a task of the process, all of which stand still
 * @out: filled, by ITIMER_*
 *
 * Context: siglock is held, as by who looks for the signals of these timers: one
 * that expires meanwhile is armed, or its signal is pending.
 */
void checkpoint_get_itimers(struct task_struct *task, struct checkpoint_itimer *out)
{
	struct signal_struct *sig = task->signal;

	lockdep_assert_held(&task->sighand->siglock);
	memset(out, 0, CHECKPOINT_ITIMERS * sizeof(*out));
	out[ITIMER_REAL].armed = hrtimer_active(&sig->real_timer);
	out[ITIMER_REAL].expires = ktime_to_ns(hrtimer_get_expires(&sig->real_timer));
	out[ITIMER_REAL].interval = ktime_to_ns(sig->it_real_incr);
	for (int i = ITIMER_VIRTUAL; i <= ITIMER_PROF; i++) {
		unsigned int which = i == ITIMER_PROF ? CPUCLOCK_PROF : CPUCLOCK_VIRT;

		out[i].armed = sig->it[which].expires;
		out[i].interval = sig->it[which].incr;
		if (out[i].armed)
			out[i].expires = sig->it[which].expires - sample_group(which, task);
	}
}

/**
 * checkpoint_arm_itimers - have timers of setitimer(2) go on
 * @task: a task of the process, none of which has been to user mode
 * @in: what they were, by ITIMER_*; expires of ITIMER_REAL is that of now
 */
void checkpoint_arm_itimers(struct task_struct *task, const struct checkpoint_itimer *in)
{
	struct signal_struct *sig = task->signal;
	struct hrtimer *real = &sig->real_timer;
	unsigned long flags;

	if (!lock_task_sighand(task, &flags))
		return;
	sig->it_real_incr = ns_to_ktime(in[ITIMER_REAL].interval);
	if (in[ITIMER_REAL].armed)
		hrtimer_start(real, ns_to_ktime(max(in[ITIMER_REAL].expires, 0)),
			      HRTIMER_MODE_ABS);
	else if (in[ITIMER_REAL].interval)
		/* It expired, and begins anew when its signal is delivered. */
		hrtimer_set_expires(real, ns_to_ktime(max(in[ITIMER_REAL].expires, 0)));
	for (int i = ITIMER_VIRTUAL; i <= ITIMER_PROF; i++) {
		unsigned int which = i == ITIMER_PROF ? CPUCLOCK_PROF : CPUCLOCK_VIRT;
		s64 now = sample_group(which, task), expires;
		u64 until;

		sig->it[which].incr = in[i].interval;
		if (!in[i].armed)
			continue;
		if (check_add_overflow(now, in[i].expires, &expires))
			expires = in[i].expires < 0 ? 1 : KTIME_MAX;
		until = max(expires, 1);
		set_process_cpu_timer(task, which, &until, NULL);
		sig->it[which].expires = until;
	}
	unlock_task_sighand(task, &flags);

	/*
	 * If the last task of the process dies now, one of us sees what the other
	 * has done: do_exit() cancels the timer after that.
	 */
	smp_mb();
	if (!atomic_read(&sig->live))
		hrtimer_cancel(real);
}
