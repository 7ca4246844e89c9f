// SPDX-License-Identifier: GPL-2.0-only

//! Open files, descriptor tables and places in the file system.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fdtable.h`](srctree/include/linux/fdtable.h),
//! [`include/linux/path.h`](srctree/include/linux/path.h)

use crate::bindings;

/// A place in the file system, held.
///
/// # Invariants
///
/// Owns a reference to mount and dentry.
pub struct PathRef(bindings::path);

// SAFETY: a path may be used and put by any task.
unsafe impl Send for PathRef {}
// SAFETY: as above.
unsafe impl Sync for PathRef {}

impl Drop for PathRef {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the references are ours.
        unsafe { bindings::path_put(&self.0) };
    }
}
