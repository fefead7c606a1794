// SPDX-License-Identifier: MIT
//! Reads files that the user names, within limits: a path may be that of a device or a pipe.

use std::fs;
use std::path::Path;

use anyhow::anyhow;

use crate::failure::{Failure, exit_code, unreadable};
use crate::message::shown;

/// The largest source, in bytes.
pub(crate) const MAX_SOURCE: u64 = 16 << 20;

/// A source as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    Ok(text_of(read(path, MAX_SOURCE, "a source has at most 16 MiB")?))
}

/// Bytes as text. Each byte that belongs to no character becomes a question mark, so columns, which
/// clang counts in bytes, stay the same.
pub(crate) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut bytes = error.into_bytes();
        let mut at = 0;
        while let Err(error) = std::str::from_utf8(&bytes[at..]) {
            let start = at + error.valid_up_to();
            at = error.error_len().map_or(bytes.len(), |len| start + len);
            bytes[start..at].fill(b'?');
        }
        String::from_utf8(bytes).unwrap_or_default()
    })
}

/// Reads a file within a limit on its size. Devices and pipes may be endless.
pub(crate) fn read(path: &Path, most: u64, rule: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let refused = |text: String| Failure::new(exit_code::NO_INPUT, anyhow!(text));
    let file = fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let meta = file.metadata().map_err(|error| unreadable(path, error))?;
    if meta.is_file() && meta.len() > most {
        return Err(refused(format!("`{}` has {} bytes; {rule}", shown(path), meta.len())));
    }
    // One more byte lets the read that finds the end succeed without growing the buffer.
    let mut bytes = Vec::with_capacity(meta.len().min(most) as usize + 1);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > most {
        return Err(refused(format!("`{}` has no end; {rule}", shown(path))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn bytes_that_are_no_text_keep_their_columns() {
        for (bytes, text) in [
            (&b"a\xffb\xe2\x80"[..], "a?b??"),
            (b"\xe9t\xc3\xa9\xe2\x82x\xff", "?t\u{e9}??x?"),
            (b"", ""),
        ] {
            assert_eq!(text_of(bytes.to_vec()), text);
        }
    }
}
