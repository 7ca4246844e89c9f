// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{
    code::{coded, Code},
    image::Image,
    init, jobs,
    launch::{launch, Launch, Start},
    merge, runtime, save, show, sys,
};

const EXAMPLES: &str = "\
Start a program as a job, take an image of it, and bring it back later:

  ckpt run --name sim -- ./simulate input.dat > output.txt
  ckpt check sim                          # is anything in the way?
  ckpt checkpoint sim -o sim.img          # the job runs on
  ckpt show sim.img
  ckpt restart sim.img --name sim2 > output2.txt

Move a job to another machine:

  ckpt checkpoint sim -o /shared/sim.img --kill
  ssh other ckpt restart /shared/sim.img

An image every ten minutes, the last whole one always in place:

  while sleep 600 && ckpt checkpoint sim -o sim.img; do :; done

Exit status:
  run, restart  that of the job's first process; 128 + N if signal N killed it;
                125 if there was no job, 126 if CMD can't be executed, 127 if
                there is no CMD
  others        0  done
                1  failed, for a reason that has no number of its own
                2  mistake on the command line
                3  not an image, or a damaged one
                4  refused: something can't be saved, and the report names it
                5  no such job
                6  the kernel has no checkpoint(2)
                7  the job did not stop in time
                8  not permitted

A job is a tree of processes in namespaces of its own (pid, mount, ipc, uts) under a small init,
which alone calls checkpoint(2) and restart(2). Jobs are found in /run/ckpt, for users other than
root in $XDG_RUNTIME_DIR/ckpt, or in $CKPT_RUNTIME_DIR.";

/// Checkpoint and restart jobs.
///
/// Saves a running program with all its memory, files and threads to a file, and has it continue
/// from there: after a crash, after a reboot, or on another machine. The program need not know.
#[derive(Parser)]
#[command(name = "ckpt", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a program as a job that can be checkpointed
    ///
    /// The program gets namespaces and a session of its own. Its standard streams are those of this
    /// command; whatever they are, a later restart connects it with the streams of `ckpt restart`.
    /// Signals that this command gets are handed on to it.
    #[command(after_help = "\
Examples:
  ckpt run -- make -j8
  ckpt run --name sim -- ./simulate input.dat > output.txt
  ckpt run --tty -- python3             # interactive, with a terminal of its own
  ckpt run --detach --name srv -- ./server < /dev/null > log 2>&1")]
    Run {
        #[command(flatten)]
        options: LaunchOptions,
        /// The program and its arguments
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "CMD"
        )]
        command: Vec<OsString>,
    },

    /// Save a job to an image; it runs on
    ///
    /// The job stands still for as long as fork(2) of it would take, and runs on while the image is
    /// written. The image appears under its name when it is complete, checked and on disk; if
    /// anything fails, what was there before is there still, and the job has not noticed.
    #[command(after_help = "\
Examples:
  ckpt checkpoint sim -o sim.img
  ckpt checkpoint 12345 -o sim.img      # by the pid of any of its processes
  ckpt checkpoint sim -o - | zstd > sim.img.zst
  ckpt checkpoint sim -o sim.img --kill # to go on elsewhere
  ckpt checkpoint sim -o 0.img --track  # all, and then what has changed:
  ckpt checkpoint sim -o 1.img --since 0.img
  ckpt merge 0.img 1.img -o - | ckpt restart -

With --kill the job is killed once the image is in place. It has run on until then, and what it did
in between, a line written or a message sent, has been done and is not in the image.")]
    Checkpoint {
        /// Name of the job, or pid of any of its processes
        job: String,
        /// Where the image goes; - is the standard output. An existing image is replaced
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Kill the job when its image is in place
        #[arg(long)]
        kill: bool,
        /// Read all of the image again before it replaces an older one
        #[arg(long)]
        verify: bool,
        /// Keep track of what changes from now on, for an image that is --since this one
        #[arg(long)]
        track: bool,
        /// Save only what has changed since IMAGE, an image with --track or --since
        #[arg(long, value_name = "IMAGE")]
        since: Option<PathBuf>,
        /// How long its processes may take to stop: 5, 0.5, 500ms, 2min [default: 10s]
        #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
        timeout: Option<Duration>,
        /// Print the results as JSON
        #[arg(long)]
        json: bool,
    },

    /// Bring a job back from an image
    ///
    /// The processes come back under a new init in new namespaces, with the pids that they had, and
    /// run on from where they were. Files are opened again by their paths. The standard streams are
    /// connected with those of this command. It waits for the job and exits as it does.
    #[command(after_help = "\
