// SPDX-License-Identifier: GPL-2.0-only

//! Address spaces: mappings and the pages in them.
//!
//! Private memory is captured by the kernel's own fork ([`Captured`]); what
//! fork leaves out (MADV_DONTFORK, MADV_WIPEONFORK) and shared anonymous
//! memory is copied under the freeze. Where changes are tracked, those private
//! pages that have changed are held instead ([`Tracker`]). Pages of files are not in the image:
//! they are had back from the file.
//!
//! Huge pages (hugetlb) are copied under the freeze, too, into ordinary ones. A
//! duplicate would have to share them with the job, and these pages are few: each
//! that the job writes to would take another one out of the pool, or, when there is
//! none, would be taken from the duplicate. Who shares which is found before that.
//! What mappings without a file have in common is a file of the kernel: it comes
//! back as shared anonymous memory, also where all of them are private.
//!
//! On the way back a task maps what was mapped, by mmap(2)'s own code and with
//! its checks. Mappings are kept from merging with `VM_DONTEXPAND` until all
//! are there, so that the list reads as before. Pages are read straight into
//! the new memory.
//!
//! Pages that several address spaces have are written with the first of them. The
//! others inherit them on the way back, as by fork ([`share_pages`]).
//!
//! Refused: device memory, userfaultfd, shadow stacks, NUMA policies of shared
//! memory, huge pages that were taken from a process for its parent.

use crate::{
    arch,
    checkpoint::{
        Checkpoint,
        Section, //
    },
    files,
    freeze::Frozen,
    image::{
        parse::Record,
        record::{
            self as wire,
            mm_flags,
            vma_flags,
            vma_kind,
            Kind, //
        },
        verify,
    },
    objhash::{
        Class,
        Found, //
    },
    outside::What,
    report::{
        Item,
        Object,
        Report, //
    },
    restart::{
        Part,
        Restart, //
    },
    sched,
    segments,
    task::still, //
};
use core::ops::Range;
use kernel::{
    bindings,
    checkpoint::{
        attr::{
            shared_mm,
            NumaPolicy, //
        },
        clone::Newborn,
        gfp,
        io::{
            HeldPage,
            BATCH, //
        },
        mm::{
            self,
            settings,
            Captured,
            CommonPages,
            Layout,
            MapRequest,
            NewMm,
            PageIndex,
            PageRange,
            Place,
            Settings, //
        },
        task::{
            fatal_signal_pending,
            TaskExt, //
        },
        track::{
            Tracked,
            Tracker, //
        },
    },
    fs::File,
    mm::{
        virt::{
            flags as vm,
            vm_flags_t, //
        },
        MmWithUser, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef,
};
use zerocopy::{Immutable, IntoBytes};

/// What the hook of the owner of a mapping says about it.
#[derive(Default)]
pub(crate) struct Answer {
    /// One of [`vma_kind`], 0 when nothing was said.
    kind: u32,
}

/// The flags of a mapping that are both in the image and in the kernel.
const FLAGS: &[(vm_flags_t, u64)] = &[
    (vm::READ, vma_flags::READ),
    (vm::WRITE, vma_flags::WRITE),
    (vm::EXEC, vma_flags::EXEC),
    (vm::SHARED, vma_flags::SHARED),
    (vm::MAYREAD, vma_flags::MAYREAD),
    (vm::MAYWRITE, vma_flags::MAYWRITE),
    (vm::MAYEXEC, vma_flags::MAYEXEC),
    (vm::MAYSHARE, vma_flags::MAYSHARE),
    (bindings::VM_GROWSDOWN as vm_flags_t, vma_flags::GROWSDOWN),
    (bindings::VM_LOCKED as vm_flags_t, vma_flags::LOCKED),
    (vm::LOCKONFAULT, vma_flags::LOCKONFAULT),
    (bindings::VM_SEQ_READ as vm_flags_t, vma_flags::SEQ_READ),
    (bindings::VM_RAND_READ as vm_flags_t, vma_flags::RAND_READ),
    (vm::DONTCOPY, vma_flags::DONTCOPY),
    (vm::ACCOUNT, vma_flags::ACCOUNT),
    (vm::NORESERVE, vma_flags::NORESERVE),
    (vm::DONTDUMP, vma_flags::DONTDUMP),
    (vm::WIPEONFORK, vma_flags::WIPEONFORK),
    (vm::HUGEPAGE, vma_flags::HUGEPAGE),
    (vm::NOHUGEPAGE, vma_flags::NOHUGEPAGE),
    (vm::SOFTDIRTY, vma_flags::SOFTDIRTY),
    (bindings::VM_DROPPABLE, vma_flags::DROPPABLE),
    (vm::MERGEABLE, vma_flags::MERGEABLE),
    (bindings::VM_SEALED, vma_flags::SEALED),
];

/// The settings of an address space, in the kernel and in the image.
const SETTINGS: &[(u32, u32)] = &[
    (settings::THP_DISABLE, mm_flags::THP_DISABLE),
    (settings::THP_EXCEPT_ADVISED, mm_flags::THP_EXCEPT_ADVISED),
    (settings::MERGE_ANY, mm_flags::MERGE_ANY),
    (settings::MDWE, mm_flags::MDWE),
    (settings::MDWE_NO_INHERIT, mm_flags::MDWE_NO_INHERIT),
];

/// There may be guards in the mapping (MADV_GUARD_INSTALL).
const GUARDED: vm_flags_t = bindings::VM_MAYBE_GUARD as vm_flags_t;

/// Flags the kernel keeps for itself and sets again as it needs them.
const IGNORED: vm_flags_t = GUARDED;

fn to_wire(flags: vm_flags_t) -> u64 {
    FLAGS
        .iter()
        .filter(|(k, _)| flags & k != 0)
        .fold(0, |w, (_, bit)| w | bit)
}

fn to_kernel(flags: u64) -> vm_flags_t {
    FLAGS
        .iter()
        .filter(|(_, w)| flags & w != 0)
        .fold(0, |k, (bit, _)| k | bit)
}

fn known(huge: bool) -> vm_flags_t {
    // These all mappings of huge pages have.
    let own = if huge {
        vm::HUGETLB | vm::DONTEXPAND
    } else {
        0
    };
    FLAGS.iter().fold(IGNORED, |k, (bit, _)| k | bit) | mm::pkey_flags(u32::MAX) | own
}

/// Why huge pages could not be had, and what would help.
pub(crate) const TOO_FEW_HUGE: (&str, &str) = (
    "there are too few free huge pages of its size",
    "raise vm.nr_hugepages (of other sizes nr_hugepages in /sys/kernel/mm/hugepages)",
);

/// As [`TOO_FEW_HUGE`], where there never were any.
pub(crate) const NO_SUCH_HUGE: (&str, &str) = (
    "this kernel has no huge pages of its size",
    "restart where /sys/kernel/mm/hugepages has that size",
);

/// Why a mapping with these flags can't be saved, and what would help.
fn refused(v: &mm::Vma<Answer>, special: bool) -> Option<(&'static str, &'static str)> {
    const CHECKS: &[(vm_flags_t, &str, &str)] = &[
        (
            bindings::VM_UFFD_MISSING as vm_flags_t | bindings::VM_UFFD_WP as vm_flags_t,
            "it is registered with a userfaultfd",
            "unregister it",
        ),
        (
            vm::IO | vm::PFNMAP | vm::MIXEDMAP,
            "it is memory of a device",
            "close the device before the checkpoint",
        ),
    ];
    if special {
        // Where the kernel seals what it maps, it does so again.
        let sealed = v.flags & bindings::VM_SEALED != 0 && !cfg!(CONFIG_MSEAL_SYSTEM_MAPPINGS);
        return sealed.then_some((
            "it is the kernel's (vdso) and sealed (mseal(2)), not supported yet",
            "do not seal it, or use a kernel with CONFIG_MSEAL_SYSTEM_MAPPINGS",
        ));
    }
    for (bits, why, remedy) in CHECKS {
        if v.flags & bits != 0 {
            return Some((why, remedy));
        }
    }
    if v.policy.is_some() && v.flags & vm::MAYSHARE != 0 {
        return Some((
            "it is shared and has a NUMA policy (mbind(2)), not supported yet",
            "use set_mempolicy(2)",
        ));
    }
    if let Some(huge) = &v.huge {
        if huge.robbed {
            return Some((
                "its parent took huge pages from it, when there were no others",
                "raise vm.nr_hugepages before the job starts",
            ));
        }
        if huge.grows {
            return Some((
                "it reaches behind the end of its file, which would be longer after a restart",
                "make the file as long as the mapping",
            ));
        }
    }
    if v.flags & !known(v.huge.is_some()) != 0 {
        return Some(("it has a property that is not supported yet", ""));
    }
    None
}

/// An address space that was captured.
struct Space {
    subject: (i32, [u8; 16]),
    head: wire::Mm,
    auxv: KVec<u8>,
    ldt: KVec<u8>,
    vmas: KVVec<wire::Vma>,
    extras: KVVec<Extra>,
    guards: KVVec<Run>,
    pages: Private,
    copies: VVec<(u64, HeldPage)>,
    /// Huge pages that address spaces before it have, too.
    common: KVVec<wire::SharedRun>,
    runs: KVVec<Run>,
    shared: KVVec<wire::SharedRun>,
}

/// Private pages that were captured.
enum Private {
    /// All of them, copy-on-write.
    Dup(Captured),
    /// Those that have changed.
    Changes(Changes),
}

/// What has changed in an address space that is tracked.
#[derive(Default)]
struct Changes {
    /// Its id in the parent, if there is one.
    parent: Option<u32>,
    /// Pages that are held, by ascending addresses.
    held: VVec<Held>,
    /// Pages that are those of the parent.
    unchanged: KVVec<Run>,
    /// Pages that hold nothing.
    zero: u64,
}

/// Pages that stay as they were under the freeze.
struct Held {
    start: u64,
    end: u64,
    pages: CommonPages,
    /// Others have them mapped, too.
    shared: bool,
}

/// What few mappings have: a name, a NUMA policy.
struct Extra {
    /// Start of the mapping.
    start: u64,
    name: KVec<u8>,
    policy: Option<NumaPolicy>,
}

struct Run {
    wire: wire::Run,
    source: Source,
}

/// Where the pages of a run are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// In the duplicate, or not in the image.
    Elsewhere,
    /// Among the copies.
    Copies,
    /// Among those that are held.
    Held,
}

