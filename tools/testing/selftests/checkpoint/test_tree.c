// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees that have lost somebody: process groups and sessions without a leader,
 * processes without their first thread; and who waits for whom in vfork(2).
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

/* A process that answers questions, for those who can't see into it. */
struct peer {
	int there[2], back[2];
};

struct answer {
	pid_t pid, ppid, pgid, sid;
};

static void answer(struct peer *p)
{
	struct answer a;
	char c;

	close(p->there[1]);
	close(p->back[0]);
	while (read(p->there[0], &c, 1) == 1 && c != 'q') {
		a = (struct answer){ getpid(), getppid(), getpgrp(), getsid(0) };
		if (write(p->back[1], &a, sizeof(a)) != sizeof(a))
			_exit(1);
	}
	_exit(7);
}

static void peer_open(struct peer *p)
{
	NEED(!pipe(p->there) && !pipe(p->back));
}

static struct answer ask(struct peer *p)
{
	struct answer a = { 0 };

	CHECK(write(p->there[1], "?", 1) == 1);
	CHECK(read(p->back[0], &a, sizeof(a)) == sizeof(a));
	return a;
}

static bool same(struct answer a, struct answer b)
{
	return a.pid == b.pid && a.ppid == b.ppid && a.pgid == b.pgid && a.sid == b.sid;
}

static void reap(pid_t pid, int want)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, want);
}

static void quit(struct peer *p, pid_t pid)
{
	CHECK(write(p->there[1], "q", 1) == 1);
	reap(pid, 7 << 8);
}

static int of_task(pid_t pid, pid_t tid, char *text, size_t len)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	n = read(fd, text, len - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0 ? 0 : -1;
}

static void wait_for_state(pid_t pid, pid_t tid, const char *state)
{
	char text[1024];

	do
		NEED(!of_task(pid, tid, text, sizeof(text)));
	while (!strstr(text, state));
}

/* Process groups and sessions. */

SCENARIO(group_leader_gone, .tasks = 3)
{
	struct peer p[2];
	struct answer was[2];
	pid_t pid, status;

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	peer_open(&p[0]);
	peer_open(&p[1]);
	pid = fork();
	if (!pid) {
		NEED(!setpgid(0, 0));
		if (!fork())
			answer(&p[0]);
		if (!fork())
			answer(&p[1]);
		_exit(0);
	}
	reap(pid, 0);
	for (int i = 0; i < 2; i++)
		was[i] = ask(&p[i]);
	NEED(was[0].pgid == pid && was[1].pgid == pid && was[0].ppid == getpid());
	job_hold();
	for (int i = 0; i < 2; i++)
		CHECK(same(ask(&p[i]), was[i]));
	/* The group can be signalled, joined and waited for. */
	CHECK(!kill(-pid, 0));
	CHECK(!setpgid(was[0].pid, was[0].pid) && ask(&p[0]).pgid == was[0].pid);
	CHECK(!setpgid(was[0].pid, pid) && ask(&p[0]).pgid == pid);
	/* The number is not free: it is still that of the group. */
	CHECK(kill(pid, 0) && errno == ESRCH);
	CHECK(write(p[0].there[1], "q", 1) == 1);
	CHECK(waitpid(-pid, &status, 0) == was[0].pid && status == 7 << 8);
	CHECK(!kill(-pid, SIGTERM));
	reap(was[1].pid, SIGTERM);
	CHECK(kill(-pid, 0) && errno == ESRCH);
}

SCENARIO(session_leader_gone, .tasks = 4)
{
	struct peer p[3];
	struct answer was[3];
	pid_t pid;

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	for (int i = 0; i < 3; i++)
		peer_open(&p[i]);
	pid = fork();
	if (!pid) {
		NEED(setsid() > 0);
		/* One in the group of the session, two in one that has lost its leader, too. */
		if (!fork())
			answer(&p[0]);
		pid = fork();
		if (!pid) {
			NEED(!setpgid(0, 0));
			if (!fork())
				answer(&p[1]);
			if (!fork())
				answer(&p[2]);
			_exit(0);
		}
		NEED(waitpid(pid, NULL, 0) == pid);
		_exit(0);
	}
	reap(pid, 0);
	for (int i = 0; i < 3; i++)
		was[i] = ask(&p[i]);
	NEED(was[0].sid == pid && was[1].sid == pid && was[2].sid == pid);
	NEED(was[0].pgid == pid && was[1].pgid != pid && was[1].pgid == was[2].pgid);
	NEED(kill(was[1].pgid, 0) && errno == ESRCH);
	job_hold();
	for (int i = 0; i < 3; i++)
		CHECK(same(ask(&p[i]), was[i]));
	for (int i = 0; i < 3; i++)
		quit(&p[i], was[i].pid);
}

