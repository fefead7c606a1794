// SPDX-License-Identifier: MIT
//! How two packages differ.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bpfpack_schemas::printable::one_line;
use bpfpack_schemas::report::{Inspection, ProgramReport};
use serde::Serialize;

/// A difference between two packages, from the other one to the inspected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// What kind of thing differs: `program`, `map`, `argument`, `effect`, `digest` ….
    what: &'static str,
    /// Its name.
    name: String,
    /// What happened to it.
    change: Change,
    /// What about it differs, if it is in both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Added,
    Removed,
    Changed,
}

/// The differences of `new` from `old`. They are equal if there are none.
pub(super) fn differences(new: &Inspection, old: &Inspection) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(
        &mut found,
        "program",
        &old.report.programs,
        &new.report.programs,
        |program| &program.name,
        programs,
    );
    compare(&mut found, "map", &old.report.maps, &new.report.maps, |map| &map.name, values);
    compare(&mut found, "argument", &old.arguments, &new.arguments, |it| &it.variable, values);
    compare(&mut found, "source", &old.sources, &new.sources, |source| &source.name, values);
    compare(&mut found, "module", &old.modules, &new.modules, |module| &module.name, values);
    effects(&mut found, new, old);
    let sets = |inspection: &Inspection| -> BTreeSet<String> {
        inspection.report.capabilities.iter().cloned().collect()
    };
    names(&mut found, "capability", &sets(old), &sets(new));
    let variants = |it: &Inspection| it.sha256.variants.clone().into_iter().collect::<Vec<_>>();
    compare(&mut found, "variant", &variants(old), &variants(new), |(cpu, _)| cpu, values);
    for (what, name, before, after) in [
        ("digest", "object", &old.sha256.object, &new.sha256.object),
        ("digest", "file", &old.sha256.file, &new.sha256.file),
        ("text", "license", &old.report.license, &new.report.license),
        ("text", "version", &old.version, &new.version),
        ("text", "description", &old.description, &new.description),
    ] {
        // The file of one package may not be known.
        let is_known = name != "file" || (before.is_some() && after.is_some());
        if is_known && before != after {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            let details = vec![shown(before), format!("-> {}", shown(after))];
            let change = Change::Changed;
            found.push(Difference { what, name: name.to_owned(), change, details });
        }
    }
    found
}

/// Compares things by name. `details` says what differs.
fn compare<T: PartialEq>(
    found: &mut Vec<Difference>,
    what: &'static str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    details: impl Fn(&T, &T) -> Vec<String>,
) {
    for item in old {
        let again = new.iter().find(|other| name(other) == name(item));
        let (change, details) = match again {
            None => (Change::Removed, Vec::new()),
            Some(again) if again != item => (Change::Changed, details(item, again)),
            Some(_) => continue,
        };
        found.push(Difference { what, name: name(item).clone(), change, details });
    }
    for item in new.iter().filter(|item| !old.iter().any(|other| name(other) == name(item))) {
        let (name, change) = (name(item).clone(), Change::Added);
        found.push(Difference { what, name, change, details: Vec::new() });
    }
}

/// What differs between two programs.
fn programs(old: &ProgramReport, new: &ProgramReport) -> Vec<String> {
    let mut details = Vec::new();
    if old.sha256 != new.sha256 {
        details.push(format!("instructions ({} -> {})", old.instructions, new.instructions));
    }
    let blank = |program: &ProgramReport| ProgramReport {
        sha256: String::new(),
        instructions: 0,
        ..program.clone()
    };
    details.extend(values(&blank(old), &blank(new)));
    details
}

/// The keys whose values differ, with short values.
fn values<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    const LONGEST: usize = 60;
    let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) else {
        return Vec::new();
    };
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return Vec::new() };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let shown = |value: Option<&serde_json::Value>| match value {
        None => "none".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    differs
        .map(|key| {
            let (before, after) = (shown(old.get(key)), shown(new.get(key)));
            let words = key.replace('_', " ");
            match before.len() + after.len() > LONGEST {
                true => words,
                false => format!("{words} ({before} -> {after})"),
            }
        })
        .collect()
}

fn effects(found: &mut Vec<Difference>, new: &Inspection, old: &Inspection) {
    let all = |inspection: &Inspection| -> BTreeSet<String> {
        let of = |finding: &bpfpack_schemas::report::Finding| {
            let words = finding.effect.words();
            let lines = finding.evidence.iter().map(|evidence| format!("{words} ({evidence})"));
            lines.collect::<Vec<_>>()
        };
        inspection.report.effects.iter().flat_map(of).collect()
    };
    names(found, "effect", &all(old), &all(new));
}

fn names(
    found: &mut Vec<Difference>,
    what: &'static str,
    old: &BTreeSet<String>,
    new: &BTreeSet<String>,
) {
    let removed = old.difference(new).map(|name| (name, Change::Removed));
    let added = new.difference(old).map(|name| (name, Change::Added));
    for (name, change) in removed.chain(added) {
        found.push(Difference { what, name: name.clone(), change, details: Vec::new() });
    }
}

/// A line for each difference: `+`, `-` or `~`.
pub(super) fn text(differences: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { what, name, change, details } in differences {
        let sign = match change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        let _ = writeln!(text, "{sign} {what} {}", one_line(name));
        for detail in details {
            let _ = writeln!(text, "    {}", one_line(detail));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::report::MapReport;

    use super::*;

    fn inspection(programs: &[(&str, &str)], entries: u32) -> Inspection {
        let program = |(name, sha256): &(&str, &str)| ProgramReport {
            name: (*name).to_owned(),
            sha256: (*sha256).to_owned(),
            instructions: 7,
            ..ProgramReport::default()
        };
        let mut inspection: Inspection = serde_json::from_str(
            r#"{"name": "n", "sha256": {}, "programs": [], "maps": [], "capabilities": [],
                "effects": [], "arguments": [], "sources": [], "modules": []}"#,
        )
        .unwrap();
        inspection.report.programs = programs.iter().map(program).collect();
        let map = MapReport { name: "m".into(), max_entries: entries, ..MapReport::default() };
        inspection.report.maps = vec![map];
        inspection
    }

    #[test]
    fn what_is_added_removed_and_changed() {
        let old = inspection(&[("a", "1"), ("b", "2"), ("c", "3")], 10);
        assert!(differences(&old, &old).is_empty());
        let new = inspection(&[("a", "1"), ("b", "9"), ("d", "4")], 20);
        assert_eq!(
            text(&differences(&new, &old)),
            "~ program b\n    instructions (7 -> 7)\n- program c\n+ program d\n~ map m\n    \
             max entries (10 -> 20)\n"
        );
    }
}
