// SPDX-License-Identifier: GPL-2.0-only

//! The frame: what is whole is read, what is not is refused, wherever it was cut or changed.

// Miri would take hours; it has `sample/tests/small.rs`.
#![cfg(not(miri))]

use checkpoint_image::{
    emit::{self, EmitError, HeaderParts, Measure},
    format::{Layout, CHUNK_LEN, HEADER_LEN, RECORD_CRITICAL, TRAILER_LEN},
    parse::{self, Meta},
    record::{Kind, Vma},
};
use checkpoint_sample::{hash, header, image, read, read_meta, sample, Records, Sample, PAGE};
use zerocopy::IntoBytes;

#[test]
fn the_sample_is_whole() {
    let summary = read(&Sample::default().image()).unwrap();
    assert_eq!(summary.tasks, 2);
    assert_eq!(summary.mms, 2);
    assert_eq!(summary.vmas, 8);
    assert_eq!(summary.pages, 7);
    assert_eq!(summary.runs, 5);
    assert_eq!((summary.shared_runs, summary.shared_pages), (2, 4));
    assert_eq!(summary.files, 7);
    assert_eq!(summary.fds, 3);
}

#[test]
fn the_sample_has_every_kind_of_record() {
    let sample = Sample::incremental();
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    for kind in Kind::ALL {
        assert!(meta.records().any(|r| r.kind == kind), "{kind:?}");
    }
}

#[test]
fn records_from_any_of_them_on() {
    let sample = Sample::default();
    let bytes = &sample.records.bytes;
    let all = |meta: &Meta<'_>| -> Vec<_> { meta.records().map(|r| (r.offset, r.kind)).collect() };
    for base in [0, HEADER_LEN as u64] {
        let meta = Meta::of_checked(bytes, base);
        let records = all(&Meta::new(bytes, base).unwrap());
        assert_eq!(all(&meta), records);
        for (nth, (offset, _)) in records.iter().enumerate() {
            let from = meta.records_from(*offset).map(|r| (r.offset, r.kind));
            assert!(from.eq(records[nth..].iter().copied()), "from {offset}");
        }
        for outside in [base.wrapping_sub(1), meta.end(), meta.end() + 1, u64::MAX] {
            assert_eq!(meta.records_from(outside).count(), 0, "{outside}");
        }
        // Where no record begins there is no panic, and an end.
        for offset in base..meta.end() {
            meta.records_from(offset).for_each(drop);
        }
    }
}

#[test]
fn hash_is_xxh64() {
    // From the specification of xxHash.
    assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
    assert_eq!(hash(b"abc"), 0x44bc_2cf5_ad77_0999);
}

