// SPDX-License-Identifier: MIT
//! `ecc new-key` and `ecc sign`: keys and signatures of minisign, with which `ecli` tells who made a
//! package. minisign(1) reads what is written here, and its keys and signatures are read here.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

use crate::emit::new_file;
use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// The end of the name of a signature.
const ENDING: &str = "minisig";

/// Make a key: NAME.key to sign with, and NAME.pub to verify with.
#[derive(Debug, Parser)]
#[command(name = "ecc new-key", bin_name = "ecc new-key", max_term_width = 80)]
pub struct NewKey {
    /// The names of the files, without their ending
    #[arg(value_name = "NAME")]
    name: PathBuf,

    /// Do not protect the key with a password
    #[arg(long)]
    no_password: bool,

    /// Read the password from standard input
    #[arg(long, conflicts_with = "no_password")]
    password_stdin: bool,
}

/// Sign packages and modules: write FILE.minisig beside each.
#[derive(Debug, Parser)]
#[command(name = "ecc sign", bin_name = "ecc sign", max_term_width = 80)]
pub struct Sign {
    /// The key, of ecc new-key or minisign -G
    #[arg(short = 's', long = "key", value_name = "FILE")]
    key: PathBuf,

    /// State this version, so that rules can refuse older ones
    #[arg(long, value_name = "VERSION", value_parser = version)]
    package_version: Option<String>,

    /// Add a comment, which the signature protects
    #[arg(short = 't', long, value_name = "TEXT")]
    comment: Option<String>,

    /// Read the password of the key from standard input
    #[arg(long)]
    password_stdin: bool,

    /// The files to sign
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Makes a key.
///
/// # Errors
/// A file exists already, or cannot be written.
pub fn new_key(args: &NewKey) -> Result<(), Failure> {
    let (secret, public) = (with(&args.name, "key"), with(&args.name, "pub"));
    for path in [&secret, &public] {
        if fs::symlink_metadata(path).is_ok() {
            let text = format!("`{}` exists already", shown(path));
            return Err(Failure::new(exit_code::OUTPUT, anyhow!(text))
                .hint("a lost key cannot be made again: choose another name"));
        }
    }
    let pair = match args.no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(password(args.password_stdin)?),
    };
    let pair = pair.context("cannot make a key").map_err(other)?;
    let texts = || -> minisign::Result<(String, String)> {
        Ok((pair.sk.to_box(None)?.into_string(), pair.pk.to_box()?.into_string()))
    };
    let (secret_text, public_text) = texts().context("cannot make a key").map_err(other)?;
    write(&secret, &secret_text, 0o600)?;
    write(&public, &public_text, 0o666)?;
    println(&format!("{}: keep it secret", shown(&secret)));
    println(&format!("{}: ecli trust add it where packages run", shown(&public)));
    Ok(())
}

/// Signs files.
///
/// # Errors
/// The key or a file cannot be read, or a signature cannot be written.
pub fn sign(args: &Sign) -> Result<(), Failure> {
    let key = read_key(&args.key, args.password_stdin)?;
    let public = PublicKey::from_secret_key(&key).context("cannot use the key").map_err(other)?;
    for path in &args.files {
        let bytes = fs::read(path)
            .with_context(|| format!("cannot read `{}`", shown(path)))
            .map_err(|error| Failure::new(exit_code::NO_INPUT, error))?;
        let comment = trusted_comment(args, path);
        let untrusted = "signature of bpfpack";
        let signature =
            minisign::sign(Some(&public), &key, &bytes[..], Some(&comment), Some(untrusted))
                .with_context(|| format!("cannot sign `{}`", shown(path)))
                .map_err(other)?;
        let to = with(path, ENDING);
        write(&to, &signature.into_string(), 0o666)?;
        println(&shown(&to).to_string());
    }
    Ok(())
}

/// What the signature protects besides the bytes, in the form that minisign(1) uses.
fn trusted_comment(args: &Sign, path: &Path) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut comment = format!("timestamp:{now}\tfile:{}\thashed", shown(Path::new(&*name)));
    if let Some(version) = &args.package_version {
        comment += &format!("\tversion:{version}");
    }
    // A comment cannot pretend to be one of the fields.
    if let Some(text) = &args.comment {
        comment += &format!("\tcomment:{}", text.replace(['\n', '\r', '\t', ' '], "_"));
    }
    comment
}

fn read_key(path: &Path, from_stdin: bool) -> Result<SecretKey, Failure> {
    let unreadable = || format!("cannot read the key `{}`", shown(path));
    let input = |error: anyhow::Error| Failure::new(exit_code::NO_INPUT, error);
    let text = fs::read_to_string(path).with_context(unreadable).map_err(input)?;
    if let Some(key) = unencrypted(&text) {
        return Ok(key);
    }
    let key = SecretKeyBox::from_string(&text).with_context(unreadable).map_err(input)?;
    let password = password(from_stdin)?;
    key.into_secret_key(password).with_context(unreadable).map_err(|error| {
        input(error).hint("is it a secret key of minisign, and is the password right?")
    })
}

/// A key without a password. minisign 0.11 leaves its checksum empty, which the library refuses.
fn unencrypted(text: &str) -> Option<SecretKey> {
    let bytes = BASE64_STANDARD.decode(text.lines().nth(1)?).ok()?;
    SecretKey::from_bytes(&bytes).ok().filter(|key| !key.is_encrypted())
}

/// The password from standard input; `None` asks for it on the terminal.
fn password(from_stdin: bool) -> Result<Option<String>, Failure> {
    if !from_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password").map_err(other)?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

fn version(text: &str) -> Result<String, String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match text.split('.').all(is_number) {
        true => Ok(text.to_owned()),
        false => Err("it must be numbers and dots, such as 1.2.3".to_owned()),
    }
}

/// A name with one more ending. It need not be UTF-8.
fn with(name: &Path, ending: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Writes a file that is complete or absent.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        let mut file = new_file(directory, mode)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write()
        .with_context(|| format!("cannot write `{}`", shown(path)))
        .map_err(|error| Failure::new(exit_code::OUTPUT, error))
}

fn other(error: anyhow::Error) -> Failure {
    Failure::new(exit_code::OTHER, error)
}

fn println(text: &str) {
    // A closed pipe is not an error.
    let _ = writeln!(io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_cannot_state_a_version() {
        let words = ["sign", "-s", "k", "-t", "x version:9\tversion:8", "a b.json"];
        let args = Sign::try_parse_from(words).unwrap();
        let comment = trusted_comment(&args, &args.files[0]);
        assert!(comment.ends_with("\thashed\tcomment:x_version:9_version:8"), "{comment}");
        let args = Sign::try_parse_from(["sign", "-s", "k", "--package-version", "1.2", "x"]);
        assert!(trusted_comment(&args.unwrap(), Path::new("x")).ends_with("\tversion:1.2"));
        assert!(Sign::try_parse_from(["sign", "-s", "k", "--package-version", "v1", "x"]).is_err());
    }
}
