// SPDX-License-Identifier: MIT
//! Applies annotations to the parts of the package that they describe.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind as BtfKind};
use bpfpack_schemas::map_type::check_entries;
use bpfpack_schemas::meta::{
    Doc, MEANINGS, MapMeta, ProgMeta, RecordMeta, Skeleton, Variable, ViewMeta,
};
use bpfpack_schemas::printable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::known::{KINDS, Kind, keys, similar};
use super::{Annotation, Declaration, MAX_TEXT};
use crate::export::record_type;
use crate::failure::{Failure, exit_code};
use crate::lexer::Position;
use crate::message::{Console, Message, shown};

/// Keys that come from the object; annotations cannot change them.
const RESERVED: [&str; 6] = ["name", "ident", "type", "attach", "link", "mmaped"];

/// Annotations whose value is an object; any other text is an error.
const STRUCTURED: [&str; 8] =
    ["sample", "cmdarg", "xdpopts", "tchook", "tcopts", "record_tags", "meanings", "metric"];

/// Annotations whose value is always text.
const TEXTS: [&str; 6] = ["description", "brief", "details", "version", "record_tag", "help"];

/// The size of all values together, in bytes: as JSON, they take many times as much memory.
const MAX_VALUES: usize = 128 << 10;

/// The number of structs that annotations may name.
const MAX_RECORDS: usize = 1024;

/// The lines of the source that messages show, with a caret below.
struct Shown<'s> {
    source: &'s Path,
    text: &'s str,
    /// A line number and the offset of the line. Messages are roughly in the order of lines.
    last: Cell<(u32, usize)>,
}

impl<'s> Shown<'s> {
    fn new(source: &'s Path, text: &'s str) -> Shown<'s> {
        Shown { source, text, last: Cell::new((1, 0)) }
    }

    /// A line by its number, starting at 1.
    fn line(&self, wanted: u32) -> Option<&'s str> {
        let (mut line, mut start) = self.last.get();
        if line > wanted {
            (line, start) = (1, 0);
        }
        while line < wanted {
            start += self.text.get(start..)?.find('\n')? + 1;
            line += 1;
        }
        self.last.set((line, start));
        self.text.get(start..)?.lines().next()
    }

    /// A message with its position, and the line with a caret.
    fn at(&self, location: Option<Position>, what: &str) -> Message {
        let source = shown(self.source);
        let Some(Position { line, column }) = location else {
            return format!("{source}: {what}").into();
        };
        let text = format!("{source}:{line}:{column}: {what}");
        let mut excerpt = String::new();
        // A line that would be cut has no room for a caret.
        if let Some(line_text) = self.line(line)
            && line_text.len() <= printable::MAX_LINE / 2
        {
            let before =
                printable::lines(line_text.get(..column as usize - 1).unwrap_or(line_text));
            // Tabs are kept, so that the caret is below its character.
            let indent: String =
                before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let line_text = printable::lines(line_text);
            let _ = write!(excerpt, "{line:>5} | {line_text}\n{:>5} | {indent}^", "");
        }
        Message { text, excerpt }
    }
}

