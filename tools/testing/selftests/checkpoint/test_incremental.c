// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images that have only what has changed since another one (CHECKPOINT_F_TRACK). A
 * job changes its memory at random, in all ways there are; when it stands still, an
 * image of what has changed is taken, and one of everything. Each page of the second
 * is looked for along the chain of the first, and has to be the same.
 *
 * CKPT_ROUNDS: how many times (40).
 */
#define INIT_LIMIT 600
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <sys/wait.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define AREA		(4 * HUGE)
#define CHAIN		8

enum { R_MM = 6, R_RUNS = 9, R_SHARED = 35, R_PARENT = 40, R_OF_PARENT = 42 };

/* Pages of an address space: in the image, in another space of it, or in the parent. */
struct range {
	uint64_t start, end, from;
	uint32_t mm;
};

struct space {
	uint32_t id, parent;
	struct range *own, *shared, *of_parent;
	size_t nr_own, nr_shared, nr_of_parent;
};

struct chain_image {
	unsigned char *b, *data, parent[16];
	size_t len;
	struct space *space;
	size_t nr;
	uint64_t pages, of_parent;
};

static struct range *add_ranges(struct range **all, size_t *nr, size_t more)
{
	*all = realloc(*all, (*nr + more) * sizeof(**all));
	if (!*all)
		abort();
	*nr += more;
	return *all + *nr - more;
}

static bool open_image(const char *path, struct chain_image *im)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *r, *end;
	struct space *s = NULL;
	struct stat st;

	memset(im, 0, sizeof(*im));
	if (fd < 0 || fstat(fd, &st))
		return false;
	im->len = st.st_size;
	im->b = mmap(NULL, im->len, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (im->b == MAP_FAILED)
		return false;
	im->data = im->b + get64(im->b + H_DATA_OFFSET);
	end = im->b + HEADER_LEN + get64(im->b + H_META_LEN);
	for (r = im->b + HEADER_LEN; r < end; r += 16 + ((get32(r + 8) + 7) & ~7u)) {
		unsigned int kind = get32(r) & 0xffff, head = get32(r + 4);
		unsigned char *p = r + 16 + head, *e = r + 16 + get32(r + 8);
		struct range *range;

		switch (kind) {
		case R_PARENT:
			memcpy(im->parent, r + 16, 16);
			break;
		case R_MM:
			im->space = realloc(im->space, (im->nr + 1) * sizeof(*s));
			s = &im->space[im->nr++];
			memset(s, 0, sizeof(*s));
			s->id = get32(r + 16);
			break;
		case R_SHARED:
			range = add_ranges(&s->shared, &s->nr_shared, (e - p) / 24);
			for (; p < e; p += 24, range++) {
				range->start = get64(p);
				range->from = get64(p + 8);
				range->end = range->start + get32(p + 16) * PAGE;
				range->mm = get32(p + 20);
			}
			break;
		case R_OF_PARENT:
			s->parent = get32(r + 16);
			range = add_ranges(&s->of_parent, &s->nr_of_parent, (e - p) / 16);
			for (; p < e; p += 16, range++) {
				range->start = get64(p);
				range->end = range->start + get32(p + 8) * PAGE;
				im->of_parent += get32(p + 8);
			}
			break;
		case R_RUNS:
			if (!s) {
				for (; p < e; p += 16)
					im->pages += get32(p + 8);
				break;
			}
			range = add_ranges(&s->own, &s->nr_own, (e - p) / 16);
			for (; p < e; p += 16, range++) {
				range->start = get64(p);
				range->end = range->start + get32(p + 8) * PAGE;
				range->from = im->pages;
				im->pages += get32(p + 8);
			}
			break;
		}
	}
	return true;
}

static void close_image(struct chain_image *im)
{
	for (size_t i = 0; i < im->nr; i++) {
		free(im->space[i].own);
		free(im->space[i].shared);
		free(im->space[i].of_parent);
	}
	free(im->space);
	munmap(im->b, im->len);
}

static struct range *range_at(struct range *all, size_t nr, uint64_t addr)
{
	size_t low = 0;

	while (nr) {
		struct range *mid = &all[low + nr / 2];

		if (addr >= mid->start && addr < mid->end)
			return mid;
		if (addr >= mid->end) {
			low += nr / 2 + 1;
			nr -= nr / 2 + 1;
		} else {
			nr /= 2;
		}
	}
	return NULL;
}

