// SPDX-License-Identifier: MIT
//! What is to be done, as it is meant: [`Plan`].

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use bpfpack_filter::Expr;
use bpfpack_render::{FormatKind, TimeColumn, formats};
use bpfpack_stage::Arrangement;

/// Bytes that ecli takes for what it reads unless the command line says otherwise.
const MEMORY: u64 = 256 << 20;

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Wasm modules, and what they may do.
#[derive(Debug)]
pub struct WasmPlan {
    /// Post-processors, in the order of what they see.
    pub modules: Vec<PathBuf>,
    /// What they are told.
    pub arguments: Vec<WasmArg>,
    /// Those of the package are left out.
    pub only_given: bool,
    /// Bytes of memory.
    pub memory: usize,
    /// Time for a call.
    pub time: Duration,
    /// Their environment.
    pub environment: Vec<(String, String)>,
    /// The folders that they may read.
    pub directories: Vec<PathBuf>,
    /// Where they are kept once they are compiled.
    pub cache: Option<PathBuf>,
}

/// A value that modules are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmArg {
    /// The module; all where none is named.
    pub module: Option<String>,
    /// The value's name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A target for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachArg {
    /// The programs' names, as a pattern.
    pub pattern: String,
    /// What kind of hook it is.
    pub kind: String,
    /// Which one; none where they are not to be loaded.
    pub target: Option<String>,
}

/// A value for a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSetArg {
    /// The map's name.
    pub map: String,
    /// The key, as text.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

/// An output that is asked for.
#[derive(Clone, PartialEq)]
pub struct OutputPlan {
    /// How frames look.
    pub format: &'static FormatKind,
    /// The file; standard output where there is none.
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
    /// Whether it is text for somebody who looks at a terminal.
    pub(crate) fn is_screen(&self) -> bool {
        self.format == formats::TEXT && self.is_terminal()
    }

    /// The same, drawn in place where that is asked for and it can be.
    pub(crate) fn on_screen(&self, is_live: bool) -> OutputPlan {
        let is_live = is_live && self.is_screen();
        OutputPlan { format: if is_live { formats::LIVE } else { self.format }, ..self.clone() }
    }

    /// Whether it goes to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_none() && std::io::stdout().is_terminal()
    }
}

/// Whether histograms are drawn over time.
pub(super) fn has_heat_map(outputs: &[OutputPlan]) -> bool {
    outputs.iter().any(|output| output.format == formats::HEAT_MAP)
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The package.
    pub package: Origin,
    /// The package's own arguments, the first being its name.
    pub arguments: Vec<String>,
    /// A command that is run while there is tracing.
    pub command: Option<Vec<OsString>>,
    /// Where frames go, and how they look there.
    pub outputs: Vec<OutputPlan>,
    /// What is kept of records and readings: all have to hold.
    pub filters: Vec<Expr>,
    /// What ends the run once it is shown.
    pub until: Option<Expr>,
    /// The members of records that are shown; all where there are none.
    pub fields: Vec<String>,
    /// The maps and buffers that are shown; all where there are none.
    pub only: Vec<String>,
    /// The time before each record, if not what is usual in the format.
    pub time: Option<TimeColumn>,
    /// Bare numbers in text.
    pub raw: bool,
    /// What numbers stand for in the other formats.
    pub decode: bool,
    /// Files and lines of addresses.
    pub lines: bool,
    /// A loss is a failure.
    pub strict: bool,
    /// How often programs sample, if not as the package says.
    pub frequency: Option<u64>,
    /// Time between two readings, if not the package's.
    pub interval: Option<Duration>,
    /// Readings until it ends.
    pub count: Option<u64>,
    /// It ends with the first record, or the first reading of each view.
    pub once: bool,
    /// Time until it ends.
    pub duration: Option<Duration>,
    /// Differences from reading to reading, even where the package does not ask for them.
    pub clear: bool,
    /// Readings are not drawn in place.
    pub no_redraw: bool,
    /// What each CPU counted is kept apart.
    pub per_cpu: bool,
    /// How readings are arranged.
    pub arrangement: Arrangement,
    /// The time before each reading of a histogram.
    pub timestamp: bool,
    /// The cgroup that is traced, the target of programs and content of maps.
    pub cgroup: Option<PathBuf>,
    /// How many entries maps are made with.
    pub map_entries: Vec<(String, u32)>,
    /// Bytes that maps may take, and ecli for what it reads of them.
    pub max_memory: Option<u64>,
    /// Keys of a map that a reading shows.
    pub max_keys: usize,
    /// Where maps may be pinned.
    pub pin: Option<PathBuf>,
    /// The program that reads the files of other processes, or waits to become the command, when it
    /// is started under a name of its own: ecli.
    pub program: PathBuf,
    /// Targets of programs, the last one counting.
    pub attach: Vec<AttachArg>,
    /// The interface of all programs that want one.
    pub interface: Option<String>,
    /// The program or library of all user functions whose section names none.
    pub binary: Option<String>,
    /// The process that is traced, whose user functions are probed.
    pub process: Option<u32>,
    /// The name of the threads that are traced.
    pub comm: Option<String>,
    /// The container that is traced.
    pub container: Option<String>,
    /// What others have attached is replaced.
    pub force: bool,
    /// What cannot be attached is left out.
    pub loose: bool,
    /// Values that maps get before anything is attached.
    pub map_set: Vec<MapSetArg>,
    /// No choice among alternatives.
    pub attach_all: bool,
    /// Programs that are loaded in any case.
    pub with: Vec<String>,
    /// Programs that are not loaded.
    pub without: Vec<String>,
    /// The object is loaded without counts.
    pub as_is: bool,
    /// What concerns Wasm modules.
    pub wasm: WasmPlan,
    /// Only errors on stderr.
    pub quiet: bool,
    /// Everything on stderr.
    pub verbose: bool,
}

impl Plan {
    /// Whether histograms are drawn over time.
    pub(crate) fn has_heat_map(&self) -> bool {
        has_heat_map(&self.outputs)
    }

    /// Bytes that ecli may take for what it reads.
    pub fn memory(&self) -> u64 {
        self.max_memory.unwrap_or(MEMORY)
    }
}
