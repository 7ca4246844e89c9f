// SPDX-License-Identifier: GPL-2.0-only

//! System V shared memory.
//!
//! Segments belong to an IPC namespace. Where nobody but the job and its init is in
//! that, all are saved, attached or not: who has made one may attach it any time. They
//! come back with id, key, owners, permissions and times, and the memory, which is
//! copied while the job stands still.
//!
//! An attach is an open file that all mappings have that came of it: shmdt(2) unmaps
//! what has the same.
//!
//! Of a process that is gone, which had made a segment or was the last to attach it,
//! shmctl(2) says 0 after a restart. Numbers of segments that were removed may be given
//! out again.
//!
//! Refused: segments where the IPC namespace has others in it, those that init has
//! attached, NUMA policies.
//!
//! Semaphores and message queues are init's: a restart finds those of its namespace.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    files,
    image::{
        parse::Record,
        record::{
            self as wire,
            file_kind,
            Kind, //
        },
    },
    mm,
    objhash::{
        Class,
        Found, //
    },
    report::{
        Item,
        Object, //
    },
    restart::Restart, //
};
use kernel::{
    bindings,
    checkpoint::{
        file::PathRef,
        gfp,
        mm::{
            shm_has_policy,
            shm_identity, //
        },
        shm::{
            self,
            Segment,
            State, //
        },
    },
    fs::File,
    prelude::*,
    str::CString,
    sync::aref::ARef,
    task::Task, //
};
use zerocopy::FromZeros;

const KIND: &str = "System V shared memory";

/// A segment that is saved.
struct Met {
    id: i32,
    /// How often it is attached, and how often by the job.
    attached: u64,
    met: u64,
}

/// What there is.
#[derive(Default)]
pub(crate) struct Segments {
    /// Those that are saved, by id - 1.
    saved: KVVec<Met>,
    /// Whether some are not, and were refused.
    refused: bool,
    /// Whether processes outside of the job use the namespace.
    shared: bool,
}

fn name_of(id: i32) -> Result<CString> {
    CString::try_from_fmt(fmt!("shmid {id}"))
}

fn refuse(ctx: &mut Checkpoint, id: i32, (why, remedy): (&'static str, &'static str)) -> Result {
    ctx.segments.refused = true;
    ctx.report.refuse(Item {
        object: Object::Job,
        kind: KIND,
        name: name_of(id)?.to_bytes(),
        why,
        remedy,
    });
    Ok(())
}

const SHARED: (&str, &str) = (
    "processes outside of the job are in its IPC namespace",
    "start init in one of its own (CLONE_NEWIPC)",
);

const ELSEWHERE: (&str, &str) = (
    "it is of an IPC namespace that init is not in any more",
    "detach it; start the job when init has its namespaces",
);

/// Saves all segments; before the first mapping of one is met.
pub(crate) fn checkpoint(ctx: &mut Checkpoint) -> Result {
    // That others use the namespace is of interest only if there is something in it.
    let mut met = false;
    shm::for_each(|_, _| {
        met = true;
        Ok(())
    })?;
    if !met {
        return Ok(());
    }
    ctx.segments.shared = shm::is_ipc_shared(&ctx.ns);
    shm::for_each(|state, memory| {
        if !ctx.segments.shared {
            save(ctx, state, memory)
        } else if state.of_job {
            // It may attach it again.
            refuse(ctx, state.id, SHARED)
        } else {
            Ok(())
        }
    })
}

