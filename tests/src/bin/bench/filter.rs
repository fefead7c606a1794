// SPDX-License-Identifier: MIT
//! The cost of a filter that keeps 1 of 100 records, compared with showing all: testing a record
//! must be cheaper than formatting it.

use anyhow::Result;

use crate::consumer::{Flood, Who};
use crate::median;
use crate::modules::{EVENTS, Round, read};

const ROUNDS: usize = 31;

/// All records, a number, a text, and a regular expression that is not a literal text.
const FILTERS: [(&str, &str); 4] = [
    ("all", ""),
    ("number", "seq < {}"),
    ("text", "comm == nothing || seq < {}"),
    ("regex", "comm ~ '^[a-z]+[0-9]$' || seq < {}"),
];

pub(crate) fn filter() -> Result<()> {
    println!(
        "filter: {EVENTS} records of 64 bytes to /dev/null, all of them and with filters that keep \
         1 of 100; {ROUNDS} rounds, interleaved\n"
    );
    let flood = Flood::pack(true);
    for format in ["text", "json", "raw"] {
        let once = |(_, expr): &(&str, &str)| -> Result<Round> {
            let expr = expr.replace("{}", &(EVENTS / 100).to_string());
            let filter = (!expr.is_empty()).then_some(["--filter", &expr]);
            let options: Vec<&str> =
                ["-f", format].into_iter().chain(filter.into_iter().flatten()).collect();
            Ok(read(Who::Ecli, &flood, &options, EVENTS)?.0)
        };
        let mut rounds: Vec<Vec<Round>> = Vec::new();
        for round in 0..ROUNDS {
            // The first one may find the machine in another state, so the order alternates.
            let mut found = Vec::new();
            for at in 0..FILTERS.len() {
                let at = (at + round) % FILTERS.len();
                found.push((at, once(&FILTERS[at])?));
            }
            found.sort_by_key(|(at, _)| *at);
            rounds.push(found.into_iter().map(|(_, round)| round).collect());
        }
        for (at, (name, _)) in FILTERS.iter().enumerate() {
            let of = |number: fn(&Round) -> f64| {
                median(&rounds.iter().map(|round| number(&round[at])).collect::<Vec<_>>())
            };
            let mut ratios: Vec<f64> =
                rounds.iter().map(|round| round[at].cpu / round[0].cpu).collect();
            ratios.sort_by(f64::total_cmp);
            let part = |part: usize| ratios[(ratios.len() - 1) * part / 4];
            println!(
                "{format:<5} {name:<7} {:5.2} M/s read  {:7.0} lost  {:6.1} ns of CPU each  \
                 {:.2} x all  (half of them {:.2} to {:.2})",
                of(|round| round.read) / 1e6,
                of(|round| round.lost),
                of(|round| round.cpu),
                part(2),
                part(1),
                part(3),
            );
        }
        println!();
    }
    Ok(())
}
