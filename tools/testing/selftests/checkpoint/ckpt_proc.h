/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc says of every task of a pid namespace but its init, as a sorted
 * list of (key, value), and the differences between two such lists. It is how
 * the tests see from outside that a restarted job is what it was.
 *
 * Left out is what may differ between two looks at one job that does nothing:
 * times, counters, what is resident, and the numbers of inodes without a name.
 * Everything else has to be the same. A job that is at work changes more than
 * that (file positions, say): snap_mark_moving() leaves out what changed
 * between two looks before the checkpoint.
 */
#ifndef CKPT_PROC_H
#define CKPT_PROC_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct snap_entry {
	char *key;
	char *value;
	bool moving;
};

struct snap {
	struct snap_entry *e;
	size_t n, room;
};

static inline void snap_add(struct snap *s, const char *key, const char *value)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 256;
		s->e = realloc(s->e, s->room * sizeof(*s->e));
		if (!s->e)
			abort();
	}
	s->e[s->n].key = strdup(key);
	s->e[s->n].value = strdup(value);
	s->e[s->n].moving = false;
	s->n++;
}

static inline void snap_free(struct snap *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->e[i].key);
		free(s->e[i].value);
	}
	free(s->e);
	memset(s, 0, sizeof(*s));
}

/* The whole of a file in /proc; NULL if it can't be read. */
static inline char *proc_read(const char *path, size_t *len)
{
	size_t n = 0, room = 1 << 16;
	char *buf;
	ssize_t r;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	buf = malloc(room + 1);
	while (buf && (r = read(fd, buf + n, room - n)) != 0) {
		if (r < 0) {
			free(buf);
			close(fd);
			return NULL;
		}
		n += r;
		if (n == room) {
			room *= 2;
			buf = realloc(buf, room + 1);
		}
	}
	close(fd);
	if (buf)
		buf[n] = 0;
	if (len)
		*len = n;
	return buf;
}

static inline bool proc_in_list(const char *word, size_t len, const char *const *list)
{
	for (; *list; list++)
		if (strlen(*list) == len && !strncmp(word, *list, len))
			return true;
	return false;
}

/* One entry for each "Name: value" line that is not in @skip. */
static inline void snap_fields(struct snap *s, const char *prefix, char *text,
			       const char *const *skip)
{
	char *save = NULL, key[128];

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(l, ':');

		if (!colon || proc_in_list(l, colon - l, skip))
			continue;
		snprintf(key, sizeof(key), "%s %.*s", prefix, (int)(colon - l), l);
		colon++;
		while (isspace((unsigned char)*colon))
			colon++;
		snap_add(s, key, colon);
	}
}

/* Numbers in /proc/PID/stat that stand for the task's state, counted from 1. */
static inline void snap_stat(struct snap *s, const char *prefix, char *text)
{
	static const struct {
		int nr;
		const char *name;
	} fields[] = {
		{ 4, "ppid" }, { 5, "pgrp" }, { 6, "session" }, { 7, "tty_nr" },
		{ 8, "tpgid" }, { 9, "flags" }, { 18, "priority" }, { 19, "nice" },
		{ 20, "num_threads" }, { 23, "vsize" }, { 25, "rsslim" },
		{ 26, "startcode" }, { 27, "endcode" }, { 28, "startstack" },
		{ 31, "signal" }, { 32, "blocked" }, { 33, "sigignore" },
		{ 34, "sigcatch" }, { 38, "exit_signal" }, { 40, "rt_priority" },
		{ 41, "policy" }, { 45, "start_data" }, { 46, "end_data" },
		{ 47, "start_brk" }, { 48, "arg_start" }, { 49, "arg_end" },
		{ 50, "env_start" }, { 51, "env_end" }, { 52, "exit_code" },
	};
	char *p = strrchr(text, ')'), *save = NULL, key[128], value[32];
	int nr = 3;

	if (!p)
		return;
	for (char *w = strtok_r(p + 1, "\n ", &save); w; w = strtok_r(NULL, "\n ", &save), nr++) {
		/* Running and sleeping come and go; stopped and dead do not. */
		if (nr == 3 && strchr("TtZX", *w)) {
			snprintf(key, sizeof(key), "%s state", prefix);
			snap_add(s, key, w);
		}
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			if (fields[i].nr != nr)
				continue;
			snprintf(key, sizeof(key), "%s %s", prefix, fields[i].name);
			if (nr == 9) {
				/* PF_FORKNOEXEC, PF_RANDOMIZE: setpgid(2) and brk(2) ask. */
				snprintf(value, sizeof(value), "%#lx",
					 strtoul(w, NULL, 10) & 0x400040);
				snap_add(s, key, value);
			} else {
				snap_add(s, key, w);
			}
		}
	}
}

/* The inode of an object without a name is another one after a restart. */
static inline bool proc_nameless(const char *name)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(name), end = sizeof(deleted) - 1;

	return (len > end && !strcmp(name + len - end, deleted)) || !strncmp(name, "/SYSV", 5) ||
	       !strncmp(name, "/memfd:", 7) || !strncmp(name, "anon_inode:", 11) ||
	       !strncmp(name, "/anon_hugepage", 14) || !strncmp(name, "[anon_shmem:", 12) ||
	       !strncmp(name, "pipe:[", 6) || !strncmp(name, "socket:[", 8);
}

