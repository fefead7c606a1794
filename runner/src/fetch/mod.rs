// SPDX-License-Identifier: MIT
//! Reads a package or a Wasm module: from a file, from standard input, or from behind this program.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use bpfpack_input::{Content, InputError};
use bpfpack_schemas::package::{MAX_PACKAGE_SIZE, PackageError};
use bpfpack_schemas::{Package, executable, module};

use crate::args::{OWN, Origin};
use crate::failure::{Failure, exit_code};

/// By this text `ecc -s` knows that a package may be appended to this program.
#[used]
static MARK: &str = executable::MARK;

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
        Origin::Own => "this program".to_owned(),
    };
    let bytes = read(origin)
        .with_context(|| format!("cannot read {name}"))
        .map_err(|error| Failure::new(exit_code::PACKAGE, error))?;
    let is_wat = matches!(origin, Origin::File(path) if path.extension() == Some("wat".as_ref()));
    let content = match is_wat {
        true => Content::Module(bytes),
        false => bpfpack_input::unpack(bytes).map_err(|error| not_unpacked(&name, error))?,
    };
    decode(&name, content)
}

/// Decodes what was unpacked. `name` says where it comes from.
fn decode(name: &str, content: Content) -> Result<Fetched, Failure> {
    let text = match content {
        Content::Module(module) => {
            return match module::check(&module) {
                Ok(()) => Ok(Fetched::Module(module)),
                Err(error) => {
                    let error = anyhow::Error::new(error).context(format!("{name} is too large"));
                    Err(Failure::new(exit_code::MODULE, error))
                }
            };
        }
        Content::Package(text) => text,
    };
    Package::decode(&text).map(Box::new).map(Fetched::Package).map_err(|error| {
        let hint = hint(&error);
        let error = anyhow::Error::new(error).context(format!("{name} is not a package"));
        let failure = Failure::new(exit_code::PACKAGE, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

fn not_unpacked(name: &str, error: InputError) -> Failure {
    let hint = error.hint();
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
        Origin::Own => {
            let package = executable::read(&File::open(OWN)?)?;
            return package.ok_or_else(|| io::ErrorKind::NotFound.into());
        }
    };
    let data = file.metadata()?;
    // Of an executable, only the package is read.
    if data.is_file()
        && let Some(package) = executable::read(&file)?
    {
        return Ok(package);
    }
    let mut text = Vec::new();
    text.reserve_exact(data.len().min(MAX_PACKAGE_SIZE) as usize);
    // One byte more than the limit, so that a file that is too large is noticed.
    file.take(MAX_PACKAGE_SIZE + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn hint(error: &PackageError) -> Option<&'static str> {
    match error {
        PackageError::SkeletonOnly => Some("run the `package.json` that ecc wrote beside it"),
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
