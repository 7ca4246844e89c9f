// SPDX-License-Identifier: GPL-2.0-only

//! x86: registers, and what an address space has beside its memory.
//!
//! Registers go through the register sets (regsets) of ptrace and core dumps,
//! and so do their checks: what a tracer can't set, an image can't either. All
//! tasks, ia32 ones too, are saved in the sets of 64-bit tasks.
//!
//! Init reads and writes the registers of others, which stand still. What can
//! only be had for oneself (LDT, vdso, I/O ports, dynamic xstate components) a
//! task gets while it rebuilds itself.
//!
//! Refused: the x32 ABI, linear address masking, shadow stacks, a vdso that was
//! taken apart, and on the way back a kernel with another vdso or a CPU without the xstate
//! components in use.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::{
        format::{
            Header,
            FEATURE_IA32, //
        },
        parse::Record,
        record::{
            self as wire,
            mm_flags,
            thread_x86,
            Kind, //
        },
    },
    report::{
        Item,
        Object,
        Report, //
    },
    restart::{
        Part,
        Restart, //
    },
    task::still,
};
use kernel::{
    bindings,
    checkpoint::{
        clone::Newborn,
        gfp,
        io::xxh64,
        mm::NewMm,
        task::Still,
        x86::{
            self,
            why,
            LdtEntry,
            MmState,
            ThreadState, //
        },
    },
    mm::MmWithUser,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};
use zerocopy::{
    little_endian::{U32, U64},
    FromBytes,
    IntoBytes, //
};

pub(crate) use x86::has_ia32;

/// What x86 says of an address space.
#[derive(Default)]
pub(crate) struct MmX86 {
    /// Bits of [`wire::mm_flags`].
    pub(crate) flags: u32,
    /// Address of the vdso, 0 without.
    pub(crate) vdso: u64,
    /// xxh64 of its code.
    pub(crate) vdso_hash: u64,
    /// Allocated protection keys.
    pub(crate) pkeys: u32,
    /// The key of execute-only mappings, 0 without.
    pub(crate) exec_only_pkey: u32,
    /// [`wire::LdtEntry`], as bytes.
    pub(crate) ldt: KVec<u8>,
}

/// What is refused: bit of [`why`], kind, why, what would help.
const REFUSALS: &[(u32, &str, &str, &str)] = &[
    (
        why::X32,
        "x32",
        "it uses the x32 ABI",
        "use a 64-bit program",
    ),
    (
        why::LAM,
        "lam",
        "linear address masking is on (ARCH_ENABLE_TAGGED_ADDR), not supported yet",
        "",
    ),
    (
        why::VDSO,
        "vdso",
        "its vdso is not the kernel's, or was moved in part",
        "",
    ),
    (
        why::MM,
        "mm",
        "its address space has a property that is not supported yet",
        "",
    ),
    (
        why::SHSTK,
        "shadow-stack",
        "shadow stacks are on or locked, not supported yet",
        "start the job without (glibc.cpu.x86_shstk=off)",
    ),
];

fn refuse(report: &mut Report, bits: u32) {
    for (_, kind, why, remedy) in REFUSALS.iter().filter(|r| bits & r.0 != 0) {
        report.refuse(Item {
            object: Object::Task,
            kind,
            name: b"",
            why,
            remedy,
        });
    }
}

/// Saves what x86 has in an address space. Called by init, the task stands still.
pub(crate) fn checkpoint_mm(
    ctx: &mut Checkpoint,
    frozen: &Frozen<'_>,
    mm: &ARef<MmWithUser>,
) -> Result<MmX86> {
    let state = still(frozen)?.mm(mm);
    refuse(&mut ctx.report, state.why);
    let mut flags = 0;
    if state.ia32 {
        flags |= mm_flags::IA32;
        ctx.features |= FEATURE_IA32;
    }
    let mut ldt = KVec::new();
    for entry in x86::ldt(mm)? {
        let entry = wire::LdtEntry {
            entry_number: entry.entry_number.into(),
            base_addr: entry.base_addr.into(),
            limit: entry.limit.into(),
            flags: u32::from(entry.flags).into(),
        };
        ldt.extend_from_slice(entry.as_bytes(), gfp())?;
    }
    let vdso_hash = match state.vdso {
        0 => 0,
        _ => xxh64(x86::vdso_text(state.ia32)),
    };
    Ok(MmX86 {
        flags,
        vdso: state.vdso as u64,
        vdso_hash,
        pkeys: state.pkeys,
        exec_only_pkey: state.exec_only_pkey,
        ldt,
    })
}

