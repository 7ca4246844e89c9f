// SPDX-License-Identifier: GPL-2.0-only

//! Capturing address spaces, and building new ones.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use super::{
    attr::NumaPolicy,
    clone::Newborn,
    file::for_each_data,
    io::HeldPage,
    task::fatal_signal_pending, //
};
use crate::{
    bindings,
    checkpoint::gfp,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::File,
    mm::{
        virt::{
            flags,
            vm_flags_t, //
        },
        MmWithUser, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::CStr,
    sync::aref::ARef,
    task::Task,
};
use core::{marker::PhantomData, ptr::NonNull};

/// A copy-on-write duplicate of an address space, as fork makes it, that no
/// task runs in.
///
/// # Invariants
///
/// Nobody else knows the address space, so its mappings and the content of
/// their private pages do not change.
pub struct Captured(ARef<MmWithUser>);

/// What a range of pages of a captured address space is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// Must be in the image.
    Data,
    /// Hold nothing.
    Zero,
    /// Guard region.
    Guard,
    /// Poisoned or marked for a userfaultfd.
    Other,
}

/// A range of pages.
pub struct PageRange {
    /// First address.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
    /// What they are.
    pub what: Pages,
    /// They themselves, if others may have them, too.
    pub common: Option<CommonPages>,
}

/// Pages with consecutive numbers that more than one may have mapped.
///
/// # Invariants
///
/// There is a reference to each of the `count` pages from number `pfn` on.
pub struct CommonPages {
    pfn: usize,
    count: usize,
}

impl CommonPages {
    /// Takes over references.
    ///
    /// # Safety
    ///
    /// The caller gives up a reference to each of the `count` pages from number `pfn` on.
    pub(super) unsafe fn from_raw(pfn: usize, count: usize) -> Self {
        // INVARIANT: by the requirements of this function.
        Self { pfn, count }
    }

    /// Page `nth` of them.
    pub fn hold(&self, nth: usize) -> Option<HeldPage> {
        if nth >= self.count {
            return None;
        }
        // SAFETY: there is a reference to the page, by the type invariant.
        let page = unsafe { bindings::checkpoint_get_page(self.pfn + nth) };
        // SAFETY: that reference is ours.
        NonNull::new(page).map(|page| unsafe { HeldPage::from_raw(page) })
    }
}

impl Drop for CommonPages {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the references are ours.
        unsafe { bindings::checkpoint_put_pages(self.pfn, self.count) };
    }
}

/// Who was the first to have which page. It keeps the pages from being freed.
///
/// # Invariants
///
/// The pointer is an index that is ours alone.
pub struct PageIndex(NonNull<bindings::xarray>);

/// A place where a page is mapped: the number of an address space, and the address.
#[derive(Clone, Copy)]
pub struct Place {
    /// Which address space.
    pub space: usize,
    /// At what address.
    pub addr: usize,
}

/// Bits that number a page within an address space: 57 bits are the most that addresses have.
const ADDR_BITS: u32 = 45;

impl PageIndex {
    /// An empty one.
    pub fn new() -> Result<Self> {
        // SAFETY: may sleep.
        let index = NonNull::new(unsafe { bindings::checkpoint_new_index() }).ok_or(ENOMEM)?;
        // INVARIANT: made just now.
        Ok(Self(index))
    }

    /// Where page `nth` of some was met first; none if that is here and now. May sleep.
    pub fn first(&mut self, pages: &CommonPages, nth: usize, here: Place) -> Result<Option<Place>> {
        let addr = here.addr / PAGE_SIZE;
        if nth >= pages.count || addr >> ADDR_BITS != 0 {
            return Err(EINVAL);
        }
        // More address spaces than there are numbers: their pages are those of nobody else.
        if here.space >> (usize::BITS - 1 - ADDR_BITS) != 0 {
            return Ok(None);
        }
        let mut owner = (here.space << ADDR_BITS | addr) as c_ulong;
        // SAFETY: the index is ours, there is a reference to the page.
        let found = unsafe {
            bindings::checkpoint_first_owner(self.0.as_ptr(), pages.pfn + nth, &mut owner)
        };
        to_result(found.min(0))?;
        let owner = owner as usize;
        Ok((found > 0).then_some(Place {
            space: owner >> ADDR_BITS,
            addr: (owner & ((1 << ADDR_BITS) - 1)) * PAGE_SIZE,
        }))
    }
}

impl Drop for PageIndex {
    fn drop(&mut self) {
        // SAFETY: the index is ours.
        unsafe { bindings::checkpoint_free_index(self.0.as_ptr()) };
    }
}

/// How many ranges are collected while the page tables are locked.
const RANGES: usize = 512;

struct Collect {
    ranges: KVec<PageRange>,
}

