// SPDX-License-Identifier: MIT
//! Attacks on the two programs, which [`crate::program`] finds: hostile packages, objects, modules,
//! processes, names, readers and signals. Each case is determined by a seed, the part's name and
//! the case's number, so that a failure can be repeated.
//!
//! The attacked programs run with their own mounts and network, and with limited memory
//! ([`place`]). They are checked after each case ([`check`], [`left`]).

mod btf;
pub mod case;
pub mod check;
mod elf;
mod encoding;
mod json;
mod kill;
pub mod left;
mod modules;
mod names;
mod objects;
mod outputs;
mod packages;
mod perf_maps;
pub mod place;
pub mod process;
pub mod random;
pub mod seeds;
mod signals;
mod texts;
pub mod victim;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use case::Case;
use check::Verdict;
use left::Left;
use place::{Group, Place};
use seeds::Seeds;

/// A kind of attack.
#[derive(Debug)]
pub struct Part {
    /// Its name on the command line.
    pub name: &'static str,
    /// The number of cases that run in parallel; more than one if they do not disturb each other.
    workers: usize,
    case: fn(&mut Case<'_>) -> Verdict,
}

/// All parts, in the order in which they run.
pub const PARTS: [Part; 8] = [
    Part { name: "packages", workers: 2, case: packages::case },
    Part { name: "objects", workers: 2, case: objects::case },
    Part { name: "modules", workers: 2, case: modules::case },
    Part { name: "perf-maps", workers: 1, case: perf_maps::case },
    Part { name: "names", workers: 2, case: names::case },
    Part { name: "outputs", workers: 2, case: outputs::case },
    Part { name: "signals", workers: 2, case: signals::case },
    Part { name: "kill", workers: 2, case: kill::case },
];

/// When a part ends.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// After a time.
    Time(Duration),
    /// After a number of cases.
    Count(u64),
    /// After the case with this number, which is the only one.
    Only(u64),
}

/// The maximum number of failed cases that are reported and kept; further ones are only counted.
const MOST_TOLD: u64 = 20;

/// Runs a part. Returns the number of failed cases. The last line on standard output has the number
/// of cases.
///
/// # Errors
/// Returns an error if the attack itself cannot be made.
pub fn run(part: &Part, seeds: &Seeds, seed: u64, limit: Limit) -> Result<u64> {
    let _group = Group::enter();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let run = Run {
        part,
        seed,
        limit,
        seeds,
        next: AtomicU64::new(0),
        stop: stops_by_signal()?,
        begun: Instant::now(),
        tally: Mutex::new(Tally { left: Left::watch(), ..Tally::default() }),
    };
    let workers = if matches!(limit, Limit::Only(_)) { 1 } else { part.workers };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(|| run.work())).collect();
        all.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a worker failed"),
        })
    })?;
    let took = run.begun.elapsed().as_secs_f64();
    let mut tally = run.tally.into_inner().map_err(|_| anyhow::anyhow!("a worker failed"))?;
    for (id, case) in std::mem::take(&mut tally.left).close() {
        tally.failed += 1;
        println!("attack: {}: {id:?} is left, first seen after case {case}", part.name);
    }
    let codes: Vec<String> =
        tally.codes.iter().map(|(code, count)| format!("{code}: {count}")).collect();
    println!(
        "attack: {}: {:.1} cases a second; the slowest, {}, took {:.2} s; exit codes {}",
        part.name,
        tally.cases as f64 / took,
        tally.slowest.1,
        tally.slowest.0.as_secs_f64(),
        codes.join(", ")
    );
    let Tally { cases, failed, .. } = tally;
    println!("attack: {}: {cases} cases, seed {seed}, {failed} failed", part.name);
    Ok(failed)
}

/// A flag that the first Ctrl-C sets. Cases that have begun run to their end, so that nothing of
/// them is left. Another signal ends the attack at once.
fn stops_by_signal() -> std::io::Result<Arc<AtomicBool>> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(Arc::clone(stop));
    }
    let stop = Arc::clone(STOP.get_or_init(Arc::default));
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_shutdown(*signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(*signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Results so far.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    failed: u64,
    /// The number of programs per exit code; for a signal, 128 plus its number.
    codes: BTreeMap<i32, u64>,
    slowest: (Duration, u64),
    left: Left,
}

struct Run<'r> {
    part: &'r Part,
    seed: u64,
    limit: Limit,
    seeds: &'r Seeds,
    next: AtomicU64,
    stop: Arc<AtomicBool>,
    begun: Instant,
    tally: Mutex<Tally>,
}

impl Run<'_> {
    /// Runs cases until the limit.
    fn work(&self) -> Result<()> {
        let place = Place::enter().context("a place for the attack cannot be made")?;
        while let Some(number) = self.number() {
            let begun = Instant::now();
            let mut case = Case::new(self.seed, self.part.name, number, (&place, self.seeds))?;
            let attempt =
                std::panic::catch_unwind(AssertUnwindSafe(|| (self.part.case)(&mut case)));
            let verdict = attempt.unwrap_or_else(|_| Err("the attack itself failed".into()));
            let verdict = verdict.and_then(|()| place.check());
            let took = begun.elapsed();
            let is_told = self.count(&case, took, verdict.is_err())?;
            match verdict {
                Err(what) if is_told => self.tell(&case, &what)?,
                Ok(()) if matches!(self.limit, Limit::Only(_)) => println!("{}", case.report("")),
                _ => {}
            }
        }
        Ok(())
    }

    fn number(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.limit {
            _ if self.stop.load(Ordering::Relaxed) => None,
            Limit::Time(time) => (self.begun.elapsed() < time).then_some(number),
            Limit::Count(count) => (number < count).then_some(number),
            Limit::Only(only) => (number == 0).then_some(only),
        }
    }

    /// Counts a case. Returns whether to report it.
    fn count(&self, case: &Case<'_>, took: Duration, has_failed: bool) -> Result<bool> {
        let mut tally = self.tally.lock().map_err(|_| anyhow::anyhow!("a worker failed"))?;
        tally.cases += 1;
        tally.failed += u64::from(has_failed);
        tally.slowest = tally.slowest.max((took, case.number));
        for code in case.codes() {
            *tally.codes.entry(*code).or_default() += 1;
        }
        tally.left.after(case.number);
        Ok(has_failed && tally.failed <= MOST_TOLD)
    }

    /// Reports a failure, and keeps its files.
    fn tell(&self, case: &Case<'_>, what: &str) -> Result<()> {
        let name = self.part.name;
        let dir = crate::root().join(format!("target/attack/{name}-{}-{}", self.seed, case.number));
        case.keep(&dir, what).with_context(|| format!("cannot write `{}`", dir.display()))?;
        println!(
            "attack: {name}: case {} of seed {}: {what}\n  kept in {}; again: attack --seed {} \
             --case {} {name}",
            case.number,
            self.seed,
            dir.display(),
            self.seed,
            case.number
        );
        Ok(())
    }
}
