// SPDX-License-Identifier: MIT
//! A dashboard in Grafana's JSON model, the classic one, which all versions import:
//! <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>.

use std::collections::BTreeSet;

use bpfpack_schemas::printable::one_line;
use bpfpack_trust::digest;
use serde_json::{Value, json};

use super::contents::{rows, variables};
use super::files::MARK;
use super::panels::{Drawing, Panel, Query, Row, Variable};
use super::subject::Subject;

/// The version of the model: that of Grafana 12.
const SCHEMA_VERSION: u32 = 41;

/// The grid has 24 columns.
const WIDTH: u32 = 12;
const HEIGHT: u32 = 8;

/// The longest ID of a dashboard.
const MOST_UID: usize = 40;

/// What is chosen for a dashboard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look<'a> {
    /// The title, if it is not the default one.
    pub(super) title: Option<&'a str>,
    /// The data source that is selected at first, if it is not Grafana's default.
    pub(super) datasource: Option<&'a str>,
}

/// The dashboard of a package.
pub(super) fn dashboard(subject: &Subject, look: Look<'_>) -> Value {
    let name = one_line(&subject.package);
    let mut lists = vec![datasources(look.datasource)];
    lists.extend(variables(subject).iter().map(variable));
    json!({
        "description": format!("{MARK} for the package {name}."),
        "uid": uid(&subject.package),
        "title": look.title.unwrap_or(&name),
        "tags": ["bpfpack"],
        "annotations": {"list": []},
        "editable": true,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": null,
        "links": [],
        "panels": panels(&rows(subject)),
        "preload": false,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "templating": {"list": lists},
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
    })
}

/// An ID that depends on the package's name only: another import replaces the dashboard.
fn uid(package: &str) -> String {
    let uid = format!("bpfpack-{package}");
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match uid.len() <= MOST_UID && uid.chars().all(is_allowed) {
        true => uid,
        false => format!("bpfpack-{}", &digest(package.as_bytes())[..MOST_UID - 8]),
    }
}

/// The data source of all queries: the one that users select.
fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn datasources(first: Option<&str>) -> Value {
    let current = match first {
        Some(name) => json!({"selected": true, "text": name, "value": name}),
        None => json!({}),
    };
    json!({
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": current,
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
    })
}

