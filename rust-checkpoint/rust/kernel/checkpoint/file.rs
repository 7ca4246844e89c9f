// SPDX-License-Identifier: GPL-2.0-only

//! Open files, descriptor tables and places in the file system.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fdtable.h`](srctree/include/linux/fdtable.h),
//! [`include/linux/path.h`](srctree/include/linux/path.h)

use crate::{
    bindings,
    checkpoint::{
        clone::Newborn,
        io::HeldPage,
        task::{
            fatal_signal_pending,
            Still, //
        },
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::{
        File,
        LocalFile, //
    },
    page::PAGE_SIZE,
    pid_namespace::PidNamespace,
    prelude::*,
    str::CStr,
    sync::aref::ARef,
    task::Task,
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};

/// Longest name, with the NUL at its end.
const PATH_MAX: usize = bindings::PATH_MAX as usize;

/// What stat(2) says of a file, as far as it tells one file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Device number of the file system, `major << 32 | minor`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Inode generation.
    pub generation: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Device a special file stands for, `major << 32 | minor`.
    pub rdev: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of last modification, seconds.
    pub mtime_sec: i64,
    /// Time of last modification, nanoseconds of the second.
    pub mtime_nsec: u32,
    /// Logarithm of the size of the huge pages of a regular file, 0 without.
    pub huge_shift: u32,
}

impl Identity {
    /// The type bits of the mode, `S_IF*`.
    pub fn file_type(&self) -> u32 {
        self.mode & bindings::S_IFMT
    }
}

/// A device number as it stands in images.
fn device(dev: bindings::dev_t) -> u64 {
    let minor = u64::from(dev) & ((1 << bindings::MINORBITS) - 1);
    (u64::from(dev) >> bindings::MINORBITS) << 32 | minor
}

/// Has `fill` write a name into a buffer, and copies it out.
fn name_by(fill: impl FnOnce(*mut c_char, c_int) -> *mut c_char) -> Result<Option<KVec<u8>>> {
    let mut buf = KVec::from_elem(0u8, PATH_MAX, GFP_KERNEL)?;
    let name = from_err_ptr(fill(buf.as_mut_ptr().cast(), PATH_MAX as c_int))?;
    if name.is_null() {
        return Ok(None);
    }
    // The name is somewhere in the buffer and ends with a NUL.
    let start = (name as usize).wrapping_sub(buf.as_ptr() as usize);
    let name = buf.get(start..).ok_or(EINVAL)?;
    let name = CStr::from_bytes_until_nul(name).map_err(|_| EINVAL)?;
    let mut copy = KVec::new();
    copy.extend_from_slice(name.to_bytes(), GFP_KERNEL)?;
    Ok(Some(copy))
}

/// A place in the file system, held.
///
/// # Invariants
///
/// Owns a reference to mount and dentry; the dentry is positive.
#[doc(alias = "struct path")]
pub struct PathRef(bindings::path);

// SAFETY: a path may be used and put by any task.
unsafe impl Send for PathRef {}
// SAFETY: as above.
unsafe impl Sync for PathRef {}

impl Drop for PathRef {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the references are ours.
        unsafe { bindings::path_put(&self.0) };
    }
}

impl PathRef {
    /// Looks a name up with the rights of the caller. A link at its end is not
    /// followed.
    #[doc(alias = "kern_path")]
    pub fn lookup(name: &[u8]) -> Result<Self> {
        let mut with_nul = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
        with_nul.extend_from_slice(name, GFP_KERNEL)?;
        with_nul.push(0, GFP_KERNEL)?;
        let name = CStr::from_bytes_with_nul(&with_nul).map_err(|_| EINVAL)?;

        let mut path = MaybeUninit::uninit();
        // SAFETY: the name ends with a NUL, `path` is valid for writes.
        to_result(unsafe { bindings::kern_path(name.as_char_ptr(), 0, path.as_mut_ptr()) })?;
        // INVARIANT: a successful lookup gives references, and a positive
        // dentry, as nothing is created.
        // SAFETY: written by `kern_path()`.
        Ok(Self(unsafe { path.assume_init() }))
    }

