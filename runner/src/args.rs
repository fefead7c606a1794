// SPDX-License-Identifier: MIT
//! The command line of `ecli`: [`Args`] as they are written, [`Plan`] as they are meant.

mod line;
mod near;
mod outputs;
mod plan;
mod sort;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bpfpack_render::{FormatKind, TimeColumn, formats};
use bpfpack_stage::{Arrangement, Grouping, Sort};
use clap::Parser;

use crate::failure::Failure;
use line::usage;
pub use line::{Args, clap_answer};
use outputs::outputs;
pub use plan::{AttachArg, MapSetArg, Origin, OutputPlan, Plan, WasmArg, WasmPlan};
pub(crate) use values::expr_failure;
use values::{
    OutputArg, PidArg, TYPES, attach, duration, expr, format_parser, map_entries, map_set, memory,
    output_parser, pid, size, sort, time_parser, variable, wasm_arg,
};

/// Keys of a map that a reading shows unless the command line says otherwise. The maps of public
/// tracers have 10,240.
const MAX_KEYS: u32 = 65_536;

/// The part of the help with what programs are attached to.
const TARGETS: &str = "Targets";

/// The part of the help with what of the maps is shown, and how.
const READINGS: &str = "Readings of maps";

/// The part of the help with what is traced of the machine.
const SCOPE: &str = "What is traced";

/// The part of the help with what concerns modules.
const WASM: &str = "Wasm modules";

/// The options of `ecli run`.
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 100)]
#[command(
    override_usage = "ecli run [OPTIONS] PACKAGE [OPTIONS AND ARGUMENTS OF THE PACKAGE] [-- CMD ARGS]..."
)]
pub struct Run {
    /// Print JSON, an object a line: the same as --format json
    #[arg(short, long)]
    pub json: bool,

    /// What to print: text for people, json (an object a line), csv, tsv, yaml, heatmap
    /// (see --heatmap), or raw (the bytes)
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json")]
    #[arg(hide_possible_values = true, value_parser = format_parser())]
    pub format: Option<&'static FormatKind>,

    /// Write to a file, not to standard output (-). With a format before it, as in csv:out.csv, this
    /// is one more output, beside the others; repeatable
    #[arg(short, long, value_name = "[FORMAT:]FILE", value_parser = output_parser())]
    pub output: Vec<OutputArg>,

    /// Show only these members of records, in this order: pid,comm
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub fields: Vec<String>,

    /// Show only records, and entries of maps, for which this is true: 'comm == dd && lat_us > 1ms'.
    /// == != < <= > >= compare a member with a constant, ~ and !~ with a regular expression, in with
    /// a list or a network: pid in (1, 2), saddr in 10.0.0.0/8; && || ! and parentheses connect them.
    /// Constants are numbers (with ns, us, ms, s, min, h, or K, M, G), text, addresses, and names of
    /// enums, errors, signals, users and others. Histograms have total, average, p50, p90, p99 and
    /// max. Repeatable: all have to be true
    #[arg(long, value_name = "EXPR")]
    pub filter: Vec<String>,

    /// End once a record, or a reading with an entry, was shown for which this is true
    #[arg(long, value_name = "EXPR")]
    pub until: Option<String>,

    /// Show only this map or buffer; repeatable
    #[arg(long, value_name = "MAP")]
    pub only: Vec<String>,

    /// The time before each record, when it was read: none, wall (the time of day), boot (seconds
    /// since then) or delta (seconds since the one before). In text wall, in other formats none
    /// unless given
    #[arg(long, value_name = "TIME", hide_possible_values = true)]
    #[arg(value_parser = time_parser())]
    pub time: Option<TimeColumn>,

    /// Show bare numbers in text, not what they stand for: addresses, users, errors, times
    #[arg(long, conflicts_with = "decode")]
    pub raw: bool,

    /// Show what numbers stand for in the other formats, too, and stacks as functions
    #[arg(long)]
    pub decode: bool,

    /// Show the source file and line of each function in stacks, where debug information has them
    #[arg(long)]
    pub lines: bool,

    /// End with exit code 8 when records were lost
    #[arg(long)]
    pub strict: bool,

    /// Read the maps this often, whatever the package says: 2 (seconds), 0.5, 500ms, 1m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub interval: Option<Duration>,

    /// End after this many readings of the maps; where there are only records, after as many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Wait for the first reading that has data, or the first record; show it, and end
    #[arg(long, conflicts_with = "count")]
    pub once: bool,

    /// End after this time (2, 500ms, 1m); the maps are read once more then
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Show at each reading what came since the one before, not since the start
    #[arg(long, help_heading = READINGS)]
    pub clear: bool,

    /// Draw histograms over time: a line for each reading, a cell for each slot, the denser the more
    /// it counted in the interval. Keys are put together unless --by keeps those of a member apart.
    /// The same as --format heatmap
    #[arg(long, conflicts_with_all = ["json", "format"], help_heading = READINGS)]
    pub heatmap: bool,

    /// Write each reading below the one before, also on a terminal, where readings are drawn in place
    #[arg(long, help_heading = READINGS)]
    pub no_redraw: bool,

