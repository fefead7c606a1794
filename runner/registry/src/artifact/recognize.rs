// SPDX-License-Identifier: MIT
//! Finds the package or the module in an image. An image of another project gets an error that says
//! what it is.

use super::{MODULE, PACKAGE, SIGNATURE, TITLE};
use crate::manifest::{Descriptor, Manifest};
use crate::text;

/// The configs of container images.
const CONTAINER_CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// The types of a JSON file in an image of `oras push`: as the user says it, or none, which is the
/// type of layers.
const JSON_FILES: [&str; 2] = ["application/json", "application/vnd.oci.image.layer.v1.tar"];
/// What Inspektor Gadget's types begin with.
const GADGET: &str = "application/vnd.gadget.";
/// The layer of a Wasm artifact of the CNCF.
const CNCF_LAYER: &str = "application/wasm";
const CNCF_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A label of bpfman's images; older ones have the second.
const BPFMAN_LABELS: [&str; 2] = ["io.ebpf.programs", "io.ebpf.program_type"];

/// What an image holds that `ecli` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A package.
    Package,
    /// A Wasm module, as eunomia-bpf pushes it.
    Module,
}

/// The layers of an image that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// What it is.
    pub kind: Kind,
    /// The package or the module.
    pub content: &'a Descriptor,
    /// The signature of the package.
    pub signature: Option<&'a Descriptor>,
}

/// Why an image is neither a package nor a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// A gadget.
    #[error("it is a gadget of Inspektor Gadget")]
    Gadget,
    /// An image with BPF objects.
    #[error("it is an image of bpfman with BPF objects")]
    Bpfman,
    /// A Wasm artifact.
    #[error("it is a Wasm program for general runtimes")]
    Wasm,
    /// A container image.
    #[error("it is a container image")]
    Container,
    /// Several packages or modules, none of which is the first by any rule.
    #[error("it has {0} packages or modules, and only one can be run")]
    Several(usize),
    /// Something else.
    #[error("it is neither a package nor a Wasm module of eunomia-bpf{0}")]
    Other(String),
}

impl NotOurs {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            NotOurs::Gadget => Some("`ig run IMAGE` or `kubectl gadget run IMAGE` runs it"),
            NotOurs::Bpfman => Some(
                "`bpfman load image` loads it; `ecc X.bpf.o` packs an object that ecli then runs",
            ),
            NotOurs::Wasm => Some("a Wasm runtime, for example wasmtime, runs it"),
            NotOurs::Container => Some("docker or podman runs it"),
            NotOurs::Several(_) => None,
            NotOurs::Other(_) => Some("`ecli push package.json IMAGE` pushes a package"),
        }
    }
}

/// Finds the package or the module. A container image is an error here; its labels may say more:
/// [`of_labels`].
pub(crate) fn recognize(manifest: &Manifest) -> Result<Found<'_>, NotOurs> {
    let layers = &manifest.layers;
    let of_type = |ty: &str| -> Vec<&Descriptor> {
        layers.iter().filter(|layer| layer.media_type == ty).collect()
    };
    let packages = Some(of_type(PACKAGE)).filter(|found| !found.is_empty());
    let packages = packages.unwrap_or_else(|| layers.iter().filter(|l| is_json_file(l)).collect());
    let modules = of_type(MODULE);
    let (kind, found) = match packages.is_empty() {
        false => (Kind::Package, packages),
        true => (Kind::Module, modules),
    };
    match found[..] {
        [] => Err(other(manifest)),
        [content] => {
            let signature = of_type(SIGNATURE).first().copied();
            Ok(Found { kind, content, signature })
        }
        _ => Err(NotOurs::Several(found.len())),
    }
}

/// A package that a general program such as `oras push` pushed.
fn is_json_file(layer: &Descriptor) -> bool {
    JSON_FILES.contains(&layer.media_type.as_str())
        && layer.annotations.get(TITLE).is_some_and(|title| title.ends_with(".json"))
}

fn other(manifest: &Manifest) -> NotOurs {
    let Manifest { artifact_type, config, layers, .. } = manifest;
    let mut types = layers.iter().map(|layer| &layer.media_type);
    let mut all = types.clone().chain(artifact_type).chain([&config.media_type]);
    if all.any(|ty| ty.starts_with(GADGET)) {
        NotOurs::Gadget
    } else if types.any(|ty| ty == CNCF_LAYER) || config.media_type == CNCF_CONFIG {
        NotOurs::Wasm
    } else if CONTAINER_CONFIGS.contains(&config.media_type.as_str()) {
        NotOurs::Container
    } else {
        let ty = artifact_type.as_ref().unwrap_or(&config.media_type);
        NotOurs::Other(format!(", but has the type `{}`", text::short(ty)))
    }
}

