// SPDX-License-Identifier: MIT
//! The known value of a register, and the effect of instructions on it.

/// The index of a symbol.
pub(crate) type Symbol = usize;

/// The value of a register or a stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Unknown.
    Unknown,
    /// A number.
    Const(i64),
    /// The address of a map, by its symbol.
    Map(Symbol),
    /// The address of a variable, or inside it.
    Variable(Variable),
    /// An address in the function's stack frame.
    Stack(i32),
    /// The address of an element of a map, or inside it.
    Element(Symbol, Spot),
    /// A value that was read from an element or a variable.
    Loaded(Origin),
    /// A value that was read there, with something added.
    Sum(Origin),
    /// An argument of the function, counted from 0.
    Argument(u8),
}

/// A position in an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// The offset in bytes, without the index.
    pub(crate) offset: i64,
    /// Whether a non-constant was added: the position is in an array.
    pub(crate) indexed: bool,
}

/// A position in a data section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variable {
    /// The index of the section.
    pub(crate) section: usize,
    /// The position in the section.
    pub(crate) spot: Spot,
}

/// The origin of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An element.
    Element(Symbol, Spot),
    /// A variable.
    Variable(Variable),
}

/// The position given by an address and an offset.
pub(crate) fn origin(address: Value, off: i16) -> Option<Origin> {
    let moved = |spot: Spot| Spot { offset: spot.offset.wrapping_add(off.into()), ..spot };
    match address {
        Value::Element(map, spot) => Some(Origin::Element(map, moved(spot))),
        Value::Variable(Variable { section, spot }) => {
            Some(Origin::Variable(Variable { section, spot: moved(spot) }))
        }
        _ => None,
    }
}

/// The result of an arithmetic instruction.
pub(crate) fn arithmetic(op: u8, left: Value, right: Value, is_wide: bool) -> Value {
    use Value::{Const, Element, Loaded, Stack, Sum, Unknown};
    let cut = |value: i64| if is_wide { value } else { i64::from(value as u32) };
    let moved = |spot: Spot, by: i64| Spot { offset: spot.offset.wrapping_add(by), ..spot };
    let indexed = |spot: Spot| Spot { indexed: true, ..spot };
    let mask = if is_wide { 63 } else { 31 };
    match (op, left, right) {
        (0xb0, _, Const(value)) => Const(cut(value)),
        (0xb0, _, value @ (Loaded(_) | Sum(_))) => value,
        (0xb0, _, value) if is_wide => value,
        (0x00, Loaded(location) | Sum(location), _) | (0x00, _, Loaded(location))
            if !is_address(left) =>
        {
            Sum(location)
        }
        (0x00, Const(a), Const(b)) => Const(cut(a.wrapping_add(b))),
        (0x10, Const(a), Const(b)) => Const(cut(a.wrapping_sub(b))),
        (0x20, Const(a), Const(b)) => Const(cut(a.wrapping_mul(b))),
        (0x40, Const(a), Const(b)) => Const(cut(a | b)),
        (0x50, Const(a), Const(b)) => Const(cut(a & b)),
        (0x60, Const(a), Const(b)) => Const(cut(a << (b & mask))),
        (0x70, Const(a), Const(b)) => Const(cut(((a as u64) >> (b & mask)) as i64)),
        (0xc0, Const(a), Const(b)) => Const(cut(a >> (b & mask))),
        (0x00, Stack(at), Const(by)) => Stack(at.wrapping_add(by as i32)),
        (0x10, Stack(at), Const(by)) => Stack(at.wrapping_sub(by as i32)),
        (0x00, Element(map, spot), Const(by)) => Element(map, moved(spot, by)),
        (0x00, Element(map, spot), _) | (0x00, _, Element(map, spot)) => {
            Element(map, indexed(spot))
        }
        (0x00, Value::Variable(variable), Const(by)) => {
            Value::Variable(Variable { spot: moved(variable.spot, by), ..variable })
        }
        (0x00, Value::Variable(variable), _) | (0x00, _, Value::Variable(variable)) => {
            Value::Variable(Variable { spot: indexed(variable.spot), ..variable })
        }
        _ => Unknown,
    }
}

fn is_address(value: Value) -> bool {
    matches!(value, Value::Element(..) | Value::Variable(_) | Value::Stack(_) | Value::Map(_))
}
