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

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    creds,
    freeze::Zombie,
    image::record::{
        self as wire,
        task_flags,
        Kind, //
    },
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    task::groups, //
};
use kernel::{
    checkpoint::{
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
            TaskExt,
            Usage, //
        },
    },
    page::PAGE_SIZE,
    prelude::*,
    task::Task, //
};

fn to_wire(usage: &Usage) -> wire::Usage {
    wire::Usage {
        utime_ns: usage.utime.into(),
        stime_ns: usage.stime.into(),
        gtime_ns: usage.gtime.into(),
        min_flt: usage.min_flt.into(),
        maj_flt: usage.maj_flt.into(),
        nvcsw: usage.nvcsw.into(),
        nivcsw: usage.nivcsw.into(),
        inblock: usage.inblock.into(),
        oublock: usage.oublock.into(),
        maxrss: usage.maxrss.saturating_mul(PAGE_SIZE as u64).into(),
    }
}

fn from_wire(usage: &wire::Usage) -> Usage {
    Usage {
        utime: usage.utime_ns.get(),
        stime: usage.stime_ns.get(),
        gtime: usage.gtime_ns.get(),
        min_flt: usage.min_flt.get(),
        maj_flt: usage.maj_flt.get(),
        nvcsw: usage.nvcsw.get(),
        nivcsw: usage.nivcsw.get(),
        inblock: usage.inblock.get(),
        oublock: usage.oublock.get(),
        maxrss: usage.maxrss.get() / PAGE_SIZE as u64,
    }
}

/// Saves a zombie.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, zombie: &Zombie) -> Result {
    let (task, pids) = (zombie.task(), zombie.pids());
    let exit = task.exit();
    if exit.nested {
        ctx.report.refuse(Item {
            object: Object::Task,
            kind: "pid-ns",
            name: b"",
            why: "it has exited in a pid namespace of its own, and was not waited for",
            remedy: "let its parent wait(2) for it",
        });
    }
    let (pgid, sid) = groups(ctx, pids);
    let mut flags = task_flags::ZOMBIE;
    if task.is_forked() {
        flags |= task_flags::FORKED;
    }
    ctx.emit(
        Section::Tasks,
        Kind::Task,
        &wire::Task {
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
            flags: flags.into(),
            stop_signal: 0.into(),
            comm: task.comm(),
        },
        &[],
    )?;
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
    )?;
    creds::checkpoint(ctx, task)
}

/// Has the current task be what the zombie was that it becomes.
pub(crate) fn restart(rs: &mut Restart, part: &Part, _newborn: &mut Newborn) -> Result {
    if part.task.sid == part.task.pid {
        clone::new_session()?;
    }
    task::set_comm(&part.task.comm);
    task::set_forked(part.task.flags.get() & task_flags::FORKED != 0);
    let image = rs.image.clone();
    let meta = image.meta();
    let record = part.record(&meta, Kind::Exit)?;
    let exit: wire::Exit = record.head().map_err(|_| EINVAL)?;
    signal::set_masks(&Masks {
        blocked: exit.blocked.get() & !signal::unblockable(),
        saved: None,
    })?;
    creds::restart(rs, part)
}

/// Puts on record of `task`, which has died, how it ended; called by init.
pub(crate) fn finish(rs: &Restart, part: &Part, task: &Task) -> Result {
    let meta = rs.image.meta();
    let record = part.record(&meta, Kind::Exit)?;
    let exit: wire::Exit = record.head().map_err(|_| EINVAL)?;
    clone::set_exit(
        task,
        &Exit {
            status: exit.status.get(),
            nested: false,
            own: from_wire(&exit.own),
            children: from_wire(&exit.children),
        },
        part.task.exit_signal.get(),
    );
    Ok(())
}
