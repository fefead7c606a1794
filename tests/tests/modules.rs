// SPDX-License-Identifier: MIT
//! Modules depend in one direction: no two modules of a crate use each other, directly or
//! indirectly.

use bpfpack_tests::modules::graph;
use bpfpack_tests::root;

#[track_caller]
fn has_no_cycle(krate: &str) {
    let graph = graph(&root().join(krate).join("src"));
    if let Some(cycle) = graph.cycle() {
        panic!("modules of {krate} depend on each other: {}", graph.describe(&cycle));
    }
}

#[test]
fn modules_of_the_packer_depend_in_one_direction() {
    has_no_cycle("packer");
}

#[test]
fn modules_of_the_runner_depend_in_one_direction() {
    for inner in [
        "",
        "/decode",
        "/failure",
        "/filter",
        "/frame",
        "/input",
        "/metrics",
        "/listen",
        "/refusal",
        "/registry",
        "/render",
        "/spec",
        "/stage",
        "/symbols",
        "/sys",
        "/trust",
    ] {
        has_no_cycle(&format!("runner{inner}"));
    }
}
