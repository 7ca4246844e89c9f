// SPDX-License-Identifier: GPL-2.0-only
/*
 * UNIX sockets for checkpoint/restart: what they are, what is in them, and how
 * to make a pair of them again.
 *
 * Sockets without a name only, such as those of socketpair(2). Their owners in
 * the job stand still; what somebody outside of the job does with the other end
 * meanwhile must do no harm, but need not give a meaningful result, as the end
 * is refused then.
 */
#include <linux/capability.h>
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/pidfs.h>
#include <linux/security.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <linux/sockptr.h>
#include <linux/string.h>
#include <net/af_unix.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "af_unix.h"

/* How much of a stream is one piece. */
#define CHECKPOINT_PIECE SZ_1M

/* Seconds of a time-out; there is room for them in microseconds, and in ticks. */
#define CHECKPOINT_MAX_TIMEOUT (S64_MAX / USEC_PER_SEC - 1)

/*
 * Options that are saved, in the order in which they are set. Fixed numbers:
 * those of the generic uAPI, which x86 has.
 */
static const u8 checkpoint_options[] = {
	SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF,
	SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY,
	SO_LINGER, SO_PASSCRED, SO_RCVLOWAT, SO_PASSSEC, SO_MARK, SO_RXQ_OVFL,
	SO_WIFI_STATUS, SO_PEEK_OFF, SO_NOFCS, SO_LOCK_FILTER,
	SO_SELECT_ERR_QUEUE, SO_BUSY_POLL, SO_MAX_PACING_RATE, SO_INCOMING_CPU,
	SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW, SO_PREFER_BUSY_POLL, SO_BUF_LOCK,
	SO_RCVMARK, SO_PASSPIDFD, SO_RCVPRIORITY, SO_PASSRIGHTS, SO_INQ,
	SO_RIGHTS_NOTRUNC,
};

/* Flags of a socket that its state and the options above stand for. */
#define CHECKPOINT_SOCK_FLAGS						\
	(BIT(SOCK_ZAPPED) | BIT(SOCK_DBG) | BIT(SOCK_LOCALROUTE) |	\
	 BIT(SOCK_BROADCAST) | BIT(SOCK_KEEPOPEN) | BIT(SOCK_URGINLINE) |	\
	 BIT(SOCK_LINGER) | BIT(SOCK_RXQ_OVFL) | BIT(SOCK_WIFI_STATUS) |	\
	 BIT(SOCK_NOFCS) | BIT(SOCK_FILTER_LOCKED) |			\
	 BIT(SOCK_SELECT_ERR_QUEUE) | BIT(SOCK_RCVMARK) |		\
	 BIT(SOCK_RCVPRIORITY))

/* The UNIX socket behind @file, or NULL. */
static struct sock *checkpoint_unix(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	if (!sock || !sock->sk || sock->sk->sk_family != AF_UNIX)
		return NULL;
	return sock->sk;
}

/* Whether a time-out is one that setsockopt(2) takes as an error, or too long. */
static bool checkpoint_odd_timeout(long timeout)
{
	return timeout <= 0 || (timeout != MAX_SCHEDULE_TIMEOUT &&
				timeout / HZ > CHECKPOINT_MAX_TIMEOUT);
}

/* Whether somebody had a socket do more than what is saved. */
static bool checkpoint_has_extras(struct sock *sk)
{
	if (sk->sk_flags & ~CHECKPOINT_SOCK_FLAGS)
		return true;
	if (READ_ONCE(sk->sk_tsflags) || READ_ONCE(sk->sk_bound_dev_if) ||
	    READ_ONCE(sk->sk_reserved_mem) || sk->sk_user_data)
		return true;
	if (checkpoint_odd_timeout(READ_ONCE(sk->sk_rcvtimeo)) ||
	    checkpoint_odd_timeout(READ_ONCE(sk->sk_sndtimeo)))
		return true;
	if (sk->sk_reuse > SK_CAN_REUSE)
		return true;
#ifdef CONFIG_NET_RX_BUSY_POLL
	if (READ_ONCE(sk->sk_busy_poll_budget))
		return true;
#endif
#ifdef CONFIG_BPF_SYSCALL
	if (rcu_access_pointer(sk->sk_bpf_storage) ||
	    (sk->sk_prot != &unix_dgram_proto && sk->sk_prot != &unix_stream_proto))
		return true;
#endif
	return rcu_access_pointer(sk->sk_filter);
}

