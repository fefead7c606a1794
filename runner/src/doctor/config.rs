// SPDX-License-Identifier: MIT
//! The options that the kernel was built with, if a file has them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use bpfpack_schemas::diagnosis::Check;

/// Options that matter for tracers, and what each is for.
const OPTIONS: [(&str, &str); 22] = [
    ("CONFIG_BPF_SYSCALL", "all programs"),
    ("CONFIG_BPF_JIT", "fast programs, and programs on functions with types"),
    ("CONFIG_BPF_EVENTS", "programs on tracepoints, probes and perf events"),
    ("CONFIG_DEBUG_INFO_BTF", "programs that adapt to the kernel, and programs with types"),
    ("CONFIG_DEBUG_INFO_BTF_MODULES", "types of modules"),
    ("CONFIG_PERF_EVENTS", "tracepoints, probes and sampling"),
    ("CONFIG_FTRACE", "tracepoints"),
    ("CONFIG_FTRACE_SYSCALLS", "tracepoints of system calls"),
    ("CONFIG_FUNCTION_TRACER", "programs on functions with types"),
    ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "programs on functions with types"),
    ("CONFIG_KPROBES", "programs on functions of the kernel"),
    ("CONFIG_KPROBE_EVENTS", "programs on functions of the kernel"),
    ("CONFIG_FPROBE", "programs on many functions of the kernel at once"),
    ("CONFIG_BPF_KPROBE_OVERRIDE", "programs that make functions fail"),
    ("CONFIG_UPROBES", "programs on functions of processes"),
    ("CONFIG_UPROBE_EVENTS", "programs on functions of processes"),
    ("CONFIG_BPF_LSM", "programs on security hooks"),
    ("CONFIG_CGROUP_BPF", "programs of cgroups"),
    ("CONFIG_NET_CLS_BPF", "filters of interfaces"),
    ("CONFIG_NET_CLS_ACT", "filters of interfaces"),
    ("CONFIG_NETFILTER_BPF_LINK", "programs of the packet filter"),
    ("CONFIG_NETKIT", "netkit interfaces"),
];

/// The largest configuration that is read, in bytes. Usual ones have 300 KB.
const LARGEST: u64 = 4 << 20;

/// The options of the running kernel; `None` if no file has them.
#[derive(Debug, Default)]
pub(super) struct Config(Option<BTreeMap<String, String>>);

impl Config {
    /// Reads the configuration from the first file that has it.
    pub(super) fn read() -> Config {
        let compressed = || {
            let file = fs::File::open("/proc/config.gz").ok()?;
            let mut text = String::new();
            let decoder = flate2::read::GzDecoder::new(file);
            decoder.take(LARGEST).read_to_string(&mut text).ok().map(|_| text)
        };
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let files = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
        let plain = || files.iter().find_map(|file| fs::read_to_string(file).ok());
        compressed().or_else(plain).map_or_else(Config::default, |text| Config::parse(&text))
    }

    /// Parses a file in the format of `.config`.
    pub(super) fn parse(text: &str) -> Config {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Config(Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    /// The first of these options that is known not to be set.
    pub(super) fn lacks(&self, options: &[&'static str]) -> Option<&'static str> {
        let known = self.0.as_ref()?;
        options.iter().copied().find(|option| !known.contains_key(*option))
    }

    /// A check for each option that matters.
    pub(super) fn check(&self) -> Vec<Check> {
        let Some(known) = &self.0 else {
            let reason = "neither /proc/config.gz nor a file in /boot or /lib/modules has it";
            return vec![Check::unknown("configuration").because(reason)];
        };
        let check = |(name, purpose): (&str, &str)| match known.get(name).map(String::as_str) {
            Some("y") => Check::ok(name),
            Some(value) => Check::ok(name).value(value),
            None => Check::missing(name).because(format!("not set; for {purpose}")),
        };
        OPTIONS.into_iter().map(check).collect()
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::diagnosis::State;

    use super::*;

    #[test]
    fn options_are_set_modules_or_absent() {
        let config = Config::parse(
            "#\n# CONFIG_KPROBES is not set\nCONFIG_BPF_SYSCALL=y\nCONFIG_NET_CLS_BPF=m\n",
        );
        let checks = config.check();
        let of = |name: &str| checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(of("CONFIG_BPF_SYSCALL"), &Check::ok("CONFIG_BPF_SYSCALL"));
        assert_eq!(of("CONFIG_NET_CLS_BPF").value.as_deref(), Some("m"));
        assert_eq!(of("CONFIG_KPROBES").state, State::Missing);
        assert_eq!(config.lacks(&["CONFIG_BPF_SYSCALL", "CONFIG_KPROBES"]), Some("CONFIG_KPROBES"));
        assert_eq!(config.lacks(&["CONFIG_NET_CLS_BPF"]), None);
    }

    #[test]
    fn without_a_file_nothing_is_known() {
        let config = Config::default();
        assert_eq!(config.lacks(&["CONFIG_KPROBES"]), None);
        assert_eq!(config.check()[0].state, State::Unknown);
    }
}
