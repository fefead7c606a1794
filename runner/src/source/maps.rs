// SPDX-License-Identifier: MIT
//! Reads maps: all elements of a map, in batches if the kernel supports them, or the variables of a
//! data section in one copy.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use bpfpack_decode::Field;
use bpfpack_decode::field::{combine, part, unsigned};
use bpfpack_frame::Entry;
use bpfpack_spec::{ReadFrom, Spec, View};
use libbpf_rs::{MapCore as _, MapType, Object};

use super::bounds::{Bounds, Collected};
use crate::failure::{Failure, exit_code};
use crate::load;
use crate::sys::map::{Batch, Map};

/// The initial number of elements in a batch, and bytes.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;

/// The maximum size of a batch in bytes. It fits the largest bucket of any map that is not under
/// attack; elements of larger buckets are read one by one.
const LARGEST_BATCH: usize = 64 << 20;

/// The origin of entries.
#[derive(Debug)]
pub(crate) enum Reader {
    /// The elements of a map.
    Map(MapReader),
    /// Variables in a data section.
    Section(SectionReader),
    /// A map whose elements are slots of histograms.
    Slots(SlotsReader),
}

/// A map whose elements are slots of histograms. They are joined, so that an entry is a histogram
/// whose value is an array of `len` 8-byte numbers.
#[derive(Debug)]
pub(crate) struct SlotsReader {
    /// Reads the map. Its values are single numbers.
    pub(crate) reader: MapReader,
    /// The slot in the key.
    pub(crate) slot: Field,
    /// The number of slots in a histogram. Slots beyond it are added to the last one.
    pub(crate) len: usize,
    /// The slot with the sum of all values, which comes behind the slots.
    pub(crate) sum_slot: Option<u64>,
}

/// Reads all elements of a map.
#[derive(Debug)]
pub(crate) struct MapReader {
    /// The map.
    pub(crate) map: Map,
    /// The counters in a value. They are summed over all CPUs.
    pub(crate) counters: Vec<Field>,
    /// Whether elements can be removed.
    pub(crate) is_hash: bool,
    /// Whether each CPU's value is an entry of its own, with the CPU appended to the key.
    pub(crate) per_cpu: bool,
}

/// Arrays of the same length in a data section, read in parallel: entry i has element i of each.
#[derive(Debug)]
pub(crate) struct SectionReader {
    /// The section's map, whose only value is the section.
    pub(crate) map: Map,
    /// The offset of each array, and the size of its elements.
    pub(crate) parts: Vec<Field>,
    /// The number of elements in each array.
    pub(crate) len: usize,
}

impl Reader {
    /// Opens readers for the views of a spec.
    ///
    /// # Errors
    /// Returns an error that names the map that cannot be opened.
    pub(crate) fn open_all(
        object: &Object,
        spec: &Spec,
    ) -> Result<Vec<(Arc<View>, Reader)>, Failure> {
        let open =
            |view: &Arc<View>| Ok(Reader::open(object, view)?.map(|r| (Arc::clone(view), r)));
        spec.views().filter_map(|view| open(view).transpose()).collect()
    }

