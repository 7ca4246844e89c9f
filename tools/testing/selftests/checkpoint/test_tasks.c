// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs of several tasks: processes and their threads, who is whose child, and
 * what they share.
 */
#include "ckpt_harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

/* Memory that all processes of a job have in common. */
struct common {
	volatile int ready, stop, counter, results[64];
	pid_t pids[64];
	char text[4096];
};

static void until_told(struct common *c)
{
	__sync_fetch_and_add(&c->ready, 1);
	while (!c->stop)
		sleep_ms(1);
}

static void reap(pid_t pid, int want)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, want);
}

SCENARIO(child, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	int mine = 1;
	pid_t pid = fork();

	if (!pid) {
		mine = 2;
		until_told(c);
		c->results[0] = mine;
		c->results[1] = getppid();
		c->results[2] = getpid();
		_exit(9);
	}
	await_count(&c->ready, 1);
	job_hold();
	CHECK(!waitpid(pid, NULL, WNOHANG));
	c->stop = 1;
	reap(pid, 9 << 8);
	CHECK_EQ(mine, 1);
	CHECK_EQ(c->results[0], 2);
	CHECK_EQ(c->results[1], getpid());
	CHECK_EQ(c->results[2], pid);
}

/* Three deep, and several beside each other. */
static void tree(struct common *c, int depth, int *nr)
{
	for (int i = 0; i < 3; i++) {
		int me = ++*nr;
		pid_t pid = fork();

		if (!pid) {
			if (depth)
				tree(c, depth - 1, nr);
			c->pids[me] = getpid();
			until_told(c);
			while (depth && waitpid(-1, NULL, 0) > 0)
				;
			c->results[me] = getppid();
			_exit(0);
		}
		*nr += depth ? 3 : 0;
	}
}

SCENARIO(tree, .tasks = 13)
{
	struct common *c = common_memory(sizeof(struct common));
	int nr = 0, status, n = 0;

	tree(c, 1, &nr);
	await_count(&c->ready, 12);
	job_hold();
	c->stop = 1;
	while (waitpid(-1, &status, 0) > 0) {
		CHECK_EQ(status, 0);
		n++;
	}
	CHECK_EQ(n, 3);
	for (int i = 1; i <= 12; i++)
		CHECK(c->results[i] == (i % 4 == 1 ? getpid() : c->pids[(i - 1) / 4 * 4 + 1]));
}

/* A child whose parent is gone is init's. */
SCENARIO(orphan, .tasks = 2, .orphans = 1)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid = fork();

	if (!pid) {
		if (!fork()) {
			while (getppid() != 1)
				sleep_ms(1);
			c->pids[0] = getpid();
			until_told(c);
			c->results[0] = getppid();
			c->results[1] = getsid(0);
			c->ready = 2;
			_exit(0);
		}
		_exit(0);
	}
	reap(pid, 0);
	await_count(&c->ready, 1);
	job_hold();
	c->stop = 1;
	await_count(&c->ready, 2);
	CHECK_EQ(c->results[0], 1);
	CHECK_EQ(c->results[1], getpid());
}

SCENARIO(groups_and_sessions, .tasks = 4)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid[3];

	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			if (i == 0)
				setsid();
			if (i == 1)
				setpgid(0, 0);
			until_told(c);
			c->results[2 * i] = getsid(0);
			c->results[2 * i + 1] = getpgrp();
			_exit(0);
		}
	}
	await_count(&c->ready, 3);
	job_hold();
	c->stop = 1;
	for (int i = 0; i < 3; i++)
		reap(pid[i], 0);
	CHECK_EQ(c->results[0], pid[0]);
	CHECK_EQ(c->results[1], pid[0]);
	CHECK_EQ(c->results[2], getpid());
	CHECK_EQ(c->results[3], pid[1]);
	CHECK_EQ(c->results[4], getpid());
	CHECK_EQ(c->results[5], getpid());
}

