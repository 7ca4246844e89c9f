// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that wait, while their job is saved a hundred times a second: none may
 * notice. A job has a process for each call, which makes it again and again. Init
 * first lets it alone, to see how late each call is by itself; then it saves it
 * as often as it can for CKPT_HAMMER_MS. No call may end with EINTR, or early; or
 * later than 10 ms, what it was late by itself, and twice the time of the longest
 * freeze, or by which a process was late that did no more than sleep until a time:
 * a call may have to end while its job stands still, and the job may be stopped
 * again before the process has got a CPU.
 *
 * A job of so many processes can't be saved a hundred times a second on every machine:
 * it is left to run for as long as it was stopped, as a machine with few CPUs else has
 * processes that get none between two checkpoints, whatever they have called.
 *
 * With CKPT_HAMMER_ONE=1 there is a job for each call, which beside it has only the
 * process that sleeps until a time, and is saved as often as the machine can.
 *
 * Half of the jobs can't be saved. That they were tried to be must not show, either.
 */
#define INIT_LIMIT 900
#include "ckpt_harness.h"

#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#ifdef __i386__
#define NR_FUTEX	422
#define NR_PSELECT	413
#define NR_PPOLL	414
#define NR_PGETEVENTS	416
#define NR_RECVMMSG	417
#define NR_SELECT	142
#else
#define NR_FUTEX	SYS_futex
#define NR_PSELECT	SYS_pselect6
#define NR_PPOLL	SYS_ppoll
#define NR_PGETEVENTS	333
#define NR_RECVMMSG	SYS_recvmmsg
#define NR_SELECT	SYS_select
#endif
#define NR_EPOLL_PWAIT2	441
#define NR_FUTEX_WAITV	449

#define MS		1000000LL
#define SLACK		(10 * MS)
#define GRAIN		50000		/* of clocks, ns */
#define MAX_CALLS	24
#define LIMIT_MS	15000LL		/* for what is late to come back */

struct ts64 {
	int64_t sec, nsec;
};

enum { ALONE, HAMMERED, OVER };

/* What a process says of the call that it makes; all is shared by the job. */
struct cell {
	volatile int calls[2];
	volatile int bad, error;	/* how many ended in another way, and the last errno */
	volatile int64_t late[2], early;
	char skipped[48];
};

struct board {
	volatile int phase, word, lock;
	int64_t long_ms;
	struct cell cells[MAX_CALLS];
};

static struct board *board;

struct call {
	const char *name;
	bool timed;
	int (*make)(int ms);		/* 0, an errno, or -1 */
	const char *(*prepare)(void);	/* why it can't be made */
	int (*then)(void);		/* what is looked at after it, in no time that counts */
	bool coarse;			/* its end is rounded up, by an eighth and a bit */
};

#define TIMED(name_, make_, prepare_, ...)				\
	{ .name = name_, .timed = true, .make = make_, .prepare = prepare_, __VA_ARGS__ }
#define COARSE(name_, make_, prepare_, ...)				\
	TIMED(name_, make_, prepare_, .coarse = true, __VA_ARGS__)
#define ENDLESS(name_, make_, prepare_)					\
	{ .name = name_, .make = make_, .prepare = prepare_ }

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static struct timespec span(int64_t ms)
{
	return (struct timespec){ ms / 1000, ms % 1000 * MS };
}

static struct timespec at(clockid_t clock, int64_t ms)
{
	int64_t ns = now_ns(clock) + ms * MS;

	return (struct timespec){ ns / (1000 * MS), ns % (1000 * MS) };
}

static struct ts64 span64(int64_t ms)
{
	return (struct ts64){ ms / 1000, ms % 1000 * MS };
}

static struct ts64 at64(clockid_t clock, int64_t ms)
{
	int64_t ns = now_ns(clock) + ms * MS;

	return (struct ts64){ ns / (1000 * MS), ns % (1000 * MS) };
}

static int zero(long ret)
{
	return !ret ? 0 : ret < 0 ? errno : -1;
}

static int gives(int want, long ret)
{
	return ret >= 0 ? -1 : errno == want ? 0 : errno;
}

/* A page that has @len bytes in it and can't be written to. */
static void *sealed(const void *from, size_t len)
{
	static void *page;

	if (!page)
		page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
	memcpy(page, from, len);
	mprotect(page, 4096, PROT_READ);
	return page;
}

/* Dies of restart_syscall(2), which is not a call that it makes. */
static const char *confine(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ? "no seccomp" : NULL;
}

