// SPDX-License-Identifier: GPL-2.0-only

//! Finding and looking at the tasks of a pid namespace.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::{
    bindings,
    checkpoint::gfp,
    mm::MmWithUser,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    task::Task,
};
use core::{
    mem::{
        offset_of,
        size_of, //
    },
    ops::Deref,
    ptr::NonNull,
};

// The abstractions of checkpoint/restart read fields of large structures whose
// layout depends on the configuration. If bindgen gets one wrong, the build
// must fail, and not the job.
const _: () = {
    assert!(offset_of!(bindings::file, f_pos) == bindings::CHECKPOINT_OFFSET_FILE_POS);
    assert!(
        offset_of!(bindings::mm_struct, __bindgen_anon_1.saved_auxv)
            == bindings::CHECKPOINT_OFFSET_MM_AUXV
    );
    assert!(offset_of!(bindings::task_struct, comm) == bindings::CHECKPOINT_OFFSET_TASK_COMM);
    assert!(offset_of!(bindings::task_struct, pid) == bindings::CHECKPOINT_OFFSET_TASK_PID);
    assert!(size_of::<bindings::signal_struct>() == bindings::CHECKPOINT_SIZE_SIGNAL);
    assert!(size_of::<bindings::task_struct>() == bindings::CHECKPOINT_SIZE_TASK);
    assert!(size_of::<bindings::vm_area_struct>() == bindings::CHECKPOINT_SIZE_VMA);
};

/// Every task that a pid namespace can see, threads included, in ascending
/// order of their pids in it.
///
/// Tasks that come or go meanwhile may be seen or not.
pub struct TasksIn<'a> {
    ns: &'a PidNamespace,
    next: i32,
}

impl<'a> TasksIn<'a> {
    /// Starts at the first pid.
    pub fn new(ns: &'a PidNamespace) -> Self {
        Self { ns, next: 1 }
    }
}

impl Iterator for TasksIn<'_> {
    /// Pid in the namespace, and the task.
    type Item = (i32, ARef<Task>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let guard = rcu::read_lock();
            // SAFETY: the namespace is alive; under RCU the pid found stays
            // valid until the guard is dropped.
            let pid = unsafe { bindings::find_ge_pid(self.next, self.ns.as_ptr()) };
            if pid.is_null() {
                return None;
            }
            // SAFETY: as above.
            let nr = unsafe { bindings::pid_nr_ns(pid, self.ns.as_ptr()) };
            self.next = nr.checked_add(1)?;
            // SAFETY: as above; takes a reference to the task it returns.
            let task = unsafe { bindings::get_pid_task(pid, bindings::pid_type_PIDTYPE_PID) };
            drop(guard);
            if let Some(task) = NonNull::new(task) {
                // SAFETY: the reference is ours.
                return Some((nr, unsafe { ARef::from_raw(task.cast()) }));
            }
        }
    }
}

/// Reads a field of a task that others may write meanwhile, as `READ_ONCE()`.
macro_rules! read_once {
    ($task:expr, $($field:tt)+) => {
        // SAFETY: the task is alive, the field is a scalar and aligned.
        unsafe { core::ptr::addr_of!((*$task.as_ptr()).$($field)+).read_volatile() }
    };
}

/// A task that stands still: what only it changes can be read, and some of it
/// set, by another one.
///
/// # Invariants
///
/// The task is not the current one. It sleeps, off its CPU, and nobody lets it
/// go on while this exists, which has a reference to its stack.
pub struct Still<'a>(&'a Task);

