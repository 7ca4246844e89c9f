// SPDX-License-Identifier: GPL-2.0-only

//! What tasks have used: CPU time, page faults, context switches, blocks of I/O.
//!
//! The figures go on where they were, for the job, for `RLIMIT_CPU`, and for all
//! that goes by CPU time; what it took to restore the job is not in them. Init
//! puts them on record when all tasks wait to be let go, before timers are armed.
//!
//! When a task was started, and what its I/O was beyond blocks, begins anew.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    image::record::{
        self as wire,
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
};
use kernel::{
    checkpoint::task::{
        self,
        TaskUsage,
        Usage, //
    },
    page::PAGE_SIZE,
    prelude::*,
    task::Task, //
};

/// Figures as the image has them.
pub(crate) fn to_wire(usage: &Usage) -> wire::Usage {
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

/// Figures of an image.
pub(crate) fn from_wire(usage: &wire::Usage) -> Usage {
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

/// Saves what a task has used that stands still or has exited.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, task: &Task) -> Result {
    let usage = task::usage(task);
    ctx.emit(
        Section::Tasks,
        Kind::TaskUsage,
        &wire::TaskUsage {
            own: to_wire(&usage.own),
            gone: to_wire(&usage.gone),
            children: to_wire(&usage.children),
            runtime_ns: usage.runtime.into(),
            gone_runtime_ns: usage.gone_runtime.into(),
            told_utime_ns: usage.told_utime.into(),
            told_stime_ns: usage.told_stime.into(),
            process_utime_ns: usage.process_utime.into(),
            process_stime_ns: usage.process_stime.into(),
        },
        &[],
    )
}

fn record(rs: &Restart, part: &Part) -> Result<wire::TaskUsage> {
    let meta = rs.image.meta();
    part.record(&meta, Kind::TaskUsage)?
        .head()
        .map_err(|_| EINVAL)
}

/// Sees that the CPU time of the process of a task can be counted.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let head = record(rs, part)?;
    let mut used = 0u64;
    for usage in [&head.own, &head.gone] {
        for time in [usage.utime_ns.get(), usage.stime_ns.get()] {
            used = used.saturating_add(time);
        }
    }
    let process = part.task.tgid.get();
    let mut cpu_time = rs.cpu_time.lock();
    let before = cpu_time.get(&process).copied().unwrap_or(0);
    let total = before.saturating_add(used);
    match cpu_time.get_mut(&process) {
        Some(time) => *time = total,
        None => {
            cpu_time.try_create_and_insert(process, total, GFP_KERNEL_ACCOUNT)?;
        }
    }
    drop(cpu_time);
    if total > i64::MAX as u64 {
        return Err(rs.report.error(
            Item {
                object: Object::Task,
                kind: "usage",
                name: b"",
                why: "its process has used more CPU time than can be counted",
                remedy: "",
            },
            EINVAL,
        ));
    }
    Ok(())
}

/// Puts on record what `task` has used, by init.
pub(crate) fn finish(rs: &Restart, part: &Part, task: &Task) -> Result {
    let head = record(rs, part)?;
    task::set_usage(
        task,
        &TaskUsage {
            own: from_wire(&head.own),
            gone: from_wire(&head.gone),
            children: from_wire(&head.children),
            runtime: head.runtime_ns.get(),
            gone_runtime: head.gone_runtime_ns.get(),
            told_utime: head.told_utime_ns.get(),
            told_stime: head.told_stime_ns.get(),
            process_utime: head.process_utime_ns.get(),
            process_stime: head.process_stime_ns.get(),
        },
    );
    Ok(())
}