/* The measure of all others. */
static int until_a_time(int ms)
{
	struct timespec t = at(CLOCK_MONOTONIC, ms);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Sleeping, and waiting for signals and System V semaphores. */

static int sleep_plain(int ms)
{
	struct timespec t = span(ms);

	return zero(nanosleep(&t, NULL));
}

static int sleep_sealed(int ms)
{
	struct timespec t = span(ms);

	return zero(nanosleep(&t, sealed(&t, sizeof(t))));
}

static int sleep_realtime(int ms)
{
	struct timespec t = span(ms);

	return clock_nanosleep(CLOCK_REALTIME, 0, &t, &t);
}

static int sleep_boottime(int ms)
{
	struct timespec t = span(ms);

	return clock_nanosleep(CLOCK_BOOTTIME, 0, &t, &t);
}

static int sleep_until_realtime(int ms)
{
	struct timespec t = at(CLOCK_REALTIME, ms);

	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);
}

static int sleep_alarm(int ms)
{
	struct timespec t = span(ms);

	return clock_nanosleep(CLOCK_BOOTTIME_ALARM, 0, &t, &t);
}

static const char *have_alarm(void)
{
	struct timespec t = { 0, 1 };

	return clock_nanosleep(CLOCK_BOOTTIME_ALARM, 0, &t, &t) ? "no real-time clock" : NULL;
}

static sigset_t usr1(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return set;
}

static int for_signal(int ms)
{
	struct timespec t = span(ms);
	sigset_t set = usr1();

	return gives(EAGAIN, ms ? sigtimedwait(&set, NULL, &t) : sigwaitinfo(&set, NULL));
}

static int sem = -1, queue = -1;

static const char *have_sem(void)
{
	sem = semget(IPC_PRIVATE, 1, 0600);
	return sem < 0 ? "no semaphores" : NULL;
}

static int for_sem(int ms)
{
	struct sembuf op = { 0, -1, 0 };
	struct timespec t = span(ms);

	return gives(EAGAIN, ms ? semtimedop(sem, &op, 1, &t) : semop(sem, &op, 1));
}

static int for_any_signal(int ms)
{
	(void)ms;
	return zero(pause());
}

static int suspended(int ms)
{
	sigset_t set;

	(void)ms;
	sigfillset(&set);
	return zero(sigsuspend(&set));
}

static const struct call sleeps[] = {
	TIMED("until", until_a_time, NULL),
	TIMED("nanosleep", sleep_plain, NULL),
	TIMED("nanosleep-sealed", sleep_sealed, NULL),
	TIMED("clock_nanosleep-realtime", sleep_realtime, NULL),
	TIMED("clock_nanosleep-boottime", sleep_boottime, NULL),
	TIMED("clock_nanosleep-absolute", sleep_until_realtime, NULL),
	TIMED("clock_nanosleep-alarm", sleep_alarm, have_alarm),
	TIMED("nanosleep-confined", sleep_plain, confine),
	TIMED("sigtimedwait", for_signal, NULL),
	TIMED("semtimedop", for_sem, have_sem),
	ENDLESS("sigwaitinfo", for_signal, NULL),
	ENDLESS("semop", for_sem, have_sem),
	ENDLESS("pause", for_any_signal, NULL),
	ENDLESS("sigsuspend", suspended, NULL),
	{ }
};

/* poll(2), select(2) and their like. */

static int polled(int ms)
{
	return zero(poll(NULL, 0, ms ?: -1));
}

static int ppolled(int ms)
{
	struct ts64 t = span64(ms);

	return zero(syscall(NR_PPOLL, NULL, 0, &t, NULL, 8));
}

static int ppolled_sealed(int ms)
{
	struct ts64 t = span64(ms);

	return zero(syscall(NR_PPOLL, NULL, 0, sealed(&t, sizeof(t)), NULL, 8));
}

static int selected(int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };
	int ret = zero(syscall(NR_SELECT, 0, NULL, NULL, NULL, ms ? &t : NULL));

	/* All of it was used. */
	return ret ? ret : t.tv_sec || t.tv_usec ? -1 : 0;
}

static int selected_sealed(int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	return zero(syscall(NR_SELECT, 0, NULL, NULL, NULL, sealed(&t, sizeof(t))));
}

static const char *stick(void)
{
	return personality(personality(~0UL) | STICKY_TIMEOUTS) < 0 ? "no personality" : NULL;
}

static int pselected(int ms)
{
	struct { unsigned long set, size; } arg;
	struct ts64 t = span64(ms);
	uint64_t mask = 1ULL << (SIGUSR2 - 1);
	sigset_t now;
	int ret;

	arg.set = (unsigned long)&mask;
	arg.size = 8;
	ret = zero(syscall(NR_PSELECT, 0, NULL, NULL, NULL, sealed(&t, sizeof(t)), &arg));
	/* The mask was for the wait. */
	sigprocmask(SIG_SETMASK, NULL, &now);
	return ret ? ret : sigismember(&now, SIGUSR2) ? -1 : 0;
}

