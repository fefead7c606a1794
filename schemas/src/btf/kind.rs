// SPDX-License-Identifier: MIT
//! The kinds of BTF records.

/// The kind of a type. The numbers are the kernel's `BTF_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Id 0, and ids that do not exist.
    Void = 0,
    /// An integer, a bool or a char.
    Int = 1,
    /// A pointer.
    Ptr = 2,
    /// An array.
    Array = 3,
    /// A struct.
    Struct = 4,
    /// A union.
    Union = 5,
    /// An enum of up to 32 bits.
    Enum = 6,
    /// A forward declaration of a struct or union.
    Fwd = 7,
    /// A typedef.
    Typedef = 8,
    /// `volatile`.
    Volatile = 9,
    /// `const`.
    Const = 10,
    /// `restrict`.
    Restrict = 11,
    /// A function.
    Func = 12,
    /// A function's type.
    FuncProto = 13,
    /// A global variable.
    Var = 14,
    /// A section of variables.
    Datasec = 15,
    /// A float, double or long double.
    Float = 16,
    /// A tag on a declaration.
    DeclTag = 17,
    /// A tag on a type.
    TypeTag = 18,
    /// An enum of 64 bits.
    Enum64 = 19,
}

impl Kind {
    pub(super) fn from_raw(raw: u8) -> Option<Kind> {
        use Kind::*;
        const ALL: [Kind; 20] = [
            Void, Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict,
            Func, FuncProto, Var, Datasec, Float, DeclTag, TypeTag, Enum64,
        ];
        ALL.get(raw as usize).copied()
    }

    /// The number of bytes after the common 12 of a record with `vlen` entries.
    pub(super) fn extra_len(self, vlen: usize) -> usize {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            _ => 0,
        }
    }
}
