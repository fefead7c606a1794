// SPDX-License-Identifier: MIT
//! Requests the names of user addresses from the [`worker`], and caches the responses. It never
//! waits for long, because its caller has records to read or is about to end. Late responses are
//! taken with the next request.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bpfpack_sys::os;
use rustix::event::{PollFd, PollFlags, poll};

use super::budget::{Budget, Patience};
use super::frame::{CodeAddress, MAX_FRAMES, StackFrame, StackFrames};
use super::link::{Link, Pending};
use super::processes::FRESH;
use super::setup::Setup;
use super::wire::{MAX_PLACES, Reply, Request};
use super::worker;

/// How long the worker may take for one process, without and with source lines, before it is ended.
const STUCK: Duration = Duration::from_secs(2);
const STUCK_WITH_LINES: Duration = Duration::from_secs(30);

/// The maximum number of times the worker is started.
const MOST_STARTS: u32 = 8;

/// The maximum number of messages about what was given up.
const MOST_TOLD: u32 = 4;

/// The maximum number of processes for which late names are reported.
const MAX_LATE: usize = 1024;

/// The maximum number of notes in transit. Further notes are dropped, because a process is noted
/// again soon.
const MOST_NOTES: usize = 64;

/// The client of the worker.
#[derive(Debug)]
pub(crate) struct Remote {
    setup: Setup,
    budget: Budget,
    link: Option<Link>,
    starts: u32,
    known: HashMap<u32, Known>,
    /// The number of `StackFrames` in `known`.
    frames: usize,
    /// Processes during whose requests the worker failed.
    given_up: HashSet<u32>,
    /// Processes whose names were late.
    late: HashSet<u32>,
    told: u32,
}

/// Cached data about a process.
#[derive(Debug)]
struct Known {
    generation: u64,
    /// When the worker last confirmed it.
    checked: Instant,
    frames: HashMap<CodeAddress, StackFrames>,
}

impl Remote {
    /// A client that has not started a worker.
    pub(crate) fn new(setup: Setup, patience: Patience) -> Remote {
        Remote {
            budget: Budget::new(patience),
            setup,
            link: None,
            starts: 0,
            known: HashMap::new(),
            frames: 0,
            given_up: HashSet::new(),
            late: HashSet::new(),
            told: 0,
        }
    }

    /// Whether the run has ended.
    pub(crate) fn is_hurried(&self) -> bool {
        self.budget.is_last()
    }

    /// Starts the worker now, not with the first request.
    pub(crate) fn warm(&mut self) {
        if self.link.is_none() {
            self.start();
        }
    }

    /// Requests that a process is inspected, without waiting.
    pub(crate) fn note(&mut self, pid: u32) {
        self.collect();
        if self.is_fresh(pid) || self.given_up.contains(&pid) {
            return;
        }
        let waiting = self.link.as_ref().map_or(0, |link| link.pending.len());
        let is_asked = self.link.iter().flat_map(|l| &l.pending).any(|asked| asked.pid == pid);
        if waiting < MOST_NOTES && !is_asked {
            self.send(pid, Vec::new());
        }
    }

    /// The frames of addresses of a process. Names that are not available in time are missing.
    pub(crate) fn frames(&mut self, pid: u32, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.collect();
        let is_known = self.is_fresh(pid)
            && self
                .known
                .get(&pid)
                .is_some_and(|known| places.iter().all(|place| known.frames.contains_key(place)));
        let mut found = HashMap::new();
        if !is_known && !self.given_up.contains(&pid) {
            match self.ask(pid, places) {
                Some(answer) => found = answer,
                None if self.budget.is_due() => {}
                None => self.is_late(pid),
            }
        }
        let known = self.known.get(&pid);
        let frames = |place: &CodeAddress| {
            let frames = found.get(place).or_else(|| known?.frames.get(place)).map(Rc::clone);
            frames.unwrap_or_else(|| Rc::new([StackFrame::unknown(place.address())]))
        };
        places.iter().map(frames).collect()
    }

    fn is_fresh(&self, pid: u32) -> bool {
        self.known.get(&pid).is_some_and(|known| known.checked.elapsed() < FRESH)
    }

    /// The worker's response for addresses; `None` if it does not arrive in time.
    fn ask(
        &mut self,
        pid: u32,
        places: &[CodeAddress],
    ) -> Option<HashMap<CodeAddress, StackFrames>> {
        if self.budget.left().is_zero() {
            return None;
        }
        let id = self.send(pid, places.iter().take(MAX_PLACES).copied().collect())?;
        self.wait(id)
    }

    /// Reports once for a process that names were late.
    fn is_late(&mut self, pid: u32) {
        if self.late.len() < MAX_LATE && !self.given_up.contains(&pid) && self.late.insert(pid) {
            let text = format!(
                "process {pid}: some names of functions were not found in time, and are missing in \
                 its stacks"
            );
            self.tell(&text);
        }
    }

