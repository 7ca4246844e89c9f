// SPDX-License-Identifier: GPL-2.0-only

//! What the records of an image mean together.
//!
//! [`Meta::new`](super::parse::Meta::new) has seen to the framing; [`verify`] sees to the rest that
//! can be known without a machine to restore on: the order of the records, ids that are defined
//! before they are used, mappings and runs that are sorted and within bounds, counts and sums that
//! agree, tasks that have all they need, strings that are strings, flags and enumerations with
//! known values only. restart(2) runs it before it creates anything, `ckpt show` and `ckpt verify`
//! run the same.
//!
//! It takes one pass and no memory: ids count from 1 within their kind, so that "defined before
//! used" is a comparison; and runs and mappings are sorted, so that "within a mapping" is a merge.
//! What takes memory to see is seen later: whether pages that address spaces share are in the image
//! is for [`check_shared`], which whoever runs [`verify`] runs next; and pids may repeat as far as
//! both go, restart(2) looks for that before it creates a task.

use super::{
    format::{
        is_aligned,
        Fault,
        Header,
        FEATURE_IA32,
        FEATURE_INCREMENTAL, //
    },
    parse::{
        Meta,
        RawRecords,
        Record, //
    },
    record::{
        attr_flags,
        file_kind,
        membarrier,
        mm_flags,
        restart_kind,
        socket_data_flags,
        socket_flags,
        socket_option,
        task_flags,
        thread_x86,
        timer_flags,
        vma_flags,
        vma_kind,
        Attr,
        Creds,
        DebugRegs,
        DeletedTimer,
        End,
        Eventfd,
        Exit,
        Fd,
        FdTable,
        Fifo,
        File,
        FileData,
        Fs,
        Group,
        Identity,
        Job,
        Kind,
        LdtEntry,
        Mm,
        NumaPolicy,
        Parent,
        ParentRuns,
        Path,
        Pending,
        Pipe,
        PipeData,
        ProcText,
        Regset,
        RestartBlock,
        Rlimit,
        Run,
        Sched,
        Seccomp,
        SeccompInsn,
        Segment,
        SharedRun,
        Shm,
        SigAction,
        Sighand,
        Signals,
        Socket,
        SocketData,
        SocketOption,
        Task,
        TaskUsage,
        ThreadX86,
        Timer,
        TimerSignal,
        Timers,
        Usage,
        UserPtrs,
        Vma,
        DISPATCH_INCLUSIVE,
        EVENTFD_SEMAPHORE,
        FIFO_WAITS,
        FLAGS_OF_PROCESS,
        ITIMER_ARMED,
        MAX_UTIL,
        MPOL_BIND,
        MPOL_DEFAULT,
        MPOL_NUMA_BALANCING,
        MPOL_PREFERRED_MANY,
        MPOL_RELATIVE_NODES,
        MPOL_STATIC_NODES,
        MPOL_WEIGHTED_INTERLEAVE,
        PIPE_PACKET,
        RSEQ_SLICE,
        SCHED_UTIL_MAX,
        SCHED_UTIL_MIN,
        SECCOMP_LOG,
        SECCOMP_WAIT_KILLABLE_RECV,
        SHM_NORESERVE,
        SHM_SEGMENT,
        SIGINFO_LEN,
        SIGNALS,
        SIGNALS_SAVED,
        SOCKET_DGRAM,
        SOCKET_RESET,
        SOCKET_SEQPACKET,
        SOCKET_STREAM,
        SOCKET_UNIX,
        SPECULATION_CONTROLS,
        SPECULATION_VALUES, //
    },
};

/// Bytes of a path, without a NUL; PATH_MAX counts one.
pub const MAX_PATH: usize = 4095;
/// Bytes that are left to be read of what a process says of itself.
pub const MAX_TEXT: usize = 1 << 20;
/// Bytes of the name of a mapping.
pub const MAX_VMA_NAME: usize = 255;
/// Bytes of the name of a memfd.
const MAX_MEMFD_NAME: usize = 255;
/// How the names of memfds begin.
const MEMFD_NAME: &[u8] = b"memfd:";
/// Permissions, SHM_DEST and SHM_LOCKED.
const SEGMENT_MODE: u32 = 0o3777;
/// F_SEAL_SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE, EXEC.
const SEALS: u32 = 0x3f;
/// SHM_LOCKED.
const SEGMENT_LOCKED: u32 = 0o2000;
/// Logarithm of the size of the smallest huge pages that there may be.
const MIN_HUGE_SHIFT: u32 = 13;
/// And of the largest ones.
const MAX_HUGE_SHIFT: u32 = 47;
/// Bytes of an auxiliary vector.
pub const MAX_AUXV: usize = 4096;
/// Entries of an LDT.
pub const MAX_LDT: u32 = 8192;
/// Register sets of a task.
pub const MAX_REGSETS: usize = 16;
/// Bytes of a register set.
pub const MAX_REGSET: usize = 1 << 16;
/// Pid namespaces within each other, below that of the job.
pub const MAX_PID_NS: usize = 32;
/// Bytes of a message in a socket, or of a piece of a stream.
pub const MAX_SOCKET_DATA: usize = 8 << 20;
/// Supplementary groups: NGROUPS_MAX.
pub const MAX_GROUPS: usize = 1 << 16;
/// Resource limits.
pub const MAX_RLIMITS: usize = 64;
/// Bytes of a CPU mask.
pub const MAX_CPU_MASK: usize = 1 << 16;
/// Addresses, offsets and lengths stay below this.
pub const MAX_OFFSET: u64 = i64::MAX as u64;
/// Instructions of a seccomp filter: BPF_MAXINSNS.
pub const MAX_INSNS: usize = 4096;
/// Bytes of a set of nodes.
pub const MAX_NODE_MASK: usize = 128;
/// Slots of a futex hash.
pub const MAX_FUTEX_SLOTS: u32 = 1 << 31;
/// Protection keys.
pub const MAX_PKEYS: u32 = 16;

/// What every task has, once each, and what is said of one without.
const PARTS: [(Kind, &str); 8] = [
    (Kind::ThreadX86, "task without ThreadX86 record"),
    (Kind::Signals, "task without Signals record"),
    (Kind::Creds, "task without Creds record"),
    (Kind::RestartBlock, "task without RestartBlock record"),
    (Kind::Attr, "task without Attr record"),
    (Kind::Sched, "task without Sched record"),
    (Kind::UserPtrs, "task without UserPtrs record"),
    (Kind::TaskUsage, "task without TaskUsage record"),
];

/// What a process may have beside what every task has, and that its first thread stands for even
/// when it is gone.
const PARTS_OF_PROCESS: [Kind; 3] = [Kind::Timers, Kind::DeletedTimers, Kind::TimerSignals];

/// What there is in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records, of unknown kinds too.
    pub records: u64,
    /// Open file descriptions.
    pub files: u32,
    /// Working and root directories.
    pub paths: u32,
    /// Tables of signal actions.
    pub sighands: u32,
    /// Shared anonymous memories.
    pub shms: u32,
    /// Deleted files, whose content is in the image.
    pub deleted: u32,
    /// Pipes.
    pub pipes: u32,
    /// Seccomp filters.
    pub seccomps: u32,
    /// Eventfds.
    pub eventfds: u32,
    /// Files of processes in proc that were read from.
    pub proc_texts: u32,
    /// Segments of System V shared memory, whose memory is among the shared anonymous memories.
    pub segments: u32,
    /// Sockets.
    pub sockets: u32,
    /// Address spaces.
    pub mms: u32,
    /// Mappings.
    pub vmas: u64,
    /// Tables of file descriptors.
    pub fd_tables: u32,
    /// File descriptors.
    pub fds: u64,
    /// Pairs of working and root directory.
    pub fs: u32,
    /// Tasks.
    pub tasks: u32,
    /// Runs of pages.
    pub runs: u64,
    /// Pages of data.
    pub pages: u64,
    /// Runs of pages that address spaces share with earlier ones.
    pub shared_runs: u64,
    /// Pages in those.
    pub shared_pages: u64,
    /// Pages whose content is in the parent.
    pub parent_pages: u64,
    /// Bytes of address space mapped.
    pub mapped: u64,
}

/// Checks all of the metadata, which belongs to `header`.
pub fn verify(meta: &Meta<'_>, header: &Header) -> Result<Summary, Fault> {
    let mut state = Verify {
        header,
        stage: Stage::Start,
        owner: Owner::None,
        job: None,
        parts: 0,
        notes: [0; MAX_REGSETS],
        regsets: 0,
        incremental: false,
        contents: 0,
        io_contexts: 0,
        eventfd_files: 0,
        proc_files: 0,
        deleted_timers: 0,
        sem_undos: 0,
        core_cookies: 0,
        sum: Summary::default(),
    };
    let mut records = meta.raw_records();
    while let Some(raw) = records.next() {
        if let Some(record) = raw.known() {
            state.record(&record, &records)?;
        }
        state.sum.records = state.sum.records.saturating_add(1);
        if state.stage == Stage::End {
            break;
        }
    }
    if let Some(raw) = records.next() {
        return Err(Fault::new(raw.offset, "record after the last one"));
    }
    if state.stage != Stage::End {
        return Err(Fault::new(meta.end(), "last record is missing"));
    }
    Ok(state.sum)
}

/// How far the grammar has come. Records of a stage may follow those of the same stage or of an
/// earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Start,
    Job,
    Objects,
    Shm,
    Mm,
    FdTable,
    Fs,
    Task,
    End,
}

