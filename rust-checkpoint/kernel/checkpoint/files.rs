// SPDX-License-Identifier: GPL-2.0-only

//! Open files and descriptor tables.

use crate::{
    checkpoint::Checkpoint,
    freeze::Frozen,
    image::parse::Record,
    report::Object,
    restart::{Part, Restart},
};
use kernel::{fs::File, prelude::*, sync::aref::ARef};

/// The name of a file, for reports.
pub(crate) fn name(_file: &File) -> Result<KVec<u8>> {
    Ok(KVec::new())
}

/// Saves an open file; its id.
pub(crate) fn checkpoint(_ctx: &mut Checkpoint, _file: &ARef<File>, _met_as: Object) -> Result<u32> {
    Err(ENOSYS)
}

/// Saves the descriptor table of a task; its id.
pub(crate) fn checkpoint_table(_ctx: &mut Checkpoint, _frozen: &Frozen<'_>) -> Result<u32> {
    Err(ENOSYS)
}

/// Opens a file again; called by init.
pub(crate) fn restart(_rs: &mut Restart, _record: &Record<'_>) -> Result {
    Err(ENOSYS)
}

/// Rebuilds the descriptor table of the current task.
pub(crate) fn restart_table(_rs: &mut Restart, _part: &Part) -> Result {
    Err(ENOSYS)
}

/// Writes the reports to a descriptor of the caller, -1 for none.
pub(crate) fn write_log(_fd: i32, _text: &[u8]) {}
