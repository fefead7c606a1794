// SPDX-License-Identifier: MIT
//! Periodic readings, made by a thread: reading a map may take long, and meanwhile the main loop
//! reads the buffers; many records, in turn, do not delay a reading. The next map is read after the
//! previous reading was shown, so memory holds one reading.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use bpfpack_frame::{Entry, Time};
use bpfpack_spec::View;
use rustix::event::{EventfdFlags, eventfd};

use super::bounds::{Bounds, Collected, Stop, Wanted};
use super::maps::Reader;
use super::sampler::Sampler;
use crate::failure::{Failure, exit_code, system};

/// A reading this close to the end is replaced by the last one.
const TOGETHER: Duration = Duration::from_millis(20);

/// If readings show stacks, keys are read this often to find processes that end between two
/// readings.
const LOOK: Duration = Duration::from_millis(100);

/// In the last reading, the maximum time for counting elements that are not shown, and for reading
/// large maps.
const LAST_COUNT: Duration = Duration::from_millis(40);

/// In other readings, that time is the interval, but at least this.
const COUNT: Duration = Duration::from_secs(1);

/// The maximum of that time, if the interval is very long.
const LONGEST_COUNT: Duration = Duration::from_secs(5);

/// An event of the thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// A reading is complete.
    Reading(Pass),
    /// Keys with stacks that are in a map now. Their names should be looked up before they are
    /// shown.
    Seen(Arc<View>, Vec<Entry>),
    /// Each view was read as often as requested.
    Enough,
    /// The readings that a request asked for are complete, and those of all earlier ones.
    Answered(u64),
    /// A map cannot be read.
    Failed(Failure),
}

/// One pass over the map of a view.
#[derive(Debug)]
pub(crate) struct Pass {
    /// The view.
    pub(crate) view: Arc<View>,
    /// When the map was read.
    pub(crate) time: Time,
    /// The entries, in order of their keys.
    pub(crate) entries: Vec<Entry>,
    /// The number of elements that are known but not among the entries.
    pub(crate) hidden: u64,
    /// Whether the map may have elements that are not known.
    pub(crate) is_partial: bool,
    /// The number of elements in the map, if entries are elements.
    pub(crate) elements: Option<u64>,
    /// A note about what is not among the entries.
    pub(crate) left_out: Option<String>,
}

/// The handle of the thread.
#[derive(Debug)]
pub(crate) struct Readings {
    events: Receiver<Event>,
    /// Sending lets the thread continue after an event.
    done: Sender<()>,
    /// Sending requests readings in addition to the periodic ones.
    requests: Sender<Request>,
    /// Stops readings that are in progress.
    stop: Stop,
    /// Readable when there is an event.
    wake: Arc<OwnedFd>,
}

/// A request for readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    /// One of each view, in addition to the periodic ones. The number identifies the request;
    /// later ones have larger numbers.
    Now(u64),
    /// The last one of each view.
    Last,
}

/// When readings end, and how large they may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum number of entries in a reading.
    pub(crate) keys: usize,
    /// The maximum number of bytes in a reading.
    pub(crate) bytes: usize,
    /// The number of readings of each view.
    pub(crate) count: Option<u64>,
    /// When the run ends, with a last reading.
    pub(crate) deadline: Option<Instant>,
}

impl Readings {
    /// Starts reading the views; `None` if there are none. `sees_stacks`: report stacks before the
    /// readings that show them.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub(crate) fn start(
        views: Vec<(Arc<View>, Reader)>,
        sees_stacks: bool,
        start: Instant,
        limits: Limits,
    ) -> Result<Option<Readings>, Failure> {
        if views.is_empty() {
            return Ok(None);
        }
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Arc::new)
            .map_err(system("cannot create an event descriptor"))?;
        let (send, events) = sync_channel(1);
        let (done, is_done) = channel();
        let (requests, requested) = channel();
        let to = Events { send, is_done, wake: Arc::clone(&wake) };
        let stop = Stop::default();
        let schedule = Schedule::new(views, (start, limits), sees_stacks, stop.clone());
        std::thread::Builder::new()
            .name("readings".into())
            .spawn(move || schedule.run(&requested, &to))
            .map_err(system("cannot start a thread"))?;
        Ok(Some(Readings { events, done, requests, stop, wake }))
    }

    /// Takes an event. After a reading or seen keys, the thread waits for [`Readings::done`].
    pub(crate) fn take(&self) -> Option<Event> {
        let mut number = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut number);
        self.events.try_recv().ok()
    }

    /// The memory of the event is free, so the thread may continue.
    pub(crate) fn done(&self) {
        let _ = self.done.send(());
    }

    /// Requests a reading of each view now. Periodic readings are not affected. After them,
    /// [`Event::Answered`] has the number of the request, or that of a later one.
    pub(crate) fn now(&self, number: u64) {
        let _ = self.requests.send(Request::Now(number));
    }

    /// Requests a last reading of each view. A reading in progress is given up.
    pub(crate) fn finish(&self) {
        self.stop.want(Wanted::Last);
        let _ = self.requests.send(Request::Last);
    }

    /// Ends the last readings with what has been read so far.
    pub(crate) fn give_up(&self) {
        self.stop.want(Wanted::Nothing);
    }

    /// The next event; an error if the thread has ended or the time is over.
    pub(crate) fn next(&self, wait: Duration) -> Result<Event, RecvTimeoutError> {
        self.events.recv_timeout(wait)
    }
}

