// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt show` and `ckpt verify`.
//!
//! An image is decoded into [`Shown`], which is what `--json` prints, and what the text is made of.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use checkpoint_image::{
    format::{Fault, FEATURE_IA32, FEATURE_INCREMENTAL},
    parse::Record,
    record::{
        self, attr_flags, file_kind, mm_flags, restart_kind, task_flags, vma_flags, vma_kind, Kind,
    },
};
use serde::Serialize;

use crate::{
    code::{code_of, coded, Code},
    image::Image,
    out::{err, out, printed},
    sys::uuid,
    view,
};

/// An image, decoded.
#[derive(Default, Serialize)]
struct Shown {
    file: PathBuf,
    bytes: u64,
    version: u32,
    arch: &'static str,
    features: Vec<&'static str>,
    xfeatures: u64,
    page_size: u32,
    kernel: String,
    created_ns: u64,
    uuid: String,
    /// The image that this one has the changes since.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    metadata_bytes: u64,
    data_bytes: u64,
    records: u64,
    root_pid: i32,
    tasks: Vec<Task>,
    memories: Vec<Memory>,
    shared_memories: Vec<Shared>,
    files: Vec<File>,
    /// Which of `files` the content that comes belongs to.
    #[serde(skip)]
    content_of: Option<usize>,
    /// Segments whose memory has yet to come, by their ids.
    #[serde(skip)]
    segments: BTreeMap<u32, Segment>,
    directories: Vec<Directory>,
    descriptor_tables: Vec<Table>,
    unknown_records: Vec<Unknown>,
}

#[derive(Default, Serialize)]
struct Task {
    pid: i32,
    tgid: i32,
    ppid: i32,
    pgid: i32,
    sid: i32,
    command: String,
    stopped: bool,
    /// What wait(2) will say of a zombie.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u32>,
    /// Those of timer_create(2), and those of setitimer(2) that run.
    timers: usize,
    /// CPU time that it has used.
    cpu_ns: u64,
    memory: u32,
    descriptor_table: u32,
    root: String,
    cwd: String,
    umask: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Credentials>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signals: Option<Signals>,
    /// What confines it: "strict", or its newest filter by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp: Option<String>,
    register_sets: Vec<RegisterSet>,
    /// What an interrupted system call goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<String>,
    /// Kinds of all records of the task.
    records: Vec<String>,
}

#[derive(Serialize)]
struct Credentials {
    uid: u32,
    gid: u32,
    euid: u32,
    egid: u32,
    groups: Vec<u32>,
    cap_permitted: u64,
    cap_effective: u64,
    no_new_privs: bool,
}

#[derive(Default, Serialize)]
struct Signals {
    blocked: u64,
    pending: u32,
}

#[derive(Serialize)]
struct RegisterSet {
    note: u32,
    name: String,
    bytes: usize,
}

