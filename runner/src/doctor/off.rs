// SPDX-License-Identifier: MIT
//! Without the feature `policy`, machines are not examined.

use crate::args::Doctor;
use crate::failure::Failure;

/// Says that this build cannot examine the machine.
///
/// # Errors
/// Always.
pub(crate) fn perform(_: &Doctor) -> Result<u8, Failure> {
    let text = "this ecli was built without support for `ecli doctor`";
    Err(Failure::usage(text).hint("use an ecli with its default features"))
}
