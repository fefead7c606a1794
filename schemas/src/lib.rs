// SPDX-License-Identifier: MIT
//! The package format that `ecc` writes and `ecli` runs.
//!
//! [`meta`] has the types of the JSON description, [`package`] reads and writes `package.json`,
//! [`btf`] reads the type information of the object inside, [`object`] its sections; [`module`] says
//! which Wasm modules are small enough, [`printable`] decides what of all that is safe to print. This
//! crate knows neither libbpf nor a kernel nor a command line, and it does no I/O.

pub mod argument;
pub mod btf;
pub mod map_type;
pub mod meta;
pub mod module;
pub mod object;
pub mod output;
pub mod package;
pub mod printable;
#[cfg(feature = "schema")]
pub mod schema;

pub use meta::Meta;
pub use package::Package;
