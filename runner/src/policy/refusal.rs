// SPDX-License-Identifier: MIT
//! Why a policy refuses a package.

use anyhow::anyhow;
use bpfpack_schemas::report::{Effect, Evidence};

use crate::failure::{Failure, exit_code};

/// Why a package is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It can do more than observe.
    Changes {
        /// What it can do, and why that is known; at least one.
        all: Vec<(Effect, Evidence)>,
        /// Whether `--observe-only` demands it, not the policy.
        of_command_line: bool,
    },
    /// A program breaks a rule.
    Rule {
        /// The program.
        program: String,
        /// What it is or does, up to the name.
        what: &'static str,
        /// The kind, helper or kfunc.
        name: String,
        /// The rule.
        rule: &'static str,
    },
}

impl Refusal {
    /// The failure that ends the run. `name` is the package's.
    pub(crate) fn failure(&self, name: &str) -> Failure {
        match self {
            Refusal::Changes { all, of_command_line } => {
                let rule = match of_command_line {
                    true => "--observe-only is given",
                    false => "the policy has observe_only = true",
                };
                let first = all.first().map(|(effect, evidence)| (effect.words(), why(evidence)));
                let (effect, evidence) = first.unwrap_or_default();
                let error =
                    anyhow!("`{name}` is refused: it can {effect} ({evidence}), and {rule}");
                let others: Vec<String> = all
                    .iter()
                    .skip(1)
                    .map(|(effect, evidence)| {
                        format!("it can {} ({})", effect.words(), why(evidence))
                    })
                    .collect();
                let failure = Failure::new(exit_code::REFUSED, error).details(others.join("\n"));
                failure.hint(format!("`ecli inspect {name}` shows all that it can do"))
            }
            Refusal::Rule { program, what, name: called, rule } => {
                let verb = if rule.starts_with("allow") { "does not list" } else { "lists" };
                let error = anyhow!(
                    "`{name}` is refused: its program `{program}` {what} `{called}`, which \
                     {rule} of the policy {verb}"
                );
                let failure = Failure::new(exit_code::REFUSED, error);
                failure.hint("the administrator of this machine sets the policy")
            }
        }
    }
}

fn why(evidence: &Evidence) -> String {
    match &evidence.program {
        Some(program) => format!("`{program}`: {}", evidence.what),
        None => evidence.what.clone(),
    }
}
