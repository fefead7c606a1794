// SPDX-License-Identifier: MIT
//! The first process of a virtual machine (see `vm.rs`): it mounts what the kernel offers, loads
//! modules, runs one command, reports its output and exit code through serial ports, and powers off.
//!
//! As any other process, it writes files to its standard output, so that a machine with nothing else
//! can show what the kernel says.
#![allow(clippy::print_stderr)] // there it is the console

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::vm::{COMMAND, EXIT_CODE, MODULES, REPORT, STDERR, STDOUT};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

/// File systems and where they are mounted, in this order. An old kernel may lack some.
const MOUNTS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
    ("securityfs", "/sys/kernel/security"),
    ("cgroup2", "/sys/fs/cgroup"),
];

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return show(std::env::args().skip(1));
    }
    if let Err(error) = command() {
        eprintln!("guest: {error:#}");
    }
    let error = reboot(RebootCommand::PowerOff);
    eprintln!("guest: cannot power off: {error:?}");
    // The kernel panics now, which ends the machine, too.
    ExitCode::FAILURE
}

/// Writes files to standard output.
fn show(paths: impl Iterator<Item = String>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let shown = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
        if let Err(error) = shown {
            eprintln!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Prepares the machine, runs the command, and reports its exit code.
fn command() -> Result<()> {
    for (kind, target) in MOUNTS {
        if let Err(error) = mount(kind, target, kind, MountFlags::empty(), None) {
            eprintln!("guest: no {kind} on {target}: {error}");
        }
    }
    load_modules()?;
    let mut report = port(REPORT)?;
    let words = fs::read_to_string(COMMAND).context(COMMAND)?;
    let mut words = words.split_terminator('\0');
    let program = words.next().context("no command")?;
    let status = run(Command::new(program).args(words))?;
    // A shell's exit code, if a signal has ended it.
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    writeln!(report, "{EXIT_CODE}{code}")?;
    Ok(tcdrain(&report)?)
}

/// Loads the modules in the order of their names.
fn load_modules() -> Result<()> {
    let entries: io::Result<Vec<_>> = fs::read_dir(MODULES)?.collect();
    let mut paths: Vec<_> = entries?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        finit_module(File::open(&path)?, c"", 0).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Runs a command; its output goes through pipes, so that it finds no terminal.
fn run(command: &mut Command) -> Result<ExitStatus> {
    let (mut out, mut err) = (port(STDOUT)?, port(STDERR)?);
    let mut child = command
        .current_dir("/root")
        .env("HOME", "/root")
        .env("PATH", "/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the command")?;
    let stdout = child.stdout.take().context("no pipe")?;
    let stderr = child.stderr.take().context("no pipe")?;
    std::thread::scope(|scope| {
        let copied = [
            scope.spawn(move || pass_on(stdout, &mut out)),
            scope.spawn(move || pass_on(stderr, &mut err)),
        ];
        let status = child.wait();
        let copied = copied.map(|thread| thread.join().is_ok_and(|result| result.is_ok()));
        ensure!(copied == [true; 2], "the output was not passed on");
        Ok(status?)
    })
}

fn pass_on(mut from: impl io::Read, to: &mut File) -> io::Result<()> {
    io::copy(&mut from, to)?;
    Ok(tcdrain(to)?)
}

/// Opens a serial port that passes on bytes as they are.
fn port(path: &str) -> Result<File> {
    let open = || -> io::Result<File> {
        let file = File::options().read(true).write(true).open(Path::new(path))?;
        let mut mode = tcgetattr(&file)?;
        mode.make_raw();
        tcsetattr(&file, OptionalActions::Now, &mode)?;
        Ok(file)
    };
    open().context(path.to_owned())
}
