// SPDX-License-Identifier: MIT
//! Runs commands on another kernel, for trying something out: see the usage below.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)] // a tool for developers

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bpfpack_tests::vm::{Kernel, Machine};

const USAGE: &str = "\
usage: vm SERIES [-f FILE[:PATH]]… [-a KERNEL_ARGS]… [-m MODULE]… [-t SECONDS] -- COMMAND… [';' COMMAND…]…

Boots the kernel of a series (tests/kernels.sh gets it), and runs commands in it one after another. Each
command is a program and its words; there is no shell. `/init FILE…` prints files. tracefs, bpffs, securityfs
and cgroup2 are mounted, and the loopback interface is up.

-f copies a file, to /NAME unless a path is given; programs lose their debug information. -a adds to the
kernel's command line. -m loads a module of the kernel, and those that it needs. -t sets another time limit
than 100 s.

The exit code is that of the last command, or 125 if the machine did not come that far.

  vm 5.10 -f target/…/ecli -f package.json -a lsm=bpf -- /ecli run /package.json -d 1s ';' /init /proc/version
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let end = words.iter().position(|word| word == "--");
    let Some((options, commands)) = end.map(|end| (&words[..end], &words[end + 1..])) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let commands: Vec<Vec<String>> =
        commands.split(|word| word == ";").map(<[String]>::to_vec).collect();
    let Some(machine) = machine(options).filter(|_| commands.iter().all(|it| !it.is_empty()))
    else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let ended = machine.run_all(&commands);
    for (outcome, command) in ended.outcomes.iter().zip(&commands) {
        println!("$ {}\n{}", command.join(" "), outcome.stdout);
        println!("stderr:\n{}\nexit code {}", outcome.stderr, outcome.code);
    }
    if ended.outcomes.len() < commands.len() {
        eprintln!("{}", ended.failure());
        return ExitCode::from(125);
    }
    ended.outcomes.last().map_or(ExitCode::FAILURE, |last| ExitCode::from(last.code as u8))
}

/// The machine for the words before `--`.
fn machine(options: &[String]) -> Option<Machine> {
    let (series, options) = options.split_first()?;
    let kernels = Kernel::all();
    let Some(kernel) = kernels.iter().find(|kernel| kernel.series == *series) else {
        let known: Vec<&str> = kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        eprintln!("no kernel {series}; there are: {}", known.join(" "));
        return None;
    };
    // `guest` is built with this program.
    let guest = std::env::current_exe().unwrap().with_file_name("guest");
    let mut machine = Machine::new(kernel.clone(), &guest);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next()?;
        machine = match option.as_str() {
            "-f" => {
                let (from, to) = value
                    .split_once(':')
                    .map_or((&**value, None), |(from, to)| (from, Some(to.to_owned())));
                let name = Path::new(from).file_name()?.to_string_lossy();
                let to = to.unwrap_or_else(|| format!("/{name}"));
                let is_program = std::fs::read(from).unwrap().starts_with(b"\x7fELF");
                // Objects keep their type information, which is not executable.
                let is_program = is_program && !from.ends_with(".o");
                match is_program {
                    true => machine.program(Path::new(from), &to),
                    false => machine.file(Path::new(from), &to),
                }
            }
            "-a" => machine.arguments(value),
            "-m" => machine.module(value),
            "-t" => machine.limit(Duration::from_secs(value.parse().ok()?)),
            _ => return None,
        };
    }
    Some(machine)
}
