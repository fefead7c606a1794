// SPDX-License-Identifier: MIT
//! What is known of all tracers, for scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bpfpack_metrics::{Family, merge};

use crate::metrics::{NoAnswer, Place, names, number_family};

/// The label with the name of a tracer.
const LABEL: &str = names::TRACER;

/// The tracers by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    tracers: BTreeMap<String, Shown>,
    /// The number of the last start of any tracer.
    last_start: u64,
    /// The result of the last reload, and when it was.
    reload: Option<(bool, SystemTime)>,
}

/// What is shown of a tracer.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Where its metrics are.
    pub(super) place: Place,
    /// Whether its programs are attached.
    pub(super) is_up: bool,
    /// How often it was started.
    pub(super) starts: u64,
    /// The number of its last start.
    start: u64,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a tracer is started. Returns the place for its metrics, and the number of the start.
    pub(super) fn start(&self, name: &str) -> (Place, u64) {
        let mut state = self.state();
        state.last_start += 1;
        let start = state.last_start;
        let shown = state.tracers.entry(name.to_owned()).or_default();
        // One that was left behind keeps its own place.
        *shown = Shown { place: Place::default(), is_up: false, starts: shown.starts + 1, start };
        (shown.place.clone(), start)
    }

    /// Notes whether the programs of a tracer are attached, unless it was started again since.
    pub(super) fn note_up(&self, name: &str, start: u64, is_up: bool) {
        let mut state = self.state();
        if let Some(shown) = state.tracers.get_mut(name).filter(|shown| shown.start == start) {
            shown.is_up = is_up;
            if !is_up {
                shown.place.clear();
            }
        }
    }

    /// Removes a tracer.
    pub(super) fn remove(&self, name: &str) {
        self.state().tracers.remove(name);
    }

    /// Notes the result of a reload.
    pub(super) fn note_reload(&self, is_good: bool) {
        self.state().reload = Some((is_good, SystemTime::now()));
    }

    /// The number of tracers whose programs are attached, and of all.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.tracers.values().filter(|shown| shown.is_up).count(), state.tracers.len())
    }

    /// The metrics of all tracers. One that does not answer in time is left out; a metric says so.
    pub(super) fn families(&self, wait: Duration) -> Result<Arc<Vec<Family>>, NoAnswer> {
        let deadline = Instant::now() + wait;
        let (tracers, reload) = {
            let state = self.state();
            (state.tracers.clone(), state.reload)
        };
        // All are asked before the first answer is waited for.
        let asked: Vec<_> = tracers
            .iter()
            .filter_map(|(name, shown)| {
                let asker = shown.place.get()?;
                Some((name, asker.begin(), asker))
            })
            .collect();
        let mut answers = Vec::new();
        for (name, number, asker) in &asked {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(families) = asker.answer(*number, left) {
                answers.push((name.as_str(), families));
            }
        }
        let parts = answers.iter().map(|(name, families)| (*name, &families[..]));
        let (mut families, left_out) = merge(LABEL, parts);
        let of = |number: &dyn Fn(&str, &Shown) -> u64| -> Vec<(&str, u64)> {
            tracers.iter().map(|(name, shown)| (name.as_str(), number(name, shown))).collect()
        };
        let is_answered = |name: &str| answers.iter().any(|(other, _)| *other == name);
        let gauges = [
            (
                names::TRACER_UP,
                "Whether the programs of a tracer are attached.",
                of(&|_, shown| shown.is_up.into()),
            ),
            (
                "bpfpack_tracer_answered",
                "Whether a tracer answered this scrape in time.",
                of(&|name, _| is_answered(name).into()),
            ),
            (
                "bpfpack_tracer_left_out_metrics",
                "Metrics of a tracer that are left out, because another tracer has the name with \
                 another type.",
                of(&|name, _| left_out.iter().filter(|(of, _)| *of == name).count() as u64),
            ),
        ];
        families.extend(
            gauges.map(|(name, help, series)| number_family(name, help, false, LABEL, &series)),
        );
        let starts = of(&|_, shown| shown.starts);
        let help = "How often a tracer was started.";
        families.push(number_family("bpfpack_tracer_starts", help, true, LABEL, &starts));
        if let Some((is_good, at)) = reload {
            let help = "Whether the last reload of the configuration succeeded.";
            let series = [("", is_good.into())];
            families.push(number_family("bpfpack_reload_success", help, false, "", &series));
            let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let help = "When the configuration was last reloaded, in seconds since 1970.";
            let name = "bpfpack_reload_timestamp_seconds";
            families.push(number_family(name, help, false, "", &[("", at)]));
        }
        Ok(Arc::new(families))
    }
}
