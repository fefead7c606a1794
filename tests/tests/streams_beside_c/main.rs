// SPDX-License-Identifier: MIT
//! Compares event streams with libbpf's tools in C under the same load: the same events, equally
//! often, with the same values. Differences between the two are excluded by name.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod execsnoop;
mod exitsnoop;
mod mountsnoop;
mod opensnoop;
mod tcpstates;

use bpfpack_tests::stream::has_tracefs;
use bpfpack_tests::{has_tool, is_root, sys};
use serde_json::Value;

/// Whether ecli and this tool can run side by side.
fn has(tool: &str) -> bool {
    is_root() && has_tool(tool) && has_tracefs()
}

/// A user that nobody else is, to whose activity both programs can be limited. Each parallel test
/// has a range of 1000. Tools have five digits for it.
fn nobody_else(thousand: u32) -> u32 {
    thousand * 1000 + sys::thread_id() as u32 % 1000
}

/// Whether a text in an event contains these words.
fn is_about(event: &Value, member: &str, words: &str) -> bool {
    event[member].as_str().unwrap().contains(words)
}

/// A number in a tool's line.
fn number(word: &str) -> Option<i64> {
    word.parse().ok()
}

/// The lines of a tool as events, without the header. Lines that cannot be parsed are skipped and
/// printed: other processes may have names with any content. If one of the load's were skipped, an
/// event would be missing.
fn events(text: &str, parse: impl Fn(&str) -> Option<Value>) -> Vec<Value> {
    let mut events = Vec::new();
    for line in text.lines().skip(1) {
        match parse(line) {
            Some(event) => events.push(event),
            None => println!("no event: {line}"),
        }
    }
    events
}
