// SPDX-License-Identifier: MIT
//! What ends `ecli` early, with its exit code ([`Failure`]), and messages on stderr ([`Talk`]).
#![forbid(unsafe_code)]

mod failure;
pub mod talk;

pub use failure::{Failure, bad_object, exit_code, system};
pub use talk::Talk;
