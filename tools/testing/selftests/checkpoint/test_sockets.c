// SPDX-License-Identifier: GPL-2.0-only
/*
 * UNIX sockets without a name: pairs of all types, what waits to be read from
 * them, ends that were closed or shut down, who made them and who sent to them,
 * options; and what of sockets is refused.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <grp.h>
#include <linux/filter.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD		76
#define SO_PEERPIDFD		77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS		83
#endif
#ifndef SO_INQ
#define SO_INQ			84
#endif

#define NOW MSG_DONTWAIT

/* The next thing to be read is @text, and nothing more comes with it. */
static void next_is(int s, const char *text)
{
	char buf[64] = "";
	ssize_t n = recv(s, buf, sizeof(buf), NOW);

	if (n != (ssize_t)strlen(text) || memcmp(buf, text, n)) {
		CHECK(!"read");
		job_say("%zd bytes '%s', not '%s'\n", n, buf, text);
	}
}

static void nothing_left(int s)
{
	char c;

	CHECK(recv(s, &c, 1, NOW) < 0 && errno == EAGAIN);
}

static int get_int(int s, int name)
{
	int value = -12345;
	socklen_t len = sizeof(value);

	CHECK(!getsockopt(s, SOL_SOCKET, name, &value, &len));
	return value;
}

static bool set_int(int s, int name, int value)
{
	return !setsockopt(s, SOL_SOCKET, name, &value, sizeof(value));
}

/* Both work as a new pair does. */
static void still_works(int s[2])
{
	CHECK(send(s[0], "ping", 4, NOW) == 4);
	next_is(s[1], "ping");
	CHECK(send(s[1], "pong!", 5, NOW) == 5);
	next_is(s[0], "pong!");
	nothing_left(s[0]);
	nothing_left(s[1]);
}

