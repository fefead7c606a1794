// SPDX-License-Identifier: MIT
//! The data that flows through a run. Sources produce frames, stages transform them, and outputs
//! consume them. A [`Frame`] is a batch of records of a buffer, a reading of a map, or what a stage
//! made of those.
//!
//! ```
//! use bpfpack_failure::Failure;
//! use bpfpack_frame::{Frame, Next, Stage};
//!
//! /// Passes on only records of the first type.
//! #[derive(Debug)]
//! struct OnlyFirst;
//!
//! impl Stage for OnlyFirst {
//!     fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
//!         match &frame {
//!             Frame::Records(records) if records.ty != 0 => Ok(()),
//!             _ => next.frame(frame),
//!         }
//!     }
//! }
//! ```
#![forbid(unsafe_code)]

mod chain;
mod entry;
mod frame;
mod order;
mod stage;
mod time;

pub use chain::Chain;
pub use entry::{Entries, Entry};
pub use frame::{Frame, Reading, Records};
pub use order::{Comparison, in_key_order};
pub use stage::{Next, Stage};
pub use time::Time;
