// SPDX-License-Identifier: MIT
//! What tests of targets share: a package with a program of each kind, and network namespaces.

use std::net::UdpSocket;
use std::path::Path;

use tempfile::TempDir;

use crate::{Outcome, can, ecc, is_root, pack, run, scratch, sys};

/// A package whose programs count their calls; all except one are off.
#[derive(Debug)]
pub struct Package {
    /// Its path.
    pub path: String,
    only: &'static str,
    _dir: TempDir,
}

impl Package {
    /// With all programs off except one.
    #[must_use]
    pub fn only(only: &'static str) -> Package {
        let dir = scratch();
        let path = pack("tests/fixtures/targets.bpf.c", &dir);
        Package { path, only, _dir: dir }
    }

    /// The command line of ecli with `--attach` for the program, if it has a target, and `more`.
    #[must_use]
    pub fn args(&self, target: Option<&str>, more: &[&str]) -> Vec<String> {
        let mut args = vec!["run".to_owned(), "-j".into()];
        args.extend(["--attach".into(), "*=off".into()]);
        match target {
            Some(target) => args.extend(["--attach".into(), format!("{}={target}", self.only)]),
            None => args.extend(["--with".into(), self.only.into()]),
        }
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args.push(self.path.clone());
        args
    }
}

/// How often a hook was called, from the last reading.
#[must_use]
pub fn calls(outcome: &Outcome, hook: &str) -> u64 {
    let is_it = |line: &&str| line.contains(&format!("\"hook\":\"{hook}("));
    let line = outcome.stdout.lines().rfind(is_it);
    let count = line.and_then(|line| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        value["value"]["calls"].as_u64()
    });
    count.unwrap_or(0)
}

/// Runs ip(8). Returns its output.
#[must_use]
pub fn ip(args: &[&str]) -> String {
    run("ip", args).succeeded().stdout
}

/// Moves this thread to a new network namespace with the loopback interface up. Returns false if
/// that is not possible.
#[must_use]
pub fn has_network() -> bool {
    if !is_root() || !can("needs a network of its own", sys::own_network().is_ok()) {
        return false;
    }
    if !can("needs ip (apt-get install iproute2)", Path::new("/sbin/ip").exists()) {
        return false;
    }
    let _ = ip(&["link", "set", "lo", "up"]);
    true
}

/// Sends this many packets to this machine.
pub fn send(count: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    (0..count).for_each(|_| assert_eq!(socket.send_to(b"packet", to).unwrap(), 6));
}

/// What is attached to network interfaces.
#[must_use]
pub fn network_state() -> String {
    ip(&["-d", "link", "show"]) + &run("tc", &["qdisc", "show"]).succeeded().stdout
}

/// Packs a source from a test.
#[must_use]
pub fn pack_text(name: &str, text: &str, dir: &TempDir) -> String {
    let source = dir.path().join(format!("{name}.bpf.c"));
    let head = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_tracing.h>\n\
        char LICENSE[] SEC(\"license\") = \"GPL\";\n";
    std::fs::write(&source, format!("{head}{text}")).unwrap();
    let _ = ecc(dir.path(), &[source.as_os_str()]).succeeded();
    dir.path().join("package.json").to_str().unwrap().to_owned()
}
