// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt` from outside, on a kernel that need not have checkpoint(2): jobs and their inits, images
//! in files.

use std::{
    fs,
    io::Write,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use checkpoint_image::record::{End, Kind, Parent, ParentRuns, Run, SharedRun};
use checkpoint_sample::{run, Records, Sample, CODE, HEAP, PAGE, STACK};
use zerocopy::IntoBytes;

/// A directory of a test's own, which is also where its jobs are found.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ckpt-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn ckpt(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
        command
            .args(args)
            .env("CKPT_RUNTIME_DIR", self.0.join("jobs"));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.ckpt(args).output().unwrap()
    }

    /// Starts a job and waits until it is there.
    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.ckpt(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let name = args[args.iter().position(|arg| *arg == "-n").unwrap() + 1];
        let jobs = || String::from_utf8(self.run(&["ps"]).stdout).unwrap();
        wait_for(&format!("job {name}"), || {
            jobs().contains(name) || child.try_wait().unwrap().is_some()
        });
        child
    }

    fn jobs(&self) -> usize {
        let ps = self.run(&["ps"]);
        assert!(ps.status.success());
        String::from_utf8(ps.stdout).unwrap().lines().count() - 1
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
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

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into()
}

/// Whether this machine lets this user have jobs.
fn can_run(name: &str) -> bool {
    let place = Place::new(&format!("can-{name}"));
    let output = place.run(&["run", "--", "true"]);
    if output.status.success() {
        return true;
    }
    println!("skipped: {name}: {}", err(&output).trim());
    false
}

#[test]
fn a_job_exits_as_its_program_does() {
    if !can_run("exit codes") {
        return;
    }
    let place = Place::new("exit");
    let run = |args: &[&str]| place.run(&[&["run", "--"], args].concat());
    assert_eq!(code(&run(&["true"])), 0);
    assert_eq!(code(&run(&["sh", "-c", "exit 7"])), 7);
    assert_eq!(code(&run(&["sh", "-c", "kill -TERM $$"])), 128 + 15);
    assert_eq!(code(&run(&["sh", "-c", "kill -KILL $$"])), 128 + 9);
    let none = run(&["/nonexistent/program"]);
    assert_eq!(code(&none), 127);
    assert!(err(&none).contains("can't execute /nonexistent/program"));
    let no_program = run(&["/etc/passwd"]);
    assert_eq!(code(&no_program), 126);
    assert_eq!(place.jobs(), 0);
    assert_eq!(
        fs::read_dir(place.0.join("jobs")).unwrap().count(),
        1,
        "the lock"
    );
}

#[test]
fn the_world_of_a_job() {
    if !can_run("world") {
        return;
    }
    let place = Place::new("world");
    let script = "echo $$; cat /proc/1/comm; ls /proc/self/fd | wc -l; cut -d' ' -f4-7 \
                  /proc/self/stat; grep Cap.[^n] /proc/self/status | sort -u | head -1; \
                  grep SigBlk /proc/self/status; echo $#";
    let mut command = place.ckpt(&["run", "--", "sh", "-c", script, "sh", "--json", "-x"]);
    // What the caller has open is not the job's.
    let open = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    let output = command.output().unwrap();
    let output_text = out(&output);
    let lines: Vec<&str> = output_text.lines().collect();
    // The first process after init.
    assert_eq!(lines[0], "2");
    assert_eq!(lines[1], "ckpt-init");
    // Standard streams, and the directory itself.
    assert_eq!(lines[2], "4", "{lines:?}");
    // Child of the shell, its group and session, no terminal.
    assert_eq!(lines[3], "2 2 2 0");
    assert!(lines[5].ends_with("0000000000000000"), "{}", lines[5]);
    assert_eq!(
        lines[6], "2",
        "arguments that look like options are the program's"
    );
}

