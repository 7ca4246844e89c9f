// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls with a time-out that are called again until the same time.
 *
 * Where task work alone has interrupted a call, its owner says until when it
 * was to wait, checkpoint_go_on_until(), and the call ends as one that is
 * restarted with what is in its restart block. That holds no arguments: these
 * are in the registers still. The same code runs again from the beginning, and
 * where it works out when to end, checkpoint_goes_on_until() tells it.
 *
 * In the block, wait.id is the number of the call, wait.count whether it runs
 * again just now (enum again), wait.expires the time, and wait.size whether it was
 * noted, see checkpoint_note_for().
 */
#include <linux/checkpoint.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/ptrace.h>
#include <linux/restart_block.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/task_work.h>
#include <linux/thread_info.h>

#include <asm/syscall.h>

/* Whether the call that a restart block is for runs again. */
enum again {
	AGAIN_NO,
	AGAIN_GOES_ON,
	AGAIN_WAITED,	/* it does, but the wait that it went on with is over */
};

/* What a task does that is to stand still, the same for all. */
static task_work_func_t park_fn;

void checkpoint_init_park(struct callback_head *work, task_work_func_t fn)
{
	WRITE_ONCE(park_fn, fn);
	init_task_work(work, fn);
}

/* Whether the current task was asked to stand still. */
static bool asked_to_park(void)
{
	struct callback_head *work;

	guard(raw_spinlock_irqsave)(&current->pi_lock);
	for (work = READ_ONCE(current->task_works); work; work = READ_ONCE(work->next))
		if (work->func == READ_ONCE(park_fn))
			return true;
	return false;
}

/**
 * checkpoint_is_watched - whether others see what the current task calls
 *
 * Seccomp, a tracer or the audit decide by the number and the arguments of a
 * call, which restart_syscall(2) does not show them.
 */
bool checkpoint_is_watched(void)
{
	return READ_ONCE(current_thread_info()->syscall_work) &
	       (SYSCALL_WORK_SECCOMP | SYSCALL_WORK_SYSCALL_TRACE |
		SYSCALL_WORK_SYSCALL_EMU | SYSCALL_WORK_SYSCALL_AUDIT);
}

/* The restart block of the current task if it is in a call that goes on. */
static struct restart_block *going_on(void)
{
	struct restart_block *block = &current->restart_block;

	return block->fn == checkpoint_restart_call &&
	       block->wait.count == AGAIN_GOES_ON ? block : NULL;
}

/**
 * checkpoint_go_on_until - have an interrupted system call end at the same time
 * @until: when its wait ends, on CLOCK_MONOTONIC
 * @otherwise: what it returns where that can't be done
 *
 * For a call that has no effect yet, which may be called again as it was.
 *
 * Return: what the system call is to return: @otherwise, unless it was task work
 * alone that has interrupted it.
 */
int checkpoint_go_on_until(ktime_t until, int otherwise)
{
	struct restart_block *block = &current->restart_block;

	if (!task_work_interrupted() || current->flags & (PF_KTHREAD | PF_USER_WORKER))
		return otherwise;
	/* See checkpoint_restart_call(): it has to come by arch_checkpoint_unpark(). */
	if (checkpoint_is_watched() && !asked_to_park())
		return otherwise;
	if (!going_on()) {
		bool waited = block->fn == checkpoint_restart_call &&
			      block->wait.count == AGAIN_WAITED;
		/* The registers may have that of restart_syscall(2). */
		int nr = waited ? block->wait.id :
				  syscall_get_nr(current, current_pt_regs());

		if (!arch_checkpoint_knows_call(nr, arch_checkpoint_is_compat()))
			return otherwise;
		block->wait.id = nr;
		block->wait.count = waited ? AGAIN_WAITED : AGAIN_NO;
		block->wait.size = 0;
	}
	block->wait.expires = until;
	return set_restart_fn(block, checkpoint_restart_call);
}

/**
 * checkpoint_goes_on_until - whether the system call is one that goes on
 * @until: set to when its wait ends, on CLOCK_MONOTONIC
 *
 * If it does, its time-out is not to be counted anew.
 */
bool checkpoint_goes_on_until(ktime_t *until)
{
	struct restart_block *block = going_on();

	if (!block)
		return false;
	*until = block->wait.expires;
	return true;
}

