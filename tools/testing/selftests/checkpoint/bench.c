// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a job stands still, how long a checkpoint and a restart take, beside
 * what any way of doing it has to do at least (fork(2), write(2) and read(2) of
 * the same bytes) and beside criu(8) doing the same to the same job.
 *
 *	bench [MIB...]
 *	bench -p PROCESSES...
 *	bench -t THREADS...
 *	bench -s MIB...
 *	bench -i MIB...
 *
 * With -p and -t it is not the size of one process, but so many of them, each
 * with some memory of its own, or threads; beside that is how long creating them
 * took. With -s it is memory that eleven processes have since fork(2), and read.
 * With -i it is images of what has changed (CHECKPOINT_F_TRACK) beside whole ones:
 * nothing, one page in a hundred in one place, or everywhere.
 * BENCH_HUGE=1: huge pages. BENCH_SHARED=1: shared memory.
 * Prints a table: milliseconds, the median of five rounds, for CRIU and many tasks
 * of three, and from what to what they were. Images go to a tmpfs. What CRIU calls
 * the frozen time is from its own statistics. Where CRIU fails, the table says what
 * else there is.
 */
#pragma GCC diagnostic ignored "-Wunused-function"	/* the harness's main() */
#include "ckpt_harness.h"

#include <pthread.h>

#define ROUNDS	5
/* It takes minutes for each. */
#define ROUNDS_OF_MANY	3

enum {
	FORK, WRITE, READ, SAVE_FREEZE, STALL, SAVE, RESTART, SIZE, CRIU_FREEZE, CRIU_DUMP,
	CRIU_RESTORE, CRIU_SIZE, FIGURES
};

static const char *const title[] = {
	"fork", "write", "read", "freeze", "stall", "checkpoint", "restart", "image, MiB",
	"CRIU frozen", "CRIU dump", "CRIU restore", "CRIU images, MiB"
};

static double now_ms(void)
{
	return seconds_now() * 1e3;
}

/*
 * What the job sees of it: the longest time between two looks at the clock, in
 * job.word[STALL], ns, from when init sets that to 0.
 */
static void *watch_clock(void *arg)
{
	double last = now_ms();

	while (job.hold) {
		double now = now_ms();
		uint64_t gap = (now - last) * 1e6;

		last = now;
		if (gap > job.word[STALL])
			job.word[STALL] = gap;
	}
	return arg;
}

/* Init tells it how much; it tells init how long the simple things take. */
JOB(memory, .tasks = 2)
{
	size_t len = (size_t)atol(getenv("BENCH_MIB") ?: "1") << 20, chunk = 1 << 20;
	int huge = atoi(getenv("BENCH_HUGE") ?: "0"), fd, status;
	int flags = MAP_ANONYMOUS | (getenv("BENCH_SHARED") ? MAP_SHARED : MAP_PRIVATE);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0), *q;
	pthread_t clock;
	double start;
	pid_t pid;

	NEED(p != MAP_FAILED);
	madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 4096)
		fill(p + i, 64, i);

	start = now_ms();
	pid = fork();
	if (!pid)
		_exit(0);
	job.word[FORK] = (now_ms() - start) * 1e6;
	waitpid(pid, &status, 0);

	fd = open("/mnt/bytes", O_RDWR | O_CREAT | O_TRUNC, 0600);
	NEED(fd >= 0);
	start = now_ms();
	for (size_t i = 0; i < len; i += chunk)
		NEED(write(fd, p + i, chunk) == (ssize_t)chunk);
	job.word[WRITE] = (now_ms() - start) * 1e6;

	/* Into fresh memory, as a restart does. */
	q = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(q != MAP_FAILED);
	madvise(q, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	start = now_ms();
	for (size_t i = 0; i < len; i += chunk)
		NEED(pread(fd, q + i, chunk, i) == (ssize_t)chunk);
	job.word[READ] = (now_ms() - start) * 1e6;
	munmap(q, len);
	close(fd);
	unlink("/mnt/bytes");
	NEED(!pthread_create(&clock, NULL, watch_clock, NULL));
	job_hold();
	pthread_join(clock, NULL);
	for (size_t i = 0; i < len; i += 4096)
		if (!CHECK(filled(p + i, 64, i)))
			break;
}

