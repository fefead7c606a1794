// SPDX-License-Identifier: MIT
//! BTF, the type information of BPF objects and kernels.
//!
//! The format is defined by the kernel: Documentation/bpf/btf.rst, include/uapi/linux/btf.h.
//! [`Btf::parse`] checks the bounds of every record once and keeps the bytes. A type is decoded on
//! demand, so the 150,000 types of a kernel cost four bytes each. Type ids in the data are not
//! trusted: chains are followed to a fixed depth.

mod endless;
mod externs;
mod kind;
pub mod lines;

use std::borrow::Cow;
use std::fmt::Write as _;

pub use kind::Kind;

/// The depth to which chains of typedefs, modifiers and nested types are followed.
const MAX_DEPTH: usize = 64;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;

/// Why bytes are not valid BTF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header is too short, has another magic number, or points outside the data.
    #[error("the BTF header is not valid")]
    Header,
    /// The data has the other byte order.
    #[error("the BTF is big-endian; only little-endian objects are supported")]
    BigEndian,
    /// A type record is truncated or has an unknown kind.
    #[error("BTF type {id} is not valid: {why}")]
    Type {
        /// The type's id.
        id: u32,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How the bits of a [`Kind::Int`] are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntEncoding {
    /// Signed, in two's complement.
    pub signed: bool,
    /// Marked as a character. clang marks `char` as signed instead.
    pub char: bool,
    /// A boolean.
    pub bool: bool,
    /// The number of bits that carry the value.
    pub bits: u32,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name; empty for an anonymous struct or union.
    pub name: &'a str,
    /// The id of its type.
    pub ty: u32,
    /// Its offset in bits.
    pub bit_offset: u32,
    /// Its size in bits if it is a bitfield, 0 otherwise.
    pub bit_size: u32,
}

/// A variable of a data section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionVar<'a> {
    /// Its name.
    pub name: &'a str,
    /// The id of its type (not of its `VAR` record).
    pub ty: u32,
    /// Its offset in the section in bytes, as BTF states it: 0 in an object that was not linked.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Whether it is static: not visible to other files.
    pub is_static: bool,
}

/// One type.
#[derive(Debug, Clone, Copy)]
pub struct Type<'a> {
    btf: &'a Btf<'a>,
    /// Its id.
    pub id: u32,
    /// Its kind.
    pub kind: Kind,
    name_off: u32,
    info: u32,
    size_or_type: u32,
    extra: &'a [u8],
}

/// Parsed type information.
#[derive(Debug, Clone)]
pub struct Btf<'d> {
    types: Cow<'d, [u8]>,
    strings: Cow<'d, [u8]>,
    /// The offset in `types` of the record of type `i + 1`.
    offsets: Vec<u32>,
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

impl<'d> Btf<'d> {
    /// Reads a `.BTF` section or `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// A record is truncated or has an unknown kind. Names and type ids are checked on use.
    pub fn parse(data: &'d [u8]) -> Result<Btf<'d>, BtfError> {
        let magic = data.get(..2).ok_or(BtfError::Header)?;
        if u16::from_be_bytes([magic[0], magic[1]]) == MAGIC {
            return Err(BtfError::BigEndian);
        }
        if u16::from_le_bytes([magic[0], magic[1]]) != MAGIC || data.len() < HEADER_LEN {
            return Err(BtfError::Header);
        }
        let base = u32_at(data, 4) as usize;
        let part = |at: usize| -> Option<&'d [u8]> {
            let start = base.checked_add(u32_at(data, at) as usize)?;
            data.get(start..start.checked_add(u32_at(data, at + 4) as usize)?)
        };
        let (types, strings) = part(8).zip(part(16)).ok_or(BtfError::Header)?;
        if base < HEADER_LEN || !(strings.is_empty() || strings.ends_with(&[0])) {
            return Err(BtfError::Header);
        }
        let mut offsets = Vec::new();
        let mut at = 0;
        while at < types.len() {
            let id = offsets.len() as u32 + 1;
            let info = u32_at(types, at + 4);
            let kind = Kind::from_raw((info >> 24) as u8 & 0x1f)
                .filter(|kind| *kind != Kind::Void)
                .ok_or(BtfError::Type { id, why: "unknown kind" })?;
            let end = at + 12 + kind.extra_len(info as usize & 0xffff);
            if end > types.len() {
                return Err(BtfError::Type { id, why: "cut off" });
            }
            offsets.push(at as u32);
            at = end;
        }
        Ok(Btf { types: types.into(), strings: strings.into(), offsets })
    }

    /// The id of a type that contains itself, if there is one.
    #[must_use]
    pub fn endless(&self) -> Option<u32> {
        endless::find(self)
    }

