// SPDX-License-Identifier: MIT
//! Standalone executables: `ecli` with a package behind it. The kernel loads what the ELF headers
//! name and ignores the rest, so no linker is needed.
//!
//! ```text
//! ecli | package.json | length of the package, 8 bytes, little-endian | "bpfpack1"
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::{InputError, MAX_SIZE};

/// The last bytes of a standalone executable.
const MAGIC: &[u8; 8] = b"bpfpack1";

/// Bytes behind the package.
const TRAILER: usize = 16;

/// A text that each `ecli` has, by which `ecc` knows what it may append a package to.
pub const MARK: &str = "bpfpack runner: a package may follow this executable";

/// An executable with a package behind it.
#[must_use]
pub fn append(mut runner: Vec<u8>, package: &[u8]) -> Vec<u8> {
    runner.extend_from_slice(package);
    runner.extend_from_slice(&(package.len() as u64).to_le_bytes());
    runner.extend_from_slice(MAGIC);
    runner
}

/// The package behind an executable.
///
/// # Errors
/// Returns [`InputError::Object`] if there is none.
pub(crate) fn split(mut bytes: Vec<u8>) -> Result<Vec<u8>, InputError> {
    let end = bytes.len().saturating_sub(TRAILER);
    let len = length(&bytes[end..]).and_then(|len| usize::try_from(len).ok());
    let Some(begin) = len.and_then(|len| end.checked_sub(len)).filter(|begin| *begin > 0) else {
        return Err(InputError::Object);
    };
    bytes.truncate(end);
    Ok(bytes.split_off(begin))
}

/// Reads the package behind an executable, and nothing else of it; `None` if there is none.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read(file: &File) -> io::Result<Option<Vec<u8>>> {
    let size = file.metadata()?.len();
    let Some(end) = size.checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let Some(len) = length(&trailer).filter(|len| *len < end && *len <= MAX_SIZE) else {
        return Ok(None);
    };
    let mut package = vec![0; len as usize];
    file.read_exact_at(&mut package, end - len)?;
    Ok(Some(package))
}

/// Returns where the package behind an executable begins; for a plain executable, its size.
#[must_use]
pub fn runner_size(bytes: &[u8]) -> usize {
    let end = bytes.len().saturating_sub(TRAILER);
    match length(&bytes[end..]).and_then(|len| usize::try_from(len).ok()) {
        Some(len) => end.saturating_sub(len),
        None => bytes.len(),
    }
}

fn length(trailer: &[u8]) -> Option<u64> {
    let len = trailer.strip_suffix(MAGIC)?;
    Some(u64::from_le_bytes(len.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_behind_an_executable() {
        let runner = b"\x7fELF runner".to_vec();
        let bytes = append(runner.clone(), b"{}");
        assert_eq!((runner_size(&bytes), runner_size(&runner)), (runner.len(), runner.len()));
        let directory = std::env::temp_dir().join(format!("bpfpack-input-{}", std::process::id()));
        std::fs::write(&directory, &bytes).unwrap();
        let found = read(&File::open(&directory).unwrap());
        std::fs::remove_file(&directory).unwrap();
        assert_eq!(found.unwrap().unwrap(), b"{}");
        assert_eq!(split(bytes).unwrap(), b"{}");
        assert!(split(runner).is_err());
    }

    #[test]
    fn lengths_that_lie_are_no_package() {
        for len in [u64::MAX, 100, 11] {
            let mut bytes = b"\x7fELF runner".to_vec();
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(MAGIC);
            assert!(split(bytes).is_err(), "{len}");
        }
        assert!(split(MAGIC.to_vec()).is_err());
    }
}
