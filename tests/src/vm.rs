// SPDX-License-Identifier: MIT
//! Runs a command on another kernel, in a virtual machine that has nothing but this kernel, the
//! program `guest` as its first process, and the files that the test adds.
//!
//! QEMU emulates the processor, since KVM is not there in most virtual machines. There is one CPU:
//! with more, QEMU trips over the kernel's code patching for probes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::cpio::Archive;
use crate::program;
use crate::{Outcome, can, scratch, wait};

/// Where `guest` finds the words of the command, each with a zero behind it.
pub const COMMAND: &str = "/command";
/// Where `guest` finds the modules, which it loads in the order of their names.
pub const MODULES: &str = "/modules";

/// The serial ports of the machine, in the order of their numbers: what they are for, and the names
/// of the files to which QEMU writes.
const PORTS: [&str; 4] = ["console", "stdout", "stderr", "report"];
/// Where `guest` writes the command's output, its messages, and [`EXIT_CODE`].
pub const STDOUT: &str = "/dev/ttyS1";
/// See [`STDOUT`].
pub const STDERR: &str = "/dev/ttyS2";
/// See [`STDOUT`].
pub const REPORT: &str = "/dev/ttyS3";
/// What comes before the exit code in the report.
pub const EXIT_CODE: &str = "exit code ";

/// The time limit of a machine. The emulated processor takes five to nine seconds to boot.
const LIMIT: Duration = Duration::from_secs(100);

/// The lines of the console that a failure shows.
const CONSOLE_LINES: usize = 40;

/// A kernel that `tests/setup.sh` has unpacked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Such as `6.1`.
    pub series: String,
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// All kernels, the oldest series first.
    #[must_use]
    pub fn all() -> Vec<Kernel> {
        let cache = bpfpack_directories::user_cache();
        let entries = cache.and_then(|cache| fs::read_dir(cache.join("kernels")).ok());
        let mut kernels: Vec<Kernel> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Kernel::in_tree(&entry.ok()?.path()))
            .collect();
        kernels.sort_by_key(|kernel| numbers(&kernel.series));
        kernels
    }

    /// The kernel of a series.
    #[must_use]
    pub fn of_series(series: &str) -> Option<Kernel> {
        Kernel::all().into_iter().find(|kernel| kernel.series == series)
    }

    /// The kernel in an unpacked package, in a directory with the name of the series.
    fn in_tree(tree: &Path) -> Option<Kernel> {
        let series = tree.file_name()?.to_str().filter(|name| numbers(name).is_some())?.to_owned();
        let entries = |directory: &str| fs::read_dir(tree.join(directory)).into_iter().flatten();
        let image = entries("boot").flatten().map(|entry| entry.path()).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        })?;
        // Newer packages have all of /lib in /usr.
        let mut modules = entries("lib/modules").chain(entries("usr/lib/modules")).flatten();
        let modules = modules.next()?.path();
        Some(Kernel { series, image, modules })
    }

    /// The file of a module that is not built in.
    fn module(&self, name: &str) -> Option<PathBuf> {
        let file = format!("{name}.ko");
        let mut todo = vec![self.modules.join("kernel")];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    todo.push(entry.path());
                } else if entry.file_name() == *file {
                    return Some(entry.path());
                }
            }
        }
        None
    }
}

/// The numbers of a series.
fn numbers(series: &str) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> = series.split('.').map(|number| number.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() == 2)
}

/// A kernel for tests that may use any, if virtual machines can run here; otherwise says why not.
#[must_use]
pub fn any_kernel() -> Option<Kernel> {
    if !can("needs x86-64", cfg!(target_arch = "x86_64")) {
        return None;
    }
    let qemu = Path::new("/usr/bin/qemu-system-x86_64").exists();
    if !can("needs qemu-system-x86_64 (apt-get install qemu-system-x86)", qemu) {
        return None;
    }
    let kernel = Kernel::all().pop();
    let _ = can("needs a kernel for virtual machines (tests/setup.sh test)", kernel.is_some());
    kernel
}

