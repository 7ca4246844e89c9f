/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Scenarios for checkpoint(2) and restart(2).
 *
 * A scenario is a function that runs as the only task beside an init, in pid,
 * mount, ipc and uts namespaces of its own:
 *
 *	SCENARIO(offset)
 *	{
 *		int fd = open("f", O_RDWR | O_CREAT, 0600);
 *
 *		NEED(write(fd, "hello", 5) == 5);
 *		job_hold();
 *		CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
 *	}
 *
 * Somewhere inside job_hold() it is checkpointed and, as the variant has it,
 * goes on (keep), or is killed and restarted once (restart) or twice (twice).
 * The variant plain does nothing: it shows that the scenario itself is right.
 * CHECK() is the job's own view; from outside, init compares all that /proc
 * tells of the job before and after, and its end.
 *
 * The job is a fresh execution of the test program, in an empty directory. It
 * shares nothing with init but its standard input and output: init looks into
 * its memory (process_vm_readv(2)) to see how far it is, and lets it go on by
 * writing there. So programs have to be linked statically, not as PIE.
 *
 * What differs from that is said in the scenario's options, see struct
 * scenario: SCENARIO(name, .refused = "socket") is one that has to be refused.
 */
#ifndef CKPT_HARNESS_H
#define CKPT_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "ckpt_proc.h"
#include "ckpt_sys.h"

/* How long the init of an INIT_TEST may take, in seconds. */
#ifndef INIT_LIMIT
#define INIT_LIMIT	120
#endif

#define JOB_EXIT_STATUS	42
#define IMAGE_PATH	"/mnt/image"
#define LOG_PATH	"/mnt/log"

struct run;

struct scenario {
	const char *name;
	void (*job)(void);
	/* Called in init, at the time that the name says. */
	void (*before)(struct run *run);	/* job holds; before the checkpoint */
	void (*dead)(struct run *run);		/* job killed; before the restart */
	void (*after)(struct run *run);		/* job restarted, holds still */
	void (*release)(struct run *run);	/* after the job was let go on */
	/* checkpoint(2) has to fail with this errno (EOPNOTSUPP with .refused) ... */
	int save_errno;
	/* ... and a record that has this in it, the job's pid, and all keys. */
	const char *refused;
	/* It is refused with this at times, and then not the next time. */
	const char *at_times;
	bool any_pid;		/* the record is of another task, or of none */
	/* restart(2) has to fail with this errno, and a record with this in it. */
	int restart_errno;
	const char *restart_refused;
	/* How many tasks, threads included, make up the job: 0 for 1, -1 for any. */
	int tasks;
	int orphans;		/* how many of them are init's children, beside the first */
	/* How long the job is dead, in ms. */
	int dead_ms;
	/* Differences in /proc that contain one of these are as they should be. */
	const char *may_differ[8];
	/* No copy of "plain" for what can't be run without a checkpoint. */
	bool no_plain;
	/* It runs as forked from init, with all of init's memory. */
	bool no_exec;
	/* It is at work: what changed between two looks is not compared. */
	bool moving;
	/* Descriptor 10 is a file that init has open, too: the letters. */
	bool inherit;
	/* The job is in init's session. */
	bool same_session;
	/* Init has no IPC namespace of its own. */
	bool common_ipc;
	/* The job may end by itself, with this status of wait(2). */
	bool ends;
	int end_status;
	struct scenario *next;
};

enum run_mode { RUN_PLAIN, RUN_KEEP, RUN_RESTART, RUN_TWICE };

/* What init works on; shared with the test itself, never with the job. */
struct run {
	struct scenario *s;
	enum run_mode mode;
	pid_t pid;
	const char *program;	/* what the job executes, if not this very file */
	char dir[64];
	int dead_ms;
	volatile int ready;	/* for tests that start an init of their own */
	unsigned int word;
	char image[64];
	bool keep_dir;		/* the next init goes on in the same directory */
	bool keep_fds;		/* init keeps what the test has open */
	int verdict;		/* 0 passed, 1 failed, 2 skipped */
	struct checkpoint_args args;
	size_t len;
	char text[1 << 16];
};

/*
 * How the job and init talk, in the job's memory; at the same place in both.
 * Assembly knows it as ckpt_job, and that stage and hold come first.
 */
enum { JOB_SETUP, JOB_HOLDS, JOB_DONE };