/// What the records that belong to another one belong to.
#[derive(Clone, Debug)]
enum Owner<'a> {
    None,
    /// A Shm or FileData record, and its length.
    Shm(u64),
    /// A Pipe or Fifo record, and the bytes there is room for.
    Pipe(u64),
    Mm(MmState<'a>),
    /// A Task record: where it stands, and what its parts are checked by.
    Task {
        offset: u64,
        leader: bool,
        life: Life,
        /// Whether it is in a pid namespace below that of the job.
        nested: bool,
    },
}

/// Whether a task lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Living,
    /// It has exited, and others of its process live.
    LeaderGone,
    Zombie,
}

/// What there is to know of a Mm record while its children are looked at.
#[derive(Clone, Debug)]
struct MmState<'a> {
    /// Offset of the record.
    offset: u64,
    /// What follows it.
    children: RawRecords<'a>,
    /// How many mappings it has announced and not had.
    missing: u32,
    /// End of the last mapping.
    end: u64,
    ldt: bool,
    /// A policy of the last mapping may follow.
    may_have_policy: bool,
    /// Its guards, if the record was there.
    guards: Option<&'a [Run]>,
    /// What it shares, if the record was there.
    shared: Option<&'a [SharedRun]>,
    /// What it has from the parent, if the record was there.
    of_parent: Option<&'a [Run]>,
}

struct Verify<'a> {
    header: &'a Header,
    stage: Stage,
    owner: Owner<'a>,
    job: Option<Job>,
    /// Kinds that the current task has had, a bit each.
    parts: u64,
    /// Register sets that it has had.
    notes: [u32; MAX_REGSETS],
    regsets: usize,
    /// The Parent record was there.
    incremental: bool,
    /// FileData records.
    contents: u32,
    /// I/O contexts that tasks share.
    io_contexts: u32,
    /// Eventfds that have had their File record.
    eventfd_files: u32,
    /// Files of processes that have had theirs.
    proc_files: u32,
    /// Deleted timers of the current task whose signals have not come yet.
    deleted_timers: usize,
    /// Lists of semaphore operations to undo that tasks share.
    sem_undos: u32,
    /// Core scheduling cookies.
    core_cookies: u32,
    sum: Summary,
}

impl<'a> Verify<'a> {
    /// Takes the next record; `after` are those behind it.
    fn record(&mut self, r: &Record<'a>, after: &RawRecords<'a>) -> Result<(), Fault> {
        match r.kind {
            Kind::Job => self.enter(r, Stage::Job).and_then(|()| self.job(r)),
            Kind::Parent => self.parent(r),
            Kind::File => self.enter(r, Stage::Objects).and_then(|()| self.file(r)),
            Kind::Path => self.enter(r, Stage::Objects).and_then(|()| self.path(r)),
            Kind::Sighand => self.enter(r, Stage::Objects).and_then(|()| self.sighand(r)),
            Kind::Pipe => self.enter(r, Stage::Objects).and_then(|()| self.pipe(r)),
            Kind::Fifo => self.enter(r, Stage::Objects).and_then(|()| self.fifo(r)),
            Kind::PipeData => self.pipe_data(r),
            Kind::Eventfd => self.enter(r, Stage::Objects).and_then(|()| self.eventfd(r)),
            Kind::ProcText => self
                .enter(r, Stage::Objects)
                .and_then(|()| self.proc_text(r)),
            Kind::Segment => self.enter(r, Stage::Objects).and_then(|()| self.segment(r)),
            Kind::Seccomp => self.enter(r, Stage::Objects).and_then(|()| self.seccomp(r)),
            Kind::Socket => self.enter(r, Stage::Objects).and_then(|()| self.socket(r)),
            Kind::SocketData => self
                .enter(r, Stage::Objects)
                .and_then(|()| self.socket_data(r)),
            Kind::Group => self.enter(r, Stage::Objects).and_then(|()| group(r)),
            Kind::Shm => self.enter(r, Stage::Shm).and_then(|()| self.shm(r)),
            Kind::FileData => self.enter(r, Stage::Shm).and_then(|()| self.file_data(r)),
            Kind::Mm => self.enter(r, Stage::Mm).and_then(|()| self.mm(r, after)),
            Kind::Ldt => self.ldt(r),
            Kind::Vma => self.vma(r),
            Kind::VmaPolicy => self.vma_policy(r),
            Kind::Guards => self.guards(r),
            Kind::SharedRuns => self.shared_runs(r),
            Kind::ParentRuns => self.parent_runs(r),
            Kind::Runs => self.runs(r),
            Kind::FdTable => self
                .enter(r, Stage::FdTable)
                .and_then(|()| self.fd_table(r)),
            Kind::Fs => self.enter(r, Stage::Fs).and_then(|()| self.fs(r)),
            Kind::Task => self.enter(r, Stage::Task).and_then(|()| self.task(r)),
            Kind::End => self.enter(r, Stage::End).and_then(|()| self.end(r)),
            Kind::Regset
            | Kind::DebugRegs
            | Kind::ThreadX86
            | Kind::Signals
            | Kind::Pending
            | Kind::Creds
            | Kind::Rlimits
            | Kind::RestartBlock
            | Kind::Attr
            | Kind::Sched
            | Kind::UserPtrs
            | Kind::Exit
            | Kind::Timers
            | Kind::DeletedTimers
            | Kind::TimerSignals
            | Kind::TaskUsage
            | Kind::NumaPolicy => self.task_part(r),
        }
    }

    /// Goes on to `stage` for record `r`, which begins something of its own.
    fn enter(&mut self, r: &Record<'_>, stage: Stage) -> Result<(), Fault> {
        let once = matches!(stage, Stage::Job | Stage::End);
        if (self.stage == Stage::Start) != (stage == Stage::Job)
            || stage < self.stage
            || (once && stage == self.stage)
        {
            return Err(out_of_order(r));
        }
        self.leave_mm()?;
        self.leave_task()?;
        self.owner = Owner::None;
        self.stage = stage;
        Ok(())
    }

    /// Sees that the Mm record that ends here has had all of its mappings.
    fn leave_mm(&self) -> Result<(), Fault> {
        match &self.owner {
            Owner::Mm(mm) if mm.missing != 0 => Err(Fault::with(
                mm.offset,
                "mappings are missing (how many)",
                mm.missing.into(),
            )),
            _ => Ok(()),
        }
    }

    /// Sees that the Task record that ends here has had what every task has.
    fn leave_task(&self) -> Result<(), Fault> {
        let Owner::Task {
            offset,
            leader,
            life,
            ..
        } = self.owner
        else {
            return Ok(());
        };
        let has = |kind: Kind| self.parts & bit(kind as u32) != 0;
        if has(Kind::Exit) != (life != Life::Living) {
            return Err(Fault::new(
                offset,
                "zombie without Exit record, or the other way round",
            ));
        }
        if self.deleted_timers != 0 {
            return Err(Fault::new(offset, "deleted timer without a signal"));
        }
        if life != Life::Living {
            let of_both = [Kind::Exit, Kind::Creds];
            let of_process = [Kind::Rlimits, Kind::Attr, Kind::TaskUsage];
            let set = |kinds: &[Kind]| kinds.iter().fold(0, |set, k| set | bit(*k as u32));
            let (needed, allowed) = match life {
                Life::Zombie => (set(&of_both), 0),
                _ => (
                    set(&of_both) | set(&of_process),
                    bit(PENDING_SHARED) | set(&PARTS_OF_PROCESS),
                ),
            };
            if self.regsets != 0
                || self.parts & needed != needed
                || self.parts & !(needed | allowed) != 0
            {
                return Err(Fault::new(
                    offset,
                    "zombie with too many records or too few",
                ));
            }
            return Ok(());
        }
        for (kind, what) in PARTS {
            if !has(kind) {
                return Err(Fault::new(offset, what));
            }
        }
        if !leader && has(Kind::Timers) {
            return Err(Fault::new(offset, "thread with timers of its own"));
        }
        if leader && !has(Kind::Rlimits) {
            return Err(Fault::new(
                offset,
                "thread group leader without Rlimits record",
            ));
        }
        if self.regsets == 0 {
            return Err(Fault::new(offset, "task without Regset record"));
        }
        Ok(())
    }

    fn job(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let job: Job = r.head()?;
        no_tail(r)?;
        if job.tasks.get() == 0 {
            return Err(r.fault("job without tasks"));
        }
        self.job = Some(job);
        Ok(())
    }

    fn parent(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        if self.stage != Stage::Job || self.incremental {
            return Err(out_of_order(r));
        }
        let parent: Parent = r.head()?;
        no_tail(r)?;
        if self.header.features.get() & FEATURE_INCREMENTAL == 0 {
            return Err(r.fault("parent of an image that is not incremental"));
        }
        if parent.uuid == [0; 16] || parent.uuid == self.header.uuid {
            return Err(r.fault("impossible parent of an image"));
        }
        self.incremental = true;
        Ok(())
    }