/// What a container image is, according to the labels in its config.
pub(crate) fn of_labels(config: &[u8]) -> NotOurs {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let labels = config.pointer("/config/Labels");
    let has = |label: &str| labels.and_then(|labels| labels.get(label)).is_some();
    match BPFMAN_LABELS.into_iter().any(has) {
        true => NotOurs::Bpfman,
        false => NotOurs::Container,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Contents, EMPTY_CONFIG, MODULE_CONFIG};
    use super::*;
    use crate::Digest;

    fn image(config: &str, layers: &[(&str, &str)]) -> Manifest {
        let descriptor = |media_type: &str, title: &str| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(title.as_bytes()),
            size: 1,
            annotations: [(TITLE.to_owned(), title.to_owned())].into(),
        };
        Manifest {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            config: descriptor(config, ""),
            layers: layers.iter().map(|(ty, title)| descriptor(ty, title)).collect(),
            annotations: Default::default(),
        }
    }

    #[test]
    fn what_was_pushed_is_found() {
        let contents = Contents {
            package: Some(b"package".to_vec()),
            modules: vec![("app.wasm".to_owned(), b"module".to_vec())],
            signature: Some(b"signature".to_vec()),
            ..Contents::default()
        };
        let manifest = Manifest::parse(&contents.image().manifest, None).unwrap();
        let found = recognize(&manifest).unwrap();
        assert_eq!(found.kind, Kind::Package);
        assert_eq!(found.content.digest, Digest::of(b"package"));
        assert_eq!(found.signature.unwrap().digest, Digest::of(b"signature"));
    }

    #[test]
    fn what_other_programs_push_is_found() {
        let oras = "application/vnd.unknown.config.v1+json";
        for (config, layers, kind) in [
            (oras, &[("application/json", "package.json")][..], Kind::Package),
            (oras, &[("application/vnd.oci.image.layer.v1.tar", "package.json")], Kind::Package),
            (EMPTY_CONFIG, &[("x/y", "README"), ("application/json", "a.json")], Kind::Package),
            (EMPTY_CONFIG, &[(PACKAGE, "b.json"), ("application/json", "a.json")], Kind::Package),
            (MODULE_CONFIG, &[(MODULE, "app.wasm")], Kind::Module),
        ] {
            let image = image(config, layers);
            assert_eq!(recognize(&image).map(|found| found.kind), Ok(kind), "{layers:?}");
        }
    }

    #[test]
    fn what_others_push_is_named() {
        let container = CONTAINER_CONFIGS[0];
        let tar = ("application/vnd.oci.image.layer.v1.tar+gzip", "");
        let gadget = ("application/vnd.gadget.ebpf.program.v1+binary", "");
        let of = |config, layers: &[_]| recognize(&image(config, layers)).unwrap_err();
        assert_eq!(of("application/vnd.gadget.config.v1+yaml", &[gadget]), NotOurs::Gadget);
        assert_eq!(of(CNCF_CONFIG, &[(CNCF_LAYER, "")]), NotOurs::Wasm);
        assert_eq!(of(container, &[tar]), NotOurs::Container);
        assert_eq!(of(CONTAINER_CONFIGS[1], &[tar]), NotOurs::Container);
        assert_eq!(of(MODULE_CONFIG, &[(MODULE, "a"), (MODULE, "b")]), NotOurs::Several(2));
        let other = of("application/x", &[("application/json", "no title")]).to_string();
        assert!(other.contains("`application/x`"), "{other}");
        let mut typed = image(EMPTY_CONFIG, &[]);
        typed.artifact_type = Some("application/vnd.gadget.v1+binary".to_owned());
        assert_eq!(recognize(&typed), Err(NotOurs::Gadget));
    }

    #[test]
    fn labels() {
        let config = br#"{"config":{"Labels":{"io.ebpf.programs":"{}"}}}"#;
        assert_eq!(of_labels(config), NotOurs::Bpfman);
        for config in
            ["", "{}", r#"{"config":{"Labels":null}}"#, r#"{"config":{"Labels":{"a":"b"}}}"#]
        {
            assert_eq!(of_labels(config.as_bytes()), NotOurs::Container, "{config}");
        }
    }
}
