// SPDX-License-Identifier: MIT
use super::*;

fn program(section: &str, helpers: &[&str], kfuncs: &[&str]) -> ProgramReport {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ProgramReport {
        name: "f".into(),
        section: section.into(),
        helpers: own(helpers),
        kfuncs: own(kfuncs),
        ..ProgramReport::default()
    }
}

fn effects(program: &ProgramReport, operations: Option<&str>) -> Vec<String> {
    let mut found = Found::default();
    found.kind(program, operations.map(str::to_owned).as_ref());
    found.calls(program, false);
    let lines = found.findings().into_iter().map(|finding| {
        let evidence: Vec<String> = finding.evidence.iter().map(ToString::to_string).collect();
        format!("{:?}: {}", finding.effect, evidence.join(", "))
    });
    lines.collect()
}

#[test]
fn kinds_helpers_and_kfuncs_are_evidence() {
    let plain = program("kprobe/f", &["bpf_map_lookup_elem", "bpf_ringbuf_output"], &[]);
    assert!(effects(&plain, None).is_empty());
    let kill = program("tp/a/b", &["bpf_send_signal", "bpf_trace_printk"], &[]);
    assert_eq!(
        effects(&kill, None),
        ["SendsSignals: f: bpf_send_signal", "WritesTraceLog: f: bpf_trace_printk"]
    );
    let packets = program("xdp", &["bpf_redirect"], &[]);
    assert_eq!(effects(&packets, None), ["ChangesPackets: f: xdp, f: bpf_redirect"]);
    let unknown = program("tp/a/b", &["#300"], &["bpf_new", "bpf_rcu_read_lock"]);
    assert_eq!(effects(&unknown, None), ["MayChangeKernel: f: #300, f: bpf_new"]);
    let scheduler = program("struct_ops/select_cpu", &[], &[]);
    assert_eq!(
        effects(&scheduler, Some("sched_ext_ops")),
        [
            "ReplacesFunctions: f: struct_ops sched_ext_ops",
            "Schedules: f: struct_ops sched_ext_ops",
            "ReadsKernelMemory: f: struct_ops sched_ext_ops",
        ]
    );
}

#[test]
fn code_that_is_not_found_counts_as_unknown() {
    let mut found = Found::default();
    found.calls(&program("kprobe/f", &[], &[]), true);
    let report = Report { effects: found.findings(), ..Report::default() };
    assert!(!report.observes_only());
}

#[test]
fn targets_on_the_command_line_count() {
    let programs = vec![program("fentry/f", &[], &[])];
    let mut report = Report { programs, ..Report::default() };
    let target = |kind: &str| AttachArg {
        pattern: "f*".into(),
        kind: kind.into(),
        target: Some("g".into()),
    };
    retarget(&mut report, &[target("tp_btf"), target("perf")]);
    assert!(report.observes_only() && report.programs[0].kind == "tp_btf");
    retarget(&mut report, &[target("fmod_ret")]);
    assert!(!report.observes_only() && report.programs[0].kind == "fmod_ret");
}
