// SPDX-License-Identifier: MIT
//! `make attack`: hostile input for both programs.
//!
//! attack [--seed N] [--seconds S | --count N | --case N] [PART…]
#![allow(clippy::print_stdout)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bpfpack_tests::attack::seeds::Seeds;
use bpfpack_tests::attack::{Limit, PARTS, run, victim};

/// The default duration of each part.
const SECONDS: u64 = 60;

fn main() -> Result<ExitCode> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "victim") {
        victim::main(&words[1..]);
    }
    let (mut seed, mut limit) = (1, Limit::Time(Duration::from_secs(SECONDS)));
    let mut wanted: Vec<String> = Vec::new();
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let number = words.next().with_context(|| format!("`{word}` needs a number"))?;
            number.parse().with_context(|| format!("`{word} {number}`"))
        };
        match word.as_str() {
            "--seed" => seed = number()?,
            "--seconds" => limit = Limit::Time(Duration::from_secs(number()?)),
            "--count" => limit = Limit::Count(number()?),
            "--case" => limit = Limit::Only(number()?),
            name if PARTS.iter().any(|part| part.name == name) => wanted.push(word),
            _ => {
                let names = PARTS.each_ref().map(|part| part.name).join(" ");
                bail!(
                    "`{word}` is unknown; usage: attack [--seed N] [--seconds S | --count N | --case \
                     N] [PART…]; the parts are {names}"
                );
            }
        }
    }
    let is_one = matches!(limit, Limit::Only(_));
    ensure!(
        !is_one || wanted.len() == 1,
        "--case repeats a case of one part, which has to be named"
    );
    ensure!(rustix::process::geteuid().is_root(), "the attacks load BPF programs: run as root");
    let seeds = Seeds::make(&std::env::current_exe()?)?;
    let mut failed = 0;
    for part in &PARTS {
        if wanted.is_empty() || wanted.iter().any(|name| name == part.name) {
            failed += run(part, &seeds, seed, limit)?;
        }
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}
