// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timers: of setitimer(2), alarm(2) and timer_create(2), by the wall clock and by
 * CPU time, with signals that are pending, ignored or void.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS		77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF		0
#define PR_TIMER_CREATE_RESTORE_IDS_ON		1
#define PR_TIMER_CREATE_RESTORE_IDS_GET		2
#endif

#define NS	1000000000LL
#define MS	1000000LL
#define HOUR	(3600 * NS)

static long long now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		return -1;
	return t.tv_sec * NS + t.tv_nsec;
}

static volatile int count, last_value, last_code, last_id, last_tid, came[16];

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	last_value = info->si_value.sival_int;
	last_code = info->si_code;
	last_id = info->si_timerid;
	last_tid = syscall(SYS_gettid);
	if (last_id >= 0 && last_id < 16)
		came[last_id]++;
	count++;
}

static void catch(int sig)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigemptyset(&sa.sa_mask);
	NEED(!sigaction(sig, &sa, NULL));
}

static void mask(int how, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	CHECK(!sigprocmask(how, &set, NULL));
}

static bool is_pending(int sig)
{
	sigset_t set;

	return !sigpending(&set) && sigismember(&set, sig) == 1;
}

/* Takes a signal that is pending, if it is. */
static int take(int sig, siginfo_t *info)
{
	struct timespec zero = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return sigtimedwait(&set, info, &zero);
}

/* What waits for a timer is never early; how late it is, is not for tests under emulation. */
static bool comes(volatile int *what, int least)
{
	for (int i = 0; i < 60000 && *what < least; i++)
		sleep_ms(1);
	return *what >= least;
}

static void burn(long long ns)
{
	long long until = now(CLOCK_PROCESS_CPUTIME_ID) + ns;

	while (now(CLOCK_PROCESS_CPUTIME_ID) < until)
		;
}

static bool burn_until(volatile int *what, int least)
{
	for (int i = 0; i < 2000 && *what < least; i++)
		burn(10 * MS);
	return *what >= least;
}

/* With the kernel's own IDs. */
static int create(clockid_t clock, int notify, int sig, int value, int tid)
{
	struct sigevent ev = {
		.sigev_notify = notify, .sigev_signo = sig, .sigev_value.sival_int = value,
	};
	int id = -1;

	if (notify & SIGEV_THREAD_ID)
		ev.sigev_notify_thread_id = tid;
	NEED(!syscall(SYS_timer_create, clock, &ev, &id));
	return id;
}

static void set(int id, int flags, long long value, long long interval)
{
	struct itimerspec t = {
		.it_value = { value / NS, value % NS },
		.it_interval = { interval / NS, interval % NS },
	};

	CHECK(!timer_settime((timer_t)(intptr_t)id, flags, &t, NULL));
}

static long long left(int id, long long *interval)
{
	struct itimerspec t;

	if (!CHECK(!timer_gettime((timer_t)(intptr_t)id, &t)))
		return -1;
	if (interval)
		*interval = t.it_interval.tv_sec * NS + t.it_interval.tv_nsec;
	return t.it_value.tv_sec * NS + t.it_value.tv_nsec;
}

static int overrun(int id)
{
	return timer_getoverrun((timer_t)(intptr_t)id);
}

static long long of_timeval(struct timeval t)
{
	return t.tv_sec * NS + t.tv_usec * 1000;
}

/*
 * What went by on a timer between two looks, @from and @to on CLOCK_MONOTONIC: no
 * more than that, and nothing while the job was dead.
 */
static void check_passed(long long passed, long long from, long long to)
{
	CHECK(passed >= -MS);
	CHECK(passed <= to - from - job.dead_ms * MS + MS);
}

SCENARIO(itimer_real, .dead_ms = 300)
{
	struct itimerval set = { { 7, 250000 }, { 1000, 500000 } }, was, is;
	long long from, to;

	NEED(!setitimer(ITIMER_REAL, &set, NULL));
	from = now(CLOCK_MONOTONIC);
	NEED(!getitimer(ITIMER_REAL, &was));
	job_hold();
	CHECK(!getitimer(ITIMER_REAL, &is));
	to = now(CLOCK_MONOTONIC);
	CHECK_EQ(of_timeval(is.it_interval), 7250 * MS);
	check_passed(of_timeval(was.it_value) - of_timeval(is.it_value), from, to);
}

SCENARIO(alarm_fires, .dead_ms = 100)
{
	long long from = now(CLOCK_MONOTONIC);

	catch(SIGALRM);
	alarm(1);
	job_hold();
	CHECK(comes(&count, 1));
	CHECK(now(CLOCK_MONOTONIC) - from >= 1000 * MS);
	sleep_ms(50);
	CHECK_EQ(count, 1);
	CHECK_EQ(last_code, SI_KERNEL);
	CHECK_EQ(alarm(0), 0);
}

/* Now and then it was looked at between the signal and its handler. */
SCENARIO(itimer_real_goes_on, .moving = true, .may_differ = { " status ShdPnd: " })
{
	struct itimerval set = { { 0, 20000 }, { 0, 20000 } }, is;
	int was;

	catch(SIGALRM);
	NEED(!setitimer(ITIMER_REAL, &set, NULL));
	job_hold();
	was = count;
	CHECK(comes(&count, was + 5));
	CHECK(!getitimer(ITIMER_REAL, &is));
	CHECK_EQ(is.it_interval.tv_usec, 20000);
}

/* It has expired: its interval begins when the signal is taken. */
SCENARIO(itimer_real_pending)
{
	struct itimerval set = { { 0, 30000 }, { 0, 1000 } };

	catch(SIGALRM);
	mask(SIG_BLOCK, SIGALRM);
	NEED(!setitimer(ITIMER_REAL, &set, NULL));
	while (!is_pending(SIGALRM))
		sleep_ms(1);
	job_hold();
	CHECK_EQ(count, 0);
	CHECK(is_pending(SIGALRM));
	mask(SIG_UNBLOCK, SIGALRM);
	CHECK(comes(&count, 3));
}

