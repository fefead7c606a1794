// SPDX-License-Identifier: MIT
//! The thread that sends requests to a receiver of OTLP over HTTP. What fails for a while is sent
//! again, up to the limit of the queue; what the receiver refuses is lost, and counted.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bpfpack_metrics::Family;
use bpfpack_metrics::otlp::{self, Logs, Resource};
use bpfpack_registry::http::{Http, Limits, Method, Request, Url};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::queue::{Backoff, Batch, Counts, Queue, Signal};
use crate::metrics::scrapes::Asker;
use crate::sys;

/// Bytes of requests that wait for a receiver that is away.
const ROOM: usize = 16 << 20;

/// How long a record waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// Bytes of records that are sent at once.
const LARGE: usize = 1 << 20;

/// How long the metrics of this moment may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a receiver may take to answer, and how long its answer may be.
const LIMITS: Limits = Limits { size: 64 << 10, time: Duration::from_secs(30) };

/// What the run and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    /// The records that were not taken yet.
    pub(super) logs: Logs,
    pub(super) counts: Counts,
    /// The last metrics, when the run has ended.
    last: Option<Vec<Family>>,
    /// Whether the run has ended. The thread sends what remains, and ends.
    is_over: bool,
    /// Whether the thread has nothing left to send.
    is_done: bool,
    /// Whether nobody waits for the thread any more. It ends at once, and what remains is lost.
    is_abandoned: bool,
    /// Why the last request was not delivered.
    failure: Option<String>,
}

impl Shared {
    pub(super) fn new(resource: &Resource) -> Shared {
        let state = State {
            logs: Logs::new(resource),
            counts: Counts::default(),
            last: None,
            is_over: false,
            is_done: false,
            is_abandoned: false,
            failure: None,
        };
        Shared { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if there are many records.
    pub(super) fn note_logs(&self) {
        if self.state().logs.size() >= LARGE {
            self.changed.notify_one();
        }
    }

    /// Ends the run, with its last metrics.
    pub(super) fn end(&self, last: Vec<Family>) {
        let mut state = self.state();
        (state.last, state.is_over) = (Some(last), true);
        self.changed.notify_all();
    }

    /// Makes the thread end, whatever remains.
    pub(super) fn abandon(&self) {
        self.state().is_abandoned = true;
        self.changed.notify_all();
    }

    /// Waits until all is sent, for a short time. Returns whether it is.
    pub(super) fn is_done_after(&self, wait: Duration) -> bool {
        let state = self.state();
        let waited = self.changed.wait_timeout_while(state, wait, |state| !state.is_done);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_done
    }

    /// Why the last request was not delivered.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }
}

/// Where requests go.
#[derive(Debug)]
pub(super) struct Receiver {
    /// By signal.
    pub(super) urls: [Url; 2],
    pub(super) headers: Vec<(String, String)>,
    http: Http,
}

/// What became of a request.
enum Sent {
    /// The receiver has taken it, except for so many items.
    Delivered(u64, Option<String>),
    /// It may work later; the receiver may say when.
    Later(String, Option<Duration>),
    /// The receiver will never take it.
    Refused(String),
}

impl Receiver {
    pub(super) fn new(urls: [Url; 2], headers: Vec<(String, String)>) -> Receiver {
        Receiver { urls, headers, http: Http::default() }
    }

    fn send(&self, batch: &Batch) -> Sent {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = packed.write_all(&batch.body).and_then(|()| packed.finish());
        let Ok(packed) = packed else { return Sent::Refused("it cannot be compressed".into()) };
        let url = self.urls[batch.signal as usize].clone();
        let mut request = Request::new(Method::Post, url)
            .body("application/x-protobuf", &packed)
            .header("Content-Encoding", "gzip");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match self.http.send(&request, &LIMITS) {
            Ok(response) => response,
            Err(error) => return Sent::Later(format!("{:#}", anyhow::Error::new(error)), None),
        };
        let status = response.status();
        let after = response.header("Retry-After").and_then(|text| text.trim().parse().ok());
        let after = after.map(Duration::from_secs);
        let body = response.read_all().unwrap_or_default();
        match status {
            200..=299 => match otlp::rejected(&body) {
                Some((items, text)) => {
                    let text = Some(text).filter(|text| !text.is_empty());
                    Sent::Delivered(u64::try_from(items).unwrap_or(0), text)
                }
                None => Sent::Delivered(0, None),
            },
            429 | 502 | 503 | 504 => Sent::Later(status_in_words(status, &body), after),
            _ => Sent::Refused(status_in_words(status, &body)),
        }
    }
}

fn status_in_words(status: u16, body: &[u8]) -> String {
    match otlp::status(body) {
        Some(text) => format!("status {status}: {text}"),
        None => format!("status {status}"),
    }
}

/// The thread.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) receiver: Receiver,
    pub(super) resource: Resource,
    /// Asks for the metrics; `None` sends none.
    pub(super) asker: Option<Asker>,
    pub(super) interval: Duration,
    pub(super) start: SystemTime,
}

impl Sender {
    pub(super) fn run(self) {
        sys::resolve_without_modules();
        let mut queue = Queue::new(ROOM);
        let mut backoff = Backoff::default();
        let mut next = Instant::now() + self.interval;
        // When records are taken, and when the next request may be sent.
        let (mut gathered, mut retry) = (None::<Instant>, Instant::now());
        while !self.shared.state().is_abandoned {
            let now = Instant::now();
            if let Some(asker) = self.asker.as_ref().filter(|_| now >= next) {
                if let Ok(families) = asker.ask(PATIENCE.min(self.interval)) {
                    self.push_metrics(&mut queue, &families);
                }
                next = now + self.interval;
            }
            let (is_over, is_waiting) = self.take(&mut queue, &mut gathered);
            // The last requests are sent at once.
            let may_send = is_over || Instant::now() >= retry;
            if may_send && let Some(batch) = queue.pop() {
                let sent = self.receiver.send(&batch);
                let mut state = self.shared.state();
                match sent {
                    Sent::Delivered(refused, text) => {
                        state.counts.deliver(&batch, refused);
                        state.failure = text.or(state.failure.take().filter(|_| refused > 0));
                        backoff.succeed();
                    }
                    Sent::Refused(text) => {
                        state.counts.lose(batch.signal, batch.items);
                        state.failure = Some(text);
                    }
                    Sent::Later(text, after) => {
                        let mut random = [0];
                        let flags = rustix::rand::GetRandomFlags::NONBLOCK;
                        let _ = rustix::rand::getrandom(&mut random, flags);
                        let pause = backoff.fail(after, random[0]);
                        retry = Instant::now() + pause;
                        state.failure = Some(text);
                        queue.put_back(batch, &mut state.counts);
                        if is_over {
                            // Nobody waits for long, so try again soon.
                            drop(state);
                            std::thread::sleep(pause.min(Duration::from_millis(500)));
                        }
                    }
                }
                continue;
            }
            if is_over && queue.is_empty() && !is_waiting {
                self.shared.state().is_done = true;
                self.shared.changed.notify_all();
                return;
            }
            self.sleep(next, gathered, (!queue.is_empty()).then_some(retry));
        }
    }

