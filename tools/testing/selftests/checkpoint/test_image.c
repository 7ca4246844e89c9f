// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images that are not what they were: cut off, changed, from elsewhere, and
 * made up by somebody who knows the checksums. restart(2) has to say no and
 * leave nothing behind.
 *
 * The format is in Documentation/userspace-api/checkpoint-image.rst.
 */
#include "ckpt_harness.h"

#include <endian.h>
#include <sys/mman.h>

enum {
	H_VERSION = 8, H_HEADER_LEN = 12, H_PAGE_SIZE = 16, H_ARCH = 20, H_FEATURES = 24,
	H_XFEATURES = 32, H_META_LEN = 40, H_META_HASH = 48, H_DATA_OFFSET = 56, H_DATA_LEN = 64,
	H_TRAILER_OFFSET = 72, H_IMAGE_LEN = 80, H_CHUNK_LEN = 88, H_RESERVED = 92,
	H_PADDING = 185, H_HASH = 248, HEADER_LEN = 256,
	T_META_HASH = 24, T_HEADER_HASH = 48, T_HASH = 56, TRAILER_LEN = 64,
};

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

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static void put64(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

static void put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

/* xxh64 with seed 0. */
#define P1 0x9E3779B185EBCA87ULL
#define P2 0xC2B2AE3D27D4EB4FULL
#define P3 0x165667B19E3779F9ULL
#define P4 0x85EBCA77C2B2AE63ULL
#define P5 0x27D4EB2F165667C5ULL

static uint64_t mix(uint64_t acc, uint64_t in)
{
	return rotl(acc + in * P2, 31) * P1;
}

static uint64_t hash(const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	uint64_t h;

	if (len >= 32) {
		uint64_t v[4] = { P1 + P2, P2, 0, -P1 };

		for (; end - p >= 32; p += 32)
			for (int i = 0; i < 4; i++)
				v[i] = mix(v[i], get64(p + 8 * i));
		h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
		for (int i = 0; i < 4; i++)
			h = (h ^ mix(0, v[i])) * P1 + P4;
	} else {
		h = P5;
	}
	h += len;
	for (; end - p >= 8; p += 8)
		h = rotl(h ^ mix(0, get64(p)), 27) * P1 + P4;
	if (end - p >= 4) {
		h = rotl(h ^ get32(p) * P1, 23) * P2 + P3;
		p += 4;
	}
	for (; p < end; p++)
		h = rotl(h ^ *p * P5, 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

struct image {
	unsigned char *b;
	size_t len, meta_len;
};

/* Saves the job, kills it, and maps a private copy of the image. */
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

static struct image load_job(struct run *run, void (*prepare)(struct run *run))
{
	struct image im = { 0 };
	struct stat st;
	int fd;

	if (!WANT(job_start(run)))
		_exit(0);
	if (prepare)
		prepare(run);
	if (!WANT_ERR(save(run), 0)) {
		say_log(run, LOG_PATH);
		_exit(0);
	}
	kill_all(run);
	fd = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC);
	if (fstat(fd, &st))
		_exit(0);
	im.len = st.st_size;
	im.b = mmap(NULL, im.len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	im.meta_len = get64(im.b + H_META_LEN);
	WANT_EQ(get64(im.b + H_IMAGE_LEN), im.len);
	WANT(im.meta_len < im.len);
	WANT_EQ(hash(im.b + HEADER_LEN, im.meta_len), get64(im.b + H_META_HASH));
	WANT_EQ(hash(im.b, H_HASH), get64(im.b + H_HASH));
	if (run->verdict)
		_exit(0);
	return im;
}

static struct image load(struct run *run)
{
	return load_job(run, NULL);
}

/* Makes the checksums right again. */
static void seal(struct image *im)
{
	unsigned char *t = im->b + im->len - TRAILER_LEN;

	put64(im->b + H_META_HASH, hash(im->b + HEADER_LEN, im->meta_len));
	put64(im->b + H_HASH, hash(im->b, H_HASH));
	put64(t + T_META_HASH, get64(im->b + H_META_HASH));
	put64(t + T_HEADER_HASH, get64(im->b + H_HASH));
	put64(t + T_HASH, hash(t, T_HASH));
}

static int scratch_file(const unsigned char *b, size_t len)
{
	int fd = open("/mnt/changed", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (write(fd, b, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
		abort();
	return fd;
}

static int try_restart(int fd)
{
	return sys_restart(fd, 0, NULL, 0) ? errno : 0;
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
		{ H_FEATURES, 8, 1ULL << 63, "features" }, { H_FEATURES, 8, 2, "features" },
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
