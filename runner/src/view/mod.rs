// SPDX-License-Identifier: MIT
//! Decides what is shown of a running package: which maps and variables are read periodically, and
//! as what; which buffers' records are shown, and as which struct.
//!
//! Annotations decide first, then what the packer recognised (`view` in the description). In a
//! package of another packer, things are recognised by their types alone:
//! - a map, or a variable in `.bss` or `.data`, whose value has an array `slots` is a log2 histogram;
//! - integers and arrays of integers in `.bss` and `.data` are counters, shown where the package has
//!   nothing else to show.

mod choice;
mod planner;
mod purpose;
mod stacks;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use crate::collect::maps::Reader;
use crate::decode::meaning::Meaning;
use crate::decode::{Edges, Layout, Member, Slots};

pub use planner::plan;
pub use stacks::{Stack, StackEvent, StackPlace, Stacks};
pub use streams::check_fields;
#[cfg(feature = "wasm")]
pub use streams::select as select_fields;

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Views {
    /// What is read periodically.
    pub samples: Vec<Sample>,
    /// What comes by itself.
    pub streams: Vec<Arc<Stream>>,
}

/// What is read periodically, and what it is read from.
#[derive(Debug)]
pub struct Sample {
    /// What it is.
    pub view: Arc<View>,
    /// Where it is read from.
    pub reader: Reader,
}

/// What a reading shows: elements of a map, or variables.
#[derive(Debug)]
pub struct View {
    /// The map's or variable's name.
    pub name: String,
    /// What a key is; none where there is only one entry.
    pub key: Option<Layout>,
    /// What a value is.
    pub value: Layout,
    /// What is drawn of it.
    pub shape: Shape,
    /// Time between readings.
    pub interval: Duration,
    /// Each reading shows what came since the one before.
    pub differences: bool,
    /// The places in a value that count something.
    pub counters: Vec<(usize, usize)>,
    /// An array has elements that nobody ever touched.
    pub leave_out_zeros: bool,
    /// The member that a table is sorted by; the first number where there is none.
    pub sort: Option<String>,
    /// The stacks that its keys name.
    pub stacks: Vec<Stack>,
    /// In text, each member of a key has a column of its own.
    pub wide_key: bool,
}

/// What is drawn of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A histogram for each key.
    Histogram {
        /// Where its slots are.
        slots: Slots,
        /// What they count.
        edges: Edges,
        /// In which unit.
        unit: String,
    },
    /// A table of counters, largest first.
    Table,
    /// A line for each key, with the time.
    KeyValue,
}

/// A buffer of records.
#[derive(Debug)]
pub struct Stream {
    /// Its number among the streams.
    pub index: usize,
    /// The map's name.
    pub name: String,
    /// What a record may be: at least one.
    pub kinds: Vec<RecordKind>,
    /// The member that tells them apart, at the same place in all.
    pub tag: Option<Member>,
    /// What the records come from.
    pub kind: StreamKind,
}

/// What records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A ring buffer.
    Ring,
    /// A perf buffer.
    Perf {
        /// Its pages for each CPU.
        pages: usize,
    },
    /// Lines of `bpf_printk`.
    Lines,
}

/// A struct that records of a buffer may be.
#[derive(Debug)]
pub struct RecordKind {
    /// Its name.
    pub name: String,
    /// What is shown of it.
    pub layout: Layout,
    /// All of it, where some of its members are not shown.
    pub whole: Option<Layout>,
    /// Its size in bytes.
    pub size: usize,
    /// The value of the tag in its records.
    pub tag: Option<i64>,
    /// The stacks in it.
    pub stacks: Vec<Stack>,
    /// The text that a stack's event is shown with, where the package asks for that.
    pub event: Option<StackEvent>,
}

impl RecordKind {
    /// A struct that is shown as a whole.
    pub fn new(name: impl Into<String>, layout: Layout, tag: Option<i64>) -> RecordKind {
        let size = layout.size();
        RecordKind {
            name: name.into(),
            layout,
            whole: None,
            size,
            tag,
            stacks: Vec::new(),
            event: None,
        }
    }

    /// All of it, whatever is shown.
    pub fn all(&self) -> &Layout {
        self.whole.as_ref().unwrap_or(&self.layout)
    }

    /// Whether a record is too short to hold anything of this.
    pub fn is_malformed(&self, record: &[u8]) -> bool {
        match &self.layout {
            Layout::Record(layout) => layout.members.iter().all(|member| member.is_missing(record)),
            _ => record.is_empty(),
        }
    }
}

