// SPDX-License-Identifier: GPL-2.0-only

//! seccomp(2): how a task is confined, and filters that are made again.
//!
//! C headers: [`include/linux/seccomp.h`](srctree/include/linux/seccomp.h),
//! [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h)

use super::task::Still;
use crate::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    task::Task, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};

/// An instruction of a classic BPF program.
#[doc(alias = "sock_filter")]
pub type Insn = bindings::sock_filter;

/// How a task is confined.
pub enum Mode<'a> {
    /// Not at all.
    None,
    /// SECCOMP_MODE_STRICT.
    Strict,
    /// By filters, of which this is the newest.
    Filter(TaskFilter<'a>),
    /// It has been, and is about to die of it.
    Dead,
}

/// A filter of a task.
///
/// # Invariants
///
/// The filter is alive for `'a`.
#[derive(Clone, Copy)]
#[doc(alias = "seccomp_filter")]
pub struct TaskFilter<'a>(NonNull<bindings::seccomp_filter>, PhantomData<&'a Task>);

/// What a filter consists of.
pub struct Parts<'a> {
    /// The filter that it is stacked upon.
    pub prev: Option<TaskFilter<'a>>,
    /// Its program; none where that was not kept.
    pub program: Option<&'a [Insn]>,
    /// SECCOMP_FILTER_FLAG_LOG.
    pub log: bool,
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
    pub wait_killable_recv: bool,
    /// Somebody is notified of system calls.
    pub listener: bool,
}

impl<'a> TaskFilter<'a> {
    /// An address that no other filter has while this one is there.
    pub fn as_ptr(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }

    /// Whether it is the newest one of the current task.
    pub fn is_of_current(&self) -> bool {
        newest(current!()).1 == self.0.as_ptr()
    }

    /// What it consists of.
    #[doc(alias = "seccomp_describe_filter")]
    pub fn parts(&self) -> Parts<'a> {
        let mut parts = bindings::checkpoint_seccomp::default();
        // SAFETY: by the type invariant the filter is alive.
        unsafe { bindings::seccomp_describe_filter(self.0.as_ptr(), &mut parts) };
        let program = (!parts.insns.is_null()).then(|| {
            // SAFETY: there are as many instructions as it says, which never
            // change and are there as long as the filter.
            unsafe { core::slice::from_raw_parts(parts.insns, parts.len as usize) }
        });
        Parts {
            // INVARIANT: a filter holds the one it is stacked upon.
            prev: NonNull::new(parts.prev).map(|prev| TaskFilter(prev, PhantomData)),
            program,
            log: parts.log,
            wait_killable_recv: parts.wait_killable_recv,
            listener: parts.listener,
        }
    }
}

/// Mode and newest filter, or null, of a task.
fn newest(task: &Task) -> (c_int, *mut bindings::seccomp_filter) {
    let mut filter = ptr::null_mut();
    // SAFETY: the task is alive; reads two scalars.
    let mode = unsafe { bindings::checkpoint_get_seccomp(task.as_ptr(), &mut filter) };
    (mode, filter)
}

/// How a task is confined.
pub fn of<'a>(task: &'a Still<'_>) -> Mode<'a> {
    match newest(task) {
        (0, _) => Mode::None,
        (mode, filter) if mode as u32 == bindings::SECCOMP_MODE_FILTER => {
            match NonNull::new(filter) {
                // INVARIANT: the task stands still, so it does not exit; until
                // then, it keeps its filters: others are stacked upon them.
                Some(filter) => Mode::Filter(TaskFilter(filter, PhantomData)),
                None => Mode::Dead,
            }
        }
        (mode, _) if mode as u32 == bindings::SECCOMP_MODE_STRICT => Mode::Strict,
        _ => Mode::Dead,
    }
}

/// Whether the current task is confined.
pub fn current_is_confined() -> bool {
    newest(current!()).0 != 0
}

/// SECCOMP_SET_MODE_STRICT for the current task. `EINVAL`: it has filters.
#[doc(alias = "prctl_set_seccomp")]
pub fn set_strict() -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_set_seccomp_strict() })
}

/// A filter that was made again, for any number of tasks to share.
///
/// # Invariants
///
/// Holds a reference to the filter, as a user of it.
#[doc(alias = "seccomp_filter")]
pub struct Filter(NonNull<bindings::seccomp_filter>);

// SAFETY: but for its counters, a filter does not change.
unsafe impl Send for Filter {}

// SAFETY: as above; the counters are atomic.
unsafe impl Sync for Filter {}

impl Filter {
    /// Makes a filter, stacked upon `prev` or else upon what the current task
    /// has. `EINVAL`, `ENOMEM` as seccomp(2).
    #[doc(alias = "seccomp_restore_filter")]
    pub fn create(
        program: &[Insn],
        log: bool,
        wait_killable_recv: bool,
        prev: Option<&Filter>,
    ) -> Result<Self> {
        let parts = bindings::checkpoint_seccomp {
            insns: program.as_ptr(),
            len: program.len().try_into()?,
            log,
            wait_killable_recv,
            ..Default::default()
        };
        let prev = prev.map_or(ptr::null_mut(), |prev| prev.0.as_ptr());
        // SAFETY: there are as many instructions as `parts` says, and `prev` is
        // a filter or null.
        let filter = from_err_ptr(unsafe { bindings::seccomp_restore_filter(&parts, prev) })?;
        // INVARIANT: the reference comes with the result.
        Ok(Self(NonNull::new(filter).ok_or(ENOMEM)?))
    }

    /// Confines the current task by the filter and those below it.
    ///
    /// `EACCES`: it may not have a filter, as seccomp(2) has it. `EINVAL`: it is
    /// confined otherwise.
    #[doc(alias = "seccomp_join_filter")]
    pub fn join(&self) -> Result {
        // SAFETY: by the type invariant the filter is alive, and has a user;
        // called by the current task on its own behalf.
        to_result(unsafe { bindings::seccomp_join_filter(self.0.as_ptr()) })
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: by the type invariant there is a reference to give up.
        unsafe { bindings::seccomp_drop_filter(self.0.as_ptr()) };
    }
}
