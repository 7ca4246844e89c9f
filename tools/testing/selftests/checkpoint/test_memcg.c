// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs that are in one memory cgroup with their init: what a checkpoint takes
 * of it must not cost the job its life.
 */
#include "ckpt_cgroup.h"

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

TEST_HARNESS_MAIN
