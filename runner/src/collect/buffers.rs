// SPDX-License-Identifier: MIT
//! Buffers that bring records as they come: ring buffers, perf buffers, and the lines of
//! `bpf_printk`.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use libbpf_rs::{MapCore as _, Object};

use super::pace::FULL;
use super::printk::{Ourselves, TracePipe};
use crate::failure::{Failure, exit_code};
use crate::sys::map::Map;
use crate::sys::perf::{PerfBuffer, PerfEvent};
use crate::sys::ring::Ring;
use crate::talk::Talk;
use crate::view::{Stream, StreamKind};

/// Records that are taken of a buffer before the loop looks at the others, the clock, the signals.
/// What they are rendered to should still be in the processor's cache when it is written.
const ROUND: usize = 1024;

/// Reads of the lines' pipe at the end: more than its buffers hold. Others print, too, and do not
/// end with us.
const LAST_READS: usize = 64;

/// A buffer, opened.
#[derive(Debug)]
pub struct Buffer {
    /// What its records are.
    pub stream: Arc<Stream>,
    kind: Kind,
    /// Records that were shown.
    pub shown: u64,
    /// Records in which nothing of what they should be was found.
    pub malformed: u64,
    /// What the kernel said was lost, in a perf buffer.
    told: u64,
    was_told: bool,
}

#[derive(Debug)]
enum Kind {
    Ring(Ring),
    Perf(PerfBuffer),
    Lines(TracePipe, Ourselves),
}

/// What became of a record.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// It had something of what it should be.
    pub is_shown: bool,
    /// The next one may come.
    pub goes_on: bool,
}

/// What a round has found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    /// Records.
    pub taken: usize,
    /// The fullest of the buffers before it was read, in parts of [`FULL`].
    pub fill: usize,
    /// A buffer has more.
    pub more: bool,
}

impl Round {
    fn add(&mut self, taken: usize, fill: usize, more: bool) {
        self.taken += taken;
        self.fill = self.fill.max(fill);
        self.more |= more;
    }
}

impl Buffer {
    /// Opens the buffer of a stream.
    pub fn open(object: &Object, stream: Arc<Stream>) -> Result<Buffer, Failure> {
        let fail = |error: anyhow::Error| {
            let error = error.context(format!("can not open the buffer `{}`", stream.name));
            Failure::new(exit_code::OTHER, error)
        };
        let map = object.maps().find(|map| *map.name() == *stream.name);
        let kind = match (stream.kind, map) {
            (StreamKind::Lines, _) => Kind::Lines(TracePipe::open()?, Ourselves::look()),
            (_, None) => return Err(fail(anyhow::anyhow!("there is no such map"))),
            (StreamKind::Ring, Some(map)) => {
                let ring = Map::of(&map).and_then(Ring::open);
                Kind::Ring(ring.map_err(|error| fail(error.into()))?)
            }
            (StreamKind::Perf { pages }, Some(map)) => {
                let buffer = Map::of(&map).and_then(|map| PerfBuffer::open(map, pages));
                Kind::Perf(buffer.map_err(|error| fail(error.into()))?)
            }
        };
        Ok(Buffer { stream, kind, shown: 0, malformed: 0, told: 0, was_told: false })
    }

