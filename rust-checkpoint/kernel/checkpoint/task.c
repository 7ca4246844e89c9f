// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of what a task has beside memory, files and registers: what hides
 * behind macros, anonymous unions and headers that are private to their owner.
 */
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/futex.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/thread_info.h>

#include "../futex/futex.h"

/* Flags of a futex as futex_wait(2) takes them, the clock as futex(2) does. */
static u32 futex_flags_to_uapi(unsigned int flags)
{
	u32 uapi = flags & FLAGS_SIZE_MASK;

	if (!(flags & FLAGS_SHARED))
		uapi |= FUTEX2_PRIVATE;
	if (flags & FLAGS_NUMA)
		uapi |= FUTEX2_NUMA;
	if (flags & FLAGS_MPOL)
		uapi |= FUTEX2_MPOL;
	if (flags & FLAGS_CLOCKRT)
		uapi |= FUTEX_CLOCK_REALTIME;
	return uapi;
}

/**
 * checkpoint_get_restart_block - how an interrupted system call goes on
 * @task: a task that stands still
 * @out: filled
 *
 * Every restart block is known, also one that nothing will come back to: a
 * task that is just about to call restart_syscall(2) can't be told from one
 * that is not.
 */
void checkpoint_get_restart_block(struct task_struct *task,
				  struct checkpoint_restart_block *out)
{
	const struct restart_block *block = &task->restart_block;

	memset(out, 0, sizeof(*out));
	out->compat = arch_checkpoint_restart_is_compat(block);
	if (block->fn == do_no_restart_syscall) {
		out->kind = CHECKPOINT_RESTART_NONE;
	} else if (block->fn == hrtimer_nanosleep_restart) {
		out->kind = CHECKPOINT_RESTART_NANOSLEEP;
		out->word = block->nanosleep.clockid;
		out->flags = block->nanosleep.type;
		if (block->nanosleep.type != TT_NONE)
			out->uptr = (unsigned long)block->nanosleep.rmtp;
		out->timed = true;
		out->clock = block->nanosleep.clockid;
		out->expires = ktime_to_ns(block->nanosleep.expires);
	} else if (block->fn == do_restart_poll) {
		out->kind = CHECKPOINT_RESTART_POLL;
		out->word = block->poll.nfds;
		out->uptr = (unsigned long)block->poll.ufds;
		out->timed = block->poll.has_timeout;
		out->clock = CLOCK_MONOTONIC;
		if (out->timed)
			out->expires = ktime_to_ns(timespec64_to_ktime(block->poll.end_time));
	} else if (block->fn == futex_wait_restart) {
		unsigned int flags = block->futex.flags;

		out->kind = CHECKPOINT_RESTART_FUTEX;
		out->word = block->futex.val;
		out->uptr = (unsigned long)block->futex.uaddr;
		out->flags = futex_flags_to_uapi(flags);
		out->bitset = block->futex.bitset;
		out->timed = flags & FLAGS_HAS_TIMEOUT;
		out->clock = flags & FLAGS_CLOCKRT ? CLOCK_REALTIME : CLOCK_MONOTONIC;
		out->expires = ktime_to_ns(block->futex.time);
	} else {
		out->kind = CHECKPOINT_RESTART_OTHER;
		out->fn = (unsigned long)block->fn;
	}
}

/**
 * checkpoint_set_restart_block - say how an interrupted system call goes on
 * @in: one whose clock and flags are valid
 *
 * User addresses need no check: they are looked at when the call goes on.
 *
 * Context: the current task.
 */
void checkpoint_set_restart_block(const struct checkpoint_restart_block *in)
{
	struct restart_block *block = &current->restart_block;

	memset(block, 0, sizeof(*block));
	block->fn = do_no_restart_syscall;
	switch (in->kind) {
	case CHECKPOINT_RESTART_NANOSLEEP:
		block->nanosleep.clockid = in->clock;
		block->nanosleep.type = in->flags;
		block->nanosleep.rmtp = (void __user *)in->uptr;
		block->nanosleep.expires = ns_to_ktime(in->expires);
		block->fn = hrtimer_nanosleep_restart;
		break;
	case CHECKPOINT_RESTART_POLL:
		block->poll.nfds = in->word;
		block->poll.ufds = (void __user *)in->uptr;
		block->poll.has_timeout = in->timed;
		block->poll.end_time = ns_to_timespec64(in->expires);
		block->fn = do_restart_poll;
		break;
	case CHECKPOINT_RESTART_FUTEX:
		block->futex.val = in->word;
		block->futex.uaddr = (void __user *)in->uptr;
		block->futex.bitset = in->bitset;
		block->futex.time = ns_to_ktime(in->expires);
		block->futex.flags = futex2_to_flags(in->flags);
		if (in->flags & FUTEX_CLOCK_REALTIME)
			block->futex.flags |= FLAGS_CLOCKRT;
		if (in->timed)
			block->futex.flags |= FLAGS_HAS_TIMEOUT;
		block->fn = futex_wait_restart;
		break;
	default:
		break;
	}
	arch_checkpoint_restart_set_compat(block, in->compat);
}

/* Whether @task, which stands still, has enabled time slice extensions. */
bool checkpoint_rseq_slice(struct task_struct *task)
{
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	return task->rseq.slice.state.enabled;
#else
	return false;
#endif
}

/**
 * checkpoint_cred_differs - compare what of credentials can't be brought back
 * @cred: those of a task
 * @like: those of its init, which a restored task begins with
 *
 * Return: the first difference that was found.
 */
enum checkpoint_cred_differs checkpoint_cred_differs(const struct cred *cred,
						     const struct cred *like)
{
#ifdef CONFIG_KEYS
	if (cred->session_keyring != like->session_keyring ||
	    cred->process_keyring || cred->thread_keyring ||
	    cred->request_key_auth != like->request_key_auth ||
	    cred->jit_keyring != like->jit_keyring)
		return CHECKPOINT_CRED_KEYRINGS;
#endif
#ifdef CONFIG_SECURITY
	struct lsm_prop prop = {}, prop_like = {};

	security_cred_getlsmprop(cred, &prop);
	security_cred_getlsmprop(like, &prop_like);
	if (memcmp(&prop, &prop_like, sizeof(prop)))
		return CHECKPOINT_CRED_LSM;
#endif
	return CHECKPOINT_CRED_SAME;
}
