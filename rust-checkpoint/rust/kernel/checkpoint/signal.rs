// SPDX-License-Identifier: GPL-2.0-only

//! Signal state of tasks.
//!
//! What `siglock` protects is read through [`SigLock`], which holds it. What a
//! task may change is its own state, by free functions that take the lock.
//!
//! C headers: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/sched/jobctl.h`](srctree/include/linux/sched/jobctl.h)

use super::{
    attr,
    clone::Newborn,
    task::{
        fatal_signal_pending,
        thread_count, //
    },
    timer::{
        self,
        Itimers,
        State,
        Timer, //
    },
};
use crate::{
    bindings,
    error::to_result,
    prelude::*,
    task::Task,
    types::NotThreadSafe, //
};
use core::{
    mem::size_of,
    ptr::{
        addr_of,
        NonNull, //
    },
};

/// Signals there are; their numbers begin with 1.
pub const SIGNALS: usize = bindings::_NSIG as usize;

/// Length of a `siginfo_t`.
pub const SIGINFO_LEN: usize = bindings::SI_MAX_SIZE as usize;

const _: () = assert!(SIGNALS == 64 && size_of::<bindings::sigset_t>() == size_of::<u64>());
const _: () = assert!(size_of::<bindings::kernel_siginfo_t>() <= SIGINFO_LEN);

fn from_sigset(set: bindings::sigset_t) -> u64 {
    let [word] = set.sig;
    word as u64
}

fn to_sigset(set: u64) -> bindings::sigset_t {
    bindings::sigset_t {
        sig: [set as c_ulong],
    }
}

/// The set with one signal in it; empty for one that is none.
pub fn mask(signal: u32) -> u64 {
    match signal {
        1..=64 => 1 << (signal - 1),
        _ => 0,
    }
}

/// Signals that can't be caught, blocked or ignored.
#[doc(alias = "SIG_KERNEL_ONLY_MASK")]
pub fn unblockable() -> u64 {
    mask(bindings::SIGKILL) | mask(bindings::SIGSTOP)
}

/// For which width of user mode a handler was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abi {
    /// That of the kernel.
    Native,
    /// ia32.
    Ia32,
    /// x32.
    X32,
}

/// The action of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "k_sigaction")]
pub struct Action {
    /// SIG_DFL, SIG_IGN or the address of the handler.
    pub handler: usize,
    /// SA_*.
    pub flags: usize,
    /// Which frame the handler gets.
    pub abi: Abi,
    /// Address of the restorer.
    pub restorer: usize,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

impl Action {
    /// SIG_DFL.
    pub const DEFAULT: Action = Action {
        handler: 0,
        flags: 0,
        abi: Abi::Native,
        restorer: 0,
        mask: 0,
    };
}

/// SA_* flags that user space knows.
const UAPI_FLAGS: usize = bindings::UAPI_SA_FLAGS as usize;
const IA32_ABI: usize = bindings::SA_IA32_ABI as usize;
const X32_ABI: usize = bindings::SA_X32_ABI as usize;

/// The mask in force, and the one to go back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masks {
    /// Blocked signals.
    pub blocked: u64,
    /// The mask put back on the way to user mode, when `blocked` is that of
    /// sigsuspend(2), ppoll(2) and the like.
    pub saved: Option<u64>,
}

/// An alternate signal stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// Its lowest address.
    pub sp: usize,
    /// Its length.
    pub size: usize,
    /// SS_*.
    pub flags: u32,
}

/// A queue of pending signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Of the thread.
    Private,
    /// Of the process.
    Shared,
}

/// A `siginfo_t` as user space sees it.
#[derive(Clone, Copy)]
pub struct Siginfo(pub [u8; SIGINFO_LEN]);

impl Siginfo {
    /// The signal.
    pub fn signal(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_ne_bytes([a, b, c, d])
    }
}

/// Of which timer a pending signal is.
#[derive(Clone, Copy)]
pub struct OfTimer {
    /// Its ID.
    pub id: i32,
    /// What the signal brings.
    pub value: u64,
    /// The timer was deleted, and nobody gets the signal.
    pub deleted: bool,
}

