// SPDX-License-Identifier: MIT
//! Writes the usual members of a record, numbers and short strings, in one loop. The general
//! writers handle all others. The output position stays in a register, and lengths are known before
//! digits are written, which is three times as fast as appending each piece.

use bpfpack_decode::field::{signed, unsigned};
use bpfpack_decode::{Layout, Member};

use crate::meaning;
use crate::put::{self, CHUNK};
use crate::width;

/// The maximum length of a string that is written here.
const LONGEST: usize = 64;

/// The maximum length of a number with its sign, in bytes.
const NUMBER: usize = 21;

/// Bytes after the output that may be overwritten.
const BEHIND: usize = 3 * CHUNK;

/// Bytes of a step's output that are cached.
const KEPT: usize = 2 * CHUNK;

#[cfg(fuzzing)]
thread_local! {
    /// Disables this writer, to compare it with the general one.
    pub static IS_OFF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The members of a record type, compiled for a format.
#[derive(Debug)]
pub(crate) struct Flat {
    steps: Vec<Step>,
    /// The maximum number of bytes for a record, without the output of other writers.
    room: usize,
    /// The minimum size of a record in bytes; in a shorter one, a member may be missing.
    least: usize,
    /// A buffer for a record before it is appended, so that overwritten bytes need not be cleared
    /// for each record.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Step {
    /// The text before the value.
    before: [u8; CHUNK],
    before_len: usize,
    value: Value,
    offset: usize,
    /// The width to which the value is padded, with a space after it; `None` without padding.
    width: Option<usize>,
    /// The number of bytes that alone determine the output; `None` if it depends on more, or on
    /// names.
    key: Option<usize>,
    last: Last,
}

/// The last output of a step, which is copied if the same value follows: records of one process
/// come in a row, and most of their members are equal.
#[derive(Debug)]
struct Last {
    key: u128,
    /// The output and its length, which is 0 until the same value has come twice.
    text: [u8; KEPT],
    len: usize,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    U32,
    I32,
    U64,
    I64,
    Small {
        size: usize,
        signed: bool,
    },
    Text {
        size: usize,
        quoted: bool,
    },
    /// Written by another writer, as ASCII or as any text.
    Other {
        is_ascii: bool,
    },
}

/// A member for a format.
#[derive(Debug)]
pub(crate) struct Part<'m> {
    /// The member; `None` if records have no value there, which another writer handles.
    pub member: Option<&'m Member>,
    /// The text before its value.
    pub before: &'m [u8],
    /// The width to which it is padded.
    pub width: Option<usize>,
    /// Whether strings are quoted.
    pub quoted: bool,
    /// Whether its meaning is shown, which another writer handles.
    pub has_meaning: bool,
}

