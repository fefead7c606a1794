// SPDX-License-Identifier: MIT
//! Makes an object of a source.
//!
//! The same source gives the same object wherever it is compiled: no path of the machine gets into
//! it, and the lines that the verifier's messages show are taken from the source as it was read.
//!
//! What did not change is not compiled again ([`crate::results`]). A source that begins with
//! vmlinux.h is compiled with that header precompiled, from the second source, or change, on; it is
//! made while the first of these is compiled. clang's messages are those of a compilation without
//! it: when one with it fails, it is done again without. Where clang refuses the source for a reason
//! that has a remedy ([`mend`]), it is tried again with it.

mod clang;
mod diagnostics;
mod keepers;
mod mend;
mod output;
mod system;

use std::fs;
use std::path::Path;

use anyhow::anyhow;

use crate::annotations::{self, wanted_records};
use crate::args::{Input, Plan};
use crate::export;
use crate::failure::{Failure, bad_object, exit_code, too_much, unreadable};
use crate::headers;
use crate::limits;
use crate::message::{Talk, shown};
use crate::records::{self, Facts};
use crate::results::Place;
use crate::strip;
use clang::{Attempt, Compiler};
use keepers::Keepers;

pub use system::Signals;

/// Larger sources are refused: nobody writes them.
const MAX_SOURCE: u64 = 16 << 20;

/// Larger objects are refused, as a package with one would be. With debug information, which is
/// removed, one may have more.
const MAX_OBJECT: u64 = 256 << 20;

/// What is compiled.
#[derive(Debug)]
pub struct Source {
    /// The source; empty for an object.
    pub text: String,
    /// Structs of the export header.
    pub exported: Vec<String>,
    /// Structs that annotations name.
    pub wanted: Vec<String>,
}

impl Source {
    /// Reads the source and its export header.
    pub fn read(plan: &Plan) -> Result<Source, Failure> {
        let exported = match &plan.export_header {
            Some(header) => export::structs(&read_text(header)?).map_err(|error| {
                let text = format!("can not export the structs of `{}`: {error}", shown(header));
                Failure::new(exit_code::DESCRIBE, anyhow!(text))
            })?,
            None => Vec::new(),
        };
        let text = match plan.input {
            Input::Object => String::new(),
            Input::Source | Input::Header => read_text(&plan.source)?,
        };
        let found = annotations::find(&text).map_err(|error| too_much(plan, error))?;
        let mut wanted = wanted_records(&found);
        wanted.retain(|name| !exported.contains(name));
        Ok(Source { text, exported, wanted })
    }

    /// A text alone.
    pub fn of_text(text: &str) -> Source {
        Source { text: text.to_owned(), exported: Vec::new(), wanted: Vec::new() }
    }

    /// Lines that keep structs in the object's BTF, whether or not it uses them.
    pub fn keepers(&self) -> String {
        let exported = export::keepers(self.exported.iter());
        exported + &export::keepers_by_use(&self.wanted, &self.text)
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    Ok(text_of(read(path, MAX_SOURCE, "a source has at most 16 MiB")?))
}

/// Bytes as a text. Each that belongs to no character becomes a question mark, so that columns, which
/// clang counts in bytes, stay what they are.
pub fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut bytes = error.into_bytes();
        let mut at = 0;
        while let Err(error) = std::str::from_utf8(&bytes[at..]) {
            let start = at + error.valid_up_to();
            at = error.error_len().map_or(bytes.len(), |len| start + len);
            bytes[start..at].fill(b'?');
        }
        String::from_utf8(bytes).unwrap_or_default()
    })
}

/// A file, if it is not larger than anything sensible. Devices and pipes may have no end.
pub fn read(path: &Path, most: u64, rule: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let refused = |text: String| Failure::new(exit_code::NO_INPUT, anyhow!(text));
    let file = fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let meta = file.metadata().map_err(|error| unreadable(path, error))?;
    if meta.is_file() && meta.len() > most {
        return Err(refused(format!("`{}` has {} bytes; {rule}", shown(path), meta.len())));
    }
    // One byte more tells the end: the space does not grow.
    let mut bytes = Vec::with_capacity(meta.len().min(most) as usize + 1);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > most {
        return Err(refused(format!("`{}` has no end; {rule}", shown(path))));
    }
    Ok(bytes)
}

