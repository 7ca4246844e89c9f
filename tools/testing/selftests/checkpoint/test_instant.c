// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image is of one instant, whatever kind of memory is in it, and whoever writes
 * to it. Processes count up at full speed, the same in their own memory and in
 * memory that they share: shared anonymous memory, a memfd, and a segment of
 * System V shared memory. What an image has of one that is newer, or older, than of
 * another is wrong for good after the restart, and seen in the end.
 *
 * CKPT_ROUNDS: how many checkpoints (10); each has the job killed and brought back,
 * but for every fourth, after which it goes on.
 */
#define INIT_LIMIT 1800
#include "ckpt_harness.h"

#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WORKERS	4
#define PAGES	128
#define PAGE	4096UL
#define LEN	(PAGES * PAGE)

enum { OWN, ANON, MEMFD, SEGMENT, KINDS };

static const char *const kind[] = { "own", "shared anonymous", "memfd", "System V" };

/* What all count together. */
struct board {
	volatile uint64_t total;
	volatile int ready, stop, bad;
};

static struct board *board;
/* One word a page; of what is shared, each worker has a part. */
static char *memory[KINDS];

static volatile uint64_t *word(int k, int worker, int page)
{
	return (uint64_t *)(memory[k] + (k == OWN ? 0 : worker * LEN) + page * PAGE);
}

/* Counts until it is told to stop; true if all is well then. */
static bool work(int me)
{
	uint64_t sum = 0, steps = 0;

	__sync_fetch_and_add(&board->ready, 1);
	for (int page = 0; !board->stop; page = (page + 7) % PAGES) {
		__sync_fetch_and_add(&board->total, 1);
		for (int k = 0; k < KINDS; k++)
			++*word(k, me, page);
		steps++;
	}
	for (int page = 0; page < PAGES; page++) {
		uint64_t want = *word(OWN, me, page);

		sum += want;
		for (int k = ANON; k < KINDS; k++) {
			if (*word(k, me, page) == want)
				continue;
			printf("# worker %d, page %d: %s has %llu, %s %llu\n", me, page, kind[k],
			       (unsigned long long)*word(k, me, page), kind[OWN],
			       (unsigned long long)want);
			return false;
		}
	}
	/* A register, or the stack, against memory. */
	return sum == steps;
}

/* What is shared has a part for each, and one of the first for what they sum up to. */
JOB(counting, .tasks = 1 + WORKERS)
{
	int fd = memfd_create("counts", 0), id = shmget(IPC_PRIVATE, WORKERS * LEN, 0600), status;
	uint64_t sum = 0;
	pid_t pid[WORKERS];

	NEED(fd >= 0 && id >= 0 && !ftruncate(fd, WORKERS * LEN));
	board = common_memory(sizeof(*board));
	memory[OWN] = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory[ANON] = common_memory(WORKERS * LEN);
	memory[MEMFD] = mmap(NULL, WORKERS * LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memory[SEGMENT] = shmat(id, NULL, 0);
	for (int k = 0; k < KINDS; k++)
		NEED(memory[k] != MAP_FAILED);
	NEED(!shmctl(id, IPC_RMID, NULL));
	for (int i = 0; i < WORKERS; i++) {
		pid[i] = fork();
		NEED(pid[i] >= 0);
		if (!pid[i])
			_exit(!work(i));
	}
	while (board->ready < WORKERS)
		sleep_ms(1);
	job_hold();
	board->stop = 1;
	for (int i = 0; i < WORKERS; i++)
		if (!CHECK(waitpid(pid[i], &status, 0) == pid[i] && !status))
			break;
	for (int i = 0; i < WORKERS; i++)
		for (int page = 0; page < PAGES; page++)
			sum += *word(SEGMENT, i, page);
	CHECK_EQ(board->total, sum);
	job_say("%llu steps\n", (unsigned long long)sum);
}

INIT_TEST(one_instant, counting)
{
	int n = getenv("CKPT_ROUNDS") ? atoi(getenv("CKPT_ROUNDS")) : 10;
	double began = seconds_now(), said = began;
	uint64_t seed = 7, freeze = 0;

	if (!WANT(job_start(run)))
		return;
	for (int i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		sleep_ms(5 + (seed >> 33) % 40);
		if (!WANT_ERR(save(run), 0))
			return;
		freeze += run->args.freeze_ns;
		if (i % 4 != 3) {
			kill_all(run);
			if (run->verdict || !WANT_ERR(bring_back(run), 0))
				return;
		}
		if (seconds_now() > said + 20) {
			said = seconds_now();
			dprintf(STDERR_FILENO, "# %d of %d\n", i, n);
		}
	}
	job_finish(run);
	run_say(run, "%d checkpoints in %.0f s, frozen for %.1f ms each\n", n,
		seconds_now() - began, freeze / 1e6 / n);
}

TEST_HARNESS_MAIN
