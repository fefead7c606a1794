// SPDX-License-Identifier: MIT
//! The structs of an export header: which they are, how they get into the object's BTF, and what
//! the package says of them.

use anyhow::anyhow;
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, ExportMember, ExportType};

use crate::annotations::lexer::{Token, tokens};
use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// Tags of the structs that a header defines, in order: every `struct NAME {` outside of comments
/// and macros, structs inside of structs included.
#[must_use]
pub fn structs(header: &str) -> Vec<String> {
    let tokens: Vec<_> = tokens(header).map(|(token, _)| token).collect();
    let mut found = Vec::new();
    for window in tokens.windows(3) {
        if let [Token::Word("struct"), Token::Word(name), Token::Punct('{')] = window
            && !found.iter().any(|known| known == name)
        {
            found.push((*name).to_owned());
        }
    }
    found
}

/// Lines of C that make clang keep the structs in BTF. The names are the ones that every loader
/// of these packages knows to skip.
#[must_use]
pub fn keepers<'s>(structs: impl Iterator<Item = &'s String>) -> String {
    structs.map(|name| keeper("struct ", name)).collect()
}

/// The same for names that an annotation gives, which a source may use as a struct, a union or a
/// typedef.
#[must_use]
pub fn keepers_by_use(names: &[String], source: &str) -> String {
    let tokens: Vec<_> = tokens(source).map(|(token, _)| token).collect();
    let kind = |name: &str| {
        let tag = tokens.windows(2).find_map(|window| match window {
            [Token::Word(tag @ ("struct" | "union")), Token::Word(word)] if *word == name => {
                Some(*tag)
            }
            _ => None,
        });
        match tag {
            Some("union") => "union ",
            Some(_) => "struct ",
            None if tokens.contains(&Token::Word(name)) => "",
            None => "struct ",
        }
    };
    names.iter().map(|name| keeper(kind(name), name)).collect()
}

fn keeper(kind: &str, name: &str) -> String {
    format!("const volatile {kind}{name} *{DUMMY_PREFIX}_{name}_ptr __attribute__((unused));\n")
}

/// The descriptions of the structs.
pub fn types(structs: &[String], btf: &Btf<'_>, plan: &Plan) -> Result<Vec<ExportType>, Failure> {
    let missing = |name: &String| {
        let header = plan.export_header.as_deref().unwrap_or(&plan.source);
        Failure::new(
            exit_code::DESCRIBE,
            anyhow!(
                "`struct {name}` of `{}` is not in the object: the source does not define it",
                shown(header)
            ),
        )
        .hint("does the source include the header?")
    };
    structs
        .iter()
        .map(|name| {
            let found = btf.find(Kind::Struct, name);
            found.map(|ty| describe(ty, name)).ok_or_else(|| missing(name))
        })
        .collect()
}

/// What the package says of a struct.
#[must_use]
pub fn describe(ty: Type<'_>, name: &str) -> ExportType {
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
        assert_eq!(structs(header), ["a", "inner", "b"]);
        assert!(
            keepers(structs(header).iter()).contains("struct inner *__eunomia_dummy_inner_ptr")
        );
    }
}
