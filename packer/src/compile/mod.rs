// SPDX-License-Identifier: MIT
//! Compiles a source to an object.
//!
//! The same source gives the same object on every machine: it contains no paths of the machine, and
//! the source lines in messages of the verifier come from the source as read.
//!
//! An unchanged source is not compiled again ([`crate::object_cache`]). A source that starts with
//! vmlinux.h is compiled with a precompiled header from the second compilation on; the header is
//! created during the first. clang's messages do not depend on it: if a compilation with the
//! precompiled header fails, it is repeated without. If clang refuses the source for a reason that
//! has a remedy ([`remedies`]), it is compiled again with the remedy.

mod clang;
mod diagnostics;
mod keepers;
mod output;
mod remedies;
mod system;

use crate::args::Plan;
use crate::compiled::Compiled;
use crate::failure::{Failure, exit_code};
use crate::files::read;
use crate::headers;
use crate::message::Console;
use crate::object_cache::CachedObject;
use crate::options::Input;
use crate::source::Source;
use clang::{Attempt, Compiler};
use keepers::Keepers;

pub(crate) use system::Signals;

/// The largest object that is packed, because of the limit on packages. An object with debug
/// information, which is removed, may be larger.
const MAX_OBJECT: u64 = 256 << 20;

/// Compiles the object, or finds the result of an earlier compilation.
pub(crate) fn compile(
    plan: &Plan,
    source: &Source,
    signals: &Signals,
    console: &Console,
) -> Result<Compiled, Failure> {
    let options = plan.describe_options();
    let finished = |raw| Compiled::of_raw(raw, &options, plan.llvm_strip.as_deref());
    if plan.input == Input::Object {
        let object = read(&plan.source, MAX_OBJECT, "an object has at most 256 MiB")?;
        return finished(object);
    }
    let clang = system::find_clang(&plan.clang)?;
    let headers = headers::headers(plan, console)?;
    let keepers = Keepers::new(plan, source)?;
    let mut compiler = Compiler::new(plan, &clang, &headers, keepers.as_ref());
    let cached = compiler.cached_object(source);
    if let Some(found) = cached.as_ref().and_then(CachedObject::find) {
        return Ok(found);
    }
    let may_precompile = plan.input == Input::Source && begins_with_vmlinux(&source.text);
    let (raw, dependencies) = run_clang(&mut compiler, may_precompile, cached.is_some(), signals)?;
    let compiled = finished(raw)?;
    let dirs = compiler.searched_dirs();
    if let (Some(mut cached), Some(dependencies), Ok(dirs)) = (cached, dependencies, dirs) {
        cached.searched(dirs);
        cached.keep(&dependencies, &compiled);
    }
    Ok(compiled)
}

/// Runs clang, and repeats it as long as there is a remedy. Returns the object, and the files that
/// clang read, as a rule for make.
fn run_clang(
    compiler: &mut Compiler<'_>,
    may_precompile: bool,
    may_keep: bool,
    signals: &Signals,
) -> Result<(Vec<u8>, Option<String>), Failure> {
    let mut first_messages = None;
    loop {
        let attempt = compiler.run(may_precompile, may_keep);
        signals.check()?;
        let messages = match attempt? {
            Attempt::Made { object, dependencies, messages } => {
                compiler.print(&messages);
                return Ok((object, dependencies));
            }
            Attempt::Refused { messages } => messages,
        };
        let text = String::from_utf8_lossy(&messages);
        let was_renamed = !compiler.renamed.is_empty();
        if remedies::apply(compiler, &text)? {
            if !was_renamed && !compiler.renamed.is_empty() {
                first_messages = Some(messages);
            }
            continue;
        }
        // Messages about the replaced names would be confusing.
        let mention_renamed = remedies::mention_renamed(compiler, &text);
        let messages = first_messages.filter(|_| mention_renamed).unwrap_or(messages);
        compiler.print(&messages);
        let failure = Failure::reported(exit_code::COMPILE);
        return Err(match remedies::hint(compiler, &String::from_utf8_lossy(&messages)) {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    }
}

/// Whether the first directive of a source includes vmlinux.h, with only comments before it.
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
    use super::begins_with_vmlinux;

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
