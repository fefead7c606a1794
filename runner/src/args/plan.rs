// SPDX-License-Identifier: MIT
//! [`Plan`]: the command line, resolved.

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use bpfpack_filter::Expr;
use bpfpack_render::{FormatKind, TimeColumn, formats};
use bpfpack_stage::Arrangement;
use clap::ValueEnum;

use super::MetricsPlan;

/// Default limit of memory for the data that ecli reads, in bytes.
const MEMORY: u64 = 256 << 20;

/// This program. A standalone executable has its package there, too.
pub(crate) const OWN: &str = "/proc/self/exe";

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// This program itself: the package is behind it.
    Own,
    /// Another machine.
    Remote(Remote),
}

/// A package on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// `http://…` or `https://…`, with or without `#sha256=…`.
    Url(String),
    /// An image in a registry: `oci://HOST/NAME:TAG`, or the same without `oci://`.
    Image(String),
}

/// When to download a package that the cache has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PullWhen {
    /// Always, unless its digest is known.
    #[default]
    Always,
    /// Not at all.
    Missing,
    /// Not even if the cache does not have it.
    Never,
}

/// Where a package comes from, and what is asked of it before it is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPlan {
    /// Where it comes from.
    pub origin: Origin,
    /// When to download it.
    pub pull: PullWhen,
    /// Whether to connect to registries without TLS.
    pub insecure: bool,
    /// Its signature; `None` looks for one beside it.
    pub signature: Option<PathBuf>,
    /// The directory of downloaded packages; `None` keeps nothing.
    pub cache: Option<PathBuf>,
    /// A file with more rules for packages than those of the machine.
    pub policy: Option<PathBuf>,
    /// Whether the user has confirmed that it may do more than observe.
    pub yes: bool,
    /// Whether notes are left out.
    pub quiet: bool,
}

/// Wasm modules and their limits.
#[derive(Debug)]
pub struct WasmPlan {
    /// Post-processors, in the order in which data passes through them.
    pub modules: Vec<PathBuf>,
    /// Values that are passed to the modules.
    pub arguments: Vec<WasmArg>,
    /// Whether to ignore the modules in the package.
    pub only_given: bool,
    /// Memory limit of a module, in bytes.
    pub memory: usize,
    /// Time limit of one call.
    pub time: Duration,
    /// The modules' environment variables: name, value.
    pub environment: Vec<(String, String)>,
    /// Directories that the modules may read.
    pub directories: Vec<PathBuf>,
    /// Directory for compiled modules; `None` keeps nothing.
    pub cache: Option<PathBuf>,
}

/// A value that is passed to modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmArg {
    /// The module; `None` passes the value to all.
    pub module: Option<String>,
    /// The value's name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A target for programs, from `--attach`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachArg {
    /// A pattern for the programs' names.
    pub pattern: String,
    /// The kind of attach point.
    pub kind: String,
    /// The target; `None` keeps the programs from being loaded.
    pub target: Option<String>,
}

/// A value for a map, from `--map-set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSetArg {
    /// The map's name.
    pub map: String,
    /// The key, as text.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

/// An output: a format and a file.
#[derive(Clone, PartialEq)]
pub struct OutputPlan {
    /// The format.
    pub format: &'static FormatKind,
    /// The file; `None` is standard output.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for OutputPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputPlan")
            .field("format", &self.format.name)
            .field("file", &self.file)
            .finish()
    }
}

impl OutputPlan {
    /// Whether this is text on a terminal.
    pub(crate) fn is_screen(&self) -> bool {
        self.format == formats::TEXT && self.is_terminal()
    }

    /// The same output, with the live format if `is_live` is set and the output is text on a
    /// terminal.
    pub(crate) fn on_screen(&self, is_live: bool) -> OutputPlan {
        let is_live = is_live && self.is_screen();
        OutputPlan { format: if is_live { formats::LIVE } else { self.format }, ..self.clone() }
    }

    /// Whether this output goes to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_none() && std::io::stdout().is_terminal()
    }
}

/// Whether an output draws histograms over time.
pub(super) fn has_heat_map(outputs: &[OutputPlan]) -> bool {
    outputs.iter().any(|output| output.format == formats::HEAT_MAP)
}

