// SPDX-License-Identifier: GPL-2.0-only

//! Reading an image: each part is checked once, by the one function that makes it usable.
//!
//! A reader takes the first 256 bytes to [`check_header`], which says how long everything is; reads
//! the metadata, compares its hash with [`check_meta_hash`] and its framing with [`Meta::new`]; and
//! can then walk the records without another error. Where it can seek it looks at the end of the
//! file ([`check_trailer`]) before it trusts any of it.

use zerocopy::{
    little_endian::U64,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

use super::{
    emit::hash_but_last,
    format::{
        Fault,
        Hash,
        Header,
        Layout,
        RecordHeader,
        Trailer,
        ARCH_X86_64,
        CHUNK_LEN,
        FEATURES,
        HEADER_LEN,
        MAGIC,
        PAGE_SIZE_MAX,
        PAGE_SIZE_MIN,
        RECORD_ALIGN,
        RECORD_CRITICAL,
        RECORD_HEADER_LEN,
        TRAILER_LEN,
        TRAILER_MAGIC,
        VERSION, //
    },
    record::Kind, //
};

/// Where a field of [`Header`] stands in the file.
macro_rules! at {
    ($field:ident) => {
        core::mem::offset_of!(Header, $field) as u64
    };
}

/// Checks the first bytes of an image. What it returns is consistent in itself: every offset and
/// length in it is what [`Layout`] says.
///
/// What the machine at hand can do with `page_size` and `xfeatures` is for the caller to see.
pub fn check_header(bytes: &[u8; HEADER_LEN], hash: Hash) -> Result<Header, Fault> {
    let header: Header = zerocopy::transmute!(*bytes);

    // What decides how the rest is read comes first, so that an image of another version is called
    // that, and not a damaged one.
    if header.magic != MAGIC {
        return Err(Fault::new(
            at!(magic),
            "not a checkpoint image: wrong magic",
        ));
    }
    if header.version.get() != VERSION {
        return Err(Fault::with(
            at!(version),
            "image format version is not supported",
            header.version.get().into(),
        ));
    }
    if header.header_hash.get() != hash_but_last(bytes, hash) {
        return Err(Fault::new(
            at!(header_hash),
            "header is damaged: its checksum differs",
        ));
    }
    if header.header_len.get() != HEADER_LEN as u32 {
        return Err(Fault::with(
            at!(header_len),
            "header length is not 256",
            header.header_len.get().into(),
        ));
    }
    if header.arch.get() != ARCH_X86_64 {
        return Err(Fault::with(
            at!(arch),
            "image is of another architecture (ELF machine number)",
            header.arch.get().into(),
        ));
    }
    let unknown = header.features.get() & !FEATURES;
    if unknown != 0 {
        return Err(Fault::with(
            at!(features),
            "image uses a feature that is not known here (number of its bit)",
            unknown.trailing_zeros().into(),
        ));
    }
    let page_size = header.page_size.get();
    if !page_size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&page_size) {
        return Err(Fault::with(
            at!(page_size),
            "page size is none",
            page_size.into(),
        ));
    }
    if header.chunk_len.get() != CHUNK_LEN {
        return Err(Fault::with(
            at!(chunk_len),
            "chunk length is not supported",
            header.chunk_len.get().into(),
        ));
    }
    if header.reserved.get() != 0 {
        return Err(Fault::new(at!(reserved), "reserved field is not zero"));
    }
    let text = header.release().len();
    if header
        .release
        .get(text..)
        .is_none_or(|rest| rest.is_empty() || !is_zero(rest))
    {
        return Err(Fault::new(
            at!(release),
            "kernel release is not a zero-filled string",
        ));
    }
    if !is_zero(&header.padding) {
        return Err(Fault::new(at!(padding), "padding is not zero"));
    }

    let meta_len = header.meta_len.get();
    let data_len = header.data_len.get();
    let layout = Layout::new(page_size, meta_len, data_len).ok_or(Fault::with(
        at!(meta_len),
        "there is no image with these lengths of metadata and data",
        meta_len,
    ))?;
    for (offset, what, is, should) in [
        (
            at!(data_offset),
            "data offset is not the page after the metadata",
            header.data_offset.get(),
            layout.data_offset,
        ),
        (
            at!(trailer_offset),
            "trailer offset is not the end of the data",
            header.trailer_offset.get(),
            layout.trailer_offset,
        ),
        (
            at!(image_len),
            "image length is not the end of the trailer",
            header.image_len.get(),
            layout.image_len,
        ),
    ] {
        if is != should {
            return Err(Fault::with(offset, what, is));
        }
    }
    Ok(header)
}

/// Compares the hash of the metadata, taken by the caller, with the one in the header.
pub fn check_meta_hash(header: &Header, meta_hash: u64) -> Result<(), Fault> {
    if header.meta_hash.get() != meta_hash {
        return Err(Fault::new(
            HEADER_LEN as u64,
            "metadata is damaged: its checksum differs",
        ));
    }
    Ok(())
}

