// SPDX-License-Identifier: MIT
//! What the functions of an object call, and their digests.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bpfpack_schemas::insn::{self, CALL, Call};
use bpfpack_schemas::object::{Code, CodeLocation, Reference, helpers};
use bpfpack_schemas::printable::hex;
use sha2::{Digest as _, Sha256};

/// What a function does itself.
#[derive(Debug, Default)]
struct Summary {
    instructions: u64,
    helpers: BTreeSet<u32>,
    kfuncs: BTreeSet<String>,
    calls: Vec<CodeLocation>,
    /// Whether it calls code that is neither in the object nor named.
    has_unknown: bool,
    digest: Vec<u8>,
}

/// The functions of an object, each read once.
#[derive(Debug)]
pub(super) struct Functions<'c, 'e, 'd> {
    code: &'c Code<'e, 'd>,
    known: BTreeMap<CodeLocation, Rc<Summary>>,
}

/// What a program does, with all functions that it reaches.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// The number of instructions of the program itself.
    pub(super) instructions: u64,
    /// The number of functions, with the program.
    pub(super) functions: u64,
    /// Names of helpers, in order of their numbers.
    pub(super) helpers: Vec<String>,
    /// Names of kfuncs.
    pub(super) kfuncs: Vec<String>,
    /// The digest of all functions.
    pub(super) sha256: String,
}

impl<'c, 'e, 'd> Functions<'c, 'e, 'd> {
    pub(super) fn new(code: &'c Code<'e, 'd>) -> Functions<'c, 'e, 'd> {
        Functions { code, known: BTreeMap::new() }
    }

    /// What a program does.
    pub(super) fn reached(&mut self, start: CodeLocation) -> Reached {
        let (mut helpers, mut kfuncs) = (BTreeSet::new(), BTreeSet::new());
        let mut digest = Sha256::new();
        let all = self.all(start);
        for summary in &all {
            helpers.extend(&summary.helpers);
            kfuncs.extend(summary.kfuncs.iter().cloned());
            digest.update(&summary.digest);
        }
        let name = |number: u32| helpers::name(number).unwrap_or_else(|| format!("#{number}"));
        Reached {
            instructions: all.first().map_or(0, |summary| summary.instructions),
            functions: all.len() as u64,
            helpers: helpers.into_iter().map(name).collect(),
            kfuncs: kfuncs.into_iter().collect(),
            sha256: hex(&digest.finalize()),
        }
    }

    /// Whether a program calls code that is neither in the object nor named.
    pub(super) fn has_unknown(&mut self, start: CodeLocation) -> bool {
        self.all(start).iter().any(|summary| summary.has_unknown)
    }

    /// A function and all that it reaches, by calls or as callbacks.
    fn all(&mut self, start: CodeLocation) -> Vec<Rc<Summary>> {
        let (mut seen, mut todo, mut found) = (BTreeSet::new(), vec![start], Vec::new());
        while let Some(place) = todo.pop() {
            if seen.insert(place) {
                let summary = self.summary(place);
                todo.extend(&summary.calls);
                found.push(summary);
            }
        }
        found
    }

    fn summary(&mut self, place: CodeLocation) -> Rc<Summary> {
        if let Some(known) = self.known.get(&place) {
            return Rc::clone(known);
        }
        let summary = Rc::new(read(self.code, place));
        self.known.insert(place, Rc::clone(&summary));
        summary
    }
}

fn read(code: &Code<'_, '_>, place: CodeLocation) -> Summary {
    let Some(function) = code.function(place) else {
        return Summary { has_unknown: true, ..Summary::default() };
    };
    let instructions = (function.code.len() / insn::SIZE) as u64;
    let mut summary = Summary { instructions, ..Summary::default() };
    let mut digest = Sha256::new_with_prefix(function.code);
    for (at, insn, reference) in code.instructions(function) {
        let name = match reference {
            Some(Reference::Function(to)) => code.function(to).map_or("?", |to| to.name),
            Some(Reference::Data { name, .. } | Reference::Extern(name)) => name,
            None => "",
        };
        if !name.is_empty() {
            digest.update(format!("\n{at} {name}"));
        }
        match (insn.call(), reference) {
            (_, Some(Reference::Function(to))) => summary.calls.push(to),
            // libbpf makes a call with such a relocation one of a kfunc, whatever it is before.
            (_, Some(Reference::Extern(name))) if insn.code == CALL => {
                summary.kfuncs.insert(name.to_owned());
            }
            (Some(Call::Helper(number)), _) => {
                summary.helpers.insert(number);
            }
            (Some(Call::Kernel), _) => {
                summary.kfuncs.insert(format!("#{}", insn.imm));
            }
            _ => {}
        }
    }
    summary.digest = digest.finalize().to_vec();
    summary
}
