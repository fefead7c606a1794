// SPDX-License-Identifier: MIT
//! Takes records through the stages.

use std::time::{Duration, Instant};

use bpfpack_frame::{Chain, Frame};

use super::MOST_BYTES;
use crate::failure::Failure;
use crate::output::Outputs;
use crate::source::{Buffer, Round, Verdict};

/// How long stages may take for records of one buffer before the loop checks signals and the clock.
/// A round has many calls, and each call may take as long as `--wasm-time` allows.
const LONGEST_ROUND: Duration = Duration::from_millis(100);

/// Takes a round of a buffer through the stages.
pub(super) fn through_stages(
    buffer: &mut Buffer,
    chain: &mut Chain,
    outputs: &mut Outputs,
    round: &mut Round,
) -> Result<(), Failure> {
    let begin = outputs.drawn();
    let since = Instant::now();
    let (mut calls, mut is_late) = (chain.calls(), false);
    let mut failure = None;
    buffer.drain(usize::MAX, round, |records| {
        // Malformed records are not passed to stages.
        if records.are_malformed {
            return Verdict { taken: 0, goes_on: failure.is_none() };
        }
        if failure.is_none() {
            failure = chain.frame(Frame::Records(records), outputs).err();
        }
        if chain.calls() != calls {
            calls = chain.calls();
            is_late = since.elapsed() >= LONGEST_ROUND;
        }
        let is_done = is_late || chain.is_enough();
        let goes_on = failure.is_none() && !is_done && outputs.drawn() - begin < MOST_BYTES;
        Verdict { taken: records.bytes.len() as u64, goes_on }
    })?;
    match failure {
        Some(failure) => Err(failure),
        None => chain.flush(outputs),
    }
}
