// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls that wait: stopped in the middle they come back as if nothing
 * had happened, no earlier and no later than they would have, and never with
 * an EINTR that no signal handler explains. Time stands still for a job that
 * is not there: what was left of a relative time-out is left after a restart.
 */
#include "ckpt_harness.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifdef __i386__
#ifndef SYS_futex_time64
#define SYS_futex_time64 422
#endif
#define FUTEX	SYS_futex_time64
#else
#define FUTEX	SYS_futex
#endif
struct timespec64 {
	int64_t sec, nsec;
};

#define WAIT_S		0.8	/* what is waited for */
#define DEAD_MS		700	/* and how long nobody is there */

static double started;

/* Waited for @seconds of its life, by a clock that ran on while it was dead. */
static void waited(double seconds)
{
	double took = seconds_now() - started - job.dead_ms / 1e3;

	if (took < seconds - 0.005 || took > seconds + 4) {
		job.failed = 1;
		job_say("took %.3f s instead of %.3f, without %d ms in which it was dead\n",
			took, seconds, job.dead_ms);
	}
}

static void ready(void)
{
	started = seconds_now();
	job_waits();
}

static struct timespec ts(double seconds)
{
	return (struct timespec){ seconds, (seconds - (long)seconds) * 1e9 };
}

/* A signal, with a handler, when init lets the job go on. */
static volatile int signalled;

static void on_signal(int sig)
{
	(void)sig;
	signalled++;
}

static void handle(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
}

static void later(struct run *run)
{
	sleep_ms(100);
	kill(run->pid, SIGUSR1);
}

SCENARIO(nanosleep, .dead_ms = DEAD_MS)
{
	struct timespec t = ts(WAIT_S), left;

	ready();
	CHECK_EQ(nanosleep(&t, &left), 0);
	waited(WAIT_S);
}

SCENARIO(clock_nanosleep, .dead_ms = DEAD_MS)
{
	struct timespec t = ts(WAIT_S);

	ready();
	CHECK_EQ(clock_nanosleep(CLOCK_BOOTTIME, 0, &t, NULL), 0);
	waited(WAIT_S);
}

/* Until a moment: it does not move. */
SCENARIO(clock_nanosleep_absolute, .dead_ms = DEAD_MS)
{
	struct timespec t;
	double end;

	started = seconds_now();
	end = started + 2.5;
	t = ts(end);
	job_waits();
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	CHECK(seconds_now() >= end);
	CHECK(seconds_now() < end + 1);
}

/* By the time of its own process, which somebody has to use up. */
static int spin(void *arg)
{
	(void)arg;
	while (!job.word[0])
		;
	return 0;
}

SCENARIO(clock_nanosleep_cpu, .tasks = 2, .dead_ms = DEAD_MS, .moving = true)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct timespec t = ts(WAIT_S), from, to;
	double used;

	NEED(clone(spin, stack + sizeof(stack), CLONE_VM | CLONE_FS | CLONE_FILES |
		   CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL) > 0);
	CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from));
	job_waits();
	CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &t, NULL), 0);
	CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to));
	job.word[0] = 1;
	used = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
	if (used < WAIT_S || used > WAIT_S + 2) {
		job.failed = 1;
		job_say("used %.3f s instead of %.3f\n", used, WAIT_S);
	}
}

SCENARIO(poll, .dead_ms = DEAD_MS)
{
	ready();
	CHECK_EQ(poll(NULL, 0, WAIT_S * 1000), 0);
	waited(WAIT_S);
}

SCENARIO(ppoll, .dead_ms = DEAD_MS)
{
	struct timespec t = ts(WAIT_S);
	sigset_t set;

	sigfillset(&set);
	ready();
	CHECK_EQ(ppoll(NULL, 0, &t, &set), 0);
	waited(WAIT_S);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK(!sigismember(&set, SIGUSR1));
}

SCENARIO(select, .dead_ms = DEAD_MS)
{
	struct timeval t = { 0, WAIT_S * 1e6 };

	ready();
	CHECK_EQ(select(0, NULL, NULL, NULL, &t), 0);
	waited(WAIT_S);
}

SCENARIO(pselect, .dead_ms = DEAD_MS)
{
	struct timespec t = ts(WAIT_S);

	ready();
	CHECK_EQ(pselect(0, NULL, NULL, NULL, &t, NULL), 0);
	waited(WAIT_S);
}

/* What is left can't be written, and so is not read again. */
static void *sealed(const void *from, size_t len)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(page != MAP_FAILED);
	memcpy(page, from, len);
	NEED(!mprotect(page, 4096, PROT_READ));
	return page;
}

