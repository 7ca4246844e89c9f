// SPDX-License-Identifier: GPL-2.0-only
/*
 * What prctl(2), sched_setattr(2), set_mempolicy(2) and their like set for a
 * task: speculation, dispatch of system calls, utilization clamps, core
 * scheduling, scheduling groups, nodes of memory, I/O privilege, and lists of
 * semaphore operations to undo.
 */
#include "ckpt_harness.h"

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "ckpt_image.h"

#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH		2
#endif
#ifndef PR_SPEC_DISABLE_NOEXEC
#define PR_SPEC_DISABLE_NOEXEC		(1UL << 4)
#endif
#ifndef PR_SYS_DISPATCH_EXCLUSIVE_ON
#define PR_SYS_DISPATCH_EXCLUSIVE_ON	1
#define PR_SYS_DISPATCH_INCLUSIVE_ON	2
#endif
#ifndef PR_RSEQ_SLICE_EXTENSION
#define PR_RSEQ_SLICE_EXTENSION		79
#define PR_RSEQ_SLICE_EXTENSION_GET	1
#define PR_RSEQ_SLICE_EXTENSION_SET	2
#define PR_RSEQ_SLICE_EXT_ENABLE	1
#endif
#define GET_DISPATCH	((enum __ptrace_request)0x4211)

#define PAGE	4096UL

struct common {
	volatile int ready, go, results[16];
	volatile unsigned long long ids[8];
};

static void reap(pid_t pid, int want)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, want);
}

/* Speculation. What the status file says of it is compared by the harness. */

static int speculation(int which)
{
	return prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);
}

static int speculate(int which, unsigned long how)
{
	return prctl(PR_SET_SPECULATION_CTRL, which, how, 0, 0);
}

static void need_control(int which)
{
	int is = speculation(which);

	if (is < 0 || !(is & PR_SPEC_PRCTL))
		JOB_SKIP("tasks do not control this speculation here");
}

static void controlled(int which, unsigned long how)
{
	need_control(which);
	NEED(!speculate(which, how));
	NEED(speculation(which) == (int)(PR_SPEC_PRCTL | how));
	job_hold();
	CHECK_EQ(speculation(which), PR_SPEC_PRCTL | how);
	if (how == PR_SPEC_FORCE_DISABLE)
		CHECK(speculate(which, PR_SPEC_ENABLE) && errno == EPERM);
	else
		CHECK(!speculate(which, PR_SPEC_ENABLE));
}

SCENARIO(store_bypass)
{
	controlled(PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE);
}

SCENARIO(store_bypass_until_exec)
{
	controlled(PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE_NOEXEC);
}

SCENARIO(store_bypass_for_good)
{
	controlled(PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE);
}

SCENARIO(indirect_branch)
{
	controlled(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE);
}

SCENARIO(indirect_branch_for_good)
{
	controlled(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE);
}

SCENARIO(l1d_flush)
{
	controlled(PR_SPEC_L1D_FLUSH, PR_SPEC_ENABLE);
}

static struct common *shared;

static void *speculates_less(void *arg)
{
	CHECK(!speculate(PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE));
	CHECK(!speculate(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE));
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
	shared->results[0] = speculation(PR_SPEC_STORE_BYPASS);
	shared->results[1] = speculation(PR_SPEC_INDIRECT_BRANCH);
	return NULL;
}

/* Each thread as it likes. */
SCENARIO(one_thread_speculates_less, .tasks = 2)
{
	pthread_t t;

	need_control(PR_SPEC_STORE_BYPASS);
	need_control(PR_SPEC_INDIRECT_BRANCH);
	shared = common_memory(sizeof(struct common));
	NEED(!pthread_create(&t, NULL, speculates_less, NULL));
	await_count(&shared->ready, 1);
	job_hold();
	shared->go = 1;
	pthread_join(t, NULL);
	CHECK_EQ(shared->results[0], PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE);
	CHECK_EQ(shared->results[1], PR_SPEC_PRCTL | PR_SPEC_DISABLE);
	CHECK_EQ(speculation(PR_SPEC_STORE_BYPASS), PR_SPEC_PRCTL | PR_SPEC_ENABLE);
	CHECK_EQ(speculation(PR_SPEC_INDIRECT_BRANCH), PR_SPEC_PRCTL | PR_SPEC_ENABLE);
}

