// SPDX-License-Identifier: MIT
//! Any bytes as type information, alone or in an object: everything that is asked of it.
#![no_main]

use bpfpack_schemas::argument::Argument;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let elf = BpfObject::parse(data).ok();
    let section = elf.as_ref().and_then(|elf| elf.section_data(".BTF"));
    let Ok(btf) = Btf::parse(section.unwrap_or(data)) else { return };
    for ty in btf.types() {
        let _ = (ty.name(), ty.spelling(), ty.size(), ty.is_plain_char(), ty.tagged_member());
        let _ = (ty.members().count(), ty.enumerators().count(), ty.resolved().kind);
        for var in ty.vars() {
            let argument = Argument::of(btf.ty(var.ty), var.size.min(1 << 16) as usize);
            let _ = argument.map(|argument| (argument.parse("1,2"), argument.possible_values()));
        }
    }
    for var in btf.section_vars(".maps") {
        let _ = (btf.map_types(var.name), btf.map_number(var.name, "max_entries"));
    }
    let _ = btf.find_enum("a");
});
