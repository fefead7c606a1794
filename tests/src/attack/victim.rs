// SPDX-License-Identifier: MIT
//! A hostile process of an unprivileged user. It spins in code that it has generated, with a stack
//! that refers to any address, and with hostile files for the lookup of names. `attack victim KIND
//! WHERE DIR NUMBER` starts one; it prints `ready`, and runs until it is killed.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::elf::{Builder, change, put, symbols};
use super::random::Random;
use super::texts;
use crate::sys;

/// Kinds of hostile `/tmp/perf-PID.map` files and processes.
pub const KINDS: [&str; 23] = [
    "sparse",
    "short-lines",
    "escapes",
    "fifo",
    "no-newline",
    "growing",
    "link-secret",
    "sparse-lines",
    "long-names",
    "overlapping",
    "numbers",
    "junk",
    "rewritten",
    "replaced",
    "directory",
    "link-zero",
    "link-kmsg",
    "link-trace-pipe",
    "link-maps",
    "link-loop",
    "exec-loop",
    "short-lived",
    "renamed",
];

/// Targets of its stack. `made` is the harmless one.
pub const PLACES: [&str; 9] = [
    "truncated",
    "links",
    "mappings",
    "symbols",
    "files",
    "changed",
    "rewritten",
    "holes",
    "anywhere",
];

/// The number of frames in its stack: the maximum that tracers read.
const DEPTH: usize = 126;

/// The size of a large map file in bytes: as much as a reader may read.
const LARGE: usize = 64 << 20;

/// Pairs of the next frame and a return address.
static FRAMES: [AtomicU64; 2 * DEPTH] = [const { AtomicU64::new(0) }; 2 * DEPTH];

/// Becomes a victim until it is killed.
pub fn main(words: &[OsString]) -> ! {
    let text = |at: usize| words.get(at).map(|word| word.to_string_lossy().into_owned());
    let (kind, place) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
    let dir = PathBuf::from(words.get(2).cloned().unwrap_or_default());
    let number = text(3).and_then(|number| number.parse().ok()).unwrap_or(0);
    let victim = Victim { kind, place, dir, random: Random::new(number, "victim", 0) };
    let Err(error) = victim.run(words);
    eprintln!("victim: {error}");
    std::process::exit(1)
}

struct Victim {
    kind: String,
    place: String,
    dir: PathBuf,
    random: Random,
}

impl Victim {
    fn run(mut self, words: &[OsString]) -> io::Result<Infallible> {
        // It ends with its parent.
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill)?;
        // It uses only CPU time that nobody else wants.
        rustix::process::nice(10)?;
        if self.kind == "short-lived" {
            return short_lived(&self.dir);
        }
        if self.kind == "renamed" {
            self.rename()?;
        }
        if self.kind == "calls" {
            return self.calls();
        }
        self.map_file()?;
        let addresses = self.addresses()?;
        let base = FRAMES.as_ptr() as u64;
        for (at, frame) in FRAMES.chunks(2).enumerate() {
            let next = if at + 1 < DEPTH { base + (at as u64 + 1) * 16 } else { 0 };
            frame[0].store(next, Ordering::Relaxed);
        }
        // Each sample has another stack.
        let mut random = self.random.clone();
        std::thread::spawn(move || {
            loop {
                for frame in FRAMES.chunks(2) {
                    let (start, len) = *random.choose(&addresses);
                    let at = start.wrapping_add(random.below(len as usize) as u64);
                    frame[1].store(at, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        if self.kind == "exec-loop" {
            let words = words.to_vec();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(6));
                if let Ok(own) = std::env::current_exe() {
                    let _ = Command::new(own).arg("victim").args(words).exec();
                }
            });
        }
        println!("ready");
        sys::spin_in_made_code(&FRAMES)
    }

    /// Changes its name to a hostile one.
    fn rename(&mut self) -> io::Result<()> {
        match CString::new(texts::bytes(&mut self.random, 15)) {
            Ok(name) => Ok(rustix::thread::set_name(&name)?),
            Err(_) => Ok(()),
        }
    }

    /// Makes system calls under several names.
    fn calls(mut self) -> io::Result<Infallible> {
        println!("ready");
        let seed = self.random.number();
        for number in 0i32.. {
            // Few enough names for a table to have room.
            self.random = Random::new(seed, "name", number as u64 % 16);
            self.rename()?;
            (0..self.random.between(1, 9)).for_each(|_| sys::carry(number));
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::ErrorKind::Other.into())
    }

    /// Creates the file that lists generated code.
    fn map_file(&mut self) -> io::Result<()> {
        let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
        if self.kind == "exec-loop" && path.exists() {
            return Ok(());
        }
        let random = &mut self.random;
        let content: Vec<u8> = match &*self.kind {
            "sparse" => return File::create(path)?.set_len(1 << 40),
            "sparse-lines" => {
                let mut file = File::create(path)?;
                file.set_len(LARGE as u64)?;
                for at in [1u64 << 20, 63 << 20] {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(b"\n1000 1000 name\n")?;
                }
                return Ok(());
            }
            "no-newline" => vec![b'a'; LARGE],
            // The case creates one file, to which each process has its own link.
            "short-lines" => return shared(&self.dir.join("lines"), b"1 1 a\n", &path),
            "long-names" => {
                let name = "n".repeat(1 << random.between(10, 22));
                format!("0 7fffffffffffffff {name}\n").repeat(LARGE / name.len() / 4).into()
            }
            "overlapping" => (0..200_000u64)
                .map(|at| format!("{:x} {:x} f{at}\n", at * 16, u64::MAX - at))
                .collect::<String>()
                .into(),
            "numbers" => {
                let number = |random: &mut Random| match random.below(4) {
                    0 => "f".repeat(random.below(40)),
                    1 => format!("0x{:x}", random.edge()),
                    2 => format!("-{:x}", random.edge()),
                    _ => format!("{:x}", random.edge()),
                };
                let line = |_| format!("{} {} name\n", number(random), number(random));
                (0..10_000).map(line).collect::<String>().into()
            }
            "junk" => random.bytes(1 << 20),
            "escapes" => {
                let mut all = Vec::new();
                for _ in 0..100 {
                    // Each line covers all addresses; the last one counts.
                    all.extend(b"0 ffffffffffffffff ");
                    all.extend(texts::bytes(random, 300).into_iter().filter(|byte| *byte != b'\n'));
                    all.push(b'\n');
                }
                all
            }
            "growing" | "rewritten" | "replaced" => return keep_changing(&self.kind, path),
            "fifo" => return Ok(mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0)?),
            "directory" => return fs::create_dir(path),
            "link-zero" => return std::os::unix::fs::symlink("/dev/zero", path),
            "link-kmsg" => return std::os::unix::fs::symlink("/proc/kmsg", path),
            "link-trace-pipe" => {
                return std::os::unix::fs::symlink("/sys/kernel/tracing/trace_pipe", path);
            }
            "link-maps" => return std::os::unix::fs::symlink("/proc/self/maps", path),
            "link-secret" => return std::os::unix::fs::symlink(self.dir.join("secret"), path),
            "link-loop" => return std::os::unix::fs::symlink(&path, &path),
            "none" => return Ok(()),
            _ => b"0 ffffffffffffffff made_code\n".to_vec(),
        };
        fs::write(path, content)
    }

