// SPDX-License-Identifier: MIT
//! A diagnosis as text for people, in 80 columns. What has the same result is on one line.

use bpfpack_schemas::diagnosis::{Check, Diagnosis, State};

use crate::layout::Page;

/// Columns for a mark.
const MARK: usize = 3;

/// The most columns for a name in front of its value or reason.
const NAME: usize = 32;

/// The whole report.
pub(super) fn of(diagnosis: &Diagnosis) -> String {
    let mut page = Page::default();
    let Diagnosis { ecli, kernel, architecture, .. } = diagnosis;
    page.line(0, &format!("ecli {ecli}, Linux {kernel}, {architecture}"));
    page.line(0, "ok: there; no: missing or refused; ?: not known");
    let kinds: Vec<Check> = diagnosis.kinds.iter().map(|kind| kind.check.clone()).collect();
    for (title, checks) in [
        ("System", &diagnosis.system),
        ("Configuration of the kernel", &diagnosis.configuration),
        ("Privileges", &diagnosis.privileges),
        ("Kinds of programs", &kinds),
        ("Maps", &diagnosis.maps),
        ("Helpers", &diagnosis.helpers),
        ("Features", &diagnosis.features),
    ] {
        section(&mut page, title, checks);
    }
    for package in &diagnosis.packages {
        page.title(&format!("Package {}", package.check.name));
        let words = package.check.reason.as_deref().unwrap_or_default();
        page.labeled(2, mark(package.check.state), MARK, words);
        groups(&mut page, &package.programs);
    }
    page.text()
}

fn section(page: &mut Page, title: &str, checks: &[Check]) {
    page.title(title);
    groups(page, checks);
}

/// Adds checks. Those with the same result and without a value are joined.
fn groups(page: &mut Page, checks: &[Check]) {
    let same = |a: &Check, b: &Check| {
        (a.state, &a.value, &a.reason, &a.advice) == (b.state, &b.value, &b.reason, &b.advice)
    };
    let mut joined: Vec<(&Check, Vec<&str>)> = Vec::new();
    for check in checks {
        match joined.iter_mut().find(|(first, _)| same(first, check)) {
            Some((_, names)) if check.value.is_none() => names.push(&check.name),
            _ => joined.push((check, vec![&check.name])),
        }
    }
    // Names stand in a column if each has a line of its own.
    let single = joined.iter().filter(|(_, names)| names.len() == 1);
    let width = single.map(|(check, _)| check.name.chars().count()).filter(|width| *width <= NAME);
    let width = width.max().unwrap_or_default();
    for (check, names) in joined {
        add(page, check, &names, width);
    }
}

fn add(page: &mut Page, check: &Check, names: &[&str], width: usize) {
    const INDENT: usize = 2 + MARK + 1;
    let mark = mark(check.state);
    let texts: Vec<&str> =
        [&check.value, &check.reason].into_iter().flatten().map(String::as_str).collect();
    let words = texts.join("; ");
    match names {
        [name] if name.chars().count() <= width => {
            let label = format!("{mark:MARK$} {name:width$} ");
            page.labeled(2, &label, label.chars().count(), &words);
        }
        _ => {
            page.labeled(2, mark, MARK, &names.join(", "));
            if !words.is_empty() {
                page.line(INDENT + 2, &words);
            }
        }
    }
    if let Some(advice) = &check.advice {
        page.line(INDENT + 2, &format!("hint: {advice}"));
    }
}

fn mark(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Missing => "no",
        State::Unknown => "?",
    }
}

#[cfg(test)]
mod tests;
