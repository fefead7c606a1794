// SPDX-License-Identifier: MIT
//! The names of the metrics of ecli itself that dashboards and rules refer to. The names of counters
//! have no `_total`, as in families.

/// The package that runs: an info.
pub(crate) const PACKAGE: &str = "bpfpack_package";
/// Records that were read, a counter for each source.
pub(crate) const RECORDS: &str = "bpfpack_records";
/// Records that were lost, a counter for each source.
pub(crate) const LOST: &str = "bpfpack_lost_records";
/// Records that were lost somewhere, a counter.
pub(crate) const LOST_SOMEWHERE: &str = "bpfpack_lost_records_of_unknown_buffer";
/// Records that are too short, a counter for each source.
pub(crate) const MALFORMED: &str = "bpfpack_malformed_records";
/// Elements of a map, a gauge.
pub(crate) const ELEMENTS: &str = "bpfpack_map_elements";
/// The room of a map, a gauge.
pub(crate) const MAX_ELEMENTS: &str = "bpfpack_map_max_elements";
/// Runs of a program, a counter.
pub(crate) const RUNS: &str = "bpfpack_program_runs";
/// Seconds that a program ran, a counter.
pub(crate) const RUN_SECONDS: &str = "bpfpack_program_run_seconds";
/// Keys beyond the limit on series, a counter for each source.
pub(crate) const MERGED: &str = "bpfpack_merged_keys";
/// The duration of a scrape, a gauge.
pub(crate) const SCRAPE_SECONDS: &str = "bpfpack_scrape_duration_seconds";
/// CPU time of the process, a counter.
pub(crate) const CPU_SECONDS: &str = "process_cpu_seconds";
/// Memory of the process, a gauge.
pub(crate) const MEMORY: &str = "process_resident_memory_bytes";
/// Whether a tracer of `ecli serve` runs, a gauge.
pub(crate) const TRACER_UP: &str = "bpfpack_tracer_up";
/// The label of the tracer in all metrics of `ecli serve`.
pub(crate) const TRACER: &str = "tracer";
