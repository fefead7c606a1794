// SPDX-License-Identifier: MIT
//! Sources of frames: buffers of records, and readings of maps, which a thread makes at each
//! interval.

pub(crate) mod bounds;
mod buffer;
pub(crate) mod called;
pub(crate) mod maps;
mod pace;
mod perf;
mod printk;
pub(crate) mod readings;
mod ring;
mod sampler;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;

use bpfpack_spec::Stream;
use libbpf_rs::{MapCore as _, Object};

use crate::failure::{Failure, exit_code};
use crate::sys::map::Map;

pub(crate) use buffer::{Buffer, Verdict};
pub(crate) use pace::Pace;

/// A source of records. Records are passed by reference and not copied.
pub(crate) trait RecordSource: Debug {
    /// Opens the buffer of a stream; `None` if it is of another kind.
    fn open(object: &Object, stream: &Stream) -> Option<Result<Self, Failure>>
    where
        Self: Sized;

    /// A descriptor that is readable when there are records.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Passes up to `most` records to `take`, some at a time, with their CPU if it is known. The
    /// caller does not want more: a source that cannot keep the others drops them; one that can may
    /// pass fewer. If `take` returns false, a source that can keep records stops.
    ///
    /// # Errors
    /// Returns the kernel's error.
    fn drain(
        &mut self,
        most: usize,
        take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
    ) -> io::Result<Round>
    where
        Self: Sized;

    /// Marks the current end of the records.
    fn mark(&self) -> Mark;

    /// Whether everything before a position was read; only for [`Mark::Position`].
    fn has_reached(&self, _position: u64) -> bool {
        true
    }

    /// The number of lost records that the source knows of; `None` if it does not count them.
    fn lost(&self) -> Option<u64> {
        None
    }

    /// Whether programs of the package write to it by calls of BPF helpers, whose failures can be
    /// counted.
    fn is_written_by_programs(&self) -> bool {
        true
    }

    /// What the user can do to make room for more records; `None` if nothing.
    fn how_to_enlarge(&self) -> Option<String> {
        None
    }

    /// A note for the user.
    fn note(&self) -> Option<String> {
        None
    }

    /// A note for the user at the end.
    fn last_note(&self) -> Option<String> {
        None
    }
}

/// Makes an enum of all kinds of sources, so that the compiler inlines the handling of a record
/// into the loop of each source: perf buffers pass one record at a time, and a dynamic call would
/// be measurable.
macro_rules! sources {
    ($($(#[$attribute:meta])* $name:ident($source:ty),)*) => {
        /// An open source of records.
        #[derive(Debug)]
        pub(crate) enum AnySource {
            $($(#[$attribute])* $name($source),)*
        }

        impl AnySource {
            fn open(object: &Object, stream: &Stream) -> Result<AnySource, Failure> {
                $($(#[$attribute])* if let Some(opened) = <$source>::open(object, stream) {
                    return opened.map(AnySource::$name);
                })*
                Err(unusable(stream, anyhow::anyhow!("it has no buffer")))
            }

            fn get(&self) -> &dyn RecordSource {
                match self {
                    $($(#[$attribute])* AnySource::$name(source) => source,)*
                }
            }

            fn drain(
                &mut self,
                most: usize,
                take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
            ) -> io::Result<Round> {
                match self {
                    $($(#[$attribute])* AnySource::$name(source) => source.drain(most, take),)*
                }
            }
        }
    };
}

// A new kind of source is a file, and a row here.
sources! {
    Ring(ring::RingSource),
    Perf(perf::PerfSource),
    Printk(printk::PrintkSource),
    #[cfg(test)]
    Fake(buffer::tests::Fake),
}

fn map_of(object: &Object, stream: &Stream) -> Result<Map, Failure> {
    let mut maps = object.maps();
    let map = maps.find(|map| map.name().to_str() == Some(&stream.name));
    let map = map.ok_or_else(|| unusable(stream, anyhow::anyhow!("the map does not exist")))?;
    Map::of(&map).map_err(|error| unusable(stream, error.into()))
}

fn unusable(stream: &Stream, error: anyhow::Error) -> Failure {
    let error = error.context(format!("cannot read the buffer `{}`", stream.name));
    Failure::new(exit_code::OTHER, error)
}

/// The value of `Round::fill` for a full buffer.
pub(crate) const FULL: u32 = 1024;

/// The result of a round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// The number of records.
    pub(crate) taken: usize,
    /// How full the fullest buffer was before it was read, in parts of [`FULL`].
    pub(crate) fill: usize,
    /// Whether a buffer has more records.
    pub(crate) more: bool,
}

impl Round {
    /// Adds the result of another buffer.
    pub(crate) fn add(&mut self, other: Round) {
        self.taken += other.taken;
        self.fill = self.fill.max(other.fill);
        self.more |= other.more;
    }
}

/// The end of the records in a buffer at some time.
#[derive(Debug)]
pub(crate) enum Mark {
    /// A position in a ring buffer.
    Position(u64),
    /// The number of rounds that read everything a buffer can hold.
    Rounds(usize),
}
