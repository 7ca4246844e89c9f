// SPDX-License-Identifier: GPL-2.0-only

//! The frame of an image: its fixed structures, its constants, and what is said of a bad one.
//!
//! ```text
//! 0                  Header, 256 bytes
//! 256                metadata: records, each padded to 8 bytes       meta_len
//! 256 + meta_len     zeros up to a page boundary
//! data_offset        page data, in the order of the runs             data_len
//! trailer_offset     one U64 hash a chunk of page data
//! image_len - 64     Trailer
//! ```
//!
//! All lengths are known before the first byte is written, so an image can be written to, and read
//! from, something that does not seek. All integers are little-endian and no structure has an
//! alignment, so that any byte of a file can be looked at where it lies.

use core::fmt;

use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// The first eight bytes of every image.
pub const MAGIC: [u8; 8] = *b"LINUXCKP";
/// The first eight bytes of the trailer: the mark that the image was written to its end.
pub const TRAILER_MAGIC: [u8; 8] = *b"CKPTDONE";
/// The version of the frame. Records extend themselves; this changes when the frame does.
pub const VERSION: u32 = 1;
/// The machine of x86-64 images, with ia32 tasks or without: ELF's `EM_X86_64`.
pub const ARCH_X86_64: u32 = 62;

/// Feature: the image has ia32 tasks.
pub const FEATURE_IA32: u64 = 1 << 0;
/// Feature: the image has only what has changed since another one, its parent.
pub const FEATURE_INCREMENTAL: u64 = 1 << 1;
/// All features that this version knows. An image that uses another one is refused.
pub const FEATURES: u64 = FEATURE_IA32 | FEATURE_INCREMENTAL;

/// Record flag: a reader that does not know the record's kind must refuse the image.
pub const RECORD_CRITICAL: u16 = 1 << 0;

/// Length of [`Header`].
pub const HEADER_LEN: usize = 256;
/// Length of [`Trailer`], without the chunk hashes before it.
pub const TRAILER_LEN: usize = 64;
/// Length of [`RecordHeader`].
pub const RECORD_HEADER_LEN: usize = 16;
/// What the payload of a record is padded to.
pub const RECORD_ALIGN: usize = 8;
/// How many bytes of page data one chunk hash covers; the last one may cover less.
pub const CHUNK_LEN: u32 = 1 << 20;
/// The smallest page size that an image may have.
pub const PAGE_SIZE_MIN: u32 = 1 << 12;
/// The largest page size that an image may have: a page always divides a chunk.
pub const PAGE_SIZE_MAX: u32 = 1 << 16;
/// Length of the kernel release, with its terminating NUL.
pub const RELEASE_LEN: usize = 65;

/// The hash of the format, xxh64 with seed 0, over one slice.
///
/// It is the caller's: the kernel has one (`lib/xxhash.c`), user space another.
pub type Hash = fn(&[u8]) -> u64;

/// The first 256 bytes of an image.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// [`HEADER_LEN`], where the metadata begins.
    pub header_len: U32,
    /// Page size of the machine that wrote the image, and unit of the page data.
    pub page_size: U32,
    /// [`ARCH_X86_64`].
    pub arch: U32,
    /// What a reader must know of: [`FEATURES`].
    pub features: U64,
    /// The xstate components in use in the image, as numbered by XCR0 and IA32_XSS.
    pub xfeatures: U64,
    /// Length of the metadata, a multiple of [`RECORD_ALIGN`].
    pub meta_len: U64,
    /// Hash of the metadata.
    pub meta_hash: U64,
    /// Where page data begins: the end of the metadata, rounded up to a page.
    pub data_offset: U64,
    /// Length of the page data, a multiple of the page size.
    pub data_len: U64,
    /// Where the chunk hashes begin: the end of the page data.
    pub trailer_offset: U64,
    /// Length of the whole image.
    pub image_len: U64,
    /// [`CHUNK_LEN`].
    pub chunk_len: U32,
    /// Zero.
    pub reserved: U32,
    /// When the image was taken: CLOCK_REALTIME in nanoseconds.
    pub created_ns: U64,
    /// Random; tells this image from every other one.
    pub uuid: [u8; 16],
    /// Release of the kernel that wrote the image, for people: NUL-terminated, zero-filled.
    pub release: [u8; RELEASE_LEN],
    /// Zero.
    pub padding: [u8; 63],
    /// Hash of all that stands before it.
    pub header_hash: U64,
}

