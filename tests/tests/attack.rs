// SPDX-License-Identifier: MIT
//! A little of each attack: `make attack` goes on longer. A case that fails is told with the command that
//! repeats it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_tests::attack::seeds::Seeds;
use bpfpack_tests::attack::{Limit, PARTS, run};
use bpfpack_tests::is_root;

/// Runs so many cases of a part.
fn attack(part: &str, count: u64) {
    if !is_root() {
        return;
    }
    let seeds = Seeds::make(Path::new(env!("CARGO_BIN_EXE_attack"))).unwrap();
    let part = PARTS.iter().find(|known| known.name == part).unwrap();
    assert_eq!(run(part, &seeds, 1, Limit::Count(count)).unwrap(), 0, "see what it printed");
}

#[test]
fn packages() {
    attack("packages", 150);
}

#[test]
fn objects() {
    attack("objects", 150);
}

#[test]
fn modules() {
    attack("modules", 25);
}

#[test]
fn perf_maps() {
    attack("perf-maps", 3);
}

#[test]
fn names() {
    attack("names", 12);
}

#[test]
fn outputs() {
    attack("outputs", 10);
}

#[test]
fn signals() {
    attack("signals", 10);
}

#[test]
fn kills() {
    attack("kill", 20);
}