Examples:
  ckpt restart sim.img > output.txt
  ckpt restart --detach sim.img --name sim
  zstd -dc sim.img.zst | ckpt restart - --name sim")]
    Restart {
        /// The image; - is the standard input
        image: PathBuf,
        #[command(flatten)]
        options: LaunchOptions,
        /// Say how long it took
        #[arg(short, long)]
        verbose: bool,
    },

    /// Say what is in the way of an image of a job
    ///
    /// Goes through everything that a checkpoint would save, writes nothing, and lists all that
    /// can't be saved: which process, which descriptor or address, what it is, why, and what would
    /// help. Exits with 4 if there is something.
    Check {
        /// Name of the job, or pid of any of its processes
        job: String,
        /// How long its processes may take to stop [default: 10s]
        #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
        timeout: Option<Duration>,
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },

    /// Show what is in an image
    Show {
        /// The image, a file
        image: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },

    /// Check an image: structure, and every byte against its checksum
    ///
    /// Exits with 0 if restart(2) will accept the image, and with 3 and a reason if not. What the
    /// machine must have to restore it, such as the files that the job had open, is not looked at.
    Verify {
        /// The images, files
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },

    /// Make one image of an image and of those that have the changes since
    ///
    /// The result is as if the last one had been taken whole, and stands for it: what has changed
    /// since the last one has changed since the result. All bytes are compared with their checksums
    /// before.
    #[command(after_help = "\
Examples:
  ckpt merge 0.img 1.img 2.img -o now.img
  ckpt merge 0.img 1.img -o - | ckpt restart - --name sim")]
    Merge {
        /// The images: a whole one, and one after another of those since
        #[arg(required = true)]
        images: Vec<PathBuf>,
        /// Where the result goes; - is the standard output. An existing image is replaced
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },

    /// List the jobs that run
    Ps {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },

    /// Send a signal to a job
    Kill {
        /// Name of the job, or pid of any of its processes
        job: String,
        /// Name or number of the signal, as for kill(1)
        #[arg(short, long, default_value = "TERM", value_parser = jobs::signal)]
        signal: i32,
        /// To all its processes, not only the first
        #[arg(short, long)]
        all: bool,
    },

    /// Be the init of a job
    #[command(name = "__init", hide = true)]
    Init { leash: i32 },
}

#[derive(Args)]
struct LaunchOptions {
    /// Name of the job [default: made from the program's name]
    #[arg(short, long, value_parser = name)]
    name: Option<String>,
    /// Print the job's name and return as soon as it runs
    #[arg(short, long, conflicts_with = "tty")]
    detach: bool,
    /// Give the job a terminal of its own, connected with this one
    #[arg(short, long)]
    tty: bool,
    /// Wait for all processes of the job; otherwise it ends with its first one
    #[arg(long)]
    wait_all: bool,
}

impl LaunchOptions {
    fn launch(self, default_name: &Path, start: Start, verbose: bool) -> Result<ExitCode> {
        launch(Launch {
            name: self
                .name
                .unwrap_or_else(|| runtime::make_name(default_name)),
            start,
            detach: self.detach,
            wait_all: self.wait_all,
            tty: self.tty,
            verbose,
        })
    }
}

/// Does what the command line says.
pub fn run() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Run { options, command } => {
            let program = PathBuf::from(command.first().cloned().unwrap_or_default());
            options.launch(&program, Start::Run(command), false)
        }
        Command::Checkpoint {
            job,
            output,
            kill,
            verify,
            track,
            since,
            timeout,
            json,
        } => save::save(&save::Save {
            target: job,
            output,
            kill,
            verify,
            track,
            parent: since,
            timeout,
            json,
        }),
        Command::Restart {
            image,
            options,
            verbose,
        } => {
            let start = open(&image).map_err(|e| coded(Code::Launch, format!("{e:#}")))?;
            options.launch(&image, start, verbose)
        }
        Command::Check { job, timeout, json } => save::check(&job, timeout, json),
        Command::Show { image, json } => show::show(&image, json),
        Command::Verify { images } => show::verify(&images),
        Command::Merge { images, output } => merge::merge(&images, &output),
        Command::Ps { json } => jobs::ps(json),
        Command::Kill { job, signal, all } => jobs::kill(&job, signal, all),
        Command::Init { leash } => Ok(init::main(leash)),
    }
}

/// Opens an image to be restarted. One in a file is looked at before anything is made.
fn open(path: &Path) -> Result<Start> {
    if path == Path::new("-") {
        let image = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        // What the job reads is not what comes behind the image.
        sys::replace(File::open("/dev/null")?.as_fd(), 0)?;
        return Ok(Start::Restart {
            image,
            path: path.into(),
            len: None,
        });
    }
    let file = File::open(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    if !file.metadata()?.is_file() {
        return Ok(Start::Restart {
            image: file,
            path: path.into(),
            len: None,
        });
    }
    let image = Image::new(file, path)?;
    let len = Some(image.header().image_len.get());
    Ok(Start::Restart {
        image: image.into_file(),
        path: path.into(),
        len,
    })
}

fn name(text: &str) -> Result<String> {
    runtime::check_name(text)?;
    Ok(text.into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..) {
        Some("ms") => 0.001,
        Some("" | "s") => 1.0,
        Some("m" | "min") => 60.0,
        _ => return Err("a time is a number and s, ms or min".into()),
    };
    let value: f64 = digits.parse().map_err(|_| "a time begins with a number")?;
    if value < 0.0 {
        return Err("a time is not less than 0".into());
    }
    Duration::try_from_secs_f64(value * factor).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "5h", "-1", "-0.5s", "1e400", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("-5s").unwrap_err().contains("not less than 0"));
    }
}
