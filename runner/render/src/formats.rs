// SPDX-License-Identifier: MIT
//! The table of formats.

use crate::format::FormatKind;
use crate::{delimited, heatmap, json, live, raw, text, yaml};

/// The formats. A new one is a file, and a row here.
static FORMATS: &[&FormatKind] = &[
    &text::KIND,
    &json::KIND,
    &delimited::CSV,
    &delimited::TSV,
    &yaml::KIND,
    &raw::KIND,
    &heatmap::KIND,
];

/// The format for people.
pub static TEXT: &FormatKind = &text::KIND;

/// Readings that are drawn in place on a terminal. The command line cannot name this format.
pub static LIVE: &FormatKind = &live::KIND;

/// Histograms over time.
pub static HEAT_MAP: &FormatKind = &heatmap::KIND;

/// A format by name.
#[must_use]
pub fn named(name: &str) -> Option<&'static FormatKind> {
    FORMATS.iter().find(|kind| kind.name == name).copied()
}

/// The names of all formats.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|kind| kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_of_their_own() {
        let mut seen = std::collections::HashSet::new();
        for name in names() {
            assert!(seen.insert(name), "two formats are named {name}");
            assert_eq!(named(name).map(|kind| kind.name), Some(name));
        }
        assert!(
            ["text", "json", "csv", "tsv", "yaml", "raw"].iter().all(|name| seen.contains(name))
        );
        assert!(named("xml").is_none());
    }
}