SCENARIO(select_sealed, .dead_ms = DEAD_MS)
{
	struct timeval t = { 0, WAIT_S * 1e6 };

	ready();
#ifdef __i386__
	CHECK_EQ(syscall(SYS__newselect, 0, NULL, NULL, NULL, sealed(&t, sizeof(t))), 0);
#else
	CHECK_EQ(syscall(SYS_select, 0, NULL, NULL, NULL, sealed(&t, sizeof(t))), 0);
#endif
	waited(WAIT_S);
}

/* With a mask for the wait, which is not there after it. */
SCENARIO(pselect_sealed, .dead_ms = DEAD_MS)
{
	struct timespec64 t = { 2, 0 };	/* the mask is compared meanwhile */
	uint64_t mask = 1ULL << (SIGUSR2 - 1);
	struct {
		unsigned long set, size;
	} arg = { (unsigned long)&mask, 8 };
	sigset_t set;

	ready();
#ifdef __i386__
	CHECK_EQ(syscall(413, 0, NULL, NULL, NULL, sealed(&t, sizeof(t)), &arg), 0);
#else
	CHECK_EQ(syscall(SYS_pselect6, 0, NULL, NULL, NULL, sealed(&t, sizeof(t)), &arg), 0);
#endif
	waited(2);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK(!sigismember(&set, SIGUSR2));
}

