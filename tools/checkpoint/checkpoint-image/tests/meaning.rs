// SPDX-License-Identifier: GPL-2.0-only

//! What contradicts itself is refused, and the refusal says which record, and why.

// Miri would take hours; it has `sample/tests/small.rs`.
#![cfg(not(miri))]

use checkpoint_image::{
    emit,
    format::{Fault, HEADER_LEN},
    parse::Meta,
    record::{
        attr_flags, file_kind, mm_flags, restart_kind, task_flags, timer_flags, vma_flags, Attr,
        Creds, DeletedTimer, End, Eventfd, Exit, Fd, FdTable, Fifo, File, FileData, Fs, Group, Job,
        Kind, LdtEntry, Mm, NumaPolicy, Parent, ParentRuns, Path, Pending, Pipe, PipeData,
        ProcText, Regset, RestartBlock, Run, Sched, Seccomp, Segment, SharedRun, Shm, Sighand,
        Signals, Socket, SocketData, SocketOption, Task, TaskUsage, ThreadX86, Timer, TimerSignal,
        Timers, UserPtrs, Vma,
    },
    verify::{check_shared, runs_of, Stretch, MAX_TEXT},
};
use checkpoint_sample::{
    header, read, read_meta, run, sample, shared_run, timer, Records, Sample, CODE, HEAP, PAGE,
    STACK,
};
use zerocopy::{FromZeros, IntoBytes, KnownLayout};

/// Changes the sample, and expects a refusal of record `nth` of `kind` as it then is.
#[track_caller]
fn refused(kind: Kind, nth: usize, what: &str, change: impl FnOnce(&mut Sample)) {
    refused_of(Sample::default(), kind, nth, what, change);
}

/// The same of another sample.
#[track_caller]
fn refused_of(
    mut sample: Sample,
    kind: Kind,
    nth: usize,
    what: &str,
    change: impl FnOnce(&mut Sample),
) {
    change(&mut sample);
    let result = read_meta(&sample.records.bytes, sample.data.len() as u64);
    let fault = result.expect_err(what);
    assert_eq!(fault.what, what);
    let (at, _) = sample.find(kind, nth);
    assert_eq!(fault.offset, (HEADER_LEN + at) as u64, "{fault}");
}

/// Changes the structure of record `nth` of `kind`, and expects its refusal.
#[track_caller]
fn bad<T>(kind: Kind, nth: usize, what: &str, change: impl FnOnce(&mut T))
where
    T: zerocopy::FromBytes + IntoBytes + KnownLayout + zerocopy::Immutable,
{
    refused(kind, nth, what, |sample| sample.edit(kind, nth, change));
}

/// Expects that a change does no harm.
#[track_caller]
fn fine(change: impl FnOnce(&mut Sample)) {
    let mut sample = Sample::default();
    change(&mut sample);
    let result = read_meta(&sample.records.bytes, sample.data.len() as u64);
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

const ORDER: &str = "record is out of order (number of its kind)";
const BITS: &str = "unknown bits in a field";
const NEXT: &str = "id is not the next of its kind";

#[test]
fn order() {
    // Every record but these may not go missing or stand anywhere else; that of which there may be
    // any number may, where nothing refers to it.
    for kind in Kind::ALL {
        let new = || match kind {
            Kind::Parent | Kind::ParentRuns => Sample::incremental(),
            _ => Sample::default(),
        };
        let mut moved = new();
        let bytes = moved.bytes_of(kind, 0);
        moved.replace(kind, 0, &[]);
        let mut meta = bytes;
        meta.extend_from_slice(&moved.records.bytes);
        let result = read_meta(&meta, moved.data.len() as u64);
        assert_eq!(result.is_ok(), kind == Kind::Job, "{kind:?} first");

        let mut sample = new();
        let bytes = sample.bytes_of(kind, 0);
        sample.replace(kind, 0, &[]);
        sample.records.bytes.extend_from_slice(&bytes);
        let result = read_meta(&sample.records.bytes, sample.data.len() as u64);
        assert_eq!(result.is_ok(), kind == Kind::End, "{kind:?} last");
    }
    refused(Kind::Eventfd, 0, ORDER, |s| s.replace(Kind::Job, 0, &[]));
    refused(Kind::Job, 1, ORDER, |s| {
        let job = s.bytes_of(Kind::Job, 0);
        s.insert(Kind::File, 0, &job);
    });
    refused(Kind::File, 7, ORDER, |s| {
        let file = s.bytes_of(Kind::File, 0);
        s.insert(Kind::Mm, 0, &file);
    });
    refused(Kind::Ldt, 0, ORDER, |s| {
        let ldt = s.bytes_of(Kind::Ldt, 0);
        s.replace(Kind::Ldt, 0, &[]);
        s.insert(Kind::Vma, 1, &ldt);
    });
    refused(Kind::Ldt, 1, ORDER, |s| {
        let ldt = s.bytes_of(Kind::Ldt, 0);
        s.insert(Kind::Vma, 0, &ldt);
    });
    // The runs of an address space stand behind all of its mappings, once.
    refused(Kind::Runs, 1, ORDER, |s| {
        let runs = s.bytes_of(Kind::Runs, 1);
        s.replace(Kind::Runs, 1, &[]);
        s.insert(Kind::Vma, 5, &runs);
    });
    refused(Kind::Runs, 2, ORDER, |s| {
        let runs = s.bytes_of(Kind::Runs, 1);
        s.insert(Kind::Runs, 1, &runs);
    });
    refused(Kind::Vma, 8, ORDER, |s| {
        let vma = s.bytes_of(Kind::Vma, 0);
        s.insert(Kind::FdTable, 0, &vma);
    });
    shared_runs_in_order();
    guards_in_order();
    refused(Kind::Creds, 0, ORDER, |s| {
        let creds = s.bytes_of(Kind::Creds, 0);
        s.replace(Kind::Creds, 0, &[]);
        s.insert(Kind::Task, 0, &creds);
    });
    refused(Kind::Job, 1, "record after the last one", |s| {
        let job = s.bytes_of(Kind::Job, 0);
        s.records.bytes.extend_from_slice(&job);
    });
}

/// A deleted file that is one of memfd_create(2), of this name.
fn memfd(name: &[u8]) -> impl FnOnce(&mut Sample) + '_ {
    move |s| {
        let file = File {
            id: 3.into(),
            kind: file_kind::MEMFD.into(),
            init_fd: 1.into(),
            flags: 2.into(),
            pos: 0.into(),
            identity: FromZeros::new_zeroed(),
        };
        let mut records = Records::default();
        records.add(Kind::File, &file, name);
        s.replace(Kind::File, 2, &records.bytes);
    }
}

fn memfds() {
    fine(memfd(b"memfd:"));
    fine(memfd(b"memfd:a/b\xff"));
    refused(
        Kind::File,
        2,
        "impossible name of a memfd",
        memfd(b"/memfd:a"),
    );
    let mut long = [b'x'; 256];
    long[..6].copy_from_slice(b"memfd:");
    fine(memfd(&long[..255]));
    refused(Kind::File, 2, "string is too long", memfd(&long));
}

/// Behind the mappings and in front of the runs of an address space, once.
fn shared_runs_in_order() {
    let moved = |s: &mut Sample, kind: Kind, nth: usize| {
        let shared = s.bytes_of(Kind::SharedRuns, 0);
        s.replace(Kind::SharedRuns, 0, &[]);
        s.insert(kind, nth, &shared);
    };
    refused(Kind::SharedRuns, 0, ORDER, |s| moved(s, Kind::Vma, 7));
    refused(Kind::SharedRuns, 0, ORDER, |s| moved(s, Kind::FdTable, 0));
    // Of shared memory, and of nothing.
    refused(Kind::SharedRuns, 0, ORDER, |s| moved(s, Kind::Runs, 0));
    refused(Kind::SharedRuns, 0, ORDER, |s| moved(s, Kind::Shm, 0));
    refused(Kind::SharedRuns, 1, ORDER, |s| {
        let shared = s.bytes_of(Kind::SharedRuns, 0);
        s.insert(Kind::SharedRuns, 0, &shared);
    });
    // Nothing else comes between them and the runs.
    refused(Kind::VmaPolicy, 1, ORDER, |s| {
        let policy = s.bytes_of(Kind::VmaPolicy, 0);
        s.insert(Kind::Runs, 2, &policy);
    });
    refused(Kind::Ldt, 1, ORDER, |s| {
        let mut records = Records::default();
        records.add(Kind::SharedRuns, &(), &[]);
        records.bytes.extend(s.bytes_of(Kind::Ldt, 0));
        s.edit::<Mm>(Kind::Mm, 1, |mm| mm.vmas = 0.into());
        s.replace(Kind::Vma, 7, &[]);
        s.replace(Kind::Vma, 6, &records.bytes);
    });
}

/// Behind the mappings and in front of the shared runs and the runs of an address space, once.
fn guards_in_order() {
    let moved = |s: &mut Sample, kind: Kind, nth: usize| {
        let guards = s.bytes_of(Kind::Guards, 1);
        s.replace(Kind::Guards, 1, &[]);
        s.insert(kind, nth, &guards);
    };
    refused(Kind::Guards, 1, ORDER, |s| moved(s, Kind::Vma, 6));
    refused(Kind::Guards, 1, ORDER, |s| moved(s, Kind::Vma, 7));
    refused(Kind::Guards, 1, ORDER, |s| moved(s, Kind::Runs, 2));
    refused(Kind::Guards, 1, ORDER, |s| moved(s, Kind::FdTable, 0));
    // Of shared memory, and of nothing.
    refused(Kind::Guards, 0, ORDER, |s| moved(s, Kind::Runs, 0));
    refused(Kind::Guards, 0, ORDER, |s| moved(s, Kind::Shm, 0));
    for kind in [Kind::Guards, Kind::SharedRuns] {
        refused(Kind::Guards, 2, ORDER, |s| {
            let guards = s.bytes_of(Kind::Guards, 1);
            s.insert(kind, usize::from(kind == Kind::Guards), &guards);
        });
    }
    // Not even if there are none in the first.
    refused(Kind::Guards, 1, ORDER, |s| {
        let guards = s.bytes_of(Kind::Guards, 0);
        s.replace(Kind::Guards, 0, &guarding(&[]));
        s.insert(Kind::Runs, 1, &guards);
    });
    // Nothing else comes between them and the runs.
    refused(Kind::VmaPolicy, 1, ORDER, |s| {
        let policy = s.bytes_of(Kind::VmaPolicy, 0);
        s.insert(Kind::SharedRuns, 0, &policy);
    });
    refused(Kind::Ldt, 1, ORDER, |s| {
        let mut records = guarding(&[]);
        records.extend(s.bytes_of(Kind::Ldt, 0));
        s.edit::<Mm>(Kind::Mm, 1, |mm| mm.vmas = 0.into());
        s.replace(Kind::Runs, 2, &[]);
        s.replace(Kind::SharedRuns, 0, &[]);
        s.replace(Kind::Guards, 1, &records);
        s.replace(Kind::Vma, 7, &[]);
        s.replace(Kind::Vma, 6, &[]);
    });
    let more = "more mappings than the address space has announced";
    refused(Kind::Vma, 8, more, |s| {
        let vma = s.bytes_of(Kind::Vma, 0);
        s.insert(Kind::SharedRuns, 0, &vma);
    });
    fine(|s| {
        let policy = s.bytes_of(Kind::VmaPolicy, 0);
        s.insert(Kind::Guards, 1, &policy);
        s.recount();
    });
}

