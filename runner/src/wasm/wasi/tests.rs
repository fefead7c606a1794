// SPDX-License-Identifier: MIT
//! Tests of calls, made as a module makes them, on memory that the tests can access.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use wasmtime::{Config, Engine, Linker, Memory, MemoryType, Module, Store, WasmParams};

use super::*;

/// Data of a store that records what a module writes.
#[derive(Debug)]
struct Test {
    memory: Option<Memory>,
    wasi: Wasi,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stdin: Vec<u8>,
    waits: Vec<(Option<Duration>, bool)>,
    /// Whether a signal arrives at the next wait.
    is_interrupted: bool,
}

impl Guest for Test {
    fn memory(&mut self) -> &mut Option<Memory> {
        &mut self.memory
    }
}

impl HasWasi for Test {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn streams(&mut self) -> &mut dyn Streams {
        self
    }
}

impl Streams for Test {
    fn write(&mut self, to: Output, bytes: &[u8]) -> Answer<usize> {
        match to {
            Output::Stdout => self.stdout.extend(bytes),
            Output::Stderr => self.stderr.extend(bytes),
        }
        Ok(bytes.len())
    }

    fn read(&mut self, room: &mut [u8]) -> Answer<usize> {
        let count = room.len().min(self.stdin.len());
        room[..count].copy_from_slice(&self.stdin[..count]);
        self.stdin.drain(..count);
        Ok(count)
    }

    fn wait(&mut self, time: Option<Duration>, input: bool) -> Answer<bool> {
        self.waits.push((time, input));
        match self.is_interrupted {
            true => Err(Errno::Interrupted.into()),
            false => Ok(input && !self.stdin.is_empty()),
        }
    }
}

/// A page of memory, and the functions, as a module sees them.
struct Fake {
    store: Store<Test>,
    linker: Linker<Test>,
    memory: Memory,
}

impl Fake {
    fn new(directories: &[PathBuf]) -> Fake {
        let arguments = ["x.wasm", "-n", "3"].map(str::to_owned).into();
        let environment = [("A".to_owned(), "b".to_owned())];
        let wasi = Wasi::new(arguments, &environment, directories).unwrap();
        let engine = Engine::new(&Config::new()).unwrap();
        let mut store = Store::new(
            &engine,
            Test {
                memory: None,
                wasi,
                stdout: Vec::new(),
                stderr: Vec::new(),
                stdin: Vec::new(),
                waits: Vec::new(),
                is_interrupted: false,
            },
        );
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        store.data_mut().memory = Some(memory);
        let mut linker = Linker::new(&engine);
        link(&mut linker).unwrap();
        Fake { store, linker, memory }
    }

    fn call<P: WasmParams>(&mut self, name: &str, parameters: P) -> u32 {
        let function = self.linker.get(&mut self.store, MODULE, name).unwrap();
        let function = function.into_func().unwrap().typed::<P, u32>(&self.store).unwrap();
        function.call(&mut self.store, parameters).unwrap()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory.write(&mut self.store, at, bytes).unwrap();
    }

    fn put32(&mut self, at: usize, numbers: &[u32]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.put(at, &bytes);
    }

    fn get(&self, at: usize, len: usize) -> &[u8] {
        &self.memory.data(&self.store)[at..at + len]
    }

    fn get32(&self, at: usize) -> u32 {
        place::get32(self.get(at, 4), 0)
    }

    fn get64(&self, at: usize) -> u64 {
        place::get64(self.get(at, 8), 0)
    }

    /// Opens a file of the first directory. Returns the error number and the descriptor.
    fn open(&mut self, path: &str, how: u32, rights: u64) -> (u32, u32) {
        self.put(0, path.as_bytes());
        let parameters = (3u32, 1u32, 0u32, path.len() as u32, how, rights, 0u64, 0u32, 512u32);
        (self.call("path_open", parameters), self.get32(512))
    }
}

const OK: u32 = 0;