#ifdef __i386__
static int old_selected(int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };
	unsigned long args[5] = { 0, 0, 0, 0, (unsigned long)&t };

	return zero(syscall(82, args));
}

static int pselected32(int ms)
{
	int32_t t[2] = { ms / 1000, ms % 1000 * MS };

	return zero(syscall(308, 0, NULL, NULL, NULL, t, NULL));
}

static int ppolled32(int ms)
{
	int32_t t[2] = { ms / 1000, ms % 1000 * MS };

	return zero(syscall(309, NULL, 0, t, NULL, 8));
}
#endif

static const struct call polls[] = {
	TIMED("until", until_a_time, NULL),
	TIMED("poll", polled, NULL),
	TIMED("ppoll", ppolled, NULL),
	TIMED("ppoll-sealed", ppolled_sealed, NULL),
	TIMED("select", selected, NULL),
	TIMED("select-sealed", selected_sealed, NULL),
	TIMED("select-sticky", selected_sealed, stick),
	TIMED("pselect", pselected, NULL),
	TIMED("pselect-confined", pselected, confine),
#ifdef __i386__
	TIMED("old_select", old_selected, NULL),
	TIMED("pselect-time32", pselected32, NULL),
	TIMED("ppoll-time32", ppolled32, NULL),
#endif
	ENDLESS("poll-forever", polled, NULL),
	ENDLESS("select-forever", selected, NULL),
	{ }
};

/* Futexes. */

static int futex_wait(int ms)
{
	struct ts64 t = span64(ms);

	return gives(ETIMEDOUT, syscall(NR_FUTEX, &board->word, FUTEX_WAIT, 0, ms ? &t : NULL,
					NULL, 0));
}

static int futex_until(int ms)
{
	struct ts64 t = at64(CLOCK_MONOTONIC, ms);

	return gives(ETIMEDOUT, syscall(NR_FUTEX, &board->word, FUTEX_WAIT_BITSET, 0, &t, NULL, 1));
}

static int futex_until_realtime(int ms)
{
	struct ts64 t = at64(CLOCK_REALTIME, ms);

	return gives(ETIMEDOUT, syscall(NR_FUTEX, &board->word,
					FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, 1));
}

static int futex_vector(int ms)
{
	struct { uint64_t val, addr; uint32_t flags, reserved; } v = { .flags = 2 };
	struct ts64 t = at64(CLOCK_MONOTONIC, ms);

	v.addr = (unsigned long)&board->word;
	return gives(ETIMEDOUT, syscall(NR_FUTEX_WAITV, &v, 1, 0, &t, CLOCK_MONOTONIC));
}

static const struct call futexes[] = {
	TIMED("until", until_a_time, NULL),
	TIMED("futex", futex_wait, NULL),
	TIMED("futex-absolute", futex_until, NULL),
	TIMED("futex-realtime", futex_until_realtime, NULL),
	TIMED("futex-confined", futex_wait, confine),
	TIMED("futex_waitv", futex_vector, NULL),
	ENDLESS("futex-forever", futex_wait, NULL),
	{ }
};

/* Pairs of sockets. */

static int ends[2];

static void time_out(int fd, int name, int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, name, &t, sizeof(t));
}

static const char *pair(int type)
{
	return socketpair(AF_UNIX, type, 0, ends) ? "no sockets" : NULL;
}

static const char *stream(void)
{
	return pair(SOCK_STREAM);
}

static const char *datagram(void)
{
	return pair(SOCK_DGRAM);
}