    /// The place a file was opened at.
    #[doc(alias = "file_user_path")]
    pub fn of_file(file: &LocalFile) -> Self {
        // SAFETY: the file is alive, and its path does not change.
        let path = unsafe { *bindings::checkpoint_user_path(file.as_ptr()) };
        // SAFETY: the file holds mount and dentry.
        unsafe { bindings::path_get(&path) };
        // INVARIANT: referenced just now; an open file has an inode.
        Self(path)
    }

    /// Its name relative to the caller's root; none where it can't be reached
    /// from there.
    ///
    /// For a place in another mount namespace it is the name it has there.
    pub fn name(&self) -> Result<Option<PathName>> {
        let mut elsewhere = false;
        // SAFETY: by the type invariant the path is valid; the buffer has the
        // length that is passed.
        let name = name_by(|buf, len| unsafe {
            bindings::checkpoint_path_name(&self.0, &mut elsewhere, buf, len)
        })?;
        Ok(name.map(|name| PathName { name, elsewhere }))
    }

    /// Its name for people.
    #[doc(alias = "d_path")]
    pub fn display_name(&self) -> Result<KVec<u8>> {
        // SAFETY: as in `name()`.
        let name = name_by(|buf, len| unsafe { bindings::d_path(&self.0, buf, len) })?;
        Ok(name.unwrap_or_default())
    }

    /// What stat(2) says.
    #[doc(alias = "vfs_getattr")]
    pub fn identity(&self) -> Result<Identity> {
        let mut stat = MaybeUninit::<bindings::kstat>::zeroed();
        // SAFETY: by the type invariant the path is valid and the dentry
        // positive; `stat` is valid for writes and any bytes are valid for it.
        let (stat, generation, huge_shift) = unsafe {
            to_result(bindings::vfs_getattr(
                &self.0,
                stat.as_mut_ptr(),
                bindings::STATX_BASIC_STATS,
                // What is known here: a server may be part of the job.
                bindings::AT_STATX_DONT_SYNC,
            ))?;
            (
                stat.assume_init(),
                (*bindings::d_inode(self.0.dentry)).i_generation,
                bindings::checkpoint_huge_shift(bindings::d_inode(self.0.dentry)),
            )
        };
        let is_regular = u32::from(stat.mode) & bindings::S_IFMT == bindings::S_IFREG;
        Ok(Identity {
            dev: device(stat.dev),
            ino: stat.ino,
            generation,
            mode: stat.mode.into(),
            rdev: device(stat.rdev),
            size: stat.size as u64,
            mtime_sec: stat.mtime.tv_sec,
            mtime_nsec: u32::try_from(stat.mtime.tv_nsec).unwrap_or(0),
            huge_shift: if is_regular { huge_shift } else { 0 },
        })
    }

    /// Whether its owner says how what is open of it can be saved.
    pub fn has_hook(&self) -> bool {
        // SAFETY: by the type invariant the dentry is positive; an inode always
        // has operations.
        unsafe {
            let ops = (*bindings::d_inode(self.0.dentry)).__bindgen_anon_3.i_fop;
            ops.as_ref().is_some_and(|ops| ops.checkpoint.is_some())
        }
    }

    /// Whether its name is gone.
    #[doc(alias = "d_unlinked")]
    pub fn is_deleted(&self) -> bool {
        // SAFETY: by the type invariant the path is valid.
        unsafe { bindings::checkpoint_path_deleted(&self.0) }
    }

    /// The directory its name is in, or was in when it had one.
    #[doc(alias = "dget_parent")]
    pub fn parent(&self) -> Self {
        // INVARIANT: referenced just now; what has something below it is
        // a directory, and so is what has nothing above it.
        // SAFETY: by the type invariant mount and dentry are valid.
        Self(unsafe {
            bindings::path {
                mnt: bindings::mntget(self.0.mnt),
                dentry: bindings::dget_parent(self.0.dentry),
            }
        })
    }

