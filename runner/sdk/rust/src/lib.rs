// SPDX-License-Identifier: MIT
//! Post-processors for ecli in Rust: the interface `bpfpack`, version 1 (runner/WASM.md).
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
//! `cargo build --release --target wasm32-unknown-unknown` makes the module; `examples/wasm.sh` shows how
//! `rustc` does without cargo. On other targets nothing is exported, and the functions of ecli find
//! nothing and show nothing: a module's own logic can be tested where it is written.
//!
//! This target has no stdout and no stderr: `println!` shows nothing ([`text!`] does), and neither
//! does a panic say why. To have it do so, a module with `std` writes at its start
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

/// Whether the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It ends, as by Ctrl-C: what is left in the buffers still comes, then [`Module::end`].
    Stop,
}

/// A post-processor. [`export!`] makes a Wasm module of it.
pub trait Module: Sized {
    /// Before the programs are attached.
    ///
    /// # Errors
    /// What it returns ends the run, and is shown.
    fn start(about: &About<'_>) -> Result<Self, Error>;

    /// Records of a buffer. As it is here, they go past.
    fn records(&mut self, batch: &Batch<'_>) -> Flow {
        batch.records().for_each(|record| record.emit());
        Flow::Continue
    }

    /// A reading of a map. As it is here, it goes past.
    fn sample(&mut self, sample: &Sample<'_>) -> Flow {
        sample.show();
        Flow::Continue
    }

    /// As often as [`every`] asked for. The time is that of [`Clock::Monotonic`].
    fn tick(&mut self, _time: u64) -> Flow {
        Flow::Continue
    }

    /// When all else is over.
    fn end(&mut self) -> Flow {
        Flow::Continue
    }
}

/// What a module asks for, and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The package has no source of this name.
    NoSource(&'static str),
    /// A source has no member of this name.
    NoMember(&'static str),
    /// The package has no map of this name.
    NoMap(&'static str),
    /// A parameter is no number.
    NoNumber(&'static str),
    /// A parameter is no time.
    NoTime(&'static str),
    /// A parameter is neither true nor false.
    NoBool(&'static str),
    /// A source cannot be declared so.
    NotDeclared,
    /// What the module says itself.
    Other(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSource(name) => write!(f, "the package has no source `{name}`"),
            Error::NoMember(name) => write!(f, "the source has no member `{name}`"),
            Error::NoMap(name) => write!(f, "the package has no map `{name}`"),
            Error::NoNumber(name) => write!(f, "--wasm-arg {name}: this is no number"),
            Error::NoTime(name) => write!(f, "--wasm-arg {name}: this is no time; 5ms and 2s are"),
            Error::NoBool(name) => write!(f, "--wasm-arg {name}: neither true nor false"),
            Error::NotDeclared => f.write_str("a source cannot be declared so"),
            Error::Other(text) => f.write_str(text),
        }
    }
}

/// Exports a [`Module`].
///
/// `export!(Type)` exports all of its functions; those that it does not write let everything past.
/// `export!(Type: records, end)` exports these: ecli then does not call the module for the others,
/// which saves the way through it.
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
        // Elsewhere, that the type is a module is still checked.
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
