// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of all kinds: content, sharing, protection and every property that a
 * mapping can be given. What /proc/PID/maps and smaps say of it is compared by
 * the harness.
 */
#include "ckpt_harness.h"

#include <linux/auxvec.h>
#include <setjmp.h>
#include <sys/random.h>
#include <sys/auxv.h>
#include <sys/vfs.h>

#define KIB		1024UL
#define MIB		(1024 * KIB)
#define PAGE		4096UL

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA		0x53564d41
#define PR_SET_VMA_ANON_NAME	0
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED	(1 << 1)
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_GET_MDWE		66
#define PR_MDWE_REFUSE_EXEC_GAIN	(1UL << 0)
#endif
#ifndef PR_MDWE_NO_INHERIT
#define PR_MDWE_NO_INHERIT	(1UL << 1)
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE	67
#define PR_GET_MEMORY_MERGE	68
#endif
#ifndef PR_FUTEX_HASH
#define PR_FUTEX_HASH		78
#define PR_FUTEX_HASH_SET_SLOTS	1
#define PR_FUTEX_HASH_GET_SLOTS	2
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT		1
#endif
#ifndef __NR_mseal
#define __NR_mseal		462
#endif

static char *map(size_t len, int prot, int flags)
{
	char *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static int make_file(const char *name, size_t len, uint64_t seed)
{
	char *buf = malloc(len + 1);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	NEED(fd >= 0 && buf);
	fill(buf, len, seed);
	NEED(write(fd, buf, len) == (ssize_t)len);
	free(buf);
	return fd;
}

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

/* The signal that touching @p gives; 0 for none. */
static int touch(volatile char *p, bool write)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int sig;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sig = sigsetjmp(back, 1);
	if (!sig) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return sig;
}

SCENARIO(anonymous)
{
	char *p = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	volatile char sum = 0;

	fill(p, MIB, 1);
	/* Read only, so the zero page; and never touched at all. */
	for (size_t i = MIB; i < 2 * MIB; i += PAGE)
		sum += p[i];
	/* Every second page. */
	for (size_t i = 2 * MIB; i < 3 * MIB; i += 2 * PAGE)
		fill(p + i, PAGE, i);
	job_hold();
	CHECK(filled(p, MIB, 1));
	for (size_t i = MIB; i < 2 * MIB; i++)
		sum |= p[i];
	CHECK_EQ(sum, 0);
	for (size_t i = 2 * MIB; i < 3 * MIB; i += 2 * PAGE) {
		CHECK(filled(p + i, PAGE, i));
		CHECK(!p[i + PAGE] && !p[i + 2 * PAGE - 1]);
	}
	for (size_t i = 3 * MIB; i < 4 * MIB; i += PAGE)
		sum |= p[i];
	CHECK_EQ(sum, 0);
	memset(p, 7, 4 * MIB);
	CHECK(p[4 * MIB - 1] == 7);
}

SCENARIO(anonymous_64_mib)
{
	char *p = map(64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (size_t i = 0; i < 64 * MIB; i += PAGE)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15ULL + 1;
	job_hold();
	for (size_t i = 0; i < 64 * MIB; i += PAGE)
		if (!CHECK(*(uint64_t *)(p + i) == i * 0x9e3779b97f4a7c15ULL + 1))
			break;
}

/* A page that was written with zeros, and one that was given back. */
SCENARIO(zeros_and_holes)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, 16 * PAGE, 2);
	memset(p + 4 * PAGE, 0, PAGE);
	NEED(!madvise(p + 8 * PAGE, 2 * PAGE, MADV_DONTNEED));
	job_hold();
	for (size_t i = 0; i < PAGE; i++)
		CHECK(!p[4 * PAGE + i] && !p[8 * PAGE + i] && !p[9 * PAGE + i]);
	CHECK(filled(p, 4 * PAGE, 2));
}

