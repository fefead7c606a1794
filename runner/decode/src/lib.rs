// SPDX-License-Identifier: MIT
//! Decodes bytes to values, by layouts that are compiled once from BTF. It knows neither the kernel
//! nor output formats, and prints nothing.
#![forbid(unsafe_code)]

pub mod field;
pub mod histogram;
pub mod layout;
pub mod meaning;

pub use field::Field;
pub use histogram::{Bucket, Edges, Quantile, Slots, Summary};
pub use layout::{Layout, Member, Struct};
