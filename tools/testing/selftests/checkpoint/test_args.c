// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls themselves: who may make them, with what, where an image may go and
 * come from, and what is left when one fails or its caller dies.
 */
#include "ckpt_harness.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

/* What most of these save: a job that knows whether it is still itself. */
JOB(plain)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	fill(p, 1 << 20, 1);
	job_hold();
	CHECK(filled(p, 1 << 20, 1));
}

/* Much to write. */
JOB(large)
{
	size_t len = 32 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	for (size_t i = 0; i < len; i += 4096)
		*(uint64_t *)(p + i) = i + 1;
	job_hold();
	for (size_t i = 0; i < len; i += 4096)
		if (!CHECK(*(uint64_t *)(p + i) == i + 1))
			break;
}

static int raw_checkpoint(int fd, unsigned int flags, void *args, size_t size)
{
	return syscall(__NR_checkpoint, fd, flags, args, size) < 0 ? errno : 0;
}

static int raw_restart(int fd, unsigned int flags, void *args, size_t size)
{
	return syscall(__NR_restart, fd, flags, args, size) < 0 ? errno : 0;
}

static int target(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

INIT_TEST(flags, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	for (int bit = 3; bit < 32; bit++)
		WANT_ERR(raw_checkpoint(fd, 1U << bit, NULL, 0), EINVAL);
	for (int bit = 1; bit < 32; bit++)
		WANT_ERR(raw_restart(fd, 1U << bit, NULL, 0), EINVAL);
	WANT_EQ(lseek(fd, 0, SEEK_END), 0);
	job_finish(run);
}

/* The two-argument call: what is in the other registers does not matter. */
INIT_TEST(two_arguments, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT_ERR(raw_checkpoint(fd, 0, (void *)0xdeadbeefUL, 12345), 0);
	WANT(lseek(fd, 0, SEEK_CUR) > 1 << 20);
	kill_all(run);
	WANT(!lseek(fd, 0, SEEK_SET));
	WANT_ERR(raw_restart(fd, 0, (void *)1UL, ~0UL), 0);
	job_finish(run);
}

INIT_TEST(descriptors, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT_ERR(raw_checkpoint(-1, 0, NULL, 0), EBADF);
	WANT_ERR(raw_checkpoint(999, 0, NULL, 0), EBADF);
	WANT_ERR(raw_checkpoint(open(IMAGE_PATH, O_RDONLY), 0, NULL, 0), EBADF);
	WANT_ERR(raw_checkpoint(open(IMAGE_PATH, O_PATH), 0, NULL, 0), EBADF);
	WANT_ERR(raw_checkpoint(open("/mnt", O_RDONLY | O_DIRECTORY), 0, NULL, 0), EBADF);
	WANT_ERR(save(run), 0);
	kill_all(run);
	WANT_ERR(raw_restart(-1, 0, NULL, 0), EBADF);
	WANT_ERR(raw_restart(999, 0, NULL, 0), EBADF);
	WANT_ERR(raw_restart(open(IMAGE_PATH, O_WRONLY), 0, NULL, 0), EBADF);
	WANT_ERR(raw_restart(open(IMAGE_PATH, O_PATH), 0, NULL, 0), EBADF);
	WANT(alone());
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
	close(fd);
}

INIT_TEST(argument_structure, plain)
{
	struct {
		struct checkpoint_args a;
		char more[5000];
	} big;
	struct checkpoint_args *args = &big.a;
	int fd = target(IMAGE_PATH);

	_Static_assert(sizeof(*args) >= CHECKPOINT_ARGS_SIZE_VER0, "");
	WANT(job_start(run));
#define FRESH() (memset(&big, 0, sizeof(big)), args->log_fd = -1, lseek(fd, 0, SEEK_SET))
	FRESH();
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, NULL, sizeof(*args)), EFAULT);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, (void *)-4096L, sizeof(*args)), EFAULT);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, 0), EINVAL);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, CHECKPOINT_ARGS_SIZE_VER0 - 1),
		 EINVAL);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, 4097), E2BIG);
	big.more[100] = 1;
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, 4096), E2BIG);
	WANT_EQ(args->tasks, 0);
	FRESH();
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, 4096), 0);
	WANT_EQ(args->tasks, 1);
	WANT_EQ(args->root_pid, run->pid);
	FRESH();
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, CHECKPOINT_ARGS_SIZE_VER0), 0);
	WANT_EQ(args->tasks, 1);
	FRESH();
	args->log_fd = 999;
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, sizeof(*args)), EBADF);
	args->log_fd = open("/dev/null", O_RDONLY);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, sizeof(*args)), EBADF);
	/* Nothing is reported here, so nobody cares that it can't be written. */
	FRESH();
	args->log_fd = open("/dev/full", O_WRONLY);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, args, sizeof(*args)), 0);
	kill_all(run);
	FRESH();
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, NULL, sizeof(*args)), EFAULT);
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, args, 8), EINVAL);
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, args, 1 << 20), E2BIG);
	args->log_fd = 999;
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, args, sizeof(*args)), EBADF);
	WANT(alone());
	FRESH();
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, args, sizeof(big) > 4096 ? 4096 : 72), 0);
	WANT_EQ(args->tasks, 1);
	job_finish(run);
}

