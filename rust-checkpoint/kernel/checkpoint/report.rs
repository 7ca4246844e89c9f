// SPDX-License-Identifier: GPL-2.0-only

//! Reports: what is in the way, named, one JSON object a line.
//!
//! Reports are collected in memory, for nothing may be written while the job
//! stands still, and go to the log descriptor at the end of the call. The keys
//! are part of the contract, see Documentation/userspace-api/checkpoint.rst.

use kernel::{
    checkpoint::gfp,
    fmt::{self, Write},
    prelude::*,
    str::CStr,
};

/// Reports are capped; beyond this only their number is kept.
const MAX_LOG: usize = 1 << 20;

/// What a report is about.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    /// The job as a whole or the call.
    Job,
    /// The task itself.
    Task,
    /// A file descriptor.
    Fd(u32),
    /// A mapping, by its first address.
    Vma(usize),
    /// The program, working directory or root.
    Path(&'static str),
    /// A place in the image.
    Image(u64),
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something can't be saved or brought back.
    Refuse,
    /// The call failed.
    Error,
}

/// A report.
pub(crate) struct Item<'a> {
    /// What it is about.
    pub(crate) object: Object,
    /// The kind of the object, a word.
    pub(crate) kind: &'a str,
    /// Its name: a path, a peer.
    pub(crate) name: &'a [u8],
    /// Why it is in the way.
    pub(crate) why: &'a str,
    /// What would help.
    pub(crate) remedy: &'a str,
}

/// The reports of one call.
pub(crate) struct Report {
    call: &'static str,
    log: KVVec<u8>,
    subject: Option<(i32, [u8; 16])>,
    refusals: u64,
    lost: bool,
}

impl Write for Report {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.put(s.as_bytes());
        Ok(())
    }
}

impl Report {
    /// No reports yet; `call` is the system call.
    pub(crate) fn new(call: &'static str) -> Self {
        Self {
            call,
            log: KVVec::new(),
            subject: None,
            refusals: 0,
            lost: false,
        }
    }

    /// The reports that follow are about this task, or about none.
    pub(crate) fn subject(&mut self, subject: Option<(i32, [u8; 16])>) {
        self.subject = subject;
    }

    /// Adds what another one has collected.
    pub(crate) fn append(&mut self, other: Report) {
        self.refusals = self.refusals.saturating_add(other.refusals);
        self.put(&other.log);
        self.lost |= other.lost;
    }

    /// How many refusals there are.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// The text, for the log descriptor.
    pub(crate) fn text(&self) -> &[u8] {
        &self.log
    }

    /// Reports something that can't be saved or brought back.
    pub(crate) fn refuse(&mut self, item: Item<'_>) {
        self.refusals = self.refusals.saturating_add(1);
        self.add(Level::Refuse, &item, EOPNOTSUPP);
    }

    /// Reports why the call fails with `error`, and hands `error` back.
    pub(crate) fn error(&mut self, item: Item<'_>, error: Error) -> Error {
        self.add(Level::Error, &item, error);
        error
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.lost || self.log.len().saturating_add(bytes.len()) > MAX_LOG {
            self.lost = true;
            return;
        }
        if self.log.extend_from_slice(bytes, gfp()).is_err() {
            self.lost = true;
        }
    }

    fn escape(&mut self, bytes: &[u8]) {
        // Bytes that are not UTF-8 come as U+FFFD: a name is shown, not used.
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let _ = match c {
                    '"' => self.write_str("\\\""),
                    '\\' => self.write_str("\\\\"),
                    '\n' => self.write_str("\\n"),
                    c if u32::from(c) < 0x20 => write!(self, "\\u{:04x}", u32::from(c)),
                    c => self.write_char(c),
                };
            }
            if !chunk.invalid().is_empty() {
                self.put("\u{fffd}".as_bytes());
            }
        }
    }

    fn string(&mut self, key: &str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let _ = write!(self, ",\"{key}\":\"");
        self.escape(value);
        self.put(b"\"");
    }

    fn add(&mut self, level: Level, item: &Item<'_>, error: Error) {
        let level = match level {
            Level::Refuse => "refuse",
            Level::Error => "error",
        };
        // A line is added whole or not at all.
        let start = self.log.len();
        let call = self.call;
        let _ = write!(self, "{{\"call\":\"{call}\",\"level\":\"{level}\"");
        if let Some((pid, comm)) = self.subject {
            let _ = write!(self, ",\"pid\":{pid}");
            let len = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
            self.string("comm", comm.get(..len).unwrap_or(&[]));
        }
        let _ = match item.object {
            Object::Job => write!(self, ",\"object\":\"job\""),
            Object::Task => write!(self, ",\"object\":\"task\""),
            Object::Fd(fd) => write!(self, ",\"object\":\"fd\",\"id\":\"{fd}\""),
            Object::Vma(addr) => write!(self, ",\"object\":\"vma\",\"id\":\"{addr:#x}\""),
            Object::Path(what) => write!(self, ",\"object\":\"path\",\"id\":\"{what}\""),
            Object::Image(at) => write!(self, ",\"object\":\"image\",\"id\":\"{at}\""),
        };
        self.string("kind", item.kind.as_bytes());
        self.string("name", item.name);
        self.string("why", item.why.as_bytes());
        self.string("remedy", item.remedy.as_bytes());
        let name = error.name().map_or(&b"?"[..], CStr::to_bytes);
        self.string("errno", name);
        self.put(b"}\n");
        if self.lost {
            self.log.truncate(start);
        }
    }
}
