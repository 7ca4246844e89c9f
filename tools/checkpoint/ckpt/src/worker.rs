// SPDX-License-Identifier: GPL-2.0-only

//! A thread for one call that takes long, so that its caller can serve others meanwhile.
//!
//! It has the signal mask of its caller, takes a pid for as long as it is there, and ends with the
//! process, whatever it is doing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread::{Builder, JoinHandle},
};

use rustix::pipe::{pipe_with, PipeFlags};

/// A thread, and a descriptor that hangs up when its work is done.
pub struct Worker<T> {
    thread: JoinHandle<T>,
    done: OwnedFd,
}

impl<T: Send + 'static> Worker<T> {
    /// Begins `work`.
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (done, working) = pipe_with(PipeFlags::CLOEXEC)?;
        let thread = Builder::new().spawn(move || {
            let _working = working;
            work()
        })?;
        Ok(Self { thread, done })
    }

    /// Waits for the end of the work and of the thread.
    pub fn join(self) -> io::Result<T> {
        let panicked = |_| io::Error::other("a thread has failed");
        self.thread.join().map_err(panicked)
    }
}

impl<T> AsFd for Worker<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::{
        event::{poll, PollFd, PollFlags, Timespec},
        io::Errno,
        pipe::pipe,
    };

    use super::*;

    #[test]
    fn a_worker_hangs_up_when_it_is_done() {
        let (wait, go) = pipe().unwrap();
        let worker = Worker::start(move || rustix::io::read(wait, &mut [0; 1])).unwrap();
        let ready = |timeout: Option<&Timespec>| {
            let mut fds = [PollFd::new(&worker, PollFlags::IN)];
            poll(&mut fds, timeout).map(|_| fds[0].revents())
        };
        assert_eq!(ready(Some(&Timespec::default())), Ok(PollFlags::empty()));
        drop(go);
        assert_eq!(ready(None), Ok(PollFlags::HUP));
        assert_eq!(worker.join().unwrap(), Ok::<_, Errno>(0));
    }
}
