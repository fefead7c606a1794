// SPDX-License-Identifier: MIT
//! Any bytes as records of any struct, in every format: each output has the form that its readers
//! rely on. The last two bytes say how many before them are the records and how they are shown;
//! what is before those is type information, alone or in an object.
#![no_main]

use bpfpack_runner::fuzzing::{Shown, show};
use bpfpack_schemas::object::BpfObject;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((rest, len)) = data.split_last_chunk() else { return };
    let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
    let (types, input) = rest.split_at(rest.len() - len);
    let elf = BpfObject::parse(types).ok();
    let section = elf.as_ref().and_then(|elf| elf.section_data(".BTF"));
    show(section.unwrap_or(types), input, &mut check);
});

fn check(shown: &Shown) {
    let mut columns = None;
    for (at, piece) in shown.pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
        assert!(piece.len() <= shown.most, "{} bytes of at most {}", piece.len(), shown.most);
        if shown.format == "raw" {
            continue;
        }
        let text = std::str::from_utf8(piece).expect("UTF-8");
        if shown.format == "live" {
            screen(text);
            continue;
        }
        assert!(text.ends_with('\n'), "{text:?}");
        match shown.format {
            "text" | "heatmap" => {
                let is_bad = |c: char| c.is_control() && c != '\n';
                assert!(!text.contains(is_bad), "control characters: {text:?}");
            }
            "json" => objects(text, shown.count),
            "yaml" => items(text, shown.count),
            "csv" => rows(&csv(text), shown, at, &mut columns),
            "tsv" => {
                let cells: Vec<usize> = text.lines().map(|l| l.split('\t').count()).collect();
                rows(&cells, shown, at, &mut columns);
            }
            other => panic!("nothing is known of the format {other}"),
        }
    }
}

/// A terminal is told to move, to clear and to color, and nothing that a name says.
fn screen(text: &str) {
    let mut parts = text.split('\x1b');
    let is_bad = |c: char| c.is_control() && c != '\n';
    assert!(!parts.next().unwrap_or_default().contains(is_bad), "{text:?}");
    for part in parts {
        let part = part.strip_prefix('[').expect("a sequence");
        let end = part.find(|c: char| c.is_ascii_alphabetic()).expect("its end");
        let (sequence, rest) = part.split_at(end + 1);
        let is_known = sequence.ends_with(['H', 'J', 'K', 'm', 'h', 'l']);
        assert!(is_known && !rest.contains(is_bad), "{sequence:?} {rest:?}");
    }
}

/// A line is an object, but for records that are no struct.
fn objects(text: &str, count: usize) {
    assert_eq!(text.lines().count(), count, "{text:?}");
    for line in text.lines() {
        let value = serde_json::from_str::<serde_json::Value>(line);
        assert!(value.is_ok(), "{value:?}: {line:?}");
    }
}

/// A line is a key and its value, both as JSON; each item begins with a dash.
fn items(text: &str, count: usize) {
    for line in text.lines() {
        let member = line.strip_prefix("- ").or(line.strip_prefix("  "));
        let object = format!("{{{}}}", member.expect("an item"));
        let value = serde_json::from_str::<serde_json::Value>(&object);
        assert!(value.is_ok(), "{value:?}: {line:?}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), count, "{text:?}");
}

/// All rows have the cells of the line of names above them, which is there when a source first has
/// something, or another one had.
fn rows(cells: &[usize], shown: &Shown, at: usize, columns: &mut Option<usize>) {
    let has_names = if shown.is_reading { at == 0 } else { cells.len() > shown.count };
    let names = if has_names { cells.first().copied() } else { *columns };
    let names = names.expect("a line of names");
    *columns = Some(names);
    assert!(cells.iter().all(|count| *count == names), "cells: {cells:?}, names: {names}");
    if !shown.is_reading {
        assert_eq!(cells.len(), shown.count + usize::from(has_names));
    }
}

/// The number of cells of each row (RFC 4180).
fn csv(text: &str) -> Vec<usize> {
    let mut rows = Vec::new();
    let mut cells = 1;
    let mut chars = text.chars().peekable();
    let mut is_start = true;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                assert!(is_start, "a quote inside of a cell: {text:?}");
                while let Some(c) = chars.next() {
                    if c == '"' && chars.next_if_eq(&'"').is_none() {
                        break;
                    }
                }
                assert!(matches!(chars.peek(), Some(',' | '\n')), "behind a quote: {text:?}");
                is_start = false;
            }
            ',' => (cells, is_start) = (cells + 1, true),
            '\n' => {
                rows.push(cells);
                (cells, is_start) = (1, true);
            }
            '\r' => panic!("a carriage return outside of quotes: {text:?}"),
            _ => is_start = false,
        }
    }
    assert!(is_start && cells == 1, "the last row does not end: {text:?}");
    rows
}
