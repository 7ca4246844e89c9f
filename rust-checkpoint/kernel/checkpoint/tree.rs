// SPDX-License-Identifier: GPL-2.0-only

//! The tasks of a restart: created, rebuilt, let go together.
//!
//! Each task is created by its parent, so that the tree is real: init creates
//! those that were its children, and each of them, before it does anything
//! else, its own. Then it rebuilds itself, at the same time as the others; a
//! process that has its memory creates its threads, and once it is done these
//! rebuild what is theirs. All wait at a barrier. When all are there init gives
//! them their process groups, sessions and registers and lets them go. If anything
//! fails before, all of them are killed and reaped.
//!
//! Tasks wait for each other in three cases: who shares something for the one who
//! rebuilds it, a thread for the leader of its process, and whoever reads page data
//! for the one whose data comes before, for it is in the order of the image. The
//! tasks have an order ([`build_order`]) in which all of these come before those
//! that wait for them. Thus there is always one that waits for nobody; and the first
//! one in this order that fails is the one that is reported, whichever fails first.
//!
//! A process group or session whose leader is gone keeps its number as long as
//! it has members. A task stands in for that leader until they have joined, in the
//! pid namespace that the leader was in, whose init creates it.

use crate::{
    arch,
    files,
    image::{
        parse::Meta,
        record::{
            self as wire,
            Kind, //
        },
    },
    objhash::Class,
    proc,
    report::{
        Item,
        Object,
        Report, //
    },
    restart::{
        Image,
        Owner,
        Part,
        Restart,
        World, //
    },
    rlimits,
    segments,
    sockets,
    sort,
    task,
    timers,
    usage,
    zombie, //
};
use kernel::{
    checkpoint::{
        clone::{
            clone_with_pid,
            leave_unreaped,
            reap,
            set_exit_signal,
            set_groups,
            set_parent,
            unshare_pid_ns,
            wait_in_vfork,
            Body,
            Newborn,
            Next,
            What, //
        },
        event::Event,
        file::new_table_for_current,
        park::Planned,
        task::{
            fatal_signal_pending,
            sync_cpu_timers,
            Patience,
            Still,
            TaskExt, //
        },
    },
    mm::MmWithUser,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    task::Task,
};
use zerocopy::little_endian::I32;

/// The state all tasks of a restart share.
#[pin_data]
pub(crate) struct Job {
    /// What they are rebuilt from, until they have been: a task that waits in vfork(2) must
    /// not keep files open that it does not have.
    #[pin]
    world: Mutex<Option<Arc<World>>>,
    /// They themselves, in the order of the image, as long as they are created.
    #[pin]
    children: Mutex<KVVec<Arc<Child>>>,
    /// Those that are to be zombies die.
    #[pin]
    end: Event,
    #[pin]
    go: Event,
    /// There are all processes, or no more are made.
    #[pin]
    all_born: Event,
    aborted: Atomic<u32>,
    /// Who rebuilds which address space: ids, ascending, and positions.
    builders: SetOnce<KVVec<(u32, usize)>>,
}

impl Job {
    /// A restart without tasks yet.
    fn new(world: Arc<World>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                world <- kernel::new_mutex!(Some(world)),
                children <- kernel::new_mutex!(KVVec::new()),
                end <- Event::new(),
                go <- Event::new(),
                all_born <- Event::new(),
                aborted: Atomic::new(0),
                builders: SetOnce::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }
}

impl Job {
    /// What the tasks are rebuilt from.
    fn world(&self) -> Result<Arc<World>> {
        self.world.lock().clone().ok_or(ESRCH)
    }

    /// `EINTR` where it was given up.
    fn go_on(&self) -> Result {
        match self.aborted.load(Acquire) {
            0 => Ok(()),
            _ => Err(EINTR),
        }
    }
}

/// From which tasks one has what it shares; positions of those that rebuild it. None for
/// what it rebuilds itself, and for what it does not have.
#[derive(Clone, Copy, Default)]
struct Sources {
    mm: Option<usize>,
    sighand: Option<usize>,
    files: Option<usize>,
    fs: Option<usize>,
    io: Option<usize>,
    undo: Option<usize>,
    cookie: Option<usize>,
}

impl Sources {
    fn of(&mut self, class: Class) -> Result<&mut Option<usize>> {
        Ok(match class {
            Class::Mm => &mut self.mm,
            Class::Sighand => &mut self.sighand,
            Class::FdTable => &mut self.files,
            Class::Fs => &mut self.fs,
            Class::IoContext => &mut self.io,
            Class::SemUndo => &mut self.undo,
            Class::CoreCookie => &mut self.cookie,
            _ => return Err(EINVAL),
        })
    }
}

/// A task that rebuilds itself.
#[pin_data]
pub(crate) struct Child {
    job: Arc<Job>,
    part: Part,
    /// From whom it has what it shares.
    sources: Sources,
    /// Position of the task whose page data comes after its own.
    next: Option<usize>,
    /// Position of the leader of its thread group.
    leader: Option<usize>,
    /// Positions of its children among those of the job. References would be
    /// dropped one within the other, on a stack that has an end.
    kids: KVVec<usize>,
    /// Those who stand for leaders that were in the pid namespace that it is the init of.
    holders: KVVec<Arc<Holder>>,
    /// The task, once it was created.
    task: SetOnce<ARef<Task>>,
    /// Its children were created, or one could not be.
    #[pin]
    born: Event,
    /// They all were.
    has_children: Atomic<u32>,
    /// The task as it has found itself, maybe before who created it has.
    own: SetOnce<ARef<Task>>,
    /// Its page data is next.
    #[pin]
    turn: Event,
    /// It has what it shares, but for its I/O context.
    #[pin]
    built: Event,
    /// It waits at the barrier, or failed.
    #[pin]
    done: Event,
    /// It has its last register, or goes to its exit.
    #[pin]
    gone: Event,
    /// Its parent has made the pid namespace that it is the init of, by unshare(2).
    first_of_ns: bool,
    /// Position of the child that it waits for in vfork(2).
    vfork: Option<usize>,
    /// Position of the task that waits in vfork(2) for this one.
    waiter: Option<usize>,
    /// The waiter will be told when this one lets it go on.
    #[pin]
    attached: Event,
    /// 0 or a negative errno.
    result: Atomic<i32>,
    /// Why it failed.
    #[pin]
    report: Mutex<Option<Report>>,
    /// The value of the register that the kernel overwrites on the way out.
    ax: Atomic<u64>,
}

