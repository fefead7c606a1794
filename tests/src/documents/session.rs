// SPDX-License-Identifier: MIT
//! Follows a document like a reader: writes its files to a directory, and runs its commands there.
#![allow(clippy::unwrap_used)] // tests fail by panicking

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::{Block, Command, Console, Shape, blocks};
use crate::{Outcome, ecc, ecc_command, names, program, root, scratch};

/// Programs that a test may run; other commands are marked as not run.
const PROGRAMS: [&str; 9] = ["ecc", "ecli", "clang", "cat", "head", "ls", "cd", "gzip", "./exits"];
/// Options with which a run ends by itself.
const ENDS: [&str; 8] = ["--", "-c", "--count", "-d", "--duration", "--once", "--until", "--help"];
/// The message of ecli when its programs are attached.
const TRACING: &str = "tracing with";
/// How long a run that does not end by itself may take to print the documented output.
const PATIENCE: Duration = Duration::from_secs(15);
/// The directory for the header of Wasm modules in `make install`.
const INSTALLED: &str = "/usr/local/include/bpfpack";

/// A directory with the examples, the two programs, and the results of a document so far.
#[derive(Debug)]
pub struct Session {
    dir: TempDir,
    directory: PathBuf,
}

impl Session {
    /// Creates a directory like the project's, with what documents use of it.
    #[must_use]
    pub fn new() -> Session {
        let dir = scratch();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for name in ["ecc", "ecli"] {
            symlink(std::fs::canonicalize(program(name)).unwrap(), bin.join(name)).unwrap();
        }
        // Tests run as root already.
        symlink("/usr/bin/env", bin.join("sudo")).unwrap();
        let directory = dir.path().join("project");
        copy(&root().join("examples"), &directory.join("examples"));
        symlink(root().join("runner"), directory.join("runner")).unwrap();
        Session { dir, directory }
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// Follows a document. Returns deviations with their lines. Consoles that are not run are added
    /// to `not_run`.
    pub fn follow(&mut self, document: &str, not_run: &mut Vec<String>) -> Vec<String> {
        let mut wrong = Vec::new();
        for block in blocks(document) {
            match block {
                Block::File { name, text } => {
                    std::fs::write(self.directory.join(name), text).unwrap()
                }
                Block::Directory(directory) => self.directory = self.project().join(directory),
                Block::Console(console) => match &console.not_run {
                    Some(reason) => not_run.push(format!("{}: {reason}", first_line(&console))),
                    None => wrong.extend(self.console(&console)),
                },
            }
        }
        wrong
    }

    fn console(&mut self, console: &Console) -> Vec<String> {
        let _load = console.meanwhile.as_ref().map(|command| Load::start(command, &self.directory));
        let mut wrong = Vec::new();
        for command in &console.commands {
            let begun = Instant::now();
            let found = self.command(command);
            println!("{:6.2} s: {}", begun.elapsed().as_secs_f64(), command.text);
            wrong.extend(
                found
                    .into_iter()
                    .map(|what| format!("line {}: {}: {what}", command.line, command.text)),
            );
        }
        wrong
    }

    fn command(&mut self, command: &Command) -> Vec<String> {
        let programs = programs(&command.text);
        if let Some(other) = programs.iter().find(|program| !PROGRAMS.contains(program)) {
            return vec![format!("`{other}` does not run in this test: mark the block as not run")];
        }
        if let Some(directory) = command.text.strip_prefix("cd ") {
            self.directory.push(directory);
            return Vec::new();
        }
        self.pack_missing(&command.text);
        let documented = Shape::of(command.output.iter().map(String::as_str));
        // A document may omit the output of a command.
        let missing = |printed: &str| match command.output.is_empty() {
            true => Vec::new(),
            false => documented.missing_in(&Shape::of(printed.lines())),
        };
        let outcome = self.run(&command.text, |printed| missing(printed).is_empty());
        let printed = format!("{}\n{}", outcome.stdout, outcome.stderr);
        let mut wrong = missing(&printed);
        let should_fail = command.output.iter().any(|line| line.starts_with("error: "));
        // The exit code of a run with a command is the command's.
        let has_command = command.text.contains(" -- ");
        if (outcome.code != 0) != should_fail && !has_command {
            wrong.push(format!("exit code {}", outcome.code));
        }
        if !wrong.is_empty() {
            wrong.push(format!("it printed:\n{printed}"));
        }
        wrong
    }

    /// Packs the examples whose packages a command uses, if they do not exist yet.
    fn pack_missing(&self, command: &str) {
        for word in command.split_whitespace().filter(|word| word.ends_with("package.json")) {
            let package = self.directory.join(word);
            let directory = package.parent().unwrap();
            if package.exists() || !directory.is_dir() {
                continue;
            }
            let is_source = |name: &String| name.ends_with(".bpf.c");
            if let Some(source) = names(directory).into_iter().find(is_source) {
                let _ = ecc(directory, &[source]).succeeded();
            }
        }
    }

    fn run(&self, command: &str, is_documented: impl Fn(&str) -> bool) -> Outcome {
        let include = root().join("runner/sdk/c");
        let command = command.replace(INSTALLED, include.to_str().unwrap());
        let (stdout, stderr) = (self.dir.path().join("stdout"), self.dir.path().join("stderr"));
        let mut path = OsString::from(self.dir.path().join("bin"));
        path.push(":/usr/bin:/bin");
        let mut process = Process::new("sh");
        // Without `exec`, the shell would wait for it and receive the signal.
        let typed = format!("exec {command}");
        process.args(["-c", &typed]).current_dir(&self.directory).stdin(Stdio::null());
        // The outputs of ecli and of a command are appended to one file.
        let open = |path: &Path| {
            std::fs::write(path, "").unwrap();
            File::options().append(true).open(path).unwrap()
        };
        process.stdout(open(&stdout)).stderr(open(&stderr));
        let cache = ecc_command(&self.directory);
        let cache = cache.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut child = process.env("PATH", path).envs(cache).process_group(0).spawn().unwrap();
        let read =
            |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        if !ends(&command) {
            let is_enough = || {
                let messages = read(&stderr);
                let printed = read(&stdout) + "\n" + &messages;
                // Before it traces, a signal makes it fail.
                let traces = messages.contains(TRACING) || command.contains(" -q ");
                traces && is_documented(&printed)
            };
            interrupt_when(&mut child, is_enough);
        }
        let status = crate::wait::ended(&mut child);
        let output = std::process::Output { status, stdout: Vec::new(), stderr: Vec::new() };
        Outcome { stdout: read(&stdout), stderr: read(&stderr), ..output.into() }
    }
}

/// A command that runs repeatedly until this is dropped.
#[derive(Debug)]
struct Load(Child);

impl Load {
    fn start(command: &str, directory: &Path) -> Load {
        let script = format!("while :; do {command}; sleep 0.1; done");
        let mut process = Process::new("sh");
        process.args(["-c", &script]).current_dir(directory).process_group(0);
        let process = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Load(process.spawn().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

/// Ends a run once it has printed the documented output, or after a timeout.
fn interrupt_when(child: &mut Child, is_enough: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if is_enough() || Instant::now() > deadline {
            // It has not been waited for, so its group ID is not reused.
            let _ = kill_process_group(Pid::from_child(child), Signal::TERM);
            std::thread::sleep(Duration::from_millis(500));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ends(command: &str) -> bool {
    !programs(command).contains(&"ecli")
        || !command.contains(" run ")
        || command.split_whitespace().any(|word| ENDS.contains(&word) || word == "-h")
}

/// The programs of a pipeline. What follows `--` is a command of ecli.
fn programs(command: &str) -> Vec<&str> {
    let command = command.split(" -- ").next().unwrap_or(command);
    let stages = split_pipes(command).into_iter().flat_map(|part| part.split("; "));
    let words = stages.map(|stage| stage.split_whitespace().find(|word| *word != "sudo"));
    words.flatten().collect()
}

/// The parts of a pipeline. Quoted pipes do not count.
fn split_pipes(text: &str) -> Vec<&str> {
    let mut quote = None;
    text.split(move |c| {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        c == '|' && quote.is_none()
    })
    .collect()
}

fn first_line(console: &Console) -> String {
    console.commands.first().map_or(String::new(), |command| command.text.clone())
}

/// Copies a directory recursively.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_command() {
        assert_eq!(programs("sudo ecli run p.json -- dd if=x | wc"), ["ecli"]);
        assert_eq!(programs("ecli run p.json | head -3"), ["ecli", "head"]);
        assert_eq!(programs("ecli run --filter 'a | b' p.json"), ["ecli"]);
        assert_eq!(programs("ecc x.bpf.c"), ["ecc"]);
    }

    #[test]
    fn runs_that_end_by_themselves() {
        assert!(ends("ecc x.bpf.c"));
        assert!(ends("sudo ecli run -d 1 package.json"));
        assert!(ends("sudo ecli run package.json -- ls"));
        assert!(!ends("sudo ecli run package.json"));
    }
}
