// SPDX-License-Identifier: GPL-2.0-only

//! What `ckpt` does with the answers of checkpoint(2) and restart(2), given by a made-up kernel.
//!
//! A seccomp filter in front of the init hands the two calls to this program, which plays their
//! part: it writes a made-up image and reports to the descriptors of the caller, fills in the
//! results, and chooses the errno.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::{fs::FileExt, net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread::{self, sleep, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    net::{
        recvmsg, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    },
    process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags},
};

const CHECKPOINT: i32 = 473;
const RESTART: i32 = 474;
/// Length of `struct checkpoint_args`.
const ARGS: usize = 112;

/// What the made-up kernel does in one call.
#[derive(Default)]
struct Answer {
    /// What goes to the descriptor of the image.
    image: Vec<u8>,
    /// How long that takes.
    pause: Duration,
    /// What goes to the log.
    log: &'static str,
    errno: i32,
    /// Results: first pid, then the numbers of the structure from `freeze_ns` on.
    root_pid: i32,
    results: [u64; 7],
}

/// A call that was answered.
#[derive(Debug, Default, PartialEq)]
struct Call {
    number: i32,
    flags: u64,
    size: u64,
    timeout_ns: u64,
    /// UUID of the parent.
    parent: [u8; 16],
    /// What could be read from the descriptor of a restart.
    read: Vec<u8>,
}

/// Has this process ask a listener before it calls checkpoint(2) or restart(2).
fn filter() -> io::Result<OwnedFd> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        // The number of the system call.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            0,
            CHECKPOINT as u32,
        ),
        op(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            RESTART as u32,
        ),
        op(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_USER_NOTIF,
        ),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program lives as long as the call, which returns a new descriptor.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &program,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Starts a program under the filter; returns the listener, too.
fn spawn(command: &mut Command) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let hand_over = move || {
        let listener = filter()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [listener.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(
            &theirs,
            &[IoSlice::new(b"x")],
            &mut control,
            SendFlags::empty(),
        )?;
        Ok(())
    };
    // SAFETY: the closure makes system calls and uses its stack.
    unsafe { command.pre_exec(hand_over) };
    let child = command.spawn()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(
        &ours,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return Ok((child, fds.next().unwrap()));
        }
    }
    Err(io::Error::other("no listener"))
}

/// The process that a thread is one of.
fn process_of(thread: u32) -> Pid {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("Tgid:"));
    Pid::from_raw(line.unwrap().trim().parse().unwrap()).unwrap()
}

