// SPDX-License-Identifier: MIT
//! Compiles types to layouts. Types come from a package and may be malicious: a struct may contain
//! itself, an array may have four billion elements, and a thousand members may overlap. The size of
//! a layout is limited regardless of that.

use bpfpack_schemas::btf::{Kind, Type};

use super::{Layout, Member, Struct, siblings};
use crate::field::Field;
use crate::meaning::{Hint, Meaning};

/// The maximum depth of nested types.
const MAX_DEPTH: usize = 16;

/// The maximum number of members of a type, including those of nested structs.
const MAX_MEMBERS: usize = 4096;

/// The maximum number of numbers and strings in a value. An array with more is shown as bytes.
const MAX_VALUES: usize = 1 << 22;

/// The maximum number of enumerators of all enums in a type. An enum with more is shown as a
/// number.
const MAX_ENUMERATORS: usize = 1 << 16;

/// The maximum length of a name in bytes: the kernel's limit (KSYM_NAME_LEN).
const MAX_NAME: usize = 512;

/// What a type may still use of the limits.
struct Left {
    members: usize,
    enumerators: usize,
    values: usize,
}

/// Compiles a type.
pub(super) fn layout(ty: Type<'_>) -> Layout {
    let mut left = Left { members: MAX_MEMBERS, enumerators: MAX_ENUMERATORS, values: MAX_VALUES };
    compile(ty, 0, &mut left)
}

fn compile(ty: Type<'_>, depth: usize, left: &mut Left) -> Layout {
    let resolved = ty.resolved();
    let size = bytes_of(&resolved);
    match resolved.kind {
        _ if depth > MAX_DEPTH => left.value(Layout::Bytes { size }),
        Kind::Int if resolved.int_encoding().bool => left.value(Layout::Bool),
        Kind::Int if size <= 16 => {
            left.value(Layout::Int { size, signed: resolved.int_encoding().signed })
        }
        Kind::Ptr => left.value(Layout::Pointer),
        Kind::Float if size == 4 || size == 8 => left.value(Layout::Float { size }),
        Kind::Enum | Kind::Enum64 if size <= 16 => enumeration(resolved, size, left),
        Kind::Array => array(resolved, size, depth, left),
        Kind::Struct | Kind::Union => {
            let mut found = Vec::new();
            add_members(resolved, 0, depth, left, &mut found);
            // Only the outermost struct can end with the rest of a record.
            let is_outermost = depth == 0;
            Layout::Struct(Struct { size, members: finished(found, size, is_outermost) })
        }
        _ => left.value(Layout::Bytes { size }),
    }
}

impl Left {
    fn value(&mut self, layout: Layout) -> Layout {
        self.values = self.values.saturating_sub(1);
        layout
    }
}

/// Compiles an enum, with names within the limit. They are searched for each value.
fn enumeration(ty: Type<'_>, size: usize, left: &mut Left) -> Layout {
    let signed = ty.is_signed_enum();
    // Counting them would read their names.
    let count = ty.enumerators().size_hint().0;
    let Some(rest) = left.enumerators.checked_sub(count) else {
        return left.value(Layout::Int { size, signed });
    };
    left.enumerators = rest;
    left.values = left.values.saturating_sub(count);
    let names = ty.enumerators().map(|(text, value)| (value, name(text))).collect();
    left.value(Layout::Enum { size, signed, names })
}

fn array(ty: Type<'_>, size: usize, depth: usize, left: &mut Left) -> Layout {
    let element = ty.target();
    if element.is_plain_char() {
        return left.value(Layout::Text { size });
    }
    let stride = bytes_of(&element);
    let len = ty.array_len() as usize;
    if stride == 0 || ty.size().is_none() || len > left.values {
        return left.value(Layout::Bytes { size });
    }
    let before = left.values;
    let element = compile(element, depth + 1, left);
    let all = (before - left.values).max(1).saturating_mul(len);
    match before.checked_sub(all) {
        Some(rest) => {
            left.values = rest;
            Layout::Array { element: Box::new(element), stride, len }
        }
        None => Layout::Bytes { size },
    }
}