/// Init and job are in the same time namespace, which is their own where there can be one.
#[test]
fn a_time_namespace_of_its_own() {
    if !can_run("time") {
        return;
    }
    let place = Place::new("time");
    let links = "/proc/self/ns/time /proc/self/ns/time_for_children /proc/1/ns/time";
    let script = format!("for ns in {links}; do readlink $ns; done");
    let output = place.run(&["run", "--", "sh", "-c", &script]);
    let output_text = out(&output);
    let lines: Vec<&str> = output_text.lines().collect();
    let Some(own) = lines.first() else {
        println!("skipped: time: no time namespaces");
        return;
    };
    assert!(lines.iter().all(|line| line == own), "{lines:?}");
    let can_make = Command::new("unshare")
        .args(["--user", "--map-root-user", "--time", "true"])
        .output();
    if can_make.is_ok_and(|made| made.status.success()) {
        let ours = fs::read_link("/proc/self/ns/time").unwrap();
        assert_ne!(*own, ours.to_str().unwrap());
    } else {
        println!("skipped: time: no time namespace can be made");
    }
}

#[test]
fn signals_are_handed_on() {
    if !can_run("signals") {
        return;
    }
    let place = Place::new("signals");
    let script = "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.05; done";
    let child = place.start(&["run", "-n", "sig", "--", "sh", "-c", script]);
    sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 9);
    assert!(out(&output).contains("got it"));

    let child = place.start(&["run", "-n", "sig", "--", "sleep", "1000"]);
    let killed = place.run(&["kill", "-s", "SIGTERM", "sig"]);
    assert!(killed.status.success(), "{}", err(&killed));
    assert_eq!(code(&child.wait_with_output().unwrap()), 128 + 15);
}

#[test]
fn a_job_goes_with_its_launcher() {
    if !can_run("launcher killed") {
        return;
    }
    let place = Place::new("launcher");
    let mut child = place.start(&["run", "-n", "doomed", "--", "sleep", "1000"]);
    assert_eq!(place.jobs(), 1);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    wait_for("its end", || place.jobs() == 0);
}

#[test]
fn a_job_is_found_by_name_and_pid() {
    if !can_run("finding") {
        return;
    }
    let place = Place::new("find");
    let child = place.start(&["run", "-n", "first", "--", "sh", "-c", "sleep 1000; true"]);
    let mut other = place.start(&["run", "-n", "other", "-d", "--", "sleep", "1000"]);
    assert_eq!(place.jobs(), 2);
    let ps: serde_json::Value =
        serde_json::from_slice(&place.run(&["ps", "--json"]).stdout).unwrap();
    let first = &ps[0];
    assert_eq!(first["name"], "first");
    assert_eq!(first["pid"], 2);
    assert_eq!(first["command"], "sh -c sleep 1000; true");
    let init = first["init_pid"].as_i64().unwrap();
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let shell: i64 = children.trim().parse().unwrap();

    for target in [
        "first".to_string(),
        init.to_string(),
        shell.to_string(),
        child.id().to_string(),
    ] {
        // Signal 0 is none; 28, SIGWINCH, does nothing.
        for signal in ["0", "WINCH"] {
            let output = place.run(&["kill", "-s", signal, &target]);
            assert_eq!(code(&output), 0, "{target}: {}", err(&output));
        }
    }
    for target in ["third", "1", "999999999"] {
        let output = place.run(&["kill", target]);
        assert_eq!(code(&output), 5, "{target}: {}", err(&output));
    }

    let again = place.run(&["run", "-n", "first", "--", "true"]);
    assert_eq!(code(&again), 125);
    assert!(err(&again).contains("a job named first already"));

    // An init that was killed leaves its socket, which is in nobody's way.
    let pid = rustix::process::Pid::from_raw(init as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 128 + 9);
    assert!(err(&output).contains("the init of first was killed by signal 9"));
    assert_eq!(code(&place.run(&["run", "-n", "first", "--", "true"])), 0);

    // A detached one outlives its launcher.
    assert!(other.wait().unwrap().success());
    assert!(place
        .run(&["kill", "-a", "-s", "9", "other"])
        .status
        .success());
    wait_for("its end", || place.jobs() == 0);
}

