// SPDX-License-Identifier: MIT
//! One case of a part: its numbers, its folder, the programs that it runs, and what is kept of it.

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

/// How long a program may run that has nothing to wait for. They end within milliseconds; a machine
/// may be busy.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How often what is read may be in memory.
const COPIES: u64 = 4;

/// Files that are larger are not kept: they are mostly holes.
const MOST_KEPT: u64 = 100 << 20;

/// What a case works with.
#[derive(Debug)]
pub struct Case<'c> {
    /// Its number.
    pub number: u64,
    /// Its random numbers.
    pub random: Random,
    /// Good packages and objects.
    pub seeds: &'c Seeds,
    /// Where it runs.
    pub place: &'c Place,
    dir: PathBuf,
    /// What was run, and how it ended.
    runs: Vec<String>,
    codes: Vec<i32>,
}

impl<'c> Case<'c> {
    /// Makes its folder.
    ///
    /// # Errors
    /// When that fails.
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

    /// A path in its folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file into its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &self,
        name: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, bytes).map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(path)
    }

    /// `ecc`, with a cache and a folder for temporary files of the case's own.
    #[must_use]
    pub fn ecc<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        self.command("ecc", args)
    }

    /// `ecli`, likewise.
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
    /// When it cannot be started.
    pub fn start(&mut self, command: &mut Command, io: Io) -> Result<Started, String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
        self.runs.push(words.join(" "));
        start(command, io).map_err(|error| format!("{:?}: {error}", command.get_program()))
    }

    /// Waits for a program's end.
    ///
    /// # Errors
    /// When it cannot be waited for.
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

    /// Runs a program to its end, or to [`DEADLINE`].
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&mut self, command: &mut Command) -> Result<Ended, String> {
        let started = self.start(command, Io::default())?;
        self.wait(started, DEADLINE)
    }

    /// The most that a program may have resident for an input of so many bytes.
    #[must_use]
    pub fn memory_for(&self, input: u64) -> u64 {
        COPIES * input + self.seeds.own_memory
    }

    /// Runs a program, and checks what every run has to keep to: its codes, and the memory that it may
    /// take for an input of so many bytes. Nothing temporary may be left.
    ///
    /// # Errors
    /// Says what it did not keep to.
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

    /// Checks that the folder for temporary files is empty.
    ///
    /// # Errors
    /// Names what is there.
    pub fn nothing_temporary(&self) -> Verdict {
        match crate::names(&self.path("tmp")).first() {
            Some(name) => Err(format!("the temporary file `{name}` is left")),
            None => Ok(()),
        }
    }

    /// The codes that its programs ended with; 128 and the number for a signal.
    #[must_use]
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// Notes something for who reads what was kept.
    pub fn note(&mut self, what: impl Into<String>) {
        self.runs.push(what.into());
    }

    /// What was run, and what came of it.
    #[must_use]
    pub fn report(&self, what: &str) -> String {
        format!("{what}\n\n{}\n", self.runs.join("\n"))
    }

    /// Copies its files, and what it ran.
    ///
    /// # Errors
    /// When they cannot be copied.
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
