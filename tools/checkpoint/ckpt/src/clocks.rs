// SPDX-License-Identifier: GPL-2.0-only

//! The clocks of a job: a time namespace of its own, in which CLOCK_MONOTONIC and CLOCK_BOOTTIME
//! are those of whoever starts it, and, when it is restarted, go on where they stood when it was
//! saved, also on another machine or after a reboot.
//!
//! The launcher looks for where they stood; the init makes the namespace, before there is a job. It
//! enters it, too: checkpoint(2) refuses tasks that are not in the one of their init.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result};
use checkpoint_image::{
    format::{Header, RecordHeader, HEADER_LEN, MAGIC},
    record::{Job, Kind},
};
use rustix::{
    event::{poll, PollFd, PollFlags},
    fs::SeekFrom,
    io::Errno,
    pipe::{pipe_with, PipeFlags},
    thread::LinkNameSpaceType,
    time::{clock_gettime, ClockId},
};
use serde::{Deserialize, Serialize};
use zerocopy::FromBytes;

use crate::{sys, worker::Worker};

/// What the clocks of a job showed when it was saved, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    monotonic: u64,
    boottime: u64,
}

/// Has this process, which has one thread, and all that it starts be in a time namespace of its
/// own, where the clocks go on from `then`, or from what they show.
///
/// The error is one after which this process is neither here nor there, and must not have a job.
/// One after which the clocks are those of the machine is returned beside it.
pub fn enter(then: Option<Clocks>) -> Result<Result<()>> {
    if let Err(e) = sys::unshare_time() {
        return Ok(Err(e).context("can't make a time namespace"));
    }
    // One without offsets is whole, too.
    let set = then.map_or(Ok(()), set_offsets);
    let entered = File::open("/proc/self/ns/time_for_children").and_then(|namespace| {
        let time = Some(LinkNameSpaceType::Time);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), time).map_err(Into::into)
    });
    entered.context("can't enter its time namespace")?;
    Ok(set)
}

/// Has the clocks of the namespace that was made, and that nobody is in yet, go on from `then`.
fn set_offsets(then: Clocks) -> Result<()> {
    let offsets = fs::read_to_string(OFFSETS).context(OFFSETS)?;
    let mut new = String::new();
    for (name, clock, then) in [
        ("monotonic", ClockId::Monotonic, then.monotonic),
        ("boottime", ClockId::Boottime, then.boottime),
    ] {
        let now = clock_gettime(clock);
        let now = i128::from(now.tv_sec) * NS + i128::from(now.tv_nsec);
        let offset = offset(&offsets, name) + i128::from(then) - now;
        let (seconds, nanoseconds) = (offset.div_euclid(NS), offset.rem_euclid(NS));
        new += &format!("{name} {seconds} {nanoseconds}\n");
    }
    // In one go: both or none.
    fs::write(OFFSETS, new).context(OFFSETS)
}

const OFFSETS: &str = "/proc/self/timens_offsets";
const NS: i128 = 1_000_000_000;

/// The offset of a clock in what /proc says, ns.
fn offset(text: &str, clock: &str) -> i128 {
    let line = text.lines().find(|line| line.starts_with(clock));
    let mut words = line.unwrap_or_default().split_whitespace().skip(1);
    let mut next = || words.next().and_then(|word| word.parse::<i128>().ok());
    let seconds = next().unwrap_or(0);
    seconds * NS + next().unwrap_or(0)
}

/// How much of an image tells about the clocks.
const START: usize = HEADER_LEN + size_of::<RecordHeader>() + size_of::<Job>();

