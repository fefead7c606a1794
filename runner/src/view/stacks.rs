// SPDX-License-Identifier: MIT
//! Which members of a record, or of a key, are stacks: their addresses, or the id under which a
//! stack trace map keeps them. An annotation says so (`stack_trace`), or else their names and types.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpfpack_schemas::meta::Interpreter;
use libbpf_rs::{MapCore as _, MapType, Object};

use crate::decode::{Layout, Member};
use crate::sys::map::Map;

/// Offset and size of a number.
pub type Place = (usize, usize);

/// A stack in a record.
#[derive(Debug)]
pub struct Stack {
    /// The member's name.
    pub name: String,
    /// Where it is.
    pub place: StackPlace,
    /// The process that user addresses belong to.
    pub pid: Option<Place>,
}

/// Where the addresses of a stack are.
#[derive(Debug)]
pub enum StackPlace {
    /// In the record.
    Here {
        /// First byte.
        offset: usize,
        /// Bytes that there is room for.
        room: usize,
        /// The number of bytes that are used; none where a zero ends it.
        used: Option<Place>,
    },
    /// In a stack trace map.
    Kept {
        /// The id: negative where there is no stack.
        id: Place,
        /// The map: a value is a stack.
        map: Arc<Map>,
    },
}

/// A record that is shown as a stack with its process, as existing loaders do.
#[derive(Debug)]
pub struct StackEvent {
    /// The process.
    pub pid: Option<Place>,
    /// The CPU.
    pub cpu: Option<Place>,
    /// Offset and size of the process's name.
    pub comm: Option<Place>,
    /// The stack of the kernel, and that of user space, as indexes into the record's stacks.
    pub sides: [Option<usize>; 2],
    /// Whether addresses are named.
    pub with_symbols: bool,
}

/// A stack trace map.
struct Kept {
    name: String,
    map: Arc<Map>,
}

/// The stack trace maps of an object, and what is found of them.
#[derive(Default)]
pub struct Stacks {
    maps: Vec<Kept>,
}

impl Stacks {
    /// Looks for the maps.
    pub fn of(object: &Object) -> Stacks {
        let kept = |map: &libbpf_rs::Map<'_>| {
            Some(Kept {
                name: map.name().to_string_lossy().into_owned(),
                map: Arc::new(Map::of(map).ok()?),
            })
        };
        let is_stacks = |map: &libbpf_rs::Map<'_>| map.map_type() == MapType::StackTrace;
        Stacks { maps: object.maps().filter(is_stacks).filter_map(|map| kept(&map)).collect() }
    }

    /// The stacks among the members of a record or key.
    pub fn find(&self, layout: &Layout) -> Vec<Stack> {
        let Layout::Record(record) = layout else { return Vec::new() };
        let pid = ["tgid", "pid"].iter().find_map(|name| number(&record.members, name));
        let stack = |member: &Member| -> Option<Stack> {
            let name = member.name.to_ascii_lowercase();
            if !name.contains("stack") && !name.contains("stk") {
                return None;
            }
            let place = match &member.layout {
                Layout::Array { element, stride: 8, len } if is_address(element) => {
                    let used = ["_sz", "_size", "_len"].iter().find_map(|ending| {
                        number(&record.members, &format!("{}{ending}", member.name))
                    });
                    StackPlace::Here { offset: member.offset, room: len * 8, used }
                }
                Layout::Int { size: size @ (4 | 8), .. } if !is_size(&name) => {
                    let kept = self.map_for(&name)?;
                    StackPlace::Kept { id: (member.offset, *size), map: Arc::clone(&kept.map) }
                }
                _ => return None,
            };
            Some(Stack { name: member.name.clone(), place, pid })
        };
        record.members.iter().filter(|m| m.bits.is_none()).filter_map(stack).collect()
    }

    /// The map that an id of this name belongs to.
    fn map_for(&self, id: &str) -> Option<&Kept> {
        let side = |name: &str| (name.contains("user"), name.contains("kern"));
        let same = self.maps.iter().find(|kept| side(&kept.name) == side(id));
        same.or(self.maps.first())
    }

    /// The stacks that an annotation names, and what else is shown of such a record.
    pub fn annotated(
        layout: &Layout,
        interpreter: &Interpreter,
    ) -> Option<(Vec<Stack>, StackEvent)> {
        let Interpreter::StackTrace { field_map, with_symbols } = interpreter else { return None };
        let Layout::Record(record) = layout else { return None };
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
                place: StackPlace::Here { offset: member.offset, room, used },
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
            comm: comm.map(|member| (member.offset, member.layout.size())),
            sides,
            with_symbols: *with_symbols,
        };
        Some((stacks, event))
    }
}

impl Stack {
    /// Whether a member is this stack, or says how long it is.
    pub fn is_made_of(&self, member: &Member) -> bool {
        match &self.place {
            StackPlace::Here { offset, used, .. } => {
                member.offset == *offset || used.is_some_and(|(at, _)| member.offset == at)
            }
            StackPlace::Kept { id, .. } => member.offset == id.0,
        }
    }
}

fn name_of(map: &BTreeMap<String, String>, field: &str) -> String {
    map.get(field).cloned().unwrap_or_else(|| field.to_owned())
}

/// Where a number of this name is.
fn number(members: &[Member], name: &str) -> Option<Place> {
    let member = members.iter().find(|member| member.name == name && member.bits.is_none())?;
    match member.layout {
        Layout::Int { size: size @ 1..=8, .. } => Some((member.offset, size)),
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
    use crate::decode::Record;

    fn int(size: usize) -> Layout {
        Layout::Int { size, signed: true }
    }

    fn addresses(len: usize) -> Layout {
        Layout::Array { element: Box::new(int(8)), stride: 8, len }
    }

    fn record(members: Vec<Member>) -> Layout {
        let end = members.last().map_or(0, |m| m.offset + m.layout.size());
        Layout::Record(Record { size: end, members })
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
            found[0].place,
            StackPlace::Here { offset: 8, room: 32, used: Some((4, 4)) }
        ));
        assert!(matches!(found[1].place, StackPlace::Here { used: None, .. }));
        assert_eq!(found[0].pid, Some((0, 4)));
        let key = record(vec![
            Member::new("tgid", 0, int(4)),
            Member::new("user_stack_id", 4, int(4)),
            Member::new("kern_stack_id", 8, int(4)),
        ]);
        assert!(stacks.find(&key).is_empty(), "no map has them");
        let kept = |name: &str, room| Kept {
            name: name.into(),
            map: Arc::new(Map::fake(MapType::StackTrace, 4, room, 1)),
        };
        let stacks = Stacks { maps: vec![kept("kernel_stacks", 8), kept("user_stacks", 16)] };
        let found = stacks.find(&key);
        let in_map = |stack: &Stack| match &stack.place {
            StackPlace::Kept { id, map } => Some((*id, map.value_size())),
            StackPlace::Here { .. } => None,
        };
        assert_eq!(in_map(&found[0]), Some(((4, 4), 16)));
        assert_eq!(in_map(&found[1]), Some(((8, 4), 8)));
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
        assert_eq!((event.pid, event.cpu, event.comm), (Some((0, 4)), None, Some((8, 16))));
        assert!(!event.with_symbols);
        assert!(Stacks::annotated(&layout, &Interpreter::DefaultStruct).is_none());
    }
}