/// Whether a special mapping is the vdso or its data.
///
/// # Safety
///
/// `vma` is valid, a special mapping, and mmap_lock is held.
pub(crate) unsafe fn is_vdso_mapping(vma: *const bindings::vm_area_struct) -> bool {
    // SAFETY: by the requirements of this function.
    unsafe { x86::is_vdso(vma) }
}

fn emit_regset(ctx: &mut Checkpoint, note: u32, bytes: &[u8]) -> Result {
    ctx.emit(
        Section::Tasks,
        Kind::Regset,
        &wire::Regset {
            note: note.into(),
            reserved: 0.into(),
        },
        &[bytes],
    )
}

/// Bytes at `at`, `EINVAL` when there are none.
fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|b| b.try_into().ok())
        .ok_or(EINVAL)
}

fn word(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(part(bytes, at)?))
}

/// The numbers of the extended xstate components in `set`.
fn extended(set: u64) -> impl Iterator<Item = u32> {
    (x86::XFEATURE_EXTENDED..u64::BITS).filter(move |i| set & (1 << i) != 0)
}

/// Saves an XSAVE area up to the last component in use, and where its
/// components are, which differs between CPUs.
fn checkpoint_xstate(ctx: &mut Checkpoint, area: &[u8]) -> Result {
    let used = word(area, x86::XSAVE_HEADER)?;
    let mut end = x86::XSAVE_EXTENDED;
    let mut layout = KVec::new();
    for i in extended(used) {
        let (size, offset) = x86::xfeature(i).ok_or(EINVAL)?;
        end = end.max((offset as usize).saturating_add(size as usize));
        // struct x86_xfeat_component
        for field in [i, size, offset, 0] {
            layout.extend_from_slice(&field.to_le_bytes(), gfp())?;
        }
    }
    ctx.xfeatures |= used;
    emit_regset(ctx, x86::NT_X86_XSTATE, area.get(..end).ok_or(EINVAL)?)?;
    if !layout.is_empty() {
        emit_regset(ctx, x86::NT_X86_XSAVE_LAYOUT, &layout)?;
    }
    Ok(())
}

/// Says in an XSAVE area what the rights to protection keys are. Elsewhere what an area does not
/// mention is as a program finds it; of these it would be all rights.
fn set_pkru(area: &mut [u8], pkru: u32) -> Result {
    let (_, at) = x86::xfeature(x86::XFEATURE_PKRU).ok_or(EINVAL)?;
    let used = word(area, x86::XSAVE_HEADER)? | 1 << x86::XFEATURE_PKRU;
    let mut put = |at: usize, bytes: &[u8]| {
        area.get_mut(at..at.saturating_add(bytes.len()))
            .map(|to| to.copy_from_slice(bytes))
            .ok_or(EINVAL)
    };
    put(x86::XSAVE_HEADER, &used.to_le_bytes())?;
    put(at as usize, &pkru.to_le_bytes())
}

/// Saves the registers of a task that stands still. Called by init.
pub(crate) fn checkpoint_thread(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let task = still(frozen)?;
    let state = task.thread();
    refuse(&mut ctx.report, state.why);
    if state.addr32 || state.compat_syscall {
        ctx.features |= FEATURE_IA32;
    }

    let regs = task.regset(x86::NT_PRSTATUS)?.ok_or(EINVAL)?;
    emit_regset(ctx, x86::NT_PRSTATUS, &regs)?;
    match task.regset(x86::NT_X86_XSTATE)? {
        Some(mut area) => {
            // One that comes from execve(2) has them in its CPU only.
            if state.ospke {
                set_pkru(&mut area, state.pkru)?;
            }
            checkpoint_xstate(ctx, &area)?;
        }
        None => {
            if let Some(area) = task.regset(x86::NT_PRFPREG)? {
                emit_regset(ctx, x86::NT_PRFPREG, &area)?;
            }
        }
    }
    for note in [x86::NT_386_TLS, x86::NT_386_IOPERM] {
        if let Some(bytes) = task.regset(note)? {
            emit_regset(ctx, note, &bytes)?;
        }
    }

    if state.breakpoints {
        let mut addr = [U64::ZERO; x86::BREAKPOINTS];
        for (n, addr) in addr.iter_mut().enumerate() {
            *addr = task.debug_register(n).into();
        }
        ctx.emit(
            Section::Tasks,
            Kind::DebugRegs,
            &wire::DebugRegs {
                addr,
                dr6: task.debug_register(6).into(),
                dr7: task.debug_register(7).into(),
            },
            &[],
        )?;
    }

    let mut flags = 0;
    for (is, bit) in [
        (state.addr32, thread_x86::ADDR32),
        (state.compat_syscall, thread_x86::COMPAT_SYSCALL),
        (state.notsc, thread_x86::NOTSC),
        (state.nocpuid, thread_x86::NOCPUID),
    ] {
        if is {
            flags |= bit;
        }
    }
    ctx.emit(
        Section::Tasks,
        Kind::ThreadX86,
        &wire::ThreadX86 {
            flags: flags.into(),
            iopl: state.iopl.into(),
            xcomp_perm: state.xcomp_perm.into(),
            cr2: state.cr2.into(),
            trap_nr: state.trap_nr.into(),
            error_code: state.error_code.into(),
            guest_perm: state.guest_perm.into(),
        },
        &[],
    )
}

