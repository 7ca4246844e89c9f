/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images that a test changes, and makes the checksums right again.
 *
 * The format is in Documentation/userspace-api/checkpoint-image.rst.
 */
#ifndef CKPT_IMAGE_H
#define CKPT_IMAGE_H

#include <endian.h>

enum {
	H_VERSION = 8, H_HEADER_LEN = 12, H_PAGE_SIZE = 16, H_ARCH = 20, H_FEATURES = 24,
	H_XFEATURES = 32, H_META_LEN = 40, H_META_HASH = 48, H_DATA_OFFSET = 56, H_DATA_LEN = 64,
	H_TRAILER_OFFSET = 72, H_IMAGE_LEN = 80, H_CHUNK_LEN = 88, H_RESERVED = 92,
	H_PADDING = 185, H_HASH = 248, HEADER_LEN = 256,
	T_META_HASH = 24, T_HEADER_HASH = 48, T_HASH = 56, TRAILER_LEN = 64,
};

static inline uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static inline uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static inline void put64(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

static inline void put32(unsigned char *p, uint32_t v)
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

static inline uint64_t mix(uint64_t acc, uint64_t in)
{
	return rotl(acc + in * P2, 31) * P1;
}

static inline uint64_t hash(const unsigned char *p, size_t len)
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
static inline struct image load_job(struct run *run, void (*prepare)(struct run *run))
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

static inline struct image load(struct run *run)
{
	return load_job(run, NULL);
}

/* Makes the checksums right again. */
static inline void seal(struct image *im)
{
	unsigned char *t = im->b + im->len - TRAILER_LEN;

	put64(im->b + H_META_HASH, hash(im->b + HEADER_LEN, im->meta_len));
	put64(im->b + H_HASH, hash(im->b, H_HASH));
	put64(t + T_META_HASH, get64(im->b + H_META_HASH));
	put64(t + T_HEADER_HASH, get64(im->b + H_HASH));
	put64(t + T_HASH, hash(t, T_HASH));
}

static inline int scratch_file(const unsigned char *b, size_t len)
{
	int fd = open("/mnt/changed", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (write(fd, b, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
		abort();
	return fd;
}

static inline int try_restart(int fd)
{
	return sys_restart(fd, 0, NULL, 0) ? errno : 0;
}

/* The payload of a record: number @nth, from 0, of its kind; NULL for none. */
static inline unsigned char *record(struct image *im, unsigned int kind, int nth)
{
	unsigned char *p = im->b + HEADER_LEN, *end = p + im->meta_len;

	while (end - p >= 16) {
		if ((get32(p) & 0xffff) == kind && !nth--)
			return p + 16;
		p += 16 + ((get32(p + 8) + 7) & ~7U);
	}
	return NULL;
}

#endif /* CKPT_IMAGE_H */
