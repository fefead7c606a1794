// SPDX-License-Identifier: MIT
//! Parameters of the module (`--wasm-arg`), and arguments of the package. They are asked for by the
//! start; a value of more than 4096 bytes is cut.

use crate::{border, values, Error};

/// The text that a parameter or an argument has.
#[derive(Debug, Clone)]
pub struct Given {
    bytes: [u8; 4096],
    len: usize,
}

impl Given {
    fn ask(ask: impl FnOnce(&mut [u8]) -> i32) -> Option<Given> {
        let mut bytes = [0; 4096];
        let len = usize::try_from(ask(&mut bytes)).ok()?;
        Some(Given { bytes, len: len.min(4096) })
    }

    /// It as text; what is no UTF-8 is left out.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..self.len];
        core::str::from_utf8(bytes)
            .or_else(|error| core::str::from_utf8(&bytes[..error.valid_up_to()]))
            .unwrap_or("")
    }
}

/// What `--wasm-arg name=value` said.
#[must_use]
pub fn parameter(name: &str) -> Option<Given> {
    Given::ask(|room| border::parameter(name, room))
}

/// The value of an argument of the package, by the name of its variable.
#[must_use]
pub fn argument(name: &str) -> Option<Given> {
    Given::ask(|room| border::argument(name, room))
}

fn parse<T>(
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    otherwise: T,
    error: Error,
) -> Result<T, Error> {
    match parameter(name) {
        Some(given) => parse(given.as_str()).ok_or(error),
        None => Ok(otherwise),
    }
}

/// A parameter that is a number.
///
/// # Errors
/// Where it is none.
pub fn parameter_u64(name: &'static str, otherwise: u64) -> Result<u64, Error> {
    parse(name, values::number, otherwise, Error::NoNumber(name))
}

/// A parameter that is a time, as `5ms` or `1.5s`, in nanoseconds; a number without a unit is
/// nanoseconds.
///
/// # Errors
/// Where it is none.
pub fn parameter_time(name: &'static str, otherwise: u64) -> Result<u64, Error> {
    parse(name, values::time, otherwise, Error::NoTime(name))
}

/// A parameter that is a switch: on as `true`, `yes`, `on`, `1`, or nothing (`--wasm-arg name=`).
///
/// # Errors
/// Where it is none.
pub fn parameter_bool(name: &'static str, otherwise: bool) -> Result<bool, Error> {
    parse(name, values::switch, otherwise, Error::NoBool(name))
}
