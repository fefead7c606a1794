// SPDX-License-Identifier: MIT
//! The fixture `metrics.bpf.c`: calls of a thread with a kind and a duration, and what its maps have
//! after them.

use tempfile::TempDir;

use crate::scrape::Target;
use crate::{Running, pack_with, scratch, sys};

/// Slots of a histogram: from 2^n microseconds. The first one has zero, too, and the last one all
/// that is longer.
pub const SLOTS: usize = 12;

/// Calls: their kind, their duration in microseconds, and how many.
pub type Calls = [(i32, i32, usize)];

/// Makes calls in this thread.
pub fn call(calls: &Calls) {
    for (kind, us, times) in calls {
        (0..*times).for_each(|_| sys::carry(us << 2 | kind));
    }
}

/// The options of the fixture for calls of this thread.
#[must_use]
pub fn of_this_thread() -> [String; 4] {
    let (thread, carrier) = (sys::thread_id().to_string(), libc::SYS_getpgid.to_string());
    ["--target_pid".to_owned(), thread, "--carrier".to_owned(), carrier]
}

/// The number of calls.
#[must_use]
pub fn total(calls: &Calls) -> usize {
    calls.iter().map(|(_, _, times)| times).sum()
}

/// The sum of the durations of a kind, in microseconds.
#[must_use]
pub fn micros(calls: &Calls, kind: i32) -> u64 {
    calls.iter().filter(|it| it.0 == kind).map(|(_, us, times)| *us as u64 * *times as u64).sum()
}

/// The slots of a kind.
#[must_use]
pub fn slots(calls: &Calls, kind: i32) -> [u64; SLOTS] {
    let mut slots = [0; SLOTS];
    for (_, us, times) in calls.iter().filter(|it| it.0 == kind) {
        let slot = us.checked_ilog2().unwrap_or(0) as usize;
        slots[slot.min(SLOTS - 1)] += *times as u64;
    }
    slots
}

/// The buckets of a kind in Prometheus: the bound in seconds, and the number of calls up to it.
#[must_use]
pub fn classic(calls: &Calls, kind: i32) -> Vec<(f64, f64)> {
    let mut total = 0;
    let bucket = |(slot, count): (usize, &u64)| {
        total += count;
        let bound = if slot == SLOTS - 1 { f64::INFINITY } else { (2u64 << slot) as f64 / 1e6 };
        (bound, total as f64)
    };
    slots(calls, kind).iter().enumerate().map(bucket).collect()
}

/// The package of the fixture, with records beside its maps.
#[derive(Debug)]
pub struct Setup {
    /// A directory.
    pub dir: TempDir,
    package: String,
}

impl Setup {
    /// Packs the fixture.
    #[must_use]
    pub fn new() -> Setup {
        let dir = scratch();
        let package = pack_with("tests/fixtures/metrics.bpf.c", &dir, &["-a", "-DRECORDS"]);
        Setup { dir, package }
    }

    /// Starts it for calls of this thread. It serves its metrics at a port of its own.
    #[must_use]
    #[track_caller]
    pub fn start(&self, options: &[&str]) -> (Running, Target) {
        let own = of_this_thread();
        let mut args = vec!["run", "--listen", "127.0.0.1:0"];
        args.extend(options);
        args.push(&self.package);
        args.extend(own.iter().map(String::as_str));
        let mut running = Running::ecli(&args);
        let target = Target::of(&mut running);
        (running, target)
    }
}

impl Default for Setup {
    fn default() -> Setup {
        Setup::new()
    }
}
