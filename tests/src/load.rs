// SPDX-License-Identifier: MIT
//! Load generators: interrupts of the disk, tasks that wake each other, a thread that makes system
//! calls, and one that runs and sleeps.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::NamedTempFile;

const BLOCK: usize = 4096;
const BLOCKS: usize = 2048;

/// A file on a real disk that is read without the page cache, so that each read causes an
/// interrupt.
#[derive(Debug)]
pub struct Disk {
    file: File,
    _path: NamedTempFile,
}

impl Disk {
    /// Creates the file, if the file system supports direct reads.
    ///
    /// # Errors
    /// Returns an error if it does not, as tmpfs.
    pub fn new() -> std::io::Result<Disk> {
        let dir = PathBuf::from("/var/tmp");
        let mut path = NamedTempFile::new_in(dir)?;
        path.write_all(&vec![7; BLOCK * BLOCKS])?;
        path.as_file().sync_all()?;
        let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path.path())?;
        Ok(Disk { file, _path: path })
    }

    /// Reads `count` blocks, one after the other.
    ///
    /// # Errors
    /// Returns an error if a read fails.
    pub fn read(&self, count: usize) -> std::io::Result<()> {
        self.read_pieces(count, 1)
    }

    /// Reads `count` pieces of `blocks` blocks each, one after the other.
    ///
    /// # Errors
    /// Returns an error if a read fails.
    pub fn read_pieces(&self, count: usize, blocks: usize) -> std::io::Result<()> {
        // O_DIRECT needs memory that is aligned to the disk's blocks.
        let size = BLOCK * blocks;
        let memory = vec![0u8; size + BLOCK];
        let at = memory.as_ptr().align_offset(BLOCK);
        let mut memory = memory;
        for piece in 0..count {
            let offset = (piece % (BLOCKS / blocks) * size) as u64;
            self.file.read_exact_at(&mut memory[at..at + size], offset)?;
        }
        Ok(())
    }
}

/// Two threads that wake each other until this is dropped.
#[derive(Debug)]
pub struct PingPong {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl PingPong {
    /// Starts the threads.
    #[must_use]
    pub fn start() -> PingPong {
        let stop = Arc::new(AtomicBool::new(false));
        let (to_a, from_b) = mpsc::channel::<()>();
        let (to_b, from_a) = mpsc::channel::<()>();
        let stopped = Arc::clone(&stop);
        let a = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && to_b.send(()).is_ok() && from_b.recv().is_ok()
            {
            }
        });
        let b = std::thread::spawn(move || while from_a.recv().is_ok() && to_a.send(()).is_ok() {});
        PingPong { stop, threads: vec![a, b] }
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A thread that makes a given number of system calls, one after the other, and no others of this
/// kind. If there are several CPUs, it stays on the last one, so that its observer has the others.
#[derive(Debug)]
pub struct Caller {
    tid: i32,
    go: mpsc::Sender<u64>,
    thread: JoinHandle<Duration>,
}

impl Caller {
    /// The number of its system call: [`crate::sys::carry`].
    pub const NUMBER: i64 = libc::SYS_getpgid;

    /// Starts the thread, which waits.
    ///
    /// # Errors
    /// Returns an error if the thread ends before it begins.
    pub fn start() -> Result<Caller, mpsc::RecvError> {
        let (go, told) = mpsc::channel();
        let (tell, tid) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            stay_on_last_cpu();
            let _ = tell.send(crate::sys::thread_id());
            let times: u64 = told.recv().unwrap_or(0);
            let begin = Instant::now();
            for number in 0..times {
                crate::sys::carry(number as i32);
            }
            begin.elapsed()
        });
        Ok(Caller { tid: tid.recv()?, go, thread })
    }

    /// The thread ID.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Makes the calls. Returns how long they took.
    #[must_use]
    pub fn call(self, times: u64) -> Duration {
        let _ = self.go.send(times);
        self.thread.join().unwrap_or_default()
    }
}

/// Keeps this thread on the last CPU, if there are several.
pub fn stay_on_last_cpu() {
    if let Ok(cpus) = sched_getaffinity(None)
        && cpus.count() > 1
        && let Some(last) = (0..CpuSet::MAX_CPU).rfind(|cpu| cpus.is_set(*cpu))
    {
        let mut only = CpuSet::new();
        only.set(last);
        // If that is not permitted, it runs on any CPU.
        let _ = sched_setaffinity(None, &only);
    }
}

/// Runs and sleeps in turn until the total time is over.
pub fn run_and_sleep(run: Duration, sleep: Duration, total: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < total {
        let awake = Instant::now();
        while awake.elapsed() < run {
            std::hint::spin_loop();
        }
        std::thread::sleep(sleep);
    }
}

/// The number of interrupts of a device, by its name in /proc/interrupts.
#[must_use]
pub fn interrupts_of(name: &str) -> u64 {
    let mut text = String::new();
    let _ = File::open("/proc/interrupts").and_then(|mut file| file.read_to_string(&mut text));
    let line = text.lines().find(|line| line.split_whitespace().last() == Some(name));
    let numbers = line.into_iter().flat_map(|line| line.split_whitespace().skip(1));
    numbers.map_while(|word| word.parse::<u64>().ok()).sum()
}

/// The name of the interrupt that reading a disk increments most.
///
/// # Errors
/// Returns an error if a read fails.
pub fn interrupt_of_disk(disk: &Disk) -> std::io::Result<Option<String>> {
    let names = || -> Vec<String> {
        let text = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
        let is_device =
            |line: &&str| line.split(':').next().is_some_and(|n| n.trim().parse::<u32>().is_ok());
        let last = |line: &str| line.split_whitespace().last().map(String::from);
        text.lines().filter(is_device).filter_map(last).collect()
    };
    let before: Vec<(String, u64)> =
        names().into_iter().map(|name| (name.clone(), interrupts_of(&name))).collect();
    disk.read(500)?;
    let risen = |(name, count): (String, u64)| (interrupts_of(&name).saturating_sub(count), name);
    let most = before.into_iter().map(risen).max();
    Ok(most.filter(|(count, _)| *count > 400).map(|(_, name)| name))
}
