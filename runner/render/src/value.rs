// SPDX-License-Identifier: MIT
//! Single values, as JSON and as text for people.

pub(crate) mod flat;
pub(crate) mod json;
pub(crate) mod text;
