// SPDX-License-Identifier: MIT
//! What is shown of a package, as data. A [`Spec`] lists the sources of a run with their layouts,
//! shapes, units and meanings. It is built from a package and BTF ([`build()`]), needs no kernel,
//! and holds no descriptor. Encoding it as JSON and decoding it again gives an equal spec.
//!
//! ```
//! use bpfpack_spec::{Source, Spec};
//!
//! let spec: Spec = serde_json::from_str(r#"{"sources": []}"#)?;
//! let names: Vec<&str> = spec.sources.iter().map(Source::name).collect();
//! assert!(names.is_empty());
//! # Ok::<(), serde_json::Error>(())
//! ```
#![forbid(unsafe_code)]

mod build;
mod error;
mod fields;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod maps;
mod printk;
mod spec;
mod stacks;
mod stream;
mod view;

pub use build::{Built, Inputs, Note, Options, build, labels};
pub use error::SpecError;
pub use fields::{check as check_fields, select as select_fields};
pub use printk::{COMM as PRINTK_COMM, stream as printk};
pub use spec::{Source, Spec};
pub use stacks::{Location, Stack, StackEvent, StackMap, Stacks};
pub use stream::{BufferType, RecordType, Stream};
pub use view::{Average, ReadFrom, Shape, View};
