// SPDX-License-Identifier: GPL-2.0-only

//! Registers and other state that x86 keeps for a task or an address space.
//!
//! C headers: [`arch/x86/include/asm/checkpoint.h`](srctree/arch/x86/include/asm/checkpoint.h),
//! [`include/linux/regset.h`](srctree/include/linux/regset.h)

use super::{
    clone::Newborn,
    mm::NewMm,
    task::Still, //
};
use crate::{
    bindings,
    checkpoint::gfp,
    error::to_result,
    mm::MmWithUser,
    prelude::*, //
};
use core::mem::size_of;

/// General registers (`struct user_regs_struct`).
pub const NT_PRSTATUS: u32 = bindings::NT_PRSTATUS;
/// FPU and SSE registers, of machines without XSAVE.
pub const NT_PRFPREG: u32 = bindings::NT_PRFPREG;
/// TLS descriptors of the GDT.
pub const NT_386_TLS: u32 = bindings::NT_386_TLS;
/// Permitted I/O ports.
pub const NT_386_IOPERM: u32 = bindings::NT_386_IOPERM;
/// The XSAVE area, not compacted.
pub const NT_X86_XSTATE: u32 = bindings::NT_X86_XSTATE;
/// Where the components of an XSAVE area are.
pub const NT_X86_XSAVE_LAYOUT: u32 = bindings::NT_X86_XSAVE_LAYOUT;

/// Length of [`NT_PRSTATUS`] in bytes.
pub const PRSTATUS_LEN: usize = size_of::<bindings::user_regs_struct>();
/// Where [`NT_PRSTATUS`] has the register that holds the result of a system call.
pub const PRSTATUS_AX: usize = core::mem::offset_of!(bindings::user_regs_struct, ax);
/// Where it has the flags.
pub const PRSTATUS_FLAGS: usize = core::mem::offset_of!(bindings::user_regs_struct, flags);
/// Where an XSAVE area has its header, which begins with the components in it.
pub const XSAVE_HEADER: usize = size_of::<bindings::fxregs_state>();
/// Where it has the first component that is not a legacy one.
pub const XSAVE_EXTENDED: usize = XSAVE_HEADER + size_of::<bindings::xstate_header>();
/// Number of the first component that is not a legacy one.
pub const XFEATURE_EXTENDED: u32 = bindings::xfeature_XFEATURE_YMM;
/// The one with the rights to protection keys.
pub const XFEATURE_PKRU: u32 = bindings::xfeature_XFEATURE_PKRU;
/// Debug registers that hold an address.
pub const BREAKPOINTS: usize = bindings::HBP_NUM as usize;

pub use bindings::{
    checkpoint_x86_mm as MmState,
    checkpoint_x86_thread as ThreadState, //
};

/// What keeps something from being saved: bits of [`MmState::why`] and [`ThreadState::why`].
pub mod why {
    use crate::bindings;

    /// x32 ABI.
    pub const X32: u32 = bindings::checkpoint_x86_why_CHECKPOINT_X86_X32;
    /// Linear address masking.
    pub const LAM: u32 = bindings::checkpoint_x86_why_CHECKPOINT_X86_LAM;
    /// The vdso is not as exec maps it.
    pub const VDSO: u32 = bindings::checkpoint_x86_why_CHECKPOINT_X86_VDSO;
    /// Other state of an address space.
    pub const MM: u32 = bindings::checkpoint_x86_why_CHECKPOINT_X86_MM;
    /// Shadow stack.
    pub const SHSTK: u32 = bindings::checkpoint_x86_why_CHECKPOINT_X86_SHSTK;
}