    /// What tells one file from another while both are held.
    pub fn inode(&self) -> *const c_void {
        // SAFETY: by the type invariant the dentry is valid.
        unsafe { bindings::d_inode(self.0.dentry) }
            .cast_const()
            .cast()
    }

    /// Whether it is made up by the kernel when it is looked at: in proc.
    pub fn is_made_up(&self) -> bool {
        // SAFETY: by the type invariant the dentry is valid, and its super
        // block lives as long.
        unsafe { (*(*self.0.dentry).d_sb).s_magic == bindings::PROC_SUPER_MAGIC as c_ulong }
    }

    /// Whether it is there only as long as there is a process: below /proc/PID.
    pub fn is_of_process(&self) -> bool {
        // SAFETY: by the type invariant the dentry is positive.
        unsafe { bindings::checkpoint_is_of_process(bindings::d_inode(self.0.dentry)) }
    }

    /// What else stat(2) and others say, in the terms of the caller's user
    /// namespace.
    pub fn attributes(&self) -> Result<Attributes> {
        let mut found = Attributes::default();
        // SAFETY: by the type invariant the path is valid; `found` is valid
        // for writes.
        to_result(unsafe { bindings::checkpoint_get_attributes(&self.0, &mut found) })?;
        Ok(found)
    }

    /// Makes a file without a name in this directory, open for reading and
    /// writing: one of the given name, that is deleted again; or one that
    /// never had a name, where the given one is taken, or the file is to be
    /// `linkable`: linkat(2) may give it one.
    #[doc(alias = "vfs_tmpfile")]
    pub fn create_deleted(&self, name: &[u8], linkable: bool) -> Result<ARef<File>> {
        let mut with_nul = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
        with_nul.extend_from_slice(name, GFP_KERNEL)?;
        with_nul.push(0, GFP_KERNEL)?;
        let name = CStr::from_bytes_with_nul(&with_nul).map_err(|_| EINVAL)?;
        // SAFETY: by the type invariant the path is valid; the name ends with
        // a NUL.
        let file = from_err_ptr(unsafe {
            bindings::checkpoint_create_deleted(&self.0, name.as_char_ptr(), linkable)
        })?;
        let file = NonNull::new(file).ok_or(ENOENT)?;
        // SAFETY: the reference comes with the result; nobody else knows the
        // file, so nobody holds its position.
        Ok(unsafe { ARef::from_raw(file.cast()) })
    }

    /// Seals a file of memfd_create(2) that was made for a restart. `EACCES`: it may be executed,
    /// and vm.memfd_noexec forbids that.
    #[doc(alias = "F_ADD_SEALS")]
    pub fn seal_memfd(&self, seals: u32) -> Result {
        // SAFETY: by the type invariant the path is valid.
        to_result(unsafe {
            bindings::checkpoint_seal_memfd(bindings::d_inode(self.0.dentry), seals)
        })
    }

    /// Whether both are the same file.
    pub fn is_same_file(&self, other: &PathRef) -> bool {
        // SAFETY: by the type invariant both dentries are valid.
        unsafe { bindings::d_inode(self.0.dentry) == bindings::d_inode(other.0.dentry) }
    }

    /// Whether both are seen through the same mount.
    pub fn is_same_mount(&self, other: &PathRef) -> bool {
        self.0.mnt == other.0.mnt
    }

    /// What tells one place from another while both are held.
    pub fn key(&self) -> (*const c_void, *const c_void) {
        (self.0.mnt.cast(), self.0.dentry.cast())
    }

    /// Opens it, with all checks that open(2) makes of the file itself.
    ///
    /// `EINVAL` for flags that would create or truncate.
    #[doc(alias = "file_open_root")]
    pub fn open(&self, flags: u32) -> Result<ARef<File>> {
        if flags & !OPEN_FLAGS != 0 {
            return Err(EINVAL);
        }
        // SAFETY: by the type invariant the path is valid.
        let file = from_err_ptr(unsafe { bindings::checkpoint_open(&self.0, flags) })?;
        let file = NonNull::new(file).ok_or(ENOENT)?;
        // SAFETY: the reference comes with the result; nobody else knows the
        // file, so nobody holds its position.
        Ok(unsafe { ARef::from_raw(file.cast()) })
    }

