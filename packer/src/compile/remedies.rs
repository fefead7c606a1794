// SPDX-License-Identifier: MIT
//! Remedies for errors of clang, and hints for errors without a remedy.
//!
//! - A source that defines a type, an enumerator or a kernel function itself conflicts with a
//!   vmlinux.h that also has it; such a source was written for kernels without it. The definition
//!   in the source is used: that of vmlinux.h gets the name `NAME___vmlinux`, which libbpf treats
//!   as the same type of the kernel, because it ignores a suffix after three underscores.
//! - A missing header of the project is searched for in directories where projects keep headers.
//! - A header that is packed alone may need vmlinux.h.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::clang::{Compiler, NEAR};
use crate::args::Vmlinux;
use crate::cache::{Kind, hex, keep_newest, new_directory};
use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::Input;
use crate::undefined::c_library;

/// The number of rounds of renaming: clang stops after 20 errors.
const MAX_RENAMED: usize = 200;

/// An error message of clang.
#[derive(Debug, PartialEq, Eq)]
struct Diagnostic {
    file: PathBuf,
    line: usize,
    column: usize,
    text: String,
}

/// Changes the compilation so that it may succeed. Returns whether it changed something.
pub(crate) fn apply(compiler: &mut Compiler<'_>, messages: &str) -> Result<bool, Failure> {
    let diagnostics = diagnostics(messages);
    if let Some(dir) = diagnostics.iter().find_map(|diagnostic| project_dir(compiler, diagnostic)) {
        compiler.more_dirs.push(dir);
        return Ok(true);
    }
    if compiler.plan.input == Input::Header
        && !compiler.with_vmlinux
        && diagnostics.iter().any(|diagnostic| diagnostic.text.starts_with("unknown type name"))
    {
        compiler.with_vmlinux = true;
        return Ok(true);
    }
    if compiler.renaming.is_none() && !compiler.vmlinux_is_ours() {
        return Ok(false);
    }
    let names: Vec<String> = diagnostics.iter().filter_map(redefined).collect();
    if names.is_empty() || compiler.renamed.len() > MAX_RENAMED {
        return Ok(false);
    }
    let vmlinux = fs::read_to_string(compiler.headers.dir.join("vmlinux.h")).unwrap_or_default();
    let before = compiler.renamed.len();
    for name in names {
        if has_word(&vmlinux, &name) && !compiler.renamed.contains(&name) {
            compiler.renamed.push(name);
        }
    }
    if compiler.renamed.len() == before {
        return Ok(false);
    }
    let made = rename(compiler).context("cannot write a vmlinux.h with other names");
    compiler.renaming = Some(made.map_err(|error| Failure::new(exit_code::OTHER, error))?);
    Ok(true)
}

/// A directory with a vmlinux.h in which names are replaced.
fn rename(compiler: &Compiler<'_>) -> anyhow::Result<PathBuf> {
    let mut text = String::new();
    for name in &compiler.renamed {
        let _ = writeln!(text, "#define {name} {name}___vmlinux");
    }
    text.push_str("#include_next <vmlinux.h>\n");
    for name in &compiler.renamed {
        let _ = writeln!(text, "#undef {name}");
    }
    let hash = hex(Sha256::new().chain_update(&text));
    // The name is a hash of the content, so every run creates the same one.
    let dir = compiler.headers.beside(Kind::Renamed, &hash);
    if !Kind::Renamed.is_at(&dir) {
        let cache = dir.parent().unwrap_or(&dir);
        let fresh = new_directory(cache)?;
        fs::write(fresh.path().join("vmlinux.h"), text)?;
        match fs::rename(fresh.path(), &dir) {
            Ok(()) => drop(fresh.keep()),
            // Another ecc may have been faster; its directory has the same content.
            Err(_) if Kind::Renamed.is_at(&dir) => {}
            Err(error) => return Err(error.into()),
        }
        keep_newest(cache, Kind::Renamed);
    }
    Ok(dir)
}

/// The directory in which the project may keep the missing header.
fn project_dir(compiler: &Compiler<'_>, diagnostic: &Diagnostic) -> Option<PathBuf> {
    let name = quoted(&diagnostic.text).next()?;
    if !diagnostic.text.ends_with("file not found") {
        return None;
    }
    let dir = compiler.plan.source_dir();
    let found = NEAR.iter().map(|near| dir.join(near)).find(|dir| dir.join(name).is_file())?;
    (!compiler.more_dirs.contains(&found)).then_some(found)
}

/// Whether clang's messages are about a replaced name.
pub(crate) fn mention_renamed(compiler: &Compiler<'_>, messages: &str) -> bool {
    diagnostics(messages).iter().any(|diagnostic| {
        compiler
            .renamed
            .iter()
            .any(|name| diagnostic.text.contains("___vmlinux") || has_word(&diagnostic.text, name))
    })
}

