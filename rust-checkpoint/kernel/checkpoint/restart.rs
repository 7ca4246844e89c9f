// SPDX-License-Identifier: GPL-2.0-only

//! `restart(2)`: verify, prepare, create, rebuild, let go.
//!
//! Init reads and verifies all metadata before it creates anything. It opens
//! the files and makes the shared memory ([`World`]), then creates the tasks,
//! which rebuild themselves at the same time, each with a [`Restart`] of its own,
//! and wait at a barrier. When all are there and all page data was right, init
//! gives them their registers as a tracer would and lets them go. Until then
//! nothing they do is visible to anyone; if anything fails they are killed and
//! reaped.

use crate::{
    arch,
    checkpoint::MAX_META,
    eventfds, files, fs,
    image::{
        format::{
            Fault,
            Header,
            Layout,
            CHUNK_LEN,
            FEATURE_INCREMENTAL,
            HEADER_LEN,
            TRAILER_LEN, //
        },
        parse::{
            self,
            Meta,
            Record,
            Records, //
        },
        record::{
            self as wire,
            task_flags,
            Kind, //
        },
        verify, //
    },
    mm,
    objhash::Class,
    pipes,
    report::{
        Item,
        Object,
        Report, //
    },
    seccomp, segments, sockets, timers, tree, usage,
};
use core::ops::Deref;
use kernel::{
    bindings,
    checkpoint::{
        cred::objective,
        io::{
            xxh64,
            HeldPage,
            Stream,
            Xxh64,
            BATCH, //
        },
        seccomp::Filter,
        shm::Segment,
        task::{
            fatal_signal_pending,
            TaskExt, //
        },
    },
    cred::Credential,
    fs::File,
    mm::MmWithUser,
    new_mutex,
    page::PAGE_SIZE,
    pid_namespace::PidNamespace,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        UniqueArc, //
    },
    task::Task,
};
use zerocopy::{
    little_endian::I32,
    FromBytes, //
};

/// An image whose metadata was read and verified.
///
/// # Invariants
///
/// `bytes` passed [`verify::verify`] and never changes.
pub(crate) struct Image {
    /// Its header.
    pub(crate) header: Header,
    bytes: KVVec<u8>,
}

impl Image {
    /// The records.
    pub(crate) fn meta(&self) -> Meta<'_> {
        // By the type invariant they were checked.
        Meta::of_checked(&self.bytes, HEADER_LEN as u64)
    }
}

/// Where in the image the records stand that tasks refer to; each by its id - 1.
#[derive(Default)]
struct Defined {
    sighands: KVVec<u64>,
    mms: KVVec<u64>,
    fd_tables: KVVec<u64>,
    fs: KVVec<u64>,
}

impl Defined {
    /// Adds a record, if it is one of those.
    fn add(&mut self, record: &Record<'_>) -> Result {
        let of_kind = match record.kind {
            Kind::Sighand => &mut self.sighands,
            Kind::Mm => &mut self.mms,
            Kind::FdTable => &mut self.fd_tables,
            Kind::Fs => &mut self.fs,
            _ => return Ok(()),
        };
        of_kind
            .push(record.offset, GFP_KERNEL_ACCOUNT)
            .map_err(Into::into)
    }

    fn get(&self, class: Class, id: u32) -> Option<u64> {
        let of_class = match class {
            Class::Sighand => &self.sighands,
            Class::Mm => &self.mms,
            Class::FdTable => &self.fd_tables,
            Class::Fs => &self.fs,
            _ => return None,
        };
        of_class.get(id.checked_sub(1)? as usize).copied()
    }
}

/// Page data as it comes, checked chunk by chunk.
pub(crate) struct Data {
    stream: Stream,
    hash: Xxh64,
    in_chunk: usize,
    left: u64,
    hashes: KVVec<u8>,
    expected: Option<KVVec<u8>>,
    batch: KVec<HeldPage>,
    /// Pages could not be read, and not because the reader was killed.
    failed: bool,
}

impl Data {
    /// Reads the next `pages` pages. `fill(done, n, batch)` adds to `batch` the
    /// `n` pages that come after the first `done` ones.
    pub(crate) fn read_run(
        &mut self,
        pages: u64,
        fill: impl FnMut(u64, usize, &mut KVec<HeldPage>) -> Result,
    ) -> Result {
        self.read_run_and(pages, fill, |_, _| Ok(()))
    }

