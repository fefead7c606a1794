// SPDX-License-Identifier: MIT
//! The boundary to ecli, with all `unsafe` code. Pointers and lengths from ecli become slices here,
//! and slices become pointers and lengths. On targets other than Wasm, stubs that find nothing
//! replace the functions of ecli.
#![allow(unsafe_code)]

pub(crate) use host::*;

#[cfg(target_arch = "wasm32")]
mod host {
    mod bpfpack {
        #[link(wasm_import_module = "bpfpack")]
        extern "C" {
            pub fn emit(source: u32, kind: u32, at: *const u8, len: usize);
            pub fn rows(source: u32, at: *const u8, len: usize);
            pub fn text(at: *const u8, len: usize);
            pub fn json(at: *const u8, len: usize);
            pub fn declare(at: *const u8, len: usize) -> i32;
            pub fn source(at: *const u8, len: usize) -> i32;
            pub fn member(source: u32, kind: u32, at: *const u8, len: usize, to: *mut u8) -> i32;
            pub fn argument(at: *const u8, len: usize, room: *mut u8, size: usize) -> i32;
            pub fn parameter(at: *const u8, len: usize, room: *mut u8, size: usize) -> i32;
            pub fn symbol(address: u64, pid: u32, room: *mut u8, size: usize) -> i32;
            pub fn map(at: *const u8, len: usize) -> i32;
            pub fn map_lookup(map: u32, key: *const u8, value: *mut u8) -> i32;
            pub fn map_update(map: u32, key: *const u8, value: *const u8, flags: u64) -> i32;
            pub fn map_delete(map: u32, key: *const u8) -> i32;
            pub fn map_next(map: u32, key: *const u8, next: *mut u8) -> i32;
            pub fn every(milliseconds: u32);
            pub fn clock(which: u32) -> u64;
            pub fn log(level: u32, at: *const u8, len: usize);
            pub fn stop(code: u32);
            pub fn fail(at: *const u8, len: usize) -> !;
        }
    }

    // Functions that take slices. ecli reads and writes at most the given lengths.