/* The page at @addr of address space @mm in image @nr of a chain; NULL if nowhere. */
static unsigned char *page_of(struct chain_image *chain, int nr, uint32_t mm, uint64_t addr)
{
	while (nr >= 0) {
		struct chain_image *im = &chain[nr];
		struct space *s = NULL;
		struct range *r;

		for (size_t i = 0; i < im->nr; i++)
			if (im->space[i].id == mm)
				s = &im->space[i];
		if (!s)
			return NULL;
		r = range_at(s->own, s->nr_own, addr);
		if (r)
			return im->data + (r->from + (addr - r->start) / PAGE) * PAGE;
		r = range_at(s->shared, s->nr_shared, addr);
		if (r) {
			mm = r->mm;
			addr = r->from + (addr - r->start);
			continue;
		}
		if (!range_at(s->of_parent, s->nr_of_parent, addr))
			return NULL;
		mm = s->parent;
		nr--;
	}
	return NULL;
}

/* A page that is nowhere holds nothing: huge pages are made of few pages, and taken apart. */
static bool same_page(unsigned char *a, unsigned char *b)
{
	static unsigned char zeros[PAGE];

	return !memcmp(a ?: zeros, b ?: zeros, PAGE);
}

/* Where the memory that changes is. */
static void *area_of_job;

/* Whether all pages of @s are the same at the end of the chain and in @whole. */
static uint64_t wrong_pages(struct run *run, struct space *s, struct chain_image *chain, int nr,
			    struct chain_image *whole)
{
	struct range *all[] = { s->own, s->shared, s->of_parent };
	size_t counts[] = { s->nr_own, s->nr_shared, s->nr_of_parent };
	uint64_t wrong = 0;

	for (int k = 0; k < 3; k++) {
		for (struct range *r = all[k]; r < all[k] + counts[k]; r++) {
			for (uint64_t at = r->start; at < r->end; at += PAGE) {
				unsigned char *is = page_of(chain, nr, s->id, at);
				unsigned char *should = page_of(whole, 0, s->id, at);

				if (same_page(is, should) || wrong++)
					continue;
				run_fail(run, "mm %u, %#llx (area %p): %s\n", s->id,
					 (unsigned long long)at, area_of_job,
					 !is ? "is missing" : !should ? "is there no more" :
					 "has changed unseen");
			}
		}
	}
	return wrong;
}

static bool same_as_whole(struct run *run, struct chain_image *chain, int nr,
			  struct chain_image *whole)
{
	struct chain_image *last = &chain[nr];
	uint64_t wrong = 0;

	if (!WANT_EQ(last->nr, whole->nr))
		return false;
	for (size_t i = 0; i < whole->nr; i++) {
		if (!WANT_EQ(last->space[i].id, whole->space[i].id))
			return false;
		wrong += wrong_pages(run, &whole->space[i], chain, nr, whole);
		wrong += wrong_pages(run, &last->space[i], chain, nr, whole);
	}
	if (wrong)
		run_fail(run, "%llu pages are wrong\n", (unsigned long long)wrong);
	return !wrong;
}

static uint64_t seed = 1;

static unsigned int any(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % n;
}

static char *area;
static volatile int *turns;

