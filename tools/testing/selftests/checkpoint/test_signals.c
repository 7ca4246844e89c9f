// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals: dispositions, masks, what is pending, alternate stacks, handlers
 * that are running, and stopped jobs.
 */
#include "ckpt_harness.h"

#include <sys/syscall.h>
#include <ucontext.h>

static volatile int count, order[16], value[16], code[16];

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	(void)ctx;
	if (count < 16) {
		order[count] = sig;
		value[count] = info->si_value.sival_int;
		code[count] = info->si_code;
	}
	count++;
}

static void catch(int sig, int flags)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };

	sigemptyset(&sa.sa_mask);
	NEED(!sigaction(sig, &sa, NULL));
}

static void block(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
}

static void unblock_all(void)
{
	sigset_t set;

	sigemptyset(&set);
	CHECK(!sigprocmask(SIG_SETMASK, &set, NULL));
}

/* As the kernel has it, restorer and all. */
struct ksigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

SCENARIO(dispositions)
{
	struct ksigaction was[65], now[65];

	memset(was, 0, sizeof(was));
	memset(now, 0, sizeof(now));
	for (int sig = 1; sig <= 64; sig++) {
		struct ksigaction sa = { 0 };

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		sa.handler = sig % 3 == 0 ? (void *)SIG_IGN : sig % 3 == 1 ? (void *)on_signal :
			     (void *)SIG_DFL;
		if (sig % 3 == 1) {
			sa.flags = (sig & 1 ? SA_SIGINFO : 0) | (sig & 2 ? SA_RESTART : 0) |
				   (sig & 4 ? SA_NODEFER : 0) | (sig & 8 ? SA_ONSTACK : 0) |
				   (sig & 16 ? SA_RESETHAND : 0) | 0x04000000 | SA_NOCLDSTOP;
			sa.restorer = (void *)(0x400000UL + sig);
			sa.mask = 0x5a5a5a5a5a5a5a5aULL ^ sig;
			sa.mask &= ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1));
		}
		NEED(!syscall(SYS_rt_sigaction, sig, &sa, NULL, 8));
	}
	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, NULL, &was[sig], 8);
	job_hold();
	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, NULL, &now[sig], 8);
	CHECK(!memcmp(was, now, sizeof(was)));
}

SCENARIO(handler_works)
{
	catch(SIGUSR1, SA_RESTART);
	job_hold();
	raise(SIGUSR1);
	CHECK_EQ(count, 1);
	CHECK_EQ(order[0], SIGUSR1);
}

SCENARIO(mask)
{
	sigset_t was, now;

	sigfillset(&was);
	sigdelset(&was, SIGUSR2);
	sigdelset(&was, SIGRTMIN + 3);
	NEED(!sigprocmask(SIG_SETMASK, &was, NULL));
	NEED(!sigprocmask(SIG_SETMASK, NULL, &was));
	job_hold();
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK(!memcmp(&was, &now, 8));
}

/* All that comes with them: order, sender, value. */
SCENARIO(pending)
{
	int seen[32] = { 0 };
	union sigval v;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < 3; i++) {
		catch(SIGRTMIN + i, 0);
		block(SIGRTMIN + i);
		sigaddset(&set, SIGRTMIN + i);
	}
	catch(SIGUSR1, 0);
	block(SIGUSR1);
	/* Later ones of the lower number come first; of one number, as sent. */
	for (int i = 0; i < 3; i++) {
		v.sival_int = 10 + i;
		NEED(!sigqueue(getpid(), SIGRTMIN + 2, v));
	}
	for (int i = 0; i < 3; i++) {
		v.sival_int = 20 + i;
		NEED(!sigqueue(getpid(), SIGRTMIN, v));
	}
	NEED(!kill(getpid(), SIGUSR1));
	NEED(!kill(getpid(), SIGUSR1));
	job_hold();
	CHECK(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == 20 &&
	      info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_uid == 0);
	CHECK_EQ(count, 0);
	unblock_all();
	CHECK_EQ(count, 6);
	for (int i = 0; i < 6; i++) {
		seen[order[i] == SIGUSR1 ? 0 : value[i]]++;
		CHECK_EQ(code[i], order[i] == SIGUSR1 ? SI_USER : SI_QUEUE);
	}
	CHECK(seen[0] == 1 && seen[10] == 1 && seen[11] == 1 && seen[12] == 1 &&
	      seen[21] == 1 && seen[22] == 1);
}

static int pick(int sig, int *val)
{
	struct timespec zero = { 0 };
	siginfo_t info;
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, sig);
	got = sigtimedwait(&set, &info, &zero);
	if (got == sig)
		*val = info.si_value.sival_int;
	return got;
}

