// SPDX-License-Identifier: MIT
//! Opens and loads an object. [`Opened`] becomes [`Loaded`], or a [`LoadError`], which
//! [`crate::attach`] explains.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::map_type::check_entries;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::printable;
use bpfpack_spec::maps::OpenSizes;
use libbpf_rs::{
    MapMut, MapType, Object, ObjectBuilder, OpenMapMut, OpenObject, ProgramAttachType, ProgramType,
};

use crate::failure::{Failure, bad_object, exit_code};
use crate::memory;
use crate::sys;
use crate::vars::Arguments;

/// Messages of libbpf since the last call of `take_log`. They are shown if they explain a failure.
static LOG: Mutex<String> = Mutex::new(String::new());

/// Captures libbpf's messages. The user sees them only if `show` is set.
pub(crate) fn capture_log(show: bool) {
    fn keep(text: String) {
        if let Ok(mut log) = LOG.lock() {
            log.push_str(&text);
        }
    }
    fn show_and_keep(text: String) {
        crate::talk::line(format_args!("{}", printable::message(text.trim_end())));
        keep(text);
    }
    match show {
        true => sys::set_libbpf_print(libbpf_sys::LIBBPF_DEBUG, show_and_keep),
        false => sys::set_libbpf_print(libbpf_sys::LIBBPF_WARN, keep),
    }
}

/// Takes the messages of libbpf since the last call.
pub(crate) fn take_log() -> String {
    LOG.lock().map(|mut log| std::mem::take(&mut *log)).unwrap_or_default()
}

/// Whether the map of this name holds a data section. libbpf prefixes the standard sections with
/// the object's name (`hardirqs.bss`) and keeps other names (`.data.counters`).
pub(crate) fn holds_section(map: &str, section: &str) -> bool {
    map == section || map.split_once('.').is_some_and(|(_, rest)| rest == &section[1..])
}

/// What libbpf and the kernel answered when an object was not loaded.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// The error of libbpf.
    pub(crate) error: libbpf_rs::Error,
    /// Its messages, with the log of the verifier.
    pub(crate) log: String,
}

/// What user space knows of an object: its maps (name, type, sizes of keys and values, number of
/// entries), and its programs (name and section).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    maps: Vec<(String, u32, u32, u32, u32)>,
    programs: Vec<(String, String)>,
}

/// An object that libbpf has opened.
#[derive(Debug)]
pub(crate) struct Opened(OpenObject);

/// An object that the kernel has loaded.
#[derive(Debug)]
pub(crate) struct Loaded(pub(crate) Object);

/// Opens the object. `name` becomes the prefix of the maps for its data sections.
pub(crate) fn open(name: &str, object: &[u8]) -> Result<Opened, Failure> {
    take_log();
    // libbpf recurses endlessly into a type that contains itself.
    BpfObject::parse(object).and_then(|elf| elf.check_types()).map_err(bad_object)?;
    ObjectBuilder::default()
        // Without a name, libbpf would use the address as one.
        .name(name)
        .and_then(|builder| builder.open_memory(object))
        .map(Opened)
        .map_err(|error| {
            let error = anyhow::Error::new(error).context("libbpf cannot read `bpf_object`");
            Failure::new(exit_code::PACKAGE, error).details(take_log())
        })
}

impl Opened {
    /// Replaces initial values of variables by arguments.
    pub(crate) fn set_variables(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        for assignment in &arguments.assignments {
            let is_it = |name: &str| holds_section(name, &assignment.section);
            let map = self.0.maps_mut().find(|map| map.name().to_str().is_some_and(is_it));
            let end = assignment.offset + assignment.bytes.len();
            let place = map.and_then(|mut map| {
                let value = map.initial_value_mut()?.get_mut(assignment.offset..end)?;
                value.copy_from_slice(&assignment.bytes);
                Some(())
            });
            place.ok_or_else(|| {
                let text = format!("the object's `{}` cannot be changed", assignment.section);
                Failure::new(exit_code::PACKAGE, anyhow!(text))
            })?;
        }
        Ok(())
    }

