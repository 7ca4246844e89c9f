// SPDX-License-Identifier: GPL-2.0-only

//! Credentials of tasks, and new ones for the current task.
//!
//! Ids are those of the user namespace that owns a pid namespace. [`NewCreds`]
//! takes only what the current task could have given itself by setresuid(2),
//! setgroups(2), capset(2) and prctl(2).
//!
//! C header: [`include/linux/cred.h`](srctree/include/linux/cred.h)

use crate::{
    bindings,
    checkpoint::gfp,
    cred::Credential,
    error::to_result,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};
use core::ptr::NonNull;

/// The ids of one sort, user or group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved.
    pub saved: u32,
    /// For file access.
    pub fs: u32,
}

impl Ids {
    fn contains_real_effective_saved(&self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }

    /// Whether setres*id(2) and setfs*id(2) lead from here to `to` without a
    /// capability.
    fn allow(&self, to: &Ids) -> bool {
        [to.real, to.effective, to.saved]
            .iter()
            .all(|id| self.contains_real_effective_saved(*id))
            && (to.fs == self.fs
                || to.fs == to.effective
                || self.contains_real_effective_saved(to.fs))
    }
}

/// Sets of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// Inheritable.
    pub inheritable: u64,
    /// Permitted.
    pub permitted: u64,
    /// Effective.
    pub effective: u64,
    /// Bounding.
    pub bounding: u64,
    /// Ambient.
    pub ambient: u64,
}

/// Credentials.
pub struct Creds {
    /// User ids.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Supplementary groups.
    pub groups: KVVec<u32>,
    /// Capabilities.
    pub caps: Caps,
    /// SECBIT_*.
    pub securebits: u32,
}

/// What stands in the way of naming the credentials of a task.
pub enum Unnamed {
    /// They are of another user namespace.
    UserNamespace,
    /// An id has no number in the namespace.
    Id,
    /// They have keyrings that are not those of the caller.
    Keyrings,
    /// A security module keeps something in them that is not the caller's.
    Lsm,
    /// Something failed.
    Error(Error),
}

fn user_ns(ns: &PidNamespace) -> *mut bindings::user_namespace {
    // SAFETY: a pid namespace holds its owner, and never changes it.
    unsafe { (*ns.as_ptr()).user_ns }
}

const NO_ID: u32 = u32::MAX;

/// A task's credentials as such.
#[doc(alias = "get_task_cred")]
pub fn objective(task: &Task) -> ARef<Credential> {
    // SAFETY: the task is alive; a reference comes with the result, which is never null.
    unsafe {
        let cred = bindings::get_task_cred(task.as_ptr());
        ARef::from_raw(NonNull::new_unchecked(cred.cast_mut().cast()))
    }
}

/// The credentials of a task that stands still.
pub fn of(task: &Task, ns: &PidNamespace) -> Result<Creds, Unnamed> {
    let cred = objective(task);
    let c = cred.as_ptr();
    let ns = user_ns(ns);

    // SAFETY: credentials in use never change; those of the current task stay
    // while it runs here.
    unsafe {
        if (*c).user_ns != ns {
            return Err(Unnamed::UserNamespace);
        }
        match bindings::checkpoint_cred_differs(c, (*Task::current_raw()).cred) {
            bindings::checkpoint_cred_differs_CHECKPOINT_CRED_SAME => (),
            bindings::checkpoint_cred_differs_CHECKPOINT_CRED_KEYRINGS => {
                return Err(Unnamed::Keyrings)
            }
            _ => return Err(Unnamed::Lsm),
        }
    }
    // SAFETY: as above; the namespace is alive as long as `cred`.
    let uid = |id| match unsafe { bindings::from_kuid(ns, id) } {
        NO_ID => Err(Unnamed::Id),
        id => Ok(id),
    };
    // SAFETY: as above.
    let gid = |id| match unsafe { bindings::from_kgid(ns, id) } {
        NO_ID => Err(Unnamed::Id),
        id => Ok(id),
    };
    let mut groups = KVVec::new();
    // SAFETY: as above; a group_info never changes, and has as many groups as
    // it says.
    let (uid, gid, caps, securebits) = unsafe {
        let info = (*c).group_info;
        let n = usize::try_from((*info).ngroups).unwrap_or(0);
        for i in 0..n {
            let id = gid(*(*info).gid.as_ptr().add(i))?;
            groups
                .push(id, gfp())
                .map_err(|e| Unnamed::Error(e.into()))?;
        }
        (
            Ids {
                real: uid((*c).uid)?,
                effective: uid((*c).euid)?,
                saved: uid((*c).suid)?,
                fs: uid((*c).fsuid)?,
            },
            Ids {
                real: gid((*c).gid)?,
                effective: gid((*c).egid)?,
                saved: gid((*c).sgid)?,
                fs: gid((*c).fsgid)?,
            },
            caps(c),
            (*c).securebits,
        )
    };
    Ok(Creds {
        uid,
        gid,
        groups,
        caps,
        securebits,
    })
}

