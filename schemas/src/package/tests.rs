// SPDX-License-Identifier: MIT
//! Valid packages, and packages that are refused.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;

fn package() -> Package {
    let meta = serde_json::json!({"bpf_skel": {"obj_name": "x_bpf", "data_sections": []}});
    Package {
        object: vec![7; 5000],
        variants: Vec::new(),
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
fn variants_are_packed_and_checked() {
    let variant = Variant { cpu: "v2".into(), object: vec![8; 4000] };
    let with = Package { variants: vec![variant.clone()], ..package() };
    let text = with.encode();
    assert_eq!(Package::decode(text.as_bytes()).unwrap().variants, std::slice::from_ref(&variant));
    assert!(!package().encode().contains("bpf_object_variants"));
    for (from, to) in [
        ("\"bpf_object_size\":4000", "\"bpf_object_size\":3999"),
        ("\"bpf_object_size\":4000", "\"bpf_object_size\":4001"),
        ("\"v2\",\"bpf_object\":\"", "\"v2\",\"bpf_object\":\"%"),
    ] {
        assert!(text.contains(from), "{text}");
        let error = Package::decode(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("`bpf_object_variants`: `v2`"), "{error}");
    }
    let large = text.replace("\"bpf_object_size\":4000", "\"bpf_object_size\":99999999999");
    assert!(Package::decode(large.as_bytes()).unwrap_err().is_limit());
    let many = Package { variants: vec![variant.clone(); MAX_VARIANTS + 1], ..package() };
    let error = Package::decode(many.encode().as_bytes()).unwrap_err();
    assert!(matches!(error, PackageError::TooManyVariants { count: 5, .. }), "{error}");
    for bad in ["", "V2", "v2\n", "a-name-of-many-letters"] {
        let error =
            Package::decode(text.replace("\"v2\"", &serde_json::json!(bad).to_string()).as_bytes());
        assert!(matches!(error.unwrap_err(), PackageError::BadVariant { .. }), "{bad:?}");
    }
    let twice = Package { variants: vec![variant.clone(), variant.clone()], ..package() };
    let error = Package::decode(twice.encode().as_bytes()).unwrap_err();
    assert!(error.to_string().ends_with("it is there twice"), "{error}");
    // Any of the objects may be the one that is loaded, of which there are several copies.
    let zeros = Variant { cpu: "v2".into(), object: vec![0; 3 << 20] };
    let large = Package { variants: vec![zeros], ..package() };
    let error = Package::decode(large.encode().as_bytes()).unwrap_err();
    assert!(matches!(error, PackageError::UnpacksTooLarge { .. }), "{error}");
}

#[test]
fn many_modules_are_refused_before_they_are_unpacked() {
    let module = |len: usize| WasmModule { name: "m.wasm".to_owned(), module: vec![0; len] };
    let of = |modules| Package { wasm: modules, ..package() }.encode();
    // Each of them may be this large, but not all together.
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
    assert!(matches!(error, PackageError::SizeMismatch { stated: 1000, found: 1001 }), "{error}");
    let error = changed(|p| p["bpf_object_size"] = (1u64 << 40).into()).unwrap_err();
    assert!(matches!(error, PackageError::ObjectTooLarge { .. }), "{error}");
}

#[test]
fn a_text_over_the_limit_is_refused_unread() {
    let text = vec![b' '; MAX_PACKAGE_SIZE as usize + 1];
    assert!(matches!(Package::decode(&text), Err(PackageError::TooLarge { .. })));
}

fn set(package: &mut Map<String, Value>, key: &str, value: Value) {
    package.insert(key.to_owned(), value);
}

/// A text with keys in addition to those of a valid package.
fn with(more: &str) -> String {
    let text = package().encode();
    format!("{},{more}}}", text.strip_suffix('}').unwrap())
}

/// The number of keys and values in a value, including itself.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(array) => 1 + array.iter().map(count).sum::<usize>(),
        Value::Object(object) => 1 + object.values().map(|value| 1 + count(value)).sum::<usize>(),
        _ => 1,
    }
}

#[test]
fn only_so_many_keys_and_values_are_taken() {
    let own = count(&serde_json::from_str(&with("\"x\":[]")).unwrap());
    let of = |count: usize| {
        let zeros = vec!["0"; count - own].join(",");
        Package::decode(with(&format!("\"x\":[{zeros}]")).as_bytes())
    };
    assert!(of(MAX_VALUES).is_ok());
    assert!(matches!(of(MAX_VALUES + 1), Err(PackageError::TooManyValues { line: 1, .. })));
    // Keys count, too. Nothing after the limit is read.
    let keys: String = (0..MAX_VALUES / 2).map(|key| format!("\"{key}\":0,")).collect();
    let error = Package::decode(format!("{{{keys}").as_bytes()).unwrap_err();
    assert!(matches!(error, PackageError::TooManyValues { .. }), "{error}");
    assert!(error.is_limit() && error.to_string().contains("16384"), "{error}");
}

