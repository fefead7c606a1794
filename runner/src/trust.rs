// SPDX-License-Identifier: MIT
//! `ecli trust`: the keys of people whose packages may run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::printable::clean;
use bpfpack_trust::Key;

use crate::args::{TrustCommand, TrustDo};
use crate::failure::{Failure, exit_code};
use crate::output;
use crate::policy::{self, Policies};

/// Performs a command.
///
/// # Errors
/// Returns an error if a key cannot be read or written, or does not exist.
pub(crate) fn perform(command: &TrustCommand) -> Result<(), Failure> {
    let directory = policy::keys::directory(command.policy.as_deref());
    match &command.action {
        TrustDo::List => output::print(list(command.policy.as_deref())?.as_bytes()),
        TrustDo::Add { name, key } => add(&directory, name.as_deref(), key),
        TrustDo::Remove { name } => {
            let path = directory.join(format!("{}.pub", checked(name)?));
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove the key `{}`", path.display()))
                .map_err(|error| Failure::new(exit_code::OTHER, error))
        }
    }
}

/// The keys, and what rules say.
fn list(path: Option<&Path>) -> Result<String, Failure> {
    let trust = Policies::read(path)?.sources;
    let mut text = String::new();
    if trust.is_empty() {
        return Ok("No key is trusted and no rule exists: any package may run.\n".to_owned());
    }
    for key in &trust.keys {
        text += &format!("key {}\n", clean(&key.name));
    }
    for (number, rule) in (1..).zip(&trust.rules) {
        text += &clean(&format!("rule {number}: {rule}"));
        text.push('\n');
    }
    if trust.rules.is_empty() {
        text += "Packages and modules must be signed by one of the keys.\n";
    }
    Ok(text)
}

fn add(directory: &Path, name: Option<&str>, key: &str) -> Result<(), Failure> {
    let usage = |error: anyhow::Error| Failure::new(exit_code::USAGE, error);
    let path = Path::new(key);
    let (text, stem) = match fs::read_to_string(path) {
        Ok(text) => (text, path.file_stem().and_then(|stem| stem.to_str())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (key.to_owned(), None),
        Err(error) => {
            return Err(usage(anyhow!(error).context(format!("cannot read the key `{key}`"))));
        }
    };
    let name = name.or(stem).ok_or_else(|| {
        Failure::usage(format!("there is no file `{key}`, and a key needs a name"))
            .hint("ecli trust add --name NAME KEY")
    })?;
    let name = checked(name)?;
    Key::new(name, &text).with_context(|| format!("`{key}`")).map_err(|error| {
        usage(error).hint("the key is the file that ends in .pub, not the secret one")
    })?;
    let path = directory.join(format!("{name}.pub"));
    let write = || -> anyhow::Result<()> {
        make(directory)?;
        bpfpack_directories::private(&std::path::absolute(directory)?)?;
        let mut file = File::create_new(&path)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text.trim_end().as_bytes())?;
        file.write_all(b"\n")?;
        Ok(())
    };
    write()
        .with_context(|| format!("cannot write the key `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::OTHER, error))?;
    output::print(format!("trusts the key {name}: packages must be signed now\n").as_bytes())
}

/// Makes the directory of keys, for all users to read.
fn make(directory: &Path) -> io::Result<()> {
    for directory in [directory.parent(), Some(directory)].into_iter().flatten() {
        match fs::create_dir(directory) {
            Ok(()) => fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A name that is the name of a file, and can be written in a rule.
fn checked(name: &str) -> Result<&str, Failure> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match !name.is_empty() && name.chars().all(is_good) && !name.starts_with('.') {
        true => Ok(name),
        false => Err(Failure::usage(format!("`{name}` cannot be the name of a key"))
            .hint("letters, digits, and - _ . @")),
    }
}
