// SPDX-License-Identifier: MIT
//! Filters for records and readings (`--filter`), and the condition that ends the run (`--until`).
//! Expressions are compiled before anything is loaded, except those with names that only modules
//! may have.

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
    /// Filters for the sources of the package.
    own: Compiled,
    /// Expressions for the sources of modules; true if they also fit, and filter, the package's
    /// sources.
    of_modules: Vec<(Expr, bool)>,
    until: Option<Expr>,
    talk: Talk,
}

/// Filters by the index of the source and of the record type; 0 for a reading. Frames without a
/// filter are kept.
pub(crate) type Compiled = BTreeMap<(usize, usize), Filter>;

/// Names that depend on this machine.
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
    /// Returns a usage failure if an expression does not fit the sources.
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
                // A module may add the missing members.
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

    /// The stage before the modules.
    pub(crate) fn stage(&self) -> Option<Box<dyn Stage>> {
        FilterStage::of(self.own.clone())
    }

    /// The stages after the modules, which have `added` sources.
    ///
    /// # Errors
    /// Returns an error if an expression fits neither the package's sources nor those of the
    /// modules.
    pub(crate) fn behind(
        &self,
        own: &[Source],
        added: &[Source],
    ) -> Result<Vec<Box<dyn Stage>>, Failure> {
        let mut filters = Compiled::new();
        let all = [own, added].concat();
        for (expr, has_passed) in &self.of_modules {
            match compile(expr, added) {
                // The expression has filtered the input of the modules, so sources that it does not
                // fit are kept.
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
                    // An error that lists the names of all sources is more useful.
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

/// Compiles an expression for all kinds of frames. At least one kind must have all members in it.
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

/// Adds filters; all filters of a kind must hold.
fn add(filters: &mut Compiled, more: Compiled) {
    for (key, filter) in more {
        let filter = match filters.remove(&key) {
            Some(before) => before.and(filter),
            None => filter,
        };
        filters.insert(key, filter);
    }
}

/// Reports the kinds of frames that the filters hide completely.
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