static const char *full(int type)
{
	static char text[1024];
	const char *why = pair(type);

	if (why)
		return why;
	while (send(ends[0], text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	return errno == EAGAIN ? NULL : "can't be filled";
}

static const char *full_stream(void)
{
	return full(SOCK_STREAM);
}

static const char *full_datagram(void)
{
	return full(SOCK_DGRAM);
}

static const char *confined_stream(void)
{
	return stream() ?: confine();
}

static char buf[64];
static struct iovec vec = { buf, sizeof(buf) };
static struct mmsghdr messages[2];

static int received(int ms)
{
	time_out(ends[0], SO_RCVTIMEO, ms);
	return gives(EAGAIN, recv(ends[0], buf, sizeof(buf), 0));
}

static int received_message(int ms)
{
	struct msghdr m = { .msg_iov = &vec, .msg_iovlen = 1 };

	time_out(ends[0], SO_RCVTIMEO, ms);
	return gives(EAGAIN, recvmsg(ends[0], &m, 0));
}

static int received_many(int ms)
{
	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vec, .msg_iovlen = 1 };
	time_out(ends[0], SO_RCVTIMEO, ms);
	return gives(EAGAIN, syscall(NR_RECVMMSG, ends[0], messages, 2, 0, NULL));
}

/*
 * One message is there, and the wait for a second may end when it is interrupted,
 * for the first is to be told of. That is all that is ever told.
 */
static int received_one(void)
{
	int ret;

	time_out(ends[0], SO_RCVTIMEO, 20);
	if (send(ends[1], buf, 1, 0) != 1)
		return errno;
	ret = syscall(NR_RECVMMSG, ends[0], messages, 2, 0, NULL);
	if (ret != 1)
		return ret < 0 ? errno : -1;
	return gives(EAGAIN, recv(ends[0], buf, sizeof(buf), MSG_DONTWAIT));
}

static int was_read(int ms)
{
	time_out(ends[0], SO_RCVTIMEO, ms);
	return gives(EAGAIN, read(ends[0], buf, sizeof(buf)));
}

static int sent(int ms)
{
	time_out(ends[0], SO_SNDTIMEO, ms);
	return gives(EAGAIN, send(ends[0], buf, sizeof(buf), 0));
}

static int written(int ms)
{
	time_out(ends[0], SO_SNDTIMEO, ms);
	return gives(EAGAIN, writev(ends[0], &vec, 1));
}

#ifdef __i386__
static int socketcalled(int ms)
{
	unsigned long args[4] = { ends[0], (unsigned long)buf, sizeof(buf), 0 };

	time_out(ends[0], SO_RCVTIMEO, ms);
	return gives(EAGAIN, syscall(SYS_socketcall, 10, args));
}
#endif

static const struct call sockets[] = {
	TIMED("until", until_a_time, NULL),
	COARSE("recv", received, stream),
	COARSE("recv-datagram", received, datagram),
	COARSE("recv-confined", received, confined_stream),
	COARSE("recvmsg", received_message, datagram),
	COARSE("recvmmsg", received_many, datagram, .then = received_one),
	COARSE("read-socket", was_read, stream),
	COARSE("send", sent, full_stream),
	COARSE("send-datagram", sent, full_datagram),
	COARSE("writev-socket", written, full_stream),
#ifdef __i386__
	COARSE("socketcall", socketcalled, stream),
#endif
	ENDLESS("recv-forever", received, stream),
	ENDLESS("send-forever", sent, full_datagram),
	{ }
};

/* What has no time-out: it does not come back at all. */

static int pipes[2];

static const char *empty_pipe(void)
{
	return pipe(pipes) ? "no pipe" : NULL;
}

static const char *full_pipe(void)
{
	char page[4096] = "";

	if (pipe2(pipes, O_NONBLOCK))
		return "no pipe";
	while (write(pipes[1], page, sizeof(page)) > 0)
		;
	fcntl(pipes[1], F_SETFL, 0);
	return NULL;
}

static int read_pipe(int ms)
{
	(void)ms;
	return zero(read(pipes[0], buf, 1));
}

static int write_pipe(int ms)
{
	(void)ms;
	return zero(write(pipes[1], buf, 1));
}

static int open_fifo(int ms)
{
	(void)ms;
	mkfifo("fifo", 0600);
	return open("fifo", O_RDONLY) < 0 ? errno : -1;
}

static struct { long type; char text[8]; } message = { .type = 1 };

static const char *empty_queue(void)
{
	queue = msgget(IPC_PRIVATE, 0600);
	return queue < 0 ? "no messages" : NULL;
}

static const char *full_queue(void)
{
	if (empty_queue())
		return "no messages";
	while (!msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT))
		;
	return NULL;
}

static int msg_received(int ms)
{
	(void)ms;
	return zero(msgrcv(queue, &message, sizeof(message.text), 0, 0));
}

static int msg_sent(int ms)
{
	(void)ms;
	return zero(msgsnd(queue, &message, sizeof(message.text), 0));
}

static const char *with_child(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return pid < 0 ? "no child" : NULL;
}

static int for_child(int ms)
{
	siginfo_t info;

	(void)ms;
	return zero(waitid(P_ALL, 0, &info, WEXITED));
}

static const struct call forever[] = {
	TIMED("until", until_a_time, NULL),
	ENDLESS("read-pipe", read_pipe, empty_pipe),
	ENDLESS("write-pipe", write_pipe, full_pipe),
	ENDLESS("open-fifo", open_fifo, NULL),
	ENDLESS("msgrcv", msg_received, empty_queue),
	ENDLESS("msgsnd", msg_sent, full_queue),
	ENDLESS("waitid", for_child, with_child),
	{ }
};

