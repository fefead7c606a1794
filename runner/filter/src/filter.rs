// SPDX-License-Identifier: MIT
//! A filter: an expression that is bound to the members of one kind of frame.

use std::ops::Range;

use crate::compile::{Compiler, Missing};
use crate::error::{FilterError, names};
use crate::expr::Expr;
use crate::names::Names;
use crate::scope::Scope;
use crate::tree::{Test, Value};

/// The maximum number of names that are searched for suggestions.
const MOST_KNOWN: usize = 256;

/// An expression that is compiled for one kind of frame.
#[derive(Debug, Clone)]
pub struct Filter {
    test: Test,
    missing: Vec<String>,
}

impl Filter {
    /// Compiles an expression whose names must all be in the scope.
    ///
    /// # Errors
    /// Returns an error if a name is not in the scope, or if a value cannot be compared in this
    /// way.
    pub fn compile(
        expr: &Expr,
        scope: &Scope<'_>,
        names: &dyn Names,
    ) -> Result<Filter, FilterError> {
        let mut filters = Filter::compile_all(expr, std::slice::from_ref(scope), names)?;
        // There is one filter per scope.
        Ok(filters.remove(0))
    }

    /// Compiles an expression for several kinds of frames. Each name must be in at least one scope;
    /// in the others, comparisons with it are unknown.
    ///
    /// # Errors
    /// Returns an error if a name is in no scope, or if a value cannot be compared in this way.
    pub fn compile_all(
        expr: &Expr,
        scopes: &[Scope<'_>],
        known: &dyn Names,
    ) -> Result<Vec<Filter>, FilterError> {
        let mut missing = Vec::new();
        let filters = scopes.iter().map(|scope| {
            let mut compiler = Compiler::new(expr.text(), scope, known);
            let test = compiler.test(&expr.root)?;
            missing.push(compiler.missing);
            Ok(test)
        });
        let tests: Vec<Test> = filters.collect::<Result<_, _>>()?;
        let in_all = |span: &Range<usize>| {
            missing.iter().all(|missing: &Vec<Missing>| missing.iter().any(|it| it.span == *span))
        };
        if let Some(Missing { span, .. }) =
            missing.first().into_iter().flatten().find(|it| in_all(&it.span))
        {
            let mut all = missing.iter().flatten().filter(|it| it.span == *span);
            let error = all.find_map(|it| it.error.clone());
            return Err(error.unwrap_or_else(|| unknown(expr, span.clone(), scopes)));
        }
        let filter = |(test, missing): (Test, Vec<Missing>)| {
            let name = |it: Missing| expr.text()[it.span].to_owned();
            let mut missing: Vec<String> = missing.into_iter().map(name).collect();
            missing.dedup();
            Filter { test, missing }
        };
        Ok(tests.into_iter().zip(missing).map(filter).collect())
    }

    /// Whether a frame is kept: whether the expression is true for it, not false or unknown.
    /// `parts` are the bytes of the scope's parts, and `derived` returns a calculated number by its
    /// index.
    #[inline]
    #[must_use]
    pub fn matches(&self, parts: &[&[u8]], derived: &dyn Fn(usize) -> Option<Value>) -> bool {
        self.test.eval(parts, derived) == Some(true)
    }

    /// Whether a record is kept. A record has one part and no calculated numbers.
    #[inline]
    #[must_use]
    pub fn matches_record(&self, record: &[u8]) -> bool {
        self.matches(&[record], &|_| None)
    }

    /// The names in the expression that its frames do not have.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Whether it can keep any frame, given the names that are missing.
    #[must_use]
    pub fn can_match(&self) -> bool {
        self.test.can_be().0
    }

    /// The compiled expression.
    #[must_use]
    pub fn test(&self) -> &Test {
        &self.test
    }

    /// A filter that keeps what both keep.
    #[must_use]
    pub fn and(mut self, other: Filter) -> Filter {
        self.missing.extend(other.missing);
        Filter { test: Test::All(vec![self.test, other.test]), ..self }
    }
}

/// The error for a name that is in no scope.
fn unknown(expr: &Expr, span: Range<usize>, scopes: &[Scope<'_>]) -> FilterError {
    let name = &expr.text()[span.clone()];
    let mut known: Vec<&str> = Vec::new();
    for name in scopes.iter().flat_map(Scope::names) {
        if !known.contains(&name) && known.len() < MOST_KNOWN {
            known.push(name);
        }
    }
    let hint = match known.is_empty() {
        true => "it has no members".to_owned(),
        false => names("the members are", name, known.into_iter()),
    };
    let message = format!("there is no member `{name}`");
    FilterError::new(expr.text(), span, message).hint(hint)
}
