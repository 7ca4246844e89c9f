// SPDX-License-Identifier: GPL-2.0-only

//! Metadata: framing, every accessor, and the check of what it means.

#![no_main]

use checkpoint_image::{
    parse::Meta,
    record::{File, Kind, Mm, Run, SharedRun, Task, Vma},
    verify::runs_of,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(meta) = Meta::new(bytes, 256) else {
        return;
    };
    let mut end = 256;
    for raw in meta.raw_records() {
        assert_eq!(raw.offset, end);
        end += 16 + (raw.head.len() + raw.tail.len()).next_multiple_of(8) as u64;
    }
    assert_eq!(end, meta.end());
    for record in meta.records() {
        let _ = record.head::<File>();
        let _ = record.head::<Mm>();
        let _ = record.head::<Task>();
        let _ = record.head::<Vma>();
        let _ = record.array::<Run>();
        let _ = record.array::<SharedRun>();
        let of_mm = runs_of(&meta, record.offset);
        assert!(of_mm.is_err() || record.kind == Kind::Mm);
    }
    // As much data as the records ask for, so that the last check is not the end of all.
    let pages = meta.records().filter_map(|r| r.array::<Run>().ok());
    let pages = pages.flatten().map(|run| u64::from(run.pages.get()));
    let data_len = pages.fold(0u64, |sum, n| sum.saturating_add(n)) % (1 << 30) * 4096;
    for data_len in [data_len, 7 * 4096] {
        let header = checkpoint_sample::header_with(&bytes[..bytes.len() & !7], data_len, |_| 0);
        let _ = checkpoint_sample::check(&meta, &header);
    }
});
