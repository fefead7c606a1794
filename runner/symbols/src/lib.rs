// SPDX-License-Identifier: MIT
//! Names of the addresses in kernel and user stacks. Knows files, maps and names; what a stack is
//! in a record, and how one is shown, is for others.
//!
//! The kernel's names are read here. What user addresses need is written by other processes, and
//! may be as large, as strange or as slow as they like: a process of our own reads it (`worker`),
//! whose memory is limited and which is ended when it takes too long. It is asked through `remote`,
//! which never waits for long. Nothing here fails: what cannot be found out is missing in the
//! frame.

mod budget;
mod cache;
mod engine;
mod files;
mod jit;
mod kernel;
mod link;
mod maps;
mod processes;
mod remote;
mod text;
mod wire;
pub mod worker;

#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use budget::{Hurry, Patience};
use kernel::Kernel;
use remote::Remote;
pub use remote::Setup;
pub use text::write_frame;

/// How many addresses are remembered with their frames, for the kernel and for files each. About
/// 200 bytes each, more with lines.
const MAX_FRAMES: usize = 1 << 16;

/// An address of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// Where the processor was.
    Exact(u64),
    /// Where a call returns to. The call stands before it, maybe at another line, or, when it never
    /// returns, at the end of another function.
    Return(u64),
}

impl CodeAddress {
    /// As in the stack.
    pub fn address(self) -> u64 {
        match self {
            CodeAddress::Exact(address) | CodeAddress::Return(address) => address,
        }
    }

    fn map(self, change: impl Fn(u64) -> u64) -> CodeAddress {
        match self {
            CodeAddress::Exact(address) => CodeAddress::Exact(change(address)),
            CodeAddress::Return(address) => CodeAddress::Return(change(address)),
        }
    }

    /// An address inside of the instruction that is meant.
    fn lookup(self) -> u64 {
        match self {
            CodeAddress::Exact(address) => address,
            CodeAddress::Return(address) => address.saturating_sub(1),
        }
    }
}

/// The places of a stack, innermost first, as the kernel gives it.
pub fn stack(addresses: &[u64]) -> impl Iterator<Item = CodeAddress> {
    let place = |(at, address): (usize, &u64)| match at {
        0 => CodeAddress::Exact(*address),
        _ => CodeAddress::Return(*address),
    };
    addresses.iter().enumerate().map(place)
}

/// What is known of an address; several stand for one address where calls were inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFrame {
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

impl StackFrame {
    fn unknown(address: u64) -> StackFrame {
        StackFrame { name: None, offset: 0, module: None, address, source: None, inlined: false }
    }
}

/// The frames of one address, innermost first; never empty.
pub type StackFrames = Rc<[StackFrame]>;

/// Everything that is known of addresses, with its caches. See the constants for their limits.
#[derive(Debug)]
pub struct Symbols {
    kernel: Kernel,
    users: Remote,
}

impl Symbols {
    /// Reads and starts nothing yet.
    pub fn new(setup: Setup, patience: Patience) -> Symbols {
        Symbols { kernel: Kernel::new(), users: Remote::new(setup, patience) }
    }

    /// Reads the kernel's names now, which takes a tenth of a second, rather than with the first
    /// stack, and starts what reads those of processes. Best after the programs are loaded: theirs
    /// are among the names.
    pub fn warm(&mut self) {
        self.users.warm();
        self.kernel.warm();
    }

    /// The frames of kernel addresses, for each in turn.
    pub fn kernel(&mut self, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.kernel.frames(places, !self.users.is_hurried())
    }

    /// Remembers what a process maps. To be called when a record comes in; a process that was
    /// looked at a moment ago costs no system call.
    pub fn note_process(&mut self, pid: u32) {
        self.users.note(pid);
    }

    /// The frames of a process' addresses, for each in turn. Those that are not known in time have
    /// no names.
    pub fn user(&mut self, pid: u32, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.users.frames(pid, places)
    }
}
