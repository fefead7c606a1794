// SPDX-License-Identifier: MIT
//! Each command in the documents runs, and its output has the documented shape: see
//! `bpfpack_tests::documents`. A comment above a block says if it cannot run here.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use bpfpack_tests::documents::Session;
use bpfpack_tests::{is_root, names, root, wasm};

/// Follows a document of the project.
fn follow(name: &str) -> Vec<String> {
    let path = root().join(name);
    let document = std::fs::read_to_string(&path).unwrap();
    let mut not_run = Vec::new();
    let wrong = Session::new().follow(&document, &mut not_run);
    for block in not_run {
        println!("{name}: not run: {block}");
    }
    wrong.into_iter().map(|what| format!("{name}, {what}")).collect()
}

#[track_caller]
fn holds(name: &str) {
    // Some documents build Wasm modules.
    if is_root() && wasm::examples().is_some() {
        let wrong = follow(name);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn readme() {
    holds("README.md");
}

#[test]
fn reference_of_ecli() {
    holds("runner/README.md");
}

#[test]
fn reference_of_ecc() {
    holds("packer/README.md");
}

#[test]
fn catalogue_of_examples() {
    holds("examples/README.md");
}

#[test]
fn services() {
    holds("examples/systemd/README.md");
    holds("examples/kubernetes/README.md");
}

#[test]
fn guide() {
    let chapters = names(&root().join("examples/guide"));
    std::thread::scope(|scope| {
        let follow = |chapter| scope.spawn(move || holds(&format!("examples/guide/{chapter}")));
        let chapters: Vec<_> = chapters.iter().map(follow).collect();
        for chapter in chapters {
            if let Err(panic) = chapter.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}
