// SPDX-License-Identifier: GPL-2.0-only

//! `ckpt checkpoint` and `ckpt check`: asking a job's init to call checkpoint(2).
//!
//! An image is written beside its target, without a name where the file system can do that,
//! checked, made durable, and renamed over the target: there is the whole new image or what there
//! was before.
//!
//! To anything but a regular file it is copied, from a pipe that the init writes to. When this
//! process ends, so does the pipe, and what the kernel has set aside for the image goes. An output
//! that stalls does not keep a signal from being heard.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{bail, Context, Result};
use checkpoint_image::{format::HEADER_LEN, parse};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::{AtFlags, Mode, OFlags, CWD},
    io::Errno,
    pipe::{fcntl_setpipe_size, pipe_with, PipeFlags},
};
use serde_json::json;

use crate::{
    code::{code_of, coded, explain, Code},
    image::{self, Image},
    out::{err, out},
    proto::{Reply, Request, Wanted},
    report::{anonymous, Log},
    runtime::{Job, Runtime},
    sys::{CheckpointArgs, SignalFd, SignalMask},
    view::{self, Progress},
    worker::Worker,
};

/// What `ckpt checkpoint` was told.
pub struct Save {
    /// Name or pid.
    pub target: String,
    /// Where the image goes; `-` is the standard output.
    pub output: PathBuf,
    /// Kill the job when the image is there.
    pub kill: bool,
    /// Read all of the image again before it counts.
    pub verify: bool,
    /// How long tasks may take to stop.
    pub timeout: Option<Duration>,
    /// Keep track of what changes from now on.
    pub track: bool,
    /// Save only what has changed since this image.
    pub parent: Option<PathBuf>,
    /// Results as JSON.
    pub json: bool,
}

