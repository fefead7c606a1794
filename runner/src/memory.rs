// SPDX-License-Identifier: MIT
//! Limits on what a package takes when it is loaded: memory, and open files of this process. The
//! package sets the number of entries in its maps, and the kernel allocates most of the memory when
//! they are created.

use anyhow::anyhow;
use bpfpack_schemas::object::{BpfObject, Program};
use libbpf_rs::MapType;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, exit_code};
use crate::sys::map::is_per_cpu;

/// By default, the maps of a package together may take the machine's memory divided by this.
const PART: u64 = 4;

/// Bytes of an element of a hash map in addition to its key and value (kernel/bpf/hashtab.c:
/// `htab_elem`), with its bucket.
const ELEMENT: u64 = 48 + 16;

/// The sizes of a map.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// Its type.
    pub(crate) ty: MapType,
    /// Size of a key in bytes.
    pub(crate) key: u32,
    /// Size of a value in bytes; in a per-CPU map, on one CPU.
    pub(crate) value: u32,
    /// Number of entries; in a ring buffer, bytes.
    pub(crate) entries: u32,
}

impl Sizes {
    /// The bytes that the map takes when it is full.
    pub(crate) fn bytes(&self, cpus: u64) -> u64 {
        let round = |size: u32| u64::from(size).next_multiple_of(8);
        let values = round(self.value) * if is_per_cpu(self.ty) { cpus } else { 1 };
        let entry = match self.ty {
            MapType::RingBuf | MapType::UserRingBuf => 1,
            MapType::Array | MapType::PercpuArray | MapType::Queue | MapType::Stack => values,
            _ => ELEMENT + round(self.key) + values,
        };
        entry.saturating_mul(self.entries.into())
    }
}

/// Checks that an object stays within its limits: the maps (name, bytes) within `limit` or a
/// quarter of the machine's memory, and the files within the limit of this process.
///
/// # Errors
/// Returns an error that names the largest map, or the number of files.
pub(crate) fn check(
    maps: &[(String, u64)],
    elf: &BpfObject<'_>,
    limit: Option<u64>,
) -> Result<(), Failure> {
    check_maps(maps, or_part(limit))?;
    check_files(elf, maps.len())
}

/// Checks the same limit for perf buffers, which ecli allocates: name, and pages for each CPU.
///
/// # Errors
/// Returns an error that names the largest buffer.
pub(crate) fn check_perf<'b>(
    buffers: impl Iterator<Item = (&'b str, usize)>,
    limit: Option<u64>,
) -> Result<(), Failure> {
    let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1);
    let bytes = |pages: usize| (pages * rustix::param::page_size() * cpus) as u64;
    let buffers: Vec<(String, u64)> =
        buffers.map(|(name, pages)| (name.to_owned(), bytes(pages))).collect();
    check_maps(&buffers, or_part(limit))
}

fn or_part(limit: Option<u64>) -> u64 {
    limit.unwrap_or_else(|| machine() / PART)
}

fn check_maps(maps: &[(String, u64)], limit: u64) -> Result<(), Failure> {
    let sum = maps.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let Some((name, largest)) = maps.iter().max_by_key(|(_, bytes)| *bytes) else { return Ok(()) };
    if sum <= limit {
        return Ok(());
    }
    let mb = |bytes: u64| bytes.div_ceil(1 << 20);
    let error = anyhow!(
        "the maps of the package need {} MB, and the limit is {} MB; `{name}` needs {} MB",
        mb(sum),
        limit >> 20,
        mb(*largest)
    );
    Err(Failure::new(exit_code::LOAD, error)
        .hint(format!("raise the limit with --max-memory {}M", mb(sum))))
}

/// Open files of ecli itself: standard streams, signals, outputs, timers, a command.
const OWN_FILES: u64 = 16;

/// Checks that this process may open as many files as an object needs, and raises its limit if
/// allowed. Otherwise libbpf would continue without a map that it could not open, and the verifier
/// would refuse its users.
///
/// # Errors
/// Returns an error if the limit is too low and cannot be raised.
fn check_files(elf: &BpfObject<'_>, maps: usize) -> Result<(), Failure> {
    // A program also has a link, and perhaps an event; a sampling program has both for each CPU.
    let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1) as u64;
    let files = |program: Program| match program.section.starts_with("perf_event") {
        true => 1 + 2 * cpus,
        false => 3,
    };
    let of_programs: u64 = elf.programs().into_iter().map(files).sum();
    let needed = OWN_FILES + maps as u64 + of_programs;
    let limit = getrlimit(Resource::Nofile);
    // `None` means no limit.
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let is_enough = limit.maximum.is_none_or(|maximum| maximum >= needed);
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    if is_enough && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let error = anyhow!(
        "the package needs {needed} open files, and the limit is {}",
        limit.current.unwrap_or(0)
    );
    Err(Failure::new(exit_code::LOAD, error).hint(format!("raise the limit: ulimit -n {needed}")))
}

/// The machine's memory in bytes.
fn machine() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_maps() {
        let sizes = |ty, key, value, entries| Sizes { ty, key, value, entries };
        assert_eq!(sizes(MapType::Array, 4, 12, 100).bytes(4), 1600);
        assert_eq!(sizes(MapType::PercpuArray, 4, 12, 100).bytes(4), 6400);
        assert_eq!(sizes(MapType::Hash, 4, 8, 10).bytes(4), 800);
        assert_eq!(sizes(MapType::RingBuf, 0, 0, 4096).bytes(4), 4096);
        assert_eq!(
            sizes(MapType::PercpuHash, u32::MAX, u32::MAX, u32::MAX).bytes(1 << 20),
            u64::MAX
        );
    }

    #[test]
    fn the_largest_map_is_named_and_the_hint_is_enough() {
        let maps = [("small".to_owned(), 5 << 20), ("large".to_owned(), (100 << 20) + 1)];
        let failure = check_maps(&maps, 64 << 20).unwrap_err();
        assert!(failure.message().contains("`large` needs 101 MB"), "{}", failure.message());
        assert!(failure.message().contains("need 106 MB, and the limit is 64 MB"));
        assert!(check_maps(&maps, 106 << 20).is_ok());
        assert!(check_maps(&[], 0).is_ok());
        assert!(machine() > 64 << 20);
    }
}
