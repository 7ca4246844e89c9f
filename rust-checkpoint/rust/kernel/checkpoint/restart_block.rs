// SPDX-License-Identifier: GPL-2.0-only

//! How interrupted system calls go on (`restart_syscall(2)`).
//!
//! C header: [`include/linux/restart_block.h`](srctree/include/linux/restart_block.h)

use super::task::{
    symbol,
    Still,
    WCHAN_LEN, //
};
use crate::{
    bindings,
    prelude::*, //
};

/// Where the time left of a sleep is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remaining {
    /// Nowhere.
    None,
    /// To a `struct __kernel_timespec`.
    Native(usize),
    /// To a `struct old_timespec32`.
    Compat(usize),
}

impl Remaining {
    fn of(c: &bindings::checkpoint_restart_block) -> Self {
        match c.flags {
            bindings::timespec_type_TT_NATIVE => Remaining::Native(c.uptr),
            bindings::timespec_type_TT_COMPAT => Remaining::Compat(c.uptr),
            _ => Remaining::None,
        }
    }

    /// What [`Remaining::of`] reads; `EINVAL` where no system call writes such a time.
    fn put(self, c: &mut bindings::checkpoint_restart_block) -> Result {
        if matches!(self, Remaining::Compat(_)) && !cfg!(CONFIG_COMPAT_32BIT_TIME) {
            return Err(EINVAL);
        }
        (c.flags, c.uptr) = match self {
            Remaining::None => (bindings::timespec_type_TT_NONE, 0),
            Remaining::Native(at) => (bindings::timespec_type_TT_NATIVE, at as c_ulong),
            Remaining::Compat(at) => (bindings::timespec_type_TT_COMPAT, at as c_ulong),
        };
        Ok(())
    }
}

/// A clock of time-outs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Clock {
    /// CLOCK_REALTIME.
    Realtime = bindings::CLOCK_REALTIME as i32,
    /// CLOCK_MONOTONIC.
    Monotonic = bindings::CLOCK_MONOTONIC as i32,
    /// CLOCK_BOOTTIME.
    Boottime = bindings::CLOCK_BOOTTIME as i32,
    /// CLOCK_TAI.
    Tai = bindings::CLOCK_TAI as i32,
}

impl Clock {
    /// All of them.
    pub const ALL: [Clock; 4] = [
        Clock::Realtime,
        Clock::Monotonic,
        Clock::Boottime,
        Clock::Tai,
    ];

    /// The clock with this CLOCK_* number.
    pub fn from_id(id: i32) -> Option<Clock> {
        Self::ALL.iter().copied().find(|c| *c as i32 == id)
    }
}

/// The end of a time-out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// The clock.
    pub clock: Clock,
    /// What it will show, ns, without the offset of a time namespace.
    pub at: i64,
}

/// What a wait of [`Call::Wait`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2).
    Epoll,
    /// semtimedop(2).
    Sem,
    /// rt_sigtimedwait(2).
    Signal,
}