/* From here on, what is refused: files that are not saved. */

static int fd = -1;
static struct epoll_event event;

static const char *have_epoll(void)
{
	fd = epoll_create1(0);
	return fd < 0 ? "no epoll" : NULL;
}

static int epolled(int ms)
{
	return zero(epoll_wait(fd, &event, 1, ms ?: -1));
}

static int epolled_masked(int ms)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ret = zero(epoll_pwait(fd, &event, 1, ms, &set));
	sigprocmask(SIG_SETMASK, NULL, &set);
	return ret ? ret : sigismember(&set, SIGUSR2) ? -1 : 0;
}

static const char *confined_epoll(void)
{
	return have_epoll() ?: confine();
}

static int epolled2(int ms)
{
	struct ts64 t = span64(ms);

	return zero(syscall(NR_EPOLL_PWAIT2, fd, &event, 1, &t, NULL, 8));
}

static aio_context_t aio;

static const char *have_aio(void)
{
	return syscall(SYS_io_setup, 4, &aio) ? "no aio" : NULL;
}

static int events_got(int ms)
{
	struct timespec t = span(ms);
	struct io_event e;

	return zero(syscall(SYS_io_getevents, aio, 1, 1, &e, ms ? &t : NULL));
}

static int events_pgot(int ms)
{
	struct ts64 t = span64(ms);
	struct io_event e;

	return zero(syscall(NR_PGETEVENTS, aio, 1, 1, &e, ms ? &t : NULL, NULL));
}

static const char *have_uring(void)
{
	struct io_uring_params p = { 0 };

	fd = syscall(SYS_io_uring_setup, 4, &p);
	return fd < 0 ? "no io_uring" : NULL;
}

static int uring_entered(int ms)
{
	struct ts64 t = span64(ms);
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&t };

	return gives(ETIME, syscall(SYS_io_uring_enter, fd, 0, 1,
				    IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
				    sizeof(arg)));
}

static const char *have_tty(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	struct termios raw;

	if (master < 0 || grantpt(master) || unlockpt(master))
		return "no terminals";
	fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	if (fd < 0 || tcgetattr(fd, &raw))
		return "no terminals";
	cfmakeraw(&raw);
	return tcsetattr(fd, TCSANOW, &raw) ? "no raw terminal" : NULL;
}

/* In tenths of a second: it rounds up, and waits for the rest. */
static int tty_read(int ms)
{
	int tenths = ms / 100;
	struct termios raw;

	tcgetattr(fd, &raw);
	raw.c_cc[VMIN] = !ms;
	raw.c_cc[VTIME] = tenths;
	tcsetattr(fd, TCSANOW, &raw);
	if (ms % 100)
		until_a_time(ms % 100);
	return zero(read(fd, buf, 1));
}

static const char *have_inotify(void)
{
	fd = inotify_init1(0);
	return fd < 0 ? "no inotify" : NULL;
}

static const char *have_event(void)
{
	fd = eventfd(0, 0);
	return fd < 0 ? "no eventfd" : NULL;
}

static int read_file(int ms)
{
	(void)ms;
	return zero(read(fd, buf, sizeof(buf)));
}

static const char *a_file(void)
{
	fd = open("locked", O_RDWR | O_CREAT, 0600);
	return fd < 0 ? "no file" : NULL;
}

static int locked(int ms)
{
	(void)ms;
	return zero(flock(fd, LOCK_EX));
}

static int record_locked(int ms)
{
	struct flock lock = { .l_type = F_WRLCK };

	(void)ms;
	return zero(fcntl(fd, F_SETLKW, &lock));
}

static const struct call files[] = {
	TIMED("until", until_a_time, NULL),
	TIMED("epoll_wait", epolled, have_epoll),
	TIMED("epoll_pwait", epolled_masked, have_epoll),
	TIMED("epoll_pwait-confined", epolled_masked, confined_epoll),
	TIMED("epoll_pwait2", epolled2, have_epoll),
	TIMED("io_getevents", events_got, have_aio),
	TIMED("io_pgetevents", events_pgot, have_aio),
	TIMED("io_uring_enter", uring_entered, have_uring),
	COARSE("read-tty", tty_read, have_tty),
	ENDLESS("epoll-forever", epolled, have_epoll),
	ENDLESS("io_getevents-forever", events_got, have_aio),
	ENDLESS("io_pgetevents-forever", events_pgot, have_aio),
	ENDLESS("read-tty-forever", tty_read, have_tty),
	ENDLESS("read-inotify", read_file, have_inotify),
	ENDLESS("read-eventfd", read_file, have_event),
	ENDLESS("flock", locked, a_file),
	ENDLESS("fcntl-lock", record_locked, a_file),
	{ }
};

