// SPDX-License-Identifier: MIT
//! The same source for other instruction sets. The verifiers of some kernels accept only one of
//! them: up to Linux 6.1, 32-bit operations of `v3` lose what the verifier knew of a value, and
//! without them, some comparisons tell it less.

use std::thread::{Scope, ScopedJoinHandle};

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::package::Variant;
use object::{Object as _, ObjectSection as _, SectionKind};

use super::clang::{Attempt, Compiler, Way};
use crate::compiled::Compiled;
use crate::message::Console;

/// Compilations that run while the object itself is compiled.
pub(super) struct Begun<'s>(Vec<(String, ScopedJoinHandle<'s, Option<Vec<u8>>>)>);

/// Starts to compile for the other instruction sets of the plan.
pub(super) fn begin<'s>(
    scope: &'s Scope<'s, '_>,
    compiler: &'s Compiler<'_>,
    way: &'s Way<'_>,
) -> Begun<'s> {
    let begun = compiler.plan.variants.iter().map(|cpu| {
        let compiler = compiler.for_cpu(cpu);
        (cpu.clone(), scope.spawn(move || object(&compiler, way)))
    });
    Begun(begun.collect())
}

/// The object that clang makes; `None` if it does not make one.
fn object(compiler: &Compiler<'_>, way: &Way<'_>) -> Option<Vec<u8>> {
    match compiler.run(way.may_precompile, false) {
        Ok(Attempt::Made(made)) => Some(made.object),
        _ => None,
    }
}

/// The variants of an object. `compiler` is what made it: if it had remedies, the variants that were
/// begun did not have, so they are compiled again.
pub(super) fn of(
    compiled: &Compiled,
    compiler: &Compiler<'_>,
    begun: Begun<'_>,
    way: &Way<'_>,
    console: &Console,
    finished: &dyn Fn(Vec<u8>) -> Option<Compiled>,
) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for (cpu, begun) in begun.0 {
        let first = begun.join().ok().flatten().filter(|_| !compiler.has_remedies());
        let raw = match first {
            None if compiler.has_remedies() => object(&compiler.for_cpu(&cpu), way),
            first => first,
        };
        let Some(made) = raw.and_then(finished).map(|made| made.object) else {
            console.detail(&format!("clang does not compile the source for {cpu}"));
            continue;
        };
        let is_new = variants.iter().all(|variant| is_other(&variant.object, &made));
        if is_new && is_other(&compiled.object, &made) {
            variants.push(Variant { cpu, object: made });
        }
    }
    variants
}

/// Whether an object has the same programs as another one, but other instructions.
fn is_other(object: &[u8], variant: &[u8]) -> bool {
    let (Ok(object), Ok(variant)) = (BpfObject::parse(object), BpfObject::parse(variant)) else {
        return false;
    };
    let code = |elf: &BpfObject<'_>| -> Vec<(String, Vec<u8>)> {
        let sections = elf.elf().sections().filter(|section| section.kind() == SectionKind::Text);
        let bytes = sections.map(|section| {
            (
                section.name().unwrap_or_default().to_owned(),
                section.data().unwrap_or_default().to_vec(),
            )
        });
        bytes.collect()
    };
    object.programs() == variant.programs() && code(&object) != code(&variant)
}
