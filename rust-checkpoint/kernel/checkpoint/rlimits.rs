// SPDX-License-Identifier: GPL-2.0-only

//! Resource limits, of a process.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
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
    task::still, //
};
use kernel::{
    checkpoint::{
        attr::{
            self,
            Rlimit,
            RLIMITS, //
        },
        task::Still, //
    },
    prelude::*, //
};
use zerocopy::IntoBytes;

/// Saves the limits of the process that a task leads.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let mut tail = KVec::new();
    for limit in attr::rlimits(&still(frozen)?) {
        let limit = wire::Rlimit {
            cur: (limit.rlim_cur as u64).into(),
            max: (limit.rlim_max as u64).into(),
        };
        tail.extend_from_slice(limit.as_bytes(), GFP_KERNEL)?;
    }
    ctx.emit(Section::Tasks, Kind::Rlimits, &(), &[&tail])
}

fn from_wire(limit: &wire::Rlimit) -> Rlimit {
    Rlimit {
        rlim_cur: limit.cur.get() as usize,
        rlim_max: limit.max.get() as usize,
    }
}

/// Sets the limits of the current process. It may have more than some of them allow: those are
/// only raised, see [`finish`].
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let limits = part
        .record(&meta, Kind::Rlimits)?
        .array::<wire::Rlimit>()
        .map_err(|_| EINVAL)?;
    let own = attr::own_rlimits();
    for (resource, limit) in limits.iter().enumerate() {
        let mut limit = from_wire(limit);
        if let Some(own) = own.get(resource).filter(|_| attr::is_for_later(resource)) {
            limit.rlim_cur = limit.rlim_cur.max(own.rlim_cur);
            limit.rlim_max = limit.rlim_max.max(own.rlim_max);
        }
        // One that a later kernel has: without a limit, it is not missed.
        if resource >= RLIMITS && limit.rlim_cur == usize::MAX {
            continue;
        }
        check(rs, resource, attr::set_own_rlimit(resource, &limit))?;
    }
    Ok(())
}

fn check(rs: &mut Restart, resource: usize, ret: Result) -> Result {
    ret.map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind: "rlimit",
                name: name(resource),
                why: match e {
                    e if e == EPERM => "init may not give it so high a limit",
                    _ => "the limit could not be set",
                },
                remedy: "raise the hard limit of init",
            },
            e,
        )
    })
}

/// Lowers those limits of a process that has not been to user mode which [`restart`] has left as
/// high as those of init; called by init.
pub(crate) fn finish(rs: &mut Restart, part: &Part, task: &Still<'_>) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let record = part.record(&meta, Kind::Rlimits)?;
    let limits = record.array::<wire::Rlimit>().map_err(|_| EINVAL)?;
    for (resource, limit) in limits.iter().enumerate().take(RLIMITS) {
        if attr::is_for_later(resource) {
            check(
                rs,
                resource,
                attr::set_rlimit(task, resource, &from_wire(limit)),
            )?;
        }
    }
    Ok(())
}

fn name(resource: usize) -> &'static [u8] {
    const NAMES: [&[u8]; RLIMITS] = [
        b"RLIMIT_CPU",
        b"RLIMIT_FSIZE",
        b"RLIMIT_DATA",
        b"RLIMIT_STACK",
        b"RLIMIT_CORE",
        b"RLIMIT_RSS",
        b"RLIMIT_NPROC",
        b"RLIMIT_NOFILE",
        b"RLIMIT_MEMLOCK",
        b"RLIMIT_AS",
        b"RLIMIT_LOCKS",
        b"RLIMIT_SIGPENDING",
        b"RLIMIT_MSGQUEUE",
        b"RLIMIT_NICE",
        b"RLIMIT_RTPRIO",
        b"RLIMIT_RTTIME",
    ];
    NAMES.get(resource).copied().unwrap_or(b"unknown")
}
