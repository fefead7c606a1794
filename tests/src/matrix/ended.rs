// SPDX-License-Identifier: MIT
//! How cases ended.

use serde_json::{Value, json};

use super::cases::{CASES, Case};
use crate::vm::Kernel;

/// How the cases ended, from the output of `guest cases`.
#[must_use]
pub fn ended(output: &str) -> Vec<Ended> {
    let objects = output.lines().filter_map(|line| serde_json::from_str(line).ok());
    objects.filter_map(|object: Value| Ended::from_json(&object)).collect()
}

/// Cases that did not end on a kernel as they should, or not at all, in words.
#[must_use]
pub fn unexpected(kernel: &Kernel, ended: &[Ended]) -> Vec<String> {
    let words = |case: &Case| {
        let should = case.since.is_some_and(|since| kernel.is_since(since));
        let what = match ended.iter().find(|ended| ended.name == case.name) {
            None => "did not end".to_owned(),
            Some(ended) if !ended.attached && ended.message.is_empty() => {
                format!("exit code {} without a message", ended.code)
            }
            Some(ended) if [ended.works(), ended.attached] == [should; 2] => return None,
            Some(ended) if ended.attached => {
                format!("exit code {}, {} events {}", ended.code, ended.events, ended.message)
            }
            Some(ended) => format!("exit code {}: {}", ended.code, ended.message),
        };
        Some(format!("Linux {}: `{}`: {what}", kernel.series, case.name))
    };
    CASES.iter().filter_map(words).collect()
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The name of the case.
    pub name: String,
    /// Whether ecli said that its programs are attached.
    pub attached: bool,
    /// The exit code of ecli.
    pub code: i32,
    /// How many events ecli showed.
    pub events: u64,
    /// Whether that is the right number.
    pub is_right: bool,
    /// What ecli said: errors, hints and warnings.
    pub message: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Ended {
    /// Whether the kernel has the kind, and the events were seen.
    #[must_use]
    pub fn works(&self) -> bool {
        self.attached && self.code == 0 && self.is_right
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "attached": self.attached,
            "code": self.code,
            "events": self.events,
            "is_right": self.is_right,
            "message": self.message,
            "millis": self.millis,
        })
    }

    /// From the JSON object.
    #[must_use]
    pub fn from_json(object: &Value) -> Option<Ended> {
        Some(Ended {
            name: object["name"].as_str()?.to_owned(),
            attached: object["attached"].as_bool()?,
            code: object["code"].as_i64()? as i32,
            events: object["events"].as_u64()?,
            is_right: object["is_right"].as_bool()?,
            message: object["message"].as_str()?.to_owned(),
            millis: object["millis"].as_u64()?,
        })
    }
}
