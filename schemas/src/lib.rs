// SPDX-License-Identifier: MIT
//! The package format that `ecc` writes and `ecli` runs.
//!
//! [`meta`] has the types of the JSON description, [`package`] reads and writes `package.json`,
//! [`btf`] reads the type information of the object, and [`object`] its sections. [`module`] limits
//! the size of Wasm modules. [`insn`] decodes instructions, and [`report`] has the types of
//! `ecli inspect`. [`printable`] decides which characters are safe to print. This crate
//! does not depend on libbpf, a kernel or a command line, and does no I/O.

pub mod argument;
pub mod btf;
pub mod diagnosis;
pub mod executable;
pub mod insn;
pub mod map_type;
pub mod meta;
pub mod module;
pub mod object;
pub mod output;
pub mod package;
pub mod printable;
pub mod report;
#[cfg(feature = "schema")]
pub mod schema;

pub use meta::Meta;
pub use package::Package;