    /// The same; `take(done, batch)` gets each batch when it was read.
    pub(crate) fn read_run_and(
        &mut self,
        pages: u64,
        mut fill: impl FnMut(u64, usize, &mut KVec<HeldPage>) -> Result,
        mut take: impl FnMut(u64, &[HeldPage]) -> Result,
    ) -> Result {
        let mut done = 0;
        while done < pages {
            let n = (pages - done).min((BATCH - self.in_chunk) as u64) as usize;
            let mut batch = core::mem::take(&mut self.batch);
            fill(done, n, &mut batch)?;
            if batch.len() != n {
                return Err(EINVAL);
            }
            self.read_pages(&batch)?;
            take(done, &batch)?;
            batch.clear();
            self.batch = batch;
            done += n as u64;
        }
        Ok(())
    }

    /// Reads the next `pages.len()` pages into them.
    pub(crate) fn read_pages(&mut self, mut pages: &[HeldPage]) -> Result {
        while !pages.is_empty() {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            let n = pages.len().min(BATCH - self.in_chunk);
            let (now, later) = pages.split_at_checked(n).ok_or(EINVAL)?;
            self.stream
                .read_pages(now)
                .inspect_err(|&e| self.failed = e != EINTR)?;
            for page in now {
                self.hash.update_page(page);
            }
            self.in_chunk += n;
            self.left = self.left.checked_sub(n as u64).ok_or(EINVAL)?;
            if self.in_chunk == BATCH || self.left == 0 {
                self.end_chunk()?;
            }
            pages = later;
        }
        Ok(())
    }

    /// Where in the image the chunk is that was read last.
    fn last_chunk(&self, header: &Header) -> u64 {
        let chunks = (self.hashes.len() / size_of::<u64>()) as u64;
        chunk_offset(header, chunks.saturating_sub(1))
    }

    fn end_chunk(&mut self) -> Result {
        let hash = self.hash.digest().to_le_bytes();
        let at = self.hashes.len();
        self.hashes.extend_from_slice(&hash, GFP_KERNEL_ACCOUNT)?;
        self.hash = Xxh64::new();
        self.in_chunk = 0;
        if let Some(expected) = &self.expected {
            if expected.get(at..at + hash.len()) != Some(&hash[..]) {
                return Err(EBADMSG);
            }
        }
        Ok(())
    }

    /// After the last page: the trailer, where it was not read before.
    pub(crate) fn finish(&mut self, header: &Header, report: &mut Report) -> Result {
        if self.left != 0 {
            return Err(EINVAL);
        }
        let mut hashes = KVVec::zeroed(self.hashes.len(), GFP_KERNEL_ACCOUNT)?;
        let mut trailer = [0; TRAILER_LEN];
        self.stream
            .read(&mut hashes)
            .and_then(|()| self.stream.read(&mut trailer))
            .map_err(|e| short(report, e))?;
        parse::check_trailer(&trailer, header, Some(xxh64(&hashes)), xxh64)
            .map_err(|f| fault(report, f))?;
        let differs =
            Iterator::zip(hashes.chunks(8), self.hashes.chunks(8)).position(|(a, b)| a != b);
        if let Some(chunk) = differs {
            return Err(damaged(report, chunk_offset(header, chunk as u64)));
        }
        Ok(())
    }
}

