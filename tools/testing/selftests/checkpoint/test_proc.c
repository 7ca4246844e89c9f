// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is open of processes in proc: of the process itself, a child, a thread; lists of
 * mappings that were read in part, and what is about an address space. And what of that can't
 * be saved. What /proc/PID/fd and fdinfo say is compared from outside.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define LEN	65536

/* The kernel numbers what it makes up anew. */
#define ANOTHER_INODE	.may_differ = { " ino:" }

static char now[LEN], was[LEN];

/* All of what is read from where the descriptor is, or @max bytes of it. */
static ssize_t take(int fd, char *to, size_t max)
{
	size_t len = 0;
	ssize_t n;

	while (len < max && (n = read(fd, to + len, max - len)) > 0)
		len += n;
	return n < 0 ? -1 : (ssize_t)len;
}

static bool rewind_to(int fd, off_t at)
{
	return lseek(fd, at, SEEK_SET) == at;
}

/* One that was not read from yet, and says the same then as one opened now. */
static void says_the_same(int fd, const char *path)
{
	int again = open(path, O_RDONLY);
	ssize_t n = take(fd, was, LEN), m = take(again, now, LEN);

	CHECK(again >= 0);
	CHECK_EQ(n, m);
	CHECK(n > 0 && !memcmp(was, now, n));
	close(again);
}

/* Does not depend on time. */
static const char *const files[] = {
	"maps", "cmdline", "environ", "auxv", "comm", "limits", "personality", "coredump_filter",
	"oom_score_adj", "fdinfo/0", "timerslack_ns", "cgroup", "autogroup",
};

enum { FILES = sizeof(files) / sizeof(files[0]) };

/* Those that a kernel need not have. */
static int open_of(const char *file, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	fd = open(path, flags);
	NEED(fd >= 0 || errno == ENOENT);
	return fd;
}

SCENARIO(own, ANOTHER_INODE)
{
	char path[64];
	int fd[FILES];

	for (int i = 0; i < FILES; i++)
		fd[i] = open_of(files[i], O_RDONLY | (i % 2 ? O_CLOEXEC : 0));
	job_hold();
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		if (fd[i] >= 0)
			says_the_same(fd[i], path);
	}
}

/*
 * Of lists of mappings: from everywhere in it, with what fits into the buffer of the reader
 * at a time. More is mapped after it was read from: nothing comes twice, or in part.
 */