impl Stream {
    /// Whether records hold stacks, or addresses in the kernel.
    pub fn has_addresses(&self) -> bool {
        self.kinds.iter().any(|kind| {
            let is_address = |member: &Member| member.meaning == Some(Meaning::KernelAddress);
            let has_address =
                matches!(&kind.layout, Layout::Record(record) if record.members.iter().any(is_address));
            has_address || !kind.stacks.is_empty()
        })
    }

    /// Which kind a record is: the one whose tag it has; else the one of its size; else, since
    /// perf buffers pad records, the largest that fits; else the first.
    #[inline]
    pub fn kind(&self, bytes: &[u8]) -> usize {
        if self.kinds.len() == 1 { 0 } else { self.kind_of_several(bytes) }
    }

    fn kind_of_several(&self, bytes: &[u8]) -> usize {
        if let Some(tag) = &self.tag {
            let raw = tag.raw(bytes);
            let bits = tag.bits.map_or(8 * tag.layout.size().min(16) as u32, |(_, len)| len);
            let mask = u128::MAX >> (128 - bits.clamp(1, 128));
            let has = |kind: &RecordKind| {
                kind.tag.is_some_and(|tag| i128::from(tag) as u128 & mask == raw)
            };
            if let Some(at) = self.kinds.iter().position(has) {
                return at;
            }
        }
        // The kernel puts four bytes before a record in a perf buffer, and fills up to eight.
        let size = |kind: &RecordKind| match self.kind {
            StreamKind::Perf { .. } => (kind.size + 4).next_multiple_of(8) - 4,
            _ => kind.size,
        };
        let exact = self.kinds.iter().position(|kind| size(kind) == bytes.len());
        exact.unwrap_or_else(|| {
            let fitting = self.kinds.iter().enumerate().filter(|(_, k)| size(k) <= bytes.len());
            fitting.max_by_key(|(_, kind)| size(kind)).map_or(0, |(at, _)| at)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use libbpf_rs::MapType;

    use super::*;
    use crate::collect::maps::SectionReader;
    use crate::sys::map::Map;

    /// A view that is read from nothing.
    pub(crate) fn sample(view: View) -> Sample {
        let map = Map::fake(MapType::Array, 4, 0, 1);
        let reader = SectionReader { map, parts: Vec::new(), len: 0 };
        Sample { view: Arc::new(view), reader: Reader::Section(reader) }
    }

    /// A hash map of a byte to a counter.
    pub(crate) fn counter_view() -> View {
        View {
            name: "counts".into(),
            key: Some(Layout::Int { size: 1, signed: false }),
            value: Layout::Int { size: 8, signed: false },
            shape: Shape::Table,
            interval: Duration::from_secs(1),
            differences: true,
            counters: vec![(0, 8)],
            leave_out_zeros: false,
            sort: None,
            stacks: Vec::new(),
            wide_key: false,
        }
    }

    #[test]
    fn records_are_told_apart_by_tag_and_by_size() {
        let kind = |name: &str, size, tag| RecordKind::new(name, Layout::Bytes { size }, tag);
        let mut stream = Stream {
            index: 0,
            name: "rb".into(),
            kinds: vec![kind("a", 8, Some(1)), kind("b", 16, Some(-2)), kind("c", 24, None)],
            tag: None,
            kind: StreamKind::Ring,
        };
        let kind_of = |stream: &Stream, first: u8, len: usize| {
            stream.kind(&[&[first][..], &vec![0xff; len - 1]].concat())
        };
        assert_eq!([8, 16, 24, 20, 4].map(|len| kind_of(&stream, 1, len)), [0, 1, 2, 1, 0]);
        let layout = Layout::Int { size: 1, signed: true };
        stream.tag = Some(Member::new("t", 0, layout));
        assert_eq!(kind_of(&stream, 1, 24), 0);
        assert_eq!(kind_of(&stream, 0xfe, 8), 1);
        assert_eq!(kind_of(&stream, 9, 24), 2);
        // A tag of 4 GB is one of 16 bytes.
        stream.tag = Some(Member::new("t", 0, Layout::Text { size: u32::MAX as usize }));
        assert_eq!(kind_of(&stream, 1, 24), 2);
        // A record of 16 bytes is 20 in a perf buffer.
        stream.tag = None;
        stream.kind = StreamKind::Perf { pages: 1 };
        stream.kinds = vec![kind("a", 16, None), kind("b", 24, None)];
        assert_eq!([20, 28].map(|len| kind_of(&stream, 1, len)), [0, 1]);
    }
}