/// Takes an image of a job.
pub fn save(save: &Save) -> Result<ExitCode> {
    let parent = match &save.parent {
        Some(path) => Some(Image::open(path)?.header().uuid),
        None => None,
    };
    let wanted = Wanted {
        timeout_ns: timeout_ns(save.timeout),
        track: save.track || parent.is_some(),
        parent,
        ..Wanted::default()
    };
    let job = Runtime::open().find(&save.target)?;
    let mut output = Output::open(&save.output, save.verify)?;
    // Who interrupts this leaves no file.
    let mask = SignalMask::of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    let before = mask.block()?;
    let signals = SignalFd::new(&mask)?;

    let call = call(&job, output.sink()?, wanted, &signals)?;
    let Some((errno, args, log)) = call else {
        bail!("interrupted; the job runs on, and there is no image");
    };
    if errno != 0 {
        return failed(&job, errno, &args, &log, save.json);
    }
    output.commit(save.verify, &mask, &before)?;
    if save.kill {
        let request = Request::Kill {
            signal: libc::SIGKILL,
            all: true,
        };
        match job.ask(&request) {
            Ok(Reply::Failed { why }) => {
                bail!("the image is complete, and the job lives: {why}")
            }
            Ok(_) => {}
            // It has ended by itself meanwhile.
            Err(e) if code_of(&e) == Code::NoJob => {}
            Err(e) => return Err(e.context("the image is complete, and the job may live")),
        }
    }

    let path = save.output.display();
    if save.json {
        let result = json!({
            "name": job.name,
            "file": save.output,
            "result": args,
            "killed": save.kill,
            "log": log.records,
        });
        print(&save.output, &format!("{result:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    err(&log.text());
    let unchanged = match args.pages_parent {
        0 => String::new(),
        n => format!(", {n} unchanged"),
    };
    let text = format!(
        "{}: {} in {} of image, {path}\n  stood still for {} of {}; {} of data, {} empty{unchanged}\n",
        job.name,
        view::count(args.tasks, "task"),
        view::bytes(args.image_bytes),
        view::time(args.freeze_ns),
        view::time(args.total_ns),
        view::count(args.pages_data, "page"),
        args.pages_zero,
    );
    print(&save.output, &text);
    Ok(ExitCode::SUCCESS)
}

/// Prints results where they don't get into the image. That the image is there does not depend on
/// it.
fn print(output: &Path, text: &str) {
    if output == Path::new("-") {
        err(text);
    } else {
        let _ = out(text);
    }
}

/// Looks for what is in the way of an image of a job.
pub fn check(target: &str, timeout: Option<Duration>, json: bool) -> Result<ExitCode> {
    let job = Runtime::open().find(target)?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    let signals = SignalFd::new(&SignalMask::of(&[]))?;
    let wanted = Wanted {
        dry_run: true,
        timeout_ns: timeout_ns(timeout),
        ..Wanted::default()
    };
    let call = call(&job, Sink::File(nowhere), wanted, &signals)?;
    let Some((errno, args, log)) = call else {
        bail!("interrupted");
    };
    let blocked = log.refusals().count();
    if errno != 0 && errno != libc::EOPNOTSUPP {
        return failed(&job, errno, &args, &log, json);
    }
    let text = if json {
        let blockers: Vec<_> = log.refusals().collect();
        let notes: Vec<_> = log.records.iter().filter(|r| !r.refuses()).collect();
        let result = json!({
            "name": job.name,
            "restorable": errno == 0 && blocked == 0,
            "result": args,
            "blockers": blockers,
            "notes": notes,
        });
        format!("{result:#}\n")
    } else {
        let tasks = view::count(args.tasks, "task");
        let found = match (blocked, errno) {
            (0, 0) => format!("{tasks}, nothing is in the way"),
            (0, _) => explain("checkpoint(2)", errno),
            (n, _) => {
                let things = view::count(n as u64, "thing");
                format!("{tasks}, {things} in the way")
            }
        };
        format!("{}{}: {found}\n", log.text(), job.name)
    };
    if !out(&text) {
        return Ok(ExitCode::from(Code::Failed as u8));
    }
    Ok(match (blocked, errno) {
        (0, 0) => ExitCode::SUCCESS,
        _ => ExitCode::from(Code::Refused as u8),
    })
}

/// Says why there is no image.
fn failed(job: &Job, errno: i32, args: &CheckpointArgs, log: &Log, json: bool) -> Result<ExitCode> {
    let mut message = format!("{}: {}", job.name, explain("checkpoint(2)", errno));
    // Here it is not an image that EINVAL is about.
    let code = match errno {
        libc::EINVAL => {
            message = format!("{}: checkpoint(2): invalid argument (EINVAL)", job.name);
            Code::Failed
        }
        errno => Code::of_errno(errno),
    };
    if json {
        let result = json!({
            "name": job.name,
            "error": message,
            "errno": errno,
            "result": args,
            "log": log.records,
        });
        let _ = out(&format!("{result:#}\n"));
    } else {
        err(&log.text());
    }
    Err(coded(code, message))
}

/// A time-out as checkpoint(2) takes it.
fn timeout_ns(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |t| {
        u64::try_from(t.as_nanos()).unwrap_or(u64::MAX).max(1)
    })
}

/// Has the init call checkpoint(2), and waits for it: its errno, results and reports. [`None`] if
/// one of `signals` came first.
fn call(
    job: &Job,
    sink: Sink,
    wanted: Wanted,
    signals: &SignalFd,
) -> Result<Option<(i32, CheckpointArgs, Log)>> {
    let log = anonymous("ckpt-log")?;
    let request = Request::Checkpoint(wanted);
    let (file, mut copier) = match sink {
        Sink::File(file) => {
            job.send(&request, &[file.as_fd(), log.as_fd()])?;
            (Some(file), None)
        }
        Sink::Pipe(pipe, copier) => {
            job.send(&request, &[pipe.as_fd(), log.as_fd()])?;
            (None, Some(copier))
        }
    };

    let mut progress: Option<Progress> = None;
    let mut answer = None;
    let mut copied: io::Result<()> = Ok(());
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    loop {
        if let (Some((errno, args)), None) = (answer, &copier) {
            // A copy that failed is why the init could not write.
            let errno = match &copied {
                Ok(()) => errno,
                Err(e) => e.raw_os_error().unwrap_or(libc::EIO),
            };
            return Ok(Some((errno, args, Log::read(&log))));
        }
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        if answer.is_none() {
            fds.push(PollFd::new(job.socket(), PollFlags::IN));
        }
        fds.extend(copier.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&tick)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).context("poll"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut ready = ready.into_iter();
        let mut next = || ready.next().unwrap_or(false);
        let signal = next();
        if answer.is_none() && next() {
            answer = match job.receive()? {
                Reply::Checkpoint { errno, args } => Some((errno, args)),
                Reply::Failed { why } => bail!("{}: {why}", job.name),
                _ => bail!("{}: the init has answered something else", job.name),
            };
        }
        if copier.is_some() && next() {
            if let Some(copier) = copier.take() {
                copied = copier.join()?;
            }
        }
        if signal && (answer.is_none() || copier.is_some()) {
            return Ok(None);
        }
        let Some(image) = &file else { continue };
        // The header comes first and says how long the rest will be.
        if let (None, false) = (&progress, wanted.dry_run) {
            progress = expected_len(image).map(|len| Progress::new("checkpoint", len));
        }
        if let (Some(progress), Ok(meta)) = (&mut progress, image.metadata()) {
            progress.at(meta.len());
        }
    }
}

/// How long the image will be that is being written to `file`.
fn expected_len(file: &File) -> Option<u64> {
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = [0; HEADER_LEN];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let header = parse::check_header(&bytes, image::hash).ok()?;
    Some(header.image_len.get())
}

/// What an init writes to.
enum Sink {
    /// Where the image is to be.
    File(File),
    /// A pipe, and who copies from it to where the image is to be.
    Pipe(OwnedFd, Worker<io::Result<()>>),
}

impl Sink {
    /// A pipe that is copied to `to`.
    fn pipe(to: File) -> Result<Self> {
        const SIZE: usize = 1 << 20;
        let (from, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        // A larger one is read less often; users may not have much of that.
        let _ = fcntl_setpipe_size(&pipe, SIZE);
        let (mut from, mut to) = (File::from(from), to);
        let copier = Worker::start(move || io::copy(&mut from, &mut to).map(drop))?;
        Ok(Sink::Pipe(pipe, copier))
    }
}

/// Where an image goes.
enum Output {
    /// A pipe, a device: what is written is written.
    Stream(File),
    /// A file that is not there before it is whole.
    File(Draft),
}

impl Output {
    /// Opens what is at `path`, or sees that an image can be put there. One that is to be verified
    /// must be in a file.
    fn open(path: &Path, verify: bool) -> Result<Self> {
        let wrong = |why: &str| Err(coded(Code::Usage, format!("{}: {why}", path.display())));
        let stream =
            "what goes to a stream can't be read again: no --verify without a regular file";
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                return wrong(
                    "an image is nothing for a terminal; send the standard output elsewhere",
                );
            }
            if verify {
                return wrong(stream);
            }
            let file = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Output::Stream(file.into()));
        }
        let context = || format!("{}", path.display());
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => bail!("{} is a directory", path.display()),
            Ok(meta) if !meta.is_file() && verify => wrong(stream),
            Ok(meta) if !meta.is_file() => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(path)
                    .with_context(context)?;
                Ok(Output::Stream(file))
            }
            // What a link points to is replaced, not the link.
            Ok(_) => Draft::new(&fs::canonicalize(path).with_context(context)?).map(Output::File),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Draft::new(path).map(Output::File),
            Err(e) => Err(e).with_context(context),
        }
    }

    /// What an init is to write to.
    fn sink(&self) -> Result<Sink> {
        match self {
            Output::Stream(file) => Sink::pipe(file.try_clone()?),
            Output::File(draft) => Ok(Sink::File(draft.file.try_clone()?)),
        }
    }

    /// Makes the image count, after it has been looked at. Signals of `mask` are blocked; `before`
    /// is what was blocked before that.
    fn commit(&mut self, verify: bool, mask: &SignalMask, before: &SignalMask) -> Result<()> {
        match self {
            Output::Stream(_) => Ok(()),
            Output::File(draft) => {
                // To look at it may take long, and a file without a name goes by itself.
                if !draft.named {
                    before.set()?;
                }
                let image = Image::new(draft.file.try_clone()?, &draft.target)
                    .context("the image that was written is refused; the job runs on")?;
                if verify {
                    image.verify_data()?;
                }
                mask.block()?;
                draft.commit()
            }
        }
    }
}

