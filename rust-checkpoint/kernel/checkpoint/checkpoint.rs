// SPDX-License-Identifier: GPL-2.0-only

//! `checkpoint(2)`: freeze, capture into memory, thaw, write.
//!
//! Under the freeze nothing is written and nothing waits for a reader: the
//! metadata goes into sections in memory, address spaces are duplicated
//! copy-on-write. Once the job runs again, the runs of pages are looked up in
//! the duplicates, which gives the exact length of everything, and the image
//! is written front to back.

use crate::{
    files,
    freeze::{
        Freezer,
        DEFAULT_TIMEOUT_NS, //
    },
    image::{
        emit::{
            self,
            EmitError,
            HeaderParts,
            Sink, //
        },
        format::{
            Layout,
            CHUNK_LEN,
            FEATURE_INCREMENTAL,
            HEADER_LEN, //
        },
        record::{
            self as wire,
            Kind, //
        },
    },
    mm::Pages,
    objhash::ObjHash,
    outside,
    report::{
        Item,
        Object,
        Report, //
    },
    seccomp,
    segments,
    sockets,
    task,
    usage,
    zombie, //
};
use kernel::{
    bindings,
    checkpoint::{
        gfp,
        io::{
            xxh64,
            HeldPage,
            Stream,
            Xxh64,
            BATCH, //
        },
        park::Lot,
        task::{
            fatal_signal_pending,
            random_bytes,
            Clocks,
            Pids, //
        },
        track::Uuid,
    },
    fs::File,
    page::PAGE_SIZE,
    pid_namespace::PidNamespace,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        Arc, //
    },
};
use zerocopy::{Immutable, IntoBytes};

const _: () = assert!(CHUNK_LEN as usize == BATCH * PAGE_SIZE);

/// Metadata is capped so that a reader knows what it may have to hold.
pub(crate) const MAX_META: usize = 1 << 30;

/// A part of the metadata that is collected on its own, in the order of the
/// image.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    /// File, Path and Sighand records, and those of pipes and sockets.
    Objects,
    /// Shm and FileData records with their runs.
    Shm,
    /// Mm records with their mappings and runs.
    Mm,
    /// FdTable records.
    FdTables,
    /// Fs records.
    Fs,
    /// Task records with their parts.
    Tasks,
}

const SECTIONS: usize = 6;

/// Bytes that records are emitted into.
#[derive(Default)]
pub(crate) struct Buffer {
    // Large blocks of pages that lie together would take long to be found.
    bytes: VVec<u8>,
    records: u64,
}

impl Sink for Buffer {
    type Error = Error;

    fn put(&mut self, bytes: &[u8]) -> Result {
        let len = self.bytes.len().checked_add(bytes.len()).ok_or(EFBIG)?;
        if len > MAX_META {
            return Err(EFBIG);
        }
        if len > self.bytes.capacity() {
            // Doubling keeps the cost of many records linear.
            let more = core::cmp::max(bytes.len(), self.bytes.capacity());
            self.bytes.reserve(more, gfp())?;
        }
        self.bytes.extend_from_slice(bytes, gfp())?;
        Ok(())
    }
}

impl Buffer {
    /// Adds a record.
    pub(crate) fn emit<T: IntoBytes + Immutable>(
        &mut self,
        kind: Kind,
        head: &T,
        tail: &[&[u8]],
    ) -> Result {
        self.records += 1;
        emit::record(self, kind, head, tail).map_err(|e| match e {
            EmitError::TooLong => EFBIG,
            EmitError::Sink(e) => e,
        })
    }
}

