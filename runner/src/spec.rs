// SPDX-License-Identifier: MIT
//! The spec of a package on this machine: this module answers its questions to the kernel, and
//! reports to the user.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bpfpack_schemas::Package;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;
use bpfpack_spec::{Inputs, Note, Options, Source, Spec, SpecError, labels};
use bpfpack_stage::ArrangementError;

use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::kernel;
use crate::talk::Talk;
use crate::vars::Arguments;

/// Decides what is shown of a package.
///
/// # Errors
/// Returns an error if something that the user asks for cannot be shown.
pub(crate) fn build(
    plan: &Plan,
    package: &Package,
    (object, btf): (&BpfObject<'_>, &Btf<'_>),
    arguments: &Arguments,
    talk: &Talk,
) -> Result<Spec, Failure> {
    let options = Options {
        only: plan.only.clone(),
        fields: plan.fields.clone(),
        interval: plan.interval,
        differences: plan.clear || plan.arrangement.rate || plan.has_heat_map(),
        per_cpu: plan.per_cpu,
        map_entries: plan.map_entries.clone(),
        // Without outputs, there are metrics or clients, which want all.
        all_tables: plan.outputs.is_empty(),
        single_source: plan.outputs.iter().any(|output| !output.format.is_structured),
    };
    // The kernel's BTF takes 5 MB or more, so it is read only if a key needs it.
    let kernel = OnceCell::new();
    let kernel_enum = |name: &str| {
        let btf: &Option<Btf<'static>> = kernel.get_or_init(kernel::btf);
        btf.as_ref()?.find_enum(name).map(labels)
    };
    let built = bpfpack_spec::build(&Inputs {
        meta: &package.meta,
        object,
        btf,
        options: &options,
        nonzero: &arguments.nonzero,
        kernel_enum: &kernel_enum,
    });
    let built = built.map_err(failure)?;
    for note in &built.notes {
        match note {
            Note::Warning(text) => talk.warning(text),
            Note::Info(text) => talk.note(text),
        }
    }
    Ok(built.spec)
}

/// The interval of views that are read only on request: a hundred years.
const ON_REQUEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads views only on request if nobody sees periodic readings: if there are only metrics, or
/// clients of a run in the background.
pub(crate) fn read_on_request(plan: &Plan, spec: &mut Spec) {
    if !plan.outputs.is_empty() || plan.interval.is_some() {
        return;
    }
    for source in &mut spec.sources {
        if let Source::View(view) = source {
            Arc::make_mut(view).interval = ON_REQUEST;
        }
    }
}

/// Checks before loading that readings can be arranged as requested. It checks nothing if there are
/// modules, which may add views.
///
/// # Errors
/// Returns an error if no view has the requested columns.
pub(crate) fn check_arrangement(
    plan: &Plan,
    spec: &Spec,
    has_modules: bool,
    talk: &Talk,
) -> Result<(), Failure> {
    if has_modules {
        return Ok(());
    }
    if plan.has_heat_map() {
        check_heat_map(spec, talk)?;
    }
    let views: Vec<_> = spec.views().cloned().collect();
    plan.arrangement.stages(&views).map(drop).map_err(arrangement_failure)
}

/// Checks that there is a histogram to draw over time, and reports sources that are not.
fn check_heat_map(spec: &Spec, talk: &Talk) -> Result<(), Failure> {
    if !spec.sources.iter().any(Source::is_histogram) {
        return Err(Failure::usage("--heatmap: the package shows no histogram")
            .hint("omit --heatmap to show the package's tables and records as text"));
    }
    for source in spec.sources.iter().filter(|source| !source.is_histogram()) {
        talk.note(&format!("`{}` is not a histogram: --heatmap does not show it", source.name()));
    }
    Ok(())
}

/// The failure if readings cannot be arranged as requested.
pub(crate) fn arrangement_failure(error: ArrangementError) -> Failure {
    let hint = error.hint();
    Failure::new(exit_code::USAGE, error).hint(hint)
}

/// The failure if something cannot be shown as requested.
pub(crate) fn failure(error: SpecError) -> Failure {
    let hint = error.hint();
    Failure::new(exit_code::USAGE, error).hint(hint)
}