static void in_part(const char *path, size_t chunk)
{
	enum { N = 8 };
	int fd[N], whole = open(path, O_RDONLY), mapped;
	ssize_t len, at[N], n, line;
	char *p;

	NEED(whole >= 0);
	len = take(whole, was, LEN);
	NEED(len > 500 && len < LEN);
	for (int i = 0; i < N; i++) {
		fd[i] = open(path, O_RDONLY);
		NEED(fd[i] >= 0);
		for (at[i] = 0; at[i] < len * i / N; at[i] += n) {
			n = read(fd[i], now, chunk);
			NEED(n >= 0);
			if (!n)
				break;
		}
	}
	/* Below all that is mapped. */
	p = mmap((void *)0x10000, 4096, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	NEED(p == (void *)0x10000);
	mapped = strlen("00010000-00011000");
	job_hold();
	for (int i = 0; i < N; i++) {
		CHECK_EQ(lseek(fd[i], 0, SEEK_CUR), at[i]);
		n = take(fd[i], now, LEN);
		/* What was not begun has it. The rest is of the lines that are left. */
		CHECK_EQ(n > mapped && !memcmp(now, "00010000-00011000", mapped), i == 0);
		CHECK_EQ(n > 0, at[i] < len);
		for (line = 0; i && at[i] + line < len && was[at[i] + line] != '\n'; line++)
			;
		CHECK(line <= n && !memcmp(was + at[i], now, line));
		for (line = 0; line < n && line < len - at[i] && line < 20; line++)
			CHECK_EQ(now[n - 1 - line], was[len - 1 - line]);
	}
	CHECK_EQ(take(whole, now, LEN), 0);
	CHECK(rewind_to(whole, 0) && take(whole, now, LEN) > len);
	CHECK(!strncmp(now, "00010000-00011000", mapped));
}

SCENARIO(maps_in_part, ANOTHER_INODE)
{
	in_part("/proc/self/maps", 37);
}

SCENARIO(maps_in_buffers, ANOTHER_INODE)
{
	in_part("/proc/self/maps", 256);
}

SCENARIO(smaps_in_part, ANOTHER_INODE)
{
	in_part("/proc/self/smaps", 100);
}

/* More than the kernel makes up at a time: nothing is left of that. */
SCENARIO(smaps_in_pages, ANOTHER_INODE)
{
	in_part("/proc/self/smaps", 4096);
}

/* What was read to its end is at its end, even if it would say more now. */
SCENARIO(read_whole, ANOTHER_INODE)
{
	static const char *const whole[] = { "status", "stat", "sched", "smaps_rollup", "comm" };
	enum { N = sizeof(whole) / sizeof(whole[0]) };
	int fd[N];

	NEED(!prctl(PR_SET_NAME, "a"));
	for (int i = 0; i < N; i++) {
		fd[i] = open_of(whole[i], O_RDONLY);
		NEED(fd[i] < 0 || take(fd[i], was, LEN) > 0);
	}
	NEED(!prctl(PR_SET_NAME, "a longer name"));
	job_hold();
	for (int i = 0; i < N; i++) {
		if (fd[i] < 0)
			continue;
		CHECK_EQ(take(fd[i], now, LEN), 0);
		CHECK(rewind_to(fd[i], 0) && take(fd[i], now, LEN) > 0);
	}
	CHECK(strncmp(now, "a longer name", 13) == 0);
}

/* The rest of what was made up is read, though something else would be said now. */
SCENARIO(read_in_part, ANOTHER_INODE)
{
	int comm, status = open("/proc/self/status", O_RDONLY);

	NEED(!prctl(PR_SET_NAME, "before"));
	comm = open("/proc/self/comm", O_RDONLY);
	NEED(comm >= 0 && read(comm, now, 3) == 3 && !memcmp(now, "bef", 3));
	NEED(status >= 0 && read(status, now, 8) == 8 && !memcmp(now, "Name:\tbe", 8));
	NEED(!prctl(PR_SET_NAME, "after"));
	job_hold();
	CHECK(take(comm, now, LEN) == 4 && !memcmp(now, "ore\n", 4));
	CHECK(take(status, now, LEN) > 100 && !memcmp(now, "fore\n", 5));
	CHECK(rewind_to(comm, 0) && take(comm, now, LEN) == 6 && !memcmp(now, "after\n", 6));
}

/* What was looked at with pread(2) alone has not been read from. */
SCENARIO(looked_at, ANOTHER_INODE)
{
	int fd = open("/proc/self/status", O_RDONLY);

	int other = open("/proc/self/status", O_RDONLY);

	NEED(fd >= 0 && pread(fd, was, 10, 0) == 10);
	/* Is where it was read to, but what was made up last is of another place. */
	NEED(other >= 0 && read(other, now, 5) == 5 && pread(other, now, 10, 40) == 10);
	job_hold();
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK(take(fd, now, LEN) > 100 && !memcmp(was, now, 10));
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 5);
	CHECK(take(other, now, LEN) > 100 && !memcmp(was + 5, now, 5));
}

/* Below another root, names are others than those that init sees. */
SCENARIO(below_another_root, ANOTHER_INODE)
{
	int fd;

	NEED(!mkdir("/mnt/root", 0755) && !mkdir("/mnt/root/proc", 0755));
	NEED(!mount("/proc", "/mnt/root/proc", NULL, MS_BIND, NULL));
	NEED(!chroot("/mnt/root") && !chdir("/"));
	fd = open("/proc/self/maps", O_RDONLY);
	NEED(fd >= 0 && take(fd, was, 300) == 300);
	job_hold();
	CHECK(take(fd, now, LEN) > 0);
	CHECK(rewind_to(fd, 0) && take(fd, now, 300) == 300 && !memcmp(was, now, 300));
}

