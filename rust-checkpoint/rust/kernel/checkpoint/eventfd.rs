// SPDX-License-Identifier: GPL-2.0-only

//! eventfd(2): what one is, and how to make it again.
//!
//! C header: [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h)

use crate::{
    bindings,
    error::from_err_ptr,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};
use core::ptr::NonNull;

/// What an eventfd is.
#[doc(alias = "checkpoint_eventfd")]
pub type State = bindings::checkpoint_eventfd;

/// Looks at an eventfd.
///
/// # Safety
///
/// `file` is an eventfd, as its owner says who calls.
pub unsafe fn describe(file: &File) -> State {
    let mut state = State::default();
    // SAFETY: the file is alive, and an eventfd by the requirements of this function.
    unsafe { bindings::eventfd_describe(file.as_ptr(), &mut state) };
    state
}

/// Makes an eventfd that is as `state` says.
pub fn create(state: &State) -> Result<ARef<File>> {
    // SAFETY: `state` is valid for reading.
    let file = from_err_ptr(unsafe { bindings::eventfd_restore(state) })?;
    let file = NonNull::new(file).ok_or(ENOMEM)?;
    // SAFETY: the reference comes with the result; nobody else knows the file, so nobody holds its
    // position.
    Ok(unsafe { ARef::from_raw(file.cast()) })
}
