// SPDX-License-Identifier: MIT
//! What the end-to-end tests and the benchmarks share: finding and running the two programs,
//! generating load, and skipping what cannot be tested.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

pub mod attack;
pub mod beside;
pub mod cpio;
pub mod definitions;
pub mod documents;
pub mod held;
pub mod http;
pub mod load;
pub mod matrix;
pub mod modules;
pub mod nodes;
pub mod numbers;
pub mod otlp;
pub mod python;
pub mod refused;
pub mod registry;
pub mod scrape;
pub mod servers;
pub mod stream;
pub mod sys;
pub mod targets;
pub mod vm;
pub mod wait;
pub mod wasm;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Instant;

use tempfile::TempDir;

pub use held::Held;
pub use wait::eventually;

/// The project's directory.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// One of the two programs: from `$BPFPACK_BIN_DIR`, or the release build of this tree.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os("BPFPACK_BIN_DIR") {
        return Path::new(&dir).join(name);
    }
    let exe = std::env::current_exe().unwrap();
    let targets = exe.ancestors().find(|dir| dir.join("release").is_dir());
    let found = targets.map(|dir| dir.join("release").join(name)).filter(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not built: run `make build` first"))
}

/// A directory for one test, which everybody can enter. It is removed when it is dropped.
#[must_use]
pub fn scratch() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::with_prefix("bpfpack-test-").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// The output and the exit code of a program.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; for a signal, 128 plus its number.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Outcome {
        use std::os::unix::process::ExitStatusExt as _;
        let code = output.status.code().or(output.status.signal().map(|signal| 128 + signal));
        Outcome {
            code: code.unwrap(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// Fails unless the program succeeded.
    #[must_use]
    #[track_caller]
    pub fn succeeded(self) -> Outcome {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output, as one JSON object per line.
    #[must_use]
    #[track_caller]
    pub fn objects(&self) -> Vec<serde_json::Value> {
        json_lines(&self.stdout)
    }

    /// Fails unless the program ended with this code and printed all of these words on standard
    /// error.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{}", self.stderr);
        }
    }
}

/// Parses a text with one JSON object per line.
#[must_use]
#[track_caller]
pub fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a program to its end.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Outcome {
    wait::outcome(Command::new(program).args(args).stdin(Stdio::null()))
}

/// Runs `ecc` in a directory, with a cache of headers that all tests share.
#[track_caller]
pub fn ecc<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Outcome {
    wait::outcome(ecc_command(dir).args(args))
}

/// The command for `ecc` in a directory.
#[must_use]
pub fn ecc_command(dir: &Path) -> Command {
    let mut command = Command::new(program("ecc"));
    let cache = program("ecc").with_file_name("ecc-test-cache");
    std::fs::create_dir_all(&cache).unwrap();
    command.current_dir(dir).env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
    command
}

/// Runs `ecli` to its end.
#[track_caller]
pub fn ecli<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    run(program("ecli"), args)
}

/// Packs a source of the project. Returns the package's path in `dir`.
#[must_use]
pub fn pack(source: &str, dir: &TempDir) -> String {
    pack_with(source, dir, &[])
}

/// Packs a source of the project with more arguments for `ecc`. Returns the package's path in
/// `dir`.
#[must_use]
pub fn pack_with(source: &str, dir: &TempDir, more: &[&str]) -> String {
    let source = root().join(source);
    let mut args = vec![source.as_os_str(), OsStr::new("-o"), dir.path().as_os_str()];
    args.extend(more.iter().map(OsStr::new));
    let _ = ecc(dir.path(), &args).succeeded();
    dir.path().join("package.json").to_str().unwrap().to_owned()
}

/// Packs `tests/fixtures/NAME.bpf.c` with the structs in its header. Returns the package's path.
#[must_use]
pub fn pack_with_header(name: &str, dir: &TempDir) -> String {
    let fixture = |ending| root().join("tests/fixtures").join(format!("{name}.{ending}"));
    let (source, header) = (fixture("bpf.c"), fixture("h"));
    let args = [source.as_os_str(), header.as_os_str(), OsStr::new("-o"), dir.path().as_os_str()];
    let _ = ecc(dir.path(), &args).succeeded();
    dir.path().join("package.json").to_str().unwrap().to_owned()
}

