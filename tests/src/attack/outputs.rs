// SPDX-License-Identifier: MIT
//! Outputs with slow or closed readers, and paths of every kind for `-o`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use super::case::Case;
use super::check::{self, SUCCESS, Verdict};
use super::perf_maps::Victims;
use super::process::Io;
use super::texts;

/// How long an end may take if nothing blocks it.
const ENDS: Duration = Duration::from_secs(2);

/// After this time, a signal counts as another one; earlier ones may be merged.
const AGAIN: Duration = Duration::from_millis(500);

/// The duration of a run that does not end by itself.
const LONG: &str = "60s";

/// Makes a program write to a hostile output.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    let victims = Victims::start(case, "calls", "made", 1)?;
    let run =
        Run { pid: victims.pids()[0], format: case.random.word(&["text", "json", "csv", "yaml"]) };
    match case.random.below(3) {
        0 => run.readers(case),
        1 => run.paths(case),
        _ => run.others(case),
    }
}

struct Run {
    pid: u32,
    format: &'static str,
}

impl Run {
    /// `ecli run` with these options and a package that shows system calls of the victim.
    fn command(&self, case: &Case<'_>, options: &[OsString]) -> Result<Command, String> {
        let package = case.write("package.json", &case.seeds.package("hostile").text)?;
        let mut args: Vec<OsString> = vec!["run".into(), "-f".into(), self.format.into()];
        args.extend(options.iter().cloned());
        args.extend([package.into(), "--target_pid".into(), self.pid.to_string().into()]);
        Ok(case.ecli(&args))
    }