/* What is only handed out does not depend on what was there before. */
static void dirty(struct checkpoint_args *args)
{
	memset(args, 0xaa, sizeof(*args));
	args->log_fd = -1;
	args->timeout_ns = 0;
	memset(args->parent, 0, sizeof(args->parent));
}

INIT_TEST(results, plain)
{
	struct checkpoint_args args;
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	dirty(&args);
	WANT_ERR(raw_checkpoint(-1, CHECKPOINT_F_ARGS | CHECKPOINT_F_DRY_RUN, &args, sizeof(args)),
		 0);
	WANT_EQ(args.root_pid, run->pid);
	WANT_EQ(args.tasks, 1);
	WANT(!args.image_bytes && !args.pages_data && !args.pages_zero && !args.refusals);
	dirty(&args);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, &args, sizeof(args)), 0);
	WANT(args.image_bytes == (uint64_t)lseek(fd, 0, SEEK_CUR));
	WANT(args.pages_data && args.freeze_ns && args.total_ns >= args.freeze_ns);
	WANT(!lseek(fd, 0, SEEK_SET));
	dirty(&args);
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, &args, sizeof(args)), EEXIST);
	WANT(!args.root_pid && !args.tasks && !args.image_bytes && !args.pages_data &&
	     !args.freeze_ns);
	kill_all(run);
	WANT(!lseek(fd, 0, SEEK_SET));
	dirty(&args);
	WANT_ERR(raw_restart(fd, RESTART_F_ARGS, &args, sizeof(args)), 0);
	WANT_EQ(args.root_pid, run->pid);
	WANT_EQ(args.tasks, 1);
	WANT(args.image_bytes && args.pages_data && !args.pages_zero && !args.freeze_ns);
	job_finish(run);
}

/* A dry run writes nothing and needs no descriptor. */
INIT_TEST(dry_run, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT_ERR(call_checkpoint(run, -1, CHECKPOINT_F_DRY_RUN), 0);
	WANT_EQ(run->args.refusals, 0);
	WANT_EQ(run->args.tasks, 1);
	WANT_ERR(call_checkpoint(run, fd, CHECKPOINT_F_DRY_RUN), 0);
	WANT_EQ(lseek(fd, 0, SEEK_END), 0);
	job_finish(run);
}

/* Somebody else than PID 1: the job itself could call, or any other task. */
INIT_TEST(not_init, plain)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int fd = target(IMAGE_PATH);

		_exit(raw_checkpoint(fd, 0, NULL, 0) != EPERM ? 1 :
		      raw_checkpoint(fd, CHECKPOINT_F_DRY_RUN, NULL, 0) != EPERM ? 2 :
		      raw_restart(fd, 0, NULL, 0) != EPERM ? 3 : 0);
	}
	WANT(waitpid(pid, &status, 0) == pid);
	WANT_EQ(status, 0);
}

static void only_caps(uint64_t keep)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = keep, .permitted = keep, .inheritable = 0 },
		{ .effective = keep >> 32, .permitted = keep >> 32, .inheritable = 0 },
	};

	if (syscall(SYS_capset, &h, d))
		abort();
}

