// SPDX-License-Identifier: MIT
//! Values as JSON, in the spelling of existing loaders: `char[N]` is a string, an enum is
//! `"NAME(n)"`, a 128-bit integer is a decimal string. With [`Names`], members with a meaning are
//! strings with its text.

use std::io::Write as _;

use bpfpack_decode::field::{float, part, signed, unsigned};
use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_schemas::printable::{is_printable, json_escape};

use super::text::{MISSING, hex};
use crate::meaning::{self, Names, Value};
use crate::put::{self, Scan, scan};

/// Appends a value.
pub(crate) fn write(layout: &Layout, bytes: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    match layout {
        Layout::Int { size, signed } => integer(bytes, *size, *signed, out),
        Layout::Pointer => integer(bytes, 8, false, out),
        Layout::Bool => {
            let is_true = bytes.first().is_some_and(|byte| *byte != 0);
            out.extend_from_slice(if is_true { b"true" } else { b"false" });
        }
        Layout::Float { size } => {
            let value = float(bytes, *size);
            match (value.is_finite(), size) {
                (false, _) => out.extend_from_slice(b"null"),
                (true, 4) => number(value as f32, out),
                (true, _) => number(value, out),
            }
        }
        Layout::Enum { size, names, .. } => {
            let (value, name) = enumerator(names, bytes, *size);
            string(format!("{}({value})", name.unwrap_or("<UNKNOWN_VARIANT>")).as_bytes(), out);
        }
        Layout::Label { size, names } => match label(names, bytes, *size) {
            Ok(name) => string(name.as_bytes(), out),
            Err(index) => number(index, out),
        },
        Layout::Text { size } => text_string(&bytes[..bytes.len().min(*size)], out),
        Layout::Array { element, stride, len } => {
            out.push(b'[');
            // If the record ends within the array, the rest is omitted.
            for at in 0..(*len).min(bytes.len().div_ceil((*stride).max(1))) {
                if at > 0 {
                    out.push(b',');
                }
                write(element, part(bytes, at * stride), names, out);
            }
            out.push(b']');
        }
        Layout::Rest { element, .. } if matches!(**element, Layout::Text { .. }) => {
            text_string(bytes, out);
        }
        Layout::Rest { element, stride } => {
            out.push(b'[');
            for (at, bytes) in bytes.chunks_exact((*stride).max(1)).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(element, bytes, names, out);
            }
            out.push(b']');
        }
        Layout::Struct(record) => {
            out.push(b'{');
            write_members(record, bytes, names, out);
            out.push(b'}');
        }
        Layout::Bytes { size } => {
            out.push(b'"');
            hex(bytes, *size, out);
            out.push(b'"');
        }
    }
}

/// Appends the members of a struct, without the braces.
pub(crate) fn write_members(
    record: &Struct,
    bytes: &[u8],
    names: &mut Option<Names>,
    out: &mut Vec<u8>,
) {
    for (at, member) in record.members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(member.name.as_bytes(), out);
        out.push(b':');
        write_member(member, bytes, names, out);
    }
}

/// Appends the value of a member; `null` if the record ends before it.
pub(crate) fn write_member(
    member: &Member,
    record: &[u8],
    names: &mut Option<Names>,
    out: &mut Vec<u8>,
) {
    if member.is_missing(record) {
        out.extend_from_slice(b"null");
        return;
    }
    if let Some(text) = member.joined(record) {
        return string(&text, out);
    }
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    if let (Some(meaning), Some(names)) = (&member.meaning, names.as_mut()) {
        let (size, signed) = member.layout.number();
        let begin = out.len();
        out.push(b'"');
        let from = out.len();
        let value = Value { bytes, size, signed, record };
        if meaning::write(meaning, value, names, out) {
            // A name from elsewhere may have any bytes. Other output is not scanned, because the
            // CPU would wait until what was just written is in the cache.
            let found = (!meaning::is_plain(meaning)).then(|| scan(&out[from..]));
            let is_plain = found.is_none_or(|found| {
                found.is_plain && found.is_unquoted && found.len == out.len() - from
            });
            if &out[from..] == MISSING {
                // The family is of another version.
                out.truncate(begin);
                out.extend_from_slice(b"null");
            } else if is_number(&out[from..]) && matches!(member.layout, Layout::Int { .. }) {
                // A port, or a result that is not an error, stays a number.
                out.remove(begin);
            } else if is_plain {
                out.push(b'"');
            } else {
                let text = out.split_off(from);
                out.truncate(begin);
                string(&text, out);
            }
            return;
        }
        out.truncate(begin);
    }
    write(&member.layout, bytes, names, out);
}

