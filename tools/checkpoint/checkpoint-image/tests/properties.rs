// SPDX-License-Identifier: GPL-2.0-only

//! What holds for any bytes, and any records.

// Miri would take hours; it has `sample/tests/small.rs`.
#![cfg(not(miri))]

use checkpoint_image::{
    format::{Layout, CHUNK_LEN, HEADER_LEN, RECORD_CRITICAL, TRAILER_LEN},
    parse::{self, Meta},
    record::{self, Kind},
    verify::{check_shared, runs_of, Stretch},
};
use checkpoint_sample::{
    hash, header, read, read_meta, run, shared_run, Records, Sample, HEAP, PAGE,
};
use proptest::{collection::vec, prelude::*};
use zerocopy::{FromZeros, IntoBytes};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2_000,
        // Failing cases are reported, and not written into the tree.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Looks at everything that metadata of any kind lets itself be looked at for.
fn walk(bytes: &[u8]) {
    let Ok(meta) = Meta::new(bytes, HEADER_LEN as u64) else {
        return;
    };
    let mut end = HEADER_LEN as u64;
    for raw in meta.raw_records() {
        assert_eq!(raw.offset, end);
        end += 16 + (raw.head.len() + raw.tail.len()).next_multiple_of(8) as u64;
    }
    assert_eq!(end, meta.end());
    for record in meta.records() {
        let _ = record.head::<record::Mm>();
        let _ = record.head::<()>();
        let _ = record.array::<record::Run>();
        let _ = runs_of(&meta, record.offset);
        let _ = record.tail();
    }
}

prop_compose! {
    fn any_record()(
        kind in any::<u16>(),
        critical in any::<bool>(),
        head in vec(any::<u8>(), 0..40),
        tail in vec(any::<u8>(), 0..40),
    ) -> (u16, u16, Vec<u8>, Vec<u8>) {
        let critical = critical && Kind::from_u16(kind).is_some();
        (kind, if critical { RECORD_CRITICAL } else { 0 }, head, tail)
    }
}

