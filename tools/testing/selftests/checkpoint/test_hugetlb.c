// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages (hugetlb): without a file, private and shared, in memfds, in System V
 * shared memory and in files of hugetlbfs. What smaps says of them is compared by the
 * harness, the pool here: it is as it was after each step, and so small at times that
 * nothing but what was shared may be shared again.
 */
#include "ckpt_harness.h"

#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define MIB		(1024 * 1024UL)
/* The default size on x86. */
#define HUGE		(2 * MIB)
#define GIGANTIC	(1024 * MIB)
#define POOL		32
#define POOL_PATH	"/proc/sys/vm/nr_hugepages"
#define GIGANTIC_PATH	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"

#ifndef MAP_HUGE_1GB
#define MAP_HUGE_1GB	(30U << 26)
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB	(21U << 26)
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif

static long number_in(const char *path)
{
	char *text = proc_read(path, NULL);
	long n = text ? atol(text) : -1;

	free(text);
	return n;
}

static bool set_number(const char *path, long n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), len;
	char text[32];
	bool done;

	len = snprintf(text, sizeof(text), "%ld", n);
	done = fd >= 0 && write(fd, text, len) == len;
	if (fd >= 0)
		close(fd);
	return done;
}

/* The pool of the test is no longer there when it ends. */
static pid_t owner;
static long found;

static void __attribute__((constructor(250))) make_pool(void)
{
	int lock;

	if (getenv("CKPT_JOB"))
		return;
	/* The pool is the machine's: one program at a time, until its last process ends. */
	lock = open("/var/tmp/ckpt-hugetlb", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock >= 0 && flock(lock, LOCK_EX))
		abort();
	owner = getpid();
	found = number_in(POOL_PATH);
}

static void __attribute__((destructor)) drop_pool(void)
{
	if (owner && owner == getpid())
		set_number(POOL_PATH, found > 0 ? found : 0);
}

struct pool {
	long total, free, reserved, surplus;
};

static struct pool pool_now(void)
{
	char *text = proc_read("/proc/meminfo", NULL);
	struct pool p = { -1, -1, -1, -1 };
	static const char *const names[] = {
		"HugePages_Total:", "HugePages_Free:", "HugePages_Rsvd:", "HugePages_Surp:"
	};
	long *values[] = { &p.total, &p.free, &p.reserved, &p.surplus };

	for (int i = 0; text && i < 4; i++) {
		char *at = strstr(text, names[i]);

		if (at)
			*values[i] = atol(at + strlen(names[i]));
	}
	free(text);
	return p;
}

static bool same_pool(struct pool a, struct pool b)
{
	return a.total == b.total && a.free == b.free && a.reserved == b.reserved &&
	       a.surplus == b.surplus;
}

static bool fill_pool(void)
{
	return number_in(POOL_PATH) >= POOL ||
	       (set_number(POOL_PATH, POOL) && number_in(POOL_PATH) >= POOL);
}

static void need_pool(void)
{
	if (!fill_pool())
		JOB_SKIP("no huge pages");
}

/* So many pages there have to be for what is in use, or reserved. */
static long pool_needed(struct pool p)
{
	return p.total - p.free + p.reserved;
}

/* No page is left that nobody has or may have. */
static void no_spare(void)
{
	struct pool p = pool_now();

	NEED(set_number(POOL_PATH, pool_needed(p)));
	p = pool_now();
	NEED(p.free == p.reserved);
}

