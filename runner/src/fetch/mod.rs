// SPDX-License-Identifier: MIT
//! Gets a package or a Wasm module: from a file, from standard input, from behind this program, or
//! from another machine. [`obtain`] gets the bytes, [`Raw::verify`] decides whether they may be used,
//! and only then [`Raw::decode`] parses them.

#[cfg(feature = "registry")]
pub(crate) mod cache;
mod local;
#[cfg(feature = "registry")]
mod remote;

use std::io;
use std::path::Path;

use bpfpack_input::{Content, InputError};
use bpfpack_schemas::package::PackageError;
use bpfpack_schemas::{Package, executable, module};
use bpfpack_trust::{Accepted, Artifact, Policy, digest, signature_path};

use crate::args::{FetchPlan, Origin};
use crate::failure::talk::Talk;
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

/// The bytes of a package or a module, not verified and not parsed.
#[derive(Debug)]
pub(crate) struct Raw {
    bytes: Vec<u8>,
    /// What rules know it by: an absolute path, `-`, a URL, or the name of an image.
    source: String,
    /// The text of its signature, if there is one.
    signature: Option<String>,
    /// The digest of the bytes, if they come from another machine.
    downloaded: Option<String>,
}

/// Gets the bytes, with the signature if it may be needed.
///
/// # Errors
/// Returns an error if the file or the other machine cannot be read.
pub(crate) fn obtain(plan: &FetchPlan, with_signature: bool, talk: &Talk) -> Result<Raw, Failure> {
    let with_signature = with_signature || plan.signature.is_some();
    let mut raw = match &plan.origin {
        Origin::Remote(remote) => get(remote, plan, with_signature, talk)?,
        Origin::Stdin => local::stdin().map_err(unreadable("standard input"))?,
        Origin::Own => local::own(with_signature).map_err(unreadable("this program"))?,
        Origin::File(path) => match (local::file(path, with_signature), image(path)) {
            // eunomia's ecli runs images by names without a scheme, unless a file has the name.
            (Err(error), Some(remote)) if error.kind() == io::ErrorKind::NotFound => {
                get(&remote, plan, with_signature, talk)?
            }
            (result, _) => result.map_err(unreadable(&format!("`{}`", path.display())))?,
        },
    };
    if let Some(path) = &plan.signature {
        let name = format!("the signature `{}`", path.display());
        raw.signature = match local::signature(path) {
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            result => result,
        }
        .map_err(unreadable(&name))?;
    }
    Ok(raw)
}

#[cfg(feature = "registry")]
use remote::get;

#[cfg(not(feature = "registry"))]
fn get(_: &crate::args::Remote, _: &FetchPlan, _: bool, _: &Talk) -> Result<Raw, Failure> {
    let text = "this ecli was built without support for downloads";
    Err(Failure::usage(text).hint("download the package, and run the file"))
}

/// The image that a name stands for if there is no such file: `HOST/NAME` with a dot or a port in
/// the name of the host.
fn image(path: &Path) -> Option<crate::args::Remote> {
    let name = path.to_str()?;
    let (host, rest) = name.split_once('/')?;
    let is_host = host.contains(['.', ':']) && !host.starts_with('.') && !rest.is_empty();
    is_host.then(|| crate::args::Remote::Image(name.to_owned()))
}

fn unreadable(name: &str) -> impl Fn(io::Error) -> Failure {
    move |error| {
        let error = anyhow::Error::new(error).context(format!("cannot read {name}"));
        Failure::new(exit_code::PACKAGE, error)
    }
}

impl Raw {
    /// Decides whether it may be used.
    ///
    /// # Errors
    /// Returns the reason if it may not, with exit code 11.
    pub(crate) fn verify(&self, policy: &Policy) -> Result<Accepted, Failure> {
        verify(policy, &self.source, &self.bytes, self.signature.as_deref())
    }

    /// What rules know it by.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The digest of the bytes, if the user has to confirm that a package from another machine may
    /// run.
    pub(crate) fn to_confirm(&self) -> Option<String> {
        self.downloaded.clone()
    }

    /// Whether there is a signature.
    pub(crate) fn has_signature(&self) -> bool {
        self.signature.is_some()
    }

    /// The digest of the bytes.
    pub(crate) fn digest(&self) -> String {
        digest(&self.bytes)
    }

    /// Parses the package or the module. `name` is for messages.
    ///
    /// # Errors
    /// Returns an error if it is neither.
    pub(crate) fn decode(self, origin: &Origin) -> Result<Fetched, Failure> {
        let name = match origin {
            Origin::Stdin => "standard input".to_owned(),
            Origin::Own => "this program".to_owned(),
            Origin::File(path) => format!("`{}`", path.display()),
            Origin::Remote(_) => format!("`{}`", self.source),
        };
        let is_wat =
            matches!(origin, Origin::File(path) if path.extension() == Some("wat".as_ref()));
        let content = match is_wat {
            true => Content::Module(self.bytes),
            false => {
                bpfpack_input::unpack(self.bytes).map_err(|error| not_unpacked(&name, error))?
            }
        };
        decode(&name, content)
    }
}

/// Decides whether the file of a module may be used; reads the signature beside it if that matters.
///
/// # Errors
/// Returns the reason if it may not, with exit code 11.
pub(crate) fn verify_file(policy: &Policy, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if policy.is_empty() {
        return Ok(());
    }
    let signature = local::signature(&signature_path(path));
    let name = format!("the signature of `{}`", path.display());
    let signature = signature.map_err(unreadable(&name))?;
    verify(policy, &local::source(path), bytes, signature.as_deref()).map(drop)
}

fn verify(
    policy: &Policy,
    source: &str,
    bytes: &[u8],
    signature: Option<&str>,
) -> Result<Accepted, Failure> {
    policy.check(Artifact { source, bytes, signature }).map_err(|refusal| {
        let error = anyhow::Error::new(refusal).context(format!("`{source}` may not be used"));
        Failure::new(exit_code::REFUSED, error)
            .hint("`ecli trust list` shows the keys and rules of this machine")
    })
}

/// Decodes what was unpacked. `name` says where it comes from.
fn decode(name: &str, content: Content) -> Result<Fetched, Failure> {
    match content {
        Content::Module(module) => match module::check(&module) {
            Ok(()) => Ok(Fetched::Module(module)),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("{name} is too large"));
                Err(Failure::new(exit_code::MODULE, error))
            }
        },
        Content::Package(text) => {
            let package = Package::decode(&text).map(Box::new);
            package.map(Fetched::Package).map_err(|error| no_package(error, name))
        }
    }
}

/// The failure for a text that is not a package.
pub(crate) fn no_package(error: PackageError, name: &str) -> Failure {
    let hint = hint(&error);
    not_read(error, name, hint)
}

/// The failure for bytes that hold neither a package nor a module.
pub(crate) fn not_unpacked(name: &str, error: InputError) -> Failure {
    let hint = error.hint();
    not_read(error, name, hint)
}

fn not_read(error: impl Into<anyhow::Error>, name: &str, hint: Option<&str>) -> Failure {
    let error = error.into().context(format!("{name} is not a package"));
    hint.into_iter().fold(Failure::new(exit_code::PACKAGE, error), Failure::hint)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_host_may_be_images() {
        for (name, is_image) in [
            ("ghcr.io/eunomia-bpf/execve:latest", true),
            ("localhost:5000/x", true),
            ("package.json", false),
            ("./a/package.json", false),
            ("../package.json", false),
            ("out/package.json", false),
            ("/a.b/c", false),
        ] {
            assert_eq!(image(Path::new(name)).is_some(), is_image, "{name}");
        }
    }
}