/* Many tasks that sleep. */
struct crowd {
	volatile int ready, stop;
};

static struct crowd *crowd;

static void *one_of_them(void *arg)
{
	unsigned char own[512];

	fill(own, sizeof(own), (unsigned long)arg);
	__sync_fetch_and_add(&crowd->ready, 1);
	while (!crowd->stop)
		sleep_ms(50);
	return (void *)(long)filled(own, sizeof(own), (unsigned long)arg);
}

JOB(crowd, .tasks = -1)
{
	int n = atoi(getenv("BENCH_TASKS") ?: "10"), status;
	bool threads = getenv("BENCH_THREADS");
	pthread_t *t = calloc(n, sizeof(*t));
	pthread_attr_t attr;
	double start;
	char *p;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	p = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(t && crowd != MAP_FAILED && p != MAP_FAILED);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32 << 10);
	start = now_ms();
	for (long i = 0; i < n; i++) {
		pid_t pid;

		if (threads) {
			NEED(!pthread_create(&t[i], &attr, one_of_them, (void *)i));
			continue;
		}
		pid = fork();
		NEED(pid >= 0);
		if (!pid) {
			fill(p, 64 << 10, i);
			_exit(one_of_them((void *)i) && filled(p, 64 << 10, i) ? 0 : 1);
		}
	}
	job.word[FORK] = (now_ms() - start) * 1e6;
	for (int i = 0; i < 60000 && crowd->ready < n; i++)
		sleep_ms(1);
	NEED(crowd->ready == n);
	job_hold();
	crowd->stop = 1;
	for (int i = 0; i < n; i++) {
		void *ok = NULL;

		if (threads)
			CHECK(!pthread_join(t[i], &ok) && ok);
		else
			CHECK(waitpid(-1, &status, 0) > 0 && !status);
	}
}

/* A server and those that it has forked, who share what it has loaded. */
#define READERS	10

JOB(herd, .tasks = 1 + READERS)
{
	size_t len = (size_t)atol(getenv("BENCH_MIB") ?: "1") << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;
	int status;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	NEED(crowd != MAP_FAILED && p != MAP_FAILED);
	madvise(p, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 4096)
		fill(p + i, 64, i);
	start = now_ms();
	for (int i = 0; i < READERS; i++) {
		pid_t pid = fork();
		bool good = true;

		NEED(pid >= 0);
		if (pid)
			continue;
		for (size_t at = 0; at < len; at += 4096)
			good = good && filled(p + at, 64, at);
		__sync_fetch_and_add(&crowd->ready, 1);
		while (!crowd->stop)
			sleep_ms(50);
		for (size_t at = 0; at < len; at += 4096)
			good = good && filled(p + at, 64, at);
		_exit(!good);
	}
	job.word[FORK] = (now_ms() - start) * 1e6;
	while (crowd->ready < READERS)
		sleep_ms(1);
	job_hold();
	crowd->stop = 1;
	for (int i = 0; i < READERS; i++)
		CHECK(waitpid(-1, &status, 0) > 0 && !status);
}

/* Writes to one page in a hundred whenever init asks for it. */
enum { STEP = 1, WHERE, DONE };

enum { IN_ONE_PLACE, EVERYWHERE };