impl<'a> Still<'a> {
    /// Takes the caller's word that `task` stands still. `ESRCH`: it is dead.
    ///
    /// # Safety
    ///
    /// `task` is not the current one. It sleeps, `wait_task_inactive()` said
    /// so, and only the caller can let it go on; the caller does not while
    /// the result exists.
    pub unsafe fn new(task: &'a Task) -> Result<Self> {
        // SAFETY: the task is alive.
        if unsafe { bindings::try_get_task_stack(task.as_ptr()) }.is_null() {
            return Err(ESRCH);
        }
        // INVARIANT: by the requirements of this function, and referenced just
        // now.
        Ok(Self(task))
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the reference is ours.
        unsafe { bindings::put_task_stack(self.0.as_ptr()) };
    }
}

impl Deref for Still<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        self.0
    }
}

/// What checkpoint/restart asks of a [`Task`].
pub trait TaskExt {
    /// Whether it is a kernel thread or works for io_uring or vhost.
    fn is_kernel(&self) -> bool;
    /// Whether it is in the thread group of `other`.
    fn same_thread_group(&self, other: &Task) -> bool;
    /// Whether it leads its thread group.
    fn is_group_leader(&self) -> bool;
    /// Whether it has not called execve(2) since it was forked.
    fn is_forked(&self) -> bool;
    /// Whether a tracer is attached.
    fn is_traced(&self) -> bool;
    /// Whether it is exiting, or has exited and waits to be reaped.
    fn is_exiting(&self) -> bool;
    /// Whether it has exited and stays until somebody waits for it: it is not
    /// about to be reaped by itself or by the end of its process.
    fn is_zombie(&self) -> bool;
    /// How a zombie ended.
    fn exit(&self) -> Exit;
    /// Whether its process has other threads.
    fn has_threads(&self) -> bool;
    /// Whether job control holds it stopped.
    fn is_stopped(&self) -> bool;
    /// Whether its controlling terminal is that of `other`, in the same session.
    fn has_tty_of(&self, other: &Task) -> bool;
    /// Command name, padded with NUL.
    fn comm(&self) -> [u8; 16];
    /// The signal its parent gets when it exits; -1 for a thread.
    fn exit_signal(&self) -> i32;
    /// Whether its parent, which has called execve(2) since, is sent SIGCHLD instead.
    fn parent_changed(&self) -> bool;
    /// Pids of itself, its thread group, its group and session in `ns`.
    fn pids_in(&self, ns: &PidNamespace) -> Pids;
    /// Whether its process group, and its session, are those of `other`.
    fn in_groups_of(&self, other: &Task) -> (bool, bool);
    /// In which pid namespace it is, as `ns` sees it; for one that stands still,
    /// and for zombies.
    fn pid_ns_in(&self, ns: &PidNamespace) -> PidNs;
    /// Which numbers its process group, or its session, has below `ns` if its leader is
    /// gone; for one that stands still, and for zombies. Nothing if it has none.
    fn group_ns_in(&self, ns: &PidNamespace, session: bool) -> PidNs;
    /// Whether the caller may read its memory (`PTRACE_MODE_READ_REALCREDS`).
    fn may_read(&self) -> bool;
    /// The address space, with a reference that keeps it.
    fn mm_ref(&self) -> Option<ARef<MmWithUser>>;
    /// Waits until it is off its CPU; false when it runs after all.
    fn wait_inactive(&self) -> bool;
    /// Waits until a task that is about to exit is a zombie; a tracer may have it
    /// wait on its way. `EINTR`: the caller is killed.
    fn wait_exited(&self) -> Result;
    /// Waits until a zombie has left its CPU for good.
    fn wait_gone(&self);
    /// Whether it was sent SIGKILL, which it may not have noticed.
    fn is_killed(&self) -> bool;
    /// Pids in `ns` of its children, eldest first; with `whole` those of all
    /// threads of the process.
    fn children_in(&self, ns: &PidNamespace, whole: bool) -> Result<KVVec<i32>>;
    /// The child that it waits for in vfork(2), if it does.
    fn vfork_child(&self) -> Option<ARef<Task>>;
    /// Has a task that job control stopped, or that waits in vfork(2), stay
    /// asleep, whatever wakes it, until [`TaskExt::release_asleep`]; false when
    /// it does not sleep so.
    fn hold_asleep(&self) -> bool;
    /// Lets go of a task that was held asleep.
    fn release_asleep(&self);
    /// Voluntary and involuntary context switches so far.
    fn switches(&self) -> u64;
    /// Name of the kernel function it sleeps in, into `buf`.
    fn wchan<'a>(&self, buf: &'a mut [u8; WCHAN_LEN]) -> &'a [u8];
    /// Sends it SIGKILL.
    fn kill(&self);
}