/* Two mappings of one object, of which a page is not mapped anywhere. */
SCENARIO(shared_anonymous)
{
	char *p = map(MIB, PROT_READ | PROT_WRITE, MAP_SHARED), *q;

	fill(p, MIB, 3);
	q = mremap(p + 64 * KIB, 0, 64 * KIB, MREMAP_MAYMOVE);
	NEED(q != MAP_FAILED);
	q[5] = 42;
	NEED(!munmap(p + 128 * KIB, 64 * KIB));
	job_hold();
	CHECK(filled(p, 64 * KIB, 3));
	CHECK_EQ(p[64 * KIB + 5], 42);
	p[64 * KIB + 6] = 43;
	CHECK_EQ(q[6], 43);
	q[7] = 44;
	CHECK_EQ(p[64 * KIB + 7], 44);
}

/* Shared memory that was never touched, and a part of it. */
SCENARIO(shared_anonymous_sparse)
{
	char *p = map(256 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(p + 100 * MIB, PAGE, 4);
	job_hold();
	CHECK(filled(p + 100 * MIB, PAGE, 4));
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[256 * MIB - 1], 0);
	p[256 * MIB - 1] = 1;
	CHECK_EQ(p[256 * MIB - 1], 1);
}

SCENARIO(file_private)
{
	char *want = malloc(64 * KIB), *p;
	int fd = make_file("f", 64 * KIB, 5);

	fill(want, 64 * KIB, 5);
	p = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED);
	close(fd);
	for (size_t i = 0; i < 64 * KIB; i += 3 * PAGE) {
		p[i + 9] = 'x';
		want[i + 9] = 'x';
	}
	job_hold();
	CHECK(!memcmp(p, want, 64 * KIB));
	p[PAGE] = 'y';
	CHECK_EQ(p[PAGE], 'y');
	fd = open("f", O_RDONLY);
	CHECK(pread(fd, want, 64 * KIB, 0) == 64 * KIB && filled(want, 64 * KIB, 5));
}

