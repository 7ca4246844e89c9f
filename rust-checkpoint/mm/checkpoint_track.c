// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which private pages of an address space have not changed since a checkpoint.
 *
 * A page is unchanged where the page table has led to it all the time, and it was not
 * written to. The first is known as it is to a hypervisor, from the notifier for
 * secondary MMUs: whoever makes a page table entry point to something else says so, as
 * with munmap(2), copy-on-write, migration or swap. The second is in the page table:
 * when a page is captured, its entry is made clean and read-only, and the page is not
 * exclusive to the address space any more. So the next write, also one of the kernel
 * for somebody else (ptrace(2), direct I/O), is a fault that makes the entry dirty, or
 * has it point to a copy. Where the kernel would make an entry writable without a
 * fault, checkpoint_needs_wp() has it wait for one.
 *
 * Between captures no page is kept, split or copied for this. It costs that fault, which
 * comes with any checkpoint, as after fork(2); a call for each change of the page tables;
 * and that what is swapped in is writable only when it is written to.
 */
#include <linux/checkpoint.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/xarray.h>

#include <asm/tlbflush.h>

#include "internal.h"

/* The pages of a page table that have not changed. */
struct checkpoint_unchanged {
	DECLARE_BITMAP(pages, PTRS_PER_PTE);
};

/**
 * struct checkpoint_track - what has not changed in an address space
 * @notifier: tells of changes of the page tables
 * @lock: protects what follows; taken below page table locks
 * @invalidating: how many changes are going on, of whatever range
 * @tables: struct checkpoint_unchanged by the number of the page table; what is in
 *	there stays until nobody is told of changes any more
 * @image: UUID of the image that the pages have not changed since
 * @id: number of the address space in that image
 */
struct checkpoint_track {
	struct mmu_notifier notifier;
	/* Protects what follows. */
	spinlock_t lock;
	unsigned int invalidating;
	struct xarray tables;
	u8 image[16];
	u32 id;
};

static struct checkpoint_track *to_track(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct checkpoint_track, notifier);
}

static unsigned long table_of(unsigned long addr)
{
	return addr >> PMD_SHIFT;
}

/* Whether pages stay where they are, and what is in them. */
static bool checkpoint_is_harmless(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_VMA ||
	       range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	       range->event == MMU_NOTIFY_SOFT_DIRTY;
}

static int checkpoint_track_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct checkpoint_track *track = to_track(notifier);
	struct checkpoint_unchanged *unchanged;
	unsigned long nr, last;

	if (checkpoint_is_harmless(range) || range->start >= range->end)
		return 0;

	spin_lock(&track->lock);
	track->invalidating++;
	spin_unlock(&track->lock);

	last = table_of(range->end - 1);
	xa_for_each_range(&track->tables, nr, unchanged, table_of(range->start), last) {
		unsigned long base = nr << PMD_SHIFT;
		unsigned long start = max(range->start, base) - base;
		unsigned long end = min(range->end - base, PMD_SIZE);

		spin_lock(&track->lock);
		bitmap_clear(unchanged->pages, start >> PAGE_SHIFT,
			     (PAGE_ALIGN(end) - (start & PAGE_MASK)) >> PAGE_SHIFT);
		spin_unlock(&track->lock);
	}
	return 0;
}

static void checkpoint_track_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct checkpoint_track *track = to_track(notifier);

	if (checkpoint_is_harmless(range) || range->start >= range->end)
		return;

	spin_lock(&track->lock);
	track->invalidating--;
	spin_unlock(&track->lock);
}

static void checkpoint_track_release(struct mmu_notifier *notifier,
				     struct mm_struct *mm)
{
	mmu_notifier_put(notifier);
}

static struct mmu_notifier *checkpoint_track_alloc(struct mm_struct *mm)
{
	struct checkpoint_track *track = kzalloc_obj(*track, CHECKPOINT_GFP);

	if (!track)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&track->lock);
	xa_init_flags(&track->tables, XA_FLAGS_ACCOUNT);
	return &track->notifier;
}

static void checkpoint_track_free(struct mmu_notifier *notifier)
{
	struct checkpoint_track *track = to_track(notifier);
	struct checkpoint_unchanged *unchanged;
	unsigned long nr;

	xa_for_each(&track->tables, nr, unchanged)
		kfree(unchanged);
	xa_destroy(&track->tables);
	kfree(track);
}

