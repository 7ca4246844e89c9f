// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory side of checkpoint/restart that needs the page table macros, and the
 * switch to a new address space that restart(2) shares with exec.
 */
#include <linux/binfmts.h>
#include <linux/checkpoint.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/hugetlb.h>
#include <linux/ksm.h>
#include <linux/leafops.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/mm_inline.h>
#include <linux/module.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_context.h>
#include <linux/oom.h>
#include <linux/pagewalk.h>
#include <linux/pid_namespace.h>
#include <linux/pkeys.h>
#include <linux/prctl.h>
#include <linux/sched/exec_state.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <uapi/linux/memfd.h>
#include <linux/userfaultfd_k.h>
#include <linux/xarray.h>

#include "internal.h"

struct checkpoint_walk {
	checkpoint_pages_fn fn;
	void *arg;
	/* The range not yet given to @fn; empty when start == end. */
	unsigned long start;
	unsigned long end;
	enum checkpoint_pages what;
	/* The first of them, if others may have them, too; with a reference to each. */
	unsigned long pfn;
};

/**
 * checkpoint_put_pages - give references to pages back
 * @pfn: the first one
 * @count: how many
 */
void checkpoint_put_pages(unsigned long pfn, unsigned long count)
{
	while (count--)
		put_page(pfn_to_page(pfn++));
}

/**
 * checkpoint_get_page - take a reference to a page
 * @pfn: its number; the caller has a reference already
 */
struct page *checkpoint_get_page(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	get_page(page);
	return page;
}

static void checkpoint_walk_put(struct checkpoint_walk *w)
{
	if (w->pfn)
		checkpoint_put_pages(w->pfn, (w->end - w->start) >> PAGE_SHIFT);
}

static int checkpoint_walk_flush(struct checkpoint_walk *w)
{
	int err = 0;

	if (w->start != w->end)
		err = w->fn(w->arg, w->start, w->end, w->what, w->pfn);
	if (err)
		checkpoint_walk_put(w);
	w->start = w->end;
	return err;
}

/**
 * checkpoint_is_mapped_more_than - whether a page may have so many mappings, and more
 * @page: an anonymous page, which is mapped
 * @n: so many
 */
bool checkpoint_is_mapped_more_than(struct page *page, int n)
{
	struct folio *folio = page_folio(page);

	/* A duplicate has none of those. */
	if (folio_test_hugetlb(folio))
		return folio_mapcount(folio) > 1;
	if (!folio_test_large(folio))
		return folio_mapcount(folio) > n;
#ifdef CONFIG_PAGE_MAPCOUNT
	return folio_entire_mapcount(folio) + atomic_read(&page->_mapcount) + 1 > n;
#else
	return true;
#endif
}

static int checkpoint_walk_add(struct checkpoint_walk *w, unsigned long start,
			       unsigned long end, enum checkpoint_pages what,
			       struct page *page)
{
	unsigned long nr = (end - start) >> PAGE_SHIFT, pfn = 0, next = 0;
	int err;

	/* By more than a task of the job and its duplicate. */
	if (page && checkpoint_is_mapped_more_than(page, 2)) {
		/* For as long as it is held, no other page has its number. */
		folio_ref_add(page_folio(page), nr);
		pfn = page_to_pfn(page);
	}
	if (w->pfn)
		next = w->pfn + ((w->end - w->start) >> PAGE_SHIFT);
	if (w->end == start && w->start != w->end && w->what == what && next == pfn) {
		w->end = end;
		return 0;
	}
	err = checkpoint_walk_flush(w);
	w->start = start;
	w->end = end;
	w->what = what;
	w->pfn = pfn;
	return err;
}

static int checkpoint_pmd_entry(pmd_t *pmd, unsigned long addr,
				unsigned long next, struct mm_walk *walk)
{
	struct checkpoint_walk *w = walk->private;
	spinlock_t *ptl = pmd_trans_huge_lock(pmd, walk->vma);
	struct page *page = NULL;
	int what = -1, err = 0;

	if (!ptl)
		return 0;

	/* A huge page needs no look at its parts. */
	walk->action = ACTION_CONTINUE;
	if (pmd_present(*pmd)) {
		page = vm_normal_page_pmd(walk->vma, addr, *pmd);
		/* It may have come up behind where a walk has ended for lack of room. */
		if (page)
			page += (addr & ~PMD_MASK) >> PAGE_SHIFT;
		if (!page)
			what = CHECKPOINT_PAGES_ZERO;
		else if (PageAnon(page))
			what = CHECKPOINT_PAGES_DATA;
	} else if (pmd_is_migration_entry(*pmd)) {
		what = CHECKPOINT_PAGES_DATA;
	} else {
		what = CHECKPOINT_PAGES_OTHER;
	}
	if (what >= 0)
		err = checkpoint_walk_add(w, addr, next, what, page);
	spin_unlock(ptl);
	return err;
}

static int checkpoint_pte_entry(pte_t *ptep, unsigned long addr,
				unsigned long next, struct mm_walk *walk)
{
	struct checkpoint_walk *w = walk->private;
	pte_t pte = ptep_get(ptep);
	softleaf_t entry;
	struct page *page;

	if (pte_none(pte))
		return 0;

	if (pte_present(pte)) {
		page = vm_normal_page(walk->vma, addr, pte);
		if (!page)
			return checkpoint_walk_add(w, addr, next,
						   CHECKPOINT_PAGES_ZERO, NULL);
		/* What is not anonymous is had back from the file. */
		if (!PageAnon(page))
			return 0;
		return checkpoint_walk_add(w, addr, next, CHECKPOINT_PAGES_DATA,
					   page);
	}

	entry = softleaf_from_pte(pte);
	if (softleaf_is_swap(entry))
		return checkpoint_walk_add(w, addr, next, CHECKPOINT_PAGES_DATA,
					   NULL);
	if (softleaf_is_migration(entry)) {
		if (!folio_test_anon(softleaf_to_folio(entry)))
			return 0;
		return checkpoint_walk_add(w, addr, next, CHECKPOINT_PAGES_DATA,
					   NULL);
	}
	if (softleaf_is_guard_marker(entry))
		return checkpoint_walk_add(w, addr, next, CHECKPOINT_PAGES_GUARD,
					   NULL);
	return checkpoint_walk_add(w, addr, next, CHECKPOINT_PAGES_OTHER, NULL);
}

