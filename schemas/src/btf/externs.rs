// SPDX-License-Identifier: MIT
//! The symbols that an object takes from the running kernel: libbpf finds them among the kernel's
//! symbols (`__ksym`) or in its configuration (`__kconfig`).

use std::collections::BTreeSet;

use super::{Btf, Kind, u32_at};

/// The data sections that libbpf fills (tools/lib/bpf/libbpf.c: `KSYMS_SEC`, `KCONFIG_SEC`).
const SECTIONS: [&str; 2] = [".ksyms", ".kconfig"];

impl Btf<'_> {
    /// The names of the functions and variables that libbpf finds in the kernel. The object must
    /// define all others itself.
    #[must_use]
    pub fn externs(&self) -> BTreeSet<&str> {
        let is_one = |kind: Kind, name: &str| kind == Kind::Datasec && SECTIONS.contains(&name);
        let sections = self.types().filter(|ty| is_one(ty.kind, ty.name()));
        // Each entry has 12 bytes; the first four are the id of a variable or a function.
        let entries = sections.flat_map(|section| section.extra.chunks_exact(12));
        entries.map(|entry| self.ty(u32_at(entry, 0)).name()).collect()
    }
}
