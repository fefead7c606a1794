// SPDX-License-Identifier: MIT
//! `ecli serve`: many tracers in one process, which serves the metrics of all. A tracer that fails is
//! reported and started again, and does not stop the others. SIGHUP makes it read its files again,
//! and changes only what differs.

mod board;
mod config;
mod notify;
mod tracer;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::args::ServeCommand;
use crate::failure::{self, Failure, exit_code};
use crate::metrics::{Listening, Running as Server};
use crate::os;
use crate::sys::ServiceSignals;
use crate::talk::Talk;
use board::Board;
use config::{Config, Tracer};
use notify::Notify;
use tracer::{Outcome, Running, check_only};

/// How long tracers may take to end before they are asked to hurry, and then before they are left behind.
const PATIENCE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(5)];

/// Signals that come within this time are one.
const TOGETHER: Duration = Duration::from_millis(300);

/// Serves until SIGTERM or SIGINT. Returns the exit code.
///
/// # Errors
/// Returns an error if the configuration is wrong, or the address cannot be used.
pub(crate) fn perform(command: &ServeCommand) -> Result<u8, Failure> {
    let talk = Talk::new(false, false);
    let talk = if command.quiet { talk.without_notes() } else { talk };
    let config = read(command)?;
    if command.check {
        return check(&config, &talk);
    }
    let listening = Listening::open_at(config.listen.as_deref(), config.web_config.as_deref())?;
    let signals = ServiceSignals::catch().map_err(failure::system("cannot catch signals"))?;
    let board = Board::default();
    let server = listening.map(|listening| {
        talk.note(&format!("metrics are served at {}", listening.urls()));
        let board = board.clone();
        listening.serve(move |wait| board.families(wait), "bpfpack")
    });
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let changed = eventfd(0, flags).map_err(failure::system("cannot open more files"))?;
    let mut service = Service {
        served: config.served(),
        tracers: BTreeMap::new(),
        board,
        changed: Arc::new(changed),
        notify: Notify::of_environment(),
        is_ready: false,
        is_quiet: command.quiet,
        alive: Instant::now(),
        talk,
        _server: server.transpose()?,
    };
    service.apply(config, &signals);
    service.run(&signals, command);
    service.end(&signals);
    Ok(0)
}

fn read(command: &ServeCommand) -> Result<Config, Failure> {
    Config::read(&command.config).map_err(|error| Failure::new(exit_code::USAGE, error))
}

/// Checks all tracers. Returns the exit code: that of the first one that is wrong.
fn check(config: &Config, talk: &Talk) -> Result<u8, Failure> {
    let mut code = 0;
    // The address may be in use by the service that is to have this configuration.
    Listening::check(config.listen.as_deref(), config.web_config.as_deref())?;
    for (name, tracer) in &config.tracers {
        match check_only(name, tracer) {
            Ok(()) => talk.note(&format!("{name}: ok")),
            Err(failure) => {
                failure.report_of(name);
                code = if code == 0 { failure.exit_code() } else { code };
            }
        }
    }
    Ok(code)
}

/// The running service.
#[derive(Debug)]
struct Service {
    /// The address and the web configuration file of its metrics.
    served: (Option<String>, Option<PathBuf>),
    tracers: BTreeMap<String, Running>,
    board: Board,
    /// Readable when a tracer has settled or ended.
    changed: Arc<OwnedFd>,
    notify: Notify,
    /// Whether each tracer was tried once, and systemd knows it.
    is_ready: bool,
    /// Whether only warnings are shown.
    is_quiet: bool,
    /// When systemd was last told that the service is alive.
    alive: Instant,
    talk: Talk,
    _server: Option<Server>,
}

