// SPDX-License-Identifier: MIT
//! The time limit of calls: a thread checks the running call, and changes the engine's epoch when
//! the call has run too long. While no call runs, the thread sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// Watches the calls of one thread.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The thread, for waking it.
    watcher: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// Incremented at the begin and at the end of a call, so it is odd while one runs.
    serial: AtomicU64,
    /// Whether the thread sleeps without a timeout.
    is_parked: AtomicBool,
    is_over: AtomicBool,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if no thread can be created.
    pub(super) fn start(engine: Engine, limit: Duration) -> std::io::Result<Watch> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("wasm limit".into())
            .stack_size(64 << 10)
            .spawn(move || of_thread.watch(&engine, limit))?;
        let watcher = thread.thread().clone();
        Ok(Watch { shared, thread: Some(thread), watcher })
    }

    /// Notes that a call begins.
    #[inline]
    pub(super) fn begin(&self) {
        self.shared.serial.fetch_add(1, Ordering::SeqCst);
        if self.shared.is_parked.load(Ordering::SeqCst) {
            self.watcher.unpark();
        }
    }

    /// Notes that the call has ended.
    #[inline]
    pub(super) fn end(&self) {
        self.shared.serial.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.watcher.unpark();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self, engine: &Engine, limit: Duration) {
        let step = (limit / 8).clamp(Duration::from_millis(1), Duration::from_millis(125));
        let (mut last, mut since) = (0, Instant::now());
        while !self.is_over.load(Ordering::SeqCst) {
            let serial = self.serial.load(Ordering::SeqCst);
            if serial != last {
                (last, since) = (serial, Instant::now());
            } else if serial % 2 == 1 {
                if since.elapsed() >= limit {
                    engine.increment_epoch();
                }
            } else {
                // A call that begins now either sees the flag or is seen here.
                self.is_parked.store(true, Ordering::SeqCst);
                if self.serial.load(Ordering::SeqCst) == serial
                    && !self.is_over.load(Ordering::SeqCst)
                {
                    std::thread::park();
                }
                self.is_parked.store(false, Ordering::SeqCst);
                continue;
            }
            std::thread::park_timeout(step);
        }
    }
}
