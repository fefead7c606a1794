// SPDX-License-Identifier: MIT
//! Addresses of stacks, and their frames.

use std::rc::Rc;

/// The maximum number of addresses whose frames are cached, for the kernel and for files each. They
/// take about 200 bytes each, more with lines.
pub(crate) const MAX_FRAMES: usize = 1 << 16;

/// An address of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// The address of the current instruction.
    Exact(u64),
    /// A return address. The call is before it, perhaps on another line or, if it never returns, at
    /// the end of another function.
    Return(u64),
}

impl CodeAddress {
    /// The address as in the stack.
    pub fn address(self) -> u64 {
        match self {
            CodeAddress::Exact(address) | CodeAddress::Return(address) => address,
        }
    }

    pub(crate) fn map(self, change: impl Fn(u64) -> u64) -> CodeAddress {
        match self {
            CodeAddress::Exact(address) => CodeAddress::Exact(change(address)),
            CodeAddress::Return(address) => CodeAddress::Return(change(address)),
        }
    }

    /// An address within the instruction to look up.
    pub(crate) fn lookup(self) -> u64 {
        match self {
            CodeAddress::Exact(address) => address,
            CodeAddress::Return(address) => address.saturating_sub(1),
        }
    }
}

/// The addresses of a stack, innermost first, as the kernel returns them.
pub fn stack(addresses: &[u64]) -> impl Iterator<Item = CodeAddress> {
    let place = |(at, address): (usize, &u64)| match at {
        0 => CodeAddress::Exact(*address),
        _ => CodeAddress::Return(*address),
    };
    addresses.iter().enumerate().map(place)
}

/// A frame of an address. An address has several if calls were inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFrame {
    /// The demangled name of the function.
    pub name: Option<Rc<str>>,
    /// Bytes from the start of the function; 0 if it is inlined.
    pub offset: u64,
    /// The file name of the program or library, the kernel module, or a name in brackets: `[vdso]`,
    /// `[anon]`. `None` in the kernel itself.
    pub module: Option<Rc<str>>,
    /// The offset in the file; the address itself if there is no file.
    pub address: u64,
    /// The source file with its directory, and the line, starting at 1.
    pub source: Option<(Rc<str>, u32)>,
    /// Whether the function is inlined into that of the next frame.
    pub inlined: bool,
}

impl StackFrame {
    pub(crate) fn unknown(address: u64) -> StackFrame {
        StackFrame { name: None, offset: 0, module: None, address, source: None, inlined: false }
    }
}

/// The frames of one address, innermost first; never empty.
pub type StackFrames = Rc<[StackFrame]>;
