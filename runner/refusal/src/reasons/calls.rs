// SPDX-License-Identifier: MIT
//! Calls of helpers and kfuncs that this kernel, this kind of program or this license does not
//! allow, and what has to be released.

use bpfpack_schemas::object::helpers;

use crate::reason::{Facts, Reason};
use crate::since;

pub(super) fn of(facts: &Facts<'_, '_>) -> Option<Reason> {
    unknown(facts).or_else(|| licensed(facts)).or_else(|| sleeping(facts)).or_else(|| kept(facts))
}

fn unknown(facts: &Facts<'_, '_>) -> Option<Reason> {
    // The kernel has fewer helpers.
    if let Some(number) = facts.number("invalid func unknown#") {
        let number = u32::try_from(number).ok()?;
        let Some(name) = helpers::name(number) else {
            return Some(Reason::new(format!("no kernel has a helper of the number {number}")));
        };
        let since = since::available(since::helper(number));
        return Some(
            Reason::new(format!("this kernel does not have the helper `{name}`{since}")).hint(
                format!(
                    "call it only if the kernel has it: if (bpf_core_enum_value_exists(enum \
                 bpf_func_id, BPF_FUNC_{}))",
                    name.trim_start_matches("bpf_")
                ),
            ),
        );
    }
    let name = facts
        .between("unknown func ", "#")
        .or_else(|| facts.between("program of this type cannot use helper ", "#"))
        .or_else(|| facts.between("calling kernel function ", " is not allowed"));
    if let Some(name) = name {
        let kind = facts.kind();
        return Some(Reason::new(format!(
            "this kernel does not let programs of the kind `{kind}` call `{name}`"
        )));
    }
    if let Some(name) = facts.between("kfunc '", "' is referenced but wasn't resolved") {
        return Some(
            Reason::new(format!("this kernel has no kfunc `{name}`"))
                .hint(format!("call it only if the kernel has it: if (bpf_ksym_exists({name}))")),
        );
    }
    // Linux 5.11 and earlier.
    if let Some(function) = facts.between(" in ", "() is not supported yet") {
        return Some(Reason::new(format!(
            "this kernel does not verify the global function `{function}` with a pointer as its \
             argument, which is possible since Linux 5.12"
        )));
    }
    if facts.says("helper call is not allowed in probe") {
        let name = facts.function();
        let kind = facts.kind();
        return Some(Reason::new(format!(
            "this kernel lets programs of the kind `{kind}` call {name} only for some functions"
        )));
    }
    // Linux 5.12 and earlier.
    facts.says("number of funcs in func_info doesn't match").then(|| {
        Reason::new(
            "this kernel does not let helpers call functions of the program (bpf_loop, \
             bpf_for_each_map_elem, timers), which is possible since Linux 5.13",
        )
    })
}

fn licensed(facts: &Facts<'_, '_>) -> Option<Reason> {
    let is_function = facts.says("cannot call GPL-restricted function")
        || facts.says("cannot call GPL only function");
    is_function.then(|| {
        let name = facts.function();
        let cause = format!("{name} is only for programs with a license that is compatible with the GPL");
        match facts.license {
            Some(license) => Reason::new(format!("{cause}, and the license is `{license}`")),
            None => Reason::new(format!("{cause}, and the source names no license")),
        }
        .hint("if that is its license, the source says so: char LICENSE[] SEC(\"license\") = \"GPL\";")
    })
}

fn sleeping(facts: &Facts<'_, '_>) -> Option<Reason> {
    let kind = facts.kind();
    if facts.says("might sleep in a non-sleepable prog")
        || facts.says("in non-sleepable prog")
        || facts.says("must be sleepable to call sleepable kfunc")
    {
        let name = facts.function();
        return Some(
            Reason::new(format!("{name} may sleep, and programs of the kind `{kind}` may not"))
                .hint(
                    "programs of the kinds fentry.s and lsm.s may, and on Linux 6.0 and later also uprobe.s, \
                     iter.s and syscall",
                ),
        );
    }
    if facts.says("not allowed while holding a lock") {
        let name = facts.function();
        return Some(
            Reason::new(format!("{name} is called while a lock is held"))
                .hint("call it before bpf_spin_lock, or after bpf_spin_unlock"),
        );
    }
    if facts.says("programs can be sleepable") || facts.says(" is not sleepable") {
        return Some(Reason::new(format!(
            "this kernel does not let programs of the kind `{kind}` sleep there"
        )));
    }
    if let Some(region) = facts.between("cannot be used inside ", "-ed region") {
        return Some(
            Reason::new(format!(
                "the program ends, or calls a function, after `{region}`, which is not allowed"
            ))
            .hint("undo it before each return, and before such a call"),
        );
    }
    facts.says("bpf_spin_unlock is missing").then(|| {
        Reason::new("a lock is still held when the program ends")
            .hint("call bpf_spin_unlock before each return")
    })
}

/// What is not released: "Unreleased reference id=2 alloc_insn=4".
fn kept(facts: &Facts<'_, '_>) -> Option<Reason> {
    // A message about a leak without a number may follow.
    if !facts.says("Unreleased reference") {
        return None;
    }
    let index = facts.number("alloc_insn=");
    let made = index.and_then(|index| u32::try_from(index).ok()).and_then(facts.made);
    let name = made.map_or("a function".to_owned(), |name| format!("`{name}`"));
    let reason = Reason::new(format!("what {name} returns is not released on every path"))
        .of_instruction(index);
    let release = match made.unwrap_or_default() {
        "bpf_ringbuf_reserve" => "bpf_ringbuf_submit or bpf_ringbuf_discard",
        "bpf_sk_lookup_tcp" | "bpf_sk_lookup_udp" | "bpf_skc_lookup_tcp" => "bpf_sk_release",
        "bpf_task_acquire" | "bpf_task_from_pid" => "bpf_task_release",
        "bpf_cgroup_acquire" | "bpf_cgroup_from_id" => "bpf_cgroup_release",
        _ => return Some(reason),
    };
    Some(reason.hint(format!("call {release} before each return")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::explained;

    #[test]
    fn helpers_that_are_missing_or_not_allowed() {
        let (cause, hint) = explained("(85) call unknown#181", "invalid func unknown#181");
        assert_eq!(
            cause,
            "this kernel does not have the helper `bpf_loop`, which is available since Linux 5.17"
        );
        assert!(hint.contains("BPF_FUNC_loop"), "{hint}");
        let (cause, _) = explained("(85) call unknown#9999", "invalid func unknown#9999");
        assert_eq!(cause, "no kernel has a helper of the number 9999");
        for message in [
            "unknown func bpf_skb_load_bytes#26",
            "program of this type cannot use helper bpf_skb_load_bytes#26",
        ] {
            let (cause, _) = explained("(85) call bpf_skb_load_bytes#26", message);
            let expected = "programs of the kind `kprobe` call `bpf_skb_load_bytes`";
            assert!(cause.ends_with(expected), "{cause}");
        }
    }

    #[test]
    fn references_are_released() {
        let (cause, hint) = explained("(95) exit", "Unreleased reference id=2 alloc_insn=4");
        assert_eq!(cause, "what `bpf_ringbuf_reserve` returns is not released on every path");
        assert!(hint.starts_with("call bpf_ringbuf_submit or bpf_ringbuf_discard"));
    }
}
