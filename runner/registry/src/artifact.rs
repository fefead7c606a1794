// SPDX-License-Identifier: MIT
//! The form of packages and modules in a registry: which layers an image has when it is pushed, and
//! which layer is the package when it is pulled. It decides by types in the manifest only.

mod build;
mod recognize;

pub use build::{Contents, Image};
pub use recognize::{Found, Kind, NotOurs};
pub(crate) use recognize::{of_labels, recognize};

/// The type of an image with a package, and of its layer `package.json`.
pub const PACKAGE: &str = "application/vnd.bpfpack.package.v1+json";
/// A layer with the signature of `package.json`, in the format of minisign.
pub const SIGNATURE: &str = "application/vnd.bpfpack.signature.v1+minisign";
/// A layer with a Wasm module, as eunomia-bpf pushes and pulls it.
pub const MODULE: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// The config of an image with only a Wasm module, as eunomia-bpf pushes it.
pub const MODULE_CONFIG: &str = "application/vnd.wasm.config.v1+json";
/// The config of an image that needs none: `{}`.
pub const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

/// The annotation with the file name of a layer.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The name of a package.
pub const PACKAGE_NAME: &str = "package.json";
/// The name of the signature of a package.
pub const SIGNATURE_NAME: &str = "package.json.minisig";
