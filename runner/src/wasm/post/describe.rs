// SPDX-License-Identifier: MIT
//! The description that a module receives at its start: JSON, as runner/WASM.md specifies.

use serde_json::{Map, Value, json};

use super::maps::Table;
use bpfpack_decode::{Edges, Layout, Member, Struct};
use bpfpack_spec::{RecordType, Shape, Stream, View};

use super::sources::{ModuleSource, Row};

/// What is described in addition to the sources.
#[derive(Debug)]
pub(super) struct About<'a> {
    /// The package's name.
    pub package: &'a str,
    /// The output format.
    pub format: &'a str,
    /// The number of possible CPUs.
    pub cpus: usize,
    /// Values of the package's arguments, by variable.
    pub arguments: &'a [(String, String)],
    /// Values of `--wasm-arg` for the module.
    pub parameters: &'a [(String, String)],
}

/// The description as text.
#[must_use]
pub(super) fn describe(about: &About<'_>, sources: &[ModuleSource], maps: &Table) -> String {
    let texts = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
    };
    let sources = sources.iter().enumerate().map(|(at, source)| of_source(at, source));
    json!({
        "interface": super::VERSION,
        "package": about.package,
        "format": about.format,
        "cpus": about.cpus,
        "arguments": texts(about.arguments),
        "parameters": texts(about.parameters),
        "sources": sources.collect::<Vec<_>>(),
        "maps": maps.describe(),
    })
    .to_string()
}

fn of_source(at: usize, source: &ModuleSource) -> Value {
    let mut out = Map::new();
    out.insert("source".into(), at.into());
    out.insert("name".into(), source.name().into());
    out.insert("from".into(), source.from().into());
    match source {
        ModuleSource::Records(stream) => of_stream(stream, &mut out),
        ModuleSource::Rows(view, row) => of_view(view, *row, &mut out),
    }
    out.into()
}

fn of_stream(stream: &Stream, out: &mut Map<String, Value>) {
    if let Some(tag) = &stream.tag {
        out.insert("tag".into(), of_member(tag, 0));
    }
    let ty = |ty: &RecordType| {
        let layout = ty.all();
        let mut out = Map::new();
        out.insert("name".into(), ty.name.as_str().into());
        out.insert("size".into(), ty.size.into());
        if let Some(tag) = ty.tag {
            out.insert("tag".into(), tag.into());
        }
        match layout {
            Layout::Struct(record) => {
                out.insert("members".into(), of_record(record, 0));
            }
            other => {
                let value = Member::new("value", 0, other.clone());
                out.insert("members".into(), Value::Array(vec![of_member(&value, 0)]));
            }
        }
        Value::Object(out)
    };
    out.insert("records".into(), stream.records.iter().map(ty).collect::<Vec<_>>().into());
}

fn of_view(view: &View, row: Row, out: &mut Map<String, Value>) {
    let shape = match view.shape {
        Shape::Histogram { .. } => "histogram",
        Shape::Table => "table",
        Shape::KeyValue => "key_value",
    };
    out.insert("shape".into(), shape.into());
    out.insert("stride".into(), row.stride.into());
    if let Some(key) = &view.key {
        out.insert("key".into(), of_part(key, 0));
    }
    out.insert("value".into(), of_part(&view.value, row.value_at));
    let Shape::Histogram { slots, edges, unit } = &view.shape else { return };
    let offset = row.value_at + slots.offset;
    out.insert("slots".into(), json!({"offset": offset, "size": slots.size, "len": slots.len}));
    match edges {
        Edges::Log2 => drop(out.insert("scale".into(), "log2".into())),
        Edges::Log2Zero => drop(out.insert("scale".into(), "log2_zero".into())),
        Edges::Log2Up => drop(out.insert("scale".into(), "log2_up".into())),
        Edges::Log2ZeroUp => drop(out.insert("scale".into(), "log2_zero_up".into())),
        Edges::Linear { origin, step } => {
            out.insert("scale".into(), "linear".into());
            // They come from annotations, which have 64 bits.
            out.insert("origin".into(), (*origin as i64).into());
            out.insert("step".into(), (*step as i64).into());
        }
    }
    out.insert("unit".into(), unit.as_str().into());
}

/// Describes a key or a value.
fn of_part(layout: &Layout, at: usize) -> Value {
    let mut out = Map::new();
    out.insert("offset".into(), at.into());
    out.insert("size".into(), layout.size().into());
    put_type(layout, at, &mut out);
    out.into()
}

fn of_record(record: &Struct, base: usize) -> Value {
    record.members.iter().map(|member| of_member(member, base)).collect::<Vec<_>>().into()
}

fn of_member(member: &Member, base: usize) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), member.name.as_str().into());
    out.insert("offset".into(), (base + member.offset).into());
    out.insert("size".into(), member.layout.size().into());
    put_type(&member.layout, base + member.offset, &mut out);
    if let Some((first, count)) = member.bits {
        out.insert("bits".into(), json!([first, count]));
    }
    if let Some(meaning) = member.meaning.as_ref().and_then(|meaning| meaning.name()) {
        out.insert("meaning".into(), meaning.into());
    }
    out.into()
}

/// Describes a type: its name, or its members.
fn put_type(layout: &Layout, at: usize, out: &mut Map<String, Value>) {
    let (element, array) = match layout {
        Layout::Array { element, len, .. } => (&**element, Some(Some(*len))),
        Layout::Rest { element, .. } => (&**element, Some(None)),
        other => (other, None),
    };
    match element {
        Layout::Struct(record) => {
            out.insert("members".into(), of_record(record, at));
            if let Some(len) = array {
                out.insert("array".into(), len.map_or(Value::Null, Value::from));
            }
        }
        element => {
            let name = match array {
                None => name(element),
                Some(Some(len)) => format!("{}[{len}]", name(element)),
                // Text up to the record's end is char[], whatever its element is.
                Some(None) if matches!(element, Layout::Text { .. }) => "char[]".to_owned(),
                Some(None) => format!("{}[]", name(element)),
            };
            out.insert("type".into(), name.into());
            if let Layout::Enum { names, .. } = element {
                let names: Map<String, Value> = names
                    .iter()
                    .map(|(value, name)| (value.to_string(), name.as_str().into()))
                    .collect();
                out.insert("names".into(), names.into());
            }
        }
    }
}

/// The name of a type that is not a struct.
fn name(layout: &Layout) -> String {
    match layout {
        Layout::Int { size, signed: true } | Layout::Enum { size, signed: true, .. } => {
            format!("s{}", size * 8)
        }
        Layout::Int { size, .. } | Layout::Enum { size, .. } | Layout::Label { size, .. } => {
            format!("u{}", size * 8)
        }
        Layout::Pointer => "ptr".to_owned(),
        Layout::Bool => "bool".to_owned(),
        Layout::Float { size } => format!("f{}", size * 8),
        Layout::Text { size } => format!("char[{size}]"),
        Layout::Array { element, len, .. } => format!("{}[{len}]", name(element)),
        Layout::Bytes { size } => format!("bytes[{size}]"),
        Layout::Rest { .. } | Layout::Struct(_) => "bytes[0]".to_owned(),
    }
}