#define BIT_OF(cap) (1ULL << (cap))

INIT_TEST(no_capability, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT_ERR(save(run), 0);
	only_caps(~0ULL & ~BIT_OF(CAP_CHECKPOINT_RESTORE) & ~BIT_OF(CAP_SYS_ADMIN) &
		  ((2ULL << CAP_CHECKPOINT_RESTORE) - 1));
	WANT_ERR(raw_checkpoint(fd, 0, NULL, 0), EPERM);
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_DRY_RUN, NULL, 0), EPERM);
	WANT_ERR(raw_restart(open(IMAGE_PATH, O_RDONLY), 0, NULL, 0), EPERM);
	job_finish(run);
}

/* The one that there is for it is enough, when the job is no more than that. */
JOB(humble)
{
	only_caps(0);
	job_hold();
	CHECK_EQ(getppid(), 1);
}

INIT_TEST(only_that_capability, humble)
{
	WANT(job_start(run));
	only_caps(BIT_OF(CAP_CHECKPOINT_RESTORE) | BIT_OF(CAP_KILL));
	WANT_ERR(save(run), 0);
	kill_all(run);
	WANT_ERR(bring_back(run), 0);
	say_log(run, LOG_PATH);
	job_finish(run);
}

/* Nobody gets more by a restart than the caller could have given. */
JOB(mighty)
{
	job_hold();
	CHECK_EQ(getuid(), 0);
}

INIT_TEST(no_more_than_the_caller, mighty)
{
	WANT(job_start(run));
	WANT_ERR(save(run), 0);
	kill_all(run);
	only_caps(BIT_OF(CAP_CHECKPOINT_RESTORE) | BIT_OF(CAP_KILL));
	WANT_ERR(bring_back(run), EPERM);
	WANT(alone());
}

/* A job that the caller may not look into. */
JOB(private_job)
{
	NEED(!setresgid(1000, 1000, 1000) && !setresuid(1000, 1000, 1000));
	NEED(!prctl(PR_SET_DUMPABLE, 0));
	job_hold();
}

INIT_TEST(not_readable, private_job)
{
	WANT(job_start(run));
	only_caps(((2ULL << CAP_CHECKPOINT_RESTORE) - 1) & ~BIT_OF(CAP_SYS_PTRACE));
	WANT_ERR(save(run), EPERM);
	WANT(log_names(run, "permission"));
	only_caps(0);
	/* Can't be asked, then: alive is all that can be told. */
	WANT(waitpid(run->pid, NULL, WNOHANG) == 0);
	kill(-1, SIGKILL);
}

INIT_TEST(no_tasks, plain)
{
	int fd = target(IMAGE_PATH);

	WANT_ERR(raw_checkpoint(fd, 0, NULL, 0), ESRCH);
	WANT_EQ(lseek(fd, 0, SEEK_END), 0);
}