SCENARIO(itimer_cpu)
{
	struct itimerval prof = { { 5, 0 }, { 1000, 0 } }, virt = { { 6, 0 }, { 2000, 0 } }, is;

	NEED(!setitimer(ITIMER_PROF, &prof, NULL) && !setitimer(ITIMER_VIRTUAL, &virt, NULL));
	burn(30 * MS);
	NEED(!getitimer(ITIMER_PROF, &prof) && !getitimer(ITIMER_VIRTUAL, &virt));
	job_hold();
	CHECK(!getitimer(ITIMER_PROF, &is));
	CHECK_EQ(is.it_interval.tv_sec, 5);
	CHECK(of_timeval(is.it_value) <= of_timeval(prof.it_value) &&
	      of_timeval(is.it_value) > of_timeval(prof.it_value) - 60 * NS);
	CHECK(!getitimer(ITIMER_VIRTUAL, &is));
	CHECK_EQ(is.it_interval.tv_sec, 6);
	CHECK(of_timeval(is.it_value) <= of_timeval(virt.it_value) &&
	      of_timeval(is.it_value) > of_timeval(virt.it_value) - 60 * NS);
}

SCENARIO(itimer_cpu_fires)
{
	struct itimerval prof = { { 0, 50000 }, { 0, 200000 } };
	int was;

	catch(SIGPROF);
	NEED(!setitimer(ITIMER_PROF, &prof, NULL));
	job_hold();
	was = count;
	CHECK(burn_until(&count, was + 3));
	CHECK_EQ(last_code, SI_KERNEL);
}

SCENARIO(itimer_virtual_fires)
{
	struct itimerval virt = { { 0, 0 }, { 0, 200000 } };

	catch(SIGVTALRM);
	NEED(!setitimer(ITIMER_VIRTUAL, &virt, NULL));
	job_hold();
	CHECK(burn_until(&count, 1));
	burn(100 * MS);
	CHECK_EQ(count, 1);
}

/* IDs, clocks, notifications; init compares /proc/PID/timers. */
SCENARIO(timers_of_all_kinds, .dead_ms = 200)
{
	clockid_t clocks[8] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, 11 /* CLOCK_TAI */,
		CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
	};
	int notify[4] = { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID };
	long long was[8][4][2], is, interval, from, to;
	int ids[8][4], extra;

	NEED(!clock_getcpuclockid(getpid(), &clocks[6]));
	NEED(!pthread_getcpuclockid(pthread_self(), &clocks[7]));
	extra = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++) {
			int flags = j & 1 && i < 4 ? TIMER_ABSTIME : 0;
			int id = create(clocks[i], notify[j], SIGRTMIN + j, i * 100 + j, getpid());

			ids[i][j] = id;
			set(id, flags, (flags ? now(clocks[i]) : 0) + (1000 + i) * NS,
			    (i + j) * 11 * MS);
		}
	/* A gap in the IDs, and a timer that is not armed. */
	CHECK(!timer_delete((timer_t)(intptr_t)extra));
	CHECK(!timer_delete((timer_t)(intptr_t)ids[1][2]));
	set(ids[2][0], 0, 0, 0);
	from = now(CLOCK_MONOTONIC);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++)
			if (i != 1 || j != 2)
				was[i][j][0] = left(ids[i][j], &was[i][j][1]);
	job_hold();
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++) {
			if (i == 1 && j == 2)
				continue;
			is = left(ids[i][j], &interval);
			to = now(CLOCK_MONOTONIC);
			CHECK_EQ(interval, was[i][j][1]);
			CHECK_EQ(overrun(ids[i][j]), 0);
			if (i == 2 && !j) {
				CHECK_EQ(is, 0);
			} else if ((i == 0 && j & 1) || i == 3) {
				/* Waits for a time of day, come what may. */
				CHECK(was[i][j][0] - is >= job.dead_ms * MS);
				CHECK(was[i][j][0] - is <= to - from + 1000 * MS);
			} else if (i < 4) {
				check_passed(was[i][j][0] - is, from, to);
			} else {
				CHECK(is <= was[i][j][0] && is > was[i][j][0] - 60 * NS);
			}
		}
	/* As if nothing had been: the ID after the last one. */
	CHECK_EQ(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0), ids[7][3] + 1);
}

SCENARIO(timer_fires, .dead_ms = 100)
{
	long long from = now(CLOCK_MONOTONIC);
	int id;

	catch(SIGRTMIN);
	id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 77, 0);
	set(id, 0, 800 * MS, 0);
	job_hold();
	CHECK(comes(&count, 1));
	CHECK(now(CLOCK_MONOTONIC) - from >= 800 * MS);
	CHECK(last_code == SI_TIMER && last_value == 77 && last_id == id);
	sleep_ms(50);
	CHECK_EQ(count, 1);
	CHECK_EQ(left(id, NULL), 0);
	set(id, 0, 5 * MS, 0);
	CHECK(comes(&count, 2));
}

/* Its time comes while the job is dead. */
SCENARIO(time_of_day, .dead_ms = 1500)
{
	long long at = now(CLOCK_REALTIME) + 1200 * MS;
	int id;

	catch(SIGRTMIN);
	id = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN, 0, 0);
	set(id, TIMER_ABSTIME, at, 0);
	job_hold();
	CHECK(comes(&count, 1));
	CHECK(now(CLOCK_REALTIME) >= at);
	CHECK_EQ(left(id, NULL), 0);
}

SCENARIO(timer_goes_on, .moving = true, .may_differ = { " status ShdPnd: " })
{
	int id, was;

	catch(SIGRTMIN);
	id = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGRTMIN, 5, 0);
	set(id, 0, 15 * MS, 15 * MS);
	job_hold();
	was = count;
	CHECK(comes(&count, was + 5));
}

static void need_alarms(void)
{
	struct timespec t;

	if (clock_getres(CLOCK_REALTIME_ALARM, &t))
		JOB_SKIP("no clock that could wake the machine");
}

