// SPDX-License-Identifier: MIT
//! Names of kernel and user addresses.

use crate::budget::Patience;
use crate::frame::{CodeAddress, StackFrames};
use crate::kernel::Kernel;
use crate::remote::Remote;
use crate::setup::Setup;

/// Known names, with caches. The constants give their limits.
#[derive(Debug)]
pub struct Symbols {
    kernel: Kernel,
    users: Remote,
}

impl Symbols {
    /// Reads and starts nothing yet.
    pub fn new(setup: Setup, patience: Patience) -> Symbols {
        Symbols { kernel: Kernel::new(), users: Remote::new(setup, patience) }
    }

    /// Reads the kernel's names now, which takes 0.1 s, and starts the worker, instead of with the
    /// first stack. Call it after the programs are loaded, so that their names are included.
    pub fn warm(&mut self) {
        self.users.warm();
        self.kernel.warm();
    }

    /// The frames of each kernel address.
    pub fn kernel(&mut self, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.kernel.frames(places, !self.users.is_hurried())
    }

    /// Records a process's mappings. Call it when a record arrives; a process that was inspected a
    /// moment ago costs no system call.
    pub fn note_process(&mut self, pid: u32) {
        self.users.note(pid);
    }

    /// The frames of each of a process's addresses. Names that are not available in time are
    /// missing.
    pub fn user(&mut self, pid: u32, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.users.frames(pid, places)
    }
}