#[test]
fn counts() {
    bad::<Job>(Kind::Job, 0, "job without tasks", |job| {
        job.tasks = 0.into();
    });
    refused(Kind::End, 0, "content of deleted files is missing", |s| {
        s.replace(Kind::FileData, 0, &[]);
        s.edit::<End>(Kind::End, 0, |x| x.records = (x.records.get() - 1).into());
    });
    // Content that no file has.
    refused(
        Kind::FileData,
        0,
        "reference to an object that is not defined",
        |s| {
            s.replace(Kind::File, 6, &[]);
            s.replace(Kind::File, 5, &[]);
            s.replace(Kind::File, 4, &[]);
            s.replace(Kind::File, 3, &[]);
        },
    );
    refused(Kind::End, 0, "wrong number of tasks", |s| {
        s.edit::<Job>(Kind::Job, 0, |job| job.tasks = 3.into());
    });
    bad::<End>(Kind::End, 0, "wrong number of records", |end| {
        end.records = 3.into();
    });
    bad::<End>(Kind::End, 0, "wrong number of pages", |end| {
        end.pages = 3.into();
    });
    refused(Kind::End, 0, "wrong number of pages", |s| {
        s.data.truncate(PAGE as usize);
    });
    refused(Kind::Mm, 0, "mappings are missing (how many)", |s| {
        s.edit::<Mm>(Kind::Mm, 0, |mm| mm.vmas = 7.into());
        s.replace(Kind::Runs, 1, &[]);
        s.replace(Kind::Guards, 0, &[]);
    });
    refused(Kind::Runs, 1, ORDER, |s| {
        s.edit::<Mm>(Kind::Mm, 0, |mm| mm.vmas = 7.into());
        s.replace(Kind::Guards, 0, &[]);
    });
    refused(Kind::Guards, 0, ORDER, |s| {
        s.edit::<Mm>(Kind::Mm, 0, |mm| mm.vmas = 7.into());
    });
    refused(
        Kind::Vma,
        5,
        "more mappings than the address space has announced",
        |s| s.edit::<Mm>(Kind::Mm, 0, |mm| mm.vmas = 5.into()),
    );
    bad::<FdTable>(Kind::FdTable, 0, "wrong number of descriptors", |table| {
        table.count = 2.into();
    });
    bad::<Pending>(Kind::Pending, 1, "wrong number of signals", |pending| {
        pending.count = 2.into();
    });
}

#[test]
fn ids() {
    bad::<File>(Kind::File, 0, NEXT, |x| x.id = 0.into());
    bad::<File>(Kind::File, 1, NEXT, |x| x.id = 1.into());
    bad::<File>(Kind::File, 2, NEXT, |x| x.id = 4.into());
    bad::<Path>(Kind::Path, 1, NEXT, |x| x.id = 1.into());
    bad::<Sighand>(Kind::Sighand, 0, NEXT, |x| x.id = 2.into());
    bad::<Shm>(Kind::Shm, 0, NEXT, |x| x.id = 2.into());
    bad::<Mm>(Kind::Mm, 0, NEXT, |x| x.id = 2.into());
    bad::<FdTable>(Kind::FdTable, 0, NEXT, |x| x.id = 2.into());
    bad::<Fs>(Kind::Fs, 0, NEXT, |x| x.id = 2.into());

    const UNDEFINED: &str = "reference to an object that is not defined";
    const NOTHING: &str = "reference to nothing";
    bad::<Mm>(Kind::Mm, 0, UNDEFINED, |x| x.exe_file = 8.into());
    fine(|s| s.edit::<Mm>(Kind::Mm, 0, |x| x.exe_file = 0.into()));
    // One before itself.
    bad::<Mm>(Kind::Mm, 0, UNDEFINED, |x| x.base = 1.into());
    bad::<Mm>(Kind::Mm, 1, UNDEFINED, |x| x.base = 2.into());
    fine(|s| s.edit::<Mm>(Kind::Mm, 1, |x| x.base = 0.into()));
    bad::<SharedRun>(Kind::SharedRuns, 0, NOTHING, |x| x.mm = 0.into());
    for mm in [2u32, 3, u32::MAX] {
        bad::<SharedRun>(Kind::SharedRuns, 0, UNDEFINED, |x| x.mm = mm.into());
    }
    bad::<Vma>(Kind::Vma, 0, UNDEFINED, |x| x.object = 8.into());
    bad::<Vma>(Kind::Vma, 0, NOTHING, |x| x.object = 0.into());
    bad::<Vma>(Kind::Vma, 1, UNDEFINED, |x| x.object = 1.into());
    bad::<Vma>(Kind::Vma, 2, UNDEFINED, |x| x.object = 3.into());
    bad::<Fs>(Kind::Fs, 0, UNDEFINED, |x| x.root = 3.into());
    bad::<Fs>(Kind::Fs, 0, NOTHING, |x| x.cwd = 0.into());
    for change in [
        |x: &mut Task| x.mm = 3.into(),
        |x: &mut Task| x.files = 2.into(),
        |x: &mut Task| x.fs = 2.into(),
        |x: &mut Task| x.sighand = 2.into(),
    ] {
        bad::<Task>(Kind::Task, 0, UNDEFINED, change);
    }
    refused(Kind::FdTable, 0, UNDEFINED, |s| {
        s.edit_bytes(Kind::FdTable, 0, |bytes| bytes[16 + 8 + 4] = 8);
    });
}

fn huge_mappings() {
    let bad = |nth, what: &str, change: fn(&mut Vma)| bad::<Vma>(Kind::Vma, nth, what, change);
    let huge = |x: &mut Vma| {
        x.huge_shift = 13.into();
        x.end = (x.start.get() + 2 * PAGE).into();
    };
    // Shared: memory without a file, a file.
    fine(|s| s.edit::<Vma>(Kind::Vma, 2, huge));
    fine(|s| s.edit::<Vma>(Kind::Vma, 3, huge));
    // Private.
    let private = |x: &mut Vma| {
        x.huge_shift = 13.into();
        x.end = (x.start.get() + 2 * PAGE).into();
        x.flags = (1 | vma_flags::UNRESERVED).into();
    };
    fine(|s| s.edit::<Vma>(Kind::Vma, 2, private));
    fine(|s| s.edit::<Vma>(Kind::Vma, 3, private));

    for shift in [1u32, 12, 48, u32::MAX] {
        refused(Kind::Vma, 3, "impossible size of huge pages", |s| {
            s.edit::<Vma>(Kind::Vma, 3, |x| x.huge_shift = shift.into());
        });
    }
    // Start, end and offset.
    const WHOLE: &str = "not aligned to its huge pages";
    bad(3, WHOLE, |x| x.huge_shift = 13.into());
    bad(3, WHOLE, |x| {
        x.huge_shift = 13.into();
        x.start = (x.start.get() + PAGE).into();
        x.end = (x.start.get() + PAGE).into();
    });
    bad(3, WHOLE, |x| {
        x.huge_shift = 13.into();
        x.end = (x.start.get() + 2 * PAGE).into();
        x.offset = PAGE.into();
    });
    const IMPOSSIBLE: &str = "impossible mapping of huge pages";
    bad(1, IMPOSSIBLE, |x| x.huge_shift = 13.into());
    for flag in [
        vma_flags::GROWSDOWN,
        vma_flags::LOCKED,
        vma_flags::WIPEONFORK,
    ] {
        refused(Kind::Vma, 3, IMPOSSIBLE, |s| {
            s.edit::<Vma>(Kind::Vma, 3, |x| {
                x.huge_shift = 13.into();
                x.flags = flag.into();
            });
        });
    }
    const RESERVED: &str = "mapping that no huge pages can be reserved for";
    bad(1, RESERVED, |x| x.flags = vma_flags::UNRESERVED.into());
    bad(3, RESERVED, |x| {
        x.huge_shift = 13.into();
        x.flags = (x.flags.get() | vma_flags::UNRESERVED).into();
    });
    bad(3, RESERVED, |x| {
        x.huge_shift = 13.into();
        x.flags = (vma_flags::UNRESERVED | vma_flags::NORESERVE).into();
    });
}

#[test]
fn mappings() {
    let bad = |nth, what: &str, change: fn(&mut Vma)| bad::<Vma>(Kind::Vma, nth, what, change);
    bad(0, "mapping is not page-aligned", |x| {
        x.start = (CODE + 1).into();
    });
    bad(0, "mapping is not page-aligned", |x| {
        x.end = (CODE + 8).into();
    });
    bad(0, "mapping has no length, or too much", |x| x.end = x.start);
    bad(0, "mapping has no length, or too much", |x| {
        x.end = (1 << 63).into();
    });
    bad(1, "mapping overlaps the one before it", |x| {
        x.start = (CODE + PAGE).into();
    });
    bad(1, "unknown bits in a field", |x| x.flags = (1 << 40).into());
    bad(2, "private mapping of shared memory", |x| {
        x.flags = 1.into();
    });
    bad(1, "shared mapping of private memory", |x| {
        x.flags = (8 | 128).into();
    });
    bad(1, "mapping is shared and may not be", |x| {
        x.flags = 8.into();
    });
    bad(1, "unknown kind of mapping", |x| x.kind = 9.into());
    bad(0, "impossible offset of a mapping", |x| x.offset = 1.into());
    bad(0, "impossible offset of a mapping", |x| {
        x.offset = (u64::MAX - 4095).into();
    });
    bad(0, "impossible protection key", |x| x.pkey = 16.into());
    huge_mappings();
    const DROPPABLE: &str = "impossible flags of a droppable mapping";
    let droppable = vma_flags::DROPPABLE | vma_flags::WIPEONFORK;
    fine(|s| s.edit::<Vma>(Kind::Vma, 1, |x| x.flags = droppable.into()));
    for (nth, flags) in [
        (1, vma_flags::DROPPABLE),
        (1, droppable | vma_flags::LOCKED),
        (1, droppable | vma_flags::LOCKONFAULT),
        (1, droppable | vma_flags::GROWSDOWN),
        (0, droppable),
    ] {
        refused(Kind::Vma, nth, DROPPABLE, |s| {
            s.edit::<Vma>(Kind::Vma, nth, |x| x.flags = flags.into());
        });
    }
    refused(Kind::Vma, 1, "string with a NUL in it", |s| {
        s.edit_bytes(Kind::Vma, 1, |bytes| bytes[16 + 48] = 0);
    });
}

#[test]
fn runs() {
    let with = |runs: &[Run]| {
        let mut records = Records::default();
        records.add(Kind::Runs, &(), runs.as_bytes());
        records.bytes
    };
    let bad = |runs: &[Run], what: &str| {
        let bytes = with(runs);
        refused(Kind::Runs, 1, what, |s| s.replace(Kind::Runs, 1, &bytes));
    };
    let outside = "run of pages is outside of what can hold it";
    bad(&[run(0, 5)], outside);
    bad(&[run(CODE, 3), run(HEAP, 2)], outside);
    bad(&[run(CODE + 2 * PAGE, 5)], outside);
    // What is shared is not the address space's.
    bad(&[run(0x7000_0000_0000, 5)], outside);
    bad(&[run(0x7000_0001_0000, 5)], outside);
    bad(&[run(STACK + 8 * PAGE, 5)], outside);
    bad(&[run(u64::MAX - 4095, 1)], "run of pages is too long");
    let none = "run of pages is empty or not page-aligned";
    bad(&[run(CODE, 0)], none);
    bad(&[run(CODE + 1, 1)], none);
    let before = "run of pages overlaps the one before it";
    bad(&[run(HEAP, 1), run(CODE, 2)], before);
    bad(&[run(HEAP, 2), run(HEAP + PAGE, 1)], before);
    let mut flags = run(CODE, 5);
    flags.flags = 1.into();
    bad(&[flags], "unknown bits in a field");
    fine(|s| {
        let runs = [run(CODE, 1), run(CODE + PAGE, 1), run(HEAP, 3)];
        s.replace(Kind::Runs, 1, &with(&runs));
    });
    // The sample without any.
    fine(|s| {
        s.replace(Kind::Runs, 2, &[]);
        s.replace(Kind::SharedRuns, 0, &[]);
        s.replace(Kind::Runs, 1, &[]);
        s.edit::<End>(Kind::End, 0, |end| end.pages = 1.into());
        s.data.truncate(PAGE as usize);
        s.recount();
    });
    // Of shared memory, whose last page is not whole.
    let shm = |runs: &[Run]| {
        let bytes = with(runs);
        refused(Kind::Runs, 0, outside, |s| s.replace(Kind::Runs, 0, &bytes));
    };
    shm(&[run(3 * PAGE, 1)]);
    shm(&[run(2 * PAGE, 2)]);
    // An array that is no array.
    let mut odd = Records::default();
    odd.add(Kind::Runs, &(), &[0; 15]);
    let what = "length of the array in the record is not a multiple of its elements'";
    refused(Kind::Runs, 1, what, |s| {
        s.replace(Kind::Runs, 1, &odd.bytes);
    });
}

