// SPDX-License-Identifier: MIT
//! Ring buffers and perf buffers: records as they come.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;

use anyhow::Context as _;
use libbpf_rs::{MapCore as _, Object, RingBuffer, RingBufferBuilder};

use super::Output;
use crate::failure::{Failure, exit_code};
use crate::sink::Reader;
use crate::sys;
use crate::sys::perf::{PerfBuffer, PerfEvent};
use crate::talk;
use crate::view::Stream;

/// Records that are taken before the loop looks at the clock and the signals again.
const ROUND: usize = 4096;

/// Records that have been read and not yet rendered: stream and bytes.
type Queue = Rc<RefCell<VecDeque<(usize, Vec<u8>)>>>;

/// All buffers of a package.
pub struct Buffers {
    streams: Vec<Stream>,
    ring: Option<RingBuffer<'static>>,
    perf: Vec<PerfBuffer>,
    queue: Queue,
    records: u64,
    most: Option<u64>,
    lost: Rc<RefCell<u64>>,
}

impl Buffers {
    /// Opens the buffers of the streams.
    pub fn open(object: &Object, streams: Vec<Stream>) -> Result<Buffers, Failure> {
        let queue = Queue::default();
        let lost = Rc::new(RefCell::new(0));
        let fail = |error: anyhow::Error, name: &str| {
            Failure::new(
                exit_code::OTHER,
                error.context(format!("can not open the buffer `{name}`")),
            )
        };
        let maps: Vec<_> = object.maps().collect();
        let mut ring = RingBufferBuilder::new();
        let mut perf = Vec::new();
        let mut any_ring = false;
        for (index, stream) in streams.iter().enumerate() {
            let Some(map) = maps.iter().find(|map| *map.name() == *stream.name) else {
                continue;
            };
            let queue = Rc::clone(&queue);
            let push = move |bytes: &[u8]| queue.borrow_mut().push_back((index, bytes.to_vec()));
            if stream.is_perf {
                let lost = Rc::clone(&lost);
                let callback = move |event: PerfEvent<'_>| match event {
                    PerfEvent::Record(bytes) => push(bytes),
                    PerfEvent::Lost(count) => *lost.borrow_mut() += count,
                };
                let buffer = PerfBuffer::open(map.as_fd(), stream.pages, Box::new(callback));
                perf.push(buffer.map_err(|error| fail(error.into(), &stream.name))?);
            } else {
                let taken = ring.add(map, move |bytes: &[u8]| {
                    push(bytes);
                    0
                });
                taken.map_err(|error| fail(error.into(), &stream.name))?;
                any_ring = true;
            }
        }
        let ring = match any_ring {
            true => Some(ring.build().map_err(|error| fail(error.into(), "of the package"))?),
            false => None,
        };
        Ok(Buffers { streams, ring, perf, queue, records: 0, most: None, lost })
    }

    /// What to poll.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let ring = self.ring.iter().filter_map(|ring| sys::borrow_fd(ring, ring.epoll_fd()));
        let perf = self.perf.iter().map(PerfBuffer::as_fd);
        ring.chain(perf).collect()
    }

    /// Shows no more than this many records.
    pub fn limit(&mut self, records: u64) {
        self.most = Some(records);
    }

    /// Whether the limit is reached.
    pub fn is_enough(&self) -> bool {
        self.most.is_some_and(|most| self.records >= most)
    }

    /// Takes what there is, and shows it: at most a round of each buffer, or, at the end, all.
    pub fn drain(&mut self, output: &mut Output, to_the_end: bool) -> Result<Reader, Failure> {
        loop {
            let before = self.records;
            if let Some(ring) = &self.ring {
                let result = ring.consume_raw_n(ROUND);
                if result < 0 {
                    let error = std::io::Error::from_raw_os_error(-result);
                    let error = anyhow::Error::new(error).context("can not read a ring buffer");
                    return Err(Failure::new(exit_code::OTHER, error));
                }
            }
            for perf in &self.perf {
                perf.consume()
                    .context("can not read a perf buffer")
                    .map_err(|error| Failure::new(exit_code::OTHER, error))?;
            }
            while !self.is_enough()
                && let Some((stream, bytes)) = self.queue.borrow_mut().pop_front()
            {
                output.format.record(&self.streams[stream], &bytes, &mut output.bytes);
                self.records += 1;
            }
            if output.flush()? == Reader::Gone {
                return Ok(Reader::Gone);
            }
            if !to_the_end || self.records == before {
                return Ok(Reader::There);
            }
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let lost = *self.lost.borrow();
        if lost > 0 {
            talk::error(&format!("{lost} records were lost: they came faster than they were read"));
        }
    }
}
