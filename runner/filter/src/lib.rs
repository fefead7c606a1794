// SPDX-License-Identifier: MIT
//! Filters on members of records and readings. An expression is parsed once ([`Expr`]) and compiled
//! for the layout of each kind of frame ([`Filter`]), which then decides whether bytes are kept. It
//! does not know the kernel, and prints nothing.
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
//! `== != < <= > >=` compare a member with a constant, `~` and `!~` with a regular expression, and
//! `in` with a list or a network. `&& || !` (also `and`, `or`, `not`) and parentheses combine them,
//! with the precedence of C. A member alone is true if it is not zero.
//!
//! Names are names of members, in any case; `a.b` and `a[3]` refer to inner members, `key.a` and
//! `value.a` to members of the key or the value. The member determines how a constant is read: as
//! text, as a number (`10`, `0xa`, `1_000`, `1.5`) or the name of one (in its enum, or by its
//! [`Meaning`]), as a duration (`1.5ms`) if the member has a unit, as a size (`4K`), or as an
//! address. Comparisons are exact, also between units. The name of an error without a sign equals
//! both signs with [`Meaning::Errno`], and the negative number with [`Meaning::Result`].
//!
//! A member that a record is too short for, or that its type lacks, is unknown, like NULL in SQL.
//! A frame is kept only if the expression is true.
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