static const struct mmu_notifier_ops checkpoint_track_ops = {
	.invalidate_range_start	= checkpoint_track_start,
	.invalidate_range_end	= checkpoint_track_end,
	.release		= checkpoint_track_release,
	.alloc_notifier		= checkpoint_track_alloc,
	.free_notifier		= checkpoint_track_free,
};

/**
 * checkpoint_track_mm - know from now on what changes in an address space
 * @mm: the address space; the caller is one of its users
 *
 * Ends with the last user of @mm.
 *
 * Context: may sleep, takes mmap_lock for writing.
 * Return: the tracker, for checkpoint_put_track(), or -ENOMEM or -EINTR.
 */
struct checkpoint_track *checkpoint_track_mm(struct mm_struct *mm)
{
	struct mmu_notifier *notifier;
	bool tracked;

	if (mmap_write_lock_killable(mm))
		return ERR_PTR(-EINTR);
	tracked = mm_flags_test(MMF_CHECKPOINT_TRACKED, mm);
	notifier = mmu_notifier_get_locked(&checkpoint_track_ops, mm);
	/* The first user is the address space itself, until checkpoint_track_release(). */
	if (!IS_ERR(notifier) && !tracked) {
		mmu_notifier_get_locked(&checkpoint_track_ops, mm);
		mm_flags_set(MMF_CHECKPOINT_TRACKED, mm);
	}
	mmap_write_unlock(mm);
	return IS_ERR(notifier) ? ERR_CAST(notifier) : to_track(notifier);
}

/**
 * checkpoint_put_track - what checkpoint_track_mm() has returned is not used any more
 * @track: the tracker, of an address space that the caller still is a user of
 */
void checkpoint_put_track(struct checkpoint_track *track)
{
	mmu_notifier_put(&track->notifier);
}

/**
 * checkpoint_track_since - begin to capture an address space
 * @track: its tracker
 * @parent: UUID of an image
 * @image: UUID of the one that it is captured for
 * @id: number of the address space in that
 *
 * What is unchanged is so since @image from now on, even if that never gets written:
 * then nobody will ask for what has changed since.
 *
 * Return: number of the address space in @parent, if that is the image it was captured
 * for last; else 0.
 */
u32 checkpoint_track_since(struct checkpoint_track *track, const u8 parent[16],
			   const u8 image[16], u32 id)
{
	u32 last;

	spin_lock(&track->lock);
	last = memcmp(track->image, parent, sizeof(track->image)) ? 0 : track->id;
	memcpy(track->image, image, sizeof(track->image));
	track->id = id;
	spin_unlock(&track->lock);
	return last;
}

struct checkpoint_track_walk {
	struct checkpoint_track *track;
	bool all;
	bool flush;
	struct checkpoint_page_range *out;
	unsigned int room;
	unsigned int count;
	/* Up to where all was looked at: the end of a page table, or of all. */
	unsigned long done;
};

/* There is room for as many as a page table has entries. */
static void checkpoint_track_add(struct checkpoint_track_walk *w, unsigned long start,
				 unsigned long end, enum checkpoint_tracked what,
				 struct page *page)
{
	bool shared = page && checkpoint_is_mapped_more_than(page, 1);
	unsigned long pfn = page ? page_to_pfn(page) : 0;
	struct checkpoint_page_range *last;

	if (w->count) {
		unsigned long pages;

		last = &w->out[w->count - 1];
		pages = (last->end - last->start) >> PAGE_SHIFT;
		if (last->end == start && last->what == what &&
		    last->shared == shared && (!page || last->pfn + pages == pfn)) {
			last->end = end;
			return;
		}
	}
	w->out[w->count++] = (struct checkpoint_page_range) {
		.start = start,
		.end = end,
		.pfn = pfn,
		.what = what,
		.shared = shared,
	};
}

/* Only where all of the page table has been made read-only the pages are what they were. */
static void checkpoint_set_unchanged(struct checkpoint_track *track,
				     struct checkpoint_unchanged *unchanged,
				     unsigned int nr, unsigned int count)
{
	if (track->invalidating)
		bitmap_clear(unchanged->pages, nr, count);
	else
		bitmap_set(unchanged->pages, nr, count);
}

static void checkpoint_track_pmd(struct checkpoint_track_walk *w, struct mm_walk *walk,
				 pmd_t *pmdp, unsigned long addr, unsigned long next,
				 struct checkpoint_unchanged *unchanged)
{
	struct mm_struct *mm = walk->mm;
	pmd_t pmd = pmdp_get(pmdp);
	struct folio *folio;
	struct page *page;

