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
//! has a remedy ([`remedies`]), it is compiled again with the remedy. If none is left, and the source
//! uses what the newest release of Linux no longer has, it is compiled with the types of an older one
//! ([`older`]). If clang refuses that, too, its messages are those of the first compilation.

mod clang;
mod diagnostics;
mod keepers;
mod missing;
mod older;
mod output;
mod remedies;
mod system;
mod variants;

use crate::args::Plan;
use crate::compiled::Compiled;
use crate::failure::{Failure, exit_code};
use crate::files::read;
use crate::headers;
use crate::message::Console;
use crate::object_cache::CachedObject;
use crate::options::Input;
use crate::source::Source;
use crate::vmlinux::Vmlinux;
use clang::{Attempt, Compiler, Made, Way};
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
    let headers = headers::headers(plan, &plan.vmlinux, console)?;
    let keepers = Keepers::new(plan, source)?;
    let mut compiler = Compiler::new(plan, &clang, &headers, keepers.as_ref());
    let cached = compiler.cached_object(source);
    if let Some((found, note)) = cached.as_ref().and_then(CachedObject::find) {
        note.iter().for_each(|note| console.note(note));
        return Ok(found);
    }
    let way = Way {
        may_precompile: plan.input == Input::Source && begins_with_vmlinux(&source.text),
        may_keep: cached.is_some(),
        signals,
    };
    let plain = Compiler::new(plan, &clang, &headers, keepers.as_ref());
    std::thread::scope(|scope| {
        let begun = variants::begin(scope, &plain, &way);
        let kept = Kept { cached, console, way: &way, begun, finished: &finished };
        compile_as_needed(&mut compiler, &way, kept)
    })
}

/// Compiles with the headers of the plan, or else with those of an older release.
fn compile_as_needed(
    compiler: &mut Compiler<'_>,
    way: &Way<'_>,
    kept: Kept<'_>,
) -> Result<Compiled, Failure> {
    let (plan, console) = (compiler.plan, kept.console);
    let messages = match run_clang(compiler, way)? {
        Attempt::Made(made) => return kept.keep(compiler, made, None),
        Attempt::Refused { messages } => messages,
    };
    let text = String::from_utf8_lossy(&messages);
    for (release, names) in older::releases(compiler, &text) {
        let headers = headers::headers(plan, &Vmlinux::Release(release), console)?;
        let mut older = compiler.with_headers(&headers);
        if let Attempt::Made(made) = run_clang(&mut older, way)? {
            return kept.keep(&older, made, Some(older::note(plan, release, &names)));
        }
    }
    compiler.print(&messages);
    let failure = Failure::reported(exit_code::COMPILE);
    Err(match remedies::hint(compiler, &text) {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// What becomes of an object, whichever headers it was compiled with.
struct Kept<'a> {
    cached: Option<CachedObject>,
    console: &'a Console,
    way: &'a Way<'a>,
    begun: variants::Begun<'a>,
    finished: &'a dyn Fn(Vec<u8>) -> Result<Compiled, Failure>,
}

impl Kept<'_> {
    /// Prints what clang printed and the note, and keeps the object with the note.
    fn keep(
        self,
        compiler: &Compiler<'_>,
        made: Made,
        note: Option<String>,
    ) -> Result<Compiled, Failure> {
        compiler.print(&made.messages);
        note.iter().for_each(|note| self.console.note(note));
        let mut compiled = (self.finished)(made.object)?;
        let finished = |raw| (self.finished)(raw).ok();
        compiled.variants =
            variants::of(&compiled, compiler, self.begun, self.way, self.console, &finished);
        let dirs = compiler.searched_dirs();
        if let (Some(mut cached), Some(dependencies), Ok(dirs)) =
            (self.cached, made.dependencies, dirs)
        {
            cached.searched(dirs, &compiler.headers.dir);
            cached.keep(&dependencies, &compiled, note);
        }
        Ok(compiled)
    }
}

/// Runs clang, and repeats it as long as there is a remedy. If clang refuses the source, the messages
/// are those that explain why.
fn run_clang(compiler: &mut Compiler<'_>, way: &Way<'_>) -> Result<Attempt, Failure> {
    let mut first_messages = None;
    loop {
        let attempt = compiler.run(way.may_precompile, way.may_keep);
        way.signals.check()?;
        let messages = match attempt? {
            Attempt::Refused { messages } => messages,
            made => return Ok(made),
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
        return Ok(Attempt::Refused { messages });
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