static char *map_fd(int fd, size_t len, int prot, int flags)
{
	char *p = mmap(NULL, len, prot, flags, fd, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static char *map(size_t len, int flags)
{
	need_pool();
	return map_fd(-1, len, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_HUGETLB | flags);
}

/* Each page with something of its own. */
static void fill_pages(char *p, int n, int seed)
{
	for (int i = 0; i < n; i++)
		fill(p + i * HUGE, HUGE, seed + i);
}

static bool filled_page(const char *p, int nth, int seed)
{
	return filled(p + nth * HUGE, HUGE, seed + nth);
}

static bool is_zero(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* How much of a mapping is there, kB: what smaps says of it as @name. */
static long smaps_of(const void *p, const char *name)
{
	char *text = proc_read("/proc/self/smaps", NULL), start[32], *at;
	long value = -1;

	snprintf(start, sizeof(start), "%08lx-", (unsigned long)p);
	at = text ? strstr(text, start) : NULL;
	at = at ? strstr(at, name) : NULL;
	if (at)
		value = atol(at + strlen(name));
	free(text);
	return value;
}

/*
 * Of memory that is shared the pages are all there after a restart, but show in a process
 * when it has touched them.
 */
#define SHARED		.may_differ = { " HugetlbPages: ", "_Hugetlb: " }

SCENARIO(private)
{
	char *p = map(4 * HUGE, MAP_PRIVATE);
	struct pool was;

	fill(p, 2 * HUGE, 1);
	NEED(!p[2 * HUGE]);
	was = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), was));
	CHECK(filled(p, 2 * HUGE, 1));
	CHECK(is_zero(p + 2 * HUGE, HUGE));
	CHECK_EQ(smaps_of(p, "KernelPageSize:"), 2048);
	CHECK_EQ(smaps_of(p, "Private_Hugetlb:"), 3 * 2048);
	/* What is not there yet is reserved still. */
	no_spare();
	p[3 * HUGE] = 1;
	CHECK_EQ(p[3 * HUGE], 1);
	memset(p, 7, 2 * HUGE);
	CHECK(!munmap(p, 4 * HUGE));
}

/* Written to, then less may be done; parts are gone, or were moved. */
SCENARIO(protected)
{
	char *p = map(8 * HUGE, MAP_PRIVATE), *q;

	fill_pages(p, 8, 30);
	q = mmap(NULL, HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	NEED(q != MAP_FAILED);
	NEED(!mprotect(p, HUGE, PROT_READ) && !mprotect(p + HUGE, HUGE, PROT_NONE));
	NEED(!munmap(p + 2 * HUGE, HUGE));
	NEED(!madvise(p + 3 * HUGE, HUGE, MADV_DONTFORK));
	NEED(!madvise(p + 4 * HUGE, HUGE, MADV_DONTDUMP));
	NEED(!madvise(p + 5 * HUGE, HUGE, MADV_DONTNEED));
	NEED(mremap(p + 6 * HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	job_hold();
	NEED(!mprotect(p + HUGE, HUGE, PROT_READ));
	for (int i = 0; i < 8; i++)
		if (i != 2 && i != 5 && i != 6)
			CHECK(filled_page(p, i, 30));
	CHECK(is_zero(p + 5 * HUGE, HUGE));
	CHECK(filled(q, HUGE, 36));
	/* It may be written to, and be where it was. */
	NEED(!mprotect(p, 2 * HUGE, PROT_READ | PROT_WRITE));
	p[0] = 1;
	p[HUGE] = 1;
	q = mremap(q, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 6 * HUGE);
	CHECK(q == p + 6 * HUGE && filled(q, HUGE, 36));
}

SCENARIO(unreserved, SHARED)
{
	char *p = map(4 * HUGE, MAP_PRIVATE | MAP_NORESERVE);
	char *q = map(4 * HUGE, MAP_SHARED | MAP_NORESERVE);
	struct pool was;

	fill(p + HUGE, HUGE, 3);
	fill(q + HUGE, HUGE, 4);
	was = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), was));
	CHECK(filled(p + HUGE, HUGE, 3) && filled(q + HUGE, HUGE, 4));
	CHECK(!*p && !*q);
}

SCENARIO(sealed)
{
	char *p = map(HUGE, MAP_PRIVATE);

	fill(p, HUGE, 5);
	if (syscall(462 /* mseal */, p, HUGE, 0) && (errno == ENOSYS || errno == EPERM))
		JOB_SKIP("no mseal(2)");
	job_hold();
	CHECK(filled(p, HUGE, 5));
	CHECK(munmap(p, HUGE) && errno == EPERM);
}

/* Pages of 1 GiB, if the machine has any. */
SCENARIO(gigantic)
{
	char *p;

	set_number(GIGANTIC_PATH, 1);
	p = mmap(NULL, GIGANTIC, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB, -1, 0);
	if (p == MAP_FAILED)
		JOB_SKIP("no pages of 1 GiB");
	for (size_t i = 0; i < GIGANTIC; i += 4096)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15ULL + 1;
	job_hold();
	for (size_t i = 0; i < GIGANTIC; i += 4096)
		if (!CHECK(*(uint64_t *)(p + i) == i * 0x9e3779b97f4a7c15ULL + 1))
			break;
	CHECK_EQ(smaps_of(p, "KernelPageSize:"), 1024 * 1024);
	CHECK(!munmap(p, GIGANTIC));
}

