// SPDX-License-Identifier: MIT
//! OpenMetrics 1.0. Its types, units and helps belong to the name of the family, without suffixes.
//! A histogram whose sum is unknown has the sum NaN: the specification wants both `_sum` and `_count`
//! or none, and dashboards need the count.

use super::lines::{Dialect, Lines, escape};
use crate::{Family, Kind};

pub(super) fn write<'f>(families: impl Iterator<Item = &'f Family>, out: &mut Vec<u8>) {
    let mut lines = Lines::new(Dialect::OpenMetrics);
    for family in families {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        line("# TYPE ", family, kind, out);
        if let Some(unit) = unit(family) {
            line("# UNIT ", family, unit, out);
        }
        if !family.help.is_empty() {
            begin("# HELP ", family, out);
            escape(&family.help, true, out);
            out.push(b'\n');
        }
        lines.family(family, out);
    }
    out.extend_from_slice(b"# EOF\n");
}

/// The unit, if it may be written: it ends the name, and an info has none.
fn unit(family: &Family) -> Option<&'static str> {
    let unit = family.unit?.name();
    let is_end = family.name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    (is_end && family.kind != Kind::Info).then_some(unit)
}

fn line(word: &str, family: &Family, value: &str, out: &mut Vec<u8>) {
    begin(word, family, out);
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

fn begin(word: &str, family: &Family, out: &mut Vec<u8>) {
    for part in [word, &family.name, " "] {
        out.extend_from_slice(part.as_bytes());
    }
}
