// SPDX-License-Identifier: MIT
//! The kernel matrix: every kind of program on several kernels. `make vmtest` runs this.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bpfpack_refusal::since::Version;
use bpfpack_tests::matrix::{self, Column, FILES, document};
use bpfpack_tests::vm::{Kernel, OLD, SERIES, can_run, kernel};
use bpfpack_tests::{can, is_root, refused, root, run, scratch};

const GUEST: &str = env!("CARGO_BIN_EXE_guest");

/// Each case takes a second or two on an emulated processor.
const LIMIT: Duration = Duration::from_secs(600);

#[test]
#[ignore = "takes a quarter of an hour: make vmtest"]
fn every_kind_on_every_kernel() {
    if !is_root() || !can_run() {
        return;
    }
    let files = matrix::files();
    let (mut columns, mut wrong, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for series in SERIES {
        let Some(kernel) = Kernel::of_series(series) else {
            missing.push(series);
            continue;
        };
        let machine = matrix::machine(kernel.clone(), Path::new(GUEST), files.path()).limit(LIMIT);
        let command = ["/init", "cases", FILES].map(str::to_owned).to_vec();
        let machine_ended = machine.run_all(&[command]);
        let (output, messages) = match machine_ended.outcomes.first() {
            Some(outcome) => (&outcome.stdout, outcome.stderr.clone()),
            None => (&machine_ended.unfinished[0], machine_ended.failure()),
        };
        let ended = matrix::ended(output);
        wrong.extend(matrix::unexpected(&kernel, &ended));
        if !messages.is_empty() {
            wrong.push(format!("Linux {series}: {messages}"));
        }
        let version = format!("Debian's {}", kernel.package.as_deref().unwrap_or("package"));
        println!("Linux {series} ({version}): {} of {} cases", ended.len(), matrix::CASES.len());
        columns.push(Column { kernel: series.to_owned(), version, ended });
    }
    let outcome = run(GUEST, &["cases".as_ref(), files.path().as_os_str()]);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let series = Version::parse(&release).map(|version| version.to_string());
    let series = series.unwrap_or_else(|| release.trim().to_owned());
    let version = format!("{series}, of the machine on which the tests ran");
    if !outcome.stderr.is_empty() {
        wrong.push(format!("this kernel: {}", outcome.stderr));
    }
    let ended = matrix::ended(&outcome.stdout);
    // What this kernel has is not known, but what is attached counts.
    let miscounted = ended.iter().filter(|ended| ended.attached && !ended.works());
    wrong.extend(miscounted.map(|ended| format!("this kernel: {ended:?}")));
    columns.push(Column { kernel: "host".to_owned(), version, ended });
    let text = document(&columns);
    println!("{text}");
    // Otherwise, the document would lose what it says about a kernel.
    if missing.is_empty() {
        fs::write(root().join("runner/KERNELS.md"), text).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for series in missing {
        let _ = can(&format!("needs Linux {series} (tests/kernels.sh {series})"), false);
    }
}

#[test]
#[ignore = "see above"]
fn refusals_on_every_kernel() {
    if !can_run() {
        return;
    }
    let dir = scratch();
    let files = matrix::files();
    let mut wrong = Vec::new();
    for series in SERIES {
        let Some(kernel) = Kernel::of_series(series) else { continue };
        let mut machine = matrix::machine(kernel, Path::new(GUEST), files.path()).limit(LIMIT);
        let mut commands = Vec::new();
        let programs = refused::all();
        for program in &programs {
            let package = format!("/{}.json", program.name);
            machine = machine.file(&program.pack(&dir, false), &package);
            commands.push(refused::command(&format!("{FILES}/ecli"), &program.name));
        }
        let ended = machine.run_all(&commands);
        if ended.outcomes.len() != commands.len() {
            wrong.push(format!("Linux {series}: {}", ended.failure()));
        }
        let version = Version::parse(series).unwrap();
        for (program, outcome) in programs.iter().zip(&ended.outcomes) {
            wrong.extend(program.judge(outcome, version).map(|what| format!("{series}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "see above"]
fn values_and_buffers_of_each_possible_cpu() {
    let Some(kernel) = kernel(OLD) else { return };
    let files = matrix::files();
    let machine = matrix::machine(kernel, Path::new(GUEST), files.path());
    let commands = [
        &["/init", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/online"][..],
        // An array and a hash map with a value for each CPU, and a buffer for each.
        &["/init", "cases", FILES, "vfslat", "xdpcount", "perf buffer"],
    ];
    let commands = commands.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
    let machine_ended = machine.arguments("possible_cpus=64").run_all(&commands);
    let [cpus, cases] = &machine_ended.outcomes[..] else { panic!("{}", machine_ended.failure()) };
    assert_eq!(cpus.stdout, "0-63\n0\n");
    let ended = matrix::ended(&cases.stdout);
    assert!(ended.len() == 3 && ended.iter().all(matrix::Ended::works), "{ended:?}");
}
