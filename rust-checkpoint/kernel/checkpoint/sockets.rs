// SPDX-License-Identifier: GPL-2.0-only

//! UNIX sockets without a name, such as those of socketpair(2).
//!
//! Of a pair, the end that is met first has both saved, with what waits to be
//! read from them, message by message. The other end may be closed; otherwise it
//! must be met, too, before the checkpoint ends. A restart has three steps:
//! init makes the pairs, the tasks get the ends as they get other open files,
//! and when all tasks are there, so that their pids can be named as senders,
//! init fills the sockets, sets their options, and closes ends that were closed.
//!
//! What is refused, by name: sockets of other families, those that listen, have
//! a name, or are connected to one that has, an end of a connection whose other
//! end is not the job's, descriptors that nobody has received yet, urgent data,
//! and options, filters and time stamps that are not in the image.
//!
//! A socket has another inode number and cookie after the restart.
//!
//! Locks: those of UNIX sockets are taken in C, one at a time, and none while
//! something of this file runs.

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
            socket_data_flags,
            socket_flags,
            socket_option,
            Kind, //
        },
    },
    objhash::{
        Class,
        Found, //
    },
    report::{
        Item,
        Object, //
    },
    restart::Restart, //
};
use kernel::{
    bindings,
    checkpoint::{
        cred::NewCreds,
        file::{
            self,
            FileExt,
            PathRef, //
        },
        gfp,
        socket::{
            self,
            ExitedPid,
            Refusal,
            Sender,
            Socket, //
        },
    },
    fs::File,
    prelude::*,
    rbtree::RBTree,
    sync::aref::ARef, //
};
use zerocopy::{FromZeros, IntoBytes};

/// Flags of an open socket that fcntl(2) can set.
const SOCKET_FLAGS: u32 = bindings::O_APPEND | bindings::O_NOATIME | bindings::O_NONBLOCK;

/// Both ways, as the end of a connection leaves it.
const SHUT_DOWN: u32 = 3;

/// Why a socket can't be saved, and what would help.
fn refusal(of: Refusal) -> files::Refusal {
    match of {
        Refusal::Family => (
            "sockets are not supported yet, but for UNIX sockets without a name (socketpair(2))",
            "close the connection before the checkpoint",
        ),
        Refusal::Listens => (
            "sockets that listen are not supported yet",
            "close it before the checkpoint",
        ),
        Refusal::Named => (
            "UNIX sockets that have a name, or are connected to one that has, are not supported yet",
            "use socketpair(2), or close the connection before the checkpoint",
        ),
        Refusal::NetNs => (
            "it is of another network namespace than that of init",
            "start the job in the network namespace of init",
        ),
        Refusal::Option => (
            "it has a filter, time stamps or an option that is not supported \
             (SO_ATTACH_FILTER, SO_TIMESTAMP, SO_BINDTODEVICE, a negative time-out ...)",
            "take that back before the checkpoint",
        ),
        Refusal::OneWay => (
            "it is connected to a socket that is not connected to it",
            "connect both ends, or close it",
        ),
        Refusal::Urgent => (
            "urgent data (MSG_OOB) is not supported",
            "have the job read it",
        ),
        Refusal::Rights => (
            "descriptors were sent to it (SCM_RIGHTS) that nobody has received, not supported yet",
            "have the job receive them",
        ),
        Refusal::Ids => (
            "who made it, or sent what is in it, has no id in the user namespace of init",
            "have the job read what is in it, or change the ids that init's user namespace maps",
        ),
        Refusal::Nested => (
            "who made it, or sent what is in it, was in a nested pid namespace, and has exited",
            "have the job read what is in it, or make it again",
        ),
    }
}

/// The ends that were saved, by the inode, to find out whether they are the job's.
#[derive(Default)]
pub(crate) struct Met(RBTree<*const c_void, End>);

struct End {
    /// The job has it as an open file.
    met: bool,
    /// Both ends, for reports.
    name: KVec<u8>,
    /// What the first end was met as.
    met_as: Object,
    /// Whose that is.
    subject: Option<(i32, [u8; 16])>,
    /// Init has it.
    of_init: bool,
    /// A process outside of the job has it.
    outside: bool,
}

