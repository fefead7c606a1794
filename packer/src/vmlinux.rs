// SPDX-License-Identifier: MIT
//! The origin of `vmlinux.h`, as `--vmlinux` names it.

use std::ffi::OsStr;
use std::path::PathBuf;

use bpfpack_bpf::Release;

/// The `vmlinux.h` of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vmlinux {
    /// The newest bundled one that suits the source.
    Bundled,
    /// The bundled one of this release.
    Release(Release),
    /// Made from the BTF of the running kernel.
    Kernel,
    /// A file.
    File(PathBuf),
}

impl Vmlinux {
    /// Reads the value of `--vmlinux`. What is no other value is the name of a file.
    pub(crate) fn parse(value: &OsStr) -> Vmlinux {
        match value.to_str() {
            Some("bundled") => Vmlinux::Bundled,
            Some("kernel") => Vmlinux::Kernel,
            text => match text.and_then(Release::parse) {
                Some(release) => Vmlinux::Release(release),
                None => Vmlinux::File(value.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_option() {
        for (value, expected) in [
            ("bundled", Vmlinux::Bundled),
            ("kernel", Vmlinux::Kernel),
            ("6.18", Vmlinux::Release(Release::Linux6_18)),
            ("6.12", Vmlinux::Release(Release::Linux6_12)),
            ("6.1", Vmlinux::Release(Release::Linux6_1)),
            ("./6.1", Vmlinux::File("./6.1".into())),
            ("6.2", Vmlinux::File("6.2".into())),
        ] {
            assert_eq!(Vmlinux::parse(OsStr::new(value)), expected, "{value}");
        }
    }
}
