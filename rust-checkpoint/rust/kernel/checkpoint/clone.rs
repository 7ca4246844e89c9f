// SPDX-License-Identifier: GPL-2.0-only

//! Creating tasks that rebuild themselves in kernel context.
//!
//! C header: [`include/linux/sched/task.h`](srctree/include/linux/sched/task.h)

use crate::{
    bindings,
    checkpoint::event::Event,
    checkpoint::task::{
        fatal_signal_pending,
        thread_count,
        wait_a_tick,
        Exit, //
    },
    error::to_result,
    prelude::*,
    sync::{aref::ARef, Arc},
    task::Task,
    types::NotThreadSafe, //
};
use core::ptr::NonNull;

/// The current task was created by [`clone_with_pid`] and has not been to user
/// mode: it may rebuild itself.
///
/// # Invariants
///
/// Exists in such a task only, and until it goes to user mode.
pub struct Newborn(NotThreadSafe);

impl Newborn {
    /// `EINVAL` unless the task is the only one of its process.
    ///
    /// It stays so, until it creates a thread itself.
    pub(super) fn check_alone(&self) -> Result {
        match thread_count() {
            1 => Ok(()),
            _ => Err(EINVAL),
        }
    }
}

/// Where a new task goes when its body has run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// To user mode: it has got registers to go with, or is about to die.
    UserMode,
    /// To its exit, alone: the process lives on if it has other threads.
    Exit,
}

/// What a new task does before it goes to user mode for the first time.
pub trait Body: Send + Sync + 'static {
    /// Runs as the new task.
    fn run(self: Arc<Self>, newborn: &mut Newborn) -> Next;
}

/// What [`clone_with_pid`] makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A process.
    Process,
    /// A process that is the init of a new pid namespace.
    InitOfPidNs,
    /// A thread of the current process, which shares with the caller all that threads
    /// share, but for semaphore operations to undo.
    Thread,
}

/// Has the children of the current task be in a new pid namespace, of which the first
/// one is the init.
#[doc(alias = "unshare")]
pub fn unshare_pid_ns() -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::ksys_unshare(bindings::CLONE_NEWPID as c_ulong) })
}

/// For how many ticks a pid may be taken by nobody.
const MAX_TRIES: u32 = 50;

/// Whether there is a task with this pid, a zombie too.
fn is_alive(pid: i32) -> bool {
    // SAFETY: any number may be asked for.
    match NonNull::new(unsafe { bindings::find_get_task_by_vpid(pid) }) {
        None => false,
        Some(task) => {
            // SAFETY: the reference comes with the result.
            drop(unsafe { ARef::<Task>::from_raw(task.cast()) });
            true
        }
    }
}

/// Which of the numbers of a new task, innermost namespace first, is the one that it has in the
/// namespace of the current task.
fn own_level(what: What) -> usize {
    let own = current!().active_pid_ns().map_or(0, |ns| {
        // SAFETY: the namespace is alive, and stays at its level.
        unsafe { (*ns.as_ptr()).level }
    });
    // SAFETY: the current task has its namespaces until it exits, and changes them itself.
    let of_children = unsafe { (*(*(*Task::current_raw()).nsproxy).pid_ns_for_children).level };
    of_children.saturating_sub(own) as usize + usize::from(what == What::InitOfPidNs)
}

/// Creates a child of the caller with the given pid, innermost namespace
/// first, that runs `body`.
///
/// A process shares the address space of the caller until it gets one of its
/// own, has copies of its descriptors and signal actions, and sends the caller
/// no signal when it exits until it is told to.
///
/// `EEXIST`: the pid is taken. `EPERM`: not allowed to choose it, or to make a pid
/// namespace.
pub fn clone_with_pid<B: Body>(body: Arc<B>, pids: &[i32], what: What) -> Result<ARef<Task>> {
    /// # Safety
    ///
    /// Called once as a new task, with `Arc::into_raw()` of its body.
    unsafe extern "C" fn start<B: Body>(arg: *mut c_void) -> c_int {
        // SAFETY: `arg` is what `clone_with_pid()` made of its body.
        let body = unsafe { Arc::from_raw(arg.cast::<B>().cast_const()) };
        // INVARIANT: the task was created just now, and returns from here to go
        // to user mode; `run()` can't keep what it only borrows.
        let next = body.run(&mut Newborn(NotThreadSafe));
        if next == Next::Exit {
            // SAFETY: the task holds nothing any more: the body, all that there
            // was, has been consumed. It has a parent that waits for it.
            unsafe { bindings::do_exit(0) };
        }
        0
    }

    let mut set_tid = KVec::with_capacity(pids.len(), GFP_KERNEL)?;
    set_tid.extend_from_slice(pids, GFP_KERNEL)?;

    let flags = bindings::CLONE_VM
        | bindings::CLONE_UNTRACED
        | match what {
            What::Process => 0,
            What::InitOfPidNs => bindings::CLONE_NEWPID,
            What::Thread => {
                bindings::CLONE_FILES
                    | bindings::CLONE_FS
                    | bindings::CLONE_SIGHAND
                    | bindings::CLONE_THREAD
            }
        };
    let raw = Arc::into_raw(body);
    let mut args = bindings::kernel_clone_args {
        flags: flags.into(),
        fn_: Some(start::<B>),
        fn_arg: raw.cast_mut().cast(),
        set_tid: set_tid.as_mut_ptr(),
        set_tid_size: set_tid.len(),
        ..Default::default()
    };
    let mut tries = 0;
    let nr = loop {
        // SAFETY: `args` is valid, and with `fn` the new task runs `start()`.
        let nr = unsafe { bindings::kernel_clone(&mut args) };
        // The last thread of a process gives up its pid a moment after the
        // process was waited for.
        let taken = || pids.get(own_level(what)).is_some_and(|p| is_alive(*p));
        if nr != EEXIST.to_errno() || tries == MAX_TRIES || taken() {
            break nr;
        }
        tries += 1;
        wait_a_tick();
    };
    if nr < 0 {
        // SAFETY: no task was created, so the reference is still ours.
        drop(unsafe { Arc::from_raw(raw) });
        return Err(Error::from_errno(nr));
    }
    // A process stays until it is waited for by the caller's thread group. A
    // thread that was killed meanwhile is gone, and the caller is about to be, for
    // it was killed with it: should another task have the pid by now, that one is
    // found and left alone.
    // SAFETY: any number may be asked for.
    let task = unsafe { bindings::find_get_task_by_vpid(nr) };
    // SAFETY: the reference comes with the result.
    Ok(unsafe { ARef::from_raw(NonNull::new(task).ok_or(ESRCH)?.cast()) })
}

