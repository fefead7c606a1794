// SPDX-License-Identifier: MIT
//! In place of [`crate::wasm`] where ecli is built without Wasm: modules are refused, and nothing
//! of them can exist.

use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use bpfpack_schemas::Package;
use bpfpack_schemas::package::WasmModule;
use libbpf_rs::Object;

use crate::args::Plan;
use crate::collect::maps::Entry;
use crate::failure::{Failure, exit_code};
use crate::render::Output;
use crate::sys::Signals;
use crate::talk::Talk;
use crate::vars::Arguments;
use crate::view::{Stream, Views};

/// What there is none of.
#[derive(Debug)]
pub enum Modules {}

/// What there is none of.
#[derive(Debug)]
pub enum Chain {}

fn refusal() -> Failure {
    let error = anyhow!("this ecli was built without Wasm, and can not run modules");
    Failure::new(exit_code::MODULE, error).hint("build it with its default features")
}

/// Runs a module that is a whole tracer.
pub fn run_tracer(
    _plan: &Plan,
    _module: &[u8],
    _signals: &Signals,
    _talk: &Talk,
) -> Result<u8, Failure> {
    Err(refusal())
}

impl Modules {
    /// None, or a refusal.
    pub fn find(plan: &Plan, packed: Vec<WasmModule>) -> Result<Option<Modules>, Failure> {
        let packed = !packed.is_empty() && !plan.wasm.only_given;
        match packed || !plan.wasm.modules.is_empty() || !plan.wasm.arguments.is_empty() {
            true if packed => Err(refusal().hint("--no-wasm runs the package without its modules")),
            true => Err(refusal()),
            false => Ok(None),
        }
    }

    /// See [`Modules`].
    pub fn start(
        &self,
        _plan: &Plan,
        _package: &Package,
        _arguments: &Arguments,
        _object: &Object,
        _views: &Views,
    ) -> Result<Chain, Failure> {
        match *self {}
    }
}

impl Chain {
    /// See [`Chain`].
    pub fn begin(&mut self, _output: &mut dyn Output) -> Result<(), Failure> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn calls(&self) -> u64 {
        match *self {}
    }

    /// See [`Chain`].
    pub fn declared(&self) -> Vec<Arc<Stream>> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn count_declared(&self) -> usize {
        match *self {}
    }

    /// See [`Chain`].
    pub fn takes_samples(&self) -> bool {
        match *self {}
    }

    /// See [`Chain`].
    pub fn stopped(&self) -> Option<u8> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn next_tick(&self) -> Option<Instant> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn now(&mut self) {
        match *self {}
    }

    /// See [`Chain`].
    pub fn record(
        &mut self,
        _stream: &Stream,
        _cpu: Option<u16>,
        _record: &[u8],
        _output: &mut dyn Output,
    ) -> Result<bool, Failure> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn sample(
        &mut self,
        _view: usize,
        _entries: &[Entry],
        _output: &mut dyn Output,
    ) -> Result<(), Failure> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn tick(&mut self, _output: &mut dyn Output) -> Result<(), Failure> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn flush(&mut self, _output: &mut dyn Output) -> Result<(), Failure> {
        match *self {}
    }

    /// See [`Chain`].
    pub fn end(&mut self, _output: &mut dyn Output) -> Result<(), Failure> {
        match *self {}
    }
}
