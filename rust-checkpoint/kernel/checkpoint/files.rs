// SPDX-License-Identifier: GPL-2.0-only

//! Open files and descriptor tables.
//!
//! An open file is saved because its owner says how, by `->checkpoint` in its
//! `file_operations`; most say [`generic_file_checkpoint`]: it is opened again
//! by its path. What init has open as well is init's business: it is recorded
//! as a descriptor of init and bound to what init has there at the restart.
//! Everything else is refused by name, here or by the owner.
//!
//! Files are named relative to the root of init and are looked up again while
//! the job stands still, to see that the name leads to them. No lock of a job's
//! task is held then, and mmap_lock is not either.
//!
//! A regular file that was deleted while it was open has its content in the
//! image, copied while the job stands still into memory that is charged to
//! init: it takes as much as the file has data, and as long as reading it. All
//! that the job has open of it is one file again after the restart. So has a file
//! of memfd_create(2); its seals come last, for what was mapped before them may be
//! more than they allow. Of huge pages (hugetlbfs, MFD_HUGETLB) those are copied that
//! are there.
//!
//! Pipes and FIFOs are in [`crate::pipes`], sockets in [`crate::sockets`], eventfds
//! in [`crate::eventfds`], files of processes in [`crate::proc`].
//!
//! Refused, besides what has no hook: deleted directories, files that lost the
//! name they were opened by and have another one, files that can't be reached
//! from init's root and mount namespace or that something is mounted over, locks
//! of all kinds, leases, files that signal somebody (F_SETOWN, F_NOTIFY), and
//! those that a process outside of the job has open, too (the same open file,
//! with its position, or a file without a name in any way).
//!
//! # What a file must be like at a restart
//!
//! The content of files that have a name is not in the image: the job goes on with what it finds
//! behind the names. So that this is what it left, a restart asks:
//!
//! - Type, and for a device which one, must be what they were. A link in place
//!   of the file is not followed.
//! - A regular file must have the length and the time of last modification that
//!   it had, whether it was open for reading, for writing or as a program. An
//!   output that the job went on to write after the checkpoint has to be brought
//!   back to its recorded length (truncate(1), touch(1)) or be taken from
//!   a snapshot; the report says what the length was and is.
//! - It need not be the same inode: a job may come back on another node or
//!   after a reboot, with files that were copied there together with their
//!   times (cp -a, rsync -a).
//! - Directories and devices, files of proc, and what was opened with O_PATH:
//!   nothing further.
//! - A deleted file is made again in the directory it was in, which must be
//!   there. It shows for a moment by the name it had, so that /proc/PID/fd reads
//!   as before; where that name is taken it is made without one.
//!
//! All files, but for those of processes, are looked at before the restart fails, so that the
//! report has all that are in the way. They are opened with the rights of init, with the flags
//! they had, never creating or truncating, and get their position back.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    eventfds,
    freeze::Frozen,
    image::{
        parse::Record,
        record::{
            self as wire,
            file_kind,
            Kind, //
        },
    },
    mm::{
        no_huge,
        push_shm_pages,
        TOO_FEW_HUGE, //
    },
    objhash::{
        Class,
        Found, //
    },
    outside::What,
    pipes,
    proc,
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
    segments,
    sockets,
    sort, //
};
use core::ptr;
use kernel::{
    bindings,
    checkpoint::{
        clone::Newborn,
        file::{
            self,
            Attributes,
            FileExt,
            Identity,
            PathRef,
            OPEN_FLAGS, //
        },
        gfp,
        io::{
            HeldPage,
            BATCH, //
        },
        mm, //
    },
    fs::File,
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTree,
    str::CString,
    sync::aref::ARef,
};
use zerocopy::{FromZeros, IntoBytes};

/// Whether a device, `major << 32 | minor`, keeps no state for who has it open:
/// /dev/null, zero, full, random and urandom.
fn is_stateless(device: u64) -> bool {
    matches!((device >> 32, device as u32), (1, 3 | 5 | 7..=9))
}

/// Why something can't be saved, and what would help.
pub(crate) type Refusal = (&'static str, &'static str);

/// The name of a file, for reports.
pub(crate) fn name(file: &File) -> Result<KVec<u8>> {
    PathRef::of_file(file).display_name()
}

pub(crate) fn to_wire(identity: &Identity) -> wire::Identity {
    wire::Identity {
        dev: identity.dev.into(),
        ino: identity.ino.into(),
        generation: identity.generation.into(),
        mode: identity.mode.into(),
        rdev: identity.rdev.into(),
        size: identity.size.into(),
        mtime_sec: (identity.mtime_sec as u64).into(),
        mtime_nsec: identity.mtime_nsec.into(),
        huge_shift: identity.huge_shift.into(),
    }
}

/// The name that leads to a place from init's root, and what is there; or why
/// none does.
///
/// What was opened before init unshared its mount namespace is in the old one.
/// For what has nothing below it that is as good, if it is there in the new
/// one, too.
pub(crate) fn find_again(
    place: &PathRef,
) -> Result<core::result::Result<(KVec<u8>, wire::Identity), Refusal>> {
    if place.is_deleted() {
        return Ok(Err((
            "it was deleted while it was open",
            "keep the file until the job closes it",
        )));
    }
    let name = match place.name() {
        Err(e) if e == ENAMETOOLONG => {
            return Ok(Err((
                "its path is too long",
                "use a path of less than 4096 bytes",
            )))
        }
        name => name?,
    };
    const UNREACHABLE: Refusal = (
        "init can't reach it: it is not below its root, or in another mount namespace",
        "start the job in the root and mount namespace of init",
    );
    let Some(name) = name else {
        return Ok(Err(UNREACHABLE));
    };
    let (name, elsewhere) = (name.name, name.elsewhere);
    match PathRef::lookup(&name) {
        Ok(again) if !again.is_same_file(place) => {
            if elsewhere {
                return Ok(Err(UNREACHABLE));
            }
        }
        Ok(again) if again.is_same_mount(place) || elsewhere => {
            let identity = place.identity()?;
            if elsewhere && identity.file_type() == bindings::S_IFDIR {
                return Ok(Err(UNREACHABLE));
            }
            return Ok(Ok((name, to_wire(&identity))));
        }
        Ok(_) => (),
        Err(e) if e == ENOMEM || e == EINTR || e == ERESTARTSYS => return Err(e),
        Err(_) if elsewhere => return Ok(Err(UNREACHABLE)),
        Err(_) => {
            return Ok(Err((
                "its path does not lead to it",
                "make sure that init may search all directories of the path",
            )))
        }
    }
    Ok(Err((
        "its path leads to something else: a mount or another file hides it",
        "unmount what hides it, or move the other file",
    )))
}

