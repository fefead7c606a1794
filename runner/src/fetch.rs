// SPDX-License-Identifier: MIT
//! Reads a package or a Wasm module from a file or from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use bpfpack_schemas::package::{MAX_PACKAGE_SIZE, PackageError};
use bpfpack_schemas::{Package, module};

use crate::args::Origin;
use crate::failure::{Failure, exit_code};

/// The first bytes of a binary Wasm module.
pub(crate) const WASM: &[u8] = b"\0asm";
/// The first bytes of a package in YAML.
const YAML: &[u8] = b"bpf_object:";
const ELF: &[u8] = b"\x7fELF";

/// What `ecli` can run.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// A package.
    Package(Box<Package>),
    /// A Wasm module that is a whole tracer.
    Module(Vec<u8>),
}

/// Reads and decodes a package or a module.
pub(crate) fn fetch(origin: &Origin) -> Result<Fetched, Failure> {
    let name = match origin {
        Origin::Stdin => "standard input".to_owned(),
        Origin::File(path) => format!("`{}`", path.display()),
    };
    let text = read(origin)
        .with_context(|| format!("cannot read {name}"))
        .map_err(|error| Failure::new(exit_code::PACKAGE, error))?;
    let is_wat = matches!(origin, Origin::File(path) if path.extension() == Some("wat".as_ref()));
    if text.starts_with(WASM) || is_wat {
        return match module::check(&text) {
            Ok(()) => Ok(Fetched::Module(text)),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("{name} is too large"));
                Err(Failure::new(exit_code::MODULE, error))
            }
        };
    }
    let package = Package::decode(&text);
    package.map(Box::new).map(Fetched::Package).map_err(|error| no_package(error, &name, &text))
}

/// The failure for a text that is not a package.
pub(crate) fn no_package(error: PackageError, name: &str, text: &[u8]) -> Failure {
    let hint = hint(&error, text);
    let error = anyhow::Error::new(error).context(format!("{name} is not a package"));
    let failure = Failure::new(exit_code::PACKAGE, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Reads everything into one allocation. Reserving the whole size is cheap: the kernel provides
/// memory only for pages that are written.
fn read(origin: &Origin) -> io::Result<Vec<u8>> {
    let file = match origin {
        Origin::Stdin => File::from(io::stdin().as_fd().try_clone_to_owned()?),
        Origin::File(path) => File::open(path)?,
    };
    let mut text = Vec::new();
    text.reserve_exact(file.metadata()?.len().min(MAX_PACKAGE_SIZE) as usize);
    // One byte more than the limit, so that a file that is too large is noticed.
    file.take(MAX_PACKAGE_SIZE + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn hint(error: &PackageError, text: &[u8]) -> Option<&'static str> {
    match error {
        PackageError::SkeletonOnly => Some("run the `package.json` that ecc wrote beside it"),
        PackageError::NotJson(_) if text.starts_with(ELF) => {
            Some("it is an object; `ecc X.bpf.o` packs it")
        }
        PackageError::NotJson(_) if text.starts_with(YAML) => {
            Some("it is a package in YAML; ecc without -y writes JSON")
        }
        PackageError::NotJson(_) | PackageError::BadKey { .. } => {
            Some("`ecc X.bpf.c` writes packages; the format is described in schemas/")
        }
        PackageError::SizeMismatch { .. } | PackageError::Base64(_) | PackageError::Zlib(_) => {
            Some("is the file incomplete or damaged?")
        }
        error if error.is_limit() => Some("runner/README.md lists the limits of a package"),
        _ => None,
    }
}
