// SPDX-License-Identifier: GPL-2.0-only

//! The clocks of a restarted job: a time namespace in which CLOCK_MONOTONIC and
//! CLOCK_BOOTTIME go on where they stood when the job was saved, also on another
//! machine or after a reboot.

use std::{fs, io, os::fd::BorrowedFd};

use anyhow::{Context, Result};
use checkpoint_image::{
    format::{RecordHeader, HEADER_LEN},
    record::{Job, Kind},
};
use rustix::{
    fs::SeekFrom,
    thread::LinkNameSpaceType,
    time::{clock_gettime, ClockId},
};
use zerocopy::FromBytes;

use crate::sys;

/// Has this process, which has one thread, and all that it starts see the clocks go on where those
/// of the image stood.
///
/// An image that is read from a stream can't be looked at before restart(2) reads it; there the
/// clocks are those of the machine.
pub fn go_on(image: BorrowedFd<'_>) -> Result<()> {
    let Some(job) = job(image).context("can't read the image")? else {
        return Ok(());
    };
    sys::unshare_time().context("can't make a time namespace")?;
    let offsets = fs::read_to_string(OFFSETS).context(OFFSETS)?;
    let mut new = String::new();
    for (name, clock, then) in [
        ("monotonic", ClockId::Monotonic, job.monotonic_ns.get()),
        ("boottime", ClockId::Boottime, job.boottime_ns.get()),
    ] {
        let now = clock_gettime(clock);
        let now = i128::from(now.tv_sec) * NS + i128::from(now.tv_nsec);
        let offset = offset(&offsets, name) + i128::from(then) - now;
        let (seconds, nanoseconds) = (offset.div_euclid(NS), offset.rem_euclid(NS));
        new += &format!("{name} {seconds} {nanoseconds}\n");
    }
    fs::write(OFFSETS, new).context(OFFSETS)?;
    let entered = fs::File::open("/proc/self/ns/time_for_children")?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&entered),
        Some(LinkNameSpaceType::Time),
    )
    .context("can't enter a time namespace")
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

/// What the image says of the job, if it can be looked at. It is checked by restart(2).
fn job(image: BorrowedFd<'_>) -> io::Result<Option<Job>> {
    let Ok(start) = rustix::fs::seek(image, SeekFrom::Current(0)) else {
        return Ok(None);
    };
    let mut bytes = [0; size_of::<RecordHeader>() + size_of::<Job>()];
    let mut have = 0;
    while let Some(rest @ [_, ..]) = bytes.get_mut(have..) {
        let at = start + (HEADER_LEN + have) as u64;
        match rustix::io::pread(image, rest, at) {
            Ok(0) => return Ok(None),
            Ok(n) => have += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let Ok((header, rest)) = RecordHeader::read_from_prefix(&bytes) else {
        return Ok(None);
    };
    let job = Job::read_from_prefix(rest).ok();
    Ok(job
        .map(|(job, _)| job)
        .filter(|_| header.kind.get() == Kind::Job as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read() {
        let text = "monotonic          -5  999999999\nboottime          100         7\n";
        assert_eq!(offset(text, "monotonic"), -5 * NS + 999_999_999);
        assert_eq!(offset(text, "boottime"), 100 * NS + 7);
        assert_eq!(offset("", "boottime"), 0);
    }
}
