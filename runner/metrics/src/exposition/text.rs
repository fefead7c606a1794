// SPDX-License-Identifier: MIT
//! Prometheus' text format 0.0.4. It knows no infos, which are gauges here, and no units. Its types
//! and helps belong to the name that samples have, so a counter's ends with `_total`.

use super::lines::{Dialect, Lines, escape};
use crate::{Family, Kind};

pub(super) fn write<'f>(families: impl Iterator<Item = &'f Family>, out: &mut Vec<u8>) {
    let mut lines = Lines::new(Dialect::Text);
    for family in families {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        };
        if !family.help.is_empty() {
            begin("# HELP ", family, out);
            escape(&family.help, false, out);
            out.push(b'\n');
        }
        begin("# TYPE ", family, out);
        out.extend_from_slice(kind.as_bytes());
        out.push(b'\n');
        lines.family(family, out);
    }
}

fn begin(word: &str, family: &Family, out: &mut Vec<u8>) {
    for part in [word, &family.name, family.kind.suffix(), " "] {
        out.extend_from_slice(part.as_bytes());
    }
}