/* Sockets with names, message queues, and locks that have an owner. */

static struct sockaddr_un local;
static struct sockaddr_in inet;

static int name_local(const char *name)
{
	local = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(local.sun_path + 1, sizeof(local.sun_path) - 1, "%s-%d", name, getpid()) +
	       1 + offsetof(struct sockaddr_un, sun_path);
}

static socklen_t local_len;

static const char *listens_local(void)
{
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	local_len = name_local("hammer");
	return bind(fd, (void *)&local, local_len) || listen(fd, 0) ? "no listener" : NULL;
}

static const char *full_local(void)
{
	const char *why = listens_local();
	int s;

	if (why)
		return why;
	do
		s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	while (!connect(s, (void *)&local, local_len));
	close(s);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return errno == EAGAIN ? NULL : "the backlog can't be filled";
}

static const char *listens(void)
{
	socklen_t len = sizeof(inet);

	inet = (struct sockaddr_in){ .sin_family = AF_INET };
	inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	return bind(fd, (void *)&inet, sizeof(inet)) || listen(fd, 0) ||
	       getsockname(fd, (void *)&inet, &len) ? "no TCP" : NULL;
}

static const char *full_backlog(void)
{
	const char *why = listens();

	if (why)
		return why;
	for (int i = 0; i < 8; i++) {
		int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct pollfd p = { s, POLLOUT, 0 };

		connect(s, (void *)&inet, sizeof(inet));
		if (!poll(&p, 1, 100))
			return NULL;
	}
	return "the backlog can't be filled";
}

static const char *tcp(void)
{
	const char *why = listens();
	int s = fd;

	if (why)
		return why;
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ends[0], (void *)&inet, sizeof(inet)) || accept(s, NULL, NULL) < 0)
		return "no TCP";
	return NULL;
}

static const char *udp(void)
{
	inet = (struct sockaddr_in){ .sin_family = AF_INET };
	ends[0] = socket(AF_INET, SOCK_DGRAM, 0);
	return bind(ends[0], (void *)&inet, sizeof(inet)) ? "no UDP" : NULL;
}

static const char *full_tcp(void)
{
	static char text[4096];
	const char *why = tcp();

	if (why)
		return why;
	for (int i = 0; i < 50; i++) {
		while (send(ends[0], text, sizeof(text), MSG_DONTWAIT) > 0)
			;
		until_a_time(2);
	}
	return NULL;
}

static int accepted(int ms)
{
	time_out(fd, SO_RCVTIMEO, ms);
	return gives(EAGAIN, accept(fd, NULL, NULL));
}

static int connected_local(int ms)
{
	time_out(fd, SO_SNDTIMEO, ms);
	return gives(EAGAIN, connect(fd, (void *)&local, local_len));
}

static int connected(int ms)
{
	int s = socket(AF_INET, SOCK_STREAM, 0), ret;

	time_out(s, SO_SNDTIMEO, ms);
	ret = gives(EINPROGRESS, connect(s, (void *)&inet, sizeof(inet)));
	close(s);
	return ret;
}

static mqd_t mq;

static const char *have_mq(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[32];

	snprintf(name, sizeof(name), "/hammer-%d", getpid());
	mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	return mq < 0 ? "no message queues" : NULL;
}

static const char *full_mq(void)
{
	return have_mq() ?: mq_send(mq, buf, 8, 0) ? "can't be filled" : NULL;
}

static int mq_received(int ms)
{
	struct timespec t = at(CLOCK_REALTIME, ms);

	return gives(ETIMEDOUT, mq_timedreceive(mq, buf, 8, NULL, &t));
}

static int mq_sent(int ms)
{
	struct timespec t = at(CLOCK_REALTIME, ms);

	return gives(ETIMEDOUT, mq_timedsend(mq, buf, 8, 0, &t));
}

static int pi_locked(int ms)
{
	struct ts64 t = at64(CLOCK_REALTIME, ms);

	return gives(ETIMEDOUT, syscall(NR_FUTEX, &board->lock, FUTEX_LOCK_PI, 0, &t, NULL, 0));
}

static const struct call names[] = {
	TIMED("until", until_a_time, NULL),
	COARSE("accept", accepted, listens_local),
	COARSE("accept-tcp", accepted, listens),
	COARSE("connect", connected_local, full_local),
	COARSE("connect-tcp", connected, full_backlog),
	COARSE("recv-tcp", received, tcp),
	COARSE("send-tcp", sent, full_tcp),
	COARSE("recv-udp", received, udp),
	TIMED("mq_timedreceive", mq_received, have_mq),
	TIMED("mq_timedsend", mq_sent, full_mq),
	TIMED("futex-lock-pi", pi_locked, NULL),
	ENDLESS("accept-forever", accepted, listens_local),
	{ }
};

