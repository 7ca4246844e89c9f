// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can't be saved: refused by checkpoint(2) and its dry run, with a record
 * that names it, and the job goes on unharmed.
 */
#include "ckpt_harness.h"

#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup	425
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open		434
#endif
#ifndef __NR_memfd_secret
#define __NR_memfd_secret	447
#endif

static int file(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0 && write(fd, "0123456789", 10) == 10);
	return fd;
}

/* Tasks. */

/* A child of init that has init's memory. */
static pid_t sharing_pid;

static int just_pause(void *arg)
{
	while (!arg)
		syscall(SYS_pause);
	return 0;
}

static void share_memory(struct run *run)
{
	static char stack[65536] __attribute__((aligned(16)));

	sharing_pid = clone(just_pause, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (sharing_pid < 0)
		run_fail(run, "clone: %s\n", strerror(errno));
}

static void end_sharing(struct run *run)
{
	if (kill(sharing_pid, SIGKILL) || waitpid(sharing_pid, NULL, 0) != sharing_pid)
		run_fail(run, "no end: %s\n", strerror(errno));
}

SCENARIO(memory_of_init, .before = share_memory, .release = end_sharing,
	 .refused = "\"kind\":\"shared\"", .any_pid = true, .no_plain = true, .moving = true)
{
	job_hold();
}

static void trace(struct run *run)
{
	if (ptrace(PTRACE_SEIZE, run->pid, 0, 0))
		run_fail(run, "PTRACE_SEIZE: %s\n", strerror(errno));
}

SCENARIO(traced, .before = trace, .refused = "\"kind\":\"traced\"", .no_plain = true)
{
	job_hold();
	CHECK_EQ(getppid(), 1);
}

/* Held by its tracer: it can't come to where it would be saved. */
static void trace_stop(struct run *run)
{
	int status;

	if (ptrace(PTRACE_ATTACH, run->pid, 0, 0) ||
	    waitpid(run->pid, &status, __WALL) != run->pid)
		run_fail(run, "PTRACE_ATTACH: %s\n", strerror(errno));
}

static void detach(struct run *run)
{
	if (ptrace(PTRACE_DETACH, run->pid, 0, 0))
		run_fail(run, "PTRACE_DETACH: %s\n", strerror(errno));
}

SCENARIO(traced_and_stopped, .before = trace_stop, .release = detach, .refused = "traced",
	 .no_plain = true)
{
	job_hold();
}

/* Memory that init has, too. */
SCENARIO(shared_with_init, .no_exec = true, .refused = "\"object\":\"vma\"")
{
	job_hold();
}

/* Namespaces of its own. */

static void own_namespace(int flag)
{
	if (unshare(flag))
		JOB_SKIP("no such namespace");
	job_hold();
}

SCENARIO(user_namespace, .refused = "\"kind\":\"user-ns\"")
{
	own_namespace(CLONE_NEWUSER);
}

SCENARIO(mount_namespace, .refused = "\"kind\":\"mnt-ns\"")
{
	own_namespace(CLONE_NEWNS);
}

SCENARIO(net_namespace, .refused = "\"kind\":\"net-ns\"")
{
	own_namespace(CLONE_NEWNET);
}

SCENARIO(ipc_namespace, .refused = "\"kind\":\"ipc-ns\"")
{
	own_namespace(CLONE_NEWIPC);
}

SCENARIO(uts_namespace, .refused = "\"kind\":\"uts-ns\"")
{
	own_namespace(CLONE_NEWUTS);
}

/* No child can be made in it any more. */
SCENARIO(pid_namespace_without_init, .refused = "\"kind\":\"pid-ns\"")
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		JOB_SKIP("no such namespace");
	pid = fork();
	if (!pid)
		_exit(0);
	NEED(waitpid(pid, NULL, 0) == pid);
	job_hold();
}

