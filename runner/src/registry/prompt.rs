// SPDX-License-Identifier: MIT
//! Questions to the user on the terminal.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, exit_code};

/// The longest answer in bytes.
const MAX_ANSWER: usize = 4096;

/// What keys send while the terminal does not interpret them.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACE: [u8; 2] = [8, 127];

/// The exit code after Ctrl-C, as of a shell.
const INTERRUPTED: u8 = 130;

/// Asks for a line.
pub(super) fn line(question: &str) -> Result<String, Failure> {
    check_terminal()?;
    ask(question);
    let line = io::stdin().lines().next().transpose().map_err(unreadable)?;
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Asks for a password, which is not shown.
pub(super) fn secret(question: &str) -> Result<String, Failure> {
    check_terminal()?;
    // First, so that what is typed as soon as the question appears is neither shown nor lost.
    let silent = Silent::new().map_err(|error| unreadable(error.into()))?;
    ask(question);
    let answer = read_secret(io::stdin().lock().bytes());
    drop(silent);
    let _ = writeln!(io::stderr());
    answer.map_err(unreadable)?.ok_or_else(|| Failure::told(INTERRUPTED))
}

/// Checks that there is somebody to ask.
fn check_terminal() -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let failure =
            Failure::usage("user name and password are needed, and there is no terminal to ask on");
        return Err(failure.hint("`ecli login -u USER --password-stdin HOST` reads it from a pipe"));
    }
    Ok(())
}

fn ask(question: &str) {
    let question = bpfpack_schemas::printable::one_line(question);
    let _ = write!(io::stderr(), "{question}");
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(exit_code::OTHER, anyhow::Error::new(error).context("cannot read the terminal"))
}

/// The terminal's settings while a password is typed. Dropping this restores them.
struct Silent(Termios);

impl Silent {
    fn new() -> rustix::io::Result<Silent> {
        let saved = tcgetattr(io::stdin())?;
        let mut changed = saved.clone();
        // Without ISIG, Ctrl-C does not end ecli with a silent terminal.
        changed.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Flush, &changed)?;
        Ok(Silent(saved))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Reads keys up to the end of the line. Returns `None` after Ctrl-C.
fn read_secret(keys: impl Iterator<Item = io::Result<u8>>) -> io::Result<Option<String>> {
    let mut answer = Vec::new();
    for key in keys {
        match key? {
            CTRL_C => return Ok(None),
            b'\n' | b'\r' | CTRL_D => break,
            CTRL_U => answer.clear(),
            key if BACKSPACE.contains(&key) => {
                // All bytes of the last character.
                while answer.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if answer.len() < MAX_ANSWER => answer.push(key),
            _ => {}
        }
    }
    let text = String::from_utf8(answer);
    text.map(Some).map_err(|_| io::Error::other("the password is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::read_secret;

    #[test]
    fn keys() {
        let of = |keys: &str| read_secret(keys.bytes().map(Ok)).unwrap();
        assert_eq!(of("secret\nmore").as_deref(), Some("secret"));
        assert_eq!(of("sä\x7fe\x08\x08\x08x\r").as_deref(), Some("x"));
        assert_eq!(of("wrong\x15right\x04").as_deref(), Some("right"));
        assert_eq!(of("secr\x03"), None);
        assert_eq!(of("").as_deref(), Some(""));
        assert!(read_secret(b"\xff\n".iter().map(|byte| Ok(*byte))).is_err());
    }
}
