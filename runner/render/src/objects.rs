// SPDX-License-Identifier: MIT
//! Formats that show each frame as an object of keys and JSON values, as JSON and YAML. A record is
//! its members; an entry of a map is its `key` and `value`.

use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_decode::{Layout, Struct};
use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::{Source, Stack};

use crate::clock::TimeText;
use crate::common::{Common, Of};
use crate::format::{Format, lines};
use crate::histogram::Histogram;
use crate::meaning::Names;
use crate::put;
use crate::settings::Settings;
use crate::value::json;

/// The syntax of objects.
pub(crate) trait Syntax: Debug {
    /// Whether a record that is not a struct is written as a bare value, not as the key `value` of
    /// an object.
    const HAS_BARE_VALUES: bool;

    /// Whether the object has keys already, for saving and restoring.
    fn has_keys(&mut self) -> &mut bool;

    /// Begins an object.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Appends a key of the format itself, which is quoted; its value follows.
    fn own_key(&mut self, key: &'static str, out: &mut Vec<u8>);

    /// Appends a key; its value follows.
    fn key(&mut self, key: &str, out: &mut Vec<u8>);

    /// Ends a value.
    fn end_value(&mut self, out: &mut Vec<u8>);

    /// Ends an object.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Appends the members of a record as keys and values.
    fn members(
        &mut self,
        _records: &Records<'_>,
        record: &[u8],
        layout: &Struct,
        names: &mut Option<Names>,
        out: &mut Vec<u8>,
    ) {
        for member in &layout.members {
            self.key(&member.name, out);
            json::write_member(member, record, names, out);
            self.end_value(out);
        }
    }

    /// Appends whole objects for records that have only members after the common beginning. Returns
    /// false, and appends nothing, if they must be written one by one.
    fn objects(
        &mut self,
        _records: &Records<'_>,
        _layout: &Struct,
        _begin: &[u8],
        _names: &mut Option<Names>,
        _out: &mut Vec<u8>,
    ) -> bool {
        false
    }

    /// Appends the frames of at least one stack under the key `stacks`.
    fn stacks(&mut self, stacks: &[Stack], record: &[u8], common: &Common, out: &mut Vec<u8>);

    /// Appends a bare JSON value.
    fn value(&mut self, json: &[u8], out: &mut Vec<u8>);
}

/// A format of objects.
#[derive(Debug)]
pub(crate) struct Objects<S> {
    pub(crate) common: Common,
    pub(crate) syntax: S,
}

impl<S: Syntax> Objects<S> {
    pub(crate) fn new(settings: &Settings, syntax: S) -> Objects<S> {
        Objects { common: Common::new(settings), syntax }
    }

    /// Appends what precedes the members of records.
    fn begin(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        self.syntax.begin(out);
        self.time(Of::Record, records.time, out);
        if self.common.several {
            self.text(r#""map""#, records.source.name.as_bytes(), out);
        }
        if records.source.records.len() > 1 {
            self.text(r#""record""#, records.record_type().name.as_bytes(), out);
        }
    }

    #[inline]
    fn time(&mut self, of: Of, time: Time, out: &mut Vec<u8>) {
        if let Some(clock) = self.common.clock(of) {
            self.syntax.own_key(r#""time""#, out);
            clock.json(time, out);
            self.syntax.end_value(out);
        }
    }

    #[inline]
    fn text(&mut self, key: &'static str, value: &[u8], out: &mut Vec<u8>) {
        self.syntax.own_key(key, out);
        json::string(value, out);
        self.syntax.end_value(out);
    }

    #[inline]
    fn value(&mut self, key: &'static str, layout: &Layout, bytes: &[u8], out: &mut Vec<u8>) {
        self.syntax.own_key(key, out);
        json::write(layout, bytes, &mut self.common.names, out);
        self.syntax.end_value(out);
    }

    #[inline]
    fn stacks(&mut self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) {
        if !stacks.is_empty() && self.common.names_frames() {
            self.syntax.stacks(stacks, record, &self.common, out);
        }
    }
}

impl<S: Syntax> Format for Objects<S> {
    fn start(&mut self, sources: &[Source], _out: &mut Vec<u8>) {
        self.common.several = sources.len() > 1;
    }

    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        let ty = records.record_type();
        let layout = match &ty.layout {
            Layout::Struct(layout) => Some(layout),
            _ => None,
        };
        // All objects have the same beginning, unless it contains the time since the previous
        // record.
        let repeats = self.common.clock.as_ref().is_none_or(TimeText::repeats);
        let (mut begin, mut has_keys) = (Vec::new(), false);
        let has_stacks = !ty.stacks.is_empty() && self.common.names_frames();
        if let Some(layout) = layout.filter(|_| repeats && !has_stacks) {
            self.begin(records, &mut begin);
            let names = &mut self.common.names;
            if self.syntax.objects(records, layout, &begin, names, out) {
                return;
            }
            begin.clear();
        }
        for bytes in records.bytes {
            if layout.is_none() && S::HAS_BARE_VALUES {
                json::write(&ty.layout, bytes, &mut self.common.names, out);
                out.push(b'\n');
                continue;
            }
            if begin.is_empty() || !repeats {
                begin.clear();
                self.begin(records, &mut begin);
                has_keys = *self.syntax.has_keys();
            }
            out.extend_from_slice(&begin);
            *self.syntax.has_keys() = has_keys;
            match layout {
                Some(layout) => {
                    self.syntax.members(records, bytes, layout, &mut self.common.names, out);
                }
                None => self.value(r#""value""#, &ty.layout, bytes, out),
            }
            self.stacks(&ty.stacks, bytes, out);
            self.syntax.end(out);
        }
    }

    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>) {
        let view = &*reading.source;
        for entry in &reading.entries[part] {
            self.syntax.begin(out);
            self.time(Of::Reading, reading.time, out);
            if self.common.stamps.is_some() {
                self.syntax.own_key(r#""reading""#, out);
                put::number(reading.number, out);
                self.syntax.end_value(out);
            }
            if self.common.several {
                self.text(r#""map""#, view.name.as_bytes(), out);
            }
            if let Some(key) = &view.key {
                self.value(r#""key""#, key, entry.key(), out);
            }
            self.value(r#""value""#, &view.value, entry.value(), out);
            if self.common.names.is_some()
                && let Some(histogram) = Histogram::of(view)
            {
                self.syntax.own_key(r#""histogram""#, out);
                histogram.json(entry.value(), out);
                self.syntax.end_value(out);
            }
            self.stacks(&view.stacks, entry.key(), out);
            self.syntax.end(out);
        }
    }

    fn text(&mut self, time: Time, text: &[u8], out: &mut Vec<u8>) {
        for line in lines(text) {
            self.syntax.begin(out);
            self.time(Of::Record, time, out);
            self.text(r#""text""#, line, out);
            self.syntax.end(out);
        }
    }

    fn json(&mut self, _time: Time, json: &[u8], out: &mut Vec<u8>) {
        self.syntax.value(json, out);
    }
}
