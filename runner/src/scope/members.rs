// SPDX-License-Identifier: MIT
//! Finds the member of a record, key or value that names a process, a thread's name or a cgroup, by
//! its name and type.

use std::collections::BTreeMap;

use bpfpack_decode::{Field, Layout, Member};
use bpfpack_spec::{Source, View};

use super::names::Kind;
use crate::filter::FrameKind;

/// Names of processes come first: `tgid` is the process ID of user space.
const PROCESS: [&str; 6] = ["tgid", "pid", "process_id", "target_pid", "task_pid", "tid"];
const COMM: [&str; 5] = ["comm", "task_comm", "process_name", "command", "task"];
const CGROUP: [&str; 6] = ["cgroup_id", "cgroupid", "cgroup", "cgid", "cgrp_id", "cgroup_ino"];

/// A member of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name in filters.
    pub(super) name: String,
    /// Its offset and size.
    pub(super) field: Field,
    /// Whether it is in the key of a view.
    pub(super) is_in_key: bool,
}

/// The suitable members, by [`FrameKind::key`].
pub(super) fn of_sources(kind: Kind, sources: &[Source]) -> BTreeMap<(usize, usize), Found> {
    let of = |frames: FrameKind<'_>| {
        let found = match &frames {
            FrameKind::Record(_, _, record) => find(kind, record.all()),
            FrameKind::View(view) => of_view(kind, view),
        };
        Some((frames.key(), found?))
    };
    FrameKind::all(sources).into_iter().filter_map(of).collect()
}

fn of_view(kind: Kind, view: &View) -> Option<Found> {
    let key = view.key.as_ref().and_then(|key| find(kind, key));
    key.map(|found| Found { is_in_key: true, ..found }).or_else(|| find(kind, &view.value))
}

/// The most suitable member of a struct, or of a struct in it.
pub(super) fn find(kind: Kind, layout: &Layout) -> Option<Found> {
    let Layout::Struct(record) = layout else { return None };
    let names: &[&str] = match kind {
        Kind::Process => &PROCESS,
        Kind::Comm => &COMM,
        Kind::Cgroup => &CGROUP,
    };
    let own = names.iter().find_map(|name| {
        let is_it =
            |member: &&Member| member.name.eq_ignore_ascii_case(name) && member.bits.is_none();
        let member = record.members.iter().find(is_it)?;
        let field = Field { offset: member.offset, size: size(kind, &member.layout)? };
        Some(Found { name: member.name.clone(), field, is_in_key: false })
    });
    own.or_else(|| {
        record.members.iter().find_map(|member| {
            // Search structs in the struct, but not deeper.
            let Layout::Struct(inner) = &member.layout else { return None };
            let is_flat = !inner.members.iter().any(|m| matches!(m.layout, Layout::Struct(_)));
            let found = is_flat.then(|| find(kind, &member.layout))??;
            let offset = member.offset + found.field.offset;
            let name = format!("{}.{}", member.name, found.name);
            Some(Found { name, field: Field { offset, ..found.field }, is_in_key: false })
        })
    })
}

/// The size of a member, if its type is suitable.
fn size(kind: Kind, layout: &Layout) -> Option<usize> {
    match (kind, layout) {
        (Kind::Process, Layout::Int { size: size @ (4 | 8), .. }) => Some(*size),
        (Kind::Cgroup, Layout::Int { size: 8, .. }) => Some(8),
        (Kind::Comm, Layout::Text { size }) => Some(*size),
        _ => None,
    }
}

/// The names of all members, for a message.
pub(super) fn names(sources: &[Source]) -> Vec<String> {
    let of = |layout: &Layout| -> Vec<String> {
        match layout {
            Layout::Struct(record) => record.members.iter().map(|m| m.name.clone()).collect(),
            _ => Vec::new(),
        }
    };
    let mut names: Vec<String> = Vec::new();
    for source in sources {
        match source {
            Source::Stream(stream) => {
                names.extend(stream.records.iter().flat_map(|record| of(record.all())));
            }
            Source::View(view) => {
                names.extend(view.key.iter().flat_map(of));
                names.extend(of(&view.value));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::Struct;

    use super::*;

    fn int(size: usize) -> Layout {
        Layout::Int { size, signed: false }
    }

    fn layout(members: Vec<(&str, Layout)>) -> Layout {
        let mut offset = 0;
        let member = |(name, layout): (&str, Layout)| {
            let member = Member::new(name, offset, layout);
            offset += member.layout.size();
            member
        };
        let members = members.into_iter().map(member).collect();
        Layout::Struct(Struct { size: offset, members })
    }

    #[test]
    fn members_are_found_by_name_and_type() {
        let text = Layout::Text { size: 16 };
        let record = layout(vec![
            ("pid", int(4)),
            ("tgid", int(4)),
            ("cgroup", int(4)),
            ("comm", text.clone()),
            ("cgroup_id", int(8)),
        ]);
        let name = |kind, layout: &Layout| find(kind, layout).map(|found| found.name);
        assert_eq!(name(Kind::Process, &record).as_deref(), Some("tgid"));
        assert_eq!(name(Kind::Comm, &record).as_deref(), Some("comm"));
        assert_eq!(name(Kind::Cgroup, &record).as_deref(), Some("cgroup_id"));
        let other = layout(vec![("pid", text), ("comm", int(4)), ("pids", int(4))]);
        assert_eq!(name(Kind::Process, &other).or(name(Kind::Comm, &other)), None);
        assert_eq!(name(Kind::Process, &int(4)), None);
    }

    #[test]
    fn inner_structs_are_looked_into() {
        let record =
            layout(vec![("ts", int(8)), ("task", layout(vec![("x", int(4)), ("pid", int(4))]))]);
        let found = find(Kind::Process, &record).unwrap();
        assert_eq!((&*found.name, found.field), ("task.pid", Field { offset: 12, size: 4 }));
    }
}
