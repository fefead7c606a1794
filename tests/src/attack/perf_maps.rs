// SPDX-License-Identifier: MIT
//! Processes of an unprivileged user with hostile stacks, mappings, files and `/tmp/perf-PID.map`,
//! which root traces: the run must end in time, stay small, and show only what it may.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::case::Case;
use super::check::{self, SUCCESS, Verdict};
use super::process::{Ended, Io, Started, descendants, resident_peak};
use super::seeds::OWN;
use super::victim::{KINDS, PLACES};

/// The user of all victims. Only files of this user are removed.
const USER: u32 = 64242;

/// How much longer than its time, or after a signal, a run may take.
const LATE: Duration = Duration::from_millis(100);

/// The maximum resident memory of ecli and its child processes together, in bytes.
const MEMORY: u64 = 64 << 20;

/// The same if a program has as many symbols as possible: the worker has a limit of 256 MB.
const MEMORY_OF_SYMBOLS: u64 = MEMORY + (256 << 20);

/// The content of a file that the user may not read.
const SECRET: &str = "0 ffffffffffffffff secret_of_root\n";

/// Starts hostile processes, and traces them.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    // Only one part is hostile at a time, in turn: the file, or the targets of stacks.
    let turn = case.number as usize / 2;
    let (kind, place) = match case.number % 2 {
        0 => (KINDS[turn % KINDS.len()], *case.random.choose(&["made", "anywhere"])),
        _ => ("none", PLACES[turn % PLACES.len()]),
    };
    let count = if kind == "short-lines" { 6 } else { 1 + case.random.below(2) };
    let victims = Victims::start(case, kind, place, count)?;
    let mut args: Vec<String> = vec!["run".into(), "--frequency".into(), "199".into()];
    let format = *case.random.choose(&["text", "text", "json", "csv", "yaml"]);
    args.extend(["-f".to_owned(), format.to_owned()]);
    if format != "text" {
        args.push("--decode".into());
    }
    if case.random.one_in(4) {
        args.push("--lines".into());
    }
    let time = Duration::from_millis(case.random.between(100, 600) as u64);
    let is_timed = case.random.one_in(2);
    if is_timed {
        args.extend(["-d".to_owned(), format!("{}ms", time.as_millis())]);
    }
    let is_alone = count == 1 && kind != "short-lived";
    let seed =
        case.seeds.package(if is_alone && case.random.one_in(2) { "profile" } else { "samples" });
    let package = case.write("package.json", &seed.text)?;
    args.push(package.to_string_lossy().into_owned());
    match seed.name {
        "profile" => args.extend(["--pid".to_owned(), victims.pids()[0].to_string()]),
        _ => args.extend(["--target_uid".to_owned(), USER.to_string()]),
    }
    case.note(format!("{count} victims: {kind}, {place}"));
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    if !started.says("tracing with", Duration::from_secs(10)) {
        let ended = case.wait(started, Duration::from_secs(10))?;
        check::ended(&ended, SUCCESS, None)?;
        return Err("it ended before it traced anything".into());
    }
    let before = victims.ran();
    let watched = watch(started, time, is_timed, case)?;
    let ran = victims.ran().saturating_sub(before);
    case.note(format!("the victims ran for {} ms", ran.as_millis()));
    drop(victims);
    let most = if place == "symbols" { MEMORY_OF_SYMBOLS } else { MEMORY };
    // There are two processes, and a debug build has more code in both.
    watched.check(format, ran, most + 2 * (case.seeds.own_memory - OWN))
}

/// What was observed of a run.
struct Watched {
    ended: Ended,
    /// How long after its time it ended, without its waits for a CPU.
    late: Duration,
    /// The maximum resident memory of ecli and its child processes together.
    memory: u64,
}

impl Watched {
    fn check(&self, format: &str, ran: Duration, most: u64) -> Verdict {
        check::ended(&self.ended, SUCCESS, None)?;
        if self.late > LATE {
            return Err(format!("it ended {} ms after its time", self.late.as_millis()));
        }
        if self.memory > most {
            return Err(format!("{} KB resident, {} can be", self.memory >> 10, most >> 10));
        }
        check::written(&self.ended.stdout, format)?;
        let text = String::from_utf8_lossy(&self.ended.stdout);
        if text.contains("secret_of_root") {
            return Err("it shows what the process' user may not read".into());
        }
        // On a busy machine, the victims may not run; if they ran, samples must be shown.
        match text.is_empty() && ran > Duration::from_millis(50) {
            true => Err("no sample was shown".into()),
            false => Ok(()),
        }
    }
}

