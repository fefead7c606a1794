// SPDX-License-Identifier: MIT
//! Checks annotations of arguments against their variables.

use std::path::Path;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::argument::{Argument, plain};
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;

use crate::failure::{Failure, exit_code};
use crate::message::{Console, shown};

/// Checks defaults against the types of their variables, and warns of options that two variables
/// share.
///
/// # Errors
/// A default is invalid for its variable: no loader could start the package.
pub(crate) fn check_arguments(
    meta: &Meta,
    elf: &BpfObject<'_>,
    btf: &Btf<'_>,
    source: &Path,
    console: &Console,
) -> Result<(), Failure> {
    check_options(meta, source, console);
    for section in &meta.bpf_skel.data_sections {
        for var in elf.variables(btf, &section.name) {
            let described = section.variables.iter().find(|variable| variable.name == var.name);
            let Some(default) =
                described.and_then(|variable| variable.cmdarg.as_ref()?.default.as_ref())
            else {
                continue;
            };
            let text = plain(default);
            let ty = btf.ty(var.ty);
            let result = match Argument::of(ty, var.size as usize) {
                Some(argument) => argument.parse(&text).map(drop),
                None => Err("a value of this type cannot be given as text".to_owned()),
            };
            result.map_err(|why| {
                let source = shown(source);
                let (name, ty) = (var.name, ty.spelling());
                Failure::new(
                    exit_code::DESCRIBE,
                    anyhow!("{source}: `@cmdarg` of `{name}`: the default `{text}` ({ty}): {why}"),
                )
            })?;
        }
    }
    Ok(())
}

fn check_options(meta: &Meta, source: &Path, console: &Console) {
    let mut taken: Vec<(String, String)> = ["help", "version", "verbose"]
        .map(|name| (format!("--{name}"), "every package".to_owned()))
        .into_iter()
        .chain(["h", "V"].map(|name| (format!("-{name}"), "every package".to_owned())))
        .collect();
    for section in &meta.bpf_skel.data_sections {
        for variable in &section.variables {
            let cmdarg = variable.cmdarg.clone().unwrap_or_default();
            let long = cmdarg.long.unwrap_or_else(|| variable.name.clone());
            let options = [Some(format!("--{long}")), cmdarg.short.map(|s| format!("-{s}"))];
            for option in options.into_iter().flatten() {
                if let Some((_, other)) = taken.iter().find(|(known, _)| *known == option) {
                    console.warning(format!(
                        "{}: `{}` cannot have the option `{option}`: {other} has it already",
                        shown(source),
                        variable.name,
                    ));
                } else {
                    taken.push((option, format!("`{}`", variable.name)));
                }
            }
        }
    }
}
