// SPDX-License-Identifier: MIT
//! Reads annotations in the object itself: declaration tags (`btf_decl_tag`) of the header
//! `annotate.bpf.h`, with which an object describes itself without its source.

use bpfpack_schemas::btf::{Btf, Kind};

use super::{Annotation, Declaration, MAX_FOUND, MAX_TEXT, TooMany};

/// The prefix of our tags: `bpfpack.sample {"interval": 1000}`.
const PREFIX: &str = "bpfpack.";

/// The size of all tags in bytes: an object may contain one text under many names.
const MAX_TEXTS: usize = 1 << 20;

/// Reads the tags of an object.
///
/// # Errors
/// There are more than in any real object.
pub(crate) fn tags<'b>(btf: &'b Btf<'_>) -> Result<Vec<Declaration<'b>>, TooMany> {
    let license = btf.section_vars("license");
    let mut found: Vec<Declaration<'b>> = Vec::new();
    let (mut count, mut len) = (0, 0);
    for tag in btf.types().filter(|ty| ty.kind == Kind::DeclTag && ty.tagged_member().is_none()) {
        let Some(text) = tag.name().strip_prefix(PREFIX) else { continue };
        let target = tag.target();
        if !matches!(target.kind, Kind::Var | Kind::Func) {
            continue;
        }
        count += 1;
        len += text.len();
        if count > MAX_FOUND || len > MAX_TEXTS {
            return Err(TooMany("annotations"));
        }
        let (name, text) = text.split_once(' ').unwrap_or((text, ""));
        let text = text.trim();
        let annotation = Annotation {
            name: name.to_owned(),
            text: text[..text.floor_char_boundary(MAX_TEXT)].to_owned(),
            is_cut: text.len() > MAX_TEXT,
            at: None,
            lines: Vec::new(),
        };
        let words = vec![target.name()];
        match found.iter_mut().find(|declaration| declaration.words == words) {
            Some(declaration) => declaration.annotations.push(annotation),
            None => found.push(Declaration {
                is_license: license.iter().any(|var| var.name == target.name()),
                outer: words.clone(),
                words,
                annotations: vec![annotation],
                comment: None,
            }),
        }
    }
    Ok(found)
}