/// Where the sample's second address space has its merged page.
const MERGED: u64 = HEAP + 3 * PAGE;
/// And where its own one.
const OWN: u64 = HEAP + 4 * PAGE;
/// And where its guard.
const GUARD: u64 = HEAP + 5 * PAGE;
/// Where the first one has its shared mappings.
const SHM: u64 = 0x7000_0000_0000;
/// The second of them.
const SHARED_FILE: u64 = 0x7000_0001_0000;
/// And where its vdso.
const VDSO: u64 = STACK + 8 * PAGE;

/// What the second address space shares.
fn sharing(runs: &[SharedRun]) -> impl FnOnce(&mut Sample) {
    let mut records = Records::default();
    records.add(Kind::SharedRuns, &(), runs.as_bytes());
    move |s| s.replace(Kind::SharedRuns, 0, &records.bytes)
}

#[test]
fn shared_runs() {
    let bad = |runs: &[SharedRun], what: &str| {
        refused(Kind::SharedRuns, 0, what, sharing(runs));
    };
    let outside = "run of pages is outside of what can hold it";
    bad(&[shared_run(0, 3, 1, HEAP)], outside);
    // The next mapping of the address space is the last.
    bad(&[shared_run(HEAP + 5 * PAGE, 2, 1, HEAP)], outside);
    bad(&[shared_run(STACK, 1, 1, HEAP)], outside);
    let long = "run of pages is too long";
    bad(&[shared_run(u64::MAX - 4095, 1, 1, HEAP)], long);
    let none = "run of pages is empty or not page-aligned";
    bad(&[shared_run(HEAP, 0, 1, HEAP)], none);
    bad(&[shared_run(HEAP + 1, 1, 1, HEAP)], none);
    let before = "run of pages overlaps the one before it";
    let (one, two) = (shared_run(HEAP, 2, 1, HEAP), shared_run(HEAP, 1, 1, HEAP));
    bad(&[one, two], before);
    let origin = "impossible origin of shared pages";
    for from in [1, HEAP + 1, u64::MAX - 4095, (1 << 63) - PAGE] {
        bad(&[shared_run(HEAP, 1, 1, from)], origin);
    }
    let mut odd = Records::default();
    odd.add(Kind::SharedRuns, &(), &[0; 25]);
    let what = "length of the array in the record is not a multiple of its elements'";
    refused(Kind::SharedRuns, 0, what, |s| {
        s.replace(Kind::SharedRuns, 0, &odd.bytes);
    });
    let mut with_head = Records::default();
    with_head.add(Kind::SharedRuns, &[1u8; 8], &[]);
    let what = "record says something that is not known here (number of its kind)";
    refused(Kind::SharedRuns, 0, what, |s| {
        s.replace(Kind::SharedRuns, 0, &with_head.bytes);
    });

    // What is shared can't be what a shared mapping is of, nor the vdso.
    for (kind, object, flags) in [(2, 1, 0x80), (3, 2, 0x80), (4, 0, 0)] {
        refused(Kind::SharedRuns, 0, outside, |s| {
            s.replace(Kind::Guards, 1, &[]);
            s.edit::<Vma>(Kind::Vma, 7, |x| {
                x.kind = kind.into();
                x.object = object.into();
                x.flags = flags.into();
            });
        });
    }

    fine(sharing(&[]));
    fine(|s| {
        s.replace(Kind::SharedRuns, 0, &[]);
        s.recount();
    });
    // The same page more than once.
    fine(sharing(&[
        shared_run(CODE, 1, 1, HEAP),
        shared_run(HEAP, 3, 1, HEAP),
        shared_run(MERGED, 1, 1, HEAP),
    ]));
    // All that it has is shared.
    fine(|s| {
        s.replace(Kind::Runs, 2, &[]);
        s.edit::<End>(Kind::End, 0, |end| end.pages = 6.into());
        s.data.truncate(6 * PAGE as usize);
        s.recount();
    });
}

#[test]
fn shared_runs_and_runs() {
    let with = |runs: &[Run]| {
        let mut records = Records::default();
        records.add(Kind::Runs, &(), runs.as_bytes());
        records.bytes
    };
    let overlap = "run of pages overlaps others, or guards";
    for runs in [
        &[run(HEAP, 1)][..],
        &[run(HEAP + 2 * PAGE, 1)],
        &[run(MERGED, 2)],
        &[run(HEAP, 5)],
        &[run(CODE, 2), run(MERGED, 1)],
    ] {
        let runs = with(runs);
        refused(Kind::Runs, 2, overlap, |s| {
            s.replace(Kind::Runs, 2, &runs);
        });
    }
    // The same addresses of the address space before are another thing, and so is what adjoins.
    fine(|s| {
        sharing(&[shared_run(HEAP + PAGE, 2, 1, HEAP)])(s);
        s.replace(Kind::Runs, 2, &with(&[run(HEAP, 1), run(MERGED, 2)]));
        s.edit::<End>(Kind::End, 0, |end| end.pages = 9.into());
        s.data.resize(9 * PAGE as usize, 0);
    });
}

/// A record of guards.
fn guarding(runs: &[Run]) -> Vec<u8> {
    let mut records = Records::default();
    records.add(Kind::Guards, &(), runs.as_bytes());
    records.bytes
}

#[test]
fn guards() {
    let bad = |nth: usize, runs: &[Run], what: &str| {
        refused(Kind::Guards, nth, what, |s| {
            s.replace(Kind::Guards, nth, &guarding(runs));
        });
    };
    let good = |nth: usize, runs: &[Run]| {
        fine(|s| s.replace(Kind::Guards, nth, &guarding(runs)));
    };
    let outside = "run of pages is outside of what can hold it";
    bad(0, &[run(0, 1)], outside);
    bad(0, &[run(CODE - PAGE, 1)], outside);
    bad(0, &[run(CODE - PAGE, 2)], outside);
    bad(0, &[run(CODE + 2 * PAGE, 1)], outside);
    bad(0, &[run(MERGED, 2)], outside);
    bad(0, &[run(CODE, 1), run(STACK + 2 * PAGE, 1)], outside);
    // The next mapping of the address space is the last.
    bad(1, &[run(GUARD, 2)], outside);
    bad(1, &[run(STACK, 1)], outside);
    // The vdso is the kernel's.
    bad(0, &[run(VDSO, 1)], outside);
    bad(0, &[run(MERGED, 1), run(VDSO, 1)], outside);
    refused(Kind::Guards, 1, outside, |s| {
        s.edit::<Vma>(Kind::Vma, 7, |x| x.kind = 4.into());
    });
    bad(0, &[run(u64::MAX - 4095, 1)], "run of pages is too long");
    let none = "run of pages is empty or not page-aligned";
    bad(0, &[run(MERGED, 0)], none);
    bad(0, &[run(MERGED + 1, 1)], none);
    let before = "run of pages overlaps the one before it";
    bad(0, &[run(MERGED, 1), run(MERGED, 1)], before);
    bad(0, &[run(MERGED, 1), run(CODE, 1)], before);
    bad(0, &[run(SHM, 2), run(SHM + PAGE, 1)], before);
    for bit in [1u32, 1 << 31] {
        let mut flags = run(MERGED, 1);
        flags.flags = bit.into();
        bad(0, &[run(CODE, 1), flags], BITS);
    }
    let mut odd = Records::default();
    odd.add(Kind::Guards, &(), &[0; 15]);
    let what = "length of the array in the record is not a multiple of its elements'";
    refused(Kind::Guards, 0, what, |s| {
        s.replace(Kind::Guards, 0, &odd.bytes);
    });
    let mut with_head = Records::default();
    with_head.add(Kind::Guards, &[1u8; 8], &[]);
    let what = "record says something that is not known here (number of its kind)";
    refused(Kind::Guards, 0, what, |s| {
        s.replace(Kind::Guards, 0, &with_head.bytes);
    });

    // In each mapping of the first address space but the vdso, shared ones as well.
    good(
        0,
        &[
            run(CODE, 1),
            run(MERGED, 1),
            run(SHM, 1),
            run(SHM + PAGE, 2),
            run(SHARED_FILE, 1),
            run(STACK, 1),
        ],
    );
    good(0, &[run(SHM, 3)]);
    good(0, &[run(SHARED_FILE, 1)]);
    good(0, &[]);
    good(1, &[]);
    fine(|s| {
        s.replace(Kind::Guards, 1, &[]);
        s.replace(Kind::Guards, 0, &[]);
        s.recount();
    });
    // All that there is.
    fine(|s| {
        s.replace(Kind::Guards, 1, &guarding(&[run(CODE, 2), run(HEAP, 6)]));
        s.replace(Kind::Runs, 2, &[]);
        s.replace(Kind::SharedRuns, 0, &[]);
        s.edit::<End>(Kind::End, 0, |end| end.pages = 6.into());
        s.data.truncate(6 * PAGE as usize);
        s.recount();
    });
}

#[test]
fn guards_and_runs() {
    let overlap = "run of pages overlaps others, or guards";
    let bad = |kind: Kind, nth: usize, guards: &[Run]| {
        let of = usize::from(kind == Kind::SharedRuns || nth == 2);
        refused(kind, nth, overlap, |s| {
            s.replace(Kind::Guards, of, &guarding(guards));
        });
    };
    for guards in [
        &[run(HEAP, 1)][..],
        &[run(HEAP + 2 * PAGE, 1)],
        &[run(HEAP + 2 * PAGE, 2)],
        &[run(MERGED, 1)],
        &[run(HEAP, 6)],
        &[run(CODE, 2), run(MERGED, 1), run(GUARD, 1)],
    ] {
        bad(Kind::SharedRuns, 0, guards);
    }
    for guards in [
        &[run(OWN, 1)][..],
        &[run(OWN, 2)],
        &[run(CODE, 1), run(OWN, 1), run(GUARD, 1)],
    ] {
        bad(Kind::Runs, 2, guards);
    }
    for guards in [
        &[run(CODE, 2)][..],
        &[run(CODE + PAGE, 1)],
        &[run(HEAP + PAGE, 1)],
        &[run(HEAP, 4)],
        &[run(CODE, 1), run(MERGED, 1), run(STACK, 2)],
    ] {
        bad(Kind::Runs, 1, guards);
    }
    // What adjoins is another thing, and so are the guards of the address space before.
    fine(|s| {
        s.replace(
            Kind::Guards,
            0,
            &guarding(&[run(CODE, 1), run(MERGED, 1), run(STACK, 1)]),
        );
        sharing(&[shared_run(CODE, 1, 1, HEAP), shared_run(MERGED, 1, 1, HEAP)])(s);
        s.replace(
            Kind::Guards,
            1,
            &guarding(&[run(CODE + PAGE, 1), run(HEAP, 3), run(GUARD, 1)]),
        );
    });
}

