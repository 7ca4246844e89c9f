// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of scheduling and of NUMA policies: what is private to the
 * scheduler, and what there are but macros and inlines for.
 */
#include <linux/checkpoint.h>
#include <linux/cpumask.h>
#include <linux/cpuset.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/nodemask.h>
#include <linux/pid_namespace.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sched/autogroup.h>
#include <linux/sched/deadline.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include <uapi/linux/sched/types.h>

#include "../sched/autogroup.h"

/**
 * checkpoint_core_cookie - the core scheduling cookie of a task (PR_SCHED_CORE)
 * @task: a task that stands still
 *
 * Return: the address that tells it from others, NULL where it is that of init,
 * which is inherited, or none.
 */
const void *checkpoint_core_cookie(struct task_struct *task)
{
#ifdef CONFIG_SCHED_CORE
	unsigned long cookie = READ_ONCE(task->core_cookie);

	if (cookie != READ_ONCE(current->core_cookie))
		return (const void *)cookie;
#endif
	return NULL;
}

/**
 * checkpoint_join_core_cookie - give current a core scheduling cookie
 * @owner: a task of the same restart that has it, or NULL for a new one
 *
 * Return: as PR_SCHED_CORE, but for the right to look into @owner.
 */
int checkpoint_join_core_cookie(struct task_struct *owner)
{
#ifdef CONFIG_SCHED_CORE
	if (!owner)
		return sched_core_share_pid(PR_SCHED_CORE_CREATE, 0, PIDTYPE_PID, 0);
	return sched_core_share_from(owner);
#else
	return -ENODEV;
#endif
}

/**
 * checkpoint_autogroup_nice - what /proc/PID/autogroup says
 * @task: a task that stands still
 *
 * Return: the nice value of the group that came with the session @task leads,
 * 0 for others.
 */
int checkpoint_autogroup_nice(struct task_struct *task)
{
#ifdef CONFIG_SCHED_AUTOGROUP
	struct autogroup *group = task->signal->autogroup;

	if (group != current->signal->autogroup && task->signal->leader &&
	    task_group_is_autogroup(group->tg)) {
		guard(rwsem_read)(&group->lock);
		return group->nice;
	}
#endif
	return 0;
}

/**
 * checkpoint_set_autogroup_nice - write to /proc/self/autogroup
 * @nice: the nice value
 *
 * Context: current, which has made its session, and its group with it.
 * Return: 0; -EPERM, -EINVAL as the write; -EINVAL also where sessions get no
 * groups; -EAGAIN if current was killed.
 */
int checkpoint_set_autogroup_nice(int nice)
{
#ifdef CONFIG_SCHED_AUTOGROUP
	struct autogroup *group = current->signal->autogroup;
	int err;

	if (!task_group_is_autogroup(group->tg))
		return nice ? -EINVAL : 0;
	if (nice == group->nice)
		return 0;
	/* At any time only somebody with CAP_SYS_ADMIN may, others now and then. */
	do {
		err = proc_sched_autogroup_set_nice(current, nice);
		if (err == -EAGAIN)
			schedule_timeout_killable(HZ / 10 + 1);
	} while (err == -EAGAIN && !fatal_signal_pending(current));
	return err;
#else
	return nice ? -EINVAL : 0;
#endif
}

/**
 * checkpoint_get_sched - how a task is scheduled
 * @task: a task that stands still
 * @attr: filled with what sched_setattr(2) takes to get there
 */
void checkpoint_get_sched(struct task_struct *task, struct sched_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->size = sizeof(*attr);
	attr->sched_policy = task->policy;
	attr->sched_nice = PRIO_TO_NICE(task->static_prio);
	attr->sched_priority = task->rt_priority;
	if (task->sched_reset_on_fork)
		attr->sched_flags |= SCHED_FLAG_RESET_ON_FORK;
	if (task->policy == SCHED_DEADLINE) {
		attr->sched_runtime = task->dl.dl_runtime;
		attr->sched_deadline = task->dl.dl_deadline;
		attr->sched_period = task->dl.dl_period;
		attr->sched_flags |= task->dl.flags &
				     (SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN);
	} else if (task->se.custom_slice) {
		attr->sched_runtime = task->se.slice;
	}
#ifdef CONFIG_UCLAMP_TASK
	if (task->uclamp_req[UCLAMP_MIN].user_defined) {
		attr->sched_flags |= SCHED_FLAG_UTIL_CLAMP_MIN;
		attr->sched_util_min = task->uclamp_req[UCLAMP_MIN].value;
	}
	if (task->uclamp_req[UCLAMP_MAX].user_defined) {
		attr->sched_flags |= SCHED_FLAG_UTIL_CLAMP_MAX;
		attr->sched_util_max = task->uclamp_req[UCLAMP_MAX].value;
	}
#endif
}

