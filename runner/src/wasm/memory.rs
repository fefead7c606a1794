// SPDX-License-Identifier: MIT
//! The memory of a module, as host functions access it. Only the module's own memory is read and
//! written, whatever the module passes.

use wasmtime::{AsContext, AsContextMut, Caller, Extern, Memory};

/// Data of a store that knows the module's memory.
pub(crate) trait Guest {
    /// The module's exported memory, once it is known.
    fn memory(&mut self) -> &mut Option<Memory>;
}

/// A range that is outside of a module's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {at:#x} are outside of the module's memory")]
pub(crate) struct OutOfBounds {
    /// The offset of its first byte.
    pub at: u32,
    /// Its length in bytes.
    pub len: u64,
}

/// A text that is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadText {
    /// It extends beyond the memory.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// It is not UTF-8.
    #[error("the text at {0:#x} is not UTF-8")]
    NotUtf8(u32),
}

/// Returns the module's memory, which it must export.
///
/// # Errors
/// Returns an error if there is no memory; then no data can be passed.
pub(crate) fn of<T: Guest>(caller: &mut Caller<'_, T>) -> Result<Memory, wasmtime::Error> {
    if let Some(memory) = *caller.data_mut().memory() {
        return Ok(memory);
    }
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    *caller.data_mut().memory() = memory;
    memory.ok_or_else(|| wasmtime::format_err!("the module exports no `memory`"))
}

/// A range of a memory's bytes.
pub(crate) fn piece(data: &[u8], at: u32, len: usize) -> Result<&[u8], OutOfBounds> {
    let end = (at as usize).checked_add(len);
    end.and_then(|end| data.get(at as usize..end)).ok_or(OutOfBounds { at, len: len as u64 })
}

/// A writable range of a memory's bytes.
pub(crate) fn piece_mut(data: &mut [u8], at: u32, len: usize) -> Result<&mut [u8], OutOfBounds> {
    let end = (at as usize).checked_add(len);
    end.and_then(|end| data.get_mut(at as usize..end)).ok_or(OutOfBounds { at, len: len as u64 })
}

/// A range of the memory.
pub(crate) fn bytes<T: 'static>(
    store: &impl AsContext<Data = T>,
    memory: Memory,
    at: u32,
    len: u32,
) -> Result<&[u8], OutOfBounds> {
    piece(memory.data(store), at, len as usize)
}

/// A writable range of the memory.
pub(crate) fn bytes_mut<T: 'static>(
    store: &mut impl AsContextMut<Data = T>,
    memory: Memory,
    at: u32,
    len: u32,
) -> Result<&mut [u8], OutOfBounds> {
    piece_mut(memory.data_mut(store), at, len as usize)
}

/// A text with a length.
pub(crate) fn text<T: 'static>(
    store: &impl AsContext<Data = T>,
    memory: Memory,
    at: u32,
    len: u32,
) -> Result<&str, BadText> {
    std::str::from_utf8(bytes(store, memory, at, len)?).map_err(|_| BadText::NotUtf8(at))
}

/// A text that ends with a zero.
pub(crate) fn c_text<T: 'static>(
    store: &impl AsContext<Data = T>,
    memory: Memory,
    at: u32,
) -> Result<&str, BadText> {
    let rest = memory.data(store).get(at as usize..).unwrap_or_default();
    let len = rest.iter().position(|byte| *byte == 0);
    let len = len.ok_or(OutOfBounds { at, len: rest.len() as u64 + 1 })?;
    std::str::from_utf8(&rest[..len]).map_err(|_| BadText::NotUtf8(at))
}