#[test]
fn what_is_shared_is_in_the_image() {
    const MISSING: &str = "shared pages whose content is not in the image (address)";
    let bad = |runs: &[SharedRun]| refused(Kind::Mm, 1, MISSING, sharing(runs));
    bad(&[shared_run(HEAP, 1, 1, 0)]);
    bad(&[shared_run(HEAP, 1, 1, CODE)]);
    bad(&[shared_run(HEAP, 4, 1, HEAP)]);
    bad(&[shared_run(HEAP, 1, 1, HEAP - PAGE)]);
    bad(&[shared_run(HEAP, 1, 1, MERGED)]);
    bad(&[shared_run(HEAP, 1, 1, STACK + 2 * PAGE)]);
    bad(&[
        shared_run(HEAP, 3, 1, HEAP),
        shared_run(MERGED, 1, 1, STACK),
    ]);
    let mut sample = Sample::default();
    sharing(&[shared_run(HEAP, 3, 1, HEAP + PAGE)])(&mut sample);
    let fault = read_meta(&sample.records.bytes, sample.data.len() as u64).unwrap_err();
    assert_eq!(fault.value, Some(HEAP));
    // Of an address space that has nothing in the image.
    refused(Kind::Mm, 1, MISSING, |s| {
        s.replace(Kind::Runs, 1, &[]);
        s.edit::<End>(Kind::End, 0, |end| end.pages = 2.into());
        s.data.truncate(2 * PAGE as usize);
        s.recount();
    });
    // A page that the other one shares itself is not in the image as its own.
    let third = |of: u32, from: u64| {
        move |s: &mut Sample| {
            let mut mm = Mm::new_zeroed();
            s.edit::<Mm>(Kind::Mm, 1, |x| mm = *x);
            (mm.id, mm.vmas, mm.base) = (3.into(), 1.into(), 2.into());
            let mut records = Records::default();
            records.add(Kind::Mm, &mm, &[]);
            records.bytes.extend(s.bytes_of(Kind::Vma, 7));
            let shared = [shared_run(HEAP, 1, of, from)];
            records.add(Kind::SharedRuns, &(), shared.as_bytes());
            s.insert(Kind::FdTable, 0, &records.bytes);
            s.recount();
        }
    };
    fine(third(1, HEAP));
    fine(third(2, OWN));
    refused(Kind::Mm, 2, MISSING, third(2, HEAP));
    refused(Kind::Mm, 2, MISSING, third(1, OWN));

    // Runs that adjoin are as good as one.
    fine(|s| {
        let runs = [
            run(CODE + PAGE, 1),
            run(HEAP, 1),
            run(HEAP + PAGE, 2),
            run(STACK + PAGE, 1),
        ];
        let mut records = Records::default();
        records.add(Kind::Runs, &(), runs.as_bytes());
        s.replace(Kind::Runs, 1, &records.bytes);
    });

    // Without the memory that it takes, nothing is taken for being there.
    let sample = Sample::default();
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    let header = header(&sample.records.bytes, sample.data.len() as u64);
    for len in 0..6 {
        let mut memory = vec![Stretch::default(); len];
        let result = check_shared(&meta, &header, &mut memory);
        assert_eq!(result.is_ok(), len >= 2, "{len}");
    }
}

/// As [`refused`], of the incremental sample.
#[track_caller]
fn refused_incremental(kind: Kind, nth: usize, what: &str, change: impl FnOnce(&mut Sample)) {
    refused_of(Sample::incremental(), kind, nth, what, change);
}

/// The ParentRuns record of the incremental sample with these.
fn of_parent(runs: &[Run]) -> impl Fn(&mut Sample) + '_ {
    move |s| {
        let mut records = Records::default();
        let head = ParentRuns {
            mm: 1.into(),
            reserved: 0.into(),
        };
        records.add(Kind::ParentRuns, &head, runs.as_bytes());
        s.replace(Kind::ParentRuns, 0, &records.bytes);
    }
}

#[test]
fn parents() {
    let sample = Sample::incremental();
    let summary = read(&sample.image()).unwrap();
    assert_eq!((summary.pages, summary.parent_pages), (6, 1));
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    let mm = meta.records().find(|r| r.kind == Kind::Mm).unwrap();
    let (shared, runs) = runs_of(&meta, mm.offset).unwrap();
    assert_eq!((shared.len(), runs.len()), (0, 2));

    // The record and the feature go together.
    let header = |features: u64| checkpoint_image::format::Header {
        features: features.into(),
        ..checkpoint_sample::header(&sample.records.bytes, sample.data.len() as u64)
    };
    let verified = |features| {
        let meta = Meta::new(&sample.records.bytes, HEADER_LEN as u64).unwrap();
        checkpoint_image::verify::verify(&meta, &header(features))
    };
    assert!(verified(2).is_ok());
    let what = "parent of an image that is not incremental";
    assert_eq!(verified(0).unwrap_err().what, what);
    let whole = Sample::default();
    let meta = Meta::new(&whole.records.bytes, HEADER_LEN as u64).unwrap();
    let header = checkpoint_image::format::Header {
        features: 2.into(),
        ..checkpoint_sample::header(&whole.records.bytes, whole.data.len() as u64)
    };
    let fault = checkpoint_image::verify::verify(&meta, &header).unwrap_err();
    assert_eq!(fault.what, "incremental image without a parent");

    let impossible = "impossible parent of an image";
    for uuid in [[0; 16], checkpoint_sample::CHILD] {
        refused_incremental(Kind::Parent, 0, impossible, |s| {
            s.edit::<Parent>(Kind::Parent, 0, |parent| parent.uuid = uuid);
        });
    }
    refused_incremental(Kind::Parent, 1, ORDER, |s| {
        let parent = s.bytes_of(Kind::Parent, 0);
        s.insert(Kind::Parent, 0, &parent);
    });
    refused_incremental(Kind::Parent, 0, ORDER, |s| {
        let parent = s.bytes_of(Kind::Parent, 0);
        s.replace(Kind::Parent, 0, &[]);
        s.insert(Kind::Path, 0, &parent);
    });

    let none = "pages of no address space of the parent";
    refused_incremental(Kind::ParentRuns, 0, none, |s| {
        s.edit::<ParentRuns>(Kind::ParentRuns, 0, |of| of.mm = 0.into());
    });
    refused_incremental(Kind::ParentRuns, 0, "reserved field is not zero", |s| {
        s.edit::<ParentRuns>(Kind::ParentRuns, 0, |of| of.reserved = 1.into());
    });
    let without = "pages of a parent that the image does not have";
    refused(Kind::ParentRuns, 0, without, |s| {
        let runs = Sample::incremental().bytes_of(Kind::ParentRuns, 0);
        s.insert(Kind::Runs, 1, &runs);
    });
    for kind in [Kind::Vma, Kind::FdTable] {
        refused_incremental(Kind::ParentRuns, 0, ORDER, |s| {
            let runs = s.bytes_of(Kind::ParentRuns, 0);
            s.replace(Kind::ParentRuns, 0, &[]);
            s.insert(kind, 0, &runs);
        });
    }
    refused_incremental(Kind::ParentRuns, 1, ORDER, |s| {
        let runs = s.bytes_of(Kind::ParentRuns, 0);
        s.insert(Kind::ParentRuns, 0, &runs);
    });
    // Those that come before them come before them.
    let guards = Sample::default().bytes_of(Kind::Guards, 0);
    refused_incremental(Kind::Guards, 0, ORDER, |s| {
        s.replace(Kind::Guards, 0, &[]);
        s.insert(Kind::Runs, 1, &guards);
    });

    let overlap = "run of pages overlaps others, or guards";
    refused_incremental(Kind::Runs, 1, overlap, of_parent(&[run(HEAP + PAGE, 1)]));
    refused_incremental(
        Kind::ParentRuns,
        0,
        overlap,
        of_parent(&[run(HEAP + 3 * PAGE, 1)]),
    );
    let bits = of_parent(&[]);
    let mut sample = Sample::incremental();
    bits(&mut sample);
    assert!(read_meta(&sample.records.bytes, sample.data.len() as u64).is_ok());
    refused_incremental(Kind::ParentRuns, 0, BITS, |s| {
        let mut stack = run(STACK + PAGE, 1);
        stack.flags = 1.into();
        of_parent(&[stack])(s);
    });
}

#[test]
fn runs_of_an_address_space() {
    let mut sample = Sample::default();
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    let offsets = |kind| meta.records().filter(move |r| r.kind == kind);
    let mms: Vec<u64> = offsets(Kind::Mm).map(|r| r.offset).collect();
    let (shared, runs) = runs_of(&meta, mms[0]).unwrap();
    assert!(shared.is_empty());
    assert_eq!(
        runs,
        [run(CODE + PAGE, 1), run(HEAP, 3), run(STACK + PAGE, 1)]
    );
    let (shared, runs) = runs_of(&meta, mms[1]).unwrap();
    let merged = shared_run(MERGED, 1, 1, CODE + PAGE);
    assert_eq!(shared, [shared_run(HEAP, 3, 1, HEAP), merged]);
    assert_eq!(runs, [run(OWN, 1)]);
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Mm) {
        for record in offsets(kind) {
            let fault = Fault::new(record.offset, "not an address space");
            assert_eq!(runs_of(&meta, record.offset), Err(fault));
        }
    }
    assert!(runs_of(&meta, meta.end()).is_err());
    assert!(runs_of(&meta, u64::MAX).is_err());

    sample.replace(Kind::Runs, 2, &[]);
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    let (shared, runs) = runs_of(&meta, mms[1]).unwrap();
    assert_eq!((shared.len(), runs.len()), (2, 0));
    // None of those behind it are taken for those of the one that has none.
    sample.replace(Kind::Runs, 1, &[]);
    let meta = Meta::new(&sample.records.bytes, 0).unwrap();
    assert_eq!(runs_of(&meta, mms[0]), Ok((&[][..], &[][..])));
}

#[test]
fn strings() {
    let with = |path: &[u8]| {
        let mut records = Records::default();
        let head = records_file();
        records.add(Kind::File, &head, path);
        records.bytes
    };
    let bad = |path: &[u8], what: &str| {
        let bytes = with(path);
        refused(Kind::File, 0, what, |s| s.replace(Kind::File, 0, &bytes));
    };
    bad(b"", "path is not absolute");
    bad(b"bin/sh", "path is not absolute");
    bad(b"/bin/\0sh", "string with a NUL in it");
    bad(&[b'/'; 4096], "string is too long");
    fine(|s| s.replace(Kind::File, 0, &with(&[b'/'; 4095])));
    refused(
        Kind::Task,
        0,
        "command name is not a zero-filled string",
        |s| {
            s.edit::<Task>(Kind::Task, 0, |task| task.comm[15] = b'x');
        },
    );
    refused(
        Kind::Task,
        0,
        "command name is not a zero-filled string",
        |s| {
            s.edit::<Task>(Kind::Task, 0, |task| task.comm = [b'x'; 16]);
        },
    );
}

/// The structure of the sample's first file.
fn records_file() -> File {
    let mut file = None;
    Sample::default().edit::<File>(Kind::File, 0, |head| file = Some(*head));
    file.unwrap()
}