/// Where a task and its process are in job control.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stop {
    /// The signal of the stop.
    pub signal: u32,
    /// The task is stopped.
    pub stopped: bool,
    /// The task is about to take part in a stop of its process that is not
    /// complete without it.
    pub pending: bool,
    /// The process is stopped (SIGNAL_STOP_STOPPED).
    pub group_stopped: bool,
    /// It was continued, and its parent has not waited for that.
    pub group_continued: bool,
    /// The parent has not waited for the stop.
    pub waitable: bool,
    /// The parent is still to be told of a stop.
    pub notify_stopped: bool,
    /// The parent is still to be told that it goes on.
    pub notify_continued: bool,
}

/// A task whose `siglock` is held.
///
/// # Invariants
///
/// `sighand` is that of `task`, whose lock is held with interrupts off.
pub struct SigLock<'a> {
    task: &'a Task,
    sighand: NonNull<bindings::sighand_struct>,
    flags: c_ulong,
    _not_send: NotThreadSafe,
}

impl<'a> SigLock<'a> {
    /// Takes the lock; `ESRCH` when the task has gone through its exit.
    #[doc(alias = "lock_task_sighand")]
    pub fn lock(task: &'a Task) -> Result<Self> {
        let mut flags = 0;
        // SAFETY: the task is alive as long as the reference to it.
        let sighand = unsafe { bindings::lock_task_sighand(task.as_ptr(), &mut flags) };
        // INVARIANT: on success the lock is held.
        Ok(Self {
            task,
            sighand: NonNull::new(sighand).ok_or(ESRCH)?,
            flags,
            _not_send: NotThreadSafe,
        })
    }

    /// The table of actions, for its identity.
    pub fn sighand(&self) -> *const bindings::sighand_struct {
        self.sighand.as_ptr()
    }

    fn signal(&self) -> *mut bindings::signal_struct {
        // SAFETY: a task whose sighand is there has its signal structure.
        unsafe { (*self.task.as_ptr()).signal }
    }

    /// The action of a signal, by its number less one.
    pub fn action(&self, index: usize) -> Action {
        if index >= SIGNALS {
            return Action::DEFAULT;
        }
        // SAFETY: by the type invariant the table can't change; the index is
        // within it. A handler is an address of user space, read as a number.
        let (handler, flags, restorer, mask) = unsafe {
            let sa = addr_of!((*self.sighand.as_ptr()).action[index].sa);
            (
                addr_of!((*sa).sa_handler).cast::<usize>().read(),
                (*sa).sa_flags,
                addr_of!((*sa).sa_restorer).cast::<usize>().read(),
                from_sigset((*sa).sa_mask),
            )
        };
        Action {
            handler,
            flags: flags & UAPI_FLAGS,
            abi: if flags & IA32_ABI != 0 {
                Abi::Ia32
            } else if flags & X32_ABI != 0 {
                Abi::X32
            } else {
                Abi::Native
            },
            restorer,
            mask,
        }
    }

    /// The blocked signals.
    pub fn masks(&self) -> Masks {
        let t = self.task.as_ptr();
        // SAFETY: the task is alive, and changes its masks only with the lock
        // that is held by the type invariant.
        unsafe {
            Masks {
                blocked: from_sigset((*t).blocked),
                saved: bindings::test_tsk_restore_sigmask(t)
                    .then(|| from_sigset((*t).saved_sigmask)),
            }
        }
    }

    /// The timers of setitimer(2) of the process. What was pending while this lock is held
    /// is what those have sent that are not armed.
    pub fn itimers(&self) -> Itimers {
        let mut itimers = Itimers::default();
        // SAFETY: the task is alive, the lock is held, and there is room for all.
        unsafe { bindings::checkpoint_get_itimers(self.task.as_ptr(), itimers.as_mut_ptr()) };
        itimers
    }

    /// The alternate stack.
    pub fn alt_stack(&self) -> AltStack {
        let t = self.task.as_ptr();
        // SAFETY: the task is alive; these are scalars.
        unsafe {
            AltStack {
                sp: (*t).sas_ss_sp,
                size: (*t).sas_ss_size,
                flags: (*t).sas_ss_flags,
            }
        }
    }

