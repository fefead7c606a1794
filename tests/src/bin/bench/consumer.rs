// SPDX-License-Identifier: MIT
//! The consumers of `tests/fixtures/flood.bpf.c`: ecli, and the bare consumer with the same object.

use std::path::PathBuf;
use std::process::ChildStdout;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::load::Caller;
use bpfpack_tests::sys::cpu_of;
use bpfpack_tests::{Running, pack_with, program, scratch};
use tempfile::TempDir;

use crate::path;

/// A consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Bare,
    Ecli,
    /// Another ecli: [`OTHER`].
    Other,
}

/// The environment variable with the path of the other ecli.
pub(crate) const OTHER: &str = "BPFPACK_BENCH_OTHER";

/// The other ecli, if there is one.
pub(crate) fn other() -> Option<PathBuf> {
    std::env::var_os(OTHER).map(PathBuf::from)
}

impl Who {
    pub(crate) const BOTH: [Who; 2] = [Who::Bare, Who::Ecli];

    /// The `ecli` program of this consumer.
    pub(crate) fn ecli(self) -> Result<PathBuf> {
        if self == Who::Other { other().context(OTHER) } else { Ok(program("ecli")) }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Bare => "bare",
            Who::Ecli => "ecli run",
            Who::Other => "other ecli",
        }
    }
}

/// The object and its package.
pub(crate) struct Flood {
    dir: TempDir,
    package: String,
}

impl Flood {
    /// With records of 64 bytes, or of 48.
    pub(crate) fn pack(wide: bool) -> Flood {
        let dir = scratch();
        let more: &[&str] = if wide { &["-D", "WIDE"] } else { &[] };
        let package = pack_with("tests/fixtures/flood.bpf.c", &dir, more);
        Flood { dir, package }
    }

    /// The package and its arguments, for `ecli run`.
    pub(crate) fn run_args(&self, tid: i32, burst: u64) -> Vec<String> {
        let values =
            [("target_pid", i64::from(tid)), ("carrier", Caller::NUMBER), ("burst", burst as i64)];
        let values = values.map(|(name, value)| format!("--{name}={value}"));
        std::iter::once(self.package.clone()).chain(values).collect()
    }
}

/// A running consumer with attached programs.
pub(crate) struct Consumer {
    running: Running,
    /// The CPU time until it was attached.
    start: Duration,
}

impl Consumer {
    /// Starts a consumer for the records of one thread, `burst` for each of its calls.
    pub(crate) fn start(
        who: Who,
        flood: &Flood,
        json: bool,
        tid: i32,
        burst: u64,
    ) -> Result<Consumer> {
        let values =
            [("target_pid", i64::from(tid)), ("carrier", Caller::NUMBER), ("burst", burst as i64)];
        let mut args: Vec<String> = Vec::new();
        let program = match who {
            Who::Bare => {
                args.extend(json.then(|| "-j".into()));
                args.push(path(&flood.dir.path().join("flood.bpf.o")));
                args.extend(values.map(|(name, value)| format!("{name}={value}")));
                program("ecli").with_file_name("bare-stream")
            }
            Who::Ecli | Who::Other => {
                args.push("run".into());
                args.extend(json.then(|| "-j".into()));
                args.extend(flood.run_args(tid, burst));
                who.ecli()?
            }
        };
        Consumer::of(Running::tracing(program, &args))
    }

    /// A consumer that runs already and is attached.
    pub(crate) fn of(running: Running) -> Result<Consumer> {
        let start = cpu_of(running.pid())?;
        Ok(Consumer { running, start })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.running.take_stdout()
    }

    /// The CPU time since it was attached.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(cpu_of(self.running.pid())? - self.start)
    }

    /// Ends it like Ctrl-C. Returns its standard error.
    pub(crate) fn end(self) -> Result<String> {
        let outcome = self.running.interrupt();
        ensure!(outcome.code == 0, "it ended with {}: {}", outcome.code, outcome.stderr);
        Ok(outcome.stderr)
    }
}
