// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images that are not what they were: cut off, changed, from elsewhere, and
 * made up by somebody who knows the checksums. restart(2) has to say no and
 * leave nothing behind.
 *
 * The format is in Documentation/userspace-api/checkpoint-image.rst.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <sys/mman.h>

/* As little as there can be, so that there is not much to go through. */
JOB(small)
{
	job.word[0] = 0x5ca1ab1e;
	job_hold();
	CHECK_EQ(job.word[0], 0x5ca1ab1e);
}

/* Something of every kind that there is, for those who make up the rest. */
JOB(rich)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	int fd = open("f", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY | O_DIRECTORY);
	sigset_t set;

	NEED(p != MAP_FAILED && fd >= 0 && dir >= 0 && dup(fd) >= 0);
	NEED(write(fd, "0123456789", 10) == 10);
	p[0] = 1;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED);
	p[1] = 2;
	NEED(open("/dev/null", O_RDWR) >= 0 && !sigaltstack(&stack, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	NEED(!sigqueue(getpid(), SIGRTMIN, (union sigval){ 7 }));
	job_hold();
}

static bool emulated(void)
{
	char *info = proc_read("/proc/cpuinfo", &(size_t){ 0 });
	bool tcg = info && strstr(info, "QEMU TCG");

	free(info);
	return tcg;
}

static void stop_job(struct run *run)
{
	WANT(!kill(-1, SIGSTOP));
	WANT(!waitid(P_PID, run->pid, &(siginfo_t){ 0 }, WSTOPPED | WNOWAIT));
}

static bool refused(struct run *run, int fd, const char *what, size_t where)
{
	int err = try_restart(fd);

	if (err == EINVAL && alone())
		return true;
	run_fail(run, "%s at %zu: restart: %s\n", what, where,
		 err ? strerrorname_np(err) : "succeeds");
	if (!alone())
		run_fail(run, "and something is left behind\n");
	return false;
}

INIT_TEST(untouched, small)
{
	struct image im = load(run);

	seal(&im);
	WANT_ERR(try_restart(scratch_file(im.b, im.len)), 0);
	job_finish(run);
}

/* Every length up to the end of the metadata, and some of those after it. */
INIT_TEST(truncated, small)
{
	struct image im = load(run);
	int fd = scratch_file(im.b, im.len);
	size_t meta_end = HEADER_LEN + im.meta_len;

	for (size_t len = im.len - 1; len > 0 && !run->verdict; ) {
		if (ftruncate(fd, len) || lseek(fd, 0, SEEK_SET))
			abort();
		refused(run, fd, "cut off", len);
		len -= len > meta_end && len < im.len - 200 ? (len - meta_end) / 40 + 1 : 1;
	}
	if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		abort();
	refused(run, fd, "empty", 0);
}

/* A bit in every byte of header, metadata and trailer; and here and there in pages. */
INIT_TEST(flipped, small)
{
	struct image im = load(run);
	int fd = scratch_file(im.b, im.len);
	size_t meta_end = HEADER_LEN + im.meta_len, end = get64(im.b + H_TRAILER_OFFSET);

	for (size_t at = 0; at < im.len && !run->verdict; ) {
		unsigned char c = im.b[at] ^ (1 << (at * 7 + at / 8) % 8);

		if (pwrite(fd, &c, 1, at) != 1 || lseek(fd, 0, SEEK_SET))
			abort();
		refused(run, fd, "flipped", at);
		if (pwrite(fd, &im.b[at], 1, at) != 1)
			abort();
		at += at >= meta_end && at < end ? (end - meta_end) / 200 + 1 : 1;
	}
	lseek(fd, 0, SEEK_SET);
	WANT_ERR(try_restart(fd), 0);
	job_finish(run);
}

/* What a disk that lost some blocks gives back. */
INIT_TEST(zeroed_blocks, small)
{
	struct image im = load(run);
	static const unsigned char zero[512];

	for (size_t at = 0; at < im.len && !run->verdict; at += im.len / 100 / 512 * 512 + 512) {
		size_t n = im.len - at < 512 ? im.len - at : 512;
		int fd;

		if (!memcmp(im.b + at, zero, n))
			continue;
		fd = scratch_file(im.b, im.len);
		if (pwrite(fd, zero, n, at) != (ssize_t)n)
			abort();
		refused(run, fd, "zeroed", at);
		close(fd);
	}
}

/* What other versions and machines write, checksums and all. */
INIT_TEST(from_elsewhere, small)
{
	static const struct {
		int at, size;
		uint64_t value;
		const char *what;
	} change[] = {
		{ 0, 8, 0x1122334455667788, "magic" },
		{ H_VERSION, 4, 0, "version" }, { H_VERSION, 4, 2, "version" },
		{ H_HEADER_LEN, 4, 264, "header_len" }, { H_HEADER_LEN, 4, 0, "header_len" },
		{ H_PAGE_SIZE, 4, 0, "page_size" }, { H_PAGE_SIZE, 4, 65536, "page_size" },
		{ H_PAGE_SIZE, 4, 4097, "page_size" }, { H_PAGE_SIZE, 4, 1, "page_size" },
		{ H_ARCH, 4, 183, "arch (aarch64)" }, { H_ARCH, 4, 3, "arch (386)" },
		{ H_FEATURES, 8, 1ULL << 63, "features" }, { H_FEATURES, 8, 4, "features" },
		{ H_XFEATURES, 8, 1ULL << 62, "xfeatures" }, { H_XFEATURES, 8, ~0ULL, "xfeatures" },
		{ H_META_LEN, 8, 0, "meta_len" }, { H_META_LEN, 8, ~0ULL, "meta_len" },
		{ H_META_LEN, 8, 1ULL << 62, "meta_len" }, { H_META_LEN, 8, 7, "meta_len" },
		{ H_DATA_OFFSET, 8, 0, "data_offset" }, { H_DATA_OFFSET, 8, ~0ULL, "data_offset" },
		{ H_DATA_LEN, 8, 1ULL << 63, "data_len" }, { H_DATA_LEN, 8, 4095, "data_len" },
		{ H_DATA_LEN, 8, 0, "data_len" }, { H_DATA_LEN, 8, ~4095ULL, "data_len" },
		{ H_TRAILER_OFFSET, 8, 0, "trailer_offset" },
		{ H_IMAGE_LEN, 8, 0, "image_len" }, { H_IMAGE_LEN, 8, ~0ULL, "image_len" },
		{ H_CHUNK_LEN, 4, 0, "chunk_len" }, { H_CHUNK_LEN, 4, 1, "chunk_len" },
		{ H_CHUNK_LEN, 4, 1U << 31, "chunk_len" },
		{ H_RESERVED, 4, 1, "reserved" }, { H_PADDING, 4, 1, "padding" },
	};
	struct image im = load(run), was = im;

	was.b = malloc(im.len);
	memcpy(was.b, im.b, im.len);
	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		int fd;

		if (change[i].size == 8)
			put64(im.b + change[i].at, change[i].value);
		else
			put32(im.b + change[i].at, change[i].value);
		seal(&im);
		fd = scratch_file(im.b, im.len);
		refused(run, fd, change[i].what, change[i].value);
		close(fd);
		memcpy(im.b, was.b, im.len);
	}
}

