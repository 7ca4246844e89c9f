// SPDX-License-Identifier: GPL-2.0-only

//! Timers of processes: of setitimer(2), alarm(2) and timer_create(2).
//!
//! What is saved is the time that was left, which begins anew when the job is let
//! go; on clocks of CPU time, of theirs. What waits for a time of day goes on to
//! wait for that.
//!
//! The job stands still, its timers do not: one may expire between the look at it
//! and the look at the queue that its signal goes to. Its signal is then found in
//! a queue, but it is not known to have expired, and is left out: the timer
//! expires again, at once, when it is armed. The other way round, one that has
//! expired and whose signal is in no queue sends it anew.
//!
//! The signal of a timer that was deleted stays pending, until somebody looks for it
//! and finds that there is none. For that there is a timer again, for a moment.
//!
//! A process creates its timers, for they count against limits of its user, when
//! its threads are there. Init arms them, the last thing before it lets the job
//! go, so that no thread sees one that does not run.
//!
//! Pids are those of the namespace of the job, also of a process in one below that.
//! Only the number in a clock of CPU time is as the process knows it.
//!
//! A timer that wakes the machine (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM) takes
//! a clock that can, and CAP_WAKE_ALARM of the caller of restart(2). Once it is set,
//! one of CLOCK_REALTIME_ALARM waits for a time of day, however it was set.
//!
//! Refused: timers that measure, or would tell, a thread or process that is gone or
//! is not in the namespace. They do nothing any more, but show what they have
//! measured, or count on; that can't be had back without the task.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::record::{
        self as wire,
        timer_flags,
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
    restart_block::{
        begin,
        now, //
    },
    task::still,
};
use core::cell::Cell;
use kernel::{
    checkpoint::{
        gfp,
        restart_block::Clock,
        signal::{
            Queue,
            Sender,
            TimerSignal, //
        },
        task::Clocks,
        timer::{
            self,
            Itimers,
            State,
            Timer, //
        },
    },
    prelude::*,
    rbtree::RBTree,
    task::Task, //
};
use zerocopy::IntoBytes;

/// A timer that was created and does not run yet.
pub(crate) struct Made {
    /// Its own.
    timer: Option<Timer>,
    /// What it was.
    state: State,
    /// Its signal was queued, or is about to be.
    queued: Cell<bool>,
}

/// The POSIX timers of a process, before its signals were saved: one whose signal came
/// meanwhile expires again.
pub(crate) struct Posix {
    timers: KVVec<u8>,
    next_id: i32,
}

/// Looks at the POSIX timers of a process.
pub(crate) fn posix(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<Posix> {
    let task = still(frozen)?;
    let mut timers = KVVec::new();
    for state in timer::all(&task)? {
        if let Some(timer) = to_wire(ctx, &state) {
            timers.extend_from_slice(timer.as_bytes(), gfp())?;
        }
    }
    let next_id = timer::next_id(&task);
    Ok(Posix { timers, next_id })
}

/// Saves the timers of a process: those of setitimer(2) as they were when its signals were
/// saved.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, posix: Posix, itimers: Itimers) -> Result {
    let Posix { timers, next_id } = posix;
    let set = itimers.iter().any(|t| t.armed || t.interval != 0);
    if timers.is_empty() && next_id == 0 && !set {
        return Ok(());
    }
    let [real, virt, prof] = itimers.map(|itimer| wire::Itimer {
        flags: u32::from(itimer.armed).into(),
        reserved: 0.into(),
        interval_ns: (itimer.interval as u64).into(),
        left_ns: itimer.expires.into(),
    });
    let left = real.left_ns.get().saturating_sub(ctx.clocks.monotonic);
    let head = wire::Timers {
        real: wire::Itimer {
            left_ns: left.into(),
            ..real
        },
        virt,
        prof,
        next_id: next_id.into(),
        reserved: 0.into(),
    };
    ctx.emit(Section::Tasks, Kind::Timers, &head, &[&timers])
}

