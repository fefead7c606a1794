// SPDX-License-Identifier: MIT
//! Compares counts of libbpf's tools in C and of ecli's JSON.
#![allow(clippy::unwrap_used)] // tests fail by panicking

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Running, eventually};

/// Counts by the lower edge of their bucket, without empty ones.
pub type Buckets = BTreeMap<u64, u64>;

/// Starts a tool in C, and waits until it has attached its programs.
#[must_use]
#[track_caller]
pub fn start_tool(name: &str, args: &[&str], links: usize) -> Running {
    let running = Running::start(format!("/usr/sbin/{name}"), args);
    eventually("the tool has attached", || running.held().links.len() >= links);
    running
}

/// The difference of two counts as a fraction of the larger one.
#[must_use]
pub fn apart(a: u64, b: u64) -> f64 {
    a.abs_diff(b) as f64 / a.max(b).max(1) as f64
}

/// The histogram that a tool in C prints below a heading with this beginning, or without a heading.
/// Each word ends with a space.
#[must_use]
pub fn printed(text: &str, heading: Option<&str>) -> Buckets {
    let mut is_here = heading.is_none();
    let mut buckets = Buckets::new();
    for line in text.lines() {
        if let Some(heading) = heading
            && line.contains(" = ")
        {
            is_here = format!("{} ", line.trim_end()).starts_with(heading);
        } else if is_here
            && let Some((edges, rest)) = line.split_once(" : ")
            && let Some((low, _)) = edges.split_once("->")
        {
            let count = rest.split_whitespace().next().unwrap().parse().unwrap();
            if count > 0 {
                buckets.insert(low.trim().parse().unwrap(), count);
            }
        }
    }
    buckets
}

/// The value of the last entry in ecli's output whose key matches.
#[must_use]
pub fn element(json: &str, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut elements = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    elements.rfind(|element| is_it(&element["key"])).map(|mut element| element["value"].take())
}

/// The log2 histogram in an entry's value.
#[must_use]
pub fn log2_buckets(value: &Value) -> Buckets {
    let counts = value["slots"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap());
    let low = |slot| if slot == 0 { 0 } else { 1_u64 << slot };
    counts.enumerate().map(|(slot, n)| (low(slot), n)).filter(|(_, n)| *n > 0).collect()
}

/// Fails if the counts of a bucket differ by more than `edge`.
#[track_caller]
pub fn same_buckets(what: &str, ours: &Buckets, tool: &Buckets, edge: u64) {
    let count = |of: &Buckets, low: &u64| of.get(low).copied().unwrap_or(0);
    let lows: BTreeSet<&u64> = ours.keys().chain(tool.keys()).collect();
    let off = |low: &&u64| count(ours, low).abs_diff(count(tool, low));
    let worst = lows.into_iter().max_by_key(off).unwrap();
    println!("{what}: worst at {worst}: {}, allowed {edge}\n  {ours:?}\n  {tool:?}", off(&worst));
    assert!(off(&worst) <= edge, "{what}, from {worst} on: ecli {ours:?}, the tool {tool:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
pid = 22 ksoftirqd/1
     usecs               : count    distribution
         0 -> 1          : 3        |****************************************|
         2 -> 3          : 0        |                                        |

pid = 0 swapper/1
     usecs               : count    distribution
         0 -> 1          : 0        |                                        |
         2 -> 3          : 7        |****************************************|
";

    #[test]
    fn the_histogram_below_its_heading() {
        assert_eq!(printed(PRINTED, Some("pid = 22 ")), Buckets::from([(0, 3)]));
        assert_eq!(printed(PRINTED, Some("pid = 0 swapper/1 ")), Buckets::from([(2, 7)]));
        assert!(printed(PRINTED, Some("pid = 2 ")).is_empty());
    }

    #[test]
    fn the_last_element_of_a_key() {
        let json = "{\"key\":{\"pid\":1},\"value\":{\"slots\":[1,0,0]}}\n\
                    {\"key\":{\"pid\":2},\"value\":{\"slots\":[0,0,9]}}\n\
                    {\"key\":{\"pid\":1},\"value\":{\"slots\":[1,0,5]}}\n";
        let value = element(json, |key| key["pid"] == 1).unwrap();
        assert_eq!(log2_buckets(&value), Buckets::from([(0, 1), (4, 5)]));
        assert!(element(json, |key| key["pid"] == 3).is_none());
    }

    #[test]
    #[should_panic(expected = "from 4 on")]
    fn a_bucket_that_differs_fails() {
        same_buckets("x", &Buckets::from([(0, 1), (4, 5)]), &Buckets::from([(0, 2)]), 4);
    }
}
