// SPDX-License-Identifier: MIT
//! Options for the arrangement of readings.

/// Which keys are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Those with the same value of this member.
    By(String),
    /// All.
    Merge,
}

/// What entries are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The name of a column, in any case.
    pub column: String,
    /// Whether the smallest comes first.
    pub is_ascending: bool,
}
