// SPDX-License-Identifier: MIT
use bpfpack_schemas::diagnosis::{KindCheck, PackageCheck};

use super::*;

fn kind(check: Check) -> KindCheck {
    KindCheck { check, ..KindCheck::default() }
}

fn report() -> Diagnosis {
    let refused =
        "loads, but does not attach: No such file; the kernel was built without CONFIG_KPROBES";
    let hint = "this kernel has no kprobes; a package that uses tracepoints may work";
    Diagnosis {
        ecli: "1.2.3".into(),
        kernel: "6.18.1".into(),
        architecture: "x86_64".into(),
        system: vec![
            Check::ok("kernel BTF").value("4.9 MB"),
            Check::ok("tracefs").because("not mounted; ecli reaches it without a mount"),
            Check::missing("bpffs")
                .because("not mounted; --pin needs it")
                .advice("mount -t bpf bpf /sys/fs/bpf"),
        ],
        configuration: vec![Check::unknown("configuration").because("no file has it")],
        privileges: vec![
            Check::ok("CAP_BPF"),
            Check::ok("CAP_PERFMON"),
            Check::ok("lockdown").value("none"),
        ],
        kinds: vec![
            kind(Check::ok("tp").because("loads and attaches")),
            kind(Check::missing("kprobe").because(refused).advice(hint)),
            kind(Check::ok("uprobe").because("loads and attaches")),
            kind(Check::missing("ksyscall").because(refused).advice(hint)),
            kind(Check::unknown("freplace").because("not tried")),
        ],
        maps: vec![
            Check::ok("hash"),
            Check::ok("array"),
            Check::missing("arena").because("the kernel does not have it"),
        ],
        packages: vec![PackageCheck {
            check: Check::missing("a\x1b[31m.json")
                .because("it cannot run as a whole: on_open cannot"),
            programs: vec![
                Check::ok("on_exec").value("tp/sched/sched_process_exec"),
                Check::missing("on_open")
                    .value("kprobe/do_sys_openat2")
                    .because(refused)
                    .advice(hint),
            ],
        }],
        ..Diagnosis::default()
    }
}

#[test]
fn results_in_words() {
    let text = of(&report());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}
