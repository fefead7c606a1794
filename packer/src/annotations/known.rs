// SPDX-License-Identifier: MIT
//! The known annotations, and suggestions for misspelled ones.

/// The kind of declaration that an annotation applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Program,
    Map,
    Variable,
    Doc,
}

impl Kind {
    /// The kind in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Program => "a program",
            Kind::Map => "a map",
            Kind::Variable => "a variable",
            Kind::Doc => "the license",
        }
    }

    /// The annotations that have an effect there.
    pub(crate) fn annotations(self) -> &'static [&'static str] {
        match self {
            Kind::Program => &[
                "description",
                "autoload",
                "flags",
                "frequency",
                "ifindex",
                "tchook",
                "tcopts",
                "xdpopts",
                "optional",
            ],
            Kind::Map => &[
                "description",
                "export_config",
                "hidden",
                "intepreter",
                "interpreter",
                "max_entries",
                "meanings",
                "metric",
                "record_tag",
                "record_tags",
                "records",
                "sample",
                "value_size",
                "view",
            ],
            Kind::Variable => &["cmdarg", "description", "hidden", "metric", "sample", "view"],
            Kind::Doc => &["brief", "description", "details", "version"],
        }
    }
}

/// All kinds.
pub(crate) const KINDS: [Kind; 4] = [Kind::Program, Kind::Map, Kind::Variable, Kind::Doc];

/// The name that was probably meant: one that differs in one or two letters.
pub(crate) fn similar<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let most = if name.chars().count() < 5 { 1 } else { 2 };
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), known), known))
        .filter(|(distance, _)| (1..=most).contains(distance))
        .min()
        .map(|(_, known)| known)
}

/// The keys of a structured annotation.
pub(crate) fn keys(annotation: &str) -> &'static [&'static str] {
    match annotation {
        "sample" => &[
            "interval",
            "type",
            "unit",
            "clear_map",
            "unit_when",
            "key_enum",
            "key_labels",
            "step",
            "origin",
            "sum",
            "count",
            "gauges",
        ],
        "cmdarg" => &["default", "long", "short", "help"],
        "metric" => &["name", "help", "labels", "gauges", "counters", "off"],
        "view" => &[
            "kind",
            "scale",
            "step",
            "origin",
            "unit",
            "unit_when",
            "slots",
            "sum_slot",
            "key",
            "value",
            "sort",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_names() {
        assert_eq!(similar("smaple", Kind::Map.annotations().iter().copied()), Some("sample"));
        assert_eq!(similar("intervall", keys("sample").iter().copied()), Some("interval"));
        assert_eq!(similar("sample", ["sample"]), None);
        assert_eq!(similar("title", Kind::Map.annotations().iter().copied()), None);
        assert_eq!(similar("typ", keys("sample").iter().copied()), Some("type"));
    }
}
