// SPDX-License-Identifier: MIT
//! Makes the file of ecli smaller. Relocations are packed if the linked C library can unpack them:
//! 0.3 MB, and as much memory of a run. The tables for unwinding are left out of releases, where a
//! panic aborts: 1.3 MB.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::env;
use std::fs;

/// The first glibc whose static programs support `DT_RELR`.
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    // The header is of this machine.
    let is_native = of("HOST") == of("TARGET");
    let is_glibc = of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_native && is_glibc && glibc().is_some_and(|version| version >= FIRST) {
        println!("cargo::rustc-link-arg-bin=ecli=-Wl,-z,pack-relative-relocs");
    }
    // The script is for lld, by which Rust links there.
    let is_lld = of("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if of("PROFILE") == "release" && is_glibc && is_lld {
        println!("cargo::rerun-if-changed=no-unwinding.ld");
        let script = format!("{}/no-unwinding.ld", of("CARGO_MANIFEST_DIR"));
        println!("cargo::rustc-link-arg-bin=ecli=-Wl,-T,{script}");
        println!("cargo::rustc-link-arg-bin=ecli=-Wl,--no-eh-frame-hdr");
        // `make small`: functions with the same code are one. Nothing compares their addresses.
        if of("OPT_LEVEL") == "z" {
            println!("cargo::rustc-link-arg-bin=ecli=-Wl,--icf=all,-O2");
        }
    }
}

/// The version of the C library in its headers.
fn glibc() -> Option<(u32, u32)> {
    let header = fs::read_to_string("/usr/include/features.h").ok()?;
    let number = |name: &str| {
        let line = header.lines().find(|line| line.starts_with(&format!("#define\t{name}")))?;
        line.split_whitespace().nth(2)?.parse().ok()
    };
    Some((number("__GLIBC__")?, number("__GLIBC_MINOR__")?))
}