/// What all tasks of a job are rebuilt from. Init fills it before it creates them.
pub(crate) struct World {
    /// The verified metadata.
    pub(crate) image: Arc<Image>,
    /// What it says of the job as a whole.
    pub(crate) job: wire::Job,
    /// The namespace that it is restarted in.
    pub(crate) ns: ARef<PidNamespace>,
    /// The credentials of the caller.
    pub(crate) cred: ARef<Credential>,
    /// The page data. Its lock is only ever taken by the one whose turn it is.
    pub(crate) data: Arc<Mutex<Data>>,
    /// The address space of init.
    pub(crate) init_mm: ARef<MmWithUser>,
    /// Shared anonymous memory, by id - 1.
    pub(crate) shms: KVVec<ARef<File>>,
    /// Open files, by id - 1.
    pub(crate) files: KVVec<ARef<File>>,
    /// Which of them only mappings have, ascending: attaches of System V shared memory.
    pub(crate) attaches: KVVec<u32>,
    /// Which of them only descriptors have, ascending: files of processes in proc, whose place
    /// something else holds until there are the processes.
    pub(crate) procs: KVVec<u32>,
    /// Places, by id - 1.
    pub(crate) paths: KVVec<kernel::checkpoint::file::PathRef>,
    /// Seccomp filters, by id - 1.
    pub(crate) filters: KVVec<Filter>,
    /// Timers of timer_create(2), by process and ID, until they are armed.
    pub(crate) timers: Arc<Mutex<RBTree<(i32, i32), timers::Made>>>,
    /// CPU time of processes, so far.
    pub(crate) cpu_times: Arc<Mutex<usage::CpuTimes>>,
    /// Held by a thread while it fills a descriptor table of its own: to install
    /// one may raise a limit of the process for a moment.
    pub(crate) installing: Arc<Mutex<()>>,
    /// Where in the image that stands which tasks share.
    defined: Defined,
}

/// What init alone has of a [`World`] before it creates tasks, or one has as well as
/// others after that.
enum Access {
    Alone(UniqueArc<World>),
    Shared(Arc<World>),
}

/// A restart as init sees it, or one of the tasks: what they are rebuilt from, and
/// what each has for itself.
pub(crate) struct Restart {
    /// Why it fails.
    pub(crate) report: Report,
    /// Deleted files, by their number - 1; none where one could not be made. Init's.
    pub(crate) deleted: KVVec<Option<files::Deleted>>,
    /// Pipes and FIFOs, by id - 1, until all of their ends were opened. Init's.
    pub(crate) pipes: KVVec<pipes::Made>,
    /// Segments of System V shared memory, by id - 1; none where one could not be made. Init's.
    pub(crate) segments: KVVec<Option<Segment>>,
    /// Eventfds, by id - 1, until they are among the open files. Init's.
    pub(crate) eventfds: KVVec<Option<ARef<File>>>,
    /// Sockets, until they are as they were. Init's.
    pub(crate) sockets: sockets::Making,
    world: Access,
    /// The task that has it, none for init.
    child: Option<Arc<tree::Child>>,
}

impl Deref for Restart {
    type Target = World;

    fn deref(&self) -> &World {
        match &self.world {
            Access::Alone(world) => world,
            Access::Shared(world) => world,
        }
    }
}

/// The task that has rebuilt something that others share.
pub(crate) struct Owner {
    /// The task.
    pub(crate) task: ARef<Task>,
    /// The id of its address space.
    pub(crate) mm: u32,
}

impl World {
    /// The open file with this id, none for 0.
    pub(crate) fn file(&self, id: u32) -> Result<Option<ARef<File>>> {
        match self.attaches.binary_search(&id) {
            Ok(_) => Err(EINVAL),
            Err(_) => self.mapped_file(id, true),
        }
    }

    /// The same of a mapping, which is shared or not.
    pub(crate) fn mapped_file(&self, id: u32, shared: bool) -> Result<Option<ARef<File>>> {
        if !shared && self.attaches.binary_search(&id).is_ok()
            || self.procs.binary_search(&id).is_ok()
        {
            return Err(EINVAL);
        }
        match id {
            0 => Ok(None),
            _ => self.any_file(id).map(Some),
        }
    }

    /// The same of a descriptor: there is one, but it may just hold a place.
    pub(crate) fn descriptor(&self, id: u32) -> Result<ARef<File>> {
        match self.attaches.binary_search(&id) {
            Ok(_) => Err(EINVAL),
            Err(_) => self.any_file(id),
        }
    }

    fn any_file(&self, id: u32) -> Result<ARef<File>> {
        let i = id.checked_sub(1).ok_or(EINVAL)?;
        Ok(self.files.get(i as usize).ok_or(EINVAL)?.clone())
    }

