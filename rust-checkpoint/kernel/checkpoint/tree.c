// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of the tree of tasks: who is whose child, who waits for whom in
 * vfork(2), and the process groups and sessions.
 */
#include <linux/checkpoint.h>
#include <linux/completion.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/security.h>
#include <linux/signal.h>
#include <linux/tty.h>

/**
 * checkpoint_parent_changed - whether the parent of a process became another program
 * @task: its leader, which stands still, or a zombie
 *
 * One that has called execve(2) since is sent SIGCHLD, and not the signal that
 * the process was made with: it may have rights that it had not then.
 *
 * Context: takes tasklist_lock for reading.
 */
bool checkpoint_parent_changed(struct task_struct *task)
{
	guard(read_lock)(&tasklist_lock);
	if (!pid_alive(task) || task->exit_signal <= 0 || task->exit_signal == SIGCHLD)
		return false;
	return task->parent_exec_id != READ_ONCE(task->real_parent->self_exec_id);
}

/**
 * checkpoint_set_exit_signal - the signal a restored process sends on its exit
 * @task: its leader, which has not been to user mode, or is a zombie
 * @sig: the signal, 0 for none
 * @parent_changed: what checkpoint_parent_changed() said
 *
 * Until then it has none, so that a failed restart leaves init no SIGCHLD. To
 * be called when it is the child of whom it will be.
 *
 * Context: takes tasklist_lock for writing.
 */
void checkpoint_set_exit_signal(struct task_struct *task, int sig,
				bool parent_changed)
{
	/* Less than 0 it is for threads, and valid_signal() does not take that. */
	if (WARN_ON_ONCE(!valid_signal(sig) || !thread_group_leader(task)))
		return;
	guard(write_lock_irq)(&tasklist_lock);
	/* Another thread of init may have waited for it. */
	if (!pid_alive(task))
		return;
	task->exit_signal = sig;
	/* Theirs only grow: the one before never is the parent's again. */
	task->parent_exec_id = task->real_parent->self_exec_id - parent_changed;
}

/**
 * checkpoint_set_groups - put a restored task into a group and a session
 * @task: a task that has not been to user mode
 * @pgid: number of the process group, 0 to leave it
 * @sid: number of the session, 0 to leave it
 *
 * A session leader has called setsid() before; this is for its members. A
 * leader that is gone is stood for by a task with its pid. A security module is
 * asked as by setpgid(2).
 *
 * Context: takes tasklist_lock for writing; may sleep.
 * Return: 0, -ESRCH when there is no such pid, or @task was reaped, or what the
 * security module says.
 */
int checkpoint_set_groups(struct task_struct *task, pid_t pgid, pid_t sid)
{
	struct pid *pids[PIDTYPE_MAX] = { 0 };
	struct task_struct *leader = NULL;
	struct pid *pid;
	int err = 0;

	if (pgid)
		err = security_task_setpgid(task, pgid);
	if (err)
		return err;
	write_lock_irq(&tasklist_lock);
	/* Another thread of init may have waited for one that was killed. */
	if (!pid_alive(task))
		err = -ESRCH;
	if (!err && sid) {
		pid = find_vpid(sid);
		if (!pid || !pid_task(pid, PIDTYPE_TGID)) {
			err = -ESRCH;
		} else if (task_session(task) != pid) {
			leader = get_task_struct(pid_task(pid, PIDTYPE_TGID));
			proc_clear_tty(task);
			change_pid(pids, task, PIDTYPE_SID, pid);
		}
	}
	if (!err && pgid) {
		pid = find_vpid(pgid);
		if (!pid || !pid_task(pid, PIDTYPE_TGID))
			err = -ESRCH;
		else if (task_pgrp(task) != pid)
			change_pid(pids, task, PIDTYPE_PGID, pid);
	}
	write_unlock_irq(&tasklist_lock);
	free_pids(pids);
	if (leader) {
		sched_autogroup_join(task, leader);
		put_task_struct(leader);
	}
	return err;
}

static size_t children(struct task_struct *task, struct pid_namespace *ns,
		       pid_t *pids, size_t room, size_t n)
{
	struct task_struct *child;

	list_for_each_entry(child, &task->children, sibling) {
		if (n < room)
			pids[n] = task_pid_nr_ns(child, ns);
		n++;
	}
	return n;
}

/**
 * checkpoint_children - the children of a task, eldest first
 * @task: the task
 * @ns: where their pids are to be from
 * @whole: the children of all threads of the process
 * @pids: filled
 * @room: for how many there is room in @pids
 *
 * Context: takes tasklist_lock for reading.
 * Return: how many there are.
 */
