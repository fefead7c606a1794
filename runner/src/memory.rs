// SPDX-License-Identifier: MIT
//! What a package takes before it runs: memory of the machine, and open files of this process. A
//! package says how many entries its maps have, and the kernel takes most of their memory when they
//! are made.

use anyhow::anyhow;
use bpfpack_schemas::object::{BpfObject, Program};
use libbpf_rs::MapType;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, exit_code};
use crate::sys::map::is_per_cpu;

/// What a map takes by default of the machine's memory, with all others of its package: a part.
const PART: u64 = 4;

/// Bytes of an element of a hash map beside its key and value (kernel/bpf/hashtab.c: `htab_elem`),
/// and of its bucket.
const ELEMENT: u64 = 48 + 16;

/// The sizes of a map.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// Its type.
    pub(crate) ty: MapType,
    /// Bytes of a key.
    pub(crate) key: u32,
    /// Bytes of a value, on one CPU where there is one for each.
    pub(crate) value: u32,
    /// Entries; bytes in a ring buffer.
    pub(crate) entries: u32,
}

impl Sizes {
    /// Bytes that it takes once all entries are there.
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

/// Checks that an object takes no more than it may: its maps, by name and bytes, `limit`, or a
/// quarter of the machine's memory; and as many open files as this process may have.
///
/// # Errors
/// Names the largest map, or the number of files.
pub(crate) fn check(
    maps: &[(String, u64)],
    elf: &BpfObject<'_>,
    limit: Option<u64>,
) -> Result<(), Failure> {
    check_maps(maps, or_part(limit))?;
    check_files(elf, maps.len())
}

/// Checks the same of perf buffers, which are ecli's: a name each, and pages for each CPU.
///
/// # Errors
/// Names the largest buffer.
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

/// Open files of ecli itself: standard streams, signals, output, clocks, a command.
const OWN_FILES: u64 = 16;

/// Checks that this process may open as many files as an object needs. Where it may raise its limit
/// it does so. libbpf goes on without a map that it could not open, and the verifier then refuses
/// what uses it.
///
/// # Errors
/// When it may not.
fn check_files(elf: &BpfObject<'_>, maps: usize) -> Result<(), Failure> {
    // A program has its link, too, and perhaps an event: one for each CPU where it samples.
    let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1) as u64;
    let files = |program: Program| match program.section.starts_with("perf_event") {
        true => 1 + 2 * cpus,
        false => 3,
    };
    let of_programs: u64 = elf.programs().into_iter().map(files).sum();
    let needed = OWN_FILES + maps as u64 + of_programs;
    let limit = getrlimit(Resource::Nofile);
    // None stands for no limit.
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

/// Bytes of the machine's memory.
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