/* The time-out that is left is told when a handler runs, and not before. */
SCENARIO(select_after_handler, .dead_ms = DEAD_MS, .release = later)
{
	struct timeval t = { 5, 0 };

	handle(SA_RESTART);
	job_waits();
	CHECK(select(0, NULL, NULL, NULL, &t) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

static void time_out(int fd, int name)
{
	struct timeval t = { 0, WAIT_S * 1e6 };

	NEED(!setsockopt(fd, SOL_SOCKET, name, &t, sizeof(t)));
}

SCENARIO(recv, .dead_ms = DEAD_MS)
{
	int s[2];
	char c;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	time_out(s[0], SO_RCVTIMEO);
	ready();
	CHECK(recv(s[0], &c, 1, 0) < 0 && errno == EAGAIN);
	waited(WAIT_S);
}

SCENARIO(read_socket, .dead_ms = DEAD_MS)
{
	int s[2];
	char c;

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	time_out(s[0], SO_RCVTIMEO);
	ready();
	CHECK(read(s[0], &c, 1) < 0 && errno == EAGAIN);
	waited(WAIT_S);
}

SCENARIO(send, .dead_ms = DEAD_MS)
{
	char text[1024] = "";
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	while (send(s[0], text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	NEED(errno == EAGAIN);
	time_out(s[0], SO_SNDTIMEO);
	ready();
	CHECK(send(s[0], text, sizeof(text), 0) < 0 && errno == EAGAIN);
	waited(WAIT_S);
}

/* A handler that asks for a restart does not get one: that is for no time-out. */
SCENARIO(recv_after_handler, .dead_ms = DEAD_MS, .release = later)
{
	struct timeval t = { 5, 0 };
	int s[2];
	char c;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	NEED(!setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	handle(SA_RESTART);
	job_waits();
	CHECK(recv(s[0], &c, 1, 0) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

static volatile unsigned int word;

SCENARIO(futex, .dead_ms = DEAD_MS)
{
	struct timespec64 t = { 0, WAIT_S * 1e9 };

	ready();
	CHECK(syscall(FUTEX, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0) < 0 &&
	      errno == ETIMEDOUT);
	waited(WAIT_S);
}

SCENARIO(futex_bitset_absolute, .dead_ms = DEAD_MS)
{
	double end;
	struct timespec64 t;

	started = seconds_now();
	end = started + 2.5;
	t = (struct timespec64){ end, (end - (long)end) * 1e9 };
	job_waits();
	CHECK(syscall(FUTEX, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, 3) < 0 && errno == ETIMEDOUT);
	/* The kernel keeps no more of it than what was left. */
	CHECK(seconds_now() >= end && seconds_now() < end + 1 + job.dead_ms / 1e3);
}

/* Without a time-out, until a signal has a handler that ran. */
SCENARIO(futex_forever, .release = later)
{
	handle(0);
	job_waits();
	CHECK(syscall(FUTEX, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

SCENARIO(pause, .release = later)
{
	handle(SA_RESTART);
	job_waits();
	CHECK(pause() < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

SCENARIO(sigsuspend, .release = later)
{
	sigset_t set, now;

	handle(0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
	sigfillset(&set);
	sigdelset(&set, SIGUSR1);
	job_waits();
	CHECK(sigsuspend(&set) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
	/* The mask of before is back. */
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2) &&
	      !sigismember(&now, SIGHUP));
}

SCENARIO(sigtimedwait, .dead_ms = DEAD_MS)
{
	struct timespec t = ts(WAIT_S);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
	ready();
	CHECK(sigtimedwait(&set, NULL, &t) < 0 && errno == EAGAIN);
	waited(WAIT_S);
}

SCENARIO(sigwait, .release = later)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
	job_waits();
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	CHECK_EQ(info.si_pid, 1);
}

/* System V: the objects are the namespace's, which is there all the time. */
SCENARIO(semop, .dead_ms = DEAD_MS)
{
	struct sembuf op = { 0, -1, 0 };
	struct timespec t = ts(WAIT_S);
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0)
		JOB_SKIP("no System V semaphores");
	ready();
	CHECK(semtimedop(id, &op, 1, &t) < 0 && errno == EAGAIN);
	waited(WAIT_S);
	CHECK(!semctl(id, 0, IPC_RMID));
}

SCENARIO(semop_forever, .release = later)
{
	struct sembuf op = { 0, -1, 0 };
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0)
		JOB_SKIP("no System V semaphores");
	handle(SA_RESTART);	/* is not for this call */
	job_waits();
	CHECK(semop(id, &op, 1) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
	CHECK(!semctl(id, 0, IPC_RMID));
}

/* A refusal is not noticed, either; with a mask for the wait, and without. */
SCENARIO(epoll, .refused = "epoll")
{
	struct epoll_event event;
	sigset_t set;
	int fd = epoll_create1(0);

	NEED(fd >= 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ready();
	CHECK_EQ(epoll_pwait(fd, &event, 1, 2000, &set), 0);
	waited(2);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK(!sigismember(&set, SIGUSR2));
}

SCENARIO(epoll_forever, .refused = "epoll", .release = later)
{
	struct epoll_event event;
	int fd = epoll_create1(0);

	NEED(fd >= 0);
	handle(SA_RESTART);	/* is not for this call */
	job_waits();
	CHECK(epoll_wait(fd, &event, 1, -1) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

SCENARIO(msgrcv, .release = later)
{
	struct { long type; char text[8]; } m;
	int id = msgget(IPC_PRIVATE, 0600);

	if (id < 0)
		JOB_SKIP("no System V messages");
	handle(SA_RESTART);
	job_waits();
	CHECK(msgrcv(id, &m, sizeof(m.text), 0, 0) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
	CHECK(!msgctl(id, IPC_RMID, NULL));
}

/* A handler that asks for a restart gets one, with the time that was left. */
SCENARIO(poll_after_handler, .dead_ms = DEAD_MS, .release = later)
{
	handle(SA_RESTART);
	job_waits();
	CHECK(poll(NULL, 0, 5000) < 0 && errno == EINTR);
	CHECK_EQ(signalled, 1);
}

/* Over and over, so that it is met at every point of the way. */
SCENARIO(short_naps)
{
	long n = 0;

	job_waits();
	while (job.hold) {
		struct timespec t = { 0, 50000 };

		CHECK_EQ(nanosleep(&t, NULL), 0);
		CHECK_EQ(poll(NULL, 0, 0), 0);
		CHECK_EQ(getppid(), 1);
		n++;
	}
	CHECK(n > 0);
}

/*
 * Reading and writing: never short, never EINTR. The job goes on writing when it
 * has been saved, so what it left is not what a restart finds.
 */
SCENARIO(busy_file, .restart_errno = ESTALE, .restart_refused = "/f\"",
	 .any_pid = true)
{
	char buf[4096], got[4096];
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0);
	job_waits();
	for (uint64_t n = 0; job.hold; n++) {
		fill(buf, sizeof(buf), n);
		if (!CHECK_EQ(pwrite(fd, buf, sizeof(buf), n % 64 * 4096), 4096) ||
		    !CHECK_EQ(pread(fd, got, sizeof(got), n % 64 * 4096), 4096) ||
		    !CHECK(!memcmp(buf, got, sizeof(buf))))
			break;
	}
}

/* Position and content of a file that the job is writing all the time. */
SCENARIO(busy_append, .moving = true, .restart_errno = ESTALE, .restart_refused = "/f\"",
	 .any_pid = true)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	long long n = 0;

	NEED(fd >= 0);
	job_waits();
	while (job.hold && n < 2000000) {
		if (!CHECK_EQ(write(fd, &(char){ n }, 1), 1))
			break;
		n++;
		if (!CHECK_EQ(lseek(fd, 0, SEEK_CUR), n))
			break;
	}
}

TEST_HARNESS_MAIN
