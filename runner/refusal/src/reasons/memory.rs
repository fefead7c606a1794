// SPDX-License-Identifier: MIT
//! Accesses to memory: pointers that may be NULL, indexes and sizes without a bound, bytes that have
//! no value, memory that is not the program's.

use crate::reason::{Facts, Reason};

pub(super) fn of(facts: &Facts<'_, '_>) -> Option<Reason> {
    null(facts)
        .or_else(|| packet(facts))
        .or_else(|| size(facts))
        .or_else(|| bounds(facts))
        .or_else(|| unset(facts))
        .or_else(|| foreign(facts))
        .or_else(|| context(facts))
}

const CHECK: &str = "compare it with NULL first, and return if it is NULL";

fn null(facts: &Facts<'_, '_>) -> Option<Reason> {
    let is_access = facts.says("invalid mem access '") && facts.says("_or_null'");
    let is_arithmetic = facts.says("pointer arithmetic on ") && facts.says("_or_null prohibited");
    if is_access || is_arithmetic {
        let cause = format!("{} may be NULL, and is used without a check", facts.pointer());
        return Some(Reason::new(cause).of_register(facts.register()).hint(CHECK));
    }
    let is_argument =
        facts.says("_or_null expected=") || facts.says("Possibly NULL pointer passed");
    is_argument.then(|| {
        Reason::new(format!("{} may be NULL", facts.argument_or_any()))
            .of_register(facts.register())
            .hint(CHECK)
    })
}

fn packet(facts: &Facts<'_, '_>) -> Option<Reason> {
    facts.says("invalid access to packet").then(|| {
        Reason::new("bytes of a packet are accessed without a check that the packet has them")
            .hint("compare with its end first: if ((void *)(header + 1) > data_end) return …")
    })
}

/// Sizes that are given to helpers.
fn size(facts: &Facts<'_, '_>) -> Option<Reason> {
    let function = facts.called()?;
    let register = facts.register();
    if facts.says("min value is negative, either use unsigned or 'var") {
        return Some(
            Reason::new(format!("the size for `{function}` may be negative"))
                .of_register(register)
                .hint("use an unsigned type, or check that it is not less than 0"),
        );
    }
    if facts.says("unbounded memory access, use 'var &= const'") {
        return Some(
            Reason::new(format!("the size for `{function}` may be larger than the buffer"))
                .of_register(register)
                .hint("compare it with the size of the buffer first, and return if it is larger"),
        );
    }
    facts.says("invalid zero-sized read").then(|| {
        Reason::new(format!("the size for `{function}` may be 0"))
            .of_register(register)
            .hint("check that it is not 0")
    })
}

fn bounds(facts: &Facts<'_, '_>) -> Option<Reason> {
    const INDEX: &str = "compare it with the number of elements first, and return if it is not less; an unsigned \
         type has no negative values";
    let register = facts.register();
    let is_unbounded = facts.says("math between ") && facts.says(" register with unbounded");
    if is_unbounded
        || facts.says("unbounded memory access, make sure to bounds check")
        || facts.says("unbounded variable-offset")
        || facts.says("invalid variable-offset")
        || facts.says("max value is outside of the allowed memory range")
    {
        let cause = "an index or offset may be outside of the memory that is accessed";
        return Some(Reason::new(cause).of_register(register).hint(INDEX));
    }
    if facts.says("min value is negative") {
        let cause = "an index or offset may be negative";
        return Some(Reason::new(cause).of_register(register).hint(INDEX));
    }
    // "invalid access to map value, value_size=8 off=8 size=8"
    let what = facts.between("invalid access to ", ",")?;
    let limit =
        facts.number("value_size=").or(facts.number("key_size=")).or(facts.number("mem_size="));
    let (offset, size, limit) = (facts.number("off=")?, facts.number("size=")?, limit?);
    // In "value_size=8 off=8 size=8", the first "size=" is a part of the first word.
    let size = facts.message.rsplit_once(" size=").map_or(Some(size), |(_, n)| n.parse().ok())?;
    Some(Reason::new(format!(
        "{size} bytes at offset {offset} are accessed, but the {what} has {limit} bytes"
    )))
}