/// What the image says of a timer, if it can be saved.
fn to_wire(ctx: &mut Checkpoint, state: &State) -> Option<wire::Timer> {
    let of_cpu = state.clock < 0;
    let clock = Clock::from_id(state.base);
    let why = if of_cpu && state.cpu_pid == 0 {
        "a timer that measures a task which is gone, or not in this namespace"
    } else if state.target == 0 {
        "a timer whose signal is for a thread which is gone"
    } else if clock.is_none() && !of_cpu {
        "a timer of an unknown clock"
    } else {
        ""
    };
    if !why.is_empty() {
        ctx.report.refuse(Item {
            object: Object::Task,
            kind: "posix-timers",
            name: b"",
            why,
            remedy: "delete the timer",
        });
        return None;
    }
    // The time left is what is known of a clock of CPU time.
    let from = clock.map_or(0, |clock| now(&ctx.clocks, clock));
    let left = state.expires.saturating_sub(from);
    let pending = state.queued || state.ignored;
    let mut flags = 0;
    for (is, bit) in [
        (state.armed, timer_flags::ARMED),
        (state.requeue, timer_flags::REQUEUE),
        (state.timed, timer_flags::TIMED),
        (
            state.base != timer::base_of(state.clock),
            timer_flags::RELATIVE,
        ),
        (state.queued, timer_flags::QUEUED),
        (state.stale && pending, timer_flags::STALE),
        (state.ignored, timer_flags::IGNORED),
        (state.periodic && pending, timer_flags::PERIODIC),
    ] {
        if is {
            flags |= bit;
        }
    }
    let limit = i64::MAX / 2;
    Some(wire::Timer {
        id: state.id.into(),
        clock: state.clock.into(),
        cpu_pid: state.cpu_pid.into(),
        notify: state.notify.into(),
        signo: state.signo.into(),
        target: match state.notify & timer::SIGEV_THREAD_ID {
            0 => 0,
            _ => state.target,
        }
        .into(),
        value: state.value.into(),
        flags: flags.into(),
        reserved: 0.into(),
        interval_ns: (state.interval as u64).into(),
        left_ns: match state.timed {
            true => left.clamp(-limit, limit),
            false => 0,
        }
        .into(),
        overrun: state.overrun.into(),
        overrun_last: state.overrun_last.into(),
    })
}

/// Creates the timers of the current process; once it has its credentials, for they
/// count against a limit of its user, and its threads.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let Some(record) = part.records(&meta).find(|r| r.kind == Kind::Timers) else {
        return Ok(());
    };
    let head: wire::Timers = record.head().map_err(|_| EINVAL)?;
    // The last one that was created is the first.
    for saved in record
        .array::<wire::Timer>()
        .map_err(|_| EINVAL)?
        .iter()
        .rev()
    {
        let is = |bit| saved.flags.get() & bit != 0;
        let clock = saved.clock.get();
        let base = match clock {
            0 if is(timer_flags::RELATIVE) => Clock::Monotonic as i32,
            clock => timer::base_of(clock),
        };
        let state = State {
            id: saved.id.get(),
            clock,
            base,
            cpu_pid: saved.cpu_pid.get(),
            notify: saved.notify.get(),
            signo: saved.signo.get(),
            value: saved.value.get(),
            target: saved.target.get(),
            armed: is(timer_flags::ARMED),
            requeue: is(timer_flags::REQUEUE),
            timed: is(timer_flags::TIMED),
            queued: is(timer_flags::QUEUED),
            stale: is(timer_flags::STALE),
            ignored: is(timer_flags::IGNORED),
            periodic: is(timer_flags::PERIODIC),
            expires: saved.left_ns.get(),
            interval: i64::try_from(saved.interval_ns.get()).map_err(|_| EINVAL)?,
            overrun: saved.overrun.get(),
            overrun_last: saved.overrun_last.get(),
        };
        // Whose time it goes by has to be there.
        if state.cpu_pid != 0 && state.cpu_pid != part.task.tgid.get() {
            rs.wait_for_processes()?;
        }
        let timer = Timer::new(&state, &rs.ns, &rs.cred).map_err(|e| {
            let (why, remedy) = if e == EOPNOTSUPP {
                (
                    "it had a timer that wakes the machine, which has no clock for that",
                    "restart on one that has (CONFIG_RTC_CLASS)",
                )
            } else if e == EPERM {
                (
                    "it had a timer that wakes the machine, for which init has no right",
                    "give init CAP_WAKE_ALARM in the initial user namespace",
                )
            } else {
                ("a timer can't be created", "see RLIMIT_SIGPENDING")
            };
            rs.report.error(
                Item {
                    object: Object::Task,
                    kind: "posix-timers",
                    name: b"",
                    why,
                    remedy,
                },
                if e == EBUSY { EINVAL } else { e },
            )
        })?;
        let made = Made {
            timer: Some(timer),
            state,
            queued: Cell::new(false),
        };
        rs.timers.lock().try_create_and_insert(
            (part.task.tgid.get(), state.id),
            made,
            GFP_KERNEL_ACCOUNT,
        )?;
    }
    timer::set_next_id(head.next_id.get());
    Ok(())
}

