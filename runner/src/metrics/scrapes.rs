// SPDX-License-Identifier: MIT
//! Scrapes: threads of the server ask for the metrics of this moment, and the loop of the run
//! answers after it has read all maps and buffers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bpfpack_metrics::Family;
use rustix::event::{EventfdFlags, eventfd};

/// The side of the run.
#[derive(Debug)]
pub(crate) struct Scrapes(Arc<Shared>);

/// The side of the server.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Arc<Shared>);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The run did not answer in time.
    Late,
    /// The run has ended.
    Over,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    answered: Condvar,
    /// Readable while a question is pending.
    wake: OwnedFd,
}

/// Questions have numbers, beginning at 1. An answer answers all questions up to its number.
#[derive(Debug, Default)]
struct State {
    asked: u64,
    answered: u64,
    families: Arc<Vec<Family>>,
    is_over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scrapes {
    /// No scrapes yet.
    ///
    /// # Errors
    /// Returns an error if this process cannot open more files.
    pub(crate) fn new() -> io::Result<Scrapes> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let state = Mutex::new(State::default());
        Ok(Scrapes(Arc::new(Shared { state, answered: Condvar::new(), wake })))
    }

    /// The other side.
    pub(crate) fn asker(&self) -> Asker {
        Asker(Arc::clone(&self.0))
    }

    /// The number of the last question; `None` if all are answered.
    pub(crate) fn take(&self) -> Option<u64> {
        let mut number = [0; 8];
        let _ = rustix::io::read(&self.0.wake, &mut number);
        let state = self.0.state();
        (state.asked > state.answered).then_some(state.asked)
    }

    /// Answers all questions up to a number.
    pub(crate) fn answer(&self, number: u64, families: Vec<Family>) {
        let mut state = self.0.state();
        state.answered = state.answered.max(number);
        state.families = Arc::new(families);
        self.0.answered.notify_all();
    }
}

impl AsFd for Scrapes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}

impl Drop for Scrapes {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.answered.notify_all();
    }
}

impl Asker {
    /// Asks for the metrics, and waits for the answer.
    ///
    /// # Errors
    /// Returns the reason if there is no answer.
    pub(crate) fn ask(&self, wait: Duration) -> Result<Arc<Vec<Family>>, NoAnswer> {
        self.answer(self.begin(), wait)
    }

    /// Asks, without waiting. Returns the number of the question.
    pub(crate) fn begin(&self) -> u64 {
        let number = {
            let mut state = self.0.state();
            state.asked += 1;
            state.asked
        };
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        number
    }

    /// Waits for the answer to a question.
    ///
    /// # Errors
    /// Returns the reason if there is no answer.
    pub(crate) fn answer(&self, number: u64, wait: Duration) -> Result<Arc<Vec<Family>>, NoAnswer> {
        let waits = |state: &mut State| state.answered < number && !state.is_over;
        let (state, _) = self
            .0
            .answered
            .wait_timeout_while(self.0.state(), wait, waits)
            .unwrap_or_else(PoisonError::into_inner);
        match (state.answered >= number, state.is_over) {
            (true, _) => Ok(Arc::clone(&state.families)),
            (false, true) => Err(NoAnswer::Over),
            (false, false) => Err(NoAnswer::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_answer_is_for_all_who_asked_before() {
        let scrapes = Scrapes::new().unwrap();
        assert_eq!(scrapes.take(), None);
        let ask = || {
            let asker = scrapes.asker();
            thread::spawn(move || asker.ask(LONG))
        };
        let (one, two) = (ask(), ask());
        let number = loop {
            match scrapes.take() {
                Some(number @ 2) => break number,
                _ => thread::yield_now(),
            }
        };
        let three = ask();
        while scrapes.take() != Some(3) {
            thread::yield_now();
        }
        scrapes.answer(number, Vec::new());
        assert!(one.join().unwrap().is_ok() && two.join().unwrap().is_ok());
        assert!(!three.is_finished(), "it asked after the maps were read");
        drop(scrapes);
        assert_eq!(three.join().unwrap(), Err(NoAnswer::Over));
    }

    #[test]
    fn nobody_waits_longer_than_wanted() {
        let scrapes = Scrapes::new().unwrap();
        assert_eq!(scrapes.asker().ask(Duration::from_millis(1)), Err(NoAnswer::Late));
    }
}