static void *put_again(char *at, size_t len, int prot)
{
	void *p = mmap(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	NEED(p == at);
	return p;
}

static void write_some(unsigned int pages)
{
	char *at = area + any(AREA / PAGE - pages) * PAGE;

	for (unsigned int i = 0; i < pages; i++)
		at[i * PAGE + any(PAGE)] = any(256);
}

/* Changes something, somehow. What it maps stays readable and writable in the end. */
static void change(int depth)
{
	unsigned int pages = 1 + any(64), first = any(AREA / PAGE - pages);
	char *at = area + first * PAGE;
	size_t len = pages * PAGE;
	struct iovec to, from;
	char buf[256];
	int status = 0;
	pid_t pid;

	switch (any(18)) {
	default:
		write_some(1 + any(8));
		break;
	case 0:
		memset(at, any(256), len);
		break;
	case 1:
		put_again(at, len, PROT_READ | PROT_WRITE);
		break;
	case 2:
		NEED(!madvise(at, len, MADV_DONTNEED));
		break;
	case 3:
		/* Made writable again without a fault, where the kernel may. */
		NEED(!mprotect(at, len, PROT_READ));
		NEED(!mprotect(at, len, PROT_READ | PROT_WRITE));
		write_some(1);
		break;
	case 4: {
		/* Whole page tables move at once. */
		char *a = area + any(2) * HUGE, *b = area + (2 + any(2)) * HUGE;

		NEED(mremap(a, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, b) == b);
		put_again(a, HUGE, PROT_READ | PROT_WRITE);
		break;
	}
	case 5: {
		char *b = area + any(AREA / PAGE - pages) * PAGE;

		if (b + len <= at || at + len <= b) {
			NEED(mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, b) == b);
			put_again(at, len, PROT_READ | PROT_WRITE);
		}
		break;
	}
	case 6:
		/* The kernel writes for somebody else. */
		memset(buf, any(256), sizeof(buf));
		from = (struct iovec){ buf, sizeof(buf) };
		to = (struct iovec){ at, sizeof(buf) };
		NEED(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == sizeof(buf));
		break;
	case 7:
	case 8:
		if (depth > 1)
			break;
		pid = fork();
		NEED(pid >= 0);
		if (!pid) {
			for (int i = any(20); i > 0; i--)
				change(depth + 1);
			_exit(0);
		}
		/* Both write to what they share, and to what they do not any more. */
		write_some(16);
		NEED(waitpid(pid, &status, 0) == pid && !status);
		break;
	case 9:
		madvise(area + any(4) * HUGE, HUGE, any(2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	case 10:
		madvise(area + any(4) * HUGE, HUGE, MADV_COLLAPSE);
		break;
	case 11:
		madvise(at, len, MADV_PAGEOUT);
		break;
	case 12:
		/* Reads them in again, if they are out. */
		for (unsigned int i = 0; i < pages; i++)
			status += ((volatile char *)at)[i * PAGE];
		break;
	case 13:
		madvise(at, len, MADV_FREE);
		break;
	}
	++*turns;
}

JOB(changing, .tasks = -1)
{
	turns = common_memory(4096);
	area = mmap(NULL, AREA + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(area != MAP_FAILED);
	area = (char *)(((uintptr_t)area + HUGE - 1) & -HUGE);
	fill(area, AREA, 3);
	job.word[0] = (uintptr_t)area;
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		NEED(pid >= 0);
		if (pid)
			continue;
		seed = 100 + i;
		for (;;)
			change(0);
	}
	/* The one that init looks at stays where it is. */
	job_hold();
}

static int checkpoint_to(struct run *run, const char *path, unsigned int flags,
			 const unsigned char *parent)
{
	int fd, err;

	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	memset(&run->args, 0, sizeof(run->args));
	run->args.log_fd = -1;
	if (parent)
		memcpy(run->args.parent, parent, 16);
	err = sys_checkpoint(fd, CHECKPOINT_F_ARGS | flags, &run->args, sizeof(run->args)) ?
	      errno : 0;
	close(fd);
	return err;
}

INIT_TEST(nothing_unseen, changing)
{
	int n = getenv("CKPT_ROUNDS") ? atoi(getenv("CKPT_ROUNDS")) : 40;
	double began = seconds_now(), said = began;
	struct chain_image chain[CHAIN], whole;
	uint64_t left = 0, at;
	unsigned char last[16];
	char path[32];
	int links = 0;

	if (!WANT(job_start(run)) || !WANT(job_read(run, &job.word[0], &at, sizeof(at))))
		return;
	area_of_job = (void *)(uintptr_t)at;
	for (int i = 0; i < n; i++) {
		sleep_ms(20 + any(100));
		/* The checkpoint waits until all have stopped, and keeps them from going on. */
		kill(-1, SIGSTOP);
		if (links == CHAIN) {
			while (links)
				close_image(&chain[--links]);
		}
		snprintf(path, sizeof(path), "/mnt/chain%d", links);
		if (!WANT_ERR(checkpoint_to(run, path, CHECKPOINT_F_TRACK, links ? last : NULL), 0))
			return;
		memcpy(last, run->args.uuid, 16);
		if (!WANT(open_image(path, &chain[links])))
			return;
		left += run->args.pages_parent;
		WANT_EQ(run->args.pages_parent, chain[links].of_parent);
		WANT_EQ(run->args.pages_data, chain[links].pages);
		WANT(!memcmp(chain[links].b + 104, last, 16));
		links++;
		/* Not each time: what a whole one does to the pages must not be what is tested. */
		if (i % 3 == 2 || i == n - 1) {
			if (!WANT_ERR(checkpoint_to(run, "/mnt/whole", 0, NULL), 0) ||
			    !WANT(open_image("/mnt/whole", &whole)))
				return;
			if (!same_as_whole(run, chain, links - 1, &whole))
				return;
			close_image(&whole);
		}
		kill(-1, SIGCONT);
		if (seconds_now() > said + 20) {
			said = seconds_now();
			dprintf(STDERR_FILENO, "# %d of %d\n", i, n);
		}
	}
	WANT(left > 0);
	run_say(run, "%d rounds in %.0f s, %llu pages left to parents\n", n, seconds_now() - began,
		(unsigned long long)left);
	kill_all(run);
}

/* Memory that is not touched is not written; what is written to is, and nothing else. */
JOB(still, .tasks = 1)
{
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(area != MAP_FAILED);
	NEED(!madvise(area, AREA, MADV_NOHUGEPAGE));
	fill(area, AREA, 5);
	job.word[0] = (uintptr_t)area;
	job_hold();
}

INIT_TEST(only_what_changed, still)
{
	unsigned char first[16], second[16], none[16] = { 1 };
	struct checkpoint_args *args = &run->args;
	struct chain_image chain[3], whole;
	const int pages = AREA / PAGE;
	unsigned char byte = 77;
	uint64_t addr, base;
	int mem;
	char path[32];

	if (!WANT(job_start(run)))
		return;
	WANT(job_read(run, &job.word[0], &addr, 8));
	/* No parent without tracking, none at all for a dry run. */
	WANT_ERR(checkpoint_to(run, "/mnt/0", 0, none), EINVAL);
	WANT_ERR(checkpoint_to(run, "/mnt/0", CHECKPOINT_F_TRACK | CHECKPOINT_F_DRY_RUN, NULL),
		 EINVAL);

	/* A parent that is not known, or no image at all: everything. */
	WANT_ERR(checkpoint_to(run, "/mnt/0", CHECKPOINT_F_TRACK, none), 0);
	WANT(!args->pages_parent && args->pages_data >= (uint64_t)pages);
	memcpy(first, args->uuid, 16);
	base = args->pages_data;

	WANT_ERR(checkpoint_to(run, "/mnt/1", CHECKPOINT_F_TRACK, first), 0);
	WANT(args->pages_parent >= (uint64_t)pages && args->pages_data < 64);
	WANT_EQ(args->pages_data + args->pages_parent, base);
	memcpy(second, args->uuid, 16);
	WANT(memcmp(first, second, 16));

	/* Through /proc/PID/mem: the kernel writes, whatever the page table says. */
	snprintf(path, sizeof(path), "/proc/%d/mem", run->pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 10; i++)
		WANT(pwrite(mem, &byte, 1, addr + i * 100 * PAGE) == 1);
	WANT_ERR(checkpoint_to(run, "/mnt/2", CHECKPOINT_F_TRACK, second), 0);
	WANT(args->pages_data >= 10 && args->pages_data < 64 + 10);
	WANT_ERR(checkpoint_to(run, "/mnt/whole", 0, NULL), 0);
	WANT(!args->pages_parent && args->pages_data == base);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/mnt/%d", i);
		if (!WANT(open_image(path, &chain[i])))
			return;
	}
	WANT(!memcmp(chain[1].parent, first, 16) && !memcmp(chain[2].parent, second, 16));
	if (!WANT(open_image("/mnt/whole", &whole)))
		return;
	for (int i = 0; i < pages; i++) {
		unsigned char *is = page_of(chain, 2, 1, addr + i * PAGE);

		if (!is || memcmp(is, page_of(&whole, 0, 1, addr + i * PAGE), PAGE)) {
			run_fail(run, "page %d is not what it was\n", i);
			break;
		}
	}
	/* An older parent is not the last one: everything. */
	WANT_ERR(checkpoint_to(run, "/mnt/3", CHECKPOINT_F_TRACK, first), 0);
	WANT(!args->pages_parent);
	close(mem);
	/* The kernel takes whole images only. */
	kill_all(run);
	WANT_ERR(rename("/mnt/1", IMAGE_PATH) ? errno : 0, 0);
	WANT_ERR(bring_back(run), EOPNOTSUPP);
	WANT(alone());
}

TEST_HARNESS_MAIN
