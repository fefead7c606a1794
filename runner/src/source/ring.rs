// SPDX-License-Identifier: MIT
//! Ring buffers as sources.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use bpfpack_spec::{BufferType, Stream};
use libbpf_rs::Object;

use super::{FULL, Mark, RecordSource, Round, map_of, unusable};
use crate::failure::Failure;
use crate::sys::ring::Ring;

/// Records to take before the loop checks the other buffers, the clock and signals. The rendered
/// bytes should still be in the CPU cache when they are written.
const ROUND: usize = 1024;

#[derive(Debug)]
pub(crate) struct RingSource {
    ring: Ring,
    name: String,
}

impl RecordSource for RingSource {
    fn open(object: &Object, stream: &Stream) -> Option<Result<RingSource, Failure>> {
        let open = || {
            let ring = Ring::open(map_of(object, stream)?);
            let ring = ring.map_err(|error| unusable(stream, error.into()))?;
            Ok(RingSource { ring, name: stream.name.clone() })
        };
        (stream.buffer == BufferType::Ring).then(open)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    fn drain(
        &mut self,
        most: usize,
        mut take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
    ) -> io::Result<Round> {
        let fill = self.ring.pending() * FULL as usize / self.ring.size();
        let (taken, more) = self.ring.consume(most.min(ROUND), |records| take(None, records));
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