/* It has made a group, and gone to another one. */
SCENARIO(leader_moved, .tasks = 3)
{
	struct peer p[2];
	struct answer was[2];
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		peer_open(&p[i]);
		pid[i] = fork();
		if (!pid[i])
			answer(&p[i]);
		NEED(!setpgid(pid[i], pid[0]));
	}
	NEED(!setpgid(pid[0], getpgrp()));
	for (int i = 0; i < 2; i++)
		was[i] = ask(&p[i]);
	NEED(was[0].pgid == getpgrp() && was[1].pgid == pid[0]);
	job_hold();
	for (int i = 0; i < 2; i++)
		CHECK(same(ask(&p[i]), was[i]));
	CHECK(!setpgid(pid[0], pid[0]));
	CHECK_EQ(ask(&p[0]).pgid, pid[0]);
	for (int i = 0; i < 2; i++)
		quit(&p[i], pid[i]);
}

/* A child of the parent of the one that made it. */
static int sibling(void *p)
{
	answer(p);
	return 0;
}

static char stack[65536] __attribute__((aligned(64)));

SCENARIO(clone_parent, .tasks = 3)
{
	struct peer p[2];
	struct answer was[2];

	peer_open(&p[0]);
	peer_open(&p[1]);
	if (!fork()) {
		/* By the sister. */
		NEED(clone(sibling, stack + sizeof(stack), CLONE_PARENT | SIGUSR1, &p[1]) > 0);
		answer(&p[0]);
	}
	for (int i = 0; i < 2; i++)
		was[i] = ask(&p[i]);
	NEED(was[0].ppid == getpid() && was[1].ppid == getpid());
	job_hold();
	for (int i = 0; i < 2; i++)
		CHECK(same(ask(&p[i]), was[i]));
	/* It counts as made by clone(2), or not, by the signal that it ends with. */
	quit(&p[0], was[0].pid);
	quit(&p[1], was[1].pid);
}

/* Pid namespaces of the job's own. */

/* As the job sees it, and as it sees itself. */
struct nested {
	pid_t own, parent, group, session, thread, kid;
};

