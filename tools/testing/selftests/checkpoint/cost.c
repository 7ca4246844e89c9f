// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process costs that nobody saves: faults, fork(2), waiting. To be run by kernels
 * with CONFIG_CHECKPOINT and without, which differ in what they do here only if something
 * that is off costs something. Prints a line for each: a name, and nanoseconds, the median
 * of some rounds.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	15
#define PAGES	8192

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static char *memory(int flags)
{
	char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED, "mmap");
	need(!madvise(p, PAGES * 4096, MADV_NOHUGEPAGE), "madvise");
	return p;
}

static void touch(char *p)
{
	for (size_t i = 0; i < PAGES; i++)
		p[i * 4096] = i;
}

/* Of a page, each. */
static double fault_in(int flags)
{
	char *p = memory(flags);
	double start = now_ns();

	touch(p);
	start = now_ns() - start;
	munmap(p, PAGES * 4096);
	return start / PAGES;
}

static double fault(void)
{
	return fault_in(MAP_PRIVATE);
}

static double fault_shared(void)
{
	return fault_in(MAP_SHARED);
}

static double unmap(void)
{
	char *p = memory(MAP_PRIVATE);
	double start;

	touch(p);
	start = now_ns();
	munmap(p, PAGES * 4096);
	return (now_ns() - start) / PAGES;
}

static double protect(void)
{
	char *p = memory(MAP_PRIVATE);
	double start;

	touch(p);
	start = now_ns();
	mprotect(p, PAGES * 4096, PROT_READ);
	mprotect(p, PAGES * 4096, PROT_READ | PROT_WRITE);
	start = now_ns() - start;
	munmap(p, PAGES * 4096);
	return start / PAGES;
}

static int gate[2], back[2];

/* With a child that has the same pages until it is told to go. */
static double after_fork(double (*measured)(char *p))
{
	char *p = memory(MAP_PRIVATE), c = 0;
	double result;
	pid_t pid;

	touch(p);
	pid = fork();
	need(pid >= 0, "fork");
	if (!pid)
		_exit(read(gate[0], &c, 1) != 1);
	result = measured(p);
	need(write(gate[1], &c, 1) == 1 && waitpid(pid, NULL, 0) == pid, "waitpid");
	munmap(p, PAGES * 4096);
	return result;
}

static double touched(char *p)
{
	double start = now_ns();

	touch(p);
	return (now_ns() - start) / PAGES;
}

static double copy_on_write(void)
{
	return after_fork(touched);
}

/* All of it: fork, exit and wait; of a page, too. */
static double fork_and_wait(void)
{
	char *p = memory(MAP_PRIVATE);
	double start;
	pid_t pid;

	touch(p);
	start = now_ns();
	pid = fork();
	need(pid >= 0, "fork");
	if (!pid)
		_exit(0);
	need(waitpid(pid, NULL, 0) == pid, "waitpid");
	start = now_ns() - start;
	munmap(p, PAGES * 4096);
	return start / PAGES;
}

/* From one process to another and back. */
static double pipe_and_back(void)
{
	enum { N = 2000 };
	double start;
	pid_t pid;
	char c = 0;

	pid = fork();
	need(pid >= 0, "fork");
	if (!pid) {
		for (int i = 0; i < N; i++)
			if (read(gate[0], &c, 1) != 1 || write(back[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	start = now_ns();
	for (int i = 0; i < N; i++)
		need(write(gate[1], &c, 1) == 1 && read(back[0], &c, 1) == 1, "pipe");
	start = now_ns() - start;
	need(waitpid(pid, NULL, 0) == pid, "waitpid");
	return start / N;
}

static double poll_nothing(void)
{
	struct pollfd p = { gate[0], POLLIN, 0 };
	enum { N = 20000 };
	double start = now_ns();

	for (int i = 0; i < N; i++)
		poll(&p, 1, 0);
	return (now_ns() - start) / N;
}

static const struct {
	const char *name;
	double (*measure)(void);
} figures[] = {
	{ "fault", fault },
	{ "fault-shared", fault_shared },
	{ "copy-on-write", copy_on_write },
	{ "unmap", unmap },
	{ "mprotect", protect },
	{ "fork", fork_and_wait },
	{ "pipe", pipe_and_back },
	{ "poll", poll_nothing },
};

enum { FIGURES = sizeof(figures) / sizeof(figures[0]) };

static int smaller(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(void)
{
	static double round[FIGURES][ROUNDS];

	need(!pipe(gate) && !pipe(back), "pipe");
	/* Not one after the other: what comes and goes is the same for all. */
	for (int i = 0; i < ROUNDS; i++)
		for (int f = 0; f < FIGURES; f++)
			round[f][i] = figures[f].measure();
	for (int f = 0; f < FIGURES; f++) {
		qsort(round[f], ROUNDS, sizeof(double), smaller);
		printf("%s %.1f\n", figures[f].name, round[f][ROUNDS / 2]);
	}
	return 0;
}