/// A running checkpoint; `struct checkpoint_ctx` in C.
pub(crate) struct Checkpoint {
    /// What is in the way.
    pub(crate) report: Report,
    /// Objects saved so far.
    pub(crate) objs: ObjHash,
    /// The namespace that is saved.
    pub(crate) ns: ARef<PidNamespace>,
    /// Where its tasks stand still.
    lot: Arc<Lot>,
    /// The place of each process among the children of its parent, by pid.
    pub(crate) ranks: RBTree<i32, u32>,
    /// Those for whom a task of the job waits in vfork(2), by pid.
    waited_for: RBTree<i32, ()>,
    /// The process groups and sessions whose numbers were looked at, by number.
    pub(crate) groups: RBTree<i32, ()>,
    /// How many tasks were saved so far.
    tasks: u32,
    /// Pid of the first one.
    root_pid: i32,
    /// When the job stood still.
    pub(crate) clocks: Clocks,
    /// Features that the image uses ([`crate::image::format`]).
    pub(crate) features: u64,
    /// xstate components that the image uses.
    pub(crate) xfeatures: u64,
    /// Page data, in the order of its owners in the image.
    pub(crate) pages: Pages,
    /// Tells the image from every other one.
    pub(crate) uuid: Uuid,
    /// If what changes is to be tracked: the image that unchanged pages are left to, zeros for
    /// none.
    pub(crate) track: Option<Uuid>,
    /// What the file being saved was met as, for reports.
    pub(crate) met_as: Object,
    /// The files that descriptors of the job stand for.
    pub(crate) files: files::Met,
    /// The sockets among them.
    pub(crate) sockets: sockets::Met,
    /// Seccomp filters.
    pub(crate) filters: seccomp::Met,
    /// System V shared memory.
    pub(crate) segments: segments::Segments,
    /// What tasks share, for which it is not known yet with whom.
    pub(crate) outside: outside::Asked,
    /// CPU time of processes, so far.
    pub(crate) cpu_times: usage::CpuTimes,
    /// The id of the file being saved.
    pub(crate) file_id: u32,
    /// What a hook of a mapping says about it.
    pub(crate) vma: crate::mm::Answer,
    /// Not on the stack, which the file system of the image needs.
    sections: KBox<[Buffer; SECTIONS]>,
}

impl Checkpoint {
    fn new(
        ns: ARef<PidNamespace>,
        lot: Arc<Lot>,
        sections: KBox<[Buffer; SECTIONS]>,
        track: Option<Uuid>,
    ) -> Self {
        let mut uuid = [0; 16];
        random_bytes(&mut uuid);
        Self {
            uuid,
            track,
            report: Report::new("checkpoint"),
            objs: ObjHash::new(),
            ranks: RBTree::new(),
            waited_for: RBTree::new(),
            groups: RBTree::new(),
            tasks: 0,
            root_pid: 0,
            ns,
            lot,
            clocks: Clocks::default(),
            features: 0,
            xfeatures: 0,
            pages: Pages::new(),
            met_as: Object::Job,
            files: files::Met::default(),
            sockets: sockets::Met::default(),
            filters: seccomp::Met::default(),
            segments: segments::Segments::default(),
            outside: outside::Asked::default(),
            cpu_times: RBTree::new(),
            file_id: 0,
            vma: crate::mm::Answer::default(),
            sections,
        }
    }

    /// `EINTR` when it is no use to go on with the capture: init is being killed, or a task of
    /// the job that waits for the end of this. What takes long asks now and then.
    pub(crate) fn go_on(&self) -> Result {
        if fatal_signal_pending() || self.lot.has_killed() {
            return Err(EINTR);
        }
        Ok(())
    }

    /// The section that records are emitted into.
    pub(crate) fn section(&mut self, section: Section) -> &mut Buffer {
        // The array has an element for each section.
        let [objects, shm, mm, fd_tables, fs, tasks] = &mut *self.sections;
        match section {
            Section::Objects => objects,
            Section::Shm => shm,
            Section::Mm => mm,
            Section::FdTables => fd_tables,
            Section::Fs => fs,
            Section::Tasks => tasks,
        }
    }

    /// Adds a record to a section.
    pub(crate) fn emit<T: IntoBytes + Immutable>(
        &mut self,
        section: Section,
        kind: Kind,
        head: &T,
        tail: &[&[u8]],
    ) -> Result {
        self.section(section).emit(kind, head, tail)
    }

    /// Counts a task.
    fn task(&mut self, pids: Pids) {
        if self.tasks == 0 {
            self.root_pid = pids.pid;
        }
        self.tasks += 1;
    }

    /// Whether a task of the job waits in vfork(2) for the process `pid`.
    pub(crate) fn is_waited_for(&self, pid: i32) -> bool {
        self.waited_for.get(&pid).is_some()
    }

