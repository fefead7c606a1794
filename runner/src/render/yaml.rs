// SPDX-License-Identifier: MIT
//! YAML: one sequence, an item for each record or element. What is inside of members is written as
//! JSON, which YAML includes.

use bpfpack_schemas::printable;

use super::clock::Clock;
use super::{Chunk, Format, Piece, Settings};
use crate::collect::maps::Entry;
use crate::decode::meaning::Names;
use crate::decode::{Layout, json};
use crate::render::tracer::Tracer;
use crate::view::{Stack, Stream, View};

/// The YAML format.
#[derive(Debug)]
pub struct Yaml {
    several: bool,
    clock: Option<Clock>,
    stamps: Option<Clock>,
    names: Option<Names>,
    tracer: Option<Tracer>,
}

/// Where the next key goes: behind the dash, or below the one before.
struct Item {
    is_begun: bool,
}

impl Item {
    fn key(&mut self, key: &str, out: &mut Vec<u8>) {
        self.begin(out);
        json::string(key.as_bytes(), out);
        out.extend_from_slice(b": ");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"  " } else { b"- " });
        self.is_begun = true;
    }
}

impl Yaml {
    /// With what the settings ask for.
    pub fn new(settings: &Settings) -> Yaml {
        let (names, tracer) = settings.words();
        let (clock, stamps) = settings.clocks();
        Yaml { several: settings.several, clock, stamps, names, tracer }
    }

    fn stacks(&mut self, stacks: &[Stack], record: &[u8], item: &mut Item, out: &mut Vec<u8>) {
        let Some(tracer) = self.tracer.as_mut().filter(|_| !stacks.is_empty()) else { return };
        item.key("stacks", out);
        out.push(b'\n');
        for stack in stacks {
            out.extend_from_slice(b"    ");
            json::string(stack.name.as_bytes(), out);
            out.extend_from_slice(b":\n");
            tracer.frames(stack, record, &mut |frame| {
                out.extend_from_slice(b"      - ");
                json::string(frame, out);
                out.push(b'\n');
            });
        }
    }
}

fn time(clock: &mut Option<Clock>, item: &mut Item, out: &mut Vec<u8>) {
    if let Some(clock) = clock {
        item.key("time", out);
        clock.json(out);
        out.push(b'\n');
    }
}

impl Format for Yaml {
    fn tracer(&mut self) -> Option<&mut Tracer> {
        self.tracer.as_mut()
    }

    fn now(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.tick();
        }
    }

    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let kind = &stream.kinds[stream.kind(bytes)];
        if kind.is_malformed(bytes) {
            return false;
        }
        let mut item = Item { is_begun: false };
        time(&mut self.clock, &mut item, out);
        for (key, value, is_shown) in
            [("map", &stream.name, self.several), ("record", &kind.name, stream.kinds.len() > 1)]
        {
            if is_shown {
                item.key(key, out);
                json::string(value.as_bytes(), out);
                out.push(b'\n');
            }
        }
        match &kind.layout {
            Layout::Record(record) => {
                for member in &record.members {
                    item.begin(out);
                    member.key.put(out);
                    out.push(b' ');
                    json::write_member(member, bytes, &mut self.names, out);
                    out.push(b'\n');
                }
            }
            other => {
                item.key("value", out);
                json::write(other, bytes, &mut self.names, out);
                out.push(b'\n');
            }
        }
        self.stacks(&kind.stacks, bytes, &mut item, out);
        true
    }

    fn piece(&mut self, view: &View, entries: &[Entry], piece: Piece) -> Chunk {
        let mut out = Vec::new();
        if let Some(clock) = self.stamps.as_mut().filter(|_| piece.begins()) {
            clock.tick();
        }
        for entry in entries {
            let mut item = Item { is_begun: false };
            time(&mut self.stamps, &mut item, &mut out);
            if self.several {
                item.key("map", &mut out);
                json::string(view.name.as_bytes(), &mut out);
                out.push(b'\n');
            }
            let key = view.key.as_ref().map(|key| ("key", key, &entry.key));
            for (name, layout, bytes) in
                key.into_iter().chain([("value", &view.value, &entry.value)])
            {
                item.key(name, &mut out);
                json::write(layout, bytes, &mut self.names, &mut out);
                out.push(b'\n');
            }
            self.stacks(&view.stacks, &entry.key, &mut item, &mut out);
        }
        Chunk { header: None, body: out }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>) {
        out.extend(chunk.body);
    }

    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in super::lines(text) {
            let mut item = Item { is_begun: false };
            time(&mut self.clock, &mut item, out);
            item.key("text", out);
            json::string(line, out);
            out.push(b'\n');
        }
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"- ");
        out.extend_from_slice(&printable::json(json));
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Member, Record};
    use crate::view::tests::counter_view;
    use crate::view::{RecordKind, StreamKind};

    #[test]
    fn records_and_elements() {
        let mut yaml = Yaml { several: true, clock: None, stamps: None, names: None, tracer: None };
        let members = vec![
            Member::new("pid", 0, Layout::Int { size: 4, signed: false }),
            Member::new("comm", 4, Layout::Text { size: 4 }),
        ];
        let layout = Layout::Record(Record { size: 8, members });
        let stream = Stream {
            index: 0,
            name: "rb".into(),
            kinds: vec![RecordKind::new("event", layout, None)],
            tag: None,
            kind: StreamKind::Ring,
        };
        let mut out = Vec::new();
        assert!(yaml.record(&stream, b"\x07\0\0\0a: b", &mut out));
        let entries = [Entry { key: vec![3], value: 5u64.to_le_bytes().into() }];
        let chunk = yaml.reading(&counter_view(), &entries);
        yaml.chunk(chunk, &mut out);
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        - "map": "rb"
          "pid": 7
          "comm": "a: b"
        - "map": "counts"
          "key": 3
          "value": 5
        "#);
    }
}