    /// The records from the one on that defines an object which tasks share.
    pub(crate) fn defined_at<'a>(
        &self,
        meta: &Meta<'a>,
        class: Class,
        id: u32,
    ) -> Result<Records<'a>> {
        let offset = self.defined.get(class, id).ok_or(EINVAL)?;
        Ok(meta.records_from(offset))
    }

    /// The shared memory with this id.
    pub(crate) fn shm(&self, id: u32) -> Result<ARef<File>> {
        let i = id.checked_sub(1).ok_or(EINVAL)?;
        Ok(self.shms.get(i as usize).ok_or(EINVAL)?.clone())
    }
}

impl Restart {
    /// That of a task.
    pub(crate) fn of_task(world: Arc<World>, child: Arc<tree::Child>) -> Self {
        Self {
            child: Some(child),
            ..Self::with(Access::Shared(world), Report::new("restart"))
        }
    }

    fn with(world: Access, report: Report) -> Self {
        Self {
            report,
            deleted: KVVec::new(),
            pipes: KVVec::new(),
            segments: KVVec::new(),
            eventfds: KVVec::new(),
            sockets: sockets::Making::default(),
            world,
            child: None,
        }
    }

    /// To add to what the tasks are rebuilt from; `EINVAL` once there are some.
    pub(crate) fn world_mut(&mut self) -> Result<&mut World> {
        match &mut self.world {
            Access::Alone(world) => Ok(world),
            Access::Shared(_) => Err(EINVAL),
        }
    }

    /// For others to have it, too: nothing is added from now on.
    fn share(self) -> (Self, Arc<World>) {
        let world: Arc<World> = match self.world {
            Access::Alone(world) => world.into(),
            Access::Shared(world) => world,
        };
        let shared = Self {
            world: Access::Shared(world.clone()),
            ..self
        };
        (shared, world)
    }

    /// The task that rebuilds an object, when it has; none if that is the current one.
    /// `EINTR`: the restart failed meanwhile, or the current task was killed.
    pub(crate) fn owner(&self, class: Class) -> Result<Option<Owner>> {
        self.child.as_ref().ok_or(EINVAL)?.owner(class)
    }

    /// The address space with this id, of those that come before that of the current task, when
    /// it is as it was. Errors as of [`Self::owner`].
    pub(crate) fn space(&self, mm: u32) -> Result<ARef<MmWithUser>> {
        self.child.as_ref().ok_or(EINVAL)?.space(mm)
    }

    /// Waits until the page data of the address space of the current task is next.
    pub(crate) fn wait_for_data(&self) -> Result {
        self.child.as_ref().ok_or(EINVAL)?.wait_for_data()
    }

    /// Waits until all processes were created.
    pub(crate) fn wait_for_processes(&self) -> Result {
        self.child.as_ref().ok_or(EINVAL)?.wait_for_processes()
    }

    /// The page data of that address space has been read.
    pub(crate) fn data_is_read(&self) -> Result {
        self.child.as_ref().ok_or(EINVAL)?.data_is_read()
    }

    /// Opens and makes what tasks share, in the order of the image, and notes
    /// where the rest of it stands.
    fn prepare(&mut self) -> Result {
        let image = self.image.clone();
        let meta = image.meta();
        let mut records = meta.records().peekable();
        // All files that are in the way are reported, not only the first.
        let mut ret = Ok(());
        while let Some(record) = records.next() {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            self.world_mut()?.defined.add(&record)?;
            match record.kind {
                Kind::File => ret = ret.and(files::restart(self, &record)),
                Kind::Path => ret = ret.and(fs::restart_path(self, &record)),
                Kind::Pipe => pipes::restart(self, &record)?,
                Kind::Fifo => pipes::restart_fifo(self, &record)?,
                Kind::PipeData => pipes::restart_data(self, &record)?,
                Kind::Eventfd => eventfds::restart(self, &record)?,
                Kind::Segment => ret = ret.and(segments::restart(self, &record)),
                Kind::Seccomp => seccomp::restart(self, &record)?,
                Kind::Socket => sockets::restart(self, &record)?,
                Kind::SocketData => sockets::restart_data(self, &record)?,
                Kind::Shm | Kind::FileData if ret.is_ok() => {
                    let runs = match records.next_if(|r| r.kind == Kind::Runs) {
                        Some(r) => r.tail(),
                        None => &[],
                    };
                    let runs = <[wire::Run]>::ref_from_bytes(runs).map_err(|_| EINVAL)?;
                    if record.kind == Kind::Shm {
                        mm::restart_shm(self, &record.head().map_err(|_| EINVAL)?, runs)?;
                    } else {
                        files::restart_data(self, &record.head().map_err(|_| EINVAL)?, runs)?;
                    }
                }
                _ => (),
            }
        }
        // An end that nobody has is closed.
        pipes::close_rest(self);
        ret
    }
}