/* The call that is made beside the first one; 0: all of them. */
static int the_one(void)
{
	return atoi(getenv("CKPT_HAMMER_CALL") ?: "0");
}

static bool is_made(int i)
{
	return !i || !the_one() || i == the_one();
}

/* How late the timers of sockets may be at most. */
static int64_t coarse(int64_t ms)
{
	return ms * MS / 8 + 8 * MS;
}

static void __attribute__((noreturn)) work(const struct call *c, struct cell *cell)
{
	const char *why = c->prepare ? c->prepare() : NULL;

	if (why)
		snprintf(cell->skipped, sizeof(cell->skipped), "%s", why);
	for (int n = 0; !why && board->phase != OVER; n++) {
		int64_t ms = !c->timed ? 0 : n % 3 == 2 ? board->long_ms : n % 3 ? 300 : 150;
		int phase = board->phase;
		int64_t start = now_ns(CLOCK_MONOTONIC), late;
		int64_t tick = now_ns(CLOCK_MONOTONIC_COARSE);
		int err = c->make(ms);

		tick = now_ns(CLOCK_MONOTONIC_COARSE) - tick - ms * MS;
		late = now_ns(CLOCK_MONOTONIC) - start - ms * MS;
		/* Jiffies are what it counts, and they may lag behind. */
		if (c->coarse && late < 0 && tick > late)
			late = tick < 0 ? tick : 0;
		if (c->coarse && late > 0)
			late = late > coarse(ms) ? late - coarse(ms) : 0;
		if (!err && c->then)
			err = c->then();
		if (err) {
			cell->error = err;
			cell->bad++;
			until_a_time(1);
		} else if (late < cell->early) {
			cell->early = late;
		}
		/* One that was only begun in quiet counts for what follows. */
		if (board->phase != OVER) {
			phase = board->phase;
			if (late > cell->late[phase])
				cell->late[phase] = late;
			cell->calls[phase]++;
		}
	}
	for (;;)
		pause();
}