SCENARIO(exec_and_setpgid, .tasks = 3)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t forked = fork(), execed;

	if (!forked) {
		until_told(c);
		_exit(0);
	}
	execed = fork();
	if (!execed) {
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	await_count(&c->ready, 1);
	/* Until it sleeps: before that it is busy with its libraries. */
	for (int i = 0; i < 5000; i++) {
		char path[64], *exe = NULL, *call;
		bool sleeps;

		snprintf(path, sizeof(path), "/proc/%d/exe", execed);
		exe = realpath(path, NULL);
		snprintf(path, sizeof(path), "/proc/%d/syscall", execed);
		call = proc_read(path, NULL);
		/* clock_nanosleep(2), nanosleep(2) of x86-64 */
		sleeps = exe && strstr(exe, "bin/") && call &&
			 (!strncmp(call, "230 ", 4) || !strncmp(call, "35 ", 3));
		free(exe);
		free(call);
		if (sleeps)
			break;
		sleep_ms(1);
	}
	job_hold();
	/* A parent may do this until its child has called execve(2). */
	CHECK(setpgid(execed, execed) && errno == EACCES);
	CHECK(!setpgid(forked, forked));
	c->stop = 1;
	reap(forked, 0);
	CHECK(!kill(execed, SIGTERM));
	reap(execed, SIGTERM);
}

/* What fork gives both: an open file description with one position. */
SCENARIO(shared_position, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	int fd = open("f", O_RDWR | O_CREAT, 0600), own;
	pid_t pid;

	NEED(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 2, SEEK_SET) == 2);
	own = open("f", O_RDWR);
	pid = fork();
	if (!pid) {
		own = open("f", O_RDWR);
		until_told(c);
		lseek(fd, 7, SEEK_SET);
		lseek(own, 3, SEEK_SET);
		_exit(0);
	}
	await_count(&c->ready, 1);
	job_hold();
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2);
	c->stop = 1;
	reap(pid, 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
	CHECK_EQ(lseek(own, 0, SEEK_CUR), 0);
}

/* Copy-on-write: each has its own, whoever wrote before and after. */
SCENARIO(forked_memory, .tasks = 4)
{
	struct common *c = common_memory(sizeof(struct common));
	size_t len = 4 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid[3];

	NEED(p != MAP_FAILED);
	fill(p, len, 1);
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			fill(p + i * 4096, 4096, 10 + i);
			until_told(c);
			c->results[i] = filled(p + i * 4096, 4096, 10 + i) &&
					p[8 << 12] == c->text[0];
			memset(p, 0, len);
			_exit(0);
		}
	}
	c->text[0] = p[8 << 12];
	await_count(&c->ready, 3);
	job_hold();
	c->stop = 1;
	for (int i = 0; i < 3; i++) {
		reap(pid[i], 0);
		CHECK_EQ(c->results[i], 1);
	}
	CHECK(filled(p, len, 1));
}

/* Waits for the child while it is saved; then init tells the child to end. */
static void tell(struct run *run)
{
	uint64_t at = 0;

	job_read(run, &job.word[0], &at, sizeof(at));
	job_set(run, (volatile int *)(unsigned long)at, 1);
}

SCENARIO(waits_for_child, .tasks = 2, .release = tell)
{
	struct common *c = common_memory(sizeof(struct common));
	int status;
	pid_t pid = fork();

	if (!pid) {
		c->ready = 1;
		while (!c->stop)
			sleep_ms(1);
		_exit(3);
	}
	await_count(&c->ready, 1);
	job.word[0] = (unsigned long)&c->stop;
	job_waits();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 3 << 8);
	CHECK(!job.hold);
}

SCENARIO(stopped_child, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	int status;
	pid_t pid = fork();

	if (!pid) {
		c->ready = 1;
		raise(SIGSTOP);
		_exit(4);
	}
	await_count(&c->ready, 1);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	job_hold();
	CHECK(waitpid(pid, &status, WNOHANG | WUNTRACED) == 0);
	CHECK(!kill(pid, SIGCONT));
	reap(pid, 4 << 8);
}

