// SPDX-License-Identifier: GPL-2.0-only

//! seccomp(2): strict mode and filters.
//!
//! Filters form a tree: what a task is confined by is a path from its newest
//! filter to the oldest, and tasks share what they have from a common ancestor
//! or from a synchronisation of threads. Each is saved once, as the classic
//! program that it was loaded with, and made again by init before there are
//! tasks. A task then takes its newest one, and those below it, with the rights
//! that seccomp(2) asks for, before it has its own credentials.
//!
//! What init has, too, is inherited from it: such filters are not in the image,
//! and those of the job are stacked upon what the init of the restart has.
//!
//! Refused: filters that somebody listens to (SECCOMP_RET_USER_NOTIF), and
//! tasks that are not confined by the filters of their init.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::{
        parse::Record,
        record::{
            self as wire,
            attr_flags,
            Kind, //
        },
    },
    objhash::{
        Class,
        Found, //
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
    task::still, //
};
use kernel::{
    checkpoint::{
        gfp,
        seccomp::{
            self,
            Filter,
            Insn,
            Mode,
            TaskFilter, //
        },
    },
    prelude::*, //
};
use zerocopy::IntoBytes;

/// The filters that were saved so far.
#[derive(Default)]
pub(crate) struct Met {
    /// Whether they are stacked upon those of init, in the order of their ids.
    on_init: KVVec<bool>,
}

impl Met {
    fn is_on_init(&self, id: u32) -> Option<bool> {
        self.on_init.get(id.checked_sub(1)? as usize).copied()
    }
}

/// How a task is confined, for its Attr record.
#[derive(Default)]
pub(crate) struct Confined {
    /// Of [`attr_flags`].
    pub(crate) flags: u32,
    /// The id of its newest filter that is not init's, 0 for none.
    pub(crate) filter: u32,
}

fn refuse(report: &mut Report, why: &'static str, remedy: &'static str) {
    report.refuse(Item {
        object: Object::Task,
        kind: "seccomp",
        name: b"",
        why,
        remedy,
    });
}

/// Saves how a task is confined.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<Confined> {
    let still = still(frozen)?;
    let mut confined = Confined::default();
    let mut of_init = false;
    match seccomp::of(&still) {
        Mode::None => (),
        Mode::Strict => confined.flags = attr_flags::SECCOMP_STRICT,
        Mode::Filter(newest) => confined.filter = checkpoint_path(ctx, newest, &mut of_init)?,
        Mode::Dead => refuse(&mut ctx.report, "a filter has killed it", "try again"),
    }
    if of_init {
        confined.flags |= attr_flags::SECCOMP_OF_INIT;
    } else if seccomp::current_is_confined() {
        refuse(
            &mut ctx.report,
            "init has seccomp filters that it has not",
            "have init confine itself before it starts the job",
        );
    }
    Ok(confined)
}

/// Saves the filters from `newest` down to those of init; the id of `newest`, 0
/// where init has it.
fn checkpoint_path(
    ctx: &mut Checkpoint,
    newest: TaskFilter<'_>,
    of_init: &mut bool,
) -> Result<u32> {
    let mut path = KVVec::new();
    let mut id = 0;
    let mut next = Some(newest);
    while let Some(filter) = next {
        // Those below one that is known are, too.
        if let Some(known) = ctx.objs.known(Class::Seccomp, filter.as_ptr()) {
            id = known;
            *of_init = ctx.filters.is_on_init(known).ok_or(EINVAL)?;
            break;
        }
        if filter.is_of_current() {
            *of_init = true;
            break;
        }
        path.push(filter, gfp())?;
        next = filter.parts().prev;
    }
    for filter in path.iter().rev() {
        let prev = id;
        let Found::New(new) = ctx.objs.id(Class::Seccomp, filter.as_ptr())? else {
            return Err(EINVAL);
        };
        id = new;
        ctx.filters.on_init.push(*of_init, gfp())?;
        checkpoint_filter(ctx, *filter, id, prev)?;
    }
    Ok(id)
}

