// SPDX-License-Identifier: MIT
//! JSON, one object per line: a record is its members; an entry of a map is `{"key": …, "value":
//! …}`.

use bpfpack_decode::Struct;
use bpfpack_frame::Records;
use bpfpack_schemas::printable;
use bpfpack_spec::Stack;

use crate::common::Common;
use crate::format::{FormatKind, PerType};
use crate::meaning::Names;
use crate::objects::{Objects, Syntax};
use crate::value::flat::{Flat, Part};
use crate::value::json;

/// The JSON format.
pub(crate) static KIND: FormatKind = FormatKind {
    name: "json",
    has_meanings: false,
    is_structured: true,
    make: |settings| Box::new(Objects::new(settings, Json::default())),
};

#[derive(Debug, Default)]
struct Json {
    /// Whether the object has a key already.
    has_keys: bool,
    /// The compiled members of records, by stream and type; the general writer handles unusual
    /// members.
    flat: PerType<Option<Flat>>,
}

impl Json {
    /// Appends a comma before a key, unless it is the first one.
    #[inline]
    fn comma(&mut self, out: &mut Vec<u8>) {
        if self.has_keys {
            out.push(b',');
        }
        self.has_keys = true;
    }
}

/// Compiles the members of a record, to write them in one loop.
fn compile(record: &Struct, has_names: bool) -> Option<Flat> {
    let mut keys = Vec::new();
    for member in &record.members {
        let mut key = Vec::new();
        key.extend((!keys.is_empty()).then_some(b','));
        json::string(member.name.as_bytes(), &mut key);
        key.push(b':');
        keys.push(key);
    }
    Flat::new(record.members.iter().zip(&keys).map(|(member, before)| Part {
        member: Some(member),
        before,
        width: None,
        quoted: true,
        has_meaning: has_names && member.meaning.is_some(),
    }))
}

/// Appends the members of a record, in one loop if possible.
#[inline]
fn write(
    flat: Option<&mut Flat>,
    layout: &Struct,
    record: &[u8],
    names: &mut Option<Names>,
    out: &mut Vec<u8>,
) {
    let other = |at: usize, out: &mut Vec<u8>| {
        json::write_member(&layout.members[at], record, names, out);
    };
    if !flat.is_some_and(|flat| flat.write(record, out, other)) {
        json::write_members(layout, record, names, out);
    }
}

impl Syntax for Json {
    const HAS_BARE_VALUES: bool = true;

    #[inline]
    fn has_keys(&mut self) -> &mut bool {
        &mut self.has_keys
    }

    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.has_keys = false;
        out.push(b'{');
    }

    #[inline]
    fn own_key(&mut self, key: &'static str, out: &mut Vec<u8>) {
        self.comma(out);
        out.extend_from_slice(key.as_bytes());
        out.push(b':');
    }

    fn key(&mut self, key: &str, out: &mut Vec<u8>) {
        self.comma(out);
        json::string(key.as_bytes(), out);
        out.push(b':');
    }

    #[inline]
    fn end_value(&mut self, _out: &mut Vec<u8>) {}

    #[inline]
    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"}\n");
    }

    #[inline]
    fn members(
        &mut self,
        records: &Records<'_>,
        record: &[u8],
        layout: &Struct,
        names: &mut Option<Names>,
        out: &mut Vec<u8>,
    ) {
        if layout.members.is_empty() {
            return;
        }
        self.comma(out);
        let has_names = names.is_some();
        let flat = self.flat.get(records.source.index, records.ty, || compile(layout, has_names));
        write(flat.as_mut(), layout, record, names, out);
    }

    fn objects(
        &mut self,
        records: &Records<'_>,
        layout: &Struct,
        begin: &[u8],
        names: &mut Option<Names>,
        out: &mut Vec<u8>,
    ) -> bool {
        if layout.members.is_empty() {
            return false;
        }
        let has_names = names.is_some();
        let flat = self.flat.get(records.source.index, records.ty, || compile(layout, has_names));
        let Some(flat) = flat else { return false };
        let comma: &[u8] = if self.has_keys { b"," } else { b"" };
        let begin = [begin, comma].concat();
        for record in records.bytes {
            out.extend_from_slice(&begin);
            write(Some(flat), layout, record, names, out);
            out.extend_from_slice(b"}\n");
        }
        true
    }

    fn stacks(&mut self, stacks: &[Stack], record: &[u8], common: &Common, out: &mut Vec<u8>) {
        self.own_key(r#""stacks""#, out);
        let mut before = b'{';
        for stack in stacks {
            out.push(before);
            before = b',';
            json::string(stack.name.as_bytes(), out);
            out.extend_from_slice(b":[");
            let mut is_first = true;
            common.frames(stack, record, &mut |frame| {
                out.extend((!is_first).then_some(b','));
                is_first = false;
                json::string(frame, out);
            });
            out.push(b']');
        }
        out.push(b'}');
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&printable::json(json));
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_decode::{Layout, Member};
    use bpfpack_frame::{Entry, Reading};
    use bpfpack_spec::fixtures::counter_view;
    use bpfpack_spec::{BufferType, RecordType, Stream, View};

    use super::*;
    use crate::clock::TimeColumn;
    use crate::clock::tests::{TIME, clock};
    use crate::format::Format as _;

    fn format(several: bool) -> Objects<Json> {
        Objects { common: Common { several, ..Common::default() }, syntax: Json::default() }
    }

    #[test]
    fn elements() {
        let entries = || vec![Entry::new(&[3], &5u64.to_le_bytes())];
        let reading = |view| Reading::new(Arc::new(view), TIME, entries());
        let mut out = Vec::new();
        format(false).reading(reading(counter_view()), &mut out);
        format(true).reading(reading(View { key: None, ..counter_view() }), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"key\":3,\"value\":5}\n{\"map\":\"counts\",\"value\":5}\n"
        );
    }

    #[test]
    fn records_of_several_types() {
        let layout = |name: &str, size| {
            Layout::Struct(Struct {
                size,
                members: vec![Member::new(name, 0, Layout::Int { size: 4, signed: false })],
            })
        };
        let stream = Stream {
            index: 0,
            name: "rb".into(),
            records: vec![
                RecordType::new("a", layout("x", 4), None),
                RecordType::new("b", layout("y", 8), None),
                RecordType::new("c", Layout::Struct(Struct::default()), None),
            ],
            tag: None,
            buffer: BufferType::Ring,
        };
        let mut json = format(true);
        json.common.clock = Some(clock(TimeColumn::Boot));
        let mut out = Vec::new();
        let bytes: [&[u8]; 2] = [&[1, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0]];
        for records in Records::by_type(&stream, TIME, None, &bytes) {
            json.records(&records, &mut out);
            if records.ty == 1 {
                json.records(&Records { ty: 2, ..records }, &mut out);
            }
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"time\":61.000000,\"map\":\"rb\",\"record\":\"a\",\"x\":1}\n\
             {\"time\":61.000000,\"map\":\"rb\",\"record\":\"b\",\"y\":2}\n\
             {\"time\":61.000000,\"map\":\"rb\",\"record\":\"c\"}\n"
        );
    }
}