/// The names in a directory, sorted.
#[must_use]
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Parses a JSON file.
#[must_use]
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A program that runs in the background. Dropping this kills it, also if the test fails.
#[derive(Debug)]
pub struct Running {
    /// `None` once it has been waited for.
    child: Option<Child>,
    started: Instant,
}

impl Running {
    /// Starts a program. Its output is kept until it ends, so it must not write more than fits a
    /// pipe before that.
    pub fn start<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Running {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running { child: Some(child), started: Instant::now() }
    }

    /// Starts `ecli run`, and waits until its programs are attached.
    #[must_use]
    #[track_caller]
    pub fn ecli<S: AsRef<OsStr>>(args: &[S]) -> Running {
        Running::tracing(program("ecli"), args)
    }

    /// Starts a program, and waits until it reports that its programs are attached.
    #[must_use]
    #[track_caller]
    pub fn tracing<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Running {
        let mut running = Running::start(program, args);
        let begun = "tracing with";
        let _ = running.read_stderr(begun, |said| said.contains(begun));
        running
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// Its standard output, for reading while it runs.
    #[must_use]
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child().stdout.take().unwrap()
    }

    /// Reads its standard error until a condition holds for what was read.
    #[track_caller]
    pub fn read_stderr(&mut self, what: &str, is_enough: impl Fn(&str) -> bool) -> String {
        wait::read_until(self.child().stderr.as_mut().unwrap(), what, is_enough)
    }

    /// The process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The programs and links that it holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::by(self.pid())
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// Ends it like Ctrl-C.
    #[must_use]
    #[track_caller]
    pub fn interrupt(self) -> Outcome {
        self.signal(rustix::process::Signal::INT);
        self.wait()
    }

    /// Waits until it ends.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        wait::finished(self.child.take().unwrap()).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a test can run here; if not, prints the reason. If `CI` is set in the environment, it
/// fails instead.
#[must_use]
pub fn can(what: &str, is_so: bool) -> bool {
    if !is_so {
        println!("skipped: {what}");
        assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: {what}");
    }
    is_so
}

/// Whether BPF programs can be loaded.
#[must_use]
pub fn is_root() -> bool {
    can("needs root", rustix::process::geteuid().is_root())
}

/// Whether one of libbpf's tools in C is installed, for comparison.
#[must_use]
pub fn has_tool(name: &str) -> bool {
    let path = Path::new("/usr/sbin").join(name);
    can(&format!("needs {name} (apt-get install libbpf-tools)"), path.exists())
}

/// Serializes tests that count what the whole machine does, because others would be counted, too.
#[must_use]
#[track_caller]
pub fn alone() -> std::fs::File {
    // Next to the programs: in a shared directory, the file could be another user's.
    wait::locked(&program("ecc").with_file_name("ecc-test.lock"))
}

/// The histograms in ecli's JSON, or in the text of ecli and the tools in C: the sum of the counts
/// under each heading in the last reading.
#[must_use]
pub fn histogram_sums(text: &str, heading: &str) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(heading) {
            let name = name.trim().to_owned();
            sums.retain(|(known, _)| *known != name);
            sums.push((name, 0));
        } else if let Some((edges, rest)) = line.split_once(" : ")
            && edges.contains("->")
            && let Some(count) = rest.split_whitespace().next().and_then(|n| n.parse::<u64>().ok())
        {
            if sums.is_empty() {
                sums.push((String::new(), 0));
            }
            sums.last_mut().unwrap().1 += count;
        }
    }
    sums
}

/// The sum under one heading.
#[must_use]
pub fn sum_of(sums: &[(String, u64)], name: &str) -> u64 {
    sums.iter().find(|(known, _)| known == name).map_or(0, |(_, sum)| *sum)
}