/// What to run and how, fully resolved.
#[derive(Debug)]
pub struct Plan {
    /// Where the package comes from.
    pub package: FetchPlan,
    /// The package's arguments; the first is the package's name.
    pub arguments: Vec<String>,
    /// The command to run and trace.
    pub command: Option<Vec<OsString>>,
    /// The outputs.
    pub outputs: Vec<OutputPlan>,
    /// The metrics, if any are served.
    pub metrics: Option<MetricsPlan>,
    /// Filters for records and entries. Something is shown if all filters hold.
    pub filters: Vec<Expr>,
    /// The run ends once something is shown for which this holds.
    pub until: Option<Expr>,
    /// The members of records to show; empty shows all.
    pub fields: Vec<String>,
    /// The maps, buffers and variables to show; empty shows all.
    pub only: Vec<String>,
    /// The time column; `None` is the format's default.
    pub time: Option<TimeColumn>,
    /// Whether text shows bare numbers instead of meanings.
    pub raw: bool,
    /// Whether formats other than text show meanings, too.
    pub decode: bool,
    /// Whether stacks show source files and lines.
    pub lines: bool,
    /// Whether lost records are a failure.
    pub strict: bool,
    /// Samples per second and CPU; `None` leaves it to the package.
    pub frequency: Option<u64>,
    /// Time between two readings; `None` leaves it to the package.
    pub interval: Option<Duration>,
    /// Readings of each map, or records, after which the run ends.
    pub count: Option<u64>,
    /// Whether the run ends after the first record, or the first reading of each view.
    pub once: bool,
    /// Time after which the run ends.
    pub duration: Option<Duration>,
    /// Whether readings show differences even if the package does not ask for them.
    pub clear: bool,
    /// Whether readings are appended, not redrawn in place.
    pub no_redraw: bool,
    /// Whether the values of each CPU are shown separately.
    pub per_cpu: bool,
    /// Grouping, rates and order of readings.
    pub arrangement: Arrangement,
    /// Whether the time is printed before each reading.
    pub timestamp: bool,
    /// The cgroup to trace: the target of cgroup programs, and the content of cgroup maps.
    pub cgroup: Option<PathBuf>,
    /// Sizes of maps: name, number of entries.
    pub map_entries: Vec<(String, u32)>,
    /// Memory limit in bytes: for the maps together, and for the data that ecli reads from them.
    pub max_memory: Option<u64>,
    /// The maximum number of keys of a map in a reading.
    pub max_keys: usize,
    /// The directory below which maps may be pinned.
    pub pin: Option<PathBuf>,
    /// The name of the run, if it goes to the background.
    pub detach: Option<String>,
    /// The directory of all runs in the background; `None` for the usual one.
    pub run_directory: Option<PathBuf>,
    /// The program to start as symbolizer and as waiting process; normally ecli itself.
    pub program: PathBuf,
    /// Targets of programs; the last one for a program wins.
    pub attach: Vec<AttachArg>,
    /// The network interface for all programs that attach to one.
    pub interface: Option<String>,
    /// The program or library for user function probes whose section names none.
    pub binary: Option<String>,
    /// The process to trace; user functions are probed in it.
    pub process: Option<u32>,
    /// The name of the threads to trace.
    pub comm: Option<String>,
    /// The container to trace.
    pub container: Option<String>,
    /// Whether to replace XDP programs that are attached already.
    pub force: bool,
    /// Whether to continue if some programs cannot be attached.
    pub loose: bool,
    /// Values to put into maps before programs are attached.
    pub map_set: Vec<MapSetArg>,
    /// Whether to attach alternatives for the same event, too.
    pub attach_all: bool,
    /// Programs to attach instead of their alternatives.
    pub with: Vec<String>,
    /// Programs not to load.
    pub without: Vec<String>,
    /// Whether to load the object unchanged, without counting losses.
    pub as_is: bool,
    /// Whether to refuse programs that do more than observe.
    pub observe_only: bool,
    /// Options for Wasm modules.
    pub wasm: WasmPlan,
    /// Whether standard error shows only errors.
    pub quiet: bool,
    /// Whether standard error shows libbpf's messages, too.
    pub verbose: bool,
}

impl Plan {
    /// Whether an output draws histograms over time.
    pub(crate) fn has_heat_map(&self) -> bool {
        has_heat_map(&self.outputs)
    }

    /// Limit for the data that ecli reads, in bytes.
    pub fn memory(&self) -> u64 {
        self.max_memory.unwrap_or(MEMORY)
    }
}
