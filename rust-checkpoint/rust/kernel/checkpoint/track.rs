// SPDX-License-Identifier: GPL-2.0-only

//! Which pages of an address space have changed since it was captured last.
//!
//! C side: [`mm/checkpoint_track.c`](srctree/mm/checkpoint_track.c)

use super::{
    gfp,
    mm::CommonPages,
    task::fatal_signal_pending, //
};
use crate::{
    bindings,
    error::from_err_ptr,
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*, //
};
use core::ptr::NonNull;

/// Tells images apart.
pub type Uuid = [u8; 16];

/// Pages of a captured address space, from `start` up to `end`.
pub struct TrackedRange {
    /// First address.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
    /// What they are.
    pub what: Tracked,
}

/// What pages of an address space that is tracked are.
pub enum Tracked {
    /// Those of the image that it was captured for before.
    Unchanged,
    /// Changed. They stay as they are while they are held, others see changes in copies.
    Held {
        /// They themselves.
        pages: CommonPages,
        /// Whether others have them mapped, too.
        shared: bool,
    },
    /// Changed, and to be read while the tasks stand still.
    Absent,
    /// Hold nothing.
    Zero,
    /// Poisoned or marked for a userfaultfd.
    Other,
}

/// How many ranges are collected in one go.
const RANGES: usize = 1024;

const _: () = assert!(RANGES > bindings::PTRS_PER_PTE as usize);

/// Knows what changes in an address space.
///
/// # Invariants
///
/// The pointer is the tracker of `mm`, with a reference that is ours.
pub struct Tracker<'a> {
    track: NonNull<bindings::checkpoint_track>,
    mm: &'a MmWithUser,
    /// Room for what is found; empty.
    ranges: KVVec<bindings::checkpoint_page_range>,
}

impl<'a> Tracker<'a> {
    /// That of `mm`, which is tracked from now on for as long as it has users.
    ///
    /// May sleep, takes mmap_lock for writing. `ENOMEM`; `EINTR`: a signal is pending.
    pub fn new(mm: &'a MmWithUser) -> Result<Self> {
        let ranges = KVVec::with_capacity(RANGES, gfp())?;
        // SAFETY: the address space is alive, and has users.
        let track = from_err_ptr(unsafe { bindings::checkpoint_track_mm(mm.as_raw()) })?;
        let track = NonNull::new(track).ok_or(ENOMEM)?;
        // INVARIANT: the reference came with it.
        Ok(Self { track, mm, ranges })
    }

    /// Begins to capture it as number `id` of `image`: its number in `parent`, if it was captured
    /// for that last.
    pub fn since(&mut self, parent: &Uuid, image: &Uuid, id: u32) -> Option<u32> {
        // SAFETY: the tracker is there by the type invariant.
        let last = unsafe {
            bindings::checkpoint_track_since(
                self.track.as_ptr(),
                parent.as_ptr(),
                image.as_ptr(),
                id,
            )
        };
        (last != 0).then_some(last)
    }

    /// Captures the private pages between `start` and `end`, which belong to one mapping, and calls
    /// `f` for each range of them, in ascending order. With `all` none counts as unchanged. `f` may
    /// sleep.
    ///
    /// The tasks stand still. Takes mmap_lock for writing. `EINVAL`: it is not a mapping, or one of
    /// huge pages (hugetlb).
    pub fn capture(
        &mut self,
        start: usize,
        end: usize,
        all: bool,
        mut f: impl FnMut(TrackedRange) -> Result,
    ) -> Result {
        let mut at = start;
        while at < end {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            let mut found = 0;
            // SAFETY: the tracker is that of the address space, by the type invariants; there is
            // room for as many ranges as it is told.
            let done = unsafe {
                bindings::checkpoint_track_pages(
                    self.track.as_ptr(),
                    self.mm.as_raw(),
                    at as c_ulong,
                    end as c_ulong,
                    all,
                    self.ranges.as_mut_ptr(),
                    RANGES as c_uint,
                    &mut found,
                )
            };
            if done < 0 {
                return Err(Error::from_errno(done as c_int));
            }
            at = done as usize;
            // SAFETY: that many were written, and there is room for more.
            unsafe { self.ranges.inc_len(found as usize) };
            let mut result = Ok(());
            // All of them, for some come with references.
            for range in self.ranges.drain_all() {
                let what = match range.what {
                    bindings::checkpoint_tracked_CHECKPOINT_TRACKED_UNCHANGED => Tracked::Unchanged,
                    bindings::checkpoint_tracked_CHECKPOINT_TRACKED_HELD => Tracked::Held {
                        // SAFETY: there is a reference to each of them, which is ours now.
                        pages: unsafe {
                            CommonPages::from_raw(range.pfn, (range.end - range.start) / PAGE_SIZE)
                        },
                        shared: range.shared,
                    },
                    bindings::checkpoint_tracked_CHECKPOINT_TRACKED_ABSENT => Tracked::Absent,
                    bindings::checkpoint_tracked_CHECKPOINT_TRACKED_ZERO => Tracked::Zero,
                    _ => Tracked::Other,
                };
                if result.is_ok() {
                    result = f(TrackedRange {
                        start: range.start,
                        end: range.end,
                        what,
                    });
                }
            }
            result?;
        }
        Ok(())
    }
}

impl Drop for Tracker<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours by the type invariant, and the address space has users.
        unsafe { bindings::checkpoint_put_track(self.track.as_ptr()) };
    }
}