/// Saves an open file; its id.
///
/// Must not be called under a lock that looking up a name may need.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, file: &ARef<File>, met_as: Object) -> Result<u32> {
    // A job that has stdin, stdout and stderr of init where init has them is
    // to find them there again, also if they are one terminal now and three
    // files then.
    let like = match met_as {
        Object::Fd(fd) => fd,
        _ => u32::MAX,
    };
    if let Some(fd) = file::find_in_current(file, like) {
        // Numbers of descriptors are no addresses of files.
        let key = ptr::without_provenance::<File>(fd as usize);
        return match ctx.objs.id(Class::File, key)? {
            Found::Old(id) => Ok(id),
            Found::New(id) => {
                checkpoint_init_fd(ctx, file, id, fd)?;
                Ok(id)
            }
        };
    }
    let id = match ctx.objs.id(Class::File, file.as_ptr())? {
        Found::Old(id) => id,
        Found::New(id) => {
            ctx.met_as = met_as;
            ctx.file_id = id;
            let refusals = ctx.report.refusals();
            // SAFETY: the hooks of files take a `Checkpoint` as their context
            // and use it only while they run.
            match unsafe { file.call_hook(ptr::from_mut(ctx).cast()) } {
                Some(ret) => ret?,
                None => refuse_unknown(ctx, file)?,
            }
            if refusals == ctx.report.refusals() {
                ctx.files.add(id, file)?;
            }
            id
        }
    };
    if let Object::Fd(fd) = met_as {
        ctx.files.count(id, fd);
    }
    Ok(id)
}

/// The open files that were saved, to find out who else has them open.
#[derive(Default)]
pub(crate) struct Met {
    files: RBTree<u32, MetFile>,
    inodes: KVVec<MetInode>,
    subject: Option<(i32, [u8; 16])>,
}

/// An open file of the job.
struct MetFile {
    file: ARef<File>,
    /// Descriptors of the job for it.
    count: usize,
    /// The first of them.
    fd: u32,
    /// Whose that is.
    subject: Option<(i32, [u8; 16])>,
    /// Whether somebody outside of the job has it, too.
    shared: bool,
}

/// A file that the job must have for itself, in whatever way it is open.
struct MetInode {
    inode: *const c_void,
    kind: &'static str,
    refusal: Refusal,
    met_as: Object,
    name: KVec<u8>,
    subject: Option<(i32, [u8; 16])>,
    shared: bool,
}

impl Met {
    /// Adds a file that is refused as `kind` where somebody outside of the job,
    /// init too, has it open.
    pub(crate) fn add_inode(
        &mut self,
        place: &PathRef,
        met_as: Object,
        kind: &'static str,
        refusal: Refusal,
    ) -> Result {
        let met = MetInode {
            inode: place.inode(),
            kind,
            refusal,
            met_as,
            name: place.display_name()?,
            subject: self.subject,
            shared: false,
        };
        self.inodes.push(met, gfp()).map_err(Into::into)
    }

    /// The task whose descriptors are being saved.
    pub(crate) fn subject(&self) -> Option<(i32, [u8; 16])> {
        self.subject
    }

    fn add(&mut self, id: u32, file: &ARef<File>) -> Result {
        let met = MetFile {
            file: file.clone(),
            count: 0,
            fd: 0,
            subject: None,
            shared: false,
        };
        self.files.try_create_and_insert(id, met, gfp())?;
        Ok(())
    }

    fn count(&mut self, id: u32, fd: u32) {
        if let Some(met) = self.files.get_mut(&id) {
            if met.count == 0 {
                met.fd = fd;
                met.subject = self.subject;
            }
            met.count += 1;
        }
    }
}

