// SPDX-License-Identifier: MIT
//! The errors in clang's messages, and what they say is missing in a vmlinux.h.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error message of clang.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: String,
}

/// The errors in clang's messages.
pub(super) fn diagnostics(messages: &str) -> Vec<Diagnostic> {
    let plain = anstream::adapter::strip_str(messages).to_string();
    let parse = |line: &str| {
        let (location, text) =
            line.split_once(": error: ").or_else(|| line.split_once(": fatal error: "))?;
        let mut parts = location.rsplitn(3, ':');
        let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let file = Path::new(parts.next()?).to_owned();
        Some(Diagnostic { file, line, column, text: text.to_owned() })
    };
    plain.lines().filter_map(parse).collect()
}

/// What an error says is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing<'a> {
    /// A type has no such member.
    Member { member: &'a str, owner: &'a str },
    /// A name is not defined. It may have a keyword (`struct x`).
    Name(&'a str),
    /// A member has another type than the source expects.
    OtherType,
}

impl<'a> Missing<'a> {
    /// Reads the text of an error.
    pub(super) fn parse(text: &'a str) -> Option<Missing<'a>> {
        // A name that clang suggests is not the one that is missing.
        let text = text.split_once("; did you mean").map_or(text, |(before, _)| before);
        let mut names = quoted(text).filter(|name| *name != "sizeof");
        let first = names.next()?;
        if text.starts_with("no member named") {
            // The last name is the type itself, if the one before is a typedef.
            return Some(Missing::Member { member: first, owner: names.last()? });
        }
        let is_undefined = [
            "unknown type name",
            "use of undeclared identifier",
            "implicit declaration of function",
            "incomplete definition of type",
            "variable has incomplete type",
            "field has incomplete type",
            "tentative definition has type",
            "invalid application of 'sizeof' to an incomplete type",
            "call to undeclared function",
        ];
        if is_undefined.iter().any(|start| text.starts_with(start)) {
            return Some(Missing::Name(names.last().unwrap_or(first)));
        }
        text.starts_with("member reference").then_some(Missing::OtherType)
    }

    /// Whether a vmlinux.h has it; `None` if that cannot be told.
    pub(super) fn is_in(self, vmlinux: &str) -> Option<bool> {
        match self {
            Missing::Member { member, owner } => {
                definition(vmlinux, owner).map(|definition| has_word(definition, member))
            }
            Missing::Name(name) => Some(has_word(vmlinux, without_keyword(name))),
            Missing::OtherType => None,
        }
    }
}

/// As a note names it: `dentry.d_iname`, `struct mm_rss_stat`.
impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Member { member, owner } => write!(f, "{}.{member}", without_keyword(owner)),
            Missing::Name(name) => f.write_str(name),
            Missing::OtherType => Ok(()),
        }
    }
}

/// The name of a type without `struct`, `union` or `enum`.
pub(super) fn without_keyword(name: &str) -> &str {
    let keywords = ["struct ", "union ", "enum "];
    keywords.iter().find_map(|keyword| name.strip_prefix(keyword)).unwrap_or(name)
}

/// The definition of a type in a vmlinux.h: `struct x`, `union x`, or the name of a typedef whose
/// struct has no name.
fn definition<'a>(vmlinux: &'a str, owner: &str) -> Option<&'a str> {
    let (start, end) = if without_keyword(owner) == owner {
        let end = vmlinux.find(&format!("\n}} {owner};"))?;
        (vmlinux[..end].rfind("\n\n")?, end)
    } else {
        let start = vmlinux.find(&format!("\n{owner} {{\n"))?;
        (start, start + vmlinux[start..].find("\n}")?)
    };
    Some(&vmlinux[start..end])
}

/// Texts in single quotes.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('\'').skip(1).step_by(2)
}

pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VMLINUX: &str = "\nstruct dentry {\n\tunion {\n\t\tint d_u;\n\t};\n\tchar d_iname[32];\n};\n\n\
        typedef struct {\n\tint counter;\n} atomic_t;\n\nstruct page;\n\nenum e {\n\tE_ONE = 1,\n};\n";

    #[test]
    fn errors_are_found_among_other_lines() {
        let messages = "In file included from x.c:1:\n./a b.h:8:10: fatal error: 'scx/c.h' file not \
            found\n#include <scx/c.h>\nx.c:3:8: \u{1b}[0;31merror: \u{1b}[0mredefinition of \
            'hid'\nx.c:4:1: warning: unused\n1 error generated.\n";
        let found = diagnostics(messages);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].file, Path::new("./a b.h"));
        assert_eq!((found[0].line, found[0].column), (8, 10));
        assert_eq!(found[1].text, "redefinition of 'hid'");
    }

    #[test]
    fn what_is_missing() {
        let member = |member, owner| Some(Missing::Member { member, owner });
        for (text, expected) in [
            ("no member named 'a' in 'struct b'", member("a", "struct b")),
            ("no member named 'a' in 'b_t' (aka 'struct b')", member("a", "struct b")),
            ("no member named 'a' in 'struct b'; did you mean '__a'?", member("a", "struct b")),
            ("unknown type name 'b_t'", Some(Missing::Name("b_t"))),
            ("use of undeclared identifier 'A'; did you mean 'B'?", Some(Missing::Name("A"))),
            ("variable has incomplete type 'struct b'", Some(Missing::Name("struct b"))),
            (
                "invalid application of 'sizeof' to an incomplete type 'struct b'",
                Some(Missing::Name("struct b")),
            ),
            (
                "member reference base type 'struct b[4]' is not a structure or union",
                Some(Missing::OtherType),
            ),
            ("expected ';' after expression", None),
            ("redefinition of 'b'", None),
        ] {
            assert_eq!(Missing::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_a_vmlinux_has() {
        let member = |member, owner| Missing::Member { member, owner }.is_in(VMLINUX);
        assert_eq!(member("d_iname", "struct dentry"), Some(true));
        assert_eq!(member("d_u", "struct dentry"), Some(true));
        assert_eq!(member("counter", "struct dentry"), Some(false));
        assert_eq!(member("counter", "atomic_t"), Some(true));
        assert_eq!(member("E_ONE", "atomic_t"), Some(false));
        assert_eq!(member("x", "struct page"), None);
        assert_eq!(member("x", "union (anonymous)"), None);
        let name = |name| Missing::Name(name).is_in(VMLINUX);
        assert_eq!((name("struct dentry"), name("struct dentr")), (Some(true), Some(false)));
        assert_eq!(name("E_ONE"), Some(true));
        let text = Missing::Member { member: "d_iname", owner: "struct dentry" }.to_string();
        assert_eq!(text, "dentry.d_iname");
    }

    #[test]
    fn words_in_text() {
        assert!(has_word("struct a_b {", "a_b"));
        assert!(!has_word("struct a_bc { xa_b }", "a_b"));
        assert!(!has_word("", ""));
    }
}
