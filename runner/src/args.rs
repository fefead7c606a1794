// SPDX-License-Identifier: MIT
//! The command line of `ecli`: [`Args`] is what the user wrote, [`Plan`] what it means.

#[cfg(feature = "metrics")]
mod dashboard;
#[cfg(feature = "policy")]
mod doctor;
#[cfg(feature = "policy")]
mod inspect;
mod line;
mod metrics;
mod near;
mod options;
mod outputs;
mod plan;
mod reading;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "metrics")]
mod serve;
mod sort;
mod stores;
mod values;

use std::ffi::OsString;

use bpfpack_render::formats;
use bpfpack_stage::{Arrangement, Grouping};

use crate::failure::Failure;
#[cfg(feature = "metrics")]
pub use dashboard::{DashboardOptions, DashboardOutput, DashboardPlan};
#[cfg(feature = "policy")]
pub use doctor::{Doctor, DoctorOptions};
#[cfg(feature = "policy")]
pub use inspect::{Inspect, InspectOptions};
pub(crate) use line::Invocation;
pub use line::{Args, Command, Request, clap_answer};
pub use metrics::{
    LabelsArg, MetricArg, MetricChoices, MetricDo, MetricsOptions, MetricsPlan, OtlpPlan,
};
pub use options::Run;
use outputs::outputs;
pub(crate) use plan::OWN;
pub use plan::{
    AttachArg, FetchPlan, MapSetArg, Origin, OutputPlan, Plan, PullWhen, Remote, WasmArg, WasmPlan,
};
pub use reading::Named;
#[cfg(feature = "registry")]
pub use registry::{Connection, Login, Logout, Pull, Push, RegistryCommand};
#[cfg(feature = "metrics")]
pub use serve::{PsCommand, ReadCommand, ServeCommand, ServiceCommand, StopCommand};
pub use stores::{CacheCommand, CacheDo, TrustCommand, TrustDo};
pub(crate) use values::expr_failure;
use values::{PidArg, cache_in, expr, packages_in, variable};

impl Run {
    /// What the options say of the package itself.
    fn fetch(&self, origin: Origin) -> FetchPlan {
        FetchPlan {
            origin,
            pull: if self.offline { PullWhen::Never } else { self.pull },
            insecure: self.insecure,
            signature: self.signature.clone(),
            cache: packages_in(self.package_cache.as_deref()),
            policy: self.policy.clone(),
            yes: self.yes,
            quiet: self.quiet,
        }
    }