/**
 * checkpoint_reset_clamps - forget the utilization clamps that current inherited
 *
 * Return: as sched_setattr(2).
 */
int checkpoint_reset_clamps(void)
{
	struct sched_attr attr;

	checkpoint_get_sched(current, &attr);
	if (!(attr.sched_flags & SCHED_FLAG_UTIL_CLAMP))
		return 0;
	attr.sched_flags |= SCHED_FLAG_UTIL_CLAMP;
	attr.sched_util_min = -1;
	attr.sched_util_max = -1;
	return sched_setattr(current, &attr);
}

#ifdef CONFIG_NUMA
#define MPOL_F_BALANCING	(MPOL_F_NUMA_BALANCING | MPOL_F_MOF | MPOL_F_MORON)

static void get_mempolicy(const struct mempolicy *pol,
			  struct checkpoint_mempolicy *out, unsigned long *nodes)
{
	const nodemask_t *from = &pol->nodes;

	out->mode = pol->mode;
	out->flags = pol->flags & MPOL_MODE_FLAGS;
	out->home_node = pol->home_node;
	/* As it was asked for, which is more than there may be here. */
	if (pol->flags & MPOL_USER_NODEMASK_FLAGS)
		from = &pol->w.user_nodemask;
	if (pol->mode != MPOL_LOCAL)
		bitmap_copy(nodes, nodes_addr(*from), MAX_NUMNODES);
}

/*
 * The nodes of a policy, as many as this kernel may have. What is said of nodes
 * by number is to mean these nodes and no others: none may be missing.
 */
static int to_nodemask(nodemask_t *mask, const struct checkpoint_mempolicy *in,
		       const unsigned long *nodes, unsigned int nr)
{
	nodemask_t allowed;

	nodes_clear(*mask);
	if (in->mode >= MPOL_MAX || in->flags & ~MPOL_MODE_FLAGS)
		return -EINVAL;
	if (in->flags & MPOL_F_STATIC_NODES && in->flags & MPOL_F_RELATIVE_NODES)
		return -EINVAL;
	if (in->flags & MPOL_F_NUMA_BALANCING &&
	    in->mode != MPOL_BIND && in->mode != MPOL_PREFERRED_MANY)
		return -EINVAL;
	if (find_next_bit(nodes, nr, MAX_NUMNODES) < nr)
		return -EINVAL;
	bitmap_copy(nodes_addr(*mask), nodes, min(nr, MAX_NUMNODES));
	if (in->flags & MPOL_USER_NODEMASK_FLAGS)
		return 0;
	task_lock(current);
	nodes_and(allowed, cpuset_current_mems_allowed, node_states[N_MEMORY]);
	task_unlock(current);
	return nodes_subset(*mask, allowed) ? 0 : -EINVAL;
}

static unsigned short to_mpol_flags(const struct checkpoint_mempolicy *in)
{
	return in->flags & MPOL_F_NUMA_BALANCING ? in->flags | MPOL_F_BALANCING :
						   in->flags;
}
#endif

/* Nodes there may be. */
unsigned int checkpoint_nr_nodes(void)
{
	return MAX_NUMNODES;
}

/**
 * checkpoint_get_mempolicy - the NUMA policy of a task
 * @task: a task that stands still
 * @out: filled, as set_mempolicy(2) takes it; MPOL_DEFAULT without one
 * @nodes: room for checkpoint_nr_nodes() bits, cleared
 */
void checkpoint_get_mempolicy(struct task_struct *task,
			      struct checkpoint_mempolicy *out,
			      unsigned long *nodes)
{
	*out = (struct checkpoint_mempolicy) { .home_node = NUMA_NO_NODE };
#ifdef CONFIG_NUMA
	task_lock(task);
	if (task->mempolicy)
		get_mempolicy(task->mempolicy, out, nodes);
	task_unlock(task);
#endif
}

/**
 * checkpoint_get_vma_policy - the NUMA policy of a mapping
 * @vma: the mapping
 * @out: filled, as mbind(2) takes it
 * @nodes: room for checkpoint_nr_nodes() bits, cleared
 *
 * Context: mmap_lock is held.
 * Return: whether it has one.
 */