/* One in which fewer numbers are to be had. */
SCENARIO(pid_namespace_with_settings, .tasks = 2, .any_pid = true, .refused = "(pid_max,")
{
	int p[2], told[2], status, fd;
	pid_t pid;
	char c;

	NEED(!pipe(p) && !pipe(told));
	pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid) {
		close(p[1]);
		fd = open("/proc/sys/kernel/pid_max", O_WRONLY);
		if (fd < 0 || write(fd, "4000", 4) != 4)
			_exit(1);
		close(fd);
		_exit(write(told[1], "x", 1) != 1 || read(p[0], &c, 1) ? 2 : 3);
	}
	NEED(pid > 0);
	close(p[0]);
	close(told[1]);
	if (read(told[0], &c, 1) != 1)
		JOB_SKIP("no such setting");
	job_hold();
	close(p[1]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 3 << 8);
}

SCENARIO(cgroup_namespace, .refused = "\"kind\":\"cgroup-ns\"")
{
	own_namespace(CLONE_NEWCGROUP);
}

SCENARIO(time_namespace_for_children, .refused = "\"kind\":\"time-ns\"")
{
	own_namespace(0x80);
}

/* What a task can have that is not saved. */

SCENARIO(aio_context, .refused = "aio")
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, 8, &ctx))
		JOB_SKIP("no AIO");
	job_hold();
	CHECK(!syscall(SYS_io_destroy, ctx));
}

/* Files that have no name any more, or never had one. */

/* The name it was opened by is gone, another one is not. */
SCENARIO(unlinked_with_a_link, .refused = "\"kind\":\"deleted file\"")
{
	int fd = file();

	NEED(!link("f", "g") && !unlink("f"));
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 9) == 1);
}

SCENARIO(unlinked_with_directory, .refused = "\"kind\":\"deleted file\"")
{
	int fd;

	NEED(!mkdir("d", 0700) && !chdir("d"));
	fd = file();
	NEED(!unlink("f") && !chdir("..") && !rmdir("d"));
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 9) == 1);
}

SCENARIO(unlinked_with_attribute, .refused = "\"kind\":\"deleted file\"")
{
	int fd = file();

	if (fsetxattr(fd, "user.name", "value", 5, 0))
		JOB_SKIP("no extended attributes");
	NEED(!unlink("f"));
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 9) == 1);
}

SCENARIO(unlinked_directory, .refused = "\"object\":\"fd\"")
{
	int fd;

	NEED(!mkdir("d", 0700));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	NEED(fd >= 0 && !rmdir("d"));
	job_hold();
	CHECK(fcntl(fd, F_GETFD) == 0);
}

SCENARIO(unlinked_working_directory, .refused = "\"object\":\"path\"")
{
	NEED(!mkdir("d", 0700) && !chdir("d") && !rmdir("../d"));
	job_hold();
	CHECK(open("x", O_CREAT | O_RDWR, 0600) < 0 && errno == ENOENT);
}

/* Mounted over, or mounted no more: the path leads elsewhere. */
SCENARIO(covered_by_mount, .refused = "\"object\":\"fd\"")
{
	int fd;

	NEED(!mkdir("m", 0700) && !chdir("m"));
	fd = file();
	NEED(!chdir("..") && !mount("tmpfs", "m", "tmpfs", 0, NULL));
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 9) == 1);
}

SCENARIO(lazily_unmounted, .refused = "\"object\":\"fd\"")
{
	int fd;

	NEED(!mkdir("m", 0700) && !mount("tmpfs", "m", "tmpfs", 0, NULL) && !chdir("m"));
	fd = file();
	NEED(!chdir("..") && !umount2("m", MNT_DETACH));
	job_hold();
	CHECK(pread(fd, &(char){ 0 }, 1, 9) == 1);
}

SCENARIO(secret_memory, .refused = "\"object\":\"")
{
	int fd = syscall(__NR_memfd_secret, 0);
	char *p;

	if (fd < 0)
		JOB_SKIP("no memfd_secret");
	NEED(!ftruncate(fd, 4096));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	p[0] = 'k';
	close(fd);
	job_hold();
	CHECK_EQ(p[0], 'k');
}

/* Locks, leases and owners. */