#ifdef CONFIG_HUGETLBFS
static int checkpoint_hugetlb_entry(pte_t *ptep, unsigned long hmask,
				    unsigned long addr, unsigned long next,
				    struct mm_walk *walk)
{
	struct checkpoint_walk *w = walk->private;
	spinlock_t *ptl = huge_pte_lock(hstate_vma(walk->vma), walk->mm, ptep);
	pte_t pte = huge_ptep_get(walk->mm, addr & hmask, ptep);
	struct page *page = NULL;
	int what = -1, err = 0;
	softleaf_t entry;

	if (huge_pte_none(pte))
		goto unlock;
	if (pte_present(pte)) {
		page = pte_page(pte);
		/* What is not anonymous is had back from the file. */
		if (PageAnon(page))
			what = CHECKPOINT_PAGES_DATA;
		goto unlock;
	}
	entry = softleaf_from_pte(pte);
	if (!softleaf_is_migration(entry))
		what = CHECKPOINT_PAGES_OTHER;
	else if (folio_test_anon(softleaf_to_folio(entry)))
		what = CHECKPOINT_PAGES_DATA;
unlock:
	if (what >= 0)
		err = checkpoint_walk_add(w, addr, next, what, page);
	spin_unlock(ptl);
	return err;
}
#endif

static const struct mm_walk_ops checkpoint_walk_ops = {
	.pmd_entry	= checkpoint_pmd_entry,
	.pte_entry	= checkpoint_pte_entry,
#ifdef CONFIG_HUGETLBFS
	.hugetlb_entry	= checkpoint_hugetlb_entry,
#endif
	.walk_lock	= PGWALK_RDLOCK,
};

/**
 * checkpoint_walk_pages - tell which pages of a range hold what
 * @mm: an address space that nobody runs in
 * @start: first address
 * @end: behind the last one
 * @fn: called for each range of pages of the same kind, in ascending order,
 *	ranges as long as they can be; must not sleep. Where others may have them,
 *	too, it gets the number of the first page, the others come after it, and a
 *	reference to each, which it takes over if it returns 0; else it gets 0
 * @arg: for @fn
 *
 * Pages that are not there, and pages of files, are passed over.
 *
 * Context: mmap_lock of @mm is held.
 * Return: 0, or what @fn returned first that was not 0.
 */
int checkpoint_walk_pages(struct mm_struct *mm, unsigned long start,
			  unsigned long end, checkpoint_pages_fn fn, void *arg)
{
	struct checkpoint_walk w = { .fn = fn, .arg = arg };
	int err;

	err = walk_page_range(mm, start, end, &checkpoint_walk_ops, &w);
	if (!err)
		return checkpoint_walk_flush(&w);
	checkpoint_walk_put(&w);
	return err;
}

/**
 * checkpoint_first_owner - who was the first to have a page
 * @index: who has which page, by its number
 * @pfn: number of a page that the caller holds
 * @owner: in: who asks, a number of 63 bits; out: who was first
 *
 * The index holds the pages that are in it: their numbers stay theirs.
 *
 * Context: may sleep.
 * Return: whether somebody had it before; -ENOMEM.
 */
int checkpoint_first_owner(struct xarray *index, unsigned long pfn,
			   unsigned long *owner)
{
	void *entry = xa_load(index, pfn);
	int err;

	if (entry) {
		*owner = xa_to_value(entry);
		return 1;
	}
	err = xa_err(xa_store(index, pfn, xa_mk_value(*owner), CHECKPOINT_GFP));
	if (!err)
		get_page(pfn_to_page(pfn));
	return err;
}

/**
 * checkpoint_new_index - an index for checkpoint_first_owner()
 *
 * Return: the index, NULL without memory.
 */
struct xarray *checkpoint_new_index(void)
{
	struct xarray *index = kmalloc_obj(*index, CHECKPOINT_GFP);

	if (index)
		xa_init_flags(index, XA_FLAGS_ACCOUNT);
	return index;
}

/**
 * checkpoint_free_index - let go of an index, and of the pages in it
 * @index: the index
 *
 * Context: may sleep.
 */
void checkpoint_free_index(struct xarray *index)
{
	unsigned long pfn;
	void *entry;

	xa_for_each(index, pfn, entry) {
		put_page(pfn_to_page(pfn));
		cond_resched();
	}
	xa_destroy(index);
	kfree(index);
}

static bool checkpoint_is_known_to(struct vm_area_struct *vma,
				   struct anon_vma *anon_vma)
{
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		if (avc->anon_vma == anon_vma)
			return true;
	return false;
}

/* Whether all reverse mappings that lead to @other lead to @vma, too. */
static bool checkpoint_is_relative(struct vm_area_struct *vma,
				   struct vm_area_struct *other)
{
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &other->anon_vma_chain, same_vma)
		if (!checkpoint_is_known_to(vma, avc->anon_vma))
			return false;
	return true;
}

/*
 * Whether both mappings have pages of one size. Who shares a huge page with others is
 * found by the file.
 */
static bool checkpoint_are_alike(struct vm_area_struct *vma,
				 struct vm_area_struct *from)
{
	if (!is_vm_hugetlb_page(vma) && !is_vm_hugetlb_page(from))
		return true;
	return is_vm_hugetlb_page(vma) && is_vm_hugetlb_page(from) &&
	       vma->vm_file->f_mapping == from->vm_file->f_mapping;
}

/* Whether what fork does to @from would make of it what @vma is. */
static bool checkpoint_can_inherit(struct vm_area_struct *vma,
				   struct vm_area_struct *from, unsigned long addr)
{
	const vm_flags_t never = VM_SHARED | VM_MAYSHARE | VM_IO | VM_PFNMAP |
				 VM_MIXEDMAP | VM_DROPPABLE;