/* Timers that would wake the machine; the right to make one may be gone. */
SCENARIO(alarm_timers, .dead_ms = 200)
{
	const clockid_t clocks[2] = { CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM };
	const clockid_t bases[2] = { CLOCK_REALTIME, CLOCK_BOOTTIME };
	const int notify[3] = { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID };
	long long was[2][3], from, to, is, interval;
	int ids[2][3], idle, id;

	need_alarms();
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++) {
			int flags = j == 1 ? TIMER_ABSTIME : 0;

			ids[i][j] = create(clocks[i], notify[j], SIGRTMIN, j, getpid());
			set(ids[i][j], flags, (flags ? now(bases[i]) : 0) + HOUR, j * 7 * NS);
		}
	idle = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, SIGRTMIN, 6, 0);
	id = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, SIGRTMIN, 7, 0);
	NEED(drop_cap(CAP_WAKE_ALARM));
	catch(SIGRTMIN);
	from = now(CLOCK_MONOTONIC);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			was[i][j] = left(ids[i][j], NULL);
	job_hold();
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++) {
			is = left(ids[i][j], &interval);
			to = now(CLOCK_MONOTONIC);
			CHECK_EQ(interval, j * 7 * NS);
			if (i) {
				check_passed(was[i][j] - is, from, to);
			} else {
				CHECK(was[i][j] - is >= job.dead_ms * MS);
				CHECK(was[i][j] - is <= to - from + 1000 * MS);
			}
		}
	CHECK_EQ(left(idle, NULL), 0);
	CHECK(!count);
	set(id, 0, 20 * MS, 0);
	CHECK(comes(&came[id], 1) && last_value == 7 && last_code == SI_TIMER);
	set(ids[0][0], 0, 20 * MS, 20 * MS);
	CHECK(comes(&came[ids[0][0]], 3));
	set(ids[0][0], 0, 0, 0);
	errno = 0;
	CHECK(syscall(SYS_timer_create, CLOCK_BOOTTIME_ALARM, NULL, &id) < 0 && errno == EPERM);
}

/* The time of day comes while it is dead; the other one has as long to go as before. */
SCENARIO(alarm_timers_fire, .dead_ms = 1500)
{
	int at_time, after;
	long long at;

	need_alarms();
	catch(SIGRTMIN);
	at_time = create(CLOCK_REALTIME_ALARM, SIGEV_SIGNAL, SIGRTMIN, 1, 0);
	after = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, SIGRTMIN, 2, 0);
	at = now(CLOCK_REALTIME) + 1200 * MS;
	set(at_time, TIMER_ABSTIME, at, 0);
	set(after, 0, 3000 * MS, 0);
	job_hold();
	CHECK(comes(&came[at_time], 1));
	CHECK(now(CLOCK_REALTIME) >= at);
	CHECK(comes(&came[after], 1));
	CHECK(now(CLOCK_REALTIME) >= at + 1800 * MS + job.dead_ms * MS);
	CHECK_EQ(count, 2);
}

SCENARIO(alarm_timer_pending, .dead_ms = 300)
{
	siginfo_t info = { 0 };
	int sig = SIGRTMIN + 2, id;

	need_alarms();
	mask(SIG_BLOCK, sig);
	id = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, sig, 5, 0);
	set(id, 0, 5 * MS, 10 * MS);
	while (!is_pending(sig))
		sleep_ms(1);
	sleep_ms(50);
	job_hold();
	CHECK(is_pending(sig));
	CHECK_EQ(take(sig, &info), sig);
	CHECK(info.si_value.sival_int == 5 && info.si_overrun >= 4);
	for (int i = 0; i < 1000 && !is_pending(sig); i++)
		sleep_ms(1);
	CHECK_EQ(take(sig, &info), sig);
	set(id, 0, 0, 0);
}

static void init_may_not(struct run *run)
{
	NEED(drop_cap(CAP_WAKE_ALARM));
}

SCENARIO(alarm_timer_without_right, .dead = init_may_not, .restart_errno = EPERM,
	 .restart_refused = "wakes the machine")
{
	int id;

	need_alarms();
	id = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, SIGRTMIN, 1, 0);
	NEED(drop_cap(CAP_WAKE_ALARM));
	set(id, 0, HOUR, 0);
	job_hold();
	CHECK(left(id, NULL) > HOUR / 2);
}

/* Overruns are counted until the signal is taken, but not those of the time it was dead. */
SCENARIO(pending_signal, .dead_ms = 400)
{
	siginfo_t info = { 0 };
	long long from, to;
	int id, first;

	mask(SIG_BLOCK, SIGRTMIN + 2);
	id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 123, 0);
	from = now(CLOCK_MONOTONIC);
	set(id, 0, 5 * MS, 5 * MS);
	while (!is_pending(SIGRTMIN + 2))
		sleep_ms(1);
	/* A first one is taken, so that there is a count to be kept. */
	sleep_ms(30);
	NEED(take(SIGRTMIN + 2, &info) == SIGRTMIN + 2);
	first = overrun(id);
	NEED(first >= 4);
	while (!is_pending(SIGRTMIN + 2))
		sleep_ms(1);
	from = now(CLOCK_MONOTONIC);
	job_hold();
	CHECK_EQ(overrun(id), first);
	CHECK(is_pending(SIGRTMIN + 2));
	sleep_ms(50);
	CHECK_EQ(take(SIGRTMIN + 2, &info), SIGRTMIN + 2);
	to = now(CLOCK_MONOTONIC);
	CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 123 && info.si_timerid == id);
	CHECK(info.si_overrun >= 8);
	CHECK(info.si_overrun * 5 * MS <= to - from - job.dead_ms * MS + 20 * MS);
	CHECK_EQ(overrun(id), info.si_overrun);
	/* And goes on. */
	while (!is_pending(SIGRTMIN + 2))
		sleep_ms(1);
	CHECK_EQ(take(SIGRTMIN + 2, &info), SIGRTMIN + 2);
}

