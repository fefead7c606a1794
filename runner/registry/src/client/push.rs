// SPDX-License-Identifier: MIT
//! Pushes an image: its contents first, then the manifest, so that the image is complete as soon as
//! it has a name.

use super::{Access, Client, Options, SMALL};
use crate::artifact::Image;
use crate::error::Error;
use crate::http::{Limits, Method, Request, escape};
use crate::manifest::{Descriptor, OCI_MANIFEST};
use crate::{BadReference, Digest, Reference};

/// Pushes an image. Returns its digest.
///
/// # Errors
/// Returns an error if the reference has no tag or another digest, or if the registry cannot be
/// reached or refuses.
pub fn push(reference: &Reference, image: &Image, options: &Options<'_>) -> Result<Digest, Error> {
    let digest = image.digest();
    let bad = |reason| BadReference { text: reference.to_string(), reason };
    let tag = reference.tag().ok_or_else(|| bad("an image is pushed to a tag"))?;
    if reference.digest().is_some_and(|expected| expected != digest) {
        return Err(bad("the image has another digest").into());
    }
    let mut client = Client::new(reference, options, Access::Push)?;
    let total = image.blobs.iter().map(|(descriptor, _)| descriptor.size).sum();
    let mut done = 0;
    for (descriptor, bytes) in &image.blobs {
        client.push_blob(descriptor, bytes)?;
        done += descriptor.size;
        options.progress.iter().for_each(|progress| progress.at(done, total));
    }
    client.push_manifest(tag, &image.manifest, digest)?;
    Ok(digest)
}

impl Client {
    fn push_blob(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        let limits = Limits::size(SMALL);
        let digest = descriptor.digest.to_string();
        let url = self.url(&format!("blobs/{digest}"))?;
        let response = self.send(&Request::new(Method::Head, url), &limits)?;
        match response.status() {
            // Its length is that of the content, which is not sent.
            200 => return Ok(()),
            404 => {}
            _ => return Err(response.failure().into()),
        }
        let request = Request::new(Method::Post, self.url("blobs/uploads/")?);
        let response = self.send(&request, &limits)?.success()?;
        let location = response.header("Location");
        let location = location.ok_or_else(|| self.protocol("it gave no address for an upload"))?;
        let upload = response.url().join(location)?;
        if !upload.is_same_origin(&self.base) {
            let reason = format!("it wants an upload to go to another host, `{upload}`");
            return Err(self.protocol(reason));
        }
        let request = Request::new(Method::Put, upload.with_parameter("digest", &escape(&digest)))
            .body("application/octet-stream", bytes);
        self.send(&request, &limits)?.success()?;
        Ok(())
    }

    fn push_manifest(&mut self, tag: &str, bytes: &[u8], digest: Digest) -> Result<(), Error> {
        let request = Request::new(Method::Put, self.url(&format!("manifests/{tag}"))?)
            .body(OCI_MANIFEST, bytes);
        let response = self.send(&request, &Limits::size(SMALL))?.success()?;
        let stored = response.header("Docker-Content-Digest").and_then(|text| text.parse().ok());
        stored.map_or(Ok(()), |stored| self.check_digest("manifest", digest, stored))
    }
}
