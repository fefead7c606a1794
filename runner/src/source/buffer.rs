// SPDX-License-Identifier: MIT
//! A buffer of records, with the counts of its records.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bpfpack_frame::{Records, Time};
use bpfpack_spec::{Spec, Stream};
use libbpf_rs::Object;

use super::{AnySource, Mark, Round, unusable};
use crate::failure::Failure;
use crate::talk::Talk;

/// A buffer, opened.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Its description.
    pub(crate) stream: Arc<Stream>,
    source: AnySource,
    /// The number of records that were taken.
    pub(crate) taken: u64,
    /// The number of records that are too short to contain any member, and that no output showed.
    pub(crate) malformed: u64,
    was_reported: bool,
}

/// The result of handling records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    /// The number of records that matched a type.
    pub(crate) taken: u64,
    /// Whether to continue with the next records.
    pub(crate) goes_on: bool,
}

impl Buffer {
    /// Opens the buffers of a spec.
    ///
    /// # Errors
    /// Returns an error that names the buffer that cannot be read.
    pub(crate) fn open_all(object: &Object, spec: &Spec) -> Result<Vec<Buffer>, Failure> {
        let buffer = |stream: &Arc<Stream>| {
            Ok(Buffer::new(Arc::clone(stream), AnySource::open(object, stream)?))
        };
        spec.streams().map(buffer).collect()
    }

    fn new(stream: Arc<Stream>, source: AnySource) -> Buffer {
        Buffer { stream, source, taken: 0, malformed: 0, was_reported: false }
    }

    /// The descriptor to poll.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.source.get().fd()
    }

    /// Passes the records of a round, at most `most`, to `take`.
    pub(crate) fn drain(
        &mut self,
        most: usize,
        round: &mut Round,
        mut take: impl FnMut(&Records<'_>) -> Verdict,
    ) -> Result<(), Failure> {
        let Buffer { stream, source, taken, malformed, .. } = self;
        let time = Time::now();
        let take_batch = |cpu: Option<u16>, bytes: &[&[u8]]| {
            let mut is_enough = false;
            for records in Records::by_type(stream, time, cpu, bytes) {
                let verdict = take(&records);
                *taken += verdict.taken;
                *malformed += records.bytes.len() as u64 - verdict.taken;
                is_enough |= !verdict.goes_on;
            }
            !is_enough
        };
        let found = source.drain(most, take_batch);
        round.add(found.map_err(|error| unusable(stream, error.into()))?);
        Ok(())
    }

    /// Reports the first malformed record.
    pub(crate) fn report_malformed(&mut self, talk: &Talk) {
        if self.malformed > 0 && !self.was_reported {
            self.was_reported = true;
            talk.warning(&format!(
                "a record of `{}` is shorter than all structs of the package; such records are \
                 counted, and not shown",
                self.stream.name
            ));
        }
    }

    /// Marks the current end of the records.
    pub(crate) fn mark(&self) -> Mark {
        self.source.get().mark()
    }

    /// Whether everything before a mark has been read. Call it once after each round.
    pub(crate) fn has_reached(&self, mark: &mut Mark) -> bool {
        match mark {
            Mark::Position(end) => self.source.get().has_reached(*end),
            Mark::Rounds(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        }
    }

    /// The number of lost records according to the source; `None` if it does not count them.
    pub(crate) fn lost(&self) -> Option<u64> {
        self.source.get().lost()
    }

    /// Whether programs of the package write to it by calls of BPF helpers, whose failures can be
    /// counted.
    pub(crate) fn is_written_by_programs(&self) -> bool {
        self.source.get().is_written_by_programs()
    }

    /// What the user can do to make room for more records.
    pub(crate) fn how_to_enlarge(&self) -> Option<String> {
        self.source.get().how_to_enlarge()
    }

    /// A note for the user.
    pub(crate) fn note(&self) -> Option<String> {
        self.source.get().note()
    }

    /// A note for the user at the end.
    pub(crate) fn last_note(&self) -> Option<String> {
        self.source.get().last_note()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::os::fd::AsFd as _;

    use bpfpack_spec::fixtures::stream;

    use super::super::RecordSource;
    use super::*;

    /// A source with fixed records.
    #[derive(Debug)]
    pub(crate) struct Fake(Vec<Vec<u8>>, std::fs::File);

    impl RecordSource for Fake {
        fn open(_object: &Object, _stream: &Stream) -> Option<Result<Fake, Failure>> {
            None
        }

        fn fd(&self) -> BorrowedFd<'_> {
            self.1.as_fd()
        }

        fn drain(
            &mut self,
            most: usize,
            mut take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
        ) -> io::Result<Round> {
            let mut taken = 0;
            while taken < most && !self.0.is_empty() {
                taken += 1;
                if !take(Some(3), &[&self.0.remove(0)]) {
                    break;
                }
            }
            Ok(Round { taken, fill: 7, more: !self.0.is_empty() })
        }

        fn mark(&self) -> Mark {
            Mark::Rounds(2)
        }
    }

    #[test]
    fn records_are_counted_by_what_became_of_them() {
        let records = [&b"\x01\0\0\0a\0\0\0"[..], b"", b"\x02\0\0\0b\0\0\0"].map(<[u8]>::to_vec);
        let file = std::fs::File::open("/dev/null").unwrap();
        let fake = Fake(records.into(), file);
        let mut buffer = Buffer::new(Arc::new(stream()), AnySource::Fake(fake));
        let mut round = Round { taken: 1, fill: 2, more: false };
        let mut seen = Vec::new();
        let mut take = |records: &Records<'_>| {
            assert_eq!((records.cpu, &*records.source.name), (Some(3), "rb"));
            seen.push(records.bytes[0].len());
            let goes_on = !records.are_malformed;
            Verdict { taken: goes_on.into(), goes_on }
        };
        buffer.drain(usize::MAX, &mut round, &mut take).unwrap();
        assert_eq!(
            (round.taken, round.fill, round.more),
            (3, 7, true),
            "one said that it is enough"
        );
        buffer.drain(1, &mut round, &mut take).unwrap();
        assert_eq!((buffer.taken, buffer.malformed, seen), (2, 1, vec![8, 0, 8]));
        let mut mark = buffer.mark();
        assert!(!buffer.has_reached(&mut mark) && buffer.has_reached(&mut mark));
    }
}