/* Threads. */

static volatile int threads_ready, threads_stop;
static volatile long runs[16];
static __thread long own;

static void *work(void *arg)
{
	long nr = (long)arg;

	own = nr * 1000;
	__sync_fetch_and_add(&threads_ready, 1);
	while (!threads_stop) {
		runs[nr]++;
		sleep_ms(1);
	}
	return (void *)(own + (gettid() != getpid()));
}

SCENARIO(threads, .tasks = 9)
{
	pthread_t t[8];
	long was[8];

	for (long i = 0; i < 8; i++)
		NEED(!pthread_create(&t[i], NULL, work, (void *)i));
	await_count(&threads_ready, 8);
	job_hold();
	for (int i = 0; i < 8; i++)
		was[i] = runs[i];
	sleep_ms(200);
	for (int i = 0; i < 8; i++)
		CHECK(runs[i] > was[i]);
	threads_stop = 1;
	for (int i = 0; i < 8; i++) {
		void *ret = NULL;

		/* The id is cleared and its futex woken when a thread ends. */
		CHECK(!pthread_join(t[i], &ret));
		CHECK_EQ((long)ret, i * 1000 + 1);
	}
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *arg)
{
	pthread_mutex_lock(&mutex);
	while (turn < 1000) {
		while ((turn & 1) != (long)arg && turn < 1000)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		if (turn == 500) {
			pthread_mutex_unlock(&mutex);
			threads_ready = 1;
			while (!threads_stop)
				sleep_ms(1);
			pthread_mutex_lock(&mutex);
		}
		pthread_cond_broadcast(&cond);
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

/* One holds nothing and waits for another in a futex. */
SCENARIO(threads_in_futex, .tasks = 3)
{
	pthread_t t[2];

	for (long i = 0; i < 2; i++)
		NEED(!pthread_create(&t[i], NULL, take_turns, (void *)i));
	await_count(&threads_ready, 1);
	job_hold();
	threads_stop = 1;
	CHECK(!pthread_join(t[0], NULL) && !pthread_join(t[1], NULL));
	CHECK(turn >= 1000);
}

/* What belongs to a thread and not to the process. */
static void *special(void *arg)
{
	static char altstack[65536];
	stack_t s = { .ss_sp = altstack, .ss_size = sizeof(altstack) }, now;
	sigset_t set, mask;
	char name[17] = "";
	struct common *c = arg;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 4);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaltstack(&s, NULL);
	prctl(PR_SET_NAME, "special");
	setpriority(0, 0, 0);
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	c->pids[0] = gettid();
	threads_ready = 1;
	while (!threads_stop)
		sleep_ms(1);
	sigemptyset(&mask);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	c->results[0] = sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGRTMIN + 4) &&
			!sigismember(&mask, SIGUSR2);
	c->results[1] = !sigaltstack(NULL, &now) && now.ss_sp == altstack;
	prctl(PR_GET_NAME, name);
	c->results[2] = !strcmp(name, "special");
	sigpending(&mask);
	c->results[3] = sigismember(&mask, SIGUSR1);
	c->results[4] = gettid() == c->pids[0];
	return NULL;
}

SCENARIO(thread_state, .tasks = 2)
{
	struct common *c = common_memory(sizeof(struct common));
	sigset_t mask;
	pthread_t t;

	NEED(!pthread_create(&t, NULL, special, c));
	await_count(&threads_ready, 1);
	job_hold();
	threads_stop = 1;
	CHECK(!pthread_join(t, NULL));
	for (int i = 0; i < 5; i++)
		if (!CHECK_EQ(c->results[i], 1))
			job_say("  that is number %d\n", i);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &mask) && !sigismember(&mask, SIGUSR1));
	sigpending(&mask);
	CHECK(!sigismember(&mask, SIGUSR1));
}

