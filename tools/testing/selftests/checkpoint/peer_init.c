// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run one program of CRIU's ZDTM suite under checkpoint(2) and restart(2).
 *
 * Such a program sets up some state, forks a daemon that holds it, writes the
 * daemon's pid to a file and exits; at SIGTERM the daemon checks its state and
 * writes its verdict to another file. This is the init of the namespaces that
 * it runs in; between the two it saves the daemon, kills it and brings it back.
 *
 *	peer_init [-m MODE] [-r RESULT] [-s SCRATCH] [-t SECONDS] [-U] NAME COMMAND...
 *
 * in the directory of the program. MODE is
 *	plain	 nothing happens between the two
 *	ckpt	 checkpoint(2), kill, restart(2)
 *	criu	 the same with criu(8), as a child of init
 * RESULT gets one line: pass, fail or skip; how many things /proc tells
 * differently afterwards; the reason. The differences themselves, and what else
 * helps to understand a failure, go to standard output. Images go to SCRATCH.
 * -U runs the program as root; others run as the suite's own driver runs them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ckpt_proc.h"
#include "ckpt_sys.h"

static const char *mode = "plain", *result_path, *scratch = "/tmp";
static int seconds = 60;
static bool as_root;
static const char *name;
static char **command;
static int differences = -1;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void result(const char *what, const char *fmt, ...)
{
	char why[1024];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	for (char *c = why; *c; c++)
		if (*c == '\t' || *c == '\n')
			*c = ' ';
	f = result_path ? fopen(result_path, "w") : stdout;
	if (!f)
		exit(2);
	if (differences < 0)
		fprintf(f, "%s\t-\t%s\n", what, why);
	else
		fprintf(f, "%s\t%d\t%s\n", what, differences, why);
	fflush(f);
}

static void __attribute__((noreturn)) end(const char *what, const char *why)
{
	result(what, "%s", why);
	exit(!strcmp(what, "pass") ? 0 : 1);
}

#define end_errno(what, why) do {					\
		char text[512];						\
		snprintf(text, sizeof(text), "%s: %s", why, strerror(errno)); \
		end(what, text);					\
	} while (0)

/* Shows a file, a few lines of it. */
static void show(const char *title, const char *path, int lines)
{
	size_t len = 0;
	char *text = proc_read(path, &len), *p;

	if (!text || !len) {
		free(text);
		return;
	}
	p = text + len;
	while (p > text && lines >= 0)
		if (*--p == '\n')
			lines--;
	printf("--- %s:\n%s%s", title, *p == '\n' ? p + 1 : p, text[len - 1] == '\n' ? "" : "\n");
	fflush(stdout);
	free(text);
}

static void remove_matching(const char *pattern)
{
	glob_t g;
	char cmd[4096];

	if (!glob(pattern, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++) {
			if (!unlink(g.gl_pathv[i]))
				continue;
			snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", g.gl_pathv[i]);
			if (system(cmd))
				end("skip", "leftovers can't be removed");
		}
		globfree(&g);
	}
}

static void remove_leftovers(void)
{
	static const char *const patterns[] = {
		"%s.pid*", "%s.out*", "%s.test*", "%s.*.test", "%s.state", "%s.*.state",
		"chew_%s.test*", NULL
	};
	char pattern[512];

	for (int i = 0; patterns[i]; i++) {
		snprintf(pattern, sizeof(pattern), patterns[i], name);
		remove_matching(pattern);
	}
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (s < 0)
		return;
	ioctl(s, SIOCSIFFLAGS, &ifr);
	close(s);
}

/* Waits for @pid to end; false when it did not in time. */
static bool wait_for(pid_t pid, int *status, double limit)
{
	double until = now() + limit;

	for (;;) {
		pid_t p = waitpid(pid, status, WNOHANG);

		if (p == pid)
			return true;
		if (p < 0 || now() > until)
			return false;
		pause_ms(2);
	}
}

static int start_program(void)
{
	char path[512], *text;
	int status, pid;

	pid = fork();
	if (pid < 0)
		end_errno("skip", "fork");
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		close_range(3, ~0U, 0);
		if (!as_root) {
			setenv("ZDTM_UID", "18943", 1);
			setenv("ZDTM_GID", "58467", 1);
			setenv("ZDTM_GROUPS", "27495 48244", 1);
		}
		execv(command[0], command);
		_exit(127);
	}
	if (!wait_for(pid, &status, seconds / 2.0))
		end("skip", "the program did not get ready");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		snprintf(path, sizeof(path), "%s.out.inprogress", name);
		show("its messages", path, 10);
		snprintf(path, sizeof(path), "the program did not start (status %#x)", status);
		end("skip", path);
	}
	snprintf(path, sizeof(path), "%s.pid", name);
	text = proc_read(path, NULL);
	if (!text)
		end("skip", "the program left no pid file");
	pid = atoi(text);
	free(text);
	return pid;
}

