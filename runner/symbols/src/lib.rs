// SPDX-License-Identifier: MIT
//! Names of the addresses in kernel and user stacks. Knows files, maps and names; what a stack is
//! in a record, and how one is shown, is for others.
//!
//! The kernel's names are read here. What user addresses need is written by other processes, and
//! may be as large, as strange or as slow as they like: a process of our own reads it (`worker`),
//! whose memory is limited and which is ended when it takes too long. It is asked through `remote`,
//! which never waits for long. Nothing here fails: what cannot be found out is missing in the
//! frame.

#![forbid(unsafe_code)]

mod budget;
mod cache;
mod engine;
mod files;
mod frame;
mod jit;
mod kernel;
mod link;
mod maps;
mod processes;
mod remote;
mod setup;
mod symbols;
mod text;
mod wire;
pub mod worker;

#[cfg(test)]
mod tests;

pub use budget::{Hurry, Patience};
pub use frame::{CodeAddress, StackFrame, StackFrames, stack};
pub use setup::Setup;
pub use symbols::Symbols;
pub use text::write_frame;
