// SPDX-License-Identifier: MIT
//! The known values in the stack frame of a function.

use std::collections::BTreeMap;

use super::value::Value;

/// Bytes of a key in which constants are known.
const KEY: i32 = 64;

/// Known values by their position, and their sizes. Narrow ones are constants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stack(BTreeMap<i32, (i32, Value)>);

impl Stack {
    /// The value of eight bytes.
    pub(crate) fn load(&self, at: i32) -> Value {
        match self.0.get(&at) {
            Some((8, value)) => *value,
            _ => Value::Unknown,
        }
    }

    /// Writes a value.
    pub(crate) fn store(&mut self, at: i32, size: i32, value: Value) {
        // No program has a larger stack.
        if !(-512..0).contains(&at) {
            return;
        }
        let before = self.0.range(at - 7..at + size);
        let hit: Vec<i32> = before.filter(|it| it.0 + it.1.0 > at).map(|it| *it.0).collect();
        for held in hit {
            self.0.remove(&held);
        }
        let is_kept = if size == 8 { value != Value::Unknown } else { value.is_constant() };
        if is_kept {
            self.0.insert(at, (size, value));
        }
    }

    /// Keeps what both know. Returns whether this one changed.
    pub(crate) fn join(&mut self, other: &Stack) -> bool {
        let before = self.0.len();
        self.0.retain(|at, value| other.0.get(at) == Some(value));
        self.0.len() != before
    }

    /// The constants in a key at a position, by their offset in it.
    pub(crate) fn constants(&self, at: i32) -> BTreeMap<i32, i64> {
        let inside = self.0.range(at..at.saturating_add(KEY));
        let constants = inside.filter_map(|(slot, (_, value))| match value {
            Value::Const(number) => Some((slot - at, *number)),
            _ => None,
        });
        constants.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_overwritten_is_forgotten() {
        let mut stack = Stack::default();
        stack.store(-16, 8, Value::Argument(1));
        stack.store(-8, 2, Value::Const(3));
        stack.store(-6, 1, Value::Const(4));
        stack.store(-5, 1, Value::Argument(2));
        assert_eq!((stack.load(-16), stack.load(-8)), (Value::Argument(1), Value::Unknown));
        assert_eq!(stack.constants(-8), BTreeMap::from([(0, 3), (2, 4)]));
        let mut other = stack.clone();
        other.store(-7, 1, Value::Const(0));
        assert_eq!(other.constants(-8), BTreeMap::from([(1, 0), (2, 4)]));
        assert!(stack.join(&other) && !stack.join(&other));
        assert_eq!(stack.constants(-16), BTreeMap::from([(10, 4)]));
        stack.store(-10, 8, Value::Unknown);
        assert_eq!(stack, Stack::default());
    }
}
