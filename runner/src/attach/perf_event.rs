// SPDX-License-Identifier: MIT
//! Programs that sample on each CPU: a number of times per second, or once for a number of events.

use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use libbpf_rs::Link;

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;
use crate::sys::perf::{self, Counted, Rate};

/// Attaches to an event on each CPU.
pub(super) const METHOD: Method = Method { target: Target::Event, attach };

/// Default samples per second. It is coprime to the usual frequencies of periodic work.
pub(super) const FREQUENCY: u64 = 49;

/// Events by their names in perf(1).
const EVENTS: &[(&str, u32, u64)] = &[
    ("cpu-clock", SOFTWARE, libbpf_sys::PERF_COUNT_SW_CPU_CLOCK as u64),
    ("task-clock", SOFTWARE, libbpf_sys::PERF_COUNT_SW_TASK_CLOCK as u64),
    ("page-faults", SOFTWARE, libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS as u64),
    ("faults", SOFTWARE, libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS as u64),
    ("minor-faults", SOFTWARE, libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS_MIN as u64),
    ("major-faults", SOFTWARE, libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS_MAJ as u64),
    ("context-switches", SOFTWARE, libbpf_sys::PERF_COUNT_SW_CONTEXT_SWITCHES as u64),
    ("cs", SOFTWARE, libbpf_sys::PERF_COUNT_SW_CONTEXT_SWITCHES as u64),
    ("cpu-migrations", SOFTWARE, libbpf_sys::PERF_COUNT_SW_CPU_MIGRATIONS as u64),
    ("cycles", HARDWARE, libbpf_sys::PERF_COUNT_HW_CPU_CYCLES as u64),
    ("cpu-cycles", HARDWARE, libbpf_sys::PERF_COUNT_HW_CPU_CYCLES as u64),
    ("instructions", HARDWARE, libbpf_sys::PERF_COUNT_HW_INSTRUCTIONS as u64),
    ("cache-references", HARDWARE, libbpf_sys::PERF_COUNT_HW_CACHE_REFERENCES as u64),
    ("cache-misses", HARDWARE, libbpf_sys::PERF_COUNT_HW_CACHE_MISSES as u64),
    ("branches", HARDWARE, libbpf_sys::PERF_COUNT_HW_BRANCH_INSTRUCTIONS as u64),
    ("branch-misses", HARDWARE, libbpf_sys::PERF_COUNT_HW_BRANCH_MISSES as u64),
    ("bus-cycles", HARDWARE, libbpf_sys::PERF_COUNT_HW_BUS_CYCLES as u64),
    ("ref-cycles", HARDWARE, libbpf_sys::PERF_COUNT_HW_REF_CPU_CYCLES as u64),
];

const SOFTWARE: u32 = libbpf_sys::PERF_TYPE_SOFTWARE;
const HARDWARE: u32 = libbpf_sys::PERF_TYPE_HARDWARE;

/// What a program samples by, from its section or the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sampling {
    /// The event; `None` if nothing names one.
    counted: Option<Counted>,
    rate: Option<Rate>,
}

impl Sampling {
    /// Parses `EVENT`, `EVENT@99hz` or `EVENT@1000` with an event of perf(1), or fields of the
    /// kernel's `perf_event_attr`: `type=0,config=3,frequency=99`, or `sample_period=1000`.
    fn parse(text: &str) -> Result<Sampling, String> {
        if text.contains('=') { Sampling::of_keys(text) } else { Sampling::of_name(text) }
    }

