// SPDX-License-Identifier: MIT
//! Output formats, a file each. They turn views and records into bytes; [`crate::sink`] writes them.

pub mod histogram;
pub mod json;
pub mod text;

use crate::collect::maps::Entry;
use crate::view::{Stream, View};

/// An output format.
pub trait Format {
    /// A reading of a view, entries in order.
    fn reading(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>);

    /// A record of a stream.
    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>);
}