/* Sends SIGTERM, waits, and reads the verdict. Returns NULL if it passed. */
static const char *verdict(int pid)
{
	static char why[700];
	char path[512], *text, *line;
	int status;

	if (kill(pid, SIGTERM)) {
		snprintf(why, sizeof(why), "pid %d can't be told to finish: %s", pid,
			 strerror(errno));
		return why;
	}
	if (!wait_for(pid, &status, seconds / 2.0)) {
		snprintf(why, sizeof(why), "pid %d did not end", pid);
		return why;
	}
	snprintf(path, sizeof(path), "%s.out.inprogress", name);
	if (!access(path, F_OK)) {
		show("its messages", path, 10);
		snprintf(why, sizeof(why), "crashed (status %#x)", status);
		return why;
	}
	snprintf(path, sizeof(path), "%s.out", name);
	text = proc_read(path, NULL);
	if (!text)
		return "no .out file";
	while (*text && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = 0;
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (strstr(line, "PASS"))
		return NULL;
	show("its messages", path, 10);
	snprintf(why, sizeof(why), "the program says: %s", line);
	return why;
}

static void kill_all_but_init(void)
{
	double until = now() + seconds / 4.0;

	kill(-1, SIGKILL);
	for (;;) {
		pid_t p = waitpid(-1, NULL, WNOHANG | __WALL);

		if (p < 0 && errno == ECHILD)
			return;
		if (p <= 0)
			pause_ms(2);
		if (now() > until)
			end("fail", "tasks can't be killed after the checkpoint");
	}
}

/* What lives in namespaces would make a test pass without a restart. */
static void purge_namespaces(void)
{
	static const struct {
		const char *file;
		int kind;
	} ipc[] = {
		{ "/proc/sysvipc/msg", 0 }, { "/proc/sysvipc/sem", 1 }, { "/proc/sysvipc/shm", 2 },
	};

	for (size_t i = 0; i < 3; i++) {
		char *text = proc_read(ipc[i].file, NULL), *save = NULL;

		if (!text)
			continue;
		for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
			int key, id;

			if (sscanf(l, "%d %d", &key, &id) != 2)
				continue;
			if (ipc[i].kind == 0)
				msgctl(id, IPC_RMID, NULL);
			else if (ipc[i].kind == 1)
				semctl(id, 0, IPC_RMID);
			else
				shmctl(id, IPC_RMID, NULL);
		}
		free(text);
	}
	if (sethostname("purged", 6) || setdomainname("purged", 6))
		perror("uts names");
}

static void first_record(const char *log, char *out, size_t size)
{
	char *text = proc_read(log, NULL), *nl;

	out[0] = 0;
	if (!text)
		return;
	nl = strchr(text, '\n');
	if (nl)
		*nl = 0;
	if (*text)
		snprintf(out, size, ": %s", text);
	free(text);
}

static const char *
one_call(const char *what, long (*call)(int, unsigned int, struct checkpoint_args *, size_t),
	 const char *image, int flags)
{
	struct checkpoint_args args = { 0 };
	char log[512], record[400];
	static char why[600];
	long ret;
	int fd, err;

	snprintf(log, sizeof(log), "%s/%s.%s.log", scratch, name, what);
	unlink(log);
	args.log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	fd = open(image, flags | O_CLOEXEC, 0600);
	if (fd < 0 || args.log_fd < 0)
		end_errno("fail", "image or log file");
	ret = call(fd, CHECKPOINT_F_ARGS, &args, sizeof(args));
	err = errno;
	close(fd);
	close(args.log_fd);
	printf("%s: %ld, tasks %llu, freeze %.3f ms, total %.3f ms, image %llu bytes, %llu pages\n",
	       what, ret, (unsigned long long)args.tasks, args.freeze_ns / 1e6,
	       args.total_ns / 1e6, (unsigned long long)args.image_bytes,
	       (unsigned long long)args.pages_data);
	show("records", log, 30);
	if (ret >= 0)
		return NULL;
	first_record(log, record, sizeof(record));
	snprintf(why, sizeof(why), "%s: %s%s", what, strerrorname_np(err) ?: strerror(err), record);
	return why;
}

