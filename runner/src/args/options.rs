// SPDX-License-Identifier: MIT
//! The options of `ecli run`. The doc comments are the help: one or two sentences each, with short
//! value names, so that each line fits 80 columns.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bpfpack_render::{FormatKind, TimeColumn};
use bpfpack_stage::Sort;
use clap::builder::{NonEmptyStringValueParser, Resettable};
use clap::{ArgAction, Parser};

use super::values::{
    OutputArg, PidArg, TYPES, attach, duration, format_parser, map_entries, map_set, memory,
    output_parser, pid, size, sort, time_parser, wasm_arg,
};
use super::{AttachArg, MapSetArg, MetricsOptions, PullWhen, WasmArg};

/// Default for the number of keys of a map that a reading shows. Public tracers declare maps of
/// 10,240.
const MAX_KEYS: u32 = 65_536;

// The headings of the help, in the order of display.
const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const SELECTION: &str = "Selection";
const READINGS: &str = "Readings of maps";
const RUN: &str = "Run";
const SCOPE: &str = "Scope";
const TARGETS: &str = "Targets";
const PROGRAMS: &str = "Programs and maps";
const WASM: &str = "Wasm modules";

/// The end of the help.
const VALUES: &str = "\
Values:
  TIME    a number with ms, s, m or h; seconds without a unit
  SIZE    a number with K, M or G
  EXPR    for example 'comm == dd && lat_us > 1ms', 'pid in (1, 2)' or
          'path ~ \"^/etc\"'
  COLUMN  a member of the key or the value; of histograms also total, average,
          p50, p90, p99 and max
  TARGET  kprobe:FUNCTION, tp:CATEGORY/NAME, uprobe:FILE:FUNCTION,
          usdt:FILE:PROVIDER:NAME, xdp:INTERFACE, tc:INTERFACE/egress,
          cgroup:PATH, perf:EVENT@99hz and others; off attaches nothing

`ecli run PACKAGE --help` lists the arguments of a package. The reference of all
options is runner/README.md.";

/// The options of `ecli run`.
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 80, disable_help_flag = true, next_help_heading = OUTPUT)]
#[command(
    override_usage = "ecli run [OPTIONS] PACKAGE [ARGUMENTS AND OPTIONS] [-- COMMAND...]\n       \
    ecli run [OPTIONS] MODULE.wasm [ARGUMENTS]"
)]
#[command(after_help = VALUES)]
pub struct Run {
    /// Use only packages that were downloaded before; the same as --pull never
    #[arg(long, conflicts_with = "pull", help_heading = INPUT)]
    pub offline: bool,

    /// Download a package always, only if it is missing in the cache, or never
    #[arg(long, value_name = "WHEN", default_value = "always", help_heading = INPUT)]
    #[arg(hide_possible_values = true)]
    pub pull: PullWhen,

    /// Verify the package with this signature instead of the one beside it
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub signature: Option<PathBuf>,

    /// Connect to registries without TLS
    #[arg(long, help_heading = INPUT)]
    pub insecure: bool,

    /// Run a downloaded package without asking, even if it can do more than observe
    #[arg(short, long, help_heading = INPUT)]
    pub yes: bool,

    /// Keep downloaded packages in this directory; `none` keeps nothing [default:
    /// /var/cache/bpfpack/packages, or ~/.cache/bpfpack/packages without root]
    #[arg(long, value_name = "DIR", help_heading = INPUT)]
    pub package_cache: Option<PathBuf>,

    /// Print one JSON object per line; the same as --format json
    #[arg(short, long)]
    pub json: bool,

    /// Set the format: text, json, csv, tsv, yaml, heatmap or raw
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json")]
    #[arg(hide_possible_values = true, value_parser = format_parser())]
    pub format: Option<&'static FormatKind>,

    /// Write to FILE instead of standard output (-). FORMAT:FILE adds an output with its own
    /// format; repeatable
    #[arg(short, long, value_name = "[FORMAT:]FILE", value_parser = output_parser())]
    pub output: Vec<OutputArg>,

    /// Print a time before each record: none, wall, boot or delta
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    #[arg(value_parser = time_parser())]
    pub time: Option<TimeColumn>,

    /// Print the time before each reading
    #[arg(short = 'T', long)]
    pub timestamp: bool,

    /// Print bare numbers in text, not their meanings
    #[arg(long, conflicts_with = "decode")]
    pub raw: bool,

    /// Print the meanings of numbers, and stacks as function names, in all formats
    #[arg(long)]
    pub decode: bool,

    /// Print the source file and line of each function in stacks
    #[arg(long)]
    pub lines: bool,

    /// Options for metrics
    #[command(flatten)]
    pub metrics: MetricsOptions,

    /// Show only this map, buffer or variable; repeatable
    #[arg(long, value_name = "MAP", help_heading = SELECTION)]
    pub only: Vec<String>,

