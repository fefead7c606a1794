// SPDX-License-Identifier: MIT
//! `ecli ps`, `ecli read` and `ecli stop`.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::printable::{clean, message};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::control::{Answer, Request, VERSION};
use super::directory;
use super::state::{Place, State, is_there, now};
use crate::args::{PsCommand, ReadCommand, StopCommand};
use crate::failure::{Failure, exit_code, talk};
use crate::output;

/// How long a run may take to end before it gets another signal, and how often.
const PATIENCE: [Duration; 3] = [Duration::from_secs(5); 3];

/// Lists the runs. What crashes have left is removed.
///
/// # Errors
/// Returns an error if the list cannot be written.
pub(crate) fn ps(command: &PsCommand) -> Result<(), Failure> {
    let mut listed = Vec::new();
    for (name, place) in Place::all(&directory(command.run_directory.as_deref()))? {
        match place.state() {
            Ok(state) if place.is_alive() => listed.push((name, state)),
            // It is being started.
            Err(_) if place.is_alive() => {}
            _ => place.clean(&name),
        }
    }
    output::print(
        match command.json {
            true => as_json(&listed),
            false => as_text(&listed, now()),
        }
        .as_bytes(),
    )
}

fn as_json(listed: &[(String, State)]) -> String {
    let one = |(name, state): &(String, State)| {
        let State { pid, since, version, package, sha256, words } = state;
        let object = json!({
            "name": name, "pid": pid, "since": since, "version": version,
            "package": package, "sha256": sha256, "words": words,
        });
        format!("{object}\n")
    };
    listed.iter().map(one).collect()
}

fn as_text(listed: &[(String, State)], now: u64) -> String {
    if listed.is_empty() {
        return "Nothing runs in the background.\n".to_owned();
    }
    let width = listed.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("{:<width$}  {:>7}  {:>5}  PACKAGE\n", "NAME", "PID", "TIME");
    for (name, State { pid, since, package, .. }) in listed {
        let time = crate::cached::rounded(Duration::from_secs(now.saturating_sub(*since)));
        text += &format!("{name:<width$}  {pid:>7}  {time:>5}  {}\n", clean(package));
    }
    text
}

/// A run that lives, with its state.
fn find(directory: &std::path::Path, name: &str) -> Result<(Place, State), Failure> {
    let place = Place::of(directory, name)?;
    let state = match is_there(directory)? {
        true => place.state().ok().filter(|_| place.is_alive()),
        false => None,
    };
    state.map(|state| (place.clone(), state)).ok_or_else(|| {
        place.clean(name);
        let text = anyhow!("nothing in the background has the name `{name}`");
        Failure::new(exit_code::PACKAGE, text).hint("`ecli ps` lists what runs in the background")
    })
}

/// Shows the data of a run.
///
/// # Errors
/// Returns an error if there is no such run, or it does not answer.
pub(crate) fn read(command: &ReadCommand) -> Result<(), Failure> {
    let (place, _) = find(&directory(command.run_directory.as_deref()), &command.name)?;
    let failed = |error: anyhow::Error| {
        let text = format!("`{}` does not answer", command.name);
        Failure::new(exit_code::OTHER, error.context(text))
    };
    let stream = UnixStream::connect(place.socket()).map_err(|error| failed(error.into()))?;
    let request = Request {
        version: VERSION,
        format: command.format().name.to_owned(),
        milliseconds: command
            .duration
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        meanings: command.meanings(),
    };
    let mut line = serde_json::to_string(&request).map_err(|error| failed(error.into()))?;
    line.push('\n');
    (&stream).write_all(line.as_bytes()).map_err(|error| failed(error.into()))?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).map_err(|error| failed(error.into()))?;
    let answer: Answer =
        serde_json::from_str(&line).context("its answer cannot be understood").map_err(failed)?;
    if let Some(error) = answer.error {
        return Err(failed(anyhow!("{}", message(&error))));
    }
    let mut bytes = vec![0; 64 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => output::print(&bytes[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Ends runs.
///
/// # Errors
/// Returns an error if there is no such run, or it does not end.
pub(crate) fn stop(command: &StopCommand) -> Result<(), Failure> {
    let directory = directory(command.run_directory.as_deref());
    let mut failure = None;
    for name in &command.names {
        let ended = stop_one(&directory, name);
        if let Some(earlier) = ended.err().and_then(|error| failure.replace(error)) {
            Failure::report(&earlier);
        }
    }
    failure.map_or(Ok(()), Err)
}

fn stop_one(directory: &std::path::Path, name: &str) -> Result<(), Failure> {
    let (place, state) = find(directory, name)?;
    let failed = |error: anyhow::Error| {
        let text = format!("cannot stop `{name}`, process {}", state.pid);
        Failure::new(exit_code::OTHER, error.context(text))
    };
    // The descriptor is of the process that holds the lock now; its ID cannot be used again.
    let process = i32::try_from(state.pid).ok().and_then(Pid::from_raw);
    let process = process.context("it has no process ID").map_err(failed)?;
    let process = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(process) if place.is_alive() => process,
        // It has just ended.
        Ok(_) | Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    };
    // What it says at its end, such as lost records, is shown.
    let log = place.log();
    let before = fs::metadata(&log).map_or(0, |log| log.len());
    let log = fs::File::open(log);
    for wait in PATIENCE {
        match pidfd_send_signal(&process, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let begin = Instant::now();
        while begin.elapsed() < wait {
            if !place.is_alive() {
                print_end(log, before);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Err(failed(anyhow!("it has not ended")).hint(format!("kill -9 {} ends it at once", state.pid)))
}

/// Prints what a run has said since an offset in its log.
fn print_end(log: io::Result<fs::File>, from: u64) {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; 64 << 10];
    let count = log.and_then(|log| log.read_at(&mut bytes, from)).unwrap_or(0);
    for line in String::from_utf8_lossy(&bytes[..count]).lines() {
        talk::line(format_args!("{}", message(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_listed() {
        let state = State {
            pid: 4711,
            since: 1000,
            version: "0.1.0".into(),
            package: "hard\nirqs.json".into(),
            sha256: "ab".into(),
            words: vec!["run".into()],
        };
        let listed = [("irqs".to_owned(), state)];
        assert_eq!(
            as_text(&listed, 1090),
            "NAME      PID   TIME  PACKAGE\nirqs     4711     1m  hard\\x0airqs.json\n"
        );
        assert!(as_json(&listed).contains(r#""name":"irqs","pid":4711"#));
        assert_eq!(as_text(&[], 0), "Nothing runs in the background.\n");
    }
}
