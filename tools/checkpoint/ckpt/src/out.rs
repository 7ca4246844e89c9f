// SPDX-License-Identifier: GPL-2.0-only

//! What is printed.
//!
//! println!() and eprintln!() panic when they can't print. Here, a reader that has had enough is
//! nothing to talk about, anything else is said once; what was done is done, whether it could be
//! printed or not.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::code::Code;

/// Prints `text` to the standard output. Returns false if that was not possible and somebody should
/// have read it; that was then said.
#[must_use = "what only prints has failed; what does something else has not"]
pub fn out(text: &str) -> bool {
    static SAID: AtomicBool = AtomicBool::new(false);
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => true,
        Err(e) => {
            if !SAID.swap(true, Ordering::Relaxed) {
                err(&format!("ckpt: can't write to the standard output: {e}\n"));
            }
            false
        }
    }
}

/// Prints `text` for a command that does nothing else, and returns its exit code.
pub fn printed(text: &str) -> ExitCode {
    match out(text) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Code::Failed as u8),
    }
}

/// Prints `text` to the standard error stream. There is nobody to tell if that is not possible.
pub fn err(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