/// Waits for a call, plays its part, and returns what it was.
fn answer(listener: &OwnedFd, answer: &Answer) -> io::Result<Call> {
    // SAFETY: the structures are made of integers, and zero is what the kernel wants to find.
    let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid for the call, which fills it in.
    let ret = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &mut request,
        )
    };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    let [fd, flags, at, size, ..] = request.data.args;
    let pid = process_of(request.pid);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let take = |fd: i32| -> io::Result<File> {
        Ok(pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty())?.into())
    };
    let memory = format!("/proc/{}/mem", request.pid);
    let memory = OpenOptions::new().read(true).write(true).open(memory)?;
    let mut args = [0; ARGS];
    memory.read_exact_at(&mut args, at)?;

    let mut call = Call {
        number: request.data.nr,
        flags,
        size,
        timeout_ns: u64::from_le_bytes(args[8..16].try_into().unwrap()),
        parent: args[96..112].try_into().unwrap(),
        read: Vec::new(),
    };
    let mut image = take(fd as i32)?;
    if call.number == RESTART {
        image.read_to_end(&mut call.read)?;
    }
    let mut errno = answer.errno;
    for piece in answer.image.chunks(answer.image.len().div_ceil(4).max(1)) {
        if let Err(e) = image.write_all(piece) {
            errno = e.raw_os_error().unwrap();
            break;
        }
        sleep(answer.pause / 4);
    }
    drop(image);
    let mut log = take(i32::from_le_bytes(args[..4].try_into().unwrap()))?;
    log.write_all(answer.log.as_bytes())?;
    args[4..8].copy_from_slice(&answer.root_pid.to_le_bytes());
    for (field, value) in args[16..].chunks_mut(8).zip(answer.results) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    memory.write_all_at(&args, at)?;

    let response = libc::seccomp_notif_resp {
        id: request.id,
        val: 0,
        error: -errno,
        flags: 0,
    };
    // SAFETY: the structure is valid for the call, which only reads it.
    let ret = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &response,
        )
    };
    match ret {
        0 => Ok(call),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A job under a made-up kernel, and a directory for it.
struct Job {
    dir: PathBuf,
    child: Child,
    listener: OwnedFd,
}

impl Job {
    /// Starts one, or says why it can't be.
    fn start(name: &str) -> Option<Self> {
        let dir = directory(name);
        let mut command = ckpt(&dir, &["run", "-n", "job", "--", "sleep", "1000"]);
        let (child, listener) = match spawn(&mut command) {
            Ok(started) => started,
            Err(e) => {
                println!("skipped: {name}: {e}");
                return None;
            }
        };
        let mut job = Self {
            dir,
            child,
            listener,
        };
        let start = Instant::now();
        while !job.runs() {
            if job.child.try_wait().unwrap().is_some() {
                println!("skipped: {name}: there are no jobs here");
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(120));
            sleep(Duration::from_millis(20));
        }
        Some(job)
    }

    fn runs(&self) -> bool {
        let ps = self.ckpt(&["ps"]).output().unwrap();
        String::from_utf8(ps.stdout).unwrap().contains("sleep 1000")
    }

    fn ckpt(&self, args: &[&str]) -> Command {
        ckpt(&self.dir, args)
    }

    /// Runs `ckpt` while the kernel gives an answer.
    fn ask(&self, args: &[&str], with: Answer) -> (Output, Call) {
        let listener = self.listener.try_clone().unwrap();
        let kernel: JoinHandle<_> = thread::spawn(move || answer(&listener, &with).unwrap());
        let output = self.ckpt(args).output().unwrap();
        (output, kernel.join().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().into()
    }

    /// Begins a checkpoint whose image takes the kernel some time; returns when it is at it.
    fn begin(&self, output: &str, with: Answer) -> (Child, JoinHandle<io::Result<Call>>) {
        let listener = self.listener.try_clone().unwrap();
        let kernel = thread::spawn(move || answer(&listener, &with));
        let mut client = self.ckpt(&["checkpoint", "job", "-o", output]);
        client.stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = client.spawn().unwrap();
        // In the made-up kernel, a thread of the init waits for the listener.
        wait_for("the call", || self.threads() == 2);
        sleep(Duration::from_millis(200));
        (client, kernel)
    }

    /// How many threads the init has.
    fn threads(&self) -> usize {
        let ps = self.ckpt(&["ps", "--json"]).output().unwrap();
        let ps: serde_json::Value = serde_json::from_slice(&ps.stdout).unwrap();
        let init = &ps[0]["init_pid"];
        fs::read_dir(format!("/proc/{init}/task")).map_or(0, |tasks| tasks.count())
    }

    /// Whether the kernel is called within a second.
    fn is_called(&self) -> bool {
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&second)).unwrap() == 1 && fds[0].revents().contains(PollFlags::IN)
    }

    /// Names of all files.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        sleep(Duration::from_millis(20));
    }
}

fn directory(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("ckpt-kernel-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn ckpt(dir: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    command
        .args(args)
        .env("CKPT_RUNTIME_DIR", dir.join("jobs"))
        .stdin(Stdio::null());
    command
}

fn whole() -> Answer {
    let image = checkpoint_sample::sample(300).image();
    let len = image.len() as u64;
    Answer {
        image,
        root_pid: 2,
        results: [700_000, 13_000_000, len, 1, 0, 303, 12],
        ..Answer::default()
    }
}

const REFUSALS: &str = concat!(
    r#"{"call":"checkpoint","level":"refuse","pid":2,"comm":"sleep","object":"fd","id":"5","#,
    r#""kind":"io_uring","name":"anon_inode:[io_uring]","#,
    r#""why":"an io_uring instance can't be saved","remedy":"start the job with IO_URING off","#,
    r#""errno":"EOPNOTSUPP"}"#,
    "\n",
    r#"{"call":"checkpoint","level":"refuse","pid":2,"object":"vma","id":"0x7f0000000000","#,
    r#""kind":"device","why":"maps a device","errno":"EOPNOTSUPP","new_key":[1]}"#,
    "\nthis is no JSON\n",
);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into()
}

