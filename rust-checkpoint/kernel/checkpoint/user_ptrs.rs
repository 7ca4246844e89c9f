// SPDX-License-Identifier: GPL-2.0-only

//! User addresses that the kernel was told of, and acts on by itself:
//! restartable sequences, robust futexes, the word cleared on exit.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    freeze::Frozen,
    image::record::{
        self as wire,
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
    checkpoint::user_ptrs::{
        self,
        AtExit,
        Rseq, //
    },
    prelude::*,
};

/// Saves the addresses of a task.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let still = still(frozen)?;
    let at = user_ptrs::at_exit(&still);
    let rseq = user_ptrs::rseq(&still).unwrap_or(Rseq {
        addr: 0,
        len: 0,
        sig: 0,
        slice: false,
    });
    ctx.emit(
        Section::Tasks,
        Kind::UserPtrs,
        &wire::UserPtrs {
            clear_child_tid: (at.clear_child_tid as u64).into(),
            robust_list: (at.robust_list as u64).into(),
            compat_robust_list: (at.compat_robust_list as u64).into(),
            rseq: (rseq.addr as u64).into(),
            rseq_len: rseq.len.into(),
            rseq_sig: rseq.sig.into(),
            rseq_flags: if rseq.slice { wire::RSEQ_SLICE } else { 0 }.into(),
            reserved: 0.into(),
        },
        &[],
    )
}

fn record(rs: &Restart, part: &Part) -> Result<wire::UserPtrs> {
    let meta = rs.image.meta();
    part.record(&meta, Kind::UserPtrs)?
        .head()
        .map_err(|_| EINVAL)
}

/// Registers the area of restartable sequences of the current task.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let head = record(rs, part)?;
    if head.rseq.get() == 0 {
        return Ok(());
    }
    user_ptrs::set_rseq(&Rseq {
        addr: head.rseq.get() as usize,
        len: head.rseq_len.get(),
        sig: head.rseq_sig.get(),
        slice: head.rseq_flags.get() & wire::RSEQ_SLICE != 0,
    })
    .map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Vma(head.rseq.get() as usize),
                kind: "rseq",
                name: b"",
                why: match e {
                    e if e == EFAULT => "its area of restartable sequences can't be read",
                    e if e == EOPNOTSUPP => "this kernel has no time slice extensions",
                    _ => "its area of restartable sequences does not fit this kernel",
                },
                remedy: "restart on a kernel with the same rseq features",
            },
            e,
        )
    })
}

/// Says what happens on the exit of the current task. Not before it is certain
/// that the job runs: a task that is killed before must not touch shared memory.
pub(crate) fn release(rs: &Restart, part: &Part) -> Result {
    let head = record(rs, part)?;
    user_ptrs::set_at_exit(&AtExit {
        clear_child_tid: head.clear_child_tid.get() as usize,
        robust_list: head.robust_list.get() as usize,
        compat_robust_list: head.compat_robust_list.get() as usize,
    });
    Ok(())
}
