// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many tasks that rebuild themselves at the same time: processes and threads that
 * share memory, signal actions, descriptors and directories in all mixtures. What
 * they share they share again, and what they do not they do not; and when one of
 * them fails or is killed in the middle, nothing is left of the others.
 *
 * CKPT_ROUNDS: how often all of them are brought back (20).
 */
#define INIT_LIMIT 1200
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <linux/kcmp.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/syscall.h>

enum {
	OF_MAIN = 16,			/* processes that the first one makes */
	BRANCHES = 4, OF_BRANCH = 11,	/* that it forks, and processes that each makes */
	THREADS = 2,			/* of each branch */
	PROCESSES = 1 + OF_MAIN + BRANCHES * (1 + OF_BRANCH),
	TASKS = PROCESSES + BRANCHES * THREADS,
};

/* What all of them have in common. */
static struct board {
	volatile int places, ready, stop;
	volatile pid_t pid[TASKS];
	volatile unsigned long beat[TASKS];
} *board;

static const int mixture[] = {
	0,
	CLONE_VM,
	CLONE_FILES,
	CLONE_VM | CLONE_SIGHAND,
	CLONE_FS,
	CLONE_VM | CLONE_FILES,
	CLONE_FILES | CLONE_FS,
	CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS,
};

static char stacks[OF_MAIN][16384] __attribute__((aligned(16)));

/* No library: with CLONE_VM it has the thread-local storage of its parent. */
static long beat(void)
{
	struct timespec t = { .tv_nsec = 50000000 };
	unsigned char own[256];
	pid_t tid = syscall(SYS_gettid);
	int me = __sync_fetch_and_add(&board->places, 1);

	fill(own, sizeof(own), tid);
	board->pid[me] = tid;
	__sync_fetch_and_add(&board->ready, 1);
	while (!board->stop) {
		board->beat[me]++;
		syscall(SYS_nanosleep, &t, NULL);
	}
	return syscall(SYS_gettid) == tid && filled(own, sizeof(own), tid) ? 0 : 1;
}

static int process(void *arg)
{
	(void)arg;
	syscall(SYS_exit_group, beat());
	return 0;
}

static void *thread(void *arg)
{
	if (arg && syscall(SYS_unshare, CLONE_FILES | CLONE_FS))
		return "unshare";
	return beat() ? "is not what it was" : NULL;
}

static void make(int n, pid_t *pids, int first)
{
	for (int i = 0; i < n; i++) {
		int flags = mixture[(first + i) % (sizeof(mixture) / sizeof(mixture[0]))];

		pids[i] = clone(process, stacks[i] + sizeof(stacks[i]), flags | SIGCHLD, NULL);
		NEED(pids[i] > 0);
	}
}

static bool reaped(int n, pid_t *pids)
{
	int status;

	for (int i = 0; i < n; i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			return false;
	return true;
}

static int branch(int nr)
{
	pid_t pids[OF_BRANCH];
	pthread_t t[THREADS];
	void *bad = NULL;
	long ret;

	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, thread, (void *)i))
			return 2;
	make(OF_BRANCH, pids, nr);
	ret = beat();
	if (!reaped(OF_BRANCH, pids))
		return 3;
	for (int i = 0; i < THREADS; i++)
		if (pthread_join(t[i], &bad) || bad)
			return 4;
	return ret;
}

/* What each two of the tasks share; returns what some of them do, and what some do not. */
static int look(unsigned char (*shares)[TASKS])
{
	static const int kinds[] = { KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND };
	int mixed = 0;

	board->pid[TASKS - 1] = getpid();
	for (int i = 0; i < TASKS; i++) {
		for (int j = 0; j < i; j++) {
			shares[i][j] = 0;
			for (int k = 0; k < 4; k++)
				if (!syscall(SYS_kcmp, board->pid[i], board->pid[j], kinds[k], 0,
					     0))
					shares[i][j] |= 1 << k;
			mixed |= shares[i][j] | (~shares[i][j] & 0xf) << 4;
		}
	}
	return mixed;
}

