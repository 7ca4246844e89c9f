// SPDX-License-Identifier: GPL-2.0-only

//! The system calls that no crate has, and what must be unsafe to be done at all.
//!
//! Everything else in this program is safe code on top of `rustix`.

use std::{
    ffi::CString,
    io,
    mem::{size_of, MaybeUninit},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    ptr,
};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// Number of checkpoint(2), the same for x86-64 and ia32.
pub const SYS_CHECKPOINT: libc::c_long = 473;
/// Number of restart(2), the same for x86-64 and ia32.
pub const SYS_RESTART: libc::c_long = 474;

/// `args` and `size` of checkpoint(2) are valid.
pub const CHECKPOINT_F_ARGS: u32 = 1 << 0;
/// checkpoint(2) reports what is in the way and writes nothing.
pub const CHECKPOINT_F_DRY_RUN: u32 = 1 << 1;
/// checkpoint(2) keeps track of what changes from now on.
pub const CHECKPOINT_F_TRACK: u32 = 1 << 2;
/// `args` and `size` of restart(2) are valid.
pub const RESTART_F_ARGS: u32 = 1 << 0;

/// `struct checkpoint_args` of `include/uapi/linux/checkpoint.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct CheckpointArgs {
    /// In: where the reports go; -1 for nowhere.
    #[serde(skip)]
    pub log_fd: i32,
    /// Out: pid, in the caller's namespace, of the first task.
    pub root_pid: i32,
    /// In: how long tasks may take to stop; 0 for the kernel's default.
    #[serde(skip)]
    pub timeout_ns: u64,
    /// Out: from the first task stopped to the last released.
    pub freeze_ns: u64,
    /// Out: time of the whole call.
    pub total_ns: u64,
    /// Out: length of the image.
    pub image_bytes: u64,
    /// Out: tasks saved or restarted.
    pub tasks: u64,
    /// Out: reports that name something in the way.
    pub refusals: u64,
    /// Out: pages whose content is in the image.
    pub pages_data: u64,
    /// Out: pages that hold nothing and were not written.
    pub pages_zero: u64,
    /// Out: pages that are as in the parent and were not written.
    pub pages_parent: u64,
    /// Out: UUID of the image.
    #[serde(with = "uuid")]
    pub uuid: Uuid,
    /// In: UUID of the image that this one is to hold the changes since.
    #[serde(skip)]
    pub parent: Uuid,
}

/// What tells images apart.
pub type Uuid = [u8; 16];

/// UUIDs as text.
pub mod uuid {
    use std::fmt::Write;

    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    use super::Uuid;

    /// As text, in five groups.
    pub fn text(uuid: &Uuid) -> String {
        let mut text = String::new();
        for (at, byte) in uuid.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                text.push('-');
            }
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Writes one.
    pub fn serialize<S: Serializer>(uuid: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(uuid))
    }

    /// Reads one.
    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(from)?.replace('-', "");
        let number = u128::from_str_radix(&text, 16).map_err(D::Error::custom)?;
        Ok(number.to_be_bytes())
    }
}

/// Calls checkpoint(2). `args` has the results after a failure, too.
pub fn checkpoint(fd: BorrowedFd<'_>, flags: u32, args: &mut CheckpointArgs) -> io::Result<()> {
    call(SYS_CHECKPOINT, fd, flags | CHECKPOINT_F_ARGS, args)
}

/// Calls restart(2). `args` has the results after a failure, too.
pub fn restart(fd: BorrowedFd<'_>, args: &mut CheckpointArgs) -> io::Result<()> {
    call(SYS_RESTART, fd, RESTART_F_ARGS, args)
}