/// After the last task, while the job stands still: refuses what processes
/// outside of the job have open, too.
pub(crate) fn finish(ctx: &mut Checkpoint) -> Result {
    let mut met = core::mem::take(&mut ctx.files);
    // The job's descriptors and `Met` have a reference each. Who has another
    // one may be a mapping, or somebody who just looks: it takes a closer look.
    // What is only mapped is not shared in a way that anyone could see.
    let mut suspects = KVVec::new();
    for (id, m) in met.files.iter() {
        if m.count > 0 && m.file.references() > m.count + 1 {
            suspects.push((m.file.as_ptr().cast_const(), *id), gfp())?;
        }
    }
    if suspects.is_empty() && met.inodes.is_empty() {
        return Ok(());
    }
    sort::by_key(&mut suspects, |s| *s);
    // What is looked for in each descriptor of each process is found by an
    // index: there may be millions of them.
    let mut by_inode = KVVec::with_capacity(met.inodes.len(), gfp())?;
    for (at, m) in met.inodes.iter().enumerate() {
        by_inode.push((m.inode, at), gfp())?;
    }
    sort::by_key(&mut by_inode, |i| *i);
    let mut share_inode = |inode| {
        let first = by_inode.partition_point(|(i, _)| *i < inode);
        for (_, at) in by_inode.iter().skip(first).take_while(|(i, _)| *i == inode) {
            if let Some(m) = met.inodes.get_mut(*at) {
                m.shared = true;
            }
        }
    };
    file::for_each_outside(&ctx.ns, |file, inode| {
        let at = suspects.binary_search_by(|(suspect, _)| suspect.cmp(&file));
        let id = at.ok().and_then(|at| suspects.get(at)).map(|(_, id)| *id);
        if let Some(m) = id.and_then(|id| met.files.get_mut(&id)) {
            m.shared = true;
        }
        share_inode(inode);
    })?;
    let mut from = 0;
    while let Some(d) = file::next_fd(current!(), from) {
        share_inode(PathRef::of_file(&d.file).inode());
        from = d.fd.saturating_add(1);
    }
    for m in met.files.values().filter(|m| m.shared) {
        ctx.report.subject(m.subject);
        ctx.report.refuse(Item {
            object: Object::Fd(m.fd),
            kind: "shared file",
            name: &name(&m.file)?,
            why: "a process outside of the job has the same open file, and shares its position",
            remedy: "let init have it open, too, or open it in the job",
        });
    }
    for m in met.inodes.iter().filter(|m| m.shared) {
        ctx.report.subject(m.subject);
        ctx.report.refuse(Item {
            object: m.met_as,
            kind: m.kind,
            name: &m.name,
            why: m.refusal.0,
            remedy: m.refusal.1,
        });
    }
    ctx.report.subject(None);
    Ok(())
}

fn checkpoint_init_fd(ctx: &mut Checkpoint, file: &File, id: u32, fd: u32) -> Result {
    let place = PathRef::of_file(file);
    // For people to read; init decides what the job finds there.
    let name = place.display_name()?;
    let identity = place.identity().map_or_else(
        |_| wire::Identity {
            mode: file.file_type().into(),
            ..wire::Identity::new_zeroed()
        },
        |i| to_wire(&i),
    );
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: id.into(),
            kind: file_kind::INIT_FD.into(),
            init_fd: i32::try_from(fd)?.into(),
            flags: (file.flags() & OPEN_FLAGS).into(),
            pos: 0.into(),
            identity,
        },
        &[&name],
    )
}

/// Refuses a file whose owner does not say how it can be saved.
fn refuse_unknown(ctx: &mut Checkpoint, file: &File) -> Result {
    let name = name(file)?;
    let (kind, why, remedy) = if file.is_path_only() {
        (
            "O_PATH",
            "it was opened with O_PATH, and is no regular file or directory of a file system \
             that says how its files can be saved",
            "close it before the checkpoint",
        )
    } else {
        match file.file_type() {
            bindings::S_IFSOCK => (
                "socket",
                "sockets are not supported yet",
                "close the connection before the checkpoint",
            ),
            bindings::S_IFIFO => (
                "pipe",
                "this kind of pipe is not supported yet, but for those that init has open, too",
                "let init keep it open, or close it before the checkpoint",
            ),
            bindings::S_IFCHR => (
                "device",
                "its driver does not say how it can be saved",
                "close the device before the checkpoint, or let init keep it open, too",
            ),
            bindings::S_IFBLK => (
                "block device",
                "block devices are not supported",
                "close the device before the checkpoint, or let init keep it open, too",
            ),
            _ => match anonymous_kind(&name) {
                Some(kind) => (
                    kind,
                    "this kind of file is not supported yet",
                    "close it before the checkpoint",
                ),
                None => (
                    file.file_system().to_str().unwrap_or("file"),
                    "its file system does not say how its files can be saved",
                    "close it before the checkpoint",
                ),
            },
        }
    };
    refuse(ctx, kind, &name, (why, remedy));
    Ok(())
}

/// What a file without a path is, from the name that d_path() gives it.
fn anonymous_kind(name: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"anon_inode:[eventpoll]", "epoll"),
        (b"anon_inode:[eventfd]", "eventfd"),
        (b"anon_inode:[signalfd]", "signalfd"),
        (b"anon_inode:[timerfd]", "timerfd"),
        (b"anon_inode:inotify", "inotify"),
        (b"anon_inode:[fanotify]", "fanotify"),
        (b"anon_inode:[io_uring]", "io_uring"),
        (b"anon_inode:[userfaultfd]", "userfaultfd"),
        (b"anon_inode:[perf_event]", "perf event"),
        (b"anon_inode:[pidfd]", "pidfd"),
        (b"pidfd:", "pidfd"),
        (b"anon_inode:bpf", "bpf"),
        (b"anon_inode:seccomp notify", "seccomp notify"),
        (b"anon_inode:[fscontext]", "mount API"),
        (b"anon_inode:", "anonymous file"),
    ];
    KINDS
        .iter()
        .find(|(start, _)| name.starts_with(start))
        .map(|(_, kind)| *kind)
}

/// Refuses the file that is being saved.
pub(crate) fn refuse(ctx: &mut Checkpoint, kind: &str, name: &[u8], (why, remedy): Refusal) {
    ctx.report.refuse(Item {
        object: ctx.met_as,
        kind,
        name,
        why,
        remedy,
    });
}

/// What of an open file is not in its record, and so is in the way.
pub(crate) fn attachments(file: &File) -> impl Iterator<Item = (&'static str, Refusal)> {
    let attached = file.attached();
    [
        (
            attached.owner,
            "signal owner",
            (
                "it signals somebody (F_SETOWN, F_SETSIG, F_NOTIFY or O_ASYNC), not supported yet",
                "use F_SETOWN with 0 before the checkpoint",
            ),
        ),
        (
            attached.flock,
            "lock",
            ("it is locked (flock(2)), not supported yet", "unlock it"),
        ),
        (
            attached.ofd_lock,
            "lock",
            ("it is locked (F_OFD_SETLK), not supported yet", "unlock it"),
        ),
        (
            attached.lease,
            "lease",
            (
                "it has a lease or delegation (F_SETLEASE), not supported",
                "give it back (F_UNLCK)",
            ),
        ),
    ]
    .into_iter()
    .filter_map(|(is, kind, refusal)| is.then_some((kind, refusal)))
}