	if (!pmd_present(pmd)) {
		checkpoint_track_add(w, addr, next, pmd_is_migration_entry(pmd) ?
				     CHECKPOINT_TRACKED_ABSENT : CHECKPOINT_TRACKED_OTHER,
				     NULL);
		return;
	}
	page = vm_normal_page_pmd(walk->vma, addr, pmd);
	if (!page) {
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_ZERO, NULL);
		return;
	}
	if (!PageAnon(page))
		return;
	if (!w->all && bitmap_full(unchanged->pages, PTRS_PER_PTE) &&
	    !pmd_dirty(pmd) && !pmd_write(pmd)) {
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_UNCHANGED, NULL);
		return;
	}
	folio = page_folio(page);
	if (PageAnonExclusive(page) && folio_try_share_anon_rmap_pmd(folio, page)) {
		bitmap_zero(unchanged->pages, PTRS_PER_PTE);
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_ABSENT, NULL);
		return;
	}
	if (pmd_dirty(pmd) || pmd_write(pmd)) {
		/* Never none: others look without the lock. */
		pmd = pmdp_invalidate_ad(walk->vma, addr, pmdp);
		if (pmd_dirty(pmd))
			folio_mark_dirty(folio);
		set_pmd_at(mm, addr, pmdp, pmd_wrprotect(pmd_mkclean(pmd)));
		w->flush = true;
	}
	folio_ref_add(folio, HPAGE_PMD_NR);
	checkpoint_set_unchanged(w->track, unchanged, 0, PTRS_PER_PTE);
	checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_HELD, page);
}

static void checkpoint_track_pte(struct checkpoint_track_walk *w, struct mm_walk *walk,
				 pte_t *ptep, unsigned long addr,
				 struct checkpoint_unchanged *unchanged)
{
	unsigned int nr = (addr & ~PMD_MASK) >> PAGE_SHIFT;
	unsigned long next = addr + PAGE_SIZE;
	struct mm_struct *mm = walk->mm;
	pte_t pte = ptep_get(ptep);
	struct folio *folio;
	struct page *page;

	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		softleaf_t entry = softleaf_from_pte(pte);
		enum checkpoint_tracked what = CHECKPOINT_TRACKED_OTHER;

		if (softleaf_is_guard_marker(entry))
			return;
		if (softleaf_is_migration(entry)) {
			if (!folio_test_anon(softleaf_to_folio(entry)))
				return;
			what = CHECKPOINT_TRACKED_ABSENT;
		} else if (softleaf_is_swap(entry)) {
			what = CHECKPOINT_TRACKED_ABSENT;
		}
		checkpoint_track_add(w, addr, next, what, NULL);
		return;
	}
	if (!w->all && test_bit(nr, unchanged->pages) && !pte_dirty(pte) && !pte_write(pte)) {
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_UNCHANGED, NULL);
		return;
	}
	page = vm_normal_page(walk->vma, addr, pte);
	if (!page) {
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_ZERO, NULL);
		return;
	}
	/* What is not anonymous is had back from the file. */
	if (!PageAnon(page))
		return;
	folio = page_folio(page);
	if (PageAnonExclusive(page) && folio_try_share_anon_rmap_pte(folio, page)) {
		/* Whoever has pinned it may write to it at any time. */
		bitmap_clear(unchanged->pages, nr, 1);
		checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_ABSENT, NULL);
		return;
	}
	if (pte_dirty(pte) || pte_write(pte)) {
		pte = ptep_get_and_clear(mm, addr, ptep);
		if (pte_dirty(pte))
			folio_mark_dirty(folio);
		set_pte_at(mm, addr, ptep, pte_wrprotect(pte_mkclean(pte)));
		w->flush = true;
	}
	folio_get(folio);
	checkpoint_set_unchanged(w->track, unchanged, nr, 1);
	checkpoint_track_add(w, addr, next, CHECKPOINT_TRACKED_HELD, page);
}

static struct checkpoint_unchanged *
checkpoint_unchanged_of(struct checkpoint_track *track, unsigned long addr)
{
	struct checkpoint_unchanged *unchanged = xa_load(&track->tables, table_of(addr));
	int err;

	if (unchanged)
		return unchanged;
	unchanged = kzalloc_obj(*unchanged, CHECKPOINT_GFP);
	if (!unchanged)
		return ERR_PTR(-ENOMEM);
	err = xa_err(xa_store(&track->tables, table_of(addr), unchanged, CHECKPOINT_GFP));
	if (err) {
		kfree(unchanged);
		return ERR_PTR(err);
	}
	return unchanged;
}

