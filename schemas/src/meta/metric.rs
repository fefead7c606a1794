// SPDX-License-Identifier: MIT
//! What a package chooses for the metrics of a map, a buffer or a variable.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the data of a map, a buffer or a variable is exported as metrics.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricMeta {
    /// The beginning of the names of its metrics; a member and a unit follow. When absent, the
    /// package's name and that of the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The help text of its metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The members that become labels: `MEMBER` or `MEMBER=LABEL`. Values that differ only in other
    /// members are added up. When absent, all members of a key, and no member of a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Members that are gauges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<String>,
    /// Members that are counters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<String>,
    /// Members that are not exported; `events` is the number of records, and `*` everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off: Vec<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl MetricMeta {
    /// This, with what `other` chooses instead.
    #[must_use]
    pub fn overridden_by(mut self, other: MetricMeta) -> MetricMeta {
        self.name = other.name.or(self.name);
        self.help = other.help.or(self.help);
        self.labels = other.labels.or(self.labels);
        self.gauges.retain(|member| !other.counters.contains(member));
        self.counters.retain(|member| !other.gauges.contains(member));
        self.gauges.extend(other.gauges);
        self.counters.extend(other.counters);
        self.off.extend(other.off);
        self
    }

    /// Checks the names of metrics and labels that are chosen.
    ///
    /// # Errors
    /// Returns what is wrong with the first name that Prometheus does not allow.
    pub fn check_names(&self) -> Result<(), String> {
        self.name.as_deref().map_or(Ok(()), check_metric_name)?;
        let labels = self.labels.iter().flatten().filter_map(|label| label.split_once('='));
        labels.map(|(_, label)| label).try_for_each(check_label_name)
    }

    /// Whether a member is not exported.
    #[must_use]
    pub fn is_off(&self, member: &str) -> bool {
        self.off.iter().any(|off| off == member || off == "*")
    }
}

/// Checks the name of a metric.
///
/// # Errors
/// Returns what names can be.
pub fn check_metric_name(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    match text.starts_with(|c: char| !c.is_ascii_digit()) && text.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "`{text}` is not a name for a metric: it may have letters, digits, _ and :, and cannot \
             begin with a digit"
        )),
    }
}

/// Checks the name of a label. Names that begin with `__` are reserved.
///
/// # Errors
/// Returns what names can be.
pub fn check_label_name(text: &str) -> Result<(), String> {
    match check_metric_name(text).is_ok() && !text.contains(':') && !text.starts_with("__") {
        true => Ok(()),
        false => Err(format!(
            "`{text}` is not a name for a label: it may have letters, digits and _, and cannot begin \
             with a digit or with __"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        let is_metric = |text| check_metric_name(text).is_ok();
        let is_label = |text| check_label_name(text).is_ok();
        assert!(is_metric("a:b") && !is_label("a:b") && !is_label("__name__"));
        assert!(!is_metric("1a") && !is_metric("") && !is_metric("a b") && !is_label("a\nb"));
        let labels = |label: &str| MetricMeta {
            labels: Some(vec!["pid".into(), label.into()]),
            ..MetricMeta::default()
        };
        assert_eq!(labels("comm=name").check_names(), Ok(()));
        assert!(labels("comm=a b").check_names().unwrap_err().starts_with("`a b` is not a name"));
        let named = MetricMeta { name: Some("x 1".into()), ..MetricMeta::default() };
        assert!(named.check_names().is_err());
    }

    #[test]
    fn what_is_chosen_later_wins() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of_package = MetricMeta {
            name: Some("a".into()),
            labels: Some(list(&["x"])),
            gauges: list(&["m", "n"]),
            ..MetricMeta::default()
        };
        let of_user = MetricMeta {
            labels: Some(Vec::new()),
            counters: list(&["m"]),
            off: list(&["z"]),
            ..MetricMeta::default()
        };
        let both = of_package.overridden_by(of_user);
        assert_eq!((both.name.as_deref(), both.labels.as_deref()), (Some("a"), Some(&[][..])));
        assert_eq!((both.gauges.clone(), both.counters.clone()), (list(&["n"]), list(&["m"])));
        assert!(both.is_off("z") && !both.is_off("y"));
    }
}