bool checkpoint_get_vma_policy(struct vm_area_struct *vma,
			       struct checkpoint_mempolicy *out,
			       unsigned long *nodes)
{
	*out = (struct checkpoint_mempolicy) { .home_node = NUMA_NO_NODE };
#ifdef CONFIG_NUMA
	if (!vma->vm_policy)
		return false;
	get_mempolicy(vma->vm_policy, out, nodes);
	return true;
#else
	return false;
#endif
}

/**
 * checkpoint_set_mempolicy - set_mempolicy(2) for current
 * @in: the policy
 * @nodes: its nodes
 * @nr: how many bits there are
 *
 * Return: as set_mempolicy(2); -EINVAL also where a node is missing.
 */
int checkpoint_set_mempolicy(const struct checkpoint_mempolicy *in,
			     const unsigned long *nodes, unsigned int nr)
{
#ifdef CONFIG_NUMA
	nodemask_t mask;
	int err;

	if (in->mode == MPOL_DEFAULT && !current->mempolicy)
		return 0;
	err = to_nodemask(&mask, in, nodes, nr);
	return err ? err : do_set_mempolicy(in->mode, to_mpol_flags(in), &mask);
#else
	return in->mode == MPOL_DEFAULT ? 0 : -EINVAL;
#endif
}

/**
 * checkpoint_set_vma_policy - mbind(2) and set_mempolicy_home_node(2)
 * @addr: first address of a mapping of current
 * @len: its length
 * @in: the policy
 * @nodes: its nodes
 * @nr: how many bits there are
 *
 * Context: current, which has not been to user mode, builds its address space.
 * The mapping can't merge with others, and is private.
 * Return: as mbind(2); -EINVAL also where a node is missing.
 */
int checkpoint_set_vma_policy(unsigned long addr, unsigned long len,
			      const struct checkpoint_mempolicy *in,
			      const unsigned long *nodes, unsigned int nr)
{
#ifdef CONFIG_NUMA
	struct vm_area_struct *vma;
	nodemask_t mask;
	int err;

	err = to_nodemask(&mask, in, nodes, nr);
	if (err || in->mode == MPOL_DEFAULT)
		return err ?: -EINVAL;
	err = do_mbind(addr, len, in->mode, to_mpol_flags(in), &mask, 0);
	if (err || in->home_node == NUMA_NO_NODE)
		return err;
	if (in->home_node < 0 || in->home_node >= MAX_NUMNODES ||
	    !node_online(in->home_node) ||
	    (in->mode != MPOL_BIND && in->mode != MPOL_PREFERRED_MANY))
		return -EINVAL;
	mmap_write_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	/* Made just now, and nobody else's. */
	if (vma && vma->vm_policy)
		vma->vm_policy->home_node = in->home_node;
	else
		err = -ENOENT;
	mmap_write_unlock(current->mm);
	return err;
#else
	return -EINVAL;
#endif
}

/* CPUs there may be. */
unsigned int checkpoint_nr_cpus(void)
{
	return nr_cpu_ids;
}

/**
 * checkpoint_get_affinity - the CPUs that a task asked for
 * @task: a task that stands still
 * @bits: room for checkpoint_nr_cpus() bits
 *
 * Return: false when it never did.
 */
bool checkpoint_get_affinity(struct task_struct *task, unsigned long *bits)
{
	guard(raw_spinlock_irqsave)(&task->pi_lock);
	if (!task->user_cpus_ptr)
		return false;
	bitmap_copy(bits, cpumask_bits(task->user_cpus_ptr), nr_cpu_ids);
	return true;
}

/**
 * checkpoint_set_affinity - sched_setaffinity(2) for current
 * @bits: CPUs, or NULL for all that there may be
 * @nr: how many bits there are
 *
 * Return: as sched_setaffinity(2).
 */
int checkpoint_set_affinity(const unsigned long *bits, unsigned int nr)
{
	cpumask_var_t mask;
	int err;

	if (!bits && !current->user_cpus_ptr)
		return 0;
	if (!alloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	if (bits) {
		cpumask_clear(mask);
		bitmap_copy(cpumask_bits(mask), bits, min(nr, nr_cpu_ids));
	} else {
		cpumask_copy(mask, cpu_possible_mask);
	}
	err = sched_setaffinity(0, mask);
	free_cpumask_var(mask);
	return err;
}