    /// Resolves the options to a [`Plan`]. It touches no file.
    fn plan(
        self,
        package: Origin,
        arguments: Vec<String>,
        command: Option<Vec<OsString>>,
    ) -> Result<Plan, Failure> {
        let run = self;
        let package = run.fetch(package);
        if run.lines && !cfg!(feature = "debug-info") {
            let text = "--lines: this ecli was built without support for debug information";
            return Err(Failure::usage(text).hint("build it with its default features"));
        }
        let format = match (run.json, run.heatmap) {
            (true, _) => formats::named("json").unwrap_or(formats::TEXT),
            (_, true) => formats::HEAT_MAP,
            _ => run.format.unwrap_or(formats::TEXT),
        };
        // Nobody looks at standard output.
        let is_silent = run.metrics.exports() || run.detach.is_some();
        let names_format = run.format.is_some() || run.json || run.heatmap;
        let outputs = outputs(format, run.output, names_format || !is_silent)?;
        let metrics = run.metrics.plan()?;
        let arranged = [
            (run.rate, "--rate"),
            (run.top.is_some(), "--top"),
            (run.by.is_some(), "--by"),
            (run.merge, "--merge"),
        ];
        let arranged = arranged.into_iter().find(|(is_given, _)| *is_given);
        if let Some((_, option)) = arranged.filter(|_| metrics.is_some()) {
            let text =
                format!("{option} cannot be used with --listen and --otlp, which export totals");
            let hint = match option {
                "--by" | "--merge" => "--labels chooses the labels; the rest is added up",
                _ => "Prometheus calculates rates and orders: topk(3, rate(NAME[1m]))",
            };
            return Err(Failure::usage(text).hint(hint));
        }
        if outputs.iter().any(|output| !output.format.is_structured) && !run.fields.is_empty() {
            let text = "--fields cannot be used with --format raw, which shows all bytes";
            return Err(Failure::usage(text));
        }
        let has_heat_map = plan::has_heat_map(&outputs);
        Ok(Plan {
            package,
            arguments,
            command,
            outputs,
            metrics,
            filters: run
                .filter
                .iter()
                .map(|text| expr("--filter", text))
                .collect::<Result<_, _>>()?,
            until: run.until.map(|text| expr("--until", &text)).transpose()?,
            fields: run.fields,
            only: run.only,
            time: run.time,
            raw: run.raw,
            decode: run.decode,
            lines: run.lines,
            strict: run.strict,
            frequency: run.frequency,
            interval: run.interval,
            count: run.count,
            once: run.once,
            duration: run.duration,
            clear: run.clear,
            no_redraw: run.no_redraw,
            per_cpu: run.per_cpu,
            arrangement: Arrangement {
                grouping: run
                    .by
                    .map(Grouping::By)
                    .or((run.merge || has_heat_map).then_some(Grouping::Merge)),
                rate: run.rate,
                sort: run.sort,
                top: run.top.map(|top| top as usize),
            },
            timestamp: run.timestamp,
            cgroup: run.cgroup,
            map_entries: run.map_entries,
            max_memory: run.max_memory,
            max_keys: run.max_keys as usize,
            pin: run.pin,
            detach: run.detach,
            run_directory: run.run_directory,
            program: OWN.into(),
            attach: run.attach,
            interface: run.interface,
            binary: run.binary,
            process: run.pid.and_then(PidArg::process),
            comm: run.comm,
            container: run.container,
            force: run.force,
            loose: run.loose,
            map_set: run.map_set,
            attach_all: run.attach_all,
            with: run.with,
            without: run.without,
            as_is: run.as_is,
            observe_only: run.observe_only,
            wasm: WasmPlan {
                modules: run.wasm,
                arguments: run.wasm_arg,
                only_given: run.no_wasm,
                memory: run.wasm_memory,
                time: run.wasm_time,
                environment: run.wasm_env.iter().map(|text| variable(text)).collect(),
                directories: run.wasm_dir,
                cache: cache_in(&run.wasm_cache),
            },
            quiet: run.quiet,
            verbose: run.verbose,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use bpfpack_render::TimeColumn;

    use super::*;

    pub(crate) fn plan(args: &[&str]) -> Result<Plan, String> {
        let words = [&["ecli"], args].concat().iter().map(OsString::from).collect();
        let args = Args::of(words).map_err(|error| error.to_string())?;
        // As for a module: the words after the name are not parsed.
        args.of_module().map_err(|failure| failure.message())
    }

    #[test]
    fn options_before_the_package_are_ours_and_after_it_the_packages() {
        let p = plan(&["run", "-j", "--interval", "2s", "package.json", "-j", "--help"]).unwrap();
        assert_eq!(p.package.origin, Origin::File("package.json".into()));
        assert!(p.outputs[0].format.name == "json" && p.interval == Some(Duration::from_secs(2)));
        assert_eq!(p.arguments, ["package.json", "-j", "--help"]);
        let p = plan(&["package.json", "--pid", "3"]).unwrap();
        assert_eq!(p.arguments, ["package.json", "--pid", "3"]);
        assert_eq!(plan(&["run", "-"]).unwrap().package.origin, Origin::Stdin);
        assert_eq!(p.wasm.memory, 256 << 20);
    }

    #[test]
    fn modules() {
        let p =
            plan(&["run", "--wasm", "a.wasm", "--wasm-arg", "x=1=2", "--wasm-arg", "a:y=", "p"]);
        let wasm = p.unwrap().wasm;
        assert_eq!(wasm.modules, [PathBuf::from("a.wasm")]);
        let arg = |module: Option<&str>, name: &str, value: &str| WasmArg {
            module: module.map(str::to_owned),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(wasm.arguments, [arg(None, "x", "1=2"), arg(Some("a"), "y", "")]);
        assert!(wasm.cache.is_some_and(|dir| dir.is_absolute()));
        assert!(plan(&["run", "--wasm-cache", "none", "p"]).unwrap().wasm.cache.is_none());
        assert!(plan(&["run", "--wasm-arg", "x", "p"]).is_err());
    }

    #[test]
    fn formats_and_fields() {
        let p = plan(&["run", "-f", "csv", "--fields", "pid,comm", "--time", "boot", "p"]).unwrap();
        assert_eq!((p.outputs[0].format.name, p.time), ("csv", Some(TimeColumn::Boot)));
        assert_eq!(p.fields, ["pid", "comm"]);
        assert_eq!(plan(&["run", "p"]).unwrap().outputs[0].format.name, "text");
        assert!(plan(&["run", "-j", "--format", "csv", "p"]).is_err());
        assert!(plan(&["run", "--format", "xml", "p"]).is_err());
        assert!(plan(&["run", "--raw", "--decode", "p"]).is_err());
    }

    #[test]
    fn what_is_no_package() {
        assert!(plan(&["run", "--nonsense", "p.json"]).is_err());
        assert!(plan(&["run", "ftp://example.org/p.json"]).is_err());
        assert!(plan(&["run"]).is_err());
    }
}
