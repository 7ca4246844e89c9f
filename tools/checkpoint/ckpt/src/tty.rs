// SPDX-License-Identifier: GPL-2.0-only

//! A terminal for a job (`--tty`): a pseudo-terminal whose other side the launcher keeps.
//!
//! The job's side is the controlling terminal of the init and of the job in its session, so that
//! keys send signals, job control works, and an image can be restarted on another terminal.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags},
    fs::OFlags,
    io::Errno,
    pty::OpenptFlags,
    termios::{OptionalActions, Termios},
};

/// A pseudo-terminal.
pub struct Terminal {
    ours: OwnedFd,
    jobs: Option<OwnedFd>,
    /// Settings of the standard input, to be put back.
    before: Option<Termios>,
    /// Read from the standard input and not taken yet.
    typed: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

impl Terminal {
    /// Makes one, set like the terminal at hand.
    pub fn new() -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags).context("can't have a pseudo-terminal")?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let jobs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
        if let Ok(settings) = rustix::termios::tcgetattr(io::stdin()) {
            rustix::termios::tcsetattr(&jobs, OptionalActions::Now, &settings)?;
        }
        let terminal = Self {
            ours,
            jobs: Some(jobs),
            before: None,
            typed: Vec::new(),
            input_open: true,
            output_open: true,
        };
        terminal.resize();
        Ok(terminal)
    }

    /// The side of the job, until [`Terminal::attach`].
    pub fn job_side(&self) -> BorrowedFd<'_> {
        self.jobs.as_ref().unwrap_or(&self.ours).as_fd()
    }

    /// Leaves the job's side to the job, and has all keys go there.
    pub fn attach(mut self) -> Result<Self> {
        self.jobs = None;
        let flags = rustix::fs::fcntl_getfl(&self.ours)?;
        rustix::fs::fcntl_setfl(&self.ours, flags | OFlags::NONBLOCK)?;
        if let Ok(before) = rustix::termios::tcgetattr(io::stdin()) {
            let mut raw = before.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
            self.before = Some(before);
        }
        Ok(self)
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> [PollFd<'_>; 2] {
        let mut wanted = PollFlags::empty();
        if self.output_open {
            wanted |= PollFlags::IN;
        }
        if !self.typed.is_empty() {
            wanted |= PollFlags::OUT;
        }
        let typing = if self.input_open && self.typed.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        [
            PollFd::new(&self.ours, wanted),
            PollFd::from_borrowed_fd(rustix::stdio::stdin(), typing),
        ]
    }

    /// Moves what is there, after a wait that found `ready`.
    pub fn relay(&mut self, ready: &[PollFlags]) -> Result<()> {
        let (output, input) = match ready {
            [output, input] => (*output, *input),
            _ => return Ok(()),
        };
        if output.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && self.output_open {
            self.output();
        }
        if self.input_open && self.typed.is_empty() && !input.is_empty() {
            let mut buf = [0; 4096];
            match rustix::io::read(io::stdin(), &mut buf) {
                Ok(0) | Err(Errno::IO) => {
                    self.input_open = false;
                    // The end of the input: what the key for it would say.
                    self.typed.push(4);
                }
                Ok(n) => self.typed.extend(buf.iter().take(n)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(e) => return Err(e).context("can't read the standard input"),
            }
        }
        if !self.typed.is_empty() {
            match rustix::io::write(&self.ours, &self.typed) {
                Ok(n) => drop(self.typed.drain(..n)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // The job has closed it.
                Err(_) => self.typed.clear(),
            }
        }
        Ok(())
    }

    /// Gives the job the size of the terminal at hand.
    pub fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin()) {
            let _ = rustix::termios::tcsetwinsize(&self.ours, size);
        }
    }

    /// Prints what the job has left when it ended.
    pub fn drain(&mut self) {
        while self.output_open && self.output() {}
    }

    /// Prints what is there; returns whether there was something.
    fn output(&mut self) -> bool {
        let mut buf = [0; 16 << 10];
        match rustix::io::read(&self.ours, &mut buf) {
            Ok(n) if n > 0 => {
                let mut rest = buf.get(..n).unwrap_or_default();
                while !rest.is_empty() {
                    match rustix::io::write(io::stdout(), rest) {
                        Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                        Err(Errno::INTR) => {}
                        Err(_) => break,
                    }
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // No process has the job's side any more.
            _ => {
                self.output_open = false;
                false
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}