/* Processes with threads, which fork again. */
SCENARIO(threads_in_children, .tasks = 10)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid[3];

	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			pthread_t t[2];

			for (long n = 0; n < 2; n++)
				pthread_create(&t[n], NULL, work, (void *)n);
			while (threads_ready < 2)
				sleep_ms(1);
			until_told(c);
			threads_stop = 1;
			c->results[i] = !pthread_join(t[0], NULL) && !pthread_join(t[1], NULL);
			_exit(0);
		}
	}
	await_count(&c->ready, 3);
	job_hold();
	c->stop = 1;
	for (int i = 0; i < 3; i++) {
		reap(pid[i], 0);
		CHECK_EQ(c->results[i], 1);
	}
}

/* A lock that its owner dies with: the list of them is the thread's. */
static void *die_with_lock(void *arg)
{
	pthread_mutex_lock(arg);
	threads_ready = 1;
	while (!threads_stop)
		sleep_ms(1);
	return NULL;
}

SCENARIO(robust_mutex, .tasks = 2)
{
	static pthread_mutex_t m;
	pthread_mutexattr_t attr;
	pthread_t t;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &attr);
	NEED(!pthread_create(&t, NULL, die_with_lock, &m));
	await_count(&threads_ready, 1);
	job_hold();
	threads_stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(pthread_mutex_lock(&m), EOWNERDEAD);
}

/*
 * Processes that share what mostly threads do. What one changes after the
 * restart the other one has to see.
 */

static volatile int shared_steps;

struct shared_with {
	struct common *c;
	int kind;
	int fd;
};

static void on_usr2(int signal)
{
	(void)signal;
}

/* With CLONE_VM it has the thread-local storage of its parent: no library. */
static int shared_child(void *arg)
{
	struct shared_with *with = arg;
	struct common *c = with->c;
	struct timespec t = { .tv_nsec = 1000000 };

	__sync_fetch_and_add(&c->ready, 1);
	while (!c->stop)
		syscall(SYS_nanosleep, &t, NULL);
	if (with->kind & CLONE_VM)
		__sync_fetch_and_add(&shared_steps, 1);
	if (with->kind & CLONE_FILES)
		c->results[0] = syscall(SYS_close, with->fd);
	if (with->kind & CLONE_FS)
		c->results[1] = syscall(SYS_chdir, "/");
	if (with->kind & CLONE_SIGHAND)
		signal(SIGUSR2, on_usr2);
	syscall(SYS_exit_group, 0);
	return 0;
}

static void share(int flags)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct shared_with with = { .c = common_memory(sizeof(struct common)), .kind = flags };
	struct sigaction action;
	char cwd[64];
	pid_t pid;

	with.fd = open("/dev/null", O_RDONLY);
	pid = clone(shared_child, stack + sizeof(stack), flags | SIGCHLD, &with);
	NEED(pid > 0);
	await_count(&with.c->ready, 1);
	job_hold();
	with.c->stop = 1;
	reap(pid, 0);
	CHECK_EQ(shared_steps, !!(flags & CLONE_VM));
	CHECK_EQ(fcntl(with.fd, F_GETFD), flags & CLONE_FILES ? -1 : 0);
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/") == !!(flags & CLONE_FS));
	CHECK(!sigaction(SIGUSR2, NULL, &action));
	CHECK_EQ(action.sa_handler == on_usr2, !!(flags & CLONE_SIGHAND));
}

SCENARIO(shares_nothing, .tasks = 2)
{
	share(0);
}

SCENARIO(shares_memory, .tasks = 2)
{
	share(CLONE_VM);
}

SCENARIO(shares_descriptors, .tasks = 2)
{
	share(CLONE_FILES);
}

SCENARIO(shares_directory, .tasks = 2)
{
	share(CLONE_FS);
}

SCENARIO(shares_actions, .tasks = 2)
{
	share(CLONE_SIGHAND | CLONE_VM);
}