    /// Readers that are slow, closed, or close later.
    fn readers(&self, case: &mut Case<'_>) -> Verdict {
        let (reader, writer): (OwnedFd, OwnedFd) = match case.random.below(2) {
            0 => std::io::pipe().map(|(reader, writer)| (reader.into(), writer.into())),
            _ => UnixStream::pair().map(|(one, other)| (one.into(), other.into())),
        }
        .map_err(|error| error.to_string())?;
        let stderr = case.random.one_in(4).then(|| writer.try_clone().map(Stdio::from));
        let stderr = stderr.transpose().map_err(|error| error.to_string())?;
        let is_shared = stderr.is_some();
        let mut command = self.command(case, &["-d".into(), LONG.into()])?;
        let io = Io { stdout: Some(writer.into()), stderr, ..Io::default() };
        let how = case.random.below(4);
        case.note(format!("reader {how}, of both outputs: {is_shared}"));
        let started = case.start(&mut command, io)?;
        let mut reader = File::from(reader);
        if how < 2 {
            // It closes at once or later, which ends the run.
            let most = if how == 0 { 0 } else { case.random.below(1 << 18) };
            read(&mut reader, most, Duration::from_secs(5));
            let gone = Instant::now();
            drop(reader);
            while !started.ends_within(Duration::from_millis(10)) && gone.elapsed() < ENDS {}
            let is_late = gone.elapsed() >= ENDS;
            let ended = case.wait(started, Duration::ZERO)?;
            if is_late {
                return Err(format!("no end within {ENDS:?} of the reader's"));
            }
            return check::ended(&ended, SUCCESS, None);
        }
        // It reads nothing more, or a byte now and then.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(400) {
            if how == 2 {
                read(&mut reader, 1, Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        started.signal(Signal::INT);
        std::thread::sleep(AGAIN);
        started.signal(Signal::INT);
        let is_late = !started.ends_within(ENDS);
        let ended = case.wait(started, Duration::ZERO)?;
        if is_late {
            return Err(format!("no end within {ENDS:?} of the second signal"));
        }
        // Data that could not be written is a reported failure.
        check::ended(&ended, &[0, 7], None)
    }

    /// Paths of every kind.
    fn paths(&self, case: &mut Case<'_>) -> Verdict {
        let dir = case.path("out");
        let make = |result: std::io::Result<()>| result.map_err(|error| error.to_string());
        make(fs::create_dir(&dir))?;
        let file = dir.join("file");
        let which = case.random.below(18);
        let (path, codes, is_file): (OsString, &[i32], bool) = match which {
            0 => (dir.join("missing/file").into(), &[7], false),
            1 => (dir.into(), &[7], false),
            2 => ("/dev/full".into(), &[7], false),
            3 => {
                make(fifo(&file))?;
                (file.into(), &[7], false)
            }
            4 => ("/dev/null".into(), SUCCESS, false),
            5 => {
                make(std::os::unix::fs::symlink(dir.join("other"), &file))?;
                (file.into(), SUCCESS, true)
            }
            6 => {
                make(std::os::unix::fs::symlink(&file, &file))?;
                (file.into(), &[7], false)
            }
            7 => ("/proc/version".into(), &[7], false),
            8 => ("/dev/stdout".into(), SUCCESS, false),
            9 => {
                make(UnixListener::bind(&file).map(drop))?;
                (file.into(), &[7], false)
            }
            10 => (dir.join("n".repeat(300)).into(), &[7], false),
            11 => (case.seeds.victim.clone().into(), &[7], false),
            12 => (format!("{}/", file.display()).into(), &[7], false),
            13 => {
                make(fs::write(&file, "what was there before\n".repeat(100_000)))?;
                (file.into(), SUCCESS, true)
            }
            14 => (OsString::new(), &[2, 7], false),
            15 => ("/dev/tty".into(), &[7], false),
            16 => {
                use std::os::unix::ffi::OsStrExt as _;
                let name = texts::file_name(&mut case.random);
                (dir.join(std::ffi::OsStr::from_bytes(&name)).into(), SUCCESS, true)
            }
            // The package itself: it was read before, and overwriting it is up to the user.
            _ => (case.path("package.json").into(), &[0, 2, 7], false),
        };
        let mut command =
            self.command(case, &["-d".into(), "150ms".into(), "-o".into(), path.clone()])?;
        // A process in its own session has no terminal.
        let started = case.start(&mut command, Io::default())?;
        let ended = case.wait(started, Duration::from_millis(150) + ENDS)?;
        check::ended(&ended, codes, None)?;
        if is_file {
            let bytes = fs::read(&path).map_err(|error| format!("{path:?}: {error}"))?;
            is_whole(&bytes, self.format)?;
        }
        Ok(())
    }

    /// Outputs other than pipes.
    fn others(&self, case: &mut Case<'_>) -> Verdict {
        let open = |path: &str| OpenOptions::new().write(true).open(path).map(Stdio::from);
        let failed = |error: std::io::Error| error.to_string();
        let which = case.random.below(8);
        case.note(format!("output {which}"));
        let mut io = Io::default();
        let mut kept: Option<OwnedFd> = None;
        let codes: &[i32] = match which {
            0 => {
                io.stdout = Some(open("/dev/full").map_err(failed)?);
                &[7]
            }
            1 => {
                io.stderr = Some(open("/dev/full").map_err(failed)?);
                SUCCESS
            }
            2 => {
                // Each write is a message, and one that is too large fails.
                let (one, other) = UnixDatagram::pair().map_err(failed)?;
                io.stdout = Some(OwnedFd::from(one).into());
                kept = Some(other.into());
                &[0, 7]
            }
            3 => {
                io.stdout = Some(File::open("/dev/null").map_err(failed)?.into());
                &[7]
            }
            4 => {
                let path = case.write("appended", "before\n")?;
                io.stdout =
                    Some(OpenOptions::new().append(true).open(path).map_err(failed)?.into());
                SUCCESS
            }
            5 => {
                let (reader, writer) = std::io::pipe().map_err(failed)?;
                drop(reader);
                io.stderr = Some(writer.into());
                SUCCESS
            }
            6 => {
                // Messages go to a full pipe that nobody reads. A signal ends the run nevertheless.
                let (reader, mut writer) = std::io::pipe().map_err(failed)?;
                writer.write_all(&vec![b'x'; 65536]).map_err(failed)?;
                io.stderr = Some(writer.into());
                kept = Some(reader.into());
                SUCCESS
            }
            _ => {
                let path = case.write("file", "")?;
                io.stdout = Some(File::create(path).map_err(failed)?.into());
                SUCCESS
            }
        };
        let mut command = self.command(case, &["-d".into(), "150ms".into()])?;
        let started = case.start(&mut command, io)?;
        if which == 2 || which == 6 {
            std::thread::sleep(Duration::from_millis(300));
            started.signal(Signal::INT);
            std::thread::sleep(AGAIN);
            started.signal(Signal::INT);
        }
        let ended = case.wait(started, Duration::from_millis(300) + AGAIN + ENDS)?;
        drop(kept);
        check::ended(&ended, codes, None)?;
        match which {
            7 => is_whole(&fs::read(case.path("file")).map_err(failed)?, self.format),
            4 => match fs::read(case.path("appended")).map_err(failed)?.strip_prefix(b"before\n") {
                Some(bytes) => is_whole(bytes, self.format),
                None => Err("what stood before in a file that is appended to is gone".into()),
            },
            _ => Ok(()),
        }
    }
}

fn fifo(path: &Path) -> std::io::Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0)?)
}

/// Reads some bytes for some time.
fn read(from: &mut File, most: usize, time: Duration) {
    let begun = Instant::now();
    let mut bytes = [0; 4096];
    let mut left = most;
    while left > 0 && begun.elapsed() < time {
        let size = left.min(bytes.len());
        match from.read(&mut bytes[..size]) {
            Ok(0) | Err(_) => break,
            Ok(count) => left -= count,
        }
    }
}

/// Checks that a file is not empty, and that its last line is complete.
pub(super) fn is_whole(bytes: &[u8], format: &str) -> Verdict {
    if bytes.is_empty() {
        return Err("nothing was written to the file".into());
    }
    check::written(bytes, format)?;
    if !bytes.ends_with(b"\n") {
        return Err("the last line of the file is cut off".into());
    }
    let is_json = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).is_ok();
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match format == "json" && !lines.all(is_json) {
        true => Err("a line of the file is no JSON".into()),
        false => Ok(()),
    }
}