SCENARIO(stream)
{
	struct stat st;
	char buf[8];
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	NEED(write(s[0], "0123", 4) == 4 && write(s[0], "456789", 6) == 6);
	NEED(write(s[1], "back", 4) == 4 && read(s[1], buf, 6) == 6);
	NEED(!fcntl(s[0], F_SETFL, O_NONBLOCK) && !fcntl(s[1], F_SETFL, O_APPEND));
	NEED(!fchown(s[0], 1000, 1001) && !fchmod(s[0], 0640));
	job_hold();
	CHECK_EQ(fcntl(s[0], F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(fcntl(s[1], F_GETFL), O_RDWR | O_APPEND);
	CHECK_EQ(fcntl(s[0], F_GETFD), FD_CLOEXEC);
	CHECK(!fstat(s[0], &st) && st.st_uid == 1000 && st.st_gid == 1001);
	CHECK_EQ(st.st_mode, S_IFSOCK | 0640);
	CHECK(!fstat(s[1], &st) && !st.st_uid && st.st_mode == (S_IFSOCK | 0777));
	CHECK_EQ(get_int(s[0], SO_TYPE), SOCK_STREAM);
	next_is(s[1], "6789");
	next_is(s[0], "back");
	nothing_left(s[0]);
	nothing_left(s[1]);
	still_works(s);
	close(s[1]);
	CHECK(read(s[0], buf, 1) == 0);
}

/* As much as goes in, in pieces of an odd size. */
SCENARIO(stream_full)
{
	static char in[1 << 20], out[1 << 20];
	size_t all = 0, n = 0;
	int s[2], queued;
	ssize_t r;

	fill(in, sizeof(in), 11);
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	while (all + 33333 < sizeof(in) && (r = send(s[0], in + all, 33333, NOW)) > 0)
		all += r;
	NEED(all > 100000 && recv(s[1], out, 5000, NOW) == 5000);
	NEED(!ioctl(s[1], FIONREAD, &queued) && queued == (int)all - 5000);
	job_hold();
	CHECK(!ioctl(s[1], FIONREAD, &queued) && queued == (int)all - 5000);
	for (n = 5000; (r = recv(s[1], out + n, sizeof(out) - n, NOW)) > 0;)
		n += r;
	CHECK_EQ(n, all);
	CHECK(!memcmp(in, out, all));
	still_works(s);
}

static void messages(int type)
{
	static char big[60000], out[60000];
	int s[2];

	fill(big, sizeof(big), 5);
	NEED(!socketpair(AF_UNIX, type, 0, s));
	NEED(send(s[0], "one", 3, 0) == 3 && send(s[0], "", 0, 0) == 0);
	NEED(send(s[0], "three", 5, 0) == 5 && send(s[0], big, sizeof(big), 0) == sizeof(big));
	NEED(send(s[1], "other way", 9, 0) == 9);
	job_hold();
	CHECK_EQ(get_int(s[1], SO_TYPE), type);
	next_is(s[1], "one");
	next_is(s[1], "");
	CHECK(recv(s[1], out, 2, NOW | MSG_TRUNC) == 5);
	CHECK(recv(s[1], out, sizeof(out), NOW) == sizeof(out) && !memcmp(big, out, sizeof(out)));
	next_is(s[0], "other way");
	nothing_left(s[1]);
	still_works(s);
}

SCENARIO(dgram)
{
	messages(SOCK_DGRAM);
}

SCENARIO(seqpacket)
{
	messages(SOCK_SEQPACKET);
}

/* One end was closed; what it had sent is there. */
static void peer_closed(int type)
{
	int s[2];

	signal(SIGPIPE, SIG_IGN);
	NEED(!socketpair(AF_UNIX, type, 0, s));
	NEED(send(s[0], "last", 4, 0) == 4 && send(s[0], "words", 5, 0) == 5 && !close(s[0]));
	job_hold();
	CHECK_EQ(get_int(s[1], SO_ERROR), 0);
	if (type == SOCK_STREAM) {
		next_is(s[1], "lastwords");
	} else {
		next_is(s[1], "last");
		next_is(s[1], "words");
	}
	if (type == SOCK_DGRAM) {
		nothing_left(s[1]);
		CHECK(send(s[1], "x", 1, NOW) < 0 && errno == ECONNREFUSED);
	} else {
		next_is(s[1], "");
		CHECK(send(s[1], "x", 1, NOW) < 0 && errno == EPIPE);
	}
}

SCENARIO(peer_closed_stream)
{
	peer_closed(SOCK_STREAM);
}

SCENARIO(peer_closed_dgram)
{
	peer_closed(SOCK_DGRAM);
}

SCENARIO(peer_closed_seqpacket)
{
	peer_closed(SOCK_SEQPACKET);
}

/* It was closed with something unread: an error waits for the one that sent it. */
SCENARIO(peer_reset)
{
	char c;
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	NEED(send(s[1], "lost", 4, 0) == 4 && send(s[0], "x", 1, 0) == 1 && !close(s[0]));
	job_hold();
	next_is(s[1], "x");
	CHECK(recv(s[1], &c, 1, NOW) < 0 && errno == ECONNRESET);
	next_is(s[1], "");
}

JOB(closing)
{
	char c;
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !close(s[0]));
	job_hold();
	CHECK(recv(s[1], &c, 1, NOW) == 0);
}

/* The other end is closed, whatever the image says of what this one was told. */
INIT_TEST(closed_and_not_told, closing)
{
	enum { SOCKET = 36, SHUTDOWN = 20 };
	struct image im = load(run);
	unsigned char *s = record(&im, SOCKET, 0);

	if (!WANT(s && get32(s + SHUTDOWN) == 3))
		return;
	put32(s + SHUTDOWN, 0);
	seal(&im);
	WANT_ERR(try_restart(scratch_file(im.b, im.len)), 0);
	job_finish(run);
}

/*
 * Ends that are closed by a kernel thread, a moment after nobody has them any more: they
 * were on their way in sockets that only have each other.
 */
static void leave_to_kernel(int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .head = { CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec data = { "x", 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control.room),
	};
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	memcpy(CMSG_DATA(&control.head), (int []){ fd, s[1] }, 2 * sizeof(int));
	NEED(sendmsg(s[0], &message, 0) == 1);
	close(s[0]);
	close(s[1]);
	close(fd);
}

/*
 * The thread does not look again for what was left while it looked, but when the next
 * socket is closed: unix_schedule_gc().
 */
static bool is_told(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int s[2];

	for (int i = 0; i < 10; i++) {
		if (poll(&p, 1, 100) == 1)
			return true;
		NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !close(s[0]) && !close(s[1]));
	}
	return false;
}

