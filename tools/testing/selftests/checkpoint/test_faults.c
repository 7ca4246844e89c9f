// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation of a checkpoint and of a restart fails once, and every copy
 * from and to the caller: the point where it happens walks forward until the
 * call succeeds without having got there. Each time there must be a clean error,
 * a job or an init as before, and nothing left behind; what the kernel has to
 * say about itself is looked for in its log when all is over.
 *
 * For a kernel with fault injection (ci/fault.config); one program at a time, for
 * the points of failure are counted for the machine as a whole. CKPT_STEP: walk in
 * steps of so many.
 */
#define INIT_LIMIT 2900
#include "ckpt_harness.h"

#include <pthread.h>

#define FAULTS "/sys/kernel/debug"

/* A job with threads, children, a zombie, memory, files, pipes, signals. */

static volatile int threads_stop;
static volatile long turns[4];

static void *turn(void *arg)
{
	while (!threads_stop) {
		turns[(long)arg]++;
		sleep_ms(2);
	}
	return NULL;
}

struct common {
	volatile int ready, stop, turns;
};

JOB(family, .tasks = 7, .no_plain = true)
{
	struct common *c = common_memory(sizeof(*c));
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("f", O_RDWR | O_CREAT, 0600), pipes[2], status;
	long was[2];
	pthread_t t[2];
	pid_t pid[3];
	sigset_t set;
	char word[8] = "";

	NEED(p != MAP_FAILED && fd >= 0 && !pipe(pipes));
	NEED(write(fd, "0123456789", 10) == 10 && write(pipes[1], "word", 4) == 4);
	fill(p, 64 << 10, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	NEED(!sigqueue(getpid(), SIGRTMIN, (union sigval){ 7 }));
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			if (i)
				NEED(!pthread_create(&t[0], NULL, turn, (void *)0));
			else
				setsid();
			fill(p, 4096, 2 + i);
			__sync_fetch_and_add(&c->ready, 1);
			while (!c->stop) {
				__sync_fetch_and_add(&c->turns, 1);
				sleep_ms(2);
			}
			threads_stop = 1;
			_exit(filled(p, 4096, 2 + i) ? 10 + i : 1);
		}
	}
	pid[2] = fork();
	if (!pid[2])
		_exit(12);
	NEED(!waitid(P_PID, pid[2], &(siginfo_t){ 0 }, WEXITED | WNOWAIT));
	for (long i = 0; i < 2; i++)
		NEED(!pthread_create(&t[i], NULL, turn, (void *)i));
	while (c->ready < 2)
		sleep_ms(1);
	job_hold();
	was[0] = turns[0];
	was[1] = c->turns;
	sleep_ms(200);
	CHECK(turns[0] > was[0] && c->turns > was[1]);
	threads_stop = 1;
	c->stop = 1;
	CHECK(!pthread_join(t[0], NULL) && !pthread_join(t[1], NULL));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(waitpid(pid[i], &status, 0), pid[i]);
		CHECK_EQ(status, (10 + i) << 8);
	}
	CHECK(filled(p, 64 << 10, 1));
	CHECK(read(pipes[0], word, 8) == 4 && !strcmp(word, "word"));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
	CHECK(!sigpending(&set) && sigismember(&set, SIGRTMIN));
}

/* Init's side. */

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