/// Saves a file that its path leads back to.
fn checkpoint_path(ctx: &mut Checkpoint, file: &File) -> Result {
    checkpoint_path_as(ctx, file, file_kind::PATH, -1)
}

/// The same as one of `kind`, with what `init_fd` says of that.
pub(crate) fn checkpoint_path_as(
    ctx: &mut Checkpoint,
    file: &File,
    kind: u32,
    init_fd: i32,
) -> Result {
    let place = PathRef::of_file(file);
    let mut refused = false;

    for (kind, refusal) in attachments(file) {
        refuse(ctx, kind, &place.display_name()?, refusal);
        refused = true;
    }
    // The mode says what exec opened, and a stacked file system has flags of
    // its own for what is below a mapping.
    let mut internal = bindings::FMODE_EXEC | bindings::FASYNC;
    if file.is_backing() {
        internal |= bindings::O_NOATIME;
    }
    let flags = file.flags() & !internal;
    let nameless = place.is_deleted() || mm::memfd(file)?.is_some();
    let deleted = nameless && file.file_type() == bindings::S_IFREG;
    let known = if deleted {
        OPEN_FLAGS | bindings::__O_TMPFILE
    } else {
        OPEN_FLAGS
    };
    if flags & !known != 0 && (deleted || !place.is_deleted()) {
        let refusal = ("it was opened with a flag that is not supported", "");
        refuse(ctx, "file", &place.display_name()?, refusal);
        refused = true;
    }
    if deleted {
        return checkpoint_deleted(ctx, file, &place, flags, refused);
    }
    let found = find_again(&place)?.and_then(|(name, mut identity)| {
        if place.is_made_up() {
            identity = wire::Identity {
                mode: identity.mode,
                ..wire::Identity::new_zeroed()
            };
        }
        let type_of = identity.mode.get() & bindings::S_IFMT;
        let regular_or_dir = type_of == bindings::S_IFREG || type_of == bindings::S_IFDIR;
        let stateless = type_of == bindings::S_IFCHR && is_stateless(identity.rdev.get());
        if !regular_or_dir && !stateless {
            return Err(("it is no regular file, directory or stateless device", ""));
        }
        if file.is_stale_backing() {
            return Err((
                "it is mapped from a lower layer, and the path leads to a copy made since",
                "map the file again",
            ));
        }
        // Devices have no position, whatever is in the field.
        let pos = if regular_or_dir { file.pos() } else { 0 };
        match u64::try_from(pos) {
            Ok(pos) => Ok((name, identity, pos)),
            Err(_) => Err(("its position is negative", "")),
        }
    });
    let (name, identity, pos) = match found {
        Ok(found) => found,
        Err(refusal) => {
            let name = place.display_name()?;
            let what = if place.is_deleted() {
                "deleted file"
            } else {
                "file"
            };
            refuse(ctx, what, &name, refusal);
            return Ok(());
        }
    };
    if refused {
        return Ok(());
    }
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: kind.into(),
            init_fd: init_fd.into(),
            flags: flags.into(),
            pos: pos.into(),
            identity,
        },
        &[&name],
    )
}

/// Saves a regular file that has no name any more, or never had one.
fn checkpoint_deleted(
    ctx: &mut Checkpoint,
    file: &File,
    place: &PathRef,
    flags: u32,
    refused: bool,
) -> Result {
    let attributes = place.attributes()?;
    let identity = place.identity()?;
    let memfd = mm::memfd(file)?;
    let (kind, seals, made, found) = match memfd {
        Some((name, seals, made)) => ("memfd", seals, made, Ok(name)),
        None => ("deleted file", 0, false, find_directory(place)?),
    };
    let (name, pos) = match found.and_then(|name| {
        if attributes.nlink != 0 {
            return Err((
                "it lost the name it was opened by, and has another one",
                "open it by the name it has, or delete that, too",
            ));
        }
        if attributes.xattrs {
            return Err((
                "it has no name any more, but extended attributes or access control lists",
                "remove those",
            ));
        }
        if attributes.uid == u32::MAX || attributes.gid == u32::MAX {
            return Err((
                "it has no name any more, and its owner no id in the user namespace of init",
                "change its owner",
            ));
        }
        if file.is_stale_backing() {
            return Err((
                "it is mapped from a lower layer, and there is a copy made since",
                "map the file again",
            ));
        }
        // fallocate(2) may have made it so, nothing else can.
        if identity.huge_shift != 0 && attributes.size & ((1 << identity.huge_shift) - 1) != 0 {
            return Err((
                "its length is no multiple of that of its huge pages",
                "use ftruncate(2)",
            ));
        }
        match u64::try_from(file.pos()) {
            Ok(pos) => Ok((name, pos)),
            Err(_) => Err(("its position is negative", "")),
        }
    }) {
        Ok(found) => found,
        Err(refusal) => {
            refuse(ctx, kind, &place.display_name()?, refusal);
            return Ok(());
        }
    };
    if refused {
        return Ok(());
    }
    let number = match ctx.objs.id(Class::Deleted, place.inode())? {
        Found::Old(number) => number,
        Found::New(number) => {
            let mut copies = VVec::new();
            let mut add = |offset: u64, page: HeldPage| -> Result {
                if copies.len() % BATCH == 0 {
                    ctx.go_on()?;
                }
                copies.push((offset, page), gfp())?;
                Ok(())
            };
            // Not through the file of the job: that may be open for writing
            // only, and would lose its position.
            let copied = place
                .open(bindings::O_LARGEFILE | bindings::O_NOATIME)
                .or_else(|_| place.open(bindings::O_LARGEFILE))
                .and_then(|own| match identity.huge_shift {
                    0 => file::copy_data(&own, &mut add),
                    // To read them would not tell which are there.
                    _ => mm::copy_shm(&own, &mut add),
                });
            match copied {
                Ok(()) => (),
                Err(e) if e == ENOMEM || e == EINTR => return Err(e),
                Err(_) => {
                    let refusal = (
                        "it has no name any more, and init can't read its content",
                        "let init have the right to read it",
                    );
                    refuse(ctx, kind, &place.display_name()?, refusal);
                }
            }
            ctx.pages.add_file(
                wire::FileData {
                    id: number.into(),
                    atime_nsec: attributes.atime_nsec.into(),
                    size: identity.size.into(),
                    uid: attributes.uid.into(),
                    gid: attributes.gid.into(),
                    atime_sec: (attributes.atime_sec as u64).into(),
                    seals: seals.into(),
                },
                copies,
            )?;
            ctx.files.add_inode(
                place,
                ctx.met_as,
                kind,
                (
                    "a process outside of the job has the same file open, which has no name",
                    "close it there",
                ),
            )?;
            number
        }
    };
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: match (kind, made || attributes.linkable) {
                ("memfd", true) => file_kind::MEMFD.into(),
                ("memfd", false) => file_kind::REOPENED.into(),
                (_, true) => file_kind::LINKABLE.into(),
                (_, false) => file_kind::DELETED.into(),
            },
            init_fd: i32::try_from(number)?.into(),
            flags: flags.into(),
            pos: pos.into(),
            identity: to_wire(&identity),
        },
        &[&name],
    )
}

