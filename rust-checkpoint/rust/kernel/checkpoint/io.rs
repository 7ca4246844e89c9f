// SPDX-License-Identifier: GPL-2.0-only

//! Bytes and pages to and from an image file.
//!
//! Works on whatever can be read and written with iterators: regular files,
//! pipes, sockets, block devices. Nothing here seeks on the write side.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use crate::{
    bindings,
    checkpoint::{
        gfp,
        task::{
            fatal_signal_pending,
            wait_a_tick, //
        },
    },
    fs::File,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef, //
};
use core::{mem::MaybeUninit, ptr::NonNull};

/// A page someone holds a reference to, or a pin.
///
/// # Invariants
///
/// The pointer is a page and owns one reference to its folio, or, if `pinned`,
/// one pin.
pub struct HeldPage {
    page: NonNull<bindings::page>,
    pinned: bool,
}

// SAFETY: a page reference may be dropped by any task.
unsafe impl Send for HeldPage {}
// SAFETY: only its address and, read-only, its content are used through `&self`.
unsafe impl Sync for HeldPage {}

impl HeldPage {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `page` is valid and the caller gives up one reference to it.
    pub unsafe fn from_raw(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: by the requirements of this function.
        Self {
            page,
            pinned: false,
        }
    }

    /// Takes over a pin, made to write to the page. It is marked dirty when
    /// the pin is given back.
    ///
    /// # Safety
    ///
    /// `page` is valid and the caller gives up one pin of it.
    pub unsafe fn from_pinned(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: by the requirements of this function.
        Self { page, pinned: true }
    }

    /// A new page of zeros that nobody else knows; no task is killed to have it.
    pub fn zeroed() -> Result<Self> {
        // SAFETY: may be called where it is allowed to sleep.
        let page = unsafe { bindings::alloc_pages((gfp() | __GFP_ZERO).as_raw(), 0) };
        let page = NonNull::new(page).ok_or(ENOMEM)?;
        // SAFETY: the allocation comes with a reference.
        Ok(unsafe { Self::from_raw(page) })
    }

    /// The page in C.
    pub fn as_ptr(&self) -> *mut bindings::page {
        self.page.as_ptr()
    }

    /// Calls `f` with the content, which may be used until it returns.
    ///
    /// It may change meanwhile where others map the page, as it may for any
    /// read(2) or write(2): the bytes are only to be copied or hashed, and no
    /// reference is to be made to them. It does not change for pages of a captured
    /// address space.
    fn with<R>(&self, f: impl FnOnce(*mut u8) -> R) -> R {
        // SAFETY: the page is valid; mapped and unmapped in nesting order.
        let addr = unsafe { bindings::kmap_local_page(self.as_ptr()) };
        let ret = f(addr.cast());
        // SAFETY: `addr` was mapped just above.
        unsafe { bindings::kunmap_local(addr) };
        ret
    }

    /// Copies `from` to the start of a page that only the caller knows.
    pub fn fill(&mut self, from: &[u8]) {
        let len = from.len().min(PAGE_SIZE);
        // SAFETY: the page has PAGE_SIZE bytes, `from` at least `len`.
        self.with(|p| unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), p, len) });
    }

    /// Copies the content of `from`.
    pub fn copy_from(&mut self, from: &HeldPage) {
        self.with(|to| {
            // SAFETY: both have PAGE_SIZE bytes. They may be those of one page, of
            // which there are two references.
            from.with(|from| unsafe { core::ptr::copy(from, to, PAGE_SIZE) })
        });
    }
}

impl Drop for HeldPage {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the reference or the pin is ours.
        unsafe {
            if self.pinned {
                let mut page = self.as_ptr();
                bindings::unpin_user_pages_dirty_lock(&mut page, 1, true);
            } else {
                bindings::put_page(self.as_ptr());
            }
        }
    }
}

/// xxh64 of a stream.
pub struct Xxh64(MaybeUninit<bindings::xxh64_state>);

impl Xxh64 {
    /// The hash of nothing.
    pub fn new() -> Self {
        let mut state = MaybeUninit::uninit();
        // SAFETY: `state` is valid for writes.
        unsafe { bindings::xxh64_reset(state.as_mut_ptr(), 0) };
        Self(state)
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // SAFETY: the state was set up in `new()`; never fails for valid input.
        unsafe { bindings::xxh64_update(self.0.as_mut_ptr(), bytes.as_ptr().cast(), bytes.len()) };
    }

    /// Adds a page.
    pub fn update_page(&mut self, page: &HeldPage) {
        page.with(|p| {
            // SAFETY: the page has PAGE_SIZE bytes; the state was set up.
            unsafe { bindings::xxh64_update(self.0.as_mut_ptr(), p.cast_const().cast(), PAGE_SIZE) }
        });
    }

    /// The hash so far.
    pub fn digest(&self) -> u64 {
        // SAFETY: the state was set up in `new()`.
        unsafe { bindings::xxh64_digest(self.0.as_ptr()) }
    }
}

impl Default for Xxh64 {
    fn default() -> Self {
        Self::new()
    }
}

/// xxh64 of `bytes`.
pub fn xxh64(bytes: &[u8]) -> u64 {
    // SAFETY: `bytes` is valid for its length.
    unsafe { bindings::xxh64(bytes.as_ptr().cast(), bytes.len(), 0) }
}

/// How many pages move in one call.
pub const BATCH: usize = 256;

/// A file that an image is written to or read from, with the position.
pub struct Stream {
    file: ARef<File>,
    pos: i64,
    start: i64,
    moved: u64,
}