impl Child {
    fn result(&self) -> Result {
        match self.result.load(Acquire) {
            0 => Ok(()),
            e => Err(Error::from_errno(e)),
        }
    }

    fn pid(&self) -> i32 {
        self.part.task.pid.get()
    }

    fn subject(&self) -> Option<(i32, [u8; 16])> {
        Some((self.pid(), self.part.task.comm))
    }

    /// Creates the task, as a child of the current one, which reports why that fails.
    fn create(self: &Arc<Self>, rs: &mut Restart) -> Result {
        let pids = self.part.pids(&rs.image.meta())?;
        let what = match () {
            () if !self.part.is_group_leader() => What::Thread,
            () if self.part.is_init() && !self.first_of_ns => What::InitOfPidNs,
            () => What::Process,
        };
        let task = clone_with_pid(self.clone(), &pids, what).map_err(|e| {
            let why = if e == EEXIST {
                "its pid is taken"
            } else {
                "could not be created with its pid"
            };
            rs.report.subject(self.subject());
            // Whoever is being killed creates nobody.
            let e = if e == ERESTARTNOINTR { EINTR } else { e };
            rs.report.error(
                Item {
                    object: Object::Task,
                    kind: "pid",
                    name: b"",
                    why,
                    remedy: "restart in a fresh pid namespace",
                },
                e,
            )
        })?;
        self.task.populate(task);
        Ok(())
    }

    /// What a task that is being killed reports.
    fn killed(&self) -> Report {
        let mut report = Report::new("restart");
        report.subject(self.subject());
        report.error(
            Item {
                object: Object::Task,
                kind: "signal",
                name: b"",
                why: "was killed while it was created again",
                remedy: "try again",
            },
            EINTR,
        );
        report
    }

    /// Its children that are processes, or its threads.
    fn kids(&self, threads: bool) -> Result<KVVec<Arc<Child>>> {
        let children = self.job.children.lock();
        let mut kids = KVVec::new();
        for &kid in &self.kids {
            let kid = children.get(kid).ok_or(EINVAL)?;
            if kid.part.is_group_leader() != threads {
                kids.push(kid.clone(), GFP_KERNEL_ACCOUNT)?;
            }
        }
        Ok(kids)
    }

    fn create_threads(&self, rs: &mut Restart) -> Result {
        let threads = self.kids(true)?;
        threads.iter().try_for_each(|thread| thread.create(rs))
    }

    /// Creates its children: those that are in a pid namespace which it has made
    /// for them after the others, their init first.
    fn create_children(&self, rs: &mut Restart) -> Result {
        self.holders.iter().try_for_each(|h| h.create(rs))?;
        let own = self.part.task.children_ns;
        let kids = self.kids(false)?;
        let in_own = |kid: &&Arc<Child>| own != 0 && kid.part.task.pid_ns == own;
        kids.iter()
            .filter(|k| !in_own(k))
            .try_for_each(|kid| kid.create(rs))?;
        if own == 0 {
            return Ok(());
        }
        unshare_pid_ns()?;
        let init = |kid: &&Arc<Child>| kid.part.is_init();
        kids.iter()
            .filter(in_own)
            .filter(init)
            .try_for_each(|kid| kid.create(rs))?;
        let mut others = kids.iter().filter(in_own).filter(|k| !init(k));
        others.try_for_each(|kid| kid.create(rs))
    }

    /// Creates its children and rebuilds itself.
    fn build(&self, rs: &mut Restart, newborn: &mut Newborn) -> Result {
        if !self.part.is_group_leader() {
            self.born.happen_for_all();
            // What belongs to the process comes first, and may be more than it will be
            // allowed to have.
            let leader = self.leader.and_then(|at| self.other(Some(at)));
            leader.ok_or(EINVAL)?.wait_done()?;
            rs.report.subject(self.subject());
            task::restart_thread(rs, &self.part, newborn)?;
            self.built.happen_for_all();
            return Ok(());
        }
        // Init's descriptors are not for the job, and one of them may be the
        // other end of the pipe that the image comes from.
        new_table_for_current()?;
        self.create_children(rs)?;
        self.has_children.store(1, Release);
        self.born.happen_for_all();
        self.job.go_on()?;
        rs.report.subject(self.subject());
        if self.part.is_zombie() {
            return zombie::restart(rs, &self.part, newborn);
        }
        task::restart(rs, &self.part, newborn)?;
        self.built.happen_for_all();
        self.create_threads(rs)?;
        task::restart_rights(rs, &self.part, newborn)
    }

    /// Waits until the task is done, for another one of the job.
    fn wait_done(&self) -> Result {
        self.done.wait_killable().map_err(|_| EINTR)?;
        self.job.go_on()?;
        // That one says why.
        self.result().map_err(|_| EINTR)
    }

    /// See [`Restart::owner`].
    pub(crate) fn owner(&self, class: Class) -> Result<Option<Owner>> {
        let Some(at) = *{ self.sources }.of(class)? else {
            return Ok(None);
        };
        let other = self.other(Some(at)).ok_or(ESRCH)?;
        // What is given out with the rights of init, at the end.
        let last = matches!(class, Class::IoContext | Class::SemUndo | Class::CoreCookie);
        if last {
            other.wait_done()?;
        } else {
            other.built.wait_killable().map_err(|_| EINTR)?;
            self.job.go_on()?;
        }
        Ok(Some(Owner {
            task: other.own.as_ref().ok_or(ESRCH)?.clone(),
            mm: other.part.task.mm.get(),
        }))
    }

