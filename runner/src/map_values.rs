// SPDX-License-Identifier: MIT
//! Values that user space puts into maps before programs run: `--map-set`, and the cgroup that
//! programs filter by.

use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::Path;

use anyhow::Context as _;
use bpfpack_schemas::argument::Argument;
use bpfpack_schemas::btf::{Btf, Type};
use bpfpack_schemas::object::BpfObject;
use libbpf_rs::{MapCore as _, MapFlags, MapType, Object};

use crate::args::{MapSetArg, Plan};
use crate::failure::{self, Failure, exit_code};
use crate::load::Loaded;
use crate::os;

/// Fills the maps of a loaded object from the command line.
///
/// # Errors
/// Returns an error that names the map and the reason.
pub(crate) fn fill(plan: &Plan, elf: &BpfObject<'_>, loaded: &mut Loaded) -> Result<(), Failure> {
    fill_cgroup_arrays(plan, loaded)?;
    if plan.map_set.is_empty() {
        return Ok(());
    }
    let btf = elf.btf().map_err(failure::bad_object)?;
    plan.map_set.iter().try_for_each(|arg| set(arg, &btf, &loaded.0))
}

fn usage(arg: &MapSetArg, text: impl std::fmt::Display) -> Failure {
    let MapSetArg { map, key, value } = arg;
    Failure::usage(format!("--map-set {map}={key}:{value}: {text}"))
}

fn set(arg: &MapSetArg, btf: &Btf<'_>, object: &Object) -> Result<(), Failure> {
    let map = object.maps().find(|map| map.name().to_str() == Some(&arg.map)).ok_or_else(|| {
        let names = object.maps().map(|map| map.name().to_string_lossy().into_owned());
        let names: Vec<String> = names.filter(|name| !name.contains('.')).collect();
        usage(arg, "the package does not have this map")
            .hint(format!("its maps are {}", names.join(", ")))
    })?;
    let (key_type, value_type) = btf.map_types(&arg.map);
    let key = bytes(&arg.key, key_type, map.key_size() as usize)
        .map_err(|why| usage(arg, format!("the key: {why}")))?;
    // Keeps the file open until the map has taken it.
    let mut _file = None;
    let descriptor = |fd: RawFd| fd.to_ne_bytes().to_vec();
    let value = match map.map_type() {
        MapType::ProgArray => descriptor(program(arg, &arg.value, object)?),
        MapType::CgroupArray => {
            let file = File::open(&arg.value).map_err(|error| usage(arg, error))?;
            descriptor(_file.insert(file).as_raw_fd())
        }
        // `struct bpf_devmap_val` and `struct bpf_cpumap_val`: a number and an optional program.
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => {
            let (first, called) = match arg.value.split_once('/') {
                Some((first, called)) => (first, Some(called)),
                None => (&*arg.value, None),
            };
            let number = match map.map_type() {
                MapType::Cpumap => bytes(first, None, 4).map_err(|why| usage(arg, why))?,
                _ => {
                    let index = os::interface_index(first).map_err(|error| usage(arg, error))?;
                    index.to_ne_bytes().to_vec()
                }
            };
            let mut value = number;
            if let Some(called) = called {
                value.extend(descriptor(program(arg, called, object)?));
            }
            if value.len() > map.value_size() as usize {
                return Err(usage(arg, "a value of the map is too small for a program"));
            }
            value.resize(map.value_size() as usize, 0);
            value
        }
        MapType::Sockmap | MapType::Sockhash => {
            return Err(usage(arg, "only the owner of a socket can put it into a map"));
        }
        _ => bytes(&arg.value, value_type, map.value_size() as usize)
            .map_err(|why| usage(arg, format!("the value: {why}")))?,
    };
    let is_per_cpu = crate::sys::map::is_per_cpu(map.map_type());
    let result = match is_per_cpu {
        true => {
            let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1);
            map.update_percpu(&key, &vec![value; cpus], MapFlags::ANY)
        }
        false => map.update(&key, &value, MapFlags::ANY),
    };
    result.map_err(|error| usage(arg, format!("the kernel answered: {error:#}")))
}

/// Returns the descriptor of a loaded program.
fn program(arg: &MapSetArg, name: &str, object: &Object) -> Result<RawFd, Failure> {
    let program = object.progs().find(|program| program.name().to_str() == Some(name));
    let program =
        program.ok_or_else(|| usage(arg, format!("the package has no program `{name}`")))?;
    // The descriptor of a program that is not loaded is negative.
    match std::os::fd::AsFd::as_fd(&program).as_raw_fd() {
        fd if fd >= 0 && program.autoload() => Ok(fd),
        _ => Err(usage(arg, format!("`{name}` is not loaded"))),
    }
}

/// The bytes of a text, by its type, or as an integer if the package does not describe the type.
fn bytes(text: &str, ty: Option<Type<'_>>, size: usize) -> Result<Vec<u8>, String> {
    let of_type = ty.and_then(|ty| Argument::of(ty, size));
    let number = || {
        let is_number = matches!(size, 1 | 2 | 4 | 8);
        is_number.then_some(Argument::Int { size, signed: false })
    };
    match of_type.or_else(number) {
        Some(argument) => argument.parse(text),
        None => Err(format!("its {size} bytes cannot be given as text")),
    }
}

/// Puts the cgroup from the command line into the maps of cgroups.
fn fill_cgroup_arrays(plan: &Plan, loaded: &mut Loaded) -> Result<(), Failure> {
    let Some(path) = &plan.cgroup else {
        return Ok(());
    };
    let cgroup = open(path)?;
    for map in loaded.cgroup_arrays() {
        map.update(&0u32.to_ne_bytes(), &cgroup.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .with_context(|| format!("`{}` is not a cgroup of version 2", path.display()))
            .map_err(|error| Failure::new(exit_code::USAGE, error))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .with_context(|| format!("cannot open the cgroup `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::USAGE, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_where_no_type_is_known() {
        assert_eq!(bytes("258", None, 4), Ok(vec![2, 1, 0, 0]));
        assert!(bytes("258", None, 1).is_err());
        assert_eq!(bytes("1", None, 12), Err("its 12 bytes cannot be given as text".into()));
    }
}