/// A task of the image.
pub(crate) struct Part {
    /// Its record.
    pub(crate) task: wire::Task,
    /// Where in the image its record stands.
    offset: u64,
}

impl Part {
    /// The task of the record that stands at `offset` of the image.
    pub(crate) fn new(task: wire::Task, offset: u64) -> Self {
        Self { task, offset }
    }

    /// The records that belong to the task.
    pub(crate) fn records<'a>(&self, meta: &Meta<'a>) -> impl Iterator<Item = Record<'a>> + Clone {
        meta.records_from(self.offset)
            .skip(1)
            .take_while(|r| !matches!(r.kind, Kind::Task | Kind::End))
    }

    /// Its pids, innermost namespace first, the last one in that of the job.
    pub(crate) fn pids(&self, meta: &Meta<'_>) -> Result<KVec<i32>> {
        let record = meta.records_from(self.offset).next().ok_or(EINVAL)?;
        let mut pids = KVec::new();
        for pid in record.array::<I32>().map_err(|_| EINVAL)? {
            pids.push(pid.get(), GFP_KERNEL)?;
        }
        pids.push(self.task.pid.get(), GFP_KERNEL)?;
        Ok(pids)
    }

    /// Whether the task is the init of a pid namespace.
    pub(crate) fn is_init(&self) -> bool {
        self.task.pid_ns == self.task.pid
    }

    /// The one record of a kind that every task has.
    pub(crate) fn record<'a>(&self, meta: &Meta<'a>, kind: Kind) -> Result<Record<'a>> {
        self.records(meta).find(|r| r.kind == kind).ok_or(EINVAL)
    }

    /// Pid of the task that creates it: its parent, or the leader of its
    /// thread group.
    pub(crate) fn creator(&self) -> i32 {
        if self.is_group_leader() {
            self.task.ppid.get()
        } else {
            self.task.tgid.get()
        }
    }

    /// Whether the task leads its thread group.
    pub(crate) fn is_group_leader(&self) -> bool {
        self.task.pid == self.task.tgid
    }

    /// Whether its parent is not sent the signal that it was made with.
    pub(crate) fn parent_changed(&self) -> bool {
        self.task.flags.get() & task_flags::PARENT_CHANGED != 0
    }

    /// Whether the task has exited, and its process with it.
    pub(crate) fn is_zombie(&self) -> bool {
        self.task.flags.get() & task_flags::ZOMBIE != 0
    }

    /// Whether the task has exited, and others of its process have not.
    pub(crate) fn is_leader_gone(&self) -> bool {
        self.task.flags.get() & task_flags::LEADER_GONE != 0
    }

    /// Whether the task has exited.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_zombie() || self.is_leader_gone()
    }
}

/// Reports a fault of the image.
fn fault(report: &mut Report, fault: Fault) -> Error {
    report.error(
        Item {
            object: Object::Image(fault.offset),
            kind: "image",
            name: b"",
            why: fault.what,
            remedy: "use another image; see ckpt verify",
        },
        EINVAL,
    )
}

/// Reports an image that ends too early, or an error of its file.
fn short(report: &mut Report, error: Error) -> Error {
    if error == ENODATA {
        return fault(report, Fault::new(0, "the image is truncated"));
    }
    report.error(
        Item {
            object: Object::Job,
            kind: "read",
            name: b"",
            why: "the image could not be read",
            remedy: "",
        },
        error,
    )
}

fn damaged(report: &mut Report, offset: u64) -> Error {
    fault(
        report,
        Fault::new(offset, "page data is damaged: a checksum differs"),
    )
}

/// Where in the image a chunk of page data begins.
fn chunk_offset(header: &Header, chunk: u64) -> u64 {
    let (meta_len, data_len) = (header.meta_len.get(), header.data_len.get());
    let layout = Layout::new(PAGE_SIZE as u32, meta_len, data_len);
    let start = layout.map_or(0, |layout| layout.data_offset);
    start.saturating_add(chunk.saturating_mul(CHUNK_LEN.into()))
}