    fn of_name(text: &str) -> Result<Sampling, String> {
        let (name, rate) = match text.split_once('@') {
            Some((name, rate)) => (name, Some(rate)),
            None => (text, None),
        };
        let event = EVENTS.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
            let known: Vec<&str> = EVENTS.iter().map(|(name, ..)| *name).collect();
            format!("unknown event `{name}`: use one of {}", known.join(", "))
        })?;
        let rate = rate.map(|rate| {
            let lower = rate.to_ascii_lowercase();
            let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
            match lower.strip_suffix("hz") {
                Some(frequency) => number(frequency).map(Rate::Frequency),
                None => number(&lower).map(Rate::Period),
            }
            .ok_or_else(|| format!("`{rate}` is not a rate: use 99hz, or a number of events"))
        });
        let counted = Some(Counted { ty: event.1, config: event.2 });
        Ok(Sampling { counted, rate: rate.transpose()? })
    }

    fn of_keys(text: &str) -> Result<Sampling, String> {
        let (mut ty, mut config, mut rate) = (None, 0, None);
        for part in text.split(',') {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not KEY=N"))?;
            let number = match value.trim().strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => value.trim().parse().ok(),
            };
            let number = number.ok_or_else(|| format!("`{value}` is not a number"))?;
            match key.trim() {
                "type" => ty = Some(u32::try_from(number).map_err(|_| "`type` is too large")?),
                "config" => config = number,
                "frequency" | "sample_freq" | "freq" => rate = Some(Rate::Frequency(number)),
                "sample_period" | "period" => rate = Some(Rate::Period(number)),
                other => {
                    return Err(format!(
                        "`{other}` is unknown: use type, config, frequency or sample_period"
                    ));
                }
            }
        }
        let rate = rate.filter(|rate| !matches!(rate, Rate::Frequency(0) | Rate::Period(0)));
        Ok(Sampling { counted: ty.map(|ty| Counted { ty, config }), rate })
    }
}

/// The defaults if no event is named: CPU cycles, or a timer if the machine cannot count cycles, as
/// many virtual machines cannot.
const CLOCKS: [Counted; 2] = [
    Counted { ty: HARDWARE, config: libbpf_sys::PERF_COUNT_HW_CPU_CYCLES as u64 },
    Counted { ty: SOFTWARE, config: libbpf_sys::PERF_COUNT_SW_CPU_CLOCK as u64 },
];

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let text = context.named.or(context.rest_of_section());
    let sampling = text.map_or(Ok(Sampling::default()), Sampling::parse);
    let sampling = sampling.map_err(|text| context.bad_target(text))?;
    let annotated = || context.annotations().and_then(|meta| meta.frequency);
    let named = context.named.and(sampling.rate);
    let rate = named
        .or_else(|| context.options.frequency.map(Rate::Frequency))
        .or(sampling.rate)
        .or_else(|| annotated().filter(|frequency| *frequency > 0).map(Rate::Frequency))
        .unwrap_or(Rate::Frequency(FREQUENCY));
    let links = match sampling.counted {
        // Nothing replaces a requested event, because samples of another event would look like
        // valid data.
        Some(counted) => {
            links(context, counted, rate).map_err(|error| missing(context, rate, error))
        }
        None => links(context, CLOCKS[0], rate)
            .or_else(|error| match has_none(&error) {
                true => links(context, CLOCKS[1], rate),
                false => Err(error),
            })
            .map_err(|error| missing(context, rate, error)),
    };
    Ok(links?.into_iter().map(Attachment::Link).collect())
}

/// Whether nothing sets how often a program samples. The user is informed of the default.
pub(super) fn has_no_rate(section: &str, named: Option<&str>) -> bool {
    said(section, named).rate.is_none()
}

/// Whether nothing names the event by which a program samples.
pub(super) fn names_no_event(section: &str, named: Option<&str>) -> bool {
    said(section, named).counted.is_none()
}

fn said(section: &str, named: Option<&str>) -> Sampling {
    let text = named.or(section.split_once('/').map(|(_, rest)| rest));
    text.and_then(|text| Sampling::parse(text).ok()).unwrap_or_default()
}

/// Whether this machine cannot count CPU cycles.
pub(super) fn counts_no_cycles() -> bool {
    let event = perf::counting_event(CLOCKS[0], Rate::Frequency(1), 0);
    event.is_err_and(|error| has_none(&error.into()))
}