size_t checkpoint_children(struct task_struct *task, struct pid_namespace *ns,
			   bool whole, pid_t *pids, size_t room)
{
	struct task_struct *t;
	size_t n = 0;

	guard(read_lock)(&tasklist_lock);
	if (!whole)
		return children(task, ns, pids, room, 0);
	for_each_thread(task, t)
		n = children(t, ns, pids, room, n);
	return n;
}

/* Whether @parent is @task or descends from it; tasklist_lock is held. */
static bool descends(struct task_struct *parent, struct task_struct *task)
{
	for (; parent != &init_task; parent = parent->real_parent)
		if (same_thread_group(parent, task))
			return true;
	return false;
}

/**
 * checkpoint_set_parent - say whose child a process is
 * @task: leader of a restored process that has not been to user mode
 * @parent: a restored task, or the caller
 *
 * Which thread of the parent has made it matters to PR_SET_PDEATHSIG and
 * __WNOTHREAD. Another process than the one that made it is its parent if it
 * was reparented across the border of a pid namespace, the one before having
 * exited. The process is the youngest child of @parent then.
 *
 * Context: takes tasklist_lock for writing.
 * Return: 0, -ESRCH when one of them is gone, or -EINVAL when @task would
 * descend from itself.
 */
int checkpoint_set_parent(struct task_struct *task, struct task_struct *parent)
{
	struct task_struct *t;

	guard(write_lock_irq)(&tasklist_lock);
	if (!pid_alive(task) || !thread_group_leader(task) ||
	    !pid_alive(parent) || parent->exit_state || parent->flags & PF_EXITING)
		return -ESRCH;
	if (!same_thread_group(task->real_parent, parent) && descends(parent, task))
		return -EINVAL;
	for_each_thread(task, t) {
		RCU_INIT_POINTER(t->real_parent, parent);
		/* Somebody may trace it already. */
		if (likely(!t->ptrace))
			t->parent = parent;
	}
	list_move_tail(&task->sibling, &parent->children);
	return 0;
}

/* What kernel_clone() waits for is on the stack of the task that waits. */
static bool waits_for(struct task_struct *task, struct task_struct *child)
{
	unsigned long done = (unsigned long)READ_ONCE(child->vfork_done);
	unsigned long stack = (unsigned long)task_stack_page(task);

	return done && stack && done >= stack && done < stack + THREAD_SIZE;
}

/* The numbers of @pid in the namespaces below @ns; tasklist_lock is held. */
static void get_numbers(struct pid *pid, struct pid_namespace *ns,
			struct checkpoint_pid_ns *out)
{
	struct pid_namespace *p;

	for (p = ns_of_pid(pid); p != ns && p->level > ns->level; p = p->parent) {
		out->pids[out->depth++] = pid_nr_ns(pid, p);
		if (p->user_ns != ns->user_ns || p->pid_max != PID_MAX_LIMIT)
			out->other = true;
#if defined(CONFIG_SYSCTL) && defined(CONFIG_MEMFD_CREATE)
		if (p->memfd_noexec_scope != pidns_memfd_noexec_scope(ns))
			out->other = true;
#endif
	}
}

/**
 * checkpoint_get_group_ns - where the number of a group is from without a leader
 * @task: a task that stands still, or a zombie
 * @session: look at its session, not its process group
 * @ns: a namespace that sees it
 * @out: filled; nothing where the leader is there, or was in @ns
 *
 * The number stays taken in each namespace, as long as there are members. So
 * the init of the innermost one is there: its end waits for that.
 *
 * Context: takes tasklist_lock for reading.
 */
void checkpoint_get_group_ns(struct task_struct *task, bool session,
			     struct pid_namespace *ns,
			     struct checkpoint_pid_ns *out)
{
	struct task_struct *init;
	struct pid *pid;

	memset(out, 0, sizeof(*out));
	guard(read_lock)(&tasklist_lock);
	pid = session ? task_session(task) : task_pgrp(task);
	if (!pid || pid_has_task(pid, PIDTYPE_PID))
		return;
	get_numbers(pid, ns, out);
	init = ns_of_pid(pid)->child_reaper;
	if (out->depth && init)
		out->init = task_tgid_nr_ns(init, ns);
}

/**
 * checkpoint_get_pid_ns - in which pid namespace a task is
 * @task: a task that stands still, or a zombie
 * @ns: a namespace that sees it
 * @out: filled
 *
 * Context: takes tasklist_lock for reading.
 */
void checkpoint_get_pid_ns(struct task_struct *task, struct pid_namespace *ns,
			   struct checkpoint_pid_ns *out)
{
	struct pid_namespace *active, *p;
	const struct nsproxy *proxy;
	struct pid *pid;