/// Reads and verifies all that stands before the page data, and the trailer
/// where the file can be read at any place.
#[inline(never)]
fn read_image(mut stream: Stream, report: &mut Report) -> Result<(Image, Data)> {
    let mut bytes = [0; HEADER_LEN];
    stream.read(&mut bytes).map_err(|e| short(report, e))?;
    let header = parse::check_header(&bytes, xxh64).map_err(|f| fault(report, f))?;
    if header.page_size.get() as usize != PAGE_SIZE {
        return Err(fault(report, Fault::new(0, "image has another page size")));
    }
    arch::check_features(&header).map_err(|what| fault(report, Fault::new(0, what)))?;
    if header.features.get() & FEATURE_INCREMENTAL != 0 {
        return Err(report.error(
            Item {
                object: Object::Job,
                kind: "image",
                name: b"",
                why: "it has only what has changed since its parent",
                remedy: "fold it with its parents, by ckpt merge",
            },
            EOPNOTSUPP,
        ));
    }

    let seekable = stream.seekable_len();
    if seekable.is_some_and(|len| len < header.image_len.get()) {
        return Err(short(report, ENODATA));
    }
    let len = usize::try_from(header.meta_len.get()).map_err(|_| EINVAL)?;
    if len > MAX_META {
        return Err(fault(report, Fault::new(0, "metadata is too long")));
    }
    // Memory is taken as the data comes, not as the header says.
    let mut meta = KVVec::new();
    while meta.len() < len {
        let at = meta.len();
        let n = (len - at).min(at.max(64 * 1024));
        meta.resize(at + n, 0, GFP_KERNEL_ACCOUNT)?;
        let to = meta.get_mut(at..).ok_or(EINVAL)?;
        stream.read(to).map_err(|e| short(report, e))?;
    }
    parse::check_meta_hash(&header, xxh64(&meta)).map_err(|f| fault(report, f))?;
    let records = Meta::new(&meta, HEADER_LEN as u64).map_err(|f| fault(report, f))?;
    let summary = verify::verify(&records, &header).map_err(|f| fault(report, f))?;
    if summary.shared_runs != 0 {
        let runs = usize::try_from(summary.runs)?;
        let mut memory = KVVec::new();
        memory.resize(runs, verify::Stretch::default(), GFP_KERNEL_ACCOUNT)?;
        verify::check_shared(&records, &header, &mut memory).map_err(|f| fault(report, f))?;
    }
    // INVARIANT: verified just now.
    let image = Image {
        header,
        bytes: meta,
    };

    // So that what is taken for the checksums of a sparse file has a bound, too.
    let hashes_len = parse::chunks(&header)
        .checked_mul(size_of::<u64>() as u64)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n <= MAX_META);
    let Some(hashes_len) = hashes_len else {
        return Err(fault(report, Fault::new(0, "page data is too long")));
    };

    let layout = Layout::new(PAGE_SIZE as u32, len as u64, header.data_len.get()).ok_or(EINVAL)?;
    let mut at = (HEADER_LEN + len) as u64;
    let mut gap = [0; 256];
    while at < layout.data_offset {
        let n = (layout.data_offset - at).min(gap.len() as u64) as usize;
        let part = gap.get_mut(..n).ok_or(EINVAL)?;
        stream.read(part).map_err(|e| short(report, e))?;
        parse::check_gap(part, at).map_err(|f| fault(report, f))?;
        at += n as u64;
    }

    let mut expected = None;
    if seekable.is_some() {
        let mut hashes = KVVec::zeroed(hashes_len, GFP_KERNEL_ACCOUNT)?;
        let mut trailer = [0; TRAILER_LEN];
        stream
            .read_at(layout.trailer_offset, &mut hashes)
            .and_then(|()| stream.read_at(layout.trailer_offset + hashes_len as u64, &mut trailer))
            .map_err(|e| short(report, e))?;
        parse::check_trailer(&trailer, &header, Some(xxh64(&hashes)), xxh64)
            .map_err(|f| fault(report, f))?;
        expected = Some(hashes);
    }
    let data = Data {
        stream,
        hash: Xxh64::new(),
        in_chunk: 0,
        left: header.data_len.get() / PAGE_SIZE as u64,
        hashes: KVVec::new(),
        expected,
        batch: KVec::with_capacity(BATCH, GFP_KERNEL)?,
        failed: false,
    };
    Ok((image, data))
}

