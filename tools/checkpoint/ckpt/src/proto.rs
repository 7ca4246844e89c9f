// SPDX-License-Identifier: GPL-2.0-only

//! What the parts of `ckpt` say to each other.
//!
//! Every message is one packet of a SOCK_SEQPACKET socket: a JSON value, with file descriptors
//! beside it where it says so. Three parts talk: the *launcher* (`ckpt run`, `ckpt restart`), its
//! *init* (PID 1 of the job's namespace), over a pair of sockets called the leash; and *clients*
//! (`ckpt checkpoint`, `check`, `kill`, `ps`), over the job's control socket.

use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::net::{
    recvmsg, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

use crate::{
    clocks::Clocks,
    sys::{CheckpointArgs, Uuid},
};

/// The longest packet.
const MAX: usize = 64 << 10;
/// The most descriptors beside a packet.
const MAX_FDS: usize = 4;

/// What an init is to be. With it come its control socket, for [`Work::Restart`] the image and a
/// file for the kernel's reports, and, with `tty`, a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Name of the job.
    pub name: String,
    /// Where the control socket is bound, to be removed in the end.
    pub socket: PathBuf,
    /// What to do.
    pub work: Work,
    /// Live on without the launcher.
    pub detach: bool,
    /// Live until the last task is gone, not only the first.
    pub wait_all: bool,
    /// Has capabilities in a user namespace of its own that the job is not to have.
    pub user_namespace: bool,
    /// A terminal comes along.
    pub tty: bool,
}

/// Where the tasks of a job come from.
#[derive(Debug, Serialize, Deserialize)]
pub enum Work {
    /// A program is executed. Its arguments are in a file that comes along: they may be longer than
    /// a packet.
    Run,
    /// An image is restarted.
    Restart {
        /// Path of the image, for people.
        image: PathBuf,
        /// What the clocks of the job showed.
        clocks: Option<Clocks>,
    },
}

/// Arguments of a program.
pub type Argv = Vec<OsString>;

/// From an init to its launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    /// The job runs.
    Started {
        /// Pid of its first task in its namespace.
        pid: i32,
        /// Results of restart(2).
        restarted: Option<CheckpointArgs>,
    },
    /// There is no job.
    Failed {
        /// What failed.
        what: String,
        /// Why, if it is a number.
        errno: Option<i32>,
        /// Results of restart(2).
        restarted: Option<CheckpointArgs>,
    },
}

/// What checkpoint(2) is asked for.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Write nothing.
    pub dry_run: bool,
    /// How long tasks may take to stop; 0 for the kernel's default.
    pub timeout_ns: u64,
    /// Keep track of what changes from now on.
    pub track: bool,
    /// The image that this one is to hold the changes since.
    pub parent: Option<Uuid>,
}

/// From a launcher to its init.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Hand a signal to the job.
    Signal {
        /// Its number.
        signal: i32,
        /// To the process group of the first task, as a terminal would.
        group: bool,
    },
}

/// From a client to an init.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Say what the job is.
    Status,
    /// Call checkpoint(2). With it come the file for the image and one for the kernel's reports.
    Checkpoint(Wanted),
    /// Send a signal.
    Kill {
        /// Its number.
        signal: i32,
        /// To every task, not only the first.
        all: bool,
    },
}

/// From an init to a client.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// What the job is.
    Status(Status),
    /// checkpoint(2) has returned.
    Checkpoint {
        /// Its errno, 0 for success.
        errno: i32,
        /// Its results.
        args: CheckpointArgs,
    },
    /// Done.
    Done,
    /// Not done.
    Failed {
        /// Why.
        why: String,
    },
}

/// What a job is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Pid of its first task in its namespace.
    pub pid: i32,
    /// How many processes it has.
    pub processes: u32,
    /// What it was started with, or its first task's command line.
    pub command: String,
    /// The image that it was restarted from.
    pub image: Option<PathBuf>,
    /// When it was started: seconds since the epoch.
    pub started: u64,
    /// How many images were taken of it.
    pub checkpoints: u32,
}

/// Sends one packet.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "message is too long",
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one packet, or [`None`] if the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = match rustix::io::retry_on_intr(|| {
        recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    }) {
        Ok(received) => received,
        // A peer that went away with something unread.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let bytes = bytes.get(..received.bytes).unwrap_or_default();
    Ok(Some((serde_json::from_slice(bytes)?, fds)))
}
