// SPDX-License-Identifier: MIT
//! Where frames come from: buffers of records, and readings of maps that a thread makes by the
//! clock.

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

/// A source of records. Records are handed over where they are: nothing is copied.
pub(crate) trait RecordSource: Debug {
    /// Opens what holds the records of a stream; none where that is not of this kind.
    fn open(object: &Object, stream: &Stream) -> Option<Result<Self, Failure>>
    where
        Self: Sized;

    /// What is readable when there are records.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Hands up to `most` records to `take`, some at a time, with their CPU where it is known.
    /// Nobody wants those beyond: a source that cannot keep records drops them, and one that can
    /// may hand over fewer. Where `take` answers false, no more are to come, if the source can keep
    /// them.
    ///
    /// # Errors
    /// As the kernel has them.
    fn drain(
        &mut self,
        most: usize,
        take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
    ) -> io::Result<Round>
    where
        Self: Sized;

    /// How far there is something to be read now.
    fn mark(&self) -> Mark;

    /// Whether everything before a position was read; only for [`Mark::Position`].
    fn has_reached(&self, _position: u64) -> bool {
        true
    }

    /// How many records were lost, as far as the source knows; none where it does not count.
    fn lost(&self) -> Option<u64> {
        None
    }

    /// Whether programs of the package write to it by helpers, whose failures can be counted.
    fn is_written_by_programs(&self) -> bool {
        true
    }

    /// What makes room for more records; none where the user cannot make any.
    fn how_to_enlarge(&self) -> Option<String> {
        None
    }

    /// What its reader should know of it.
    fn note(&self) -> Option<String> {
        None
    }

    /// What its reader should know of it at the end.
    fn last_note(&self) -> Option<String> {
        None
    }
}

/// Makes one type of all kinds of sources, so that what is done for a record is compiled into the
/// loop of its source: perf buffers hand over one at a time, and a call through a table would show.
macro_rules! sources {
    ($($(#[$attribute:meta])* $name:ident($source:ty),)*) => {
        /// A source of records, opened.
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

// A new kind of source is a file, and a line here.
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

/// `Round::fill` counts parts of a buffer: a full one has so many.
pub(crate) const FULL: u32 = 1024;

/// What a round has found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Records.
    pub(crate) taken: usize,
    /// The fullest of the buffers before it was read, in parts of [`FULL`].
    pub(crate) fill: usize,
    /// A buffer has more.
    pub(crate) more: bool,
}

impl Round {
    /// Adds what another buffer had.
    pub(crate) fn add(&mut self, other: Round) {
        self.taken += other.taken;
        self.fill = self.fill.max(other.fill);
        self.more |= other.more;
    }
}

/// How far a buffer was filled.
#[derive(Debug)]
pub(crate) enum Mark {
    /// The position in a ring buffer.
    Position(u64),
    /// So many rounds take what there can be.
    Rounds(usize),
}
