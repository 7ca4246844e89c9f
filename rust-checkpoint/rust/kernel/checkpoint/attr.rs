// SPDX-License-Identifier: GPL-2.0-only

//! What prctl(2), setrlimit(2), sched_setattr(2) and their like set, and what
//! of a task can't be saved.
//!
//! C headers: [`include/linux/checkpoint.h`](srctree/include/linux/checkpoint.h),
//! [`include/linux/sched/exec_state.h`](srctree/include/linux/sched/exec_state.h)

use super::{clone::Newborn, task::Still};
use crate::{
    bindings,
    error::to_result,
    pid_namespace::PidNamespace,
    prelude::*,
    task::Task, //
};
use core::ptr::NonNull;

/// State of a task that prctl(2) and its like set.
#[doc(alias = "checkpoint_attr")]
pub type Attr = bindings::checkpoint_attr;

/// That of a task.
pub fn of(task: &Still<'_>) -> Attr {
    let mut attr = Attr::default();
    // SAFETY: the task is alive and does not run.
    unsafe { bindings::checkpoint_get_attr(task.as_ptr(), &mut attr) };
    attr
}

/// Gives it to the current task, but for its reaping; what belongs to the
/// process when `leader` is. `EACCES`, `EPERM`, `EINVAL` as the calls that set it.
pub fn set(attr: &Attr, leader: bool) -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_set_attr(attr, leader) })
}

/// The I/O context that a task shares with others (CLONE_IO), if it does.
#[doc(alias = "io_context")]
pub fn shared_io(task: &Still<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: the task is alive; it keeps its context until it exits, which it
    // does not while it stands still.
    let address = unsafe { bindings::checkpoint_shared_io_context(task.as_ptr()) };
    NonNull::new(address.cast_mut())
}

/// The memory that a task shares with others than threads of its process (CLONE_VM), if it
/// does. The caller has no reference to it.
#[doc(alias = "mm_struct")]
pub fn shared_mm(task: &Still<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: the task is alive, and keeps its memory while it stands still.
    let address = unsafe { bindings::checkpoint_shared_mm(task.as_ptr()) };
    NonNull::new(address.cast_mut())
}

/// The signal actions that a task shares with others than threads of its process
/// (CLONE_SIGHAND), if it does.
#[doc(alias = "sighand_struct")]
pub fn shared_sighand(task: &Still<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: the task is alive, and keeps its actions while it stands still.
    let address = unsafe { bindings::checkpoint_shared_sighand(task.as_ptr()) };
    NonNull::new(address.cast_mut())
}

/// Has the current task have an I/O context for others to share.
pub fn own_io() -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_own_io_context() })
}

/// Has the current task share the I/O context of `owner`. `ESRCH`: that one has
/// none, or none any more.
pub fn share_io(owner: &Task) -> Result {
    // SAFETY: there is a reference to the owner; takes the lock under which its
    // exit takes the context away.
    to_result(unsafe { bindings::checkpoint_share_io_context(owner.as_ptr()) })
}

/// Speculation controls that PR_SET_SPECULATION_CTRL knows.
pub const SPECULATION_CONTROLS: usize = bindings::CHECKPOINT_SPEC_CONTROLS as usize;

/// Sets a speculation control of the current task, with the checks of
/// PR_SET_SPECULATION_CTRL. `ENXIO`, `EPERM`: this machine, or init, does not let it.
#[doc(alias = "PR_SET_SPECULATION_CTRL")]
pub fn set_speculation(which: usize, control: u8) -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_set_speculation(which as c_uint, control) })
}

/// Has system calls of the current task dispatched to user space as `attr` says, with
/// the checks of PR_SET_SYSCALL_USER_DISPATCH.
#[doc(alias = "PR_SET_SYSCALL_USER_DISPATCH")]
pub fn set_dispatch(attr: &Attr) -> Result {
    // SAFETY: called by the current task on its own behalf; it makes no system call
    // before it is in user mode.
    to_result(unsafe { bindings::checkpoint_set_dispatch(attr) })
}

