// SPDX-License-Identifier: MIT
//! What cases need: files, and machines that have them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::cases::PACKAGES;
use crate::vm::{Kernel, Machine};
use crate::{pack, pack_with_header, program, scratch};

/// The directory with ecli and the packages in a virtual machine.
pub const FILES: &str = "/cases";
/// The security modules of the kernel, with programs.
const LSM: &str = "lsm=lockdown,yama,apparmor,bpf";

/// A directory with ecli and the packages.
#[must_use]
pub fn files() -> TempDir {
    let dir = scratch();
    for (name, source) in PACKAGES {
        let packed = scratch();
        let header = Path::new(source).with_extension("").with_extension("h");
        let package = match crate::root().join(header).exists() {
            true => pack_with_header(name, &packed),
            false => pack(source, &packed),
        };
        fs::copy(package, dir.path().join(name).with_extension("json")).unwrap();
    }
    std::os::unix::fs::symlink(program("ecli"), dir.path().join("ecli")).unwrap();
    dir
}

/// A virtual machine for cases, with the programs `guest` and ecli and the packages in a directory.
#[must_use]
#[track_caller]
pub fn machine(kernel: Kernel, guest: &Path, files: &Path) -> Machine {
    let mut machine = Machine::new(kernel, guest).arguments(LSM);
    // What `tc` needs.
    for module in ["sch_ingress", "cls_bpf"] {
        machine = machine.module(module);
    }
    machine = machine.program(&files.join("ecli"), &format!("{FILES}/ecli"));
    for (name, _) in PACKAGES {
        let file = format!("{name}.json");
        machine = machine.file(&files.join(&file), &format!("{FILES}/{file}"));
    }
    machine
}