SCENARIO(flock_lock, .refused = "lock")
{
	int fd = file();

	NEED(!flock(fd, LOCK_EX));
	job_hold();
	CHECK(flock(open("f", O_RDONLY), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK);
}

SCENARIO(posix_lock, .refused = "lock")
{
	struct flock l = { .l_type = F_WRLCK, .l_len = 5 };
	int fd = file();

	NEED(!fcntl(fd, F_SETLK, &l));
	job_hold();
	CHECK(!fcntl(fd, F_SETLK, &l));
}

SCENARIO(ofd_lock, .refused = "lock")
{
	struct flock l = { .l_type = F_WRLCK, .l_len = 5 };
	int fd = file();

	NEED(!fcntl(fd, F_OFD_SETLK, &l));
	job_hold();
	l.l_pid = 0;
	CHECK(fcntl(open("f", O_RDWR), F_OFD_SETLK, &l) && errno == EAGAIN);
}

SCENARIO(lease, .refused = "lease")
{
	int fd = file();

	close(fd);
	fd = open("f", O_RDONLY);
	if (fcntl(fd, F_SETLEASE, F_RDLCK))
		JOB_SKIP("no leases");
	job_hold();
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
}

SCENARIO(owner_for_signals, .refused = "own")
{
	int fd = file();

	NEED(!fcntl(fd, F_SETOWN, getpid()));
	job_hold();
	CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
}

SCENARIO(directory_notification, .refused = "\"object\":\"fd\"")
{
	int fd = open(".", O_RDONLY | O_DIRECTORY);

	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT))
		JOB_SKIP("no dnotify");
	job_hold();
}

/* Standard input is that of whoever started the test, and of init no more. */
static void close_stdin(struct run *run)
{
	if (close(0))
		run_fail(run, "init has no standard input\n");
}

SCENARIO(shared_with_outside, .before = close_stdin, .refused = "shared file", .no_plain = true)
{
	NEED(fcntl(0, F_GETFD) == 0);
	job_hold();
}

/* Descriptors of all the other kinds. */

/* Init has the other end. */
static int to_init = -1;

static void take_end(struct run *run)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/20", run->pid);
	to_init = open(path, O_RDONLY);
	if (to_init < 0)
		run_fail(run, "%s: %s\n", path, strerror(errno));
}

SCENARIO(pipe_to_init, .before = take_end, .refused = "\"kind\":\"pipe\"", .no_plain = true)
{
	char c = 0;
	int p[2];

	NEED(!pipe(p) && dup2(p[0], 20) == 20 && write(p[1], "x", 1) == 1);
	job_hold();
	CHECK(read(p[0], &c, 1) == 1 && c == 'x');
}

SCENARIO(notification_pipe, .refused = "\"kind\":\"pipe\"")
{
	int p[2];

	if (pipe2(p, O_EXCL /* O_NOTIFICATION_PIPE */))
		JOB_SKIP("no pipes for notifications");
	job_hold();
	CHECK(fcntl(p[0], F_GETFL) >= 0);
}

SCENARIO(deleted_fifo, .refused = "\"kind\":\"fifo\"")
{
	char c = 0;
	int fd;

	NEED(!mkfifo("fifo", 0600));
	fd = open("fifo", O_RDWR);
	NEED(fd >= 0 && write(fd, "x", 1) == 1 && !unlink("fifo"));
	job_hold();
	CHECK(read(fd, &c, 1) == 1 && c == 'x');
}

SCENARIO(tcp_socket, .refused = "socket")
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		JOB_SKIP("no internet");
	NEED(!listen(s, 5));
	job_hold();
	CHECK(!listen(s, 6));
}

SCENARIO(netlink_socket, .refused = "socket")
{
	int s = socket(AF_NETLINK, SOCK_RAW, 0);

	if (s < 0)
		JOB_SKIP("no netlink");
	job_hold();
	CHECK(fcntl(s, F_GETFD) == 0);
}

static void with_fd(int fd)
{
	if (fd < 0)
		JOB_SKIP("not in this kernel");
	job_hold();
	CHECK(fcntl(fd, F_GETFD) >= 0);
}

SCENARIO(epoll, .refused = "eventpoll")
{
	with_fd(epoll_create1(0));
}

SCENARIO(signalfd, .refused = "signalfd")
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	with_fd(signalfd(-1, &set, 0));
}

SCENARIO(timerfd, .refused = "timerfd")
{
	with_fd(timerfd_create(CLOCK_MONOTONIC, 0));
}