SCENARIO(shares_all, .tasks = 2)
{
	share(CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_FS);
}

/* Brothers share, and their father, who created both, does not. */
SCENARIO(brothers, .tasks = 4)
{
	struct common *c = common_memory(sizeof(struct common));
	pid_t pid = fork();

	if (!pid) {
		static char stack[2][65536] __attribute__((aligned(16)));
		struct shared_with with = { .c = c, .kind = CLONE_VM | CLONE_FILES };

		with.fd = open("/dev/null", O_RDONLY);
		for (int i = 0; i < 2; i++)
			c->pids[i] = clone(shared_child, stack[i] + sizeof(stack[i]),
					   CLONE_VM | CLONE_FILES | CLONE_PARENT | SIGCHLD, &with);
		until_told(c);
		while (shared_steps < 2)
			sleep_ms(1);
		c->results[2] = fcntl(with.fd, F_GETFD);
		_exit(5);
	}
	await_count(&c->ready, 3);
	job_hold();
	c->stop = 1;
	reap(pid, 5 << 8);
	reap(c->pids[0], 0);
	reap(c->pids[1], 0);
	CHECK_EQ(shared_steps, 0);
	CHECK_EQ(c->results[2], -1);
}

/* A thread with descriptors and a working directory of its own. */
static void *own_things(void *arg)
{
	int fd = *(int *)arg;
	char cwd[64];
	long ret;

	if (unshare(CLONE_FILES | CLONE_FS) || chdir("/") || close(fd) ||
	    open("/dev/zero", O_RDONLY) != fd)
		return "can't unshare";
	threads_ready = 1;
	while (!threads_stop)
		sleep_ms(1);
	ret = lseek(fd, 0, SEEK_CUR);
	if (ret < 0 || !getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/"))
		return "not its own any more";
	return close(fd) ? "not there any more" : NULL;
}

SCENARIO(thread_with_its_own, .tasks = 2)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char link[64] = "", path[32];
	pthread_t t;
	void *what;

	NEED(fd >= 0 && !pthread_create(&t, NULL, own_things, &fd));
	await_count(&threads_ready, 1);
	job_hold();
	threads_stop = 1;
	CHECK(!pthread_join(t, &what));
	if (what)
		job_say("the thread: %s\n", (char *)what);
	CHECK(!what);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0 && strstr(link, "/f"));
	CHECK(getcwd(link, sizeof(link)) && strcmp(link, "/"));
}

/* Pipes between the tasks of a job. */

SCENARIO(pipe_to_child, .tasks = 2)
{
	int there[2], back[2];
	char buf[64] = "";
	pid_t pid;

	NEED(!pipe(there) && !pipe(back));
	pid = fork();
	if (!pid) {
		ssize_t n;

		close(there[1]);
		close(back[0]);
		/* Blocks in the second round, when it is saved. */
		while ((n = read(there[0], buf, sizeof(buf))) > 0)
			if (write(back[1], buf, n) != n)
				_exit(1);
		_exit(n ? 2 : 3);
	}
	close(there[0]);
	close(back[1]);
	CHECK(write(there[1], "ping", 4) == 4 && read(back[0], buf, 64) == 4);
	job_hold();
	CHECK(write(there[1], "pong!", 5) == 5 && read(back[0], buf, 64) == 5);
	CHECK(!strcmp(buf, "pong!"));
	/* Its end was the last: the child reads the end of the file. */
	close(there[1]);
	CHECK(read(back[0], buf, 64) == 0);
	reap(pid, 3 << 8);
}

/* Children that have exited, and that are waited for after the restart. */

/* What waitid(2) says without reaping, with the resources used. */
static void look_at(pid_t pid, siginfo_t *info, struct rusage *usage)
{
	memset(info, 0, sizeof(*info));
	memset(usage, 0, sizeof(*usage));
	CHECK(!syscall(SYS_waitid, P_PID, pid, info, WEXITED | WNOWAIT, usage));
}