#[test]
fn all_functions_of_preview_1_are_there() {
    let errno = "(result i32)";
    let functions = [
        ("args_get", "i32 i32"),
        ("args_sizes_get", "i32 i32"),
        ("environ_get", "i32 i32"),
        ("environ_sizes_get", "i32 i32"),
        ("clock_res_get", "i32 i32"),
        ("clock_time_get", "i32 i64 i32"),
        ("fd_advise", "i32 i64 i64 i32"),
        ("fd_allocate", "i32 i64 i64"),
        ("fd_close", "i32"),
        ("fd_datasync", "i32"),
        ("fd_fdstat_get", "i32 i32"),
        ("fd_fdstat_set_flags", "i32 i32"),
        ("fd_fdstat_set_rights", "i32 i64 i64"),
        ("fd_filestat_get", "i32 i32"),
        ("fd_filestat_set_size", "i32 i64"),
        ("fd_filestat_set_times", "i32 i64 i64 i32"),
        ("fd_pread", "i32 i32 i32 i64 i32"),
        ("fd_prestat_get", "i32 i32"),
        ("fd_prestat_dir_name", "i32 i32 i32"),
        ("fd_pwrite", "i32 i32 i32 i64 i32"),
        ("fd_read", "i32 i32 i32 i32"),
        ("fd_readdir", "i32 i32 i32 i64 i32"),
        ("fd_renumber", "i32 i32"),
        ("fd_seek", "i32 i64 i32 i32"),
        ("fd_sync", "i32"),
        ("fd_tell", "i32 i32"),
        ("fd_write", "i32 i32 i32 i32"),
        ("path_create_directory", "i32 i32 i32"),
        ("path_filestat_get", "i32 i32 i32 i32 i32"),
        ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
        ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        ("path_readlink", "i32 i32 i32 i32 i32 i32"),
        ("path_remove_directory", "i32 i32 i32"),
        ("path_rename", "i32 i32 i32 i32 i32 i32"),
        ("path_symlink", "i32 i32 i32 i32 i32"),
        ("path_unlink_file", "i32 i32 i32"),
        ("poll_oneoff", "i32 i32 i32 i32"),
        ("proc_raise", "i32"),
        ("sched_yield", ""),
        ("random_get", "i32 i32"),
        ("sock_accept", "i32 i32 i32"),
        ("sock_recv", "i32 i32 i32 i32 i32 i32"),
        ("sock_send", "i32 i32 i32 i32 i32"),
        ("sock_shutdown", "i32 i32"),
    ];
    let mut text = format!("(module (import \"{MODULE}\" \"proc_exit\" (func (param i32)))");
    for (name, parameters) in functions {
        text += &format!("(import \"{MODULE}\" \"{name}\" (func (param {parameters}) {errno}))");
    }
    let mut guest = Fake::new(&[]);
    let module = Module::new(guest.linker.engine(), text + ")").unwrap();
    guest.linker.instantiate(&mut guest.store, &module).unwrap();
}

#[test]
fn arguments_and_environment() {
    let mut guest = Fake::new(&[]);
    assert_eq!(guest.call("args_sizes_get", (0u32, 4u32)), OK);
    assert_eq!((guest.get32(0), guest.get32(4)), (3, 12));
    assert_eq!(guest.call("args_get", (16u32, 100u32)), OK);
    assert_eq!(guest.get(100, 12), b"x.wasm\0-n\x003\0");
    assert_eq!([16, 20, 24].map(|at| guest.get32(at)), [100, 107, 110]);
    assert_eq!(guest.call("environ_sizes_get", (0u32, 4u32)), OK);
    assert_eq!((guest.get32(0), guest.get32(4)), (1, 4));
    assert_eq!(guest.call("environ_get", (16u32, 100u32)), OK);
    assert_eq!(guest.get(100, 4), b"A=b\0");
    // The end of the last text, or of the list, is outside of the memory.
    for place in [(16, 65530u32), (65532, 0), (u32::MAX, u32::MAX)] {
        assert_eq!(guest.call("args_get", place), Errno::Fault as u32);
    }
}