/* Written to, then protected: the private copies have to be seen. */
SCENARIO(file_private_protected)
{
	int fd = make_file("f", 32 * KIB, 6);
	char *p = mmap(NULL, 32 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	NEED(p != MAP_FAILED);
	close(fd);
	fill(p + PAGE, PAGE, 61);
	fill(p + 4 * PAGE, PAGE, 64);
	NEED(!mprotect(p, 2 * PAGE, PROT_READ));
	NEED(!mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	job_hold();
	CHECK(filled(p, PAGE, 6));
	CHECK(filled(p + PAGE, PAGE, 61));
	CHECK_EQ(touch(p, true), SIGSEGV);
	CHECK_EQ(touch(p + 4 * PAGE, false), SIGSEGV);
	CHECK(!mprotect(p + 4 * PAGE, PAGE, PROT_READ));
	CHECK(filled(p + 4 * PAGE, PAGE, 64));
}

/* Of an open file that is read-only, writable and private. */
SCENARIO(file_private_read_only_fd)
{
	int fd = make_file("f", 16 * KIB, 7);
	char *p;

	close(fd);
	fd = open("f", O_RDONLY);
	p = mmap(NULL, 16 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
	NEED(p != MAP_FAILED);
	p[1] = 'z';
	job_hold();
	CHECK_EQ(p[1], 'z');
	CHECK_EQ(touch(p + 12 * KIB, false), SIGBUS);	/* behind the file's end */
}

SCENARIO(file_shared)
{
	int fd = make_file("f", 64 * KIB, 8);
	char *p = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), c;

	NEED(p != MAP_FAILED);
	p[3 * PAGE] = 'a';
	job_hold();
	CHECK_EQ(p[3 * PAGE], 'a');
	p[5 * PAGE] = 'b';
	CHECK(pread(fd, &c, 1, 5 * PAGE) == 1 && c == 'b');
	CHECK(pwrite(fd, "c", 1, 6 * PAGE) == 1 && p[6 * PAGE] == 'c');
	CHECK(!msync(p, 64 * KIB, MS_SYNC));
}

/* Shared, of a descriptor that can't write: can't be made writable, ever. */
SCENARIO(file_shared_read_only)
{
	int fd = make_file("f", 16 * KIB, 9);
	char *p;

	close(fd);
	fd = open("f", O_RDONLY);
	p = mmap(NULL, 16 * KIB, PROT_READ, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	close(fd);
	job_hold();
	CHECK(filled(p, 16 * KIB, 9));
	CHECK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES);
}

/* The same file several times, at several offsets, next to each other. */
SCENARIO(file_mapped_often)
{
	int fd = make_file("f", 64 * KIB, 10);
	char *want = malloc(64 * KIB), *p[8];

	fill(want, 64 * KIB, 10);
	for (int i = 0; i < 8; i++) {
		p[i] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			    i & 1 ? MAP_SHARED : MAP_PRIVATE, fd, (7 - i) * PAGE);
		NEED(p[i] != MAP_FAILED);
	}
	p[0][0] = 1;
	job_hold();
	CHECK_EQ(p[0][0], 1);
	for (int i = 1; i < 8; i++)
		CHECK(!memcmp(p[i], want + (7 - i) * PAGE, 2 * PAGE));
	p[1][0] = 77;			/* page 6, shared */
	CHECK_EQ(p[2][PAGE], 77);	/* page 5 and 6, private, clean */
}

SCENARIO(heap)
{
	char *end, *p;

	p = sbrk(300 * KIB);
	NEED(p != (char *)-1);
	fill(p, 300 * KIB, 11);
	end = sbrk(0);
	job_hold();
	CHECK(sbrk(0) == end);
	CHECK(filled(p, 300 * KIB, 11));
	CHECK(sbrk(PAGE * 50) == end);
	memset(end, 1, PAGE * 50);
	CHECK(sbrk(-(long)(PAGE * 80)) == end + PAGE * 50);
	CHECK(sbrk(0) == end - PAGE * 30);
	p = malloc(MIB);
	CHECK(p);
	memset(p, 2, MIB);
}

static int __attribute__((noinline)) dig(int depth)
{
	volatile char room[8 * KIB];

	room[0] = depth;
	room[sizeof(room) - 1] = depth;
	return depth ? dig(depth - 1) + (room[0] == (char)depth) : 0;
}

SCENARIO(stack)
{
	char local[128 * KIB];

	fill(local, sizeof(local), 12);
	CHECK_EQ(dig(10), 10);
	job_hold();
	CHECK(filled(local, sizeof(local), 12));
	CHECK_EQ(dig(300), 300);	/* 2.4 MiB more than there was */
}

SCENARIO(grows_down)
{
	char *p = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *q;

	NEED(!munmap(p, MIB));
	q = mmap(p + MIB - 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	NEED(q != MAP_FAILED);
	q[0] = 5;
	q[-1] = 6;
	job_hold();
	CHECK_EQ(q[0], 5);
	CHECK_EQ(q[-1], 6);
	q[-(long)(2 * PAGE)] = 7;
	CHECK_EQ(q[-(long)(2 * PAGE)], 7);
}

SCENARIO(protections)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, 16 * PAGE, 13);
	NEED(!mprotect(p, 4 * PAGE, PROT_NONE));
	NEED(!mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ));
	NEED(!mprotect(p + 12 * PAGE, 2 * PAGE, PROT_READ | PROT_EXEC));
	NEED(!mprotect(p + 14 * PAGE, 2 * PAGE, PROT_EXEC));
	job_hold();
	CHECK_EQ(touch(p + PAGE, false), SIGSEGV);
	CHECK_EQ(touch(p + 5 * PAGE, true), SIGSEGV);
	CHECK_EQ(touch(p + 13 * PAGE, true), SIGSEGV);
	CHECK(!mprotect(p, 16 * PAGE, PROT_READ | PROT_WRITE));
	CHECK(filled(p, 16 * PAGE, 13));
}

SCENARIO(prot_none_reserve)
{
	char *p = map(64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);

	NEED(!mprotect(p + MIB, PAGE, PROT_READ | PROT_WRITE));
	p[MIB] = 3;
	job_hold();
	CHECK_EQ(p[MIB], 3);
	CHECK_EQ(touch(p, false), SIGSEGV);
	CHECK(!mprotect(p, 64 * MIB, PROT_READ | PROT_WRITE));
	CHECK_EQ(p[0], 0);
}

/* Code that the program made, which runs while it is saved. */
SCENARIO(generated_code)
{
	/* mov $42, %eax; ret */
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	char *p = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *q = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);

	memcpy(p, code, sizeof(code));
	memcpy(q, code, sizeof(code));
	q[1] = 43;
	NEED(!mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	job_hold();
	CHECK_EQ(((int (*)(void))p)(), 42);
	CHECK_EQ(((int (*)(void))q)(), 43);
	q[1] = 44;
	CHECK_EQ(((int (*)(void))q)(), 44);
}

