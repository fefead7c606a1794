// SPDX-License-Identifier: MIT
//! The cases to show: streams and views of the structs of any BTF, as [`bpfpack_spec`] would make
//! them of a package. A few bytes of the input choose among what a package can specify.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bpfpack_decode::field::combine;
use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Edges, Layout, Member, Slots};
use bpfpack_frame::Entry;
use bpfpack_render::{Symbolize as _, TimeColumn};
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::Interpreter;
use bpfpack_schemas::printable;
use bpfpack_spec::{BufferType, ReadFrom, RecordType, Shape, Source, Spec, Stacks, Stream, View};

use crate::symbolizer::Symbolizer;
use crate::symbols::{Hurry, Patience, Setup, Symbols};

/// The maximum number of types to show for one input.
const MOST_TYPES: usize = 6;

/// Types with more values are compiled, but not shown.
const MOST_VALUES: usize = 2048;

/// No type is compiled to more values.
const MOST_COMPILED: usize = 1 << 23;

/// The maximum number of records to show for one input.
const MOST_RECORDS: usize = 6;

/// The maximum length of a record in bytes.
const LONGEST: usize = 4096;

/// The sources of one output.
pub(super) struct Case {
    pub spec: Spec,
    /// The entries of the views' readings.
    pub entries: Vec<Entry>,
    /// An upper bound for the output of a record or an entry, in bytes.
    pub most: usize,
}

/// Chosen options of a package and a command line.
#[derive(Clone)]
pub(super) struct Choice {
    /// Whether there are several sources.
    is_several: bool,
    /// Whether the first member distinguishes record types.
    has_tag: bool,
    /// Whether records with stacks are shown as stacks.
    is_event: bool,
    /// Whether members are shown in reverse order, as with `--fields`.
    is_reversed: bool,
    /// Whether times of day are shown, which two writers may show differently.
    pub has_clock: bool,
    pub has_stamps: bool,
    pub time: Option<TimeColumn>,
    /// The shape of values, unless they have slots and edges.
    shape: Shape,
    edges: Option<Edges>,
    /// The first type.
    first: usize,
    /// The number of types that share a buffer.
    kinds: usize,
    /// An annotation for the first member, and others for the following ones; 0 for none.
    meaning: usize,
}

impl Choice {
    /// Takes options from an input; the rest are records.
    pub(super) fn take(input: &[u8]) -> Option<(Choice, Vec<&[u8]>)> {
        let (&[flags, looks, first, kinds, meaning], rest) = input.split_first_chunk()?;
        let has = |bit: u8| flags >> bit & 1 == 1;
        let has_clock = has(4);
        let choice = Choice {
            is_several: has(0),
            has_tag: has(1),
            is_event: has(2),
            is_reversed: has(3),
            has_clock,
            has_stamps: has(5),
            time: match looks & 3 {
                _ if !has_clock => None,
                0 => Some(TimeColumn::Wall),
                1 => Some(TimeColumn::Boot),
                2 => Some(TimeColumn::Delta),
                _ => None,
            },
            shape: if looks >> 2 & 1 == 0 { Shape::Table } else { Shape::KeyValue },
            edges: match looks >> 3 & 7 {
                0 => Some(Edges::Log2),
                1 => Some(Edges::Log2Up),
                2 => Some(Edges::Log2Zero),
                3 => Some(Edges::Log2ZeroUp),
                4 => Some(Edges::Linear { origin: i64::MIN.into(), step: u64::MAX.into() }),
                5 => Some(Edges::Linear { origin: -5, step: 1 }),
                _ => None,
            },
            first: first.into(),
            kinds: usize::from(kinds) % 9,
            meaning: meaning.into(),
        };
        Some((choice, records(rest)))
    }

    /// The same options, but all records are rows.
    fn without_events(&self) -> Choice {
        Choice { is_event: false, ..self.clone() }
    }
}

/// The records of an input: each is preceded by its length, up to 254; 255 means all that is left.
fn records(mut input: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((len, rest)) = input.split_first()
        && found.len() < MOST_RECORDS
    {
        let len = if *len == 255 { rest.len() } else { usize::from(*len) };
        let (record, rest) = rest.split_at(len.min(rest.len()));
        found.push(&record[..record.len().min(LONGEST)]);
        input = rest;
    }
    found
}

