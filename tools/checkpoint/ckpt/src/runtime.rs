// SPDX-License-Identifier: GPL-2.0-only

//! Where running jobs are found: a directory with one control socket a job.
//!
//! `/run/ckpt` for root, `$XDG_RUNTIME_DIR/ckpt` for others, or what `$CKPT_RUNTIME_DIR` says. One
//! that is not there is made, for its owner alone. One that is there is used as it is, if nobody
//! else can put anything in. The sockets are their owner's alone. The socket is the job's name; it
//! is bound by the launcher and listened on, and in the end removed, by the init. One that nobody
//! listens on is left over from an init that was killed, and is removed by whoever finds it, under
//! the lock under which names are given out. Nothing but sockets of this user is ever removed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail, Context, Result};
use rustix::{
    fs::FlockOperation,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{
    code::{coded, Code},
    proto::{self, Reply, Request},
    sys,
};

/// The longest name of a job.
const MAX_NAME: usize = 48;

/// A running job, by its control socket.
pub struct Job {
    /// Its name.
    pub name: String,
    /// Pid of its init, 0 if that can't be seen from here.
    pub init: i32,
    socket: OwnedFd,
    /// Its init takes no more connections for now.
    busy: bool,
}

impl Job {
    /// Asks the job's init for something.
    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        if self.busy {
            bail!("the init of {} does not answer", self.name);
        }
        match proto::send(&self.socket, request, fds) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(coded(
                Code::NoJob,
                format!("the init of {} is gone", self.name),
            )),
            Err(e) => Err(e).with_context(|| format!("can't talk to the init of {}", self.name)),
        }
    }

    /// Waits for its answer.
    pub fn receive(&self) -> Result<Reply> {
        match proto::receive(&self.socket) {
            Ok(Some((reply, _))) => Ok(reply),
            Ok(None) => Err(coded(
                Code::NoJob,
                format!("the init of {} is gone before it has answered", self.name),
            )),
            Err(e) => Err(e).with_context(|| format!("no answer from the init of {}", self.name)),
        }
    }

    /// Asks and waits.
    pub fn ask(&self, request: &Request) -> Result<Reply> {
        self.send(request, &[])?;
        self.receive()
    }

    /// To wait for an answer with others.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

/// What there is under the name of a job.
enum Found {
    /// The job.
    Job(Job),
    /// A socket of this user that nobody listens on.
    LeftOver,
    /// Something that is not for jobs.
    SomethingElse,
    /// Nothing.
    Nothing,
}

/// The directory of the sockets.
pub struct Runtime {
    dir: PathBuf,
}

impl Runtime {
    /// Opens the directory of this user, which need not be there.
    pub fn open() -> Self {
        let set = |name| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let root = rustix::process::geteuid().is_root();
        let dir = if let Some(dir) = set("CKPT_RUNTIME_DIR") {
            dir
        } else if root {
            PathBuf::from("/run/ckpt")
        } else if let Some(dir) = set("XDG_RUNTIME_DIR") {
            dir.join("ckpt")
        } else {
            PathBuf::from(format!("/tmp/ckpt-{}", rustix::process::geteuid().as_raw()))
        };
        Self { dir }
    }

