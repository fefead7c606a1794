// SPDX-License-Identifier: MIT
//! `///` comments above declarations, and what they mean for the package.
//!
//! [`find`] reads them from the source's text, by tokens, not by a C parser: a comment belongs to
//! the declaration that follows it, or in which it stands outside of braces. [`apply`] puts each
//! on the map, variable or program of the object that the declaration names.

pub mod lexer;

use std::path::Path;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::meta::{Doc, MapMeta, ProgMeta, Skeleton, Variable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Failure, exit_code};
use crate::message::Talk;
use lexer::{Position, Token};

/// A declaration at the top level, with the comments that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Its identifiers outside of braces, up to an initializer: one of them is its name.
    pub words: Vec<String>,
    /// Whether it is in the section `license`, which holds the documentation of the whole.
    pub is_license: bool,
    /// Its annotations, in order.
    pub annotations: Vec<Annotation>,
}

/// A `@name text`, or text without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The name without `@`; `description` for text without one.
    pub name: String,
    /// The text, lines joined.
    pub text: String,
    /// Where it begins.
    pub at: Position,
}

/// Reads the declarations that have comments.
#[must_use]
pub fn find(text: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let mut current = Pending::default();
    let mut depth = 0usize;
    for (token, at) in lexer::tokens(text) {
        match token {
            Token::Doc(text) if depth == 0 => current.docs.push((text.to_owned(), at)),
            Token::Doc(_) => {}
            // What stands above a directive belongs to the directive.
            Token::Directive(_) if depth == 0 && current.words.is_empty() => {
                current.finish(&mut found);
            }
            Token::Directive(_) => {}
            Token::Punct('{') => depth += 1,
            Token::Punct('}') => {
                depth = depth.saturating_sub(1);
                // A function's body ends it; a struct goes on to its name.
                if depth == 0 && current.after_parenthesis {
                    current.finish(&mut found);
                }
            }
            _ if depth > 0 => {}
            Token::Punct(';') => current.finish(&mut found),
            Token::Punct('=') => current.initializer = true,
            Token::Punct(')') => current.after_parenthesis = true,
            Token::Word(word) => {
                current.after_parenthesis = false;
                if !current.initializer {
                    current.words.push(word.to_owned());
                }
            }
            Token::Str("license") => current.is_license = true,
            Token::Str(_) | Token::Punct(_) => {}
        }
    }
    current.finish(&mut found);
    found
}

#[derive(Default)]
struct Pending {
    docs: Vec<(String, Position)>,
    words: Vec<String>,
    is_license: bool,
    initializer: bool,
    /// The last token outside of braces was `)`, so that a brace opens a function's body.
    after_parenthesis: bool,
}

impl Pending {
    fn finish(&mut self, found: &mut Vec<Declaration>) {
        let done = std::mem::take(self);
        if !done.docs.is_empty() {
            found.push(Declaration {
                words: done.words,
                is_license: done.is_license,
                annotations: split(&done.docs),
            });
        }
    }
}

/// Cuts comment lines at each `@name` that begins one.
fn split(docs: &[(String, Position)]) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = Vec::new();
    for (line, at) in docs {
        let text = line.trim();
        match text.strip_prefix('@') {
            Some(rest) => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                    .unwrap_or(rest.len());
                let (name, text) = rest.split_at(end);
                found.push(Annotation { name: name.into(), text: text.trim().into(), at: *at });
            }
            None if text.is_empty() => {}
            None => match found.last_mut() {
                Some(last) => {
                    last.text.push('\n');
                    last.text.push_str(text);
                }
                None => found.push(Annotation {
                    name: "description".into(),
                    text: text.into(),
                    at: *at,
                }),
            },
        }
    }
    found
}

/// Keys that say what a thing is; no annotation changes them.
const RESERVED: [&str; 6] = ["name", "ident", "type", "attach", "link", "mmaped"];

/// Annotations whose value is an object; a text that is none is a slip.
const STRUCTURED: [&str; 5] = ["sample", "cmdarg", "xdpopts", "tchook", "tcopts"];

/// Annotations whose value is a text, whatever it looks like.
const TEXTS: [&str; 4] = ["description", "brief", "details", "version"];

