// SPDX-License-Identifier: MIT
//! YAML: one sequence with an item for each record or entry. Values within members are written as
//! JSON, which is a subset of YAML.

use bpfpack_schemas::printable;
use bpfpack_spec::Stack;

use crate::common::Common;
use crate::format::FormatKind;
use crate::objects::{Objects, Syntax};
use crate::value::json;

/// The YAML format.
pub(crate) static KIND: FormatKind = FormatKind {
    name: "yaml",
    has_meanings: false,
    is_structured: true,
    make: |settings| Box::new(Objects::new(settings, Yaml::default())),
};

/// The position of the next key: after the dash, or below the previous key.
#[derive(Debug, Default)]
struct Yaml {
    has_keys: bool,
}

impl Yaml {
    fn indent(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.has_keys { b"  " } else { b"- " });
        self.has_keys = true;
    }
}

impl Syntax for Yaml {
    const HAS_BARE_VALUES: bool = false;

    fn has_keys(&mut self) -> &mut bool {
        &mut self.has_keys
    }

    fn begin(&mut self, _out: &mut Vec<u8>) {
        self.has_keys = false;
    }

    fn own_key(&mut self, key: &'static str, out: &mut Vec<u8>) {
        self.indent(out);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b": ");
    }

    fn key(&mut self, key: &str, out: &mut Vec<u8>) {
        self.indent(out);
        json::string(key.as_bytes(), out);
        out.extend_from_slice(b": ");
    }

    fn end_value(&mut self, out: &mut Vec<u8>) {
        out.push(b'\n');
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}

    fn stacks(&mut self, stacks: &[Stack], record: &[u8], common: &Common, out: &mut Vec<u8>) {
        self.own_key(r#""stacks""#, out);
        self.end_value(out);
        for stack in stacks {
            out.extend_from_slice(b"    ");
            json::string(stack.name.as_bytes(), out);
            out.extend_from_slice(b":\n");
            common.frames(stack, record, &mut |frame| {
                out.extend_from_slice(b"      - ");
                json::string(frame, out);
                out.push(b'\n');
            });
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
    use std::sync::Arc;

    use bpfpack_frame::{Entry, Reading};
    use bpfpack_spec::fixtures::{counter_view, stream};

    use super::*;
    use crate::clock::tests::TIME;
    use crate::format::Format as _;
    use crate::format::tests::show;

    #[test]
    fn records_and_elements() {
        let common = Common { several: true, ..Common::default() };
        let mut yaml = Objects { common, syntax: Yaml::default() };
        let mut out = Vec::new();
        show(&mut yaml, &stream(), &[b"\x07\0\0\0a: b"], &mut out);
        let entries = vec![Entry::new(&[3], &5u64.to_le_bytes())];
        let reading = Reading::new(Arc::new(counter_view()), TIME, entries);
        yaml.reading(reading.clone(), &mut out);
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
