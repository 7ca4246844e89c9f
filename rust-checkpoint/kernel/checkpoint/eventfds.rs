// SPDX-License-Identifier: GPL-2.0-only

//! eventfd(2).
//!
//! An eventfd is its counter, whatever that is, and whether it is a semaphore. It
//! has no path and can't be opened again, so that each is one open file. Who was
//! waiting to read from it or to write to it does so again: these system calls
//! are restarted.
//!
//! The number in /proc/PID/fdinfo (eventfd-id) is one that the kernel gives out
//! for the whole machine, and another one after the restart.
//!
//! Refused: those that something in the kernel signals, or waits for, such as a
//! virtual machine or a device; it would not know them again.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    files,
    image::{
        parse::Record,
        record::{
            self as wire,
            file_kind,
            Kind, //
        },
    },
    objhash::Class,
    restart::Restart, //
};
use kernel::{
    bindings,
    checkpoint::{
        eventfd::{
            self,
            State, //
        },
        file::{
            FileExt,
            PathRef, //
        },
    },
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};
use zerocopy::FromZeros;

/// Flags beside the access mode: what fcntl(2) can set.
const EVENTFD_FLAGS: u32 = bindings::O_APPEND | bindings::O_NOATIME | bindings::O_NONBLOCK;

/// Saves an eventfd, which is what `state` says.
fn checkpoint(ctx: &mut Checkpoint, file: &File, state: &State) -> Result {
    let place = PathRef::of_file(file);
    let name = place.display_name()?;
    let mut refused = false;
    for (kind, refusal) in files::attachments(file) {
        files::refuse(ctx, kind, &name, refusal);
        refused = true;
    }
    let flags = file.flags();
    if flags & bindings::O_ACCMODE != bindings::O_RDWR
        || flags & !(EVENTFD_FLAGS | bindings::O_ACCMODE) != 0
    {
        let refusal = ("it has a flag that is not supported", "");
        files::refuse(ctx, "eventfd", &name, refusal);
        refused = true;
    }
    if state.held {
        let refusal = (
            "something in the kernel signals it or waits for it (io_uring, asynchronous I/O, a \
             virtual machine, a device)",
            "end what uses it",
        );
        files::refuse(ctx, "eventfd", &name, refusal);
        refused = true;
    }
    if refused {
        return Ok(());
    }
    // Each is met once, as the open file that it is.
    let id = ctx.objs.next_id(Class::Eventfd)?;
    let semaphore = match state.semaphore {
        true => wire::EVENTFD_SEMAPHORE,
        false => 0,
    };
    ctx.emit(
        Section::Objects,
        Kind::Eventfd,
        &wire::Eventfd {
            id: id.into(),
            flags: semaphore.into(),
            count: state.count.into(),
        },
        &[],
    )?;
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: file_kind::EVENTFD.into(),
            init_fd: i32::try_from(id)?.into(),
            flags: flags.into(),
            pos: 0.into(),
            identity: wire::Identity::new_zeroed(),
        },
        &[&name],
    )
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of an eventfd.
#[export]
unsafe extern "C" fn eventfd_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function; only the operations of eventfds have this hook.
    unsafe {
        files::as_hook(ctx, file, |ctx, file| {
            checkpoint(ctx, file, &eventfd::describe(file))
        })
    }
}

fn failed(rs: &mut Restart, name: &[u8], why: &'static str, e: Error) -> Error {
    files::failed(rs, "eventfd", name, (why, ""), e)
}

/// Makes an eventfd; called by init.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Eventfd = record.head().map_err(|_| EINVAL)?;
    let made = eventfd::create(&State {
        count: head.count.get(),
        semaphore: head.flags.get() & wire::EVENTFD_SEMAPHORE != 0,
        held: false,
    })
    .map_err(|e| failed(rs, b"", "it can't be made", e))?;
    rs.eventfds
        .push(Some(made), GFP_KERNEL_ACCOUNT)
        .map_err(Into::into)
}

/// The open file that an eventfd is; called by init.
pub(crate) fn restart_file(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let index = u32::try_from(head.init_fd.get())?
        .checked_sub(1)
        .ok_or(EINVAL)?;
    let flags = head.flags.get();
    let made = rs.eventfds.get_mut(index as usize).and_then(Option::take);
    let file = made.ok_or(EINVAL)?;
    if flags & bindings::O_ACCMODE != bindings::O_RDWR
        || flags & !(EVENTFD_FLAGS | bindings::O_ACCMODE) != 0
    {
        let why = "it had flags that it can't have";
        return Err(failed(rs, name, why, EINVAL));
    }
    // SAFETY: nobody else knows the file.
    unsafe { file.set_flags(EVENTFD_FLAGS, flags) };
    Ok(file)
}