/// An image that is to be restarted, and what it says of the clocks; nothing if it says nothing.
///
/// It is only looked at: restart(2) checks it. What can't be read twice is handed on through a
/// pipe; `wait` waits until there is something to be read from it.
pub fn look(
    image: BorrowedFd<'_>,
    mut wait: impl FnMut(BorrowedFd<'_>) -> Result<()>,
) -> Result<(OwnedFd, Option<Clocks>)> {
    let file = File::from(image.try_clone_to_owned()?);
    let at = rustix::fs::seek(image, SeekFrom::Current(0)).ok();
    let mut start = vec![0; START];
    let mut have = 0;
    while let Some(rest @ [_, ..]) = start.get_mut(have..) {
        let read = match at {
            Some(at) => rustix::io::pread(image, rest, at + have as u64),
            None => {
                wait(image)?;
                rustix::io::read(image, rest)
            }
        };
        match read {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(e.into()),
        }
    }
    start.truncate(have);
    let clocks = said(&start);
    match at {
        Some(_) => Ok((file.into(), clocks)),
        None => Ok((hand_on(start, file)?, clocks)),
    }
}

/// Reads from what may be in non-blocking mode, which is also that of whoever else has it.
struct Patient(File);

impl io::Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
                    // Interrupted or not, it is looked at again.
                    let _ = poll(&mut fds, None);
                }
                read => return read,
            }
        }
    }
}

/// A pipe that an image comes from, of which `start` was read from `rest` already.
fn hand_on(start: Vec<u8>, rest: File) -> Result<OwnedFd> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // What stands behind the image is not for restart(2).
    let left = match Header::read_from_prefix(&start) {
        Ok((header, _)) if header.magic == MAGIC => header.image_len.get(),
        _ => u64::MAX,
    }
    .saturating_sub(start.len() as u64);
    Worker::start(move || {
        let mut to = File::from(write);
        // If it ends too early, restart(2) says so.
        let _ = to
            .write_all(&start)
            .and_then(|()| io::copy(&mut Patient(rest).take(left), &mut to));
    })?;
    Ok(read)
}

/// What the start of an image says of the clocks.
fn said(start: &[u8]) -> Option<Clocks> {
    let (header, rest) = RecordHeader::read_from_prefix(start.get(HEADER_LEN..)?).ok()?;
    let (job, _) = Job::read_from_prefix(rest).ok()?;
    (header.kind.get() == Kind::Job as u16).then(|| Clocks {
        monotonic: job.monotonic_ns.get(),
        boottime: job.boottime_ns.get(),
    })
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use checkpoint_sample::Sample;

    use super::*;

    #[test]
    fn offsets_are_read() {
        let text = "monotonic          -5  999999999\nboottime          100         7\n";
        assert_eq!(offset(text, "monotonic"), -5 * NS + 999_999_999);
        assert_eq!(offset(text, "boottime"), 100 * NS + 7);
        assert_eq!(offset("", "boottime"), 0);
    }

    /// What restart(2) reads of `image` in a stream, in which something follows it; and the clocks.
    fn through_a_pipe(image: &[u8]) -> (Vec<u8>, Option<Clocks>) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // As a shell may have left it.
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK).unwrap();
        let bytes = [image, b"behind"].concat();
        let writer = thread::spawn(move || {
            // In pieces, of which the first is not enough to tell.
            let (first, rest) = bytes.split_at(bytes.len().min(100));
            let (second, rest) = rest.split_at(rest.len().min(1000));
            let mut to = File::from(write);
            for piece in [first, second, rest] {
                let _ = to.write_all(piece);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (fd, clocks) = look(read.as_fd(), |_| Ok(())).unwrap();
        let mut got = Vec::new();
        File::from(fd).read_to_end(&mut got).unwrap();
        drop(read);
        writer.join().unwrap();
        (got, clocks)
    }

    #[test]
    fn a_stream_is_looked_at_and_handed_on() {
        let image = Sample::default().image();
        let (got, clocks) = through_a_pipe(&image);
        assert!(got == image);
        let (monotonic, boottime) = (1, 2);
        let saved = Clocks {
            monotonic,
            boottime,
        };
        assert_eq!(clocks, Some(saved));
        // What is none is for restart(2) to refuse.
        for bytes in [&b"no image"[..], &[0; 10_000]] {
            let (got, clocks) = through_a_pipe(bytes);
            assert!(got.starts_with(bytes) && got.ends_with(b"behind"));
            assert_eq!(clocks, None);
        }
    }
}
