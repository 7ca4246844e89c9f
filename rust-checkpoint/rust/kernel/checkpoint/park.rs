// SPDX-License-Identifier: GPL-2.0-only

//! Parking tasks at their task-work point.
//!
//! A work queued with `TWA_SIGNAL` runs inside `get_signal()` before any
//! signal is dequeued and before an interrupted system call is fixed up. There
//! the whole state of a task stands in its `pt_regs` and its structures, and
//! no kernel lock is held. The work queued here sleeps until it is let go:
//! killably, but for the time in which somebody reads the task's state
//! ([`Ticket::keep`]).
//!
//! C header: [`include/linux/task_work.h`](srctree/include/linux/task_work.h)

use super::event::Event;
use crate::{
    bindings,
    checkpoint::gfp,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc,
    },
    task::Task,
    types::Opaque,
};

/// Where the tasks of one freeze wait together.
#[pin_data]
pub struct Lot {
    #[pin]
    released: Event,
    // Whether one was killed that is kept.
    killed: Atomic<u32>,
}

impl Lot {
    /// A new, empty lot.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                released <- Event::new(),
                killed: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whether a task was killed that is kept, and waits to be let go.
    pub fn has_killed(&self) -> bool {
        self.killed.load(Relaxed) != 0
    }

    /// Sleeps for a moment, where there is nothing to wait for by name. `EINTR`: a fatal
    /// signal came.
    pub fn pause(&self) -> Result {
        // Only the caller lets them go.
        self.released.wait_killable_timeout(1).map(|_| ())
    }

    /// Lets every task go that waits here or will come to wait here.
    pub fn release(&self) {
        self.released.happen_for_all();
    }
}

/// Where a task with a ticket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Has not got to its task-work point.
    Queued,
    /// Is held, or is just about to go to sleep.
    Parked,
    /// Is held, and stays until it is let go, even when it is killed.
    Kept,
    /// Is exiting and will not park.
    Exiting,
    /// Was killed while it was held, and is about to exit.
    Killed,
    /// Was killed when it was kept, and is there still.
    KeptKilled,
    /// Went on.
    Gone,
}

const QUEUED: u32 = 0;
const PARKED: u32 = 1;
const EXITING: u32 = 2;
const KILLED: u32 = 3;
const GONE: u32 = 4;
const KEPT: u32 = 5;
const KEPT_KILLED: u32 = 6;

/// The request to one task to park.
///
/// # Invariants
///
/// `work` is on the list of works of `task` only while a reference to this
/// ticket, made by [`Arc::into_raw`], is owned by that list.
#[pin_data]
#[repr(C)]
pub struct Ticket {
    // The first field, so that its address is that of the ticket.
    #[pin]
    work: Opaque<bindings::callback_head>,
    lot: Arc<Lot>,
    task: ARef<Task>,
    state: Atomic<u32>,
    // One each: who waits for many is not woken by each of them.
    #[pin]
    arrived: Event,
}

// SAFETY: `work` is only touched by the task-work code, which synchronizes;
// the other fields are `Send`.
unsafe impl Send for Ticket {}
// SAFETY: as above; `state` is atomic.
unsafe impl Sync for Ticket {}

impl Ticket {
    /// Asks `task` to park in `lot`. `ESRCH` when it has left the point in its
    /// exit after which it runs no more work.
    pub fn queue(task: ARef<Task>, lot: Arc<Lot>) -> Result<Arc<Self>> {
        let ticket = Arc::pin_init(
            pin_init!(Self {
                work <- Opaque::ffi_init(|slot: *mut bindings::callback_head| {
                    // SAFETY: `slot` is valid for writes.
                    unsafe { bindings::checkpoint_init_park(slot, Some(run)) };
                }),
                lot,
                task,
                state: Atomic::new(QUEUED),
                arrived <- Event::new(),
            }),
            gfp(),
        )?;

        // INVARIANT: the list gets a reference of its own, taken back below if
        // the work was not queued.
        let raw = Arc::into_raw(ticket.clone());
        // SAFETY: the task is alive as long as `ticket`; the work is not on
        // any list and stays valid until it ran or was cancelled.
        let ret = unsafe {
            bindings::task_work_add(
                ticket.task.as_ptr(),
                ticket.work.get(),
                bindings::task_work_notify_mode_TWA_SIGNAL,
            )
        };
        if ret != 0 {
            // SAFETY: the work was not queued, so the reference is ours again.
            drop(unsafe { Arc::from_raw(raw) });
            return Err(Error::from_errno(ret));
        }
        Ok(ticket)
    }

    /// Takes the request back where the task has not begun to act on it. For a task that was
    /// not woken by it: one that has left a system call for it is to come by, so that the call
    /// goes on, and the lot is to be released for it.
    pub fn cancel(&self) {
        // SAFETY: the task is alive as long as `self`; the work belongs to it.
        if unsafe { bindings::task_work_cancel(self.task.as_ptr(), self.work.get()) } {
            // SAFETY: cancelled, so the reference of the list is ours. It is
            // the one made in `queue()`, for the address of a ticket is that
            // of its work.
            drop(unsafe { Arc::from_raw(core::ptr::from_ref(self)) });
        }
    }

