// SPDX-License-Identifier: MIT
//! JSON, an object a line: a record is its members, an element of a map `{"key": …, "value": …}`.

use super::Format;
use crate::collect::maps::Entry;
use crate::decode::json;
use crate::view::{Stream, View};

/// The JSON format.
#[derive(Debug)]
pub struct Json {
    /// Several views or streams: each object says which it is of.
    several: bool,
}

impl Json {
    /// With or without the name of what an object is of.
    pub fn new(several: bool) -> Json {
        Json { several }
    }

    fn name(&self, name: &str, out: &mut Vec<u8>) {
        if self.several {
            out.extend_from_slice(b"\"map\":");
            json::string(name.as_bytes(), out);
            out.push(b',');
        }
    }
}

impl Format for Json {
    fn reading(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        for entry in entries {
            out.push(b'{');
            self.name(&view.name, out);
            if let Some(key) = &view.key {
                out.extend_from_slice(b"\"key\":");
                json::write(key, &entry.key, out);
                out.push(b',');
            }
            out.extend_from_slice(b"\"value\":");
            json::write(&view.value, &entry.value, out);
            out.extend_from_slice(b"}\n");
        }
    }

    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        let kind = &stream.kinds[stream.kind(bytes)];
        json::write(&kind.layout, bytes, out);
        let has_kinds = stream.kinds.len() > 1;
        if (self.several || has_kinds) && out.get(at) == Some(&b'{') {
            let members = out.split_off(at + 1);
            self.name(&stream.name, out);
            if has_kinds {
                out.extend_from_slice(b"\"record\":");
                json::string(kind.name.as_bytes(), out);
                out.push(b',');
            }
            out.extend_from_slice(&members);
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::counter_view;

    #[test]
    fn elements() {
        let entries = [Entry { key: vec![3], value: 5u64.to_le_bytes().into() }];
        let mut out = Vec::new();
        Json::new(false).reading(&counter_view(), &entries, &mut out);
        Json::new(true).reading(&View { key: None, ..counter_view() }, &entries, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"key\":3,\"value\":5}\n{\"map\":\"counts\",\"value\":5}\n"
        );
    }
}