    /// Show counters per second, over the time since the reading before
    #[arg(long, help_heading = READINGS)]
    pub rate: bool,

    /// Sort by a column, largest first, or smallest first with :asc. The columns are the members of
    /// keys and values, and of histograms total, average, p50, p90, p99 and max
    #[arg(long, value_name = "COLUMN[:asc]", value_parser = sort, help_heading = READINGS)]
    pub sort: Option<Sort>,

    /// Show the first N entries of each reading
    #[arg(long, value_name = "N", help_heading = READINGS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// Put entries together whose keys have the same member: their counters are added, and of other
    /// numbers, as a maximum, the largest is shown
    #[arg(long, value_name = "MEMBER", conflicts_with = "merge", help_heading = READINGS)]
    pub by: Option<String>,

    /// Put all entries of a map together
    #[arg(long, help_heading = READINGS)]
    pub merge: bool,

    /// Keep apart what each CPU counted, in maps that have a value for each CPU
    #[arg(long, help_heading = READINGS)]
    pub per_cpu: bool,

    /// Print the time before each reading (in text)
    #[arg(short = 'T', long)]
    pub timestamp: bool,

    /// Run programs that sample (perf_event) this many times a second on each CPU, whatever the
    /// package says
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub frequency: Option<u64>,

    /// Only this process: by the package's argument for one, or of what is shown. Probes of user
    /// functions are in this process only, whose files, perhaps in a container, are meant
    #[arg(short, long, value_name = "PID", help_heading = SCOPE, value_parser = pid)]
    pub pid: Option<PidArg>,

    /// Only threads of this name: by the package's argument for one, or of what is shown
    #[arg(long, value_name = "NAME", help_heading = SCOPE)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub comm: Option<String>,

    /// Only this cgroup: by the package's argument for one, or of what is shown. The cgroup of all
    /// programs that are attached to one, and of those that filter by one: a path below /sys/fs/cgroup
    #[arg(long, value_name = "PATH", help_heading = SCOPE)]
    pub cgroup: Option<PathBuf>,

    /// Only this container of docker, containerd, cri-o or podman, as by its cgroup; the beginning of
    /// its id is enough
    #[arg(long, value_name = "ID", help_heading = SCOPE, conflicts_with = "cgroup")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub container: Option<String>,

    /// Attach a program, or all that a pattern (read_*) names, to a target: uprobe:FILE:FUNCTION,
    /// usdt:FILE:PROVIDER:NAME, kprobe:FUNCTION, tp:CATEGORY/NAME, xdp:INTERFACE,
    /// tc:INTERFACE/egress, cgroup:PATH, perf:EVENT@99hz and others (see runner/README.md), or off;
    /// repeatable
    #[arg(long, value_name = "PROGRAM=TARGET", value_parser = attach, help_heading = TARGETS)]
    pub attach: Vec<AttachArg>,

    /// The network interface of all programs that are attached to one: a name or a number
    #[arg(long, value_name = "NAME", help_heading = TARGETS)]
    pub interface: Option<String>,

    /// The program or library of all probes of user functions whose section names none. A name is
    /// searched as the shell, or the dynamic loader, would
    #[arg(long, value_name = "FILE", help_heading = TARGETS)]
    pub binary: Option<String>,

    /// Put a value into a map before programs are attached; repeatable. The value is text as the
    /// type of the map says; a program's name in a map of programs, an interface in a map of devices,
    /// a path in a map of cgroups
    #[arg(long, value_name = "MAP=KEY:VALUE", value_parser = map_set, help_heading = TARGETS)]
    pub map_set: Vec<MapSetArg>,

    /// Replace the XDP program that another one has attached. It comes back at the end, but not
    /// after kill -9
    #[arg(long, help_heading = TARGETS)]
    pub force: bool,

    /// Attach what can be attached, and report the rest
    #[arg(long, help_heading = TARGETS)]
    pub loose: bool,

    /// Make a map with this many entries, a ring buffer with at least this many bytes, whatever the
    /// package says
    #[arg(long, value_name = "MAP=N", value_parser = map_entries)]
    pub map_entries: Vec<(String, u32)>,

    /// Memory that all maps of the package may take: 512M, 8G. A quarter of the machine's memory
    /// unless given. ecli itself takes 256M at the most for what it reads, or this, if it is given
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub max_memory: Option<u64>,

    /// Show at most this many keys of a map in each reading, those with the largest counts. The
    /// others are counted and reported
    #[arg(long, value_name = "N", default_value_t = MAX_KEYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_keys: u32,

    /// Let the package pin maps, below this directory of a BPF file system. Without it, a package
    /// that pins maps is refused
    #[arg(long, value_name = "DIR")]
    pub pin: Option<PathBuf>,

    /// Attach every program, alternatives for the same event too (which then count twice)
    #[arg(long)]
    pub attach_all: bool,

    /// Attach this program even if an alternative is better
    #[arg(long = "with", value_name = "PROGRAM")]
    pub with: Vec<String>,

    /// Do not load this program
    #[arg(long = "without", value_name = "PROGRAM")]
    pub without: Vec<String>,