fn variable(variable: &Variable) -> Value {
    json!({
        "type": "query",
        "name": variable.name,
        "label": variable.name,
        "datasource": source(),
        "definition": variable.query,
        "query": {
            // Of values of a label.
            "qryType": 1,
            "query": variable.query,
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "allValue": variable.matches_all.then_some(".*"),
        "hide": 0,
        "includeAll": true,
        "multi": true,
        "options": [],
        // When the time range changes.
        "refresh": 2,
        "regex": "",
        "skipUrlSync": false,
        // Alphabetical.
        "sort": 1,
    })
}

/// Rows and panels, from top to bottom, two panels beside each other.
fn panels(rows: &[Row]) -> Vec<Value> {
    let (mut found, mut ids, mut y) = (Vec::new(), Ids::default(), 0);
    for row in rows {
        found.push(json!({
            "type": "row",
            "id": ids.of("row", &row.title),
            "title": row.title,
            "collapsed": false,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
            "panels": [],
        }));
        y += 1;
        for (at, of_line) in row.panels.chunks(2).enumerate() {
            let y = y + HEIGHT * at as u32;
            for (column, panel) in of_line.iter().enumerate() {
                let x = WIDTH * column as u32;
                let mut shown = self::panel(panel);
                shown["id"] = ids.of("panel", &panel.title).into();
                shown["gridPos"] = json!({"h": HEIGHT, "w": WIDTH, "x": x, "y": y});
                found.push(shown);
            }
        }
        y += HEIGHT * row.panels.len().div_ceil(2) as u32;
    }
    found
}

/// The IDs of panels. They follow from titles, so links to a panel stay right when others are added.
#[derive(Debug, Default)]
struct Ids(BTreeSet<u32>);

impl Ids {
    fn of(&mut self, kind: &str, title: &str) -> u32 {
        let digest = digest(format!("{kind} {title}").as_bytes());
        // 28 bits, because IDs are positive in 32 bits.
        let mut id = u32::from_str_radix(&digest[..7], 16).unwrap_or_default().max(1);
        while !self.0.insert(id) {
            id += 1;
        }
        id
    }
}

fn panel(panel: &Panel) -> Value {
    let is_heat_map = panel.drawing == Drawing::HeatMap;
    let target = |(at, query): (u8, &Query)| {
        json!({
            "refId": char::from(b'A' + at).to_string(),
            "datasource": source(),
            "editorMode": "code",
            "expr": query.expr,
            "format": if is_heat_map { "heatmap" } else { "time_series" },
            "legendFormat": query.legend,
            "range": true,
        })
    };
    let (ty, config, options) = match panel.drawing {
        Drawing::HeatMap => ("heatmap", json!({}), heat_map(panel.unit)),
        Drawing::Lines => ("timeseries", lines(panel.unit), series()),
        Drawing::Share { limit } => ("timeseries", share(panel.unit, limit), series()),
    };
    json!({
        "type": ty,
        "title": panel.title,
        "description": panel.description,
        "datasource": source(),
        "fieldConfig": {"defaults": config, "overrides": []},
        "options": options,
        "targets": (0..).zip(&panel.queries).map(target).collect::<Vec<_>>(),
    })
}

fn lines(unit: &str) -> Value {
    json!({
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "custom": {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never"},
    })
}

/// Lines between 0 and 1, with a line at the limit.
fn share(unit: &str, limit: &str) -> Value {
    let mut config = lines(unit);
    (config["min"], config["max"]) = (0.into(), 1.into());
    let limit: f64 = limit.parse().unwrap_or(1.0);
    let steps = json!([{"color": "green", "value": null}, {"color": "red", "value": limit}]);
    config["thresholds"] = json!({"mode": "absolute", "steps": steps});
    config["custom"]["thresholdsStyle"] = json!({"mode": "line"});
    config
}

fn series() -> Value {
    json!({
        "legend": {
            "calcs": ["mean", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": true,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    })
}

fn heat_map(unit: &str) -> Value {
    json!({
        "calculate": false,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": false,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        // Empty cells.
        "filterValues": {"le": 1e-9},
        "legend": {"show": true},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "show": true, "showColorScale": true, "yHistogram": true},
        "yAxis": {"axisPlacement": "left", "reverse": false, "unit": unit},
    })
}

#[cfg(test)]
mod tests {
    use bpfpack_metrics::{Kind, Unit};

    use super::super::fixtures::{definition, subject};
    use super::*;

    #[test]
    fn ids_follow_from_names() {
        assert_eq!(uid("tcp-rtt_2"), "bpfpack-tcp-rtt_2");
        for odd in ["a/b", &"x".repeat(99), ""] {
            let uid = uid(odd);
            assert!((8..=MOST_UID).contains(&uid.len()) && !uid.contains('/'), "{uid}");
        }
        let mut ids = Ids::default();
        let (one, two) = (ids.of("panel", "a"), ids.of("panel", "a"));
        assert_eq!((Ids::default().of("panel", "a"), one + 1), (one, two));
        assert_ne!(ids.of("row", "b"), ids.of("panel", "b"));
    }

    #[test]
    fn panels_do_not_overlap() {
        let metrics = vec![
            definition("a_seconds", Kind::Histogram, Some(Unit::Seconds), &["few_kind"]),
            definition("b", Kind::Counter, None, &[]),
        ];
        let dashboard = dashboard(&subject(metrics), Look::default());
        let mut free = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(number("y") * 24 + number("x") >= free, "{panel}");
            assert!(number("x") + number("w") <= 24);
            let below = if number("x") + number("w") == 24 { number("h") } else { 0 };
            free = (number("y") + below) * 24 + number("x") % 12;
        }
        assert_eq!(dashboard["panels"][1]["targets"][0]["format"], "heatmap");
        assert_eq!(dashboard["panels"][1]["options"]["yAxis"]["unit"], "s");
    }

    #[test]
    fn what_is_chosen_is_shown() {
        let look = Look { title: Some("T"), datasource: Some("main") };
        let dashboard = dashboard(&subject(Vec::new()), look);
        assert_eq!(dashboard["title"], "T");
        assert_eq!(dashboard["templating"]["list"][0]["current"]["value"], "main");
    }
}
