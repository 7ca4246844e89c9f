// SPDX-License-Identifier: GPL-2.0-only

//! The init of a job: PID 1 of its namespaces, and the only caller of checkpoint(2) and restart(2).
//!
//! The launcher executes it from its own binary (`ckpt __init FD`), so that it starts with an empty
//! memory and nothing but its standard streams and the leash. It starts the job, reaps, hands
//! signals on, serves its control socket, and exits as the job's first task did; the kernel then
//! takes the rest of the namespace along.
//!
//! Every thread takes a pid in the namespace that a job may need again, so restart(2) is called by
//! the only one. checkpoint(2) takes as long as the image takes to be written, through a slow pipe
//! for hours, and all that time the job must be there for others. So it is called by a thread that
//! is there for that call, one at a time; who asks meanwhile waits. A job that ends meanwhile is
//! over, but init stays until the image is complete if somebody waits for it.
//!
//! What it has must not get into the job: all of its descriptors but the standard streams are
//! close-on-exec. Those streams are the job's, too, the same open file descriptions; an image names
//! them as init's, and a restart binds them to those of the init it is restarted under.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{anyhow, Context, Result};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags},
    net::SocketFlags,
    process::{Pid, WaitOptions},
    thread::CapabilitySet,
};

use crate::{
    clocks,
    code::{Code, Coded},
    out::err,
    proto::{self, Argv, News, Order, Reply, Request, Setup, Status, Wanted, Work},
    sys::{self, CheckpointArgs, SignalFd, SignalMask},
    worker::Worker,
};

/// The exit code that stands for a signal.
fn signal_code(signal: i32) -> u8 {
    u8::try_from(signal).unwrap_or(0).wrapping_add(128)
}

/// Is init until the job has ended.
pub fn main(leash: i32) -> ExitCode {
    let _ = rustix::thread::set_name(c"ckpt-init");
    let Ok(leash) = sys::adopt(leash) else {
        err("ckpt: __init is for `ckpt run` and `ckpt restart` only\n");
        return ExitCode::from(Code::Launch as u8);
    };
    match serve(leash) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            err(&format!("ckpt: init: {e:#}\n"));
            ExitCode::from(Code::Launch as u8)
        }
    }
}

fn serve(leash: OwnedFd) -> Result<u8> {
    sys::close_on_exec_from(3)?;
    let (setup, fds) = proto::receive::<Setup>(&leash)?.context("the launcher is gone")?;
    let mask = SignalMask::all_but(&[]);
    let inherited = mask.block()?;
    let signals = SignalFd::new(&mask)?;

    match start(&setup, fds, inherited) {
        Ok((mut init, restarted)) => {
            let pid = init.main.as_raw_pid();
            let detached = setup.detach;
            let news = News::Started { pid, restarted };
            // A launcher that is gone is noticed below.
            let _ = proto::send(&leash, &news, &[]);
            let code = init.run(&signals, (!detached).then_some(leash))?;
            let _ = fs::remove_file(&setup.socket);
            Ok(code)
        }
        Err(e) => {
            let _ = fs::remove_file(&setup.socket);
            let call = e.downcast_ref::<Call>();
            let news = News::Failed {
                what: format!("{e:#}"),
                errno: call.map(|call| call.errno),
                restarted: call.map(|call| call.args),
            };
            let _ = proto::send(&leash, &news, &[]);
            let code = e.downcast_ref().map_or(Code::Launch, |e: &Coded| e.code);
            Ok(code as u8)
        }
    }
}

/// restart(2) has failed.
#[derive(Debug)]
struct Call {
    errno: i32,
    args: CheckpointArgs,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the image was not restarted")
    }
}

impl std::error::Error for Call {}

