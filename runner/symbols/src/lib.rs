// SPDX-License-Identifier: MIT
//! Names of addresses in kernel and user stacks. This crate knows files, mappings and names; others
//! know where a record has a stack, and how it is shown.
//!
//! The kernel's names are read here. The files for user addresses come from other processes and may
//! be large, malformed or slow. Therefore a separate process reads them (`worker`); its memory is
//! limited, and it is ended if it takes too long. `remote` sends it requests, and never waits for
//! long. Nothing here fails: unknown parts of a frame are missing.

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