impl Flat {
    /// Compiles members; `None` if something is too long.
    pub(crate) fn new<'m>(parts: impl IntoIterator<Item = Part<'m>>) -> Option<Flat> {
        #[cfg(fuzzing)]
        if IS_OFF.get() {
            return None;
        }
        let mut flat = Flat { steps: Vec::new(), room: BEHIND, least: 0, scratch: Vec::new() };
        for part in parts {
            let mut before = [0; CHUNK];
            let before_len = part.before.len();
            before.get_mut(..before_len)?.copy_from_slice(part.before);
            if part.width.is_some_and(|width| width >= 2 * CHUNK) {
                return None;
            }
            let usual = part.member.filter(|member| {
                !part.has_meaning && member.bits.is_none() && member.length.is_none()
            });
            let value = match usual.map_or(&Layout::Bool, |member| &member.layout) {
                Layout::Int { size: 4, signed: false } => Value::U32,
                Layout::Int { size: 4, signed: true } => Value::I32,
                Layout::Int { size: 8, signed: false } => Value::U64,
                Layout::Int { size: 8, signed: true } => Value::I64,
                &Layout::Int { size: size @ 1..=8, signed } => Value::Small { size, signed },
                &Layout::Text { size } if size <= LONGEST => {
                    Value::Text { size, quoted: part.quoted }
                }
                _ => Value::Other { is_ascii: is_ascii(part.member) },
            };
            let (bytes, room) = match value {
                Value::Other { .. } => (part.member.map_or(1, |m| m.layout.size().clamp(1, 16)), 0),
                Value::Text { size, .. } => (size, size + 2),
                _ => (usual.map_or(0, |member| member.layout.size()), NUMBER),
            };
            let offset = part.member.map(|member| member.offset);
            flat.least = flat.least.max(offset.map_or(0, |offset| offset + bytes));
            flat.room += before_len + room + part.width.map_or(0, |width| width + 1);
            flat.steps.push(Step {
                before,
                before_len,
                value,
                offset: offset.unwrap_or(0),
                width: part.width,
                key: part.member.and_then(|member| key(member, part.has_meaning)),
                last: Last { key: 0, text: [0; KEPT], len: 0 },
            });
        }
        flat.scratch = vec![0; flat.room];
        Some(flat)
    }

    /// Appends the members of a record. Returns false, and appends nothing, if the record is too
    /// short. `other` appends the value of the member at an index.
    pub(crate) fn write(
        &mut self,
        record: &[u8],
        out: &mut Vec<u8>,
        mut other: impl FnMut(usize, &mut Vec<u8>),
    ) -> bool {
        if record.len() < self.least {
            return false;
        }
        let Flat { steps, room: longest, scratch, .. } = self;
        let mut at = 0;
        for (index, step) in steps.iter_mut().enumerate() {
            let start = at;
            let mut is_repeated = false;
            if let Some(size) = step.key {
                let key = raw(&record[step.offset..], size);
                is_repeated = key == step.last.key;
                if is_repeated && step.last.len > 0 {
                    if let Some(room) = scratch[at..].first_chunk_mut::<KEPT>() {
                        *room = step.last.text;
                    }
                    at += step.last.len;
                    continue;
                }
                step.last.key = key;
                step.last.len = 0;
            }
            let Some(room) = scratch[at..].first_chunk_mut::<CHUNK>() else { return true };
            *room = step.before;
            at += step.before_len;
            let begin = at;
            let bytes = &record[step.offset..];
            let number: Option<(u64, bool)> = match step.value {
                Value::U32 => bytes.first_chunk().map(|b| (u32::from_le_bytes(*b).into(), false)),
                Value::U64 => bytes.first_chunk().map(|b| (u64::from_le_bytes(*b), false)),
                Value::I32 => bytes.first_chunk().map(|b| {
                    let value = i32::from_le_bytes(*b);
                    (value.unsigned_abs().into(), value < 0)
                }),
                Value::I64 => bytes.first_chunk().map(|b| {
                    let value = i64::from_le_bytes(*b);
                    (value.unsigned_abs(), value < 0)
                }),
                Value::Small { size, signed: false } => Some((unsigned(bytes, size) as u64, false)),
                Value::Small { size, .. } => {
                    let value = signed(bytes, size) as i64;
                    Some((value.unsigned_abs(), value < 0))
                }
                Value::Text { .. } | Value::Other { .. } => None,
            };
            let text = match step.value {
                Value::Text { size, quoted } => text(&bytes[..size], quoted, &mut scratch[at..]),
                _ => None,
            };
            match (number, text) {
                (Some((value, is_negative)), _) => {
                    scratch[at] = b'-';
                    at += usize::from(is_negative);
                    if let Some(room) = scratch[at..].first_chunk_mut() {
                        at += put::number_to(value, room);
                    }
                }
                (_, Some(len)) => at += len,
                (None, None) => {
                    let end = out.len();
                    other(index, out);
                    let text = &out[end..];
                    let needed = at + text.len() + *longest;
                    if scratch.len() < needed {
                        scratch.resize(needed, 0);
                    }
                    scratch[at..at + text.len()].copy_from_slice(text);
                    at += text.len();
                    out.truncate(end);
                }
            }
            if let Some(width) = step.width {
                // The output of other writers may have multibyte characters.
                let used = match (step.value, text) {
                    (Value::Other { is_ascii: false }, _) | (Value::Text { .. }, None) => {
                        width::of(&scratch[begin..at])
                    }
                    _ => at - begin,
                };
                if width < CHUNK {
                    if let Some(room) = scratch[at..].first_chunk_mut::<CHUNK>() {
                        *room = [b' '; CHUNK];
                    }
                } else if let Some(room) = scratch[at..].first_chunk_mut::<{ 2 * CHUNK }>() {
                    *room = [b' '; 2 * CHUNK];
                }
                at += width.saturating_sub(used) + 1;
            }
            if is_repeated && at - start <= KEPT {
                step.last.text[..at - start].copy_from_slice(&scratch[start..at]);
                step.last.len = at - start;
            }
        }
        out.extend_from_slice(&scratch[..at]);
        true
    }
}

/// The number of bytes of a member that alone determine how it is shown.
fn key(member: &Member, has_meaning: bool) -> Option<usize> {
    if member.bits.is_some()
        || member.length.is_some()
        || has_meaning && !meaning::is_fixed(&member.meaning?)
    {
        return None;
    }
    match member.layout {
        Layout::Int { size, .. } | Layout::Enum { size, .. } if (1..=8).contains(&size) => {
            Some(size)
        }
        Layout::Text { size: 16 } if !has_meaning => Some(16),
        Layout::Pointer => Some(8),
        Layout::Bool => Some(1),
        Layout::Array { ref element, stride, len }
            if matches!(**element, Layout::Int { .. })
                && (1..=16).contains(&(stride * len))
                && !has_meaning =>
        {
            Some(stride * len)
        }
        _ => None,
    }
}