    /// Show only these members of records, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = SELECTION)]
    pub fields: Vec<String>,

    /// Show only records and map entries for which EXPR is true; repeatable
    #[arg(long, value_name = "EXPR", help_heading = SELECTION)]
    pub filter: Vec<String>,

    /// End after the first record, or reading with an entry, for which EXPR is true
    #[arg(long, value_name = "EXPR", help_heading = SELECTION)]
    pub until: Option<String>,

    /// Read maps at this interval; overrides the package
    #[arg(short, long, value_name = "TIME", value_parser = duration, help_heading = SELECTION)]
    pub interval: Option<Duration>,

    /// Sort by a column, largest first, or smallest first with :asc
    #[arg(long, value_name = "COLUMN[:asc]", value_parser = sort, help_heading = READINGS)]
    pub sort: Option<Sort>,

    /// Show only the first N entries
    #[arg(long, value_name = "N", help_heading = READINGS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// Merge entries whose keys have the same value of this member
    #[arg(long, value_name = "MEMBER", conflicts_with = "merge", help_heading = READINGS)]
    pub by: Option<String>,

    /// Merge all entries of a map
    #[arg(long, help_heading = READINGS)]
    pub merge: bool,

    /// Show an entry for each CPU in per-CPU maps
    #[arg(long, help_heading = READINGS)]
    pub per_cpu: bool,

    /// Show the change since the previous reading, not the total
    #[arg(long, help_heading = READINGS)]
    pub clear: bool,

    /// Show counters per second
    #[arg(long, help_heading = READINGS)]
    pub rate: bool,

    /// Draw histograms over time; the same as --format heatmap
    #[arg(long, conflicts_with_all = ["json", "format"], help_heading = READINGS)]
    pub heatmap: bool,

    /// Write each reading below the previous one, even on a terminal
    #[arg(long, help_heading = READINGS)]
    pub no_redraw: bool,

    /// End after this time, with a last reading
    #[arg(short, long, value_name = "TIME", value_parser = duration, help_heading = RUN)]
    pub duration: Option<Duration>,

    /// End after N readings of each map; if only records are shown, after N records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(help_heading = RUN)]
    pub count: Option<u64>,

    /// Show the first record, or the first reading with data, and end
    #[arg(long, conflicts_with = "count", help_heading = RUN)]
    pub once: bool,

    /// End with exit code 8 if records were lost
    #[arg(long, help_heading = RUN)]
    pub strict: bool,

    /// Run in the background under this name; see `ecli ps`, `ecli read` and `ecli stop`
    #[arg(long, value_name = "NAME", help_heading = RUN)]
    pub detach: Option<String>,

    /// The directory of all runs in the background; for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub run_directory: Option<PathBuf>,

    /// Print only errors on standard error
    #[arg(short, long, help_heading = RUN)]
    pub quiet: bool,

    /// Also print the messages of libbpf, with the complete log of the verifier
    #[arg(short, long, help_heading = RUN)]
    pub verbose: bool,

    /// Print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = RUN)]
    pub help: Option<bool>,

    /// Trace only this process
    #[arg(short, long, value_name = "PID", help_heading = SCOPE, value_parser = pid)]
    pub pid: Option<PidArg>,

    /// Trace only threads with this name
    #[arg(long, value_name = "NAME", help_heading = SCOPE)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub comm: Option<String>,

    /// Trace only this cgroup, a directory of the cgroup v2 hierarchy
    #[arg(long, value_name = "PATH", help_heading = SCOPE)]
    pub cgroup: Option<PathBuf>,

    /// Trace only this container; the beginning of its ID is enough
    #[arg(long, value_name = "ID", help_heading = SCOPE, conflicts_with = "cgroup")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub container: Option<String>,

    /// Attach a program, or all that match a pattern (read_*), to this target; repeatable
    #[arg(long, value_name = "PROG=TARGET", value_parser = attach, help_heading = TARGETS)]
    pub attach: Vec<AttachArg>,

    /// Set the network interface, by name or number, for all programs that attach to one
    #[arg(long, value_name = "NAME", help_heading = TARGETS)]
    pub interface: Option<String>,

    /// Set the program or library for probes of user functions whose section names none
    #[arg(long, value_name = "FILE", help_heading = TARGETS)]
    pub binary: Option<String>,

    /// Put a value into a map before programs are attached; repeatable
    #[arg(long, value_name = "MAP=KEY:VAL", value_parser = map_set, help_heading = TARGETS)]
    pub map_set: Vec<MapSetArg>,

    /// Replace an XDP program that is already attached. ecli restores it at the end, but not after
    /// kill -9
    #[arg(long, help_heading = TARGETS)]
    pub force: bool,