fn sockets() {
    const NOWHERE: &str = "reference to an object that is not defined";
    const OTHER: &str = "socket contradicts itself about its other end";
    const SENDER: &str = "impossible sender (pid)";
    const OPTION: &str = "option of a socket is unknown or out of order";
    bad::<File>(Kind::File, 6, "number of a socket is negative", |x| {
        x.init_fd = (-1).into();
    });
    bad::<File>(Kind::File, 6, NOWHERE, |x| x.init_fd = 4.into());
    bad::<Socket>(Kind::Socket, 0, NEXT, |x| x.id = 2.into());
    bad::<Socket>(Kind::Socket, 0, "unknown family of a socket", |x| {
        x.family = 2.into();
    });
    bad::<Socket>(Kind::Socket, 0, "unknown type of a socket", |x| {
        x.kind = 3.into();
    });
    bad::<Socket>(Kind::Socket, 0, BITS, |x| x.flags = 16.into());
    bad::<Socket>(Kind::Socket, 0, BITS, |x| x.shutdown = 4.into());
    bad::<Socket>(Kind::Socket, 0, "unknown error of a socket", |x| {
        x.error = 32.into();
    });
    // Itself, or a later one.
    bad::<Socket>(Kind::Socket, 1, NOWHERE, |x| x.peer = 2.into());
    bad::<Socket>(Kind::Socket, 2, OTHER, |x| x.flags = 0.into());
    bad::<Socket>(Kind::Socket, 2, OTHER, |x| x.flags = 3.into());
    bad::<Socket>(Kind::Socket, 1, OTHER, |x| x.flags = 2.into());
    bad::<Socket>(Kind::Socket, 0, SENDER, |x| x.peer_pid = (-1).into());
    bad::<Socket>(Kind::Socket, 1, SENDER, |x| x.peer_uid = 1.into());
    bad::<Socket>(Kind::Socket, 1, SENDER, |x| x.flags = 9.into());
    // Without who made it there are no groups of that.
    bad::<Socket>(Kind::Socket, 0, "impossible group", |x| {
        x.flags = 3.into();
        (x.peer_pid, x.peer_uid, x.peer_gid) = (0.into(), 0.into(), 0.into());
    });
    let options = |names: &[(u32, u64)]| {
        let mut bytes = Vec::new();
        for (name, value) in names {
            let option = SocketOption {
                name: (*name).into(),
                reserved: 0.into(),
                value: (*value).into(),
            };
            bytes.extend_from_slice(option.as_bytes());
        }
        bytes
    };
    let with = |names: &'static [(u32, u64)]| {
        move |s: &mut Sample| {
            let mut head = Socket::new_zeroed();
            s.edit::<Socket>(Kind::Socket, 0, |x| head = *x);
            let mut r = Records::default();
            r.add(Kind::Socket, &head, &options(names));
            s.replace(Kind::Socket, 0, &r.bytes);
        }
    };
    fine(with(&[(1, 1), (59, 0), (59, 7), (85, 1)]));
    refused(Kind::Socket, 0, OPTION, with(&[(3, 1)]));
    refused(Kind::Socket, 0, OPTION, with(&[(8, 1), (7, 1)]));
    refused(Kind::Socket, 0, OPTION, with(&[(7, 1), (7, 1)]));
    refused(
        Kind::Socket,
        0,
        "impossible group",
        with(&[(59, 0xffff_ffff)]),
    );
    bad::<SocketData>(Kind::SocketData, 0, "reference to nothing", |x| {
        x.to = 0.into();
    });
    bad::<SocketData>(Kind::SocketData, 0, NOWHERE, |x| x.to = 4.into());
    bad::<SocketData>(Kind::SocketData, 0, NOWHERE, |x| x.from = 4.into());
    bad::<SocketData>(Kind::SocketData, 0, BITS, |x| x.flags = 4.into());
    bad::<SocketData>(Kind::SocketData, 0, SENDER, |x| x.gid = 4.into());
    bad::<SocketData>(Kind::SocketData, 1, SENDER, |x| x.pid = 0.into());
    bad::<SocketData>(Kind::SocketData, 1, SENDER, |x| x.flags = 2.into());
}

fn eventfds() {
    let with = |files: &'static [(usize, i32)]| {
        move |s: &mut Sample| {
            for (nth, id) in files {
                s.edit::<File>(Kind::File, *nth, |x| {
                    x.kind = file_kind::EVENTFD.into();
                    x.init_fd = (*id).into();
                });
            }
        }
    };
    fine(with(&[(0, 1), (1, 2)]));
    // Each is one open file.
    refused(Kind::File, 1, NEXT, with(&[(0, 1), (1, 1)]));
    refused(Kind::File, 0, NEXT, with(&[(0, 2)]));
    refused(Kind::File, 0, "reference to nothing", with(&[(0, 0)]));
    let negative = "number of an eventfd is negative";
    refused(Kind::File, 0, negative, with(&[(0, -1)]));
    let undefined = "reference to an object that is not defined";
    refused(Kind::File, 0, undefined, with(&[(0, 3)]));
    bad::<Eventfd>(Kind::Eventfd, 0, NEXT, |x| x.id = 2.into());
    bad::<Eventfd>(Kind::Eventfd, 0, BITS, |x| x.flags = 2.into());
}

fn files_of_processes() {
    let with = |files: &'static [(usize, i32)]| {
        move |s: &mut Sample| {
            for (nth, id) in files {
                s.edit::<File>(Kind::File, *nth, |x| {
                    x.kind = file_kind::PROC.into();
                    x.init_fd = (*id).into();
                });
            }
        }
    };
    fine(with(&[(0, 0), (1, 0)]));
    fine(with(&[(0, 1), (1, 0)]));
    // Each is of one open file.
    refused(Kind::File, 1, NEXT, with(&[(0, 1), (1, 1)]));
    let negative = "number of what is read is negative";
    refused(Kind::File, 0, negative, with(&[(0, -1)]));
    let undefined = "reference to an object that is not defined";
    refused(Kind::File, 0, undefined, with(&[(0, 2)]));
    bad::<ProcText>(Kind::ProcText, 0, NEXT, |x| x.id = 2.into());
    let reserved = "reserved field is not zero";
    bad::<ProcText>(Kind::ProcText, 0, reserved, |x| x.reserved = 1.into());
    let with_rest = |len: usize| {
        move |s: &mut Sample| {
            let text = ProcText {
                id: 1.into(),
                reserved: 0.into(),
                index: 1.into(),
                last: 0.into(),
            };
            let mut r = Records::default();
            r.add(Kind::ProcText, &text, &vec![b'x'; len]);
            s.replace(Kind::ProcText, 0, &r.bytes);
        }
    };
    fine(with_rest(0));
    fine(with_rest(MAX_TEXT));
    let long = "too much is left to be read (bytes)";
    refused(Kind::ProcText, 0, long, with_rest(MAX_TEXT + 1));
}

fn segments() {
    let attach = |id: i32| {
        move |s: &mut Sample| {
            s.edit::<File>(Kind::File, 0, |x| {
                x.kind = file_kind::SEGMENT.into();
                x.init_fd = id.into();
            });
        }
    };
    fine(attach(1));
    refused(Kind::File, 0, "reference to nothing", attach(0));
    let undefined = "reference to an object that is not defined";
    refused(Kind::File, 0, undefined, attach(2));
    let negative = "number of shared memory is negative";
    refused(Kind::File, 0, negative, attach(-1));

    bad::<Segment>(Kind::Segment, 0, NEXT, |x| x.id = 2.into());
    bad::<Segment>(Kind::Segment, 0, BITS, |x| x.mode = 0o4000.into());
    bad::<Segment>(Kind::Segment, 0, BITS, |x| x.flags = 2.into());
    bad::<Segment>(Kind::Segment, 0, "impossible size of huge pages", |x| {
        x.huge_shift = 1.into();
    });
    let locked = "huge pages of shared memory are locked";
    bad::<Segment>(Kind::Segment, 0, locked, |x| {
        x.huge_shift = 21.into();
        x.mode = 0o2600.into();
    });
    let number = "impossible number of shared memory";
    bad::<Segment>(Kind::Segment, 0, number, |x| x.shmid = (1 << 31).into());
    let length = "impossible length of shared memory";
    bad::<Segment>(Kind::Segment, 0, length, |x| x.size = 0.into());
    bad::<Segment>(Kind::Segment, 0, length, |x| x.size = (1 << 63).into());
    let process = "impossible process of shared memory";
    bad::<Segment>(Kind::Segment, 0, process, |x| x.cpid = (-1).into());
    bad::<Segment>(Kind::Segment, 0, process, |x| x.lpid = (-1).into());
    bad::<Segment>(Kind::Segment, 0, process, |x| x.creator = (-1).into());
    let owner = "impossible owner of shared memory";
    bad::<Segment>(Kind::Segment, 0, owner, |x| x.uid = u32::MAX.into());
    bad::<Segment>(Kind::Segment, 0, owner, |x| x.cgid = u32::MAX.into());

    // Memory of segments comes first, and all have some.
    let place = "memory of System V shared memory is not where it belongs";
    bad::<Shm>(Kind::Shm, 0, place, |x| x.flags = 0.into());
    bad::<Shm>(Kind::Shm, 1, place, |x| x.flags = 2.into());
    let direct = "mapping of System V shared memory without an attach";
    bad::<Vma>(Kind::Vma, 2, direct, |x| x.object = 1.into());
}

