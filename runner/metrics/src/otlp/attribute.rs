// SPDX-License-Identifier: MIT
//! Attributes of resources and of records.

use super::common::{Any, AnyValue, KeyValue, ResourceMessage};

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute<'a> {
    /// A text.
    String(&'a str),
    /// An integer.
    Int(i64),
    /// An integer. OTLP has none above 2^63 - 1: such a number becomes the text of its digits, as
    /// OpenTelemetry's mapping of data to attributes wants it.
    Unsigned(u64),
    /// A number.
    Double(f64),
    /// A truth value.
    Bool(bool),
}

/// Who produces metrics and logs: `service.name`, `host.name` and other attributes of
/// OpenTelemetry's conventions for resources.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    attributes: Vec<KeyValue>,
}

impl Resource {
    /// Collects attributes. No two have the same name.
    ///
    /// ```
    /// use bpfpack_metrics::otlp::{Attribute, Resource};
    ///
    /// let resource = Resource::new(&[
    ///     ("service.name", Attribute::String("execsnoop")),
    ///     ("process.pid", Attribute::Int(4711)),
    /// ]);
    /// # assert_ne!(resource, Resource::default());
    /// ```
    #[must_use]
    pub fn new(attributes: &[(&str, Attribute<'_>)]) -> Resource {
        let mut pairs = Vec::new();
        fill(attributes.iter().copied(), &mut pairs);
        Resource { attributes: pairs }
    }

    pub(super) fn message(&self) -> ResourceMessage {
        ResourceMessage { attributes: self.attributes.clone() }
    }
}

/// Replaces a list of attributes. What it had before gives its memory to the new one.
pub(super) fn fill<'a>(
    attributes: impl Iterator<Item = (&'a str, Attribute<'a>)>,
    pairs: &mut Vec<KeyValue>,
) {
    let mut used = 0;
    for (key, value) in attributes {
        if used == pairs.len() {
            pairs.push(KeyValue::default());
        }
        let pair = &mut pairs[used];
        key.clone_into(&mut pair.key);
        set(value, pair.value.get_or_insert_default());
        used += 1;
    }
    pairs.truncate(used);
}

/// Replaces a value.
pub(super) fn set(value: Attribute<'_>, message: &mut AnyValue) {
    let any = match value {
        Attribute::String(text) => match &mut message.value {
            Some(Any::String(known)) => return text.clone_into(known),
            _ => Any::String(text.to_owned()),
        },
        Attribute::Int(value) => Any::Int(value),
        Attribute::Unsigned(value) => match i64::try_from(value) {
            Ok(value) => Any::Int(value),
            Err(_) => Any::String(value.to_string()),
        },
        Attribute::Double(value) => Any::Double(value),
        Attribute::Bool(value) => Any::Bool(value),
    };
    message.value = Some(any);
}