/// Sets the nice value of the scheduling group of the session of the current task,
/// which has made it. `EINVAL`: it has none.
#[doc(alias = "sched_autogroup")]
pub fn set_autogroup_nice(nice: i32) -> Result {
    // SAFETY: called by the current task on its own behalf; may sleep.
    to_result(unsafe { bindings::checkpoint_set_autogroup_nice(nice) })
}

/// Something that tasks of a job share, by an address that no other one has while a task
/// is there that has it; and whether others than those tasks have it.
#[repr(transparent)]
pub struct Shared(bindings::checkpoint_shared);

impl Shared {
    /// Of which it is not known yet.
    pub fn new(address: *const c_void) -> Self {
        Self(bindings::checkpoint_shared {
            address,
            outside: false,
        })
    }

    /// Whether others have it.
    pub fn is_outside(&self) -> bool {
        self.0.outside
    }
}

/// Finds out which of `objects`, whose addresses ascend and which tasks have that stand
/// still, processes outside of `ns` or its init have, too; called by its init. They are
/// memories, signal actions, tables of descriptors, places, I/O contexts, lists to undo and
/// core scheduling cookies. Looks at all tasks of the machine, so it is called once.
pub fn find_outside(ns: &PidNamespace, objects: &mut [Shared]) {
    // SAFETY: the namespace is alive; `Shared` has the layout of what it wraps. The
    // addresses are only compared with what tasks have, under RCU.
    unsafe {
        bindings::checkpoint_find_outside(ns.as_ptr(), objects.as_mut_ptr().cast(), objects.len())
    }
}

/// The core scheduling cookie of a task, if it is not that of init; called by init. One
/// that init has is not taken for one that is outside.
#[doc(alias = "PR_SCHED_CORE")]
pub fn core_cookie(task: &Still<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: the task is alive, and keeps its cookie while it stands still.
    let address = unsafe { bindings::checkpoint_core_cookie(task.as_ptr()) };
    NonNull::new(address.cast_mut())
}

/// Gives the current task the core scheduling cookie of `owner`, which came with the same
/// restart, or a new one, as PR_SCHED_CORE.
pub fn join_core_cookie(owner: Option<&Task>) -> Result {
    let owner = owner.map_or(core::ptr::null_mut(), |owner| owner.as_ptr());
    // SAFETY: there is a reference to the owner, if any.
    to_result(unsafe { bindings::checkpoint_join_core_cookie(owner) })
}

/// The list of semaphore operations to undo that a task shares with others
/// (CLONE_SYSVSEM), if it does; called by its init.
#[doc(alias = "sem_undo_list")]
pub fn shared_sem_undo(task: &Still<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: the task is alive, and keeps its list while it stands still.
    let address = unsafe { bindings::checkpoint_shared_sem_undo(task.as_ptr()) };
    NonNull::new(address.cast_mut())
}

/// Has the current task share the list of semaphore operations to undo of `owner`, or
/// have an empty one for others to share. `ESRCH`: that one has none any more.
pub fn share_sem_undo(owner: Option<&Task>) -> Result {
    let owner = owner.map_or(core::ptr::null_mut(), |owner| owner.as_ptr());
    // SAFETY: there is a reference to the owner, if any; takes the lock which its exit
    // takes before it takes the list away.
    to_result(unsafe { bindings::checkpoint_sem_share_undo(owner) })
}

/// Has the current process reaped by itself when it exits (CLONE_AUTOREAP).
pub fn set_autoreap(autoreap: bool) {
    // SAFETY: called by the current task on its own behalf.
    unsafe { bindings::checkpoint_set_autoreap(autoreap) };
}

/// The signal a task gets when its parent dies; 0 for none.
pub fn pdeath_signal(task: &Still<'_>) -> u32 {
    // SAFETY: the task is alive and does not run; only it changes this.
    unsafe { (*task.as_ptr()).pdeath_signal }
        .try_into()
        .unwrap_or(0)
}