/* Signals that bring their numbers, and no more of them. */
static void queue_numbered(int n)
{
	union sigval v;

	block(SIGRTMIN + 5);
	for (int i = 0; i < n; i++) {
		v.sival_int = i;
		NEED(!sigqueue(getpid(), SIGRTMIN + 5, v));
	}
}

static void take_numbered(int n)
{
	int got = 0;

	for (int i = 0; i < n; i++) {
		CHECK_EQ(pick(SIGRTMIN + 5, &got), SIGRTMIN + 5);
		if (!CHECK_EQ(got, i))
			break;
	}
	CHECK(pick(SIGRTMIN + 5, &got) < 0 && errno == EAGAIN);
}

SCENARIO(pending_order)
{
	queue_numbered(50);
	job_hold();
	take_numbered(50);
}

/* More than could be queued again: the limit came later. */
SCENARIO(pending_above_limit)
{
	struct rlimit few = { 2, 2 }, now;

	queue_numbered(8);
	NEED(!setrlimit(RLIMIT_SIGPENDING, &few));
	job_hold();
	CHECK(!getrlimit(RLIMIT_SIGPENDING, &now) && now.rlim_cur == 2 && now.rlim_max == 2);
	take_numbered(8);
}

static void leave_little_room(struct run *run)
{
	struct rlimit few = { 4, 4 };

	WANT(!setrlimit(RLIMIT_SIGPENDING, &few));
	WANT(drop_cap(CAP_SYS_RESOURCE));
}

/* Without room a signal would come without its value, and several would be one. */
SCENARIO(pending_without_room, .dead = leave_little_room, .restart_errno = EAGAIN,
	 .restart_refused = "\"kind\":\"signal\"")
{
	struct rlimit few = { 2, 2 };

	queue_numbered(8);
	NEED(!setrlimit(RLIMIT_SIGPENDING, &few) && drop_cap(CAP_SYS_RESOURCE));
	job_hold();
}

/* To the thread and to the process: two queues. */
SCENARIO(pending_for_thread)
{
	char *text, *p;
	int v;

	block(SIGUSR1);
	block(SIGUSR2);
	NEED(!syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
	NEED(!kill(getpid(), SIGUSR2));
	job_hold();
	text = proc_read("/proc/self/status", NULL);
	p = text ? strstr(text, "SigPnd:") : NULL;
	CHECK(p && strtoull(p + 7, NULL, 16) == 1ULL << (SIGUSR1 - 1));
	p = text ? strstr(text, "ShdPnd:") : NULL;
	CHECK(p && strtoull(p + 7, NULL, 16) == 1ULL << (SIGUSR2 - 1));
	CHECK_EQ(pick(SIGUSR1, &v), SIGUSR1);
	CHECK_EQ(pick(SIGUSR2, &v), SIGUSR2);
}

/* What a program makes up itself has to be the same to the last byte. */
SCENARIO(pending_forged)
{
	struct timespec zero = { 0 };
	siginfo_t sent, got;
	sigset_t set;

	block(SIGRTMIN + 1);
	memset(&sent, 0, sizeof(sent));
	sent.si_signo = SIGRTMIN + 1;
	sent.si_code = -7;
	sent.si_pid = 1234;
	sent.si_uid = 5678;
	sent.si_value.sival_ptr = (void *)0x76543210UL;
	NEED(!syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN + 1, &sent));
	job_hold();
	memset(&got, 0, sizeof(got));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigtimedwait(&set, &got, &zero), SIGRTMIN + 1);
	CHECK_EQ(got.si_code, -7);
	CHECK_EQ(got.si_pid, 1234);
	CHECK_EQ(got.si_uid, 5678);
	CHECK(got.si_value.sival_ptr == (void *)0x76543210UL);
}

/* From init, by kill(2): si_pid is init's. */
static void send_usr1(struct run *run)
{
	kill(run->pid, SIGUSR1);
}

SCENARIO(pending_from_init, .before = send_usr1, .no_plain = true)
{
	struct timespec zero = { 0 };
	siginfo_t info;
	sigset_t set;

	block(SIGUSR1);
	job_hold();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigtimedwait(&set, &info, &zero), SIGUSR1);
	CHECK_EQ(info.si_pid, 1);
	CHECK_EQ(info.si_code, SI_USER);
}

static char altstack[65536] __attribute__((aligned(64)));

static volatile long on_stack;

static void where(int sig)
{
	char here;

	(void)sig;
	on_stack = &here >= altstack && &here < altstack + sizeof(altstack);
}

