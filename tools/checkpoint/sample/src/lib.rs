// SPDX-License-Identifier: GPL-2.0-only

//! Made-up checkpoint images, for the tests of the library, of `ckpt`, and for the fuzzers.

use checkpoint_image::{
    emit::{self, HeaderParts, Sink},
    format::{Fault, Hash, Header, CHUNK_LEN, FEATURE_INCREMENTAL, HEADER_LEN, TRAILER_LEN},
    parse::{self, Meta},
    record::{
        self, file_kind, restart_kind, socket_data_flags, socket_flags, vma_flags as vf, vma_kind,
        Kind,
    },
    verify::{check_shared, verify, Stretch, Summary},
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Page size of the images made here.
pub const PAGE: u64 = 4096;

/// The hash of the format.
pub fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash64::oneshot(0, bytes)
}

/// Records in memory.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The metadata.
    pub bytes: Vec<u8>,
    /// Where each record begins.
    pub starts: Vec<usize>,
}

impl Sink for Records {
    type Error = std::convert::Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Records {
    /// Adds a record.
    pub fn add<T: IntoBytes + Immutable>(&mut self, kind: Kind, head: &T, tail: &[u8]) {
        self.starts.push(self.bytes.len());
        emit::record(self, kind, head, &[tail]).expect("it is short");
    }

    /// Adds a record of bytes.
    pub fn add_raw(&mut self, kind: u16, flags: u16, head: &[u8], tail: &[u8]) {
        self.starts.push(self.bytes.len());
        emit::raw(self, kind, flags, head, &[tail]).expect("it is short");
    }

    /// Adds the last record.
    pub fn end(&mut self, pages: u64) {
        let end = record::End {
            records: (self.starts.len() as u64).into(),
            pages: pages.into(),
        };
        self.add(Kind::End, &end, &[]);
    }
}

/// A whole image of `meta` and `data`.
pub fn image(meta: &[u8], data: &[u8]) -> Vec<u8> {
    image_with(meta, data, hash)
}

/// A whole image with another hash.
pub fn image_with(meta: &[u8], data: &[u8], hash: Hash) -> Vec<u8> {
    let header = header_with(meta, data.len() as u64, hash);
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(meta);
    out.resize(header.data_offset.get() as usize, 0);
    out.extend_from_slice(data);
    let hashes: Vec<u8> = data
        .chunks(CHUNK_LEN as usize)
        .flat_map(|chunk| hash(chunk).to_le_bytes())
        .collect();
    out.extend_from_slice(&hashes);
    let chunks = hashes.len() as u64 / 8;
    let trailer = emit::trailer(&header, chunks, hash(&hashes), hash);
    out.extend_from_slice(trailer.as_bytes());
    out
}

/// The header that goes with `meta`.
pub fn header(meta: &[u8], data_len: u64) -> Header {
    header_with(meta, data_len, hash)
}

/// UUID of images made here.
pub const WHOLE: [u8; 16] = *b"\x12\x34\x56\x78\x9a\xbc\x4d\xef\x80\x01\x02\x03\x04\x05\x06\x07";
/// UUID of incremental ones.
pub const CHILD: [u8; 16] = *b"\x21\x43\x65\x87\xa9\xcb\x4d\xef\x80\x01\x02\x03\x04\x05\x06\x07";

/// The header that goes with `meta`, with another hash.
pub fn header_with(meta: &[u8], data_len: u64, hash: Hash) -> Header {
    let has_parent = |meta: Meta<'_>| meta.records().any(|r| r.kind == Kind::Parent);
    let incremental = Meta::new(meta, 0).is_ok_and(has_parent);
    let parts = HeaderParts {
        page_size: PAGE as u32,
        features: if incremental { FEATURE_INCREMENTAL } else { 0 },
        xfeatures: 7,
        meta_len: meta.len() as u64,
        meta_hash: hash(meta),
        data_len,
        created_ns: 1_762_000_000_123_456_789,
        uuid: if incremental { CHILD } else { WHOLE },
        release: b"7.3.4",
    };
    emit::header(&parts, hash).expect("lengths are multiples of what they must be")
}

/// Reads a whole image as a reader of a file does, all checks included.
pub fn read(bytes: &[u8]) -> Result<Summary, Fault> {
    read_with(bytes, hash)
}

/// Reads a whole image with another hash.
pub fn read_with(bytes: &[u8], hash: Hash) -> Result<Summary, Fault> {
    let cut = Fault::new(bytes.len() as u64, "cut");
    let first: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(cut)?;
    let header = parse::check_header(first, hash)?;
    if header.image_len.get() != bytes.len() as u64 {
        return Err(cut);
    }
    let at = |start: u64, end: u64| bytes.get(start as usize..end as usize).ok_or(cut);
    let meta_end = HEADER_LEN as u64 + header.meta_len.get();
    let meta = at(HEADER_LEN as u64, meta_end)?;
    parse::check_meta_hash(&header, hash(meta))?;
    let gap = at(meta_end, header.data_offset.get())?;
    parse::check_gap(gap, meta_end)?;
    let hashes = at(
        header.trailer_offset.get(),
        header.image_len.get() - TRAILER_LEN as u64,
    )?;
    let last: &[u8; TRAILER_LEN] = bytes.last_chunk().ok_or(cut)?;
    parse::check_trailer(last, &header, Some(hash(hashes)), hash)?;
    let data = at(header.data_offset.get(), header.trailer_offset.get())?;
    let chunks = data.chunks(CHUNK_LEN as usize).zip(hashes.chunks(8));
    for (index, (chunk, should)) in chunks.enumerate() {
        let should = should.try_into().map(u64::from_le_bytes).unwrap_or(0);
        parse::check_chunk(&header, index as u64, hash(chunk), should.into())?;
    }
    check(&Meta::new(meta, HEADER_LEN as u64)?, &header)
}

/// Reads metadata alone, as if its checksum were right.
pub fn read_meta(meta: &[u8], data_len: u64) -> Result<Summary, Fault> {
    check(
        &Meta::new(meta, HEADER_LEN as u64)?,
        &header_with(meta, data_len, |_| 0),
    )
}

/// Checks what metadata means, with as much memory as that takes.
pub fn check(meta: &Meta<'_>, header: &Header) -> Result<Summary, Fault> {
    let summary = verify(meta, header)?;
    let mut memory = vec![Stretch::default(); summary.runs as usize];
    check_shared(meta, header, &mut memory)?;
    Ok(summary)
}

/// One task with something of every kind of record.
pub struct Sample {
    /// The metadata.
    pub records: Records,
    /// The page data.
    pub data: Vec<u8>,
}

impl Sample {
    /// The image.
    pub fn image(&self) -> Vec<u8> {
        image(&self.records.bytes, &self.data)
    }

