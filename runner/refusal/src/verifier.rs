// SPDX-License-Identifier: MIT
//! Explains the log of the verifier: the cause, the place in the source, and the few lines that
//! matter.

use bpfpack_schemas::btf::lines::Line;

use crate::log::{Entry, Instruction, Source, Written, entries};
use crate::reason::{Facts, Origin, Reason};
use crate::reasons;

/// What is known of a refused program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Program<'p> {
    /// Its section.
    pub section: &'p str,
    /// The lines of source of its instructions, from `.BTF.ext`. Logs before Linux 6.9 have the text
    /// of a line, but not its number.
    pub lines: &'p [Line<'p>],
    /// The license of the object, if it has one.
    pub license: Option<&'p str>,
}

/// Why the verifier refuses a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The cause, in words; or the last message of the verifier, if it is not a known one.
    pub cause: String,
    /// The line of source, as `FILE:LINE: TEXT`.
    pub place: Option<String>,
    /// The lines of the log that matter, without the place.
    pub lines: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// What begins the kernel's own explanation, which follows the log since Linux 7.3
/// (kernel/bpf/diagnostics.c).
const REPORT: &str = "\nVerification failed: ";

/// The text under a heading of the kernel's explanation, on one line.
fn paragraph(report: &str, heading: &str) -> Option<String> {
    let mut lines = report.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let text: Vec<&str> =
        lines.by_ref().map(str::trim).take_while(|line| !line.is_empty()).collect();
    (!text.is_empty()).then(|| text.join(" "))
}

/// Explains a log.
#[must_use]
pub fn explain(log: &str, program: &Program<'_>) -> Explanation {
    let (log, report) = match log.split_once(REPORT) {
        Some((log, report)) => (log, Some(report)),
        None => (log, None),
    };
    let entries = entries(log);
    let (at, message, mut reason) = find(&entries, program);
    // The kernel's own words are for reasons that are not known here.
    if reason.cause.is_none() {
        reason.cause = report.and_then(|report| paragraph(report, "Reason:"));
        reason.hint = report.and_then(|report| paragraph(report, "Suggestion:"));
    }
    let refused = last_instruction(&entries[..at]);
    let source = source_before(&entries, at).map(|source| place(source, program));
    // Without an instruction, the place is the function.
    let place = source.or_else(|| program.lines.first().map(|line| shown(line)));
    let mut lines = Vec::new();
    let origin = reason.origin.and_then(|origin| match origin {
        Origin::Register(register) => origin_of(&entries[..at], register),
        Origin::Instruction(index) => position(&entries[..at], index),
    });
    if let Some(from) = origin.and_then(|from| source_before(&entries, from)) {
        let from = self::place(from, program);
        if place.as_ref() != Some(&from) {
            lines.push(format!("from {from}"));
        }
    }
    lines.extend(refused.map(|it| format!("{}: {}", it.index, it.text)));
    lines.extend(message.map(str::to_owned));
    let cause = match reason.cause {
        Some(cause) => cause,
        None => message.unwrap_or("the verifier gives no reason").to_owned(),
    };
    Explanation { cause, place, lines, hint: reason.hint }
}

/// The message that says why, and its position: the last one that is known, or else the last one.
fn find<'l>(entries: &[Entry<'l>], program: &Program<'_>) -> (usize, Option<&'l str>, Reason) {
    let messages = || {
        entries.iter().enumerate().rev().filter_map(|(at, entry)| match entry {
            Entry::Message(message) => Some((at, *message)),
            _ => None,
        })
    };
    let known = messages().find_map(|(at, message)| {
        let before = &entries[..at];
        let refused = last_instruction(before);
        let called = |at: usize| match before.get(at) {
            Some(Entry::Instruction(instruction)) => instruction.called(),
            _ => None,
        };
        let facts = Facts {
            message,
            refused,
            is_repeated: refused.is_some_and(|it| times(before, it.index) > 1),
            origin: &|register| origin_of(before, register).and_then(called),
            made: &|index| position(before, index).and_then(called),
            section: program.section,
            license: program.license,
        };
        reasons::of(&facts).map(|reason| (at, Some(message), reason))
    });
    known.unwrap_or_else(|| match messages().next() {
        Some((at, message)) => (at, Some(message), Reason::default()),
        None => (entries.len(), None, Reason::default()),
    })
}

