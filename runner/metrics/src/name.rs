// SPDX-License-Identifier: MIT
//! Names of metrics and labels, and units.

use std::collections::HashSet;

use bpfpack_decode::meaning::{Meaning, Unit as Time};

use crate::Unit;

/// Words that say nothing about what a map or buffer has: the package's name stands for them.
const GENERIC: [&str; 30] = [
    "array",
    "buf",
    "buffer",
    "count",
    "counter",
    "counters",
    "counts",
    "data",
    "dist",
    "entries",
    "event",
    "events",
    "hash",
    "hist",
    "histogram",
    "histograms",
    "hists",
    "info",
    "infos",
    "map",
    "maps",
    "output",
    "rb",
    "res",
    "result",
    "results",
    "ringbuf",
    "slots",
    "stats",
    "values",
];

/// Words for a number that the name of its map describes already.
const GENERIC_NUMBERS: [&str; 6] = ["cnt", "count", "counter", "nr", "val", "value"];

/// The factor from a number in a package to the base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    /// The base unit; `None` for a plain number.
    pub(crate) unit: Option<Unit>,
    times: u64,
    per: u64,
}

impl Scale {
    /// Of a plain number.
    pub(crate) const ONE: Scale = Scale { unit: None, times: 1, per: 1 };

    /// Of a duration.
    fn time(unit: Time) -> Scale {
        let per = Time::Seconds.nanoseconds() / unit.nanoseconds();
        Scale { unit: Some(Unit::Seconds), times: 1, per }
    }

    fn bytes(times: u64) -> Scale {
        Scale { unit: Some(Unit::Bytes), times, per: 1 }
    }

    /// Of a histogram's unit, as packages spell it.
    pub(crate) fn of_text(text: &str) -> Scale {
        let word = text.trim().to_ascii_lowercase();
        match &*word {
            "b" | "byte" | "bytes" => Scale::bytes(1),
            "k" | "kb" | "kib" | "kbyte" | "kbytes" | "kilobytes" => Scale::bytes(1 << 10),
            "mb" | "mib" | "mbyte" | "mbytes" | "megabytes" => Scale::bytes(1 << 20),
            _ => Time::of_word(&word).map_or(Scale::ONE, Scale::time),
        }
    }

    /// Of a member with a meaning.
    pub(crate) fn of_meaning(meaning: Option<Meaning>) -> Scale {
        match meaning {
            Some(Meaning::Duration(unit)) => Scale::time(unit),
            Some(Meaning::Size) => Scale::bytes(1),
            _ => Scale::ONE,
        }
    }

    /// Whether numbers are rounded down, as durations are: then the exact bound between two slots
    /// is the lower edge of the upper one.
    pub(crate) fn is_rounded(self) -> bool {
        self.unit == Some(Unit::Seconds)
    }

    /// A number in the base unit.
    #[allow(clippy::cast_precision_loss)] // the result is a float by definition
    pub(crate) fn apply(self, number: f64) -> f64 {
        number * self.times as f64 / self.per as f64
    }

    /// Whether numbers need no conversion.
    pub(crate) fn is_one(self) -> bool {
        (self.times, self.per) == (1, 1)
    }

    /// The power of two that is nearest to the factor.
    #[allow(clippy::cast_possible_truncation)] // between -30 and 20
    pub(crate) fn exponent(self) -> i32 {
        self.apply(1.0).log2().round() as i32
    }
}

/// A text as a name: lower case, with `_` for everything that is not allowed in names.
pub(crate) fn name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "unnamed".to_owned(),
        Some('0'..='9') => format!("_{name}"),
        _ => name.to_owned(),
    }
}

/// The name, or with a number if it is taken. It is taken then.
pub(crate) fn unique(base: String, taken: &mut HashSet<String>) -> String {
    let (mut name, mut number) = (base.clone(), 1);
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{base}_{number}");
    }
    name
}

