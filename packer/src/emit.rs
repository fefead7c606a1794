// SPDX-License-Identifier: MIT
//! Writes the results. Each file is complete or absent: it is written under a temporary name in the
//! same directory, and renamed when all files are written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use bpfpack_schemas::{Package, executable};
use tempfile::NamedTempFile;

use crate::args::Plan;
use crate::existing::{self, Found, HEADER_GUARD, Kind, Target};
use crate::failure::{Failure, exit_code, too_much};
use crate::message::{Console, shown};
use crate::runner;

/// Writes `X.bpf.o`, `X.skel.json`, `package.json`, and the requested extra files.
pub(crate) fn write(
    plan: &Plan,
    package: Package,
    targets: &[Target],
    console: &Console,
) -> Result<(), Failure> {
    let obj_name = package.meta.bpf_skel.obj_name.clone();
    let files = write_beside(plan, package, targets)?;
    // A file may have appeared while the source was compiled.
    let found = existing::check(plan, targets)?;
    for (file, target) in files.into_iter().zip(targets) {
        let path = &target.path;
        let persisted = file.persist(path);
        let persisted = persisted.with_context(|| format!("cannot write `{}`", shown(path)));
        persisted.map_err(|error| Failure::new(exit_code::OUTPUT, error))?;
    }
    for (found, target) in found.iter().zip(targets) {
        if let Some(was) = replaced(found, &obj_name) {
            console.note(&format!("replaced `{}`, which was {was}", shown(&target.path)));
        }
    }
    Ok(())
}

/// What was replaced, if the user may not expect it.
fn replaced(found: &Found, obj_name: &str) -> Option<String> {
    match found {
        Found::Other(what) => Some(what.clone()),
        Found::Result(Some(name)) if name != obj_name => {
            let source = name.strip_suffix("_bpf").unwrap_or(name);
            Some(format!("packed from `{source}`"))
        }
        _ => None,
    }
}

/// The files, before they get their names. Each one is encoded when it is written: keeping the
/// object and all forms of its package would take many times the memory of the object.
fn write_beside(
    plan: &Plan,
    mut package: Package,
    targets: &[Target],
) -> Result<Vec<NamedTempFile>, Failure> {
    let cause = |error| Failure::new(exit_code::OUTPUT, error);
    let dir = &plan.output;
    std::fs::create_dir_all(dir)
        .with_context(|| format!("cannot create the directory `{}`", shown(dir)))
        .map_err(cause)?;
    let mut json = String::new();
    let runner = match plan.standalone {
        true => runner::read(plan.runner.as_deref(), plan.target)?,
        false => Vec::new(),
    };
    let write = |target: &Target| {
        let is_package = matches!(target.kind, Kind::Header | Kind::Executable | Kind::Package);
        if is_package && json.is_empty() {
            json = package.encode();
            // Do not write what ecli would refuse.
            Package::check(json.as_bytes()).map_err(|error| too_much(&plan.source, error))?;
            // The text contains these parts now, so free them.
            (package.variants, package.wasm) = (Vec::new(), Vec::new());
            package.object = Vec::new();
        }
        let file = write_one(plan, target, &package, &runner, &mut json);
        file.with_context(|| format!("cannot write `{}`", shown(&target.path))).map_err(cause)
    };
    targets.iter().map(write).collect()
}

fn write_one(
    plan: &Plan,
    target: &Target,
    package: &Package,
    runner: &[u8],
    json: &mut String,
) -> anyhow::Result<NamedTempFile> {
    let file = new_file(&plan.output, if target.kind == Kind::Executable { 0o777 } else { 0o666 })?;
    let mut out = BufWriter::new(file.as_file());
    match target.kind {
        Kind::Object => out.write_all(&package.object)?,
        Kind::Skeleton if plan.yaml => yaml_serde::to_writer(&mut out, &package.meta)?,
        Kind::Skeleton => serde_json::to_writer(&mut out, &package.meta)?,
        Kind::Header => wasm_header(&mut out, json)?,
        Kind::Executable => {
            out.write_all(runner)?;
            out.write_all(json.as_bytes())?;
            out.write_all(&executable::trailer(json.len()))?;
        }
        Kind::Package if plan.yaml => {
            let value: serde_json::Value = serde_json::from_str(json)?;
            *json = String::new();
            yaml_serde::to_writer(&mut out, &value)?;
        }
        Kind::Package => out.write_all(json.as_bytes())?,
    }
    out.flush()?;
    drop(out);
    Ok(file)
}

/// A C header with the package as a string, for programs that are compiled to Wasm.
fn wasm_header(out: &mut BufWriter<&File>, package: &str) -> io::Result<()> {
    write!(
        out,
        "/* Made by ecc from the package in the same directory. */\n#ifndef \
         {HEADER_GUARD}\n#define {HEADER_GUARD}\nchar *program_data = \""
    )?;
    for part in package.split_inclusive(['\\', '"']) {
        match part.as_bytes() {
            [text @ .., last @ (b'\\' | b'"')] => {
                out.write_all(text)?;
                out.write_all(&[b'\\', *last])?;
            }
            text => out.write_all(text)?,
        }
    }
    out.write_all(b"\";\n#endif\n")
}

/// A new file that has no final name yet, with these permissions, less the umask.
pub(crate) fn new_file(dir: &Path, mode: u32) -> io::Result<NamedTempFile> {
    // Without them, a temporary file is private.
    tempfile::Builder::new()
        .prefix(".ecc-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
}
