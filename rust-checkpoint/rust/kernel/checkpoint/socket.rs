// SPDX-License-Identifier: GPL-2.0-only

//! UNIX sockets: what they are, what is in them, and how to make them again.
//!
//! C header: [`include/net/af_unix.h`](srctree/include/net/af_unix.h)

use crate::{
    bindings,
    checkpoint::{
        cred::NewCreds,
        gfp, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::File,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::aref::ARef, //
};
use core::{
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};

/// What is in the way of saving a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is no UNIX socket.
    Family,
    /// It listens.
    Listens,
    /// It or the other end has a name.
    Named,
    /// It is not of the network namespace of the current task.
    NetNs,
    /// An option, filter or time stamp.
    Option,
    /// It is connected to a socket that is not connected to it.
    OneWay,
    /// Urgent data.
    Urgent,
    /// Descriptors that nobody has received yet.
    Rights,
    /// A sender has no id in the user namespace of the current task.
    Ids,
    /// A sender that has exited was in a nested pid namespace.
    Nested,
}

impl Refusal {
    fn from_raw(refusal: u32) -> Option<Self> {
        Some(match refusal {
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_OK => return None,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_LISTENS => Self::Listens,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_NAMED => Self::Named,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_NET_NS => Self::NetNs,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_OPTION => Self::Option,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_ONE_WAY => Self::OneWay,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_URGENT => Self::Urgent,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_RIGHTS => Self::Rights,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_IDS => Self::Ids,
            bindings::checkpoint_socket_refusal_CHECKPOINT_SOCKET_NESTED => Self::Nested,
            _ => Self::Family,
        })
    }
}

/// A process that has made a socket or sent a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Its pid, 0 if the namespace does not see it.
    pub pid: i32,
    /// It has exited.
    pub exited: bool,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a UNIX socket is, besides its options and what is in it.
#[derive(Debug)]
pub struct Socket {
    /// SOCK_*.
    pub kind: u32,
    /// 1 if it can't be read from any more, 2 if not written to.
    pub shutdown: u32,
    /// The error that is pending.
    pub error: u32,
    /// It has another end, or had.
    pub connected: bool,
    /// Who made the other end, and the supplementary groups of that process.
    pub peer: Option<(Sender, KVVec<u32>)>,
}

/// The protocol family of a socket, none for what is not of socket(2).
pub fn family(file: &File) -> Option<u32> {
    // SAFETY: the file is alive.
    u32::try_from(unsafe { bindings::checkpoint_socket_family(file.as_ptr()) }).ok()
}

/// What a socket is; pids are those in `ns`.
pub fn look(file: &File, ns: &PidNamespace) -> Result<core::result::Result<Socket, Refusal>> {
    let mut found = MaybeUninit::zeroed();
    // SAFETY: file and namespace are alive, and there is room for the result.
    let refusal =
        unsafe { bindings::checkpoint_get_socket(file.as_ptr(), ns.as_ptr(), found.as_mut_ptr()) };
    if let Some(refusal) = Refusal::from_raw(refusal) {
        return Ok(Err(refusal));
    }
    // SAFETY: zeros are a valid value, and all else was written by C.
    let mut found: bindings::checkpoint_socket = unsafe { found.assume_init() };
    let mut socket = Socket {
        kind: found.type_,
        shutdown: found.shutdown,
        error: found.error,
        connected: found.connected,
        peer: None,
    };
    if found.peer_cred.is_null() {
        return Ok(Ok(socket));
    }
    let mut groups = KVVec::new();
    let mut ret: Result<core::result::Result<(), Refusal>> = Ok(Ok(()));
    let (mut nr, mut gid) = (0, 0);
    while let Ok(Ok(())) = ret {
        // SAFETY: there are credentials, with a reference until below.
        let err = unsafe { bindings::checkpoint_socket_group(&found, nr, &mut gid) };
        ret = match to_result(err) {
            Ok(()) => groups.push(gid, gfp()).map(Ok).map_err(Error::from),
            Err(e) if e == ENOENT => break,
            Err(_) => Ok(Err(Refusal::Ids)),
        };
        nr += 1;
    }
    // SAFETY: gives up the reference; `found` is not used any more.
    unsafe { bindings::checkpoint_put_socket(&mut found) };
    if let Err(refusal) = ret? {
        return Ok(Err(refusal));
    }
    let sender = Sender {
        pid: found.peer_pid,
        exited: found.peer_exited,
        uid: found.peer_uid,
        gid: found.peer_gid,
    };
    socket.peer = Some((sender, groups));
    Ok(Ok(socket))
}