/// The record of something outside of address spaces whose pages are saved.
enum Head {
    Shm(wire::Shm),
    File(wire::FileData),
}

/// Shared anonymous memory or a deleted file that was captured.
struct Content {
    head: Head,
    copies: VVec<(u64, HeldPage)>,
}

/// The page data of an image, in the order of its owners.
pub(crate) struct Pages {
    contents: KVVec<Content>,
    spaces: KVVec<Space>,
    mapped: KVVec<Mapped>,
    /// Which huge pages were met where. It holds them, and goes with the freeze.
    huge: Option<PageIndex>,
    count: u64,
    zero: u64,
    of_parent: u64,
}

/// Shared anonymous memory that the job maps.
struct Mapped {
    id: u32,
    /// Where it was met first.
    subject: (i32, [u8; 16]),
    at: usize,
    /// How often it is mapped, and how often by the job.
    mappings: usize,
    met: usize,
}

/// Adds pages to runs, growing the last one where it can. Runs up to the
/// `floor`th belong to other mappings and do not grow.
fn add_run(runs: &mut KVVec<Run>, floor: usize, start: u64, pages: u64, source: Source) -> Result {
    let mut start = start;
    let mut left = pages;
    if let Some(last) = runs.get_mut(floor..).and_then(<[Run]>::last_mut) {
        let n = u64::from(last.wire.pages.get());
        let end = last.wire.start.get().wrapping_add(n * PAGE_SIZE as u64);
        if last.source == source && end == start {
            if let Ok(n) = u32::try_from(n + left) {
                last.wire.pages = n.into();
                return Ok(());
            }
        }
    }
    while left > 0 {
        let n = left.min(u64::from(u32::MAX));
        runs.push(
            Run {
                wire: wire::Run {
                    start: start.into(),
                    pages: (n as u32).into(),
                    flags: 0.into(),
                },
                source,
            },
            gfp(),
        )?;
        start += n * PAGE_SIZE as u64;
        left -= n;
    }
    Ok(())
}

/// Adds a page that was met before, at `from` of the address space `mm`, to runs that belong to
/// the same mapping from the `floor`th on.
fn add_shared(
    runs: &mut KVVec<wire::SharedRun>,
    floor: usize,
    start: u64,
    mm: u32,
    from: u64,
) -> Result {
    if let Some(last) = runs.get_mut(floor..).and_then(<[_]>::last_mut) {
        let len = u64::from(last.pages.get()) * PAGE_SIZE as u64;
        let goes_on = |first: u64, next| first.wrapping_add(len) == next;
        if last.mm.get() == mm
            && goes_on(last.start.get(), start)
            && goes_on(last.from.get(), from)
            && last.pages.get() < u32::MAX
        {
            last.pages = (last.pages.get() + 1).into();
            return Ok(());
        }
    }
    runs.push(
        wire::SharedRun {
            start: start.into(),
            from: from.into(),
            pages: 1.into(),
            mm: mm.into(),
        },
        gfp(),
    )
    .map_err(Into::into)
}

/// Some pages of a [`wire::SharedRun`]: addresses, and where their content is.
#[derive(Clone, Copy)]
struct SharedPart {
    start: u64,
    end: u64,
    mm: u32,
    from: u64,
}

/// Calls `f` for each part of `runs`, in their order, and says whether the address space `base`
/// before it, which has the runs `base_runs`, has the same pages at the same addresses.
fn for_each_shared(
    runs: &[wire::SharedRun],
    base: u32,
    base_runs: &[wire::SharedRun],
    mut f: impl FnMut(SharedPart, bool) -> Result,
) -> Result {
    let end_of = |run: &wire::SharedRun| {
        let len = u64::from(run.pages.get()).saturating_mul(PAGE_SIZE as u64);
        run.start.get().saturating_add(len)
    };
    let mut base_runs = base_runs;
    for run in runs {
        let (start, end) = (run.start.get(), end_of(run));
        let (mm, from) = (run.mm.get(), run.from.get());
        let mut part = |at: u64, end, same| {
            let from = from.wrapping_add(at.wrapping_sub(start));
            let start = at;
            let part = SharedPart {
                start,
                end,
                mm,
                from,
            };
            if start < end {
                f(part, same)
            } else {
                Ok(())
            }
        };
        if mm == base {
            part(start, end, from == start)?;
            continue;
        }
        let passed = base_runs.partition_point(|other| end_of(other) <= start);
        base_runs = base_runs.get(passed..).unwrap_or(&[]);
        let mut at = start;
        for other in base_runs.iter().take_while(|other| other.start.get() < end) {
            let first = other.start.get().max(at);
            let last = end_of(other).min(end);
            part(at, first, false)?;
            let delta = |run: &wire::SharedRun| run.from.get().wrapping_sub(run.start.get());
            let same = other.mm.get() == mm && delta(other) == delta(run);
            part(first, last, same)?;
            at = last;
        }
        part(at, end, false)?;
    }
    Ok(())
}

/// How many owners of pages are looked at, and how many that come before one of them.
const OWNERS: usize = 64;

/// Which one of the address spaces before it `space` is to inherit from; 0 for none.
///
/// That is one of the owners of its pages: the one that has most of them itself, or from those that
/// it inherits from, for where a mapping is known to the family of one it is to all of them.
fn choose_base(before: &[Space], space: &Space) -> Result<u32> {
    let mut owners: KVec<(u32, u64)> = KVec::new();
    for run in space.shared.iter().filter(|run| run.start == run.from) {
        let (mm, n) = (run.mm.get(), u64::from(run.pages.get()));
        if let Some((_, pages)) = owners.iter_mut().find(|(owner, _)| *owner == mm) {
            *pages += n;
        } else if owners.len() < OWNERS {
            owners.push((mm, n), GFP_KERNEL)?;
        }
    }
    // They are in the order of their ids.
    let base_of = |mm: u32| {
        let at = before.partition_point(|s| s.head.id.get() < mm);
        before.get(at).map_or(0, |s| s.head.base.get())
    };
    let mut best = (0, 0);
    for &(mm, _) in &owners {
        let (mut pages, mut from) = (0, mm);
        for _ in 0..OWNERS {
            pages += owners.iter().find(|(o, _)| *o == from).map_or(0, |o| o.1);
            from = base_of(from);
        }
        if pages > best.0 {
            best = (pages, mm);
        }
    }
    Ok(best.1)
}

impl Pages {
    /// No pages.
    pub(crate) fn new() -> Self {
        Self {
            contents: KVVec::new(),
            spaces: KVVec::new(),
            mapped: KVVec::new(),
            huge: None,
            count: 0,
            zero: 0,
            of_parent: 0,
        }
    }

    /// Adds the content of a deleted file: pages with their offsets, ascending.
    pub(crate) fn add_file(
        &mut self,
        head: wire::FileData,
        copies: VVec<(u64, HeldPage)>,
    ) -> Result {
        let head = Head::File(head);
        self.contents
            .push(Content { head, copies }, gfp())
            .map_err(Into::into)
    }

