// SPDX-License-Identifier: MIT
//! Periodic readings, on a thread of their own: however long it takes to read and to draw a map,
//! the buffers are read meanwhile; and the buffers' records do not put a reading off.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::maps::Entry;
use super::sampler::Sampler;
use crate::failure::{Failure, exit_code, system};
use crate::render::{Chunk, Format, Settings};
use crate::view::Sample;

/// A reading this close before the end is the last one itself.
const TOGETHER: Duration = Duration::from_millis(20);

/// Processes that come and go between two readings are looked at this often, where readings show
/// their stacks.
const LOOK: Duration = Duration::from_millis(100);

/// Drawn readings that wait to be written. The thread waits when they are more.
const AHEAD: usize = 4;

/// What the thread says.
#[derive(Debug)]
pub enum Said {
    /// A reading was drawn.
    Chunk(Chunk),
    /// A reading that somebody else draws: of which view, by its number.
    Reading(usize, Vec<Entry>),
    /// Each view was read as often as was asked for.
    Enough,
    /// A map can not be read.
    Failed(Failure),
}

/// The thread, seen from outside.
#[derive(Debug)]
pub struct Readings {
    said: Receiver<Said>,
    /// Sending asks for the last reading of each view.
    last: Sender<()>,
    /// Readable when something was said.
    wake: Arc<OwnedFd>,
}

/// When readings end.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Readings of each view.
    pub count: Option<u64>,
    /// When the run ends, with a reading of its own.
    pub deadline: Option<Instant>,
}

impl Readings {
    /// Starts to read the views; none where there are none. `is_drawn`: in the thread.
    pub fn start(
        views: Vec<Sample>,
        is_drawn: bool,
        start: Instant,
        limits: Limits,
        settings: &Settings,
    ) -> Result<Option<Readings>, Failure> {
        if views.is_empty() {
            return Ok(None);
        }
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Arc::new)
            .map_err(system("can not make an event descriptor"))?;
        let (say, said) = sync_channel(AHEAD);
        let (last, is_last) = channel();
        let say = Voice { say, wake: Arc::clone(&wake) };
        let settings = settings.clone();
        let read = move || {
            let format = is_drawn.then(|| settings.format());
            let schedule = Schedule::new(views, start, format);
            schedule.run(limits, &is_last, &say);
        };
        std::thread::Builder::new()
            .name("readings".into())
            .spawn(read)
            .map_err(system("can not start a thread"))?;
        Ok(Some(Readings { said, last, wake }))
    }

    /// What was said since the last time.
    pub fn said(&self) -> impl Iterator<Item = Said> + '_ {
        let mut number = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut number);
        self.said.try_iter()
    }

    /// Asks for a last reading of each view.
    pub fn finish(&self) {
        let _ = self.last.send(());
    }

    /// The next thing that is said; none when the thread has ended, or a while has passed.
    pub fn next(&self, wait: Duration) -> Result<Said, RecvTimeoutError> {
        self.said.recv_timeout(wait)
    }
}

impl AsFd for Readings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// How the thread speaks.
struct Voice {
    say: SyncSender<Said>,
    wake: Arc<OwnedFd>,
}

impl Voice {
    /// False when nobody listens any more.
    fn say(&self, what: Said) -> bool {
        // The descriptor is made readable first: where the channel is full, the listener has to
        // make room.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        let heard = self.say.send(what).is_ok();
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        heard
    }
}

/// A view and its times.
struct Scheduled {
    sampler: Sampler,
    next: Instant,
    readings: u64,
}

struct Schedule {
    views: Vec<Scheduled>,
    /// What draws; none where somebody else does.
    format: Option<Box<dyn Format>>,
}

impl Schedule {
    fn new(views: Vec<Sample>, start: Instant, format: Option<Box<dyn Format>>) -> Schedule {
        let schedule = |sample: Sample| {
            let next = start + sample.view.interval;
            Scheduled { sampler: Sampler::new(sample), next, readings: 0 }
        };
        Schedule { views: views.into_iter().map(schedule).collect(), format }
    }

    fn run(mut self, limits: Limits, is_last: &Receiver<()>, voice: &Voice) {
        loop {
            let next = self.views.iter().map(|scheduled| scheduled.next).min();
            let wait = next.map_or(Duration::MAX, |n| n.saturating_duration_since(Instant::now()));
            let has_stacks = |view: &Scheduled| !view.sampler.view.stacks.is_empty();
            let look = self.format.is_some() && self.views.iter().any(has_stacks);
            match is_last.recv_timeout(if look { wait.min(LOOK) } else { wait }) {
                Ok(()) => break,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if look {
                self.look();
            }
            let now = Instant::now();
            for at in 0..self.views.len() {
                let scheduled = &mut self.views[at];
                if scheduled.next > now {
                    continue;
                }
                let interval = scheduled.sampler.view.interval;
                scheduled.next += interval;
                // After a pause of the whole machine, readings do not come in a row.
                if scheduled.next <= now {
                    scheduled.next = now + interval;
                }
                // The reading at the end is made when the programs are detached.
                if limits.deadline.is_some_and(|deadline| now + TOGETHER >= deadline) {
                    continue;
                }
                scheduled.readings += 1;
                if !self.read(at, voice) {
                    return;
                }
            }
            let is_enough = |count| self.views.iter().all(|view| view.readings >= count);
            if limits.count.is_some_and(is_enough) {
                voice.say(Said::Enough);
                return;
            }
        }
        for at in 0..self.views.len() {
            if !self.read(at, voice) {
                return;
            }
        }
    }

    /// Has the processes remembered whose stacks are in the maps.
    fn look(&mut self) {
        let tracer = self.format.as_mut().and_then(|format| format.tracer());
        let Some(tracer) = tracer else { return };
        for Scheduled { sampler, .. } in &self.views {
            let view = &sampler.view;
            if view.stacks.is_empty() {
                continue;
            }
            // An error is told when it comes again with the next reading.
            for entry in sampler.reader.read().unwrap_or_default() {
                tracer.note(&view.stacks, &entry.key);
            }
        }
    }

    /// Reads and draws a view; false when that is the end.
    fn read(&mut self, at: usize, voice: &Voice) -> bool {
        let sampler = &mut self.views[at].sampler;
        match sampler.read() {
            Ok(entries) => voice.say(match &mut self.format {
                Some(format) => Said::Chunk(format.reading(&sampler.view, &entries)),
                None => Said::Reading(at, entries),
            }),
            Err(error) => {
                let error = anyhow::Error::new(error);
                let error = error.context(format!("can not read the map `{}`", sampler.view.name));
                voice.say(Said::Failed(Failure::new(exit_code::OTHER, error)));
                false
            }
        }
    }
}
