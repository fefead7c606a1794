// SPDX-License-Identifier: MIT
//! What can be asked for of the arrangement of readings.

/// Keys that are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Those with the same member of this name.
    By(String),
    /// All.
    Merge,
}

/// What entries are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The name of a column, in upper or lower case.
    pub column: String,
    /// The smallest comes first.
    pub is_ascending: bool,
}