enum { ENDS = 256, AT_ONCE = 8 };

JOB(closing_always, .moving = true)
{
	static int end[ENDS];
	int at = 0, s[2], left = 0;

	job.stage = JOB_HOLDS;
	while (job.hold) {
		for (int i = 0; i < AT_ONCE; i++, at = (at + 1) % ENDS) {
			if (end[at])
				close(end[at]);
			NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
			end[at] = s[0];
			leave_to_kernel(s[1]);
		}
		sleep_ms(5);
	}
	for (int i = 0; i < ENDS; i++)
		left += end[i] && !is_told(end[i]);
	CHECK_EQ(left, 0);
}

INIT_TEST(closed_in_this_moment, closing_always)
{
	int saved = 0;

	for (int round = 0; round < 8 && !run->verdict; round++) {
		int err = EOPNOTSUPP;

		if (!WANT(job_start(run)))
			return;
		/* While an end is in a message it is refused. */
		for (int i = 0; i < 200 && err == EOPNOTSUPP; i++)
			err = save(run);
		if (!WANT_ERR(err, 0)) {
			say_log(run, LOG_PATH);
			return;
		}
		saved++;
		kill_all(run);
		WANT_ERR(bring_back(run), 0);
		job_finish(run);
	}
	run_say(run, "%d rounds\n", saved);
}

/* The other end was closed, and the first attempt to send has found out. */
SCENARIO(dgram_disconnected)
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && !close(s[0]));
	NEED(send(s[1], "x", 1, 0) < 0 && errno == ECONNREFUSED);
	job_hold();
	CHECK(send(s[1], "x", 1, NOW) < 0 && errno == ENOTCONN);
	nothing_left(s[1]);
}

/* It was disconnected, and the one that it was connected to has sent still, and is gone. */
SCENARIO(dgram_left_behind)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int s[2], n = 0;

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && !connect(s[1], &none, sizeof(none)));
	NEED(send(s[0], "first", 5, 0) == 5);
	/* As many as there may be. */
	while (send(s[0], "more", 4, NOW) == 4)
		n++;
	NEED(n > 1 && errno == EAGAIN && !close(s[0]));
	job_hold();
	CHECK_EQ(get_int(s[1], SO_ERROR), 0);
	next_is(s[1], "first");
	while (n-- > 0)
		next_is(s[1], "more");
	nothing_left(s[1]);
	CHECK(send(s[1], "x", 1, NOW) < 0 && errno == ENOTCONN);
}

SCENARIO(not_connected)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "name" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	int d = socket(AF_UNIX, SOCK_DGRAM, 0);

	NEED(s >= 0 && d >= 0);
	job_hold();
	CHECK(send(d, "x", 1, NOW | MSG_NOSIGNAL) < 0 && errno == ENOTCONN);
	CHECK(recv(s, &a, 1, NOW) < 0 && errno == EINVAL);
	CHECK(!bind(s, (struct sockaddr *)&a, sizeof(a)) && !listen(s, 1));
	CHECK(!unlink("name"));
	close(s);
}

