// SPDX-License-Identifier: MIT
//! What tracing is limited to by `-p`, `--comm`, `--cgroup` and `--container`, and by the command
//! that runs meanwhile: through an argument of the package where it has one.

mod names;

use crate::args::Plan;
use crate::command::Command;
use crate::failure::Failure;
use crate::talk::Talk;
use crate::vars::{Chosen, Given};
use names::{Kind, choose};

/// Finds the arguments of the package that limit it.
///
/// # Errors
/// When one is given already.
pub(crate) fn through_arguments(
    plan: &Plan,
    command: Option<&Command>,
    given: &Given<'_>,
    talk: &Talk,
) -> Result<Vec<Chosen>, Failure> {
    let mut chosen = Vec::new();
    let candidates = given.candidates();
    if let (Some(command), None) = (command, plan.process) {
        let text = command.pid().to_string();
        let what = format!("the command's process {text}");
        match choose(Kind::Process, &candidates) {
            None => talk.note(&format!(
                "{what}: the package has no argument for a process, and shows what all do"
            )),
            Some(at) if given.is_given(at) => {}
            Some(at) => {
                talk.note(&through(&what, candidates[at].long));
                chosen.push(Chosen { variable: at, text });
            }
        }
    }
    Ok(chosen)
}

fn through(what: &str, argument: &str) -> String {
    format!("{what}: through the package's argument `{argument}`")
}
