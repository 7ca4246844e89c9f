// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks that seccomp(2) confines: in strict mode, and by filters, which are
 * stacked, inherited and synchronised.
 */
#include "ckpt_cgroup.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV	(1UL << 5)
#endif
#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA	0x420d
#endif
#define GET_FILTER	((enum __ptrace_request)0x420c)

struct common {
	volatile int ready, go, threads, results[16];
	int pipe[2];
};

static struct common *common(void)
{
	struct common *c = common_memory(sizeof(*c));

	NEED(!pipe(c->pipe));
	return c;
}

/* Without a system call. */
static void spin_until(volatile int *at)
{
	while (!*at)
		;
}

static void reap(pid_t pid, int want)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, want);
}

#define NR	offsetof(struct seccomp_data, nr)

/* A filter that has an action for one system call, and allows the others. */
static int load(long nr, uint32_t action, unsigned int flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, f };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static int deny(long nr, int err)
{
	return load(nr, SECCOMP_RET_ERRNO | err, 0);
}

static int error_of(long nr)
{
	errno = 0;
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void confine_or_skip(void)
{
	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (deny(SYS_getppid, EDOM))
		JOB_SKIP("no seccomp filters");
}

/* What init reads of the filters of a task, before and after. */
static struct {
	struct sock_filter insns[8][8];
	long len[8];
	uint64_t flags[8];
} seen[2];

static void look(struct run *run, int which)
{
	struct { uint64_t off, flags; } meta;
	int status;

	memset(&seen[which], 0, sizeof(seen[which]));
	WANT(!ptrace(PTRACE_SEIZE, run->pid, 0, 0));
	WANT(!ptrace(PTRACE_INTERRUPT, run->pid, 0, 0));
	WANT_EQ(waitpid(run->pid, &status, 0), run->pid);
	for (long i = 0; i < 8; i++) {
		seen[which].len[i] = ptrace(GET_FILTER, run->pid, i, 0);
		if (seen[which].len[i] <= 0 || seen[which].len[i] > 8)
			break;
		WANT_EQ(ptrace(GET_FILTER, run->pid, i, seen[which].insns[i]),
			seen[which].len[i]);
		meta.off = i;
		meta.flags = 0;
		WANT(ptrace(PTRACE_SECCOMP_GET_METADATA, run->pid, sizeof(meta), &meta) > 0);
		seen[which].flags[i] = meta.flags;
	}
	WANT(!ptrace(PTRACE_DETACH, run->pid, 0, 0));
}

static void look_before(struct run *run)
{
	look(run, 0);
	WANT(seen[0].len[0] > 0);
}

static void look_after(struct run *run)
{
	look(run, 1);
	WANT(!memcmp(&seen[0], &seen[1], sizeof(seen[0])));
}

SCENARIO(filter, .before = look_before, .after = look_after)
{
	confine_or_skip();
	job_hold();
	CHECK_EQ(error_of(SYS_getppid), EDOM);
	CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0 && errno == EINVAL);
}

/* The later one wins where both have something to say, but for the stricter. */
SCENARIO(stacked, .before = look_before, .after = look_after)
{
	confine_or_skip();
	NEED(!load(SYS_getpgid, SECCOMP_RET_ERRNO | ERANGE, SECCOMP_FILTER_FLAG_LOG));
	NEED(!deny(SYS_getppid, ENOTTY));
	NEED(!deny(SYS_getsid, EXDEV));
	job_hold();
	CHECK_EQ(error_of(SYS_getppid), ENOTTY);
	CHECK_EQ(error_of(SYS_getpgid), ERANGE);
	CHECK_EQ(error_of(SYS_getsid), EXDEV);
	/* One more can be had. */
	CHECK(!deny(SYS_getuid, EBADF));
	CHECK_EQ(error_of(SYS_getuid), EBADF);
}

static volatile int trapped;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	trapped = info->si_syscall == SYS_getppid && info->si_errno == 77 ? info->si_code : -1;
}

SCENARIO(trap)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !sigaction(SIGSYS, &sa, NULL));
	if (load(SYS_getppid, SECCOMP_RET_TRAP | 77, 0))
		JOB_SKIP("no seccomp filters");
	job_hold();
	syscall(SYS_getppid);
	CHECK_EQ(trapped, 1);	/* SYS_SECCOMP */
}

/* With the right to, and not the promise. */
SCENARIO(privileged)
{
	if (deny(SYS_getppid, EDOM))
		JOB_SKIP("no seccomp filters");
	NEED(!setresuid(1234, 1234, 1234));
	job_hold();
	CHECK_EQ(error_of(SYS_getppid), EDOM);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK(deny(SYS_getppid, EDOM) && errno == EACCES);
}

