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

use crate::package::MAX_PACKAGE_SIZE;

/// The last bytes of a standalone executable.
const MAGIC: &[u8; 8] = b"bpfpack1";

/// Bytes behind the package.
const TRAILER: usize = 16;

/// Returns what follows the package: its length, and the magic.
#[must_use]
pub fn trailer(len: usize) -> Vec<u8> {
    [&(len as u64).to_le_bytes(), &MAGIC[..]].concat()
}

/// A text that each `ecli` has, by which `ecc` knows what it may append a package to.
pub const MARK: &str = "bpfpack runner: a package may follow this executable";

/// Takes the package from behind an executable; `None` if there is none.
#[must_use]
pub fn split(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.len().saturating_sub(TRAILER);
    let len = usize::try_from(length(&bytes[end..])?).ok()?;
    let begin = end.checked_sub(len).filter(|begin| *begin > 0)?;
    bytes.truncate(end);
    Some(bytes.split_off(begin))
}

/// Returns whether a package is behind an executable.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn has_package(file: &File) -> io::Result<bool> {
    Ok(place(file)?.is_some())
}

/// Reads the package behind an executable, and nothing else of it; `None` if there is none.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read(file: &File) -> io::Result<Option<Vec<u8>>> {
    let Some((begin, len)) = place(file)? else { return Ok(None) };
    let mut package = vec![0; len];
    file.read_exact_at(&mut package, begin)?;
    Ok(Some(package))
}

/// Where the package begins, and its length.
fn place(file: &File) -> io::Result<Option<(u64, usize)>> {
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let len = length(&trailer).filter(|len| *len < end && *len <= MAX_PACKAGE_SIZE);
    Ok(len.map(|len| (end - len, len as usize)))
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
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_package_is_found_behind_an_executable() {
        let runner = b"\x7fELF runner".to_vec();
        let bytes = [&runner[..], b"{}", &trailer(2)].concat();
        assert_eq!((runner_size(&bytes), runner_size(&runner)), (runner.len(), runner.len()));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        assert!(has_package(&file).unwrap());
        assert_eq!(read(&file).unwrap().unwrap(), b"{}");
        assert_eq!(split(bytes).unwrap(), b"{}");
        assert_eq!(split(runner), None);
    }

    #[test]
    fn lengths_that_lie_are_no_package() {
        for len in [u64::MAX, 100, 11] {
            let mut bytes = b"\x7fELF runner".to_vec();
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(MAGIC);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(read(&file).unwrap(), None);
            assert_eq!(split(bytes), None, "{len}");
        }
        assert_eq!(split(b"bpfpack1".into()), None);
    }
}
