// SPDX-License-Identifier: GPL-2.0-only

//! The records of the metadata: their kinds and wire structures.
//!
//! Every structure is little-endian, unaligned and free of padding, and may
//! grow at its end (see [`super::parse::Record::head`]). No kernel structure
//! layout and no kernel constant that is not part of the uAPI appears here;
//! where the kernel's own bits are not uAPI, this file defines its own.
//!
//! The order of the records is a grammar, checked by [`super::verify`]:
//!
//! ```text
//! Job (File | Path | Sighand | Seccomp | (Pipe | Fifo) PipeData* | Eventfd | ProcText | Segment |
//! Socket | SocketData | Group)*
//! ((Shm | FileData) Runs?)* (Mm Ldt? (Vma VmaPolicy?)* Guards? SharedRuns? Runs?)*
//! FdTable* Fs* (Task TaskPart*)* End
//! ```
//!
//! Shared objects have an id, counted from 1 within their kind in order of
//! appearance, and stand before the first record that names them; 0 is "none".
//! The one exception is the content of deleted files and of System V shared memory, which is
//! behind these.

use zerocopy::little_endian::{I32, I64, U16, U32, U64};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a record is. The numbers are part of the format and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// [`Job`]: first record, once.
    Job = 1,
    /// [`File`]; tail: path.
    File = 2,
    /// [`Path`]; tail: path.
    Path = 3,
    /// [`Sighand`]; tail: 64 [`SigAction`].
    Sighand = 4,
    /// [`Shm`]: shared anonymous memory.
    Shm = 5,
    /// [`Mm`]; tail: auxiliary vector, pairs of [`U64`].
    Mm = 6,
    /// No head; tail: array of [`LdtEntry`]. Belongs to the Mm before it.
    Ldt = 7,
    /// [`Vma`]; tail: name, if any. Belongs to the Mm before it.
    Vma = 8,
    /// No head; tail: array of [`Run`]. Belongs to the Mm, Shm or FileData before it.
    Runs = 9,
    /// [`FdTable`]; tail: array of [`Fd`].
    FdTable = 10,
    /// [`Fs`].
    Fs = 11,
    /// [`Task`]; tail: its pids in the namespaces below that of the job, [`I32`]
    /// each, innermost first.
    Task = 12,
    /// [`Regset`]; tail: its bytes. Belongs to the Task before it, as do all that follow.
    Regset = 13,
    /// [`DebugRegs`].
    DebugRegs = 14,
    /// [`ThreadX86`].
    ThreadX86 = 15,
    /// [`Signals`].
    Signals = 16,
    /// [`Pending`]; tail: siginfo_t, 128 bytes each, oldest first.
    Pending = 17,
    /// [`Creds`]; tail: supplementary groups, [`U32`] each.
    Creds = 18,
    /// No head; tail: array of [`Rlimit`], index is the RLIMIT_* number.
    Rlimits = 19,
    /// [`RestartBlock`].
    RestartBlock = 20,
    /// [`Attr`]: prctl-like state of a task.
    Attr = 21,
    /// [`Sched`]; tail: CPU affinity mask, [`U64`] words.
    Sched = 22,
    /// [`UserPtrs`]: user addresses the kernel was told of.
    UserPtrs = 23,
    /// [`End`]: last record, once.
    End = 24,
    /// [`FileData`]: content of a deleted file.
    FileData = 25,
    /// [`Pipe`].
    Pipe = 26,
    /// [`PipeData`]; tail: the bytes. Belongs to the Pipe or Fifo before it.
    PipeData = 27,
    /// [`Exit`]: how a task ended that has exited. Belongs to the Task before it.
    Exit = 28,
    /// [`Timers`]; tail: array of [`Timer`]. Belongs to the Task before it, a thread group leader.
    Timers = 29,
    /// No head; tail: array of [`TimerSignal`], in the order of their queues. Belongs to the Task
    /// before it.
    TimerSignals = 30,
    /// [`TaskUsage`]. Belongs to the Task before it.
    TaskUsage = 31,
    /// [`Seccomp`]; tail: array of [`SeccompInsn`].
    Seccomp = 32,
    /// [`Eventfd`].
    Eventfd = 33,
    /// No head; tail: array of [`DeletedTimer`]. Belongs to the Task before it, in front of its
    /// TimerSignals.
    DeletedTimers = 34,
    /// No head; tail: array of [`SharedRun`]. Belongs to the Mm before it.
    SharedRuns = 35,
    /// [`Socket`]; tail: array of [`SocketOption`].
    Socket = 36,
    /// [`SocketData`]; tail: the bytes.
    SocketData = 37,
    /// No head; tail: array of [`Run`]: pages that must not be touched (MADV_GUARD_INSTALL).
    /// Belongs to the Mm before it.
    Guards = 38,
    /// [`Segment`].
    Segment = 39,
    /// [`Parent`]. Follows the Job.
    Parent = 40,
    /// [`Fifo`]; tail: path.
    Fifo = 41,
    /// [`ParentRuns`]; tail: array of [`Run`]: pages whose content is that of the parent. Belongs
    /// to the Mm before it.
    ParentRuns = 42,
    /// [`NumaPolicy`]; tail: the nodes, a bit each, [`U64`] words. Belongs to the Task before it.
    NumaPolicy = 44,
    /// [`NumaPolicy`]; tail: the nodes, as above. Belongs to the Vma before it.
    VmaPolicy = 45,
    /// [`Group`]; tail: its numbers in the namespaces below that of the job, [`I32`] each,
    /// innermost first.
    Group = 48,
    /// [`ProcText`]; tail: what was made up to be read, and was not read yet.
    ProcText = 49,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 46] = [
        Kind::Job,
        Kind::File,
        Kind::Path,
        Kind::Sighand,
        Kind::Shm,
        Kind::Mm,
        Kind::Ldt,
        Kind::Vma,
        Kind::Runs,
        Kind::FdTable,
        Kind::Fs,
        Kind::Task,
        Kind::Regset,
        Kind::DebugRegs,
        Kind::ThreadX86,
        Kind::Signals,
        Kind::Pending,
        Kind::Creds,
        Kind::Rlimits,
        Kind::RestartBlock,
        Kind::Attr,
        Kind::Sched,
        Kind::UserPtrs,
        Kind::End,
        Kind::FileData,
        Kind::Pipe,
        Kind::PipeData,
        Kind::Exit,
        Kind::Timers,
        Kind::TimerSignals,
        Kind::TaskUsage,
        Kind::Seccomp,
        Kind::Eventfd,
        Kind::DeletedTimers,
        Kind::SharedRuns,
        Kind::Socket,
        Kind::SocketData,
        Kind::Guards,
        Kind::Segment,
        Kind::Parent,
        Kind::Fifo,
        Kind::ParentRuns,
        Kind::NumaPolicy,
        Kind::VmaPolicy,
        Kind::Group,
        Kind::ProcText,
    ];

    /// The kind with this number, if this library knows it.
    pub fn from_u16(n: u16) -> Option<Kind> {
        Self::ALL.iter().copied().find(|k| *k as u16 == n)
    }
}

