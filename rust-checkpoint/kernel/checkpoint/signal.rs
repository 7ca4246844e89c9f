// SPDX-License-Identifier: GPL-2.0-only

//! Signals: actions, masks, what is pending, and job control.
//!
//! All of it is read under `siglock` of the task, and set by the restored task
//! itself, which acts on none of it before it goes to user mode: a task that
//! was stopped stops again on that way, before it runs anything.
//!
//! Signals of timers are saved with their timers ([`crate::timers`]).

use crate::{
    arch,
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::record::{
        self as wire,
        sigaction_flags,
        task_flags,
        Kind, //
    },
    objhash::{
        Class,
        Found, //
    },
    outside::What,
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    task::still,
    timers,
};
use kernel::{
    checkpoint::{
        attr::shared_sighand,
        clone::Newborn,
        gfp,
        signal::{
            self,
            Abi,
            Action,
            AltStack,
            Masks,
            OfTimer,
            Queue,
            SigLock,
            Siginfo,
            Stop,
            SIGINFO_LEN,
            SIGNALS, //
        },
        task::TaskExt,
        timer::Itimers, //
    },
    prelude::*,
};
use zerocopy::IntoBytes;

const _: () = assert!(SIGNALS == wire::SIGNALS && SIGINFO_LEN == wire::SIGINFO_LEN);

/// Saves the actions of a task; their id.
pub(crate) fn checkpoint_actions(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<u32> {
    let mut actions = KVec::with_capacity(SIGNALS, GFP_KERNEL)?;
    let lock = SigLock::lock(frozen.task())?;
    let sighand = lock.sighand();
    for index in 0..SIGNALS {
        // Does not allocate: there is room.
        actions.push(lock.action(index), GFP_ATOMIC)?;
    }
    drop(lock);

    let id = match ctx.objs.id(Class::Sighand, sighand)? {
        Found::Old(id) => return Ok(id),
        Found::New(id) => id,
    };
    if let Some(shared) = shared_sighand(&still(frozen)?) {
        ctx.outside.ask(
            shared.as_ptr(),
            frozen,
            What {
                kind: "shared",
                why: "it shares its signal actions (CLONE_SIGHAND) with init or a process outside",
                remedy: "start the job with fork(2) or posix_spawn(3)",
            },
        )?;
    }
    let mut tail = KVec::new();
    for action in actions {
        let abi = match action.abi {
            Abi::Native => 0,
            Abi::Ia32 => sigaction_flags::IA32,
            Abi::X32 => sigaction_flags::X32,
        };
        let action = wire::SigAction {
            handler: (action.handler as u64).into(),
            flags: (action.flags as u64 | abi).into(),
            restorer: (action.restorer as u64).into(),
            mask: action.mask.into(),
        };
        tail.extend_from_slice(action.as_bytes(), GFP_KERNEL)?;
    }
    ctx.emit(
        Section::Objects,
        Kind::Sighand,
        &wire::Sighand {
            id: id.into(),
            reserved: 0.into(),
        },
        &[&tail],
    )?;
    Ok(id)
}

/// Gives the current process its actions: those of the process which had them
/// first, or actions of its own.
pub(crate) fn restart_actions(rs: &mut Restart, part: &Part, newborn: &Newborn) -> Result {
    let id = part.task.sighand.get();
    if let Some(owner) = rs.owner(Class::Sighand)? {
        // clone(2) asks the same.
        if owner.mm != part.task.mm.get() {
            return Err(EINVAL);
        }
        return signal::share_actions(newborn, &owner.task);
    }
    let image = rs.image.clone();
    let meta = image.meta();
    let record = rs.defined_at(&meta, Class::Sighand, id)?.next();
    let record = record.ok_or(EINVAL)?;
    let saved = record.array::<wire::SigAction>().map_err(|_| EINVAL)?;
    let mut actions = KVec::with_capacity(saved.len(), GFP_KERNEL)?;
    for saved in saved {
        let flags = saved.flags.get();
        let abi = match flags & sigaction_flags::ALL {
            0 => Abi::Native,
            sigaction_flags::IA32 => Abi::Ia32,
            sigaction_flags::X32 => Abi::X32,
            _ => return Err(EINVAL),
        };
        if abi == Abi::Ia32 && !arch::has_ia32() {
            return Err(EOPNOTSUPP);
        }
        let action = Action {
            handler: saved.handler.get() as usize,
            flags: (flags & !sigaction_flags::ALL) as usize,
            abi,
            restorer: saved.restorer.get() as usize,
            mask: saved.mask.get(),
        };
        actions.push(action, GFP_KERNEL)?;
    }
    signal::set_actions(&actions)
}

/// Saves masks, alternate stack and the signals pending for a task. For one that leads its
/// process, returns the timers of that as they were then.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<Option<Itimers>> {
    let lock = SigLock::lock(frozen.task())?;
    let masks = lock.masks();
    let stack = lock.alt_stack();
    drop(lock);
    let (flags, saved) = match masks.saved {
        Some(saved) => (wire::SIGNALS_SAVED, saved),
        None => (0, 0),
    };
    ctx.emit(
        Section::Tasks,
        Kind::Signals,
        &wire::Signals {
            blocked: masks.blocked.into(),
            saved: saved.into(),
            flags: flags.into(),
            altstack_flags: stack.flags.into(),
            altstack_sp: (stack.sp as u64).into(),
            altstack_size: (stack.size as u64).into(),
        },
        &[],
    )?;
    let mut of_timers = OfTimers::default();
    checkpoint_queue(ctx, frozen, Queue::Private, &mut of_timers)?;
    let mut itimers = None;
    if frozen.task().is_group_leader() {
        itimers = Some(checkpoint_queue(
            ctx,
            frozen,
            Queue::Shared,
            &mut of_timers,
        )?);
    }
    of_timers.emit(ctx)?;
    Ok(itimers)
}