    /// Load the programs as they are in the package, without counting what their buffers lose
    #[arg(long)]
    pub as_is: bool,

    /// Have a Wasm module see what is found before it is shown; repeatable: each sees what the one
    /// before it lets through
    #[arg(long, value_name = "FILE", help_heading = WASM)]
    pub wasm: Vec<PathBuf>,

    /// Tell the modules a value; NAME:KEY=VALUE tells one, by its file's name
    #[arg(long, value_name = "KEY=VALUE", value_parser = wasm_arg, help_heading = WASM)]
    pub wasm_arg: Vec<WasmArg>,

    /// Leave the modules out that the package brings
    #[arg(long, help_heading = WASM)]
    pub no_wasm: bool,

    /// Memory that a module may have: 64M, 1G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    #[arg(help_heading = WASM)]
    pub wasm_memory: usize,

    /// How long a call of a module may take: 500ms, 2 (seconds)
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    #[arg(help_heading = WASM)]
    pub wasm_time: Duration,

    /// Give modules a variable of the environment, or NAME with the value it has here
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = WASM)]
    pub wasm_env: Vec<String>,

    /// Let modules read the files below a folder
    #[arg(long, value_name = "DIR", help_heading = WASM)]
    pub wasm_dir: Vec<PathBuf>,

    /// Keep compiled modules here, or, with `none`, nowhere
    #[arg(long, value_name = "DIR", default_value = "/var/cache/bpfpack", help_heading = WASM)]
    pub wasm_cache: PathBuf,

    /// Say nothing but errors on stderr
    #[arg(short, long)]
    pub quiet: bool,

    /// Tell what is done, with libbpf's messages
    #[arg(short, long)]
    pub verbose: bool,

    /// What the package is: json or wasm. Guessed, whatever is given
    #[arg(long, value_name = "TYPE", hide = true, value_parser = TYPES, ignore_case = true)]
    pub prog_type: Option<String>,

    /// The package, or a Wasm module that is a whole tracer (a file, or - for standard input); then
    /// arguments that are its own (`ecli run PACKAGE --help` lists them), and options as above where
    /// it has none of the name. Behind `--`, a command: it is started when all is attached, and
    /// traced until it ends
    #[arg(value_name = "PACKAGE", required = true, allow_hyphen_values = true)]
    #[arg(trailing_var_arg = true)]
    pub command_line: Vec<OsString>,
}

impl Run {
    /// Settles what is meant. No file is touched.
    fn plan(
        self,
        package: Origin,
        arguments: Vec<String>,
        command: Option<Vec<OsString>>,
    ) -> Result<Plan, Failure> {
        let run = self;
        if run.lines && !cfg!(feature = "debug-info") {
            let text = "--lines: this ecli was built without what reads debugging information";
            return Err(usage(text.to_owned()).hint("build it with its default features"));
        }
        let format = match (run.json, run.heatmap) {
            (true, _) => formats::named("json").unwrap_or(formats::TEXT),
            (_, true) => formats::HEAT_MAP,
            _ => run.format.unwrap_or(formats::TEXT),
        };
        let outputs = outputs(format, run.output)?;
        if outputs.iter().any(|output| !output.format.is_structured) && !run.fields.is_empty() {
            let text = "--fields chooses members, and --format raw knows none: it shows all bytes";
            return Err(usage(text.to_owned()));
        }
        let has_heat_map = outputs.iter().any(|output| output.format == formats::HEAT_MAP);
        Ok(Plan {
            package,
            arguments,
            command,
            outputs,
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
            program: "/proc/self/exe".into(),
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
            wasm: WasmPlan {
                modules: run.wasm,
                arguments: run.wasm_arg,
                only_given: run.no_wasm,
                memory: run.wasm_memory,
                time: run.wasm_time,
                environment: run.wasm_env.iter().map(|text| variable(text)).collect(),
                directories: run.wasm_dir,
                cache: Some(run.wasm_cache).filter(|dir| dir.as_os_str() != "none"),
            },
            quiet: run.quiet,
            verbose: run.verbose,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan(args: &[&str]) -> Result<Plan, String> {
        let words = [&["ecli"], args].concat().iter().map(OsString::from).collect();
        let args = Args::of(words).map_err(|error| error.to_string())?;
        // As of a module: what is behind the name is not looked at.
        args.of_module().map_err(|failure| failure.message())
    }

    #[test]
    fn options_before_the_package_are_ours_and_after_it_the_packages() {
        let p = plan(&["run", "-j", "--interval", "2s", "package.json", "-j", "--help"]).unwrap();
        assert_eq!(p.package, Origin::File("package.json".into()));
        assert!(p.outputs[0].format.name == "json" && p.interval == Some(Duration::from_secs(2)));
        assert_eq!(p.arguments, ["package.json", "-j", "--help"]);
        let p = plan(&["package.json", "--pid", "3"]).unwrap();
        assert_eq!(p.arguments, ["package.json", "--pid", "3"]);
        assert_eq!(plan(&["run", "-"]).unwrap().package, Origin::Stdin);
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
        assert!(plan(&["run", "https://example.org/p.json"]).is_err());
        assert!(plan(&["run"]).is_err());
    }
}