/* shutdown(2), one way and the other; a stream tells the other end. */
SCENARIO(shut_down)
{
	int s[2], d[2], both[2];
	char c;

	signal(SIGPIPE, SIG_IGN);
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, d));
	NEED(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, both));
	NEED(send(s[0], "rest", 4, 0) == 4 && !shutdown(s[0], SHUT_WR));
	NEED(!shutdown(d[1], SHUT_RD) && !shutdown(both[0], SHUT_RDWR));
	job_hold();
	next_is(s[1], "rest");
	next_is(s[1], "");
	CHECK(send(s[0], "x", 1, NOW) < 0 && errno == EPIPE);
	CHECK(send(s[1], "back", 4, NOW) == 4);
	next_is(s[0], "back");
	nothing_left(s[0]);
	CHECK(send(d[0], "x", 1, NOW) < 0 && errno == EPIPE);
	CHECK(send(d[1], "yes", 3, NOW) == 3);
	next_is(d[0], "yes");
	CHECK(send(both[0], "x", 1, NOW) < 0 && errno == EPIPE);
	CHECK(send(both[1], "x", 1, NOW) < 0 && errno == EPIPE);
	CHECK(recv(both[1], &c, 1, NOW) == 0);
}

/* The same end twice in one process, and both in two. */
SCENARIO(between_processes, .tasks = 2)
{
	char buf[16] = "";
	int s[2], again, status;
	pid_t pid;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid = fork();
	if (!pid) {
		ssize_t n;

		close(s[0]);
		/* It waits here when it is saved. */
		while ((n = read(s[1], buf, sizeof(buf))) > 0)
			if (write(s[1], buf, n) != n)
				_exit(1);
		_exit(n ? 2 : 3);
	}
	again = dup(s[0]);
	close(s[1]);
	NEED(write(s[0], "ping", 4) == 4 && recv(s[0], buf, 4, MSG_WAITALL) == 4);
	job_hold();
	CHECK(write(again, "pong!", 5) == 5 && recv(s[0], buf, 5, MSG_WAITALL) == 5);
	CHECK(!strcmp(buf, "pong!"));
	close(s[0]);
	close(again);
	CHECK(waitpid(pid, &status, 0) == pid && status == 3 << 8);
}

/* Half of a pair each, and a task that has no end of it. */
SCENARIO(ends_in_children, .tasks = 3)
{
	int s[2], status;
	pid_t pids[2];

	NEED(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		close(s[!i]);
		if (i) {
			char c;

			_exit(read(s[1], &c, 1) == 1 && c == 'q' ? 0 : 1);
		}
		while (job.hold)
			sleep_ms(2);
		_exit(write(s[0], "q", 1) == 1 ? 0 : 1);
	}
	close(s[0]);
	close(s[1]);
	job_hold();
	/* The child has its own memory, and waits for its own word. */
	CHECK(!kill(pids[0], SIGKILL));
	CHECK(waitpid(pids[0], &status, 0) == pids[0]);
	CHECK(waitpid(pids[1], &status, 0) == pids[1] && status == 1 << 8);
}

