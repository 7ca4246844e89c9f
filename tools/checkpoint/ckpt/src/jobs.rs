// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt ps` and `ckpt kill`.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{bail, Result};
use serde_json::json;

use crate::{
    proto::{Reply, Request},
    runtime::Runtime,
    view,
};

/// Lists the jobs that run.
pub fn ps(as_json: bool) -> Result<ExitCode> {
    let mut jobs = Vec::new();
    for job in Runtime::open().jobs()? {
        // One that ends just now is none any more.
        if let Ok(status) = job.status() {
            jobs.push((job.init, status));
        }
    }
    if as_json {
        let jobs: Vec<_> = jobs
            .iter()
            .map(|(init, status)| {
                json!({
                    "name": status.name,
                    "init_pid": init,
                    "pid": status.pid,
                    "processes": status.processes,
                    "started": status.started,
                    "checkpoints": status.checkpoints,
                    "image": status.image,
                    "command": status.command,
                })
            })
            .collect();
        println!("{:#}", json!(jobs));
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    println!(
        "{:<20} {:>8} {:>6} {:>6} {:>9}  COMMAND",
        "NAME", "INIT", "PROCS", "IMAGES", "AGE"
    );
    for (init, status) in &jobs {
        println!(
            "{:<20} {init:>8} {:>6} {:>6} {:>9}  {}",
            status.name,
            status.processes,
            status.checkpoints,
            age(now.saturating_sub(status.started)),
            view::printable(&status.command),
        );
    }
    Ok(ExitCode::SUCCESS)
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

/// The number of a signal by name or number.
pub fn signal(text: &str) -> Result<i32, String> {
    const NAMES: [(&str, i32); 18] = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("SEGV", libc::SIGSEGV),
        ("USR2", libc::SIGUSR2),
        ("PIPE", libc::SIGPIPE),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("TSTP", libc::SIGTSTP),
        ("TTIN", libc::SIGTTIN),
        ("TTOU", libc::SIGTTOU),
        ("WINCH", libc::SIGWINCH),
        ("URG", libc::SIGURG),
    ];
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            1..=64 => Ok(number),
            _ => Err("signals are 1 to 64".into()),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES
        .iter()
        .find_map(|(known, number)| (*known == name).then_some(*number))
        .ok_or_else(|| "no such signal".into())
}
