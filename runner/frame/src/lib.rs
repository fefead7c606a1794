// SPDX-License-Identifier: MIT
//! What flows through a run. Sources produce frames, stages transform them, outputs consume them.
//! A [`Frame`] is a record of a buffer or a reading of a map, or what a stage made of those.
//!
//! ```
//! use bpfpack_failure::Failure;
//! use bpfpack_frame::{Frame, Next, Stage};
//!
//! /// Lets only records of 48 bytes through.
//! #[derive(Debug)]
//! struct Only48;
//!
//! impl Stage for Only48 {
//!     fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
//!         match &frame {
//!             Frame::Record(record) if record.bytes.len() != 48 => Ok(()),
//!             _ => next.frame(frame),
//!         }
//!     }
//! }
//! ```
#![forbid(unsafe_code)]

mod chain;
mod frame;
mod stage;
mod time;

pub use chain::Chain;
pub use frame::{Entry, Frame, Reading, Record};
pub use stage::{Next, Stage};
pub use time::Time;
