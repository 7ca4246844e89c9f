// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks of threads and processes, held and waited for: those with priority
 * inheritance, whose state the kernel keeps as long as somebody waits, robust
 * ones, and what is made of them.
 */
#include "ckpt_harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#ifdef __i386__
#define FUTEX	SYS_futex_time64
#else
#define FUTEX	SYS_futex
#endif

static struct common {
	pthread_mutex_t mutex;
	pthread_mutexattr_t attr;
	pthread_cond_t cond;
	pthread_rwlock_t rwlock;
	pthread_barrier_t barrier;
	volatile int ready, go, done, results[8];
	int word, lock;
} *c;

static void make_common(void)
{
	c = common_memory(sizeof(*c));
	NEED(!pthread_mutexattr_init(&c->attr));
}

static void make_mutex(bool pi, bool robust, bool shared)
{
	make_common();
	if (pi)
		NEED(!pthread_mutexattr_setprotocol(&c->attr, PTHREAD_PRIO_INHERIT));
	if (robust)
		NEED(!pthread_mutexattr_setrobust(&c->attr, PTHREAD_MUTEX_ROBUST));
	if (shared)
		NEED(!pthread_mutexattr_setpshared(&c->attr, PTHREAD_PROCESS_SHARED));
	if (pthread_mutex_init(&c->mutex, &c->attr))
		JOB_SKIP("no such mutex");
}

/* Until it is at least so many: they are about to wait, give them a moment to. */
static void wait_for(volatile int *at, int value)
{
	await_count(at, value);
	sleep_ms(20);
}

static void *locker(void *timed)
{
	struct timespec end;
	int err;

	__sync_fetch_and_add(&c->ready, 1);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 100000;
	err = timed ? pthread_mutex_timedlock(&c->mutex, &end) : pthread_mutex_lock(&c->mutex);
	c->results[__sync_fetch_and_add(&c->done, 1)] = err;
	if (err == EOWNERDEAD)
		pthread_mutex_consistent(&c->mutex);
	if (!err || err == EOWNERDEAD)
		pthread_mutex_unlock(&c->mutex);
	return NULL;
}

static void contended(bool pi)
{
	pthread_t t[3];

	make_mutex(pi, false, false);
	NEED(!pthread_mutex_lock(&c->mutex));
	for (int i = 0; i < 3; i++)
		NEED(!pthread_create(&t[i], NULL, locker, i == 1 ? c : NULL));
	wait_for(&c->ready, 3);
	job_hold();
	CHECK_EQ(c->done, 0);
	if (pi)
		CHECK_EQ(c->mutex.__data.__lock & FUTEX_TID_MASK, syscall(SYS_gettid));
	CHECK(pthread_mutex_trylock(&c->mutex) == EBUSY);
	CHECK(!pthread_mutex_unlock(&c->mutex));
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(c->results[i], 0);
	}
	CHECK_EQ(c->done, 3);
	CHECK_EQ(c->mutex.__data.__lock, 0);
	CHECK(!pthread_mutex_lock(&c->mutex) && !pthread_mutex_unlock(&c->mutex));
}

SCENARIO(contended, .tasks = 4)
{
	contended(false);
}

SCENARIO(contended_pi, .tasks = 4)
{
	contended(true);
}

/* The one that waits is saved, and the owner is another process. */
static void between_processes(bool pi, bool dies)
{
	pthread_t t;
	int status;
	pid_t pid;

	make_mutex(pi, true, true);
	pid = fork();
	if (!pid) {
		c->results[7] = pthread_mutex_lock(&c->mutex);
		c->ready = 1;
		while (!c->go)
			sleep_ms(1);
		if (!dies)
			pthread_mutex_unlock(&c->mutex);
		_exit(3);
	}
	wait_for(&c->ready, 1);
	NEED(!c->results[7]);
	NEED(!pthread_create(&t, NULL, locker, NULL));
	wait_for(&c->ready, 2);
	job_hold();
	CHECK_EQ(c->done, 0);
	CHECK_EQ(c->mutex.__data.__lock & FUTEX_TID_MASK, pid);
	c->go = 1;
	CHECK(waitpid(pid, &status, 0) == pid && status == 3 << 8);
	pthread_join(t, NULL);
	CHECK_EQ(c->results[0], dies ? EOWNERDEAD : 0);
	CHECK(!pthread_mutex_lock(&c->mutex) && !pthread_mutex_unlock(&c->mutex));
}

SCENARIO(between_processes, .tasks = 3)
{
	between_processes(false, false);
}

SCENARIO(between_processes_pi, .tasks = 3)
{
	between_processes(true, false);
}

SCENARIO(owner_dies, .tasks = 3)
{
	between_processes(false, true);
}

SCENARIO(owner_dies_pi, .tasks = 3)
{
	between_processes(true, true);
}

/* A list of several that are held, of which nobody waits for one. */
SCENARIO(robust_list, .tasks = 2)
{
	static pthread_mutex_t *m;
	int status;
	pid_t pid;

	make_common();
	NEED(!pthread_mutexattr_setrobust(&c->attr, PTHREAD_MUTEX_ROBUST) &&
	     !pthread_mutexattr_setpshared(&c->attr, PTHREAD_PROCESS_SHARED));
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(m != MAP_FAILED);
	for (int i = 0; i < 20; i++)
		NEED(!pthread_mutex_init(&m[i], &c->attr));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 20; i++)
			pthread_mutex_lock(&m[i]);
		for (int i = 0; i < 20; i += 3)
			pthread_mutex_unlock(&m[i]);
		c->ready = 1;
		for (;;)
			pause();
	}
	wait_for(&c->ready, 1);
	job_hold();
	for (int i = 0; i < 20; i++)
		CHECK_EQ(pthread_mutex_trylock(&m[i]), i % 3 ? EBUSY : 0);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
	for (int i = 0; i < 20; i++)
		if (i % 3)
			CHECK_EQ(pthread_mutex_trylock(&m[i]), EOWNERDEAD);
}

