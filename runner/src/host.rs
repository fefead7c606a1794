// SPDX-License-Identifier: MIT
//! What a tracer needs from the process in which it runs: the process of `ecli run`, which it has for
//! itself, or that of `ecli serve`, which it shares with others.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::args::Plan;
use crate::failure::{self, Failure};
use crate::metrics::Exits;
use crate::sys::Signals;
use crate::talk::Talk;

/// libbpf has one log for a process, so one tracer at a time is loaded and attached.
static LOADING: Mutex<()> = Mutex::new(());

/// Holds up the loading of other tracers.
pub(crate) fn loading() -> MutexGuard<'static, ()> {
    LOADING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process in which a tracer runs.
pub(crate) trait Host {
    /// The signals that end the tracer. Called once.
    ///
    /// # Errors
    /// Returns an error if signals cannot be caught.
    fn signals(&self) -> Result<Signals, Failure>;

    /// Messages for the user.
    fn talk(&self, quiet: bool, verbose: bool) -> Talk {
        Talk::new(quiet, verbose)
    }

    /// Where the metrics go, if there are any.
    ///
    /// # Errors
    /// Returns an error if an address cannot be used.
    fn exits(&self, plan: &Plan) -> Result<Option<Exits>, Failure> {
        Exits::open(plan)
    }

    /// Refuses what a tracer cannot do here.
    ///
    /// # Errors
    /// Returns a usage error.
    fn check(&self, _plan: &Plan) -> Result<(), Failure> {
        Ok(())
    }

    /// Refuses a module that is a whole tracer, if it cannot run here.
    ///
    /// # Errors
    /// Returns a usage error.
    fn check_module(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether the tracer is only checked as far as that is possible without loading it.
    fn only_checks(&self) -> bool {
        false
    }

    /// Notes that all programs are attached.
    fn note_attached(&self) {}
}

/// The process of `ecli run`.
#[derive(Debug)]
pub(crate) struct Own;

impl Host for Own {
    fn signals(&self) -> Result<Signals, Failure> {
        Signals::catch().map_err(failure::system("cannot catch signals"))
    }
}
