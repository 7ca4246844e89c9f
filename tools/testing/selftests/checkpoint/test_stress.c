// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many rounds of one job in one boot: nothing may be left behind by any.
 * CKPT_ROUNDS says how many (1000).
 */
#define INIT_LIMIT 2500
#include "ckpt_harness.h"

#define MIB (1UL << 20)

JOB(resident)
{
	char *p = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *s = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	sigset_t set;

	NEED(p != MAP_FAILED && s != MAP_FAILED && fd >= 0 && dup(fd) >= 0);
	fill(p, 2 * MIB, 1);
	fill(s, MIB / 2, 2);
	NEED(write(fd, "0123456789", 10) == 10);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	NEED(!sigqueue(getpid(), SIGRTMIN, (union sigval){ 7 }));
	job_hold();
	CHECK(filled(p, 2 * MIB, 1) && filled(s, MIB / 2, 2));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
}

/* What the kernel counts, in objects and in kB. */
struct counts {
	long free_kb, slab_kb, unreclaim_kb, page_tables_kb, tasks, files, dentries;
	struct {
		char name[48];
		long objects;
	} slab[400];
	int slabs;
};

static long field(const char *text, const char *name)
{
	const char *p = text ? strstr(text, name) : NULL;

	return p ? strtol(p + strlen(name), NULL, 10) : -1;
}

static void count(struct counts *c)
{
	char *text, *save = NULL;
	int fd;

	memset(c, 0, sizeof(*c));
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		if (write(fd, "3", 1) != 1)
			break;
		sleep_ms(200);	/* RCU, and whatever else is put off */
	}
	close(fd);
	text = proc_read("/proc/meminfo", NULL);
	c->free_kb = field(text, "MemFree:");
	c->slab_kb = field(text, "Slab:");
	c->unreclaim_kb = field(text, "SUnreclaim:");
	c->page_tables_kb = field(text, "PageTables:");
	free(text);
	text = proc_read("/proc/loadavg", NULL);
	if (text && strchr(text, '/'))
		c->tasks = atol(strchr(text, '/') + 1);
	free(text);
	text = proc_read("/proc/sys/fs/file-nr", NULL);
	c->files = text ? atol(text) : -1;
	free(text);
	text = proc_read("/proc/slabinfo", NULL);
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		if (c->slabs < 400 && l[0] != '#' &&
		    sscanf(l, "%47s %ld", c->slab[c->slabs].name, &c->slab[c->slabs].objects) == 2)
			c->slabs++;
	}
	free(text);
}

static long objects(struct counts *c, const char *name)
{
	for (int i = 0; i < c->slabs; i++)
		if (!strcmp(c->slab[i].name, name))
			return c->slab[i].objects;
	return 0;
}

INIT_TEST(rounds, resident)
{
	/* One more a round of any of these would be a leak that matters. */
	static const char *const watched[] = {
		"task_struct", "signal_cache", "sighand_cache", "mm_struct", "vm_area_struct",
		"vma_lock", "files_cache", "fs_cache", "filp", "cred_jar", "pid", "anon_vma",
		"anon_vma_chain", "shmem_inode_cache", "sigqueue", "maple_node", NULL
	};
	static struct counts before, after;
	int n = getenv("CKPT_ROUNDS") ? atoi(getenv("CKPT_ROUNDS")) : 1000;
	int warm = n / 10 + 5;
	uint64_t freeze = 0, saving = 0, restarting = 0;

	if (!WANT(job_start(run)))
		return;
	for (int i = 0; i < n + warm && !run->verdict; i++) {
		int err;

		if (i == warm) {
			unlink(IMAGE_PATH);
			count(&before);
		}
		err = save(run);
		freeze += run->args.freeze_ns;
		saving += run->args.total_ns;
		if (err) {
			run_fail(run, "round %d: checkpoint: %s\n", i, strerrorname_np(err));
			say_log(run, LOG_PATH);
			break;
		}
		kill_all(run);
		err = bring_back(run);
		restarting += run->args.total_ns;
		if (err) {
			run_fail(run, "round %d: restart: %s\n", i, strerrorname_np(err));
			say_log(run, LOG_PATH);
			break;
		}
	}
	if (run->verdict)
		return;
	unlink(IMAGE_PATH);
	count(&after);
	run_say(run, "%d rounds: freeze %.3f ms, checkpoint %.3f ms, restart %.3f ms each\n", n,
		freeze / 1e6 / (n + warm), saving / 1e6 / (n + warm),
		restarting / 1e6 / (n + warm));
	run_say(run,
		"before: free %ld kB, slab %ld kB, unreclaimable %ld kB, page tables %ld kB, %ld tasks, %ld files\n",
		before.free_kb, before.slab_kb, before.unreclaim_kb, before.page_tables_kb,
		before.tasks, before.files);
	run_say(run,
		"after:  free %ld kB, slab %ld kB, unreclaimable %ld kB, page tables %ld kB, %ld tasks, %ld files\n",
		after.free_kb, after.slab_kb, after.unreclaim_kb, after.page_tables_kb,
		after.tasks, after.files);
	for (int i = 0; i < after.slabs; i++) {
		long more = after.slab[i].objects - objects(&before, after.slab[i].name);

		if (more > n / 4)
			run_say(run, "slab %s: %ld more\n", after.slab[i].name, more);
	}
	/* Per-CPU caches come and go; a leak of one a round does not hide in that. */
	for (int i = 0; watched[i]; i++) {
		long more = objects(&after, watched[i]) - objects(&before, watched[i]);

		if (more >= n / 2 && more > 100)
			run_fail(run, "%s: %ld more objects after %d rounds\n", watched[i], more,
				 n);
	}
	if (n >= 200) {
		/* 1 kB a round, and 8 MiB for caches. */
		if (before.free_kb - after.free_kb > n + 8192)
			run_fail(run, "%ld kB of memory are gone\n",
				 before.free_kb - after.free_kb);
		if (after.unreclaim_kb - before.unreclaim_kb > n / 2 + 2048)
			run_fail(run, "slab grew by %ld kB\n",
				 after.unreclaim_kb - before.unreclaim_kb);
		if (after.tasks - before.tasks > 10)
			run_fail(run, "%ld more tasks\n", after.tasks - before.tasks);
		if (after.files - before.files > 100)
			run_fail(run, "%ld more open files\n", after.files - before.files);
	}
	job_finish(run);
}

TEST_HARNESS_MAIN
