// SPDX-License-Identifier: GPL-2.0-only
/*
 * A world that has changed while the job was away: files that are missing,
 * replaced or of another kind. A restart says which, and leaves nothing.
 */
#include "ckpt_harness.h"

static int file(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	NEED(fd >= 0 && write(fd, "0123456789", 10) == 10);
	return fd;
}

static void at(struct run *run, char *path, const char *name)
{
	snprintf(path, 128, "%s/%s", run->dir, name);
}

static void remove_it(struct run *run)
{
	char path[128];

	at(run, path, "f");
	if (unlink(path) && rmdir(path))
		run_fail(run, "%s can't be removed\n", path);
}

static void make_again(struct run *run)
{
	char path[128];
	int fd;

	remove_it(run);
	at(run, path, "f");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (write(fd, "9876543210", 10) != 10)
		run_fail(run, "%s can't be made\n", path);
	close(fd);
}

static void make_directory(struct run *run)
{
	char path[128];

	remove_it(run);
	at(run, path, "f");
	if (mkdir(path, 0700))
		run_fail(run, "%s can't be made\n", path);
}

static void make_file(struct run *run)
{
	make_again(run);
}

static void make_symlink(struct run *run)
{
	char path[128];

	remove_it(run);
	at(run, path, "f");
	if (symlink("/etc/passwd", path))
		run_fail(run, "%s can't be made\n", path);
}

static void make_fifo(struct run *run)
{
	char path[128];

	remove_it(run);
	at(run, path, "f");
	if (mkfifo(path, 0600))
		run_fail(run, "%s can't be made\n", path);
}

static void cut_short(struct run *run)
{
	char path[128];

	at(run, path, "f");
	if (truncate(path, 3))
		run_fail(run, "%s can't be truncated\n", path);
}

static void change(struct run *run)
{
	char path[128];
	int fd;

	sleep_ms(20);		/* another mtime, whatever the clock's grain */
	at(run, path, "f");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (pwrite(fd, "X", 1, 4) != 1)
		run_fail(run, "%s can't be written\n", path);
	close(fd);
}

SCENARIO(missing, .no_plain = true, .dead = remove_it, .restart_errno = ENOENT,
	 .restart_refused = "/f\"", .any_pid = true)
{
	file();
	job_hold();
}

SCENARIO(missing_directory, .no_plain = true, .dead = remove_it, .restart_errno = ENOENT,
	 .restart_refused = "/f\"", .any_pid = true)
{
	NEED(!mkdir("f", 0700) && open("f", O_RDONLY | O_DIRECTORY) >= 0);
	job_hold();
}

SCENARIO(missing_working_directory, .no_plain = true, .dead = remove_it,
	 .restart_errno = ENOENT, .restart_refused = "/f\"", .any_pid = true)
{
	NEED(!mkdir("f", 0700) && !chdir("f"));
	job_hold();
}

SCENARIO(missing_mapping, .no_plain = true, .dead = remove_it, .restart_errno = ENOENT,
	 .restart_refused = "/f\"", .any_pid = true)
{
	int fd = file();

	NEED(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED && !close(fd));
	job_hold();
}

/* Another kind of thing under the name. */
SCENARIO(now_a_directory, .no_plain = true, .dead = make_directory, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	file();
	job_hold();
}

SCENARIO(now_a_file, .no_plain = true, .dead = make_file, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	NEED(!mkdir("f", 0700) && open("f", O_RDONLY | O_DIRECTORY) >= 0);
	job_hold();
}

/* A link planted to somebody else's file. */
SCENARIO(now_a_symlink, .no_plain = true, .dead = make_symlink, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	file();
	job_hold();
}

/* Opening it must not hang. */
SCENARIO(now_a_fifo, .no_plain = true, .dead = make_fifo, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	file();
	job_hold();
}

/* FIFOs that are not what they were, or not the job's alone. */
static int fifo(void)
{
	int fd;

	NEED(!mkfifo("f", 0600));
	fd = open("f", O_RDWR);
	NEED(fd >= 0 && write(fd, "x", 1) == 1);
	return fd;
}

SCENARIO(missing_fifo, .no_plain = true, .dead = remove_it, .restart_errno = ENOENT,
	 .restart_refused = "\"kind\":\"fifo\"", .any_pid = true)
{
	fifo();
	job_hold();
}

SCENARIO(fifo_now_a_file, .no_plain = true, .dead = make_file, .restart_errno = ESTALE,
	 .restart_refused = "\"kind\":\"fifo\"", .any_pid = true)
{
	fifo();
	job_hold();
}

static void open_fifo(struct run *run)
{
	char path[128];

	at(run, path, "f");
	if (open(path, O_RDWR | O_CLOEXEC) < 0)
		run_fail(run, "%s can't be opened\n", path);
}

SCENARIO(fifo_in_use, .no_plain = true, .dead = open_fifo, .restart_errno = EBUSY,
	 .restart_refused = "somebody has it open", .any_pid = true)
{
	fifo();
	job_hold();
}

/* Another FIFO of that name will do, but not one for each of two names. */
static void part_links(struct run *run)
{
	char path[128];

	remove_it(run);
	at(run, path, "f");
	if (mkfifo(path, 0600))
		run_fail(run, "%s can't be made\n", path);
}

/* It need not be the same inode. */
SCENARIO(fifo_made_again, .no_plain = true, .dead = part_links, .may_differ = { " ino: " })
{
	char c = 0;
	int fd = fifo();

	job_hold();
	CHECK(read(fd, &c, 1) == 1 && c == 'x');
}

SCENARIO(fifo_parted, .no_plain = true, .dead = part_links, .restart_errno = ESTALE,
	 .restart_refused = "\"kind\":\"fifo\"", .any_pid = true)
{
	fifo();
	NEED(!link("f", "g") && open("g", O_RDWR) >= 0);
	job_hold();
}

/* A mapping of which private pages were saved over a file that is another. */
SCENARIO(mapping_replaced, .no_plain = true, .dead = make_again, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	int fd = file();
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	NEED(p != MAP_FAILED && !close(fd));
	job_hold();
	CHECK_EQ(p[0], '0');
}

SCENARIO(mapping_changed, .no_plain = true, .dead = change, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	int fd = file();
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	NEED(p != MAP_FAILED && !close(fd));
	job_hold();
	CHECK_EQ(p[0], '0');
}

SCENARIO(cut_off, .no_plain = true, .dead = cut_short, .restart_errno = ESTALE,
	 .restart_refused = "/f\"", .any_pid = true)
{
	file();
	job_hold();
}

TEST_HARNESS_MAIN
