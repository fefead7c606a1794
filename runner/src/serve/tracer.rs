// SPDX-License-Identifier: MIT
//! One tracer of the service: a thread in which it runs, and when it is started again.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::board::Board;
use super::config::Tracer;
use crate::args::{Args, Plan};
use crate::failure::{self, Failure};
use crate::host::Host;
use crate::metrics::{Exits, Place};
use crate::pause::pause;
use crate::sys::Signals;
use crate::talk::Talk;

/// A tracer that ran this long did not fail at its start: the pauses begin anew.
const STABLE: Duration = Duration::from_secs(60);

/// A tracer of the service.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) tracer: Tracer,
    /// The digest of the package, if it is a file that could be read.
    pub(super) digest: Option<String>,
    state: State,
    /// Failures one after the other.
    failures: u32,
}

#[derive(Debug)]
enum State {
    /// It runs in a thread.
    Runs {
        thread: JoinHandle<Result<u8, Failure>>,
        /// A write ends it, as a signal would.
        stop: OwnedFd,
        since: Instant,
        /// Whether it has been tried: its programs are attached, or it has failed.
        is_settled: Arc<AtomicBool>,
    },
    /// It is started again at this time.
    Waits(Instant),
    /// It has ended as planned.
    Ended,
}

/// What became of a tracer.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing new.
    Same,
    /// It has ended as planned.
    Ended(u8),
    /// It failed, and is started again after the pause.
    Failed(Failure, Duration),
}

impl Running {
    /// A tracer that is started at once.
    pub(super) fn new(name: &str, tracer: Tracer, digest: Option<String>) -> Running {
        let state = State::Waits(Instant::now());
        Running { name: name.to_owned(), tracer, digest, state, failures: 0 }
    }

    /// When it should be started.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.state {
            State::Waits(at) => Some(at),
            State::Runs { .. } | State::Ended => None,
        }
    }

    /// Whether it was tried since it was added.
    pub(super) fn is_settled(&self) -> bool {
        match &self.state {
            State::Runs { is_settled, .. } => is_settled.load(Ordering::Relaxed),
            State::Waits(_) => self.failures > 0,
            State::Ended => true,
        }
    }

    /// Starts it. `changed` is written to when it has settled or ended. If `is_quiet` is set, it shows
    /// only warnings.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub(super) fn start(
        &mut self,
        board: &Board,
        changed: &Arc<OwnedFd>,
        is_quiet: bool,
    ) -> Result<(), Failure> {
        let failed = "cannot start a thread";
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let stop = eventfd(0, flags).map_err(failure::system("cannot open more files"))?;
        let signals = stop.try_clone().map_err(failure::system("cannot open more files"))?;
        let is_settled = Arc::new(AtomicBool::new(false));
        let (place, start) = board.start(&self.name);
        let host = OfService {
            name: self.name.clone(),
            is_quiet,
            signals: RefCell::new(Some(Signals::of_descriptor(signals))),
            place,
            start,
            board: board.clone(),
            is_settled: Arc::clone(&is_settled),
            changed: Arc::clone(changed),
        };
        let words = self.tracer.words.clone();
        let run = move || {
            let result = Args::of_tracer(&words).and_then(|args| crate::tracer::run(args, &host));
            host.board.note_up(&host.name, host.start, false);
            host.settle();
            result
        };
        let thread = std::thread::Builder::new().name(self.name.clone()).spawn(run);
        let thread = thread.map_err(failure::system(failed))?;
        self.state = State::Runs { thread, stop, since: Instant::now(), is_settled };
        Ok(())
    }

    /// Looks whether it has ended.
    pub(super) fn look(&mut self) -> Outcome {
        let State::Runs { thread, since, .. } = &self.state else { return Outcome::Same };
        if !thread.is_finished() {
            return Outcome::Same;
        }
        let since = *since;
        let State::Runs { thread, .. } = std::mem::replace(&mut self.state, State::Ended) else {
            return Outcome::Same;
        };
        let panicked = |_| Err(Failure::told(failure::exit_code::OTHER));
        match thread.join().unwrap_or_else(panicked) {
            Ok(code) => Outcome::Ended(code),
            Err(failure) => {
                if since.elapsed() > STABLE {
                    self.failures = 0;
                }
                let pause = pause(self.failures);
                self.failures += 1;
                self.state = State::Waits(Instant::now() + pause);
                Outcome::Failed(failure, pause)
            }
        }
    }

    /// Makes it end, as a signal would. A second call makes it end sooner.
    pub(super) fn stop(&mut self) {
        match &self.state {
            State::Runs { stop, .. } => {
                let _ = rustix::io::write(stop, &1u64.to_ne_bytes());
            }
            _ => self.state = State::Ended,
        }
    }

    /// Whether its thread has ended, or there is none.
    pub(super) fn has_ended(&self) -> bool {
        match &self.state {
            State::Runs { thread, .. } => thread.is_finished(),
            _ => true,
        }
    }
}