static void check_usage(const struct rusage *is, const struct rusage *was)
{
	CHECK_EQ(is->ru_utime.tv_sec, was->ru_utime.tv_sec);
	CHECK_EQ(is->ru_utime.tv_usec, was->ru_utime.tv_usec);
	CHECK_EQ(is->ru_stime.tv_sec, was->ru_stime.tv_sec);
	CHECK_EQ(is->ru_stime.tv_usec, was->ru_stime.tv_usec);
	CHECK_EQ(is->ru_maxrss, was->ru_maxrss);
	CHECK_EQ(is->ru_minflt, was->ru_minflt);
	CHECK_EQ(is->ru_majflt, was->ru_majflt);
	CHECK_EQ(is->ru_nvcsw, was->ru_nvcsw);
	CHECK_EQ(is->ru_nivcsw, was->ru_nivcsw);
	CHECK_EQ(is->ru_inblock, was->ru_inblock);
	CHECK_EQ(is->ru_oublock, was->ru_oublock);
}

static void zombie_is_as_it_was(pid_t pid, int want)
{
	struct rusage was_usage, usage;
	siginfo_t was, is;
	int status;

	/* It is one before its last context switch, which counts, too. */
	NEED(!waitid(P_PID, pid, &was, WEXITED | WNOWAIT));
	sleep_ms(300);
	look_at(pid, &was, &was_usage);
	job_hold();
	look_at(pid, &is, &usage);
	CHECK(is.si_pid == pid && is.si_signo == SIGCHLD);
	CHECK(is.si_code == was.si_code && is.si_uid == was.si_uid);
	CHECK_EQ(is.si_status, was.si_status);
	check_usage(&usage, &was_usage);
	CHECK(wait4(pid, &status, 0, &usage) == pid);
	CHECK_EQ(status, want);
	check_usage(&usage, &was_usage);
	CHECK(waitpid(pid, &status, 0) < 0 && errno == ECHILD);
}

static void burn(int ms)
{
	double until = seconds_now() + ms / 1e3;

	while (seconds_now() < until)
		;
}

SCENARIO(zombie, .tasks = 2)
{
	pid_t pid = fork();

	if (!pid) {
		/* Of its own, and of a child of its own. */
		if (!fork()) {
			burn(30);
			_exit(0);
		}
		wait(NULL);
		burn(30);
		_exit(5);
	}
	NEED(pid > 0);
	zombie_is_as_it_was(pid, 5 << 8);
}

SCENARIO(zombie_that_was_killed, .tasks = 2)
{
	pid_t pid = fork();

	if (!pid) {
		NEED(!setuid(1234));
		raise(SIGKILL);
	}
	NEED(pid > 0);
	zombie_is_as_it_was(pid, SIGKILL);
}

/* The parent has not looked at the signal either. */
SCENARIO(zombie_and_signal, .tasks = 2)
{
	sigset_t set;
	siginfo_t info = { 0 };
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (!pid)
		_exit(3);
	NEED(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	job_hold();
	CHECK(sigwaitinfo(&set, &info) == SIGCHLD);
	CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 3);
	/* One, not two. */
	CHECK(sigtimedwait(&set, &info, &(struct timespec){ 0 }) < 0 && errno == EAGAIN);
	reap(pid, 3 << 8);
}

/* Its session and group live on. */
SCENARIO(zombie_that_leads, .tasks = 3)
{
	int there[2], back[2];
	char c = 0;
	pid_t pid;

	/* Who loses its parent is a child of the job then, not of init. */
	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	NEED(!pipe(there) && !pipe(back));
	pid = fork();
	if (!pid) {
		pid_t me = setsid();

		if (!fork()) {
			close(there[1]);
			while (read(there[0], &c, 1) == 1) {
				c = getsid(0) == me && getpgrp() == me;
				if (write(back[1], &c, 1) != 1)
					break;
			}
			_exit(0);
		}
		_exit(9);
	}
	close(there[0]);
	NEED(!waitid(P_PID, pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT));
	NEED(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1 && c == 1);
	job_hold();
	c = 0;
	CHECK(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1 && c == 1);
	reap(pid, 9 << 8);
	c = 0;
	CHECK(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1 && c == 1);
	close(there[1]);
	CHECK(wait(NULL) > 0);
}

