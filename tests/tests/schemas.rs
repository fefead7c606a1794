// SPDX-License-Identifier: MIT
//! The JSON Schema files are up to date, and describe what ecc writes.
#![allow(clippy::unwrap_used)]

use bpfpack_tests::{pack, root, scratch};
use serde_json::{Value, json};

fn schema(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("schemas").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_checked_in_files_are_those_of_the_types() {
    for (name, text) in bpfpack_schemas::schema::files() {
        let path = root().join("schemas").join(name);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == text, "schemas/{name} is stale: run UPDATE_SCHEMAS=1 make test");
    }
}

#[test]
fn every_field_is_described() {
    fn walk(path: &str, value: &Value) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let described = property.get("description").is_some();
                // The variants of an enum describe themselves.
                let is_variant = path.contains("oneOf") && properties.len() == 1;
                assert!(described || is_variant, "{path}/{name} has no description");
            }
        }
        match value {
            Value::Object(map) => map.iter().for_each(|(key, v)| walk(&format!("{path}/{key}"), v)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(at, v)| walk(&format!("{path}/{at}"), v));
            }
            _ => {}
        }
    }
    walk("diagnosis", &schema("diagnosis.schema.json"));
    walk("output", &schema("output.schema.json"));
    walk("package", &schema("package.schema.json"));
    walk("skel", &schema("skel.schema.json"));
}

#[test]
fn the_examples_packages_are_valid() {
    let package_schema = jsonschema::validator_for(&schema("package.schema.json")).unwrap();
    let skel_schema = jsonschema::validator_for(&schema("skel.schema.json")).unwrap();
    for name in [
        "hardirqs",
        "softirqs",
        "runqlat",
        "exits",
        "biolatency",
        "bitesize",
        "cachestat",
        "cpubusy",
        "cpudist",
        "filetop",
        "runqlen",
        "syscount",
    ] {
        let dir = scratch();
        let package = pack(&format!("examples/{name}/{name}.bpf.c"), &dir);
        let skel = dir.path().join(format!("{name}.skel.json"));
        for (file, schema) in [(package.into(), &package_schema), (skel, &skel_schema)] {
            let value: Value =
                serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let errors: Vec<_> =
                schema.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{file:?}: {errors:?}");
        }
    }
}

#[test]
fn what_is_no_package_is_not_valid() {
    let validator = jsonschema::validator_for(&schema("package.schema.json")).unwrap();
    for value in [
        json!({}),
        json!({"bpf_object": "", "bpf_object_size": "1", "meta": {}}),
        json!({"bpf_object": "", "bpf_object_size": 1, "meta": {"bpf_skel": {
            "obj_name": "x", "data_sections": [], "maps": [{"name": "m"}]}}}),
    ] {
        assert!(!validator.is_valid(&value), "{value}");
    }
}