	return !((vma->vm_flags | from->vm_flags) & never) &&
	       !(vma->vm_flags & VM_LOCKED) &&
	       checkpoint_are_alike(vma, from) &&
	       vma_is_cow_mapping(vma) && vma_is_cow_mapping(from) &&
	       !userfaultfd_armed(vma) && !userfaultfd_armed(from) &&
	       /* Page table entries are copied as they are. */
	       pgprot_val(vma->vm_page_prot) == pgprot_val(from->vm_page_prot) &&
	       linear_page_index(vma, addr) == linear_page_index(from, addr) &&
	       linear_anon_page_index(vma, addr) == linear_anon_page_index(from, addr) &&
	       from->anon_vma &&
	       (!vma->anon_vma || checkpoint_is_relative(vma, from));
}

/*
 * Makes room for pages that @vma inherits. Somebody who may look into the task
 * may have touched it before it is there.
 */
static void checkpoint_make_room(struct vm_area_struct *vma,
				 struct vm_area_struct *from,
				 unsigned long start, unsigned long end)
{
	zap_vma_range(vma, start, end - start);
	if (is_vm_hugetlb_page(vma))
		return;
	/* Of a huge page that is not had whole only the parts are inherited. */
	vma_adjust_trans_huge(from, start, end, NULL);
	for (unsigned long at = ALIGN(start, PMD_SIZE);
	     at < end && end - at >= PMD_SIZE; at += PMD_SIZE) {
		pmd_t *pmd = mm_find_pmd(vma->vm_mm, at);

		/* A table, even an empty one, is where a huge page would go. */
		if (pmd && !pmd_none(*pmd))
			split_huge_pmd_address(from, at, false);
	}
}

/**
 * checkpoint_inherit_pages - have pages of another address space as after fork
 * @from: one that nobody runs in
 * @start: first address, where the calling task is to have no other pages
 * @end: behind the last one
 * @inherited: set if the pages are those of @from now; if not, they can't be, and
 *	have to be copied
 *
 * Looks at no more than a mapping at a time.
 *
 * Context: may sleep. mmap_lock of @from is taken, and below it that of the calling
 * task, as in dup_mmap(): @from has to come first in the order in which tasks are
 * rebuilt.
 * Return: up to where it was looked at, or a negative errno; then the caller must
 * not go to user mode.
 */
long checkpoint_inherit_pages(struct mm_struct *from, unsigned long start,
			      unsigned long end, bool *inherited)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma, *src;
	int err = -EINVAL;

	*inherited = false;
	if (mmap_write_lock_killable(from))
		return -EINTR;
	mmap_write_lock_nested(mm, SINGLE_DEPTH_NESTING);
	vma = vma_lookup(mm, start);
	if (!vma)
		goto out;
	end = min(end, vma->vm_end);
	err = 0;
	src = find_vma(from, start);
	if (!src || src->vm_start > start) {
		if (src)
			end = min(end, src->vm_start);
		goto out;
	}
	end = min(end, src->vm_end);
	if (!checkpoint_can_inherit(vma, src, start) ||
	    !IS_ALIGNED(start | end, vma_kernel_pagesize(src)))
		goto out;

	vma_start_write(src);
	vma_start_write(vma);
	if (!vma->anon_vma) {
		/* That is for mappings nobody can find. Nobody but us looks here. */
		vma_mark_detached(vma);
		err = anon_vma_fork(vma, src);
		vma_mark_attached(vma);
		if (err)
			goto out;
	}
	checkpoint_make_room(vma, src, start, end);
	if (is_vm_hugetlb_page(src))
		err = __copy_hugetlb_page_range(vma, src, start, end);
	else
		err = __copy_page_range(vma, src, start, end);
	*inherited = !err;
	/* What could be written before must not be any more. */
	flush_tlb_range(src, start, end);
out:
	mmap_write_unlock(mm);
	mmap_write_unlock(from);
	return err ? err : end;
}

/**
 * checkpoint_new_mm - give the calling task a new, empty address space
 * @user_ns: user namespace the new address space belongs to
 *
 * What exec does, without a program to load. On failure the caller must not
 * go to user mode.
 *
 * Context: process context of a task that shares its mm with its parent.
 * Return: 0 or a negative errno.
 */
int checkpoint_new_mm(struct user_namespace *user_ns)
{
	struct mm_struct *mm, *old = NULL;
	struct rlimit stack;
	int err;

	mm = mm_alloc();
	if (!mm)
		return -ENOMEM;
	mm->binfmt = NULL;

	sched_mm_cid_before_execve(current);
	err = exec_install_mm(mm, user_ns, &old);
	if (err) {
		/* Without user mode no CID is needed. */
		mmput(mm);
		return err;
	}
	task_lock(current->group_leader);
	stack = current->signal->rlim[RLIMIT_STACK];
	task_unlock(current->group_leader);
	arch_pick_mmap_layout(mm, &stack);
	mm->task_size = TASK_SIZE;
	up_write(&current->signal->exec_update_lock);
	if (old)
		exec_mm_put_old(old);
	sched_mm_cid_after_execve(current);
	return 0;
}

/**
 * checkpoint_share_mm - share the address space of another process
 * @owner: a task of the other process
 *
 * As CLONE_VM would have it.
 *
 * Context: process context of a task that shares its mm with its parent.
 * Return: 0, or -ESRCH if @owner has exited; then the caller must not go to
 * user mode.
 */
int checkpoint_share_mm(struct task_struct *owner)
{
	struct mm_struct *old = current->mm, *mm = get_task_mm(owner);
	struct task_exec_state *state = NULL;
	int err;

	if (!mm)
		return -ESRCH;
	/* Dumpability goes with the address space. */
	task_lock(owner);
	if (owner->mm == mm) {
		state = rcu_dereference_protected(owner->exec_state, true);
		refcount_inc(&state->count);
	}
	task_unlock(owner);
	if (!state) {
		mmput(mm);
		return -ESRCH;
	}

	sched_mm_cid_before_execve(current);
	down_write(&current->signal->exec_update_lock);
	task_lock(current);
	/* Holds off IPIs that would flush the TLB of the other one. */
	local_irq_disable();
	current->active_mm = mm;
	current->mm = mm;
	sched_cache_exec_mmap(current, mm);
	state = task_exec_state_replace(current, state);
	membarrier_update_current_mm(mm);
	switch_mm_irqs_off(old, mm, current);
	local_irq_enable();
	task_unlock(current);
	lru_gen_use_mm(mm);
	/* As in kthread_use_mm(): what membarrier(2) relies on. */
	smp_mb();
	up_write(&current->signal->exec_update_lock);
	put_task_exec_state(state);
	exec_mm_put_old(old);
	err = sched_mm_cid_join();
	if (err)
		return err;

	/* As in copy_oom_score_adj(): who sets it looks for the others, too. */
	mutex_lock(&oom_adj_mutex);
	mm_flags_set(MMF_MULTIPROCESS, mm);
	mutex_unlock(&oom_adj_mutex);
	return 0;
}

