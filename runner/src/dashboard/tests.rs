// SPDX-License-Identifier: MIT
//! A dashboard and rules as a whole.

use bpfpack_metrics::{Definition, Kind, Unit};
use serde_json::Value;

use super::fixtures::{definition, subject};
use super::grafana::{Look, dashboard};
use super::rules::groups;
use super::subject::Subject;
use super::yaml;

/// A histogram, a gauge, and records.
fn tool() -> Subject {
    let seconds = Some(Unit::Seconds);
    let of = |source: &str, metric: Definition| Definition { source: source.into(), ..metric };
    subject(vec![
        Definition {
            has_sum: true,
            ..of("hists", definition("tool_seconds", Kind::Histogram, seconds, &["few_kind"]))
        },
        of("hists", definition("tool_longest_seconds", Kind::Gauge, seconds, &["few_kind"])),
        of("events", definition("tool_events", Kind::Counter, None, &["comm", "few_kind"])),
        of("events", definition("tool_sent_bytes", Kind::Counter, Some(Unit::Bytes), &[])),
    ])
}

/// A panel on a few lines: its type, title, position and unit, and its queries.
fn in_short(panel: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let position = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].to_string()).join(" ");
    let units = [&panel["fieldConfig"]["defaults"]["unit"], &panel["options"]["yAxis"]["unit"]];
    let unit: String = units.map(text).concat();
    let (ty, title) = (text(&panel["type"]), text(&panel["title"]));
    let mut lines = vec![format!("{ty}: {title} ({position}) {unit}").trim_end().to_owned()];
    for target in panel["targets"].as_array().into_iter().flatten() {
        lines.push(format!("    {} => {}", text(&target["expr"]), text(&target["legendFormat"])));
    }
    lines.join("\n")
}

#[test]
fn dashboard_of_a_tool() {
    let mut dashboard = dashboard(&tool(), Look::default());
    let panels = dashboard["panels"].as_array_mut().unwrap();
    let short: Vec<String> = panels.iter().map(in_short).collect();
    // One of each type is shown in full.
    panels.truncate(3);
    let full = serde_json::to_string_pretty(&dashboard).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{full}", short.join("\n")));
}

#[test]
fn rules_of_a_tool() {
    insta::assert_snapshot!(yaml::file("tool", &groups(&tool())));
}
