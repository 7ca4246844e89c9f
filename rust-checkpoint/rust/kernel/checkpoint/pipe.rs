// SPDX-License-Identifier: GPL-2.0-only

//! Pipes: what is in them, and how to make them again.
//!
//! C header: [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use crate::{
    bindings,
    checkpoint::gfp,
    error::to_result,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};
use core::ptr::{
    self,
    NonNull, //
};

/// Whether `file`, an end of a pipe or FIFO, is one of pipe(2).
pub fn is_anonymous(file: &File) -> bool {
    // SAFETY: the file is alive.
    unsafe { bindings::checkpoint_is_anonymous_pipe(file.as_ptr()) }
}

/// Looks at what is in the pipe that `file` is an end of; its capacity.
///
/// `f` gets a copy of each buffer in the order of reading, and whether it is
/// a packet, which is read by itself (O_DIRECT). It runs under the mutex of the
/// pipe.
///
/// `EOPNOTSUPP`: a pipe for notifications (watch_queue(7)).
pub fn peek<F: FnMut(KVec<u8>, bool) -> Result>(file: &File, mut f: F) -> Result<u32> {
    /// # Safety
    ///
    /// `arg` is an `F` that nobody else uses meanwhile, and `data` is valid for `len`.
    unsafe extern "C" fn call<F: FnMut(KVec<u8>, bool) -> Result>(
        arg: *mut c_void,
        data: *const c_char,
        len: usize,
        packet: bool,
    ) -> c_int {
        let mut copy = match KVec::<u8>::with_capacity(len, gfp()) {
            Ok(copy) => copy,
            Err(_) => return ENOMEM.to_errno(),
        };
        // SAFETY: `len` bytes at `data` are mapped and there is room for them.
        // Whose page was spliced into the pipe may still write there; that is
        // a race with the copy as with any reader, of bytes that mean nothing.
        unsafe {
            bindings::memcpy(copy.as_mut_ptr().cast(), data.cast::<c_void>(), len);
            copy.inc_len(len);
        }
        // SAFETY: `arg` is the closure passed below, used by nobody else
        // meanwhile.
        match unsafe { (*arg.cast::<F>())(copy, packet) } {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    let mut capacity = 0;
    // SAFETY: the file is alive; `call()` takes what is passed as its argument.
    to_result(unsafe {
        bindings::checkpoint_peek_pipe(
            file.as_ptr(),
            &mut capacity,
            Some(call::<F>),
            ptr::from_mut(&mut f).cast(),
        )
    })?;
    Ok(capacity)
}

/// Makes a pipe: its ends for reading and for writing.
///
/// Owner and group are ids in the user namespace of the current task. Fails as
/// pipe(2), F_SETPIPE_SZ, fchown(2) and fchmod(2) do.
pub fn create(capacity: u32, uid: u32, gid: u32, mode: u32) -> Result<[ARef<File>; 2]> {
    let mut ends = [ptr::null_mut(); 2];
    // SAFETY: `ends` has room for both.
    to_result(unsafe {
        bindings::checkpoint_new_pipe(ends.as_mut_ptr(), capacity, uid, gid, mode as u16)
    })?;
    let [read, write] = ends;
    let (read, write) = (
        NonNull::new(read).ok_or(ENOMEM)?,
        NonNull::new(write).ok_or(ENOMEM)?,
    );
    // SAFETY: the references come with the result; nobody else knows the files,
    // so nobody holds their position.
    Ok(unsafe { [ARef::from_raw(read.cast()), ARef::from_raw(write.cast())] })
}

/// Makes sure that nobody else has the FIFO open that `file` is the end of, and
/// that there is nothing in it; and gives it this capacity.
///
/// `file` is open for reading and writing. `EBUSY`: somebody has it open.
/// Fails else as F_SETPIPE_SZ does.
pub fn claim(file: &File, capacity: u32) -> Result {
    // SAFETY: the file is alive.
    to_result(unsafe { bindings::checkpoint_claim_fifo(file.as_ptr(), capacity) })
}

/// Whether `file`, an end of a FIFO, is one for reading that was opened without a
/// writer (O_NONBLOCK), and none has come since: it has not come to an end then.
pub fn waits_for_writer(file: &File) -> bool {
    // SAFETY: the file is alive.
    unsafe { bindings::checkpoint_fifo_waits(file.as_ptr()) }
}

/// Has `file`, an end of a FIFO for reading, wait for the next writer.
///
/// # Safety
///
/// Nobody else knows `file`.
pub unsafe fn wait_for_writer(file: &File) {
    // SAFETY: the file is alive, and by the requirements of this function used by
    // nobody else.
    unsafe { bindings::checkpoint_fifo_wait(file.as_ptr()) };
}

/// Puts data into a pipe or FIFO.
///
/// `EAGAIN`: there is no room.
///
/// # Safety
///
/// Nobody else knows `file`, the end for writing.
pub unsafe fn fill(file: &File, data: &[u8], packet: bool) -> Result {
    // SAFETY: the file is alive, and its flags are not used by anyone else by
    // the requirements of this function; `data` is valid for its length.
    to_result(unsafe {
        bindings::checkpoint_fill_pipe(file.as_ptr(), data.as_ptr().cast(), data.len(), packet)
    })
}