/// # Safety
///
/// `arg` is a `Collect`. Unless `pfn` is 0 there is a reference to each page from that number on,
/// which is given up if this returns 0.
unsafe extern "C" fn collect(
    arg: *mut c_void,
    start: c_ulong,
    end: c_ulong,
    what: bindings::checkpoint_pages,
    pfn: c_ulong,
) -> c_int {
    // SAFETY: by the requirements of this function.
    let c = unsafe { &mut *arg.cast::<Collect>() };
    let what = match what {
        bindings::checkpoint_pages_CHECKPOINT_PAGES_DATA => Pages::Data,
        bindings::checkpoint_pages_CHECKPOINT_PAGES_ZERO => Pages::Zero,
        bindings::checkpoint_pages_CHECKPOINT_PAGES_GUARD => Pages::Guard,
        _ => Pages::Other,
    };
    // Locks are held here: no allocation. A full vector ends the walk.
    if c.ranges.len() == c.ranges.capacity() {
        return 1;
    }
    // INVARIANT: by the requirements of this function; 0 is returned.
    let common = (pfn != 0).then(|| CommonPages {
        pfn,
        count: (end - start) / PAGE_SIZE,
    });
    let range = PageRange {
        start,
        end,
        what,
        common,
    };
    // There is room, as was seen just now.
    drop(c.ranges.push_within_capacity(range));
    0
}

impl Captured {
    /// Duplicates the address space `mm` of tasks that do not run. It belongs to
    /// the current task, which is charged for it and outlives it.
    ///
    /// Takes mmap_lock of `mm` for writing; may sleep. Costs what fork costs. `EINTR`: the
    /// current task is being killed.
    #[doc(alias = "dup_mm")]
    pub fn new(mm: &MmWithUser) -> Result<Self> {
        // SAFETY: both are alive.
        let dup = unsafe { bindings::dup_mm(Task::current_raw(), mm.as_raw()) };
        let dup = NonNull::new(dup).ok_or_else(|| match fatal_signal_pending() {
            true => EINTR,
            false => ENOMEM,
        })?;
        // INVARIANT: made just now.
        // SAFETY: a reference to a user comes with the result.
        Ok(Self(unsafe { ARef::from_raw(dup.cast()) }))
    }

    /// Calls `f` for each range of pages between `start` and `end` that is
    /// there, in ascending order. `f` may sleep.
    pub fn for_each_range(
        &self,
        start: usize,
        end: usize,
        f: impl FnMut(PageRange) -> Result,
    ) -> Result {
        for_each_range(&self.0, start, end, f)
    }

    /// Appends the pages from `start` on, `count` of them, to `pages`. Pages
    /// in swap are read in.
    pub fn hold(&self, start: usize, count: usize, pages: &mut KVec<HeldPage>) -> Result {
        hold_pages(&self.0, start, count, false, pages)
    }
}

/// As [`Captured::for_each_range`], for an address space that nobody changes.
pub fn for_each_range(
    mm: &MmWithUser,
    start: usize,
    end: usize,
    mut f: impl FnMut(PageRange) -> Result,
) -> Result {
    let mut c = Collect {
        ranges: KVec::with_capacity(RANGES, GFP_KERNEL)?,
    };
    let mut at = start;
    while at < end {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let full = {
            let _guard = mm.mmap_read_lock();
            // SAFETY: the lock is held, `c` is what `collect()` expects.
            let ret = unsafe {
                bindings::checkpoint_walk_pages(
                    mm.as_raw(),
                    at as c_ulong,
                    end as c_ulong,
                    Some(collect),
                    core::ptr::from_mut(&mut c).cast(),
                )
            };
            if ret < 0 {
                return Err(Error::from_errno(ret));
            }
            ret > 0
        };
        for range in c.ranges.drain_all() {
            at = range.end;
            f(range)?;
        }
        if !full {
            break;
        }
    }
    Ok(())
}

/// Appends the pages of the caller's address space from `start` on to
/// `pages`, made present, private and ready to be written by the kernel.
pub fn hold_current_for_write(start: usize, count: usize, pages: &mut KVec<HeldPage>) -> Result {
    let task = current!();
    let mm = task.mm().ok_or(ESRCH)?;
    hold_pages(mm, start, count, true, pages)
}

/// The same for reading, of any address space.
pub fn hold_pages_of(
    mm: &MmWithUser,
    start: usize,
    count: usize,
    pages: &mut KVec<HeldPage>,
) -> Result {
    hold_pages(mm, start, count, false, pages)
}