    /// Sends a request. Returns its number if the worker runs and accepts it.
    fn send(&mut self, pid: u32, places: Vec<CodeAddress>) -> Option<u32> {
        if self.link.is_none() {
            self.start();
        }
        let link = self.link.as_mut()?;
        let id = link.next;
        let request = Request { id, pid, places };
        let bytes = request.encode();
        match link.stream.write(&bytes) {
            Ok(count) if count == bytes.len() => {
                if link.pending.is_empty() {
                    link.since = Instant::now();
                }
                link.next = link.next.wrapping_add(1);
                link.pending.push_back(Pending { id, pid, places: request.places });
                Some(id)
            }
            // It has not read earlier requests.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            _ => {
                self.lose("it cannot be written to");
                None
            }
        }
    }

    fn start(&mut self) {
        if self.starts > MOST_STARTS {
            return;
        }
        self.starts += 1;
        if self.starts > MOST_STARTS {
            self.tell(
                "functions of processes are shown without names from now on: ecli-symbols failed \
                 too often",
            );
            return;
        }
        let start = || -> io::Result<(UnixStream, Child)> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            Ok((ours, worker::command(&self.setup, theirs).spawn()?))
        };
        match start() {
            Ok((stream, child)) => self.link = Some(Link::new(stream, Some(child))),
            Err(error) => {
                self.starts = MOST_STARTS + 1;
                self.tell(&format!(
                    "functions of processes are shown without names: cannot start ecli-symbols: \
                     {error}"
                ));
            }
        }
    }

    /// Takes the responses that have arrived. Ends a worker that is stuck.
    fn collect(&mut self) {
        while let Some(reply) = self.receive() {
            self.take(reply);
        }
        let stuck = if self.setup.lines { STUCK_WITH_LINES } else { STUCK };
        let is_stuck = |link: &Link| !link.pending.is_empty() && link.since.elapsed() > stuck;
        if self.link.as_ref().is_some_and(is_stuck) {
            self.lose("it takes too long");
        }
    }

    /// Waits for a response; `None` if it does not arrive in time.
    fn wait(&mut self, id: u32) -> Option<HashMap<CodeAddress, StackFrames>> {
        self.budget.ask();
        let begin = Instant::now();
        let found = self.wait_since(id, begin);
        self.budget.spend(begin.elapsed(), found.is_some());
        found
    }

    fn wait_since(&mut self, id: u32, begin: Instant) -> Option<HashMap<CodeAddress, StackFrames>> {
        loop {
            while let Some(reply) = self.receive() {
                let is_it = reply.id == id;
                let found = self.take(reply);
                if is_it {
                    return found;
                }
            }
            let link = self.link.as_ref()?;
            let left = self.budget.left().saturating_sub(begin.elapsed());
            if left.is_zero() {
                return None;
            }
            // The run may end meanwhile.
            let slice = os::timespec(left.min(Duration::from_millis(5)));
            let _ = poll(&mut [PollFd::new(&link.stream, PollFlags::IN)], Some(&slice));
        }
    }

    /// The next response, if it is complete.
    fn receive(&mut self) -> Option<Reply> {
        let link = self.link.as_mut()?;
        let why = match link.receive() {
            Ok(reply) => return reply,
            Err(error) => error.to_string(),
        };
        self.lose(&why);
        None
    }

    /// Caches a response. Returns the frames of each address.
    fn take(&mut self, reply: Reply) -> Option<HashMap<CodeAddress, StackFrames>> {
        let is_answer =
            |asked: &Pending| asked.id == reply.id && asked.places.len() == reply.found.len();
        let link = self.link.as_mut()?;
        if !link.pending.front().is_some_and(is_answer) {
            self.lose("it sent an answer without a question");
            return None;
        }
        let asked = link.pending.pop_front()?;
        let now = Instant::now();
        link.since = now;
        for text in &reply.given_up {
            self.tell(text);
        }
        if self.frames + reply.found.len() > MAX_FRAMES {
            self.known.clear();
            self.frames = 0;
        }
        let known = self.known.entry(asked.pid).or_insert_with(|| Known {
            generation: reply.generation,
            checked: now,
            frames: HashMap::new(),
        });
        // A process takes some memory, too.
        self.frames += 1;
        if known.generation != reply.generation {
            known.frames.clear();
            known.generation = reply.generation;
        }
        known.checked = now;
        let settled = asked.places.iter().zip(&reply.found).filter(|(_, found)| found.is_settled);
        for (place, found) in settled {
            let old = known.frames.insert(*place, Rc::clone(&found.frames));
            self.frames += usize::from(old.is_none());
        }
        Some(asked.places.into_iter().zip(reply.found.into_iter().map(|f| f.frames)).collect())
    }

    /// Ends the worker. The process of its current request is not inspected again.
    fn lose(&mut self, why: &str) {
        let Some(mut link) = self.link.take() else { return };
        let ended = link.end();
        let Some(asked) = link.pending.front() else { return };
        self.given_up.insert(asked.pid);
        let how = match ended {
            // Rust aborts a program that runs out of memory.
            Some(libc::SIGABRT) => "it needs more memory than --max-memory allows".to_owned(),
            Some(signal) => format!("signal {signal}"),
            None => why.to_owned(),
        };
        let text = format!(
            "process {}: its functions are shown without names: ecli-symbols was ended ({how})",
            asked.pid
        );
        self.tell(&text);
    }

    fn tell(&mut self, text: &str) {
        self.told += 1;
        match self.told {
            ..=MOST_TOLD => self.setup.talk.warning(text),
            number if number == MOST_TOLD + 1 => {
                self.setup
                    .talk
                    .warning("more functions are shown without names, for similar reasons");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::budget::Hurry;
    use super::super::engine::Engine;
    use super::*;

    fn remote(patience: Patience) -> Remote {
        // Tests provide a worker.
        Remote::new(Setup::none(), patience)
    }

    /// A worker in a thread.
    fn with_worker(remote: &mut Remote, work: impl FnOnce(UnixStream) + Send + 'static) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        std::thread::spawn(move || work(theirs));
        remote.link = Some(Link::new(ours, None));
    }

    fn engine(stream: UnixStream) {
        let _ = worker::serve(stream, &mut Engine::new(false));
    }

    fn own_place() -> CodeAddress {
        CodeAddress::Exact(own_place as *const () as u64)
    }

    fn name(frames: &[StackFrames]) -> Option<&str> {
        frames[0][0].name.as_deref()
    }

    #[test]
    fn names_come_from_the_worker_and_are_remembered() {
        let mut remote = remote(Patience::Readings(Hurry::default()));
        with_worker(&mut remote, engine);
        let own = std::process::id();
        remote.note(own);
        let places = [own_place(), CodeAddress::Exact(5)];
        let frames = remote.frames(own, &places);
        assert!(name(&frames).unwrap().ends_with("own_place"), "{frames:?}");
        assert_eq!(*frames[1], [StackFrame::unknown(5)]);
        let asked = remote.link.as_ref().unwrap().next;
        let again = remote.frames(own, &places[..1]);
        assert!(Rc::ptr_eq(&again[0], &frames[0]));
        assert_eq!(remote.link.as_ref().unwrap().next, asked, "nobody was asked");
        std::thread::sleep(FRESH);
        assert!(name(&remote.frames(own, &places)).is_some());
        assert!(remote.link.as_ref().unwrap().next > asked);
    }

    #[test]
    fn a_worker_that_says_nothing_keeps_nobody_waiting() {
        let mut remote = remote(Patience::Records(Hurry::default()));
        let (done, wait) = std::sync::mpsc::channel::<()>();
        with_worker(&mut remote, move |stream| {
            let _ = wait.recv();
            drop(stream);
        });
        let begin = Instant::now();
        for pid in 1..1000 {
            assert_eq!(name(&remote.frames(pid, &[CodeAddress::Exact(5)])), None);
        }
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        // The oldest request is to blame.
        remote.link.as_mut().unwrap().since = begin.checked_sub(STUCK).unwrap();
        remote.collect();
        assert!(remote.link.is_none() && remote.given_up.contains(&1), "{:?}", remote.given_up);
        drop(done);
    }

    #[test]
    fn the_end_of_a_run_ends_the_wait() {
        let hurry = Hurry::default();
        let mut remote = remote(Patience::Readings(hurry.clone()));
        let (done, wait) = std::sync::mpsc::channel::<()>();
        with_worker(&mut remote, move |stream| {
            let _ = wait.recv();
            drop(stream);
        });
        hurry.begin();
        let begin = Instant::now();
        for pid in 1..100 {
            remote.frames(pid, &[CodeAddress::Exact(5)]);
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert!(remote.is_hurried());
        drop(done);
    }

    #[test]
    fn a_worker_that_ends_or_raves_costs_the_names_of_one_process() {
        let mut remote = remote(Patience::Readings(Hurry::default()));
        with_worker(&mut remote, drop);
        assert_eq!(name(&remote.frames(7, &[CodeAddress::Exact(5)])), None);
        assert!(remote.link.is_none());
        for answer in [&[0xff; 64][..], &[3, 0, 0, 0, 1, 2, 3], &Reply::default().encode()] {
            let answer = answer.to_vec();
            with_worker(&mut remote, move |mut stream| {
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(&answer);
                // Until the other end gives up.
                let _ = stream.read(&mut [0; 64]);
            });
            assert_eq!(name(&remote.frames(8, &[CodeAddress::Exact(5)])), None);
            assert!(remote.given_up.remove(&8), "{answer:?}", answer = remote.told);
            assert!(remote.link.is_none());
        }
        with_worker(&mut remote, engine);
        let frames = remote.frames(std::process::id(), &[own_place()]);
        assert!(name(&frames).is_some(), "the next one answers");
    }
}
