// SPDX-License-Identifier: MIT
//! `ecli dashboard`: a Grafana dashboard and Prometheus rules for the metrics that
//! `ecli run --listen` exports of a package. It loads nothing, so it needs neither a privilege nor a
//! kernel with BPF. Names of metrics are decided where those of a run are.

mod contents;
mod files;
#[cfg(test)]
mod fixtures;
mod grafana;
mod health;
mod panels;
mod promql;
mod rules;
mod subject;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeSet;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::{Package, printable};
use bpfpack_spec::maps::of_object;
use bpfpack_spec::{Inputs, Options};

use crate::args::{DashboardOutput, DashboardPlan};
use crate::failure::talk::Talk;
use crate::failure::{self, Failure};
use crate::fetch::{self, Fetched};
use crate::metrics;
use crate::output;
use crate::spec;
use crate::vars::Variables;
use grafana::Look;
use subject::Subject;

/// Writes what the plan asks for.
///
/// # Errors
/// Returns an error if the package cannot be read, or the output cannot be written.
pub(crate) fn write(plan: &DashboardPlan) -> Result<(), Failure> {
    let talk = Talk::new(false, false);
    let subject = read(plan, &talk)?;
    let dashboard = || -> Result<String, Failure> {
        let look = Look { title: plan.title.as_deref(), datasource: plan.datasource.as_deref() };
        let mut text = serde_json::to_vec_pretty(&grafana::dashboard(&subject, look))
            .map_err(failure::system("cannot write JSON"))?;
        text.push(b'\n');
        Ok(String::from_utf8_lossy(&printable::json(&text)).into_owned())
    };
    let rules = || yaml::file(&subject.package, &rules::groups(&subject));
    match &plan.output {
        DashboardOutput::Dashboard => output::print(dashboard()?.as_bytes()),
        DashboardOutput::Rules => output::print(rules().as_bytes()),
        DashboardOutput::Files { directory, force } => {
            let name = files::stem(&subject.package);
            let (dashboard, rules) = (dashboard()?, rules());
            let texts = [
                (format!("{name}.dashboard.json"), &*dashboard),
                (format!("{name}.rules.yml"), &*rules),
            ];
            for path in files::write(directory, &texts, *force)? {
                talk.note(&format!("wrote {}", path.display()));
            }
            Ok(())
        }
    }
}

/// Reads the package, and finds out what it exports.
fn read(plan: &DashboardPlan, talk: &Talk) -> Result<Subject, Failure> {
    let from = &plan.package.package;
    let raw = fetch::obtain(from, false, talk)?;
    let package = match raw.decode(&from.origin)? {
        Fetched::Package(package) => package,
        Fetched::Module(_) => {
            let text = format!("`{}` is a Wasm module, not a package", plan.package.name);
            let hint = "what a module exports is known only when it runs";
            return Err(Failure::usage(text).hint(hint));
        }
    };
    if !package.wasm.is_empty() {
        talk.note("the package has Wasm modules: what they make of its data is not included");
    }
    subject(&package, plan)
}

fn subject(package: &Package, plan: &DashboardPlan) -> Result<Subject, Failure> {
    let meta = &package.meta;
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let nonzero = match Variables::of(meta, &elf, &btf).parse(None, &[])? {
        Some(given) => given.arguments(&[])?.nonzero,
        None => BTreeSet::new(),
    };
    let inputs = Inputs {
        meta,
        object: &elf,
        btf: &btf,
        // As in a run that only serves metrics.
        options: &Options { all_tables: true, ..Options::default() },
        nonzero: &nonzero,
        // Only that there are names matters, and the result is the same on every machine.
        kernel_enum: &|_| Some(Vec::new()),
    };
    let spec = bpfpack_spec::build(&inputs).map_err(spec::failure)?.spec;
    let metrics = metrics::defined(&plan.choices, meta, &spec)?;
    if metrics.is_empty() {
        let text = format!("`{}` has no data to export", plan.package.name);
        return Err(Failure::usage(text).hint("`ecli inspect` lists what a package shows"));
    }
    let maps = of_object(&elf, &btf, meta, &[]);
    Ok(Subject::new(metrics::package_name(meta), metrics, &spec, &maps))
}
