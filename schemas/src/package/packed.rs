// SPDX-License-Identifier: MIT
//! Encodes bytes as a zlib stream in base64, and decodes them.

use std::io::{self, BufReader, Read, Write};

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use base64::{DecodeError, Engine};
use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// The number of bytes of a zlib stream that are held at a time.
const PIECE: usize = 16 << 10;

/// Why a text is not such a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("not base64: {0}")]
    Base64(DecodeError),
    #[error("not a zlib stream: {0}")]
    Zlib(io::Error),
}

/// Bytes as a zlib stream in base64.
pub(super) fn pack(bytes: &[u8]) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let packed = zlib.write_all(bytes).and_then(|()| zlib.finish()).unwrap_or_default();
    STANDARD.encode(packed)
}

/// The first `size` bytes of the unpacked text, plus one to detect excess. The stream is never
/// completely in memory.
///
/// # Errors
/// The text is not base64, or not a zlib stream.
pub(super) fn unpack(packed: &str, size: u64) -> Result<Vec<u8>, Damage> {
    let base64 = DecoderReader::new(packed.as_bytes(), &STANDARD);
    let mut zlib = ZlibDecoder::new(BufReader::with_capacity(PIECE, base64));
    // The caller has checked the size. Reserved memory is not used before it is written to.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = zlib.by_ref().take(size.saturating_add(1)).read_to_end(&mut bytes);
    // The rest after the stream is ignored, but must be base64.
    let read = read.and_then(|_| io::copy(zlib.get_mut(), &mut io::sink()));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(base64) => Damage::Base64(DecodeError::clone(base64)),
            None => Damage::Zlib(error),
        }),
    }
}