#[test]
fn values() {
    bad::<File>(Kind::File, 0, "unknown kind of file", |x| x.kind = 7.into());
    bad::<File>(Kind::File, 2, "descriptor of init is negative", |x| {
        x.init_fd = (-1).into();
    });
    bad::<File>(Kind::File, 0, "file offset is too large", |x| {
        x.pos = u64::MAX.into();
    });
    bad::<File>(Kind::File, 0, "impossible time of last modification", |x| {
        x.identity.mtime_nsec = 1_000_000_000.into()
    });
    bad::<Shm>(Kind::Shm, 0, "impossible length of shared memory", |x| {
        x.size = 0.into();
    });
    bad::<Shm>(Kind::Shm, 0, BITS, |x| x.flags = 4.into());
    bad::<Shm>(Kind::Shm, 0, "impossible size of huge pages", |x| {
        x.huge_shift = 64.into();
    });
    bad::<Shm>(Kind::Shm, 0, "not aligned to its huge pages", |x| {
        x.huge_shift = 21.into();
    });
    fine(|s| s.edit::<Shm>(Kind::Shm, 0, |x| x.huge_shift = 13.into()));
    bad::<File>(Kind::File, 0, "impossible size of huge pages", |x| {
        x.identity.huge_shift = 9.into();
    });
    bad::<File>(Kind::File, 3, NEXT, |x| x.init_fd = 2.into());
    bad::<File>(Kind::File, 3, NEXT, |x| x.init_fd = 0.into());
    bad::<File>(Kind::File, 3, "number of a deleted file is negative", |x| {
        x.init_fd = (-1).into();
    });
    // A second description of the same deleted file.
    fine(|s| {
        s.edit::<File>(Kind::File, 2, |x| {
            x.kind = file_kind::LINKABLE.into();
            x.init_fd = 1.into();
        });
    });
    memfds();
    const NUMBERS: &str = "impossible numbers of a process group or session";
    bad::<Group>(Kind::Group, 0, NUMBERS, |x| x.id = 1.into());
    bad::<Group>(Kind::Group, 0, NUMBERS, |x| x.pid_ns = 0.into());
    bad::<[zerocopy::little_endian::I32; 3]>(Kind::Group, 0, NUMBERS, |x| x[2] = 1.into());
    for numbers in [0, 33] {
        refused(Kind::Group, 0, NUMBERS, |s| {
            let mut r = Records::default();
            let group = Group {
                id: 9.into(),
                pid_ns: 2.into(),
            };
            r.add(Kind::Group, &group, vec![7u32; numbers].as_bytes());
            s.replace(Kind::Group, 0, &r.bytes);
        });
    }
    const CAPACITY: &str = "impossible capacity of a pipe";
    bad::<File>(Kind::File, 4, "number of a pipe is negative", |x| {
        x.init_fd = (-1).into();
    });
    bad::<File>(
        Kind::File,
        4,
        "reference to an object that is not defined",
        |x| x.init_fd = 2.into(),
    );
    // The end of a FIFO for reading may wait for a writer, and nothing else has an offset.
    const OFFSET: &str = "end of a pipe with an offset";
    fine(|s| s.edit::<File>(Kind::File, 5, |x| x.pos = 1.into()));
    bad::<File>(Kind::File, 5, OFFSET, |x| x.pos = 2.into());
    bad::<File>(Kind::File, 5, OFFSET, |x| {
        x.pos = 1.into();
        x.flags = 1.into();
    });
    bad::<File>(Kind::File, 4, OFFSET, |x| x.pos = 1.into());
    bad::<Fifo>(Kind::Fifo, 0, NEXT, |x| x.id = 1.into());
    bad::<Fifo>(Kind::Fifo, 0, CAPACITY, |x| x.capacity = 2048.into());
    // Its path is behind the header and 64 bytes.
    refused(Kind::Fifo, 0, "path is not absolute", |s| {
        s.edit_bytes(Kind::Fifo, 0, |b| b[16 + 64] = b'.');
    });
    refused(Kind::File, 5, "path is not absolute", |s| {
        s.edit_bytes(Kind::File, 5, |b| b[16 + 80] = b'.');
    });
    bad::<Pipe>(Kind::Pipe, 0, NEXT, |x| x.id = 2.into());
    bad::<Pipe>(Kind::Pipe, 0, CAPACITY, |x| x.capacity = 2048.into());
    bad::<Pipe>(Kind::Pipe, 0, CAPACITY, |x| x.capacity = 12288.into());
    // Room for one page only, and a packet takes one.
    refused(
        Kind::PipeData,
        1,
        "impossible content of a pipe (bytes)",
        |s| {
            s.edit::<Pipe>(Kind::Pipe, 0, |x| x.capacity = 4096.into());
        },
    );
    bad::<PipeData>(Kind::PipeData, 0, BITS, |x| x.flags = 2.into());
    bad::<Seccomp>(Kind::Seccomp, 0, NEXT, |x| x.id = 2.into());
    bad::<Seccomp>(Kind::Seccomp, 0, BITS, |x| x.flags = 4.into());
    // A filter is not stacked upon itself, nor upon what comes later.
    let undefined = "reference to an object that is not defined";
    bad::<Seccomp>(Kind::Seccomp, 0, undefined, |x| x.prev = 1.into());
    bad::<Seccomp>(Kind::Seccomp, 1, undefined, |x| x.prev = 2.into());
    for len in [0, 4097] {
        refused(
            Kind::Seccomp,
            1,
            "impossible length of a seccomp filter",
            |s| {
                let mut records = Records::default();
                let filter = Seccomp {
                    id: 2.into(),
                    prev: 1.into(),
                    flags: 0.into(),
                    reserved: 0.into(),
                };
                records.add(Kind::Seccomp, &filter, &vec![0; len * 8]);
                s.replace(Kind::Seccomp, 1, &records.bytes);
            },
        );
    }
    bad::<Attr>(Kind::Attr, 0, undefined, |x| x.seccomp = 3.into());
    bad::<Attr>(Kind::Attr, 0, NEXT, |x| x.io_context = 2.into());
    fine(|s| s.edit::<Attr>(Kind::Attr, 0, |x| x.io_context = 1.into()));
    bad::<Attr>(Kind::Attr, 0, "seccomp filters in strict mode", |x| {
        x.flags = attr_flags::SECCOMP_STRICT.into();
    });
    sockets();
    eventfds();
    files_of_processes();
    segments();
    // The kernel's own bits of a registration are not those of membarrier(2).
    bad::<Mm>(Kind::Mm, 0, BITS, |x| x.membarrier = 3.into());
    fine(|s| s.edit::<Mm>(Kind::Mm, 0, |x| x.membarrier = 0x154.into()));
    refused(Kind::PipeData, 0, ORDER, |s| {
        s.replace(Kind::Pipe, 0, &[]);
    });
    bad::<FileData>(Kind::FileData, 0, NEXT, |x| x.id = 2.into());
    bad::<FileData>(Kind::FileData, 0, "impossible length of a file", |x| {
        x.size = u64::MAX.into();
    });
    bad::<FileData>(Kind::FileData, 0, BITS, |x| x.seals = 0x40.into());
    bad::<FileData>(Kind::FileData, 0, "impossible time of last access", |x| {
        x.atime_nsec = 1_000_000_000.into();
    });
    bad::<Mm>(Kind::Mm, 0, BITS, |x| x.flags = (1 << 30).into());
    bad::<Mm>(
        Kind::Mm,
        0,
        "ia32 address space in an image without the ia32 feature",
        |x| x.flags = 1.into(),
    );
    let ldt = "LDT entry is out of order or bounds";
    bad::<LdtEntry>(Kind::Ldt, 0, ldt, |x| x.entry_number = 8192.into());
    bad::<Fs>(Kind::Fs, 0, BITS, |x| x.umask = 0o1000.into());
    bad::<Task>(Kind::Task, 0, "impossible pid", |x| x.pid = 1.into());
    bad::<Task>(Kind::Task, 0, "impossible pid", |x| x.tgid = 0.into());
    let first = "first task is not the one that the job names";
    bad::<Task>(Kind::Task, 0, first, |x| x.pid = 3.into());
    let negative = "negative parent, process group, session or child";
    bad::<Task>(Kind::Task, 0, negative, |x| x.sid = (-1).into());
    for signal in [65, -1] {
        refused(Kind::Task, 0, "impossible signal", |s| {
            s.edit::<Task>(Kind::Task, 0, |x| x.exit_signal = signal.into());
        });
    }
    // That of a thread says that it is one.
    bad::<Task>(Kind::Task, 0, "impossible signal", |x| {
        x.tgid = 3.into();
    });
    bad::<Task>(Kind::Task, 0, BITS, |x| x.flags = (1 << 30).into());
    bad::<Regset>(Kind::Regset, 1, "second register set of this kind", |x| {
        x.note = 1.into();
    });
    bad::<ThreadX86>(Kind::ThreadX86, 0, "impossible iopl", |x| {
        x.iopl = 4.into();
    });
    fine(|s| s.edit::<ThreadX86>(Kind::ThreadX86, 0, |x| x.iopl = 3.into()));
    bad::<Signals>(Kind::Signals, 0, BITS, |x| x.flags = 2.into());
    bad::<Pending>(Kind::Pending, 0, BITS, |x| x.shared = 2.into());
    let second = "second record of this kind for a task";
    bad::<Pending>(Kind::Pending, 1, second, |x| x.shared = 0.into());
    bad::<Creds>(Kind::Creds, 0, BITS, |x| x.no_new_privs = 2.into());
    bad::<RestartBlock>(Kind::RestartBlock, 0, "unknown kind of restart", |x| {
        x.kind = 99.into();
    });
    bad::<RestartBlock>(Kind::RestartBlock, 0, BITS, |x| x.compat = 2.into());
    for kind in [restart_kind::CALL, restart_kind::ALARM] {
        let needs = "a restart that needs a time-out has none";
        bad::<RestartBlock>(Kind::RestartBlock, 0, needs, |x| {
            x.kind = kind.into();
            x.timed = 0.into();
        });
    }
    bad::<UserPtrs>(Kind::UserPtrs, 0, BITS, |x| x.rseq_flags = 2.into());
    bad::<Mm>(Kind::Mm, 0, BITS, |x| x.pkeys = (1 << 16).into());
    bad::<Attr>(Kind::Attr, 0, "impossible oom_score_adj", |x| {
        x.oom_score_adj = 1001.into();
    });
    bad::<Attr>(Kind::Attr, 0, "impossible value of dumpable", |x| {
        x.dumpable = 3.into();
    });
    bad::<Sched>(Kind::Sched, 0, "impossible nice value", |x| {
        x.nice = 20.into();
    });
    let above = "resource limit is above its maximum";
    refused(Kind::Rlimits, 0, above, |s| {
        s.edit_bytes(Kind::Rlimits, 0, |bytes| bytes[16 + 8..16 + 16].fill(0));
    });
    let descriptor = "descriptor is out of order or bounds";
    refused(Kind::FdTable, 0, descriptor, |s| {
        s.edit_bytes(Kind::FdTable, 0, |bytes| bytes[16 + 8] = 9);
    });
    assert_eq!(size_of::<Fd>(), 12);
    settings();
    numa_policies();
}

/// What prctl(2) and its like set.
fn settings() {
    let speculation = "impossible speculation controls";
    // Two at a time, a flag of the answer, a control that nobody knows.
    for value in [6, 1, 2 << 24] {
        bad::<Attr>(Kind::Attr, 0, speculation, |x| x.speculation = value.into());
    }
    fine(|s| {
        s.edit::<Attr>(Kind::Attr, 0, |x| x.speculation = 0x04_08_10.into());
    });
    let dispatch = "impossible system call dispatch";
    bad::<Attr>(Kind::Attr, 0, dispatch, |x| x.dispatch = 3.into());
    bad::<Attr>(Kind::Attr, 0, dispatch, |x| x.dispatch_len = 1.into());
    fine(|s| {
        s.edit::<Attr>(Kind::Attr, 0, |x| {
            x.dispatch = 2.into();
            x.dispatch_selector = CODE.into();
        });
    });
    bad::<Attr>(Kind::Attr, 0, "impossible nice value of a group", |x| {
        x.autogroup_nice = (-21).into();
    });
    bad::<Attr>(Kind::Attr, 0, NEXT, |x| x.sem_undo = 2.into());
    bad::<Attr>(Kind::Attr, 0, NEXT, |x| x.core_cookie = 2.into());
    fine(|s| {
        s.edit::<Attr>(Kind::Attr, 0, |x| {
            x.sem_undo = 1.into();
            x.core_cookie = 1.into();
        });
    });
    let clamps = "impossible utilization clamps";
    bad::<Sched>(Kind::Sched, 0, clamps, |x| x.util_min = 1.into());
    bad::<Sched>(Kind::Sched, 0, clamps, |x| {
        x.flags = 0x40.into();
        x.util_max = 1025.into();
    });
    fine(|s| {
        s.edit::<Sched>(Kind::Sched, 0, |x| {
            x.flags = 0x60.into();
            x.util_max = 1024.into();
        });
    });
    let flags = "impossible flags of an address space";
    bad::<Mm>(Kind::Mm, 0, flags, |x| {
        x.flags = (mm_flags::THP_DISABLE | mm_flags::THP_EXCEPT_ADVISED).into();
    });
    bad::<Mm>(Kind::Mm, 0, flags, |x| {
        x.flags = mm_flags::MDWE_NO_INHERIT.into();
    });
    let hash = "impossible size of a futex hash";
    for slots in [2u32, 4, 1 << 31] {
        bad::<Mm>(Kind::Mm, 0, hash, |x| x.futex_hash = slots.into());
    }
    for slots in [1u32, 3, 17, (1 << 31) + 1] {
        fine(|s| s.edit::<Mm>(Kind::Mm, 0, |x| x.futex_hash = slots.into()));
    }
    let mergeable = "mapping that can't be mergeable";
    bad::<Vma>(Kind::Vma, 2, mergeable, |x| {
        x.flags = (x.flags.get() | vma_flags::MERGEABLE).into();
    });
    fine(|s| {
        s.edit::<Vma>(Kind::Vma, 1, |x| {
            x.flags = (x.flags.get() | vma_flags::MERGEABLE | vma_flags::SEALED).into();
        });
    });
}

fn numa_policies() {
    let policy = "impossible NUMA policy";
    for kind in [Kind::NumaPolicy, Kind::VmaPolicy] {
        bad::<NumaPolicy>(kind, 0, policy, |x| x.mode = 7.into());
        bad::<NumaPolicy>(kind, 0, policy, |x| x.flags = (3 << 14).into());
        bad::<NumaPolicy>(kind, 0, policy, |x| {
            x.mode = 3.into();
            x.flags = (1 << 13).into();
        });
        bad::<NumaPolicy>(kind, 0, BITS, |x| x.flags = 1.into());
        refused(kind, 0, "too many nodes", |s| {
            let mut records = Records::default();
            let policy = NumaPolicy {
                mode: 2.into(),
                home_node: (-1).into(),
                ..NumaPolicy::new_zeroed()
            };
            records.add(kind, &policy, &[0; 136]);
            s.replace(kind, 0, &records.bytes);
        });
    }
    bad::<NumaPolicy>(Kind::NumaPolicy, 0, "task with a home node", |x| {
        x.home_node = 0.into();
    });
    let of_mapping = "impossible policy of a mapping";
    bad::<NumaPolicy>(Kind::VmaPolicy, 0, of_mapping, |x| x.mode = 0.into());
    bad::<NumaPolicy>(Kind::VmaPolicy, 0, of_mapping, |x| {
        x.home_node = (-2).into();
    });
    bad::<NumaPolicy>(Kind::VmaPolicy, 0, of_mapping, |x| {
        x.mode = 3.into();
        x.home_node = 0.into();
    });
    fine(|s| s.edit::<NumaPolicy>(Kind::VmaPolicy, 0, |x| x.home_node = 1.into()));
    // Two of them, and one of shared memory.
    for at in [2, 3] {
        refused(Kind::VmaPolicy, 1, ORDER, |s| {
            let bytes = s.bytes_of(Kind::VmaPolicy, 0);
            s.insert(Kind::Vma, at, &bytes);
        });
    }
}

