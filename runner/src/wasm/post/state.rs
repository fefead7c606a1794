// SPDX-License-Identifier: MIT
//! The data of a module's host functions: what all modules of a run share, and what one has
//! emitted.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wasmtime::Memory;

use super::maps::Table;
use super::sources::ModuleSource;
use crate::symbolizer::SharedSymbols;
use crate::talk;
use crate::wasm::engine::{Limited, Limiter};
use crate::wasm::memory::Guest;
use crate::wasm::wasi::{Answer, HasWasi, Output, Streams, Wasi, WasiError};

/// The maximum number of bytes that a call may emit.
pub(super) const MOST_EMITTED: usize = 64 << 20;

/// The minimum size of a piece, in bytes, so that empty pieces count, too.
const PIECE: usize = 32;

/// Bytes of a module's messages that are kept with `--quiet`.
const LAST_WORDS: usize = 2 << 10;

/// Bytes of an incomplete line that are kept.
const LONGEST_LINE: usize = 64 << 10;

/// The data that all modules of a run share.
#[derive(Debug)]
pub(super) struct World {
    /// All sources, those of the package first.
    pub sources: RefCell<Vec<ModuleSource>>,
    /// The number of sources in the package; those of modules follow.
    pub of_package: usize,
    /// The package's name.
    pub package: String,
    /// The name of the output's format.
    pub format: String,
    /// The package's arguments.
    pub arguments: Vec<(String, String)>,
    /// The package's maps.
    pub maps: Table,
    /// The members to show; empty shows all.
    pub fields: Vec<String>,
    /// The names of addresses.
    pub symbols: SharedSymbols,
    /// Whether standard error shows only errors.
    pub is_quiet: bool,
}

/// What a module has emitted. The bytes are in [`State::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitted {
    /// A record of a source.
    Record {
        /// The source.
        source: u32,
        /// Its length in bytes.
        len: usize,
    },
    /// The rows of a reading.
    Rows {
        /// The source.
        source: u32,
        /// Their length in bytes.
        len: usize,
    },
    /// Text.
    Text {
        /// Its length in bytes.
        len: usize,
    },
    /// JSON on one line.
    Json {
        /// Its length in bytes.
        len: usize,
    },
}

/// The data of a module's store.
#[derive(Debug)]
pub(super) struct State {
    /// The data that all modules share.
    pub world: Rc<World>,
    /// Its name in messages.
    pub name: String,
    /// Its arguments from `--wasm-arg`.
    pub parameters: Vec<(String, String)>,
    memory: Option<Memory>,
    wasi: Wasi,
    /// The time limit of a call, including sleeps.
    limit: Duration,
    /// Incomplete lines that it has written to standard output and standard error.
    lines: [Vec<u8>; 2],
    /// The end of its messages on standard error, with `--quiet`.
    last_words: Vec<u8>,
    /// Its limits.
    pub limiter: Limiter,
    /// What it has emitted in this call, in order.
    pub emitted: Vec<Emitted>,
    /// The bytes of that.
    pub bytes: Vec<u8>,
    /// How much of [`MOST_EMITTED`] is used.
    used: usize,
    /// Whether it may declare sources.
    pub is_starting: bool,
    /// When the call began.
    pub began: Instant,
    /// The interval of its ticks.
    pub every: Option<Duration>,
    /// The exit code with which it ends the run.
    pub stop: Option<u8>,
    /// The reason for its failure, in its own words.
    pub complaint: Option<String>,
}

impl State {
    /// The state of a module that was not called.
    pub(super) fn new(
        world: &Rc<World>,
        name: &str,
        parameters: Vec<(String, String)>,
        wasi: Wasi,
        limiter: Limiter,
        limit: Duration,
    ) -> State {
        State {
            world: Rc::clone(world),
            name: name.to_owned(),
            parameters,
            memory: None,
            wasi,
            limit,
            lines: [Vec::new(), Vec::new()],
            last_words: Vec::new(),
            limiter,
            emitted: Vec::new(),
            bytes: Vec::new(),
            used: 0,
            is_starting: false,
            began: Instant::now(),
            every: None,
            stop: None,
            complaint: None,
        }
    }