/* Says who @pid is in @ns; whether that can be said. */
static bool checkpoint_pid(struct pid *pid, struct pid_namespace *ns, s32 *nr,
			   bool *exited)
{
	*nr = pid ? pid_nr_ns(pid, ns) : 0;
	*exited = *nr && !pid_has_task(pid, PIDTYPE_PID) &&
		  !pid_has_task(pid, PIDTYPE_PGID) &&
		  !pid_has_task(pid, PIDTYPE_SID);
	/* The numbers it had further down can't be had back. */
	return !*exited || pid->level == ns->level;
}

/* What is in the way of saving @sk; the state lock is held. */
static enum checkpoint_socket_refusal checkpoint_refuse(struct sock *sk)
{
	struct unix_sock *u = unix_sk(sk);
	struct sock *peer = unix_peer(sk);

	if (READ_ONCE(sk->sk_state) == TCP_LISTEN)
		return CHECKPOINT_SOCKET_LISTENS;
	if (READ_ONCE(u->addr) || (peer && READ_ONCE(unix_sk(peer)->addr)))
		return CHECKPOINT_SOCKET_NAMED;
	if (!net_eq(sock_net(sk), current->nsproxy->net_ns))
		return CHECKPOINT_SOCKET_NET_NS;
	if (checkpoint_has_extras(sk))
		return CHECKPOINT_SOCKET_OPTION;
	/* Read without its lock: it is compared, and a job stands still. */
	if (peer && READ_ONCE(unix_peer(peer)) != sk && !sock_flag(peer, SOCK_DEAD))
		return CHECKPOINT_SOCKET_ONE_WAY;
#if IS_ENABLED(CONFIG_AF_UNIX_OOB)
	if (READ_ONCE(u->oob_skb))
		return CHECKPOINT_SOCKET_URGENT;
#endif
	return CHECKPOINT_SOCKET_OK;
}

/*
 * Whether the other end of @sk is just being closed: nobody has the file any
 * more, and @sk learns of it in a moment. @unread: out: whether something was
 * sent there that nobody has read.
 */
static bool checkpoint_peer_closes(struct sock *sk, bool *unread)
{
	struct sock *peer = unix_peer_get(sk);
	bool closes;

	*unread = false;
	if (!peer)
		return false;
	/* Whoever closes it takes this lock before the file goes away. */
	unix_state_lock(peer);
	closes = !sock_flag(peer, SOCK_DEAD) && peer->sk_socket &&
		 peer->sk_socket->file && !file_count(peer->sk_socket->file);
	*unread = !skb_queue_empty_lockless(&peer->sk_receive_queue);
	unix_state_unlock(peer);
	sock_put(peer);
	return closes;
}

/**
 * checkpoint_socket_family - which protocol family an open socket is of
 * @file: the open file
 *
 * Return: AF_*, or -1 if it is not one of socket(2).
 */
int checkpoint_socket_family(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	return sock && sock->sk ? sock->sk->sk_family : -1;
}

/**
 * checkpoint_get_socket - what a UNIX socket is
 * @file: the socket
 * @ns: pids are those in this namespace
 * @out: out: what it is, only if it can be saved
 *
 * Context: may sleep.
 * Return: CHECKPOINT_SOCKET_OK, or what is in the way.
 */