/// The other end of a UNIX socket, none if it was closed or never was one.
pub fn peer(file: &File) -> Option<ARef<File>> {
    // SAFETY: the file is alive.
    let peer = NonNull::new(unsafe { bindings::checkpoint_socket_peer(file.as_ptr()) })?;
    // SAFETY: the reference comes with the result. Sockets have no position.
    Some(unsafe { ARef::from_raw(peer.cast()) })
}

/// The options of a UNIX socket, in the order in which they are to be set: SO_*
/// and value.
pub fn options(file: &File) -> impl Iterator<Item = (u32, u64)> + '_ {
    let mut nr = 0;
    core::iter::from_fn(move || {
        let (mut name, mut value) = (0, 0);
        // SAFETY: the file is alive, the rest is valid for writes.
        let found = unsafe {
            bindings::checkpoint_socket_option(file.as_ptr(), &mut nr, &mut name, &mut value)
        };
        found.then_some((name, value))
    })
}

/// Looks at what waits to be read from a UNIX socket; pids are those in `ns`.
///
/// `f` gets each message, or piece of a stream, in the order of reading, and who
/// sent it if it says so.
pub fn peek<F: FnMut(&[u8], Option<Sender>) -> Result>(
    file: &File,
    ns: &PidNamespace,
    mut f: F,
) -> Result<core::result::Result<(), Refusal>> {
    /// # Safety
    ///
    /// `arg` is an `F` that nobody else uses meanwhile, and the message is valid.
    unsafe extern "C" fn call<F: FnMut(&[u8], Option<Sender>) -> Result>(
        arg: *mut c_void,
        message: *const bindings::checkpoint_message,
    ) -> c_int {
        // SAFETY: by the requirements of this function; the data is a copy that
        // nobody else has.
        let (message, data) = unsafe {
            let message = &*message;
            (
                message,
                slice::from_raw_parts(message.data.cast::<u8>(), message.len),
            )
        };
        let sender = message.creds.then_some(Sender {
            pid: message.pid,
            exited: message.exited,
            uid: message.uid,
            gid: message.gid,
        });
        // SAFETY: `arg` is the closure passed below, used by nobody else
        // meanwhile.
        match unsafe { (*arg.cast::<F>())(data, sender) } {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    // SAFETY: file and namespace are alive; `call()` takes what is passed as its
    // argument.
    let ret = unsafe {
        bindings::checkpoint_peek_socket(
            file.as_ptr(),
            ns.as_ptr(),
            Some(call::<F>),
            ptr::from_mut(&mut f).cast(),
        )
    };
    match u32::try_from(ret) {
        Ok(refusal) => Ok(Refusal::from_raw(refusal).map_or(Ok(()), Err)),
        Err(_) => Err(Error::from_errno(ret)),
    }
}

/// The identity of a process that has exited.
///
/// # Invariants
///
/// A valid `struct pid`, with a reference.
pub struct ExitedPid(NonNull<bindings::pid>);

// SAFETY: a `struct pid` belongs to no task, and its references are counted
// atomically.
unsafe impl Send for ExitedPid {}

impl ExitedPid {
    /// Makes one with this number in the pid namespace of the current task, which
    /// is free again at once. `EEXIST`: somebody has the number.
    #[doc(alias = "alloc_pid")]
    pub fn new(nr: i32) -> Result<Self> {
        // SAFETY: any number may be asked for.
        let pid = from_err_ptr(unsafe { bindings::checkpoint_exited_pid(nr) })?;
        // INVARIANT: the reference comes with the result.
        Ok(Self(NonNull::new(pid).ok_or(ENOMEM)?))
    }
}

impl Drop for ExitedPid {
    fn drop(&mut self) {
        // SAFETY: gives up the reference, by the type invariant.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

fn raw_pid(exited: Option<&ExitedPid>) -> *mut bindings::pid {
    exited.map_or(ptr::null_mut(), |pid| pid.0.as_ptr())
}

/// Makes a UNIX socket, as socket(2) does.
pub fn create(kind: u32) -> Result<ARef<File>> {
    let [file, _] = create_raw(kind, false)?;
    let file = NonNull::new(file).ok_or(ENOMEM)?;
    // SAFETY: the reference comes with the result; nobody else knows the file.
    Ok(unsafe { ARef::from_raw(file.cast()) })
}

/// Makes a pair of UNIX sockets, as socketpair(2) does.
pub fn create_pair(kind: u32) -> Result<[ARef<File>; 2]> {
    let [a, b] = create_raw(kind, true)?;
    let (a, b) = (
        NonNull::new(a).ok_or(ENOMEM)?,
        NonNull::new(b).ok_or(ENOMEM)?,
    );
    // SAFETY: the references come with the result; nobody else knows the files.
    Ok(unsafe { [ARef::from_raw(a.cast()), ARef::from_raw(b.cast())] })
}

/// Makes a socket for datagrams that sends to `to`, which is not connected to it.
pub fn create_sender(kind: u32, to: &File) -> Result<ARef<File>> {
    let from = create(kind)?;
    // SAFETY: both files are alive, and nobody else knows `from`.
    to_result(unsafe { bindings::checkpoint_connect_socket(from.as_ptr(), to.as_ptr()) })?;
    Ok(from)
}

fn create_raw(kind: u32, pair: bool) -> Result<[*mut bindings::file; 2]> {
    let mut ends = [ptr::null_mut(); 2];
    // SAFETY: `ends` has room for both.
    to_result(unsafe {
        bindings::checkpoint_new_sockets(ends.as_mut_ptr(), c_int::try_from(kind)?, pair)
    })?;
    Ok(ends)
}

/// Puts a message where it waits to be read from `to`, sent from `from`, the
/// other end. `exited` is the sender, if that has exited.
///
/// `EAGAIN`: there is no room; `EPERM`: the current task could not send with
/// these ids; `ESRCH`: there is no such sender.
///
/// # Safety
///
/// Nobody else uses both ends.
pub unsafe fn fill(
    from: &File,
    to: &File,
    data: &[u8],
    sender: Option<Sender>,
    exited: Option<&ExitedPid>,
) -> Result {
    let message = bindings::checkpoint_message {
        data: data.as_ptr().cast(),
        len: data.len(),
        uid: sender.map_or(0, |s| s.uid),
        gid: sender.map_or(0, |s| s.gid),
        pid: sender.map_or(0, |s| s.pid),
        exited: exited.is_some(),
        creds: sender.is_some(),
    };
    // SAFETY: both files are alive and used by nobody else, by the requirements
    // of this function; the data is valid for its length, and the pid, by its
    // invariant, or null.
    to_result(unsafe {
        bindings::checkpoint_fill_socket(from.as_ptr(), to.as_ptr(), &message, raw_pid(exited))
    })
}

/// Sets an option of a UNIX socket, with the checks of setsockopt(2), if it has
/// another value.
#[doc(alias = "setsockopt")]
pub fn set_option(file: &File, name: u32, value: u64) -> Result {
    // SAFETY: the file is alive.
    to_result(unsafe { bindings::checkpoint_set_socket_option(file.as_ptr(), name, value) })
}

/// Says who made the other end, which the current task could have been: with
/// those ids, and `creds`, which has the groups. `exited` is the process, if it
/// has exited.
///
/// `EPERM`: the current task could not; `ESRCH`: there is no such process.
///
/// # Safety
///
/// Nobody else uses the socket.
#[doc(alias = "SO_PEERCRED")]
pub unsafe fn set_peer(
    file: &File,
    sender: &Sender,
    exited: Option<&ExitedPid>,
    creds: &NewCreds,
) -> Result {
    // SAFETY: the file is alive and used by nobody else, by the requirements of
    // this function; the credentials and the pid are valid by their invariants.
    to_result(unsafe {
        bindings::checkpoint_set_peer_cred(
            file.as_ptr(),
            sender.pid,
            raw_pid(exited),
            creds.as_ptr(),
        )
    })
}

/// Sets what shutdown(2) has set, and the pending error.
///
/// # Safety
///
/// Nobody else uses the socket.
pub unsafe fn set_state(file: &File, shutdown: u32, error: u32) {
    // SAFETY: the file is alive, and by the requirements of this function used
    // by nobody else.
    unsafe { bindings::checkpoint_set_socket_state(file.as_ptr(), shutdown, error) };
}

/// Sets owner, group and mode of a file without a name, with the checks of
/// fchown(2) and fchmod(2).
pub fn set_owner(file: &File, uid: u32, gid: u32, mode: u32) -> Result {
    // SAFETY: the file is alive.
    to_result(unsafe { bindings::checkpoint_set_owner(file.as_ptr(), uid, gid, mode as u16) })
}