/* A writer that waits for room goes on when there is some. */
SCENARIO(writer_waits, .tasks = 2)
{
	static char block[4096], got[4096];
	int s[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid = fork();
	if (!pid) {
		close(s[0]);
		for (int i = 0; i < 500; i++) {
			fill(block, sizeof(block), i);
			if (send(s[1], block, sizeof(block), 0) != sizeof(block))
				_exit(1);
		}
		_exit(0);
	}
	close(s[1]);
	sleep_ms(100);
	job_hold();
	for (int i = 0; i < 500; i++) {
		r = recv(s[0], got, sizeof(got), MSG_WAITALL);
		n += r > 0 ? r : 0;
		if (r != sizeof(got) || !filled(got, sizeof(got), i))
			break;
	}
	CHECK_EQ(n, 500 * sizeof(block));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* SO_PEERCRED and SO_PEERGROUPS: who made the pair, as it was then. */
SCENARIO(made_by)
{
	gid_t groups[8] = { 0 };
	socklen_t len = sizeof(groups);
	struct ucred who;
	int s[2], other[2];

	NEED(!setgroups(3, (gid_t[]){ 7, 8, 9 }) && !setresgid(-1, 1001, -1) &&
	     !setresuid(-1, 1000, -1));
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	NEED(!setresuid(-1, 0, -1) && !setresgid(-1, 0, -1) && !setgroups(0, NULL));
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, other));
	job_hold();
	CHECK(!getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len));
	CHECK(len == 12 && groups[0] == 7 && groups[1] == 8 && groups[2] == 9);
	len = sizeof(who);
	CHECK(!getsockopt(s[1], SOL_SOCKET, SO_PEERCRED, &who, &len));
	CHECK(who.pid == getpid() && who.uid == 1000 && who.gid == 1001);
	CHECK(!getsockopt(other[1], SOL_SOCKET, SO_PEERCRED, &who, &len));
	CHECK(who.pid == getpid() && !who.uid && !who.gid);
	len = sizeof(groups);
	CHECK(!getsockopt(other[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len) && len == 0);
}

static int pidfd_of(int s)
{
	int fd = -1;
	socklen_t len = sizeof(fd);

	return getsockopt(s, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) ? -1 : fd;
}

/* By a child, that lives or has exited. */
SCENARIO(made_by_child, .tasks = 2)
{
	int s[2], gone[2], fd, low[2];
	socklen_t len = sizeof(struct ucred);
	pid_t lives, exited;
	struct ucred who;

	/* Descriptors are shared until exec or exit. */
	exited = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!exited)
		_exit(!!socketpair(AF_UNIX, SOCK_DGRAM, 0, low));
	NEED(exited > 0 && waitpid(exited, NULL, 0) == exited);
	/* The two lowest that were free. */
	gone[0] = 3;
	gone[1] = 4;
	NEED(get_int(gone[0], SO_TYPE) == SOCK_DGRAM && get_int(gone[1], SO_TYPE) == SOCK_DGRAM);
	lives = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!lives) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, low))
			_exit(1);
		for (;;)
			pause();
	}
	s[0] = 5;
	s[1] = 6;
	for (int i = 0; i < 5000 && fcntl(s[1], F_GETFD) < 0; i++)
		sleep_ms(1);
	NEED(get_int(s[1], SO_TYPE) == SOCK_STREAM);
	NEED(send(gone[0], "x", 1, 0) == 1);
	job_hold();
	CHECK(!getsockopt(gone[0], SOL_SOCKET, SO_PEERCRED, &who, &len));
	CHECK_EQ(who.pid, exited);
	CHECK(!getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &who, &len));
	CHECK_EQ(who.pid, lives);
	next_is(gone[1], "x");
	fd = pidfd_of(s[0]);
	if (fd >= 0)
		CHECK(!syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	else
		kill(lives, SIGKILL);
	close(fd);
	/* That it has exited is known, too, if the kernel makes such a thing. */
	fd = pidfd_of(gone[0]);
	if (fd >= 0)
		CHECK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0 && errno == ESRCH);
	close(fd);
	CHECK(waitpid(lives, NULL, 0) == lives);
}

static bool send_as(int s, const char *text, struct ucred who)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(who))];
	} c = { .h = { CMSG_LEN(sizeof(who)), SOL_SOCKET, SCM_CREDENTIALS } };
	struct iovec v = { (void *)text, strlen(text) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c),
	};

	memcpy(CMSG_DATA(&c.h), &who, sizeof(who));
	return sendmsg(s, &m, 0) == (ssize_t)v.iov_len;
}