fn save(ctx: &mut Checkpoint, state: &State, memory: &File) -> Result {
    if !state.readable {
        return refuse(
            ctx,
            state.id,
            (
                "init may not read it",
                "give init CAP_CHECKPOINT_RESTORE in the user namespace of the IPC namespace",
            ),
        );
    }
    if shm_has_policy(memory) {
        return refuse(
            ctx,
            state.id,
            (
                "it has a NUMA policy (mbind(2))",
                "have it use the default policy",
            ),
        );
    }
    if [state.uid, state.gid, state.cuid, state.cgid].contains(&u32::MAX) {
        return refuse(
            ctx,
            state.id,
            (
                "its owner has no id in the user namespace of init",
                "change its owner",
            ),
        );
    }
    let (inode, size, noreserve) = shm_identity(memory);
    let Found::New(id) = ctx.objs.id(Class::Shm, inode)? else {
        return Err(EINVAL);
    };
    let flags = if noreserve { wire::SHM_NORESERVE } else { 0 };
    ctx.segments.saved.push(
        Met {
            id: state.id,
            attached: state.nattch,
            met: 0,
        },
        gfp(),
    )?;
    ctx.emit(
        Section::Objects,
        Kind::Segment,
        &wire::Segment {
            id: id.into(),
            shmid: (state.id as u32).into(),
            key: state.key.into(),
            name_key: state.name_key.into(),
            mode: state.mode.into(),
            flags: flags.into(),
            uid: state.uid.into(),
            gid: state.gid.into(),
            cuid: state.cuid.into(),
            cgid: state.cgid.into(),
            cpid: state.cpid.into(),
            lpid: state.lpid.into(),
            creator: state.creator.into(),
            huge_shift: state.huge_shift.into(),
            size: state.size.into(),
            atime: state.atime.into(),
            dtime: state.dtime.into(),
            ctime: state.ctime.into(),
        },
        &[],
    )?;
    let head = wire::Shm {
        id: id.into(),
        flags: (flags | wire::SHM_SEGMENT).into(),
        size: size.into(),
        huge_shift: state.huge_shift.into(),
    };
    mm::copy_memory(ctx, memory, head)
}

/// What is attached by others than the job is refused; when all mappings were met.
pub(crate) fn finish(ctx: &mut Checkpoint) -> Result {
    for met in core::mem::take(&mut ctx.segments.saved).iter() {
        if met.met < met.attached {
            let refusal = (
                "init, or a process outside of the job, has it attached, too",
                "detach it there",
            );
            refuse(ctx, met.id, refusal)?;
        }
    }
    Ok(())
}

/// A mapping of the segment whose memory `file` is.
pub(crate) fn meet(ctx: &mut Checkpoint, file: &File) -> Result {
    let (inode, _, _) = shm_identity(file);
    if let Found::Old(id) = ctx.objs.id(Class::Shm, inode)? {
        if let Some(met) = ctx.segments.saved.get_mut(id as usize - 1) {
            met.met += 1;
        }
    }
    Ok(())
}

/// Saves an attach.
fn checkpoint_attach(ctx: &mut Checkpoint, file: &File) -> Result {
    let (inode, _, _) = shm_identity(file);
    let id = match ctx.objs.id(Class::Shm, inode)? {
        Found::Old(id) if (id as usize) <= ctx.segments.saved.len() => id,
        // That was said of the segment.
        _ if ctx.segments.refused => return Ok(()),
        _ => {
            let refusal = if ctx.segments.shared {
                SHARED
            } else {
                ELSEWHERE
            };
            files::refuse(ctx, KIND, &PathRef::of_file(file).display_name()?, refusal);
            return Ok(());
        }
    };
    ctx.emit(
        Section::Objects,
        Kind::File,
        &wire::File {
            id: ctx.file_id.into(),
            kind: file_kind::SEGMENT.into(),
            init_fd: i32::try_from(id)?.into(),
            flags: (file.flags() & bindings::O_ACCMODE).into(),
            pos: 0.into(),
            identity: wire::Identity::new_zeroed(),
        },
        &[&PathRef::of_file(file).display_name()?],
    )
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of an attach.
#[export]
unsafe extern "C" fn sysv_shm_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { files::as_hook(ctx, file, checkpoint_attach) }
}

fn failed(
    rs: &mut Restart,
    id: i32,
    (why, remedy): (&'static str, &'static str),
    e: Error,
) -> Error {
    match name_of(id) {
        Ok(name) => files::failed(rs, KIND, name.to_bytes(), (why, remedy), e),
        Err(e) => e,
    }
}