/// Makes the world of the job and the job. With the restarted ones comes what restart(2) says.
fn start(
    setup: &Setup,
    fds: Vec<OwnedFd>,
    inherited: SignalMask,
) -> Result<(Init, Option<CheckpointArgs>)> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().context("a descriptor is missing");
    let listener = next()?;
    rustix::net::listen(&listener, 16)?;

    // A session of its own, so that nothing in it leads out of the namespace.
    rustix::process::setsid().context("setsid")?;
    mounts()?;

    let work = match &setup.work {
        Work::Run => Start::Run(read_argv(next()?)?),
        Work::Restart { .. } => Start::Restart {
            image: next()?,
            log: next()?,
        },
    };
    if setup.tty {
        let tty = next()?;
        rustix::process::ioctl_tiocsctty(&tty).context("can't have the terminal")?;
        for fd in 0..=2 {
            sys::replace(tty.as_fd(), fd)?;
        }
    } else {
        part_streams();
    }

    let clocks = match &setup.work {
        Work::Run => None,
        Work::Restart { clocks, .. } => *clocks,
    };
    // A new job loses nothing where there are no time namespaces.
    if let (Err(e), Start::Restart { .. }) = (clocks::enter(clocks)?, &work) {
        err(&format!(
            "ckpt: the clocks of the job do not go on: {e:#}\n"
        ));
    }
    let (main, command, restarted) = match work {
        Start::Run(argv) => {
            let main = spawn(&argv, setup, inherited)?;
            (main, Some(line(&argv)), None)
        }
        Start::Restart { image, log } => {
            let (main, args) = restart(&image, &log)?;
            if setup.tty {
                let group = rustix::process::getpgid(Some(main))?;
                rustix::termios::tcsetpgrp(io::stdin(), group)?;
            }
            (main, None, Some(args))
        }
    };
    let image = match &setup.work {
        Work::Run => None,
        Work::Restart { image, .. } => Some(image.clone()),
    };
    let init = Init {
        name: setup.name.clone(),
        main,
        command,
        image,
        started: now(),
        checkpoints: 0,
        wait_all: setup.wait_all,
        ended: None,
        code: None,
        listener,
        clients: Vec::new(),
        asked: VecDeque::new(),
        writing: None,
    };
    Ok((init, restarted))
}

enum Start {
    Run(Argv),
    Restart { image: OwnedFd, log: OwnedFd },
}

/// Has mounts stay in here, and /proc show what is in here.
fn mounts() -> Result<()> {
    let receive_only = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", receive_only)
        .context("can't keep mounts apart from those outside")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).context("can't mount /proc")
}

/// Makes standard streams that are one description of a terminal several of it.
///
/// A terminal is opened once by whoever made it, and all three streams are that description. So
/// they would be in an image, and a restart could not send them different ways. Streams that share
/// a file are left alone: they share its offset.
fn part_streams() {
    let streams = [
        io::stdin().as_fd().try_clone_to_owned(),
        io::stdout().as_fd().try_clone_to_owned(),
        io::stderr().as_fd().try_clone_to_owned(),
    ];
    for (fd, stream) in streams.iter().enumerate().skip(1) {
        let Ok(stream) = stream else { continue };
        let shared = streams
            .iter()
            .take(fd)
            .flatten()
            .any(|other| sys::same_file(stream.as_fd(), other.as_fd()));
        if shared && rustix::termios::isatty(stream) {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NOCTTY)
                .open(format!("/proc/self/fd/{fd}"));
            if let Ok(tty) = opened {
                let _ = sys::replace(tty.as_fd(), fd as i32);
            }
        }
    }
}

fn read_argv(file: OwnedFd) -> Result<Argv> {
    let mut file = File::from(file);
    file.rewind()?;
    Ok(serde_json::from_reader(file)?)
}

/// Executes the program of the job.
fn spawn(argv: &[OsString], setup: &Setup, inherited: SignalMask) -> Result<Pid> {
    let (program, args) = argv.split_first().context("no program")?;
    let (tty, user_namespace) = (setup.tty, setup.user_namespace);
    let mut command = Command::new(program);
    command.args(args);
    sys::before_exec(&mut command, move || {
        if tty {
            // In the session of the terminal, in front. Who is not in front yet may not say who is,
            // unless it blocks SIGTTOU.
            SignalMask::all_but(&[]).block()?;
            rustix::process::setpgid(None, None)?;
            rustix::termios::tcsetpgrp(io::stdin(), rustix::process::getpid())?;
        } else {
            rustix::process::setsid()?;
        }
        if user_namespace {
            rustix::thread::clear_ambient_capability_set()?;
            let mut sets = rustix::thread::capabilities(None)?;
            sets.inheritable = CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets)?;
        }
        sys::default_sigpipe();
        inherited.set()
    });
    match command.spawn() {
        // It is reaped with all others.
        Ok(child) => Pid::from_raw(child.id() as i32).context("no pid"),
        Err(e) => {
            let code = match e.kind() {
                io::ErrorKind::NotFound => Code::NotFound,
                _ => Code::NotExecutable,
            };
            let program = program.to_string_lossy();
            Err(crate::code::coded(
                code,
                format!("can't execute {program}: {e}"),
            ))
        }
    }
}

/// Restarts an image; returns the first task.
fn restart(image: &OwnedFd, log: &OwnedFd) -> Result<(Pid, CheckpointArgs)> {
    let mut args = CheckpointArgs {
        log_fd: log.as_raw_fd(),
        ..CheckpointArgs::default()
    };
    sys::restart(image.as_fd(), &mut args).map_err(|e| Call {
        errno: e.raw_os_error().unwrap_or(libc::EIO),
        args,
    })?;
    let main = Pid::from_raw(args.root_pid)
        .filter(|pid| !pid.is_init())
        .ok_or_else(|| anyhow!("restart(2) has not said which task is the first"))?;
    Ok((main, args))
}

