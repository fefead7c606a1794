// SPDX-License-Identifier: MIT
//! Runs in the background: `ecli run --detach NAME`, `ecli ps`, `ecli read` and `ecli stop`. The
//! process that `--detach` starts is ecli itself with the same words; it waits until the programs are
//! attached, so that a failure is seen at once.

mod client;
mod control;
mod state;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::{OWN, Origin, Plan};
use crate::failure::{Failure, exit_code, system};
use crate::talk::Talk;
pub(crate) use client::{ps, read, stop};
pub(crate) use control::Control;
use state::{DIRECTORY, Place, State, Taken, now};

/// Tells the process that it is the one in the background. Its value is the digest of the package
/// that the user has confirmed, if any: nobody can be asked there.
const VARIABLE: &str = "BPFPACK_DETACHED";

/// What that process writes to its standard output when it is ready.
const READY: &[u8] = b"ready\n";

/// The directory of all runs.
fn directory(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| DIRECTORY.into(), Path::to_owned)
}

/// This process is a run in the background.
#[derive(Debug)]
pub(crate) struct Background {
    taken: Taken,
}

/// Whether the user has confirmed the package with this digest to the process that started this one.
pub(crate) fn has_confirmed(digest: &str) -> bool {
    std::env::var_os(VARIABLE).is_some_and(|confirmed| confirmed == digest)
}

/// Starts a run in the background if the plan wants that, or goes there. `Break` means that the run
/// is in the background now, and that this process ends. `confirmed` is the digest of the package
/// if the user had to confirm it.
///
/// # Errors
/// Returns an error if the name is taken, if the run cannot be in the background, or if it fails
/// before its programs are attached; then its messages have been printed.
pub(crate) fn detach(
    plan: &Plan,
    confirmed: Option<&str>,
    talk: &Talk,
) -> Result<ControlFlow<(), Option<Background>>, Failure> {
    let Some(name) = &plan.detach else { return Ok(ControlFlow::Continue(None)) };
    let place = Place::of(&directory(plan.run_directory.as_deref()), name)?;
    let refused = |text: &str, hint: &str| Err(Failure::usage(text).hint(hint));
    if plan.command.is_some() {
        return refused("--detach cannot be used with a command", "run it in the foreground");
    }
    if plan.package.origin == Origin::Stdin {
        return refused("--detach cannot read standard input", "write the package to a file");
    }
    if plan.outputs.iter().any(|output| output.file.is_none()) {
        let hint = format!("`ecli read {name}` shows the data; -o FILE writes it to a file");
        return Err(Failure::usage("--detach: there is no standard output").hint(hint));
    }
    if std::env::var_os(VARIABLE).is_some() {
        let taken = place.take()?.ok_or_else(|| is_taken(name))?;
        // Ctrl-C in the terminal is not for this process.
        rustix::process::setsid().map_err(system("cannot leave the terminal"))?;
        return Ok(ControlFlow::Continue(Some(Background { taken })));
    }
    if place.is_alive() {
        return Err(is_taken(name));
    }
    place.clean(name);
    start(name, &place, confirmed, talk).map(ControlFlow::Break)
}

fn is_taken(name: &str) -> Failure {
    Failure::usage(format!("a run in the background has the name `{name}`"))
        .hint(format!("`ecli ps` lists them, `ecli stop {name}` ends it"))
}

/// Starts this program with the same words, and waits until its programs are attached.
fn start(name: &str, place: &Place, confirmed: Option<&str>, talk: &Talk) -> Result<(), Failure> {
    let failed = || system("cannot start a process in the background");
    // What is said until the run is ready is shown here.
    let log = tempfile_in_run()?;
    let mut command = Command::new(OWN);
    command
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, confirmed.unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().map_err(failed())?);
    let mut child = command.spawn().map_err(failed())?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let mut byte = [0];
        while said != READY && stdout.read(&mut byte).is_ok_and(|count| count == 1) {
            said.push(byte[0]);
        }
    }
    if said == READY {
        print_log(&log);
        talk.note(&format!("`{name}` runs in the background, process {}", child.id()));
        return Ok(());
    }
    let code = child.wait().ok().and_then(|status| status.code());
    print_log(&log);
    place.forget();
    // It has said why.
    Err(Failure::told(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::OTHER)))
}

/// A file without a name, which the kernel removes with its last descriptor.
fn tempfile_in_run() -> Result<File, Failure> {
    let file = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC);
    file.map(File::from).map_err(system("cannot make a file for messages"))
}

/// Prints what a run said before it failed.
fn print_log(log: &File) {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; 64 << 10];
    let count = log.read_at(&mut bytes, 0).unwrap_or(0);
    let _ = io::stderr().write_all(&bytes[..count]);
}

impl Background {
    /// Reports a failure of the run to its log, or to the process that started it. The log stays until
    /// `ecli ps` has shown it.
    pub(crate) fn failed(mut self, failure: &Failure) -> Failure {
        failure.report();
        self.taken.keep_log();
        Failure::told(failure.exit_code())
    }

    /// Notes that the programs are attached: from now on, other commands find this run. Returns what
    /// other commands ask for.
    ///
    /// # Errors
    /// Returns an error if the state cannot be written, or the socket cannot be made.
    pub(crate) fn ready(&self, package: &str, sha256: String) -> Result<Control, Failure> {
        let control = Control::listen(&self.taken.place.socket())?;
        let words = std::env::args_os().skip(1);
        self.taken.write(&State {
            pid: std::process::id(),
            since: now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            package: package.to_owned(),
            sha256,
            words: words.map(|word| word.to_string_lossy().into_owned()).collect(),
        })?;
        // Messages go to a file from now on, and nobody reads standard output any more.
        let log = File::options()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.taken.place.log())
            .map_err(system("cannot make the log of the run"))?;
        let _ = io::stdout().write_all(READY).and_then(|()| io::stdout().flush());
        let null = File::options().read(true).write(true).open("/dev/null");
        let moved = null.and_then(|null| {
            rustix::stdio::dup2_stdout(&null)?;
            rustix::stdio::dup2_stderr(&log)?;
            Ok(())
        });
        moved.map_err(system("cannot leave the terminal"))?;
        Ok(control)
    }
}
