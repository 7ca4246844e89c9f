// SPDX-License-Identifier: GPL-2.0-only

//! Pipes of pipe(2), and FIFOs.
//!
//! What is in a pipe is in the metadata, with the boundaries of packets. The
//! ends are open files as others, any number for a pipe: each end may have been
//! opened again through /proc/PID/fd. At the restart init makes the pipe, fills
//! it, and opens the ends that the image names; with those of `pipe(2)` itself
//! it has no name to go by, and gives them to the first that have their mode.
//! What nobody has, as of a pipe whose other end was closed, is closed again.
//!
//! The pipe has another inode number after the restart, as pipe(2) chooses it.
//!
//! A FIFO has a name, which leads to it after the restart as well; what is in it
//! is lost with its last end, and so is in the image. Init opens it first, for
//! reading and writing, so that no other opening waits, and fills it; then come
//! the ends, each by the path it had. Somebody who has it open before that is in
//! the way: what is in a FIFO can't be put behind what others have written. A
//! reader that no writer has come to yet waits for one as it did, whereas one that
//! has lost its writers is at the end.
//!
//! Refused: pipes for notifications, FIFOs whose path does not lead to them any
//! more, and pipes and FIFOs that a process outside of the job, or init, has an
//! end of: they would not be connected any more. What init has open as the same
//! open file is init's business ([`crate::files`]).

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
    objhash::{
        Class,
        Found, //
    },
    restart::Restart, //
};
use kernel::{
    bindings,
    checkpoint::{
        file::{
            close_now,
            FileExt,
            PathRef, //
        },
        gfp,
        pipe, //
    },
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};
use zerocopy::FromZeros;

/// Flags of an end beside its access mode: what fcntl(2) can set, and one that
/// open(2) may have set.
const PIPE_FLAGS: u32 = bindings::O_APPEND
    | bindings::O_DIRECT
    | bindings::O_LARGEFILE
    | bindings::O_NOATIME
    | bindings::O_NONBLOCK;

/// Saves an end of a pipe.
fn checkpoint(ctx: &mut Checkpoint, file: &File) -> Result {
    let place = PathRef::of_file(file);
    let mut name = place.display_name()?;
    let mut fifo = None;
    if !pipe::is_anonymous(file) {
        match files::find_again(&place)? {
            Ok((path, identity)) => {
                name = path;
                fifo = Some(identity);
            }
            Err(refusal) => {
                files::refuse(ctx, "fifo", &name, refusal);
                return Ok(());
            }
        }
    }
    let what = if fifo.is_some() { "fifo" } else { "pipe" };
    let mut refused = false;
    for (kind, refusal) in files::attachments(file) {
        files::refuse(ctx, kind, &name, refusal);
        refused = true;
    }
    let flags = file.flags() & !bindings::FASYNC;
    if flags & !(PIPE_FLAGS | bindings::O_ACCMODE) != 0 {
        let refusal = ("it was opened with a flag that is not supported", "");
        files::refuse(ctx, what, &name, refusal);
        refused = true;
    }
    if refused {
        return Ok(());
    }
    let id = match ctx.objs.id(Class::Pipe, place.inode())? {
        Found::Old(id) => id,
        Found::New(id) => {
            if !checkpoint_content(ctx, file, &place, &name, fifo, id)? {
                return Ok(());
            }
            id
        }
    };
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: match fifo {
                Some(_) => file_kind::FIFO,
                None => file_kind::PIPE,
            }
            .into(),
            init_fd: i32::try_from(id)?.into(),
            flags: flags.into(),
            pos: match fifo {
                Some(_) if pipe::waits_for_writer(file) => wire::FIFO_WAITS,
                _ => 0,
            }
            .into(),
            identity: match fifo {
                Some(identity) => identity,
                None => wire::Identity {
                    mode: place.identity()?.mode.into(),
                    ..wire::Identity::new_zeroed()
                },
            },
        },
        &[&name],
    )
}

