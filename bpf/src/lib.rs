// SPDX-License-Identifier: MIT
//! The headers that a BPF source includes, as data. Compiling a source requires neither libbpf-dev
//! nor linux-headers.
//!
//! - `vmlinux.h` for each architecture and for several [releases](Release) of Linux, from a
//!   distribution's kernels with a full configuration ([`vmlinux`]; `vmlinux/update.sh` creates
//!   them), or from any BTF ([`vmlinux_from_btf`]);
//! - libbpf's headers for BPF programs, of the version that the programs are built with;
//! - small headers of this project, under names that public sources also include.

pub mod delta;
mod dump;

use std::fmt;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

pub use dump::{DumpError, vmlinux_from_btf};

/// An architecture that BPF programs are compiled for. Registers and kernel structs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86_64.
    X86,
    /// aarch64.
    Arm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 2] = [Arch::X86, Arch::Arm64];

    /// The architecture of this machine, if it is supported.
    #[must_use]
    pub fn host() -> Option<Arch> {
        Arch::parse(std::env::consts::ARCH)
    }

    /// Finds an architecture by the kernel's name (`x86`, `arm64`) or the compiler's (`x86_64`,
    /// `aarch64`).
    #[must_use]
    pub fn parse(name: &str) -> Option<Arch> {
        match name {
            "x86" | "x86_64" | "amd64" => Some(Arch::X86),
            "arm64" | "aarch64" => Some(Arch::Arm64),
            _ => None,
        }
    }

    /// The kernel's name, as in `__TARGET_ARCH_x86`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86 => "x86",
            Arch::Arm64 => "arm64",
        }
    }

    /// The directory below `/usr/include` where Debian keeps the headers of this architecture.
    #[must_use]
    pub fn multiarch(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A release of Linux whose types are bundled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// Linux 6.18.
    Linux6_18,
    /// Linux 6.12, for sources that use what later releases removed or renamed.
    Linux6_12,
    /// Linux 6.1, for older ones.
    Linux6_1,
}

impl Release {
    /// All of them, newest first.
    pub const ALL: [Release; 3] = [Release::Linux6_18, Release::Linux6_12, Release::Linux6_1];

    /// The one that is used unless a source needs another.
    pub const NEWEST: Release = Release::ALL[0];

    /// Finds a release by its version.
    #[must_use]
    pub fn parse(version: &str) -> Option<Release> {
        Release::ALL.into_iter().find(|release| release.version() == version)
    }

    /// The first two numbers of its version.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Release::Linux6_18 => "6.18",
            Release::Linux6_12 => "6.12",
            Release::Linux6_1 => "6.1",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.version())
    }
}

/// The header of the newest release, in its stored form.
fn stored(arch: Arch) -> &'static [u8] {
    match arch {
        Arch::X86 => include_bytes!("../vmlinux/x86.h.zz"),
        Arch::Arm64 => include_bytes!("../vmlinux/arm64.h.zz"),
    }
}

/// The difference of a release's header from that of the newest one; `None` for the newest.
fn stored_delta(arch: Arch, release: Release) -> Option<&'static [u8]> {
    Some(match (release, arch) {
        (Release::Linux6_18, _) => return None,
        (Release::Linux6_12, Arch::X86) => include_bytes!("../vmlinux/x86-6.12.delta.zz"),
        (Release::Linux6_12, Arch::Arm64) => include_bytes!("../vmlinux/arm64-6.12.delta.zz"),
        (Release::Linux6_1, Arch::X86) => include_bytes!("../vmlinux/x86-6.1.delta.zz"),
        (Release::Linux6_1, Arch::Arm64) => include_bytes!("../vmlinux/arm64-6.1.delta.zz"),
    })
}

/// The bundled `vmlinux.h` of an architecture and a release, about 3 MB.
///
/// # Errors
/// The bundled data is damaged; a test rules this out.
pub fn vmlinux(arch: Arch, release: Release) -> std::io::Result<String> {
    let mut text = String::new();
    ZlibDecoder::new(stored(arch)).read_to_string(&mut text)?;
    match stored_delta(arch, release) {
        Some(delta) => delta::expand(&text, delta),
        None => Ok(text),
    }
}

