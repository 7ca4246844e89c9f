// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images that can't be written to their end, or read to it: no space, a limit of
 * the file's size, a sector that fails, a reader or a writer that goes away, and a
 * caller that is killed. Each happens at every stage of an image: in and at the
 * edges of its header, metadata, page data, checksums and trailer.
 *
 * The job counts all the while and looks after itself. It runs on; nothing of what
 * was written passes for an image; nothing is left behind. What could be, is
 * counted in a cgroup, and file systems that only the job and its image are on have
 * to let themselves be unmounted.
 */
#define INIT_LIMIT 180
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <arpa/inet.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/socket.h>

#define PAGE	4096UL
#define CHUNK	(1UL << 20)
#define LEN	(CHUNK + 40 * PAGE)

/* The job: who counts does so in two places, and tells when they differ. */

enum { FIRST, THREAD, CHILD, COUNTERS };

struct board {
	volatile uint64_t count[COUNTERS];
	volatile int stop, bad;
};

static struct board *board;
static volatile uint64_t own_count[COUNTERS];

static void step(int me)
{
	struct timespec t = { 0, 1000000 };

	/* Raw: it is to come back with nothing left, whatever happened meanwhile. */
	if (own_count[me] != board->count[me] || syscall(SYS_nanosleep, &t, NULL))
		board->bad = 1 + me;
	own_count[me]++;
	board->count[me]++;
}

static void *thread(void *arg)
{
	while (!board->stop)
		step(THREAD);
	return arg;
}

JOB(busy, .tasks = 3, .any_pid = true)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600), memfd = memfd_create("m", 0), gone, p[2];
	char *own = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *segment = shmat(id, NULL, 0), word[8] = "";
	int status;
	pthread_t t;
	pid_t pid;

	board = common_memory(sizeof(*board));
	gone = open("gone", O_RDWR | O_CREAT, 0600);
	NEED(own != MAP_FAILED && segment != MAP_FAILED && gone >= 0 && !unlink("gone"));
	NEED(write(gone, "0123456789", 10) == 10);
	NEED(memfd >= 0 && write(memfd, "memory", 6) == 6);
	NEED(!pipe(p) && write(p[1], "word", 4) == 4);
	fill(own, LEN, 1);
	fill(segment, 4 * PAGE, 2);
	job.word[0] = (unsigned long)board;
	pid = fork();
	if (!pid) {
		while (!board->stop)
			step(CHILD);
		_exit(filled(own, LEN, 1) ? 7 : 8);
	}
	NEED(pid > 0 && !pthread_create(&t, NULL, thread, NULL));
	while (!board->count[THREAD] || !board->count[CHILD])
		step(FIRST);
	job.stage = JOB_HOLDS;
	while (job.hold)
		step(FIRST);
	board->stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK(waitpid(pid, &status, 0) == pid && status == 7 << 8);
	CHECK_EQ(board->bad, 0);
	CHECK(filled(own, LEN, 1) && filled(segment, 4 * PAGE, 2));
	CHECK(pread(gone, word, 3, 2) == 3 && !strcmp(word, "234"));
	CHECK(pread(memfd, word, 6, 0) == 6 && !strcmp(word, "memory"));
	CHECK(read(p[0], word, sizeof(word)) == 4 && !memcmp(word, "word", 4));
	/* That of a job that was killed stays where it is. */
	CHECK(!shmdt(segment) && !shmctl(id, IPC_RMID, NULL));
}

/* Every one of its tasks gets on, and none has found anything. */
static bool runs_on(struct run *run)
{
	double until = seconds_now() + 10 * time_factor();
	struct board was, now;
	uint64_t at = 0;

	if (!job_read(run, &job.word[0], &at, sizeof(at)) ||
	    !job_read(run, (void *)(unsigned long)at, &was, sizeof(was))) {
		run_fail(run, "the job can't be read: %s\n", strerror(errno));
		return false;
	}
	do {
		bool all = true;

		sleep_ms(1);
		if (!job_read(run, (void *)(unsigned long)at, &now, sizeof(now)))
			break;
		for (int i = 0; i < COUNTERS; i++)
			all = all && now.count[i] > was.count[i];
		if (now.bad) {
			run_fail(run, "counter %d of the job is wrong\n", now.bad - 1);
			return false;
		}
		if (all)
			return true;
	} while (seconds_now() < until);
	run_fail(run, "the job does not run on\n");
	return false;
}

/* The stages of an image. */

#define MAX_POINTS	64

struct stages {
	unsigned char *b;
	size_t meta_end, data, data_end, trailer, len;
	/* After so many bytes something happens; ascending, and less than all. */
	size_t at[MAX_POINTS];
	int n;
};

static void point(struct stages *s, size_t at)
{
	int i = s->n;

	if (at >= s->len || s->n == MAX_POINTS)
		return;
	while (i && s->at[i - 1] > at)
		i--;
	if (i && s->at[i - 1] == at)
		return;
	memmove(&s->at[i + 1], &s->at[i], (s->n - i) * sizeof(s->at[0]));
	s->at[i] = at;
	s->n++;
}

static void edge(struct stages *s, size_t at)
{
	point(s, at - 1);
	point(s, at);
	point(s, at + 1);
}