/// Saves a socket.
fn checkpoint(ctx: &mut Checkpoint, file: &File) -> Result {
    let place = PathRef::of_file(file);
    let name = place.display_name()?;
    if socket::family(file) != Some(wire::SOCKET_UNIX) {
        files::refuse(ctx, "socket", &name, refusal(Refusal::Family));
        return Ok(());
    }
    let mut refused = false;
    for (kind, refusal) in files::attachments(file) {
        files::refuse(ctx, kind, &name, refusal);
        refused = true;
    }
    let flags = file.flags() & !bindings::FASYNC;
    if flags & !(SOCKET_FLAGS | bindings::O_ACCMODE) != 0 {
        let refusal = ("it has a flag that is not supported", "");
        files::refuse(ctx, "socket", &name, refusal);
        refused = true;
    }
    let id = match ctx.objs.id(Class::Socket, place.inode())? {
        Found::Old(id) => id,
        Found::New(id) => {
            checkpoint_connection(ctx, file, &place, name, id)?;
            id
        }
    };
    if let Some(end) = ctx.sockets.0.get_mut(&place.inode()) {
        end.met = true;
    }
    if refused {
        return Ok(());
    }
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: file_kind::SOCKET.into(),
            init_fd: i32::try_from(id)?.into(),
            flags: flags.into(),
            pos: 0.into(),
            identity: wire::Identity {
                mode: place.identity()?.mode.into(),
                ..wire::Identity::new_zeroed()
            },
        },
        &[&place.display_name()?],
    )
}

/// Saves the end that was met first, and the other one, with what is in them.
fn checkpoint_connection(
    ctx: &mut Checkpoint,
    file: &File,
    place: &PathRef,
    mut name: KVec<u8>,
    id: u32,
) -> Result {
    let peer = socket::peer(file);
    let peer = match &peer {
        Some(peer) => {
            let place = PathRef::of_file(peer);
            name.extend_from_slice(b" and ", gfp())?;
            name.extend_from_slice(&place.display_name()?, gfp())?;
            match ctx.objs.id(Class::Socket, place.inode())? {
                Found::New(id) => Some((peer, place, id)),
                // It was connected to something else until just now: by
                // somebody outside of the job, which is seen below.
                Found::Old(_) => None,
            }
        }
        None => None,
    };
    let places = [Some(place), peer.as_ref().map(|(_, place, _)| place)];
    for place in places.into_iter().flatten() {
        let mut copy = KVec::new();
        copy.extend_from_slice(&name, gfp())?;
        let end = End {
            met: false,
            name: copy,
            met_as: ctx.met_as,
            subject: ctx.files.subject(),
            of_init: false,
            outside: false,
        };
        let inode = place.inode();
        let sockets = &mut ctx.sockets.0;
        sockets.try_create_and_insert(inode, end, gfp())?;
    }

    let mut ok = checkpoint_end(ctx, file, place, id, peer.is_none(), 0, &name)?;
    if let Some((file, place, second)) = &peer {
        ok &= checkpoint_end(ctx, file, place, *second, false, id, &name)?;
    }
    if !ok {
        return Ok(());
    }
    let other = peer.as_ref().map_or(0, |(_, _, id)| *id);
    if !checkpoint_content(ctx, file, id, other, &name)? {
        return Ok(());
    }
    if let Some((file, _, second)) = &peer {
        checkpoint_content(ctx, file, *second, id, &name)?;
    }
    Ok(())
}