JOB(crowd, .tasks = TASKS)
{
	static unsigned char was[TASKS][TASKS], is[TASKS][TASKS];
	pid_t pids[OF_MAIN], branches[BRANCHES];
	unsigned long beats;

	board = common_memory(sizeof(*board));
	for (int i = 0; i < BRANCHES; i++) {
		branches[i] = fork();
		NEED(branches[i] >= 0);
		if (!branches[i])
			_exit(branch(i * 3));
	}
	make(OF_MAIN, pids, 0);
	for (int i = 0; i < 20000 && board->ready < TASKS - 1; i++)
		sleep_ms(1);
	NEED(board->ready == TASKS - 1);
	NEED(look(was) == 0xff);
	job_hold();
	look(is);
	CHECK(!memcmp(is, was, sizeof(is)));
	/* Each runs. */
	for (int i = 0; i < TASKS - 1; i++) {
		beats = board->beat[i];
		for (int j = 0; j < 20000 && board->beat[i] == beats; j++)
			sleep_ms(1);
		if (!CHECK(board->beat[i] != beats))
			break;
	}
	board->stop = 1;
	CHECK(reaped(OF_MAIN, pids));
	CHECK(reaped(BRANCHES, branches));
}

static int rounds(void)
{
	const char *n = getenv("CKPT_ROUNDS");

	return n && atoi(n) > 0 ? atoi(n) : 20;
}

INIT_TEST(many_times, crowd)
{
	struct snap before;

	if (!WANT(job_start(run)))
		return;
	snap_take(&before, "/proc");
	for (int i = 0; i < rounds() && !run->verdict; i++) {
		if (!WANT_ERR(save(run), 0) || (kill_all(run), !WANT_ERR(bring_back(run), 0))) {
			say_log(run, LOG_PATH);
			return;
		}
		if (i == 0)
			compare(run, &before, "after the first restart");
	}
	compare(run, &before, "after the last restart");
	job_finish(run);
}

/* Processes of the job, and threads, as they are before the checkpoint. */
static pid_t all[TASKS];
static int nr_all;

static void list(struct run *run)
{
	DIR *proc = opendir("/proc"), *task;
	struct dirent *d;
	char path[64];

	nr_all = 0;
	while ((d = readdir(proc))) {
		if (atoi(d->d_name) < 2)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task", atoi(d->d_name));
		task = opendir(path);
		while (task && (d = readdir(task)))
			if (atoi(d->d_name) > 1 && nr_all < TASKS)
				all[nr_all++] = atoi(d->d_name);
		if (task)
			closedir(task);
	}
	closedir(proc);
	WANT_EQ(nr_all, TASKS);
}

/* In the end the image is as good as it was. */
static void good(struct run *run, struct image *im)
{
	int fd = scratch_file(im->b, im->len);

	WANT_ERR(call_restart(run, fd, 0), 0);
	close(fd);
	job_finish(run);
}

static bool fails(struct run *run, struct image *im, int err, const char *names)
{
	int fd = scratch_file(im->b, im->len);
	sigset_t set, was;
	bool ok;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &was);
	ok = WANT_ERR(call_restart(run, fd, 0), err) && WANT(log_names(run, names));
	/* Init is not told of children that never were. */
	sigpending(&set);
	ok &= WANT(!sigismember(&set, SIGCHLD));
	sigprocmask(SIG_SETMASK, &was, NULL);
	if (!ok)
		say_log(run, LOG_PATH);
	close(fd);
	return ok;
}