    pub(crate) fn emit(source: u32, kind: u32, record: &[u8]) {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::emit(source, kind, record.as_ptr(), record.len()) }
    }

    pub(crate) fn rows(source: u32, rows: &[u8]) {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::rows(source, rows.as_ptr(), rows.len()) }
    }

    pub(crate) fn text(text: &str) {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::text(text.as_ptr(), text.len()) }
    }

    pub(crate) fn json(text: &str) {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::json(text.as_ptr(), text.len()) }
    }

    pub(crate) fn declare(text: &str) -> i32 {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::declare(text.as_ptr(), text.len()) }
    }

    pub(crate) fn source(name: &str) -> i32 {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::source(name.as_ptr(), name.len()) }
    }

    pub(crate) fn member(source: u32, kind: u32, name: &str, place: &mut [u8; 24]) -> i32 {
        // SAFETY: the name is a slice, which ecli only reads; `place` has the 24 bytes that ecli
        // writes.
        unsafe { bpfpack::member(source, kind, name.as_ptr(), name.len(), place.as_mut_ptr()) }
    }

    pub(crate) fn argument(name: &str, room: &mut [u8]) -> i32 {
        // SAFETY: pointers and lengths are those of slices; ecli writes at most `room.len()` bytes.
        unsafe { bpfpack::argument(name.as_ptr(), name.len(), room.as_mut_ptr(), room.len()) }
    }

    pub(crate) fn parameter(name: &str, room: &mut [u8]) -> i32 {
        // SAFETY: pointers and lengths are those of slices; ecli writes at most `room.len()` bytes.
        unsafe { bpfpack::parameter(name.as_ptr(), name.len(), room.as_mut_ptr(), room.len()) }
    }

    pub(crate) fn symbol(address: u64, pid: u32, room: &mut [u8]) -> i32 {
        // SAFETY: ecli writes at most `room.len()` bytes.
        unsafe { bpfpack::symbol(address, pid, room.as_mut_ptr(), room.len()) }
    }

    pub(crate) fn map(name: &str) -> i32 {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::map(name.as_ptr(), name.len()) }
    }

    // Callers of the next four functions have checked that keys and values have the map's sizes.

    pub(crate) fn map_lookup(map: u32, key: &[u8], value: &mut [u8]) -> i32 {
        // SAFETY: key and value have the map's sizes.
        unsafe { bpfpack::map_lookup(map, key.as_ptr(), value.as_mut_ptr()) }
    }

    pub(crate) fn map_update(map: u32, key: &[u8], value: &[u8], flags: u64) -> i32 {
        // SAFETY: key and value have the map's sizes.
        unsafe { bpfpack::map_update(map, key.as_ptr(), value.as_ptr(), flags) }
    }

    pub(crate) fn map_delete(map: u32, key: &[u8]) -> i32 {
        // SAFETY: the key has the map's size.
        unsafe { bpfpack::map_delete(map, key.as_ptr()) }
    }

    pub(crate) fn map_next(map: u32, key: Option<&[u8]>, next: &mut [u8]) -> i32 {
        let key = key.map_or(core::ptr::null(), <[u8]>::as_ptr);
        // SAFETY: both keys have the map's size; ecli does not read a null key.
        unsafe { bpfpack::map_next(map, key, next.as_mut_ptr()) }
    }

    pub(crate) fn every(milliseconds: u32) {
        // SAFETY: the call accesses no memory.
        unsafe { bpfpack::every(milliseconds) }
    }

    pub(crate) fn clock(which: u32) -> u64 {
        // SAFETY: the call accesses no memory.
        unsafe { bpfpack::clock(which) }
    }

    pub(crate) fn log(level: u32, text: &str) {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::log(level, text.as_ptr(), text.len()) }
    }

    pub(crate) fn stop(code: u32) {
        // SAFETY: the call accesses no memory.
        unsafe { bpfpack::stop(code) }
    }

    pub(crate) fn fail(text: &str) -> ! {
        // SAFETY: pointer and length are those of a slice, which ecli only reads.
        unsafe { bpfpack::fail(text.as_ptr(), text.len()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(crate) fn emit(_: u32, _: u32, _: &[u8]) {}
    pub(crate) fn rows(_: u32, _: &[u8]) {}
    pub(crate) fn text(_: &str) {}
    pub(crate) fn json(_: &str) {}
    pub(crate) fn declare(_: &str) -> i32 {
        -1
    }
    pub(crate) fn source(_: &str) -> i32 {
        -1
    }
    pub(crate) fn member(_: u32, _: u32, _: &str, _: &mut [u8; 24]) -> i32 {
        -1
    }
    pub(crate) fn argument(_: &str, _: &mut [u8]) -> i32 {
        -1
    }
    pub(crate) fn parameter(_: &str, _: &mut [u8]) -> i32 {
        -1
    }
    pub(crate) fn symbol(_: u64, _: u32, _: &mut [u8]) -> i32 {
        -1
    }
    pub(crate) fn map(_: &str) -> i32 {
        -1
    }
    pub(crate) fn map_lookup(_: u32, _: &[u8], _: &mut [u8]) -> i32 {
        -2
    }
    pub(crate) fn map_update(_: u32, _: &[u8], _: &[u8], _: u64) -> i32 {
        -2
    }
    pub(crate) fn map_delete(_: u32, _: &[u8]) -> i32 {
        -2
    }
    pub(crate) fn map_next(_: u32, _: Option<&[u8]>, _: &mut [u8]) -> i32 {
        -2
    }
    pub(crate) fn every(_: u32) {}
    pub(crate) fn clock(_: u32) -> u64 {
        0
    }
    pub(crate) fn log(_: u32, _: &str) {}
    pub(crate) fn stop(_: u32) {}
    pub(crate) fn fail(text: &str) -> ! {
        panic!("{text}")
    }
}

#[cfg(target_arch = "wasm32")]
mod exports {
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicU32, Ordering};

    use crate::{About, Batch, Flow, Module, Sample};

    #[no_mangle]
    extern "C" fn bpfpack_version() -> i32 {
        1
    }

    /// Allocates pages outside the module's own allocator, whose memory need not be contiguous.
    #[no_mangle]
    extern "C" fn bpfpack_alloc(size: usize) -> usize {
        const PAGE: usize = 1 << 16;
        static FREE: AtomicU32 = AtomicU32::new(0);
        static END: AtomicU32 = AtomicU32::new(0);
        let size = match size.checked_add(7) {
            Some(size) => size & !7,
            None => return 0,
        };
        let mut free = FREE.load(Ordering::Relaxed) as usize;
        if size > END.load(Ordering::Relaxed) as usize - free {
            let pages = size / PAGE + 1;
            let before = core::arch::wasm32::memory_grow(0, pages);
            // A piece that reaches the end of the address space is refused.
            let end = match before.checked_add(pages).and_then(|pages| pages.checked_mul(PAGE)) {
                Some(end) if before != usize::MAX => end,
                _ => return 0,
            };
            free = before * PAGE;
            END.store(end as u32, Ordering::Relaxed);
        }
        FREE.store((free + size) as u32, Ordering::Relaxed);
        free
    }

    /// The module between calls.
    #[derive(Debug)]
    pub struct Slot<T>(UnsafeCell<Option<T>>);

    // SAFETY: a module of version 1 has one thread, and ecli makes one call at a time.
    unsafe impl<T> Sync for Slot<T> {}

    /// The bytes that ecli wrote to memory from `bpfpack_alloc`.
    ///
    /// # Safety
    /// Pointer and length must be those of a call from ecli, and the slice must not outlive the
    /// call.
    unsafe fn slice<'a>(at: usize, len: usize) -> &'a [u8] {
        if len == 0 {
            return &[];
        }
        // SAFETY: ecli wrote these bytes to memory that nothing else uses, and waits for the call.
        unsafe { core::slice::from_raw_parts(at as *const u8, len) }
    }

    fn code(flow: Flow) -> i32 {
        (flow == Flow::Stop) as i32
    }

    impl<T: Module> Slot<T> {
        #[allow(clippy::new_without_default)]
        #[must_use]
        pub const fn new() -> Slot<T> {
            Slot(UnsafeCell::new(None))
        }

        fn set(&self, module: Option<T>) -> Option<T> {
            // SAFETY: there is one thread, and the reference does not outlive this line.
            unsafe { core::mem::replace(&mut *self.0.get(), module) }
        }

        fn with(&self, call: impl FnOnce(&mut T) -> Flow) -> i32 {
            let mut module = match self.set(None) {
                Some(module) => module,
                None => super::fail("called before bpfpack_start"),
            };
            let flow = call(&mut module);
            self.set(Some(module));
            code(flow)
        }

        pub fn start(&self, at: usize, len: usize) -> i32 {
            // SAFETY: these are the arguments of bpfpack_start; the slice does not outlive the
            // call.
            let text = unsafe { slice(at, len) };
            let about = About::new(core::str::from_utf8(text).unwrap_or(""));
            about.keep_strides();
            match T::start(&about) {
                Ok(module) => self.set(Some(module)),
                Err(error) => crate::fail(format_args!("{error}")),
            };
            0
        }

        pub fn records(&self, source: u32, at: usize, len: usize, time: u64) -> i32 {
            // SAFETY: these are the arguments of bpfpack_records; the slice does not outlive the
            // call.
            let bytes = unsafe { slice(at, len) };
            self.with(|module| module.records(&Batch::new(source, bytes, time)))
        }

        pub fn sample(&self, source: u32, at: usize, len: usize, time: u64) -> i32 {
            // SAFETY: these are the arguments of bpfpack_sample; the slice does not outlive the
            // call.
            let bytes = unsafe { slice(at, len) };
            self.with(|module| module.sample(&Sample::new(source, bytes, time)))
        }

        pub fn tick(&self, time: u64) -> i32 {
            self.with(|module| module.tick(time))
        }

        pub fn end(&self) -> i32 {
            self.with(Module::end)
        }
    }
}

#[cfg(target_arch = "wasm32")]
pub use exports::Slot;
