// SPDX-License-Identifier: MIT
//! The structs of an export header: which they are, how they get into the object's BTF, and what
//! the package says of them.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, ExportMember, ExportType, RecordMeta};

use crate::failure::{Failure, exit_code, too_much};
use crate::lexer::{Token, tokens};
use crate::limits::Exported;
use crate::message::shown;
use crate::options::DescribeOptions;

/// Structs of a header that are exported at most.
const MAX_STRUCTS: usize = 4096;

/// Bytes of a struct's name.
const MAX_NAME: usize = 1024;

/// Tags of the structs that a header defines, in order: every `struct NAME {` outside of comments
/// and macros, structs inside of structs included.
///
/// # Errors
/// When there are more than the limit.
pub(crate) fn structs(header: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    let mut before = [Token::Punct(' '); 2];
    for (token, _) in tokens(header) {
        if let [Token::Word("struct"), Token::Word(name)] = before
            && token == Token::Punct('{')
            && name.len() <= MAX_NAME
            && known.insert(name)
        {
            if found.len() == MAX_STRUCTS {
                return Err(format!("it defines more than {MAX_STRUCTS}"));
            }
            found.push(name.to_owned());
        }
        before = [before[1], token];
    }
    Ok(found)
}

/// Lines of C that make clang keep the structs in BTF. The names are the ones that every loader
/// of these packages knows to skip.
#[must_use]
pub(crate) fn keepers<'s>(structs: impl Iterator<Item = &'s String>) -> String {
    structs.map(|name| keeper("struct ", name)).collect()
}

/// The same for names that an annotation gives, which a source may use as a struct, a union or a
/// typedef.
#[must_use]
pub(crate) fn keepers_by_use(names: &[String], source: &str) -> String {
    // What each name is used as: with a tag before it, or else alone.
    let mut kinds: BTreeMap<&str, Option<&str>> =
        names.iter().map(|name| (name.as_str(), None)).collect();
    let mut before = Token::Punct(' ');
    for (token, _) in tokens(source) {
        if let Token::Word(word) = token
            && let Some(kind) = kinds.get_mut(word)
        {
            match (before, &kind) {
                (_, Some("struct " | "union ")) => {}
                (Token::Word("struct"), _) => *kind = Some("struct "),
                (Token::Word("union"), _) => *kind = Some("union "),
                _ => *kind = Some(""),
            }
        }
        before = token;
    }
    let kind = |name: &String| kinds.get(name.as_str()).copied().flatten().unwrap_or("struct ");
    names.iter().map(|name| keeper(kind(name), name)).collect()
}

fn keeper(kind: &str, name: &str) -> String {
    format!("const volatile {kind}{name} *{DUMMY_PREFIX}_{name}_ptr __attribute__((unused));\n")
}

/// The descriptions of the structs.
pub(crate) fn types(
    structs: &[String],
    btf: &Btf<'_>,
    options: &DescribeOptions,
) -> Result<Vec<ExportType>, Failure> {
    let missing = |name: &String| {
        let header = options.export_header.as_deref().unwrap_or(&options.source);
        Failure::new(
            exit_code::DESCRIBE,
            anyhow!(
                "`struct {name}` of `{}` is not in the object: the source does not contain it",
                shown(header)
            ),
        )
        .hint("does the source include the header?")
    };
    let mut exported = Exported::default();
    structs
        .iter()
        .map(|name| {
            let found = btf.find(Kind::Struct, name).ok_or_else(|| missing(name))?;
            let ty = describe(found, name);
            exported.add(&ty).map_err(|error| too_much(&options.source, error))?;
            Ok(ty)
        })
        .collect()
}

/// What the package says of a struct.
#[must_use]
pub(crate) fn describe(ty: Type<'_>, name: &str) -> ExportType {
    ExportType {
        name: name.to_owned(),
        members: ty
            .members()
            .map(|member| ExportMember {
                name: member.name.to_owned(),
                ty: ty.sibling(member.ty).spelling(),
                other: Default::default(),
            })
            .collect(),
        size: ty.size().and_then(|size| u32::try_from(size).ok()).unwrap_or(0),
        type_id: ty.id,
        other: Default::default(),
    }
}

/// What the package says of a struct that is written to a buffer.
pub(crate) fn record_type(name: &str, ty: Type<'_>) -> RecordMeta {
    let ty = ty.resolved();
    RecordMeta {
        name: name.to_owned(),
        size: ty.size().and_then(|size| u32::try_from(size).ok()).unwrap_or(0),
        btf_type_id: ty.id,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_of_a_header() {
        let header = "
            // struct comment { int x; };
            #define S struct macro { int a; }
            struct a { struct inner { int x; } i; };
            typedef struct b { int y; } b_t;
            struct only_declared;
            struct { int z; } anonymous;
            union u { int a; };
            static struct a make(struct b *b);";
        let found = structs(header).unwrap();
        assert_eq!(found, ["a", "inner", "b"]);
        assert!(keepers(found.iter()).contains("struct inner *__eunomia_dummy_inner_ptr"));
        let many: String = (0..=MAX_STRUCTS).map(|at| format!("struct s{at} {{}};")).collect();
        assert!(structs(&many).is_err());
        assert_eq!(structs(&"struct s { int a; };".repeat(MAX_STRUCTS + 1)).unwrap(), ["s"]);
    }

    #[test]
    fn names_are_kept_as_they_are_used() {
        let names = ["s", "u", "t", "none"].map(String::from);
        let source = "struct s a; s; t x; union u { int u; }; struct u_ y; t struct t_ z;";
        let kept = keepers_by_use(&names, source);
        for line in
            ["volatile struct s *", "volatile union u *", "volatile t *", "volatile struct none *"]
        {
            assert!(kept.contains(line), "{kept}");
        }
    }
}
