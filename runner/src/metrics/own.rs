// SPDX-License-Identifier: MIT
//! The metrics of ecli itself: records and losses, the fill of maps, the run time of programs, the
//! process.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use bpfpack_metrics::{Family, Kind, Number, Series, Unit, Value};

use super::names;
use super::otlp::{Counts, Signal};
use crate::losses::Losses;
use crate::os;
use crate::source::Buffer;
use crate::sys;

/// The programs of a run, whose times the kernel measures.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    programs: Vec<(String, OwnedFd)>,
    /// As long as it is open, the kernel measures.
    measuring: Option<OwnedFd>,
}

impl Programs {
    /// Programs by name. With `measures`, the kernel measures the run time of all its programs from
    /// now on.
    ///
    /// # Errors
    /// Returns the kernel's error if it cannot measure.
    pub(crate) fn new(
        programs: Vec<(String, OwnedFd)>,
        measures: bool,
    ) -> std::io::Result<Programs> {
        let measuring = measures.then(sys::measure_run_times).transpose()?;
        Ok(Programs { programs, measuring })
    }

    /// Whether the kernel measures, because of this run or for all.
    fn is_measured(&self) -> bool {
        let is_on = || std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled");
        self.measuring.is_some() || is_on().is_ok_and(|text| text.trim() == "1")
    }
}

/// A map that is read, and its elements at the last reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) map: String,
    pub(crate) elements: u64,
    pub(crate) most: u32,
}

/// What is known of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// The name of the package.
    pub(crate) package: &'a str,
    /// The digest of its object.
    pub(crate) digest: &'a str,
    pub(crate) buffers: &'a [Buffer],
    pub(crate) losses: &'a Losses,
    pub(crate) programs: &'a Programs,
    pub(crate) fills: &'a [Fill],
}

/// The families.
pub(crate) fn families(about: &About<'_>) -> Vec<Family> {
    let mut families = vec![info(
        names::PACKAGE,
        "The package that runs; the digest is that of its object.",
        &[("package", about.package), ("sha256", about.digest)],
    )];
    let mut add = |name: &str, help: &str, kind, unit, label: &str, series: Vec<(&str, Number)>| {
        families.push(family(name, help, kind, unit, label, series));
    };
    let counter = Kind::Counter;
    let of_buffers = |number: &dyn Fn(&Buffer) -> Option<u64>| -> Vec<(&str, Number)> {
        let of = |buffer| Some((buffer, number(buffer)?));
        let all = about.buffers.iter().filter_map(of);
        all.map(|(buffer, number)| (&*buffer.stream.name, Number::Unsigned(number))).collect()
    };
    if !about.buffers.is_empty() {
        let help = "Records that were read from a buffer.";
        let taken = of_buffers(&|buffer| Some(buffer.taken));
        add(names::RECORDS, help, counter, None, "source", taken);
        let help = "Records that were lost because a buffer was full.";
        let lost = of_buffers(&|buffer| about.losses.of(buffer));
        add(names::LOST, help, counter, None, "source", lost);
        let help = "Records that are shorter than all structs of the package.";
        let malformed = of_buffers(&|buffer| Some(buffer.malformed));
        add(names::MALFORMED, help, counter, None, "source", malformed);
        let help = "Records that were lost in an unknown buffer.";
        let lost = vec![("", Number::Unsigned(about.losses.somewhere()))];
        add(names::LOST_SOMEWHERE, help, counter, None, "", lost);
    }
    if !about.fills.is_empty() {
        let of = |number: &dyn Fn(&Fill) -> u64| -> Vec<(&str, Number)> {
            let all = about.fills.iter();
            all.map(|fill| (&*fill.map, Number::Unsigned(number(fill)))).collect()
        };
        let help = "Elements in a map.";
        add(names::ELEMENTS, help, Kind::Gauge, None, "map", of(&|fill| fill.elements));
        let help = "Elements that a map has room for.";
        add(names::MAX_ELEMENTS, help, Kind::Gauge, None, "map", of(&|f| f.most.into()));
    }
    if about.programs.is_measured() {
        let times: Vec<(&str, sys::RunTimes)> = about
            .programs
            .programs
            .iter()
            .filter_map(|(name, fd)| Some((&**name, sys::run_times(fd).ok()?)))
            .collect();
        let runs = times.iter().map(|(name, it)| (*name, Number::Unsigned(it.runs))).collect();
        let help = "How often a BPF program ran.";
        add(names::RUNS, help, counter, None, "program", runs);
        let seconds = |time: &sys::RunTimes| Number::Float(time.time.as_secs_f64());
        let seconds = times.iter().map(|(name, time)| (*name, seconds(time))).collect();
        let help = "How long a BPF program ran.";
        let unit = Some(Unit::Seconds);
        add(names::RUN_SECONDS, help, counter, unit, "program", seconds);
    }
    families
}