/// A system call to go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// None: the call gives EINTR.
    None,
    /// nanosleep(2), clock_nanosleep(2).
    Nanosleep {
        /// Where the time left goes.
        remaining: Remaining,
        /// Its end.
        expiry: Expiry,
    },
    /// clock_nanosleep(2) on CLOCK_REALTIME_ALARM or CLOCK_BOOTTIME_ALARM.
    Alarm {
        /// Where the time left goes.
        remaining: Remaining,
        /// Its end, on CLOCK_REALTIME or CLOCK_BOOTTIME.
        expiry: Expiry,
    },
    /// clock_nanosleep(2) on CPU time of the process.
    Cpu {
        /// CPUCLOCK_*.
        which: u32,
        /// Where the time left goes.
        remaining: Remaining,
        /// Time that is left, ns.
        left: i64,
    },
    /// A system call that is called again as it was, until the same time.
    Again {
        /// Its number.
        nr: u32,
        /// Its end on CLOCK_MONOTONIC.
        expiry: Expiry,
    },
    /// poll(2).
    Poll {
        /// Address of the descriptors.
        fds: usize,
        /// How many there are.
        count: u32,
        /// Its end on CLOCK_MONOTONIC.
        expiry: Option<Expiry>,
    },
    /// FUTEX_WAIT, FUTEX_WAIT_BITSET, futex_wait(2).
    Futex {
        /// Address of the word.
        word: usize,
        /// What it held.
        value: u32,
        /// FUTEX2_* flags.
        flags: u32,
        /// Who may wake it.
        bitset: u32,
        /// Its end.
        expiry: Option<Expiry>,
    },
    /// A wait that goes on with the arguments that it had.
    Wait {
        /// For what.
        what: Wait,
        /// Descriptor or id.
        id: u32,
        /// Address of the events, operations or signals.
        uptr: usize,
        /// Address of the signal mask or siginfo.
        uptr2: usize,
        /// Number of events or operations.
        count: u32,
        /// Size of the signal mask.
        size: u32,
        /// Its end on CLOCK_MONOTONIC.
        expiry: Expiry,
    },
}

/// The kinds of [`Wait`] in C.
const WAITS: [(Wait, bindings::checkpoint_restart_kind); 3] = [
    (
        Wait::Epoll,
        bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_EPOLL,
    ),
    (
        Wait::Sem,
        bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_SEM,
    ),
    (
        Wait::Signal,
        bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_SIGWAIT,
    ),
];

/// The restart block of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartBlock {
    /// What goes on.
    pub call: Call,
    /// It was an ia32 system call.
    pub compat: bool,
}

/// The restart block of a task. When it is of a kind that is not known, the error
/// is the name of its function, written to `name`.
pub fn of<'a>(task: &Still<'_>, name: &'a mut [u8; WCHAN_LEN]) -> Result<RestartBlock, &'a [u8]> {
    let mut c = bindings::checkpoint_restart_block::default();
    // SAFETY: the task is alive, and does not run.
    unsafe { bindings::checkpoint_get_restart_block(task.as_ptr(), &mut c) };

    let expiry = match (c.timed, Clock::from_id(c.clock)) {
        (false, _) => None,
        (true, Some(clock)) => Some(Expiry {
            clock,
            at: c.expires,
        }),
        (true, None) => return Err(b"clock"),
    };
    let call = match (c.kind, expiry) {
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_NONE, _) => Call::None,
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_NANOSLEEP, Some(expiry)) => {
            Call::Nanosleep {
                remaining: Remaining::of(&c),
                expiry,
            }
        }
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_ALARM, Some(expiry)) => Call::Alarm {
            remaining: Remaining::of(&c),
            expiry,
        },
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_CPU, _) => Call::Cpu {
            which: c.word,
            remaining: Remaining::of(&c),
            left: c.expires,
        },
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_CALL, Some(expiry)) => {
            Call::Again { nr: c.word, expiry }
        }
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_POLL, expiry) => Call::Poll {
            fds: c.uptr,
            count: c.word,
            expiry,
        },
        (bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_FUTEX, expiry) => Call::Futex {
            word: c.uptr,
            value: c.word,
            flags: c.flags & !bindings::FUTEX_CLOCK_REALTIME,
            bitset: c.bitset,
            expiry,
        },
        (kind, Some(expiry)) if WAITS.iter().any(|w| w.1 == kind) => Call::Wait {
            what: WAITS
                .iter()
                .find(|w| w.1 == kind)
                .map_or(Wait::Signal, |w| w.0),
            id: c.word,
            uptr: c.uptr,
            uptr2: c.uptr2,
            count: c.flags,
            size: c.bitset,
            expiry,
        },
        _ => return Err(symbol(c.fn_, name)),
    };
    Ok(RestartBlock {
        call,
        compat: c.compat,
    })
}