/// A virtual machine before it starts.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    files: Archive,
    modules: usize,
    arguments: String,
}

/// How a command in a virtual machine ended.
#[derive(Debug)]
pub struct Ended {
    /// The command's output and exit code.
    pub outcome: Outcome,
    /// What the kernel and `guest` wrote.
    pub console: String,
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
        files.file("/init", 0o755, &fs::read(guest).unwrap());
        Machine { kernel, files, modules: 0, arguments: String::new() }
    }

    /// Copies a program or another file to a path in the machine.
    #[must_use]
    #[track_caller]
    pub fn file(mut self, from: &Path, to: &str) -> Machine {
        self.files.file(to, 0o755, &fs::read(from).unwrap());
        self
    }

    /// Loads a module of the kernel before the command runs. The modules that it needs come first.
    #[must_use]
    #[track_caller]
    pub fn module(mut self, name: &str) -> Machine {
        let path = self.kernel.module(name);
        let path = path.unwrap_or_else(|| panic!("{} has no {name}.ko", self.kernel.series));
        self.files.file(
            &format!("{MODULES}/{:03}-{name}", self.modules),
            0o644,
            &fs::read(path).unwrap(),
        );
        self.modules += 1;
        self
    }

    /// Adds arguments to the kernel's command line.
    #[must_use]
    pub fn arguments(mut self, arguments: &str) -> Machine {
        self.arguments = format!("{} {arguments}", self.arguments);
        self
    }

    /// Boots the machine, runs a command in it, and powers it off.
    #[track_caller]
    pub fn run(mut self, command: &[&str]) -> Ended {
        let words: String = command.iter().flat_map(|word| [*word, "\0"]).collect();
        self.files.file(COMMAND, 0o644, words.as_bytes());
        // The archive, the files in it, and as much as small machines have.
        let memory = 384 + 2 * (self.files.size() >> 20);
        let dir = scratch();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("initrd"), self.files.finish()).unwrap();
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
            .stderr(fs::File::create(path("qemu")).unwrap());
        // Two of them would take the CPUs from all other tests.
        let lock = wait::locked(&program("ecc").with_file_name("ecc-test-vm.lock"));
        let in_time = ends(qemu.spawn().unwrap(), LIMIT).unwrap();
        drop(lock);
        let read =
            |name: &str| String::from_utf8_lossy(&fs::read(path(name)).unwrap()).into_owned();
        let [console, stdout, stderr, report] = PORTS.map(read);
        let code = report.lines().find_map(|line| line.strip_prefix(EXIT_CODE)?.parse().ok());
        let Some(code) = code else {
            let lines: Vec<&str> = console.lines().collect();
            let last = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n");
            let why = if in_time { "it reported nothing" } else { "it did not end in time" };
            panic!(
                "a machine with Linux {}: {why}\n{last}\nQEMU: {}\nstdout:\n{stdout}\n\
                 stderr:\n{stderr}",
                self.kernel.series,
                read("qemu"),
            );
        };
        Ended { outcome: Outcome { code, stdout, stderr }, console }
    }
}

/// Waits until a child ends, or kills it. Returns whether it ended.
fn ends(mut child: Child, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_named_by_series() {
        let dir = scratch();
        let at = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let image = at("6.12/boot/vmlinuz-6.12.1-cloud-amd64");
        let module = at("6.12/usr/lib/modules/6.12.1/kernel/net/sched/x.ko");
        let kernel = Kernel::in_tree(&dir.path().join("6.12")).unwrap();
        assert_eq!((kernel.series.as_str(), &kernel.image), ("6.12", &image));
        assert_eq!(kernel.module("x"), Some(module));
        assert_eq!(kernel.module("y"), None);
        let _ = at("new-1234/boot/vmlinuz-1");
        assert!(Kernel::in_tree(&dir.path().join("new-1234")).is_none());
        assert!(numbers("6.12") > numbers("6.2"));
    }
}