/**
 * checkpoint_unshare_exec_state - give the calling task a dumpability of its own
 *
 * It goes with the address space, and is shared with those who share that. What
 * a task does to its credentials changes it, also for them.
 *
 * Context: process context of a task that shares its mm with its parent.
 * Return: 0 or -ENOMEM.
 */
int checkpoint_unshare_exec_state(void)
{
	struct task_exec_state *state, *own;

	/* Only the task itself replaces it. */
	state = rcu_dereference_protected(current->exec_state, true);
	own = alloc_task_exec_state(state->user_ns);
	if (!own)
		return -ENOMEM;
	own->dumpable = READ_ONCE(state->dumpable);
	down_write(&current->signal->exec_update_lock);
	task_lock(current);
	state = task_exec_state_replace(current, own);
	task_unlock(current);
	up_write(&current->signal->exec_update_lock);
	put_task_exec_state(state);
	return 0;
}

/**
 * checkpoint_mmap - map into the calling task's address space
 * @file: what to map, NULL for anonymous memory
 * @addr: first address
 * @len: length in bytes
 * @prot: PROT_*
 * @flags: MAP_*
 * @pgoff: offset in pages
 * @lock: account it as locked, populate nothing
 *
 * mmap(2) with all its checks, but for @lock, which gives what
 * mlockall(MCL_FUTURE | MCL_ONFAULT) would.
 *
 * Context: may sleep, takes mmap_lock for writing.
 * Return: 0 or a negative errno, -EEXIST if anything is mapped there.
 */
int checkpoint_mmap(struct file *file, unsigned long addr, unsigned long len,
		    unsigned long prot, unsigned long flags,
		    unsigned long pgoff, bool lock)
{
	struct mm_struct *mm = current->mm;
	vm_flags_t saved = mm->def_flags;
	unsigned long ret;

	if (lock)
		mm->def_flags |= VM_LOCKED | VM_LOCKONFAULT;
	ret = vm_mmap_pgoff(file, addr, len, prot,
			    flags | MAP_FIXED_NOREPLACE, pgoff);
	mm->def_flags = saved;
	if (IS_ERR_VALUE(ret))
		return ret;
	if (ret != addr) {
		vm_munmap(ret, len);
		return -EEXIST;
	}
	return 0;
}

/* Flags of a mapping that restart(2) sets; the rest is mmap(2)'s to decide. */
#define CHECKPOINT_VM_SET (VM_ACCESS_FLAGS | VM_MAYREAD | VM_MAYWRITE |	\
			   VM_MAYEXEC | VM_SEQ_READ | VM_RAND_READ |		\
			   VM_DONTCOPY | VM_DONTDUMP | VM_WIPEONFORK |		\
			   VM_HUGEPAGE | VM_NOHUGEPAGE | VM_SOFTDIRTY |		\
			   VM_DONTEXPAND | ARCH_VM_PKEY_FLAGS)

/* And those that it sets last, when the mapping has its pages. */
#define CHECKPOINT_VM_SET_LAST (VM_MERGEABLE | VM_SEALED)

/* MADV_MERGEABLE, but where that would ignore the advice, @vma can't have had it. */
static int checkpoint_set_mergeable(struct vm_area_struct *vma)
{
#ifdef CONFIG_KSM
	if (vma->vm_flags & (VM_SHARED | VM_MAYSHARE | VM_DROPPABLE | VM_HUGETLB) ||
	    file_is_dax(vma->vm_file))
		return -EINVAL;
	if (mm_flags_test(MMF_VM_MERGEABLE, vma->vm_mm))
		return 0;
	return __ksm_enter(vma->vm_mm);
#else
	return -EINVAL;
#endif
}

/**
 * checkpoint_set_vma_flags - make a mapping of the caller what it was
 * @addr: its first address
 * @flags: its VM_* flags, VM_DONTEXPAND to keep it from merging for now
 *
 * To be called when the mapping has no pages yet, or to take back
 * VM_DONTEXPAND, and give it what comes last, and nothing else. Huge pages keep
 * VM_DONTEXPAND. Rights can be
 * taken, never given. A mapping whose owner does not say that it can be saved,
 * or of what is no ordinary memory, is left alone: its driver may rely on the
 * flags it has.
 *
 * Context: may sleep, takes mmap_lock for writing.
 * Return: 0, -ENOENT, -EPERM, -EINTR; -EINVAL, -ENOMEM where it can't be
 * mergeable.
 */
int checkpoint_set_vma_flags(unsigned long addr, vm_flags_t flags)
{
	const vm_flags_t rights = VM_ACCESS_FLAGS | VM_MAYREAD | VM_MAYWRITE |
				  VM_MAYEXEC;
	struct mm_struct *mm = current->mm;
	vm_flags_t may_set = CHECKPOINT_VM_SET;
	struct vm_area_struct *vma;
	int err = -ENOENT;
	vm_flags_t set;
	bool counted, made;
	unsigned int seals;

	if (!(flags & VM_DONTEXPAND))
		may_set |= CHECKPOINT_VM_SET_LAST;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (!vma || vma->vm_start != addr)
		goto out;
	err = -EPERM;
	if (flags & rights & ~vma->vm_flags)
		goto out;
	/*
	 * Shared mappings of a file that may be written are counted there. That of
	 * a memfd may be less than mmap(2) gives, for seals come last.
	 */
	counted = vma->vm_file && vma->vm_flags & VM_SHARED &&
		  vma->vm_flags & ~flags & VM_MAYWRITE;
	if (counted && (flags & VM_WRITE ||
			!checkpoint_memfd_name(vma->vm_file, &seals, &made)))
		goto out;
	if ((vma->vm_ops && !vma->vm_ops->checkpoint) ||
	    vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP))
		goto out;
	if (is_vm_hugetlb_page(vma)) {
		/* Has it always; see checkpoint_describe_huge() for the other one. */
		flags |= VM_DONTEXPAND;
		may_set |= VM_NORESERVE;
	}

	if (flags & may_set & VM_MERGEABLE) {
		err = checkpoint_set_mergeable(vma);
		if (err)
			goto out;
	}

	set = (vma->vm_flags & ~may_set) | (flags & may_set);
	vma_start_write(vma);
	vm_stat_account(mm, vma->vm_flags, -(long)vma_pages(vma));
	vm_flags_mod(vma, set, vma->vm_flags & ~set);
	vm_stat_account(mm, vma->vm_flags, vma_pages(vma));
	vma_set_page_prot(vma);
	if (counted)
		mapping_unmap_writable(vma->vm_file->f_mapping);
	err = 0;
