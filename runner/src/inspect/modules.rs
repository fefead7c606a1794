// SPDX-License-Identifier: MIT
//! What a Wasm module imports and is, from its bytes alone, so that it works without an engine.

use std::collections::BTreeMap;

use bpfpack_schemas::module::{self, Outline};
use bpfpack_schemas::report::ModuleReport;
use bpfpack_trust::digest;

/// An export that only post-processors have, as in [`crate::wasm`].
const VERSION: &str = "bpfpack_version";
/// The export or the import modules that tracers have.
const START: &str = "_start";
const OF_TRACERS: [&str; 3] = ["wasm_bpf", "callback-wrapper", "go-callback"];

/// Reports on a module.
pub(super) fn of(name: &str, bytes: &[u8]) -> ModuleReport {
    let outline = module::outline(bytes);
    ModuleReport {
        name: name.to_owned(),
        size: bytes.len() as u64,
        sha256: digest(bytes),
        kind: outline.as_ref().map_or("unknown", kind).to_owned(),
        imports: outline.map(|outline| imports(&outline)),
    }
}

fn kind(outline: &Outline<'_>) -> &'static str {
    let exports = |name: &str| outline.exports.contains(&name);
    let is_tracers = |(module, _): &(&str, &str)| OF_TRACERS.contains(module);
    match () {
        () if exports(VERSION) => "post-processor",
        () if exports(START) || outline.imports.iter().any(is_tracers) => "tracer",
        () => "unknown",
    }
}

fn imports(outline: &Outline<'_>) -> BTreeMap<String, Vec<String>> {
    let mut by_module: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, name) in &outline.imports {
        by_module.entry((*module).to_owned()).or_default().push((*name).to_owned());
    }
    by_module
}
