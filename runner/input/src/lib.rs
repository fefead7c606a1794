// SPDX-License-Identifier: MIT
//! What `ecli` reads, from wherever it comes: a package in JSON or YAML, a Wasm module, one of these
//! appended to an executable, in a tar archive, or compressed by gzip or zstd. The content decides
//! what it is, not its name.
//!
//! ```
//! use bpfpack_input::{Content, unpack};
//!
//! let content = unpack(br#"{"bpf_object": ""}"#.to_vec())?;
//! assert!(matches!(content, Content::Package(_)));
//! # Ok::<(), bpfpack_input::InputError>(())
//! ```
//!
//! Everything here may come from an enemy. Nothing is written to disk, and [`MAX_SIZE`] limits what
//! any layer unpacks to.
#![forbid(unsafe_code)]

mod archive;
mod compressed;
mod error;
mod kind;
mod limits;
mod yaml;

use bpfpack_schemas::executable;
use limits::MAX_LAYERS;

pub use error::InputError;
pub use kind::{Kind, WASM};
pub use limits::MAX_SIZE;

/// What `ecli` can run, without the layers around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The text of a package, in JSON. It was not parsed yet.
    Package(Vec<u8>),
    /// A binary Wasm module.
    Module(Vec<u8>),
}

/// Takes off all layers.
///
/// # Errors
/// Returns an error if a layer is damaged, too large, or not allowed here, or if the content is an
/// object.
pub fn unpack(mut bytes: Vec<u8>) -> Result<Content, InputError> {
    for _ in 0..=MAX_LAYERS {
        bytes = match Kind::of(&bytes) {
            Kind::Json => return Ok(Content::Package(bytes)),
            Kind::Wasm => return Ok(Content::Module(bytes)),
            Kind::Yaml => return yaml::to_json(&bytes).map(Content::Package),
            Kind::Gzip => compressed::gzip(&bytes)?,
            Kind::Zstd => compressed::zstd(&bytes)?,
            Kind::Tar => archive::member(&bytes)?,
            Kind::Elf => executable::split(bytes).ok_or(InputError::Object)?,
        };
    }
    Err(InputError::TooManyLayers)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn layers_are_taken_off() {
        let package = b"{\"bpf_object\": \"\"}".to_vec();
        let trailer = executable::trailer(package.len());
        let executable = [b"\x7fELF and more", &package[..], &trailer].concat();
        for bytes in [
            package.clone(),
            gzip(&package),
            gzip(&gzip(&package)),
            executable.clone(),
            gzip(&executable),
        ] {
            assert_eq!(unpack(bytes).unwrap(), Content::Package(package.clone()));
        }
        let module = b"\0asm\x01\0\0\0".to_vec();
        assert_eq!(unpack(gzip(&module)).unwrap(), Content::Module(module));
        let deep = (0..6).fold(package, |bytes, _| gzip(&bytes));
        assert!(matches!(unpack(deep), Err(InputError::TooManyLayers)));
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 1 << 20];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..=MAX_SIZE >> 20 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        for bytes in [gzip(&bomb), bomb] {
            assert!(matches!(unpack(bytes), Err(InputError::TooLarge { layer: "gzip" })));
        }
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let mut bytes = gzip(&vec![b'{'; 10_000]);
        bytes.truncate(bytes.len() - 9);
        assert!(matches!(unpack(bytes), Err(InputError::Damaged { layer: "gzip", .. })));
        assert!(matches!(unpack(b"\x7fELF\x02\x01".to_vec()), Err(InputError::Object)));
    }
}