impl AsFd for Readings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The receiver of the thread's events.
struct Events {
    send: SyncSender<Event>,
    is_done: Receiver<()>,
    wake: Arc<OwnedFd>,
}

impl Events {
    /// Sends an event, and waits until it is done unless it is the last one. Returns false if
    /// nobody receives events.
    fn send(&self, event: Event) -> bool {
        let is_last = matches!(event, Event::Enough | Event::Failed(_));
        if self.send.send(event).is_err() {
            return false;
        }
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        is_last || self.is_done.recv().is_ok()
    }
}

/// A view and its schedule.
struct Scheduled {
    sampler: Sampler,
    next: Instant,
    readings: u64,
    /// Hashes of the stacks that were reported.
    seen: HashSet<u64>,
    /// Whether it has been reported that not all elements are shown.
    was_reported: bool,
}

struct Schedule {
    views: Vec<Scheduled>,
    limits: Limits,
    /// Whether to report stacks before the readings that show them.
    sees_stacks: bool,
    stop: Stop,
}

impl Schedule {
    fn new(
        views: Vec<(Arc<View>, Reader)>,
        (start, limits): (Instant, Limits),
        sees_stacks: bool,
        stop: Stop,
    ) -> Schedule {
        let schedule = |(view, reader): (Arc<View>, Reader)| {
            let next = start + view.interval;
            let sampler = Sampler::new(view, reader);
            Scheduled { sampler, next, readings: 0, seen: HashSet::new(), was_reported: false }
        };
        Schedule { views: views.into_iter().map(schedule).collect(), limits, sees_stacks, stop }
    }