    /// The targets of stacks: addresses, and the size of the memory at each.
    fn addresses(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let random = &mut self.random;
        let file = |name: &str, bytes: &[u8]| -> io::Result<(PathBuf, File)> {
            let path = self.dir.join(format!("{name}-{}", std::process::id()));
            fs::write(&path, bytes)?;
            Ok((path.clone(), File::open(path)?))
        };
        match &*self.place {
            "anywhere" => {
                Ok(vec![(0, 1 << 47), (1 << 63, 1 << 62), (u64::MAX - 4096, 4096), (0, 8)])
            }
            "mappings" => {
                let (_, program) = file("program", &program(random))?;
                (0..30_000).map(|_| Ok((sys::map_code(Some(&program), 0, 4096)?, 4096))).collect()
            }
            "files" => {
                let bytes = program(random);
                let mapped = |at| {
                    let (_, file) = file(&format!("program{at}"), &bytes)?;
                    Ok((sys::map_code(Some(&file), 0, 4096)?, 4096))
                };
                (0..300).map(mapped).collect()
            }
            "changed" => (0..30)
                .map(|at| {
                    let mut bytes = program(random);
                    change(&mut bytes, random, true);
                    let (_, file) = file(&format!("changed{at}"), &bytes)?;
                    Ok((sys::map_code(Some(&file), 0, 1 << 20)?, 1 << 20))
                })
                .collect(),
            "truncated" | "rewritten" => {
                // Reading it takes some milliseconds, during which it changes.
                let names = (0..100_000).map(|at| format!("function_with_a_name_{at}"));
                let bytes = program_with(symbols(names, 1, 0x12), random);
                let (path, file) = file("moving", &bytes)?;
                let (is_truncated, mut random) = (self.place == "truncated", random.clone());
                std::thread::spawn(move || {
                    while rewrite(&path, &bytes, is_truncated).is_ok() {
                        std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
                    }
                });
                Ok(vec![(sys::map_code(Some(&file), 0, 1 << 20)?, 1 << 20)])
            }
            "symbols" => {
                let names = (0..1_500_000).map(|at| format!("function_with_a_name_{at}"));
                let (_, file) = file("symbols", &program_with(symbols(names, 1, 0x12), random))?;
                Ok(vec![(sys::map_code(Some(&file), 0, 16 << 20)?, 16 << 20)])
            }
            "holes" => {
                // A symbol table of a terabyte, which is not there.
                let mut bytes = program(random);
                let table = super::elf::sections(&bytes).iter().position(|s| s.name == ".symtab");
                let header = table.unwrap_or(0) * 64 + 32;
                let at = u64::from_le_bytes(bytes[40..48].try_into().unwrap_or_default()) as usize;
                put(&mut bytes, at + header, 8, 1 << 40);
                let (path, mapped) = file("holes", &bytes)?;
                OpenOptions::new().write(true).open(path)?.set_len(2 << 40)?;
                Ok(vec![(sys::map_code(Some(&mapped), 0, 1 << 20)?, 1 << 20)])
            }
            "links" => {
                // Separate debug information in a pipe that nobody writes to.
                let fifo = self.dir.join(format!("fifo-{}", std::process::id()));
                mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0)?;
                let name = fifo.file_name().unwrap_or_default().as_bytes();
                let mut link = name.to_vec();
                link.resize(name.len() / 4 * 4 + 8, 0);
                let mut elf = Builder::default();
                elf.add(".text", 1, vec![0x90; 4096]);
                elf.add(".gnu_debuglink", 1, link);
                let (_, file) = file("links", &elf.build_program(MACHINE))?;
                Ok(vec![(sys::map_code(Some(&file), 0, 4096)?, 4096)])
            }
            _ => Ok(vec![
                (FRAMES.as_ptr() as u64, 4096),
                (sys::map_code(None, 0, 1 << 20)?, 1 << 20),
            ]),
        }
    }
}