/// The name that a deleted file had, in a directory that is there still; or why
/// there is no such directory.
fn find_directory(place: &PathRef) -> Result<core::result::Result<KVec<u8>, Refusal>> {
    let directory = place.parent();
    if directory.is_deleted() {
        return Ok(Err((
            "it was deleted while it was open, and so was the directory it was in",
            "keep the directory until the job closes the file",
        )));
    }
    if let Err(refusal) = find_again(&directory)? {
        return Ok(Err(refusal));
    }
    match place.name() {
        Ok(Some(name)) => Ok(Ok(name.name)),
        Ok(None) => Ok(Err((
            "it was deleted while it was open, and init can't reach the directory it was in",
            "start the job in the root and mount namespace of init",
        ))),
        Err(e) if e == ENAMETOOLONG => Ok(Err((
            "its path is too long",
            "use a path of less than 4096 bytes",
        ))),
        Err(e) => Err(e),
    }
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a file.
#[export]
unsafe extern "C" fn generic_file_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { as_hook(ctx, file, checkpoint_path) }
}

/// Has `save` save a file that a hook was called for.
///
/// # Safety
///
/// Called by the hook, with what it was called with.
pub(crate) unsafe fn as_hook(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
    save: impl FnOnce(&mut Checkpoint, &File) -> Result,
) -> c_int {
    // SAFETY: by the requirements of this function, `ctx` is the one that
    // `checkpoint()` passes, used by nobody else meanwhile, and the file is
    // valid; the job stands still, so nobody holds its position.
    let (ctx, file) = unsafe { (&mut *ctx.cast::<Checkpoint>(), File::from_raw_file(file)) };
    match save(ctx, file) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Saves the descriptor table of a task; its id.
pub(crate) fn checkpoint_table(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<u32> {
    let task = frozen.task();
    let table = file::table_of(task).ok_or(ESRCH)?;
    let id = match ctx.objs.id(Class::FdTable, table.key)? {
        Found::Old(id) => return Ok(id),
        Found::New(id) => id,
    };
    if !table.alone {
        ctx.outside.ask(
            table.key,
            frozen,
            What {
                kind: "files",
                why: "it shares its descriptors (CLONE_FILES) with a process outside of the job",
                remedy: "start the job with fork(2)",
            },
        )?;
    }

    ctx.files.subject = Some(frozen.subject());
    let mut fds = KVVec::new();
    let mut from = 0;
    while let Some(d) = file::next_fd(task, from) {
        if file::has_posix_lock(task, &d.file) {
            ctx.report.refuse(Item {
                object: Object::Fd(d.fd),
                kind: "lock",
                name: &name(&d.file)?,
                why: "the process has a POSIX lock on it (F_SETLK, lockf(3)), not supported yet",
                remedy: "unlock it",
            });
        }
        let file = checkpoint(ctx, &d.file, Object::Fd(d.fd))?;
        let flags = if d.cloexec { bindings::FD_CLOEXEC } else { 0 };
        fds.push(
            wire::Fd {
                fd: d.fd.into(),
                file: file.into(),
                flags: flags.into(),
            },
            gfp(),
        )?;
        from = d.fd.saturating_add(1);
    }
    ctx.emit(
        Section::FdTables,
        Kind::FdTable,
        &wire::FdTable {
            id: id.into(),
            count: u32::try_from(fds.len())?.into(),
        },
        &[fds.as_slice().as_bytes()],
    )?;
    Ok(id)
}

/// Opens a file again; called by init.
///
/// Reports why it can't be, and changes nothing then.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::File = record.head().map_err(|_| EINVAL)?;
    let opened = match head.kind.get() {
        file_kind::INIT_FD => restart_init_fd(rs, &head, record.tail()),
        file_kind::DELETED | file_kind::LINKABLE | file_kind::MEMFD | file_kind::REOPENED => {
            restart_deleted(rs, &head, record.tail())
        }
        file_kind::PIPE => pipes::restart_end(rs, &head, record.tail()),
        file_kind::FIFO => pipes::restart_fifo_end(rs, &head, record.tail()),
        file_kind::SOCKET => sockets::restart_end(rs, &head),
        file_kind::EVENTFD => eventfds::restart_file(rs, &head, record.tail()),
        file_kind::SEGMENT => segments::restart_attach(rs, &head),
        file_kind::PROC => proc::restart_file(rs, &head),
        _ => restart_path(rs, &head, record.tail()),
    };
    rs.world_mut()?
        .files
        .push(opened?, GFP_KERNEL_ACCOUNT)
        .map_err(Into::into)
}

fn restart_init_fd(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let fd = u32::try_from(head.init_fd.get())?;
    file::get_fd(fd).map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Fd(fd),
                kind: "init fd",
                name,
                why: "the job shared this descriptor with init, and init does not have it",
                remedy: "let init open something as this descriptor before the restart",
            },
            e,
        )
    })
}