    fn file(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let file: File = r.head()?;
        define(r, file.id.get(), &mut self.sum.files)?;
        match file.kind.get() {
            file_kind::PATH => path(r)?,
            file_kind::INIT_FD => {
                if file.init_fd.get() < 0 {
                    return Err(r.fault("descriptor of init is negative"));
                }
                string(r, MAX_PATH)?;
            }
            kind @ (file_kind::DELETED
            | file_kind::LINKABLE
            | file_kind::MEMFD
            | file_kind::REOPENED) => {
                if matches!(kind, file_kind::MEMFD | file_kind::REOPENED) {
                    string(r, MAX_MEMFD_NAME)?;
                    if !r.tail().starts_with(MEMFD_NAME) {
                        return Err(r.fault("impossible name of a memfd"));
                    }
                } else {
                    path(r)?;
                }
                // Another one of those before, or the next.
                match u32::try_from(file.init_fd.get()) {
                    Ok(id) if (1..=self.sum.deleted).contains(&id) => {}
                    Ok(id) => define(r, id, &mut self.sum.deleted)?,
                    Err(_) => return Err(r.fault("number of a deleted file is negative")),
                }
            }
            kind @ (file_kind::PIPE | file_kind::FIFO) => {
                match kind {
                    file_kind::FIFO => path(r)?,
                    _ => string(r, MAX_PATH)?,
                }
                match u32::try_from(file.init_fd.get()) {
                    Ok(id) => refer(r, id, self.sum.pipes)?,
                    Err(_) => return Err(r.fault("number of a pipe is negative")),
                }
                // The access mode of open(2): for reading, 0.
                let reads = file.flags.get() & 3 == 0;
                match file.pos.get() {
                    0 => (),
                    FIFO_WAITS if kind == file_kind::FIFO && reads => (),
                    pos => return Err(r.fault_with("end of a pipe with an offset", pos)),
                }
            }
            file_kind::SOCKET => {
                string(r, MAX_PATH)?;
                match u32::try_from(file.init_fd.get()) {
                    Ok(id) => refer(r, id, self.sum.sockets)?,
                    Err(_) => return Err(r.fault("number of a socket is negative")),
                }
            }
            file_kind::EVENTFD => {
                string(r, MAX_PATH)?;
                // Each is one open file: the next that has had none.
                match u32::try_from(file.init_fd.get()) {
                    Ok(id) => {
                        refer(r, id, self.sum.eventfds)?;
                        define(r, id, &mut self.eventfd_files)?;
                    }
                    Err(_) => return Err(r.fault("number of an eventfd is negative")),
                }
            }
            file_kind::SEGMENT => {
                string(r, MAX_PATH)?;
                match u32::try_from(file.init_fd.get()) {
                    Ok(id) => refer(r, id, self.sum.segments)?,
                    Err(_) => return Err(r.fault("number of shared memory is negative")),
                }
            }
            file_kind::PROC => {
                path(r)?;
                // Each is of one open file: the next that has had none.
                match u32::try_from(file.init_fd.get()) {
                    Ok(0) => (),
                    Ok(id) => {
                        refer(r, id, self.sum.proc_texts)?;
                        define(r, id, &mut self.proc_files)?;
                    }
                    Err(_) => return Err(r.fault("number of what is read is negative")),
                }
            }
            kind => return Err(r.fault_with("unknown kind of file", kind.into())),
        }
        if file.pos.get() > MAX_OFFSET {
            return Err(r.fault_with("file offset is too large", file.pos.get()));
        }
        identity(r, &file.identity)
    }

    fn pipe(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let pipe: Pipe = r.head()?;
        define(r, pipe.id.get(), &mut self.sum.pipes)?;
        reserved(r, pipe.reserved.get())?;
        no_tail(r)?;
        self.pipe_of(r, pipe.capacity.get())
    }

    fn fifo(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let fifo: Fifo = r.head()?;
        define(r, fifo.id.get(), &mut self.sum.pipes)?;
        path(r)?;
        identity(r, &fifo.identity)?;
        self.pipe_of(r, fifo.capacity.get())
    }

    /// What is in a pipe of this capacity follows.
    fn pipe_of(&mut self, r: &Record<'_>, capacity: u32) -> Result<(), Fault> {
        if !capacity.is_power_of_two() || capacity < self.header.page_size.get() {
            return Err(r.fault_with("impossible capacity of a pipe", capacity.into()));
        }
        self.owner = Owner::Pipe(capacity.into());
        Ok(())
    }

    fn seccomp(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let filter: Seccomp = r.head()?;
        // One of those before.
        refer_or_none(r, filter.prev.get(), self.sum.seccomps)?;
        define(r, filter.id.get(), &mut self.sum.seccomps)?;
        let known = SECCOMP_LOG | SECCOMP_WAIT_KILLABLE_RECV;
        bits(r, filter.flags.get().into(), known.into())?;
        reserved(r, filter.reserved.get())?;
        match r.array::<SeccompInsn>()?.len() {
            1..=MAX_INSNS => Ok(()),
            len => Err(r.fault_with("impossible length of a seccomp filter", len as u64)),
        }
    }

    fn pipe_data(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let Owner::Pipe(room) = self.owner else {
            return Err(out_of_order(r));
        };
        let data: PipeData = r.head()?;
        bits(r, data.flags.get().into(), PIPE_PACKET.into())?;
        reserved(r, data.reserved.get())?;
        // What stands in a buffer is in one page; a packet has it for itself.
        let page_size = u64::from(self.header.page_size.get());
        let len = r.tail().len() as u64;
        let takes = match data.flags.get() {
            PIPE_PACKET => page_size,
            _ => len,
        };
        if len == 0 || len > page_size || takes > room {
            return Err(r.fault_with("impossible content of a pipe (bytes)", len));
        }
        self.owner = Owner::Pipe(room.saturating_sub(takes));
        Ok(())
    }

    fn proc_text(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let text: ProcText = r.head()?;
        define(r, text.id.get(), &mut self.sum.proc_texts)?;
        reserved(r, text.reserved.get())?;
        match r.tail().len() {
            0..=MAX_TEXT => Ok(()),
            len => Err(r.fault_with("too much is left to be read (bytes)", len as u64)),
        }
    }

    fn eventfd(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let eventfd: Eventfd = r.head()?;
        define(r, eventfd.id.get(), &mut self.sum.eventfds)?;
        bits(r, eventfd.flags.get().into(), EVENTFD_SEMAPHORE.into())?;
        no_tail(r)
    }

    fn segment(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let segment: Segment = r.head()?;
        define(r, segment.id.get(), &mut self.sum.segments)?;
        no_tail(r)?;
        bits(r, segment.mode.get().into(), SEGMENT_MODE.into())?;
        bits(r, segment.flags.get().into(), SHM_NORESERVE.into())?;
        huge(r, segment.huge_shift.get(), 0)?;
        if segment.huge_shift.get() != 0 && segment.mode.get() & SEGMENT_LOCKED != 0 {
            return Err(r.fault("huge pages of shared memory are locked"));
        }
        if i32::try_from(segment.shmid.get()).is_err() {
            return Err(r.fault("impossible number of shared memory"));
        }
        let size = segment.size.get();
        if size == 0 || size > MAX_OFFSET {
            return Err(r.fault_with("impossible length of shared memory", size));
        }
        let pids = [segment.cpid, segment.lpid, segment.creator];
        if pids.iter().any(|pid| pid.get() < 0) {
            return Err(r.fault("impossible process of shared memory"));
        }
        let ids = [segment.uid, segment.gid, segment.cuid, segment.cgid];
        if ids.iter().any(|id| id.get() == u32::MAX) {
            return Err(r.fault("impossible owner of shared memory"));
        }
        Ok(())
    }

    fn socket(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let socket: Socket = r.head()?;
        let before = self.sum.sockets;
        define(r, socket.id.get(), &mut self.sum.sockets)?;
        refer_or_none(r, socket.peer.get(), before)?;
        reserved(r, socket.reserved.get())?;
        if socket.family.get() != SOCKET_UNIX {
            return Err(r.fault_with("unknown family of a socket", socket.family.get().into()));
        }
        let kind = socket.kind.get();
        if ![SOCKET_STREAM, SOCKET_DGRAM, SOCKET_SEQPACKET].contains(&kind) {
            return Err(r.fault_with("unknown type of a socket", kind.into()));
        }
        let flags = socket.flags.get();
        bits(r, flags.into(), socket_flags::ALL.into())?;
        bits(r, socket.shutdown.get().into(), 3)?;
        let has = |flag| flags & flag != 0;
        let named = socket.peer.get() != 0;
        if (named || has(socket_flags::PEER_GONE)) && !has(socket_flags::CONNECTED)
            || named && has(socket_flags::PEER_GONE)
        {
            return Err(r.fault("socket contradicts itself about its other end"));
        }
        if !matches!(socket.error.get(), 0 | SOCKET_RESET) {
            return Err(r.fault_with("unknown error of a socket", socket.error.get().into()));
        }
        let ids = (socket.peer_uid.get(), socket.peer_gid.get());
        let cred = has(socket_flags::PEER_CRED);
        let pid = socket.peer_pid.get();
        sender(r, cred, has(socket_flags::PEER_EXITED), pid, ids)?;
        self.socket_options(r, cred)
    }

    fn socket_options(&self, r: &Record<'_>, cred: bool) -> Result<(), Fault> {
        let (mut last, mut groups) = (0, 0usize);
        for option in r.array::<SocketOption>()? {
            reserved(r, option.reserved.get())?;
            let name = option.name.get();
            let group = name == socket_option::PEERGROUPS;
            if !socket_option::ALL.contains(&name) || name < last || name == last && !group {
                return Err(
                    r.fault_with("option of a socket is unknown or out of order", name.into())
                );
            }
            if group {
                groups = groups.saturating_add(1);
                if !cred || groups > MAX_GROUPS || option.value.get() >= u32::MAX.into() {
                    return Err(r.fault_with("impossible group", option.value.get()));
                }
            }
            last = name;
        }
        Ok(())
    }

    fn socket_data(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let data: SocketData = r.head()?;
        refer(r, data.to.get(), self.sum.sockets)?;
        refer_or_none(r, data.from.get(), self.sum.sockets)?;
        let flags = data.flags.get();
        bits(r, flags.into(), socket_data_flags::ALL.into())?;
        sender(
            r,
            flags & socket_data_flags::CREDS != 0,
            flags & socket_data_flags::EXITED != 0,
            data.pid.get(),
            (data.uid.get(), data.gid.get()),
        )?;
        if r.tail().len() > MAX_SOCKET_DATA {
            return Err(r.fault_with(
                "impossible content of a socket (bytes)",
                r.tail().len() as u64,
            ));
        }
        Ok(())
    }

