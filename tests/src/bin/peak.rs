// SPDX-License-Identifier: MIT
//! Runs a program, and writes its maximum resident memory in bytes to a file: `peak FILE PROGRAM
//! ARGUMENTS…`. It is as small as possible, because the kernel attributes the memory of the process
//! that starts a program to the program, and a test has much.

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
    // A shell's exit code, if a signal has ended it.
    Ok(ExitCode::from(status.code().map_or(255, |code| code as u8)))
}