fn restart_path(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let file = open_path(rs, head, name)?;
    let pos = i64::try_from(head.pos.get())?;
    if pos != 0 && !file.seek(pos).unwrap_or(false) {
        let refusal = ("its position can't be set", "");
        return Err(failed(rs, "file", name, refusal, ESPIPE));
    }
    Ok(file)
}

/// Opens a file again by its path, where that leads to what it led to.
pub(crate) fn open_path(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let mut fail = |why: &str, remedy: &str, e: Error| {
        rs.report.error(
            Item {
                object: Object::Path("file"),
                kind: "file",
                name,
                why,
                remedy,
            },
            e,
        )
    };
    let place = PathRef::lookup(name).map_err(|e| {
        let why = if e == ENOENT {
            "it is not there"
        } else {
            "it can't be looked up"
        };
        fail(why, "bring the file back, or mount its file system", e)
    })?;
    let is = place
        .identity()
        .map_err(|e| fail("it can't be looked at", "", e))?;
    let was = &head.identity;

    // Looked at before anything is opened, for opening may have an effect.
    let type_of = is.file_type();
    if is.huge_shift != was.huge_shift.get() {
        return Err(fail(
            "its file system has huge pages of another size, or none",
            "mount hugetlbfs there as it was (pagesize=)",
            ESTALE,
        ));
    }
    if type_of != was.mode.get() & bindings::S_IFMT {
        return Err(fail(
            "it is not of the type it was: file, directory, device or link",
            "bring the file back",
            ESTALE,
        ));
    }
    if place.is_made_up() != (was.ino.get() == 0)
        || place.is_of_process() != (head.kind.get() == file_kind::PROC)
    {
        return Err(fail(
            "one of now and then is in proc, or of a process, and the other one is not",
            "bring the file back, or mount its file system",
            ESTALE,
        ));
    }
    match type_of {
        bindings::S_IFDIR => (),
        bindings::S_IFREG if head.flags.get() & bindings::O_PATH != 0 => (),
        bindings::S_IFREG if place.is_made_up() => (),
        bindings::S_IFREG => {
            if let Some(why) = changed(was, &is)? {
                return Err(fail(
                    why.to_str().unwrap_or("it has changed"),
                    "bring the file back as it was, with its times",
                    ESTALE,
                ));
            }
        }
        bindings::S_IFCHR if is.rdev == was.rdev.get() && is_stateless(is.rdev) => (),
        _ => return Err(fail("it is not the device it was", "", ESTALE)),
    }

    let file = place
        .open(head.flags.get())
        .map_err(|e| fail("it can't be opened as it was", "", e))?;
    if !file.has_hook() || file.flags() & OPEN_FLAGS != head.flags.get() {
        let why = "its file system does not let it be opened as it was";
        return Err(fail(why, "use the file system it was on", EOPNOTSUPP));
    }
    Ok(file)
}

/// The file with this id as the program of the current task, none for 0.
pub(crate) fn program(rs: &mut Restart, id: u32) -> Result<Option<ARef<File>>> {
    let Some(file) = rs.file(id)? else {
        return Ok(None);
    };
    if let Err(e) = file.may_execute() {
        let name = name(&file)?;
        return Err(rs.report.error(
            Item {
                object: Object::Path("exe"),
                kind: "file",
                name: &name,
                why: "init may not execute it",
                remedy: "give init the right, or mount the file system without noexec",
            },
            e,
        ));
    }
    Ok(Some(file))
}

/// What fcntl(2) can set of a file of memfd_create(2), and what it has by itself.
const MEMFD_FLAGS: u32 = bindings::O_APPEND
    | bindings::O_DIRECT
    | bindings::O_LARGEFILE
    | bindings::O_NOATIME
    | bindings::O_NONBLOCK;

/// A deleted file that was made again, open for writing until it is filled.
pub(crate) struct Deleted {
    writer: Option<ARef<File>>,
    mode: u32,
    mtime: (i64, u32),
    place: PathRef,
    name: KVec<u8>,
    /// What it is sealed with at the end; none where that can't be.
    seals: Option<u32>,
    /// The open file that memfd_create(2) has returned, and the flags that it has in the
    /// end: until it is filled it must not be one that appends.
    made: Option<(ARef<File>, u32)>,
}

/// The error, reported, for an open file that can't be made again.
pub(crate) fn failed(
    rs: &mut Restart,
    kind: &str,
    name: &[u8],
    (why, remedy): Refusal,
    e: Error,
) -> Error {
    rs.report.error(
        Item {
            object: Object::Path("file"),
            kind,
            name,
            why,
            remedy,
        },
        e,
    )
}

fn deleted_failed(rs: &mut Restart, name: &[u8], refusal: Refusal, e: Error) -> Error {
    failed(rs, "deleted file", name, refusal, e)
}

