// SPDX-License-Identifier: MIT
//! Values as JSON, spelled as existing loaders do: `char[N]` is a string, an enum `"NAME(n)"`, a
//! 128-bit integer a decimal string.

use std::io::Write as _;

use super::layout::{Layout, Member, Record, float, part, signed, text, unsigned};

/// Appends a value.
pub fn write(layout: &Layout, bytes: &[u8], out: &mut Vec<u8>) {
    match layout {
        Layout::Int { size: 16, signed: true } => number_text(signed(bytes, 16), out),
        Layout::Int { size: 16, .. } => number_text(unsigned(bytes, 16), out),
        Layout::Int { size, signed: true } => number(signed(bytes, *size), out),
        Layout::Int { size, .. } => number(unsigned(bytes, *size), out),
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
        Layout::Text { size } => string(text(bytes, *size), out),
        Layout::Array { element, stride, len } => {
            out.push(b'[');
            for at in 0..*len {
                if at > 0 {
                    out.push(b',');
                }
                write(element, part(bytes, at * stride), out);
            }
            out.push(b']');
        }
        Layout::Record(record) => write_record(record, bytes, out),
        Layout::Bytes { size } => {
            let mut text = String::new();
            super::text::hex(bytes, *size, &mut text);
            string(text.as_bytes(), out);
        }
    }
}

/// Appends a struct as an object.
pub fn write_record(record: &Record, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, member) in record.members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(member.name.as_bytes(), out);
        out.push(b':');
        write_member(member, bytes, out);
    }
    out.push(b'}');
}

fn write_member(member: &Member, bytes: &[u8], out: &mut Vec<u8>) {
    match member.bits {
        Some(_) => write(&member.layout, &member.widened(bytes), out),
        None => write(&member.layout, part(bytes, member.offset), out),
    }
}

/// The value of an enum, and its name if it has one.
pub fn enumerator<'n>(
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
pub fn label<'n>(names: &'n [String], bytes: &[u8], size: usize) -> Result<&'n str, u128> {
    let index = unsigned(bytes, size);
    let name = usize::try_from(index).ok().and_then(|at| names.get(at));
    name.map(String::as_str).filter(|name| !name.is_empty()).ok_or(index)
}

fn number(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

fn number_text(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{value}\"");
}

/// Appends a JSON string; what is no UTF-8 becomes U+FFFD.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\r' => out.extend_from_slice(b"\\r"),
                c if (c as u32) < 0x20 || c == '\x7f' => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(layout: &Layout, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(layout, bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spellings() {
        let int = |size, signed| Layout::Int { size, signed };
        assert_eq!(json(&int(4, true), &[255; 4]), "-1");
        assert_eq!(json(&int(8, false), &[255; 8]), u64::MAX.to_string());
        assert_eq!(json(&int(16, false), &[255; 16]), format!("\"{}\"", u128::MAX));
        assert_eq!(json(&Layout::Bool, &[1]), "true");
        assert_eq!(json(&Layout::Float { size: 4 }, &0.1f32.to_le_bytes()), "0.1");
        assert_eq!(json(&Layout::Float { size: 8 }, &f64::NAN.to_le_bytes()), "null");
        let text = Layout::Text { size: 8 };
        assert_eq!(json(&text, b"a\"\\\x1b\n\xff\0x"), "\"a\\\"\\\\\\u001b\\n\u{fffd}\"");
        let names = vec![(0, "EXEC".to_owned()), (-1, "NONE".to_owned())];
        let event = Layout::Enum { size: 4, signed: false, names };
        assert_eq!(json(&event, &[0; 4]), "\"EXEC(0)\"");
        assert_eq!(json(&event, &[255; 4]), "\"NONE(-1)\"");
        assert_eq!(json(&event, &[7, 0, 0, 0]), "\"<UNKNOWN_VARIANT>(7)\"");
        let label = Layout::Label { size: 4, names: vec!["hi".into(), String::new()] };
        assert_eq!(json(&label, &[0; 4]), "\"hi\"");
        assert_eq!(json(&label, &[1, 0, 0, 0]), "1");
        let element = Box::new(int(1, false));
        assert_eq!(json(&Layout::Array { element, stride: 1, len: 3 }, &[1, 2]), "[1,2,0]");
    }
}
