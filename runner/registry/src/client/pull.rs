// SPDX-License-Identifier: MIT
//! Pulls a package or a module. Nothing is returned that does not have the size and the digest that
//! the manifest gives.

use super::{Access, Client, Options};
use crate::artifact::{Kind, NotOurs, of_labels, recognize};
use crate::digest::Hasher;
use crate::error::Error;
use crate::http::{Limits, Method, Request};
use crate::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, MAX_MANIFEST, Manifest, OCI_INDEX, OCI_MANIFEST,
};
use crate::{Digest, Reference};

/// The largest signature. Those of minisign have some hundred bytes.
const MAX_SIGNATURE: u64 = 64 << 10;

/// The largest config of a container image that is read for its labels.
const MAX_CONFIG: u64 = 1 << 20;

/// The largest block of memory that is reserved because a manifest announces a size.
const RESERVED: u64 = 1 << 20;

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The package or the module.
    pub bytes: Vec<u8>,
    /// The digest of the image.
    pub digest: Digest,
    /// The signature of the package, in the format of minisign. It was not checked.
    pub signature: Option<Vec<u8>>,
    /// What it is.
    pub kind: Kind,
}

/// Pulls a package, or a Wasm module of eunomia-bpf.
///
/// # Errors
/// Returns an error if the registry cannot be reached, refuses, or sends something else than its
/// digest says; and if the image is neither a package nor a module.
pub fn pull_package(reference: &Reference, options: &Options<'_>) -> Result<Pulled, Error> {
    let mut client = Client::new(reference, options, Access::Pull)?;
    let (manifest, digest) = client.manifest(reference)?;
    let image = reference.to_string();
    let found = match recognize(&manifest) {
        Ok(found) => found,
        Err(NotOurs::Container) => {
            // Its labels only make the message better.
            let config = client.blob(&manifest.config, "config", &image, MAX_CONFIG, options);
            let error = config.map_or(NotOurs::Container, |config| of_labels(&config));
            return Err(Error::NotOurs { image, error });
        }
        Err(error) => return Err(Error::NotOurs { image, error }),
    };
    let signature = found.signature.map(|signature| {
        let quiet = Options { progress: None, ..options.clone() };
        client.blob(signature, "signature", &image, MAX_SIGNATURE, &quiet)
    });
    let signature = signature.transpose()?;
    let what = match found.kind {
        Kind::Package => "package",
        Kind::Module => "module",
    };
    let bytes = client.blob(found.content, what, &image, options.max_size, options)?;
    Ok(Pulled { bytes, digest, signature, kind: found.kind })
}

impl Client {
    fn manifest(&mut self, reference: &Reference) -> Result<(Manifest, Digest), Error> {
        let accept = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST].join(", ");
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or_default().to_owned(),
        };
        let request = Request::new(Method::Get, self.url(&format!("manifests/{name}"))?)
            .header("Accept", &accept);
        let response = self.send(&request, &Limits::size(MAX_MANIFEST))?;
        if response.status() == 404 {
            return Err(Error::NotFound(reference.to_string()));
        }
        let response = response.success()?;
        let media_type = response.header("Content-Type").map(str::to_owned);
        let announced = response.header("Docker-Content-Digest").and_then(|text| text.parse().ok());
        let bytes = response.read_all()?;
        let digest = Digest::of(&bytes);
        for expected in reference.digest().into_iter().chain(announced) {
            self.check_digest("manifest", expected, digest)?;
        }
        let manifest = Manifest::parse(&bytes, media_type.as_deref())
            .map_err(|error| Error::Manifest { image: reference.to_string(), error })?;
        Ok((manifest, digest))
    }

    fn blob(
        &mut self,
        descriptor: &Descriptor,
        what: &'static str,
        image: &str,
        limit: u64,
        options: &Options<'_>,
    ) -> Result<Vec<u8>, Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > limit {
            return Err(Error::TooLarge { image: image.to_owned(), what, size, limit });
        }
        let request = Request::new(Method::Get, self.url(&format!("blobs/{digest}"))?);
        // One byte more, so that a content that is too large is told from one that ends.
        let response = self.send(&request, &Limits::size(size.saturating_add(1)))?;
        let announced = response.content_length().filter(|_| response.status() == 200);
        if let Some(announced) = announced {
            self.check_size(what, size, announced)?;
        }
        let mut response = response.success()?;
        let mut bytes = Vec::with_capacity(size.min(RESERVED) as usize);
        let mut hasher = Hasher::default();
        let mut part = vec![0; 64 << 10];
        loop {
            let len = response.fill(&mut part)?;
            if len == 0 {
                break;
            }
            hasher.add(&part[..len]);
            bytes.extend_from_slice(&part[..len]);
            if bytes.len() as u64 > size {
                break;
            }
            options.progress.iter().for_each(|progress| progress.at(bytes.len() as u64, size));
        }
        self.check_size(what, size, bytes.len() as u64)?;
        self.check_digest(what, digest, hasher.digest())?;
        Ok(bytes)
    }

    fn check_size(&self, what: &'static str, expected: u64, actual: u64) -> Result<(), Error> {
        match expected == actual {
            true => Ok(()),
            false => Err(Error::Size { host: self.host.clone(), what, expected, actual }),
        }
    }

    pub(super) fn check_digest(
        &self,
        what: &'static str,
        expected: Digest,
        actual: Digest,
    ) -> Result<(), Error> {
        match expected == actual {
            true => Ok(()),
            false => Err(Error::Digest { host: self.host.clone(), what, expected, actual }),
        }
    }
}