/* Who reads it asks for what it is not told, whoever opens it again. */
SCENARIO(unprivileged, ANOTHER_INODE)
{
	int map, stack;
	uint64_t entry = 0;
	off_t page = (uintptr_t)&entry / getpagesize() * 8;

	NEED(!setgid(1000) && !setuid(1000) && !prctl(PR_SET_DUMPABLE, 1));
	map = open("/proc/self/pagemap", O_RDONLY);
	stack = open("/proc/self/stack", O_RDONLY);
	NEED(map >= 0);
	NEED(stack >= 0 || errno == ENOENT);
	NEED(pread(map, &entry, sizeof(entry), page) == sizeof(entry) && entry >> 63);
	NEED(!(entry & ((1ULL << 55) - 1)));
	job_hold();
	CHECK(pread(map, &entry, sizeof(entry), page) == sizeof(entry) && entry >> 63);
	CHECK_EQ(entry & ((1ULL << 55) - 1), 0);
	CHECK(stack < 0 || read(stack, now, LEN) < 0);
}

static volatile unsigned long there = 0x12345678;

/* It is the memory that the process has then. */
SCENARIO(memory, ANOTHER_INODE)
{
	int mem = open("/proc/self/mem", O_RDWR), map = open("/proc/self/pagemap", O_RDONLY);
	off_t at = (uintptr_t)&there, page = at / getpagesize() * 8;
	unsigned long value = 0;
	uint64_t entry = 0;

	NEED(mem >= 0 && map >= 0);
	NEED(rewind_to(mem, at) && rewind_to(map, page));
	there++;
	job_hold();
	CHECK(read(mem, &value, sizeof(value)) == sizeof(value));
	CHECK_EQ(value, there);
	value = 4711;
	CHECK(pwrite(mem, &value, sizeof(value), at) == sizeof(value));
	CHECK_EQ(there, 4711);
	CHECK(read(map, &entry, sizeof(entry)) == sizeof(entry));
	CHECK(entry >> 63);
}

/* Files that are written to. */
SCENARIO(written, ANOTHER_INODE)
{
	int comm = open("/proc/self/comm", O_WRONLY);
	int oom = open("/proc/self/oom_score_adj", O_RDWR);
	char name[16];

	NEED(comm >= 0 && oom >= 0);
	job_hold();
	CHECK(write(comm, "another", 7) == 7);
	CHECK(!prctl(PR_GET_NAME, name) && !strcmp(name, "another"));
	CHECK(write(oom, "500", 3) == 3);
	CHECK(take(open("/proc/self/oom_score_adj", O_RDONLY), now, LEN) == 4);
	CHECK(!memcmp(now, "500\n", 4));
}

/* Names of what was not there when the directory was opened are found, too. */
static bool lists(DIR *dir, const char *name)
{
	struct dirent *e;

	rewinddir(dir);
	while ((e = readdir(dir)))
		if (!strcmp(e->d_name, name))
			return true;
	return false;
}

SCENARIO(directories, ANOTHER_INODE)
{
	DIR *self = opendir("/proc/self"), *fds = opendir("/proc/self/fd");
	DIR *task = opendir("/proc/self/task"), *proc = opendir("/proc");
	DIR *infos = opendir("/proc/self/fdinfo"), *tty = opendir("/proc/tty");
	int path = open("/proc/self/status", O_PATH), fd;
	char name[16], pid[16];

	NEED(self && fds && task && proc && infos && tty && path >= 0);
	NEED(readdir(self) && readdir(fds));
	job_hold();
	snprintf(pid, sizeof(pid), "%d", getpid());
	CHECK(telldir(self) > 0 && readdir(self) && strcmp(readdir(self)->d_name, ".."));
	CHECK(lists(self, "status") && lists(task, pid) && lists(proc, pid));
	CHECK(lists(tty, "drivers"));
	fd = dup(0);
	snprintf(name, sizeof(name), "%d", fd);
	CHECK(lists(fds, name) && lists(infos, name));
	close(fd);
	CHECK(!lists(fds, name));
	fd = openat(dirfd(self), "comm", O_RDONLY);
	CHECK(fd >= 0 && take(fd, now, LEN) > 0);
	snprintf(now, sizeof(now), "/proc/self/fd/%d", path);
	fd = open(now, O_RDONLY);
	CHECK(fd >= 0 && take(fd, now, LEN) > 100);
}

