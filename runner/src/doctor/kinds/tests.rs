// SPDX-License-Identifier: MIT
use super::*;
use crate::attach;

fn refused(kind: &str, refusal: Refusal, config: &Config) -> Check {
    let row = &KINDS[row_of(kind).unwrap()];
    row.check(Err(refusal), config).check
}

#[test]
fn every_section_that_is_attached_is_tried() {
    for section in attach::sections() {
        assert!(row_of(section).is_some(), "{section}");
    }
    let name = |section: &str| row_of(section).map(|at| KINDS[at].kind);
    assert_eq!(name("tp/sched/sched_switch"), Some("tp"));
    assert_eq!(name("cgroup/connect6"), Some("cgroup"));
    assert_eq!(name("cgroup/post_bind4"), Some("cgroup/sock"));
    assert_eq!(name("xdp.frags/devmap"), Some("xdp/devmap"));
    assert_eq!(name("uretprobe.multi/x:y"), Some("uprobe.multi"));
    assert_eq!(name("xdp_pass"), Some("xdp"));
    assert_eq!(name("unheard/of"), None);
}

#[test]
fn capabilities_that_are_missing() {
    let has = |of: &[Capability]| Some(Capabilities::of(of));
    assert_eq!(lacks("kprobe", has(&[])), ["CAP_BPF", "CAP_PERFMON"]);
    assert_eq!(lacks("xdp", has(&[Capability::BPF])), ["CAP_NET_ADMIN"]);
    assert!(lacks("xdp", has(&[Capability::SYS_ADMIN])).is_empty());
    assert_eq!(lacks("", has(&[])), ["CAP_BPF"]);
    assert!(lacks("xdp", None).is_empty(), "unknown, so it is tried");
    // Nothing is tried without them.
    let checks = check(has(&[]), None, &Config::default());
    assert!(checks.iter().all(|kind| kind.check.state == State::Unknown));
    let first = checks[0].check.reason.as_deref();
    assert_eq!(first, Some("not tried: this user lacks CAP_BPF, CAP_PERFMON"));
}

#[test]
fn refusals_in_words() {
    let error = io::Error::from_raw_os_error;
    let unknown = &Config::default();
    let check = refused("fentry", Refusal::Loading(error(libc::EPERM)), unknown);
    assert_eq!(
        check.reason.as_deref(),
        Some(
            "the kernel refuses to load it, although no capability is missing: Operation not permitted"
        )
    );
    let check = refused("netfilter", Refusal::Loading(error(libc::EINVAL)), unknown);
    assert!(check.reason.unwrap().starts_with("the kernel does not know it: Invalid argument"));
    let without = &Config::parse("CONFIG_BPF_EVENTS=y\n");
    let check = refused("kprobe", Refusal::Attaching(error(libc::ENOENT)), without);
    let reason = check.reason.unwrap();
    assert!(reason.starts_with("loads, but does not attach: No such file"), "{reason}");
    assert!(reason.ends_with("; the kernel was built without CONFIG_KPROBES"), "{reason}");
}

#[test]
fn without_btf_what_needs_it_is_not_tried() {
    let row = &KINDS[row_of("fentry").unwrap()];
    let Err(Refusal::Untried(reason)) = row.attempt(None) else { panic!("it was tried") };
    assert_eq!(reason, "not tried: the kernel has no BTF");
}

#[test]
fn advice_names_what_works() {
    let kind = |check: Check, loads| KindCheck { check, loads, ..KindCheck::default() };
    let mut checks = [
        kind(Check::missing("fentry"), State::Missing),
        kind(Check::missing("netfilter"), State::Missing),
        kind(Check::missing("kprobe"), State::Ok),
        kind(Check::ok("tp"), State::Ok),
    ];
    advise(&mut checks);
    assert_eq!(checks[0].check.advice.as_deref(), Some("a package that uses tracepoints may work"));
    assert!(checks[1..].iter().all(|kind| kind.check.advice.is_none()));
}