    /// Captures all tasks while they stand still.
    fn capture(&mut self, freezer: &Freezer<'_>) -> Result<Captured> {
        self.clocks = Clocks::now();
        self.ranks = freezer.ranks()?;
        for child in freezer.tasks().map(|t| t.vfork()).filter(|&pid| pid != 0) {
            self.waited_for.try_create_and_insert(child, (), gfp())?;
        }
        segments::checkpoint(self)?;
        let mut leaders = RBTree::new();
        for frozen in freezer.tasks() {
            self.go_on()?;
            let pids = frozen.pids();
            if let Some(leader) = freezer.leader_gone(pids.tgid) {
                // Before the first of its threads.
                if leaders.get(&pids.tgid).is_none() {
                    leaders.try_create_and_insert(pids.tgid, (), gfp())?;
                    self.report.subject(Some(leader.subject()));
                    self.task(leader.pids());
                    zombie::checkpoint_leader(self, leader, &frozen)?;
                }
            }
            self.report.subject(Some(frozen.subject()));
            self.task(pids);
            task::checkpoint(self, &frozen)?;
        }
        let living = self.tasks;
        for zombie in freezer.zombies() {
            self.go_on()?;
            self.report.subject(Some(zombie.subject()));
            if zombie.has_threads() {
                if leaders.get(&zombie.pids().tgid).is_none() {
                    self.report.refuse(Item {
                        object: Object::Task,
                        kind: "zombie",
                        name: b"",
                        why: "all that lives of it are threads that work for the kernel",
                        remedy: "end what uses them",
                    });
                }
                continue;
            }
            self.task(zombie.pids());
            zombie::checkpoint(self, zombie)?;
        }
        self.report.subject(None);
        self.pages.release();
        outside::finish(self)?;
        segments::finish(self)?;
        files::finish(self)?;
        sockets::finish(self)?;
        if living == 0 && self.report.refusals() == 0 {
            return Err(self.report.error(
                Item {
                    object: Object::Job,
                    kind: "job",
                    name: b"",
                    why: "there is no task but init",
                    remedy: "",
                },
                ESRCH,
            ));
        }
        let shown = self.clocks.in_namespace();
        Ok(Captured {
            job: wire::Job {
                tasks: self.tasks.into(),
                root_pid: self.root_pid.into(),
                monotonic_ns: (shown.monotonic as u64).into(),
                boottime_ns: (shown.boottime as u64).into(),
                realtime_ns: (shown.realtime as u64).into(),
            },
        })
    }

    /// Writes the image; the job runs again.
    ///
    /// Not inlined: what this takes of the stack is not to be taken while it stands still.
    #[inline(never)]
    fn write(
        &mut self,
        out: &mut Stream,
        captured: &Captured,
        args: &mut bindings::checkpoint_args,
    ) -> Result {
        let mut meta = Buffer::default();
        meta.emit(Kind::Job, &captured.job, &[])?;
        if let Some(uuid) = self.track.filter(|_| self.pages.of_parent() > 0) {
            self.features |= FEATURE_INCREMENTAL;
            meta.emit(Kind::Parent, &wire::Parent { uuid }, &[])?;
        }
        for section in self.sections.iter_mut() {
            meta.put(&section.bytes)?;
            meta.records += section.records;
            *section = Buffer::default();
        }
        let records = meta.records;
        let pages = self.pages.count();
        meta.emit(
            Kind::End,
            &wire::End {
                records: records.into(),
                pages: pages.into(),
            },
            &[],
        )?;

        let data_len = pages.checked_mul(PAGE_SIZE as u64).ok_or(EFBIG)?;
        let header = emit::header(
            &HeaderParts {
                page_size: PAGE_SIZE as u32,
                features: self.features,
                xfeatures: self.xfeatures,
                meta_len: meta.bytes.len() as u64,
                meta_hash: xxh64(&meta.bytes),
                data_len,
                created_ns: captured.job.realtime_ns.get(),
                uuid: self.uuid,
                release: kernel::checkpoint::task::release(),
            },
            xxh64,
        )
        .ok_or(EFBIG)?;

        out.write(header.as_bytes())?;
        out.write(&meta.bytes)?;
        let gap = Layout::new(PAGE_SIZE as u32, meta.bytes.len() as u64, data_len)
            .ok_or(EFBIG)?
            .data_offset
            .checked_sub((HEADER_LEN + meta.bytes.len()) as u64)
            .ok_or(EFBIG)?;
        drop(meta);
        static ZEROS: [u8; 256] = [0; 256];
        let mut left = usize::try_from(gap).map_err(|_| EFBIG)?;
        while left > 0 {
            let n = left.min(ZEROS.len());
            out.write(ZEROS.get(..n).unwrap_or(&[]))?;
            left -= n;
        }

        // A chunk of the image is a batch of pages.
        let mut hashes = KVVec::<u8>::new();
        let mut batch = KVec::<HeldPage>::with_capacity(BATCH, GFP_KERNEL)?;
        let mut chunks = 0u64;
        let mut flush = |batch: &mut KVec<HeldPage>| -> Result {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            let mut hash = Xxh64::new();
            for page in batch.iter() {
                hash.update_page(page);
            }
            hashes.extend_from_slice(&hash.digest().to_le_bytes(), GFP_KERNEL_ACCOUNT)?;
            chunks += 1;
            out.write_pages(batch)?;
            batch.clear();
            Ok(())
        };
        self.pages.for_each_batch(&mut batch, &mut flush)?;
        if !batch.is_empty() {
            flush(&mut batch)?;
        }

        out.write(&hashes)?;
        out.write(emit::trailer(&header, chunks, xxh64(&hashes), xxh64).as_bytes())?;
        args.image_bytes = out.moved();
        args.pages_data = pages;
        args.pages_zero = self.pages.zero();
        args.pages_parent = self.pages.of_parent();
        args.uuid = self.uuid;
        Ok(())
    }