    /// Makes it the root of the current task, if chroot(2) may.
    #[doc(alias = "set_fs_root")]
    pub fn make_root(&self) -> Result {
        // SAFETY: by the type invariant the path is valid.
        to_result(unsafe { bindings::checkpoint_set_root(&self.0) })
    }

    /// Makes it the working directory of the current task, if chdir(2) may.
    #[doc(alias = "set_fs_pwd")]
    pub fn make_cwd(&self) -> Result {
        // SAFETY: by the type invariant the path is valid.
        to_result(unsafe { bindings::checkpoint_set_cwd(&self.0) })
    }
}

/// The name of a place.
pub struct PathName {
    /// The name.
    pub name: KVec<u8>,
    /// Whether it is one in another mount namespace.
    pub elsewhere: bool,
}

/// The flags of open(2) that an open file keeps and [`PathRef::open`] takes.
pub const OPEN_FLAGS: u32 = bindings::O_ACCMODE
    | bindings::O_APPEND
    | bindings::O_NONBLOCK
    | bindings::O_DSYNC
    | bindings::__O_SYNC
    | bindings::O_DIRECT
    | bindings::O_LARGEFILE
    | bindings::O_DIRECTORY
    | bindings::O_NOFOLLOW
    | bindings::O_NOATIME
    | bindings::O_PATH;

/// What a regular file has besides its content.
#[doc(alias = "struct kstat")]
pub type Attributes = bindings::checkpoint_attributes;

/// Copies the pages of a regular file that hold data, as they are now; what is
/// behind its end is zero.
///
/// `f` gets the offset in bytes and the copy, in ascending order. The file must
/// be open for reading, and known to the caller only: its position changes.
pub fn copy_data(file: &File, mut f: impl FnMut(u64, HeldPage) -> Result) -> Result {
    for_each_data(
        // SAFETY: the file is alive, and `offset` valid for writes.
        |offset| unsafe { bindings::checkpoint_file_data(file.as_ptr(), offset) },
        |offset| {
            let page = HeldPage::zeroed()?;
            // SAFETY: the file is alive; nobody else knows the page.
            to_result(unsafe {
                bindings::checkpoint_read_page(file.as_ptr(), offset, page.as_ptr())
            })?;
            f(offset as u64, page)
        },
    )
}

/// Calls `f` for the offset of each page with data.
///
/// `find` gets where to look from, and says where the data starts, and how long
/// it is, 0 at the end, or a negative errno.
pub(super) fn for_each_data(
    mut find: impl FnMut(&mut i64) -> i64,
    mut f: impl FnMut(i64) -> Result,
) -> Result {
    let mut offset = 0;
    loop {
        let data = find(&mut offset);
        if data < 0 {
            return Err(Error::from_errno(data as c_int));
        }
        if data == 0 {
            return Ok(());
        }
        let end = offset.saturating_add(data);
        while offset < end {
            f(offset)?;
            offset = offset.saturating_add(PAGE_SIZE as i64);
        }
    }
}

/// Writes pages to a file that is open for writing, at an offset; nothing at or
/// behind `end`.
#[doc(alias = "kernel_write")]
pub fn write_pages(file: &File, offset: u64, end: u64, pages: &[HeldPage]) -> Result {
    let mut offset = offset;
    for page in pages {
        let len = end.saturating_sub(offset).min(PAGE_SIZE as u64) as usize;
        // SAFETY: the file is alive, and so is the page, which has that length.
        to_result(unsafe {
            bindings::checkpoint_write_page(
                file.as_ptr(),
                i64::try_from(offset)?,
                page.as_ptr(),
                len,
            )
        })?;
        offset = offset.saturating_add(PAGE_SIZE as u64);
    }
    Ok(())
}