impl Still<'_> {
    /// What there is beside the register sets.
    pub fn thread(&self) -> ThreadState {
        let mut state = ThreadState::default();
        // SAFETY: by the type invariant the task stands still.
        unsafe { bindings::checkpoint_x86_get_thread(self.as_ptr(), &mut state) };
        state
    }

    /// Sets what there is beside the register sets, of a task that has not
    /// been to user mode. `EOPNOTSUPP`: this machine can't make CPUID trap.
    pub fn set_thread(&self, state: &ThreadState) -> Result {
        // SAFETY: by the type invariant the task stands still; all fields are
        // plain values that user mode can see or set itself.
        to_result(unsafe { bindings::checkpoint_x86_set_thread(self.as_ptr(), state) })
    }

    /// The register set with this NT_* number, none if the task does not use
    /// it or there is no such set.
    pub fn regset(&self, note: u32) -> Result<Option<KVVec<u8>>> {
        let Some(set) = Regset::find(note) else {
            return Ok(None);
        };
        let task = self.as_ptr();
        let mut len = set.len();
        if let Some(active) = set.0.active {
            // SAFETY: by the type invariant the task stands still.
            let n = unsafe { active(task, set.0) };
            len = len.min(
                usize::try_from(n)
                    .unwrap_or(0)
                    .saturating_mul(set.0.size as usize),
            );
        }
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = KVVec::<u8>::zeroed(len, gfp())?;
        // SAFETY: by the type invariant the task stands still; `bytes` has
        // room for `len` bytes.
        let ret =
            unsafe { bindings::regset_get(task, set.0, len as c_uint, bytes.as_mut_ptr().cast()) };
        if ret < 0 {
            return Err(Error::from_errno(ret));
        }
        bytes.truncate(ret as usize);
        Ok(Some(bytes))
    }

    /// Length in bytes of the register set with this number. `ENODEV` if there
    /// is none on this machine.
    pub fn regset_len(note: u32) -> Result<usize> {
        match Regset::find(note).ok_or(ENODEV)?.len() {
            0 => Err(ENODEV),
            len => Ok(len),
        }
    }

    /// Sets a register set, with the checks that are made when a tracer does.
    ///
    /// `bytes` are from the start of the set and may be less than it has.
    pub fn set_regset(&self, note: u32, bytes: &[u8]) -> Result {
        let set = Regset::find(note).ok_or(ENODEV)?;
        let f = set.0.set.ok_or(EOPNOTSUPP)?;
        if bytes.len() > set.len() || bytes.len() % (set.0.size as usize).max(1) != 0 {
            return Err(EINVAL);
        }
        // The sets read words.
        let words = bytes.len().div_ceil(size_of::<u64>());
        let mut aligned = KVVec::<u64>::with_capacity(words, GFP_KERNEL)?;
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            aligned.push(u64::from_ne_bytes(word), GFP_KERNEL)?;
        }
        // SAFETY: by the type invariant the task stands still; `aligned` has
        // as many bytes as is said, which is no more than the set has.
        to_result(unsafe {
            f(
                self.as_ptr(),
                set.0,
                0,
                bytes.len() as c_uint,
                aligned.as_ptr().cast(),
                core::ptr::null(),
            )
        })
    }

    /// What a task that has not been to user mode needs after
    /// [`NT_PRSTATUS`], with the flags in it.
    pub fn finish_regs(&self, flags: u64) {
        // SAFETY: by the type invariant the task stands still.
        unsafe { bindings::checkpoint_x86_finish_regs(self.as_ptr(), flags as c_ulong) };
    }

    /// Has the system call be over that the registers in [`NT_PRSTATUS`] are in:
    /// nothing restarts it.
    pub fn end_syscall(&self) {
        // SAFETY: by the type invariant the task stands still.
        unsafe { bindings::checkpoint_x86_end_syscall(self.as_ptr()) };
    }

    /// A debug register, as a tracer reads it.
    pub fn debug_register(&self, n: usize) -> u64 {
        // SAFETY: by the type invariant the task stands still; any number may
        // be asked for.
        unsafe { bindings::ptrace_get_debugreg(self.as_ptr(), n as c_int) as u64 }
    }

    /// Sets a debug register, as a tracer does.
    pub fn set_debug_register(&self, n: usize, value: u64) -> Result {
        // SAFETY: as above; the value is checked.
        to_result(unsafe {
            bindings::ptrace_set_debugreg(self.as_ptr(), n as c_int, value as c_ulong)
        })
    }

    /// What there is of the address space of the task beside its memory and
    /// LDT. All tasks in it stand still.
    pub fn mm(&self, mm: &MmWithUser) -> MmState {
        let mut state = MmState::default();
        // SAFETY: both are alive; takes the lock it needs.
        unsafe { bindings::checkpoint_x86_get_mm(mm.as_raw(), self.as_ptr(), &mut state) };
        state
    }
}

