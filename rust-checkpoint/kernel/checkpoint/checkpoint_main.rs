// SPDX-License-Identifier: GPL-2.0-only

//! Checkpoint/restart of the tasks of a pid namespace.
//!
//! `checkpoint(2)` ([`checkpoint`]) holds every task of the caller's pid
//! namespace still ([`freeze`]), captures their state into memory, lets them
//! go on, and then writes the image. `restart(2)` ([`restart`]) verifies an
//! image, creates the tasks, and lets each rebuild itself.
//!
//! One resource, one module: a module holds both directions of a resource, its
//! wire structure stands in [`image::record`], and [`task`] is the registry
//! that says in which order the resources of a task are saved and restarted.
//!
//! # Locks
//!
//! The position lock of the image file is held for the whole call. Below it,
//! nothing is held while the job is written or read. While the job stands
//! still: mmap_lock of a captured mm, and below it what the hooks of files and
//! mappings take; `file_lock` of a descriptor table; `siglock` of a job's task.
//! None of them is held across another of this list.

mod attr;
mod checkpoint;
mod creds;
mod deny;
mod eventfds;
mod files;
mod freeze;
mod fs;
// It is a crate of its own in user space, where more of it is used, and where it
// can be reached.
#[allow(dead_code, unreachable_pub)]
mod image;
mod mm;
mod objhash;
mod outside;
mod pipes;
mod proc;
mod report;
mod restart;
mod restart_block;
mod rlimits;
mod sched;
mod seccomp;
mod segments;
mod signal;
mod sockets;
mod sort;
mod task;
mod timers;
mod tree;
mod usage;
mod user_ptrs;
mod zombie;

#[path = "../../arch/x86/kernel/checkpoint.rs"]
mod arch;