/// The process of `ecli serve`, for one tracer.
struct OfService {
    name: String,
    /// Whether only warnings are shown.
    is_quiet: bool,
    signals: RefCell<Option<Signals>>,
    place: Place,
    /// The number of this start.
    start: u64,
    board: Board,
    is_settled: Arc<AtomicBool>,
    changed: Arc<OwnedFd>,
}

impl OfService {
    fn settle(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&*self.changed, &1u64.to_ne_bytes());
    }
}

impl Host for OfService {
    fn signals(&self) -> Result<Signals, Failure> {
        let signals = self.signals.borrow_mut().take();
        signals.ok_or_else(|| Failure::told(failure::exit_code::OTHER))
    }

    fn talk(&self, quiet: bool, verbose: bool) -> Talk {
        let talk = Talk::new(quiet, verbose).named(&self.name);
        if self.is_quiet { talk.without_notes() } else { talk }
    }

    fn exits(&self, plan: &Plan) -> Result<Option<Exits>, Failure> {
        let exits = Exits::open(plan)?.unwrap_or_default();
        Ok(Some(exits.with_place(self.place.clone())))
    }

    fn check(&self, plan: &Plan) -> Result<(), Failure> {
        check(plan)
    }

    fn check_module(&self) -> Result<(), Failure> {
        check_module()
    }

    fn note_attached(&self) {
        self.board.note_up(&self.name, self.start, true);
        self.settle();
    }
}

/// Refuses what a tracer of a service cannot do.
fn check(plan: &Plan) -> Result<(), Failure> {
    let refused = |text: &str, hint: &str| Err(Failure::usage(text).hint(hint));
    if plan.detach.is_some() {
        return refused("--detach cannot be an option of a tracer of a service", "remove it");
    }
    if plan.command.is_some() {
        return refused("a service cannot trace a command", "remove `--` from the arguments");
    }
    if plan.outputs.iter().any(|output| output.file.is_none()) {
        let hint = "outputs = [\"json:/var/log/NAME.json\"] writes a file";
        return refused("the tracers of a service cannot share standard output", hint);
    }
    if plan.metrics.as_ref().is_some_and(|metrics| metrics.listen.is_some()) {
        let hint = "`listen` at the top of the configuration serves the metrics of all tracers";
        return refused("--listen cannot be an option of a tracer of a service", hint);
    }
    Ok(())
}

/// Refuses a module, which has its own loop and its own output.
fn check_module() -> Result<(), Failure> {
    let text = "a Wasm module that is a whole tracer cannot be a tracer of a service";
    Err(Failure::usage(text).hint("`ecli run` runs it"))
}

/// Checks a tracer as far as that is possible without loading it.
///
/// # Errors
/// Returns what is wrong with its options, its package or its arguments.
pub(super) fn check_only(name: &str, tracer: &Tracer) -> Result<(), Failure> {
    let host = OnlyCheck { name: name.to_owned() };
    crate::tracer::run(Args::of_tracer(&tracer.words)?, &host).map(drop)
}

/// The process of `ecli serve --check`.
struct OnlyCheck {
    name: String,
}

impl Host for OnlyCheck {
    fn signals(&self) -> Result<Signals, Failure> {
        // None come; they end the process.
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let none = eventfd(0, flags).map_err(failure::system("cannot open more files"))?;
        Ok(Signals::of_descriptor(none))
    }

    fn talk(&self, quiet: bool, verbose: bool) -> Talk {
        Talk::new(quiet, verbose).named(&self.name)
    }

    fn exits(&self, _plan: &Plan) -> Result<Option<Exits>, Failure> {
        Ok(None)
    }

    fn check(&self, plan: &Plan) -> Result<(), Failure> {
        check(plan)
    }

    fn check_module(&self) -> Result<(), Failure> {
        check_module()
    }

    fn only_checks(&self) -> bool {
        true
    }
}