static void init_disables(struct run *run)
{
	WANT(!speculate(PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE));
}

/* What a job has not asked for it does not get from init. */
SCENARIO(init_speculates_less, .dead = init_disables)
{
	need_control(PR_SPEC_STORE_BYPASS);
	job_hold();
	CHECK_EQ(speculation(PR_SPEC_STORE_BYPASS), PR_SPEC_PRCTL | PR_SPEC_ENABLE);
}

static void init_forces(struct run *run)
{
	WANT(!speculate(PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE));
}

/* Nor does init give back what it may not. */
SCENARIO(init_is_forced, .dead = init_forces, .restart_errno = EPERM,
	 .restart_refused = "\"kind\":\"speculation\"")
{
	need_control(PR_SPEC_STORE_BYPASS);
	job_hold();
}

/* System calls that are dispatched to user space. */

static volatile char selector;
static volatile int dispatched;

static void on_dispatch(int sig, siginfo_t *info, void *context)
{
	selector = 0;	/* SYSCALL_DISPATCH_FILTER_ALLOW */
	dispatched = info->si_code == 2 ? info->si_syscall : -1;
}

static void handle_dispatch(void)
{
	struct sigaction sa = { .sa_sigaction = on_dispatch, .sa_flags = SA_SIGINFO };

	NEED(!sigaction(SIGSYS, &sa, NULL));
}

struct dispatch {
	uint64_t mode, selector, offset, len;
};

static struct dispatch dispatches[2];

static void look(struct run *run, struct dispatch *d)
{
	int status;

	memset(d, 0, sizeof(*d));
	WANT(!ptrace(PTRACE_SEIZE, run->pid, 0, 0));
	WANT(!ptrace(PTRACE_INTERRUPT, run->pid, 0, 0));
	WANT_EQ(waitpid(run->pid, &status, 0), run->pid);
	WANT(!ptrace(GET_DISPATCH, run->pid, sizeof(*d), d));
	WANT(!ptrace(PTRACE_DETACH, run->pid, 0, 0));
}

static void look_before(struct run *run)
{
	look(run, &dispatches[0]);
	WANT_EQ(dispatches[0].mode, 1);
}

static void look_after(struct run *run)
{
	look(run, &dispatches[1]);
	WANT(!memcmp(&dispatches[0], &dispatches[1], sizeof(dispatches[0])));
}

SCENARIO(dispatched_calls, .before = look_before, .after = look_after)
{
	long ret;

	handle_dispatch();
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, 0, &selector))
		JOB_SKIP("system calls can't be dispatched to user space");
	job_hold();
	CHECK_EQ(dispatched, 0);
	selector = 1;
	ret = syscall(SYS_getppid);
	CHECK_EQ(dispatched, SYS_getppid);
	/* The register still has the number: nobody has set another result. */
	CHECK(ret == SYS_getppid || ret == -1);
	CHECK(syscall(SYS_getppid) == getppid());
}

/* Without a system call under way, and none allowed. */
SCENARIO(dispatches_all)
{
	handle_dispatch();
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, 0, &selector))
		JOB_SKIP("system calls can't be dispatched to user space");
	selector = 1;
	job_spin();
	CHECK_EQ(dispatched, 0);
	syscall(SYS_getppid);
	CHECK_EQ(dispatched, SYS_getppid);
}

/* The other way round: of a range that has no system calls in it. */
SCENARIO(dispatches_a_range, .before = look_before, .after = look_after)
{
	handle_dispatch();
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_INCLUSIVE_ON, (long)&job, 4096,
		  &selector))
		JOB_SKIP("ranges can't be dispatched");
	selector = 1;
	job_hold();
	CHECK_EQ(syscall(SYS_getppid), getppid());
	CHECK_EQ(dispatched, 0);
	/* All but nothing. */
	CHECK(!prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, 0,
		     &selector));
	syscall(SYS_getppid);
	CHECK_EQ(dispatched, SYS_getppid);
}

static void block_it(struct run *run)
{
	sleep_ms(200);
	if (!job_write(run, &selector, "\1", 1))
		run_fail(run, "the selector can't be written\n");
}

/* What was allowed when it began goes on, though it would not be now. */
SCENARIO(dispatch_of_a_restart, .before = block_it)
{
	struct timespec t = { 2, 0 };
	long ret;

	handle_dispatch();
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, 0, &selector))
		JOB_SKIP("system calls can't be dispatched to user space");
	job_waits();
	ret = syscall(SYS_nanosleep, &t, NULL);
	selector = 0;
	CHECK_EQ(ret, 0);
	CHECK_EQ(dispatched, 0);
	while (job.hold)
		sleep_ms(1);
}