/// In which pid namespace a task is.
#[doc(alias = "struct checkpoint_pid_ns")]
pub type PidNs = bindings::checkpoint_pid_ns;

/// [`PidNs`]: children will be in a namespace that can't be had back.
pub const PID_NS_OTHER: i32 = bindings::CHECKPOINT_PID_NS_OTHER;

/// How a process ended, and what it has used.
#[doc(alias = "struct checkpoint_exit")]
pub type Exit = bindings::checkpoint_exit;

/// Resources that processes have used.
#[doc(alias = "struct rusage")]
pub type Usage = bindings::checkpoint_usage;

/// What a task and its process have used.
#[doc(alias = "struct checkpoint_task_usage")]
pub type TaskUsage = bindings::checkpoint_task_usage;

/// That of a task; exact if it does not run.
pub fn usage(task: &Task) -> TaskUsage {
    let mut usage = TaskUsage::default();
    // SAFETY: the task is alive, and so is its signal structure; `usage` is valid for writes.
    unsafe { bindings::checkpoint_get_usage(task.as_ptr(), &mut usage) };
    usage
}

/// Puts on record what a task has used that waits and has not been to user mode, and, if it leads
/// it, its process. One that runs after all, because it was killed, is left alone.
pub fn set_usage(task: &Task, usage: &TaskUsage) {
    // SAFETY: there is a reference to the task; takes the locks that keep it from running, and
    // those under which figures of the process are changed.
    unsafe { bindings::checkpoint_set_usage(task.as_ptr(), usage) };
}

/// Has CPU timers of the process of a task go by what is on record, when that was changed.
pub fn sync_cpu_timers(task: &Task) {
    // SAFETY: there is a reference to the task, which keeps what is read and written.
    unsafe { bindings::checkpoint_sync_cputimer(task.as_ptr()) };
}

/// Room for the name of a kernel function (`KSYM_NAME_LEN`).
pub const WCHAN_LEN: usize = bindings::KSYM_NAME_LEN as usize;

/// Pids of a task in one namespace; 0 for what is outside of it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Pids {
    /// Of the task.
    pub pid: i32,
    /// Of its thread group.
    pub tgid: i32,
    /// Of its parent.
    pub ppid: i32,
    /// Of the thread of its parent that counts as the one which made it.
    pub parent: i32,
    /// Of its process group.
    pub pgid: i32,
    /// Of its session.
    pub sid: i32,
}

impl TaskExt for Task {
    fn is_kernel(&self) -> bool {
        read_once!(self, flags) & (bindings::PF_KTHREAD | bindings::PF_USER_WORKER) != 0
    }

    fn same_thread_group(&self, other: &Task) -> bool {
        self.tgid() == other.tgid()
    }

    fn is_group_leader(&self) -> bool {
        self.pid() == self.tgid()
    }

    fn is_forked(&self) -> bool {
        read_once!(self, flags) & bindings::PF_FORKNOEXEC != 0
    }

    fn is_traced(&self) -> bool {
        read_once!(self, ptrace) != 0
    }

    fn is_exiting(&self) -> bool {
        read_once!(self, flags) & bindings::PF_EXITING != 0 || read_once!(self, exit_state) != 0
    }

    fn is_zombie(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { bindings::checkpoint_is_zombie(self.as_ptr()) }
    }

