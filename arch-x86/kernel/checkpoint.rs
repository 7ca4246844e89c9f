// SPDX-License-Identifier: GPL-2.0-only

//! x86: registers, and what an address space has beside its memory.

use crate::{
    checkpoint::Checkpoint,
    freeze::Frozen,
    image::{
        format::Header,
        parse::Record,
        record as wire, //
    },
    report::Report,
};
use kernel::{bindings, mm::MmWithUser, prelude::*, sync::aref::ARef, task::Task};

/// What x86 says of an address space.
#[derive(Default)]
pub(crate) struct MmX86 {
    /// Bits of [`wire::mm_flags`].
    pub(crate) flags: u32,
    /// Address of the vdso, 0 without.
    pub(crate) vdso: u64,
    /// xxh64 of its code.
    pub(crate) vdso_hash: u64,
    /// [`wire::LdtEntry`], as bytes.
    pub(crate) ldt: KVec<u8>,
}

/// Saves what x86 has in an address space. Called by init, the task stands still.
pub(crate) fn checkpoint_mm(
    _ctx: &mut Checkpoint,
    _frozen: &Frozen<'_>,
    _mm: &ARef<MmWithUser>,
) -> Result<MmX86> {
    Err(ENOSYS)
}

/// Whether a special mapping is the vdso or its data.
///
/// # Safety
///
/// `vma` is valid, a special mapping, and mmap_lock is held.
pub(crate) unsafe fn is_vdso_mapping(_vma: *const bindings::vm_area_struct) -> bool {
    false
}

/// Saves the registers of a task that stands still. Called by init.
pub(crate) fn checkpoint_thread(_ctx: &mut Checkpoint, _frozen: &Frozen<'_>) -> Result {
    Err(ENOSYS)
}

/// Whether the image needs what this machine has not; says what.
pub(crate) fn check_features(_header: &Header) -> Result<(), &'static str> {
    Ok(())
}

/// Makes the current task one of the width of `flags` ([`wire::mm_flags`]).
/// Called before it gets its address space.
pub(crate) fn restart_personality(_flags: u32) -> Result {
    Err(ENOSYS)
}

/// Gives the current task its LDT.
pub(crate) fn restart_ldt(_entries: &[wire::LdtEntry]) -> Result {
    Err(ENOSYS)
}

/// Maps the vdso where it was.
pub(crate) fn restart_vdso(_report: &mut Report, _head: &wire::Mm) -> Result {
    Err(ENOSYS)
}

/// Gives a task, which is off its CPU and will go to user mode next, its
/// registers; returns the one that [`set_syscall_register`] sets. Called by init.
pub(crate) fn restart_thread<'a>(
    _report: &mut Report,
    _task: &Task,
    _records: impl Iterator<Item = Record<'a>> + Clone,
) -> Result<u64> {
    Err(ENOSYS)
}

/// Sets the register that holds the result of the interrupted system call.
/// Called by the task itself at its task-work point.
pub(crate) fn set_syscall_register(_ax: u64) {}