/// Puts the annotations on what they stand above.
///
/// # Errors
/// When one that the format knows has a value that no loader could read.
pub fn apply(
    mut meta: Meta,
    declarations: &[Declaration],
    source: &Path,
    talk: &Talk,
) -> Result<Meta, Failure> {
    for declaration in declarations {
        let Some(mut target) =
            target(&mut meta.bpf_skel, &declaration.words, declaration.is_license)
        else {
            // A plain comment on a helper or a constant is none of the package's business.
            for annotation in declaration.annotations.iter().filter(|a| a.name != "description") {
                let warning = format!(
                    "`@{}` stands above nothing that the object holds; it is left out",
                    annotation.name
                );
                talk.warning(&annotation.locate(source, &warning));
            }
            continue;
        };
        for annotation in &declaration.annotations {
            match annotation.value() {
                Ok(value) => {
                    let name = if annotation.name == "interpreter" {
                        "intepreter" // the wire has this spelling
                    } else {
                        &annotation.name
                    };
                    let result = target.set(name, value).map_err(|error| error.to_string());
                    result.and_then(|()| target.check()).map_err(|error| {
                        let text = format!("`@{}`: {error}", annotation.name);
                        let text = annotation.locate(source, &text);
                        Failure::new(exit_code::DESCRIBE, anyhow!(text))
                    })?;
                }
                Err(why) => {
                    let warning = format!("`@{}` is left out: {why}", annotation.name);
                    talk.warning(&annotation.locate(source, &warning));
                }
            }
        }
    }
    Ok(meta)
}

impl Annotation {
    fn locate(&self, source: &Path, text: &str) -> String {
        format!("{}:{}:{}: {text}", source.display(), self.at.line, self.at.column)
    }

    /// The text as JSON, where it is JSON, else as a string; `true` where there is none.
    fn value(&self) -> Result<Value, String> {
        if RESERVED.contains(&self.name.as_str()) {
            return Err("it is no annotation but what the object itself says".into());
        }
        if TEXTS.contains(&self.name.as_str()) {
            let text = serde_json::from_str::<String>(&self.text);
            return Ok(Value::String(text.unwrap_or_else(|_| self.text.clone())));
        }
        if self.text.is_empty() {
            return Ok(Value::Bool(true));
        }
        match serde_json::from_str(&self.text) {
            Ok(value) => Ok(value),
            Err(error)
                if self.text.starts_with(['{', '[', '"'])
                    || STRUCTURED.contains(&self.name.as_str()) =>
            {
                Err(format!("not valid JSON: {error}"))
            }
            Err(_) => Ok(Value::String(self.text.clone())),
        }
    }
}