#[test]
fn second_of_a_kind() {
    let once = [
        Kind::DebugRegs,
        Kind::ThreadX86,
        Kind::Signals,
        Kind::Creds,
        Kind::Rlimits,
        Kind::RestartBlock,
        Kind::Attr,
        Kind::Sched,
        Kind::UserPtrs,
        Kind::Timers,
        Kind::DeletedTimers,
        Kind::TimerSignals,
        Kind::TaskUsage,
    ];
    for kind in once {
        let what = "second record of this kind for a task";
        refused(kind, 1, what, |s| {
            let bytes = s.bytes_of(kind, 0);
            s.insert(Kind::Task, 1, &bytes);
        });
    }
    refused(Kind::Regset, 16, "too many register sets", |s| {
        for note in 100u32..116 {
            let mut records = Records::default();
            let regset = Regset {
                note: note.into(),
                reserved: 0.into(),
            };
            records.add(Kind::Regset, &regset, &[1]);
            s.insert(Kind::Task, 1, &records.bytes);
        }
    });
}

#[test]
fn task_without_a_part() {
    for (kind, what) in [
        (Kind::ThreadX86, "task without ThreadX86 record"),
        (Kind::Signals, "task without Signals record"),
        (Kind::Creds, "task without Creds record"),
        (Kind::Rlimits, "thread group leader without Rlimits record"),
        (Kind::RestartBlock, "task without RestartBlock record"),
        (Kind::Attr, "task without Attr record"),
        (Kind::Sched, "task without Sched record"),
        (Kind::UserPtrs, "task without UserPtrs record"),
        (Kind::TaskUsage, "task without TaskUsage record"),
    ] {
        refused(Kind::Task, 0, what, |s| s.replace(kind, 0, &[]));
    }
    refused(Kind::Task, 0, "task without Regset record", |s| {
        s.replace(Kind::Regset, 1, &[]);
        s.replace(Kind::Regset, 0, &[]);
    });
    for kind in [Kind::DebugRegs, Kind::Pending] {
        fine(|s| {
            s.replace(kind, 0, &[]);
            s.recount();
        });
    }
    // A second task needs them as well, and the first is asked when the next one begins; a thread
    // needs no limits of its own.
    let second = |s: &mut Sample, tgid: i32, without: Option<Kind>| {
        let mut kinds = Kind::ALL.to_vec();
        kinds.retain(|k| (Kind::Task as u16..Kind::End as u16).contains(&(*k as u16)));
        kinds.push(Kind::TaskUsage);
        kinds.retain(|k| Some(*k) != without);
        for kind in kinds {
            let bytes = s.bytes_of(kind, 0);
            s.insert(Kind::End, 0, &bytes);
        }
        s.edit::<Task>(Kind::Task, 2, |task| {
            task.pid = 4.into();
            task.tgid = tgid.into();
            task.exit_signal = if tgid == 4 { 17 } else { -1 }.into();
        });
        s.edit::<Job>(Kind::Job, 0, |job| job.tasks = 3.into());
        s.recount();
    };
    fine(|s| second(s, 4, None));
    fine(|s| second(s, 2, Some(Kind::Rlimits)));
    refused(Kind::Task, 2, "task without Creds record", |s| {
        second(s, 4, Some(Kind::Creds));
    });
    refused(Kind::Task, 0, "task without Creds record", |s| {
        second(s, 4, None);
        s.replace(Kind::Creds, 0, &[]);
    });
}

/// Changes the timer of the sample; what it is refused with, if it is.
fn timer_is(change: impl FnOnce(&mut Timer)) -> Option<&'static str> {
    let mut sample = Sample::default();
    let mut timer = timer();
    change(&mut timer);
    sample.edit_bytes(Kind::Timers, 0, |bytes| {
        let at = bytes.len() - size_of::<Timer>();
        bytes[at..].copy_from_slice(timer.as_bytes());
    });
    let result = read_meta(&sample.records.bytes, sample.data.len() as u64);
    result.err().map(|fault| fault.what)
}

/// Each has one signal, in order.
fn deleted_timers() {
    const IMPOSSIBLE: &str = "impossible deleted timer";
    const ORDER: &str = "signal of a deleted timer is out of order";
    let with = |deleted: &'static [(i32, i32)], signals: &'static [i32]| {
        move |s: &mut Sample| {
            let mut records = Records::default();
            let deleted: Vec<_> = deleted
                .iter()
                .map(|&(id, signo)| DeletedTimer {
                    id: id.into(),
                    signo: signo.into(),
                    value: 1.into(),
                })
                .collect();
            records.add(Kind::DeletedTimers, &(), deleted.as_bytes());
            s.replace(Kind::DeletedTimers, 0, &records.bytes);
            let mut records = Records::default();
            let signals: Vec<_> = signals
                .iter()
                .map(|&timer| TimerSignal {
                    timer: timer.into(),
                    shared: 0.into(),
                    place: 0.into(),
                })
                .collect();
            records.add(Kind::TimerSignals, &(), signals.as_bytes());
            s.replace(Kind::TimerSignals, 0, &records.bytes);
        }
    };
    fine(with(&[(4, 34), (4, 1)], &[-1, 4, -2]));
    fine(with(&[], &[4]));
    refused(Kind::DeletedTimers, 0, IMPOSSIBLE, with(&[(-1, 34)], &[-1]));
    refused(Kind::DeletedTimers, 0, IMPOSSIBLE, with(&[(4, 0)], &[-1]));
    refused(Kind::DeletedTimers, 0, IMPOSSIBLE, with(&[(4, 65)], &[-1]));
    refused(Kind::TimerSignals, 0, ORDER, with(&[(4, 1)], &[-2]));
    refused(Kind::TimerSignals, 0, ORDER, with(&[(4, 1)], &[-1, -1]));
    refused(Kind::TimerSignals, 0, ORDER, with(&[], &[-1]));
    refused(Kind::TimerSignals, 0, ORDER, with(&[], &[i32::MIN]));
    let without = "deleted timer without a signal";
    refused(Kind::Task, 0, without, with(&[(4, 1), (5, 1)], &[-1]));
}

/// In a pid namespace of its own a process knows the one that is measured by another number.
fn nested_timer() {
    let mut sample = Sample::default();
    let mut timer = timer();
    timer.clock = (!5 << 3).into();
    timer.cpu_pid = 6.into();
    sample.edit_bytes(Kind::Timers, 0, |bytes| {
        let at = bytes.len() - size_of::<Timer>();
        bytes[at..].copy_from_slice(timer.as_bytes());
    });
    let mut task = Task::new_zeroed();
    sample.edit::<Task>(Kind::Task, 0, |x| {
        x.pid_ns = x.pid;
        task = *x;
    });
    let mut records = Records::default();
    records.add(Kind::Task, &task, &1i32.to_le_bytes());
    sample.replace(Kind::Task, 0, &records.bytes);
    read_meta(&sample.records.bytes, sample.data.len() as u64).unwrap();
}

#[test]
fn timers() {
    use timer_flags::{ARMED, IGNORED, PERIODIC, QUEUED, RELATIVE, REQUEUE, STALE, TIMED};

    const CLOCK: &str = "timer on an impossible clock";
    const NOTIFY: &str = "timer with an impossible notification";
    const TIME: &str = "timer with an impossible time or overrun";
    const STATE: &str = "timer in an impossible state";
    let limit = i64::MAX / 2;

    assert_eq!(timer_is(|_| ()), None);
    assert_eq!(timer_is(|t| t.id = i32::MAX.into()), None);
    assert_eq!(
        timer_is(|t| t.id = (-1).into()),
        Some("timer with a negative ID")
    );
    // Clocks: those with timers, and of CPU time of 3 kinds, each of a process and of a thread.
    for clock in 0..64 {
        let known = [0, 1, 7, 8, 9, 11].contains(&clock);
        let is = timer_is(|t| t.clock = clock.into());
        assert_eq!(is, (!known).then_some(CLOCK), "{clock}");
    }
    assert_eq!(timer_is(|t| t.cpu_pid = 5.into()), Some(CLOCK));
    for (pid, cpu_pid, kind, known) in [
        (0, 5, 0, true),
        (0, 5, 6, true),
        (5, 5, 2, true),
        (5, 6, 2, false),
        (5, 0, 2, false),
        (0, -5, 2, false),
        (0, 5, 3, false),
        (5, 5, 7, false),
    ] {
        let is = timer_is(|t| {
            t.clock = ((!pid << 3) | kind).into();
            t.cpu_pid = cpu_pid.into();
        });
        assert_eq!(is, (!known).then_some(CLOCK), "{pid} {cpu_pid} {kind}");
    }
    nested_timer();
    for (notify, target, signo, known) in [
        (0, 0, 64, true),
        (0, 0, 65, false),
        (0, 0, 0, false),
        (0, 2, 34, false),
        (2, 0, 1, true),
        (2, 2, 1, false),
        (3, 0, 1, false),
        (4, 2, 1, true),
        (4, 0, 1, false),
        (4, 1, 1, false),
        (4, -2, 1, false),
        (5, 2, 1, false),
    ] {
        let is = timer_is(|t| {
            t.notify = notify.into();
            t.target = target.into();
            t.signo = signo.into();
        });
        assert_eq!(is, (!known).then_some(NOTIFY), "{notify} {target} {signo}");
    }
    for (left, overrun, last, known) in [
        (limit, limit, limit, true),
        (-limit, -limit, -limit, true),
        (limit + 1, 0, 0, false),
        (i64::MIN, 0, 0, false),
        (0, limit + 1, 0, false),
        (0, 0, -limit - 1, false),
    ] {
        let is = timer_is(|t| {
            t.left_ns = left.into();
            t.overrun = overrun.into();
            t.overrun_last = last.into();
        });
        assert_eq!(is, (!known).then_some(TIME));
    }
    assert_eq!(
        timer_is(|t| t.interval_ns = (1 << 63).into()),
        Some("impossible interval of a timer")
    );
    assert_eq!(
        timer_is(|t| t.flags = (1 << 8).into()),
        Some("unknown bits in a field")
    );
    assert_eq!(
        timer_is(|t| t.reserved = 1.into()),
        Some("reserved field is not zero")
    );
    for (flags, clock, notify, interval, known) in [
        (0, 1, 0, 0, true),
        (0, 1, 0, 5, true),
        (ARMED | TIMED, 1, 0, 0, true),
        (ARMED, 1, 0, 0, false),
        (ARMED | TIMED | REQUEUE, 1, 0, 5, false),
        (REQUEUE | TIMED, 1, 0, 5, true),
        (REQUEUE | TIMED, 1, 0, 0, false),
        (REQUEUE | TIMED, 1, 1, 5, false),
        (ARMED | TIMED, 1, 1, 5, true),
        (ARMED | TIMED | RELATIVE, 0, 0, 5, true),
        (ARMED | TIMED | RELATIVE, 1, 0, 5, false),
        (QUEUED, 1, 0, 0, true),
        (QUEUED, 1, 0, 5, false),
        (QUEUED | REQUEUE, 1, 0, 5, false),
        (QUEUED | PERIODIC, 1, 0, 5, false),
        (QUEUED | PERIODIC | REQUEUE, 1, 0, 5, true),
        (QUEUED | PERIODIC, 1, 0, 0, false),
        (QUEUED, 1, 1, 0, false),
        (QUEUED | STALE | ARMED | TIMED, 1, 0, 5, true),
        (QUEUED | STALE | PERIODIC, 1, 0, 0, true),
        (STALE, 1, 0, 0, false),
        (PERIODIC, 1, 0, 5, false),
        (IGNORED | PERIODIC | REQUEUE, 1, 0, 5, true),
        (IGNORED | REQUEUE, 1, 0, 5, false),
        (IGNORED | PERIODIC | STALE, 1, 0, 0, true),
        (IGNORED | QUEUED | PERIODIC | REQUEUE, 1, 0, 5, false),
    ] {
        let is = timer_is(|t| {
            t.flags = flags.into();
            t.clock = clock.into();
            t.notify = notify.into();
            t.interval_ns = interval.into();
        });
        assert_eq!(is, (!known).then_some(STATE), "{flags:#x}");
    }

    bad::<TaskUsage>(Kind::TaskUsage, 0, "impossible usage of a task", |x| {
        x.gone.nvcsw = (1 << 63).into();
    });
    bad::<TaskUsage>(Kind::TaskUsage, 0, "impossible usage of a task", |x| {
        x.process_stime_ns = (1 << 63).into();
    });
    // A sum that comes round to what the kernel can't divide by.
    for gone in [false, true] {
        bad::<TaskUsage>(Kind::TaskUsage, 0, "impossible usage of a task", |x| {
            let of = if gone { &mut x.gone } else { &mut x.own };
            of.utime_ns = (i64::MAX as u64).into();
            of.stime_ns = 1.into();
        });
    }
    fine(|s| {
        s.edit::<TaskUsage>(Kind::TaskUsage, 0, |x| {
            x.gone.utime_ns = (i64::MAX as u64 - 1).into();
            x.gone.stime_ns = 1.into();
        });
    });

    const BITS: &str = "unknown bits in a field";
    bad::<Timers>(Kind::Timers, 0, BITS, |x| x.real.flags = 2.into());
    bad::<Timers>(Kind::Timers, 0, "reserved field is not zero", |x| {
        x.prof.reserved = 1.into();
    });
    bad::<Timers>(Kind::Timers, 0, "reserved field is not zero", |x| {
        x.reserved = 1.into();
    });
    bad::<Timers>(Kind::Timers, 0, "impossible interval of a timer", |x| {
        x.virt.interval_ns = (1 << 63).into();
    });
    bad::<Timers>(Kind::Timers, 0, "next timer ID is negative", |x| {
        x.next_id = (-1).into();
    });
    refused(Kind::TimerSignals, 0, BITS, |s| {
        s.edit_bytes(Kind::TimerSignals, 0, |bytes| bytes[20] = 2);
    });
    refused(
        Kind::TimerSignals,
        0,
        "signals of timers are out of order",
        |s| {
            let signal = |shared: u32, place: u32| TimerSignal {
                timer: 4.into(),
                shared: shared.into(),
                place: place.into(),
            };
            let mut records = Records::default();
            let signals = [signal(0, 3), signal(1, 2), signal(1, 2), signal(0, 2)];
            records.add(Kind::TimerSignals, &(), signals.as_bytes());
            s.replace(Kind::TimerSignals, 0, &records.bytes);
        },
    );
    deleted_timers();
    refused(Kind::Task, 0, "thread with timers of its own", |s| {
        s.edit::<Task>(Kind::Task, 0, |task| {
            task.tgid = 7.into();
            task.exit_signal = (-1).into();
        });
    });
}