#[test]
fn cut_anywhere() {
    let whole = Sample::default().image();
    for len in 0..whole.len() {
        assert!(read(&whole[..len]).is_err(), "cut to {len}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(read(&longer).is_err());
}

#[test]
fn metadata_cut_at_every_byte() {
    let Sample { records, data } = Sample::default();
    for len in 0..records.bytes.len() {
        let fault = read_meta_of(&records.bytes[..len], data.len());
        assert!(fault.is_err(), "cut to {len}");
        // At a boundary the framing is fine, and the end is missing.
        let framing = Meta::new(&records.bytes[..len], 0);
        assert_eq!(
            framing.is_ok(),
            records.starts.contains(&len),
            "cut to {len}"
        );
    }
}

/// Metadata of any length, which a header could not announce.
fn read_meta_of(meta: &[u8], data_len: usize) -> Result<(), checkpoint_image::format::Fault> {
    let header = header(&[], data_len as u64);
    checkpoint_image::verify::verify(&Meta::new(meta, HEADER_LEN as u64)?, &header).map(drop)
}

#[test]
fn every_bit_of_an_image_counts() {
    let mut image = sample(1).image();
    let data = header(&sample(1).records.bytes, 5 * PAGE);
    let data = data.data_offset.get() as usize..data.trailer_offset.get() as usize;
    let mut at = 0;
    while at < image.len() {
        // All bits outside of the page data, and some within.
        let bits = if data.contains(&at) { 0..1 } else { 0..8 };
        for bit in bits {
            image[at] ^= 1 << bit;
            assert!(read(&image).is_err(), "bit {bit} of byte {at}");
            image[at] ^= 1 << bit;
        }
        at += if data.contains(&at) { 101 } else { 1 };
    }
    assert!(read(&image).is_ok());
}

#[test]
fn a_flipped_bit_under_a_right_checksum_is_no_panic() {
    let Sample { records, data } = Sample::default();
    let mut meta = records.bytes;
    let mut refused = 0;
    for at in 0..meta.len() {
        for bit in 0..8 {
            meta[at] ^= 1 << bit;
            refused += usize::from(read_meta(&meta, data.len() as u64).is_err());
            meta[at] ^= 1 << bit;
        }
    }
    // Much of it is registers and addresses, where every bit says something.
    assert!(refused > meta.len());
}

#[test]
fn a_flipped_bit_in_a_header_under_a_right_checksum() {
    let Sample { records, data } = Sample::default();
    let good = header(&records.bytes, data.len() as u64);
    // Where any value is one: xstate components, the hash of the metadata, when, and who.
    let free = [32..40, 48..56, 96..104, 104..120, 120..126];
    for at in 0..HEADER_LEN - 8 {
        for bit in 0..8 {
            let mut bytes: [u8; HEADER_LEN] = good.as_bytes().try_into().unwrap();
            bytes[at] ^= 1 << bit;
            let sum = hash(&bytes[..HEADER_LEN - 8]);
            bytes[HEADER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
            let ok = parse::check_header(&bytes, hash).is_ok();
            let may = free.iter().any(|range| range.contains(&at));
            // What these features ask for is for the metadata to have.
            let feature = at == 24 && bit < 2;
            // The metadata may be longer and end in the same page; its hash will differ.
            let meta_len = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
            let longer = (40..48).contains(&at)
                && Layout::new(4096, meta_len, data.len() as u64)
                    == Layout::new(4096, good.meta_len.get(), data.len() as u64);
            assert_eq!(ok, may || feature || longer, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn trailer_of_another_image() {
    let image = |heap| sample(heap).image();
    let (mut a, b) = (image(2), image(2));
    assert_eq!(a, b);
    let other = {
        let mut parts = sample(2);
        parts.records.bytes[100] ^= 1;
        parts.image()
    };
    let start = a.len() - TRAILER_LEN;
    a.truncate(start);
    a.extend_from_slice(&other[other.len() - TRAILER_LEN..]);
    let fault = read(&a).unwrap_err();
    assert_eq!(fault.what, "trailer is not the one of this header");
}

#[test]
fn chunks_are_found_by_their_place() {
    let pages = CHUNK_LEN / PAGE as u32 * 2;
    let parts = sample(pages);
    let mut image = parts.image();
    assert!(read(&image).is_ok());
    let header = header(&parts.records.bytes, parts.data.len() as u64);
    assert_eq!(parse::chunks(&header), 3);
    let at = header.data_offset.get() as usize + CHUNK_LEN as usize + 5;
    image[at] ^= 1;
    let fault = read(&image).unwrap_err();
    assert_eq!(
        fault.offset,
        header.data_offset.get() + u64::from(CHUNK_LEN)
    );
}

#[test]
fn refusals_of_a_header_say_what() {
    let refusal = |change: &dyn Fn(&mut [u8; HEADER_LEN]), rehash: bool| {
        let mut bytes: [u8; HEADER_LEN] = header(&[], 0).as_bytes().try_into().unwrap();
        change(&mut bytes);
        if rehash {
            let sum = hash(&bytes[..HEADER_LEN - 8]);
            bytes[HEADER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        }
        parse::check_header(&bytes, hash).unwrap_err().to_string()
    };
    let says = |at: usize, value: u8, rehash, what: &str| {
        let text = refusal(&|bytes| bytes[at] = value, rehash);
        assert!(text.contains(what), "{text}");
    };
    says(0, b'X', false, "wrong magic");
    says(8, 2, false, "format version is not supported (2)");
    says(16, 1, false, "checksum differs");
    says(12, 1, true, "header length is not 256");
    says(20, 3, true, "another architecture (ELF machine number) (3)");
    says(
        25,
        1,
        true,
        "feature that is not known here (number of its bit) (8)",
    );
    says(17, 0, true, "page size is none");
    says(88, 1, true, "chunk length");
    says(92, 1, true, "reserved");
    says(184, 1, true, "kernel release");
    says(200, 1, true, "padding");
    says(40, 1, true, "lengths");
    says(56, 1, true, "data offset");
    says(72, 1, true, "trailer offset");
    says(80, 1, true, "image length");
}

#[test]
fn layouts() {
    let layout = Layout::new(4096, 0, 0).unwrap();
    assert_eq!(layout.data_offset, 4096);
    assert_eq!(layout.image_len, 4096 + 64);
    assert_eq!(Layout::new(4096, 4096 - 256, 0).unwrap().data_offset, 4096);
    assert_eq!(Layout::new(4096, 4096 - 248, 0).unwrap().data_offset, 8192);
    let one_more = u64::from(CHUNK_LEN) + 4096;
    assert_eq!(Layout::new(4096, 0, one_more).unwrap().chunks, 2);
    for (page, meta, data) in [
        (0, 0, 0),
        (2048, 0, 0),
        (5000, 0, 0),
        (1 << 17, 0, 0),
        (4096, 4, 0),
        (4096, 0, 100),
        (4096, u64::MAX - 7, 0),
        (4096, 0, u64::MAX - 4095),
        (4096, 0, i64::MAX as u64 - 4095),
    ] {
        assert_eq!(Layout::new(page, meta, data), None, "{page} {meta} {data}");
    }
    let parts = HeaderParts {
        page_size: 4095,
        features: 0,
        xfeatures: 0,
        meta_len: 0,
        meta_hash: 0,
        data_len: 0,
        created_ns: 0,
        uuid: [0; 16],
        release: b"",
    };
    assert!(emit::header(&parts, hash).is_none());
}

#[test]
fn a_long_release_is_cut_and_a_nul_ends_it() {
    let build = |release| {
        let parts = HeaderParts {
            page_size: 4096,
            features: 0,
            xfeatures: 0,
            meta_len: 0,
            meta_hash: hash(&[]),
            data_len: 0,
            created_ns: 0,
            uuid: [0; 16],
            release,
        };
        let header = emit::header(&parts, hash).unwrap();
        let bytes: [u8; HEADER_LEN] = header.as_bytes().try_into().unwrap();
        parse::check_header(&bytes, hash).unwrap()
    };
    assert_eq!(build(b"7.3.4").release(), b"7.3.4");
    assert_eq!(build(&[b'x'; 100]).release(), [b'x'; 64]);
    assert_eq!(build(b"7.3\0.4").release(), b"7.3");
}

#[test]
fn records_measure_as_long_as_they_are() {
    let mut measure = Measure::default();
    let mut records = Records::default();
    for len in 0..20 {
        let tail = vec![1; len];
        emit::record(&mut measure, Kind::Runs, &(), &[&tail, &tail]).unwrap();
        emit::record(&mut records, Kind::Runs, &(), &[&tail, &tail]).unwrap();
        assert_eq!(measure.len, records.bytes.len() as u64);
    }
    let lens = (0..20).map(|len| emit::record_len(2 * len).unwrap());
    assert_eq!(lens.sum::<usize>() as u64, measure.len);
}

#[test]
fn too_long_a_record_is_not_written() {
    let mut measure = Measure::default();
    let part = vec![0; 1 << 20];
    let tail = vec![part.as_slice(); 4096];
    let result = emit::record(&mut measure, Kind::Runs, &(), &tail);
    assert_eq!(result, Err(EmitError::TooLong));
    assert_eq!(measure.len, 0);
    assert!(emit::record(&mut measure, Kind::Runs, &(), &tail[1..]).is_ok());
}

#[test]
fn a_sink_that_fails() {
    struct Full(usize);
    impl emit::Sink for Full {
        type Error = &'static str;
        fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or("full")?;
            Ok(())
        }
    }
    for room in 0..40 {
        let result = emit::record(&mut Full(room), Kind::Runs, &(), &[&[1; 20]]);
        assert_eq!(result, Err(EmitError::Sink("full")), "{room}");
    }
    assert!(emit::record(&mut Full(40), Kind::Runs, &(), &[&[1; 20]]).is_ok());
}

#[test]
fn structures_extend() {
    let vma = Vma {
        start: 4096.into(),
        end: 8192.into(),
        offset: 1.into(),
        flags: 2.into(),
        kind: 3.into(),
        object: 4.into(),
        pkey: 5.into(),
        huge_shift: 6.into(),
    };
    let head = |bytes: &[u8]| {
        let mut records = Records::default();
        records.add_raw(Kind::Vma as u16, RECORD_CRITICAL, bytes, b"name");
        let meta = Meta::new(&records.bytes, 0).unwrap();
        let record = meta.records().next().unwrap();
        assert_eq!(record.tail(), b"name");
        record.head::<Vma>()
    };
    let bytes = vma.as_bytes();
    assert_eq!(head(bytes), Ok(vma));
    // Shorter: the rest is zero.
    let short = head(&bytes[..bytes.len() - 8]).unwrap();
    assert_eq!(
        (short.object.get(), short.pkey.get(), short.huge_shift.get()),
        (4, 0, 0)
    );
    assert_eq!(head(&[]).unwrap().start.get(), 0);
    // Longer: fine as long as it says no more.
    let mut longer = bytes.to_vec();
    longer.extend([0; 12]);
    assert_eq!(head(&longer), Ok(vma));
    *longer.last_mut().unwrap() = 1;
    assert!(head(&longer).is_err());
}

#[test]
fn unknown_records() {
    let mut optional = Sample::default();
    let Sample { records, data } = Sample::default();
    let with = |kind, flags| {
        // In front of the end, which counts it.
        let mut meta = Records::default();
        let end = *records.starts.last().unwrap();
        meta.bytes.extend_from_slice(&records.bytes[..end]);
        meta.starts.clone_from(&records.starts);
        meta.starts.pop();
        meta.add_raw(kind, flags, b"12345", b"from the future");
        meta.end(data.len() as u64 / PAGE);
        meta
    };
    let skipped = with(999, 0);
    assert!(read_meta(&skipped.bytes, data.len() as u64).is_ok());
    let refused = with(999, RECORD_CRITICAL);
    let fault = read_meta(&refused.bytes, data.len() as u64).unwrap_err();
    assert_eq!(fault.what, "unknown kind of critical record (its number)");
    assert_eq!(fault.value, Some(999));
    let end = *records.starts.last().unwrap();
    assert_eq!(fault.offset, (HEADER_LEN + end) as u64);

    let meta = Meta::new(&skipped.bytes, 0).unwrap();
    assert_eq!(meta.records().count() + 1, meta.raw_records().count());
    optional.records = skipped;
    assert!(read(&optional.image()).is_ok());
}

#[test]
fn framing_refusals_say_what() {
    let refusal = |at: usize, value: u8| {
        let mut records = Records::default();
        records.add(Kind::Runs, &(), &[]);
        records.add_raw(Kind::Path as u16, RECORD_CRITICAL, b"head", b"tail!");
        let second = records.starts[1];
        records.bytes[second + at] = value;
        let fault = Meta::new(&records.bytes, 1000).unwrap_err();
        assert_eq!(fault.offset, 1000 + second as u64);
        fault.what
    };
    assert_eq!(
        refusal(1, 1),
        "unknown kind of critical record (its number)"
    );
    assert_eq!(refusal(2, 3), "unknown flags of a record");
    assert_eq!(
        refusal(4, 10),
        "structure of a record is longer than the record"
    );
    assert_eq!(refusal(8, 17), "record is longer than the metadata");
    assert_eq!(refusal(11, 0xff), "record is longer than the metadata");
    assert_eq!(refusal(12, 1), "reserved field of a record is not zero");
    assert_eq!(refusal(25, 1), "padding after a record is not zero");
    let fault = Meta::new(&[0; 15], 7).unwrap_err();
    assert_eq!(fault.what, "metadata ends within a record header");
}

#[test]
fn empty_metadata_has_no_end() {
    let fault = read_meta(&[], 0).unwrap_err();
    assert_eq!(fault.what, "last record is missing");
    assert!(read(&image(&[], &[])).is_err());
}
