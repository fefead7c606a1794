// SPDX-License-Identifier: MIT
//! The structs of operations whose functions programs implement (`struct_ops`).

use std::collections::BTreeMap;

use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

/// The struct of a scheduler (`sched_ext`).
pub(super) const SCHEDULER: &str = "sched_ext_ops";

/// The name of the struct that each program is in: `tcp_congestion_ops`.
pub(super) fn of(elf: &BpfObject<'_>, btf: &Btf<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for section in elf.elf().sections() {
        let Some(name) = section.name().ok().filter(|name| name.starts_with(".struct_ops")) else {
            continue;
        };
        let variables = elf.variables(btf, name);
        for (at, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = elf.elf().symbol_by_index(index) else { continue };
            // A struct of operations has at most one program for each of its pointers.
            let holder = variables.iter().find(|variable| {
                let (begin, size) = (u64::from(variable.offset), u64::from(variable.size));
                (begin..begin + size).contains(&at)
            });
            if let (SymbolKind::Text, Some(holder), Ok(program)) =
                (symbol.kind(), holder, symbol.name())
            {
                let operations = btf.ty(holder.ty).resolved().name().to_owned();
                // A program in several structs counts as the scheduler's, if it is in that.
                match found.get(program).is_some_and(|known| known == SCHEDULER) {
                    true => {}
                    false => drop(found.insert(program.to_owned(), operations)),
                }
            }
        }
    }
    found
}
