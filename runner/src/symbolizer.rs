// SPDX-License-Identifier: MIT
//! Finds the stacks of records and keys on this machine, and the names of their addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bpfpack_decode::field::{part, unsigned};
use bpfpack_render::Symbolize;
use bpfpack_spec::{Location, Spec, Stack};
use libbpf_rs::{MapCore as _, Object};

use crate::failure::{Failure, system};
use crate::symbols::{self, CodeAddress, Symbols, write_frame};
use crate::sys::map::Map;

/// The first kernel address.
const KERNEL: u64 = 1 << 63;

/// Symbols, read once and shared by a whole run.
pub(crate) type SharedSymbols = Rc<RefCell<Symbols>>;

/// Finds stacks in records and stack trace maps, and names their addresses.
#[derive(Debug)]
pub(crate) struct Symbolizer {
    symbols: SharedSymbols,
    /// The stack trace maps that hold stacks, by name.
    maps: HashMap<String, Map>,
    bytes: Vec<u8>,
}

impl Symbolizer {
    /// Opens the stack trace maps that a spec names. It reads nothing yet.
    ///
    /// # Errors
    /// Returns an error if a map cannot be kept open.
    pub(crate) fn open(
        symbols: SharedSymbols,
        object: &Object,
        spec: &Spec,
    ) -> Result<Symbolizer, Failure> {
        let of_records =
            spec.streams().flat_map(|stream| &stream.records).flat_map(|ty| &ty.stacks);
        let stacks = of_records.chain(spec.views().flat_map(|view| &view.stacks));
        let mut maps = HashMap::new();
        for stack in stacks {
            let Location::Map { map: name, .. } = &stack.location else { continue };
            let mut found = object.maps();
            let Some(map) = found.find(|map| map.name().to_str() == Some(name)) else { continue };
            let map = Map::of(&map).map_err(system("cannot keep a map open"))?;
            maps.insert(name.clone(), map);
        }
        Ok(Symbolizer { symbols, maps, bytes: Vec::new() })
    }

    /// A symbolizer without stack trace maps.
    #[cfg(fuzzing)]
    pub(crate) fn without_maps(symbols: SharedSymbols) -> Symbolizer {
        Symbolizer { symbols, maps: HashMap::new(), bytes: Vec::new() }
    }

    /// Prepares the lookup of names. This takes 0.1 s, for which records should not wait.
    pub(crate) fn warm(&mut self) {
        self.symbols.borrow_mut().warm();
    }

    /// Remembers the mappings of the processes in a record, so that their addresses have names
    /// after they end.
    pub(crate) fn note(&mut self, stacks: &[Stack], record: &[u8]) {
        for pid in stacks.iter().filter_map(|stack| stack.pid) {
            self.symbols.borrow_mut().note_process(pid.unsigned(record) as u32);
        }
    }

    /// The frames of each address, of the kernel or of a process.
    fn frames_of(&self, pid: Option<u32>, addresses: &[u64]) -> Vec<symbols::StackFrames> {
        let mut symbols = self.symbols.borrow_mut();
        let mut frames = Vec::with_capacity(addresses.len());
        let is_kernel = |address: &u64| *address >= KERNEL;
        for side in addresses.chunk_by(|a, b| is_kernel(a) == is_kernel(b)) {
            let places: Vec<_> = symbols::stack(side).collect();
            match (side.first().is_some_and(is_kernel), pid) {
                (true, _) => frames.extend(symbols.kernel(&places)),
                (false, pid) => frames.extend(symbols.user(pid.unwrap_or(0), &places)),
            }
        }
        frames
    }
}