JOB(writer, .tasks = 1)
{
	size_t len = (size_t)atol(getenv("BENCH_MIB") ?: "1") << 20, pages = len / 4096;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint64_t *word = job.word;

	NEED(p != MAP_FAILED);
	madvise(p, len, atoi(getenv("BENCH_HUGE") ?: "0") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 4096)
		fill(p + i, 64, i);
	job.stage = JOB_HOLDS;
	while (job.hold) {
		uint64_t step = word[STEP];
		size_t n = pages / 100, gap = word[WHERE] == EVERYWHERE ? 100 : 1;

		if (step != word[DONE])
			for (size_t i = 0; i < n; i++)
				p[((i * gap + step) % pages) * 4096 + 100] = step;
		word[DONE] = step;
		sleep_ms(1);
	}
}

/* Those of whole images, of such with tracking, and three of what has changed. */
enum {
	WHOLE_FREEZE, TRACKED_FREEZE, TRACKED, TRACKED_SIZE, SAME_FREEZE, SAME_SIZE, NEAR_FREEZE,
	NEAR_SAVE, NEAR_SIZE, FAR_FREEZE, FAR_SAVE, FAR_SIZE, CHANGE_FIGURES
};

static const char *const change_title[] = {
	"freeze", "tracked, freeze", "tracked, checkpoint", "tracked, MiB",
	"nothing, freeze", "nothing, MiB", "1 % in one place, freeze", "... checkpoint",
	"... MiB", "1 % everywhere, freeze", "... checkpoint", "... MiB"
};

static double figures[FIGURES][ROUNDS];

_Static_assert((int)CHANGE_FIGURES <= (int)FIGURES, "there is room for them");

static uint64_t varint(const unsigned char **p, const unsigned char *end)
{
	uint64_t v = 0;

	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			break;
	}
	return v;
}

/* Field @want of the first message in CRIU's statistics, in microseconds. */
static double criu_stat(const char *path, unsigned int want)
{
	const unsigned char *p, *end;
	size_t len = 0;
	unsigned char *b = (unsigned char *)proc_read(path, &len);

	if (!b || len < 14)
		return -1;
	p = b + 12;		/* two magic numbers and a length */
	end = b + len;
	varint(&p, end);	/* the message inside: its tag and length */
	varint(&p, end);
	while (p < end) {
		uint64_t tag = varint(&p, end), v = varint(&p, end);

		if (tag >> 3 == want)
			return v;
	}
	return -1;
}

static bool criu_failed(const char *what)
{
	char path[64], *log;
	size_t len;

	snprintf(path, sizeof(path), "/mnt/criu/%s.log", what);
	log = proc_read(path, &len);
	if (log)
		fprintf(stderr, "criu %s: %s\n", what, log + (len > 1000 ? len - 1000 : 0));
	return false;
}

/* What the files of a directory take. */
static double mib_in(const char *path)
{
	char name[512];
	struct dirent *d;
	struct stat st;
	double sum = 0;
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, d->d_name);
		if (!stat(name, &st) && S_ISREG(st.st_mode))
			sum += st.st_blocks * 512.0;
	}
	if (dir)
		closedir(dir);
	return sum / (1 << 20);
}

static bool criu(struct run *run, int round)
{
	char cmd[512];
	double start;

	snprintf(cmd, sizeof(cmd),
		 "mkdir -p /mnt/criu && setsid criu dump --timeout 600 -t %d -D /mnt/criu -o dump.log </dev/null >/dev/null 2>&1",
		 run->pid);
	start = now_ms();
	if (system(cmd))
		return criu_failed("dump");
	figures[CRIU_DUMP][round] = now_ms() - start;
	figures[CRIU_FREEZE][round] = criu_stat("/mnt/criu/stats-dump", 2) / 1e3;
	/* All of it was killed, and its pids are needed. */
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	figures[CRIU_SIZE][round] = mib_in("/mnt/criu");
	start = now_ms();
	if (system("setsid criu restore -d -D /mnt/criu -o restore.log </dev/null >/dev/null 2>&1"))
		return criu_failed("restore");
	figures[CRIU_RESTORE][round] = now_ms() - start;
	return !system("rm -rf /mnt/criu") && job_finish(run);
}

static bool many;

