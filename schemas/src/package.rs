// SPDX-License-Identifier: MIT
//! `package.json`: an ELF object (zlib, then base64) with its [`Meta`].
//!
//! A package comes from anywhere, so everything here has a limit: the text's size, the object's
//! size, and what the zlib stream may grow to.

use std::borrow::Cow;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::Meta;

/// The largest `package.json` that is read, in bytes.
pub const MAX_PACKAGE_SIZE: u64 = 64 << 20;

/// The largest object that a package may hold, uncompressed, in bytes. The biggest public tracers
/// are about 1 MiB.
pub const MAX_OBJECT_SIZE: u64 = 64 << 20;

/// The largest Wasm module that a package may hold, uncompressed, in bytes.
pub const MAX_MODULE_SIZE: u64 = 32 << 20;

/// The bytes that all modules of a package may have together, uncompressed.
pub const MAX_MODULES_SIZE: u64 = 64 << 20;

/// The modules that a package may hold.
pub const MAX_MODULES: usize = 64;

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

/// Why a text is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The text is larger than [`MAX_PACKAGE_SIZE`].
    #[error("the package has {size} bytes; at most {MAX_PACKAGE_SIZE} are read")]
    TooLarge {
        /// Size of the text in bytes.
        size: u64,
    },
    /// The text is no JSON at all.
    #[error("not JSON: {0}")]
    NotJson(serde_json::Error),
    /// JSON, but a key is missing or has a wrong type.
    #[error("`{path}`: {error}")]
    BadKey {
        /// Where, as `meta.bpf_skel.maps[1]`.
        path: String,
        /// What is wrong there.
        error: serde_json::Error,
    },
    /// JSON that is the meta data alone.
    #[error("this is the description alone (`X.skel.json`), without the BPF object")]
    SkeletonOnly,
    /// `bpf_object` is not base64.
    #[error("`bpf_object`: not base64: {0}")]
    Base64(base64::DecodeError),
    /// `bpf_object` is not a zlib stream, or it ends early.
    #[error("`bpf_object`: not a zlib stream: {0}")]
    Zlib(std::io::Error),
    /// `bpf_object_size` is over [`MAX_OBJECT_SIZE`].
    #[error("`bpf_object_size`: {size} bytes; at most {MAX_OBJECT_SIZE} are taken")]
    ObjectTooLarge {
        /// The size that the package states.
        size: u64,
    },
    /// A module of `wasm_modules` can not be unpacked.
    #[error("`wasm_modules`: `{name}`: {what}")]
    BadModule {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// There are more modules than [`MAX_MODULES`], or they are larger than [`MAX_MODULES_SIZE`].
    #[error(
        "`wasm_modules`: {count} modules of {size} bytes; at most {MAX_MODULES} of \
         {MAX_MODULES_SIZE} bytes together are taken"
    )]
    TooManyModules {
        /// How many there are.
        count: usize,
        /// The bytes that the package states for all of them.
        size: u64,
    },
    /// `bpf_object_size` is not the object's size.
    #[error(
        "`bpf_object_size` says {stated} bytes, but `bpf_object` holds {}{found}",
        if *.found > *.stated { "at least " } else { "" }
    )]
    SizeMismatch {
        /// The size that the package states.
        stated: u64,
        /// The size that was found, or, where it is larger, what was read before giving up.
        found: u64,
    },
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
    /// See [`PackageError`]. Memory stays within a small multiple of the text's size plus
    /// [`MAX_OBJECT_SIZE`] and [`MAX_MODULES_SIZE`], whatever the text says.
    pub fn decode(text: &[u8]) -> Result<Package, PackageError> {
        if text.len() as u64 > MAX_PACKAGE_SIZE {
            return Err(PackageError::TooLarge { size: text.len() as u64 });
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        // Where an error is, is tracked from the beginning: to read again with it would be a second
        // copy of all this code.
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        let wire = Wire::deserialize(tracked);
        let wire = wire.and_then(|wire| json.end().map(|()| wire));
        let wire = wire.map_err(|error| explain(text, error, &track.path().to_string()))?;
        if wire.bpf_object_size > MAX_OBJECT_SIZE {
            return Err(PackageError::ObjectTooLarge { size: wire.bpf_object_size });
        }
        let packed = STANDARD.decode(wire.bpf_object.as_bytes()).map_err(PackageError::Base64)?;
        let stated = wire.bpf_object_size;
        let object = inflate(&packed, stated).map_err(PackageError::Zlib)?;
        if object.len() as u64 != stated {
            return Err(PackageError::SizeMismatch { stated, found: object.len() as u64 });
        }
        // One that is too large by itself is told by its name, below.
        let size = |module: &WireModule<'_>| module.module_size.min(MAX_MODULE_SIZE + 1);
        check_modules(wire.wasm_modules.iter().map(size))?;
        let wasm = wire.wasm_modules.into_iter().map(unpacked).collect::<Result<_, _>>()?;
        Ok(Package { object, meta: wire.meta, wasm, other: wire.other })
    }

    /// Writes the text of a `package.json`. The same package always gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let module = |wasm: &WasmModule| WireModule {
            name: wasm.name.clone(),
            module: packed(&wasm.module).into(),
            module_size: wasm.module.len() as u64,
        };
        let wire = Wire {
            bpf_object: packed(&self.object).into(),
            bpf_object_size: self.object.len() as u64,
            meta: self.meta.clone(),
            wasm_modules: self.wasm.iter().map(module).collect(),
            other: self.other.clone(),
        };
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