static void *undispatched(void *arg)
{
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
	shared->results[0] = syscall(SYS_getppid) == getppid();
	return NULL;
}

/* A matter of each thread. */
SCENARIO(one_thread_dispatches, .tasks = 2)
{
	pthread_t t;

	shared = common_memory(sizeof(struct common));
	handle_dispatch();
	NEED(!pthread_create(&t, NULL, undispatched, NULL));
	await_count(&shared->ready, 1);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_EXCLUSIVE_ON, 0, 0, &selector))
		JOB_SKIP("system calls can't be dispatched to user space");
	job_hold();
	shared->go = 1;
	selector = 1;
	syscall(SYS_getppid);
	CHECK_EQ(dispatched, SYS_getppid);
	pthread_join(t, NULL);
	CHECK_EQ(shared->results[0], 1);
}

/* Scheduling. */

struct sched_attr_2 {
	uint32_t size, sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint32_t util_min, util_max;
};

#define UTIL_MIN	0x20
#define UTIL_MAX	0x40
#define KEEP		(0x08 | 0x10)

static struct sched_attr_2 attr_of(pid_t pid)
{
	struct sched_attr_2 a = { 0 };

	syscall(SYS_sched_getattr, pid, &a, sizeof(a), 0);
	return a;
}

static int clamp(uint64_t flags, uint32_t min, uint32_t max)
{
	struct sched_attr_2 a = {
		.size = sizeof(a), .sched_flags = flags | KEEP,
		.util_min = min, .util_max = max,
	};

	return syscall(SYS_sched_setattr, 0, &a, 0);
}

static void clamp_or_skip(uint64_t flags, uint32_t min, uint32_t max)
{
	if (clamp(flags, min, max)) {
		NEED(errno == EOPNOTSUPP);
		JOB_SKIP("no utilization clamps");
	}
}

static void clamped_from_outside(struct run *run)
{
	struct sched_attr_2 a = attr_of(run->pid);

	WANT_EQ(a.util_min, 100);
	WANT_EQ(a.util_max, 700);
}

SCENARIO(clamps, .before = clamped_from_outside, .after = clamped_from_outside)
{
	struct sched_attr_2 a;

	clamp_or_skip(UTIL_MIN | UTIL_MAX, 100, 700);
	job_hold();
	a = attr_of(0);
	CHECK_EQ(a.util_min, 100);
	CHECK_EQ(a.util_max, 700);
	/* One may be set, and what was not set has its default. */
	CHECK(!clamp(UTIL_MIN | UTIL_MAX, -1, -1));
	a = attr_of(0);
	CHECK_EQ(a.util_min, 0);
	CHECK_EQ(a.util_max, 1024);
}

SCENARIO(one_clamp)
{
	struct sched_attr_2 a;

	clamp_or_skip(UTIL_MAX, 0, 500);
	job_hold();
	a = attr_of(0);
	CHECK_EQ(a.util_min, 0);
	CHECK_EQ(a.util_max, 500);
}

static void init_clamps(struct run *run)
{
	WANT(!clamp(UTIL_MAX, 0, 10));
}

SCENARIO(clamps_of_init, .dead = init_clamps)
{
	clamp_or_skip(UTIL_MAX, 0, 500);
	clamp_or_skip(UTIL_MAX, 0, -1);
	job_hold();
	CHECK_EQ(attr_of(0).util_max, 1024);
}

static unsigned long long cookie_of(pid_t pid)
{
	unsigned long long id = 0;

	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, pid, PR_SCHED_CORE_SCOPE_THREAD,
		  (unsigned long)&id))
		return ~0ULL;
	return id;
}

static pid_t child(struct common *c)
{
	pid_t pid = fork();

	NEED(pid >= 0);
	if (!pid) {
		__sync_fetch_and_add(&c->ready, 1);
		while (!c->go)
			sleep_ms(1);
		_exit(0);
	}
	return pid;
}

