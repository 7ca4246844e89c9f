// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of open files, regular files, directories and simple devices;
 * working directory, root and umask. What /proc/PID/fd and fdinfo say is
 * compared by the harness.
 */
#include "ckpt_harness.h"

#include <dirent.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY	(1024 + 3)
#endif

static int make(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	NEED(fd >= 0);
	NEED(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static long long at(int fd)
{
	return lseek(fd, 0, SEEK_CUR);
}

SCENARIO(offset)
{
	char buf[8] = "";
	int fd = make("f", "0123456789");

	NEED(lseek(fd, 4, SEEK_SET) == 4);
	job_hold();
	CHECK_EQ(at(fd), 4);
	CHECK(read(fd, buf, 3) == 3 && !strcmp(buf, "456"));
	CHECK(write(fd, "X", 1) == 1);
	CHECK_EQ(at(fd), 8);
}

SCENARIO(offset_beyond_end)
{
	int fd = make("f", "abc");

	NEED(lseek(fd, 5LL << 30, SEEK_SET) == 5LL << 30);
	job_hold();
	CHECK_EQ(at(fd), 5LL << 30);
	CHECK(pread(fd, &(char){ 0 }, 1, 2) == 1);
}

SCENARIO(access_modes)
{
	char c;
	int r, w, rw;

	close(make("f", "abc"));
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	rw = open("f", O_RDWR);
	job_hold();
	CHECK_EQ(fcntl(r, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(w, F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_EQ(fcntl(rw, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK(read(r, &c, 1) == 1 && c == 'a');
	CHECK(write(r, "x", 1) < 0 && errno == EBADF);
	CHECK(read(w, &c, 1) < 0 && errno == EBADF);
	CHECK(write(w, "y", 1) == 1);
	CHECK(read(rw, &c, 1) == 1 && c == 'y');
}

/* Opened for more than its mode grants now: access was checked at open. */
SCENARIO(mode_changed_since)
{
	int fd = make("f", "abc"), r = open("f", O_RDONLY);

	NEED(!fchmod(fd, 0));
	job_hold();
	CHECK(pread(r, &(char){ 0 }, 1, 0) == 1);
	CHECK(pwrite(fd, "z", 1, 0) == 1);
}

SCENARIO(append)
{
	int fd, other = make("f", "0123456789");
	char c;

	fd = open("f", O_WRONLY | O_APPEND);
	NEED(fd >= 0 && !lseek(fd, 0, SEEK_SET));
	job_hold();
	CHECK(fcntl(fd, F_GETFL) & O_APPEND);
	CHECK(write(fd, "A", 1) == 1);
	CHECK_EQ(at(fd), 11);
	CHECK(pread(other, &c, 1, 10) == 1 && c == 'A');
	CHECK(pread(other, &c, 1, 0) == 1 && c == '0');
}

SCENARIO(status_flags)
{
	static const int flags[] = {
		O_NONBLOCK, O_SYNC, O_DSYNC, O_NOATIME, O_NOFOLLOW, O_LARGEFILE, O_DIRECT, 0
	};
	int fd[8], was[8];

	close(make("f", "abc"));
	for (int i = 0; i < 8; i++) {
		fd[i] = open("f", O_RDWR | flags[i]);
		was[i] = fcntl(fd[i], F_GETFL);
	}
	job_hold();
	for (int i = 0; i < 8; i++)
		if (fd[i] >= 0)
			CHECK_EQ(fcntl(fd[i], F_GETFL), was[i]);
}

/* Made with O_EXCL and O_TRUNC, which must not be done a second time. */
SCENARIO(created_exclusively)
{
	int fd = open("f", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600);
	char c;

	NEED(fd >= 0 && write(fd, "keep", 4) == 4);
	job_hold();
	CHECK(pread(fd, &c, 1, 3) == 1 && c == 'p');
}

SCENARIO(close_on_exec)
{
	int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/null", O_RDONLY);
	int c = fcntl(a, F_DUPFD, 20), d = fcntl(b, F_DUPFD_CLOEXEC, 30);

	job_hold();
	CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(b, F_GETFD), 0);
	CHECK_EQ(fcntl(c, F_GETFD), 0);
	CHECK_EQ(fcntl(d, F_GETFD), FD_CLOEXEC);
}

/* One description behind several descriptors, and another of the same file. */
SCENARIO(shared_description)
{
	int a = make("f", "0123456789"), b = dup(a), c = fcntl(a, F_DUPFD, 200);
	int other = open("f", O_RDWR);

	NEED(b >= 0 && c == 200 && other >= 0);
	lseek(a, 2, SEEK_SET);
	job_hold();
	CHECK_EQ(at(c), 2);
	CHECK_EQ(at(other), 0);
	lseek(b, 5, SEEK_SET);
	CHECK_EQ(at(a), 5);
	CHECK_EQ(at(c), 5);
	CHECK_EQ(at(other), 0);
	CHECK(!fcntl(c, F_SETFL, O_APPEND | O_RDWR));
	CHECK(fcntl(a, F_GETFL) & O_APPEND);
	CHECK(!(fcntl(other, F_GETFL) & O_APPEND));
	CHECK(fcntl(a, F_DUPFD_QUERY, b) != 0);
	CHECK(fcntl(a, F_DUPFD_QUERY, other) <= 0);
}

SCENARIO(many)
{
	struct rlimit l = { 4096, 4096 };
	int n = 0, fd;

	NEED(!setrlimit(RLIMIT_NOFILE, &l));
	close(make("f", "0123456789"));
	while ((fd = open("f", O_RDONLY)) >= 0 && n < 1000) {
		lseek(fd, fd, SEEK_SET);
		n++;
	}
	NEED(dup2(3, 4000) == 4000);
	for (fd = 10; fd < 1000; fd += 7)
		close(fd);
	job_hold();
	for (fd = 4; fd < 1000; fd++) {
		if (fd >= 10 && (fd - 10) % 7 == 0) {
			if (!CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF))
				break;
		} else if (!CHECK_EQ(at(fd), fd)) {
			break;
		}
	}
	CHECK_EQ(at(4000), 3);
	CHECK_EQ(open("f", O_RDONLY), 10);	/* the lowest that is free */
}

/* Nothing open at all, standard input and output included. */
SCENARIO(none)
{
	close_range(0, ~0U, 0);
	job_hold();
	CHECK_EQ(open("/dev/null", O_RDONLY), 0);
}

/* Standard input and output of its own, not init's. */
SCENARIO(own_stdio)
{
	int fd = make("out", "");

	NEED(dup2(fd, 1) == 1 && dup2(fd, 2) == 2 && !close(fd));
	NEED(write(1, "abc", 3) == 3);
	job_hold();
	CHECK_EQ(at(2), 3);
	CHECK(write(2, "def", 3) == 3);
	CHECK_EQ(at(1), 6);
}

/* What init gave it is init's still: one position for both. */
static void next_letter(struct run *run)
{
	job_read(run, &job.word[0], &job.word[0], sizeof(job.word[0]));
	if (lseek(10, 0, SEEK_CUR) != (off_t)job.word[0])
		run_fail(run, "init's file is at %lld\n", (long long)lseek(10, 0, SEEK_CUR));
	job.word[0]++;
	lseek(10, job.word[0], SEEK_SET);
	job_write(run, &job.word[0], &job.word[0], sizeof(job.word[0]));
}

SCENARIO(from_init, .inherit = true, .after = next_letter, .may_differ = { "fdinfo 10 pos" })
{
	char c;

	NEED(read(10, &c, 1) == 1 && c == 'a');
	NEED(read(10, &c, 1) == 1 && c == 'b');
	job.word[0] = 2;
	job_hold();
	CHECK_EQ(at(10), job.word[0]);
	CHECK(read(10, &c, 1) == 1 && c == (char)('a' + job.word[0]));
	CHECK_EQ(fcntl(10, F_GETFL) & O_ACCMODE, O_RDONLY);
}

struct entry {
	uint64_t ino, off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int more_entries(int fd, char *seen, size_t room)
{
	char buf[200];		/* a few at a time */
	long n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	int count = 0;

	for (long o = 0; o < n; count++) {
		struct entry *e = (struct entry *)(buf + o);

		if (e->name[0] != '.') {
			int nr = atoi(e->name + 1);

			if (nr < (int)room)
				seen[nr]++;
		}
		o += e->len;
	}
	return count;
}

static void half_a_directory(void)
{
	char name[32], seen[100] = "";
	int fd;

	NEED(!mkdir("dir", 0700));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "dir/f%d", i);
		close(make(name, ""));
	}
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	NEED(fd >= 0);
	for (int i = 0; i < 10; i++)
		NEED(more_entries(fd, seen, sizeof(seen)) > 0);
	job_hold();
	while (more_entries(fd, seen, sizeof(seen)) > 0)
		;
	for (int i = 0; i < 100; i++)
		if (!CHECK_EQ(seen[i], 1))
			break;
	CHECK(openat(fd, "f7", O_RDONLY) >= 0);
	CHECK(!fchdir(fd));
}

SCENARIO(directory)
{
	half_a_directory();
}

SCENARIO(directory_at_end)
{
	char seen[1];
	int fd;

	NEED(!mkdir("dir", 0700));
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	while (more_entries(fd, seen, sizeof(seen)) > 0)
		;
	job_hold();
	CHECK_EQ(more_entries(fd, seen, sizeof(seen)), 0);
	CHECK(!lseek(fd, 0, SEEK_SET));
	CHECK_EQ(more_entries(fd, seen, sizeof(seen)), 2);
}

SCENARIO(directory_on_tmpfs)
{
	NEED(!mkdir("fs", 0700) && !mount("tmpfs", "fs", "tmpfs", 0, NULL) && !chdir("fs"));
	half_a_directory();
}

SCENARIO(devices)
{
	static const char *const name[] = {
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"
	};
	char buf[16];
	int fd[5];

	for (int i = 0; i < 5; i++) {
		fd[i] = open(name[i], O_RDWR);
		NEED(fd[i] >= 0);
	}
	job_hold();
	CHECK_EQ(read(fd[0], buf, 16), 0);
	CHECK_EQ(write(fd[0], buf, 16), 16);
	memset(buf, 1, 16);
	CHECK(read(fd[1], buf, 16) == 16 && !buf[0] && !buf[15]);
	CHECK(write(fd[2], buf, 1) < 0 && errno == ENOSPC);
	CHECK_EQ(read(fd[3], buf, 16), 16);
	CHECK_EQ(read(fd[4], buf, 16), 16);
}

/* It is the file that counts, wherever it has gone since it was opened. */
SCENARIO(renamed)
{
	int fd = make("old", "abc"), deep;
	char c;

	NEED(!mkdir("a", 0700) && !mkdir("a/b", 0700));
	deep = make("a/b/c", "def");
	NEED(!rename("old", "new") && !rename("a", "z"));
	close(make("old", "not this one"));
	job_hold();
	CHECK(pread(fd, &c, 1, 0) == 1 && c == 'a');
	CHECK(pread(deep, &c, 1, 0) == 1 && c == 'd');
}

SCENARIO(hard_link)
{
	int fd = make("one", "abc");
	char c;

	NEED(!link("one", "two") && !unlink("one"));
	close(fd);
	fd = open("two", O_RDWR);
	NEED(fd >= 0);
	job_hold();
	CHECK(pread(fd, &c, 1, 2) == 1 && c == 'c');
}

/* Names with everything that a name may have. */
SCENARIO(odd_names)
{
	char name[256];
	int a = make(" with blanks\tand\nlines \\ \" ' %s", "a"), b, c;

	memset(name, 'n', 255);
	name[255] = 0;
	b = make(name, "b");
	NEED(!mkdir("(deleted)", 0700));
	c = make("(deleted)/f (deleted)", "c");
	job_hold();
	for (int i = 0; i < 3; i++) {
		char got = 0;
		int fd = i == 0 ? a : i == 1 ? b : c;

		CHECK(pread(fd, &got, 1, 0) == 1 && got == 'a' + i);
	}
}

/* A path longer than PATH_MAX has room for can't be had by name. */
SCENARIO(deep_directory)
{
	int fd;

	for (int i = 0; i < 15; i++) {
		char name[201];

		memset(name, 'a' + i, 200);
		name[200] = 0;
		NEED(!mkdir(name, 0700) && !chdir(name));
	}
	fd = make("f", "abc");
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 0) == 1);
	CHECK(open("f", O_RDONLY) >= 0);
}

/* Opened through a path that is not the name that it has. */
SCENARIO(through_symlink)
{
	int fd;
	char c;

	close(make("real", "abc"));
	NEED(!symlink("real", "link"));
	fd = open("link", O_RDWR);
	NEED(fd >= 0 && !unlink("link"));
	job_hold();
	CHECK(pread(fd, &c, 1, 1) == 1 && c == 'b');
}

SCENARIO(path_only)
{
	int fd, dir;

	close(make("f", "abc"));
	fd = open("f", O_PATH);
	dir = open(".", O_PATH | O_DIRECTORY);
	NEED(fd >= 0 && dir >= 0);
	job_hold();
	CHECK(fcntl(fd, F_GETFL) & O_PATH);
	CHECK(read(fd, &(char){ 0 }, 1) < 0 && errno == EBADF);
	CHECK(openat(dir, "f", O_RDONLY) >= 0);
}

SCENARIO(working_directory)
{
	char was[4096], now[4096];

	NEED(!mkdir("d", 0700) && !mkdir("d/e", 0700) && !chdir("d/e"));
	NEED(getcwd(was, sizeof(was)));
	job_hold();
	CHECK(getcwd(now, sizeof(now)) && !strcmp(was, now));
	CHECK(!chdir("../.."));
	CHECK(!access("d/e", F_OK));
}

SCENARIO(changed_root)
{
	char cwd[100];
	int fd;

	NEED(!mkdir("jail", 0700) && !mkdir("jail/in", 0700));
	fd = make("jail/in/f", "abc");
	NEED(!chroot("jail") && !chdir("/in"));
	job_hold();
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/in"));
	CHECK(!access("/in/f", F_OK));
	CHECK(!access("f", F_OK));
	CHECK(access("/proc/self", F_OK) < 0);
	CHECK(pread(fd, &(char){ 0 }, 1, 0) == 1);
}

/* A working directory that the root does not reach. */
SCENARIO(outside_of_root)
{
	NEED(!mkdir("jail", 0700) && !mkdir("free", 0700) && !chdir("free") && !chroot("../jail"));
	close(make("f", "abc"));
	job_hold();
	CHECK(!access("f", F_OK));
	CHECK(access("/f", F_OK) < 0);
	CHECK(!access("../free/f", F_OK));
}

SCENARIO(mask)
{
	struct stat st;
	int fd;

	umask(0251);
	job_hold();
	fd = open("f", O_RDWR | O_CREAT, 0777);
	CHECK(!fstat(fd, &st));
	CHECK_EQ(st.st_mode & 0777, 0777 & ~0251);
	CHECK_EQ(umask(0), 0251);
}

/* A mount of its own in the way: seen through /proc/PID/fdinfo's mnt_id, too. */
SCENARIO(bind_mount)
{
	int a, b;

	NEED(!mkdir("m", 0700));
	close(make("f", "below"));
	close(make("m/f", "hidden"));
	NEED(!mount(".", "m", NULL, MS_BIND, NULL));
	a = open("f", O_RDWR);
	b = open("m/f", O_RDWR);
	NEED(a >= 0 && b >= 0);
	job_hold();
	CHECK(pread(a, &(char){ 0 }, 1, 0) == 1);
	CHECK(pwrite(b, "B", 1, 0) == 1);
}

SCENARIO(read_only_mount)
{
	int fd;

	NEED(!mkdir("m", 0700));
	close(make("f", "below"));
	NEED(!mount(".", "m", NULL, MS_BIND, NULL) &&
	     !mount(NULL, "m", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	fd = open("m/f", O_RDONLY);
	NEED(fd >= 0);
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 0) == 1);
	CHECK(open("m/f", O_RDWR) < 0 && errno == EROFS);
}

SCENARIO(on_overlayfs)
{
	int lower, upper, copied, dir;

	NEED(!mkdir("d", 0700) && !mount("tmpfs", "d", "tmpfs", 0, NULL) && !chdir("d"));
	NEED(!mkdir("l", 0700) && !mkdir("u", 0700) && !mkdir("w", 0700) && !mkdir("m", 0700));
	close(make("l/low", "low"));
	close(make("l/both", "both"));
	if (mount("overlay", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w"))
		JOB_SKIP("no overlayfs");
	lower = open("m/low", O_RDONLY);
	copied = open("m/both", O_RDWR);
	NEED(pwrite(copied, "B", 1, 0) == 1);
	upper = make("m/up", "upper");
	dir = open("m", O_RDONLY | O_DIRECTORY);
	NEED(lower >= 0 && dir >= 0);
	job_hold();
	CHECK(pread(lower, &(char){ 0 }, 1, 2) == 1);
	CHECK(pwrite(copied, "C", 1, 3) == 1);
	CHECK(pwrite(upper, "D", 1, 4) == 1);
	CHECK(openat(dir, "low", O_RDONLY) >= 0);
}

SCENARIO(on_9p)
{
	int fd;
	char c;

	if (access("/run/ckpt/out", F_OK))
		JOB_SKIP("no 9p here");
	/* One for each width: they run side by side. */
	fd = make(sizeof(long) == 8 ? "/run/ckpt/out/file-64" : "/run/ckpt/out/file-32",
		  "0123456789");
	NEED(lseek(fd, 3, SEEK_SET) == 3);
	job_hold();
	CHECK_EQ(at(fd), 3);
	CHECK(pread(fd, &c, 1, 9) == 1 && c == '9');
	CHECK(pwrite(fd, "x", 1, 0) == 1);
}

/* Some data, a hole, data that ends within a page, and a hole behind it. */
static void make_holes(int fd)
{
	NEED(pwrite(fd, "start", 5, 0) == 5);
	NEED(pwrite(fd, "middle", 6, 1 << 20) == 6);
	NEED(!ftruncate(fd, (1 << 20) + 12345));
}

static void check_holes(int fd)
{
	struct stat st;
	char buf[16] = "";

	CHECK(!fstat(fd, &st));
	CHECK_EQ(st.st_size, (1 << 20) + 12345);
	CHECK_EQ(st.st_nlink, 0);
	CHECK(st.st_blocks <= 64);
	CHECK(pread(fd, buf, 6, 0) == 6 && !memcmp(buf, "start\0", 6));
	CHECK(pread(fd, buf, 7, 1 << 20) == 7 && !memcmp(buf, "middle\0", 7));
	CHECK_EQ(pread(fd, buf, 1, (1 << 20) + 12345), 0);
}

/* One file: two descriptors of one description, and a description of its own. */
SCENARIO(deleted)
{
	int fd = make("f", ""), other = open("f", O_RDONLY), twin = dup(fd);
	struct timespec times[] = { { 1000, 1 }, { 2000, 2 } };
	struct stat was, now, st;
	char buf[8] = "";

	make_holes(fd);
	NEED(!fchown(fd, 1000, 1001) && !fchmod(fd, 04751) && !futimens(fd, times));
	NEED(!unlink("f") && !fstat(fd, &was));
	NEED(lseek(fd, 3, SEEK_SET) == 3 && lseek(other, 1 << 20, SEEK_SET) == 1 << 20);
	job_hold();
	CHECK(!fstat(fd, &now));
	CHECK_EQ(now.st_uid, 1000);
	CHECK_EQ(now.st_gid, 1001);
	CHECK_EQ(now.st_mode, was.st_mode);
	CHECK(now.st_atim.tv_sec == 1000 && now.st_atim.tv_nsec == 1);
	CHECK(now.st_mtim.tv_sec == 2000 && now.st_mtim.tv_nsec == 2);
	CHECK(access("f", F_OK) < 0 && errno == ENOENT);
	check_holes(fd);
	CHECK(!fstat(other, &st) && st.st_ino == now.st_ino && st.st_dev == was.st_dev);
	CHECK_EQ(at(twin), 3);
	CHECK(write(fd, "X", 1) == 1);
	CHECK_EQ(at(twin), 4);
	CHECK_EQ(at(other), 1 << 20);
	CHECK(pread(other, buf, 5, 0) == 5 && !memcmp(buf, "staXt", 5));
	CHECK(write(other, "x", 1) < 0 && errno == EBADF);
}

/* The name is there again; it is somebody else's, and stays that. */
SCENARIO(deleted_and_replaced, .may_differ = { "#" })
{
	int fd = make("f", ""), other;
	char c;

	make_holes(fd);
	NEED(!unlink("f"));
	other = make("f", "abc");
	job_hold();
	check_holes(fd);
	CHECK(pread(other, &c, 1, 2) == 1 && c == 'c');
	CHECK_EQ(lseek(other, 0, SEEK_END), 3);
}

SCENARIO(deleted_empty)
{
	int fd = make("f", "");

	NEED(!unlink("f") && lseek(fd, 77, SEEK_SET) == 77);
	job_hold();
	CHECK_EQ(at(fd), 77);
	CHECK_EQ(pread(fd, &(char){ 0 }, 1, 0), 0);
	CHECK(write(fd, "x", 1) == 1);
}

/* Access was checked at open, and is not what the mode grants. */
SCENARIO(deleted_write_only)
{
	int fd;

	close(make("f", "0123456789"));
	fd = open("f", O_WRONLY | O_APPEND);
	NEED(fd >= 0 && !fchmod(fd, 0) && !unlink("f"));
	job_hold();
	CHECK(read(fd, &(char){ 0 }, 1) < 0 && errno == EBADF);
	CHECK(fcntl(fd, F_GETFL) & O_APPEND);
	CHECK(write(fd, "x", 1) == 1);
	CHECK_EQ(at(fd), 11);
}

SCENARIO(deleted_mapping)
{
	int fd = make("f", "");
	char *shared, *private;
	char c;

	make_holes(fd);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(shared != MAP_FAILED && private != MAP_FAILED);
	private[1] = 'P';
	shared[0] = 'S';
	NEED(!unlink("f"));
	job_hold();
	CHECK(!memcmp(shared, "Start", 5));
	CHECK(private[1] == 'P' && private[4] == 't');
	shared[4] = 'T';
	CHECK(pread(fd, &c, 1, 4) == 1 && c == 'T');
	CHECK(pwrite(fd, "start", 5, 0) == 5 && shared[0] == 's');
	check_holes(fd);
}

static void unnamed(int flags)
{
	int fd = open(".", O_RDWR | O_TMPFILE | flags, 0640), was;
	char path[32];

	if (fd < 0)
		JOB_SKIP("no O_TMPFILE");
	make_holes(fd);
	was = fcntl(fd, F_GETFL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	job_hold();
	check_holes(fd);
	CHECK_EQ(fcntl(fd, F_GETFL), was);
	if (flags & O_EXCL)
		CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) < 0);
	else if (CHECK(!linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW)))
		CHECK(!unlink("named"));
}

/* What may be given a name shows by its number, which is another one then. */
SCENARIO(without_name, .may_differ = { "#" })
{
	unnamed(0);
}

/* What never had a name, and never will, shows by the number it had. */
SCENARIO(without_name_ever)
{
	unnamed(O_EXCL);
}

SCENARIO(deleted_on_tmpfs)
{
	int fd;

	NEED(!mkdir("fs", 0700) && !mount("tmpfs", "fs", "tmpfs", 0, NULL) && !chdir("fs"));
	fd = make("f", "");
	make_holes(fd);
	NEED(!unlink("f"));
	job_hold();
	check_holes(fd);
	CHECK(pwrite(fd, "x", 1, 0) == 1);
}

/* Pipes. Those between processes are in test_tasks.c. */

SCENARIO(pipe_content)
{
	char buf[32] = "";
	struct stat st;
	int p[2];

	NEED(!pipe2(p, O_CLOEXEC | O_NONBLOCK) && fcntl(p[1], F_SETPIPE_SZ, 16384) == 16384);
	NEED(!fcntl(p[1], F_SETFL, O_APPEND) && !fchown(p[0], 1000, 1001));
	NEED(write(p[1], "0123456789", 10) == 10 && read(p[0], buf, 4) == 4);
	job_hold();
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 16384);
	CHECK_EQ(fcntl(p[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	CHECK_EQ(fcntl(p[1], F_GETFL), O_WRONLY | O_APPEND);
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK(!fstat(p[1], &st) && st.st_uid == 1000 && st.st_gid == 1001);
	CHECK(S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0600);
	CHECK(write(p[1], "x", 1) == 1);
	CHECK(read(p[0], buf, sizeof(buf)) == 7 && !memcmp(buf, "456789x", 7));
	CHECK(read(p[0], buf, 1) < 0 && errno == EAGAIN);
	close(p[1]);
	CHECK(read(p[0], buf, 1) == 0);
}

/* A FIFO: opened in each way, by two paths, with something in it. */
SCENARIO(fifo)
{
	char buf[32] = "";
	int both, in, out, again, flags[3];
	struct stat st;

	NEED(!mkfifo("fifo", 0600) && !link("fifo", "second"));
	in = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	out = open("second", O_WRONLY);
	both = open("fifo", O_RDWR);
	NEED(in >= 0 && out >= 0 && both >= 0 && fcntl(out, F_SETPIPE_SZ, 16384) == 16384);
	NEED(write(out, "0123456789", 10) == 10 && read(in, buf, 4) == 4);
	flags[0] = fcntl(in, F_GETFL);
	flags[1] = fcntl(out, F_GETFL);
	flags[2] = fcntl(both, F_GETFL);
	NEED((flags[0] & O_ACCMODE) == O_RDONLY && (flags[0] & O_NONBLOCK));
	NEED((flags[1] & O_ACCMODE) == O_WRONLY && (flags[2] & O_ACCMODE) == O_RDWR);
	job_hold();
	CHECK_EQ(fcntl(in, F_GETPIPE_SZ), 16384);
	CHECK_EQ(fcntl(in, F_GETFL), flags[0]);
	CHECK_EQ(fcntl(in, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(out, F_GETFL), flags[1]);
	CHECK_EQ(fcntl(both, F_GETFL), flags[2]);
	CHECK(!fstat(in, &st) && S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0600);
	CHECK_EQ(st.st_nlink, 2);
	CHECK(write(both, "x", 1) == 1);
	CHECK(read(in, buf, sizeof(buf)) == 7 && !memcmp(buf, "456789x", 7));
	CHECK(read(in, buf, 1) < 0 && errno == EAGAIN);
	/* It is the one that its path leads to. */
	again = open("fifo", O_WRONLY | O_NONBLOCK);
	CHECK(again >= 0 && write(again, "y", 1) == 1 && read(in, buf, 1) == 1 && buf[0] == 'y');
	/* Nobody else has an end of it. */
	close(again);
	close(both);
	close(out);
	CHECK_EQ(read(in, buf, 1), 0);
	CHECK(open("fifo", O_WRONLY | O_NONBLOCK) >= 0);
	close(in);
	CHECK(open("second", O_RDONLY | O_NONBLOCK) >= 0);
}

static int polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

/* No writer has come yet, which is not the end; to the other FIFO one has. */
SCENARIO(fifo_before_writer)
{
	int in, late, done, out;
	char c;

	NEED(!mkfifo("fifo", 0600) && !mkfifo("done", 0600));
	in = open("fifo", O_RDONLY | O_NONBLOCK);
	late = open("fifo", O_RDONLY | O_NONBLOCK);
	done = open("done", O_RDONLY | O_NONBLOCK);
	out = open("done", O_WRONLY);
	NEED(in >= 0 && late >= 0 && done >= 0 && out >= 0 && !close(out));
	NEED(!polled(in) && !polled(late) && polled(done) == POLLHUP);
	job_hold();
	CHECK_EQ(polled(in), 0);
	CHECK_EQ(polled(late), 0);
	CHECK_EQ(polled(done), POLLHUP);
	out = open("fifo", O_WRONLY);
	CHECK(out >= 0 && write(out, "x", 1) == 1);
	CHECK_EQ(polled(in), POLLIN);
	CHECK(read(in, &c, 1) == 1 && c == 'x' && !polled(in));
	close(out);
	CHECK_EQ(polled(in), POLLHUP);
	CHECK_EQ(polled(late), POLLHUP);
	CHECK_EQ(read(in, &c, 1), 0);
}

/* The last writer is gone, and what it wrote is still to be read. */
SCENARIO(fifo_without_writer)
{
	char buf[32] = "";
	int in, out;

	NEED(!mkfifo("fifo", 0600));
	in = open("fifo", O_RDONLY | O_NONBLOCK);
	out = open("fifo", O_WRONLY);
	NEED(in >= 0 && write(out, "last words", 10) == 10 && !close(out));
	job_hold();
	CHECK(read(in, buf, 4) == 4 && read(in, buf + 4, 28) == 6 && !strcmp(buf, "last words"));
	CHECK_EQ(read(in, buf, 1), 0);
}

/* To the last byte that goes in: writes of an odd length leave room in each page. */
SCENARIO(pipe_full)
{
	static char in[65536], out[65536];
	size_t n = 0, all = 0;
	ssize_t r;
	int p[2];

	fill(in, sizeof(in), 7);
	NEED(!pipe2(p, O_NONBLOCK));
	while (all + 777 < sizeof(in) && (r = write(p[1], in + all, 777)) > 0)
		all += r;
	NEED(all > 60000 && read(p[0], out, 5000) == 5000);
	job_hold();
	for (n = 5000; (r = read(p[0], out + n, sizeof(out) - n)) > 0;)
		n += r;
	CHECK_EQ(n, all);
	CHECK(!memcmp(in, out, all));
}

/* What is written with O_DIRECT is read as it was written. */
SCENARIO(pipe_packets)
{
	char buf[64];
	int p[2];

	NEED(!pipe2(p, O_DIRECT | O_NONBLOCK));
	NEED(write(p[1], "one", 3) == 3 && write(p[1], "three", 5) == 5);
	NEED(!fcntl(p[1], F_SETFL, O_NONBLOCK) && write(p[1], "str", 3) == 3);
	NEED(write(p[1], "eam", 3) == 3 && !fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT));
	NEED(write(p[1], "end", 3) == 3);
	job_hold();
	CHECK(fcntl(p[1], F_GETFL) == (O_WRONLY | O_NONBLOCK | O_DIRECT));
	CHECK(read(p[0], buf, 64) == 3 && !memcmp(buf, "one", 3));
	CHECK(read(p[0], buf, 2) == 2 && !memcmp(buf, "th", 2));
	CHECK(read(p[0], buf, 64) == 9 && !memcmp(buf, "streamend", 9));
	CHECK(read(p[0], buf, 64) < 0 && errno == EAGAIN);
}

/* Nobody has the other end. */
SCENARIO(pipe_without_writer)
{
	char buf[8];
	int p[2];

	NEED(!pipe(p) && write(p[1], "rest", 4) == 4 && !close(p[1]));
	job_hold();
	CHECK(read(p[0], buf, 8) == 4 && !memcmp(buf, "rest", 4));
	CHECK(read(p[0], buf, 8) == 0);
}

SCENARIO(pipe_without_reader)
{
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	NEED(!pipe(p) && !close(p[0]));
	job_hold();
	CHECK(write(p[1], "x", 1) < 0 && errno == EPIPE);
}

/* More ends than pipe(2) makes: opened again, and the same one twice. */
SCENARIO(pipe_opened_again)
{
	char path[32], buf[8];
	int p[2], both, again, same;

	NEED(!pipe(p));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	both = open(path, O_RDWR);
	again = open(path, O_RDONLY | O_NONBLOCK);
	same = dup(p[1]);
	NEED(both >= 0 && again >= 0 && same >= 0 && write(both, "abc", 3) == 3);
	job_hold();
	CHECK(read(p[0], buf, 1) == 1 && *buf == 'a');
	CHECK(read(again, buf, 1) == 1 && *buf == 'b');
	CHECK(read(both, buf, 8) == 1 && *buf == 'c');
	CHECK(read(again, buf, 1) < 0 && errno == EAGAIN);
	CHECK(!fcntl(same, F_SETFL, O_NONBLOCK) && fcntl(p[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
	close(p[1]);
	close(same);
	close(both);
	CHECK(read(again, buf, 1) == 0);
}

SCENARIO(proc_files)
{
	int fd = open("/proc/sys/kernel/ostype", O_RDONLY);
	char buf[16] = "";

	NEED(fd >= 0 && read(fd, buf, 2) == 2);
	job_hold();
	CHECK(read(fd, buf, 15) == 4 && !strcmp(buf, "nux\n"));
	CHECK(pread(fd, buf, 15, 0) == 6 && !strcmp(buf, "Linux\n"));
}

/* Inode attributes are the file system's, not the job's. */
SCENARIO(times_untouched)
{
	struct stat was, now;
	int fd = make("f", "abc"), dir = open(".", O_RDONLY | O_DIRECTORY);

	NEED(!fstat(fd, &was));
	job_hold();
	CHECK(!fstat(fd, &now));
	CHECK_EQ(now.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
	CHECK_EQ(now.st_ctim.tv_nsec, was.st_ctim.tv_nsec);
	CHECK_EQ(now.st_ino, was.st_ino);
	CHECK_EQ(now.st_size, was.st_size);
	CHECK_EQ(now.st_nlink, 1);
	CHECK(dir >= 0);
}

/* A directory entry count, so that no file is left beside those of the job. */
SCENARIO(no_litter)
{
	char seen[1];
	int fd, n = 0, more;

	close(make("f", "abc"));
	job_hold();
	fd = open(".", O_RDONLY | O_DIRECTORY);
	while ((more = more_entries(fd, seen, 0)) > 0)
		n += more;
	CHECK_EQ(n, 3);
}

TEST_HARNESS_MAIN
