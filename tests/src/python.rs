// SPDX-License-Identifier: MIT
//! Python packages that tests use: those of `tests/python.txt`, in `target/python`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{can, root};

/// The interpreter, if it has a package; otherwise says why not.
#[must_use]
pub fn python(package: &str) -> Option<PathBuf> {
    let python = root().join("target/python/bin/python");
    let has_it = python.exists() && {
        let mut import = Command::new(&python);
        let import = import.arg("-c").arg(format!("import {package}"));
        import.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    can(&format!("needs {package} of PyPI (tests/setup.sh test)"), has_it).then_some(python)
}