static inline void snap_maps(struct snap *s, const char *prefix, char *text)
{
	char *save = NULL, key[128], value[4400];

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char range[64], perms[8], dev[16], name[4096] = "";
		unsigned long long off, ino;

		if (sscanf(l, "%63s %7s %llx %15s %llu %4095[^\n]",
			   range, perms, &off, dev, &ino, name) < 5)
			continue;
		if (proc_nameless(name))
			ino = 0;
		snprintf(key, sizeof(key), "%s %s", prefix, range);
		snprintf(value, sizeof(value), "%s %llx %s %llu %s", perms, off, dev, ino, name);
		snap_add(s, key, value);
	}
}

static inline void snap_smaps(struct snap *s, const char *prefix, char *text)
{
	static const char *const want[] = {
		"Size", "KernelPageSize", "MMUPageSize", "THPeligible", "ProtectionKey",
		"VmFlags", "Private_Hugetlb", "Shared_Hugetlb", NULL
	};
	char *save = NULL, key[160], range[64] = "";

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(l, ':'), *space = strchr(l, ' ');

		if (space && space < (colon ? colon : l + strlen(l)) && strchr(l, '-') < space) {
			snprintf(range, sizeof(range), "%.*s", (int)(space - l), l);
			continue;
		}
		if (!colon || !proc_in_list(l, colon - l, want))
			continue;
		snprintf(key, sizeof(key), "%s %s %.*s", prefix, range, (int)(colon - l), l);
		colon++;
		while (isspace((unsigned char)*colon))
			colon++;
		/* "sd": written to since someone last cleared it; it is new memory. */
		for (char *sd; (sd = strstr(colon, "sd ")); )
			memmove(sd, sd + 3, strlen(sd + 3) + 1);
		snap_add(s, key, colon);
	}
}

static inline void snap_link(struct snap *s, const char *key, const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return;
	target[n] = 0;
	if (!strncmp(target, "pipe:[", 6))
		strcpy(target, "pipe");
	snap_add(s, key, target);
}

static inline void snap_whole(struct snap *s, const char *key, const char *path)
{
	size_t len = 0;
	char *text = proc_read(path, &len), *hex;

	if (!text)
		return;
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)text[i]) && text[i] != '\n' && text[i])
			goto binary;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n' || !text[i])
			text[i] = ' ';
	snap_add(s, key, text);
	free(text);
	return;
binary:
	hex = malloc(2 * len + 1);
	for (size_t i = 0; hex && i < len; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)text[i]);
	if (hex)
		snap_add(s, key, hex);
	free(hex);
	free(text);
}

