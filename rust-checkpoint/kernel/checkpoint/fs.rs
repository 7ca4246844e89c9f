// SPDX-License-Identifier: GPL-2.0-only

//! Root, working directory and umask.

use crate::{
    checkpoint::Checkpoint,
    freeze::Frozen,
    image::parse::Record,
    restart::{Part, Restart},
};
use kernel::prelude::*;

/// Saves what a task has; its id.
pub(crate) fn checkpoint(_ctx: &mut Checkpoint, _frozen: &Frozen<'_>) -> Result<u32> {
    Err(ENOSYS)
}

/// Finds a place again; called by init.
pub(crate) fn restart_path(_rs: &mut Restart, _record: &Record<'_>) -> Result {
    Err(ENOSYS)
}

/// Gives the current task what it had.
pub(crate) fn restart(_rs: &mut Restart, _part: &Part) -> Result {
    Err(ENOSYS)
}