fn checkpoint_filter(ctx: &mut Checkpoint, filter: TaskFilter<'_>, id: u32, prev: u32) -> Result {
    let parts = filter.parts();
    if parts.listener {
        refuse(
            &mut ctx.report,
            "a seccomp filter has somebody notified of its system calls",
            "close the listener, or start the job without one",
        );
    }
    let Some(program) = parts.program else {
        refuse(
            &mut ctx.report,
            "the program of a seccomp filter was not kept",
            "start the job without it",
        );
        return Ok(());
    };
    let mut insns = KVVec::with_capacity(program.len(), gfp())?;
    for insn in program {
        let insn = wire::SeccompInsn {
            code: insn.code.into(),
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k.into(),
        };
        insns.push(insn, gfp())?;
    }
    let mut flags = 0;
    if parts.log {
        flags |= wire::SECCOMP_LOG;
    }
    if parts.wait_killable_recv {
        flags |= wire::SECCOMP_WAIT_KILLABLE_RECV;
    }
    ctx.emit(
        Section::Objects,
        Kind::Seccomp,
        &wire::Seccomp {
            id: id.into(),
            prev: prev.into(),
            flags: flags.into(),
            reserved: 0.into(),
        },
        &[insns.as_bytes()],
    )
}

/// Makes a filter again; called by init.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Seccomp = record.head().map_err(|_| EINVAL)?;
    let mut program = KVVec::new();
    for insn in record.array::<wire::SeccompInsn>().map_err(|_| EINVAL)? {
        let insn = Insn {
            code: insn.code.get(),
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k.get(),
        };
        program.push(insn, GFP_KERNEL_ACCOUNT)?;
    }
    let prev = match head.prev.get().checked_sub(1) {
        None => None,
        Some(i) => Some(rs.filters.get(i as usize).ok_or(EINVAL)?),
    };
    let flag = |bit| head.flags.get() & bit != 0;
    let made = Filter::create(
        &program,
        flag(wire::SECCOMP_LOG),
        flag(wire::SECCOMP_WAIT_KILLABLE_RECV),
        prev,
    );
    match made {
        Ok(filter) => rs
            .world_mut()?
            .filters
            .push(filter, GFP_KERNEL_ACCOUNT)
            .map_err(Into::into),
        Err(e) => Err(failed(
            &mut rs.report,
            Object::Job,
            match e {
                e if e == EINVAL => "a seccomp filter is not a valid program",
                _ => "a seccomp filter can't be loaded: no memory, or too many of them",
            },
            "restart under an init with fewer filters",
            e,
        )),
    }
}

fn failed(
    report: &mut Report,
    object: Object,
    why: &'static str,
    remedy: &'static str,
    error: Error,
) -> Error {
    report.error(
        Item {
            object,
            kind: "seccomp",
            name: b"",
            why,
            remedy,
        },
        error,
    )
}

/// Confines the current task, which has the rights of init still. It makes no
/// system call before it goes to user mode.
pub(crate) fn restart_task(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let head: wire::Attr = part.record(&meta, Kind::Attr)?.head().map_err(|_| EINVAL)?;
    let flag = |bit| head.flags.get() & bit != 0;

    if flag(attr_flags::SECCOMP_OF_INIT) != seccomp::current_is_confined() {
        return Err(failed(
            &mut rs.report,
            Object::Task,
            "it was confined by the filters of init, and this init has none, or the other way \
             round",
            "restart under an init with the same filters",
            EPERM,
        ));
    }
    let ret = match head.seccomp.get().checked_sub(1) {
        None if flag(attr_flags::SECCOMP_STRICT) => seccomp::set_strict(),
        None => Ok(()),
        Some(i) => rs.filters.get(i as usize).ok_or(EINVAL)?.join(),
    };
    ret.map_err(|e| {
        failed(
            &mut rs.report,
            Object::Task,
            match e {
                e if e == EACCES => "init may not give it its seccomp filters",
                _ => "it can't be confined by its seccomp filters",
            },
            "restart under an init with CAP_SYS_ADMIN",
            e,
        )
    })
}