enum checkpoint_socket_refusal
checkpoint_get_socket(struct file *file, struct pid_namespace *ns,
		      struct checkpoint_socket *out)
{
	struct sock *sk = checkpoint_unix(file);
	enum checkpoint_socket_refusal refusal;
	bool known, closes, unread;
	const struct cred *cred;
	struct pid *pid;

	if (!sk)
		return CHECKPOINT_SOCKET_FAMILY;

	closes = checkpoint_peer_closes(sk, &unread);
	unix_state_lock(sk);
	refusal = checkpoint_refuse(sk);
	out->type = sk->sk_type;
	out->shutdown = READ_ONCE(sk->sk_shutdown);
	out->error = READ_ONCE(sk->sk_err);
	out->connected = unix_peer(sk);
	unix_state_unlock(sk);
	if (refusal)
		return refusal;
	/* What the end of the other one comes to, as unix_release_sock() has it. */
	if (closes && sk->sk_type != SOCK_DGRAM) {
		out->shutdown = SHUTDOWN_MASK;
		if (unread)
			out->error = ECONNRESET;
	}

	spin_lock(&sk->sk_peer_lock);
	pid = get_pid(sk->sk_peer_pid);
	cred = get_cred(sk->sk_peer_cred);
	spin_unlock(&sk->sk_peer_lock);

	known = checkpoint_pid(pid, ns, &out->peer_pid, &out->peer_exited);
	put_pid(pid);
	out->peer_cred = cred;
	if (cred) {
		out->peer_uid = from_kuid(current_user_ns(), cred->euid);
		out->peer_gid = from_kgid(current_user_ns(), cred->egid);
		if (out->peer_uid == (uid_t)-1 || out->peer_gid == (gid_t)-1)
			refusal = CHECKPOINT_SOCKET_IDS;
		else if (!known)
			refusal = CHECKPOINT_SOCKET_NESTED;
		if (refusal)
			put_cred(cred);
	}
	return refusal;
}

/**
 * checkpoint_socket_group - a group of whoever made the other end
 * @socket: what checkpoint_get_socket() said; it has a peer_cred
 * @nr: which of the groups
 * @gid: out: the group, in the user namespace of the caller
 *
 * Return: 0, -ENOENT if there are no more, -EINVAL if it has no id there.
 */
int checkpoint_socket_group(const struct checkpoint_socket *socket,
			    unsigned int nr, u32 *gid)
{
	const struct group_info *groups = socket->peer_cred->group_info;

	if (nr >= groups->ngroups)
		return -ENOENT;
	*gid = from_kgid(current_user_ns(), groups->gid[nr]);
	return *gid == (gid_t)-1 ? -EINVAL : 0;
}

/* Lets go of what checkpoint_get_socket() said. */
void checkpoint_put_socket(struct checkpoint_socket *socket)
{
	put_cred(socket->peer_cred);
	socket->peer_cred = NULL;
}

/**
 * checkpoint_socket_peer - the other end of a UNIX socket
 * @file: the socket
 *
 * Return: the open file with a reference, NULL if there is none (any more).
 */
struct file *checkpoint_socket_peer(struct file *file)
{
	struct sock *sk = checkpoint_unix(file);
	struct file *other = NULL;
	struct sock *peer;

	peer = sk ? unix_peer_get(sk) : NULL;
	if (!peer)
		return NULL;
	/* Whoever closes it takes this lock before the socket goes away. */
	unix_state_lock(peer);
	if (!sock_flag(peer, SOCK_DEAD) && peer->sk_socket)
		other = get_file_active(&peer->sk_socket->file);
	unix_state_unlock(peer);
	sock_put(peer);
	return other;
}

static int checkpoint_int_option(struct sock *sk, int name, u64 *value)
{
	int len = sizeof(int);
	int val = 0;
	int err;

	err = sk_getsockopt(sk, SOL_SOCKET, name, KERNEL_SOCKPTR(&val),
			    KERNEL_SOCKPTR(&len));
	*value = val;
	return err;
}

