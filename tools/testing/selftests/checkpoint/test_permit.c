// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image that asks for more than the init of the restart may set itself is
 * refused, and nothing is left behind: a test for each thing it may ask for.
 * And what an unprivileged user saves in a user namespace, such a user restarts.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/syscall.h>

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE	40
#endif

/* Kinds of records, and where their fields are. */
enum {
	THREAD = 15, CREDS = 18, RLIMITS = 19, ATTR = 21, SCHED = 22,
	C_UID = 0, C_GID = 4, C_SUID = 8, C_SGID = 12, C_EUID = 16, C_EGID = 20, C_FSUID = 24,
	C_FSGID = 28, C_SECUREBITS = 32, C_NO_NEW_PRIVS = 36, C_INHERITABLE = 40,
	C_PERMITTED = 48, C_EFFECTIVE = 56, C_BOUNDING = 64, C_AMBIENT = 72, C_GROUPS = 80,
	A_OOM = 8, A_DUMPABLE = 12, A_IOPRIO = 36, A_OOM_MIN = 40, A_FLAGS = 48,
	A_IO_FLUSHER = 1 << 3,
	A_GROUP_NICE = 72, A_DISPATCH = 76, A_SELECTOR = 96,
	S_POLICY = 0, S_NICE = 4, S_PRIORITY = 8, S_FLAGS = 12, S_RUNTIME = 16, S_DEADLINE = 24,
	S_PERIOD = 32, S_UTIL_MIN = 40, S_UTIL_MAX = 44,
	T_IOPL = 4,
};

static int set_caps(uint64_t permitted, uint64_t effective)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { 0 } };

	for (int i = 0; i < 2; i++) {
		d[i].permitted = permitted >> 32 * i;
		d[i].effective = effective >> 32 * i;
	}
	return syscall(SYS_capset, &h, d);
}

/* A task that asks for nothing, but that its ids are those of its init. */
JOB(modest)
{
	NEED(!set_caps(0, 0));
	/* A secure bit that is for everyone to set. */
	NEED(!prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	job_hold();
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
	CHECK_EQ(getgroups(0, NULL), 1);
	CHECK(setpriority(PRIO_PROCESS, 0, -1) && (errno == EACCES || errno == EPERM));
}

/* Most asks leave out their last member. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* What somebody has written into the image: up to three fields of a record. */
struct ask {
	const char *what;
	int record;
	struct { int at, size; uint64_t value; } field[3];
	int err;
	const char *log;
	bool (*is_there)(void);	/* whether the kernel has what is asked for; NULL: it has */
};

static bool has_clamps(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
		uint32_t util_min, util_max;
	} a = {
		/* Keeps policy and parameters, and resets both clamps. */
		.size = 56, .flags = 0x8 | 0x10 | 0x20 | 0x40, .util_min = -1, .util_max = -1,
	};

	return !syscall(SYS_sched_setattr, 0, &a, 0);
}

static bool has_dispatch(void)
{
	return !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}

static bool has_autogroup(void)
{
	return !access("/proc/self/autogroup", F_OK);
}

static bool has_iopl(void)
{
	return !syscall(SYS_iopl, 0);
}

#define CAP(cap)	(1ULL << (cap))

