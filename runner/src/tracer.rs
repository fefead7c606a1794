// SPDX-License-Identifier: MIT
//! One tracer, from its command line to the end of its run. The phases are in the order in which data
//! flows through them.

use std::cell::Cell;
use std::ops::ControlFlow;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::printable::one_line;
use bpfpack_trust::Accepted;
use libbpf_rs::Object;

use crate::args::Args;
use crate::command::Command;
#[cfg(feature = "registry")]
use crate::confirm;
use crate::context::Context;
use crate::detached;
use crate::failure::{self, Failure};
use crate::fetch::{self, Fetched};
use crate::filter::Filters;
use crate::host::{Host, loading};
use crate::policy::{self, Policies};
use crate::run::{self, Prepared};
use crate::{attach, load, metrics, output, scope, spec, vars, wasm};

/// Runs a package on a host. Returns the exit code.
///
/// # Errors
/// Returns an error if a phase fails. Everything is detached by then.
pub(crate) fn run(args: Args, host: &dyn Host) -> Result<u8, Failure> {
    let from = args.package()?;
    let talk = host.talk(from.quiet, false);
    let policies = Policies::read(from.policy.as_deref())?;
    let raw = fetch::obtain(&from, !policies.sources.is_empty(), &talk)?;
    let accepted = raw.verify(&policies.sources)?;
    let to_confirm = raw.to_confirm().filter(|digest| !detached::has_confirmed(digest));
    let origin = raw.source().to_owned();
    let fetched = raw.decode(&from.origin)?;
    // From here on, signals arrive on a descriptor, so ecli can clean up before it ends.
    let signals = host.signals()?;
    let mut package = match fetched {
        Fetched::Package(package) => package,
        Fetched::Module(module) => {
            #[cfg(feature = "registry")]
            if let Some(digest) = to_confirm {
                confirm::ask(&from, &digest, "This module can load any programs.", &talk)?;
            }
            let plan = args.of_module()?;
            host.check_module()?;
            if plan.detach.is_some() {
                let text = "--detach: a Wasm module that is a whole tracer runs in the foreground";
                return Err(Failure::usage(text));
            }
            return wasm::run_tracer(&plan, &module, &policies, &signals);
        }
    };
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let variables = vars::Variables::of(&package.meta, &elf, &btf);
    // The words after the package's name can be parsed only now that its arguments are known.
    let name = args.name();
    let known = args.has_more().then(|| variables.command(&args.invocation()));
    let mut plan = args.of_package(known.as_ref())?;
    let Some(given) = variables.parse(known, &plan.arguments)? else {
        return Ok(0); // `--help` or `--version` of the package
    };
    // Options after the name may say how much is told.
    let talk = host.talk(plan.quiet, plan.verbose);
    host.check(&plan)?;
    let candidate = policy::Candidate { elf: &elf, package: &package, name: &name };
    policies.check_run(&plan, &candidate, to_confirm.as_deref(), &talk)?;
    output::check::terminal(&plan.outputs)?;
    if let Accepted::Signed { key, comment } = &accepted {
        talk.detail(&format!("signed by the key `{key}`: {}", one_line(comment)));
    }
    let ControlFlow::Continue(background) = detached::detach(&plan, to_confirm.as_deref(), &talk)?
    else {
        return Ok(0);
    };
    // The address is taken before anything is loaded, and users see at once if it is in use.
    let exits = host.exits(&plan)?;
    scope::find_container(&mut plan, &talk)?;
    let command = Command::start(&plan, &signals, &talk)?;
    let about = scope::Package { meta: &package.meta, elf: &elf, btf: &btf };
    let (scope, chosen) = scope::through_arguments(&plan, command.as_ref(), &about, &given, &talk)?;
    let arguments = given.arguments(&chosen)?;
    let modules = wasm::Modules::find(&plan, &policies, std::mem::take(&mut package.wasm))?;
    let verbose = plan.verbose || arguments.verbose || package.meta.debug_verbose == Some(true);
    let loading = loading();
    if signals.have_come() {
        // A signal came while it waited, or while the package was downloaded.
        return Ok(0);
    }
    load::capture_log(verbose);
    if !host.only_checks() {
        attach::check_capabilities(&elf)?;
    }
    let mut spec = spec::build(&plan, &package, (&elf, &btf), &arguments, &talk)?;
    spec::read_on_request(&plan, &mut spec);
    metrics::read_for_metrics(&plan, &package.meta, &mut spec);
    let of_cgroup = scope.by_members(&mut plan, &spec, &talk)?;
    spec::check_arrangement(&plan, &spec, modules.is_some(), &talk)?;
    let filters = Filters::new(&plan, &spec, modules.is_some(), &talk)?;
    if host.only_checks() {
        return metrics::check(&plan, &package.meta, &spec).map(|()| 0);
    }
    // Verifying programs can take seconds, and there is nothing to undo until they are attached, so
    // a signal ends ecli at once. With pins, it does not: a failed run has to remove them.
    let passing = Cell::new(plan.pin.is_none().then(|| signals.pass()));
    let (arguments, filters, of_cgroup) = (&arguments, &filters, of_cgroup.as_ref());
    let (plan, package, spec, talk) = (&plan, &package, &spec, &talk);
    let context = Context { plan, package, arguments, spec, talk, filters, of_cgroup };
    // Buffers are opened before programs are attached, so no record is missed.
    let prepare = |object: &Object| {
        // From here on, whatever is created has to be undone.
        drop(passing.take());
        Prepared::new(&context, modules.as_ref(), object)
    };
    let input = attach::Input { plan, package, elf: &elf, arguments, talk };
    let attached = attach::load_and_attach(&input, prepare)?;
    drop(loading);
    host.note_attached();
    let ready = |background: &detached::Background| {
        background.ready(&origin, bpfpack_trust::digest(&package.object))
    };
    let control = || background.as_ref().map(ready).transpose();
    let ways = run::Ways { exits, control: &control };
    let ended = run::run(plan, attached, command, ways, &signals, talk);
    match (ended, background) {
        // The log is there as long as the run is.
        (Err(failure), Some(background)) => Err(background.failed(&failure)),
        (ended, _) => ended,
    }
}