    /// Sends signals to the task, the current one, whether it ignores them or
    /// not.
    ///
    /// While all signals are blocked for it, none is dropped as ignored, and
    /// none wakes it. One of the process may be one that a thread of it does
    /// not block, which is told as it would be by any sender: it looks for
    /// signals on its way to user mode, or, if nothing handles the signal, the
    /// process dies of it, as it would have when the signal came.
    fn send_blocked(&self, queue: Queue, infos: &[Siginfo]) -> Result {
        let kind = match queue {
            Queue::Private => bindings::pid_type_PIDTYPE_PID,
            Queue::Shared => bindings::pid_type_PIDTYPE_TGID,
        };
        let t = self.task.as_ptr();
        let pending = self.pending(queue);
        let mut ret = Ok(());
        // SAFETY: by the type invariant the lock is held that protects all of
        // this, and the task is the current one. `info` is a valid siginfo: it
        // is copied, never followed.
        unsafe {
            let blocked = (*t).blocked;
            (*t).blocked = to_sigset(u64::MAX);
            for info in infos {
                // Sent to it just now, by somebody else: one of them would have been lost.
                let is_pending = from_sigset((*pending).signal) & mask(info.signal()) != 0;
                if info.signal() < bindings::SIGRTMIN && is_pending {
                    continue;
                }
                let mut kernel = bindings::kernel_siginfo_t::default();
                core::ptr::copy_nonoverlapping(
                    info.0.as_ptr(),
                    (&raw mut kernel).cast::<u8>(),
                    size_of::<bindings::kernel_siginfo_t>(),
                );
                let newest = (*pending).list.prev;
                let e = bindings::send_signal_locked(info.signal() as c_int, &mut kernel, t, kind);
                // Without memory or room for it the signal is sent, but not what is known of it.
                if e != 0 || (*pending).list.prev == newest {
                    ret = Err(if e != 0 { Error::from_errno(e) } else { EAGAIN });
                    break;
                }
            }
            (*t).blocked = blocked;
            bindings::recalc_sigpending();
        }
        ret
    }

    fn pending(&self, queue: Queue) -> *mut bindings::sigpending {
        // SAFETY: the task is alive, and so is its signal structure.
        unsafe {
            match queue {
                Queue::Private => &raw mut (*self.task.as_ptr()).pending,
                Queue::Shared => &raw mut (*self.signal()).shared_pending,
            }
        }
    }

    /// The signals that are pending in a queue.
    pub fn pending_set(&self, queue: Queue) -> u64 {
        // SAFETY: the lock protects the queue.
        from_sigset(unsafe { (*self.pending(queue)).signal })
    }

    /// How many signals are queued that are of no timer, and how many that are of one.
    ///
    /// As many as RLIMIT_SIGPENDING allows, with interrupts off, as when a
    /// signal is taken from the queue (`collect_signal()` walks it all).
    pub fn count_pending(&self, queue: Queue) -> (usize, usize) {
        let (mut signals, mut timers) = (0, 0);
        let head = self.queued(queue);
        // SAFETY: the lock keeps the list as it is; its entries are the lists
        // of `struct sigqueue`, which the list keeps alive.
        unsafe {
            let mut at = (*head).next;
            while at != head {
                let q = crate::container_of!(at, bindings::sigqueue, list);
                match (*q).flags & bindings::SIGQUEUE_PREALLOC as c_int {
                    0 => signals += 1,
                    _ => timers += 1,
                }
                at = (*at).next;
            }
        }
        (signals, timers)
    }

    fn queued(&self, queue: Queue) -> *mut bindings::list_head {
        let pending = self.pending(queue);
        // SAFETY: the queue is valid.
        unsafe { &raw mut (*pending).list }
    }