/// Sets it for the current task; after its credentials, which clear it.
pub fn set_pdeath_signal(signal: u32) -> Result {
    if signal as usize > super::signal::SIGNALS {
        return Err(EINVAL);
    }
    // SAFETY: called by the current task on its own behalf, with a signal.
    unsafe { bindings::checkpoint_set_pdeath_signal(signal as c_int) };
    Ok(())
}

/// PR_GET_DUMPABLE of a task.
#[doc(alias = "task_exec_state_get_dumpable")]
pub fn dumpable(task: &Task) -> u32 {
    // SAFETY: the task is alive.
    unsafe { bindings::task_exec_state_get_dumpable(task.as_ptr()) }
}

/// Sets it for the current task, which has an address space of its own; after
/// its credentials, which change it.
///
/// That root is to have the core dump is for the system to say (fs.suid_dumpable), not for
/// prctl(2): where this one does not, nobody has it.
pub fn set_dumpable(mut dumpable: u32) -> Result {
    let root = bindings::task_dumpable_TASK_DUMPABLE_ROOT;
    if dumpable > root {
        return Err(EINVAL);
    }
    // SAFETY: a scalar that lives as long as the kernel; it may change at any time.
    let of_system = unsafe { (&raw const bindings::suid_dumpable).read_volatile() };
    if dumpable == root && of_system != root as c_int {
        dumpable = bindings::task_dumpable_TASK_DUMPABLE_OFF;
    }
    // SAFETY: called by the current task on its own behalf, with a value that
    // there is.
    unsafe { bindings::task_exec_state_set_dumpable(dumpable) };
    Ok(())
}

/// Gives the current task a dumpability of its own, which its credentials change: one that
/// gets no address space has that of init.
pub fn unshare_dumpable(_newborn: &Newborn) -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_unshare_exec_state() })
}

/// Resource limits there are.
pub const RLIMITS: usize = bindings::RLIM_NLIMITS as usize;

/// A resource limit, soft and hard.
pub type Rlimit = bindings::rlimit;

/// # Safety
///
/// `task` is valid and was not released: a thread that was may have outlived the leader of its
/// process, whose lock is taken.
unsafe fn rlimits_of(task: *mut bindings::task_struct) -> [Rlimit; RLIMITS] {
    let mut limits = [Rlimit::default(); RLIMITS];
    for (resource, limit) in limits.iter_mut().enumerate() {
        // SAFETY: by the requirements of this function; the resource is one.
        unsafe { bindings::do_prlimit(task, resource as c_uint, core::ptr::null_mut(), limit) };
    }
    limits
}

/// The limits of the process of a task.
pub fn rlimits(task: &Still<'_>) -> [Rlimit; RLIMITS] {
    // SAFETY: the task stands still, so it has not exited.
    unsafe { rlimits_of(task.as_ptr()) }
}

/// The limits of the current process.
pub fn own_rlimits() -> [Rlimit; RLIMITS] {
    // SAFETY: the current task runs.
    unsafe { rlimits_of(Task::current_raw()) }
}

/// Whether others of what a process has been given is held against a limit when it is set
/// again, such as a priority.
pub fn is_for_later(resource: usize) -> bool {
    matches!(
        resource as u32,
        bindings::RLIMIT_SIGPENDING | bindings::RLIMIT_NICE | bindings::RLIMIT_RTPRIO
    )
}

/// # Safety
///
/// As that of [`rlimits_of`].
unsafe fn set_rlimit_of(
    task: *mut bindings::task_struct,
    resource: usize,
    limit: &Rlimit,
) -> Result {
    let mut limit = *limit;
    let resource = c_uint::try_from(resource).map_err(|_| EINVAL)?;
    // SAFETY: by the requirements of this function; the limit is valid.
    to_result(unsafe { bindings::do_prlimit(task, resource, &mut limit, core::ptr::null_mut()) })
}

/// Sets a limit of the process of a task that has not been to user mode, with the checks of
/// prlimit(2).
#[doc(alias = "do_prlimit")]
pub fn set_rlimit(task: &Still<'_>, resource: usize, limit: &Rlimit) -> Result {
    // SAFETY: the task stands still, so it has not exited.
    unsafe { set_rlimit_of(task.as_ptr(), resource, limit) }
}