/// Checks bytes between the metadata and the page data, the first of them at `offset`.
pub fn check_gap(bytes: &[u8], offset: u64) -> Result<(), Fault> {
    match bytes.iter().position(|&b| b != 0) {
        Some(at) => Err(Fault::new(
            offset.saturating_add(at as u64),
            "padding before the data is not zero",
        )),
        None => Ok(()),
    }
}

/// Checks the last bytes of an image against its `header`, and against the hash of the chunk
/// hashes, `chunks_hash`, if the caller has taken it.
pub fn check_trailer(
    bytes: &[u8; TRAILER_LEN],
    header: &Header,
    chunks_hash: Option<u64>,
    hash: Hash,
) -> Result<Trailer, Fault> {
    let trailer: Trailer = zerocopy::transmute!(*bytes);
    let start = header.image_len.get().saturating_sub(TRAILER_LEN as u64);
    let fault = |field: usize, what| Err(Fault::new(start.saturating_add(field as u64), what));

    if trailer.magic != TRAILER_MAGIC {
        return fault(
            core::mem::offset_of!(Trailer, magic),
            "no trailer: the image was not written to its end",
        );
    }
    if trailer.trailer_hash.get() != hash_but_last(bytes, hash) {
        return fault(
            core::mem::offset_of!(Trailer, trailer_hash),
            "trailer is damaged: its checksum differs",
        );
    }
    if trailer.header_hash != header.header_hash
        || trailer.meta_hash != header.meta_hash
        || trailer.data_len != header.data_len
        || trailer.image_len != header.image_len
    {
        return fault(
            core::mem::offset_of!(Trailer, header_hash),
            "trailer is not the one of this header",
        );
    }
    if trailer.chunks.get() != chunks(header) {
        return fault(
            core::mem::offset_of!(Trailer, chunks),
            "number of chunks is not that of the data",
        );
    }
    if chunks_hash.is_some_and(|hash| hash != trailer.chunks_hash.get()) {
        return fault(
            core::mem::offset_of!(Trailer, chunks_hash),
            "chunk checksums are damaged: their checksum differs",
        );
    }
    Ok(trailer)
}

/// How many chunk hashes an image has.
pub fn chunks(header: &Header) -> u64 {
    header.data_len.get().div_ceil(u64::from(CHUNK_LEN))
}

/// Compares the hash of chunk `index` of the page data with the one that the image has for it.
pub fn check_chunk(header: &Header, index: u64, is: u64, should: U64) -> Result<(), Fault> {
    if is != should.get() {
        let start = index.saturating_mul(u64::from(CHUNK_LEN));
        return Err(Fault::new(
            header.data_offset.get().saturating_add(start),
            "page data is damaged: the checksum of this chunk differs",
        ));
    }
    Ok(())
}

/// A record of the metadata.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where in the file it begins.
    pub offset: u64,
    /// Whether a reader had to know its kind.
    pub critical: bool,
    head: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Record<'a> {
    /// The structure of the record. One that an older writer wrote shorter is extended with zeros;
    /// one that a newer writer wrote longer is refused unless all that is new in it is zero.
    pub fn head<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned>(
        &self,
    ) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        let known = self.head.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..known), self.head.get(..known)) {
            to.copy_from_slice(from);
        }
        match self.head.get(known..) {
            Some(rest) if !is_zero(rest) => Err(Fault::with(
                self.offset,
                "record says something that is not known here (number of its kind)",
                (self.kind as u16).into(),
            )),
            _ => Ok(value),
        }
    }

    /// What stands behind the structure.
    pub fn tail(&self) -> &'a [u8] {
        self.tail
    }

    /// The tail as an array of wire structures.
    pub fn array<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &self,
    ) -> Result<&'a [T], Fault> {
        <[T]>::ref_from_bytes(self.tail).map_err(|_| {
            Fault::with(
                self.offset,
                "length of the array in the record is not a multiple of its elements'",
                self.tail.len() as u64,
            )
        })
    }

    /// A fault of this record.
    pub const fn fault(&self, what: &'static str) -> Fault {
        Fault::new(self.offset, what)
    }

    /// A fault of this record, which is `value`.
    pub const fn fault_with(&self, what: &'static str, value: u64) -> Fault {
        Fault::with(self.offset, what, value)
    }
}

/// A record as it stands in the file, of a kind that may be unknown.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Number of its kind.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Where in the file it begins.
    pub offset: u64,
    /// Its structure.
    pub head: &'a [u8],
    /// What stands behind the structure.
    pub tail: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// The record, if its kind is known.
    pub fn known(&self) -> Option<Record<'a>> {
        Some(Record {
            kind: Kind::from_u16(self.kind)?,
            offset: self.offset,
            critical: self.flags & RECORD_CRITICAL != 0,
            head: self.head,
            tail: self.tail,
        })
    }
}