SCENARIO(locked)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *q = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned char there[8];

	fill(p, 8 * PAGE, 14);
	NEED(!mlock(p, 8 * PAGE));
	NEED(!mlock2(q, 8 * PAGE, MLOCK_ONFAULT));
	q[0] = 1;
	job_hold();
	CHECK(filled(p, 8 * PAGE, 14));
	CHECK_EQ(q[0], 1);
	CHECK(!mincore(p, 8 * PAGE, there));
	for (int i = 0; i < 8; i++)
		CHECK(there[i] & 1);
	/* Locked memory can't be given back; this says that it is locked. */
	CHECK(madvise(p, PAGE, MADV_DONTNEED) && errno == EINVAL);
	CHECK(madvise(q, PAGE, MADV_DONTNEED) && errno == EINVAL);
	CHECK(!munlock(p, 8 * PAGE));
}

SCENARIO(lock_future)
{
	char *p, *q;

	NEED(!mlockall(MCL_FUTURE));
	p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	p[0] = 1;
	job_hold();
	CHECK_EQ(p[0], 1);
	q = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK(madvise(p, PAGE, MADV_DONTNEED) && errno == EINVAL);
	CHECK(madvise(q, PAGE, MADV_DONTNEED) && errno == EINVAL);
}

/* What fork treats specially has to be there all the same. */
SCENARIO(dont_fork)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *s = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(p, 8 * PAGE, 15);
	fill(s, 8 * PAGE, 16);
	NEED(!madvise(p, 8 * PAGE, MADV_DONTFORK));
	NEED(!madvise(s, 8 * PAGE, MADV_DONTFORK));
	job_hold();
	CHECK(filled(p, 8 * PAGE, 15));
	CHECK(filled(s, 8 * PAGE, 16));
}

SCENARIO(wipe_on_fork)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, 8 * PAGE, 17);
	NEED(!madvise(p, 8 * PAGE, MADV_WIPEONFORK));
	job_hold();
	CHECK(filled(p, 8 * PAGE, 17));
}

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE	0x08
#endif

/* May be empty at any time, and is after a restart. */
SCENARIO(droppable)
{
	static const char nothing[PAGE];
	char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		JOB_SKIP("no MAP_DROPPABLE");
	for (int i = 0; i < 8; i++)
		fill(p + i * PAGE, PAGE, 18 + i);
	job_hold();
	for (int i = 0; i < 8; i++)
		CHECK(filled(p + i * PAGE, PAGE, 18 + i) || !memcmp(p + i * PAGE, nothing, PAGE));
	fill(p, 8 * PAGE, 26);
	CHECK(filled(p, 8 * PAGE, 26));
}

static int status_of_child;

static int count_lines(const char *path, const char *what)
{
	char *text = proc_read(path, NULL), *save = NULL;
	int n = 0;

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		n += !!strstr(l, what);
	free(text);
	return n;
}

/* The C library has its state in such memory. */
SCENARIO(random_numbers)
{
	uint64_t was, is;

	NEED(getrandom(&was, sizeof(was), 0) == sizeof(was));
	job_hold();
	CHECK(getrandom(&is, sizeof(is), 0) == sizeof(is) && is != was);
}

SCENARIO(advice)
{
	static const int advice[] = {
		MADV_SEQUENTIAL, MADV_RANDOM, MADV_DONTDUMP, MADV_NOHUGEPAGE, MADV_HUGEPAGE,
		MADV_NORMAL,
	};
	char *p[6];

	for (int i = 0; i < 6; i++) {
		p[i] = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		fill(p[i], 4 * PAGE, i);
		if (madvise(p[i], 4 * PAGE, advice[i]))
			NEED(errno == EINVAL);	/* not configured */
	}
	job_hold();
	for (int i = 0; i < 6; i++)
		CHECK(filled(p[i], 4 * PAGE, i));
}