/// Makes a deleted file again where this is the first of its open files, and
/// opens it.
fn restart_deleted(rs: &mut Restart, head: &wire::File, name: &[u8]) -> Result<ARef<File>> {
    let index = usize::try_from(head.init_fd.get())
        .ok()
        .and_then(|n| n.checked_sub(1))
        .ok_or(EINVAL)?;
    if index == rs.deleted.len() {
        let made = create_deleted(rs, head, name);
        let (made, ret) = match made {
            Ok(made) => (Some(made), Ok(())),
            Err(e) => (None, Err(e)),
        };
        rs.deleted.push(made, GFP_KERNEL_ACCOUNT)?;
        ret?;
    }
    // Where there is none, the report says why.
    let deleted = rs.deleted.get_mut(index).ok_or(EINVAL)?;
    let deleted = deleted.as_mut().ok_or(ESTALE)?;
    let place = &deleted.place;

    let flags = head.flags.get();
    if head.kind.get() == file_kind::MEMFD && deleted.made.is_none() {
        let opened = deleted.writer.clone().ok_or(EINVAL).and_then(|file| {
            if flags & bindings::O_ACCMODE != bindings::O_RDWR
                || flags & !(MEMFD_FLAGS | bindings::O_ACCMODE) != 0
            {
                return Err(EINVAL);
            }
            let pos = i64::try_from(head.pos.get())?;
            match pos == 0 || file.seek(pos)? {
                true => Ok(file),
                false => Err(ESPIPE),
            }
        });
        let refusal = ("it can't be opened as it was", "");
        let file = opened.map_err(|e| deleted_failed(rs, name, refusal, e))?;
        if let Some(Some(deleted)) = rs.deleted.get_mut(index) {
            deleted.made = Some((file.clone(), flags));
        }
        return Ok(file);
    }
    // It has been made: these are only there to be seen by F_GETFL.
    let unnamed = if flags & bindings::__O_TMPFILE != 0 {
        flags & bindings::O_TMPFILE
    } else {
        0
    };
    let opened = place.open(flags & !unnamed).and_then(|file| {
        if file.flags() & OPEN_FLAGS != flags & !unnamed {
            return Err(EOPNOTSUPP);
        }
        let pos = i64::try_from(head.pos.get())?;
        if pos != 0 && !file.seek(pos)? {
            return Err(ESPIPE);
        }
        Ok(file)
    });
    let file =
        opened.map_err(|e| deleted_failed(rs, name, ("it can't be opened as it was", ""), e))?;
    // SAFETY: nobody else knows the file.
    unsafe { file.set_flags(unnamed, unnamed) };
    Ok(file)
}

/// Makes an empty file without a name, in the directory that the deleted one
/// was in.
fn create_deleted(rs: &mut Restart, head: &wire::File, path: &[u8]) -> Result<Deleted> {
    let kind = head.kind.get();
    let memfd = matches!(kind, file_kind::MEMFD | file_kind::REOPENED);
    let identity = &head.identity;
    let huge_shift = identity.huge_shift.get();
    let writer = if memfd {
        mm::new_memfd(path, huge_shift).map_err(|e| {
            let huge = no_huge(e).filter(|_| huge_shift != 0);
            let (refusal, e) = huge.unwrap_or((("it can't be made", ""), e));
            failed(rs, "memfd", path, refusal, e)
        })?
    } else {
        create_in_directory(rs, head, path)?
    };
    if mm::huge_shift(&writer) != huge_shift {
        let refusal = (
            "the file system it was on has huge pages of another size, or none",
            "mount hugetlbfs there as it was (pagesize=)",
        );
        return Err(deleted_failed(rs, path, refusal, ESTALE));
    }
    let mut name = KVec::new();
    name.extend_from_slice(path, GFP_KERNEL_ACCOUNT)?;
    Ok(Deleted {
        place: PathRef::of_file(&writer),
        writer: Some(writer),
        mode: identity.mode.get(),
        mtime: (identity.mtime_sec.get() as i64, identity.mtime_nsec.get()),
        name,
        seals: memfd.then_some(0),
        made: None,
    })
}

fn create_in_directory(rs: &mut Restart, head: &wire::File, path: &[u8]) -> Result<ARef<File>> {
    let slash = path.iter().rposition(|b| *b == b'/').ok_or(EINVAL)?;
    let directory = match path.get(..slash) {
        Some([]) | None => b"/",
        Some(directory) => directory,
    };
    let name = path.get(slash + 1..).unwrap_or(&[]);
    let found = PathRef::lookup(directory).and_then(|directory| {
        if directory.identity()?.file_type() != bindings::S_IFDIR {
            return Err(ENOTDIR);
        }
        Ok(directory)
    });
    let directory = found.map_err(|e| {
        let why = "the directory it was in is not there";
        deleted_failed(rs, path, (why, "make the directory again"), e)
    })?;
    let made = directory.create_deleted(name, head.kind.get() == file_kind::LINKABLE);
    made.map_err(|e| {
        let refusal = if e == EEXIST {
            (
                "its old name is taken, and its file system can't make files without a name",
                "move away what has its name",
            )
        } else {
            (
                "it can't be made in the directory it was in",
                "let init have the right to make files there",
            )
        };
        deleted_failed(rs, path, refusal, e)
    })
}

/// Seals memfds, when they have their content and are mapped by all who had them mapped; called by
/// init.
pub(crate) fn seal_memfds(rs: &mut Restart) -> Result {
    for memfd in core::mem::take(&mut rs.deleted).into_iter().flatten() {
        let Some(seals) = memfd.seals else {
            continue;
        };
        memfd.place.seal_memfd(seals).map_err(|e| {
            let refusal = match e {
                e if e == EACCES => (
                    "it could be executed, which init forbids (vm.memfd_noexec)",
                    "allow it",
                ),
                _ => ("it can't be sealed as it was", ""),
            };
            failed(rs, "memfd", &memfd.name, refusal, e)
        })?;
        if let Some((file, flags)) = &memfd.made {
            // SAFETY: those who have it are not let go yet, and nobody else knows it.
            unsafe { file.set_flags(MEMFD_FLAGS, *flags) };
        }
    }
    Ok(())
}

