// SPDX-License-Identifier: GPL-2.0-only

//! What a task may have that can't be saved, by name.
//!
//! `Documentation/admin-guide/checkpoint-state.rst` says of every member of
//! `struct task_struct` and `struct signal_struct` whether it is saved, derived,
//! refused here, or dropped.

use crate::{
    checkpoint::Checkpoint,
    freeze::Frozen,
    report::{
        Item,
        Object, //
    },
    task::still,
};
use kernel::{
    checkpoint::attr::{
        Unsupported,
        UnsupportedSet, //
    },
    prelude::*,
};

/// Kind, why and remedy of a refusal.
type Refusal = (Unsupported, &'static str, &'static str, &'static str);

const NS: &str = "start the job in the namespaces of its init";

const REFUSALS: [Refusal; 18] = [
    (
        Unsupported::PerfEvents,
        "perf-events",
        "it is being measured, or measures, with perf events",
        "end the measurement",
    ),
    (
        Unsupported::Uprobes,
        "uprobes",
        "there are user probes in its memory",
        "remove the probes",
    ),
    (
        Unsupported::IoUring,
        "io-uring",
        "it uses io_uring, not supported yet",
        "",
    ),
    (
        Unsupported::SemUndo,
        "sem-undo",
        "it has used semaphores with SEM_UNDO, and System V semaphores are not saved yet",
        "undo the operations, or do without SEM_UNDO",
    ),
    (
        Unsupported::Tty,
        "tty",
        "its controlling terminal is not the one of init",
        "start the job without a terminal of its own",
    ),
    (
        Unsupported::CoreCookie,
        "core-sched",
        "init has a core scheduling cookie that it has not, or it is in another pid namespace",
        "give no cookie to init, or that of init to the task",
    ),
    (
        Unsupported::PiFutex,
        "pi-futex",
        "a process outside of the job waits for a futex that it holds",
        "try again",
    ),
    (
        Unsupported::Vfork,
        "vfork",
        "init, or a process outside of the job, waits for it in vfork(2)",
        "try again when it has executed its program",
    ),
    (
        Unsupported::Exit,
        "exiting",
        "its process is exiting, executing a program or dumping core",
        "try again",
    ),
    (
        Unsupported::Tracees,
        "tracer",
        "it traces other tasks (ptrace(2))",
        "end the debugger",
    ),
    (
        Unsupported::Override,
        "override",
        "the kernel does something for it under other credentials",
        "try again",
    ),
    (
        Unsupported::UserEvents,
        "user-events",
        "it has registered user events, not supported yet",
        "",
    ),
    (
        Unsupported::UtsNs,
        "uts-ns",
        "its UTS namespace is not the one of init",
        NS,
    ),
    (
        Unsupported::IpcNs,
        "ipc-ns",
        "its IPC namespace is not the one of init",
        NS,
    ),
    (
        Unsupported::MntNs,
        "mnt-ns",
        "its mount namespace is not the one of init",
        NS,
    ),
    (
        Unsupported::NetNs,
        "net-ns",
        "its network namespace is not the one of init",
        NS,
    ),
    (
        Unsupported::TimeNs,
        "time-ns",
        "its time namespace is not the one of init",
        NS,
    ),
    (
        Unsupported::CgroupNs,
        "cgroup-ns",
        "its cgroup namespace is not the one of init",
        NS,
    ),
];

/// Reports all that is in the way with a task.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result {
    let found = UnsupportedSet::of(&still(frozen)?);
    for (what, kind, why, remedy) in REFUSALS {
        // A task of the job that waits is saved as one that does.
        let is_fine = what == Unsupported::Vfork && ctx.is_waited_for(frozen.pids().pid);
        if found.has(what) && !is_fine {
            ctx.report.refuse(Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy,
            });
        }
    }
    Ok(())
}
