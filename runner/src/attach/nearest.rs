// SPDX-License-Identifier: MIT
//! Functions and tracepoints that this kernel does not have, and the nearest names that it has.

use std::collections::BTreeSet;

use bpfpack_refusal::near;

pub(super) use near::{names, suggested};

use crate::kernel::Facts;

/// What the compiler adds to the name of a function when it changes it (GCC: IPA passes).
const CHANGED: [&str; 5] = [".isra.", ".constprop.", ".part.", ".cold", ".llvm."];

/// Says that the kernel has no function of a name, and what it has instead; `None` if it has one.
pub(super) fn function(name: &str, kernel: &dyn Facts) -> Option<String> {
    let all = kernel.functions();
    let known = || all.iter().map(String::as_str);
    // If no function is listed, the list is hidden. The list has what ftrace can trace, and kprobes
    // attach to other functions, too.
    let exists = || !kernel.functions_among(&BTreeSet::from([name])).is_empty();
    if all.is_empty() || known().any(|known| known == name) || exists() {
        return None;
    }
    let is_changed = |known: &&str| {
        known.strip_prefix(name).is_some_and(|rest| CHANGED.iter().any(|it| rest.starts_with(it)))
    };
    let cause = format!("this kernel has no function `{name}` that can be traced");
    let changed: Vec<&str> = known().filter(is_changed).collect();
    if !changed.is_empty() {
        return Some(format!("{cause}: the compiler replaced it by {}", near::list(&changed)));
    }
    let near = near::names(name, known());
    Some(match near.is_empty() {
        true => format!("{cause}: it may have another name, or the compiler may have inlined it"),
        false => suggested(cause, &near),
    })
}

/// Says that the kernel has no tracepoint of a name, `CATEGORY/NAME` or `NAME`, and what it has
/// instead; `None` if it has one, or if the tracepoints cannot be listed.
pub(super) fn tracepoint(name: &str, kernel: &dyn Facts) -> Option<String> {
    let all = kernel.tracepoints()?;
    let (category, event) = match name.split_once('/') {
        Some((category, event)) => (Some(category), event),
        None => (None, name),
    };
    let events = || all.iter().filter_map(|known| known.split_once('/'));
    let is_it = |(of, known): &(&str, &str)| *known == event && category.is_none_or(|it| it == *of);
    if all.is_empty() || events().any(|it| is_it(&it)) {
        return None;
    }
    let cause = format!("this kernel has no tracepoint `{name}`");
    let Some(category) = category else {
        return Some(suggested(cause, &near::names(event, events().map(|(_, event)| event))));
    };
    // The same event in another category, or else the nearest in this one, or in all.
    let whole = || all.iter().map(String::as_str);
    let moved: Vec<&str> =
        whole().filter(|known| known.split_once('/').is_some_and(|(_, it)| it == event)).collect();
    if !moved.is_empty() {
        return Some(suggested(cause, &moved[..moved.len().min(3)]));
    }
    let within: Vec<&str> = events().filter(|(of, _)| *of == category).map(|(_, it)| it).collect();
    let near = near::names(event, within.iter().copied());
    if near.is_empty() {
        return Some(suggested(cause, &near::names(name, whole())));
    }
    let near: Vec<String> = near.iter().map(|event| format!("{category}/{event}")).collect();
    Some(suggested(cause, &near))
}
