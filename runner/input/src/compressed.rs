// SPDX-License-Identifier: MIT
//! Takes off compression.

use std::io::{self, Read};

use crate::error::InputError;
use crate::limits::MAX_SIZE;

/// Unpacks gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, InputError> {
    read(flate2::bufread::MultiGzDecoder::new(bytes), "gzip")
}

/// Unpacks zstd.
#[cfg(feature = "archives")]
pub(crate) fn zstd(bytes: &[u8]) -> Result<Vec<u8>, InputError> {
    let mut rest = bytes;
    // It refuses frames that want a larger window than 100 MiB of memory.
    let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest);
    let decoder = decoder.map_err(|error| damaged("zstd", io::Error::other(error.to_string())))?;
    read(decoder, "zstd")
}

#[cfg(not(feature = "archives"))]
pub(crate) fn zstd(_: &[u8]) -> Result<Vec<u8>, InputError> {
    Err(InputError::NotBuilt("zstd"))
}

fn read(from: impl Read, layer: &'static str) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    // One byte more than the limit, to notice that there is more.
    from.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| damaged(layer, error))?;
    match bytes.len() as u64 > MAX_SIZE {
        true => Err(InputError::TooLarge { layer }),
        false => Ok(bytes),
    }
}

pub(crate) fn damaged(layer: &'static str, source: io::Error) -> InputError {
    InputError::Damaged { layer, source }
}

#[cfg(all(test, feature = "archives"))]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn zstd_is_unpacked_up_to_the_limit() {
        let text = b"{\"a\": [1, 2, 3]}".repeat(1000);
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        assert_eq!(zstd(&packed).unwrap(), text);
        assert!(matches!(zstd(&packed[..packed.len() / 2]), Err(InputError::Damaged { .. })));
        let zeros = vec![0; MAX_SIZE as usize + 1];
        let packed = compress_to_vec(&zeros[..], CompressionLevel::Fastest);
        assert!(packed.len() < 1 << 20);
        assert!(matches!(zstd(&packed), Err(InputError::TooLarge { layer: "zstd" })));
    }
}