/* Pages that the kernel may merge with those of others. */
SCENARIO(mergeable)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	if (madvise(p, 4 * PAGE, MADV_MERGEABLE))
		JOB_SKIP("no KSM");
	p[0] = 1;
	job_hold();
	CHECK_EQ(p[0], 1);
	/* It breaks what was merged. */
	CHECK(!madvise(p, 4 * PAGE, MADV_UNMERGEABLE));
	CHECK_EQ(p[0], 1);
}

/* Nobody's name but its own, though it lies between others. */
SCENARIO(named)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4 * PAGE, "a name of its own"))
		JOB_SKIP("no names for anonymous memory");
	p[0] = 1;
	NEED(!prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p + PAGE, PAGE, "another"));
	job_hold();
	CHECK_EQ(p[0], 1);
	CHECK_EQ(count_lines("/proc/self/maps", "[anon:a name of its own]"), 2);
	CHECK_EQ(count_lines("/proc/self/maps", "[anon:another]"), 1);
	/* They merge again once they have one name. */
	CHECK(!prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4 * PAGE, "one"));
	CHECK_EQ(count_lines("/proc/self/maps", "[anon:one]"), 1);
}

SCENARIO(named_and_shared)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4 * PAGE, "shared by name"))
		JOB_SKIP("no names for shared memory");
	p[PAGE] = 3;
	job_hold();
	CHECK_EQ(p[PAGE], 3);
	CHECK_EQ(count_lines("/proc/self/maps", "shared by name"), 1);
}

SCENARIO(guard_ranges)
{
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, 16 * PAGE, 18);
	if (madvise(p + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL))
		JOB_SKIP("no guard ranges");
	job_hold();
	CHECK_EQ(touch(p + 4 * PAGE, false), SIGSEGV);
	CHECK_EQ(touch(p + 5 * PAGE, true), SIGSEGV);
	CHECK(filled(p, 4 * PAGE, 18));
	CHECK_EQ(touch(p + 6 * PAGE, false), 0);
	CHECK(!madvise(p + 4 * PAGE, 2 * PAGE, MADV_GUARD_REMOVE));
	CHECK_EQ(p[4 * PAGE], 0);
}

/* Where fork(2) leaves them out, or does not look, and in what was locked later. */
SCENARIO(guards_everywhere)
{
	int fd = make_file("guarded", 8 * PAGE, 19);
	char *p[5];

	p[0] = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	p[1] = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[2] = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	p[3] = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	p[4] = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (int i = 0; i < 5; i++) {
		NEED(p[i] != MAP_FAILED);
		fill(p[i], 8 * PAGE, 19);
		if (madvise(p[i] + PAGE, PAGE, MADV_GUARD_INSTALL) ||
		    madvise(p[i] + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL))
			JOB_SKIP("no guard ranges");
	}
	NEED(!madvise(p[3], 8 * PAGE, MADV_DONTFORK));
	mlock(p[4], 8 * PAGE);
	job_hold();
	for (int i = 0; i < 5; i++) {
		for (int n = 0; n < 8; n++)
			CHECK_EQ(touch(p[i] + n * PAGE, false),
				 n == 1 || n == 4 || n == 5 ? SIGSEGV : 0);
		CHECK(filled(p[i], PAGE, 19));
	}
}

#ifdef __x86_64__
SCENARIO(sealed)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, 4 * PAGE, 31);
	NEED(!mprotect(p, 4 * PAGE, PROT_READ));
	if (syscall(__NR_mseal, p, 4 * PAGE, 0))
		JOB_SKIP("no mseal");
	job_hold();
	CHECK(munmap(p, 4 * PAGE) && errno == EPERM);
	CHECK(mprotect(p, 4 * PAGE, PROT_NONE) && errno == EPERM);
	CHECK(filled(p, 4 * PAGE, 31));
}

SCENARIO(protection_keys)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int key = pkey_alloc(0, 0), other;

	if (key < 0)
		JOB_SKIP("no protection keys");
	fill(p, 4 * PAGE, 19);
	NEED(!pkey_mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE, key));
	NEED(!pkey_set(key, PKEY_DISABLE_WRITE));
	job_hold();
	CHECK(filled(p, 4 * PAGE, 19));
	CHECK_EQ(touch(p, true), SIGSEGV);
	CHECK(!pkey_set(key, 0));
	CHECK_EQ(touch(p, true), 0);
	other = pkey_alloc(0, 0);
	CHECK(other != key && other > 0);
}

