// SPDX-License-Identifier: MIT
//! Tests with faked processes, which are files in a directory like /proc, for what real ones do not
//! do in time; and with libraries.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use blazesym::inspect::source::{Elf, Source};
use blazesym::inspect::{Inspector, SymInfo};
use tempfile::TempDir;

use super::super::engine::Engine;
use super::super::files::Files;
use super::super::processes::FRESH;
use super::super::*;
use super::{landmark_address, shown, skipped};

/// A process that consists of files: `stat`, `maps`, and a root directory.
struct Faked {
    dir: TempDir,
}

/// Where a faked process maps its file.
const BASE: u64 = 0x7f12_0000_0000;

impl Faked {
    fn new(root: &Path) -> Faked {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        symlink(root, dir.path().join("7/root")).unwrap();
        fs::write(dir.path().join("7/status"), "Name:\tx\nNSpid:\t7\t3\n").unwrap();
        Faked { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("7").join(name)
    }

    /// `image`: the start time, and where code begins.
    fn is(&self, image: (u64, u64), maps: &str) {
        let (start, code) = image;
        let zeroes = |many| "0 ".repeat(many);
        let fields = format!("S {}{start} {}{code} {code} {code} 0", zeroes(18), zeroes(3));
        fs::write(self.file("stat"), format!("7 (a ) b) {fields}\n")).unwrap();
        fs::write(self.file("maps"), maps).unwrap();
    }

    fn symbols(&self) -> Engine {
        Engine::of(self.dir.path().into(), false)
    }
}

/// A line of maps with a whole file at `BASE`.
fn map_of(file: &Path) -> String {
    let data = fs::metadata(file).unwrap();
    let (device, inode) = (data.dev(), data.ino());
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let end = BASE + data.len().next_multiple_of(4096);
    format!("{BASE:x}-{end:x} r-xp 0 {major:x}:{minor:x} {inode}   {}\n", file.display())
}

/// A function of a library: the library's path, and the function's offset in it.
fn library_function(library: &str, function: &str) -> Option<(PathBuf, u64)> {
    let directories =
        ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib", "/lib"];
    let path =
        directories.iter().map(|dir| Path::new(dir).join(library)).find(|path| path.exists())?;
    let path = path.canonicalize().ok()?;
    let mut elf = Elf::new(&path);
    elf.debug_syms = false;
    let inspector = Inspector::new();
    let found = inspector.lookup(&Source::Elf(elf), &[function]).ok()?;
    let offset = |symbol: &SymInfo<'_>| symbol.file_offset;
    let offset = found.first()?.iter().find_map(offset)?;
    Some((path, offset))
}

#[test]
fn a_number_that_is_used_again_gives_no_wrong_names() {
    let exe = std::env::current_exe().unwrap();
    let own = maps::read(Path::new("/proc/self"), &mut Files::new(false)).0;
    let address = landmark_address();
    let mapping = own.iter().find(|one| (one.start..one.end).contains(&address)).unwrap();
    let place = CodeAddress::Exact(BASE + address - mapping.start + mapping.offset);
    let is_landmark = |text: &str| text.contains("landmark");

    let faked = Faked::new(Path::new("/"));
    let mut symbols = faked.symbols();
    faked.is((100, 1), &map_of(&exe));
    assert!(is_landmark(&shown(&mut symbols, 7, place)));
    // A zombie, and then no process: the names stay.
    faked.is((100, 0), "");
    std::thread::sleep(FRESH);
    assert!(is_landmark(&shown(&mut symbols, 7, place)));
    fs::remove_file(faked.file("stat")).unwrap();
    fs::remove_file(faked.file("maps")).unwrap();
    std::thread::sleep(FRESH);
    assert!(is_landmark(&shown(&mut symbols, 7, place)));
    // Another process with that ID, which has generated code there.
    let made = format!("{BASE:x}-{:x} rwxp 00000000 00:00 0 \n", BASE + (1 << 32));
    faked.is((200, 1), &made);
    std::thread::sleep(FRESH);
    let text = shown(&mut symbols, 7, place);
    assert_eq!(text, format!("{:#x} [anon]", place.address()));
    // It becomes our program by exec.
    faked.is((200, 2), &map_of(&exe));
    std::thread::sleep(FRESH);
    assert!(is_landmark(&shown(&mut symbols, 7, place)));
    // A process that ended before it was inspected.
    faked.is((300, 0), "");
    std::thread::sleep(FRESH);
    assert_eq!(shown(&mut symbols, 7, place), format!("{:#x}", place.address()));
}

#[test]
fn what_is_mapped_later_is_found() {
    let faked = Faked::new(Path::new("/"));
    let mut symbols = faked.symbols();
    faked.is((100, 1), "");
    symbols.note(7);
    faked.is((100, 1), &map_of(&std::env::current_exe().unwrap()));
    let text = shown(&mut symbols, 7, CodeAddress::Exact(BASE + 1));
    assert!(text.contains(" [bpfpack_symbols-"), "{text}");
}

#[test]
fn a_file_that_was_written_anew_has_no_names() {
    let Some((libc, offset)) = library_function("libc.so.6", "malloc") else {
        return skipped("there is no libc.so.6 here");
    };
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("libc.so");
    fs::copy(libc, &copy).unwrap();
    let faked = Faked::new(Path::new("/"));
    let mut symbols = faked.symbols();
    faked.is((100, 1), &map_of(&copy));
    // A stripped library still has its dynamic symbols.
    let text = shown(&mut symbols, 7, CodeAddress::Exact(BASE + offset + 3));
    assert!(text.ends_with("malloc+0x3 [libc.so]"), "{text}");
    fs::File::options().append(true).open(&copy).unwrap().set_len(4096).unwrap();
    let text = shown(&mut symbols, 7, CodeAddress::Exact(BASE + offset + 4));
    let (address, offset) = (BASE + offset + 4, offset + 4);
    assert_eq!(text, format!("{address:#x} [libc.so+{offset:#x}]"));
}

#[test]
fn names_of_cpp_are_demangled() {
    let Some((path, offset)) = library_function("libstdc++.so.6", "_ZSt9terminatev") else {
        return skipped("there is no libstdc++.so.6 here");
    };
    let faked = Faked::new(Path::new("/"));
    faked.is((100, 1), &map_of(&path));
    let text = shown(&mut faked.symbols(), 7, CodeAddress::Exact(BASE + offset));
    assert!(text.starts_with("std::terminate()+0x0 [libstdc++.so"), "{text}");
}

#[test]
fn made_code_has_the_names_that_the_process_tells() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    let faked = Faked::new(root.path());
    let mut symbols = faked.symbols();
    faked.is((100, 1), &format!("{BASE:x}-{:x} rwxp 00000000 00:00 0 \n", BASE + 4096));
    let place = CodeAddress::Exact(BASE + 0x18);
    assert_eq!(shown(&mut symbols, 7, place), "0x7f1200000018 [anon]");
    let table = root.path().join("tmp/perf-3.map");
    let mut lines = String::from("7f1200000000 20 LazyCompile:~f a.js:1\n7f12000");
    fs::write(&table, &lines).unwrap();
    assert_eq!(shown(&mut symbols, 7, place), "LazyCompile:~f a.js:1+0x18 [jit]");
    lines.push_str("00000 20 later\nnonsense\n");
    fs::write(&table, &lines).unwrap();
    assert_eq!(shown(&mut symbols, 7, place), "later+0x18 [jit]");
    assert_eq!(shown(&mut symbols, 7, CodeAddress::Exact(BASE + 0x20)), "0x7f1200000020 [anon]");
}

#[test]
fn a_table_of_made_code_is_no_link() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    let line = "7f1200000000 20 secret\n";
    fs::write(root.path().join("elsewhere"), line).unwrap();
    symlink("/elsewhere", root.path().join("tmp/perf-3.map")).unwrap();
    let faked = Faked::new(root.path());
    let mut symbols = faked.symbols();
    faked.is((100, 1), &format!("{BASE:x}-{:x} rwxp 00000000 00:00 0 \n", BASE + 4096));
    let place = CodeAddress::Exact(BASE + 0x18);
    assert_eq!(shown(&mut symbols, 7, place), "0x7f1200000018 [anon]");
    fs::remove_file(root.path().join("tmp/perf-3.map")).unwrap();
    fs::write(root.path().join("tmp/perf-3.map"), line).unwrap();
    assert_eq!(shown(&mut symbols, 7, place), "secret+0x18 [jit]");
}