static struct {
	volatile int stage;
	volatile int hold;	/* 1: stay in job_hold() */
	volatile int ack;	/* 1: the report was read */
	volatile int failed, skipped;
	volatile int dead_ms;	/* for how long it was not there, at least */
	volatile int plain;	/* nobody will save it */
	volatile unsigned int len;
	char report[8192];
	uint64_t word[8];	/* for scenarios: init sees and sets them */
} job __asm__("ckpt_job") __attribute__((aligned(4096), used)) = { .stage = JOB_SETUP, .hold = 1 };

/* The job's side. */

static inline void job_say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(job.report + job.len, sizeof(job.report) - job.len, fmt, ap);
	va_end(ap);
	if (n > 0)
		job.len += (unsigned int)n < sizeof(job.report) - job.len ?
			   (unsigned int)n : sizeof(job.report) - job.len - 1;
}

static inline void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static inline double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline void __attribute__((noreturn)) job_end(void)
{
	job.stage = JOB_DONE;
	while (!job.ack)
		sleep_ms(1);
	_exit(JOB_EXIT_STATUS);
}

/* Be checkpointed in a system call that is restarted over and over ... */
static inline void job_hold(void)
{
	job.stage = JOB_HOLDS;
	while (job.hold)
		sleep_ms(2);
}

/* ... or without making one. */
static inline void job_spin(void)
{
	job.stage = JOB_HOLDS;
	while (job.hold)
		;
}

/* For a job that waits in a system call of its own: it is about to. */
static inline void job_waits(void)
{
	job.stage = JOB_HOLDS;
}

#define CHECK(cond) ({							\
	bool ok_ = !!(cond);						\
	if (!ok_) {							\
		job.failed = 1;						\
		job_say("%s:%d: not true: %s (errno %s)\n", __FILE__, __LINE__, #cond, \
			strerrorname_np(errno) ?: "?");			\
	}								\
	ok_; })

#define CHECK_EQ(got, want) ({						\
	long long g_ = (long long)(got), w_ = (long long)(want);	\
	if (g_ != w_) {							\
		job.failed = 1;						\
		job_say("%s:%d: %s is %lld (%#llx), not %s, %lld (%#llx)\n", __FILE__, \
			__LINE__, #got, g_, (unsigned long long)g_, #want, w_,	\
			(unsigned long long)w_);			\
	}								\
	g_ == w_; })

/* Before the checkpoint: without it, going on makes no sense. */
#define NEED(cond) do {							\
	if (!CHECK(cond))						\
		job_end();						\
} while (0)

/* Memory, zeroed, that all processes of the job have in common. */
static inline void *common_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	return p;
}

/* Until another task of the job has set it to at least so much. */
static inline void await_count(volatile int *at, int value)
{
	for (int i = 0; i < 10000 && *at < value; i++)
		sleep_ms(1);
	NEED(*at >= value);
}

/* Does without a right; with @for_good it can't be had back, and is not handed down. */
static inline bool lower_cap(int cap, bool for_good)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2];
	unsigned int keep = ~(1U << cap % 32);

	if (syscall(SYS_capget, &head, sets))
		return false;
	sets[cap / 32].effective &= keep;
	if (for_good) {
		sets[cap / 32].permitted &= keep;
		sets[cap / 32].inheritable &= keep;
	}
	return !syscall(SYS_capset, &head, sets);
}

static inline bool drop_cap(int cap)
{
	return lower_cap(cap, true);
}

#define JOB_SKIP(...) do {						\
	job.skipped = 1;						\
	job_say(__VA_ARGS__);						\
	job_end();							\
} while (0)

static inline void fill(void *p, size_t len, uint64_t seed)
{
	unsigned char *c = p;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		c[i] = seed >> 56;
	}
}

static inline bool filled(const void *p, size_t len, uint64_t seed)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		if (c[i] != (unsigned char)(seed >> 56))
			return false;
	}
	return true;
}

/* Which scenarios there are; the job finds its own by name. */

static struct scenario *scenarios;

static void __attribute__((constructor(300), used))
job_dispatch(int argc, char **argv, char **envp)
{
	const char *name = getenv("CKPT_JOB");

	(void)argc;
	(void)argv;
	(void)envp;
	if (!name)
		return;
	for (struct scenario *s = scenarios; s; s = s->next) {
		if (strcmp(s->name, name))
			continue;
		s->job();
		job_end();
	}
	_exit(126);
}

/* Init's side. */

