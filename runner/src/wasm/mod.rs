// SPDX-License-Identifier: MIT
//! Wasm modules: their engine, what they can access, and the two interfaces that `runner/WASM.md`
//! specifies: [`tracer`] for modules that load their own tracer, [`post`] for those that process
//! the frames of a package.

mod cache;
pub(crate) mod engine;
pub(crate) mod kind;
pub(crate) mod memory;
mod modules;
pub(crate) mod post;
pub(crate) mod tracer;
mod trap;
pub(crate) mod wasi;
mod watch;

use anyhow::anyhow;

use crate::args::{Origin, Plan};
use crate::failure::{Failure, exit_code};
use crate::load;
use crate::output;
use crate::policy::Policies;
use crate::sys::Signals;
use crate::talk::Talk;
use engine::{Engine, Limits};
use kind::ModuleKind;
use tracer::TracerPlan;

pub(crate) use modules::Modules;

/// Runs a module that is a whole tracer.
///
/// # Errors
/// Returns an error if the module is not a tracer, cannot run, or fails.
pub(crate) fn run_tracer(
    plan: &Plan,
    module: &[u8],
    policies: &Policies,
    signals: &Signals,
) -> Result<u8, Failure> {
    output::check::terminal(&plan.outputs)?;
    let talk = Talk::new(plan.quiet, plan.verbose);
    load::capture_log(plan.verbose);
    let name = match &plan.package.origin {
        Origin::Stdin => "standard input".to_owned(),
        Origin::File(path) => modules::name_of(path),
        Origin::Own | Origin::Remote(_) => plan.arguments.first().cloned().unwrap_or_default(),
    };
    let refuse = |code, why: &str| Failure::new(code, anyhow!("`{name}` {why}"));
    if !plan.wasm.modules.is_empty() || !plan.wasm.arguments.is_empty() {
        let why = "is a whole tracer: --wasm and --wasm-arg are for packages";
        return Err(refuse(exit_code::USAGE, why).hint("its arguments come after its name"));
    }
    if !plan.filters.is_empty() || plan.until.is_some() {
        let why =
            "is a whole tracer, and writes its own output: --filter and --until are for packages";
        return Err(refuse(exit_code::USAGE, why));
    }
    let [output] = &plan.outputs[..] else {
        let why = "is a whole tracer, and has only one output";
        return Err(refuse(exit_code::USAGE, why).hint("-o FILE writes that to a file"));
    };
    let limits = Limits { memory: plan.wasm.memory, time: plan.wasm.time };
    let engine = Engine::new(limits, module.len(), plan.wasm.cache.as_deref())?;
    let module = engine.compile(&name, module)?;
    match kind::kind(&module) {
        ModuleKind::Tracer => {}
        ModuleKind::PostProcessor => {
            let why = "is a post-processor: it needs a package";
            return Err(
                refuse(exit_code::MODULE, why).hint(format!("ecli run --wasm {name} package.json"))
            );
        }
        ModuleKind::Neither(why) => return Err(refuse(exit_code::MODULE, &why)),
    }
    let mut arguments = plan.arguments.clone();
    if let Some(first) = arguments.first_mut() {
        first.clone_from(&name);
    }
    let plan = TracerPlan {
        arguments,
        output: output.file.clone(),
        environment: plan.wasm.environment.clone(),
        directories: plan.wasm.directories.clone(),
        as_is: plan.as_is,
        max_memory: plan.max_memory,
        rules: policies.rules(plan.observe_only),
    };
    tracer::run(&engine, &module, &name, &plan, signals, &talk)
}