/// Reads an image and checks it, up to where the first task is made.
///
/// Not inlined: the tasks are created with what this takes of the stack.
#[inline(never)]
fn begin(stream: Stream, report: &mut Option<Report>) -> Result<Restart> {
    let mut r = Report::new("restart");
    let (image, data) = match read_image(stream, &mut r) {
        Ok(ok) => ok,
        Err(e) => {
            *report = Some(r);
            return Err(e);
        }
    };
    let init_mm = current!().mm_ref().ok_or(ESRCH)?;
    let image = Arc::new(image, GFP_KERNEL_ACCOUNT)?;
    let job: wire::Job = image
        .meta()
        .records()
        .find(|r| r.kind == Kind::Job)
        .and_then(|r| r.head().ok())
        .ok_or(EINVAL)?;
    let world = World {
        image,
        job,
        ns: current!().active_pid_ns().map(ARef::from).ok_or(ESRCH)?,
        cred: objective(current!()),
        data: Arc::pin_init(new_mutex!(data), GFP_KERNEL_ACCOUNT)?,
        init_mm,
        shms: KVVec::new(),
        files: KVVec::new(),
        attaches: KVVec::new(),
        procs: KVVec::new(),
        paths: KVVec::new(),
        filters: KVVec::new(),
        timers: Arc::pin_init(new_mutex!(RBTree::new()), GFP_KERNEL_ACCOUNT)?,
        cpu_times: Arc::pin_init(new_mutex!(RBTree::new()), GFP_KERNEL_ACCOUNT)?,
        installing: Arc::pin_init(new_mutex!(()), GFP_KERNEL_ACCOUNT)?,
        defined: Defined::default(),
    };
    let world = Access::Alone(UniqueArc::new(world, GFP_KERNEL_ACCOUNT)?);
    Ok(Restart::with(world, r))
}

fn run(
    stream: Stream,
    report: &mut Option<Report>,
    args: &mut bindings::checkpoint_args,
) -> Result {
    let mut rs = begin(stream, report)?;
    let mut ret = rs.prepare().map(|()| 0);
    if ret.is_ok() {
        let (shared, world) = rs.share();
        rs = shared;
        ret = tree::restart(&mut rs, world);
    }
    let ret = ret.map_err(|e| match e {
        // What a task met while it read page data.
        e if e == EBADMSG => {
            let offset = rs.data.lock().last_chunk(&rs.image.header);
            damaged(&mut rs.report, offset)
        }
        e if e == ENODATA || rs.data.lock().failed => short(&mut rs.report, e),
        e => e,
    });
    if let Ok(tasks) = &ret {
        rs.data.lock().stream.commit();
        args.root_pid = rs.job.root_pid.get();
        args.tasks = *tasks;
        args.image_bytes = rs.image.header.image_len.get();
        args.pages_data = rs.image.header.data_len.get() / PAGE_SIZE as u64;
        args.uuid = rs.image.header.uuid;
    }
    *report = Some(rs.report);
    ret.map(|_| ())
}

/// Entry from C.
///
/// # Safety
///
/// `file` is a file whose position lock is held; `args` is valid.
#[export]
unsafe extern "C" fn checkpoint_restart(
    file: *mut bindings::file,
    _flags: c_uint,
    args: *mut bindings::checkpoint_args,
) -> c_long {
    // SAFETY: by the requirements of this function; with the position lock
    // held by the caller there is no `fdget_pos()` to race with.
    let (args, stream) = unsafe {
        (
            &mut *args,
            Stream::new(ARef::from(File::from_raw_file(file))),
        )
    };
    let mut report = None;
    let ret = run(stream, &mut report, args);
    if let Some(report) = report {
        args.refusals = report.refusals();
        files::write_log(args.log_fd, report.text());
    }
    match ret {
        Ok(()) => 0,
        Err(e) => e.to_errno() as c_long,
    }
}
