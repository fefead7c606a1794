// SPDX-License-Identifier: MIT
//! Standard output. Nothing else writes there.

use std::io::{self, Write as _};

use crate::failure::{Failure, exit_code};

/// Takes rendered bytes.
#[derive(Debug, Default)]
pub struct Sink;

/// Whether the reader is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// It is.
    There,
    /// It has closed the pipe: it has seen enough.
    Gone,
}

impl Sink {
    /// Writes all of `data`, and clears it.
    pub fn write(&mut self, data: &mut Vec<u8>) -> Result<Reader, Failure> {
        if data.is_empty() {
            return Ok(Reader::There);
        }
        let mut stdout = io::stdout().lock();
        let result = stdout.write_all(data).and_then(|()| stdout.flush());
        data.clear();
        match result {
            Ok(()) => Ok(Reader::There),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(error) => Err(Failure::new(
                exit_code::OUTPUT,
                anyhow::Error::new(error).context("can not write the output"),
            )),
        }
    }
}
