// SPDX-License-Identifier: MIT
//! The engine that compiles and runs modules, and the limits of modules.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use bpfpack_input::WASM;
use wasmtime::{Config, ImportType, Linker, Module, ResourceLimiter, Store, Strategy};

use super::cache::Cache;
use crate::failure::{Failure, exit_code};

/// The maximum number of elements in a module's tables; compilers produce some thousands.
const MOST_ELEMENTS: usize = 1 << 20;

/// Larger modules, in bytes, are compiled on all CPUs. For smaller ones, threads cost more than
/// they gain.
const LARGE: usize = 64 << 10;

/// Characters of a line in an error, which quotes the module.
const LONGEST_LINE: usize = 160;

/// Size of a module's stack in bytes.
const STACK: usize = 1 << 20;

/// The limits of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum size of its memory in bytes.
    pub memory: usize,
    /// How long a call of a post-processor may take.
    pub time: Duration,
}

/// Compiles modules. Running modules check the epoch and trap when it changes.
#[derive(Debug)]
pub(crate) struct Engine {
    inner: wasmtime::Engine,
    limits: Limits,
    cache: Option<Cache>,
}

/// Refuses growth of a module's memory or tables beyond the limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    /// Whether it has refused memory, which explains a trap that follows.
    pub was_hit: bool,
}

/// Data of a store with a limiter.
pub(crate) trait Limited {
    /// The limiter of the store.
    fn limiter(&mut self) -> &mut Limiter;
}

impl Engine {
    /// Creates an engine for this CPU and for modules of up to `largest` bytes. `cache` is the
    /// directory for compiled modules.
    ///
    /// # Errors
    /// Returns an error if the compiler does not support the CPU.
    pub(crate) fn new(
        limits: Limits,
        largest: usize,
        cache: Option<&Path>,
    ) -> Result<Engine, Failure> {
        let mut config = Config::new();
        // A tracer should start at once: winch compiles a module of 110 KB in 12 to 20 ms where
        // Cranelift takes 100, and its code is fast enough for millions of records per second.
        config.strategy(Strategy::Winch);
        config.parallel_compilation(largest > LARGE);
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK);
        // Traps are described by function names, which need neither.
        config.generate_address_map(false);
        config.native_unwind_info(false);
        let inner = wasmtime::Engine::new(&config).map_err(|error| {
            let error = anyhow!("{error:#}").context("Wasm modules cannot be run here");
            Failure::new(exit_code::OTHER, error)
        })?;
        Ok(Engine { inner, limits, cache: cache.and_then(Cache::open) })
    }

    /// The engine of wasmtime.
    #[must_use]
    pub(crate) fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The limits of modules.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Compiles a module in binary or text format. Messages refer to it by `name`.
    ///
    /// # Errors
    /// Returns an error if it is not a valid module.
    pub(crate) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Module, Failure> {
        let key = self.cache.as_ref().map(|_| Cache::key(bytes, &self.code_version()));
        let cache = self.cache.as_ref().zip(key.as_deref());
        if let Some(module) = cache.and_then(|(cache, key)| cache.module(key, &self.inner)) {
            return Ok(module);
        }
        let is_binary = bytes.starts_with(WASM);
        // The text format begins with a parenthesis or a comment.
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

    /// Everything that compiled code depends on besides the module: the compiler, its settings, the
    /// CPU.
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

    /// The limiter for the data of a store.
    #[must_use]
    pub(crate) fn limiter(&self) -> Limiter {
        Limiter { memory: self.limits.memory, was_hit: false }
    }

    /// Creates a store for one module, within the limits. It traps when the epoch changes, unless
    /// its owner decides otherwise.
    pub(crate) fn store<T: Limited + 'static>(&self, data: T) -> Store<T> {
        let mut store = Store::new(&self.inner, data);
        store.limiter(|data| data.limiter());
        store.set_epoch_deadline(1);
        store
    }
}

/// The imports of a module that a linker does not have.
pub(crate) fn missing_imports<'m, T: 'static>(
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &'m Module,
) -> Vec<ImportType<'m>> {
    let is_missing = |import: &ImportType<'_>| linker.get_by_import(&mut *store, import).is_none();
    module.imports().filter(is_missing).collect()
}

impl Limiter {
    /// Adds a hint to a failure if the memory limit was reached.
    #[must_use]
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match self.was_hit {
            true => failure.hint("--wasm-memory sets the limit of its memory"),
            false => failure,
        }
    }
}

/// Shortens the lines of an error.
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
