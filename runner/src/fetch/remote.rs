// SPDX-License-Identifier: MIT
//! Downloads packages by HTTP and from registries, and keeps them in a cache.

use anyhow::{Context as _, anyhow};
use bpfpack_registry::http::{self, HttpError, Limits, Status};
use bpfpack_registry::{Options, Progress as _, Reference, pull_package};
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;
use bpfpack_trust::{MAX_SIGNATURE, digest};

use super::Raw;
use super::cache::{Cache, Ref};
use crate::args::{FetchPlan, PullWhen, Remote};
use crate::failure::talk::Talk;
use crate::failure::{Failure, exit_code};
use crate::transfer::{Meter, failure};

/// A source that was parsed.
struct Source {
    /// What rules and the cache know it by: the URL without its fragment, or the name of the image.
    name: String,
    /// The digest that its bytes must have.
    pinned: Option<String>,
    /// For an image: its reference.
    image: Option<Reference>,
}

/// Gets what a URL or a name in a registry stands for.
pub(super) fn get(
    remote: &Remote,
    plan: &FetchPlan,
    with_signature: bool,
    talk: &Talk,
) -> Result<Raw, Failure> {
    let source = Source::parse(remote)?;
    let cache = plan.cache.as_deref().and_then(|directory| match Cache::open(directory) {
        Ok(cache) => Some(cache),
        Err(error) => {
            talk.note(&format!("packages are not kept: {error}"));
            None
        }
    });
    if let Some((bytes, found)) = cache.as_ref().and_then(|cache| source.find(cache, plan.pull)) {
        let is_enough =
            !with_signature || found.signature.is_some() || plan.pull == PullWhen::Never;
        if is_enough {
            return Ok(source.raw(bytes, found.digest, found.signature));
        }
    }
    if plan.pull == PullWhen::Never {
        let text = format!("`{}` is not in the cache", source.name);
        let hint = "run it once without --offline and --pull never";
        return Err(Failure::new(exit_code::FETCH, anyhow!(text)).hint(hint));
    }
    crate::sys::resolve_without_modules();
    let meter = Meter::new("downloading");
    let (bytes, signature) = match &source.image {
        Some(image) => pull(image, plan, &meter)?,
        None => download(&source.name, with_signature, &meter)
            .map_err(|error| Failure::new(exit_code::FETCH, anyhow::Error::new(error)))?,
    };
    let found = digest(&bytes);
    if let Some(pinned) = &source.pinned
        && *pinned != found
    {
        let text = format!(
            "`{}` is not what was asked for: its SHA-256 digest is {found}, not {pinned}",
            source.name
        );
        return Err(Failure::new(exit_code::FETCH, anyhow!(text)));
    }
    if let Some(cache) = &cache {
        let entry = Ref {
            source: source.name.clone(),
            digest: found.clone(),
            signature: signature.clone(),
        };
        if let Err(error) = cache.store(&entry, &bytes) {
            talk.note(&format!("the package is not kept: {error}"));
        }
    }
    Ok(source.raw(bytes, found, signature))
}

impl Source {
    fn parse(remote: &Remote) -> Result<Source, Failure> {
        match remote {
            Remote::Image(text) => {
                let image: Reference =
                    text.parse().map_err(|error: bpfpack_registry::BadReference| {
                        Failure::usage(error.to_string())
                            .hint("for example oci://ghcr.io/NAME/opensnoop:latest")
                    })?;
                Ok(Source { name: image.to_string(), pinned: None, image: Some(image) })
            }
            Remote::Url(text) => {
                let (url, fragment) = match text.split_once('#') {
                    Some((url, fragment)) => (url, Some(fragment)),
                    None => (&**text, None),
                };
                let pinned = fragment.map(|fragment| pinned(text, fragment)).transpose()?;
                Ok(Source { name: url.to_owned(), pinned, image: None })
            }
        }
    }

    /// What the cache has, if it may be used without asking the server.
    fn find(&self, cache: &Cache, pull: PullWhen) -> Option<(Vec<u8>, Ref)> {
        let found = cache.find(&self.name);
        if let Some(pinned) = &self.pinned {
            if let Some(found) = found.filter(|(_, found)| found.digest == *pinned) {
                return Some(found);
            }
            // Under another name, it is the same.
            let bytes = cache.blob(pinned)?;
            let entry = Ref { source: self.name.clone(), digest: pinned.clone(), signature: None };
            return Some((bytes, entry));
        }
        // A digest in the name of an image makes it the same forever.
        let is_fixed = self.image.as_ref().is_some_and(|image| image.digest().is_some());
        found.filter(|_| pull != PullWhen::Always || is_fixed)
    }

    fn raw(&self, bytes: Vec<u8>, digest: String, signature: Option<String>) -> Raw {
        Raw { bytes, source: self.name.clone(), signature, downloaded: Some(digest) }
    }
}

/// The digest in a fragment `sha256=…`.
fn pinned(url: &str, fragment: &str) -> Result<String, Failure> {
    let hex = fragment
        .strip_prefix("sha256=")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.map(str::to_ascii_lowercase).ok_or_else(|| {
        Failure::usage(format!("`{url}`: `#{fragment}` is not a digest"))
            .hint("#sha256= and 64 hexadecimal digits; sha256sum FILE prints them")
    })
}

fn pull(
    image: &Reference,
    plan: &FetchPlan,
    meter: &Meter,
) -> Result<(Vec<u8>, Option<String>), Failure> {
    let options = Options {
        insecure: plan.insecure,
        progress: Some(meter),
        ..Options::with_max_size(MAX_PACKAGE_SIZE)
    };
    let pulled = pull_package(image, &options)
        .map_err(|error| failure(error, &format!("cannot pull `{image}`")))?;
    let signature = pulled.signature.map(String::from_utf8).transpose();
    let signature = signature.context("the signature of the image is not text");
    let signature = signature.map_err(|error| Failure::new(exit_code::FETCH, error))?;
    Ok((pulled.bytes, signature))
}

/// The body of a URL, and that of its signature if it is wanted and exists.
fn download(
    url: &str,
    with_signature: bool,
    meter: &Meter,
) -> Result<(Vec<u8>, Option<String>), HttpError> {
    let response = http::get(url, &Limits::size(MAX_PACKAGE_SIZE))?;
    let bytes = response.read_all_and_tell(|done, total| meter.at(done, total))?;
    if !with_signature {
        return Ok((bytes, None));
    }
    let signature = match http::get(&format!("{url}.minisig"), &Limits::size(MAX_SIGNATURE)) {
        Ok(response) => Some(String::from_utf8_lossy(&response.read_all()?).into_owned()),
        Err(HttpError::Status { status: Status(404 | 410), .. }) => None,
        Err(error) => return Err(error),
    };
    Ok((bytes, signature))
}