SCENARIO(shared, .tasks = 2, SHARED)
{
	/* One that is written to, and one that is not there yet. */
	volatile char *p = map(3 * HUGE, MAP_SHARED);
	struct pool was;
	int status = -1;
	pid_t pid;

	fill((char *)p + HUGE, HUGE, 6);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		p[0] = 1;
		while (p[0] != 2)
			sleep_ms(1);
		p[2 * HUGE] = filled((char *)p + HUGE, HUGE, 6) ? 3 : 4;
		_exit(0);
	}
	while (!p[0])
		sleep_ms(1);
	was = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), was));
	CHECK(filled((char *)p + HUGE, HUGE, 6));
	p[0] = 2;
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	CHECK_EQ(p[2 * HUGE], 3);
}

/* The pages are there once for both, until somebody writes: no other one is left. */
SCENARIO(copy_on_write, .tasks = 2)
{
	volatile int *step = common_memory(4096);
	char *p = map(4 * HUGE, MAP_PRIVATE);
	struct pool was;
	int status = -1;
	pid_t pid;

	fill_pages(p, 3, 7);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		fill(p + HUGE, HUGE, 40);
		*step = 1;
		while (*step == 1)
			sleep_ms(1);
		/* Nothing of what the parent has written. */
		if (!filled_page(p, 0, 7) || !filled(p + HUGE, HUGE, 40))
			_exit(1);
		p[2 * HUGE]++;
		_exit(0);
	}
	await_count(step, 1);
	no_spare();
	was = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), was));
	for (int i = 0; i < 3; i++)
		CHECK(filled_page(p, i, 7));
	CHECK_EQ(smaps_of(p, "Shared_Hugetlb:"), 2 * 2048);
	CHECK_EQ(smaps_of(p, "Private_Hugetlb:"), 2048);
	CHECK(fill_pool());
	memset(p, 9, HUGE);
	*step = 2;
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	/* Nor the other way round. */
	CHECK_EQ(p[0], 9);
	CHECK(filled_page(p, 1, 7) && filled_page(p, 2, 7));
	p[3 * HUGE] = 1;
}