/// Sets length, owner, mode and times of a regular file that is open for
/// writing, with the checks that ftruncate(2), fchown(2), fchmod(2) and
/// utimensat(2) make.
#[doc(alias = "notify_change")]
pub fn set_attributes(file: &File, attributes: &Attributes) -> Result {
    // SAFETY: the file is alive.
    to_result(unsafe { bindings::checkpoint_set_attributes(file.as_ptr(), attributes) })
}

/// Closes a file before the current task returns to user mode.
#[doc(alias = "__fput_sync")]
pub fn close_now(file: ARef<File>) {
    // SAFETY: gives up the reference that `file` was.
    unsafe { bindings::__fput_sync(ARef::into_raw(file).as_ptr().cast()) };
}

/// Things that processes attach to an open file.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attached {
    /// Somebody is sent signals (F_SETOWN, F_NOTIFY, O_ASYNC).
    pub owner: bool,
    /// flock(2).
    pub flock: bool,
    /// A lock of the open file description (F_OFD_SETLK).
    pub ofd_lock: bool,
    /// A lease or delegation (F_SETLEASE).
    pub lease: bool,
}

/// What checkpoint/restart asks of an open file.
pub trait FileExt {
    /// Calls the hook of its owner; none if it has none.
    ///
    /// # Safety
    ///
    /// `ctx` is what the hooks of files take.
    unsafe fn call_hook(&self, ctx: *mut bindings::checkpoint_ctx) -> Option<Result>;
    /// Whether its owner has a hook.
    fn has_hook(&self) -> bool;
    /// Whether it was opened with O_PATH.
    fn is_path_only(&self) -> bool;
    /// Whether it is the file that a stacked file system has below a mapping.
    fn is_backing(&self) -> bool;
    /// Whether the stacked file system has another file below it by now.
    fn is_stale_backing(&self) -> bool;
    /// Type of its inode, `S_IF*`.
    fn file_type(&self) -> u32;
    /// Name of the type of its file system.
    fn file_system(&self) -> &CStr;
    /// What is attached to it.
    fn attached(&self) -> Attached;
    /// Its position.
    fn pos(&self) -> i64;
    /// Sets the position; whether it took.
    fn seek(&self, pos: i64) -> Result<bool>;
    /// Whether the current task may have it as its program; `EACCES` if not.
    #[doc(alias = "PR_SET_MM_EXE_FILE")]
    fn may_execute(&self) -> Result;
    /// Sets those flags of open(2) that are in `mask` to what they are in `flags`,
    /// without what open(2) or fcntl(2) would do about it.
    ///
    /// # Safety
    ///
    /// Nobody else knows the file.
    unsafe fn set_flags(&self, mask: u32, flags: u32);
    /// References to it, of descriptors, mappings, and whoever looks at it.
    fn references(&self) -> usize;
}

impl FileExt for File {
    unsafe fn call_hook(&self, ctx: *mut bindings::checkpoint_ctx) -> Option<Result> {
        let hook = hook(self)?;
        // SAFETY: the hook of its owner; `ctx` by the requirements of this
        // function.
        Some(to_result(unsafe { hook(ctx, self.as_ptr()) }))
    }

    fn has_hook(&self) -> bool {
        hook(self).is_some()
    }

    fn is_path_only(&self) -> bool {
        mode(self) & bindings::FMODE_PATH != 0
    }

    fn is_backing(&self) -> bool {
        mode(self) & bindings::FMODE_BACKING != 0
    }

    fn is_stale_backing(&self) -> bool {
        // SAFETY: the file is alive.
        unsafe { bindings::checkpoint_is_stale_backing(self.as_ptr()) }
    }

    fn file_type(&self) -> u32 {
        // SAFETY: the file is alive, and so is its inode; the type of an inode
        // does not change.
        u32::from(unsafe { (*bindings::file_inode(self.as_ptr())).i_mode }) & bindings::S_IFMT
    }

    fn file_system(&self) -> &CStr {
        // SAFETY: inode and super block live as long as the file, the type of
        // a file system as long as there is one of it; its name never changes.
        unsafe {
            let sb = (*bindings::file_inode(self.as_ptr())).i_sb;
            CStr::from_char_ptr((*(*sb).s_type).name)
        }
    }

