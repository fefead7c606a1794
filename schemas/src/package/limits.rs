// SPDX-License-Identifier: MIT
//! Limits the memory that reading a package takes. Before anything is built from a text, one pass
//! counts its contents and keeps nothing: a value of two bytes can take hundreds in memory.
//!
//! The limits keep `ecli run` below four times the size of the text plus 20 MB: 6 MB for itself, up
//! to 6 MB for the description, and the rest for the unpacked contents. tests/tests/memory.rs
//! measures it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::PackageError;

/// The largest `package.json`, in bytes.
pub const MAX_PACKAGE_SIZE: u64 = 64 << 20;

/// The largest number of keys and values of a package. The tracers in `examples/` have up to 400.
/// One takes up to 340 bytes during reading, in objects with one key each.
pub const MAX_VALUES: usize = 1 << 14;

/// The depth to which arrays and objects may be nested.
pub const MAX_DEPTH: usize = 64;

/// The longest key in bytes, and the longest string outside `bpf_object`, the variants, the modules, and unknown
/// keys of the package: messages and help texts hold several copies.
pub const MAX_TEXT: usize = 64 << 10;

/// The largest object of a package, uncompressed, in bytes. The largest public tracers have about 1
/// MiB.
pub const MAX_OBJECT_SIZE: u64 = 64 << 20;

/// The number of objects for other instruction sets. Together they are at most as large as one
/// object.
pub const MAX_VARIANTS: usize = 4;

/// The largest Wasm module of a package, uncompressed, in bytes.
pub const MAX_MODULE_SIZE: u64 = 32 << 20;

/// The total size of the modules of a package, uncompressed, in bytes.
pub const MAX_MODULES_SIZE: u64 = 64 << 20;

/// The number of modules of a package.
pub const MAX_MODULES: usize = 64;

/// The variants, the modules and three times the object may have this total size in any package, in
/// bytes.
pub const FREE_UNPACKED: u64 = 7 << 20;

/// The total size that the variants, the modules and three times the object may have in a package of `size`
/// bytes: three times as much, plus [`FREE_UNPACKED`]. Loading keeps several copies of an object.
/// Objects unpack to two or three times their text, so objects of up to 3.5 MiB always fit.
#[must_use]
pub const fn most_unpacked(text: u64) -> u64 {
    FREE_UNPACKED.saturating_add(text.saturating_mul(3))
}

/// The kind of a text, by its keys.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// It has `bpf_object`.
    pub has_object: bool,
    /// It has `bpf_skel`.
    pub has_skeleton: bool,
    values: usize,
    excess: Option<Excess>,
}

/// The limit that is exceeded.
#[derive(Debug, Clone, Copy)]
enum Excess {
    Values,
    Depth,
    Text(usize),
}

/// Checks a text.
///
/// # Errors
/// The text is not JSON, or exceeds a limit.
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

/// The position of a value, as far as it decides the length of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonLevel {
    /// The top level.
    Package,
    /// `bpf_object_variants`.
    Variants,
    /// An object in `bpf_object_variants`.
    Variant,
    /// `wasm_modules`.
    Modules,
    /// A module in `wasm_modules`.
    Module,
    /// Content that no message quotes and that is held once.
    Long,
    /// Anything else.
    Short,
}

impl JsonLevel {
    /// The position of an element of an array.
    fn element(self) -> JsonLevel {
        match self {
            JsonLevel::Variants => JsonLevel::Variant,
            JsonLevel::Modules => JsonLevel::Module,
            JsonLevel::Long => JsonLevel::Long,
            _ => JsonLevel::Short,
        }
    }

    /// The position of the value of a key.
    fn member(self, key: &str) -> JsonLevel {
        match (self, key) {
            (JsonLevel::Package, "meta" | "bpf_object_size") => JsonLevel::Short,
            (JsonLevel::Package, "bpf_object_variants") => JsonLevel::Variants,
            (JsonLevel::Package, "wasm_modules") => JsonLevel::Modules,
            (JsonLevel::Package | JsonLevel::Long, _)
            | (JsonLevel::Variant, "bpf_object")
            | (JsonLevel::Module, "module") => JsonLevel::Long,
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

/// A value to check.
struct Node<'o> {
    outline: &'o mut Outline,
    place: JsonLevel,
    /// The depth of arrays and objects around it.
    depth: usize,
}

impl Node<'_> {
    /// The position of its contents.
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

/// A key, which decides the position of its value.
struct Key<'o> {
    outline: &'o mut Outline,
    /// The position of its object.
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