fn hold_pages(
    mm: &MmWithUser,
    start: usize,
    count: usize,
    write: bool,
    pages: &mut KVec<HeldPage>,
) -> Result {
    pages.reserve(count, GFP_KERNEL)?;
    let mut raw = KVec::from_elem(core::ptr::null_mut::<bindings::page>(), count, GFP_KERNEL)?;
    let mut done = 0;
    while done < count {
        let mut locked: c_int = 1;
        let guard = mm.mmap_read_lock();
        // The lock may be dropped below us while a page is read in.
        core::mem::forget(guard);
        let out = raw.get_mut(done..).ok_or(EINVAL)?;
        let at = (start + done * PAGE_SIZE) as c_ulong;
        // To be read, a page shared with the job must stay shared: a pin would
        // copy it. To be written, it must be pinned.
        // SAFETY: the lock is held, `out` has room for what is asked for.
        let got = unsafe {
            if write {
                bindings::pin_user_pages_remote(
                    mm.as_raw(),
                    at,
                    out.len() as c_ulong,
                    bindings::FOLL_FORCE | bindings::FOLL_WRITE,
                    out.as_mut_ptr(),
                    &mut locked,
                )
            } else {
                bindings::get_user_pages_remote(
                    mm.as_raw(),
                    at,
                    out.len() as c_ulong,
                    bindings::FOLL_FORCE,
                    out.as_mut_ptr(),
                    &mut locked,
                )
            }
        };
        if locked != 0 {
            // SAFETY: taken above, its guard was forgotten.
            unsafe { bindings::mmap_read_unlock(mm.as_raw()) };
        }
        if got <= 0 {
            return Err(if got < 0 {
                Error::from_errno(got as c_int)
            } else {
                EFAULT
            });
        }
        for page in out.iter().take(got as usize) {
            let page = NonNull::new(*page).ok_or(EFAULT)?;
            // SAFETY: got above with a pin or a reference. There is room for
            // all of them, so none of those got is lost.
            let page = unsafe {
                if write {
                    HeldPage::from_pinned(page)
                } else {
                    HeldPage::from_raw(page)
                }
            };
            pages.push(page, GFP_KERNEL)?;
        }
        done += got as usize;
    }
    Ok(())
}

/// Has the current task have the pages that `from` has between `start` and `end`, as after
/// fork(2), where its mappings there are ready and have no pages yet. Looks at no more than one
/// mapping: returns up to where, and whether it could be done. Else they have to be copied.
///
/// May sleep. Takes mmap_lock of `from` and below it that of the current task; nobody may do so
/// the other way round.
pub fn inherit(
    _mm: &NewMm<'_>,
    from: &MmWithUser,
    start: usize,
    end: usize,
) -> Result<(usize, bool)> {
    let mut inherited = false;
    // SAFETY: called with no lock held; nobody has been to user mode with either address space.
    let ret = unsafe {
        bindings::checkpoint_inherit_pages(
            from.as_raw(),
            start as c_ulong,
            end as c_ulong,
            &mut inherited,
        )
    };
    if ret < 0 {
        return Err(Error::from_errno(ret as c_int));
    }
    Ok((ret as usize, inherited))
}

/// The current task is building its address space.
///
/// # Invariants
///
/// It has not been to user mode, and has an address space that it made itself.
pub struct NewMm<'a>(PhantomData<&'a mut Newborn>);

impl<'a> NewMm<'a> {
    /// Gives the current task a new and empty address space.
    ///
    /// `EINVAL`: it has threads, which have the old one.
    pub fn new(newborn: &'a mut Newborn) -> Result<Self> {
        newborn.check_alone()?;
        // SAFETY: called in process context by a task that has no threads and
        // has not been to user mode.
        to_result(unsafe { bindings::checkpoint_new_mm(bindings::current_user_ns()) })?;
        // INVARIANT: made just now; while `newborn` is borrowed, the task is not in
        // user mode and does not get another one.
        Ok(Self(PhantomData))
    }
}

/// Has the current task share the address space of `owner`.
///
/// `ESRCH`: that one has exited. `EINVAL`: the current one has threads.
#[doc(alias = "CLONE_VM")]
pub fn share_with_current(newborn: &mut Newborn, owner: &Task) -> Result {
    newborn.check_alone()?;
    // SAFETY: called in process context by a task that has no threads and has
    // not been to user mode; there is a reference to the other one.
    to_result(unsafe { bindings::checkpoint_share_mm(owner.as_ptr()) })
}

/// A mapping to be made in the current address space.
pub struct MapRequest<'a> {
    /// First address, page-aligned.
    pub start: usize,
    /// Length in bytes, page-aligned.
    pub len: usize,
    /// PROT_*.
    pub prot: u32,
    /// MAP_*, without MAP_FIXED_NOREPLACE, which is always used.
    pub flags: u32,
    /// Offset in pages.
    pub pgoff: usize,
    /// What is mapped, none for anonymous memory.
    pub file: Option<&'a File>,
    /// Account as locked, populate nothing.
    pub lock: bool,
}

/// Maps, asking what mmap(2) asks. `EEXIST` if anything is there already.
pub fn map(req: &MapRequest<'_>) -> Result {
    // SAFETY: called with no lock held, the file is alive.
    to_result(unsafe {
        bindings::checkpoint_mmap(
            req.file.map_or(core::ptr::null_mut(), |f| f.as_ptr()),
            req.start as c_ulong,
            req.len as c_ulong,
            req.prot as c_ulong,
            req.flags as c_ulong,
            req.pgoff as c_ulong,
            req.lock,
        )
    })
}

/// Sets the flags of the mapping of the current task that starts at `start`.
#[doc(alias = "checkpoint_set_vma_flags")]
pub fn set_flags(_mm: &NewMm<'_>, start: usize, flags: vm_flags_t) -> Result {
    // SAFETY: called with no lock held; nobody has been to user mode with this
    // address space and relies on a flag.
    to_result(unsafe { bindings::checkpoint_set_vma_flags(start as c_ulong, flags) })
}