/// What is said when a component is missing, by its number.
const XFEATURES: &[&str] = &[
    "this machine lacks the x87 registers that the image uses",
    "this machine lacks the SSE registers that the image uses",
    "this machine lacks the AVX registers that the image uses",
    "this machine lacks the MPX bounds registers that the image uses",
    "this machine lacks the MPX bounds configuration that the image uses",
    "this machine lacks the AVX-512 mask registers that the image uses",
    "this machine lacks the AVX-512 registers that the image uses",
    "this machine lacks the upper AVX-512 registers that the image uses",
    "this machine lacks the xstate component 8 that the image uses",
    "this machine lacks the protection keys that the image uses",
];

/// Whether the image needs what this machine has not; says what.
pub(crate) fn check_features(header: &Header) -> Result<(), &'static str> {
    let missing = header.xfeatures.get() & !x86::xfeatures();
    if missing != 0 {
        return Err(match missing.trailing_zeros() {
            17 | 18 => "this machine lacks the AMX tiles that the image uses",
            19 => "this machine lacks the APX registers that the image uses",
            n => XFEATURES
                .get(n as usize)
                .copied()
                .unwrap_or("this machine lacks an xstate component that the image uses"),
        });
    }
    if header.features.get() & FEATURE_IA32 != 0 && !x86::has_ia32() {
        return Err("image has ia32 tasks, and this kernel runs none");
    }
    Ok(())
}

/// Makes the current task one of the width of `flags` ([`wire::mm_flags`]).
/// Called before it gets its address space.
pub(crate) fn restart_personality(newborn: &Newborn, flags: u32) {
    x86::set_personality(newborn, flags & mm_flags::IA32 != 0);
}

/// Gives the current task its LDT.
pub(crate) fn restart_ldt(entries: &[wire::LdtEntry]) -> Result {
    if entries.iter().any(|e| e.flags.get() > u8::MAX.into()) {
        return Err(EINVAL);
    }
    x86::write_ldt(entries.iter().map(|e| LdtEntry {
        entry_number: e.entry_number.get(),
        base_addr: e.base_addr.get(),
        limit: e.limit.get(),
        flags: e.flags.get() as u8,
    }))
}

/// Maps the vdso where it was, and gives the address space, which is built
/// but for that, the rest of what x86 keeps of it.
pub(crate) fn restart_vdso(report: &mut Report, mm: &NewMm<'_>, head: &wire::Mm) -> Result {
    let flags = head.flags.get();
    let ia32 = flags & mm_flags::IA32 != 0;
    let vdso = head.vdso.get();
    let mut item = Item {
        object: Object::Vma(vdso as usize),
        kind: "vdso",
        name: b"",
        why: "the vdso could not be mapped where it was",
        remedy: "",
    };
    if vdso != 0 && xxh64(x86::vdso_text(ia32)) != head.vdso_hash.get() {
        item.why = "the vdso of this kernel is not the one that the image was taken with";
        item.remedy = "restart on the kernel, and the model of CPU, that the image was taken on";
        return Err(report.error(item, EINVAL));
    }
    let state = MmState {
        ia32,
        binfmt: flags & mm_flags::BINFMT != 0,
        vdso: vdso as usize,
        pkeys: head.pkeys.get(),
        exec_only_pkey: head.exec_only_pkey.get(),
        ..Default::default()
    };
    x86::set_mm(mm, &state).map_err(|e| {
        if e == EOPNOTSUPP {
            item.object = Object::Task;
            item.kind = "pkeys";
            item.why = "this machine has no such memory protection keys";
        }
        report.error(item, e)
    })
}