static int rounds_of(int figure)
{
	return many && figure >= CRIU_FREEZE ? ROUNDS_OF_MANY : ROUNDS;
}

static void measure(struct run *run)
{
	char program[256] = "";
	int null;

	init_world(run);
	/* CRIU wants it to be on a mount of the job's own namespace. */
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) > 0)
		run->program = program;
	if (mount(NULL, "/mnt", NULL, MS_REMOUNT, "size=90%"))
		run_fail(run, "/mnt can't be made larger: %s\n", strerror(errno));
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	close(null);
	if (!WANT(job_start(run)))
		_exit(0);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t word[3];

		/* The job's own figures are of its start: a fresh one each time. */
		if (i && (kill_all(run), !WANT(job_start(run))))
			_exit(0);
		job_read(run, job.word, word, sizeof(word));
		for (int f = FORK; f <= READ; f++)
			figures[f][i] = word[f] / 1e6;
		if (!have_checkpoint())
			continue;
		word[0] = 0;
		job_write(run, &job.word[STALL], word, sizeof(*word));
		if (!WANT_ERR(save(run), 0))
			_exit(0);
		/* Until it has run on for a while. */
		sleep_ms(50);
		job_read(run, &job.word[STALL], word, sizeof(*word));
		figures[STALL][i] = many ? 0 : word[0] / 1e6;
		figures[SAVE_FREEZE][i] = run->args.freeze_ns / 1e6;
		figures[SAVE][i] = run->args.total_ns / 1e6;
		figures[SIZE][i] = run->args.image_bytes / 1048576.0;
		kill_all(run);
		if (!WANT_ERR(bring_back(run), 0))
			_exit(0);
		figures[RESTART][i] = run->args.total_ns / 1e6;
		unlink(IMAGE_PATH);
	}
	job_finish(run);
	if (!getenv("BENCH_NO_CRIU") && !access("/usr/sbin/criu", X_OK)) {
		for (int i = 0; i < rounds_of(CRIU_FREEZE); i++) {
			if (WANT(job_start(run)) && WANT(criu(run, i)))
				continue;
			for (int f = CRIU_FREEZE; f < FIGURES; f++)
				memset(figures[f], 0, sizeof(figures[f]));
			break;
		}
	}
	memcpy(run->text + sizeof(run->text) - sizeof(figures), figures, sizeof(figures));
	_exit(0);
}

