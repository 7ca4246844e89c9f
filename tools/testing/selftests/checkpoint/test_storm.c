// SPDX-License-Identifier: GPL-2.0-only
/*
 * Storm: a random tree of processes and threads that share what they happen to
 * share, fork, exit, and change groups and sessions, while they are checkpointed
 * over and over; in some rounds all are killed and brought back. Each task looks
 * after itself: its ids, its parent, its memory, its thread-local storage, what
 * it shares. Nothing may get lost, and nothing be left behind.
 *
 * CKPT_ROUNDS: how many checkpoints (12). CKPT_STORM: how many processes, and as
 * many threads (40).
 */
#define INIT_LIMIT 6000
#include "ckpt_harness.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#define MAX_TASKS 4096

/* What all processes of the job, whatever else they share, have in common. */
struct weather {
	volatile int stop;		/* init: come to an end */
	volatile int processes, threads; /* that live now */
	volatile int want;		/* how many there should be of each */
	volatile long forks, ends, steps, strays, headless;
	volatile int failed;
	char text[2048];
};

static struct weather *sky;

static void storm_failed(const char *what, long got, long want)
{
	if (!__sync_lock_test_and_set(&sky->failed, 1))
		snprintf(sky->text, sizeof(sky->text), "%d/%d: %s: %ld, not %ld\n",
			 (int)syscall(SYS_getpid), (int)syscall(SYS_gettid), what, got, want);
}

#define HOLDS(got, want) do {						\
	long g_ = (long)(got), w_ = (long)(want);			\
	if (g_ != w_)							\
		storm_failed(#got, g_, w_);				\
} while (0)

/* What one task knows of itself. */
struct self {
	pid_t pid, tid, ppid, pgid, sid;
	uint64_t seed, count, sum;
	unsigned char pattern[256];
};

static uint64_t roll(struct self *me)
{
	me->seed = me->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return me->seed >> 33;
}

/* Where there are many, each does less: forks and exits of all take their time on few CPUs. */
static void nap(long us)
{
	struct timespec t;

	if (sky->want >= 100)
		us *= sky->want / 25;
	t = (struct timespec) { us / 1000000, us % 1000000 * 1000 };
	syscall(SYS_nanosleep, &t, NULL);
}

static void born(struct self *me, uint64_t seed)
{
	memset(me, 0, sizeof(*me));
	me->seed = seed;
	me->pid = syscall(SYS_getpid);
	me->tid = syscall(SYS_gettid);
	me->ppid = syscall(SYS_getppid);
	me->pgid = syscall(SYS_getpgid, 0);
	me->sid = syscall(SYS_getsid, 0);
	fill(me->pattern, sizeof(me->pattern), me->tid);
}

/*
 * No library below: with CLONE_VM a task has the thread-local storage of its
 * parent. That its parent is gone, and it is init's, is the one change allowed.
 */
static void look(struct self *me)
{
	pid_t ppid = syscall(SYS_getppid);

	/*
	 * getppid(2) looks who the parent is, and then for its number. Who is reaped in between
	 * has none; who looks again finds init.
	 */
	for (int i = 0; !ppid && i < 3; i++)
		ppid = syscall(SYS_getppid);
	HOLDS(syscall(SYS_getpid), me->pid);
	HOLDS(syscall(SYS_gettid), me->tid);
	if (ppid != 1)
		HOLDS(ppid, me->ppid);
	if (me->pgid)
		HOLDS(syscall(SYS_getpgid, 0), me->pgid);
	if (me->sid)
		HOLDS(syscall(SYS_getsid, 0), me->sid);
	HOLDS(filled(me->pattern, sizeof(me->pattern), me->tid), 1);
	HOLDS(me->sum, me->count * (me->count + 1) / 2);
	me->count++;
	me->sum += me->count;
	__sync_fetch_and_add(&sky->steps, 1);
}

/* Threads: of a process, with what all threads share. */

static __thread uint64_t tls;
static volatile int own_threads;

