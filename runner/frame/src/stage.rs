// SPDX-License-Identifier: MIT
//! Stages: what transforms frames between the sources and the outputs.

use std::fmt::Debug;
use std::time::Instant;

use bpfpack_failure::Failure;
use bpfpack_spec::Source;

use crate::frame::Frame;
use crate::time::Time;

/// Where frames go on to: the next stage, or the outputs.
pub trait Next {
    /// Takes a frame.
    ///
    /// # Errors
    /// When what follows fails.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure>;

    /// Bytes that wait for the readers of the outputs.
    fn waiting(&self) -> usize;

    /// A stage has been called with what it had kept, which may have taken its time.
    fn note_call(&mut self) {}
}

/// What transforms frames. A stage may keep frames for a while, drop them, or make others.
pub trait Stage: Debug {
    /// Takes a frame. What comes of it goes to `next`.
    ///
    /// # Errors
    /// When the stage fails, here and below.
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure>;

    /// Whether it does anything with records. Where no stage does, they go straight to the outputs.
    fn sees_records(&self) -> bool {
        true
    }

    /// The sources that it adds to those of the package.
    fn sources(&self) -> Vec<Source> {
        Vec::new()
    }

    /// The outputs are open: hands on what was made while the stage was started.
    ///
    /// # Errors
    /// As above.
    fn begin(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// Hands on what it has kept to take it together.
    ///
    /// # Errors
    /// As above.
    fn flush(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// When it wants to be called, though nothing has come.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Its time may have come.
    ///
    /// # Errors
    /// As above.
    fn tick(&mut self, _at: Instant, _time: Time, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// The run is over: hands on what it has kept, and its summary.
    ///
    /// # Errors
    /// As above.
    fn end(&mut self, _time: Time, _next: &mut dyn Next) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether nothing more is to be shown: the run ends as if all was shown that was asked for.
    fn is_enough(&self) -> bool {
        false
    }

    /// The exit code that it has ended the run with, if it has.
    fn stopped(&self) -> Option<u8> {
        None
    }
}