    /// Calls `f` for each queued signal, oldest first: its `siginfo_t`, and
    /// the timer that it belongs to. Ends with the first error, as which it has to tell that there
    /// is no room, for it must not sleep. As long as [`SigLock::count_pending`] takes, or longer.
    pub fn for_each_pending(
        &self,
        queue: Queue,
        mut f: impl FnMut(Siginfo, Option<OfTimer>) -> Result,
    ) -> Result {
        let head = self.queued(queue);
        // SAFETY: the lock keeps the list as it is; its entries are the lists
        // of `struct sigqueue`, which the list keeps alive.
        unsafe {
            let mut at = (*head).next;
            while at != head {
                let q = crate::container_of!(at, bindings::sigqueue, list);
                let mut info = [0u8; SIGINFO_LEN];
                core::ptr::copy_nonoverlapping(
                    addr_of!((*q).info).cast::<u8>(),
                    info.as_mut_ptr(),
                    size_of::<bindings::kernel_siginfo_t>(),
                );
                let of_timer = (*q).flags & bindings::SIGQUEUE_PREALLOC as c_int != 0;
                let details = &(*q).info.__bindgen_anon_1._sifields._timer;
                let of_timer = of_timer.then(|| OfTimer {
                    id: details._tid,
                    value: details._sigval.sival_ptr as u64,
                    deleted: bindings::checkpoint_is_of_deleted_timer(q),
                });
                f(Siginfo(info), of_timer)?;
                at = (*at).next;
            }
        }
        Ok(())
    }

    /// Where task and process are in job control.
    pub fn stop(&self) -> Stop {
        // SAFETY: the lock protects both.
        let (jobctl, flags, code) = unsafe {
            (
                (*self.task.as_ptr()).jobctl,
                (*self.signal()).flags,
                (*self.signal()).group_exit_code,
            )
        };
        let jobctl = jobctl as u64;
        let job = |bit: u32| jobctl & u64::from(bit) != 0;
        let group = |bit: c_uint| flags & bit != 0;
        let stopped = job(bindings::JOBCTL_STOPPED);
        let pending = job(bindings::JOBCTL_STOP_PENDING);
        let consume = job(bindings::JOBCTL_STOP_CONSUME);
        let of_group = u32::try_from(code).unwrap_or(0);
        Stop {
            signal: match of_group {
                0 if stopped || pending => {
                    (jobctl & u64::from(bindings::JOBCTL_STOP_SIGMASK)) as u32
                }
                code => code,
            },
            // One that only has to fall in with a stopped process is as good
            // as stopped.
            stopped: stopped || (pending && !consume),
            pending: pending && consume,
            group_stopped: group(bindings::SIGNAL_STOP_STOPPED),
            group_continued: group(bindings::SIGNAL_STOP_CONTINUED),
            waitable: of_group != 0,
            notify_stopped: group(bindings::SIGNAL_CLD_STOPPED),
            notify_continued: group(bindings::SIGNAL_CLD_CONTINUED),
        }
    }
}

impl Drop for SigLock<'_> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the lock is held; `flags` is from
        // where it was taken.
        unsafe { bindings::unlock_task_sighand(self.task.as_ptr(), &mut self.flags) };
    }
}

/// Has the current process share the actions of the process of `owner`, whose
/// address space it shares.
///
/// `ESRCH`: that one has exited. `EINVAL`: the current one has threads.
#[doc(alias = "CLONE_SIGHAND")]
pub fn share_actions(newborn: &Newborn, owner: &Task) -> Result {
    newborn.check_alone()?;
    // SAFETY: the current task has no threads and has not been to user mode;
    // there is a reference to the other one.
    to_result(unsafe { bindings::checkpoint_share_sighand(owner.as_ptr()) })
}

/// Gives the current task, and whoever shares the table with it, its actions, one
/// for each signal; `EINVAL` for those that sigaction(2) would not take.
pub fn set_actions(actions: &[Action]) -> Result {
    if actions.len() != SIGNALS {
        return Err(EINVAL);
    }
    for (index, action) in actions.iter().enumerate() {
        let only_kernel = mask(index as u32 + 1) & unblockable() != 0;
        if (only_kernel && *action != Action::DEFAULT)
            || action.flags & !UAPI_FLAGS != 0
            || action.mask & unblockable() != 0
        {
            return Err(EINVAL);
        }
    }
    let current = current!();
    let lock = SigLock::lock(current)?;
    for (index, action) in actions.iter().enumerate() {
        let abi = match action.abi {
            Abi::Native => 0,
            Abi::Ia32 => IA32_ABI,
            Abi::X32 => X32_ABI,
        };
        // SAFETY: the lock is held; the index is within the table, which has
        // as many elements as `actions`. The addresses are those of user
        // space, looked at only when a signal is delivered there.
        unsafe {
            let sa = &raw mut (*lock.sighand.as_ptr()).action[index].sa;
            (&raw mut (*sa).sa_handler)
                .cast::<usize>()
                .write(action.handler);
            (*sa).sa_flags = (action.flags | abi) as c_ulong;
            (&raw mut (*sa).sa_restorer)
                .cast::<usize>()
                .write(action.restorer);
            (*sa).sa_mask = to_sigset(action.mask);
        }
    }
    Ok(())
}

