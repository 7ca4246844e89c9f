// SPDX-License-Identifier: GPL-2.0-only

//! What is open of a process in proc: /proc/PID and what is below it.
//!
//! It is opened again by its path. That leads there only when there is the process again, with
//! the address space that it had, for many of these files are about that. So the descriptor
//! refers to a placeholder at first; when all tasks have been rebuilt, init opens the file and has
//! the descriptor refer to it. It gets the credentials of the task that has it: some files ask for
//! those when they are read.
//!
//! What is read is made up by the kernel, somewhat ahead of who reads it. The rest of that is in
//! the image, and where the next comes from, so that a list is not read twice or with gaps.
//!
//! Refused: what is about init, a thread of the kernel, or a process or address space that is gone.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    files::{
        self,
        Refusal, //
    },
    image::{
        parse::Record,
        record::{
            self as wire,
            file_kind,
            Kind, //
        },
    },
    objhash::Class,
    report::{
        Item,
        Object, //
    },
    restart::Restart,
};
use kernel::{
    bindings,
    checkpoint::{
        file,
        proc::{
            self,
            OfProcess,
            Text, //
        },
        task::Still, //
    },
    fs::File,
    prelude::*,
    rbtree::RBTree,
    sync::aref::ARef,
};

/// Why it can't be saved, or is not what it was.
fn refusal(is: &OfProcess) -> Option<Refusal> {
    let close = "close it before the checkpoint";
    let is = is.state();
    if is.elsewhere {
        Some(("it is in the proc of another pid namespace", close))
    } else if is.gone {
        Some(("its process is gone", close))
    } else if is.foreign {
        Some(("it is about init or the kernel, which are not saved", close))
    } else if is.other_mm {
        let why = "its process has executed another program since it was opened, or has exited";
        Some((why, close))
    } else if is.busy {
        let why = "somebody else reads from it, or there is too much left to be read";
        Some((why, close))
    } else {
        None
    }
}

/// Saves a file or directory.
///
/// # Safety
///
/// It has one of the hooks of proc.
unsafe fn checkpoint(ctx: &mut Checkpoint, file: &File) -> Result {
    // SAFETY: by the requirements of this function, and it is init that calls checkpoint(2).
    let is = unsafe { OfProcess::describe(file)? };
    if let Some(refusal) = refusal(&is) {
        files::refuse(ctx, "proc", &files::name(file)?, refusal);
        return Ok(());
    }
    if !file::PathRef::of_file(file).is_of_process() {
        return files::checkpoint_path_as(ctx, file, file_kind::PATH, -1);
    }
    let mut id = 0;
    if let Some(text) = is.text() {
        // Each is of one open file.
        id = ctx.objs.next_id(Class::ProcText)?;
        ctx.emit(
            Section::Objects,
            Kind::ProcText,
            &wire::ProcText {
                id: id.into(),
                reserved: 0.into(),
                index: text.index.into(),
                last: text.last.into(),
            },
            &[text.rest],
        )?;
    }
    files::checkpoint_path_as(ctx, file, file_kind::PROC, i32::try_from(id)?)
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called by a hook of a file of proc, with what it was called with.
#[export]
unsafe extern "C" fn checkpoint_proc_file(
    ctx: *mut bindings::checkpoint_ctx,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { files::as_hook(ctx, file, |ctx, file| checkpoint(ctx, file)) }
}

/// Something that holds the place of a file, for now; called by init.
pub(crate) fn restart_file(rs: &mut Restart, head: &wire::File) -> Result<ARef<File>> {
    let id = head.id.get();
    rs.world_mut()?.procs.push(id, GFP_KERNEL_ACCOUNT)?;
    file::placeholder()
}

/// Opens the files, and has the descriptors refer to them; called by init, when all tasks have
/// been rebuilt and wait at the barrier.
///
/// `task` says who has a descriptor table: one of those who share it.
pub(crate) fn restart<'a>(
    rs: &mut Restart,
    task: impl Fn(u32) -> Option<Result<Still<'a>>>,
) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let mut records = RBTree::new();
    let mut texts = KVVec::new();
    for record in meta.records() {
        match record.kind {
            Kind::ProcText => texts.push(record, GFP_KERNEL_ACCOUNT)?,
            Kind::File => {
                let head: wire::File = record.head().map_err(|_| EINVAL)?;
                if head.kind.get() == file_kind::PROC {
                    let entry = (head, record);
                    records.try_create_and_insert(head.id.get(), entry, GFP_KERNEL_ACCOUNT)?;
                }
            }
            _ => (),
        }
    }
    let mut opened: RBTree<u32, ARef<File>> = RBTree::new();
    for record in meta.records().filter(|r| r.kind == Kind::FdTable) {
        let table: wire::FdTable = record.head().map_err(|_| EINVAL)?;
        for fd in record.array::<wire::Fd>().map_err(|_| EINVAL)? {
            let id = fd.file.get();
            let Some((head, record)) = records.get(&id) else {
                continue;
            };
            let task = task(table.id.get()).ok_or(EINVAL)??;
            let file = match opened.get(&id) {
                Some(file) => file.clone(),
                None => {
                    let text = match head.init_fd.get() {
                        0 => None,
                        nth => texts.get(usize::try_from(nth)? - 1),
                    };
                    let file = open(rs, head, record.tail(), text, &task)?;
                    opened.try_create_and_insert(id, file.clone(), GFP_KERNEL_ACCOUNT)?;
                    file
                }
            };
            let placeholder = rs.descriptor(id)?;
            file::replace(&task, fd.fd.get(), &placeholder, &file).map_err(|e| {
                rs.report.error(
                    Item {
                        object: Object::Fd(fd.fd.get()),
                        kind: "proc",
                        name: record.tail(),
                        why: "the task can't have it",
                        remedy: "",
                    },
                    e,
                )
            })?;
        }
    }
    Ok(())
}

/// Opens a file for a task that has it.
fn open(
    rs: &mut Restart,
    head: &wire::File,
    name: &[u8],
    text: Option<&Record<'_>>,
    task: &Still<'_>,
) -> Result<ARef<File>> {
    let file = files::open_path(rs, head, name)?;
    // SAFETY: it is below /proc/PID, and restart(2) is called by init.
    let is = unsafe { OfProcess::describe(&file)? };
    if let Some((why, _)) = refusal(&is) {
        let remedy = "mount the proc of the pid namespace there";
        return Err(files::failed(rs, "proc", name, (why, remedy), ESTALE));
    }
    file::lend_cred(&file, task);
    let pos = i64::try_from(head.pos.get())?;
    let state = match text {
        None => None,
        Some(record) => {
            let head: wire::ProcText = record.head().map_err(|_| EINVAL)?;
            Some((head, record.tail()))
        }
    };
    let text = state.as_ref().map(|(head, rest)| Text {
        index: head.index.get(),
        last: head.last.get(),
        rest,
    });
    proc::restore(&file, pos, text.as_ref()).map_err(|e| {
        let refusal = ("it is not of the kind it was", "");
        files::failed(rs, "proc", name, refusal, e)
    })?;
    Ok(file)
}
