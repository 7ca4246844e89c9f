// SPDX-License-Identifier: GPL-2.0-only

//! Image files: opened, checked, and decoded for `show`.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, FileTypeExt},
    path::{Path, PathBuf},
};

use anyhow::{bail, Context, Result};
use checkpoint_image::{
    format::{Fault, Header, CHUNK_LEN, HEADER_LEN, TRAILER_LEN},
    parse::{self, Meta},
    verify::{check_shared, verify, Stretch, Summary},
};
use twox_hash::XxHash64;

use crate::{
    code::{coded, Code},
    view::Progress,
};

/// The hash of the format.
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// An image whose header, metadata and trailer are whole and agree. Its page data is unseen.
pub struct Image {
    path: PathBuf,
    file: File,
    header: Header,
    meta: Vec<u8>,
    summary: Summary,
    chunks_hash: u64,
}

impl Image {
    /// Opens the image at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        // Its parts are read in another order than they come in a stream.
        if path == Path::new("-") {
            bail!("-: an image is looked at in a file, not on the standard input");
        }
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        Self::new(file, path)
    }

    /// Takes `file`, which is called `path`.
    pub fn new(file: File, path: &Path) -> Result<Self> {
        let refuse = |fault: Fault| {
            let path = path.display();
            coded(Code::Image, format!("{path}: not a usable image: {fault}"))
        };
        let len = length(&file).with_context(|| format!("{}", path.display()))?;
        let read = |offset, len, what| read_at(&file, offset, len, what);

        let mut first = [0; HEADER_LEN];
        // Whatever there is, so that what is no image at all is called that.
        let mut have = 0;
        while let Some(rest @ [_, ..]) = first.get_mut(have..) {
            match file.read_at(rest, have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).with_context(|| format!("{}", path.display())),
            }
        }
        let header = parse::check_header(&first, hash).map_err(|fault| match have {
            HEADER_LEN => refuse(fault),
            _ if fault.offset == 0 => refuse(fault),
            _ => refuse(Fault::new(have as u64, "the file ends within the header")),
        })?;
        let image_len = header.image_len.get();
        if len.is_some_and(|len| len < image_len) {
            let len = len.unwrap_or(0);
            let what = "the file is cut: it ends here, and the image at byte";
            return Err(refuse(Fault::with(len, what, image_len)));
        }
        if len.is_some_and(|len| len > image_len) && is_regular(&file) {
            let what = "there is something behind the end of the image; the file's length";
            return Err(refuse(Fault::with(image_len, what, len.unwrap_or(0))));
        }

        let base = HEADER_LEN as u64;
        let meta = read(base, header.meta_len.get(), "can't read the metadata").map_err(refuse)?;
        parse::check_meta_hash(&header, hash(&meta)).map_err(refuse)?;
        let gap_start = base + header.meta_len.get();
        let gap_len = header.data_offset.get() - gap_start;
        let gap = read(gap_start, gap_len, "can't read the padding").map_err(refuse)?;
        parse::check_gap(&gap, gap_start).map_err(refuse)?;

        let trailer_start = image_len - TRAILER_LEN as u64;
        let trailer =
            read(trailer_start, TRAILER_LEN as u64, "can't read the trailer").map_err(refuse)?;
        let trailer = trailer
            .as_slice()
            .try_into()
            .map_err(|_| refuse(Fault::new(trailer_start, "trailer is cut")))?;
        let trailer = parse::check_trailer(trailer, &header, None, hash).map_err(refuse)?;

        let summary = Meta::new(&meta, base)
            .and_then(|records| check(&records, &header))
            .map_err(refuse)?;
        Ok(Self {
            path: path.into(),
            file,
            header,
            meta,
            summary,
            chunks_hash: trailer.chunks_hash.get(),
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the image has.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The metadata.
    pub fn meta(&self) -> Result<Meta<'_>> {
        Meta::new(&self.meta, HEADER_LEN as u64).map_err(|fault| self.refuse(fault))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads page data from byte `offset` of it on.
    pub fn read_data(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let at = self.header.data_offset.get() + offset;
        self.file
            .read_exact_at(to, at)
            .with_context(|| format!("{}: at byte {at}", self.path.display()))
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Reads all page data and compares it with its checksums.
    pub fn verify_data(&self) -> Result<()> {
        let offset = self.header.trailer_offset.get();
        let len = parse::chunks(&self.header) * 8;
        let hashes = read_at(&self.file, offset, len, "can't read the chunk checksums");
        let hashes = hashes.map_err(|fault| self.refuse(fault))?;
        if hash(&hashes) != self.chunks_hash {
            let what = "chunk checksums are damaged: their checksum differs";
            return Err(self.refuse(Fault::new(offset, what)));
        }
        let mut progress = Progress::new("verify", self.header.data_len.get());
        let mut buf = vec![0; CHUNK_LEN as usize];
        let mut done = 0;
        for (index, should) in hashes.chunks_exact(8).enumerate() {
            let len = (self.header.data_len.get() - done).min(u64::from(CHUNK_LEN));
            let chunk = buf.get_mut(..len as usize).unwrap_or_default();
            self.read_data(done, chunk)?;
            let should = should.try_into().map(u64::from_le_bytes).unwrap_or(0);
            parse::check_chunk(&self.header, index as u64, hash(chunk), should.into())
                .map_err(|fault| self.refuse(fault))?;
            done += len;
            progress.at(done);
        }
        Ok(())
    }

    fn refuse(&self, fault: Fault) -> anyhow::Error {
        let path = self.path.display();
        coded(Code::Image, format!("{path}: not a usable image: {fault}"))
    }
}

/// Checks all that can be known of metadata without a machine to restore it on.
pub fn check(meta: &Meta<'_>, header: &Header) -> Result<Summary, Fault> {
    let summary = verify(meta, header)?;
    if summary.shared_runs != 0 {
        let mut memory = vec![Stretch::default(); summary.runs as usize];
        check_shared(meta, header, &mut memory)?;
    }
    Ok(summary)
}

/// Length of a file or device, if it has one.
fn length(file: &File) -> io::Result<Option<u64>> {
    let meta = file.metadata()?;
    if meta.is_file() {
        return Ok(Some(meta.len()));
    }
    if meta.file_type().is_block_device() {
        use std::io::{Seek, SeekFrom};
        let mut file = file;
        let len = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        return Ok(Some(len));
    }
    let what = "an image is looked at in a file; this is none";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file())
}

fn read_at(file: &File, offset: u64, len: u64, what: &'static str) -> Result<Vec<u8>, Fault> {
    let read = || -> Option<Vec<u8>> {
        let len = usize::try_from(len).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).ok()?;
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    read().ok_or(Fault::new(offset, what))
}
