// SPDX-License-Identifier: MIT
//! Why the kernel refuses an object, in words. It reads what the verifier and libbpf write, and what
//! the object and the kernel's BTF say; it asks nothing of the kernel itself.
//!
//! ```
//! use bpfpack_refusal::verifier::{Program, explain};
//!
//! let log = "; return *value; @ x.bpf.c:9\n\
//!     6: (61) r0 = *(u32 *)(r0 +0)\n\
//!     R0 invalid mem access 'map_value_or_null'\n";
//! let program = Program { section: "tp/sched/sched_switch", ..Program::default() };
//! let found = explain(log, &program);
//! assert_eq!(found.cause, "a pointer may be NULL, and is used without a check");
//! assert_eq!(found.place.as_deref(), Some("x.bpf.c:9: return *value;"));
//! ```
//!
//! - [`verifier`]: the log of the verifier;
//! - [`relocation`]: CO-RE relocations that libbpf cannot resolve;
//! - [`near`]: the nearest of the names that exist;
//! - [`since`]: the version of Linux that introduced something.
#![forbid(unsafe_code)]

mod log;
pub mod near;
mod reason;
mod reasons;
pub mod relocation;
pub mod since;
pub mod verifier;