/// The metadata of an image, with framing that has been checked.
///
/// # Invariants
///
/// `bytes` is the concatenation of records that `take` accepts.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl<'a> Meta<'a> {
    /// Checks the framing of metadata that begins at `base_offset` of the file: all lengths, all
    /// padding, all flags, and that there is no critical record of an unknown kind.
    pub fn new(bytes: &'a [u8], base_offset: u64) -> Result<Self, Fault> {
        let mut rest = bytes;
        let mut offset = base_offset;
        while !rest.is_empty() {
            let (record, after) = take(rest, offset)?;
            if record.flags & RECORD_CRITICAL != 0 && Kind::from_u16(record.kind).is_none() {
                return Err(Fault::with(
                    offset,
                    "unknown kind of critical record (its number)",
                    record.kind.into(),
                ));
            }
            offset = advance(offset, rest, after);
            rest = after;
        }
        // INVARIANT: `take` has accepted one record after the other until nothing was left.
        Ok(Self {
            bytes,
            base: base_offset,
        })
    }

    /// The metadata of an image that was checked before: `bytes` are those that [`Meta::new`] took,
    /// with the same `base_offset`.
    ///
    /// Takes no time. From other bytes there are records up to the first that is broken.
    pub fn of_checked(bytes: &'a [u8], base_offset: u64) -> Self {
        // INVARIANT: `Meta::new` has accepted the bytes.
        Self {
            bytes,
            base: base_offset,
        }
    }

    /// The records of kinds that are known here, in order.
    pub fn records(&self) -> Records<'a> {
        Records(self.raw_records())
    }

    /// The same from the record on that stands at `offset` of the file ([`Record::offset`]); none
    /// where no record can be.
    pub fn records_from(&self, offset: u64) -> Records<'a> {
        let rest = offset
            .checked_sub(self.base)
            .and_then(|at| self.bytes.get(usize::try_from(at).ok()?..))
            .unwrap_or(&[]);
        // INVARIANT: what such a concatenation has from one of its records on is one.
        Records(RawRecords { rest, offset })
    }

    /// All records, in order.
    pub fn raw_records(&self) -> RawRecords<'a> {
        // INVARIANT: by the invariant of `Meta`.
        RawRecords {
            rest: self.bytes,
            offset: self.base,
        }
    }

    /// Where in the file the metadata ends.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.bytes.len() as u64)
    }
}

/// Iterator over all records of a [`Meta`].
///
/// # Invariants
///
/// `rest` is the concatenation of records that `take` accepts.
#[derive(Clone, Debug)]
pub struct RawRecords<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = RawRecord<'a>;

    fn next(&mut self) -> Option<RawRecord<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        // By the invariant, this does not fail.
        let (record, after) = take(self.rest, self.offset).ok()?;
        self.offset = advance(self.offset, self.rest, after);
        // INVARIANT: what is left of such a concatenation without its first record is one.
        self.rest = after;
        Some(record)
    }
}

/// Iterator over the records of a [`Meta`] whose kind is known.
#[derive(Clone, Debug)]
pub struct Records<'a>(RawRecords<'a>);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.0.find_map(|raw| raw.known())
    }
}

/// Takes the first record off `bytes`, which stand at `offset` of the file.
fn take(bytes: &[u8], offset: u64) -> Result<(RawRecord<'_>, &[u8]), Fault> {
    let Ok((header, rest)) = RecordHeader::ref_from_prefix(bytes) else {
        return Err(Fault::new(offset, "metadata ends within a record header"));
    };
    if header.flags.get() & !RECORD_CRITICAL != 0 {
        return Err(Fault::with(
            offset,
            "unknown flags of a record",
            header.flags.get().into(),
        ));
    }
    if header.reserved.get() != 0 {
        return Err(Fault::new(offset, "reserved field of a record is not zero"));
    }
    if header.head_len.get() > header.len.get() {
        return Err(Fault::with(
            offset,
            "structure of a record is longer than the record",
            header.head_len.get().into(),
        ));
    }
    let parts = || {
        let head_len = usize::try_from(header.head_len.get()).ok()?;
        let len = usize::try_from(header.len.get()).ok()?;
        let (payload, rest) = rest.split_at_checked(len)?;
        let (head, tail) = payload.split_at_checked(head_len)?;
        let padding = len
            .checked_next_multiple_of(RECORD_ALIGN)?
            .checked_sub(len)?;
        let (padding, rest) = rest.split_at_checked(padding)?;
        Some((head, tail, padding, rest))
    };
    let Some((head, tail, padding, rest)) = parts() else {
        return Err(Fault::with(
            offset,
            "record is longer than the metadata",
            header.len.get().into(),
        ));
    };
    if !is_zero(padding) {
        return Err(Fault::new(offset, "padding after a record is not zero"));
    }
    let record = RawRecord {
        kind: header.kind.get(),
        flags: header.flags.get(),
        offset,
        head,
        tail,
    };
    Ok((record, rest))
}

/// The file offset of `after`, given that `before` stands at `offset` and `after` is its end.
fn advance(offset: u64, before: &[u8], after: &[u8]) -> u64 {
    let taken = before.len().saturating_sub(after.len());
    offset.saturating_add(taken as u64)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == 0)
}

const _: () = assert!(RECORD_HEADER_LEN % RECORD_ALIGN == 0);