    fn path(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let head: Path = r.head()?;
        define(r, head.id.get(), &mut self.sum.paths)?;
        reserved(r, head.reserved.get())?;
        path(r)?;
        identity(r, &head.identity)
    }

    fn sighand(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let sighand: Sighand = r.head()?;
        define(r, sighand.id.get(), &mut self.sum.sighands)?;
        reserved(r, sighand.reserved.get())?;
        if r.array::<SigAction>()?.len() != SIGNALS {
            return Err(r.fault("table of signal actions has not one for each signal"));
        }
        Ok(())
    }

    fn shm(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let shm: Shm = r.head()?;
        define(r, shm.id.get(), &mut self.sum.shms)?;
        let flags = shm.flags.get();
        bits(r, flags.into(), (SHM_NORESERVE | SHM_SEGMENT).into())?;
        no_tail(r)?;
        // Those of segments come first, each has one.
        if (shm.id.get() <= self.sum.segments) != (flags & SHM_SEGMENT != 0) {
            return Err(r.fault("memory of System V shared memory is not where it belongs"));
        }
        let size = shm.size.get();
        if size == 0 || size > MAX_OFFSET {
            return Err(r.fault_with("impossible length of shared memory", size));
        }
        huge(r, shm.huge_shift.get(), size)?;
        self.owner = Owner::Shm(size);
        Ok(())
    }

    fn file_data(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let data: FileData = r.head()?;
        define(r, data.id.get(), &mut self.contents)?;
        refer(r, data.id.get(), self.sum.deleted)?;
        no_tail(r)?;
        if data.atime_nsec.get() >= 1_000_000_000 {
            return Err(r.fault("impossible time of last access"));
        }
        bits(r, data.seals.get().into(), SEALS.into())?;
        let size = data.size.get();
        if size > MAX_OFFSET {
            return Err(r.fault_with("impossible length of a file", size));
        }
        self.owner = Owner::Shm(size);
        Ok(())
    }

    fn mm(&mut self, r: &Record<'_>, after: &RawRecords<'a>) -> Result<(), Fault> {
        let mm: Mm = r.head()?;
        let before = self.sum.mms;
        define(r, mm.id.get(), &mut self.sum.mms)?;
        refer_or_none(r, mm.base.get(), before)?;
        refer_or_none(r, mm.exe_file.get(), self.sum.files)?;
        bits(r, mm.flags.get().into(), mm_flags::ALL.into())?;
        if mm.flags.get() & mm_flags::IA32 != 0 && self.header.features.get() & FEATURE_IA32 == 0 {
            return Err(r.fault("ia32 address space in an image without the ia32 feature"));
        }
        bits(r, mm.membarrier.get().into(), membarrier::ALL.into())?;
        bits(r, mm.pkeys.get().into(), (1 << MAX_PKEYS) - 1)?;
        if mm.exec_only_pkey.get() >= MAX_PKEYS {
            return Err(r.fault("impossible protection key of execute-only mappings"));
        }
        let flags = mm.flags.get();
        let has = |bit| flags & bit != 0;
        if has(mm_flags::THP_DISABLE) && has(mm_flags::THP_EXCEPT_ADVISED)
            || has(mm_flags::MDWE_NO_INHERIT) && !has(mm_flags::MDWE)
        {
            return Err(r.fault_with("impossible flags of an address space", flags.into()));
        }
        let slots = mm.futex_hash.get().saturating_sub(1);
        if slots == 1 || slots > MAX_FUTEX_SLOTS || slots != 0 && !slots.is_power_of_two() {
            return Err(r.fault_with("impossible size of a futex hash", slots.into()));
        }
        if r.tail().len() > MAX_AUXV || !is_aligned(r.tail().len() as u64, 16) {
            return Err(r.fault("impossible length of an auxiliary vector"));
        }
        self.owner = Owner::Mm(MmState {
            offset: r.offset,
            children: after.clone(),
            missing: mm.vmas.get(),
            end: 0,
            ldt: false,
            may_have_policy: false,
            guards: None,
            shared: None,
            of_parent: None,
        });
        Ok(())
    }

    fn vma_policy(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        match &mut self.owner {
            Owner::Mm(mm) if mm.may_have_policy => mm.may_have_policy = false,
            _ => return Err(out_of_order(r)),
        }
        let policy = numa_policy(r)?;
        let mode = policy.mode.get();
        let may_have_home = matches!(mode, MPOL_BIND | MPOL_PREFERRED_MANY);
        let home = policy.home_node.get();
        if mode == MPOL_DEFAULT || home < -1 || home >= 0 && !may_have_home {
            return Err(r.fault("impossible policy of a mapping"));
        }
        Ok(())
    }

    fn ldt(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let Owner::Mm(mm) = &mut self.owner else {
            return Err(out_of_order(r));
        };
        // Before the mappings, and once.
        if mm.ldt || mm.end != 0 || mm.guards.is_some() || mm.shared.is_some() {
            return Err(out_of_order(r));
        }
        mm.ldt = true;
        no_head(r)?;
        let mut next = 0;
        for entry in r.array::<LdtEntry>()? {
            let number = entry.entry_number.get();
            if number < next || number >= MAX_LDT {
                return Err(r.fault_with("LDT entry is out of order or bounds", number.into()));
            }
            next = number.saturating_add(1);
        }
        Ok(())
    }

    fn vma(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let page_size = self.header.page_size.get().into();
        let Owner::Mm(mm) = &mut self.owner else {
            return Err(out_of_order(r));
        };
        mm.missing = mm
            .missing
            .checked_sub(1)
            .ok_or_else(|| r.fault("more mappings than the address space has announced"))?;

        let vma: Vma = r.head()?;
        let (start, end) = (vma.start.get(), vma.end.get());
        if !is_aligned(start | end, page_size) {
            return Err(r.fault_with("mapping is not page-aligned", start));
        }
        if start >= end || end > MAX_OFFSET {
            return Err(r.fault_with("mapping has no length, or too much", start));
        }
        if start < mm.end {
            return Err(r.fault_with("mapping overlaps the one before it", start));
        }
        mm.end = end;

        let flags = vma.flags.get();
        bits(r, flags, vma_flags::ALL)?;
        let shared = flags & vma_flags::MAYSHARE != 0;
        mm.may_have_policy = !shared && vma.kind.get() != vma_kind::VDSO;
        if flags & vma_flags::SHARED != 0 && !shared {
            return Err(r.fault("mapping is shared and may not be"));
        }
        if flags & vma_flags::DROPPABLE != 0
            && (vma.kind.get() != vma_kind::ANON
                || flags & vma_flags::WIPEONFORK == 0
                || flags & (vma_flags::LOCKED | vma_flags::LOCKONFAULT | vma_flags::GROWSDOWN) != 0)
        {
            return Err(r.fault("impossible flags of a droppable mapping"));
        }
        if flags & vma_flags::MERGEABLE != 0
            && (shared || flags & vma_flags::DROPPABLE != 0 || vma.kind.get() == vma_kind::VDSO)
        {
            return Err(r.fault("mapping that can't be mergeable"));
        }
        let is_huge = vma.huge_shift.get() != 0;
        let never = vma_flags::DROPPABLE
            | vma_flags::GROWSDOWN
            | vma_flags::LOCKED
            | vma_flags::LOCKONFAULT
            | vma_flags::MERGEABLE
            | vma_flags::WIPEONFORK;
        if is_huge
            && (flags & never != 0 || !matches!(vma.kind.get(), vma_kind::FILE | vma_kind::SHM))
        {
            return Err(r.fault("impossible mapping of huge pages"));
        }
        let of_fork = !shared && is_huge && flags & vma_flags::NORESERVE == 0;
        if flags & vma_flags::UNRESERVED != 0 && !of_fork {
            return Err(r.fault("mapping that no huge pages can be reserved for"));
        }
        let object = vma.object.get();
        match vma.kind.get() {
            vma_kind::ANON if shared => {
                return Err(r.fault("shared mapping of private memory"));
            }
            vma_kind::SHM if !shared && !is_huge => {
                return Err(r.fault("private mapping of shared memory"));
            }
            vma_kind::ANON | vma_kind::VDSO => refer_or_none(r, object, 0)?,
            vma_kind::FILE => refer(r, object, self.sum.files)?,
            vma_kind::SHM if (1..=self.sum.segments).contains(&object) => {
                return Err(r.fault("mapping of System V shared memory without an attach"));
            }
            vma_kind::SHM => refer(r, object, self.sum.shms)?,
            kind => return Err(r.fault_with("unknown kind of mapping", kind.into())),
        }
        let offset = vma.offset.get();
        let len = end.saturating_sub(start);
        if !is_aligned(offset, page_size) || offset.checked_add(len).is_none() {
            return Err(r.fault_with("impossible offset of a mapping", offset));
        }
        if vma.pkey.get() >= MAX_PKEYS {
            return Err(r.fault_with("impossible protection key", vma.pkey.get().into()));
        }
        huge(r, vma.huge_shift.get(), start | end | offset)?;
        string(r, MAX_VMA_NAME)?;
        self.sum.vmas = self.sum.vmas.saturating_add(1);
        self.sum.mapped = self.sum.mapped.saturating_add(len);
        Ok(())
    }

    fn guards(&mut self, r: &Record<'a>) -> Result<(), Fault> {
        let Owner::Mm(mm) = &mut self.owner else {
            return Err(out_of_order(r));
        };
        // Behind the mappings, before their pages, and once.
        if mm.missing != 0 || mm.guards.is_some() || mm.shared.is_some() || mm.of_parent.is_some() {
            return Err(out_of_order(r));
        }
        mm.may_have_policy = false;
        no_head(r)?;
        let guards = r.array::<Run>()?;
        mm.guards = Some(guards);

        let page_size = u64::from(self.header.page_size.get());
        let mut room = Room {
            shared: true,
            ..Room::mappings(mm.children.clone())
        };
        for run in guards {
            bits(r, run.flags.get().into(), 0)?;
            room.take(r, run.start.get(), run.pages.get(), page_size)?;
        }
        Ok(())
    }