/// This machine's type in ELF files.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };

/// A small program with some symbols.
fn program(random: &mut Random) -> Vec<u8> {
    let names = (0..2000).map(|at| match at % 10 {
        0 => texts::text(random).replace('\0', ""),
        _ => format!("function_{at}"),
    });
    let table = symbols(names, 1, 0x12);
    program_with(table, random)
}

fn program_with((strings, table): (Vec<u8>, Vec<u8>), random: &mut Random) -> Vec<u8> {
    let mut elf = Builder::default();
    elf.add(".text", 1, vec![0x90; 64 << 10]);
    let strings = elf.add(".strtab", 3, strings);
    let table = elf.add(".symtab", 2, table);
    elf.link(table, strings, 1);
    for name in [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".zdebug_info"] {
        if random.one_in(3) {
            let content = random.bytes(4096);
            elf.add(name, 1, content);
        }
    }
    elf.build_program(MACHINE)
}

/// A file that repeats one line, shared by all processes of a case.
fn shared(file: &Path, line: &[u8], path: &Path) -> io::Result<()> {
    if !file.exists() {
        let temporary = file.with_extension(std::process::id().to_string());
        fs::write(&temporary, line.repeat(LARGE / line.len()))?;
        fs::rename(&temporary, file)?;
    }
    fs::hard_link(file, path).or_else(|_| fs::copy(file, path).map(drop))
}

/// Creates a file that changes all the time.
fn keep_changing(kind: &str, path: PathBuf) -> io::Result<()> {
    let piece = b"1000 7fffffffffff name_of_code\n".repeat(10_000);
    fs::write(&path, &piece)?;
    let kind = kind.to_owned();
    std::thread::spawn(move || {
        for round in 0u64.. {
            let result = match &*kind {
                // Not more than fits a disk.
                "growing" if round > 1000 => break,
                "growing" => OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .and_then(|mut f| f.write_all(&piece)),
                "rewritten" => rewrite(&path, &piece, true),
                _ => {
                    let other = path.with_extension("new");
                    let made = match round % 3 {
                        0 => mknodat(CWD, &other, FileType::Fifo, Mode::from(0o600), 0)
                            .map_err(io::Error::from),
                        1 => std::os::unix::fs::symlink("/dev/zero", &other),
                        _ => fs::write(&other, &piece[..(round as usize * 31) % piece.len()]),
                    };
                    made.and_then(|()| fs::rename(&other, &path))
                }
            };
            if result.is_err() {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    Ok(())
}

/// Rewrites a file in place: it is empty for a moment, or half of it has other bytes.
fn rewrite(path: &Path, bytes: &[u8], is_truncated: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    if is_truncated {
        file.set_len(0)?;
        std::thread::sleep(Duration::from_micros(300));
        file.write_all(bytes)?;
    } else {
        file.write_all(&vec![0xa5; bytes.len() / 2])?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
    }
    std::thread::sleep(Duration::from_micros(100));
    Ok(())
}

/// Starts processes that end before they can be inspected.
fn short_lived(dir: &Path) -> io::Result<Infallible> {
    let own = std::env::current_exe()?;
    println!("ready");
    for number in 0u64.. {
        let words: [OsString; 4] =
            ["none".into(), "made".into(), dir.into(), number.to_string().into()];
        let mut child =
            Command::new(&own).arg("victim").args(words).stdout(Stdio::null()).spawn()?;
        let path = format!("/tmp/perf-{}.map", child.id());
        fs::write(&path, "0 ffffffffffffffff made_code\n")?;
        std::thread::sleep(Duration::from_millis(number % 12));
        child.kill()?;
        child.wait()?;
        fs::remove_file(path)?;
    }
    Err(io::ErrorKind::Other.into())
}
