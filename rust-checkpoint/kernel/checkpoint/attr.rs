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
    outside::What,
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
use core::{
    ffi::c_void,
    mem::size_of,
    ptr::NonNull, //
};
use kernel::{
    checkpoint::attr::{
        self,
        Attr,
        SPECULATION_CONTROLS, //
    },
    prelude::*,
};

/// Ids of what a task shares with others and that has no record of its own; 0 for none.
#[derive(Default)]
struct Shares {
    io_context: u32,
    sem_undo: u32,
    core_cookie: u32,
}

/// The id of what a task shares, which is refused, with the first task that has it, where
/// it is shared with others than tasks of the job.
fn share(
    ctx: &mut Checkpoint,
    frozen: &Frozen<'_>,
    class: Class,
    object: Option<NonNull<c_void>>,
    what: What,
) -> Result<u32> {
    let Some(object) = object.map(|o| o.as_ptr().cast_const()) else {
        return Ok(0);
    };
    match ctx.objs.id(class, object)? {
        Found::Old(id) => Ok(id),
        Found::New(id) => {
            ctx.outside.ask(object, frozen, what)?;
            Ok(id)
        }
    }
}

/// Saves what a task has.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let confined = seccomp::checkpoint(ctx, frozen)?;
    let sem_undo = share(
        ctx,
        frozen,
        Class::SemUndo,
        attr::shared_sem_undo(&still(frozen)?),
        What {
            kind: "sem-undo",
            why: "it shares semaphore operations to undo (CLONE_SYSVSEM) with a process outside",
            remedy: "start the job with fork(2)",
        },
    )?;
    let core_cookie = share(
        ctx,
        frozen,
        Class::CoreCookie,
        attr::core_cookie(&still(frozen)?),
        What {
            kind: "core-sched",
            why: "it shares a core scheduling cookie (PR_SCHED_CORE) with a process outside",
            remedy: "give the same cookie to init, or one to the job alone",
        },
    )?;
    let io_context = share(
        ctx,
        frozen,
        Class::IoContext,
        attr::shared_io(&still(frozen)?),
        What {
            kind: "io-context",
            why: "it shares its I/O context (CLONE_IO) with init or a process outside",
            remedy: "start the job with fork(2)",
        },
    )?;
    let shares = Shares {
        io_context,
        sem_undo,
        core_cookie,
    };
    emit(ctx, frozen, &confined, &shares)
}

/// Saves what a process has of which the first thread has exited, by the example
/// of another; what is a thread's own it has no more.
pub(crate) fn checkpoint_of_process(ctx: &mut Checkpoint, thread: &Frozen<'_>) -> Result {
    emit(ctx, thread, &Confined::default(), &Shares::default())
}

fn emit(ctx: &mut Checkpoint, frozen: &Frozen<'_>, confined: &Confined, shares: &Shares) -> Result {
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
    let mut speculation = [0; size_of::<u32>()];
    for (to, from) in speculation.iter_mut().zip(attr.speculation) {
        *to = from;
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
            speculation: u32::from_le_bytes(speculation).into(),
            flags: flags.into(),
            seccomp: confined.filter.into(),
            io_context: shares.io_context.into(),
            reserved: 0.into(),
            sem_undo: shares.sem_undo.into(),
            core_cookie: shares.core_cookie.into(),
            autogroup_nice: attr.autogroup_nice.into(),
            dispatch: attr.dispatch.into(),
            dispatch_start: attr.dispatch_start.into(),
            dispatch_len: attr.dispatch_len.into(),
            dispatch_selector: attr.dispatch_selector.into(),
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
    if !part.is_leader_gone() {
        join(rs, &head)?;
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
        dispatch: head.dispatch.get(),
        dispatch_start: head.dispatch_start.get(),
        dispatch_len: head.dispatch_len.get(),
        dispatch_selector: head.dispatch_selector.get(),
        ..Default::default()
    };
    attr::set_dispatch(&attr).map_err(|e| {
        failed(
            rs,
            "syscall-dispatch",
            "its system calls can't be dispatched to user space as they were",
            "set the sysctl kernel.syscall_user_dispatch to 1",
            e,
        )
    })?;
    if part.task.sid == part.task.pid {
        attr::set_autogroup_nice(head.autogroup_nice.get()).map_err(|e| {
            failed(
                rs,
                "autogroup",
                "init may not give its session the nice value it had, or sessions have none here",
                "restart under an init with CAP_SYS_NICE, on a kernel with autogroups",
                e,
            )
        })?;
    }
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

fn failed(
    rs: &mut Restart,
    kind: &'static str,
    why: &'static str,
    remedy: &'static str,
    e: Error,
) -> Error {
    let item = Item {
        object: Object::Task,
        kind,
        name: b"",
        why,
        remedy,
    };
    rs.report.error(item, e)
}

/// Gives the current task what it shares with others, and what it has asked of
/// speculation.
fn join(rs: &mut Restart, head: &wire::Attr) -> Result {
    match head.sem_undo.get() {
        0 => (),
        _ => {
            let owner = rs.owner(Class::SemUndo)?;
            attr::share_sem_undo(owner.as_ref().map(|o| &*o.task)).map_err(|e| {
                failed(
                    rs,
                    "sem-undo",
                    "it can't share semaphore operations to undo (CLONE_SYSVSEM) again",
                    "",
                    e,
                )
            })?;
        }
    }
    match head.core_cookie.get() {
        0 => (),
        _ => {
            let owner = rs.owner(Class::CoreCookie)?;
            attr::join_core_cookie(owner.as_ref().map(|o| &*o.task)).map_err(|e| {
                failed(
                    rs,
                    "core-sched",
                    "it can't get its core scheduling cookie (PR_SCHED_CORE) here",
                    "restart on a machine with SMT, and a kernel with core scheduling",
                    e,
                )
            })?;
        }
    }
    let controls = head.speculation.get().to_le_bytes();
    for (which, control) in controls.into_iter().enumerate().take(SPECULATION_CONTROLS) {
        attr::set_speculation(which, control).map_err(|e| {
            failed(
                rs,
                "speculation",
                "its speculation can't be controlled here as it was, or init forbids it",
                "restart on a machine and under an init with the same controls",
                e,
            )
        })?;
    }
    Ok(())
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
