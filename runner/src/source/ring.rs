// SPDX-License-Identifier: MIT
//! Ring buffers as sources.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use bpfpack_spec::Stream;

use super::{FULL, Mark, RecordSource, Round, unusable};
use crate::failure::Failure;
use crate::sys::map::Map;
use crate::sys::ring::Ring;

#[derive(Debug)]
struct RingSource {
    ring: Ring,
    name: String,
}

pub(super) fn open(map: Map, stream: &Stream) -> Result<Box<dyn RecordSource>, Failure> {
    let ring = Ring::open(map).map_err(|error| unusable(stream, error.into()))?;
    Ok(Box::new(RingSource { ring, name: stream.name.clone() }))
}

impl RecordSource for RingSource {
    fn fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    fn drain(
        &mut self,
        most: usize,
        take: &mut dyn FnMut(Option<u16>, &[u8]) -> bool,
    ) -> io::Result<Round> {
        let fill = self.ring.pending() * FULL as usize / self.ring.size();
        let (taken, more) = self.ring.consume(most, |record| take(None, record));
        Ok(Round { taken, fill, more })
    }

    fn mark(&self) -> Mark {
        Mark::Position(self.ring.end())
    }

    fn has_reached(&self, position: u64) -> bool {
        self.ring.has_reached(position)
    }

    fn how_to_enlarge(&self) -> Option<String> {
        Some(format!("ecli run --map-entries {}={}", self.name, self.ring.size() * 4))
    }
}