static void cookies_from_outside(struct run *run)
{
	char path[64], *text;
	unsigned long long own = cookie_of(run->pid), id;
	int same = 0, other = 0, none = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", run->pid, run->pid);
	text = proc_read(path, NULL);
	for (char *w = text ? strtok(text, " ") : NULL; w; w = strtok(NULL, " ")) {
		id = cookie_of(atoi(w));
		same += id == own;
		other += id && id != own;
		none += !id;
	}
	WANT(own);
	WANT_EQ(same, 1);
	WANT_EQ(other, 1);
	WANT_EQ(none, 1);
	free(text);
}

/* Two share a cookie, one has another, one has none. */
SCENARIO(core_cookies, .tasks = 4, .before = cookies_from_outside,
	 .after = cookies_from_outside)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t none = child(c), other, same;

	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD, 0)) {
		NEED(errno == ENODEV || errno == EINVAL);
		c->go = 1;
		waitpid(none, NULL, 0);
		JOB_SKIP("no core scheduling, or no CPU with several threads");
	}
	same = child(c);
	other = child(c);
	await_count(&c->ready, 3);
	NEED(!prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, other, PR_SCHED_CORE_SCOPE_THREAD, 0));
	job_hold();
	CHECK(cookie_of(0));
	CHECK_EQ(cookie_of(same), cookie_of(0));
	CHECK(cookie_of(other) && cookie_of(other) != cookie_of(0));
	CHECK_EQ(cookie_of(none), 0);
	c->go = 1;
	reap(none, 0);
	reap(same, 0);
	reap(other, 0);
}

static int group_nice(const char *path)
{
	char *text = proc_read(path, NULL), *nice = text ? strstr(text, "nice ") : NULL;
	int n = nice ? atoi(nice + 5) : -100;

	free(text);
	return n;
}

static void group_from_outside(struct run *run)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/autogroup", run->pid);
	WANT_EQ(group_nice(path), 7);
}

/* Each session has a group, which its processes share. */
SCENARIO(scheduling_group, .tasks = 2, .before = group_from_outside,
	 .after = group_from_outside)
{
	struct common *c = common_memory(sizeof(struct common));
	int fd = open("/proc/self/autogroup", O_WRONLY);
	char path[64];
	pid_t pid;

	if (fd < 0)
		JOB_SKIP("no scheduling groups of sessions");
	NEED(write(fd, "7", 1) == 1);
	close(fd);
	pid = child(c);
	await_count(&c->ready, 1);
	job_hold();
	CHECK_EQ(group_nice("/proc/self/autogroup"), 7);
	snprintf(path, sizeof(path), "/proc/%d/autogroup", pid);
	CHECK_EQ(group_nice(path), 7);
	/* It is one group still: what is written by one is seen by the other. */
	fd = open("/proc/self/autogroup", O_WRONLY);
	CHECK_EQ(write(fd, "8", 1), 1);
	close(fd);
	CHECK_EQ(group_nice(path), 8);
	c->go = 1;
	reap(pid, 0);
}

/* Nodes. */

enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY, WEIGHTED_INTERLEAVE };

#define STATIC_NODES	(1 << 15)
#define RELATIVE_NODES	(1 << 14)

static long set_policy(int mode, unsigned long nodes)
{
	return syscall(SYS_set_mempolicy, mode, nodes ? &nodes : NULL, nodes ? 8 : 0);
}

static long bind_memory(void *p, size_t len, int mode, unsigned long nodes)
{
	return syscall(SYS_mbind, p, len, mode, &nodes, 8, 0);
}

static void check_policy(void *p, int mode, unsigned long nodes)
{
	unsigned long is[16] = { 0 };
	int got = -1;

	CHECK(!syscall(SYS_get_mempolicy, &got, is, 8 * sizeof(is), p, p ? 2 : 0));
	CHECK_EQ(got, mode);
	CHECK_EQ(is[0], nodes);
}

static int node_of(void *p)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, p, 1 | 2))
		return -1;
	return node;
}

static void need_two_nodes(void)
{
	if (set_policy(BIND, 2)) {
		NEED(errno == ENOSYS || errno == EINVAL);
		JOB_SKIP("no second node of memory");
	}
	NEED(!set_policy(DEFAULT, 0));
}