    /// The same, but for the stack of the first address space, which is in the default sample, its
    /// parent, and for the page that only the second one has, which has changed.
    pub fn incremental() -> Self {
        let mut sample = Self::default();
        let parent = record::Parent { uuid: WHOLE };
        let mut records = Records::default();
        records.add(Kind::Parent, &parent, &[]);
        let (job, len) = sample.find(Kind::Job, 0);
        let behind = job + len;
        sample
            .records
            .bytes
            .splice(behind..behind, records.bytes.iter().copied());

        let mut records = Records::default();
        let of_parent = record::ParentRuns {
            mm: 1.into(),
            reserved: 0.into(),
        };
        let stack = run(STACK + PAGE, 1);
        records.add(Kind::ParentRuns, &of_parent, stack.as_bytes());
        let runs = [run(CODE + PAGE, 1), run(HEAP, 3)];
        records.add(Kind::Runs, &(), runs.as_bytes());
        // The first ones are those of shared memory and of a file.
        let of_mm = sample.runs_of_first_mm();
        sample.replace(Kind::Runs, of_mm, &records.bytes);

        // The stack is the last but one.
        let changed = sample.data.len() - PAGE as usize;
        sample.data.drain(changed - PAGE as usize..changed);
        for byte in &mut sample.data[changed - PAGE as usize..] {
            *byte ^= 0xff;
        }
        sample.recount();
        let pages = sample.data.len() as u64 / PAGE;
        sample.edit::<record::End>(Kind::End, 0, |end| end.pages = pages.into());
        sample
    }