/*
 * A time-out in us, 0 for none. setsockopt(2) rounds up, by a unit that is not
 * a whole number of microseconds where HZ is 300: what getsockopt(2) says is
 * more when it is set again. To the nearest, both ways, it is what it was.
 */
static u64 checkpoint_timeout(long timeout)
{
	if (timeout == MAX_SCHEDULE_TIMEOUT)
		return 0;
	return timeout / HZ * (u64)USEC_PER_SEC +
	       DIV_ROUND_CLOSEST(timeout % HZ * USEC_PER_SEC, HZ);
}

/* The other way; where HZ is another one, not less than a tick. */
static long checkpoint_timeout_from(u64 us)
{
	u64 secs = us / USEC_PER_SEC;
	long timeout;

	if (!us || secs > CHECKPOINT_MAX_TIMEOUT)
		return MAX_SCHEDULE_TIMEOUT;
	timeout = secs * HZ + DIV_ROUND_CLOSEST(us % USEC_PER_SEC * HZ, USEC_PER_SEC);
	return max(timeout, 1L);
}

static int checkpoint_get_option(struct sock *sk, int name, u64 *value)
{
	struct unix_sock *u = unix_sk(sk);
	unsigned long linger;

	switch (name) {
	case SO_RCVTIMEO_NEW:
		*value = checkpoint_timeout(READ_ONCE(sk->sk_rcvtimeo));
		return 0;
	case SO_SNDTIMEO_NEW:
		*value = checkpoint_timeout(READ_ONCE(sk->sk_sndtimeo));
		return 0;
	case SO_LINGER:
		linger = READ_ONCE(sk->sk_lingertime) / HZ;
		*value = min_t(unsigned long, linger, INT_MAX);
		if (sock_flag(sk, SOCK_LINGER))
			*value |= BIT_ULL(32);
		return 0;
	case SO_MAX_PACING_RATE:
		*value = READ_ONCE(sk->sk_max_pacing_rate);
		return 0;
	case SO_INQ:
		*value = READ_ONCE(u->recvmsg_inq);
		return 0;
	case SO_RIGHTS_NOTRUNC:
		*value = READ_ONCE(u->scm_rights_notrunc);
		return 0;
	case SO_BUF_LOCK:
		*value = sk->sk_userlocks & SOCK_BUF_LOCK_MASK;
		return 0;
	default:
		return checkpoint_int_option(sk, name, value);
	}
}

/**
 * checkpoint_socket_option - an option of a UNIX socket
 * @file: the socket
 * @nr: in: which of those that are saved to look from; out: behind the one found
 * @name: out: SO_*
 * @value: out: its value: SO_LINGER: seconds, and bit 32 if it is on; time-outs
 *	in us, 0 for none
 *
 * Return: whether there is one.
 */
bool checkpoint_socket_option(struct file *file, unsigned int *nr, u32 *name,
			      u64 *value)
{
	struct sock *sk = checkpoint_unix(file);

	while (sk && *nr < ARRAY_SIZE(checkpoint_options)) {
		*name = checkpoint_options[(*nr)++];
		/* Others this kernel was built without. */
		if (!checkpoint_get_option(sk, *name, value))
			return true;
	}
	return false;
}