macro_rules! wire {
    ($(#[$m:meta])* pub struct $name:ident { $($(#[$fm:meta])* pub $f:ident: $t:ty,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        pub struct $name { $($(#[$fm])* pub $f: $t,)* }
    };
}

wire! {
    /// The job as a whole.
    pub struct Job {
        /// Tasks in the image.
        pub tasks: U32,
        /// Pid, in the namespace of the job, of the first task.
        pub root_pid: I32,
        /// CLOCK_MONOTONIC, as init sees it, when the job stood still, ns.
        pub monotonic_ns: U64,
        /// CLOCK_BOOTTIME, as init sees it, when the job stood still, ns.
        pub boottime_ns: U64,
        /// CLOCK_REALTIME when the job stood still, ns.
        pub realtime_ns: U64,
    }
}

wire! {
    /// The image that an incremental one needs.
    pub struct Parent {
        /// [`Header::uuid`](super::format::Header::uuid) of it.
        pub uuid: [u8; 16],
    }
}

/// How a [`File`] is had back.
pub mod file_kind {
    /// Opened again by its path.
    pub const PATH: u32 = 1;
    /// The same open file description as a descriptor of init.
    pub const INIT_FD: u32 = 2;
    /// A regular file without a name, made again with the content in the image.
    pub const DELETED: u32 = 3;
    /// An end of a pipe.
    pub const PIPE: u32 = 4;
    /// As DELETED, but it never had a name and may be given one with linkat(2):
    /// it was made with O_TMPFILE and without O_EXCL.
    pub const LINKABLE: u32 = 5;
    /// A socket.
    pub const SOCKET: u32 = 6;
    /// An end of a FIFO, opened again by its path.
    pub const FIFO: u32 = 10;
    /// An eventfd.
    pub const EVENTFD: u32 = 33;
    /// As DELETED, but what memfd_create(2) has returned; tail: its name, which begins with
    /// `memfd:`.
    pub const MEMFD: u32 = 42;
    /// As MEMFD, but opened again, through /proc/PID/fd.
    pub const REOPENED: u32 = 46;
    /// An attach of System V shared memory.
    pub const SEGMENT: u32 = 43;
    /// A file or directory of a process in proc, opened again by its path when there are the
    /// processes.
    pub const PROC: u32 = 47;
}

wire! {
    /// Which object of a file system a path led to.
    ///
    /// Of what the kernel makes up when it is looked at (proc) there is only
    /// the mode; the rest, the inode number first of all, is 0.
    pub struct Identity {
        /// Device number of the file system, `major << 32 | minor`.
        pub dev: U64,
        /// Inode number.
        pub ino: U64,
        /// Inode generation, 0 where the file system has none.
        pub generation: U32,
        /// Type and permission bits (st_mode).
        pub mode: U32,
        /// Device a special file stands for, `major << 32 | minor`.
        pub rdev: U64,
        /// Length in bytes.
        pub size: U64,
        /// Time of last modification, seconds.
        pub mtime_sec: U64,
        /// Time of last modification, nanoseconds of the second.
        pub mtime_nsec: U32,
        /// Logarithm of the size of its huge pages (hugetlbfs), 0 without.
        pub huge_shift: U32,
    }
}

wire! {
    /// An open file description.
    pub struct File {
        /// Id among the File records.
        pub id: U32,
        /// One of [`file_kind`].
        pub kind: U32,
        /// For INIT_FD: the number of init's descriptor. For DELETED and
        /// LINKABLE: which file without a name it is, counted from 1 in order
        /// of appearance, the id of its FileData. For PIPE and FIFO: the id of
        /// its Pipe or Fifo. For SOCKET: the id of its Socket. For EVENTFD: the
        /// id of its Eventfd. For SEGMENT: the id of its Segment. For PROC: the
        /// id of its ProcText, or 0 without.
        pub init_fd: I32,
        /// Flags of open(2): access mode and status flags.
        pub flags: U32,
        /// Offset in bytes. For FIFO: [`FIFO_WAITS`], or 0.
        pub pos: U64,
        /// What it was.
        pub identity: Identity,
    }
}

/// [`File::pos`]: the FIFO was opened for reading when nobody wrote, and no writer has come since.
pub const FIFO_WAITS: u64 = 1;

wire! {
    /// A place in the file system: a working or root directory.
    pub struct Path {
        /// Id among the Path records.
        pub id: U32,
        /// Zero.
        pub reserved: U32,
        /// What it was.
        pub identity: Identity,
    }
}

wire! {
    /// A table of signal actions.
    pub struct Sighand {
        /// Id among the Sighand records.
        pub id: U32,
        /// Zero.
        pub reserved: U32,
    }
}

/// Bits of [`SigAction::flags`] that are not SA_* flags: the frame a handler gets.
pub mod sigaction_flags {
    /// ia32.
    pub const IA32: u64 = 1 << 32;
    /// x32.
    pub const X32: u64 = 1 << 33;
    /// All bits known.
    pub const ALL: u64 = 3 << 32;
}

wire! {
    /// The action of one signal (sigaction(2)).
    pub struct SigAction {
        /// SIG_DFL, SIG_IGN or the address of the handler.
        pub handler: U64,
        /// SA_* flags, and [`sigaction_flags`].
        pub flags: U64,
        /// Address of the restorer.
        pub restorer: U64,
        /// Signals blocked while the handler runs.
        pub mask: U64,
    }
}

wire! {
    /// Shared anonymous memory, or the memory of a [`Segment`], or what anonymous mappings of huge
    /// pages have in common, also if they are private.
    pub struct Shm {
        /// Id among the Shm records. With [`SHM_SEGMENT`]: that of the Segment.
        pub id: U32,
        /// [`SHM_NORESERVE`], [`SHM_SEGMENT`].
        pub flags: U32,
        /// Length in bytes.
        pub size: U64,
        /// Logarithm of the size of its huge pages (MAP_HUGETLB), 0 without.
        pub huge_shift: U32,
    }
}

/// [`Shm::flags`]: created with MAP_NORESERVE. [`Segment::flags`]: with SHM_NORESERVE. Of huge
/// pages: they are not reserved for all of it.
pub const SHM_NORESERVE: u32 = 1;
/// [`Shm::flags`]: it is the memory of the Segment with the same id.
pub const SHM_SEGMENT: u32 = 2;

wire! {
    /// System V shared memory; ids of users are those of the user namespace of init.
    pub struct Segment {
        /// Id among the Segment records, and of the Shm with its memory.
        pub id: U32,
        /// What shmget(2) returns.
        pub shmid: U32,
        /// What shmget(2) finds it by, or 0 (IPC_PRIVATE).
        pub key: U32,
        /// The key that it was made with.
        pub name_key: U32,
        /// Permissions, SHM_DEST (bit 9), SHM_LOCKED (bit 10).
        pub mode: U32,
        /// [`SHM_NORESERVE`].
        pub flags: U32,
        /// Owner.
        pub uid: U32,
        /// Its group.
        pub gid: U32,
        /// Who has made it.
        pub cuid: U32,
        /// Its group.
        pub cgid: U32,
        /// Process that has made it, 0 if it is gone or none of the job.
        pub cpid: I32,
        /// Process that has attached or detached it last, or 0.
        pub lpid: I32,
        /// Thread that has made it, or 0.
        pub creator: I32,
        /// Logarithm of the size of its huge pages (SHM_HUGETLB), 0 without.
        pub huge_shift: U32,
        /// Length in bytes.
        pub size: U64,
        /// Time of the last attach, seconds.
        pub atime: I64,
        /// Time of the last detach, seconds.
        pub dtime: I64,
        /// Time of the last change, seconds.
        pub ctime: I64,
    }
}

wire! {
    /// Content of a deleted file, and what its File record does not say of it.
    pub struct FileData {
        /// Id among the FileData records.
        pub id: U32,
        /// Time of last access, nanoseconds of the second.
        pub atime_nsec: U32,
        /// Length in bytes.
        pub size: U64,
        /// Owner, in the user namespace of init.
        pub uid: U32,
        /// Group, in the user namespace of init.
        pub gid: U32,
        /// Time of last access, seconds.
        pub atime_sec: U64,
        /// Seals of a memfd, F_SEAL_*; 0 for other files.
        pub seals: U32,
    }
}

wire! {
    /// A pipe of pipe(2).
    pub struct Pipe {
        /// Id among the Pipe and Fifo records.
        pub id: U32,
        /// What F_GETPIPE_SZ says, bytes.
        pub capacity: U32,
        /// Owner, in the user namespace of init.
        pub uid: U32,
        /// Group, in the user namespace of init.
        pub gid: U32,
        /// Type and permission bits.
        pub mode: U32,
        /// Zero.
        pub reserved: U32,
    }
}

wire! {
    /// A pipe that has a name.
    pub struct Fifo {
        /// Id among the Pipe and Fifo records.
        pub id: U32,
        /// What F_GETPIPE_SZ says, bytes.
        pub capacity: U32,
        /// What it was.
        pub identity: Identity,
    }
}

wire! {
    /// A seccomp filter, seccomp(2).
    pub struct Seccomp {
        /// Id among the Seccomp records.
        pub id: U32,
        /// Id of the one that it is stacked upon, 0 for what init has.
        pub prev: U32,
        /// [`SECCOMP_LOG`], [`SECCOMP_WAIT_KILLABLE_RECV`].
        pub flags: U32,
        /// Zero.
        pub reserved: U32,
    }
}

/// [`Seccomp::flags`]: SECCOMP_FILTER_FLAG_LOG.
pub const SECCOMP_LOG: u32 = 1;
/// [`Seccomp::flags`]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
pub const SECCOMP_WAIT_KILLABLE_RECV: u32 = 2;

wire! {
    /// An instruction of a filter (struct sock_filter).
    pub struct SeccompInsn {
        /// Code.
        pub code: U16,
        /// Jump if true.
        pub jt: u8,
        /// Jump if false.
        pub jf: u8,
        /// Operand.
        pub k: U32,
    }
}

wire! {
    /// What is in a pipe or FIFO, a part of it.
    pub struct PipeData {
        /// [`PIPE_PACKET`].
        pub flags: U32,
        /// Zero.
        pub reserved: U32,
    }
}

wire! {
    /// An eventfd(2).
    pub struct Eventfd {
        /// Id among the Eventfd records.
        pub id: U32,
        /// [`EVENTFD_SEMAPHORE`].
        pub flags: U32,
        /// Its counter.
        pub count: U64,
    }
}

wire! {
    /// How reading goes on of what a process says of itself.
    pub struct ProcText {
        /// Id among the ProcText records.
        pub id: U32,
        /// Must be 0.
        pub reserved: U32,
        /// Where what follows the tail comes from: how many records were read, or an address.
        pub index: U64,
        /// Of mappings: which was the last one, an address.
        pub last: U64,
    }
}

/// [`Eventfd::flags`]: EFD_SEMAPHORE.
pub const EVENTFD_SEMAPHORE: u32 = 1;

/// [`PipeData::flags`]: is read by itself, as it was written with O_DIRECT.
pub const PIPE_PACKET: u32 = 1;

/// Bits of [`Socket::flags`].
pub mod socket_flags {
    /// It is one end of a connection.
    pub const CONNECTED: u32 = 1 << 0;
    /// The other end was closed.
    pub const PEER_GONE: u32 = 1 << 1;
    /// It says who made the other end (SO_PEERCRED).
    pub const PEER_CRED: u32 = 1 << 2;
    /// That process has exited.
    pub const PEER_EXITED: u32 = 1 << 3;
    /// All bits known.
    pub const ALL: u32 = (1 << 4) - 1;
}

/// [`Socket::family`]: AF_UNIX, the only one in this version.
pub const SOCKET_UNIX: u32 = 1;
/// [`Socket::kind`]: SOCK_STREAM.
pub const SOCKET_STREAM: u32 = 1;
/// [`Socket::kind`]: SOCK_DGRAM.
pub const SOCKET_DGRAM: u32 = 2;
/// [`Socket::kind`]: SOCK_SEQPACKET.
pub const SOCKET_SEQPACKET: u32 = 5;
/// [`Socket::error`]: ECONNRESET, the only one in this version.
pub const SOCKET_RESET: u32 = 104;

wire! {
    /// A socket without a name.
    pub struct Socket {
        /// Id among the Socket records.
        pub id: U32,
        /// AF_UNIX.
        pub family: U32,
        /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
        pub kind: U32,
        /// [`socket_flags`].
        pub flags: U32,
        /// The other end, of the two the one that names the other: the id of a Socket before
        /// this one. 0 if there is none, or it comes later.
        pub peer: U32,
        /// What shutdown(2) has ended: 1 reading, 2 writing.
        pub shutdown: U32,
        /// The error that is pending, 0 for none.
        pub error: U32,
        /// Owner, in the user namespace of init.
        pub uid: U32,
        /// Group, in the user namespace of init.
        pub gid: U32,
        /// Type and permission bits.
        pub mode: U32,
        /// Who made the other end, with PEER_CRED: pid, 0 for one outside of the job.
        pub peer_pid: I32,
        /// Its effective user id.
        pub peer_uid: U32,
        /// Its effective group id.
        pub peer_gid: U32,
        /// Zero.
        pub reserved: U32,
    }
}

wire! {
    /// An option of a socket. The numbers are those of the generic uAPI, ascending.
    pub struct SocketOption {
        /// One of [`socket_option`].
        pub name: U32,
        /// Zero.
        pub reserved: U32,
        /// Its value, sign-extended. SO_LINGER: seconds, and bit 32 if it is on; time-outs: us,
        /// 0 for none; SO_PEERGROUPS, as often as there are groups: one of them.
        pub value: U64,
    }
}

/// What [`SocketOption::name`] may be.
pub mod socket_option {
    /// SO_PEERGROUPS: a supplementary group of who made the other end.
    pub const PEERGROUPS: u32 = 59;
    /// All of them: from SO_DEBUG to SO_RIGHTS_NOTRUNC.
    pub const ALL: [u32; 35] = [
        1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 18, 34, 36, 40, 41, 42, 43, 44, 45, 46, 47, 49,
        PEERGROUPS, 66, 67, 69, 72, 75, 76, 82, 83, 84, 85,
    ];
}

wire! {
    /// What waits to be read from a socket: a message, or a piece of a stream, in the order of
    /// reading.
    pub struct SocketData {
        /// Id of the Socket that it waits in.
        pub to: U32,
        /// Id of the Socket that it was sent from, 0 if that was the other end, or had been, and is
        /// gone.
        pub from: U32,
        /// [`socket_data_flags`].
        pub flags: U32,
        /// With CREDS: pid of the sender, 0 for one outside of the job.
        pub pid: I32,
        /// Its user id.
        pub uid: U32,
        /// Its group id.
        pub gid: U32,
    }
}

/// Bits of [`SocketData::flags`].
pub mod socket_data_flags {
    /// It says who sent it (SCM_CREDENTIALS).
    pub const CREDS: u32 = 1 << 0;
    /// That process has exited.
    pub const EXITED: u32 = 1 << 1;
    /// All bits known.
    pub const ALL: u32 = (1 << 2) - 1;
}

wire! {
    /// An address space.
    pub struct Mm {
        /// Id among the Mm records.
        pub id: U32,
        /// File id of the program, /proc/PID/exe.
        pub exe_file: U32,
        /// [`mm_flags`].
        pub flags: U32,
        /// Number of Vma records that follow.
        pub vmas: U32,
        /// Addresses as in /proc/PID/stat and PR_SET_MM_MAP.
        pub start_code: U64,
        /// End of the code.
        pub end_code: U64,
        /// Start of the data.
        pub start_data: U64,
        /// End of the data.
        pub end_data: U64,
        /// Start of the heap.
        pub start_brk: U64,
        /// Current end of the heap.
        pub brk: U64,
        /// Where the stack began.
        pub start_stack: U64,
        /// Arguments.
        pub arg_start: U64,
        /// End of the arguments.
        pub arg_end: U64,
        /// Environment.
        pub env_start: U64,
        /// End of the environment.
        pub env_end: U64,
        /// Below here mmap(2) looks for room first.
        pub mmap_base: U64,
        /// The same for the other width of a task that may use both.
        pub mmap_compat_base: U64,
        /// Largest resident size so far, pages.
        pub hiwater_rss: U64,
        /// Largest virtual size so far, pages.
        pub hiwater_vm: U64,
        /// Coredump filter, as in /proc/PID/coredump_filter.
        pub coredump_filter: U32,
        /// [`membarrier`].
        pub membarrier: U32,
        /// Address of the vdso, 0 if there is none.
        pub vdso: U64,
        /// xxh64 of the code of the vdso.
        pub vdso_hash: U64,
        /// Allocated protection keys, one bit each; 0 where there are none.
        pub pkeys: U32,
        /// The key of execute-only mappings, 0 for none.
        pub exec_only_pkey: U32,
        /// What PR_FUTEX_HASH_SET_SLOTS has set, and 1; 0 if it was not called.
        pub futex_hash: U32,
        /// Id of an Mm before this one that most pages of [`SharedRun`]s are shared with, at the
        /// same addresses; 0 for none.
        pub base: U32,
    }
}

/// Bits of [`Mm::membarrier`]: registrations for membarrier(2).
pub mod membarrier {
    /// MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED.
    pub const GLOBAL_EXPEDITED: u32 = 1 << 2;
    /// MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED.
    pub const PRIVATE_EXPEDITED: u32 = 1 << 4;
    /// MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE.
    pub const PRIVATE_EXPEDITED_SYNC_CORE: u32 = 1 << 6;
    /// MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ.
    pub const PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 8;
    /// All bits known.
    pub const ALL: u32 =
        GLOBAL_EXPEDITED | PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE | PRIVATE_EXPEDITED_RSEQ;
}

/// Bits of [`Mm::flags`].
pub mod mm_flags {
    /// ia32 address space.
    pub const IA32: u32 = 1 << 0;
    /// mmap(2) looks for room from the top down.
    pub const TOPDOWN: u32 = 1 << 1;
    /// mlockall(MCL_FUTURE).
    pub const LOCK_FUTURE: u32 = 1 << 2;
    /// mlockall(MCL_FUTURE | MCL_ONFAULT).
    pub const LOCK_FUTURE_ONFAULT: u32 = 1 << 3;
    /// PR_SET_THP_DISABLE.
    pub const THP_DISABLE: u32 = 1 << 4;
    /// PR_SET_MEMORY_MERGE.
    pub const MERGE_ANY: u32 = 1 << 5;
    /// Has a core-dump format for its width.
    pub const BINFMT: u32 = 1 << 6;
    /// PR_SET_THP_DISABLE with PR_THP_DISABLE_EXCEPT_ADVISED.
    pub const THP_EXCEPT_ADVISED: u32 = 1 << 7;
    /// PR_SET_MDWE.
    pub const MDWE: u32 = 1 << 8;
    /// PR_SET_MDWE with PR_MDWE_NO_INHERIT.
    pub const MDWE_NO_INHERIT: u32 = 1 << 9;
    /// All bits known.
    pub const ALL: u32 = (1 << 10) - 1;
}

wire! {
    /// A segment of the LDT as modify_ldt(2) writes it (struct user_desc).
    pub struct LdtEntry {
        /// Index of the entry.
        pub entry_number: U32,
        /// Base address.
        pub base_addr: U32,
        /// Limit.
        pub limit: U32,
        /// Bits of struct user_desc, from seg_32bit upwards.
        pub flags: U32,
    }
}

/// What stands behind a [`Vma`].
pub mod vma_kind {
    /// Private anonymous memory.
    pub const ANON: u32 = 1;
    /// A file, shared or private.
    pub const FILE: u32 = 2;
    /// Shared anonymous memory, or huge pages without a file, object a Shm id.
    pub const SHM: u32 = 3;
    /// A page range the kernel provides, the vdso and its data.
    pub const VDSO: u32 = 4;
}

/// Bits of [`Vma::flags`].
pub mod vma_flags {
    /// PROT_READ.
    pub const READ: u64 = 1 << 0;
    /// PROT_WRITE.
    pub const WRITE: u64 = 1 << 1;
    /// PROT_EXEC.
    pub const EXEC: u64 = 1 << 2;
    /// MAP_SHARED.
    pub const SHARED: u64 = 1 << 3;
    /// May become readable by mprotect(2).
    pub const MAYREAD: u64 = 1 << 4;
    /// May become writable.
    pub const MAYWRITE: u64 = 1 << 5;
    /// May become executable.
    pub const MAYEXEC: u64 = 1 << 6;
    /// May be shared.
    pub const MAYSHARE: u64 = 1 << 7;
    /// Grows down like a stack.
    pub const GROWSDOWN: u64 = 1 << 8;
    /// Locked in memory.
    pub const LOCKED: u64 = 1 << 9;
    /// Locked when touched.
    pub const LOCKONFAULT: u64 = 1 << 10;
    /// MADV_SEQUENTIAL.
    pub const SEQ_READ: u64 = 1 << 11;
    /// MADV_RANDOM.
    pub const RAND_READ: u64 = 1 << 12;
    /// MADV_DONTFORK.
    pub const DONTCOPY: u64 = 1 << 13;
    /// Counted against the commit limit.
    pub const ACCOUNT: u64 = 1 << 14;
    /// MAP_NORESERVE.
    pub const NORESERVE: u64 = 1 << 15;
    /// MADV_DONTDUMP.
    pub const DONTDUMP: u64 = 1 << 16;
    /// MADV_WIPEONFORK.
    pub const WIPEONFORK: u64 = 1 << 17;
    /// MADV_HUGEPAGE.
    pub const HUGEPAGE: u64 = 1 << 18;
    /// MADV_NOHUGEPAGE.
    pub const NOHUGEPAGE: u64 = 1 << 19;
    /// MADV_MERGEABLE.
    pub const MERGEABLE: u64 = 1 << 20;
    /// Tracked as written since the last clear_refs.
    pub const SOFTDIRTY: u64 = 1 << 21;
    /// MAP_DROPPABLE.
    pub const DROPPABLE: u64 = 1 << 22;
    /// mseal(2).
    pub const SEALED: u64 = 1 << 23;
    /// Private, and no huge pages are reserved for it, although not [`NORESERVE`]: as after
    /// fork(2).
    pub const UNRESERVED: u64 = 1 << 24;
    /// All bits known.
    pub const ALL: u64 = (1 << 25) - 1;
}

wire! {
    /// A mapping.
    pub struct Vma {
        /// First address.
        pub start: U64,
        /// Address behind the last byte.
        pub end: U64,
        /// Offset in the object in bytes; for private anonymous memory the
        /// kernel's notion of it.
        pub offset: U64,
        /// [`vma_flags`].
        pub flags: U64,
        /// One of [`vma_kind`].
        pub kind: U32,
        /// Id of the File or Shm record, 0 without.
        pub object: U32,
        /// Protection key.
        pub pkey: U32,
        /// Logarithm of the size of its huge pages (MAP_HUGETLB, hugetlbfs), 0 without.
        pub huge_shift: U32,
    }
}

wire! {
    /// A NUMA policy, as set_mempolicy(2) and mbind(2) take it.
    pub struct NumaPolicy {
        /// MPOL_*, without flags.
        pub mode: U32,
        /// MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING.
        pub flags: U32,
        /// Of a mapping: set_mempolicy_home_node(2), -1 for none.
        pub home_node: I32,
        /// Zero.
        pub reserved: U32,
    }
}

/// MPOL_DEFAULT: none.
pub const MPOL_DEFAULT: u32 = 0;
/// MPOL_BIND.
pub const MPOL_BIND: u32 = 2;
/// MPOL_PREFERRED_MANY.
pub const MPOL_PREFERRED_MANY: u32 = 5;
/// MPOL_WEIGHTED_INTERLEAVE, the last one.
pub const MPOL_WEIGHTED_INTERLEAVE: u32 = 6;
/// [`NumaPolicy::flags`]: MPOL_F_STATIC_NODES.
pub const MPOL_STATIC_NODES: u32 = 1 << 15;
/// [`NumaPolicy::flags`]: MPOL_F_RELATIVE_NODES.
pub const MPOL_RELATIVE_NODES: u32 = 1 << 14;
/// [`NumaPolicy::flags`]: MPOL_F_NUMA_BALANCING.
pub const MPOL_NUMA_BALANCING: u32 = 1 << 13;

wire! {
    /// Consecutive pages: those whose content is in the image, or guards.
    pub struct Run {
        /// First address in an Mm, offset in bytes in a Shm or FileData.
        pub start: U64,
        /// How many pages.
        pub pages: U32,
        /// Zero.
        pub flags: U32,
    }
}

wire! {
    /// Consecutive pages that are also those of another address space, since fork(2) or for they
    /// were merged. Their content is among the [`Run`]s of that one.
    pub struct SharedRun {
        /// First address.
        pub start: U64,
        /// The first one in the other.
        pub from: U64,
        /// How many pages.
        pub pages: U32,
        /// Id of the other, an Mm before this one.
        pub mm: U32,
    }
}

wire! {
    /// Pages of an Mm that have not changed since the parent was written.
    pub struct ParentRuns {
        /// Id of the Mm in the parent, where they have the same addresses. There they are in its
        /// [`Run`]s, in its [`SharedRun`]s, or those of its own parent.
        pub mm: U32,
        /// Zero.
        pub reserved: U32,
    }
}

wire! {
    /// A table of file descriptors.
    pub struct FdTable {
        /// Id among the FdTable records.
        pub id: U32,
        /// Number of entries.
        pub count: U32,
    }
}

wire! {
    /// A file descriptor.
    pub struct Fd {
        /// Its number.
        pub fd: U32,
        /// Id of the File record.
        pub file: U32,
        /// FD_CLOEXEC or 0.
        pub flags: U32,
    }
}

wire! {
    /// Working directory, root and umask.
    pub struct Fs {
        /// Id among the Fs records.
        pub id: U32,
        /// Id of the Path record of the root.
        pub root: U32,
        /// Id of the Path record of the working directory.
        pub cwd: U32,
        /// File mode creation mask.
        pub umask: U32,
    }
}

wire! {
    /// A process group or session that has lost its leader, which was in a pid namespace
    /// below that of the job. Others have a number in that of the job only.
    pub struct Group {
        /// Its number in the namespace of the job.
        pub id: I32,
        /// The init of the pid namespace that its leader was in.
        pub pid_ns: I32,
    }
}

wire! {
    /// A task.
    pub struct Task {
        /// Pid in the namespace of the job.
        pub pid: I32,
        /// Thread group.
        pub tgid: I32,
        /// Parent; 1 is init, 0 a parent outside the namespace (init after a restart).
        pub ppid: I32,
        /// Process group; 0 for that of init. Its leader may be gone.
        pub pgid: I32,
        /// Session; 0 for that of init. Its leader may be gone.
        pub sid: I32,
        /// Signal sent to the parent on exit.
        pub exit_signal: I32,
        /// Id of its Mm.
        pub mm: U32,
        /// Id of its FdTable.
        pub files: U32,
        /// Id of its Fs.
        pub fs: U32,
        /// Id of its Sighand.
        pub sighand: U32,
        /// [`task_flags`].
        pub flags: U32,
        /// The signal that stopped it or its process, 0 for none.
        pub stop_signal: U32,
        /// Command name, padded with NUL.
        pub comm: [u8; 16],
        /// The thread of the parent that counts as the one which made it; 0 for
        /// the first thread, or without a parent in the job.
        pub parent: I32,
        /// The child that it waits for in vfork(2), 0 for none.
        pub vfork: I32,
        /// Its place among the children of that thread: the order is what counts.
        pub rank: U32,
        /// The init of its pid namespace, 0 for that of the job.
        pub pid_ns: I32,
        /// The init of the pid namespace that its children will be in, -1 for one
        /// that is still without, 0 for its own.
        pub children_ns: I32,
    }
}

/// Bits of [`Task::flags`].
pub mod task_flags {
    /// Stopped by job control.
    pub const STOPPED: u32 = 1 << 0;
    /// Its controlling terminal is the one of init.
    pub const INIT_TTY: u32 = 1 << 1;
    /// Was about to take part in a stop of its process that is not complete without it.
    pub const STOP_PENDING: u32 = 1 << 2;
    /// The process is stopped. This and what follows is the same for all threads of a process.
    pub const GROUP_STOPPED: u32 = 1 << 3;
    /// The process was continued, and its parent has not waited for that.
    pub const GROUP_CONTINUED: u32 = 1 << 4;
    /// The parent has not waited for the stop.
    pub const STOP_WAITABLE: u32 = 1 << 5;
    /// The parent is still to be told of a stop.
    pub const NOTIFY_STOPPED: u32 = 1 << 6;
    /// The parent is still to be told that the process goes on.
    pub const NOTIFY_CONTINUED: u32 = 1 << 7;
    /// Has not called execve(2) since it was forked.
    pub const FORKED: u32 = 1 << 8;
    /// Has exited, and waits for its parent to wait for it.
    pub const ZOMBIE: u32 = 1 << 9;
    /// The first thread of a process, which has exited while others live on.
    pub const LEADER_GONE: u32 = 1 << 10;
    /// The parent has called execve(2) since it made the process, and is sent SIGCHLD in place of
    /// the signal.
    pub const PARENT_CHANGED: u32 = 1 << 11;
    /// All bits known.
    pub const ALL: u32 = (1 << 12) - 1;
}

/// Of [`task_flags`], what is the same for all threads of a process.
pub const FLAGS_OF_PROCESS: u32 = task_flags::INIT_TTY
    | task_flags::GROUP_STOPPED
    | task_flags::GROUP_CONTINUED
    | task_flags::STOP_WAITABLE
    | task_flags::NOTIFY_STOPPED
    | task_flags::NOTIFY_CONTINUED;

wire! {
    /// Resources a process has used (getrusage(2)).
    pub struct Usage {
        /// Time in user mode, ns.
        pub utime_ns: U64,
        /// Time in the kernel, ns.
        pub stime_ns: U64,
        /// Time as a virtual CPU, ns, part of `utime_ns`.
        pub gtime_ns: U64,
        /// Page faults without I/O.
        pub min_flt: U64,
        /// Page faults with I/O.
        pub maj_flt: U64,
        /// Voluntary context switches.
        pub nvcsw: U64,
        /// Involuntary context switches.
        pub nivcsw: U64,
        /// Blocks of 512 bytes read.
        pub inblock: U64,
        /// Blocks of 512 bytes written.
        pub oublock: U64,
        /// Most memory that was resident, bytes.
        pub maxrss: U64,
    }
}

wire! {
    /// How a zombie ended, or the first thread of a process that lives on.
    pub struct Exit {
        /// What wait(2) says of it, or will say should nothing else happen.
        pub status: U32,
        /// Zero.
        pub reserved: U32,
        /// Signals it had blocked.
        pub blocked: U64,
        /// What it has used itself.
        pub own: Usage,
        /// What its children have used that it has waited for.
        pub children: Usage,
    }
}

wire! {
    /// What a task has used. What is said of its process counts in a thread group leader.
    pub struct TaskUsage {
        /// The task itself.
        pub own: Usage,
        /// Threads of the process that are gone; the maximum is that of the process.
        pub gone: Usage,
        /// What the children of the process have used that it has waited for.
        pub children: Usage,
        /// Time on CPUs, ns.
        pub runtime_ns: U64,
        /// That of the threads that are gone.
        pub gone_runtime_ns: U64,
        /// What was last told of the time of the task in user mode, ns.
        pub told_utime_ns: U64,
        /// The same, in the kernel.
        pub told_stime_ns: U64,
        /// The same of the process, in user mode.
        pub process_utime_ns: U64,
        /// The same of the process, in the kernel.
        pub process_stime_ns: U64,
    }
}

wire! {
    /// A register set, as in core dumps and PTRACE_GETREGSET. All tasks have
    /// those of 64-bit tasks. Of NT_X86_XSTATE, what follows the last component
    /// in use may be missing; where its components are, NT_X86_XSAVE_LAYOUT says.
    pub struct Regset {
        /// NT_* of the set.
        pub note: U32,
        /// Zero.
        pub reserved: U32,
    }
}

wire! {
    /// x86 debug registers with user-space breakpoints.
    pub struct DebugRegs {
        /// DR0 to DR3.
        pub addr: [U64; 4],
        /// DR6 as ptrace shows it.
        pub dr6: U64,
        /// DR7.
        pub dr7: U64,
    }
}

/// Bits of [`ThreadX86::flags`].
pub mod thread_x86 {
    /// Runs with ia32 addresses.
    pub const ADDR32: u32 = 1 << 0;
    /// The interrupted system call was an ia32 one.
    pub const COMPAT_SYSCALL: u32 = 1 << 1;
    /// RDTSC traps (PR_SET_TSC).
    pub const NOTSC: u32 = 1 << 2;
    /// CPUID traps (ARCH_CPUID).
    pub const NOCPUID: u32 = 1 << 3;
    /// All bits known.
    pub const ALL: u32 = (1 << 4) - 1;
}

wire! {
    /// What x86 keeps for a thread beside its register sets.
    pub struct ThreadX86 {
        /// [`thread_x86`].
        pub flags: U32,
        /// Emulated I/O privilege level, iopl(2).
        pub iopl: U32,
        /// xstate components permitted by ARCH_REQ_XCOMP_PERM.
        pub xcomp_perm: U64,
        /// Address of the last page fault, as signal frames show it.
        pub cr2: U64,
        /// Vector of the last exception, as signal frames show it.
        pub trap_nr: U32,
        /// Its error code.
        pub error_code: U32,
        /// xstate components permitted by ARCH_REQ_XCOMP_GUEST_PERM.
        pub guest_perm: U64,
    }
}

wire! {
    /// Signal state of a thread.
    pub struct Signals {
        /// Blocked signals.
        pub blocked: U64,
        /// Mask to put back, with SAVED.
        pub saved: U64,
        /// bit 0 SAVED: the mask in force is one of sigsuspend, ppoll, ...
        pub flags: U32,
        /// Flags of the alternate stack.
        pub altstack_flags: U32,
        /// Its address.
        pub altstack_sp: U64,
        /// Its length.
        pub altstack_size: U64,
    }
}

/// [`Signals::flags`]: a saved mask is put back on the way to user space.
pub const SIGNALS_SAVED: u32 = 1;

wire! {
    /// A queue of pending signals.
    pub struct Pending {
        /// 0: of the thread, 1: of the process.
        pub shared: U32,
        /// Number of siginfo_t in the tail.
        pub count: U32,
        /// The set; signals in it without a siginfo_t lost theirs, or are those of timers.
        pub set: U64,
    }
}

wire! {
    /// Credentials; ids are those of the user namespace of the pid namespace.
    pub struct Creds {
        /// Real user id.
        pub uid: U32,
        /// Real group id.
        pub gid: U32,
        /// Saved user id.
        pub suid: U32,
        /// Saved group id.
        pub sgid: U32,
        /// Effective user id.
        pub euid: U32,
        /// Effective group id.
        pub egid: U32,
        /// User id for file access.
        pub fsuid: U32,
        /// Group id for file access.
        pub fsgid: U32,
        /// SECBIT_*.
        pub securebits: U32,
        /// PR_SET_NO_NEW_PRIVS.
        pub no_new_privs: U32,
        /// Capability sets.
        pub cap_inheritable: U64,
        /// Permitted.
        pub cap_permitted: U64,
        /// Effective.
        pub cap_effective: U64,
        /// Bounding.
        pub cap_bset: U64,
        /// Ambient.
        pub cap_ambient: U64,
    }
}

wire! {
    /// A resource limit.
    pub struct Rlimit {
        /// Soft limit.
        pub cur: U64,
        /// Hard limit.
        pub max: U64,
    }
}

/// What [`RestartBlock`] continues.
pub mod restart_kind {
    /// Nothing: the call gives EINTR.
    pub const NONE: u32 = 0;
    /// nanosleep(2), clock_nanosleep(2) on a clock of hrtimers.
    pub const NANOSLEEP: u32 = 1;
    /// poll(2).
    pub const POLL: u32 = 2;
    /// futex(2), FUTEX_WAIT.
    pub const FUTEX: u32 = 3;
    /// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2).
    pub const EPOLL: u32 = 4;
    /// semtimedop(2).
    pub const SEM: u32 = 5;
    /// rt_sigtimedwait(2).
    pub const SIGWAIT: u32 = 6;
    /// A system call that is called again as it was, with the arguments that are in its registers.
    pub const CALL: u32 = 7;
    /// clock_nanosleep(2) on CLOCK_REALTIME_ALARM or CLOCK_BOOTTIME_ALARM.
    pub const ALARM: u32 = 8;
    /// clock_nanosleep(2) on CPU time of the process itself.
    pub const CPU: u32 = 9;
}

wire! {
    /// How an interrupted system call goes on (restart_syscall(2)).
    pub struct RestartBlock {
        /// One of [`restart_kind`].
        pub kind: U32,
        /// NANOSLEEP: clock; POLL: number of descriptors; FUTEX: value; EPOLL: descriptor;
        /// SEM: id of the semaphores; CALL: number of the system call; CPU: 0 time, 1 time in user
        /// mode, 2 time as the scheduler counts it.
        pub word: U32,
        /// NANOSLEEP, ALARM, CPU: where the time left goes; POLL: the descriptors; FUTEX: the word
        /// waited on; EPOLL: where events go; SEM: the operations; SIGWAIT: the signals.
        pub uptr: U64,
        /// NANOSLEEP, ALARM, CPU: 0 nowhere, 1 struct timespec, 2 struct old_timespec32; FUTEX:
        /// FUTEX2_* flags; EPOLL: number of events; SEM: number of operations.
        pub flags: U32,
        /// FUTEX: bitset; EPOLL: size of the signal mask.
        pub bitset: U32,
        /// 1: [`RestartBlock::left_ns`] was measured with `clock`; 0: no time-out, CPU: CPU time.
        pub timed: U32,
        /// Clock id that [`RestartBlock::left_ns`] was measured with; ALARM: CLOCK_REALTIME or
        /// CLOCK_BOOTTIME.
        pub clock: U32,
        /// Time that was left, ns; 0 when it had run out. On CLOCK_REALTIME and CLOCK_TAI: from
        /// [`Job::realtime_ns`] on, whenever the restart is.
        pub left_ns: U64,
        /// 1: an ia32 system call.
        pub compat: U32,
        /// Zero.
        pub reserved: U32,
        /// EPOLL: the signal mask; SIGWAIT: where the siginfo goes.
        pub uptr2: U64,
    }
}

wire! {
    /// State that prctl(2) and its like set.
    pub struct Attr {
        /// personality(2).
        pub personality: U32,
        /// PR_SET_PDEATHSIG.
        pub pdeath_signal: U32,
        /// /proc/PID/oom_score_adj.
        pub oom_score_adj: I32,
        /// PR_SET_DUMPABLE.
        pub dumpable: U32,
        /// PR_SET_TIMERSLACK, ns.
        pub timer_slack_ns: U64,
        /// The value PR_SET_TIMERSLACK 0 goes back to, ns.
        pub default_timer_slack_ns: U64,
        /// PR_SET_CHILD_SUBREAPER.
        pub subreaper: U32,
        /// I/O priority, ioprio_get(2).
        pub ioprio: U32,
        /// Lowest oom_score_adj that needs no capability.
        pub oom_score_adj_min: I32,
        /// PR_SET_SPECULATION_CTRL, a byte for each control, the lowest for the first one:
        /// PR_SPEC_ENABLE and its kin; 0 for what tasks did not control.
        pub speculation: U32,
        /// [`attr_flags`].
        pub flags: U32,
        /// Id of the newest seccomp filter that it has and init has not, 0 for none.
        pub seccomp: U32,
        /// The I/O context (CLONE_IO) that it shares with others: they are counted from 1 in
        /// order of appearance. 0 for one of its own, or none.
        pub io_context: U32,
        /// Zero.
        pub reserved: U32,
        /// The list of semaphore operations to undo (CLONE_SYSVSEM), empty, that it shares with
        /// others: as io_context.
        pub sem_undo: U32,
        /// Its core scheduling cookie (PR_SCHED_CORE): as io_context. 0 for that of init, or none.
        pub core_cookie: U32,
        /// Nice value of the scheduling group of the session that it leads.
        pub autogroup_nice: I32,
        /// PR_SET_SYSCALL_USER_DISPATCH: PR_SYS_DISPATCH_*.
        pub dispatch: U32,
        /// Where its range begins.
        pub dispatch_start: U64,
        /// How long that is.
        pub dispatch_len: U64,
        /// Address of its selector, 0 for none.
        pub dispatch_selector: U64,
    }
}

/// Bytes of [`Attr::speculation`] in use.
pub const SPECULATION_CONTROLS: usize = 3;
/// What each may be: PR_SPEC_ENABLE, _DISABLE, _FORCE_DISABLE, _DISABLE_NOEXEC.
pub const SPECULATION_VALUES: [u8; 5] = [0, 1 << 1, 1 << 2, 1 << 3, 1 << 4];
/// The last one of [`Attr::dispatch`]: PR_SYS_DISPATCH_INCLUSIVE_ON.
pub const DISPATCH_INCLUSIVE: u32 = 2;

/// Bits of [`Attr::flags`].
pub mod attr_flags {
    /// CLONE_AUTOREAP: the parent does not wait for it.
    pub const AUTOREAP: u32 = 1 << 0;
    /// PR_MCE_KILL_SET.
    pub const MCE_PROCESS: u32 = 1 << 1;
    /// PR_MCE_KILL_EARLY.
    pub const MCE_EARLY: u32 = 1 << 2;
    /// PR_SET_IO_FLUSHER.
    pub const IO_FLUSHER: u32 = 1 << 3;
    /// PR_TIMER_CREATE_RESTORE_IDS.
    pub const TIMER_RESTORE_IDS: u32 = 1 << 4;
    /// Confined by the seccomp filters of init, if not by more.
    pub const SECCOMP_OF_INIT: u32 = 1 << 5;
    /// Confined by SECCOMP_MODE_STRICT.
    pub const SECCOMP_STRICT: u32 = 1 << 6;
    /// All bits known.
    pub const ALL: u32 = (1 << 7) - 1;
}

wire! {
    /// Scheduling, as sched_setattr(2) sets it. The tail is what sched_setaffinity(2) was last
    /// asked for, empty if it never was.
    pub struct Sched {
        /// SCHED_*.
        pub policy: U32,
        /// Nice value.
        pub nice: I32,
        /// Priority of real-time policies.
        pub priority: U32,
        /// SCHED_FLAG_RESET_ON_FORK, those of SCHED_DEADLINE, and those that say which
        /// utilization clamps were set.
        pub flags: U32,
        /// SCHED_DEADLINE; a slice of its own for others, 0 for none.
        pub runtime: U64,
        /// SCHED_DEADLINE.
        pub deadline: U64,
        /// SCHED_DEADLINE.
        pub period: U64,
        /// With SCHED_FLAG_UTIL_CLAMP_MIN: the lower utilization clamp, else 0.
        pub util_min: U32,
        /// With SCHED_FLAG_UTIL_CLAMP_MAX: the upper one, else 0.
        pub util_max: U32,
    }
}

/// [`Sched::flags`]: SCHED_FLAG_UTIL_CLAMP_MIN.
pub const SCHED_UTIL_MIN: u32 = 0x20;
/// [`Sched::flags`]: SCHED_FLAG_UTIL_CLAMP_MAX.
pub const SCHED_UTIL_MAX: u32 = 0x40;
/// Largest utilization clamp: SCHED_CAPACITY_SCALE.
pub const MAX_UTIL: u32 = 1024;

wire! {
    /// User addresses that the kernel was told of.
    pub struct UserPtrs {
        /// set_tid_address(2).
        pub clear_child_tid: U64,
        /// set_robust_list(2).
        pub robust_list: U64,
        /// The same of an ia32 task.
        pub compat_robust_list: U64,
        /// rseq(2), 0 when not registered.
        pub rseq: U64,
        /// Length of the rseq area.
        pub rseq_len: U32,
        /// Signature of the rseq area.
        pub rseq_sig: U32,
        /// [`RSEQ_SLICE`].
        pub rseq_flags: U32,
        /// Zero.
        pub reserved: U32,
    }
}

/// [`UserPtrs::rseq_flags`]: time slice extensions are enabled.
pub const RSEQ_SLICE: u32 = 1;

wire! {
    /// A timer of setitimer(2) or alarm(2).
    pub struct Itimer {
        /// [`ITIMER_ARMED`].
        pub flags: U32,
        /// Zero.
        pub reserved: U32,
        /// Its interval, ns, 0 for none.
        pub interval_ns: U64,
        /// Time that was left, ns. Less than 0 when it had expired; it counts with an interval
        /// then.
        pub left_ns: I64,
    }
}

/// [`Itimer::flags`]: it runs.
pub const ITIMER_ARMED: u32 = 1;

wire! {
    /// Timers of a process.
    pub struct Timers {
        /// ITIMER_REAL.
        pub real: Itimer,
        /// ITIMER_VIRTUAL.
        pub virt: Itimer,
        /// ITIMER_PROF.
        pub prof: Itimer,
        /// The ID that timer_create(2) tries next.
        pub next_id: I32,
        /// Zero.
        pub reserved: U32,
    }
}

/// Bits of [`Timer::flags`].
pub mod timer_flags {
    /// It runs.
    pub const ARMED: u32 = 1 << 0;
    /// It has expired, and goes on when its signal is delivered.
    pub const REQUEUE: u32 = 1 << 1;
    /// [`Timer::left_ns`](super::Timer::left_ns) counts.
    pub const TIMED: u32 = 1 << 2;
    /// A CLOCK_REALTIME timer that was set with a relative time, which changes of the clock do not
    /// concern.
    pub const RELATIVE: u32 = 1 << 3;
    /// Its signal is pending.
    pub const QUEUED: u32 = 1 << 4;
    /// It was set anew after the signal was queued: nobody gets that.
    pub const STALE: u32 = 1 << 5;
    /// It has expired, and goes on when its signal is no longer ignored.
    pub const IGNORED: u32 = 1 << 6;
    /// It had an interval when its signal was queued.
    pub const PERIODIC: u32 = 1 << 7;
    /// All bits known.
    pub const ALL: u32 = (1 << 8) - 1;
}

wire! {
    /// A timer of timer_create(2).
    pub struct Timer {
        /// Its ID.
        pub id: I32,
        /// CLOCK_*, or the clock of a process or thread as clock_getcpuclockid(3) gives it; there 0
        /// stands for the pid of the process or thread that has created the timer.
        pub clock: I32,
        /// The process or thread whose CPU time it measures, 0 for another clock.
        pub cpu_pid: I32,
        /// SIGEV_*.
        pub notify: I32,
        /// The signal.
        pub signo: I32,
        /// With SIGEV_THREAD_ID: the thread that gets the signal, else 0.
        pub target: I32,
        /// What the signal brings.
        pub value: U64,
        /// [`timer_flags`].
        pub flags: U32,
        /// Zero.
        pub reserved: U32,
        /// Its interval, ns, 0 for none.
        pub interval_ns: U64,
        /// Time that was left, ns; less than 0 when it has expired. On CLOCK_REALTIME, but for
        /// RELATIVE, on CLOCK_REALTIME_ALARM and on CLOCK_TAI: from [`Job::realtime_ns`] on,
        /// whenever the restart is.
        pub left_ns: I64,
        /// How often it has expired beyond the first time since it was set or its signal was last
        /// delivered, less one.
        pub overrun: I64,
        /// What timer_getoverrun(2) says.
        pub overrun_last: I64,
    }
}

wire! {
    /// Where the pending signal of a timer stands.
    pub struct TimerSignal {
        /// ID of the timer; -1 for the first of the DeletedTimers, -2 for the next, and so on.
        pub timer: I32,
        /// 0: in the queue of the thread, 1: of the process.
        pub shared: U32,
        /// How many siginfo_t of the Pending record stand before it.
        pub place: U32,
    }
}

wire! {
    /// A timer of timer_create(2) that was deleted while its signal was pending. Nobody gets that
    /// any more, but it shows as pending until somebody looks for it.
    pub struct DeletedTimer {
        /// The ID it had.
        pub id: I32,
        /// The signal.
        pub signo: I32,
        /// What it would have brought.
        pub value: U64,
    }
}

wire! {
    /// The end of the metadata.
    pub struct End {
        /// Records in front of this one.
        pub records: U64,
        /// Pages of data.
        pub pages: U64,
    }
}

/// Length of a siginfo_t in a [`Pending`] record.
pub const SIGINFO_LEN: usize = 128;
/// Signals there are; the tail of a [`Sighand`] has as many actions.
pub const SIGNALS: usize = 64;