    /// Where the task is.
    pub fn state(&self) -> State {
        match self.state.load(Acquire) {
            QUEUED => State::Queued,
            PARKED => State::Parked,
            KEPT => State::Kept,
            EXITING => State::Exiting,
            KILLED => State::Killed,
            KEPT_KILLED => State::KeptKilled,
            _ => State::Gone,
        }
    }

    /// Happens once, when it is no longer [`State::Queued`].
    pub fn arrived(&self) -> &Event {
        &self.arrived
    }

    /// Has a parked task stay until it is let go, even when it is killed, so
    /// that its structures may be read. False when it is not parked.
    pub fn keep(&self) -> bool {
        self.state.cmpxchg(PARKED, KEPT, Full).is_ok()
    }

    /// The task that was asked.
    pub fn task(&self) -> &ARef<Task> {
        &self.task
    }

    /// What the task does at its task-work point.
    fn hold(&self) {
        // SAFETY: `flags` of the current task is stable.
        let exiting = unsafe { (*Task::current_raw()).flags } & bindings::PF_EXITING != 0;

        if exiting {
            self.state.store(EXITING, Release);
            self.arrived.happen();
            return;
        }
        self.state.store(PARKED, Release);
        self.arrived.happen();
        if self.lot.released.wait_killable().is_ok() {
            self.state.store(GONE, Release);
        } else if self.state.cmpxchg(PARKED, KILLED, Full).is_err() {
            // Kept, by one who does no more than copy and lets go soon.
            self.state.store(KEPT_KILLED, Release);
            self.lot.killed.store(1, Relaxed);
            self.lot.released.wait();
        }
    }
}

/// The function of the work.
///
/// # Safety
///
/// Called by the task-work code with the `work` of a ticket, once.
unsafe extern "C" fn run(work: *mut bindings::callback_head) {
    // Works are run newest first. What others have asked the task to do before, such as to
    // complete its registers, comes before it stands still.
    // SAFETY: by the requirements of this function; the one that follows `work` in this
    // batch stands in it. It was taken off the list, and may be added to it again; the list
    // owns the reference then as it did.
    unsafe {
        if !(*work).next.is_null()
            && bindings::task_work_add(
                Task::current_raw(),
                work,
                bindings::task_work_notify_mode_TWA_SIGNAL,
            ) == 0
        {
            return;
        }
    }
    // SAFETY: `work` is the first field of a ticket, and by the type invariant
    // the list, which has let go of it, owned a reference.
    let ticket = unsafe { Arc::from_raw(work.cast::<Ticket>().cast_const()) };
    ticket.hold();
    // It may be long until this is left again.
    drop(ticket);
    // SAFETY: called by the current task at its task-work point.
    unsafe { bindings::arch_checkpoint_unpark() };
}

#[repr(C)]
struct Later<F> {
    // The first field, so that its address is that of the whole.
    work: Opaque<bindings::callback_head>,
    f: F,
}

/// Something the current task will do at its task-work point: all that it takes is there.
pub struct Planned<F>(KBox<Later<F>>);

impl<F: FnOnce() + Send + 'static> Planned<F> {
    /// Plans to call `f`.
    pub fn new(f: F) -> Result<Self> {
        let later = Later {
            work: Opaque::uninit(),
            f,
        };
        Ok(Self(KBox::new(later, GFP_KERNEL_ACCOUNT)?))
    }

    /// Has the current task do it when it gets to its task-work point on the way to user
    /// mode. `ESRCH` when it is exiting.
    pub fn queue(self) -> Result {
        /// # Safety
        ///
        /// Called once by the task-work code, with the work of a `Later<F>`.
        unsafe extern "C" fn call<F: FnOnce()>(work: *mut bindings::callback_head) {
            // SAFETY: `work` is the first field of the `Later<F>` made in `new()`.
            let later = unsafe { KBox::from_raw(work.cast::<Later<F>>()) };
            (KBox::into_inner(later).f)();
            // SAFETY: called by the current task at its task-work point.
            unsafe { bindings::arch_checkpoint_unpark() };
        }

        let raw = KBox::into_raw(self.0);
        // SAFETY: the work is not on any list and stays valid until it ran, which
        // frees it.
        let ret = unsafe {
            bindings::init_task_work(raw.cast(), Some(call::<F>));
            bindings::task_work_add(
                Task::current_raw(),
                raw.cast(),
                bindings::task_work_notify_mode_TWA_SIGNAL,
            )
        };
        if ret != 0 {
            // SAFETY: the work was not queued.
            drop(unsafe { KBox::from_raw(raw) });
            return Err(Error::from_errno(ret));
        }
        Ok(())
    }
}
