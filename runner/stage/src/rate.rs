// SPDX-License-Identifier: MIT
//! Counters per second.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_decode::layout::PER_SECOND;
use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Field, Layout, Member, Struct};
use bpfpack_failure::Failure;
use bpfpack_frame::{Entry, Frame, Next, Reading, Stage, Time};
use bpfpack_spec::View;

use crate::error::ArrangementError;

/// Shows counters per second, for views that show differences.
#[derive(Debug)]
pub(crate) struct Rates {
    rates: Vec<Rate>,
    /// When the run began, on the monotonic clock.
    begin: u64,
}

/// The rates of a view.
#[derive(Debug)]
struct Rate {
    from: Arc<View>,
    to: Arc<View>,
    /// The members of a value, and of the resulting value.
    members: Vec<(Member, Member)>,
    /// When the view was last read, on the monotonic clock.
    before: Option<u64>,
}

impl Rates {
    /// For all views that have counters.
    ///
    /// # Errors
    /// Returns an error if no view has any.
    pub(crate) fn new(views: &[Arc<View>]) -> Result<Rates, ArrangementError> {
        let rates: Vec<Rate> = views.iter().filter_map(Rate::new).collect();
        match rates.is_empty() {
            true => Err(ArrangementError::NoCounters),
            false => Ok(Rates { rates, begin: Time::now().monotonic }),
        }
    }

    /// The resulting view.
    pub(crate) fn view(&self, view: &Arc<View>) -> Arc<View> {
        let rate = self.rates.iter().find(|rate| Arc::ptr_eq(&rate.from, view));
        Arc::clone(rate.map_or(view, |rate| &rate.to))
    }
}

impl Rate {
    fn new(view: &Arc<View>) -> Option<Rate> {
        // Rates of histogram slots are not useful.
        if view.is_histogram() {
            return None;
        }
        let mut size = 0;
        let mut is_any = false;
        let whole = view.value.size();
        // A type may claim members that lie outside of it or are larger. Values have no such bytes.
        let mut place = |layout: &Layout, left: usize| {
            let offset = size;
            size += layout.size().min(left).next_multiple_of(8);
            offset
        };
        let become_rate = |member: Member| {
            let is_counter = member.bits.is_none() && view.counters.contains(&member.field());
            let mut rate = member.clone();
            // Offsets of other members have changed.
            (rate.bits, rate.length) = (None, None);
            rate.meaning = member.meaning.map(Meaning::without_family);
            if is_counter {
                is_any = true;
                rate.name = format!("{}{PER_SECOND}", member.name);
                rate.layout = match member.meaning {
                    Some(Meaning::Size | Meaning::Duration(_)) => {
                        Layout::Int { size: 8, signed: false }
                    }
                    _ => Layout::Float { size: 8 },
                };
            }
            let left = if is_counter { 8 } else { whole.saturating_sub(member.offset) };
            rate.offset = place(&rate.layout, left);
            (member, rate)
        };
        let members = view.value.members("value").into_iter();
        let members: Vec<(Member, Member)> = members.map(become_rate).collect();
        let renamed = |sort: &String| {
            let found = members.iter().find(|(member, _)| member.name == *sort);
            found.map_or_else(|| sort.clone(), |(_, rate)| rate.name.clone())
        };
        let to = View {
            value: Layout::Struct(Struct {
                size,
                members: members.iter().map(|(_, rate)| rate.clone()).collect(),
            }),
            counters: Vec::new(),
            sort: view.sort.as_ref().map(renamed),
            ..(**view).clone()
        };
        is_any.then(|| Rate { from: Arc::clone(view), to: Arc::new(to), members, before: None })
    }

    fn entry(&self, entry: &Entry, seconds: f64) -> Entry {
        let mut value = vec![0; self.to.value.size()];
        for (member, rate) in &self.members {
            let mut number = [0; 16];
            let bytes = member.bytes(entry.value(), &mut number);
            let Some(into) = value.get_mut(rate.offset..) else { continue };
            if member.name == rate.name {
                let len = member.layout.size().min(bytes.len()).min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                continue;
            }
            let size = member.layout.size();
            let per_second = Field { offset: 0, size }.unsigned(bytes) as f64 / seconds;
            let bytes = match rate.layout {
                // One decimal: more would not be accurate.
                Layout::Float { .. } => ((per_second * 10.0).round() / 10.0).to_le_bytes(),
                _ => (per_second.round() as u64).to_le_bytes(),
            };
            into[..8].copy_from_slice(&bytes);
        }
        Entry::new(entry.key(), &value)
    }
}