static char *some_memory(void)
{
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static void policy_is(int mode, unsigned long nodes)
{
	char *p;

	need_two_nodes();
	NEED(!set_policy(mode, nodes));
	p = some_memory();
	job_hold();
	check_policy(NULL, mode, nodes);
	/* It is followed, too. */
	if (mode == BIND) {
		p[0] = 1;
		CHECK_EQ(node_of(p), 1);
	}
}

SCENARIO(bound_to_a_node)
{
	policy_is(BIND, 2);
}

SCENARIO(interleaved)
{
	policy_is(INTERLEAVE, 3);
}

SCENARIO(weighted)
{
	policy_is(WEIGHTED_INTERLEAVE, 3);
}

SCENARIO(node_preferred)
{
	policy_is(PREFERRED, 2);
}

SCENARIO(nodes_preferred)
{
	policy_is(PREFERRED_MANY, 3);
}

SCENARIO(local_node)
{
	policy_is(LOCAL, 0);
}

/* With a node in it that is not there. */
SCENARIO(static_nodes)
{
	need_two_nodes();
	NEED(!set_policy(BIND | STATIC_NODES, 2 | 4));
	job_hold();
	check_policy(NULL, BIND | STATIC_NODES, 2 | 4);
}

SCENARIO(relative_nodes)
{
	need_two_nodes();
	NEED(!set_policy(INTERLEAVE | RELATIVE_NODES, 1));
	job_hold();
	check_policy(NULL, INTERLEAVE | RELATIVE_NODES, 1);
}

JOB(bound_job)
{
	need_two_nodes();
	NEED(!set_policy(BIND, 2));
	job_hold();
	check_policy(NULL, BIND, 2);
}

#define NUMA_POLICY	44
#define N_NODES		16

/* By a number that is another node here, or none. */
INIT_TEST(node_is_missing, bound_job)
{
	struct image im;
	unsigned char *p;
	int fd;

	if (set_policy(BIND, 2))
		RUN_SKIP(run, "no second node of memory");
	WANT(!set_policy(DEFAULT, 0));
	im = load(run);
	p = record(&im, NUMA_POLICY, 0);
	if (!WANT(p))
		return;
	for (int node = 2; node < 64; node += 61) {
		put64(p + N_NODES, 2 | 1ULL << node);
		seal(&im);
		fd = scratch_file(im.b, im.len);
		WANT_ERR(call_restart(run, fd, 0), EINVAL);
		WANT(log_names(run, "\"kind\":\"mempolicy\""));
		close(fd);
	}
	put64(p + N_NODES, 2);
	seal(&im);
	fd = scratch_file(im.b, im.len);
	WANT_ERR(call_restart(run, fd, 0), 0);
	close(fd);
	job_finish(run);
}

static void *bound(void *arg)
{
	NEED(!set_policy(PREFERRED, 1));
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
	check_policy(NULL, PREFERRED, 1);
	return NULL;
}

SCENARIO(one_thread_is_bound, .tasks = 2)
{
	pthread_t t;

	need_two_nodes();
	shared = common_memory(sizeof(struct common));
	NEED(!pthread_create(&t, NULL, bound, NULL));
	await_count(&shared->ready, 1);
	job_hold();
	check_policy(NULL, DEFAULT, 0);
	shared->go = 1;
	pthread_join(t, NULL);
}

static char *numa_maps[2];

static char *policies_of(struct run *run)
{
	char path[64], *text, *save = NULL, *out = calloc(1, 1 << 16);

	snprintf(path, sizeof(path), "/proc/%d/numa_maps", run->pid);
	text = proc_read(path, NULL);
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		if (!strstr(l, " default") && strlen(out) < 60000)
			sprintf(out + strlen(out), "%.*s\n", (int)strcspn(strchr(l, ' ') + 1, " ") +
				(int)(strchr(l, ' ') - l) + 1, l);
	free(text);
	return out;
}

static void maps_before(struct run *run)
{
	numa_maps[0] = policies_of(run);
}

static void maps_after(struct run *run)
{
	numa_maps[1] = policies_of(run);
	if (strcmp(numa_maps[0], numa_maps[1]))
		run_fail(run, "numa_maps was\n%sand is\n%s", numa_maps[0], numa_maps[1]);
}

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node	450
#endif

SCENARIO(bound_memory, .before = maps_before, .after = maps_after)
{
	char *p, *q, *r;

	need_two_nodes();
	p = some_memory();
	q = some_memory();
	r = some_memory();
	NEED(!bind_memory(p, 4 * PAGE, BIND, 2));
	NEED(!bind_memory(q + PAGE, PAGE, INTERLEAVE | STATIC_NODES, 3));
	NEED(!bind_memory(r, 4 * PAGE, PREFERRED_MANY, 3));
	NEED(!syscall(SYS_set_mempolicy_home_node, r, 4 * PAGE, 1UL, 0UL));
	fill(p, 2 * PAGE, 40);
	r[0] = 2;
	NEED(node_of(p) == 1);
	job_hold();
	CHECK(filled(p, 2 * PAGE, 40));
	check_policy(p, BIND, 2);
	check_policy(q, DEFAULT, 0);
	check_policy(q + PAGE, INTERLEAVE | STATIC_NODES, 3);
	check_policy(q + 2 * PAGE, DEFAULT, 0);
	check_policy(r, PREFERRED_MANY, 3);
	/* What was there is there again, and what comes goes there. */
	CHECK_EQ(node_of(p), 1);
	p[3 * PAGE] = 1;
	CHECK_EQ(node_of(p + 3 * PAGE), 1);
	r[2 * PAGE] = 1;
	CHECK_EQ(node_of(r + 2 * PAGE), 1);
}

/* The pages are the kernel's: the policy does nothing, and is not missed. */
SCENARIO(bound_vdso)
{
	char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
	size_t len = PAGE;

	need_two_nodes();
	if (!vdso)
		JOB_SKIP("no vdso");
	/* It can be bound as a whole, which is how long it is. */
	while (len <= 16 * PAGE && bind_memory(vdso, len, BIND, 2))
		len += PAGE;
	NEED(len <= 16 * PAGE);
	job_hold();
	CHECK((char *)getauxval(AT_SYSINFO_EHDR) == vdso);
	CHECK(!memcmp(vdso, "\177ELF", 4));
}

SCENARIO(bound_shared_memory, .refused = "is shared and has a NUMA policy")
{
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need_two_nodes();
	NEED(p != MAP_FAILED && !bind_memory(p, 4 * PAGE, BIND, 2));
	job_hold();
	check_policy(p, BIND, 2);
}

/* I/O privilege. */

static volatile int faulted;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	faulted = 1;
#ifdef __x86_64__
	uc->uc_mcontext.gregs[REG_RIP]++;
#else
	uc->uc_mcontext.gregs[REG_EIP]++;
#endif
}