/// Bytes as a zlib stream in base64.
fn packed(bytes: &[u8]) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let packed = zlib.write_all(bytes).and_then(|()| zlib.finish()).unwrap_or_default();
    STANDARD.encode(packed)
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
    if module_size > MAX_MODULE_SIZE {
        return Err(bad(format!("{module_size} bytes; at most {MAX_MODULE_SIZE} are taken")));
    }
    let packed = STANDARD.decode(module.as_bytes()).map_err(|e| bad(format!("not base64: {e}")))?;
    let module = inflate(&packed, module_size);
    let module = module.map_err(|error| bad(format!("not a zlib stream: {error}")))?;
    if module.len() as u64 != module_size {
        return Err(bad(format!("`module_size` says {module_size} bytes, which it does not have")));
    }
    Ok(WasmModule { name, module })
}

/// Inflates at most `size` bytes (and one, to see that there are more).
fn inflate(packed: &[u8], size: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size as usize);
    ZlibDecoder::new(packed).take(size + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells apart no JSON, JSON of a known other kind, and a wrong or missing key.
fn explain(text: &[u8], error: serde_json::Error, path: &str) -> PackageError {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(text) {
        return PackageError::NotJson(error);
    }
    if let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(text)
        && map.contains_key("bpf_skel")
        && !map.contains_key("bpf_object")
    {
        return PackageError::SkeletonOnly;
    }
    let path = if path == "." { "package" } else { path };
    PackageError::BadKey { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let meta = serde_json::json!({"bpf_skel": {"obj_name": "x_bpf", "data_sections": []}});
        Package {
            object: vec![7; 5000],
            meta: serde_json::from_value(meta).unwrap(),
            wasm: Vec::new(),
            other: Map::new(),
        }
    }

    #[test]
    fn modules_are_packed_and_checked() {
        let module = WasmModule { name: "post.wasm".into(), module: b"\0asm and more".to_vec() };
        let with = Package { wasm: vec![module.clone()], ..package() };
        assert_eq!(Package::decode(with.encode().as_bytes()).unwrap().wasm, [module]);
        assert!(!package().encode().contains("wasm_modules"));
        let text = with.encode();
        for (from, to) in [
            ("\"module_size\":13", "\"module_size\":12"),
            ("\"module_size\":13", "\"module_size\":14"),
            ("\"module_size\":13", "\"module_size\":99999999999"),
            ("\"module\":\"", "\"module\":\"%"),
        ] {
            assert!(text.contains(from));
            let error = Package::decode(text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains("`post.wasm`"), "{error}");
        }
    }

    #[test]
    fn many_modules_are_refused_before_they_are_unpacked() {
        let module = |len: usize| WasmModule { name: "m.wasm".to_owned(), module: vec![0; len] };
        let of = |modules| Package { wasm: modules, ..package() }.encode();
        // Each of them may be that large, all together may not.
        let bomb = of(vec![module(MAX_MODULE_SIZE as usize); 3]);
        assert!(bomb.len() < 1 << 20);
        let error = Package::decode(bomb.as_bytes()).unwrap_err();
        assert!(matches!(error, PackageError::TooManyModules { count: 3, .. }), "{error}");
        let error = Package::decode(of(vec![module(8); MAX_MODULES + 1]).as_bytes()).unwrap_err();
        assert!(matches!(error, PackageError::TooManyModules { .. }), "{error}");
        assert!(Package::decode(of(vec![module(8); MAX_MODULES]).as_bytes()).is_ok());
    }

    fn changed(change: impl FnOnce(&mut Map<String, Value>)) -> Result<Package, PackageError> {
        let mut json: Value = serde_json::from_str(&package().encode()).unwrap();
        change(json.as_object_mut().unwrap());
        Package::decode(json.to_string().as_bytes())
    }

    #[test]
    fn a_package_survives_encoding() {
        let back = Package::decode(package().encode().as_bytes()).unwrap();
        assert_eq!(back.object, package().object);
        assert_eq!(back.meta.bpf_skel.obj_name, "x_bpf");
        assert_eq!(back.encode(), package().encode());
    }

    #[test]
    fn a_lying_size_is_refused_both_ways() {
        for stated in [4999, 5001] {
            let error = changed(|p| p["bpf_object_size"] = stated.into()).unwrap_err();
            assert!(matches!(error, PackageError::SizeMismatch { .. }), "{error}");
        }
    }

    #[test]
    fn a_decompression_bomb_stops_at_the_stated_size() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&vec![0; 32 << 20]).unwrap();
        let bomb = STANDARD.encode(zlib.finish().unwrap());
        let error = changed(|p| {
            p["bpf_object"] = bomb.into();
            p["bpf_object_size"] = 1000.into();
        })
        .unwrap_err();
        assert!(
            matches!(error, PackageError::SizeMismatch { stated: 1000, found: 1001 }),
            "{error}"
        );
        let error = changed(|p| p["bpf_object_size"] = (1u64 << 40).into()).unwrap_err();
        assert!(matches!(error, PackageError::ObjectTooLarge { .. }), "{error}");
    }

    #[test]
    fn a_text_over_the_limit_is_refused_unread() {
        let text = vec![b' '; MAX_PACKAGE_SIZE as usize + 1];
        assert!(matches!(Package::decode(&text), Err(PackageError::TooLarge { .. })));
    }

    #[test]
    fn each_missing_key_is_named_with_its_place() {
        for key in ["bpf_object", "bpf_object_size", "meta"] {
            let error = changed(|p| drop(p.remove(key))).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{key}`")), "{error}");
        }
        let error = changed(|p| p["meta"] = serde_json::json!({})).unwrap_err().to_string();
        assert!(error.contains("`meta`") && error.contains("missing field `bpf_skel`"), "{error}");
        let error = changed(|p| {
            p["meta"]["bpf_skel"]["maps"] =
                serde_json::json!([{"name": "a", "ident": "a"}, {"name": "b"}]);
        })
        .unwrap_err()
        .to_string();
        assert!(error.contains("meta.bpf_skel.maps[1]"), "{error}");
        assert!(error.contains("missing field `ident`"), "{error}");
    }

    #[test]
    fn corrupt_data_is_named() {
        assert!(matches!(Package::decode(b"hello"), Err(PackageError::NotJson(_))));
        assert!(matches!(Package::decode(b""), Err(PackageError::NotJson(_))));
        assert!(Package::decode(b"{} {}").is_err());
        let error = changed(|p| {
            p["meta"]["bpf_skel"]["maps"] = serde_json::json!([
            {"name": "m", "ident": "m", "sample": {"interval": 1, "type": 5}}])
        });
        assert!(matches!(error, Err(PackageError::BadKey { .. })), "{error:?}");
        assert!(matches!(Package::decode(b"[1]"), Err(PackageError::BadKey { .. })));
        let error = changed(|p| p["bpf_object"] = "%%%".into()).unwrap_err();
        assert!(matches!(error, PackageError::Base64(_)), "{error}");
        let error = changed(|p| p["bpf_object"] = STANDARD.encode("no zlib").into()).unwrap_err();
        assert!(matches!(error, PackageError::Zlib(_)), "{error}");
        let skeleton = serde_json::to_string(&package().meta).unwrap();
        assert!(matches!(Package::decode(skeleton.as_bytes()), Err(PackageError::SkeletonOnly)));
    }

    #[test]
    fn unknown_keys_are_kept_at_every_level() {
        let text = serde_json::json!({
            "bpf_object": STANDARD.encode([0x78, 0x9c, 3, 0, 0, 0, 0, 1]), "bpf_object_size": 0,
            "x1": 1,
            "meta": {"x2": 2, "export_types": [{"name": "e", "size": 4, "type_id": 1, "x3": 3,
                "members": [{"name": "a", "type": "int", "x4": 4}]}],
              "bpf_skel": {"x5": 5, "obj_name": "a_bpf", "doc": {"brief": "b", "x6": 6},
                "data_sections": [{"name": ".rodata", "x7": 7, "variables": [
                    {"name": "v", "type": "int", "x8": 8, "cmdarg": {"short": "p", "x9": 9}}]}],
                "maps": [{"name": "m", "ident": "m", "x10": 10, "sample": {"interval": 1, "x11": 11}}],
                "progs": [{"name": "p", "attach": "tp/a/b", "link": true, "x12": 12}]}}
        });
        let back: Value =
            serde_json::from_str(&Package::decode(text.to_string().as_bytes()).unwrap().encode())
                .unwrap();
        let text = back.to_string();
        for n in 1..=12 {
            assert!(text.contains(&format!("\"x{n}\":{n}")), "x{n} was lost: {text}");
        }
    }
}
