// SPDX-License-Identifier: MIT
//! `ecli push`: tells packages and modules apart by their contents, and pushes them as one image.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bpfpack_registry::artifact::Contents;
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;
use bpfpack_schemas::{Package, module};

use crate::args::Push;
use crate::failure::{Failure, exit_code};
use crate::fetch::{no_package, not_unpacked};
use crate::talk::Talk;
use crate::transfer::{Meter, failure};
use bpfpack_input::{InputError, Kind, WASM};

/// What eunomia's ecli pushes if no file is given.
const DEFAULT_FILE: &str = "app.wasm";

pub(super) fn push(push: &Push, talk: &Talk) -> Result<(), Failure> {
    let (image, file) = words(push)?;
    let image = super::image(&image)?;
    let mut files: Vec<PathBuf> = file.into_iter().chain(push.module.iter().cloned()).collect();
    if files.is_empty() {
        files.push(DEFAULT_FILE.into());
    }
    let (mut contents, package) = contents(&files)?;
    // As `ecc sign` and minisign name it.
    let beside =
        package.map(|path| bpfpack_trust::signature_path(&path)).filter(|path| path.exists());
    if let Some(path) = push.signature.as_ref().or(beside.as_ref()) {
        if contents.package.is_none() {
            return Err(Failure::usage("--signature: there is no package to which it belongs"));
        }
        contents.signature = Some(read(path)?);
    }
    contents.annotations = push.annotations.iter().cloned().collect();
    let meter = Meter::new("pushing");
    let options = super::options(&push.connection, &meter)?;
    let pushed = bpfpack_registry::push(&image, &contents.image(), &options);
    drop(meter);
    let digest = pushed.map_err(|error| failure(error, &format!("cannot push `{image}`")))?;
    talk.note(&format!("pushed {}", image.with_digest(digest)));
    Ok(())
}

/// The image and, if one precedes it, the file.
fn words(push: &Push) -> Result<(String, Option<PathBuf>), Failure> {
    let text = |word: &OsStr| {
        let text = word.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::usage(format!("`{}` is not UTF-8", word.display())))
    };
    match &push.words[..] {
        [file, image] => Ok((text(image)?, Some(file.into()))),
        [image] => Ok((text(image)?, None)),
        _ => Err(Failure::usage("the name of the image is missing")),
    }
}

/// Reads the files, and decides what they are. Also returns which is the package.
fn contents(files: &[PathBuf]) -> Result<(Contents, Option<PathBuf>), Failure> {
    let (mut contents, mut package) = (Contents::default(), None);
    for path in files {
        let bytes = read(path)?;
        let name = format!("`{}`", path.display());
        if bytes.starts_with(WASM) {
            module::check(&bytes).map_err(|error| {
                let error = anyhow::Error::new(error).context(format!("{name} is too large"));
                Failure::new(exit_code::MODULE, error)
            })?;
            let title = path.file_name().map(|name| name.to_string_lossy().into_owned());
            contents.modules.push((title.unwrap_or_default(), bytes));
            continue;
        }
        match Kind::of(&bytes) {
            Kind::Json => drop(Package::decode(&bytes).map_err(|error| no_package(error, &name))?),
            Kind::Elf => return Err(not_unpacked(&name, InputError::Object)),
            _ => {
                let error = anyhow!("{name} is not a package in JSON, as an image has it");
                return Err(Failure::new(exit_code::PACKAGE, error)
                    .hint("unpack it first: gzip -d, zstd -d, tar -x"));
            }
        }
        if contents.package.replace(bytes).is_some() {
            return Err(Failure::usage(format!("{name} is a second package; an image has one")));
        }
        package = Some(path.clone());
    }
    Ok((contents, package))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_PACKAGE_SIZE + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > MAX_PACKAGE_SIZE {
            true => Err(anyhow!("it is larger than {MAX_PACKAGE_SIZE} bytes")),
            false => Ok(bytes),
        }
    };
    read()
        .with_context(|| format!("cannot read `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::PACKAGE, error))
}
