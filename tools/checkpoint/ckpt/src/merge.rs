// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt merge`: one image out of an image and those that have the changes since.
//!
//! All but the page data is that of the last image. Where it leaves pages to its parent they are
//! looked up there, in the parent of that, and so on, until the image is found that has them. What
//! several address spaces are led to is in the result once, and shared.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use checkpoint_image::{
    emit::{self, EmitError, HeaderParts, Sink},
    format::{Fault, Layout, CHUNK_LEN, FEATURE_INCREMENTAL, HEADER_LEN},
    parse::{Meta, RawRecord},
    record::{self, Kind, Run, SharedRun},
};
use zerocopy::IntoBytes;

use crate::{
    code::{coded, Code},
    image::{self, Image},
    save::Draft,
    view::Progress,
};

/// Merges the images at `paths`, a whole one and one after another of those since.
pub fn merge(paths: &[PathBuf], output: &Path) -> Result<ExitCode> {
    let images: Vec<Image> = paths
        .iter()
        .map(|path| Image::open(path))
        .collect::<Result<_>>()?;
    let merged = Merged::new(&images)?;
    for image in &images {
        image.verify_data()?;
    }
    if output == Path::new("-") {
        if io::stdout().is_terminal() {
            let why = "an image is nothing for a terminal; send the standard output elsewhere";
            return Err(coded(Code::Usage, format!("-: {why}")));
        }
        let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        merged.write(&images, &mut to)?;
    } else {
        let mut draft = Draft::new(output)?;
        let mut to = draft.file.try_clone()?;
        merged.write(&images, &mut to)?;
        Image::new(draft.file.try_clone()?, output)?;
        draft.commit()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pages of an image: which image, and the number of the first one in its page data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    image: usize,
    page: u64,
}

/// So many pages, from an address on.
#[derive(Clone, Copy)]
struct Piece<T> {
    start: u64,
    pages: u64,
    of: T,
}

/// Where the pages of an address space are.
#[derive(Default)]
struct Space {
    /// In the image.
    own: Vec<Piece<u64>>,
    /// In another one before it, at another address.
    shared: Vec<Piece<(u32, u64)>>,
    /// In the parent, under that id.
    parent: Vec<Piece<()>>,
    parent_id: u32,
}

/// The piece that `addr` is in: how many pages before it, and how many from it on.
fn find<T: Copy>(pieces: &[Piece<T>], addr: u64, page_size: u64) -> Option<(T, u64, u64)> {
    let at = pieces.partition_point(|piece| piece.start <= addr);
    let piece = pieces.get(at.checked_sub(1)?)?;
    let before = (addr - piece.start) / page_size;
    let left = piece.pages.checked_sub(before).filter(|&n| n > 0)?;
    Some((piece.of, before, left))
}

/// The address spaces of an image, by id.
struct Spaces(HashMap<u32, Space>);

impl Spaces {
    fn new(meta: &Meta<'_>) -> Result<Self, Fault> {
        let mut spaces = HashMap::new();
        let mut last: Option<&mut Space> = None;
        let mut page = 0;
        let piece = |run: &Run| (run.start.get(), u64::from(run.pages.get()));
        for r in meta.records() {
            match r.kind {
                Kind::Mm => {
                    let id = r.head::<record::Mm>()?.id.get();
                    last = Some(spaces.entry(id).or_default());
                }
                Kind::Shm | Kind::FileData => last = None,
                Kind::SharedRuns => {
                    if let Some(space) = &mut last {
                        let runs = r.array::<SharedRun>()?.iter();
                        space.shared.extend(runs.map(|run| Piece {
                            start: run.start.get(),
                            pages: run.pages.get().into(),
                            of: (run.mm.get(), run.from.get()),
                        }));
                    }
                }
                Kind::ParentRuns => {
                    if let Some(space) = &mut last {
                        space.parent_id = r.head::<record::ParentRuns>()?.mm.get();
                        for (start, pages) in r.array()?.iter().map(piece) {
                            let of = ();
                            space.parent.push(Piece { start, pages, of });
                        }
                    }
                }
                Kind::Runs => {
                    for (start, pages) in r.array()?.iter().map(piece) {
                        if let Some(space) = &mut last {
                            let of = page;
                            space.own.push(Piece { start, pages, of });
                        }
                        page += pages;
                    }
                }
                _ => {}
            }
        }
        Ok(Self(spaces))
    }
}

/// Where in `images`, of which there are the first `image` and one, the page at `addr` of `mm` is,
/// and how many pages from there on.
fn locate(
    images: &[Spaces],
    mut image: usize,
    mut mm: u32,
    mut addr: u64,
    page_size: u64,
) -> Option<(Source, u64)> {
    let mut most = u64::MAX;
    loop {
        let space = images.get(image)?.0.get(&mm)?;
        if let Some((page, before, left)) = find(&space.own, addr, page_size) {
            let page = page + before;
            return Some((Source { image, page }, left.min(most)));
        }
        if let Some(((other, from), before, left)) = find(&space.shared, addr, page_size) {
            // Those before it have smaller ids, so this ends.
            mm = other;
            addr = from + before * page_size;
            most = most.min(left);
        } else {
            let ((), _, left) = find(&space.parent, addr, page_size)?;
            image = image.checked_sub(1)?;
            mm = space.parent_id;
            most = most.min(left);
        }
    }
}

/// The records of the result.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    count: u64,
}

