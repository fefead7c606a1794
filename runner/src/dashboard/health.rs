// SPDX-License-Identifier: MIT
//! The panels about ecli itself: what was lost, what is nearly full, what a tracer costs.

use super::panels::{Drawing, Panel, Query, Row, TARGET, TIME, legend};
use super::promql::{increase, rate, sum, total};
use super::rules::FULL;
use crate::metrics::names;

/// The row.
pub(super) fn row() -> Row {
    let lines = |title: &str, description: &str, unit: &'static str, queries: Vec<Query>| Panel {
        title: title.to_owned(),
        description: description.to_owned(),
        drawing: Drawing::Lines,
        unit,
        queries,
    };
    let of = |name: &str| format!("{name}{{{TARGET}}}");
    let by = |labels: &[&str], of: String| {
        let labels = [&["instance"], labels].concat();
        Query::new(sum(&labels, &of), &legend(&labels))
    };
    let increases = |name: &str| increase(&of(&total(name)), TIME);
    let rates = |name: &str| rate(&of(&total(name)), TIME);
    let fill = format!("{} / {}", of(names::ELEMENTS), of(names::MAX_ELEMENTS));
    let somewhere = Query {
        legend: "{{instance}} any buffer".to_owned(),
        ..by(&[], increases(names::LOST_SOMEWHERE))
    };
    let panels = vec![
        lines(
            "Up",
            "1 if the last scrape of a target succeeded.",
            "none",
            vec![Query::new(of("up"), &legend(&["instance"]))],
        ),
        lines(
            "Lost records",
            "Records that were lost because a buffer was full.",
            "short",
            vec![by(&["source"], increases(names::LOST)), somewhere],
        ),
        lines(
            "Records per second",
            "Records that were read from buffers.",
            "cps",
            vec![by(&["source"], rates(names::RECORDS))],
        ),
        lines(
            "Malformed records",
            "Records that are shorter than all structs of the package.",
            "short",
            vec![by(&["source"], increases(names::MALFORMED))],
        ),
        Panel {
            drawing: Drawing::Share { limit: FULL },
            ..lines(
                "Fill of maps",
                "Elements of a map, of those that it has room for. A full map counts nothing new.",
                "percentunit",
                vec![Query::new(fill, &legend(&["instance", "map"]))],
            )
        },
        lines(
            "Merged keys",
            "Keys that were added to the series `_other_`, because of --max-series.",
            "short",
            vec![by(&["source"], increases(names::MERGED))],
        ),
        lines(
            "Run time of programs",
            "CPUs that a BPF program takes. It is measured with --run-times, or if \
             kernel.bpf_stats_enabled is 1.",
            "percentunit",
            vec![by(&["program"], rates(names::RUN_SECONDS))],
        ),
        lines(
            "Runs of programs per second",
            "How often a BPF program runs.",
            "cps",
            vec![by(&["program"], rates(names::RUNS))],
        ),
        lines(
            "Duration of scrapes",
            "Until ecli has read all maps and buffers, and until Prometheus has the answer.",
            "s",
            vec![
                Query::new(of(names::SCRAPE_SECONDS), "{{instance}} ecli"),
                Query::new(of("scrape_duration_seconds"), "{{instance}} Prometheus"),
            ],
        ),
        lines(
            "CPU time of ecli",
            "CPUs that ecli takes.",
            "percentunit",
            vec![by(&[], rates(names::CPU_SECONDS))],
        ),
        lines(
            "Memory of ecli",
            "Resident memory.",
            "bytes",
            vec![Query::new(of(names::MEMORY), &legend(&["instance"]))],
        ),
    ];
    Row { title: "Losses and health".to_owned(), panels }
}