out:
	mmap_write_unlock(mm);
	return err;
}

/**
 * checkpoint_lock_vma - make a mapping locked and populated
 * @addr: its first address
 * @len: its length in bytes
 *
 * For a mapping made with @lock of checkpoint_mmap() that was not
 * MLOCK_ONFAULT.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0, -ENOENT or -EINTR.
 */
int checkpoint_lock_vma(unsigned long addr, unsigned long len)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int err = -ENOENT;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma) {
		vm_flags_clear(vma, VM_LOCKONFAULT);
		err = 0;
	}
	mmap_write_unlock(mm);
	if (!err)
		mm_populate(addr, len);
	return err;
}

/**
 * checkpoint_install_guards - MADV_GUARD_INSTALL for the calling task
 * @addr: first address, within a mapping that restart(2) has made
 * @len: length in bytes, no more than the rest of the mapping
 *
 * Memory that was locked after its guards were installed has them, too, and so
 * has a mapping that is kept from merging for now.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0, -ENOENT, -EINTR, or what madvise(2) returns.
 */
int checkpoint_install_guards(unsigned long addr, unsigned long len)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_flags_t without = 0;
	int err = -ENOENT;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma && len <= vma->vm_end - addr) {
		without = vma->vm_flags & (VM_LOCKED_MASK | VM_DONTEXPAND);
		vm_flags_clear(vma, without);
		err = 0;
	}
	mmap_write_unlock(mm);
	if (err)
		return err;

	err = do_madvise(mm, addr, len, MADV_GUARD_INSTALL);
	/* Nobody else is there who could have changed it. */
	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		vm_flags_set(vma, without);
	mmap_write_unlock(mm);
	return err;
}

/**
 * checkpoint_huge_shift - what size the huge pages of an inode are of
 * @inode: any inode
 *
 * Return: the logarithm of their size, 0 without (hugetlbfs).
 */
u32 checkpoint_huge_shift(struct inode *inode)
{
#ifdef CONFIG_HUGETLBFS
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		return huge_page_shift(hstate_inode(inode));
#endif
	return 0;
}

/**
 * checkpoint_describe_huge - what is peculiar to a mapping of huge pages
 * @vma: a mapping
 * @out: filled
 *
 * Context: mmap_lock is held.
 * Return: whether it is one.
 */
bool checkpoint_describe_huge(struct vm_area_struct *vma,
			      struct checkpoint_huge *out)
{
#ifdef CONFIG_HUGETLBFS
	const char *name;
	u64 end;

	if (!is_vm_hugetlb_page(vma))
		return false;
	name = vma->vm_file->f_path.dentry->d_name.name;
	end = ((u64)vma->vm_pgoff << PAGE_SHIFT) + vma->vm_end - vma->vm_start;
	*out = (struct checkpoint_huge) {
		.shift = checkpoint_huge_shift(file_inode(vma->vm_file)),
		.anon = vma->vm_file->f_path.mnt->mnt_flags & MNT_INTERNAL &&
			!strcmp(name, HUGETLB_ANON_FILE),
		.grows = vma->vm_flags & VM_WRITE &&
			 end > i_size_read(file_inode(vma->vm_file)),
	};
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		/* Reservations are those of who has called mmap(2), not of its children. */
		out->unreserved = !__vma_private_lock(vma);
		/* Other than that it is noted there that pages were taken from it. */
		out->robbed = out->unreserved && vma->vm_private_data;
	}
	return true;
#else
	return false;
#endif
}

#ifdef CONFIG_HUGETLBFS
/* Whether pages are reserved for all of a file of huge pages, or were used up. */
static bool checkpoint_is_reserved(struct inode *inode)
{
	struct resv_map *map = HUGETLBFS_I(inode)->resv_map;
	long end = i_size_read(inode) >> huge_page_shift(hstate_inode(inode));
	long last = 0;
	struct file_region *region;

	guard(spinlock)(&map->lock);
	/* They ascend, and do not overlap. */
	list_for_each_entry(region, &map->regions, link) {
		if (region->from > last)
			break;
		last = region->to;
	}
	return end && last >= end;
}

/*
 * A huge page of a file that nobody else changes, made where there is none. As
 * fallocate(2), which ends at a signal.
 */
static struct folio *checkpoint_huge_folio(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct hstate *h = hstate_file(file);
	pgoff_t nth = index >> huge_page_order(h);
	unsigned long addr = nth << huge_page_shift(h);
	struct vm_area_struct vma;
	struct folio *folio;
	int err;

	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio))
		return folio;

	vma_init(&vma, current->mm);
	vm_flags_init(&vma, VM_HUGETLB | VM_MAYSHARE | VM_SHARED);
	vma.vm_file = file;

	guard(mutex)(&hugetlb_fault_mutex_table[hugetlb_fault_mutex_hash(mapping, nth)]);
	folio = alloc_hugetlb_folio(&vma, addr, false);
	if (IS_ERR(folio))
		return ERR_PTR(-ENOMEM);
	folio_zero_user(folio, addr);
	__folio_mark_uptodate(folio);
	err = hugetlb_add_to_page_cache(folio, mapping, nth);
	if (err) {
		restore_reserve_on_error(h, &vma, addr, folio);
		folio_put(folio);
		return ERR_PTR(err);
	}
	folio_set_hugetlb_migratable(folio);
	folio_unlock(folio);
	return folio;
}
#endif