/* Since the image that was taken last, if that is asked for. */
static void measure_image(struct run *run, int round, unsigned int flags, bool since, int freeze,
			  int total, int size)
{
	int fd = open(IMAGE_PATH, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	unsigned char last[16];

	memcpy(last, run->args.uuid, sizeof(last));
	memset(&run->args, 0, sizeof(run->args));
	run->args.log_fd = -1;
	if (since)
		memcpy(run->args.parent, last, sizeof(last));
	if (!WANT(!sys_checkpoint(fd, flags | CHECKPOINT_F_ARGS, &run->args, sizeof(run->args))))
		_exit(0);
	figures[freeze][round] = run->args.freeze_ns / 1e6;
	if (total >= 0)
		figures[total][round] = run->args.total_ns / 1e6;
	if (size >= 0)
		figures[size][round] = run->args.image_bytes / 1048576.0;
	close(fd);
	unlink(IMAGE_PATH);
}

static void measure_changes(struct run *run)
{
	uint64_t step = 0, where, done;

	init_world(run);
	if (mount(NULL, "/mnt", NULL, MS_REMOUNT, "size=90%"))
		run_fail(run, "/mnt can't be made larger: %s\n", strerror(errno));
	if (!WANT(job_start(run)))
		_exit(0);
	for (int i = 0; i < ROUNDS; i++) {
		measure_image(run, i, 0, false, WHOLE_FREEZE, -1, -1);
		measure_image(run, i, CHECKPOINT_F_TRACK, false, TRACKED_FREEZE, TRACKED,
			      TRACKED_SIZE);
		measure_image(run, i, CHECKPOINT_F_TRACK, true, SAME_FREEZE, -1, SAME_SIZE);
		for (where = IN_ONE_PLACE; where <= EVERYWHERE; where++) {
			step++;
			job_write(run, &job.word[WHERE], &where, sizeof(where));
			job_write(run, &job.word[STEP], &step, sizeof(step));
			do {
				sleep_ms(1);
				if (!WANT(job_read(run, &job.word[DONE], &done, sizeof(done))))
					_exit(0);
			} while (done != step);
			if (where == IN_ONE_PLACE)
				measure_image(run, i, CHECKPOINT_F_TRACK, true, NEAR_FREEZE,
					      NEAR_SAVE, NEAR_SIZE);
			else
				measure_image(run, i, CHECKPOINT_F_TRACK, true, FAR_FREEZE,
					      FAR_SAVE, FAR_SIZE);
		}
	}
	kill_all(run);
	memcpy(run->text + sizeof(run->text) - sizeof(figures), figures, sizeof(figures));
	_exit(0);
}

static int smaller(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool shown(const char *option, int figure)
{
	return !option || !strcmp(option, "-i") ||
	       (figure != WRITE && figure != READ && figure != STALL);
}

int main(int argc, char **argv)
{
	static const char *const standard[] = { "16", "64", "256", "1024" };
	const char *what = "MiB", *option = argc > 1 && argv[1][0] == '-' ? argv[1] : NULL;
	const char *const *sizes;
	struct scenario *scenario = &memory_scenario;
	void (*measured)(struct run *run) = measure;
	const char *const *titles = title;
	bool herd = false, changes = false;
	int n, bad = 0;

	if (option) {
		herd = !strcmp(option, "-s");
		changes = !strcmp(option, "-i");
		many = !changes;
		what = herd ? "MiB, shared" : changes ? "MiB, changes" :
		       strcmp(option, "-t") ? "processes" : "threads";
		if (!strcmp(option, "-t"))
			setenv("BENCH_THREADS", "1", 1);
		scenario = herd ? &herd_scenario : changes ? &writer_scenario : &crowd_scenario;
		if (changes) {
			measured = measure_changes;
			titles = change_title;
		}
		argv++;
		argc--;
	}
	sizes = argc > 1 ? (const char *const *)argv + 1 : standard;
	n = argc > 1 ? argc - 1 : 4;
	printf("| %s |", what);
	for (int f = 0; f < FIGURES; f++)
		if (shown(option, f))
			printf(" %s |", option && !changes && f == FORK ? "creation" : titles[f]);
	printf("\n|---:|");
	for (int f = 0; f < FIGURES; f++)
		if (shown(option, f))
			printf("---:|");
	printf("\n");
	for (int i = 0; i < n; i++) {
		struct run *run = run_new(scenario, RUN_RESTART);

		setenv(option && !herd && !changes ? "BENCH_TASKS" : "BENCH_MIB", sizes[i], 1);
		memset(figures, 0, sizeof(figures));
		run_namespaces(run, measured, 600);
		memcpy(figures, run->text + sizeof(run->text) - sizeof(figures), sizeof(figures));
		if (run->verdict) {
			printf("# %s %s:\n", sizes[i], what);
			run_print(run);
			bad = 1;
		}
		if (!figures[RESTART][ROUNDS - 1])
			continue;
		printf("| %s |", sizes[i]);
		for (int f = 0; f < FIGURES; f++) {
			if (!shown(option, f))
				continue;
			qsort(figures[f], rounds_of(f), sizeof(double), smaller);
			if (figures[f][rounds_of(f) / 2] > 0)
				printf(" %.1f (%.1f-%.1f) |", figures[f][rounds_of(f) / 2],
				       figures[f][0], figures[f][rounds_of(f) - 1]);
			else
				printf(" - |");
		}
		printf("\n");
		fflush(stdout);
	}
	return bad;
}
