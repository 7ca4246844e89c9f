// SPDX-License-Identifier: GPL-2.0-only

//! Freezing: every task of a pid namespace but its init held still.
//!
//! Each task is asked to park at its task-work point
//! ([`kernel::checkpoint::park`]). Tasks that job control holds stopped are
//! inert and left where they are, and so are those that wait in vfork(2) for a
//! child; should one go on meanwhile, it parks on its way. Once all stand still
//! they are kept so: a task that is killed or
//! continued then acts on it when it is let go, for until then its structures
//! are read. Whatever happens, dropping a [`Freezer`] lets everyone go.

use crate::{
    report::{
        Item,
        Object,
        Report, //
    },
    sort, //
};
use kernel::{
    checkpoint::{
        gfp,
        park::{
            Lot,
            State,
            Ticket, //
        },
        task::{
            clocks,
            fatal_signal_pending,
            Patience,
            Pids,
            TaskExt,
            TasksIn,
            WCHAN_LEN, //
        },
    },
    pid_namespace::PidNamespace,
    prelude::*,
    rbtree::RBTree,
    sync::{aref::ARef, Arc},
    task::Task,
    time::{msecs_to_jiffies, Jiffies},
};

/// How long tasks may take to stop where the caller does not say, ns.
pub(crate) const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;

/// Asks tasks to stop, and lets them go when dropped.
pub(crate) struct Freezer<'a> {
    ns: &'a PidNamespace,
    lot: Arc<Lot>,
    held: KVVec<Held>,
    /// Tasks that were refused, and can't be asked.
    refused: KVVec<ARef<Task>>,
    /// Those that have exited, and that nobody has waited for.
    zombies: KVVec<Zombie>,
    /// The addresses of all these tasks, which are kept alive.
    known: RBTree<usize, ()>,
    deadline: i64,
    started: i64,
}

/// A task that was asked to stop.
pub(crate) struct Held {
    ticket: Arc<Ticket>,
    pids: Pids,
    switches: u64,
    /// Job control has stopped it, or it waits in vfork(2), and nothing wakes it.
    held_asleep: bool,
    /// Pid of the child that it waits for in vfork(2), 0 for none.
    vfork: i32,
}

/// A process that has exited, and that nobody has waited for, or the first thread
/// of one that lives on.
pub(crate) struct Zombie {
    task: ARef<Task>,
    pids: Pids,
    has_threads: bool,
}

impl Zombie {
    /// The task.
    pub(crate) fn task(&self) -> &ARef<Task> {
        &self.task
    }

    /// Its pids in the namespace of init.
    pub(crate) fn pids(&self) -> Pids {
        self.pids
    }

    /// Whether other threads of the process live.
    pub(crate) fn has_threads(&self) -> bool {
        self.has_threads
    }

    /// Pid and command, for reports.
    pub(crate) fn subject(&self) -> (i32, [u8; 16]) {
        (self.pids.pid, self.task.comm())
    }
}

/// A task that stands still, with all its state in its structures.
#[derive(Clone, Copy)]
pub(crate) struct Frozen<'a> {
    held: &'a Held,
}

impl Frozen<'_> {
    /// The task.
    pub(crate) fn task(&self) -> &ARef<Task> {
        self.held.ticket.task()
    }

    /// Its pids in the namespace of init.
    pub(crate) fn pids(&self) -> Pids {
        self.held.pids
    }

    /// Pid of the child that it waits for in vfork(2), 0 for none.
    pub(crate) fn vfork(&self) -> i32 {
        self.held.vfork
    }

    /// Pid and command, for reports.
    pub(crate) fn subject(&self) -> (i32, [u8; 16]) {
        (self.held.pids.pid, self.task().comm())
    }
}

impl<'a> Freezer<'a> {
    /// Starts; tasks have `timeout_ns` from now on to come to `lot`.
    pub(crate) fn new(ns: &'a PidNamespace, lot: Arc<Lot>, timeout_ns: u64) -> Self {
        let (now, _, _) = clocks();
        let timeout = i64::try_from(timeout_ns).unwrap_or(i64::MAX);
        Self {
            ns,
            lot,
            held: KVVec::new(),
            refused: KVVec::new(),
            zombies: KVVec::new(),
            known: RBTree::new(),
            deadline: now.saturating_add(timeout),
            started: now,
        }
    }

    /// Asks every task that is there, waits until each stands still, and looks
    /// again until nobody new is found.
    ///
    /// Tasks that can't be frozen are refused in `report`. `ETIMEDOUT`,
    /// `EINTR`: also reported, by name.
    pub(crate) fn freeze(&mut self, report: &mut Report) -> Result {
        loop {
            while self.ask(report)? {
                self.wait(report)?;
                self.go_on(report)?;
            }
            if self.keep(report)? {
                return self.look_again(report);
            }
            // Job control has let one go on, which parks on its way, or one was killed.
            self.pause(report)?;
            self.wait(report)?;
        }
    }

