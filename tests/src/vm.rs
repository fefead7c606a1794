// SPDX-License-Identifier: MIT
//! Runs commands on another kernel, in a virtual machine that has nothing but this kernel, the
//! program `guest` as its first process, and the files that the test adds.
//!
//! QEMU emulates the processor, since KVM is not there in most virtual machines. There is one CPU:
//! with more, QEMU trips over the kernel's code patching for probes.

mod kernel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cpio::Archive;
use crate::{Outcome, can, scratch, wait};

pub use kernel::Kernel;

/// Where `guest` finds the commands: a JSON array of arrays of words.
pub const COMMANDS: &str = "/commands";
/// Where `guest` finds the modules, which it loads in the order of their names.
pub const MODULES: &str = "/modules";

/// The serial ports of the machine, in the order of their numbers: what they are for, and the names
/// of the files to which QEMU writes.
const PORTS: [&str; 4] = ["console", "stdout", "stderr", "report"];
/// Where `guest` writes the output of all commands, and their messages.
pub const STDOUT: &str = "/dev/ttyS1";
/// See [`STDOUT`].
pub const STDERR: &str = "/dev/ttyS2";
/// Where `guest` writes a JSON object in a line for each command that has ended: its exit code as
/// `code`, and how many bytes it wrote to `stdout` and `stderr`.
pub const REPORT: &str = "/dev/ttyS3";

/// The time limit of a machine. The emulated processor takes five to nine seconds to boot.
const LIMIT: Duration = Duration::from_secs(100);

/// The lines of the console that a failure shows.
const CONSOLE_LINES: usize = 40;

/// The series of the kernel matrix. `tests/kernels.sh` gets them.
pub const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];
/// The series that `make test` uses.
pub const OLD: &str = "6.1";

/// The kernel of a series, if it is there and virtual machines can run here; otherwise says why not.
#[must_use]
pub fn kernel(series: &str) -> Option<Kernel> {
    if !can_run() {
        return None;
    }
    let kernel = Kernel::of_series(series);
    let _ = can(&format!("needs Linux {series} (tests/kernels.sh {series})"), kernel.is_some());
    kernel
}

/// Whether virtual machines can run here; if not, says why.
#[must_use]
pub fn can_run() -> bool {
    let qemu = Path::new("/usr/bin/qemu-system-x86_64").exists();
    can("needs x86-64", cfg!(target_arch = "x86_64"))
        && can("needs qemu-system-x86_64 (apt-get install qemu-system-x86)", qemu)
}

/// A virtual machine before it starts.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    files: Archive,
    modules: Vec<String>,
    arguments: String,
    limit: Duration,
    /// Next to `guest`: in a shared directory, the file could be another user's.
    lock: PathBuf,
}

/// How a machine ended.
#[derive(Debug)]
pub struct Ended {
    /// How each command ended, as far as the machine came.
    pub outcomes: Vec<Outcome>,
    /// What the command wrote that has not ended: standard output and standard error.
    pub unfinished: [String; 2],
    /// What the kernel and `guest` wrote.
    pub console: String,
    /// What QEMU wrote.
    pub qemu: String,
    /// Whether the machine ended before its time limit.
    pub in_time: bool,
}

impl Machine {
    /// A machine without files. `guest` is the program `guest`, which is `/init` there.
    #[must_use]
    pub fn new(kernel: Kernel, guest: &Path) -> Machine {
        let mut files = Archive::default();
        for directory in ["dev", "proc", "sys", "tmp", "run", "root", "modules"] {
            files.directory(directory);
        }
        // The first process has it as its descriptors 0 to 2, before anything is mounted.
        files.device("/dev/console", (5, 1));
        let lock = guest.with_file_name("vm.lock");
        let (modules, arguments) = (Vec::new(), String::new());
        let machine = Machine { kernel, files, modules, arguments, limit: LIMIT, lock };
        machine.program(guest, "/init")
    }

    /// Copies a file to a path in the machine.
    #[must_use]
    #[track_caller]
    pub fn file(mut self, from: &Path, to: &str) -> Machine {
        self.files.file(to, 0o755, &fs::read(from).unwrap());
        self
    }

    /// Copies a program without what debuggers need, which is most of a debug build: the machine has
    /// all files in memory. Functions keep their names.
    #[must_use]
    #[track_caller]
    pub fn program(self, from: &Path, to: &str) -> Machine {
        let dir = scratch();
        let copy = dir.path().join("program");
        let args = ["--strip-debug".as_ref(), "-o".as_ref(), copy.as_os_str(), from.as_os_str()];
        let _ = crate::run("strip", &args).succeeded();
        self.file(&copy, to)
    }