/// Reads up to 16 bytes as a number.
#[inline(always)]
fn raw(bytes: &[u8], size: usize) -> u128 {
    match size {
        4 => bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes).into()),
        8 => bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes).into()),
        16 => bytes.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes)),
        size => unsigned(bytes, size),
    }
}

/// Whether a member's text is always ASCII, with or without its meaning.
fn is_ascii(member: Option<&Member>) -> bool {
    member.is_none_or(|member| {
        member.meaning.is_none_or(|meaning| meaning::is_plain(&meaning))
            && matches!(
                member.layout,
                Layout::Int { .. } | Layout::Bool | Layout::Pointer | Layout::Float { .. }
            )
    })
}

/// Writes a string. Returns its length, or `None` if a character must be escaped.
fn text(bytes: &[u8], quoted: bool, room: &mut [u8]) -> Option<usize> {
    let found = put::scan(bytes);
    if !found.is_plain || quoted && !found.is_unquoted {
        return None;
    }
    let mut at = 0;
    if quoted {
        room[0] = b'"';
        at = 1;
    }
    match (bytes.first_chunk::<16>(), room[at..].first_chunk_mut::<16>()) {
        (Some(bytes), Some(room)) if found.len <= 16 => *room = *bytes,
        _ => room[at..at + found.len].copy_from_slice(&bytes[..found.len]),
    }
    at += found.len;
    if quoted {
        room[at] = b'"';
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::json;
    use bpfpack_decode::Struct;

    fn record() -> Struct {
        let int = |size, signed| Layout::Int { size, signed };
        let array =
            |stride, len| Layout::Array { element: Box::new(int(stride, true)), stride, len };
        let mut bits = Member::new("bits", 36, int(4, false));
        bits.bits = Some((1, 3));
        Struct {
            size: 56,
            members: vec![
                Member::new("a", 0, int(4, false)),
                Member::new("b", 4, int(4, true)),
                Member::new("c", 8, int(8, true)),
                Member::new("d", 16, int(2, true)),
                Member::new("e", 18, int(1, false)),
                Member::new("f", 19, Layout::Text { size: 5 }),
                Member::new("g", 24, Layout::Text { size: 8 }),
                Member::new("h", 32, Layout::Bool),
                bits,
                Member::new("i", 40, array(8, 2)),
                Member::new("j", 44, array(2, 3)),
            ],
        }
    }

    #[test]
    fn the_same_as_the_general_writer() {
        let record = record();
        let mut first = true;
        let keys: Vec<String> = record
            .members
            .iter()
            .map(|member| {
                let comma = if std::mem::take(&mut first) { "" } else { "," };
                format!("{comma}\"{}\":", member.name)
            })
            .collect();
        let parts = record.members.iter().zip(&keys).map(|(member, before)| Part {
            member: Some(member),
            before: before.as_bytes(),
            width: None,
            quoted: true,
            has_meaning: false,
        });
        let mut flat = Flat::new(parts).unwrap();
        let mut state = 7u64;
        for round in 0..2000 {
            let bytes: Vec<u8> = (0..56)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    // Often zeros, small numbers and printable text.
                    match (round % 4, state >> 33 & 3) {
                        (0, _) => (state >> 40) as u8,
                        (_, 0) => 0,
                        (_, 1) => (state >> 40) as u8 & 7,
                        _ => b'a' + (state >> 40) as u8 % 20,
                    }
                })
                .collect();
            let (mut fast, mut slow) = (b"x".to_vec(), b"x".to_vec());
            let other = |at: usize, out: &mut Vec<u8>| {
                json::write_member(&record.members[at], &bytes, &mut None, out);
            };
            // Repeated, so that output is copied.
            for _ in 0..=round % 3 {
                fast.truncate(1);
                assert!(flat.write(&bytes, &mut fast, other));
            }
            json::write_members(&record, &bytes, &mut None, &mut slow);
            assert_eq!(String::from_utf8(fast).unwrap(), String::from_utf8(slow).unwrap());
        }
        let mut out = b"x".to_vec();
        assert!(!flat.write(&[0; 36], &mut out, |_, _| {}));
        assert_eq!(out, b"x");
    }

    #[test]
    fn columns_are_padded() {
        let record = record();
        let parts = record.members.iter().take(6).map(|member| Part {
            member: Some(member),
            before: b"",
            width: Some(4),
            quoted: false,
            has_meaning: member.name == "e",
        });
        let mut flat = Flat::new(parts).unwrap();
        let mut bytes = [0; 56];
        bytes[..8].copy_from_slice(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes[8..16].copy_from_slice(&(-1_234_567i64).to_le_bytes());
        bytes[19..22].copy_from_slice(b"a\"b");
        let mut out = Vec::new();
        assert!(flat.write(&bytes, &mut out, |_, out| out.extend_from_slice("äöüä".as_bytes())));
        assert_eq!(String::from_utf8(out).unwrap(), "1    -1   -1234567 0    äöüä a\"b  ");
    }
}
