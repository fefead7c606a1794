// SPDX-License-Identifier: MIT
//! The keyboard of a live screen: keys arrive one by one and are not echoed.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd};

use bpfpack_render::{Key, keys};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};

/// The terminal's settings while keys are read. Dropping this restores them.
#[derive(Debug)]
pub(crate) struct Keyboard {
    saved: Termios,
}

/// Whether this process may use its terminal. A background process would be stopped.
pub(crate) fn is_in_foreground() -> bool {
    // If this is not the controlling terminal, the process cannot be stopped.
    tcgetpgrp(io::stdout()).map_or(true, |group| group == rustix::process::getpgrp())
}

impl Keyboard {
    /// Opens the keyboard on standard input; `None` if that is not a terminal. Ctrl-C remains a
    /// signal. Ctrl-Z and Ctrl-\ do not, because they would leave the screen as it is.
    pub(crate) fn open() -> Option<Keyboard> {
        let stdin = io::stdin();
        if !Keyboard::can_open() {
            return None;
        }
        let saved = tcgetattr(&stdin).ok()?;
        let mut changed = saved.clone();
        changed.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        changed.special_codes[SpecialCodeIndex::VSUSP] = 0;
        changed.special_codes[SpecialCodeIndex::VQUIT] = 0;
        changed.special_codes[SpecialCodeIndex::VMIN] = 0;
        changed.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &changed).ok()?;
        Some(Keyboard { saved })
    }

    /// Whether standard input is a keyboard that can be opened.
    pub(crate) fn can_open() -> bool {
        io::stdin().is_terminal() && is_in_foreground()
    }

    /// Returns the pressed keys; `None` if the terminal is gone.
    pub(crate) fn take(&self) -> Option<Vec<Key>> {
        let mut bytes = [0; 256];
        match rustix::io::read(io::stdin(), &mut bytes) {
            Ok(0) => None,
            Ok(len) => Some(keys(&bytes[..len])),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Some(Vec::new()),
            Err(_) => None,
        }
    }
}

impl AsFd for Keyboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        rustix::stdio::stdin()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.saved);
    }
}