static const char *through_kernel(void)
{
	char image[512];
	const char *why;

	snprintf(image, sizeof(image), "%s/%s.image", scratch, name);
	unlink(image);
	why = one_call("checkpoint", sys_checkpoint, image, O_RDWR | O_CREAT | O_TRUNC);
	if (why)
		return why;
	kill_all_but_init();
	purge_namespaces();
	why = one_call("restart", sys_restart, image, O_RDONLY);
	unlink(image);
	return why;
}

static int run_criu(const char *args)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), "setsid criu %s >>%s/%s.criu/out 2>&1 </dev/null", args,
		 scratch, name);
	return system(cmd);
}

static const char *through_criu(int pid)
{
	static char why[600];
	const char *more = getenv("PEER_CRIU_OPTS") ?: "";
	char args[800], path[512], cmd[1024];
	bool restoring = false;

	snprintf(cmd, sizeof(cmd), "rm -rf %s/%s.criu; mkdir -p %s/%s.criu", scratch, name,
		 scratch, name);
	if (system(cmd))
		end("skip", "no directory for CRIU's images");
	snprintf(args, sizeof(args), "dump -t %d -D %s/%s.criu -o dump.log -v4 %s", pid, scratch,
		 name, more);
	if (run_criu(args))
		goto failed;
	kill_all_but_init();
	purge_namespaces();
	restoring = true;
	snprintf(args, sizeof(args), "restore -d -D %s/%s.criu -o restore.log -v4 %s", scratch,
		 name, more);
	if (!run_criu(args))
		return NULL;
failed:
	snprintf(path, sizeof(path), "%s/%s.criu/%s.log", scratch, name,
		 restoring ? "restore" : "dump");
	snprintf(cmd, sizeof(cmd), "grep -a Error %s | head -n 1 >%s.first", path, path);
	if (system(cmd))
		perror("grep");
	snprintf(cmd, sizeof(cmd), "%s.first", path);
	first_record(cmd, args, 400);
	snprintf(why, sizeof(why), "criu %s%s", restoring ? "restore" : "dump", args);
	return why;
}

static void __attribute__((noreturn)) run_as_init(void)
{
	struct snap before = { 0 }, again = { 0 }, after = { 0 };
	const char *why, *harm;
	char text[1400];
	int pid;

	setsid();
	close_range(3, ~0U, 0);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		end_errno("skip", "mount");
	loopback_up();
	remove_leftovers();
	pid = start_program();
	pause_ms(60);

	if (!strcmp(mode, "plain")) {
		pause_ms(100);
		why = verdict(pid);
		end(why ? "skip" : "pass", why ?: "");
	}

	snap_take(&before, "/proc");
	pause_ms(60);
	snap_take(&again, "/proc");
	snap_mark_moving(&before, &again);

	if (!strcmp(mode, "ckpt"))
		why = through_kernel();
	else
		why = through_criu(pid);
	if (why) {
		/* It must not have been harmed, if it is there still. */
		if (!kill(pid, 0)) {
			harm = verdict(pid);
			if (harm) {
				snprintf(text, sizeof(text), "%s; AND HARMED: %s", why, harm);
				why = text;
			}
		}
		end("fail", why);
	}
	pause_ms(60);
	snap_take(&after, "/proc");
	differences = snap_diff(&before, &after, stdout);
	fflush(stdout);
	why = verdict(pid);
	if (why)
		end("fail", why);
	end("pass", "");
}

int main(int argc, char **argv)
{
	int opt, pid, status;

	while ((opt = getopt(argc, argv, "+m:r:s:t:U")) != -1) {
		switch (opt) {
		case 'm':
			mode = optarg;
			break;
		case 'r':
			result_path = optarg;
			break;
		case 's':
			scratch = optarg;
			break;
		case 't':
			seconds = atoi(optarg);
			break;
		case 'U':
			as_root = true;
			break;
		default:
			return 64;
		}
	}
	if (argc - optind < 2) {
		fprintf(stderr,
			"usage: %s [-m MODE] [-r RESULT] [-s SCRATCH] [-t SECONDS] [-U] NAME COMMAND...\n",
			argv[0]);
		return 64;
	}
	name = argv[optind];
	command = argv + optind + 1;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)) {
		perror("unshare");
		return 2;
	}
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return 2;
	}
	if (!pid)
		run_as_init();
	if (!wait_for(pid, &status, seconds)) {
		result("fail", "init did not end in %d s", seconds);
		kill(pid, SIGKILL);
		if (!wait_for(pid, &status, 10)) {
			/* Reported as a hang: nobody gets past it. */
			result("fail", "init hangs and can't be killed");
			for (;;)
				pause();
		}
		return 1;
	}
	if (!WIFEXITED(status)) {
		result("fail", "init died (status %#x)", status);
		return 1;
	}
	return WEXITSTATUS(status);
}