    fn run(mut self, requested: &Receiver<Request>, to: &Events) {
        loop {
            let next = self.views.iter().map(|scheduled| scheduled.next).min();
            let wait = next.map_or(Duration::MAX, |n| n.saturating_duration_since(Instant::now()));
            let has_stacks = |view: &Scheduled| !view.sampler.view.stacks.is_empty();
            let look = self.sees_stacks && self.views.iter().any(has_stacks);
            let request = requested.recv_timeout(if look { wait.min(LOOK) } else { wait });
            // Requests that arrived meanwhile count as one.
            let all = |first| requested.try_iter().fold(first, Request::max);
            match request.map(all) {
                Ok(Request::Last) => break,
                Ok(Request::Now(number)) => {
                    if self.read_all(Wanted::All, to) && to.send(Event::Answered(number)) {
                        continue;
                    }
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if look && !self.look(to) {
                return;
            }
            let now = Instant::now();
            for at in 0..self.views.len() {
                let scheduled = &mut self.views[at];
                if scheduled.next > now {
                    continue;
                }
                let interval = scheduled.sampler.view.interval;
                scheduled.next += interval;
                // Avoids a burst of readings after the machine was suspended.
                if scheduled.next <= now {
                    scheduled.next = now + interval;
                }
                // The reading at the end is made when the programs are detached.
                if self.limits.deadline.is_some_and(|deadline| now + TOGETHER >= deadline) {
                    continue;
                }
                scheduled.readings += 1;
                if !self.read(at, Wanted::All, to) {
                    return;
                }
            }
            let is_enough = |count| self.views.iter().all(|view| view.readings >= count);
            if self.limits.count.is_some_and(is_enough) {
                to.send(Event::Enough);
                return;
            }
        }
        self.read_all(Wanted::Last, to);
    }

    /// Reads each view. Returns false if the thread should end.
    fn read_all(&mut self, wanted: Wanted, to: &Events) -> bool {
        (0..self.views.len()).all(|at| self.read(at, wanted, to))
    }

    fn bounds(&self, wanted: Wanted, interval: Duration) -> Bounds {
        let count = match wanted {
            Wanted::Last => LAST_COUNT,
            _ => interval.clamp(COUNT, LONGEST_COUNT),
        };
        Bounds {
            most: self.limits.keys,
            bytes: self.limits.bytes,
            skips_zeros: false,
            until: Some(Instant::now() + count),
            stop: self.stop.clone(),
            wanted,
        }
    }

    /// Reports keys with stacks that were not seen before, and all keys that name processes:
    /// processes end, and at the end of the run there is no time to look up names. Returns false if
    /// the thread should end.
    fn look(&mut self, to: &Events) -> bool {
        for at in 0..self.views.len() {
            let bounds = self.bounds(Wanted::All, LOOK);
            let Scheduled { sampler, seen, .. } = &mut self.views[at];
            let view = &sampler.view;
            if view.stacks.is_empty() {
                continue;
            }
            // The next reading reports the error if it persists.
            let mut entries =
                sampler.reader.read(&bounds).map_or(Vec::new(), |taken| taken.entries);
            if seen.len() > self.limits.keys {
                seen.clear();
            }
            entries.retain(|entry| seen.insert(hash(entry.key())));
            if !entries.is_empty() && !to.send(Event::Seen(Arc::clone(view), entries)) {
                return false;
            }
        }
        true
    }

    /// Reads a view. Returns false if the thread should end.
    fn read(&mut self, at: usize, wanted: Wanted, to: &Events) -> bool {
        let bounds = self.bounds(wanted, self.views[at].sampler.view.interval);
        let Scheduled { sampler, was_reported, .. } = &mut self.views[at];
        let taken = match sampler.read(&bounds) {
            Ok(taken) => taken,
            Err(error) => {
                let error = anyhow::Error::new(error);
                let error = error.context(format!("cannot read the map `{}`", sampler.view.name));
                to.send(Event::Failed(Failure::new(exit_code::OTHER, error)));
                return false;
            }
        };
        if taken.is_given_up && wanted == Wanted::All {
            return true;
        }
        let view = Arc::clone(&sampler.view);
        let left_out =
            left_out(&view.name, &taken).filter(|_| wanted == Wanted::Last || !*was_reported);
        *was_reported |= left_out.is_some();
        let Collected { entries, left_out: hidden, has_more, elements, .. } = taken;
        let (time, is_partial) = (Time::now(), has_more);
        to.send(Event::Reading(Pass {
            view,
            time,
            entries,
            hidden,
            is_partial,
            elements,
            left_out,
        }))
    }
}

/// A note about what a reading does not show.
fn left_out(view: &str, taken: &Collected) -> Option<String> {
    let shown = taken.entries.len();
    match (taken.is_given_up, taken.left_out) {
        (true, _) => Some(format!(
            "a signal ended the last reading of `{view}` early: it shows {shown} entries, and \
             others may be missing"
        )),
        (false, 0) if !taken.has_more => None,
        (false, 0) => Some(format!(
            "`{view}` is too large to be read completely (a larger --max-keys reads more)"
        )),
        (false, count) => Some(format!(
            "`{view}` has {}{count} more elements, with smaller counts, that are not shown \
             (--max-keys and --max-memory set the limit)",
            if taken.has_more { "at least " } else { "" }
        )),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvError, TryRecvError};

    use bpfpack_spec::fixtures::counter_view;

    use super::*;

    fn taken(entries: usize, left_out: u64, has_more: bool, is_given_up: bool) -> Collected {
        let mut taken = Collected::new(&Bounds::none(), 1);
        let entry = Entry::new(&[1], &[2]);
        (taken.entries, taken.left_out) = (vec![entry; entries], left_out);
        (taken.has_more, taken.is_given_up) = (has_more, is_given_up);
        taken
    }

    #[test]
    fn what_is_missing_in_a_reading_is_told() {
        assert_eq!(left_out("m", &taken(3, 0, false, false)), None);
        let text = |taken: &Collected| left_out("m", taken).unwrap();
        assert!(text(&taken(3, 0, true, false)).contains("too large to be read completely"));
        assert!(text(&taken(3, 5, false, false)).starts_with("`m` has 5 more elements"));
        assert!(text(&taken(3, 5, true, false)).starts_with("`m` has at least 5 more elements"));
        assert!(text(&taken(3, 5, true, true)).contains("early: it shows 3 entries"));
    }

    #[test]
    fn the_thread_waits_behind_what_needs_memory_and_ends_behind_the_last_event() {
        let (send, events) = sync_channel(1);
        let (done, is_done) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let to = Events { send, is_done, wake };
        let thread = std::thread::spawn(move || {
            let seen = to.send(Event::Seen(Arc::new(counter_view()), Vec::new()));
            (seen, to.send(Event::Enough))
        });
        assert!(matches!(events.recv().unwrap(), Event::Seen(..)));
        assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Empty, "it waits");
        done.send(()).unwrap();
        assert!(matches!(events.recv().unwrap(), Event::Enough));
        // The thread does not wait after its last event.
        assert!(matches!(events.recv(), Err(RecvError)), "it has ended");
        assert_eq!(thread.join().unwrap(), (true, true));
    }
}
