// SPDX-License-Identifier: MIT
//! The description of the package, from the object alone: its programs, maps and variables. Other
//! loaders expect these names and this order.

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind, SectionVar};
use bpfpack_schemas::meta::{
    BPFPACK_VERSION, Bpfpack, DataSection, MapMeta, ProgMeta, Skeleton, Variable,
};
use bpfpack_schemas::object::BpfObject;
use serde_json::Value;

use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::DescribeOptions;
use bpfpack_schemas::map_type::open_sizes;

/// The version of the format, written to the package.
const FORMAT_VERSION: &str = "0.3.4";

/// The number of characters of the object's name in libbpf's name for the map of a data section.
const MAP_PREFIX: usize = 8;

/// Describes an object.
pub(crate) fn meta(name: &str, elf: &BpfObject<'_>, btf: &Btf<'_>) -> Meta {
    let obj_name = identifier(&format!("{name}_bpf"));
    Meta {
        bpf_skel: Skeleton {
            data_sections: data_sections(elf, btf),
            maps: maps(elf, btf, &obj_name),
            progs: elf
                .programs()
                .into_iter()
                .map(|program| ProgMeta {
                    name: program.name,
                    attach: program.section,
                    link: true,
                    autoload: None,
                    optional: None,
                    frequency: None,
                    annotations: Default::default(),
                })
                .collect(),
            obj_name,
            ..Default::default()
        },
        eunomia_version: Some(FORMAT_VERSION.to_owned()),
        bpfpack: Some(Bpfpack { version: BPFPACK_VERSION, ..Default::default() }),
        ..Default::default()
    }
}

/// Checks that the types of maps have a size: otherwise no loader can create the maps.
///
/// # Errors
/// The message names the map and the type.
pub(crate) fn check_map_types(options: &DescribeOptions, btf: &Btf<'_>) -> Result<(), Failure> {
    for var in btf.section_vars(".maps") {
        let (key, value) = btf.map_types(var.name);
        for (what, ty) in [("key", key), ("value", value)] {
            let Some(ty) = ty.filter(|ty| ty.resolved().kind == Kind::Fwd) else { continue };
            let (source, map, ty) = (shown(&options.source), var.name, ty.spelling());
            return Err(Failure::new(
                exit_code::DESCRIBE,
                anyhow!(
                    "{source}: the {what} of the map `{map}` is `{ty}`, which is declared but not \
                     defined"
                ),
            )
            .hint("is its name misspelled, or is a header missing?"));
        }
    }
    Ok(())
}

/// Replaces every character that a C identifier cannot have by `_`.
fn identifier(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn data_sections(elf: &BpfObject<'_>, btf: &Btf<'_>) -> Vec<DataSection> {
    elf.data_sections()
        .into_iter()
        .map(|section| {
            let data = elf.section_data(&section.name);
            let variables = elf
                .variables(btf, &section.name)
                .into_iter()
                .filter(|var| !var.is_static)
                .map(|var| variable(btf, &var, data))
                .collect();
            DataSection { name: section.name, variables, other: Default::default() }
        })
        .filter(|section| !section.variables.is_empty())
        .collect()
}

fn variable(btf: &Btf<'_>, var: &SectionVar<'_>, data: Option<&[u8]>) -> Variable {
    let ty = btf.ty(var.ty);
    let resolved = ty.resolved();
    let is_bool = resolved.kind == Kind::Int && resolved.int_encoding().bool;
    let initial = data.and_then(|data| data.get(var.offset as usize));
    Variable {
        name: var.name.to_owned(),
        ty: ty.spelling(),
        // A loader that does not read the object would assume false.
        value: (is_bool && initial == Some(&1)).then_some(Value::Bool(true)),
        ..Default::default()
    }
}

fn maps(elf: &BpfObject<'_>, btf: &Btf<'_>, obj_name: &str) -> Vec<MapMeta> {
    let user = btf.section_vars(".maps").into_iter().map(|var| {
        let number = |name| btf.map_number(var.name, name);
        let ty = number("type").unwrap_or(0);
        // A type implies the size, as a number does.
        let value_size = number("value_size")
            .or_else(|| btf.map_types(var.name).1.and_then(|ty| u32::try_from(ty.size()?).ok()));
        let (max_entries, value_size) = open_sizes(ty, number("max_entries"), value_size);
        MapMeta {
            name: var.name.to_owned(),
            ident: var.name.to_owned(),
            max_entries,
            value_size,
            ..Default::default()
        }
    });
    let internal = elf.data_sections().into_iter().map(|section| {
        // libbpf prefixes the maps of the three plain sections with the object's name, and lets
        // user space map those with visible variables. `.rodata.str1.1` and the like keep their
        // names.
        let plain = !section.name[1..].contains('.');
        let name = if plain {
            let prefix: String = obj_name.chars().take(MAP_PREFIX).collect();
            format!("{prefix}{}", section.name)
        } else {
            section.name.clone()
        };
        MapMeta {
            name,
            ident: identifier(&section.name[1..]),
            mmaped: btf.section_vars(&section.name).iter().any(|var| !var.is_static),
            ..Default::default()
        }
    });
    user.chain(internal).collect()
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn object_names() {
        assert_eq!(identifier("kprobe-link_bpf"), "kprobe_link_bpf");
        assert_eq!(identifier("rodata.str1.1"), "rodata_str1_1");
    }
}