/**
 * checkpoint_new_shm - make shared anonymous memory
 * @size: its length in bytes
 * @noreserve: do not count it against the commit limit, or reserve no huge pages
 * @shift: logarithm of the size of its huge pages, 0 without
 *
 * Context: may sleep.
 * Return: the file behind it, or an error pointer: -ENODEV where the kernel has no
 * such huge pages, -ENOMEM where it has too few of them.
 */
struct file *checkpoint_new_shm(loff_t size, bool noreserve, u32 shift)
{
	vma_flags_t flags = noreserve ? mk_vma_flags(VMA_NORESERVE_BIT) :
					EMPTY_VMA_FLAGS;

	if (!shift)
		return shmem_kernel_file_setup("dev/zero", size, flags);
	if (!IS_ALIGNED(size, 1ULL << shift))
		return ERR_PTR(-EINVAL);
	return hugetlb_file_setup(HUGETLB_ANON_FILE, size, flags,
				  HUGETLB_ANONHUGE_INODE, shift);
}

/**
 * checkpoint_shm_page - a page of shared anonymous memory, made present
 * @file: the file behind it, also one of huge pages
 * @index: which page of PAGE_SIZE bytes
 *
 * Context: may sleep.
 * Return: the page with a reference, marked dirty, or an error pointer: -ENOMEM
 * also where there are no huge pages left.
 */
struct page *checkpoint_shm_page(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct page *page;

#ifdef CONFIG_HUGETLBFS
	if (is_file_hugepages(file)) {
		struct folio *folio = checkpoint_huge_folio(file, index);

		if (IS_ERR(folio))
			return ERR_CAST(folio);
		if (folio_test_hwpoison(folio)) {
			folio_put(folio);
			return ERR_PTR(-EIO);
		}
		return folio_file_page(folio, index);
	}
#endif
	page = shmem_read_mapping_page_gfp(mapping, index, mapping_gfp_mask(mapping) |
					   __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!IS_ERR(page))
		set_page_dirty_lock(page);
	return page;
}

/* For hugetlbfs all of a file is data. */
static loff_t checkpoint_shm_seek(struct file *file, loff_t offset, int whence)
{
	if (is_file_hugepages(file))
		return mapping_seek_hole_data(file->f_mapping, offset,
					      i_size_read(file_inode(file)), whence);
	return file->f_op->llseek(file, offset, whence);
}

/**
 * checkpoint_shm_data - find data in shared anonymous memory
 * @file: the file behind it, also one of huge pages
 * @offset: in: where to look from, page-aligned; out: where the data starts
 *
 * Context: may sleep.
 * Return: length of the data, 0 if there is none, or a negative errno.
 */
loff_t checkpoint_shm_data(struct file *file, loff_t *offset)
{
	loff_t start, end;

	start = checkpoint_shm_seek(file, *offset, SEEK_DATA);
	if (start == -ENXIO)
		return 0;
	if (start < 0)
		return start;
	start = round_down(start, PAGE_SIZE);
	end = checkpoint_shm_seek(file, start, SEEK_HOLE);
	if (end < 0)
		return end;
	*offset = start;
	return round_up(end, PAGE_SIZE) - start;
}

/**
 * checkpoint_memfd_name - the name of a file of memfd_create(2)
 * @file: any file
 * @seals: set to its seals, F_SEAL_*
 * @made: set to whether it is what memfd_create(2) has returned, and was not opened
 *	again: it may be written to, and is executed none the less
 *
 * Return: the name, as long as the file is there, NULL if it is another file.
 */
const char *checkpoint_memfd_name(struct file *file, unsigned int *seals,
				  bool *made)
{
	const char *name = (const char *)file->f_path.dentry->d_name.name;
	int has;

	/* It is not renamed: it is in no directory. */
	if (!(shmem_file(file) || is_file_hugepages(file)) ||
	    !(file->f_path.mnt->mnt_flags & MNT_INTERNAL) ||
	    IS_PRIVATE(file_inode(file)) || strncmp(name, "memfd:", 6))
		return NULL;
	has = memfd_get_seals(file);
	if (has < 0)
		return NULL;
	*seals = has;
	*made = file->f_mode & FMODE_WRITE && !(file->f_mode & FMODE_WRITER);
	return name;
}

/**
 * checkpoint_new_memfd - make a file of memfd_create(2)
 * @name: its name, which begins with "memfd:"
 * @shift: logarithm of the size of its huge pages, 0 without
 *
 * Context: may sleep.
 * Return: the file, empty and open for reading and writing, or an error pointer:
 * -ENODEV where the kernel has no such huge pages.
 */
struct file *checkpoint_new_memfd(const char *name, u32 shift)
{
	unsigned int flags = MFD_ALLOW_SEALING;

	if (shift)
		flags |= MFD_HUGETLB | (shift & MFD_HUGE_MASK) << MFD_HUGE_SHIFT;
	return memfd_alloc_file(name, flags);
}

/**
 * checkpoint_seal_memfd - have a file of memfd_create(2) sealed
 * @inode: that of the file, which nobody but tasks of this restart knows
 * @seals: F_SEAL_*, all that it has
 *
 * It may be mapped as it is with these seals: those who have mapped it for
 * writing before F_SEAL_FUTURE_WRITE may go on.
 *
 * Context: may sleep.
 * Return: 0; -EBUSY if it is mapped for writing and may not be; -EACCES where
 * vm.memfd_noexec wants it to be no program.
 */
int checkpoint_seal_memfd(struct inode *inode, unsigned int seals)
{
	struct pid_namespace *ns = task_active_pid_ns(current);
	int err = 0;

	/* As memfd_create(2) without MFD_NOEXEC_SEAL. */
	if ((inode->i_mode & 0111 || !(seals & F_SEAL_EXEC)) &&
	    pidns_memfd_noexec_scope(ns) >= MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED)
		return -EACCES;
	inode_lock(inode);
	if (seals & F_SEAL_WRITE)
		err = mapping_deny_writable(inode->i_mapping);
	if (!err) {
#ifdef CONFIG_HUGETLBFS
		if (checkpoint_huge_shift(inode))
			HUGETLBFS_I(inode)->seals = seals;
		else
#endif
			SHMEM_I(inode)->seals = seals;
	}
	inode_unlock(inode);
	return err;
}

u32 checkpoint_vma_pkey(struct vm_area_struct *vma)
{
	return vma_pkey(vma);
}

