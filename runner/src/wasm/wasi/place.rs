// SPDX-License-Identifier: MIT
//! Places in a module's memory, while the data of its store is at hand, too.

use wasmtime::Caller;

use super::{Answer, HasWasi, WasiError};
use crate::wasm::memory;

/// A module's memory and its store's data.
pub(super) fn split<'c, T: HasWasi>(
    caller: &'c mut Caller<'_, T>,
) -> Answer<(&'c mut [u8], &'c mut T)> {
    let memory = memory::of(caller).map_err(WasiError::End)?;
    Ok(memory.data_and_store_mut(caller))
}

/// Bytes at a place.
pub(super) fn at(data: &mut [u8], at: u32, len: u32) -> Answer<&mut [u8]> {
    Ok(memory::piece_mut(data, at, len as usize)?)
}

/// A text.
pub(super) fn text(data: &mut [u8], place: u32, len: u32) -> Answer<&str> {
    let bytes = at(data, place, len)?;
    Ok(std::str::from_utf8(bytes).map_err(|_| memory::BadText::NotUtf8(place))?)
}

/// Writes bytes.
pub(super) fn put(data: &mut [u8], place: u32, bytes: &[u8]) -> Answer<()> {
    at(data, place, bytes.len() as u32)?.copy_from_slice(bytes);
    Ok(())
}

/// Writes a number of 4 bytes.
pub(super) fn put32(data: &mut [u8], place: u32, number: u32) -> Answer<()> {
    put(data, place, &number.to_le_bytes())
}

/// Writes a number of 8 bytes.
pub(super) fn put64(data: &mut [u8], place: u32, number: u64) -> Answer<()> {
    put(data, place, &number.to_le_bytes())
}

/// The number of 4 bytes at an offset of a piece of memory that is long enough.
pub(super) fn get32(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

/// The number of 8 bytes at an offset of a piece of memory that is long enough.
pub(super) fn get64(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..offset + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// Pieces of memory that are read or written as one.
#[derive(Debug)]
pub(super) struct Pieces(Vec<(u32, u32)>);

/// Pieces that are taken at once, as Linux has it.
const MOST_PIECES: u32 = 1024;

/// Bytes that are taken at once. A module's pieces may lie over each other, and be much more than
/// its memory: it calls again for the rest.
const MOST_BYTES: u32 = 1 << 20;

impl Pieces {
    /// Reads where they are, and looks whether they are inside of the memory. They are not empty,
    /// and together not too long.
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

    /// Hands one after the other to `each`, which says how much it has done, until one is not done
    /// wholly. What was done before an error counts, and hides it.
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
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(done)
    }
}