/// Saves an end; false if it was refused.
fn checkpoint_end(
    ctx: &mut Checkpoint,
    file: &File,
    place: &PathRef,
    id: u32,
    gone: bool,
    peer: u32,
    name: &[u8],
) -> Result<bool> {
    let found = match socket::look(file, &ctx.ns)? {
        Ok(found) => found,
        Err(of) => {
            files::refuse(ctx, "socket", name, refusal(of));
            return Ok(false);
        }
    };
    let attributes = place.attributes()?;
    let why = if attributes.uid == u32::MAX || attributes.gid == u32::MAX {
        Some((
            "its owner has no id in the user namespace of init",
            "change its owner",
        ))
    } else if attributes.xattrs {
        Some(("it has extended attributes", "remove them"))
    } else if !matches!(found.error, 0 | wire::SOCKET_RESET) {
        Some((
            "an error is pending on it that is not supported",
            "read from it",
        ))
    } else {
        None
    };
    if let Some(refusal) = why {
        files::refuse(ctx, "socket", name, refusal);
        return Ok(false);
    }

    let mut options = KVVec::new();
    for (name, value) in socket::options(file) {
        options.push(option(name, value), gfp())?;
    }
    let mut flags = 0;
    if found.connected {
        flags |= socket_flags::CONNECTED;
        if gone {
            flags |= socket_flags::PEER_GONE;
        }
    }
    let Socket { peer: maker, .. } = &found;
    if let Some((sender, groups)) = maker {
        flags |= socket_flags::PEER_CRED;
        if sender.exited {
            flags |= socket_flags::PEER_EXITED;
        }
        // In ascending order, which only the image asks for.
        let at = options
            .iter()
            .position(|o| o.name.get() > socket_option::PEERGROUPS);
        let tail = at.map_or(0, |at| options.len() - at);
        for gid in groups {
            let group = option(socket_option::PEERGROUPS, u64::from(*gid));
            options.push(group, gfp())?;
        }
        let at = options.len() - groups.len() - tail;
        if let Some(part) = options.get_mut(at..) {
            part.rotate_left(tail);
        }
    }
    let maker = maker.as_ref().map(|(sender, _)| sender);
    ctx.emit(
        Section::Objects,
        Kind::Socket,
        &wire::Socket {
            id: id.into(),
            family: wire::SOCKET_UNIX.into(),
            kind: found.kind.into(),
            flags: flags.into(),
            peer: peer.into(),
            shutdown: found.shutdown.into(),
            error: found.error.into(),
            uid: attributes.uid.into(),
            gid: attributes.gid.into(),
            mode: attributes.mode.into(),
            peer_pid: maker.map_or(0, |s| s.pid).into(),
            peer_uid: maker.map_or(0, |s| s.uid).into(),
            peer_gid: maker.map_or(0, |s| s.gid).into(),
            reserved: 0.into(),
        },
        &[options.as_slice().as_bytes()],
    )?;
    Ok(true)
}

/// Saves what waits to be read from an end; false if that was refused.
fn checkpoint_content(
    ctx: &mut Checkpoint,
    file: &File,
    to: u32,
    from: u32,
    name: &[u8],
) -> Result<bool> {
    let ns = ctx.ns.clone();
    let peeked = socket::peek(file, &ns, |data, sender| {
        let flags = match sender {
            None => 0,
            Some(Sender { exited: true, .. }) => {
                socket_data_flags::CREDS | socket_data_flags::EXITED
            }
            Some(_) => socket_data_flags::CREDS,
        };
        ctx.emit(
            Section::Objects,
            Kind::SocketData,
            &wire::SocketData {
                to: to.into(),
                from: from.into(),
                flags: flags.into(),
                pid: sender.map_or(0, |s| s.pid).into(),
                uid: sender.map_or(0, |s| s.uid).into(),
                gid: sender.map_or(0, |s| s.gid).into(),
            },
            &[data],
        )
    })?;
    if let Err(of) = peeked {
        files::refuse(ctx, "socket", name, refusal(of));
        return Ok(false);
    }
    Ok(true)
}

fn option(name: u32, value: u64) -> wire::SocketOption {
    wire::SocketOption {
        name: name.into(),
        reserved: 0.into(),
        value: value.into(),
    }
}

