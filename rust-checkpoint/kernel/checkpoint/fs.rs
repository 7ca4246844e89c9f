// SPDX-License-Identifier: GPL-2.0-only

//! Root, working directory and umask.
//!
//! Places are recorded by their names relative to the root of init, and are
//! found again by them. At a restart init looks them up; each task then asks
//! for them as chroot(2) and chdir(2) would.
//!
//! Refused: a directory that was removed, or that can't be reached from init's
//! root and mount namespace, or whose name leads to something else; a set that
//! is shared with init or with a process outside of the job (CLONE_FS).

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    files,
    freeze::Frozen,
    image::{
        parse::Record,
        record::{
            self as wire,
            Kind, //
        },
    },
    objhash::{
        Class,
        Found, //
    },
    outside::What,
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
};
use kernel::{
    bindings,
    checkpoint::file::{
        self,
        PathRef, //
    },
    prelude::*,
};

/// Saves what a task has; its id.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<u32> {
    let fs = file::fs_of(frozen.task()).ok_or(ESRCH)?;
    let id = match ctx.objs.id(Class::Fs, fs.key)? {
        Found::Old(id) => return Ok(id),
        Found::New(id) => id,
    };
    if !fs.alone {
        ctx.outside.ask(
            fs.key,
            frozen,
            What {
                kind: "fs",
                why: "it shares its directories (CLONE_FS) with a process outside of the job",
                remedy: "start the job with fork(2)",
            },
        )?;
    }
    let root = checkpoint_path(ctx, &fs.root, "root")?;
    let cwd = checkpoint_path(ctx, &fs.cwd, "cwd")?;
    ctx.emit(
        Section::Fs,
        Kind::Fs,
        &wire::Fs {
            id: id.into(),
            root: root.into(),
            cwd: cwd.into(),
            umask: fs.umask.into(),
        },
        &[],
    )?;
    Ok(id)
}

/// Saves a place; its id.
fn checkpoint_path(ctx: &mut Checkpoint, place: &PathRef, what: &'static str) -> Result<u32> {
    let id = match ctx.objs.id_of_pair(Class::Path, place.key())? {
        Found::Old(id) => return Ok(id),
        Found::New(id) => id,
    };
    // Looking for it may take the help of who is in the job, as with FUSE.
    let found = if place.is_of_process() {
        Err((
            "it is of a process in proc, which is not there yet when it is needed",
            "use a directory of another file system",
        ))
    } else if place.has_hook() {
        files::find_again(place)?
    } else {
        Err((
            "its file system does not say how its directories can be saved",
            "use a directory of another file system",
        ))
    };
    let (name, identity) = match found {
        Ok(found) => found,
        Err((why, remedy)) => {
            let name = place.display_name()?;
            ctx.report.refuse(Item {
                object: Object::Path(what),
                kind: "directory",
                name: &name,
                why,
                remedy,
            });
            return Ok(id);
        }
    };
    ctx.emit(
        Section::Objects,
        Kind::Path,
        &wire::Path {
            id: id.into(),
            reserved: 0.into(),
            identity,
        },
        &[&name],
    )?;
    Ok(id)
}

/// Finds a place again; called by init.
pub(crate) fn restart_path(rs: &mut Restart, record: &Record<'_>) -> Result {
    let name = record.tail();
    let place = PathRef::lookup(name).and_then(|place| {
        if place.identity()?.file_type() == bindings::S_IFDIR {
            Ok(place)
        } else {
            Err(ENOTDIR)
        }
    });
    let place = place.map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Path("directory"),
                kind: "directory",
                name,
                why: "the job had it as root or working directory, and it is not there",
                remedy: "make the directory, or mount its file system",
            },
            e,
        )
    })?;
    let paths = &mut rs.world_mut()?.paths;
    paths.push(place, GFP_KERNEL_ACCOUNT).map_err(Into::into)
}

/// Gives the current task what it had: that of the task which had it first, or
/// a set of its own.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let id = part.task.fs.get();
    if let Some(owner) = rs.owner(Class::Fs)? {
        return file::share_fs(&owner.task);
    }
    file::new_fs_for_current()?;
    let image = rs.image.clone();
    let meta = image.meta();
    let record = rs.defined_at(&meta, Class::Fs, id)?.next();
    let fs: wire::Fs = record.ok_or(EINVAL)?.head().map_err(|_| EINVAL)?;
    // The root last, so that names in reports are as in the image.
    give(rs, "cwd", fs.cwd.get(), PathRef::make_cwd)?;
    give(rs, "root", fs.root.get(), PathRef::make_root)?;
    file::set_umask(fs.umask.get());
    Ok(())
}

/// Gives the current task a place that it had.
fn give(rs: &mut Restart, what: &'static str, id: u32, make: fn(&PathRef) -> Result) -> Result {
    let i = id.checked_sub(1).ok_or(EINVAL)?;
    let place = rs.paths.get(i as usize).ok_or(EINVAL)?;
    let Err(e) = make(place) else {
        return Ok(());
    };
    let name = place.display_name()?;
    Err(rs.report.error(
        Item {
            object: Object::Path(what),
            kind: "directory",
            name: &name,
            why: "the task can't be given this directory again",
            remedy: "init needs the rights that chroot(2) and chdir(2) ask for",
        },
        e,
    ))
}