#[test]
fn zombies() {
    const ODD: &str = "zombie that is a thread, stopped, waits or has a terminal";
    const HOW_MANY: &str = "zombie with too many records or too few";
    const EXIT: &str = "zombie without Exit record, or the other way round";
    let zombie = |what, change: fn(&mut Task)| {
        refused(Kind::Task, 1, what, |s| s.edit(Kind::Task, 1, change));
    };
    zombie("reference to an object that is not defined", |x| {
        x.mm = 1.into()
    });
    zombie("reference to an object that is not defined", |x| {
        x.files = 1.into()
    });
    zombie("reference to an object that is not defined", |x| {
        x.fs = 1.into()
    });
    zombie("reference to an object that is not defined", |x| {
        x.sighand = 1.into()
    });
    zombie(ODD, |x| x.stop_signal = 19.into());
    zombie(ODD, |x| {
        x.flags = (task_flags::ZOMBIE | task_flags::STOPPED).into()
    });
    zombie(ODD, |x| x.tgid = 2.into());
    zombie(ODD, |x| x.vfork = 2.into());
    zombie("zombie that has threads", |x| {
        x.flags = (task_flags::ZOMBIE | task_flags::LEADER_GONE).into()
    });
    fine(|s| {
        s.edit::<Task>(Kind::Task, 1, |x| {
            let flags = task_flags::ZOMBIE | task_flags::FORKED | task_flags::PARENT_CHANGED;
            x.flags = flags.into();
        });
    });
    // The parent is one of the process.
    refused(Kind::Task, 0, "impossible signal", |s| {
        s.edit::<Task>(Kind::Task, 0, |x| {
            x.flags = task_flags::PARENT_CHANGED.into();
            x.tgid = 7.into();
            x.exit_signal = (-1).into();
        });
    });
    refused(Kind::Task, 1, EXIT, |s| s.replace(Kind::Exit, 0, &[]));
    refused(Kind::Task, 1, HOW_MANY, |s| s.replace(Kind::Creds, 1, &[]));
    refused(Kind::Task, 1, HOW_MANY, |s| {
        let bytes = s.bytes_of(Kind::Attr, 0);
        s.insert(Kind::End, 0, &bytes);
        s.recount();
    });
    // One that lives and has ended.
    refused(Kind::Task, 0, EXIT, |s| {
        let bytes = s.bytes_of(Kind::Exit, 0);
        s.insert(Kind::Task, 1, &bytes);
        s.recount();
    });
    bad::<Exit>(Kind::Exit, 0, "impossible status of a zombie", |x| {
        x.status = 0x10000.into();
    });
    bad::<Exit>(Kind::Exit, 0, "impossible usage of a zombie", |x| {
        x.children.maxrss = u64::MAX.into();
    });
    bad::<Exit>(Kind::Exit, 0, "impossible usage of a zombie", |x| {
        x.own.utime_ns = (1 << 63).into();
    });
    bad::<Exit>(Kind::Exit, 0, "impossible usage of a zombie", |x| {
        (x.own.utime_ns, x.own.stime_ns) = ((1 << 62).into(), (1 << 62).into());
    });
}

/// The zombie of the sample as the first thread of a process that lives.
fn leader_gone(s: &mut Sample) {
    s.edit::<Task>(Kind::Task, 1, |x| {
        x.flags = task_flags::LEADER_GONE.into();
        x.mm = 1.into();
        x.sighand = 1.into();
    });
    for kind in [Kind::Attr, Kind::Rlimits, Kind::TaskUsage, Kind::Timers] {
        let bytes = s.bytes_of(kind, 0);
        s.insert(Kind::End, 0, &bytes);
    }
    s.recount();
}

#[test]
fn leaders_that_are_gone() {
    const ODD: &str = "zombie that is a thread, stopped, waits or has a terminal";
    const HOW_MANY: &str = "zombie with too many records or too few";
    fine(leader_gone);
    let gone = |what, change: fn(&mut Task)| {
        refused(Kind::Task, 1, what, |s| {
            leader_gone(s);
            s.edit(Kind::Task, 1, change);
        });
    };
    gone("reference to nothing", |x| x.mm = 0.into());
    gone("reference to nothing", |x| x.sighand = 0.into());
    gone("reference to an object that is not defined", |x| {
        x.files = 1.into()
    });
    gone("reference to an object that is not defined", |x| {
        x.fs = 1.into()
    });
    gone(ODD, |x| x.tgid = 2.into());
    gone(ODD, |x| x.vfork = 2.into());
    gone(ODD, |x| {
        x.flags = (task_flags::LEADER_GONE | task_flags::STOPPED).into()
    });
    fine(|s| {
        leader_gone(s);
        s.edit::<Task>(Kind::Task, 1, |x| {
            x.flags = (task_flags::LEADER_GONE
                | task_flags::FORKED
                | task_flags::INIT_TTY
                | task_flags::GROUP_STOPPED)
                .into();
            x.stop_signal = 19.into();
        });
    });
    for kind in [Kind::Attr, Kind::Rlimits, Kind::Creds, Kind::TaskUsage] {
        refused(Kind::Task, 1, HOW_MANY, |s| {
            leader_gone(s);
            s.replace(kind, 1, &[]);
        });
    }
    refused(Kind::Task, 1, HOW_MANY, |s| {
        leader_gone(s);
        let bytes = s.bytes_of(Kind::Signals, 0);
        s.insert(Kind::End, 0, &bytes);
        s.recount();
    });
}

/// The first two records of the sample and an address space with `runs`, each in a mapping of its
/// own; with another behind it that has one mapping and shares `shared`.
fn spaces(runs: &[Run], shared: &[SharedRun]) -> Records {
    let base = sample(1);
    let mut records = Records::default();
    for kind in [Kind::Job, Kind::File] {
        records.starts.push(records.bytes.len());
        records.bytes.extend(base.bytes_of(kind, 0));
    }
    let (mut mm, mut vma) = (Mm::new_zeroed(), Vma::new_zeroed());
    sample(1).edit::<Mm>(Kind::Mm, 0, |head| mm = *head);
    sample(1).edit::<Vma>(Kind::Vma, 1, |head| vma = *head);
    mm.vmas = (runs.len() as u32).into();
    records.add(Kind::Mm, &mm, &[]);
    for run in runs {
        vma.start = run.start;
        vma.end = (run.start.get() + u64::from(run.pages.get()) * PAGE).into();
        records.add(Kind::Vma, &vma, &[]);
    }
    records.add(Kind::Runs, &(), runs.as_bytes());
    if let [first, .., last] = shared {
        (mm.id, mm.vmas, mm.base) = (2.into(), 1.into(), 1.into());
        records.add(Kind::Mm, &mm, &[]);
        vma.start = first.start;
        vma.end = (last.start.get() + u64::from(last.pages.get()) * PAGE).into();
        records.add(Kind::Vma, &vma, &[]);
        records.add(Kind::SharedRuns, &(), shared.as_bytes());
    }
    records
}

#[test]
fn nothing_is_quadratic() {
    // Two hundred thousand mappings with a run each: a second pass for each run would not end. Nor
    // would one for each of as many shared runs, of which each is of all of the pages.
    let count = 200_000u32;
    let nth = |n: u32| HEAP + u64::from(n) * PAGE;
    let runs: Vec<Run> = (0..count).map(|n| run(nth(n), 1)).collect();
    let all = |n: u32| HEAP + u64::from(n) * u64::from(count) * PAGE;
    let shared: Vec<_> = (0..count)
        .map(|n| shared_run(all(n), count, 1, HEAP))
        .collect();
    for shared in [&[][..], &shared] {
        let mut records = spaces(&runs, shared);
        records.end(count.into());
        let fault = read_meta(&records.bytes, u64::from(count) * PAGE).unwrap_err();
        // All was right but that there is no task.
        assert_eq!(fault.what, "wrong number of tasks");
        let len = emit::record_len(size_of::<End>()).unwrap();
        assert_eq!(
            fault.offset as usize,
            HEADER_LEN + records.bytes.len() - len
        );
        let meta = Meta::new(&records.bytes, 0).unwrap();
        let mut memory = vec![Stretch::default(); runs.len()];
        check_shared(&meta, &header(&records.bytes, 0), &mut memory).unwrap();
    }
}