static inline void run_say(struct run *run, const char *fmt, ...)
{
	size_t room = sizeof(run->text) - run->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(run->text + run->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		run->len += (size_t)n < room ? (size_t)n : room - 1;
}

#define run_fail(run, ...) do {						\
	(run)->verdict = 1;						\
	run_say(run, __VA_ARGS__);					\
} while (0)

static inline int time_factor(void)
{
	const char *f = getenv("CKPT_TIME_FACTOR");

	return f && atoi(f) > 0 ? atoi(f) : 1;
}

static inline bool job_read(struct run *run, volatile void *at, void *to, size_t len)
{
	struct iovec l = { to, len }, r = { (void *)at, len };

	return process_vm_readv(run->pid, &l, 1, &r, 1, 0) == (ssize_t)len;
}

static inline bool job_write(struct run *run, volatile void *at, const void *from, size_t len)
{
	struct iovec l = { (void *)from, len }, r = { (void *)at, len };

	return process_vm_writev(run->pid, &l, 1, &r, 1, 0) == (ssize_t)len;
}

static inline void job_set(struct run *run, volatile int *at, int value)
{
	if (!job_write(run, at, &value, sizeof(value)))
		run_fail(run, "the job's memory can't be written: %s\n", strerror(errno));
}

/* Waits until the job is at @stage or beyond; its stage, or -1. */
static inline int job_wait_stage(struct run *run, int stage)
{
	double until = seconds_now() + 20 * time_factor();
	int now;

	for (;;) {
		siginfo_t info = { 0 };

		if (job_read(run, &job.stage, &now, sizeof(now)) && now >= stage)
			return now;
		if (!waitid(P_PID, run->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid) {
			run_fail(run, "the job ended at stage %d: code %d, status %d\n", now,
				 info.si_code, info.si_status);
			return -1;
		}
		if (seconds_now() > until) {
			run_fail(run, "the job did not get to stage %d\n", stage);
			return -1;
		}
		sleep_ms(1);
	}
}

static inline bool job_start(struct run *run)
{
	pid_t pid;

	if (run->s->inherit) {
		int fd = open("/mnt/letters", O_RDWR | O_CREAT, 0600);

		if (write(fd, "abcdefgh", 8) != 8)
			run_fail(run, "no letters\n");
		close(fd);
		fd = open("/mnt/letters", O_RDONLY);
		dup2(fd, 10);
		close(fd);
	}
	/* Until it has executed, the job shows what init has read of another one. */
	job.stage = JOB_SETUP;
	pid = fork();
	if (pid < 0) {
		run_fail(run, "fork: %s\n", strerror(errno));
		return false;
	}
	if (!pid) {
		if (!run->s->same_session)
			setsid();
		close_range(3, 9, 0);
		close_range(run->s->inherit ? 11 : 10, ~0U, 0);
		if (chdir(run->dir))
			_exit(125);
		if (run->s->no_exec) {
			run->s->job();
			job_end();
		}
		setenv("CKPT_JOB", run->s->name, 1);
		prctl(PR_SET_PDEATHSIG, 0);
		execl(run->program ?: "/proc/self/exe", "job", run->s->name, NULL);
		_exit(127);
	}
	run->pid = pid;
	if (job_wait_stage(run, JOB_HOLDS) < 0)
		return false;
	if (run->mode == RUN_PLAIN)
		job_write(run, &job.plain, &(int){ 1 }, sizeof(int));
	return true;
}

/* Reads the job's report; true when the job is content. */
static inline bool job_finish(struct run *run)
{
	double until;
	int status;
	pid_t p;

	job_set(run, &job.hold, 0);
	if (run->s->release)
		run->s->release(run);
	if (!run->s->ends) {
		if (job_wait_stage(run, JOB_DONE) < 0)
			return false;
		if (!job_read(run, &job, &job, sizeof(job))) {
			run_fail(run, "the job's report can't be read: %s\n", strerror(errno));
			return false;
		}
		if (job.skipped)
			run->verdict = 2;
		else if (job.failed)
			run->verdict = 1;
		run_say(run, "%s", job.report);
		job_set(run, &job.ack, 1);
	}
	until = seconds_now() + 20 * time_factor();
	while (!(p = waitpid(run->pid, &status, WNOHANG)) && seconds_now() < until)
		sleep_ms(1);
	if (p != run->pid)
		run_fail(run, "waitpid for the job: %d, %s\n", p, p ? strerror(errno) : "runs on");
	else if (status != (run->s->ends ? run->s->end_status : JOB_EXIT_STATUS << 8))
		run_fail(run, "the job's status is %#x\n", status);
	for (int i = 0; i < run->s->orphans; i++)
		if (waitpid(-1, &status, 0) <= 0)
			run_fail(run, "no orphan left: %s\n", strerror(errno));
	if (waitpid(-1, &status, WNOHANG) >= 0 || errno != ECHILD)
		run_fail(run, "there are children left\n");
	return run->verdict == 0;
}

static inline void kill_all(struct run *run)
{
	double until = seconds_now() + 10 * time_factor();
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

static inline void say_log(struct run *run, const char *path)
{
	char *text = proc_read(path, NULL);

	if (text && *text)
		run_say(run, "%s", text);
	free(text);
}

/* The log has a record with @needle in it, the job's pid, and all that it must have. */
static inline bool log_names(struct run *run, const char *needle)
{
	char *text = proc_read(LOG_PATH, NULL), *save = NULL, pid[32];
	bool found = false;

	snprintf(pid, sizeof(pid), "\"pid\":%d,", run->pid);
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		found = found || (strstr(l, needle) && (run->s->any_pid || strstr(l, pid)) &&
				  strstr(l, "\"call\":\"") && strstr(l, "\"level\":\"") &&
				  strstr(l, "\"object\":\"") && strstr(l, "\"kind\":\"") &&
				  strstr(l, "\"why\":\"") && strstr(l, "\"errno\":\"") &&
				  l[0] == '{' && l[strlen(l) - 1] == '}');
	free(text);
	return found;
}

static inline int call_checkpoint(struct run *run, int fd, unsigned int flags)
{
	int ret, err;

	memset(&run->args, 0, sizeof(run->args));
	unlink(LOG_PATH);
	run->args.log_fd = open(LOG_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ret = sys_checkpoint(fd, flags | CHECKPOINT_F_ARGS, &run->args, sizeof(run->args));
	err = errno;
	close(run->args.log_fd);
	return ret < 0 ? err : 0;
}

static inline int call_restart(struct run *run, int fd, unsigned int flags)
{
	int ret, err;

	memset(&run->args, 0, sizeof(run->args));
	unlink(LOG_PATH);
	run->args.log_fd = open(LOG_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ret = sys_restart(fd, flags | RESTART_F_ARGS, &run->args, sizeof(run->args));
	err = errno;
	close(run->args.log_fd);
	return ret < 0 ? err : 0;
}

static inline bool tasks_right(struct run *run)
{
	return run->s->tasks < 0 ? run->args.tasks > 0 :
	       run->args.tasks == (uint64_t)(run->s->tasks ?: 1);
}

/* Saves the job to IMAGE_PATH; the errno. */
static inline int save(struct run *run)
{
	int fd, err;
	struct stat st;

	unlink(IMAGE_PATH);
	fd = open(IMAGE_PATH, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	err = call_checkpoint(run, fd, 0);
	if (!err) {
		fstat(fd, &st);
		if ((uint64_t)st.st_size != run->args.image_bytes)
			run_fail(run, "image_bytes says %llu of %lld\n",
				 (unsigned long long)run->args.image_bytes, (long long)st.st_size);
		if (!tasks_right(run) || run->args.root_pid != run->pid || run->args.refusals ||
		    !run->args.freeze_ns || !run->args.total_ns || !run->args.pages_data)
			run_fail(run,
				 "statistics: %llu tasks, root %d, %llu refusals, %llu and %llu ns, %llu pages\n",
				 (unsigned long long)run->args.tasks, run->args.root_pid,
				 (unsigned long long)run->args.refusals,
				 (unsigned long long)run->args.freeze_ns,
				 (unsigned long long)run->args.total_ns,
				 (unsigned long long)run->args.pages_data);
	}
	close(fd);
	return err;
}

static inline int bring_back(struct run *run)
{
	int fd = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC), err;

	err = call_restart(run, fd, 0);
	close(fd);
	if (!err && (!tasks_right(run) || run->args.root_pid != run->pid))
		run_fail(run, "restart's statistics: %llu tasks, root %d\n",
			 (unsigned long long)run->args.tasks, run->args.root_pid);
	return err;
}

/* True when nothing but init is in the namespace. */
static inline bool alone(void)
{
	struct snap s;
	bool empty;

	snap_take(&s, "/proc");
	empty = !s.n;
	snap_free(&s);
	return empty && waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD;
}

/* Whether a difference is as it should be: one in a line of snap_diff(). */
static inline bool may_differ(struct run *run, const char *line)
{
	const char *known = getenv("CKPT_MAY_DIFFER");

	if (known && strstr(line, known))
		return true;
	for (int i = 0; i < 8 && run->s->may_differ[i]; i++)
		if (strstr(line, run->s->may_differ[i]))
			return true;
	/* Children and threads of a job that is at work come and go. */
	return run->s->moving && (atoi(line) != run->pid || strstr(line, " status Threads: ") ||
				  strstr(line, " stat num_threads: ") ||
				  strstr(line, " children: "));
}

/* The lines of snap_diff() that should not be there, NULL when there are none. */
static inline char *differences(struct run *run, struct snap *before)
{
	char *text = NULL, *bad = NULL, *save = NULL;
	size_t len = 0, bad_len = 0;
	struct snap after;
	FILE *f = open_memstream(&text, &len);

	snap_take(&after, "/proc");
	snap_diff(before, &after, f);
	fclose(f);
	snap_free(&after);
	f = open_memstream(&bad, &bad_len);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (!may_differ(run, l))
			fprintf(f, "%s\n", l);
	fclose(f);
	free(text);
	if (bad_len)
		return bad;
	free(bad);
	return NULL;
}

/*
 * Tasks that were let go need a moment until each is where it was: in its
 * system call with the signal mask of that, or stopped.
 */
static inline void compare(struct run *run, struct snap *before, const char *when)
{
	double until = seconds_now() + time_factor();
	char *bad, *save = NULL;

	while ((bad = differences(run, before)) && seconds_now() < until) {
		free(bad);
		sleep_ms(20);
	}
	if (!bad)
		return;
	for (char *l = strtok_r(bad, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		run_fail(run, "%s: %s\n", when, l);
	free(bad);
}

/* One round: checkpoint, and what the mode asks for. False: it ends here. */
static inline bool one_round(struct run *run)
{
	struct scenario *s = run->s;
	struct snap before;
	double dead;
	int err, want = s->refused && !s->save_errno ? EOPNOTSUPP : s->save_errno;

	snap_take(&before, "/proc");
	if (s->moving) {
		struct snap again;

		sleep_ms(30);
		snap_take(&again, "/proc");
		snap_mark_moving(&before, &again);
		snap_free(&again);
	}
	if (want) {
		/* The dry run says the same, and writes nothing. */
		err = call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN);
		if (s->refused &&
		    (err != want || !run->args.refusals || !log_names(run, s->refused))) {
			run_fail(run, "dry run: %s, %llu refusals; records:\n",
				 strerrorname_np(err), (unsigned long long)run->args.refusals);
			say_log(run, LOG_PATH);
		}
		compare(run, &before, "after a dry run");
	}
	err = save(run);
	for (int i = 0; s->at_times && err == EOPNOTSUPP && i < 100; i++) {
		char *log = proc_read(LOG_PATH, NULL);
		bool known = log && strstr(log, s->at_times);

		free(log);
		if (!known)
			break;
		err = save(run);
	}
	if (err != want) {
		run_fail(run, "checkpoint: %s; records:\n",
			 err ? strerrorname_np(err) : "succeeds");
		say_log(run, LOG_PATH);
		snap_free(&before);
		return false;
	}
	if (s->refused && (!run->args.refusals || !log_names(run, s->refused))) {
		run_fail(run, "no record with '%s' and pid %d:\n", s->refused, run->pid);
		say_log(run, LOG_PATH);
	}
	compare(run, &before, err ? "after a refusal" : "after the checkpoint");
	if (err || run->mode == RUN_KEEP) {
		snap_free(&before);
		return true;
	}

	dead = seconds_now();
	kill_all(run);
	if (s->dead_ms)
		sleep_ms(s->dead_ms);
	if (s->dead)
		s->dead(run);
	run->dead_ms += (seconds_now() - dead) * 1000;
	err = bring_back(run);
	if (err != s->restart_errno) {
		run_fail(run, "restart: %s; records:\n", err ? strerrorname_np(err) : "succeeds");
		say_log(run, LOG_PATH);
		return false;
	}
	if (err) {
		if (s->restart_refused && !log_names(run, s->restart_refused)) {
			run_fail(run, "no record with '%s' and pid %d:\n", s->restart_refused,
				 run->pid);
			say_log(run, LOG_PATH);
		}
		if (!alone())
			run_fail(run, "a failed restart left something behind\n");
		return false;
	}
	job_set(run, &job.dead_ms, run->dead_ms);
	compare(run, &before, "after the restart");
	snap_free(&before);
	if (s->after)
		s->after(run);
	return true;
}

/* What init does first: a /proc of its own, and /mnt for images. */
static inline void init_world(struct run *run)
{
	struct rlimit files = { 8192, 8192 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	/* No descriptor that a job has may be above its init's limit. */
	setrlimit(RLIMIT_NOFILE, &files);
	if (!run->keep_fds)
		close_range(3, ~0U, 0);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, NULL)) {
		run_fail(run, "mount: %s\n", strerror(errno));
		_exit(0);
	}
}

static inline void __attribute__((noreturn)) run_init(struct run *run)
{
	init_world(run);
	if (job_start(run)) {
		int stage = JOB_HOLDS;

		job_read(run, &job.stage, &stage, sizeof(stage));
		sleep_ms(10);
		if (stage == JOB_HOLDS && run->mode != RUN_PLAIN) {
			if (run->s->before)
				run->s->before(run);
			if (!one_round(run) ||
			    (run->mode == RUN_TWICE && !run->s->save_errno && !run->s->refused &&
			     !one_round(run)))
				_exit(0);
		}
		job_finish(run);
	}
	_exit(0);
}

static inline struct run *run_new(struct scenario *s, enum run_mode mode)
{
	struct run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (run == MAP_FAILED)
		abort();
	run->s = s;
	run->mode = mode;
	return run;
}

/* Runs @init as the init of new namespaces, in a directory of its own. */
static inline void run_namespaces(struct run *run, void (*init)(struct run *run), int limit)
{
	const char *where = getenv("CKPT_DIR") ?: "/var/tmp";
	char cmd[128];
	double until;
	int status;
	pid_t pid, p;

	fflush(NULL);
	snprintf(run->dir, sizeof(run->dir), "%s/ckpt-XXXXXX", where);
	if (run->keep_dir) {
		snprintf(run->dir, sizeof(run->dir), "%s/ckpt-kept-%d", where, getpid());
		mkdir(run->dir, 0777);
	} else if (!mkdtemp(run->dir) || chmod(run->dir, 0777)) {
		run_fail(run, "no directory in %s: %s\n", where, strerror(errno));
		return;
	}
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
			    (run->s->common_ipc ? 0 : CLONE_NEWIPC))) {
			run_fail(run, "unshare: %s\n", strerror(errno));
			_exit(0);
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pid = fork();
		if (!pid)
			init(run);
		waitpid(pid, &status, 0);
		if (!WIFEXITED(status))
			run_fail(run, "init died: status %#x\n", status);
		_exit(0);
	}
	until = seconds_now() + limit * time_factor();
	while (!(p = waitpid(pid, &status, WNOHANG)) && seconds_now() < until)
		sleep_ms(2);
	if (!p) {
		run_fail(run, "nothing came of it in %d s\n", limit);
		kill(pid, SIGKILL);
		/* Init goes with it. If it can't, the guest's time limit is next. */
		waitpid(pid, &status, 0);
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", run->dir);
	if (!run->keep_dir && system(cmd))
		run_fail(run, "leftovers in %s\n", run->dir);
}

static inline void run_print(struct run *run)
{
	char *save = NULL;

	for (char *l = strtok_r(run->text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		printf("# %s\n", l);
}

static inline bool have_checkpoint(void)
{
	return sys_checkpoint(-1, ~0U, NULL, 0) < 0 && errno != ENOSYS;
}

/* A program need not use both. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

/* TEST() with a time limit: a fixture with nothing in it. */
FIXTURE(call)
{
	char nothing;
};

FIXTURE_SETUP(call)
{
	(void)_metadata;
	self->nothing = 0;
}

FIXTURE_TEARDOWN(call)
{
	(void)_metadata;
	(void)self;
}

#define TEST_TIMEOUT(name_, limit_) TEST_F_TIMEOUT(call, name_, limit_)

FIXTURE(job)
{
	char nothing;
};

FIXTURE_VARIANT(job)
{
	enum run_mode mode;
};

FIXTURE_VARIANT_ADD(job, plain) { .mode = RUN_PLAIN };
FIXTURE_VARIANT_ADD(job, keep) { .mode = RUN_KEEP };
FIXTURE_VARIANT_ADD(job, restart) { .mode = RUN_RESTART };
FIXTURE_VARIANT_ADD(job, twice) { .mode = RUN_TWICE };

FIXTURE_SETUP(job)
{
	(void)_metadata;
	(void)variant;
	self->nothing = 0;
}

FIXTURE_TEARDOWN(job)
{
	(void)_metadata;
	(void)self;
	(void)variant;
}

#pragma GCC diagnostic pop

/* A job without a test of its own, for INIT_TEST. */
#define JOB(name_, ...)							\
	static void name_##_job(void);					\
	static struct scenario name_##_scenario = {			\
		.name = #name_, .job = name_##_job, __VA_ARGS__		\
	};								\
	static void __attribute__((constructor(200))) name_##_register(void) \
	{								\
		name_##_scenario.next = scenarios;			\
		scenarios = &name_##_scenario;				\
	}								\
	static void name_##_job(void)

#define SCENARIO(name_, ...)						\
	JOB(name_, __VA_ARGS__);					\
	TEST_F_TIMEOUT(job, name_, 600)					\
	{								\
		struct run *run = run_new(&name_##_scenario, variant->mode); \
		(void)self;						\
		if (run->mode == RUN_PLAIN && run->s->no_plain)		\
			SKIP(return, "needs a checkpoint");		\
		if (run->mode != RUN_PLAIN && !have_checkpoint())	\
			SKIP(return, "no checkpoint(2) in this kernel");	\
		if (run->mode == RUN_TWICE && (run->s->refused || run->s->save_errno ||	\
					       run->s->restart_errno))	\
			SKIP(return, "there is no second time");	\
		if (run->mode == RUN_RESTART && (run->s->refused || run->s->save_errno)) \
			SKIP(return, "is refused");			\
		run_namespaces(run, run_init, 60);			\
		if (run->verdict == 2)					\
			SKIP(return, "%s", run->text);			\
		run_print(run);						\
		ASSERT_EQ(0, run->verdict);				\
	}								\
	static void name_##_job(void)

/*
 * A test whose body is init: it starts @job_ when it wants to, and its WANT()s
 * decide. The world is as init_world() leaves it.
 */
#define INIT_TEST(name_, job_)						\
	static void name_##_body(struct run *run);			\
	static void name_##_init(struct run *run)			\
	{								\
		init_world(run);					\
		name_##_body(run);					\
		_exit(0);						\
	}								\
	TEST_TIMEOUT(name_, INIT_LIMIT * 5)				\
	{								\
		struct run *run = run_new(&job_##_scenario, RUN_KEEP);	\
		(void)self;						\
		(void)variant;						\
		if (!have_checkpoint())					\
			SKIP(return, "no checkpoint(2) in this kernel");	\
		run_namespaces(run, name_##_init, INIT_LIMIT);		\
		if (run->verdict == 2)					\
			SKIP(return, "%s", run->text);			\
		run_print(run);						\
		ASSERT_EQ(0, run->verdict);				\
	}								\
	static void name_##_body(struct run *run)

#define WANT(cond) ({							\
	bool ok_ = !!(cond);						\
	if (!ok_)							\
		run_fail(run, "%s:%d: not true: %s (errno %s)\n", __FILE__, __LINE__, #cond, \
			 strerrorname_np(errno) ?: "?");		\
	ok_; })

#define WANT_EQ(got, want) ({						\
	long long g_ = (long long)(got), w_ = (long long)(want);	\
	if (g_ != w_)							\
		run_fail(run, "%s:%d: %s is %lld, not %s, %lld\n", __FILE__, __LINE__, #got, g_, \
			 #want, w_);					\
	g_ == w_; })

/* An errno, 0 for success. */
#define WANT_ERR(got, want) ({						\
	int g_ = (got), w_ = (want);					\
	if (g_ != w_)							\
		run_fail(run, "%s:%d: %s: %s, not %s\n", __FILE__, __LINE__, #got, \
			 g_ ? strerrorname_np(g_) : "success",		\
			 w_ ? strerrorname_np(w_) : "success");		\
	g_ == w_; })

#define RUN_SKIP(run, ...) do {						\
	(run)->verdict = 2;						\
	run_say(run, __VA_ARGS__);					\
	_exit(0);							\
} while (0)

#endif /* CKPT_HARNESS_H */
