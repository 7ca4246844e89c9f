// SPDX-License-Identifier: GPL-2.0-only

//! User addresses that the kernel was told of, and acts on by itself.
//!
//! C headers: [`include/linux/rseq.h`](srctree/include/linux/rseq.h),
//! [`include/linux/futex_types.h`](srctree/include/linux/futex_types.h)

use super::task::Still;
use crate::{
    bindings,
    error::to_result,
    prelude::*,
    task::Task, //
};

/// An area of restartable sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rseq {
    /// Its address.
    pub addr: usize,
    /// Its length.
    pub len: u32,
    /// What stands before an abort handler.
    pub sig: u32,
    /// Time slice extensions are enabled.
    pub slice: bool,
}

/// What the kernel does for a thread on its exit, in its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AtExit {
    /// The word that is cleared, and whose waiter is woken.
    pub clear_child_tid: usize,
    /// List of robust futexes.
    pub robust_list: usize,
    /// The same of an ia32 task.
    pub compat_robust_list: usize,
}

/// The area that a task has registered.
pub fn rseq(task: &Still<'_>) -> Option<Rseq> {
    // SAFETY: the task is alive and does not run; only it registers areas.
    unsafe {
        let rseq = &raw const (*task.as_ptr()).rseq;
        let addr = (*rseq).usrptr as usize;
        (addr != 0).then(|| Rseq {
            addr,
            len: (*rseq).len,
            sig: (*rseq).sig,
            slice: bindings::checkpoint_rseq_slice(task.as_ptr()),
        })
    }
}

/// Registers an area of the current task, which has none, and that has been in
/// use: the next way to user mode aborts a sequence that was interrupted and
/// writes the ids.
///
/// `EINVAL`: not an area. `EFAULT`: it can't be read. `EOPNOTSUPP`: there are
/// no time slice extensions.
#[doc(alias = "rseq_restore")]
pub fn set_rseq(rseq: &Rseq) -> Result {
    // SAFETY: called by the current task; the address is checked.
    to_result(unsafe {
        bindings::rseq_restore(rseq.addr as *mut _, rseq.len, rseq.sig, rseq.slice)
    })
}

/// What was said about the exit of a task.
pub fn at_exit(task: &Still<'_>) -> AtExit {
    let t = task.as_ptr();
    // SAFETY: the task is alive and does not run; only it changes these.
    unsafe {
        AtExit {
            clear_child_tid: (*t).clear_child_tid as usize,
            robust_list: (*t).futex.robust_list as usize,
            compat_robust_list: (*t).futex.compat_robust_list as usize,
        }
    }
}

/// Says what happens on the exit of the current task.
pub fn set_at_exit(at: &AtExit) {
    let t = Task::current_raw();
    // SAFETY: the fields are the current task's own. The addresses are looked
    // at on its exit, and checked then.
    unsafe {
        (*t).clear_child_tid = at.clear_child_tid as *mut _;
        (*t).futex.robust_list = at.robust_list as *mut _;
        (*t).futex.compat_robust_list = at.compat_robust_list as *mut _;
    }
}
