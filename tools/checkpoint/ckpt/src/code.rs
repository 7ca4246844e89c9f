// SPDX-License-Identifier: GPL-2.0-only

//! Exit codes, and errors that know theirs.

use std::{error::Error, fmt, io};

/// How `ckpt` ends when it did not do what it was asked to. The numbers are documented in
/// `ckpt --help` and in ckpt(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Anything that has no code of its own.
    Failed = 1,
    /// A mistake on the command line; clap exits with that, too.
    Usage = 2,
    /// The file is no image, or a damaged one.
    Image = 3,
    /// The job holds something that can't be saved, or the machine can't restore it.
    Refused = 4,
    /// There is no such job.
    NoJob = 5,
    /// The kernel has no checkpoint(2).
    NoKernel = 6,
    /// The job did not stop in time.
    TimedOut = 7,
    /// Not permitted.
    Denied = 8,
    /// `run` and `restart`: failed before there was a job.
    Launch = 125,
    /// `run`: the program can't be executed.
    NotExecutable = 126,
    /// `run`: there is no such program.
    NotFound = 127,
}

impl Code {
    /// The code that goes with an errno of checkpoint(2) and restart(2).
    pub fn of_errno(errno: i32) -> Self {
        match errno {
            libc::EOPNOTSUPP | libc::EEXIST | libc::ESTALE => Code::Refused,
            libc::EINVAL | libc::EBADMSG => Code::Image,
            libc::ENOSYS => Code::NoKernel,
            libc::ETIMEDOUT => Code::TimedOut,
            libc::EPERM | libc::EACCES => Code::Denied,
            _ => Code::Failed,
        }
    }
}

/// An error that ends the program with a code of its own.
#[derive(Debug)]
pub struct Coded {
    /// The code.
    pub code: Code,
    message: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Coded {}

/// Builds an error with a code.
pub fn coded(code: Code, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded {
        code,
        message: message.into(),
    })
}

/// The code that `error` ends the program with.
pub fn code_of(error: &anyhow::Error) -> Code {
    error
        .chain()
        .find_map(|e| e.downcast_ref::<Coded>())
        .map_or(Code::Failed, |coded| coded.code)
}

/// What an errno of checkpoint(2) or restart(2) means, and what helps.
pub fn explain(call: &str, errno: i32) -> String {
    let why = match errno {
        libc::ENOSYS => {
            "this kernel does not have it; it takes a kernel built with CONFIG_CHECKPOINT=y"
        }
        libc::EPERM => {
            "not permitted; it takes CAP_CHECKPOINT_RESTORE, and the right to ptrace every task \
             of the job"
        }
        libc::EOPNOTSUPP => "the job holds something that can't be saved",
        libc::ETIMEDOUT => "a task did not stop in time; --timeout gives it longer",
        libc::EINTR => "interrupted: a task or the init was killed meanwhile",
        libc::EEXIST => "a pid of the image is taken",
        libc::EINVAL => "not an image, a damaged one, or one that this kernel can't restore",
        libc::ENOSPC => "no space left for the image",
        libc::EPIPE => "who was to read the image is gone",
        libc::EFBIG => "the image is larger than the file system or the file-size limit allows",
        libc::ENOMEM => "not enough memory",
        _ => return format!("{call}: {}", io::Error::from_raw_os_error(errno)),
    };
    format!("{call}: {why} ({})", name(errno))
}

/// The name of an errno that the two system calls return.
fn name(errno: i32) -> &'static str {
    match errno {
        libc::ENOSYS => "ENOSYS",
        libc::EPERM => "EPERM",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::EINTR => "EINTR",
        libc::EEXIST => "EEXIST",
        libc::EINVAL => "EINVAL",
        libc::ENOSPC => "ENOSPC",
        libc::EPIPE => "EPIPE",
        libc::EFBIG => "EFBIG",
        libc::ENOMEM => "ENOMEM",
        _ => "errno",
    }
}
