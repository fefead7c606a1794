// SPDX-License-Identifier: MIT
//! A few cases of each attack; `make attack` runs longer. A failed case is reported with the
//! command that repeats it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_tests::attack::left::Left;
use bpfpack_tests::attack::place::Place;
use bpfpack_tests::attack::seeds::Seeds;
use bpfpack_tests::attack::{Limit, PARTS, run};
use bpfpack_tests::sys::Kind;
use bpfpack_tests::{alone, is_root};
use libbpf_rs::{MapCore as _, MapHandle, MapType};

/// Runs a number of cases of a part.
fn attack(part: &str, count: u64) {
    if !is_root() {
        return;
    }
    // Other tests count what the machine does.
    let _lock = alone();
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
    attack("perf-maps", 5);
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

/// The attacks would find a pinned map, and a map that no process holds.
#[test]
fn what_is_left_is_found() {
    if !is_root() {
        return;
    }
    let watched = std::thread::spawn(|| {
        let place = Place::enter().unwrap();
        assert_eq!(place.check(), Ok(()));
        assert_eq!(place.check_network(), Ok(()));
        let mut left = Left::watch();
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let create =
            || MapHandle::create(MapType::Array, Some("attack_left"), 4, 8, 1, &options).unwrap();
        let held = create();
        let mut pinned = create();
        let id = pinned.info().unwrap().info.id;
        pinned.pin("/sys/fs/bpf/attack_left").unwrap();
        drop(pinned);
        let held_id = held.info().unwrap().info.id;
        left.after(7);
        let found = left.close();
        drop(held);
        assert!(found.contains(&((Kind::Map, id), 7)), "{found:?}");
        assert!(!found.contains(&((Kind::Map, held_id), 7)), "{found:?}");
        let told = place.check().unwrap_err();
        assert!(told.contains("attack_left"), "{told}");
        assert_eq!(place.check(), Ok(()));
    });
    watched.join().unwrap();
}