/**
 * checkpoint_vma_name - the name of a mapping (PR_SET_VMA_ANON_NAME)
 * @vma: the mapping
 * @buf: where it goes, without a NUL
 * @len: how much room there is
 *
 * Context: mmap_lock is held.
 * Return: its length, 0 without a name. If that is more than @len, nothing was
 * copied.
 */
size_t checkpoint_vma_name(struct vm_area_struct *vma, char *buf, size_t len)
{
	size_t n = 0;

#ifdef CONFIG_ANON_VMA_NAME
	struct anon_vma_name *name = anon_vma_name(vma);

	if (name) {
		n = strlen(name->name);
		if (n <= len)
			memcpy(buf, name->name, n);
	}
#endif
	return n;
}

/**
 * checkpoint_set_vma_name - PR_SET_VMA_ANON_NAME for a new mapping
 * @addr: first address of a mapping of the caller, which can't merge for now
 * @name: its name
 *
 * Context: may sleep, takes mmap_lock for writing.
 * Return: 0; -EINVAL for a name that can't be; -EBADF where there is a file;
 * -ENOENT, -ENOMEM, -EINTR.
 */
int checkpoint_set_vma_name(unsigned long addr, const char *name)
{
#ifdef CONFIG_ANON_VMA_NAME
	struct anon_vma_name *new, *old = NULL;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int err = 0;

	/* As in set_anon_vma_name(), which takes it from user memory. */
	if (strlen(name) >= 80)
		return -EINVAL;
	for (const char *c = name; *c; c++)
		if (*c <= 0x1f || *c >= 0x7f || strchr("\\`$[]", *c))
			return -EINVAL;
	new = anon_vma_name_alloc(name);
	if (!new)
		return -ENOMEM;
	if (mmap_write_lock_killable(mm)) {
		anon_vma_name_put(new);
		return -EINTR;
	}
	vma = vma_lookup(mm, addr);
	if (!vma || vma->vm_start != addr) {
		err = -ENOENT;
	} else if (vma->vm_file && !vma_is_anon_shmem(vma)) {
		err = -EBADF;
	} else {
		vma_start_write(vma);
		old = anon_vma_name(vma);
		vma->anon_name = new;
	}
	mmap_write_unlock(mm);
	anon_vma_name_put(err ? new : old);
	return err;
#else
	return -EINVAL;
#endif
}

/**
 * checkpoint_mm_settings - what prctl(2) has set for an address space
 * @mm: the address space
 *
 * Return: CHECKPOINT_MM_*.
 */
u32 checkpoint_mm_settings(struct mm_struct *mm)
{
	static const struct {
		int flag;
		u32 setting;
	} flags[] = {
		{ MMF_DISABLE_THP_COMPLETELY, CHECKPOINT_MM_THP_DISABLE },
		{ MMF_DISABLE_THP_EXCEPT_ADVISED, CHECKPOINT_MM_THP_EXCEPT },
		{ MMF_VM_MERGE_ANY, CHECKPOINT_MM_MERGE_ANY },
		{ MMF_HAS_MDWE, CHECKPOINT_MM_MDWE },
		{ MMF_HAS_MDWE_NO_INHERIT, CHECKPOINT_MM_MDWE_NO_INHERIT },
	};
	u32 settings = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (mm_flags_test(flags[i].flag, mm))
			settings |= flags[i].setting;
	return settings;
}

/**
 * checkpoint_begin_mm_settings - set what mappings and pages depend on
 * @settings: CHECKPOINT_MM_*, of which huge pages are set
 *
 * What init has refused for its children is not given to them, as with exec.
 *
 * Context: the caller has a new address space, with nothing in it.
 * Return: 0, or -EPERM where init has other rules for memory that is executable
 * (PR_SET_MDWE).
 */
int checkpoint_begin_mm_settings(u32 settings)
{
	const u32 mdwe = CHECKPOINT_MM_MDWE | CHECKPOINT_MM_MDWE_NO_INHERIT;
	struct mm_struct *mm = current->mm;
	u32 is = checkpoint_mm_settings(mm) & mdwe;

	if (is && is != (settings & mdwe))
		return -EPERM;
	/* Set again when all mappings are there. */
	mm_flags_clear(MMF_VM_MERGE_ANY, mm);
	mm_flags_clear(MMF_DISABLE_THP_COMPLETELY, mm);
	mm_flags_clear(MMF_DISABLE_THP_EXCEPT_ADVISED, mm);
	if (settings & CHECKPOINT_MM_THP_DISABLE)
		mm_flags_set(MMF_DISABLE_THP_COMPLETELY, mm);
	else if (settings & CHECKPOINT_MM_THP_EXCEPT)
		mm_flags_set(MMF_DISABLE_THP_EXCEPT_ADVISED, mm);
	return 0;
}

/**
 * checkpoint_end_mm_settings - set what would be in the way of mappings
 * @settings: CHECKPOINT_MM_*, of which all but huge pages are set
 *
 * As PR_SET_MEMORY_MERGE and PR_SET_MDWE; which mappings are mergeable their
 * flags say.
 *
 * Context: the caller has built its address space. Takes mmap_lock.
 * Return: 0, -EINVAL, -ENOMEM or -EINTR.
 */
int checkpoint_end_mm_settings(u32 settings)
{
	struct mm_struct *mm = current->mm;
	int err = 0;

	if (settings & CHECKPOINT_MM_MERGE_ANY) {
#ifdef CONFIG_KSM
		if (mmap_write_lock_killable(mm))
			return -EINTR;
		if (!mm_flags_test(MMF_VM_MERGEABLE, mm))
			err = __ksm_enter(mm);
		if (!err)
			mm_flags_set(MMF_VM_MERGE_ANY, mm);
		mmap_write_unlock(mm);
#else
		err = -EINVAL;
#endif
	}
	if (err || !(settings & CHECKPOINT_MM_MDWE))
		return err;
	if (!arch_memory_deny_write_exec_supported())
		return -EINVAL;
	if (settings & CHECKPOINT_MM_MDWE_NO_INHERIT)
		mm_flags_set(MMF_HAS_MDWE_NO_INHERIT, mm);
	mm_flags_set(MMF_HAS_MDWE, mm);
	return 0;
}

