// SPDX-License-Identifier: MIT
//! `ecli inspect`: reports what a package contains, shows and can do, without loading anything. It
//! needs neither a privilege nor a kernel with BPF.

mod diff;
mod disassemble;
mod embedded;
mod modules;
mod sources;
mod text;

use std::collections::BTreeSet;

use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::package::Variant;
use bpfpack_schemas::printable;
use bpfpack_schemas::report::{
    Digests, Inspection, Instrumentation, OriginReport, Report, SourceReport,
};
use bpfpack_schemas::{Meta, Package};
use bpfpack_spec::{Inputs, Options};
use bpfpack_trust::{Accepted, Policy, digest};

use crate::args::{Inspect, Named};
use crate::failure::talk::Talk;
use crate::failure::{self, Failure, exit_code};
use crate::fetch::{self, Fetched, Raw};
use crate::instrument::Calls;
use crate::output;
use crate::policy::Policies;
use crate::report;
use crate::spec;
use crate::vars::Variables;

/// Inspects a package. Returns the exit code.
///
/// # Errors
/// Returns an error if the package cannot be read, or the output cannot be written.
pub(crate) fn inspect(plan: &Inspect) -> Result<u8, Failure> {
    let package = Inspected::read(&plan.package)?;
    if plan.disassemble {
        output::print(package.disassembly()?.as_bytes())?;
        return Ok(0);
    }
    let Some(other) = &plan.other else {
        let text = match plan.json {
            true => json(&package.inspection)?,
            false => text::of(&package.inspection),
        };
        output::print(text.as_bytes())?;
        return Ok(0);
    };
    let other = Inspected::read(other)?;
    let differences = diff::differences(&package.inspection, &other.inspection);
    let text = match plan.json {
        true => json(&differences)?,
        false => diff::text(&differences),
    };
    output::print(text.as_bytes())?;
    Ok(if differences.is_empty() { 0 } else { exit_code::DIFFERENT })
}

/// The report about a package.
///
/// # Errors
/// Returns an error if the package cannot be read.
pub(crate) fn report(package: &Named) -> Result<Inspection, Failure> {
    Inspected::read(package).map(|inspected| inspected.inspection)
}

/// A JSON object on a line, safe to print.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_vec(value).map_err(failure::system("cannot write JSON"))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&printable::json(&text)).into_owned())
}

/// A package, and the report about it.
struct Inspected {
    inspection: Inspection,
    /// Its objects: one, or those found in a module.
    objects: Vec<Vec<u8>>,
    /// The same object for other instruction sets.
    variants: Vec<Variant>,
}

impl Inspected {
    fn read(named: &Named) -> Result<Inspected, Failure> {
        let from = &named.package;
        let talk = Talk::new(false, false);
        let trust = Policies::read(from.policy.as_deref())?.sources;
        let raw = fetch::obtain(from, true, &talk)?;
        let origin =
            OriginReport { source: raw.source().to_owned(), signature: signature(&raw, &trust) };
        let digest = raw.digest();
        let mut inspected = match raw.decode(&from.origin)? {
            Fetched::Package(package) => of_package(*package)?,
            Fetched::Module(module) => of_module(&named.name, &module),
        };
        inspected.inspection.sha256.file = Some(digest);
        inspected.inspection.origin = origin;
        Ok(inspected)
    }

    /// The instructions of all programs.
    fn disassembly(&self) -> Result<String, Failure> {
        let mut text = String::new();
        for object in &self.objects {
            let elf = BpfObject::parse(object).map_err(failure::bad_object)?;
            disassemble::object(&elf, &mut text);
        }
        for variant in &self.variants {
            let elf = BpfObject::parse(&variant.object).map_err(failure::bad_object)?;
            text.push_str(&format!("\nThe variant for {}:\n", variant.cpu));
            disassemble::object(&elf, &mut text);
        }
        Ok(text)
    }
}

/// The instructions of an object as text.
#[cfg(fuzzing)]
pub(crate) fn disassembly(elf: &BpfObject<'_>) -> String {
    let mut text = String::new();
    disassemble::object(elf, &mut text);
    text
}

fn of_package(package: Package) -> Result<Inspected, Failure> {
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let variables = Variables::of(&package.meta, &elf, &btf);
    let arguments = variables.listed();
    let nonzero = match variables.parse(None, &[])? {
        Some(given) => given.arguments(&[])?.nonzero,
        None => BTreeSet::new(),
    };
    let report = report::of_package(&elf, &package)?;
    let doc = package.meta.bpf_skel.doc.clone().unwrap_or_default();
    let inspection = Inspection {
        name: package.meta.bpf_skel.obj_name.clone(),
        version: doc.version,
        description: doc.brief.or(doc.description),
        origin: OriginReport::default(),
        sha256: Digests {
            file: None,
            object: Some(digest(&package.object)),
            variants: package
                .variants
                .iter()
                .map(|variant| (variant.cpu.clone(), digest(&variant.object)))
                .collect(),
        },
        report,
        arguments,
        sources: sources(&package.meta, &elf, &btf, &nonzero)?,
        modules: package.wasm.iter().map(|wasm| modules::of(&wasm.name, &wasm.module)).collect(),
        instrumentation: instrumentation(&package.object),
    };
    let Package { object, variants, .. } = package;
    Ok(Inspected { inspection, objects: vec![object], variants })
}

/// Reports on a module that is a whole tracer, and on the objects that it contains.
fn of_module(name: &str, module: &[u8]) -> Inspected {
    let objects = embedded::objects(module);
    let mut report = Report::default();
    for elf in objects.iter().filter_map(|object| BpfObject::parse(object).ok()) {
        report.append(report::of(&elf, &Meta::default()));
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    let inspection = Inspection {
        name: name.to_owned(),
        version: None,
        description: None,
        origin: OriginReport::default(),
        sha256: Digests::default(),
        report,
        arguments: Vec::new(),
        sources: Vec::new(),
        modules: vec![modules::of(name, module)],
        instrumentation: objects.first().and_then(|object| instrumentation(object)),
    };
    Inspected { inspection, objects, variants: Vec::new() }
}

fn sources(
    meta: &Meta,
    elf: &BpfObject<'_>,
    btf: &Btf<'_>,
    nonzero: &BTreeSet<String>,
) -> Result<Vec<SourceReport>, Failure> {
    let inputs = Inputs {
        meta,
        object: elf,
        btf,
        options: &Options::default(),
        nonzero,
        // The same report on every machine.
        kernel_enum: &|_| None,
    };
    let built = bpfpack_spec::build(&inputs).map_err(spec::failure)?;
    Ok(built.spec.sources.iter().map(sources::report).collect())
}

/// What `ecli run` adds to an object; `None` if nothing.
fn instrumentation(object: &[u8]) -> Option<Instrumentation> {
    let calls = Calls::find(object)?;
    Some(Instrumentation {
        calls: calls.count() as u64,
        instructions: calls.added() as u64,
        buffers: calls.buffers(),
    })
}

/// What the rules of this machine say of the signature.
fn signature(raw: &Raw, trust: &Policy) -> String {
    let has_rules = !trust.is_empty();
    match raw.verify(trust) {
        Ok(Accepted::Signed { key, comment }) => {
            format!("by the key `{key}`: {}", printable::one_line(&comment))
        }
        Ok(Accepted::Digest) => "a rule of this machine has the digest".to_owned(),
        Ok(_) if raw.has_signature() => "present; not verified: no key is trusted here".to_owned(),
        Ok(_) if has_rules => "none; a rule of this machine does not need one".to_owned(),
        Ok(_) => "none".to_owned(),
        Err(failure) => failure.message(),
    }
}
