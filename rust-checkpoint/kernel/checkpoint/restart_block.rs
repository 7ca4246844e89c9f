// SPDX-License-Identifier: GPL-2.0-only

//! How the system call goes on that a task was in when it was frozen.
//!
//! Time-outs are saved as the time that was left, and begin anew on the clocks
//! of this boot when the job is let go. The wall clock is the same everywhere:
//! what waits for a time of day goes on to wait for that.
//!
//! Refused: system calls that go on in a way that is not known here.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::record::{
        self as wire,
        restart_kind,
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
    task::still,
};
use kernel::{
    checkpoint::{
        restart_block::{
            self,
            Call,
            Clock,
            Expiry,
            Remaining,
            RestartBlock,
            Wait, //
        },
        task::{
            Clocks,
            WCHAN_LEN, //
        },
    },
    prelude::*,
};

/// What a clock shows, ns.
pub(crate) fn now(clocks: &Clocks, clock: Clock) -> i64 {
    match clock {
        Clock::Realtime => clocks.realtime,
        Clock::Monotonic => clocks.monotonic,
        Clock::Boottime => clocks.boottime,
        Clock::Tai => clocks.tai,
    }
}

/// What a clock has to be taken to show when the job is let go, so that what was left of a
/// time-out is left: what it does show, but a time of day stays one.
pub(crate) fn begin(job: &wire::Job, clocks: &Clocks, clock: Clock) -> i64 {
    let then = i64::try_from(job.realtime_ns.get()).unwrap_or(i64::MAX);
    match clock {
        Clock::Realtime => then,
        Clock::Tai => then.saturating_add(clocks.tai.saturating_sub(clocks.realtime)),
        clock => now(clocks, clock),
    }
}

/// Saves how the system call of a task goes on.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let mut name = [0; WCHAN_LEN];
    let block = match restart_block::of(&still(frozen)?, &mut name) {
        Ok(block) => block,
        Err(name) => {
            ctx.report.refuse(Item {
                object: Object::Task,
                kind: "restart-block",
                name,
                why: "the system call it is in goes on in a way that is not supported yet",
                remedy: "try again when it is done",
            });
            return Ok(());
        }
    };
    let mut head = wire::RestartBlock {
        kind: restart_kind::NONE.into(),
        word: 0.into(),
        uptr: 0.into(),
        flags: 0.into(),
        bitset: 0.into(),
        timed: 0.into(),
        clock: 0.into(),
        left_ns: 0.into(),
        compat: u32::from(block.compat).into(),
        reserved: 0.into(),
        uptr2: 0.into(),
    };
    let expiry = match block.call {
        Call::None => None,
        Call::Nanosleep { remaining, expiry } => {
            head.kind = restart_kind::NANOSLEEP.into();
            head.word = (expiry.clock as u32).into();
            put_remaining(&mut head, remaining);
            Some(expiry)
        }
        Call::Alarm { remaining, expiry } => {
            head.kind = restart_kind::ALARM.into();
            put_remaining(&mut head, remaining);
            Some(expiry)
        }
        Call::Cpu {
            which,
            remaining,
            left,
        } => {
            head.kind = restart_kind::CPU.into();
            head.word = which.into();
            put_remaining(&mut head, remaining);
            head.left_ns = u64::try_from(left).unwrap_or(0).into();
            None
        }
        Call::Again { nr, expiry } => {
            head.kind = restart_kind::CALL.into();
            head.word = nr.into();
            Some(expiry)
        }
        Call::Poll { fds, count, expiry } => {
            head.kind = restart_kind::POLL.into();
            head.uptr = (fds as u64).into();
            head.word = count.into();
            expiry
        }
        Call::Futex {
            word,
            value,
            flags,
            bitset,
            expiry,
        } => {
            head.kind = restart_kind::FUTEX.into();
            head.uptr = (word as u64).into();
            head.word = value.into();
            head.flags = flags.into();
            head.bitset = bitset.into();
            expiry
        }
        Call::Wait {
            what,
            id,
            uptr,
            uptr2,
            count,
            size,
            expiry,
        } => {
            head.kind = match what {
                Wait::Epoll => restart_kind::EPOLL,
                Wait::Sem => restart_kind::SEM,
                Wait::Signal => restart_kind::SIGWAIT,
            }
            .into();
            head.word = id.into();
            head.uptr = (uptr as u64).into();
            head.uptr2 = (uptr2 as u64).into();
            head.flags = count.into();
            head.bitset = size.into();
            Some(expiry)
        }
    };
    if let Some(expiry) = expiry {
        let left = expiry.at.saturating_sub(now(&ctx.clocks, expiry.clock));
        head.timed = 1.into();
        head.clock = (expiry.clock as u32).into();
        head.left_ns = u64::try_from(left).unwrap_or(0).into();
    }
    ctx.emit(Section::Tasks, Kind::RestartBlock, &head, &[])
}