#[test]
fn an_image_is_committed() {
    let Some(job) = Job::start("commit") else {
        return;
    };
    let image = job.path("job.img");
    let slow = Answer {
        pause: Duration::from_millis(400),
        ..whole()
    };
    let (output, call) = job.ask(
        &["checkpoint", "job", "-o", &image, "--timeout", "3s"],
        slow,
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = Call {
        number: CHECKPOINT,
        flags: 1,
        size: ARGS as u64,
        timeout_ns: 3_000_000_000,
        parent: [0; 16],
        read: Vec::new(),
    };
    assert_eq!(call, expected);
    let said = text(&output.stdout);
    for part in [
        "job: 1 task",
        "700 us of 13.0 ms",
        "303 pages of data, 12 empty",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(fs::read(&image).unwrap(), whole().image);
    assert_eq!(job.files(), ["job.img", "jobs"]);
    assert!(job.runs());

    // Over an older one, and through a link, read again, and with figures for programs.
    let link = job.path("link");
    std::os::unix::fs::symlink("job.img", &link).unwrap();
    let args = ["checkpoint", "job", "-o", &link, "--verify", "--json"];
    let (output, call) = job.ask(&args, whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(call.timeout_ns, 0);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["result"]["freeze_ns"], 700_000);
    assert_eq!(json["result"]["pages_zero"], 12);
    assert_eq!(job.files(), ["job.img", "jobs", "link"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn changes_are_tracked_and_saved_since_an_image() {
    let Some(job) = Job::start("since") else {
        return;
    };
    let (first, second) = (job.path("0.img"), job.path("1.img"));
    let (output, call) = job.ask(&["checkpoint", "job", "-o", &first, "--track"], whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!((call.flags, call.parent), (0b101, [0; 16]));

    let args = ["checkpoint", "job", "-o", &second, "--since", &first];
    let (output, call) = job.ask(&args, whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Where the header has it.
    let uuid = &fs::read(&first).unwrap()[104..120];
    assert_eq!((call.flags, &call.parent[..]), (0b101, uuid));
    assert_ne!(uuid, [0; 16]);

    // Nobody is stopped for an image whose parent is none, or is not there.
    fs::write(&first, "no image").unwrap();
    for parent in [&first, &job.path("2.img")] {
        let args = ["checkpoint", "job", "-o", &second, "--since", parent];
        let output = job.ckpt(&args).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(parent.as_str()));
    }
    assert!(!job.is_called());
    assert_eq!(job.files(), ["0.img", "1.img", "jobs"]);
}

#[test]
fn a_stream_of_an_image() {
    let Some(job) = Job::start("stream") else {
        return;
    };
    let (output, _) = job.ask(&["checkpoint", "job", "-o", "-"], whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(output.stdout, whole().image);
    assert!(text(&output.stderr).contains("job: 1 task"));
    assert_eq!(job.files(), ["jobs"]);
}

#[test]
fn a_bad_image_is_not_committed() {
    let Some(job) = Job::start("bad") else {
        return;
    };
    let image = job.path("job.img");
    fs::write(&image, "older").unwrap();
    let mut cut = whole();
    cut.image.pop();
    let mut damaged = whole();
    damaged.image[200_000] ^= 1;
    let empty = Answer::default();
    for bad in [cut, damaged, empty] {
        let args = ["checkpoint", "job", "-o", &image, "--verify", "--kill"];
        let (output, _) = job.ask(&args, bad);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        assert_eq!(fs::read(&image).unwrap(), b"older");
        assert_eq!(job.files(), ["job.img", "jobs"]);
        assert!(job.runs());
    }
}

#[test]
fn a_checkpoint_that_fails_leaves_no_file() {
    let Some(job) = Job::start("fails") else {
        return;
    };
    let image = job.path("job.img");
    for (errno, code) in [
        (libc::EOPNOTSUPP, 4),
        (libc::ETIMEDOUT, 7),
        (libc::EPERM, 8),
        (libc::ENOSPC, 1),
        (libc::EINTR, 1),
        (libc::EINVAL, 1),
    ] {
        let failing = Answer {
            errno,
            log: REFUSALS,
            ..whole()
        };
        let (output, _) = job.ask(&["checkpoint", "job", "-o", &image], failing);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        for part in [
            "fd 5",
            "io_uring",
            "start the job with IO_URING off",
            "no JSON",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(job.files(), ["jobs"]);
        assert!(job.runs());
    }
}

#[test]
fn interrupted_there_is_no_file() {
    let Some(job) = Job::start("interrupted") else {
        return;
    };
    let image = job.path("job.img");
    let listener = job.listener.try_clone().unwrap();
    let slow = Answer {
        pause: Duration::from_secs(2),
        ..whole()
    };
    let kernel = thread::spawn(move || answer(&listener, &slow).unwrap());
    let mut client = job.ckpt(&["checkpoint", "job", "-o", &image]);
    let client = client.stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(700));
    let pid = Pid::from_child(&client);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted"));
    assert_eq!(job.files(), ["jobs"]);
    kernel.join().unwrap();
    // The init has noticed, and goes on.
    assert!(job.runs());
    let (output, _) = job.ask(&["checkpoint", "job", "-o", &image], whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_job_is_killed_when_its_image_is_there() {
    let Some(mut job) = Job::start("kill") else {
        return;
    };
    let image = job.path("job.img");
    let (output, _) = job.ask(&["checkpoint", "job", "-o", &image, "--kill"], whole());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(job.child.wait().unwrap().code(), Some(128 + 9));
    assert_eq!(job.files(), ["job.img", "jobs"]);
}

#[test]
fn an_image_counts_though_the_results_can_not_be_printed() {
    let Some(mut job) = Job::start("unprinted") else {
        return;
    };
    let image = job.path("job.img");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let listener = job.listener.try_clone().unwrap();
    let kernel = thread::spawn(move || {
        answer(&listener, &Answer::default()).unwrap();
        answer(&listener, &whole()).unwrap();
    });
    let check = job.ckpt(&["check", "job"]).stdout(full()).output().unwrap();
    assert_eq!(check.status.code(), Some(1), "{}", text(&check.stderr));
    let mut save = job.ckpt(&["checkpoint", "job", "-o", &image, "--kill"]);
    let save = save.stdout(full()).output().unwrap();
    assert_eq!(save.status.code(), Some(0), "{}", text(&save.stderr));
    assert!(text(&save.stderr).contains("No space left on device"));
    assert_eq!(fs::read(&image).unwrap(), whole().image);
    assert_eq!(job.child.wait().unwrap().code(), Some(128 + 9));
    kernel.join().unwrap();
}

#[test]
fn a_check_lists_what_is_in_the_way() {
    let Some(job) = Job::start("check") else {
        return;
    };
    let results = [1, 2, 0, 1, 2, 0, 0];
    let refused = || Answer {
        errno: libc::EOPNOTSUPP,
        log: REFUSALS,
        results,
        ..Answer::default()
    };
    let (output, call) = job.ask(&["check", "job"], refused());
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert_eq!((call.number, call.flags), (CHECKPOINT, 3));
    let said = text(&output.stdout);
    let row = said.lines().find(|line| line.contains("fd 5")).unwrap();
    for cell in [
        "2 ",
        "sleep",
        "io_uring",
        "anon_inode:[io_uring]",
        "can't be saved (EOPNOTSUPP)",
    ] {
        assert!(row.contains(cell), "{row}");
    }
    assert!(said.contains("job: 1 task, 2 things in the way"), "{said}");
    assert!(
        said.contains("what helps with fd 5: start the job with IO_URING off"),
        "{said}"
    );

    let (output, _) = job.ask(&["check", "job", "--json"], refused());
    assert_eq!(output.status.code(), Some(4));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["restorable"], false);
    assert_eq!(json["blockers"][0]["kind"], "io_uring");
    assert_eq!(
        json["blockers"][1]["new_key"][0], 1,
        "what is new is passed on"
    );
    assert_eq!(json["notes"][0]["why"], "this is no JSON");

    let fine = Answer {
        results: [1, 2, 0, 1, 0, 0, 0],
        ..Answer::default()
    };
    let (output, _) = job.ask(&["check", "job"], fine);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "job: 1 task, nothing is in the way\n");
}

#[test]
fn a_restart_gets_the_image_and_says_what_failed() {
    let dir = directory("restart");
    let image = dir.join("job.img");
    fs::write(&image, whole().image).unwrap();
    let image = image.to_str().unwrap();
    let ask = |args: &[&str], stdin: Stdio, with: Answer| {
        let mut command = ckpt(&dir, args);
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (child, listener) = match spawn(&mut command) {
            Ok(started) => started,
            Err(e) => {
                println!("skipped: restart: {e}");
                return None;
            }
        };
        let call = answer(&listener, &with).unwrap();
        Some((child.wait_with_output().unwrap(), call))
    };
    let failing = Answer {
        errno: libc::EEXIST,
        log: concat!(
            r#"{"call":"restart","level":"error","object":"task","pid":2,"kind":"pid","#,
            r#""why":"pid 2 is taken","errno":"EEXIST"}"#,
        ),
        ..Answer::default()
    };
    let Some((output, call)) = ask(&["restart", image, "-n", "job"], Stdio::null(), failing) else {
        return;
    };
    assert_eq!(
        (call.number, call.flags, call.size),
        (RESTART, 1, ARGS as u64)
    );
    assert_eq!(call.read, whole().image);
    assert_eq!(output.status.code(), Some(125));
    let said = text(&output.stderr);
    assert!(said.contains("pid 2 is taken (EEXIST)"), "{said}");
    let summary = said.lines().last().unwrap();
    let expected = "restart(2): pid 2: task pid: pid 2 is taken (EEXIST)";
    assert!(summary.ends_with(expected), "{said}");
    // What it says of an errno where the kernel says nothing.
    let silent = Answer {
        errno: libc::EINVAL,
        ..Answer::default()
    };
    let (output, _) = ask(&["restart", image, "-n", "job"], Stdio::null(), silent).unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("not an image, a damaged one"), "{said}");
    assert_eq!(
        fs::read_dir(dir.join("jobs")).unwrap().count(),
        1,
        "the lock"
    );

    // The made-up kernel can't make tasks, so a job that it restarts has ended at once.
    let fine = || Answer {
        image: Vec::new(),
        ..whole()
    };
    let args = ["restart", image, "-n", "job", "-v"];
    let (output, _) = ask(&args, Stdio::null(), fine()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("job: restarted 1 task"));

    let piped = Stdio::from(File::open(image).unwrap());
    let (output, call) = ask(&["restart", "-", "-n", "job"], piped, fine()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(call.read, whole().image);
    let _ = fs::remove_dir_all(&dir);
}

/// An image that takes its time.
fn slow(seconds: u64) -> Answer {
    Answer {
        pause: Duration::from_secs(seconds),
        ..whole()
    }
}

/// An image that no pipe holds.
fn large() -> Answer {
    Answer {
        image: checkpoint_sample::sample(2000).image(),
        ..whole()
    }
}

#[test]
fn a_job_answers_while_its_image_is_written() {
    let Some(job) = Job::start("answers") else {
        return;
    };
    let image = job.path("job.img");
    let (client, kernel) = job.begin(&image, slow(6));
    assert!(job.runs());
    let output = job.ckpt(&["kill", "-s", "CONT", "job"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!kernel.is_finished(), "it waited");

    // Another checkpoint waits. One whose client is gone by then is dropped.
    let mut gone = job.ckpt(&["checkpoint", "job", "-o", &job.path("gone")]);
    let mut gone = gone.stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(500));
    gone.kill().unwrap();
    gone.wait().unwrap();
    let waiting = job.ckpt(&["check", "job"]).stdout(Stdio::piped()).spawn();
    let waiting = waiting.unwrap();
    kernel.join().unwrap().unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let call = answer(&job.listener, &Answer::default()).unwrap();
    assert_eq!(call.flags, 3, "that of the one that has waited");
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(!job.is_called());
    assert_eq!(job.threads(), 1);
    assert_eq!(job.files(), ["job.img", "jobs"]);
}

#[test]
fn an_image_is_completed_though_its_job_has_ended() {
    let Some(mut job) = Job::start("ended") else {
        return;
    };
    let image = job.path("job.img");
    let (client, kernel) = job.begin(&image, slow(3));
    let pid = Pid::from_child(&job.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(&image).unwrap(), whole().image);
    assert_eq!(job.child.wait().unwrap().code(), Some(128 + 15));
    kernel.join().unwrap().unwrap();
}

#[test]
fn an_image_that_nobody_waits_for_keeps_no_init() {
    let Some(mut job) = Job::start("nobody") else {
        return;
    };
    let (mut client, kernel) = job.begin(&job.path("job.img"), slow(20));
    client.kill().unwrap();
    client.wait().unwrap();
    let start = Instant::now();
    let killed = job.ckpt(&["kill", "-s", "KILL", "job"]).output().unwrap();
    assert!(killed.status.success(), "{}", text(&killed.stderr));
    assert_eq!(job.child.wait().unwrap().code(), Some(128 + 9));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!kernel.is_finished());
}

#[test]
fn a_launcher_that_is_killed_takes_a_job_along_whose_image_is_written() {
    let Some(mut job) = Job::start("launcher") else {
        return;
    };
    let image = job.path("job.img");
    let (client, _kernel) = job.begin(&image, slow(20));
    let start = Instant::now();
    job.child.kill().unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    wait_for("the end of the job", || !job.runs());
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(job.files(), ["jobs"]);
}

#[test]
fn a_stream_ends_with_its_client() {
    let Some(job) = Job::start("client") else {
        return;
    };
    for signal in [
        rustix::process::Signal::KILL,
        rustix::process::Signal::INT,
        rustix::process::Signal::TERM,
    ] {
        // Nobody reads.
        let (mut client, kernel) = job.begin("-", large());
        let unread = client.stdout.take();
        assert!(!kernel.is_finished());
        let pid = Pid::from_child(&client);
        rustix::process::kill_process(pid, signal).unwrap();
        let output = client.wait_with_output().unwrap();
        let killed = signal == rustix::process::Signal::KILL;
        assert_eq!(output.status.code(), (!killed).then_some(1));
        kernel.join().unwrap().unwrap();
        wait_for("the end of the call", || job.threads() == 1);
        drop(unread);
    }
    let (output, _) = job.ask(&["checkpoint", "job", "-o", "-"], large());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(output.stdout, large().image);
}

#[test]
fn a_stream_that_is_to_be_verified_is_refused_before_the_job_is_stopped() {
    let Some(job) = Job::start("verify") else {
        return;
    };
    for target in ["-", "/dev/null"] {
        let output = job
            .ckpt(&["checkpoint", "job", "-o", target, "--verify"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("no --verify"), "{said}");
    }
    assert!(!job.is_called());
}

#[test]
fn a_stream_that_fails_says_why() {
    let Some(job) = Job::start("full") else {
        return;
    };
    let (output, _) = job.ask(&["checkpoint", "job", "-o", "/dev/full", "--kill"], large());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("no space left for the image"), "{said}");

    // A reader that goes.
    let (mut client, kernel) = job.begin("-", large());
    drop(client.stdout.take());
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("who was to read the image is gone"), "{said}");
    kernel.join().unwrap().unwrap();
    assert!(job.runs());
}