/// Whether an error means that the machine cannot count this event.
fn has_none(error: &libbpf_rs::Error) -> bool {
    use libbpf_rs::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

/// The kernel's limit of samples per second (`kernel.perf_event_max_sample_rate`).
fn most_samples() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate").ok()?;
    text.trim().parse().ok()
}

fn missing(context: &Context<'_>, rate: Rate, error: libbpf_rs::Error) -> AttachError {
    if let (Rate::Frequency(wanted), Some(most)) = (rate, most_samples())
        && wanted > most
    {
        return context.bad_target(format!(
            "{wanted} times per second exceeds kernel.perf_event_max_sample_rate, which is {most}"
        ));
    }
    if !has_none(&error) {
        return context.refused(error);
    }
    let name = context.program.name().to_string_lossy();
    context.bad_target(format!(
        "this machine cannot count the event ({error}); --attach '{name}=perf:cpu-clock@49hz' uses \
         a clock instead"
    ))
}

fn links(context: &Context<'_>, counted: Counted, rate: Rate) -> libbpf_rs::Result<Vec<Link>> {
    let cpus = libbpf_rs::num_possible_cpus()?;
    let mut links = Vec::new();
    let mut offline = None;
    for cpu in 0..cpus as i32 {
        match perf::counting_event(counted, rate, cpu) {
            Ok(event) => {
                links.push(context.program.attach_perf_event(event.as_raw_fd())?);
                // The link closes the event when it is dropped.
                let _ = event.into_raw_fd();
            }
            // This CPU is possible, but offline.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => offline = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (links.is_empty(), offline) {
        (true, Some(error)) => Err(error.into()),
        _ => Ok(links),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_rates() {
        let clock = Counted { ty: SOFTWARE, config: 0 };
        let parsed = Sampling::parse("cpu-clock@99hz").unwrap();
        assert_eq!((parsed.counted, parsed.rate), (Some(clock), Some(Rate::Frequency(99))));
        assert_eq!(Sampling::parse("cpu-clock@99Hz"), Sampling::parse("cpu-clock@99hz"));
        let parsed = Sampling::parse("cache-misses@1000").unwrap();
        assert_eq!(parsed.counted, Some(Counted { ty: HARDWARE, config: 3 }));
        assert_eq!(parsed.rate, Some(Rate::Period(1000)));
        assert_eq!(Sampling::parse("cs").unwrap().rate, None);
        let parsed = Sampling::parse("type=0,config=0x3,frequency=1").unwrap();
        assert_eq!(parsed.counted, Some(Counted { ty: HARDWARE, config: 3 }));
        assert_eq!(parsed.rate, Some(Rate::Frequency(1)));
        let parsed = Sampling::parse("sample_period=100000").unwrap();
        assert_eq!((parsed.counted, parsed.rate), (None, Some(Rate::Period(100_000))));
        for (text, part) in [
            ("cpuclock", "unknown event `cpuclock`: use one of cpu-clock"),
            ("cpu-clock@fast", "`fast` is not a rate"),
            ("cpu-clock@0", "`0` is not a rate"),
            ("type=x", "`x` is not a number"),
            ("typ=1", "`typ` is unknown"),
        ] {
            let error = Sampling::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn programs_that_do_not_say_how_often() {
        assert!(has_no_rate("perf_event", None));
        assert!(has_no_rate("perf_event", Some("cpu-clock")));
        assert!(!has_no_rate("perf_event", Some("cpu-clock@9hz")));
        assert!(names_no_event("perf_event", None));
        assert!(names_no_event("perf_event/frequency=9", None));
        assert!(!names_no_event("perf_event", Some("cpu-clock")));
        assert!(!has_no_rate("perf_event/type=1,config=0,frequency=9", None));
    }
}