static bool find_stages(struct stages *s, unsigned char *b, size_t len)
{
	*s = (struct stages) { .b = b, .len = len };
	if (len < HEADER_LEN + TRAILER_LEN || get64(b + H_IMAGE_LEN) != len)
		return false;
	s->meta_end = HEADER_LEN + get64(b + H_META_LEN);
	s->data = get64(b + H_DATA_OFFSET);
	s->data_end = get64(b + H_TRAILER_OFFSET);
	s->trailer = len - TRAILER_LEN;
	point(s, 0);
	point(s, 1);
	point(s, H_META_LEN);
	edge(s, HEADER_LEN);
	for (int i = 1; i < 5; i++)
		point(s, HEADER_LEN + i * (s->meta_end - HEADER_LEN) / 5 + i);
	edge(s, s->meta_end);
	edge(s, s->data);
	for (int i = 1; i < 6; i++)
		point(s, s->data + i * (s->data_end - s->data) / 6 + i);
	point(s, s->data + 3 * PAGE);
	edge(s, s->data + CHUNK);
	edge(s, s->data_end);
	edge(s, s->trailer);
	point(s, len - 1);
	return s->data_end > s->data + CHUNK && s->n > 30;
}

/* What there is of what might be left behind. */

struct usage {
	long memory, slab, tasks;
	int fds, segments;
};

#define CGROUPS	"/sys/fs/cgroup"

static char cgroup[128];

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static long cgroup_number(const char *file, const char *name)
{
	char path[192], *text, *p;
	long n = -1;

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	text = proc_read(path, NULL);
	p = text ? strstr(text, name) : NULL;
	if (p)
		n = strtol(p + strlen(name), NULL, 10);
	free(text);
	return n;
}

/* Makes a group and, with @enter, has the caller and all that comes of it in there. */
static void make_cgroup(struct run *run, bool enter)
{
	char path[192];

	snprintf(cgroup, sizeof(cgroup), CGROUPS "%s", strrchr(run->dir, '/'));
	if (!put(CGROUPS "/cgroup.subtree_control", "+memory +pids") || mkdir(cgroup, 0700)) {
		run_say(run, "no cgroup to count in: %s\n", strerror(errno));
		cgroup[0] = 0;
		return;
	}
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	WANT(!enter || put(path, "0"));
}

/* It goes when nobody is in it. */
static void end_cgroup(struct run *run)
{
	int i;

	if (!cgroup[0])
		return;
	WANT(put(CGROUPS "/cgroup.procs", "0"));
	for (i = 0; i < 500 && rmdir(cgroup); i++)
		sleep_ms(10);
	WANT(i < 500);
	cgroup[0] = 0;
}

static int lines(const char *path)
{
	char *text = proc_read(path, NULL);
	int n = 0;

	for (char *p = text; p && (p = strchr(p, '\n')); p++)
		n++;
	free(text);
	return n;
}

static void measure(struct usage *u)
{
	DIR *dir = opendir("/proc/self/fd");

	u->fds = 0;
	while (dir && readdir(dir))
		u->fds++;
	if (dir)
		closedir(dir);
	u->segments = lines("/proc/sysvipc/shm");
	/* Without a group these are -1. */
	u->memory = cgroup_number("memory.current", "");
	u->slab = cgroup_number("memory.stat", "slab_unreclaimable ");
	u->tasks = cgroup_number("pids.current", "");
}

/*
 * As before, but for what CPUs hold in stock and caches. Each of some 30 calls had
 * an image of more than a megabyte, and a few kilobytes for each task and process.
 * A thread of the test that had just ended then may have been counted still.
 */
static void nothing_left(struct run *run, const struct usage *before)
{
	double until = seconds_now() + 10 * time_factor();
	struct usage now;

	for (;;) {
		measure(&now);
		if (now.memory <= before->memory + 1024 * 1024 &&
		    now.slab <= before->slab + 96 * 1024 && now.tasks <= before->tasks &&
		    now.fds == before->fds && now.segments == before->segments)
			break;
		if (seconds_now() > until) {
			run_fail(run, "something is left behind\n");
			break;
		}
		/* RCU, and whatever else is put off. */
		sleep_ms(50);
	}
	run_say(run, "memory %+ld kB, slab %+ld kB, tasks %+ld, descriptors %+d, segments %+d\n",
		(now.memory - before->memory) / 1024, (now.slab - before->slab) / 1024,
		now.tasks - before->tasks, now.fds - before->fds,
		now.segments - before->segments);
}

/* Signals that come with an error. */

static volatile int signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

/* By turns init has a handler, or does nothing about it, which must not end it. */
static void expect_signal(int sig, bool handle)
{
	signals = 0;
	signal(sig, handle ? on_signal : SIG_DFL);
}

/* Init has a good image and a job that counts, on file systems of their own. */
static bool begin(struct run *run, struct stages *s)
{
	size_t len = 0;

	make_cgroup(run, true);
	if (!WANT(!mount("tmpfs", run->dir, "tmpfs", 0, NULL)) || !WANT(job_start(run)) ||
	    !runs_on(run) || !WANT_ERR(save(run), 0)) {
		say_log(run, LOG_PATH);
		return false;
	}
	s->b = (unsigned char *)proc_read(IMAGE_PATH, &len);
	return WANT(find_stages(s, s->b, len));
}