#[test]
fn nesting_has_an_end() {
    let of = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        Package::decode(with(&format!("\"x\":{open}{close}")).as_bytes())
    };
    assert!(of(MAX_DEPTH - 1).is_ok());
    assert!(matches!(of(MAX_DEPTH), Err(PackageError::TooDeep { .. })));
    let endless = "[".repeat(1 << 20);
    assert!(matches!(Package::decode(endless.as_bytes()), Err(PackageError::TooDeep { .. })));
}

#[test]
fn texts_that_messages_quote_are_short() {
    let long = "a".repeat(MAX_TEXT + 1);
    let refused = |error: Result<Package, PackageError>| match error.unwrap_err() {
        PackageError::TextTooLong { size, .. } => assert_eq!(size, MAX_TEXT + 1),
        error => panic!("{error}"),
    };
    refused(changed(|p| p["meta"]["bpf_skel"]["obj_name"] = long.clone().into()));
    refused(changed(|p| set(p, "meta", serde_json::json!({"x": [{"y": long}]}))));
    refused(changed(|p| p["bpf_object_size"] = long.clone().into()));
    refused(changed(|p| set(p, "wasm_modules", serde_json::json!([{"name": long}]))));
    refused(changed(|p| set(p, "wasm_modules", long.clone().into())));
    refused(changed(|p| set(p, &long, 1.into())));
    refused(Package::decode(format!("\"{long}\"").as_bytes()));
    // Unknown content may have any length, escaped or not.
    let line = format!("{long}\n");
    let back = changed(|p| set(p, "x", serde_json::json!({"y": [line]}))).unwrap();
    assert_eq!(back.other["x"]["y"][0], line);
    let text = package().encode().replace("eNr", "\\u0065Nr");
    assert!(text.contains("u0065"));
    assert_eq!(Package::decode(text.as_bytes()).unwrap().object, package().object);
    let longest = "x".repeat(MAX_TEXT);
    assert!(
        changed(|p| drop(p["meta"].as_object_mut().unwrap().insert(longest, 1.into()))).is_ok()
    );
}

#[test]
fn the_path_to_a_wrong_key_is_cut() {
    let error = changed(|p| {
        let key = "x".repeat(MAX_TEXT);
        let map = serde_json::json!({"name": "m", "ident": "m", "intepreter": {"stack_trace":
            {"field_map": {key: 1}}}});
        p["meta"]["bpf_skel"]["maps"] = serde_json::json!([map]);
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("field_map.xxx") && error.contains("x…`: invalid type"), "{error}");
    assert!(error.len() < 400, "{}", error.len());
}

#[test]
fn what_is_unpacked_is_in_proportion() {
    let of = |object: usize, module: usize| {
        let module = WasmModule { name: "m".into(), module: vec![0; module] };
        let text = Package { object: vec![0; object], wasm: vec![module], ..package() }.encode();
        (text.len() as u64, Package::decode(text.as_bytes()))
    };
    assert!(of(2 << 20, 1 << 20).1.is_ok());
    let (text, refused) = of(2 << 20, 2 << 20);
    assert!(text < 1 << 14);
    let error = refused.unwrap_err();
    assert!(matches!(error, PackageError::UnpacksTooLarge { .. }) && error.is_limit(), "{error}");
    assert!(error.to_string().contains("an object of 2097152 bytes"), "{error}");
    // A larger text may hold more.
    let large = Package { object: vec![0; 4 << 20], ..package() };
    let text = large.encode();
    assert!(Package::decode(text.as_bytes()).unwrap_err().is_limit());
    let padded = text + &" ".repeat(2 << 20);
    assert_eq!(Package::decode(padded.as_bytes()).unwrap().object.len(), 4 << 20);
}

#[test]
fn what_follows_the_stream_is_base64_too() {
    let text = package().encode();
    let followed = text.replace("\",\"bpf_object_size", "%\",\"bpf_object_size");
    assert_ne!(text, followed);
    let error = Package::decode(followed.as_bytes()).unwrap_err();
    assert!(matches!(error, PackageError::Base64(_)), "{error}");
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