/* A page that can be run and not read; the kernel takes a key for it. */
SCENARIO(execute_only)
{
	static const unsigned char code[] = { 0xb8, 45, 0, 0, 0, 0xc3 };
	char *p = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	memcpy(p, code, sizeof(code));
	NEED(!mprotect(p, PAGE, PROT_EXEC));
	job_hold();
	CHECK_EQ(((int (*)(void))p)(), 45);
}

SCENARIO(one_tib)
{
	char *p = map(1024 * 1024 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);

	madvise(p, 1024 * 1024 * MIB, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < 1024; i++)
		*(uint64_t *)(p + i * 1024 * MIB + i * PAGE) = i + 1;
	job_hold();
	for (size_t i = 0; i < 1024; i++)
		if (!CHECK_EQ(*(uint64_t *)(p + i * 1024 * MIB + i * PAGE), i + 1))
			break;
	CHECK_EQ(p[512 * 1024 * MIB + MIB], 0);
}
#endif

SCENARIO(huge_pages)
{
	char *p = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE), *q;

	q = (char *)(((unsigned long)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	if (madvise(p, 8 * MIB, MADV_HUGEPAGE))
		JOB_SKIP("no transparent huge pages");
	fill(q, 4 * MIB, 20);
	NEED(!mprotect(q + MIB, PAGE, PROT_READ));
	job_hold();
	CHECK(filled(q, 4 * MIB, 20));
	CHECK_EQ(touch(q + MIB, true), SIGSEGV);
}

SCENARIO(many_mappings)
{
	char *p = map(4000 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (int i = 0; i < 4000; i++)
		*(int *)(p + i * PAGE) = i;
	for (int i = 0; i < 4000; i += 2)
		NEED(!mprotect(p + i * PAGE, PAGE, PROT_READ));
	job_hold();
	for (int i = 0; i < 4000; i++)
		if (!CHECK_EQ(*(int *)(p + i * PAGE), i))
			break;
	CHECK_EQ(touch(p + 2000 * PAGE, true), SIGSEGV);
	CHECK_EQ(touch(p + 2001 * PAGE, true), 0);
}

/* At the lowest address that is allowed, and at the highest there is. */
SCENARIO(edges)
{
	char *low = mmap((void *)0x10000, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *high = NULL;

	NEED(low != MAP_FAILED);
	low[7] = 7;
#ifdef __x86_64__
	high = mmap((void *)0x7fffffffe000, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	NEED(high != MAP_FAILED);
	high[8] = 8;
#endif
	job_hold();
	CHECK_EQ(low[7], 7);
	if (high)
		CHECK_EQ(high[8], 8);
}

#ifdef __x86_64__
/* Above the usual 47 bits, where the CPU can. */
SCENARIO(five_levels)
{
	char *p = mmap((void *)(1UL << 55), PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	if ((unsigned long)p < 1UL << 48)
		JOB_SKIP("four levels of page tables");
	p[3] = 3;
	job_hold();
	CHECK_EQ(p[3], 3);
}
#endif

/* /dev/zero, the old way of getting memory. */
SCENARIO(dev_zero)
{
	int fd = open("/dev/zero", O_RDWR);
	char *p;

	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED);
	close(fd);
	p[0] = 1;
	job_hold();
	CHECK_EQ(p[0], 1);
	CHECK_EQ(p[PAGE], 0);
	p[PAGE] = 2;
	CHECK_EQ(p[PAGE], 2);
}

SCENARIO(dev_zero_shared)
{
	int fd = open("/dev/zero", O_RDWR);
	char *p, *q;

	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	close(fd);
	p[0] = 1;
	q = mremap(p, 0, 4 * PAGE, MREMAP_MAYMOVE);
	NEED(q != MAP_FAILED);
	job_hold();
	CHECK_EQ(p[0], 1);
	q[PAGE] = 2;
	CHECK_EQ(p[PAGE], 2);
}

/* The vdso, where it was, and it tells the time. */
SCENARIO(vdso)
{
	unsigned long at = getauxval(AT_SYSINFO_EHDR);
	struct timespec before, after, rt;
	uint64_t sum = 0, now = 0;

	NEED(at);
	for (unsigned long i = 0; i < PAGE; i += 8)
		sum = sum * 31 + *(uint64_t *)(at + i);
	clock_gettime(CLOCK_MONOTONIC, &before);
	job_hold();
	CHECK_EQ(getauxval(AT_SYSINFO_EHDR), at);
	for (unsigned long i = 0; i < PAGE; i += 8)
		now = now * 31 + *(uint64_t *)(at + i);
	CHECK_EQ(now, sum);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec > before.tv_sec ||
	      (after.tv_sec == before.tv_sec && after.tv_nsec >= before.tv_nsec));
	CHECK(after.tv_sec - before.tv_sec < 300);
	clock_gettime(CLOCK_REALTIME, &rt);
	CHECK(llabs((long long)rt.tv_sec - time(NULL)) <= 1);
}

/* In the vdso, by all odds, when it is stopped. */
SCENARIO(in_vdso)
{
	struct timespec t, last = { 0 };

	job_waits();
	while (job.hold) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		CHECK(t.tv_sec > last.tv_sec ||
		      (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec));
		last = t;
	}
}

/* What execve() told the program. */
SCENARIO(arguments)
{
	unsigned long types[] = {
		AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY, AT_UID,
		AT_EUID, AT_GID, AT_EGID, AT_HWCAP, AT_CLKTCK, AT_SECURE, AT_RANDOM, AT_HWCAP2,
		AT_EXECFN, AT_SYSINFO_EHDR, AT_MINSIGSTKSZ,
	};
	unsigned long was[19];
	unsigned char random[16];

	for (int i = 0; i < 19; i++)
		was[i] = getauxval(types[i]);
	memcpy(random, (void *)getauxval(AT_RANDOM), 16);
	setenv("SOME", "thing", 1);
	job_hold();
	for (int i = 0; i < 19; i++)
		CHECK_EQ(getauxval(types[i]), was[i]);
	CHECK(!memcmp(random, (void *)getauxval(AT_RANDOM), 16));
	CHECK(!strcmp(getenv("SOME"), "thing"));
	CHECK(!strcmp(getenv("CKPT_JOB"), "arguments"));
}

/* A program that tells ps another story of itself. */
SCENARIO(moved_arguments)
{
	char *p = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	strcpy(p, "somebody else entirely");
	if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, p, 0, 0) ||
	    prctl(PR_SET_MM, PR_SET_MM_ARG_END, p + 22, 0, 0))
		JOB_SKIP("no PR_SET_MM");
	job_hold();
	CHECK(!strcmp(p, "somebody else entirely"));
}

