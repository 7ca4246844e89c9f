// SPDX-License-Identifier: GPL-2.0-only

//! Tasks: the registry of what a task consists of.
//!
//! Each resource of a task is a module with `checkpoint(ctx, frozen)`, called
//! by init while the task stands still, and `restart(rs, part)`, called by the
//! restored task itself. This file says in which order.

use crate::{
    arch,
    attr,
    checkpoint::{
        Checkpoint,
        Section, //
    },
    creds,
    deny,
    files,
    freeze::Frozen,
    fs,
    image::record::{
        self as wire,
        task_flags,
        Kind, //
    },
    mm,
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    restart_block,
    rlimits,
    sched,
    seccomp,
    signal,
    timers,
    usage,
    user_ptrs,
    zombie, //
};
use kernel::{
    checkpoint::{
        clone::{
            self,
            Newborn, //
        },
        gfp,
        task::{
            self,
            PidNs,
            Pids,
            Still,
            TaskExt,
            PID_NS_OTHER, //
        },
    },
    prelude::*,
    task::Task,
};

/// A frozen task, for those who read what only it changes.
pub(crate) fn still<'a>(frozen: &'a Frozen<'_>) -> Result<Still<'a>> {
    // SAFETY: a `Frozen` task is held by the caller's freezer, which waited
    // until it was off its CPU.
    unsafe { Still::new(frozen.task()) }
}

/// Process group and session of a task, 0 for those of init. Refuses it where one
/// was made outside of the namespace.
pub(crate) fn groups(ctx: &mut Checkpoint, task: &Task, pids: Pids) -> (i32, i32) {
    let init = current!().pids_in(&ctx.ns);
    let (same_group, same_session) = task.in_groups_of(current!());
    let mut group = |is: i32, of_init: i32, same: bool, kind: &'static str, why| {
        // Led by a task of the job, which may be gone. Init may have joined one.
        if is > 1 && (is != of_init || ctx.ranks.get(&is).is_some()) {
            return is;
        }
        if !same {
            ctx.report.refuse(Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy: "start the job with setsid",
            });
        }
        0
    };
    (
        group(
            pids.pgid,
            init.pgid,
            same_group,
            "pgid",
            "its process group is that of a process which is not in the job",
        ),
        group(
            pids.sid,
            init.sid,
            same_session,
            "sid",
            "its session is that of a process which is not in the job",
        ),
    )
}

/// Saves the numbers that a process group or session of a task has in the pid namespaces
/// of the job's own, which nobody else has who is there: its leader is gone.
fn emit_group(ctx: &mut Checkpoint, task: &Task, id: i32, session: bool) -> Result {
    if id == 0 || ctx.groups.get(&id).is_some() {
        return Ok(());
    }
    ctx.groups.try_create_and_insert(id, (), gfp())?;
    let ns = task.group_ns_in(&ctx.ns, session);
    if ns.depth == 0 {
        return Ok(());
    }
    ctx.emit(
        Section::Objects,
        Kind::Group,
        &wire::Group {
            id: id.into(),
            pid_ns: ns.init.into(),
        },
        &[&numbers(&ns)?],
    )
}

/// The numbers in the namespaces below that of the job, innermost first.
fn numbers(ns: &PidNs) -> Result<KVec<u8>> {
    let mut bytes = KVec::new();
    for nr in ns.pids.iter().take(ns.depth as usize) {
        bytes.extend_from_slice(&nr.to_le_bytes(), GFP_KERNEL)?;
    }
    Ok(bytes)
}

/// Adds the record of a task, and to it where its pids are from.
pub(crate) fn emit(ctx: &mut Checkpoint, task: &Task, head: &mut wire::Task) -> Result {
    let ns = task.pid_ns_in(&ctx.ns);
    head.pid_ns = ns.init.into();
    let children = match ns.children {
        // The first thread makes it again, alone.
        0 => Some(0),
        PID_NS_OTHER => None,
        init => (task.is_group_leader() && !task.has_threads()).then_some(init),
    };
    head.children_ns = children.unwrap_or(0).into();
    for (is, why) in [
        (
            ns.other,
            "its pid namespace is of another user namespace, or has settings of its own \
             (pid_max, memfd_noexec)",
        ),
        (
            children.is_none(),
            "its children will be in a pid namespace that is not one of its own child",
        ),
    ] {
        if is {
            ctx.report.refuse(Item {
                object: Object::Task,
                kind: "pid-ns",
                name: b"",
                why,
                remedy: "start the job in the namespaces of its init",
            });
        }
    }
    emit_group(ctx, task, head.pgid.get(), false)?;
    emit_group(ctx, task, head.sid.get(), true)?;
    ctx.emit(Section::Tasks, Kind::Task, head, &[&numbers(&ns)?])
}

/// The place of a process among the children of its parent, 0 for other threads.
pub(crate) fn rank(ctx: &Checkpoint, pids: Pids) -> u32 {
    ctx.ranks.get(&pids.pid).copied().unwrap_or(0)
}

/// What a Task record says of the parent of a process that is not sent the signal which
/// the process was made with.
pub(crate) fn parent_changed(task: &Task) -> u32 {
    match task.is_group_leader() && task.parent_changed() {
        true => task_flags::PARENT_CHANGED,
        false => 0,
    }
}

/// Which thread of its parent a task counts as a child of; 0 for the first one.
pub(crate) fn parent(pids: Pids) -> i32 {
    match pids {
        Pids { pid, tgid, .. } if pid != tgid => 0,
        Pids { ppid, parent, .. } if parent == ppid || ppid <= 1 => 0,
        Pids { parent, .. } => parent,
    }
}