fn put_remaining(head: &mut wire::RestartBlock, remaining: Remaining) {
    let (flags, uptr) = match remaining {
        Remaining::None => (0, 0),
        Remaining::Native(at) => (1, at as u64),
        Remaining::Compat(at) => (2, at as u64),
    };
    head.flags = flags.into();
    head.uptr = uptr.into();
}

fn remaining(head: &wire::RestartBlock) -> Result<Remaining> {
    let uptr = head.uptr.get() as usize;
    match head.flags.get() {
        0 => Ok(Remaining::None),
        1 => Ok(Remaining::Native(uptr)),
        2 => Ok(Remaining::Compat(uptr)),
        _ => Err(EINVAL),
    }
}

/// Has the system call of the current task go on; at the last moment, for time
/// is short.
pub(crate) fn release(rs: &Restart, part: &Part) -> Result {
    let meta = rs.image.meta();
    let head: wire::RestartBlock = part
        .record(&meta, Kind::RestartBlock)?
        .head()
        .map_err(|_| EINVAL)?;
    restart_block::set(&block(rs, &head)?)
}

/// What the record says, from now on.
fn block(rs: &Restart, head: &wire::RestartBlock) -> Result<RestartBlock> {
    let uptr = head.uptr.get() as usize;
    let expiry = if head.timed.get() == 0 {
        None
    } else {
        let clock = Clock::from_id(head.clock.get() as i32).ok_or(EINVAL)?;
        let from = begin(&rs.job, &Clocks::now(), clock);
        let left = i64::try_from(head.left_ns.get()).unwrap_or(i64::MAX);
        Some(Expiry {
            clock,
            at: from.saturating_add(left),
        })
    };
    let call = match head.kind.get() {
        restart_kind::NONE => Call::None,
        restart_kind::NANOSLEEP => Call::Nanosleep {
            remaining: remaining(head)?,
            expiry: expiry.ok_or(EINVAL)?,
        },
        restart_kind::ALARM => Call::Alarm {
            remaining: remaining(head)?,
            expiry: expiry.ok_or(EINVAL)?,
        },
        restart_kind::CPU => Call::Cpu {
            which: head.word.get(),
            remaining: remaining(head)?,
            left: i64::try_from(head.left_ns.get()).unwrap_or(i64::MAX),
        },
        restart_kind::CALL => Call::Again {
            nr: head.word.get(),
            expiry: expiry.ok_or(EINVAL)?,
        },
        restart_kind::POLL => Call::Poll {
            fds: uptr,
            count: head.word.get(),
            expiry,
        },
        restart_kind::FUTEX => Call::Futex {
            word: uptr,
            value: head.word.get(),
            flags: head.flags.get(),
            bitset: head.bitset.get(),
            expiry,
        },
        kind => Call::Wait {
            what: match kind {
                restart_kind::EPOLL => Wait::Epoll,
                restart_kind::SEM => Wait::Sem,
                restart_kind::SIGWAIT => Wait::Signal,
                _ => return Err(EINVAL),
            },
            id: head.word.get(),
            uptr,
            uptr2: head.uptr2.get() as usize,
            count: head.flags.get(),
            size: head.bitset.get(),
            expiry: expiry.ok_or(EINVAL)?,
        },
    };
    Ok(RestartBlock {
        call,
        compat: head.compat.get() != 0,
    })
}

/// Sees that [`release`] will not fail. It is before the task gets its credentials.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    release(rs, part)?;
    let head: wire::RestartBlock = part
        .record(&rs.image.meta(), Kind::RestartBlock)?
        .head()
        .map_err(|_| EINVAL)?;
    if head.kind.get() == restart_kind::ALARM && !restart_block::may_wake() {
        return Err(rs.report.error(
            Item {
                object: Object::Task,
                kind: "restart-block",
                name: b"clock_nanosleep",
                why: "it sleeps on a clock that wakes the machine, which init may not use",
                remedy: "restart with CAP_WAKE_ALARM on a machine with a real-time clock",
            },
            EPERM,
        ));
    }
    Ok(())
}