/* Targets that are full, at once and after a while. */
INIT_TEST(no_space, plain)
{
	int fd;

	WANT(job_start(run));
	WANT(!mkdir("/mnt/full", 0700) && !mount("tmpfs", "/mnt/full", "tmpfs", 0, "size=4k"));
	fd = target("/mnt/full/other");
	WANT(write(fd, "x", 1) == 1);
	fd = target("/mnt/full/image");
	WANT_ERR(call_checkpoint(run, fd, 0), ENOSPC);
	WANT_EQ(lseek(fd, 0, SEEK_END), 0);
	WANT(!mkdir("/mnt/small", 0700) && !mount("tmpfs", "/mnt/small", "tmpfs", 0, "size=512k"));
	fd = target("/mnt/small/image");
	WANT_ERR(call_checkpoint(run, fd, 0), ENOSPC);
	WANT_ERR(save(run), 0);
	WANT_ERR(bring_back(run), EEXIST);	/* there is a job already */
	kill_all(run);
	/* What there is of it is no image. */
	WANT(!lseek(fd, 0, SEEK_SET));
	WANT_ERR(call_restart(run, fd, 0), EINVAL);
	WANT(alone());
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

/* A device that can't be written to from within the kernel. */
INIT_TEST(no_target, plain)
{
	int fd = open("/dev/full", O_WRONLY);

	WANT(job_start(run));
	WANT_ERR(call_checkpoint(run, fd, 0), EINVAL);
	job_finish(run);
}

INIT_TEST(file_size_limit, plain)
{
	struct rlimit l = { 100000, RLIM_INFINITY }, was;
	int fd = target(IMAGE_PATH);

	signal(SIGXFSZ, SIG_IGN);
	WANT(job_start(run));
	WANT(!getrlimit(RLIMIT_FSIZE, &was) && !setrlimit(RLIMIT_FSIZE, &l));
	WANT_ERR(call_checkpoint(run, fd, 0), EFBIG);
	WANT(!setrlimit(RLIMIT_FSIZE, &was));
	job_finish(run);
}

INIT_TEST(broken_pipe, plain)
{
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	WANT(job_start(run));
	WANT(!pipe2(p, O_CLOEXEC));
	close(p[0]);
	WANT_ERR(call_checkpoint(run, p[1], 0), EPIPE);
	WANT_ERR(save(run), 0);
	kill_all(run);
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

/* Through a pipe, to and from a file; the other end is a thread of init. */
struct pump {
	int from, to;
	int delay_ms;
	long long limit, done;
};

static void *pump(void *arg)
{
	static char buf[1 << 16];
	struct pump *p = arg;
	ssize_t n;

	while (p->done < p->limit && (n = read(p->from, buf, sizeof(buf))) > 0) {
		if (p->done + n > p->limit)
			n = p->limit - p->done;
		for (ssize_t o = 0; o < n; ) {
			ssize_t w = write(p->to, buf + o, n - o);

			if (w < 0)
				return NULL;
			o += w;
		}
		p->done += n;
		if (p->delay_ms)
			sleep_ms(p->delay_ms);
	}
	close(p->to);
	close(p->from);
	return NULL;
}

static void through(struct run *run, int (*make)(int p[2]))
{
	struct pump out = { .limit = 1LL << 40 }, in = { .limit = 1LL << 40 };
	pthread_t t;
	int p[2];

	WANT(job_start(run));
	WANT(!make(p));
	out.from = p[0];
	out.to = target(IMAGE_PATH);
	WANT(!pthread_create(&t, NULL, pump, &out));
	WANT_ERR(call_checkpoint(run, p[1], 0), 0);
	close(p[1]);
	WANT(!pthread_join(t, NULL));
	WANT_EQ(out.done, run->args.image_bytes);
	kill_all(run);

	WANT(!make(p));
	in.from = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC);
	in.to = p[1];
	WANT(!pthread_create(&t, NULL, pump, &in));
	WANT_ERR(call_restart(run, p[0], 0), 0);
	say_log(run, LOG_PATH);
	close(p[0]);
	WANT(!pthread_join(t, NULL));
	job_finish(run);
}

static int make_pipe(int p[2])
{
	return pipe2(p, O_CLOEXEC);
}

static int make_socket(int p[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p);
}

INIT_TEST(pipe, plain)
{
	signal(SIGPIPE, SIG_IGN);
	through(run, make_pipe);
}

INIT_TEST(unix_socket, plain)
{
	signal(SIGPIPE, SIG_IGN);
	through(run, make_socket);
}

/* The job runs while a slow reader takes its time. */
INIT_TEST(slow_reader, plain)
{
	struct pump out = { .limit = 1LL << 40, .delay_ms = 40 };
	pthread_t t;
	int p[2];

	WANT(job_start(run));
	WANT(!make_pipe(p));
	out.from = p[0];
	out.to = target(IMAGE_PATH);
	WANT(!pthread_create(&t, NULL, pump, &out));
	WANT_ERR(call_checkpoint(run, p[1], 0), 0);
	close(p[1]);
	WANT(!pthread_join(t, NULL));
	WANT(run->args.total_ns > 400 * 1000000ULL);
	if (!WANT(run->args.freeze_ns < run->args.total_ns / 3))
		run_say(run, "freeze %llu ns of %llu\n", (unsigned long long)run->args.freeze_ns,
			(unsigned long long)run->args.total_ns);
	kill_all(run);
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

/* A pipe that ends before the image does, anywhere: nothing is left behind. */
INIT_TEST(pipe_truncated, plain)
{
	pthread_t t;
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	WANT(job_start(run));
	WANT_ERR(save(run), 0);
	kill_all(run);
	for (long long len = 0; len < (long long)run->args.image_bytes; len += len / 3 + 61) {
		struct pump in = { .limit = len };
		int err;

		WANT(!make_pipe(p));
		in.from = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC);
		in.to = p[1];
		if (!len) {
			close(p[1]);
			close(in.from);
		} else {
			WANT(!pthread_create(&t, NULL, pump, &in));
		}
		err = raw_restart(p[0], 0, NULL, 0);
		close(p[0]);
		if (len)
			pthread_join(t, NULL);
		if (!WANT_ERR(err, EINVAL) || !WANT(alone()))
			run_say(run, "of %lld bytes\n", len);
		if (run->verdict)
			break;
	}
	run->args.image_bytes = 0;
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

/* Where the descriptor stands is where the image starts. */
INIT_TEST(behind_something_else, plain)
{
	char prefix[12345] = "not an image";
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT(write(fd, prefix, sizeof(prefix)) == sizeof(prefix));
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	WANT_EQ(lseek(fd, 0, SEEK_CUR), sizeof(prefix) + run->args.image_bytes);
	kill_all(run);
	WANT(!lseek(fd, 0, SEEK_SET));
	WANT_ERR(call_restart(run, fd, 0), EINVAL);
	WANT(alone());
	WANT(lseek(fd, sizeof(prefix), SEEK_SET) == sizeof(prefix));
	WANT_ERR(call_restart(run, fd, 0), 0);
	job_finish(run);
}

/* Two in one file, one after the other. */
INIT_TEST(two_in_a_row, plain)
{
	int fd = target(IMAGE_PATH);

	WANT(job_start(run));
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	kill_all(run);
	WANT(!lseek(fd, 0, SEEK_SET));
	WANT_ERR(call_restart(run, fd, 0), 0);
	kill_all(run);
	WANT_ERR(call_restart(run, fd, 0), 0);
	job_finish(run);
}

INIT_TEST(append_mode, plain)
{
	int fd;

	WANT(job_start(run));
	fd = open(IMAGE_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	close(fd);
	kill_all(run);
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

INIT_TEST(into_nothing, plain)
{
	WANT(job_start(run));
	WANT_ERR(call_checkpoint(run, open("/dev/null", O_WRONLY), 0), 0);
	WANT(run->args.image_bytes > 1 << 20);
	job_finish(run);
}

/* One test at a time has what there is one of; 64 and 32 bits run side by side. */
static void alone_with_disks(void)
{
	int fd = open("/var/tmp/disks.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX))
		abort();
}

/* A block device, when the guest has one to spare. */
INIT_TEST(block_device, plain)
{
	int fd;

	alone_with_disks();
	fd = open("/dev/vdc", O_RDWR | O_CLOEXEC | O_EXCL);
	if (fd < 0)
		RUN_SKIP(run, "no disk to spare");
	WANT(job_start(run));
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	WANT(!fsync(fd));
	kill_all(run);
	WANT(!lseek(fd, 0, SEEK_SET));
	WANT_ERR(call_restart(run, fd, 0), 0);
	job_finish(run);
}

/* The pid is in use: by the job itself, or by anybody. */
INIT_TEST(pid_taken, plain)
{
	struct snap before, after;
	pid_t pid;
	int fd, status;

	WANT(job_start(run));
	WANT_ERR(save(run), 0);
	snap_take(&before, "/proc");
	WANT_ERR(bring_back(run), EEXIST);
	WANT(log_names(run, "\"kind\":\"pid\""));
	snap_take(&after, "/proc");
	WANT_EQ(snap_diff(&before, &after, stderr), 0);
	kill_all(run);

	fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	WANT(dprintf(fd, "%d", run->pid - 1) > 0);
	close(fd);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	if (pid == run->pid) {
		WANT_ERR(bring_back(run), EEXIST);
		WANT(log_names(run, "\"kind\":\"pid\""));
	}
	WANT(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid && status == SIGKILL);
	WANT_ERR(bring_back(run), 0);
	job_finish(run);
}

/* From one namespace to a fresh one; the image in a file that both can see. */
JOB(traveller)
{
	int fd = open("kept", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 3, SEEK_SET) == 3);
	job_hold();
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK_EQ(getpid(), 2);
	CHECK_EQ(getppid(), 1);
}

static void first_leg(struct run *run)
{
	int fd;

	init_world(run);
	WANT(job_start(run));
	fd = target(run->image);
	WANT_ERR(call_checkpoint(run, fd, 0), 0);
	kill_all(run);
	_exit(0);
}

static void second_leg(struct run *run)
{
	int fd;

	init_world(run);
	fd = open(run->image, O_RDONLY | O_CLOEXEC);
	WANT_ERR(call_restart(run, fd, 0), 0);
	say_log(run, LOG_PATH);
	job_finish(run);
	_exit(0);
}

TEST_TIMEOUT(fresh_namespace, 120)
{
	struct run *run = run_new(&traveller_scenario, RUN_RESTART);
	char path[96];

	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	run->keep_dir = true;
	snprintf(run->image, sizeof(run->image), "/var/tmp/image-%d", getpid());
	run_namespaces(run, first_leg, 60);
	if (!run->verdict)
		run_namespaces(run, second_leg, 60);
	unlink(run->image);
	snprintf(path, sizeof(path), "%s/kept", run->dir);
	unlink(path);
	rmdir(run->dir);
	run_print(run);
	ASSERT_EQ(0, run->verdict);
}

/* Between two that come and go: what a namespace starts with, a child, is no job. */
INIT_TEST(other_children, plain)
{
	int status;
	pid_t pid;

	WANT(job_start(run));
	WANT_ERR(save(run), 0);
	kill_all(run);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	/* It is not said what happens; only that it is one or the other. */
	if (!bring_back(run)) {
		WANT(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
		job_finish(run);
	} else {
		WANT(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
		WANT(alone());
	}
}

/*
 * Init is killed in the middle of a call. With it goes the namespace; nothing
 * may be left of either, and the kernel must not mind.
 */
static void save_for_ever(struct run *run)
{
	init_world(run);
	if (job_start(run)) {
		run->ready = 1;
		for (;;)
			if (WANT_ERR(save(run), 0) == 0)
				break;
	}
	_exit(0);
}

static void restart_for_ever(struct run *run)
{
	init_world(run);
	if (job_start(run) && !save(run)) {
		run->ready = 1;
		for (;;) {
			kill_all(run);
			if (WANT_ERR(bring_back(run), 0) == 0)
				break;
		}
	}
	_exit(0);
}

static void killed(struct run *run, void (*init)(struct run *run))
{
	for (int i = 0; i < 25 && !run->verdict; i++) {
		int status, outer, pid = -1;
		double until;
		char path[64], *text;

		run->ready = 0;
		snprintf(run->dir, sizeof(run->dir), "/tmp");
		fflush(NULL);
		outer = fork();
		if (!outer) {
			if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC))
				_exit(1);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pid = fork();
			if (!pid)
				init(run);
			waitpid(pid, &status, 0);
			_exit(0);
		}
		until = seconds_now() + 20 * time_factor();
		while (!run->ready && !run->verdict && seconds_now() < until)
			sleep_ms(1);
		WANT(run->ready);
		sleep_ms(5 + i * 7 % 60);
		/* Init is the only child of the outer one. */
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", outer, outer);
		text = proc_read(path, NULL);
		if (text)
			pid = atoi(text);
		free(text);
		WANT(pid > 1 && !kill(pid, SIGKILL));
		WANT(waitpid(outer, &status, 0) == outer);
		WANT_EQ(status, 0);
	}
}

TEST_TIMEOUT(init_killed_while_saving, 240)
{
	struct run *run = run_new(&large_scenario, RUN_KEEP);

	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	killed(run, save_for_ever);
	run_print(run);
	ASSERT_EQ(0, run->verdict);
}

TEST_TIMEOUT(init_killed_while_restarting, 240)
{
	struct run *run = run_new(&large_scenario, RUN_KEEP);

	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	killed(run, restart_for_ever);
	run_print(run);
	ASSERT_EQ(0, run->verdict);
}

/* The job is killed while it is being saved, by a thread of init. */
static void *killer(void *arg)
{
	struct run *run = arg;

	usleep(run->word);
	kill(run->pid, SIGKILL);
	return NULL;
}

static void killed_while_saved(struct run *run, bool stopped)
{
	int saved = 0, interrupted = 0, gone = 0;

	for (int i = 0; i < 40 && !run->verdict; i++) {
		pthread_t t;
		int err, fd = target(IMAGE_PATH);

		if (!WANT(job_start(run)))
			break;
		if (stopped)
			WANT(!kill(run->pid, SIGSTOP) &&
			     waitpid(run->pid, NULL, WUNTRACED) == run->pid);
		run->word = i * 500;
		WANT(!pthread_create(&t, NULL, killer, run));
		err = call_checkpoint(run, fd, 0);
		saved += !err;
		interrupted += err == EINTR;
		gone += err == ESRCH || err == EOPNOTSUPP;
		if (err && err != EINTR && err != ESRCH && err != EOPNOTSUPP)
			run_fail(run, "checkpoint: %s\n", strerrorname_np(err));
		WANT(!pthread_join(t, NULL));
		WANT(waitpid(run->pid, NULL, 0) == run->pid);
		if (!err) {
			WANT(!lseek(fd, 0, SEEK_SET));
			WANT_ERR(call_restart(run, fd, 0), 0);
			kill_all(run);
		}
		close(fd);
		WANT(alone());
	}
	run_say(run, "saved %d times, interrupted %d, too late %d\n", saved, interrupted, gone);
}

INIT_TEST(job_killed_while_saved, large)
{
	killed_while_saved(run, false);
}

/* Job control has stopped it: SIGKILL wakes it nevertheless. */
INIT_TEST(stopped_job_killed_while_saved, large)
{
	killed_while_saved(run, true);
}

/* Signals that come to init in the middle stay pending, and change nothing. */
static volatile int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

INIT_TEST(signals_to_init, plain)
{
	struct sigaction sa = { .sa_handler = on_alarm };	/* no SA_RESTART */
	struct itimerval fast = { { 0, 700 }, { 0, 700 } }, off = { 0 };

	sigaction(SIGALRM, &sa, NULL);
	WANT(job_start(run));
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < 5; i++) {
		int err = save(run);

		if (!WANT_ERR(err, 0))
			break;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	kill_all(run);
	setitimer(ITIMER_REAL, &fast, NULL);
	WANT_ERR(bring_back(run), 0);
	setitimer(ITIMER_REAL, &off, NULL);
	WANT(alarms > 0);
	job_finish(run);
}

/* A task that does not come: it writes to a file system that stands still. */
JOB(writer)
{
	int fd = open("/scratch/frozen", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0);
	job_waits();
	while (job.hold)
		sleep_ms(1);
	job.word[1] = 1;
	CHECK(pwrite(fd, "x", 1, 0) == 1);
	job.word[1] = 2;
}

INIT_TEST(timeout, writer)
{
	double start, took;
	int fs = open("/scratch", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = target(IMAGE_PATH);
	uint64_t at = 0;

	if (fs < 0 || access("/scratch/lost+found", F_OK))
		RUN_SKIP(run, "no disk to freeze");
	alone_with_disks();
	WANT(job_start(run));
	WANT(!ioctl(fs, FIFREEZE, 0));
	job_set(run, &job.hold, 0);
	while (at != 1 && job_read(run, &job.word[1], &at, sizeof(at)))
		sleep_ms(1);
	sleep_ms(100);
	memset(&run->args, 0, sizeof(run->args));
	run->args.timeout_ns = 300 * 1000000ULL;
	run->args.log_fd = open(LOG_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	start = seconds_now();
	WANT_ERR(raw_checkpoint(fd, CHECKPOINT_F_ARGS, &run->args, sizeof(run->args)), ETIMEDOUT);
	took = seconds_now() - start;
	WANT(took > 0.29 && took < 5);
	WANT(log_names(run, "\"kind\":\"wchan\""));
	WANT(!ioctl(fs, FITHAW, 0));
	close(run->args.log_fd);
	job_finish(run);
}

TEST_HARNESS_MAIN