    /// Stops the job, takes what is to be saved and lets it go on.
    ///
    /// Not inlined: the file system that the image is written to needs what
    /// this takes of the stack.
    #[inline(never)]
    fn take(&mut self, args: &mut bindings::checkpoint_args) -> Result<Captured> {
        let timeout = match args.timeout_ns {
            0 => DEFAULT_TIMEOUT_NS,
            ns => ns,
        };
        let ns = self.ns.clone();
        let mut freezer = Freezer::new(&ns, self.lot.clone(), timeout);

        let captured = freezer.freeze(&mut self.report).and_then(|()| {
            self.capture(&freezer).inspect_err(|e| {
                if *e == EINTR {
                    freezer.given_up(&mut self.report);
                }
            })
        });
        let thawed = freezer.thaw(captured.is_ok(), &mut self.report, &mut args.freeze_ns);
        let captured = captured?;
        thawed?;

        args.tasks = u64::from(captured.job.tasks.get());
        args.root_pid = captured.job.root_pid.get();
        if self.report.refusals() > 0 {
            return Err(EOPNOTSUPP);
        }
        // What the page tables hold is looked up in the duplicates.
        crate::mm::finish(self)?;
        if self.report.refusals() > 0 {
            return Err(EOPNOTSUPP);
        }
        Ok(captured)
    }

    fn run(&mut self, out: Option<&mut Stream>, args: &mut bindings::checkpoint_args) -> Result {
        let captured = self.take(args)?;
        match out {
            Some(out) => self.write(out, &captured, args).map_err(|e| {
                self.report.error(
                    Item {
                        object: Object::Job,
                        kind: "write",
                        name: b"",
                        why: "the image could not be written to its end",
                        remedy: "look at space, limits and the reader of the descriptor",
                    },
                    e,
                )
            }),
            None => Ok(()),
        }
    }
}

/// What is known when the job is let go.
struct Captured {
    job: wire::Job,
}

/// Entry from C.
///
/// # Safety
///
/// `file` is null for a dry run, else a file whose position lock is held;
/// `args` is valid.
#[export]
unsafe extern "C" fn checkpoint_save(
    file: *mut bindings::file,
    flags: c_uint,
    args: *mut bindings::checkpoint_args,
) -> c_long {
    // SAFETY: by the requirements of this function.
    let args = unsafe { &mut *args };
    let mut out = if file.is_null() {
        None
    } else {
        // SAFETY: by the requirements of this function; the position lock is
        // held by the caller, so there is no `fdget_pos()` to race with.
        Some(unsafe { Stream::new(ARef::from(File::from_raw_file(file))) })
    };
    let Some(ns) = current!().active_pid_ns().map(ARef::from) else {
        return EPERM.to_errno() as c_long;
    };
    let track = (flags & bindings::CHECKPOINT_F_TRACK != 0).then_some(args.parent);
    let parts = || -> Result<_> { Ok((Lot::new()?, KBox::new(Default::default(), gfp())?)) };
    let (lot, sections) = match parts() {
        Ok(parts) => parts,
        Err(e) => return e.to_errno() as c_long,
    };
    let mut ctx = Checkpoint::new(ns, lot, sections, track);
    let ret = ctx.run(out.as_mut(), args);
    // Copies that are no use any more may take the room that the log needs.
    ctx.pages = Pages::new();
    args.refusals = ctx.report.refusals();
    files::write_log(args.log_fd, ctx.report.text());
    if let Some(out) = &out {
        out.commit();
    }
    match ret {
        Ok(()) => 0,
        Err(e) => e.to_errno() as c_long,
    }
}
