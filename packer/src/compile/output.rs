// SPDX-License-Identifier: MIT
//! Runs clang, and reads its output up to a limit: a few words of a source can produce an object or
//! messages of any size.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};

use super::MAX_OBJECT;

/// The number of bytes of clang's messages that are kept.
const MAX_MESSAGES: u64 = 1 << 20;

/// Runs a program to its end. Returns its exit status, its standard output, and the first part of
/// its standard error.
///
/// # Errors
/// The program cannot be run, or its output exceeds the limit for objects.
pub(crate) fn of(command: &mut Command) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (object, messages) = std::thread::scope(|scope| {
        let messages = scope.spawn(|| stderr.map_or(Ok(Vec::new()), messages));
        let object = stdout.map_or(Ok(Vec::new()), object);
        (object, messages.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    });
    if object.is_err() || messages.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok((status, object?, messages?))
}

fn object(stdout: impl Read) -> io::Result<Vec<u8>> {
    let mut object = Vec::new();
    stdout.take(MAX_OBJECT + 1).read_to_end(&mut object)?;
    match object.len() as u64 > MAX_OBJECT {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the object from clang is larger than 256 MiB",
        )),
        false => Ok(object),
    }
}

fn messages(mut stderr: impl Read) -> io::Result<Vec<u8>> {
    let mut messages = Vec::new();
    stderr.by_ref().take(MAX_MESSAGES).read_to_end(&mut messages)?;
    // Closing the pipe would end clang early.
    if io::copy(&mut stderr, &mut io::sink())? > 0 {
        messages.extend_from_slice(b"\n[...]\n");
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        of(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn both_outputs_are_read_to_their_ends() {
        let (status, object, messages) =
            run("head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 3").unwrap();
        assert_eq!((status.code(), object.len(), messages.len()), (Some(3), 300_000, 200_000));
    }

    #[test]
    fn what_has_no_end_is_cut() {
        let (status, _, messages) = run("head -c 3000000 /dev/zero >&2; exit 4").unwrap();
        assert_eq!(status.code(), Some(4));
        assert!(
            messages.len() < 1_100_000 && messages.ends_with(b"\n[...]\n"),
            "{}",
            messages.len()
        );
    }
}