/* Calls @fn for what of @skb has not been read. */
static int checkpoint_peek_skb(struct sock *sk, struct sk_buff *skb,
			       struct pid_namespace *ns, checkpoint_message_fn fn,
			       void *arg)
{
	struct checkpoint_message m = {};
	unsigned int offset;
	void *data;
	int err;

	if (UNIXCB(skb).fp)
		return CHECKPOINT_SOCKET_RIGHTS;
	m.creds = uid_valid(UNIXCB(skb).uid) || gid_valid(UNIXCB(skb).gid);
	if (m.creds) {
		m.uid = from_kuid(current_user_ns(), UNIXCB(skb).uid);
		m.gid = from_kgid(current_user_ns(), UNIXCB(skb).gid);
		if (m.uid == (uid_t)-1 || m.gid == (gid_t)-1)
			return CHECKPOINT_SOCKET_IDS;
		if (!checkpoint_pid(UNIXCB(skb).pid, ns, &m.pid, &m.exited))
			return CHECKPOINT_SOCKET_NESTED;
	}

	offset = sk->sk_type == SOCK_STREAM ? READ_ONCE(UNIXCB(skb).consumed) : 0;
	/* Where urgent data was that has been read. */
	if (sk->sk_type == SOCK_STREAM && offset >= skb->len)
		return CHECKPOINT_SOCKET_URGENT;
	m.len = skb->len - offset;
	if (sk->sk_type == SOCK_STREAM)
		m.len = min(m.len, CHECKPOINT_PIECE);
	data = kvmalloc(max_t(size_t, m.len, 1), CHECKPOINT_GFP);
	if (!data)
		return -ENOMEM;
	do {
		m.len = min_t(size_t, m.len, skb->len - offset);
		m.data = data;
		err = skb_copy_bits(skb, offset, data, m.len);
		if (!err)
			err = fn(arg, &m);
		offset += m.len;
	} while (!err && offset < skb->len);
	kvfree(data);
	return err;
}

/**
 * checkpoint_peek_socket - look at what waits to be read from a UNIX socket
 * @file: the socket
 * @ns: pids are those in this namespace
 * @fn: called for each message, or piece of a stream, in the order of reading;
 *	ends the walk if it is not 0
 * @arg: for @fn
 *
 * Context: may sleep, and so may @fn.
 * Return: 0, what @fn returned, another negative errno, or what is in the way,
 * enum checkpoint_socket_refusal.
 */
int checkpoint_peek_socket(struct file *file, struct pid_namespace *ns,
			   checkpoint_message_fn fn, void *arg)
{
	struct sock *sk = checkpoint_unix(file);
	struct sk_buff_head *queue;
	unsigned int n = 0, room;
	struct sk_buff **skbs;
	struct sk_buff *skb;
	int err = 0;

	if (!sk)
		return -EINVAL;
	queue = &sk->sk_receive_queue;
	room = skb_queue_len_lockless(queue);
	if (!room)
		return 0;
	skbs = kvmalloc_array(room, sizeof(*skbs), CHECKPOINT_GFP);
	if (!skbs)
		return -ENOMEM;
	/* Whoever reads or closes it meanwhile leaves those that are held here. */
	spin_lock(&queue->lock);
	skb_queue_walk(queue, skb) {
		if (n == room)
			break;
		skbs[n++] = skb_get(skb);
	}
	spin_unlock(&queue->lock);
	for (unsigned int i = 0; i < n; i++) {
		if (!err)
			err = checkpoint_peek_skb(sk, skbs[i], ns, fn, arg);
		consume_skb(skbs[i]);
		cond_resched();
	}
	kvfree(skbs);
	return err;
}

static int checkpoint_sock_file(struct socket *sock, struct file **file)
{
	struct file *new = sock_alloc_file(sock, 0, NULL);

	if (IS_ERR(new))
		return PTR_ERR(new);
	*file = new;
	return 0;
}

/**
 * checkpoint_new_sockets - make one or two UNIX sockets
 * @ends: out: the socket, or both ends of a pair
 * @type: SOCK_*
 * @pair: make a pair, as socketpair(2) does
 *
 * Return: 0 or a negative errno, what socket(2) or socketpair(2) return.
 */
int checkpoint_new_sockets(struct file **ends, int type, bool pair)
{
	struct socket *a, *b;
	int err;

	err = sock_create(AF_UNIX, type, 0, &a);
	if (err)
		return err;
	if (!pair)
		return checkpoint_sock_file(a, &ends[0]);

	err = sock_create(AF_UNIX, type, 0, &b);
	if (err) {
		sock_release(a);
		return err;
	}
	err = security_socket_socketpair(a, b);
	if (!err)
		err = READ_ONCE(a->ops)->socketpair(a, b);
	if (err) {
		sock_release(b);
		sock_release(a);
		return err;
	}
	err = checkpoint_sock_file(a, &ends[0]);
	if (err) {
		sock_release(b);
		return err;
	}
	err = checkpoint_sock_file(b, &ends[1]);
	if (err)
		fput(ends[0]);
	return err;
}