fn last_instruction<'l>(entries: &[Entry<'l>]) -> Option<Instruction<'l>> {
    entries.iter().rev().find_map(|entry| match entry {
        Entry::Instruction(instruction) => Some(*instruction),
        _ => None,
    })
}

/// How often an instruction has come since the verifier went back to another branch.
fn times(entries: &[Entry<'_>], index: u32) -> usize {
    let path = entries.iter().rev().take_while(|entry| !matches!(entry, Entry::Back(_)));
    path.filter(|entry| matches!(entry, Entry::Instruction(it) if it.index == index)).count()
}

/// The position of the last instruction with this number.
fn position(entries: &[Entry<'_>], index: u32) -> Option<usize> {
    entries.iter().rposition(|entry| matches!(entry, Entry::Instruction(it) if it.index == index))
}

/// The line of source of what is at a position.
fn source_before<'l>(entries: &[Entry<'l>], at: usize) -> Option<Source<'l>> {
    entries[..at].iter().rev().find_map(|entry| match entry {
        Entry::Source(source) => Some(*source),
        _ => None,
    })
}

/// The position of the instruction that made the value that a register has at the end. Each function
/// has its own registers, except that it gets `r1` to `r5`, and returns `r0`.
fn origin_of(entries: &[Entry<'_>], register: u8) -> Option<usize> {
    let mut register = register;
    // How many calls, seen from the end, the walk is in, and in which one the value is.
    let (mut depth, mut of_value) = (0i32, 0i32);
    // The instruction that is refused does not write anything.
    let mut at = entries.iter().rposition(|entry| matches!(entry, Entry::Instruction(_)))?;
    loop {
        at = at.checked_sub(1)?;
        let instruction = match entries[at] {
            // What was followed in between is another branch.
            Entry::Back(branch) => {
                at = position(&entries[..at], branch)? + 1;
                continue;
            }
            Entry::Instruction(instruction) => instruction,
            _ => continue,
        };
        if instruction.code() == "exit" {
            if register == 0 && of_value == depth {
                of_value += 1;
            }
            depth += 1;
        } else if instruction.code().starts_with("call pc") {
            if of_value == depth && !(1..=5).contains(&register) {
                return None;
            }
            of_value = of_value.min(depth - 1);
            depth -= 1;
        } else if of_value == depth
            && let Some((written, what)) = instruction.written()
            && written == register
        {
            match what {
                Written::Copy(from) => register = from,
                Written::Changed => {}
                Written::New => return Some(at),
            }
        }
    }
}

/// A line of source with its place. A log without places has the text alone.
fn place(source: Source<'_>, program: &Program<'_>) -> String {
    if let Some(place) = source.place {
        return format!("{place}: {}", source.text);
    }
    match program.lines.iter().find(|line| line.text == source.text) {
        Some(line) => shown(line),
        None => source.text.to_owned(),
    }
}

fn shown(line: &Line<'_>) -> String {
    format!("{}:{}: {}", line.file_name(), line.number, line.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_the_place_and_where_a_value_is_from() {
        let log = "; u64 *count = bpf_map_lookup_elem(&counts, &key); @ x.bpf.c:9\n\
            6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1)\n\
            7: (bf) r6 = r0\n\
            8: (b7) r1 = 1                        ; R1=1\n\
            ; __sync_fetch_and_add(count, 1); @ x.bpf.c:15\n\
            9: (db) lock *(u64 *)(r6 +0) += r1\n\
            R6 invalid mem access 'map_value_or_null'\n\
            processed 8 insns\n";
        let found = explain(log, &Program::default());
        let cause = "the result of `bpf_map_lookup_elem` may be NULL, and is used without a check";
        assert_eq!(found.cause, cause);
        assert_eq!(found.place.as_deref(), Some("x.bpf.c:15: __sync_fetch_and_add(count, 1);"));
        let from = "from x.bpf.c:9: u64 *count = bpf_map_lookup_elem(&counts, &key);";
        let lines = [
            from,
            "9: (db) lock *(u64 *)(r6 +0) += r1",
            "R6 invalid mem access 'map_value_or_null'",
        ];
        assert_eq!(found.lines, lines);
        assert!(found.hint.is_some());
    }

    #[test]
    fn places_of_old_logs_are_from_the_object() {
        let log = "; return *p;\n1: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'inv'\n";
        let line = |number, text| Line { offset: 0, file: "a/x.bpf.c", text, number };
        let lines = [line(3, "int f(void *ctx)"), line(7, "return *p;")];
        let program = Program { lines: &lines, ..Program::default() };
        assert_eq!(explain(log, &program).place.as_deref(), Some("x.bpf.c:7: return *p;"));
        // A message without an instruction belongs to the function.
        let found = explain("combined stack size of 2 calls is 832. Too large\n", &program);
        assert_eq!(found.place.as_deref(), Some("x.bpf.c:3: int f(void *ctx)"));
    }

    #[test]
    fn branches_that_were_followed_before_are_no_origin() {
        let log = "0: (85) call bpf_a#1\n1: (bf) r6 = r0\n2: (15) if r7 == 0x0 goto pc+2\n\
            3: (85) call bpf_b#2\n4: (bf) r6 = r0\nfrom 2 to 5: R0=0\n\
            5: (61) r1 = *(u32 *)(r6 +0)\nR6 invalid mem access 'mem_or_null'\n";
        assert!(explain(log, &Program::default()).cause.contains("`bpf_a`"));
    }

    #[test]
    fn functions_have_registers_of_their_own() {
        let log = "0: (85) call bpf_a#1\n1: (bf) r6 = r0\n2: (85) call pc+3\n6: (85) call bpf_b#2\n\
            7: (bf) r6 = r0\n8: (95) exit\n3: (61) r1 = *(u32 *)(r6 +0)\n\
            R6 invalid mem access 'map_value_or_null'\n";
        assert!(explain(log, &Program::default()).cause.contains("`bpf_a`"));
        let returned =
            log.replace("(r6 +0)\nR6", "(r0 +0)\nR0").replace("(bf) r6 = r0\n8", "(bf) r7 = r0\n8");
        assert!(explain(&returned, &Program::default()).cause.contains("`bpf_b`"));
        let log = "0: (85) call bpf_a#1\n1: (bf) r1 = r0\n2: (85) call pc+3\n\
            6: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'map_value_or_null'\n";
        assert!(explain(log, &Program::default()).cause.contains("`bpf_a`"));
        let log = log.replace("r1", "r6").replace("R1", "R6");
        assert!(explain(&log, &Program::default()).cause.starts_with("a pointer may be NULL"));
    }

    #[test]
    fn the_kernels_own_explanation_is_used_for_what_is_not_known() {
        let report = "\n\nVerification failed: Policy: Not allowed\n\nReason:\n  This is not\n  \
            allowed.\n\nAt:\n  f @ x.bpf.c:9:2\n\nSuggestion:\n  Use another one.\n\nprocessed 1 insns\n";
        let log = |message| format!("; g(); @ x.bpf.c:9\n0: (95) exit\n{message}{report}");
        let found = explain(&log("something new"), &Program::default());
        assert_eq!(found.cause, "This is not allowed.");
        assert_eq!(found.hint.as_deref(), Some("Use another one."));
        assert_eq!(found.lines, ["0: (95) exit", "something new"]);
        let found = explain(&log("R1 !read_ok"), &Program::default());
        assert_eq!(found.cause, "a variable is used before it has a value");
    }

    #[test]
    fn logs_that_are_cut_off_anywhere_are_explained() {
        let log = "; f(a, \"é\"); @ x.bpf.c:9\n3: (85) call bpf_map_lookup_elem#1 ; R0=map_ptr()\n\
            from 3 to 5: R0=0\n5: (61) r1 = *(u32 *)(r0 +0)\n\
            R0 type=scalar expected=fp, alloc_insn=3\ninvalid access to map value, value_size=8 \
            off=8 size=8\nAt program exit the register R0 has value (0x7; 0x0) should have been in \
            (0x0; 0x1)\n\nVerification failed: a\n\nReason:\n  b\n";
        for end in (0..=log.len()).filter(|end| log.is_char_boundary(*end)) {
            let lines = Line { offset: 0, file: "x", text: "", number: 1 };
            let program = Program { lines: &[lines], ..Program::default() };
            assert!(!explain(&log[..end], &program).cause.is_empty());
        }
    }

    #[test]
    fn unknown_messages_are_the_cause() {
        let found =
            explain("0: (95) exit\nsomething new\nprocessed 1 insns\n", &Program::default());
        assert_eq!((&*found.cause, found.hint), ("something new", None));
        assert_eq!(found.lines, ["0: (95) exit", "something new"]);
        assert_eq!(explain("", &Program::default()).cause, "the verifier gives no reason");
    }
}