fn bytes_of(ty: &Type<'_>) -> usize {
    ty.size().and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}

fn name(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_NAME)].to_owned()
}

fn add_members<'t>(
    ty: Type<'t>,
    base_bits: u64,
    depth: usize,
    left: &mut Left,
    found: &mut Vec<(Member, Type<'t>)>,
) {
    for member in ty.members() {
        if left.members == 0 {
            return;
        }
        left.members -= 1;
        let inner = ty.sibling(member.ty);
        let bit = base_bits + u64::from(member.bit_offset);
        let is_record = matches!(inner.resolved().kind, Kind::Struct | Kind::Union);
        if member.name.is_empty() && is_record {
            if depth < MAX_DEPTH {
                add_members(inner.resolved(), bit, depth + 1, left, found);
            }
            continue;
        }
        // An unnamed bitfield is padding.
        if member.name.is_empty() {
            continue;
        }
        let layout = compile(inner, depth + 1, left);
        let mut new = Member::new(name(member.name), (bit / 8) as usize, layout);
        let first = (bit % 8) as u32;
        // No type has more than 128 bits.
        new.bits = (member.bit_size > 0).then_some((first, member.bit_size.min(128 - first)));
        found.push((new, inner));
    }
}

/// Adds meanings, which depend on the other members. A flexible array at the end of the struct
/// becomes the rest of a record.
fn finished(found: Vec<(Member, Type<'_>)>, size: usize, is_outermost: bool) -> Vec<Member> {
    let names: Vec<_> = found.iter().map(|(member, _)| member.clone()).collect();
    let siblings = siblings(&names);
    let count = found.len();
    let finish = |(at, (mut member, ty)): (usize, (Member, Type<'_>))| {
        if matches!(member.layout, Layout::Text { .. }) {
            let is_length = |other: &&Member| {
                let ending = other.name.strip_prefix(&member.name);
                matches!(ending, Some("_size" | "_len" | "_sz"))
                    && other.bits.is_none()
                    && matches!(other.layout, Layout::Int { size: 1..=8, .. })
            };
            let length = names.iter().find(is_length);
            member.length =
                length.map(|length| Field { offset: length.offset, size: length.layout.size() });
        }
        member.meaning = Meaning::guess(&Hint { name: &member.name, ty, siblings: &siblings });
        if is_outermost && at + 1 == count && member.offset <= size && member.layout.size() == 0 {
            member.layout = match member.layout {
                Layout::Text { .. } => {
                    Layout::Rest { element: Box::new(Layout::Text { size: 1 }), stride: 1 }
                }
                Layout::Array { element, stride, .. } => Layout::Rest { element, stride },
                other => other,
            };
        }
        member
    };
    found.into_iter().enumerate().map(finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_schemas::btf::Btf;

    /// BTF that a package could contain.
    #[derive(Default)]
    struct Types {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Types {
        fn text(&mut self, text: &str) -> u32 {
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            (self.strings.len() - text.len()) as u32
        }

        fn add(&mut self, name: &str, kind: Kind, vlen: usize, size: u32, extra: &[u32]) -> u32 {
            let info = ((kind as u32) << 24) | vlen as u32;
            for word in [self.text(name), info, size].iter().chain(extra) {
                self.types.extend(word.to_le_bytes());
            }
            self.count += 1;
            self.count
        }

        fn int(&mut self, size: u32) -> u32 {
            self.add("int", Kind::Int, 0, size, &[(1 << 24) | (size * 8)])
        }

        fn array(&mut self, of: u32, len: u32) -> u32 {
            self.add("", Kind::Array, 0, 0, &[of, 0, len])
        }

        /// A union of members with the same type.
        fn union(&mut self, name: &str, size: u32, count: usize, of: u32) -> u32 {
            let member = [self.text("member"), of, 0];
            self.add(name, Kind::Union, count, size, &member.repeat(count))
        }

        /// The layout of the last type.
        fn layout(&self) -> Layout {
            let strings = [&[0], &self.strings[..]].concat();
            let mut bytes = vec![0x9f, 0xeb, 1, 0];
            let (len, strings_len) = (self.types.len() as u32, strings.len() as u32);
            for word in [24, 0, len, len, strings_len] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(&self.types);
            bytes.extend(strings);
            Layout::of(Btf::parse(&bytes).unwrap().ty(self.count))
        }
    }

    fn members(layout: &Layout) -> &[Member] {
        match layout {
            Layout::Struct(record) => &record.members,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arrays_of_too_much_are_bytes() {
        let mut types = Types::default();
        let byte = types.int(1);
        types.array(byte, MAX_VALUES as u32);
        assert!(matches!(types.layout(), Layout::Array { len: MAX_VALUES, .. }));
        types.array(byte, MAX_VALUES as u32 + 1);
        assert_eq!(types.layout(), Layout::Bytes { size: MAX_VALUES + 1 });
        // Of arrays, of structs, and several next to each other.
        let inner = types.array(byte, 1 << 11);
        types.array(inner, 1 << 12);
        assert_eq!(types.layout(), Layout::Bytes { size: 1 << 23 });
        let wide = types.union("wide", 1, 500, byte);
        types.array(wide, 10_000);
        assert_eq!(types.layout(), Layout::Bytes { size: 10_000 });
        let half = types.array(byte, MAX_VALUES as u32 / 2);
        types.union("beside", 1 << 21, 3, half);
        let layout = types.layout();
        let is_array = |member: &Member| matches!(member.layout, Layout::Array { .. });
        assert!(members(&layout).iter().map(is_array).eq([true, true, false]));
    }

    #[test]
    fn what_holds_itself_ends() {
        let mut types = Types::default();
        types.union("own", 8, 3, 1);
        let mut count = 0;
        let mut todo = vec![types.layout()];
        while let Some(layout) = todo.pop() {
            count += 1;
            if let Layout::Struct(record) = layout {
                todo.extend(record.members.into_iter().map(|member| member.layout));
            }
        }
        assert!((100..=MAX_MEMBERS + 1).contains(&count), "{count}");
    }

    #[test]
    fn names_are_bounded() {
        let mut types = Types::default();
        let name = types.text(&"ä".repeat(1000));
        let one = types.add("e", Kind::Enum, 1, 4, &[name, 0]);
        let many = types.add("many", Kind::Enum, 40_000, 4, &[name, 0].repeat(40_000));
        types.add("s", Kind::Struct, 3, 4, &[name, one, 0, name, many, 0, name, many, 0]);
        let layout = types.layout();
        let [one, many, more] = members(&layout) else { panic!("{layout:?}") };
        assert_eq!(one.name, "ä".repeat(256));
        let names = |member: &Member| match &member.layout {
            Layout::Enum { names, .. } => names.iter().map(|(_, name)| name.len()).collect(),
            _ => Vec::new(),
        };
        assert_eq!((names(one), names(many)), (vec![512], vec![512; 40_000]));
        assert_eq!(more.layout, Layout::Int { size: 4, signed: false });
    }

    #[test]
    fn bitfields_have_the_bits_of_a_number() {
        let mut types = Types::default();
        let int = types.int(4);
        let name = types.text("bits");
        types.add("s", Kind::Struct, 1, 64, &[name, int, 200 << 24 | 3]);
        // The flag for bitfields.
        let at = types.types.len() - 12 - 12 + 7;
        types.types[at] |= 0x80;
        let layout = types.layout();
        let bits = &members(&layout)[0];
        assert_eq!(bits.bits, Some((3, 125)));
        assert_eq!(bits.widened(&[0xff; 64]), [0xff; 16]);
    }
}