static inline void snap_fds(struct snap *s, const char *dir, int pid)
{
	static const char *const named[] = { NULL };
	/* Numbers that the kernel gives out for the whole machine. */
	static const char *const nameless[] = { "ino", "eventfd-id", NULL };
	char path[300], key[128], target[64];
	struct dirent *d;
	DIR *fds;

	snprintf(path, sizeof(path), "%s/fd", dir);
	fds = opendir(path);
	while (fds && (d = readdir(fds))) {
		char *text;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/fd/%s", dir, d->d_name);
		snprintf(key, sizeof(key), "%d fd %s", pid, d->d_name);
		snap_link(s, key, path);
		memset(target, 0, sizeof(target));
		if (readlink(path, target, sizeof(target) - 1) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/fdinfo/%s", dir, d->d_name);
		snprintf(key, sizeof(key), "%d fdinfo %s", pid, d->d_name);
		text = proc_read(path, NULL);
		if (text)
			snap_fields(s, key, text, proc_nameless(target) ? nameless : named);
		free(text);
	}
	if (fds)
		closedir(fds);
}

static inline void snap_task(struct snap *s, const char *proc, int pid, int tid)
{
	static const char *const status_skip[] = {
		"State", "FDSize", "VmPeak", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem",
		"VmPTE", "VmSwap", "SigQ", "voluntary_ctxt_switches",
		"nonvoluntary_ctxt_switches", NULL
	};
	static const char *const whole[] = {
		"comm", "timerslack_ns", "sched_policy", "personality", "children",
		"attr/current", NULL
	};
	char dir[256], path[300], key[128];
	char *text;

	snprintf(dir, sizeof(dir), "%s/%d/task/%d", proc, pid, tid);
	snprintf(path, sizeof(path), "%s/status", dir);
	snprintf(key, sizeof(key), "%d status", tid);
	text = proc_read(path, NULL);
	if (!text)
		return;
	snap_fields(s, key, text, status_skip);
	free(text);
	snprintf(path, sizeof(path), "%s/stat", dir);
	snprintf(key, sizeof(key), "%d stat", tid);
	text = proc_read(path, NULL);
	if (text)
		snap_stat(s, key, text);
	free(text);
	for (int i = 0; whole[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, whole[i]);
		snprintf(key, sizeof(key), "%d %s", tid, whole[i]);
		snap_whole(s, key, path);
	}
}

static inline void snap_process(struct snap *s, const char *proc, int pid)
{
	static const char *const whole[] = {
		"cmdline", "environ", "auxv", "limits", "oom_score_adj", "coredump_filter",
		"loginuid", "timers", "timerslack_ns", "gid_map", NULL
	};
	static const char *const links[] = {
		"cwd", "root", "exe", "ns/pid", "ns/mnt", "ns/net", "ns/ipc", "ns/uts", "ns/user",
		"ns/cgroup", "ns/time", "ns/pid_for_children", "ns/time_for_children", NULL
	};
	char dir[128], path[300], key[128];
	struct dirent *d;
	char *text;
	DIR *tasks;

	snprintf(dir, sizeof(dir), "%s/%d", proc, pid);
	snprintf(path, sizeof(path), "%s/task", dir);
	tasks = opendir(path);
	while (tasks && (d = readdir(tasks)))
		if (isdigit((unsigned char)d->d_name[0]))
			snap_task(s, proc, pid, atoi(d->d_name));
	if (tasks)
		closedir(tasks);

	snprintf(path, sizeof(path), "%s/maps", dir);
	snprintf(key, sizeof(key), "%d maps", pid);
	text = proc_read(path, NULL);
	if (text)
		snap_maps(s, key, text);
	free(text);
	snprintf(path, sizeof(path), "%s/smaps", dir);
	snprintf(key, sizeof(key), "%d smaps", pid);
	text = proc_read(path, NULL);
	if (text)
		snap_smaps(s, key, text);
	free(text);
	snap_fds(s, dir, pid);
	for (int i = 0; whole[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, whole[i]);
		snprintf(key, sizeof(key), "%d %s", pid, whole[i]);
		snap_whole(s, key, path);
	}
	for (int i = 0; links[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, links[i]);
		snprintf(key, sizeof(key), "%d %s", pid, links[i]);
		snap_link(s, key, path);
	}
}

static inline int snap_compare(const void *a, const void *b)
{
	return strcmp(((const struct snap_entry *)a)->key, ((const struct snap_entry *)b)->key);
}

/*
 * Pipes and sockets are known by a number that is another one after a restart:
 * who shares which stays. So number them by first appearance.
 */
static inline void snap_renumber(struct snap *s)
{
	struct snap was = { 0 };
	char fresh[64];

	for (size_t i = 0; i < s->n; i++) {
		char *v = s->e[i].value;
		size_t j;

		if (strncmp(v, "pipe:[", 6) && strncmp(v, "socket:[", 8))
			continue;
		for (j = 0; j < was.n && strcmp(was.e[j].key, v); j++)
			;
		if (j == was.n)
			snap_add(&was, v, "");
		snprintf(fresh, sizeof(fresh), "%.*s%zu]", (int)(strchr(v, '[') - v + 1), v, j);
		free(v);
		s->e[i].value = strdup(fresh);
	}
	snap_free(&was);
}

/* All tasks that @proc shows, but pid 1 and the caller. */
static inline void snap_take(struct snap *s, const char *proc)
{
	DIR *dir = opendir(proc);
	struct dirent *d;

	memset(s, 0, sizeof(*s));
	while (dir && (d = readdir(dir))) {
		int pid = atoi(d->d_name);

		if (pid > 1 && pid != getpid())
			snap_process(s, proc, pid);
	}
	if (dir)
		closedir(dir);
	if (s->n)
		qsort(s->e, s->n, sizeof(*s->e), snap_compare);
	snap_renumber(s);
}

/*
 * Write a line to @out for each difference; returns their number. With @mark,
 * entries of @a that differ are marked as moving and nothing is written.
 */
static inline int snap_walk(struct snap *a, struct snap *b, FILE *out, bool mark)
{
	size_t i = 0, j = 0;
	int diffs = 0;

	while (i < a->n || j < b->n) {
		struct snap_entry *ea = i < a->n ? &a->e[i] : NULL;
		struct snap_entry *eb = j < b->n ? &b->e[j] : NULL;
		int c = !ea ? 1 : !eb ? -1 : strcmp(ea->key, eb->key);

		if (c < 0) {
			i++;
			if (mark)
				ea->moving = true;
			if (ea->moving)
				continue;
			fprintf(out, "%s: '%s' is gone\n", ea->key, ea->value);
		} else if (c > 0) {
			j++;
			if (mark)
				continue;
			fprintf(out, "%s: '%s' is new\n", eb->key, eb->value);
		} else {
			i++;
			j++;
			if (!strcmp(ea->value, eb->value))
				continue;
			if (mark)
				ea->moving = true;
			if (ea->moving)
				continue;
			fprintf(out, "%s: '%s' became '%s'\n", ea->key, ea->value, eb->value);
		}
		diffs++;
	}
	return diffs;
}

static inline void snap_mark_moving(struct snap *before, struct snap *again)
{
	snap_walk(before, again, stderr, true);
}

static inline int snap_diff(struct snap *before, struct snap *after, FILE *out)
{
	return snap_walk(before, after, out, false);
}

#endif /* CKPT_PROC_H */