/* Between others of the same number, to the thread and to the process. */
SCENARIO(queue_order)
{
	int sig = SIGRTMIN + 3, ids[4];
	union sigval v;
	siginfo_t info;

	mask(SIG_BLOCK, sig);
	for (int i = 0; i < 4; i++)
		ids[i] = create(CLOCK_MONOTONIC, i & 1 ? SIGEV_THREAD_ID : SIGEV_SIGNAL, sig,
				10 + i, getpid());
	for (int i = 0; i < 4; i++) {
		v.sival_int = i;
		NEED(!sigqueue(getpid(), sig, v));
		set(ids[i], 0, 1, 0);
		for (int j = 0; j < 5000 && left(ids[i], NULL); j++)
			sleep_ms(1);
	}
	v.sival_int = 4;
	NEED(!sigqueue(getpid(), sig, v));
	job_hold();
	/* The queue of the thread is the first one. */
	for (int i = 1; i < 4; i += 2) {
		CHECK_EQ(take(sig, &info), sig);
		CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 10 + i);
	}
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(take(sig, &info), sig);
		CHECK_EQ(info.si_code, SI_QUEUE);
		CHECK_EQ(info.si_value.sival_int, i);
		if (i & 1 || i == 4)
			continue;
		CHECK_EQ(take(sig, &info), sig);
		CHECK_EQ(info.si_code, SI_TIMER);
		CHECK_EQ(info.si_value.sival_int, 10 + i);
	}
	CHECK(take(sig, &info) < 0 && errno == EAGAIN);
	set(ids[0], 0, MS, 0);
	while (!is_pending(sig))
		sleep_ms(1);
	CHECK_EQ(take(sig, &info), sig);
}

/* Set anew after its signal was queued: that one is void. */
SCENARIO(void_signal)
{
	int sig = SIGRTMIN + 4, id;

	catch(sig);
	mask(SIG_BLOCK, sig);
	id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, sig, 1, 0);
	set(id, 0, MS, 0);
	while (!is_pending(sig))
		sleep_ms(1);
	set(id, 0, 1000 * NS, 3 * NS);
	NEED(is_pending(sig));
	job_hold();
	CHECK(is_pending(sig));
	mask(SIG_UNBLOCK, sig);
	sleep_ms(10);
	CHECK_EQ(count, 0);
	CHECK(!is_pending(sig));
	CHECK(left(id, NULL) > 900 * NS);
	set(id, 0, MS, 0);
	CHECK(comes(&count, 1));
}

/* With an interval it goes on when somebody wants its signal. */
/* The number of the next timer. */
static bool choose_id(int id)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
	bool ok;

	if (prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0))
		return false;
	ev.sigev_value.sival_int = 50;
	ok = !syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id);
	prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0);
	return ok;
}

/*
 * Signals that show as pending and that nobody gets, among others, in both queues.
 * One of them has the number of a timer that was created since, whose own is
 * pending, too.
 */
SCENARIO(deleted_timers)
{
	int sig = SIGRTMIN + 3, lone = SIGRTMIN + 5, ids[4], alone[2], next;
	union sigval v;
	siginfo_t info;

	catch(lone);
	mask(SIG_BLOCK, sig);
	mask(SIG_BLOCK, lone);
	for (int i = 0; i < 4; i++)
		ids[i] = create(CLOCK_MONOTONIC, i & 1 ? SIGEV_THREAD_ID : SIGEV_SIGNAL, sig,
				10 + i, getpid());
	for (int i = 0; i < 2; i++)
		alone[i] = create(CLOCK_MONOTONIC, i ? SIGEV_THREAD_ID : SIGEV_SIGNAL, lone, 20 + i,
				  getpid());
	for (int i = 0; i < 4; i++) {
		v.sival_int = i;
		NEED(!sigqueue(getpid(), sig, v));
		set(ids[i], 0, 1, 0);
		for (int j = 0; j < 5000 && left(ids[i], NULL); j++)
			sleep_ms(1);
	}
	/* A periodic one has more to go on with. */
	set(alone[0], 0, MS, MS);
	set(alone[1], 0, MS, 0);
	for (int j = 0; j < 5000 && left(alone[1], NULL); j++)
		sleep_ms(1);
	sleep_ms(20);
	NEED(is_pending(lone));
	for (int i = 0; i < 2; i++)
		NEED(!syscall(SYS_timer_delete, alone[i]));
	NEED(!syscall(SYS_timer_delete, ids[0]) && !syscall(SYS_timer_delete, ids[1]));
	NEED(is_pending(lone));
	NEED(choose_id(ids[0]));
	set(ids[0], 0, 1, 0);
	for (int j = 0; j < 5000 && left(ids[0], NULL); j++)
		sleep_ms(1);
	/* The number after the last one, which is free. */
	next = ids[1];
	job_hold();
	CHECK(is_pending(lone));
	mask(SIG_UNBLOCK, lone);
	sleep_ms(10);
	CHECK_EQ(count, 0);
	CHECK(!is_pending(lone));
	CHECK_EQ(take(sig, &info), sig);
	CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 13);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(take(sig, &info), sig);
		CHECK(info.si_code == SI_QUEUE && info.si_value.sival_int == i);
		if (i != 2)
			continue;
		CHECK_EQ(take(sig, &info), sig);
		CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 12);
	}
	CHECK_EQ(take(sig, &info), sig);
	CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 50);
	CHECK_EQ(info.si_timerid, ids[0]);
	CHECK(take(sig, &info) < 0 && errno == EAGAIN);
	CHECK(!is_pending(sig));
	/* They are gone, and nobody else's numbers are. */
	for (int i = 0; i < 2; i++)
		CHECK(syscall(SYS_timer_delete, alone[i]) < 0 && errno == EINVAL);
	CHECK_EQ(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0), next);
}

SCENARIO(ignored_signal)
{
	int id;

	signal(SIGUSR2, SIG_IGN);
	id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 9, 0);
	set(id, 0, 2 * MS, 10 * MS);
	sleep_ms(50);
	job_hold();
	CHECK(!is_pending(SIGUSR2));
	CHECK(left(id, NULL) > 0);
	catch(SIGUSR2);
	CHECK(comes(&count, 3));
	CHECK(last_code == SI_TIMER && last_value == 9 && last_id == id);
}