    /// Opens the reader for a view; `None` if a stage makes its entries.
    ///
    /// # Errors
    /// Returns an error that names the map that cannot be opened.
    fn open(object: &Object, view: &View) -> Result<Option<Reader>, Failure> {
        let open = |is_it: &dyn Fn(&str) -> bool| -> Result<Map, Failure> {
            let mut maps = object.maps();
            let map = maps.find(|map| map.name().to_str().is_some_and(is_it));
            let map =
                map.ok_or_else(|| unusable(view, anyhow::anyhow!("the map does not exist")))?;
            Map::of(&map).map_err(|error| unusable(view, error.into()))
        };
        let map_reader = |name: &str, counters: Option<Vec<Field>>| {
            let map = open(&|map| map == name)?;
            let counters =
                counters.unwrap_or_else(|| vec![Field { offset: 0, size: map.value_size() }]);
            let is_hash = !matches!(map.map_type(), MapType::Array | MapType::PercpuArray);
            Ok(MapReader { map, counters, is_hash, per_cpu: view.per_cpu })
        };
        Ok(Some(match &view.from {
            ReadFrom::Map { map } => Reader::Map(map_reader(map, Some(view.counters.clone()))?),
            ReadFrom::Slots { map, slot, len, sum_slot } => Reader::Slots(SlotsReader {
                reader: map_reader(map, None)?,
                slot: *slot,
                len: *len,
                sum_slot: *sum_slot,
            }),
            ReadFrom::Section { section, parts, len } => {
                let map = open(&|map| load::holds_section(map, section))?;
                Reader::Section(SectionReader { map, parts: parts.clone(), len: *len })
            }
            ReadFrom::Stage => return Ok(None),
        }))
    }

    /// Reads entries within the bounds, in no order.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub(crate) fn read(&self, bounds: &Bounds) -> io::Result<Collected> {
        let max_entries = match self {
            Reader::Map(reader) | Reader::Slots(SlotsReader { reader, .. }) => {
                reader.map.max_entries()
            }
            Reader::Section(_) => 1,
        };
        let mut taken = Collected::new(bounds, max_entries);
        match self {
            Reader::Map(reader) => {
                let counters = &reader.counters;
                reader.read(|key, value| taken.push(key, value, counters))?;
                taken.finish(counters);
            }
            Reader::Section(section) => section.read(&mut taken)?,
            Reader::Slots(slots) => slots.read(&mut taken)?,
        }
        Ok(taken)
    }
}

fn unusable(view: &View, error: anyhow::Error) -> Failure {
    let error = error.context(format!("cannot read the map `{}`", view.name));
    Failure::new(exit_code::OTHER, error)
}

impl SlotsReader {
    fn read(&self, taken: &mut Collected) -> io::Result<()> {
        let mut found = BTreeMap::new();
        let reader = &self.reader;
        reader.read(|key, value| self.put(key, value, &mut found, taken))?;
        taken.entries = self.entries(found);
        Ok(())
    }

    /// Adds an element to its histogram. Returns false if no more are wanted.
    fn put(
        &self,
        key: &[u8],
        value: &[u8],
        found: &mut BTreeMap<Vec<u8>, Vec<u64>>,
        taken: &mut Collected,
    ) -> bool {
        let Field { offset, size } = self.slot;
        let mut key = key.to_vec();
        let slot = self.slot.unsigned(&key);
        let is_sum = self.sum_slot.is_some_and(|sum| u128::from(sum) == slot);
        let slot = match is_sum {
            true => self.len,
            false => usize::try_from(slot).unwrap_or(usize::MAX).min(self.len - 1),
        };
        let numbers = self.len + usize::from(self.sum_slot.is_some());
        if let Some(bytes) = key.get_mut(offset..offset + size) {
            bytes.fill(0);
        }
        if !found.contains_key(&key) && !taken.has_room(found.len(), key.len() + numbers * 8) {
            return taken.leave_out();
        }
        let counts = found.entry(key).or_insert_with(|| vec![0; numbers]);
        let count = unsigned(value, self.reader.map.value_size().min(8)) as u64;
        counts[slot] = counts[slot].wrapping_add(count);
        taken.goes_on()
    }

    fn entries(&self, found: BTreeMap<Vec<u8>, Vec<u64>>) -> Vec<Entry> {
        let bytes = |counts: Vec<u64>| -> Vec<u8> {
            counts.iter().flat_map(|count| count.to_le_bytes()).collect()
        };
        found.into_iter().map(|(key, counts)| Entry::new(&key, &bytes(counts))).collect()
    }
}