static int checkpoint_track_entry(pmd_t *pmd, unsigned long addr, unsigned long next,
				  struct mm_walk *walk)
{
	struct checkpoint_track_walk *w = walk->private;
	struct checkpoint_track *track = w->track;
	struct checkpoint_unchanged *unchanged;
	pte_t *start, *ptep;
	/* That of the page table. */
	spinlock_t *ptl;

	if (w->room - w->count < PTRS_PER_PTE) {
		w->done = addr;
		return 1;
	}
	unchanged = checkpoint_unchanged_of(track, addr);
	if (IS_ERR(unchanged))
		return PTR_ERR(unchanged);

	ptl = pmd_trans_huge_lock(pmd, walk->vma);
	if (ptl) {
		/* A mapping has a huge page whole, and each walk begins with a page table. */
		if (WARN_ON_ONCE(next - addr != PMD_SIZE)) {
			spin_unlock(ptl);
			return -EINVAL;
		}
		spin_lock(&track->lock);
		checkpoint_track_pmd(w, walk, pmd, addr, next, unchanged);
		spin_unlock(&track->lock);
		spin_unlock(ptl);
		return 0;
	}
	start = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!start) {
		walk->action = ACTION_AGAIN;
		return 0;
	}
	spin_lock(&track->lock);
	for (ptep = start; addr < next; ptep++, addr += PAGE_SIZE)
		checkpoint_track_pte(w, walk, ptep, addr, unchanged);
	spin_unlock(&track->lock);
	pte_unmap_unlock(start, ptl);
	return 0;
}

static const struct mm_walk_ops checkpoint_track_walk_ops = {
	.pmd_entry	= checkpoint_track_entry,
	.walk_lock	= PGWALK_WRLOCK,
};

/**
 * checkpoint_track_pages - capture the private pages of a range
 * @track: the tracker of @mm
 * @mm: an address space whose tasks stand still
 * @start: first address, in one mapping with
 * @end: behind the last one
 * @all: take no page for unchanged
 * @out: what was found, in ascending order: ranges of pages of the same kind, as long
 *	as they can be
 * @room: how many there is room for in @out, more than a page table has entries
 * @count: how many there are then
 *
 * Of pages that are held there is a reference to each, which the caller has to give
 * back. They do not change as long as it has them: who writes to one gets a copy, as
 * after fork(2). Pages that are absent are to be read by the caller: those in swap, or
 * those pinned by others, which may change as soon as somebody runs.
 *
 * Context: may sleep, takes mmap_lock for writing.
 * Return: up to where it was looked at, or a negative errno, with no references: -ENOMEM,
 * -EINTR, or -EINVAL for huge pages (hugetlb) and what is not in one mapping.
 */
long checkpoint_track_pages(struct checkpoint_track *track, struct mm_struct *mm,
			    unsigned long start, unsigned long end, bool all,
			    struct checkpoint_page_range *out, unsigned int room,
			    unsigned int *count)
{
	struct checkpoint_track_walk w = {
		.track = track,
		.all = all,
		.out = out,
		.room = room,
		.done = end,
	};
	struct mmu_notifier_range range;
	struct vm_area_struct *vma;
	int err = -EINVAL;

	*count = 0;
	if (mmap_write_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, start);
	if (!vma || end > vma->vm_end || !PAGE_ALIGNED(start | end) ||
	    is_vm_hugetlb_page(vma) || vma->vm_flags & VM_SHARED)
		goto out;
	mmu_notifier_range_init(&range, MMU_NOTIFY_PROTECTION_PAGE, 0, mm, start, end);
	mmu_notifier_invalidate_range_start(&range);
	/* Between an entry and the TLB nobody is to take clean for not written to. */
	inc_tlb_flush_pending(mm);
	/* As in fork(2): whoever pins pages without a lock does not do so meanwhile. */
	raw_write_seqcount_begin(&mm->write_protect_seq);
	err = walk_page_range(mm, start, end, &checkpoint_track_walk_ops, &w);
	raw_write_seqcount_end(&mm->write_protect_seq);
	if (w.flush)
		flush_tlb_mm(mm);
	dec_tlb_flush_pending(mm);
	mmu_notifier_invalidate_range_end(&range);
out:
	mmap_write_unlock(mm);

	if (err >= 0) {
		*count = w.count;
		return w.done;
	}
	while (w.count--) {
		if (out[w.count].what == CHECKPOINT_TRACKED_HELD)
			checkpoint_put_pages(out[w.count].pfn,
					     (out[w.count].end - out[w.count].start) >> PAGE_SHIFT);
	}
	return err;
}