/// Saves a pipe, or the FIFO that is `fifo`, with what is in it; false if it was
/// refused.
fn checkpoint_content(
    ctx: &mut Checkpoint,
    file: &File,
    place: &PathRef,
    name: &[u8],
    fifo: Option<wire::Identity>,
    id: u32,
) -> Result<bool> {
    let kind = if fifo.is_some() { "fifo" } else { "pipe" };
    let mut buffers = KVVec::new();
    let peeked = pipe::peek(file, |data, packet| {
        buffers.push((data, packet), gfp()).map_err(Into::into)
    });
    let capacity = match peeked {
        Ok(capacity) => capacity,
        Err(e) if e == EOPNOTSUPP => {
            let refusal = (
                "pipes for notifications (watch_queue(7)) are not supported",
                "close it before the checkpoint",
            );
            files::refuse(ctx, "pipe", name, refusal);
            return Ok(false);
        }
        Err(e) if e == ENOMEM || e == EINTR => return Err(e),
        Err(_) => {
            let refusal = (
                "what was spliced into it can't be read any more",
                "have the job read it",
            );
            files::refuse(ctx, kind, name, refusal);
            return Ok(false);
        }
    };
    let attributes = place.attributes()?;
    // The owner of a FIFO is that of the file that is there.
    if fifo.is_none() && (attributes.uid == u32::MAX || attributes.gid == u32::MAX) {
        let refusal = (
            "its owner has no id in the user namespace of init",
            "change its owner",
        );
        files::refuse(ctx, "pipe", name, refusal);
        return Ok(false);
    }
    ctx.files.add_inode(
        place,
        ctx.met_as,
        kind,
        (
            "init or a process outside of the job has the other end, or this one once more",
            "let init have the same end open, too, or connect processes of the job only",
        ),
    )?;
    if let Some(identity) = fifo {
        let fifo = wire::Fifo {
            id: id.into(),
            capacity: capacity.into(),
            identity,
        };
        ctx.emit(Section::Objects, Kind::Fifo, &fifo, &[name])?;
    } else {
        let pipe = wire::Pipe {
            id: id.into(),
            capacity: capacity.into(),
            uid: attributes.uid.into(),
            gid: attributes.gid.into(),
            mode: attributes.mode.into(),
            reserved: 0.into(),
        };
        ctx.emit(Section::Objects, Kind::Pipe, &pipe, &[])?;
    }
    for (data, packet) in &buffers {
        let flags = if *packet { wire::PIPE_PACKET } else { 0 };
        ctx.emit(
            Section::Objects,
            Kind::PipeData,
            &wire::PipeData {
                flags: flags.into(),
                reserved: 0.into(),
            },
            &[data],
        )?;
    }
    Ok(true)
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a file.
#[export]
unsafe extern "C" fn pipe_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { files::as_hook(ctx, file, checkpoint) }
}

/// A pipe that was made again.
pub(crate) struct Made {
    /// Its end for reading, until somebody has it.
    read: Option<ARef<File>>,
    /// Its end for writing, until somebody has it.
    write: Option<ARef<File>>,
    /// For a FIFO: both in one, until all ends are open.
    both: Option<ARef<File>>,
    place: PathRef,
}

/// Closes the ends that nobody has; called by init.
pub(crate) fn close_rest(rs: &mut Restart) {
    for made in core::mem::take(&mut rs.pipes) {
        // Now, not when init goes back to user mode: who reads from the other
        // end would see it open.
        for file in [made.read, made.write, made.both].into_iter().flatten() {
            close_now(file);
        }
    }
}

fn failed(rs: &mut Restart, name: &[u8], refusal: files::Refusal, e: Error) -> Error {
    files::failed(rs, "pipe", name, refusal, e)
}

fn fifo_failed(rs: &mut Restart, name: &[u8], refusal: files::Refusal, e: Error) -> Error {
    files::failed(rs, "fifo", name, refusal, e)
}

/// Opens a FIFO, for which nobody else may have it open; called by init.
pub(crate) fn restart_fifo(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Fifo = record.head().map_err(|_| EINVAL)?;
    let name = record.tail();
    let place = look_up(rs, name)?;
    let opened = place.open(bindings::O_RDWR | bindings::O_NONBLOCK);
    let both = opened.map_err(|e| {
        let refusal = ("init may not open it", "give init the right");
        fifo_failed(rs, name, refusal, e)
    })?;
    pipe::claim(&both, head.capacity.get()).map_err(|e| {
        let refusal = if e == EBUSY {
            (
                "somebody has it open, whose data would get in between",
                "end what has it open",
            )
        } else {
            (
                "init may not give it the capacity it had",
                "raise fs.pipe-max-size and fs.pipe-user-pages-soft, or give init the right",
            )
        };
        fifo_failed(rs, name, refusal, e)
    })?;
    let made = Made {
        read: None,
        write: None,
        both: Some(both),
        place,
    };
    rs.pipes.push(made, GFP_KERNEL_ACCOUNT).map_err(Into::into)
}

