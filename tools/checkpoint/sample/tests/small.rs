// SPDX-License-Identifier: GPL-2.0-only

//! A little of everything, for Miri: no undefined behaviour in what reads bytes as structures, on
//! machines of either byte order. The hash is always zero, for hashing is slow there.

use checkpoint_image::{
    emit,
    format::{Header, Trailer, HEADER_LEN, TRAILER_LEN},
    parse::{self, Meta},
    record::{Creds, End, Fd, Job, Kind, Mm, Run, SharedRun, SigAction, Task, Vma},
};
use checkpoint_sample::{header_with, image_with, read_meta, read_with, sample, PAGE};
use zerocopy::IntoBytes;

fn zero(_: &[u8]) -> u64 {
    0
}

#[test]
fn an_image_is_read() {
    let parts = sample(0);
    // Without pages, which only a hash would look at.
    let summary = read_meta(&parts.records.bytes, 4 * PAGE);
    assert!(summary.is_err(), "the run of no pages is refused");
    let parts = sample(1);
    let summary = read_meta(&parts.records.bytes, 5 * PAGE).unwrap();
    assert_eq!((summary.tasks, summary.vmas, summary.pages), (2, 8, 5));
    assert_eq!(summary.shared_pages, 2);

    let empty = image_with(&[], &[], zero);
    assert_eq!(
        read_with(&empty, zero).unwrap_err().what,
        "last record is missing"
    );
}

#[test]
fn bytes_stand_where_the_format_says() {
    let header: Header = header_with(&[0; 16], 2 * PAGE, |_| 0x0102_0304_0506_0708);
    let bytes = header.as_bytes();
    assert_eq!(bytes.len(), HEADER_LEN);
    assert_eq!(bytes[..8], *b"LINUXCKP");
    assert_eq!(bytes[8..12], [1, 0, 0, 0]);
    assert_eq!(bytes[12..16], [0, 1, 0, 0]);
    assert_eq!(bytes[16..20], [0, 0x10, 0, 0]);
    assert_eq!(bytes[20..24], [62, 0, 0, 0]);
    assert_eq!(bytes[40..48], [16, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[48..56], [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(bytes[56..64], [0, 0x10, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[64..72], [0, 0x20, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[72..80], [0, 0x30, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[80..88], [0x48, 0x30, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[88..92], [0, 0, 0x10, 0]);
    assert_eq!(bytes[120..126], *b"7.3.4\0");
    assert_eq!(bytes[248..], [8, 7, 6, 5, 4, 3, 2, 1]);

    let trailer: Trailer = emit::trailer(&header, 1, 9, |_| 0x0102);
    let bytes = trailer.as_bytes();
    assert_eq!(bytes.len(), TRAILER_LEN);
    assert_eq!(bytes[..8], *b"CKPTDONE");
    assert_eq!(bytes[8], 1);
    assert_eq!(bytes[16..24], [0, 0x20, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[24..32], header.as_bytes()[48..56]);
    assert_eq!(bytes[32..40], header.as_bytes()[80..88]);
    assert_eq!(bytes[40], 9);
    assert_eq!(bytes[48..56], header.as_bytes()[248..]);
    assert_eq!(bytes[56..], [2, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn frames_are_checked() {
    let header: Header = header_with(&[], 0, zero);
    let bytes: [u8; HEADER_LEN] = header.as_bytes().try_into().unwrap();
    assert!(parse::check_header(&bytes, zero).is_ok());
    assert!(parse::check_header(&bytes, |_| 1).is_err());
    let trailer = emit::trailer(&header, 0, 0, zero);
    let mut bytes: [u8; TRAILER_LEN] = trailer.as_bytes().try_into().unwrap();
    assert!(parse::check_trailer(&bytes, &header, Some(0), zero).is_ok());
    assert!(parse::check_trailer(&bytes, &header, Some(1), zero).is_err());
    bytes[0] = 0;
    assert!(parse::check_trailer(&bytes, &header, None, zero).is_err());
    assert!(parse::check_gap(&[0; 9], 1).is_ok());
    assert_eq!(parse::check_gap(&[0, 0, 1], 7).unwrap_err().offset, 9);
}

#[test]
fn records_are_read_as_what_they_are_and_are_not() {
    let parts = sample(1);
    // At every alignment.
    let mut moved = vec![0; 8];
    moved.extend_from_slice(&parts.records.bytes);
    for shift in 0..8 {
        moved.drain(..1);
        let meta = Meta::new(&moved[7 - shift..], 256).unwrap();
        assert_eq!(meta.records().count(), parts.records.starts.len());
        for record in meta.records() {
            let _ = record.head::<Job>();
            let _ = record.head::<Mm>();
            let _ = record.head::<Task>();
            let _ = record.head::<Creds>();
            let _ = record.head::<End>();
            let _ = record.array::<Run>();
            let _ = record.array::<SharedRun>();
            let _ = record.array::<Fd>();
            let _ = record.array::<SigAction>();
            let _ = record.array::<Vma>();
        }
        if shift == 0 {
            let job = meta.records().find(|r| r.kind == Kind::Job).unwrap();
            assert_eq!(job.head::<Job>().unwrap().root_pid.get(), 2);
        }
    }
}

#[test]
fn cut_at_every_record() {
    let parts = sample(1);
    for &start in &parts.records.starts {
        for len in [start, start + 1, start + 15, start + 17] {
            let cut = Meta::new(&parts.records.bytes[..len], 256);
            assert_eq!(cut.is_ok(), len == start);
        }
    }
}

#[test]
fn changed_here_and_there() {
    let mut parts = sample(1);
    for at in (0..parts.records.bytes.len()).step_by(499) {
        parts.records.bytes[at] ^= 0x10;
        let _ = read_meta(&parts.records.bytes, 5 * PAGE);
        parts.records.bytes[at] ^= 0x10;
    }
}