/**
 * checkpoint_exited_pid - the identity of a process that has exited
 * @nr: its pid in the pid namespace of the caller, which is free
 *
 * Context: may sleep.
 * Return: with a reference, or an error pointer; -EEXIST if the number is taken.
 */
struct pid *checkpoint_exited_pid(pid_t nr)
{
	struct pid *pid = alloc_pid(task_active_pid_ns(current), &nr, 1);

	if (IS_ERR(pid))
		return pid;
	get_pid(pid);
	free_pid(pid);
	return pid;
}

/* The process with this number, for the identity of a sender. */
static struct pid *checkpoint_find_pid(pid_t nr, struct pid *exited)
{
	struct pid *pid;
	int err;

	if (exited || !nr)
		return get_pid(exited);
	pid = find_get_pid(nr);
	if (!pid)
		return ERR_PTR(-ESRCH);
	err = pidfs_register_pid(pid);
	if (err) {
		put_pid(pid);
		return ERR_PTR(err);
	}
	return pid;
}

/* Whether the caller could send with these ids. */
static bool checkpoint_may_send_as(kuid_t uid, kgid_t gid)
{
	const struct cred *cred = current_cred();

	if (!uid_eq(uid, cred->uid) && !uid_eq(uid, cred->euid) &&
	    !uid_eq(uid, cred->suid) && !ns_capable(cred->user_ns, CAP_SETUID))
		return false;
	return gid_eq(gid, cred->gid) || gid_eq(gid, cred->egid) ||
	       gid_eq(gid, cred->sgid) || ns_capable(cred->user_ns, CAP_SETGID);
}

/*
 * Sends as send(2) does; the buffer may take what the caller could set it to,
 * and @other as many messages as there were: net.unix.max_dgram_qlen is for
 * those who send now.
 */
static int checkpoint_send(struct sock *sk, struct sock *other,
			   const struct checkpoint_message *m)
{
	struct kvec vec = { .iov_base = (void *)m->data, .iov_len = m->len };
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	u32 backlog = other->sk_max_ack_backlog;
	int sndbuf = sk->sk_sndbuf;
	u32 limit;
	int ret;

	limit = min_t(u32, READ_ONCE(sysctl_wmem_max), INT_MAX / 2) * 2;
	if (capable(CAP_NET_ADMIN))
		limit = INT_MAX;
	WRITE_ONCE(sk->sk_sndbuf, max_t(u32, sndbuf, limit));
	WRITE_ONCE(other->sk_max_ack_backlog, U32_MAX);
	ret = kernel_sendmsg(sk->sk_socket, &msg, &vec, 1, m->len);
	WRITE_ONCE(other->sk_max_ack_backlog, backlog);
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	if (ret < 0)
		return ret;
	return ret == m->len ? 0 : -EAGAIN;
}

/**
 * checkpoint_connect_socket - connect a socket one way
 * @from: a UNIX socket for datagrams, known to the caller only, that is connected
 *	to nothing
 * @to: the one that it sends to from now on
 *
 * That is what one end of a pair is when the other one was disconnected by
 * connect(2): that one still gets what is sent to it.
 *
 * Return: 0 or -EINVAL.
 */
int checkpoint_connect_socket(struct file *from, struct file *to)
{
	struct sock *sk = checkpoint_unix(from), *other = checkpoint_unix(to);
	int err = 0;

	if (!sk || !other || sk == other || sk->sk_type != SOCK_DGRAM ||
	    other->sk_type != SOCK_DGRAM)
		return -EINVAL;
	unix_state_lock(sk);
	if (unix_peer(sk)) {
		err = -EINVAL;
	} else {
		sock_hold(other);
		unix_peer(sk) = other;
		WRITE_ONCE(sk->sk_state, TCP_ESTABLISHED);
	}
	unix_state_unlock(sk);
	return err;
}