    /// Makes the directory, or sees that only this user can put anything into the one there is.
    fn make(&self) -> Result<()> {
        let dir = &self.dir;
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("can't make {}", dir.display())),
        }
        let meta = fs::symlink_metadata(dir).with_context(|| format!("{}", dir.display()))?;
        let why = if !meta.is_dir() {
            "is not a directory"
        } else if meta.uid() != rustix::process::geteuid().as_raw() {
            "belongs to another user"
        } else if meta.mode() & 0o022 != 0 {
            "can be written to by others"
        } else {
            return Ok(());
        };
        bail!(
            "{} {why}: no place for the jobs' sockets; set CKPT_RUNTIME_DIR to a directory that \
             only you can write to, or to one that is not there yet",
            dir.display()
        );
    }

    /// Takes the lock under which names are given out and sockets are removed.
    fn lock(&self, create: bool) -> Result<File> {
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(create)
            .truncate(false)
            .open(self.dir.join(".lock"))
            .context("can't lock the jobs' directory")?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    /// Binds the control socket of a new job, whose name is taken from then on.
    pub fn bind(&self, name: &str) -> Result<(PathBuf, OwnedFd)> {
        self.make()?;
        // One at a time, so that a left-over socket is removed by one only.
        let _lock = self.lock(true)?;

        let path = self.dir.join(name);
        match self.connect(name)? {
            Found::Job(_) => {
                bail!("there is a job named {name} already; `ckpt ps` lists them")
            }
            Found::LeftOver => fs::remove_file(&path).with_context(|| {
                format!("can't remove {}, left over from a job", path.display())
            })?,
            Found::SomethingElse => bail!(
                "{} is in the way and no socket of a job of yours; take another name, or move it",
                path.display()
            ),
            Found::Nothing => {}
        }
        let address = SocketAddrUnix::new(&path)
            .map_err(|_| anyhow!("{} is too long a path for a socket", path.display()))?;
        let socket = new_socket()?;
        rustix::net::bind(&socket, &address)
            .with_context(|| format!("can't bind {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        // One that nobody listens on looks left over. The init will listen, too, and be the one
        // that its clients see on the other side.
        rustix::net::listen(&socket, 1)?;
        Ok((path, socket))
    }

    /// Removes what is left of a job whose init could not do so.
    pub fn clean_up(&self, name: &str) {
        let clean_up = || -> Result<()> {
            let _lock = self.lock(false)?;
            // The name may be another job's by now.
            if let Found::LeftOver = self.connect(name)? {
                fs::remove_file(self.dir.join(name))?;
            }
            Ok(())
        };
        // If not here, it is done by whoever takes the name next.
        let _ = clean_up();
    }

    /// Connects to the job of this name, if there is one.
    fn connect(&self, name: &str) -> Result<Found> {
        let path = self.dir.join(name);
        let context = || format!("can't connect to {}", path.display());
        // connect(2) refuses what is no socket as it refuses one that nobody listens on.
        let ours = match fs::symlink_metadata(&path) {
            Ok(meta) if !meta.file_type().is_socket() => return Ok(Found::SomethingElse),
            Ok(meta) => {
                let user = rustix::process::geteuid();
                let ours = meta.uid() == user.as_raw();
                // What others have put there may pretend to be a job.
                if !ours && !user.is_root() {
                    return Ok(Found::SomethingElse);
                }
                ours
            }
            Err(e) => match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    return Ok(Found::Nothing)
                }
                _ => return Err(denied(e.into(), context())),
            },
        };
        let Ok(address) = SocketAddrUnix::new(&path) else {
            return Ok(Found::Nothing);
        };
        let socket = new_socket()?;
        // An init that is stopped accepts nobody, and when enough wait for that, connect(2) would.
        rustix::io::ioctl_fionbio(&socket, true)?;
        let connected = rustix::net::connect(&socket, &address);
        rustix::io::ioctl_fionbio(&socket, false)?;
        match connected {
            Ok(()) | Err(Errno::AGAIN) => {
                let busy = connected.is_err();
                let init = if busy { 0 } else { sys::peer(socket.as_fd())? };
                Ok(Found::Job(Job {
                    name: name.into(),
                    init,
                    socket,
                    busy,
                }))
            }
            Err(Errno::CONNREFUSED) if ours => Ok(Found::LeftOver),
            Err(Errno::CONNREFUSED | Errno::PROTOTYPE) => Ok(Found::SomethingElse),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(e) => Err(denied(anyhow::Error::new(io::Error::from(e)), context())),
        }
    }

    /// All jobs, by name.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(denied(e.into(), format!("{}", self.dir.display()))),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort_unstable();
        let mut jobs = Vec::new();
        for name in names {
            match self.connect(&name)? {
                Found::Job(job) => jobs.push(job),
                Found::LeftOver => self.clean_up(&name),
                Found::SomethingElse | Found::Nothing => {}
            }
        }
        Ok(jobs)
    }

    /// Finds a job by its name, or by the pid of its init, its launcher or any of its tasks.
    pub fn find(&self, target: &str) -> Result<Job> {
        let found = match target.parse::<i32>() {
            Ok(pid) => self.find_pid(pid)?,
            Err(_) => match check_name(target) {
                Ok(()) => match self.connect(target)? {
                    Found::Job(job) => Some(job),
                    _ => None,
                },
                Err(_) => None,
            },
        };
        found.ok_or_else(|| {
            coded(
                Code::NoJob,
                format!("no job {target}; `ckpt ps` lists those that run"),
            )
        })
    }

    fn find_pid(&self, pid: i32) -> Result<Option<Job>> {
        let mut jobs = self.jobs()?;
        // All tasks of a job descend from its init.
        let mut ancestor = pid;
        while ancestor > 0 {
            if let Some(at) = jobs.iter().position(|job| job.init == ancestor) {
                return Ok(Some(jobs.swap_remove(at)));
            }
            ancestor = parent(ancestor).unwrap_or(0);
        }
        // The init is the one child of its launcher, which is the same program. One that was
        // detached has a parent that is nothing to it.
        let program = |pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
        Ok(jobs.into_iter().find(|job| {
            parent(job.init) == Some(pid)
                && program(pid).is_some_and(|path| program(job.init) == Some(path))
        }))
    }
}

/// Adds the context, and the exit code of what is not permitted.
fn denied(e: anyhow::Error, context: String) -> anyhow::Error {
    match e.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => coded(
            Code::Denied,
            format!("{context}: {e}; jobs are for their own user to see"),
        ),
        _ => e.context(context),
    }
}

/// Parent of a process.
fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn new_socket() -> Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sees that `name` can be the name of a job: of a file, and never a pid.
pub fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty()
        || name.len() > MAX_NAME
        || !name.chars().all(fine)
        || name.starts_with(['.', '-'])
        || name.chars().all(|c| c.is_ascii_digit())
    {
        bail!(
            "{name:?} can't be a job's name: up to {MAX_NAME} letters, digits and . _ -, \
             not only digits, with a letter, a digit or an underscore first"
        );
    }
    Ok(())
}

/// A name for a job that was not given one.
pub fn make_name(of: &Path) -> String {
    let stem = of
        .file_stem()
        .unwrap_or(OsStr::new("job"))
        .to_string_lossy();
    let stem: String = stem
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .take(MAX_NAME / 2)
        .collect();
    format!("{stem}-{}", std::process::id())
}