SCENARIO(many_zombies, .tasks = 51)
{
	pid_t pid[50];

	for (int i = 0; i < 50; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(i);
		NEED(pid[i] > 0);
	}
	for (int i = 0; i < 50; i++)
		NEED(!waitid(P_PID, pid[i], &(siginfo_t){ 0 }, WEXITED | WNOWAIT));
	job_hold();
	for (int i = 49; i >= 0; i--)
		reap(pid[i], i << 8);
}

/*
 * Born and dying all the time: the walk must not miss one. The C library blocks
 * signals now and then meanwhile.
 */
SCENARIO(fork_storm, .tasks = -1, .moving = true,
	 .may_differ = { " stat blocked: ", " status SigBlk: " })
{
	long n = 0;
	int status;

	job_waits();
	while (job.hold) {
		pid_t pid = fork();

		if (!pid)
			_exit(7);
		CHECK(pid > 0);
		if (!CHECK(waitpid(pid, &status, 0) == pid && status == 7 << 8))
			break;
		n++;
	}
	CHECK(n > 0);
}

static void *short_life(void *arg)
{
	return arg;
}

SCENARIO(thread_storm, .tasks = -1, .moving = true,
	 .may_differ = { " stat blocked: ", " status SigBlk: " })
{
	long n = 0;

	job_waits();
	while (job.hold) {
		pthread_t t;
		void *ret;

		if (!CHECK(!pthread_create(&t, NULL, short_life, &n)) ||
		    !CHECK(!pthread_join(t, &ret) && ret == &n))
			break;
		n++;
	}
	CHECK(n > 0);
}

static void *doze(void *arg)
{
	for (;;)
		sleep_ms(1000);
	return arg;
}

static void *execute_soon(void *arg)
{
	usleep((long)arg);
	syscall(SYS_execve, "/proc/self/exe", (char *[]){ "x", NULL },
		(char *[]){ "CKPT_JOB=nothing", NULL });
	return NULL;
}

/* A process whose threads another one ends, with all of it or by executing a program. */
static void __attribute__((noreturn)) end_threads(unsigned int n)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, doze, NULL);
	if (n % 3 == 0)
		pthread_create(&t, NULL, execute_soon, (void *)(long)(n % 5 * 300));
	else
		usleep(n % 7 * 200);
	if (n % 3 == 1)
		execute_soon(NULL);
	while (n % 3 == 0)
		sleep_ms(1000);
	_exit(0);
}

JOB(threads_that_end, .tasks = -1)
{
	unsigned int n = 0, alive = 0;

	job_waits();
	while (job.hold) {
		pid_t pid = fork();

		if (!pid)
			end_threads(n);
		NEED(pid > 0);
		n++;
		alive++;
		while (waitpid(-1, NULL, alive < 6 ? WNOHANG : 0) > 0)
			alive--;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	job_say("%u processes\n", n);
}

/* Who is ended while others are still waited for is not part of the job, and no failure. */
INIT_TEST(threads_end_meanwhile, threads_that_end)
{
	int n = 200, ok = 0;

	if (!WANT(job_start(run)))
		return;
	for (int i = 0; i < n && !run->verdict; i++) {
		if (WANT_ERR(call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN), 0))
			ok++;
		else
			say_log(run, LOG_PATH);
		sleep_ms(i % 8);
	}
	run_say(run, "%d of %d\n", ok, n);
	job_finish(run);
}

TEST_HARNESS_MAIN