    /// `EINTR` or `ETIMEDOUT`, reported, when it is no use to look for more
    /// tasks.
    fn go_on(&self, report: &mut Report) -> Result {
        if fatal_signal_pending() {
            return Err(interrupted(report));
        }
        if self.deadline > clocks().0 {
            return Ok(());
        }
        Err(report.error(
            Item {
                object: Object::Job,
                kind: "job",
                name: b"",
                why: "new tasks were found until the time was over",
                remedy: "try again, with a longer time-out",
            },
            ETIMEDOUT,
        ))
    }

    /// Looks at what may have changed between the time a task was asked and the
    /// time it stood still, such as its pids, by exec or setsid(2).
    fn look_again(&mut self, report: &mut Report) -> Result {
        for held in &mut self.held {
            let task = held.ticket.task();
            held.pids = task.pids_in(self.ns);
            check(task, held.pids, report)?;
        }
        report.subject(None);
        sort::by_key(&mut self.held, |held| held.pids.pid);

        // Those that were waited for while not everyone stood still are gone.
        for zombie in &mut self.zombies {
            zombie.task.wait_gone();
            zombie.pids = zombie.task.pids_in(self.ns);
            zombie.has_threads = zombie.task.has_threads();
        }
        self.zombies
            .retain(|zombie| zombie.pids.pid != 0 && zombie.task.is_zombie());
        sort::by_key(&mut self.zombies, |zombie| zombie.pids.pid);
        Ok(())
    }

