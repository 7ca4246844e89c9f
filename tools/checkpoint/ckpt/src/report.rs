// SPDX-License-Identifier: GPL-2.0-only

//! What the kernel reports to the log descriptor: one JSON object a line.
//!
//! The keys are stable and any of them may be absent; they are documented in
//! `Documentation/userspace-api/checkpoint.rst`.

use std::{collections::BTreeMap, fmt::Write, fs::File, io, os::unix::fs::FileExt};

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A file without a name, for what is passed between processes and may be long.
pub fn anonymous(name: &str) -> io::Result<File> {
    match rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC) {
        Ok(fd) => Ok(fd.into()),
        Err(rustix::io::Errno::NOSYS) => {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR;
            Ok(rustix::fs::open(std::env::temp_dir(), flags, mode)?.into())
        }
        Err(e) => Err(e.into()),
    }
}

/// One report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// `checkpoint` or `restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// `refuse`, `error` or `note`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Its command name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// What kind of thing it is about: `fd`, `vma`, `task`, `image` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Which of these: a number, an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// What kind of that: `socket`, `io_uring` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its path or peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The errno that it makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// What a newer kernel says beside.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Record {
    /// Whether it names something in the way.
    pub fn refuses(&self) -> bool {
        self.level.as_deref() == Some("refuse")
    }

    fn object(&self) -> String {
        let mut text = self.object.clone().unwrap_or_default();
        match &self.id {
            Some(Value::String(id)) => text += &format!(" {id}"),
            Some(id) => text += &format!(" {id}"),
            None => {}
        }
        text.trim().into()
    }
}

/// All reports of one call.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// In order.
    pub records: Vec<Record>,
}

impl Log {
    /// Reads what was written to `file`.
    pub fn read(file: &File) -> Self {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = file.read_at(&mut chunk, bytes.len() as u64) {
            bytes.extend(chunk.iter().take(n));
        }
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads lines. One that is no report is taken for what a report says.
    pub fn parse(text: &str) -> Self {
        let record = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|_| Record {
                level: Some("note".into()),
                why: Some(line.into()),
                ..Record::default()
            })
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self {
            records: lines.map(record).collect(),
        }
    }

    /// What is in the way.
    pub fn refusals(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.refuses())
    }

    /// What `call` has failed for in one line, if the reports say: the last of them is about that.
    pub fn summary(&self, call: &str) -> Option<String> {
        let record = self
            .records
            .iter()
            .rev()
            .find(|r| matches!(r.level.as_deref(), Some("error" | "refuse")))?;
        let why = record.why.as_ref()?;
        let mut text = format!("{call}: ");
        if let Some(pid) = record.pid {
            let _ = write!(text, "pid {pid}: ");
        }
        let words = [
            Some(record.object()),
            record.kind.clone(),
            record.name.clone(),
        ];
        let words: Vec<_> = words
            .into_iter()
            .flatten()
            .filter(|w| !w.is_empty())
            .collect();
        if !words.is_empty() {
            let _ = write!(text, "{}: ", words.join(" "));
        }
        text += why;
        if let Some(errno) = &record.errno {
            let _ = write!(text, " ({errno})");
        }
        Some(crate::view::printable(&text))
    }

    /// A table for people: each report with what, where, why, and what helps.
    pub fn text(&self) -> String {
        let heads = ["PID", "COMMAND", "OBJECT", "KIND", "NAME", "WHY"];
        let rows: Vec<[String; 6]> = self
            .records
            .iter()
            .map(|r| {
                [
                    r.pid.map_or(String::new(), |pid| pid.to_string()),
                    r.comm.clone().unwrap_or_default(),
                    r.object(),
                    r.kind.clone().unwrap_or_default(),
                    r.name.clone().unwrap_or_default(),
                    match (r.why.as_deref(), r.errno.as_deref()) {
                        (Some(why), Some(errno)) => format!("{why} ({errno})"),
                        (why, errno) => why.or(errno).unwrap_or_default().into(),
                    },
                ]
                .map(|cell| crate::view::printable(&cell))
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut widths = heads.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let mut line = |cells: &[String; 6]| {
            let mut out = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let _ = write!(out, "{cell:width$}  ");
            }
            text += out.trim_end();
            text.push('\n');
        };
        line(&heads.map(String::from));
        let mut remedies = Vec::new();
        for (row, record) in rows.iter().zip(&self.records) {
            line(row);
            if let Some(remedy) = &record.remedy {
                let remedy = crate::view::printable(remedy);
                if !remedies.iter().any(|(_, other)| *other == remedy) {
                    remedies.push((record.object(), remedy));
                }
            }
        }
        for (object, remedy) in remedies {
            let _ = writeln!(text, "  what helps with {object}: {remedy}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_that_of_the_last_report_that_is_no_note() {
        let log = Log::parse(concat!(
            r#"{"level":"error","object":"task","why":"another"}"#,
            "\n",
            r#"{"level":"error","pid":3,"object":"task","kind":"gid","why":"no such id","#,
            r#""errno":"EINVAL"}"#,
            "\nthis is no JSON\n",
        ));
        assert_eq!(
            log.summary("restart(2)").unwrap(),
            "restart(2): pid 3: task gid: no such id (EINVAL)"
        );
        assert_eq!(Log::parse("a note\n").summary("restart(2)"), None);
    }
}