/// Applies the annotations to the declarations below them.
///
/// # Errors
/// A known annotation has a value that no loader could read.
pub(crate) fn apply(
    mut meta: Meta,
    btf: &Btf<'_>,
    declarations: &[Declaration<'_>],
    (source, text): (&Path, &str),
    console: &Console,
) -> Result<Meta, Failure> {
    let lines = Shown::new(source, text);
    let mut left = MAX_VALUES;
    for declaration in declarations {
        let found = target(&mut meta.bpf_skel, declaration);
        let Some(mut target) = found else {
            // A plain comment above a function or a constant does not concern the package.
            for annotation in declaration.annotations.iter().filter(|a| a.name != "description") {
                let what = format!(
                    "`@{}` is ignored: nothing in the object belongs to the declaration below it",
                    annotation.name
                );
                console.warning(lines.at(annotation.at, &what));
            }
            continue;
        };
        let says = declaration.annotations.iter().any(|a| a.name == "description");
        if let (Target::Variable(variable), Some(comment)) = (&mut target, &declaration.comment)
            && !says
            && variable.description.is_none()
        {
            variable.description = Some(comment.clone());
        }
        // `@records` comes first, because other annotations refer to its structs.
        let mut annotations: Vec<&Annotation> = declaration.annotations.iter().collect();
        annotations.sort_by_key(|annotation| annotation.name != "records");
        for annotation in annotations {
            if let Some(warning) = doubt(annotation, target.kind()) {
                console.warning(lines.at(annotation.at, &warning));
            }
            let value = match annotation.value(left) {
                Ok(value) => {
                    left -= annotation.text.len();
                    value
                }
                Err((location, why)) => {
                    let what = format!("`@{}` is ignored: {why}", annotation.name);
                    console.warning(lines.at(location, &what));
                    continue;
                }
            };
            for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
                let known = keys(&annotation.name);
                if let Some(meant) = similar(key, known.iter().copied())
                    && !known.contains(&key.as_str())
                {
                    let name = &annotation.name;
                    let what = format!("`@{name}` has no key `{key}`; did you mean `{meant}`?");
                    console.warning(lines.at(annotation.at, &what));
                }
            }
            target.set(&annotation.name, value, btf).and_then(|()| target.check()).map_err(
                |error| {
                    let what = format!("`@{}`: {error}", annotation.name);
                    Failure::at(exit_code::DESCRIBE, lines.at(annotation.at, &what))
                },
            )?;
        }
    }
    Ok(meta)
}

/// What is wrong with an annotation at this declaration.
fn doubt(annotation: &Annotation, kind: Kind) -> Option<String> {
    let name = annotation.name.as_str();
    if kind.annotations().contains(&name) || RESERVED.contains(&name) {
        return None;
    }
    let elsewhere: Vec<_> = KINDS
        .into_iter()
        .filter(|other| other.annotations().contains(&name))
        .map(Kind::name)
        .collect();
    if !elsewhere.is_empty() {
        let belongs = elsewhere.join(" or ");
        return Some(format!(
            "`@{name}` has no effect on {}: it belongs on {belongs}",
            kind.name()
        ));
    }
    let all = KINDS.into_iter().flat_map(Kind::annotations).copied();
    let meant = similar(name, kind.annotations().iter().copied()).or_else(|| similar(name, all))?;
    Some(format!("unknown `@{name}`; did you mean `@{meant}`? It is kept unchanged"))
}

impl Annotation {
    /// The text as JSON if it is valid JSON, as a string otherwise; `true` if it is empty. It may
    /// have `most` bytes. An error has its position.
    fn value(&self, most: usize) -> Result<Value, (Option<Position>, String)> {
        let name = self.name.as_str();
        if self.is_cut {
            return Err((self.at, format!("it has more than {MAX_TEXT} bytes")));
        }
        if self.text.len() > most {
            let why = format!("all annotations together have more than {MAX_VALUES} bytes");
            return Err((self.at, why));
        }
        if RESERVED.contains(&name) {
            let why = "it is not an annotation; the object itself contains it";
            return Err((self.at, why.into()));
        }
        if TEXTS.contains(&name) {
            let text = serde_json::from_str::<String>(&self.text);
            return Ok(Value::String(text.unwrap_or_else(|_| self.text.clone())));
        }
        if self.text.is_empty() {
            return Ok(Value::Bool(true));
        }
        match serde_json::from_str(&self.text) {
            Ok(value) => Ok(value),
            Err(error) if self.text.starts_with(['{', '[', '"']) || STRUCTURED.contains(&name) => {
                let location = self.location(error.line(), error.column());
                let why = error.to_string();
                // The position in the text of the annotation means nothing to a reader of the
                // source.
                let why = why.split(" at line ").next().unwrap_or(&why);
                Err((location.or(self.at), format!("not valid JSON: {why}")))
            }
            Err(_) => Ok(Value::String(self.text.clone())),
        }
    }
}

/// Checks that a meaning exists.
fn known_meaning(name: &str) -> Result<(), String> {
    if MEANINGS.contains(&name) {
        return Ok(());
    }
    Err(match similar(name, MEANINGS) {
        Some(meant) => format!("unknown meaning `{name}`; did you mean `{meant}`?"),
        None => format!("unknown meaning `{name}`; the meanings are {}", MEANINGS.join(", ")),
    })
}

