// SPDX-License-Identifier: MIT
//! Attaches programs, of packages and of Wasm modules alike. [`kinds`] is the table of what can be
//! attached; each way of attaching is a file with a constant `METHOD`; [`package`] brings a whole
//! package to run. It depends on [`crate::load`] and [`crate::kernel`], and they not on it.

mod alternatives;
mod capabilities;
mod cgroup;
mod error;
mod explain;
mod hints;
mod interface;
mod kinds;
mod method;
mod netns;
mod package;
mod perf_event;
mod program;
mod section;
mod selection;
mod target;
mod tcx;
mod xdp;

pub(crate) use capabilities::check_capabilities;
pub(crate) use package::{Attached, Input, load_and_attach};
#[cfg(feature = "wasm")]
pub(crate) use {
    explain::{load_hint, unasked_lsm},
    method::{Attachment, Context, Owner},
    program::{attach, failure},
};
