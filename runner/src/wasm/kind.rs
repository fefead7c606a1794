// SPDX-License-Identifier: MIT
//! Determines which of the two interfaces a module implements.

use wasmtime::Module;

use super::tracer;

/// An export that only post-processors have.
const VERSION: &str = "bpfpack_version";

/// The kind of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    /// A module that loads its own tracer, or a program without one.
    Tracer,
    /// A module that processes the frames of a package.
    PostProcessor,
    /// Neither, for this reason.
    Neither(String),
}

/// Decides by the module's exports and imports.
#[must_use]
pub(crate) fn kind(module: &Module) -> ModuleKind {
    let exports = |name: &str| module.exports().any(|export| export.name() == name);
    // TinyGo's post-processors have `_start`, too.
    if exports(VERSION) {
        return ModuleKind::PostProcessor;
    }
    let is_tracers = |name: &str| name == tracer::MODULE || tracer::WRAPPERS.contains(&name);
    if exports("_start") || module.imports().any(|import| is_tracers(import.module())) {
        return ModuleKind::Tracer;
    }
    ModuleKind::Neither(format!(
        "exports neither `_start`, as tracers do, nor `{VERSION}`, as post-processors do"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(text: &str) -> ModuleKind {
        kind(&Module::new(&wasmtime::Engine::default(), text).unwrap())
    }

    #[test]
    fn kinds() {
        assert_eq!(kind_of("(module (func (export \"_start\")))"), ModuleKind::Tracer);
        let import = "(module (import \"wasm_bpf\" \"wasm_close_bpf_object\" (func (param i64) (result i32))))";
        assert_eq!(kind_of(import), ModuleKind::Tracer);
        let both = "(module (func (export \"_start\")) \
            (func (export \"bpfpack_version\") (result i32) i32.const 1))";
        assert_eq!(kind_of(both), ModuleKind::PostProcessor);
        assert!(matches!(kind_of("(module)"), ModuleKind::Neither(why) if why.contains("_start")));
    }
}