/// Waits until `task`, a child with this pid, is dead and reaps it. Nothing to do where
/// another thread of the caller has.
pub fn reap(task: &Task, pid: i32) -> Result {
    // SAFETY: any number may be asked for.
    let found = unsafe { bindings::find_get_task_by_vpid(pid) };
    let Some(found) = NonNull::new(found) else {
        return Ok(());
    };
    // SAFETY: the reference comes with the result.
    let found: ARef<Task> = unsafe { ARef::from_raw(found.cast()) };
    if found.as_ptr() != task.as_ptr() {
        return Ok(());
    }
    let ret = loop {
        // SAFETY: no user pointers are passed.
        let ret = unsafe {
            bindings::kernel_wait4(
                pid,
                core::ptr::null_mut(),
                bindings::__WALL as c_int,
                core::ptr::null_mut(),
            )
        };
        // A stop signal or a task work, which have to wait.
        if ret != -(bindings::ERESTARTSYS as c_long) || fatal_signal_pending() {
            break ret;
        }
        wait_a_tick();
    };
    if ret < 0 {
        return Err(Error::from_errno(ret as c_int));
    }
    Ok(())
}

/// Sets the signal that `task`, which leads a process and has not been to user mode, or
/// is a zombie, sends its parent when it exits; SIGCHLD if that has become another
/// program since.
pub fn set_exit_signal(task: &Task, signal: i32, parent_changed: bool) {
    // SAFETY: there is a reference to the task; takes the lock that whoever looks
    // at the signal takes.
    unsafe { bindings::checkpoint_set_exit_signal(task.as_ptr(), signal, parent_changed) };
}

/// Has wait(2) find `task`, which leads a process of a failed restart, where it is left to it:
/// without __WALL, one that sends no signal is not waited for. As [`set_exit_signal`].
pub fn leave_unreaped(task: &Task) {
    set_exit_signal(task, bindings::SIGCHLD as i32, false);
}

/// Makes a child of a restart that was killed look as one that ended as `exit` says,
/// and sent its parent `signal` then; a parent that is the caller is sent it now.
/// One that is not a zombie is left alone.
pub fn set_exit(task: &Task, exit: &Exit, signal: i32) {
    // SAFETY: there is a reference to the task; takes the lock under which tasks
    // are reaped, and looks.
    unsafe { bindings::checkpoint_set_exit(task.as_ptr(), exit, signal) };
}

/// Makes `task`, the leader of a process that has not been to user mode, the youngest
/// child of `parent`: a task that has not been there either, and is not one of its
/// descendants, or the caller.
///
/// `ESRCH`: one of them is gone.
pub fn set_parent(task: &Task, parent: &Task) -> Result {
    // SAFETY: there are references to both; takes the lock under which tasks are
    // reaped, and looks.
    to_result(unsafe { bindings::checkpoint_set_parent(task.as_ptr(), parent.as_ptr()) })
}

/// Has the current task wait for `child` as in vfork(2), until that one executes
/// a program or exits. `attached` is called when the child will tell.
///
/// `child` has not been to user mode, and neither goes there nor exits before
/// `attached` is called. `ERESTARTSYS`: the current task is killed.
pub fn wait_in_vfork(_newborn: &Newborn, child: &Task, attached: impl FnOnce()) -> Result {
    pin_init::stack_pin_init!(let done = Event::new());
    // SAFETY: there is a reference to the child. The completion is pinned until
    // the wait below is over: then the child has completed it under the lock that
    // protects the pointer to it, or no longer has that pointer.
    unsafe { bindings::checkpoint_vfork_attach(child.as_ptr(), done.as_raw()) };
    attached();
    // SAFETY: as above, attached just now by this task.
    to_result(unsafe { bindings::checkpoint_vfork_wait(child.as_ptr(), done.as_raw()) })
}

/// Makes the current task the leader of a new session.
#[doc(alias = "ksys_setsid")]
pub fn new_session() -> Result {
    // SAFETY: may be called by any task.
    to_result(unsafe { bindings::ksys_setsid() })
}

/// Puts `task` into a process group and a session, given as pids of tasks in the
/// namespace of the caller; 0 leaves what it has. For a process that has not been
/// to user mode.
///
/// `ESRCH`: there is no such leader, or the task was reaped; or what a security module says.
pub fn set_groups(task: &Task, pgid: i32, sid: i32) -> Result {
    // SAFETY: there is a reference to the task; takes the lock under which tasks
    // are reaped, and looks.
    to_result(unsafe { bindings::checkpoint_set_groups(task.as_ptr(), pgid, sid) })
}

/// Keeps the controlling terminal that the current task has from init, or lets
/// go of it. `ENOTTY`: there is none to keep.
pub fn set_tty(keep: bool) -> Result {
    // SAFETY: called by the current task on its own behalf.
    to_result(unsafe { bindings::checkpoint_set_tty(keep) })
}