/// Whether a text is a JSON number that is short enough that no reader rounds it.
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    (1..16).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits[0] != b'0')
}

/// The value of an enum, and its name if it has one.
pub(crate) fn enumerator<'n>(
    names: &'n [(i64, String)],
    bytes: &[u8],
    size: usize,
) -> (i128, Option<&'n str>) {
    let (plain, value) = (unsigned(bytes, size), signed(bytes, size));
    let is = |number: &i64| i128::from(*number) == value || *number as u64 as u128 == plain;
    let found = names.iter().find(|(number, _)| is(number));
    match found {
        Some((number, name)) => ((*number).into(), Some(name)),
        None => (plain as i128, None),
    }
}

/// The name of an index, or the index.
pub(crate) fn label<'n>(names: &'n [String], bytes: &[u8], size: usize) -> Result<&'n str, u128> {
    let index = unsigned(bytes, size);
    let name = usize::try_from(index).ok().and_then(|at| names.get(at));
    name.map(String::as_str).filter(|name| !name.is_empty()).ok_or(index)
}

/// Appends an integer. One of 16 bytes is quoted, because JSON readers would round it.
pub(crate) fn integer(bytes: &[u8], size: usize, is_signed: bool, out: &mut Vec<u8>) {
    // The common sizes are not converted to 128 bits, because integers take most of the time of an
    // event.
    match (size, is_signed, bytes) {
        (4, false, [a, b, c, d, ..]) => {
            put::number(u32::from_le_bytes([*a, *b, *c, *d]).into(), out);
        }
        (4, true, [a, b, c, d, ..]) => {
            put::signed_number(i32::from_le_bytes([*a, *b, *c, *d]).into(), out);
        }
        (8, false, [a, b, c, d, e, f, g, h, ..]) => {
            put::number(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), out);
        }
        (16, true, _) => quoted(signed(bytes, 16), out),
        (16, false, _) => quoted(unsigned(bytes, 16), out),
        (_, true, _) => put::signed_number(signed(bytes, size) as i64, out),
        (_, false, _) => put::number(unsigned(bytes, size) as u64, out),
    }
}

fn number(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

fn quoted(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{value}\"");
}

/// Appends `char[N]` as a JSON string, up to its terminating zero.
fn text_string(bytes: &[u8], out: &mut Vec<u8>) {
    let found = scan(bytes);
    out.push(b'"');
    match bytes.first_chunk::<16>() {
        _ if !(found.is_plain && found.is_unquoted) => escaped(&bytes[..found.len], out),
        // The name of a process, which nearly every event has.
        Some(start) if found.len <= 16 => put::start(start, found.len, out),
        _ => out.extend_from_slice(&bytes[..found.len]),
    }
    out.push(b'"');
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    let found = scan(bytes);
    out.push(b'"');
    if found == (Scan { len: bytes.len(), is_plain: true, is_unquoted: true }) {
        out.extend_from_slice(bytes);
    } else {
        escaped(bytes, out);
    }
    out.push(b'"');
}

