// SPDX-License-Identifier: MIT
//! Makes the manifest of an image from the files that are pushed. The same files make the same
//! bytes, because a time of creation is written only if it is given.

use super::{
    EMPTY_CONFIG, MODULE, MODULE_CONFIG, PACKAGE, PACKAGE_NAME, SIGNATURE, SIGNATURE_NAME, TITLE,
};
use crate::Digest;
use crate::manifest::{Annotations, Descriptor, Manifest, OCI_MANIFEST};

/// The empty config.
const EMPTY: &[u8] = b"{}";

/// What is pushed.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The bytes of `package.json`.
    pub package: Option<Vec<u8>>,
    /// Names and bytes of Wasm modules.
    pub modules: Vec<(String, Vec<u8>)>,
    /// The signature of `package.json`.
    pub signature: Option<Vec<u8>>,
    /// Annotations of the image.
    pub annotations: Annotations,
}

/// An image, ready to be pushed.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The config and the layers, with their bytes.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Contents {
    /// Makes the image.
    ///
    /// # Panics
    /// Does not panic: a manifest is always valid JSON.
    #[must_use]
    pub fn image(self) -> Image {
        let has_package = self.package.is_some();
        let config = if has_package { EMPTY_CONFIG } else { MODULE_CONFIG };
        let package = self.package.map(|bytes| (PACKAGE, PACKAGE_NAME.to_owned(), bytes));
        let signature = self.signature.map(|bytes| (SIGNATURE, SIGNATURE_NAME.to_owned(), bytes));
        let modules = self.modules.into_iter().map(|(name, bytes)| (MODULE, name, bytes));
        let mut blobs = vec![(descriptor(config, None, EMPTY), EMPTY.to_vec())];
        blobs.extend(package.into_iter().chain(signature).chain(modules).map(
            |(media_type, title, bytes)| (descriptor(media_type, Some(title), &bytes), bytes),
        ));
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            artifact_type: has_package.then(|| PACKAGE.to_owned()),
            config: blobs[0].0.clone(),
            layers: blobs[1..].iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            annotations: self.annotations,
        };
        let manifest = serde_json::to_vec(&manifest).expect("a manifest is valid JSON");
        Image { manifest, blobs }
    }
}

impl Image {
    /// The digest of the image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

fn descriptor(media_type: &str, title: Option<String>, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        annotations: title.map(|title| (TITLE.to_owned(), title)).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(contents: Contents) -> Value {
        serde_json::from_slice(&contents.image().manifest).unwrap()
    }

    #[test]
    fn a_package_with_everything() {
        let contents = Contents {
            package: Some(b"package".to_vec()),
            modules: vec![("app.wasm".to_owned(), b"module".to_vec())],
            signature: Some(b"signature".to_vec()),
            annotations: [("org.opencontainers.image.version".to_owned(), "1".to_owned())].into(),
        };
        let layer = |media_type, title, bytes: &[u8]| {
            json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(),
                "size": bytes.len(), "annotations": { TITLE: title } })
        };
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.bpfpack.package.v1+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": Digest::of(b"{}").to_string(), "size": 2 },
            "layers": [
                layer("application/vnd.bpfpack.package.v1+json", "package.json", b"package"),
                layer("application/vnd.bpfpack.signature.v1+minisign", "package.json.minisig",
                    b"signature"),
                layer("application/vnd.wasm.content.layer.v1+wasm", "app.wasm", b"module"),
            ],
            "annotations": { "org.opencontainers.image.version": "1" },
        });
        assert_eq!(contents.clone().image().manifest, contents.clone().image().manifest);
        assert_eq!(manifest(contents), expected);
    }

    #[test]
    fn a_module_as_eunomia_pushes_it() {
        let modules = vec![("app.wasm".to_owned(), b"module".to_vec())];
        let manifest = manifest(Contents { modules, ..Contents::default() });
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v1+json");
        assert_eq!(manifest.get("artifactType"), None);
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    }
}
