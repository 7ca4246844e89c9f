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
    creds,
    files,
    freeze::Frozen,
    fs,
    image::record::{
        self as wire,
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
    signal,
    user_ptrs, //
};
use kernel::{
    checkpoint::{
        clone,
        task::{
            self,
            TaskExt, //
        },
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
    let sighand = signal::checkpoint_actions(ctx, frozen)?;
    let (flags, stop_signal) = signal::checkpoint_stop(frozen)?;
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
            mm: mm.into(),
            files: files.into(),
            fs: fs.into(),
            sighand: sighand.into(),
            flags: flags.into(),
            stop_signal: stop_signal.into(),
            comm: task.comm(),
        },
        &[],
    )?;
    arch::checkpoint_thread(ctx, frozen)?;
    signal::checkpoint(ctx, frozen)?;
    creds::checkpoint(ctx, frozen)?;
    restart_block::checkpoint(ctx, frozen)?;
    user_ptrs::checkpoint(ctx, frozen)
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
    task::set_comm(&part.task.comm);
    signal::restart_actions(rs, part)?;
    signal::restart(rs, part)?;
    user_ptrs::restart(rs, part)?;
    restart_block::restart(rs, part)?;
    // What comes first may need the rights of init, what follows must not.
    creds::restart(rs, part)?;
    signal::restart_pending(rs, part)?;
    signal::restart_stop(part)
}

/// What the current task gets when it is certain that the job runs: that which
/// would be visible if it were killed before, and what depends on the time.
pub(crate) fn release(rs: &Restart, part: &Part) -> Result {
    restart_block::release(rs, part)?;
    user_ptrs::release(rs, part)
}