    /// Attach what can be attached, and report the rest
    #[arg(long, help_heading = TARGETS)]
    pub loose: bool,

    /// Attach every program, including alternatives for the same event
    #[arg(long, help_heading = PROGRAMS)]
    pub attach_all: bool,

    /// Attach this program instead of its alternatives; repeatable
    #[arg(long = "with", value_name = "PROGRAM", help_heading = PROGRAMS)]
    pub with: Vec<String>,

    /// Do not load this program; repeatable
    #[arg(long = "without", value_name = "PROGRAM", help_heading = PROGRAMS)]
    pub without: Vec<String>,

    /// Load the programs unchanged, without counting losses
    #[arg(long, help_heading = PROGRAMS)]
    pub as_is: bool,

    /// Refuse the package unless its programs only observe; `ecli inspect` shows what they can do
    #[arg(long, help_heading = PROGRAMS)]
    pub observe_only: bool,

    /// A file with more rules for packages, in addition to those of the machine; for tests
    #[arg(long, value_name = "FILE", hide = true)]
    pub policy: Option<PathBuf>,

    /// Run perf_event programs this many times per second on each CPU; overrides the package
    #[arg(long, value_name = "HZ", help_heading = PROGRAMS)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub frequency: Option<u64>,

    /// Create a map with N entries, or a ring buffer with at least N bytes
    #[arg(long, value_name = "MAP=N", value_parser = map_entries, help_heading = PROGRAMS)]
    pub map_entries: Vec<(String, u32)>,

    /// Show at most N entries of a map in each reading, those with the largest counts
    #[arg(long, value_name = "N", default_value_t = MAX_KEYS, help_heading = PROGRAMS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_keys: u32,

    /// Limit the memory of all maps of the package [default: a quarter of the machine's memory]
    #[arg(long, value_name = "SIZE", value_parser = memory, help_heading = PROGRAMS)]
    pub max_memory: Option<u64>,

    /// Allow the package to pin maps below this directory of a BPF file system
    #[arg(long, value_name = "DIR", help_heading = PROGRAMS)]
    pub pin: Option<PathBuf>,

    /// Pass all data through this module before it is shown; repeatable
    #[arg(long, value_name = "FILE", help_heading = WASM)]
    pub wasm: Vec<PathBuf>,

    /// Pass a value to the modules. NAME:KEY=VALUE passes it to one module
    #[arg(long, value_name = "KEY=VALUE", value_parser = wasm_arg, help_heading = WASM)]
    pub wasm_arg: Vec<WasmArg>,

    /// Ignore the modules in the package
    #[arg(long, help_heading = WASM)]
    pub no_wasm: bool,

    /// Limit the memory of a module, from 64K to 4G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    #[arg(help_heading = WASM)]
    pub wasm_memory: usize,

    /// Limit how long one call of a module may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    #[arg(help_heading = WASM)]
    pub wasm_time: Duration,

    /// Pass an environment variable to modules
    #[arg(long, value_name = "NAME[=VAL]", help_heading = WASM)]
    pub wasm_env: Vec<String>,

    /// Let modules read the files below this directory
    #[arg(long, value_name = "DIR", help_heading = WASM)]
    pub wasm_dir: Vec<PathBuf>,

    /// Keep compiled modules in this directory; `none` keeps nothing
    #[arg(long, value_name = "DIR", default_value = "/var/cache/bpfpack", help_heading = WASM)]
    pub wasm_cache: PathBuf,

    /// Ignored: ecli detects whether the package is json or wasm
    #[arg(long, value_name = "TYPE", hide = true, value_parser = TYPES, ignore_case = true)]
    pub prog_type: Option<String>,

    /// The package, or a Wasm module that is a whole tracer: a file, `-` for standard input, a URL
    /// or an image (oci://HOST/NAME:TAG). Arguments of the package and options of ecli may follow.
    /// The command after `--` starts once all programs are attached, and its end ends the run
    #[arg(value_name = "PACKAGE", required = true, allow_hyphen_values = true)]
    #[arg(trailing_var_arg = true, help_heading = Resettable::Reset)]
    pub command_line: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn help_fits_80_columns_and_every_option_has_a_heading() {
        for arg in Run::command().get_opts().filter(|arg| !arg.is_hide_set()) {
            assert!(arg.get_help_heading().is_some(), "{}: no heading", arg.get_id());
            assert!(arg.get_help().is_some(), "{}: no help", arg.get_id());
        }
        let help = Run::try_parse_from(["run", "--help"]).unwrap_err().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for heading in [OUTPUT, SELECTION, READINGS, RUN, SCOPE, TARGETS, PROGRAMS, WASM] {
            assert!(help.contains(&format!("\n{heading}:\n")), "{heading}");
        }
        assert!(!help.contains("Options:"), "{help}");
    }
}