    /// Loads a module of the kernel before the commands run, after those that it needs.
    #[must_use]
    #[track_caller]
    pub fn module(mut self, name: &str) -> Machine {
        let module = self.kernel.module(name);
        let module = module.unwrap_or_else(|| panic!("{} has no {name}.ko", self.kernel.series));
        for needed in kernel::needed(&module) {
            self = self.module(&needed);
        }
        if !self.modules.iter().any(|known| known == name) {
            let path = format!("{MODULES}/{:03}-{name}", self.modules.len());
            self.files.file(&path, 0o644, &module);
            self.modules.push(name.to_owned());
        }
        self
    }

    /// Adds arguments to the kernel's command line.
    #[must_use]
    pub fn arguments(mut self, arguments: &str) -> Machine {
        self.arguments = format!("{} {arguments}", self.arguments);
        self
    }

    /// Sets another time limit.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Machine {
        Machine { limit, ..self }
    }

    /// Boots the machine, runs a command in it, and powers it off. Returns the outcome of the
    /// command, and what the kernel wrote.
    #[track_caller]
    pub fn run(self, command: &[&str]) -> (Outcome, String) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let mut ended = self.run_all(&[command]);
        match ended.outcomes.pop() {
            Some(outcome) => (outcome, ended.console),
            None => panic!("{}", ended.failure()),
        }
    }

    /// Boots the machine, runs commands in it one after another, and powers it off.
    #[track_caller]
    pub fn run_all(mut self, commands: &[Vec<String>]) -> Ended {
        let commands = serde_json::to_vec(commands).unwrap();
        self.files.file(COMMANDS, 0o644, &commands);
        // The archive, the files in it, and as much as small machines have.
        let memory = 384 + 2 * (self.files.size() >> 20);
        let dir = scratch();
        fs::write(dir.path().join("initrd"), self.files.finish()).unwrap();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-M", "pc", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1"])
            .args(["-m", &memory.to_string(), "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-no-reboot"])
            .args(PORTS.iter().flat_map(|port| ["-serial".to_owned(), format!("file:{port}")]))
            .arg("-kernel")
            .arg(&self.kernel.image)
            .args(["-initrd", "initrd", "-append"])
            // A panic ends the machine. The BIOS is not asked for disks, which takes seconds, and
            // nothing is patched against attacks, which makes the emulated processor slower.
            .arg(format!(
                "console=ttyS0 panic=-1 edd=off quiet loglevel=4 mitigations=off{}",
                self.arguments
            ))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("qemu")).unwrap());
        // Two of them would take the CPUs from all other tests.
        let lock = wait::locked(&self.lock);
        let in_time = wait::ends_within(self.limit, qemu.spawn().unwrap());
        drop(lock);
        Ended::read(&dir, in_time)
    }
}

impl Ended {
    /// From the files to which QEMU wrote.
    fn read(dir: &TempDir, in_time: bool) -> Ended {
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let [console, stdout, stderr, report] = PORTS.map(read);
        let (mut stdout, mut stderr) = (&stdout[..], &stderr[..]);
        // The last line may be incomplete.
        let report = text(&report);
        let reports = report.lines().map_while(|line| serde_json::from_str(line).ok());
        let outcomes = reports.map(|report: serde_json::Value| {
            let taken = |from: &mut &[u8], field: &str| {
                let len = report[field].as_u64().unwrap() as usize;
                let (of_command, rest) = from.split_at(len.min(from.len()));
                *from = rest;
                text(of_command)
            };
            Outcome {
                code: report["code"].as_i64().unwrap() as i32,
                stdout: taken(&mut stdout, "stdout"),
                stderr: taken(&mut stderr, "stderr"),
            }
        });
        Ended {
            outcomes: outcomes.collect(),
            unfinished: [text(stdout), text(stderr)],
            console: text(&console),
            qemu: text(&read("qemu")),
            in_time,
        }
    }

    /// Why a command has not ended, with the end of the console.
    #[must_use]
    pub fn failure(&self) -> String {
        let lines: Vec<&str> = self.console.lines().collect();
        let last = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n");
        let why = if self.in_time { "ended too early" } else { "did not end in time" };
        let [stdout, stderr] = &self.unfinished;
        let qemu = &self.qemu;
        format!("the machine {why}\n{last}\nQEMU: {qemu}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}
