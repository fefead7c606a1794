// SPDX-License-Identifier: MIT
//! Perf buffers as sources.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use bpfpack_spec::{BufferType, Stream};
use libbpf_rs::Object;

use super::{FULL, Mark, RecordSource, Round, map_of, unusable};
use crate::failure::Failure;
use crate::sys::perf::{PerfBuffer, PerfEvent};

#[derive(Debug)]
pub(crate) struct PerfSource {
    buffer: PerfBuffer,
    name: String,
    /// Bytes of the buffer of one CPU.
    size: usize,
    /// The number of lost records that the kernel has reported.
    told: u64,
}

impl RecordSource for PerfSource {
    fn open(object: &Object, stream: &Stream) -> Option<Result<PerfSource, Failure>> {
        let BufferType::Perf { pages } = stream.buffer else { return None };
        let open = || {
            let buffer = PerfBuffer::open(map_of(object, stream)?, pages);
            let buffer = buffer.map_err(|error| unusable(stream, error.into()))?;
            let size = pages * rustix::param::page_size();
            Ok(PerfSource { buffer, name: stream.name.clone(), size, told: 0 })
        };
        Some(open())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }

    /// libbpf passes all records: those beyond `most` are dropped.
    fn drain(
        &mut self,
        most: usize,
        mut take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
    ) -> io::Result<Round> {
        let (mut taken, mut bytes) = (0, 0);
        let told = &mut self.told;
        self.buffer.consume(|event| match event {
            PerfEvent::Record(cpu, record) if taken < most => {
                take(u16::try_from(cpu).ok(), &[record]);
                taken += 1;
                bytes += record.len();
            }
            PerfEvent::Record(..) => {}
            PerfEvent::Lost(count) => *told += count,
        })?;
        Ok(Round { taken, fill: bytes * FULL as usize / self.size, more: false })
    }

    fn mark(&self) -> Mark {
        Mark::Rounds(1)
    }

    fn lost(&self) -> Option<u64> {
        Some(self.buffer.lost().unwrap_or(self.told))
    }

    fn how_to_enlarge(&self) -> Option<String> {
        Some(format!("`perf_buffer_pages` of the package, for `{}`", self.name))
    }
}
