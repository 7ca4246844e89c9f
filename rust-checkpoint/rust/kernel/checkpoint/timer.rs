// SPDX-License-Identifier: GPL-2.0-only

//! Timers of processes: those of setitimer(2) and of timer_create(2).
//!
//! C headers: [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h),
//! [`include/linux/posix-timers.h`](srctree/include/linux/posix-timers.h)

use super::task::Still;
use crate::{
    bindings,
    checkpoint::gfp,
    cred::Credential,
    error::to_result,
    pid_namespace::PidNamespace,
    prelude::*,
    task::Task, //
};
use core::ptr::NonNull;

/// The clock by which a timer of this one expires: for those that wake the machine the same
/// without alarm, for others, but for some of CLOCK_REALTIME, itself.
pub fn base_of(clock: i32) -> i32 {
    const REALTIME: i32 = bindings::CLOCK_REALTIME_ALARM as i32;
    const BOOTTIME: i32 = bindings::CLOCK_BOOTTIME_ALARM as i32;
    match clock {
        REALTIME => bindings::CLOCK_REALTIME as i32,
        BOOTTIME => bindings::CLOCK_BOOTTIME as i32,
        clock => clock,
    }
}

/// [`State::notify`]: a thread gets the signal.
pub const SIGEV_THREAD_ID: i32 = bindings::SIGEV_THREAD_ID as i32;

/// What a timer of timer_create(2) is.
#[doc(alias = "checkpoint_timer")]
pub type State = bindings::checkpoint_timer;

/// Those of the process of a task, all of whose tasks stand still.
pub fn all(task: &Still<'_>) -> Result<KVVec<State>> {
    let mut timers = KVVec::new();
    loop {
        let room = timers.len();
        // SAFETY: the task is alive, and there is room for as many as it is told.
        let nr = unsafe {
            bindings::checkpoint_get_timers(task.as_ptr(), timers.as_mut_ptr(), room as c_uint)
        } as usize;
        if nr <= room {
            timers.truncate(nr);
            return Ok(timers);
        }
        timers.resize(nr, State::default(), gfp())?;
    }
}

/// The ID that timer_create(2) tries next for the process of a task.
pub fn next_id(task: &Still<'_>) -> i32 {
    // SAFETY: the task is alive, and so is its signal structure.
    unsafe { bindings::checkpoint_next_timer_id(task.as_ptr()) }
}

/// Sets that of the current process.
pub fn set_next_id(id: i32) {
    // SAFETY: an atomic write to the signal structure of the current task.
    unsafe { bindings::checkpoint_set_next_timer_id(id) };
}

/// A timer of a process that is restored, not armed yet.
///
/// # Invariants
///
/// There is a reference to the timer, and it is ours.
#[doc(alias = "k_itimer")]
pub struct Timer(NonNull<bindings::k_itimer>);

// SAFETY: the reference may be dropped anywhere; whatever else is done with a timer takes its lock.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// Creates a timer of the current process, as `state` says, with that ID. For a process whose
    /// other threads have not been to user mode. The pids are those of `ns`; what takes a right
    /// is asked of `cred`, or of the current task.
    ///
    /// `EBUSY`: there is one with this ID. Others as timer_create(2).
    pub fn new(state: &State, ns: &PidNamespace, cred: &Credential) -> Result<Self> {
        let mut timer = core::ptr::null_mut();
        // SAFETY: called by the current task on its own behalf. Should another thread create timers
        // meanwhile, it is found that the newest is not this one.
        to_result(unsafe {
            bindings::checkpoint_new_timer(state, ns.as_ptr(), cred.as_ptr(), &mut timer)
        })?;
        // INVARIANT: a reference comes with the result.
        Ok(Self(NonNull::new(timer).ok_or(EINVAL)?))
    }

    /// Queues its signal, which was pending; at the end of the queue. By the task that the signal
    /// is for, or a task of that process.
    pub fn queue_signal(&self, state: &State) {
        // SAFETY: by the type invariant the timer is valid; takes the locks that protect it and the
        // queue.
        unsafe { bindings::checkpoint_queue_timer(self.0.as_ptr(), state) };
    }

    /// Has it go on as `state` says, where `expires` is on the clocks of this boot; `queued`: its
    /// signal was queued. Does nothing when its process has exited.
    pub fn arm(self, state: &State, queued: bool) {
        // SAFETY: by the type invariant the timer is valid; takes the lock that protects it, and
        // looks whether it may be armed. Its state is what the checks of the image let pass, or
        // gives a timer that expires at once, too late, or with a wrong count.
        unsafe { bindings::checkpoint_arm_timer(self.0.as_ptr(), state, queued) };
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the reference is ours.
        unsafe { bindings::checkpoint_put_timer(self.0.as_ptr()) };
    }
}

/// Queues a signal of a timer of the current process that was deleted since: it is pending, and
/// nobody gets it. `state` has the ID, the signal, what it would have brought, and whether the
/// current thread was to get it.
///
/// `free` is an ID from which on, downwards, one is looked for that is free. For a process whose
/// other threads have not been to user mode; fails as timer_create(2), or with `EINTR`.
pub fn queue_deleted(state: &State, free: &mut i32) -> Result {
    // SAFETY: called by the current task on its own behalf. Should another thread create timers
    // meanwhile, it is found that the newest is not this one.
    to_result(unsafe { bindings::checkpoint_queue_deleted_timer(state, free) })
}

/// How many timers setitimer(2) knows.
pub const ITIMERS: usize = bindings::CHECKPOINT_ITIMERS as usize;

/// ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF of a process.
#[doc(alias = "checkpoint_itimer")]
pub type Itimers = [bindings::checkpoint_itimer; ITIMERS];

/// Has those of a process go on that has not been to user mode. Does nothing to one that
/// has exited.
pub fn arm_itimers(task: &Task, itimers: &Itimers) {
    // SAFETY: the task is alive, and so is its signal structure. Takes the lock that protects them,
    // and leaves no timer running in a process that has exited.
    unsafe { bindings::checkpoint_arm_itimers(task.as_ptr(), itimers.as_ptr()) };
}