/// Waits for the end by time or by signal, and observes the memory meanwhile.
fn watch(
    started: Started,
    time: Duration,
    is_timed: bool,
    case: &mut Case<'_>,
) -> Result<Watched, String> {
    let begun = Instant::now();
    let pid = started.pid();
    let (mut memory, mut delay_before, mut delay) = (0, Duration::ZERO, Duration::ZERO);
    let mut is_over = false;
    let limit = time + Duration::from_secs(10);
    let mut round = 0u32;
    while !started.ends_within(Duration::from_millis(1)) && begun.elapsed() < limit {
        if !is_over && begun.elapsed() >= time {
            is_over = true;
            delay_before = waited_for_cpu(pid);
            if !is_timed {
                started.signal(Signal::INT);
            }
        }
        if is_over {
            delay = waited_for_cpu(pid).max(delay);
        }
        // Its memory grows in steps of many pages, so checking occasionally is enough.
        if round.is_multiple_of(4) {
            let all = descendants(pid).into_iter().chain([pid]);
            memory = all.filter_map(|pid| resident_peak(&pid.to_string())).sum::<u64>().max(memory);
        }
        round += 1;
    }
    let took = begun.elapsed();
    let ended = case.wait(started, Duration::ZERO)?;
    let late = took.saturating_sub(time).saturating_sub(delay.saturating_sub(delay_before));
    let memory = memory.max(ended.peak);
    case.note(format!("{} ms late, {} KB", late.as_millis(), memory >> 10));
    Ok(Watched { ended, late, memory })
}

/// How long the main thread of a process was ready to run while others ran, which is not its fault.
#[must_use]
pub(super) fn waited_for_cpu(pid: u32) -> Duration {
    schedule(pid, 1)
}

/// The number at this index of `/proc/PID/schedstat`: how long the main thread ran, and waited.
fn schedule(pid: u32, at: usize) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_ascii_whitespace().nth(at).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Hostile processes. Dropping this ends them and removes their files in `/tmp`.
pub(super) struct Victims {
    all: Vec<Started>,
    /// Kept open, because they print until they end.
    _output: Vec<std::io::PipeReader>,
}

impl Victims {
    /// Starts victims, and waits until they are ready.
    ///
    /// # Errors
    /// Returns an error if one cannot be started.
    pub(super) fn start(
        case: &mut Case<'_>,
        kind: &str,
        place: &str,
        count: usize,
    ) -> Result<Victims, String> {
        Victims::try_start(case, kind, place, count)
            .map_err(|error| format!("a victim cannot be started: {error}"))
    }

    fn try_start(
        case: &mut Case<'_>,
        kind: &str,
        place: &str,
        count: usize,
    ) -> std::io::Result<Victims> {
        let dir = case.path("victims");
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
        fs::write(dir.join("secret"), SECRET)?;
        fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o600))?;
        let mut victims = Victims { all: Vec::new(), _output: Vec::new() };
        for _ in 0..count {
            let (mut reader, writer) = std::io::pipe()?;
            let mut command = Command::new(&case.seeds.victim);
            let number = case.random.number().to_string();
            command.args(["victim", kind, place]).arg(&dir).arg(number).uid(USER).gid(USER);
            let io = Io { stdout: Some(writer.into()), ..Io::default() };
            let victim = super::process::start(&mut command, io)?;
            let mut ready = [0; 6];
            let is_ready = reader.read_exact(&mut ready).is_ok();
            let said = victim.stderr();
            victims.all.push(victim);
            victims._output.push(reader);
            if !is_ready {
                return Err(std::io::Error::other(said));
            }
        }
        Ok(victims)
    }

    /// The total CPU time of the victims so far.
    fn ran(&self) -> Duration {
        self.pids().into_iter().map(|pid| schedule(pid, 0)).sum()
    }

    /// Their process IDs.
    #[must_use]
    pub(super) fn pids(&self) -> Vec<u32> {
        self.all.iter().map(Started::pid).collect()
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        self.all.clear();
        for entry in fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_map = name.to_str().is_some_and(|name| name.starts_with("perf-"));
            let is_ours =
                || fs::symlink_metadata(entry.path()).is_ok_and(|data| data.uid() == USER);
            if is_map && is_ours() {
                let path = entry.path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            }
        }
    }
}