    fn attached(&self) -> Attached {
        // SAFETY: the file is alive.
        let found = unsafe { bindings::checkpoint_file_attached(self.as_ptr()) };
        Attached {
            owner: found & bindings::CHECKPOINT_FILE_OWNER != 0,
            flock: found & bindings::CHECKPOINT_FILE_FLOCK != 0,
            ofd_lock: found & bindings::CHECKPOINT_FILE_OFD_LOCK != 0,
            lease: found & bindings::CHECKPOINT_FILE_LEASE != 0,
        }
    }

    fn pos(&self) -> i64 {
        // SAFETY: the file is alive; the field is a scalar and aligned.
        unsafe { core::ptr::addr_of!((*self.as_ptr()).f_pos).read_volatile() }
    }

    fn seek(&self, pos: i64) -> Result<bool> {
        // SAFETY: the file is alive.
        let ret = unsafe { bindings::vfs_llseek(self.as_ptr(), pos, bindings::SEEK_SET as c_int) };
        if ret < 0 {
            return Err(Error::from_errno(ret as c_int));
        }
        Ok(ret == pos && self.pos() == pos)
    }

    fn may_execute(&self) -> Result {
        // SAFETY: the file is alive.
        to_result(unsafe { bindings::checkpoint_may_execute(self.as_ptr()) })
    }

    unsafe fn set_flags(&self, mask: u32, flags: u32) {
        // SAFETY: the file is alive, and by the requirements of this function
        // nobody else uses its flags.
        unsafe { bindings::checkpoint_set_flags(self.as_ptr(), mask, flags) };
    }

    fn references(&self) -> usize {
        // SAFETY: the file is alive.
        unsafe { bindings::file_count(self.as_ptr()) }
    }
}

type Hook = unsafe extern "C" fn(*mut bindings::checkpoint_ctx, *mut bindings::file) -> c_int;

/// The hook of the owner of a file. What is opened with O_PATH has no
/// operations, but belongs to someone: it would have those of the inode.
fn hook(file: &File) -> Option<Hook> {
    // SAFETY: the file is alive, and so are its inode and the operations of
    // both, of which a file always has some.
    unsafe {
        let ops = if file.is_path_only() {
            (*bindings::file_inode(file.as_ptr()))
                .__bindgen_anon_3
                .i_fop
        } else {
            (*file.as_ptr()).f_op
        };
        ops.as_ref()?.checkpoint
    }
}

fn mode(file: &File) -> bindings::fmode_t {
    // SAFETY: the file is alive; the field is a scalar and aligned.
    unsafe { core::ptr::addr_of!((*file.as_ptr()).f_mode).read_volatile() }
}

/// A descriptor of a task.
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// The open file.
    pub file: ARef<File>,
    /// Whether exec closes it.
    pub cloexec: bool,
}

/// The first descriptor of `task`, which stands still, from the number `from`
/// on.
pub fn next_fd(task: &Task, from: u32) -> Option<Descriptor> {
    let mut fd = from;
    let mut cloexec = false;
    // SAFETY: the task is alive; the rest is valid for writes.
    let file = unsafe { bindings::checkpoint_next_fd(task.as_ptr(), &mut fd, &mut cloexec) };
    Some(Descriptor {
        fd,
        // SAFETY: the reference comes with the result. The task stands still,
        // so it is not in a system call that holds the position unlocked.
        file: unsafe { ARef::from_raw(NonNull::new(file)?.cast()) },
        cloexec,
    })
}

/// The number of the current task's descriptor for `file`: `like` if that is
/// one, else the lowest.
pub fn find_in_current(file: &File, like: u32) -> Option<u32> {
    // SAFETY: the file is alive.
    let fd = unsafe { bindings::checkpoint_find_fd(file.as_ptr(), like) };
    u32::try_from(fd).ok()
}