static void *gust(void *arg)
{
	struct self me;
	int steps;

	born(&me, (uint64_t)(unsigned long)arg * 2654435761u + syscall(SYS_gettid));
	tls = me.tid;
	steps = 20 + roll(&me) % 200;
	/* A directory, or descriptors, of its own. */
	if (roll(&me) % 8 == 0 && unshare(roll(&me) % 2 ? CLONE_FS : CLONE_FILES))
		storm_failed("unshare", errno, 0);
	/* Its process may change these any time. */
	me.pgid = 0;
	me.sid = 0;
	for (int i = 0; i < steps && !sky->stop; i++) {
		look(&me);
		HOLDS(tls, me.tid);
		nap(2000 + roll(&me) % 20000);
	}
	__sync_fetch_and_sub(&sky->threads, 1);
	__sync_fetch_and_sub(&own_threads, 1);
	return NULL;
}

/* The library does not know of it that this process was cloned: no more threads. */
static bool no_threads;

static void start_thread(struct self *me)
{
	pthread_attr_t attr;
	pthread_t t;

	if (no_threads)
		return;
	if (__sync_fetch_and_add(&sky->threads, 1) >= sky->want) {
		__sync_fetch_and_sub(&sky->threads, 1);
		return;
	}
	__sync_fetch_and_add(&own_threads, 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &attr, gust, (void *)(unsigned long)roll(me))) {
		__sync_fetch_and_sub(&sky->threads, 1);
		__sync_fetch_and_sub(&own_threads, 1);
		storm_failed("pthread_create", errno, 0);
	}
	pthread_attr_destroy(&attr);
}

/* Processes that share what mostly threads do, each on a stack of its own. */

struct leaf {
	struct self me;
	volatile pid_t parent;	/* -1: the stack is free */
	char stack[16384] __attribute__((aligned(64)));
};

#define LEAVES 4
static struct leaf leaves[LEAVES];

static int leaf_main(void *arg)
{
	struct leaf *leaf = arg;
	int steps;

	born(&leaf->me, leaf->parent * 40503u + syscall(SYS_gettid));
	steps = 10 + roll(&leaf->me) % 100;
	for (int i = 0; i < steps && !sky->stop; i++) {
		look(&leaf->me);
		nap(2000 + roll(&leaf->me) % 20000);
	}
	__sync_fetch_and_sub(&sky->processes, 1);
	__sync_fetch_and_add(&sky->ends, 1);
	syscall(SYS_exit, 0);
	return 0;
}

struct brood {
	pid_t pid[32];
	struct leaf *leaf[32];
	int n;
};

static bool start_leaf(struct self *me, struct brood *kids)
{
	static const int flags[] = {
		CLONE_VM, CLONE_VM | CLONE_FS, CLONE_VM | CLONE_FILES,
		CLONE_VM | CLONE_SIGHAND, CLONE_VM | CLONE_FILES | CLONE_FS,
		CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS,
	};

	for (int i = 0; i < LEAVES; i++) {
		struct leaf *leaf = &leaves[i];
		pid_t pid;

		if (leaf->parent)
			continue;
		leaf->parent = me->pid;
		pid = clone(leaf_main, leaf->stack + sizeof(leaf->stack),
			    flags[roll(me) % 6] | SIGCHLD, leaf);
		if (pid < 0) {
			leaf->parent = 0;
			storm_failed("clone", errno, 0);
			return false;
		}
		kids->pid[kids->n] = pid;
		kids->leaf[kids->n++] = leaf;
		return true;
	}
	return false;
}

static void branch(struct self *me, int depth);

static void start_child(struct self *me, struct brood *kids, int depth)
{
	uint64_t seed = roll(me);
	pid_t pid;
	int flags;

	if (kids->n == 32 || __sync_fetch_and_add(&sky->processes, 1) >= sky->want) {
		if (kids->n != 32)
			__sync_fetch_and_sub(&sky->processes, 1);
		return;
	}
	__sync_fetch_and_add(&sky->forks, 1);
	if (roll(me) % 4 == 0 && start_leaf(me, kids))
		return;
	/* fork(2), or one that shares descriptors, directory or both. */
	flags = roll(me) % 16;
	if (flags < 12 && !no_threads)
		pid = fork();
	else
		pid = syscall(SYS_clone, (flags & 1 ? CLONE_FS : 0) |
			      (flags & 2 ? CLONE_FILES : 0) | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0) {
		__sync_fetch_and_sub(&sky->processes, 1);
		storm_failed("fork", errno, 0);
	} else if (!pid) {
		struct self mine;

		/* The threads and leaves of the parent are not its own. */
		own_threads = 0;
		no_threads = no_threads || flags >= 12;
		for (int i = 0; i < LEAVES; i++)
			leaves[i].parent = 0;
		born(&mine, seed);
		branch(&mine, depth + 1);
	} else {
		kids->pid[kids->n] = pid;
		kids->leaf[kids->n++] = NULL;
	}
}

