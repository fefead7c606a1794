// SPDX-License-Identifier: MIT
//! Which of the two interfaces a module is for.

use wasmtime::Module;

use super::tracer;

/// What only post-processors export.
const VERSION: &str = "bpfpack_version";

/// What a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    /// It owns its tracer, or is a program without one.
    Tracer,
    /// It sees what a package finds.
    PostProcessor,
    /// None of them, for this reason.
    Neither(String),
}

/// Tells by what the module exports and imports.
#[must_use]
pub(crate) fn kind(module: &Module) -> ModuleKind {
    let exports = |name: &str| module.exports().any(|export| export.name() == name);
    // Those that TinyGo makes have `_start`, too.
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
