// SPDX-License-Identifier: MIT
//! The stacks of records and keys: their addresses, and the names of those.

use std::cell::RefCell;
use std::io::Write as _;
use std::rc::Rc;

use crate::decode::layout::{part, signed, unsigned};
use crate::decode::meaning::Kernel;
use crate::symbols::{self, Place, Symbols, write_frame};
use crate::view::{Stack, StackPlace};

/// Where the kernel's half of the addresses begins.
const KERNEL: u64 = 1 << 63;

/// Finds stacks and names their addresses.
#[derive(Debug)]
pub struct Tracer {
    symbols: Rc<RefCell<Symbols>>,
    addresses: Vec<u64>,
    bytes: Vec<u8>,
}

impl Tracer {
    /// Nothing is read yet.
    pub fn new(setup: symbols::Setup, patience: symbols::Patience) -> Tracer {
        let symbols = Rc::new(RefCell::new(Symbols::new(setup, patience)));
        Tracer { symbols, addresses: Vec::new(), bytes: Vec::new() }
    }

    /// Prepares what names addresses: it takes a tenth of a second, which records should not wait.
    pub fn warm(&mut self) {
        self.symbols.borrow_mut().warm();
    }

    /// What names single addresses of the kernel.
    pub fn kernel_names(&self) -> Kernel {
        let symbols = Rc::clone(&self.symbols);
        Box::new(move |address, out| {
            if address < KERNEL {
                return false;
            }
            let frames = symbols.borrow_mut().kernel(&[Place::Exact(address)]);
            let frame = frames.first().and_then(|frames| frames.first());
            let Some(frame) = frame.filter(|frame| frame.name.is_some()) else { return false };
            write_frame(address, frame, out);
            true
        })
    }

    /// Remembers what the processes of a record map, so that they have names when they have ended.
    pub fn note(&mut self, stacks: &[Stack], record: &[u8]) {
        for (at, size) in stacks.iter().filter_map(|stack| stack.pid) {
            self.symbols.borrow_mut().note_process(unsigned(part(record, at), size) as u32);
        }
    }

    /// The addresses of a stack, innermost first.
    pub fn addresses(&mut self, stack: &Stack, record: &[u8]) -> &[u64] {
        self.addresses.clear();
        match &stack.place {
            StackPlace::Here { offset, room, used } => {
                let bytes = part(record, *offset);
                let used = used.map(|(at, size)| signed(part(record, at), size).max(0) as usize);
                let len = used.unwrap_or(*room).min(*room).min(bytes.len());
                addresses(&bytes[..len], &mut self.addresses);
            }
            StackPlace::Kept { id, map } => {
                let id = signed(part(record, id.0), id.1);
                self.bytes.clear();
                self.bytes.resize(map.value_bytes(), 0);
                if let Ok(id) = u32::try_from(id)
                    && map.lookup(&id.to_ne_bytes(), &mut self.bytes, 0).is_ok()
                {
                    addresses(&self.bytes, &mut self.addresses);
                }
            }
        }
        &self.addresses
    }

    /// Why a stack has no addresses, where that is not how it should be.
    fn missing(stack: &Stack, record: &[u8]) -> Option<&'static str> {
        let StackPlace::Kept { id, .. } = &stack.place else { return None };
        // What bpf_get_stackid returns (kernel/bpf/stackmap.c).
        match signed(part(record, id.0), id.1) {
            number if number == -i128::from(libc::EEXIST) => {
                Some("[the stack was lost: another had its place in the map]")
            }
            number if number == -i128::from(libc::ENOMEM) => {
                Some("[the stack was lost: the map is full]")
            }
            number if number < 0 => None,
            _ => Some("[the stack is no longer in the map]"),
        }
    }

    /// Hands the frames of a stack to `take`, innermost first.
    pub fn frames(&mut self, stack: &Stack, record: &[u8], take: &mut dyn FnMut(&[u8])) {
        self.addresses(stack, record);
        if self.addresses.is_empty() {
            if let Some(why) = Tracer::missing(stack, record) {
                take(why.as_bytes());
            }
            return;
        }
        let pid = stack.pid.map(|(at, size)| unsigned(part(record, at), size) as u32);
        let addresses = std::mem::take(&mut self.addresses);
        let mut line = Vec::new();
        for (address, frames) in addresses.iter().zip(self.named(pid, &addresses)) {
            for frame in frames.iter() {
                line.clear();
                write_frame(*address, frame, &mut line);
                take(&line);
            }
        }
        self.addresses = addresses;
    }

    /// Hands lines with number, address and name to `take`, as existing loaders print them.
    pub fn numbered(
        &mut self,
        pid: Option<u32>,
        addresses: &[u64],
        is_named: bool,
        take: &mut dyn FnMut(&[u8]),
    ) {
        let frames = if is_named { self.named(pid, addresses) } else { Vec::new() };
        let mut line = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let frames = frames.get(at).map_or(&[][..], |frames| frames);
            let mut is_first = true;
            for frame in frames.iter().filter(|frame| frame.name.is_some()) {
                line.clear();
                let _ = match is_first {
                    true => write!(line, "  {at} [<{address:016x}>] "),
                    false => write!(line, "{:1$}", "", 24 + at.to_string().len()),
                };
                write_frame(*address, frame, &mut line);
                take(&line);
                is_first = false;
            }
            if is_first {
                line.clear();
                let _ = write!(line, "  {at} [<{address:016x}>]");
                take(&line);
            }
        }
    }

    /// The frames of each address, of the kernel or of a process.
    fn named(&mut self, pid: Option<u32>, addresses: &[u64]) -> Vec<symbols::Frames> {
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

/// The addresses in bytes, up to a zero.
fn addresses(bytes: &[u8], found: &mut Vec<u64>) {
    let numbers = bytes.chunks_exact(8).map(|bytes| unsigned(bytes, 8) as u64);
    found.extend(numbers.take_while(|address| *address != 0));
}
