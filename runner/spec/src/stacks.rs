// SPDX-License-Identifier: MIT
//! Finds stacks among the members of a record or key: their addresses, or an ID in a stack trace
//! map. An annotation (`stack_trace`) takes precedence over names and types.

use std::collections::BTreeMap;

use bpfpack_decode::{Field, Layout, Member};
use bpfpack_schemas::map_type;
use bpfpack_schemas::meta::Interpreter;
use serde::{Deserialize, Serialize};

use crate::maps::MapDefinition;

/// A stack in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The member's name.
    pub name: String,
    /// The location of its addresses.
    pub location: Location,
    /// The process of user addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<Field>,
}

/// The location of a stack's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// In the record.
    Record {
        /// Offset of the first address in bytes.
        offset: usize,
        /// Maximum size of the stack in bytes.
        room: usize,
        /// The number of bytes in use; `None` if a zero terminates the stack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        used: Option<Field>,
    },
    /// In a stack trace map.
    Map {
        /// The ID; negative if there is no stack.
        id: Field,
        /// The map's name.
        map: String,
        /// Size of a stack in the map, in bytes.
        room: usize,
    },
}

/// A record that is shown as a stack with its process, as by existing loaders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackEvent {
    /// The process.
    pub pid: Option<Field>,
    /// The CPU.
    pub cpu: Option<Field>,
    /// The process's name.
    pub comm: Option<Field>,
    /// The kernel stack and the user stack, as indexes into the record's stacks.
    pub sides: [Option<usize>; 2],
    /// Whether addresses are named.
    pub with_symbols: bool,
}

/// A stack trace map.
#[derive(Debug, Clone)]
pub struct StackMap {
    /// Its name.
    pub name: String,
    /// Size of a stack in it, in bytes.
    pub room: usize,
}

/// The stack trace maps of an object, for finding stacks.
#[derive(Debug, Clone, Default)]
pub struct Stacks {
    maps: Vec<StackMap>,
}

impl Stacks {
    /// The stack trace maps among an object's maps.
    #[must_use]
    pub fn of(maps: &[MapDefinition]) -> Stacks {
        let stacks = maps.iter().filter(|map| map.ty == map_type::STACK_TRACE);
        let map = |map: &MapDefinition| StackMap {
            name: map.name.clone(),
            room: map.value_size as usize,
        };
        Stacks { maps: stacks.map(map).collect() }
    }

    /// The stacks among the members of a record or key.
    pub fn find(&self, layout: &Layout) -> Vec<Stack> {
        let Layout::Struct(record) = layout else { return Vec::new() };
        let pid = ["tgid", "pid"].iter().find_map(|name| number(&record.members, name));
        let stack = |member: &Member| -> Option<Stack> {
            let name = member.name.to_ascii_lowercase();
            if !name.contains("stack") && !name.contains("stk") {
                return None;
            }
            let location = match &member.layout {
                Layout::Array { element, stride: 8, len } if is_address(element) => {
                    let used = ["_sz", "_size", "_len"].iter().find_map(|ending| {
                        number(&record.members, &format!("{}{ending}", member.name))
                    });
                    Location::Record { offset: member.offset, room: len * 8, used }
                }
                Layout::Int { size: size @ (4 | 8), .. } if !is_size(&name) => {
                    let StackMap { name, room } = self.map_for(&name)?.clone();
                    let id = Field { offset: member.offset, size: *size };
                    Location::Map { id, map: name, room }
                }
                _ => return None,
            };
            Some(Stack { name: member.name.clone(), location, pid })
        };
        record.members.iter().filter(|m| m.bits.is_none()).filter_map(stack).collect()
    }

    /// The map for an ID with this name.
    fn map_for(&self, id: &str) -> Option<&StackMap> {
        let side = |name: &str| (name.contains("user"), name.contains("kern"));
        let same = self.maps.iter().find(|map| side(&map.name) == side(id));
        same.or(self.maps.first())
    }

    /// The stacks in an annotation, and the other members of such a record.
    pub fn annotated(
        layout: &Layout,
        interpreter: &Interpreter,
    ) -> Option<(Vec<Stack>, StackEvent)> {
        let Interpreter::StackTrace { field_map, with_symbols } = interpreter else { return None };
        let Layout::Struct(record) = layout else { return None };
        let name = |field: &str| name_of(field_map, field);
        let pid = number(&record.members, &name("pid"));
        let mut stacks = Vec::new();
        let mut sides = [None; 2];
        for (side, (stack, size)) in
            [("kstack", "kstack_sz"), ("ustack", "ustack_sz")].into_iter().enumerate()
        {
            let member = record.members.iter().find(|member| member.name == name(stack));
            let Some(member) = member else { continue };
            let used = number(&record.members, &name(size));
            let room = member.layout.size();
            sides[side] = Some(stacks.len());
            stacks.push(Stack {
                name: member.name.clone(),
                location: Location::Record { offset: member.offset, room, used },
                pid,
            });
        }
        if stacks.is_empty() {
            return None;
        }
        let comm = record.members.iter().find(|member| member.name == name("comm"));
        let event = StackEvent {
            pid,
            cpu: number(&record.members, &name("cpu_id")),
            comm: comm.map(|member| Field { offset: member.offset, size: member.layout.size() }),
            sides,
            with_symbols: *with_symbols,
        };
        Some((stacks, event))
    }
}