void checkpoint_set_mm_flags(struct mm_struct *mm, u32 coredump_filter,
			     bool topdown)
{
	unsigned long filter = (unsigned long)coredump_filter << MMF_DUMP_FILTER_SHIFT;

	__mm_flags_set_mask_bits_word(mm,
				      MMF_DUMP_FILTER_MASK | MMF_TOPDOWN_MASK,
				      (filter & MMF_DUMP_FILTER_MASK) |
				      (topdown ? MMF_TOPDOWN_MASK : 0));
}

/**
 * checkpoint_futex_hash - what PR_FUTEX_HASH has set for an address space
 * @mm: the address space, whose tasks stand still
 *
 * Return: the number of slots and 1, 0 if it was not set.
 */
u32 checkpoint_futex_hash(struct mm_struct *mm)
{
#ifdef CONFIG_FUTEX_PRIVATE_HASH
	return futex_hash_custom_slots(mm) + 1;
#else
	return 0;
#endif
}

/**
 * checkpoint_set_futex_hash - PR_FUTEX_HASH_SET_SLOTS
 * @hash: what checkpoint_futex_hash() said
 *
 * Context: the caller has its address space for itself. May sleep.
 * Return: as PR_FUTEX_HASH.
 */
int checkpoint_set_futex_hash(u32 hash)
{
	return hash ? futex_hash_prctl(PR_FUTEX_HASH_SET_SLOTS, hash - 1, 0) : 0;
}

/**
 * checkpoint_nr_mappings - count the mappings of a file
 * @file: the file
 *
 * Context: takes i_mmap_rwsem.
 * Return: how many there are, of all processes.
 */
unsigned long checkpoint_nr_mappings(struct file *file)
{
	struct address_space *mapping = file->f_mapping;
	struct vm_area_struct *vma;
	unsigned long n = 0;

	i_mmap_lock_read(mapping);
	mapping_rmap_tree_foreach(vma, mapping, 0, ULONG_MAX)
		n++;
	i_mmap_unlock_read(mapping);
	return n;
}

/**
 * checkpoint_set_exe - set the program of an address space nobody runs in yet
 * @mm: the address space
 * @exe: the program
 *
 * Asks what PR_SET_MM_EXE_FILE asks.
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_set_exe(struct mm_struct *mm, struct file *exe)
{
	int err;

	if (!S_ISREG(file_inode(exe)->i_mode) || path_noexec(&exe->f_path))
		return -EACCES;
	err = file_permission(exe, MAY_EXEC);
	return err ? err : set_mm_exe_file(mm, exe);
}

#ifdef CONFIG_MEMBARRIER
/* What membarrier(2) needs to take a command, and what registering for it sets. */
static const struct {
	u32 command;
	int ready;
	int set;
} checkpoint_registrations[] = {
	{
		MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
		MEMBARRIER_STATE_GLOBAL_EXPEDITED_READY,
		MEMBARRIER_STATE_GLOBAL_EXPEDITED,
	},
	{
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED_READY,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED,
	},
#ifdef CONFIG_ARCH_HAS_MEMBARRIER_SYNC_CORE
	{
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE_READY,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED |
		MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE,
	},
#endif
#ifdef CONFIG_RSEQ
	{
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ_READY,
		MEMBARRIER_STATE_PRIVATE_EXPEDITED |
		MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ,
	},
#endif
};

/**
 * checkpoint_membarrier - the registrations of an address space
 * @mm: the address space
 *
 * Return: a set of MEMBARRIER_CMD_REGISTER_*.
 */
u32 checkpoint_membarrier(struct mm_struct *mm)
{
	int state = atomic_read(&mm->membarrier_state);
	u32 commands = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checkpoint_registrations); i++) {
		if (state & checkpoint_registrations[i].ready)
			commands |= checkpoint_registrations[i].command;
	}
	return commands;
}

/**
 * checkpoint_set_membarrier - register the caller's address space
 * @commands: a set of MEMBARRIER_CMD_REGISTER_*
 *
 * Context: process context of a task that has its address space for itself.
 * Return: 0, or -EINVAL if membarrier(2) would not take one of @commands.
 */
int checkpoint_set_membarrier(u32 commands)
{
	struct mm_struct *mm = current->mm;
	int state = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checkpoint_registrations); i++) {
		if (commands & checkpoint_registrations[i].command)
			state |= checkpoint_registrations[i].ready |
				 checkpoint_registrations[i].set;
		commands &= ~checkpoint_registrations[i].command;
	}
	if (commands)
		return -EINVAL;

	atomic_or(state, &mm->membarrier_state);
	/*
	 * Nobody else runs in it: as when a process with one thread registers,
	 * this runqueue has to know, and nobody has to be waited for.
	 */
	local_irq_disable();
	membarrier_update_current_mm(mm);
	local_irq_enable();
	/* No access of the task from now on comes before the registration. */
	smp_mb();
	return 0;
}
#else
u32 checkpoint_membarrier(struct mm_struct *mm)
{
	return 0;
}

int checkpoint_set_membarrier(u32 commands)
{
	return commands ? -EINVAL : 0;
}
#endif

void checkpoint_copy_binfmt(struct mm_struct *mm, struct mm_struct *like)
{
	struct linux_binfmt *fmt = like->binfmt;

	if (fmt && try_module_get(fmt->module))
		mm->binfmt = fmt;
}

vm_flags_t checkpoint_pkey_to_flags(u32 pkey)
{
	return ((vm_flags_t)pkey << VM_PKEY_SHIFT) & ARCH_VM_PKEY_FLAGS;
}

/* Whether mbind(2) has set a policy for some of the shared memory. */
bool checkpoint_shm_policy(struct file *file)
{
#ifdef CONFIG_NUMA
	/* That of huge pages is the mapping's. */
	if (is_file_hugepages(file))
		return false;
	return !RB_EMPTY_ROOT(&SHMEM_I(file_inode(file))->policy.root);
#else
	return false;
#endif
}

bool checkpoint_shm_noreserve(struct file *file)
{
#ifdef CONFIG_HUGETLBFS
	if (is_file_hugepages(file))
		return !checkpoint_is_reserved(file_inode(file));
#endif
	return SHMEM_I(file_inode(file))->flags & SHMEM_F_NORESERVE;
}
