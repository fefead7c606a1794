// SPDX-License-Identifier: MIT
//! Records as logs: the members of a record are the attributes, with their types; the body is the
//! same as text.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bpfpack_decode::field::float;
use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Layout, Member};
use bpfpack_frame::{Reading, Records, Time};
use bpfpack_metrics::otlp::{Attribute, LogRecord};
use bpfpack_render::Format;

use super::queue::Signal;
use super::sender::Shared;
use crate::metrics::texts::{Shown, Texts};

/// Bytes of records that wait until the sender takes them.
const ROOM: usize = 8 << 20;

/// An output that makes logs of records.
#[derive(Debug)]
pub(super) struct LogsOutput {
    shared: Arc<Shared>,
    texts: Texts,
}

impl LogsOutput {
    pub(super) fn new(shared: Arc<Shared>, texts: Texts) -> LogsOutput {
        LogsOutput { shared, texts }
    }
}

impl Format for LogsOutput {
    fn records(&mut self, records: &Records<'_>, _out: &mut Vec<u8>) {
        let event = self.texts.event(records).to_owned();
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(records.time.wall);
        let mut state = self.shared.state();
        for (done, record) in records.bytes.iter().enumerate() {
            if state.logs.size() >= ROOM {
                state.counts.lose(Signal::Logs, (records.bytes.len() - done) as u64);
                break;
            }
            let Shown { members, body } = self.texts.record(records, record);
            let attributes: Vec<(&str, Attribute<'_>)> = members
                .iter()
                .map(|(member, text)| (&*member.name, attribute(member, record, text)))
                .collect();
            let (observed, time) = (time, Some(time));
            let (event_name, attributes) = (&*event, &attributes[..]);
            state.logs.push(&LogRecord { time, observed, event_name, body, attributes });
        }
        drop(state);
        self.shared.note_logs();
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
        let (observed, event_name, attributes) = (SystemTime::now(), self.texts.package(), &[][..]);
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
            Attribute::Int(member.signed(record) as i64)
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
