// SPDX-License-Identifier: MIT
//! The messages of the verifier that tracers meet, each with the cause in words and a remedy. The
//! messages are those of kernel/bpf/verifier.c, Linux 5.10 to 7.3.

mod calls;
mod flow;
mod memory;

use crate::reason::{Facts, Reason};

/// The reason that a message stands for; `None` if it is not known.
pub(crate) fn of(facts: &Facts<'_, '_>) -> Option<Reason> {
    memory::of(facts).or_else(|| calls::of(facts)).or_else(|| flow::of(facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Instruction;
    use crate::reason::tests::facts;

    /// The cause and the hint of a message after an instruction.
    pub(super) fn explained(instruction: &str, message: &str) -> (String, String) {
        let facts = Facts {
            refused: Some(Instruction { index: 7, text: instruction }),
            made: &|_| Some("bpf_ringbuf_reserve"),
            section: "?kprobe/f",
            ..facts(message)
        };
        let reason = of(&facts).unwrap_or_else(|| panic!("{message}"));
        (reason.cause.unwrap_or_default(), reason.hint.unwrap_or_default())
    }

    #[test]
    fn what_does_not_explain_is_no_reason() {
        for message in
            ["", "R0 is fine", "R", "R11 !read_ok?", "R1 offset is outside of the packet"]
        {
            assert!(of(&facts(message)).is_none(), "{message}");
        }
    }
}
