// SPDX-License-Identifier: MIT
//! JSON, an object a line: a record is its members, an element of a map `{"key": …, "value": …}`.

use bpfpack_schemas::printable;

use super::clock::Clock;
use super::{Chunk, Format, PerKind, Piece, Settings};
use crate::collect::maps::Entry;
use crate::decode::flat::{Flat, Part};
use crate::decode::json;
use crate::decode::meaning::Names;
use crate::decode::put::Short;
use crate::decode::{Layout, Record};
use crate::render::tracer::Tracer;
use crate::view::{Stack, Stream, View};

/// The JSON format.
#[derive(Debug)]
pub struct Json {
    /// Several views or streams: each object says which it is of.
    several: bool,
    /// The key `time`, where it was asked for.
    clock: Option<Clock>,
    /// The time of readings, likewise.
    stamps: Option<Clock>,
    names: Option<Names>,
    tracer: Option<Tracer>,
    /// The members of records, by stream and kind: all but what is unusual.
    flat: PerKind<Option<Flat>>,
}

impl Json {
    /// With what the settings ask for.
    pub fn new(settings: &Settings) -> Json {
        let (names, tracer) = settings.words();
        let (clock, stamps) = settings.clocks();
        Json { several: settings.several, clock, stamps, names, tracer, flat: PerKind::default() }
    }

    fn map(&self, name: &str, out: &mut Vec<u8>) {
        if self.several {
            out.extend_from_slice(b"\"map\":");
            json::string(name.as_bytes(), out);
            out.push(b',');
        }
    }

    /// Appends `"stacks": {…}` with the names of the addresses, if there are any.
    fn stacks(&mut self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) {
        let Some(tracer) = self.tracer.as_mut().filter(|_| !stacks.is_empty()) else { return };
        out.extend_from_slice(b",\"stacks\":{");
        for (at, stack) in stacks.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::string(stack.name.as_bytes(), out);
            out.extend_from_slice(b":[");
            let mut is_first = true;
            tracer.frames(stack, record, &mut |frame| {
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                json::string(frame, out);
            });
            out.push(b']');
        }
        out.push(b'}');
    }
}

/// The members of a record, to be written in one go.
fn compile(record: &Record, has_names: bool) -> Option<Flat> {
    let mut keys = Vec::new();
    for member in &record.members {
        let mut key = Vec::new();
        key.extend((!keys.is_empty()).then_some(b','));
        member.key.put(&mut key);
        keys.push(Short::new(&key));
    }
    Flat::new(record.members.iter().zip(&keys).map(|(member, before)| Part {
        member: Some(member),
        before,
        width: None,
        quoted: true,
        has_meaning: has_names && member.meaning.is_some(),
    }))
}

fn time(clock: &mut Option<Clock>, out: &mut Vec<u8>) {
    if let Some(clock) = clock {
        out.extend_from_slice(b"\"time\":");
        clock.json(out);
        out.push(b',');
    }
}

impl Format for Json {
    fn tracer(&mut self) -> Option<&mut Tracer> {
        self.tracer.as_mut()
    }

    fn now(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.tick();
        }
    }

    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let at = stream.kind(bytes);
        let kind = &stream.kinds[at];
        if kind.is_malformed(bytes) {
            return false;
        }
        let Layout::Record(record) = &kind.layout else {
            json::write(&kind.layout, bytes, &mut self.names, out);
            out.push(b'\n');
            return true;
        };
        out.push(b'{');
        time(&mut self.clock, out);
        self.map(&stream.name, out);
        if stream.kinds.len() > 1 {
            out.extend_from_slice(b"\"record\":");
            json::string(kind.name.as_bytes(), out);
            out.push(b',');
        }
        let Json { flat, names, .. } = self;
        let has_names = names.is_some();
        let flat = flat.get(stream.index, at, || compile(record, has_names));
        let other = |at: usize, out: &mut Vec<u8>| {
            json::write_member(&record.members[at], bytes, names, out);
        };
        if !flat.as_mut().is_some_and(|flat| flat.write(bytes, out, other)) {
            json::write_members(record, bytes, names, out);
        }
        if !kind.stacks.is_empty() {
            self.stacks(&kind.stacks, bytes, out);
        }
        out.extend_from_slice(b"}\n");
        true
    }

    fn piece(&mut self, view: &View, entries: &[Entry], piece: Piece) -> Chunk {
        let mut out = Vec::new();
        if let Some(clock) = self.stamps.as_mut().filter(|_| piece.begins()) {
            clock.tick();
        }
        for entry in entries {
            out.push(b'{');
            time(&mut self.stamps, &mut out);
            self.map(&view.name, &mut out);
            if let Some(key) = &view.key {
                out.extend_from_slice(b"\"key\":");
                json::write(key, &entry.key, &mut self.names, &mut out);
                out.push(b',');
            }
            out.extend_from_slice(b"\"value\":");
            json::write(&view.value, &entry.value, &mut self.names, &mut out);
            self.stacks(&view.stacks, &entry.key, &mut out);
            out.extend_from_slice(b"}\n");
        }
        Chunk { header: None, body: out }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>) {
        out.extend(chunk.body);
    }

    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in super::lines(text) {
            out.push(b'{');
            time(&mut self.clock, out);
            out.extend_from_slice(b"\"text\":");
            json::string(line, out);
            out.extend_from_slice(b"}\n");
        }
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&printable::json(json));
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::TimeColumn;
    use crate::decode::Member;
    use crate::view::tests::counter_view;
    use crate::view::{RecordKind, StreamKind};

    pub(crate) fn format(several: bool) -> Json {
        Json {
            several,
            clock: None,
            stamps: None,
            names: None,
            tracer: None,
            flat: PerKind::default(),
        }
    }

    #[test]
    fn elements() {
        let entries = [Entry { key: vec![3], value: 5u64.to_le_bytes().into() }];
        let mut out = Vec::new();
        let mut json = format(false);
        let chunk = json.reading(&counter_view(), &entries);
        json.chunk(chunk, &mut out);
        let chunk = format(true).reading(&View { key: None, ..counter_view() }, &entries);
        json.chunk(chunk, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"key\":3,\"value\":5}\n{\"map\":\"counts\",\"value\":5}\n"
        );
    }

    #[test]
    fn records_of_several_kinds() {
        let layout = |name: &str, size| {
            Layout::Record(Record {
                size,
                members: vec![Member::new(name, 0, Layout::Int { size: 4, signed: false })],
            })
        };
        let stream = Stream {
            index: 0,
            name: "rb".into(),
            kinds: vec![
                RecordKind::new("a", layout("x", 4), None),
                RecordKind::new("b", layout("y", 8), None),
            ],
            tag: None,
            kind: StreamKind::Ring,
        };
        let mut json = format(true);
        json.clock = Some(Clock::still(TimeColumn::Boot));
        let mut out = Vec::new();
        assert!(json.record(&stream, &[1, 0, 0, 0], &mut out));
        assert!(json.record(&stream, &[2, 0, 0, 0, 0, 0, 0, 0], &mut out));
        assert!(!json.record(&stream, &[], &mut out), "nothing is in it");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"time\":61.000000,\"map\":\"rb\",\"record\":\"a\",\"x\":1}\n\
             {\"time\":61.000000,\"map\":\"rb\",\"record\":\"b\",\"y\":2}\n"
        );
    }
}
