// SPDX-License-Identifier: MIT
//! The scope of names: members of a record, or of a key and a value, and calculated numbers.

use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Layout, Member};

/// The names that an expression can use in one kind of frame.
#[derive(Debug, Clone, Default)]
pub struct Scope<'l> {
    /// Parts with a layout. A name refers to the first part that has it.
    pub parts: Vec<Part<'l>>,
    /// Calculated numbers. A member with the same name takes precedence.
    pub derived: Vec<Derived<'l>>,
}

/// Bytes with a layout.
#[derive(Debug, Clone, Copy)]
pub struct Part<'l> {
    /// The prefix for its members, as in `key.comm`; for a part without members, its name.
    pub qualifier: Option<&'l str>,
    /// The layout of the bytes.
    pub layout: &'l Layout,
}

/// A calculated number.
#[derive(Debug, Clone, Copy)]
pub struct Derived<'l> {
    /// Its name.
    pub name: &'l str,
    /// Its meaning: a duration, or none.
    pub meaning: Option<Meaning>,
}

/// The target of a name.
#[derive(Debug)]
pub(crate) enum Found<'l> {
    Place(Place<'l>),
    Derived(usize, &'l Derived<'l>),
}

/// A value in the bytes of a part.
#[derive(Debug, Clone)]
pub(crate) struct Place<'l> {
    pub(crate) part: usize,
    pub(crate) offset: usize,
    pub(crate) layout: &'l Layout,
    pub(crate) meaning: Option<Meaning>,
    /// Its member, with an offset relative to `base`; `None` for a part without members and for
    /// elements of arrays.
    pub(crate) member: Option<&'l Member>,
    /// The offset of the record that contains the member.
    pub(crate) base: usize,
}

impl<'l> Scope<'l> {
    /// The scope of a record.
    #[must_use]
    pub fn record(layout: &'l Layout) -> Scope<'l> {
        Scope { parts: vec![Part { qualifier: None, layout }], derived: Vec::new() }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Found<'_>> {
        let member = self.parts.iter().enumerate().find_map(|(at, part)| {
            let start = Place {
                part: at,
                offset: 0,
                layout: part.layout,
                meaning: None,
                member: None,
                base: 0,
            };
            let qualifier = part.qualifier.filter(|qualifier| {
                name.get(..qualifier.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(qualifier))
            });
            let rest = qualifier.map(|qualifier| &name[qualifier.len()..]);
            start.clone().inside(name).or_else(|| start.behind(rest?))
        });
        let derived = || {
            let mut derived = self.derived.iter().enumerate();
            let found = derived.find(|(_, derived)| derived.name.eq_ignore_ascii_case(name));
            found.map(|(at, derived)| Found::Derived(at, derived))
        };
        member.map(Found::Place).or_else(derived).or_else(|| self.shown(name))
    }

    /// The member that is shown under this name, without its unit.
    fn shown(&self, name: &str) -> Option<Found<'_>> {
        let members = self.parts.iter().flat_map(|part| match part.layout {
            Layout::Struct(record) => &record.members[..],
            _ => &[],
        });
        let mut called = members.filter(|member| member.is_called(name));
        called.find(|member| member.name != name).and_then(|member| self.find(&member.name))
    }

    /// The available names, for a message. Only the top level of structs is listed.
    pub(crate) fn names(&self) -> Vec<&str> {
        let members = self.parts.iter().flat_map(|part| match part.layout {
            Layout::Struct(record) => record.members.iter().map(|member| &*member.name).collect(),
            _ => part.qualifier.into_iter().collect::<Vec<_>>(),
        });
        members.chain(self.derived.iter().map(|derived| derived.name)).collect()
    }
}

impl<'l> Place<'l> {
    /// Resolves the rest of a path: nothing, `.name`, `[3]`.
    fn behind(self, path: &str) -> Option<Place<'l>> {
        if path.is_empty() {
            return Some(self);
        }
        if let Some(name) = path.strip_prefix('.') {
            return self.inside(name);
        }
        let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
        let index: usize = index.parse().ok()?;
        let Layout::Array { element, stride, len } = self.layout else { return None };
        let offset = self.offset.checked_add(index.checked_mul(*stride)?)?;
        let place = Place { offset, layout: element, meaning: None, member: None, ..self };
        (index < *len).then_some(place)?.behind(rest)
    }

    /// Resolves a path of members.
    fn inside(self, path: &str) -> Option<Place<'l>> {
        let Layout::Struct(record) = self.layout else { return None };
        let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        let named = |is: &dyn Fn(&str) -> bool| record.members.iter().find(|m| is(&m.name));
        let member = named(&|known| known == name)
            .or_else(|| named(&|known| known.eq_ignore_ascii_case(name)))?;
        let place = Place {
            offset: self.offset.checked_add(member.offset)?,
            layout: &member.layout,
            meaning: member.meaning.map(|meaning| meaning.moved(self.offset)),
            member: Some(member),
            base: self.offset,
            ..self
        };
        place.behind(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_decode::Struct;

    fn int() -> Layout {
        Layout::Int { size: 4, signed: false }
    }

    #[test]
    fn members_are_found_in_all_parts() {
        let inner = Layout::Struct(Struct {
            size: 12,
            members: vec![
                Member::new("x", 0, int()),
                Member::new("list", 4, Layout::Array { element: int().into(), stride: 4, len: 2 }),
            ],
        });
        let key = Layout::Struct(Struct {
            size: 20,
            members: vec![
                Member::new("pid", 0, int()),
                Member::new("in_", 8, inner),
                Member::new("PID", 4, int()),
            ],
        });
        let value = int();
        let derived = |name| Derived { name, meaning: None };
        let scope = Scope {
            parts: vec![
                Part { qualifier: Some("key"), layout: &key },
                Part { qualifier: Some("value"), layout: &value },
            ],
            derived: vec![derived("total"), derived("pid")],
        };
        let at = |name: &str| match scope.find(name)? {
            Found::Place(place) => Some((place.part, place.offset)),
            Found::Derived(at, _) => Some((9, at)),
        };
        assert_eq!((at("pid"), at("PID"), at("Pid")), (Some((0, 0)), Some((0, 4)), Some((0, 0))));
        assert_eq!((at("key.pid"), at("KEY.in_.x")), (Some((0, 0)), Some((0, 8))));
        assert_eq!((at("in_.list[1]"), at("in_.list[2]")), (Some((0, 16)), None));
        assert_eq!((at("value"), at("value.x"), at("total")), (Some((1, 0)), None, Some((9, 0))));
        assert_eq!(
            (at("key"), at("keypid"), at("pid.x"), at("pid[0]")),
            (Some((0, 0)), None, None, None)
        );
        assert_eq!(
            (at(""), at("."), at("key."), at("in_.list[99999999999999999999]")),
            (None, None, None, None)
        );
        assert_eq!(scope.names(), ["pid", "in_", "PID", "value", "total", "pid"]);
    }
}
