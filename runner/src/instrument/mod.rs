// SPDX-License-Identifier: MIT
//! Counts what buffers have no room for. A ring buffer's record that does not fit is lost inside
//! the program, where `bpf_ringbuf_reserve` or `bpf_ringbuf_output` fails; the kernel keeps no
//! count of that. So a copy of the object is loaded in which each such call is followed by a count
//! of its failures, in a map of our own. [`rewrite`] makes the copy.

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

/// The counts of a loaded object.
#[derive(Debug)]
pub(crate) struct Counters {
    memory: Mapping,
    /// Names of the buffers, by slot.
    buffers: Vec<String>,
    /// Whether a call could not be counted.
    is_incomplete: bool,
}

/// An object with the counts that it keeps once it is loaded.
#[derive(Debug)]
struct Instrumented {
    /// The object, to be loaded while `_map` is open.
    object: Vec<u8>,
    /// Its counts.
    counters: Counters,
    _map: Map,
}

/// Has an object loaded that counts what its buffers lose, where that is wanted and there are such;
/// as it is where the kernel does not take the copy.
///
/// # Errors
/// What `load` says of the object as it is.
pub(crate) fn load_counting<L, E>(
    elf: &BpfObject<'_>,
    object: &[u8],
    is_wanted: bool,
    load: impl Fn(&[u8]) -> Result<L, E>,
) -> Result<(L, Option<Counters>), E> {
    if is_wanted
        && elf.calls_helper(&RECORDING)
        && let Ok(Some(Instrumented { object, counters, _map })) = instrument(object)
        // It may be that the verifier gives up on a program that is a little longer.
        && let Ok(loaded) = load(&object)
    {
        return Ok((loaded, Some(counters)));
    }
    Ok((load(object)?, None))
}

/// Makes the copy; none where the object writes to no buffer.
///
/// # Errors
/// When the kernel makes no such map: before 5.5.
fn instrument(object: &[u8]) -> io::Result<Option<Instrumented>> {
    let Some(calls) = Calls::find(object) else { return Ok(None) };
    let buffers = calls.buffers();
    // A slot for each buffer, and one for calls whose buffer is unknown.
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

    /// Records that a buffer had no room for.
    pub(crate) fn lost(&self, buffer: &str) -> u64 {
        self.buffers.iter().position(|name| name == buffer).map_or(0, |at| self.slot(at))
    }

    /// Records that were lost for an unknown buffer.
    pub(crate) fn lost_somewhere(&self) -> u64 {
        self.slot(self.buffers.len())
    }

    /// Whether some calls are not counted.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }
}
