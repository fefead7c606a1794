// SPDX-License-Identifier: MIT
//! The failure that ends `ecli` with an exit code ([`Failure`]), and messages on standard error
//! ([`Talk`]).
#![forbid(unsafe_code)]

mod failure;
pub mod talk;

pub use failure::{Failure, bad_object, exit_code, system};
pub use talk::Talk;
