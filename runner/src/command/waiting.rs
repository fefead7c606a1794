// SPDX-License-Identifier: MIT
//! The process that waits to become the command: ecli under another name. It has the command's
//! standard streams, environment and directory from the start.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::failure::exit_code;
use crate::sys;

/// The first word of its command line, which tells ecli to wait.
const NAME: &str = "ecli-command";

/// Starts the process. When a byte is written to the descriptor, it executes the command; when the
/// descriptor is closed before that, it ends.
pub(super) fn start(
    program: &Path,
    path: &Path,
    words: &[OsString],
    blocked: u64,
) -> io::Result<(Child, OwnedFd)> {
    let (wait, start) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&wait, FdFlags::empty())?;
    let mut command = Command::new(program);
    command.arg0(NAME).arg(wait.as_raw_fd().to_string()).arg(format!("{blocked:x}"));
    let child = command.arg(path).args(words).spawn()?;
    Ok((child, start))
}

/// Waits and becomes the command if the command line asks for it; otherwise returns `None` at once.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != NAME {
        return None;
    }
    let number = words.next()?.to_str()?.parse().ok()?;
    let blocked = u64::from_str_radix(words.next()?.to_str()?, 16).ok()?;
    let path = words.next()?;
    let words: Vec<OsString> = words.collect();
    Some(ExitCode::from(wait(number, &path, words, blocked)))
}

/// Waits and becomes the command. Returns an exit code if that fails.
fn wait(number: i32, path: &OsString, words: Vec<OsString>, blocked: u64) -> u8 {
    // Process lists show this name.
    let _ = rustix::thread::set_name(c"ecli-command");
    let Ok(wait) = sys::inherited(number) else { return exit_code::USAGE };
    let mut byte = [0];
    loop {
        match rustix::io::read(&wait, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(1) => break,
            // ecli failed and reported the reason.
            _ => return exit_code::OTHER,
        }
    }
    drop(wait);
    let name = words.first().cloned().unwrap_or_default();
    let text = |word: &[u8]| CString::new(word).ok();
    let all = words.into_iter().map(|word| text(&word.into_vec())).collect::<Option<Vec<_>>>();
    let (Some(path), Some(words)) = (text(path.as_bytes()), all) else { return exit_code::USAGE };
    let error = sys::command::exec(&path, &words, blocked);
    let name = name.to_string_lossy();
    crate::talk::error(&format!("the command `{name}` cannot be executed: {error}"));
    match error.kind() {
        io::ErrorKind::NotFound => exit_code::NO_COMMAND,
        _ => exit_code::NOT_EXECUTED,
    }
}
