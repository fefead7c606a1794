// SPDX-License-Identifier: MIT
//! A case of a part: its random numbers, its directory, the programs that it runs, and what is kept
//! of it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::check::{self, Verdict};
use super::place::Place;
use super::process::{Ended, Io, Started, start};
use super::random::Random;
use super::seeds::Seeds;

/// How long a program that waits for nothing may run. Programs end within milliseconds, but a
/// machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How many copies of the input may be in memory.
const COPIES: u64 = 4;

/// Larger files are not kept; they consist mostly of holes.
const MOST_KEPT: u64 = 100 << 20;

/// The context of a case.
#[derive(Debug)]
pub struct Case<'c> {
    /// Its number.
    pub number: u64,
    /// Its random numbers.
    pub random: Random,
    /// Valid packages and objects.
    pub seeds: &'c Seeds,
    /// Its environment.
    pub place: &'c Place,
    dir: PathBuf,
    /// The commands that were run, and how they ended.
    runs: Vec<String>,
    codes: Vec<i32>,
}

impl<'c> Case<'c> {
    /// Creates its directory.
    ///
    /// # Errors
    /// Returns an error if that fails.
    pub fn new(
        seed: u64,
        part: &str,
        number: u64,
        (place, seeds): (&'c Place, &'c Seeds),
    ) -> io::Result<Case<'c>> {
        let dir = place.dir.path().join(format!("{part}-{number}"));
        fs::create_dir(&dir)?;
        fs::create_dir(dir.join("tmp"))?;
        let random = Random::new(seed, part, number);
        Ok(Case { number, random, seeds, place, dir, runs: Vec::new(), codes: Vec::new() })
    }

    /// A path in its directory.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file to its directory.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write(
        &self,
        name: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, bytes).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(path)
    }

    /// `ecc` with a cache and a directory for temporary files of this case.
    #[must_use]
    pub fn ecc<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        self.command("ecc", args)
    }

    /// `ecli` with the same directories.
    #[must_use]
    pub fn ecli<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        self.command("ecli", args)
    }

    fn command<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Command {
        let mut command = Command::new(crate::program(program));
        command.args(args).env("TMPDIR", self.path("tmp")).env("HOME", self.path("tmp"));
        command.env("XDG_CACHE_HOME", self.seeds.cache());
        command
    }

    /// Starts a program.
    ///
    /// # Errors
    /// Returns an error if it cannot be started.
    pub fn start(&mut self, command: &mut Command, io: Io) -> Result<Started, String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
        self.runs.push(words.join(" "));
        start(command, io).map_err(|error| format!("{:?}: {error}", command.get_program()))
    }

    /// Waits for the end of a program.
    ///
    /// # Errors
    /// Returns an error if waiting fails.
    pub fn wait(&mut self, started: Started, deadline: Duration) -> Result<Ended, String> {
        let ended = started.wait(deadline).map_err(|error| error.to_string())?;
        let code = ended.code().or(ended.signal().map(|signal| signal + 128)).unwrap_or(-1);
        self.codes.push(code);
        let text = |bytes: &[u8]| {
            let end = bytes.len().min(4000);
            String::from_utf8_lossy(&bytes[..end]).escape_debug().to_string().replace("\\n", "\n")
        };
        self.runs.push(format!(
            "code {code}, {:.3} s, {} KB\nstdout: {}\nstderr: {}",
            ended.took.as_secs_f64(),
            ended.peak >> 10,
            text(&ended.stdout),
            text(&ended.stderr)
        ));
        Ok(ended)
    }

    /// Runs a program to its end, or until [`DEADLINE`].
    ///
    /// # Errors
    /// Returns an error if it cannot be run.
    pub fn run(&mut self, command: &mut Command) -> Result<Ended, String> {
        let started = self.start(command, Io::default())?;
        self.wait(started, DEADLINE)
    }

    /// The maximum resident memory of a program for an input of this size, in bytes.
    #[must_use]
    pub fn memory_for(&self, input: u64) -> u64 {
        COPIES * input + self.seeds.own_memory
    }

    /// Runs a program, and checks what holds for every run: its exit codes, its memory for an input
    /// of this size, and that no temporary file is left.
    ///
    /// # Errors
    /// Returns an error that says what does not hold.
    pub fn try_run(
        &mut self,
        command: &mut Command,
        codes: &[i32],
        input: u64,
    ) -> Result<Ended, String> {
        let ended = self.run(command)?;
        check::ended(&ended, codes, Some(self.memory_for(input)))?;
        self.nothing_temporary()?;
        Ok(ended)
    }

    /// Checks that the directory for temporary files is empty.
    ///
    /// # Errors
    /// Returns an error that names a file.
    pub fn nothing_temporary(&self) -> Verdict {
        match crate::names(&self.path("tmp")).first() {
            Some(name) => Err(format!("the temporary file `{name}` is left")),
            None => Ok(()),
        }
    }

    /// The exit codes of its programs; for a signal, 128 plus its number.
    #[must_use]
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// Adds a note to the report.
    pub fn note(&mut self, what: impl Into<String>) {
        self.runs.push(what.into());
    }

    /// The commands and their results.
    #[must_use]
    pub fn report(&self, what: &str) -> String {
        format!("{what}\n\n{}\n", self.runs.join("\n"))
    }

    /// Copies its files, and a report of what it ran.
    ///
    /// # Errors
    /// Returns an error if they cannot be copied.
    pub fn keep(&self, to: &Path, what: &str) -> io::Result<()> {
        let _ = fs::remove_dir_all(to);
        fs::create_dir_all(to)?;
        fs::write(to.join("report.txt"), self.report(what))?;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let is_kept = entry.metadata().is_ok_and(|d| d.is_file() && d.len() < MOST_KEPT);
            if is_kept {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
