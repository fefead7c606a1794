// SPDX-License-Identifier: MIT
//! Finds the numbers for the average of a histogram's values, which programs keep in addition to
//! the slots.

use bpfpack_decode::{Field, Layout, Member};
use bpfpack_schemas::meta::SampleMeta;

use crate::{Average, Shape};

/// Names for the sum of all values.
const SUMS: [&str; 3] = ["sum", "total_time", "total_latency"];

/// Names for it if there is also a number of values; without one, it is a single value.
const SUM_BESIDE_COUNT: [&str; 1] = ["latency"];

/// Names for the number of values.
const COUNTS: [&str; 5] = ["count", "cnt", "nr", "samples", "total_count"];

/// The sum and the number of values, from an annotation or otherwise by name.
pub(super) fn average(value: &Layout, shape: &Shape, sample: &SampleMeta) -> Option<Average> {
    let (Shape::Histogram { .. }, Layout::Struct(record)) = (shape, value) else { return None };
    let number = |said: &Option<String>, usual: &[&str]| {
        let is_it = |member: &&Member| match said {
            Some(name) => member.name == *name,
            None => usual.contains(&&*member.name),
        };
        let member = record.members.iter().find(is_it)?;
        match member.layout {
            Layout::Int { size: size @ (4 | 8), .. } if member.bits.is_none() => {
                Some(Field { offset: member.offset, size })
            }
            _ => None,
        }
    };
    let count = number(&sample.count, &COUNTS);
    let sum = number(&sample.sum, &SUMS);
    let sum = sum.or_else(|| count.and_then(|_| number(&sample.sum, &SUM_BESIDE_COUNT)))?;
    Some(Average { sum, count })
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::{Edges, Slots, Struct};

    use super::*;

    #[test]
    fn sums_are_found_by_their_names_and_by_annotations() {
        let int = |size| Layout::Int { size, signed: false };
        let members = vec![
            Member::new("latency", 0, int(8)),
            Member::new("cnt", 8, int(8)),
            Member::new("other", 16, int(8)),
        ];
        let value = Layout::Struct(Struct { size: 32, members });
        let slots = Slots { offset: 24, size: 4, len: 2 };
        let shape = Shape::Histogram { slots, edges: Edges::Log2, unit: "usecs".into() };
        let field = |offset| Field { offset, size: 8 };
        let found = average(&value, &shape, &SampleMeta::default()).unwrap();
        assert_eq!(found, Average { sum: field(0), count: Some(field(8)) });
        let bytes = [&1000u64.to_le_bytes()[..], &8u64.to_le_bytes(), &[0; 16]].concat();
        assert_eq!((found.of(&bytes, 3), found.of(&[0; 32], 3)), (Some(125.0), None));
        let sample = SampleMeta { sum: Some("other".into()), ..SampleMeta::default() };
        assert_eq!(average(&value, &shape, &sample).unwrap().sum, field(16));
        let sample = SampleMeta { sum: Some("none".into()), ..SampleMeta::default() };
        assert_eq!(average(&value, &shape, &sample), None);
        assert_eq!(average(&value, &Shape::Table, &SampleMeta::default()), None);
        let alone = vec![Member::new("latency", 0, int(8))];
        let alone = Layout::Struct(Struct { size: 32, members: alone });
        assert_eq!(average(&alone, &shape, &SampleMeta::default()), None);
    }
}
