// SPDX-License-Identifier: MIT
//! Without the feature `metrics`, there are no dashboards.

use crate::args::DashboardPlan;
use crate::failure::Failure;

/// Says that this build cannot write dashboards.
///
/// # Errors
/// Always.
pub(crate) fn write(_: &DashboardPlan) -> Result<(), Failure> {
    let text = "this ecli was built without support for `ecli dashboard`";
    Err(Failure::usage(text).hint("use an ecli with its default features"))
}