#[test]
fn output_comes_from_all_pieces() {
    let mut guest = Fake::new(&[]);
    guest.put(100, b"Hello, world");
    guest.put32(0, &[100, 7, 0, 0, 107, 5]);
    assert_eq!(guest.call("fd_write", (1u32, 0u32, 3u32, 32u32)), OK);
    assert_eq!(guest.get32(32), 12);
    assert_eq!(guest.call("fd_write", (2u32, 0u32, 1u32, 32u32)), OK);
    let told = guest.store.data();
    assert_eq!((&told.stdout[..], &told.stderr[..]), (&b"Hello, world"[..], &b"Hello, "[..]));
    let mut write = |fd: u32, count: u32| guest.call("fd_write", (fd, 0u32, count, 32u32));
    assert_eq!(write(0, 1), Errno::BadDescriptor as u32);
    assert_eq!(write(3, 1), Errno::BadDescriptor as u32);
    assert_eq!(write(1, 1025), Errno::Invalid as u32);
    guest.put32(0, &[65530, 7]);
    assert_eq!(guest.call("fd_write", (1u32, 0u32, 1u32, 32u32)), Errno::Fault as u32);
    assert_eq!(guest.call("fd_write", (1u32, u32::MAX, 1u32, 32u32)), Errno::Fault as u32);
    assert_eq!(guest.call("fd_close", 1u32), OK);
    guest.put32(0, &[100, 7]);
    assert_eq!(guest.call("fd_write", (1u32, 0u32, 1u32, 32u32)), Errno::BadDescriptor as u32);
}

#[test]
fn pieces_over_each_other_are_taken_in_part() {
    let mut guest = Fake::new(&[]);
    // 1024 times the same 60,000 bytes.
    let pieces: Vec<u32> = (0..1024).flat_map(|_| [0, 60_000]).collect();
    guest.put32(0, &pieces);
    assert_eq!(guest.call("fd_write", (1u32, 0u32, 1024u32, 65532u32)), OK);
    assert_eq!(guest.get32(65532), 1 << 20);
    assert_eq!(guest.store.data().stdout.len(), 1 << 20);
}

#[test]
fn streams_are_terminals_without_a_position() {
    let mut guest = Fake::new(&[]);
    for fd in 0..3u32 {
        assert_eq!(guest.call("fd_fdstat_get", (fd, 0u32)), OK);
        let (seek, tell) = (1 << 2, 1 << 5);
        assert_eq!((guest.get(0, 1)[0], guest.get64(8) & (seek | tell)), (2, 0));
        assert_eq!(guest.call("fd_seek", (fd, 0u64, 0u32, 0u32)), Errno::Seek as u32);
        assert_eq!(guest.call("fd_filestat_get", (fd, 0u32)), OK);
        assert_eq!(guest.get(16, 1), [2]);
    }
    assert_eq!(guest.call("fd_fdstat_get", (3u32, 0u32)), Errno::BadDescriptor as u32);
    assert_eq!(guest.call("fd_prestat_get", (3u32, 0u32)), Errno::BadDescriptor as u32);
    assert_eq!(guest.open("x", 0, 2).0, Errno::BadDescriptor as u32);
}

#[test]
fn input_is_read_in_pieces() {
    let mut guest = Fake::new(&[]);
    guest.store.data_mut().stdin = b"abc".into();
    guest.put32(0, &[100, 2, 200, 9]);
    let read = ("fd_read", (0u32, 0u32, 2u32, 32u32));
    assert_eq!((guest.call(read.0, read.1), guest.get32(32)), (OK, 2));
    assert_eq!(guest.get(100, 2), b"ab");
    assert_eq!((guest.call(read.0, read.1), guest.get32(32)), (OK, 1));
    assert_eq!((guest.call(read.0, read.1), guest.get32(32)), (OK, 0));
}