static void *nested_thread(void *arg)
{
	struct peer *p = arg;
	struct nested n = { .thread = gettid() };
	char c;

	while (read(p->there[0], &c, 1) == 1 && c != 'q') {
		n.own = getpid();
		n.parent = getppid();
		n.group = getpgrp();
		n.session = getsid(0);
		n.kid = 0;
		if (c == 'f') {
			n.kid = fork();
			if (!n.kid)
				_exit(getpid());
			waitpid(n.kid, &n.session, 0);
		}
		if (write(p->back[1], &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
	_exit(7);
}

static struct nested look_in(struct peer *p, char what)
{
	struct nested n = { 0 };

	CHECK(write(p->there[1], &what, 1) == 1);
	CHECK(read(p->back[0], &n, sizeof(n)) == sizeof(n));
	return n;
}

static pid_t new_pid_ns(void)
{
	pid_t pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);

	NEED(pid >= 0);
	return pid;
}

/* What the tasks of a namespace are in it, and that it is one still. */
static void in_pid_ns(struct peer *p, int n, const struct nested *was)
{
	for (int i = 0; i < n; i++) {
		struct nested is = look_in(&p[i], '?');

		CHECK(!memcmp(&is, &was[i], sizeof(is)));
		/* One with a number of the namespace, not of the one around it. */
		is = look_in(&p[i], 'f');
		CHECK(is.kid > 1 && is.kid < 20 && is.session == is.kid << 8);
	}
}

SCENARIO(pid_ns, .tasks = 5, .may_differ = { " ns/pid" })
{
	struct peer p[3];
	struct nested was[3];
	int status;
	pid_t pid;

	for (int i = 0; i < 3; i++)
		peer_open(&p[i]);
	/* Numbers that are not the same inside and outside. */
	for (int i = 0; i < 5; i++) {
		pid = fork();
		if (!pid)
			_exit(0);
		reap(pid, 0);
	}
	pid = new_pid_ns();
	if (!pid) {
		pthread_t t;

		if (!fork()) {
			/* One whose parent is gone: init's, but that of the namespace. */
			if (!fork()) {
				NEED(setsid() > 0);
				while (getppid() != 1)
					sleep_ms(1);
				nested_thread(&p[1]);
			}
			_exit(0);
		}
		if (!fork()) {
			pthread_create(&t, NULL, nested_thread, &p[2]);
			for (;;)
				pause();
		}
		waitpid(2, NULL, 0);
		nested_thread(&p[0]);
	}
	for (int i = 0; i < 3; i++)
		was[i] = look_in(&p[i], '?');
	NEED(was[0].own == 1 && !was[0].parent && was[1].parent == 1 && was[2].parent == 1);
	NEED(was[1].session == was[1].own && was[2].own != was[2].thread);
	job_hold();
	in_pid_ns(p, 3, was);
	/* Nothing in it can kill its init; who is above it can, and all go with it. */
	CHECK(!kill(pid, SIGTERM));
	CHECK_EQ(look_in(&p[0], '?').own, 1);
	CHECK(!kill(pid, SIGKILL));
	CHECK(waitpid(pid, &status, 0) == pid && status == SIGKILL);
}

/* Made by unshare(2): the first child is init, and all others are in it, too. */
SCENARIO(pid_ns_unshared, .tasks = 5, .may_differ = { " ns/pid" })
{
	struct peer p[3];
	struct nested was[3], is;
	pid_t pid, kid[2];

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	for (int i = 0; i < 3; i++)
		peer_open(&p[i]);
	pid = fork();
	if (!pid) {
		/* This one is not. */
		if (!fork())
			nested_thread(&p[2]);
		NEED(!unshare(CLONE_NEWPID));
		for (int i = 0; i < 2; i++) {
			kid[i] = fork();
			if (!kid[i])
				nested_thread(&p[i]);
		}
		for (;;)
			pause();
	}
	for (int i = 0; i < 3; i++)
		was[i] = look_in(&p[i], '?');
	NEED(was[0].own == 1 && was[1].own == 2 && was[2].own > 2 && was[2].parent == pid);
	NEED(!was[0].parent && !was[1].parent);
	job_hold();
	in_pid_ns(p, 2, was);
	is = look_in(&p[2], '?');
	CHECK(!memcmp(&is, &was[2], sizeof(is)));
	CHECK(!kill(pid, SIGKILL));
	reap(pid, SIGKILL);
	for (int i = 2; i >= 0; i--) {
		int status;

		CHECK(write(p[i].there[1], "q", 1) == 1);
		CHECK(wait(&status) > 1 && status == 7 << 8);
	}
}

/*
 * The one that made it by unshare(2) has exited: those in it have a parent outside of it
 * that has not made it, and so has a zombie.
 */
static void pid_ns_left_behind(bool by_job)
{
	struct peer p[2];
	struct nested was[2];
	int kids[2], status;
	siginfo_t info;
	pid_t pid, kid[3];

	NEED(!by_job || !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	NEED(!pipe(kids));
	for (int i = 0; i < 2; i++)
		peer_open(&p[i]);
	pid = fork();
	if (!pid) {
		NEED(!unshare(CLONE_NEWPID));
		for (int i = 0; i < 3; i++) {
			kid[i] = fork();
			if (!kid[i] && i == 2)
				_exit(5);
			if (!kid[i])
				nested_thread(&p[i]);
		}
		NEED(!waitid(P_PID, kid[2], &info, WEXITED | WNOWAIT));
		_exit(write(kids[1], kid, sizeof(kid)) != sizeof(kid));
	}
	reap(pid, 0);
	NEED(read(kids[0], kid, sizeof(kid)) == sizeof(kid));
	for (int i = 0; i < 2; i++)
		was[i] = look_in(&p[i], '?');
	NEED(was[0].own == 1 && was[1].own == 2 && !was[0].parent && !was[1].parent);
	job_hold();
	in_pid_ns(p, 2, was);
	if (!by_job) {
		/* They are init's, which waits for them. */
		CHECK(write(p[1].there[1], "q", 1) == 1 && write(p[0].there[1], "q", 1) == 1);
		return;
	}
	reap(kid[2], 5 << 8);
	CHECK(waitpid(kid[1], &status, WNOHANG) == 0);
	/* All go with their init. */
	CHECK(!kill(kid[0], SIGKILL));
	reap(kid[1], SIGKILL);
	reap(kid[0], SIGKILL);
}

SCENARIO(pid_ns_left_to_subreaper, .tasks = 4, .may_differ = { " ns/pid" })
{
	pid_ns_left_behind(true);
}

SCENARIO(pid_ns_left_to_init, .tasks = 4, .orphans = 3, .may_differ = { " ns/pid" })
{
	pid_ns_left_behind(false);
}

/* A session and a process group in it that have lost their leaders keep their numbers in it. */
SCENARIO(pid_ns_groups, .tasks = 4, .may_differ = { " ns/pid" })
{
	struct peer p[3];
	struct nested was[3];
	pid_t pid;

	for (int i = 0; i < 3; i++)
		peer_open(&p[i]);
	pid = new_pid_ns();
	if (!pid) {
		if (!fork()) {
			NEED(setsid() == 2);
			if (!fork())
				nested_thread(&p[1]);
			if (!fork()) {
				NEED(!setpgid(0, 0));
				if (!fork())
					nested_thread(&p[2]);
				_exit(0);
			}
			NEED(waitpid(4, NULL, 0) == 4);
			_exit(0);
		}
		waitpid(2, NULL, 0);
		nested_thread(&p[0]);
	}
	for (int i = 0; i < 3; i++)
		was[i] = look_in(&p[i], '?');
	NEED(was[1].session == 2 && was[1].group == 2);
	NEED(was[2].session == 2 && was[2].group == 4 && was[2].own == 5);
	job_hold();
	in_pid_ns(p, 3, was);
	quit(&p[0], pid);
}

/* Made, and nobody is in it yet. */
SCENARIO(pid_ns_fresh, .tasks = 1, .may_differ = { " ns/pid" })
{
	pid_t pid;

	NEED(!unshare(CLONE_NEWPID));
	job_hold();
	pid = fork();
	if (!pid)
		_exit(getpid() == 1 ? 3 : 4);
	reap(pid, 3 << 8);
}

/* Its init has exited, and nobody has waited for it. */
SCENARIO(pid_ns_zombies, .tasks = 4, .may_differ = { " ns/pid" })
{
	struct peer p;
	siginfo_t info;
	pid_t pid, gone;

	peer_open(&p);
	gone = new_pid_ns();
	if (!gone)
		_exit(5);
	pid = new_pid_ns();
	if (!pid) {
		if (!fork())
			_exit(6);
		NEED(!waitid(P_PID, 2, &info, WEXITED | WNOWAIT));
		nested_thread(&p);
	}
	NEED(!waitid(P_PID, gone, &info, WEXITED | WNOWAIT));
	NEED(look_in(&p, '?').own == 1);
	job_hold();
	reap(gone, 5 << 8);
	CHECK_EQ(look_in(&p, '?').own, 1);
	/* The zombie in it has its number still. */
	CHECK(look_in(&p, 'f').kid > 2);
	quit(&p, pid);
}

/* Images that nobody wrote, of trees in which somebody would wait for ever. */

enum { TASK = 12, GROUP = 48 };

/* Where fields of Task are. */
enum { T_PID = 0, T_FLAGS = 40, T_VFORK = 68, T_PID_NS = 76, T_CHILDREN_NS = 80, T_PIDS = 84 };

static unsigned char *task_of(struct run *run, struct image *im, uint32_t pid)
{
	unsigned char *p;

	for (int i = 0; (p = record(im, TASK, i)); i++)
		if (get32(p + T_PID) == pid)
			return p;
	WANT(!"no such task");
	_exit(0);
}

static void not_taken(struct run *run, struct image *im)
{
	int fd;

	seal(im);
	fd = scratch_file(im->b, im->len);
	WANT_ERR(try_restart(fd), EINVAL);
	close(fd);
	WANT(alone());
}

static int until_closed_by_job(int fd)
{
	char c;

	return read(fd, &c, 1);
}

/* Processes of a namespace, of which the last one is a zombie. */
SCENARIO(with_zombie, .tasks = 5, .may_differ = { " ns/pid" })
{
	siginfo_t info;
	int p[2], told[2];
	pid_t pid;
	char c;

	NEED(!pipe(p) && !pipe(told));
	pid = fork();
	if (!pid) {
		close(p[1]);
		NEED(!unshare(CLONE_NEWPID));
		for (int i = 0; i < 3; i++) {
			job.word[i + 1] = fork();
			if (!job.word[i + 1] && i == 2)
				_exit(0);
			if (!job.word[i + 1])
				_exit(until_closed_by_job(p[0]));
		}
		NEED(!waitid(P_PID, job.word[3], &info, WEXITED | WNOWAIT));
		NEED(write(told[1], "x", 1) == 1);
		_exit(until_closed_by_job(p[0]) || wait(NULL) < 0 || wait(NULL) < 0 ||
		      wait(NULL) < 0);
	}
	close(p[0]);
	job.word[0] = pid;
	NEED(read(told[0], &c, 1) == 1);
	job_hold();
	close(p[1]);
	reap(pid, 0);
}

/* With an init that exits before the others, its end would wait for theirs. */
INIT_TEST(zombie_init, with_zombie)
{
	struct image im = load(run);
	unsigned char *maker, *task[3];
	uint32_t pid;

	maker = task_of(run, &im, run->pid + 1);
	for (int i = 0; i < 3; i++)
		task[i] = task_of(run, &im, run->pid + 2 + i);
	WANT(get32(maker + T_CHILDREN_NS) == get32(task[0] + T_PID));
	WANT(get32(task[2] + T_FLAGS) & 1 << 9 && get32(task[2] + T_PIDS) == 3);
	/* The zombie is init instead, and init has its number. */
	pid = get32(task[2] + T_PID);
	put32(maker + T_CHILDREN_NS, pid);
	for (int i = 0; i < 3; i++)
		put32(task[i] + T_PID_NS, pid);
	put32(task[2] + T_PIDS, 1);
	put32(task[0] + T_PIDS, 3);
	not_taken(run, &im);
}

/* A namespace within one, and in each a process beside the init. */
JOB(pid_ns_twice, .tasks = 5)
{
	volatile int *ready = common_memory(4096);
	pid_t pid;
	int p[2];

	NEED(!pipe(p));
	pid = new_pid_ns();
	if (!pid) {
		close(p[1]);
		if (fork() && !new_pid_ns())
			fork();
		__sync_fetch_and_add(ready, 1);
		_exit(until_closed_by_job(p[0]));
	}
	await_count(ready, 4);
	job_hold();
	close(p[1]);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* The end of each of them waits for those that are in it, whoever is to reap them. */
INIT_TEST(fails_in_pid_ns_twice, pid_ns_twice)
{
	struct image im = load(run);
	size_t at = get64(im.b + H_DATA_OFFSET) + get64(im.b + H_DATA_LEN) - 1;
	int fd;

	im.b[at] ^= 1;
	fd = scratch_file(im.b, im.len);
	WANT_ERR(try_restart(fd), EINVAL);
	WANT(alone());
	im.b[at] ^= 1;
	fd = scratch_file(im.b, im.len);
	WANT_ERR(try_restart(fd), 0);
	job_finish(run);
}

SCENARIO(two_kids, .tasks = 3)
{
	int p[2];

	NEED(!pipe(p));
	for (int i = 0; i < 2; i++) {
		if (fork())
			continue;
		close(p[1]);
		_exit(until_closed_by_job(p[0]));
	}
	job_hold();
	close(p[1]);
	CHECK(wait(NULL) > 0 && wait(NULL) > 0);
}

/* Two that wait for each other, and one that waits for itself. */
INIT_TEST(vfork_circle, two_kids)
{
	struct image im = load(run);
	unsigned char *a = task_of(run, &im, run->pid + 1), *b = task_of(run, &im, run->pid + 2);

	put32(a + T_VFORK, get32(b + T_PID));
	put32(b + T_VFORK, get32(a + T_PID));
	not_taken(run, &im);
	put32(a + T_VFORK, get32(a + T_PID));
	put32(b + T_VFORK, 0);
	not_taken(run, &im);
}

/* Numbers of groups in a namespace that there is not, or of nobody. */
INIT_TEST(group_elsewhere, pid_ns_groups)
{
	struct image im = load(run);
	unsigned char *group = record(&im, GROUP, 0), *other = record(&im, GROUP, 1);
	uint32_t id, ns;

	if (!WANT(group && other))
		return;
	id = get32(group);
	ns = get32(group + 4);
	put32(group + 4, run->pid);
	not_taken(run, &im);
	put32(group + 4, ns);
	put32(group, 30000);
	not_taken(run, &im);
	put32(group, get32(other));
	not_taken(run, &im);
	put32(group, id);
	seal(&im);
	WANT_ERR(try_restart(scratch_file(im.b, im.len)), 0);
	job_finish(run);
}

/* What the parent is told. */

enum { READY_FD = 20 };

JOB(parent_program)
{
	sigset_t set;
	int sig;

	if (write(READY_FD, "x", 1) != 1)
		_exit(2);

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	if (sigwait(&set, &sig) || waitpid(-1, NULL, __WALL) < 0)
		_exit(1);
	_exit(sig == SIGCHLD ? 10 : 11);
}

static int until_end(void *fd)
{
	char c;

	return read(*(int *)fd, &c, 1);
}

static void told_of_end(bool executes)
{
	int p[2], ready[2];
	pid_t pid;
	char c;

	NEED(!pipe(p) && !pipe(ready));
	pid = fork();
	if (!pid) {
		sigset_t set;

		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		close(p[1]);
		dup2(ready[1], READY_FD);
		if (clone(until_end, stack + sizeof(stack), SIGUSR1, p) < 0)
			_exit(1);
		if (executes)
			execve("/proc/self/exe", (char *[]){ "x", NULL },
			       (char *[]){ "CKPT_JOB=parent_program", NULL });
		else
			parent_program_job();
		_exit(1);
	}
	close(p[0]);
	NEED(read(ready[0], &c, 1) == 1);
	sleep_ms(20);
	job_hold();
	close(p[1]);
	reap(pid, (executes ? 10 : 11) << 8);
}

/*
 * One that has executed a program since it made a child is told of its end by SIGCHLD, not
 * by the signal that it has asked for: it may have more rights than who has asked.
 */
SCENARIO(parent_has_executed, .tasks = 3)
{
	told_of_end(true);
}

SCENARIO(parent_has_not_executed, .tasks = 3)
{
	told_of_end(false);
}

JOB(continued_child, .tasks = 2)
{
	struct timespec t = { 10, 0 };
	siginfo_t info = { 0 };
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	job.word[0] = pid;
	job_hold();
	/* By the child, on its way; it has no other reason to look for signals. */
	CHECK(sigtimedwait(&set, &info, &t) == SIGCHLD && info.si_pid == pid);
	CHECK_EQ(info.si_code, CLD_CONTINUED);
	CHECK(waitid(P_PID, pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
}

/* The parent was not told yet that its child goes on: a moment that is hard to meet. */
INIT_TEST(told_late, continued_child)
{
	struct image im = load(run);
	unsigned char *kid = task_of(run, &im, run->pid + 1);

	/* GROUP_CONTINUED, NOTIFY_CONTINUED */
	put32(kid + T_FLAGS, get32(kid + T_FLAGS) | 1 << 4 | 1 << 7);
	seal(&im);
	WANT_ERR(try_restart(scratch_file(im.b, im.len)), 0);
	job_finish(run);
}

/* Processes without their first thread. */

static void *read_to_the_end(void *fd)
{
	char c;

	while (read(*(int *)fd, &c, 1) > 0)
		;
	_exit(6);
}

static void spend(int ms)
{
	struct timespec t;
	double until;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	until = t.tv_sec + t.tv_nsec / 1e9 + ms / 1e3;
	while (t.tv_sec + t.tv_nsec / 1e9 < until)
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
}

/* Fields of stat from the 10th on that count for a thread: faults and times. */
static void counters(const char *text, unsigned long *of)
{
	const char *at = strrchr(text, ')');

	CHECK(at && sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu %*u %lu %lu",
			   &of[0], &of[1], &of[2], &of[3]) == 4);
}

SCENARIO(first_thread_gone, .tasks = 3)
{
	char was[1024], is[1024];
	unsigned long before[4], after[4];
	int p[2];
	pthread_t t;
	pid_t pid;

	NEED(!pipe(p));
	pid = fork();
	if (!pid) {
		close(p[1]);
		if (pthread_create(&t, NULL, read_to_the_end, p))
			_exit(1);
		spend(50);
		syscall(SYS_exit, 9);	/* pthread_exit() of a static program needs a library */
	}
	close(p[0]);
	wait_for_state(pid, pid, ") Z ");
	sleep_ms(50);
	NEED(!of_task(pid, pid, was, sizeof(was)));
	job_hold();
	CHECK(!of_task(pid, pid, is, sizeof(is)) && strstr(is, ") Z "));
	counters(was, before);
	counters(is, after);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(after[i], before[i]);
	CHECK(waitpid(pid, NULL, WNOHANG) == 0);
	CHECK(!kill(pid, 0));
	close(p[1]);
	reap(pid, 6 << 8);
}

static void *exit_late(void *fd)
{
	char c;

	while (read(*(int *)fd, &c, 1) > 0)
		;
	syscall(SYS_exit, 5);
	return NULL;
}

/* The process ends with the last thread, and as that one did. */
SCENARIO(last_thread_ends, .tasks = 4)
{
	int p[2], status;
	pthread_t t;
	pid_t pid;

	NEED(!pipe(p));
	pid = fork();
	if (!pid) {
		close(p[1]);
		if (pthread_create(&t, NULL, exit_late, p) ||
		    pthread_create(&t, NULL, exit_late, p))
			_exit(1);
		syscall(SYS_exit, 9);
	}
	close(p[0]);
	wait_for_state(pid, pid, ") Z ");
	job_hold();
	close(p[1]);
	CHECK(waitpid(pid, &status, 0) == pid && (status == 5 << 8 || status == 9 << 8));
}

/* Stopped, told of it, and continued: all by the group, whose first thread is no more. */
SCENARIO(first_thread_gone_and_stopped, .tasks = 3)
{
	int p[2], status;
	pthread_t t;
	pid_t pid;

	NEED(!pipe(p));
	pid = fork();
	if (!pid) {
		close(p[1]);
		if (pthread_create(&t, NULL, read_to_the_end, p))
			_exit(1);
		syscall(SYS_exit, 9);
	}
	close(p[0]);
	wait_for_state(pid, pid, ") Z ");
	NEED(!kill(pid, SIGSTOP) &&
	     !waitid(P_PID, pid, &(siginfo_t){ 0 }, WSTOPPED | WNOWAIT));
	job_hold();
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) &&
	      WSTOPSIG(status) == SIGSTOP);
	close(p[1]);
	CHECK(waitpid(pid, &status, WNOHANG) == 0);
	CHECK(!kill(pid, SIGCONT));
	reap(pid, 6 << 8);
}

/*
 * Which thread has made a child decides who must die for the child to be told.
 * Two threads with a child each; the first thread of all is gone, or not.
 */
struct maker {
	int there[2], end[2];
	bool stays;	/* the child does not see the end of its parent in the pipe */
	pid_t child;
	pthread_t thread;
};

static void *make_child(void *arg)
{
	struct maker *m = arg;
	pid_t pid = fork();
	char c;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGUSR1);
		if (!m->stays)
			close(m->there[1]);
		read(m->there[0], &c, 1);
		_exit(3);
	}
	m->child = pid;
	read(m->end[0], &c, 1);
	return NULL;
}

static void threads_with_children(bool first_goes)
{
	static struct maker m[2];
	siginfo_t info = { 0 };
	int to[2], from[2];
	char c = 0;
	pid_t pid;

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	NEED(!pipe(to) && !pipe(from));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 2; i++) {
			m[i].stays = first_goes;
			if (pipe(m[i].there) || pipe(m[i].end) ||
			    pthread_create(&m[i].thread, NULL, make_child, &m[i]))
				_exit(1);
			while (!*(volatile pid_t *)&m[i].child)
				sleep_ms(1);
		}
		sleep_ms(100);	/* until prctl(2) is over */
		if (first_goes)
			NEED(write(from[1], (pid_t []){ m[0].child, m[1].child }, 8) == 8);
		if (first_goes)
			syscall(SYS_exit, 0);
		c = write(from[1], "ok", 2);
		/* Its first thread ends: the second child is left as it is. */
		if (read(to[0], &c, 1) != 1 || write(m[0].end[1], "x", 1) != 1 ||
		    pthread_join(m[0].thread, NULL))
			_exit(2);
		if (waitid(P_PID, m[0].child, &info, WEXITED) ||
		    info.si_code != CLD_KILLED || info.si_status != SIGUSR1)
			_exit(3);
		sleep_ms(20);
		if (waitid(P_PID, m[1].child, &info, WEXITED | WNOHANG | WNOWAIT) ||
		    kill(m[1].child, 0) || !waitpid(m[1].child, NULL, WNOHANG) == 0)
			_exit(4);
		close(m[1].there[1]);
		if (waitid(P_PID, m[1].child, &info, WEXITED) ||
		    info.si_code != CLD_EXITED || info.si_status != 3)
			_exit(5);
		_exit(6);
	}
	if (first_goes) {
		pid_t child[2];

		NEED(read(from[0], child, 8) == 8);
		wait_for_state(pid, pid, ") Z ");
		NEED(!kill(child[0], 0) && !kill(child[1], 0));
		job_hold();
		/* Both live: neither of their threads is gone. */
		CHECK(!kill(child[0], 0) && !kill(child[1], 0));
		sleep_ms(20);
		wait_for_state(child[0], child[0], ") S ");
		wait_for_state(child[1], child[1], ") S ");
		CHECK(!kill(pid, SIGKILL));
		reap(pid, SIGKILL);
		/* And now they are. */
		reap(child[0], SIGUSR1);
		reap(child[1], SIGUSR1);
		return;
	}
	NEED(read(from[0], &c, 1) == 1);
	job_hold();
	CHECK(write(to[1], "x", 1) == 1);
	reap(pid, 6 << 8);
}

