// SPDX-License-Identifier: MIT
//! Replaces [`crate::wasm`] if ecli is built without Wasm: modules are refused, so no value of
//! [`Modules`] can exist.

use anyhow::anyhow;
use bpfpack_frame::Chain;
use bpfpack_schemas::package::WasmModule;
use libbpf_rs::Object;

use crate::args::Plan;
use crate::context::Context;
use crate::failure::{Failure, exit_code};
use crate::policy::Policies;
use crate::symbolizer::SharedSymbols;
use crate::sys::Signals;

/// Has no values.
#[derive(Debug)]
pub(crate) enum Modules {}

fn refusal() -> Failure {
    let error = anyhow!("this ecli was built without Wasm, and cannot run modules");
    Failure::new(exit_code::MODULE, error).hint("build it with its default features")
}

/// Refuses to run a module.
pub(crate) fn run_tracer(
    _plan: &Plan,
    _module: &[u8],
    _policies: &Policies,
    _signals: &Signals,
) -> Result<u8, Failure> {
    Err(refusal())
}

impl Modules {
    /// Returns `None`, or refuses modules.
    pub(crate) fn find(
        plan: &Plan,
        _policies: &Policies,
        packed: Vec<WasmModule>,
    ) -> Result<Option<Modules>, Failure> {
        let packed = !packed.is_empty() && !plan.wasm.only_given;
        match packed || !plan.wasm.modules.is_empty() || !plan.wasm.arguments.is_empty() {
            true if packed => Err(refusal().hint("--no-wasm runs the package without its modules")),
            true => Err(refusal()),
            false => Ok(None),
        }
    }

    /// Cannot be called, because [`Modules`] has no values.
    pub(crate) fn start(
        &self,
        _context: &Context<'_>,
        _object: &Object,
        _symbols: &SharedSymbols,
        _chain: &mut Chain,
    ) -> Result<(), Failure> {
        match *self {}
    }
}
