// SPDX-License-Identifier: GPL-2.0-only

//! What tasks of a job share with others than tasks of the job.
//!
//! Who else has it can't be seen from the thing itself, only from the tasks of the
//! machine. They are looked at once for all, for there may be many of both.

use crate::{
    checkpoint::Checkpoint,
    freeze::Frozen,
    report::{
        Item,
        Object, //
    },
    sort, //
};
use core::ffi::c_void;
use kernel::{
    checkpoint::{
        attr::{
            find_outside,
            Shared, //
        },
        gfp, //
    },
    prelude::*,
};

/// The words of a refusal, see [`Item`].
pub(crate) struct What {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// The reason.
    pub(crate) why: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

struct Question {
    address: *const c_void,
    subject: (i32, [u8; 16]),
    what: What,
}

/// What is asked about.
#[derive(Default)]
pub(crate) struct Asked(KVVec<Question>);

impl Asked {
    /// Has what is at `address`, which `frozen` is the first to have, refused where
    /// others have it. Once for each thing.
    pub(crate) fn ask(
        &mut self,
        address: *const c_void,
        frozen: &Frozen<'_>,
        what: What,
    ) -> Result {
        let question = Question {
            address,
            subject: frozen.subject(),
            what,
        };
        Ok(self.0.push(question, gfp())?)
    }
}

/// Refuses what others have, while the job stands still.
pub(crate) fn finish(ctx: &mut Checkpoint) -> Result {
    let mut asked = core::mem::take(&mut ctx.outside).0;
    if asked.is_empty() {
        return Ok(());
    }
    sort::by_key(&mut asked, |q| q.address);
    let mut objects = KVVec::with_capacity(asked.len(), gfp())?;
    for question in &asked {
        objects.push(Shared::new(question.address), gfp())?;
    }
    find_outside(&ctx.ns, &mut objects);
    for (question, object) in asked.iter().zip(objects.iter()) {
        if !object.is_outside() {
            continue;
        }
        ctx.report.subject(Some(question.subject));
        ctx.report.refuse(Item {
            object: Object::Task,
            kind: question.what.kind,
            name: b"",
            why: question.what.why,
            remedy: question.what.remedy,
        });
    }
    ctx.report.subject(None);
    Ok(())
}
