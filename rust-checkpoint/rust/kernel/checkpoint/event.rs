// SPDX-License-Identifier: GPL-2.0-only

//! Completions that can be waited for killably and with a time-out.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use crate::{bindings, error::to_result, prelude::*, types::Opaque};

/// Something that happens, once or several times.
///
/// # Invariants
///
/// The inner completion is initialized and never moved.
#[pin_data]
pub struct Event {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: a `struct completion` may be used from any task.
unsafe impl Send for Event {}
// SAFETY: its operations take the lock inside it.
unsafe impl Sync for Event {}

impl Event {
    /// An event that has not happened.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: initialized here, pinned by the caller.
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// The completion inside, for C.
    pub(super) fn as_raw(&self) -> *mut bindings::completion {
        self.inner.get()
    }

    /// It happened once: one waiter goes on.
    #[doc(alias = "complete")]
    pub fn happen(&self) {
        // SAFETY: by the type invariant the completion is initialized.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// It happened for good: all waiters, now and later, go on.
    #[doc(alias = "complete_all")]
    pub fn happen_for_all(&self) {
        // SAFETY: by the type invariant the completion is initialized.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Whether it happened; takes one occurrence if so. Does not sleep.
    #[doc(alias = "try_wait_for_completion")]
    pub fn try_wait(&self) -> bool {
        // SAFETY: by the type invariant the completion is initialized.
        unsafe { bindings::try_wait_for_completion(self.inner.get()) }
    }

    /// Waits; a fatal signal ends the wait with `ERESTARTSYS`.
    #[doc(alias = "wait_for_completion_killable")]
    pub fn wait_killable(&self) -> Result {
        // SAFETY: by the type invariant the completion is initialized.
        to_result(unsafe { bindings::wait_for_completion_killable(self.inner.get()) })
    }

    /// Waits for as long as it takes, whatever signals come.
    #[doc(alias = "wait_for_completion")]
    pub fn wait(&self) {
        // SAFETY: by the type invariant the completion is initialized.
        unsafe { bindings::wait_for_completion(self.inner.get()) };
    }

    /// The same, for as long as somebody else needs: no sign of a hang, and no load.
    #[doc(alias = "wait_for_completion_state")]
    pub fn wait_idle(&self) {
        // SAFETY: by the type invariant the completion is initialized.
        unsafe { bindings::wait_for_completion_state(self.inner.get(), bindings::TASK_IDLE) };
    }

    /// Waits for at most `jiffies`; `Ok(false)` when they ran out, an error
    /// when a fatal signal came.
    #[doc(alias = "wait_for_completion_killable_timeout")]
    pub fn wait_killable_timeout(&self, jiffies: c_ulong) -> Result<bool> {
        // SAFETY: by the type invariant the completion is initialized.
        let left =
            unsafe { bindings::wait_for_completion_killable_timeout(self.inner.get(), jiffies) };
        if left < 0 {
            return Err(EINTR);
        }
        Ok(left > 0)
    }
}
