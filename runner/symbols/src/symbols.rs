// SPDX-License-Identifier: MIT
//! The names of all addresses, of the kernel and of processes.

use crate::budget::Patience;
use crate::frame::{CodeAddress, StackFrames};
use crate::kernel::Kernel;
use crate::remote::Remote;
use crate::setup::Setup;

/// Everything that is known of addresses, with its caches. See the constants for their limits.
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

    /// Reads the kernel's names now, which takes a tenth of a second, rather than with the first
    /// stack, and starts what reads those of processes. Best after the programs are loaded: theirs
    /// are among the names.
    pub fn warm(&mut self) {
        self.users.warm();
        self.kernel.warm();
    }

    /// The frames of kernel addresses, for each in turn.
    pub fn kernel(&mut self, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.kernel.frames(places, !self.users.is_hurried())
    }

    /// Remembers what a process maps. To be called when a record comes in; a process that was
    /// looked at a moment ago costs no system call.
    pub fn note_process(&mut self, pid: u32) {
        self.users.note(pid);
    }

    /// The frames of a process' addresses, for each in turn. Those that are not known in time have
    /// no names.
    pub fn user(&mut self, pid: u32, places: &[CodeAddress]) -> Vec<StackFrames> {
        self.users.frames(pid, places)
    }
}