fn call(
    number: libc::c_long,
    fd: BorrowedFd<'_>,
    flags: u32,
    args: &mut CheckpointArgs,
) -> io::Result<()> {
    // SAFETY: both calls read and write nothing of this process but `args`, of which they are given
    // the length, and which is borrowed for the time of the call.
    let ret = unsafe {
        libc::syscall(
            number,
            fd.as_raw_fd(),
            flags,
            ptr::from_mut(args),
            size_of::<CheckpointArgs>(),
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A set of blocked signals.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// These signals.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset() initialises the set, sigaddset() takes an initialised one, and
        // refuses numbers that are none.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            Self(set.assume_init())
        }
    }

    /// All signals but `but`, and but those that say that this program has failed.
    pub fn all_but(but: &[i32]) -> Self {
        const FAULTS: [i32; 7] = [
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGABRT,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGSEGV,
            libc::SIGSYS,
        ];
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset() initialises the set, sigdelset() takes an initialised one, and
        // refuses numbers that are none.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            for &signal in FAULTS.iter().chain(but) {
                libc::sigdelset(set.as_mut_ptr(), signal);
            }
            Self(set.assume_init())
        }
    }

    /// Blocks these signals in addition; returns what was blocked before.
    pub fn block(&self) -> io::Result<SignalMask> {
        self.change(libc::SIG_BLOCK)
    }

    /// Blocks these signals and no others.
    pub fn set(&self) -> io::Result<()> {
        self.change(libc::SIG_SETMASK).map(drop)
    }

    fn change(&self, how: libc::c_int) -> io::Result<SignalMask> {
        let mut old = MaybeUninit::uninit();
        // SAFETY: both sets are valid for the call, which initialises `old` if it succeeds. It is
        // async-signal-safe.
        unsafe {
            match libc::sigprocmask(how, &self.0, old.as_mut_ptr()) {
                0 => Ok(SignalMask(old.assume_init())),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

/// A signal that was received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it, as it does for a key on the terminal.
    pub from_kernel: bool,
}

/// Signals that are blocked, to be read.
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Opens one for `mask`, which must be blocked.
    pub fn new(mask: &SignalMask) -> io::Result<Self> {
        // SAFETY: the set is valid for the call.
        let fd = unsafe { libc::signalfd(-1, &mask.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd() returned a new descriptor, which nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal, or [`None`] if there is none now.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut buf = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut buf) {
            Ok(_) => {
                // SAFETY: the structure is made of integers, of which any bytes are values, and
                // `buf` is as long as it; it is read unaligned.
                let info: libc::signalfd_siginfo =
                    unsafe { ptr::read_unaligned(buf.as_ptr().cast()) };
                Ok(Some(Received {
                    signal: info.ssi_signo as i32,
                    from_kernel: info.ssi_code == libc::SI_KERNEL,
                }))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// fork(2), with a child in new namespaces: `flags` is of CLONE_NEW*. Returns the child's pid, or
/// [`None`] in the child.
pub fn fork_into(flags: libc::c_int) -> io::Result<Option<Pid>> {
    // SAFETY: all fields are integers; zero is what clone3(2) wants where nothing is asked for.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and a stack this is fork(2). This program has one thread, so that
    // the child may do what any process may.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &mut args, size_of::<libc::clone_args>()) };
    match ret {
        ..=-1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Pid::from_raw(pid as i32)),
    }
}

/// unshare(2): children, and whoever enters it, are in a new time namespace.
pub fn unshare_time() -> io::Result<()> {
    const CLONE_NEWTIME: libc::c_int = 0x80;
    // SAFETY: this changes no memory of this process.
    match unsafe { libc::unshare(CLONE_NEWTIME) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Replaces this process by a fresh copy of this program.
pub fn exec_self(args: &[CString]) -> io::Error {
    let mut pointers: Vec<*const libc::c_char> = args.iter().map(|a| a.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: path and arguments are NUL-terminated and live as long as the call, the array ends
    // with a null pointer.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Has descriptors from `first` on closed by the next execve(2).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: this changes a flag of descriptors and no memory.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets `setup` run in the child between fork(2) and execve(2) of `command`.
///
/// `setup` must keep to what is async-signal-safe: plain system calls.
pub fn before_exec<F>(command: &mut Command, setup: F)
where
    F: FnMut() -> io::Result<()> + Send + Sync + 'static,
{
    // SAFETY: the process that spawns has one thread, so nothing that the child inherits is in
    // between, locked by somebody who is gone.
    unsafe { command.pre_exec(setup) };
}

/// Gives signals that Rust's runtime ignores their default action back, for a program to come.
pub fn default_sigpipe() {
    // SAFETY: sets a disposition, no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Sends `signal` to `pid`, which may be negative as with kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill() touches no memory.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes over a descriptor that was handed down by number.
pub fn adopt(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl() touches no memory.
    if fd <= libc::STDERR_FILENO || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, no standard stream, and this program has come here before it has opened
    // anything itself.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `to` another descriptor of what `from` is, as dup2(2) does.
pub fn replace(from: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    // SAFETY: only the standard streams are replaced, which nothing here owns.
    match unsafe { libc::dup2(from.as_raw_fd(), to) } {
        ..=-1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether two descriptors of this process are one open file description; not if the kernel can't
/// say.
pub fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    // SAFETY: kcmp() touches no memory of this process.
    let ret = unsafe {
        let pid = libc::getpid();
        libc::syscall(
            libc::SYS_kcmp,
            pid,
            pid,
            KCMP_FILE,
            a.as_raw_fd(),
            b.as_raw_fd(),
        )
    };
    ret == 0
}

/// Pid of the process that listens on the other side of `socket`, 0 if it can't be seen from here.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the structure and its length are valid for the call.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            ptr::from_mut(&mut cred).cast(),
            &mut len,
        )
    };
    match ret {
        0 => Ok(cred.pid),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, mem::offset_of, path::PathBuf};

    use super::*;

    /// A file of the tree that this program is in: a kernel's, or the project's own.
    fn tree(paths: &[&str]) -> Option<String> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
        paths
            .iter()
            .find_map(|path| fs::read_to_string(root.join(path)).ok())
    }

    #[test]
    fn arguments_are_those_of_the_header() {
        let header = tree(&[
            "include/uapi/linux/checkpoint.h",
            "rust-checkpoint/include/uapi/linux/checkpoint.h",
        ])
        .expect("the tree has the header");
        let (_, body) = header.split_once("struct checkpoint_args {").unwrap();
        let (body, _) = body.split_once("};").unwrap();
        let mut offset = 0;
        let fields: Vec<(String, usize)> = body
            .lines()
            .filter_map(|line| line.trim().trim_end_matches(';').split_once(' '))
            .map(|(ty, name)| {
                let at = offset;
                let (name, count) = match name.trim_end_matches(']').split_once('[') {
                    Some((name, count)) => (name, count.parse().unwrap()),
                    None => (name, 1),
                };
                let size = match ty {
                    "__u8" => 1,
                    "__s32" => 4,
                    "__aligned_u64" => 8,
                    other => panic!("unknown type {other}"),
                };
                offset += size * count;
                (name.to_string(), at)
            })
            .collect();
        macro_rules! ours {
            ($($field:ident),*) => {
                [$((stringify!($field).to_string(), offset_of!(CheckpointArgs, $field))),*]
            };
        }
        let ours = ours!(
            log_fd,
            root_pid,
            timeout_ns,
            freeze_ns,
            total_ns,
            image_bytes,
            tasks,
            refusals,
            pages_data,
            pages_zero,
            pages_parent,
            uuid,
            parent
        );
        assert_eq!(fields, ours);
        assert_eq!(size_of::<CheckpointArgs>(), offset);
        assert!(header.contains(&format!("CHECKPOINT_ARGS_SIZE_VER0\t{offset} ")));

        for (name, value) in [
            ("CHECKPOINT_F_ARGS", CHECKPOINT_F_ARGS),
            ("CHECKPOINT_F_DRY_RUN", CHECKPOINT_F_DRY_RUN),
            ("CHECKPOINT_F_TRACK", CHECKPOINT_F_TRACK),
            ("RESTART_F_ARGS", RESTART_F_ARGS),
        ] {
            let defined = format!("#define {name} (1U << {})", value.trailing_zeros());
            let found = header.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.join(" ").starts_with(&defined)
            });
            assert!(found, "{defined}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_table() {
        let table = tree(&["scripts/syscall.tbl", "linux-patches/0500-syscalls.patch"])
            .expect("the tree has the table, or the patch of it");
        for (name, number) in [("checkpoint", SYS_CHECKPOINT), ("restart", SYS_RESTART)] {
            let entry = |line: &str| {
                let words: Vec<&str> = line.trim_start_matches('+').split_whitespace().collect();
                words.starts_with(&[&number.to_string(), "common", name])
            };
            assert!(table.lines().any(entry), "{name}");
        }
    }

    #[test]
    fn a_set_of_signals_is_blocked_and_read() {
        let mask = SignalMask::of(&[libc::SIGUSR1]);
        let before = mask.block().unwrap();
        let signals = SignalFd::new(&mask).unwrap();
        assert!(signals.read().unwrap().is_none());
        // SAFETY: a signal to this very thread, which blocks it.
        unsafe { libc::raise(libc::SIGUSR1) };
        let received = signals.read().unwrap().unwrap();
        assert_eq!(received.signal, libc::SIGUSR1);
        assert!(!received.from_kernel);
        before.set().unwrap();
    }

    #[test]
    fn descriptors_that_share_a_file_are_told() {
        let file = fs::File::open("/dev/null").unwrap();
        let again = fs::File::open("/dev/null").unwrap();
        let shared = file.try_clone().unwrap();
        assert!(!same_file(file.as_fd(), again.as_fd()));
        // A kernel may be without kcmp(2).
        let _ = same_file(file.as_fd(), shared.as_fd());
    }
}