    /// See [`Restart::space`].
    pub(crate) fn space(&self, mm: u32) -> Result<ARef<MmWithUser>> {
        // Nobody waits for one that comes after it.
        if mm >= self.part.task.mm.get() {
            return Err(EINVAL);
        }
        let builders = self.job.builders.as_ref().ok_or(EINVAL)?;
        let nth = builders.binary_search_by_key(&mm, |(id, _)| *id);
        let at = nth
            .ok()
            .and_then(|nth| builders.get(nth))
            .map(|(_, at)| *at);
        let other = self.other(at).ok_or(EINVAL)?;
        other.built.wait_killable().map_err(|_| EINTR)?;
        self.job.go_on()?;
        other
            .own
            .as_ref()
            .and_then(|task| task.mm_ref())
            .ok_or(ESRCH)
    }

    /// See [`Restart::wait_for_data`].
    pub(crate) fn wait_for_data(&self) -> Result {
        self.turn.wait_killable().map_err(|_| EINTR)?;
        self.job.go_on()
    }

    /// See [`Restart::wait_for_processes`].
    pub(crate) fn wait_for_processes(&self) -> Result {
        self.job.all_born.wait_killable().map_err(|_| EINTR)?;
        self.job.go_on()
    }

    /// See [`Restart::data_is_read`].
    pub(crate) fn data_is_read(&self) -> Result {
        if let Some(at) = self.next {
            self.other(Some(at)).ok_or(ESRCH)?.turn.happen_for_all();
        }
        Ok(())
    }
}

impl Child {
    /// Another task of the job.
    fn other(&self, at: Option<usize>) -> Option<Arc<Child>> {
        self.job.children.lock().get(at?).cloned()
    }

    /// Waits until whoever waits in vfork(2) for this task will be told.
    fn wait_attached(&self) {
        if self.waiter.is_some() && self.job.aborted.load(Acquire) == 0 {
            self.attached.wait();
        }
    }

    /// Waits in vfork(2) for the child that it waited for.
    fn wait_in_vfork(&self, newborn: &Newborn, kid: &Child) -> Result {
        let task = kid.task.as_ref().ok_or(ESRCH)?;
        wait_in_vfork(newborn, task, || {
            kid.attached.happen_for_all();
            self.wait_attached();
            // All of its registers but the one that says who the child was.
            self.gone.happen_for_all();
        })
    }

    /// The last of what it does for the restart.
    fn last_work(self: &Arc<Self>) -> Result<Planned<impl FnOnce() + Send + 'static>> {
        let me = self.clone();
        // Also run by a task that dies on the way.
        Planned::new(move || {
            arch::set_syscall_register(me.ax.load(Acquire));
            me.gone.happen_for_all();
        })
    }

    /// What follows the barrier, for one that goes to user mode. Fails where it is killed.
    fn leave(
        self: &Arc<Self>,
        newborn: &mut Newborn,
        kid: Option<&Child>,
        last: Planned<impl FnOnce() + Send + 'static>,
    ) -> Result {
        // Nothing before this point was visible, everything after it is.
        let rs = Restart::of_task(self.job.world()?, self.clone());
        task::release(&rs, &self.part)?;
        drop(rs);
        match kid {
            Some(kid) => self.wait_in_vfork(newborn, kid)?,
            None => self.wait_attached(),
        }
        last.queue()
    }
}

impl Body for Child {
    fn run(self: Arc<Self>, newborn: &mut Newborn) -> Next {
        // Init may let go of all of them, should it die, before this one has looked.
        let kid = self.other(self.vfork);
        let task: &Task = current!();
        self.own.populate(task.into());
        let ret = self.job.world().and_then(|world| {
            let mut rs = Restart::of_task(world, self.clone());
            self.build(&mut rs, newborn).map_err(|mut e| {
                // Whoever is being killed gets no memory either, for one: that is not why.
                if fatal_signal_pending() {
                    rs.report = self.killed();
                    e = EINTR;
                }
                *self.report.lock() = Some(rs.report);
                e
            })
        });
        let ret = ret.and_then(|()| self.last_work());
        let ok = ret.is_ok();
        self.result
            .store(ret.as_ref().err().map_or(0, |e| e.to_errno()), Release);
        self.born.happen_for_all();
        self.done.happen_for_all();
        let (barrier, mut next) = match self.part.is_dead() {
            true => (&self.job.end, None),
            false => (&self.job.go, Some(Next::UserMode)),
        };
        // Not killably: init sets the registers of one that stands still, and looks itself
        // whether it was killed. One that has failed dies when init has seen why, and no other
        // thread of its process before that.
        barrier.wait_idle();
        if !ok || self.job.aborted.load(Acquire) != 0 {
            next = None;
        } else if self.part.is_leader_gone() {
            next = Some(Next::Exit);
        } else if let (Some(_), Ok(last)) = (next, ret) {
            if self.leave(newborn, kid.as_deref(), last).is_err() {
                next = None;
            }
        }
        if next != Some(Next::UserMode) {
            // Whoever waits for somebody that dies must not miss it.
            if let Some(kid) = kid {
                kid.attached.happen_for_all();
            }
            if ok {
                self.wait_attached();
            }
            self.gone.happen_for_all();
        }
        match next {
            Some(next) => next,
            None => {
                current!().kill();
                Next::UserMode
            }
        }
    }
}

/// Stands for the leader of a process group or session that is gone.
#[pin_data]
struct Holder {
    pid: i32,
    /// Its numbers, innermost pid namespace first, the last one in that of the job.
    pids: KVec<i32>,
    job: Arc<Job>,
    task: SetOnce<ARef<Task>>,
}