    /// What to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Ring(ring) => ring.as_fd(),
            Kind::Perf(perf) => perf.as_fd(),
            Kind::Lines(pipe, _) => pipe.as_fd(),
        }
    }

    /// Hands the records of a round, or `most`, to `show`.
    pub fn drain(
        &mut self,
        most: usize,
        round: &mut Round,
        mut show: impl FnMut(&Stream, Option<u16>, &[u8]) -> Taken,
    ) -> Result<(), Failure> {
        let Buffer { stream, kind, shown, malformed, told, .. } = self;
        let mut count = |taken: Taken| {
            if taken.is_shown {
                *shown += 1
            } else {
                *malformed += 1
            }
            taken.goes_on
        };
        let fail = |error: std::io::Error, name: &str| {
            let error = anyhow::Error::new(error);
            let error = error.context(format!("can not read the buffer `{name}`"));
            Failure::new(exit_code::OTHER, error)
        };
        let most_here = most.min(ROUND);
        match kind {
            Kind::Ring(ring) => {
                let fill = ring.pending() * FULL as usize / ring.size();
                let (taken, more) =
                    ring.consume(most_here, |record| count(show(stream, None, record)));
                round.add(taken, fill, more);
            }
            Kind::Perf(perf) => {
                let (mut taken, mut bytes) = (0, 0);
                let result = perf.consume(|event| match event {
                    PerfEvent::Record(cpu, record) if taken < most => {
                        count(show(stream, u16::try_from(cpu).ok(), record));
                        taken += 1;
                        bytes += record.len();
                    }
                    PerfEvent::Record(..) => {}
                    PerfEvent::Lost(count) => *told += count,
                });
                result.map_err(|error| fail(error, &stream.name))?;
                let StreamKind::Perf { pages } = stream.kind else { return Ok(()) };
                round.add(
                    taken,
                    bytes * FULL as usize / (pages * rustix::param::page_size()),
                    false,
                );
            }
            Kind::Lines(pipe, us) => {
                let mut taken = 0;
                let mut record = Vec::new();
                let read = pipe.read(|line| {
                    // What ecli does to show a line is no reason for another.
                    if !us.is(&line) && taken < most {
                        super::lines::record(&line, &mut record);
                        count(show(stream, None, &record));
                        taken += 1;
                    }
                });
                let bytes = read.map_err(|error| fail(error, &stream.name))?;
                round.add(taken, 0, bytes > 0 && taken > 0);
            }
        }
        Ok(())
    }

    /// Whether programs of the package write to it by helpers, whose failures can be counted.
    pub fn is_written_by_programs(&self) -> bool {
        !matches!(self.kind, Kind::Lines(..))
    }

    /// What makes room for more records.
    pub fn how_to_enlarge(&self) -> String {
        let name = &self.stream.name;
        match &self.kind {
            Kind::Ring(ring) => format!("ecli run --map-entries {name}={}", ring.size() * 4),
            _ => format!("`perf_buffer_pages` of the package, for `{name}`"),
        }
    }

    /// What its reader should know of it.
    pub fn note(&self) -> Option<String> {
        let Kind::Lines(pipe, _) = &self.kind else { return None };
        let why = pipe.shared()?;
        Some(format!(
            "the lines of bpf_printk are taken from the trace pipe that all share ({why}): \
             other readers of it miss them"
        ))
    }

    /// Tells of the first record in which nothing was found.
    pub fn tell_malformed(&mut self, talk: &Talk) {
        if self.malformed > 0 && !self.was_told {
            self.was_told = true;
            talk.warning(&format!(
                "a record of `{}` is shorter than anything that the package describes; \
                 it is not shown, and counted",
                self.stream.name
            ));
        }
    }

    /// How far there is something to be read now.
    pub fn mark(&self) -> Mark {
        match &self.kind {
            Kind::Ring(ring) => Mark::Position(ring.end()),
            Kind::Perf(_) => Mark::Reads(1),
            Kind::Lines(..) => Mark::Reads(LAST_READS),
        }
    }

    /// Whether all that there was at a mark has been read, another round having been.
    pub fn has_reached(&self, mark: &mut Mark) -> bool {
        match (&self.kind, mark) {
            (Kind::Ring(ring), Mark::Position(end)) => ring.has_reached(*end),
            (_, Mark::Position(_)) => true,
            (_, Mark::Reads(left)) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        }
    }

    /// What the kernel says was lost; none where it does not count.
    pub fn lost(&self) -> Option<u64> {
        match &self.kind {
            Kind::Ring(_) => None,
            Kind::Perf(perf) => Some(perf.lost().unwrap_or(self.told)),
            Kind::Lines(pipe, _) => Some(pipe.lost()),
        }
    }
}

/// How far a buffer was filled.
#[derive(Debug)]
pub enum Mark {
    /// The position in a ring buffer.
    Position(u64),
    /// So many rounds take what there can be.
    Reads(usize),
}

/// Opens the buffers of all streams.
pub fn open(object: &Object, streams: Vec<Arc<Stream>>) -> Result<Vec<Buffer>, Failure> {
    streams.into_iter().map(|stream| Buffer::open(object, stream)).collect()
}