/**
 * checkpoint_fill_socket - put a message where it waits to be read
 * @from: the UNIX socket that it is sent from, connected to @to
 * @to: the other end, known to the caller only, as @from is
 * @m: the message, or a piece of a stream
 * @exited: the sender, if that has exited
 *
 * Before any options are set.
 *
 * Return: 0 or a negative errno: what send(2) returns; -EPERM if the caller
 * could not send with these ids, -ESRCH if there is no such sender.
 */
int checkpoint_fill_socket(struct file *from, struct file *to,
			   const struct checkpoint_message *m, struct pid *exited)
{
	struct sock *sk = checkpoint_unix(from), *other = checkpoint_unix(to);
	kuid_t uid = INVALID_UID;
	kgid_t gid = INVALID_GID;
	struct pid *pid = NULL;
	struct sk_buff *last, *skb;
	int err;

	if (!sk || !other || unix_peer(sk) != other)
		return -EINVAL;
	if (m->creds) {
		uid = make_kuid(current_user_ns(), m->uid);
		gid = make_kgid(current_user_ns(), m->gid);
		if (!uid_valid(uid) || !gid_valid(gid))
			return -EINVAL;
		if (!checkpoint_may_send_as(uid, gid))
			return -EPERM;
		pid = checkpoint_find_pid(m->pid, exited);
		if (IS_ERR(pid))
			return PTR_ERR(pid);
	}
	last = skb_peek_tail(&other->sk_receive_queue);
	err = checkpoint_send(sk, other, m);
	if (!err) {
		spin_lock(&other->sk_receive_queue.lock);
		skb_queue_reverse_walk(&other->sk_receive_queue, skb) {
			if (skb == last)
				break;
			put_pid(UNIXCB(skb).pid);
			UNIXCB(skb).pid = get_pid(pid);
			UNIXCB(skb).uid = uid;
			UNIXCB(skb).gid = gid;
		}
		spin_unlock(&other->sk_receive_queue.lock);
	}
	put_pid(pid);
	return err;
}

/* Sets the size of a buffer to exactly what it was. */
static int checkpoint_set_buffer(struct sock *sk, int name, u64 value)
{
	u64 min = name == SO_SNDBUF ? SOCK_MIN_SNDBUF : SOCK_MIN_RCVBUF;
	u64 max = 2ULL * (name == SO_SNDBUF ? READ_ONCE(sysctl_wmem_max) :
					      READ_ONCE(sysctl_rmem_max));

	if (value < min || value > INT_MAX)
		return -EINVAL;
	if (value > max && !capable(CAP_NET_ADMIN))
		return -EPERM;
	lock_sock(sk);
	if (name == SO_SNDBUF)
		WRITE_ONCE(sk->sk_sndbuf, value);
	else
		WRITE_ONCE(sk->sk_rcvbuf, value);
	release_sock(sk);
	return 0;
}

static int checkpoint_set_linger(struct sock *sk, u64 value)
{
	struct linger linger = { .l_onoff = 1, .l_linger = (u32)value };
	int err;

	err = sk_setsockopt(sk, SOL_SOCKET, SO_LINGER, KERNEL_SOCKPTR(&linger),
			    sizeof(linger));
	if (err || value & BIT_ULL(32))
		return err;
	/* The time stays what it is. */
	linger.l_onoff = 0;
	return sk_setsockopt(sk, SOL_SOCKET, SO_LINGER, KERNEL_SOCKPTR(&linger),
			     sizeof(linger));
}