static void start(const struct call *calls)
{
	board = common_memory(sizeof(*board));
	board->long_ms = atoi(getenv("CKPT_HAMMER_MS") ?: "1500") / 3;
	syscall(NR_FUTEX, &board->lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	if (calls == files) {
		/* What the others wait for. */
		int held = open("locked", O_RDWR | O_CREAT, 0600);
		struct flock lock = { .l_type = F_WRLCK };

		NEED(!flock(held, LOCK_EX) && !fcntl(held, F_SETLK, &lock));
	}
	for (int i = 0; calls[i].name; i++) {
		pid_t pid = is_made(i) ? fork() : 1;

		NEED(pid >= 0);
		if (!pid)
			work(&calls[i], &board->cells[i]);
	}
	job_waits();
	for (;;)
		pause();
}

static struct board seen;

static bool look(struct run *run)
{
	struct board *where;

	return WANT(job_read(run, &board, &where, sizeof(where))) &&
	       WANT(job_read(run, (void *)where, &seen, sizeof(seen)));
}

static void set_phase(struct run *run, int phase)
{
	struct board *where;

	if (WANT(job_read(run, &board, &where, sizeof(where))))
		job_set(run, &where->phase, phase);
}

/* Each timed call was made so often in a phase. */
static bool made(const struct call *calls, int phase, int times)
{
	for (int i = 0; calls[i].name; i++)
		if (is_made(i) && calls[i].timed && !seen.cells[i].skipped[0] &&
		    seen.cells[i].calls[phase] < times)
			return false;
	return true;
}

static void judge(struct run *run, const struct call *calls, int64_t longest)
{
	int64_t sleep = seen.cells[0].late[HAMMERED];
	int64_t measure = 2 * (sleep > longest ? sleep : longest);

	for (int i = 0; calls[i].name; i++) {
		struct cell *c = &seen.cells[i];
		const char *name = calls[i].name;
		int64_t limit = c->late[ALONE] + measure + SLACK;

		if (!is_made(i))
			continue;
		if (c->skipped[0]) {
			run_say(run, "%s is not tested: %s\n", name, c->skipped);
			continue;
		}
		if (c->bad)
			run_fail(run, "%s: %d times %s\n", name, c->bad,
				 c->error > 0 ? strerrorname_np(c->error) : "another result");
		if (!calls[i].timed) {
			if (c->calls[ALONE] || c->calls[HAMMERED])
				run_fail(run, "%s came back\n", name);
			continue;
		}
		if (c->early < -GRAIN)
			run_fail(run, "%s: %lld us early\n", name, (long long)-c->early / 1000);
		if (c->calls[HAMMERED] < 3)
			run_fail(run, "%s: came back only %d times\n", name, c->calls[HAMMERED]);
		if (i && c->late[HAMMERED] > limit)
			run_fail(run, "%s: %lld us late, alone %lld us, a sleep %lld us\n", name,
				 (long long)c->late[HAMMERED] / 1000,
				 (long long)c->late[ALONE] / 1000, (long long)sleep / 1000);
	}
}

static void hammer_job(struct run *run, const struct call *calls, int want)
{
	int64_t ms = atoi(getenv("CKPT_HAMMER_MS") ?: "1500"), begun, longest = 0, frozen = 0;
	int n = 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!job_start(run))
		return;
	begun = now_ns(CLOCK_MONOTONIC);
	do {
		sleep_ms(50);
		if (!look(run))
			return;
	} while (!made(calls, ALONE, 2) && now_ns(CLOCK_MONOTONIC) - begun < 20000 * MS);
	set_phase(run, HAMMERED);
	begun = now_ns(CLOCK_MONOTONIC);
	for (;;) {
		int64_t took = now_ns(CLOCK_MONOTONIC), next = took + 10 * MS;
		int err = n % 3 ? call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN) :
				  call_checkpoint(run, null, 0);

		/* By itself, not each call has what is refused. */
		if (err != want && (err || !getenv("CKPT_HAMMER_ONE"))) {
			run_fail(run, "checkpoint: %s\n", err ? strerrorname_np(err) : "succeeds");
			say_log(run, LOG_PATH);
			return;
		}
		n++;
		frozen += run->args.freeze_ns;
		if ((int64_t)run->args.freeze_ns > longest)
			longest = run->args.freeze_ns;
		if (!look(run))
			return;
		took = now_ns(CLOCK_MONOTONIC);
		if (took - begun > ms * MS &&
		    (made(calls, HAMMERED, 3) ||
		     took - begun > (ms + LIMIT_MS * time_factor()) * MS))
			break;
		if (!getenv("CKPT_HAMMER_ONE") && next < took + (int64_t)run->args.freeze_ns)
			next = took + run->args.freeze_ns;
		if (took < next)
			sleep_ms((next - took) / MS);
	}
	set_phase(run, OVER);
	judge(run, calls, longest);
	run_say(run,
		"%s: %d checkpoints in %lld ms, frozen for %lld us, %lld at most; a sleep %lld us late\n",
		calls[the_one()].name, n,
		(long long)(now_ns(CLOCK_MONOTONIC) - begun) / MS,
		(long long)frozen / n / 1000, (long long)longest / 1000,
		(long long)seen.cells[0].late[HAMMERED] / 1000);
	kill_all(run);
}

static void hammer(struct run *run, const struct call *calls, int want)
{
	if (!getenv("CKPT_HAMMER_ONE")) {
		hammer_job(run, calls, want);
		return;
	}
	for (int i = 1; calls[i].name && run->verdict != 1; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		setenv("CKPT_HAMMER_CALL", text, 1);
		hammer_job(run, calls, want);
	}
}

JOB(sleeping_calls, .tasks = -1)
{
	start(sleeps);
}

INIT_TEST(sleeping, sleeping_calls)
{
	hammer(run, sleeps, 0);
}

JOB(polling_calls, .tasks = -1)
{
	start(polls);
}

INIT_TEST(polling, polling_calls)
{
	hammer(run, polls, 0);
}

JOB(futex_calls, .tasks = -1)
{
	start(futexes);
}

INIT_TEST(futex, futex_calls)
{
	hammer(run, futexes, 0);
}

JOB(socket_calls, .tasks = -1)
{
	start(sockets);
}

INIT_TEST(socket, socket_calls)
{
	hammer(run, sockets, 0);
}

JOB(waiting_calls, .tasks = -1)
{
	start(forever);
}

INIT_TEST(waiting, waiting_calls)
{
	hammer(run, forever, 0);
}

JOB(other_files_calls, .tasks = -1)
{
	start(files);
}

INIT_TEST(other_files, other_files_calls)
{
	hammer(run, files, EOPNOTSUPP);
}

JOB(named_calls, .tasks = -1)
{
	start(names);
}

INIT_TEST(named, named_calls)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int s;

	WANT(!unshare(CLONE_NEWNET));
	s = socket(AF_INET, SOCK_DGRAM, 0);
	WANT(!ioctl(s, SIOCSIFFLAGS, &lo));
	close(s);
	hammer(run, names, EOPNOTSUPP);
}

TEST_HARNESS_MAIN
