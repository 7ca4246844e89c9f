// SPDX-License-Identifier: GPL-2.0-only
/*
 * System V shared memory: segments with all that shmctl(2) tells of them, attached
 * in all ways, or not at all. Their namespace outlives the job here, so that init
 * removes them before a restart, as a new namespace would.
 */
#include "ckpt_harness.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE	4096L
#define LEN	(32 * PAGE)
#define KEY	0x436b7074

#ifndef SHM_DEST
#define SHM_DEST	01000
#endif
#ifndef SHM_LOCKED
#define SHM_LOCKED	02000
#endif

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

#define SHM_SCENARIO(name_, ...) SCENARIO(name_, .dead = purge, __VA_ARGS__)

static int segment(key_t key, size_t len, int flags)
{
	int id = shmget(key, len, IPC_CREAT | IPC_EXCL | flags);

	NEED(id >= 0);
	return id;
}

static char *attached(int id, int flags)
{
	char *p = shmat(id, NULL, flags);

	NEED(p != (void *)-1);
	return p;
}

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds = { 0 };

	NEED(!shmctl(id, IPC_STAT, &ds));
	return ds;
}

/* All that shmctl(2) says. */
static void check_same(int id, const struct shmid_ds *was)
{
	struct shmid_ds is = stat_of(id);

	CHECK_EQ(is.shm_perm.__key, was->shm_perm.__key);
	CHECK_EQ(is.shm_perm.uid, was->shm_perm.uid);
	CHECK_EQ(is.shm_perm.gid, was->shm_perm.gid);
	CHECK_EQ(is.shm_perm.cuid, was->shm_perm.cuid);
	CHECK_EQ(is.shm_perm.cgid, was->shm_perm.cgid);
	CHECK_EQ(is.shm_perm.mode, was->shm_perm.mode);
	CHECK_EQ(is.shm_perm.__seq, was->shm_perm.__seq);
	CHECK_EQ(is.shm_segsz, was->shm_segsz);
	CHECK_EQ(is.shm_atime, was->shm_atime);
	CHECK_EQ(is.shm_dtime, was->shm_dtime);
	CHECK_EQ(is.shm_ctime, was->shm_ctime);
	CHECK_EQ(is.shm_cpid, was->shm_cpid);
	CHECK_EQ(is.shm_lpid, was->shm_lpid);
	CHECK_EQ(is.shm_nattch, was->shm_nattch);
}