/// Calls checkpoint(2), in a thread of its own; returns errno and results.
fn checkpoint(image: &OwnedFd, log: &OwnedFd, wanted: &Wanted) -> (i32, CheckpointArgs) {
    let mut args = CheckpointArgs {
        log_fd: log.as_raw_fd(),
        timeout_ns: wanted.timeout_ns,
        parent: wanted.parent.unwrap_or_default(),
        ..CheckpointArgs::default()
    };
    let mut flags = 0;
    for (is, flag) in [
        (wanted.dry_run, sys::CHECKPOINT_F_DRY_RUN),
        (wanted.track, sys::CHECKPOINT_F_TRACK),
    ] {
        if is {
            flags |= flag;
        }
    }
    let errno = match sys::checkpoint(image.as_fd(), flags, &mut args) {
        Ok(()) => 0,
        Err(e) => e.raw_os_error().unwrap_or(libc::EIO),
    };
    (errno, args)
}

/// A checkpoint that a client has asked for.
struct Asked {
    client: OwnedFd,
    image: OwnedFd,
    log: OwnedFd,
    wanted: Wanted,
}

/// A checkpoint(2) that goes on.
struct Writing {
    /// Errno and results.
    worker: Worker<(i32, CheckpointArgs)>,
    /// Who waits for it, unless it is gone.
    client: Option<OwnedFd>,
    dry_run: bool,
}

/// The state of a running job.
struct Init {
    name: String,
    /// Its first task.
    main: Pid,
    command: Option<String>,
    image: Option<PathBuf>,
    started: u64,
    checkpoints: u32,
    wait_all: bool,
    /// How the first task has ended.
    ended: Option<u8>,
    /// The code to exit with, when the job is over.
    code: Option<u8>,
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
    asked: VecDeque<Asked>,
    writing: Option<Writing>,
}

/// Whether the other side of a socket is gone.
fn is_gone(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).is_ok()
        && fds.iter().any(|fd| !fd.revents().is_empty())
}