fn unset(facts: &Facts<'_, '_>) -> Option<Reason> {
    if facts.message.ends_with("!read_ok") {
        return Some(
            Reason::new("a variable is used before it has a value")
                .hint("give it a value where it is declared"),
        );
    }
    // "invalid read from stack off -16+0 size 8"; with "off=-16", the access is out of bounds.
    let is_of_stack =
        facts.says("from stack") || facts.says("access to stack") || facts.says("write to stack");
    if !is_of_stack && !facts.says("invalid stack off=") {
        return None;
    }
    if let (Some(offset), Some(size)) = (facts.number("off="), facts.number("size=")) {
        if offset < -512 {
            let cause = format!("a function uses {} bytes of stack; the limit is 512", -offset);
            return Some(Reason::new(cause));
        }
        return Some(Reason::new(match facts.called() {
            Some(function) => format!(
                "a variable on the stack is smaller than the {size} bytes that `{function}` accesses"
            ),
            None => format!("{size} bytes are accessed outside of the stack, at offset {offset}"),
        }));
    }
    facts.says(" off ").then(|| {
        let cause = match facts.called() {
            Some(function) => {
                format!("bytes on the stack that have no value are given to `{function}`")
            }
            None => "the program reads bytes on the stack that have no value".to_owned(),
        };
        Reason::new(cause).hint(
            "set all of it to 0 first, including the padding between members: \
             __builtin_memset(&key, 0, sizeof(key))",
        )
    })
}

fn foreign(facts: &Facts<'_, '_>) -> Option<Reason> {
    if let Some(kind) = facts.between("invalid mem access '", "'") {
        return Some(match kind {
            "scalar" | "inv" => Reason::new(
                "the program accesses memory that is not its own: to the verifier, the address is only \
                 a number",
            )
            .of_register(facts.register())
            .hint(
                "read memory of the kernel with BPF_CORE_READ or bpf_probe_read_kernel, and memory \
                 of a process with bpf_probe_read_user",
            ),
            "map_ptr" => Reason::new("a map is read as if it were memory"),
            kind => {
                Reason::new(format!("memory of the kind `{kind}` cannot be accessed in this way"))
                    .of_register(facts.register())
            }
        });
    }
    if facts.says("write into map forbidden") || facts.says("cannot write into rdonly") {
        return Some(
            Reason::new("a constant is written, or a map that programs may only read")
                .hint("programs can write variables that are declared without `const`"),
        );
    }
    if facts.says("must be referenced or trusted") {
        let argument = facts.argument_or_any();
        return Some(Reason::new(format!(
            "{argument} is not a pointer from the kernel that is known to be valid"
        )));
    }
    // "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value"
    let has = facts.between("type=", " expected=")?;
    let argument = facts.argument()?;
    let expected = facts.message.split_once("expected=").map_or("", |(_, rest)| rest);
    let is_memory = expected.starts_with("fp,");
    let cause = match has {
        "scalar" | "inv" => {
            format!("{argument} is a number, not a pointer to memory of the program")
        }
        has => format!("{argument} is of the kind `{has}`, which is not allowed there"),
    };
    let reason = Reason::new(cause).of_register(facts.register());
    Some(match is_memory {
        true => reason.hint("give it the address of a variable of the program that has the value"),
        false => reason,
    })
}