/// After the last task, while the job stands still: refuses connections whose
/// other end is not the job's.
pub(crate) fn finish(ctx: &mut Checkpoint) -> Result {
    let Met(mut ends) = core::mem::take(&mut ctx.sockets);
    if ends.values().all(|end| end.met) {
        return Ok(());
    }
    // For the report: who has it.
    file::for_each_outside(&ctx.ns, |_, inode| {
        if let Some(end) = ends.get_mut(&inode) {
            end.outside = true;
        }
    })?;
    let mut from = 0;
    while let Some(d) = file::next_fd(current!(), from) {
        if let Some(end) = ends.get_mut(&PathRef::of_file(&d.file).inode()) {
            end.of_init = true;
        }
        from = d.fd.saturating_add(1);
    }
    for end in ends.values().filter(|end| !end.met) {
        let why = if end.of_init {
            "init has one of these two ends of a connection, and a task of the job the other one"
        } else if end.outside {
            "a process outside of the job has one of these two ends of a connection"
        } else {
            "one of these two ends of a connection is nobody's descriptor: it may be in a message \
             that nobody has received"
        };
        ctx.report.subject(end.subject);
        ctx.report.refuse(Item {
            object: end.met_as,
            kind: "socket",
            name: &end.name,
            why,
            remedy: "let init have both ends open, or connect processes of the job only",
        });
    }
    ctx.report.subject(None);
    Ok(())
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a file.
#[export]
unsafe extern "C" fn socket_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { files::as_hook(ctx, file, checkpoint) }
}

/// Sockets that are made again, until all are as they were.
#[derive(Default)]
pub(crate) struct Making {
    /// By id - 1.
    sockets: KVVec<Made>,
    /// Senders that have exited, by their pids.
    exited: RBTree<i32, ExitedPid>,
}

/// A socket that was made again.
struct Made {
    file: ARef<File>,
    kind: u32,
    /// Its place among the sockets is `peer - 1`, 0 for none.
    peer: u32,
    /// The other end, until it is known which socket that is, or as long as
    /// there is something to be sent from it.
    other: Option<ARef<File>>,
    /// It is, or was, one end of a connection.
    connected: bool,
    /// Nobody has the other end.
    gone: bool,
    /// Somebody has it.
    given: bool,
}

impl Making {
    fn get(&self, id: u32) -> Result<&Made> {
        let at = id.checked_sub(1).ok_or(EINVAL)?;
        self.sockets.get(at as usize).ok_or(EINVAL)
    }

    fn get_mut(&mut self, id: u32) -> Result<&mut Made> {
        let at = id.checked_sub(1).ok_or(EINVAL)?;
        self.sockets.get_mut(at as usize).ok_or(EINVAL)
    }

    fn exited(&self, is: bool, pid: i32) -> Result<Option<&ExitedPid>> {
        match is {
            true => Ok(Some(self.exited.get(&pid).ok_or(EINVAL)?)),
            false => Ok(None),
        }
    }
}

const CANT: files::Refusal = (
    "it can't be made",
    "look at limits of open files and memory",
);

fn failed(rs: &mut Restart, name: &[u8], refusal: files::Refusal, e: Error) -> Error {
    files::failed(rs, "socket", name, refusal, e)
}

/// Makes sure that there is an identity for a process that has exited. Before
/// any task is created: one of them may have the number by now.
fn add_exited(rs: &mut Restart, pid: i32) -> Result {
    if rs.sockets.exited.get(&pid).is_some() {
        return Ok(());
    }
    let exited = ExitedPid::new(pid).map_err(|e| {
        let refusal = (
            "the pid of a process that made a socket or sent to one, and exited, can't be had",
            "restart in a fresh pid namespace",
        );
        failed(rs, b"", refusal, e)
    })?;
    let pids = &mut rs.sockets.exited;
    pids.try_create_and_insert(pid, exited, GFP_KERNEL_ACCOUNT)?;
    Ok(())
}

