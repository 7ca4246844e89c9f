// SPDX-License-Identifier: GPL-2.0-only

//! Writing an image: records into a [`Sink`], header and trailer from lengths and hashes.
//!
//! The writer holds everything it needs before it writes the first byte: it emits all records into
//! memory, hashes them, builds the [`Header`], and then writes header, metadata, padding, page data
//! (hashing chunk by chunk), chunk hashes and [`Trailer`], front to back.

use core::convert::Infallible;

use zerocopy::{
    Immutable,
    IntoBytes, //
};

use super::{
    format::{
        Hash,
        Header,
        Layout,
        RecordHeader,
        Trailer,
        ARCH_X86_64,
        CHUNK_LEN,
        HEADER_LEN,
        MAGIC,
        RECORD_ALIGN,
        RECORD_CRITICAL,
        RECORD_HEADER_LEN,
        RELEASE_LEN,
        TRAILER_LEN,
        TRAILER_MAGIC,
        VERSION, //
    },
    record::Kind, //
};

/// Where records go.
pub trait Sink {
    /// Why bytes could not be taken.
    type Error;

    /// Takes `bytes`, all of them or none.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A [`Sink`] that only counts: how much room the same records will take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Bytes so far.
    pub len: u64,
}

impl Sink for Measure {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError<E> {
    /// The record is longer than the format can say. Nothing was written.
    TooLong,
    /// The sink failed; it may hold a part of the record.
    Sink(E),
}

impl<E> From<E> for EmitError<E> {
    fn from(error: E) -> Self {
        EmitError::Sink(error)
    }
}

/// Writes one record: its structure `head`, and behind it the parts of `tail`.
///
/// The record is critical: a reader that does not know `kind` refuses the image.
pub fn record<S: Sink, T: IntoBytes + Immutable>(
    sink: &mut S,
    kind: Kind,
    head: &T,
    tail: &[&[u8]],
) -> Result<(), EmitError<S::Error>> {
    raw(sink, kind as u16, RECORD_CRITICAL, head.as_bytes(), tail)
}

/// Writes one record that a reader may skip if it does not know `kind`: one without which the job
/// is restored as well.
pub fn record_optional<S: Sink, T: IntoBytes + Immutable>(
    sink: &mut S,
    kind: Kind,
    head: &T,
    tail: &[&[u8]],
) -> Result<(), EmitError<S::Error>> {
    raw(sink, kind as u16, 0, head.as_bytes(), tail)
}

/// Writes one record from bytes; the kind may be one that this library does not know.
pub fn raw<S: Sink>(
    sink: &mut S,
    kind: u16,
    flags: u16,
    head: &[u8],
    tail: &[&[u8]],
) -> Result<(), EmitError<S::Error>> {
    let len = tail
        .iter()
        .try_fold(head.len(), |len, part| len.checked_add(part.len()))
        .ok_or(EmitError::TooLong)?;
    let padded = len
        .checked_next_multiple_of(RECORD_ALIGN)
        .ok_or(EmitError::TooLong)?;
    // The padded length must be sayable, too, so that a reader's sums stay far from overflow.
    if u32::try_from(padded).is_err() {
        return Err(EmitError::TooLong);
    }
    let (Ok(head_len), Ok(payload_len)) = (u32::try_from(head.len()), u32::try_from(len)) else {
        return Err(EmitError::TooLong);
    };

    let header = RecordHeader {
        kind: kind.into(),
        flags: flags.into(),
        head_len: head_len.into(),
        len: payload_len.into(),
        reserved: 0.into(),
    };
    sink.put(header.as_bytes())?;
    sink.put(head)?;
    for part in tail {
        sink.put(part)?;
    }
    let padding = padded.saturating_sub(len);
    sink.put([0; RECORD_ALIGN].get(..padding).unwrap_or(&[]))?;
    Ok(())
}

/// How many bytes a record with a payload of `len` bytes takes, with its header and padding.
pub fn record_len(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(RECORD_ALIGN)?
        .checked_add(RECORD_HEADER_LEN)
}

/// What a header is built from; all else in it follows.
#[derive(Clone, Copy, Debug)]
pub struct HeaderParts<'a> {
    /// Page size of this machine.
    pub page_size: u32,
    /// [`FEATURES`](super::format::FEATURES) in use.
    pub features: u64,
    /// xstate components in use.
    pub xfeatures: u64,
    /// Length of the metadata.
    pub meta_len: u64,
    /// Hash of the metadata.
    pub meta_hash: u64,
    /// Length of the page data.
    pub data_len: u64,
    /// CLOCK_REALTIME in nanoseconds.
    pub created_ns: u64,
    /// Random bytes.
    pub uuid: [u8; 16],
    /// Kernel release, without a NUL; cut if it is too long.
    pub release: &'a [u8],
}

/// Builds a header, or returns [`None`] if there can be no image with these lengths
/// (see [`Layout::new`]).
pub fn header(parts: &HeaderParts<'_>, hash: Hash) -> Option<Header> {
    let layout = Layout::new(parts.page_size, parts.meta_len, parts.data_len)?;

    let mut release = [0; RELEASE_LEN];
    let text = parts.release.iter().take_while(|&&b| b != 0);
    // The last byte stays NUL.
    for (to, from) in release.iter_mut().zip(text).take(RELEASE_LEN - 1) {
        *to = *from;
    }

    let mut header = Header {
        magic: MAGIC,
        version: VERSION.into(),
        header_len: (HEADER_LEN as u32).into(),
        page_size: parts.page_size.into(),
        arch: ARCH_X86_64.into(),
        features: parts.features.into(),
        xfeatures: parts.xfeatures.into(),
        meta_len: parts.meta_len.into(),
        meta_hash: parts.meta_hash.into(),
        data_offset: layout.data_offset.into(),
        data_len: parts.data_len.into(),
        trailer_offset: layout.trailer_offset.into(),
        image_len: layout.image_len.into(),
        chunk_len: CHUNK_LEN.into(),
        reserved: 0.into(),
        created_ns: parts.created_ns.into(),
        uuid: parts.uuid,
        release,
        padding: [0; 63],
        header_hash: 0.into(),
    };
    header.header_hash = hash_but_last(header.as_bytes(), hash).into();
    Some(header)
}

/// Builds the trailer that goes with `header`, from the number of chunk hashes and their hash.
pub fn trailer(header: &Header, chunks: u64, chunks_hash: u64, hash: Hash) -> Trailer {
    let mut trailer = Trailer {
        magic: TRAILER_MAGIC,
        chunks: chunks.into(),
        data_len: header.data_len,
        meta_hash: header.meta_hash,
        image_len: header.image_len,
        chunks_hash: chunks_hash.into(),
        header_hash: header.header_hash,
        trailer_hash: 0.into(),
    };
    trailer.trailer_hash = hash_but_last(trailer.as_bytes(), hash).into();
    trailer
}

const _: () = assert!(HEADER_LEN > 8 && TRAILER_LEN > 8);

/// The hash of a structure whose last field, a U64, is to hold it.
pub(super) fn hash_but_last(bytes: &[u8], hash: Hash) -> u64 {
    let len = bytes.len().saturating_sub(size_of::<u64>());
    hash(bytes.get(..len).unwrap_or(&[]))
}
