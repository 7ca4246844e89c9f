// SPDX-License-Identifier: GPL-2.0-only

//! System V shared memory: the segments of an IPC namespace.
//!
//! C header: [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h)

use crate::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::File,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};
use core::ptr::NonNull;

/// What a segment is.
#[doc(alias = "checkpoint_segment")]
pub type State = bindings::checkpoint_segment;

/// Takes over the reference that comes with a file which nobody has a descriptor of.
///
/// # Safety
///
/// `file` is a file with a reference, null, or an error pointer.
unsafe fn own(file: *mut bindings::file) -> Result<Option<ARef<File>>> {
    let file = from_err_ptr(file)?;
    // SAFETY: by the requirements of this function; without a descriptor nobody holds its
    // position.
    Ok(NonNull::new(file).map(|file| unsafe { ARef::from_raw(file.cast()) }))
}

/// Calls `f` for each segment in the IPC namespace of the current task, with its memory, in
/// the order of their ids.
///
/// Ids of users are those of the user namespace of the current task, `u32::MAX` where it
/// has none; pids those of its pid namespace, 0 where it has none.
pub fn for_each(mut f: impl FnMut(&State, &File) -> Result) -> Result {
    let mut index: c_int = 0;
    loop {
        let mut state = State::default();
        // SAFETY: both are valid for writes; the reference comes with the result.
        let memory = unsafe { own(bindings::checkpoint_next_segment(&mut index, &mut state)) }?;
        let Some(memory) = memory else {
            return Ok(());
        };
        f(&state, &memory)?;
        index = index.checked_add(1).ok_or(EOVERFLOW)?;
    }
}

/// Whether processes that `ns` does not see use the IPC namespace of its init, which calls.
/// Looks at all tasks of the machine.
pub fn is_ipc_shared(ns: &PidNamespace) -> bool {
    // SAFETY: the namespace is alive; it is only compared.
    unsafe { bindings::checkpoint_ipc_shared(ns.as_ptr()) }
}

/// A segment that was made for a restart. It is removed when this goes, unless it was
/// [committed](Self::commit).
pub struct Segment {
    state: State,
    memory: ARef<File>,
    ready: bool,
    finished: bool,
}

impl Segment {
    /// Makes a segment, empty, which belongs to the current task. `EPERM`: that may not choose
    /// ids; `EEXIST`: its id or its key is taken; else as shmget(2).
    #[doc(alias = "newseg")]
    pub fn create(state: State, noreserve: bool) -> Result<Self> {
        // SAFETY: `state` is valid for reading; the reference comes with the result.
        let memory = unsafe { own(bindings::checkpoint_new_segment(&state, noreserve)) }?;
        Ok(Self {
            state,
            memory: memory.ok_or(ENOMEM)?,
            ready: false,
            finished: false,
        })
    }

    /// What it is, or is to be.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The file behind it.
    pub fn memory(&self) -> &ARef<File> {
        &self.memory
    }

    /// A file to map it with. It counts as attached while that is mapped.
    #[doc(alias = "shmat")]
    pub fn attach(&self, writable: bool) -> Result<ARef<File>> {
        let flags = match writable {
            true => bindings::O_RDWR,
            false => bindings::O_RDONLY,
        };
        // SAFETY: the memory is that of the segment; the reference comes with the result.
        let file = unsafe {
            own(bindings::checkpoint_attach_segment(
                self.state.id,
                self.memory.as_ptr(),
                flags as c_int,
            ))
        }?;
        file.ok_or(ENOMEM)
    }

    /// Does what may fail of giving it to its owners. `EINVAL`: one of them has no id; `EPERM`:
    /// the current task may not make one in the name of another, or lock memory; `ENOMEM`: nor
    /// lock so much.
    pub fn make_ready(&mut self) -> Result {
        // SAFETY: `state` is valid for reading, the memory is that of the segment.
        to_result(unsafe {
            bindings::checkpoint_ready_segment(&self.state, self.memory.as_ptr())
        })?;
        self.ready = true;
        Ok(())
    }

    /// Gives it to its owners, when all have mapped it and it was [made ready](Self::make_ready).
    /// `creator` is the one that has made it, a task of this restart that stands still.
    pub fn commit(mut self, creator: Option<&Task>) {
        if !self.ready {
            return;
        }
        let creator = creator.map_or(core::ptr::null_mut(), |creator| creator.as_ptr());
        // SAFETY: `state` is valid for reading, the memory is that of the segment; there is a
        // reference to the creator, if any.
        unsafe { bindings::checkpoint_commit_segment(&self.state, self.memory.as_ptr(), creator) };
        self.finished = true;
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: the memory is that of the segment.
            unsafe { bindings::checkpoint_drop_segment(self.state.id, self.memory.as_ptr()) };
        }
    }
}