/// Fills a deleted file; called by init, in order.
pub(crate) fn restart_data(rs: &mut Restart, head: &wire::FileData, runs: &[wire::Run]) -> Result {
    let index = (head.id.get() as usize).checked_sub(1).ok_or(EINVAL)?;
    let deleted = rs.deleted.get_mut(index).and_then(Option::as_mut);
    let deleted = deleted.ok_or(EINVAL)?;
    let writer = deleted.writer.take().ok_or(EINVAL)?;
    let size = head.size.get();
    let attributes = Attributes {
        size,
        mode: deleted.mode,
        uid: head.uid.get(),
        gid: head.gid.get(),
        atime_sec: head.atime_sec.get() as i64,
        atime_nsec: head.atime_nsec.get(),
        mtime_sec: deleted.mtime.0,
        mtime_nsec: deleted.mtime.1,
        linkable: false,
        nlink: 0,
        xattrs: false,
    };
    if let Some(seals) = &mut deleted.seals {
        *seals = head.seals.get();
    }
    let made = deleted.made.is_some();
    let mut name = KVec::new();
    name.extend_from_slice(&deleted.name, GFP_KERNEL)?;
    let data = rs.data.clone();

    // What fails here is the file, what fails else is the image.
    let mut failed = false;
    let mut ret = Ok(());
    let huge = mm::huge_shift(&writer) != 0;
    for run in runs.iter().filter(|_| huge) {
        // There is no writing to them but by mapping.
        let first = run.start.get() / PAGE_SIZE as u64;
        let pages = run.pages.get().into();
        ret = data.lock().read_run(pages, |done, n, batch| {
            push_shm_pages(&writer, first + done, n, batch).inspect_err(|_| failed = true)
        });
        if ret.is_err() {
            break;
        }
    }
    for run in runs.iter().filter(|_| !huge) {
        let start = run.start.get();
        ret = data.lock().read_run_and(
            u64::from(run.pages.get()),
            |_, n, batch| {
                for _ in 0..n {
                    batch.push(HeldPage::zeroed()?, GFP_KERNEL)?;
                }
                Ok(())
            },
            |done, batch| {
                let offset = start + done * PAGE_SIZE as u64;
                file::write_pages(&writer, offset, size, batch).inspect_err(|_| failed = true)
            },
        );
        if ret.is_err() {
            break;
        }
    }
    if ret.is_ok() {
        ret = file::set_attributes(&writer, &attributes);
        failed = ret.is_err();
    }
    if made {
        drop(writer);
    } else {
        // Now, for a program can't be run from a file that is open for writing.
        file::close_now(writer);
    }
    ret.map_err(|e| match failed {
        true if huge && e == ENOMEM => deleted_failed(rs, &name, TOO_FEW_HUGE, e),
        true => deleted_failed(
            rs,
            &name,
            (
                "its content, owner, mode or times can't be had back",
                "look at space, limits and what its file system can do",
            ),
            e,
        ),
        false => e,
    })
}

/// In which way a regular file is not what it was, if it is not.
fn changed(was: &wire::Identity, is: &Identity) -> Result<Option<CString>> {
    if is.size != was.size.get() {
        return Ok(Some(CString::try_from_fmt(fmt!(
            "its length changed: it was {} bytes and is {}",
            was.size.get(),
            is.size
        ))?));
    }
    if (is.mtime_sec as u64, is.mtime_nsec) != (was.mtime_sec.get(), was.mtime_nsec.get()) {
        return Ok(Some(CString::try_from_fmt(fmt!(
            "it was modified: last at {}.{:09}, and is now of {}.{:09} (same length)",
            was.mtime_sec.get() as i64,
            was.mtime_nsec.get(),
            is.mtime_sec,
            is.mtime_nsec
        ))?));
    }
    Ok(None)
}

/// Gives the current task its descriptor table: that of the task which had it
/// first, or one of its own.
pub(crate) fn restart_table(rs: &mut Restart, part: &Part, newborn: &Newborn) -> Result {
    let id = part.task.files.get();
    if let Some(owner) = rs.owner(Class::FdTable)? {
        return file::share_table(&owner.task);
    }
    file::new_table_for_current()?;
    let image = rs.image.clone();
    let meta = image.meta();
    let record = rs.defined_at(&meta, Class::FdTable, id)?.next();
    let record = record.ok_or(EINVAL)?;
    let installing = rs.installing.clone();
    // The leader does this before there are threads.
    let _alone = (!part.is_group_leader()).then(|| installing.lock());

    for fd in record.array::<wire::Fd>().map_err(|_| EINVAL)? {
        let file = rs.descriptor(fd.file.get())?;
        let cloexec = fd.flags.get() & bindings::FD_CLOEXEC != 0;
        file::install(newborn, fd.fd.get(), &file, cloexec).map_err(|e| {
            let remedy = if e == EMFILE {
                "raise init's hard limit of RLIMIT_NOFILE"
            } else {
                ""
            };
            rs.report.error(
                Item {
                    object: Object::Fd(fd.fd.get()),
                    kind: "descriptor",
                    name: b"",
                    why: "it can't be had back",
                    remedy,
                },
                e,
            )
        })?;
    }
    Ok(())
}

/// Writes the reports to a descriptor of the caller, -1 for none.
pub(crate) fn write_log(fd: i32, text: &[u8]) {
    if !text.is_empty() {
        file::write_log(fd, text);
    }
}
