// SPDX-License-Identifier: MIT
//! What the user wants to see of records and readings (`--filter`), and what ends the run
//! (`--until`). Expressions are compiled before anything is loaded, but for those whose names only
//! modules may have.

mod kind;
mod stage;
mod until;

use std::collections::BTreeMap;

use bpfpack_decode::meaning::Meaning;
use bpfpack_filter::{Expr, Filter, FilterError, Names, Scope};
use bpfpack_frame::Stage;
use bpfpack_render::{named_numbers, number_named};
use bpfpack_spec::{Source, Spec};

use crate::args::{Plan, expr_failure};
use crate::failure::Failure;
use crate::talk::Talk;
pub(crate) use kind::FrameKind;
use stage::FilterStage;
use until::Until;

/// The expressions of a run.
#[derive(Debug)]
pub(crate) struct Filters {
    /// What is kept of the sources of the package.
    own: Compiled,
    /// Expressions for the sources of modules, and whether those of the package have passed it.
    of_modules: Vec<(Expr, bool)>,
    until: Option<Expr>,
    talk: Talk,
}

/// Filters by the index of a source and the type of its records; 0 for a reading. What has none is
/// kept.
pub(crate) type Compiled = BTreeMap<(usize, usize), Filter>;

/// The names of this machine.
struct SystemNames;

impl Names for SystemNames {
    fn all(&self, meaning: Meaning) -> Vec<(i128, String)> {
        named_numbers(meaning)
    }

    fn unlisted(&self, meaning: Meaning, name: &str) -> Option<i128> {
        number_named(meaning, name)
    }
}

impl Filters {
    /// Compiles the expressions of a plan for the sources of a package.
    ///
    /// # Errors
    /// With the exit code for the command line, when one does not fit them.
    pub(crate) fn new(
        plan: &Plan,
        spec: &Spec,
        has_modules: bool,
        talk: &Talk,
    ) -> Result<Filters, Failure> {
        let (mut own, mut of_modules) = (Compiled::new(), Vec::new());
        for expr in &plan.filters {
            let fits = match compile(expr, &spec.sources) {
                Ok(compiled) => {
                    note(&compiled, &spec.sources, talk);
                    add(&mut own, compiled);
                    true
                }
                // A module may have what the package has not.
                Err(_) if has_modules => false,
                Err(error) => return Err(expr_failure("--filter", &error)),
            };
            of_modules.push((expr.clone(), fits));
        }
        let filters = Filters { own, of_modules, until: plan.until.clone(), talk: talk.clone() };
        if !has_modules {
            filters.until(&spec.sources, spec.sources.len())?;
        }
        Ok(filters)
    }

    /// What stands before the modules.
    pub(crate) fn stage(&self) -> Option<Box<dyn Stage>> {
        FilterStage::of(self.own.clone())
    }

    /// What stands behind the modules, whose sources are `added` to those of the package.
    ///
    /// # Errors
    /// When an expression fits neither.
    pub(crate) fn behind(
        &self,
        own: &[Source],
        added: &[Source],
    ) -> Result<Vec<Box<dyn Stage>>, Failure> {
        let mut filters = Compiled::new();
        let all = [own, added].concat();
        for (expr, has_passed) in &self.of_modules {
            match compile(expr, added) {
                // Records that a module made of those that have passed are kept.
                Ok(mut compiled) if *has_passed => {
                    compiled.retain(|_, filter| filter.can_match());
                    add(&mut filters, compiled);
                }
                Ok(compiled) => {
                    note(&compiled, added, &self.talk);
                    add(&mut filters, compiled);
                }
                Err(_) if *has_passed => {}
                Err(error) => {
                    // The names of all sources help more.
                    let error = compile(expr, &all).err().unwrap_or(error);
                    return Err(expr_failure("--filter", &error));
                }
            }
        }
        let filter = FilterStage::of(filters);
        Ok(filter.into_iter().chain(self.until(&all, own.len())?).collect())
    }

    fn until(&self, sources: &[Source], own: usize) -> Result<Option<Box<dyn Stage>>, Failure> {
        let Some(expr) = &self.until else { return Ok(None) };
        let compiled = compile(expr, sources).map_err(|error| expr_failure("--until", &error))?;
        Ok(Some(Box::new(Until::new(compiled, own))))
    }
}

/// Compiles an expression for all kinds of frames, of which one has to have what it needs.
fn compile(expr: &Expr, sources: &[Source]) -> Result<Compiled, FilterError> {
    let kinds = FrameKind::all(sources);
    let scopes: Vec<Scope<'_>> = kinds.iter().map(FrameKind::scope).collect();
    let filters = Filter::compile_all(expr, &scopes, &SystemNames)?;
    if !filters.iter().any(Filter::can_match) {
        return Err(FilterError {
            message: "neither records nor maps have all of these members".into(),
            expression: expr.text().to_owned(),
            span: 0..expr.text().len(),
            hint: None,
        });
    }
    Ok(kinds.iter().map(FrameKind::key).zip(filters).collect())
}

/// Adds what has to hold, too.
fn add(filters: &mut Compiled, more: Compiled) {
    for (key, filter) in more {
        let filter = match filters.remove(&key) {
            Some(before) => before.and(filter),
            None => filter,
        };
        filters.insert(key, filter);
    }
}

/// Tells of what nothing is shown.
fn note(filters: &Compiled, sources: &[Source], talk: &Talk) {
    for kind in FrameKind::all(sources) {
        let filter = filters.get(&kind.key()).filter(|filter| !filter.can_match());
        if let Some(name) = filter.and_then(|filter| filter.missing().first()) {
            let kind = kind.in_words();
            talk.note(&format!("{kind} has no member `{name}`: --filter hides it"));
        }
    }
}

#[cfg(test)]
mod tests;