static void reap_one(struct brood *kids, int flags)
{
	int status;
	pid_t pid;

	while (kids->n && (pid = waitpid(-1, &status, flags)) > 0) {
		HOLDS(status, 0);
		for (int i = 0; i < kids->n; i++) {
			if (kids->pid[i] != pid)
				continue;
			if (kids->leaf[i])
				kids->leaf[i]->parent = 0;
			kids->pid[i] = kids->pid[--kids->n];
			kids->leaf[i] = kids->leaf[kids->n];
			pid = 0;
			break;
		}
		if (pid)
			storm_failed("a child that it never had", pid, 0);
	}
}

/* A process with children, threads and leaves, for some time. */
static void branch(struct self *me, int depth)
{
	int steps = 10 + roll(me) % 80;
	struct brood kids = { .n = 0 };
	bool alone;

	for (int i = 0; i < steps && !sky->stop; i++) {
		uint64_t dice = roll(me) % 100;

		look(me);
		if (dice < (depth < 5 ? 30 : 5))
			start_child(me, &kids, depth);
		else if (dice < 50)
			start_thread(me);
		else if (dice == 50)
			setsid();
		else if (dice == 51)
			setpgid(0, 0);
		me->pgid = syscall(SYS_getpgid, 0);
		me->sid = syscall(SYS_getsid, 0);
		reap_one(&kids, WNOHANG);
		nap(2000 + roll(me) % 10000);
	}
	/* Now and then its children become init's, but for those that have its memory. */
	for (int i = 0; i < kids.n; i++)
		if (kids.leaf[i])
			depth = -1;
	if (depth < 0 || sky->stop || roll(me) % 4) {
		reap_one(&kids, 0);
		HOLDS(kids.n, 0);
	} else {
		__sync_fetch_and_add(&sky->strays, kids.n);
	}
	/* Now and then the first thread goes before the others. */
	alone = own_threads && roll(me) % 4 == 0;
	while (!alone && own_threads)
		nap(2000);
	__sync_fetch_and_sub(&sky->processes, 1);
	__sync_fetch_and_add(&sky->ends, 1);
	if (alone)
		__sync_fetch_and_add(&sky->headless, 1);
	syscall(alone ? SYS_exit : SYS_exit_group, 0);
}

JOB(storm, .tasks = -1, .no_plain = true)
{
	struct self me;

	sky = common_memory(sizeof(*sky));
	sky->want = job.word[0] ?: (uint64_t)atol(getenv("CKPT_STORM") ?: "40");
	job.word[1] = (unsigned long)sky;
	born(&me, 20111115);
	sky->processes = 1;
	job.stage = JOB_HOLDS;
	while (job.hold) {
		struct brood kids = { .n = 0 };

		/* The first process only grows the tree; it ends when init says so. */
		for (int i = 0; !sky->stop && job.hold; i++) {
			look(&me);
			start_child(&me, &kids, 0);
			if (i % 3 == 0)
				start_thread(&me);
			reap_one(&kids, WNOHANG);
			nap(3000 + roll(&me) % 5000);
		}
		sky->stop = 1;
		reap_one(&kids, 0);
	}
	while (own_threads)
		nap(2000);
	/* Orphans are init's, which reaps them. */
	for (int i = 0; i < 20000 && (sky->processes != 1 || sky->threads); i++)
		nap(1000);
	CHECK_EQ(sky->processes, 1);
	CHECK_EQ(sky->threads, 0);
	CHECK(!sky->failed);
	job_say("%s%ld forks, %ld ends, %ld orphans, %ld without first thread, %ld looks\n",
		sky->text, sky->forks, sky->ends, sky->strays, sky->headless, sky->steps);
}

/* Init's side. */

struct counts {
	long free_kb, unreclaim_kb, tasks, files;
};

static long field(const char *text, const char *name)
{
	const char *p = text ? strstr(text, name) : NULL;

	return p ? strtol(p + strlen(name), NULL, 10) : -1;
}

