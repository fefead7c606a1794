// SPDX-License-Identifier: MIT
//! The engine that compiles and runs modules, and what each of them may use.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use wasmtime::{Config, ImportType, Linker, Module, ResourceLimiter, Store, Strategy};

use super::cache::Cache;
use crate::failure::{Failure, exit_code};
use crate::fetch::WASM;

/// Elements of a module's tables: what a compiler makes has some thousands.
const MOST_ELEMENTS: usize = 1 << 20;

/// Modules of more bytes are compiled on all CPUs. For smaller ones the threads would cost more than
/// they bring.
const LARGE: usize = 64 << 10;

/// Characters of a line of an error: it quotes the module.
const LONGEST_LINE: usize = 160;

/// Bytes of a module's stack.
const STACK: usize = 1 << 20;

/// What a module may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of its memory.
    pub memory: usize,
    /// How long a call of a post-processor may take.
    pub time: Duration,
}

/// Compiles modules. Running ones look at the epoch: where it has gone on, they trap.
#[derive(Debug)]
pub(crate) struct Engine {
    inner: wasmtime::Engine,
    limits: Limits,
    cache: Option<Cache>,
}

/// Says no where a module's memory or tables would grow beyond the limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    /// Whether it ever said no to memory: that explains a trap that comes of it.
    pub was_hit: bool,
}

/// What the data of every store has.
pub(crate) trait Limited {
    /// The store's limits.
    fn limiter(&mut self) -> &mut Limiter;
}

impl Engine {
    /// An engine for this machine's processor, for modules of up to so many bytes. Compiled modules
    /// are kept in the folder `cache`.
    ///
    /// # Errors
    /// When the compiler does not know the processor.
    pub(crate) fn new(
        limits: Limits,
        largest: usize,
        cache: Option<&Path>,
    ) -> Result<Engine, Failure> {
        let mut config = Config::new();
        // A tracer should start at once: winch compiles a module of 110 KB in 12 to 20 ms where
        // Cranelift takes 100, and what it makes is fast enough for millions of records a second.
        config.strategy(Strategy::Winch);
        config.parallel_compilation(largest > LARGE);
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK);
        // Traps are told by their functions' names, which need neither.
        config.generate_address_map(false);
        config.native_unwind_info(false);
        let inner = wasmtime::Engine::new(&config).map_err(|error| {
            let error = anyhow!("{error:#}").context("Wasm modules cannot be run here");
            Failure::new(exit_code::OTHER, error)
        })?;
        Ok(Engine { inner, limits, cache: cache.and_then(Cache::open) })
    }

    /// wasmtime's own.
    #[must_use]
    pub(crate) fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// What modules may use.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Compiles a module: binary, or text. `name` is what messages call it.
    ///
    /// # Errors
    /// When it is no module.
    pub(crate) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Module, Failure> {
        let key = self.cache.as_ref().map(|_| Cache::key(bytes, &self.code_version()));
        let cache = self.cache.as_ref().zip(key.as_deref());
        if let Some(module) = cache.and_then(|(cache, key)| cache.module(key, &self.inner)) {
            return Ok(module);
        }
        let is_binary = bytes.starts_with(WASM);
        // Text begins with a parenthesis, or a comment.
        let begin = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if !is_binary && !matches!(begin, Some(b'(' | b';')) {
            let error = anyhow!("`{name}` is not a Wasm module, neither binary nor text");
            return Err(Failure::new(exit_code::MODULE, error));
        }
        let module = Module::new(&self.inner, bytes).map_err(|error| {
            let why = shortened(&format!("{error:#}").replace("<anon>", name));
            let error = anyhow!(why).context(format!("`{name}` is not a module that ecli can run"));
            Failure::new(exit_code::MODULE, error)
        })?;
        if let Some((cache, key)) = cache {
            cache.keep(key, &module);
        }
        Ok(module)
    }

    /// What compiled code depends on beside the module: the compiler, its settings, the processor.
    fn code_version(&self) -> Vec<u8> {
        struct Bytes(Vec<u8>);
        impl std::hash::Hasher for Bytes {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.extend_from_slice(bytes);
            }
        }
        let mut bytes = Bytes(env!("CARGO_PKG_VERSION").as_bytes().to_vec());
        std::hash::Hash::hash(&self.inner.precompile_compatibility_hash(), &mut bytes);
        bytes.0
    }

    /// What a store's data keeps of the limits.
    #[must_use]
    pub(crate) fn limiter(&self) -> Limiter {
        Limiter { memory: self.limits.memory, was_hit: false }
    }

    /// A store for one module, within the limits. It traps at once when the epoch goes on, unless
    /// its owner says otherwise.
    pub(crate) fn store<T: Limited + 'static>(&self, data: T) -> Store<T> {
        let mut store = Store::new(&self.inner, data);
        store.limiter(|data| data.limiter());
        store.set_epoch_deadline(1);
        store
    }
}

/// What a module imports and a linker does not have.
pub(crate) fn missing_imports<'m, T: 'static>(
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &'m Module,
) -> Vec<ImportType<'m>> {
    let is_missing = |import: &ImportType<'_>| linker.get_by_import(&mut *store, import).is_none();
    module.imports().filter(is_missing).collect()
}

impl Limiter {
    /// Adds to a failure what may have led to it.
    #[must_use]
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match self.was_hit {
            true => failure.hint("--wasm-memory sets the limit of its memory"),
            false => failure,
        }
    }
}

/// An error whose lines are short enough to be read.
fn shortened(text: &str) -> String {
    let cut = |line: &str| match line.char_indices().nth(LONGEST_LINE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_allowed = desired <= self.memory;
        self.was_hit |= !is_allowed;
        Ok(is_allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MOST_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        1
    }
}