/// An object without debug information, and what that had told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The object.
    pub object: Vec<u8>,
    /// What only the debug information says.
    pub facts: Facts,
}

/// Makes the object, or finds what was made of the source before.
pub fn compile(
    plan: &Plan,
    source: &Source,
    signals: &Signals,
    talk: &Talk,
) -> Result<Compiled, Failure> {
    if plan.input == Input::Object {
        let object = read(&plan.source, MAX_OBJECT, "an object has at most 256 MiB")?;
        return finished(plan, object);
    }
    let clang = system::find_clang(&plan.clang)?;
    let headers = headers::headers(plan, talk)?;
    let keepers = Keepers::new(plan, source)?;
    let mut compiler = Compiler::new(plan, &clang, &headers, keepers.as_ref());
    let place = compiler.place(source);
    if let Some(found) = place.as_ref().and_then(Place::find) {
        return Ok(found);
    }
    let may_precompile = plan.input == Input::Source && begins_with_vmlinux(&source.text);
    let mut first_words = None;
    let (raw, dependencies) = loop {
        let attempt = compiler.run(may_precompile, place.is_some());
        signals.check()?;
        match attempt? {
            Attempt::Made { object, dependencies, words } => {
                compiler.pass_on(&words);
                break (object, dependencies);
            }
            Attempt::Refused { words } => {
                let text = String::from_utf8_lossy(&words);
                let was_renamed = !compiler.renamed.is_empty();
                if mend::mend(&mut compiler, &text)? {
                    if !was_renamed && !compiler.renamed.is_empty() {
                        first_words = Some(words);
                    }
                    continue;
                }
                // What clang says of the other names would confuse.
                let speaks_of_others = mend::speaks_of_renamed(&compiler, &text);
                let words = first_words.filter(|_| speaks_of_others).unwrap_or(words);
                compiler.pass_on(&words);
                let failure = Failure::told(exit_code::COMPILE);
                let hint = mend::hint(&compiler, &String::from_utf8_lossy(&words));
                return Err(match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                });
            }
        }
    };
    let compiled = finished(plan, raw)?;
    let dirs = compiler.searched_dirs();
    if let (Some(mut place), Some(dependencies), Ok(dirs)) = (place, dependencies, dirs) {
        place.searched(dirs);
        place.keep(&dependencies, &compiled);
    }
    Ok(compiled)
}

/// Takes from the debug information what it tells, and removes it.
pub fn finished(plan: &Plan, raw: Vec<u8>) -> Result<Compiled, Failure> {
    limits::check(&raw).map_err(|error| too_much(plan, error))?;
    let (facts, btf) = records::facts(&raw).map_err(|error| bad_object(plan, error))?;
    let object = strip::debug_sections(raw, btf)?;
    let object = match &plan.llvm_strip {
        Some(program) => strip::with_program(program, &object)?,
        None => object,
    };
    limits::check_size(&object).map_err(|error| too_much(plan, error))?;
    Ok(Compiled { object, facts })
}

/// Whether the first directive of a source includes vmlinux.h, and nothing but comments is before.
fn begins_with_vmlinux(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        }
        .trim_start();
    }
    let directive = rest.lines().next().unwrap_or_default();
    let include =
        directive.strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix("include"));
    include.is_some_and(|rest| {
        ["<vmlinux.h>", "\"vmlinux.h\""].iter().any(|name| rest.trim_start().starts_with(name))
    })
}

#[cfg(test)]
mod tests {
    use super::{begins_with_vmlinux, text_of};

    #[test]
    fn bytes_that_are_no_text_keep_their_columns() {
        for (bytes, text) in [
            (&b"a\xffb\xe2\x80"[..], "a?b??"),
            (b"\xe9t\xc3\xa9\xe2\x82x\xff", "?t\u{e9}??x?"),
            (b"", ""),
        ] {
            assert_eq!(text_of(bytes.to_vec()), text);
        }
    }

    #[test]
    fn what_may_be_precompiled() {
        assert!(begins_with_vmlinux("#include <vmlinux.h>"));
        assert!(begins_with_vmlinux("// SPDX\n/* a\n b */\n\n# include \"vmlinux.h\"\nint x;"));
        assert!(!begins_with_vmlinux("#define A\n#include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("int x;\n#include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("#include <linux/bpf.h>"));
        assert!(!begins_with_vmlinux("// #include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("/*"));
    }
}
