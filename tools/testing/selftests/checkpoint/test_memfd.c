// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of memfd_create(2): content, names, seals, and who shares them how.
 */
#include "ckpt_harness.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE	4096L
#define LEN	(64 * PAGE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC	0x0020
#endif

static int make(const char *name, unsigned int flags, uint64_t seed)
{
	int fd = memfd_create(name, flags);
	char *text = malloc(LEN);

	NEED(fd >= 0 && text);
	fill(text, LEN, seed);
	NEED(write(fd, text, LEN) == LEN);
	free(text);
	return fd;
}

static bool holds(int fd, uint64_t seed)
{
	char *text = malloc(LEN);
	bool same;

	same = pread(fd, text, LEN, 0) == LEN && filled(text, LEN, seed);
	free(text);
	return same;
}

static char *mapped(int fd, int prot, int flags)
{
	char *p = mmap(NULL, LEN, prot, flags, fd, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static bool named(int fd, const char *name)
{
	char path[64], link[512];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = 0;
	return !strcmp(link, name);
}

SCENARIO(content)
{
	int fd = make("some memory", 0, 1), empty = memfd_create("", MFD_CLOEXEC);
	int sparse = memfd_create("a/b\n\xff", MFD_ALLOW_SEALING);
	char c = 0;

	NEED(empty >= 0 && sparse >= 0 && lseek(fd, 1234, SEEK_SET) == 1234);
	NEED(!ftruncate(sparse, 1L << 30) && pwrite(sparse, "x", 1, 1 << 29) == 1);
	job_hold();
	CHECK(holds(fd, 1) && named(fd, "/memfd:some memory (deleted)"));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1234);
	CHECK_EQ(lseek(empty, 0, SEEK_END), 0);
	CHECK(pread(sparse, &c, 1, 1 << 29) == 1 && c == 'x');
	CHECK_EQ(lseek(sparse, 0, SEEK_END), 1L << 30);
	CHECK_EQ(lseek(sparse, 0, SEEK_DATA), 1 << 29);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_EQ(fcntl(sparse, F_GET_SEALS), 0);
	CHECK(write(fd, "more", 4) == 4 && !ftruncate(fd, 0));
}

/* One file, opened in several ways, and mapped by several processes. */
SCENARIO(common, .tasks = 2)
{
	int fd = make("common", 0, 2), other, again = dup(fd);
	char path[64], *p = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *q = mapped(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	volatile int *at = (volatile int *)(p + LEN - PAGE);
	int status;
	pid_t kid;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY);
	NEED(other >= 0 && again >= 0);
	at[0] = 0;
	at[1] = 0;
	q[0] ^= 1;
	kid = fork();
	if (!kid) {
		close(fd);
		at[0] = 1;
		while (!at[1])
			sleep_ms(1);
		at[0] = 2;
		_exit(0);
	}
	await_count(&at[0], 1);
	job_hold();
	CHECK(!memcmp(p + 1, q + 1, PAGE - 1) && p[0] != q[0]);
	CHECK_EQ(lseek(again, 77, SEEK_SET), 77);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 77);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
	CHECK(write(other, "x", 1) < 0 && errno == EBADF);
	at[1] = 1;
	CHECK(waitpid(kid, &status, 0) == kid && !status);
	CHECK_EQ(at[0], 2);
	CHECK(pread(other, &status, sizeof(status), LEN - PAGE) == sizeof(status) && status == 2);
}

SCENARIO(only_mapped)
{
	int fd = make("gone", 0, 3);
	char *p = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	close(fd);
	job_hold();
	CHECK(filled(p, LEN, 3));
	p[0] = 1;
}

SCENARIO(seals)
{
	static const int seals[] = {
		F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL,
	};
	int fds[5];

	for (int i = 0; i < 5; i++) {
		fds[i] = make("sealed", MFD_ALLOW_SEALING, 4 + i);
		NEED(!fcntl(fds[i], F_ADD_SEALS, seals[i]));
	}
	job_hold();
	for (int i = 0; i < 5; i++) {
		CHECK(holds(fds[i], 4 + i));
		CHECK_EQ(fcntl(fds[i], F_GET_SEALS), seals[i]);
		CHECK_EQ(!ftruncate(fds[i], LEN - PAGE), !(seals[i] & F_SEAL_SHRINK));
		CHECK_EQ(!ftruncate(fds[i], LEN + PAGE), !(seals[i] & F_SEAL_GROW));
		CHECK_EQ(pwrite(fds[i], "x", 1, 0) == 1,
			 !(seals[i] & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)));
		CHECK_EQ(!fcntl(fds[i], F_ADD_SEALS, F_SEAL_GROW), !(seals[i] & F_SEAL_SEAL));
	}
}

/* What was mapped before it was sealed may be written, what came later never. */
SCENARIO(sealed_and_mapped)
{
	int fd = make("future", MFD_ALLOW_SEALING, 10), ro = make("now", MFD_ALLOW_SEALING, 11);
	char *before = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *after, *never;

	NEED(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	after = mapped(fd, PROT_READ, MAP_SHARED);
	NEED(!fcntl(ro, F_ADD_SEALS, F_SEAL_WRITE));
	never = mapped(ro, PROT_READ, MAP_SHARED);
	job_hold();
	CHECK(filled(before, LEN, 10) && filled(after, LEN, 10) && filled(never, LEN, 11));
	before[5] = 'b';
	CHECK_EQ(after[5], 'b');
	CHECK(mprotect(after, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES);
	CHECK(mprotect(never, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED);
	/* It is counted who may write: when nobody does, it may be sealed. */
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) && errno == EBUSY);
	CHECK(!munmap(before, LEN));
	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

SCENARIO(not_executable)
{
	int fd = memfd_create("data", MFD_NOEXEC_SEAL);
	struct stat st;

	if (fd < 0)
		JOB_SKIP("no MFD_NOEXEC_SEAL");
	NEED(!fchmod(fd, 0640));
	job_hold();
	CHECK(!fstat(fd, &st) && (st.st_mode & 07777) == 0640);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
	CHECK(fchmod(fd, 0755) && errno == EPERM);
}

/* Whether a child can execute it, or why not. */
static int executed(int fd)
{
	static char *const argv[] = { "script", NULL }, *const env[] = { NULL };
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		fexecve(fd, argv, env);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What memfd_create(2) returns is no writer that would be in the way. */
SCENARIO(executable)
{
	static const char script[] = "#!/bin/true\n";
	int fd = memfd_create("script", 0);

	NEED(fd >= 0 && write(fd, script, sizeof(script) - 1) == sizeof(script) - 1);
	NEED(!fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	NEED(!executed(fd));
	job_hold();
	CHECK_EQ(executed(fd), 0);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE),
		 O_APPEND | O_NONBLOCK | O_RDWR);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), sizeof(script) - 1);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(write(fd, "#", 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), sizeof(script));
}

/* What was opened again is. */
SCENARIO(open_for_writing)
{
	static const char script[] = "#!/bin/true\n";
	int fd = memfd_create("script", 0), again;
	char path[64];

	NEED(fd >= 0 && write(fd, script, sizeof(script) - 1) == sizeof(script) - 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	NEED(again >= 0);
	NEED(executed(fd) == ETXTBSY);
	job_hold();
	CHECK_EQ(executed(fd), ETXTBSY);
	close(again);
	CHECK_EQ(executed(fd), 0);
}

TEST_HARNESS_MAIN