    /// Has everyone stay who stands still; false when somebody does not.
    fn keep(&mut self, report: &mut Report) -> Result<bool> {
        for held in &mut self.held {
            let kept = match held.ticket.state() {
                State::Kept => true,
                // Another thread of its process may have ended that, or executed a program,
                // before it came here itself. It dies then, and is not part of the job.
                State::Parked => !held.ticket.task().is_killed() && held.ticket.keep(),
                State::Queued => {
                    let known = |task: &Task| self.known.get(&task.as_ptr().addr()).is_some();
                    held.held_asleep = held.held_asleep || held.hold_asleep(self.ns, known);
                    held.held_asleep
                }
                _ => false,
            };
            if held.ticket.state() == State::KeptKilled {
                return Err(held.gone(report, "was killed while it was being saved"));
            }
            if !kept {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks the tasks that have not been asked; whether there were any.
    fn ask(&mut self, report: &mut Report) -> Result<bool> {
        let mut new = false;

        for (pid, task) in TasksIn::new(self.ns) {
            if fatal_signal_pending() {
                return Err(interrupted(report));
            }
            if task.is_kernel()
                || task.same_thread_group(&*current!())
                || self.known.get(&task.as_ptr().addr()).is_some()
            {
                continue;
            }
            let pids = task.pids_in(self.ns);
            report.subject(Some((pid, task.comm())));
            // A traced one need not stop before the time is over.
            if !check(&task, pids, report)? {
                self.refused(task)?;
                continue;
            }
            match Ticket::queue(task.clone(), self.lot.clone()) {
                Ok(ticket) => {
                    self.held.push(
                        Held {
                            ticket,
                            pids,
                            switches: 0,
                            held_asleep: false,
                            vfork: 0,
                        },
                        gfp(),
                    )?;
                    let address = task.as_ptr().addr();
                    self.known.try_create_and_insert(address, (), gfp())?;
                    new = true;
                }
                Err(e) if e == ESRCH => {
                    // It is dying, or a zombie.
                    if task.is_zombie() {
                        self.zombie(task, pids)?;
                    } else {
                        self.pause(report)?;
                        new = true;
                    }
                }
                Err(e) => return Err(e),
            }
        }
        report.subject(None);
        Ok(new)
    }

    /// Notes a zombie.
    fn zombie(&mut self, task: ARef<Task>, pids: Pids) -> Result {
        let address = task.as_ptr().addr();
        let zombie = Zombie {
            task,
            pids,
            has_threads: false,
        };
        self.zombies.push(zombie, gfp())?;
        self.known.try_create_and_insert(address, (), gfp())?;
        Ok(())
    }

    /// Notes a task that was reported and won't be saved.
    fn refused(&mut self, task: ARef<Task>) -> Result {
        let address = task.as_ptr().addr();
        self.refused.push(task, gfp())?;
        self.known.try_create_and_insert(address, (), gfp())?;
        Ok(())
    }

    /// Waits until nobody who was asked is still on the way.
    fn wait(&mut self, report: &mut Report) -> Result {
        // The one that was asked last is waited for first: when it has arrived, so have
        // the others, as a rule. Those behind have arrived; all are looked at again at
        // the end, for one that was stopped may have been continued.
        let mut behind = self.held.len();
        loop {
            let late = |behind| {
                let late = |(_, h): &(usize, &Held)| !h.is_settled();
                self.held.iter().enumerate().take(behind).rfind(late)
            };
            let Some((at, late)) = late(behind).or_else(|| late(self.held.len())) else {
                break;
            };
            behind = at + 1;
            let left = self.deadline.saturating_sub(clocks().0);
            if left <= 0 {
                let mut wchan = [0; WCHAN_LEN];
                report.subject(Some((late.pids.pid, late.ticket.task().comm())));
                return Err(report.error(
                    Item {
                        object: Object::Task,
                        kind: "wchan",
                        name: late.ticket.task().wchan(&mut wchan),
                        why: "did not stop in time; it sleeps in this kernel function",
                        remedy: "try again, with a longer time-out",
                    },
                    ETIMEDOUT,
                ));
            }
            // Woken when it arrives; looks again at least every 10 ms for those that
            // job control stops meanwhile.
            let jiffies = core::cmp::min(
                msecs_to_jiffies((left / 1_000_000).clamp(1, 10_000) as u32),
                msecs_to_jiffies(10),
            ) as Jiffies;
            let arrived = late.ticket.arrived();
            if arrived.wait_killable_timeout(jiffies).is_err() {
                return Err(interrupted(report));
            }
        }
        for held in &mut self.held {
            if fatal_signal_pending() {
                return Err(interrupted(report));
            }
            // On its way to sleep: registers are saved when it is off its CPU.
            let mut patience = Patience::default();
            while held.is_still() && !held.ticket.task().wait_inactive() {
                patience.relax();
                if fatal_signal_pending() {
                    return Err(interrupted(report));
                }
            }
            held.switches = held.ticket.task().switches();
        }
        // Who was on the way out is not part of the job, nor is who was killed before it was kept.
        let known = &mut self.known;
        self.held.retain(|h| {
            let stays = !matches!(h.ticket.state(), State::Exiting | State::Killed);
            if !stays {
                known.remove(&h.ticket.task().as_ptr().addr());
            }
            stays
        });
        Ok(())
    }

    /// A moment for a task that is exiting.
    fn pause(&self, report: &mut Report) -> Result {
        if self.deadline <= clocks().0 {
            return Err(report.error(
                Item {
                    object: Object::Task,
                    kind: "exiting",
                    name: b"",
                    why: "did not finish its exit in time",
                    remedy: "try again, with a longer time-out",
                },
                ETIMEDOUT,
            ));
        }
        self.lot.pause().map_err(|_| interrupted(report))
    }

    /// The tasks that stand still, in ascending order of their pids.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Frozen<'_>> {
        self.held.iter().map(|held| Frozen { held })
    }

    /// The first thread of the process `tgid`, if it has exited while others live.
    pub(crate) fn leader_gone(&self, tgid: i32) -> Option<&Zombie> {
        let at = self.zombies.binary_search_by_key(&tgid, |z| z.pids.pid);
        let leader = self.zombies.get(at.ok()?)?;
        leader.has_threads.then_some(leader)
    }

    /// The place of each process among the children of the thread that counts as
    /// the one which made it, by pid.
    pub(crate) fn ranks(&self) -> Result<RBTree<i32, u32>> {
        let mut ranks = RBTree::new();
        let mut add = |parent: &Task, whole: bool| -> Result {
            for (rank, pid) in parent.children_in(self.ns, whole)?.iter().enumerate() {
                ranks.try_create_and_insert(*pid, rank as u32, gfp())?;
            }
            Ok(())
        };
        for held in &self.held {
            add(held.ticket.task(), false)?;
        }
        add(current!(), true)?;
        Ok(ranks)
    }

    /// The zombies, in ascending order of their pids.
    pub(crate) fn zombies(&self) -> &[Zombie] {
        &self.zombies
    }

    /// Lets everyone go and says how long they stood still. With `all`, as they
    /// all did: `EINTR`, reported, if somebody did not until now.
    pub(crate) fn thaw(self, all: bool, report: &mut Report, freeze_ns: &mut u64) -> Result {
        let ret = if all { self.verdict(report) } else { Ok(()) };
        let started = self.started;
        drop(self);
        *freeze_ns = clocks().0.saturating_sub(started).try_into().unwrap_or(0);
        ret
    }

    /// Reports why those who stand still were not looked at to the end: somebody was killed.
    pub(crate) fn given_up(&self, report: &mut Report) {
        if self.verdict(report).is_ok() {
            interrupted(report);
        }
    }

    fn verdict(&self, report: &mut Report) -> Result {
        for held in &self.held {
            let task = held.ticket.task();
            let why = match held.ticket.state() {
                // Who has not noticed yet has it among the signals that were saved.
                State::Kept if !task.is_killed() => continue,
                // Stopped all the time, without running in between?
                State::Queued if held.is_asleep() && task.switches() == held.switches => continue,
                State::Queued => "was continued or killed while it was being saved",
                _ => "was killed while it was being saved",
            };
            return Err(held.gone(report, why));
        }
        // Only init, or a process outside, can have waited for one.
        for zombie in &self.zombies {
            if !zombie.task.is_zombie() {
                let why = "was waited for while the job was being saved";
                return Err(gone(zombie.subject(), report, why));
            }
        }
        report.subject(None);
        Ok(())
    }
}

impl Held {
    /// Whether it stands still or is gone.
    fn is_settled(&self) -> bool {
        self.is_still() || self.ticket.state() != State::Queued
    }

    /// Keeps it asleep if it sleeps as no task work wakes it.
    fn hold_asleep(&mut self, ns: &PidNamespace, known: impl Fn(&Task) -> bool) -> bool {
        let task = self.ticket.task();
        // A child that was asked stands still, so that a task that waits for it stays.
        let child = task.vfork_child().filter(|child| known(child));
        if !(task.is_stopped() || child.is_some()) || !task.hold_asleep() {
            return false;
        }
        self.vfork = child.map_or(0, |child| child.pids_in(ns).pid);
        true
    }

    /// Whether it is still as it was when it was held asleep: nothing happened
    /// that wakes it.
    fn is_asleep(&self) -> bool {
        let task = self.ticket.task();
        match self.vfork {
            0 => task.is_stopped(),
            _ => !task.is_killed(),
        }
    }

    /// Whether it stands still: parked, stopped by job control, or in vfork(2).
    fn is_still(&self) -> bool {
        match self.ticket.state() {
            State::Queued => {
                let task = self.ticket.task();
                self.held_asleep || task.is_stopped() || task.vfork_child().is_some()
            }
            state => matches!(state, State::Parked | State::Kept),
        }
    }

    /// The error for a task that did not stay.
    fn gone(&self, report: &mut Report, why: &'static str) -> Error {
        gone((self.pids.pid, self.ticket.task().comm()), report, why)
    }
}

/// The error for a task that did not stay.
fn gone(subject: (i32, [u8; 16]), report: &mut Report, why: &'static str) -> Error {
    report.subject(Some(subject));
    report.error(
        Item {
            object: Object::Task,
            kind: "gone",
            name: b"",
            why,
            remedy: "try again",
        },
        EINTR,
    )
}

impl Drop for Freezer<'_> {
    fn drop(&mut self) {
        for held in &self.held {
            // One that sleeps through the request need not act on it. Any other may be on its
            // way, with a call that it has left for it: how that goes on where restart_syscall(2)
            // may not do it, only the work knows. It passes through the lot once that is released,
            // and the work owns what it needs for that, however late it comes.
            if held.held_asleep || held.ticket.task().is_stopped() {
                held.ticket.cancel();
            }
            if held.held_asleep {
                held.ticket.task().release_asleep();
            }
        }
        self.lot.release();
    }
}

/// Refuses a task that is traced, false then; `EPERM`, reported, for one whose
/// memory and files the caller may not read, as they are about to be exported.
fn check(task: &Task, pids: Pids, report: &mut Report) -> Result<bool> {
    report.subject(Some((pids.pid, task.comm())));
    if task.is_traced() {
        report.refuse(Item {
            object: Object::Task,
            kind: "traced",
            name: b"",
            why: "a tracer is attached, and what it did can't be saved",
            remedy: "detach the debugger or strace",
        });
        return Ok(false);
    }
    if !task.may_read() {
        return Err(report.error(
            Item {
                object: Object::Task,
                kind: "permission",
                name: b"",
                why: "the caller may not read the memory of this task",
                remedy: "call with CAP_SYS_PTRACE, or make the task dumpable",
            },
            EPERM,
        ));
    }
    Ok(true)
}

fn interrupted(report: &mut Report) -> Error {
    report.error(
        Item {
            object: Object::Job,
            kind: "call",
            name: b"",
            why: "init was killed",
            remedy: "",
        },
        EINTR,
    )
}