impl Stream {
    /// Starts at the position of the file, as write(2) and read(2) do.
    ///
    /// # Safety
    ///
    /// The caller holds the position lock of `file` (`fdget_pos()`) for as
    /// long as the stream is used.
    pub unsafe fn new(file: ARef<File>) -> Self {
        // SAFETY: the position lock is held.
        let pos = unsafe { (*file.as_ptr()).f_pos };
        Self {
            file,
            pos,
            start: pos,
            moved: 0,
        }
    }

    /// Bytes moved so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Sets the position of the file to where the stream is.
    pub fn commit(&self) {
        // SAFETY: the position lock is held by the requirements of `new()`.
        unsafe { (*self.file.as_ptr()).f_pos = self.pos };
    }

    /// Length of the file behind the start of the stream, where it has one
    /// and can be read at any place.
    pub fn seekable_len(&self) -> Option<u64> {
        // SAFETY: file and inode are valid while we have a reference.
        let (mode, size) = unsafe {
            let inode = bindings::file_inode(self.file.as_ptr());
            let host = (*self.file.as_ptr()).f_mapping;
            (
                (*inode).i_mode,
                bindings::i_size_read(if host.is_null() { inode } else { (*host).host }),
            )
        };
        let kind = u32::from(mode) & bindings::S_IFMT;
        if kind != bindings::S_IFREG && kind != bindings::S_IFBLK {
            return None;
        }
        u64::try_from(size.saturating_sub(self.start)).ok()
    }

    /// Writes all of `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        let vec = bindings::kvec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
        // SAFETY: `bytes` outlives the iterator, and a source is not written to.
        unsafe {
            bindings::iov_iter_kvec(
                iter.as_mut_ptr(),
                bindings::ITER_SOURCE,
                &vec,
                1,
                bytes.len(),
            );
            self.transfer(iter.as_mut_ptr(), bindings::ITER_SOURCE, bytes.len())
        }
    }

    /// Reads exactly `bytes`; `ENODATA` when the file ends before.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result {
        let len = bytes.len();
        let vec = bindings::kvec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: len,
        };
        let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
        // SAFETY: `bytes` outlives the iterator.
        unsafe {
            bindings::iov_iter_kvec(iter.as_mut_ptr(), bindings::ITER_DEST, &vec, 1, len);
            self.transfer(iter.as_mut_ptr(), bindings::ITER_DEST, len)
        }
    }

    /// Moves all of an iterator.
    ///
    /// # Safety
    ///
    /// `iter` is valid, has this direction and `left` bytes, and what it
    /// points to is valid.
    unsafe fn transfer(
        &mut self,
        iter: *mut bindings::iov_iter,
        direction: c_uint,
        mut left: usize,
    ) -> Result {
        while left > 0 {
            // SAFETY: by the requirements of this function; the iterator is
            // advanced by what was moved.
            let n = unsafe {
                if direction == bindings::ITER_SOURCE {
                    bindings::vfs_iter_write(self.file.as_ptr(), iter, &mut self.pos, 0)
                } else {
                    bindings::vfs_iter_read(self.file.as_ptr(), iter, &mut self.pos, 0)
                }
            };
            let n = match n {
                // Others are blocked; a stop signal, or a task work, has to wait.
                n if n == -(bindings::ERESTARTSYS as isize) => {
                    if fatal_signal_pending() {
                        return Err(EINTR);
                    }
                    wait_a_tick();
                    continue;
                }
                n if n < 0 => return Err(Error::from_errno(n as c_int)),
                0 if direction == bindings::ITER_SOURCE => return Err(EIO),
                0 => return Err(ENODATA),
                n => n as usize,
            };
            left = left.checked_sub(n).ok_or(EIO)?;
            self.moved = self.moved.saturating_add(n as u64);
            // A limit may have cut it short: RLIMIT_FSIZE, the end of a device.
            // SAFETY: what was moved it was advanced by, so it has `left` bytes
            // from here on.
            unsafe { bindings::iov_iter_reexpand(iter, left) };
        }
        Ok(())
    }

    /// Reads exactly `bytes` at `offset` from the start of the stream, without
    /// moving it. Only for files that have a [`Stream::seekable_len`].
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result {
        let mut other = Self {
            file: self.file.clone(),
            pos: i64::try_from(offset)
                .ok()
                .and_then(|o| self.start.checked_add(o))
                .ok_or(EINVAL)?,
            start: self.start,
            moved: 0,
        };
        other.read(bytes)
    }

    /// Writes whole pages.
    pub fn write_pages(&mut self, pages: &[HeldPage]) -> Result {
        self.move_pages(pages, bindings::ITER_SOURCE)
    }

    /// Reads whole pages; `ENODATA` when the file ends before.
    pub fn read_pages(&mut self, pages: &[HeldPage]) -> Result {
        self.move_pages(pages, bindings::ITER_DEST)
    }

    fn move_pages(&mut self, pages: &[HeldPage], direction: c_uint) -> Result {
        for batch in pages.chunks(BATCH) {
            let mut vecs = KVec::with_capacity(batch.len(), GFP_KERNEL)?;
            for page in batch {
                vecs.push(
                    bindings::bio_vec {
                        bv_page: page.as_ptr(),
                        bv_len: PAGE_SIZE as c_uint,
                        bv_offset: 0,
                    },
                    GFP_KERNEL,
                )?;
            }
            let len = batch.len() * PAGE_SIZE;
            let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();
            // SAFETY: the vector and the pages outlive the iterator.
            unsafe {
                bindings::iov_iter_bvec(
                    iter.as_mut_ptr(),
                    direction,
                    vecs.as_ptr(),
                    vecs.len(),
                    len,
                );
                self.transfer(iter.as_mut_ptr(), direction, len)?;
            }
        }
        Ok(())
    }
}