/* A pid that a task needs is taken. */
INIT_TEST(pid_taken, crowd)
{
	struct image im = load_job(run, list);

	run->s->any_pid = true;
	for (int i = 0; i < nr_all && !run->verdict; i += 9) {
		struct clone_args args = {
			.exit_signal = SIGCHLD,
			.set_tid = (uintptr_t)&all[i],
			.set_tid_size = 1,
		};
		char names[32];
		pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

		if (!pid) {
			for (;;)
				pause();
		}
		WANT_EQ(pid, all[i]);
		snprintf(names, sizeof(names), "\"pid\":%d,", all[i]);
		fails(run, &im, EEXIST, names);
		WANT(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
		if (!WANT(alone()))
			run_say(run, "with pid %d taken\n", all[i]);
	}
	good(run, &im);
}

/* A task is given something that there is not: it is half rebuilt then. */
INIT_TEST(bad_record, crowd)
{
	enum { ATTR = 21, IOPRIO = 36 };
	struct image im = load_job(run, list);

	run->s->any_pid = true;
	for (int i = 0; i < TASKS && !run->verdict; i += 9) {
		unsigned char *attr = record(&im, ATTR, i);
		uint32_t was;

		if (!WANT(attr))
			break;
		was = get32(attr + IOPRIO);
		put32(attr + IOPRIO, 0x7fffffff);
		seal(&im);
		fails(run, &im, EINVAL, "\"kind\":\"ioprio\"");
		if (!WANT(alone()))
			run_say(run, "with record %d\n", i);
		put32(attr + IOPRIO, was);
		seal(&im);
	}
	good(run, &im);
}

/* Page data is not what it was: one reads it, and others wait for their turn. */
INIT_TEST(bad_pages, crowd)
{
	struct image im = load_job(run, list);
	size_t start = get64(im.b + H_DATA_OFFSET), len = get64(im.b + H_DATA_LEN);

	run->s->any_pid = true;
	for (int i = 0; i < 6 && !run->verdict; i++) {
		size_t at = start + (i < 5 ? len / 5 * i : len - 1);

		im.b[at] ^= 1;
		fails(run, &im, EINVAL, "page data is damaged");
		if (!WANT(alone()))
			run_say(run, "with byte %zu\n", at);
		im.b[at] ^= 1;
	}
	good(run, &im);
}

/* SIGKILL from another thread of init, to one of them, as soon as it is there or later. */
static struct {
	volatile pid_t victim;
	volatile int after_us, done, hits;
} kills;

static void *killer(void *arg)
{
	(void)arg;
	if (kills.after_us)
		usleep(kills.after_us);
	while (!kills.done) {
		if (!syscall(SYS_tkill, kills.victim, SIGKILL)) {
			kills.hits++;
			break;
		}
		sched_yield();
	}
	return NULL;
}

INIT_TEST(killed_meanwhile, crowd)
{
	struct image im = load_job(run, list);
	int restarted = 0, interrupted = 0, took_us, first = scratch_file(im.b, im.len);

	WANT_ERR(call_restart(run, first, 0), 0);
	took_us = run->args.total_ns / 1000;
	kill_all(run);
	close(first);
	for (int i = 0; i < 2 * rounds() && !run->verdict; i++) {
		int fd = scratch_file(im.b, im.len), err;
		pthread_t t;

		kills.done = 0;
		kills.victim = all[i * 7 % nr_all];
		kills.after_us = i % 2 ? took_us / (2 * rounds()) * i : 0;
		WANT(!pthread_create(&t, NULL, killer, NULL));
		err = call_restart(run, fd, 0);
		kills.done = 1;
		WANT(!pthread_join(t, NULL));
		close(fd);
		restarted += !err;
		interrupted += err != 0;
		/* A thread that is gone at once is not found by who has made it. */
		if (err && err != EINTR && err != ESRCH) {
			run_fail(run, "restart: %s\n", strerrorname_np(err));
			say_log(run, LOG_PATH);
		}
		if (!err)
			kill_all(run);
		if (!WANT(alone()))
			run_say(run, "after %d was killed\n", kills.victim);
	}
	WANT(interrupted > 0);
	run_say(run, "restarted %d times, interrupted %d\n", restarted, interrupted);
	good(run, &im);
}

/*
 * What init has become finds all that is left of the restart, and nothing that it does not
 * see. There may be nothing: those that were dead by then were reaped by the restart.
 */
JOB(reaper)
{
	int n = 0, err;

	while (waitpid(-1, NULL, 0) > 0)
		n++;
	err = errno;
	if (err == ECHILD && waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD)
		_exit(0);
	dprintf(STDERR_FILENO, "# init has waited for %d, then %s, and there are others\n", n,
		strerrorname_np(err));
	__builtin_trap();
}

static struct {
	struct image im;
	int pipe[2];
} feed;

/* Feeds the restart all but the end of the image, and then executes a program. */
static void *feed_and_execute(void *arg)
{
	size_t len = feed.im.len - 4 * 4096, done = 0;
	ssize_t n;

	(void)arg;
	while (done < len && (n = write(feed.pipe[1], feed.im.b + done, len - done)) > 0)
		done += n;
	sleep_ms(100);
	setenv("CKPT_JOB", "reaper", 1);
	execl("/proc/self/exe", "init", NULL);
	return NULL;
}

INIT_TEST(executes_meanwhile, crowd)
{
	pthread_t t;

	feed.im = load_job(run, NULL);
	WANT(!pipe2(feed.pipe, O_CLOEXEC));
	WANT(!pthread_create(&t, NULL, feed_and_execute, NULL));
	WANT_ERR(call_restart(run, feed.pipe[0], 0), 0);
	run_fail(run, "init did not execute a program\n");
}

TEST_HARNESS_MAIN
