// SPDX-License-Identifier: MIT
//! Loops, calls within each other, the size of a program, and what it returns.

use crate::reason::{Facts, Reason};

pub(super) fn of(facts: &Facts<'_, '_>) -> Option<Reason> {
    endless(facts).or_else(|| too_much(facts)).or_else(|| stack(facts)).or_else(|| result(facts))
}

fn endless(facts: &Facts<'_, '_>) -> Option<Reason> {
    if facts.says("infinite loop detected") {
        return Some(
            Reason::new("a loop does not end")
                .hint("give it a constant limit, such as for (int i = 0; i < 100; i++)"),
        );
    }
    let is_recursion = facts.says("back-edge from insn")
        || facts.says("recursive call")
        || facts.says("frames is too deep") && facts.is_repeated;
    is_recursion.then(|| {
        Reason::new("a function calls itself, which BPF programs cannot")
            .hint("use a loop with a constant limit instead")
    })
}

fn too_much(facts: &Facts<'_, '_>) -> Option<Reason> {
    const LESS: &str = "let loops run fewer times, and move branches out of them";
    if facts.says("BPF program is too large. Processed") {
        let count = facts.number("Processed ").unwrap_or(1_000_000);
        return Some(
            Reason::new(format!(
                "the verifier gave up after {count} instructions: it follows each pass of a loop, \
                 and each combination of branches"
            ))
            .hint(LESS),
        );
    }
    facts.says("jumps is too complex").then(|| {
        Reason::new("the verifier gave up: the program has too many branches to follow").hint(LESS)
    })
}

fn stack(facts: &Facts<'_, '_>) -> Option<Reason> {
    if facts.says("combined stack size of ") {
        let size = facts.number(" is ").map_or(String::new(), |size| format!(" {size} bytes of"));
        return Some(
            Reason::new(format!("nested calls use{size} stack in total; the limit is 512 bytes"))
                .hint("keep less in local variables, and large data in a map"),
        );
    }
    let is_deep = facts.says("frames is too deep") || facts.says("frames is too large");
    is_deep.then(|| {
        Reason::new("calls are nested more than 8 levels deep")
            .hint("nest fewer calls, or declare small functions __always_inline")
    })
}

/// "At program exit the register R0 has smin=7 smax=7 should have been in [0, 1]"; before Linux 6.8
/// "has value (0x7; 0x0) should have been in (0x0; 0x1)".
fn result(facts: &Facts<'_, '_>) -> Option<Reason> {
    let rest = facts.message.strip_prefix("At program exit the register R0 ")?;
    let kind = facts.kind();
    let allowed = rest.split_once("should have been in ").map(|(_, allowed)| allowed.trim());
    let allowed = allowed.map(|allowed| match allowed.strip_prefix("(0x0; 0x") {
        // The second number is the mask of the bits that are not known.
        Some(mask) => match i64::from_str_radix(mask.trim_end_matches(')'), 16) {
            Ok(largest) => format!("[0, {largest}]"),
            Err(_) => allowed.to_owned(),
        },
        None => allowed.to_owned(),
    });
    Some(Reason::new(match allowed {
        Some(allowed) => {
            format!("programs of the kind `{kind}` must return a value in {allowed}")
        }
        None => format!("programs of the kind `{kind}` must not return this value"),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::explained;

    #[test]
    fn results_in_both_formats() {
        for message in [
            "At program exit the register R0 has smin=7 smax=7 should have been in [0, 1]",
            "At program exit the register R0 has value (0x7; 0x0) should have been in (0x0; 0x1)",
        ] {
            let (cause, _) = explained("(95) exit", message);
            assert_eq!(cause, "programs of the kind `kprobe` must return a value in [0, 1]");
        }
    }

    #[test]
    fn loops_and_sizes() {
        let cause = |message| explained("(05) goto pc-3", message).0;
        assert_eq!(cause("infinite loop detected at insn 2"), "a loop does not end");
        assert!(cause("back-edge from insn 21 to 11").contains("calls itself"));
        let text = cause("BPF program is too large. Processed 1000001 insn");
        assert!(text.contains("gave up after 1000001 instructions"), "{text}");
        let text = cause("combined stack size of 2 calls is 832. Too large");
        assert!(text.contains("use 832 bytes of stack in total"), "{text}");
        assert!(cause("the call stack of 9 frames is too deep").contains("8 levels"));
        assert!(cause("The sequence of 8193 jumps is too complex.").contains("branches"));
    }
}