/// The hint for errors that clang's messages alone do not explain.
pub(crate) fn hint(compiler: &Compiler<'_>, messages: &str) -> Option<String> {
    let can_not_select = messages.contains("error in backend: Cannot select");
    if can_not_select && [" sdiv ", " srem "].iter().any(|word| messages.contains(word)) {
        return Some(
            "it divides signed numbers, which requires Linux 6.6: compile with clang 18 or newer \
             and --mcpu v4, or divide unsigned numbers"
                .to_owned(),
        );
    }
    let in_library = |diagnostic: &Diagnostic| {
        let is_it = diagnostic.text.starts_with("A call to built-in function");
        quoted(&diagnostic.text).next().filter(|_| is_it).and_then(c_library)
    };
    if let Some(hint) = diagnostics(messages).iter().find_map(in_library) {
        return Some(hint.to_owned());
    }
    let dir = &compiler.headers.dir;
    let vmlinux = fs::read_to_string(dir.join("vmlinux.h")).unwrap_or_default();
    let which = match &compiler.plan.vmlinux {
        _ if !compiler.vmlinux_is_ours() && compiler.renaming.is_none() => return None,
        Vmlinux::Bundled => format!("the bundled vmlinux.h (Linux {})", version(&vmlinux)),
        Vmlinux::Kernel => "the running kernel's vmlinux.h".to_owned(),
        Vmlinux::File(path) => format!("`{}`", shown(path)),
    };
    let remedy = "if the source is for an older or a newer kernel, use the types of that kernel: \
                  --vmlinux kernel for the running one, or --vmlinux FILE";
    diagnostics(messages).iter().find_map(|diagnostic| {
        let text = &diagnostic.text;
        let names: Vec<&str> = quoted(text).collect();
        if text.ends_with("file not found") {
            let name = names.first()?;
            return Some(format!("if the project has `{name}`, name its directory with -I"));
        }
        if text.starts_with("no member named") {
            let (member, owner) = (names.first()?, names.get(1)?);
            let tag = owner.trim_start_matches("struct ").trim_start_matches("union ");
            return has_word(&vmlinux, tag)
                .then(|| format!("`{owner}` of {which} has no member `{member}`; {remedy}"));
        }
        let is_missing = [
            "unknown type name",
            "use of undeclared identifier",
            "implicit declaration of function",
            "incomplete definition of type",
            "variable has incomplete type",
            "field has incomplete type",
            "invalid application of 'sizeof' to an incomplete type",
            "call to undeclared function",
        ];
        if !is_missing.iter().any(|start| text.starts_with(start)) {
            return None;
        }
        let name = names.iter().rfind(|name| **name != "sizeof")?;
        let bare = name.trim_start_matches("struct ").trim_start_matches("enum ");
        if has_word(&vmlinux, bare) {
            return None;
        }
        let helpers = fs::read_to_string(dir.join("bpf/bpf_helpers.h")).unwrap_or_default();
        if has_word(&helpers, bare) {
            return Some(format!("`{name}` is in <bpf/bpf_helpers.h>: include it after vmlinux.h"));
        }
        if bare.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            return Some(format!(
                "vmlinux.h has the kernel's types, but no macros: if `{name}` is one, `#define` it \
                 in the source; {remedy}"
            ));
        }
        Some(format!("{which} has no `{name}`; {remedy}"))
    })
}

/// The kernel version of a bundled vmlinux.h, from its first line.
fn version(vmlinux: &str) -> &str {
    let first = vmlinux.lines().next().unwrap_or_default();
    let number = first.split_once("linux-image-").map_or("", |(_, rest)| rest);
    let is_end = |c: char| !(c.is_ascii_digit() || c == '.');
    let number = &number[..number.find(is_end).unwrap_or(number.len())];
    number.match_indices('.').nth(1).map_or(number, |(at, _)| &number[..at])
}

/// The name that is defined twice, according to a diagnostic.
fn redefined(diagnostic: &Diagnostic) -> Option<String> {
    let text = &diagnostic.text;
    let says = ["redefinition of ", "conflicting types for ", "typedef redefinition with "];
    let tag = text.starts_with("use of ") && text.contains("tag type that does not match");
    if !tag && !says.iter().any(|start| text.starts_with(start)) {
        return None;
    }
    if text.starts_with("typedef") {
        // The message names the types, not the typedef, which is at the location of the diagnostic.
        let source = fs::read_to_string(&diagnostic.file).ok()?;
        let line = source.lines().nth(diagnostic.line.checked_sub(1)?)?;
        let rest = line.get(diagnostic.column.checked_sub(1)?..)?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        return (!name.is_empty()).then(|| name.to_owned());
    }
    quoted(text).next().map(str::to_owned)
}

/// Texts in single quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('\'').skip(1).step_by(2)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
        })
}

fn diagnostics(messages: &str) -> Vec<Diagnostic> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clangs_words() {
        let messages = "In file included from x.c:1:\n./a b.h:8:10: fatal error: 'scx/c.h' file not \
            found\n#include <scx/c.h>\nx.c:3:8: \u{1b}[0;31merror: \u{1b}[0mredefinition of \
            'hid'\nx.c:4:1: error: conflicting types for 'f'; have 'int'\n1 error generated.\n";
        let found = diagnostics(messages);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].file, Path::new("./a b.h"));
        assert_eq!((found[0].line, found[0].column), (8, 10));
        assert_eq!(redefined(&found[0]), None);
        assert_eq!(redefined(&found[1]).as_deref(), Some("hid"));
        assert_eq!(redefined(&found[2]).as_deref(), Some("f"));
    }

    #[test]
    fn words_in_text() {
        assert!(has_word("struct a_b {", "a_b"));
        assert!(!has_word("struct a_bc { xa_b }", "a_b"));
        assert!(!has_word("", ""));
        assert_eq!(version("/* Types of Debian's linux-image-6.18.15+deb13-amd64 */"), "6.18");
        assert_eq!(version("#ifndef X"), "");
    }
}