/// The signals of timers that were pending in a queue of the current task, of the
/// timers that were made.
pub(crate) fn pending<'a>(
    rs: &Restart,
    timers: &'a RBTree<(i32, i32), Made>,
    part: &Part,
    queue: Queue,
) -> Result<KVVec<TimerSignal<'a>>> {
    let meta = rs.image.meta();
    let mut signals = KVVec::new();
    let Some(record) = part.records(&meta).find(|r| r.kind == Kind::TimerSignals) else {
        return Ok(signals);
    };
    let deleted = part.records(&meta).find(|r| r.kind == Kind::DeletedTimers);
    let deleted = match &deleted {
        Some(record) => record.array::<wire::DeletedTimer>().map_err(|_| EINVAL)?,
        None => &[],
    };
    for saved in record.array::<wire::TimerSignal>().map_err(|_| EINVAL)? {
        if (saved.shared.get() != 0) != (queue == Queue::Shared) {
            continue;
        }
        let before = saved.place.get() as usize;
        // -1 is the first one.
        if let Ok(index) = usize::try_from(!saved.timer.get()) {
            let timer = deleted.get(index).ok_or(EINVAL)?;
            signals.push(
                TimerSignal {
                    before,
                    signal: u32::try_from(timer.signo.get()).map_err(|_| EINVAL)?,
                    sender: Sender::Deleted(State {
                        id: timer.id.get(),
                        signo: timer.signo.get(),
                        value: timer.value.get(),
                        notify: match queue {
                            Queue::Private => timer::SIGEV_THREAD_ID,
                            Queue::Shared => 0,
                        },
                        ..State::default()
                    }),
                },
                GFP_KERNEL_ACCOUNT,
            )?;
            continue;
        }
        let key = (part.task.tgid.get(), saved.timer.get());
        let made = timers.get(&key).ok_or(EINVAL)?;
        let state = &made.state;
        let for_thread = state.notify & timer::SIGEV_THREAD_ID != 0;
        let here = match queue {
            Queue::Private => for_thread && state.target == part.task.pid.get(),
            Queue::Shared => !for_thread,
        };
        // One that expired later than it was looked at is not known to be pending.
        let is = state.queued && here && !made.queued.replace(true);
        signals.push(
            TimerSignal {
                before,
                signal: u32::try_from(state.signo).map_err(|_| EINVAL)?,
                sender: match &made.timer {
                    Some(timer) if is => Sender::Timer(timer, state),
                    _ => Sender::Later,
                },
            },
            GFP_KERNEL_ACCOUNT,
        )?;
    }
    Ok(signals)
}

/// Has all timers of the job go on, by init.
pub(crate) fn release(rs: &Restart) {
    let now = Clocks::now();
    let mut timers = core::mem::take(&mut *rs.timers.lock());
    for (_, made) in timers.iter_mut() {
        let state = &mut made.state;
        if let Some(clock) = Clock::from_id(state.base) {
            state.expires = state.expires.saturating_add(begin(&rs.job, &now, clock));
        }
        if let Some(timer) = made.timer.take() {
            timer.arm(state, made.queued.get());
        }
    }
}

/// Has the timers of setitimer(2) of a process go on, by init.
pub(crate) fn release_itimers(rs: &Restart, part: &Part, task: &Task) -> Result {
    let meta = rs.image.meta();
    let Some(record) = part.records(&meta).find(|r| r.kind == Kind::Timers) else {
        return Ok(());
    };
    let head: wire::Timers = record.head().map_err(|_| EINVAL)?;
    let mut itimers = Itimers::default();
    let saved = [head.real, head.virt, head.prof];
    for (to, from) in itimers.iter_mut().zip(&saved) {
        to.armed = from.flags.get() & wire::ITIMER_ARMED != 0;
        to.interval = i64::try_from(from.interval_ns.get()).map_err(|_| EINVAL)?;
        to.expires = from.left_ns.get();
    }
    let [real, _, _] = &mut itimers;
    real.expires = real.expires.saturating_add(Clocks::now().monotonic);
    timer::arm_itimers(task, &itimers);
    Ok(())
}
