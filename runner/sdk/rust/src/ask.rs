// SPDX-License-Identifier: MIT
//! Parameters of the module (`--wasm-arg`), and arguments of the package. They do not change during
//! a run. A value is truncated to 4096 bytes.

use crate::{border, values, Error};

/// The text of a parameter or an argument.
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

    /// The text, up to the first invalid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..self.len];
        core::str::from_utf8(bytes)
            .or_else(|error| core::str::from_utf8(&bytes[..error.valid_up_to()]))
            .unwrap_or("")
    }
}

/// The value of `--wasm-arg name=value`; `None` if it is not given.
#[must_use]
pub fn parameter(name: &str) -> Option<Given> {
    Given::ask(|room| border::parameter(name, room))
}

/// The value of an argument of the package, by the name of its variable; `None` if it does not
/// exist.
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

/// A parameter that is a number, decimal or hexadecimal (`0x`); `otherwise` if it is not given.
///
/// # Errors
/// [`Error::NoNumber`] if it is anything else.
pub fn parameter_u64(name: &'static str, otherwise: u64) -> Result<u64, Error> {
    parse(name, values::number, otherwise, Error::NoNumber(name))
}

/// A parameter that is a time, such as `5ms` or `1.5s`, in nanoseconds; `otherwise` if it is not
/// given. A number without a unit means nanoseconds. The units are `ns`, `us`, `ms`, `s`, `m` and
/// `h`.
///
/// # Errors
/// [`Error::NoTime`] if it is anything else.
pub fn parameter_time(name: &'static str, otherwise: u64) -> Result<u64, Error> {
    parse(name, values::time, otherwise, Error::NoTime(name))
}

/// A parameter that is a switch: `true`, `yes`, `on`, `1` and an empty value (`--wasm-arg name=`)
/// are true; `false`, `no`, `off` and `0` are false. `otherwise` if it is not given.
///
/// # Errors
/// [`Error::NoBool`] if it is anything else.
pub fn parameter_bool(name: &'static str, otherwise: bool) -> Result<bool, Error> {
    parse(name, values::switch, otherwise, Error::NoBool(name))
}