/// Saves the signals pending for the process of a task. Returns the timers of that as they
/// were then.
pub(crate) fn checkpoint_of_process(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<Itimers> {
    let mut of_timers = OfTimers::default();
    let itimers = checkpoint_queue(ctx, frozen, Queue::Shared, &mut of_timers)?;
    of_timers.emit(ctx)?;
    Ok(itimers)
}

/// Signals of timers that are pending.
#[derive(Default)]
struct OfTimers {
    signals: KVVec<wire::TimerSignal>,
    deleted: KVVec<wire::DeletedTimer>,
}

impl OfTimers {
    fn reserve(&mut self, count: usize) -> Result {
        self.signals.reserve(count, gfp())?;
        self.deleted.reserve(count, gfp())?;
        Ok(())
    }

    /// Adds one, if there is room: does not allocate.
    fn push(&mut self, signal: u32, of: OfTimer, shared: u32, place: usize) -> Result {
        let mut timer = of.id;
        if of.deleted {
            let deleted = wire::DeletedTimer {
                id: of.id.into(),
                signo: i32::try_from(signal)?.into(),
                value: of.value.into(),
            };
            let pushed = self.deleted.push_within_capacity(deleted);
            pushed.map_err(|_| ENOMEM)?;
            timer = -i32::try_from(self.deleted.len())?;
        }
        let signal = wire::TimerSignal {
            timer: timer.into(),
            shared: shared.into(),
            place: (place as u32).into(),
        };
        let pushed = self.signals.push_within_capacity(signal);
        pushed.map_err(|_| ENOMEM)
    }

    /// Takes back those that were added since there were so many.
    fn truncate(&mut self, (signals, deleted): (usize, usize)) {
        self.signals.truncate(signals);
        self.deleted.truncate(deleted);
    }

    /// Saves which are pending.
    fn emit(&self, ctx: &mut Checkpoint) -> Result {
        for (kind, tail) in [
            (Kind::DeletedTimers, self.deleted.as_bytes()),
            (Kind::TimerSignals, self.signals.as_bytes()),
        ] {
            if !tail.is_empty() {
                ctx.emit(Section::Tasks, kind, &(), &[tail])?;
            }
        }
        Ok(())
    }
}

/// Saves the signals of a queue; adds those of timers to `of_timers`.
fn checkpoint_queue(
    ctx: &mut Checkpoint,
    frozen: &Frozen<'_>,
    queue: Queue,
    of_timers: &mut OfTimers,
) -> Result<Itimers> {
    let mut infos: KVVec<Siginfo> = KVVec::new();
    let first = (of_timers.signals.len(), of_timers.deleted.len());
    let shared = u32::from(queue == Queue::Shared);
    // Signals may come at any time, while room is made for those that are there, too.
    let with_slack = |count| match count {
        0 => 0,
        n => n + n / 4 + 8,
    };
    let (set, itimers) = loop {
        ctx.go_on()?;
        let lock = SigLock::lock(frozen.task())?;
        let (count, timers) = lock.count_pending(queue);
        drop(lock);
        infos.reserve(with_slack(count), gfp())?;
        of_timers.reserve(with_slack(timers))?;
        let lock = SigLock::lock(frozen.task())?;
        let all = lock.for_each_pending(queue, |info, timer| match timer {
            None => infos.push_within_capacity(info).map_err(|_| ENOMEM),
            Some(of) => of_timers.push(info.signal(), of, shared, infos.len()),
        });
        if all.is_ok() {
            break (lock.pending_set(queue), lock.itimers());
        }
        drop(lock);
        infos.clear();
        of_timers.truncate(first);
    };
    if set == 0 {
        return Ok(itimers);
    }
    let mut tail = KVVec::with_capacity(infos.len() * SIGINFO_LEN, gfp())?;
    for Siginfo(bytes) in &infos {
        tail.extend_from_slice(bytes, gfp())?;
    }
    ctx.emit(
        Section::Tasks,
        Kind::Pending,
        &wire::Pending {
            shared: shared.into(),
            count: u32::try_from(infos.len()).map_err(|_| EFBIG)?.into(),
            set: set.into(),
        },
        &[&tail],
    )?;
    Ok(itimers)
}

/// Sets masks and alternate stack of the current task.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let head: wire::Signals = part
        .record(&meta, Kind::Signals)?
        .head()
        .map_err(|_| EINVAL)?;
    signal::set_masks(&Masks {
        blocked: head.blocked.get(),
        saved: (head.flags.get() & wire::SIGNALS_SAVED != 0).then_some(head.saved.get()),
    })?;
    signal::set_alt_stack(&AltStack {
        sp: head.altstack_sp.get() as usize,
        size: head.altstack_size.get() as usize,
        flags: head.altstack_flags.get(),
    })
    .map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind: "sigaltstack",
                name: b"",
                why: "its alternate signal stack can't be used here",
                remedy: "restart on a CPU with no larger register state",
            },
            e,
        )
    })
}

