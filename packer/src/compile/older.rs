// SPDX-License-Identifier: MIT
//! The types of an older release of Linux, for a source that uses what the newest one no longer
//! has.

use bpfpack_bpf::Release;

use super::clang::Compiler;
use super::missing::{Missing, diagnostics};
use crate::args::Plan;
use crate::message::shown;
use crate::vmlinux::Vmlinux;

/// The number of names in a note.
const MAX_NAMES: usize = 3;

/// The releases to try if clang refuses a source with the types of the newest one, and what the
/// errors say is missing and a release has, for the note. There are none if the user has chosen a
/// vmlinux.h, or if clang's messages are not about types. The directories of headers are not read: if
/// one is damaged, older types are no remedy.
pub(super) fn releases(
    compiler: &Compiler<'_>,
    messages: &str,
) -> impl Iterator<Item = (Release, Vec<String>)> {
    let target = compiler.plan.target;
    let is_ours = compiler.vmlinux_is_ours() || compiler.renaming.is_some();
    let is_open = compiler.plan.vmlinux == Vmlinux::Bundled && is_ours;
    let is_type = || diagnostics(messages).iter().any(|d| Missing::parse(&d.text).is_some());
    let types = move |release| bpfpack_bpf::vmlinux(target, release).ok();
    let newest = if is_open && is_type() { types(Release::NEWEST) } else { None };
    newest.into_iter().flat_map(move |newest| {
        Release::ALL[1..].iter().filter_map(move |release| {
            Some((*release, needed(&newest, &types(*release)?, messages)?))
        })
    })
}

/// The names; `None` if the older types cannot help.
fn needed(newest: &str, older: &str, messages: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut may_help = false;
    for diagnostic in diagnostics(messages) {
        let Some(missing) = Missing::parse(&diagnostic.text) else { continue };
        match (missing.is_in(newest), missing.is_in(older)) {
            (Some(false), Some(true)) => {
                may_help = true;
                let name = missing.to_string();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            // The type of a member is another one, which no message names.
            (_, None) => may_help = true,
            _ => {}
        }
    }
    may_help.then_some(names)
}

/// The note for a source that was compiled with the types of an older release.
pub(super) fn note(plan: &Plan, release: Release, names: &[String]) -> String {
    let mut list = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect::<Vec<_>>();
    if names.len() > MAX_NAMES {
        list.push("…".to_owned());
    }
    let list = match list.is_empty() {
        true => String::new(),
        false => format!(" ({})", list.join(", ")),
    };
    format!(
        "{} needs types that {} no longer has{list}: compiled with the types of {release}. A kernel \
         that lacks them refuses a program that uses them without a check (`bpf_core_field_exists`)",
        shown(&plan.source),
        Release::NEWEST
    )
}

#[cfg(test)]
mod tests {
    use super::needed;

    const NEWEST: &str = "\nstruct a {\n\tint x;\n\tint y;\n};\n\nstruct counter {\n\tint n;\n};\n";
    const OLDER: &str = "\nstruct a {\n\tint x;\n\tint w;\n};\n\nstruct old {\n\tint x;\n};\n\n\
        enum e {\n\tOLD = 1,\n};\n";

    fn names(errors: &[&str]) -> Option<Vec<String>> {
        let lines: Vec<_> = errors.iter().map(|text| format!("x.c:1:2: error: {text}")).collect();
        needed(NEWEST, OLDER, &lines.join("\n"))
    }

    #[test]
    fn what_only_the_older_header_has() {
        let found = names(&[
            "no member named 'w' in 'struct a'",
            "expected ';' after expression",
            "incomplete definition of type 'struct old'",
            "no member named 'w' in 'struct a'; did you mean 'x'?",
            "use of undeclared identifier 'OLD'",
            "no member named 'z' in 'struct a'",
        ]);
        assert_eq!(found.unwrap(), ["a.w", "struct old", "OLD"]);
    }

    #[test]
    fn what_neither_has_is_no_reason() {
        assert_eq!(names(&["no member named 'z' in 'struct a'", "unknown type name 'b'"]), None);
        assert_eq!(names(&["redefinition of 'old'"]), None);
        assert_eq!(names(&[]), None);
    }

    #[test]
    fn another_type_of_a_member_is_a_reason_without_a_name() {
        let reference = "member reference base type 'struct a[4]' is not a structure or union";
        assert_eq!(names(&[reference]), Some(Vec::new()));
        assert_eq!(names(&["no member named 'v' in 'struct counter'"]), Some(Vec::new()));
    }
}