/// A register set.
struct Regset(&'static bindings::user_regset);

impl Regset {
    fn find(note: u32) -> Option<Self> {
        // SAFETY: may be called anywhere; sets are constant and never go away.
        unsafe { bindings::checkpoint_x86_regset(note).as_ref() }.map(Self)
    }

    fn len(&self) -> usize {
        (self.0.n as usize).saturating_mul(self.0.size as usize)
    }
}

/// Gives the current task's new address space what it had beside its memory
/// and LDT.
///
/// `EEXIST`: the vdso does not fit where it was. `EOPNOTSUPP`: this machine
/// has no such protection keys.
pub fn set_mm(_mm: &NewMm<'_>, state: &MmState) -> Result {
    // SAFETY: the current task has an address space that it has built itself,
    // and has not been to user mode; what it says is checked.
    to_result(unsafe { bindings::checkpoint_x86_set_mm(state) })
}

/// Makes the current task an ia32 or a 64-bit one; before it gets its address
/// space.
pub fn set_personality(_newborn: &Newborn, ia32: bool) {
    // SAFETY: the current task has not been to user mode, so that nothing in it
    // depends on its width.
    unsafe { bindings::checkpoint_x86_set_personality(ia32) };
}

/// Whether this kernel runs ia32 programs.
pub fn has_ia32() -> bool {
    // SAFETY: may be called anywhere.
    unsafe { bindings::checkpoint_x86_has_ia32() }
}

/// The text of the vdso of ia32 or of 64-bit tasks.
pub fn vdso_text(ia32: bool) -> &'static [u8] {
    let mut len = 0;
    // SAFETY: may be called anywhere.
    let text = unsafe { bindings::checkpoint_x86_vdso_text(ia32, &mut len) };
    if text.is_null() {
        return &[];
    }
    // SAFETY: the text has this length, stays, and is not written any more
    // once user mode runs.
    unsafe { core::slice::from_raw_parts(text.cast(), len) }
}

/// Whether a mapping is the vdso or its data.
///
/// # Safety
///
/// `vma` is valid and mmap_lock is held.
pub unsafe fn is_vdso(vma: *const bindings::vm_area_struct) -> bool {
    // SAFETY: by the requirements of this function.
    unsafe { bindings::checkpoint_x86_is_vdso(vma) }
}

/// A segment of an LDT (`struct user_desc`).
#[derive(Clone, Copy, Default)]
pub struct LdtEntry {
    /// Index.
    pub entry_number: u32,
    /// Base address.
    pub base_addr: u32,
    /// Limit.
    pub limit: u32,
    /// The bit field, from `seg_32bit` upwards.
    pub flags: u8,
}

/// The entries of an LDT that are in use, and the last one, which says how
/// long it is.
pub fn ldt(mm: &MmWithUser) -> Result<KVec<LdtEntry>> {
    let mut entries = KVec::new();
    // SAFETY: the address space is alive; takes the lock it needs.
    let n = unsafe { bindings::checkpoint_x86_ldt_size(mm.as_raw()) };
    for i in 0..n {
        let mut desc = bindings::user_desc::default();
        // SAFETY: as above.
        let used = unsafe { bindings::checkpoint_x86_ldt_entry(mm.as_raw(), i, &mut desc) };
        if used || i + 1 == n {
            entries.push(
                LdtEntry {
                    entry_number: i,
                    base_addr: desc.base_addr,
                    limit: desc.limit,
                    flags: desc._bitfield_1.get(0, 8) as u8,
                },
                gfp(),
            )?;
        }
    }
    Ok(entries)
}

