// SPDX-License-Identifier: MIT
//! Runs a program, and writes to a file how many bytes of memory it had at the most: `peak FILE
//! PROGRAM ARGUMENTS…`. It is as small as can be: the kernel counts as a program's what the process
//! had that started it, and a test has much.

use std::process::{Command, ExitCode};

use bpfpack_tests::sys::wait_ended;

fn main() -> std::io::Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let (Some(file), Some(program)) = (args.next(), args.next()) else {
        return Err(std::io::Error::other("usage: peak FILE PROGRAM ARGUMENTS…"));
    };
    let child = Command::new(program).args(args).spawn()?;
    let (status, usage) = wait_ended(child.id())?;
    std::fs::write(file, usage.peak_memory.to_string())?;
    // That of a shell, where a signal has ended it.
    Ok(ExitCode::from(status.code().map_or(255, |code| code as u8)))
}