/// Sets what the current task blocks.
pub fn set_masks(masks: &Masks) -> Result {
    let valid = |set: u64| set & unblockable() == 0;
    if !valid(masks.blocked) || masks.saved.is_some_and(|set| !valid(set)) {
        return Err(EINVAL);
    }
    let mut blocked = to_sigset(masks.blocked);
    // SAFETY: concerns the current task, which alone looks at its saved mask.
    unsafe {
        bindings::set_current_blocked(&mut blocked);
        match masks.saved {
            Some(saved) => {
                (*Task::current_raw()).saved_sigmask = to_sigset(saved);
                bindings::set_restore_sigmask();
            }
            None => bindings::clear_restore_sigmask(),
        }
    }
    Ok(())
}

/// Sets the alternate stack of the current task; `EINVAL`, `ENOMEM` as
/// sigaltstack(2).
pub fn set_alt_stack(stack: &AltStack) -> Result {
    let mode = stack.flags & !bindings::SS_AUTODISARM;
    match mode {
        bindings::SS_DISABLE => {
            if stack.sp != 0 || stack.size != 0 {
                return Err(EINVAL);
            }
        }
        0 | bindings::SS_ONSTACK => {
            // None was ever set.
            let none = stack.sp == 0 && stack.size == 0 && stack.flags == 0;
            if !none && stack.size < bindings::MINSIGSTKSZ as usize {
                return Err(ENOMEM);
            }
        }
        _ => return Err(EINVAL),
    }
    let current = current!();
    let lock = SigLock::lock(current)?;
    let t = lock.task.as_ptr();
    // SAFETY: the fields are the current task's own, and the lock is held that
    // those take who compare it with the size of a signal frame.
    unsafe {
        if mode != bindings::SS_DISABLE
            && stack.size != 0
            && !bindings::sigaltstack_size_valid(stack.size)
        {
            return Err(ENOMEM);
        }
        (*t).sas_ss_sp = stack.sp as c_ulong;
        (*t).sas_ss_size = stack.size;
        (*t).sas_ss_flags = stack.flags;
    }
    Ok(())
}

/// How many signals are queued before interrupts are let in, if each is offered to one task.
const QUEUED_AT_ONCE: usize = 256;

/// The signal of a timer that was pending.
pub struct TimerSignal<'a> {
    /// How many others stand before it in the queue.
    pub before: usize,
    /// Which signal it is.
    pub signal: u32,
    /// Whose it is.
    pub sender: Sender<'a>,
}

/// Whose the signal of a timer is.
pub enum Sender<'a> {
    /// The timer's, and what it was.
    Timer(&'a Timer, &'a State),
    /// That of one that was deleted.
    Deleted(State),
    /// That of one that expires again anyway.
    Later,
}