/// Whether the current task may have [`Call::Alarm`], on this machine.
pub fn may_wake() -> bool {
    // SAFETY: looks at the current task and the clocks of the machine.
    unsafe { bindings::checkpoint_may_wake() }
}

/// Flags of a futex that can be waited on.
const FUTEX_FLAGS: u32 = bindings::FUTEX2_SIZE_MASK
    | bindings::FUTEX2_NUMA
    | bindings::FUTEX2_MPOL
    | bindings::FUTEX2_PRIVATE;

/// Says how the system call goes on that the current task goes back to; `EINVAL`
/// for what no system call could have left behind.
pub fn set(block: &RestartBlock) -> Result {
    let mut c = bindings::checkpoint_restart_block {
        compat: block.compat,
        ..Default::default()
    };
    let expiry = match block.call {
        Call::None => {
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_NONE;
            None
        }
        Call::Nanosleep { remaining, expiry } => {
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_NANOSLEEP;
            remaining.put(&mut c)?;
            Some(expiry)
        }
        Call::Alarm { remaining, expiry } => {
            if !matches!(expiry.clock, Clock::Realtime | Clock::Boottime) {
                return Err(EINVAL);
            }
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_ALARM;
            remaining.put(&mut c)?;
            Some(expiry)
        }
        Call::Cpu {
            which,
            remaining,
            left,
        } => {
            if which >= bindings::CPUCLOCK_MAX {
                return Err(EINVAL);
            }
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_CPU;
            c.word = which;
            remaining.put(&mut c)?;
            Some(Expiry {
                clock: Clock::Monotonic,
                at: left,
            })
        }
        Call::Again { nr, expiry } => {
            let number = i32::try_from(nr).map_err(|_| EINVAL)?;
            if expiry.clock != Clock::Monotonic
                // SAFETY: looks at a table.
                || !unsafe { bindings::arch_checkpoint_knows_call(number, block.compat) }
            {
                return Err(EINVAL);
            }
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_CALL;
            c.word = nr;
            Some(expiry)
        }
        Call::Poll { fds, count, expiry } => {
            if expiry.is_some_and(|e| e.clock != Clock::Monotonic) {
                return Err(EINVAL);
            }
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_POLL;
            c.uptr = fds as c_ulong;
            c.word = count;
            expiry
        }
        Call::Futex {
            word,
            value,
            flags,
            bitset,
            expiry,
        } => {
            if flags & !FUTEX_FLAGS != 0
                || flags & bindings::FUTEX2_SIZE_MASK != bindings::FUTEX2_SIZE_U32
            {
                return Err(EINVAL);
            }
            c.kind = bindings::checkpoint_restart_kind_CHECKPOINT_RESTART_FUTEX;
            c.uptr = word as c_ulong;
            c.word = value;
            c.bitset = bitset;
            c.flags = flags;
            match expiry.map(|e| e.clock) {
                None | Some(Clock::Monotonic) => (),
                Some(Clock::Realtime) => c.flags |= bindings::FUTEX_CLOCK_REALTIME,
                _ => return Err(EINVAL),
            }
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
            if expiry.clock != Clock::Monotonic {
                return Err(EINVAL);
            }
            c.kind = WAITS.iter().find(|w| w.0 == what).ok_or(EINVAL)?.1;
            c.word = id;
            c.uptr = uptr as c_ulong;
            c.uptr2 = uptr2 as c_ulong;
            c.flags = count;
            c.bitset = size;
            Some(expiry)
        }
    };
    if let Some(expiry) = expiry {
        if expiry.at < 0 {
            return Err(EINVAL);
        }
        c.timed = true;
        c.clock = expiry.clock as i32;
        c.expires = expiry.at;
    }
    // SAFETY: the clock is one of hrtimers, the kind of timespec one there is,
    // the flags those of a futex that can be waited on, the time not negative;
    // addresses are looked at as those of any system call.
    unsafe { bindings::checkpoint_set_restart_block(&c) };
    Ok(())
}
