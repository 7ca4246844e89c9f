// SPDX-License-Identifier: GPL-2.0-only

//! State that prctl(2) and its like set.
//!
//! What takes a right is set with those of init, what the change of credentials
//! would undo comes after it, and how the process is reaped when it is certain
//! that it runs.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::record::{
        self as wire,
        attr_flags,
        Kind, //
    },
    objhash::{
        Class,
        Found, //
    },
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    seccomp::{
        self,
        Confined, //
    },
    task::still,
};
use kernel::{
    checkpoint::attr::{
        self,
        Attr, //
    },
    prelude::*,
};

/// Saves what a task has.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let confined = seccomp::checkpoint(ctx, frozen)?;
    let io_context = match attr::shared_io(&still(frozen)?) {
        None => 0,
        Some(io) => {
            if io.outside {
                ctx.report.refuse(Item {
                    object: Object::Task,
                    kind: "io-context",
                    name: b"",
                    why: "it shares its I/O context (CLONE_IO) with init or a process outside",
                    remedy: "start the job with fork(2)",
                });
            }
            match ctx.objs.id(Class::IoContext, io.address)? {
                Found::Old(id) | Found::New(id) => id,
            }
        }
    };
    emit(ctx, frozen, &confined, io_context)
}

/// Saves what a process has of which the first thread has exited, by the example
/// of another; what is a thread's own it has no more.
pub(crate) fn checkpoint_of_process(ctx: &mut Checkpoint, thread: &Frozen<'_>) -> Result {
    emit(ctx, thread, &Confined::default(), 0)
}

fn emit(ctx: &mut Checkpoint, frozen: &Frozen<'_>, confined: &Confined, io_context: u32) -> Result {
    let task = frozen.task();
    let still = still(frozen)?;
    let attr = attr::of(&still);
    let mut flags = confined.flags;
    for (is, bit) in [
        (attr.autoreap, attr_flags::AUTOREAP),
        (attr.mce_process, attr_flags::MCE_PROCESS),
        (attr.mce_early, attr_flags::MCE_EARLY),
        (attr.io_flusher, attr_flags::IO_FLUSHER),
        (attr.timer_restore_ids, attr_flags::TIMER_RESTORE_IDS),
    ] {
        if is {
            flags |= bit;
        }
    }
    ctx.emit(
        Section::Tasks,
        Kind::Attr,
        &wire::Attr {
            personality: attr.personality.into(),
            pdeath_signal: attr::pdeath_signal(&still).into(),
            oom_score_adj: i32::from(attr.oom_score_adj).into(),
            dumpable: attr::dumpable(task).into(),
            timer_slack_ns: attr.timer_slack_ns.into(),
            default_timer_slack_ns: attr.default_timer_slack_ns.into(),
            subreaper: u32::from(attr.subreaper).into(),
            ioprio: (attr.ioprio as u32).into(),
            oom_score_adj_min: i32::from(attr.oom_score_adj_min).into(),
            speculation: 0.into(),
            flags: flags.into(),
            seccomp: confined.filter.into(),
            io_context: io_context.into(),
            reserved: 0.into(),
        },
        &[],
    )
}

fn record(rs: &Restart, part: &Part) -> Result<wire::Attr> {
    let meta = rs.image.meta();
    part.record(&meta, Kind::Attr)?.head().map_err(|_| EINVAL)
}

/// Gives the current task what init may give it.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let head = record(rs, part)?;
    let flag = |bit| head.flags.get() & bit != 0;
    let score = |s: i32| i16::try_from(s).map_err(|_| EINVAL);

    match head.io_context.get() {
        _ if part.is_leader_gone() => (),
        0 => (),
        _ => match rs.owner(Class::IoContext)? {
            Some(owner) => attr::share_io(&owner.task)?,
            None => attr::own_io()?,
        },
    }
    let attr = Attr {
        oom_score_adj: score(head.oom_score_adj.get())?,
        oom_score_adj_min: score(head.oom_score_adj_min.get())?,
        ioprio: i32::try_from(head.ioprio.get()).map_err(|_| EINVAL)?,
        timer_slack_ns: head.timer_slack_ns.get(),
        default_timer_slack_ns: head.default_timer_slack_ns.get(),
        personality: head.personality.get(),
        subreaper: head.subreaper.get() != 0,
        autoreap: false,
        mce_process: flag(attr_flags::MCE_PROCESS),
        mce_early: flag(attr_flags::MCE_EARLY),
        io_flusher: flag(attr_flags::IO_FLUSHER),
        timer_restore_ids: flag(attr_flags::TIMER_RESTORE_IDS),
    };
    attr::set(&attr, part.is_group_leader()).map_err(|e| {
        let kind = match e {
            e if e == EACCES => "oom_score_adj",
            e if e == EINVAL => "ioprio",
            _ => "attr",
        };
        rs.report.error(
            Item {
                object: Object::Task,
                kind,
                name: b"",
                why: "init may not give it this",
                remedy: "restart under an init with CAP_SYS_RESOURCE and CAP_SYS_NICE",
            },
            e,
        )
    })
}

/// Gives the current task what its credentials have cleared.
pub(crate) fn restart_after_creds(rs: &mut Restart, part: &Part) -> Result {
    let head = record(rs, part)?;
    attr::set_dumpable(head.dumpable.get())?;
    attr::set_pdeath_signal(head.pdeath_signal.get())
}

/// How the current process is reaped.
pub(crate) fn release(rs: &Restart, part: &Part) -> Result {
    if part.is_group_leader() {
        let head = record(rs, part)?;
        attr::set_autoreap(head.flags.get() & attr_flags::AUTOREAP != 0);
    }
    Ok(())
}