impl Service {
    /// Runs until a signal ends it.
    fn run(&mut self, signals: &ServiceSignals, command: &ServeCommand) {
        loop {
            self.start_due();
            self.look();
            self.tell();
            let mut polls = [
                PollFd::from_borrowed_fd(signals.ending(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.reload(), PollFlags::IN),
                PollFd::new(&*self.changed, PollFlags::IN),
            ];
            // An error is a signal that this thread does not know.
            let timeout = self.timeout().map(os::timespec);
            let _ = poll(&mut polls, timeout.as_ref());
            let [ending, reload, changed] = polls.each_ref().map(|it| !it.revents().is_empty());
            if changed {
                let _ = rustix::io::read(&*self.changed, &mut [0; 8]);
            }
            if ending {
                return;
            }
            if reload {
                signals.take_reload();
                self.reload(signals, command);
            }
        }
    }

    /// The time until a tracer is restarted, or systemd is notified.
    fn timeout(&self) -> Option<Duration> {
        let starts = self.tracers.values().filter_map(Running::next);
        let watchdog = self.notify.watchdog().map(|pause| self.alive + pause);
        let next = starts.chain(watchdog).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Starts the tracers whose time has come.
    fn start_due(&mut self) {
        let now = Instant::now();
        for running in self.tracers.values_mut() {
            if running.next().is_some_and(|next| next <= now)
                && let Err(failure) = running.start(&self.board, &self.changed, self.is_quiet)
            {
                failure.report_of(&running.name);
            }
        }
    }

    /// Reports the tracers that have ended.
    fn look(&mut self) {
        for running in self.tracers.values_mut() {
            let outcome = running.look();
            let name = &running.name;
            match outcome {
                Outcome::Same => {}
                Outcome::Ended(0) => self.talk.note(&format!("{name}: has ended")),
                Outcome::Ended(code) => {
                    self.talk.warning(&format!("{name}: ended with exit code {code}"));
                }
                Outcome::Failed(failure, pause) => {
                    failure.report_of(name);
                    let seconds = pause.as_secs();
                    self.talk.note(&format!("{name}: is started again in {seconds} s"));
                }
            }
        }
    }

    /// Tells systemd what has changed.
    fn tell(&mut self) {
        let (up, all) = self.board.count();
        let status = format!("{up} of {all} tracers run");
        if !self.is_ready && self.tracers.values().all(Running::is_settled) {
            self.is_ready = true;
            self.notify.ready(&status);
            self.talk.note(&status);
        } else if self.is_ready {
            self.notify.status(&status);
        }
        if let Some(pause) = self.notify.watchdog()
            && self.alive.elapsed() >= pause
        {
            self.notify.alive();
            self.alive = Instant::now();
        }
    }

    fn reload(&mut self, signals: &ServiceSignals, command: &ServeCommand) {
        self.notify.reloading();
        match read(command) {
            Ok(config) => {
                self.apply(config, signals);
                self.board.note_reload(true);
            }
            Err(failure) => {
                self.board.note_reload(false);
                failure.report();
                self.talk.warning("the configuration is not changed");
            }
        }
        // It is ready when the new tracers have been tried.
        self.is_ready = false;
    }

    /// Stops what is not in a configuration any more or has changed, and adds what is new.
    fn apply(&mut self, config: Config, signals: &ServiceSignals) {
        if self.served != config.served() {
            self.talk.warning("`listen` and `web_config` change only when ecli serve is restarted");
        }
        let gone: Vec<String> = self
            .tracers
            .values()
            .filter(|running| has_changed(running, config.tracers.get(&running.name)))
            .map(|running| running.name.clone())
            .collect();
        let mut stopped: Vec<Running> =
            gone.iter().filter_map(|name| self.tracers.remove(name)).collect();
        // A signal that ends the service is left for its loop.
        let notify = &self.notify;
        let mut last = Instant::now();
        let is_impatient = || {
            if notify.watchdog().is_some_and(|pause| last.elapsed() >= pause) {
                notify.alive();
                last = Instant::now();
            }
            signals.is_ending()
        };
        end(&mut stopped, &PATIENCE, &self.talk, is_impatient);
        for running in &stopped {
            self.talk.note(&format!("{}: stopped", running.name));
            self.board.remove(&running.name);
        }
        for (name, tracer) in &config.tracers {
            if !self.tracers.contains_key(name) {
                let running = Running::new(name, tracer.clone(), digest(tracer));
                self.tracers.insert(name.clone(), running);
            }
        }
        self.start_due();
    }

    /// Ends all tracers.
    fn end(&mut self, signals: &ServiceSignals) {
        signals.take_ending();
        self.notify.stopping();
        let mut all: Vec<Running> = std::mem::take(&mut self.tracers).into_values().collect();
        // Another signal makes them hurry. The first ones may come together, as from timeout(1).
        let begin = Instant::now();
        let has_signal = || signals.take_ending() && begin.elapsed() > TOGETHER;
        end(&mut all, &PATIENCE, &self.talk, has_signal);
    }
}

/// Ends tracers, all at the same time. They are asked to hurry after the first time, or if
/// `is_impatient`; after the second one, they are left behind: their programs are detached when the
/// process ends.
fn end(
    tracers: &mut [Running],
    patience: &[Duration],
    talk: &Talk,
    mut is_impatient: impl FnMut() -> bool,
) {
    for wait in patience {
        tracers.iter_mut().filter(|running| !running.has_ended()).for_each(Running::stop);
        let begin = Instant::now();
        while begin.elapsed() < *wait && !tracers.iter().all(Running::has_ended) {
            if is_impatient() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for running in tracers {
        match running.look() {
            Outcome::Failed(failure, _) => failure.report_of(&running.name),
            Outcome::Same if !running.has_ended() => {
                talk.warning(&format!("{}: has not ended", running.name));
            }
            _ => {}
        }
    }
}

/// Whether a tracer has to be stopped for a new configuration.
fn has_changed(running: &Running, new: Option<&Tracer>) -> bool {
    match new {
        None => true,
        Some(new) => running.tracer != *new || running.digest != digest(new),
    }
}

/// The digest of the package of a tracer, if it is a file.
fn digest(tracer: &Tracer) -> Option<String> {
    let bytes = fs::read(tracer.file.as_ref()?).ok()?;
    Some(bpfpack_trust::digest(&bytes))
}
