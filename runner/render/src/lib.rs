// SPDX-License-Identifier: MIT
//! Output formats, one file each: they turn frames into bytes. They know neither the kernel nor
//! files; a [`Symbolize`] names addresses.
#![forbid(unsafe_code)]

mod clock;
mod columns;
mod common;
mod delimited;
mod format;
pub mod formats;
mod heatmap;
mod histogram;
mod json;
mod keys;
mod labels;
mod live;
mod meaning;
mod objects;
mod put;
mod raw;
mod settings;
mod symbolize;
mod text;
mod value;
mod width;
mod yaml;

pub use clock::{LocalTime, TimeColumn, utc};
pub use format::{Format, FormatKind};
pub use keys::{Key, keys};
pub use labels::Labels;
pub use meaning::cgroup::container_id;
pub use meaning::{named_numbers, number_named};
pub use put::{number, signed_number};
pub use settings::{LastMessage, LiveSettings, Settings, Terminal};
pub use symbolize::{SharedSymbolizer, Symbolize};
#[cfg(fuzzing)]
pub use value::flat::IS_OFF as FLAT_IS_OFF;