    /// A copy that does not borrow the bytes.
    #[must_use]
    pub fn into_owned(self) -> Btf<'static> {
        Btf {
            types: self.types.into_owned().into(),
            strings: self.strings.into_owned().into(),
            offsets: self.offsets,
        }
    }

    /// The number of types, without void: ids go from 1 to this number.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// Whether there are no types.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The type with an id. An id that does not exist gives void.
    #[must_use]
    pub fn ty(&self, id: u32) -> Type<'_> {
        let record = |at: &u32| {
            let record = &self.types[*at as usize..];
            let info = u32_at(record, 4);
            let kind = Kind::from_raw((info >> 24) as u8 & 0x1f)?;
            let extra = record.get(12..12 + kind.extra_len(info as usize & 0xffff))?;
            let (name_off, size_or_type) = (u32_at(record, 0), u32_at(record, 8));
            Some(Type { btf: self, id, kind, name_off, info, size_or_type, extra })
        };
        (id as usize).checked_sub(1).and_then(|at| self.offsets.get(at)).and_then(record).unwrap_or(
            Type {
                btf: self,
                id: 0,
                kind: Kind::Void,
                name_off: 0,
                info: 0,
                size_or_type: 0,
                extra: &[],
            },
        )
    }

    /// All types, in order.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        (1..=self.len()).map(|id| self.ty(id))
    }

    /// The first type of a kind and name.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        self.types().find(|ty| ty.kind == kind && ty.name() == name)
    }

    /// The variables of a data section, in the order of BTF. Their offsets can all be 0; see
    /// [`crate::object::BpfObject::variables`].
    #[must_use]
    pub fn section_vars(&self, section: &str) -> Vec<SectionVar<'_>> {
        self.find(Kind::Datasec, section).map_or(Vec::new(), |ty| ty.vars())
    }

    /// The types of the keys and values of a map, if its definition in `.maps` names them.
    #[must_use]
    pub fn map_types(&self, map: &str) -> (Option<Type<'_>>, Option<Type<'_>>) {
        let of = |wanted: &str| {
            let pointer = self.map_member(map, wanted)?.resolved();
            (pointer.kind == Kind::Ptr).then(|| pointer.target())
        };
        (of("key"), of("value"))
    }

    /// A number in a map's definition: `type`, `max_entries`, `key_size`, `value_size` ….
    #[must_use]
    pub fn map_number(&self, map: &str, name: &str) -> Option<u32> {
        let pointer = self.map_member(map, name)?.resolved();
        let array = (pointer.kind == Kind::Ptr).then(|| pointer.target().resolved())?;
        (array.kind == Kind::Array).then(|| array.array_len())
    }

    fn map_member(&self, map: &str, name: &str) -> Option<Type<'_>> {
        let vars = self.section_vars(".maps");
        let definition = self.ty(vars.iter().find(|var| var.name == map)?.ty).resolved();
        let member = definition.members().find(|member| member.name == name)?;
        Some(self.ty(member.ty))
    }

    /// Finds an enum by its tag; an enum without a tag, by the name of one of its enumerators.
    #[must_use]
    pub fn find_enum(&self, name: &str) -> Option<Type<'_>> {
        let enums = || self.types().filter(|ty| matches!(ty.kind, Kind::Enum | Kind::Enum64));
        enums().find(|ty| ty.name() == name).or_else(|| {
            enums().find(|ty| ty.name().is_empty() && ty.enumerators().any(|(n, _)| n == name))
        })
    }

    fn string(&self, at: u32) -> &str {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).unwrap_or("?")
    }
}

