// SPDX-License-Identifier: MIT
//! The numbers of a metric: read from a value, added to totals, and as values of a series.

use std::sync::Arc;

use bpfpack_decode::field::{float, has_grown, part};
use bpfpack_decode::{Field, Layout, Member};

use crate::define::{From, Metric};
use crate::{Histogram, Kind, Number, Value};

/// Appends the counts and the gauges of all metrics in a value.
pub(super) fn read(metrics: &[Metric], value: &[u8], counts: &mut Vec<u64>, gauges: &mut Vec<f64>) {
    for metric in metrics {
        match &metric.from {
            From::Records => counts.push(1),
            From::Member(member) if metric.kind == Kind::Gauge => {
                gauges.push(any_number(member, value));
                counts.push(0);
            }
            From::Member(member) => counts.push(unsigned_or_zero(member, value)),
            From::Slots { slots, average, .. } => {
                let end = counts.len() + slots.len;
                counts.extend(slots.counts(value));
                counts.resize(end, 0);
                let field =
                    |field: Option<Field>| field.map_or(0, |field| field.unsigned(value) as u64);
                counts.push(field(average.map(|average| average.sum)));
                counts.push(field(average.and_then(|average| average.count)));
            }
        }
    }
}

/// Adds what a key has counted since its last reading to the totals of its series. If one of its
/// counters has not grown, the element is another one, which began at zero.
pub(super) fn add(totals: &mut [u64], last: &[u64], now: &[u64], sizes: &[usize]) {
    let mut of_key = last.iter().zip(now).zip(sizes);
    let has_grown = last.len() == now.len()
        && of_key.all(|((last, now), size)| has_grown(*size, (*last).into(), (*now).into()));
    for (at, (total, now)) in totals.iter_mut().zip(now).enumerate() {
        let added = match (has_grown, sizes.get(at)) {
            // It may have wrapped around.
            (true, Some(4)) => u64::from((*now as u32).wrapping_sub(last[at] as u32)),
            (true, _) => now - last[at],
            (false, _) => *now,
        };
        *total = total.wrapping_add(added);
    }
}

/// The sizes in bytes of the counters of a metric, in the order of its counts.
pub(super) fn sizes(metric: &Metric) -> Vec<usize> {
    match &metric.from {
        From::Records => vec![8],
        // A bitfield is read as a larger number.
        From::Member(member) if member.bits.is_some() => vec![8],
        From::Member(member) => vec![member.layout.size()],
        From::Slots { slots, average, .. } => {
            let field = |field: Option<Field>| field.map_or(8, |field| field.size);
            let mut sizes = vec![slots.size; slots.len];
            sizes.push(field(average.map(|average| average.sum)));
            sizes.push(field(average.and_then(|average| average.count)));
            sizes
        }
    }
}

/// The number of counts of a metric in a series. A gauge has an unused one.
pub(super) fn width(metric: &Metric) -> usize {
    match &metric.from {
        // Behind the slots, the sum and the number of values.
        From::Slots { slots, .. } => slots.len + 2,
        _ => 1,
    }
}

/// The value of a metric in a series.
#[allow(clippy::cast_precision_loss)] // sums in base units are floats
pub(super) fn value(metric: &Metric, totals: &[u64]) -> Value {
    match &metric.from {
        From::Slots { bounds, average, .. } => {
            let (counts, [sum, count]) = totals.split_last_chunk().unwrap_or((&[], &[0, 0]));
            let sum = average.map(|_| metric.scale.apply(*sum as f64));
            // Some tools count and add up, and use slots only if an argument asks for them.
            Value::Histogram(match *count > 0 && counts.iter().all(|count| *count == 0) {
                true => Histogram { bounds: Arc::default(), counts: vec![*count], sum },
                false => Histogram { bounds: bounds.clone(), counts: counts.to_vec(), sum },
            })
        }
        _ => Value::Number(match totals.first().copied().unwrap_or(0) {
            total if metric.scale.is_one() => Number::Unsigned(total),
            total => Number::Float(metric.scale.apply(total as f64)),
        }),
    }
}

/// The value of a member that only grows: negative numbers add nothing.
#[allow(clippy::cast_possible_truncation)] // integers of 16 bytes keep their lower half
pub(super) fn unsigned_or_zero(member: &Member, record: &[u8]) -> u64 {
    if member.layout.number().1 && member.signed(record) < 0 {
        return 0;
    }
    member.raw(record) as u64
}

#[allow(clippy::cast_precision_loss)] // gauges are floats
fn any_number(member: &Member, record: &[u8]) -> f64 {
    match &member.layout {
        Layout::Float { size } => float(part(record, member.offset), *size),
        layout if layout.number().1 => member.signed(record) as f64,
        _ => member.raw(record) as f64,
    }
}
