// SPDX-License-Identifier: MIT
//! `package.json`: an ELF object (zlib, then base64) with its [`Meta`].
//!
//! A package can come from anywhere, so [`limits`] limits everything in it.

mod error;
mod limits;
mod packed;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::Meta;
use crate::module;
use limits::Outline;
use packed::{Damage, pack, unpack};

pub use error::PackageError;
pub use limits::{
    FREE_UNPACKED, MAX_DEPTH, MAX_MODULE_SIZE, MAX_MODULES, MAX_MODULES_SIZE, MAX_OBJECT_SIZE,
    MAX_PACKAGE_SIZE, MAX_TEXT, MAX_VALUES, MAX_VARIANTS, most_unpacked,
};

/// The number of characters of the path to a wrong key that a message shows.
const LONGEST_PATH: usize = 200;

/// A decoded package.
#[derive(Debug, Clone)]
pub struct Package {
    /// The ELF object, uncompressed.
    pub object: Vec<u8>,
    /// The same object for other instruction sets, for kernels that refuse it.
    pub variants: Vec<Variant>,
    /// The meaning of the object's maps, programs and variables.
    pub meta: Meta,
    /// Wasm modules that receive all data before it is shown, in order.
    pub wasm: Vec<WasmModule>,
    /// Other keys.
    pub other: Map<String, Value>,
}

/// The same source, compiled for another instruction set. The verifiers of some kernels accept only
/// one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The instruction set, as in clang's `-mcpu`: `v2`.
    pub cpu: String,
    /// The ELF object, uncompressed.
    pub object: Vec<u8>,
}

/// A Wasm module of a package; runner/WASM.md specifies its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmModule {
    /// The name of its file.
    pub name: String,
    /// The module: binary, or text.
    pub module: Vec<u8>,
}

/// A variant in the wire format.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Object variant"))]
pub(crate) struct WireVariant<'a> {
    /// The instruction set, as in clang's `-mcpu`: `v2`.
    cpu: String,
    /// The ELF object: a zlib stream, in standard base64 with padding.
    #[serde(borrow)]
    bpf_object: Cow<'a, str>,
    /// Size of the uncompressed ELF object in bytes.
    bpf_object_size: u64,
}

/// A module in the wire format.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Wasm module"))]
pub(crate) struct WireModule<'a> {
    /// The name of its file, without directories.
    name: String,
    /// The module: a zlib stream, in standard base64 with padding.
    #[serde(borrow)]
    module: Cow<'a, str>,
    /// Size of the uncompressed module in bytes.
    module_size: u64,
}

/// The keys of the wire format.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "package.json"))]
pub(crate) struct Wire<'a> {
    /// The ELF object: a zlib stream, in standard base64 with padding.
    #[serde(borrow)]
    bpf_object: Cow<'a, str>,
    /// Size of the uncompressed ELF object in bytes. A package with an object of another size is
    /// refused.
    bpf_object_size: u64,
    /// The meaning of the object's maps, programs and variables.
    meta: Meta,
    /// bpfpack: the same object for other instruction sets, for kernels that refuse the first. Other
    /// loaders ignore them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bpf_object_variants: Vec<WireVariant<'a>>,
    /// bpfpack: Wasm modules that receive all data before it is shown, in order. Other loaders
    /// ignore them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wasm_modules: Vec<WireModule<'a>>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Package {
    /// Reads the text of a `package.json`.
    ///
    /// # Errors
    /// See [`PackageError`]. Reading takes less than three times the size of the text plus 13 MB of
    /// memory, whatever the text contains.
    pub fn decode(text: &[u8]) -> Result<Package, PackageError> {
        let wire = read(text)?;
        let stated = wire.bpf_object_size;
        let object = unpack(&wire.bpf_object, stated).map_err(|damage| match damage {
            Damage::Base64(error) => PackageError::Base64(error),
            Damage::Zlib(error) => PackageError::Zlib(error),
        })?;
        if object.len() as u64 != stated {
            return Err(PackageError::SizeMismatch { stated, found: object.len() as u64 });
        }
        let variants =
            wire.bpf_object_variants.into_iter().map(unpacked_variant).collect::<Result<_, _>>()?;
        let wasm = wire.wasm_modules.into_iter().map(unpacked).collect::<Result<_, _>>()?;
        Ok(Package { object, variants, meta: wire.meta, wasm, other: wire.other })
    }

    /// Checks that a text is an acceptable package. Its packed contents are not read.
    ///
    /// # Errors
    /// As [`Package::decode`].
    pub fn check(text: &[u8]) -> Result<(), PackageError> {
        read(text).map(drop)
    }

    /// Writes the text of a `package.json`. The same package always gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let module = |wasm: &WasmModule| WireModule {
            name: wasm.name.clone(),
            module: pack(&wasm.module).into(),
            module_size: wasm.module.len() as u64,
        };
        let variant = |variant: &Variant| WireVariant {
            cpu: variant.cpu.clone(),
            bpf_object: pack(&variant.object).into(),
            bpf_object_size: variant.object.len() as u64,
        };
        let wire = Wire {
            bpf_object: pack(&self.object).into(),
            bpf_object_size: self.object.len() as u64,
            meta: self.meta.clone(),
            bpf_object_variants: self.variants.iter().map(variant).collect(),
            wasm_modules: self.wasm.iter().map(module).collect(),
            other: self.other.clone(),
        };
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

