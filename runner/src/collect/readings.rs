// SPDX-License-Identifier: MIT
//! Periodic readings, on a thread of their own: however long it takes to read and to draw a map,
//! the buffers are read meanwhile; and the buffers' records do not put a reading off.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::bounds::{Bounds, Stop, Taken, Wanted};
use super::maps::Entry;
use super::sampler::Sampler;
use crate::failure::{Failure, exit_code, system};
use crate::render::{Chunk, Format, Piece, Settings};
use crate::view::{Sample, Shape, View};

/// A reading this close before the end is the last one itself.
const TOGETHER: Duration = Duration::from_millis(20);

/// Processes that come and go between two readings are looked at this often, where readings show
/// their stacks.
const LOOK: Duration = Duration::from_millis(100);

/// Drawn readings that wait to be written. The thread waits when they are more.
const AHEAD: usize = 4;

/// Entries that are drawn at once: pictures, and lines.
const PICTURES: usize = 1024;
const LINES: usize = 8192;

/// How long elements that are not shown are counted in the last reading, and large maps are read.
const LAST_COUNT: Duration = Duration::from_millis(40);

/// How long they are counted in the others: an interval, and this at least.
const COUNT: Duration = Duration::from_secs(1);

/// What the thread says.
#[derive(Debug)]
pub enum Said {
    /// A reading was drawn, or a piece of it.
    Chunk(Chunk),
    /// A reading that somebody else draws: of which view, by its number.
    Reading(usize, Vec<Entry>),
    /// What a reading does not show, in words.
    LeftOut(String),
    /// Each view was read as often as was asked for.
    Enough,
    /// A map cannot be read.
    Failed(Failure),
}

/// The thread, seen from outside.
#[derive(Debug)]
pub struct Readings {
    said: Receiver<Said>,
    /// Sending asks for the last reading of each view.
    last: Sender<()>,
    /// Ends readings that are being made.
    stop: Stop,
    /// Readable when something was said.
    wake: Arc<OwnedFd>,
}

/// When readings end, and what they may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of a reading.
    pub keys: usize,
    /// Bytes of what is read.
    pub bytes: usize,
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
        let settings = settings.for_readings();
        let stop = Stop::default();
        let wanted = stop.clone();
        let read = move || {
            let format = is_drawn.then(|| settings.format());
            let schedule = Schedule::new(views, (start, limits), format, wanted);
            schedule.run(&is_last, &say);
        };
        std::thread::Builder::new()
            .name("readings".into())
            .spawn(read)
            .map_err(system("can not start a thread"))?;
        Ok(Some(Readings { said, last, stop, wake }))
    }

    /// What was said since the last time.
    pub fn said(&self) -> impl Iterator<Item = Said> + '_ {
        let mut number = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut number);
        self.said.try_iter()
    }

    /// Asks for a last reading of each view. One that is being made is given up.
    pub fn finish(&self) {
        self.stop.want(Wanted::Last);
        let _ = self.last.send(());
    }

    /// Ends the last readings with what was read so far.
    pub fn give_up(&self) {
        self.stop.want(Wanted::Nothing);
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
    /// Stacks whose names were asked for.
    seen: HashSet<u64>,
    /// It was told that not all elements are shown.
    was_told: bool,
}

struct Schedule {
    views: Vec<Scheduled>,
    limits: Limits,
    /// What draws; none where somebody else does.
    format: Option<Box<dyn Format>>,
    stop: Stop,
}

impl Schedule {
    fn new(
        views: Vec<Sample>,
        (start, limits): (Instant, Limits),
        format: Option<Box<dyn Format>>,
        stop: Stop,
    ) -> Schedule {
        let schedule = |sample: Sample| {
            let next = start + sample.view.interval;
            let sampler = Sampler::new(sample);
            Scheduled { sampler, next, readings: 0, seen: HashSet::new(), was_told: false }
        };
        Schedule { views: views.into_iter().map(schedule).collect(), limits, format, stop }
    }

