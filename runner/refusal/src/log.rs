// SPDX-License-Identifier: MIT
//! Reads the log of the verifier (kernel/bpf/log.c), in the formats of Linux 5.10 to 7.3: lines of
//! source, instructions, states of registers, and messages.

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'l> {
    /// A line of source, before the instructions that belong to it.
    Source(Source<'l>),
    /// An instruction.
    Instruction(Instruction<'l>),
    /// The verifier goes back to the other branch of the instruction with this number.
    Back(u32),
    /// A message: usually why the program is refused.
    Message(&'l str),
}

/// A line of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source<'l> {
    /// Its text.
    pub(crate) text: &'l str,
    /// Its file and number, which the log has since Linux 6.9.
    pub(crate) place: Option<&'l str>,
}

/// An instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction<'l> {
    /// Its number in the program.
    pub(crate) index: u32,
    /// Its text, with the opcode: `(61) r0 = *(u32 *)(r0 +0)`.
    pub(crate) text: &'l str,
}

impl<'l> Instruction<'l> {
    /// The text without the opcode.
    pub(crate) fn code(&self) -> &'l str {
        self.text.split_once(") ").map_or(self.text, |(_, code)| code).trim()
    }

    /// The name of the helper or kfunc that it calls.
    pub(crate) fn called(&self) -> Option<&'l str> {
        let called = self.code().strip_prefix("call ")?;
        let name = called.split('#').next()?.trim();
        (!name.is_empty() && !name.starts_with("pc")).then_some(name)
    }

    /// The number of the register that it writes, and what it writes there.
    pub(crate) fn written(&self) -> Option<(u8, Written)> {
        let code = self.code();
        if code.starts_with("call ") {
            return Some((0, Written::New));
        }
        let (target, value) = code.split_once(" = ").unwrap_or((code, ""));
        let target = register(target.split(' ').next()?)?;
        Some(match register(value) {
            Some(from) => (target, Written::Copy(from)),
            None if value.is_empty() => (target, Written::Changed),
            None => (target, Written::New),
        })
    }
}

/// What an instruction writes into a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A new value.
    New,
    /// The value of another register.
    Copy(u8),
    /// The old value, changed.
    Changed,
}

/// The number of a register: `r0` to `r10`, or `w0` to `w10`.
pub(crate) fn register(text: &str) -> Option<u8> {
    let number = text.strip_prefix(['r', 'w', 'R'])?;
    number.parse().ok().filter(|number| *number <= 10)
}

/// The lines of a log.
pub(crate) fn entries(log: &str) -> Vec<Entry<'_>> {
    log.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let line = line.trim_end();
    if let Some(source) = line.strip_prefix(';') {
        return source_line(source).map(Entry::Source);
    }
    // "21: (15) if r1 == 0x0 goto pc+2   ; R1=1", "0: R1=ctx() R10=fp0", "9: return n;"
    if let Some((number, rest)) = line.split_once(": ")
        && let Ok(index) = number.parse()
    {
        return match rest.as_bytes() {
            [b'(', _, _, b')', ..] => {
                Some(Entry::Instruction(Instruction { index, text: without_state(rest) }))
            }
            [b'<', ..] => Some(Entry::Instruction(Instruction { index, text: rest })),
            [b'R', b'0'..=b'9', ..] | [b'f', b'r', b'a', b'm', b'e', ..] | [] => None,
            // The other branch leads to what was accepted before.
            b"safe" => None,
            _ => Some(Entry::Source(Source { text: rest.trim(), place: None })),
        };
    }
    if let Some(rest) = line.strip_prefix("from ") {
        return rest.split(' ').next()?.parse().ok().map(Entry::Back);
    }
    (!is_noise(line)).then_some(Entry::Message(line.trim()))
}

fn source_line(text: &str) -> Option<Source<'_>> {
    let (text, place) = match text.trim_end().rsplit_once(" @ ") {
        Some((text, place)) if is_place(place) => (text, Some(place)),
        _ => (text, None),
    };
    let text = text.trim();
    (!text.is_empty() && place.is_none_or(|place| !place.ends_with(":0")))
        .then_some(Source { text, place })
}