/// A file that gets its name last.
pub struct Draft {
    /// What it holds.
    pub file: File,
    dir: File,
    target: PathBuf,
    name: OsString,
    /// Its name until then.
    temporary: OsString,
    /// Whether it has that one.
    named: bool,
}

impl Draft {
    /// One that is to be at `target`.
    pub fn new(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .with_context(|| format!("{} is no file's name", target.display()))?;
        let dir = match target.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        let context = || format!("{}", dir.display());
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(dir)
            .with_context(context)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".ckpt-{}", std::process::id()));

        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let nameless = rustix::fs::openat(&opened, ".", flags | OFlags::TMPFILE, mode);
        let (file, named) = match nameless {
            Ok(file) => (file, false),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let flags = flags | OFlags::CREATE | OFlags::EXCL;
                let file = rustix::fs::openat(&opened, &temporary, flags, mode);
                (file.with_context(context)?, true)
            }
            Err(e) => return Err(e).with_context(context),
        };
        Ok(Self {
            file: file.into(),
            dir: opened,
            target: target.into(),
            name: name.into(),
            temporary,
            named,
        })
    }

    /// Makes it durable and gives it its name.
    pub fn commit(&mut self) -> Result<()> {
        let target = self.target.clone();
        let context = || format!("can't put the image in place, {}", target.display());
        rustix::fs::fsync(&self.file).with_context(context)?;
        if !self.named {
            // A file without a name can only get one that is free, so it is renamed as well.
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let follow = AtFlags::SYMLINK_FOLLOW;
            rustix::fs::linkat(CWD, own, &self.dir, &self.temporary, follow)
                .with_context(context)?;
            self.named = true;
        }
        rustix::fs::renameat(&self.dir, &self.temporary, &self.dir, &self.name)
            .with_context(context)?;
        self.named = false;
        rustix::fs::fsync(&self.dir).with_context(context)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            let _ = rustix::fs::unlinkat(&self.dir, &self.temporary, AtFlags::empty());
        }
    }
}