/* That of a job that was killed would be in the way of the one that comes back. */
static void remove_segment(struct run *run)
{
	int id = shmctl(0, SHM_STAT, &(struct shmid_ds){ 0 });

	WANT(id < 0 || !shmctl(id, IPC_RMID, NULL));
	WANT_EQ(lines("/proc/sysvipc/shm"), 1);
}

/* The good image is still good, and then nothing of it is left either. */
static void end(struct run *run)
{
	if (run->verdict)
		return;
	kill_all(run);
	WANT(alone());
	remove_segment(run);
	if (!WANT_ERR(bring_back(run), 0)) {
		say_log(run, LOG_PATH);
		return;
	}
	runs_on(run);
	job_finish(run);
	WANT_EQ(lines("/proc/sysvipc/shm"), 1);
	/* Of files that it had open, and its directory. */
	WANT(!umount(run->dir));
	end_cgroup(run);
}

/*
 * What stands there is no image. It is looked at while the job lives: of a whole
 * one it would be said that the pids are taken.
 */
static bool no_image(struct run *run, int fd, off_t at)
{
	return WANT(lseek(fd, at, SEEK_SET) == at) && WANT_ERR(call_restart(run, fd, 0), EINVAL) &&
	       WANT_EQ(lseek(fd, 0, SEEK_CUR), at);
}

static bool reported(struct run *run, const char *what)
{
	bool yes = log_names(run, what);

	if (!yes) {
		run_fail(run, "no record with '%s':\n", what);
		say_log(run, LOG_PATH);
	}
	return yes;
}

static void of_point(struct run *run, const struct stages *s, size_t at)
{
	run_say(run, "that was after %zu of %zu bytes\n", at, s->len);
}

