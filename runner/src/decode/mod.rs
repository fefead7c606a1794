// SPDX-License-Identifier: MIT
//! From bytes to values, by layouts that are compiled once from BTF.

pub mod flat;
pub mod histogram;
pub mod json;
pub mod layout;
pub mod meaning;
pub mod put;
pub mod text;

pub use histogram::{Edges, Slots};
pub use layout::{Layout, Member, Record};