    /// Sets the sizes of maps from the package and from `wanted`, if their definitions leave them
    /// to user space. libbpf rounds the size of a ring buffer up to one that the kernel accepts.
    pub(crate) fn size_maps(
        &mut self,
        meta: &Meta,
        wanted: &[(String, u32)],
    ) -> Result<(), Failure> {
        if let Some((name, _)) = wanted.iter().find(|(name, _)| {
            let is_it = |map: &OpenMapMut<'_>| map.name().to_str() == Some(name);
            !self.0.maps_mut().any(|map| is_it(&map))
        }) {
            let mut names: Vec<String> =
                self.0.maps().map(|map| map.name().to_string_lossy().into_owned()).collect();
            names.retain(|name| !name.contains('.'));
            let text = format!("--map-entries: the package has no map `{name}`");
            return Err(Failure::usage(text).hint(format!("its maps are {}", names.join(", "))));
        }
        for mut map in self.0.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let described = meta.bpf_skel.maps.iter().find(|meta| meta.name == name);
            let wanted = wanted.iter().find(|(map, _)| *map == name).map(|(_, entries)| *entries);
            let ty = map.map_type() as u32;
            if let Some(entries) = wanted {
                check_entries(ty, entries).map_err(|error| {
                    let error = anyhow::Error::new(error);
                    let error = error.context(format!("--map-entries {name}={entries}"));
                    Failure::new(exit_code::USAGE, error)
                })?;
            }
            let sizes = OpenSizes::of((ty, map.max_entries(), map.value_size()), described, wanted);
            let fail = |error: libbpf_rs::Error| {
                let error = anyhow::Error::new(error).context(format!("cannot size `{name}`"));
                Failure::new(exit_code::LOAD, error)
            };
            if let Some(entries) = sizes.max_entries {
                map.set_max_entries(entries).map_err(fail)?;
            }
            if let Some(size) = sizes.stack_bytes {
                map.set_key_size(4).map_err(fail)?;
                map.set_value_size(size).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Makes all maps private: no map is looked up at a pin path, and none is pinned. Returns the
    /// names of the maps that ask for a pin.
    #[cfg(feature = "wasm")]
    pub(crate) fn forget_pins(&mut self) -> Vec<String> {
        let pinned = self.pinned();
        for mut map in self.0.maps_mut() {
            sys::forget_pin(&mut map);
        }
        pinned
    }

    /// The names of the maps that ask for a pin.
    pub(crate) fn pinned(&mut self) -> Vec<String> {
        let pinned = self.0.maps_mut().filter_map(|mut map| {
            sys::asks_for_pin(&mut map).then(|| map.name().to_string_lossy().into_owned())
        });
        pinned.collect()
    }

    /// Pins a map at a path when it is loaded, or reuses the map that is pinned there.
    ///
    /// # Errors
    /// Returns an error if the path is not valid.
    pub(crate) fn pin(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        let map = self.0.maps_mut().find(|map| map.name().to_str() == Some(name));
        map.map_or(Ok(()), |mut map| map.set_pin_path(path)).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("cannot pin the map `{name}`"));
            Failure::new(exit_code::LOAD, error)
        })
    }

    /// What user space knows of it.
    pub(crate) fn shape(&self) -> Shape {
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let map = |map: libbpf_rs::OpenMap<'_>| {
            // The names of data sections begin with that of the object.
            let name = text(map.name());
            let name = name.split_once('.').map_or(&*name, |(_, section)| section).to_owned();
            let ty = map.map_type() as u32;
            (name, ty, map.key_size(), map.value_size(), map.max_entries())
        };
        let program = |it: libbpf_rs::OpenProgram<'_>| (text(it.name()), text(it.section()));
        Shape {
            maps: self.0.maps().map(map).collect(),
            programs: self.0.progs().map(program).collect(),
        }
    }

    /// The memory that each map takes, in bytes.
    pub(crate) fn memory(&self) -> Vec<(String, u64)> {
        let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1) as u64;
        let of = |map: libbpf_rs::OpenMap<'_>| {
            let sizes = memory::Sizes {
                ty: map.map_type(),
                key: map.key_size(),
                value: map.value_size(),
                entries: map.max_entries(),
            };
            (map.name().to_string_lossy().into_owned(), sizes.bytes(cpus))
        };
        self.0.maps().map(of).collect()
    }

    /// Excludes programs from loading.
    pub(crate) fn leave_out(&mut self, names: &BTreeSet<String>) {
        for mut program in self.0.progs_mut() {
            if program.name().to_str().is_some_and(|name| names.contains(name)) {
                program.set_autoload(false);
            }
        }
    }

    /// Includes programs that are not loaded by default because their section begins with `?`.
    pub(crate) fn take_in(&mut self, wanted: impl Fn(&str) -> bool) {
        for mut program in self.0.progs_mut() {
            if program.name().to_str().is_some_and(&wanted) {
                program.set_autoload(true);
            }
        }
    }

    /// Sets the type of programs whose section libbpf does not know; `find` returns the type for a
    /// section.
    pub(crate) fn set_types(&mut self, find: impl Fn(&str) -> Option<ProgramType>) {
        for mut program in self.0.progs_mut() {
            let is_unknown = program.prog_type() == ProgramType::Unspec;
            let section = program.section().to_string_lossy().into_owned();
            if let Some(ty) = find(&section).filter(|_| is_unknown) {
                program.set_prog_type(ty);
            }
        }
    }

    /// The types of the programs, by name.
    pub(crate) fn types(&self) -> Vec<(String, ProgramType)> {
        let of = |program: libbpf_rs::OpenProgram<'_>| {
            (program.name().to_string_lossy().into_owned(), program.prog_type())
        };
        self.0.progs().map(of).collect()
    }

    /// Prepares programs for attachment by uprobe_multi links.
    pub(crate) fn link_user_functions(&mut self, names: &BTreeSet<String>) {
        for mut program in self.0.progs_mut() {
            if program.name().to_str().is_some_and(|name| names.contains(name)) {
                program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
            }
        }
    }

    /// Sets the attach type of a program.
    pub(crate) fn set_attach_type(&mut self, name: &str, kind: ProgramAttachType) {
        let program = self.0.progs_mut().find(|program| program.name().to_str() == Some(name));
        if let Some(mut program) = program {
            program.set_attach_type(kind);
        }
    }

    /// Sets the function, of the kernel or of another program, for which a program is loaded.
    ///
    /// # Errors
    /// Returns an error if libbpf does not find the function.
    pub(crate) fn aim(
        &mut self,
        name: &str,
        kind: Option<ProgramAttachType>,
        other: Option<i32>,
        function: &str,
    ) -> libbpf_rs::Result<()> {
        let program = self.0.progs_mut().find(|program| program.name().to_str() == Some(name));
        program.map_or(Ok(()), |mut program| {
            if let Some(kind) = kind {
                program.set_attach_type(kind);
            }
            program.set_attach_target(other.unwrap_or(0), Some(function.to_owned()))
        })
    }

    /// Loads the object into the kernel.
    pub(crate) fn load(self) -> Result<Loaded, LoadError> {
        take_log();
        self.0.load().map(Loaded).map_err(|error| LoadError { error, log: take_log() })
    }
}

impl Loaded {
    /// The maps of type `BPF_MAP_TYPE_CGROUP_ARRAY`.
    pub(crate) fn cgroup_arrays(&mut self) -> impl Iterator<Item = MapMut<'_>> {
        use libbpf_rs::MapCore as _;
        self.0.maps_mut().filter(|map| map.map_type() == MapType::CgroupArray)
    }
}
