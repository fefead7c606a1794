// SPDX-License-Identifier: MIT
//! Names of metrics by OpenTelemetry's conventions: neither a type nor a unit is part of them, since
//! both have fields of their own. Collectors that turn OTLP into Prometheus append `_seconds`,
//! `_bytes` and `_total` again, so a metric has the same name there by either way. Underscores stay:
//! nothing tells which of them would separate namespaces.

use std::collections::HashMap;

use crate::{Family, Kind, Unit};

/// The names of families.
#[derive(Debug)]
pub(super) struct Names<'f> {
    /// How many families have a name without its unit.
    uses: HashMap<&'f str, usize>,
}

impl<'f> Names<'f> {
    pub(super) fn new(families: &'f [Family]) -> Names<'f> {
        let mut uses = HashMap::new();
        for family in families {
            *uses.entry(short(family)).or_insert(0) += 1;
        }
        Names { uses }
    }

    /// The name of a family. The unit stays if two families differ only by it: receivers take metrics
    /// of the same name for the same one.
    pub(super) fn name(&self, family: &'f Family) -> String {
        let short = short(family);
        let is_unique = self.uses.get(short).is_none_or(|uses| *uses < 2);
        let name = if is_unique { short } else { &family.name };
        // Without its suffix, an info could have the name of another metric.
        let suffix = if family.kind == Kind::Info { "_info" } else { "" };
        format!("{name}{suffix}")
    }
}

/// A name without its unit.
fn short(family: &Family) -> &str {
    let name = family.unit.and_then(|unit| family.name.strip_suffix(unit.name()));
    let name = name.and_then(|name| name.strip_suffix('_'));
    name.filter(|name| !name.is_empty()).unwrap_or(&family.name)
}

/// A unit by UCUM. What has no unit is a count, and its unit is empty: `1` is for ratios, and
/// Prometheus appends `_ratio` to the name of such a gauge.
pub(super) fn unit(unit: Option<Unit>) -> &'static str {
    match unit {
        Some(Unit::Seconds) => "s",
        Some(Unit::Bytes) => "By",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str, kind: Kind, unit: Option<Unit>) -> Family {
        let (labels, series) = (Vec::new(), Vec::new());
        Family { name: name.into(), help: String::new(), unit, kind, labels, series }
    }

    #[test]
    fn units_are_not_part_of_names() {
        let (seconds, bytes) = (Some(Unit::Seconds), Some(Unit::Bytes));
        let families = [
            (family("hardirqs_seconds", Kind::Histogram, seconds), "hardirqs"),
            (family("read_bytes", Kind::Counter, bytes), "read"),
            (family("exits", Kind::Counter, None), "exits"),
            // No unit, or another one; nothing would be left.
            (family("up_seconds", Kind::Gauge, None), "up_seconds"),
            (family("sent_bytes", Kind::Gauge, seconds), "sent_bytes"),
            (family("microseconds", Kind::Gauge, seconds), "microseconds"),
            (family("_bytes", Kind::Gauge, bytes), "_bytes"),
            // They differ only by their units.
            (family("io", Kind::Counter, None), "io"),
            (family("io_seconds", Kind::Histogram, seconds), "io_seconds"),
            (family("io_bytes", Kind::Counter, bytes), "io_bytes"),
            (family("kernel", Kind::Info, None), "kernel_info"),
        ];
        let all: Vec<Family> = families.iter().map(|(family, _)| family.clone()).collect();
        let names = Names::new(&all);
        for (family, expected) in &families {
            assert_eq!(names.name(family), *expected);
        }
    }
}