impl Stack {
    /// Whether a member is this stack or its length.
    pub fn is_made_of(&self, member: &Member) -> bool {
        match &self.location {
            Location::Record { offset, used, .. } => {
                member.offset == *offset || used.is_some_and(|used| member.offset == used.offset)
            }
            Location::Map { id, .. } => member.offset == id.offset,
        }
    }
}

fn name_of(map: &BTreeMap<String, String>, field: &str) -> String {
    map.get(field).cloned().unwrap_or_else(|| field.to_owned())
}

/// The location of a number with this name.
fn number(members: &[Member], name: &str) -> Option<Field> {
    let member = members.iter().find(|member| member.name == name && member.bits.is_none())?;
    match member.layout {
        Layout::Int { size: size @ 1..=8, .. } => Some(Field { offset: member.offset, size }),
        _ => None,
    }
}

fn is_address(layout: &Layout) -> bool {
    matches!(layout, Layout::Int { size: 8, .. } | Layout::Pointer)
}

fn is_size(name: &str) -> bool {
    ["_sz", "_size", "_len", "_depth"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_decode::Struct;

    fn int(size: usize) -> Layout {
        Layout::Int { size, signed: true }
    }

    fn addresses(len: usize) -> Layout {
        Layout::Array { element: Box::new(int(8)), stride: 8, len }
    }

    fn record(members: Vec<Member>) -> Layout {
        let end = members.last().map_or(0, |m| m.offset + m.layout.size());
        Layout::Struct(Struct { size: end, members })
    }

    #[test]
    fn stacks_are_found_by_their_names_and_types() {
        let layout = record(vec![
            Member::new("pid", 0, int(4)),
            Member::new("kstack_sz", 4, int(4)),
            Member::new("kstack", 8, addresses(4)),
            Member::new("ustack", 40, addresses(4)),
            Member::new("haystack", 72, Layout::Text { size: 8 }),
        ]);
        let stacks = Stacks { maps: Vec::new() };
        let found = stacks.find(&layout);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(matches!(
            found[0].location,
            Location::Record { offset: 8, room: 32, used: Some(Field { offset: 4, size: 4 }) }
        ));
        assert!(matches!(found[1].location, Location::Record { used: None, .. }));
        assert_eq!(found[0].pid, Some(Field { offset: 0, size: 4 }));
        let key = record(vec![
            Member::new("tgid", 0, int(4)),
            Member::new("user_stack_id", 4, int(4)),
            Member::new("kern_stack_id", 8, int(4)),
        ]);
        assert!(stacks.find(&key).is_empty(), "no map has them");
        let map = |name: &str, room| StackMap { name: name.into(), room };
        let stacks = Stacks { maps: vec![map("kernel_stacks", 8), map("user_stacks", 16)] };
        let found = stacks.find(&key);
        let location = |offset, map: &str, room| {
            let id = Field { offset, size: 4 };
            Location::Map { id, map: map.to_owned(), room }
        };
        assert_eq!(found[0].location, location(4, "user_stacks", 16));
        assert_eq!(found[1].location, location(8, "kernel_stacks", 8));
    }

    #[test]
    fn an_annotation_names_the_members() {
        let layout = record(vec![
            Member::new("tgid", 0, int(4)),
            Member::new("comm", 8, Layout::Text { size: 16 }),
            Member::new("kstack_sz", 24, int(4)),
            Member::new("kstack", 32, addresses(2)),
        ]);
        let interpreter: Interpreter = serde_json::from_value(serde_json::json!(
            {"stack_trace": {"field_map": {"pid": "tgid"}, "with_symbols": false}}
        ))
        .unwrap();
        let (stacks, event) = Stacks::annotated(&layout, &interpreter).unwrap();
        assert_eq!((stacks.len(), event.sides), (1, [Some(0), None]));
        let field = |offset, size| Some(Field { offset, size });
        assert_eq!((event.pid, event.cpu, event.comm), (field(0, 4), None, field(8, 16)));
        assert!(!event.with_symbols);
        assert!(Stacks::annotated(&layout, &Interpreter::DefaultStruct).is_none());
    }
}