    fn exit(&self) -> Exit {
        let mut exit = Exit::default();
        // SAFETY: the task is alive, and `exit` valid for writes.
        unsafe { bindings::checkpoint_get_exit(self.as_ptr(), &mut exit) };
        exit
    }

    fn has_threads(&self) -> bool {
        // SAFETY: the task is alive, and so is its signal structure; the field
        // is a scalar and aligned.
        unsafe { (&raw const (*(*self.as_ptr()).signal).nr_threads).read_volatile() > 1 }
    }

    fn is_stopped(&self) -> bool {
        read_once!(self, jobctl) & u64::from(bindings::JOBCTL_STOPPED) as c_ulong != 0
    }

    fn has_tty_of(&self, other: &Task) -> bool {
        // SAFETY: both tasks are alive.
        unsafe { bindings::checkpoint_has_tty_of(self.as_ptr(), other.as_ptr()) }
    }

    fn comm(&self) -> [u8; 16] {
        let mut buf = [0u8; 16];
        // SAFETY: `comm` is always NUL-terminated; it may change while it is
        // read, which gives a mixture and nothing worse.
        let comm = unsafe { core::ptr::addr_of!((*self.as_ptr()).comm).read_volatile() };
        for (to, from) in buf.iter_mut().zip(comm.iter()) {
            *to = *from;
            if *to == 0 {
                break;
            }
        }
        buf[15] = 0;
        buf
    }

    fn exit_signal(&self) -> i32 {
        read_once!(self, exit_signal)
    }

    fn parent_changed(&self) -> bool {
        // SAFETY: the task is alive; takes the lock that keeps its parent.
        unsafe { bindings::checkpoint_parent_changed(self.as_ptr()) }
    }

    fn pids_in(&self, ns: &PidNamespace) -> Pids {
        let ns = ns.as_ptr();
        let t = self.as_ptr();
        let _guard = rcu::read_lock();
        // SAFETY: task and namespace are alive; the parent is protected by RCU.
        unsafe {
            let parent = core::ptr::addr_of!((*t).real_parent).read_volatile();
            let of_parent = |of: unsafe extern "C" fn(_, _) -> _| match parent.is_null() {
                true => 0,
                false => of(parent, ns),
            };
            Pids {
                pid: bindings::task_pid_nr_ns(t, ns),
                tgid: bindings::task_tgid_nr_ns(t, ns),
                ppid: of_parent(bindings::task_tgid_nr_ns),
                parent: of_parent(bindings::task_pid_nr_ns),
                pgid: bindings::task_pgrp_nr_ns(t, ns),
                sid: bindings::task_session_nr_ns(t, ns),
            }
        }
    }

    fn in_groups_of(&self, other: &Task) -> (bool, bool) {
        let _guard = rcu::read_lock();
        // SAFETY: both tasks are alive; what is compared under RCU are pointers.
        unsafe {
            let (task, other) = (self.as_ptr(), other.as_ptr());
            (
                bindings::task_pgrp(task) == bindings::task_pgrp(other),
                bindings::task_session(task) == bindings::task_session(other),
            )
        }
    }

    fn pid_ns_in(&self, ns: &PidNamespace) -> PidNs {
        let mut out = PidNs::default();
        // SAFETY: task and namespace are alive; `out` is valid for writes.
        unsafe { bindings::checkpoint_get_pid_ns(self.as_ptr(), ns.as_ptr(), &mut out) };
        out
    }

    fn group_ns_in(&self, ns: &PidNamespace, session: bool) -> PidNs {
        let mut out = PidNs::default();
        // SAFETY: task and namespace are alive; `out` is valid for writes.
        unsafe { bindings::checkpoint_get_group_ns(self.as_ptr(), session, ns.as_ptr(), &mut out) };
        out
    }

    fn may_read(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { bindings::ptrace_may_access(self.as_ptr(), bindings::PTRACE_MODE_READ_REALCREDS) }
    }