/* Whoever listened is gone. */
SCENARIO(listener_closed)
{
	int fd;

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	fd = load(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER |
		  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (fd < 0)
		JOB_SKIP("no seccomp filters");
	close(fd);
	NEED(error_of(SYS_getppid) == ENOSYS);
	job_hold();
	CHECK_EQ(error_of(SYS_getppid), ENOSYS);
}

SCENARIO(listener, .refused = "a seccomp filter has somebody notified")
{
	int fd;

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	fd = load(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (fd < 0)
		JOB_SKIP("no seccomp filters");
	job_hold();
	close(fd);
	CHECK_EQ(error_of(SYS_getppid), ENOSYS);
}

/* Nothing but what it needs: what the restart does must not be held against it. */
static void only_write_and_exit(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 5, f };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(3);
}

SCENARIO(killer, .tasks = 3)
{
	struct common *c = common();
	pid_t good, bad;
	char b = 0;

	good = fork();
	if (!good) {
		only_write_and_exit();
		__sync_fetch_and_add(&c->ready, 1);
		spin_until(&c->go);
		syscall(SYS_write, c->pipe[1], "x", 1);
		syscall(SYS_exit_group, 7);
	}
	bad = fork();
	if (!bad) {
		only_write_and_exit();
		__sync_fetch_and_add(&c->ready, 1);
		spin_until(&c->go);
		/* Its first system call. */
		syscall(SYS_getpid);
		syscall(SYS_exit_group, 7);
	}
	await_count(&c->ready, 2);
	job_hold();
	c->go = 1;
	CHECK(read(c->pipe[0], &b, 1) == 1 && b == 'x');
	reap(good, 7 << 8);
	reap(bad, SIGSYS);
}

/*
 * Frozen in a call that is restarted through another, which the filter does not
 * allow: nobody asked it to be restarted.
 */
SCENARIO(no_restart_syscall, .tasks = 2)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_poll, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 5, f };
	struct common *c = common();
	pid_t pid = fork();

	if (!pid) {
		struct pollfd p = { .fd = c->pipe[0], .events = POLLIN };

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
			_exit(3);
		c->ready = 1;
		if (syscall(SYS_poll, &p, 1, 1000000) != 1)
			syscall(SYS_exit_group, 4);
		syscall(SYS_exit_group, 7);
	}
	await_count(&c->ready, 1);
	sleep_ms(5);
	job_hold();
	CHECK(!waitpid(pid, NULL, WNOHANG));
	CHECK(write(c->pipe[1], "x", 1) == 1);
	reap(pid, 7 << 8);
}

static pid_t strict_child(struct common *c, bool reads, bool exits)
{
	pid_t pid = fork();
	char b = 0;

	if (pid)
		return pid;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(3);
	__sync_fetch_and_add(&c->ready, 1);
	if (reads)
		syscall(SYS_read, c->pipe[0], &b, 1);
	else
		spin_until(&c->go);
	c->results[reads] = reads ? b : 1;
	if (!exits)
		syscall(SYS_getpid);
	syscall(SYS_exit, 5);
	__builtin_unreachable();
}

SCENARIO(strict, .tasks = 4)
{
	struct common *c = common();
	pid_t reads, spins, dies;

	reads = strict_child(c, true, true);
	spins = strict_child(c, false, true);
	dies = strict_child(c, false, false);
	await_count(&c->ready, 3);
	job_hold();
	CHECK(!waitpid(-1, NULL, WNOHANG));
	c->go = 1;
	CHECK(write(c->pipe[1], "r", 1) == 1);
	reap(reads, 5 << 8);
	reap(spins, 5 << 8);
	reap(dies, SIGKILL);
	CHECK_EQ(c->results[1], 'r');
	CHECK_EQ(c->results[0], 1);
}