static void *waiter(void *timed)
{
	struct timespec end;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 100000;
	pthread_mutex_lock(&c->mutex);
	__sync_fetch_and_add(&c->ready, 1);
	while (!c->go && !err)
		err = timed ? pthread_cond_timedwait(&c->cond, &c->mutex, &end) :
			      pthread_cond_wait(&c->cond, &c->mutex);
	c->results[c->done++] = err;
	pthread_mutex_unlock(&c->mutex);
	return NULL;
}

SCENARIO(condition, .tasks = 5)
{
	pthread_t t[4];

	make_mutex(false, false, false);
	NEED(!pthread_cond_init(&c->cond, NULL));
	for (int i = 0; i < 4; i++)
		NEED(!pthread_create(&t[i], NULL, waiter, i % 2 ? c : NULL));
	wait_for(&c->ready, 4);
	job_hold();
	CHECK_EQ(c->done, 0);
	CHECK(!pthread_mutex_lock(&c->mutex));
	c->go = 1;
	CHECK(!pthread_cond_broadcast(&c->cond));
	CHECK(!pthread_mutex_unlock(&c->mutex));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(c->results[i], 0);
	}
}

static long futex(int *at, int op, int val, uintptr_t val2, int *at2, int val3)
{
	return syscall(FUTEX, at, op | FUTEX_PRIVATE_FLAG, val, val2, at2, val3);
}

static void *requeued(void *arg)
{
	long ret;

	__sync_fetch_and_add(&c->ready, 1);
	ret = futex(&c->word, FUTEX_WAIT_REQUEUE_PI, 7, 0, &c->lock, 0);
	c->results[c->done] = ret ? errno : 0;
	/* It has the lock. */
	if (!ret && (c->lock & FUTEX_TID_MASK) != syscall(SYS_gettid))
		c->results[c->done] = -1;
	c->done++;
	if (!ret && futex(&c->lock, FUTEX_UNLOCK_PI, 0, 0, NULL, 0))
		c->results[7] = errno;
	return NULL;
}

/* The kernel's own condition variables for locks with priority inheritance. */
SCENARIO(requeue_pi, .tasks = 3)
{
	pthread_t t[2];
	int moved = 0;

	make_common();
	c->word = 7;
	for (int i = 0; i < 2; i++)
		NEED(!pthread_create(&t[i], NULL, requeued, NULL));
	wait_for(&c->ready, 2);
	job_hold();
	CHECK_EQ(c->done, 0);
	CHECK(!futex(&c->lock, FUTEX_LOCK_PI, 0, 0, NULL, 0));
	/* One of them may be on its way back to the call. */
	for (int i = 0; i < 5000 && moved < 2; i++) {
		long n = futex(&c->word, FUTEX_CMP_REQUEUE_PI, 1, 10, &c->lock, 7);

		if (!CHECK(n >= 0))
			break;
		moved += n;
		if (!n)
			sleep_ms(1);
	}
	CHECK_EQ(moved, 2);
	CHECK(!futex(&c->lock, FUTEX_UNLOCK_PI, 0, 0, NULL, 0));
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(c->results[i], 0);
	}
	CHECK_EQ(c->results[7], 0);
	CHECK_EQ(c->lock, 0);
}

static void *at_barrier(void *arg)
{
	int ret;

	__sync_fetch_and_add(&c->ready, 1);
	ret = pthread_barrier_wait(&c->barrier);
	__sync_fetch_and_add(&c->done, ret == PTHREAD_BARRIER_SERIAL_THREAD ? 100 : 1);
	return NULL;
}

SCENARIO(barrier, .tasks = 4)
{
	pthread_t t[3];
	int ret;

	make_common();
	NEED(!pthread_barrier_init(&c->barrier, NULL, 4));
	for (int i = 0; i < 3; i++)
		NEED(!pthread_create(&t[i], NULL, at_barrier, NULL));
	wait_for(&c->ready, 3);
	job_hold();
	CHECK_EQ(c->done, 0);
	ret = pthread_barrier_wait(&c->barrier);
	__sync_fetch_and_add(&c->done, ret == PTHREAD_BARRIER_SERIAL_THREAD ? 100 : 1);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(c->done, 103);
}

static void *reader(void *writes)
{
	__sync_fetch_and_add(&c->ready, 1);
	if (writes)
		pthread_rwlock_wrlock(&c->rwlock);
	else
		pthread_rwlock_rdlock(&c->rwlock);
	__sync_fetch_and_add(&c->done, 1);
	pthread_rwlock_unlock(&c->rwlock);
	return NULL;
}

SCENARIO(rwlock, .tasks = 5)
{
	pthread_t t[4];

	make_common();
	NEED(!pthread_rwlock_init(&c->rwlock, NULL) && !pthread_rwlock_wrlock(&c->rwlock));
	for (int i = 0; i < 4; i++)
		NEED(!pthread_create(&t[i], NULL, reader, i % 2 ? c : NULL));
	wait_for(&c->ready, 4);
	job_hold();
	CHECK_EQ(c->done, 0);
	CHECK(!pthread_rwlock_unlock(&c->rwlock));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(c->done, 4);
}

TEST_HARNESS_MAIN
