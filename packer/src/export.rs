// SPDX-License-Identifier: MIT
//! The structs of an export header: which ones it defines, how they get into the object's BTF, and
//! how the package describes them.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, ExportMember, ExportType, RecordMeta};

use crate::failure::{Failure, exit_code, too_much};
use crate::lexer::{Token, tokens};
use crate::limits::Exported;
use crate::message::shown;
use crate::options::DescribeOptions;

/// The largest number of exported structs of a header.
const MAX_STRUCTS: usize = 4096;

/// The longest name of a struct, in bytes.
const MAX_NAME: usize = 1024;

/// The tags of the structs that a header defines, in order: every `struct NAME {` outside comments
/// and macros, including nested structs.
///
/// # Errors
/// There are more than the limit.
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

/// Lines of C that make clang keep the structs in BTF. All loaders of this package format skip
/// variables with these names.
#[must_use]
pub(crate) fn keepers<'s>(structs: impl Iterator<Item = &'s String>) -> String {
    structs.map(|name| keeper("struct ", name)).collect()
}

/// The same for the names in an annotation, which may be a struct, a union or a typedef.
#[must_use]
pub(crate) fn keepers_by_use(names: &[String], source: &str) -> String {
    // How the source uses each name: after a tag keyword, or alone.
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

/// The description of a struct in the package.
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

/// The description of a struct that is written to a buffer.
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