#[test]
fn files_are_read_below_the_directories_only() {
    let dir = tempfile::tempdir().unwrap();
    let given = dir.path().join("given");
    std::fs::create_dir_all(given.join("below")).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::fs::write(given.join("below/file"), "0123456789").unwrap();
    symlink("../secret", given.join("up")).unwrap();
    symlink("/etc/passwd", given.join("away")).unwrap();
    symlink("below/file", given.join("inside")).unwrap();
    let mut guest = Fake::new(std::slice::from_ref(&given));

    assert_eq!(guest.call("fd_prestat_get", (3u32, 0u32)), OK);
    let len = guest.get32(4);
    assert_eq!(guest.call("fd_prestat_dir_name", (3u32, 100u32, len)), OK);
    assert_eq!(guest.get(100, len as usize), given.display().to_string().as_bytes());
    let denied = Errno::NotCapable as u32;
    for path in ["../secret", "up", "away", "/etc/passwd", "below/../../secret"] {
        assert_eq!(guest.open(path, 0, 2).0, denied, "{path}");
        guest.put(0, path.as_bytes());
        let stat = (3u32, 1u32, 0u32, path.len() as u32, 512u32);
        assert_eq!(guest.call("path_filestat_get", stat), denied, "{path}");
    }
    // Creating, truncating, writing.
    for (how, rights) in [(1, 2), (8, 2), (0, 1 << 6)] {
        assert_eq!(guest.open("below/file", how, rights).0, denied);
    }
    assert_eq!(guest.call("path_unlink_file", (3u32, 0u32, 4u32)), denied);
    assert_eq!(guest.open("nonsuch", 0, 2).0, Errno::NoEntry as u32);
    assert_eq!(guest.open("below/file", 2, 2).0, Errno::NotDirectory as u32);

    let (errno, file) = guest.open("inside", 0, 2);
    assert_eq!((errno, file), (OK, 4));
    guest.put32(0, &[100, 4]);
    assert_eq!(guest.call("fd_read", (file, 0u32, 1u32, 32u32)), OK);
    assert_eq!((guest.get(100, 4), guest.get32(32)), (&b"0123"[..], 4));
    assert_eq!(guest.call("fd_tell", (file, 40u32)), OK);
    assert_eq!(guest.get64(40), 4);
    assert_eq!(guest.call("fd_pread", (file, 0u32, 1u32, 6u64, 32u32)), OK);
    assert_eq!(guest.get(100, 4), b"6789");
    assert_eq!(guest.call("fd_seek", (file, -1i64, 2u32, 40u32)), OK);
    assert_eq!(guest.get64(40), 9);
    assert_eq!(guest.call("fd_filestat_get", (file, 600u32)), OK);
    assert_eq!((guest.get(616, 1)[0], guest.get64(632)), (4, 10));
    assert_eq!(guest.call("fd_write", (file, 0u32, 1u32, 32u32)), denied);
    guest.put(0, b"up");
    assert_eq!(guest.call("path_readlink", (3u32, 0u32, 2u32, 100u32, 50u32, 32u32)), OK);
    assert_eq!((guest.get(100, 9), guest.get32(32)), (&b"../secret"[..], 9));
    assert_eq!(guest.call("fd_renumber", (file, 0u32)), OK);
    assert_eq!(guest.call("fd_close", 0u32), OK);
    assert_eq!(guest.call("fd_close", file), Errno::BadDescriptor as u32);
}

#[test]
fn directories_are_listed_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = (0..40).map(|number| format!("file-{number}")).collect();
    for name in &names {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let mut guest = Fake::new(&[dir.path().into()]);
    let (mut found, mut cookie) = (Vec::new(), 0u64);
    loop {
        assert_eq!(guest.call("fd_readdir", (3u32, 0u32, 200u32, cookie, 512u32)), OK);
        let used = guest.get32(512) as usize;
        let mut at = 0;
        while at + 24 <= used {
            let len = guest.get32(at + 16) as usize;
            if at + 24 + len > used {
                break;
            }
            cookie = guest.get64(at);
            found.push(String::from_utf8(guest.get(at + 24, len).into()).unwrap());
            at += 24 + len;
        }
        if used < 200 {
            break;
        }
    }
    names.extend([".".to_owned(), "..".to_owned()]);
    names.sort();
    found.sort();
    assert_eq!(found, names);
}

/// Writes subscriptions at 0. Returns the result of `poll_oneoff`, and user data, error and kind of
/// each event.
fn poll(guest: &mut Fake, wanted: &[(u64, Wanted)]) -> (u32, Vec<(u64, u16, u8)>) {
    for (number, (user, wanted)) in wanted.iter().enumerate() {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&user.to_le_bytes());
        match wanted {
            Wanted::Clock(id, nanoseconds) => {
                bytes[16..20].copy_from_slice(&id.to_le_bytes());
                bytes[24..32].copy_from_slice(&nanoseconds.to_le_bytes());
            }
            Wanted::Read(fd) | Wanted::Write(fd) => {
                bytes[8] = if matches!(wanted, Wanted::Read(_)) { 1 } else { 2 };
                bytes[16..20].copy_from_slice(&fd.to_le_bytes());
            }
        }
        guest.put(number * 48, &bytes);
    }
    let errno = guest.call("poll_oneoff", (0u32, 4096u32, wanted.len() as u32, 8192u32));
    let count = if errno == OK { guest.get32(8192) as usize } else { 0 };
    let events = (0..count).map(|number| {
        let event = guest.get(4096 + number * 32, 32);
        (place::get64(event, 0), u16::from_le_bytes([event[8], event[9]]), event[10])
    });
    (errno, events.collect())
}