/// Calls `f` for each descriptor of whoever is outside of the job of `ns`, with
/// the addresses of the open file and its inode; `EINTR` if the current task is
/// killed meanwhile.
///
/// Outside are the tasks that `ns` does not see, and threads of its init with
/// descriptors of their own. The addresses are only good to be compared with
/// those of a file that the caller holds. May sleep.
pub fn for_each_outside(
    ns: &PidNamespace,
    mut f: impl FnMut(*const bindings::file, *const c_void),
) -> Result {
    let mut nr = 1;
    loop {
        // SAFETY: the namespace is alive, and `nr` valid for writes.
        let task = unsafe { bindings::checkpoint_next_outside(ns.as_ptr(), &mut nr) };
        let Some(task) = NonNull::new(task) else {
            return Ok(());
        };
        // SAFETY: the reference comes with the result.
        let task = unsafe { ARef::<Task>::from_raw(task.cast()) };
        let (mut fd, mut cloexec) = (0, false);
        loop {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            // SAFETY: the task is alive; the rest is valid for writes.
            let file =
                unsafe { bindings::checkpoint_next_fd(task.as_ptr(), &mut fd, &mut cloexec) };
            let Some(file) = NonNull::new(file) else {
                break;
            };
            // SAFETY: the reference comes with the result. Others use the file:
            // its position is not touched.
            let file = unsafe { ARef::<LocalFile>::from_raw(file.cast()) };
            // SAFETY: the file is alive.
            let inode = unsafe { bindings::file_inode(file.as_ptr()) };
            f(file.as_ptr(), inode.cast_const().cast());
            fd = fd.saturating_add(1);
        }
    }
}

/// The descriptor table of a task.
pub struct Table {
    /// What tells one table from another, and nothing else.
    pub key: *const c_void,
    /// Whether no other task has it.
    pub alone: bool,
}

/// Which descriptor table `task`, which stands still, has; none if it is exiting.
#[doc(alias = "files_struct")]
pub fn table_of(task: &Task) -> Option<Table> {
    let mut alone = false;
    // SAFETY: the task is alive, `alone` is valid for writes.
    let key = unsafe { bindings::checkpoint_files(task.as_ptr(), &mut alone) };
    (!key.is_null()).then_some(Table { key, alone })
}

/// Whether `task`, which stands still, has a POSIX lock on the file behind
/// `file`, a descriptor of it.
pub fn has_posix_lock(task: &Task, file: &File) -> bool {
    // SAFETY: both are alive.
    unsafe { bindings::checkpoint_has_posix_lock(task.as_ptr(), file.as_ptr()) }
}

/// Gives the current task an empty descriptor table; what it had is closed.
pub fn new_table_for_current() -> Result {
    // SAFETY: may be called by any task in process context.
    to_result(unsafe { bindings::checkpoint_new_files() })
}

/// Has the current task share the descriptor table of `owner`.
///
/// `ESRCH`: that one has exited.
#[doc(alias = "CLONE_FILES")]
pub fn share_table(owner: &Task) -> Result {
    // SAFETY: the task is alive.
    to_result(unsafe { bindings::checkpoint_share_files(owner.as_ptr()) })
}

/// Has the current task share root, working directory and umask of `owner`.
///
/// `ESRCH`: that one has exited.
#[doc(alias = "CLONE_FS")]
pub fn share_fs(owner: &Task) -> Result {
    // SAFETY: the task is alive.
    to_result(unsafe { bindings::checkpoint_share_fs(owner.as_ptr()) })
}

/// Gives the current task root, working directory and umask of its own, the
/// same as before.
#[doc(alias = "unshare_fs_struct")]
pub fn new_fs_for_current() -> Result {
    // SAFETY: may be called by any task.
    to_result(unsafe { bindings::checkpoint_new_fs() })
}

/// Makes `file` a descriptor of the current task.
///
/// `EMFILE`: beyond what the task may raise its limit to.
pub fn install(_newborn: &Newborn, fd: u32, file: &File, cloexec: bool) -> Result {
    // SAFETY: the file is alive; takes a reference of its own. The limit that is
    // raised meanwhile is that of a process which has not been to user mode.
    to_result(unsafe { bindings::checkpoint_install_fd(fd, file.as_ptr(), cloexec) })
}

