/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A control group for a test: made and used by init, removed when nobody is in it.
 */
#ifndef CKPT_CGROUP_H
#define CKPT_CGROUP_H

#include "ckpt_harness.h"

#define CGROUPS "/sys/fs/cgroup"

static char cgroup_dir[128];

static inline bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int err = errno;

	close(fd);
	errno = err;
	return ok;
}

/* Sets a file of the group. */
static inline bool cgroup_set(const char *file, const char *text)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", cgroup_dir, file);
	return write_text(path, text);
}

static inline bool cgroup_add(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return cgroup_set("cgroup.procs", text);
}

/* A number in a file of the group: the one behind @name, or the only one; -1 for none. */
static inline long cgroup_get(const char *file, const char *name)
{
	char path[192], *text, *at;
	long value = -1;

	snprintf(path, sizeof(path), "%s/%s", cgroup_dir, file);
	text = proc_read(path, NULL);
	at = text && name ? strstr(text, name) : text;
	if (at)
		value = strtol(at + (name ? strlen(name) : 0), NULL, 10);
	free(text);
	return value;
}

static inline bool cgroup_await(const char *file, const char *name, long value)
{
	for (int i = 0; i < 5000 * time_factor(); i++) {
		if (cgroup_get(file, name) == value)
			return true;
		sleep_ms(1);
	}
	return false;
}

/* Makes the group, with a controller if there is to be one; skips where it can't be had. */
static inline void cgroup_make(struct run *run, const char *controller)
{
	snprintf(cgroup_dir, sizeof(cgroup_dir), CGROUPS "/%s", strrchr(run->dir, '/') + 1);
	if (controller && !write_text(CGROUPS "/cgroup.subtree_control", controller))
		RUN_SKIP(run, "no control groups with %s\n", controller);
	if (mkdir(cgroup_dir, 0755))
		RUN_SKIP(run, "no control groups: %s\n", strerror(errno));
}

/* Init is moved out of it, if it is in it, and nobody else may be. */
static inline void cgroup_remove(struct run *run)
{
	bool gone = false;

	write_text(CGROUPS "/cgroup.procs", "0");
	for (int i = 0; i < 5000 && !(gone = !rmdir(cgroup_dir)) && errno == EBUSY; i++)
		sleep_ms(1);
	if (!gone)
		run_fail(run, "the control group stays: %s\n", strerror(errno));
}

#endif /* CKPT_CGROUP_H */
