// SPDX-License-Identifier: MIT
//! Metrics of a run, as data, and the formats in which they are exported. Nothing here knows the
//! kernel or the network.
//!
//! ```
//! use bpfpack_metrics::exposition::Exposition;
//! use bpfpack_metrics::{Family, Kind, Number, Series, Value};
//!
//! let exits = Family {
//!     name: "exits".into(),
//!     help: "Processes that ended.".into(),
//!     unit: None,
//!     kind: Kind::Counter,
//!     labels: vec!["comm".into()],
//!     series: vec![Series { labels: vec!["sh".into()], value: Value::Number(Number::Unsigned(3)) }],
//! };
//! let mut out = Vec::new();
//! Exposition::Text.write([&exits], &mut out);
//! assert!(out.ends_with(b"exits_total{comm=\"sh\"} 3\n"));
//! ```
#![forbid(unsafe_code)]

mod collector;
mod containers;
mod define;
mod definition;
pub mod exposition;
mod family;
#[cfg(test)]
mod fixtures;
mod merge;
mod name;
pub mod otlp;
mod powers;
mod wire;

pub use collector::{Collector, OTHER};
pub use define::{UnknownMember, has_only_counters, leaves};
pub use definition::{Definition, LabelDefinition, Options, definitions};
pub use family::{Bounds, Exponential, Family, Histogram, Kind, Number, Series, Unit, Value};
pub use merge::merge;
