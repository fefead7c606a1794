// SPDX-License-Identifier: MIT
//! Writes the results. Each file is complete or not there at all: it is written under another name
//! beside its own, and renamed when all of them are written.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bpfpack_schemas::Package;
use tempfile::NamedTempFile;

use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// Writes `X.bpf.o`, `X.skel.json` and `package.json`, and what else was asked for.
pub fn write(plan: &Plan, package: &Package) -> Result<(), Failure> {
    let files = contents(plan, package).map_err(|error| Failure::new(exit_code::OTHER, error))?;
    write_all(&plan.output, files).map_err(|error| Failure::new(exit_code::OUTPUT, error))
}

fn contents(plan: &Plan, package: &Package) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let (skeleton, extension) = match plan.yaml {
        true => (yaml_serde::to_string(&package.meta)?, "yaml"),
        false => (serde_json::to_string(&package.meta)?, "json"),
    };
    let object = (format!("{}.bpf.o", plan.name), package.object.clone());
    let mut files = vec![(format!("{}.skel.{extension}", plan.name), skeleton.into_bytes())];
    // An object that is packed where it lies stays as it is.
    let same = |a: &Path, b: &Path| match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if !same(&plan.output.join(&object.0), &plan.source) {
        files.insert(0, object);
    }
    if plan.package {
        let json = package.encode();
        if plan.wasm_header {
            files.push((plan.wasm_name.clone(), wasm_header(&json).into_bytes()));
        }
        let text = match plan.yaml {
            true => yaml_serde::to_string(&serde_json::from_str::<serde_json::Value>(&json)?)?,
            false => json,
        };
        files.push((plan.package_name.clone(), text.into_bytes()));
    }
    Ok(files)
}

/// A C header with the package as a string, for a program that is compiled to Wasm.
fn wasm_header(package: &str) -> String {
    let escaped = package.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "/* Made by ecc from the package of the same folder. */\n\
         #ifndef EWASM_JSON_INCLUDE_H_\n\
         #define EWASM_JSON_INCLUDE_H_\n\
         char *program_data = \"{escaped}\";\n\
         #endif\n"
    )
}

fn write_all(dir: &Path, files: Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)
        .with_context(|| format!("can not make the folder `{}`", shown(dir)))?;
    // A rename over a folder would fail when others have been done.
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).is_dir()) {
        bail!("can not write `{}`: it is a folder", shown(&dir.join(name)));
    }
    let written = files
        .into_iter()
        .map(|(name, data)| {
            let path = dir.join(name);
            let file = write_beside(dir, &data)
                .with_context(|| format!("can not write `{}`", shown(&path)))?;
            Ok((file, path))
        })
        .collect::<anyhow::Result<Vec<(NamedTempFile, PathBuf)>>>()?;
    for (file, path) in written {
        file.persist(&path).with_context(|| format!("can not write `{}`", shown(&path)))?;
    }
    Ok(())
}

fn write_beside(dir: &Path, data: &[u8]) -> std::io::Result<NamedTempFile> {
    // A temporary file is the user's alone; a result is as open as the umask says.
    let mut file = tempfile::Builder::new()
        .prefix(".ecc-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)?;
    file.write_all(data)?;
    file.flush()?;
    Ok(file)
}
