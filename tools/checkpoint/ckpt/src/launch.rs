// SPDX-License-Identifier: GPL-2.0-only

//! The launcher: what `ckpt run` and `ckpt restart` do outside of the job.
//!
//! It makes the namespaces and an init in them, waits, hands on signals, and exits as the job does.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
};

use anyhow::{anyhow, Context, Result};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::SeekFrom,
    io::{Errno, FdFlags},
    net::{AddressFamily, SocketFlags, SocketType},
    process::{Pid, WaitOptions},
    thread::CapabilitySet,
};

use crate::{
    clocks,
    code::{coded, explain, Code, Coded},
    out::{err, out},
    proto::{self, Argv, News, Order, Setup, Work},
    report::{anonymous, Log},
    runtime::Runtime,
    sys::{self, SignalFd, SignalMask},
    tty::Terminal,
    view::{self, Progress},
};

/// What to launch, and how.
pub struct Launch {
    /// Name of the job.
    pub name: String,
    /// What to do.
    pub start: Start,
    /// Return as soon as it runs.
    pub detach: bool,
    /// It ends with its last task, not its first.
    pub wait_all: bool,
    /// Give it a terminal of its own.
    pub tty: bool,
    /// Say how long a restart took.
    pub verbose: bool,
}

/// What a job is started from.
pub enum Start {
    /// A program.
    Run(Argv),
    /// An image, and how long it is, if that is known.
    Restart {
        /// The image.
        image: File,
        /// Its path.
        path: PathBuf,
        /// Its length, if that is known.
        len: Option<u64>,
    },
}

/// Signals that a launcher hands on.
const HANDED_ON: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGWINCH,
];

/// Launches a job, and waits for it unless it is detached. Returns the job's exit code.
pub fn launch(launch: Launch) -> Result<ExitCode> {
    let launched = || -> Result<Running> {
        let (path, listener) = Runtime::open().bind(&launch.name)?;
        let terminal = launch.tty.then(Terminal::new).transpose()?;
        let running = Running::new(&launch, &path, &listener, terminal);
        if running.is_err() {
            let _ = fs::remove_file(&path);
        }
        running
    };
    launched()
        .and_then(|mut running| running.wait(&launch))
        .map_err(|e| match e.downcast_ref() {
            Some(Coded { .. }) => e,
            None => coded(Code::Launch, format!("{e:#}")),
        })
}

/// An init, and what there is to watch over it.
struct Running {
    init: Pid,
    leash: Option<OwnedFd>,
    signals: SignalFd,
    terminal: Option<Terminal>,
    log: File,
    /// Whether the job has started.
    started: bool,
    /// How the init has ended.
    status: Option<ExitStatus>,
    /// How far a restart has come in the image.
    progress: Option<(Progress, File)>,
}

impl Running {
    fn new(
        launch: &Launch,
        socket: &Path,
        listener: &OwnedFd,
        terminal: Option<Terminal>,
    ) -> Result<Self> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let log = anonymous("ckpt-log")?;
        let mask = SignalMask::all_but(&[libc::SIGTTIN, libc::SIGTTOU, libc::SIGPIPE]);
        let inherited = mask.block()?;
        let signals = SignalFd::new(&mask)?;

