// SPDX-License-Identifier: MIT
//! Reads the Wasm modules of a package, and checks that they are post-processors.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::module;
use bpfpack_schemas::package::{MAX_MODULE_SIZE, WasmModule, check_modules};

use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// The first bytes of a binary module: the magic number and version 1. Components have another
/// version.
const BINARY: &[u8] = b"\0asm\x01\0\0\0";

/// A function that every post-processor exports.
const VERSION: &[u8] = b"bpfpack_version";

/// Reads the modules, in order.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<WasmModule>, Failure> {
    let modules = paths.iter().map(|path| read_one(path)).collect::<Result<Vec<_>, _>>()?;
    // Do not write what ecli would refuse.
    check_modules(modules.iter().map(|module| module.module.len() as u64))
        .map_err(|error| Failure::new(exit_code::DESCRIBE, error))?;
    Ok(modules)
}

fn read_one(path: &Path) -> Result<WasmModule, Failure> {
    let mut module = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_MODULE_SIZE + 1).read_to_end(&mut module))
        .with_context(|| format!("cannot read the module `{}`", shown(path)))
        .map_err(|error| Failure::new(exit_code::NO_INPUT, error))?;
    let bad = |what: String| {
        let error = anyhow!("`{}` cannot be packed: {what}", shown(path));
        Failure::new(exit_code::DESCRIBE, error)
    };
    // Do not write what ecli would refuse.
    module::check(&module).map_err(|error| bad(error.to_string()))?;
    let is_text = path.extension().is_some_and(|extension| extension == "wat");
    if !is_text && !module.starts_with(BINARY) {
        return Err(bad("it is not a Wasm module".to_owned()));
    }
    if !module.windows(VERSION.len()).any(|bytes| bytes == VERSION) {
        return Err(bad("it exports no `bpfpack_version`".to_owned())
            .hint("a module that is a whole tracer runs without a package: ecli run X.wasm"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(WasmModule { name, module })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_are_packed() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            read_one(&path).map(|module| module.name).map_err(|failure| failure.exit_code)
        };
        let text = b"(module (func (export \"bpfpack_version\")))";
        assert_eq!(read("a.wat", text), Ok("a.wat".to_owned()));
        assert_eq!(read("a.wasm", &[BINARY, VERSION].concat()), Ok("a.wasm".to_owned()));
        assert_eq!(read("a.wasm", text), Err(exit_code::DESCRIBE));
        assert_eq!(read("a.wasm", BINARY), Err(exit_code::DESCRIBE));
        let missing = read_one(&directory.path().join("missing")).unwrap_err();
        assert_eq!(missing.exit_code, exit_code::NO_INPUT);
    }
}
