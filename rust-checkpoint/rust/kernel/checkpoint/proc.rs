// SPDX-License-Identifier: GPL-2.0-only

//! What is open of processes in proc.
//!
//! C side: [`fs/proc/checkpoint.c`](srctree/fs/proc/checkpoint.c)

use crate::{
    bindings,
    error::to_result,
    fs::File,
    prelude::*, //
};

/// How reading goes on of what says something.
pub struct Text<'a> {
    /// Where the next comes from.
    pub index: u64,
    /// The same of mappings: which one it was.
    pub last: u64,
    /// What is there already.
    pub rest: &'a [u8],
}

/// An open file or directory of a process.
///
/// # Invariants
///
/// The rest is memory of that length that is ours to free, or there is none.
pub struct OfProcess(bindings::checkpoint_proc);

impl OfProcess {
    /// Looks at a file.
    ///
    /// # Safety
    ///
    /// The file has one of the hooks of proc, or is not open for reading what they are for. The
    /// current task is init.
    pub unsafe fn describe(file: &File) -> Result<Self> {
        // INVARIANT: there is no rest yet, and what the call below puts there is ours.
        let mut is = Self(bindings::checkpoint_proc::default());
        // SAFETY: the file is alive, and one of proc by the requirements of this function; `is`
        // is valid for writes.
        to_result(unsafe { bindings::checkpoint_describe_proc(file.as_ptr(), &mut is.0) })?;
        Ok(is)
    }

    /// What can be told from it.
    pub fn state(&self) -> &bindings::checkpoint_proc {
        &self.0
    }

    /// How reading goes on, if it was read from.
    pub fn text(&self) -> Option<Text<'_>> {
        if !self.0.text {
            return None;
        }
        let rest = match self.0.rest.is_null() {
            true => &[][..],
            // SAFETY: by the type invariant there are that many bytes.
            false => unsafe {
                core::slice::from_raw_parts(self.0.rest.cast(), self.0.len as usize)
            },
        };
        Some(Text {
            index: self.0.index,
            last: self.0.last,
            rest,
        })
    }
}

impl Drop for OfProcess {
    fn drop(&mut self) {
        // SAFETY: by the type invariant it is ours, or null.
        unsafe { bindings::kvfree(self.0.rest.cast()) };
    }
}

/// Has reading of a file, which was just opened and nobody else knows, go on at `pos`.
///
/// `EINVAL`: it is not of that kind.
pub fn restore(file: &File, pos: i64, text: Option<&Text<'_>>) -> Result {
    let mut is = bindings::checkpoint_proc::default();
    if let Some(text) = text {
        is.text = true;
        is.index = text.index;
        is.last = text.last;
        is.rest = text.rest.as_ptr().cast_mut().cast();
        is.len = u32::try_from(text.rest.len())?;
    }
    // SAFETY: the file is alive, and nobody holds its position; the function looks of what kind it
    // is, and only reads the rest.
    to_result(unsafe { bindings::checkpoint_restore_proc(file.as_ptr(), pos, &is) })
}