/* The next message is @text, from @who; without a sender if that has a pid of -1. */
static void next_is_from(int s, const char *text, struct ucred who)
{
	struct ucred is = { -1, -1, -1 };
	char buf[64] = "";
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(is))];
	} c;
	struct iovec v = { buf, sizeof(buf) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c),
	};
	ssize_t n = recvmsg(s, &m, NOW);

	if (CHECK(n == (ssize_t)strlen(text) && !memcmp(buf, text, n)) &&
	    CHECK(m.msg_controllen >= sizeof(c.h) && c.h.cmsg_type == SCM_CREDENTIALS))
		memcpy(&is, CMSG_DATA(&c.h), sizeof(is));
	CHECK_EQ(is.pid, who.pid);
	CHECK_EQ(is.uid, who.uid);
	CHECK_EQ(is.gid, who.gid);
}

static void senders(int type)
{
	struct ucred me = { getpid(), 0, 0 }, other = { getpid(), 1234, 5678 };
	struct ucred init = { 1, 77, 78 }, nobody = { 0, 65534, 65534 };
	int s[2], status;
	pid_t pid;

	NEED(!socketpair(AF_UNIX, type, 0, s));
	NEED(send(s[0], "unknown", 7, 0) == 7);
	NEED(set_int(s[1], SO_PASSCRED, 1));
	pid = fork();
	if (!pid)
		_exit(!(send(s[0], "gone", 4, 0) == 4));
	NEED(waitpid(pid, &status, 0) == pid && !status);
	NEED(send(s[0], "mine", 4, 0) == 4 && send_as(s[0], "other", other));
	NEED(send_as(s[0], "init", init) && send(s[0], "again", 5, 0) == 5);
	job_hold();
	CHECK_EQ(get_int(s[1], SO_PASSCRED), 1);
	next_is_from(s[1], "unknown", nobody);
	next_is_from(s[1], "gone", (struct ucred){ pid, 0, 0 });
	next_is_from(s[1], "mine", me);
	next_is_from(s[1], "other", other);
	next_is_from(s[1], "init", init);
	next_is_from(s[1], "again", me);
	nothing_left(s[1]);
	CHECK(send(s[0], "new", 3, 0) == 3);
	next_is_from(s[1], "new", me);
}

SCENARIO(senders_stream)
{
	senders(SOCK_STREAM);
}

SCENARIO(senders_dgram)
{
	senders(SOCK_DGRAM);
}

static const struct {
	int name, value;
} options[] = {
	{ SO_SNDBUF, 30000 }, { SO_RCVBUF, 40000 }, { SO_RCVLOWAT, 3 }, { SO_PRIORITY, 5 },
	{ SO_MARK, 0x77 }, { SO_PEEK_OFF, 2 }, { SO_DEBUG, 1 }, { SO_REUSEADDR, 1 },
	{ SO_DONTROUTE, 1 }, { SO_BROADCAST, 1 }, { SO_KEEPALIVE, 1 }, { SO_OOBINLINE, 1 },
	{ SO_PASSCRED, 1 }, { SO_PASSPIDFD, 1 }, { SO_PASSRIGHTS, 0 }, { SO_RXQ_OVFL, 1 },
	{ SO_NO_CHECK, 1 }, { SO_SELECT_ERR_QUEUE, 1 }, { SO_BUSY_POLL, 50 },
	{ SO_LOCK_FILTER, 1 },
};