impl Init {
    /// Lives as long as the job; returns the code to exit with.
    fn run(&mut self, signals: &SignalFd, leash: Option<OwnedFd>) -> Result<u8> {
        // Those that have ended before anybody looked.
        self.reap()?;
        loop {
            // An image that somebody waits for is completed after the end of the job.
            let awaited = self.writing.as_ref().is_some_and(|w| w.client.is_some());
            if let (Some(code), false) = (self.code, awaited) {
                return Ok(code);
            }
            self.write_next();

            let mut fds = vec![
                PollFd::new(signals, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            fds.extend(leash.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let writing = self.writing.as_ref();
            fds.extend(writing.map(|w| PollFd::new(&w.worker, PollFlags::IN)));
            // These have nothing to say; they may go.
            let writing = writing.and_then(|w| w.client.as_ref());
            let waiting = writing
                .into_iter()
                .chain(self.asked.iter().map(|a| &a.client));
            fds.extend(waiting.map(|fd| PollFd::new(fd, PollFlags::empty())));
            fds.extend(self.clients.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("poll"),
            }
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            let mut ready = ready.into_iter();
            let mut next = || ready.next().unwrap_or(PollFlags::empty());
            let (signal, connection) = (!next().is_empty(), !next().is_empty());
            let order = leash.is_some() && !next().is_empty();
            let written = self.writing.is_some() && !next().is_empty();

            if let Some(writing) = &mut self.writing {
                if writing.client.is_some() && !next().is_empty() {
                    writing.client = None;
                }
            }
            self.asked.retain(|_| next().is_empty());
            for client in std::mem::take(&mut self.clients) {
                let ready = next();
                if ready.is_empty() {
                    self.clients.push(client);
                } else if !ready.intersects(PollFlags::HUP | PollFlags::ERR) {
                    self.client(client);
                }
                // What somebody asked for who is gone is wanted no more.
            }
            if written {
                self.written()?;
            }
            if connection {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let accepted = rustix::net::accept_with(&self.listener, flags);
                self.clients.extend(accepted.ok());
            }
            if signal {
                while let Some(received) = signals.read()? {
                    match received.signal {
                        libc::SIGCHLD => self.reap()?,
                        // They are about init's own doings.
                        libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU | libc::SIGURG => {}
                        signal => self.signal(signal, false),
                    }
                }
            }
            if let (true, Some(socket)) = (order, &leash) {
                match proto::receive(socket) {
                    Ok(Some((Order::Signal { signal, group }, _))) => self.signal(signal, group),
                    // A job that was not detached goes with its launcher: with its init, whatever
                    // is being written. Nobody is left to see the code.
                    Ok(None) | Err(_) => return Ok(signal_code(libc::SIGKILL)),
                }
            }
        }
    }

    /// Waits for all that has ended.
    fn reap(&mut self) -> Result<()> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => {
                    let code = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => code as u8,
                        (None, Some(signal)) => signal_code(signal),
                        (None, None) => continue,
                    };
                    self.ended = Some(code);
                    if !self.wait_all {
                        self.code = self.ended;
                        // An init that stays for an image keeps nothing of the job.
                        let _ = sys::kill(-1, libc::SIGKILL);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(Errno::CHILD) => {
                    self.code = Some(self.ended.unwrap_or(0));
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("wait"),
            }
        }
    }

    /// Hands a signal on.
    fn signal(&self, signal: i32, group: bool) {
        let pid = self.main.as_raw_pid();
        let to = match self.ended {
            None if group => rustix::process::getpgid(Some(self.main))
                .map(|group| -group.as_raw_pid())
                // Its group is that of init: there is no reaching it alone.
                .map(|to| if to == -1 { pid } else { to })
                .unwrap_or(pid),
            None => pid,
            Some(_) => -1,
        };
        // One that has just ended needs none.
        let _ = sys::kill(to, signal);
    }

    /// Serves a client, and keeps it if it is still there.
    fn client(&mut self, client: OwnedFd) {
        let failed = |why| Reply::Failed { why };
        let reply = match proto::receive(&client) {
            Ok(Some((Request::Checkpoint(wanted), fds))) => match <[OwnedFd; 2]>::try_from(fds) {
                Ok([image, log]) => {
                    self.asked.push_back(Asked {
                        client,
                        image,
                        log,
                        wanted,
                    });
                    return;
                }
                Err(_) => failed("it takes an image and a log".into()),
            },
            Ok(Some((Request::Kill { signal, all }, _))) if all => match sys::kill(-1, signal) {
                Ok(()) => Reply::Done,
                Err(e) => failed(e.to_string()),
            },
            Ok(Some((Request::Kill { signal, .. }, _))) => {
                self.signal(signal, false);
                Reply::Done
            }
            Ok(Some((Request::Status, _))) => Reply::Status(self.status()),
            Ok(None) => return,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.clients.push(client);
                return;
            }
            Err(e) => failed(e.to_string()),
        };
        self.reply(client, &reply);
    }

    /// Answers a client, and keeps it if it is still there.
    fn reply(&mut self, client: OwnedFd, reply: &Reply) {
        if proto::send(&client, reply, &[]).is_ok() {
            self.clients.push(client);
        }
    }

    /// Begins the next checkpoint, if none goes on and there is a job.
    fn write_next(&mut self) {
        while self.writing.is_none() && self.code.is_none() {
            let Some(asked) = self.asked.pop_front() else {
                return;
            };
            let Asked {
                client,
                image,
                log,
                wanted,
            } = asked;
            // One that has gone just now.
            if is_gone(&client) {
                continue;
            }
            match Worker::start(move || checkpoint(&image, &log, &wanted)) {
                Ok(worker) => {
                    self.writing = Some(Writing {
                        worker,
                        client: Some(client),
                        dry_run: wanted.dry_run,
                    });
                }
                Err(e) => {
                    let why = format!("the init can't have a thread for checkpoint(2): {e}");
                    self.reply(client, &Reply::Failed { why });
                }
            }
        }
    }

    /// Says how the checkpoint has ended.
    fn written(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        let (errno, args) = writing.worker.join()?;
        if errno == 0 && !writing.dry_run {
            self.checkpoints += 1;
        }
        if let Some(client) = writing.client {
            self.reply(client, &Reply::Checkpoint { errno, args });
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let pid = self.main.as_raw_pid();
        Status {
            name: self.name.clone(),
            pid,
            processes: processes(),
            command: self.command.clone().unwrap_or_else(|| command_of(pid)),
            image: self.image.clone(),
            started: self.started,
            checkpoints: self.checkpoints,
        }
    }
}

/// How many processes there are beside init.
fn processes() -> u32 {
    let is_pid = |name: OsString| name.to_string_lossy().parse::<u32>().is_ok();
    let count = fs::read_dir("/proc").map_or(0, |dir| {
        dir.flatten().filter(|e| is_pid(e.file_name())).count()
    });
    u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(1)
}

fn command_of(pid: i32) -> String {
    let path = format!("/proc/{pid}/cmdline");
    let bytes = fs::read(Path::new(&path)).unwrap_or_default();
    let words = bytes.split(|&b| b == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    cut(words.join(" "))
}

fn line(argv: &[OsString]) -> String {
    let words: Vec<_> = argv.iter().map(|arg| arg.to_string_lossy()).collect();
    cut(words.join(" "))
}

fn cut(line: String) -> String {
    line.chars().take(400).collect()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