/// Reads the keys of a text that is within the limits.
fn read(text: &[u8]) -> Result<Wire<'_>, PackageError> {
    let len = text.len() as u64;
    if len > MAX_PACKAGE_SIZE {
        return Err(PackageError::TooLarge { size: len });
    }
    let outline = limits::outline(text)?;
    let wire = parse(text, &outline)?;
    check_sizes(&wire, len)?;
    Ok(wire)
}

/// Reads the keys of a text that is JSON and within the limit on values.
fn parse<'a>(text: &'a [u8], outline: &Outline) -> Result<Wire<'a>, PackageError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    // The location of an error is tracked from the start: reading the text again to find it would
    // need a second copy of this code.
    let mut track = serde_path_to_error::Track::new();
    let wire = Wire::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    wire.map_err(|error| explain(outline, error, &track.path().to_string()))
}

/// Checks that a package may hold modules of these sizes.
///
/// # Errors
/// [`PackageError::TooManyModules`].
pub fn check_modules(sizes: impl Iterator<Item = u64>) -> Result<(), PackageError> {
    let (mut count, mut sum) = (0, 0u64);
    for size in sizes {
        count += 1;
        sum = sum.saturating_add(size);
    }
    match count > MAX_MODULES || sum > MAX_MODULES_SIZE {
        true => Err(PackageError::TooManyModules { count, size: sum }),
        false => Ok(()),
    }
}

/// Unpacks what has this size, which `key` states.
///
/// # Errors
/// Returns what is wrong with it.
fn unpack_whole(packed: &str, size: u64, (key, what): (&str, &str)) -> Result<Vec<u8>, String> {
    let bytes = unpack(packed, size).map_err(|damage| damage.to_string())?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(format!("`{key}` is {size} bytes, but the {what} has another size")),
    }
}

fn unpacked(wire: WireModule<'_>) -> Result<WasmModule, PackageError> {
    let WireModule { name, module, module_size } = wire;
    let bytes = unpack_whole(&module, module_size, ("module_size", "module"));
    let checked =
        bytes.and_then(|bytes| module::check(&bytes).map(|()| bytes).map_err(|it| it.to_string()));
    match checked {
        Ok(module) => Ok(WasmModule { name, module }),
        Err(what) => Err(PackageError::BadModule { name, what }),
    }
}

/// Whether a text can be the name of an instruction set.
fn is_cpu(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=16).contains(&text.len()) && text.bytes().all(is_of_name)
}

fn unpacked_variant(wire: WireVariant<'_>) -> Result<Variant, PackageError> {
    let WireVariant { cpu, bpf_object, bpf_object_size } = wire;
    match unpack_whole(&bpf_object, bpf_object_size, ("bpf_object_size", "object")) {
        Ok(object) => Ok(Variant { cpu, object }),
        Err(what) => Err(PackageError::BadVariant { cpu, what }),
    }
}

/// Checks the stated sizes of packed contents against the size of the text.
fn check_sizes(wire: &Wire<'_>, text: u64) -> Result<(), PackageError> {
    let object = wire.bpf_object_size;
    if object > MAX_OBJECT_SIZE {
        return Err(PackageError::ObjectTooLarge { size: object });
    }
    let variants = || wire.bpf_object_variants.iter().map(|wire| wire.bpf_object_size);
    let (count, size) =
        (wire.bpf_object_variants.len(), variants().fold(0u64, u64::saturating_add));
    if count > MAX_VARIANTS || size > MAX_OBJECT_SIZE {
        return Err(PackageError::TooManyVariants { count, size });
    }
    for (at, variant) in wire.bpf_object_variants.iter().enumerate() {
        let same = |other: &WireVariant<'_>| other.cpu == variant.cpu;
        let what = match () {
            () if !is_cpu(&variant.cpu) => "the name is not 1 to 16 of a-z and 0-9",
            () if wire.bpf_object_variants[..at].iter().any(same) => "it is there twice",
            () => continue,
        };
        return Err(PackageError::BadVariant { cpu: variant.cpu.clone(), what: what.to_owned() });
    }
    if let Some(large) = wire.wasm_modules.iter().find(|wire| wire.module_size > MAX_MODULE_SIZE) {
        let WireModule { name, module_size, .. } = large;
        let what = format!("{module_size} bytes; the limit is {MAX_MODULE_SIZE}");
        return Err(PackageError::BadModule { name: name.clone(), what });
    }
    let sizes = || wire.wasm_modules.iter().map(|module| module.module_size);
    check_modules(sizes())?;
    // One of the objects is loaded; the others are held as they are.
    let object = object.max(variants().max().unwrap_or(0));
    let others = wire.bpf_object_size + size - object + sizes().sum::<u64>();
    match 3 * object + others > most_unpacked(text) {
        true => Err(PackageError::UnpacksTooLarge { object, others, text }),
        false => Ok(()),
    }
}

/// Distinguishes JSON of another known kind from a wrong or missing key.
fn explain(outline: &Outline, error: serde_json::Error, path: &str) -> PackageError {
    if outline.has_skeleton && !outline.has_object {
        return PackageError::SkeletonOnly;
    }
    let path = match path.char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None if path == "." => "package".to_owned(),
        None => path.to_owned(),
    };
    PackageError::BadKey { path, error }
}

#[cfg(test)]
mod tests;