impl Stage for Rates {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        let Frame::Reading(reading) = &frame else { return next.frame(frame) };
        let begin = self.begin;
        let rate = self.rates.iter_mut().find(|rate| Arc::ptr_eq(&rate.from, &reading.source));
        let Some(rate) = rate else { return next.frame(frame) };
        let now = reading.time.monotonic;
        let before = rate.before.replace(now).unwrap_or(begin);
        // At least one millisecond, because a rate over a shorter time is not meaningful.
        let seconds = now.saturating_sub(before).max(1_000_000) as f64 / 1e9;
        let entries = reading.entries.iter().map(|entry| rate.entry(entry, seconds)).collect();
        let reading = Reading { source: Arc::clone(&rate.to), entries, ..**reading };
        next.frame(Frame::Reading(Rc::new(reading)))
    }

    fn begin(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        self.begin = Time::now().monotonic;
        Ok(())
    }

    fn sees_records(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::field::float;
    use bpfpack_spec::fixtures::counter_view;

    use super::*;
    use crate::fixtures::{Out, histogram_view};

    #[test]
    fn members_outside_of_their_type_need_no_memory() {
        let int = |size| Layout::Int { size, signed: false };
        let members = vec![
            Member::new("reads", 0, int(4)),
            Member::new("large", 4, Layout::Text { size: 1 << 40 }),
            Member::new("far", 1 << 40, int(8)),
        ];
        let view = Arc::new(View {
            value: Layout::Struct(Struct { size: 8, members }),
            counters: vec![Field { offset: 0, size: 4 }],
            ..counter_view()
        });
        let mut stage = Rates::new(&[Arc::clone(&view)]).unwrap();
        let mut out = Out::default();
        let value = [&8u32.to_le_bytes()[..], b"abc\0"].concat();
        let time = Time { monotonic: stage.begin + 2_000_000_000, ..Time::default() };
        let reading = Reading::new(view, time, vec![Entry::new(&[3], &value)]);
        stage.frame(Frame::Reading(reading.into()), &mut out).unwrap();
        let shown = out.0[0].entries[0].value();
        assert_eq!((shown.len(), float(shown, 8), &shown[8..12]), (16, 4.0, &b"abc\0"[..]));
    }

    #[test]
    fn counters_are_divided_by_the_time_between_readings() {
        let int = |size| Layout::Int { size, signed: false };
        let size = Member { meaning: Some(Meaning::Size), ..Member::new("bytes", 8, int(8)) };
        let members = vec![
            Member::new("reads", 0, int(4)),
            Member::new("name", 4, Layout::Text { size: 4 }),
            size,
        ];
        let view = Arc::new(View {
            value: Layout::Struct(Struct { size: 16, members }),
            counters: vec![Field { offset: 0, size: 4 }, Field { offset: 8, size: 8 }],
            sort: Some("bytes".into()),
            ..counter_view()
        });
        let mut stage = Rates::new(&[Arc::clone(&view), Arc::new(histogram_view())]).unwrap();
        stage.begin = 1_000_000_000;
        let mut out = Out::default();
        let value = [&10u32.to_le_bytes()[..], b"abc\0", &4096u64.to_le_bytes()].concat();
        for monotonic in [3_000_000_000, 6_000_000_000] {
            let time = Time { monotonic, ..Time::default() };
            let entries = vec![Entry::new(&[3], &value)];
            let reading = Reading::new(Arc::clone(&view), time, entries);
            stage.frame(Frame::Reading(reading.into()), &mut out).unwrap();
        }
        let shown: Vec<(f64, &[u8], u64)> = out
            .0
            .iter()
            .map(|reading| {
                let value = reading.entries[0].value();
                (
                    float(value, 8),
                    &value[8..12],
                    Field { offset: 16, size: 8 }.unsigned(value) as u64,
                )
            })
            .collect();
        assert_eq!(shown, [(5.0, &b"abc\0"[..], 2048), (3.3, b"abc\0", 1365)]);
        let to = &out.0[0].source;
        let Layout::Struct(record) = &to.value else { panic!() };
        let names: Vec<&str> = record.members.iter().map(|member| &*member.name).collect();
        assert_eq!(
            (names, to.sort.as_deref()),
            (vec!["reads/s", "name", "bytes/s"], Some("bytes/s"))
        );
    }

    #[test]
    fn something_has_to_count() {
        let none = View { counters: Vec::new(), ..counter_view() };
        for views in [vec![], vec![Arc::new(none)], vec![Arc::new(histogram_view())]] {
            assert_eq!(Rates::new(&views).unwrap_err(), ArrangementError::NoCounters);
        }
        let rates = Rates::new(&[Arc::new(counter_view())]).unwrap();
        assert!(
            matches!(&rates.rates[0].to.value, Layout::Struct(record) if record.members.len() == 1)
        );
    }
}