impl SectionReader {
    fn read(&self, taken: &mut Collected) -> io::Result<()> {
        let size = self.map.value_bytes();
        if size > taken.most_bytes() {
            return Err(io::Error::other(format!(
                "it has {size} bytes, more than --max-memory allows"
            )));
        }
        let mut data = vec![0; size];
        self.map.lookup(&0u32.to_ne_bytes(), &mut data, 0)?;
        let entry = |index: usize| {
            let element =
                |&Field { offset, size }: &Field| data.get(offset + index * size..)?.get(..size);
            let value: Vec<u8> = self.parts.iter().filter_map(element).flatten().copied().collect();
            Entry::new(&(index as u32).to_le_bytes(), &value)
        };
        for index in 0..self.len {
            let entry = entry(index);
            match taken.has_room(taken.entries.len(), entry.key().len() + entry.value().len()) {
                true => taken.entries.push(entry),
                false => drop(taken.leave_out()),
            }
        }
        Ok(())
    }
}

impl MapReader {
    /// Passes each element to `take` until it returns false. Per-CPU values are merged, or passed
    /// one by one if they are not zero.
    fn read(&self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let Some(cpus) = self.map.cpus().filter(|_| self.per_cpu) else {
            return self.read_elements(|key, value| take(key, &self.merge(value)));
        };
        let stride = self.map.value_size().next_multiple_of(8);
        let mut key_of_cpu = Vec::new();
        self.read_elements(|key, value| {
            (0..cpus).all(|cpu| {
                let value = &part(value, cpu * stride)[..self.map.value_size()];
                key_of_cpu.clear();
                key_of_cpu.extend_from_slice(key);
                key_of_cpu.extend_from_slice(&(cpu as u32).to_le_bytes());
                value.iter().all(|byte| *byte == 0) || take(&key_of_cpu, value)
            })
        })
    }