/// Locks and populates a mapping made with [`MapRequest::lock`].
pub fn lock(start: usize, len: usize) -> Result {
    // SAFETY: called with no lock held.
    to_result(unsafe { bindings::checkpoint_lock_vma(start as c_ulong, len as c_ulong) })
}

/// Installs guards in a mapping of the current task, made just now, where no pages are.
#[doc(alias = "MADV_GUARD_INSTALL")]
pub fn install_guards(_mm: &NewMm<'_>, start: usize, len: usize) -> Result {
    // SAFETY: called with no lock held; nobody has been to user mode with this address space.
    to_result(unsafe { bindings::checkpoint_install_guards(start as c_ulong, len as c_ulong) })
}

/// Shared anonymous memory of `size` bytes, as mmap(2) makes it; of huge pages if the logarithm of
/// their size, `huge_shift`, is not 0. `ENODEV`: the kernel has none of that size.
#[doc(alias = "shmem_zero_setup")]
#[doc(alias = "hugetlb_file_setup")]
pub fn new_shm(size: u64, noreserve: bool, huge_shift: u32) -> Result<ARef<File>> {
    let size = i64::try_from(size).map_err(|_| EINVAL)?;
    // SAFETY: the name is NUL-terminated and copied.
    let file = unsafe { bindings::checkpoint_new_shm(size, noreserve, huge_shift) };
    let file = from_err_ptr(file)?;
    // SAFETY: the reference comes with the result; nobody else knows the
    // file, so nobody holds its position.
    Ok(unsafe { ARef::from_raw(NonNull::new(file).ok_or(ENOMEM)?.cast()) })
}

/// The name of a file of memfd_create(2), its seals, and whether it is what that has
/// returned, and was not opened again; none for other files.
pub fn memfd(file: &File) -> Result<Option<(KVec<u8>, u32, bool)>> {
    let (mut seals, mut made) = (0, false);
    // SAFETY: the file is alive, `seals` and `made` are valid for writes.
    let name = unsafe { bindings::checkpoint_memfd_name(file.as_ptr(), &mut seals, &mut made) };
    if name.is_null() {
        return Ok(None);
    }
    let mut copy = KVec::new();
    // SAFETY: it ends with a NUL, and is there as long as the file.
    let name = unsafe { CStr::from_char_ptr(name) };
    copy.extend_from_slice(name.to_bytes(), gfp())?;
    Ok(Some((copy, seals, made)))
}

/// A file as memfd_create(2) makes it, empty. `name` begins with `memfd:`. It has huge pages if the
/// logarithm of their size, `huge_shift`, is not 0. `ENODEV`: the kernel has none of that size.
#[doc(alias = "memfd_create")]
pub fn new_memfd(name: &[u8], huge_shift: u32) -> Result<ARef<File>> {
    let mut with_nul = KVec::with_capacity(name.len() + 1, GFP_KERNEL)?;
    with_nul.extend_from_slice(name, GFP_KERNEL)?;
    with_nul.push(0, GFP_KERNEL)?;
    let name = CStr::from_bytes_with_nul(&with_nul).map_err(|_| EINVAL)?;
    // SAFETY: the name ends with a NUL, and is copied.
    let file = unsafe { bindings::checkpoint_new_memfd(name.as_char_ptr(), huge_shift) };
    let file = from_err_ptr(file)?;
    // SAFETY: the reference comes with the result; nobody else knows the file, so nobody
    // holds its position.
    Ok(unsafe { ARef::from_raw(NonNull::new(file).ok_or(ENOMEM)?.cast()) })
}

/// The page at `index` of shared memory, also of huge pages, made present, to be
/// written by the kernel. `ENOMEM`: also where no huge page is left.
#[doc(alias = "shmem_read_mapping_page_gfp")]
pub fn shm_page(file: &File, index: u64) -> Result<HeldPage> {
    // SAFETY: the file is alive.
    let page =
        from_err_ptr(unsafe { bindings::checkpoint_shm_page(file.as_ptr(), index as c_ulong) })?;
    // SAFETY: the reference comes with the result.
    Ok(unsafe { HeldPage::from_raw(NonNull::new(page).ok_or(ENOMEM)?) })
}

/// Copies the pages of shared memory that hold data, as they are now.
///
/// `f` gets the offset in bytes and the copy, in ascending order.
pub fn copy_shm(file: &File, mut f: impl FnMut(u64, HeldPage) -> Result) -> Result {
    for_each_data(
        // SAFETY: the file is alive; shmem and hugetlbfs files can be seeked,
        // and the position passed in is not that of the file.
        |offset| unsafe { bindings::checkpoint_shm_data(file.as_ptr(), offset) },
        |offset| {
            let from = shm_page(file, (offset as u64) / PAGE_SIZE as u64)?;
            let mut to = HeldPage::zeroed()?;
            to.copy_from(&from);
            f(offset as u64, to)
        },
    )
}

