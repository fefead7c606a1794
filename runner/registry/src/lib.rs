// SPDX-License-Identifier: MIT
//! Downloads by HTTP ([`http::get`]), and packages in OCI registries ([`pull_package`], [`push`]).
//!
//! ```no_run
//! use bpfpack_registry::{Options, Reference, pull_package};
//!
//! let image: Reference = "oci://ghcr.io/example/opensnoop:1".parse()?;
//! let pulled = pull_package(&image, &Options::with_max_size(64 << 20))?;
//! println!("{} bytes of {}", pulled.bytes.len(), image.with_digest(pulled.digest));
//! # Ok::<(), bpfpack_registry::Error>(())
//! ```
//!
//! Everything that a server sends is checked: sizes and digests before anything is returned, texts
//! before they become a part of a message, addresses before anything is sent to them. Without the
//! feature `tls`, only servers without TLS can be reached. This crate does not depend on libbpf or
//! the kernel, and keeps no state between calls.
#![forbid(unsafe_code)]

pub mod artifact;
mod challenge;
mod client;
pub mod credentials;
mod digest;
mod error;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
pub mod manifest;
mod reference;
pub mod text;

pub use client::{Options, Progress, Pulled, check_login, pull_package, push};
pub use digest::{Digest, NoDigest};
pub use error::Error;
pub use reference::{BadReference, Reference, SCHEME};