    /// Passes each element to `take` as it is in the map.
    fn read_elements(&self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        match self.read_batches(&mut take) {
            // Kernels before 5.6 and some map types do not support batches.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPERM | 524)
                ) =>
            {
                self.read_one_by_one(&mut take)
            }
            result => result,
        }
    }

    fn read_batches(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let map = &self.map;
        let (key_size, value_size) = (map.key_size(), map.value_bytes());
        let element = key_size + value_size;
        let mut count = BATCH.min(map.max_entries() as usize).min(BATCH_BYTES / element).max(1);
        let (mut from, mut next) = (vec![0; map.position_size()], vec![0; map.position_size()]);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut is_first = true;
        loop {
            keys.resize(key_size * count, 0);
            values.resize(value_size * count, 0);
            let batch = Batch {
                from: (!is_first).then_some(&from),
                next: &mut next,
                keys: &mut keys,
                values: &mut values,
                count: count as u32,
            };
            match map.lookup_batch(batch) {
                Ok((found, is_last)) => {
                    let keys = keys.chunks_exact(key_size);
                    let values = values.chunks_exact(value_size);
                    let mut found = keys.zip(values).take(found as usize);
                    if !found.all(|(key, value)| take(key, value)) || is_last {
                        return Ok(());
                    }
                    is_first = false;
                    std::mem::swap(&mut from, &mut next);
                }
                // A bucket has more elements than the batch.
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOSPC)
                        && count * 2 * element <= LARGEST_BATCH =>
                {
                    count *= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn read_one_by_one(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let mut seen = HashSet::new();
        let mut key: Option<Vec<u8>> = None;
        let map = &self.map;
        let mut next = vec![0; map.key_size()];
        let mut value = vec![0; map.value_bytes()];
        // If a key is deleted meanwhile, the kernel starts again. Elements that were seen are
        // skipped, and the number of steps is limited to twice the size of the map.
        for _ in 0..u64::from(map.max_entries()) * 2 + 2 {
            match map.next_key(key.as_deref(), &mut next) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(error) => return Err(error),
            }
            if seen.insert(next.clone()) {
                match map.lookup(&next, &mut value, 0) {
                    Ok(()) => {
                        if !take(&next, &value) {
                            break;
                        }
                    }
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Err(error) => return Err(error),
                }
            }
            key = Some(next.clone());
        }
        Ok(())
    }

    /// Removes an element and returns its value; `None` if it is gone.
    pub(crate) fn take(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.map.value_bytes()];
        match self.map.take(key, &mut value, 0) {
            Ok(()) => Ok(Some(self.merge(&value).into_owned())),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Merges the values of all CPUs: counters are summed, and other bytes are those of the first
    /// CPU whose value is not zero.
    fn merge<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        let Some(cpus) = self.map.cpus() else {
            return value.into();
        };
        let size = self.map.value_size();
        let stride = size.next_multiple_of(8);
        let mut of_cpus = (0..cpus)
            .map(|cpu| &part(value, cpu * stride)[..size])
            .skip_while(|value| value.iter().all(|byte| *byte == 0));
        let mut sum = of_cpus.next().map_or(vec![0; size], <[u8]>::to_vec);
        for value in of_cpus {
            combine(&mut sum, value, &self.counters, u128::wrapping_add);
        }
        sum.into()
    }
}

#[cfg(test)]
mod tests {
    use libbpf_rs::MapType;

    use super::*;

    fn reader(map: Map) -> MapReader {
        let counters = vec![Field { offset: 0, size: 8 }];
        MapReader { map, counters, is_hash: true, per_cpu: false }
    }

    /// A map with values of 12 bytes.
    fn map() -> Map {
        Map::fake(MapType::Hash, 4, 12, 1)
    }

    #[test]
    fn values_of_cpus_are_summed() {
        let mut value = vec![0; 16];
        for (count, name) in [(5u64, b"abcd"), (7, b"efgh")] {
            value.extend(count.to_le_bytes());
            value.extend(name);
            value.extend([0; 4]);
        }
        let sum = reader(map().on_cpus(3)).merge(&value);
        assert_eq!(sum, [&12u64.to_le_bytes()[..], b"abcd"].concat());
        assert_eq!(reader(map().on_cpus(2)).merge(&[0; 32])[..], [0; 12]);
        assert_eq!(reader(map()).merge(&[3; 12])[..], [3; 12]);
    }

    #[test]
    fn slots_that_are_elements_are_put_together() {
        let reader = reader(Map::fake(MapType::Hash, 8, 8, 1));
        let slot = Field { offset: 4, size: 4 };
        let mut slots = SlotsReader { reader, slot, len: 3, sum_slot: None };
        let element = |disk: u32, slot: u32, count: u64| {
            Entry::new(&[disk.to_le_bytes(), slot.to_le_bytes()].concat(), &count.to_le_bytes())
        };
        let put_together = |slots: &SlotsReader, most: usize| {
            let bounds = Bounds { most, ..Bounds::none() };
            let (mut found, mut taken) = (BTreeMap::new(), Collected::new(&bounds, 1));
            for entry in [element(1, 2, 5), element(7, 0, 1), element(1, 0, 3), element(1, 900, 4)]
            {
                assert!(slots.put(entry.key(), entry.value(), &mut found, &mut taken));
            }
            (slots.entries(found), taken.left_out)
        };
        let (found, left_out) = put_together(&slots, 9);
        let counts = |entry: &Entry| -> Vec<u64> {
            entry.value().chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect()
        };
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].key()[0], counts(&found[0])), (1, vec![3, 0, 9]));
        assert_eq!((found[1].key()[0], counts(&found[1])), (7, vec![1, 0, 0]));
        assert_eq!(left_out, 0);
        let (found, left_out) = put_together(&slots, 1);
        assert_eq!((found.len(), counts(&found[0]), left_out), (1, vec![3, 0, 9], 1));
        slots.sum_slot = Some(900);
        let (found, _) = put_together(&slots, 9);
        assert_eq!(counts(&found[0]), [3, 0, 5, 4], "the sum is behind the slots");
    }
}