SHM_SCENARIO(content)
{
	int id = segment(KEY, LEN, 0640);
	char *p = attached(id, 0);
	struct shmid_ds was;

	fill(p, LEN, 1);
	was = stat_of(id);
	/* That times are those of then, not of the restart, takes a second to see. */
	sleep_ms(1100);
	job_hold();
	check_same(id, &was);
	CHECK(filled(p, LEN, 1));
	CHECK_EQ(shmget(KEY, LEN, 0), id);
	p[0]++;
	CHECK_EQ(*attached(id, SHM_RDONLY), p[0]);
	CHECK(!shmdt(p));
	CHECK_EQ(stat_of(id).shm_nattch, 1);
	CHECK(!shmctl(id, IPC_RMID, NULL));
	/* There is room for others. */
	id = segment(KEY, PAGE, 0600);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(not_attached)
{
	int id = segment(KEY, LEN, 0600), empty = segment(IPC_PRIVATE, PAGE, 0600);
	char *p = attached(id, 0);
	struct shmid_ds was, was_empty = stat_of(empty);

	fill(p, LEN, 2);
	NEED(!shmdt(p));
	was = stat_of(id);
	job_hold();
	check_same(id, &was);
	check_same(empty, &was_empty);
	CHECK(filled(attached(id, 0), LEN, 2));
	CHECK_EQ(*attached(empty, 0), 0);
	CHECK(!shmctl(id, IPC_RMID, NULL));
	CHECK(!shmctl(empty, IPC_RMID, NULL));
}

/* Numbers that are far apart, with others removed between them. */
SHM_SCENARIO(numbers)
{
	int ids[10], i;

	for (i = 0; i < 10; i++)
		ids[i] = segment(IPC_PRIVATE, (i + 1) * PAGE, 0600);
	for (i = 0; i < 9; i += 2) {
		NEED(!shmctl(ids[i], IPC_RMID, NULL));
		ids[i] = segment(IPC_PRIVATE, (i + 1) * PAGE, 0600);
	}
	NEED(!shmctl(ids[0], IPC_RMID, NULL));
	for (i = 1; i < 10; i++)
		*attached(ids[i], 0) = i;
	job_hold();
	for (i = 1; i < 10; i++) {
		CHECK_EQ(stat_of(ids[i]).shm_segsz, (i + 1) * PAGE);
		CHECK_EQ(*attached(ids[i], 0), i);
		CHECK(!shmctl(ids[i], IPC_RMID, NULL));
	}
}

/* It lives as long as it is attached; its key is free for another one. */
SHM_SCENARIO(removed)
{
	int id = segment(KEY, LEN, 0600), next;
	char *p = attached(id, 0), *q;
	struct shmid_ds was, was_next;

	fill(p, LEN, 3);
	NEED(!shmctl(id, IPC_RMID, NULL));
	next = segment(KEY, PAGE, 0600);
	q = attached(next, 0);
	*q = 9;
	was = stat_of(id);
	was_next = stat_of(next);
	NEED(was.shm_perm.mode & SHM_DEST);
	job_hold();
	check_same(id, &was);
	check_same(next, &was_next);
	CHECK(filled(p, LEN, 3));
	CHECK_EQ(*q, 9);
	CHECK_EQ(shmget(KEY, PAGE, 0), next);
	CHECK(!shmdt(p));
	CHECK(shmctl(id, IPC_STAT, &was) && (errno == EINVAL || errno == EIDRM));
	CHECK(!shmctl(next, IPC_RMID, NULL));
}

SHM_SCENARIO(common, .tasks = 2)
{
	int id = segment(IPC_PRIVATE, LEN, 0600), status = -1;
	volatile int *p = (volatile int *)attached(id, 0);
	struct shmid_ds was;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (!pid) {
		/* Twice, the second time at another place. */
		volatile int *q = (volatile int *)attached(id, 0);

		p[0] = 1;
		while (!q[1])
			sleep_ms(1);
		q[2] = p[1] + 1;
		_exit(shmdt((void *)p) || shmdt((void *)q));
	}
	while (!p[0])
		sleep_ms(1);
	was = stat_of(id);
	NEED(was.shm_nattch == 3);
	job_hold();
	check_same(id, &was);
	p[1] = 7;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(p[2], 8);
	CHECK_EQ(stat_of(id).shm_nattch, 1);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(read_only)
{
	int id = segment(IPC_PRIVATE, LEN, 0600);
	char *p = attached(id, 0), *q = attached(id, SHM_RDONLY);

	fill(p, LEN, 4);
	job_hold();
	CHECK(filled(q, LEN, 4));
	CHECK(mprotect(q, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES);
	CHECK(!mprotect(p, PAGE, PROT_READ));
	CHECK(!mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	*p = 5;
	CHECK_EQ(*q, 5);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

/* One attach in pieces is one still: shmdt(2) takes away all of it. */
SHM_SCENARIO(in_pieces)
{
	int id = segment(IPC_PRIVATE, LEN, 0600);
	char *p = attached(id, 0);
	struct shmid_ds was;

	fill(p, LEN, 5);
	NEED(!mprotect(p + 4 * PAGE, PAGE, PROT_READ));
	NEED(!munmap(p + 8 * PAGE, PAGE));
	was = stat_of(id);
	NEED(was.shm_nattch == 4);
	job_hold();
	check_same(id, &was);
	CHECK(filled(p, 8 * PAGE, 5));
	CHECK(!shmdt(p));
	CHECK_EQ(stat_of(id).shm_nattch, 0);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(moved)
{
	int id = segment(IPC_PRIVATE, LEN, 0600);
	char *p = attached(id, 0), *q;
	struct shmid_ds was;

	fill(p, LEN, 6);
	q = mremap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + LEN + 64 * PAGE);
	NEED(q != MAP_FAILED);
	was = stat_of(id);
	job_hold();
	check_same(id, &was);
	q[0] = 3;
	CHECK_EQ(attached(id, 0)[PAGE], 3);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(odd_length)
{
	int id = segment(IPC_PRIVATE, 5000, 0600);
	char *p = attached(id, 0);

	fill(p, 5000, 7);
	job_hold();
	CHECK(filled(p, 5000, 7));
	CHECK_EQ(stat_of(id).shm_segsz, 5000);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(owners)
{
	int id = segment(IPC_PRIVATE, PAGE, 0600);
	struct shmid_ds was = stat_of(id);

	was.shm_perm.uid = 1234;
	was.shm_perm.gid = 5678;
	was.shm_perm.mode = 0124;
	NEED(!shmctl(id, IPC_SET, &was));
	was = stat_of(id);
	NEED(was.shm_perm.uid == 1234 && was.shm_perm.mode == 0124);
	job_hold();
	check_same(id, &was);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(locked)
{
	int id = segment(IPC_PRIVATE, LEN, 0600);
	char *p = attached(id, 0);
	struct shmid_ds was;

	fill(p, LEN, 8);
	NEED(!shmctl(id, SHM_LOCK, NULL));
	was = stat_of(id);
	NEED(was.shm_perm.mode & SHM_LOCKED);
	job_hold();
	check_same(id, &was);
	CHECK(filled(p, LEN, 8));
	CHECK(!shmctl(id, SHM_UNLOCK, NULL));
	CHECK(!(stat_of(id).shm_perm.mode & SHM_LOCKED));
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SHM_SCENARIO(no_reserve)
{
	int id = segment(IPC_PRIVATE, 1UL << 30, SHM_NORESERVE | 0600);
	char *p = attached(id, 0);

	p[1UL << 29] = 4;
	job_hold();
	CHECK_EQ(p[1UL << 29], 4);
	CHECK_EQ(p[0], 0);
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

/* What nobody has attached goes with who has made it, if the system says so. */
static void force(struct run *run)
{
	int fd = open("/proc/sys/kernel/shm_rmid_forced", O_WRONLY | O_CLOEXEC);
	uint64_t yes = 1;

	WANT(fd >= 0 && write(fd, "1", 1) == 1);
	close(fd);
	WANT(job_write(run, &job.word[0], &yes, sizeof(yes)));
}

SHM_SCENARIO(creator, .tasks = 2, .after = force)
{
	volatile int *ids = common_memory(2 * sizeof(*ids));
	int status = -1;
	pid_t pid = fork();
	struct shmid_ds ds;

	NEED(pid >= 0);
	if (!pid) {
		ids[1] = shmget(IPC_PRIVATE, PAGE, 0600) + 1;
		while (!ids[0])
			sleep_ms(1);
		_exit(0);
	}
	while (!ids[1])
		sleep_ms(1);
	job_hold();
	/* With its creator it is there ... */
	CHECK(!shmctl(ids[1] - 1, IPC_STAT, &ds));
	ids[0] = 1;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	/* ... and without it is not, where that was asked for. */
	if (job.word[0])
		CHECK(shmctl(ids[1] - 1, IPC_STAT, &ds) && (errno == EINVAL || errno == EIDRM));
	else
		CHECK(!shmctl(ids[1] - 1, IPC_RMID, NULL));
}

/* What is refused. */

static void attach_all(struct run *run)
{
	WANT(shmat(shmget(KEY, 0, 0), NULL, 0) != (void *)-1);
}

SCENARIO(attached_by_init, .before = attach_all, .refused = "init, or a process outside",
	 .any_pid = true, .no_plain = true)
{
	attached(segment(KEY, PAGE, 0600), 0);
	job_hold();
}

SCENARIO(common_namespace, .common_ipc = true, .refused = "are in its IPC namespace",
	 .any_pid = true)
{
	int id = segment(IPC_PRIVATE, PAGE, 0600);
	char *p = attached(id, 0);

	NEED(!shmctl(id, IPC_RMID, NULL));
	job_hold();
	CHECK(!shmdt(p));
}

/* Whose maker is gone, and that nobody has attached. */
SCENARIO(common_namespace_not_attached, .common_ipc = true, .refused = "are in its IPC namespace",
	 .any_pid = true)
{
	volatile int *id = common_memory(sizeof(*id));
	int status;
	pid_t pid = fork();

	if (!pid) {
		*id = shmget(IPC_PRIVATE, PAGE, 0600);
		_exit(0);
	}
	NEED(waitpid(pid, &status, 0) == pid && *id >= 0);
	job_hold();
	CHECK(!shmctl(*id, IPC_RMID, NULL));
}

/* What nobody has attached has the policy still. */
SCENARIO(numa_policy, .refused = "NUMA policy", .any_pid = true)
{
	int id = segment(IPC_PRIVATE, PAGE, 0600);
	unsigned long nodes = 1;
	char *p = attached(id, 0);

	NEED(!syscall(SYS_mbind, p, PAGE, 2 /* MPOL_BIND */, &nodes, 8 * sizeof(nodes), 0));
	NEED(!shmdt(p));
	job_hold();
	CHECK(!shmctl(id, IPC_RMID, NULL));
}

SCENARIO(number_taken, .restart_errno = EEXIST, .restart_refused = "System V shared memory",
	 .any_pid = true)
{
	attached(segment(KEY, PAGE, 0600), 0);
	job_hold();
}

TEST_HARNESS_MAIN