impl Sink for Records {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Records {
    fn add(&mut self, kind: u16, flags: u16, head: &[u8], tail: &[u8]) -> Result<()> {
        self.count += 1;
        emit::raw(self, kind, flags, head, &[tail]).map_err(|e| match e {
            EmitError::TooLong => anyhow::anyhow!("a record is longer than there may be"),
            EmitError::Sink(never) => match never {},
        })
    }

    fn copy(&mut self, raw: &RawRecord<'_>) -> Result<()> {
        self.add(raw.kind, raw.flags, raw.head, raw.tail)
    }

    fn array(&mut self, kind: Kind, array: &[u8]) -> Result<()> {
        match array {
            [] => Ok(()),
            _ => self.add(
                kind as u16,
                checkpoint_image::format::RECORD_CRITICAL,
                &[],
                array,
            ),
        }
    }
}

/// Who has the pages of a source in the result: from which page on, so many, and where.
#[derive(Default)]
struct Owners(BTreeMap<Source, (u64, u32, u64)>);

impl Owners {
    /// Who has the page at `from`, and for how many of up to `pages` that is the answer. If
    /// nobody has, `mm` does from now on, at `addr`.
    fn ask(
        &mut self,
        from: Source,
        pages: u64,
        (mm, addr): (u32, u64),
        page_size: u64,
    ) -> (Option<(u32, u64)>, u64) {
        if let Some((start, &(n, owner, at))) = self.0.range(..=from).next_back() {
            let before = from.page - start.page.min(from.page);
            if start.image == from.image && before < n {
                return (
                    Some((owner, at + before * page_size)),
                    pages.min(n - before),
                );
            }
        }
        let next = self.0.range(from..).next().map(|(next, _)| *next);
        let free = match next {
            Some(next) if next.image == from.image => pages.min(next.page - from.page),
            _ => pages,
        };
        self.0.insert(from, (free, mm, addr));
        (None, free)
    }
}

/// An image that is to be written.
struct Merged {
    records: Records,
    data: Vec<(Source, u64)>,
    pages: u64,
}

impl Merged {
    fn new(images: &[Image]) -> Result<Self> {
        let mut parent = None;
        let mut spaces = Vec::new();
        let page_size = images.first().map_or(0, |i| i.header().page_size.get());
        for image in images {
            let refuse = |what: &str| {
                let path = image.path().display();
                Err(coded(Code::Image, format!("{path}: {what}")))
            };
            let meta = image.meta()?;
            let wants = meta.records().find(|r| r.kind == Kind::Parent);
            let wants = wants.map(|r| r.head::<record::Parent>().map(|p| p.uuid));
            let wants = wants.transpose().map_err(|f| damaged(image, f))?;
            match (wants, parent) {
                (None, None) => {}
                (Some(_), None) => return refuse("it has a parent, which has to come first"),
                (None, Some(_)) => return refuse("it has no parent, so it is not to be merged"),
                (Some(wants), Some(is)) if wants != is => {
                    return refuse("the image before it is not its parent");
                }
                (Some(_), Some(_)) => {}
            }
            if image.header().page_size.get() != page_size {
                return refuse("it has another page size");
            }
            parent = Some(image.header().uuid);
            spaces.push(Spaces::new(&meta).map_err(|f| damaged(image, f))?);
        }
        let last = images.last().context("no image")?;
        let mut merged = Self {
            records: Records::default(),
            data: Vec::new(),
            pages: 0,
        };
        merged.records(last, &spaces)?;
        let header = merged.header(last)?;
        let meta = &merged.records.bytes;
        Meta::new(meta, HEADER_LEN as u64)
            .and_then(|meta| image::check(&meta, &header))
            .map_err(|f| damaged(last, f))?;
        Ok(merged)
    }