/// # Safety
///
/// `c` is valid and does not change.
unsafe fn caps(c: *const bindings::cred) -> Caps {
    // SAFETY: by the requirements of this function.
    unsafe {
        Caps {
            inheritable: (*c).cap_inheritable.val,
            permitted: (*c).cap_permitted.val,
            effective: (*c).cap_effective.val,
            bounding: (*c).cap_bset.val,
            ambient: (*c).cap_ambient.val,
        }
    }
}

/// Whether a task has PR_SET_NO_NEW_PRIVS set.
pub fn no_new_privs(task: &Task) -> bool {
    // SAFETY: the task is alive.
    unsafe { bindings::task_no_new_privs(task.as_ptr()) }
}

/// Sets PR_SET_NO_NEW_PRIVS for the current task, for good.
pub fn set_no_new_privs() {
    // SAFETY: concerns the current task.
    unsafe { bindings::task_set_no_new_privs(Task::current_raw()) };
}

/// Credentials in preparation for the current task.
///
/// # Invariants
///
/// `new` is a copy of the current credentials that nobody else has seen; those
/// of the current task do not change meanwhile, for only it could change them.
/// Its user namespace is the one that owns the pid namespace.
pub struct NewCreds(NonNull<bindings::cred>);

impl NewCreds {
    /// Begins with a copy of what the current task has. `EPERM` when that is of
    /// another user namespace than the one that owns `ns`.
    #[doc(alias = "prepare_creds")]
    pub fn prepare(ns: &PidNamespace) -> Result<Self> {
        // SAFETY: called by the current task; its credentials are valid.
        let new = unsafe {
            if (*(*Task::current_raw()).cred).user_ns != user_ns(ns) {
                return Err(EPERM);
            }
            bindings::prepare_creds()
        };
        // INVARIANT: a fresh copy, of the namespace that was compared.
        Ok(Self(NonNull::new(new).ok_or(ENOMEM)?))
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::cred {
        self.0.as_ptr()
    }

    fn old(&self) -> *const bindings::cred {
        // SAFETY: called by the current task.
        unsafe { (*Task::current_raw()).cred }
    }

    fn capable(&self, cap: u32) -> bool {
        // SAFETY: the namespace of valid credentials is valid.
        unsafe { bindings::ns_capable_setid((*self.old()).user_ns, cap as c_int) }
    }

    /// Sets the user ids. `EINVAL`: no such id here; `EPERM`: CAP_SETUID it
    /// takes.
    #[doc(alias = "setresuid")]
    pub fn set_uids(&mut self, to: &Ids) -> Result {
        let (new, old) = (self.as_ptr(), self.old());
        // SAFETY: both are valid by the type invariant, and so is their
        // namespace; `new` is ours to write. The user that `new` holds is
        // replaced by one with a reference of its own.
        unsafe {
            let ns = (*old).user_ns;
            let from = Ids {
                real: bindings::from_kuid(ns, (*old).uid),
                effective: bindings::from_kuid(ns, (*old).euid),
                saved: bindings::from_kuid(ns, (*old).suid),
                fs: bindings::from_kuid(ns, (*old).fsuid),
            };
            if from == *to {
                return Ok(());
            }
            let id = |id| match bindings::make_kuid(ns, id) {
                kuid if kuid.val == NO_ID => Err(EINVAL),
                kuid => Ok(kuid),
            };
            let ids = [id(to.real)?, id(to.effective)?, id(to.saved)?, id(to.fs)?];
            if !from.allow(to) && !self.capable(bindings::CAP_SETUID) {
                return Err(EPERM);
            }
            let [real, effective, saved, fs] = ids;
            if to.real != from.real {
                let user = NonNull::new(bindings::alloc_uid(real)).ok_or(EAGAIN)?;
                bindings::free_uid((*new).user);
                (*new).user = user.as_ptr();
            }
            (*new).uid = real;
            (*new).euid = effective;
            (*new).suid = saved;
            (*new).fsuid = fs;
            to_result(bindings::security_task_fix_setuid(
                new,
                old,
                bindings::LSM_SETID_RES as c_int,
            ))?;
            to_result(bindings::set_cred_ucounts(new))?;
            bindings::checkpoint_flag_nproc(new);
            Ok(())
        }
    }

    /// Sets the group ids. Errors as [`Self::set_uids`].
    #[doc(alias = "setresgid")]
    pub fn set_gids(&mut self, to: &Ids) -> Result {
        let (new, old) = (self.as_ptr(), self.old());
        // SAFETY: as in `set_uids()`.
        unsafe {
            let ns = (*old).user_ns;
            let from = Ids {
                real: bindings::from_kgid(ns, (*old).gid),
                effective: bindings::from_kgid(ns, (*old).egid),
                saved: bindings::from_kgid(ns, (*old).sgid),
                fs: bindings::from_kgid(ns, (*old).fsgid),
            };
            if from == *to {
                return Ok(());
            }
            let id = |id| match bindings::make_kgid(ns, id) {
                kgid if kgid.val == NO_ID => Err(EINVAL),
                kgid => Ok(kgid),
            };
            let ids = [id(to.real)?, id(to.effective)?, id(to.saved)?, id(to.fs)?];
            if !from.allow(to) && !self.capable(bindings::CAP_SETGID) {
                return Err(EPERM);
            }
            let [real, effective, saved, fs] = ids;
            (*new).gid = real;
            (*new).egid = effective;
            (*new).sgid = saved;
            (*new).fsgid = fs;
            to_result(bindings::security_task_fix_setgid(
                new,
                old,
                bindings::LSM_SETID_RES as c_int,
            ))
        }
    }

    /// Makes them say who a process was, and be good for nothing else: with these
    /// effective ids and without capabilities. Errors as [`Self::set_uids`].
    #[doc(alias = "SO_PEERCRED")]
    pub fn set_identity(&mut self, uid: u32, gid: u32) -> Result {
        let (new, old) = (self.as_ptr(), self.old());
        // SAFETY: as in `set_uids()`.
        unsafe {
            let ns = (*old).user_ns;
            let (kuid, kgid) = (bindings::make_kuid(ns, uid), bindings::make_kgid(ns, gid));
            if kuid.val == NO_ID || kgid.val == NO_ID {
                return Err(EINVAL);
            }
            let has_uid = [(*old).uid, (*old).euid, (*old).suid]
                .iter()
                .any(|has| has.val == kuid.val);
            let has_gid = [(*old).gid, (*old).egid, (*old).sgid]
                .iter()
                .any(|has| has.val == kgid.val);
            if (!has_uid && !self.capable(bindings::CAP_SETUID))
                || (!has_gid && !self.capable(bindings::CAP_SETGID))
            {
                return Err(EPERM);
            }
            (*new).euid = kuid;
            (*new).egid = kgid;
            let none = || bindings::kernel_cap_t { val: 0 };
            (*new).cap_effective = none();
            (*new).cap_permitted = none();
            (*new).cap_inheritable = none();
            (*new).cap_ambient = none();
        }
        Ok(())
    }

    /// Sets the supplementary groups. Errors as setgroups(2).
    #[doc(alias = "setgroups")]
    pub fn set_groups(&mut self, groups: &[u32]) -> Result {
        let (new, old) = (self.as_ptr(), self.old());
        // SAFETY: both are valid by the type invariant. The group_info made
        // here has as many elements as `groups`, and `set_groups()` takes a
        // reference of its own to it.
        unsafe {
            let ns = (*old).user_ns;
            let is = (*old).group_info;
            let same = usize::try_from((*is).ngroups) == Ok(groups.len())
                && groups
                    .iter()
                    .enumerate()
                    .all(|(i, id)| bindings::from_kgid(ns, *(*is).gid.as_ptr().add(i)) == *id);
            if same {
                return Ok(());
            }
            if !bindings::may_setgroups() {
                return Err(EPERM);
            }
            if groups.len() > bindings::NGROUPS_MAX as usize {
                return Err(EINVAL);
            }
            let info = bindings::groups_alloc(groups.len() as c_int);
            let info = NonNull::new(info).ok_or(ENOMEM)?.as_ptr();
            for (i, id) in groups.iter().enumerate() {
                let kgid = bindings::make_kgid(ns, *id);
                if kgid.val == NO_ID {
                    bindings::put_group_info(info);
                    return Err(EINVAL);
                }
                (*info).gid.as_mut_ptr().add(i).write(kgid);
            }
            bindings::groups_sort(info);
            bindings::set_groups(new, info);
            bindings::put_group_info(info);
            to_result(bindings::security_task_fix_setgroups(new, old))
        }
    }

    /// Sets capabilities and securebits, after the ids, which change them.
    /// `EPERM` for what capset(2) and prctl(2) would refuse.
    #[doc(alias = "capset")]
    pub fn set_caps(&mut self, to: &Caps, securebits: u32) -> Result {
        let (new, old) = (self.as_ptr(), self.old());
        // SAFETY: both are valid by the type invariant; `new` is ours.
        unsafe {
            let from = caps(old);
            let may_setpcap = || {
                bindings::security_capable(
                    old,
                    (*old).user_ns,
                    bindings::CAP_SETPCAP as c_int,
                    bindings::CAP_OPT_NONE,
                ) == 0
            };

            // PR_SET_SECUREBITS
            if securebits != (*old).securebits {
                let locks = bindings::SECURE_ALL_LOCKS;
                let was = (*old).securebits;
                // PR_SET_KEEPCAPS, which is for all, as are those about execve(2).
                let free = bindings::SECURE_ALL_UNPRIVILEGED;
                let free = free | free << 1 | 1 << bindings::SECURE_KEEP_CAPS;
                if ((was & locks) >> 1) & (was ^ securebits) != 0
                    || was & locks & !securebits != 0
                    || securebits & !(locks | bindings::SECURE_ALL_BITS) != 0
                    || ((was ^ securebits) & !free != 0 && !may_setpcap())
                {
                    return Err(EPERM);
                }
            }
            // PR_CAPBSET_DROP
            if to.bounding & !from.bounding != 0 || (to.bounding != from.bounding && !may_setpcap())
            {
                return Err(EPERM);
            }
            // PR_SET_KEEPCAPS, or PR_SET_SECUREBITS, before the ids were set: where
            // neither could be had, what the ids took is gone.
            let has = |bit: u32| (*old).securebits & (1 << bit) != 0;
            let keeps = has(bindings::SECURE_KEEP_CAPS) || !has(bindings::SECURE_KEEP_CAPS_LOCKED);
            let no_fixup = has(bindings::SECURE_NO_SETUID_FIXUP)
                || (!has(bindings::SECURE_NO_SETUID_FIXUP_LOCKED) && may_setpcap());
            if !keeps && !no_fixup && to.permitted & !(*new).cap_permitted.val != 0 {
                return Err(EPERM);
            }
            // PR_CAP_AMBIENT
            let raised = to.ambient & !from.ambient;
            if to.ambient & !(to.permitted & to.inheritable) != 0
                || (raised != 0
                    && (*old).securebits & (1 << bindings::SECURE_NO_CAP_AMBIENT_RAISE) != 0)
            {
                return Err(EPERM);
            }
            let set = |val| bindings::kernel_cap_t { val };
            to_result(bindings::security_capset(
                new,
                old,
                &set(to.effective),
                &set(to.inheritable),
                &set(to.permitted),
            ))?;
            (*new).cap_bset = set(to.bounding);
            (*new).cap_ambient = set(to.ambient);
            (*new).securebits = securebits;
        }
        Ok(())
    }

    /// Gives them to the current task.
    ///
    /// As with the system calls, this may make the task not dumpable, and clears
    /// the signal it gets when its parent dies.
    #[doc(alias = "commit_creds")]
    pub fn commit(self) {
        let new = self.as_ptr();
        core::mem::forget(self);
        // SAFETY: by the type invariant these are prepared credentials, and the
        // reference to them is passed on.
        unsafe { bindings::commit_creds(new) };
    }
}

impl Drop for NewCreds {
    fn drop(&mut self) {
        // SAFETY: prepared, and not committed.
        unsafe { bindings::abort_creds(self.as_ptr()) };
    }
}
