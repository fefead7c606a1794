// SPDX-License-Identifier: MIT
//! Attaches programs of packages and of Wasm modules. [`kinds`] is the table of what can be
//! attached; each way of attaching has a file with a constant `METHOD`; [`package`] loads and
//! attaches a whole package. This module depends on [`crate::load`] and [`crate::kernel`], which do
//! not depend on it.

mod aim;
mod alternatives;
mod assigned;
mod attached;
mod attempt;
mod binary;
mod called;
mod capabilities;
mod cgroup;
mod error;
mod explain;
mod hints;
mod interface;
mod iterator;
mod kinds;
mod method;
#[cfg(feature = "explanations")]
mod nearest;
#[cfg(not(feature = "explanations"))]
#[path = "nearest/off.rs"]
mod nearest;
mod netfilter;
mod netns;
mod objects;
mod package;
mod pattern;
mod perf_event;
mod probe;
mod program;
mod refused;
mod renamed;
mod report;
mod section;
mod selection;
mod socket_filter;
mod socket_map;
mod syscall;
mod target;
mod tc;
mod tracepoint;
mod uses;
mod way;
mod xdp;

#[cfg(feature = "policy")]
pub(crate) use alternatives::of_object as alternatives_of;
pub(crate) use attached::Attached;
pub(crate) use attempt::Input;
pub(crate) use called::{Called, How};
pub(crate) use capabilities::check_capabilities;
#[cfg(feature = "policy")]
pub(crate) use capabilities::{needed as capabilities_of, of_sections as capabilities_of_sections};
#[cfg(feature = "policy")]
pub(crate) use explain::{attach_hint, load_hint};
#[cfg(test)]
pub(crate) use kinds::sections;
pub(crate) use package::load_and_attach;
#[cfg(feature = "policy")]
pub(crate) use pattern::matches;
#[cfg(feature = "wasm")]
pub(crate) use refused::{NotLoaded, Refused};
pub(crate) use uses::Uses;
#[cfg(feature = "wasm")]
pub(crate) use {
    explain::unasked_lsm,
    method::{Attachment, Context, Options, Owner},
    program::{attach, failure},
};