/// Makes a socket; called by init.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Socket = record.head().map_err(|_| EINVAL)?;
    let flags = head.flags.get();
    if flags & socket_flags::PEER_EXITED != 0 {
        add_exited(rs, head.peer_pid.get())?;
    }
    let id = u32::try_from(rs.sockets.sockets.len())? + 1;
    let (kind, peer) = (head.kind.get(), head.peer.get());
    let (file, other) = if peer != 0 {
        let first = rs.sockets.get_mut(peer)?;
        if first.kind != kind || first.gone {
            return Err(EINVAL);
        }
        first.peer = id;
        (first.other.take().ok_or(EINVAL)?, None)
    } else if flags & socket_flags::CONNECTED != 0 {
        let [file, other] = socket::create_pair(kind).map_err(|e| failed(rs, b"", CANT, e))?;
        (file, Some(other))
    } else {
        let file = socket::create(kind).map_err(|e| failed(rs, b"", CANT, e))?;
        (file, None)
    };
    socket::set_owner(&file, head.uid.get(), head.gid.get(), head.mode.get()).map_err(|e| {
        let refusal = (
            "init may not give it the owner and the mode that it had",
            "give init the right",
        );
        failed(rs, b"", refusal, e)
    })?;
    let made = Made {
        file,
        kind,
        peer,
        other,
        connected: flags & socket_flags::CONNECTED != 0,
        gone: flags & socket_flags::PEER_GONE != 0,
        given: false,
    };
    let sockets = &mut rs.sockets.sockets;
    sockets.push(made, GFP_KERNEL_ACCOUNT).map_err(Into::into)
}

/// Looks at what waited to be read; called by init, before any task is created.
pub(crate) fn restart_data(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::SocketData = record.head().map_err(|_| EINVAL)?;
    let (to, from) = (head.to.get(), head.from.get());
    let made = rs.sockets.get(to)?;
    if made.peer != from {
        return Err(EINVAL);
    }
    // Connected to nothing any more: another one that it had been connected to was still
    // to it, has sent, and is gone.
    if !made.connected && !made.gone {
        if made.kind != wire::SOCKET_DGRAM {
            return Err(EINVAL);
        }
        let sender = socket::create_sender(made.kind, &made.file);
        let sender = sender.map_err(|e| failed(rs, b"", CANT, e))?;
        let made = rs.sockets.get_mut(to)?;
        made.gone = true;
        made.other = Some(sender);
    } else if from == 0 && !made.gone {
        return Err(EINVAL);
    }
    if head.flags.get() & socket_data_flags::EXITED != 0 {
        add_exited(rs, head.pid.get())?;
    }
    Ok(())
}

/// Gives a socket to the job; called by init.
pub(crate) fn restart_end(rs: &mut Restart, head: &wire::File) -> Result<ARef<File>> {
    let made = rs.sockets.get_mut(u32::try_from(head.init_fd.get())?)?;
    let flags = head.flags.get();
    if made.given
        || flags & bindings::O_ACCMODE != bindings::O_RDWR
        || flags & !(SOCKET_FLAGS | bindings::O_ACCMODE) != 0
    {
        return Err(EINVAL);
    }
    made.given = true;
    let file = made.file.clone();
    // SAFETY: nobody else uses the file.
    unsafe { file.set_flags(SOCKET_FLAGS, flags) };
    Ok(file)
}

/// When all tasks wait at the barrier: fills the sockets, and has them be as they
/// were; called by init.
pub(crate) fn restart_state(rs: &mut Restart) -> Result {
    if rs.sockets.sockets.is_empty() {
        return Ok(());
    }
    let sockets = &rs.sockets.sockets;
    if sockets.iter().any(|made| made.other.is_some() != made.gone) {
        return Err(EINVAL);
    }
    let image = rs.image.clone();
    let meta = image.meta();
    for record in meta.records().filter(|r| r.kind == Kind::SocketData) {
        fill(rs, &record)?;
    }
    for record in meta.records().filter(|r| r.kind == Kind::Socket) {
        set_options(rs, &record)?;
    }
    // What was closed is closed with nothing to be read, so that this is no
    // error for the other end.
    for made in &mut rs.sockets.sockets {
        if let Some(other) = made.other.take() {
            file::close_now(other);
        }
    }
    for record in meta.records().filter(|r| r.kind == Kind::Socket) {
        let head: wire::Socket = record.head().map_err(|_| EINVAL)?;
        let made = rs.sockets.get(head.id.get())?;
        // Who is left has reached the end, whatever it was about to be told.
        let shutdown = match made.gone && made.kind != wire::SOCKET_DGRAM {
            true => SHUT_DOWN,
            false => head.shutdown.get(),
        };
        // SAFETY: the tasks that have the socket wait at the barrier.
        unsafe { socket::set_state(&made.file, shutdown, head.error.get()) };
    }
    rs.sockets = Making::default();
    Ok(())
}

