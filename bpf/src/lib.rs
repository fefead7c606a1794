// SPDX-License-Identifier: MIT
//! The headers that a BPF source includes, as data. Compiling a source requires neither libbpf-dev
//! nor linux-headers.
//!
//! - `vmlinux.h` for each architecture, from a distribution kernel with a full configuration
//!   ([`vmlinux`]; `vmlinux/update.sh` creates them), or from any BTF ([`vmlinux_from_btf`]);
//! - libbpf's headers for BPF programs, of the version that the programs are built with;
//! - small headers of this project, under names that public sources also include.

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

    fn packed_vmlinux(self) -> &'static [u8] {
        match self {
            Arch::X86 => include_bytes!("../vmlinux/x86.h.zz"),
            Arch::Arm64 => include_bytes!("../vmlinux/arm64.h.zz"),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bundled `vmlinux.h` of an architecture, about 3 MB.
///
/// # Errors
/// The bundled data is damaged; a test rules this out.
pub fn vmlinux(arch: Arch) -> std::io::Result<String> {
    let mut text = String::new();
    ZlibDecoder::new(arch.packed_vmlinux()).read_to_string(&mut text)?;
    Ok(text)
}

/// The bundled `vmlinux.h` in its stored form, to distinguish versions.
#[must_use]
pub fn vmlinux_packed(arch: Arch) -> &'static [u8] {
    arch.packed_vmlinux()
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
        for arch in Arch::ALL {
            let text = vmlinux(arch).unwrap();
            assert!(text.ends_with("#endif /* __VMLINUX_H__ */\n"), "{arch}");
            for word in ["struct task_struct {", "struct irqaction {", "struct pt_regs {"] {
                assert!(text.contains(word), "{arch}: no {word}");
            }
        }
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
