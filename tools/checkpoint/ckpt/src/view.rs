// SPDX-License-Identifier: GPL-2.0-only

//! How figures, names and progress look.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::sys::CheckpointArgs;

/// A progress bar, on a terminal, for what takes longer than half a second. It goes when it is
/// dropped.
pub struct Progress {
    bar: ProgressBar,
    /// Since when it is known how far it has come.
    since: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Begins something that goes on to `len` bytes.
    pub fn new(what: &'static str, len: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::hidden());
        let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Self {
            bar,
            since: None,
            shown: false,
        }
    }

    /// Says how far it has come.
    pub fn at(&mut self, position: u64) {
        self.bar.set_position(position);
        let since = *self.since.get_or_insert_with(|| {
            // What was there before has taken nobody knows how long: the rate is that of the rest.
            self.bar.reset_eta();
            Instant::now()
        });
        let late = since.elapsed() > Duration::from_millis(500);
        if !self.shown && late && std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A length for people.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "B" => format!("{n} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A time for people.
pub fn time(ns: u64) -> String {
    let time = Duration::from_nanos(ns);
    match ns {
        0..1_000_000 => format!("{:.0} us", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// "1 task", "2 tasks".
pub fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// Text with nothing in it that a terminal would act on.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Bytes of a name as printable text.
pub fn name(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes))
}

/// A point in time, in UTC.
pub fn date(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar, with years that begin in March, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// What there is to say of a restart.
pub fn restarted(name: &str, args: &CheckpointArgs) -> String {
    format!(
        "ckpt: {name}: restarted {} from {} in {}",
        count(args.tasks, "task"),
        bytes(args.image_bytes),
        time(args.total_ns),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_what_was_seen() {
        let mut progress = Progress::new("test", 1 << 40);
        progress.at(1 << 30);
        for step in 1..=5 {
            std::thread::sleep(Duration::from_millis(20));
            progress.at((1 << 30) + step * 1000);
        }
        // 5000 bytes in at least 100 ms.
        let rate = progress.bar.per_sec();
        assert!(rate > 0.0 && rate <= 50_000.0, "{rate}");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_399_000_000_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(date(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_735_689_599_999_999_999), "2024-12-31 23:59:59 UTC");
        assert_eq!(date(1_735_689_600_000_000_000), "2025-01-01 00:00:00 UTC");
    }

    #[test]
    fn figures() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
        assert_eq!(time(720_000), "720 us");
        assert_eq!(time(13_400_000), "13.4 ms");
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(printable("a\x1b[31mb"), "a\\u{1b}[31mb");
    }
}
