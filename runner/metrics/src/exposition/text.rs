// SPDX-License-Identifier: MIT
//! Prometheus' text format 0.0.4. It knows no infos, which are gauges here, and no units. Its types
//! and helps belong to the name that samples have, so a counter's ends with `_total`.

use super::lines::{Dialect, Lines, escape};
use crate::{Family, Kind};

pub(super) fn write<'f>(families: impl Iterator<Item = &'f Family>, out: &mut Vec<u8>) {
    let mut lines = Lines::new(Dialect::Text);
    for family in families {
        let (suffix, kind) = match family.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
            Kind::Info => ("_info", "gauge"),
        };
        if !family.help.is_empty() {
            begin("# HELP ", family, suffix, out);
            escape(&family.help, false, out);
            out.push(b'\n');
        }
        begin("# TYPE ", family, suffix, out);
        out.extend_from_slice(kind.as_bytes());
        out.push(b'\n');
        lines.family(family, out);
    }
}

fn begin(word: &str, family: &Family, suffix: &str, out: &mut Vec<u8>) {
    for part in [word, &family.name, suffix, " "] {
        out.extend_from_slice(part.as_bytes());
    }
}
