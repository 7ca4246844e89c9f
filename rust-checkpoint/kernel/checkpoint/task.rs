// SPDX-License-Identifier: GPL-2.0-only

//! Tasks: the registry of what a task consists of.
//!
//! Each resource of a task is a module with `checkpoint(ctx, frozen)`, called
//! by init while the task stands still, and `restart(rs, part)`, called by the
//! restored task itself. This file says in which order.

use crate::{
    arch,
    checkpoint::{
        Checkpoint,
        Section, //
    },
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
};
use kernel::{
    checkpoint::{
        clone,
        task::TaskExt, //
    },
    prelude::*,
};

/// Saves a task that stands still.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let task = frozen.task();
    let pids = frozen.pids();
    let init = current!().pids_in(&ctx.ns);

    // Own, that of init, or one whose leader is not in the job.
    let mut group = |is: i32, of_init: i32, kind: &'static str, why| {
        if is == pids.pid {
            is
        } else {
            if is != of_init {
                ctx.report.refuse(Item {
                    object: Object::Task,
                    kind,
                    name: b"",
                    why,
                    remedy: "start the job with setsid",
                });
            }
            0
        }
    };
    let pgid = group(
        pids.pgid,
        init.pgid,
        "pgid",
        "its process group is that of a process which is not in the job",
    );
    let sid = group(
        pids.sid,
        init.sid,
        "sid",
        "its session is that of a process which is not in the job",
    );

    let mm = mm::checkpoint(ctx, frozen)?;
    let files = files::checkpoint_table(ctx, frozen)?;
    let fs = fs::checkpoint(ctx, frozen)?;
    let sighand = 0;

    let mut flags = 0;
    if frozen.is_stopped() {
        flags |= task_flags::STOPPED;
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
            exit_signal: 17.into(),
            mm: mm.into(),
            files: files.into(),
            fs: fs.into(),
            sighand: sighand.into(),
            flags: flags.into(),
            stop_signal: 0.into(),
            comm: task.comm(),
        },
        &[],
    )?;
    arch::checkpoint_thread(ctx, frozen)
}

/// Rebuilds the current task.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let task = &part.task;
    if task.sid.get() == task.pid.get() {
        clone::new_session()?;
    } else if task.pgid.get() == task.pid.get() {
        clone::new_process_group()?;
    }
    mm::restart(rs, part)?;
    arch::restart_own(rs, part)?;
    files::restart_table(rs, part)?;
    fs::restart(rs, part)?;
    Ok(())
}