    /// Lets go of what is held of the job, when all of it was captured.
    pub(crate) fn release(&mut self) {
        self.huge = None;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many were seen that hold nothing.
    pub(crate) fn zero(&self) -> u64 {
        self.zero
    }

    /// How many are left to the parent.
    pub(crate) fn of_parent(&self) -> u64 {
        self.of_parent
    }

    /// Hands out all pages in their order: `batch` is filled and passed to
    /// `flush`, which empties it, whenever it has [`BATCH`] of them.
    pub(crate) fn for_each_batch(
        &mut self,
        batch: &mut KVec<HeldPage>,
        flush: &mut impl FnMut(&mut KVec<HeldPage>) -> Result,
    ) -> Result {
        for content in core::mem::take(&mut self.contents) {
            for (_, page) in content.copies {
                batch.push(page, GFP_KERNEL)?;
                if batch.len() == BATCH {
                    flush(batch)?;
                }
            }
        }
        for space in core::mem::take(&mut self.spaces) {
            let mut copies = space.copies.into_iter();
            let (dup, held) = match space.pages {
                Private::Dup(dup) => (Some(dup), VVec::new()),
                Private::Changes(changes) => (None, changes.held),
            };
            let mut held = held.into_iter().peekable();
            for run in &space.runs {
                let mut at = run.wire.start.get() as usize;
                let mut left = run.wire.pages.get() as usize;
                while left > 0 {
                    let n = left.min(BATCH - batch.len());
                    match run.source {
                        Source::Copies => {
                            for (_, page) in copies.by_ref().take(n) {
                                batch.push(page, GFP_KERNEL)?;
                            }
                        }
                        Source::Held => {
                            for nth in 0..n {
                                let at = (at + nth * PAGE_SIZE) as u64;
                                while held.next_if(|held| held.end <= at).is_some() {}
                                let page = held.peek().and_then(|held| held.page(at));
                                batch.push(page.ok_or(EINVAL)?, GFP_KERNEL)?;
                            }
                        }
                        Source::Elsewhere => {
                            dup.as_ref().ok_or(EINVAL)?.hold(at, n, batch)?;
                        }
                    }
                    at += n * PAGE_SIZE;
                    left -= n;
                    if batch.len() == BATCH {
                        flush(batch)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Held {
    /// The page at `at`, which is among them.
    fn page(&self, at: u64) -> Option<HeldPage> {
        let nth = at.checked_sub(self.start)? / PAGE_SIZE as u64;
        self.pages.hold(nth as usize)
    }
}

/// Captures what has changed in the private pages of a mapping since the parent.
fn capture_changes(
    ctx: &mut Checkpoint,
    space: &MmWithUser,
    v: &wire::Vma,
    (tracker, changes): &mut (Tracker<'_>, Changes),
    copies: &mut VVec<(u64, HeldPage)>,
) -> Result {
    let (start, end) = (v.start.get() as usize, v.end.get() as usize);
    let floor = changes.unchanged.len();
    let all = changes.parent.is_none();
    let mut absent = KVVec::new();
    let mut poisoned = false;
    tracker.capture(start, end, all, |r| {
        let (start, end) = (r.start as u64, r.end as u64);
        let count = (end - start) / PAGE_SIZE as u64;
        match r.what {
            Tracked::Unchanged => {
                let unchanged = &mut changes.unchanged;
                return add_run(unchanged, floor, start, count, Source::Elsewhere);
            }
            Tracked::Held { pages, shared } => {
                let held = Held {
                    start,
                    end,
                    pages,
                    shared,
                };
                changes.held.push(held, gfp())?;
            }
            Tracked::Absent => absent.push(r.start..r.end, gfp())?,
            Tracked::Zero => changes.zero += count,
            Tracked::Other => poisoned = true,
        }
        Ok(())
    })?;
    if poisoned {
        refuse_poisoned(&mut ctx.report, start);
    }
    copy_ranges(ctx, space, &absent, copies)
}

fn refuse_poisoned(report: &mut Report, start: usize) {
    report.refuse(Item {
        object: Object::Vma(start),
        kind: "mapping",
        name: b"",
        why: "it has poisoned pages",
        remedy: "not supported yet",
    });
}

/// Saves the address space of a task that stands still; its id.
pub(crate) fn checkpoint(ctx: &mut Checkpoint, frozen: &Frozen<'_>) -> Result<u32> {
    let task = frozen.task();
    let shared = shared_mm(&still(frozen)?);
    let space = task.mm_ref().ok_or(ESRCH)?;
    let id = match ctx.objs.id(Class::Mm, space.as_raw())? {
        Found::Old(id) => return Ok(id),
        Found::New(id) => id,
    };
    if let Some(shared) = shared {
        ctx.outside.ask(
            shared.as_ptr(),
            frozen,
            What {
                kind: "shared",
                why: "it shares its memory (CLONE_VM) with init or a process outside of the job",
                remedy: "start the job with fork(2) or posix_spawn(3)",
            },
        )?;
    }
    if let Some((kind, why)) = mm::unsupported(&space) {
        ctx.report.refuse(Item {
            object: Object::Task,
            kind,
            name: b"",
            why,
            remedy: "not supported yet",
        });
    }

    let found = mm::vmas(&space, |hook| {
        ctx.vma = Answer::default();
        // SAFETY: the hooks of this subsystem take a `Checkpoint` as their
        // context and use it only while they run.
        unsafe { hook.call(core::ptr::from_mut(ctx).cast()) }?;
        Ok(core::mem::take(&mut ctx.vma))
    })?;

    let mut tracking = match ctx.track {
        Some(parent) => match Tracker::new(&space) {
            Ok(mut tracker) => {
                let changes = Changes {
                    parent: tracker.since(&parent, &ctx.uuid, id),
                    ..Changes::default()
                };
                Some((tracker, changes))
            }
            // A stop signal is enough to keep it from being tracked: so it is not, this time.
            Err(e) if e == EINTR && !fatal_signal_pending() => None,
            Err(e) => return Err(e),
        },
        None => None,
    };
    let mut vmas = KVVec::with_capacity(found.len(), gfp())?;
    let mut copies = VVec::new();
    let mut common = KVVec::new();
    let mut extras = KVVec::new();
    let mut guards = KVVec::new();
    for mut v in found {
        let extra = Extra {
            start: v.start as u64,
            name: core::mem::take(&mut v.name),
            policy: None,
        };
        // Seen now, for fork leaves some out.
        if v.flags & GUARDED != 0 {
            find_guards(&space, &v, &mut guards)?;
        }
        let tracking = tracking.as_mut();
        let (vma, policy) =
            checkpoint_vma(ctx, frozen, &space, v, (&mut copies, &mut common), tracking)?;
        let extra = Extra { policy, ..extra };
        if !extra.name.is_empty() || extra.policy.is_some() {
            extras.push(extra, gfp())?;
        }
        if let Some(vma) = vma {
            vmas.push(vma, gfp())?;
        }
    }

    let exe_file = match mm::exe_file(&space) {
        Some(exe) => files::checkpoint(ctx, &exe, Object::Path("exe"))?,
        None => 0,
    };
    let x86 = arch::checkpoint_mm(ctx, frozen, &space)?;
    let layout = mm::layout(&space);
    let mut flags = x86.flags;
    for (is, bit) in [
        (layout.topdown, mm_flags::TOPDOWN),
        (layout.lock_future, mm_flags::LOCK_FUTURE),
        (layout.lock_future_onfault, mm_flags::LOCK_FUTURE_ONFAULT),
        (layout.has_binfmt, mm_flags::BINFMT),
    ] {
        if is {
            flags |= bit;
        }
    }
    let set = mm::settings(&space);
    for (_, bit) in SETTINGS.iter().filter(|(is, _)| set.flags & is != 0) {
        flags |= bit;
    }
    let head = wire::Mm {
        id: id.into(),
        exe_file: exe_file.into(),
        flags: flags.into(),
        vmas: u32::try_from(vmas.len()).map_err(|_| EFBIG)?.into(),
        start_code: (layout.start_code as u64).into(),
        end_code: (layout.end_code as u64).into(),
        start_data: (layout.start_data as u64).into(),
        end_data: (layout.end_data as u64).into(),
        start_brk: (layout.start_brk as u64).into(),
        brk: (layout.brk as u64).into(),
        start_stack: (layout.start_stack as u64).into(),
        arg_start: (layout.arg_start as u64).into(),
        arg_end: (layout.arg_end as u64).into(),
        env_start: (layout.env_start as u64).into(),
        env_end: (layout.env_end as u64).into(),
        mmap_base: (layout.mmap_base as u64).into(),
        mmap_compat_base: (layout.mmap_compat_base as u64).into(),
        hiwater_rss: (layout.hiwater_rss as u64).into(),
        hiwater_vm: (layout.hiwater_vm as u64).into(),
        coredump_filter: layout.coredump_filter.into(),
        membarrier: layout.membarrier.into(),
        vdso: x86.vdso.into(),
        vdso_hash: x86.vdso_hash.into(),
        pkeys: x86.pkeys.into(),
        exec_only_pkey: x86.exec_only_pkey.into(),
        futex_hash: set.futex_hash.into(),
        base: 0.into(),
    };
    let mut auxv = KVec::new();
    for word in mm::auxv(&space)? {
        auxv.extend_from_slice(&word.to_le_bytes(), gfp())?;
    }
    let pages = match tracking {
        Some((_, changes)) => Private::Changes(changes),
        // Last, so that what was copied above is no older than the duplicate.
        None => Private::Dup(Captured::new(&space)?),
    };
    ctx.pages.spaces.push(
        Space {
            subject: frozen.subject(),
            head,
            auxv,
            ldt: x86.ldt,
            vmas,
            extras,
            guards,
            pages,
            copies,
            common,
            runs: KVVec::new(),
            shared: KVVec::new(),
        },
        gfp(),
    )?;
    Ok(id)
}

fn checkpoint_vma(
    ctx: &mut Checkpoint,
    frozen: &Frozen<'_>,
    space: &ARef<MmWithUser>,
    v: mm::Vma<Answer>,
    (copies, common): (&mut VVec<(u64, HeldPage)>, &mut KVVec<wire::SharedRun>),
    tracking: Option<&mut (Tracker<'_>, Changes)>,
) -> Result<(Option<wire::Vma>, Option<NumaPolicy>)> {
    let object = Object::Vma(v.start);
    let answer = match v.answer.as_ref() {
        None => None,
        Some(Ok(answer)) => Some(answer),
        Some(Err(e)) => return Err(*e),
    };
    let kind = match answer {
        None if v.owned || v.flags & vm::MAYSHARE != 0 => 0,
        // A private mapping of /dev/zero is anonymous, and keeps its file.
        None if v.file.is_some() => vma_kind::FILE,
        None => vma_kind::ANON,
        Some(answer) => answer.kind,
    };
    let refusal = match kind {
        0 => Some(("its owner can't save it", "unmap it before the checkpoint")),
        kind => refused(&v, kind == vma_kind::VDSO),
    };
    if let Some((why, remedy)) = refusal {
        let name = match &v.file {
            Some(file) => files::name(file)?,
            None => KVec::new(),
        };
        ctx.report.refuse(Item {
            object,
            kind: "mapping",
            name: &name,
            why,
            remedy,
        });
        return Ok((None, None));
    }

    let file = v.file.as_ref();
    let object = match (kind, file) {
        (vma_kind::FILE, Some(file)) => files::checkpoint(ctx, file, object)?,
        (vma_kind::SHM, Some(file)) => checkpoint_shm(ctx, frozen, &v, file)?,
        _ => 0,
    };
    let mut flags = to_wire(v.flags);
    let private = v.flags & vm::MAYSHARE == 0;
    let huge = v.huge.as_ref().filter(|_| private);
    if huge.is_some_and(|huge| huge.unreserved && v.flags & vm::NORESERVE == 0) {
        flags |= vma_flags::UNRESERVED;
    }
    let vma = wire::Vma {
        start: (v.start as u64).into(),
        end: (v.end as u64).into(),
        offset: ((v.pgoff as u64).wrapping_mul(PAGE_SIZE as u64)).into(),
        flags: flags.into(),
        kind: kind.into(),
        object: object.into(),
        pkey: v.pkey.into(),
        huge_shift: v.huge.map_or(0, |huge| huge.shift).into(),
    };
    if let Some(huge) = huge {
        copy_huge(ctx, space, &v, huge, copies, common)?;
    } else if private
        && kind != vma_kind::VDSO
        // Who has such memory expects to find nothing in it at any time; and a
        // random number generator in it had better not be there twice.
        && v.flags & bindings::VM_DROPPABLE == 0
    {
        match tracking {
            Some(tracking) => capture_changes(ctx, space, &vma, tracking, copies)?,
            None if v.flags & (vm::DONTCOPY | vm::WIPEONFORK) != 0 => {
                copy_private(ctx, space, &v, copies)?;
            }
            None => (),
        }
    }
    // It has no effect on pages that are the kernel's.
    let policy = v.policy.filter(|_| kind != vma_kind::VDSO);
    Ok((Some(vma), policy))
}

/// Finds the guards in a mapping.
fn find_guards(space: &MmWithUser, v: &mm::Vma<Answer>, guards: &mut KVVec<Run>) -> Result {
    let floor = guards.len();
    mm::for_each_range(space, v.start, v.end, |r| {
        if r.what != mm::Pages::Guard {
            return Ok(());
        }
        let pages = ((r.end - r.start) / PAGE_SIZE) as u64;
        add_run(guards, floor, r.start as u64, pages, Source::Elsewhere)
    })
}

/// Copies the pages of a mapping that fork would leave out.
fn copy_private(
    ctx: &mut Checkpoint,
    space: &MmWithUser,
    v: &mm::Vma<Answer>,
    copies: &mut VVec<(u64, HeldPage)>,
) -> Result {
    let mut ranges = KVVec::new();
    let mut poisoned = false;
    mm::for_each_range(space, v.start, v.end, |r: PageRange| {
        match r.what {
            mm::Pages::Data => ranges.push(r.start..r.end, gfp())?,
            mm::Pages::Other => poisoned = true,
            mm::Pages::Zero | mm::Pages::Guard => (),
        }
        Ok(())
    })?;
    if poisoned {
        refuse_poisoned(&mut ctx.report, v.start);
    }
    copy_ranges(ctx, space, &ranges, copies)
}

/// Copies the huge pages of a private mapping, but for those that an address space before this one
/// has, too.
fn copy_huge(
    ctx: &mut Checkpoint,
    space: &MmWithUser,
    v: &mm::Vma<Answer>,
    huge: &mm::Huge,
    copies: &mut VVec<(u64, HeldPage)>,
    common: &mut KVVec<wire::SharedRun>,
) -> Result {
    let size = 1usize << huge.shift;
    let parts = size / PAGE_SIZE;
    let mut ranges = KVVec::new();
    let mut poisoned = false;
    let Pages {
        spaces,
        huge: index,
        ..
    } = &mut ctx.pages;
    let number = spaces.len();
    mm::for_each_range(space, v.start, v.end, |r: PageRange| {
        match r.what {
            mm::Pages::Data => (),
            mm::Pages::Other => {
                poisoned = true;
                return Ok(());
            }
            mm::Pages::Zero | mm::Pages::Guard => return Ok(()),
        }
        for addr in (r.start..r.end).step_by(size) {
            let mut first = None;
            if let Some(pages) = &r.common {
                let index = match index {
                    Some(index) => index,
                    None => index.insert(PageIndex::new()?),
                };
                let here = Place {
                    space: number,
                    addr,
                };
                first = index.first(pages, (addr - r.start) / PAGE_SIZE, here)?;
            }
            // Those before it are all there.
            match first.and_then(|p| Some((spaces.get(p.space)?.head.id, p.addr))) {
                Some((mm, from)) => common.push(
                    wire::SharedRun {
                        start: (addr as u64).into(),
                        from: (from as u64).into(),
                        pages: u32::try_from(parts)?.into(),
                        mm,
                    },
                    gfp(),
                )?,
                None => ranges.push(addr..addr + size, gfp())?,
            }
        }
        Ok(())
    })?;
    if poisoned {
        refuse_poisoned(&mut ctx.report, v.start);
    }
    copy_ranges(ctx, space, &ranges, copies)
}

/// Copies pages, with their addresses.
fn copy_ranges(
    ctx: &Checkpoint,
    space: &MmWithUser,
    ranges: &[Range<usize>],
    copies: &mut VVec<(u64, HeldPage)>,
) -> Result {
    let mut batch = KVec::new();
    for r in ranges {
        let mut at = r.start;
        while at < r.end {
            ctx.go_on()?;
            let n = BATCH.min((r.end - at) / PAGE_SIZE);
            mm::hold_pages_of(space, at, n, &mut batch)?;
            for from in batch.iter() {
                let mut to = HeldPage::zeroed()?;
                to.copy_from(from);
                copies.push((at as u64, to), gfp())?;
                at += PAGE_SIZE;
            }
            batch.clear();
        }
    }
    Ok(())
}

/// Saves shared anonymous memory, or what a mapping of huge pages without a file has; its id.
fn checkpoint_shm(
    ctx: &mut Checkpoint,
    frozen: &Frozen<'_>,
    v: &mm::Vma<Answer>,
    file: &ARef<File>,
) -> Result<u32> {
    let (inode, size, noreserve) = mm::shm_identity(file);
    // What others map privately is theirs.
    let shared = v.flags & vm::MAYSHARE != 0;
    let mappings = if shared { mm::mappings_of(file) } else { 0 };
    let id = match ctx.objs.id(Class::Shm, inode)? {
        Found::Old(id) => {
            // Ids ascend.
            let mapped = &mut ctx.pages.mapped;
            let at = mapped.binary_search_by_key(&id, |m| m.id).ok();
            if let Some(mapped) = at.and_then(|at| mapped.get_mut(at)) {
                mapped.met += usize::from(shared);
                mapped.mappings = mapped.mappings.max(mappings);
            }
            return Ok(id);
        }
        Found::New(id) => id,
    };
    // No address space that maps it has a duplicate yet.
    ctx.pages.mapped.push(
        Mapped {
            id,
            subject: frozen.subject(),
            at: v.start,
            mappings,
            met: usize::from(shared),
        },
        gfp(),
    )?;
    let flags = if noreserve { wire::SHM_NORESERVE } else { 0 };
    let head = wire::Shm {
        id: id.into(),
        flags: flags.into(),
        size: size.into(),
        huge_shift: v.huge.map_or(0, |huge| huge.shift).into(),
    };
    copy_memory(ctx, file, head)?;
    Ok(id)
}

/// Copies shared memory as it is now.
pub(crate) fn copy_memory(ctx: &mut Checkpoint, file: &File, head: wire::Shm) -> Result {
    let mut copies = VVec::new();
    mm::copy_shm(file, |offset, page| {
        if copies.len() % BATCH == 0 {
            ctx.go_on()?;
        }
        copies.push((offset, page), gfp())?;
        Ok(())
    })?;
    ctx.pages.contents.push(
        Content {
            head: Head::Shm(head),
            copies,
        },
        gfp(),
    )?;
    Ok(())
}

/// Finds out which pages of an address space are in the image for it, and which for one before it.
struct Finder<'a> {
    /// Pages met so far; none if there is but one address space.
    index: Option<&'a mut PageIndex>,
    /// Ids of the address spaces up to this one.
    ids: &'a [u32],
    runs: &'a mut KVVec<Run>,
    /// Runs up to here belong to other mappings.
    floor: usize,
    shared: &'a mut KVVec<wire::SharedRun>,
    shared_floor: usize,
}

impl Finder<'_> {
    /// Adds pages that nobody else has.
    fn add_own(&mut self, start: u64, n: u64, source: Source) -> Result {
        add_run(self.runs, self.floor, start, n, source)
    }

    /// Adds `n` pages that others may have, too.
    fn add(&mut self, pages: &CommonPages, start: usize, n: usize, source: Source) -> Result {
        let Some(index) = self.index.as_mut() else {
            return self.add_own(start as u64, n as u64, source);
        };
        let number = self.ids.len().checked_sub(1).ok_or(EINVAL)?;
        for nth in 0..n {
            // Of what many share there may be a lot.
            if nth % BATCH == 0 && fatal_signal_pending() {
                return Err(EINTR);
            }
            let addr = start + nth * PAGE_SIZE;
            let here = Place {
                space: number,
                addr,
            };
            let first = index.first(pages, nth, here)?;
            let first = first.filter(|first| first.space != number);
            let owner = first.and_then(|p| Some((*self.ids.get(p.space)?, p.addr)));
            let addr = addr as u64;
            match owner {
                Some((mm, from)) => {
                    add_shared(self.shared, self.shared_floor, addr, mm, from as u64)?;
                }
                None => add_run(self.runs, self.floor, addr, 1, source)?,
            }
        }
        Ok(())
    }
}

/// After the freeze: finds the runs of pages and emits the records.
pub(crate) fn finish(ctx: &mut Checkpoint) -> Result {
    let mut pages = core::mem::replace(&mut ctx.pages, Pages::new());

    for mapped in pages.mapped.iter().filter(|m| m.met < m.mappings) {
        ctx.report.subject(Some(mapped.subject));
        ctx.report.refuse(Item {
            object: Object::Vma(mapped.at),
            kind: "shared memory",
            name: b"",
            why: "a process outside of the job maps it, too",
            remedy: "have that process unmap it, or be part of the job",
        });
    }
    for content in &pages.contents {
        let mut runs = KVVec::new();
        for (offset, _) in &content.copies {
            add_run(&mut runs, 0, *offset, 1, Source::Copies)?;
        }
        match &content.head {
            Head::Shm(head) => ctx.emit(Section::Shm, Kind::Shm, head, &[])?,
            Head::File(head) => ctx.emit(Section::Shm, Kind::FileData, head, &[])?,
        }
        pages.count += emit_runs(ctx, Section::Shm, Kind::Runs, &(), &runs)?;
    }
    // What is there more than once is written once. Of one address space, nothing is.
    let mut index = match pages.spaces.len() {
        0 | 1 => None,
        _ => Some(PageIndex::new()?),
    };
    let mut ids: KVVec<u32> = KVVec::with_capacity(pages.spaces.len(), gfp())?;
    for number in 0..pages.spaces.len() {
        let (before, rest) = pages.spaces.split_at_mut(number);
        let space = rest.first_mut().ok_or(EINVAL)?;
        ctx.report.subject(Some(space.subject));
        ids.push(space.head.id.get(), gfp())?;
        let Space {
            vmas,
            pages: captured,
            copies,
            runs,
            common,
            shared,
            ..
        } = space;
        let mut copied = copies.iter().peekable();
        let mut common = common.iter().peekable();
        let held = match &captured {
            Private::Changes(changes) => {
                pages.zero += changes.zero;
                changes.held.as_slice()
            }
            Private::Dup(_) => &[],
        };
        let mut held = held.iter().peekable();
        for v in vmas.iter() {
            let (start, end) = (v.start.get() as usize, v.end.get() as usize);
            let flags = v.flags.get();
            if flags & vma_flags::MAYSHARE != 0 || v.kind.get() == vma_kind::VDSO {
                continue;
            }
            let mut finder = Finder {
                index: index.as_mut(),
                ids: &ids,
                floor: runs.len(),
                runs: &mut *runs,
                shared_floor: shared.len(),
                shared: &mut *shared,
            };
            loop {
                let copy = copied.peek().map_or(u64::MAX, |(at, _)| *at);
                let hold = held.peek().map_or(u64::MAX, |held| held.start);
                if copy.min(hold) >= end as u64 {
                    break;
                }
                if copy < hold {
                    copied.next();
                    finder.add_own(copy, 1, Source::Copies)?;
                } else if let Some(held) = held.next() {
                    let n = ((held.end - held.start) / PAGE_SIZE as u64) as usize;
                    if held.shared {
                        finder.add(&held.pages, held.start as usize, n, Source::Held)?;
                    } else {
                        finder.add_own(held.start, n as u64, Source::Held)?;
                    }
                }
            }
            if v.huge_shift.get() != 0 {
                while let Some(run) = common.next_if(|run| (run.start.get() as usize) < end) {
                    finder.shared.push(*run, gfp())?;
                }
                continue;
            }
            let Private::Dup(dup) = &captured else {
                continue;
            };
            if flags & (vma_flags::DONTCOPY | vma_flags::WIPEONFORK) != 0 {
                continue;
            }
            let zero = &mut pages.zero;
            let report = &mut ctx.report;
            dup.for_each_range(start, end, |r| {
                let n = (r.end - r.start) / PAGE_SIZE;
                match (r.what, &r.common) {
                    (mm::Pages::Data, Some(common)) => {
                        finder.add(common, r.start, n, Source::Elsewhere)?;
                    }
                    (mm::Pages::Data, None) => {
                        finder.add_own(r.start as u64, n as u64, Source::Elsewhere)?;
                    }
                    (mm::Pages::Zero, _) => *zero += n as u64,
                    (mm::Pages::Guard, _) => (),
                    (mm::Pages::Other, _) => refuse_poisoned(report, start),
                }
                Ok(())
            })?;
        }
        space.head.base = choose_base(before, space)?.into();
        ctx.emit(Section::Mm, Kind::Mm, &space.head, &[&space.auxv])?;
        if !space.ldt.is_empty() {
            ctx.emit(Section::Mm, Kind::Ldt, &(), &[&space.ldt])?;
        }
        let mut extras = space.extras.iter().peekable();
        for v in &space.vmas {
            let start = v.start.get();
            // Those of mappings that were refused are passed over.
            while extras.next_if(|e| e.start < start).is_some() {}
            let extra = extras.next_if(|e| e.start == start);
            let name = extra.map_or(&[][..], |e| &e.name);
            ctx.emit(Section::Mm, Kind::Vma, v, &[name])?;
            if let Some(policy) = extra.and_then(|e| e.policy.as_ref()) {
                sched::emit_policy(ctx, Section::Mm, Kind::VmaPolicy, policy)?;
            }
        }
        emit_runs(ctx, Section::Mm, Kind::Guards, &(), &space.guards)?;
        if !space.shared.is_empty() {
            let shared = space.shared.as_bytes();
            ctx.emit(Section::Mm, Kind::SharedRuns, &(), &[shared])?;
        }
        if let Private::Changes(changes) = &space.pages {
            let head = wire::ParentRuns {
                mm: changes.parent.unwrap_or(0).into(),
                reserved: 0.into(),
            };
            let runs = &changes.unchanged;
            pages.of_parent += emit_runs(ctx, Section::Mm, Kind::ParentRuns, &head, runs)?;
        }
        pages.count += emit_runs(ctx, Section::Mm, Kind::Runs, &(), &space.runs)?;
    }
    ctx.report.subject(None);
    ctx.pages = pages;
    Ok(())
}

/// Emits a record of runs, if there are any; how many pages they have.
fn emit_runs<T: IntoBytes + Immutable>(
    ctx: &mut Checkpoint,
    section: Section,
    kind: Kind,
    head: &T,
    runs: &[Run],
) -> Result<u64> {
    if runs.is_empty() {
        return Ok(0);
    }
    let mut pages = 0;
    let mut tail = KVVec::with_capacity(size_of_val(runs), gfp())?;
    for run in runs {
        tail.extend_from_slice(run.wire.as_bytes(), gfp())?;
        pages += u64::from(run.wire.pages.get());
    }
    ctx.emit(section, kind, head, &[&tail])?;
    Ok(pages)
}

/// Takes back the context that the hooks get.
///
/// # Safety
///
/// `ctx` is the one that `checkpoint()` passes to a hook that is running.
unsafe fn context<'a>(ctx: *mut bindings::checkpoint_ctx) -> &'a mut Checkpoint {
    // SAFETY: by the requirements of this function.
    unsafe { &mut *ctx.cast() }
}

/// # Safety
///
/// Called as a hook of a mapping.
unsafe fn answer(ctx: *mut bindings::checkpoint_ctx, kind: u32) -> c_int {
    // SAFETY: by the requirements of this function the context is ours.
    unsafe { context(ctx) }.vma = Answer { kind };
    0
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a mapping.
#[export]
unsafe extern "C" fn filemap_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    _vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe { answer(ctx, vma_kind::FILE) }
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a mapping.
#[export]
unsafe extern "C" fn shmem_anon_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // Shared anonymous memory is private to the kernel; memfds are not.
    // SAFETY: by the requirements of this function.
    unsafe {
        let kind = if mm::is_anon_shm(vma) {
            vma_kind::SHM
        } else {
            vma_kind::FILE
        };
        answer(ctx, kind)
    }
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a mapping.
#[export]
unsafe extern "C" fn hugetlb_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe {
        let kind = if mm::is_anon_huge(vma) {
            vma_kind::SHM
        } else {
            vma_kind::FILE
        };
        answer(ctx, kind)
    }
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a mapping.
#[export]
unsafe extern "C" fn sysv_shm_checkpoint_mapping(
    ctx: *mut bindings::checkpoint_ctx,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: by the requirements of this function; a mapping of shared memory has a file,
    // which nobody has a descriptor of.
    let (met, file) = unsafe { (context(ctx), File::from_raw_file((*vma).vm_file)) };
    if let Err(e) = segments::meet(met, file) {
        return e.to_errno();
    }
    // SAFETY: by the requirements of this function.
    unsafe { answer(ctx, vma_kind::FILE) }
}

/// See include/linux/checkpoint.h.
///
/// # Safety
///
/// Called as a hook of a mapping.
#[export]
unsafe extern "C" fn special_mapping_checkpoint(
    ctx: *mut bindings::checkpoint_ctx,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: by the requirements of this function.
    unsafe {
        let kind = if arch::is_vdso_mapping(vma) {
            vma_kind::VDSO
        } else {
            0
        };
        answer(ctx, kind)
    }
}

/// Makes shared anonymous memory and fills it; called by init, in order.
pub(crate) fn restart_shm(rs: &mut Restart, head: &wire::Shm, runs: &[wire::Run]) -> Result {
    let flags = head.flags.get();
    let (size, huge_shift) = (head.size.get(), head.huge_shift.get());
    let file = match flags & wire::SHM_SEGMENT {
        0 => mm::new_shm(size, flags & wire::SHM_NORESERVE != 0, huge_shift)
            .map_err(|e| huge_failed(rs, head, e))?,
        _ => segments::memory(rs, head.id.get(), size, huge_shift)?,
    };
    let world = rs.world_mut()?;
    world.shms.push(file.clone(), GFP_KERNEL_ACCOUNT)?;
    let data = world.data.clone();
    // What fails here is the memory, what fails else is the image.
    let mut failed = false;
    for run in runs {
        let first = run.start.get() / PAGE_SIZE as u64;
        let pages = run.pages.get().into();
        let ret = data.lock().read_run(pages, |done, n, batch| {
            push_shm_pages(&file, first + done, n, batch).inspect_err(|_| failed = true)
        });
        ret.map_err(|e| match failed {
            true => huge_failed(rs, head, e),
            false => e,
        })?;
    }
    Ok(())
}

/// Adds pages of shared memory, made present, to `batch`.
pub(crate) fn push_shm_pages(
    file: &File,
    first: u64,
    count: usize,
    batch: &mut KVec<HeldPage>,
) -> Result {
    for index in first..first + count as u64 {
        batch.push(mm::shm_page(file, index)?, GFP_KERNEL)?;
    }
    Ok(())
}

/// What is to be said of huge pages that can't be had, and the error.
pub(crate) fn no_huge(e: Error) -> Option<((&'static str, &'static str), Error)> {
    match e {
        e if e == ENOMEM => Some((TOO_FEW_HUGE, e)),
        e if e == ENODEV || e == ENOENT => Some((NO_SUCH_HUGE, EOPNOTSUPP)),
        _ => None,
    }
}

/// The error, reported if it is that of huge pages, for memory that can't be made again.
fn huge_failed(rs: &mut Restart, head: &wire::Shm, e: Error) -> Error {
    let Some(((why, remedy), e)) = no_huge(e).filter(|_| head.huge_shift.get() != 0) else {
        return e;
    };
    // The first that maps it.
    let image = rs.image.clone();
    let meta = image.meta();
    let vmas = meta.records().filter(|r| r.kind == Kind::Vma);
    let mapping = vmas
        .filter_map(|r| r.head::<wire::Vma>().ok())
        .find(|v| v.kind.get() == vma_kind::SHM && v.object == head.id);
    rs.report.error(
        Item {
            object: mapping.map_or(Object::Job, |v| Object::Vma(v.start.get() as usize)),
            kind: "mapping",
            name: b"",
            why,
            remedy,
        },
        e,
    )
}

/// What of a mapping this version does not bring back: why.
fn refused_vma(mm: &wire::Mm, vma: &wire::Vma) -> Option<&'static str> {
    let why = "it was one of the vdso, and the image does not say where that is";
    (vma.kind.get() == vma_kind::VDSO && mm.vdso.get() == 0).then_some(why)
}

fn not_supported(rs: &mut Restart, object: Object, kind: &str, why: &str) -> Error {
    rs.report.error(
        Item {
            object,
            kind,
            name: b"",
            why,
            remedy: "restart with a kernel that can bring it back",
        },
        EOPNOTSUPP,
    )
}

/// Rebuilds the address space of the current task. Of all that tasks do this alone has
/// an order: the pages are read in that of the image.
pub(crate) fn restart(rs: &mut Restart, part: &Part, newborn: &mut Newborn) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let mut records = rs.defined_at(&meta, Class::Mm, part.task.mm.get())?;
    let record = records.next().ok_or(EINVAL)?;
    let head: wire::Mm = record.head().map_err(|_| EINVAL)?;
    let flags = head.flags.get();

    arch::restart_personality(newborn, flags);
    if let Some(owner) = rs.owner(Class::Mm)? {
        return mm::share_with_current(newborn, &owner.task);
    }
    let mm = NewMm::new(newborn)?;
    let set = Settings {
        flags: SETTINGS
            .iter()
            .filter(|(_, bit)| flags & bit != 0)
            .fold(0, |set, (is, _)| set | is),
        futex_hash: head.futex_hash.get(),
    };
    mm::begin_settings(&mm, &set).map_err(|e| {
        rs.report.error(
            Item {
                object: Object::Task,
                kind: "mdwe",
                name: b"",
                why: "its memory was not under the rules of PR_SET_MDWE that init has",
                remedy: "restart under an init without",
            },
            e,
        )
    })?;
    if flags & mm_flags::BINFMT != 0 && flags & mm_flags::IA32 == 0 {
        mm::inherit_binfmt(&rs.init_mm);
    }

    let mut at = 0..0;
    let mut huge: KVVec<wire::Vma> = KVVec::new();
    for record in records.clone().take_while(is_of_mm) {
        match record.kind {
            Kind::Ldt => {
                let entries = record.array::<wire::LdtEntry>().map_err(|_| EINVAL)?;
                arch::restart_ldt(entries)?;
            }
            Kind::Vma => {
                let vma: wire::Vma = record.head().map_err(|_| EINVAL)?;
                at = vma.start.get() as usize..vma.end.get() as usize;
                if let Some(why) = refused_vma(&head, &vma) {
                    let object = Object::Vma(vma.start.get() as usize);
                    return Err(not_supported(rs, object, "mapping", why));
                }
                if vma.huge_shift.get() != 0 {
                    huge.push(vma, GFP_KERNEL_ACCOUNT)?;
                }
                if vma.kind.get() != vma_kind::VDSO {
                    restart_vma(rs, &mm, &vma, record.tail()).map_err(|e| {
                        let (why, remedy) = match e {
                            e if e == ENOMEM && vma.huge_shift.get() != 0 => TOO_FEW_HUGE,
                            _ => ("could not be mapped again", ""),
                        };
                        rs.report.error(
                            Item {
                                object: Object::Vma(vma.start.get() as usize),
                                kind: "mapping",
                                name: b"",
                                why,
                                remedy,
                            },
                            e,
                        )
                    })?;
                }
            }
            Kind::VmaPolicy => {
                let policy = sched::policy(&record)?;
                mm::set_policy(&mm, at.start, at.len(), &policy).map_err(|e| {
                    rs.report.error(
                        Item {
                            object: Object::Vma(at.start),
                            kind: "mapping",
                            name: b"",
                            why: "its NUMA policy names nodes that are not there, or may not be \
                                  used here",
                            remedy: "restart on a machine with these nodes, or widen the cpuset",
                        },
                        e,
                    )
                })?;
            }
            _ => (),
        }
    }
    arch::restart_vdso(&mut rs.report, &mm, &head)?;

    let of_kind = |kind| {
        let of_mm = records.clone().take_while(is_of_mm);
        of_mm.filter(move |r| r.kind == kind)
    };
    share_pages(rs, &mm, &head, record.offset).map_err(|e| match huge.first() {
        Some(vma) => huge_page_failed(rs, vma, e),
        None => e,
    })?;
    touch_huge(rs, &huge, of_kind(Kind::Runs))?;
    // After that, for they give a mapping reverse mappings of its own.
    for_each_run(of_kind(Kind::Guards), &mut |start, pages| {
        mm::install_guards(&mm, start, pages as usize * PAGE_SIZE).map_err(|e| {
            rs.report.error(
                Item {
                    object: Object::Vma(start),
                    kind: "mapping",
                    name: b"",
                    why: "its guards (MADV_GUARD_INSTALL) could not be installed again",
                    remedy: "",
                },
                e,
            )
        })
    })?;
    read_pages(rs, of_kind(Kind::Runs))?;

    // All are there: they may merge from now on, as before.
    for record in records.take_while(is_of_mm).filter(|r| r.kind == Kind::Vma) {
        let vma: wire::Vma = record.head().map_err(|_| EINVAL)?;
        if vma.kind.get() == vma_kind::VDSO {
            continue;
        }
        let (start, end) = (vma.start.get() as usize, vma.end.get() as usize);
        let flags = vma.flags.get();
        mm::set_flags(&mm, start, to_kernel(flags) | pkey_flags(&vma)).map_err(|e| {
            rs.report.error(
                Item {
                    object: Object::Vma(start),
                    kind: "mapping",
                    name: b"",
                    why: "could not be made mergeable or sealed as it was",
                    remedy: match e {
                        e if e == EINVAL => "restart with a kernel that has KSM",
                        _ => "",
                    },
                },
                e,
            )
        })?;
        if flags & vma_flags::LOCKED != 0 && flags & vma_flags::LOCKONFAULT == 0 {
            mm::lock(start, end - start)?;
        }
    }

    let auxv: KVec<usize> = {
        let mut words = KVec::new();
        for word in record.tail().chunks_exact(8) {
            let word = word.try_into().map_err(|_| EINVAL)?;
            words.push(usize::from_le_bytes(word), GFP_KERNEL)?;
        }
        words
    };
    let exe = files::program(rs, head.exe_file.get())?;
    mm::set_layout(
        &mm,
        &Layout {
            start_code: head.start_code.get() as usize,
            end_code: head.end_code.get() as usize,
            start_data: head.start_data.get() as usize,
            end_data: head.end_data.get() as usize,
            start_brk: head.start_brk.get() as usize,
            brk: head.brk.get() as usize,
            start_stack: head.start_stack.get() as usize,
            arg_start: head.arg_start.get() as usize,
            arg_end: head.arg_end.get() as usize,
            env_start: head.env_start.get() as usize,
            env_end: head.env_end.get() as usize,
            mmap_base: head.mmap_base.get() as usize,
            mmap_compat_base: head.mmap_compat_base.get() as usize,
            hiwater_rss: head.hiwater_rss.get() as usize,
            hiwater_vm: head.hiwater_vm.get() as usize,
            coredump_filter: head.coredump_filter.get(),
            membarrier: head.membarrier.get(),
            topdown: flags & mm_flags::TOPDOWN != 0,
            lock_future: flags & mm_flags::LOCK_FUTURE != 0,
            lock_future_onfault: flags & mm_flags::LOCK_FUTURE_ONFAULT != 0,
            has_binfmt: flags & mm_flags::BINFMT != 0,
        },
        &auxv,
        exe.as_deref(),
    )?;
    mm::end_settings(&mm, &set).map_err(|e| {
        let (why, remedy) = match e {
            e if e == ENOMEM || e == EINTR => {
                ("what prctl(2) has set for its memory could not be set", "")
            }
            _ => (
                "this kernel has not what prctl(2) has set for its memory",
                "restart with a kernel that has KSM, and private hashes for futexes",
            ),
        };
        rs.report.error(
            Item {
                object: Object::Task,
                kind: "mm",
                name: b"",
                why,
                remedy,
            },
            e,
        )
    })
}

/// Whether a record belongs to the Mm record before it.
fn is_of_mm(r: &Record<'_>) -> bool {
    matches!(
        r.kind,
        Kind::Ldt | Kind::Vma | Kind::VmaPolicy | Kind::Guards | Kind::SharedRuns | Kind::Runs
    )
}

/// Calls `f` for the address and the number of pages of each run in some records.
fn for_each_run<'a>(
    records: impl Iterator<Item = Record<'a>>,
    f: &mut dyn FnMut(usize, u64) -> Result,
) -> Result {
    for record in records {
        for run in record.array::<wire::Run>().map_err(|_| EINVAL)? {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            f(run.start.get() as usize, run.pages.get().into())?;
        }
    }
    Ok(())
}

/// The error, reported, for a mapping whose huge pages can't be had.
fn huge_page_failed(rs: &mut Restart, vma: &wire::Vma, e: Error) -> Error {
    // For who touches it that would be SIGBUS.
    if e != EFAULT && e != ENOMEM {
        return e;
    }
    let (why, remedy) = TOO_FEW_HUGE;
    rs.report.error(
        Item {
            object: Object::Vma(vma.start.get() as usize),
            kind: "mapping",
            name: b"",
            why,
            remedy,
        },
        ENOMEM,
    )
}

/// Makes the huge pages of the current address space present that are to be read: of those that
/// are not reserved there may be too few.
fn touch_huge<'a>(
    rs: &mut Restart,
    huge: &[wire::Vma],
    runs: impl Iterator<Item = Record<'a>>,
) -> Result {
    if huge.is_empty() {
        return Ok(());
    }
    let mut held = KVec::new();
    for_each_run(runs, &mut |start, pages| {
        let (start, end) = (start as u64, start as u64 + pages * PAGE_SIZE as u64);
        let passed = huge.partition_point(|vma| vma.end.get() <= start);
        let within = huge.get(passed..).unwrap_or(&[]);
        for vma in within.iter().take_while(|vma| vma.start.get() < end) {
            let size = 1u64 << vma.huge_shift.get();
            let mut at = vma.start.get().max(start);
            while at < vma.end.get().min(end) {
                mm::hold_current_for_write(at as usize, 1, &mut held)
                    .map_err(|e| huge_page_failed(rs, vma, e))?;
                held.clear();
                at = (at & !(size - 1)).saturating_add(size);
            }
        }
        Ok(())
    })
}

/// Gives the current address space the pages that it has in common with others, which are there
/// already: those of one of them as after fork(2), the rest as copies.
fn share_pages(rs: &Restart, mm: &NewMm<'_>, head: &wire::Mm, offset: u64) -> Result {
    let image = rs.image.clone();
    let meta = image.meta();
    let (runs, _) = verify::runs_of(&meta, offset).map_err(|_| EINVAL)?;
    if runs.is_empty() {
        return Ok(());
    }
    let (base, base_runs) = match head.base.get() {
        0 => (None, &[][..]),
        id => {
            let at = rs.defined_at(&meta, Class::Mm, id)?;
            let at = at.clone().next().ok_or(EINVAL)?.offset;
            let (base_runs, _) = verify::runs_of(&meta, at).map_err(|_| EINVAL)?;
            (Some(rs.space(id)?), base_runs)
        }
    };
    // First all that is inherited, while there is nothing where it goes, and that of the base
    // before that of others.
    let mut others: KVVec<SharedPart> = KVVec::new();
    for_each_shared(runs, head.base.get(), base_runs, |part, same| {
        match base.as_ref().filter(|_| same) {
            Some(base) => inherit(mm, base, part, &mut others),
            None => others.push(part, GFP_KERNEL_ACCOUNT).map_err(Into::into),
        }
    })?;
    let mut copies: KVVec<SharedPart> = KVVec::new();
    let mut spaces = Spaces::default();
    for part in others {
        if part.start == part.from {
            inherit(mm, spaces.get(rs, part.mm)?, part, &mut copies)?;
        } else {
            copies.push(part, GFP_KERNEL_ACCOUNT)?;
        }
    }
    copy_pages(rs, &copies)
}

/// Inherits pages, but for those that can't be, which are added to `rest`.
fn inherit(
    mm: &NewMm<'_>,
    from: &MmWithUser,
    mut part: SharedPart,
    rest: &mut KVVec<SharedPart>,
) -> Result {
    while part.start < part.end {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let (to, inherited) = mm::inherit(mm, from, part.start as usize, part.end as usize)?;
        let to = to as u64;
        if !inherited {
            rest.push(SharedPart { end: to, ..part }, GFP_KERNEL_ACCOUNT)?;
        }
        part.from = part.from.wrapping_add(to.wrapping_sub(part.start));
        part.start = to;
    }
    Ok(())
}

/// The address space that was asked for last, with its id.
#[derive(Default)]
struct Spaces(Option<(u32, ARef<MmWithUser>)>);

impl Spaces {
    fn get(&mut self, rs: &Restart, id: u32) -> Result<&MmWithUser> {
        let last = match self.0.take().filter(|(last, _)| *last == id) {
            Some(last) => last,
            None => (id, rs.space(id)?),
        };
        Ok(&self.0.insert(last).1)
    }
}

/// Copies pages of other address spaces, which are there already, to the current one.
fn copy_pages(rs: &Restart, parts: &[SharedPart]) -> Result {
    let mut spaces = Spaces::default();
    let (mut to, mut from) = (KVec::new(), KVec::new());
    for part in parts {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let other = spaces.get(rs, part.mm)?;
        let (mut at, mut of) = (part.start as usize, part.from as usize);
        while at < part.end as usize {
            let n = BATCH.min((part.end as usize - at) / PAGE_SIZE);
            mm::hold_pages_of(other, of, n, &mut from)?;
            mm::hold_current_for_write(at, n, &mut to)?;
            for (to, from) in Iterator::zip(to.iter_mut(), from.iter()) {
                HeldPage::copy_from(to, from);
            }
            to.clear();
            from.clear();
            at += n * PAGE_SIZE;
            of += n * PAGE_SIZE;
        }
    }
    Ok(())
}

/// How many pages a task holds before it is its turn to read them.
const AHEAD: u64 = 4 * BATCH as u64;

/// Reads the pages of the current address space, when it is its turn.
fn read_pages<'a>(rs: &Restart, runs: impl Iterator<Item = Record<'a>> + Clone) -> Result {
    // To make them present takes as long as to read them, and can be done out of turn.
    // Not all of a large one: many would be, at the same time, before they are needed.
    let mut left = AHEAD;
    let mut ahead = KVec::new();
    for_each_run(runs.clone(), &mut |start, pages| {
        let n = pages.min(left);
        left -= n;
        match n {
            0 => Ok(()),
            n => mm::hold_current_for_write(start, n as usize, &mut ahead),
        }
    })?;

    rs.wait_for_data()?;
    let mut data = rs.data.lock();
    // Small runs, of which there are many, are read together.
    data.read_pages(&ahead)?;
    drop(ahead);
    let mut left = AHEAD;
    for_each_run(runs, &mut |start, pages| {
        let n = pages.min(left);
        left -= n;
        let start = start + n as usize * PAGE_SIZE;
        data.read_run(pages - n, |done, n, batch| {
            mm::hold_current_for_write(start + done as usize * PAGE_SIZE, n, batch)
        })
    })?;
    drop(data);
    rs.data_is_read()
}

fn pkey_flags(vma: &wire::Vma) -> vm_flags_t {
    mm::pkey_flags(vma.pkey.get())
}

fn restart_vma(rs: &Restart, mm: &NewMm<'_>, vma: &wire::Vma, name: &[u8]) -> Result {
    let flags = vma.flags.get();
    let shared = flags & vma_flags::MAYSHARE != 0;
    let file = match vma.kind.get() {
        vma_kind::FILE => Some(rs.mapped_file(vma.object.get(), shared)?.ok_or(EINVAL)?),
        vma_kind::SHM => Some(rs.shm(vma.object.get())?),
        _ => None,
    };
    // The rest of its places mmap(2) checks.
    if file.as_ref().map_or(0, |file| mm::huge_shift(file)) != vma.huge_shift.get() {
        return Err(EINVAL);
    }
    let mut prot = 0;
    for (bit, p) in [
        (vma_flags::READ, bindings::PROT_READ),
        (vma_flags::WRITE, bindings::PROT_WRITE),
        (vma_flags::EXEC, bindings::PROT_EXEC),
    ] {
        if flags & bit != 0 {
            prot |= p;
        }
    }
    // Private memory that was writable once stays counted when it is not any
    // more; the right is taken back below, before there are pages.
    if !shared && flags & vma_flags::ACCOUNT != 0 {
        prot |= bindings::PROT_WRITE;
    }
    let mut map = if shared {
        bindings::MAP_SHARED
    } else if flags & vma_flags::DROPPABLE != 0 {
        bindings::MAP_DROPPABLE
    } else {
        bindings::MAP_PRIVATE
    };
    for (bit, m) in [
        (vma_flags::GROWSDOWN, bindings::MAP_GROWSDOWN),
        (vma_flags::NORESERVE, bindings::MAP_NORESERVE),
        (vma_flags::UNRESERVED, bindings::MAP_NORESERVE),
    ] {
        if flags & bit != 0 {
            map |= m;
        }
    }
    if file.is_none() {
        map |= bindings::MAP_ANONYMOUS;
    }
    let (start, end) = (vma.start.get() as usize, vma.end.get() as usize);
    mm::map(&MapRequest {
        start,
        len: end.checked_sub(start).ok_or(EINVAL)?,
        prot,
        flags: map,
        pgoff: if file.is_some() {
            vma.offset.get() as usize / PAGE_SIZE
        } else {
            0
        },
        file: file.as_deref(),
        lock: flags & vma_flags::LOCKED != 0,
    })?;
    // Huge pages that may only be read are not marked when the kernel writes to them, for
    // which they have to be, or count as, soft-dirty.
    let for_now = match vma.huge_shift.get() {
        0 => vm::DONTEXPAND,
        _ => vm::DONTEXPAND | vm::SOFTDIRTY,
    };
    mm::set_flags(mm, start, to_kernel(flags) | pkey_flags(vma) | for_now)?;
    if name.is_empty() {
        return Ok(());
    }
    mm::set_name(mm, start, name)
}