/// A register set among the records of a task.
fn find_regset<'a>(records: impl Iterator<Item = Record<'a>>, note: u32) -> Option<&'a [u8]> {
    records
        .filter(|r| r.kind == Kind::Regset)
        .find(|r| r.head::<wire::Regset>().is_ok_and(|h| h.note.get() == note))
        .map(|r| r.tail())
}

fn find_thread<'a>(mut records: impl Iterator<Item = Record<'a>>) -> Result<wire::ThreadX86> {
    records
        .find(|r| r.kind == Kind::ThreadX86)
        .and_then(|r| r.head().ok())
        .ok_or(EINVAL)
}

/// Gives the current task what it can only have for itself. Called before it
/// drops the credentials of init.
pub(crate) fn restart_own(rs: &mut Restart, part: &Part, newborn: &Newborn) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let records = part.records(&meta);
    let mut fail = |kind, why, e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy: "",
            },
            e,
        )
    };

    let thread = find_thread(records.clone())?;
    let compat = thread.flags.get() & (thread_x86::COMPAT_SYSCALL | thread_x86::ADDR32);
    if compat != 0 && !x86::has_ia32() {
        return Err(fail(
            "ia32",
            "this kernel runs no ia32 programs",
            EOPNOTSUPP,
        ));
    }
    let (perm, guest_perm) = (thread.xcomp_perm.get(), thread.guest_perm.get());
    if perm | guest_perm != 0 {
        let used = match find_regset(records.clone(), x86::NT_X86_XSTATE) {
            Some(area) => word(area, x86::XSAVE_HEADER)? & perm,
            None => 0,
        };
        x86::enable_xfeatures(newborn, perm, guest_perm, used)
            .map_err(|e| fail("xcomp", "it may not use its xstate components here", e))?;
    }
    x86::iopl(thread.iopl.get())
        .map_err(|e| fail("iopl", "init may not raise its I/O privilege level", e))?;
    if let Some(ports) = find_regset(records, x86::NT_386_IOPERM) {
        x86::ioperm(ports).map_err(|e| fail("ioperm", "init may not use its I/O ports", e))?;
    }
    // Not by init: it changes the CPU where the flag of a task changes as it runs.
    x86::trap_tsc(thread.flags.get() & thread_x86::NOTSC != 0)
}

/// An XSAVE area as this machine has it, from one as another machine had it.
fn translate_xstate(area: &[u8], layout: &[u8], len: usize) -> Result<KVVec<u8>> {
    /// struct x86_xfeat_component
    type Component = [U32; 4];

    let mut out = KVVec::zeroed(len, GFP_KERNEL_ACCOUNT)?;
    let start = area.get(..x86::XSAVE_EXTENDED).ok_or(EINVAL)?;
    out.get_mut(..start.len())
        .ok_or(EINVAL)?
        .copy_from_slice(start);
    let layout = <[Component]>::ref_from_bytes(layout).map_err(|_| EINVAL)?;
    for i in extended(word(area, x86::XSAVE_HEADER)?) {
        let [_, size, offset, _] = layout.iter().find(|c| c[0].get() == i).ok_or(EINVAL)?;
        let (here_size, here) = x86::xfeature(i).ok_or(EINVAL)?;
        if here_size != size.get() {
            return Err(EINVAL);
        }
        let (size, from, to) = (here_size as usize, offset.get() as usize, here as usize);
        let from = area.get(from..from.saturating_add(size)).ok_or(EINVAL)?;
        out.get_mut(to..to.saturating_add(size))
            .ok_or(EINVAL)?
            .copy_from_slice(from);
    }
    if let Some(pkru) = x86::initial_pkru() {
        if word(&out, x86::XSAVE_HEADER)? & (1 << x86::XFEATURE_PKRU) == 0 {
            set_pkru(&mut out, pkru)?;
        }
    }
    Ok(out)
}