/// The cases of an input: each type alone, and some together.
pub(super) fn of(btf: &Btf<'_>, choice: &Choice, records: &[&[u8]]) -> Vec<Case> {
    let is_shown = |ty: &Type<'_>| matches!(ty.kind, Kind::Struct | Kind::Union | Kind::Array);
    let mut types: Vec<Type<'_>> = btf.types().filter(is_shown).collect();
    if types.is_empty() {
        return Vec::new();
    }
    let count = types.len();
    types.rotate_left(choice.first % count);
    types.truncate(MOST_TYPES);
    let names = btf.types().find(|ty| matches!(ty.kind, Kind::Enum | Kind::Enum64));
    let names: Vec<String> =
        names.into_iter().flat_map(Type::enumerators).map(|(name, _)| name.to_owned()).collect();
    let mut cases = Vec::new();
    for (at, ty) in types.iter().enumerate() {
        let kinds: Vec<RecordType> = kind(*ty, choice).into_iter().collect();
        let Some(value) = layout(*ty, choice) else { continue };
        let key = match choice.kinds {
            0 => None,
            1 => Some(Layout::Int { size: 4, signed: true }),
            2 => Some(Layout::Label { size: 2, names: names.clone() }),
            other => layout(types[(at + other) % types.len()], choice),
        };
        cases.extend(case(choice, records, kinds, Some((key, value))));
    }
    let kinds = types.iter().take(choice.kinds).filter_map(|ty| kind(*ty, choice)).collect();
    cases.extend(case(&choice.without_events(), records, kinds, None));
    cases
}

/// Compiles a type; `None` if it is too large to be shown.
fn layout(ty: Type<'_>, choice: &Choice) -> Option<Layout> {
    let mut layout = Layout::of(ty);
    let values = values(&layout);
    assert!(values <= MOST_COMPILED, "{values} values");
    if values > MOST_VALUES {
        return None;
    }
    if let Layout::Struct(record) = &mut layout {
        let known: Vec<&str> = Meaning::all_names().collect();
        let names: Vec<String> = record.members.iter().map(|m| m.name.clone()).collect();
        for (at, name) in names.iter().enumerate().filter(|_| choice.meaning > 0) {
            let meaning = Meaning::named(known[(choice.meaning + at) % known.len()]);
            record.give_meaning(name, meaning.unwrap_or(Meaning::Plain));
        }
        if choice.is_reversed {
            record.members.reverse();
        }
    }
    strip(&mut layout, choice.has_clock);
    Some(layout)
}

/// Removes meanings that are looked up in the system each time; and times of day.
fn strip(layout: &mut Layout, has_clock: bool) {
    match layout {
        Layout::Array { element, .. } | Layout::Rest { element, .. } => strip(element, has_clock),
        Layout::Struct(record) => {
            for member in &mut record.members {
                match member.meaning {
                    Some(
                        Meaning::Cgroup | Meaning::Device | Meaning::Interface | Meaning::Interrupt,
                    ) => {
                        member.meaning = Some(Meaning::Hex);
                    }
                    Some(Meaning::Clock(_)) if !has_clock => member.meaning = None,
                    _ => {}
                }
                strip(&mut member.layout, has_clock);
            }
        }
        _ => {}
    }
}

fn kind(ty: Type<'_>, choice: &Choice) -> Option<RecordType> {
    let layout = layout(ty, choice)?;
    let tag = choice.has_tag.then_some(i64::from(ty.id) - 2);
    let mut kind = RecordType::new(printable::clean(ty.name()), layout, tag);
    kind.stacks = Stacks::default().find(&kind.layout);
    if choice.is_event {
        let as_stack =
            Interpreter::StackTrace { field_map: Default::default(), with_symbols: false };
        if let Some((stacks, event)) = Stacks::annotated(&kind.layout, &as_stack) {
            (kind.stacks, kind.event) = (stacks, Some(event));
        }
    }
    (kind.size > 0).then_some(kind)
}

