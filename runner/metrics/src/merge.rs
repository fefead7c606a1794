// SPDX-License-Identifier: MIT
//! Puts the metrics of several tracers together.

use std::collections::BTreeMap;

use crate::{Family, Series};

/// Puts the families of several tracers together. All series get the label `label` with the name of
/// their tracer. Families of the same name become one; if they have different types or units, that of
/// the first tracer remains. Returns the families, and the names of tracers with those that were left
/// out.
#[must_use]
pub fn merge<'f>(
    label: &str,
    parts: impl IntoIterator<Item = (&'f str, &'f [Family])>,
) -> (Vec<Family>, Vec<(&'f str, &'f str)>) {
    let mut merged: Vec<Family> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut left_out = Vec::new();
    for (tracer, families) in parts {
        for family in families {
            let place = *places.entry(&family.name).or_insert(merged.len());
            if place == merged.len() {
                let labels = vec![label.to_owned()];
                merged.push(Family { labels, series: Vec::new(), ..head(family) });
            }
            let whole = &mut merged[place];
            if (whole.kind, whole.unit) != (family.kind, family.unit) {
                left_out.push((tracer, &*family.name));
                continue;
            }
            let columns: Vec<usize> =
                family.labels.iter().map(|name| column(name, label, &mut whole.labels)).collect();
            for series in &family.series {
                let mut labels: Vec<Box<str>> = vec!["".into(); whole.labels.len()];
                labels[0] = tracer.into();
                for (column, value) in columns.iter().zip(&series.labels) {
                    labels[*column].clone_from(value);
                }
                whole.series.push(Series { labels, value: series.value.clone() });
            }
        }
    }
    // Tracers after the first one may have brought more labels.
    for family in &mut merged {
        for series in &mut family.series {
            series.labels.resize(family.labels.len(), "".into());
        }
    }
    (merged, left_out)
}

/// A family without series.
fn head(family: &Family) -> Family {
    Family {
        name: family.name.clone(),
        help: family.help.clone(),
        unit: family.unit,
        kind: family.kind,
        labels: Vec::new(),
        series: Vec::new(),
    }
}

/// The index of a label, which is added if it is new. The label of the tracers is theirs alone.
fn column(name: &str, reserved: &str, labels: &mut Vec<String>) -> usize {
    let name = if name == reserved { format!("{name}_2") } else { name.to_owned() };
    labels.iter().position(|known| *known == name).unwrap_or_else(|| {
        labels.push(name);
        labels.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Number, Value};

    fn family(name: &str, kind: Kind, labels: &[&str], series: &[(&[&str], u64)]) -> Family {
        let one = |(labels, value): &(&[&str], u64)| Series {
            labels: labels.iter().map(|label| (*label).into()).collect(),
            value: Value::Number(Number::Unsigned(*value)),
        };
        Family {
            name: name.into(),
            help: "help".into(),
            unit: None,
            kind,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            series: series.iter().map(one).collect(),
        }
    }

    #[test]
    fn families_of_a_name_become_one() {
        let counter = Kind::Counter;
        let one = [
            family("runs", counter, &["comm"], &[(&["sh"], 1)]),
            family("up", counter, &["tracer"], &[(&["x"], 1)]),
        ];
        let two = [
            family("runs", counter, &["pid", "comm"], &[(&["7", "dd"], 2)]),
            family("up", Kind::Gauge, &[], &[(&[], 3)]),
        ];
        let (merged, left_out) = merge("tracer", [("a", &one[..]), ("b", &two[..])]);
        let shown: Vec<String> = merged
            .iter()
            .flat_map(|family| {
                family.series.iter().map(|series| {
                    format!("{} {:?} {:?}", family.name, family.labels, series.labels)
                })
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"runs ["tracer", "comm", "pid"] ["a", "sh", ""]"#,
                r#"runs ["tracer", "comm", "pid"] ["b", "dd", "7"]"#,
                r#"up ["tracer", "tracer_2"] ["a", "x"]"#,
            ]
        );
        assert_eq!(left_out, [("b", "up")]);
    }
}