    fn mm_ref(&self) -> Option<ARef<MmWithUser>> {
        // SAFETY: the task is alive; a reference comes with the result.
        let mm = NonNull::new(unsafe { bindings::get_task_mm(self.as_ptr()) })?;
        // SAFETY: the reference counts a user of the address space.
        Some(unsafe { ARef::from_raw(mm.cast()) })
    }

    fn wait_inactive(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { bindings::wait_task_inactive(self.as_ptr(), bindings::TASK_ANY_SLEEP) != 0 }
    }

    fn wait_exited(&self) -> Result {
        let mut patience = Patience::default();
        while read_once!(self, exit_state) == 0 {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            patience.relax();
        }
        Ok(())
    }

    fn wait_gone(&self) {
        let mut patience = Patience::default();
        // SAFETY: the task is alive. It is in that state from its last steps on.
        while unsafe { bindings::wait_task_inactive(self.as_ptr(), bindings::TASK_DEAD) } == 0 {
            patience.relax();
        }
    }

    fn is_killed(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { bindings::fatal_signal_pending(self.as_ptr()) }
    }

    fn children_in(&self, ns: &PidNamespace, whole: bool) -> Result<KVVec<i32>> {
        let mut pids = KVVec::new();
        loop {
            // SAFETY: task and namespace are alive; there is room for as many
            // pids as it is told.
            let n = unsafe {
                bindings::checkpoint_children(
                    self.as_ptr(),
                    ns.as_ptr(),
                    whole,
                    pids.as_mut_ptr(),
                    pids.len(),
                )
            };
            if n <= pids.len() {
                pids.truncate(n);
                return Ok(pids);
            }
            // Some may come while room is made.
            pids.resize(n, 0, gfp())?;
        }
    }

    fn vfork_child(&self) -> Option<ARef<Task>> {
        // SAFETY: the task is alive; a reference comes with the result.
        let child = NonNull::new(unsafe { bindings::checkpoint_vfork_child(self.as_ptr()) })?;
        // SAFETY: the reference is ours.
        Some(unsafe { ARef::from_raw(child.cast()) })
    }

    fn hold_asleep(&self) -> bool {
        // SAFETY: the task is alive.
        unsafe { bindings::checkpoint_hold_asleep(self.as_ptr()) }
    }

    fn release_asleep(&self) {
        // SAFETY: the task is alive.
        unsafe { bindings::checkpoint_release_asleep(self.as_ptr()) };
    }

    fn switches(&self) -> u64 {
        (read_once!(self, nvcsw) as u64).wrapping_add(read_once!(self, nivcsw) as u64)
    }

    fn wchan<'a>(&self, buf: &'a mut [u8; WCHAN_LEN]) -> &'a [u8] {
        // SAFETY: the task is alive.
        symbol(unsafe { bindings::get_wchan(self.as_ptr()) } as usize, buf)
    }

    fn kill(&self) {
        // SAFETY: the task is alive.
        unsafe { bindings::send_sig(bindings::SIGKILL as c_int, self.as_ptr(), 1) };
    }
}

/// Name of the kernel function at an address, into `buf`; nothing for 0.
pub fn symbol(addr: usize, buf: &mut [u8; WCHAN_LEN]) -> &[u8] {
    let len = match addr {
        0 => 0,
        // SAFETY: the buffer has KSYM_NAME_LEN bytes.
        addr => unsafe {
            bindings::sprint_symbol_no_offset(buf.as_mut_ptr().cast(), addr as c_ulong)
        },
    };
    buf.get(..usize::try_from(len).unwrap_or(0)).unwrap_or(&[])
}

/// Sets the command name of the current task, as PR_SET_NAME does.
#[doc(alias = "set_task_comm")]
pub fn set_comm(comm: &[u8; 16]) {
    let mut buf = *comm;
    buf[15] = 0;
    // SAFETY: the name is terminated; changes the current task.
    unsafe { bindings::__set_task_comm(Task::current_raw(), buf.as_ptr().cast(), false) };
}