SCENARIO(not_dumpable)
{
	NEED(!prctl(PR_SET_DUMPABLE, 0));
	job_hold();
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
}

SCENARIO(thp_disabled)
{
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		JOB_SKIP("no transparent huge pages");
	job_hold();
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	CHECK(!prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
}

/* Not even those that were read back are huge. */
SCENARIO(thp_but_advised)
{
	char *p, *q;

	if (prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0))
		JOB_SKIP("no transparent huge pages");
	p = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	q = map(4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	madvise(q, 4 * MIB, MADV_HUGEPAGE);
	fill(p, 4 * MIB, 33);
	job_hold();
	CHECK(filled(p, 4 * MIB, 33));
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1 | PR_THP_DISABLE_EXCEPT_ADVISED);
	q[0] = 1;
}

/* Of what init disables for its children, a job that has not is not concerned. */
static void disable_thp(struct run *run)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

SCENARIO(thp_disabled_by_init, .dead = disable_thp)
{
	job_hold();
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
}

SCENARIO(merge_any)
{
	char *p, *q;

	if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0))
		JOB_SKIP("no KSM");
	p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	q = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill(p, 4 * PAGE, 34);
	NEED(!madvise(q, 4 * PAGE, MADV_UNMERGEABLE));
	job_hold();
	CHECK(filled(p, 4 * PAGE, 34));
	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 1);
	CHECK(!prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0));
	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 0);
}

