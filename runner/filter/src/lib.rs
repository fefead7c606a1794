// SPDX-License-Identifier: MIT
//! Filters on members of records and readings. An expression is parsed once ([`Expr`]), compiled
//! for the layout of each kind of frames ([`Filter`]), and then says of bytes whether they are
//! kept. Knows no kernel, and prints nothing.
//!
//! ```
//! use bpfpack_decode::{Layout, Member, Struct};
//! use bpfpack_filter::{Expr, Filter, NoNames, Scope};
//!
//! let layout = Layout::Struct(Struct {
//!     size: 8,
//!     members: vec![
//!         Member::new("latency_us", 0, Layout::Int { size: 4, signed: false }),
//!         Member::new("comm", 4, Layout::Text { size: 4 }),
//!     ],
//! });
//! let expr = Expr::parse("comm == dd && latency_us > 1.5ms")?;
//! let filter = Filter::compile(&expr, &Scope::record(&layout), &NoNames)?;
//! assert!(filter.matches_record(b"\xdd\x05\0\0dd\0\0"));
//! assert!(!filter.matches_record(b"\xdc\x05\0\0dd\0\0"));
//!
//! let expr = Expr::parse("latncy_us > 1ms")?;
//! let error = Filter::compile(&expr, &Scope::record(&layout), &NoNames).unwrap_err();
//! assert_eq!(error.to_string(), "there is no member `latncy_us`");
//! assert_eq!(error.marked(), "latncy_us > 1ms\n^^^^^^^^^");
//! # Ok::<(), bpfpack_filter::FilterError>(())
//! ```
//!
//! # Expressions
//! `== != < <= > >=` compare a member with a constant, `~` and `!~` with a regular expression, `in`
//! with a list or a network. `&& || !` (also `and`, `or`, `not`) and parentheses connect them, with
//! the precedence of C. A member alone is true where it is not zero.
//!
//! Names are those of members in any case; `a.b` and `a[3]` are inside of others, `key.a` and
//! `value.a` of one part. What a constant is, the member decides: its text, a number (`10`, `0xa`,
//! `1_000`, `1.5`) or a name of one (of its enum, or by its [`Meaning`]), a time span (`1.5ms`) where
//! it has a unit, a size (`4K`), an address.
//! Comparisons are exact, also between units. An error without a sign is equal to either sign by
//! [`Meaning::Errno`], and to the one below zero by [`Meaning::Result`].
//!
//! A member that a record is too short for, or that its type does not have, is unknown, as NULL is
//! in SQL. What is not true is not kept.
//!
//! [`Meaning`]: bpfpack_decode::meaning::Meaning
//! [`Meaning::Errno`]: bpfpack_decode::meaning::Meaning::Errno
//! [`Meaning::Result`]: bpfpack_decode::meaning::Meaning::Result
#![forbid(unsafe_code)]

mod compile;
mod error;
mod exact;
mod expr;
mod filter;
mod names;
mod pattern;
mod scope;
mod token;
mod tree;

pub use error::FilterError;
pub use expr::{Expr, quoted};
pub use filter::Filter;
pub use names::{Names, NoNames};
pub use pattern::Pattern;
pub use scope::{Derived, Part, Scope};
pub use token::Op;
pub use tree::{Address, Network, Number, Test, Text, Value, Version};

#[cfg(test)]
mod tests;