/* A file system that is full after just so many bytes. */
static int full_after(struct run *run, size_t n, off_t *at)
{
	size_t pages = (n + PAGE - 1) / PAGE;
	static char page[PAGE];
	char size[32];
	int fd;

	/* One page more, for there is no limit of none. */
	*at = pages * PAGE - n;
	snprintf(size, sizeof(size), "size=%lu", (pages + 1) * PAGE);
	if (!WANT(!mount("tmpfs", "/mnt/full", "tmpfs", 0, size)))
		return -1;
	fd = open("/mnt/full/other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	WANT(write(fd, page, PAGE) == (ssize_t)PAGE && !close(fd));
	fd = open("/mnt/full/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	WANT(lseek(fd, *at, SEEK_SET) == *at);
	return fd;
}

INIT_TEST(no_space_at_any_stage, busy)
{
	struct usage before;
	struct stages s;
	int fd;

	if (!begin(run, &s))
		return;
	WANT(!mkdir("/mnt/full", 0700));
	fd = open(IMAGE_PATH, O_RDONLY | O_CLOEXEC);
	WANT_ERR(call_restart(run, fd, 0), EEXIST);
	close(fd);
	measure(&before);
	for (int i = 0; i < s.n && !run->verdict; i++) {
		off_t at = 0;

		fd = full_after(run, s.at[i], &at);
		WANT_ERR(call_checkpoint(run, fd, 0), ENOSPC);
		reported(run, "\"errno\":\"ENOSPC\"");
		WANT_EQ(lseek(fd, 0, SEEK_CUR), at + s.at[i]);
		WANT(run->args.freeze_ns && run->args.root_pid == run->pid && tasks_right(run));
		WANT(!run->args.image_bytes && !run->args.pages_data);
		no_image(run, fd, at);
		runs_on(run);
		close(fd);
		/* Whoever holds on to the file keeps it mounted. */
		WANT(!umount("/mnt/full"));
		if (run->verdict)
			of_point(run, &s, s.at[i]);
	}
	run_say(run, "%d points\n", s.n);
	nothing_left(run, &before);
	end(run);
}

/*
 * A limit, in the middle of an older image that is written over: what there is of
 * both is none. Only where it is still the older one, byte for byte, that is whole.
 */
INIT_TEST(over_an_older_image, busy)
{
	struct rlimit was;
	struct usage before;
	unsigned char *now;
	struct stages s;
	int fd, whole = 0;

	if (!begin(run, &s) || !WANT(!getrlimit(RLIMIT_FSIZE, &was)))
		return;
	fd = open("/mnt/old", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	WANT(write(fd, s.b, s.len) == (ssize_t)s.len);
	now = mmap(NULL, s.len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	WANT(now != MAP_FAILED);
	measure(&before);
	/* Of a checksum, a byte that was not written may be right by chance. */
	for (int i = 0; i < s.n && s.at[i] < s.len - 8 && !run->verdict; i++) {
		struct rlimit limit = { s.at[i], was.rlim_max };
		bool same;
		int err;

		expect_signal(SIGXFSZ, i % 2);
		WANT(!lseek(fd, 0, SEEK_SET) && !setrlimit(RLIMIT_FSIZE, &limit));
		err = call_checkpoint(run, fd, 0);
		WANT(!setrlimit(RLIMIT_FSIZE, &was));
		WANT_ERR(err, EFBIG);
		if (i % 2)
			WANT_EQ(signals, 1);
		WANT_EQ(lseek(fd, 0, SEEK_CUR), s.at[i]);
		/* The report is written under that limit, too. */
		if (s.at[i] > PAGE)
			reported(run, "\"errno\":\"EFBIG\"");
		same = !memcmp(now, s.b, s.len);
		whole += same;
		if (same)
			WANT(s.at[i] < HEADER_LEN && !lseek(fd, 0, SEEK_SET) &&
			     call_restart(run, fd, 0) == EEXIST);
		else
			no_image(run, fd, 0);
		runs_on(run);
		if (run->verdict)
			of_point(run, &s, s.at[i]);
	}
	run_say(run, "%d points, %d before there was a difference\n", s.n, whole);
	WANT(whole && whole < 6);
	signal(SIGXFSZ, SIG_DFL);
	munmap(now, s.len);
	nothing_left(run, &before);
	close(fd);
	end(run);
}

/* Pipes and sockets, to threads of init. */

struct link {
	const char *name;
	int (*make)(int p[2]);	/* from p[0] is read, to p[1] is written */
	size_t slack;		/* how much is on its way, at most */
	bool reset;		/* it may be said that the other end is gone, too */
};

static int make_pipe(int p[2])
{
	return pipe2(p, O_CLOEXEC) || fcntl(p[1], F_SETPIPE_SZ, PAGE) != (int)PAGE;
}

static int make_unix(int p[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p);
}

static int make_tcp(int p[2])
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 65536;
	socklen_t len = sizeof(sin);

	p[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) ||
	    setsockopt(p[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) ||
	    bind(l, (struct sockaddr *)&sin, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&sin, &len) ||
	    connect(p[1], (struct sockaddr *)&sin, len))
		return -1;
	p[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	close(l);
	return p[0] < 0;
}

static const struct link links[] = {
	{ "pipe", make_pipe, PAGE, false },
	{ "UNIX socket", make_unix, CHUNK / 2, true },
	{ "TCP socket", make_tcp, CHUNK / 2, true },
};

struct end {
	int fd;
	size_t want, done;
	unsigned char *b;
};

static void *read_and_go(void *arg)
{
	struct end *e = arg;
	ssize_t n;

	while (e->done < e->want && (n = read(e->fd, e->b + e->done, e->want - e->done)) > 0)
		e->done += n;
	close(e->fd);
	return NULL;
}

static void *write_and_go(void *arg)
{
	struct end *e = arg;
	ssize_t n;

	while (e->done < e->want && (n = write(e->fd, e->b + e->done, e->want - e->done)) > 0)
		e->done += n;
	close(e->fd);
	return NULL;
}

static void reader_goes(struct run *run, const struct link *l, int every)
{
	unsigned char *got;
	struct usage before = { 0 };
	struct stages s;
	int late = 0;

	if (!begin(run, &s))
		return;
	got = malloc(s.len);
	for (int i = 0; i < s.n && !run->verdict; i += every) {
		struct end e = { .want = s.at[i], .b = got };
		bool all = s.len - s.at[i] <= l->slack;
		pthread_t t;
		int p[2], err, fd;

		expect_signal(SIGPIPE, i / every % 2);
		if (!WANT(!l->make(p)))
			break;
		e.fd = p[0];
		if (!WANT(!pthread_create(&t, NULL, read_and_go, &e)))
			break;
		err = call_checkpoint(run, p[1], 0);
		WANT(!pthread_join(t, NULL));
		WANT_EQ(e.done, e.want);
		/* What is on its way when the reader goes was written. */
		if (!err && all)
			late++;
		else if (!(err == ECONNRESET && l->reset))
			WANT_ERR(err, EPIPE);
		/* A socket need not say it twice. */
		if (i / every % 2 && !(l->reset && !signals))
			WANT_EQ(signals, err == EPIPE);
		if (err)
			reported(run, err == EPIPE ? "\"errno\":\"EPIPE\"" :
				 "\"errno\":\"ECONNRESET\"");
		close(p[1]);
		fd = scratch_file(got, e.done);
		no_image(run, fd, 0);
		close(fd);
		runs_on(run);
		if (run->verdict)
			of_point(run, &s, s.at[i]);
		/* The first has made what stays: stacks of threads, and arenas. */
		if (!i)
			measure(&before);
	}
	run_say(run, "%s, %d points, %d after the last was written\n", l->name,
		(s.n + every - 1) / every, late);
	signal(SIGPIPE, SIG_DFL);
	unlink("/mnt/changed");
	free(got);
	nothing_left(run, &before);
	end(run);
}

INIT_TEST(reader_of_pipe_goes, busy)
{
	reader_goes(run, &links[0], 1);
}

INIT_TEST(reader_of_unix_socket_goes, busy)
{
	reader_goes(run, &links[1], 3);
}

INIT_TEST(reader_of_tcp_socket_goes, busy)
{
	reader_goes(run, &links[2], 3);
}

/* A pipe that does not wait, and nobody reads from. */
INIT_TEST(full_pipe, busy)
{
	static unsigned char got[PAGE + 1];
	struct stages s;
	int p[2], fd;

	if (!begin(run, &s))
		return;
	WANT(!make_pipe(p) && !fcntl(p[1], F_SETFL, O_NONBLOCK));
	WANT_ERR(call_checkpoint(run, p[1], 0), EAGAIN);
	runs_on(run);
	fd = read(p[0], got, sizeof(got));
	WANT(fd > 0 && fd <= (int)PAGE);
	fd = scratch_file(got, fd);
	no_image(run, fd, 0);
	close(fd);
	close(p[0]);
	close(p[1]);
	end(run);
}

/*
 * The writer of what is restarted goes. With @reset it does so before it has read
 * what it was sent, which the reader is told of.
 */
static void writer_goes(struct run *run, const struct link *l, int every, bool reset)
{
	int want = reset ? ECONNRESET : EINVAL, points = 0;
	struct usage before = { 0 };
	struct stages s;

	if (!begin(run, &s))
		return;
	kill_all(run);
	remove_segment(run);
	expect_signal(SIGPIPE, true);
	for (int i = 0; i < s.n && !run->verdict; i += every) {
		struct end e = { .want = s.at[i], .b = s.b };
		pthread_t t;
		int p[2];

		if (!WANT(!l->make(p)))
			break;
		if (reset)
			WANT(write(p[0], "x", 1) == 1);
		e.fd = p[1];
		if (!WANT(!pthread_create(&t, NULL, write_and_go, &e)))
			break;
		WANT_ERR(call_restart(run, p[0], 0), want);
		reported(run, reset ? "\"errno\":\"ECONNRESET\"" : "\"errno\":\"EINVAL\"");
		close(p[0]);
		WANT(!pthread_join(t, NULL));
		WANT_EQ(e.done, e.want);
		WANT(alone());
		WANT_EQ(lines("/proc/sysvipc/shm"), 1);
		if (run->verdict)
			of_point(run, &s, s.at[i]);
		if (!points++)
			measure(&before);
	}
	run_say(run, "%s, %d points\n", l->name, points);
	nothing_left(run, &before);
	end(run);
}

INIT_TEST(writer_of_pipe_goes, busy)
{
	writer_goes(run, &links[0], 1, false);
}

INIT_TEST(writer_of_unix_socket_goes, busy)
{
	writer_goes(run, &links[1], 4, false);
}

INIT_TEST(writer_of_unix_socket_resets, busy)
{
	writer_goes(run, &links[1], 2, true);
}

/* A disk; one test at a time has it, and 64 and 32 bits run side by side. */
static int spare_disk(struct run *run, uint64_t *size)
{
	int fd = open("/var/tmp/disks.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX))
		abort();
	fd = open("/dev/vdc", O_RDWR | O_CLOEXEC | O_EXCL);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, size))
		RUN_SKIP(run, "no disk to spare");
	return fd;
}

/*
 * One with a sector in its middle that can neither be written nor read. An image
 * begins where its stage of interest comes to lie there.
 */
static int bad_disk(struct run *run, off_t *bad)
{
	static char sector[PAGE] __attribute__((aligned(4096)));
	uint64_t size = 0;
	int fd = spare_disk(run, &size), raw;

	*bad = size / 2;
	raw = open("/dev/vdc", O_RDWR | O_CLOEXEC | O_DIRECT);
	if (pread(raw, sector, 512, *bad) >= 0 || errno != EIO ||
	    pwrite(raw, sector, 512, *bad) >= 0 || errno != EIO ||
	    pread(raw, sector, 512, *bad - 512) != 512 ||
	    pread(raw, sector, 512, *bad + 512) != 512)
		RUN_SKIP(run, "no disk with a bad sector");
	close(raw);
	return fd;
}

/* What the next one reads of it is what is there. */
static void forget(struct run *run, int fd)
{
	WANT(!ioctl(fd, BLKFLSBUF, 0));
}

/* A disk that ends before the image does. */
INIT_TEST(end_of_disk, busy)
{
	struct usage before;
	uint64_t size = 0;
	struct stages s;
	int fd = spare_disk(run, &size);

	if (!begin(run, &s))
		return;
	measure(&before);
	for (int i = 0; i < s.n && !run->verdict; i++) {
		off_t at = size - s.at[i];

		WANT(lseek(fd, at, SEEK_SET) == at);
		WANT_ERR(call_checkpoint(run, fd, 0), ENOSPC);
		reported(run, "\"errno\":\"ENOSPC\"");
		WANT_EQ(lseek(fd, 0, SEEK_CUR), size);
		no_image(run, fd, at);
		runs_on(run);
		if (run->verdict)
			of_point(run, &s, s.at[i]);
	}
	forget(run, fd);
	nothing_left(run, &before);
	close(fd);
	end(run);
}

/* With @sync each write says whether it came to be; else only fsync(2) does. */
static void bad_sector_while_saving(struct run *run, bool sync)
{
	struct usage before;
	struct stages s;
	off_t bad;
	int fd = bad_disk(run, &bad), to, unseen = 0;

	if (!begin(run, &s))
		return;
	measure(&before);
	for (int i = 0; i < s.n && !run->verdict; i += sync ? 1 : 2) {
		off_t at = bad - s.at[i];
		int err;

		to = open("/dev/vdc", O_RDWR | O_CLOEXEC | (sync ? O_DSYNC : 0));
		WANT(lseek(to, at, SEEK_SET) == at);
		err = call_checkpoint(run, to, 0);
		if (err || sync) {
			WANT_ERR(err, EIO);
			reported(run, "\"errno\":\"EIO\"");
			WANT(lseek(to, 0, SEEK_CUR) >= bad);
		} else {
			unseen++;
			WANT(fsync(to) && errno == EIO);
		}
		runs_on(run);
		forget(run, to);
		/* Nor is the next one told of it. */
		WANT(!fsync(to) || errno == EIO);
		WANT(lseek(to, at, SEEK_SET) == at);
		err = call_restart(run, to, 0);
		if (err != EINVAL)
			WANT_ERR(err, EIO);
		close(to);
		if (run->verdict)
			of_point(run, &s, s.at[i]);
	}
	run_say(run, "%d points, %d of them told by fsync(2)\n", s.n, unseen);
	WANT(sync || unseen);
	forget(run, fd);
	nothing_left(run, &before);
	close(fd);
	end(run);
}

INIT_TEST(bad_sector_while_saving, busy)
{
	bad_sector_while_saving(run, true);
}

INIT_TEST(bad_sector_told_by_fsync, busy)
{
	bad_sector_while_saving(run, false);
}

/* All of an image but what would stand in that sector, and its page. */
static void write_around(struct run *run, const struct stages *s, off_t at, off_t bad)
{
	off_t first = at & -(off_t)PAGE;
	ssize_t before = bad - first, all = (at + s->len - first + PAGE - 1) & -(off_t)PAGE;
	ssize_t behind = all - before - PAGE;
	char *b = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int raw = open("/dev/vdc", O_WRONLY | O_CLOEXEC | O_DIRECT);

	memcpy(b + (at - first), s->b, s->len);
	if (before)
		WANT_EQ(pwrite(raw, b, before, first), before);
	if (behind > 0)
		WANT_EQ(pwrite(raw, b + before + PAGE, behind, bad + PAGE), behind);
	close(raw);
	munmap(b, all);
}

INIT_TEST(bad_sector_while_restarting, busy)
{
	struct usage before = { 0 };
	struct stages s;
	off_t bad;
	int fd = bad_disk(run, &bad), from, past = 0;

	if (!begin(run, &s))
		return;
	kill_all(run);
	remove_segment(run);
	for (int i = 0; i < s.n && !run->verdict; i++) {
		off_t at = bad - s.at[i];

		write_around(run, &s, at, bad);
		from = open("/dev/vdc", O_RDONLY | O_CLOEXEC);
		forget(run, from);
		WANT(lseek(from, at, SEEK_SET) == at);
		WANT_ERR(call_restart(run, from, 0), EIO);
		reported(run, "\"errno\":\"EIO\"");
		WANT_EQ(lseek(from, 0, SEEK_CUR), at);
		WANT(alone());
		WANT_EQ(lines("/proc/sysvipc/shm"), 1);
		close(from);
		past += s.at[i] > s.data;
		if (run->verdict)
			of_point(run, &s, s.at[i]);
		if (!i)
			measure(&before);
	}
	run_say(run, "%d points, %d of them in page data or behind it\n", s.n, past);
	forget(run, fd);
	nothing_left(run, &before);
	close(fd);
	end(run);
}

/*
 * The caller is killed, and its namespace with it. It is an init of its own for
 * each time, and first looks at what the one before it has left.
 */

/* Both see it; init has it for writing, or for reading. */
static int channel[2];

enum { LOOK, SAVE, SAVE_TO_PIPE, RESTART_FROM_PIPE };

static void victim(struct run *run)
{
	int fd, err;

	init_world(run);
	if (run->image[0]) {
		unsigned char *b;
		size_t len = 0;
		bool whole;

		b = (unsigned char *)proc_read(run->image, &len);
		whole = b && len >= HEADER_LEN && get64(b + H_IMAGE_LEN) == len;
		fd = open(run->image, O_RDONLY | O_CLOEXEC);
		err = call_restart(run, fd, 0);
		close(fd);
		if (!WANT_ERR(err, whole ? 0 : EINVAL)) {
			run_say(run, "%zu bytes\n", len);
			say_log(run, LOG_PATH);
		}
		if (whole)
			kill_all(run);
		WANT(alone());
		free(b);
	}
	if (run->word == SAVE || run->word == SAVE_TO_PIPE) {
		if (!WANT(job_start(run)))
			_exit(0);
		fd = run->word == SAVE ? open(run->image, O_WRONLY | O_CREAT | O_TRUNC, 0600) :
		     channel[1];
		run->ready = 1;
		err = call_checkpoint(run, fd, 0);
	} else if (run->word == RESTART_FROM_PIPE) {
		run->ready = 1;
		err = call_restart(run, channel[0], 0);
	} else {
		_exit(0);
	}
	/* Whoever kills it comes too late: it may. */
	run->ready = 2 + err;
	_exit(0);
}

/* In the group that is counted; the pid of init, and in @outer that of its parent. */
static pid_t start_victim(struct run *run, int what, pid_t *outer)
{
	int to_init[2];
	pid_t pid = -1;

	run->word = what;
	run->ready = 0;
	run->keep_fds = true;
	if (!WANT(!pipe2(to_init, O_CLOEXEC)))
		return -1;
	fflush(NULL);
	*outer = fork();
	if (!*outer) {
		char path[192];
		int status;

		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
		if (cgroup[0] && !put(path, "0"))
			_exit(1);
		if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS))
			_exit(2);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pid = fork();
		if (!pid) {
			close(to_init[0]);
			close(to_init[1]);
			/* The end that the test has. */
			if (what == SAVE_TO_PIPE)
				close(channel[0]);
			if (what == RESTART_FROM_PIPE)
				close(channel[1]);
			victim(run);
		}
		if (write(to_init[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(3);
		close(channel[0]);
		close(channel[1]);
		waitpid(pid, &status, 0);
		_exit(0);
	}
	close(to_init[1]);
	WANT(read(to_init[0], &pid, sizeof(pid)) == sizeof(pid));
	close(to_init[0]);
	return pid;
}

static void await_ready(struct run *run)
{
	double until = seconds_now() + 20 * time_factor();

	while (!run->ready && !run->verdict && seconds_now() < until)
		sched_yield();
	WANT(run->ready);
}

/* Until nobody is left in the group. */
static void is_dead(struct run *run, pid_t outer)
{
	double until = seconds_now() + 10 * time_factor();
	int status = -1;

	WANT(waitpid(outer, &status, 0) == outer);
	WANT_EQ(status, 0);
	while (cgroup[0] && cgroup_number("pids.current", "") && seconds_now() < until)
		sleep_ms(1);
	if (cgroup[0])
		WANT_EQ(cgroup_number("pids.current", ""), 0);
}

/* Reads so many bytes; what it gets before everybody has closed the other end. */
static size_t read_from(struct run *run, int fd, unsigned char *b, size_t want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t done = 0;
	ssize_t n;

	while (done < want) {
		if (!WANT(poll(&p, 1, 20000 * time_factor()) == 1))
			break;
		n = read(fd, b + done, want - done);
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

#define MAX_IMAGE	(8UL << 20)

static void keep_image(struct run *run, const unsigned char *b, size_t len)
{
	int fd = open(run->image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	WANT(write(fd, b, len) == (ssize_t)len);
	close(fd);
}

/* A whole image, through a pipe. */
static bool first_image(struct run *run, struct stages *s, unsigned char *b)
{
	pid_t outer;
	size_t len;

	if (!WANT(!make_pipe(channel)) || start_victim(run, SAVE_TO_PIPE, &outer) < 0)
		return false;
	close(channel[1]);
	len = read_from(run, channel[0], b, MAX_IMAGE);
	close(channel[0]);
	is_dead(run, outer);
	return WANT_EQ(run->ready, 2) && WANT(find_stages(s, b, len));
}

static void look(struct run *run)
{
	pid_t outer;

	start_victim(run, LOOK, &outer);
	is_dead(run, outer);
}

/* Every other: all of them would take as many jobs. */
static void killed_while_saving(struct run *run, struct stages *s)
{
	unsigned char *b = malloc(MAX_IMAGE);
	struct usage before = { 0 };
	int points = 0;

	for (int i = 0; i < s->n && !run->verdict; i += 2) {
		pid_t outer, init;
		size_t len;

		/* What is in the pipe can't be taken back. */
		if (s->len - s->at[i] <= PAGE)
			break;
		if (!WANT(!make_pipe(channel)))
			break;
		init = start_victim(run, SAVE_TO_PIPE, &outer);
		close(channel[1]);
		len = read_from(run, channel[0], b, s->at[i]);
		WANT_EQ(len, s->at[i]);
		await_ready(run);
		WANT(init > 1 && !kill(init, SIGKILL));
		/* All that was written, and the end: nobody has it open any more. */
		len += read_from(run, channel[0], b + len, MAX_IMAGE - len);
		close(channel[0]);
		is_dead(run, outer);
		WANT_EQ(run->ready, 1);
		WANT(len < s->len);
		keep_image(run, b, len);
		if (run->verdict)
			of_point(run, s, s->at[i]);
		if (!points++)
			measure(&before);
	}
	look(run);
	run_say(run, "pipe: %d points\n", points);
	nothing_left(run, &before);
	free(b);
}

/* To a file nobody waits for it: when that is so long, or after some time. */
static void killed_while_saving_to_file(struct run *run, struct stages *s)
{
	int whole = 0, none = 0, part = 0;
	struct usage before = { 0 };

	for (int i = 0; i < 24 && !run->verdict; i++) {
		pid_t outer, init = start_victim(run, SAVE, &outer);
		struct stat st = { 0 };

		await_ready(run);
		if (i % 2)
			usleep(i * 700);
		else
			while (run->ready == 1 && !stat(run->image, &st) &&
			       (size_t)st.st_size < i * s->len / 24 + 1)
				;
		WANT(init > 1 && !kill(init, SIGKILL));
		is_dead(run, outer);
		WANT(!stat(run->image, &st));
		if (!st.st_size)
			none++;
		else if ((size_t)st.st_size < s->len)
			part++;
		else
			whole++;
		if (run->ready > 1)
			WANT_EQ(run->ready, 2);
		if (!i)
			measure(&before);
	}
	look(run);
	keep_image(run, s->b, 0);
	run_say(run, "file: %d with nothing, %d with a part, %d with all of it\n", none, part,
		whole);
	WANT(part);
	nothing_left(run, &before);
}

static void killed_while_restarting(struct run *run, struct stages *s)
{
	struct usage before = { 0 };
	int points = 0;

	for (int i = 0; i < s->n && !run->verdict; i++) {
		struct pollfd p = { .events = POLLOUT };
		double until = seconds_now() + 20 * time_factor();
		struct end e = { .want = s->at[i], .b = s->b };
		pid_t outer, init;
		int left = 0;

		if (!WANT(!make_pipe(channel)))
			break;
		init = start_victim(run, RESTART_FROM_PIPE, &outer);
		close(channel[0]);
		await_ready(run);
		p.fd = dup(channel[1]);
		e.fd = channel[1];
		write_and_go(&e);
		WANT_EQ(e.done, e.want);
		/* It has taken all that there is, and waits for more. */
		while (!ioctl(p.fd, FIONREAD, &left) && left && seconds_now() < until)
			sched_yield();
		WANT(!left);
		WANT(init > 1 && !kill(init, SIGKILL));
		is_dead(run, outer);
		WANT_EQ(run->ready, 1);
		/* Nobody can read from it any more. */
		WANT(poll(&p, 1, 10000) == 1 && p.revents & POLLERR);
		close(p.fd);
		if (run->verdict)
			of_point(run, s, s->at[i]);
		if (!points++)
			measure(&before);
	}
	run_say(run, "restart: %d points\n", points);
	nothing_left(run, &before);
}

/* What stops init does not cut an image short: it comes when the call returns. */
static void stopped_while_saving(struct run *run, struct stages *s)
{
	/* Once it is known how long it will be. */
	static const int stop_at[] = { 5, 8, 20, 26 };
	unsigned char *b = malloc(MAX_IMAGE);

	for (int i = 0; i < 4 && !run->verdict; i++) {
		size_t at = s->at[stop_at[i]], len, all;
		int status = 0;
		pid_t outer, init;

		if (!WANT(!make_pipe(channel)))
			break;
		init = start_victim(run, SAVE_TO_PIPE, &outer);
		close(channel[1]);
		len = read_from(run, channel[0], b, at);
		WANT(init > 1 && !kill(init, SIGSTOP));
		/* As long as nobody has read all of it, it is in the call. */
		all = get64(b + H_IMAGE_LEN);
		if (!WANT(len == at && all > len && all < MAX_IMAGE))
			break;
		len += read_from(run, channel[0], b + len, all - len);
		WANT_EQ(len, all);
		sleep_ms(20);
		WANT_EQ(run->ready, 1);
		WANT(!kill(init, SIGCONT));
		len += read_from(run, channel[0], b + len, MAX_IMAGE - len);
		close(channel[0]);
		WANT(waitpid(outer, &status, 0) == outer && !status);
		WANT_EQ(run->ready, 2);
		keep_image(run, b, len);
		WANT(find_stages(&(struct stages){ 0 }, b, len));
	}
	look(run);
	free(b);
}

static int with_victims(void (*test)(struct run *run, struct stages *s))
{
	struct run *run = run_new(&busy_scenario, RUN_KEEP);
	unsigned char *b = malloc(MAX_IMAGE);
	char cmd[128];
	struct stages s;

	snprintf(run->dir, sizeof(run->dir), "/var/tmp/ckpt-XXXXXX");
	WANT(mkdtemp(run->dir));
	make_cgroup(run, false);
	signal(SIGPIPE, SIG_IGN);
	run->image[0] = 0;
	if (first_image(run, &s, b)) {
		snprintf(run->image, sizeof(run->image), "%s/image", run->dir);
		keep_image(run, s.b, 0);
		test(run, &s);
	}
	end_cgroup(run);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", run->dir);
	WANT(!system(cmd));
	free(b);
	run_print(run);
	return run->verdict;
}

TEST_TIMEOUT(caller_killed_while_saving_to_pipe, 600)
{
	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	ASSERT_EQ(0, with_victims(killed_while_saving));
}

TEST_TIMEOUT(caller_killed_while_saving_to_file, 600)
{
	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	ASSERT_EQ(0, with_victims(killed_while_saving_to_file));
}

TEST_TIMEOUT(caller_killed_while_restarting, 600)
{
	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	ASSERT_EQ(0, with_victims(killed_while_restarting));
}

TEST_TIMEOUT(caller_stopped_while_saving, 600)
{
	(void)self;
	(void)variant;
	if (!have_checkpoint())
		SKIP(return, "no checkpoint(2) in this kernel");
	ASSERT_EQ(0, with_victims(stopped_while_saving));
}

TEST_HARNESS_MAIN
