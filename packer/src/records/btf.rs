// SPDX-License-Identifier: MIT
//! Adds structs that only the debug information contains to an object's BTF. Existing types keep
//! their ids and names, so references to them stay valid.
//!
//! The format is the kernel's: Documentation/bpf/btf.rst.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bpfpack_schemas::btf::{Btf, Kind, Type};

use super::debug::Debug;

const HEADER: usize = 24;

/// The largest number of members or enumerators that a BTF record can count.
const MAX_ENTRIES: usize = 0xffff;

/// Type information that types can be added to.
pub(crate) struct Builder<'b, 'd> {
    btf: &'b Btf<'b>,
    debug: &'b Debug<'d>,
    /// New strings, and the size of the existing ones in bytes.
    strings: Vec<u8>,
    strings_len: usize,
    /// New records; their ids follow the existing ones.
    records: Vec<Vec<u8>>,
    /// Ids of added or found types, by entry and by whether a pointer leads to them.
    known: BTreeMap<(u32, bool), u32>,
    /// Ids of existing types, sorted by kind and name; created on the first search.
    names: OnceCell<Vec<u32>>,
    /// The type of array indexes, if it had to be added.
    index_type: Option<u32>,
    original: &'b [u8],
}

impl<'b, 'd> Builder<'b, 'd> {
    /// Starts with the `.BTF` section of an object; `None` if its header is invalid.
    pub(crate) fn new(original: &'b [u8], btf: &'b Btf<'b>, debug: &'b Debug<'d>) -> Option<Self> {
        Some(Builder {
            btf,
            debug,
            strings: Vec::new(),
            strings_len: part(original, 16)?.len(),
            records: Vec::new(),
            known: BTreeMap::new(),
            names: OnceCell::new(),
            index_type: None,
            original,
        })
    }

    /// The existing types with a kind and name.
    fn named(&self, kind: Kind, name: &str) -> &[u32] {
        let key = |id: u32| {
            let ty = self.btf.ty(id);
            (ty.kind as u8, ty.name())
        };
        let ids = self.names.get_or_init(|| {
            let has_name = |id: &u32| !self.btf.ty(*id).name().is_empty();
            let mut ids: Vec<u32> = (1..=self.btf.len()).filter(has_name).collect();
            ids.sort_by(|a, b| key(*a).cmp(&key(*b)));
            ids
        });
        let wanted = (kind as u8, name);
        let start = ids.partition_point(|id| key(*id) < wanted);
        let len = ids[start..].partition_point(|id| key(*id) == wanted);
        &ids[start..start + len]
    }