fn context(facts: &Facts<'_, '_>) -> Option<Reason> {
    let kind = facts.kind();
    if facts.says("invalid bpf_context access") {
        let (offset, size) = (facts.number("off=")?, facts.number("size=")?);
        if size > 0 && offset % size != 0 {
            return Some(Reason::new(format!(
                "{size} bytes of the context are accessed at offset {offset}, which is not a \
                 multiple of {size}"
            )));
        }
        return Some(Reason::new(format!(
            "programs of the kind `{kind}` cannot access {size} bytes at offset {offset} of their \
             context"
        )));
    }
    if facts.says("dereference of modified ctx ptr") {
        return Some(Reason::new(
            "a changed pointer to the context is used; members are accessed through the context \
             itself",
        ));
    }
    if facts.says("variable ctx access") {
        return Some(Reason::new("the context is accessed at an offset that is not a constant"));
    }
    facts.says("misaligned ").then(|| {
        Reason::new("a number is accessed at an address that is not a multiple of its size")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::explained;

    const CALL: &str = "(85) call bpf_probe_read_kernel#113";
    const READ: &str = "(61) r0 = *(u32 *)(r1 +0)";

    fn cause(instruction: &str, message: &str) -> String {
        explained(instruction, message).0
    }

    #[test]
    fn messages_of_several_kernels_have_the_same_cause() {
        for kind in ["map_value_or_null", "alloc_mem_or_null", "ringbuf_mem_or_null"] {
            let text = cause(READ, &format!("R1 invalid mem access '{kind}'"));
            assert_eq!(text, "a pointer may be NULL, and is used without a check");
        }
        let prohibited =
            "R0 pointer arithmetic on map_value_or_null prohibited, null-check it first";
        assert!(cause("(07) r0 += 4", prohibited).contains("may be NULL"));
        for kind in ["inv", "scalar"] {
            let (text, hint) = explained(READ, &format!("R1 invalid mem access '{kind}'"));
            assert!(text.contains("not its own") && hint.contains("BPF_CORE_READ"));
        }
        for list in ["fp, pkt, pkt_meta, map_value", "fp, pkt, pkt_meta, map_key, map_value, mem"] {
            let text = cause(CALL, &format!("R2 type=inv expected={list}"));
            let expected = "argument 2 of `bpf_probe_read_kernel` is a number, not a pointer";
            assert!(text.starts_with(expected), "{text}");
        }
        let text = cause(CALL, "R3 type=map_value_or_null expected=fp, pkt");
        assert_eq!(text, "argument 3 of `bpf_probe_read_kernel` may be NULL");
    }

    #[test]
    fn sizes_and_indexes() {
        let text =
            cause(CALL, "R2 unbounded memory access, use 'var &= const' or 'if (var < const)'");
        assert_eq!(text, "the size for `bpf_probe_read_kernel` may be larger than the buffer");
        let negative = "R2 min value is negative, either use unsigned or 'var &= const'";
        assert!(cause(CALL, negative).contains("may be negative"));
        let text = "R2 unbounded memory access, make sure to bounds check any such access";
        assert!(cause(READ, text).contains("an index or offset may be outside"));
        let text = "math between map_value pointer and register with unbounded min value is not \
            allowed";
        assert!(cause("(0f) r0 += r1", text).contains("an index or offset may be outside"));
        let text = "invalid unbounded variable-offset read from stack R7";
        assert!(cause(READ, text).contains("an index or offset may be outside"));
        let text = cause(READ, "invalid access to map value, value_size=16 off=12 size=8");
        assert_eq!(text, "8 bytes at offset 12 are accessed, but the map value has 16 bytes");
    }

    #[test]
    fn stacks_and_contexts() {
        let text = cause(CALL, "invalid indirect read from stack R2 off -8+4 size 8");
        assert!(text.contains("no value are given to `bpf_probe_read_kernel`"), "{text}");
        assert!(cause(READ, "invalid read from stack off -16+0 size 8").contains("no value"));
        let text =
            cause("(7b) *(u64 *)(r10 -520) = r1", "invalid write to stack R10 off=-520 size=8");
        assert_eq!(text, "a function uses 520 bytes of stack; the limit is 512");
        let text = cause(CALL, "invalid write to stack R1 off=-8 size=16");
        let expected = "a variable on the stack is smaller than the 16 bytes that `bpf_probe_read_kernel` accesses";
        assert_eq!(text, expected);
        let text = cause(READ, "invalid bpf_context access off=4 size=8");
        assert!(text.contains("at offset 4, which is not a multiple of 8"), "{text}");
        let text = cause(READ, "invalid bpf_context access off=8192 size=8");
        assert!(text.starts_with("programs of the kind `kprobe` cannot access 8 bytes"), "{text}");
    }
}
