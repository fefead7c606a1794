// SPDX-License-Identifier: MIT
//! Writes `vmlinux.h` from BTF with libbpf's BTF-to-C printer. All unsafe code of this crate is
//! here.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};

/// Why no header was written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// libbpf refuses the BTF.
    #[error("not valid BTF: {0}")]
    Btf(std::io::Error),
    /// A type could not be printed.
    #[error("BTF type {id} cannot be written as C: {error}")]
    Type {
        /// The id of the type.
        id: u32,
        /// The error of libbpf.
        error: std::io::Error,
    },
}

/// Text before the types: CO-RE relocations for every struct, and macros that kernel sources
/// expect.
const HEAD: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const TYPES_TAIL: &str = "\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

";

/// Sources that declare these functions differently can turn ours off.
const KFUNCS_HEAD: &str = "\
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(\".ksyms\")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif

";

const KFUNCS_TAIL: &str = "\
#endif

";

const TAIL: &str = "#endif /* __VMLINUX_H__ */\n";

/// Writes every type of a kernel's BTF (`/sys/kernel/btf/vmlinux`, or a `.BTF` section) as C.
///
/// # Errors
/// libbpf refuses the BTF.
pub fn vmlinux_from_btf(data: &[u8]) -> Result<String, DumpError> {
    let btf = Btf::new(data)?;
    let mut text = HEAD.to_owned();
    let dump = Dump::new(&btf, &mut text)?;
    // SAFETY: `btf` is a live BTF object.
    let count = unsafe { libbpf_sys::btf__type_cnt(btf.0) };
    for id in 1..count {
        // SAFETY: `dump` is live, and the text that its callback writes to outlives it.
        let result = unsafe { libbpf_sys::btf_dump__dump_type(dump.0, id) };
        if result != 0 {
            return Err(DumpError::Type { id, error: std::io::Error::from_raw_os_error(-result) });
        }
    }
    drop(dump);
    text.push_str(TYPES_TAIL);
    add_kfuncs(&btf, &mut text)?;
    text.push_str(TAIL);
    Ok(text)
}

/// Declares the kernel functions that BPF programs may call. They are weak, so a program can check
/// whether the running kernel has them.
fn add_kfuncs(btf: &Btf, text: &mut String) -> Result<(), DumpError> {
    let mut names = BTreeSet::new();
    let mut declarations = String::new();
    let dump = Dump::new(btf, &mut declarations)?;
    // SAFETY: `btf` is a live BTF object.
    let count = unsafe { libbpf_sys::btf__type_cnt(btf.0) };
    for id in 1..count {
        let Some(tag) = btf.record(id).filter(|tag| tag.kind() == libbpf_sys::BTF_KIND_DECL_TAG)
        else {
            continue;
        };
        let Some(function) = btf.record(tag.target) else { continue };
        let is_function = function.kind() == libbpf_sys::BTF_KIND_FUNC;
        if btf.name(tag.name) != c"bpf_kfunc" || !is_function || !names.insert(tag.target) {
            continue;
        }
        let options = libbpf_sys::btf_dump_emit_type_decl_opts {
            sz: size_of::<libbpf_sys::btf_dump_emit_type_decl_opts>() as libbpf_sys::size_t,
            field_name: btf.name(function.name).as_ptr(),
            ..Default::default()
        };
        dump.print("extern ");
        // SAFETY: `dump` is live, the name lives as long as `btf`, the text outlives the dump.
        let result = unsafe {
            libbpf_sys::btf_dump__emit_type_decl(dump.0, function.target, &raw const options)
        };
        if result != 0 {
            return Err(DumpError::Type { id, error: std::io::Error::from_raw_os_error(-result) });
        }
        dump.print(" __weak __ksym;\n");
    }
    drop(dump);
    text.push_str(KFUNCS_HEAD);
    text.push_str(&declarations);
    text.push_str(KFUNCS_TAIL);
    Ok(())
}

struct Btf(*mut libbpf_sys::btf);

impl Btf {
    fn new(data: &[u8]) -> Result<Btf, DumpError> {
        let size = u32::try_from(data.len())
            .map_err(|_| DumpError::Btf(std::io::ErrorKind::FileTooLarge.into()))?;
        // SAFETY: `data` is valid for `size` bytes; libbpf copies it.
        let btf = unsafe { libbpf_sys::btf__new(data.as_ptr().cast(), size) };
        if btf.is_null() {
            return Err(DumpError::Btf(std::io::Error::last_os_error()));
        }
        Ok(Btf(btf))
    }
}

/// The common part of a BTF record.
struct TypeRecord {
    name: u32,
    info: u32,
    target: u32,
}

impl TypeRecord {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }
}

impl Btf {
    fn record(&self, id: u32) -> Option<TypeRecord> {
        // SAFETY: the BTF object is live; the result is null or a type in it.
        let record = unsafe { libbpf_sys::btf__type_by_id(self.0, id).as_ref()? };
        // SAFETY: `size` and `type` share a union, and both are u32.
        let target = unsafe { record.__bindgen_anon_1.type_ };
        Some(TypeRecord { name: record.name_off, info: record.info, target })
    }

    fn name(&self, offset: u32) -> &CStr {
        // SAFETY: the BTF object is live; the result is null or a string in it.
        let name = unsafe { libbpf_sys::btf__name_by_offset(self.0, offset) };
        if name.is_null() {
            return c"";
        }
        // SAFETY: libbpf has checked that strings end with a zero; they live as long as the BTF.
        unsafe { CStr::from_ptr(name) }
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: created by btf__new, freed once.
        unsafe { libbpf_sys::btf__free(self.0) }
    }
}

/// A printer, and the text that it writes to.
struct Dump(*mut libbpf_sys::btf_dump, *mut String);

impl Dump {
    fn new(btf: &Btf, text: &mut String) -> Result<Dump, DumpError> {
        // SAFETY: bindgen's type of va_list differs by platform, but its calling convention does
        // not: it is a pointer. Otherwise the function has the type that libbpf calls.
        let print = unsafe {
            std::mem::transmute::<*const (), libbpf_sys::btf_dump_printf_fn_t>(print as *const ())
        };
        // SAFETY: the scope of the caller keeps `btf` alive longer than the dump, and `text`, too.
        // Only `print` writes to `text`, during btf_dump__dump_type.
        let dump = unsafe {
            libbpf_sys::btf_dump__new(
                btf.0,
                print,
                std::ptr::from_mut(text).cast::<c_void>(),
                std::ptr::null(),
            )
        };
        if dump.is_null() {
            return Err(DumpError::Btf(std::io::Error::last_os_error()));
        }
        Ok(Dump(dump, text))
    }

    /// Appends text between the output of libbpf.
    fn print(&self, words: &str) {
        // SAFETY: the text outlives the dump, and libbpf writes to it only while it is called.
        unsafe { (*self.1).push_str(words) }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // SAFETY: created by btf_dump__new, freed once.
        unsafe { libbpf_sys::btf_dump__free(self.0) }
    }
}

/// libbpf's callback: appends formatted text to the `String` behind `ctx`.
extern "C" fn print(ctx: *mut c_void, format: *const c_char, args: *mut c_void) {
    // SAFETY: `ctx` is the String given to Dump::new; nothing else accesses it meanwhile.
    let text = unsafe { &mut *ctx.cast::<String>() };
    // SAFETY: libbpf passes a valid format with its arguments.
    if let Ok(formatted) = unsafe { vsprintf::vsprintf(format, args) } {
        text.push_str(&formatted);
    }
}