/// An open file that holds the place of another one, and with which nothing can be done.
#[doc(alias = "anon_inode_getfile")]
pub fn placeholder() -> Result<ARef<File>> {
    // SAFETY: may be called by any task.
    let file = from_err_ptr(unsafe { bindings::checkpoint_placeholder() })?;
    let file = NonNull::new(file).ok_or(ENOMEM)?;
    // SAFETY: the reference comes with the result; nobody else knows the file, so nobody holds its
    // position.
    Ok(unsafe { ARef::from_raw(file.cast()) })
}

/// Has a descriptor of a task refer to `file`, and not to `old` any more.
///
/// `EBADF`: that it does not do. Or what a security module says.
pub fn replace(task: &Still<'_>, fd: u32, old: &File, file: &File) -> Result {
    // SAFETY: the task stands still and so does whoever else has its descriptors, or they look
    // at them with references: the one to the old file is given back, and there is another one.
    // A reference to the new one is taken.
    to_result(unsafe {
        bindings::checkpoint_replace_fd(task.as_ptr(), fd, old.as_ptr(), file.as_ptr())
    })
}

/// Has an open file, which nobody else knows, be one that a task has opened which is being
/// restarted: with its credentials.
pub fn lend_cred(file: &File, task: &Still<'_>) {
    // SAFETY: both are alive, and nobody else looks at the file.
    unsafe { bindings::checkpoint_lend_cred(file.as_ptr(), task.as_ptr()) };
}

/// The open file behind a descriptor of the current task, which is in a system
/// call that does not use the position of that file.
#[doc(alias = "fget_raw")]
pub fn get_fd(fd: u32) -> Result<ARef<File>> {
    // SAFETY: any number may be asked for.
    let file = NonNull::new(unsafe { bindings::fget_raw(fd) }).ok_or(EBADF)?;
    // SAFETY: the reference comes with the result. The one file whose position
    // this task may hold without the lock is that of the image, which is moved
    // with a position of its own (`Stream`) and set at the end of the call.
    Ok(unsafe { ARef::from_raw(file.cast()) })
}

/// Writes `text` to a descriptor of the current task, as far as it goes.
pub fn write_log(fd: i32, text: &[u8]) {
    let Ok(fd) = u32::try_from(fd) else {
        return;
    };
    // SAFETY: `text` is valid for its length.
    unsafe { bindings::checkpoint_write_log(fd as c_int, text.as_ptr().cast(), text.len()) };
}

/// Root, working directory and umask of a task.
pub struct FsOf {
    /// What tells one set from another, and nothing else.
    pub key: *const c_void,
    /// The root.
    pub root: PathRef,
    /// The working directory.
    pub cwd: PathRef,
    /// The file mode creation mask.
    pub umask: u32,
    /// Whether no other task has the same set.
    pub alone: bool,
}

/// What `task`, which stands still, has; none if it is exiting.
#[doc(alias = "fs_struct")]
pub fn fs_of(task: &Task) -> Option<FsOf> {
    let mut root = MaybeUninit::uninit();
    let mut cwd = MaybeUninit::uninit();
    let mut umask = 0;
    let mut alone = false;
    // SAFETY: the task is alive; the rest is valid for writes.
    let key = unsafe {
        bindings::checkpoint_get_fs(
            task.as_ptr(),
            root.as_mut_ptr(),
            cwd.as_mut_ptr(),
            &mut umask,
            &mut alone,
        )
    };
    if key.is_null() {
        return None;
    }
    Some(FsOf {
        key,
        // INVARIANT: written with references; directories have an inode.
        // SAFETY: the result is not null, so both were written.
        root: PathRef(unsafe { root.assume_init() }),
        // INVARIANT: as above.
        // SAFETY: as above.
        cwd: PathRef(unsafe { cwd.assume_init() }),
        umask: umask as u32,
        alone,
    })
}

/// Sets the umask of the current task.
pub fn set_umask(umask: u32) {
    // SAFETY: may be called by any task.
    unsafe { bindings::checkpoint_set_umask((umask & 0o777) as c_int) };
}
