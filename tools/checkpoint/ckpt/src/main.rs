// SPDX-License-Identifier: GPL-2.0-only

//! Checkpoints and restarts jobs with checkpoint(2) and restart(2).

mod cli;
mod clocks;
mod code;
mod image;
mod init;
mod jobs;
mod launch;
mod merge;
mod out;
mod proto;
mod report;
mod runtime;
mod save;
mod show;
mod sys;
mod tty;
mod view;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(e) => {
            out::err(&format!("ckpt: {e:#}\n"));
            ExitCode::from(code::code_of(&e) as u8)
        }
    }
}
