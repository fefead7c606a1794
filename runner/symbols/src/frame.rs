// SPDX-License-Identifier: MIT
//! Addresses of stacks, and what is known of one.

use std::rc::Rc;

/// How many addresses are remembered with their frames, for the kernel and for files each. About
/// 200 bytes each, more with lines.
pub(crate) const MAX_FRAMES: usize = 1 << 16;

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

    pub(crate) fn map(self, change: impl Fn(u64) -> u64) -> CodeAddress {
        match self {
            CodeAddress::Exact(address) => CodeAddress::Exact(change(address)),
            CodeAddress::Return(address) => CodeAddress::Return(change(address)),
        }
    }

    /// An address inside of the instruction that is meant.
    pub(crate) fn lookup(self) -> u64 {
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
    pub(crate) fn unknown(address: u64) -> StackFrame {
        StackFrame { name: None, offset: 0, module: None, address, source: None, inlined: false }
    }
}

/// The frames of one address, innermost first; never empty.
pub type StackFrames = Rc<[StackFrame]>;
