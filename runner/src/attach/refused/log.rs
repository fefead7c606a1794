// SPDX-License-Identifier: MIT
//! Explains the verifier's log of a program, with the lines of its source.

use anyhow::anyhow;
use bpfpack_refusal::relocation;
use bpfpack_refusal::verifier::{self, Program};
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::btf::lines::{Line, lines};
use bpfpack_schemas::object::BpfObject;

use crate::failure::{Failure, exit_code};
use crate::kernel::Facts;

/// Explains the verifier's log of a program.
pub(super) fn explain(
    log: &str,
    (name, section): (&str, &str),
    elf: Option<&BpfObject<'_>>,
    kernel: &dyn Facts,
) -> Failure {
    let btf = elf.and_then(|elf| elf.btf().ok());
    let of_program = match (elf, &btf) {
        (Some(elf), Some(btf)) => lines_of(btf, elf, name),
        _ => Vec::new(),
    };
    let license = elf.and_then(BpfObject::license);
    let program = Program { section, lines: &of_program, license: license.as_deref() };
    let mut found = verifier::explain(log, &program);
    if let Some(failed) = relocation::Failed::find(log) {
        let of_kernel = kernel.btf();
        let explained = failed.explain(of_kernel.as_ref());
        found.cause = explained.cause;
        found.hint = Some(explained.hint);
        let error = anyhow!("`{name}` ({section}) cannot be loaded: {}", found.cause);
        return shown(Failure::new(exit_code::LOAD, error), found, log);
    }
    let error = anyhow!("the kernel's verifier refused `{name}` ({section}): {}", found.cause);
    shown(Failure::new(exit_code::LOAD, error), found, log)
}

/// Adds the place, the lines that matter, and the hint.
fn shown(failure: Failure, found: verifier::Explanation, log: &str) -> Failure {
    let all = log.lines().filter(|line| !line.trim().is_empty()).count();
    let more = all.saturating_sub(found.lines.len());
    let rest = format!("--verbose shows the whole log ({more} more lines)");
    let lines = found.place.into_iter().chain(found.lines).chain((more > 0).then_some(rest));
    let failure = failure.details(lines.collect::<Vec<_>>().join("\n"));
    match found.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The lines of source of a program, in the order of its instructions, and then of the functions
/// that it may call.
fn lines_of<'b>(btf: &'b Btf<'_>, elf: &BpfObject<'_>, name: &str) -> Vec<Line<'b>> {
    let ext = elf.section_data(".BTF.ext").unwrap_or_default();
    let code = elf.code();
    let Some(function) = code.find(name).and_then(|at| code.function(at)) else {
        return Vec::new();
    };
    let begin = function.location.1;
    let range = begin..begin + function.code.len() as u64;
    let mut found = lines(btf, ext, function.section);
    found.retain(|line| line.number > 0 && range.contains(&u64::from(line.offset)));
    found.extend(lines(btf, ext, ".text").into_iter().filter(|line| line.number > 0));
    found
}
