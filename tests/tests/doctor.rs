// SPDX-License-Identifier: MIT
//! `ecli doctor`: what it reports is what this machine can do, and nothing stays behind.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use std::path::Path;

use bpfpack_tests::{can, ecli, eventually, is_root, json, pack, program, root, run, scratch, sys};
use serde_json::Value;

/// The report as JSON, which the schema describes.
fn diagnosis(report: &bpfpack_tests::Outcome) -> Value {
    let mut objects = report.objects();
    assert_eq!(objects.len(), 1);
    let value = objects.remove(0);
    let schema = json(&root().join("schemas/diagnosis.schema.json"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    value
}

fn named<'v>(report: &'v Value, list: &str, name: &str) -> &'v Value {
    let found = report[list].as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` among {list}"))
}

#[test]
fn what_works_here_is_ok_and_nothing_stays() {
    if !is_root() {
        return;
    }
    let probes = || {
        let programs = sys::loaded_programs().into_iter();
        programs.filter(|(_, name)| name == "ecli_probe").map(|(id, _)| id).collect::<Vec<_>>()
    };
    let (begin, before) = (Instant::now(), probes());
    let report = diagnosis(&ecli(&["doctor", "-j"]).succeeded());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    // Others may be trying the same.
    eventually("its programs are gone", || {
        probes().iter().all(|id| before.contains(id)) || probes().is_empty()
    });
    for kind in
        ["tp_btf", "raw_tp", "tp", "uprobe", "uretprobe", "uprobe.multi", "perf_event", "iter"]
    {
        let kind = named(&report, "kinds", kind);
        assert_eq!((&kind["state"], &kind["attaches"]), (&"ok".into(), &"ok".into()), "{kind}");
    }
    for kind in ["kprobe", "xdp", "tc", "cgroup", "cgroup_skb", "sockops", "socket", "sk_lookup"] {
        let kind = named(&report, "kinds", kind);
        assert_eq!(kind["loads"], "ok", "{kind}");
    }
    for (list, name) in [
        ("system", "kernel BTF"),
        ("privileges", "CAP_BPF"),
        ("maps", "ringbuf"),
        ("maps", "task_storage"),
        ("helpers", "bpf_loop"),
        ("features", "reading maps in batches"),
    ] {
        assert_eq!(named(&report, list, name)["state"], "ok", "{name}");
    }
    // Whatever is refused has a reason.
    for list in ["kinds", "maps", "helpers", "features", "configuration"] {
        for check in report[list].as_array().unwrap() {
            assert!(check["state"] == "ok" || check["reason"].is_string(), "{check}");
        }
    }
}

#[test]
fn ecli_run_agrees() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/vfslat/vfslat.bpf.c", &dir);
    let report = diagnosis(&ecli(&["doctor", "-j", &package]).succeeded());
    let said = &report["packages"][0];
    assert_eq!(said["programs"].as_array().unwrap().len(), 8);
    let outcome = ecli(&["run", "-d", "0.1", &package]);
    assert_eq!(said["state"] == "ok", outcome.code == 0, "{said}\n{outcome:?}");
}

#[test]
fn packages_and_their_programs_are_listed() {
    let dir = scratch();
    let package = pack("examples/opensnoop/opensnoop.bpf.c", &dir);
    let text = ecli(&["doctor", &package]).succeeded().stdout;
    assert!(text.contains(&format!("\nPackage {package}\n")), "{text}");
    assert!(text.contains("openat_enter   tp/syscalls/sys_enter_openat"), "{text}");
    if is_root() {
        assert!(text.contains("ok  it can run here"), "{text}");
    }
    ecli(&["doctor", "/absent.json"]).failed(3, &["/absent.json"]);
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    let has_setpriv = Path::new("/usr/bin/setpriv").exists();
    if !is_root() || !can("needs setpriv (apt-get install util-linux)", has_setpriv) {
        return;
    }
    let ecli = program("ecli");
    let as_other = ["--reuid=65534", "--regid=65534", "--clear-groups", ecli.to_str().unwrap()];
    let report =
        diagnosis(&run("setpriv", &[&as_other[..], &["doctor", "-j"]].concat()).succeeded());
    assert_eq!(named(&report, "privileges", "CAP_BPF")["state"], "missing");
    let kind = named(&report, "kinds", "tp");
    assert_eq!(kind["state"], "unknown");
    assert_eq!(kind["lacks"], serde_json::json!(["CAP_BPF", "CAP_PERFMON"]));
    let text = run("setpriv", &[&as_other[..], &["doctor"]].concat()).succeeded().stdout;
    for words in ["not tried: this user lacks CAP_BPF", "hint: run it as root: sudo ecli"] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}
