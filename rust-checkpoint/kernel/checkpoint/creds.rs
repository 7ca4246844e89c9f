// SPDX-License-Identifier: GPL-2.0-only

//! Credentials.
//!
//! A restored task begins with those of init at the time of the call, and gets
//! its own as if it had made the system calls itself: never more than init
//! could have given it.
//!
//! Refused: credentials of another user namespace, keyrings and the state of
//! security modules that are not those of init.

use crate::{
    checkpoint::{
        Checkpoint,
        Section, //
    },
    image::record::{
        self as wire,
        Kind, //
    },
    report::{
        Item,
        Object, //
    },
    restart::{
        Part,
        Restart, //
    },
};
use kernel::{
    checkpoint::{
        cred::{
            self,
            Caps,
            Ids,
            NewCreds,
            Unnamed, //
        },
        gfp, //
    },
    prelude::*,
    task::Task, //
};
use zerocopy::little_endian::U32;

/// Saves the credentials of a task.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, task: &Task) -> Result {
    let creds = match cred::of(task, &ctx.ns) {
        Ok(creds) => creds,
        Err(unnamed) => {
            let (kind, why, remedy) = match unnamed {
                Unnamed::UserNamespace => (
                    "user-ns",
                    "it is in a user namespace other than that of init",
                    "run the user namespace's own init",
                ),
                Unnamed::Id => (
                    "ids",
                    "one of its ids has no number in the user namespace",
                    "map the id",
                ),
                Unnamed::Keyrings => ("keyrings", "it has keyrings that are not those of init", ""),
                Unnamed::Lsm => ("lsm", "a security module confines it other than init", ""),
                Unnamed::Error(e) => return Err(e),
            };
            ctx.report.refuse(Item {
                object: Object::Task,
                kind,
                name: b"",
                why,
                remedy,
            });
            return Ok(());
        }
    };
    let mut groups = KVVec::with_capacity(creds.groups.len() * 4, gfp())?;
    for id in &creds.groups {
        groups.extend_from_slice(&id.to_le_bytes(), gfp())?;
    }
    ctx.emit(
        Section::Tasks,
        Kind::Creds,
        &wire::Creds {
            uid: creds.uid.real.into(),
            gid: creds.gid.real.into(),
            suid: creds.uid.saved.into(),
            sgid: creds.gid.saved.into(),
            euid: creds.uid.effective.into(),
            egid: creds.gid.effective.into(),
            fsuid: creds.uid.fs.into(),
            fsgid: creds.gid.fs.into(),
            securebits: creds.securebits.into(),
            no_new_privs: u32::from(cred::no_new_privs(task)).into(),
            cap_inheritable: creds.caps.inheritable.into(),
            cap_permitted: creds.caps.permitted.into(),
            cap_effective: creds.caps.effective.into(),
            cap_bset: creds.caps.bounding.into(),
            cap_ambient: creds.caps.ambient.into(),
        },
        &[&groups],
    )
}

/// Gives the current task its credentials; what follows can't ask for those of
/// init any more.
pub(crate) fn restart(rs: &mut Restart, part: &Part) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let record = part.record(&meta, Kind::Creds)?;
    let head: wire::Creds = record.head().map_err(|_| EINVAL)?;
    let mut groups = KVVec::new();
    for id in record.array::<U32>().map_err(|_| EINVAL)? {
        groups.push(id.get(), GFP_KERNEL_ACCOUNT)?;
    }
    let mut refused = |what: &'static str, error| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind: what,
                name: b"",
                why: match error {
                    e if e == EPERM => "init may not give a task these credentials",
                    e if e == EINVAL => "there is no such id in the user namespace",
                    _ => "its credentials could not be set",
                },
                remedy: "restart under an init with the same user namespace and capabilities",
            },
            error,
        )
    };

    let ns = current!().active_pid_ns().ok_or(ESRCH)?.into();
    let ns: kernel::sync::aref::ARef<_> = ns;
    let mut new = NewCreds::prepare(&ns).map_err(|e| refused("user-ns", e))?;
    new.set_groups(&groups).map_err(|e| refused("groups", e))?;
    new.set_gids(&Ids {
        real: head.gid.get(),
        effective: head.egid.get(),
        saved: head.sgid.get(),
        fs: head.fsgid.get(),
    })
    .map_err(|e| refused("gid", e))?;
    new.set_uids(&Ids {
        real: head.uid.get(),
        effective: head.euid.get(),
        saved: head.suid.get(),
        fs: head.fsuid.get(),
    })
    .map_err(|e| refused("uid", e))?;
    new.set_caps(
        &Caps {
            inheritable: head.cap_inheritable.get(),
            permitted: head.cap_permitted.get(),
            effective: head.cap_effective.get(),
            bounding: head.cap_bset.get(),
            ambient: head.cap_ambient.get(),
        },
        head.securebits.get(),
    )
    .map_err(|e| refused("capabilities", e))?;
    new.commit();
    Ok(())
}

/// Has the current task gain no more rights from execve(2), if it was so. It
/// needs none to say so, and may confine itself then.
pub(crate) fn restart_no_new_privs(rs: &mut Restart, part: &Part) -> Result {
    let meta = rs.image.meta();
    let head: wire::Creds = part
        .record(&meta, Kind::Creds)?
        .head()
        .map_err(|_| EINVAL)?;
    match (cred::no_new_privs(current!()), head.no_new_privs.get()) {
        (true, 0) => Err(rs.report.error(
            Item {
                object: Object::Task,
                kind: "no-new-privs",
                name: b"",
                why: "init has set it for good, and the task had not",
                remedy: "restart under an init without PR_SET_NO_NEW_PRIVS",
            },
            EPERM,
        )),
        (false, 1) => {
            cred::set_no_new_privs();
            Ok(())
        }
        _ => Ok(()),
    }
}