static bool may_use_port(void)
{
	unsigned char c = 0;

	faulted = 0;
	__asm__ volatile("inb %%dx, %%al" : "+a"(c) : "d"(0x80));
	return !faulted;
}

static void raise_or_skip(int level)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	NEED(!sigaction(SIGSEGV, &sa, NULL));
	if (syscall(SYS_iopl, level))
		JOB_SKIP("no iopl(2)");
}

SCENARIO(iopl)
{
	raise_or_skip(3);
	NEED(may_use_port());
	job_hold();
	CHECK(may_use_port());
	CHECK(!syscall(SYS_iopl, 0));
	CHECK(!may_use_port());
}

static void *without(void *arg)
{
	NEED(!syscall(SYS_iopl, 0));
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
	shared->results[0] = may_use_port();
	return NULL;
}

/* A matter of each thread, and a child has it from its parent. */
SCENARIO(iopl_of_one_thread, .tasks = 3)
{
	pthread_t t;
	pid_t pid;

	raise_or_skip(3);
	shared = common_memory(sizeof(struct common));
	NEED(!pthread_create(&t, NULL, without, NULL));
	await_count(&shared->ready, 1);
	pid = fork();
	if (!pid) {
		syscall(SYS_iopl, 0);
		shared->ready = 2;
		while (!shared->go)
			sleep_ms(1);
		_exit(may_use_port());
	}
	await_count(&shared->ready, 2);
	job_hold();
	shared->go = 1;
	pthread_join(t, NULL);
	CHECK_EQ(shared->results[0], 0);
	CHECK(may_use_port());
	reap(pid, 0);
}

static void raise_init(struct run *run)
{
	WANT(!syscall(SYS_iopl, 3));
}

/* It comes from an init that has the level, but not what the level brings with it. */
SCENARIO(iopl_of_init, .dead = raise_init)
{
	raise_or_skip(3);
	job_hold();
	CHECK(may_use_port());
}

static void drop_rawio(struct run *run)
{
	WANT(lower_cap(CAP_SYS_RAWIO, false));
}