proptest! {
    #![proptest_config(config())]

    /// What is emitted is read back.
    #[test]
    fn round_trip(records in vec(any_record(), 0..20)) {
        let mut emitted = Records::default();
        for (kind, flags, head, tail) in &records {
            emitted.add_raw(*kind, *flags, head, tail);
        }
        let meta = Meta::new(&emitted.bytes, 0).unwrap();
        let read: Vec<_> = meta
            .raw_records()
            .map(|r| (r.kind, r.flags, r.head.to_vec(), r.tail.to_vec()))
            .collect();
        prop_assert_eq!(read, records);
    }

    /// Any bytes: an answer, and no panic.
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..2_000)) {
        walk(&bytes);
        let _ = read(&bytes);
    }

    /// Records of any content in any order: an answer, and no panic.
    #[test]
    fn any_records(
        records in vec(
            (0usize..Kind::ALL.len(), vec(any::<u8>(), 0..64), vec(any::<u8>(), 0..64)),
            0..30,
        )
    ) {
        let mut emitted = Records::default();
        for (kind, head, tail) in &records {
            emitted.add_raw(Kind::ALL[*kind] as u16, RECORD_CRITICAL, head, tail);
        }
        walk(&emitted.bytes);
        let _ = read_meta(&emitted.bytes, 0);
    }

    /// The sample with some bytes changed, under a right checksum: an answer, and no panic.
    #[test]
    fn changed_samples(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..10)) {
        let Sample { mut records, data } = Sample::default();
        for (at, value) in changes {
            let at = at.index(records.bytes.len());
            records.bytes[at] = value;
        }
        walk(&records.bytes);
        let _ = read_meta(&records.bytes, data.len() as u64);
    }

    /// The sample with its records shuffled: refused, unless they happen to stand as they did.
    #[test]
    fn shuffled_samples(
        swaps in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5)
    ) {
        let Sample { records, data } = Sample::default();
        let mut ends = records.starts[1..].to_vec();
        ends.push(records.bytes.len());
        let mut parts: Vec<&[u8]> = records
            .starts
            .iter()
            .zip(ends)
            .map(|(start, end)| &records.bytes[*start..end])
            .collect();
        for (a, b) in swaps {
            let (a, b) = (a.index(parts.len()), b.index(parts.len()));
            parts.swap(a, b);
        }
        let _ = read_meta(&parts.concat(), data.len() as u64);
    }

    /// Shared pages are accepted if each of them is in the image, however the runs are cut.
    #[test]
    fn shared_pages(
        // Of two address spaces: which of 16 pages are in the image, and where runs end. Those of
        // the second begin where those of the first end.
        has in any::<[[u16; 3]; 2]>(),
        cuts in any::<[u16; 2]>(),
        runs in vec((1u32..4, 0u64..17, 1u32..6), 0..3),
    ) {
        let mut meta = Records::default();
        let mut add = |id: u32, shared: &[record::SharedRun], runs: &[record::Run]| {
            let mm = record::Mm { id: id.into(), ..record::Mm::new_zeroed() };
            meta.add(Kind::Mm, &mm, &[]);
            if !shared.is_empty() {
                meta.add(Kind::SharedRuns, &(), shared.as_bytes());
            }
            if !runs.is_empty() {
                meta.add(Kind::Runs, &(), runs.as_bytes());
            }
        };
        // Most of them are.
        let has = has.map(|[a, b, c]| a | b | c);
        let address = |id: u32, page: u64| HEAP + (u64::from(id) * 16 + page) * PAGE;
        let mut count = 0;
        for (id, (has, cuts)) in (1..).zip(has.into_iter().zip(cuts)) {
            let mut runs: Vec<record::Run> = Vec::new();
            for page in (0..16).filter(|page| has >> page & 1 != 0) {
                let start = address(id, page);
                match runs.last_mut() {
                    Some(last) if cuts >> page & 1 == 0
                        && last.start.get() + u64::from(last.pages.get()) * PAGE == start =>
                    {
                        last.pages = (last.pages.get() + 1).into();
                    }
                    _ => runs.push(run(start, 1)),
                }
            }
            count += runs.len();
            add(id, &[], &runs);
        }
        let shared: Vec<_> = runs
            .iter()
            .map(|&(mm, page, pages)| shared_run(HEAP, pages, mm, address(mm, page)))
            .collect();
        add(3, &shared, &[]);

        let right = runs.iter().all(|&(mm, page, pages)| {
            let mask = ((1u64 << pages) - 1) << page;
            let has = has.get(mm as usize - 1);
            has.is_some_and(|&has| u64::from(has) & mask == mask)
        });
        let meta_of = Meta::new(&meta.bytes, 0).unwrap();
        let header = header(&meta.bytes, 0);
        let mut memory = vec![Stretch::default(); count];
        prop_assert_eq!(check_shared(&meta_of, &header, &mut memory).is_ok(), right);
        // What is in it before makes no difference, and with too little nothing more is accepted.
        prop_assert_eq!(check_shared(&meta_of, &header, &mut memory).is_ok(), right);
        let less = check_shared(&meta_of, &header, &mut memory[..count / 2]);
        prop_assert!(less.is_err() || right);
    }

    /// A header that is accepted says where everything is, within bounds.
    #[test]
    fn layouts(
        page in prop::sample::select(vec![4096u32, 16384, 65536, 1, 0, 12345]),
        meta: u64,
        data: u64
    ) {
        for (meta, data) in [
            (meta, data),
            (meta & !7, data & !65535),
            (meta >> 20 & !7, data >> 20 & !65535),
        ] {
            if let Some(layout) = Layout::new(page, meta, data) {
                prop_assert_eq!(layout.data_offset % u64::from(page), 0);
                prop_assert!(layout.data_offset >= meta + HEADER_LEN as u64);
                prop_assert!(layout.data_offset - meta < u64::from(page) + HEADER_LEN as u64);
                prop_assert_eq!(layout.trailer_offset - layout.data_offset, data);
                prop_assert!(layout.chunks * u64::from(CHUNK_LEN) >= data);
                let end = layout.trailer_offset + layout.chunks * 8 + TRAILER_LEN as u64;
                prop_assert_eq!(layout.image_len, end);
            }
        }
    }

    /// Any header under a right checksum: an answer, and no panic.
    #[test]
    fn any_header(changes in vec((0..HEADER_LEN - 8, any::<u8>()), 0..4)) {
        let mut bytes: [u8; HEADER_LEN] = header(&[], 0).as_bytes().try_into().unwrap();
        for (at, value) in changes {
            bytes[at] = value;
        }
        let sum = hash(&bytes[..HEADER_LEN - 8]);
        bytes[HEADER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        if let Ok(header) = parse::check_header(&bytes, hash) {
            let layout = Layout::new(
                header.page_size.get(),
                header.meta_len.get(),
                header.data_len.get(),
            );
            prop_assert_eq!(layout.map(|l| l.image_len), Some(header.image_len.get()));
        }
    }
}
