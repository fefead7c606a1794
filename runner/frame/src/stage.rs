// SPDX-License-Identifier: MIT
//! Stages transform frames between the sources and the outputs.

use std::fmt::Debug;
use std::time::Instant;

use bpfpack_failure::Failure;
use bpfpack_spec::Source;

use crate::frame::Frame;
use crate::time::Time;

/// The receiver of frames: the next stage, or the outputs.
pub trait Next {
    /// Takes a frame.
    ///
    /// # Errors
    /// Returns an error if the receiver fails.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure>;

    /// Bytes that wait for the readers of the outputs.
    fn waiting(&self) -> usize;

    /// Notes that a stage was called with collected data, which may have taken long.
    fn note_call(&mut self) {}
}

/// Transforms frames. A stage may collect frames for some time, drop them, or make others.
pub trait Stage: Debug {
    /// Takes a frame. Results go to `next`.
    ///
    /// # Errors
    /// Returns an error if the stage or its successor fails, here and below.
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure>;

    /// Whether it handles records. If no stage does, they go directly to the outputs.
    fn sees_records(&self) -> bool {
        true
    }

    /// The sources that it adds to those of the package.
    fn sources(&self) -> Vec<Source> {
        Vec::new()
    }

    /// Passes on what was made when the stage was started. The outputs are open now.
    ///
    /// # Errors
    /// As above.
    fn begin(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// Passes on the results of what it has collected.
    ///
    /// # Errors
    /// As above.
    fn flush(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// When its next tick is due.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Called when a tick may be due.
    ///
    /// # Errors
    /// As above.
    fn tick(&mut self, _at: Instant, _time: Time, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// Ends the run: passes on what it has collected, and its summary.
    ///
    /// # Errors
    /// As above.
    fn end(&mut self, _time: Time, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether enough was shown. Then the run ends as if a requested limit was reached.
    fn is_enough(&self) -> bool {
        false
    }

    /// The exit code with which it has ended the run.
    fn stopped(&self) -> Option<u8> {
        None
    }
}
