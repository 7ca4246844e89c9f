// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs that are in one memory cgroup with their init: what a checkpoint takes
 * of it must not cost the job its life; and tasks that are killed while they are
 * captured, which takes a moment where there is much to be copied.
 */
#include "ckpt_cgroup.h"

#include <pthread.h>

#define SHARED	(48UL << 20)
#define TASKS	3

/* Filled with something that is quick to write and to compare. */
static void paint(uint64_t *p, uint64_t seed)
{
	for (size_t i = 0; i < SHARED / sizeof(*p); i++)
		p[i] = seed + i;
}

static bool painted(const uint64_t *p, uint64_t seed)
{
	for (size_t i = 0; i < SHARED / sizeof(*p); i++)
		if (p[i] != seed + i)
			return false;
	return true;
}

/* Some processes that share a lot. */
JOB(sharers, .tasks = TASKS)
{
	uint64_t *shared = common_memory(SHARED);
	volatile int *go = common_memory(4096);
	pid_t pids[TASKS - 1];
	int status;

	paint(shared, 7);
	for (int i = 0; i < TASKS - 1; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			__sync_fetch_and_add(&go[1], 1);
			while (!*go)
				sleep_ms(2);
			_exit(painted(shared, 7) ? 9 : 1);
		}
	}
	await_count(&go[1], TASKS - 1);
	job_hold();
	*go = 1;
	CHECK(painted(shared, 7));
	for (int i = 0; i < TASKS - 1; i++) {
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_EQ(status, 9 << 8);
	}
}

static void set_limit(struct run *run, long more)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", cgroup_get("memory.current", NULL) + more);
	WANT(cgroup_set("memory.max", text));
}

/* There is no room for a copy: the checkpoint fails, and nobody is killed to make some. */
INIT_TEST(at_the_limit, sharers)
{
	static const long room[] = { 1 << 20, 5 << 20, SHARED / 2 };

	cgroup_make(run, "+memory");
	cgroup_set("memory.swap.max", "0");
	WANT(cgroup_add(0));
	if (!WANT(job_start(run)))
		return;
	for (int i = 0; i < 3; i++) {
		set_limit(run, room[i]);
		WANT_ERR(save(run), ENOMEM);
		WANT_EQ(cgroup_get("memory.events", "oom_kill "), 0);
		WANT(cgroup_set("memory.max", "max"));
		WANT(!waitpid(-1, NULL, WNOHANG));
	}
	WANT_ERR(save(run), 0);
	if (!run->verdict) {
		kill_all(run);
		WANT_ERR(bring_back(run), 0);
	}
	if (!run->verdict)
		job_finish(run);
	cgroup_remove(run);
}

static struct {
	pid_t pid;
	long us;
} victim;

static void *kill_later(void *arg)
{
	(void)arg;
	usleep(victim.us);
	kill(victim.pid, SIGKILL);
	return NULL;
}

/* How long the job stands still, in ns, when nothing is new to the caches. */
static uint64_t measure(struct run *run)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 4; i++) {
		WANT_ERR(call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN), 0);
		if (run->args.freeze_ns < least)
			least = run->args.freeze_ns;
	}
	return least;
}

/* A task is killed while its memory is copied, which then is no use any more. */
INIT_TEST(killed_in_capture, sharers)
{
	bool soon = false;
	uint64_t whole;
	pthread_t t;
	int err;

	if (!WANT(job_start(run)))
		return;
	whole = measure(run);
	/* When exactly it comes is for the scheduler to say. */
	for (int i = 0; i < 20 && !soon && !run->verdict; i++) {
		victim.pid = run->pid;
		victim.us = whole / 1000 / 4;
		WANT_EQ(pthread_create(&t, NULL, kill_later, NULL), 0);
		err = call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN);
		pthread_join(t, NULL);
		soon = err == EINTR && log_names(run, "was killed while it was being saved") &&
		       run->args.freeze_ns < whole / 2;
		kill_all(run);
		WANT(job_start(run));
	}
	WANT(soon);
	job_finish(run);
}

/* An init that is killed while it copies, with its job. @run is in memory that both see. */
static void __attribute__((noreturn)) save_all_the_time(struct run *run)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (job_start(run)) {
		run->word = measure(run) / 1000;
		run->ready = 1;
		call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN);
	}
	pause();
	_exit(1);
}

INIT_TEST(init_killed_in_capture, sharers)
{
	bool soon = false;

	for (int i = 0; i < 20 && !soon && !run->verdict; i++) {
		double killed, took;
		pid_t pid;

		run->ready = 0;
		pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
		if (!pid)
			save_all_the_time(run);
		if (!WANT(pid > 0))
			return;
		while (!run->ready && !run->verdict)
			usleep(100);
		usleep(run->word / 4);
		killed = seconds_now();
		WANT(!kill(pid, SIGKILL));
		WANT_EQ(waitpid(pid, NULL, 0), pid);
		took = (seconds_now() - killed) * 1e6;
		soon = took < run->word / 2;
		run_say(run, "%.0f of %u us\n", took, run->word);
	}
	WANT(soon);
}

TEST_HARNESS_MAIN
