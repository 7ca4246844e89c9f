// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that processes share since fork(2): it is in the image once, and shared
 * again after the restart, copy-on-write, whatever they have done to it, and to
 * the mappings, since. Children say with their exit status what they have found.
 */
#include "ckpt_harness.h"

#include <sys/syscall.h>

#define MIB		(1UL << 20)
#define PAGE		4096UL
#define LEN		(8 * MIB)
#define KIDS		4

struct common {
	volatile int ready, go;
};

static struct common *common;

static char *fresh(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static char *filled_by_parent(void)
{
	char *p = fresh(LEN);

	common = common_memory(sizeof(*common));
	NEED(!madvise(p, LEN, MADV_NOHUGEPAGE));
	fill(p, LEN, 1);
	return p;
}

/* What a mapping has of its memory, in KiB: @key is a line of its part of smaps. */
static long smaps(const char *p, const char *key)
{
	char *text = proc_read("/proc/self/smaps", NULL), *at, start[32];
	long kb = -1;

	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	at = text ? strstr(text, start) : NULL;
	at = at ? strstr(at, key) : NULL;
	if (at)
		kb = strtol(at + strlen(key), NULL, 10);
	free(text);
	return kb;
}

static bool within(long is, long was, long percent)
{
	return labs(is - was) * 100 <= was * percent;
}

static bool takes_as_much(const char *p, long pss, long rss)
{
	return within(smaps(p, "\nPss:"), pss, 5) && within(smaps(p, "\nRss:"), rss, 5);
}

static void go(pid_t *kids, int n)
{
	common->go = 1;
	for (int i = 0; i < n; i++) {
		int status = -1;

		CHECK_EQ(waitpid(kids[i], &status, 0), kids[i]);
		CHECK_EQ(status, 0);
	}
}

/* A child: tells that it is ready, and waits until it was restarted. */
static void hold(void)
{
	__sync_fetch_and_add(&common->ready, 1);
	while (!common->go)
		sleep_ms(1);
}

/* Less than twice the memory, and the programs themselves. */
static void written_once(struct run *run)
{
	run_say(run, "image of %llu bytes\n", (unsigned long long)run->args.image_bytes);
	WANT(run->args.image_bytes < LEN + LEN / 2);
}

/* Who only reads. */
SCENARIO(readers, .tasks = 1 + KIDS, .dead = written_once)
{
	char *p = filled_by_parent();
	pid_t kids[KIDS];
	long pss, rss;

	for (int i = 0; i < KIDS; i++) {
		kids[i] = fork();
		if (kids[i])
			continue;
		hold();
		/* All children are there until the first process has looked. */
		_exit(!filled(p, LEN, 1));
	}
	await_count(&common->ready, KIDS);
	pss = smaps(p, "\nPss:");
	rss = smaps(p, "\nRss:");
	NEED(rss >= (long)(LEN >> 10) && pss < rss / 2);
	job_hold();
	CHECK(takes_as_much(p, pss, rss));
	CHECK(filled(p, LEN, 1));
	go(kids, KIDS);
	CHECK(filled(p, LEN, 1));
}

/* What one writes, before or after, the others do not see. */
static void write_each(char *p, int nth, uint64_t seed)
{
	for (size_t at = nth * PAGE; at < LEN; at += (KIDS + 2) * PAGE)
		fill(p + at, PAGE, seed);
}

static bool as_written(const char *p, int nth, uint64_t seed)
{
	char *page = malloc(LEN);
	bool same;

	fill(page, LEN, 1);
	for (size_t at = nth * PAGE; at < LEN; at += (KIDS + 2) * PAGE)
		fill(page + at, PAGE, seed);
	same = !memcmp(page, p, LEN);
	free(page);
	return same;
}

static void written_in_part(struct run *run)
{
	run_say(run, "image of %llu bytes\n", (unsigned long long)run->args.image_bytes);
	/* Each has written a sixth of it. */
	WANT(run->args.image_bytes < LEN * 5 / 2);
}

SCENARIO(writers, .tasks = 1 + KIDS, .dead = written_in_part)
{
	char *p = filled_by_parent();
	pid_t kids[KIDS];
	long pss, rss;

	for (int i = 0; i < KIDS; i++) {
		kids[i] = fork();
		if (kids[i])
			continue;
		write_each(p, i, 10 + i);
		hold();
		if (!as_written(p, i, 10 + i))
			_exit(1);
		write_each(p, i, 20 + i);
		_exit(!as_written(p, i, 20 + i));
	}
	await_count(&common->ready, KIDS);
	/* The children have the old ones in common, and not with their parent. */
	write_each(p, KIDS, 30);
	pss = smaps(p, "\nPss:");
	rss = smaps(p, "\nRss:");
	job_hold();
	CHECK(takes_as_much(p, pss, rss));
	CHECK(as_written(p, KIDS, 30));
	write_each(p, KIDS, 31);
	go(kids, KIDS);
	CHECK(as_written(p, KIDS, 31));
}

/* The mappings of a child are not those of its parent any more. */
static void written_twice_in_part(struct run *run)
{
	run_say(run, "image of %llu bytes\n", (unsigned long long)run->args.image_bytes);
	/* What can't be shared any more is copied: protected, moved. */
	WANT(run->args.image_bytes < LEN * 7 / 4);
}

SCENARIO(mappings_of_child, .tasks = 2, .dead = written_twice_in_part)
{
	char *p = filled_by_parent(), *heap = sbrk(MIB), *q;
	pid_t kid;

	NEED(heap != (char *)-1);
	fill(heap, MIB, 2);
	kid = fork();
	if (!kid) {
		/* Grown, split, with a hole, moved, with other rights. */
		char *more = sbrk(MIB);

		if (more == (char *)-1)
			_exit(2);
		fill(more, MIB, 3);
		if (mprotect(p + MIB, MIB, PROT_READ) || munmap(p + 3 * MIB, MIB) ||
		    mprotect(p + 5 * MIB, MIB, PROT_NONE))
			_exit(3);
		q = mremap(p + 6 * MIB, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			   p + 3 * MIB);
		if (q != p + 3 * MIB || madvise(p + 4 * MIB, MIB / 2, MADV_DONTNEED))
			_exit(4);
		hold();
		q = malloc(LEN);
		fill(q, LEN, 1);
		if (memcmp(p, q, 3 * MIB) || memcmp(p + 3 * MIB, q + 6 * MIB, MIB) ||
		    memcmp(p + 4 * MIB + MIB / 2, q + 4 * MIB + MIB / 2, MIB / 2) ||
		    memcmp(p + 7 * MIB, q + 7 * MIB, MIB))
			_exit(5);
		for (size_t i = 0; i < MIB / 2; i++)
			if (p[4 * MIB + i])
				_exit(6);
		if (mprotect(p + 5 * MIB, MIB, PROT_READ) ||
		    memcmp(p + 5 * MIB, q + 5 * MIB, MIB))
			_exit(7);
		if (!filled(heap, MIB, 2) || !filled(more, MIB, 3))
			_exit(8);
		fill(heap, MIB, 4);
		_exit(!filled(heap, MIB, 4) || !filled(more, MIB, 3));
	}
	await_count(&common->ready, 1);
	job_hold();
	CHECK(filled(p, LEN, 1) && filled(heap, MIB, 2));
	go(&kid, 1);
	CHECK(filled(p, LEN, 1) && filled(heap, MIB, 2));
}

/* Whose parent has exited, and a grandchild. */
SCENARIO(parent_gone, .tasks = 4, .orphans = 2, .dead = written_once)
{
	char *p = filled_by_parent();
	int status;
	pid_t kid;

	kid = fork();
	if (!kid) {
		fill(p, LEN, 2);
		for (int i = 0; i < 2; i++) {
			if (fork())
				continue;
			fill(p, PAGE, 3 + i);
			if (i && !fork()) {
				fill(p + PAGE, PAGE, 5);
				hold();
				_exit(!filled(p, PAGE, 4) || !filled(p + PAGE, PAGE, 5));
			}
			hold();
			if (!filled(p, PAGE, 3 + i))
				_exit(1);
			if (i)
				waitpid(-1, &status, 0);
			_exit(i && status);
		}
		_exit(0);
	}
	NEED(waitpid(kid, &status, 0) == kid && !status);
	/* Its own was another one. */
	NEED(!munmap(p, LEN));
	await_count(&common->ready, 3);
	job_hold();
	common->go = 1;
}

/* Of a huge page a child may have only a part. */
SCENARIO(huge_pages, .tasks = 2)
{
	char *p = fresh(LEN), *q = (char *)(((unsigned long)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	pid_t kid;

	common = common_memory(sizeof(*common));
	if (madvise(p, LEN, MADV_HUGEPAGE))
		JOB_SKIP("no transparent huge pages");
	fill(q, 6 * MIB, 1);
	kid = fork();
	if (!kid) {
		if (munmap(q + MIB, PAGE) || mprotect(q + 2 * MIB, MIB, PROT_READ))
			_exit(2);
		fill(q + 3 * MIB, PAGE, 2);
		hold();
		char *want = malloc(6 * MIB);

		fill(want, 6 * MIB, 1);
		fill(want + 3 * MIB, PAGE, 2);
		_exit(memcmp(q, want, MIB) ||
		      memcmp(q + MIB + PAGE, want + MIB + PAGE, 5 * MIB - PAGE));
	}
	await_count(&common->ready, 1);
	job_hold();
	CHECK(filled(q, 6 * MIB, 1));
	go(&kid, 1);
	CHECK(filled(q, 6 * MIB, 1));
}

/* A child has locked it, may not hand it down, has another key for it. */
SCENARIO(other_properties, .tasks = 4)
{
	char *p = filled_by_parent();
	pid_t kids[3];

	for (int i = 0; i < 3; i++) {
		kids[i] = fork();
		if (kids[i])
			continue;
		if (i == 0 && mlock(p, MIB))
			_exit(2);
		if (i == 1 && madvise(p, MIB, MADV_DONTFORK))
			_exit(3);
		if (i == 2) {
			int key = syscall(SYS_pkey_alloc, 0, 0);

			if (key > 0 && syscall(SYS_pkey_mprotect, p, MIB, PROT_READ, key))
				_exit(4);
		}
		hold();
		_exit(!filled(p, LEN, 1));
	}
	await_count(&common->ready, 3);
	job_hold();
	CHECK(filled(p, LEN, 1));
	go(kids, 3);
}

/* Many small pieces, of many processes. */
SCENARIO(chequered, .tasks = 33)
{
	char *p = filled_by_parent();
	pid_t kids[32];

	for (int i = 0; i < 32; i++) {
		kids[i] = fork();
		if (kids[i])
			continue;
		for (size_t at = 0; at < LEN / 8; at += 16 * PAGE)
			p[at + (i & 15) * PAGE] = i;
		hold();
		char *want = malloc(LEN / 8);

		fill(want, LEN / 8, 1);
		for (size_t at = 0; at < LEN / 8; at += 16 * PAGE)
			want[at + (i & 15) * PAGE] = i;
		_exit(!!memcmp(p, want, LEN / 8));
	}
	await_count(&common->ready, 32);
	job_hold();
	CHECK(filled(p, LEN, 1));
	go(kids, 32);
	CHECK(filled(p, LEN, 1));
}

TEST_HARNESS_MAIN
