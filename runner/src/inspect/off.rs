// SPDX-License-Identifier: MIT
//! Without the feature `policy`, packages are not inspected.

use crate::args::Inspect;
use crate::failure::Failure;

/// Says that this build cannot inspect.
///
/// # Errors
/// Always.
pub(crate) fn inspect(_: &Inspect) -> Result<u8, Failure> {
    let text = "this ecli was built without support for `ecli inspect`";
    Err(Failure::usage(text).hint("use an ecli with its default features"))
}
