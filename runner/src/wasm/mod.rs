// SPDX-License-Identifier: MIT
//! Wasm modules: what they are compiled with, what they may reach, and the two interfaces that
//! `runner/WASM.md` specifies: [`tracer`] for modules that own their tracer, [`post`] for those that
//! see what a package finds.

pub mod engine;
pub mod memory;