SCENARIO(parent_thread, .tasks = 6)
{
	threads_with_children(false);
}

SCENARIO(parent_thread_first_gone, .tasks = 6)
{
	threads_with_children(true);
}

/* vfork(2) in flight. */

struct vf {
	int go[2], told[2];
	int flags, depth;
	bool exec;
};

static char stacks[4][65536] __attribute__((aligned(64)));

static int vforked(void *arg);

/* Makes a child and waits for it to let go; its status tells how that went. */
static void wait_in_vfork(struct vf *v)
{
	pid_t pid, told;
	int status;

	pid = clone(vforked, stacks[v->depth] + sizeof(stacks[0]),
		    CLONE_VM | CLONE_VFORK | v->flags | SIGCHLD, v);
	if (pid < 0 || write(v->told[1], &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	if (v->flags & CLONE_PARENT)
		_exit(4);
	told = waitpid(pid, &status, 0);
	_exit(told != pid ? 2 : status != (v->exec ? 126 : 8) << 8 ? 3 : 4);
}

static int vforked(void *arg)
{
	struct vf *v = arg;
	char c = 0;

	/* Not its memory: read(2) and _exit(2) are all that may be. */
	if (syscall(SYS_read, v->go[0], &c, 1) != 1)
		syscall(SYS_exit_group, 1);
	if (v->exec) {
		syscall(SYS_execve, "/proc/self/exe", (char *[]){ "x", NULL },
			(char *[]){ "CKPT_JOB=none", NULL });
	}
	syscall(SYS_exit_group, 8);
	return 0;
}

static void until_let_go(int flags, bool exec)
{
	struct vf v = { .flags = flags, .exec = exec };
	pid_t waiter, told = 0;
	int status, n = 0;

	NEED(!pipe(v.go) && !pipe(v.told));
	NEED(fcntl(v.told[0], F_SETFL, O_NONBLOCK) == 0);
	waiter = fork();
	if (!waiter)
		wait_in_vfork(&v);
	wait_for_state(waiter, waiter, ") D ");
	job_hold();
	/* It has not come back by itself. */
	sleep_ms(20);
	CHECK(read(v.told[0], &told, sizeof(told)) < 0 && errno == EAGAIN);
	CHECK(waitpid(-1, NULL, WNOHANG) == 0);
	CHECK(write(v.go[1], "x", 1) == 1);
	while ((told = waitpid(-1, &status, 0)) > 0) {
		n++;
		if (told == waiter)
			CHECK_EQ(status, 4 << 8);
		else
			CHECK_EQ(status, (exec ? 126 : 8) << 8);
	}
	CHECK_EQ(n, flags & CLONE_PARENT ? 2 : 1);
	CHECK(read(v.told[0], &told, sizeof(told)) == sizeof(told) && told > 1);
}

SCENARIO(vfork_until_exit, .tasks = 3)
{
	until_let_go(0, false);
}

SCENARIO(vfork_until_exec, .tasks = 3)
{
	until_let_go(0, true);
}

SCENARIO(vfork_of_a_sister, .tasks = 3)
{
	until_let_go(CLONE_PARENT, false);
}

SCENARIO(vfork_of_more_in_common, .tasks = 3)
{
	until_let_go(CLONE_FILES | CLONE_FS | CLONE_SIGHAND, true);
}

/* vfork(2) itself: one stack for both. */
SCENARIO(vfork, .tasks = 3)
{
	int go[2], status;
	pid_t waiter;

	NEED(!pipe(go));
	waiter = fork();
	if (!waiter) {
		volatile pid_t pid;
		char c;

		pid = vfork();
		if (!pid) {
			if (syscall(SYS_read, go[0], &c, 1) != 1)
				_exit(1);
			_exit(8);
		}
		_exit(pid > 0 && waitpid(pid, &status, 0) == pid && status == 8 << 8 ? 4 : 5);
	}
	wait_for_state(waiter, waiter, ") D ");
	job_hold();
	CHECK(write(go[1], "x", 1) == 1);
	reap(waiter, 4 << 8);
}

/* It is let go by the end of a file: nobody else has the other end of the pipe. */
static int until_closed(void *arg)
{
	struct vf *v = arg;
	char c;

	syscall(SYS_close, v->go[1]);
	syscall(SYS_exit_group, syscall(SYS_read, v->go[0], &c, 1) ? 1 : 8);
	return 0;
}

SCENARIO(vfork_until_closed, .tasks = 3)
{
	struct vf v = { 0 };
	int status;
	pid_t waiter;

	NEED(!pipe(v.go));
	waiter = fork();
	if (!waiter) {
		pid_t pid;

		close(v.go[1]);
		v.go[1] = -1;
		pid = clone(until_closed, stacks[0] + sizeof(stacks[0]),
			    CLONE_VM | CLONE_VFORK | SIGCHLD, &v);
		_exit(pid > 0 && waitpid(pid, &status, 0) == pid && status == 8 << 8 ? 4 : 5);
	}
	wait_for_state(waiter, waiter, ") D ");
	job_hold();
	close(v.go[1]);
	reap(waiter, 4 << 8);
}

/* A child that waits itself. */
static int vfork_again(void *arg)
{
	struct vf *v = arg;

	v->depth = 2;
	wait_in_vfork(v);
	return 0;
}

SCENARIO(vfork_twice, .tasks = 4)
{
	struct vf v = { .depth = 2 };
	int status;
	pid_t waiter;

	NEED(!pipe(v.go) && !pipe(v.told));
	waiter = fork();
	if (!waiter) {
		pid_t pid = clone(vfork_again, stacks[1] + sizeof(stacks[1]),
				  CLONE_VM | CLONE_VFORK | SIGCHLD, &v);

		_exit(pid > 0 && waitpid(pid, &status, 0) == pid && status == 4 << 8 ? 4 : 5);
	}
	wait_for_state(waiter, waiter, ") D ");
	sleep_ms(50);
	job_hold();
	CHECK(write(v.go[1], "x", 1) == 1);
	reap(waiter, 4 << 8);
}

/* Killed while it waits; and while the child is killed. */
static void killed_in_vfork(bool child)
{
	struct vf v = { 0 };
	pid_t waiter, kid = 0;
	char path[64], text[64] = "";
	int status, fd;

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	NEED(!pipe(v.go) && !pipe(v.told));
	waiter = fork();
	if (!waiter) {
		pid_t pid = clone(vforked, stacks[0] + sizeof(stacks[0]),
				  CLONE_VM | CLONE_VFORK | SIGCHLD, &v);

		_exit(waitpid(pid, &status, 0) == pid && status == SIGKILL ? 4 : 5);
	}
	wait_for_state(waiter, waiter, ") D ");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", waiter, waiter);
	fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		kid = atoi(text);
	else
		kid = waiter + 1;
	close(fd);
	NEED(kid > 0 && !kill(kid, 0));
	job_hold();
	wait_for_state(waiter, waiter, ") D ");
	if (child) {
		CHECK(!kill(kid, SIGKILL));
		reap(waiter, 4 << 8);
		return;
	}
	CHECK(!kill(waiter, SIGKILL));
	reap(waiter, SIGKILL);
	CHECK(write(v.go[1], "x", 1) == 1);
	reap(kid, 8 << 8);
}

SCENARIO(vfork_and_killed, .tasks = 3)
{
	killed_in_vfork(false);
}

SCENARIO(vfork_and_child_killed, .tasks = 3)
{
	killed_in_vfork(true);
}

/* Posted to it meanwhile, and taken when it is back. */
static volatile int signals;

static void count_signal(int sig)
{
	signals += sig == SIGUSR2;
}

SCENARIO(vfork_and_signal, .tasks = 3)
{
	int go[2], status;
	pid_t waiter;

	NEED(!pipe(go));
	waiter = fork();
	if (!waiter) {
		volatile pid_t pid;
		char c;

		signal(SIGUSR2, count_signal);
		pid = vfork();
		if (!pid) {
			if (syscall(SYS_read, go[0], &c, 1) != 1)
				_exit(1);
			_exit(8);
		}
		_exit(pid > 0 && waitpid(pid, &status, 0) == pid && status == 8 << 8 &&
		      signals == 1 ? 4 : 5);
	}
	wait_for_state(waiter, waiter, ") D ");
	NEED(!kill(waiter, SIGUSR2));
	job_hold();
	wait_for_state(waiter, waiter, ") D ");
	CHECK(write(go[1], "x", 1) == 1);
	reap(waiter, 4 << 8);
}

TEST_HARNESS_MAIN
