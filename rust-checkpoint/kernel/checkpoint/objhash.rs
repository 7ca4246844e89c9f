// SPDX-License-Identifier: GPL-2.0-only

//! Objects that may be shared, each saved once.
//!
//! Maps a kernel object to the id it got in the image. The job stands still
//! while objects are added, and whoever saves one makes sure that it lives as
//! long as the hash, so an address names one object.

use kernel::{
    checkpoint::gfp,
    prelude::*,
    rbtree::RBTree, //
};

/// What an object is; ids are counted within a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// An open file description, or init's descriptor that stands for it.
    File,
    /// A place in the file system.
    Path,
    /// Signal actions.
    Sighand,
    /// Shared anonymous memory, by its inode.
    Shm,
    /// A deleted file, by its inode.
    Deleted,
    /// An address space.
    Mm,
    /// A descriptor table.
    FdTable,
    /// Root, working directory, umask.
    Fs,
    /// A pipe, by its inode.
    Pipe,
    /// A seccomp filter.
    Seccomp,
    /// An I/O context that tasks share.
    IoContext,
    /// A socket, by its inode.
    Socket,
    /// An eventfd.
    Eventfd,
    /// A list of semaphore operations to undo that tasks share.
    SemUndo,
    /// A core scheduling cookie.
    CoreCookie,
    /// What a file of a process was read from.
    ProcText,
}

const CLASSES: usize = 16;

/// The ids given so far.
pub(crate) struct ObjHash {
    ids: RBTree<(Class, usize, usize), u32>,
    counts: [u32; CLASSES],
}

/// What [`ObjHash::id`] found.
pub(crate) enum Found {
    /// Seen before: the id it has.
    Old(u32),
    /// Not seen before: the id it got.
    New(u32),
}

impl ObjHash {
    /// No objects.
    pub(crate) fn new() -> Self {
        Self {
            ids: RBTree::new(),
            counts: [0; CLASSES],
        }
    }

    /// The id of an object, a new one where it is seen for the first time.
    pub(crate) fn id<T>(&mut self, class: Class, object: *const T) -> Result<Found> {
        self.id_of_pair(class, (object, core::ptr::null::<T>()))
    }

    /// The same for what it takes two addresses to tell.
    pub(crate) fn id_of_pair<T, U>(
        &mut self,
        class: Class,
        (a, b): (*const T, *const U),
    ) -> Result<Found> {
        let key = (class, a as usize, b as usize);
        if let Some(id) = self.ids.get(&key) {
            return Ok(Found::Old(*id));
        }
        let id = self.next_id(class)?;
        self.ids.try_create_and_insert(key, id, gfp())?;
        Ok(Found::New(id))
    }

    /// The id of an object that was seen before.
    pub(crate) fn known<T>(&self, class: Class, object: *const T) -> Option<u32> {
        self.ids.get(&(class, object as usize, 0)).copied()
    }

    /// An id for an object that can't be met again.
    pub(crate) fn next_id(&mut self, class: Class) -> Result<u32> {
        let count = self.counts.get_mut(class as usize).ok_or(EINVAL)?;
        *count = count.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(*count)
    }
}