/// Whether a fatal signal is pending for the current task.
pub fn fatal_signal_pending() -> bool {
    // SAFETY: the current task is alive.
    unsafe { bindings::fatal_signal_pending(Task::current_raw()) }
}

/// How many threads the current process has, itself included.
pub fn thread_count() -> usize {
    // SAFETY: the signal structure of the current task is there; the field is a scalar and
    // aligned.
    let threads = unsafe {
        let signal = (*Task::current_raw()).signal;
        (&raw const (*signal).nr_threads).read_volatile()
    };
    usize::try_from(threads).unwrap_or(0)
}

/// CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME in ns, without the
/// offsets of a time namespace.
pub fn clocks() -> (i64, i64, i64) {
    // SAFETY: these may be called anywhere.
    unsafe {
        (
            bindings::ktime_get(),
            bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_BOOT),
            bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_REAL),
        )
    }
}

/// What the clocks show at one time, ns, without the offsets of a time namespace.
#[derive(Clone, Copy, Default, Debug)]
pub struct Clocks {
    /// CLOCK_MONOTONIC.
    pub monotonic: i64,
    /// CLOCK_BOOTTIME.
    pub boottime: i64,
    /// CLOCK_REALTIME.
    pub realtime: i64,
    /// CLOCK_TAI.
    pub tai: i64,
}

impl Clocks {
    /// What they show now.
    pub fn now() -> Self {
        let (monotonic, boottime, realtime) = clocks();
        Self {
            monotonic,
            boottime,
            realtime,
            // SAFETY: may be called anywhere.
            tai: unsafe { bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_TAI) },
        }
    }
}

impl Clocks {
    /// What the time namespace of the current task shows.
    #[doc(alias = "timens_add_monotonic")]
    pub fn in_namespace(&self) -> Self {
        let mut clocks = *self;
        // SAFETY: the clocks are valid for reads and writes; the current task has its namespaces.
        unsafe { bindings::checkpoint_clocks_of_init(&mut clocks.monotonic, &mut clocks.boottime) };
        clocks
    }
}

/// Lets others run while something short is waited for: first without sleeping. One with a
/// real-time policy would keep others from its CPU by that.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// Lets others run once.
    pub fn relax(&mut self) {
        if self.0 < 100 {
            self.0 += 1;
            // SAFETY: called where it is allowed to sleep.
            unsafe { bindings::yield_() };
        } else {
            wait_a_tick();
        }
    }
}

/// Sleeps for a tick, where there is nothing to wait for by name.
#[doc(alias = "schedule_timeout_uninterruptible")]
pub fn wait_a_tick() {
    // SAFETY: called where it is allowed to sleep.
    unsafe { bindings::schedule_timeout_uninterruptible(1) };
}

/// Fills `bytes` with random ones.
pub fn random_bytes(bytes: &mut [u8]) {
    // SAFETY: `bytes` is valid for writes of its length.
    unsafe { bindings::get_random_bytes(bytes.as_mut_ptr().cast(), bytes.len()) };
}

/// The release of the running kernel, as in uname(2).
pub fn release() -> &'static [u8] {
    // SAFETY: the release is NUL-terminated and never written after the build.
    unsafe {
        core::ffi::CStr::from_char_ptr(
            core::ptr::addr_of!(bindings::init_uts_ns.name.release).cast(), //
        )
    }
    .to_bytes()
}

/// Sets whether the current task has not called execve(2) since it was forked.
pub fn set_forked(forked: bool) {
    let task = Task::current_raw();
    // SAFETY: the flags of a task are only changed by itself.
    unsafe {
        if forked {
            (*task).flags |= bindings::PF_FORKNOEXEC;
        } else {
            (*task).flags &= !bindings::PF_FORKNOEXEC;
        }
    }
}