#[derive(Default, Serialize)]
struct Memory {
    id: u32,
    program: String,
    ia32: bool,
    /// Heap, stack and vdso: where the mappings that /proc/PID/maps names after them are.
    #[serde(skip)]
    places: [(u64, u64, &'static str); 3],
    mapped_bytes: u64,
    /// Pages that must not be touched.
    guard_bytes: u64,
    data_bytes: u64,
    /// Pages that an earlier one has in the image, too.
    shared_bytes: u64,
    /// Pages that are as they were in the parent, and there.
    parent_bytes: u64,
    shared_with: Vec<SharedWith>,
    /// The earlier one that a restart shares pages with.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<u32>,
    maps: Vec<Map>,
}

#[derive(Serialize)]
struct SharedWith {
    memory: u32,
    bytes: u64,
}

#[derive(Serialize)]
struct Map {
    start: u64,
    end: u64,
    flags: Vec<&'static str>,
    perms: String,
    offset: u64,
    kind: &'static str,
    name: String,
    guard_bytes: u64,
    data_bytes: u64,
    shared_bytes: u64,
}

#[derive(Serialize)]
struct Shared {
    id: u32,
    bytes: u64,
    data_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sysv: Option<Segment>,
}

/// System V shared memory.
#[derive(Serialize)]
struct Segment {
    shmid: u32,
    key: u32,
    mode: u32,
    uid: u32,
}

#[derive(Serialize)]
struct File {
    id: u32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_fd: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<i32>,
    path: String,
    flags: u32,
    access: &'static str,
    offset: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Directory {
    id: u32,
    path: String,
}

#[derive(Serialize)]
struct Table {
    id: u32,
    descriptors: Vec<Descriptor>,
}

#[derive(Serialize)]
struct Descriptor {
    fd: u32,
    file: u32,
    close_on_exec: bool,
}

#[derive(Serialize)]
struct Unknown {
    kind: u16,
    bytes: usize,
}

/// Shows what is in an image.
pub fn show(path: &Path, json: bool) -> Result<ExitCode> {
    let image = Image::open(path)?;
    let shown = Shown::new(&image, path)
        .map_err(|fault| coded(Code::Image, format!("{}: {fault}", path.display())))?;
    Ok(printed(&if json {
        format!("{:#}\n", serde_json::to_value(&shown)?)
    } else {
        shown.to_string()
    }))
}

/// Checks images, all of them, and fails if one is not whole.
pub fn verify(paths: &[PathBuf]) -> Result<ExitCode> {
    let mut failed = None;
    for path in paths {
        match verify_one(path) {
            Ok(text) => {
                if !out(&format!("{}: {text}\n", path.display())) {
                    failed = failed.or(Some(Code::Failed));
                }
            }
            Err(e) => {
                err(&format!("ckpt: {e:#}\n"));
                failed = Some(code_of(&e));
            }
        }
    }
    Ok(failed.map_or(ExitCode::SUCCESS, |code| ExitCode::from(code as u8)))
}

fn verify_one(path: &Path) -> Result<String> {
    let image = Image::open(path)?;
    image.verify_data()?;
    let summary = image.summary();
    let mut shared = match summary.shared_pages {
        0 => String::new(),
        n => format!(", {}", view::count(n, "shared page")),
    };
    if summary.parent_pages != 0 {
        let n = view::count(summary.parent_pages, "page");
        shared.push_str(&format!(", {n} in its parent"));
    }
    Ok(format!(
        "whole: {}, {}, {} of data{shared}, {}",
        view::count(summary.tasks.into(), "task"),
        view::count(summary.records, "record"),
        view::count(summary.pages, "page"),
        view::bytes(image.header().image_len.get()),
    ))
}

impl Shown {
    fn new(image: &Image, path: &Path) -> Result<Self, Fault> {
        let header = image.header();
        let mut shown = Shown {
            file: path.into(),
            bytes: header.image_len.get(),
            version: header.version.get(),
            arch: "x86_64",
            xfeatures: header.xfeatures.get(),
            page_size: header.page_size.get(),
            kernel: view::name(header.release()),
            created_ns: header.created_ns.get(),
            uuid: uuid::text(&header.uuid),
            metadata_bytes: header.meta_len.get(),
            data_bytes: header.data_len.get(),
            records: image.summary().records,
            ..Shown::default()
        };
        for (bit, name) in [(FEATURE_IA32, "ia32"), (FEATURE_INCREMENTAL, "a parent")] {
            if header.features.get() & bit != 0 {
                shown.features.push(name);
            }
        }
        let mut fs = Vec::new();
        let meta = image
            .meta()
            .map_err(|_| Fault::new(0, "metadata has changed"))?;
        for raw in meta.raw_records() {
            match raw.known() {
                Some(record) => shown.add(&record, &mut fs)?,
                None => shown.unknown_records.push(Unknown {
                    kind: raw.kind,
                    bytes: raw.head.len() + raw.tail.len(),
                }),
            }
        }
        Ok(shown)
    }

    /// Takes the next record. All references in it have been checked.
    fn add(&mut self, r: &Record<'_>, fs: &mut Vec<record::Fs>) -> Result<(), Fault> {
        match r.kind {
            Kind::Job => self.root_pid = r.head::<record::Job>()?.root_pid.get(),
            Kind::Parent => {
                let parent: record::Parent = r.head()?;
                self.parent = Some(uuid::text(&parent.uuid));
            }
            Kind::File => self.files.push(file(r)?),
            Kind::Path => self.directories.push(Directory {
                id: r.head::<record::Path>()?.id.get(),
                path: view::name(r.tail()),
            }),
            Kind::Shm => {
                let shm: record::Shm = r.head()?;
                self.content_of = None;
                let id = shm.id.get();
                self.shared_memories.push(Shared {
                    id,
                    bytes: shm.size.get(),
                    data_bytes: 0,
                    sysv: self.segments.remove(&id),
                });
            }
            Kind::Segment => {
                let segment: record::Segment = r.head()?;
                let shown = Segment {
                    shmid: segment.shmid.get(),
                    key: segment.key.get(),
                    mode: segment.mode.get(),
                    uid: segment.uid.get(),
                };
                self.segments.insert(segment.id.get(), shown);
            }
            Kind::FileData => {
                let data: record::FileData = r.head()?;
                let id = i32::try_from(data.id.get()).ok();
                self.content_of = self.files.iter().position(|file| file.deleted == id);
                if let Some(file) = self.content_of.and_then(|at| self.files.get_mut(at)) {
                    file.data_bytes = Some(0);
                }
            }
            Kind::Mm => {
                let mm: record::Mm = r.head()?;
                self.memories.push(Memory {
                    id: mm.id.get(),
                    program: self.file_name(mm.exe_file.get()),
                    ia32: mm.flags.get() & mm_flags::IA32 != 0,
                    base: Some(mm.base.get()).filter(|&id| id != 0),
                    places: [
                        (mm.start_brk.get(), mm.brk.get(), "[heap]"),
                        (
                            mm.start_stack.get(),
                            mm.start_stack.get().saturating_add(1),
                            "[stack]",
                        ),
                        (mm.vdso.get(), mm.vdso.get().saturating_add(1), "[vdso]"),
                    ],
                    ..Memory::default()
                });
            }
            Kind::Vma => {
                let map = self.map(r)?;
                if let Some(memory) = self.memories.last_mut() {
                    memory.mapped_bytes += map.end - map.start;
                    memory.maps.push(map);
                }
            }
            Kind::Guards => self.guards(r.array()?),
            Kind::SharedRuns => self.shared_runs(r.array()?),
            Kind::ParentRuns => self.parent_runs(r.array()?),
            Kind::Runs => self.runs(r.array()?),
            Kind::FdTable => {
                let table: record::FdTable = r.head()?;
                let descriptor = |fd: &record::Fd| Descriptor {
                    fd: fd.fd.get(),
                    file: fd.file.get(),
                    close_on_exec: fd.flags.get() & 1 != 0,
                };
                self.descriptor_tables.push(Table {
                    id: table.id.get(),
                    descriptors: r.array()?.iter().map(descriptor).collect(),
                });
            }
            Kind::Fs => fs.push(r.head()?),
            Kind::Task => {
                let task = self.task(r, fs)?;
                self.tasks.push(task);
            }
            Kind::Sighand | Kind::Ldt | Kind::VmaPolicy | Kind::End => {}
            _ => {
                if let Some(task) = self.tasks.last_mut() {
                    task.add(r)?;
                }
            }
        }
        Ok(())
    }

    fn file_name(&self, id: u32) -> String {
        let file = self.files.get((id as usize).wrapping_sub(1));
        file.map_or(String::new(), |file| file.path.clone())
    }

    fn map(&self, r: &Record<'_>) -> Result<Map, Fault> {
        let vma: record::Vma = r.head()?;
        let flags = vma.flags.get();
        let shared = flags & vma_flags::MAYSHARE != 0;
        let perm = |bit, c| if flags & bit != 0 { c } else { '-' };
        let (kind, mut name) = match vma.kind.get() {
            vma_kind::FILE => ("file", self.file_name(vma.object.get())),
            vma_kind::SHM => ("shm", format!("shared memory {}", vma.object.get())),
            vma_kind::VDSO => ("vdso", String::new()),
            _ => ("anon", String::new()),
        };
        if !r.tail().is_empty() {
            name = view::name(r.tail());
        } else if name.is_empty() {
            let place = |(start, end, _): &&(u64, u64, &str)| {
                *start < vma.end.get() && *end > vma.start.get()
            };
            let memory = self.memories.last();
            name = match memory.and_then(|memory| memory.places.iter().find(place)) {
                Some((_, _, name)) => (*name).into(),
                None if kind == "vdso" => "[vvar]".into(),
                None => name,
            };
        }
        Ok(Map {
            start: vma.start.get(),
            end: vma.end.get(),
            flags: FLAGS
                .iter()
                .filter(|(bit, _)| flags & bit != 0)
                .map(|(_, name)| *name)
                .chain((vma.huge_shift.get() != 0).then_some("ht"))
                .collect(),
            perms: [
                perm(vma_flags::READ, 'r'),
                perm(vma_flags::WRITE, 'w'),
                perm(vma_flags::EXEC, 'x'),
                if shared { 's' } else { 'p' },
            ]
            .iter()
            .collect(),
            offset: vma.offset.get(),
            kind,
            name,
            guard_bytes: 0,
            data_bytes: 0,
            shared_bytes: 0,
        })
    }

    /// Counts guards of the last memory to its mappings.
    fn guards(&mut self, runs: &[record::Run]) {
        let page_size = u64::from(self.page_size);
        let Some(memory) = self.memories.last_mut() else {
            return;
        };
        for run in runs {
            let len = u64::from(run.pages.get()) * page_size;
            memory.guard_bytes += len;
            if let Some(map) = memory.map_at(run.start.get()) {
                map.guard_bytes += len;
            }
        }
    }

    /// Counts runs that the last memory shares to its mappings, and to those it shares them with.
    fn shared_runs(&mut self, runs: &[record::SharedRun]) {
        let page_size = u64::from(self.page_size);
        let Some(memory) = self.memories.last_mut() else {
            return;
        };
        let mut with = BTreeMap::new();
        for run in runs {
            let len = u64::from(run.pages.get()) * page_size;
            memory.shared_bytes += len;
            *with.entry(run.mm.get()).or_insert(0) += len;
            if let Some(map) = memory.map_at(run.start.get()) {
                map.shared_bytes += len;
            }
        }
        memory.shared_with = with
            .into_iter()
            .map(|(memory, bytes)| SharedWith { memory, bytes })
            .collect();
    }

    /// Counts runs that the last memory has from the parent.
    fn parent_runs(&mut self, runs: &[record::Run]) {
        let page_size = u64::from(self.page_size);
        if let Some(memory) = self.memories.last_mut() {
            memory.parent_bytes += runs
                .iter()
                .map(|run| u64::from(run.pages.get()) * page_size)
                .sum::<u64>();
        }
    }

    /// Counts runs to the mappings that they are in, or to the last shared memory.
    fn runs(&mut self, runs: &[record::Run]) {
        let page_size = u64::from(self.page_size);
        for run in runs {
            let len = u64::from(run.pages.get()) * page_size;
            let file = self.content_of.and_then(|at| self.files.get_mut(at));
            match (
                self.memories.last_mut(),
                file,
                self.shared_memories.last_mut(),
            ) {
                (Some(memory), _, _) => {
                    memory.data_bytes += len;
                    if let Some(map) = memory.map_at(run.start.get()) {
                        map.data_bytes += len;
                    }
                }
                (None, Some(file), _) => *file.data_bytes.get_or_insert(0) += len,
                (None, None, Some(shared)) => shared.data_bytes += len,
                (None, None, None) => {}
            }
        }
    }

    fn task(&self, r: &Record<'_>, fs: &[record::Fs]) -> Result<Task, Fault> {
        let task: record::Task = r.head()?;
        let fs = fs.get((task.fs.get() as usize).wrapping_sub(1));
        let directory = |id: u32| {
            let directory = self.directories.get((id as usize).wrapping_sub(1));
            directory.map_or(String::new(), |d| d.path.clone())
        };
        Ok(Task {
            pid: task.pid.get(),
            tgid: task.tgid.get(),
            ppid: task.ppid.get(),
            pgid: task.pgid.get(),
            sid: task.sid.get(),
            command: view::name(task.comm.split(|&b| b == 0).next().unwrap_or_default()),
            stopped: task.flags.get() & (task_flags::STOPPED | task_flags::GROUP_STOPPED) != 0,
            memory: task.mm.get(),
            descriptor_table: task.files.get(),
            root: fs.map_or(String::new(), |fs| directory(fs.root.get())),
            cwd: fs.map_or(String::new(), |fs| directory(fs.cwd.get())),
            umask: fs.map_or(0, |fs| fs.umask.get()),
            ..Task::default()
        })
    }
}

impl Memory {
    /// The mapping that `address` is in; another one, or none, if it is in no mapping.
    fn map_at(&mut self, address: u64) -> Option<&mut Map> {
        let at = self.maps.partition_point(|map| map.end <= address);
        self.maps.get_mut(at)
    }
}

impl Task {
    /// Takes a record that belongs to the task.
    fn add(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        self.records.push(format!("{:?}", r.kind));
        match r.kind {
            Kind::Regset => {
                let note = r.head::<record::Regset>()?.note.get();
                self.register_sets.push(RegisterSet {
                    note,
                    name: note_name(note),
                    bytes: r.tail().len(),
                });
            }
            Kind::Creds => {
                let creds: record::Creds = r.head()?;
                let groups = r.array::<zerocopy::little_endian::U32>()?;
                self.credentials = Some(Credentials {
                    uid: creds.uid.get(),
                    gid: creds.gid.get(),
                    euid: creds.euid.get(),
                    egid: creds.egid.get(),
                    groups: groups.iter().map(|group| group.get()).collect(),
                    cap_permitted: creds.cap_permitted.get(),
                    cap_effective: creds.cap_effective.get(),
                    no_new_privs: creds.no_new_privs.get() != 0,
                });
            }
            Kind::Signals => {
                let blocked = r.head::<record::Signals>()?.blocked.get();
                self.signals.get_or_insert_with(Signals::default).blocked = blocked;
            }
            Kind::Pending => {
                let count = r.head::<record::Pending>()?.count.get();
                self.signals.get_or_insert_with(Signals::default).pending += count;
            }
            Kind::Attr => {
                let attr: record::Attr = r.head()?;
                let strict = attr.flags.get() & attr_flags::SECCOMP_STRICT != 0;
                self.seccomp = match attr.seccomp.get() {
                    0 if strict => Some("strict".into()),
                    0 => None,
                    id => Some(format!("filter {id}")),
                };
            }
            Kind::TimerSignals => {
                let count = r.array::<record::TimerSignal>()?.len();
                self.signals.get_or_insert_with(Signals::default).pending += count as u32;
            }
            Kind::Timers => {
                let timers: record::Timers = r.head()?;
                let runs = |t: &&record::Itimer| t.flags.get() & record::ITIMER_ARMED != 0;
                let itimers = [timers.real, timers.virt, timers.prof];
                self.timers =
                    itimers.iter().filter(runs).count() + r.array::<record::Timer>()?.len();
            }
            Kind::TaskUsage => {
                let own = r.head::<record::TaskUsage>()?.own;
                self.cpu_ns = own.utime_ns.get().saturating_add(own.stime_ns.get());
            }
            Kind::Exit => self.exit_status = Some(r.head::<record::Exit>()?.status.get()),
            Kind::RestartBlock => {
                let block: record::RestartBlock = r.head()?;
                let call = match block.kind.get() {
                    restart_kind::NANOSLEEP | restart_kind::ALARM | restart_kind::CPU => {
                        "nanosleep"
                    }
                    restart_kind::POLL => "poll",
                    restart_kind::FUTEX => "futex",
                    restart_kind::EPOLL => "epoll_wait",
                    restart_kind::SEM => "semtimedop",
                    restart_kind::SIGWAIT => "sigtimedwait",
                    restart_kind::CALL => "system call",
                    _ => return Ok(()),
                };
                let left = match block.timed.get() {
                    0 => "no time-out".into(),
                    _ => format!("{} left", view::time(block.left_ns.get())),
                };
                self.waits = Some(format!("{call}, {left}"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Flags of a mapping by their names in /proc/PID/smaps, where they have one.
const FLAGS: [(u64, &str); 25] = [
    (vma_flags::READ, "rd"),
    (vma_flags::WRITE, "wr"),
    (vma_flags::EXEC, "ex"),
    (vma_flags::SHARED, "sh"),
    (vma_flags::MAYREAD, "mr"),
    (vma_flags::MAYWRITE, "mw"),
    (vma_flags::MAYEXEC, "me"),
    (vma_flags::MAYSHARE, "ms"),
    (vma_flags::GROWSDOWN, "gd"),
    (vma_flags::LOCKED, "lo"),
    (vma_flags::LOCKONFAULT, "lf"),
    (vma_flags::SEQ_READ, "sr"),
    (vma_flags::RAND_READ, "rr"),
    (vma_flags::DONTCOPY, "dc"),
    (vma_flags::ACCOUNT, "ac"),
    (vma_flags::NORESERVE, "nr"),
    (vma_flags::DONTDUMP, "dd"),
    (vma_flags::WIPEONFORK, "wf"),
    (vma_flags::HUGEPAGE, "hg"),
    (vma_flags::NOHUGEPAGE, "nh"),
    (vma_flags::MERGEABLE, "mg"),
    (vma_flags::SOFTDIRTY, "sd"),
    (vma_flags::DROPPABLE, "dp"),
    (vma_flags::SEALED, "sl"),
    (vma_flags::UNRESERVED, "ur"),
];

fn note_name(note: u32) -> String {
    let name = match note {
        1 => "PRSTATUS",
        2 => "PRFPREG",
        0x200 => "386_TLS",
        0x201 => "386_IOPERM",
        0x202 => "X86_XSTATE",
        0x204 => "X86_SHSTK",
        0x205 => "X86_XSAVE_LAYOUT",
        _ => return format!("note {note:#x}"),
    };
    name.into()
}

fn file(r: &Record<'_>) -> Result<File, Fault> {
    let file: record::File = r.head()?;
    let kind = file.kind.get();
    let number = |is: bool| is.then_some(file.init_fd.get());
    let deleted = matches!(
        kind,
        file_kind::DELETED | file_kind::LINKABLE | file_kind::MEMFD | file_kind::REOPENED
    );
    Ok(File {
        id: file.id.get(),
        kind: match kind {
            file_kind::INIT_FD => "init",
            file_kind::DELETED | file_kind::LINKABLE => "deleted",
            file_kind::MEMFD | file_kind::REOPENED => "memfd",
            file_kind::PIPE => "pipe",
            file_kind::FIFO => "fifo",
            file_kind::SOCKET => "socket",
            file_kind::EVENTFD => "eventfd",
            file_kind::SEGMENT => "sysv-shm",
            file_kind::PROC => "proc",
            _ => "path",
        },
        init_fd: number(kind == file_kind::INIT_FD),
        deleted: number(deleted),
        path: view::name(r.tail()),
        flags: file.flags.get(),
        access: match file.flags.get() as i32 & libc::O_ACCMODE {
            libc::O_RDONLY => "r",
            libc::O_WRONLY => "w",
            libc::O_RDWR => "rw",
            _ => "-",
        },
        offset: file.pos.get(),
        bytes: file.identity.size.get(),
        data_bytes: None,
    })
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image    {}", self.file.display())?;
        writeln!(
            f,
            "size     {}: {} of metadata, {} of page data",
            view::bytes(self.bytes),
            view::bytes(self.metadata_bytes),
            view::bytes(self.data_bytes)
        )?;
        writeln!(f, "taken    {}", view::date(self.created_ns))?;
        let features = match self.features.join(", ") {
            features if features.is_empty() => features,
            features => format!(", with {features}"),
        };
        writeln!(
            f,
            "by       Linux {} on {}{features}, format {}, xstate components {:#x}",
            self.kernel, self.arch, self.version, self.xfeatures
        )?;
        writeln!(f, "uuid     {}", self.uuid)?;
        if let Some(parent) = &self.parent {
            writeln!(f, "parent   {parent}: what has not changed since is there")?;
        }

        writeln!(f, "\ntasks ({})", self.tasks.len())?;
        writeln!(
            f,
            "    PID   TGID   PPID   PGID    SID   UID   GID  MEMORY  COMMAND"
        )?;
        for task in &self.tasks {
            let (uid, gid) = match &task.credentials {
                Some(credentials) => (credentials.euid, credentials.egid),
                None => (0, 0),
            };
            write!(
                f,
                "{:>7}{:>7}{:>7}{:>7}{:>7}{uid:>6}{gid:>6}{:>8}  {}",
                task.pid, task.tgid, task.ppid, task.pgid, task.sid, task.memory, task.command
            )?;
            if task.stopped {
                write!(f, " (stopped)")?;
            }
            if task.exit_status.is_some() {
                write!(f, " (zombie)")?;
            }
            if let Some(waits) = &task.waits {
                write!(f, " (in {waits})")?;
            }
            writeln!(f)?;
            writeln!(
                f,
                "        in {}, root {}, umask {:03o}",
                task.cwd, task.root, task.umask
            )?;
        }

        for memory in &self.memories {
            write!(
                f,
                "\nmemory {}: {}{}, {} mapped",
                memory.id,
                memory.program,
                if memory.ia32 { " (ia32)" } else { "" },
                view::bytes(memory.mapped_bytes)
            )?;
            if memory.guard_bytes != 0 {
                write!(f, ", {} of guards", view::bytes(memory.guard_bytes))?;
            }
            write!(f, ", {} in the image", view::bytes(memory.data_bytes))?;
            if memory.parent_bytes != 0 {
                write!(f, ", {} in its parent", view::bytes(memory.parent_bytes))?;
            }
            for with in &memory.shared_with {
                let shared = view::bytes(with.bytes);
                write!(f, ", {shared} shared with memory {}", with.memory)?;
            }
            if let Some(base) = memory.base {
                write!(f, ", base memory {base}")?;
            }
            writeln!(f)?;
            for map in &memory.maps {
                let addresses = format!("{:x}-{:x}", map.start, map.end);
                let data = match map.data_bytes {
                    0 => "-".into(),
                    n => view::bytes(n),
                };
                let line = format!(
                    "  {addresses:<33} {} {:08x} {data:>10}  {}",
                    map.perms, map.offset, map.name
                );
                write!(f, "{}", line.trim_end())?;
                if map.shared_bytes != 0 {
                    write!(f, " ({} shared)", view::bytes(map.shared_bytes))?;
                }
                if map.guard_bytes != 0 {
                    write!(f, " ({} of guards)", view::bytes(map.guard_bytes))?;
                }
                writeln!(f)?;
            }
        }
        if !self.shared_memories.is_empty() {
            writeln!(f, "\nshared memory")?;
        }
        for shared in &self.shared_memories {
            let (size, data) = (view::bytes(shared.bytes), view::bytes(shared.data_bytes));
            write!(f, "{:>5}  {size}, {data} in the image", shared.id)?;
            if let Some(s) = &shared.sysv {
                let (shmid, key) = (s.shmid, s.key);
                write!(
                    f,
                    ", System V, shmid {shmid}, key {key:#x}, mode {:o}",
                    s.mode
                )?;
            }
            writeln!(f)?;
        }

        writeln!(f, "\nopen files ({})", self.files.len())?;
        for file in &self.files {
            let what = match file.init_fd {
                Some(fd) if file.path.is_empty() => format!("init's descriptor {fd}"),
                Some(fd) => format!("init's descriptor {fd} (was {})", file.path),
                None if file.deleted.is_some() => format!("{} (deleted)", file.path),
                None => file.path.clone(),
            };
            writeln!(
                f,
                "{:>5}  {:<2} at {:>10}  {what}",
                file.id, file.access, file.offset
            )?;
        }
        for table in &self.descriptor_tables {
            write!(f, "descriptors {}:", table.id)?;
            for fd in &table.descriptors {
                let mark = if fd.close_on_exec { " (cloexec)" } else { "" };
                write!(f, " {} = file {}{mark};", fd.fd, fd.file)?;
            }
            writeln!(f)?;
        }
        for unknown in &self.unknown_records {
            let kind = unknown.kind;
            writeln!(
                f,
                "a record of kind {kind}, which is not known here, {} bytes",
                unknown.bytes
            )?;
        }
        Ok(())
    }
}
