// SPDX-License-Identifier: GPL-2.0-only

//! What tasks have used: CPU time, page faults, context switches, blocks of I/O.
//!
//! The figures go on where they were, for the job, for `RLIMIT_CPU`, and for all
//! that goes by CPU time; what it took to restore the job is not in them. Init
//! puts them on record when all tasks wait to be let go, before timers are armed.
//!
//! When a task was started, and what its I/O was beyond blocks, begins anew.
//!
//! The kernel adds up the CPU time of a process, and divides by that. So the sums are
//! bounded: in a record by the checks of the image, in a process here. An honest
//! process that comes near to it, with 292 years, is refused when it is saved.

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
    checkpoint::{
        gfp,
        task::{
            self,
            TaskUsage,
            Usage, //
        },
    },
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTree,
    task::Task, //
};

/// CPU time of processes, by their pids.
pub(crate) type CpuTimes = RBTree<i32, CpuTime>;

/// CPU time of a process, ns.
#[derive(Clone, Copy, Default)]
pub(crate) struct CpuTime {
    /// As it was sampled, in user mode and in the kernel.
    sampled: u64,
    /// As it was measured.
    measured: u64,
}

impl CpuTime {
    /// Adds that of a task and of what its record says of others; whether it can be counted.
    fn add(&mut self, head: &wire::TaskUsage) -> bool {
        for usage in [&head.own, &head.gone] {
            for time in [usage.utime_ns.get(), usage.stime_ns.get()] {
                self.sampled = self.sampled.saturating_add(time);
            }
        }
        for time in [head.runtime_ns.get(), head.gone_runtime_ns.get()] {
            self.measured = self.measured.saturating_add(time);
        }
        self.sampled.max(self.measured) <= LIMIT
    }
}

/// The most CPU time that is counted.
const LIMIT: u64 = i64::MAX as u64;

/// Adds to the CPU time of process `tgid` that of a task of it; whether it can be counted.
fn count(times: &mut CpuTimes, tgid: i32, head: &wire::TaskUsage) -> Result<bool> {
    if let Some(time) = times.get_mut(&tgid) {
        return Ok(time.add(head));
    }
    let mut time = CpuTime::default();
    let ok = time.add(head);
    times.try_create_and_insert(tgid, time, gfp())?;
    Ok(ok)
}

/// Why it can't be.
fn too_much() -> Item<'static> {
    Item {
        object: Object::Task,
        kind: "usage",
        name: b"",
        why: "its process has used more CPU time than can be counted",
        remedy: "",
    }
}

/// Figures as the image has them.
pub(crate) fn to_wire(usage: &Usage) -> wire::Usage {
    let utime = usage.utime.min(LIMIT);
    wire::Usage {
        utime_ns: utime.into(),
        stime_ns: usage.stime.min(LIMIT - utime).into(),
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

/// Saves what a task of process `tgid` has used that stands still or has exited.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, task: &Task, tgid: i32) -> Result {
    let usage = task::usage(task);
    let head = wire::TaskUsage {
        own: to_wire(&usage.own),
        gone: to_wire(&usage.gone),
        children: to_wire(&usage.children),
        runtime_ns: usage.runtime.into(),
        gone_runtime_ns: usage.gone_runtime.into(),
        told_utime_ns: usage.told_utime.into(),
        told_stime_ns: usage.told_stime.into(),
        process_utime_ns: usage.process_utime.into(),
        process_stime_ns: usage.process_stime.into(),
    };
    if !count(&mut ctx.cpu_times, tgid, &head)? {
        ctx.report.refuse(too_much());
    }
    ctx.emit(Section::Tasks, Kind::TaskUsage, &head, &[])
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
    let counts = count(&mut rs.cpu_times.lock(), part.task.tgid.get(), &head)?;
    match counts {
        true => Ok(()),
        false => Err(rs.report.error(too_much(), EINVAL)),
    }
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