/// Sets a limit of the current process, with the checks of setrlimit(2).
pub fn set_own_rlimit(resource: usize, limit: &Rlimit) -> Result {
    // SAFETY: the current task runs.
    unsafe { set_rlimit_of(Task::current_raw(), resource, limit) }
}

/// How a task is scheduled.
#[doc(alias = "sched_attr")]
pub type SchedAttr = bindings::sched_attr;

/// That of a task that stands still.
pub fn sched(task: &Task) -> SchedAttr {
    let mut attr = SchedAttr::default();
    // SAFETY: the task is alive.
    unsafe { bindings::checkpoint_get_sched(task.as_ptr(), &mut attr) };
    attr
}

/// Sets it for the current task, with the checks of sched_setattr(2).
#[doc(alias = "sched_setattr")]
pub fn set_sched(attr: &SchedAttr) -> Result {
    let attr = SchedAttr {
        size: core::mem::size_of::<SchedAttr>() as u32,
        ..*attr
    };
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::sched_setattr(Task::current_raw(), &attr) })
}

/// A NUMA policy.
#[doc(alias = "mempolicy")]
pub struct NumaPolicy {
    /// Mode, flags, home node.
    pub policy: bindings::checkpoint_mempolicy,
    /// The nodes, a bit each.
    pub nodes: KVec<u64>,
}

impl NumaPolicy {
    /// One without nodes, with room for all that there may be.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: does not change.
        let words = (unsafe { bindings::checkpoint_nr_nodes() } as usize).div_ceil(64);
        Ok(Self {
            policy: bindings::checkpoint_mempolicy::default(),
            nodes: KVec::from_elem(0u64, words, GFP_KERNEL)?,
        })
    }

    /// None: MPOL_DEFAULT.
    pub fn none() -> Self {
        Self {
            policy: bindings::checkpoint_mempolicy {
                home_node: bindings::NUMA_NO_NODE,
                ..Default::default()
            },
            nodes: KVec::new(),
        }
    }

    /// One of these values, which are looked at when it is set.
    pub fn of(mode: u32, flags: u32, home_node: i32, nodes: KVec<u64>) -> Self {
        let policy = bindings::checkpoint_mempolicy {
            mode,
            flags,
            home_node,
        };
        Self { policy, nodes }
    }

    /// How many bits there are.
    pub(super) fn bits(&self) -> Result<c_uint> {
        Ok(self.nodes.len().checked_mul(64).ok_or(EINVAL)?.try_into()?)
    }
}

/// The NUMA policy of a task that stands still.
#[doc(alias = "set_mempolicy")]
pub fn numa_policy(task: &Still<'_>) -> Result<NumaPolicy> {
    let mut out = NumaPolicy::new()?;
    // SAFETY: the task is alive, and there is room for as many bits as there are nodes.
    unsafe {
        bindings::checkpoint_get_mempolicy(
            task.as_ptr(),
            &mut out.policy,
            out.nodes.as_mut_ptr().cast(),
        )
    };
    Ok(out)
}

/// Sets it for the current task, with the checks of set_mempolicy(2). `EINVAL` also
/// where one of the nodes is not there, or may not be used.
pub fn set_numa_policy(policy: &NumaPolicy) -> Result {
    // SAFETY: called by the current task on its own behalf; there are as many bits as
    // it is told.
    to_result(unsafe {
        bindings::checkpoint_set_mempolicy(
            &policy.policy,
            policy.nodes.as_ptr().cast(),
            policy.bits()?,
        )
    })
}

/// Takes utilization clamps away that the current task has from init.
#[doc(alias = "SCHED_FLAG_UTIL_CLAMP")]
pub fn reset_clamps() -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_reset_clamps() })
}