/// Whether a text is `FILE:NUMBER`.
fn is_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(file, number)| {
        !file.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// An instruction without the state of the registers, which follows a semicolon or the number of
/// the next instruction.
fn without_state(text: &str) -> &str {
    let end = text.find(';').into_iter().chain(
        text.find(": R").map(|at| text[..at].trim_end_matches(|c: char| c.is_ascii_digit()).len()),
    );
    text[..end.min().unwrap_or(text.len())].trim_end()
}

/// Lines that never are the reason: states of registers, statistics, and how the verifier works
/// back to find out what a value depends on.
fn is_noise(line: &str) -> bool {
    let trimmed = line.trim_start();
    let is_state = || {
        let rest = trimmed.strip_prefix('R');
        rest.is_some_and(|rest| {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            ["=", "_w=", "_r=", "_rw="].iter().any(|start| rest.starts_with(start))
        })
    };
    let is_progress = trimmed.starts_with("Validating ") && trimmed.contains(" func#")
        || trimmed.starts_with("frame") && trimmed.contains(": R")
        // Kfunc arguments have messages that begin in the same way.
        || trimmed.starts_with("arg#") && trimmed.contains("size cannot be determined");
    trimmed.is_empty()
        || is_state()
        || is_progress
        || [
            "processed ",
            "verification time ",
            "stack depth ",
            "Unrecognized arg#",
            "mark_precise:",
            "last_idx ",
            "regs=",
            "parent didn't have ",
            "parent already had ",
            "propagating ",
            "func#",
            "caller:",
            "callee:",
            "returning from callee:",
            "to caller at ",
        ]
        .iter()
        .any(|start| trimmed.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_new_log() {
        let log = "arg#0 reference type('UNKNOWN ') size cannot be determined: -22\n\
            0: R1=ctx() R10=fp0\n\
            ; u32 key = 0; @ dir/x.bpf.c:8\n\
            0: (b4) w1 = 0                        ; R1=0\n\
            ;  @ x.bpf.c:0\n\
            3: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1)\n\
            5: (15) if r6 == 0x0 goto pc+7        ; R6=ringbuf_mem(ref_obj_id=2,sz=20) refs=2\n\
            from 5 to 13: R0=0\n\
            R0 invalid mem access 'map_value_or_null'\n\
            processed 8 insns (limit 1000000)\n";
        let entries = entries(log);
        let source = Source { text: "u32 key = 0;", place: Some("dir/x.bpf.c:8") };
        assert_eq!(entries[0], Entry::Source(source));
        let Entry::Instruction(first) = entries[1] else { panic!("{entries:?}") };
        assert_eq!((first.index, first.text), (0, "(b4) w1 = 0"));
        assert_eq!(first.written(), Some((1, Written::New)));
        let Entry::Instruction(call) = entries[2] else { panic!("{entries:?}") };
        assert_eq!(call.called(), Some("bpf_map_lookup_elem"));
        assert_eq!(call.written(), Some((0, Written::New)));
        assert_eq!(entries[4], Entry::Back(5));
        assert_eq!(entries[5], Entry::Message("R0 invalid mem access 'map_value_or_null'"));
        assert_eq!(entries.len(), 6);
    }

    #[test]
    fn lines_of_an_old_log() {
        let log = "Unrecognized arg#0 type PTR\n\
            ; char *at = a @ b;\n\
            10: (16) if w0 == 0x1 goto pc+3 14: R0=1 R6=alloc_mem(ref_obj_id=2) R10=fp0\n\
            \x20R0_w=inv(id=0) R1_w=inv(id=0)\n\
            14: safe\nframe1: R0=1\narg#0 expected a pointer\n\
            regs=1 stack=0 before 3: (85) call bpf_get_prandom_u32#7\n\
            21: return n;\n\
            back-edge from insn 21 to 11\n";
        let entries = entries(log);
        assert_eq!(entries[0], Entry::Source(Source { text: "char *at = a @ b;", place: None }));
        let Entry::Instruction(jump) = entries[1] else { panic!("{entries:?}") };
        assert_eq!(jump.text, "(16) if w0 == 0x1 goto pc+3");
        assert_eq!(entries[2], Entry::Message("arg#0 expected a pointer"));
        assert_eq!(entries[3], Entry::Source(Source { text: "return n;", place: None }));
        assert_eq!(entries[4], Entry::Message("back-edge from insn 21 to 11"));
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn registers_that_instructions_write() {
        let written = |text| Instruction { index: 0, text }.written();
        assert_eq!(written("(bf) r6 = r0"), Some((6, Written::Copy(0))));
        assert_eq!(written("(bc) w2 = w0"), Some((2, Written::Copy(0))));
        assert_eq!(written("(07) r0 += 4"), Some((0, Written::Changed)));
        assert_eq!(written("(79) r1 = *(u64 *)(r2 +0)"), Some((1, Written::New)));
        assert_eq!(written("(63) *(u32 *)(r10 -4) = r1"), None);
        assert_eq!(register("r11"), None);
    }
}
