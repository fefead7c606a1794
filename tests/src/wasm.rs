// SPDX-License-Identifier: MIT
//! Wasm modules: those of the examples and fixtures, each built once for all tests, and running
//! modules.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Held, Outcome, can, ecc, program, root, run, wait};

/// The exit code of `examples/wasm.sh` if a compiler is missing.
const NO_COMPILER: i32 = 3;

/// The directory of the examples' modules; `None` if they cannot be built here.
#[must_use]
pub fn examples() -> Option<PathBuf> {
    let script = root().join("examples/wasm.sh");
    let sources = [root().join("examples"), root().join("runner/sdk")];
    built("wasm-examples", &sources, |out| {
        run(&script, &[out.as_os_str(), program("ecc").parent().unwrap().as_os_str()])
    })
}

/// The directory of the modules from `tests/fixtures/wasm` and, with and without a C library, from
/// `tests/fixtures/sdk`; `None` if they cannot be built here.
#[must_use]
pub fn fixtures() -> Option<PathBuf> {
    // This checks that the compilers exist.
    let _ = examples()?;
    let dir = |name: &str| root().join(name);
    let (sources, checks, sdk) =
        (dir("tests/fixtures/wasm"), dir("tests/fixtures/sdk"), dir("runner/sdk"));
    built("wasm-fixtures", &[sources.clone(), checks.clone(), sdk.clone()], |out| {
        for (object, to) in [("numbers", out.to_owned()), ("net", out.join("net"))] {
            let object = sources.join(object).with_extension("bpf.c");
            let _ = ecc(out, &[object.as_os_str(), "-o".as_ref(), to.as_os_str()]).succeeded();
        }
        let compile = |source: &Path, name: &str, flags: &[&str]| {
            let mut clang = Command::new("clang");
            clang.args(["-O2", "-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug"]).args(flags);
            clang.arg("-I").arg(sdk.join("c")).arg("-I").arg(out).arg(source);
            clang.arg("-o").arg(out.join(name).with_extension("wasm"));
            let _ = wait::outcome(&mut clang).succeeded();
        };
        for source in files(&sources) {
            let name = source.file_name().unwrap().to_str().unwrap();
            if let Some(name) = name.strip_suffix(".c").filter(|name| !name.ends_with(".bpf")) {
                compile(&source, name, &["--target=wasm32-wasi", "-Wl,--export-table"]);
            }
        }
        let check = checks.join("check.c");
        let bare = ["--target=wasm32-unknown-unknown", "-nostdlib", "-Wl,--no-entry"];
        compile(&check, "check-bare", &bare);
        compile(&check, "check-wasi", &["--target=wasm32-wasi", "-mexec-model=reactor"]);
        Outcome { code: 0, stdout: String::new(), stderr: String::new() }
    })
}

/// A directory next to the programs that is rebuilt if a source, or `ecc`, has changed.
fn built(name: &str, sources: &[PathBuf], build: impl FnOnce(&Path) -> Outcome) -> Option<PathBuf> {
    let out = program("ecc").with_file_name(name);
    let mut hasher = DefaultHasher::new();
    let ecc = std::fs::metadata(program("ecc")).unwrap();
    (ecc.len(), ecc.modified().unwrap()).hash(&mut hasher);
    for file in sources.iter().flat_map(|dir| files(dir)) {
        file.hash(&mut hasher);
        std::fs::read(&file).unwrap().hash(&mut hasher);
    }
    let stamp = hasher.finish().to_string();
    // Tests are processes that run in parallel.
    let _lock = wait::locked(&out.with_extension("lock"));
    let stamped = out.join("stamp");
    if std::fs::read_to_string(&stamped).is_ok_and(|known| known == stamp) {
        return Some(out);
    }
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).unwrap();
    let outcome = build(&out);
    let is_there = outcome.code != NO_COMPILER;
    if !can(outcome.stderr.trim_end(), is_there) {
        return None;
    }
    let _ = outcome.succeeded();
    std::fs::write(stamped, stamp).unwrap();
    Some(out)
}

/// All files below a directory, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// A tracer module that runs in `ecli run`. Dropping this kills it, also if the test fails.
#[derive(Debug)]
pub struct Tracer {
    child: Option<Child>,
    dir: TempDir,
}

impl Tracer {
    /// Starts a module with its output to a file, and waits until it has written this text.
    #[must_use]
    pub fn start<S: AsRef<str>>(module: &Path, args: &[S], until: &str) -> Tracer {
        let mut command = Command::new(program("ecli"));
        command.arg("run").arg(module).args(args.iter().map(AsRef::as_ref));
        Tracer::spawn(command, until)
    }

    /// Starts a command that runs a module, and waits until it has written this text.
    #[must_use]
    pub fn spawn(mut command: Command, until: &str) -> Tracer {
        let dir = crate::scratch();
        let file = |name| std::fs::File::create(dir.path().join(name)).unwrap();
        command.stdin(Stdio::piped()).stdout(file("stdout")).stderr(file("stderr"));
        let mut tracer = Tracer { child: Some(command.spawn().unwrap()), dir };
        tracer.wait_for(until, |text| text.contains(until));
        tracer
    }

    /// The programs and links that it holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::by(self.child.as_ref().unwrap().id())
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.dir.path().join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its output so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.read("stdout")
    }

    /// Waits until a condition holds for its output; fails after ten seconds, or if it ends before.
    pub fn wait_for(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so(&self.text()) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let (stdout, stderr) = (self.text(), self.read("stderr"));
            // It may have written the text just before its end.
            assert!(ended.is_none() || is_so(&stdout), "ended: {stdout}\n{stderr}");
            assert!(Instant::now() < deadline, "in ten seconds not so: {what}: {stdout}\n{stderr}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its standard input, which the module reads.
    #[must_use]
    pub fn stdin(&mut self) -> &mut ChildStdin {
        self.child.as_mut().unwrap().stdin.as_mut().unwrap()
    }

    /// Writes a line to its input.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin(), "{line}").unwrap();
    }

    /// Sends a signal. Returns its output and exit status, and how long it took to end.
    #[must_use]
    pub fn signal(self, signal: Signal) -> (Outcome, Duration) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        let sent = Instant::now();
        kill_process(pid, signal).unwrap();
        let outcome = self.wait();
        (outcome, sent.elapsed())
    }

    /// Waits until it ends.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let output = wait::finished(self.child.take().unwrap());
        let (stdout, stderr) = (self.text(), self.read("stderr"));
        Outcome { stdout, stderr, ..output.into() }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