/* Random bytes, and files that are not images. */
INIT_TEST(not_an_image, small)
{
	static unsigned char b[1 << 16];
	int fd;

	fill(b, sizeof(b), 1);
	refused(run, scratch_file(b, sizeof(b)), "random", 0);
	memcpy(b, "LINUXCKP", 8);
	refused(run, scratch_file(b, sizeof(b)), "random with magic", 0);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	refused(run, fd, "/dev/zero", 0);
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	refused(run, fd, "/dev/urandom", 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	refused(run, fd, "/dev/null", 0);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	refused(run, fd, "a program", 0);
}

/*
 * Metadata that nobody wrote, under the right checksums. Whatever it asks for,
 * it is refused or done; a task that it makes can be killed, and the kernel has
 * nothing to report (that is for whoever reads its log).
 */
static void hostile(struct run *run, uint64_t seed, int rounds)
{
	static const uint64_t odd[] = {
		0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 4095, 4096, 65535, 1ULL << 31,
		(1ULL << 32) - 1, 1ULL << 47, (1ULL << 47) - 4096, 0xffff800000000000ULL,
		1ULL << 62, 1ULL << 63, ~0ULL, ~0ULL - 4095,
	};
	/*
	 * Under QEMU's TCG an iret of a program that runs what it was not meant to
	 * reads the stack as the kernel would, and the kernel rightly gives up. So
	 * there nothing runs: the job is a stopped one.
	 */
	struct image im = load_job(run, emulated() ? stop_job : NULL), was = im;
	int made = 0;

	was.b = malloc(im.len);
	memcpy(was.b, im.b, im.len);
	for (int i = 0; i < rounds && !run->verdict; i++) {
		int changes = 1, err, fd;
		uint64_t r;

#define RANDOM() (seed = seed * 6364136223846793005ULL + 1442695040888963407ULL, seed >> 33)
		changes += RANDOM() % 3;
		for (int c = 0; c < changes; c++) {
			unsigned char *p;

			r = RANDOM();
			p = im.b + HEADER_LEN + RANDOM() % (im.meta_len - 8);
			switch (r % 6) {
			case 0:
				*p ^= 1 << RANDOM() % 8;
				break;
			case 1:
				*p = RANDOM();
				break;
			case 2:
				put32(p, odd[RANDOM() % (sizeof(odd) / sizeof(odd[0]))]);
				break;
			case 3:
				put64(p, odd[RANDOM() % (sizeof(odd) / sizeof(odd[0]))]);
				break;
			case 4:		/* aligned, as fields are */
				p = im.b + ((p - im.b) & ~3UL);
				put32(p, get32(p) + 1 - 2 * (RANDOM() & 1));
				break;
			case 5:		/* another part of it */
				memmove(p, im.b + HEADER_LEN + RANDOM() % (im.meta_len - 8), 8);
				break;
			}
		}
		seal(&im);
		fd = scratch_file(im.b, im.len);
		err = try_restart(fd);
		close(fd);
		if (!err) {
			made++;
			kill_all(run);
		}
		if (!alone()) {
			run_fail(run, "round %d left something behind (%s)\n", i,
				 err ? strerrorname_np(err) : "success");
			break;
		}
		memcpy(im.b, was.b, im.len);
	}
	run_say(run, "%d of %d were taken\n", made, rounds);
}

static int rounds(int many)
{
	const char *n = getenv("CKPT_FUZZ_ROUNDS");

	return n ? atoi(n) : many;
}

INIT_TEST(hostile_1, rich)
{
	hostile(run, 1, rounds(400));
}

INIT_TEST(hostile_2, small)
{
	hostile(run, 2, rounds(400));
}

/* The same twice gives two images that differ in nothing but their identity. */
INIT_TEST(reproducible, rich)
{
	struct image a, b;

	a = load(run);
	WANT_ERR(bring_back(run), 0);
	WANT_ERR(save(run), 0);
	b.b = (unsigned char *)proc_read(IMAGE_PATH, &b.len);
	WANT_EQ(b.len, a.len);
	WANT_EQ(get64(b.b + H_META_LEN), a.meta_len);
	kill_all(run);
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

TEST_HARNESS_MAIN