static volatile pid_t tid;
static volatile bool over;

static void *waits(void *arg)
{
	tid = gettid();
	while (!over)
		sleep_ms(1);
	return arg;
}

/* Of others: a child, a zombie, a thread; and descriptors that several of them have. */
SCENARIO(others, ANOTHER_INODE, .tasks = 5)
{
	int child_maps, zombie_stat, thread_stat, parent_maps, p[2];
	pid_t child, zombie, with;
	pthread_t thread;
	char path[64];
	int status;

	NEED(!pipe(p));
	parent_maps = open("/proc/self/maps", O_RDONLY);
	NEED(parent_maps >= 0 && take(parent_maps, was, 300) == 300);
	zombie = fork();
	NEED(zombie >= 0);
	if (!zombie)
		_exit(5);
	NEED(!waitid(P_PID, zombie, NULL, WEXITED | WNOWAIT));
	child = fork();
	NEED(child >= 0);
	if (!child) {
		char c;

		/* Reads on where its parent has left off. */
		if (read(p[0], &c, 1) != 1 || take(parent_maps, now, 200) != 200)
			_exit(1);
		_exit(c);
	}
	/* Shares descriptors, not memory. */
	with = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	NEED(with >= 0);
	if (!with) {
		while (fcntl(100, F_GETFD) < 0)
			sleep_ms(1);
		while (fcntl(100, F_GETFD) >= 0)
			sleep_ms(1);
		_exit(lseek(101, 0, SEEK_CUR) == 4 ? 7 : 8);
	}
	NEED(!pthread_create(&thread, NULL, waits, NULL));
	while (!tid)
		sleep_ms(1);
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	child_maps = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/stat", zombie);
	zombie_stat = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", getpid(), tid);
	thread_stat = open(path, O_RDONLY);
	NEED(child_maps >= 0 && zombie_stat >= 0 && thread_stat >= 0);
	NEED(dup2(thread_stat, 101) == 101 && dup2(thread_stat, 100) == 100);
	job_hold();
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	says_the_same(child_maps, path);
	CHECK(take(zombie_stat, now, LEN) > 20 && strstr(now, ") Z "));
	CHECK_EQ(atoi(now), zombie);
	CHECK(read(thread_stat, now, 4) == 4 && atoi(now) == tid);
	CHECK(write(p[1], "\3", 1) == 1);
	CHECK(waitpid(child, &status, 0) == child && status == 3 << 8);
	/* It has moved, for both. */
	CHECK_EQ(lseek(parent_maps, 0, SEEK_CUR), 500);
	CHECK(!close(100));
	CHECK(waitpid(with, &status, 0) == with && status == 7 << 8);
	over = true;
	CHECK(!pthread_join(thread, NULL));
	/* Those who are gone say so. */
	CHECK(rewind_to(child_maps, 0) == false || read(child_maps, now, 10) <= 0);
	CHECK(waitpid(zombie, &status, 0) == zombie && status == 5 << 8);
	CHECK(rewind_to(zombie_stat, 0) == false || read(zombie_stat, now, 10) < 0);
}

SCENARIO(of_init, .refused = "about init or the kernel")
{
	NEED(open("/proc/1/status", O_RDONLY) >= 0);
	job_hold();
}

