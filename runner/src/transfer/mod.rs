// SPDX-License-Identifier: MIT
//! What downloads and registries have in common: progress on a terminal, and failures.

mod failure;
mod progress;

pub(crate) use failure::{failure, of_credentials};
pub(crate) use progress::Meter;