/// The families of the process. `taken` is the time since the scrape began.
pub(super) fn process(start: SystemTime, taken: Duration) -> Vec<Family> {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let mut families = vec![info("bpfpack_build", "The version of ecli.", &version)];
    let mut add = |name: &str, help: &str, kind, unit, number| {
        families.push(family(name, help, kind, unit, "", vec![("", number)]));
    };
    let (counter, gauge, seconds) = (Kind::Counter, Kind::Gauge, Some(Unit::Seconds));
    if let Some(usage) = os::usage() {
        let cpu = Number::Float(usage.cpu.as_secs_f64());
        add(names::CPU_SECONDS, "CPU time of ecli.", counter, seconds, cpu);
        let help = "Memory of ecli that is resident.";
        let resident = Number::Unsigned(usage.resident);
        add(names::MEMORY, help, gauge, Some(Unit::Bytes), resident);
    }
    let since = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since = Number::Float(since.as_secs_f64());
    let help = "When ecli began to serve metrics, in seconds since 1970.";
    add("process_start_time_seconds", help, gauge, seconds, since);
    let help = "How long this scrape took: reading maps and buffers.";
    let taken = Number::Float(taken.as_secs_f64());
    add(names::SCRAPE_SECONDS, help, gauge, seconds, taken);
    families
}

/// A family of integers, each with the value of its only label; without a label if its name is empty.
pub(crate) fn number_family(
    name: &str,
    help: &str,
    is_counter: bool,
    label: &str,
    series: &[(&str, u64)],
) -> Family {
    let kind = if is_counter { Kind::Counter } else { Kind::Gauge };
    let series = series.iter().map(|(value, number)| (*value, Number::Unsigned(*number)));
    family(name, help, kind, None, label, series.collect())
}

/// The family of what exceeded the limit on series.
pub(super) fn merged<'m>(merged: impl Iterator<Item = (&'m str, u64)>) -> Family {
    let series = merged.map(|(source, keys)| (source, Number::Unsigned(keys))).collect();
    let help = "Keys that were added to the series `_other_`, because of --max-series.";
    family(names::MERGED, help, Kind::Counter, None, "source", series)
}

/// The families of what was sent by OTLP.
pub(super) fn exported(counts: &Counts) -> [Family; 2] {
    let series = |number: &dyn Fn(Signal) -> u64| {
        let of = |signal: Signal| (signal.name(), Number::Unsigned(number(signal)));
        Signal::ALL.into_iter().map(of).collect()
    };
    let counter = Kind::Counter;
    let help = "Values of metrics and log records that the OTLP receiver accepted.";
    let delivered = series(&|signal| counts.delivered(signal));
    let delivered = family("bpfpack_otlp_delivered", help, counter, None, "signal", delivered);
    let help = "Values of metrics and records of logs that were not delivered by OTLP.";
    let lost = series(&|signal| counts.lost(signal));
    [delivered, family("bpfpack_otlp_lost", help, counter, None, "signal", lost)]
}

fn family(
    name: &str,
    help: &str,
    kind: Kind,
    unit: Option<Unit>,
    label: &str,
    series: Vec<(&str, Number)>,
) -> Family {
    let labels = |value: &str| if label.is_empty() { Vec::new() } else { vec![value.into()] };
    let one = |(value, number): (&str, Number)| Series {
        labels: labels(value),
        value: Value::Number(number),
    };
    Family {
        name: name.to_owned(),
        help: help.to_owned(),
        unit,
        kind,
        labels: Some(label.to_owned()).into_iter().filter(|label| !label.is_empty()).collect(),
        series: series.into_iter().map(one).collect(),
    }
}

fn info(name: &str, help: &str, labels: &[(&str, &str)]) -> Family {
    let value = Value::Number(Number::Unsigned(1));
    Family {
        name: name.to_owned(),
        help: help.to_owned(),
        unit: None,
        kind: Kind::Info,
        labels: labels.iter().map(|(name, _)| (*name).to_owned()).collect(),
        series: vec![Series { labels: labels.iter().map(|(_, v)| (*v).into()).collect(), value }],
    }
}
