// SPDX-License-Identifier: MIT
//! Sources that a module declares. The JSON becomes a stream of records, or a view for tables and
//! histograms. Members are laid out as in C.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Edges, Layout, Member, Slots, Struct};
use bpfpack_schemas::printable;
use bpfpack_spec::{BufferType, ReadFrom, RecordType, Shape, Stream, View, select_fields};

use super::sources::{ModuleSource, Row};

/// The maximum size of a declared record, key or value in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Why a declaration is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadDeclaration(String);

fn bad<T>(text: impl Into<String>) -> Result<T, BadDeclaration> {
    Err(BadDeclaration(text.into()))
}

/// Makes a source. `index` is its index among the sources; `fields` are the members to show, or
/// empty for all.
pub(super) fn declare(
    text: &str,
    index: usize,
    fields: &[String],
) -> Result<ModuleSource, BadDeclaration> {
    let json: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| BadDeclaration(format!("it is not a JSON object: {error}")))?;
    const KEYS: [&str; 7] = ["name", "members", "key", "value", "sort", "histogram", "unit"];
    if let Some(unknown) = json.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return bad(format!("`{unknown}` is unknown; the keys are {}", KEYS.join(", ")));
    }
    let name = match json.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => printable::clean(name),
        _ => return bad("it has no `name`"),
    };
    Ok(match (json.get("members"), json.get("value")) {
        (Some(members), None) => {
            if let Some(key) =
                ["key", "sort", "histogram", "unit"].iter().find(|k| json.contains_key(**k))
            {
                return bad(format!("`{key}` is for tables, which have `value`, not `members`"));
            }
            let layout = record(members, "members")?;
            let mut stream = Stream {
                index,
                name: name.clone(),
                records: vec![RecordType::new(name, layout, None)],
                tag: None,
                buffer: BufferType::Stage,
            };
            // If it has none of the requested members, all are shown.
            let mut selected = [stream];
            let before = selected[0].records[0].layout.clone();
            select_fields(&mut selected, fields);
            [stream] = selected;
            if matches!(&stream.records[0].layout, Layout::Struct(record) if record.members.is_empty())
            {
                stream.records[0].layout = before;
            }
            ModuleSource::Records(Arc::new(stream))
        }
        (None, Some(value)) => {
            let view = view((index, name), &json, value)?;
            let row = Row::of(&view);
            ModuleSource::Rows(Arc::new(view), row)
        }
        _ => return bad("it has neither `members`, for records, nor `value`, for a table"),
    })
}

fn view(
    (index, name): (usize, String),
    json: &Map<String, Value>,
    value: &Value,
) -> Result<View, BadDeclaration> {
    let key = json.get("key").map(|key| record(key, "key")).transpose()?;
    let value = record(value, "value")?;
    let unit = match json.get("unit") {
        None => "(unit)".to_owned(),
        Some(Value::String(unit)) => printable::clean(unit),
        Some(other) => return bad(format!("`unit` is not text: {other}")),
    };
    let shape = match json.get("histogram") {
        None => Shape::Table,
        Some(scale) => {
            let edges = edges(scale)?;
            let Some(slots) = Slots::of(&value) else {
                return bad(
                    "the value of a histogram needs a member `slots`, for example \"u32[27]\" or \
                     \"u64[27]\"",
                );
            };
            Shape::Histogram { slots, edges, unit }
        }
    };
    let sort = match json.get("sort") {
        None => None,
        Some(Value::String(sort)) => {
            let has = |record: &Struct| record.members.iter().any(|member| member.name == *sort);
            if !matches!(&value, Layout::Struct(record) if has(record)) {
                return bad(format!("`sort`: the value has no member `{sort}`"));
            }
            Some(sort.clone())
        }
        Some(other) => return bad(format!("`sort` is not text: {other}")),
    };
    Ok(View {
        index,
        name,
        from: ReadFrom::Stage,
        key,
        counters: value.counters(&[]),
        value,
        shape,
        interval: Duration::MAX,
        differences: false,
        leave_out_zeros: false,
        sort,
        stacks: Vec::new(),
        average: None,
        per_cpu: false,
    })
}

fn edges(scale: &Value) -> Result<Edges, BadDeclaration> {
    match scale {
        Value::String(scale) if scale == "log2" => Ok(Edges::Log2),
        Value::String(scale) if scale == "log2_zero" => Ok(Edges::Log2Zero),
        Value::String(scale) if scale == "log2_up" => Ok(Edges::Log2Up),
        Value::String(scale) if scale == "log2_zero_up" => Ok(Edges::Log2ZeroUp),
        Value::Object(linear) => {
            let number = |key: &str| linear.get(key).and_then(Value::as_i64);
            match (number("origin").or(Some(0)), number("step")) {
                (Some(origin), Some(step)) if step > 0 => {
                    Ok(Edges::Linear { origin: origin.into(), step: step.into() })
                }
                _ => bad("a linear histogram needs a `step` above 0"),
            }
        }
        other => bad(format!(
            "`histogram` must be \"log2\", \"log2_zero\", \"log2_up\", \"log2_zero_up\" or \
             {{\"step\": 10}}, not {other}"
        )),
    }
}