static void count(struct counts *c)
{
	char *text;
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	for (int i = 0; i < 3; i++) {
		if (write(fd, "3", 1) != 1)
			break;
		sleep_ms(200);	/* RCU, and whatever else is put off */
	}
	close(fd);
	text = proc_read("/proc/meminfo", NULL);
	c->free_kb = field(text, "MemFree:");
	c->unreclaim_kb = field(text, "SUnreclaim:");
	free(text);
	text = proc_read("/proc/loadavg", NULL);
	c->tasks = text && strchr(text, '/') ? atol(strchr(text, '/') + 1) : -1;
	free(text);
	text = proc_read("/proc/sys/fs/file-nr", NULL);
	c->files = text ? atol(text) : -1;
	free(text);
}

static void reap_orphans(struct run *run)
{
	siginfo_t info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid ||
		    info.si_pid == run->pid)
			return;
		waitpid(info.si_pid, NULL, 0);
	}
}

/* Now and then, as a sign of life: whoever waits for the end may take silence for a hang. */
static void progress(const char *what, int n, int of)
{
	static double next;
	double now = seconds_now();

	if (now < next)
		return;
	next = now + 20;
	dprintf(STDERR_FILENO, "# %.0f s: %s, %d of %d\n", now, what, n, of);
}

/* What a checkpoint was refused for, by kind. */
static struct {
	char kind[48];
	int n;
} kinds[32];

static void note_refusals(int err)
{
	char *text = proc_read(LOG_PATH, NULL), *save = NULL, seen[32] = "";
	char kind[48];

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		char *k = strstr(l, "\"kind\":\"");
		int i;

		if (strstr(l, "\"level\":\"note\"") || !k ||
		    sscanf(k + 8, "%47[^\"]", kind) != 1)
			continue;
		for (i = 0; i < 31 && kinds[i].n && strcmp(kinds[i].kind, kind); i++)
			;
		strcpy(kinds[i].kind, kind);
		if (!seen[i]++)
			kinds[i].n++;
	}
	if (!text || !*text) {
		snprintf(kinds[31].kind, sizeof(kinds[31].kind), "%s", strerrorname_np(err));
		kinds[31].n++;
	}
	free(text);
}

/* As kill_all(), with more patience. */
static void calm(struct run *run)
{
	double until = seconds_now() + 120 * time_factor();
	pid_t p;

	kill(-1, SIGKILL);
	while ((p = waitpid(-1, NULL, __WALL | WNOHANG)) >= 0) {
		if (!p)
			sleep_ms(1);
		if (seconds_now() > until) {
			run_fail(run, "the job can't be killed\n");
			return;
		}
	}
}

/* Until init has no child but the first process. */
static void wait_for_orphans(struct run *run)
{
	char *text, *end;

	for (int i = 0; i < 10000 * time_factor(); i++) {
		bool alone;

		progress("the end: wait", i, 10000);
		reap_orphans(run);
		text = proc_read("/proc/1/task/1/children", NULL);
		alone = text && strtol(text, &end, 10) == run->pid && !strtol(end, NULL, 10);
		free(text);
		if (alone)
			return;
		sleep_ms(2);
	}
}

static bool storm_goes_on(struct run *run)
{
	uint64_t at = 0;
	static struct weather w;

	if (!job_read(run, &job.word[1], &at, sizeof(at)) ||
	    !job_read(run, (void *)(unsigned long)at, &w, sizeof(w))) {
		run_fail(run, "the first process can't be read\n");
		return false;
	}
	if (w.failed)
		run_fail(run, "a task: %s", w.text);
	return !w.failed;
}