    fn shared_runs(&mut self, r: &Record<'a>) -> Result<(), Fault> {
        let Owner::Mm(mm) = &mut self.owner else {
            return Err(out_of_order(r));
        };
        // Behind the mappings, and once.
        if mm.missing != 0 || mm.shared.is_some() || mm.of_parent.is_some() {
            return Err(out_of_order(r));
        }
        mm.may_have_policy = false;
        no_head(r)?;
        let runs = r.array::<SharedRun>()?;
        mm.shared = Some(runs);

        let page_size = u64::from(self.header.page_size.get());
        let before = self.sum.mms.saturating_sub(1);
        let mut room = Room::mappings(mm.children.clone());
        let mut guards = Taken::new(mm.guards);
        for run in runs {
            let (start, from, pages) = (run.start.get(), run.from.get(), run.pages.get());
            let end = room.take(r, start, pages, page_size)?;
            guards.check(r, start, end, page_size)?;
            refer(r, run.mm.get(), before)?;
            let to = end_of(from, pages, page_size);
            if !is_aligned(from, page_size) || to.is_none_or(|to| to > MAX_OFFSET) {
                return Err(r.fault_with("impossible origin of shared pages", from));
            }
            self.sum.shared_pages = self.sum.shared_pages.saturating_add(pages.into());
            self.sum.shared_runs = self.sum.shared_runs.saturating_add(1);
        }
        Ok(())
    }

    fn parent_runs(&mut self, r: &Record<'a>) -> Result<(), Fault> {
        let Owner::Mm(mm) = &mut self.owner else {
            return Err(out_of_order(r));
        };
        // Behind the mappings, and once.
        if mm.missing != 0 || mm.of_parent.is_some() {
            return Err(out_of_order(r));
        }
        if !self.incremental {
            return Err(r.fault("pages of a parent that the image does not have"));
        }
        mm.may_have_policy = false;
        let head: ParentRuns = r.head()?;
        reserved(r, head.reserved.get())?;
        if head.mm.get() == 0 {
            return Err(r.fault("pages of no address space of the parent"));
        }
        let runs = r.array::<Run>()?;
        mm.of_parent = Some(runs);

        let page_size = u64::from(self.header.page_size.get());
        let mut room = Room::mappings(mm.children.clone());
        let (mut shared, mut guards) = (Taken::new(mm.shared), Taken::new(mm.guards));
        for run in runs {
            let (start, pages) = (run.start.get(), run.pages.get());
            bits(r, run.flags.get().into(), 0)?;
            let end = room.take(r, start, pages, page_size)?;
            shared.check(r, start, end, page_size)?;
            guards.check(r, start, end, page_size)?;
            self.sum.parent_pages = self.sum.parent_pages.saturating_add(pages.into());
        }
        Ok(())
    }

    fn runs(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        // Runs are the last child of their owner, and no task can own any.
        let owner = core::mem::replace(&mut self.owner, Owner::None);
        no_head(r)?;
        let page_size = u64::from(self.header.page_size.get());
        let (mut room, shared, guards, of_parent) = match owner {
            Owner::Shm(size) => (Room::object(size, page_size), None, None, None),
            Owner::Mm(mm) => {
                if mm.missing != 0 {
                    return Err(out_of_order(r));
                }
                let room = Room::mappings(mm.children);
                (room, mm.shared, mm.guards, mm.of_parent)
            }
            Owner::None | Owner::Pipe(_) | Owner::Task { .. } => return Err(out_of_order(r)),
        };

        let (mut shared, mut guards) = (Taken::new(shared), Taken::new(guards));
        let mut of_parent = Taken::new(of_parent);
        for run in r.array::<Run>()? {
            let (start, pages) = (run.start.get(), run.pages.get());
            bits(r, run.flags.get().into(), 0)?;
            let end = room.take(r, start, pages, page_size)?;
            shared.check(r, start, end, page_size)?;
            guards.check(r, start, end, page_size)?;
            of_parent.check(r, start, end, page_size)?;
            self.sum.pages = self.sum.pages.saturating_add(pages.into());
            self.sum.runs = self.sum.runs.saturating_add(1);
        }
        Ok(())
    }

    fn fd_table(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let table: FdTable = r.head()?;
        define(r, table.id.get(), &mut self.sum.fd_tables)?;
        let fds = r.array::<Fd>()?;
        if fds.len() as u64 != u64::from(table.count.get()) {
            return Err(r.fault_with("wrong number of descriptors", table.count.get().into()));
        }
        let mut next = 0;
        for fd in fds {
            let number = fd.fd.get();
            if number < next || number > i32::MAX as u32 {
                return Err(r.fault_with("descriptor is out of order or bounds", number.into()));
            }
            next = number.saturating_add(1);
            refer(r, fd.file.get(), self.sum.files)?;
            bits(r, fd.flags.get().into(), 1)?;
        }
        self.sum.fds = self.sum.fds.saturating_add(fds.len() as u64);
        Ok(())
    }

    fn fs(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let fs: Fs = r.head()?;
        define(r, fs.id.get(), &mut self.sum.fs)?;
        no_tail(r)?;
        refer(r, fs.root.get(), self.sum.paths)?;
        refer(r, fs.cwd.get(), self.sum.paths)?;
        bits(r, fs.umask.get().into(), 0o777)
    }

    fn task(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let task: Task = r.head()?;
        let first = self.sum.tasks == 0;
        self.sum.tasks = self.sum.tasks.saturating_add(1);
        self.owner = Owner::Task {
            offset: r.offset,
            leader: task.pid == task.tgid,
            life: life(r, task.flags.get())?,
            nested: task.pid_ns.get() != 0,
        };
        self.parts = 0;
        self.regsets = 0;
        self.deleted_timers = 0;

        for id in [task.pid.get(), task.tgid.get()] {
            // 1 is init, which is not saved.
            if id <= 1 {
                return Err(r.fault("impossible pid"));
            }
        }
        for id in [task.ppid, task.pgid, task.sid, task.parent, task.vfork] {
            if id.get() < 0 {
                return Err(r.fault("negative parent, process group, session or child"));
            }
        }
        if first && self.job.is_some_and(|job| job.root_pid != task.pid) {
            return Err(r.fault("first task is not the one that the job names"));
        }
        bits(r, task.flags.get().into(), task_flags::ALL.into())?;
        let life = life(r, task.flags.get())?;
        let has_mm = life != Life::Zombie;
        for (id, count) in [(task.mm, self.sum.mms), (task.sighand, self.sum.sighands)] {
            match has_mm {
                true => refer(r, id.get(), count)?,
                false => refer_or_none(r, id.get(), 0)?,
            }
        }
        let lives = life == Life::Living;
        for (id, count) in [(task.files, self.sum.fd_tables), (task.fs, self.sum.fs)] {
            match lives {
                true => refer(r, id.get(), count)?,
                false => refer_or_none(r, id.get(), 0)?,
            }
        }
        if !lives {
            let own = task_flags::ZOMBIE
                | task_flags::LEADER_GONE
                | task_flags::FORKED
                | task_flags::PARENT_CHANGED;
            let of_process = FLAGS_OF_PROCESS;
            let allowed = if has_mm { own | of_process } else { own };
            if task.flags.get() & !allowed != 0
                || (!has_mm && task.stop_signal.get() != 0)
                || task.pid != task.tgid
                || task.vfork.get() != 0
            {
                return Err(r.fault("zombie that is a thread, stopped, waits or has a terminal"));
            }
        }
        let nested = r.array::<zerocopy::little_endian::I32>()?;
        if nested.len() > MAX_PID_NS
            || nested.is_empty() != (task.pid_ns.get() == 0)
            || nested.iter().any(|pid| pid.get() < 1)
            || task.pid_ns.get() < 0
            || task.children_ns.get() < -1
            || (task.children_ns.get() != 0 && (!lives || task.pid != task.tgid))
        {
            return Err(r.fault("impossible pids in nested namespaces"));
        }
        // Threads, and only they, have -1: the kernel tells them by that.
        let signals = match task.pid == task.tgid {
            true => 0..=SIGNALS as i32,
            false => -1..=-1,
        };
        if !signals.contains(&task.exit_signal.get())
            || task.stop_signal.get() > SIGNALS as u32
            || (task.pid != task.tgid && task.flags.get() & task_flags::PARENT_CHANGED != 0)
        {
            return Err(r.fault("impossible signal"));
        }
        let name = task.comm.iter().take_while(|&&b| b != 0).count();
        match task.comm.get(name..) {
            Some(rest) if !rest.is_empty() && rest.iter().all(|&b| b == 0) => Ok(()),
            _ => Err(r.fault("command name is not a zero-filled string")),
        }
    }

