// SPDX-License-Identifier: MIT
//! A chain of stages: each passes frames to the next, and the last to the outputs.

use std::time::Instant;

use bpfpack_failure::Failure;
use bpfpack_spec::Source;

use crate::frame::Frame;
use crate::stage::{Next, Stage};
use crate::time::Time;

/// The stages of a run, in order.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Box<dyn Stage>>,
    /// The exit code with which a stage has ended the run; the first one counts.
    stopped: Option<u8>,
    /// How often stages were called with collected data.
    calls: u64,
}

impl Chain {
    /// Appends a stage.
    pub fn push(&mut self, stage: Box<dyn Stage>) {
        self.stages.push(stage);
    }

    /// Whether records pass through stages instead of going directly to the outputs.
    #[must_use]
    pub fn sees_records(&self) -> bool {
        self.stages.iter().any(|stage| stage.sees_records())
    }

    /// The sources that stages add.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.stages.iter().flat_map(|stage| stage.sources()).collect()
    }

    /// Passes a frame through the stages to `outputs`.
    ///
    /// # Errors
    /// Returns the error of the first stage that fails, here and below.
    #[inline]
    pub fn frame(&mut self, frame: Frame<'_>, outputs: &mut dyn Next) -> Result<(), Failure> {
        Rest { stages: &mut self.stages, outputs, calls: &mut self.calls }.frame(frame)
    }

    /// Starts the stages after the outputs were opened.
    ///
    /// # Errors
    /// As above.
    pub fn begin(&mut self, outputs: &mut dyn Next) -> Result<(), Failure> {
        self.each(outputs, |stage, next| stage.begin(next))
    }

    /// Makes stages pass on what they have collected.
    ///
    /// # Errors
    /// As above.
    pub fn flush(&mut self, outputs: &mut dyn Next) -> Result<(), Failure> {
        self.each(outputs, |stage, next| stage.flush(next))
    }

    /// When the next tick of a stage is due.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        self.stages.iter().filter_map(|stage| stage.next_tick()).min()
    }

    /// Calls the stages whose tick is due.
    ///
    /// # Errors
    /// As above.
    pub fn tick(&mut self, outputs: &mut dyn Next) -> Result<(), Failure> {
        let (at, time) = (Instant::now(), Time::now());
        self.each(outputs, |stage, next| stage.tick(at, time, next))?;
        self.flush(outputs)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// As above.
    pub fn end(&mut self, outputs: &mut dyn Next) -> Result<(), Failure> {
        let time = Time::now();
        self.each(outputs, |stage, next| stage.end(time, next))
    }

    /// The exit code with which a stage has ended the run.
    pub fn stopped(&mut self) -> Option<u8> {
        if self.stopped.is_none() {
            self.stopped = self.stages.iter().find_map(|stage| stage.stopped());
        }
        self.stopped
    }

    /// Whether a stage ends the run because enough was shown.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.stages.iter().any(|stage| stage.is_enough())
    }

    /// How often stages were called with collected data.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Calls each stage in turn with its successor.
    fn each(
        &mut self,
        outputs: &mut dyn Next,
        mut call: impl FnMut(&mut dyn Stage, &mut dyn Next) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut stages = &mut self.stages[..];
        while let Some((stage, rest)) = stages.split_first_mut() {
            let (outputs, calls) = (&mut *outputs, &mut self.calls);
            call(&mut **stage, &mut Rest { stages: &mut *rest, outputs, calls })?;
            stages = rest;
        }
        Ok(())
    }
}

/// The stages after one, and the outputs.
struct Rest<'r> {
    stages: &'r mut [Box<dyn Stage>],
    outputs: &'r mut dyn Next,
    calls: &'r mut u64,
}

impl Next for Rest<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        match self.stages.split_first_mut() {
            Some((stage, stages)) => {
                let (outputs, calls) = (&mut *self.outputs, &mut *self.calls);
                stage.frame(frame, &mut Rest { stages, outputs, calls })
            }
            None => self.outputs.frame(frame),
        }
    }

    fn waiting(&self) -> usize {
        self.outputs.waiting()
    }

    fn note_call(&mut self) {
        *self.calls += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Records;
    use bpfpack_spec::fixtures::stream;

    /// Appends a letter to texts, and emits a text when it ends.
    #[derive(Debug)]
    struct Letter(u8);

    impl Stage for Letter {
        fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
            match frame {
                Frame::Text(time, text) => {
                    next.frame(Frame::Text(time, &[text, &[self.0]].concat()))
                }
                // The second stage consumes records of its own letter.
                Frame::Records(records) if records.bytes == [[self.0]] => Ok(()),
                frame => next.frame(frame),
            }
        }

        fn end(&mut self, time: Time, next: &mut dyn Next) -> Result<(), Failure> {
            next.frame(Frame::Text(time, b"end "))
        }

        fn stopped(&self) -> Option<u8> {
            (self.0 == b'b').then_some(3)
        }
    }

    /// The output.
    #[derive(Default)]
    struct Out(Vec<String>);

    impl Next for Out {
        fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
            self.0.push(match frame {
                Frame::Text(_, text) => String::from_utf8_lossy(text).into_owned(),
                Frame::Records(records) => format!("{:?}", records.bytes),
                other => format!("{other:?}"),
            });
            Ok(())
        }

        fn waiting(&self) -> usize {
            self.0.len()
        }
    }

    #[test]
    fn frames_go_through_all_stages_in_their_order() {
        let (mut chain, mut out) = (Chain::default(), Out::default());
        let source = stream();
        let put = |bytes: &[&[u8]], chain: &mut Chain, out: &mut Out| {
            let records = Records::by_type(&source, Time::default(), None, bytes).next().unwrap();
            chain.frame(Frame::Records(&records), out).unwrap();
        };
        put(&[b"a"], &mut chain, &mut out);
        assert!(!chain.sees_records() && chain.stopped().is_none());
        chain.push(Box::new(Letter(b'a')));
        chain.push(Box::new(Letter(b'b')));
        chain.frame(Frame::Text(Time::default(), b"x"), &mut out).unwrap();
        put(&[b"a"], &mut chain, &mut out);
        put(&[b"b"], &mut chain, &mut out);
        put(&[b"c", b"d"], &mut chain, &mut out);
        chain.end(&mut out).unwrap();
        // The text of the first stage at its end passes through the second.
        assert_eq!(out.0, ["[[97]]", "xab", "[[99], [100]]", "end b", "end "]);
        assert_eq!(chain.stopped(), Some(3));
    }
}