/* It keeps the process from being forgotten, but not the process. */
SCENARIO(of_nobody, .refused = "its process is gone")
{
	char path[64];
	pid_t pid = fork();

	NEED(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	NEED(open(path, O_RDONLY) >= 0);
	NEED(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	job_hold();
}

/* The address space that it had before execve(2). */
SCENARIO(of_another_program, .refused = "another program")
{
	if (!getenv("CKPT_AGAIN")) {
		NEED(open("/proc/self/maps", O_RDONLY) >= 0);
		NEED(!setenv("CKPT_AGAIN", "1", 1));
		execl("/proc/self/exe", "again", NULL);
		NEED(false);
	}
	job_hold();
}

/* There is none of a zombie, and there would be init's when it is opened again. */
SCENARIO(of_no_address_space, .refused = "another program", .tasks = 2)
{
	pid_t pid = fork();
	char path[64];

	NEED(pid >= 0);
	if (!pid)
		_exit(0);
	NEED(!waitid(P_PID, pid, NULL, WEXITED | WNOWAIT));
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	NEED(open(path, O_RDONLY) >= 0 && read(open(path, O_RDONLY), now, LEN) == 0);
	job_hold();
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* It is needed before there are processes. */
SCENARIO(working_directory, .refused = "of a process in proc")
{
	NEED(!chdir("/proc/self/task"));
	job_hold();
}

/* Each look is another one: they have state, which is not saved. */
SCENARIO(mounts, .refused = "file system does not say")
{
	NEED(open("/proc/self/mounts", O_RDONLY) >= 0);
	job_hold();
}

/* A job that has its list of mappings open, read in part, and where that is. */
JOB(reader)
{
	int fd = open("/proc/self/maps", O_RDONLY);

	NEED(fd >= 0 && take(fd, now, 40) == 40);
	job_hold();
}

static void restart_fails(struct run *run, struct image *im, int err, const char *why)
{
	int fd;

	seal(im);
	fd = scratch_file(im->b, im->len);
	if (!WANT_ERR(call_restart(run, fd, 0), err) || (why && !WANT(log_names(run, why))) ||
	    !WANT(alone()))
		say_log(run, LOG_PATH);
	close(fd);
}

/* What an image says of it is not believed. */
INIT_TEST(images, reader)
{
	enum { FILE_RECORD = 2, MM_RECORD = 6, TEXT_RECORD = 49, PROC = 47 };
	struct image im = load_job(run, NULL);
	unsigned char *file = NULL, *text, *mm = record(&im, MM_RECORD, 0), *p;
	char path[64];
	uint32_t exe;
	int len, fd;

	run->s->any_pid = true;
	for (int i = 0; (p = record(&im, FILE_RECORD, i)); i++)
		if (get32(p + 4) == PROC)
			file = p;
	text = record(&im, TEXT_RECORD, 0);
	if (!WANT(file && text && mm))
		return;
	len = snprintf(path, sizeof(path), "/proc/%d/maps", run->pid);
	for (p = file; p < file + 128 && memcmp(p, path, len); p++)
		;
	if (!WANT(p < file + 128))
		return;
	/* Of init; of nobody. */
	if (WANT(run->pid < 10)) {
		memcpy(p, "/proc/1/maps", len);
		restart_fails(run, &im, ESTALE, "about init");
		memcpy(p, "/proc/9/maps", len);
		restart_fails(run, &im, ENOENT, "it is not there");
		/* Not of a process. */
		memcpy(p, "/proc/uptime", len);
		restart_fails(run, &im, ESTALE, "of a process");
	}
	memcpy(p, path, len);
	/* Looked up before there is the process. */
	put32(file + 4, 1);
	put32(file + 8, -1);
	restart_fails(run, &im, ENOENT, NULL);
	put32(file + 4, PROC);
	put32(file + 8, 1);
	/* As a program: that can't be what only descriptors have. */
	exe = get32(mm + 4);
	put32(mm + 4, get32(file));
	restart_fails(run, &im, EINVAL, NULL);
	put32(mm + 4, exe);
	/* Wherever it is said to go on, there is nothing but mappings to be read. */
	for (int i = 0; i < 4 && !run->verdict; i++) {
		static const uint64_t places[] = { 0, 1, 1ULL << 63, ~0ULL - 1 };

		put64(text + 8, places[i]);
		put64(text + 16, places[3 - i]);
		seal(&im);
		fd = scratch_file(im.b, im.len);
		WANT_ERR(call_restart(run, fd, 0), 0);
		close(fd);
		snprintf(path, sizeof(path), "/proc/%d/fd", run->pid);
		WANT(!access(path, F_OK));
		kill_all(run);
	}
}

TEST_HARNESS_MAIN