/// Lays out the members of a struct.
fn record(members: &Value, what: &str) -> Result<Layout, BadDeclaration> {
    let Value::Object(named) = members else {
        return bad(format!(
            "`{what}` must be an object of names and types, for example {{\"pid\": \"u32\"}}"
        ));
    };
    if named.is_empty() {
        return bad(format!("`{what}` has no members"));
    }
    let mut members: Vec<Member> = Vec::new();
    let (mut end, mut widest) = (0usize, 1);
    for (name, ty) in named {
        let Value::String(ty) = ty else {
            return bad(format!("the type of `{name}` is not text: {ty}"));
        };
        let (ty, meaning) = match ty.trim().split_once(char::is_whitespace) {
            Some((ty, meaning)) => (ty, Some(meaning.trim())),
            None => (ty.trim(), None),
        };
        let Some((layout, align)) = layout(ty) else {
            return bad(format!(
                "`{ty}` of `{name}` is not a type; the types are u8 to u128, s8 to s128, f32, f64, \
                 bool, ptr, char[N], bytes[N], and arrays of them, for example u32[4]"
            ));
        };
        let offset = end.next_multiple_of(align);
        end = offset.saturating_add(layout.size());
        widest = widest.max(align);
        if end > MOST_BYTES {
            return bad(format!("`{what}` is longer than {MOST_BYTES} bytes"));
        }
        let mut member = Member::new(printable::clean(name), offset, layout);
        if let Some(meaning) = meaning {
            let Some(meaning) = Meaning::named(meaning) else {
                let known: Vec<_> = Meaning::all_names().collect();
                return bad(format!(
                    "`{meaning}` of `{name}` is not a meaning; the meanings are {}",
                    known.join(", ")
                ));
            };
            member.meaning = Some(meaning);
        }
        members.push(member);
    }
    Ok(Layout::Struct(Struct { size: end.next_multiple_of(widest), members }))
}

/// A type by name, with its alignment.
fn layout(name: &str) -> Option<(Layout, usize)> {
    let (base, len) = match name.split_once('[') {
        Some((base, rest)) => {
            let len: usize = rest.strip_suffix(']')?.parse().ok()?;
            (base, Some(len).filter(|len| (1..=MOST_BYTES).contains(len))?.into())
        }
        None => (name, None),
    };
    match (base, len) {
        ("char", Some(size)) => return Some((Layout::Text { size }, 1)),
        ("bytes", Some(size)) => return Some((Layout::Bytes { size }, 1)),
        _ => {}
    }
    let element = match base {
        "bool" => Layout::Bool,
        "ptr" => Layout::Pointer,
        "char" => Layout::Text { size: 1 },
        "f32" => Layout::Float { size: 4 },
        "f64" => Layout::Float { size: 8 },
        _ => {
            let signed = match base.chars().next()? {
                's' | 'i' => true,
                'u' => false,
                _ => return None,
            };
            let size = match base.get(1..)? {
                "8" => 1,
                "16" => 2,
                "32" => 4,
                "64" => 8,
                "128" => 16,
                _ => return None,
            };
            Layout::Int { size, signed }
        }
    };
    let stride = element.size();
    match len {
        None => Some((element, stride)),
        Some(len) => Some((Layout::Array { element: Box::new(element), stride, len }, stride)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Result<ModuleSource, String> {
        declare(text, 7, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_laid_out_as_in_c() {
        let source = declared(
            r#"{"name": "p", "members": {"a": "u8", "b": "u32", "c": "char[5]", "d": "s64 duration_ns",
                "e": "u16[3]"}}"#,
        )
        .unwrap();
        let ModuleSource::Records(stream) = &source else { panic!() };
        let Layout::Struct(record) = &stream.records[0].layout else { panic!() };
        let offsets: Vec<usize> = record.members.iter().map(|member| member.offset).collect();
        assert_eq!((offsets, record.size), (vec![0, 4, 8, 16, 24], 32));
        assert_eq!(record.members[3].meaning, Meaning::named("duration_ns"));
        let place = source.member(0, "e").unwrap();
        assert_eq!(
            (place.offset, place.size, place.ty, place.count, place.stride),
            (24, 2, 1, 3, 2)
        );
    }

    #[test]
    fn tables_and_histograms() {
        let source = declared(
            r#"{"name": "h", "key": {"disk": "u32"}, "value": {"slots": "u32[4]", "total": "u64"},
                "histogram": "log2", "unit": "usecs"}"#,
        )
        .unwrap();
        let ModuleSource::Rows(view, row) = &source else { panic!() };
        assert!(matches!(view.shape, Shape::Histogram { edges: Edges::Log2, .. }));
        assert_eq!((row.key, row.value_at, row.value, row.stride), (4, 8, 24, 32));
        assert_eq!(source.member(0, "total").unwrap().offset, 24);
        assert_eq!(source.member(0, "key.disk").unwrap().offset, 0);
        assert_eq!(source.member(0, "value").unwrap().ty, 7);
        assert_eq!(source.member(0, "nothing"), None);
        assert_eq!(source.member(0, "").unwrap().stride, 32);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| declared(text).unwrap_err();
        assert!(said("[]").contains("not a JSON object"));
        assert!(said(r#"{"members": {"a": "u8"}}"#).contains("no `name`"));
        assert!(said(r#"{"name": "a"}"#).contains("neither"));
        assert!(said(r#"{"name": "a", "members": {"a": "int"}}"#).contains("`int` of `a`"));
        assert!(said(r#"{"name": "a", "members": {"a": "u32[0]"}}"#).contains("not a type"));
        assert!(said(r#"{"name": "a", "members": {"a": "u8 color"}}"#).contains("not a meaning"));
        assert!(said(r#"{"name": "a", "members": {}}"#).contains("no members"));
        assert!(
            said(r#"{"name": "a", "value": {"a": "u8"}, "histogram": "log2"}"#).contains("slots")
        );
        let sorted = r#"{"name": "a", "value": {"a": "u8"}, "sort": "b"}"#;
        assert!(said(sorted).contains("no member `b`"));
        assert!(said(r#"{"name": "a", "color": 1, "value": {"a": "u8"}}"#).contains("`color`"));
        let huge = r#"{"name": "a", "members": {"a": "u64[1048576]"}}"#;
        assert!(said(huge).contains("longer than"));
    }
}
