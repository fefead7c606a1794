// SPDX-License-Identifier: MIT
//! The known value of a register, and the effect of instructions on it.

use std::collections::BTreeSet;

/// The index of a symbol, or a number of [`Groups`].
pub(crate) type Symbol = usize;

/// The largest number of maps in a group. Beyond it, values are unknown.
const MAX_GROUP: usize = 16;

/// Groups of maps: where paths join, each of which has another map, a number stands for all. Compilers
/// share code that counts in different maps.
#[derive(Debug, Default)]
pub(crate) struct Groups(Vec<BTreeSet<Symbol>>);

impl Groups {
    /// The maps of a number; `None` if it is the symbol of a map.
    pub(crate) fn members(&self, map: Symbol) -> Option<&BTreeSet<Symbol>> {
        self.0.get(Symbol::MAX - map)
    }

    /// The number of a group with the maps of both.
    fn both(&mut self, a: Symbol, b: Symbol) -> Option<Symbol> {
        let of = |map| self.members(map).cloned().unwrap_or_else(|| BTreeSet::from([map]));
        let all: BTreeSet<Symbol> = of(a).into_iter().chain(of(b)).collect();
        let at = self.0.iter().position(|known| *known == all).unwrap_or(self.0.len());
        if at == self.0.len() && all.len() <= MAX_GROUP {
            self.0.push(all);
        }
        (at < self.0.len()).then(|| Symbol::MAX - at)
    }

    /// What two paths know.
    pub(crate) fn join(&mut self, a: Value, b: Value) -> Value {
        let joined = match (a, b) {
            _ if a == b => Some(a),
            (Value::Map(a), Value::Map(b)) => self.both(a, b).map(Value::Map),
            (Value::Element(a, spot), Value::Element(b, other)) if spot == other => {
                self.both(a, b).map(|both| Value::Element(both, spot))
            }
            (Value::Loaded(a), Value::Loaded(b)) => self.origin(a, b).map(Value::Loaded),
            (Value::Sum(a, one), Value::Sum(b, other)) => {
                self.origin(a, b).map(|both| Value::Sum(both, one && other))
            }
            _ => None,
        };
        joined.unwrap_or(Value::Unknown)
    }

    /// Where both come from.
    fn origin(&mut self, a: Origin, b: Origin) -> Option<Origin> {
        match (a, b) {
            _ if a == b => Some(a),
            (Origin::Element(a, spot), Origin::Element(b, other)) if spot == other => {
                self.both(a, b).map(|both| Origin::Element(both, spot))
            }
            _ => None,
        }
    }

    /// A value without groups.
    pub(crate) fn single(&self, value: Value) -> Value {
        match value {
            Value::Map(map) | Value::Element(map, _) if self.members(map).is_some() => {
                Value::Unknown
            }
            value => value,
        }
    }
}

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
    /// A value that was read there, with something added, and whether that is one.
    Sum(Origin, bool),
    /// An argument of the function, counted from 0.
    Argument(u8),
}

impl Value {
    pub(crate) fn is_constant(self) -> bool {
        matches!(self, Value::Const(_))
    }
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
        (0xb0, _, value @ (Loaded(_) | Sum(..))) => value,
        (0xb0, _, value) if is_wide => value,
        (0x00, Loaded(location), by) | (0x00, by, Loaded(location)) if !is_address(left) => {
            Sum(location, by == Const(1))
        }
        (0x00, Sum(location, _), _) => Sum(location, false),
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
