// SPDX-License-Identifier: MIT
//! Manifests: the JSON that lists the contents of an image. The types are those of the OCI image
//! specification 1.1 and of Docker's schema 2, which has the same members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, text};

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI index: several manifests.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The largest manifest; the OCI distribution specification asks registries for no more.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// Annotations by key.
pub type Annotations = BTreeMap<String, String>;

/// Names a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: String,
    /// The digest of the content.
    #[serde(with = "as_text")]
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// What else is known about it.
    #[serde(default, skip_serializing_if = "is_empty", deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// The contents of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The type of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the image is, if it is not a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// A content with facts about the image.
    pub config: Descriptor,
    /// The contents.
    pub layers: Vec<Descriptor>,
    /// What else is known about the image.
    #[serde(default, skip_serializing_if = "is_empty", deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not a manifest.
    #[error("it is not a manifest: {0}")]
    Json(String),
    /// The registry and the manifest disagree, so different programs see different images.
    #[error("the registry calls it `{header}`, but it calls itself `{own}`")]
    Ambiguous {
        /// The type in the answer of the registry.
        header: String,
        /// The type in the manifest.
        own: String,
    },
    /// It lists manifests.
    #[error("it is an index of several images, not a package")]
    Index,
    /// It has an unknown type.
    #[error("its type `{0}` is not supported")]
    Type(String),
}

impl Manifest {
    /// Parses what a registry sends. `content_type` is the type that it gives.
    ///
    /// # Errors
    /// Returns an error if it is not the manifest of an image.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, ManifestError> {
        let json = |error: serde_json::Error| ManifestError::Json(text::short(&error.to_string()));
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(json)?;
        let known = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST];
        let header = content_type.and_then(|ty| ty.split(';').next()).map(str::trim);
        // Some registries send the type `application/json`.
        let header = header.filter(|ty| known.contains(ty));
        let own = value.get("mediaType").and_then(serde_json::Value::as_str);
        if let (Some(header), Some(own)) = (header, own)
            && header != own
        {
            return Err(ManifestError::Ambiguous { header: header.into(), own: text::short(own) });
        }
        match own.or(header) {
            Some(OCI_INDEX | DOCKER_LIST) => return Err(ManifestError::Index),
            Some(OCI_MANIFEST | DOCKER_MANIFEST) | None => {}
            Some(other) => return Err(ManifestError::Type(text::short(other))),
        }
        if value.get("manifests").is_some() {
            // With both lists, it would be an image for some programs, and an index for others.
            return Err(ManifestError::Index);
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(json)?;
        if manifest.schema_version != 2 {
            return Err(ManifestError::Json("`schemaVersion` is not 2".to_owned()));
        }
        Ok(manifest)
    }
}

fn is_empty(annotations: &Annotations) -> bool {
    annotations.is_empty()
}

/// Programs in Go write `null` for an empty map.
fn or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Annotations, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Digests as texts.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn text(more: &str) -> String {
        let layer = format!(r#"{{"mediaType":"t","digest":"{DIGEST}","size":2}}"#);
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[{layer}]{more}}}"#)
    }

    fn parse(text: &str, ty: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(text.as_bytes(), ty)
    }

    #[test]
    fn manifests() {
        let manifest = parse(&text(r#","annotations":null"#), Some(OCI_MANIFEST)).unwrap();
        assert_eq!(manifest.layers[0].digest, Digest::of(b"{}"));
        let own = format!(r#","mediaType":"{DOCKER_MANIFEST}""#);
        assert!(parse(&text(&own), Some("application/json; charset=utf-8")).is_ok());
        assert!(parse(&text(&own), None).is_ok());
    }

    #[test]
    fn what_is_no_manifest() {
        assert_eq!(parse(&text(""), Some(OCI_INDEX)), Err(ManifestError::Index));
        assert_eq!(parse(&text(r#","manifests":[]"#), None), Err(ManifestError::Index));
        let own = format!(r#","mediaType":"{OCI_INDEX}""#);
        let ambiguous = parse(&text(&own), Some(OCI_MANIFEST));
        assert!(matches!(ambiguous, Err(ManifestError::Ambiguous { .. })));
        assert!(matches!(parse(&text(r#","mediaType":"x""#), None), Err(ManifestError::Type(_))));
        for broken in [
            "",
            "[]",
            "{}",
            &text("").replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
            &text("").replace("sha256:44", "sha256:4G"),
            &text("").replace("\"size\":2", "\"size\":-1"),
        ] {
            assert!(matches!(parse(broken, None), Err(ManifestError::Json(_))), "{broken}");
        }
    }
}