impl<'a> Type<'a> {
    /// Its name, without `struct` or the like; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.btf.string(self.name_off)
    }

    /// The type that a pointer, typedef, modifier, variable or function refers to, or the element
    /// type of an array.
    #[must_use]
    pub fn target(&self) -> Type<'a> {
        self.btf.ty(match self.kind {
            Kind::Array => u32_at(self.extra, 0),
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => 0,
            _ => self.size_or_type,
        })
    }

    /// The index of the member or parameter that a declaration tag applies to; `None` if it applies
    /// to the whole declaration.
    #[must_use]
    pub fn tagged_member(&self) -> Option<u32> {
        let index = u32_at(self.extra, 0);
        (self.kind == Kind::DeclTag && index != u32::MAX).then_some(index)
    }

    /// Another type of the same BTF.
    #[must_use]
    pub fn sibling(&self, id: u32) -> Type<'a> {
        self.btf.ty(id)
    }

    /// The type below typedefs, modifiers and tags. An endless chain gives void.
    #[must_use]
    pub fn resolved(&self) -> Type<'a> {
        let mut ty = *self;
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    ty = ty.target();
                }
                _ => return ty,
            }
        }
        self.btf.ty(0)
    }

    /// Whether one of the typedefs on the way to the resolved type has one of these names.
    #[must_use]
    pub fn is_named(&self, names: &[&str]) -> bool {
        let mut ty = self.unmodified();
        for _ in 0..MAX_DEPTH {
            if ty.kind != Kind::Typedef {
                return false;
            }
            if names.contains(&ty.name()) {
                return true;
            }
            ty = ty.target().unmodified();
        }
        false
    }

    /// The type below modifiers and tags, but not below a typedef.
    #[must_use]
    pub fn unmodified(&self) -> Type<'a> {
        let mut ty = *self;
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => ty = ty.target(),
                _ => return ty,
            }
        }
        self.btf.ty(0)
    }

    /// Its size in bytes; `None` for void, functions and forward declarations.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let mut ty = *self;
        let mut count: u64 = 1;
        for _ in 0..MAX_DEPTH {
            ty = ty.resolved();
            let size = match ty.kind {
                Kind::Array => {
                    count = count.checked_mul(u64::from(ty.array_len()))?;
                    ty = ty.target();
                    continue;
                }
                Kind::Ptr => 8,
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float
                | Kind::Datasec => u64::from(ty.size_or_type),
                _ => return None,
            };
            return count.checked_mul(size);
        }
        None
    }

    /// The number of elements of an array; 0 for a flexible array, and for other types.
    #[must_use]
    pub fn array_len(&self) -> u32 {
        if self.kind == Kind::Array { u32_at(self.extra, 8) } else { 0 }
    }

    /// How an integer is encoded.
    #[must_use]
    pub fn int_encoding(&self) -> IntEncoding {
        let raw = u32_at(self.extra, 0);
        let flags = raw >> 24;
        IntEncoding {
            signed: flags & 1 != 0,
            char: flags & 2 != 0,
            bool: flags & 4 != 0,
            bits: raw & 0xff,
        }
    }

    /// Whether this is C's plain `char`, the element of strings. `u8` and `unsigned char` are
    /// numbers.
    #[must_use]
    pub fn is_plain_char(&self) -> bool {
        let ty = self.resolved();
        ty.kind == Kind::Int && ty.size_or_type == 1 && ty.name() == "char"
    }

    /// The members of a struct or union.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        let bitfields = self.info >> 31 != 0;
        let extra = match self.kind {
            Kind::Struct | Kind::Union => self.extra,
            _ => &[],
        };
        extra.chunks_exact(12).map(move |raw| {
            let offset = u32_at(raw, 8);
            let (bit_offset, bit_size) =
                if bitfields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Member {
                name: self.btf.string(u32_at(raw, 0)),
                ty: u32_at(raw, 4),
                bit_offset,
                bit_size,
            }
        })
    }

    /// Names and values of an enum. An unsigned value that needs 64 bits wraps to a negative one.
    pub fn enumerators(self) -> impl Iterator<Item = (&'a str, i64)> {
        let signed = self.is_signed_enum();
        let (extra, step) = match self.kind {
            Kind::Enum => (self.extra, 8),
            Kind::Enum64 => (self.extra, 12),
            _ => (&self.extra[..0], 8),
        };
        extra.chunks_exact(step).map(move |raw| {
            let low = u32_at(raw, 4);
            let value = match (step, signed) {
                (8, true) => i64::from(low as i32),
                (8, false) => i64::from(low),
                _ => (u64::from(low) | u64::from(u32_at(raw, 8)) << 32) as i64,
            };
            (self.btf.string(u32_at(raw, 0)), value)
        })
    }

    /// Whether the values of an enum are signed. clang 14 never records it.
    #[must_use]
    pub fn is_signed_enum(&self) -> bool {
        matches!(self.kind, Kind::Enum | Kind::Enum64) && self.info >> 31 != 0
    }

    /// The variables of a data section.
    #[must_use]
    pub fn vars(&self) -> Vec<SectionVar<'a>> {
        if self.kind != Kind::Datasec {
            return Vec::new();
        }
        let var = |raw: &[u8]| {
            let var = self.btf.ty(u32_at(raw, 0));
            (var.kind == Kind::Var).then(|| SectionVar {
                name: var.name(),
                ty: var.size_or_type,
                offset: u32_at(raw, 4),
                size: u32_at(raw, 8),
                is_static: u32_at(var.extra, 0) == 0,
            })
        };
        self.extra.chunks_exact(12).filter_map(var).collect()
    }

    /// The type in C notation, without modifiers: `__u32[20]`, `struct info *`, `pid_t`.
    #[must_use]
    pub fn spelling(&self) -> String {
        let mut dimensions = String::new();
        let mut stars = 0;
        let mut ty = self.unmodified();
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                Kind::Array if stars == 0 => {
                    let _ = write!(dimensions, "[{}]", ty.array_len());
                }
                Kind::Ptr => stars += 1,
                _ => break,
            }
            ty = ty.target().unmodified();
        }
        let mut text = match ty.kind {
            Kind::Void => "void".to_owned(),
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                let tag = match ty.kind {
                    Kind::Union => "union",
                    Kind::Fwd if ty.info >> 31 != 0 => "union",
                    Kind::Enum | Kind::Enum64 => "enum",
                    _ => "struct",
                };
                let name = if ty.name().is_empty() { "{...}" } else { ty.name() };
                format!("{tag} {name}")
            }
            Kind::FuncProto => "void (*)()".to_owned(),
            Kind::Array => format!("{}[]", ty.target().name()),
            _ => ty.name().to_owned(),
        };
        if stars > 0 {
            text.push(' ');
            text.extend(std::iter::repeat_n('*', stars));
        }
        text + &dimensions
    }
}

#[cfg(test)]
pub(crate) mod tests;