static void try(struct run *run, struct image *im, const struct ask *ask)
{
	unsigned char *was = malloc(HEADER_LEN + im->meta_len), *p;
	int fd, err;

	if (ask->is_there && !ask->is_there()) {
		run_say(run, "%s: not in this kernel\n", ask->what);
		free(was);
		return;
	}
	memcpy(was, im->b, HEADER_LEN + im->meta_len);
	p = record(im, ask->record, 0);
	if (!p) {
		run_fail(run, "%s: no such record\n", ask->what);
		return;
	}
	for (int i = 0; i < 3 && ask->field[i].size; i++) {
		if (ask->field[i].size == 8)
			put64(p + ask->field[i].at, ask->field[i].value);
		else
			put32(p + ask->field[i].at, ask->field[i].value);
	}
	seal(im);
	fd = scratch_file(im->b, im->len);
	err = call_restart(run, fd, 0);
	close(fd);
	if (err != ask->err)
		run_fail(run, "%s: restart: %s, not %s\n", ask->what,
			 err ? strerrorname_np(err) : "succeeds", strerrorname_np(ask->err));
	if (err && !log_names(run, ask->log)) {
		run_fail(run, "%s: no record with '%s':\n", ask->what, ask->log);
		say_log(run, LOG_PATH);
	}
	if (!err)
		kill_all(run);
	if (!alone())
		run_fail(run, "%s: something is left behind\n", ask->what);
	memcpy(im->b, was, HEADER_LEN + im->meta_len);
	free(was);
}

static void restart_untouched(struct run *run, struct image *im)
{
	int fd;

	seal(im);
	fd = scratch_file(im->b, im->len);
	if (!WANT_ERR(call_restart(run, fd, 0), 0))
		say_log(run, LOG_PATH);
	close(fd);
}