    /// The `.BTF` section with the added types; `None` if nothing was added.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        if self.records.is_empty() {
            return None;
        }
        let (types, strings) = (part(self.original, 8)?, part(self.original, 16)?);
        let types_len = types.len() + self.records.iter().map(Vec::len).sum::<usize>();
        let mut out = self.original.get(..HEADER)?.to_vec();
        let numbers = [HEADER, 0, types_len, types_len, strings.len() + self.strings.len()];
        for (location, number) in out[4..].chunks_exact_mut(4).zip(numbers) {
            location.copy_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
        }
        out.extend_from_slice(types);
        out.extend(self.records.into_iter().flatten());
        out.extend_from_slice(strings);
        out.extend(self.strings);
        Some(out)
    }

    /// The id of a type, which is added if it does not exist. The target of a pointer only gets a
    /// forward declaration, unless it exists.
    pub(crate) fn add(&mut self, index: u32) -> u32 {
        self.convert(Some(index), false, 0)
    }

    fn convert(&mut self, index: Option<u32>, behind_pointer: bool, depth: usize) -> u32 {
        let Some(index) = index.filter(|_| depth < 64) else { return 0 };
        if let Some(id) = self.known.get(&(index, behind_pointer)) {
            return *id;
        }
        if let Some(id) = self.existing(index) {
            self.known.insert((index, behind_pointer), id);
            return id;
        }
        let id = self.btf.len() + self.records.len() as u32 + 1;
        self.known.insert((index, behind_pointer), id);
        self.records.push(Vec::new());
        let at = self.records.len() - 1;
        let record = self.record(index, behind_pointer, depth + 1);
        self.records[at] = record;
        id
    }

    /// The same type, if BTF contains it.
    fn existing(&self, index: u32) -> Option<u32> {
        let die = self.debug.die(index);
        let kind = match die.tag {
            gimli::DW_TAG_base_type => Kind::Int,
            gimli::DW_TAG_structure_type => Kind::Struct,
            gimli::DW_TAG_union_type => Kind::Union,
            gimli::DW_TAG_enumeration_type => Kind::Enum,
            gimli::DW_TAG_typedef => Kind::Typedef,
            _ => return None,
        };
        if die.name.is_empty() {
            return None;
        }
        // Several types can have the same name, for example in blocks of functions.
        let kinds = [kind, if kind == Kind::Enum { Kind::Enum64 } else { kind }];
        let mut all = kinds.iter().flat_map(|kind| self.named(*kind, die.name)).copied();
        all.find(|id| self.is_same(index, self.btf.ty(*id), 0))
    }

    /// Whether a type of the debug information is equal to one of BTF. Targets of pointers are
    /// compared by name only.
    fn is_same(&self, index: u32, ty: Type<'_>, depth: usize) -> bool {
        if depth > 8 {
            return true;
        }
        let below = |index: u32| self.debug.type_of(index);
        let is_modifier = |tag: gimli::DwTag| {
            matches!(
                tag,
                gimli::DW_TAG_const_type
                    | gimli::DW_TAG_volatile_type
                    | gimli::DW_TAG_restrict_type
            )
        };
        let mut index = index;
        while is_modifier(self.debug.die(index).tag) {
            let Some(target) = below(index) else { return ty.resolved().kind == Kind::Void };
            index = target;
        }
        let ty = ty.unmodified();
        let die = self.debug.die(index);
        let children = |tag: gimli::DwTag| {
            self.debug.children(index).filter(move |child| self.debug.die(*child).tag == tag)
        };
        let is_target = |target: Option<u32>, of: Type<'_>| match target {
            Some(target) => self.is_same(target, of, depth + 1),
            None => of.resolved().kind == Kind::Void,
        };
        match (die.tag, ty.kind) {
            (gimli::DW_TAG_base_type, Kind::Int | Kind::Float) => {
                die.name == ty.name() && die.size == ty.size()
            }
            (gimli::DW_TAG_typedef, Kind::Typedef) => {
                die.name == ty.name() && is_target(below(index), ty.target())
            }
            (gimli::DW_TAG_pointer_type, Kind::Ptr) => {
                let name = below(index).map_or("", |target| self.debug.die(target).name);
                let of = ty.target().unmodified();
                name.is_empty() || of.name().is_empty() || name == of.name()
            }
            (gimli::DW_TAG_array_type, Kind::Array) => {
                self.debug.size_of(index) == ty.size()
                    && is_target(
                        below(index),
                        (0..children(gimli::DW_TAG_subrange_type).count()).fold(ty, |ty, _| {
                            if ty.kind == Kind::Array { ty.target().unmodified() } else { ty }
                        }),
                    )
            }
            (gimli::DW_TAG_structure_type, Kind::Struct)
            | (gimli::DW_TAG_union_type, Kind::Union) => {
                let members: Vec<_> = ty.members().collect();
                let own: Vec<u32> = children(gimli::DW_TAG_member).collect();
                die.name == ty.name()
                    && (die.is_declaration || die.size == ty.size() && own.len() == members.len())
                    && own.iter().zip(members).all(|(child, member)| {
                        let die = self.debug.die(*child);
                        die.name == member.name
                            && die.bit_offset == u64::from(member.bit_offset)
                            && die.bit_size == u64::from(member.bit_size)
                            && is_target(below(*child), ty.sibling(member.ty))
                    })
            }
            (gimli::DW_TAG_enumeration_type, Kind::Enum | Kind::Enum64) => {
                let own =
                    children(gimli::DW_TAG_enumerator).map(|child| self.debug.die(child).name);
                die.name == ty.name()
                    && die.size == ty.size()
                    && own.eq(ty.enumerators().map(|(name, _)| name))
            }
            _ => false,
        }
    }

    fn record(&mut self, index: u32, behind_pointer: bool, depth: usize) -> Vec<u8> {
        let die = self.debug.die(index).clone();
        let target = self.debug.type_of(index);
        let is_record = matches!(die.tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type);
        if is_record && (behind_pointer || die.is_declaration) && !die.name.is_empty() {
            let is_union = die.tag == gimli::DW_TAG_union_type;
            return self.head(die.name, Kind::Fwd, 0, is_union, 0);
        }
        match die.tag {
            gimli::DW_TAG_base_type => self.number(&die),
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => self.members(index, depth),
            gimli::DW_TAG_enumeration_type => self.enumerators(index),
            gimli::DW_TAG_array_type => self.array(index, depth),
            gimli::DW_TAG_typedef => {
                let target = self.convert(target, behind_pointer, depth);
                self.head(die.name, Kind::Typedef, 0, false, target)
            }
            gimli::DW_TAG_pointer_type => {
                // A pointer to a function becomes a pointer to void: no reader follows it.
                let is_function = |ty: &u32| {
                    let resolved = self.debug.resolved(*ty);
                    resolved
                        .is_some_and(|ty| self.debug.die(ty).tag == gimli::DW_TAG_subroutine_type)
                };
                let target = target.filter(|ty| !is_function(ty));
                let target = self.convert(target, true, depth);
                self.head("", Kind::Ptr, 0, false, target)
            }
            tag => {
                let kind = match tag {
                    gimli::DW_TAG_volatile_type => Kind::Volatile,
                    gimli::DW_TAG_restrict_type => Kind::Restrict,
                    _ => Kind::Const,
                };
                let target = self.convert(target, behind_pointer, depth);
                self.head("", kind, 0, false, target)
            }
        }
    }

    fn head(&mut self, name: &str, kind: Kind, vlen: usize, flag: bool, last: u32) -> Vec<u8> {
        let info = (vlen as u32 & 0xffff) | (kind as u32) << 24 | u32::from(flag) << 31;
        let name = self.string(name);
        [name, info, last].iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = (self.strings_len + self.strings.len()) as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn number(&mut self, die: &super::debug::Die<'_>) -> Vec<u8> {
        let size = die.size.unwrap_or(0) as u32;
        let encoding = gimli::DwAte(die.encoding);
        if encoding == gimli::DW_ATE_float {
            return self.head(die.name, Kind::Float, 0, false, size);
        }
        let flags: u32 = match encoding {
            gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => 1,
            gimli::DW_ATE_boolean => 4,
            _ => 0,
        };
        let mut record = self.head(die.name, Kind::Int, 0, false, size);
        record.extend((flags << 24 | (size * 8).min(255)).to_le_bytes());
        record
    }

    fn members(&mut self, index: u32, depth: usize) -> Vec<u8> {
        let die = self.debug.die(index).clone();
        let children: Vec<u32> = self
            .debug
            .children(index)
            .filter(|child| self.debug.die(*child).tag == gimli::DW_TAG_member)
            .collect();
        if children.len() > MAX_ENTRIES {
            return self.head(&die.name.replace(' ', "_"), Kind::Fwd, 0, false, 0);
        }
        let has_bitfields = children.iter().any(|child| self.debug.die(*child).bit_size > 0);
        let is_union = die.tag == gimli::DW_TAG_union_type;
        let kind = if is_union { Kind::Union } else { Kind::Struct };
        let size = die.size.unwrap_or(0) as u32;
        let mut record = self.head(die.name, kind, children.len(), has_bitfields, size);
        for child in children {
            let member = self.debug.die(child).clone();
            let ty = self.convert(self.debug.type_of(child), false, depth);
            let mut offset = member.bit_offset as u32;
            if has_bitfields {
                offset = (offset & 0xff_ffff) | (member.bit_size as u32) << 24;
            }
            let name = self.string(member.name);
            record.extend([name, ty, offset].iter().flat_map(|word| word.to_le_bytes()));
        }
        record
    }

    fn enumerators(&mut self, index: u32) -> Vec<u8> {
        let die = self.debug.die(index).clone();
        let children: Vec<u32> = self
            .debug
            .children(index)
            .filter(|child| self.debug.die(*child).tag == gimli::DW_TAG_enumerator)
            .collect();
        let size = die.size.unwrap_or(4) as u32;
        // Kernels before 6.0 support neither 64-bit enums nor signed ones, so they are used only if
        // necessary.
        let is_wide = children.iter().any(|child| {
            let value = self.debug.die(*child).value;
            let fits_signed = size < 8 && i32::try_from(value).is_ok();
            !fits_signed && u32::try_from(value).is_err()
        });
        // BTF cannot count that many, so the type becomes a number.
        if children.len() > MAX_ENTRIES {
            let mut record = self.head("", Kind::Int, 0, false, size.min(8));
            record.extend((size.min(8) * 8).to_le_bytes());
            return record;
        }
        let kind = if is_wide { Kind::Enum64 } else { Kind::Enum };
        let mut record = self.head(die.name, kind, children.len(), false, size);
        for child in children {
            let (name, value) = (self.debug.die(child).name, self.debug.die(child).value);
            let name = self.string(name);
            record.extend(name.to_le_bytes());
            record.extend((value as u32).to_le_bytes());
            if is_wide {
                record.extend(((value >> 32) as u32).to_le_bytes());
            }
        }
        record
    }

    /// Several dimensions are arrays of arrays: the last one is created first.
    fn array(&mut self, index: u32, depth: usize) -> Vec<u8> {
        let dimensions: Vec<u32> =
            self.debug.children(index).map(|child| self.debug.die(child).count as u32).collect();
        let mut element = self.convert(self.debug.type_of(index), false, depth);
        let index_type = self.index_type();
        let array = |builder: &mut Self, element: u32, count: u32| {
            let mut record = builder.head("", Kind::Array, 0, false, 0);
            record.extend([element, index_type, count].iter().flat_map(|word| word.to_le_bytes()));
            record
        };
        for count in dimensions.iter().skip(1).rev() {
            let inner = array(self, element, *count);
            self.records.push(inner);
            element = self.btf.len() + self.records.len() as u32;
        }
        array(self, element, dimensions.first().copied().unwrap_or(0))
    }

    fn index_type(&mut self) -> u32 {
        let name = "__ARRAY_SIZE_TYPE__";
        if let Some(id) = self.index_type.or(self.named(Kind::Int, name).first().copied()) {
            return id;
        }
        let mut record = self.head(name, Kind::Int, 0, false, 4);
        record.extend(32u32.to_le_bytes());
        self.records.push(record);
        let id = self.btf.len() + self.records.len() as u32;
        self.index_type = Some(id);
        id
    }
}

/// The types or the strings, by the position of their offset in the header.
fn part(data: &[u8], at: usize) -> Option<&[u8]> {
    let number = |at: usize| {
        let bytes = data.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let start = number(4)?.checked_add(number(at)?)?;
    data.get(start..start.checked_add(number(at + 4)?)?)
}
