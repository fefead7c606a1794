// SPDX-License-Identifier: MIT
//! Without the feature `explanations`, no names are suggested.

use std::collections::BTreeSet;

use crate::kernel::Facts;

/// Says that the kernel has no function of a name; `None` if it has one.
pub(super) fn function(name: &str, kernel: &dyn Facts) -> Option<String> {
    let is_missing = kernel.functions_among(&BTreeSet::from([name])).is_empty();
    is_missing.then(|| format!("this kernel has no function `{name}` that can be traced"))
}

/// Says that the kernel has no tracepoint of a name; `None` if it has one, or if that is not known.
pub(super) fn tracepoint(name: &str, kernel: &dyn Facts) -> Option<String> {
    let is_missing = kernel.has_tracepoint(name) == Some(false);
    (is_missing && name.contains('/')).then(|| format!("this kernel has no tracepoint `{name}`"))
}

/// Suggests nothing.
pub(super) fn names<'n>(_: &str, _: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    Vec::new()
}

/// A sentence without suggestions.
pub(super) fn suggested(cause: String, _: &[impl AsRef<str>]) -> String {
    cause
}
