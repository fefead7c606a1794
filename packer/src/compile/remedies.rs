// SPDX-License-Identifier: MIT
//! Remedies for errors of clang, and hints for errors without a remedy.
//!
//! - A source that defines a type, an enumerator or a kernel function itself conflicts with a
//!   vmlinux.h that also has it; such a source was written for kernels without it. The definition
//!   in the source is used: that of vmlinux.h gets the name `NAME___vmlinux`, which libbpf treats
//!   as the same type of the kernel, because it ignores a suffix after three underscores.
//! - A missing header of the project is searched for in directories where projects keep headers.
//! - A header that is packed alone may need vmlinux.h.
//!
//! The types of another kernel are a remedy, too: [`super::older`].

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use bpfpack_bpf::Release;
use sha2::{Digest as _, Sha256};

use super::clang::{Compiler, NEAR};
use super::missing::{Diagnostic, Missing, diagnostics, has_word, quoted, without_keyword};
use crate::cache::{Kind, hex, keep_newest, new_directory, note_use};
use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::Input;
use crate::undefined::c_library;
use crate::vmlinux::Vmlinux;

/// The number of rounds of renaming: clang stops after 20 errors.
const MAX_RENAMED: usize = 200;

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
    note_use(&dir);
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
    if messages.contains("Incorrect flag for llvm.bpf.preserve.type.info intrinsic") {
        return Some("it uses bpf_core_type_matches: compile with clang 15 or newer".to_owned());
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
        Vmlinux::Bundled => format!("the bundled vmlinux.h ({})", Release::NEWEST),
        Vmlinux::Release(release) => format!("the bundled vmlinux.h ({release})"),
        Vmlinux::Kernel => "the running kernel's vmlinux.h".to_owned(),
        Vmlinux::File(path) => format!("`{}`", shown(path)),
    };
    let remedy = "if the source is for an older or a newer kernel, use the types of that kernel: \
                  --vmlinux kernel for the running one, or --vmlinux FILE";
    diagnostics(messages).iter().find_map(|diagnostic| {
        let text = &diagnostic.text;
        if text.ends_with("file not found") {
            let name = quoted(text).next()?;
            return Some(format!("if the project has `{name}`, name its directory with -I"));
        }
        let name = match Missing::parse(text)? {
            Missing::Member { member, owner } => {
                return has_word(&vmlinux, without_keyword(owner))
                    .then(|| format!("`{owner}` of {which} has no member `{member}`; {remedy}"));
            }
            Missing::Name(name) => name,
            Missing::OtherType => return None,
        };
        let bare = without_keyword(name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_defined_twice() {
        let name = |text: &str| {
            let file = PathBuf::from("x.c");
            redefined(&Diagnostic { file, line: 3, column: 8, text: text.to_owned() })
        };
        assert_eq!(name("redefinition of 'hid'").as_deref(), Some("hid"));
        assert_eq!(name("conflicting types for 'f'; have 'int'").as_deref(), Some("f"));
        assert_eq!(name("'scx/c.h' file not found"), None);
    }
}