/* As setsockopt(2), which asks nobody either, but rounds up. */
static void checkpoint_set_timeout(struct sock *sk, int name, u64 us)
{
	if (name == SO_RCVTIMEO_NEW)
		WRITE_ONCE(sk->sk_rcvtimeo, checkpoint_timeout_from(us));
	else
		WRITE_ONCE(sk->sk_sndtimeo, checkpoint_timeout_from(us));
}

/**
 * checkpoint_set_socket_option - set an option of a UNIX socket
 * @file: the socket
 * @name: SO_*
 * @value: as checkpoint_socket_option() says it
 *
 * Asks for what setsockopt(2) asks for, unless that is what it is already.
 *
 * Return: 0 or a negative errno.
 */
int checkpoint_set_socket_option(struct file *file, u32 name, u64 value)
{
	struct socket *sock = sock_from_file(file);
	struct sock *sk = checkpoint_unix(file);
	unsigned long rate = value;
	int val = value;
	int err;
	u64 is;

	if (!sk)
		return -EINVAL;
	if (!memchr(checkpoint_options, name, sizeof(checkpoint_options)) ||
	    name > U8_MAX)
		return -ENOPROTOOPT;
	err = checkpoint_get_option(sk, name, &is);
	if (err || is == value)
		return err;

	switch (name) {
	case SO_SNDBUF:
	case SO_RCVBUF:
		return checkpoint_set_buffer(sk, name, value);
	case SO_LINGER:
		return checkpoint_set_linger(sk, value);
	case SO_RCVTIMEO_NEW:
	case SO_SNDTIMEO_NEW:
		checkpoint_set_timeout(sk, name, value);
		return 0;
	case SO_MAX_PACING_RATE:
		err = sk_setsockopt(sk, SOL_SOCKET, name, KERNEL_SOCKPTR(&rate),
				    sizeof(rate));
		break;
	default:
		err = READ_ONCE(sock->ops)->setsockopt(sock, SOL_SOCKET, name,
						       KERNEL_SOCKPTR(&val),
						       sizeof(val));
		break;
	}
	if (err)
		return err;
	err = checkpoint_get_option(sk, name, &is);
	return err ? err : is == value ? 0 : -EINVAL;
}

/**
 * checkpoint_set_peer_cred - say who made the other end
 * @file: a UNIX socket, known to the caller only
 * @nr: the pid, 0 for one in no namespace of the caller
 * @exited: the process, if it has exited
 * @cred: its credentials, which the caller could have
 *
 * Return: 0 or a negative errno, -ESRCH if there is no such process.
 */
int checkpoint_set_peer_cred(struct file *file, pid_t nr, struct pid *exited,
			     const struct cred *cred)
{
	struct sock *sk = checkpoint_unix(file);
	const struct cred *old_cred;
	struct pid *pid, *old_pid;

	if (!sk)
		return -EINVAL;
	pid = checkpoint_find_pid(nr, exited);
	if (IS_ERR(pid))
		return PTR_ERR(pid);
	spin_lock(&sk->sk_peer_lock);
	old_pid = sk->sk_peer_pid;
	old_cred = sk->sk_peer_cred;
	sk->sk_peer_pid = pid;
	sk->sk_peer_cred = get_cred(cred);
	spin_unlock(&sk->sk_peer_lock);
	put_pid(old_pid);
	put_cred(old_cred);
	return 0;
}

/**
 * checkpoint_set_socket_state - what reading and writing of a socket come to
 * @file: a UNIX socket, known to the caller only; what had to be closed is
 * @shutdown: as shutdown(2) has set it: 1 for reading, 2 for writing
 * @error: the error that is pending, 0 or ECONNRESET
 */
void checkpoint_set_socket_state(struct file *file, u32 shutdown, u32 error)
{
	struct sock *sk = checkpoint_unix(file);

	if (!sk)
		return;
	unix_state_lock(sk);
	WRITE_ONCE(sk->sk_shutdown, shutdown & SHUTDOWN_MASK);
	WRITE_ONCE(sk->sk_err, error == ECONNRESET ? ECONNRESET : 0);
	unix_state_unlock(sk);
}