/// What an annotation stands on.
enum Target<'m> {
    Program(&'m mut ProgMeta),
    Map(&'m mut MapMeta),
    Variable(&'m mut Variable),
    Doc(&'m mut Doc),
}

impl Target<'_> {
    /// What has the right type, and still can not work.
    fn check(&self) -> Result<(), String> {
        let Target::Variable(Variable { cmdarg: Some(cmdarg), .. }) = self else { return Ok(()) };
        let is_letter = |short: &String| {
            short.chars().count() == 1 && short.chars().all(|c| c.is_ascii_alphanumeric())
        };
        if cmdarg.short.as_ref().is_some_and(|short| !is_letter(short)) {
            return Err("`short` has to be one letter or digit".into());
        }
        let is_name = |long: &String| {
            long.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                && long.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        if cmdarg.long.as_ref().is_some_and(|long| !is_name(long)) {
            return Err("`long` has to be made of letters, digits, `_` and `-`".into());
        }
        let taken = ["help", "version", "verbose"];
        if cmdarg.long.as_ref().is_some_and(|long| taken.contains(&long.as_str())) {
            return Err("`help`, `version` and `verbose` are options of every package".into());
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), serde_json::Error> {
        match self {
            Target::Program(program) => set_key(*program, name, value),
            Target::Map(map) => set_key(*map, name, value),
            Target::Variable(variable) => set_key(*variable, name, value),
            Target::Doc(doc) => set_key(*doc, name, value),
        }
    }
}

/// Sets a key by its wire name: known ones must have their type, others are kept as they are.
fn set_key<T: Serialize + DeserializeOwned>(
    item: &mut T,
    name: &str,
    value: Value,
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::to_value(&*item)?;
    json[name] = value;
    *item = serde_json::from_value(json)?;
    Ok(())
}

/// The part of the package that a declaration names.
fn target<'m>(
    skeleton: &'m mut Skeleton,
    words: &[String],
    is_license: bool,
) -> Option<Target<'m>> {
    if is_license {
        return Some(Target::Doc(skeleton.doc.get_or_insert_default()));
    }
    let is = |name: &String| words.iter().position(|word| word == name);
    let program =
        skeleton.progs.iter_mut().filter_map(|p| Some((is(&p.name)?, Target::Program(p))));
    let maps = skeleton.maps.iter_mut().filter(|map| !map.mmaped);
    let maps = maps.filter_map(|map| Some((is(&map.ident)?, Target::Map(map))));
    let variables = skeleton.data_sections.iter_mut().flat_map(|section| &mut section.variables);
    let variables = variables.filter_map(|v| Some((is(&v.name)?, Target::Variable(v))));
    program.chain(maps).chain(variables).min_by_key(|(at, _)| *at).map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_schemas::meta::{DataSection, SampleKind};
    use serde_json::json;

    const SOURCE: &str = r#"
/// What it does.
/// @cmdarg {"short": "p",
///          "long": "pid"}
const volatile int targ_pid = 0, other;

/// @sample {"interval": 1000, "type": "log2_hist"}
struct {
	/// not this
	__uint(type, BPF_MAP_TYPE_HASH);
} hists SEC(".maps");

static int helper(int x)
{
	/// @sample not this either
	return x;
}

/// @flags 0
SEC("xdp")
/// @ifindex 2
/// @title two words
int BPF_PROG(handle, int hists)
{
	return helper(0);
}

/// @brief A tool
/// @version 1.0
/// @details "quoted"
char LICENSE[] SEC("license") = "GPL";
"#;

    fn meta() -> Meta {
        let variable = |name: &str| Variable {
            name: name.into(),
            ty: "int".into(),
            value: None,
            description: None,
            cmdarg: None,
            sample: None,
            hidden: false,
            view: None,
            other: Default::default(),
        };
        let mut meta = Meta::default();
        meta.bpf_skel.data_sections = vec![DataSection {
            name: ".rodata".into(),
            variables: vec![variable("targ_pid"), variable("other")],
            other: Default::default(),
        }];
        meta.bpf_skel.maps =
            vec![MapMeta { name: "hists".into(), ident: "hists".into(), ..Default::default() }];
        meta.bpf_skel.progs = vec![ProgMeta {
            name: "handle".into(),
            attach: "xdp".into(),
            link: true,
            autoload: None,
            other: Default::default(),
        }];
        meta
    }

    fn applied(source: &str) -> Result<Meta, Failure> {
        apply(meta(), &find(source), Path::new("x.bpf.c"), &Talk::new(false))
    }

    #[test]
    fn each_annotation_finds_its_place() {
        let meta = applied(SOURCE).unwrap();
        let variable = &meta.bpf_skel.data_sections[0].variables[0];
        assert_eq!(variable.description.as_deref(), Some("What it does."));
        assert_eq!(variable.cmdarg.as_ref().unwrap().long.as_deref(), Some("pid"));
        assert_eq!(meta.bpf_skel.data_sections[0].variables[1].description, None);
        let sample = meta.bpf_skel.maps[0].sample.as_ref().unwrap();
        assert_eq!((sample.interval, sample.kind), (1000, SampleKind::Log2Histogram));
        let program = &meta.bpf_skel.progs[0];
        assert_eq!(program.other["flags"], json!(0));
        assert_eq!(program.other["ifindex"], json!(2));
        assert_eq!(program.other["title"], json!("two words"));
        let doc = meta.bpf_skel.doc.unwrap();
        assert_eq!(doc.brief.as_deref(), Some("A tool"));
        assert_eq!(doc.version.as_deref(), Some("1.0"));
        assert_eq!(doc.details.as_deref(), Some("quoted"));
    }

    #[test]
    fn values_that_no_loader_could_read_are_refused_with_their_place() {
        let failure =
            applied("\n/// @sample {\"type\": \"log2_hist\"}\nstruct {} hists SEC(\".maps\");")
                .unwrap_err();
        assert_eq!(failure.exit_code, exit_code::DESCRIBE);
        let text = format!("{failure:?}");
        assert!(text.contains("x.bpf.c:2:1: `@sample`: missing field `interval`"), "{text}");
    }

    #[test]
    fn slips_are_left_out() {
        let meta = applied(
            "/// @sample {broken\nstruct {} hists;\n/// @name x\nint targ_pid;\n\
             /// @sample {}\n#define A\nint other;",
        )
        .unwrap();
        assert_eq!(meta, super::tests::meta());
    }
}