    /// Stores what was emitted.
    ///
    /// # Errors
    /// Returns an error if one call emits too much.
    pub(super) fn keep(&mut self, what: Emitted, bytes: &[u8]) -> Result<(), TooMuch> {
        self.keep_pieces(what, bytes, 1)
    }

    /// The same for data that ecli splits into this number of pieces.
    ///
    /// # Errors
    /// Returns an error if one call emits too much.
    pub(super) fn keep_pieces(
        &mut self,
        what: Emitted,
        bytes: &[u8],
        pieces: usize,
    ) -> Result<(), TooMuch> {
        let used = self.used + bytes.len().max(PIECE * pieces.max(1));
        if used > MOST_EMITTED {
            return Err(TooMuch);
        }
        self.used = used;
        self.bytes.extend_from_slice(bytes);
        self.emitted.push(what);
        Ok(())
    }

    /// Takes what was stored.
    pub(super) fn take_emitted(&mut self) -> (Vec<Emitted>, Vec<u8>) {
        self.used = 0;
        (std::mem::take(&mut self.emitted), std::mem::take(&mut self.bytes))
    }

    /// Takes what it writes, and shows complete lines.
    fn take(&mut self, to: Output, bytes: &[u8]) -> Result<(), TooMuch> {
        let at = match to {
            Output::Stdout => 0,
            Output::Stderr => 1,
        };
        let line = &mut self.lines[at];
        line.extend_from_slice(bytes);
        // An endless line is shown in pieces.
        let end = match line.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if line.len() >= LONGEST_LINE => line.len(),
            None => return Ok(()),
        };
        let whole: Vec<u8> = line.drain(..end).collect();
        self.show(to, &whole)
    }

    fn show(&mut self, to: Output, lines: &[u8]) -> Result<(), TooMuch> {
        match to {
            Output::Stdout => self.keep(Emitted::Text { len: lines.len() }, lines),
            Output::Stderr => {
                self.say(lines);
                Ok(())
            }
        }
    }

    /// Prints lines of a module on standard error. With `--quiet`, only the last ones are kept.
    pub(super) fn say(&mut self, lines: &[u8]) {
        if self.world.is_quiet {
            self.last_words.extend_from_slice(lines);
            let rest = self.last_words.len().saturating_sub(LAST_WORDS);
            self.last_words.drain(..rest);
            return;
        }
        for line in String::from_utf8_lossy(lines).lines() {
            let line = bpfpack_schemas::printable::clean(line);
            talk::line(format_args!("{}: {line}", self.name));
        }
    }

    /// Takes the lines that were kept with `--quiet`.
    pub(super) fn take_last_words(&mut self) -> Option<String> {
        let words = std::mem::take(&mut self.last_words);
        let clean = |line: &str| bpfpack_schemas::printable::clean(line);
        let lines: Vec<String> = String::from_utf8_lossy(&words).lines().map(clean).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Shows incomplete lines.
    pub(super) fn end_lines(&mut self) {
        for (at, to) in [Output::Stdout, Output::Stderr].into_iter().enumerate() {
            let line = std::mem::take(&mut self.lines[at]);
            if !line.is_empty() {
                // An excess was reported before.
                let _ = self.show(to, &line);
            }
        }
    }
}

impl Streams for State {
    fn write(&mut self, to: Output, bytes: &[u8]) -> Answer<usize> {
        self.take(to, bytes).map_err(|error| WasiError::End(error.into()))?;
        Ok(bytes.len())
    }

    fn wait(&mut self, time: Option<Duration>, input: bool) -> Answer<bool> {
        // Its input has ended, and a call has a time limit.
        if !input {
            let left = self.limit.saturating_sub(self.began.elapsed());
            std::thread::sleep(time.map_or(left, |time| time.min(left)));
        }
        Ok(input)
    }
}

impl HasWasi for State {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn streams(&mut self) -> &mut dyn Streams {
        self
    }
}

/// A call emitted too much.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it emitted more than {} MB in one call", MOST_EMITTED >> 20)]
pub(super) struct TooMuch;

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