/* An init that may do no more than call restart(2). */
INIT_TEST(asks_for_more, modest)
{
	static const struct ask asks[] = {
		{ "uid", CREDS, { { C_UID, 4, 1000 } }, EPERM, "\"kind\":\"uid\"" },
		{ "saved uid", CREDS, { { C_SUID, 4, 1000 } }, EPERM, "\"kind\":\"uid\"" },
		{ "effective uid", CREDS, { { C_EUID, 4, 1000 } }, EPERM, "\"kind\":\"uid\"" },
		{ "fsuid", CREDS, { { C_FSUID, 4, 1000 } }, EPERM, "\"kind\":\"uid\"" },
		{ "no uid", CREDS, { { C_UID, 4, 0xffffffff } }, EINVAL, "\"kind\":\"uid\"" },
		{ "gid", CREDS, { { C_GID, 4, 1000 } }, EPERM, "\"kind\":\"gid\"" },
		{ "saved gid", CREDS, { { C_SGID, 4, 1000 } }, EPERM, "\"kind\":\"gid\"" },
		{ "effective gid", CREDS, { { C_EGID, 4, 1000 } }, EPERM, "\"kind\":\"gid\"" },
		{ "fsgid", CREDS, { { C_FSGID, 4, 1000 } }, EPERM, "\"kind\":\"gid\"" },
		{ "no gid", CREDS, { { C_GID, 4, 0xffffffff } }, EINVAL, "\"kind\":\"gid\"" },
		{ "groups", CREDS, { { C_GROUPS, 4, 8 } }, EPERM, "\"kind\":\"groups\"" },
		{ "permitted", CREDS, { { C_PERMITTED, 8, CAP(CAP_KILL) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "effective", CREDS, { { C_EFFECTIVE, 8, CAP(CAP_KILL) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		/* Of what init has, but does not permit it. */
		{ "effective without permitted", CREDS,
		  { { C_EFFECTIVE, 8, CAP(CAP_CHECKPOINT_RESTORE) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "all of them", CREDS,
		  { { C_PERMITTED, 8, CAP(41) - 1 }, { C_EFFECTIVE, 8, CAP(41) - 1 } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "inheritable", CREDS, { { C_INHERITABLE, 8, CAP(CAP_KILL) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "bounding", CREDS, { { C_BOUNDING, 8, CAP(41) - 1 } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		/* Less than init has takes a right, too. */
		{ "smaller bounding", CREDS, { { C_BOUNDING, 8, 0 } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "ambient", CREDS,
		  { { C_AMBIENT, 8, CAP(CAP_KILL) }, { C_INHERITABLE, 8, CAP(CAP_KILL) },
		    { C_PERMITTED, 8, CAP(CAP_KILL) } }, EPERM, "\"kind\":\"capabilities\"" },
		{ "ambient alone", CREDS, { { C_AMBIENT, 8, CAP(CAP_CHECKPOINT_RESTORE) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "securebits", CREDS, { { C_SECUREBITS, 4, SECBIT_NOROOT } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "no_new_privs taken back", CREDS, { { C_NO_NEW_PRIVS, 4, 0 } }, EPERM,
		  "\"kind\":\"no-new-privs\"" },
		{ "soft and hard limit", RLIMITS,
		  { { RLIMIT_CORE * 16, 8, 1 << 20 }, { RLIMIT_CORE * 16 + 8, 8, 1 << 20 } }, EPERM,
		  "RLIMIT_CORE" },
		{ "no limit", RLIMITS, { { RLIMIT_MSGQUEUE * 16 + 8, 8, ~0ULL } }, EPERM,
		  "RLIMIT_MSGQUEUE" },
		{ "nice", SCHED, { { S_NICE, 4, -5 } }, EPERM, "\"kind\":\"sched\"" },
		{ "real time", SCHED, { { S_POLICY, 4, SCHED_FIFO }, { S_PRIORITY, 4, 1 } }, EPERM,
		  "\"kind\":\"sched\"" },
		{ "real time, round robin", SCHED,
		  { { S_POLICY, 4, SCHED_RR }, { S_PRIORITY, 4, 99 } }, EPERM,
		  "\"kind\":\"sched\"" },
		{ "deadline", SCHED,
		  { { S_POLICY, 4, 6 }, { S_RUNTIME, 8, 10000000 }, { S_DEADLINE, 8, 100000000 } },
		  EPERM, "\"kind\":\"sched\"" },
		{ "oom_score_adj", ATTR, { { A_OOM, 4, -1 } }, EACCES,
		  "\"kind\":\"oom_score_adj\"" },
		{ "lowest oom_score_adj", ATTR, { { A_OOM_MIN, 4, -1000 } }, EACCES,
		  "\"kind\":\"oom_score_adj\"" },
		{ "real-time I/O", ATTR, { { A_IOPRIO, 4, 1 << 13 | 4 } }, EPERM,
		  "\"kind\":\"attr\"" },
		{ "no such I/O class", ATTR, { { A_IOPRIO, 4, 7 << 13 } }, EINVAL,
		  "\"kind\":\"ioprio\"" },
		{ "I/O flusher", ATTR, { { A_FLAGS, 4, A_IO_FLUSHER } }, EPERM,
		  "\"kind\":\"attr\"" },
	};
	struct rlimit core = { 4096, 4096 }, queue = { 1000, 1000 };
	gid_t group = 7;
	struct image im;

	/* What can't be had back, the job must not have had either. */
	WANT(!setgroups(1, &group) && !setrlimit(RLIMIT_CORE, &core) &&
	     !setrlimit(RLIMIT_MSGQUEUE, &queue));
	WANT(!prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	WANT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	im = load_job(run, NULL);
	WANT(!set_caps(CAP(CAP_CHECKPOINT_RESTORE), CAP(CAP_CHECKPOINT_RESTORE)));
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		try(run, &im, &asks[i]);
	/* What it asked for itself, it gets. */
	restart_untouched(run, &im);
	job_finish(run);
}

/* Without even that. */
INIT_TEST(may_not_restart, modest)
{
	gid_t group = 7;
	struct image im;
	int fd;

	WANT(!setgroups(1, &group));
	im = load_job(run, NULL);
	/* One as good as the other. */
	WANT(!set_caps(CAP(41) - 1, (CAP(41) - 1) & ~CAP(CAP_CHECKPOINT_RESTORE) &
		       ~CAP(CAP_SYS_ADMIN)));
	fd = scratch_file(im.b, im.len);
	WANT_ERR(call_restart(run, fd, 0), EPERM);
	WANT(alone());
	WANT(!set_caps(CAP(41) - 1, CAP(41) - 1));
	restart_untouched(run, &im);
	job_finish(run);
}

JOB(core_for_root)
{
	NEED(prctl(PR_GET_DUMPABLE) == 1);
	job_hold();
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
}

/*
 * That a core dump belongs to root, wherever it is written, is for the system to say. Nobody can
 * ask for it.
 */
INIT_TEST(asks_for_core_for_root, core_for_root)
{
	struct image im = load_job(run, NULL);
	char *of_system = proc_read("/proc/sys/fs/suid_dumpable", NULL);
	unsigned char *attr = record(&im, ATTR, 0);

	if (WANT(attr) && WANT(of_system && *of_system == '0')) {
		put32(attr + A_DUMPABLE, 2);
		restart_untouched(run, &im);
		job_finish(run);
	}
	free(of_system);
}

JOB(zombie_of_a_user, .tasks = 2)
{
	siginfo_t info;
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) ? 1 : 3);
	NEED(pid > 0 && !waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	job_hold();
	CHECK(waitpid(pid, &status, 0) == pid && status == 3 << 8);
}

/* What its tasks do to their credentials is nothing to init. */
INIT_TEST(init_stays_dumpable, zombie_of_a_user)
{
	struct image im = load_job(run, NULL);
	unsigned char *creds = record(&im, CREDS, 0);

	WANT_EQ(prctl(PR_GET_DUMPABLE), 1);
	restart_untouched(run, &im);
	WANT_EQ(prctl(PR_GET_DUMPABLE), 1);
	kill_all(run);
	/* Nor where it fails in the end. */
	if (WANT(creds)) {
		uint32_t was = get32(creds + C_SECUREBITS);
		int fd;

		put32(creds + C_SECUREBITS, 1U << 31);
		seal(&im);
		fd = scratch_file(im.b, im.len);
		WANT_ERR(call_restart(run, fd, 0), EPERM);
		close(fd);
		WANT_EQ(prctl(PR_GET_DUMPABLE), 1);
		put32(creds + C_SECUREBITS, was);
	}
	restart_untouched(run, &im);
	job_finish(run);
}

/* With all rights, what is no right is still refused. */
INIT_TEST(asks_for_nonsense, modest)
{
	static const struct ask asks[] = {
		{ "no uid", CREDS, { { C_UID, 4, 0xffffffff } }, EINVAL, "\"kind\":\"uid\"" },
		{ "no gid", CREDS, { { C_FSGID, 4, 0xffffffff } }, EINVAL, "\"kind\":\"gid\"" },
		{ "no group", CREDS, { { C_GROUPS, 4, 0xffffffff } }, EINVAL,
		  "\"kind\":\"groups\"" },
		{ "effective without permitted", CREDS, { { C_EFFECTIVE, 8, CAP(CAP_KILL) } },
		  EPERM, "\"kind\":\"capabilities\"" },
		{ "ambient without permitted", CREDS, { { C_AMBIENT, 8, CAP(CAP_KILL) } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "unknown securebits", CREDS, { { C_SECUREBITS, 4, 1U << 31 } }, EPERM,
		  "\"kind\":\"capabilities\"" },
		{ "no such policy", SCHED, { { S_POLICY, 4, 99 } }, EINVAL,
		  "\"kind\":\"sched\"" },
		{ "priority of another policy", SCHED, { { S_PRIORITY, 4, 5 } }, EINVAL,
		  "\"kind\":\"sched\"" },
		{ "clamps that cross", SCHED,
		  { { S_FLAGS, 4, 0x60 }, { S_UTIL_MIN, 4, 700 }, { S_UTIL_MAX, 4, 5 } }, EINVAL,
		  "\"kind\":\"sched\"", has_clamps },
		{ "selector in the kernel", ATTR,
		  { { A_DISPATCH, 4, 1 }, { A_SELECTOR, 8, 1ULL << 63 } }, EFAULT,
		  "\"kind\":\"syscall-dispatch\"", has_dispatch },
		{ "range of nothing", ATTR, { { A_DISPATCH, 4, 2 } }, EINVAL,
		  "\"kind\":\"syscall-dispatch\"" },
	};
	gid_t group = 7;
	struct image im;

	WANT(!setgroups(1, &group));
	im = load_job(run, NULL);
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		try(run, &im, &asks[i]);
	restart_untouched(run, &im);
	job_finish(run);
}

/* The root of a user namespace that an unprivileged user has made. */

JOB(in_user_namespace)
{
	/* It may do there what root may. */
	NEED(!prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	NEED(!set_caps(CAP(CAP_SETUID) | CAP(CAP_KILL), CAP(CAP_KILL)));
	NEED(!setpriority(PRIO_PROCESS, 0, 3));
	job_hold();
	CHECK(getuid() == 0 && geteuid() == 0 && getgid() == 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0), 0);
	CHECK(!set_caps(CAP(CAP_SETUID), CAP(CAP_SETUID)));
	errno = 0;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
	/* There is no other id. */
	CHECK(setuid(1) && errno == EINVAL);
}

static void user_namespace_init(struct run *run)
{
	static const struct ask asks[] = {
		{ "uid outside", CREDS, { { C_UID, 4, 1000 } }, EINVAL, "\"kind\":\"uid\"" },
		{ "gid outside", CREDS, { { C_EGID, 4, 5 } }, EINVAL, "\"kind\":\"gid\"" },
		/* Rights over the machine, which root has not here. */
		{ "nice", SCHED, { { S_NICE, 4, -5 } }, EPERM, "\"kind\":\"sched\"" },
		{ "real time", SCHED, { { S_POLICY, 4, SCHED_FIFO }, { S_PRIORITY, 4, 1 } }, EPERM,
		  "\"kind\":\"sched\"" },
		{ "oom_score_adj", ATTR, { { A_OOM, 4, -1 } }, EACCES,
		  "\"kind\":\"oom_score_adj\"" },
		{ "real-time I/O", ATTR, { { A_IOPRIO, 4, 1 << 13 | 4 } }, EPERM,
		  "\"kind\":\"attr\"" },
		{ "I/O flusher", ATTR, { { A_FLAGS, 4, A_IO_FLUSHER } }, EPERM,
		  "\"kind\":\"attr\"" },
		{ "nice value of the session", ATTR, { { A_GROUP_NICE, 4, -5 } }, EPERM,
		  "\"kind\":\"autogroup\"", has_autogroup },
		{ "I/O privilege", THREAD, { { T_IOPL, 4, 3 } }, EPERM, "\"kind\":\"iopl\"",
		  has_iopl },
		{ "hard limit", RLIMITS, { { RLIMIT_MSGQUEUE * 16 + 8, 8, ~0ULL } }, EPERM,
		  "RLIMIT_MSGQUEUE" },
	};
	struct rlimit queue = { 1000, 1000 };
	struct image im;

	init_world(run);
	WANT(!setrlimit(RLIMIT_MSGQUEUE, &queue));
	im = load_job(run, NULL);
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		try(run, &im, &asks[i]);
	restart_untouched(run, &im);
	job_finish(run);
	_exit(0);
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

TEST_TIMEOUT(user_namespace, 600)
{
	struct run *run = run_new(&in_user_namespace_scenario, RUN_KEEP);
	int status;
	pid_t pid;

	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000) || prctl(PR_SET_DUMPABLE, 1)) {
			run_fail(run, "no other user: %s\n", strerror(errno));
			_exit(0);
		}
		if (unshare(CLONE_NEWUSER) || !put("/proc/self/setgroups", "deny") ||
		    !put("/proc/self/uid_map", "0 1000 1") ||
		    !put("/proc/self/gid_map", "0 1000 1")) {
			run->verdict = 2;
			run_say(run, "no user namespace: %s\n", strerror(errno));
			_exit(0);
		}
		run_namespaces(run, user_namespace_init, 60);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (run->verdict == 2)
		SKIP(return, "%s", run->text);
	run_print(run);
	ASSERT_EQ(0, status);
	ASSERT_EQ(0, run->verdict);
}

TEST_HARNESS_MAIN