/// Queues the signals that were pending for the current task. Once it has its
/// credentials, for they count against the limit of its user.
pub(crate) fn restart_pending(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    for record in part.records(&meta).filter(|r| r.kind == Kind::Pending) {
        let head: wire::Pending = record.head().map_err(|_| EINVAL)?;
        let queue = match head.shared.get() {
            0 => Queue::Private,
            _ => Queue::Shared,
        };
        let mut infos = KVVec::new();
        for bytes in record.tail().chunks_exact(SIGINFO_LEN) {
            let info = Siginfo(bytes.try_into().map_err(|_| EINVAL)?);
            infos.push(info, GFP_KERNEL_ACCOUNT)?;
        }
        let made = rs.timers.clone();
        let made = made.lock();
        let of_timers = timers::pending(rs, &made, part, queue)?;
        let queued = signal::queue(queue, &infos, head.set.get(), &of_timers);
        drop(of_timers);
        drop(made);
        queued.map_err(|e| {
            rs.report.error(
                Item {
                    object: Object::Task,
                    kind: "signal",
                    name: b"",
                    why: "its pending signals can't be queued",
                    remedy: "see RLIMIT_SIGPENDING",
                },
                e,
            )
        })?;
    }
    Ok(())
}

/// What a Task record says of job control.
pub(crate) fn checkpoint_stop(frozen: &Frozen<'_>) -> Result<(u32, u32)> {
    let stop = SigLock::lock(frozen.task())?.stop();
    let mut flags = 0;
    for (is, bit) in [
        (stop.stopped, task_flags::STOPPED),
        (stop.pending, task_flags::STOP_PENDING),
        (stop.group_stopped, task_flags::GROUP_STOPPED),
        (stop.group_continued, task_flags::GROUP_CONTINUED),
        (stop.waitable, task_flags::STOP_WAITABLE),
        (stop.notify_stopped, task_flags::NOTIFY_STOPPED),
        (stop.notify_continued, task_flags::NOTIFY_CONTINUED),
    ] {
        if is {
            flags |= bit;
        }
    }
    Ok((flags, stop.signal))
}

/// Has the current task stop on its way to user mode, if it was stopped.
pub(crate) fn restart_stop(part: &Part) -> Result {
    let flags = part.task.flags.get();
    let is = |bit| flags & bit != 0;
    signal::set_stop(
        &Stop {
            signal: part.task.stop_signal.get(),
            stopped: is(task_flags::STOPPED),
            pending: is(task_flags::STOP_PENDING),
            group_stopped: is(task_flags::GROUP_STOPPED),
            group_continued: is(task_flags::GROUP_CONTINUED),
            waitable: is(task_flags::STOP_WAITABLE),
            notify_stopped: is(task_flags::NOTIFY_STOPPED),
            notify_continued: is(task_flags::NOTIFY_CONTINUED),
        },
        part.is_group_leader(),
    )
}