/// The FIFO behind a path.
fn look_up(rs: &mut Restart, name: &[u8]) -> Result<PathRef> {
    let place = PathRef::lookup(name).map_err(|e| {
        let why = if e == ENOENT {
            "it is not there"
        } else {
            "it can't be looked up"
        };
        fifo_failed(rs, name, (why, "make it again with mkfifo(1)"), e)
    })?;
    match place.identity() {
        Ok(is) if is.file_type() == bindings::S_IFIFO => Ok(place),
        Ok(_) => {
            let refusal = ("it is no FIFO any more", "make it again with mkfifo(1)");
            Err(fifo_failed(rs, name, refusal, ESTALE))
        }
        Err(e) => Err(fifo_failed(rs, name, ("it can't be looked at", ""), e)),
    }
}

/// Opens an end of a FIFO; called by init.
pub(crate) fn restart_fifo_end(
    rs: &mut Restart,
    head: &wire::File,
    name: &[u8],
) -> Result<ARef<File>> {
    let flags = head.flags.get();
    if flags & !(PIPE_FLAGS | bindings::O_ACCMODE) != 0 {
        return Err(EINVAL);
    }
    // By its own path: it may have several.
    let place = look_up(rs, name)?;
    let index = u32::try_from(head.init_fd.get())?
        .checked_sub(1)
        .ok_or(EINVAL)?;
    let made = rs.pipes.get(index as usize).ok_or(EINVAL)?;
    // Nothing waits: it is open for both.
    if made.both.is_none() || !made.place.is_same_file(&place) {
        let refusal = ("its paths do not lead to one FIFO any more", "");
        return Err(fifo_failed(rs, name, refusal, ESTALE));
    }
    let opened = place.open(flags & !bindings::O_DIRECT);
    let file =
        opened.map_err(|e| fifo_failed(rs, name, ("an end can't be opened as it was", ""), e))?;
    // SAFETY: nobody else knows the file.
    unsafe {
        file.set_flags(PIPE_FLAGS, flags);
        if head.pos.get() == wire::FIFO_WAITS {
            pipe::wait_for_writer(&file);
        }
    }
    Ok(file)
}

/// Makes a pipe; called by init.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Pipe = record.head().map_err(|_| EINVAL)?;
    let [read, write] = pipe::create(
        head.capacity.get(),
        head.uid.get(),
        head.gid.get(),
        head.mode.get(),
    )
    .map_err(|e| {
        let refusal = if e == EPERM {
            (
                "init may not make a pipe of this capacity and owner",
                "raise fs.pipe-max-size and fs.pipe-user-pages-soft, or give init the right",
            )
        } else {
            ("it can't be made", "")
        };
        failed(rs, b"", refusal, e)
    })?;
    let made = Made {
        place: PathRef::of_file(&read),
        read: Some(read),
        write: Some(write),
        both: None,
    };
    rs.pipes.push(made, GFP_KERNEL_ACCOUNT).map_err(Into::into)
}

/// Puts into the pipe made last what was in it; called by init.
pub(crate) fn restart_data(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::PipeData = record.head().map_err(|_| EINVAL)?;
    let packet = head.flags.get() & wire::PIPE_PACKET != 0;
    let last = rs.pipes.last();
    let write = last.and_then(|made| made.write.as_ref().or(made.both.as_ref()));
    // SAFETY: the end was made or opened just now, and nobody has been given it:
    // the records of its content come before those of its ends.
    let ret = unsafe { pipe::fill(write.ok_or(EINVAL)?, record.tail(), packet) };
    ret.map_err(|e| failed(rs, b"", ("what was in it can't be put there again", ""), e))
}

/// Opens an end of a pipe; called by init.
pub(crate) fn restart_end(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let index = u32::try_from(head.init_fd.get())?
        .checked_sub(1)
        .ok_or(EINVAL)?;
    let made = rs.pipes.get_mut(index as usize).ok_or(EINVAL)?;
    let flags = head.flags.get();
    if flags & !(PIPE_FLAGS | bindings::O_ACCMODE) != 0 {
        return Err(EINVAL);
    }
    let given = match flags & bindings::O_ACCMODE {
        bindings::O_RDONLY => made.read.take(),
        bindings::O_WRONLY => made.write.take(),
        _ => None,
    };
    let opened = match given {
        Some(file) => Ok(file),
        // O_DIRECT is for files when they are opened, and means packets here.
        None => made.place.open(flags & !bindings::O_DIRECT),
    };
    let file = opened.map_err(|e| failed(rs, name, ("an end can't be opened as it was", ""), e))?;
    // SAFETY: nobody else knows the file.
    unsafe { file.set_flags(PIPE_FLAGS, flags) };
    Ok(file)
}