/* A timer by the CPU time that it was created in, whose signal is pending. */
SCENARIO(cpu_timer_pending)
{
	int sig = SIGRTMIN + 5, id;
	siginfo_t info;

	mask(SIG_BLOCK, sig);
	id = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, sig, 6, 0);
	set(id, 0, 20 * MS, 20 * MS);
	for (int i = 0; i < 1000 && !is_pending(sig); i++)
		burn(10 * MS);
	NEED(is_pending(sig));
	job_hold();
	CHECK(is_pending(sig));
	burn(100 * MS);
	CHECK_EQ(take(sig, &info), sig);
	CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 6);
	CHECK(info.si_overrun >= 1);
	for (int i = 0; i < 1000 && !is_pending(sig); i++)
		burn(10 * MS);
	CHECK_EQ(take(sig, &info), sig);
	set(id, 0, 0, 0);
}

static volatile int thread_tid, thread_stop, thread_works;

static void *thread(void *arg)
{
	thread_tid = syscall(SYS_gettid);
	while (!thread_stop) {
		if (thread_works)
			burn(MS);
		else
			sleep_ms(20);
	}
	return NULL;
}

/* The signal goes to a thread, whose CPU time it is, too; the leader has made it. */
SCENARIO(timers_of_a_thread, .tasks = 2)
{
	int by_cpu, by_clock;
	clockid_t clock;
	pthread_t t;

	catch(SIGRTMIN);
	NEED(!pthread_create(&t, NULL, thread, NULL));
	NEED(comes(&thread_tid, 1));
	NEED(!pthread_getcpuclockid(t, &clock));
	by_clock = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN, 1, thread_tid);
	by_cpu = create(clock, SIGEV_THREAD_ID, SIGRTMIN, 2, thread_tid);
	set(by_cpu, 0, 800 * MS, 0);
	job_hold();
	set(by_clock, 0, MS, 0);
	CHECK(comes(&count, 1));
	CHECK_EQ(last_tid, thread_tid);
	CHECK_EQ(last_id, by_clock);
	/* Not by the time of the leader. */
	burn(1000 * MS);
	CHECK_EQ(count, 1);
	CHECK(left(by_cpu, NULL) > 0);
	thread_works = 1;
	CHECK(comes(&count, 2));
	CHECK_EQ(last_tid, thread_tid);
	CHECK_EQ(last_id, by_cpu);
	thread_stop = 1;
	CHECK(!pthread_join(t, NULL));
}

static int made_by_thread;

static void *maker(void *arg)
{
	made_by_thread = create(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, SIGRTMIN, 3,
				syscall(SYS_gettid));
	set(made_by_thread, 0, 800 * MS, 0);
	return thread(arg);
}

/* CLOCK_THREAD_CPUTIME_ID is that of the thread which has made it. */
SCENARIO(timer_made_by_a_thread, .tasks = 2)
{
	pthread_t t;

	catch(SIGRTMIN);
	NEED(!pthread_create(&t, NULL, maker, NULL));
	NEED(comes(&thread_tid, 1));
	job_hold();
	burn(1000 * MS);
	CHECK_EQ(count, 0);
	thread_works = 1;
	CHECK(comes(&count, 1));
	CHECK(last_tid == thread_tid && last_value == 3);
	thread_stop = 1;
	CHECK(!pthread_join(t, NULL));
}

/* A process measures the CPU time of another one. */
SCENARIO(timer_of_another_process, .tasks = 2)
{
	volatile int *works = common_memory(4096);
	clockid_t clock;
	pid_t child;
	int id;

	catch(SIGRTMIN);
	child = fork();
	NEED(child >= 0);
	while (!child) {
		if (*works)
			burn(MS);
		else
			sleep_ms(20);
	}
	NEED(!clock_getcpuclockid(child, &clock));
	id = create(clock, SIGEV_SIGNAL, SIGRTMIN, 4, 0);
	set(id, 0, 800 * MS, 0);
	job_hold();
	burn(1000 * MS);
	CHECK_EQ(count, 0);
	*works = 1;
	CHECK(comes(&count, 1));
	CHECK(last_id == id && last_value == 4);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

SCENARIO(chosen_ids)
{
	int id = 123456, other = 777;

	if (prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0))
		JOB_SKIP("no PR_TIMER_CREATE_RESTORE_IDS");
	NEED(!syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id) && id == 123456);
	job_hold();
	CHECK_EQ(prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0), 1);
	CHECK(!syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &other));
	CHECK_EQ(other, 777);
	CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), -1);
	CHECK(!prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0));
	CHECK(!syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
	CHECK_EQ(id, 778);
	/* One without an event has SIGALRM and its ID. */
	mask(SIG_BLOCK, SIGALRM);
	set(123456, 0, MS, 0);
	while (!is_pending(SIGALRM))
		sleep_ms(1);
	siginfo_t info;

	CHECK_EQ(take(SIGALRM, &info), SIGALRM);
	CHECK_EQ(info.si_value.sival_int, 123456);
}

/* Checkpoints come while timers expire all the time: none is lost, none comes twice. */
SCENARIO(busy_timers, .moving = true, .may_differ = { " status ShdPnd: " })
{
	int ids[20], was;

	catch(SIGRTMIN);
	for (int i = 0; i < 20; i++) {
		ids[i] = create(i & 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN, i,
				0);
		set(ids[i], 0, (i + 1) * MS / 2, (i + 1) * MS);
	}
	job_hold();
	for (int i = 0; i < 20; i++) {
		CHECK(left(ids[i], NULL) > 0);
		set(ids[i], 0, 0, 0);
	}
	was = count;
	sleep_ms(50);
	CHECK_EQ(count, was);
	set(ids[7], 0, MS, MS);
	CHECK(comes(&count, was + 3));
}

