// SPDX-License-Identifier: MIT
//! The first process of a virtual machine (see `vm.rs`): it mounts what the kernel offers, loads
//! modules, runs commands, reports their output and exit codes through serial ports, and powers off.
//!
//! As any other process, it writes files to its standard output, so that a machine with nothing else
//! can show what the kernel says; or, as `guest cases DIRECTORY [NAME]…`, runs cases of the kernel
//! matrix with the ecli and the packages in a directory.
#![allow(clippy::print_stderr)] // there it is the console

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use bpfpack_tests::matrix::{ACT, CASES, Place, act};
use bpfpack_tests::sys::network;
use bpfpack_tests::vm::{COMMANDS, MODULES, REPORT, STDERR, STDOUT};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use serde_json::json;

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
        let words: Vec<String> = std::env::args().skip(1).collect();
        return match words.split_first() {
            Some((first, [directory, names @ ..])) if first == "cases" => cases(directory, names),
            Some((first, [name])) if first == ACT => acted(name),
            _ => show(&words),
        };
    }
    if let Err(error) = commands() {
        eprintln!("guest: {error:#}");
    }
    let error = reboot(RebootCommand::PowerOff);
    eprintln!("guest: cannot power off: {error:?}");
    // The kernel panics now, which ends the machine, too.
    ExitCode::FAILURE
}

/// Writes files to standard output.
fn show(paths: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let shown = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
        if let Err(error) = shown {
            eprintln!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Runs cases, by default all, and prints how each ended as a JSON object in a line.
fn cases(directory: &str, names: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let mut run = || -> Result<()> {
        let place = Place::new(Path::new(directory))?;
        for case in
            CASES.iter().filter(|case| names.is_empty() || names.iter().any(|it| it == case.name))
        {
            match place.run(case) {
                Ok(ended) => writeln!(io::stdout(), "{}", ended.to_json())?,
                Err(error) => {
                    eprintln!("{}: {error:#}", case.name);
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(())
    };
    if let Err(error) = run() {
        eprintln!("guest: {error:#}");
        code = ExitCode::FAILURE;
    }
    code
}

/// Does what triggers the program of a case.
fn acted(name: &str) -> ExitCode {
    match act(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prepares the machine, runs the commands, and reports how each of them ended.
fn commands() -> Result<()> {
    for (kind, target) in MOUNTS {
        if let Err(error) = mount(kind, target, kind, MountFlags::empty(), None) {
            eprintln!("guest: no {kind} on {target}: {error}");
        }
    }
    load_modules()?;
    network::all_up()?;
    let mut report = port(REPORT)?;
    let commands: Vec<Vec<String>> = serde_json::from_slice(&fs::read(COMMANDS)?)?;
    for words in commands {
        let (program, words) = words.split_first().context("no command")?;
        let ended = run(Command::new(program).args(words));
        let ended = ended.with_context(|| format!("cannot run {program}"))?;
        writeln!(report, "{ended}")?;
        tcdrain(&report)?;
    }
    Ok(())
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

/// Runs a command; its output goes through pipes, so that it finds no terminal. Returns the report.
fn run(command: &mut Command) -> Result<serde_json::Value> {
    let (mut out, mut err) = (port(STDOUT)?, port(STDERR)?);
    let mut child = command
        .current_dir("/root")
        .env("HOME", "/root")
        .env("PATH", "/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("no pipe")?;
    let stderr = child.stderr.take().context("no pipe")?;
    std::thread::scope(|scope| {
        let copied = [
            scope.spawn(move || pass_on(stdout, &mut out)),
            scope.spawn(move || pass_on(stderr, &mut err)),
        ];
        let status = child.wait()?;
        // A shell's exit code, if a signal has ended it.
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
        let passed_on = |thread: std::thread::ScopedJoinHandle<'_, io::Result<u64>>| {
            thread.join().ok().and_then(Result::ok).context("the output was not passed on")
        };
        let [stdout, stderr] = copied.map(passed_on);
        Ok(json!({"code": code, "stdout": stdout?, "stderr": stderr?}))
    })
}

/// Returns the number of bytes.
fn pass_on(mut from: impl io::Read, to: &mut File) -> io::Result<u64> {
    let bytes = io::copy(&mut from, to)?;
    tcdrain(to)?;
    Ok(bytes)
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