#[derive(Clone, Copy)]
enum Wanted {
    Clock(u32, u64),
    Read(u32),
    Write(u32),
}

#[test]
fn sleeps_and_waits() {
    let mut guest = Fake::new(&[]);
    let sleep = (7, Wanted::Clock(1, 2_000_000));
    assert_eq!(poll(&mut guest, &[sleep]), (OK, vec![(7, 0, 0)]));
    assert_eq!(guest.store.data().waits, [(Some(Duration::from_millis(2)), false)]);
    // The sooner of two clocks; no input.
    let wanted = [(1, Wanted::Read(0)), (2, Wanted::Clock(1, 9)), (3, Wanted::Clock(0, 5))];
    assert_eq!(poll(&mut guest, &wanted), (OK, vec![(3, 0, 0)]));
    assert_eq!(guest.store.data().waits[1], (Some(Duration::from_nanos(5)), true));
    guest.store.data_mut().stdin = b"x".into();
    assert_eq!(poll(&mut guest, &wanted), (OK, vec![(1, 0, 1)]));
    // Output is always ready; an invalid subscription is reported as an event.
    let bad = Errno::BadDescriptor as u16;
    let wanted = [(1, Wanted::Write(1)), (2, Wanted::Read(9)), (3, Wanted::Clock(1, 9))];
    assert_eq!(poll(&mut guest, &wanted), (OK, vec![(1, 0, 2), (2, bad, 1)]));
    let wrong = [(1, Wanted::Clock(77, 9))];
    assert_eq!(poll(&mut guest, &wrong), (OK, vec![(1, Errno::Invalid as u16, 0)]));
    assert_eq!(poll(&mut guest, &[]).0, Errno::Invalid as u32);
    let far = (0u32, 4096u32, u32::MAX, 0u32);
    assert_eq!(guest.call("poll_oneoff", far), Errno::Invalid as u32);
    assert_eq!(guest.call("poll_oneoff", (65500u32, 0u32, 1u32, 0u32)), Errno::Fault as u32);
}

#[test]
fn a_signal_makes_a_sleep_short_and_a_wait_fail() {
    let mut guest = Fake::new(&[]);
    guest.store.data_mut().is_interrupted = true;
    let sleep = (7, Wanted::Clock(1, u64::MAX));
    assert_eq!(poll(&mut guest, &[sleep]), (OK, vec![(7, 0, 0)]));
    assert_eq!(poll(&mut guest, &[(1, Wanted::Read(0))]).0, Errno::Interrupted as u32);
}

#[test]
fn clocks_random_numbers_and_the_end() {
    let mut guest = Fake::new(&[]);
    assert_eq!(guest.call("clock_time_get", (1u32, 0u64, 0u32)), OK);
    let before = guest.get64(0);
    assert_eq!(guest.call("clock_time_get", (1u32, 0u64, 0u32)), OK);
    assert!(before > 0 && guest.get64(0) >= before);
    assert_eq!(guest.call("clock_res_get", (0u32, 0u32)), OK);
    assert_eq!(guest.call("clock_time_get", (4u32, 0u64, 0u32)), Errno::Invalid as u32);
    assert_eq!(guest.call("random_get", (0u32, 64u32)), OK);
    assert!(guest.get(0, 64).iter().any(|byte| *byte != 0));
    assert_eq!(guest.call("random_get", (65530u32, 7u32)), Errno::Fault as u32);
    assert_eq!(guest.call("sock_shutdown", (0u32, 0u32)), Errno::NoSystem as u32);
    let exit = guest.linker.get(&mut guest.store, MODULE, "proc_exit").unwrap();
    let exit = exit.into_func().unwrap().typed::<u32, ()>(&guest.store).unwrap();
    let error = exit.call(&mut guest.store, 3).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Exit(3)));
}