/* Both ways to read a clock, of which one goes through the pages of the vdso. */
static void read_clocks(volatile uint64_t *to)
{
	struct timespec t;

	for (int i = 0; i < 2; i++) {
		clockid_t clock = i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;

		to[2 * i] = now(clock);
		CHECK(!syscall(SYS_clock_gettime, clock, &t));
		to[2 * i + 1] = t.tv_sec * NS + t.tv_nsec;
	}
}

JOB(clocks)
{
	volatile uint64_t *was = job.word, *is = job.word + 4;
	int id;

	read_clocks(was);
	/* Until a time of this namespace. */
	id = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	set(id, TIMER_ABSTIME, was[0] + HOUR, 0);
	job_hold();
	read_clocks(is);
	for (int i = 0; i < 4; i++) {
		CHECK(is[i] >= was[i]);
		CHECK(is[i] <= was[i] + HOUR / 4);
	}
	/* Both ways show the same. */
	CHECK(is[1] >= is[0] && is[1] <= is[0] + HOUR / 4);
	CHECK(is[3] >= is[2] && is[3] <= is[2] + HOUR / 4);
	/* At most a moment is gone. */
	CHECK(left(id, NULL) <= HOUR && left(id, NULL) >= HOUR - HOUR / 4);
	/* Nor has the other one come near to those of the machine. */
	CHECK(is[0] >= 1000ULL * HOUR && is[2] >= 2000ULL * HOUR);
}

/* Has init enter a time namespace whose clocks show this. */
static bool enter_time(const long long *show)
{
	static long long offsets[2];
	long long ns[2];
	char text[160];
	int fd, len;
	bool ok;

	for (int i = 0; i < 2; i++) {
		offsets[i] += show[i] - now(i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC);
		ns[i] = (offsets[i] % NS + NS) % NS;
	}
	if (unshare(0x80 /* CLONE_NEWTIME */))
		return false;
	len = snprintf(text, sizeof(text), "monotonic %lld %lld\nboottime %lld %lld\n",
		       (offsets[0] - ns[0]) / NS, ns[0], (offsets[1] - ns[1]) / NS, ns[1]);
	fd = open("/proc/self/timens_offsets", O_WRONLY);
	ok = fd >= 0 && write(fd, text, len) == len;
	close(fd);
	fd = open("/proc/self/ns/time_for_children", O_RDONLY);
	ok = ok && fd >= 0 && !setns(fd, 0);
	close(fd);
	return ok;
}

/* The clocks go on where init has them go on; the first record of the image says where. */
INIT_TEST(time_namespace, clocks)
{
	long long show[2] = { 1000 * HOUR, 2000 * HOUR }, before[2], saved[2];
	int fd;

	WANT(enter_time(show));
	WANT(now(CLOCK_MONOTONIC) >= show[0] && now(CLOCK_BOOTTIME) >= show[1]);
	WANT(job_start(run));
	for (int i = 0; i < 2; i++)
		before[i] = now(i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC);
	WANT_ERR(save(run), 0);
	kill_all(run);
	fd = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC);
	WANT(pread(fd, saved, sizeof(saved), HEADER_LEN + 16 + 8) == sizeof(saved));
	close(fd);
	for (int i = 0; i < 2; i++)
		WANT(saved[i] >= before[i] &&
		     saved[i] <= now(i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC));
	/* As after a reboot, and as ckpt does it. */
	show[0] = 5 * NS;
	show[1] = 7 * NS;
	WANT(enter_time(show));
	WANT(now(CLOCK_MONOTONIC) < HOUR);
	WANT(enter_time(saved));
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

static long long of_usage(const struct rusage *u)
{
	return of_timeval(u->ru_utime) + of_timeval(u->ru_stime);
}

static void burn_in_kernel(long long ns)
{
	long long until = now(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (now(CLOCK_THREAD_CPUTIME_ID) < until)
		getppid();
}

static void check_usage(const struct rusage *was, const struct rusage *is)
{
	CHECK(of_timeval(is->ru_utime) >= of_timeval(was->ru_utime));
	CHECK(of_timeval(is->ru_stime) >= of_timeval(was->ru_stime));
	/* And what it took to restore it is not in it; it has only slept since. */
	CHECK(of_usage(is) <= of_usage(was) + 20 * NS);
	CHECK(is->ru_minflt >= was->ru_minflt);
	CHECK(is->ru_majflt >= was->ru_majflt);
	CHECK(is->ru_nvcsw >= was->ru_nvcsw);
	CHECK(is->ru_nivcsw >= was->ru_nivcsw);
	CHECK(is->ru_inblock >= was->ru_inblock);
	CHECK(is->ru_oublock >= was->ru_oublock);
	CHECK(is->ru_maxrss >= was->ru_maxrss);
}

static void *uses(void *arg)
{
	burn_in_kernel(300 * MS);
	for (int i = 0; i < 50; i++)
		sleep_ms(1);
	return NULL;
}

/* By itself, by a thread that is gone, and by children. */
SCENARIO(cpu_time)
{
	long long process, of_thread, again;
	struct rusage self[2], own[2], kids[2];
	struct tms tms[2];
	char *memory;
	pthread_t t;
	pid_t child;

	NEED(!pthread_create(&t, NULL, uses, NULL) && !pthread_join(t, NULL));
	child = fork();
	if (!child) {
		burn(400 * MS);
		_exit(0);
	}
	NEED(child > 0 && waitpid(child, NULL, 0) == child);
	memory = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(memory != MAP_FAILED);
	madvise(memory, 8 << 20, MADV_NOHUGEPAGE);
	for (int i = 0; i < 8 << 20; i += 4096)
		memory[i] = 1;
	munmap(memory, 8 << 20);
	burn(700 * MS);
	NEED(!getrusage(RUSAGE_SELF, &self[0]) && !getrusage(RUSAGE_THREAD, &own[0]) &&
	     !getrusage(RUSAGE_CHILDREN, &kids[0]) && times(&tms[0]) != (clock_t)-1);
	NEED(of_usage(&self[0]) >= 900 * MS && of_usage(&kids[0]) >= 300 * MS &&
	     self[0].ru_minflt >= 2048);
	process = now(CLOCK_PROCESS_CPUTIME_ID);
	of_thread = now(CLOCK_THREAD_CPUTIME_ID);
	job_hold();
	again = now(CLOCK_PROCESS_CPUTIME_ID);
	CHECK(again >= process && again <= process + 20 * NS);
	again = now(CLOCK_THREAD_CPUTIME_ID);
	CHECK(again >= of_thread && again <= of_thread + 20 * NS);
	CHECK(!getrusage(RUSAGE_SELF, &self[1]) && !getrusage(RUSAGE_THREAD, &own[1]) &&
	      !getrusage(RUSAGE_CHILDREN, &kids[1]) && times(&tms[1]) != (clock_t)-1);
	check_usage(&self[0], &self[1]);
	check_usage(&own[0], &own[1]);
	CHECK(!memcmp(&kids[0], &kids[1], sizeof(kids[0])));
	CHECK(tms[1].tms_utime >= tms[0].tms_utime && tms[1].tms_stime >= tms[0].tms_stime &&
	      tms[1].tms_cutime == tms[0].tms_cutime && tms[1].tms_cstime == tms[0].tms_cstime);
}

/* Each thread has its own. */
SCENARIO(cpu_time_of_threads, .tasks = 2)
{
	long long of_thread, mine, again;
	clockid_t clock;
	pthread_t t;

	NEED(!pthread_create(&t, NULL, thread, NULL));
	NEED(comes(&thread_tid, 1) && !pthread_getcpuclockid(t, &clock));
	thread_works = 1;
	while (now(clock) < 500 * MS)
		sleep_ms(1);
	thread_works = 0;
	sleep_ms(50);
	of_thread = now(clock);
	mine = now(CLOCK_THREAD_CPUTIME_ID);
	job_hold();
	again = now(clock);
	CHECK(again >= of_thread && again <= of_thread + 20 * NS);
	again = now(CLOCK_THREAD_CPUTIME_ID);
	CHECK(again >= mine && again <= mine + 20 * NS);
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) >= of_thread + mine);
	thread_stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) >= of_thread + mine);
}