/// The CPUs that a task asked for, none when it never did; a bit each.
pub fn affinity(task: &Task) -> Result<Option<KVec<u64>>> {
    // SAFETY: does not change after boot.
    let words = (unsafe { bindings::checkpoint_nr_cpus() } as usize).div_ceil(64);
    let mut bits = KVec::from_elem(0u64, words, GFP_KERNEL)?;
    // SAFETY: the task is alive, and there is room for as many bits as there
    // are CPUs.
    let asked =
        unsafe { bindings::checkpoint_get_affinity(task.as_ptr(), bits.as_mut_ptr().cast()) };
    Ok(asked.then_some(bits))
}

/// Sets it for the current task, with the checks of sched_setaffinity(2).
#[doc(alias = "sched_setaffinity")]
pub fn set_affinity(bits: Option<&[u64]>) -> Result {
    let (at, nr) = match bits {
        None => (core::ptr::null(), 0),
        Some(bits) => (
            bits.as_ptr(),
            bits.len().checked_mul(64).ok_or(EINVAL)?.try_into()?,
        ),
    };
    // SAFETY: called by the current task on its own behalf; there are as many
    // bits as it is told, or none.
    to_result(unsafe { bindings::checkpoint_set_affinity(at.cast(), nr) })
}

/// Something that a task may have and that can't be saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Unsupported {
    /// perf_event_open(2).
    PerfEvents = bindings::checkpoint_unsupported_CHECKPOINT_HAS_PERF_EVENTS,
    /// User probes.
    Uprobes = bindings::checkpoint_unsupported_CHECKPOINT_HAS_UPROBES,
    /// io_uring(7).
    IoUring = bindings::checkpoint_unsupported_CHECKPOINT_HAS_IO_URING,
    /// semop(2) with SEM_UNDO.
    SemUndo = bindings::checkpoint_unsupported_CHECKPOINT_HAS_SEM_UNDO,
    /// A controlling terminal that is not that of init.
    Tty = bindings::checkpoint_unsupported_CHECKPOINT_HAS_TTY,
    /// PR_SCHED_CORE.
    CoreCookie = bindings::checkpoint_unsupported_CHECKPOINT_HAS_CORE_COOKIE,
    /// A futex with priority inheritance that somebody waits for.
    PiFutex = bindings::checkpoint_unsupported_CHECKPOINT_HAS_PI_FUTEX,
    /// Somebody waits for it in vfork(2).
    Vfork = bindings::checkpoint_unsupported_CHECKPOINT_HAS_VFORK,
    /// Its process is exiting, executing a program or dumping core.
    Exit = bindings::checkpoint_unsupported_CHECKPOINT_HAS_EXIT,
    /// It traces others.
    Tracees = bindings::checkpoint_unsupported_CHECKPOINT_HAS_TRACEES,
    /// It works under other credentials for the moment.
    Override = bindings::checkpoint_unsupported_CHECKPOINT_HAS_OVERRIDE,
    /// user_events.
    UserEvents = bindings::checkpoint_unsupported_CHECKPOINT_HAS_USER_EVENTS,
    /// A UTS namespace other than that of init.
    UtsNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_UTS_NS,
    /// IPC.
    IpcNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_IPC_NS,
    /// Mount.
    MntNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_MNT_NS,
    /// Network.
    NetNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_NET_NS,
    /// Time, its own or that of its children.
    TimeNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_TIME_NS,
    /// Cgroup.
    CgroupNs = bindings::checkpoint_unsupported_CHECKPOINT_HAS_CGROUP_NS,
}

const _: () = assert!(bindings::checkpoint_unsupported_CHECKPOINT_HAS_NR == 18);

/// What a task has that can't be saved; a set of [`Unsupported`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnsupportedSet(u64);

impl UnsupportedSet {
    /// That of a task; called by its init.
    #[doc(alias = "checkpoint_unsupported")]
    pub fn of(task: &Still<'_>) -> Self {
        // SAFETY: the task is alive and does not run.
        Self(unsafe { bindings::checkpoint_unsupported(task.as_ptr()) })
    }

    /// Whether this is in it.
    pub fn has(&self, what: Unsupported) -> bool {
        self.0 & (1 << what as u32) != 0
    }
}