/* One of three has a page of its own, the others have all in common. */
SCENARIO(family, .tasks = 4)
{
	volatile int *step = common_memory(4096);
	struct pool was;
	int status, others;
	char *p;

	/* What is taken already, by others, or by reservations that nobody has any more. */
	need_pool();
	others = pool_needed(pool_now());
	p = map(2 * HUGE, MAP_PRIVATE);
	fill_pages(p, 2, 10);
	for (int i = 0; i < 3; i++) {
		if (fork())
			continue;
		if (i == 1)
			fill(p + HUGE, HUGE, 50);
		__sync_fetch_and_add(step, 1);
		while (*step < 10)
			sleep_ms(1);
		_exit(!filled_page(p, 0, 10) || !filled(p + HUGE, HUGE, i == 1 ? 50 : 11));
	}
	await_count(step, 3);
	no_spare();
	was = pool_now();
	NEED(was.total == others + 3);
	job_hold();
	CHECK(same_pool(pool_now(), was));
	CHECK(filled_page(p, 0, 10) && filled_page(p, 1, 10));
	*step = 10;
	for (int i = 0; i < 3; i++) {
		CHECK(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
	CHECK(fill_pool());
}

static int memfd(const char *name, unsigned int flags, size_t len)
{
	int fd;

	need_pool();
	fd = memfd_create(name, MFD_HUGETLB | flags);
	NEED(fd >= 0 && !ftruncate(fd, len));
	return fd;
}

SCENARIO(memfd_content, SHARED)
{
	int fd = memfd("huge", MFD_CLOEXEC, 4 * HUGE);
	int other = memfd("other", MFD_HUGE_2MB | MFD_ALLOW_SEALING, 2 * HUGE);
	char *p = map_fd(fd, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED), *q;
	struct stat was, is;
	struct pool pool;
	char buf[16];

	/* With a hole, and mapped; with nobody who maps it. */
	fill(p + 2 * HUGE, HUGE, 13);
	q = map_fd(other, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(q, HUGE, 14);
	NEED(!munmap(q, HUGE) && lseek(other, 77, SEEK_SET) == 77);
	NEED(!fstat(fd, &was));
	pool = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), pool));
	CHECK(!fstat(fd, &is) && is.st_size == was.st_size && is.st_blocks == was.st_blocks);
	CHECK(filled(p + 2 * HUGE, HUGE, 13));
	CHECK(pread(fd, buf, 16, 2 * HUGE) == 16 && !memcmp(buf, p + 2 * HUGE, 16));
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 77);
	CHECK_EQ(fcntl(other, F_GET_SEALS), 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	q = map_fd(other, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(filled(q, HUGE, 14) && is_zero(q + HUGE, HUGE));
	p[0] = 5;
	CHECK(pread(fd, buf, 1, 0) == 1 && buf[0] == 5);
	/* The descriptor may go. */
	CHECK(!close(fd) && p[0] == 5);
}

SCENARIO(memfd_seals, SHARED)
{
	int all = memfd("all", MFD_ALLOW_SEALING, HUGE);
	int later = memfd("later", MFD_ALLOW_SEALING, HUGE);
	char *p = map_fd(all, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED), *w, *r;
	const int every = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	fill(p, HUGE, 15);
	NEED(!munmap(p, HUGE) && !fcntl(all, F_ADD_SEALS, every));
	r = map_fd(all, HUGE, PROT_READ, MAP_SHARED);
	w = map_fd(later, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(w, HUGE, 16);
	NEED(!fcntl(later, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	job_hold();
	CHECK_EQ(fcntl(all, F_GET_SEALS), every);
	CHECK_EQ(fcntl(later, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
	CHECK(filled(r, HUGE, 15) && filled(w, HUGE, 16));
	CHECK(mprotect(r, HUGE, PROT_READ | PROT_WRITE) && errno == EACCES);
	CHECK(ftruncate(all, 0) && errno == EPERM);
	/* Who may write may go on. */
	w[0] = 1;
	CHECK(mmap(NULL, HUGE, PROT_WRITE, MAP_SHARED, later, 0) == MAP_FAILED && errno == EPERM);
}

/* Common to two, and private over it. */
SCENARIO(memfd_shared, .tasks = 2, SHARED)
{
	int fd = memfd("common", 0, 3 * HUGE), status = -1;
	volatile char *p = map_fd(fd, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *q = map_fd(fd, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pid_t pid;

	fill((char *)p, 3 * HUGE, 17);
	memset(q + HUGE, 0, 2);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		volatile char *own = map_fd(fd, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);

		NEED(!munmap((char *)p, 3 * HUGE));
		own[0] = 1;
		while (own[0] != 2)
			sleep_ms(1);
		own[2 * HUGE] = !q[HUGE] && !q[HUGE + 1] ? 3 : 4;
		_exit(0);
	}
	while (p[0] != 1)
		sleep_ms(1);
	job_hold();
	CHECK(!q[HUGE] && !q[HUGE + 1] && q[HUGE + 2] == p[HUGE + 2]);
	p[0] = 2;
	/* What was not written to privately is that of the file. */
	CHECK_EQ(q[0], 2);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	CHECK_EQ(p[2 * HUGE], 3);
	CHECK_EQ(q[2 * HUGE], 3);
}

/* Removes what the job has left in the namespace. */
static void purge(struct run *run)
{
	struct shmid_ds ds;
	struct shm_info info;
	int max = shmctl(0, SHM_INFO, (void *)&info);

	(void)run;
	for (int i = 0; i <= max; i++) {
		int id = shmctl(i, SHM_STAT, &ds);

		if (id >= 0)
			shmctl(id, IPC_RMID, NULL);
	}
}

SCENARIO(segment, .dead = purge, SHARED)
{
	struct shmid_ds was, is;
	struct pool pool;
	int id, idle;
	char *p;

	need_pool();
	/* One that is no whole number of pages, and one that nobody has attached. */
	id = shmget(0x4875, HUGE + 4096, IPC_CREAT | SHM_HUGETLB | 0640);
	idle = shmget(IPC_PRIVATE, 2 * HUGE, IPC_CREAT | SHM_HUGETLB | 0600);
	NEED(id >= 0 && idle >= 0);
	p = shmat(id, NULL, 0);
	NEED(p != (void *)-1);
	fill(p, 2 * HUGE, 18);
	NEED(!shmctl(id, IPC_STAT, &was));
	pool = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), pool));
	CHECK(filled(p, 2 * HUGE, 18));
	CHECK_EQ(smaps_of(p, "KernelPageSize:"), 2048);
	CHECK(!shmctl(id, IPC_STAT, &is));
	CHECK_EQ(is.shm_segsz, was.shm_segsz);
	CHECK_EQ(is.shm_nattch, 1);
	CHECK_EQ(is.shm_perm.mode, was.shm_perm.mode);
	CHECK_EQ(shmget(0x4875, 0, 0), id);
	CHECK(!shmdt(p));
	p = shmat(idle, NULL, 0);
	CHECK(p != (void *)-1 && is_zero(p, 2 * HUGE));
	CHECK(!shmctl(id, IPC_RMID, NULL) && !shmctl(idle, IPC_RMID, NULL));
}

static void mount_here(const char *options)
{
	need_pool();
	if (mkdir("huge", 0755) || mount("none", "huge", "hugetlbfs", 0, options))
		JOB_SKIP("no hugetlbfs");
}

SCENARIO(file, SHARED)
{
	char *shared, *private, *gone;
	struct pool was;
	int fd, other;

	mount_here(NULL);
	fd = open("huge/f", O_RDWR | O_CREAT, 0600);
	NEED(fd >= 0 && !ftruncate(fd, 3 * HUGE));
	shared = map_fd(fd, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(shared, 3 * HUGE, 19);
	private = map_fd(fd, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill(private + HUGE, HUGE, 20);
	/* Without a name, also by a descriptor. */
	other = open("huge/gone", O_RDWR | O_CREAT, 0640);
	NEED(other >= 0 && !ftruncate(other, 4 * HUGE) && !unlink("huge/gone"));
	gone = map_fd(other, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(gone + 2 * HUGE, HUGE, 21);
	was = pool_now();
	job_hold();
	CHECK(same_pool(pool_now(), was));
	CHECK(filled(shared, 3 * HUGE, 19));
	CHECK(filled(private + HUGE, HUGE, 20));
	shared[0] = 1;
	shared[HUGE]++;
	CHECK_EQ(private[0], 1);
	CHECK(filled(private + HUGE, HUGE, 20));
	CHECK(filled(gone + 2 * HUGE, HUGE, 21) && is_zero(gone, 2 * HUGE));
	CHECK_EQ(lseek(other, 0, SEEK_END), 4 * HUGE);
}

/* The pages that were taken from a child would be zero, not SIGBUS, after a restart. */
SCENARIO(taken, .refused = "its parent took huge pages", .any_pid = true, .tasks = 2)
{
	volatile int *step = common_memory(4096);
	char *p = map(2 * HUGE, MAP_PRIVATE);
	pid_t pid;

	fill_pages(p, 2, 22);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		*step = 1;
		for (;;)
			pause();
	}
	await_count(step, 1);
	no_spare();
	p[0] = 1;
	job_hold();
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	CHECK(filled_page(p, 1, 22));
	CHECK(fill_pool());
}

SCENARIO(behind_the_end, .refused = "reaches behind the end")
{
	int fd = memfd("short", 0, 2 * HUGE);
	char *p = map_fd(fd, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(p, HUGE, 23);
	NEED(!ftruncate(fd, HUGE));
	job_hold();
	CHECK(filled(p, HUGE, 23));
}

SCENARIO(odd_length, .refused = "no multiple of that of its huge pages")
{
	int fd = memfd("odd", 0, 0);

	NEED(!fallocate(fd, 0, 0, 100));
	job_hold();
	CHECK_EQ(lseek(fd, 0, SEEK_END), 100);
}

static void empty_pool(struct run *run)
{
	WANT(set_number(POOL_PATH, 0));
	WANT_EQ(number_in(POOL_PATH), 0);
}

#define TOO_SMALL(name_, ...)						\
	SCENARIO(name_, .dead = empty_pool, .restart_errno = ENOMEM,	\
		 .restart_refused = "too few free huge pages", .any_pid = true, __VA_ARGS__)

TOO_SMALL(too_few_private)
{
	*map(2 * HUGE, MAP_PRIVATE) = 1;
	job_hold();
	CHECK(fill_pool());
}

TOO_SMALL(too_few_unreserved)
{
	*map(2 * HUGE, MAP_PRIVATE | MAP_NORESERVE) = 1;
	job_hold();
	CHECK(fill_pool());
}

TOO_SMALL(too_few_shared)
{
	*map(2 * HUGE, MAP_SHARED) = 1;
	job_hold();
	CHECK(fill_pool());
}

TOO_SMALL(too_few_shared_unreserved)
{
	*map(2 * HUGE, MAP_SHARED | MAP_NORESERVE) = 1;
	job_hold();
	CHECK(fill_pool());
}

TOO_SMALL(too_few_memfd)
{
	int fd = memfd("full", 0, 2 * HUGE);

	*map_fd(fd, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED) = 1;
	job_hold();
	CHECK(fill_pool());
}

static void purge_and_empty(struct run *run)
{
	purge(run);
	empty_pool(run);
}

SCENARIO(too_few_segment, .dead = purge_and_empty, .restart_errno = ENOMEM,
	 .restart_refused = "too few free huge pages", .any_pid = true)
{
	need_pool();
	NEED(shmget(IPC_PRIVATE, 2 * HUGE, SHM_HUGETLB | 0600) >= 0);
	job_hold();
	CHECK(fill_pool());
}

/* All kinds, with a child that has its part of it. */
JOB(everything, .tasks = 2, .any_pid = true)
{
	volatile int *step = common_memory(4096);
	char *p = map(3 * HUGE, MAP_PRIVATE), *s = map(3 * HUGE, MAP_SHARED), *m;
	int fd = memfd("m", 0, 2 * HUGE);
	pid_t pid;

	m = map_fd(fd, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(p, 2 * HUGE, 24);
	fill(s, HUGE, 25);
	fill(m, HUGE, 26);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		p[0]++;
		*step = 1;
		while (*step == 1)
			sleep_ms(1);
		_exit(0);
	}
	await_count(step, 1);
	job_hold();
	CHECK(filled(p, 2 * HUGE, 24) && filled(s, HUGE, 25) && filled(m, HUGE, 26));
	/* With no other page to be had: what it has is its own. */
	memset(p + 2 * HUGE, 1, HUGE);
	p[0] = 1;
	s[2 * HUGE] = 1;
	m[HUGE] = 1;
	*step = 2;
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* The same pool at each step, and nothing left of the job at the end. */
INIT_TEST(pool, everything)
{
	struct pool start, with;

	if (!fill_pool())
		RUN_SKIP(run, "no huge pages");
	start = pool_now();
	if (!job_start(run))
		return;
	with = pool_now();
	WANT(!same_pool(start, with));
	for (int i = 0; i < 3; i++) {
		WANT_ERR(save(run), 0);
		WANT(same_pool(pool_now(), with));
		kill_all(run);
		WANT(same_pool(pool_now(), start));
		WANT_ERR(bring_back(run), 0);
		WANT(same_pool(pool_now(), with));
	}
	/* One page less than it needs, and what fails first is of any kind. */
	WANT_ERR(save(run), 0);
	kill_all(run);
	for (long n = 0; n < pool_needed(with); n++) {
		struct pool less;

		set_number(POOL_PATH, n);
		less = pool_now();
		WANT_ERR(bring_back(run), ENOMEM);
		WANT(log_names(run, "too few free huge pages"));
		WANT(alone());
		WANT(same_pool(pool_now(), less));
	}
	/* As many as it needs. */
	set_number(POOL_PATH, pool_needed(with));
	WANT_ERR(bring_back(run), 0);
	WANT_ERR(save(run), 0);
	job_finish(run);
	set_number(POOL_PATH, POOL);
	WANT(same_pool(pool_now(), start));
}

TEST_HARNESS_MAIN