/* The limit is one of all the time that was used, not of that since the restart. */
SCENARIO(cpu_limit)
{
	struct rlimit limit = { 4, 1000 };

	catch(SIGXCPU);
	burn(3000 * MS);
	NEED(!setrlimit(RLIMIT_CPU, &limit));
	job_hold();
	CHECK_EQ(count, 0);
	burn(2500 * MS);
	CHECK(comes(&count, 1));
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) >= 4 * NS && !getrlimit(RLIMIT_CPU, &limit) &&
	      limit.rlim_cur >= 5);
}

/* What goes wrong in a child, and where: its exit status says. What it waits for: *line. */
#define IN_CHILD(cond) do {						\
	*line = __LINE__;						\
	if (!(cond))							\
		_exit(__LINE__ % 200 + 50);				\
} while (0)

/* As in a pid namespace of its own, where it is 1. */
static void nested_timers(volatile int *stage, volatile int *line)
{
	int by_clock, by_cpu, of_thread, of_process, of_child;
	clockid_t thread_clock, own_clock, child_clock;
	pid_t child;
	pthread_t t;

	IN_CHILD(getpid() == 1);
	child = fork();
	if (!child) {
		while (*stage < 4) {
			if (*stage == 3)
				burn(MS);
			else
				sleep_ms(50);
		}
		_exit(0);
	}
	catch(SIGRTMIN);
	IN_CHILD(!pthread_create(&t, NULL, thread, NULL) && comes(&thread_tid, 1));
	IN_CHILD(!pthread_getcpuclockid(t, &thread_clock));
	IN_CHILD(!clock_getcpuclockid(1, &own_clock) && !clock_getcpuclockid(child, &child_clock));
	by_clock = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN, 1, thread_tid);
	by_cpu = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN, 2, 0);
	of_thread = create(thread_clock, SIGEV_THREAD_ID, SIGRTMIN, 3, thread_tid);
	of_process = create(own_clock, SIGEV_NONE, 0, 4, 0);
	of_child = create(child_clock, SIGEV_SIGNAL, SIGRTMIN, 5, 0);
	set(by_clock, 0, HOUR, 0);
	set(by_cpu, 0, HOUR, 0);
	set(of_thread, 0, 300 * MS, 0);
	set(of_process, 0, HOUR, 0);
	set(of_child, 0, 300 * MS, 0);
	*stage = 1;
	while (*stage < 2)
		sleep_ms(1);
	IN_CHILD(!count && left(of_thread, NULL) > 0 && left(of_child, NULL) > 0);
	IN_CHILD(left(of_process, NULL) > HOUR / 2 && left(by_cpu, NULL) > HOUR / 2);
	/* By its own time nobody else's. */
	*stage = 3;
	thread_works = 1;
	IN_CHILD(comes(&came[of_thread], 1) && comes(&came[of_child], 1));
	thread_works = 0;
	IN_CHILD(count == 2);
	count = 0;
	set(by_clock, 0, MS, 0);
	IN_CHILD(comes(&count, 1) && last_id == by_clock && last_tid == thread_tid);
	count = 0;
	set(by_cpu, 0, MS, 0);
	IN_CHILD(burn_until(&count, 1) && last_id == by_cpu && last_value == 2);
	thread_stop = 1;
	*stage = 4;
	IN_CHILD(!pthread_join(t, NULL) && waitpid(child, NULL, 0) == child);
	_exit(7);
}

/* The numbers of tasks that it knows are not those of the job. */
SCENARIO(timers_in_a_pid_namespace, .tasks = 4, .may_differ = { " ns/pid" })
{
	volatile int *stage = common_memory(4096);
	volatile int *line = stage + 1;
	pid_t pid, ended = 0;
	int status;

	pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	NEED(pid >= 0);
	if (!pid)
		nested_timers(stage, line);
	while (!*stage && !waitpid(pid, &status, WNOHANG))
		sleep_ms(1);
	NEED(*stage == 1);
	job_hold();
	*stage = 2;
	for (int i = 0; i < 1500 && !ended; i++, sleep_ms(10))
		ended = waitpid(pid, &status, WNOHANG);
	CHECK_EQ(ended ? 0 : *line, 0);
	CHECK_EQ(ended, pid);
	CHECK_EQ(status, 7 << 8);
}

