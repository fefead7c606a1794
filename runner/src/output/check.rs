// SPDX-License-Identifier: MIT
//! Checks of outputs.

use super::Output;
use crate::args::OutputPlan;
use crate::failure::Failure;

/// Checks that raw bytes do not go to a terminal.
///
/// # Errors
/// Returns an error if they would: a terminal obeys some of them.
pub(crate) fn terminal(outputs: &[OutputPlan]) -> Result<(), Failure> {
    if outputs.iter().any(|output| !output.format.is_structured && output.is_terminal()) {
        return Err(Failure::usage("--format raw: ecli does not write raw bytes to a terminal")
            .hint("write them to a file (-o FILE), or to a pipe: ecli run … | xxd"));
    }
    Ok(())
}

/// Checks that each file has only one output, because two would overwrite each other.
pub(super) fn files(outputs: &[Output]) -> Result<(), Failure> {
    for (at, output) in outputs.iter().enumerate() {
        let file = output.sink.file();
        let before = outputs[..at].iter().find(|other| file.is_some() && other.sink.file() == file);
        if let Some(other) = before {
            let (one, two) = (other.sink.name(), output.sink.name());
            let text = format!("--output: {one} and {two} are the same file");
            return Err(Failure::usage(text).hint(
                "each output needs its own file: --output csv:out.csv --output json:out.json",
            ));
        }
    }
    Ok(())
}