fn fill(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::SocketData = record.head().map_err(|_| EINVAL)?;
    let flags = head.flags.get();
    let exited = flags & socket_data_flags::EXITED != 0;
    let sender = (flags & socket_data_flags::CREDS != 0).then_some(Sender {
        pid: head.pid.get(),
        exited,
        uid: head.uid.get(),
        gid: head.gid.get(),
    });
    let to = rs.sockets.get(head.to.get())?;
    let from = match head.from.get() {
        0 => to.other.as_ref().ok_or(EINVAL)?,
        id => &rs.sockets.get(id)?.file,
    };
    let exited = rs.sockets.exited(exited, head.pid.get())?;
    // SAFETY: the tasks that have the sockets wait at the barrier.
    let ret = unsafe { socket::fill(from, &to.file, record.tail(), sender, exited) };
    ret.map_err(|e| {
        let refusal = if e == EPERM {
            (
                "init may not send with the ids of who sent what was in it",
                "give init the right",
            )
        } else if e == ESRCH {
            ("there is no process with the pid of a sender", "")
        } else {
            (
                "what was in it can't be put there again",
                "raise net.core.wmem_max, or give init CAP_NET_ADMIN",
            )
        };
        failed(rs, b"", refusal, e)
    })
}

/// Sets options, and who made the other end.
fn set_options(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Socket = record.head().map_err(|_| EINVAL)?;
    let flags = head.flags.get();
    let mut groups = KVVec::new();
    for option in record.array::<wire::SocketOption>().map_err(|_| EINVAL)? {
        let (name, value) = (option.name.get(), option.value.get());
        if name == socket_option::PEERGROUPS {
            groups.push(u32::try_from(value)?, GFP_KERNEL_ACCOUNT)?;
            continue;
        }
        let made = rs.sockets.get(head.id.get())?;
        socket::set_option(&made.file, name, value).map_err(|e| {
            let name = kernel::str::CString::try_from_fmt(fmt!("option {name}, value {value}"));
            let refusal = if e == EPERM || e == EACCES {
                (
                    "init may not set an option that it had",
                    "raise net.core.wmem_max and rmem_max, or give init CAP_NET_ADMIN",
                )
            } else {
                ("an option that it had can't be set", "")
            };
            match name {
                Ok(name) => failed(rs, name.to_bytes(), refusal, e),
                Err(e) => e,
            }
        })?;
    }
    if flags & socket_flags::PEER_CRED == 0 {
        return Ok(());
    }
    let exited = flags & socket_flags::PEER_EXITED != 0;
    let sender = Sender {
        pid: head.peer_pid.get(),
        exited,
        uid: head.peer_uid.get(),
        gid: head.peer_gid.get(),
    };
    set_peer(rs, head.id.get(), &sender, &groups).map_err(|e| {
        let refusal = if e == EPERM {
            (
                "init may not have the credentials of who made it",
                "restart under an init with the same user namespace and capabilities",
            )
        } else {
            ("who made it can't be told again", "")
        };
        failed(rs, b"", refusal, e)
    })
}

fn set_peer(rs: &Restart, id: u32, sender: &Sender, groups: &[u32]) -> Result {
    let exited = rs.sockets.exited(sender.exited, sender.pid)?;
    let ns: ARef<_> = current!().active_pid_ns().ok_or(ESRCH)?.into();
    let mut creds = NewCreds::prepare(&ns)?;
    creds.set_groups(groups)?;
    creds.set_identity(sender.uid, sender.gid)?;
    // SAFETY: the tasks that have the socket wait at the barrier.
    unsafe { socket::set_peer(&rs.sockets.get(id)?.file, sender, exited, &creds) }
}