#[cold]
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\r' => out.extend_from_slice(b"\\r"),
                c if !is_printable(c) => json_escape(c, out),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_decode::meaning::Meaning;

    fn json(layout: &Layout, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(layout, bytes, &mut None, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spellings() {
        let int = |size, signed| Layout::Int { size, signed };
        assert_eq!(json(&int(4, true), &[255; 4]), "-1");
        assert_eq!(json(&int(2, true), &[254, 255]), "-2");
        assert_eq!(json(&int(1, false), &[200]), "200");
        assert_eq!(json(&int(8, false), &[255; 8]), u64::MAX.to_string());
        assert_eq!(json(&int(8, false), &[1]), "1", "what is missing is zero");
        assert_eq!(json(&int(16, false), &[255; 16]), format!("\"{}\"", u128::MAX));
        assert_eq!(json(&int(16, true), &[255; 16]), "\"-1\"");
        assert_eq!(json(&Layout::Pointer, &[1, 0, 0, 0, 0, 0, 0, 0]), "1");
        assert_eq!(json(&Layout::Bool, &[1]), "true");
        assert_eq!(json(&Layout::Float { size: 4 }, &0.1f32.to_le_bytes()), "0.1");
        assert_eq!(json(&Layout::Float { size: 8 }, &f64::NAN.to_le_bytes()), "null");
        let text = Layout::Text { size: 8 };
        assert_eq!(json(&text, b"a\"\\\x1b\n\xff\0x"), "\"a\\\"\\\\\\u001b\\n\u{fffd}\"");
        assert_eq!(json(&text, b"plain"), "\"plain\"");
        let names = vec![(0, "EXEC".to_owned()), (-1, "NONE".to_owned())];
        let event = Layout::Enum { size: 4, signed: false, names };
        assert_eq!(json(&event, &[0; 4]), "\"EXEC(0)\"");
        assert_eq!(json(&event, &[255; 4]), "\"NONE(-1)\"");
        assert_eq!(json(&event, &[7, 0, 0, 0]), "\"<UNKNOWN_VARIANT>(7)\"");
        let label = Layout::Label { size: 4, names: vec!["hi".into(), String::new()] };
        assert_eq!(json(&label, &[0; 4]), "\"hi\"");
        assert_eq!(json(&label, &[1, 0, 0, 0]), "1");
        let element = Box::new(int(1, false));
        assert_eq!(json(&Layout::Array { element, stride: 1, len: 3 }, &[1, 2]), "[1,2]");
        assert_eq!(json(&Layout::Bytes { size: 2 }, &[1, 255, 3]), "\"01ff\"");
    }

    #[test]
    fn what_goes_on_as_long_as_the_bytes_do() {
        let element = Box::new(Layout::Int { size: 2, signed: false });
        let numbers = Layout::Rest { element, stride: 2 };
        assert_eq!(json(&numbers, &[1, 0, 2, 0, 9]), "[1,2]");
        assert_eq!(json(&numbers, &[]), "[]");
        let text = Layout::Rest { element: Box::new(Layout::Text { size: 1 }), stride: 1 };
        assert_eq!(json(&text, b"to the end"), "\"to the end\"");
    }

    #[test]
    fn meanings_are_strings_unless_they_are_numbers() {
        let member = |name: &str, offset, size, meaning| Member {
            meaning: Some(meaning),
            ..Member::new(name, offset, Layout::Int { size, signed: size == 4 })
        };
        let record = Struct {
            size: 16,
            members: vec![
                member("port", 0, 2, Meaning::Port),
                member("ret", 4, 4, Meaning::Result),
                member("bytes", 8, 8, Meaning::Size),
            ],
        };
        let mut names = Names::default();
        names.exact = true;
        let mut names = Some(names);
        let mut shown = |ret: i32| {
            let bytes =
                [&[0x1f, 0x90, 0, 0][..], &ret.to_le_bytes(), &5_000_000u64.to_le_bytes()].concat();
            let mut out = Vec::new();
            write_members(&record, &bytes, &mut names, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(3), r#""port":8080,"ret":3,"bytes":5000000"#);
        assert_eq!(shown(-2), r#""port":8080,"ret":"-ENOENT","bytes":5000000"#);
        assert!(!is_number(b"") && !is_number(b"-") && !is_number(b"007") && !is_number(b"1.2"));
    }

    #[test]
    fn members_behind_the_end_are_null() {
        let record = Layout::Struct(Struct {
            size: 12,
            members: vec![
                Member::new("a", 0, Layout::Int { size: 4, signed: false }),
                Member::new("b", 4, Layout::Text { size: 4 }),
                Member::new("c", 8, Layout::Bool),
            ],
        });
        assert_eq!(json(&record, b"\x01\0\0\0xy"), r#"{"a":1,"b":"xy","c":null}"#);
    }
}