/// Writes entries of the LDT of the current task, with the checks of
/// modify_ldt(2).
pub fn write_ldt(entries: impl ExactSizeIterator<Item = LdtEntry>) -> Result {
    let mut descs = KVec::with_capacity(entries.len(), GFP_KERNEL)?;
    for entry in entries {
        let mut desc = bindings::user_desc {
            entry_number: entry.entry_number,
            base_addr: entry.base_addr,
            limit: entry.limit,
            ..Default::default()
        };
        desc._bitfield_1.set(0, 8, entry.flags.into());
        descs.push(desc, GFP_KERNEL)?;
    }
    // SAFETY: `descs` has as many entries as is said, whatever they are.
    to_result(unsafe { bindings::checkpoint_x86_write_ldt(descs.as_ptr(), descs.len() as c_uint) })
}

/// The xstate components that tasks may use on this machine.
pub fn xfeatures() -> u64 {
    // SAFETY: may be called anywhere.
    unsafe { bindings::checkpoint_x86_xfeatures() }
}

/// Length and place of an extended component in [`NT_X86_XSTATE`] on this
/// machine, none if it has no such component.
pub fn xfeature(nr: u32) -> Option<(u32, u32)> {
    let (mut size, mut offset) = (0, 0);
    // SAFETY: may be called anywhere.
    let has = unsafe { bindings::checkpoint_x86_xfeature(nr, &mut size, &mut offset) };
    has.then_some((size, offset))
}

/// Lets the process of the current task use the dynamic xstate components
/// `perm`, and its virtual machines `guest_perm`, and itself hold `used` of them.
pub fn enable_xfeatures(_newborn: &Newborn, perm: u64, guest_perm: u64, used: u64) -> Result {
    // SAFETY: the current task has not been to user mode.
    to_result(unsafe { bindings::checkpoint_x86_enable_xfeatures(perm, guest_perm, used) })
}

/// The rights to protection keys of a program that has done nothing about them, where there are
/// keys.
pub fn initial_pkru() -> Option<u32> {
    let mut pkru = 0;
    // SAFETY: `pkru` is valid for writes.
    unsafe { bindings::checkpoint_x86_init_pkru(&mut pkru) }.then_some(pkru)
}

/// Gives the current task this I/O privilege level, if iopl(2) would.
pub fn iopl(level: u32) -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_x86_iopl(level) })
}

/// Lets the current task use I/O ports, if ioperm(2) would: those whose bit
/// in `bitmap` is clear.
pub fn ioperm(bitmap: &[u8]) -> Result {
    let mut words = KVec::<c_ulong>::new();
    for word in bitmap.chunks_exact(size_of::<c_ulong>()) {
        let word = word.try_into().map_err(|_| EINVAL)?;
        words.push(c_ulong::from_ne_bytes(word), GFP_KERNEL)?;
    }
    // SAFETY: `words` has as many words as is said; ports are checked.
    to_result(unsafe { bindings::checkpoint_x86_ioperm(words.as_ptr(), words.len() as c_uint) })
}

/// Has RDTSC of the current task trap, or not.
#[doc(alias = "PR_SET_TSC")]
pub fn trap_tsc(on: bool) -> Result {
    let mode = if on {
        bindings::PR_TSC_SIGSEGV
    } else {
        bindings::PR_TSC_ENABLE
    };
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::set_tsc_mode(mode) })
}

/// Sets the register of the current task that holds the result of a system
/// call; it will have this value in user mode.
pub fn set_ax(ax: u64) {
    // SAFETY: the registers of the current task are its own.
    unsafe { bindings::checkpoint_x86_set_ax(ax as c_ulong) };
}
