// SPDX-License-Identifier: MIT
//! Event streams beside libbpf's tools in C, over the same load: the same events, as often, with
//! the same values. What one of the two has and the other has not is left out by name.
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

/// A user that nobody else is: both programs can be told to see what it does, and nothing else.
/// Tests that run at once have another thousand each. Tools leave five digits for it.
fn nobody_else(thousand: u32) -> u32 {
    thousand * 1000 + sys::thread_id() as u32 % 1000
}

/// Whether a text of an event has these words.
fn is_about(event: &Value, member: &str, words: &str) -> bool {
    event[member].as_str().unwrap().contains(words)
}

/// A number in a tool's line.
fn number(word: &str) -> Option<i64> {
    word.parse().ok()
}

/// The lines of a tool as events, without the line of headings. One that is none is left out and
/// said: other processes of the machine may have names with anything in them, of the load's there
/// would be an event too few.
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