        let mut flags =
            libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        // Whoever is not root is it in a user namespace of its own.
        let owner = (!rustix::process::geteuid().is_root()).then(|| Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        });
        if owner.is_some() {
            flags |= libc::CLONE_NEWUSER;
        }
        let init = sys::fork_into(flags).map_err(|e| {
            let why = no_namespaces(&e, owner.is_some());
            io::Error::new(e.kind(), format!("can't make namespaces: {why}"))
        })?;
        let Some(init) = init else {
            drop(ours);
            let e = become_init(theirs, &inherited, owner);
            err(&format!("ckpt: init: {e:#}\n"));
            std::process::exit(Code::Launch as i32);
        };

        let mut fds: Vec<BorrowedFd<'_>> = vec![listener.as_fd()];
        let (argv, handed_on, work);
        let mut progress = None;
        match &launch.start {
            Start::Run(words) => {
                argv = anonymous("ckpt-argv")?;
                serde_json::to_writer(&argv, words)?;
                fds.push(argv.as_fd());
                work = Work::Run;
            }
            Start::Restart { image, path, len } => {
                // Not before there is an init: this one may have a thread from here on.
                let looked = clocks::look(image.as_fd(), |fd| wait_for(fd, &signals));
                let (image_for_init, clocks) = match looked {
                    Ok(looked) => looked,
                    Err(e) => {
                        let _ = sys::kill(init.as_raw_pid(), libc::SIGKILL);
                        return Err(e.context("can't read the image"));
                    }
                };
                handed_on = image_for_init;
                fds.extend([handed_on.as_fd(), log.as_fd()]);
                work = Work::Restart {
                    image: path.clone(),
                    clocks,
                };
                if let (Some(len), Ok(image)) = (len, image.try_clone()) {
                    progress = Some((Progress::new("restart", *len), image));
                }
            }
        }
        fds.extend(terminal.as_ref().map(Terminal::job_side));
        let setup = Setup {
            name: launch.name.clone(),
            socket: socket.to_path_buf(),
            work,
            detach: launch.detach,
            wait_all: launch.wait_all,
            user_namespace: owner.is_some(),
            tty: launch.tty,
        };
        // One that is gone already is waited for below, and has said why.
        let _ = proto::send(&ours, &setup, &fds);
        let terminal = terminal.map(Terminal::attach).transpose()?;
        Ok(Self {
            init,
            leash: Some(ours),
            signals,
            terminal,
            log,
            started: false,
            status: None,
            progress,
        })
    }

    /// Watches until there is nothing more to do.
    fn wait(&mut self, launch: &Launch) -> Result<ExitCode> {
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        loop {
            let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            fds.extend(self.leash.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let at_terminal = fds.len();
            if let Some(terminal) = &self.terminal {
                fds.extend(terminal.poll_fds());
            }
            let timeout = self.progress.as_ref().map(|_| &tick);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("poll"),
            }
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);

            if let (Some(terminal), Some(ready)) = (&mut self.terminal, ready.get(at_terminal..)) {
                terminal.relay(ready)?;
            }
            if let Some((progress, image)) = &mut self.progress {
                if let Ok(at) = rustix::fs::seek(image, SeekFrom::Current(0)) {
                    progress.at(at);
                }
            }
            if self.leash.is_some() && ready.get(1).is_some_and(|r| !r.is_empty()) {
                let news = match &self.leash {
                    Some(leash) => proto::receive::<News>(leash),
                    None => Ok(None),
                };
                match news {
                    Ok(Some((news, _))) => {
                        self.news(news, launch)?;
                        if launch.detach && self.started {
                            // It runs, whoever knows its name.
                            let _ = out(&format!("{}\n", launch.name));
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                    // Its end follows.
                    Ok(None) | Err(_) => self.leash = None,
                }
            }
            while let Some(received) = self.signals.read()? {
                match received.signal {
                    libc::SIGCHLD => {
                        if let Some(code) = self.ended(launch)? {
                            return Ok(code);
                        }
                    }
                    signal if HANDED_ON.contains(&signal) => {
                        self.hand_on(signal, received.from_kernel)?;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes what the init says.
    fn news(&mut self, news: News, launch: &Launch) -> Result<()> {
        self.progress = None;
        match news {
            News::Started { restarted, .. } => {
                self.started = true;
                if let (Some(args), true) = (restarted, launch.verbose) {
                    let log = Log::read(&self.log);
                    err(&log.text());
                    err(&format!("{}\n", view::restarted(&launch.name, &args)));
                }
                Ok(())
            }
            News::Failed { what, errno, .. } => {
                // It exits by itself.
                let status = self.reap();
                let log = Log::read(&self.log);
                err(&log.text());
                let message = match errno {
                    Some(errno) => {
                        let call = "restart(2)";
                        let why = log.summary(call).unwrap_or_else(|| explain(call, errno));
                        format!("{what}: {why}")
                    }
                    None => what,
                };
                let code = match status?.code() {
                    Some(126) => Code::NotExecutable,
                    Some(127) => Code::NotFound,
                    _ => Code::Launch,
                };
                Err(coded(code, message))
            }
        }
    }

    /// Hands a signal on to the job.
    fn hand_on(&mut self, signal: i32, from_kernel: bool) -> Result<()> {
        if signal == libc::SIGWINCH {
            if let Some(terminal) = &self.terminal {
                // The kernel tells the job.
                terminal.resize();
                return Ok(());
            }
        }
        if !self.started {
            let ends = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
            if ends.contains(&signal) {
                // The init may be within restart(2), and hears nothing else.
                sys::kill(self.init.as_raw_pid(), libc::SIGKILL)?;
            }
            return Ok(());
        }
        // The processes of the job are an orphaned group, whose members SIGTSTP does not stop.
        let stop = signal == libc::SIGTSTP;
        if let Some(leash) = &self.leash {
            let order = Order::Signal {
                signal: if stop { libc::SIGSTOP } else { signal },
                // A key on the terminal is for all processes in front, and who was stopped as one
                // of them is to go on as one of them.
                group: from_kernel || stop || signal == libc::SIGCONT,
            };
            // One that is gone is waited for.
            let _ = proto::send(leash, &order, &[]);
        }
        if stop {
            sys::kill(std::process::id() as i32, libc::SIGSTOP)?;
        }
        Ok(())
    }

    /// Waits for the init.
    fn reap(&self) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        loop {
            match rustix::process::waitpid(Some(self.init), WaitOptions::empty()) {
                Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
                Ok(None) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("wait"),
            }
        }
    }

    /// The exit code, if the init has ended.
    fn ended(&mut self, launch: &Launch) -> Result<Option<ExitCode>> {
        let waited = rustix::process::waitpid(Some(self.init), WaitOptions::NOHANG)?;
        let Some((_, status)) = waited else {
            return Ok(None);
        };
        let status = ExitStatus::from_raw(status.as_raw());
        self.status = Some(status);
        self.progress = None;
        // What it has said before it ended, and what the job has written.
        if let (false, Some(leash)) = (self.started, self.leash.take()) {
            if let Ok(Some((news, _))) = proto::receive(&leash) {
                self.news(news, launch)?;
            }
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.drain();
        }
        if launch.detach && self.started {
            let _ = out(&format!("{}\n", launch.name));
        }
        if let Some(signal) = status.signal() {
            // It could not clean up.
            Runtime::open().clean_up(&launch.name);
            err(&format!(
                "ckpt: the init of {} was killed by signal {signal}\n",
                launch.name
            ));
            return Ok(Some(ExitCode::from(128u8.wrapping_add(signal as u8))));
        }
        let code = status.code().unwrap_or(Code::Launch as i32);
        Ok(Some(ExitCode::from(code as u8)))
    }
}

/// Waits until there is something to be read from `fd`, or until a signal says that there is no
/// need for it any more.
fn wait_for(fd: BorrowedFd<'_>, signals: &SignalFd) -> Result<()> {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(fd, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).context("poll"),
        }
        let [ready, _] = fds.map(|fd| !fd.revents().is_empty());
        if ready {
            return Ok(());
        }
        while let Some(received) = signals.read()? {
            match received.signal {
                libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM => {
                    return Err(anyhow!("interrupted"));
                }
                libc::SIGCHLD => return Err(anyhow!("its init has ended")),
                libc::SIGTSTP => sys::kill(std::process::id() as i32, libc::SIGSTOP)?,
                _ => {}
            }
        }
    }
}

/// Why there are no new namespaces. A limit on their number is ENOSPC, and one of 0 is how user
/// namespaces are forbidden.
fn no_namespaces(e: &io::Error, user_namespace: bool) -> String {
    match e.raw_os_error() {
        Some(libc::EPERM) if user_namespace => {
            format!("{e}; user namespaces are not allowed to this user, so it takes root")
        }
        Some(libc::ENOSPC) if user_namespace => {
            "user namespaces are not allowed to this user, or there are as many namespaces as are \
             allowed (user.max_user_namespaces and others), so it takes root or a higher limit"
                .into()
        }
        Some(libc::ENOSPC) => "there are as many as are allowed, or they are nested too deeply \
                               (user.max_pid_namespaces and others)"
            .into(),
        _ => e.to_string(),
    }
}

/// Becomes an init, in a child that is alone in its namespaces. Returns if that fails.
fn become_init(leash: OwnedFd, inherited: &SignalMask, owner: Option<Owner>) -> anyhow::Error {
    let prepare = || -> Result<Vec<CString>> {
        if let Some(owner) = owner {
            own_user_namespace(owner).context("can't set up the user namespace")?;
        }
        sys::close_on_exec_from(3)?;
        rustix::io::fcntl_setfd(&leash, FdFlags::empty())?;
        inherited.set()?;
        let fd = CString::new(leash.as_raw_fd().to_string())?;
        Ok(vec![c"ckpt".into(), c"__init".into(), fd])
    };
    match prepare() {
        Ok(args) => anyhow::Error::new(sys::exec_self(&args)).context("can't execute itself"),
        Err(e) => e,
    }
}

/// Who a user namespace is made for.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// Maps the user to itself, and keeps the capabilities that it has got in its user namespace over
/// the execve(2) to come. The init drops them from the job.
fn own_user_namespace(Owner { uid, gid }: Owner) -> Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable = sets.permitted;
    rustix::thread::set_capabilities(None, sets)?;
    for bit in (0..u64::BITS).map(|bit| 1 << bit) {
        if sets.permitted.bits() & bit != 0 {
            let capability = CapabilitySet::from_bits_retain(bit);
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_that_are_forbidden_are_no_lack_of_space() {
        let why = |errno, user| no_namespaces(&io::Error::from_raw_os_error(errno), user);
        for errno in [libc::EPERM, libc::ENOSPC] {
            let why = why(errno, true);
            assert!(why.contains("not allowed to this user"), "{why}");
            assert!(why.contains("takes root"), "{why}");
        }
        for user in [false, true] {
            assert!(!why(libc::ENOSPC, user).contains("space left"));
        }
        assert!(why(libc::EPERM, false).contains("not permitted"));
    }
}