    fn run(mut self, is_last: &Receiver<()>, voice: &Voice) {
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
                if self.limits.deadline.is_some_and(|deadline| now + TOGETHER >= deadline) {
                    continue;
                }
                scheduled.readings += 1;
                if !self.read(at, Wanted::All, voice) {
                    return;
                }
            }
            let is_enough = |count| self.views.iter().all(|view| view.readings >= count);
            if self.limits.count.is_some_and(is_enough) {
                voice.say(Said::Enough);
                return;
            }
        }
        for at in 0..self.views.len() {
            if !self.read(at, Wanted::Last, voice) {
                return;
            }
        }
    }

    fn bounds(&self, wanted: Wanted, interval: Duration) -> Bounds {
        let count = if wanted == Wanted::Last { LAST_COUNT } else { interval.max(COUNT) };
        Bounds {
            most: self.limits.keys,
            bytes: self.limits.bytes,
            skips_zeros: false,
            until: Some(Instant::now() + count),
            stop: self.stop.clone(),
            wanted,
        }
    }

    /// Has the processes remembered whose stacks are in the maps, and the names of new stacks found:
    /// processes end, and at the end of the run nobody waits for names.
    fn look(&mut self) {
        for at in 0..self.views.len() {
            let bounds = self.bounds(Wanted::All, LOOK);
            let Some(tracer) = self.format.as_mut().and_then(|format| format.tracer()) else {
                return;
            };
            let Scheduled { sampler, seen, .. } = &mut self.views[at];
            let view = &sampler.view;
            if view.stacks.is_empty() {
                continue;
            }
            // An error is told when it comes again with the next reading.
            let entries = sampler.reader.read(&bounds).map_or(Vec::new(), |taken| taken.entries);
            if seen.len() > self.limits.keys {
                seen.clear();
            }
            for entry in entries {
                tracer.note(&view.stacks, &entry.key);
                if self.stop.wanted() > Wanted::All {
                    return;
                }
                if seen.insert(hash(&entry.key)) {
                    for stack in &view.stacks {
                        tracer.frames(stack, &entry.key, &mut |_| {});
                    }
                }
            }
        }
    }

    /// Reads and draws a view; false when that is the end.
    fn read(&mut self, at: usize, wanted: Wanted, voice: &Voice) -> bool {
        let bounds = self.bounds(wanted, self.views[at].sampler.view.interval);
        let Scheduled { sampler, was_told, .. } = &mut self.views[at];
        let taken = match sampler.read(&bounds) {
            Ok(taken) => taken,
            Err(error) => {
                let error = anyhow::Error::new(error);
                let error = error.context(format!("can not read the map `{}`", sampler.view.name));
                voice.say(Said::Failed(Failure::new(exit_code::OTHER, error)));
                return false;
            }
        };
        if taken.is_given_up && wanted == Wanted::All {
            return true;
        }
        let view = Arc::clone(&sampler.view);
        let left_out =
            left_out(&view.name, &taken).filter(|_| wanted == Wanted::Last || !*was_told);
        *was_told |= left_out.is_some();
        let is_drawn = match &mut self.format {
            Some(format) => {
                let draw = Draw { format: &mut **format, view: &view, stop: &self.stop, wanted };
                draw.pieces(&taken.entries, voice)
            }
            None => voice.say(Said::Reading(at, taken.entries)),
        };
        is_drawn && left_out.is_none_or(|text| voice.say(Said::LeftOut(text)))
    }
}

/// Draws a reading.
struct Draw<'d> {
    format: &'d mut dyn Format,
    view: &'d View,
    stop: &'d Stop,
    wanted: Wanted,
}

impl Draw<'_> {
    /// Draws the entries piece by piece, so that it can be ended; false when nobody listens.
    fn pieces(self, entries: &[Entry], voice: &Voice) -> bool {
        let most =
            if matches!(self.view.shape, Shape::Histogram { .. }) { PICTURES } else { LINES };
        if entries.len() <= most || !self.format.has_pieces(self.view, entries) {
            return voice.say(Said::Chunk(self.format.reading(self.view, entries)));
        }
        let pieces = std::iter::once(Piece::First).chain(std::iter::repeat(Piece::More));
        for (entries, piece) in entries.chunks(most).zip(pieces) {
            if !voice.say(Said::Chunk(self.format.piece(self.view, entries, piece))) {
                return false;
            }
            // What was begun is shown as a whole, unless nobody wants to wait for it.
            if self.stop.wanted() == Wanted::Nothing && self.wanted == Wanted::Last {
                let name = &self.view.name;
                let text = format!("the last reading of `{name}` was cut short by a signal");
                return voice.say(Said::LeftOut(text));
            }
        }
        true
    }
}

/// What a reading does not show, in words.
fn left_out(view: &str, taken: &Taken) -> Option<String> {
    let shown = taken.entries.len();
    match (taken.is_given_up, taken.left_out) {
        (true, _) => Some(format!(
            "the last reading of `{view}` was cut short by a signal: it shows {shown} entries, and \
             there may be more"
        )),
        (false, 0) if !taken.has_more => None,
        (false, 0) => Some(format!(
            "`{view}` is so large that not all of its elements were read (--max-keys with a larger \
             number reads more of them)"
        )),
        (false, count) => Some(format!(
            "`{view}` has {}{count} more elements than are shown, those with the smallest counts \
             (--max-keys and --max-memory set how many are)",
            if taken.has_more { "at least " } else { "" }
        )),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
