// SPDX-License-Identifier: MIT
//! `package.json`: an ELF object (zlib, then base64) with its [`Meta`].
//!
//! A package comes from anywhere, so [`limits`] has limits for all that it can hold.

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
    MAX_PACKAGE_SIZE, MAX_TEXT, MAX_VALUES, most_unpacked,
};

/// Characters of the path to a wrong key that are told.
const LONGEST_PATH: usize = 200;

/// A decoded package.
#[derive(Debug, Clone)]
pub struct Package {
    /// The ELF object, uncompressed.
    pub object: Vec<u8>,
    /// What the object's maps, programs and variables mean.
    pub meta: Meta,
    /// Wasm modules that see what is found before it is shown, in their order.
    pub wasm: Vec<WasmModule>,
    /// Keys beside those.
    pub other: Map<String, Value>,
}

/// A Wasm module of a package: runner/WASM.md has its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmModule {
    /// Its file's name.
    pub name: String,
    /// The module: binary, or text.
    pub module: Vec<u8>,
}

/// A module as it is written.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Wasm module"))]
pub(crate) struct WireModule<'a> {
    /// The name of its file, without folders.
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
    /// Size of the uncompressed ELF object in bytes. A package whose object has another size is
    /// refused.
    bpf_object_size: u64,
    /// What the object's maps, programs and variables mean.
    meta: Meta,
    /// Added by bpfpack, passed over by other loaders: Wasm modules that see what is found before it
    /// is shown, in their order.
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
    /// See [`PackageError`]. Memory stays below three times the text's size and 13 MB, whatever the
    /// text says.
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
        let wasm = wire.wasm_modules.into_iter().map(unpacked).collect::<Result<_, _>>()?;
        Ok(Package { object, meta: wire.meta, wasm, other: wire.other })
    }

    /// Whether a text is a package that is taken. What is packed in it is not looked at.
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
        let wire = Wire {
            bpf_object: pack(&self.object).into(),
            bpf_object_size: self.object.len() as u64,
            meta: self.meta.clone(),
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

/// Reads the keys of a text that is JSON and has no more values than are taken.
fn parse<'a>(text: &'a [u8], outline: &Outline) -> Result<Wire<'a>, PackageError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    // Where an error is, is tracked from the beginning: to read again with it would be a second
    // copy of all this code.
    let mut track = serde_path_to_error::Track::new();
    let wire = Wire::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    wire.map_err(|error| explain(outline, error, &track.path().to_string()))
}

/// Whether a package may hold modules of these sizes.
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

fn unpacked(wire: WireModule<'_>) -> Result<WasmModule, PackageError> {
    let WireModule { name, module, module_size } = wire;
    let bad = |what: String| PackageError::BadModule { name: name.clone(), what };
    let bytes = unpack(&module, module_size).map_err(|damage| bad(damage.to_string()))?;
    if bytes.len() as u64 != module_size {
        return Err(bad(format!(
            "`module_size` is {module_size} bytes, but the module has another size"
        )));
    }
    match module::check(&bytes) {
        Ok(()) => Ok(WasmModule { name, module: bytes }),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Whether what is stated to be packed is taken from a text of this size.
fn check_sizes(wire: &Wire<'_>, text: u64) -> Result<(), PackageError> {
    let object = wire.bpf_object_size;
    if object > MAX_OBJECT_SIZE {
        return Err(PackageError::ObjectTooLarge { size: object });
    }
    if let Some(large) = wire.wasm_modules.iter().find(|wire| wire.module_size > MAX_MODULE_SIZE) {
        let WireModule { name, module_size, .. } = large;
        let what = format!("{module_size} bytes; the limit is {MAX_MODULE_SIZE}");
        return Err(PackageError::BadModule { name: name.clone(), what });
    }
    let sizes = || wire.wasm_modules.iter().map(|module| module.module_size);
    check_modules(sizes())?;
    let modules = sizes().sum::<u64>();
    match 3 * object + modules > most_unpacked(text) {
        true => Err(PackageError::UnpacksTooLarge { object, modules, text }),
        false => Ok(()),
    }
}

/// Tells apart JSON of a known other kind, and a wrong or missing key.
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