/// What is peculiar to a mapping of huge pages (hugetlb).
#[doc(alias = "checkpoint_huge")]
pub type Huge = bindings::checkpoint_huge;

/// The logarithm of the size of the huge pages of a file, 0 without.
pub fn huge_shift(file: &File) -> u32 {
    // SAFETY: the file is alive, and so is its inode.
    unsafe { bindings::checkpoint_huge_shift(bindings::file_inode(file.as_ptr())) }
}

/// Whether huge pages were mapped without a file.
///
/// # Safety
///
/// `vma` is valid and mmap_lock is held.
pub unsafe fn is_anon_huge(vma: *mut bindings::vm_area_struct) -> bool {
    // SAFETY: by the requirements of this function.
    unsafe { huge_of(vma) }.is_some_and(|huge| huge.anon)
}

/// # Safety
///
/// `vma` is valid and mmap_lock is held.
unsafe fn huge_of(vma: *mut bindings::vm_area_struct) -> Option<Huge> {
    let mut huge = Huge::default();
    // SAFETY: by the requirements of this function; `huge` is valid for writes.
    let is = unsafe { bindings::checkpoint_describe_huge(vma, &mut huge) };
    is.then_some(huge)
}

/// A mapping as it was found.
pub struct Vma<A> {
    /// First address.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
    /// VM_* flags.
    pub flags: vm_flags_t,
    /// Offset in pages.
    pub pgoff: usize,
    /// Protection key.
    pub pkey: u32,
    /// Its own NUMA policy, if any.
    pub policy: Option<NumaPolicy>,
    /// If it has huge pages, which ones.
    pub huge: Option<Huge>,
    /// Its name, as PR_SET_VMA_ANON_NAME has set it; empty without.
    pub name: KVec<u8>,
    /// Its file.
    pub file: Option<ARef<File>>,
    /// What the hook of its owner said, none without an owner.
    pub answer: Option<Result<A>>,
    /// Whether it has an owner.
    pub owned: bool,
}