/// The bundled `vmlinux.h` in its stored form, in pieces, to distinguish versions.
pub fn vmlinux_packed(arch: Arch, release: Release) -> impl Iterator<Item = &'static [u8]> {
    std::iter::once(stored(arch)).chain(stored_delta(arch, release))
}

/// The headers other than `vmlinux.h`: the path in an `#include`, and the content.
pub fn headers() -> impl Iterator<Item = (String, &'static str)> {
    let libbpf = libbpf_sys::API_HEADERS
        .iter()
        .filter(|(name, _)| name.starts_with("bpf_") || *name == "usdt.bpf.h")
        .map(|(name, text)| (format!("bpf/{name}"), *text));
    let ours = [
        ("annotate.bpf.h", include_str!("../include/annotate.bpf.h")),
        ("bits.bpf.h", include_str!("../include/bits.bpf.h")),
        ("maps.bpf.h", include_str!("../include/maps.bpf.h")),
    ];
    libbpf.chain(ours.map(|(name, text)| (name.to_owned(), text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_vmlinux_headers_are_whole() {
        for (arch, release) in pairs() {
            let text = vmlinux(arch, release).unwrap();
            let first = text.lines().next().unwrap();
            let title = format!("linux-image-{}.", release.version());
            assert!(first.contains(&title), "{arch}, {release}: {first}");
            assert!(text.ends_with("#endif /* __VMLINUX_H__ */\n"), "{arch}, {release}");
            for word in ["struct task_struct {", "struct irqaction {", "struct pt_regs {"] {
                assert_eq!(text.matches(word).count(), 1, "{arch}, {release}: {word}");
            }
        }
    }

    #[test]
    fn older_headers_have_what_newer_kernels_removed() {
        for (arch, release) in pairs() {
            let text = vmlinux(arch, release).unwrap();
            let (newest, older) = Release::ALL.split_at(1);
            for (word, having) in [
                ("struct trace_event_raw_tcp_event_sk_skb {", older),
                ("unsigned char d_iname[", older),
                (" cpu_capacity_orig;", &older[1..]),
                ("time64_t i_ctime_sec;", &Release::ALL[..2]),
                ("union shortname_store {", newest),
            ] {
                let is_there = text.contains(word);
                assert_eq!(is_there, having.contains(&release), "{arch}, {release}: {word}");
            }
            // A definition is in one piece, whichever pieces it is made from.
            let dentry = text.split("\nstruct dentry {\n").nth(1).unwrap();
            let dentry = dentry.split("\n};\n").next().unwrap();
            assert!(dentry.contains("struct inode *d_inode;"), "{arch}, {release}");
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{arch}, {release}");
        }
    }

    #[test]
    fn releases_by_their_versions() {
        for release in Release::ALL {
            assert_eq!(Release::parse(release.version()), Some(release));
        }
        assert_eq!(Release::parse("6"), None);
        assert_eq!(Release::NEWEST.to_string(), "Linux 6.18");
    }

    fn pairs() -> impl Iterator<Item = (Arch, Release)> {
        Arch::ALL.into_iter().flat_map(|arch| Release::ALL.map(|release| (arch, release)))
    }

    #[test]
    fn libbpf_and_our_headers_are_there() {
        let names: Vec<_> = headers().map(|(name, _)| name).collect();
        for name in [
            "bpf/bpf_helpers.h",
            "bpf/bpf_helper_defs.h",
            "bpf/bpf_tracing.h",
            "bpf/bpf_core_read.h",
            "bpf/bpf_endian.h",
            "bpf/usdt.bpf.h",
            "annotate.bpf.h",
            "bits.bpf.h",
            "maps.bpf.h",
        ] {
            assert!(names.iter().any(|n| n == name), "no {name} in {names:?}");
        }
    }

    #[test]
    fn architectures_by_either_name() {
        assert_eq!(Arch::parse("x86_64"), Some(Arch::X86));
        assert_eq!(Arch::parse("arm64"), Some(Arch::Arm64));
        assert_eq!(Arch::parse("vax"), None);
    }
}
