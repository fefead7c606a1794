// SPDX-License-Identifier: MIT
//! Finds the format strings that programs pass to the printing helpers, and matches lines against
//! them. A line that matches none is from another program.

use std::collections::BTreeSet;

use bpfpack_schemas::insn::{CALL, Call, Insn, LOAD_64, MOVE_REGISTER, PSEUDO_MAP_VALUE};

/// The printing helpers: `bpf_trace_printk` and `bpf_trace_vprintk`.
pub(super) const HELPERS: [i32; 2] = [6, 177];

/// A line of at least this length may be truncated. Kernels have buffers of 512 bytes and more.
const CUT: usize = 500;

/// The format strings: map descriptors, and offsets in the map's value. `None` if one cannot be
/// found, because it is built on the stack or chosen among several.
pub(super) fn places(code: &[Insn]) -> Option<BTreeSet<(i32, i32)>> {
    let is_print = |insn: &Insn| match insn.call() {
        Some(Call::Helper(number)) => HELPERS.contains(&(number as i32)),
        _ => false,
    };
    let jumps = code.iter().enumerate();
    let targets: BTreeSet<usize> = jumps.filter_map(|(at, insn)| insn.target(at)).collect();
    let calls = (0..code.len()).filter(|at| is_print(&code[*at]));
    calls.map(|call| first_argument(code, call, &targets)).collect()
}

/// The first argument of a call, from the instructions before it.
fn first_argument(code: &[Insn], call: usize, targets: &BTreeSet<usize>) -> Option<(i32, i32)> {
    let mut register = 1;
    for at in (0..call).rev() {
        // A jump leads here and may bring another value.
        if targets.contains(&(at + 1)) {
            return None;
        }
        let insn = code[at];
        let class = insn.code & 7;
        // A call preserves registers 6 to 9.
        let passes = insn.code == CALL && (6..=9).contains(&register);
        match insn.code {
            _ if matches!(class, 5 | 6) && !passes => return None,
            LOAD_64 if insn.dst == register => {
                let offset = code.get(at + 1)?.imm;
                return (insn.src == PSEUDO_MAP_VALUE).then_some((insn.imm, offset));
            }
            MOVE_REGISTER if insn.dst == register && insn.off == 0 => register = insn.src,
            _ if insn.writes() && insn.dst == register => return None,
            _ => {}
        }
    }
    None
}

/// The text at an offset, up to its terminating zero.
pub(super) fn text_at(value: &[u8], offset: i32) -> Option<&[u8]> {
    let rest = value.get(usize::try_from(offset).ok()?..)?;
    Some(&rest[..rest.iter().position(|byte| *byte == 0)?])
}

/// The shape of the lines that a format prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// A number with these digits and padding.
    Number(&'static [u8]),
    /// One byte with padding; a zero byte ends the line.
    Letter,
    /// Any text: a string, or the meaning of a pointer.
    Any,
}

impl Format {
    /// Parses a format string, as bpf-helpers(7) describes it.
    pub(super) fn of(format: &[u8]) -> Format {
        let end = format.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
        let mut parts = Vec::new();
        let mut rest = &format[..end];
        while let Some((first, behind)) = rest.split_first() {
            if *first == b'%' {
                let (part, len) = directive(behind);
                parts.push(part);
                rest = &behind[len..];
                continue;
            }
            let len = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
            parts.push(Part::Text(rest[..len].to_vec()));
            rest = &rest[len..];
        }
        Format(parts)
    }

    /// Whether a line, without trailing newlines, can come from this format.
    pub(super) fn fits(&self, line: &[u8]) -> bool {
        // The positions up to which the parts so far can match.
        let mut ends = vec![false; line.len() + 1];
        ends[0] = true;
        for part in &self.0 {
            // The line ends early if a letter was zero or the buffer was full.
            let is_at_end = ends[line.len()];
            let may_end = is_at_end && *part == Part::Letter;
            if may_end || (line.len() >= CUT && (is_at_end || part.is_cut(&ends, line))) {
                return true;
            }
            ends = part.extend(&ends, line);
            if !ends.contains(&true) {
                return false;
            }
        }
        ends[line.len()]
    }
}

impl Part {
    /// The positions up to which this part can match, if it begins at one of `ends`.
    fn extend(&self, ends: &[bool], line: &[u8]) -> Vec<bool> {
        let mut next = vec![false; ends.len()];
        match self {
            Part::Text(text) => {
                // Trailing newlines were removed from the line.
                let bare = text.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
                for (at, _) in ends.iter().enumerate().filter(|(_, is_end)| **is_end) {
                    if line[at..].starts_with(text) {
                        next[at + text.len()] = true;
                    } else if line[at..] == text[..bare] {
                        next[line.len()] = true;
                    }
                }
            }
            Part::Any | Part::Letter | Part::Number(_) => {
                let mut is_inside = false;
                for at in 0..ends.len() {
                    next[at] = is_inside || (*self == Part::Any && ends[at]);
                    is_inside |= ends[at];
                    is_inside &= line.get(at).is_some_and(|byte| self.may_have(*byte));
                }
            }
        }
        next
    }

    fn may_have(&self, byte: u8) -> bool {
        match self {
            Part::Number(digits) => digits.contains(&byte),
            _ => true,
        }
    }

    /// Whether the line may be truncated in this text.
    fn is_cut(&self, ends: &[bool], line: &[u8]) -> bool {
        let Part::Text(text) = self else { return false };
        (0..line.len()).any(|at| ends[at] && text.starts_with(&line[at..]))
    }
}

/// Parses what follows a `%`. Returns the part and its length.
fn directive(text: &[u8]) -> (Part, usize) {
    if text.first() == Some(&b'%') {
        return (Part::Text(b"%".to_vec()), 1);
    }
    let is_before = |byte: &&u8| b"0123456789+- #.lhzq".contains(byte);
    let len = text.iter().take_while(is_before).count();
    match text.get(len) {
        Some(b'd' | b'i' | b'u') => (Part::Number(b"0123456789+- "), len + 1),
        Some(b'x' | b'X') => (Part::Number(b"0123456789abcdefABCDEFxX+- "), len + 1),
        Some(b'c') => (Part::Letter, len + 1),
        // Letters after `p` say what the pointer refers to.
        Some(b'p') => {
            let more = text[len + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric());
            (Part::Any, len + 1 + more.count())
        }
        Some(_) => (Part::Any, len + 1),
        None => (Part::Any, len),
    }
}

#[cfg(test)]
mod tests;