fn case(
    choice: &Choice,
    records: &[&[u8]],
    kinds: Vec<RecordType>,
    view: Option<(Option<Layout>, Layout)>,
) -> Vec<Case> {
    let longest = records.iter().map(|record| record.len()).max().unwrap_or(0);
    let mut most: usize =
        kinds.iter().map(|kind| kind.name.len() + bytes(&kind.layout, longest)).sum();
    let symbols = Symbols::new(Setup::none(), Patience::Records(Hurry::default()));
    let mut symbolizer = Symbolizer::without_maps(Rc::new(RefCell::new(symbols)));
    for (stack, record) in kinds.iter().flat_map(|kind| &kind.stacks).zip(records.iter().cycle()) {
        assert!(symbolizer.addresses(stack, record).len() <= record.len() / 8);
    }
    let mut sources = Vec::new();
    let tag = kinds.first().and_then(|kind| match &kind.layout {
        Layout::Struct(record) => record.members.first().cloned(),
        _ => None,
    });
    if !kinds.is_empty() {
        let tag = tag.filter(|_| choice.has_tag);
        let name = "events".into();
        let stream = Stream { index: 0, name, records: kinds, tag, buffer: BufferType::Ring };
        sources.push(Source::Stream(Arc::new(stream)));
    }
    let mut entries = Vec::new();
    if let Some((key, value)) = view {
        most += bytes(&value, longest) + key.as_ref().map_or(0, |key| bytes(key, longest));
        entries = entries_of(records, key.as_ref(), &value);
        let slots = Slots::of(&value).or_else(|| Slots::of_array(&value, 0));
        most += slots.map_or(0, |slots| slots.len * 256);
        let shape = match slots.zip(choice.edges) {
            Some((slots, edges)) => Shape::Histogram { slots, edges, unit: "usecs".to_owned() },
            None => choice.shape.clone(),
        };
        let view = View { index: sources.len(), ..self::view(key, value, shape) };
        sources.push(Source::View(Arc::new(view)));
    }
    // Room for headers and columns.
    let most = 8 * (most + 4096);
    if choice.is_several {
        return vec![Case { spec: Spec { sources }, entries, most }];
    }
    let alone =
        |source| Case { spec: Spec { sources: vec![source] }, entries: entries.clone(), most };
    sources.into_iter().map(alone).collect()
}

/// A reading as [`crate::source`] makes it: records are keys, each with another record as its
/// value.
fn entries_of(records: &[&[u8]], key: Option<&Layout>, value: &Layout) -> Vec<Entry> {
    let others = records.iter().cycle().skip(1);
    let entry = |(key, value): (&&[u8], &&[u8])| Entry::new(key, value);
    let mut entries: Vec<Entry> = records.iter().zip(others).map(entry).collect();
    let counters = value.counters(&[]);
    let before = entries.last().cloned();
    for entry in &mut entries {
        let before = before.as_ref().map_or(&[][..], Entry::value);
        combine(entry.value_mut(), before, &counters, u128::wrapping_sub);
    }
    if let Some(key) = key {
        entries.sort_by(|a, b| key.compare(a.key(), b.key()).then_with(|| a.key().cmp(b.key())));
    }
    entries
}

fn view(key: Option<Layout>, value: Layout, shape: Shape) -> View {
    let stacks = key.as_ref().map_or(Vec::new(), |key| Stacks::default().find(key));
    View {
        index: 0,
        name: "counts".to_owned(),
        from: ReadFrom::Stage,
        key,
        counters: value.counters(&[]),
        value,
        shape,
        interval: Duration::from_secs(1),
        differences: false,
        leave_out_zeros: false,
        sort: None,
        stacks,
        average: None,
        per_cpu: false,
    }
}

/// The number of values in a layout.
fn values(layout: &Layout) -> usize {
    match layout {
        Layout::Array { element, len, .. } => len.saturating_mul(values(element)),
        Layout::Rest { element, .. } => values(element).saturating_mul(16),
        Layout::Struct(record) => {
            let all = record.members.iter().map(|member| values(&member.layout));
            all.fold(0, usize::saturating_add).saturating_add(1)
        }
        _ => 1,
    }
}

/// An upper bound for the output of a value, in bytes, for a record of this length. An escaped
/// character takes six bytes.
fn bytes(layout: &Layout, len: usize) -> usize {
    let name = |name: &String| 6 * name.len();
    match layout {
        Layout::Int { .. } | Layout::Pointer | Layout::Bool => 64,
        Layout::Float { .. } => 512,
        Layout::Enum { names, .. } => 64 + names.iter().map(|(_, n)| name(n)).max().unwrap_or(0),
        Layout::Label { names, .. } => 64 + names.iter().map(name).max().unwrap_or(0),
        Layout::Text { size } | Layout::Bytes { size } => 64 + 6 * len.min(*size),
        Layout::Array { element, len: count, .. } => 64 + count * (1 + bytes(element, len)),
        Layout::Rest { element, stride } => {
            64 + 6 * len + len / (*stride).max(1) * (1 + bytes(element, len))
        }
        Layout::Struct(record) => {
            let member = |m: &Member| 64 + name(&m.name) + bytes(&m.layout, len);
            64 + record.members.iter().map(member).sum::<usize>()
        }
    }
}
