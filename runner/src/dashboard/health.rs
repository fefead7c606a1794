// SPDX-License-Identifier: MIT
//! The panels about ecli itself: what was lost, what is nearly full, what a tracer costs.

use super::panels::{Drawing, Panel, Query, Row, TARGET, TIME, legend};
use super::promql::{ON, increase, of_package, rate, sum, total};
use super::rules::FULL;
use super::subject::Subject;
use crate::metrics::names;

/// The row.
pub(super) fn row(subject: &Subject) -> Row {
    let all = [
        (true, vec![up()]),
        (subject.has_buffers, of_buffers(subject)),
        (subject.has_maps, vec![fill(subject)]),
        (true, of_tracer(subject)),
        (true, of_process()),
    ];
    let panels = all.into_iter().filter(|(is_there, _)| *is_there).flat_map(|(_, panels)| panels);
    Row { title: "Losses and health".to_owned(), panels: panels.collect() }
}

fn up() -> Panel {
    let query = Query::new(of("up"), &legend(&["instance"]));
    lines("Up", "1 if the last scrape of a target succeeded.", "none", vec![query])
}

fn of_buffers(subject: &Subject) -> Vec<Panel> {
    let somewhere = Query {
        legend: format!("{} any buffer", legend(&["instance", names::TRACER])),
        ..by(subject, &[], &increases(names::LOST_SOMEWHERE))
    };
    vec![
        lines(
            "Lost records",
            "Records that were lost because a buffer was full.",
            "short",
            vec![by(subject, &["source"], &increases(names::LOST)), somewhere],
        ),
        lines(
            "Records per second",
            "Records that were read from buffers.",
            "cps",
            vec![by(subject, &["source"], &rates(names::RECORDS))],
        ),
        lines(
            "Malformed records",
            "Records that are shorter than all structs of the package.",
            "short",
            vec![by(subject, &["source"], &increases(names::MALFORMED))],
        ),
    ]
}

fn fill(subject: &Subject) -> Panel {
    let share = format!("{} / {}", of(names::ELEMENTS), of(names::MAX_ELEMENTS));
    let labels = ["instance", names::TRACER, "map"];
    let query = Query::new(only(subject, &share), &legend(&labels));
    let text = "The share of the elements of a map that are in use. A full map counts nothing new.";
    Panel {
        drawing: Drawing::Share { limit: FULL },
        ..lines("Fill of maps", text, "percentunit", vec![query])
    }
}

fn of_tracer(subject: &Subject) -> Vec<Panel> {
    vec![
        lines(
            "Merged keys",
            "Keys that were added to the series `_other_`, because of --max-series.",
            "short",
            vec![by(subject, &["source"], &increases(names::MERGED))],
        ),
        lines(
            "Run time of programs",
            "CPUs that a BPF program takes. It is measured with --run-times, or if \
             kernel.bpf_stats_enabled is 1.",
            "percentunit",
            vec![by(subject, &["program"], &rates(names::RUN_SECONDS))],
        ),
        lines(
            "Runs of programs per second",
            "How often a BPF program runs, measured as its run time is.",
            "cps",
            vec![by(subject, &["program"], &rates(names::RUNS))],
        ),
    ]
}

fn of_process() -> Vec<Panel> {
    let instance = legend(&["instance"]);
    vec![
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
            vec![Query::new(rates(names::CPU_SECONDS), &instance)],
        ),
        lines(
            "Memory of ecli",
            "Resident memory.",
            "bytes",
            vec![Query::new(of(names::MEMORY), &instance)],
        ),
    ]
}

fn lines(title: &str, description: &str, unit: &'static str, queries: Vec<Query>) -> Panel {
    let (title, description) = (title.to_owned(), description.to_owned());
    Panel { title, description, drawing: Drawing::Lines, unit, queries }
}

/// A metric of the selected targets.
fn of(samples: &str) -> String {
    format!("{samples}{{{TARGET}}}")
}

fn increases(name: &str) -> String {
    increase(&of(&total(name)), TIME)
}

fn rates(name: &str) -> String {
    rate(&of(&total(name)), TIME)
}

/// The sums of an expression for each tracer of the package.
fn by(subject: &Subject, labels: &[&str], expr: &str) -> Query {
    let sums = sum(&[&[ON], labels].concat(), expr);
    let legend = legend(&[&["instance", names::TRACER], labels].concat());
    Query::new(only(subject, &sums), &legend)
}

/// What an expression says of tracers that run the package.
fn only(subject: &Subject, expr: &str) -> String {
    format!("{expr} and on ({ON}) {}", of_package(&subject.package, &[]))
}