/// Gives a task, which is off its CPU and will go to user mode next, its
/// registers; returns the one that [`set_syscall_register`] sets. Called by init.
/// With `result` the system call that it is in is over, and gives that.
pub(crate) fn restart_thread<'a>(
    report: &mut Report,
    task: &Task,
    records: impl Iterator<Item = Record<'a>> + Clone,
    result: Option<u64>,
) -> Result<u64> {
    // SAFETY: the task waits at the barrier, its last sleep before user mode or
    // its exit, until the caller opens it, whatever signals come; the caller waited
    // until it was off its CPU.
    let task = unsafe { Still::new(task) }?;
    let mut fail = |kind, why, remedy, e| {
        report.error(
            Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy,
            },
            e,
        )
    };
    let bad = "the register set is not one that a tracer could set";

    let known = [
        x86::NT_PRSTATUS,
        x86::NT_PRFPREG,
        x86::NT_386_TLS,
        x86::NT_386_IOPERM,
        x86::NT_X86_XSTATE,
        x86::NT_X86_XSAVE_LAYOUT,
    ];
    for record in records.clone().filter(|r| r.kind == Kind::Regset) {
        let head: wire::Regset = record.head().map_err(|_| EINVAL)?;
        if !known.contains(&head.note.get()) {
            return Err(fail(
                "regset",
                "a register set is not known here",
                "",
                EINVAL,
            ));
        }
    }

    // Segments may be those of TLS, which is why it comes first.
    if let Some(tls) = find_regset(records.clone(), x86::NT_386_TLS) {
        task.set_regset(x86::NT_386_TLS, tls)
            .map_err(|e| fail("tls", bad, "", e))?;
    }
    if let Some(area) = find_regset(records.clone(), x86::NT_X86_XSTATE) {
        let layout = find_regset(records.clone(), x86::NT_X86_XSAVE_LAYOUT).unwrap_or(&[]);
        Still::regset_len(x86::NT_X86_XSTATE)
            .and_then(|len| translate_xstate(area, layout, len))
            .and_then(|area| task.set_regset(x86::NT_X86_XSTATE, &area))
            .map_err(|e| {
                fail(
                    "xstate",
                    bad,
                    "restart on the model of CPU it was saved on",
                    e,
                )
            })?;
    } else if let Some(area) = find_regset(records.clone(), x86::NT_PRFPREG) {
        task.set_regset(x86::NT_PRFPREG, area)
            .map_err(|e| fail("fpregs", bad, "", e))?;
    }
    let regs = find_regset(records.clone(), x86::NT_PRSTATUS)
        .filter(|r| r.len() == x86::PRSTATUS_LEN)
        .ok_or(EINVAL)
        .and_then(|regs| task.set_regset(x86::NT_PRSTATUS, regs).map(|()| regs))
        .map_err(|e| fail("registers", bad, "", e))?;
    task.finish_regs(word(regs, x86::PRSTATUS_FLAGS)?);

    if let Some(record) = records.clone().find(|r| r.kind == Kind::DebugRegs) {
        let debug: wire::DebugRegs = record.head().map_err(|_| EINVAL)?;
        let set = || -> Result {
            for (n, addr) in debug.addr.iter().enumerate() {
                if addr.get() != 0 {
                    task.set_debug_register(n, addr.get())?;
                }
            }
            task.set_debug_register(6, debug.dr6.get())?;
            task.set_debug_register(7, debug.dr7.get())
        };
        set().map_err(|e| fail("breakpoints", "a breakpoint could not be set again", "", e))?;
    }

    let thread = find_thread(records)?;
    let flags = thread.flags.get();
    task.set_thread(&ThreadState {
        compat_syscall: flags & thread_x86::COMPAT_SYSCALL != 0,
        nocpuid: flags & thread_x86::NOCPUID != 0,
        cr2: thread.cr2.get(),
        trap_nr: thread.trap_nr.get(),
        error_code: thread.error_code.get(),
        ..Default::default()
    })
    .map_err(|e| {
        fail(
            "cpuid",
            "this machine can't make CPUID trap (ARCH_SET_CPUID)",
            "",
            e,
        )
    })?;
    match result {
        Some(result) => {
            task.end_syscall();
            Ok(result)
        }
        None => word(regs, x86::PRSTATUS_AX),
    }
}

/// Sets the register that holds the result of the interrupted system call.
/// Called by the task itself at its task-work point.
pub(crate) fn set_syscall_register(ax: u64) {
    x86::set_ax(ax);
}