SCENARIO(options)
{
	int s[2], was[ARRAY_SIZE(options)], fresh[ARRAY_SIZE(options)], lock, inq = 1;
	struct timeval in = { 3, 500000 }, out = { 1234567, 0 }, tv;
	struct linger linger = { 1, 60 }, l;
	socklen_t len;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		fresh[i] = get_int(s[1], options[i].name);
		set_int(s[0], options[i].name, options[i].value);
		was[i] = get_int(s[0], options[i].name);
		/* What this kernel does not have must be the exception. */
		NEED(was[i] != fresh[i] || options[i].name == SO_BUSY_POLL);
	}
	NEED(!setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &in, sizeof(in)));
	NEED(!setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &out, sizeof(out)));
	NEED(!setsockopt(s[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	NEED(!setsockopt(s[1], SOL_SOCKET, SO_INQ, &inq, sizeof(inq)) || errno == ENOPROTOOPT);
	lock = get_int(s[0], SO_BUF_LOCK);
	NEED(lock == 3 && get_int(s[1], SO_BUF_LOCK) == 0);
	job_hold();
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		CHECK_EQ(get_int(s[0], options[i].name), was[i]);
		CHECK_EQ(get_int(s[1], options[i].name), fresh[i]);
	}
	CHECK_EQ(get_int(s[0], SO_BUF_LOCK), 3);
	CHECK_EQ(get_int(s[1], SO_BUF_LOCK), 0);
	len = sizeof(tv);
	CHECK(!getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	CHECK(tv.tv_sec == in.tv_sec && tv.tv_usec == in.tv_usec);
	CHECK(!getsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, &len));
	CHECK(tv.tv_sec == out.tv_sec && tv.tv_usec == out.tv_usec);
	CHECK(!getsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	CHECK(!tv.tv_sec && !tv.tv_usec);
	len = sizeof(l);
	CHECK(!getsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, &len));
	CHECK(l.l_onoff == 1 && l.l_linger == 60);
}

/* A buffer beyond what the system allows: whoever may set it may have it back. */
SCENARIO(forced_buffer)
{
	static char in[1 << 20], out[1 << 20];
	int s[2];

	fill(in, sizeof(in), 3);
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && set_int(s[0], SO_SNDBUFFORCE, 32 << 20));
	NEED(send(s[0], in, sizeof(in), NOW) == sizeof(in));
	/* And one that is smaller than what is in it. */
	NEED(set_int(s[0], SO_SNDBUF, 4608));
	job_hold();
	CHECK_EQ(get_int(s[0], SO_SNDBUF), 9216);
	CHECK(recv(s[1], out, sizeof(out), NOW | MSG_WAITALL) == sizeof(out));
	CHECK(!memcmp(in, out, sizeof(in)));
	still_works(s);
}

/* What is refused. */

/* Init has the end that the job has closed. */
static void half_by_init(struct run *run)
{
	int pidfd = syscall(SYS_pidfd_open, run->pid, 0);

	/* Kept until init ends. */
	WANT(syscall(SYS_pidfd_getfd, pidfd, 4, 0) >= 0 && !close(pidfd));
	job_write(run, &job.word[0], &(uint64_t){ 1 }, sizeof(uint64_t));
	for (int i = 0; i < 5000; i++) {
		uint64_t word = 0;

		job_read(run, &job.word[1], &word, sizeof(word));
		if (word)
			break;
		sleep_ms(1);
	}
}

SCENARIO(init_has_other_end, .refused = "init has one of these two ends", .no_plain = true,
	 .before = half_by_init)
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && s[0] == 3 && s[1] == 4);
	job_waits();
	while (!*(volatile uint64_t *)&job.word[0])
		sleep_ms(1);
	close(s[1]);
	job.word[1] = 1;
	job_hold();
	CHECK(send(s[0], "x", 1, NOW) == 1);
}

/* Both ends are named. */
SCENARIO(ends_are_named, .refused = "] and socket:[", .no_plain = true, .before = half_by_init)
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && s[0] == 3 && s[1] == 4);
	job_waits();
	while (!*(volatile uint64_t *)&job.word[0])
		sleep_ms(1);
	close(s[1]);
	job.word[1] = 1;
	job_hold();
	CHECK(send(s[0], "x", 1, NOW) == 1);
}

static bool send_fd(int s, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec v = { "x", 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c),
	};

	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	return sendmsg(s, &m, 0) == 1;
}

SCENARIO(descriptors_sent, .refused = "SCM_RIGHTS")
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && send_fd(s[0], 1));
	job_hold();
	next_is(s[1], "x");
}