/// The name of a map or buffer in names of metrics; `None` if it says nothing.
pub(crate) fn of_source(source: &str) -> Option<String> {
    let name = name(source);
    let says_something = name.split('_').any(|word| !GENERIC.contains(&word));
    says_something.then_some(name)
}

/// The name of a member in names of metrics, without its unit; `None` if it says nothing.
pub(crate) fn of_member(member: &str, scale: Scale) -> Option<String> {
    let name = name(member);
    let stem = match name.rsplit_once('_') {
        Some((stem, unit)) if scale.unit.is_some() && Scale::of_text(unit).unit == scale.unit => {
            stem.to_owned()
        }
        _ => name,
    };
    let is_unit = scale.unit.is_some() && Scale::of_text(&stem).unit == scale.unit;
    (!is_unit && !GENERIC_NUMBERS.contains(&&*stem)).then_some(stem)
}

/// Joins the parts of a name. A part that the name ends with already is not repeated, and neither is
/// the name if a part begins with it.
pub(crate) fn join(parts: &[Option<&str>]) -> String {
    let mut name = String::new();
    for part in parts.iter().flatten() {
        if name == *part || name.ends_with(&format!("_{part}")) {
            continue;
        }
        let repeats = part.strip_prefix(&*name).is_some_and(|rest| rest.starts_with('_'));
        if repeats {
            name.clear();
        }
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(part);
    }
    name
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::meta::check_label_name;

    use super::*;

    #[test]
    fn units_become_base_units() {
        for (text, unit, one) in [
            ("usecs", Some(Unit::Seconds), 1e-6),
            ("ns", Some(Unit::Seconds), 1e-9),
            ("msecs", Some(Unit::Seconds), 1e-3),
            ("secs", Some(Unit::Seconds), 1.0),
            ("bytes", Some(Unit::Bytes), 1.0),
            ("kbytes", Some(Unit::Bytes), 1024.0),
            ("(unit)", None, 1.0),
            ("pages", None, 1.0),
        ] {
            let scale = Scale::of_text(text);
            assert_eq!((scale.unit, scale.apply(1.0)), (unit, one), "{text}");
        }
        assert_eq!(Scale::of_text("usecs").apply(3.0), 0.000_003);
        assert_eq!(
            ["nsecs", "usecs", "msecs", "KB", "x"].map(|u| Scale::of_text(u).exponent()),
            [-30, -20, -10, 10, 0]
        );
    }

    #[test]
    fn names_are_allowed() {
        for (text, wanted) in [
            ("hists", "hists"),
            ("Tcp-RTT.ipv4", "tcp_rtt_ipv4"),
            ("__x__", "x"),
            ("9p", "_9p"),
            ("é", "unnamed"),
        ] {
            assert_eq!(name(text), wanted);
            assert_eq!(check_label_name(&name(text)), Ok(()));
        }
    }

    #[test]
    fn names_say_what_is_not_said_already() {
        assert_eq!(of_source("hists"), None);
        assert_eq!(of_source("counts_map"), None);
        assert_eq!(of_source("rtt_hists").as_deref(), Some("rtt_hists"));
        let us = Scale::of_text("us");
        assert_eq!(of_member("latency_us", us).as_deref(), Some("latency"));
        assert_eq!(of_member("latency_us", Scale::ONE).as_deref(), Some("latency_us"));
        assert_eq!(of_member("count", Scale::ONE), None);
        assert_eq!(of_member("usecs", us), None);
        assert_eq!(join(&[Some("runqlat"), None, Some("seconds")]), "runqlat_seconds");
        assert_eq!(join(&[Some("tcp_rtt"), Some("rtt"), Some("bytes")]), "tcp_rtt_bytes");
        assert_eq!(join(&[Some("xdp"), Some("xdp_packets"), Some("count")]), "xdp_packets_count");
        assert_eq!(join(&[Some("xdp"), Some("xdps_seen")]), "xdp_xdps_seen");
    }
}