	memset(out, 0, sizeof(*out));
	guard(read_lock)(&tasklist_lock);
	pid = task_pid(task);
	if (!pid)
		return;
	active = ns_of_pid(pid);
	get_numbers(pid, ns, out);
	if (out->depth)
		out->init = out->pids[0] == 1 ?
			    task_tgid_nr_ns(task, ns) :
			    task_tgid_nr_ns(active->child_reaper, ns);

	/* Only the task itself could change it. */
	proxy = task->nsproxy;
	if (!proxy || proxy->pid_ns_for_children == active)
		return;
	p = proxy->pid_ns_for_children;
	if (p->parent != active || p->user_ns != ns->user_ns ||
	    p->pid_max != PID_MAX_LIMIT)
		out->children = CHECKPOINT_PID_NS_OTHER;
	else if (p->pid_allocated == PIDNS_ADDING && !p->child_reaper)
		out->children = CHECKPOINT_PID_NS_FRESH;
	/* Its init is gone or about to be, and what points there is stale. */
	else if (!(p->pid_allocated & PIDNS_ADDING) || !p->child_reaper)
		out->children = CHECKPOINT_PID_NS_OTHER;
	else if (p->child_reaper->exit_state ||
		 rcu_access_pointer(p->child_reaper->real_parent) != task)
		out->children = CHECKPOINT_PID_NS_OTHER;
	else
		out->children = task_tgid_nr_ns(p->child_reaper, ns);
}

#define VFORK_STATE (TASK_KILLABLE | TASK_FREEZABLE)

/**
 * checkpoint_vfork_child - the child for which a task waits in vfork(2)
 * @task: any task
 *
 * Such a task does not come to its task-work point before the child lets it.
 *
 * Context: takes tasklist_lock for reading.
 * Return: the child with a reference, NULL when @task does not sleep so.
 */
struct task_struct *checkpoint_vfork_child(struct task_struct *task)
{
	struct task_struct *child;

	if (READ_ONCE(task->__state) != VFORK_STATE)
		return NULL;
	guard(read_lock)(&tasklist_lock);
	if (!pid_alive(task))
		return NULL;
	list_for_each_entry(child, &task->children, sibling)
		if (waits_for(task, child))
			return get_task_struct(child);
	/* CLONE_PARENT */
	list_for_each_entry(child, &task->real_parent->children, sibling)
		if (waits_for(task, child))
			return get_task_struct(child);
	return NULL;
}

/**
 * checkpoint_vfork_attach - have a child tell when it lets its parent go on
 * @child: a restored process that has not been to user mode
 * @done: completed then; on the stack of the calling task
 */
void checkpoint_vfork_attach(struct task_struct *child, struct completion *done)
{
	task_lock(child);
	child->vfork_done = done;
	task_unlock(child);
}

/**
 * checkpoint_vfork_wait - wait for it, as vfork(2) does
 * @child: the child
 * @done: what was given to checkpoint_vfork_attach()
 *
 * Return: 0, or -ERESTARTSYS when the calling task is killed.
 */
int checkpoint_vfork_wait(struct task_struct *child, struct completion *done)
{
	return wait_for_vfork_done(get_task_struct(child), done);
}

static int hold(struct task_struct *task, void *arg)
{
	unsigned int state = READ_ONCE(task->__state);

	if (task_is_runnable(task) || task_curr(task) ||
	    (!(state & __TASK_STOPPED) && state != VFORK_STATE))
		return 0;
	task->saved_state = state;
	WRITE_ONCE(task->__state, TASK_FROZEN);
	return 1;
}

/**
 * checkpoint_hold_asleep - keep a task asleep that nothing wakes as it is
 * @task: one that job control has stopped, or that waits in vfork(2)
 *
 * SIGCONT and SIGKILL are noted, but wake it only when it is let go: meanwhile
 * its structures may be read. It is what the freezer does with such tasks.
 *
 * Return: whether it is held; false when it does not sleep so.
 */
bool checkpoint_hold_asleep(struct task_struct *task)
{
	return task_call_func(task, hold, NULL);
}

static int release(struct task_struct *task, void *arg)
{
	unsigned int state = task->saved_state;

	/* Let go by the freezer, which may have come meanwhile. */
	if (!(READ_ONCE(task->__state) & TASK_FROZEN))
		return 1;
	/* Something woke it. */
	if (state == TASK_RUNNING)
		return 0;
	WRITE_ONCE(task->__state, state);
	task->saved_state = TASK_RUNNING;
	return 1;
}

/**
 * checkpoint_release_asleep - undo checkpoint_hold_asleep()
 * @task: the task
 */
void checkpoint_release_asleep(struct task_struct *task)
{
	if (!task_call_func(task, release, NULL))
		wake_up_state(task, TASK_FROZEN);
}
