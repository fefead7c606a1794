// SPDX-License-Identifier: MIT
//! Stages that arrange readings before the outputs show them: groups of keys, rates, and the order
//! of entries. All outputs show the same entries in the same order. They do not know the kernel.
//!
//! ```
//! use bpfpack_stage::{Arrangement, Sort};
//!
//! let sort = Sort { column: "count".into(), is_ascending: false };
//! let arrangement = Arrangement { sort: Some(sort), top: Some(10), ..Arrangement::default() };
//! assert!(arrangement.stages(&[]).is_err(), "there is no view with this column");
//! ```
#![forbid(unsafe_code)]

mod arrangement;
mod column;
mod error;
#[cfg(test)]
mod fixtures;
mod group;
mod options;
mod order;
mod rate;

pub use arrangement::Arrangement;
pub use column::Column;
pub use error::ArrangementError;
pub use options::{Grouping, Sort};
pub use order::Order;
