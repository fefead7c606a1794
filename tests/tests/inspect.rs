// SPDX-License-Identifier: MIT
//! `ecli inspect`, and what `--observe-only` and policies refuse. Nothing is loaded here, so no test
//! needs root.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_tests::wasm::fixtures;
use bpfpack_tests::{ecli, pack, program, run, scratch};
use serde_json::{Value, json};

fn inspect(package: &str) -> Value {
    let mut objects = ecli(&["inspect", "--json", package]).succeeded().objects();
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

/// Effects, as "effect: program: evidence".
fn effects(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |finding: &Value| {
        let evidence = finding["evidence"].as_array().unwrap().iter().map(|evidence| {
            let (effect, program) = (text(&finding["effect"]), text(&evidence["program"]));
            format!("{effect}: {program}: {}", text(&evidence["what"]))
        });
        evidence.collect::<Vec<_>>()
    };
    report["effects"].as_array().unwrap().iter().flat_map(of).collect()
}

fn named<'v>(report: &'v Value, list: &str, name: &str) -> &'v Value {
    report[list].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap()
}

#[test]
fn a_tracer_that_observes() {
    let dir = scratch();
    let package = pack("examples/opensnoop/opensnoop.bpf.c", &dir);
    let report = inspect(&package);
    assert_eq!(report["license"], "GPL");
    assert_eq!(report["capabilities"], json!(["CAP_BPF", "CAP_PERFMON"]));
    let effects = effects(&report);
    assert!(effects.iter().all(|effect| effect.starts_with("reads_user_memory: ")), "{effects:?}");
    assert!(effects.contains(&"reads_user_memory: open_exit: bpf_probe_read_user_str".to_owned()));
    let program = named(&report, "programs", "openat_enter");
    assert_eq!(program["section"], "tp/syscalls/sys_enter_openat");
    assert_eq!(program["kind"], "tp");
    assert_eq!(program["runs"], "at the tracepoint syscalls/sys_enter_openat");
    let calls = named(&report, "maps", "calls");
    assert_eq!((&calls["type"], &calls["max_entries"]), (&json!("hash"), &json!(10240)));
    assert!(calls["memory"].as_u64().unwrap() > 10_240 * 20);
    assert_eq!(named(&report, "maps", ".rodata")["internal"], true);
    let arguments: Vec<&Value> =
        report["arguments"].as_array().unwrap().iter().map(|argument| &argument["long"]).collect();
    assert!(arguments.contains(&&json!("pid")), "{arguments:?}");
    assert_eq!(report["sources"][0]["shown_as"], "records of a ring buffer");
    assert_eq!(report["instrumentation"]["buffers"], json!(["events"]));
    for digest in [&report["sha256"]["file"], &report["sha256"]["object"]] {
        assert_eq!(digest.as_str().unwrap().len(), 64);
    }

    let text = ecli(&["inspect", &package]).succeeded().stdout;
    for words in [
        "It only observes the system.",
        "  openat_enter\n    section  tp/syscalls/sys_enter_openat\n",
        "\nArguments\n",
        "--as-is",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    let long = |line: &&str| line.chars().count() > 80 && line.split_whitespace().count() > 2;
    assert_eq!(text.lines().find(long), None);
}

#[test]
fn effects_of_helpers_in_called_functions_and_of_kinds() {
    let dir = scratch();
    let report = inspect(&pack("tests/fixtures/signals.bpf.c", &dir));
    assert_eq!(
        effects(&report),
        [
            "sends_signals: handle_ptrace: bpf_send_signal",
            "denies_operations: handle_open: lsm",
            "reads_kernel_memory: handle_open: lsm",
            "pins_maps: : map killed",
        ]
    );
    let first = named(&report, "programs", "handle_ptrace");
    assert_eq!(first["functions"], 1);
    assert!(first["helpers"].as_array().unwrap().contains(&json!("bpf_map_update_elem")));
    assert_eq!(named(&report, "programs", "handle_open")["on_request"], true);
    assert_eq!(named(&report, "maps", "killed")["pinned"], true);
    assert_eq!(report.get("instrumentation"), None);
    assert_eq!(report["arguments"][0]["default"], "9");
}

#[test]
fn writes_to_the_registers_of_processes() {
    let dir = scratch();
    let report = inspect(&pack("tests/fixtures/registers.bpf.c", &dir));
    assert_eq!(effects(&report), ["changes_registers: changes: writes to its context"]);
}

#[test]
fn operations_and_kfuncs() {
    let dir = scratch();
    let report = inspect(&pack("examples/reno/reno.bpf.c", &dir));
    let effects = effects(&report);
    for wanted in [
        "replaces_functions: reno_init: struct_ops tcp_congestion_ops",
        "may_change_kernel: reno_ssthresh: tcp_reno_ssthresh",
    ] {
        assert!(effects.iter().any(|effect| effect == wanted), "{effects:?}");
    }
}

#[test]
fn instructions_stand_below_their_lines() {
    let dir = scratch();
    let package = pack("tests/fixtures/signals.bpf.c", &dir);
    let text = ecli(&["inspect", "--disassemble", &package]).succeeded().stdout;
    for words in [
        "handle_ptrace (tp/syscalls/sys_enter_ptrace, ",
        "; signals.bpf.c:25: bpf_map_update_elem(&killed, &pid, &now, BPF_ANY);\n",
        "r1 = map[killed]\n",
        ") call kill\n",
        "(85) call bpf_send_signal#109\n",
        "kill (.text, ",
        "(95) exit\n",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
}

#[test]
fn what_does_more_than_observe_is_refused_before_anything_is_loaded() {
    let dir = scratch();
    let package = pack("tests/fixtures/signals.bpf.c", &dir);
    ecli(&["run", "--observe-only", &package]).failed(
        11,
        &["send signals to processes (`handle_ptrace`: bpf_send_signal)", "--observe-only"],
    );
    let packets = scratch();
    let package = pack("examples/xdpcount/xdpcount.bpf.c", &packets);
    ecli(&["run", &package, "--observe-only"]).failed(11, &["(`count`: xdp)"]);
    // A target on the command line makes an observer one that denies.
    let observer = scratch();
    let package = pack("tests/fixtures/keys.bpf.c", &observer);
    let attach = "*=fmod_ret:security_file_open";
    ecli(&["run", "--observe-only", "--attach", attach, &package]).failed(11, &["fmod_ret"]);
}

#[test]
fn policies_refuse_what_they_do_not_allow() {
    let dir = scratch();
    let package = pack("tests/fixtures/signals.bpf.c", &dir);
    let file = dir.path().join("policy.toml");
    let refused = |rules: &str, words: &[&str]| {
        std::fs::write(&file, rules).unwrap();
        let args = ["run", "--policy", file.to_str().unwrap(), &package];
        ecli(&args).failed(11, words);
    };
    refused(
        "[programs]\ndeny_helpers = [\"bpf_send_signal\"]\n",
        &["deny_helpers", "handle_ptrace"],
    );
    refused("[programs]\nallow_kinds = [\"tp\"]\n", &["allow_kinds", "handle_open", "`lsm`"]);
    refused("[programs]\nobserve_only = true\n", &["observe_only = true"]);
    refused("[programs]\nobserve = true\n", &["unknown field `observe`", "policy.toml"]);
}

#[test]
fn packages_are_compared() {
    let (old, new) = (scratch(), scratch());
    let source =
        std::fs::read_to_string(bpfpack_tests::root().join("tests/fixtures/signals.bpf.c"));
    let source = source.unwrap();
    let changed = source
        .replace("sys_enter_ptrace", "sys_enter_kill")
        .replace("max_entries, 64", "max_entries, 128")
        .replace("return bpf_send_signal(signal);", "return 0;");
    let packed = |dir: &Path, text: &str| {
        let file = dir.join("signals.bpf.c");
        std::fs::write(&file, text).unwrap();
        let _ = bpfpack_tests::ecc(dir, &[file]).succeeded();
        dir.join("package.json").to_str().unwrap().to_owned()
    };
    let (old, new) = (packed(old.path(), &source), packed(new.path(), &changed));
    let same = ecli(&["inspect", "--diff", &old, &old]);
    assert_eq!((same.code, &*same.stdout), (0, ""));
    let outcome = ecli(&["inspect", "--diff", &old, &new]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for line in [
        "~ program handle_ptrace\n    instructions (",
        "section (tp/syscalls/sys_enter_ptrace -> tp/syscalls/sys_enter_kill)",
        "~ map killed\n    max entries (64 -> 128)",
        "- effect send signals to processes (handle_ptrace: bpf_send_signal)\n",
        "~ digest object\n",
    ] {
        assert!(outcome.stdout.contains(line), "no `{line}` in:\n{}", outcome.stdout);
    }
}

#[test]
fn it_works_without_a_privilege() {
    let dir = scratch();
    let package = pack("tests/fixtures/signals.bpf.c", &dir);
    let ecli = program("ecli");
    if !bpfpack_tests::is_root() {
        return;
    }
    let args = ["--reuid=65534", "--regid=65534", "--clear-groups", ecli.to_str().unwrap()];
    let outcome = run("setpriv", &[&args[..], &["inspect", &package]].concat()).succeeded();
    assert!(outcome.stdout.contains("send signals to processes"), "{outcome:?}");
}

#[test]
fn what_is_no_package_is_an_error() {
    let dir = scratch();
    let file = dir.path().join("x.json");
    std::fs::write(&file, "{}").unwrap();
    ecli(&["inspect", file.to_str().unwrap()]).failed(3, &["is not a package"]);
    ecli(&["inspect"]).failed(2, &["PACKAGE"]);
    ecli(&["inspect", "-j", "--disassemble", "p"]).failed(2, &["cannot be used with"]);
}

#[test]
fn modules_are_inspected_and_their_objects_are_checked() {
    let Some(fixtures) = fixtures() else { return };
    let module = fixtures.join("records.wasm");
    let module = module.to_str().unwrap();
    let report = inspect(module);
    assert_eq!(report["modules"][0]["kind"], "tracer");
    let imports = report["modules"][0]["imports"]["wasm_bpf"].as_array().unwrap();
    assert!(imports.contains(&json!("wasm_load_bpf_object")), "{imports:?}");
    let program = named(&report, "programs", "wasm_numbers");
    let kind = program["kind"].as_str().unwrap();
    let dir = scratch();
    let file = dir.path().join("policy.toml");
    std::fs::write(&file, format!("[programs]\ndeny_kinds = [\"{kind}\"]\n")).unwrap();
    let outcome = ecli(&["run", "--policy", file.to_str().unwrap(), module, "1", "2"]);
    outcome.failed(11, &["`records.wasm` is refused", "`wasm_numbers`", "deny_kinds"]);
}