    /// Which one of the records of runs is that of the first address space.
    fn runs_of_first_mm(&self) -> usize {
        let meta = Meta::new(&self.records.bytes, 0).expect("it is well-formed");
        let before = meta.records().take_while(|r| r.kind != Kind::Mm);
        before.filter(|r| r.kind == Kind::Runs).count()
    }

    /// Where record `nth` of `kind` begins, and how long it is.
    pub fn find(&self, kind: Kind, nth: usize) -> (usize, usize) {
        let meta = Meta::new(&self.records.bytes, 0).expect("it is well-formed");
        let record = meta
            .raw_records()
            .filter(|r| r.kind == kind as u16)
            .nth(nth);
        let record = record.expect("there is such a record");
        let len = 16 + record.head.len() + record.tail.len();
        (record.offset as usize, len.next_multiple_of(8))
    }

    /// Changes the structure of record `nth` of `kind`.
    pub fn edit<T>(&mut self, kind: Kind, nth: usize, change: impl FnOnce(&mut T))
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable,
    {
        let (at, _) = self.find(kind, nth);
        let bytes = &mut self.records.bytes[at + 16..];
        let (head, _) = T::mut_from_prefix(bytes).expect("the record has it, unaligned");
        change(head);
    }

    /// Changes the bytes of record `nth` of `kind`, header included.
    pub fn edit_bytes(&mut self, kind: Kind, nth: usize, change: impl FnOnce(&mut [u8])) {
        let (at, len) = self.find(kind, nth);
        change(&mut self.records.bytes[at..at + len]);
    }

    /// Replaces record `nth` of `kind` by `with`, or removes it.
    pub fn replace(&mut self, kind: Kind, nth: usize, with: &[u8]) {
        let (at, len) = self.find(kind, nth);
        self.records
            .bytes
            .splice(at..at + len, with.iter().copied());
    }

    /// Puts `new` in front of record `nth` of `kind`.
    pub fn insert(&mut self, kind: Kind, nth: usize, new: &[u8]) {
        let (at, _) = self.find(kind, nth);
        self.records.bytes.splice(at..at, new.iter().copied());
    }

    /// The bytes of record `nth` of `kind`.
    pub fn bytes_of(&self, kind: Kind, nth: usize) -> Vec<u8> {
        let (at, len) = self.find(kind, nth);
        self.records.bytes[at..at + len].to_vec()
    }

