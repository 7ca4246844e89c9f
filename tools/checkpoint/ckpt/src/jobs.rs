// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt ps` and `ckpt kill`.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{bail, Context, Result};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    io::Errno,
};
use serde_json::json;

use crate::{
    code::{code_of, Code},
    out::printed,
    proto::{Reply, Request, Status},
    runtime::{Job, Runtime},
    view,
};

/// How long the inits of jobs have for an answer. They have nothing to do that takes time but
/// restart(2), before there is a job; one that is stopped does not answer at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the jobs say of themselves, [`None`] for one that does not answer.
fn ask_all(jobs: Vec<Job>) -> Result<Vec<(Job, Option<Status>)>> {
    let mut answers = Vec::new();
    let mut asked = Vec::new();
    for job in jobs {
        match job.send(&Request::Status, &[]) {
            Ok(()) => asked.push(job),
            // One that ends just now is none any more.
            Err(e) if code_of(&e) == Code::NoJob => {}
            Err(_) => answers.push((job, None)),
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while !asked.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left)?;
        let sockets = asked.iter().map(Job::socket);
        let mut fds: Vec<_> = sockets.map(|s| PollFd::new(s, PollFlags::IN)).collect();
        let count = match poll(&mut fds, Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e).context("poll"),
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if count == 0 {
            answers.extend(asked.drain(..).map(|job| (job, None)));
        }
        let jobs = std::mem::take(&mut asked);
        for (job, ready) in jobs.into_iter().zip(ready) {
            match ready.then(|| job.receive()) {
                None => asked.push(job),
                Some(Ok(Reply::Status(status))) => answers.push((job, Some(status))),
                Some(Ok(_)) => answers.push((job, None)),
                Some(Err(_)) => {}
            }
        }
    }
    answers.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(answers)
}

/// Lists the jobs that run.
pub fn ps(as_json: bool) -> Result<ExitCode> {
    let jobs = ask_all(Runtime::open().jobs()?)?;
    if as_json {
        let jobs: Vec<_> = jobs
            .iter()
            .map(|(job, status)| {
                let status = status.as_ref();
                json!({
                    "name": job.name,
                    "init_pid": job.init,
                    "answers": status.is_some(),
                    "pid": status.map(|s| s.pid),
                    "processes": status.map(|s| s.processes),
                    "started": status.map(|s| s.started),
                    "checkpoints": status.map(|s| s.checkpoints),
                    "image": status.map(|s| &s.image),
                    "command": status.map(|s| &s.command),
                })
            })
            .collect();
        return Ok(printed(&format!("{:#}\n", json!(jobs))));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let row = |cells: [&str; 6]| {
        let [name, init, processes, images, age, command] = cells;
        format!("{name:<20} {init:>8} {processes:>6} {images:>6} {age:>9}  {command}\n")
    };
    let mut text = row(["NAME", "INIT", "PROCS", "IMAGES", "AGE", "COMMAND"]);
    for (Job { name, init, .. }, status) in &jobs {
        let init = match init {
            0 => "-".into(),
            init => init.to_string(),
        };
        text += &match status {
            Some(status) => row([
                name,
                &init,
                &status.processes.to_string(),
                &status.checkpoints.to_string(),
                &age(now.saturating_sub(status.started)),
                &view::printable(&status.command),
            ]),
            None => row([name, &init, "-", "-", "-", "(does not answer)"]),
        };
    }
    Ok(printed(&text))
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Sends a signal to a job.
pub fn kill(target: &str, signal: i32, all: bool) -> Result<ExitCode> {
    let job = Runtime::open().find(target)?;
    match job.ask(&Request::Kill { signal, all })? {
        Reply::Done => Ok(ExitCode::SUCCESS),
        Reply::Failed { why } => bail!("{}: {why}", job.name),
        _ => bail!("{}: the init has answered something else", job.name),
    }
}

/// Names of signals, as kill(1) knows them.
const SIGNALS: [(&str, i32); 35] = [
    // To see whether one could be sent.
    ("EXIT", 0),
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The number of a signal by name or number.
pub fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            0..=64 => Ok(number),
            _ => Err("signals are 1 to 64, and 0 is none".into()),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // Those of the C library: it keeps the first ones to itself.
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let real_time = |sign: char, from: i32, name: &str| -> Option<i32> {
        let offset = match name.strip_prefix(sign) {
            Some(digits) => digits.parse::<u8>().ok()?.into(),
            None if name.is_empty() => 0,
            None => return None,
        };
        let number = if sign == '+' {
            from + offset
        } else {
            from - offset
        };
        (first..=last).contains(&number).then_some(number)
    };
    let known = SIGNALS.iter().find(|(known, _)| *known == name);
    known
        .map(|(_, number)| *number)
        .or_else(|| real_time('+', first, name.strip_prefix("RTMIN")?))
        .or_else(|| real_time('-', last, name.strip_prefix("RTMAX")?))
        .ok_or_else(|| "no such signal; they are named as in kill(1)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_that_kill_knows() {
        for (text, number) in [
            ("0", 0),
            ("9", 9),
            ("64", 64),
            ("TERM", 15),
            ("sigchld", 17),
            ("CLD", 17),
            ("SIGPOLL", 29),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-2", 62),
            ("RTMAX", 64),
            ("RTMIN+30", 64),
        ] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for bad in [
            "", "65", "-1", "SIG", "NONE", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+",
        ] {
            assert!(signal(bad).is_err(), "{bad}");
        }
        // Numbers in between have names, too.
        for number in 1..32 {
            assert!(
                SIGNALS.iter().any(|(_, known)| *known == number),
                "{number}"
            );
        }
    }
}
