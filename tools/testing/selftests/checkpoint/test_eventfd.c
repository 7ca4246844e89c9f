// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfd(2): counters and flags, descriptors that share one, who waits to read
 * from one, to write to one, or for it to be ready; and those that the kernel has
 * a hand in. What /proc/PID/fdinfo says is compared from outside.
 */
#include "ckpt_harness.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/syscall.h>

/* Its greatest value that write(2) leads to. */
#define FULL	(UINT64_MAX - 1)

static bool add(int fd, uint64_t n)
{
	return write(fd, &n, sizeof(n)) == sizeof(n);
}

/* What a read that does not wait gives, 0 if nothing. */
static uint64_t take(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	uint64_t n = 0;

	CHECK(!fcntl(fd, F_SETFL, flags | O_NONBLOCK));
	if (read(fd, &n, sizeof(n)) != sizeof(n)) {
		CHECK(errno == EAGAIN);
		n = 0;
	}
	CHECK(!fcntl(fd, F_SETFL, flags));
	return n;
}

static int ready(int fd)
{
	struct pollfd p = { fd, POLLIN | POLLOUT, 0 };

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

SCENARIO(counters)
{
	static const uint64_t values[] = { 0, 1, 3, UINT32_MAX, 1ULL << 40, FULL - 1, FULL };
	enum { N = sizeof(values) / sizeof(values[0]) };
	int fd[N];

	for (int i = 0; i < N; i++) {
		fd[i] = eventfd(0, 0);
		NEED(fd[i] >= 0 && (!values[i] || add(fd[i], values[i])));
	}
	job_hold();
	for (int i = 0; i < N; i++) {
		CHECK_EQ(ready(fd[i]), (values[i] ? POLLIN : 0) | (values[i] < FULL ? POLLOUT : 0));
		CHECK_EQ(take(fd[i]), values[i]);
		CHECK_EQ(take(fd[i]), 0);
		CHECK_EQ(ready(fd[i]), POLLOUT);
		CHECK(add(fd[i], 7) && add(fd[i], 8) && take(fd[i]) == 15);
	}
}

SCENARIO(semaphore)
{
	int fd = eventfd(2, EFD_SEMAPHORE), empty = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);

	NEED(fd >= 0 && empty >= 0 && add(fd, 1));
	job_hold();
	for (int i = 0; i < 3; i++) {
		CHECK(ready(fd) & POLLIN);
		CHECK_EQ(take(fd), 1);
	}
	CHECK_EQ(take(fd), 0);
	CHECK(add(fd, 2) && take(fd) == 1 && take(fd) == 1 && !take(fd));
	CHECK_EQ(take(empty), 0);
	CHECK(add(empty, 5) && take(empty) == 1);
}