SCENARIO(iopl_without_the_right, .dead = drop_rawio, .restart_errno = EPERM,
	 .restart_refused = "\"kind\":\"iopl\"")
{
	raise_or_skip(3);
	job_hold();
}

/* Time slice extensions. */

extern const ptrdiff_t __rseq_offset;

/* The one of the C library, of the first size that there was, gives way to one with room. */
static bool slices(void)
{
	enum { SIG = 0x53053053, SIZE = 32, UNREGISTER = 1 };
	static char area[1024] __attribute__((aligned(1024)));
	void *first = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (!prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET,
		   PR_RSEQ_SLICE_EXT_ENABLE, 0, 0))
		return true;
	syscall(SYS_rseq, first, SIZE, UNREGISTER, SIG);
	return !syscall(SYS_rseq, area, sizeof(area), 0, SIG) &&
	       !prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET,
		      PR_RSEQ_SLICE_EXT_ENABLE, 0, 0);
}

SCENARIO(slice_extension)
{
	if (!slices())
		JOB_SKIP("no time slice extensions, or no rseq with room for them");
	job_hold();
	CHECK_EQ(prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0),
		 PR_RSEQ_SLICE_EXT_ENABLE);
}

/* Semaphore operations to undo. */

static int undo_id;

static int value(void)
{
	return semctl(undo_id, 0, GETVAL);
}

static int add_one(void)
{
	struct sembuf op = { 0, 1, SEM_UNDO };

	return semop(undo_id, &op, 1);
}

/*
 * Two tasks, by clone(2) with these flags and without memory in common, of
 * which the second adds to a semaphore and exits: is that undone at once?
 */
static pid_t sharer(struct common *c, unsigned long flags)
{
	pid_t pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	NEED(pid >= 0);
	if (!pid) {
		__sync_fetch_and_add(&c->ready, 1);
		while (!c->go)
			sleep_ms(1);
		undo_id = c->results[0];
		_exit(add_one());
	}
	return pid;
}

static void new_semaphore(struct common *c)
{
	undo_id = semget(IPC_PRIVATE, 1, 0600);
	CHECK(undo_id >= 0 && !semctl(undo_id, 0, SETVAL, 5));
	c->results[0] = undo_id;
}

SCENARIO(shared_undo, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid = sharer(c, CLONE_SYSVSEM);

	await_count(&c->ready, 1);
	job_hold();
	new_semaphore(c);
	c->go = 1;
	reap(pid, 0);
	CHECK_EQ(value(), 6);
	/* Ends with the last one that shares it. */
	CHECK(!unshare(CLONE_SYSVSEM));
	CHECK_EQ(value(), 5);
	semctl(undo_id, 0, IPC_RMID);
}

SCENARIO(undo_of_its_own, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid = sharer(c, 0);

	await_count(&c->ready, 1);
	job_hold();
	new_semaphore(c);
	c->go = 1;
	reap(pid, 0);
	CHECK_EQ(value(), 5);
	semctl(undo_id, 0, IPC_RMID);
}

static void *adds(void *arg)
{
	if (arg)
		NEED(!unshare(CLONE_SYSVSEM));
	__sync_fetch_and_add(&shared->ready, 1);
	while (shared->go < (arg ? 2 : 1))
		sleep_ms(1);
	CHECK(!add_one());
	return NULL;
}

/* Threads share a list, but for those that do not want to. */
SCENARIO(undo_of_threads, .tasks = 3)
{
	pthread_t t[2];

	shared = common_memory(sizeof(struct common));
	for (long i = 0; i < 2; i++)
		NEED(!pthread_create(&t[i], NULL, adds, (void *)i));
	await_count(&shared->ready, 2);
	job_hold();
	new_semaphore(shared);
	shared->go = 1;
	pthread_join(t[0], NULL);
	CHECK_EQ(value(), 6);
	shared->go = 2;
	pthread_join(t[1], NULL);
	/* The kernel's end of a thread comes a little later than that of pthread. */
	for (int i = 0; i < 1000 && value() != 6; i++)
		sleep_ms(1);
	CHECK_EQ(value(), 6);
	CHECK(!unshare(CLONE_SYSVSEM));
	/* So does that of the other one, who has the list as well. */
	for (int i = 0; i < 1000 && value() != 5; i++)
		sleep_ms(1);
	CHECK_EQ(value(), 5);
	semctl(undo_id, 0, IPC_RMID);
}

TEST_HARNESS_MAIN