#[test]
fn detached_and_waiting_for_all() {
    if !can_run("detached") {
        return;
    }
    let place = Place::new("detach");
    let output = place.run(&[
        "run",
        "-d",
        "-n",
        "bg",
        "--",
        "sh",
        "-c",
        "sleep 1000 & exit 0",
    ]);
    assert_eq!(code(&output), 0);
    assert_eq!(out(&output), "bg\n");
    // It has ended with its first process.
    wait_for("its end", || place.jobs() == 0);

    let start = Instant::now();
    let script = "(sleep 0.7; echo late) & exit 4";
    let output = place.run(&["run", "--wait-all", "--", "sh", "-c", script]);
    assert_eq!(code(&output), 4);
    assert_eq!(out(&output), "late\n");
    assert!(start.elapsed() > Duration::from_millis(700));

    let failed = place.run(&["run", "-d", "--", "/nonexistent"]);
    assert_eq!(code(&failed), 127);
}

#[test]
fn a_terminal_of_its_own() {
    let has_script = Command::new("script").arg("--version").output().is_ok();
    if !has_script || !can_run("terminal") {
        println!("skipped: terminal: script(1) makes one");
        return;
    }
    let place = Place::new("tty");
    // Sixth and seventh are session and terminal.
    let inner = "tty; cut -d\\  -f6-8 /proc/self/stat; [ -t 0 ] && [ -t 1 ] && echo both; \
                 kill -INT 0; echo not killed";
    let ckpt = env!("CARGO_BIN_EXE_ckpt");
    let line = format!("{ckpt} run --tty -- sh -c '{inner}'");
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("CKPT_RUNTIME_DIR", place.0.join("jobs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Open until the end, for script(1) types what says that it is closed.
    let typing = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(typing);
    let text = out(&output);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{text}");
    // In init's session, with a terminal, of which its group is in front.
    let fields: Vec<&str> = lines[1].split(' ').collect();
    assert_eq!(fields[0], "1", "{text}");
    assert_ne!(fields[1], "0", "{text}");
    assert_eq!(fields[2], "2", "{text}");
    assert_eq!(lines[2], "both");
    assert!(!text.contains("not killed"));
    assert_eq!(code(&output), 128 + 2);
}

#[test]
fn a_kernel_without_checkpoint() {
    if !can_run("no checkpoint(2)") {
        return;
    }
    let place = Place::new("enosys");
    let mut child = place.start(&["run", "-n", "job", "--", "sleep", "1000"]);
    let check = place.run(&["check", "job"]);
    if code(&check) != 6 {
        println!("skipped: this kernel has checkpoint(2)");
    } else {
        assert!(err(&check).contains("CONFIG_CHECKPOINT"));
        let image = place.write("image", b"what was there before");
        for target in [image.clone(), place.path("new")] {
            let output = place.run(&["checkpoint", "job", "-o", &target]);
            assert_eq!(code(&output), 6);
            assert!(err(&output).contains("ENOSYS"), "{}", err(&output));
        }
        assert_eq!(fs::read(&image).unwrap(), b"what was there before");
        let mut names: Vec<_> = fs::read_dir(&place.0)
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["image", "jobs"]);

        // The job is as it was.
        assert!(child.try_wait().unwrap().is_none());
        let json = place.run(&["checkpoint", "job", "-o", &image, "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["errno"], 38);

        let sample = place.write("sample", &checkpoint_sample::sample(1).image());
        let output = place.run(&["restart", &sample, "-n", "restarted"]);
        assert_eq!(code(&output), 125);
        assert!(
            err(&output).contains("CONFIG_CHECKPOINT"),
            "{}",
            err(&output)
        );
        assert_eq!(place.jobs(), 1);
    }
    place.run(&["kill", "-s", "KILL", "job"]);
    child.wait().unwrap();
}

#[test]
fn images_are_shown_and_verified() {
    let place = Place::new("show");
    let good = place.write("good", &checkpoint_sample::sample(300).image());
    let shown = place.run(&["show", &good]);
    assert_eq!(code(&shown), 0, "{}", err(&shown));
    let text = out(&shown);
    for part in [
        "Linux 7.3.4 on x86_64",
        "12345678-9abc-4def-8001-020304050607",
        "counter (in nanosleep, 1.50 s left)",
        "gone (zombie)",
        "/var/tmp/out put",
        "init's descriptor 0 (was /dev/null)",
        "7 = file 2 (cloexec)",
        "[heap]",
        "4.0 KiB in the image, 1.2 MiB shared with memory 1, base memory 1\n",
        "4.0 KiB  [heap] (1.2 MiB shared) (4.0 KiB of guards)\n",
        " mapped, 8.0 KiB of guards, 1.2 MiB in the image\n",
        "1.2 MiB  [heap] (4.0 KiB of guards)\n",
        "shared memory 2 (4.0 KiB of guards)\n",
        "8.0 KiB, 0 B in the image, System V, shmid 32768, key 0x1234, mode 1640\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Nothing is said of what is not shared.
    assert_eq!(text.matches(" shared").count(), 3, "{text}");
    let json = place.run(&["show", "--json", &good]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["tasks"][0]["pid"], 2);
    assert_eq!(json["tasks"][0]["command"], "counter");
    assert_eq!(json["tasks"][0]["credentials"]["groups"][0], 100);
    assert_eq!(json["tasks"][0]["seccomp"], "filter 2");
    assert_eq!(json["memories"][0]["program"], "/usr/bin/counter");
    assert_eq!(json["memories"][0]["maps"][1]["data_bytes"], 300 * 4096);
    assert_eq!(json["shared_memories"][1]["data_bytes"], 4096);
    assert_eq!(json["shared_memories"][0]["sysv"]["shmid"], 32768);
    assert_eq!(json["shared_memories"][1].get("sysv"), None);
    assert_eq!(json["data_bytes"], 304 * 4096);
    assert_eq!(json["memories"][0]["shared_bytes"], 0);
    assert_eq!(json["memories"][0].get("base"), None);
    assert_eq!(json["memories"][0]["guard_bytes"], 2 * 4096);
    for (nth, guards) in [0, 1, 1, 0, 0, 0].into_iter().enumerate() {
        let map = &json["memories"][0]["maps"][nth];
        assert_eq!(map["guard_bytes"], guards * 4096, "{map}");
    }
    let child = &json["memories"][1];
    assert_eq!(child["base"], 1);
    assert_eq!(child["data_bytes"], 4096);
    assert_eq!(child["shared_bytes"], 301 * 4096);
    assert_eq!(child["shared_with"][0]["memory"], 1);
    assert_eq!(child["shared_with"][0]["bytes"], 301 * 4096);
    assert_eq!(child["maps"][0]["shared_bytes"], 0);
    assert_eq!(child["maps"][1]["shared_bytes"], 301 * 4096);
    assert_eq!(child["guard_bytes"], 4096);
    assert_eq!(child["maps"][0]["guard_bytes"], 0);
    assert_eq!(child["maps"][1]["guard_bytes"], 4096);

    let verified = place.run(&["verify", &good]);
    assert_eq!(code(&verified), 0, "{}", err(&verified));
    assert!(out(&verified).contains("whole: 2 tasks"));
    assert!(out(&verified).contains(" 304 pages of data, 301 shared pages, "));
}

#[test]
fn shared_pages_are_in_the_image() {
    let place = Place::new("shared");
    let mut sample = checkpoint_sample::sample(3);
    sample.edit::<SharedRun>(Kind::SharedRuns, 0, |run| {
        run.from = checkpoint_sample::STACK.into();
    });
    let path = place.write("bad", &sample.image());
    for args in [["verify", &path], ["show", &path]] {
        let output = place.run(&args);
        assert_eq!(code(&output), 3, "{}", err(&output));
        let why = "shared pages whose content is not in the image";
        assert!(err(&output).contains(why), "{}", err(&output));
    }
    // An image without any says nothing of them.
    sample.replace(Kind::SharedRuns, 0, &[]);
    sample.recount();
    let path = place.write("without", &sample.image());
    let output = place.run(&["verify", &path]);
    assert!(
        out(&output).contains(" 7 pages of data, "),
        "{}",
        err(&output)
    );
    assert!(!out(&output).contains("shared page"));
}

/// An image with the metadata of the default sample, of which all pages but those of shared memory
/// and of a file are in its parent.
fn all_in_parent() -> Sample {
    let mut sample = Sample::incremental();
    let all = |mm: u32, runs: &[Run]| {
        let mut records = Records::default();
        let head = ParentRuns {
            mm: mm.into(),
            reserved: 0.into(),
        };
        records.add(Kind::ParentRuns, &head, runs.as_bytes());
        records.bytes
    };
    let first = [run(CODE + PAGE, 1), run(HEAP, 3), run(STACK + PAGE, 1)];
    // Behind those of shared memory.
    sample.replace(Kind::Runs, 2, &[]);
    sample.replace(Kind::Runs, 1, &[]);
    sample.replace(Kind::ParentRuns, 0, &all(1, &first));
    // Of these the parent has two pieces for the shared ones, and one of its own.
    sample.replace(Kind::SharedRuns, 0, &all(2, &[run(HEAP, 5)]));
    sample.recount();
    let pages = 1u64;
    sample.edit::<End>(Kind::End, 0, |end| end.pages = pages.into());
    sample.data.truncate((pages * PAGE) as usize);
    sample
}

#[test]
fn images_are_merged() {
    let place = Place::new("merge");
    let whole = Sample::default();
    let base = place.write("base", &whole.image());
    let changes = Sample::incremental();
    let since = place.write("since", &changes.image());
    let to = place.path("merged");

    // As if it had been taken whole, but for who it is.
    let expect = |data: &[u8], merged: &[u8]| {
        let expected = checkpoint_sample::image(&whole.records.bytes, data);
        assert_eq!(merged.len(), expected.len());
        let data_offset = expected.len() - 64 - 8 - data.len();
        assert!(merged[256..data_offset + data.len()] == expected[256..data_offset + data.len()]);
        assert_eq!(merged[104..120], checkpoint_sample::CHILD);
        assert_eq!(merged[24..32], [0; 8]);
    };
    let output = place.run(&["merge", &base, &since, "-o", &to]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let mut data = whole.data.clone();
    let last = data.len() - PAGE as usize;
    data[last..].iter_mut().for_each(|byte| *byte ^= 0xff);
    expect(&data, &fs::read(&to).unwrap());
    let verified = place.run(&["verify", &to]);
    assert_eq!(code(&verified), 0, "{}", err(&verified));
    let streamed = place.run(&["merge", &base, &since, "-o", "-"]);
    assert_eq!(code(&streamed), 0, "{}", err(&streamed));
    assert!(streamed.stdout == fs::read(&to).unwrap());

    // What was shared in the parent is shared again.
    let same = place.write("same", &all_in_parent().image());
    let verified = place.run(&["verify", &same]);
    assert!(
        out(&verified).contains(" 10 pages in its parent"),
        "{}",
        out(&verified)
    );
    let output = place.run(&["merge", &base, &same, "-o", &to]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    expect(&whole.data, &fs::read(&to).unwrap());
    // One by itself is what it is.
    let output = place.run(&["merge", &base, "-o", &to]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(fs::read(&to).unwrap() == whole.image());

    let shown = place.run(&["show", &since]);
    assert_eq!(code(&shown), 0, "{}", err(&shown));
    let parent = "parent   12345678-9abc-4def-8001-020304050607";
    assert!(out(&shown).contains(parent), "{}", out(&shown));
    assert!(
        out(&shown).contains("4.0 KiB in its parent"),
        "{}",
        out(&shown)
    );
}

#[test]
fn only_chains_are_merged() {
    let place = Place::new("chains");
    let base = place.write("base", &Sample::default().image());
    let since = place.write("since", &Sample::incremental().image());
    let mut other = Sample::incremental();
    other.edit::<Parent>(Kind::Parent, 0, |parent| parent.uuid = [7; 16]);
    let other = place.write("other", &other.image());
    let mut damaged = fs::read(&base).unwrap();
    let in_data = damaged.len() - 100;
    damaged[in_data] ^= 1;
    let damaged = place.write("damaged", &damaged);
    let to = place.path("to");
    for (images, why) in [
        (vec![&since], "it has a parent, which has to come first"),
        (
            vec![&since, &base],
            "it has a parent, which has to come first",
        ),
        (
            vec![&base, &base],
            "it has no parent, so it is not to be merged",
        ),
        (vec![&base, &other], "the image before it is not its parent"),
        (
            vec![&base, &since, &since],
            "the image before it is not its parent",
        ),
        (vec![&damaged, &since], "page data is damaged"),
    ] {
        let args: Vec<&str> = images.into_iter().map(String::as_str).collect();
        let output = place.run(&[&["merge", "-o", &to][..], &args].concat());
        assert_eq!(code(&output), 3, "{}", err(&output));
        assert!(err(&output).contains(why), "{}", err(&output));
        assert!(!Path::new(&to).exists());
    }
    // A page that the parent does not have.
    let mut lacking = Sample::default();
    lacking.replace(Kind::SharedRuns, 0, &[]);
    lacking.recount();
    let lacking = place.write("lacking", &lacking.image());
    let same = place.write("same", &all_in_parent().image());
    let output = place.run(&["merge", &lacking, &same, "-o", &to]);
    assert_eq!(code(&output), 1, "{}", err(&output));
    assert!(
        err(&output).contains("no image has the page at 0x600000"),
        "{}",
        err(&output)
    );
}

#[test]
fn nothing_is_said_of_guards_that_are_not_there() {
    let place = Place::new("plain");
    let mut sample = checkpoint_sample::sample(3);
    sample.replace(Kind::Guards, 1, &[]);
    sample.replace(Kind::Guards, 0, &[]);
    sample.recount();
    let path = place.write("without", &sample.image());
    let shown = place.run(&["show", &path]);
    assert_eq!(code(&shown), 0, "{}", err(&shown));
    assert!(!out(&shown).contains("guard"), "{}", out(&shown));
}

#[test]
fn damaged_images_are_refused() {
    let place = Place::new("damaged");
    let image = checkpoint_sample::sample(300).image();
    let refused = |name: &str, bytes: &[u8], why: &str| {
        let path = place.write(name, bytes);
        for args in [&["verify"][..], &["show"], &["restart"]] {
            let output = place.run(&[args, &[&path]].concat());
            let expected = if args[0] == "restart" { 125 } else { 3 };
            assert_eq!(code(&output), expected, "{args:?} {name}: {}", err(&output));
            assert!(
                err(&output).contains(why),
                "{args:?} {name}: {}",
                err(&output)
            );
            assert!(err(&output).contains(&path));
        }
    };
    refused("empty", b"", "not a checkpoint image");
    refused("text", b"#!/bin/sh\n", "not a checkpoint image");
    refused("long", &[0; 5000], "not a checkpoint image");
    refused("header", &image[..100], "ends within the header");
    refused("metadata", &image[..3000], "the file is cut");
    refused("trailer", &image[..image.len() - 1], "the file is cut");
    refused("longer", &[&image[..], b"x"].concat(), "behind the end");
    let mut flipped = image.clone();
    flipped[2000] ^= 1;
    refused("flipped", &flipped, "metadata is damaged");
    let mut flipped = image.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refused("flipped end", &flipped, "trailer is damaged");

    // Damage of the data is for `verify` to find, and for restart(2).
    let mut flipped = image.clone();
    flipped[200_000] ^= 1;
    let path = place.write("data", &flipped);
    assert_eq!(code(&place.run(&["show", &path])), 0);
    let output = place.run(&["verify", &path]);
    assert_eq!(code(&output), 3);
    assert!(
        err(&output).contains("page data is damaged"),
        "{}",
        err(&output)
    );
    // One bad image fails the whole, and the others are still looked at.
    let good = place.write("good", &image);
    let output = place.run(&["verify", &path, &good]);
    assert_eq!(code(&output), 3);
    assert!(out(&output).contains("good: whole"));

    assert_eq!(code(&place.run(&["show", "/nonexistent"])), 1);
    assert_eq!(code(&place.run(&["show", "/dev/null"])), 1);
    assert_eq!(code(&place.run(&["show"])), 2);
    let negative = place.run(&["check", "job", "--timeout", "-5"]);
    assert_eq!(code(&negative), 2);
    assert!(err(&negative).contains("a time is not less than 0"));
    // Standard input is for restart(2) only, which reads an image from front to end.
    for args in [["show", "-"], ["verify", "-"]] {
        let output = place.run(&args);
        assert_eq!(code(&output), 1);
        assert!(err(&output).contains("in a file"), "{}", err(&output));
    }
    assert_eq!(code(&place.run(&["run", "-n", "12", "--", "true"])), 2);
}

#[test]
fn a_stream_that_is_no_image() {
    if !can_run("stream") {
        return;
    }
    let place = Place::new("stream");
    let mut command = place.ckpt(&["restart", "-", "-n", "piped"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"nothing");
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 125);
    assert_eq!(place.jobs(), 0);
}

#[test]
fn others_are_kept_out() {
    if !can_run("permissions") {
        return;
    }
    let place = Place::new("private");
    let mut child = place.start(&["run", "-n", "mine", "--", "sleep", "1000"]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.0.join("jobs")), 0o700);
    assert_eq!(mode(place.0.join("jobs/mine")), 0o600);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("its end", || place.jobs() == 0);
}

#[test]
fn only_left_over_sockets_are_removed() {
    let place = Place::new("others-files");
    let jobs = place.0.join("jobs");
    fs::create_dir(&jobs).unwrap();
    fs::write(jobs.join("notes"), "kept").unwrap();
    fs::create_dir(jobs.join("directory")).unwrap();
    std::os::unix::fs::symlink("notes", jobs.join("link")).unwrap();
    // One that speaks otherwise, and one of somebody who is gone.
    let _other = UnixListener::bind(jobs.join("stream")).unwrap();
    drop(left_over(&jobs.join("stale")));
    let kept = ["directory", "link", "notes", "stream"];

    // Without the lock nobody may take anything away.
    assert_eq!(place.jobs(), 0);
    assert_eq!(names(&jobs), [&kept[..3], &["stale", "stream"]].concat());
    fs::write(jobs.join(".lock"), "").unwrap();
    for name in kept {
        assert_eq!(code(&place.run(&["kill", name])), 5);
    }
    assert_eq!(place.jobs(), 0);
    assert_eq!(names(&jobs), [&[".lock"], &kept[..]].concat());
    assert_eq!(fs::read(jobs.join("notes")).unwrap(), b"kept");

    for name in kept {
        let output = place.run(&["run", "-n", name, "--", "true"]);
        assert_eq!(code(&output), 125);
        assert!(err(&output).contains("in the way"), "{}", err(&output));
    }
    assert_eq!(names(&jobs), [&[".lock"], &kept[..]].concat());
    assert_eq!(fs::read(jobs.join("notes")).unwrap(), b"kept");
}

/// Binds a socket as a launcher does.
fn left_over(path: &Path) -> OwnedFd {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

/// Names of all that is in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_that_was_there_is_not_changed() {
    let place = Place::new("open-directory");
    let jobs = place.0.join("jobs");
    fs::create_dir(&jobs).unwrap();
    let mode = |mode| fs::set_permissions(&jobs, fs::Permissions::from_mode(mode)).unwrap();
    let has = || fs::metadata(&jobs).unwrap().permissions().mode() & 0o7777;
    for open in [0o1777, 0o775, 0o702] {
        mode(open);
        let output = place.run(&["run", "--", "true"]);
        assert_eq!(code(&output), 125);
        let said = err(&output);
        assert!(said.contains("can be written to by others"), "{said}");
        assert!(said.contains("set CKPT_RUNTIME_DIR"), "{said}");
        assert_eq!(has(), open);
        assert!(names(&jobs).is_empty());
    }
    if can_run("a readable directory") {
        mode(0o755);
        let mut child = place.start(&["run", "-n", "seen", "--", "sleep", "1000"]);
        assert_eq!(has(), 0o755);
        let socket = fs::metadata(jobs.join("seen")).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for("its end", || place.jobs() == 0);
    }
}

#[test]
fn what_another_user_has_is_not_permitted() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: another user: it takes root to be one");
        return;
    }
    let place = Place::new("another-user");
    let jobs = place.0.join("jobs");
    fs::create_dir(&jobs).unwrap();
    fs::set_permissions(&jobs, fs::Permissions::from_mode(0o700)).unwrap();
    // A copy that everybody can reach.
    let program = place.path("ckpt");
    fs::copy(env!("CARGO_BIN_EXE_ckpt"), &program).unwrap();
    for args in [
        &["ps"][..],
        &["kill", "job"],
        &["check", "job"],
        &["checkpoint", "job", "-o", "-"],
    ] {
        let mut command = Command::new(&program);
        let output = command
            .args(args)
            .env("CKPT_RUNTIME_DIR", &jobs)
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        assert_eq!(code(&output), 8, "{args:?}: {}", err(&output));
    }
}

#[test]
fn a_job_that_does_not_answer_is_listed_as_such() {
    if !can_run("no answer") {
        return;
    }
    let place = Place::new("stopped");
    let mut child = place.start(&["run", "-n", "stopped", "--", "sleep", "1000"]);
    let mut other = place.start(&["run", "-n", "well", "--", "sleep", "1000"]);
    let list = || -> serde_json::Value {
        serde_json::from_slice(&place.run(&["ps", "--json"]).stdout).unwrap()
    };
    let answers = || list()[0]["answers"].as_bool().unwrap();
    wait_for("an answer", answers);
    let init = list()[0]["init_pid"].as_i64().unwrap() as i32;
    let init = rustix::process::Pid::from_raw(init).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::STOP).unwrap();

    let mut asking: Vec<Child> = Vec::new();
    for more in [0, 20] {
        // With so many, nobody else can connect.
        asking.extend((0..more).map(|_| {
            let mut kill = place.ckpt(&["kill", "-s", "CONT", "stopped"]);
            kill.stderr(Stdio::null()).spawn().unwrap()
        }));
        let start = Instant::now();
        let text = out(&place.run(&["ps"]));
        assert!(start.elapsed() < Duration::from_secs(20));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].starts_with("stopped ") && lines[1].ends_with("(does not answer)"));
        assert!(lines[2].starts_with("well ") && lines[2].ends_with("sleep 1000"));
        assert!(list()[0]["processes"].is_null());
    }
    rustix::process::kill_process(init, rustix::process::Signal::CONT).unwrap();
    wait_for("an answer", answers);
    for mut kill in asking {
        kill.wait().unwrap();
    }
    for child in [&mut child, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_for("their end", || place.jobs() == 0);
}

/// Ends what reads the standard output of `command` before it has begun.
fn unread(mut command: Command) -> Output {
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    command.stdout(OwnedFd::from(writer)).output().unwrap()
}

/// Has the standard output of `command` fail.
fn full(mut command: Command) -> Output {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    command.stdout(full.unwrap()).output().unwrap()
}

#[test]
fn a_listing_that_nobody_reads_is_no_failure_and_one_that_fails_is() {
    let place = Place::new("unread");
    let good = place.write("good", &checkpoint_sample::sample(300).image());
    for args in [
        &["show", &good][..],
        &["show", "--json", &good],
        &["verify", &good, &good],
        &["ps"],
        &["ps", "--json"],
        &["--help"],
    ] {
        let output = unread(place.ckpt(args));
        assert_eq!(code(&output), 0, "{args:?}: {}", err(&output));
        assert_eq!(err(&output), "");
        let output = full(place.ckpt(args));
        if args != ["--help"] {
            assert_eq!(code(&output), 1, "{args:?}");
            assert_eq!(err(&output).matches("No space left on device").count(), 1);
        }
        assert!(!err(&output).contains("panicked"), "{}", err(&output));
    }
    let bad = place.write("bad", b"");
    assert_eq!(code(&full(place.ckpt(&["verify", &good, &bad]))), 3);
    assert_eq!(code(&full(place.ckpt(&["verify", &bad, &good]))), 3);
    let mut silent = place.ckpt(&["verify", &bad]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    assert_eq!(
        silent.stderr(full.unwrap()).status().unwrap().code(),
        Some(3)
    );
}

#[test]
fn a_job_that_was_started_counts_though_its_name_can_not_be_printed() {
    if !can_run("unread") {
        return;
    }
    let place = Place::new("unread-name");
    for (name, print) in [("one", unread as fn(Command) -> Output), ("two", full)] {
        let mut run = place.ckpt(&["run", "-d", "-n", name, "--", "sleep", "1000"]);
        // The job keeps it open.
        run.stderr(Stdio::null());
        let output = print(run);
        assert_eq!(code(&output), 0, "{}", err(&output));
        assert_eq!(place.jobs(), 1);
        let output = print(place.ckpt(&["kill", "-s", "KILL", name]));
        assert_eq!(code(&output), 0, "{}", err(&output));
        wait_for("its end", || place.jobs() == 0);
    }
}