/// Makes a segment; called by init.
pub(crate) fn restart(rs: &mut Restart, record: &Record<'_>) -> Result {
    let head: wire::Segment = record.head().map_err(|_| EINVAL)?;
    let id = i32::try_from(head.shmid.get())?;
    let state = State {
        id,
        key: head.key.get(),
        name_key: head.name_key.get(),
        mode: head.mode.get(),
        uid: head.uid.get(),
        gid: head.gid.get(),
        cuid: head.cuid.get(),
        cgid: head.cgid.get(),
        cpid: head.cpid.get(),
        lpid: head.lpid.get(),
        creator: head.creator.get(),
        of_job: true,
        readable: true,
        huge_shift: head.huge_shift.get(),
        size: head.size.get(),
        nattch: 0,
        atime: head.atime.get(),
        dtime: head.dtime.get(),
        ctime: head.ctime.get(),
    };
    let noreserve = head.flags.get() & wire::SHM_NORESERVE != 0;
    let made = Segment::create(state, noreserve).map_err(|e| {
        let refusal = match e {
            e if e == EPERM && state.huge_shift != 0 => (
                "init may not choose its number, or have huge pages for it",
                "give init CAP_CHECKPOINT_RESTORE in the user namespace of the IPC namespace, \
                 CAP_IPC_LOCK or the group of vm.hugetlb_shm_group",
            ),
            e if e == EPERM => (
                "init may not choose its number",
                "give init CAP_CHECKPOINT_RESTORE in the user namespace of the IPC namespace",
            ),
            e if e == ENOMEM && state.huge_shift != 0 => mm::TOO_FEW_HUGE,
            e if e == EINVAL && state.huge_shift != 0 => (
                "this kernel has no huge pages of that size, or it is more than init may have",
                "see /sys/kernel/mm/hugepages; raise kernel.shmmax",
            ),
            e if e == EEXIST => (
                "its number or its key is taken",
                "remove what has it (ipcrm), or restart in a new IPC namespace",
            ),
            e if e == ENOSPC || e == EINVAL => (
                "it is more than init may have",
                "raise kernel.shmmax, kernel.shmall or kernel.shmmni",
            ),
            _ => ("it can't be made", ""),
        };
        failed(rs, id, refusal, e)
    });
    // All that are in the way are reported, not only the first.
    let (made, ret) = match made {
        Ok(made) => (Some(made), Ok(())),
        Err(e) => (None, Err(e)),
    };
    rs.segments.push(made, GFP_KERNEL_ACCOUNT)?;
    ret
}

/// The memory of the segment `id`, which is to be `size` bytes, or as many as its huge pages have.
pub(crate) fn memory(rs: &Restart, id: u32, size: u64, huge_shift: u32) -> Result<ARef<File>> {
    let index = (id as usize).checked_sub(1).ok_or(EINVAL)?;
    let segment = rs.segments.get(index).and_then(Option::as_ref);
    let segment = segment.ok_or(EINVAL)?;
    let is = segment.state();
    let whole = match huge_shift {
        0 => Some(is.size),
        shift => is.size.checked_next_multiple_of(1 << shift),
    };
    if is.huge_shift != huge_shift || whole != Some(size) {
        return Err(EINVAL);
    }
    Ok(segment.memory().clone())
}

/// The file that an attach is; called by init.
pub(crate) fn restart_attach(rs: &mut Restart, head: &wire::File) -> Result<ARef<File>> {
    let index = u32::try_from(head.init_fd.get())?
        .checked_sub(1)
        .ok_or(EINVAL)?;
    // Where there is none, the report says why.
    let segment = rs.segments.get(index as usize).ok_or(EINVAL)?;
    let segment = segment.as_ref().ok_or(ESTALE)?;
    let writable = head.flags.get() & bindings::O_ACCMODE != bindings::O_RDONLY;
    let id = segment.state().id;
    let attached = segment
        .attach(writable)
        .map_err(|e| failed(rs, id, ("it can't be attached", ""), e))?;
    let id = head.id.get();
    rs.world_mut()?.attaches.push(id, GFP_KERNEL_ACCOUNT)?;
    Ok(attached)
}

/// Sees that the segments can be given to their owners, when they are mapped by all who had
/// them mapped; called by init.
pub(crate) fn make_ready(rs: &mut Restart) -> Result {
    let mut segments = core::mem::take(&mut rs.segments);
    for segment in segments.iter_mut().flatten() {
        let id = segment.state().id;
        segment.make_ready().map_err(|e| {
            let refusal = match e {
                e if e == EPERM => (
                    "init may not make it in the name of another, or lock it",
                    "restart with the rights for that",
                ),
                e if e == ENOMEM => ("init may not lock so much memory", "raise RLIMIT_MEMLOCK"),
                e if e == EINVAL => ("its owner has no id in the user namespace of init", ""),
                _ => ("it can't be given to its owner", ""),
            };
            failed(rs, id, refusal, e)
        })?;
    }
    rs.segments = segments;
    Ok(())
}

/// Gives the segments to their owners; nothing can fail any more.
pub(crate) fn commit<'a>(rs: &mut Restart, with_pid: impl Fn(i32) -> Option<&'a Task>) {
    for segment in core::mem::take(&mut rs.segments).into_iter().flatten() {
        let creator = segment.state().creator;
        segment.commit(with_pid(creator));
    }
}
