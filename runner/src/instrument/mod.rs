// SPDX-License-Identifier: MIT
//! Counts records for which a buffer has no room. A record that does not fit a ring buffer is lost
//! in the program, where `bpf_ringbuf_reserve` or `bpf_ringbuf_output` fails; the kernel does not
//! count that. So ecli loads a copy of the object in which each such call is followed by code that
//! counts its failures in a map of our own. [`rewrite`] makes the copy.

mod elf;
mod rewrite;

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::Ordering;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::object::helpers::RECORDING;

use crate::sys::map::Map;
use crate::sys::mapping::Mapping;

pub(crate) use rewrite::Calls;

/// The counters of a loaded object.
#[derive(Debug)]
pub(crate) struct Counters {
    memory: Mapping,
    /// The names of the buffers, by slot.
    buffers: Vec<String>,
    /// Whether some call is not counted.
    is_incomplete: bool,
}

/// An instrumented object, and its counters once it is loaded.
#[derive(Debug)]
struct Instrumented {
    /// The object, which must be loaded while `_map` is open.
    object: Vec<u8>,
    /// Its counters.
    counters: Counters,
    _map: Map,
}

/// Loads an object that counts the losses of its buffers, if that is wanted and it has buffers.
/// Loads the original if the kernel refuses the copy.
///
/// # Errors
/// Returns the error of `load` for the original.
pub(crate) fn load_counting<L, E>(
    elf: &BpfObject<'_>,
    object: &[u8],
    is_wanted: bool,
    load: impl Fn(&[u8]) -> Result<L, E>,
) -> Result<(L, Option<Counters>), E> {
    if is_wanted
        && elf.calls_helper(&RECORDING)
        && let Ok(Some(Instrumented { object, counters, _map })) = instrument(object)
        // The verifier may refuse a program that is a little longer.
        && let Ok(loaded) = load(&object)
    {
        return Ok((loaded, Some(counters)));
    }
    Ok((load(object)?, None))
}

/// Makes the copy; `None` if the object writes to no buffer.
///
/// # Errors
/// Returns an error if the kernel does not support such a map, as before 5.5.
fn instrument(object: &[u8]) -> io::Result<Option<Instrumented>> {
    let Some(calls) = Calls::find(object) else { return Ok(None) };
    let buffers = calls.buffers();
    // A slot for each buffer, and one for calls whose buffer is not known.
    let size = (8 * (buffers.len() + 1)).next_multiple_of(rustix::param::page_size());
    let map = Map::array_in_memory("bpfpack_lost", size)?;
    let memory = Mapping::of_array(&map)?;
    let slot = |buffer: Option<&str>| {
        let known = buffer.and_then(|name| buffers.iter().position(|known| known == name));
        8 * known.unwrap_or(buffers.len()) as i32
    };
    let (object, is_incomplete) = calls.counted(map.as_fd().as_raw_fd(), slot);
    let counters = Counters { memory, buffers, is_incomplete };
    Ok(Some(Instrumented { object, counters, _map: map }))
}

impl Counters {
    fn slot(&self, at: usize) -> u64 {
        self.memory.numbers().get(at).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The number of records for which a buffer had no room.
    pub(crate) fn lost(&self, buffer: &str) -> u64 {
        self.buffers.iter().position(|name| name == buffer).map_or(0, |at| self.slot(at))
    }

    /// The number of records that were lost in an unknown buffer.
    pub(crate) fn lost_somewhere(&self) -> u64 {
        self.slot(self.buffers.len())
    }

    /// Whether some calls are not counted.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }
}
