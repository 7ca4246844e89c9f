// SPDX-License-Identifier: GPL-2.0-only

//! Abstractions for checkpoint/restart.
//!
//! What `kernel/checkpoint/` needs from the rest of the kernel, made safe:
//! parking tasks, capturing and filling address spaces, creating tasks, moving
//! pages to and from a file. Everything here is usable from safe code; the
//! invariants are stated with each type.
//!
//! C header: [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h)

use crate::{
    alloc::Flags,
    prelude::*, //
};

pub mod attr;
pub mod clone;
pub mod cred;
pub mod event;
pub mod eventfd;
pub mod file;
pub mod io;
pub mod mm;
pub mod park;
pub mod pipe;
pub mod proc;
pub mod restart_block;
pub mod seccomp;
pub mod shm;
pub mod signal;
pub mod socket;
pub mod task;
pub mod timer;
pub mod track;
pub mod user_ptrs;
pub mod x86;

/// Flags for what is allocated while a job stands still, or comes to do so.
///
/// Its tasks can't die before they are let go: the OOM killer would choose one after the other,
/// and none would make room. So an allocation rather fails, and with it the checkpoint, which
/// does not harm the job.
pub fn gfp() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN
}
