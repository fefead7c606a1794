// SPDX-License-Identifier: MIT
//! Annotations that are in the object itself: declaration tags (`btf_decl_tag`) that our header
//! `annotate.bpf.h` makes, so that an object describes itself without its source.

use bpfpack_schemas::btf::{Btf, Kind};

use super::{Annotation, Declaration};

/// What our tags begin with: `bpfpack.sample {"interval": 1000}`.
const PREFIX: &str = "bpfpack.";

/// Reads the tags of an object.
#[must_use]
pub fn tags(btf: &Btf<'_>) -> Vec<Declaration> {
    let license = btf.section_vars("license");
    let mut found: Vec<Declaration> = Vec::new();
    for tag in btf.types().filter(|ty| ty.kind == Kind::DeclTag && ty.tagged_member().is_none()) {
        let Some(text) = tag.name().strip_prefix(PREFIX) else { continue };
        let target = tag.target();
        if !matches!(target.kind, Kind::Var | Kind::Func) {
            continue;
        }
        let (name, text) = text.split_once(' ').unwrap_or((text, ""));
        let annotation = Annotation {
            name: name.to_owned(),
            text: text.trim().to_owned(),
            at: None,
            lines: Vec::new(),
        };
        let words = vec![target.name().to_owned()];
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
    found
}
