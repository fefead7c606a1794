// SPDX-License-Identifier: MIT
//! Changes JSON: values of other types and sizes, in other places, missing, repeated, and nested.

use serde_json::{Map, Number, Value, json};

use super::random::Random;
use super::texts;

/// Changes a value anywhere.
pub(super) fn change(root: &mut Value, random: &mut Random) {
    let mut at = random.below(count(root));
    let Some(node) = node(root, &mut at) else { return };
    match random.below(12) {
        0..4 => *node = other(random),
        4 => nudge(node, random),
        5 | 6 => remove(node, random),
        7 => repeat(node, random),
        8 => *node = json!([node.take()]),
        9 => *node = json!({"name": node.take()}),
        10 => rename(node, random),
        _ => {
            // A part of it in another place.
            let mut from = random.below(count(root));
            let piece = self::node(root, &mut from).map_or(Value::Null, |node| node.clone());
            let mut to = random.below(count(root));
            if let Some(node) = self::node(root, &mut to) {
                *node = piece;
            }
        }
    }
}

/// The number of values in a value, including itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count).sum::<usize>(),
        Value::Object(all) => all.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value at this index, in the order of the text.
fn node<'v>(value: &'v mut Value, at: &mut usize) -> Option<&'v mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(all) => all.iter_mut().find_map(|value| node(value, at)),
        Value::Object(all) => all.values_mut().find_map(|value| node(value, at)),
        _ => None,
    }
}

/// Any value.
pub(super) fn other(random: &mut Random) -> Value {
    match random.below(14) {
        0 => Value::Null,
        1 => Value::Bool(random.one_in(2)),
        2 | 3 => random.edge().into(),
        4 => (random.edge() as i64).wrapping_neg().into(),
        5 => Number::from_f64(*random.choose(&[1e308, -1e308, 5e-324, 0.5, -0.0, 4294967296.5]))
            .map_or(Value::Null, Value::Number),
        6 => "".into(),
        7 | 8 => texts::text(random).into(),
        9 => "x".repeat(1 << random.below(17)).into(),
        10 => json!([]),
        11 => json!({}),
        12 => deep(random),
        _ => Value::Array(vec![random.edge().into(); random.below(300)]),
    }
}

fn deep(random: &mut Random) -> Value {
    // Deeper values are generated as text, because dropping such a value recurses, too.
    (0..random.below(120)).fold(Value::Null, |inner, level| match level % 2 {
        0 => Value::Array(vec![inner]),
        _ => json!({ "a": inner }),
    })
}

fn nudge(node: &mut Value, random: &mut Random) {
    match node {
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            let by = random.below(3) as u64;
            *node = number.wrapping_add(by).wrapping_sub(1).into();
        }
        Value::String(text) => {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = places.get(random.below(places.len())).copied().unwrap_or(0);
            match random.below(3) {
                0 => text.truncate(at),
                1 => text.insert_str(at, &texts::text(random)),
                _ => *text = text.to_uppercase(),
            }
        }
        Value::Bool(is) => *is = !*is,
        other => *other = self::other(random),
    }
}

fn remove(node: &mut Value, random: &mut Random) {
    match node {
        Value::Array(all) if !all.is_empty() => drop(all.remove(random.below(all.len()))),
        Value::Object(all) => {
            if let Some(key) = key(all, random) {
                all.remove(&key);
            }
        }
        node => *node = Value::Null,
    }
}

fn repeat(node: &mut Value, random: &mut Random) {
    let times = 1 << random.below(12);
    match node {
        Value::Array(all) if !all.is_empty() => {
            let one = all[random.below(all.len())].clone();
            all.extend(std::iter::repeat_n(one, times));
        }
        Value::Object(all) => {
            let one = key(all, random).and_then(|key| all.get(&key).cloned());
            let one = one.unwrap_or(Value::Null);
            all.extend((0..times).map(|number| (format!("key{number}"), one.clone())));
        }
        Value::String(text) => *text = text.repeat(times.min(64)),
        node => *node = Value::Array(vec![node.take(); times]),
    }
}

/// Names of other keys in packages.
const KEYS: [&str; 16] = [
    "name",
    "type",
    "sample",
    "view",
    "records",
    "meta",
    "bpf_object",
    "cmdarg",
    "default",
    "size",
    "hidden",
    "max_entries",
    "unit",
    "key_enum",
    "btf_type_id",
    "intepreter",
];

fn rename(node: &mut Value, random: &mut Random) {
    let Value::Object(all) = node else { return *node = other(random) };
    if let Some(value) = key(all, random).and_then(|key| all.remove(&key)) {
        all.insert((*random.choose(&KEYS)).to_owned(), value);
    }
}

fn key(all: &Map<String, Value>, random: &mut Random) -> Option<String> {
    all.keys().nth(random.below(all.len())).cloned()
}

/// The paths of all values that a test accepts.
pub(super) fn places(root: &Value, is_wanted: &dyn Fn(&str, &Value) -> bool) -> Vec<String> {
    fn walk(
        value: &Value,
        path: &str,
        is_wanted: &dyn Fn(&str, &Value) -> bool,
        found: &mut Vec<String>,
    ) {
        if is_wanted(path, value) {
            found.push(path.to_owned());
        }
        match value {
            Value::Array(all) => {
                for (at, value) in all.iter().enumerate() {
                    walk(value, &format!("{path}/{at}"), is_wanted, found);
                }
            }
            Value::Object(all) => {
                for (key, value) in all {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{path}/{key}"), is_wanted, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(root, "", is_wanted, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_reached_and_changes_are_json() {
        let root = json!({"a": [1, {"b": "c"}], "d": null});
        assert_eq!(count(&root), 6);
        for place in 0..6 {
            assert!(node(&mut root.clone(), &mut { place }).is_some());
        }
        assert!(node(&mut root.clone(), &mut 6).is_none());
        for case in 0..500 {
            let (mut value, mut random) = (root.clone(), Random::new(1, "json", case));
            for _ in 0..4 {
                change(&mut value, &mut random);
            }
            assert!(serde_json::from_str::<Value>(&value.to_string()).is_ok());
        }
        let texts = places(&root, &|_, value| value.is_string());
        assert_eq!(texts, ["/a/1/b"]);
    }
}