    fn task_part(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let Owner::Task { nested, .. } = self.owner else {
            return Err(out_of_order(r));
        };
        // How many of a kind a task may have: any number of register sets, that differ; two queues
        // of signals, that differ; one of the others.
        let key = match r.kind {
            Kind::Regset => {
                return self.regset(r);
            }
            Kind::Pending => pending(r)?,
            _ => {
                part(r, nested)?;
                if r.kind == Kind::Attr {
                    let attr: Attr = r.head()?;
                    refer_or_none(r, attr.seccomp.get(), self.sum.seccomps)?;
                    for (id, count) in [
                        (attr.io_context.get(), &mut self.io_contexts),
                        (attr.sem_undo.get(), &mut self.sem_undos),
                        (attr.core_cookie.get(), &mut self.core_cookies),
                    ] {
                        // One of those before, or the next.
                        if id > *count {
                            define(r, id, count)?;
                        }
                    }
                }
                r.kind as u32
            }
        };
        if self.parts & bit(key) != 0 {
            return Err(r.fault_with(
                "second record of this kind for a task",
                (r.kind as u16).into(),
            ));
        }
        self.parts |= bit(key);
        match r.kind {
            Kind::DeletedTimers => self.deleted_timers = r.array::<DeletedTimer>()?.len(),
            Kind::TimerSignals => self.signals_of_deleted(r)?,
            _ => {}
        }
        Ok(())
    }

    /// Sees that each deleted timer has its signal, in order.
    fn signals_of_deleted(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let mut next = -1;
        for signal in r.array::<TimerSignal>()? {
            let timer = signal.timer.get();
            if timer >= 0 {
                continue;
            }
            self.deleted_timers = match self.deleted_timers.checked_sub(1) {
                Some(left) if timer == next => left,
                _ => return Err(r.fault("signal of a deleted timer is out of order")),
            };
            next = next.saturating_sub(1);
        }
        Ok(())
    }

    fn regset(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let regset: Regset = r.head()?;
        reserved(r, regset.reserved.get())?;
        if r.tail().is_empty() || r.tail().len() > MAX_REGSET {
            return Err(r.fault("impossible length of a register set"));
        }
        let note = regset.note.get();
        let seen = self.notes.get(..self.regsets).unwrap_or(&[]);
        if seen.contains(&note) {
            return Err(r.fault_with("second register set of this kind", note.into()));
        }
        match self.notes.get_mut(self.regsets) {
            Some(slot) => *slot = note,
            None => return Err(r.fault("too many register sets")),
        }
        self.regsets = self.regsets.saturating_add(1);
        Ok(())
    }

    fn end(&mut self, r: &Record<'_>) -> Result<(), Fault> {
        let end: End = r.head()?;
        no_tail(r)?;
        if end.records.get() != self.sum.records {
            return Err(r.fault_with("wrong number of records", end.records.get()));
        }
        if self.job.map_or(0, |job| job.tasks.get()) != self.sum.tasks {
            return Err(r.fault_with("wrong number of tasks", self.sum.tasks.into()));
        }
        if !self.incremental && self.header.features.get() & FEATURE_INCREMENTAL != 0 {
            return Err(r.fault("incremental image without a parent"));
        }
        if self.contents != self.sum.deleted {
            return Err(r.fault_with("content of deleted files is missing", self.contents.into()));
        }
        if self.sum.shms < self.sum.segments {
            let have = self.sum.shms.into();
            return Err(r.fault_with("memory of System V shared memory is missing", have));
        }
        let page_size = u64::from(self.header.page_size.get());
        if end.pages.get() != self.sum.pages
            || self.sum.pages.checked_mul(page_size) != Some(self.header.data_len.get())
        {
            return Err(r.fault_with("wrong number of pages", self.sum.pages));
        }
        Ok(())
    }
}

/// Where runs of pages may lie: `from..to`, or, with `vmas`, in the mappings to come.
struct Room<'a> {
    vmas: Option<RawRecords<'a>>,
    /// Whether mappings of what has its own pages count, too.
    shared: bool,
    from: u64,
    to: u64,
    /// End of the last run.
    last: u64,
}

impl<'a> Room<'a> {
    /// That of shared memory or a file of `size` bytes, whose last page need not be whole.
    fn object(size: u64, page_size: u64) -> Self {
        Self {
            vmas: None,
            shared: false,
            from: 0,
            to: size.checked_next_multiple_of(page_size).unwrap_or(0),
            last: 0,
        }
    }

    /// That of an address space, which `children` follow.
    fn mappings(children: RawRecords<'a>) -> Self {
        Self {
            vmas: Some(children),
            shared: false,
            from: 0,
            to: 0,
            last: 0,
        }
    }

    /// Takes the next run, which `r` has; returns its end.
    fn take(
        &mut self,
        r: &Record<'_>,
        start: u64,
        pages: u32,
        page_size: u64,
    ) -> Result<u64, Fault> {
        if pages == 0 || !is_aligned(start, page_size) {
            return Err(r.fault_with("run of pages is empty or not page-aligned", start));
        }
        let end = end_of(start, pages, page_size)
            .ok_or_else(|| r.fault_with("run of pages is too long", start))?;
        if start < self.last {
            return Err(r.fault_with("run of pages overlaps the one before it", start));
        }
        if !self.has(start, end)? {
            return Err(r.fault_with("run of pages is outside of what can hold it", start));
        }
        self.last = end;
        Ok(end)
    }

    /// Whether there is room for `start..end`. To be asked in ascending order.
    fn has(&mut self, start: u64, end: u64) -> Result<bool, Fault> {
        while start >= self.to {
            let Some(raw) = self.vmas.as_mut().and_then(Iterator::next) else {
                return Ok(false);
            };
            let Some(record) = raw.known() else {
                continue;
            };
            match record.kind {
                Kind::Vma => {
                    let vma: Vma = record.head()?;
                    // What is behind a shared mapping is its object's, and the kernel provides the
                    // vdso.
                    let own = match vma.kind.get() {
                        vma_kind::ANON => true,
                        vma_kind::FILE | vma_kind::SHM => {
                            self.shared || vma.flags.get() & vma_flags::MAYSHARE == 0
                        }
                        _ => false,
                    };
                    if own {
                        self.from = vma.start.get();
                        self.to = vma.end.get();
                    }
                }
                Kind::Ldt | Kind::VmaPolicy => {}
                // The mappings of this address space end here.
                _ => self.vmas = None,
            }
        }
        Ok(self.from <= start && end <= self.to)
    }
}

/// What takes room: a first address and a number of pages.
trait Span {
    fn span(&self) -> (u64, u32);
}

impl Span for Run {
    fn span(&self) -> (u64, u32) {
        (self.start.get(), self.pages.get())
    }
}

impl Span for SharedRun {
    fn span(&self) -> (u64, u32) {
        (self.start.get(), self.pages.get())
    }
}

/// Room that other runs take, which are sorted: one pass sees whether any overlap.
struct Taken<'a, T>(core::iter::Peekable<core::slice::Iter<'a, T>>);

impl<'a, T: Span> Taken<'a, T> {
    fn new(runs: Option<&'a [T]>) -> Self {
        Self(runs.unwrap_or(&[]).iter().peekable())
    }

    /// Checks that `start..end` is free. To be asked in ascending order.
    fn check(&mut self, r: &Record<'_>, start: u64, end: u64, page_size: u64) -> Result<(), Fault> {
        let is_before = |run: &&T| {
            let (first, pages) = run.span();
            end_of(first, pages, page_size).is_some_and(|end| end <= start)
        };
        while self.0.next_if(is_before).is_some() {}
        if self.0.peek().is_some_and(|run| run.span().0 < end) {
            return Err(r.fault_with("run of pages overlaps others, or guards", start));
        }
        Ok(())
    }
}

/// Where so many pages from `start` on end, if that is a number.
fn end_of(start: u64, pages: u32, page_size: u64) -> Option<u64> {
    u64::from(pages).checked_mul(page_size)?.checked_add(start)
}

/// The pages that an address space shares with earlier ones, and those whose content the image has
/// for it; `offset` is that of its Mm record ([`Record::offset`]).
///
/// Empty slices where it has no such record. A fault if there is no Mm record at `offset`, or an
/// array that is none, which [`verify`] refuses.
///
/// Walks the records that belong to the address space.
pub fn runs_of<'a>(meta: &Meta<'a>, offset: u64) -> Result<(&'a [SharedRun], &'a [Run]), Fault> {
    let mut records = meta.records_from(offset);
    if records.next().is_none_or(|r| r.kind != Kind::Mm) {
        return Err(Fault::new(offset, "not an address space"));
    }
    let mut shared: &[SharedRun] = &[];
    for r in records {
        match r.kind {
            Kind::Ldt | Kind::Vma | Kind::VmaPolicy | Kind::Guards => {}
            Kind::SharedRuns => shared = r.array()?,
            Kind::ParentRuns => {}
            Kind::Runs => return Ok((shared, r.array()?)),
            _ => break,
        }
    }
    Ok((shared, &[]))
}

/// Consecutive pages of an address space whose content is in the image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// Id of the Mm.
    mm: u32,
    /// First address.
    start: u64,
    /// Address behind the last byte.
    end: u64,
}