SCENARIO(flags)
{
	int plain = eventfd(4, 0), all = eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC);
	int set = eventfd(6, 0), back = eventfd(7, EFD_NONBLOCK);
	uint64_t n;

	NEED(plain >= 0 && all >= 0 && set >= 0 && back >= 0);
	NEED(!fcntl(set, F_SETFL, O_APPEND | O_NOATIME | O_NONBLOCK));
	NEED(!fcntl(back, F_SETFL, 0));
	job_hold();
	CHECK_EQ(fcntl(plain, F_GETFL), O_RDWR);
	CHECK_EQ(fcntl(plain, F_GETFD), 0);
	CHECK_EQ(fcntl(all, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(fcntl(all, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(set, F_GETFL), O_RDWR | O_APPEND | O_NOATIME | O_NONBLOCK);
	CHECK_EQ(fcntl(back, F_GETFL), O_RDWR);
	CHECK(take(plain) == 4 && take(all) == 5 && take(set) == 6 && take(back) == 7);
	CHECK(read(all, &n, sizeof(n)) < 0 && errno == EAGAIN);
	CHECK(read(set, &n, sizeof(n)) < 0 && errno == EAGAIN);
}

/* Two descriptors of one, and another one of the same value. */
SCENARIO(duplicates)
{
	int fd = eventfd(9, 0), same = dup(fd), other = eventfd(9, 0);

	NEED(fd >= 0 && same >= 0 && other >= 0);
	job_hold();
	CHECK(add(same, 1));
	CHECK_EQ(take(fd), 10);
	CHECK_EQ(take(same), 0);
	CHECK_EQ(take(other), 9);
}

/* Of parent and child. */
SCENARIO(shared, .tasks = 2)
{
	int there = eventfd(1, 0), back = eventfd(0, EFD_SEMAPHORE), status;
	uint64_t n = 0;
	pid_t child;

	NEED(there >= 0 && back >= 0);
	child = fork();
	NEED(child >= 0);
	if (!child) {
		/* Waits for what was put there, then twice for what the parent puts. */
		while (n < 1 + 10 + 100) {
			uint64_t more;

			if (read(there, &more, sizeof(more)) != sizeof(more))
				_exit(1);
			n += more;
			if (!add(back, 1))
				_exit(2);
		}
		_exit(n == 111 ? 0 : 3);
	}
	NEED(read(back, &n, sizeof(n)) == sizeof(n) && n == 1);
	job_hold();
	CHECK_EQ(take(back), 0);
	CHECK(add(there, 10) && read(back, &n, sizeof(n)) == sizeof(n) && n == 1);
	CHECK(add(there, 100) && read(back, &n, sizeof(n)) == sizeof(n) && n == 1);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
}

static int waited_for;
static volatile int waiting;
static uint64_t seen;

/* Waits until a thread sleeps in a system call. */
static void asleep(void)
{
	while (!waiting)
		sleep_ms(1);
	sleep_ms(50);
}

static void *reader(void *arg)
{
	waiting = 1;
	return (void *)(long)(read(waited_for, &seen, sizeof(seen)) != sizeof(seen));
}

SCENARIO(waits_to_read, .tasks = 2)
{
	pthread_t thread;
	void *failed;

	waited_for = eventfd(0, 0);
	NEED(waited_for >= 0 && !pthread_create(&thread, NULL, reader, NULL));
	asleep();
	job_hold();
	CHECK_EQ(seen, 0);
	CHECK(add(waited_for, 1234) && !pthread_join(thread, &failed));
	CHECK(!failed);
	CHECK_EQ(seen, 1234);
}

static void *writer(void *arg)
{
	waiting = 1;
	return (void *)(long)!add(waited_for, 5);
}

/* What it holds is not touched until there is room for what is to be added. */
SCENARIO(waits_to_write, .tasks = 2)
{
	pthread_t thread;
	void *failed;

	waited_for = eventfd(0, 0);
	NEED(waited_for >= 0 && add(waited_for, FULL - 2));
	NEED(!pthread_create(&thread, NULL, writer, NULL));
	asleep();
	job_hold();
	CHECK_EQ(take(waited_for), FULL - 2);
	CHECK(!pthread_join(thread, &failed) && !failed);
	CHECK_EQ(take(waited_for), 5);
}

static void *poller(void *arg)
{
	struct pollfd p = { waited_for, POLLIN, 0 };

	waiting = 1;
	return (void *)(long)(poll(&p, 1, -1) != 1 || p.revents != POLLIN);
}

SCENARIO(waits_until_ready, .tasks = 2)
{
	pthread_t thread;
	void *failed;

	waited_for = eventfd(0, EFD_SEMAPHORE);
	NEED(waited_for >= 0 && !pthread_create(&thread, NULL, poller, NULL));
	asleep();
	job_hold();
	CHECK(add(waited_for, 2) && !pthread_join(thread, &failed));
	CHECK(!failed);
	CHECK(take(waited_for) == 1 && take(waited_for) == 1 && !take(waited_for));
}

/* Asks to have the end of an operation told to @tell. */
static bool submit(aio_context_t ctx, int fd, int tell)
{
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd, .aio_buf = POLLIN,
		.aio_flags = IOCB_FLAG_RESFD, .aio_resfd = tell,
	};
	struct iocb *list[] = { &cb };

	return syscall(SYS_io_submit, ctx, 1, list) == 1;
}

/* Only the kernel can drive one to its end, which is an error to poll(2). */
SCENARIO(overflow)
{
	int fd = eventfd(0, 0), done = eventfd(1, 0), status;
	aio_context_t ctx = 0;
	pid_t child;

	NEED(fd >= 0 && done >= 0 && add(fd, FULL));
	/* What it was done with goes with the child. */
	child = fork();
	if (!child) {
		if (syscall(SYS_io_setup, 1, &ctx))
			_exit(2);
		_exit(!submit(ctx, done, fd));
	}
	NEED(child > 0 && waitpid(child, &status, 0) == child);
	if (status == 2 << 8)
		JOB_SKIP("no asynchronous I/O");
	NEED(!status && ready(fd) == (POLLIN | POLLERR));
	job_hold();
	CHECK_EQ(ready(fd), POLLIN | POLLERR);
	CHECK_EQ(take(fd), UINT64_MAX);
	CHECK_EQ(ready(fd), POLLOUT);
}

/* An operation that is not over yet. */
SCENARIO(told_by_aio, .refused = "\"kind\":\"eventfd\"")
{
	int fd = eventfd(0, 0), never = eventfd(0, 0);
	aio_context_t ctx = 0;

	NEED(fd >= 0 && never >= 0);
	if (syscall(SYS_io_setup, 1, &ctx))
		JOB_SKIP("no asynchronous I/O");
	NEED(submit(ctx, never, fd));
	job_hold();
	CHECK(!syscall(SYS_io_destroy, ctx));
}

SCENARIO(told_by_io_uring, .refused = "\"kind\":\"eventfd\"")
{
	struct io_uring_params p = { 0 };
	int fd = eventfd(0, 0), ring = syscall(__NR_io_uring_setup, 4, &p);

	NEED(fd >= 0);
	if (ring < 0)
		JOB_SKIP("no io_uring");
	NEED(!syscall(__NR_io_uring_register, ring, IORING_REGISTER_EVENTFD, &fd, 1));
	job_hold();
	CHECK(!syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_EVENTFD, NULL, 0));
}

/* Who only waits for it has no part in its context. */
SCENARIO(polled_by_aio, .refused = "waits for it")
{
	int fd = eventfd(0, 0);
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd, .aio_buf = POLLIN,
	};
	struct iocb *list[] = { &cb };
	aio_context_t ctx = 0;

	NEED(fd >= 0);
	if (syscall(SYS_io_setup, 1, &ctx))
		JOB_SKIP("no asynchronous I/O");
	NEED(syscall(SYS_io_submit, ctx, 1, list) == 1);
	job_hold();
	CHECK(add(fd, 1) && take(fd) == 1);
	CHECK(!syscall(SYS_io_destroy, ctx));
}

SCENARIO(signals_somebody, .refused = "signal owner")
{
	int fd = eventfd(0, 0);

	NEED(fd >= 0 && !fcntl(fd, F_SETOWN, getpid()));
	job_hold();
	CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
}

SCENARIO(locked, .refused = "\"kind\":\"lock\"")
{
	int fd = eventfd(0, 0);

	NEED(fd >= 0 && !flock(fd, LOCK_EX));
	job_hold();
	CHECK(!flock(fd, LOCK_UN));
}

TEST_HARNESS_MAIN
