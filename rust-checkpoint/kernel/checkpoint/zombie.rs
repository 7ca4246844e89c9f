// SPDX-License-Identifier: GPL-2.0-only

//! Zombies: processes that have exited, and that their parents have not waited for.
//!
//! A zombie has a pid, a place among the processes, credentials, and what
//! wait(2) tells the parent. A restart makes a process of the same pid, kills it
//! before anyone else runs, and puts on record how the old one ended. The parent
//! was told of that before the checkpoint, with a signal that may be pending
//! still; only if the parent is init, another one than it was, it is told again.
//!
//! Its signal actions and pending signals, which do no more than show in /proc,
//! are not saved.
//!
//! The first thread of a process that has exited while others live on is one, too,
//! that nobody can wait for yet. At a restart it rebuilds what belongs to the
//! process, makes the threads, and exits before they run.

use crate::{
    attr,
    checkpoint::{
        Checkpoint,
        Section, //
    },
    creds,
    freeze::{
        Frozen,
        Zombie, //
    },
    image::record::{
        self as wire,
        task_flags,
        Kind, //
    },
    restart::{
        Part,
        Restart, //
    },
    rlimits, signal as process_signal,
    task::{
        emit as emit_task,
        groups,
        parent,
        parent_changed,
        rank, //
    },
    timers,
    usage::{
        self,
        from_wire,
        to_wire, //
    },
};
use kernel::{
    checkpoint::{
        attr::unshare_dumpable,
        clone::{
            self,
            Newborn, //
        },
        signal::{
            self,
            Masks,
            SigLock, //
        },
        task::{
            self,
            Exit,
            TaskExt, //
        },
    },
    prelude::*,
    task::Task, //
};

/// What a Task record says of a task that has exited, but for its process.
fn record(ctx: &mut Checkpoint, zombie: &Zombie, flag: u32) -> wire::Task {
    let (task, pids) = (zombie.task(), zombie.pids());
    let (pgid, sid) = groups(ctx, task, pids);
    let forked = match task.is_forked() {
        true => task_flags::FORKED,
        false => 0,
    };
    wire::Task {
        pid: pids.pid.into(),
        tgid: pids.tgid.into(),
        ppid: pids.ppid.into(),
        pgid: pgid.into(),
        sid: sid.into(),
        exit_signal: task.exit_signal().into(),
        mm: 0.into(),
        files: 0.into(),
        fs: 0.into(),
        sighand: 0.into(),
        flags: (flag | forked | parent_changed(task)).into(),
        stop_signal: 0.into(),
        comm: task.comm(),
        parent: parent(pids).into(),
        vfork: 0.into(),
        rank: rank(ctx, pids).into(),
        pid_ns: 0.into(),
        children_ns: 0.into(),
    }
}

fn emit_exit(ctx: &mut Checkpoint, task: &Task, exit: &Exit) -> Result {
    ctx.emit(
        Section::Tasks,
        Kind::Exit,
        &wire::Exit {
            status: exit.status.into(),
            reserved: 0.into(),
            blocked: SigLock::lock(task)
                .map_or(0, |lock| lock.masks().blocked)
                .into(),
            own: to_wire(&exit.own),
            children: to_wire(&exit.children),
        },
        &[],
    )
}

/// Saves the first thread of a process, which has exited, with what belongs to the
/// process, by the example of `thread`.
pub(crate) fn checkpoint_leader(
    ctx: &mut Checkpoint,
    leader: &Zombie,
    thread: &Frozen<'_>,
) -> Result {
    let task = leader.task();
    let mut head = record(ctx, leader, task_flags::LEADER_GONE);
    let (flags, stop_signal) = process_signal::checkpoint_stop(thread)?;
    let mut of_process = flags & wire::FLAGS_OF_PROCESS;
    if thread.task().has_tty_of(current!()) {
        of_process |= task_flags::INIT_TTY;
    }
    head.flags = (head.flags.get() | of_process).into();
    if of_process & (task_flags::GROUP_STOPPED | task_flags::STOP_WAITABLE) != 0 {
        head.stop_signal = stop_signal.into();
    }
    head.mm = crate::mm::checkpoint(ctx, thread)?.into();
    head.sighand = process_signal::checkpoint_actions(ctx, thread)?.into();
    emit_task(ctx, task, &mut head)?;
    emit_exit(ctx, task, &task.exit())?;
    creds::checkpoint(ctx, task)?;
    rlimits::checkpoint(ctx, thread)?;
    attr::checkpoint_of_process(ctx, thread)?;
    usage::checkpoint(ctx, task, leader.pids().tgid)?;
    let posix = timers::posix(ctx, thread)?;
    let itimers = process_signal::checkpoint_of_process(ctx, thread)?;
    timers::checkpoint(ctx, posix, itimers)
}

/// Saves a zombie.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, zombie: &Zombie) -> Result {
    let task = zombie.task();
    let exit = task.exit();
    let mut head = record(ctx, zombie, task_flags::ZOMBIE);
    emit_task(ctx, task, &mut head)?;
    emit_exit(ctx, task, &exit)?;
    creds::checkpoint(ctx, task)
}

/// Has the current task be what the zombie was that it becomes.
pub(crate) fn restart(rs: &mut Restart, part: &Part, newborn: &mut Newborn) -> Result {
    unshare_dumpable(newborn)?;
    if part.task.sid == part.task.pid {
        clone::new_session()?;
    }
    task::set_comm(&part.task.comm);
    task::set_forked(part.task.flags.get() & task_flags::FORKED != 0);
    restart_mask(rs, part)?;
    creds::restart_no_new_privs(rs, part)?;
    creds::restart(rs, part)
}

/// Has the current task block what the one blocked that it becomes.
pub(crate) fn restart_mask(rs: &Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let record = part.record(&meta, Kind::Exit)?;
    let exit: wire::Exit = record.head().map_err(|_| EINVAL)?;
    signal::set_masks(&Masks {
        blocked: exit.blocked.get() & !signal::unblockable(),
        saved: None,
    })
}

/// Puts on record of `task`, which has died, how it ended; called by init.
pub(crate) fn finish(rs: &Restart, part: &Part, task: &Task) -> Result {
    let meta = rs.image.meta();
    let record = part.record(&meta, Kind::Exit)?;
    let exit: wire::Exit = record.head().map_err(|_| EINVAL)?;
    // Should it be told again, or another parent.
    clone::set_exit_signal(task, part.task.exit_signal.get(), part.parent_changed());
    clone::set_exit(
        task,
        &Exit {
            status: exit.status.get(),
            own: from_wire(&exit.own),
            children: from_wire(&exit.children),
        },
        part.task.exit_signal.get(),
    );
    Ok(())
}