SCENARIO(inotify, .refused = "inotify")
{
	with_fd(inotify_init1(0));
}

SCENARIO(fanotify, .refused = "fanotify")
{
	with_fd(syscall(SYS_fanotify_init, 0, O_RDONLY));
}

SCENARIO(pidfd, .refused = "pidfd")
{
	with_fd(syscall(__NR_pidfd_open, getpid(), 0));
}

SCENARIO(io_uring, .refused = "io_uring")
{
	struct io_uring_params p = { 0 };

	with_fd(syscall(__NR_io_uring_setup, 4, &p));
}

/* The ring is mapped, and the descriptor is gone: the mapping tells. */
SCENARIO(io_uring_mapping, .refused = "io_uring")
{
	struct io_uring_params p = { 0 };
	int fd = syscall(__NR_io_uring_setup, 4, &p);
	void *ring;

	if (fd < 0)
		JOB_SKIP("no io_uring");
	ring = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, IORING_OFF_SQ_RING);
	NEED(ring != MAP_FAILED && !close(fd));
	job_hold();
}

SCENARIO(userfaultfd, .refused = "userfaultfd")
{
	with_fd(syscall(SYS_userfaultfd, O_CLOEXEC));
}

/* Registered memory: what fork drops has to be seen before. */
SCENARIO(userfaultfd_range, .refused = "userfaultfd")
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		JOB_SKIP("no userfaultfd");
	reg.range.start = (unsigned long)p;
	reg.range.len = 8192;
	NEED(!ioctl(fd, UFFDIO_REGISTER, &reg));
	job_hold();
	CHECK(!ioctl(fd, UFFDIO_UNREGISTER, &reg.range));
}

SCENARIO(perf_event, .refused = "perf")
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_CONTEXT_SWITCHES,
	};

	with_fd(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

SCENARIO(terminal, .refused = "\"kind\":\"device\"")
{
	with_fd(open("/dev/ptmx", O_RDWR | O_NOCTTY));
}

SCENARIO(message_queue, .refused = "\"object\":\"fd\"")
{
	with_fd(syscall(SYS_mq_open, "q", O_RDWR | O_CREAT, 0600, NULL));
}

SCENARIO(kernel_log, .refused = "\"kind\":\"device\"")
{
	with_fd(open("/dev/kmsg", O_RDONLY));
}

SCENARIO(physical_memory, .refused = "\"kind\":\"device\"")
{
	with_fd(open("/dev/mem", O_RDONLY));
}

SCENARIO(namespace_file, .refused = "\"object\":\"fd\"")
{
	with_fd(open("/proc/self/ns/net", O_RDONLY));
}

SCENARIO(detached_tree, .refused = "\"object\":\"fd\"")
{
	with_fd(syscall(428 /* open_tree */, AT_FDCWD, ".", 1 /* OPEN_TREE_CLONE */));
}

/* All that is in the way, in one pass. */
static void all_named(struct run *run)
{
	if (!log_names(run, "fifo") || !log_names(run, "socket") || !log_names(run, "device") ||
	    !log_names(run, "eventpoll") || !log_names(run, "lock") || run->args.refusals < 5)
		run_fail(run, "not everything is named, of %llu:\n%s",
			 (unsigned long long)run->args.refusals, proc_read(LOG_PATH, NULL) ?: "");
}

SCENARIO(everything_at_once, .refused = "socket", .release = all_named, .no_plain = true)
{
	NEED(!mkfifo("fifo", 0600) && open("fifo", O_RDWR) >= 0 && !unlink("fifo"));
	NEED(socket(AF_NETLINK, SOCK_RAW, 0) >= 0 && open("/dev/kmsg", O_RDONLY) >= 0 &&
	     epoll_create1(0) >= 0 && !flock(file(), LOCK_EX));
	job_hold();
}

/* The records stay one line each, and valid, whatever an object is called. */
SCENARIO(hostile_names, .refused = "\\\"quoted\\\"\\nsecond line\\\\")
{
	int fd = open("\"quoted\"\nsecond line\\\t\001\377", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0);
	prctl(PR_SET_NAME, "\"}\n{\"");
	NEED(!flock(fd, LOCK_EX));
	job_hold();
}

TEST_HARNESS_MAIN