    fn push_metrics(&self, queue: &mut Queue, families: &[Family]) {
        let items = families.iter().map(|family| family.series.len() as u64).sum();
        let now = SystemTime::now();
        let body = otlp::metrics(families, &self.resource, self.start, now);
        let batch = Batch { signal: Signal::Metrics, body, items };
        queue.push(batch, &mut self.shared.state().counts);
    }

    /// Takes the records that have waited long enough, and the last metrics. Returns whether the run
    /// has ended, and whether records still wait.
    fn take(&self, queue: &mut Queue, gathered: &mut Option<Instant>) -> (bool, bool) {
        let mut state = self.shared.state();
        let last = state.last.take();
        let is_over = state.is_over;
        if state.logs.is_empty() {
            *gathered = None;
        } else {
            let due = *gathered.get_or_insert_with(|| Instant::now() + GATHER);
            if is_over || Instant::now() >= due || state.logs.size() >= LARGE {
                let items = state.logs.len() as u64;
                let body = state.logs.take();
                let batch = Batch { signal: Signal::Logs, body, items };
                queue.push(batch, &mut state.counts);
                *gathered = None;
            }
        }
        let is_waiting = !state.logs.is_empty();
        drop(state);
        if let Some(families) = last.filter(|_| self.asker.is_some()) {
            self.push_metrics(queue, &families);
        }
        (is_over, is_waiting)
    }

    /// Sleeps until something has to be done. Records that arrive meanwhile are seen after a second
    /// at most, unless there are many.
    fn sleep(&self, next: Instant, gathered: Option<Instant>, retry: Option<Instant>) {
        let state = self.shared.state();
        let is_urgent = state.is_over || state.is_abandoned || state.logs.size() >= LARGE;
        if is_urgent && retry.is_none() {
            return;
        }
        let now = Instant::now();
        let metrics = self.asker.as_ref().map(|_| next);
        let until = [metrics, gathered, retry].into_iter().flatten().min();
        let wait = until.map_or(GATHER, |until| until.saturating_duration_since(now)).min(GATHER);
        let _ = self.shared.changed.wait_timeout(state, wait);
    }
}