/// Checks that the image has the content of all pages that address spaces share: each page of a
/// [`SharedRun`] is in a [`Run`] of the Mm that it names. Runs that adjoin count as one.
///
/// `meta`, which belongs to `header`, is what [`verify`] has accepted. `memory` is overwritten. As
/// many as [`Summary::runs`] are enough; where there are too few, what is shared is refused. None
/// are needed if [`Summary::shared_runs`] is 0.
///
/// Takes two walks over the records, and a binary search in `memory` for each shared run.
pub fn check_shared(meta: &Meta<'_>, header: &Header, memory: &mut [Stretch]) -> Result<(), Fault> {
    let page_size = u64::from(header.page_size.get());
    // So many of `memory` are in use. They ascend by Mm and address, as what they are made of does.
    let mut len = 0usize;
    for r in meta.records().filter(|r| r.kind == Kind::Mm) {
        let mm = r.head::<Mm>()?.id.get();
        let (shared, runs) = runs_of(meta, r.offset)?;
        let known = memory.get(..len).unwrap_or(&[]);
        for run in shared {
            let (of, from) = (run.mm.get(), run.from.get());
            let behind = known.partition_point(|s| (s.mm, s.start) <= (of, from));
            let stretch = behind.checked_sub(1).and_then(|i| known.get(i));
            let to = end_of(from, run.pages.get(), page_size);
            if !stretch
                .zip(to)
                .is_some_and(|(s, to)| s.mm == of && to <= s.end)
            {
                let what = "shared pages whose content is not in the image (address)";
                return Err(r.fault_with(what, run.start.get()));
            }
        }
        for run in runs {
            let start = run.start.get();
            let end = end_of(start, run.pages.get(), page_size).unwrap_or(start);
            match len.checked_sub(1).and_then(|last| memory.get_mut(last)) {
                Some(s) if s.mm == mm && s.end == start => s.end = end,
                _ => {
                    if let Some(s) = memory.get_mut(len) {
                        *s = Stretch { mm, start, end };
                        len = len.saturating_add(1);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Checks a process group or session without a leader.
fn group(r: &Record<'_>) -> Result<(), Fault> {
    let group: Group = r.head()?;
    let numbers = r.array::<zerocopy::little_endian::I32>()?;
    // 1 is that of an init.
    if group.id.get() <= 1
        || group.pid_ns.get() <= 1
        || !(1..=MAX_PID_NS).contains(&numbers.len())
        || numbers.iter().any(|nr| nr.get() <= 1)
    {
        return Err(r.fault("impossible numbers of a process group or session"));
    }
    Ok(())
}

/// Whether a task with these flags lives.
fn life(r: &Record<'_>, flags: u32) -> Result<Life, Fault> {
    match flags & (task_flags::ZOMBIE | task_flags::LEADER_GONE) {
        0 => Ok(Life::Living),
        task_flags::ZOMBIE => Ok(Life::Zombie),
        task_flags::LEADER_GONE => Ok(Life::LeaderGone),
        _ => Err(r.fault("zombie that has threads")),
    }
}

/// Checks what belongs to a task and is there once. In a `nested` pid namespace, numbers that user
/// space knows are not those of the job.
fn part(r: &Record<'_>, nested: bool) -> Result<(), Fault> {
    match r.kind {
        Kind::DebugRegs => {
            let _: DebugRegs = r.head()?;
            no_tail(r)
        }
        Kind::ThreadX86 => {
            let thread: ThreadX86 = r.head()?;
            bits(r, thread.flags.get().into(), thread_x86::ALL.into())?;
            if thread.iopl.get() > 3 {
                return Err(r.fault_with("impossible iopl", thread.iopl.get().into()));
            }
            no_tail(r)
        }
        Kind::Signals => {
            let signals: Signals = r.head()?;
            bits(r, signals.flags.get().into(), SIGNALS_SAVED.into())?;
            no_tail(r)
        }
        Kind::Creds => {
            let creds: Creds = r.head()?;
            bits(r, creds.no_new_privs.get().into(), 1)?;
            if r.array::<zerocopy::little_endian::U32>()?.len() > MAX_GROUPS {
                return Err(r.fault("too many groups"));
            }
            Ok(())
        }
        Kind::Rlimits => {
            no_head(r)?;
            let limits = r.array::<Rlimit>()?;
            if limits.len() > MAX_RLIMITS {
                return Err(r.fault("too many resource limits"));
            }
            match limits.iter().find(|l| l.cur.get() > l.max.get()) {
                Some(l) => Err(r.fault_with("resource limit is above its maximum", l.cur.get())),
                None => Ok(()),
            }
        }
        Kind::RestartBlock => {
            let block: RestartBlock = r.head()?;
            if block.kind.get() > restart_kind::CPU {
                return Err(r.fault_with("unknown kind of restart", block.kind.get().into()));
            }
            bits(r, block.timed.get().into(), 1)?;
            bits(r, block.compat.get().into(), 1)?;
            reserved(r, block.reserved.get())?;
            if matches!(block.kind.get(), restart_kind::CALL | restart_kind::ALARM)
                && block.timed.get() == 0
            {
                return Err(r.fault("a restart that needs a time-out has none"));
            }
            no_tail(r)
        }
        Kind::Attr => {
            let attr: Attr = r.head()?;
            let scores = [attr.oom_score_adj.get(), attr.oom_score_adj_min.get()];
            if scores.iter().any(|s| !(-1000..=1000).contains(s)) {
                return Err(r.fault("impossible oom_score_adj"));
            }
            if attr.dumpable.get() > 2 {
                return Err(
                    r.fault_with("impossible value of dumpable", attr.dumpable.get().into())
                );
            }
            bits(r, attr.subreaper.get().into(), 1)?;
            let controls = attr.speculation.get().to_le_bytes();
            let (known, unknown) = controls.split_at(SPECULATION_CONTROLS);
            if known.iter().any(|c| !SPECULATION_VALUES.contains(c)) || unknown != [0] {
                let speculation = attr.speculation.get().into();
                return Err(r.fault_with("impossible speculation controls", speculation));
            }
            if !(-20..=19).contains(&attr.autogroup_nice.get()) {
                return Err(r.fault("impossible nice value of a group"));
            }
            let range = [
                attr.dispatch_start.get(),
                attr.dispatch_len.get(),
                attr.dispatch_selector.get(),
            ];
            match attr.dispatch.get() {
                0 if range == [0; 3] => {}
                1..=DISPATCH_INCLUSIVE => {}
                n => return Err(r.fault_with("impossible system call dispatch", n.into())),
            }
            let flags = attr.flags.get();
            bits(r, flags.into(), attr_flags::ALL.into())?;
            reserved(r, attr.reserved.get())?;
            let filtered = flags & attr_flags::SECCOMP_OF_INIT != 0 || attr.seccomp.get() != 0;
            if flags & attr_flags::SECCOMP_STRICT != 0 && filtered {
                return Err(r.fault("seccomp filters in strict mode"));
            }
            no_tail(r)
        }
        Kind::Sched => {
            let sched: Sched = r.head()?;
            if !(-20..=19).contains(&sched.nice.get()) {
                return Err(r.fault("impossible nice value"));
            }
            if r.tail().len() > MAX_CPU_MASK || !is_aligned(r.tail().len() as u64, 8) {
                return Err(r.fault("impossible length of a CPU mask"));
            }
            let flags = sched.flags.get();
            let (min, max) = (sched.util_min.get(), sched.util_max.get());
            if flags & SCHED_UTIL_MIN == 0 && min != 0
                || flags & SCHED_UTIL_MAX == 0 && max != 0
                || min.max(max) > MAX_UTIL
            {
                return Err(r.fault("impossible utilization clamps"));
            }
            Ok(())
        }
        Kind::Exit => {
            let exit: Exit = r.head()?;
            if exit.status.get() > 0xffff {
                return Err(r.fault_with("impossible status of a zombie", exit.status.get().into()));
            }
            reserved(r, exit.reserved.get())?;
            if ![exit.own, exit.children].iter().all(possible) {
                return Err(r.fault("impossible usage of a zombie"));
            }
            no_tail(r)
        }
        Kind::TaskUsage => {
            let usage: TaskUsage = r.head()?;
            let times = [
                usage.runtime_ns,
                usage.gone_runtime_ns,
                usage.told_utime_ns,
                usage.told_stime_ns,
                usage.process_utime_ns,
                usage.process_stime_ns,
            ];
            if ![usage.own, usage.gone, usage.children].iter().all(possible)
                || times.iter().any(|n| n.get() > MAX_OFFSET)
            {
                return Err(r.fault("impossible usage of a task"));
            }
            no_tail(r)
        }
        Kind::NumaPolicy => {
            let policy = numa_policy(r)?;
            if policy.home_node.get() != -1 {
                return Err(r.fault("task with a home node"));
            }
            Ok(())
        }
        Kind::UserPtrs => {
            let ptrs: UserPtrs = r.head()?;
            bits(r, ptrs.rseq_flags.get().into(), RSEQ_SLICE.into())?;
            reserved(r, ptrs.reserved.get())?;
            no_tail(r)
        }
        Kind::Timers => {
            let timers: Timers = r.head()?;
            for itimer in [&timers.real, &timers.virt, &timers.prof] {
                bits(r, itimer.flags.get().into(), ITIMER_ARMED.into())?;
                reserved(r, itimer.reserved.get())?;
                duration(r, itimer.interval_ns.get())?;
            }
            reserved(r, timers.reserved.get())?;
            if timers.next_id.get() < 0 {
                return Err(r.fault("next timer ID is negative"));
            }
            r.array::<Timer>()?
                .iter()
                .try_for_each(|timer| self::timer(r, timer, nested))
        }
        Kind::DeletedTimers => {
            no_head(r)?;
            for timer in r.array::<DeletedTimer>()? {
                if timer.id.get() < 0 || !(1..=SIGNALS as i32).contains(&timer.signo.get()) {
                    return Err(r.fault("impossible deleted timer"));
                }
            }
            Ok(())
        }
        Kind::TimerSignals => {
            no_head(r)?;
            let mut last = [0, 0];
            for signal in r.array::<TimerSignal>()? {
                bits(r, signal.shared.get().into(), 1)?;
                let place = signal.place.get();
                match last.get_mut(signal.shared.get() as usize) {
                    Some(last) if *last <= place => *last = place,
                    _ => return Err(r.fault("signals of timers are out of order")),
                }
            }
            Ok(())
        }
        _ => Err(out_of_order(r)),
    }
}

/// Checks a NUMA policy.
fn numa_policy(r: &Record<'_>) -> Result<NumaPolicy, Fault> {
    let policy: NumaPolicy = r.head()?;
    let (mode, flags) = (policy.mode.get(), policy.flags.get());
    let absolute_or_relative = MPOL_STATIC_NODES | MPOL_RELATIVE_NODES;
    bits(
        r,
        flags.into(),
        (absolute_or_relative | MPOL_NUMA_BALANCING).into(),
    )?;
    let may_balance = matches!(mode, MPOL_BIND | MPOL_PREFERRED_MANY);
    if mode > MPOL_WEIGHTED_INTERLEAVE
        || flags & absolute_or_relative == absolute_or_relative
        || flags & MPOL_NUMA_BALANCING != 0 && !may_balance
    {
        return Err(r.fault_with("impossible NUMA policy", mode.into()));
    }
    reserved(r, policy.reserved.get())?;
    if r.array::<zerocopy::little_endian::U64>()?.len() > MAX_NODE_MASK / 8 {
        return Err(r.fault("too many nodes"));
    }
    Ok(policy)
}

/// Whether these figures can be.
fn possible(u: &Usage) -> bool {
    let times = [u.utime_ns, u.stime_ns, u.gtime_ns];
    let counts = [
        u.min_flt, u.maj_flt, u.nvcsw, u.nivcsw, u.inblock, u.oublock,
    ];
    let mut figures = times.iter().chain(&counts).chain([&u.maxrss]);
    // The kernel divides by the sum of both.
    let sum = u.utime_ns.get().saturating_add(u.stime_ns.get());
    figures.all(|n| n.get() <= MAX_OFFSET) && sum <= MAX_OFFSET
}

/// Clocks that timers of timer_create(2) may have: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
/// CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM and CLOCK_TAI.
const TIMER_CLOCKS: [i32; 6] = [0, 1, 7, 8, 9, 11];

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

/// Checks a timer of timer_create(2).
fn timer(r: &Record<'_>, timer: &Timer, nested: bool) -> Result<(), Fault> {
    let (id, clock, notify) = (timer.id.get(), timer.clock.get(), timer.notify.get());
    let fault = |what| Err(r.fault_with(what, u64::from(id as u32)));
    if id < 0 {
        return fault("timer with a negative ID");
    }
    let cpu_pid = timer.cpu_pid.get();
    // A CPU clock: the pid, inverted, whether it is that of a thread, and one of three kinds.
    let pid = !(clock >> 3);
    let known = match clock {
        0.. => TIMER_CLOCKS.contains(&clock) && cpu_pid == 0,
        _ => clock & 3 < 3 && cpu_pid > 0 && (pid == 0 || pid == cpu_pid || nested),
    };
    if !known {
        return fault("timer on an impossible clock");
    }
    let target = timer.target.get();
    let signo = timer.signo.get();
    let valid = match notify {
        SIGEV_SIGNAL | SIGEV_THREAD => target == 0,
        SIGEV_NONE => target == 0,
        SIGEV_THREAD_ID => target > 1,
        _ => false,
    };
    if !valid || notify != SIGEV_NONE && !(1..=SIGNALS as i32).contains(&signo) {
        return fault("timer with an impossible notification");
    }
    reserved(r, timer.reserved.get())?;
    duration(r, timer.interval_ns.get())?;
    let limit = i64::MAX / 2;
    if ![timer.left_ns, timer.overrun, timer.overrun_last]
        .iter()
        .all(|n| (limit.saturating_neg()..=limit).contains(&n.get()))
    {
        return fault("timer with an impossible time or overrun");
    }

    let flags = timer.flags.get();
    bits(r, flags.into(), timer_flags::ALL.into())?;
    let is = |bit| flags & bit != 0;
    let interval = timer.interval_ns.get() != 0;
    // A signal that is pending was sent for the timer as it is now, or else it is stale.
    let pending = is(timer_flags::QUEUED) || is(timer_flags::IGNORED);
    let all = |bits| flags & bits == bits;
    // What only comes with something else, and what never comes together.
    let implies = |a: bool, b: bool| !a || b;
    let valid = !all(timer_flags::ARMED | timer_flags::REQUEUE)
        && !all(timer_flags::QUEUED | timer_flags::IGNORED)
        && implies(is(timer_flags::REQUEUE), interval)
        && implies(is(timer_flags::RELATIVE), clock == 0)
        && implies(is(timer_flags::ARMED), is(timer_flags::TIMED))
        && implies(pending || is(timer_flags::REQUEUE), notify != SIGEV_NONE)
        && implies(is(timer_flags::STALE), pending)
        && implies(is(timer_flags::PERIODIC), pending)
        && implies(is(timer_flags::IGNORED), is(timer_flags::PERIODIC))
        && (!pending
            || is(timer_flags::STALE)
            || (interval == is(timer_flags::REQUEUE) && interval == is(timer_flags::PERIODIC)));
    if !valid {
        return fault("timer in an impossible state");
    }
    Ok(())
}

fn duration(r: &Record<'_>, ns: u64) -> Result<(), Fault> {
    if ns > MAX_OFFSET {
        return Err(r.fault_with("impossible interval of a timer", ns));
    }
    Ok(())
}

/// The bit in [`Verify::parts`] of a queue that is the process's. Kinds have lower ones.
const PENDING_SHARED: u32 = u64::BITS - 1;

const _: () = {
    let mut kinds: &[Kind] = &Kind::ALL;
    while let [kind, rest @ ..] = kinds {
        assert!((*kind as u32) < PENDING_SHARED);
        kinds = rest;
    }
};

fn bit(n: u32) -> u64 {
    1u64.checked_shl(n).unwrap_or(0)
}

/// Checks a queue of signals, and returns a number that is its own among the parts of a task.
fn pending(r: &Record<'_>) -> Result<u32, Fault> {
    let pending: Pending = r.head()?;
    bits(r, pending.shared.get().into(), 1)?;
    let len = u64::from(pending.count.get()).saturating_mul(SIGINFO_LEN as u64);
    if r.tail().len() as u64 != len {
        return Err(r.fault_with("wrong number of signals", pending.count.get().into()));
    }
    Ok(match pending.shared.get() {
        0 => Kind::Pending as u32,
        _ => PENDING_SHARED,
    })
}

/// Counts an object that is defined; its id is the count.
fn define(r: &Record<'_>, id: u32, count: &mut u32) -> Result<(), Fault> {
    *count = count.saturating_add(1);
    if id != *count {
        return Err(r.fault_with("id is not the next of its kind", id.into()));
    }
    Ok(())
}

/// Checks a reference to one of `count` objects.
fn refer(r: &Record<'_>, id: u32, count: u32) -> Result<(), Fault> {
    match id {
        0 => Err(r.fault("reference to nothing")),
        id => refer_or_none(r, id, count),
    }
}

/// Checks a reference to one of `count` objects, or to none.
fn refer_or_none(r: &Record<'_>, id: u32, count: u32) -> Result<(), Fault> {
    if id > count {
        return Err(r.fault_with("reference to an object that is not defined", id.into()));
    }
    Ok(())
}

/// Checks what is said of who made or sent something: nothing without `cred`.
fn sender(
    r: &Record<'_>,
    cred: bool,
    exited: bool,
    pid: i32,
    (uid, gid): (u32, u32),
) -> Result<(), Fault> {
    if pid < 0 || exited && pid == 0 || !cred && (exited || (pid, uid, gid) != (0, 0, 0)) {
        return Err(r.fault_with("impossible sender (pid)", pid as u64));
    }
    Ok(())
}

/// Checks that `value` has bits of `known` only.
fn bits(r: &Record<'_>, value: u64, known: u64) -> Result<(), Fault> {
    if value & !known != 0 {
        return Err(r.fault_with("unknown bits in a field", value));
    }
    Ok(())
}

fn reserved(r: &Record<'_>, value: u32) -> Result<(), Fault> {
    if value != 0 {
        return Err(r.fault_with("reserved field is not zero", value.into()));
    }
    Ok(())
}

fn identity(r: &Record<'_>, identity: &Identity) -> Result<(), Fault> {
    if identity.mtime_nsec.get() >= 1_000_000_000 {
        return Err(r.fault("impossible time of last modification"));
    }
    huge_size(r, identity.huge_shift.get())
}

/// Checks the logarithm of a size of huge pages, 0 for none.
fn huge_size(r: &Record<'_>, shift: u32) -> Result<(), Fault> {
    if shift != 0 && !(MIN_HUGE_SHIFT..=MAX_HUGE_SHIFT).contains(&shift) {
        return Err(r.fault_with("impossible size of huge pages", shift.into()));
    }
    Ok(())
}

/// Checks that what has huge pages of this size has whole ones.
fn huge(r: &Record<'_>, shift: u32, places: u64) -> Result<(), Fault> {
    huge_size(r, shift)?;
    if shift != 0 && !is_aligned(places, 1 << shift) {
        return Err(r.fault_with("not aligned to its huge pages", places));
    }
    Ok(())
}

/// Checks that the tail is an absolute path.
fn path(r: &Record<'_>) -> Result<(), Fault> {
    if r.tail().first() != Some(&b'/') {
        return Err(r.fault("path is not absolute"));
    }
    string(r, MAX_PATH)
}

/// Checks that the tail is a string of at most `max` bytes.
fn string(r: &Record<'_>, max: usize) -> Result<(), Fault> {
    if r.tail().len() > max {
        return Err(r.fault_with("string is too long", r.tail().len() as u64));
    }
    if r.tail().contains(&0) {
        return Err(r.fault("string with a NUL in it"));
    }
    Ok(())
}

fn no_head(r: &Record<'_>) -> Result<(), Fault> {
    r.head::<()>()
}

fn no_tail(r: &Record<'_>) -> Result<(), Fault> {
    if !r.tail().is_empty() {
        return Err(r.fault("tail on a record that has none"));
    }
    Ok(())
}

fn out_of_order(r: &Record<'_>) -> Fault {
    r.fault_with(
        "record is out of order (number of its kind)",
        (r.kind as u16).into(),
    )
}