    /// Takes over the records of the last image, and has pages of its own for those of parents.
    fn records(&mut self, last: &Image, spaces: &[Spaces]) -> Result<()> {
        let meta = last.meta()?;
        let page_size = u64::from(last.header().page_size.get());
        let fault = |f| damaged(last, f);
        let number = spaces.len().saturating_sub(1);
        let mut owners = Owners::default();
        let mut page = 0;
        let mut mm: Option<(record::Mm, Vec<RawRecord<'_>>)> = None;
        for raw in meta.raw_records() {
            let kind = Kind::from_u16(raw.kind);
            let of_mm = matches!(
                kind,
                Some(
                    Kind::Ldt
                        | Kind::Vma
                        | Kind::VmaPolicy
                        | Kind::Guards
                        | Kind::SharedRuns
                        | Kind::ParentRuns
                        | Kind::Runs
                )
            );
            if let Some((_, records)) = mm.as_mut().filter(|_| of_mm) {
                records.push(raw);
                continue;
            }
            if let Some((head, records)) = mm.take() {
                self.space(&head, &records, spaces, &mut owners, page_size)?;
            }
            match (kind, raw.known()) {
                (Some(Kind::Parent), _) => {}
                (Some(Kind::Mm), Some(r)) => {
                    mm = Some((r.head().map_err(fault)?, vec![raw]));
                }
                (Some(Kind::Runs), Some(r)) => {
                    // Of shared memory or a file, which are always whole.
                    for run in r.array::<Run>().map_err(fault)? {
                        let n = u64::from(run.pages.get());
                        self.take(
                            Source {
                                image: number,
                                page,
                            },
                            n,
                        );
                        page += n;
                    }
                    self.records.copy(&raw)?;
                }
                (Some(Kind::End), _) => {
                    let end = record::End {
                        records: self.records.count.into(),
                        pages: self.pages.into(),
                    };
                    self.records.add(raw.kind, raw.flags, end.as_bytes(), &[])?;
                }
                _ => self.records.copy(&raw)?,
            }
        }
        Ok(())
    }

    /// Adds an address space; the first one of `records` is the Mm itself.
    fn space(
        &mut self,
        head: &record::Mm,
        records: &[RawRecord<'_>],
        spaces: &[Spaces],
        owners: &mut Owners,
        page_size: u64,
    ) -> Result<()> {
        let number = spaces.len().saturating_sub(1);
        let id = head.id.get();
        let here = spaces.get(number).and_then(|s| s.0.get(&id));
        let here = here.context("an address space is missing")?;
        let mut own: Vec<Run> = Vec::new();
        let mut shared: Vec<SharedRun> = Vec::new();
        for piece in &here.shared {
            shared.push(shared_run(piece.start, piece.pages, piece.of)?);
        }
        let mut all: Vec<(u64, u64)> = Vec::new();
        all.extend(here.own.iter().map(|piece| (piece.start, piece.pages)));
        all.extend(here.parent.iter().map(|piece| (piece.start, piece.pages)));
        all.sort_unstable();
        // A run lies within one mapping.
        let starts: HashSet<u64> = records
            .iter()
            .filter_map(RawRecord::known)
            .filter(|r| r.kind == Kind::Vma)
            .filter_map(|r| r.head::<record::Vma>().ok())
            .map(|vma| vma.start.get())
            .collect();
        for (mut start, mut pages) in all {
            while pages > 0 {
                let (source, n) = locate(spaces, number, id, start, page_size)
                    .with_context(|| format!("no image has the page at {start:#x}"))?;
                let n = n.min(pages);
                let (owner, n) = owners.ask(source, n, (id, start), page_size);
                match owner.filter(|(mm, _)| *mm != id) {
                    Some(of) => shared.push(shared_run(start, n, of)?),
                    None => {
                        add_run(&mut own, start, n, !starts.contains(&start), page_size)?;
                        self.take(source, n);
                    }
                }
                start += n * page_size;
                pages -= n;
            }
        }
        shared.sort_unstable_by_key(|run| run.start.get());

        let mut written = false;
        let mut write = |to: &mut Records| -> Result<()> {
            if !std::mem::replace(&mut written, true) {
                to.array(Kind::SharedRuns, shared.as_bytes())?;
                to.array(Kind::Runs, own.as_bytes())?;
            }
            Ok(())
        };
        for raw in records {
            match Kind::from_u16(raw.kind) {
                Some(Kind::Mm) => {
                    let base = base(&shared).into();
                    let head = record::Mm { base, ..*head };
                    self.records
                        .add(raw.kind, raw.flags, head.as_bytes(), raw.tail)?;
                }
                Some(Kind::SharedRuns | Kind::ParentRuns | Kind::Runs) => {
                    write(&mut self.records)?;
                }
                _ => self.records.copy(raw)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, from: Source, pages: u64) {
        self.pages += pages;
        self.data.push((from, pages));
    }

    /// The header of the result, which stands for `last`.
    fn header(&self, last: &Image) -> Result<checkpoint_image::format::Header> {
        let of = last.header();
        let page_size = of.page_size.get();
        let parts = HeaderParts {
            page_size,
            features: of.features.get() & !FEATURE_INCREMENTAL,
            xfeatures: of.xfeatures.get(),
            meta_len: self.records.bytes.len() as u64,
            meta_hash: image::hash(&self.records.bytes),
            data_len: self
                .pages
                .checked_mul(page_size.into())
                .context("the result would be too long")?,
            created_ns: of.created_ns.get(),
            uuid: of.uuid,
            release: of.release(),
        };
        emit::header(&parts, image::hash).context("the result would be too long")
    }

    fn write(&self, images: &[Image], to: &mut File) -> Result<()> {
        let last = images.last().context("no image")?;
        let header = self.header(last)?;
        let page_size = header.page_size.get();
        let meta = &self.records.bytes;
        let data_len = header.data_len.get();
        let layout = Layout::new(page_size, meta.len() as u64, data_len);
        let layout = layout.context("the result would be too long")?;
        let gap = layout.data_offset - (HEADER_LEN + meta.len()) as u64;
        to.write_all(header.as_bytes())?;
        to.write_all(meta)?;
        to.write_all(&vec![0; usize::try_from(gap)?])?;

        let page_size = u64::from(page_size);
        let mut progress = Progress::new("merge", data_len);
        let mut chunk = vec![0; CHUNK_LEN as usize];
        let (mut have, mut done) = (0, 0);
        let mut hashes: Vec<u8> = Vec::new();
        for &(from, pages) in &self.data {
            let image = images.get(from.image).context("no image")?;
            let (mut at, mut left) = (from.page * page_size, pages * page_size);
            while left > 0 {
                let room = chunk.get_mut(have..).unwrap_or_default();
                let n = left.min(room.len() as u64) as usize;
                image.read_data(at, room.get_mut(..n).unwrap_or_default())?;
                at += n as u64;
                left -= n as u64;
                have += n;
                done += n as u64;
                if have == chunk.len() {
                    hashes.extend(image::hash(&chunk).to_le_bytes());
                    to.write_all(&chunk)?;
                    have = 0;
                    progress.at(done);
                }
            }
        }
        if let Some(rest @ [_, ..]) = chunk.get(..have) {
            hashes.extend(image::hash(rest).to_le_bytes());
            to.write_all(rest)?;
        }
        to.write_all(&hashes)?;
        let trailer = emit::trailer(&header, layout.chunks, image::hash(&hashes), image::hash);
        to.write_all(trailer.as_bytes())?;
        Ok(())
    }
}

/// Adds pages to runs, if they `may_join` to the last one.
fn add_run(
    runs: &mut Vec<Run>,
    start: u64,
    pages: u64,
    may_join: bool,
    page_size: u64,
) -> Result<()> {
    if let Some(last) = runs.last_mut().filter(|_| may_join) {
        let n = u64::from(last.pages.get());
        if last.start.get() + n * page_size == start {
            if let Ok(n) = u32::try_from(n + pages) {
                last.pages = n.into();
                return Ok(());
            }
        }
    }
    runs.push(Run {
        start: start.into(),
        pages: u32::try_from(pages)?.into(),
        flags: 0.into(),
    });
    Ok(())
}

fn shared_run(start: u64, pages: u64, (mm, from): (u32, u64)) -> Result<SharedRun> {
    Ok(SharedRun {
        start: start.into(),
        from: from.into(),
        pages: u32::try_from(pages)?.into(),
        mm: mm.into(),
    })
}

/// Whom most pages are shared with at the same addresses; 0 for nobody.
fn base(shared: &[SharedRun]) -> u32 {
    let mut pages: BTreeMap<u32, u64> = BTreeMap::new();
    for run in shared.iter().filter(|run| run.start == run.from) {
        *pages.entry(run.mm.get()).or_default() += u64::from(run.pages.get());
    }
    pages
        .iter()
        .max_by_key(|(_, n)| **n)
        .map_or(0, |(mm, _)| *mm)
}

fn damaged(image: &Image, fault: Fault) -> anyhow::Error {
    let path = image.path().display();
    coded(Code::Image, format!("{path}: not a usable image: {fault}"))
}