/* A tree of filters: parent, child and grandchild have some in common. */
SCENARIO(inherited, .tasks = 4)
{
	struct common *c = common();
	pid_t pid, other;

	confine_or_skip();
	pid = fork();
	if (!pid) {
		pid_t grandchild;

		if (deny(SYS_getpgid, ERANGE))
			_exit(1);
		grandchild = fork();
		if (!grandchild) {
			if (deny(SYS_getsid, EXDEV))
				_exit(1);
			__sync_fetch_and_add(&c->ready, 1);
			while (!c->go)
				sleep_ms(1);
			c->results[0] = error_of(SYS_getppid);
			c->results[1] = error_of(SYS_getpgid);
			c->results[2] = error_of(SYS_getsid);
			_exit(0);
		}
		__sync_fetch_and_add(&c->ready, 1);
		while (!c->go)
			sleep_ms(1);
		waitpid(grandchild, NULL, 0);
		c->results[3] = error_of(SYS_getppid);
		c->results[4] = error_of(SYS_getpgid);
		c->results[5] = error_of(SYS_getsid);
		_exit(0);
	}
	other = fork();
	if (!other) {
		__sync_fetch_and_add(&c->ready, 1);
		while (!c->go)
			sleep_ms(1);
		c->results[6] = error_of(SYS_getppid);
		c->results[7] = error_of(SYS_getpgid);
		_exit(0);
	}
	await_count(&c->ready, 3);
	job_hold();
	c->go = 1;
	reap(pid, 0);
	reap(other, 0);
	CHECK(c->results[0] == EDOM && c->results[1] == ERANGE && c->results[2] == EXDEV);
	CHECK(c->results[3] == EDOM && c->results[4] == ERANGE && c->results[5] == 0);
	CHECK(c->results[6] == EDOM && c->results[7] == 0);
	CHECK(error_of(SYS_getppid) == EDOM && !error_of(SYS_getpgid));
}

/* Threads, some with a filter of their own. */
static struct common *shared;

static void *thread(void *own)
{
	int me = __sync_add_and_fetch(&shared->threads, 1);

	if (own && deny(SYS_getsid, EXDEV))
		shared->results[15] = 1;
	shared->results[me] = syscall(SYS_gettid);
	__sync_fetch_and_add(&shared->ready, 1);
	while (!shared->go)
		sleep_ms(1);
	shared->results[me] = error_of(SYS_getppid) * 1000 + error_of(SYS_getsid);
	return NULL;
}

/* That filters are one and the same shows when threads are synchronised. */
SCENARIO(threads_in_step, .tasks = 4)
{
	pthread_t t[3];

	shared = common();
	confine_or_skip();
	for (int i = 0; i < 3; i++)
		NEED(!pthread_create(&t[i], NULL, thread, NULL));
	await_count(&shared->ready, 3);
	job_hold();
	CHECK_EQ(load(SYS_getsid, SECCOMP_RET_ERRNO | ENOTTY, SECCOMP_FILTER_FLAG_TSYNC), 0);
	shared->go = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (int i = 1; i <= 3; i++)
		CHECK_EQ(shared->results[i], EDOM * 1000 + ENOTTY);
}

SCENARIO(threads_synchronised, .tasks = 4)
{
	pthread_t t[3];

	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	shared = common();
	for (int i = 0; i < 3; i++)
		NEED(!pthread_create(&t[i], NULL, thread, NULL));
	await_count(&shared->ready, 3);
	if (load(SYS_getppid, SECCOMP_RET_ERRNO | EDOM, SECCOMP_FILTER_FLAG_TSYNC))
		JOB_SKIP("no seccomp filters");
	job_hold();
	CHECK_EQ(load(SYS_getsid, SECCOMP_RET_ERRNO | ENOTTY, SECCOMP_FILTER_FLAG_TSYNC), 0);
	shared->go = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (int i = 1; i <= 3; i++)
		CHECK_EQ(shared->results[i], EDOM * 1000 + ENOTTY);
}

SCENARIO(threads_apart, .tasks = 3)
{
	pthread_t t[2];

	shared = common();
	confine_or_skip();
	NEED(!pthread_create(&t[0], NULL, thread, NULL));
	await_count(&shared->ready, 1);
	NEED(!pthread_create(&t[1], NULL, thread, shared));
	await_count(&shared->ready, 2);
	NEED(!shared->results[15]);
	job_hold();
	/* It names the thread that is not in step. */
	CHECK_EQ(load(SYS_getsid, SECCOMP_RET_ERRNO | ENOTTY, SECCOMP_FILTER_FLAG_TSYNC),
		 shared->results[2]);
	shared->go = 1;
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	CHECK_EQ(shared->results[1], EDOM * 1000);
	CHECK_EQ(shared->results[2], EDOM * 1000 + EXDEV);
}

/* Only some threads are confined at all. */
static void *free_thread(void *arg)
{
	__sync_fetch_and_add(&shared->ready, 1);
	while (!shared->go)
		sleep_ms(1);
	shared->results[0] = error_of(SYS_getppid) + 1;
	return NULL;
}

