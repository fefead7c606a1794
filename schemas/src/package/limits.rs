// SPDX-License-Identifier: MIT
//! What a package may cost whoever reads it. Before anything is built of a text, one pass over it
//! counts what it holds, and keeps nothing: a value of two bytes can take hundreds in memory.
//!
//! The limits keep `ecli run` below four times the text's size and 20 MB: 6 MB are its own, up to
//! 6 MB what the text describes, and the rest is what is unpacked. tests/tests/memory.rs measures it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::PackageError;

/// The largest `package.json` that is read, in bytes.
pub const MAX_PACKAGE_SIZE: u64 = 64 << 20;

/// Keys and values that a package may have together. The tracers of `examples/` have up to 400. One
/// takes up to 340 bytes while it is read, in objects with one key each.
pub const MAX_VALUES: usize = 1 << 14;

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 64;

/// Bytes of a key, and of a string anywhere but in `bpf_object`, the modules, and below unknown keys
/// of the package: messages and help texts hold these several times.
pub const MAX_TEXT: usize = 64 << 10;

/// The largest object that a package may hold, uncompressed, in bytes. The biggest public tracers
/// are about 1 MiB.
pub const MAX_OBJECT_SIZE: u64 = 64 << 20;

/// The largest Wasm module that a package may hold, uncompressed, in bytes.
pub const MAX_MODULE_SIZE: u64 = 32 << 20;

/// The bytes that all modules of a package may have together, uncompressed.
pub const MAX_MODULES_SIZE: u64 = 64 << 20;

/// The modules that a package may hold.
pub const MAX_MODULES: usize = 64;

/// What modules, and three times the object, may have in any package, in bytes.
pub const FREE_UNPACKED: u64 = 7 << 20;

/// What modules, and three times the object, may have in a package of so many bytes: three times as
/// many, and [`FREE_UNPACKED`]. An object is in memory several times while it is loaded. Objects
/// unpack to two or three times their text, so that those of up to 3.5 MiB always fit.
#[must_use]
pub const fn most_unpacked(text: u64) -> u64 {
    FREE_UNPACKED.saturating_add(text.saturating_mul(3))
}

/// What a text is, as its keys tell.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// It has `bpf_object`.
    pub has_object: bool,
    /// It has `bpf_skel`.
    pub has_skeleton: bool,
    values: usize,
    excess: Option<Excess>,
}

/// Which limit is not kept.
#[derive(Debug, Clone, Copy)]
enum Excess {
    Values,
    Depth,
    Text(usize),
}

/// Goes through a text.
///
/// # Errors
/// When it is not JSON, or more than is taken.
pub(super) fn outline(text: &[u8]) -> Result<Outline, PackageError> {
    let mut outline = Outline::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    let node = Node { outline: &mut outline, place: JsonLevel::Package, depth: 0 };
    let Err(error) = node.deserialize(&mut json).and_then(|()| json.end()) else {
        return Ok(outline);
    };
    let (line, column) = (error.line(), error.column());
    Err(match outline.excess {
        Some(Excess::Values) => PackageError::TooManyValues { line, column },
        Some(Excess::Depth) => PackageError::TooDeep { line, column },
        Some(Excess::Text(size)) => PackageError::TextTooLong { size, line, column },
        None => PackageError::NotJson(error),
    })
}

/// Where a value is, as far as that decides how long a string may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonLevel {
    /// The whole.
    Package,
    /// `wasm_modules`.
    Modules,
    /// A module there.
    Module,
    /// What no message quotes, and is held once.
    Long,
    /// Anything else.
    Short,
}

impl JsonLevel {
    /// The place of an element of an array.
    fn element(self) -> JsonLevel {
        match self {
            JsonLevel::Modules => JsonLevel::Module,
            JsonLevel::Long => JsonLevel::Long,
            _ => JsonLevel::Short,
        }
    }

    /// The place of what has this key.
    fn member(self, key: &str) -> JsonLevel {
        match (self, key) {
            (JsonLevel::Package, "meta" | "bpf_object_size") => JsonLevel::Short,
            (JsonLevel::Package, "wasm_modules") => JsonLevel::Modules,
            (JsonLevel::Package, _) | (JsonLevel::Module, "module") | (JsonLevel::Long, _) => {
                JsonLevel::Long
            }
            _ => JsonLevel::Short,
        }
    }
}

impl Outline {
    fn refuse<E: Error>(&mut self, excess: Excess) -> E {
        self.excess = Some(excess);
        E::custom("over a limit")
    }

    /// Counts a key or a value.
    fn count<E: Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(self.refuse(Excess::Values)) } else { Ok(()) }
    }

    fn check_text<E: Error>(&mut self, place: JsonLevel, size: usize) -> Result<(), E> {
        match size > MAX_TEXT && place != JsonLevel::Long {
            true => Err(self.refuse(Excess::Text(size))),
            false => Ok(()),
        }
    }
}

/// A value that is gone through.
struct Node<'o> {
    outline: &'o mut Outline,
    place: JsonLevel,
    /// Arrays and objects that it is in.
    depth: usize,
}

impl Node<'_> {
    /// What is inside of it.
    fn inner(&mut self, place: JsonLevel) -> Node<'_> {
        Node { outline: self.outline, place, depth: self.depth + 1 }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        match self.depth == MAX_DEPTH {
            true => Err(self.outline.refuse(Excess::Depth)),
            false => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.outline.count()?;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.outline.check_text(self.place, text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        self.enter()?;
        let place = self.place.element();
        while array.next_element_seed(self.inner(place))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        self.enter()?;
        loop {
            let key = Key { outline: self.outline, place: self.place };
            let Some(place) = object.next_key_seed(key)? else { return Ok(()) };
            object.next_value_seed(self.inner(place))?;
        }
    }
}

/// A key, which decides about its value's place.
struct Key<'o> {
    outline: &'o mut Outline,
    /// Of the object that it is in.
    place: JsonLevel,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = JsonLevel;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<JsonLevel, D::Error> {
        self.outline.count()?;
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = JsonLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<JsonLevel, E> {
        self.outline.check_text(JsonLevel::Short, key.len())?;
        if self.place == JsonLevel::Package {
            self.outline.has_object |= key == "bpf_object";
            self.outline.has_skeleton |= key == "bpf_skel";
        }
        Ok(self.place.member(key))
    }
}
