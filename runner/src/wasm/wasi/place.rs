// SPDX-License-Identifier: MIT
//! Reads and writes a module's memory while the data of its store is accessible, too.

use wasmtime::Caller;

use super::{Answer, HasWasi, WasiError};
use crate::wasm::memory;

/// Splits a caller into the module's memory and its store's data.
pub(super) fn split<'c, T: HasWasi>(
    caller: &'c mut Caller<'_, T>,
) -> Answer<(&'c mut [u8], &'c mut T)> {
    let memory = memory::of(caller).map_err(WasiError::End)?;
    Ok(memory.data_and_store_mut(caller))
}

/// Bytes at an address.
pub(super) fn at(data: &mut [u8], at: u32, len: u32) -> Answer<&mut [u8]> {
    Ok(memory::piece_mut(data, at, len as usize)?)
}

/// A text at an address.
pub(super) fn text(data: &mut [u8], place: u32, len: u32) -> Answer<&str> {
    let bytes = at(data, place, len)?;
    Ok(std::str::from_utf8(bytes).map_err(|_| memory::BadText::NotUtf8(place))?)
}

/// Writes bytes at an address.
pub(super) fn put(data: &mut [u8], place: u32, bytes: &[u8]) -> Answer<()> {
    at(data, place, bytes.len() as u32)?.copy_from_slice(bytes);
    Ok(())
}

/// Writes a 4-byte number.
pub(super) fn put32(data: &mut [u8], place: u32, number: u32) -> Answer<()> {
    put(data, place, &number.to_le_bytes())
}

/// Writes an 8-byte number.
pub(super) fn put64(data: &mut [u8], place: u32, number: u64) -> Answer<()> {
    put(data, place, &number.to_le_bytes())
}

/// Reads a 4-byte number at an offset of memory that is long enough.
pub(super) fn get32(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

/// Reads an 8-byte number at an offset of memory that is long enough.
pub(super) fn get64(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..offset + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// A list of buffers (iovec) that are read or written together.
#[derive(Debug)]
pub(super) struct Pieces(Vec<(u32, u32)>);

/// The maximum number of buffers in a list, as in Linux.
const MOST_PIECES: u32 = 1024;

/// The maximum number of bytes in a list. Buffers may overlap, so a list can be much larger than
/// the memory; a module calls again for the rest.
const MOST_BYTES: u32 = 1 << 20;

impl Pieces {
    /// Reads a list and checks that its buffers are in the memory. Removes empty buffers, and
    /// truncates the list to the maximum size.
    pub(super) fn read(data: &mut [u8], vectors: u32, count: u32) -> Answer<Pieces> {
        if count > MOST_PIECES {
            return Err(super::Errno::Invalid.into());
        }
        let mut pieces = Vec::with_capacity(count as usize);
        let mut left = MOST_BYTES;
        for number in 0..count {
            let vector = vectors.checked_add(number * 8).ok_or(super::Errno::Fault)?;
            let vector = at(data, vector, 8)?;
            let (place, len) = (get32(vector, 0), get32(vector, 4).min(left));
            at(data, place, len)?;
            if len > 0 {
                pieces.push((place, len));
            }
            left -= len;
        }
        Ok(Pieces(pieces))
    }

    /// Passes the buffers to `each`, which returns how many bytes it handled, until one is not
    /// handled completely. If bytes were handled before an error, they count and the error is
    /// dropped.
    pub(super) fn each(
        &self,
        data: &mut [u8],
        mut each: impl FnMut(&mut [u8]) -> Answer<usize>,
    ) -> Answer<u32> {
        let mut done = 0;
        for (place, len) in &self.0 {
            match each(at(data, *place, *len)?) {
                Ok(count) => {
                    done += count as u32;
                    if count < *len as usize {
                        break;
                    }
                }
                Err(WasiError::Errno(_)) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}