impl Holder {
    fn new(job: &Arc<Job>, pids: KVec<i32>) -> Result<Arc<Self>> {
        let pid = *pids.last().ok_or(EINVAL)?;
        Arc::pin_init(
            pin_init!(Self {
                pid,
                pids,
                job: job.clone(),
                task: SetOnce::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whether the init of a pid namespace of the job's own creates it.
    fn is_nested(&self) -> bool {
        self.pids.len() > 1
    }

    /// Creates the task, as a child of the current one.
    fn create(self: &Arc<Self>, rs: &mut Restart) -> Result {
        let task = clone_with_pid(self.clone(), &self.pids, What::Process).map_err(|e| {
            rs.report.subject(None);
            rs.report.error(
                Item {
                    object: Object::Job,
                    kind: "pid",
                    name: b"",
                    why: if e == EEXIST {
                        "the number of a process group or session is taken"
                    } else {
                        "the number of a process group or session could not be had"
                    },
                    remedy: "restart in a fresh pid namespace",
                },
                e,
            )
        })?;
        self.task.populate(task);
        Ok(())
    }
}

impl Body for Holder {
    fn run(self: Arc<Self>, _newborn: &mut Newborn) -> Next {
        // One of init's descriptors may be the other end of the pipe that the
        // image comes from. Whether this works is no matter: it is gone soon.
        let _ = new_table_for_current();
        let _ = self.job.end.wait_killable();
        Next::Exit
    }
}

/// The numbers of a process group or session below the namespace of the job.
struct Group {
    /// The init of the namespace that its leader was in.
    pid_ns: i32,
    /// Innermost namespace first.
    numbers: KVec<i32>,
}

impl Group {
    /// Those of the image, by their numbers in the namespace of the job.
    fn all(meta: &Meta<'_>) -> Result<RBTree<i32, Self>> {
        let mut groups = RBTree::new();
        for record in meta.records().filter(|r| r.kind == Kind::Group) {
            let head: wire::Group = record.head().map_err(|_| EINVAL)?;
            let mut numbers = KVec::new();
            for nr in record.array::<I32>().map_err(|_| EINVAL)? {
                numbers.push(nr.get(), GFP_KERNEL_ACCOUNT)?;
            }
            let pid_ns = head.pid_ns.get();
            let group = Self { pid_ns, numbers };
            if groups
                .try_create_and_insert(head.id.get(), group, GFP_KERNEL_ACCOUNT)?
                .is_some()
            {
                return Err(EINVAL);
            }
        }
        Ok(groups)
    }
}

/// The tasks of an image as a tree, before they are created.
struct Tree {
    /// In the order of the image, which is that of the page data.
    children: KVVec<Arc<Child>>,
    /// Positions in `children`: parents before their children.
    order: KVVec<usize>,
    /// How many of `order` are children of init.
    roots: usize,
    /// Positions in `children`: those who are waited for before those who wait.
    build: KVVec<usize>,
    /// Positions in `children`, by pid.
    by_pid: RBTree<i32, usize>,
    /// Those who stand for leaders that are gone.
    holders: KVVec<Arc<Holder>>,
}

/// Positions of the tasks that each task creates, and of those that init does.
struct Kids {
    of: KVVec<KVVec<usize>>,
    of_init: KVVec<usize>,
    by_pid: RBTree<i32, usize>,
}

/// Who makes a task, by pid: its parent, or the leader of its threads. None if it can't be
/// in its pid namespace.
///
/// `creator` is that one, if it is of the job. One that is in a pid namespace which its
/// parent is not in, and has not made, has lost the one that had (unshare(2)): the init of
/// the namespace makes it, and gives it away ([`Tree::adopt`]).
fn maker<'a>(
    part: &Part,
    creator: Option<&Part>,
    with_pid: impl Fn(i32) -> Option<&'a Part>,
    meta: &Meta<'_>,
) -> Result<Option<i32>> {
    let pids = part.pids(meta)?;
    let depth = |p: Option<&Part>| p.map_or(Ok(1), |p| p.pids(meta).map(|pids| pids.len()));
    let (of_creator, own) = match creator {
        Some(creator) => (creator.task.pid_ns.get(), creator.task.children_ns.get()),
        None => (0, 0),
    };
    let ns = part.task.pid_ns.get();
    let init = with_pid(ns).filter(|i| i.is_init() && i.is_group_leader());
    // Those it has made for its children: with the first of them. When that one exits,
    // nobody else stays there.
    if ns != 0 && !init.is_some_and(|i| part.is_init() || !i.is_zombie()) {
        return Ok(None);
    }
    if part.is_init() != (ns != 0 && pids.first() == Some(&1)) {
        return Ok(None);
    }
    let below = ns != of_creator;
    if !part.is_group_leader() && below {
        return Ok(None);
    }
    let mut maker = part.creator();
    if let Some(init) = init.filter(|_| below && !part.is_init()) {
        if ns == own {
            // Who is in a namespace made by unshare(2) has the same parent as its init.
            if init.creator() != part.creator() {
                return Ok(None);
            }
        } else {
            // Its parent is where the one that made it was.
            if with_pid(init.creator()).map_or(0, |p| p.task.pid_ns.get()) != of_creator {
                return Ok(None);
            }
            maker = init.task.pid.get();
        }
    } else if below && !part.is_init() {
        return Ok(None);
    }
    Ok((pids.len() == depth(creator)? + usize::from(below)).then_some(maker))
}

impl Kids {
    /// `EINVAL` where two tasks have the same pid, where a thread has no leader, or
    /// not the memory and signal actions of its leader, and where a parent, or a
    /// thread of it, is none.
    fn new(parts: &[Part], meta: &Meta<'_>) -> Result<Self> {
        let mut by_pid = RBTree::new();
        let mut of = KVVec::with_capacity(parts.len(), GFP_KERNEL_ACCOUNT)?;
        for (i, part) in parts.iter().enumerate() {
            let pid = part.task.pid.get();
            if by_pid
                .try_create_and_insert(pid, i, GFP_KERNEL_ACCOUNT)?
                .is_some()
            {
                return Err(EINVAL);
            }
            of.push(KVVec::new(), GFP_KERNEL_ACCOUNT)?;
        }
        let mut of_init = KVVec::new();
        // In the order of their pids, which is the one that a parent had them in, as a rule.
        for (_, &i) in by_pid.iter() {
            let Some(part) = parts.get(i) else {
                continue;
            };
            let with_pid = |pid: i32| by_pid.get(&pid).and_then(|&at| parts.get(at));
            let creator = with_pid(part.creator());
            if !part.is_group_leader() {
                let leader = creator.ok_or(EINVAL)?;
                if !leader.is_group_leader()
                    || leader.task.children_ns != 0
                    || leader.task.tgid != part.task.tgid
                    || leader.task.mm != part.task.mm
                    || leader.task.sighand != part.task.sighand
                {
                    return Err(EINVAL);
                }
            }
            // The parent of a process is a process, too, and lives.
            if creator.is_some_and(|c| !c.is_group_leader() || c.is_zombie()) {
                return Err(EINVAL);
            }
            let of_parent = |thread: &Part| {
                thread.task.tgid == part.task.ppid && !thread.is_dead() && creator.is_some()
            };
            if part.task.parent != 0
                && (!part.is_group_leader()
                    || !with_pid(part.task.parent.get()).is_some_and(of_parent))
            {
                return Err(EINVAL);
            }
            let maker = maker(part, creator, with_pid, meta)?.ok_or(EINVAL)?;
            match by_pid.get(&maker).and_then(|&at| of.get_mut(at)) {
                Some(kids) => kids.push(i, GFP_KERNEL_ACCOUNT)?,
                None => of_init.push(i, GFP_KERNEL_ACCOUNT)?,
            }
        }
        // A process without a first thread has another one.
        for (kids, leader) in of.iter().zip(parts).filter(|(_, p)| p.is_leader_gone()) {
            let mut threads = kids.iter().filter_map(|&kid| parts.get(kid));
            if !threads.any(|kid| kid.task.tgid == leader.task.tgid) {
                return Err(EINVAL);
            }
        }
        Ok(Self {
            of,
            of_init,
            by_pid,
        })
    }

    /// The process groups and sessions whose leaders are gone. `EINVAL` where they
    /// are not as setpgid(2) and setsid(2) would have it: a group is within one
    /// session, and both have the number of a process that leads them, or did.
    fn without_leader(&self, parts: &[Part]) -> Result<KVVec<i32>> {
        let mut session_of = RBTree::new();
        let mut gone = RBTree::new();
        for part in parts {
            let (pgid, sid) = (part.task.pgid.get(), part.task.sid.get());
            let leads = sid == part.task.pid.get();
            if (pgid == 0 && sid != 0) || (leads && pgid != sid) {
                return Err(EINVAL);
            }
            for id in [pgid, sid] {
                let Some(&at) = self.by_pid.get(&id) else {
                    if id != 0 {
                        gone.try_create_and_insert(id, (), GFP_KERNEL_ACCOUNT)?;
                    }
                    continue;
                };
                let leader = parts.get(at).ok_or(EINVAL)?;
                if !leader.is_group_leader() || leader.task.sid != part.task.sid {
                    return Err(EINVAL);
                }
            }
            if pgid != 0 {
                let other = session_of.try_create_and_insert(pgid, sid, GFP_KERNEL_ACCOUNT)?;
                if other.is_some_and(|other| other.to_key_value().1 != sid) {
                    return Err(EINVAL);
                }
            }
        }
        let mut ids = KVVec::new();
        for (&id, ()) in gone.iter() {
            ids.push(id, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(ids)
    }

    /// Positions of the tasks that wait in vfork(2), by that of the child they wait
    /// for. `EINVAL` where two wait for one, where that is none, and where they wait in a
    /// circle, for sisters.
    fn waiters(&self, parts: &[Part]) -> Result<RBTree<usize, usize>> {
        let mut waiters = RBTree::new();
        for (i, part) in parts.iter().enumerate() {
            if part.task.vfork == 0 {
                continue;
            }
            let at = *self.by_pid.get(&part.task.vfork.get()).ok_or(EINVAL)?;
            let kid = parts.get(at).ok_or(EINVAL)?;
            // Its own child, or one that it gave to its parent (CLONE_PARENT).
            let own = kid.task.ppid == part.task.tgid
                && (kid.task.parent == part.task.pid
                    || (kid.task.parent == 0 && part.is_group_leader()));
            let leader = self.by_pid.get(&part.task.tgid.get());
            let leader = leader.and_then(|&at| parts.get(at)).ok_or(EINVAL)?;
            let sister = kid.task.ppid == leader.task.ppid && kid.task.parent == leader.task.parent;
            if !(own || sister)
                || kid.is_dead()
                || !kid.is_group_leader()
                || kid.task.tgid == part.task.tgid
                || waiters
                    .try_create_and_insert(at, i, GFP_KERNEL_ACCOUNT)?
                    .is_some()
            {
                return Err(EINVAL);
            }
        }
        // From those that nobody waits for one gets to all that wait, but for circles.
        let mut waiting = 0;
        for (i, part) in parts.iter().enumerate() {
            let mut at = (waiters.get(&i).is_none()).then_some(part);
            while let Some(part) = at.filter(|part| part.task.vfork != 0) {
                waiting += 1;
                let kid = self.by_pid.get(&part.task.vfork.get());
                at = kid.and_then(|&at| parts.get(at));
            }
        }
        if waiting != parts.iter().filter(|part| part.task.vfork != 0).count() {
            return Err(EINVAL);
        }
        Ok(waiters)
    }

    /// Positions of the tasks that task `i` creates.
    fn of(&self, i: usize) -> &[usize] {
        self.of.get(i).map_or(&[], |kids| kids)
    }
}

/// The order in which tasks wait for each other: processes in that of their address
/// spaces, which is that of the page data, and each with its threads after it.
fn build_order(parts: &[Part], kids: &Kids) -> Result<KVVec<usize>> {
    let mut leaders = KVVec::new();
    for (i, part) in parts.iter().enumerate() {
        if part.is_group_leader() {
            leaders.push(
                (part.task.mm.get(), part.task.pid.get(), i),
                GFP_KERNEL_ACCOUNT,
            )?;
        }
    }
    sort::by_key(&mut leaders, |leader| *leader);
    let mut order = KVVec::with_capacity(parts.len(), GFP_KERNEL_ACCOUNT)?;
    for &(_, _, leader) in &leaders {
        order.push(leader, GFP_KERNEL_ACCOUNT)?;
        for &kid in kids.of(leader) {
            if parts.get(kid).is_some_and(|kid| !kid.is_group_leader()) {
                order.push(kid, GFP_KERNEL_ACCOUNT)?;
            }
        }
    }
    Ok(order)
}

/// From whom each task has what it shares: from the first one that has it.
fn sources(parts: &[Part], order: &[usize], meta: &Meta<'_>) -> Result<KVVec<Sources>> {
    let mut first = RBTree::new();
    let mut all = KVVec::new();
    all.resize(parts.len(), Sources::default(), GFP_KERNEL_ACCOUNT)?;
    for &i in order {
        let part = parts.get(i).ok_or(EINVAL)?;
        if part.is_zombie() {
            continue;
        }
        let task = &part.task;
        let mut has = [
            (Class::Mm, task.mm.get()),
            (Class::Sighand, task.sighand.get()),
            (Class::FdTable, 0),
            (Class::Fs, 0),
            (Class::IoContext, 0),
            (Class::SemUndo, 0),
            (Class::CoreCookie, 0),
        ];
        if !part.is_leader_gone() {
            let attr: wire::Attr = part.record(meta, Kind::Attr)?.head().map_err(|_| EINVAL)?;
            let [_, _, files, fs, io, undo, cookie] = &mut has;
            files.1 = task.files.get();
            fs.1 = task.fs.get();
            io.1 = attr.io_context.get();
            undo.1 = attr.sem_undo.get();
            cookie.1 = attr.core_cookie.get();
        }
        for key in has.into_iter().filter(|(_, id)| *id != 0) {
            match first.get(&key) {
                Some(&owner) => *all.get_mut(i).ok_or(EINVAL)?.of(key.0)? = Some(owner),
                None => {
                    first.try_create_and_insert(key, i, GFP_KERNEL_ACCOUNT)?;
                }
            }
        }
    }
    Ok(all)
}

impl Tree {
    /// Builds the tree; `EINVAL` where parents go in a circle, or tasks
    /// contradict each other.
    fn new(job: &Arc<Job>, meta: &Meta<'_>) -> Result<Self> {
        let mut parts = KVVec::new();
        for record in meta.records().filter(|r| r.kind == Kind::Task) {
            let task = record.head::<wire::Task>().map_err(|_| EINVAL)?;
            parts.push(Part::new(task, record.offset), GFP_KERNEL_ACCOUNT)?;
        }
        let kids = Kids::new(&parts, meta)?;
        let waiters = kids.waiters(&parts)?;
        // The pid namespaces that were made by unshare(2), by their init.
        let mut made_for = RBTree::new();
        for part in parts.iter().filter(|p| p.task.children_ns.get() > 0) {
            let init = kids.by_pid.get(&part.task.children_ns.get());
            let init = init.and_then(|&at| parts.get(at)).ok_or(EINVAL)?;
            if init.creator() != part.task.pid.get() || !init.is_init() {
                return Err(EINVAL);
            }
            made_for.try_create_and_insert(init.task.pid.get(), (), GFP_KERNEL_ACCOUNT)?;
        }
        let mut holders = KVVec::new();
        // Those whom the init of a pid namespace creates, by its position.
        let mut nested: RBTree<usize, KVVec<Arc<Holder>>> = RBTree::new();
        let mut groups = Group::all(meta)?;
        for pid in kids.without_leader(&parts)? {
            let mut pids = KVec::new();
            let mut creator = None;
            if let Some(group) = groups.remove(&pid) {
                pids = group.numbers;
                let at = *kids.by_pid.get(&group.pid_ns).ok_or(EINVAL)?;
                let init = parts.get(at).ok_or(EINVAL)?;
                // When a zombie was made, nobody stays in its namespace.
                if !init.is_init() || init.is_zombie() || pids.len() + 1 != init.pids(meta)?.len() {
                    return Err(EINVAL);
                }
                creator = Some(at);
            }
            pids.push(pid, GFP_KERNEL)?;
            let holder = Holder::new(job, pids)?;
            holders.push(holder.clone(), GFP_KERNEL_ACCOUNT)?;
            let Some(at) = creator else {
                continue;
            };
            match nested.get_mut(&at) {
                Some(holders) => holders.push(holder, GFP_KERNEL_ACCOUNT)?,
                None => {
                    let mut holders = KVVec::new();
                    holders.push(holder, GFP_KERNEL_ACCOUNT)?;
                    nested.try_create_and_insert(at, holders, GFP_KERNEL_ACCOUNT)?;
                }
            }
        }
        if !groups.is_empty() {
            return Err(EINVAL);
        }

        // Parents before children, from init down.
        let mut order = KVVec::with_capacity(parts.len(), GFP_KERNEL_ACCOUNT)?;
        order.extend_from_slice(&kids.of_init, GFP_KERNEL_ACCOUNT)?;
        let roots = order.len();
        let mut next = 0;
        while let Some(&parent) = order.get(next) {
            order.extend_from_slice(kids.of(parent), GFP_KERNEL_ACCOUNT)?;
            next += 1;
        }
        if order.len() != parts.len() {
            return Err(EINVAL);
        }

        let build = build_order(&parts, &kids)?;
        let sources = sources(&parts, &build, meta)?;
        // Who reads page data comes after whom.
        let mut readers = KVVec::new();
        let mut builders = KVVec::new();
        for &i in &build {
            let part = parts.get(i).ok_or(EINVAL)?;
            let own = sources.get(i).is_some_and(|s| s.mm.is_none());
            if own && part.task.mm != 0 && !part.is_zombie() {
                readers.push(i, GFP_KERNEL_ACCOUNT)?;
                builders.push((part.task.mm.get(), i), GFP_KERNEL_ACCOUNT)?;
            }
        }
        job.builders.populate(builders);
        let first_reader = readers.first().copied();
        let mut after = RBTree::new();
        for pair in readers.windows(2) {
            if let [reader, next] = *pair {
                after.try_create_and_insert(reader, next, GFP_KERNEL_ACCOUNT)?;
            }
        }

        let mut children = KVVec::with_capacity(parts.len(), GFP_KERNEL_ACCOUNT)?;
        let mut family = KVVec::with_capacity(parts.len(), GFP_KERNEL_ACCOUNT)?;
        let by_pid = kids.by_pid;
        for (i, (part, kids)) in Iterator::zip(parts.into_iter(), kids.of).enumerate() {
            let vfork = by_pid.get(&part.task.vfork.get()).copied();
            let waiter = waiters.get(&i).copied();
            let next = after.get(&i).copied();
            let sources = sources.get(i).copied().ok_or(EINVAL)?;
            let leader = by_pid.get(&part.task.tgid.get()).copied();
            let first_of_ns = part.is_init() && made_for.get(&part.task.pid.get()).is_some();
            let stand_ins = nested.remove(&i).unwrap_or_default();
            let child = Arc::pin_init(
                pin_init!(Child {
                    job: job.clone(),
                    part,
                    sources,
                    next,
                    leader,
                    kids,
                    holders: stand_ins,
                    task: SetOnce::new(),
                    own: SetOnce::new(),
                    born <- Event::new(),
                    has_children: Atomic::new(0),
                    turn <- Event::new(),
                    built <- Event::new(),
                    done <- Event::new(),
                    gone <- Event::new(),
                    first_of_ns,
                    vfork,
                    waiter,
                    attached <- Event::new(),
                    result: Atomic::new(0),
                    report <- kernel::new_mutex!(None),
                    ax: Atomic::new(0),
                }),
                GFP_KERNEL_ACCOUNT,
            )?;
            family.push(child.clone(), GFP_KERNEL_ACCOUNT)?;
            children.push(child, GFP_KERNEL_ACCOUNT)?;
        }
        *job.children.lock() = family;
        if let Some(first) = first_reader.and_then(|i| children.get(i)) {
            first.turn.happen_for_all();
        }
        Ok(Self {
            children,
            order,
            roots,
            build,
            by_pid,
            holders,
        })
    }

    /// All tasks, parents before their children.
    fn in_order(&self) -> impl Iterator<Item = &Arc<Child>> {
        self.order.iter().filter_map(|&i| self.children.get(i))
    }

    /// The task with this pid.
    fn with_pid(&self, pid: i32) -> Option<&Arc<Child>> {
        self.children.get(*self.by_pid.get(&pid)?)
    }

    /// Creates all tasks and waits until they have rebuilt themselves.
    fn build(&self, job: &Job, rs: &mut Restart) -> Result {
        for holder in self.holders.iter().filter(|h| !h.is_nested()) {
            holder.create(rs)?;
        }
        for child in self.in_order().take(self.roots) {
            child.create(rs)?;
        }
        for child in self.in_order().filter(|c| c.part.is_group_leader()) {
            child.born.wait_killable().map_err(|_| EINTR)?;
            // Nobody is waited for who is not there.
            if child.has_children.load(Acquire) == 0 {
                self.check(child, rs)?;
            }
        }
        job.all_born.happen_for_all();
        for child in self.build.iter().filter_map(|&i| self.children.get(i)) {
            child.done.wait_killable().map_err(|_| EINTR)?;
            self.check(child, rs)?;
        }
        Ok(())
    }

    /// Whether a task has failed; then what it reports is why the restart does.
    fn check(&self, child: &Child, rs: &mut Restart) -> Result {
        child.result().inspect_err(|_| {
            if let Some(report) = child.report.lock().take() {
                rs.report.append(report);
            }
        })
    }

    /// All tasks wait at the barrier: the last that can fail.
    fn settle(&self, job: &Job, rs: &mut Restart, image: &Image, meta: &Meta<'_>) -> Result {
        let data = rs.data.clone();
        data.lock().finish(&image.header, &mut rs.report)?;
        for child in self.in_order() {
            let part = &child.part;
            let task = child.task.as_ref().ok_or(ESRCH)?;
            let mut patience = Patience::default();
            while !task.wait_inactive() {
                if task.is_exiting() || fatal_signal_pending() {
                    return Err(EINTR);
                }
                patience.relax();
            }
            if task.is_killed() {
                rs.report.append(child.killed());
                return Err(EINTR);
            }
            rs.report.subject(Some((child.pid(), part.task.comm)));
            if !part.is_dead() {
                // Who waits in vfork(2) comes back with the pid of the child.
                let result = Some(part.task.vfork.get() as u64).filter(|&pid| pid != 0);
                let ax = arch::restart_thread(&mut rs.report, task, part.records(meta), result)?;
                child.ax.store(ax, Release);
            }
            if part.is_group_leader() && !part.is_zombie() {
                // SAFETY: the task waits at the barrier, which the caller opens; it was seen off
                // its CPU above.
                rlimits::finish(rs, part, &unsafe { Still::new(task) }?)?;
                set_groups(task, part.task.pgid.get(), part.task.sid.get())?;
            }
        }
        self.adopt()?;
        rs.report.subject(None);
        for child in self.in_order().filter(|c| c.part.is_zombie()) {
            // Whoever leaves the group of init may orphan it. One that is in that of its
            // parent does not.
            let task = child.task.as_ref().ok_or(ESRCH)?;
            let parent = self.with_pid(child.part.task.ppid.get());
            let pgid = parent.map_or(0, |parent| parent.part.task.pgid.get());
            if child.part.task.sid != child.part.task.pid {
                set_groups(task, pgid, 0)?;
            }
        }
        self.open_proc(rs)?;
        sockets::restart_state(rs)?;
        files::seal_memfds(rs)?;
        segments::make_ready(rs)?;
        // Those of a failed restart send no signals.
        job.end.happen_for_all();
        for child in self.in_order().filter(|c| c.part.is_dead()) {
            let task = child.task.as_ref().ok_or(ESRCH)?;
            // A tracer may have it stop on its way out.
            task.wait_exited()?;
            // Up to its last context switch it uses something. Should another
            // thread of init wait for it, it is found missing below.
            task.wait_gone();
            if child.part.is_zombie() {
                // Not before: whoever leaves a group may orphan it.
                set_groups(task, child.part.task.pgid.get(), child.part.task.sid.get())?;
            }
        }
        for holder in &self.holders {
            let task = holder.task.as_ref().ok_or(ESRCH)?;
            reap(task, holder.pid)?;
        }
        // Nothing can fail any more.
        segments::commit(rs, |pid| {
            self.with_pid(pid)?.task.as_ref().map(|task| &**task)
        });
        for child in self.in_order().filter(|c| !c.part.is_dead()) {
            if let Some(task) = child.task.as_ref() {
                usage::finish(rs, &child.part, task)?;
            }
        }
        for child in self.in_order().filter(|c| c.part.is_group_leader()) {
            let Some(task) = child.task.as_ref() else {
                continue;
            };
            if child.part.is_dead() {
                zombie::finish(rs, &child.part, task)?;
            } else {
                let signal = child.part.task.exit_signal.get();
                set_exit_signal(task, signal, child.part.parent_changed());
            }
            if child.part.is_leader_gone() {
                usage::finish(rs, &child.part, task)?;
            }
            if !child.part.is_zombie() {
                sync_cpu_timers(task);
                timers::release_itimers(rs, &child.part, task)?;
            }
        }
        timers::release(rs);
        Ok(())
    }

    /// Opens what was open of processes in proc.
    fn open_proc(&self, rs: &mut Restart) -> Result {
        if rs.procs.is_empty() {
            return Ok(());
        }
        let mut tables = RBTree::new();
        for child in self.in_order().filter(|c| !c.part.is_dead()) {
            let task = child.task.as_ref().ok_or(ESRCH)?;
            let id = child.part.task.files.get();
            tables.try_create_and_insert(id, task, GFP_KERNEL_ACCOUNT)?;
        }
        proc::restart(rs, |id| {
            let task = tables.get(&id)?;
            // SAFETY: the task waits at the barrier, which the caller opens; the caller has seen it
            // off its CPU.
            Some(unsafe { Still::new(task) })
        })
    }

    /// Gives each process its place among the children of its parent, which need not have
    /// made it.
    fn adopt(&self) -> Result {
        let mut processes = KVVec::new();
        for child in self.in_order().filter(|c| c.part.is_group_leader()) {
            processes.push(child, GFP_KERNEL_ACCOUNT)?;
        }
        sort::by_key(&mut processes, |c| (c.part.task.rank.get(), c.pid()));
        for child in processes {
            let task = child.task.as_ref().ok_or(ESRCH)?;
            let parent = match child.part.task.parent.get() {
                0 => self.with_pid(child.part.creator()),
                pid => Some(self.with_pid(pid).ok_or(ESRCH)?),
            };
            match parent {
                Some(parent) => set_parent(task, parent.task.as_ref().ok_or(ESRCH)?)?,
                None => set_parent(task, current!())?,
            }
        }
        // For init to reap.
        for holder in self.holders.iter().filter(|h| h.is_nested()) {
            set_parent(holder.task.as_ref().ok_or(ESRCH)?, current!())?;
        }
        Ok(())
    }

    /// Kills and reaps whatever was created.
    fn abort(&self, job: &Job) {
        job.aborted.store(1, Release);
        for child in self.in_order() {
            // A task that was created tells when it has created its own.
            if let Some(task) = child.task.as_ref() {
                child.born.wait();
                task.kill();
            }
        }
        // Nobody is made any more, and nobody exits yet: not to send init a signal for each of
        // those whose parents exit before them. If init is being killed it reaps nobody.
        if fatal_signal_pending() {
            self.leave_all_unreaped();
        } else {
            let holders = self.holders.iter().filter(|h| h.is_nested());
            let holders = holders.filter_map(|holder| holder.task.as_ref());
            for task in Iterator::chain(self.leaders(), holders) {
                let _ = set_parent(task, current!());
            }
        }
        for child in &self.children {
            child.turn.happen_for_all();
            child.built.happen_for_all();
        }
        job.all_born.happen_for_all();
        job.end.happen_for_all();
        job.go.happen_for_all();
        for holder in &self.holders {
            if let Some(task) = holder.task.as_ref() {
                let _ = reap(task, holder.pid);
            }
        }
        for child in self.in_order().filter(|c| c.task.as_ref().is_some()) {
            // Killed: it will be done soon, and no longer uses the image.
            child.done.wait();
        }
        // The end of a pid namespace waits for those in it, of which init has all to reap
        // that it could make its own: these first, and the inits of those below.
        let turn = |part: &Part| match part.task.pid_ns.get() {
            0 => 0,
            _ if part.is_init() => 2,
            _ => 1,
        };
        for now in 0..=2 {
            let leaders = self
                .order
                .iter()
                .rev()
                .filter_map(|&i| self.children.get(i));
            for child in leaders.filter(|c| c.part.is_group_leader()) {
                // Threads go with their leader. Fails where the namespace has done it, and
                // when init itself is dying, and its children with it.
                if let Some(task) = child.task.as_ref().filter(|_| turn(&child.part) == now) {
                    let _ = reap(task, child.pid());
                }
            }
        }
        // Killed meanwhile.
        if fatal_signal_pending() {
            self.leave_all_unreaped();
        }
    }

    /// The leaders of processes that were created.
    fn leaders(&self) -> impl Iterator<Item = &ARef<Task>> {
        let leaders = self.in_order().filter(|c| c.part.is_group_leader());
        leaders.filter_map(|child| child.task.as_ref())
    }

    /// Has init find what this thread of it can't reap: it is being killed, but others may go
    /// on, one of them in execve(2).
    fn leave_all_unreaped(&self) {
        let holders = self.holders.iter().filter_map(|h| h.task.as_ref());
        for task in Iterator::chain(self.leaders(), holders) {
            leave_unreaped(task);
        }
    }
}

/// Creates the tasks of an image and lets them go; all or nothing. Returns how
/// many there are.
pub(crate) fn restart(rs: &mut Restart, world: Arc<World>) -> Result<u64> {
    let image = rs.image.clone();
    let meta = image.meta();
    let job = Job::new(world)?;
    let tree = Tree::new(&job, &meta)?;

    let ret = tree
        .build(&job, rs)
        .and_then(|()| tree.settle(&job, rs, &image, &meta));
    match ret {
        Ok(()) => {
            job.go.happen_for_all();
            // Whoever is saved next must be found with all of its registers.
            for child in tree.children.iter().filter(|c| !c.part.is_dead()) {
                if child.gone.wait_killable().is_err() {
                    break;
                }
            }
        }
        Err(_) => tree.abort(&job),
    }
    // Those who are not done with the restart yet have no need of it any more.
    let world = job.world.lock().take();
    drop(world);
    // They have the job, and it has them.
    let family = core::mem::take(&mut *job.children.lock());
    drop(family);
    ret.map(|()| tree.children.len() as u64)
}
