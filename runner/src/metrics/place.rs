// SPDX-License-Identifier: MIT
//! Where `ecli serve` finds the metrics of its tracers, which come and go.

use std::sync::{Arc, Mutex, PoisonError};

use super::scrapes::Asker;

/// The place of a tracer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Option<Asker>>>);

impl Place {
    /// Puts a tracer there, which replaces the one before.
    pub(super) fn set(&self, asker: Asker) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(asker);
    }

    /// The tracer, if there is one.
    pub(crate) fn get(&self) -> Option<Asker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the tracer away.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