/// The part that an annotation describes.
enum Target<'m> {
    Program(&'m mut ProgMeta),
    Map(&'m mut MapMeta),
    Variable(&'m mut Variable),
    Doc(&'m mut Doc),
}

impl Target<'_> {
    fn kind(&self) -> Kind {
        match self {
            Target::Program(_) => Kind::Program,
            Target::Map(_) => Kind::Map,
            Target::Variable(_) => Kind::Variable,
            Target::Doc(_) => Kind::Doc,
        }
    }

    /// Rejects values that have the right type, but cannot work.
    fn check(&self) -> Result<(), String> {
        if let Target::Map(map) = self {
            return map.meanings.values().try_for_each(|name| known_meaning(name));
        }
        let Target::Variable(Variable { cmdarg: Some(cmdarg), .. }) = self else { return Ok(()) };
        let is_letter = |short: &String| {
            short.chars().count() == 1 && short.chars().all(|c| c.is_ascii_alphanumeric())
        };
        if cmdarg.short.as_ref().is_some_and(|short| !is_letter(short)) {
            return Err("`short` must be one letter or digit".into());
        }
        let is_name = |long: &String| {
            long.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                && long.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        if cmdarg.long.as_ref().is_some_and(|long| !is_name(long)) {
            return Err("`long` must consist of letters, digits, `_` and `-`".into());
        }
        let taken = ["help", "version", "verbose"];
        if cmdarg.long.as_ref().is_some_and(|long| taken.contains(&long.as_str())) {
            return Err("`help`, `version` and `verbose` are options of every package".into());
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, btf: &Btf<'_>) -> Result<(), String> {
        let name = if name == "interpreter" { "intepreter" } else { name }; // the wire spelling
        match (self, name) {
            (Target::Map(map), "records") => {
                map.records = named_records(&value, btf)?;
                Ok(())
            }
            (Target::Map(map), "record_tags") => record_tags(map, &value, btf),
            (Target::Map(map), "view") => {
                map.view = Some(merged(map.view.take(), value)?);
                Ok(())
            }
            (Target::Variable(variable), "view") => {
                variable.view = Some(merged(variable.view.take(), value)?);
                Ok(())
            }
            (Target::Map(map), "max_entries") => {
                set_key(*map, name, value)?;
                let ty = btf.map_number(&map.name, "type").unwrap_or(0);
                let check = |entries| check_entries(ty, entries).map_err(|e| e.to_string());
                map.max_entries.map_or(Ok(()), check)
            }
            (Target::Program(program), _) => set_key(*program, name, value),
            (Target::Map(map), _) => set_key(*map, name, value),
            (Target::Variable(variable), _) => set_key(*variable, name, value),
            (Target::Doc(doc), _) => set_key(*doc, name, value),
        }
    }
}

/// Sets a key by its wire name. A known key must have its type; others are kept unchanged.
fn set_key<T: Serialize + DeserializeOwned>(
    item: &mut T,
    name: &str,
    value: Value,
) -> Result<(), String> {
    let mut json = serde_json::to_value(&*item).map_err(|error| error.to_string())?;
    json[name] = value;
    *item = serde_json::from_value(json).map_err(|error| error.to_string())?;
    Ok(())
}

/// The recognized view, overridden by an annotation; text alone is the kind.
fn merged(recognized: Option<ViewMeta>, value: Value) -> Result<ViewMeta, String> {
    let said = match value {
        Value::Object(said) => said,
        Value::String(kind) => Map::from_iter([("kind".to_owned(), json!(kind))]),
        _ => return Err("it must be a kind, for example `none`, or an object".into()),
    };
    let mut view = match recognized.and_then(|view| serde_json::to_value(view).ok()) {
        // If the kind differs, none of the recognized keys applies.
        Some(Value::Object(view))
            if said.get("kind").is_none_or(|kind| view.get("kind") == Some(kind)) =>
        {
            view
        }
        _ => Map::new(),
    };
    let has_kind = view.contains_key("kind") || said.contains_key("kind");
    if !has_kind && ["scale", "slots", "unit", "step"].iter().any(|key| said.contains_key(*key)) {
        view.insert("kind".to_owned(), json!("histogram"));
    }
    view.extend(said);
    serde_json::from_value(Value::Object(view)).map_err(|error| error.to_string())
}

/// The structs that `@records` names: `["a", "b"]`, or `a, b`.
fn named_records(value: &Value, btf: &Btf<'_>) -> Result<Vec<RecordMeta>, String> {
    let names = record_names(value).ok_or("it must be a list of names of structs")?;
    if names.len() > MAX_RECORDS {
        return Err(format!("it names {} structs; the limit is {MAX_RECORDS}", names.len()));
    }
    let find = |name: String| {
        let is_it = |ty: &bpfpack_schemas::btf::Type<'_>| {
            let kinds = [BtfKind::Struct, BtfKind::Union, BtfKind::Typedef];
            kinds.contains(&ty.kind) && ty.name() == name
        };
        let found = btf.types().find(is_it);
        let ty = found.ok_or_else(|| format!("the object has no struct `{name}`"))?;
        Ok(record_type(&name, ty))
    };
    names.into_iter().map(find).collect()
}

/// The names in the value of `@records`.
fn record_names(value: &Value) -> Option<Vec<String>> {
    let bare = |name: &str| name.trim().trim_start_matches("struct ").to_owned();
    match value {
        Value::String(text) => {
            let names: Vec<String> = text.split(',').map(bare).collect();
            names.iter().all(|name| !name.is_empty()).then_some(names)
        }
        Value::Array(items) => items.iter().map(|item| item.as_str().map(bare)).collect(),
        _ => None,
    }
}

/// The structs that `@records` names in a source; they must be kept in the object.
#[must_use]
pub(crate) fn wanted_records(declarations: &[Declaration<'_>]) -> Vec<String> {
    let annotations = declarations.iter().flat_map(|declaration| &declaration.annotations);
    let values = annotations.filter(|a| a.name == "records").filter_map(|a| a.value(MAX_TEXT).ok());
    let mut names: Vec<String> =
        values.filter_map(|value| record_names(&value)).flatten().take(MAX_RECORDS).collect();
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    names.retain(is_name);
    names.sort();
    names.dedup();
    names
}

/// Sets the tags that distinguish records: `{"STRUCT": number or enumerator}`.
fn record_tags(map: &mut MapMeta, value: &Value, btf: &Btf<'_>) -> Result<(), String> {
    let Value::Object(tags) = value else { return Err("it must be an object".into()) };
    for (name, tag) in tags {
        let names: Vec<String> = map.records.iter().map(|record| record.name.clone()).collect();
        let record = map.records.iter_mut().find(|record| record.name == *name).ok_or_else(
            || match names.is_empty() {
                true => {
                    format!("the records of `{}` are unknown: name them with `@records`", map.name)
                }
                false => {
                    format!(
                        "`{name}` is not a record of `{}`; its records are {}",
                        map.name,
                        names.join(", ")
                    )
                }
            },
        )?;
        let by_name = |name: &str| {
            let enumerator = |ty: bpfpack_schemas::btf::Type<'_>| {
                ty.enumerators().find(|(known, _)| *known == name).map(|(_, value)| value)
            };
            btf.types().find_map(enumerator)
        };
        record.tag = match tag {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => by_name(text),
            _ => None,
        };
        if record.tag.is_none() {
            return Err(format!("{tag} is neither a number nor an enumerator in the object's BTF"));
        }
    }
    Ok(())
}

/// The part of the package that a declaration defines.
fn target<'m>(skeleton: &'m mut Skeleton, declaration: &Declaration<'_>) -> Option<Target<'m>> {
    if declaration.is_license {
        return Some(Target::Doc(skeleton.doc.get_or_insert_default()));
    }
    let position = |words: &[&str], name: &String| words.iter().position(|word| word == name);
    let of_function = |name: &String| position(&declaration.words, name);
    let is = |name: &String| {
        position(&declaration.outer, name).and_then(|_| position(&declaration.words, name))
    };
    let programs = skeleton.progs.iter_mut();
    let program = programs.filter_map(|p| Some((of_function(&p.name)?, Target::Program(p))));
    let maps = skeleton.maps.iter_mut().filter(|map| !map.mmaped);
    let maps = maps.filter_map(|map| Some((is(&map.ident)?, Target::Map(map))));
    let variables = skeleton.data_sections.iter_mut().flat_map(|section| &mut section.variables);
    let variables = variables.filter_map(|v| Some((is(&v.name)?, Target::Variable(v))));
    program.chain(maps).chain(variables).min_by_key(|(at, _)| *at).map(|(_, target)| target)
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
