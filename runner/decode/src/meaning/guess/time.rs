// SPDX-License-Identifier: MIT
//! Guesses durations and timestamps by name. The name must tell the unit, except for timestamps,
//! whose unit is determined when a value is shown.

use super::words;
use crate::meaning::{Meaning, Unit};

/// Guesses times by the words in their names.
pub(super) fn time(name: &str, size: u64) -> Option<Meaning> {
    const SPANS: [&str; 33] = [
        "age", "avg", "blocked", "busy", "delay", "delta", "dur", "duration", "elapsed", "held",
        "hold", "idle", "interval", "lat", "latency", "max", "mean", "min", "oncpu", "offcpu",
        "period", "qdelta", "rtt", "run", "runtime", "sleep", "slept", "span", "sum", "timeout",
        "took", "total", "wait",
    ];
    const MOMENTS: [&str; 7] = ["ts", "timestamp", "start", "end", "begin", "enter", "exit"];

    let (base, unit) = name.rsplit_once('_').unwrap_or(("", name));
    // An `s` alone is as often a plural.
    let unit = Unit::of_word(unit).filter(|_| unit != "s");
    let is_moment = |base: &str| {
        MOMENTS.contains(&base) || base.ends_with("_ts") || base.ends_with("_timestamp")
    };
    let is_timestamp = base == "timestamp" || base.ends_with("_timestamp");
    match unit {
        Some(unit) if is_timestamp => (size == 8).then_some(Meaning::Clock(unit)),
        // A duration may have 32 bits, but not in nanoseconds.
        Some(unit) if words(base).any(|word| SPANS.contains(&word)) => {
            let fits = size == 8 || size == 4 && unit != Unit::Nanoseconds;
            fits.then_some(Meaning::Duration(unit))
        }
        Some(unit) if is_moment(base) => (size == 8).then_some(Meaning::Clock(unit)),
        // `ns` alone is a namespace.
        Some(unit) if base.is_empty() && unit != Unit::Nanoseconds && size == 8 => {
            Some(Meaning::Duration(unit))
        }
        Some(_) => None,
        None => {
            let is_time = ["ts", "timestamp"].contains(&name)
                || name.ends_with("_ts")
                || name.ends_with("_timestamp")
                || name.ends_with("_at")
                || name.strip_suffix("_time").is_some_and(|base| MOMENTS.contains(&base));
            (is_time && size == 8).then_some(Meaning::Clock(Unit::Nanoseconds))
        }
    }
}
