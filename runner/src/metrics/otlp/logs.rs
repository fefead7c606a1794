// SPDX-License-Identifier: MIT
//! Records as logs: the members of a record are the attributes, with their types; the body is the
//! same as text.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bpfpack_decode::field::{float, signed};
use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Layout, Member};
use bpfpack_frame::{Reading, Records, Time};
use bpfpack_metrics::leaves;
use bpfpack_metrics::otlp::{Attribute, LogRecord};
use bpfpack_render::{Format, Labels};

use super::queue::Signal;
use super::sender::Shared;

/// Bytes of records that wait until the sender takes them.
const ROOM: usize = 8 << 20;

/// An output that makes logs of records.
#[derive(Debug)]
pub(super) struct LogsOutput {
    shared: Arc<Shared>,
    labels: Labels,
    /// The package's name, in the names of events.
    package: String,
    /// The members of each record type, by source and type.
    types: Vec<Vec<Option<Type>>>,
    body: String,
    /// The texts of a record's members, one after the other.
    texts: Vec<u8>,
}

#[derive(Debug)]
struct Type {
    event: String,
    members: Vec<Member>,
}

impl LogsOutput {
    pub(super) fn new(shared: Arc<Shared>, labels: Labels, package: &str) -> LogsOutput {
        let (types, body, texts) = (Vec::new(), String::new(), Vec::new());
        LogsOutput { shared, labels, package: package.to_owned(), types, body, texts }
    }

    /// Makes the list of members at the first record of a type.
    fn prepare(&mut self, records: &Records<'_>) {
        let (source, ty) = (records.source.index, records.ty);
        if self.types.len() <= source {
            self.types.resize_with(source + 1, Vec::new);
        }
        if self.types[source].len() <= ty {
            self.types[source].resize_with(ty + 1, || None);
        }
        let package = &self.package;
        self.types[source][ty].get_or_insert_with(|| {
            let stream = records.source;
            let event = match stream.records.len() {
                1 => format!("{package}.{}", stream.name),
                _ => format!("{package}.{}.{}", stream.name, records.record_type().name),
            };
            Type { event, members: leaves(&records.record_type().layout, "value") }
        });
    }
}

impl Format for LogsOutput {
    fn records(&mut self, records: &Records<'_>, _out: &mut Vec<u8>) {
        self.prepare(records);
        let LogsOutput { shared, labels, types, body, texts, .. } = self;
        let Some(Type { event, members }) = &types[records.source.index][records.ty] else {
            return;
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(records.time.wall);
        let mut state = shared.state();
        for (done, record) in records.bytes.iter().enumerate() {
            if state.logs.size() >= ROOM {
                state.counts.lose(Signal::Logs, (records.bytes.len() - done) as u64);
                break;
            }
            texts.clear();
            let write = |member: &Member| {
                let begin = texts.len();
                labels.write(member, record, texts);
                begin..texts.len()
            };
            let ranges: Vec<Range<usize>> = members.iter().map(write).collect();
            body.clear();
            let mut attributes = Vec::with_capacity(members.len());
            for (member, range) in members.iter().zip(ranges) {
                let text = std::str::from_utf8(&texts[range]).unwrap_or_default();
                if member.is_missing(record) {
                    continue;
                }
                push_pair(&member.name, text, body);
                attributes.push((&*member.name, attribute(member, record, text)));
            }
            let (observed, time) = (time, Some(time));
            let (event_name, attributes) = (&**event, &attributes[..]);
            state.logs.push(&LogRecord { time, observed, event_name, body, attributes });
        }
        drop(state);
        shared.note_logs();
    }

    fn entries(&mut self, _: &Rc<Reading>, _: Range<usize>, _: &mut Vec<u8>) {}

    fn text(&mut self, _: Time, text: &[u8], _: &mut Vec<u8>) {
        self.plain(&String::from_utf8_lossy(text));
    }

    fn json(&mut self, _: Time, json: &[u8], _: &mut Vec<u8>) {
        self.plain(&String::from_utf8_lossy(json));
    }
}

impl LogsOutput {
    /// Makes a log of a text from a stage.
    fn plain(&mut self, body: &str) {
        let mut state = self.shared.state();
        if state.logs.size() >= ROOM {
            return state.counts.lose(Signal::Logs, 1);
        }
        let (observed, event_name, attributes) = (SystemTime::now(), &*self.package, &[][..]);
        let time = Some(observed);
        state.logs.push(&LogRecord {
            time,
            observed,
            event_name,
            body: body.trim_end(),
            attributes,
        });
        drop(state);
        self.shared.note_logs();
    }
}

/// Appends `NAME=VALUE`, with quotes where the value needs them.
fn push_pair(name: &str, value: &str, out: &mut String) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(name);
    out.push('=');
    let is_bare = |c: char| !c.is_whitespace() && c != '"' && c != '=';
    if !value.is_empty() && value.chars().all(is_bare) {
        out.push_str(value);
    } else {
        out.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
}

/// The value of a member with its type. What has a meaning is a text, except for quantities.
fn attribute<'a>(member: &Member, record: &[u8], text: &'a str) -> Attribute<'a> {
    let has_text = !matches!(
        member.meaning,
        None | Some(Meaning::Plain | Meaning::Duration(_) | Meaning::Size)
    );
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    match &member.layout {
        Layout::Int { size, signed: true } if *size <= 8 && !has_text => {
            let size = if member.bits.is_some() { 16 } else { *size };
            Attribute::Int(signed(bytes, size) as i64)
        }
        Layout::Int { size, .. } if *size <= 8 && !has_text => {
            Attribute::Unsigned(member.raw(record) as u64)
        }
        Layout::Bool => Attribute::Bool(member.raw(record) != 0),
        Layout::Float { size } => Attribute::Double(float(bytes, *size)),
        _ => Attribute::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_can_be_taken_apart() {
        let mut body = String::new();
        for (name, value) in [("comm", "sh"), ("args", "a \"b\" \\"), ("empty", ""), ("pid", "7")] {
            push_pair(name, value, &mut body);
        }
        assert_eq!(body, r#"comm=sh args="a \"b\" \\" empty="" pid=7"#);
    }

    #[test]
    fn attributes_have_types() {
        let int = |size, signed| Layout::Int { size, signed };
        let of = |layout: Layout, meaning, bytes: &[u8]| {
            let member = Member { meaning, ..Member::new("x", 0, layout) };
            format!("{:?}", attribute(&member, bytes, "text"))
        };
        assert_eq!(of(int(4, false), None, &[255; 4]), "Unsigned(4294967295)");
        assert_eq!(of(int(4, true), None, &[255; 4]), "Int(-1)");
        assert_eq!(
            of(int(8, false), Some(Meaning::Size), &[1, 0, 0, 0, 0, 0, 0, 0]),
            "Unsigned(1)"
        );
        assert_eq!(of(int(4, true), Some(Meaning::Errno), &[2, 0, 0, 0]), "String(\"text\")");
        assert_eq!(of(Layout::Bool, None, &[1]), "Bool(true)");
        assert_eq!(of(Layout::Float { size: 8 }, None, &1.5f64.to_le_bytes()), "Double(1.5)");
        assert_eq!(of(Layout::Text { size: 2 }, None, b"a\0"), "String(\"text\")");
    }
}
