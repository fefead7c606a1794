// SPDX-License-Identifier: MIT
//! `kill -9` at any moment: no link, program, map, pin, qdisc, mount or process of that run may be
//! left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::case::Case;
use super::check::Verdict;
use super::left::{Id, exists, held_by};
use super::modules::attaching;
use super::place::trace_instances;
use super::process::{Io, descendants};

/// How long the kernel may take to free objects without an owner, and child processes to end.
const GRACE: Duration = Duration::from_secs(1);

/// Kills a run.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    let names = ["hostile", "profile", "hello", "hardirqs", "opensnoop", "perf", "exits", "views"];
    let mut args: Vec<String> = vec!["run".into(), "-o".into(), "/dev/null".into()];
    // A module attaches to a network interface, which packages do not.
    let is_module = case.random.one_in(6);
    let name = *case.random.choose(&names);
    if is_module {
        let module = attaching(&case.seeds.package("net").object)?;
        let path = case.write("m.wasm", module)?.to_string_lossy().into_owned();
        args.extend(["--wasm-cache".into(), "none".into(), path]);
    } else {
        if case.random.one_in(4) {
            args.push("--attach-all".into());
        }
        let path = case.write("package.json", &case.seeds.package(name).text)?;
        args.push(path.to_string_lossy().into_owned());
    }
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    let pid = started.pid();
    let most = *case.random.choose(&[3_000, 20_000, 80_000, 200_000]);
    std::thread::sleep(Duration::from_micros(case.random.below(most) as u64));
    // The process must not change while it is inspected.
    started.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1));
    let children = descendants(pid);
    let held: Vec<Id> = children.iter().chain([&pid]).flat_map(|pid| held_by(*pid)).collect();
    case.note(format!("held {held:?}, children {children:?}"));
    started.signal(Signal::KILL);
    let ended = case.wait(started, Duration::from_secs(5))?;
    if ended.code().is_some_and(|code| code != 0) {
        return Err(format!("it ended by itself, with {:?}", ended.status));
    }
    let killed = Instant::now();
    loop {
        let objects = held.iter().find(|id| exists(**id)).map(|id| format!("{id:?}"));
        let process = children.iter().find(|pid| lives(**pid));
        let process = process.map(|pid| format!("the process {pid}"));
        let Some(left) = objects.or(process) else { break };
        if killed.elapsed() > GRACE {
            return Err(format!("a second later {left} is left"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if let Some(qdisc) = case.place.check_network().err().filter(|_| is_module) {
        return Err(qdisc);
    }
    stale_instance(case, pid)
}

/// Whether a process runs. A process that has ended exists until its new parent waits for it.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A trace instance is a directory, which the kernel does not remove; the next run does.
fn stale_instance(case: &mut Case<'_>, pid: u32) -> Verdict {
    if trace_instances(pid).is_empty() {
        return Ok(());
    }
    let path = case.write("hello.json", &case.seeds.package("hello").text)?;
    let mut command =
        case.ecli(&["run".as_ref(), "-d".as_ref(), "10ms".as_ref(), path.as_os_str()]);
    let ended = case.run(&mut command)?;
    match trace_instances(pid).is_empty() {
        true => Ok(()),
        false => {
            Err(format!("the trace instance of {pid} is left by the next run, {:?}", ended.status))
        }
    }
}
