// SPDX-License-Identifier: MIT
//! Wasm modules: what they are compiled with, what they may reach, and the two interfaces that
//! `runner/WASM.md` specifies: [`tracer`] for modules that own their tracer, [`post`] for those that
//! see what a package finds.

mod cache;
pub mod engine;
pub mod kind;
pub mod memory;
mod modules;
pub mod post;
pub mod tracer;
mod trap;
pub mod wasi;
mod watch;

pub use modules::Modules;
pub use post::Chain;

/// Runs a module that is a whole tracer.
pub fn run_tracer(
    _plan: &crate::args::Plan,
    _module: &[u8],
    _signals: &crate::sys::Signals,
    _talk: &crate::talk::Talk,
) -> Result<u8, crate::failure::Failure> {
    let error = anyhow::anyhow!("whole tracers come next");
    Err(crate::failure::Failure::new(crate::failure::exit_code::MODULE, error))
}