SCENARIO(alternate_stack)
{
	stack_t s = { .ss_sp = altstack, .ss_size = sizeof(altstack) }, now;
	struct sigaction sa = { .sa_handler = where, .sa_flags = SA_ONSTACK };

	NEED(!sigaltstack(&s, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	job_hold();
	CHECK(!sigaltstack(NULL, &now));
	CHECK(now.ss_sp == altstack && now.ss_size == sizeof(altstack));
	CHECK_EQ(now.ss_flags, 0);
	raise(SIGUSR1);
	CHECK_EQ(on_stack, 1);
}

SCENARIO(alternate_stack_autodisarm)
{
	stack_t s = { .ss_sp = altstack, .ss_size = sizeof(altstack), .ss_flags = 1U << 31 }, now;

	NEED(!sigaltstack(&s, NULL));
	job_hold();
	CHECK(!sigaltstack(NULL, &now));
	CHECK_EQ((unsigned int)now.ss_flags, 1U << 31);
}

/* Stopped inside a handler, on the alternate stack, its signal blocked. */
static void holding(int sig)
{
	char here;
	stack_t now;

	(void)sig;
	job_hold();
	on_stack = &here >= altstack && &here < altstack + sizeof(altstack);
	CHECK(!sigaltstack(NULL, &now));
	CHECK(now.ss_flags & SS_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(count, 0);
}

SCENARIO(inside_handler)
{
	stack_t s = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
	struct sigaction sa = { .sa_handler = holding, .sa_flags = SA_ONSTACK };
	double f = 1.0 / 3;

	catch(SIGUSR1, 0);
	NEED(!sigaltstack(&s, NULL));
	sigaddset(&sa.sa_mask, SIGUSR1);
	NEED(!sigaction(SIGUSR2, &sa, NULL));
	raise(SIGUSR2);
	CHECK_EQ(on_stack, 1);
	CHECK_EQ(count, 1);
	CHECK(f * 3 == 1.0);
}

SCENARIO(ignored)
{
	signal(SIGUSR1, SIG_IGN);
	block(SIGUSR1);
	job_hold();
	raise(SIGUSR1);
	unblock_all();
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

static void stop_it(struct run *run)
{
	siginfo_t info;

	kill(run->pid, SIGSTOP);
	if (waitid(P_PID, run->pid, &info, WSTOPPED | WNOWAIT) || info.si_status != SIGSTOP)
		run_fail(run, "the job did not stop\n");
}

static void is_stopped(struct run *run)
{
	char path[64], *text;

	snprintf(path, sizeof(path), "/proc/%d/stat", run->pid);
	text = proc_read(path, NULL);
	if (!text || !strstr(text, ") T "))
		run_fail(run, "the job is not stopped: %s\n", text ?: "");
	free(text);
	/* Told once that it has stopped, a parent is not told again. */
	sleep_ms(30);
}

static void cont(struct run *run)
{
	kill(run->pid, SIGCONT);
}

SCENARIO(stopped, .before = stop_it, .after = is_stopped, .release = cont, .no_plain = true)
{
	catch(SIGCONT, 0);
	job_hold();
	CHECK_EQ(count, 1);
	CHECK_EQ(order[0], SIGCONT);
}

/* Stopped, with another signal waiting for it to go on. */
static void stop_and_send(struct run *run)
{
	stop_it(run);
	kill(run->pid, SIGUSR1);
}

SCENARIO(stopped_with_signal, .before = stop_and_send, .after = is_stopped, .release = cont,
	 .no_plain = true)
{
	catch(SIGUSR1, SA_RESTART);
	job_hold();
	CHECK_EQ(count, 1);
	CHECK_EQ(order[0], SIGUSR1);
}

/* After the restart a signal that is not blocked has been dealt with once. */
static void usr1_now(struct run *run)
{
	kill(run->pid, SIGUSR1);
}

SCENARIO(signal_after, .release = usr1_now)
{
	double until;

	catch(SIGUSR1, SA_RESTART);
	job_hold();
	until = seconds_now() + 5;
	while (!count && seconds_now() < until)
		sleep_ms(1);
	CHECK_EQ(count, 1);
	CHECK_EQ(code[0], SI_USER);
}

SCENARIO(parent_death_signal)
{
	int sig = 0;

	NEED(!prctl(PR_SET_PDEATHSIG, SIGUSR2));
	job_hold();
	CHECK(!prctl(PR_GET_PDEATHSIG, &sig));
	CHECK_EQ(sig, SIGUSR2);
}

SCENARIO(ends_by_signal, .ends = true, .end_status = SIGUSR2)
{
	job_hold();
	raise(SIGUSR2);
}

SCENARIO(ends_with_status, .ends = true, .end_status = 17 << 8)
{
	job_hold();
	_exit(17);
}

TEST_HARNESS_MAIN
