// SPDX-License-Identifier: MIT
//! What a module's host functions work on: what all modules of a run share, and what one has said.

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

/// Bytes that a call may emit before ecli shows them.
pub(super) const MOST_EMITTED: usize = 64 << 20;

/// What is kept of each piece beside its bytes, at least: pieces without bytes count, too.
const PIECE: usize = 32;

/// Bytes of what a module says that are kept where nobody listens.
const LAST_WORDS: usize = 2 << 10;

/// Bytes of a line that are kept until it ends.
const LONGEST_LINE: usize = 64 << 10;

/// What all modules of a run share.
#[derive(Debug)]
pub(super) struct World {
    /// All sources, those of the package first.
    pub sources: RefCell<Vec<ModuleSource>>,
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
    /// The names of addresses.
    pub symbols: SharedSymbols,
    /// Nothing but errors on stderr.
    pub is_quiet: bool,
}

/// What a module has emitted: its bytes are in [`State::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitted {
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

/// The data of a module's store.
#[derive(Debug)]
pub(super) struct State {
    /// What all share.
    pub world: Rc<World>,
    /// What messages call it.
    pub name: String,
    /// What `--wasm-arg` says to it.
    pub parameters: Vec<(String, String)>,
    memory: Option<Memory>,
    wasi: Wasi,
    /// How long a call may take, a sleep in it, too.
    limit: Duration,
    /// What it has written to stdout and stderr since the last end of a line.
    lines: [Vec<u8>; 2],
    /// What it has said on stderr, where nobody listens: the last of it.
    last_words: Vec<u8>,
    /// Its limits.
    pub limiter: Limiter,
    /// What it has emitted in this call, in order.
    pub emitted: Vec<Emitted>,
    /// The bytes of that.
    pub bytes: Vec<u8>,
    /// What of [`MOST_EMITTED`] that has used up.
    used: usize,
    /// It may declare sources now.
    pub is_starting: bool,
    /// When the call began.
    pub began: Instant,
    /// How often it wants to be called.
    pub every: Option<Duration>,
    /// The exit code that it wants the run to end with.
    pub stop: Option<u8>,
    /// Why it says that it failed.
    pub complaint: Option<String>,
}

impl State {
    /// A module that was not called.
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

    /// Keeps what was emitted.
    ///
    /// # Errors
    /// When it is too much for one call.
    pub(super) fn keep(&mut self, what: Emitted, bytes: &[u8]) -> Result<(), TooMuch> {
        self.keep_pieces(what, bytes, 1)
    }

    /// Likewise, where ecli makes so many pieces of them.
    ///
    /// # Errors
    /// When it is too much for one call.
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

    /// Hands over what was kept.
    pub(super) fn take_emitted(&mut self) -> (Vec<Emitted>, Vec<u8>) {
        self.used = 0;
        (std::mem::take(&mut self.emitted), std::mem::take(&mut self.bytes))
    }

    /// Takes what it writes, and shows whole lines.
    fn take(&mut self, to: Output, bytes: &[u8]) -> Result<(), TooMuch> {
        let at = match to {
            Output::Stdout => 0,
            Output::Stderr => 1,
        };
        let line = &mut self.lines[at];
        line.extend_from_slice(bytes);
        // A line that never ends is shown in pieces.
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

    /// Says lines on stderr, for a module. Where nobody listens, the last ones are kept.
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

    /// What it has said last, where nobody listened.
    pub(super) fn take_last_words(&mut self) -> Option<String> {
        let words = std::mem::take(&mut self.last_words);
        let clean = |line: &str| bpfpack_schemas::printable::clean(line);
        let lines: Vec<String> = String::from_utf8_lossy(&words).lines().map(clean).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Shows lines that were begun and never ended.
    pub(super) fn end_lines(&mut self) {
        for (at, to) in [Output::Stdout, Output::Stderr].into_iter().enumerate() {
            let line = std::mem::take(&mut self.lines[at]);
            if !line.is_empty() {
                // What is too much was told before.
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
        // Its input has ended, and a call has to end in time.
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

/// A call emitted more than is kept.
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
