// SPDX-License-Identifier: MIT
//! Values as text for people. Names come from other processes, so [`printable`] escapes them.

use std::io::Write as _;

use bpfpack_decode::field::{part, unsigned};
use bpfpack_decode::{Layout, Member};
use bpfpack_schemas::printable;

use super::json;
use crate::meaning::{self, Names, Value};
use crate::put::{self, scan, string};

/// The text if a record ends before a member.
pub(crate) const MISSING: &[u8] = b"-";

/// Appends a value: a struct as its members, strings without quotes, everything else as in JSON.
pub(crate) fn write(layout: &Layout, bytes: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    match layout {
        Layout::Int { size, signed } if *size < 16 => json::integer(bytes, *size, *signed, out),
        Layout::Text { size } => text_string(&bytes[..bytes.len().min(*size)], out),
        Layout::Rest { element, .. } if matches!(**element, Layout::Text { .. }) => {
            text_string(bytes, out);
        }
        Layout::Struct(record) => {
            for (at, member) in record.members.iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                write_member(member, bytes, names, out);
            }
        }
        Layout::Pointer => drop(write!(out, "{:#x}", unsigned(bytes, 8))),
        Layout::Label { size, names } => match json::label(names, bytes, *size) {
            Ok(name) => string(name.as_bytes(), out),
            Err(index) => drop(write!(out, "{index}")),
        },
        Layout::Enum { size, names, .. } => {
            let (value, name) = json::enumerator(names, bytes, *size);
            let _ = match name {
                Some(name) => {
                    string(name.as_bytes(), out);
                    write!(out, "({value})")
                }
                None => write!(out, "{value}"),
            };
        }
        Layout::Bytes { size } => hex(bytes, *size, out),
        Layout::Array { element, stride, len } => {
            let len = (*len).min(bytes.len().div_ceil((*stride).max(1)));
            list((0..len).map(|at| part(bytes, at * stride)), element, names, out);
        }
        Layout::Rest { element, stride } => {
            list(bytes.chunks_exact((*stride).max(1)), element, names, out);
        }
        Layout::Int { .. } | Layout::Bool | Layout::Float { .. } => {
            let from = out.len();
            json::write(layout, bytes, &mut None, out);
            // Integers of 16 bytes are quoted.
            if out.get(from) == Some(&b'"') {
                out.remove(from);
                out.pop();
            }
        }
    }
}

fn list<'b>(
    elements: impl Iterator<Item = &'b [u8]>,
    layout: &Layout,
    names: &mut Option<Names>,
    out: &mut Vec<u8>,
) {
    out.push(b'[');
    for (at, bytes) in elements.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(layout, bytes, names, out);
    }
    out.push(b']');
}

/// Appends the value of a member: its meaning, if it is known and requested.
pub(crate) fn write_member(
    member: &Member,
    record: &[u8],
    names: &mut Option<Names>,
    out: &mut Vec<u8>,
) {
    if member.is_missing(record) {
        out.extend_from_slice(MISSING);
        return;
    }
    if let Some(text) = member.joined(record) {
        return string(&text, out);
    }
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    if let (Some(meaning), Some(names)) = (&member.meaning, names.as_mut()) {
        let (size, signed) = member.layout.number();
        let from = out.len();
        let value = Value { bytes, size, signed, record };
        if meaning::write(meaning, value, names, out) {
            if !meaning::is_plain(meaning) {
                let found = scan(&out[from..]);
                if !found.is_plain || found.len < out.len() - from {
                    let text = out.split_off(from);
                    string(&text, out);
                }
            }
            return;
        }
    }
    match &member.layout {
        // Inner members are shown with their names, as in existing loaders.
        Layout::Struct(_) => json::write(&member.layout, bytes, names, out),
        Layout::Array { element, .. } if matches!(**element, Layout::Struct(_)) => {
            json::write(&member.layout, bytes, names, out);
        }
        _ => write(&member.layout, bytes, names, out),
    }
}

/// Appends `char[N]` up to its terminating zero.
fn text_string(bytes: &[u8], out: &mut Vec<u8>) {
    let found = scan(bytes);
    match bytes.first_chunk::<16>() {
        _ if !found.is_plain => printable::append(&bytes[..found.len], out),
        Some(start) if found.len <= 16 => put::start(start, found.len, out),
        _ => out.extend_from_slice(&bytes[..found.len]),
    }
}

/// Appends bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8], size: usize, out: &mut Vec<u8>) {
    for byte in bytes.iter().take(size) {
        out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_decode::{Field, Struct};

    fn written(layout: &Layout, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(layout, bytes, &mut None, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn structs_are_their_members_and_terminals_obey_nothing() {
        let key = Layout::Struct(Struct {
            size: 12,
            members: vec![
                Member::new("name", 0, Layout::Text { size: 8 }),
                Member::new("cpu", 8, Layout::Int { size: 4, signed: false }),
            ],
        });
        assert_eq!(written(&key, b"a\x1b[1m\0\0\0\x03\0\0\0"), "a\\x1b[1m 3");
        assert_eq!(written(&key, b"a\xff\xc3\xa9\0"), "a\\xffé -");
    }

    #[test]
    fn what_is_inside_has_its_names_and_texts_in_a_row_are_one() {
        let int = || Layout::Int { size: 4, signed: false };
        let inner = Struct { size: 4, members: vec![Member::new("depth", 0, int())] };
        let mut args = Member::new("args", 8, Layout::Text { size: 16 });
        args.length = Some(Field { offset: 4, size: 4 });
        let members = [
            Member::new("inner", 0, Layout::Struct(inner)),
            Member::new("args_size", 4, int()),
            args,
        ];
        let record = b"\x03\0\0\0\x0c\0\0\0sh\0-c\0exit 0\0z";
        let shown = |member: &Member| {
            let mut out = Vec::new();
            write_member(member, record, &mut None, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&members[0]), r#"{"depth":3}"#);
        assert_eq!(shown(&members[2]), "sh -c exit 0");
        let one = Member { length: Some(Field { offset: 0, size: 4 }), ..members[2].clone() };
        assert_eq!(shown(&one), "sh", "one text");
    }

    #[test]
    fn names_of_a_package_are_obeyed_no_more() {
        let names = vec![(1, "\x1b[2J".to_owned()), (2, "ü".to_owned())];
        let event = Layout::Enum { size: 1, signed: false, names };
        assert_eq!(
            (written(&event, &[1]), written(&event, &[2])),
            ("\\x1b[2J(1)".into(), "ü(2)".into())
        );
        let names = vec![String::new(), "a\nb".to_owned()];
        let label = Layout::Label { size: 1, names };
        assert_eq!((written(&label, &[0]), written(&label, &[1])), ("0".into(), "a\\x0ab".into()));
    }

    #[test]
    fn lists_addresses_and_large_numbers() {
        let names = Box::new(Layout::Text { size: 2 });
        assert_eq!(
            written(&Layout::Array { element: names, stride: 2, len: 2 }, b"abc\0"),
            "[ab,c]"
        );
        assert_eq!(written(&Layout::Pointer, &[0xef, 0xbe]), "0xbeef");
        assert_eq!(written(&Layout::Int { size: 16, signed: false }, &[1]), "1");
        assert_eq!(written(&Layout::Bool, &[1]), "true");
    }
}