static bool set(const char *kind, const char *name, const char *value)
{
	char path[128];
	bool done;
	int fd;

	snprintf(path, sizeof(path), FAULTS "/%s/%s", kind, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	close(fd);
	return done;
}

static bool set_number(const char *kind, const char *name, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	return set(kind, name, text);
}

static void prepare(struct run *run)
{
	if (mount("debugfs", FAULTS, "debugfs", 0, NULL) && errno != EBUSY)
		RUN_SKIP(run, "no debugfs in this kernel");
	if (access(FAULTS "/failslab", F_OK) || access("/proc/self/fail-nth", F_OK))
		RUN_SKIP(run, "no fault injection in this kernel");
	for (int i = 0; i < 3; i++) {
		set(kinds[i], "verbose", "0");
		set(kinds[i], "probability", "0");
		WANT(set(kinds[i], "task-filter", "Y"));
	}
	set("fail_futex", "verbose", "0");
	WANT(set("failslab", "ignore-gfp-wait", "N"));
	WANT(set("fail_page_alloc", "ignore-gfp-wait", "N"));
	WANT(set("fail_page_alloc", "ignore-gfp-highmem", "N"));
	WANT(set("fail_page_alloc", "min-order", "0"));
}

static int step(void)
{
	const char *s = getenv("CKPT_STEP");

	return s && atoi(s) > 0 ? atoi(s) : 1;
}

/* What came of it, by errno. */
static int errors[134];

static void say_errors(struct run *run, const char *what, unsigned long points)
{
	run_say(run, "%s: %lu points", what, points);
	for (int i = 0; i < 134; i++)
		if (errors[i])
			run_say(run, ", %d %s", errors[i], i ? strerrorname_np(i) : "succeeded");
	run_say(run, "\n");
	memset(errors, 0, sizeof(errors));
}

/* An error that says what happened, and not that something else is wrong. */
static bool clean(int err)
{
	switch (err) {
	case 0:
	case ENOMEM:
	case EFAULT:
	case EAGAIN:
	case ENFILE:	/* what pipe(2) says when there is no memory for one */
	case ENOSPC:	/* and tmpfs, when there is none for an inode */
		return true;
	}
	return false;
}

/* Those that were found; the walk goes on for some. */
static int found;

static void unclean(struct run *run, const char *call, unsigned long n, int err)
{
	found++;
	run_fail(run, "%s, point %lu: %s\n", call, n, strerrorname_np(err) ?: "?");
	say_log(run, LOG_PATH);
}

/* Checkpoint: all of it is done by its caller. */
INIT_TEST(faults_of_checkpoint, family)
{
	int fd, err, left = 0, nth, image;
	unsigned long n;
	char text[32];

	prepare(run);
	if (!WANT(job_start(run)))
		return;
	nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	image = open(IMAGE_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (n = 1; found < 10 && !left; n += step()) {
		unlink(LOG_PATH);
		WANT(!ftruncate(image, 0) && !lseek(image, 0, SEEK_SET));
		memset(&run->args, 0, sizeof(run->args));
		fd = open(LOG_PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		run->args.log_fd = fd;
		snprintf(text, sizeof(text), "%lu", n);
		if (!WANT(pwrite(nth, text, strlen(text), 0) > 0))
			break;
		err = sys_checkpoint(image, CHECKPOINT_F_ARGS, &run->args, sizeof(run->args)) ?
			      errno : 0;
		/* What is left of it, 0 if something failed; and no more. */
		memset(text, 0, sizeof(text));
		for (int i = 0; i < 10 && pread(nth, text, sizeof(text) - 1, 0) <= 0; i++)
			;
		left = atoi(text);
		for (int i = 0; i < 10 && pwrite(nth, "0", 1, 0) <= 0; i++)
			;
		close(fd);
		errors[err & 127]++;
		if (!clean(err))
			unclean(run, "checkpoint", n, err);
		if (left && err)
			run_fail(run, "point %lu: nothing was made to fail, but: %s\n", n,
				 strerrorname_np(err));
		/* Success is to mean restorable. */
		if (!err && !left) {
			kill_all(run);
			WANT_ERR(bring_back(run), 0);
		}
	}
	close(nth);
	close(image);
	say_errors(run, "checkpoint", n - 1);
	WANT(n > 100);
	if (!run->verdict)
		job_finish(run);
}

/*
 * Restart: the tasks that it creates do most of it themselves, so that no task's
 * own count is of use. The attribute's count goes on from one use to the next: to
 * fail at the n-th point from now, the interval is what was counted so far and n.
 * A count is not to be had, but when something fails it is the interval.
 */
static void count_path(char *path, const char *kind)
{
	sprintf(path, "/tmp/ckpt-%s", kind);
}

static unsigned long counted(const char *kind)
{
	char path[64], *text;
	unsigned long n;

	count_path(path, kind);
	text = proc_read(path, NULL);
	n = text ? strtoul(text, NULL, 10) : 1;
	free(text);
	return n;
}

static void note_count(const char *kind, unsigned long n)
{
	char path[64];
	FILE *f;

	count_path(path, kind);
	f = fopen(path, "we");
	if (f) {
		fprintf(f, "%lu\n", n);
		fclose(f);
	}
}

static bool fired(const char *kind)
{
	char path[128], *text;
	bool yes;

	snprintf(path, sizeof(path), FAULTS "/%s/times", kind);
	text = proc_read(path, NULL);
	yes = text && !atoi(text);
	free(text);
	return yes;
}

static void may_fail(int fd, bool on)
{
	for (int i = 0; i < 10 && pwrite(fd, on ? "1" : "0", 1, 0) != 1; i++)
		;
}

static void walk(struct run *run, const char *kind)
{
	unsigned long base = counted(kind), n;
	int victim = open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC);
	bool over = false;

	if (!WANT(victim >= 0))
		return;
	/* The first use finds nothing counted; 1 would mean every time. */
	for (n = 1; found < 10 && !over; n += step()) {
		int image = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC), err;

		unlink(LOG_PATH);
		memset(&run->args, 0, sizeof(run->args));
		run->args.log_fd = open(LOG_PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		WANT(set_number(kind, "interval", base + n) && set(kind, "times", "1") &&
		     set(kind, "probability", "100"));
		may_fail(victim, true);
		err = sys_restart(image, RESTART_F_ARGS, &run->args, sizeof(run->args)) ? errno : 0;
		may_fail(victim, false);
		over = !fired(kind);
		if (over) {
			/* Up to where the count is known again. */
			may_fail(victim, true);
			for (int i = 0; i < 10000000 && (i % 100 || !fired(kind)); i++) {
				char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

				/* Not touched, a page that is not to be had kills. */
				if (p != MAP_FAILED) {
					if (read(victim, p, 1) < 0)
						errno = 0;
					munmap(p, 4096);
				}
			}
			may_fail(victim, false);
			WANT(fired(kind));
		}
		base += n;
		note_count(kind, base);
		set(kind, "probability", "0");
		close(run->args.log_fd);
		close(image);
		errors[err & 127]++;
		if (!clean(err))
			unclean(run, "restart", n, err);
		if (over && err)
			run_fail(run, "point %lu: nothing was made to fail, but: %s\n", n,
				 strerrorname_np(err));
		if (!err)
			kill_all(run);
		if (!alone()) {
			run_fail(run, "point %lu: something is left of a failed restart\n", n);
			break;
		}
	}
	close(victim);
	say_errors(run, kind, n - 1);
}

static long unreclaimable(void)
{
	char *text = proc_read("/proc/meminfo", NULL);
	char *p = text ? strstr(text, "SUnreclaim:") : NULL;
	long kb = p ? atol(p + 11) : 0;

	free(text);
	return kb;
}

INIT_TEST(faults_of_restart, family)
{
	long before, after;

	prepare(run);
	if (!WANT(job_start(run)) || !WANT_ERR(save(run), 0))
		return;
	kill_all(run);
	before = unreclaimable();
	for (int i = 0; i < 3; i++)
		walk(run, kinds[i]);
	after = unreclaimable();
	run_say(run, "unreclaimable: %ld kB before, %ld kB after\n", before, after);
	if (after - before > 32 * 1024)
		run_fail(run, "%ld kB of slab are gone\n", after - before);
	if (!run->verdict && WANT_ERR(bring_back(run), 0))
		job_finish(run);
}

TEST_HARNESS_MAIN
