// SPDX-License-Identifier: MIT
//! Reads files, standard input, and the package behind this program.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use bpfpack_schemas::executable;
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;
use bpfpack_trust::{MAX_SIGNATURE, signature_path};

use super::Raw;
use crate::args::OWN;

/// Reads standard input.
pub(super) fn stdin() -> io::Result<Raw> {
    let bytes = read(File::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    Ok(Raw { bytes, source: "-".to_owned(), signature: None, downloaded: None })
}

/// Reads a file. `with_signature` also reads the signature beside it, if there is one.
pub(super) fn file(path: &Path, with_signature: bool) -> io::Result<Raw> {
    let file = File::open(path)?;
    // Of a standalone executable, only the package is read, unless its signature is needed: that is
    // of the whole file.
    if !with_signature
        && file.metadata()?.is_file()
        && let Some(bytes) = executable::read(&file)?
    {
        return Ok(Raw { bytes, source: source(path), signature: None, downloaded: None });
    }
    let bytes = read(file)?;
    let signature = match with_signature {
        true => signature(&signature_path(path))?,
        false => None,
    };
    Ok(Raw { bytes, source: source(path), signature, downloaded: None })
}

/// Reads the package behind this program.
pub(super) fn own(with_signature: bool) -> io::Result<Raw> {
    if with_signature {
        return file(&std::env::current_exe()?, true);
    }
    let bytes = executable::read(&File::open(OWN)?)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(Raw { bytes, source: source(Path::new(OWN)), signature: None, downloaded: None })
}

/// Reads a signature file; `None` if it does not exist.
pub(super) fn signature(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MAX_SIGNATURE).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// The name of a file for rules: it must not depend on the working directory or on links.
pub(super) fn source(path: &Path) -> String {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}

/// Reads everything into one allocation. Reserving the whole size is cheap: the kernel provides
/// memory only for pages that are written.
fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.reserve_exact(file.metadata()?.len().min(MAX_PACKAGE_SIZE) as usize);
    // One byte more than the limit, so that a file that is too large is noticed.
    file.take(MAX_PACKAGE_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
