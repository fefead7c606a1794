// SPDX-License-Identifier: MIT
//! Names of the addresses in kernel and user stacks. Knows files, maps and names; what a stack is
//! in a record, and how one is shown, is for others.
//!
//! A process may have ended when its addresses are asked for. So what it maps is remembered while
//! it lives (`note_process`), every file of it is kept open, and an address is looked up as an
//! offset into a file (`files`), never through the process. Nothing here fails: what can not be
//! found out is missing in the frame.

mod cache;
mod files;
mod jit;
mod kernel;
mod maps;
mod processes;
mod text;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use cache::Recent;
use files::Files;
use kernel::Kernel;
use maps::Backing;
use processes::{Located, Processes};
pub use text::write_frame;

/// How many addresses are remembered with their frames, for the kernel and for files each. About
/// 200 bytes each, more with lines.
const MAX_FRAMES: usize = 1 << 16;

/// An address of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Where the processor was.
    Exact(u64),
    /// Where a call returns to. The call stands before it, maybe at another line, or, when it never
    /// returns, at the end of another function.
    Return(u64),
}

impl Place {
    /// As in the stack.
    pub fn address(self) -> u64 {
        match self {
            Place::Exact(address) | Place::Return(address) => address,
        }
    }

    fn map(self, change: impl Fn(u64) -> u64) -> Place {
        match self {
            Place::Exact(address) => Place::Exact(change(address)),
            Place::Return(address) => Place::Return(change(address)),
        }
    }

    /// An address inside of the instruction that is meant.
    fn lookup(self) -> u64 {
        match self {
            Place::Exact(address) => address,
            Place::Return(address) => address.saturating_sub(1),
        }
    }
}

/// The places of a stack, innermost first, as the kernel gives it.
pub fn stack(addresses: &[u64]) -> impl Iterator<Item = Place> {
    let place = |(at, address): (usize, &u64)| match at {
        0 => Place::Exact(*address),
        _ => Place::Return(*address),
    };
    addresses.iter().enumerate().map(place)
}

/// What is known of an address; several stand for one address where calls were inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function, demangled.
    pub name: Option<Rc<str>>,
    /// Bytes from the start of the function; 0 if it is inlined.
    pub offset: u64,
    /// The file name of the program or library, the kernel module, or, in brackets, what is no
    /// file: `[vdso]`, `[anon]`. None in the kernel itself.
    pub module: Option<Rc<str>>,
    /// Offset into the file; the address itself where there is no file.
    pub address: u64,
    /// The source file with its directory, and the line, from 1.
    pub source: Option<(Rc<str>, u32)>,
    /// Whether the compiler put the function into the one that stands behind it.
    pub inlined: bool,
}

impl Frame {
    fn unknown(address: u64) -> Frame {
        Frame { name: None, offset: 0, module: None, address, source: None, inlined: false }
    }
}

/// The frames of one address, innermost first; never empty.
pub type Frames = Rc<[Frame]>;

/// An offset into a file that is known, or was.
type Spot = (files::Id, Place);

/// Everything that is known of addresses, with its caches. See the constants for their limits.
#[derive(Debug)]
pub struct Symbols {
    kernel: Kernel,
    processes: Processes,
    files: Files,
    frames: Recent<Spot, Frames>,
}

impl Symbols {
    /// Reads nothing yet. With `lines`, debugging information is read for source lines and inlined
    /// calls: slow for large programs, and as large in memory.
    pub fn new(lines: bool) -> Symbols {
        Symbols::of("/proc".into(), lines)
    }

    fn of(proc: PathBuf, lines: bool) -> Symbols {
        Symbols {
            kernel: Kernel::new(),
            processes: Processes::new(proc),
            files: Files::new(lines),
            frames: Recent::new(MAX_FRAMES),
        }
    }

    /// Reads the kernel's names now, which takes a tenth of a second, rather than with the first
    /// stack. Best after the programs are loaded: theirs are among the names.
    pub fn warm_kernel(&mut self) {
        self.kernel.warm();
    }

    /// The frames of kernel addresses, for each in turn.
    pub fn kernel(&mut self, places: &[Place]) -> Vec<Frames> {
        self.kernel.frames(places)
    }

    /// Remembers what a process maps. To be called when a record comes in; a process that was
    /// looked at a moment ago costs no system call.
    pub fn note_process(&mut self, pid: u32) {
        self.processes.note(pid, &mut self.files, Instant::now());
    }

    /// The frames of a process' addresses, for each in turn.
    pub fn user(&mut self, pid: u32, places: &[Place]) -> Vec<Frames> {
        let now = Instant::now();
        self.processes.note(pid, &mut self.files, now);
        let located = self.processes.locate(pid, places, &mut self.files, now);
        let mut found: Vec<Option<Frames>> = vec![None; places.len()];
        let mut wanted: Vec<(Spot, usize)> = Vec::new();
        for (at, located) in located.iter().enumerate() {
            let Some(Located { backing: Backing::File(id), place, .. }) = located else { continue };
            found[at] = self.frames.get(&(*id, *place)).map(|frames| Rc::clone(frames));
            if found[at].is_none() {
                wanted.push(((*id, *place), at));
            }
        }
        self.look_up(wanted, &mut found);
        let is_named = |frames: &Frames| frames.iter().any(|frame| frame.name.is_some());
        let all_named = found.iter().all(|frames| frames.as_ref().is_some_and(is_named));
        let jit = if all_named { None } else { self.processes.jit(pid) };
        let complete = |((found, located), place): ((Option<Frames>, Option<Located>), &Place)| {
            if let Some(frames) = found.as_ref().filter(|frames| is_named(frames)) {
                return Rc::clone(frames);
            }
            let made =
                jit.and_then(|jit| jit.frame(*place)).map(|frame| Rc::new([frame]) as Frames);
            made.or(found).unwrap_or_else(|| Rc::new([nameless(*place, located)]))
        };
        found.into_iter().zip(located).zip(places).map(complete).collect()
    }

    /// Asks for what is wanted, each file once and each address once.
    fn look_up(&mut self, mut wanted: Vec<(Spot, usize)>, found: &mut [Option<Frames>]) {
        wanted.sort_by_key(|((id, place), at)| (*id, place.address(), place.lookup(), *at));
        for in_file in wanted.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let Some(((id, _), _)) = in_file.first() else { continue };
            let same: Vec<&[(Spot, usize)]> =
                in_file.chunk_by(|(one, _), (other, _)| one == other).collect();
            let places: Vec<Place> =
                same.iter().filter_map(|group| Some(group.first()?.0.1)).collect();
            for (group, frames) in same.iter().zip(self.files.frames(*id, &places)) {
                for (spot, at) in *group {
                    found[*at] = Some(Rc::clone(&frames));
                    self.frames.insert(*spot, Rc::clone(&frames));
                }
            }
        }
    }
}

/// The frame of an address that is in no file, or in one that could not be read.
fn nameless(place: Place, located: Option<Located>) -> Frame {
    match located {
        Some(Located { module, .. }) if module.starts_with('[') => {
            Frame { module: Some(module), ..Frame::unknown(place.address()) }
        }
        Some(Located { module, place, .. }) => {
            Frame { module: Some(module), ..Frame::unknown(place.address()) }
        }
        None => Frame::unknown(place.address()),
    }
}