INIT_TEST(storm, storm)
{
	int n = getenv("CKPT_ROUNDS") ? atoi(getenv("CKPT_ROUNDS")) : 12;
	int want = getenv("CKPT_STORM") ? atoi(getenv("CKPT_STORM")) : 40;
	int saved = 0, refused = 0, back = 0;
	uint64_t freeze = 0, most = 0, tasks = 0, restarting = 0;
	struct counts before, after;
	uint64_t seed = 42;
	struct sched_param first = { .sched_priority = 1 };
	double until;

	mount(NULL, "/mnt", NULL, MS_REMOUNT, "size=90%");
	count(&before);
	if (!WANT(job_start(run)))
		return;
	/* Who writes the image would be one among two thousand that want to run. */
	if (want >= 100 && sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &first))
		run_say(run, "no real-time priority: %s\n", strerror(errno));
	until = seconds_now() + 60 * time_factor();
	/* Until there are about as many as there will be. */
	while (seconds_now() < until) {
		uint64_t at = 0;
		struct weather w = { 0 };

		job_read(run, &job.word[1], &at, sizeof(at));
		job_read(run, (void *)(unsigned long)at, &w, offsetof(struct weather, text));
		if (w.processes >= want && w.threads >= want / 2)
			break;
		progress("processes and threads", w.processes + w.threads, 2 * want);
		reap_orphans(run);
		sleep_ms(10);
	}
	for (int i = 0; i < n && !run->verdict; i++) {
		int fd, err;

		progress("round", i, n);
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		sleep_ms(seed >> 33 & 31);
		reap_orphans(run);
		unlink(IMAGE_PATH);
		fd = open(IMAGE_PATH, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		run->args.timeout_ns = 0;
		err = call_checkpoint(run, fd, 0);
		close(fd);
		if (err && err != EOPNOTSUPP && err != EINTR && err != ETIMEDOUT) {
			run_fail(run, "round %d: checkpoint: %s\n", i, strerrorname_np(err));
			say_log(run, LOG_PATH);
			break;
		}
		if (err) {
			refused++;
			note_refusals(err);
			storm_goes_on(run);
			continue;
		}
		saved++;
		freeze += run->args.freeze_ns;
		if (run->args.tasks > most)
			most = run->args.tasks;
		tasks += run->args.tasks;
		if (saved % 3 == 0) {
			calm(run);
			err = bring_back(run);
			if (err) {
				run_fail(run, "round %d: restart: %s\n", i, strerrorname_np(err));
				say_log(run, LOG_PATH);
				break;
			}
			back++;
			restarting += run->args.total_ns;
		}
		storm_goes_on(run);
	}
	unlink(IMAGE_PATH);
	if (run->verdict)
		return;
	/* Orphans end while the first process waits for the rest. */
	job_set(run, &job.hold, 0);
	for (int i = 0; i < 30000 * time_factor(); i++) {
		int stage = 0;

		progress("the end: job", i, 30000);
		reap_orphans(run);
		if (!job_read(run, &job.stage, &stage, sizeof(stage)) || stage == JOB_DONE)
			break;
		sleep_ms(2);
	}
	wait_for_orphans(run);
	job_finish(run);
	run_say(run,
		"%d rounds: %d saved, %llu tasks on average, %llu at most, frozen for %.1f ms; %d restarts of %.1f ms; %d refused\n",
		n, saved, (unsigned long long)(saved ? tasks / saved : 0),
		(unsigned long long)most, saved ? freeze / 1e6 / saved : 0, back,
		back ? restarting / 1e6 / back : 0, refused);
	for (int i = 0; i < 32; i++)
		if (kinds[i].n)
			run_say(run, "refused for %s: %d\n", kinds[i].kind, kinds[i].n);
	/* Most are no reason to be content: one in three has to succeed, and be brought back. */
	if (saved * 3 < n || !back)
		run_fail(run, "only %d of %d were saved, and %d brought back\n", saved, n, back);
	/* Tasks of other tests, which run beside, end; what has leaked stays. */
	for (int i = 0; i < 120 * time_factor(); i++) {
		count(&after);
		if (after.tasks - before.tasks <= 20 && after.files - before.files <= 200)
			break;
		progress("the end: other tasks", i, 120);
		sleep_ms(1000);
	}
	run_say(run, "before: free %ld kB, unreclaimable %ld kB, %ld tasks, %ld files\n",
		before.free_kb, before.unreclaim_kb, before.tasks, before.files);
	run_say(run, "after:  free %ld kB, unreclaimable %ld kB, %ld tasks, %ld files\n",
		after.free_kb, after.unreclaim_kb, after.tasks, after.files);
	/* Caches, slabs that stay half full, and what other tests do beside. */
	if (after.tasks - before.tasks > 20)
		run_fail(run, "%ld more tasks\n", after.tasks - before.tasks);
	if (after.files - before.files > 200)
		run_fail(run, "%ld more open files\n", after.files - before.files);
	if (getenv("CKPT_STORM")) {
		if (before.free_kb - after.free_kb > 64 * 1024 + (long)most * 8)
			run_fail(run, "%ld kB of memory are gone\n",
				 before.free_kb - after.free_kb);
		if (after.unreclaim_kb - before.unreclaim_kb > 16 * 1024 + (long)most * 8)
			run_fail(run, "slab grew by %ld kB\n",
				 after.unreclaim_kb - before.unreclaim_kb);
	}
}

TEST_HARNESS_MAIN