/// The last 64 bytes of an image. It makes sure that all of it is there and belongs together.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Trailer {
    /// [`TRAILER_MAGIC`].
    pub magic: [u8; 8],
    /// How many chunk hashes stand before the trailer.
    pub chunks: U64,
    /// The header's.
    pub data_len: U64,
    /// The header's.
    pub meta_hash: U64,
    /// The header's.
    pub image_len: U64,
    /// Hash of the chunk hashes.
    pub chunks_hash: U64,
    /// The header's.
    pub header_hash: U64,
    /// Hash of all of the trailer that stands before it.
    pub trailer_hash: U64,
}

/// What stands before the payload of each record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RecordHeader {
    /// What the payload is: [`Kind`](super::record::Kind).
    pub kind: U16,
    /// [`RECORD_CRITICAL`] or nothing.
    pub flags: U16,
    /// How much of the payload is the kind's structure; the rest is its tail.
    pub head_len: U32,
    /// Length of the payload, without the padding after it.
    pub len: U32,
    /// Zero.
    pub reserved: U32,
}

const _: () = assert!(size_of::<Header>() == HEADER_LEN);
const _: () = assert!(size_of::<Trailer>() == TRAILER_LEN);
const _: () = assert!(size_of::<RecordHeader>() == RECORD_HEADER_LEN);

impl Header {
    /// The kernel release, up to its NUL.
    pub fn release(&self) -> &[u8] {
        self.release.split(|&b| b == 0).next().unwrap_or(&[])
    }
}

/// Why something is not an image, or not one that can be used: where in the file, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there, for people.
    pub what: &'static str,
    /// The value that is wrong, where a single one is.
    pub value: Option<u64>,
}

impl Fault {
    /// A fault at `offset`.
    pub const fn new(offset: u64, what: &'static str) -> Self {
        Self {
            offset,
            what,
            value: None,
        }
    }

    /// A fault at `offset`, where `value` stands.
    pub const fn with(offset: u64, what: &'static str, value: u64) -> Self {
        Self {
            offset,
            what,
            value: Some(value),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)?;
        match self.value {
            Some(value) => write!(f, " ({value})"),
            None => Ok(()),
        }
    }
}

/// Where the parts of an image begin and end; all of it follows from three lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where page data begins.
    pub data_offset: u64,
    /// Where the chunk hashes begin.
    pub trailer_offset: u64,
    /// How many chunk hashes there are.
    pub chunks: u64,
    /// Length of the image.
    pub image_len: u64,
}

impl Layout {
    /// Lays out an image, or returns [`None`] if there can be no such image: a page size that is
    /// none, lengths that are not multiples of what they must be, or too large ones.
    pub fn new(page_size: u32, meta_len: u64, data_len: u64) -> Option<Self> {
        if !page_size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&page_size) {
            return None;
        }
        let page_size = u64::from(page_size);
        if !is_aligned(meta_len, RECORD_ALIGN as u64) || !is_aligned(data_len, page_size) {
            return None;
        }
        let data_offset = meta_len
            .checked_add(HEADER_LEN as u64)?
            .checked_next_multiple_of(page_size)?;
        let trailer_offset = data_offset.checked_add(data_len)?;
        let chunks = data_len.div_ceil(u64::from(CHUNK_LEN));
        let image_len = chunks
            .checked_mul(size_of::<U64>() as u64)?
            .checked_add(trailer_offset)?
            .checked_add(TRAILER_LEN as u64)?;
        // File offsets are signed.
        (image_len <= i64::MAX as u64).then_some(Self {
            data_offset,
            trailer_offset,
            chunks,
            image_len,
        })
    }
}

/// Whether `n` is a multiple of `align`, a power of two.
pub const fn is_aligned(n: u64, align: u64) -> bool {
    n & align.wrapping_sub(1) == 0
}