/**
 * checkpoint_time_left - time-out of a system call that may be one that goes on
 * @timeout: what it would be, in jiffies
 *
 * Return: what is left of it, 0 if it is over.
 */
long checkpoint_time_left(long timeout)
{
	ktime_t until;
	s64 left;

	if (!checkpoint_goes_on_until(&until))
		return timeout;
	left = ktime_to_ns(ktime_sub(until, ktime_get()));
	return left <= 0 ? 0 : min_t(u64, timeout, DIV_ROUND_UP_ULL(left, TICK_NSEC));
}

/**
 * checkpoint_go_on_for - as checkpoint_go_on_until(), in jiffies
 * @left: what is left of the time-out of an interrupted system call
 * @otherwise: what it returns where it can't go on
 */
int checkpoint_go_on_for(long left, int otherwise)
{
	ktime_t until;
	u64 ns;

	/*
	 * The time is set once: with each rounding it would be later. A jiffy
	 * has begun already, which counts as one.
	 */
	if (!checkpoint_goes_on_until(&until)) {
		/* jiffies_to_nsecs() is for less than what fits in an unsigned int. */
		ns = left >= KTIME_MAX / TICK_NSEC - 1 ? KTIME_MAX : (u64)(left + 1) * TICK_NSEC;
		until = ktime_add_safe(ktime_get(), ns);
	}
	return checkpoint_go_on_until(until, otherwise);
}

/**
 * checkpoint_forget - nothing is noted
 *
 * Called before what may call checkpoint_note_for().
 */
void checkpoint_forget(void)
{
	struct restart_block *block = &current->restart_block;

	if (block->fn == checkpoint_restart_call)
		block->wait.size = 0;
}

/**
 * checkpoint_note_for - as checkpoint_go_on_for(), for checkpoint_go_on_noted()
 * @left: what is left of the time-out of an interrupted system call
 *
 * For code that is not called by system calls alone, and that can't return
 * errors that its callers do not know.
 */
void checkpoint_note_for(long left)
{
	if (checkpoint_go_on_for(left, 0))
		current->restart_block.wait.size = 1;
}

/**
 * checkpoint_go_on_noted - have an interrupted system call end as was noted
 * @otherwise: what it returns where nothing was
 */
int checkpoint_go_on_noted(int otherwise)
{
	struct restart_block *block = &current->restart_block;

	if (block->fn != checkpoint_restart_call || !block->wait.size ||
	    !task_work_interrupted())
		return otherwise;
	block->wait.size = 0;
	return -ERESTART_RESTARTBLOCK;
}

/**
 * checkpoint_waited - the wait that went on is over
 *
 * For a call that waits again, with a time-out of its own.
 */
void checkpoint_waited(void)
{
	struct restart_block *block = going_on();

	if (block)
		block->wait.count = AGAIN_WAITED;
}

/* Continues a call, whoever asks for it. */
long checkpoint_call_again(struct restart_block *block)
{
	int nr = block->wait.id;
	long ret;

	block->wait.count = AGAIN_GOES_ON;
	ret = arch_checkpoint_call(nr);
	if (block->fn == checkpoint_restart_call)
		block->wait.count = AGAIN_NO;
	switch (ret) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
		/*
		 * It may be made again after a handler, whose own calls may need
		 * the restart block: not by restart_syscall(2), then.
		 */
		block->fn = do_no_restart_syscall;
		fallthrough;
	case -ERESTART_RESTARTBLOCK:
		syscall_set_nr(current, current_pt_regs(), nr);
		break;
	case -ERESTARTNOHAND:
		break;
	default:
		block->fn = do_no_restart_syscall;
	}
	return ret;
}

/**
 * checkpoint_restart_call - continue a call for restart_syscall(2)
 * @block: the restart block of the current task
 *
 * restart_syscall(2) may be called by anyone at any time, with other arguments
 * than the call had. Who watches the task looks at these, and so it goes on before
 * it is back in user mode then, see arch_checkpoint_unpark(), or not at all.
 */
long checkpoint_restart_call(struct restart_block *block)
{
	if (checkpoint_is_watched())
		return -EINTR;
	return checkpoint_call_again(block);
}
