// SPDX-License-Identifier: GPL-2.0-only

//! Scheduling: policy, priority, utilization clamps, the CPUs a task asked for, and
//! the nodes its memory comes from.
//!
//! Set through the own code of sched_setattr(2), sched_setaffinity(2) and
//! set_mempolicy(2), with the rights of init. Refused at restart: CPUs of which there
//! is none here, nodes of which one is not.

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
            Kind, //
        },
    },
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    task::still,
};
use kernel::{
    checkpoint::attr::{
        self,
        NumaPolicy,
        SchedAttr, //
    },
    prelude::*,
};
use zerocopy::little_endian::U64;

/// Saves how a task is scheduled.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let sched = attr::sched(frozen.task());
    let mut cpus = KVec::new();
    for word in attr::affinity(frozen.task())?.unwrap_or_default() {
        cpus.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL)?;
    }
    ctx.emit(
        Section::Tasks,
        Kind::Sched,
        &wire::Sched {
            policy: sched.sched_policy.into(),
            nice: sched.sched_nice.into(),
            priority: sched.sched_priority.into(),
            flags: (sched.sched_flags as u32).into(),
            runtime: sched.sched_runtime.into(),
            deadline: sched.sched_deadline.into(),
            period: sched.sched_period.into(),
            util_min: sched.sched_util_min.into(),
            util_max: sched.sched_util_max.into(),
        },
        &[&cpus],
    )?;
    let numa = attr::numa_policy(&still(frozen)?)?;
    if numa.policy.mode != wire::MPOL_DEFAULT {
        emit_policy(ctx, Section::Tasks, Kind::NumaPolicy, &numa)?;
    }
    Ok(())
}

/// Saves a NUMA policy as a record of this kind.
pub(crate) fn emit_policy(
    ctx: &mut Checkpoint,
    section: Section,
    kind: Kind,
    numa: &NumaPolicy,
) -> Result {
    let mut nodes = KVec::new();
    for word in &numa.nodes {
        nodes.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL)?;
    }
    ctx.emit(
        section,
        kind,
        &wire::NumaPolicy {
            mode: numa.policy.mode.into(),
            flags: numa.policy.flags.into(),
            home_node: numa.policy.home_node.into(),
            reserved: 0.into(),
        },
        &[&nodes],
    )
}

/// The NUMA policy of a record.
pub(crate) fn policy(record: &Record<'_>) -> Result<NumaPolicy> {
    let head: wire::NumaPolicy = record.head().map_err(|_| EINVAL)?;
    let mut nodes = KVec::new();
    for word in record.array::<U64>().map_err(|_| EINVAL)? {
        nodes.push(word.get(), GFP_KERNEL)?;
    }
    Ok(NumaPolicy::of(
        head.mode.get(),
        head.flags.get(),
        head.home_node.get(),
        nodes,
    ))
}

/// Has the current task scheduled as it was.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let record = part.record(&meta, Kind::Sched)?;
    let head: wire::Sched = record.head().map_err(|_| EINVAL)?;
    let mut refused = |kind: &'static str, why: &'static str, remedy: &'static str, e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy,
            },
            e,
        )
    };

    let words = record.array::<U64>().map_err(|_| EINVAL)?;
    let mut cpus = KVec::with_capacity(words.len(), GFP_KERNEL)?;
    for word in words {
        cpus.push(word.get(), GFP_KERNEL)?;
    }
    attr::set_affinity((!cpus.is_empty()).then_some(&cpus)).map_err(|e| {
        refused(
            "affinity",
            "it is bound to CPUs of which none can be used here",
            "restart on a machine with these CPUs, or widen the cpuset",
            e,
        )
    })?;

    // A nice value is kept for later by those that do not use it.
    let nice = SchedAttr {
        sched_nice: head.nice.get(),
        ..Default::default()
    };
    let is = SchedAttr {
        sched_policy: head.policy.get(),
        sched_flags: head.flags.get().into(),
        sched_nice: head.nice.get(),
        sched_priority: head.priority.get(),
        sched_runtime: head.runtime.get(),
        sched_deadline: head.deadline.get(),
        sched_period: head.period.get(),
        sched_util_min: head.util_min.get(),
        sched_util_max: head.util_max.get(),
        ..Default::default()
    };
    attr::reset_clamps()
        .and_then(|()| attr::set_sched(&nice))
        .and_then(|()| attr::set_sched(&is))
        .map_err(|e| {
            refused(
                "sched",
                match e {
                    e if e == EOPNOTSUPP => "this kernel has no utilization clamps",
                    _ => "init may not schedule it as it was, or there is not the CPU time",
                },
                "see RLIMIT_NICE, RLIMIT_RTPRIO and CAP_SYS_NICE",
                e,
            )
        })
}

/// Has the current task get its memory from the nodes it had it from: before there are
/// pages, or objects of the kernel, that are its own.
pub(crate) fn restart_nodes(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let numa = match part.records(&meta).find(|r| r.kind == Kind::NumaPolicy) {
        Some(record) => policy(&record)?,
        None => NumaPolicy::none(),
    };
    attr::set_numa_policy(&numa).map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind: "mempolicy",
                name: b"",
                why: "its NUMA policy names nodes that are not there, or may not be used here",
                remedy: "restart on a machine with these nodes, or widen the cpuset",
            },
            e,
        )
    })
}
