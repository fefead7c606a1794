// SPDX-License-Identifier: MIT
//! The kernel matrix: which kinds of programs work on which kernels, tried by running each of them
//! with ecli and counting its calls.
//!
//! The same code runs in virtual machines and, as a process of root, on this machine. There, it uses
//! namespaces and a cgroup of its own, and leaves nothing behind.

mod actor;
mod acts;
mod cases;
mod ecli;
mod ended;
mod machine;
mod place;
mod text;

pub use actor::{ACT, act};
pub use cases::{CASES, Case, PACKAGES, TIMES};
pub use ended::{Ended, ended, unexpected};
pub use machine::{FILES, files, machine};
pub use place::Place;
pub use text::{Column, document};
