// SPDX-License-Identifier: MIT
//! Post-processors for ecli in Rust: the interface `bpfpack`, version 1. runner/WASM.md is the
//! reference.
//!
//! ```
//! use bpfpack::{About, Batch, Error, Flow, Member, Module, Source};
//!
//! struct Long {
//!     ran: Member,
//!     least: u64,
//! }
//!
//! impl Module for Long {
//!     fn start(_: &About<'_>) -> Result<Long, Error> {
//!         let ran = Source::named("events")?.member(0, "duration_ns")?;
//!         Ok(Long { ran, least: bpfpack::parameter_time("least", 5_000_000)? })
//!     }
//!
//!     fn records(&mut self, batch: &Batch<'_>) -> Flow {
//!         for record in batch.records().filter(|record| record.u64(self.ran) >= self.least) {
//!             record.emit();
//!         }
//!         Flow::Continue
//!     }
//! }
//!
//! bpfpack::export!(Long: records);
//! ```
//!
//! The crate type is `cdylib`, the target `wasm32-unknown-unknown`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! bpfpack-sdk = { path = "…/runner/sdk/rust" }
//!
//! [profile.release]
//! lto = true
//! panic = "abort"
//! strip = "debuginfo"
//! ```
//!
//! `cargo build --release --target wasm32-unknown-unknown` builds the module; `examples/wasm.sh`
//! shows how to build it with `rustc` alone. On other targets, nothing is exported, and the
//! functions of ecli are stubs that find nothing and show nothing, so the logic of a module can be
//! tested on the host.
//!
//! This target has no stdout and no stderr: `println!` prints nothing (use [`text!`]), and a panic
//! does not show its message. To show it, a module with `std` sets a hook at its start:
//!
//! ```
//! std::panic::set_hook(Box::new(|why| bpfpack::fail!("{why}")));
//! ```
#![no_std]
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod about;
pub mod ask;
#[doc(hidden)]
pub mod border;
pub mod declare;
mod json;
mod maps;
mod record;
mod text;
mod values;

use core::fmt;

pub use about::{About, Source};
pub use ask::{argument, parameter, parameter_bool, parameter_time, parameter_u64};
pub use declare::{declare, declare_json, Output};
pub use json::Json;
pub use maps::{clock, every, stop, symbol, Clock, Map};
#[cfg(feature = "alloc")]
pub use record::RowBytes;
pub use record::{Batch, Element, Member, Record, Sample, Type};
pub use text::{fail, note, show_json, text, warn, Chars, Line, Quoted, ToJson};

/// Whether the run continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The run continues.
    Continue,
    /// The run ends, as with Ctrl-C: the records left in the buffers follow, then [`Module::end`].
    Stop,
}

/// A post-processor. [`export!`] makes it a Wasm module.
pub trait Module: Sized {
    /// Called once, before the programs are attached. `about` describes the package.
    ///
    /// # Errors
    /// An error ends the run, and ecli prints it.
    fn start(about: &About<'_>) -> Result<Self, Error>;

    /// Called for a batch of records of a buffer. By default, all of them are emitted.
    fn records(&mut self, batch: &Batch<'_>) -> Flow {
        batch.records().for_each(|record| record.emit());
        Flow::Continue
    }

    /// Called for a reading of a map. By default, it is shown unchanged.
    fn sample(&mut self, sample: &Sample<'_>) -> Flow {
        sample.show();
        Flow::Continue
    }

    /// Called at the interval that [`every`] sets. `time` is [`Clock::Monotonic`], in nanoseconds.
    fn tick(&mut self, _time: u64) -> Flow {
        Flow::Continue
    }

    /// Called once, after the last record and the last reading.
    fn end(&mut self) -> Flow {
        Flow::Continue
    }
}

/// Something that a module asks for does not exist, or has another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The package has no source of this name.
    NoSource(&'static str),
    /// A source has no member of this name.
    NoMember(&'static str),
    /// The package has no map of this name.
    NoMap(&'static str),
    /// A parameter is not a number.
    NoNumber(&'static str),
    /// A parameter is not a time.
    NoTime(&'static str),
    /// A parameter is neither true nor false.
    NoBool(&'static str),
    /// ecli refused the declaration of a source.
    NotDeclared,
    /// A message of the module.
    Other(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSource(name) => write!(f, "the package has no source `{name}`"),
            Error::NoMember(name) => write!(f, "the source has no member `{name}`"),
            Error::NoMap(name) => write!(f, "the package has no map `{name}`"),
            Error::NoNumber(name) => write!(f, "--wasm-arg {name}: it is not a number"),
            Error::NoTime(name) => write!(f, "--wasm-arg {name}: it is not a time such as 5ms"),
            Error::NoBool(name) => write!(f, "--wasm-arg {name}: it is neither true nor false"),
            Error::NotDeclared => f.write_str("ecli refused to declare a source"),
            Error::Other(text) => f.write_str(text),
        }
    }
}

/// Exports a [`Module`].
///
/// `export!(Type)` exports all functions; the defaults of [`Module`] pass everything on.
/// `export!(Type: records, end)` exports only these. ecli then does not call the module for the
/// others, which saves time.
#[macro_export]
macro_rules! export {
    ($module:ty) => {
        $crate::export!($module: records, sample, tick, end);
    };
    ($module:ty: $($function:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static MODULE: $crate::border::Slot<$module> = $crate::border::Slot::new();

            #[allow(unsafe_code)]
            #[no_mangle]
            extern "C" fn bpfpack_start(text: usize, len: usize) -> i32 {
                MODULE.start(text, len)
            }
            $($crate::export_function!($function);)+
        };
        // On other targets, check only that the type is a module.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            fn _is_module<T: $crate::Module>() {}
            fn _checked() {
                $(let _ = stringify!($function);)+
                _is_module::<$module>();
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_function {
    (records) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        extern "C" fn bpfpack_records(source: u32, at: usize, len: usize, time: u64) -> i32 {
            MODULE.records(source, at, len, time)
        }
    };
    (sample) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        extern "C" fn bpfpack_sample(source: u32, at: usize, len: usize, time: u64) -> i32 {
            MODULE.sample(source, at, len, time)
        }
    };
    (tick) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        extern "C" fn bpfpack_tick(time: u64) -> i32 {
            MODULE.tick(time)
        }
    };
    (end) => {
        #[allow(unsafe_code)]
        #[no_mangle]
        extern "C" fn bpfpack_end() -> i32 {
            MODULE.end()
        }
    };
}