    /// Has the last record count right again.
    pub fn recount(&mut self) {
        let meta = Meta::new(&self.records.bytes, 0).expect("it is well-formed");
        let count = meta.raw_records().count() as u64 - 1;
        self.edit::<record::End>(Kind::End, 0, |end| end.records = count.into());
    }
}

impl Default for Sample {
    fn default() -> Self {
        sample(3)
    }
}

/// One task with something of every kind of record, and `heap` pages of heap beside 4 others.
pub fn sample(heap: u32) -> Sample {
    let mut r = Records::default();
    let pages = 4 + u64::from(heap);
    r.add(
        Kind::Job,
        &record::Job {
            tasks: 2.into(),
            root_pid: 2.into(),
            monotonic_ns: 1.into(),
            boottime_ns: 2.into(),
            realtime_ns: 3.into(),
        },
        &[],
    );
    objects(&mut r);
    memory(&mut r, heap);
    task(&mut r);
    r.end(pages);
    let data = (0..pages * PAGE).map(|n| (n / 7 % 251) as u8).collect();
    Sample { records: r, data }
}

fn identity() -> record::Identity {
    record::Identity {
        dev: (8 << 32 | 1).into(),
        ino: 1234.into(),
        generation: 1.into(),
        mode: 0o100_644.into(),
        rdev: 0.into(),
        size: 70_000.into(),
        mtime_sec: 1_700_000_000.into(),
        mtime_nsec: 5.into(),
        huge_shift: 0.into(),
    }
}

/// A pair of sockets: the one was closed and the other one is the file 6; and both ends of another
/// pair, of which nobody has the second.
fn sockets(r: &mut Records, file: record::File) {
    let gone = record::Socket {
        id: 1.into(),
        family: record::SOCKET_UNIX.into(),
        kind: record::SOCKET_STREAM.into(),
        flags: (socket_flags::CONNECTED | socket_flags::PEER_GONE | socket_flags::PEER_CRED).into(),
        peer: 0.into(),
        shutdown: 3.into(),
        error: record::SOCKET_RESET.into(),
        uid: 1000.into(),
        gid: 1000.into(),
        mode: 0o140777.into(),
        peer_pid: 2.into(),
        peer_uid: 1000.into(),
        peer_gid: 1000.into(),
        reserved: 0.into(),
    };
    let option = |name: u32, value: u64| record::SocketOption {
        name: name.into(),
        reserved: 0.into(),
        value: value.into(),
    };
    let options = [
        option(7, 212_992),
        option(42, u64::MAX),
        option(record::socket_option::PEERGROUPS, 10),
        option(record::socket_option::PEERGROUPS, 20),
        option(66, 1_500_000),
    ];
    r.add(Kind::Socket, &gone, options.as_bytes());
    let one = record::Socket {
        id: 2.into(),
        kind: record::SOCKET_DGRAM.into(),
        flags: socket_flags::CONNECTED.into(),
        shutdown: 0.into(),
        error: 0.into(),
        peer_pid: 0.into(),
        peer_uid: 0.into(),
        peer_gid: 0.into(),
        ..gone
    };
    r.add(Kind::Socket, &one, &[]);
    let other = record::Socket {
        id: 3.into(),
        peer: 2.into(),
        ..one
    };
    r.add(Kind::Socket, &other, &[]);
    let data = record::SocketData {
        to: 1.into(),
        from: 0.into(),
        flags: 0.into(),
        pid: 0.into(),
        uid: 0.into(),
        gid: 0.into(),
    };
    r.add(Kind::SocketData, &data, b"a stream");
    let message = record::SocketData {
        to: 2.into(),
        from: 3.into(),
        flags: (socket_data_flags::CREDS | socket_data_flags::EXITED).into(),
        pid: 7.into(),
        uid: 1000.into(),
        gid: 1000.into(),
    };
    r.add(Kind::SocketData, &message, &[]);
    let end = record::File {
        id: 7.into(),
        kind: file_kind::SOCKET.into(),
        init_fd: 1.into(),
        flags: 2.into(),
        pos: 0.into(),
        ..file
    };
    r.add(Kind::File, &end, b"socket:[2345]");
}

/// Two that no file has.
fn eventfds(r: &mut Records) {
    for (id, count) in [(1u32, 3), (2, u64::MAX)] {
        let eventfd = record::Eventfd {
            id: id.into(),
            flags: (id & record::EVENTFD_SEMAPHORE).into(),
            count: count.into(),
        };
        r.add(Kind::Eventfd, &eventfd, &[]);
    }
}

/// One that no file has.
fn proc_texts(r: &mut Records) {
    let text = record::ProcText {
        id: 1.into(),
        reserved: 0.into(),
        index: 0x7f00_0000_1000.into(),
        last: 0x7f00_0000_0000.into(),
    };
    r.add(Kind::ProcText, &text, b"00:00 0\n");
}

/// One that nobody has attached.
fn segments(r: &mut Records) {
    let segment = record::Segment {
        id: 1.into(),
        shmid: 32768.into(),
        key: 0x1234.into(),
        mode: 0o1640.into(),
        cpid: 7.into(),
        size: (2 * PAGE).into(),
        ctime: 1_762_000_000.into(),
        ..record::Segment::new_zeroed()
    };
    r.add(Kind::Segment, &segment, &[]);
}

fn objects(r: &mut Records) {
    eventfds(r);
    proc_texts(r);
    segments(r);
    let file = record::File {
        id: 1.into(),
        kind: file_kind::PATH.into(),
        init_fd: (-1).into(),
        flags: 0.into(),
        pos: 0.into(),
        identity: identity(),
    };
    r.add(Kind::File, &file, b"/usr/bin/counter");
    let output = record::File {
        id: 2.into(),
        flags: 0o2001.into(),
        pos: 17.into(),
        ..file
    };
    r.add(Kind::File, &output, b"/var/tmp/out put");
    let stdin = record::File {
        id: 3.into(),
        kind: file_kind::INIT_FD.into(),
        init_fd: 0.into(),
        ..file
    };
    r.add(Kind::File, &stdin, b"/dev/null");
    let deleted = record::File {
        id: 4.into(),
        kind: file_kind::DELETED.into(),
        init_fd: 1.into(),
        ..file
    };
    r.add(Kind::File, &deleted, b"/var/tmp/scratch");
    let pipe = record::Pipe {
        id: 1.into(),
        capacity: (2 * PAGE as u32).into(),
        uid: 1000.into(),
        gid: 1000.into(),
        mode: 0o10600.into(),
        reserved: 0.into(),
    };
    r.add(Kind::Pipe, &pipe, &[]);
    let data = record::PipeData {
        flags: 0.into(),
        reserved: 0.into(),
    };
    r.add(Kind::PipeData, &data, b"to be read");
    let packet = record::PipeData {
        flags: record::PIPE_PACKET.into(),
        ..data
    };
    r.add(Kind::PipeData, &packet, b"by itself");
    let insn = record::SeccompInsn {
        code: 6.into(),
        jt: 0,
        jf: 0,
        k: 0x7fff_0000.into(),
    };
    for (id, flags) in [(1u32, 0), (2, record::SECCOMP_LOG)] {
        let filter = record::Seccomp {
            id: id.into(),
            prev: (id - 1).into(),
            flags: flags.into(),
            reserved: 0.into(),
        };
        r.add(Kind::Seccomp, &filter, insn.as_bytes());
    }
    let end = record::File {
        id: 5.into(),
        kind: file_kind::PIPE.into(),
        init_fd: 1.into(),
        pos: 0.into(),
        ..file
    };
    r.add(Kind::File, &end, b"pipe:[1234]");
    let fifo = record::Fifo {
        id: 2.into(),
        capacity: (PAGE as u32).into(),
        identity: identity(),
    };
    r.add(Kind::Fifo, &fifo, b"/var/tmp/fifo");
    r.add(Kind::PipeData, &data, b"by name");
    let end = record::File {
        id: 6.into(),
        kind: file_kind::FIFO.into(),
        init_fd: 2.into(),
        ..end
    };
    r.add(Kind::File, &end, b"/var/tmp/fifo");
    sockets(r, file);
    let group = record::Group {
        id: 9.into(),
        pid_ns: 2.into(),
    };
    r.add(Kind::Group, &group, [7u32, 8].as_bytes());
    let mut path = record::Path {
        id: 1.into(),
        reserved: 0.into(),
        identity: identity(),
    };
    r.add(Kind::Path, &path, b"/");
    path.id = 2.into();
    r.add(Kind::Path, &path, b"/var/tmp");
    let actions = [record::SigAction::new_zeroed(); record::SIGNALS];
    let sighand = record::Sighand {
        id: 1.into(),
        reserved: 0.into(),
    };
    r.add(Kind::Sighand, &sighand, actions.as_bytes());
    let segment = record::Shm {
        id: 1.into(),
        flags: record::SHM_SEGMENT.into(),
        size: (2 * PAGE).into(),
        huge_shift: 0.into(),
    };
    r.add(Kind::Shm, &segment, &[]);
    let shm = record::Shm {
        id: 2.into(),
        flags: record::SHM_NORESERVE.into(),
        size: (2 * PAGE + 100).into(),
        huge_shift: 0.into(),
    };
    r.add(Kind::Shm, &shm, &[]);
    r.add(Kind::Runs, &(), run(2 * PAGE, 1).as_bytes());
    let data = record::FileData {
        id: 1.into(),
        atime_nsec: 7.into(),
        size: (PAGE + 100).into(),
        uid: 1000.into(),
        gid: 1000.into(),
        atime_sec: 1_700_000_000.into(),
        seals: 0.into(),
    };
    r.add(Kind::FileData, &data, &[]);
}

/// A run of pages.
pub fn run(start: u64, pages: u32) -> record::Run {
    record::Run {
        start: start.into(),
        pages: pages.into(),
        flags: 0.into(),
    }
}

/// A run of pages that are those of `mm` from the address `from` on.
pub fn shared_run(start: u64, pages: u32, mm: u32, from: u64) -> record::SharedRun {
    record::SharedRun {
        start: start.into(),
        from: from.into(),
        pages: pages.into(),
        mm: mm.into(),
    }
}

/// Where the mappings of the sample are.
pub const CODE: u64 = 0x40_0000;
/// Its heap.
pub const HEAP: u64 = 0x60_0000;
/// Its stack.
pub const STACK: u64 = 0x7fff_0000_0000;

/// Flags of a private mapping.
const PRIVATE: u64 = vf::READ | vf::MAYREAD | vf::MAYWRITE | vf::MAYEXEC;

fn vma(start: u64, pages: u64, kind: u32, object: u32, flags: u64) -> record::Vma {
    record::Vma {
        start: start.into(),
        end: (start + pages * PAGE).into(),
        offset: 0.into(),
        flags: flags.into(),
        kind: kind.into(),
        object: object.into(),
        pkey: 0.into(),
        huge_shift: 0.into(),
    }
}

fn memory(r: &mut Records, heap: u32) {
    let mm = record::Mm {
        id: 1.into(),
        exe_file: 1.into(),
        vmas: 6.into(),
        start_code: CODE.into(),
        end_code: (CODE + PAGE).into(),
        start_brk: HEAP.into(),
        brk: (HEAP + 100).into(),
        start_stack: (STACK + PAGE).into(),
        ..record::Mm::new_zeroed()
    };
    r.add(Kind::Mm, &mm, &[1; 32]);
    let ldt = record::LdtEntry {
        entry_number: 5.into(),
        base_addr: 0.into(),
        limit: 0xfffff.into(),
        flags: 0x51.into(),
    };
    r.add(Kind::Ldt, &(), ldt.as_bytes());

    let shared = vf::SHARED | vf::MAYSHARE | vf::READ | vf::MAYREAD | vf::MAYWRITE;
    let code = vma(CODE, 2, vma_kind::FILE, 1, PRIVATE | vf::EXEC);
    r.add(Kind::Vma, &code, &[]);
    let heap_pages = u64::from(heap) + 1;
    let brk = vma(HEAP, heap_pages, vma_kind::ANON, 0, PRIVATE | vf::WRITE);
    r.add(Kind::Vma, &brk, b"[heap]");
    r.add(Kind::VmaPolicy, &policy(record::MPOL_BIND), &[3; 8]);
    let shm = vma(0x7000_0000_0000, 3, vma_kind::SHM, 2, shared);
    r.add(Kind::Vma, &shm, &[]);
    let file = vma(0x7000_0001_0000, 1, vma_kind::FILE, 2, shared);
    r.add(Kind::Vma, &file, &[]);
    let grows = PRIVATE | vf::WRITE | vf::GROWSDOWN;
    let stack = vma(STACK, 2, vma_kind::ANON, 0, grows);
    r.add(Kind::Vma, &stack, b"[stack]");
    let vdso = vma(STACK + 8 * PAGE, 1, vma_kind::VDSO, 0, PRIVATE | vf::EXEC);
    r.add(Kind::Vma, &vdso, b"[vdso]");
    let guards = [
        run(HEAP + u64::from(heap) * PAGE, 1),
        run(0x7000_0000_0000 + PAGE, 1),
    ];
    r.add(Kind::Guards, &(), guards.as_bytes());
    let runs = [run(CODE + PAGE, 1), run(HEAP, heap), run(STACK + PAGE, 1)];
    r.add(Kind::Runs, &(), runs.as_bytes());
    child(r, heap, mm);
}

/// An address space that no task has: that of a child of the one that has `mm`. It has the heap
/// still, and behind it a page that was merged with one of the data, one of its own and a guard.
fn child(r: &mut Records, heap: u32, mm: record::Mm) {
    let mm = record::Mm {
        id: 2.into(),
        vmas: 2.into(),
        base: mm.id,
        ..mm
    };
    r.add(Kind::Mm, &mm, &[]);
    let code = vma(CODE, 2, vma_kind::FILE, 1, PRIVATE | vf::EXEC);
    r.add(Kind::Vma, &code, &[]);
    let heap_pages = u64::from(heap);
    let brk = vma(HEAP, heap_pages + 3, vma_kind::ANON, 0, PRIVATE | vf::WRITE);
    r.add(Kind::Vma, &brk, &[]);
    let end = HEAP + heap_pages * PAGE;
    r.add(Kind::Guards, &(), run(end + 2 * PAGE, 1).as_bytes());
    let shared = [
        shared_run(HEAP, heap, 1, HEAP),
        shared_run(end, 1, 1, CODE + PAGE),
    ];
    r.add(Kind::SharedRuns, &(), shared.as_bytes());
    r.add(Kind::Runs, &(), run(end + PAGE, 1).as_bytes());
}

fn policy(mode: u32) -> record::NumaPolicy {
    record::NumaPolicy {
        mode: mode.into(),
        home_node: (-1).into(),
        ..record::NumaPolicy::new_zeroed()
    }
}

fn timers() -> record::Timers {
    record::Timers {
        real: record::Itimer {
            flags: record::ITIMER_ARMED.into(),
            left_ns: 2_500_000_000.into(),
            ..record::Itimer::new_zeroed()
        },
        next_id: 5.into(),
        ..record::Timers::new_zeroed()
    }
}

/// A timer on CLOCK_MONOTONIC whose signal is pending.
pub fn timer() -> record::Timer {
    use record::timer_flags::{PERIODIC, QUEUED, REQUEUE, TIMED};
    record::Timer {
        id: 4.into(),
        clock: 1.into(),
        signo: 34.into(),
        flags: (REQUEUE | TIMED | QUEUED | PERIODIC).into(),
        interval_ns: 1_000_000.into(),
        left_ns: (-500).into(),
        overrun: (-1).into(),
        ..record::Timer::new_zeroed()
    }
}

fn task(r: &mut Records) {
    let fds: Vec<record::Fd> = [(0, 3, 0), (1, 2, 0), (7, 2, 1)]
        .iter()
        .map(|&(fd, file, flags): &(u32, u32, u32)| record::Fd {
            fd: fd.into(),
            file: file.into(),
            flags: flags.into(),
        })
        .collect();
    let table = record::FdTable {
        id: 1.into(),
        count: 3.into(),
    };
    r.add(Kind::FdTable, &table, fds.as_bytes());
    let fs = record::Fs {
        id: 1.into(),
        root: 1.into(),
        cwd: 2.into(),
        umask: 0o22.into(),
    };
    r.add(Kind::Fs, &fs, &[]);
    let task = record::Task {
        pid: 2.into(),
        tgid: 2.into(),
        ppid: 1.into(),
        pgid: 2.into(),
        sid: 2.into(),
        exit_signal: 17.into(),
        mm: 1.into(),
        files: 1.into(),
        fs: 1.into(),
        sighand: 1.into(),
        flags: 0.into(),
        stop_signal: 0.into(),
        comm: *b"counter\0\0\0\0\0\0\0\0\0",
        parent: 0.into(),
        vfork: 0.into(),
        rank: 0.into(),
        pid_ns: 0.into(),
        children_ns: 0.into(),
    };
    r.add(Kind::Task, &task, &[]);
    for (note, len) in [(1u32, 216), (0x202, 832)] {
        let regset = record::Regset {
            note: note.into(),
            reserved: 0.into(),
        };
        r.add(Kind::Regset, &regset, &vec![0xa5; len]);
    }
    r.add(Kind::DebugRegs, &record::DebugRegs::new_zeroed(), &[]);
    r.add(Kind::ThreadX86, &record::ThreadX86::new_zeroed(), &[]);
    r.add(Kind::Signals, &record::Signals::new_zeroed(), &[]);
    for shared in [0u32, 1] {
        let pending = record::Pending {
            shared: shared.into(),
            count: 1.into(),
            set: (1 << 9).into(),
        };
        r.add(Kind::Pending, &pending, &[7; record::SIGINFO_LEN]);
    }
    r.add(Kind::Timers, &timers(), timer().as_bytes());
    let deleted = record::DeletedTimer {
        id: 9.into(),
        signo: 34.into(),
        value: 5.into(),
    };
    r.add(Kind::DeletedTimers, &(), deleted.as_bytes());
    let signals = [-1, 4].map(|timer: i32| record::TimerSignal {
        timer: timer.into(),
        shared: 1.into(),
        place: 1.into(),
    });
    r.add(Kind::TimerSignals, &(), signals.as_bytes());
    let creds = record::Creds {
        uid: 1000.into(),
        euid: 1000.into(),
        gid: 100.into(),
        egid: 100.into(),
        ..record::Creds::new_zeroed()
    };
    r.add(Kind::Creds, &creds, [100u32, 27].as_bytes());
    let limits = [record::Rlimit {
        cur: 1024.into(),
        max: u64::MAX.into(),
    }; 16];
    r.add(Kind::Rlimits, &(), limits.as_bytes());
    let block = record::RestartBlock {
        kind: restart_kind::NANOSLEEP.into(),
        timed: 1.into(),
        left_ns: 1_500_000_000.into(),
        ..record::RestartBlock::new_zeroed()
    };
    r.add(Kind::RestartBlock, &block, &[]);
    let attr = record::Attr {
        seccomp: 2.into(),
        ..record::Attr::new_zeroed()
    };
    r.add(Kind::Attr, &attr, &[]);
    r.add(Kind::Sched, &record::Sched::new_zeroed(), &[0xff; 8]);
    let interleave = policy(record::MPOL_WEIGHTED_INTERLEAVE);
    r.add(Kind::NumaPolicy, &interleave, &[1; 8]);
    r.add(Kind::UserPtrs, &record::UserPtrs::new_zeroed(), &[]);
    let usage = record::TaskUsage {
        own: record::Usage {
            utime_ns: 3_000_000_000.into(),
            stime_ns: 500_000_000.into(),
            ..record::Usage::new_zeroed()
        },
        runtime_ns: 3_600_000_000.into(),
        ..record::TaskUsage::new_zeroed()
    };
    r.add(Kind::TaskUsage, &usage, &[]);
    let zombie = record::Task {
        pid: 3.into(),
        tgid: 3.into(),
        ppid: 2.into(),
        mm: 0.into(),
        files: 0.into(),
        fs: 0.into(),
        sighand: 0.into(),
        flags: record::task_flags::ZOMBIE.into(),
        comm: *b"gone\0\0\0\0\0\0\0\0\0\0\0\0",
        ..task
    };
    r.add(Kind::Task, &zombie, &[]);
    let exit = record::Exit {
        status: 0x700.into(),
        ..record::Exit::new_zeroed()
    };
    r.add(Kind::Exit, &exit, &[]);
    r.add(Kind::Creds, &creds, &[]);
}