static char state_of(pid_t pid)
{
	char path[64], *text, state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	text = proc_read(path, NULL);
	if (text && strrchr(text, ')'))
		state = strrchr(text, ')')[2];
	free(text);
	return state;
}

/* A thread, a child that has exited, and another one whose threads live on. */
static void *lives_on(void *arg)
{
	while (getppid() != 1)
		sleep_ms(1);
	return NULL;
}

/* A zombie has no handlers after a restart. */
SCENARIO(users_of_time, .tasks = 5, .orphans = 2, .no_plain = true, .may_differ = { "SigCgt" })
{
	pid_t zombie, leader;
	siginfo_t info;
	pthread_t t;

	NEED(!pthread_create(&t, NULL, thread, NULL) && comes(&thread_tid, 1));
	zombie = fork();
	if (!zombie)
		_exit(0);
	leader = fork();
	if (!leader) {
		pthread_create(&t, NULL, lives_on, NULL);
		syscall(SYS_exit, 0);
	}
	NEED(zombie > 0 && leader > 0 && !waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
	while (state_of(leader) != 'Z')
		sleep_ms(1);
	/* Its thread is past its start. */
	sleep_ms(200);
	job_hold();
	thread_stop = 1;
	CHECK(!pthread_join(t, NULL));
	/* Orphans are init's. */
}

enum { EXIT = 28, TASK_USAGE = 31, EXIT_OWN = 16, GONE = 80, RUNTIME = 240, GONE_RUNTIME = 248 };

/*
 * Sums of CPU time that come round, to 0 for one, by which the kernel would divide
 * when it is asked. With each: the record, its number, and two fields that are set.
 */
INIT_TEST(time_that_comes_round, users_of_time)
{
	static const struct {
		int kind, nth, at;
		uint64_t value;
		int more_nth, more_at;
		uint64_t more;
	} change[] = {
		/* In one record. */
		{ EXIT, 0, EXIT_OWN, 1ULL << 63, 0, EXIT_OWN + 8, 1ULL << 63 },
		{ EXIT, 1, EXIT_OWN, INT64_MAX, 1, EXIT_OWN + 8, INT64_MAX },
		{ EXIT, 1, EXIT_OWN, INT64_MAX, 1, EXIT_OWN + 8, 1 },
		{ TASK_USAGE, 0, 0, INT64_MAX, 0, 8, INT64_MAX },
		{ TASK_USAGE, 1, GONE, INT64_MAX, 1, GONE + 8, 1 },
		/* In a process: the first two tasks are threads of one. */
		{ TASK_USAGE, 0, 0, 1ULL << 62, 1, 0, 1ULL << 62 },
		{ TASK_USAGE, 0, GONE, 1ULL << 62, 1, 8, 1ULL << 62 },
		{ TASK_USAGE, 0, RUNTIME, 1ULL << 62, 1, RUNTIME, 1ULL << 62 },
		{ TASK_USAGE, 0, GONE_RUNTIME, INT64_MAX, 1, RUNTIME, INT64_MAX },
	};
	struct image im = load(run);

	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]) && !run->verdict; i++) {
		unsigned char *a = record(&im, change[i].kind, change[i].nth);
		unsigned char *b = record(&im, change[i].kind, change[i].more_nth);
		uint64_t was[2];
		int fd;

		if (!WANT(a && b))
			return;
		was[0] = get64(a + change[i].at);
		was[1] = get64(b + change[i].more_at);
		put64(a + change[i].at, change[i].value);
		put64(b + change[i].more_at, change[i].more);
		seal(&im);
		fd = scratch_file(im.b, im.len);
		if (!WANT_ERR(try_restart(fd), EINVAL))
			run_say(run, "change %zu\n", i);
		close(fd);
		put64(a + change[i].at, was[0]);
		put64(b + change[i].more_at, was[1]);
	}
	if (run->verdict)
		return;
	/* As much as can be. */
	for (int nth = 0; nth < 2; nth++)
		put64(record(&im, EXIT, nth) + EXIT_OWN, INT64_MAX / 2);
	put64(record(&im, TASK_USAGE, 0) + GONE, INT64_MAX / 2);
	seal(&im);
	WANT_ERR(try_restart(scratch_file(im.b, im.len)), 0);
	job_finish(run);
}

SCENARIO(timer_for_a_thread_that_is_gone, .refused = "\"kind\":\"posix-timers\"")
{
	pthread_t t;
	int tid, id;

	NEED(!pthread_create(&t, NULL, thread, NULL));
	NEED(comes(&thread_tid, 1));
	tid = thread_tid;
	id = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN, 1, tid);
	set(id, 0, 1000 * NS, 0);
	thread_stop = 1;
	NEED(!pthread_join(t, NULL));
	/* It may be a moment until its number is free. */
	while (!syscall(SYS_tgkill, getpid(), tid, 0))
		sleep_ms(1);
	job_hold();
	CHECK(left(id, NULL) > 900 * NS);
}

SCENARIO(timer_of_a_process_that_is_gone, .refused = "\"kind\":\"posix-timers\"")
{
	clockid_t clock;
	pid_t child = fork();
	int id;

	if (!child) {
		pause();
		_exit(0);
	}
	NEED(child > 0 && !clock_getcpuclockid(child, &clock));
	id = create(clock, SIGEV_SIGNAL, SIGRTMIN, 4, 0);
	set(id, 0, 1000 * NS, 0);
	kill(child, SIGKILL);
	NEED(waitpid(child, NULL, 0) == child);
	job_hold();
	CHECK_EQ(left(id, NULL), 0);
}

TEST_HARNESS_MAIN