SCENARIO(thread_without, .tasks = 2)
{
	pthread_t t;

	shared = common();
	NEED(!pthread_create(&t, NULL, free_thread, NULL));
	await_count(&shared->ready, 1);
	confine_or_skip();
	job_hold();
	shared->go = 1;
	pthread_join(t, NULL);
	CHECK_EQ(shared->results[0], 1);
	CHECK_EQ(error_of(SYS_getppid), EDOM);
}

static long filters_of(pid_t pid)
{
	char path[64], *text, *at;
	long n = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	text = proc_read(path, NULL);
	at = text ? strstr(text, "Seccomp_filters:") : NULL;
	if (at)
		n = atol(at + 16);
	free(text);
	return n;
}

JOB(confined)
{
	if (deny(SYS_getsid, EXDEV))
		JOB_SKIP("no seccomp filters");
	job_hold();
	CHECK_EQ(error_of(SYS_getsid), EXDEV);
	CHECK_EQ(error_of(SYS_getppid), job.word[0] ? (int)job.word[0] : 0);
}

/* Init's own filter is inherited, and the job's is stacked upon it. */
INIT_TEST(filters_of_init, confined)
{
	uint64_t want = EDOM;

	if (deny(SYS_getppid, EDOM))
		RUN_SKIP(run, "no seccomp filters");
	if (!job_start(run))
		return;
	WANT_EQ(filters_of(run->pid), 2);
	if (!WANT_ERR(save(run), 0))
		say_log(run, LOG_PATH);
	kill_all(run);
	if (!WANT_ERR(bring_back(run), 0))
		say_log(run, LOG_PATH);
	WANT_EQ(filters_of(run->pid), 2);
	job_write(run, &job.word[0], &want, sizeof(want));
	job_finish(run);
}

/* Neither can init confine the job by what it did not have. */
INIT_TEST(filters_of_another_init, confined)
{
	if (!job_start(run))
		return;
	if (!WANT_ERR(save(run), 0))
		say_log(run, LOG_PATH);
	if (deny(SYS_getppid, EDOM))
		RUN_SKIP(run, "no seccomp filters");
	WANT_ERR(call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN), EOPNOTSUPP);
	WANT(log_names(run, "init has seccomp filters that it has not"));
	kill_all(run);
	WANT_ERR(bring_back(run), EPERM);
	WANT(log_names(run, "\"kind\":\"seccomp\""));
	WANT(alone());
}

/* Who can't load a filter can't have a task restored with one. */
INIT_TEST(filter_without_the_right, confined)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct all[2], some[2];

	if (!job_start(run))
		return;
	if (!WANT_ERR(save(run), 0))
		say_log(run, LOG_PATH);
	kill_all(run);
	WANT(!syscall(SYS_capget, &h, all));
	memcpy(some, all, sizeof(some));
	some[0].effective &= ~(1U << CAP_SYS_ADMIN);
	WANT(!syscall(SYS_capset, &h, some));
	WANT_ERR(bring_back(run), EACCES);
	WANT(log_names(run, "\"kind\":\"seccomp\""));
	WANT(alone());
	WANT(!syscall(SYS_capset, &h, all));
	if (!WANT_ERR(bring_back(run), 0))
		say_log(run, LOG_PATH);
	job_finish(run);
}

static volatile int usr1;

static void on_usr1(int sig)
{
	usr1 = sig;
}

JOB(sleeper)
{
	struct timespec long_time = { 1000, 0 };

	confine_or_skip();
	NEED(signal(SIGUSR1, on_usr1) != SIG_ERR);
	job_waits();
	CHECK(nanosleep(&long_time, NULL) && errno == EINTR);
	CHECK_EQ(usr1, SIGUSR1);
}

/*
 * In a frozen cgroup it stays frozen, and does not go on with its call where nobody
 * would notice the signal that has come: that is taken when the cgroup is thawed.
 */
INIT_TEST(in_frozen_cgroup, sleeper)
{
	cgroup_make(run, NULL);
	if (!WANT(job_start(run)))
		return;
	sleep_ms(10);
	WANT(cgroup_add(run->pid));
	WANT(cgroup_set("cgroup.freeze", "1"));
	WANT(cgroup_await("cgroup.events", "frozen ", 1));
	WANT(!kill(run->pid, SIGUSR1));
	for (int i = 0; i < 3; i++) {
		if (!WANT_ERR(save(run), 0))
			say_log(run, LOG_PATH);
		WANT(cgroup_await("cgroup.events", "frozen ", 1));
	}
	WANT(cgroup_set("cgroup.freeze", "0"));
	job_finish(run);
	cgroup_remove(run);
}

TEST_HARNESS_MAIN
