// SPDX-License-Identifier: MIT
//! Outputs that come and go while the run goes on: those of clients of a run in the background. Each
//! shows one reading of every map, and records for a time. A client that is slow or goes away does
//! not hold up the run.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_render::{Format, FormatKind};
use bpfpack_spec::Source;

use super::one::Output;
use super::sink::{ReaderState, Sink};

/// How long a client may take for what remains at its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that waits for data.
#[derive(Debug)]
pub(crate) struct Client {
    /// Where the data goes.
    pub(crate) stream: UnixStream,
    /// Its format.
    pub(crate) format: &'static FormatKind,
    /// Whether meanings are shown.
    pub(crate) meanings: bool,
    /// How long records are sent.
    pub(crate) lasts: Duration,
}

/// The outputs of clients.
#[derive(Debug, Default)]
pub(super) struct Guests(Vec<Guest>);

#[derive(Debug)]
struct Guest {
    output: Output,
    /// The number of the request for its readings.
    request: u64,
    /// It shows records until then.
    until: Instant,
    /// The views that it has shown, if it shows one reading of each.
    shown: Option<BTreeSet<usize>>,
}

impl Guests {
    /// Adds a client.
    pub(super) fn add(
        &mut self,
        mut format: Box<dyn Format>,
        is_structured: bool,
        mut sink: Sink,
        sources: &[Source],
        (request, until): (u64, Instant),
    ) {
        format.start(sources, &mut sink.bytes);
        let output = Output::new(format, is_structured, sink);
        let shown = (until <= Instant::now()).then(BTreeSet::new);
        self.0.push(Guest { output, request, until, shown });
    }

    /// Begins to draw a reading. Others may have asked for more readings than a client wants.
    pub(super) fn begin(&mut self, reading: &Rc<Reading>) {
        for Guest { output, shown, .. } in &mut self.0 {
            if shown.as_mut().is_none_or(|shown| shown.insert(reading.source.index)) {
                output.begin(reading);
            }
        }
    }

    /// Their outputs.
    pub(super) fn outputs(&mut self) -> impl Iterator<Item = &mut Output> {
        self.0.iter_mut().map(|guest| &mut guest.output)
    }

    /// Whether one of them is drawing a reading.
    pub(super) fn are_drawing(&self) -> bool {
        self.0.iter().any(|guest| guest.output.drawing.is_some())
    }

    /// When the next one ends, if not for its readings.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|guest| guest.until).min()
    }

    /// Writes what can be written without waiting. Drops those who are gone or too slow.
    pub(super) fn flush(&mut self) {
        self.0.retain_mut(|guest| {
            let sink = &mut guest.output.sink;
            matches!(sink.flush(), Ok(ReaderState::There)) && sink.has_room()
        });
    }

    /// Ends those whose time is over, and whose readings are complete: all requests up to `answered`
    /// are.
    pub(super) fn close(&mut self, now: Instant, answered: u64) {
        let is_over = |guest: &mut Guest| {
            guest.request <= answered && guest.until <= now && guest.output.drawing.is_none()
        };
        for guest in self.0.extract_if(.., is_over) {
            end(guest);
        }
    }

    /// Ends all of them.
    pub(super) fn end(&mut self) {
        self.0.drain(..).for_each(end);
    }
}

/// Ends an output. What its client has not taken yet is written by a thread.
fn end(mut guest: Guest) {
    let Output { format, sink, .. } = &mut guest.output;
    format.end(&mut sink.bytes);
    if !matches!(sink.flush(), Ok(ReaderState::There)) || sink.left() == 0 {
        return;
    }
    let (file, rest) = guest.output.sink.into_rest();
    let write = move || {
        let mut file: File = file;
        let begin = Instant::now();
        let mut rest = &rest[..];
        while !rest.is_empty() && begin.elapsed() < PATIENCE {
            match file.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return,
            }
        }
    };
    // Without a thread, the client misses the rest.
    let _ = std::thread::Builder::new().name("client".into()).spawn(write);
}

/// An output for a run whose data nobody sees until a client comes.
#[derive(Debug)]
pub(super) struct Nothing;

impl Format for Nothing {
    fn records(&mut self, _: &Records<'_>, _: &mut Vec<u8>) {}

    fn entries(&mut self, _: &Rc<Reading>, _: Range<usize>, _: &mut Vec<u8>) {}

    fn text(&mut self, _: Time, _: &[u8], _: &mut Vec<u8>) {}

    fn json(&mut self, _: Time, _: &[u8], _: &mut Vec<u8>) {}
}