/* It has memory that it could not map any more, and keeps that. */
static void write_xor_execute(unsigned long bits)
{
	char *p = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE), *q;

	p[0] = 1;
	if (prctl(PR_SET_MDWE, bits, 0, 0, 0))
		JOB_SKIP("no PR_SET_MDWE");
	job_hold();
	CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), bits);
	p[0]++;
	CHECK_EQ(p[0], 2);
	CHECK(mmap(NULL, PAGE, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	      MAP_FAILED && errno == EACCES);
	q = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK(mprotect(q, PAGE, PROT_READ | PROT_EXEC) && errno == EACCES);
	CHECK(prctl(PR_SET_MDWE, 0, 0, 0, 0) && errno == EPERM);
	if (!fork())
		_exit(prctl(PR_GET_MDWE, 0, 0, 0, 0));
	CHECK(wait(&status_of_child) > 0);
	CHECK_EQ(WEXITSTATUS(status_of_child), bits & PR_MDWE_NO_INHERIT ? 0 : bits);
}

SCENARIO(mdwe)
{
	write_xor_execute(PR_MDWE_REFUSE_EXEC_GAIN);
}

SCENARIO(mdwe_not_inherited)
{
	write_xor_execute(PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT);
}

static void set_mdwe(struct run *run)
{
	WANT(!prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0));
}

/* What init has renounced it can't give to a job. */
SCENARIO(mdwe_of_init, .dead = set_mdwe, .restart_errno = EPERM,
	 .restart_refused = "\"kind\":\"mdwe\"")
{
	job_hold();
	CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), 0);
}

/* As many slots for futexes as were asked for, or none of its own. */
static void futex_hash(unsigned long slots)
{
	if (prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, slots, 0, 0))
		JOB_SKIP("no private hash for futexes");
	job_hold();
	CHECK_EQ(prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_GET_SLOTS, 0, 0, 0), slots);
	if (slots)
		CHECK(!prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, 2 * slots, 0, 0));
	else
		CHECK(prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, 64, 0, 0) && errno == EBUSY);
}

SCENARIO(futex_slots)
{
	futex_hash(64);
}

SCENARIO(no_futex_slots)
{
	futex_hash(0);
}

SCENARIO(moved_and_grown)
{
	char *p = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill(p, MIB, 21);
	p = mremap(p, MIB, 2 * MIB, MREMAP_MAYMOVE);
	NEED(p != MAP_FAILED);
	job_hold();
	CHECK(filled(p, MIB, 21));
	p = mremap(p, 2 * MIB, 3 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && filled(p, MIB, 21));
}

/* Files on other file systems than the test's own. */
static void on_fs(void)
{
	char *p, c;
	int fd;

	fd = make_file("fs/f", 32 * KIB, 22);
	p = mmap(NULL, 32 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	p[PAGE] = 'q';
	job_hold();
	CHECK_EQ(p[PAGE], 'q');
	p[0] = 'r';
	CHECK(!msync(p, 32 * KIB, MS_SYNC));
	CHECK(pread(fd, &c, 1, 0) == 1 && c == 'r');
}

SCENARIO(file_on_tmpfs)
{
	NEED(!mkdir("fs", 0700) && !mount("tmpfs", "fs", "tmpfs", 0, NULL));
	on_fs();
}

SCENARIO(file_on_overlayfs)
{
	int fd;
	char *p;

	NEED(!mkdir("d", 0700) && !mount("tmpfs", "d", "tmpfs", 0, NULL));
	NEED(!mkdir("d/lower", 0700) && !mkdir("d/upper", 0700) && !mkdir("d/work", 0700) &&
	     !mkdir("fs", 0700));
	close(make_file("d/lower/low", 16 * KIB, 23));
	if (mount("overlay", "fs", "overlay", 0,
		  "lowerdir=d/lower,upperdir=d/upper,workdir=d/work"))
		JOB_SKIP("no overlayfs");
	fd = open("fs/low", O_RDONLY);
	p = mmap(NULL, 16 * KIB, PROT_READ, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED && filled(p, 16 * KIB, 23));
	on_fs();
	CHECK(filled(p, 16 * KIB, 23));
}

TEST_HARNESS_MAIN