/// Queues signals for the current task as they were: `infos`, oldest first, and
/// those of timers at their places, then those of `set` that have none. They are
/// seen when it next goes to user mode.
///
/// `EINVAL` for what can't be pending, `EAGAIN` as sigqueue(3). May sleep.
pub fn queue(queue: Queue, infos: &[Siginfo], set: u64, of_timers: &[TimerSignal<'_>]) -> Result {
    let never = mask(bindings::SIGKILL);
    let mut seen = 0u64;
    for info in infos {
        let bit = mask(info.signal());
        let legacy = info.signal() < bindings::SIGRTMIN;
        if bit & set == 0 || bit & never != 0 || (legacy && bit & seen != 0) {
            return Err(EINVAL);
        }
        seen |= bit;
    }
    if set & never != 0 {
        return Err(EINVAL);
    }
    for of_timer in of_timers {
        seen |= mask(of_timer.signal);
    }
    // One of the others is queued whatever the limit is. What can't be, or not
    // with what is known of it, is not tried with interrupts off.
    let current = current!();
    let realtime = infos.iter().filter(|i| i.signal() >= bindings::SIGRTMIN);
    let limit = attr::own_rlimits()
        .get(bindings::RLIMIT_SIGPENDING as usize)
        .map_or(0, |limit| limit.rlim_cur);
    if realtime.count() > limit {
        return Err(EAGAIN);
    }
    // For one of the process all threads may be asked.
    let threads = match queue {
        Queue::Private => 1,
        Queue::Shared => thread_count().max(1),
    };
    let send = |infos: &[Siginfo]| -> Result {
        for infos in infos.chunks((QUEUED_AT_ONCE / threads).max(1)) {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            let lock = SigLock::lock(current)?;
            lock.send_blocked(queue, infos)?;
        }
        Ok(())
    };
    let (mut sent, mut free_id) = (0, i32::MAX);
    for of_timer in of_timers {
        send(infos.get(sent..of_timer.before).ok_or(EINVAL)?)?;
        sent = of_timer.before;
        match &of_timer.sender {
            Sender::Timer(timer, state) => timer.queue_signal(state),
            Sender::Deleted(state) => timer::queue_deleted(state, &mut free_id)?,
            Sender::Later => {}
        }
    }
    send(infos.get(sent..).ok_or(EINVAL)?)?;
    let lock = SigLock::lock(current)?;
    // SAFETY: the lock is held.
    unsafe {
        let pending = lock.pending(queue);
        (*pending).signal = to_sigset(from_sigset((*pending).signal) | (set & !seen));
        bindings::recalc_sigpending();
    }
    Ok(())
}

/// Puts the current task, which will go to user mode next, and its process
/// where they were in job control: it stops on the way, and tells nobody who
/// was told before.
///
/// The state of the process is set when `leader` is.
pub fn set_stop(stop: &Stop, leader: bool) -> Result {
    let stops = stop.stopped || stop.pending;
    let is_stop_signal = matches!(
        stop.signal,
        bindings::SIGSTOP | bindings::SIGTSTP | bindings::SIGTTIN | bindings::SIGTTOU
    );
    if (stops || stop.waitable || stop.signal != 0) && !is_stop_signal
        || (stop.stopped && stop.pending)
        || (stop.group_continued && stop.group_stopped)
    {
        return Err(EINVAL);
    }
    let current = current!();
    let lock = SigLock::lock(current)?;
    let (t, group) = (lock.task.as_ptr(), lock.signal());
    // SAFETY: the lock that protects all of this is held.
    unsafe {
        if (*group).flags & bindings::SIGNAL_GROUP_EXIT != 0 {
            return Err(EINTR);
        }
        if leader {
            let mut flags = (*group).flags
                & !(bindings::SIGNAL_STOP_STOPPED
                    | bindings::SIGNAL_STOP_CONTINUED
                    | bindings::SIGNAL_CLD_STOPPED
                    | bindings::SIGNAL_CLD_CONTINUED);
            for (is, bit) in [
                (stop.group_stopped, bindings::SIGNAL_STOP_STOPPED),
                (stop.group_continued, bindings::SIGNAL_STOP_CONTINUED),
                (stop.notify_stopped, bindings::SIGNAL_CLD_STOPPED),
                (stop.notify_continued, bindings::SIGNAL_CLD_CONTINUED),
            ] {
                if is {
                    flags |= bit;
                }
            }
            (*group).flags = flags;
            (*group).group_exit_code = if stop.waitable {
                stop.signal as c_int
            } else {
                0
            };
        }
        if stops {
            let mut bits = bindings::JOBCTL_STOP_PENDING | stop.signal;
            if stop.pending {
                bits |= bindings::JOBCTL_STOP_CONSUME;
            }
            if !bindings::task_set_jobctl_pending(t, bits as c_ulong) {
                return Err(EINTR);
            }
            if stop.pending {
                (*group).group_stop_count += 1;
            }
        }
        bindings::recalc_sigpending();
        // No signal need be pending: a thread that finds this on its way tells the parent.
        if stop.notify_stopped || stop.notify_continued {
            bindings::signal_wake_up_state(t, 0);
        }
    }
    Ok(())
}