/* The other end is in a message in a third one. */
SCENARIO(end_sent, .refused = "nobody's descriptor")
{
	int s[2], way[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !socketpair(AF_UNIX, SOCK_STREAM, 0, way));
	NEED(send_fd(way[0], s[1]) && !close(s[1]));
	job_hold();
	CHECK(send(s[0], "x", 1, NOW) == 1);
}

SCENARIO(urgent, .refused = "MSG_OOB")
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	if (send(s[0], "x", 1, MSG_OOB) != 1)
		JOB_SKIP("no urgent data");
	job_hold();
	CHECK(fcntl(s[0], F_GETFD) == 0);
}

SCENARIO(time_stamps, .refused = "SO_TIMESTAMP")
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && set_int(s[0], SO_TIMESTAMP, 1));
	job_hold();
	CHECK_EQ(get_int(s[0], SO_TIMESTAMP), 1);
}

SCENARIO(filter, .refused = "SO_ATTACH_FILTER")
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, 0xffff);
	struct sock_fprog prog = { 1, &code };
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	NEED(!setsockopt(s[0], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
	job_hold();
	still_works(s);
}

SCENARIO(one_way, .refused = "not connected to it")
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && !connect(s[0], &none, sizeof(none)));
	job_hold();
	CHECK(fcntl(s[0], F_GETFD) == 0);
}

static int bound(int type, const char *name, socklen_t len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, type, 0);

	memcpy(a.sun_path, name, len);
	len += offsetof(struct sockaddr_un, sun_path);
	NEED(s >= 0 && !bind(s, (struct sockaddr *)&a, len));
	return s;
}

SCENARIO(named, .refused = "that have a name")
{
	int s = bound(SOCK_DGRAM, "name", 5);

	job_hold();
	CHECK(fcntl(s, F_GETFD) == 0 && !unlink("name"));
}

SCENARIO(abstract, .refused = "that have a name")
{
	/* Any abstract name that is free. */
	int s = bound(SOCK_STREAM, "", 0);

	job_hold();
	CHECK(fcntl(s, F_GETFD) == 0);
}

SCENARIO(listens, .refused = "sockets that listen")
{
	int s = bound(SOCK_STREAM, "", 0);

	NEED(!listen(s, 3));
	job_hold();
	CHECK(fcntl(s, F_GETFD) == 0);
}

SCENARIO(accepted, .refused = "connected to one that has")
{
	int l = bound(SOCK_STREAM, "", 0), s = socket(AF_UNIX, SOCK_STREAM, 0), c;
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	NEED(!listen(l, 3) && !getsockname(l, (struct sockaddr *)&a, &len));
	NEED(!connect(s, (struct sockaddr *)&a, len));
	c = accept(l, NULL, NULL);
	NEED(c >= 0 && !close(l));
	job_hold();
	CHECK(send(s, "x", 1, NOW) == 1);
	next_is(c, "x");
}

static void give_up_net_admin(struct run *run)
{
	WANT(drop_cap(CAP_NET_ADMIN));
}

/* A buffer beyond the limit, and an init that may not set such a one. */
SCENARIO(buffer_not_allowed, .dead = give_up_net_admin, .restart_errno = EPERM,
	 .restart_refused = "init may not set an option", .any_pid = true, .no_plain = true)
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && set_int(s[0], SO_SNDBUFFORCE, 64 << 20));
	NEED(drop_cap(CAP_NET_ADMIN));
	job_hold();
}

/* Somebody else's words, and an init that may not speak in that name. */
static void give_up_setuid(struct run *run)
{
	WANT(lower_cap(CAP_SETUID, false));
}

SCENARIO(sender_not_allowed, .dead = give_up_setuid, .restart_errno = EPERM,
	 .restart_refused = "init may not send with the ids", .any_pid = true, .no_plain = true)
{
	int s[2];

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && set_int(s[1], SO_PASSCRED, 1));
	NEED(send_as(s[0], "x", (struct ucred){ getpid(), 1234, 0 }));
	job_hold();
}

TEST_HARNESS_MAIN
