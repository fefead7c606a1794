// SPDX-License-Identifier: MIT
//! What a module's host functions work on: what all modules of a run share, and what one has said.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wasmtime::Memory;

use super::maps::Table;
use super::sources::Source;
use crate::symbols::Symbols;
use crate::wasm::engine::{Limited, Limiter};
use crate::wasm::memory::Guest;

/// Bytes that a call may emit before ecli shows them.
const MOST_EMITTED: usize = 64 << 20;

/// What all modules of a run share.
#[derive(Debug)]
pub struct World {
    /// All sources, those of the package first.
    pub sources: RefCell<Vec<Source>>,
    /// How many of them there are before any module has declared one.
    pub of_package: usize,
    /// The package's name.
    pub package: String,
    /// The name of the output's format.
    pub format: String,
    /// The package's arguments.
    pub arguments: Vec<(String, String)>,
    /// The package's maps.
    pub maps: Table,
    /// The members that the user wants to see.
    pub fields: Vec<String>,
    /// The names of addresses, once one was asked for.
    pub symbols: RefCell<Option<Symbols>>,
    /// Nothing but errors on stderr.
    pub is_quiet: bool,
}

/// What a module has emitted: its bytes are in [`State::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emitted {
    /// A record of a source.
    Record {
        /// The source.
        source: u32,
        /// How many bytes.
        len: usize,
    },
    /// The rows of a reading.
    Rows {
        /// The source.
        source: u32,
        /// How many bytes.
        len: usize,
    },
    /// Text.
    Text {
        /// How many bytes.
        len: usize,
    },
    /// JSON on one line.
    Json {
        /// How many bytes.
        len: usize,
    },
}

/// What a module asked for at the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// ecli's exit code.
    pub code: u8,
}

/// The data of a module's store.
#[derive(Debug)]
pub struct State {
    /// What all share.
    pub world: Rc<World>,
    /// What messages call it.
    pub name: String,
    /// What `--wasm-arg` says to it.
    pub parameters: Vec<(String, String)>,
    memory: Option<Memory>,
    /// Its limits.
    pub limiter: Limiter,
    /// What it has emitted in this call, in order.
    pub emitted: Vec<Emitted>,
    /// The bytes of that.
    pub bytes: Vec<u8>,
    /// It may declare sources now.
    pub is_starting: bool,
    /// When the call began.
    pub began: Instant,
    /// How often it wants to be called.
    pub every: Option<Duration>,
    /// It wants the run to end.
    pub stop: Option<Stop>,
    /// Why it says that it failed.
    pub complaint: Option<String>,
}

impl State {
    /// A module that was not called.
    pub fn new(
        world: &Rc<World>,
        name: &str,
        parameters: Vec<(String, String)>,
        limiter: Limiter,
    ) -> State {
        State {
            world: Rc::clone(world),
            name: name.to_owned(),
            parameters,
            memory: None,
            limiter,
            emitted: Vec::new(),
            bytes: Vec::new(),
            is_starting: false,
            began: Instant::now(),
            every: None,
            stop: None,
            complaint: None,
        }
    }

    /// Keeps what was emitted.
    ///
    /// # Errors
    /// When it is too much for one call.
    pub fn keep(&mut self, what: Emitted, bytes: &[u8]) -> Result<(), TooMuch> {
        if self.bytes.len() + bytes.len() > MOST_EMITTED {
            return Err(TooMuch);
        }
        self.bytes.extend_from_slice(bytes);
        self.emitted.push(what);
        Ok(())
    }
}

/// A call emitted more than is kept.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it emitted more than {} MB in one call", MOST_EMITTED >> 20)]
pub struct TooMuch;

impl Guest for State {
    fn memory(&mut self) -> &mut Option<Memory> {
        &mut self.memory
    }
}

impl Limited for State {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}