/// Saves a task that stands still.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let task = frozen.task();
    let pids = frozen.pids();
    let (pgid, sid) = groups(ctx, task, pids);
    deny::checkpoint(ctx, frozen)?;
    let mm = mm::checkpoint(ctx, frozen)?;
    let files = files::checkpoint_table(ctx, frozen)?;
    let fs = fs::checkpoint(ctx, frozen)?;
    let sighand = signal::checkpoint_actions(ctx, frozen)?;
    let (mut flags, stop_signal) = signal::checkpoint_stop(frozen)?;
    if task.is_forked() {
        flags |= task_flags::FORKED;
    }
    if task.has_tty_of(current!()) {
        flags |= task_flags::INIT_TTY;
    }
    flags |= parent_changed(task);
    let rank = rank(ctx, pids).into();
    emit(
        ctx,
        task,
        &mut wire::Task {
            pid: pids.pid.into(),
            tgid: pids.tgid.into(),
            ppid: pids.ppid.into(),
            pgid: pgid.into(),
            sid: sid.into(),
            exit_signal: task.exit_signal().into(),
            mm: mm.into(),
            files: files.into(),
            fs: fs.into(),
            sighand: sighand.into(),
            flags: flags.into(),
            stop_signal: stop_signal.into(),
            comm: task.comm(),
            parent: parent(pids).into(),
            vfork: frozen.vfork().into(),
            rank,
            pid_ns: 0.into(),
            children_ns: 0.into(),
        },
    )?;
    arch::checkpoint_thread(ctx, frozen)?;
    let posix = task.is_group_leader().then(|| timers::posix(ctx, frozen));
    let itimers = signal::checkpoint(ctx, frozen)?;
    if let (Some(posix), Some(itimers)) = (posix.transpose()?, itimers) {
        timers::checkpoint(ctx, posix, itimers)?;
    }
    creds::checkpoint(ctx, task)?;
    if task.is_group_leader() {
        rlimits::checkpoint(ctx, frozen)?;
    }
    restart_block::checkpoint(ctx, frozen)?;
    attr::checkpoint(ctx, frozen)?;
    sched::checkpoint(ctx, frozen)?;
    usage::checkpoint(ctx, task, pids.tgid)?;
    user_ptrs::checkpoint(ctx, frozen)
}

/// Rebuilds what is a thread's own in the current one, which was created sharing
/// all with its leader.
pub(crate) fn restart_thread(rs: &mut Restart, part: &Part, newborn: &mut Newborn) -> Result {
    sched::restart_nodes(rs, part)?;
    arch::restart_own(rs, part, newborn)?;
    files::restart_table(rs, part, newborn)?;
    fs::restart(rs, part)?;
    task::set_comm(&part.task.comm);
    task::set_forked(part.task.flags.get() & task_flags::FORKED != 0);
    signal::restart(rs, part)?;
    user_ptrs::restart(rs, part)?;
    restart_block::restart(rs, part)?;
    restart_rights(rs, part, newborn)
}

/// Rebuilds the current task.
pub(crate) fn restart(rs: &mut Restart, part: &Part, newborn: &mut Newborn) -> Result {
    let task = &part.task;
    if task.sid == task.pid {
        clone::new_session()?;
    }
    if clone::set_tty(task.flags.get() & task_flags::INIT_TTY != 0).is_err() {
        return Err(rs.report.error(
            Item {
                object: Object::Task,
                kind: "tty",
                name: b"",
                why: "its controlling terminal was the one of init, and this init has none",
                remedy: "restart under an init with a terminal",
            },
            ENOTTY,
        ));
    }
    if !part.is_leader_gone() {
        // Its pages are read into these.
        sched::restart_nodes(rs, part)?;
    }
    mm::restart(rs, part, newborn)?;
    task::set_comm(&part.task.comm);
    task::set_forked(part.task.flags.get() & task_flags::FORKED != 0);
    signal::restart_actions(rs, part, newborn)?;
    if part.is_leader_gone() {
        return Ok(());
    }
    arch::restart_own(rs, part, newborn)?;
    files::restart_table(rs, part, newborn)?;
    fs::restart(rs, part)?;
    user_ptrs::restart(rs, part)?;
    restart_block::restart(rs, part)
}

/// Gives the current task, the leader of a thread group, its credentials and
/// what may be had with them. What was before, also to create its threads, may
/// need the rights of init.
pub(crate) fn restart_rights(rs: &mut Restart, part: &Part, _newborn: &mut Newborn) -> Result {
    if part.is_group_leader() {
        // Not before: a signal that it does not block would keep it from creating threads.
        if !part.is_leader_gone() {
            signal::restart(rs, part)?;
        }
        rlimits::restart(rs, part)?;
    }
    if !part.is_leader_gone() {
        sched::restart(rs, part)?;
    }
    usage::restart(rs, part)?;
    attr::restart(rs, part)?;
    creds::restart_no_new_privs(rs, part)?;
    if !part.is_leader_gone() {
        seccomp::restart_task(rs, part)?;
    }
    creds::restart(rs, part)?;
    // What took a right was done with those of init, what follows is with its own.
    attr::restart_after_creds(rs, part)?;
    timers::restart(rs, part)?;
    signal::restart_pending(rs, part)?;
    if part.is_leader_gone() {
        // Not before: its threads, which have it from here until they set their own, are
        // not to act on the signals of the process.
        zombie::restart_mask(rs, part)?;
        // It will not come to its release.
        attr::release(rs, part)?;
    }
    signal::restart_stop(part)
}

/// What the current task gets when it is certain that the job runs: that which
/// would be visible if it were killed before, and what depends on the time.
pub(crate) fn release(rs: &Restart, part: &Part) -> Result {
    restart_block::release(rs, part)?;
    attr::release(rs, part)?;
    user_ptrs::release(rs, part)
}