/// All mappings of an address space, in ascending order.
///
/// `ask` calls the hook of the owner of a mapping, if it has one, with
/// mmap_lock held for reading, and returns what it said.
pub fn vmas<A>(
    mm: &MmWithUser,
    mut ask: impl FnMut(&VmaHook<'_>) -> Result<A>,
) -> Result<KVVec<Vma<A>>> {
    let mut all = KVVec::new();
    let _guard = mm.mmap_read_lock();
    let mut at: c_ulong = 0;
    loop {
        // SAFETY: mmap_lock is held.
        let vma = unsafe { bindings::find_vma(mm.as_raw(), at) };
        if vma.is_null() {
            return Ok(all);
        }
        // SAFETY: mmap_lock keeps the mapping and its file alive.
        let (mut found, hook) = unsafe {
            let file = NonNull::new((*vma).vm_file);
            let ops = (*vma).vm_ops;
            (
                Vma {
                    start: (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start as usize,
                    end: (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end as usize,
                    flags: (*vma).__bindgen_anon_2.vm_flags,
                    pgoff: (*vma).vm_pgoff as usize,
                    pkey: bindings::checkpoint_vma_pkey(vma),
                    policy: policy_of(vma)?,
                    huge: huge_of(vma),
                    name: name_of(vma)?,
                    // The position of a mapped file is not used through it.
                    file: file.map(|f| ARef::from(File::from_raw_file(f.as_ptr()))),
                    answer: None,
                    owned: !ops.is_null(),
                },
                if ops.is_null() {
                    None
                } else {
                    (*ops).checkpoint
                },
            )
        };
        if let Some(hook) = hook {
            found.answer = Some(ask(&VmaHook {
                hook,
                vma,
                _lock: PhantomData,
            }));
        }
        at = found.end as c_ulong;
        all.push(found, gfp())?;
    }
}

/// Longest name of a mapping, with room to spare.
const MAX_NAME: usize = 128;

/// The name of a mapping.
///
/// # Safety
///
/// `vma` is valid and mmap_lock is held.
unsafe fn name_of(vma: *mut bindings::vm_area_struct) -> Result<KVec<u8>> {
    let mut buf = [0u8; MAX_NAME];
    // SAFETY: by the requirements of this function; there is as much room as it is told.
    let len =
        unsafe { bindings::checkpoint_vma_name(vma, buf.as_mut_ptr().cast(), buf.len()) } as usize;
    let mut name = KVec::new();
    name.extend_from_slice(buf.get(..len).ok_or(EINVAL)?, gfp())?;
    Ok(name)
}

/// The NUMA policy of a mapping.
///
/// # Safety
///
/// `vma` is valid and mmap_lock is held.
unsafe fn policy_of(vma: *mut bindings::vm_area_struct) -> Result<Option<NumaPolicy>> {
    let mut out = NumaPolicy::new()?;
    // SAFETY: by the requirements of this function; there is room for as many bits as
    // there are nodes.
    let has = unsafe {
        bindings::checkpoint_get_vma_policy(vma, &mut out.policy, out.nodes.as_mut_ptr().cast())
    };
    Ok(has.then_some(out))
}

/// Gives a mapping of the current task, made just now, its name, with the checks of
/// PR_SET_VMA_ANON_NAME. `EINVAL`: it can't be one.
pub fn set_name(_mm: &NewMm<'_>, start: usize, name: &[u8]) -> Result {
    let mut c_name = KVec::with_capacity(name.len() + 1, GFP_KERNEL)?;
    c_name.extend_from_slice(name, GFP_KERNEL)?;
    c_name.push(0, GFP_KERNEL)?;
    // SAFETY: called with no lock held, the name ends with a NUL.
    to_result(unsafe {
        bindings::checkpoint_set_vma_name(start as c_ulong, c_name.as_ptr().cast())
    })
}

/// Gives a mapping of the current task, made just now, its NUMA policy, with the
/// checks of mbind(2) and set_mempolicy_home_node(2).
pub fn set_policy(_mm: &NewMm<'_>, start: usize, len: usize, policy: &NumaPolicy) -> Result {
    // SAFETY: called with no lock held; there are as many bits as it is told.
    to_result(unsafe {
        bindings::checkpoint_set_vma_policy(
            start as c_ulong,
            len as c_ulong,
            &policy.policy,
            policy.nodes.as_ptr().cast(),
            policy.bits()?,
        )
    })
}

type Hook =
    unsafe extern "C" fn(*mut bindings::checkpoint_ctx, *mut bindings::vm_area_struct) -> c_int;

/// The hook of the owner of a mapping.
///
/// # Invariants
///
/// `vma` is valid and `hook` its owner's; mmap_lock is held for `'a`.
pub struct VmaHook<'a> {
    hook: Hook,
    vma: *mut bindings::vm_area_struct,
    _lock: PhantomData<&'a ()>,
}

impl VmaHook<'_> {
    /// Calls it.
    ///
    /// # Safety
    ///
    /// `ctx` is what the hooks of this subsystem take.
    pub unsafe fn call(&self, ctx: *mut bindings::checkpoint_ctx) -> Result {
        // SAFETY: by the type invariants and the requirements of this function.
        to_result(unsafe { (self.hook)(ctx, self.vma) })
    }
}

/// Addresses and other values an address space has as a whole.
#[derive(Clone, Copy, Default)]
#[expect(missing_docs, reason = "named as in struct mm_struct")]
pub struct Layout {
    pub start_code: usize,
    pub end_code: usize,
    pub start_data: usize,
    pub end_data: usize,
    pub start_brk: usize,
    pub brk: usize,
    pub start_stack: usize,
    pub arg_start: usize,
    pub arg_end: usize,
    pub env_start: usize,
    pub env_end: usize,
    pub mmap_base: usize,
    pub mmap_compat_base: usize,
    pub hiwater_rss: usize,
    pub hiwater_vm: usize,
    pub coredump_filter: u32,
    pub membarrier: u32,
    pub topdown: bool,
    pub lock_future: bool,
    pub lock_future_onfault: bool,
    pub has_binfmt: bool,
}

/// Reads a field as `READ_ONCE()`.
macro_rules! read_once {
    ($place:expr) => {
        (&raw const $place).read_volatile()
    };
}

/// Reads the layout of an address space: each value as it is. All of them are of
/// one moment when the tasks in it stand still.
pub fn layout(mm: &MmWithUser) -> Layout {
    let raw = mm.as_raw();
    // SAFETY: the address space is alive.
    let flags = unsafe { bindings::__mm_flags_get_word(raw) };
    // SAFETY: as above; the fields are scalars and aligned. The default flags are
    // a word in a union of two views of the same bits.
    unsafe {
        let m = &raw const (*raw).__bindgen_anon_1;
        let def_flags = read_once!((*m).__bindgen_anon_2.def_flags);
        Layout {
            start_code: read_once!((*m).start_code),
            end_code: read_once!((*m).end_code),
            start_data: read_once!((*m).start_data),
            end_data: read_once!((*m).end_data),
            start_brk: read_once!((*m).start_brk),
            brk: read_once!((*m).brk),
            start_stack: read_once!((*m).start_stack),
            arg_start: read_once!((*m).arg_start),
            arg_end: read_once!((*m).arg_end),
            env_start: read_once!((*m).env_start),
            env_end: read_once!((*m).env_end),
            mmap_base: read_once!((*m).mmap_base),
            mmap_compat_base: read_once!((*m).mmap_compat_base),
            hiwater_rss: read_once!((*m).hiwater_rss),
            hiwater_vm: read_once!((*m).hiwater_vm),
            coredump_filter: ((flags & bindings::MMF_DUMP_FILTER_MASK)
                >> bindings::MMF_DUMP_FILTER_SHIFT) as u32,
            membarrier: bindings::checkpoint_membarrier(raw),
            topdown: flags & bindings::MMF_TOPDOWN_MASK != 0,
            lock_future: def_flags & bindings::VM_LOCKED != 0,
            lock_future_onfault: def_flags & flags::LOCKONFAULT != 0,
            has_binfmt: !read_once!((*m).binfmt).is_null(),
        }
    }
}

/// What prctl(2) has set for an address space as a whole.
pub struct Settings {
    /// Bits of [`settings`].
    pub flags: u32,
    /// PR_FUTEX_HASH: slots and 1, 0 if it was not set.
    pub futex_hash: u32,
}

/// Bits of [`Settings::flags`].
pub mod settings {
    use crate::bindings;

    /// PR_SET_THP_DISABLE.
    pub const THP_DISABLE: u32 = bindings::CHECKPOINT_MM_THP_DISABLE;
    /// The same, with PR_THP_DISABLE_EXCEPT_ADVISED.
    pub const THP_EXCEPT_ADVISED: u32 = bindings::CHECKPOINT_MM_THP_EXCEPT;
    /// PR_SET_MEMORY_MERGE.
    pub const MERGE_ANY: u32 = bindings::CHECKPOINT_MM_MERGE_ANY;
    /// PR_SET_MDWE.
    pub const MDWE: u32 = bindings::CHECKPOINT_MM_MDWE;
    /// The same, with PR_MDWE_NO_INHERIT.
    pub const MDWE_NO_INHERIT: u32 = bindings::CHECKPOINT_MM_MDWE_NO_INHERIT;
}

/// Those of an address space whose tasks stand still.
pub fn settings(mm: &MmWithUser) -> Settings {
    // SAFETY: the address space is alive; may sleep.
    unsafe {
        Settings {
            flags: bindings::checkpoint_mm_settings(mm.as_raw()),
            futex_hash: bindings::checkpoint_futex_hash(mm.as_raw()),
        }
    }
}

/// Gives a new address space the settings that mappings and pages depend on. `EPERM`:
/// init has others for its children (PR_SET_MDWE).
pub fn begin_settings(_mm: &NewMm<'_>, settings: &Settings) -> Result {
    // SAFETY: nobody has been to user mode with the address space.
    to_result(unsafe { bindings::checkpoint_begin_mm_settings(settings.flags) })
}

/// Gives an address space that was built the settings that would have been in the way.
pub fn end_settings(_mm: &NewMm<'_>, settings: &Settings) -> Result {
    // SAFETY: called with no lock held; nobody has been to user mode with the address
    // space.
    unsafe {
        to_result(bindings::checkpoint_end_mm_settings(settings.flags))?;
        to_result(bindings::checkpoint_set_futex_hash(settings.futex_hash))
    }
}

/// What of an address space as a whole is not saved, by name.
pub fn unsupported(mm: &MmWithUser) -> Option<(&'static str, &'static str)> {
    let raw = mm.as_raw();
    // SAFETY: as in `layout()`.
    let ioctx_table = unsafe { read_once!((*raw).__bindgen_anon_1.ioctx_table) };
    if !ioctx_table.is_null() {
        return Some(("aio", "an asynchronous I/O context (io_setup(2)) is open"));
    }
    None
}

/// The auxiliary vector, as many words as it has.
pub fn auxv(mm: &MmWithUser) -> Result<KVec<usize>> {
    let mut words = KVec::new();
    // SAFETY: as in `layout()`. If it changes meanwhile this is a mixture, and
    // nothing worse.
    let saved = unsafe { read_once!((*mm.as_raw()).__bindgen_anon_1.saved_auxv) };
    words.extend_from_slice(&saved, gfp())?;
    Ok(words)
}

/// The program of an address space, /proc/PID/exe.
pub fn exe_file(mm: &MmWithUser) -> Option<ARef<File>> {
    // SAFETY: the address space is alive; a reference comes with the result.
    let file = NonNull::new(unsafe { bindings::get_mm_exe_file(mm.as_raw()) })?;
    // SAFETY: the reference is ours; the position of the program is not used.
    Some(unsafe { ARef::from_raw(file.cast()) })
}

/// Words of an auxiliary vector, with its end.
const AUXV_WORDS: usize = bindings::AT_VECTOR_SIZE as usize;
/// Words of its end.
const AT_NULL_WORDS: usize = 2;

/// Gives the current address space its layout, auxiliary vector and program.
pub fn set_layout(_mm: &NewMm<'_>, layout: &Layout, auxv: &[usize], exe: Option<&File>) -> Result {
    let task = current!();
    let raw = task.mm().ok_or(ESRCH)?.as_raw();
    // As prctl(PR_SET_MM_MAP) wants them.
    // SAFETY: the address space is alive.
    let size = unsafe { (*raw).__bindgen_anon_1.task_size };
    let pairs = [
        (layout.start_code, layout.end_code),
        (layout.start_data, layout.end_data),
        (layout.start_brk, layout.brk),
        (layout.arg_start, layout.arg_end),
        (layout.env_start, layout.env_end),
        (layout.start_stack, layout.start_stack),
    ];
    // Where mmap(2) looks first may be any page: it checks what it finds, and
    // an ia32 task has a base for 64-bit mappings, too.
    let bases = [layout.mmap_base, layout.mmap_compat_base];
    if pairs.iter().any(|(start, end)| start > end || *end > size)
        || bases.iter().any(|base| base % PAGE_SIZE != 0)
    {
        return Err(EINVAL);
    }
    // Who reads it goes on until AT_NULL, with which it ends here as it does
    // after PR_SET_MM_AUXV, whatever the image says.
    let mut saved_auxv = [0; AUXV_WORDS];
    let (to, _) = saved_auxv.split_at_mut(auxv.len().min(AUXV_WORDS - AT_NULL_WORDS));
    let (from, end) = auxv.split_at_checked(to.len()).ok_or(EINVAL)?;
    if end.iter().any(|word| *word != 0) {
        return Err(EINVAL);
    }
    to.copy_from_slice(from);
    if let Some(exe) = exe {
        // SAFETY: nobody has been to user mode with the address space.
        to_result(unsafe { bindings::checkpoint_set_exe(raw, exe.as_ptr()) })?;
    }
    // SAFETY: called with no lock held; nobody has been to user mode with the
    // address space.
    to_result(unsafe { bindings::checkpoint_set_membarrier(layout.membarrier) })?;

    let mut def = 0;
    if layout.lock_future {
        def |= bindings::VM_LOCKED;
    }
    if layout.lock_future_onfault {
        def |= flags::LOCKONFAULT;
    }
    // SAFETY: the address space is alive. Nobody has been to user mode with it, so
    // that nobody else looks at these fields but /proc, which copes with any
    // values. The default flags are a word in a union of two views of the same
    // bits.
    unsafe {
        let m = &raw mut (*raw).__bindgen_anon_1;
        (*m).start_code = layout.start_code;
        (*m).end_code = layout.end_code;
        (*m).start_data = layout.start_data;
        (*m).end_data = layout.end_data;
        (*m).start_brk = layout.start_brk;
        (*m).brk = layout.brk;
        (*m).start_stack = layout.start_stack;
        (*m).arg_start = layout.arg_start;
        (*m).arg_end = layout.arg_end;
        (*m).env_start = layout.env_start;
        (*m).env_end = layout.env_end;
        (*m).mmap_base = layout.mmap_base;
        (*m).mmap_compat_base = layout.mmap_compat_base;
        (*m).hiwater_rss = layout.hiwater_rss.max((*m).hiwater_rss);
        (*m).hiwater_vm = layout.hiwater_vm.max((*m).hiwater_vm);
        (*m).saved_auxv = saved_auxv;
        (*m).__bindgen_anon_2.def_flags |= def;
        bindings::checkpoint_set_mm_flags(raw, layout.coredump_filter, layout.topdown);
    }
    Ok(())
}

/// Gives the current address space a format for core dumps, that of `like`.
pub fn inherit_binfmt(like: &MmWithUser) {
    let task = current!();
    if let Some(mm) = task.mm() {
        // SAFETY: both are alive; the format of an address space that runs
        // does not change but in exec, which its task is not in.
        unsafe { bindings::checkpoint_copy_binfmt(mm.as_raw(), like.as_raw()) };
    }
}

/// The VM_* flags of a protection key.
pub fn pkey_flags(pkey: u32) -> vm_flags_t {
    // SAFETY: computes bits.
    unsafe { bindings::checkpoint_pkey_to_flags(pkey) }
}

/// Identity of shared anonymous memory: its inode, its length in bytes, and
/// whether it was made with MAP_NORESERVE; of huge pages, whether not all of them
/// are reserved.
pub fn shm_identity(file: &File) -> (*const c_void, u64, bool) {
    // SAFETY: the file is alive, and so is its inode, which is one of shmem or hugetlbfs.
    unsafe {
        let inode = bindings::file_inode(file.as_ptr());
        (
            inode.cast_const().cast(),
            bindings::i_size_read(inode) as u64,
            bindings::checkpoint_shm_noreserve(file.as_ptr()),
        )
    }
}

/// Whether mbind(2) has set a policy for some of the shared memory behind `file`.
pub fn shm_has_policy(file: &File) -> bool {
    // SAFETY: the file is alive, and one of shmem or hugetlbfs.
    unsafe { bindings::checkpoint_shm_policy(file.as_ptr()) }
}

/// How often a file is mapped, by whomever.
pub fn mappings_of(file: &File) -> usize {
    // SAFETY: the file is alive.
    unsafe { bindings::checkpoint_nr_mappings(file.as_ptr()) as usize }
}

/// Whether a mapping of shmem without a name is shared anonymous memory, and
/// not a memfd or a deleted file.
///
/// # Safety
///
/// `vma` is valid and mmap_lock is held.
pub unsafe fn is_anon_shm(vma: *const bindings::vm_area_struct) -> bool {
    // SAFETY: by the requirements of this function.
    unsafe {
        let inode = bindings::file_inode((*vma).vm_file);
        (*inode).i_flags & bindings::S_PRIVATE != 0
    }
}
