// SPDX-License-Identifier: MIT
//! What this user may do, and settings of the machine that restrict tracing.

use std::fs;

use bpfpack_schemas::diagnosis::{Check, State};
use rustix::process::{Resource, getrlimit};

use super::kinds;
use crate::kernel::{Capabilities, Capability, security_file};
use crate::sys;

const CAPABILITIES: [Capability; 7] = [
    Capability::BPF,
    Capability::PERFMON,
    Capability::NET_ADMIN,
    Capability::NET_RAW,
    Capability::SYS_ADMIN,
    Capability::SYS_PTRACE,
    Capability::DAC_READ_SEARCH,
];

/// `BPF_FUNC_ktime_get_coarse_ns`: by this helper, which came at the same time, libbpf finds out
/// whether the kernel accounts the memory of maps to cgroups instead of `RLIMIT_MEMLOCK`
/// (libbpf/src/bpf.c: `probe_memcg_account`).
const COARSE: u32 = 160;

/// The capabilities, then the settings. Helpers can be tried if `may_try` is set.
pub(super) fn check(effective: Option<Capabilities>, may_try: bool) -> Vec<Check> {
    let user = rustix::process::geteuid();
    let user = Check::ok("user").value(user.as_raw().to_string());
    let mut checks = vec![match may_try {
        true => user,
        false => Check { state: State::Missing, ..user }
            .because("it may not load programs")
            .advice("run it as root: sudo ecli …"),
    }];
    checks.extend(user_namespace(&read("/proc/self/uid_map").unwrap_or_default()));
    checks.extend(CAPABILITIES.iter().map(|it| capability(*it, effective)));
    let has_perfmon = kinds::lacks("kprobe", effective).is_empty();
    checks.extend([
        lockdown(security_file("lockdown").as_deref()),
        modules(security_file("lsm").as_deref()),
        unprivileged(sysctl("kernel/unprivileged_bpf_disabled").as_deref()),
        paranoid(sysctl("kernel/perf_event_paranoid").as_deref(), has_perfmon),
        setting("kernel.bpf_stats_enabled", sysctl("kernel/bpf_stats_enabled")),
        jit(sysctl("net/core/bpf_jit_enable").as_deref()),
        symbols(),
        memory(may_try),
    ]);
    checks.extend(secure_boot());
    checks
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn sysctl(name: &str) -> Option<String> {
    read(&format!("/proc/sys/{name}"))
}

/// Capabilities in another user namespace than the first do not count for BPF.
fn user_namespace(map: &str) -> Option<Check> {
    let numbers: Vec<&str> = map.split_whitespace().collect();
    (!numbers.is_empty() && numbers != ["0", "0", "4294967295"]).then(|| {
        Check::missing("user namespace")
            .value("its own")
            .because("capabilities in it do not allow loading programs")
            .advice("run ecli outside of it, as root of the machine")
    })
}

fn capability(capability: Capability, effective: Option<Capabilities>) -> Check {
    let Some(effective) = effective else { return Check::unknown(capability.name) };
    if effective.has(capability) {
        return Check::ok(capability.name);
    }
    // The kernel asks for CAP_SYS_ADMIN if one of these is missing (bpf_capable, perfmon_capable).
    let is_replaced = [Capability::BPF, Capability::PERFMON].contains(&capability)
        && effective.has(Capability::SYS_ADMIN);
    if is_replaced {
        return Check::ok(capability.name).because("CAP_SYS_ADMIN replaces it");
    }
    Check::missing(capability.name).because(format!("for {}", capability.purpose))
}

/// The mode of the kernel lockdown, from a text such as `none [integrity] confidentiality`.
fn lockdown(text: Option<&str>) -> Check {
    let name = "lockdown";
    let Some(text) = text else {
        return Check::unknown(name).because("securityfs has no such file");
    };
    let mode = text.split(['[', ']']).nth(1).unwrap_or_default();
    match mode {
        "none" => Check::ok(name).value(mode),
        "integrity" => Check::missing(name)
            .value(mode)
            .because("programs cannot write to the memory of processes"),
        "confidentiality" => Check::missing(name)
            .value(mode)
            .because("programs cannot read the memory of the kernel, and kprobes are refused")
            .advice("boot without lockdown=confidentiality, or without Secure Boot"),
        _ => Check::unknown(name).because(format!("the mode is `{}`", text.trim())),
    }
}

/// The active security modules.
fn modules(text: Option<&str>) -> Check {
    let name = "security modules";
    let Some(text) = text.map(str::trim) else {
        return Check::unknown(name).because("securityfs has no such file");
    };
    match text.split(',').any(|module| module == "bpf") {
        true => Check::ok(name).value(text),
        false => Check::missing(name)
            .value(text)
            .because("`bpf` is not among them, so the kernel does not call LSM programs")
            .advice("add `bpf` to the boot parameter lsm="),
    }
}

/// Settings that only say how the machine is set up.
fn setting(name: &str, value: Option<String>) -> Check {
    match value {
        Some(value) => Check::ok(name).value(value),
        None => Check::unknown(name).because("the kernel does not have it, or it cannot be read"),
    }
}

fn unprivileged(value: Option<&str>) -> Check {
    let check = setting("kernel.unprivileged_bpf_disabled", value.map(str::to_owned));
    match value {
        Some("0") => check.because("users without capabilities may load some programs"),
        Some(_) => check.because("only users with CAP_BPF may load programs"),
        None => check,
    }
}

fn paranoid(value: Option<&str>, has_perfmon: bool) -> Check {
    let check = setting("kernel.perf_event_paranoid", value.map(str::to_owned));
    match value.and_then(|value| value.parse::<i32>().ok()) {
        Some(0..) if !has_perfmon => Check { state: State::Missing, ..check }
            .because("perf events of the machine need CAP_PERFMON"),
        _ => check,
    }
}

fn jit(value: Option<&str>) -> Check {
    let check = setting("net.core.bpf_jit_enable", value.map(str::to_owned));
    match value {
        Some("0") => Check { state: State::Missing, ..check }
            .because("the kernel interprets programs, and refuses those on functions with types")
            .advice("sysctl net.core.bpf_jit_enable=1"),
        _ => check,
    }
}

/// Whether the addresses of the kernel's functions are shown: otherwise, all are 0.
fn symbols() -> Check {
    let name = "kernel symbols";
    let text = read("/proc/kallsyms");
    let first = text.as_deref().and_then(|text| text.lines().next_back());
    match first.and_then(|line| line.split(' ').next()) {
        Some(address) if address.bytes().any(|digit| digit != b'0') => Check::ok(name),
        Some(_) => Check::missing(name)
            .because("addresses are hidden, so stacks of the kernel have no names")
            .advice("run as root; sysctl kernel.kptr_restrict=1 if it is 2"),
        None => Check::unknown(name).because("/proc/kallsyms cannot be read"),
    }
}

fn memory(may_try: bool) -> Check {
    let name = "RLIMIT_MEMLOCK";
    let is_accounted =
        may_try.then(|| sys::has_helper(libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER, COARSE));
    match is_accounted {
        Some(Ok(true)) => Check::ok(name).because("the kernel does not count maps against it"),
        Some(Ok(false)) => {
            let limit = getrlimit(Resource::Memlock).current;
            let text = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            Check::ok(name)
                .value(text)
                .because("the kernel counts maps against it; ecli raises it if allowed")
        }
        Some(Err(error)) => Check::unknown(name).because(error.to_string()),
        None => Check::unknown(name).because("not tried: CAP_BPF is missing"),
    }
}

/// Secure Boot, if the firmware tells: four bytes of attributes, then 1 if it is on (UEFI, 3.3).
fn secure_boot() -> Option<Check> {
    const FILE: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let value = *fs::read(FILE).ok()?.get(4)?;
    Some(Check::ok("Secure Boot").value(if value == 1 { "on" } else { "off" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_the_lockdown() {
        let state = |text| (lockdown(text).state, lockdown(text).value.unwrap_or_default());
        assert_eq!(state(Some("[none] integrity confidentiality\n")), (State::Ok, "none".into()));
        let strict = state(Some("none integrity [confidentiality]\n"));
        assert_eq!(strict, (State::Missing, "confidentiality".into()));
        assert_eq!(state(None).0, State::Unknown);
        assert_eq!(state(Some("")).0, State::Unknown);
    }

    #[test]
    fn security_modules() {
        assert_eq!(modules(Some("capability,yama,bpf\n")).state, State::Ok);
        assert_eq!(modules(Some("capability,bpfx")).state, State::Missing);
        assert_eq!(modules(None).state, State::Unknown);
    }

    #[test]
    fn capabilities_and_what_needs_them() {
        let has = |of: &[Capability]| Some(Capabilities::of(of));
        assert_eq!(capability(Capability::BPF, has(&[Capability::BPF])).state, State::Ok);
        assert_eq!(capability(Capability::BPF, has(&[Capability::SYS_ADMIN])).state, State::Ok);
        let raw = capability(Capability::NET_RAW, has(&[]));
        assert_eq!(raw.reason.as_deref(), Some("for packet sockets"));
        assert_eq!(capability(Capability::BPF, None).state, State::Unknown);
    }

    #[test]
    fn settings_that_restrict() {
        assert_eq!(paranoid(Some("2"), true).state, State::Ok);
        assert_eq!(paranoid(Some("2"), false).state, State::Missing);
        assert_eq!(paranoid(Some("-1"), false).state, State::Ok);
        assert_eq!(jit(Some("0")).state, State::Missing);
        assert_eq!(unprivileged(None).state, State::Unknown);
        assert!(user_namespace("         0          0 4294967295").is_none());
        assert!(user_namespace("0 1000 1").is_some());
    }
}