impl Symbolize for Symbolizer {
    fn addresses(&mut self, stack: &Stack, record: &[u8]) -> Vec<u64> {
        match &stack.location {
            Location::Record { offset, room, used } => {
                let bytes = part(record, *offset);
                let used = used.map(|used| used.signed(record).max(0) as usize);
                let len = used.unwrap_or(*room).min(*room).min(bytes.len());
                addresses(&bytes[..len])
            }
            Location::Map { id, map, .. } => {
                let Some(map) = self.maps.get(map) else { return Vec::new() };
                self.bytes.clear();
                self.bytes.resize(map.value_bytes(), 0);
                match u32::try_from(id.signed(record)) {
                    Ok(id) if map.lookup(&id.to_ne_bytes(), &mut self.bytes, 0).is_ok() => {
                        addresses(&self.bytes)
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    fn frames(&mut self, stack: &Stack, record: &[u8], take: &mut dyn FnMut(&[u8])) {
        let addresses = self.addresses(stack, record);
        if addresses.is_empty() {
            if let Some(why) = missing(stack, record) {
                take(why.as_bytes());
            }
            return;
        }
        let pid = stack.pid.map(|pid| pid.unsigned(record) as u32);
        let mut line = Vec::new();
        for (address, frames) in addresses.iter().zip(self.frames_of(pid, &addresses)) {
            for frame in frames.iter() {
                line.clear();
                write_frame(*address, frame, &mut line);
                take(&line);
            }
        }
    }

    fn named(&mut self, pid: Option<u32>, addresses: &[u64]) -> Vec<Vec<Vec<u8>>> {
        let text = |address: u64, frame: &symbols::StackFrame| {
            let mut line = Vec::new();
            write_frame(address, frame, &mut line);
            line
        };
        let frames = self.frames_of(pid, addresses);
        let named = |(address, frames): (&u64, &symbols::StackFrames)| {
            let named = frames.iter().filter(|frame| frame.name.is_some());
            named.map(|frame| text(*address, frame)).collect()
        };
        addresses.iter().zip(&frames).map(named).collect()
    }

    fn kernel(&mut self, address: u64, out: &mut Vec<u8>) -> bool {
        if address < KERNEL {
            return false;
        }
        let frames = self.symbols.borrow_mut().kernel(&[CodeAddress::Exact(address)]);
        let frame = frames.first().and_then(|frames| frames.first());
        let Some(frame) = frame.filter(|frame| frame.name.is_some()) else { return false };
        write_frame(address, frame, out);
        true
    }
}

/// The addresses in an array of bytes, up to the first zero.
fn addresses(bytes: &[u8]) -> Vec<u64> {
    let numbers = bytes.chunks_exact(8).map(|bytes| unsigned(bytes, 8) as u64);
    numbers.take_while(|address| *address != 0).collect()
}

/// Why a stack is missing, if that is an error.
fn missing(stack: &Stack, record: &[u8]) -> Option<&'static str> {
    let Location::Map { id, .. } = &stack.location else { return None };
    // Errors of `bpf_get_stackid` (kernel/bpf/stackmap.c).
    match id.signed(record) {
        number if number == -i128::from(libc::EEXIST) => {
            Some("[the stack was lost: another stack took its place in the map]")
        }
        number if number == -i128::from(libc::ENOMEM) => {
            Some("[the stack was lost: the map is full]")
        }
        number if number < 0 => None,
        _ => Some("[the stack is no longer in the map]"),
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::Field;

    use super::*;

    #[test]
    fn lost_stacks_say_why() {
        let id = Field { offset: 0, size: 4 };
        let location = Location::Map { id, map: "stacks".into(), room: 8 };
        let stack = Stack { name: "stack_id".into(), location, pid: None };
        let why = |id: i32| missing(&stack, &id.to_le_bytes());
        assert!(why(-libc::EEXIST).is_some_and(|why| why.contains("another stack took its place")));
        assert!(why(-libc::ENOMEM).is_some_and(|why| why.contains("the map is full")));
        assert_eq!(why(-libc::EFAULT), None, "there is none");
        assert!(why(7).is_some_and(|why| why.contains("no longer in the map")));
        assert_eq!(addresses(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]), [1]);
    }
}
