// SPDX-License-Identifier: MIT
//! The members of records as texts, and a record as one line, for logs.

use std::ops::Range;

use bpfpack_decode::Member;
use bpfpack_frame::Records;
use bpfpack_metrics::leaves;
use bpfpack_render::Labels;

/// Writes the members of records.
#[derive(Debug)]
pub(super) struct Texts {
    labels: Labels,
    /// The package's name, in the names of events.
    package: String,
    /// The members of each record type, by source and type.
    types: Vec<Vec<Option<Type>>>,
    /// The texts of a record's members, one after the other.
    texts: Vec<u8>,
    body: String,
}

/// A record type.
#[derive(Debug)]
pub(super) struct Type {
    /// The name of its event: package, buffer, and struct if there are several.
    pub(super) event: String,
    /// Its members.
    pub(super) members: Vec<Member>,
}

/// A record.
#[derive(Debug)]
pub(super) struct Shown<'t> {
    /// Its members that are there, each with its text.
    pub(super) members: Vec<(&'t Member, &'t str)>,
    /// All of them on one line: `NAME=VALUE NAME=VALUE`.
    pub(super) body: &'t str,
}

impl Texts {
    pub(super) fn new(labels: Labels, package: &str) -> Texts {
        let (types, texts, body) = (Vec::new(), Vec::new(), String::new());
        Texts { labels, package: package.to_owned(), types, texts, body }
    }

    /// The package's name.
    pub(super) fn package(&self) -> &str {
        &self.package
    }

    /// The name of the event of records.
    pub(super) fn event(&mut self, records: &Records<'_>) -> &str {
        let (source, ty) = (records.source.index, records.ty);
        if self.types.len() <= source {
            self.types.resize_with(source + 1, Vec::new);
        }
        if self.types[source].len() <= ty {
            self.types[source].resize_with(ty + 1, || None);
        }
        let package = &self.package;
        let made = self.types[source][ty].get_or_insert_with(|| {
            let stream = records.source;
            let event = match stream.records.len() {
                1 => format!("{package}.{}", stream.name),
                _ => format!("{package}.{}.{}", stream.name, records.record_type().name),
            };
            Type { event, members: leaves(&records.record_type().layout, "value") }
        });
        &made.event
    }

    /// A record. [`Texts::event`] was called for its type.
    pub(super) fn record<'t>(&'t mut self, records: &Records<'_>, record: &[u8]) -> Shown<'t> {
        let Texts { labels, types, texts, body, .. } = self;
        let ty = types.get(records.source.index).and_then(|types| types.get(records.ty));
        let members = ty.and_then(Option::as_ref).map_or(&[][..], |ty| &ty.members[..]);
        texts.clear();
        let write = |member: &Member| {
            let begin = texts.len();
            labels.write(member, record, texts);
            begin..texts.len()
        };
        let ranges: Vec<Range<usize>> = members.iter().map(write).collect();
        body.clear();
        let mut shown = Vec::with_capacity(members.len());
        for (member, range) in members.iter().zip(ranges) {
            if !member.is_missing(record) {
                let text = std::str::from_utf8(&texts[range]).unwrap_or_default();
                push_pair(&member.name, text, body);
                shown.push((member, text));
            }
        }
        Shown { members: shown, body }
    }
}

/// Appends `NAME=VALUE`, with quotes where the value needs them.
fn push_pair(name: &str, value: &str, out: &mut String) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(name);
    out.push('=');
    let is_bare = |c: char| !c.is_whitespace() && c != '"' && c != '=';
    if !value.is_empty() && value.chars().all(is_bare) {
        out.push_str(value);
    } else {
        out.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_can_be_taken_apart() {
        let mut body = String::new();
        for (name, value) in [("comm", "sh"), ("args", "a \"b\" \\"), ("empty", ""), ("pid", "7")] {
            push_pair(name, value, &mut body);
        }
        assert_eq!(body, r#"comm=sh args="a \"b\" \\" empty="" pid=7"#);
    }
}
