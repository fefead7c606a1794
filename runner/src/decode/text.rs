// SPDX-License-Identifier: MIT
//! Values as text for people. Names come from other processes, so that control characters are
//! written as `\x1b`: a terminal must not obey them.

use std::fmt::Write as _;

use super::json;
use super::layout::{Layout, part, text};

/// Appends a value: a struct as its members, strings bare, everything else as in JSON.
pub fn write(layout: &Layout, bytes: &[u8], out: &mut String) {
    match layout {
        Layout::Text { size } => string(text(bytes, *size), out),
        Layout::Record(record) => {
            for (at, member) in record.members.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                match member.bits {
                    Some(_) => write(&member.layout, &member.widened(bytes), out),
                    None => write(&member.layout, part(bytes, member.offset), out),
                }
            }
        }
        Layout::Label { size, names } => match json::label(names, bytes, *size) {
            Ok(name) => out.push_str(name),
            Err(index) => drop(write!(out, "{index}")),
        },
        Layout::Enum { size, names, .. } => {
            let (value, name) = json::enumerator(names, bytes, *size);
            let _ = match name {
                Some(name) => write!(out, "{name}({value})"),
                None => write!(out, "{value}"),
            };
        }
        Layout::Bytes { size } => hex(bytes, *size, out),
        _ => {
            let mut json = Vec::new();
            json::write(layout, bytes, &mut json);
            out.push_str(String::from_utf8_lossy(&json).trim_matches('"'));
        }
    }
}

/// A name or unit that a package brings, for terminals.
pub fn clean(text: &str) -> String {
    let mut out = String::new();
    string(text.as_bytes(), &mut out);
    out
}

/// Appends a string that may hold anything.
pub fn string(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let _ = write!(out, "\\x{:02x}", c as u32);
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// Appends bytes in hexadecimal.
pub fn hex(bytes: &[u8], size: usize, out: &mut String) {
    for byte in bytes.iter().take(size) {
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Member, Record};

    #[test]
    fn structs_are_their_members_and_terminals_obey_nothing() {
        let member =
            |name: &str, offset, layout| Member { name: name.into(), offset, bits: None, layout };
        let key = Layout::Record(Record {
            size: 12,
            members: vec![
                member("name", 0, Layout::Text { size: 8 }),
                member("cpu", 8, Layout::Int { size: 4, signed: false }),
            ],
        });
        let mut out = String::new();
        write(&key, b"a\x1b[1m\0\0\0\x03\0\0\0", &mut out);
        assert_eq!(out, "a\\x1b[1m 3");
    }
}
