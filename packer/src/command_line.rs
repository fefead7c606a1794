// SPDX-License-Identifier: MIT
//! Parses the command line. Errors of clap quote its words, which may contain anything.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use bpfpack_schemas::printable;
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Args;
use crate::sign::{NewKey, Sign};

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// To pack sources.
    Pack(Box<Args>),
    /// `ecc new-key`
    NewKey(NewKey),
    /// `ecc sign`
    Sign(Sign),
}

impl Request {
    /// The first word chooses: a source has an ending.
    fn of(words: &[OsString]) -> Result<Request, clap::Error> {
        let rest = words.get(1..).unwrap_or_default();
        match words.get(1).and_then(|word| word.to_str()) {
            Some("new-key") => NewKey::try_parse_from(rest).map(Request::NewKey),
            Some("sign") => Sign::try_parse_from(rest).map(Request::Sign),
            _ => Args::try_parse_from(words).map(|args| Request::Pack(Box::new(args))),
        }
    }
}

/// Parses the words of a command line, starting with the program's name.
///
/// # Errors
/// The message of clap, safe to print; also help and version.
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Request, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    Request::of(&words).map_err(|error| {
        let safe: Vec<OsString> = words.iter().map(|word| escaped(word)).collect();
        if safe == words {
            return error;
        }
        // Repeat the error with printable words. clap's colors are kept.
        Request::of(&safe).err().unwrap_or_else(|| {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            clap::Error::raw(ErrorKind::InvalidValue, printable::message(text))
        })
    })
}

/// A word of the command line, safe to print. The middle of a long one is omitted.
fn escaped(word: &OsStr) -> OsString {
    let mut text = Vec::new();
    printable::append(word.as_bytes(), &mut text);
    printable::message(&String::from_utf8_lossy(&text)).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&[u8]]) -> (String, i32) {
        let words = words.iter().map(|word| OsStr::from_bytes(word).to_owned());
        let error = read(std::iter::once("ecc".into()).chain(words)).unwrap_err();
        assert!(error.use_stderr());
        (error.to_string(), error.exit_code())
    }

    #[test]
    fn what_is_wrong_is_repeated_as_it_may_be_printed() {
        for (words, shown) in [
            (&[&b"--\x1b[31mx"[..]][..], r"'--\x1b[31mx'"),
            (&[b"a.c", b"--wasm-header=\x1b]0;t\x07"], r"'\x1b]0;t\x07'"),
            (&[b"a.c", b"--yaml=\xe2\x80\xae\xff"], r"'\u{202e}\xff'"),
            (&[b"-\x1b"], r"'-\'"),
        ] {
            let (text, code) = told(words);
            assert_eq!(code, 2);
            assert!(text.contains(shown), "{text}");
            assert!(printable::lines(&text) == text, "{text:?}");
        }
        let (text, _) = told(&[b"a.c", b"--target", b"\xff"]);
        assert!(text.contains("invalid UTF-8"), "{text}");
        let (text, _) = told(&[format!("--{}", "x".repeat(100_000)).as_bytes()]);
        assert!(text.len() < 5000, "{}", text.len());
    }
}
