// SPDX-License-Identifier: MIT
//! From a package to attached programs: chooses among alternatives, loads, attaches; goes back to a
//! worse kind of hook where the kernel refuses the better.

mod perf_event;
#[cfg(feature = "wasm")]
pub mod target;
mod xdp;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::Package;
use bpfpack_schemas::meta::ProgMeta;
use bpfpack_schemas::object::BpfObject;
use libbpf_rs::{Link, MapCore as _, MapFlags, Object, ProgramMut};

use crate::alternatives::Alternatives;
use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::kernel;
use crate::load::{self, Loaded, Refused};
use crate::memory;
use crate::pins::Pins;
use crate::talk::Talk;
use crate::vars::Arguments;

/// A running tracer, with what was prepared before it ran. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Attached<P> {
    tracing: Tracing,
    /// What the caller prepared.
    prepared: P,
    /// Counts of what was lost, where the kernel took the programs that keep them.
    counters: Option<Counters>,
}

/// Attached programs. Dropped, they are detached.
#[derive(Debug)]
pub struct Tracing {
    links: Vec<Link>,
    /// How many programs are attached, each perhaps by several links.
    programs: usize,
    /// Keeps the maps and programs.
    object: Object,
}

impl<P> Attached<P> {
    /// What runs, what the caller prepared, and the counts of losses.
    pub fn split(self) -> (Tracing, P, Option<Counters>) {
        (self.tracing, self.prepared, self.counters)
    }
}

impl Tracing {
    /// Detaches the programs. The maps stay as long as the object is kept, and hold still.
    pub fn detach(self) -> Object {
        drop(self.links);
        self.object
    }
}

/// Brings a package to run. `prepare` is called for what the kernel has taken, before anything is
/// attached; again where another kind of hook has to be tried.
pub fn load_and_attach<P>(
    plan: &Plan,
    package: &Package,
    elf: &BpfObject<'_>,
    arguments: &Arguments,
    talk: &Talk,
    prepare: impl Fn(&Object) -> Result<P, Failure>,
) -> Result<Attached<P>, Failure> {
    let wishes = Wishes::new(plan, package, elf)?;
    let pins = Pins::new(plan.pin.as_deref())?;
    let mut alternatives = match plan.attach_all {
        true => Alternatives::default(),
        false => Alternatives::find(elf, |name| !wishes.off.contains(name), wishes.wanted.clone()),
    };
    let mut reasons = Vec::new();
    if alternatives.exist() && !kernel::has_btf() {
        alternatives.give_up_btf();
        reasons.push("the kernel has no BTF".to_owned());
    }
    loop {
        let mut left_out: BTreeSet<String> = wishes.off.clone();
        left_out.extend(alternatives.left_out().into_iter().map(String::from));
        match attempt(&Attempt { plan, package, elf, arguments, pins: &pins }, &left_out, &prepare)
        {
            Ok(attached) => {
                for choice in alternatives.describe() {
                    let why = match reasons.is_empty() {
                        true => "both would count each event twice".to_owned(),
                        false => reasons.join("; "),
                    };
                    talk.note(&format!("{choice} ({why})"));
                }
                let count = attached.tracing.programs;
                if let Some(warning) = kernel::unasked_lsm(elf) {
                    talk.warning(warning);
                }
                if count == 0 {
                    let error = anyhow!("no program is left to be attached");
                    return Err(Failure::new(exit_code::USAGE, error));
                }
                let programs = if count == 1 { "program" } else { "programs" };
                talk.note(&format!("tracing with {count} {programs}; Ctrl-C ends it"));
                for note in pins.keep() {
                    talk.note(&note);
                }
                return Ok(attached);
            }
            Err(Refused { program: Some(program), failure }) if alternatives.give_up(&program) => {
                reasons.push(failure.message());
            }
            Err(refused) => {
                let tried =
                    |reason: &String| format!("another kind of hook was tried first: {reason}");
                let failure = reasons.iter().map(tried).fold(refused.failure, Failure::hint);
                return Err(match refused.program {
                    Some(program) if elf.programs().len() > 1 => failure.hint(format!(
                        "--without {program} leaves it out, if the package is of use without it"
                    )),
                    _ => failure,
                });
            }
        }
    }
}

/// Which programs the user and the package want, or do not want.
struct Wishes {
    wanted: BTreeSet<String>,
    off: BTreeSet<String>,
}

impl Wishes {
    fn new(plan: &Plan, package: &Package, elf: &BpfObject<'_>) -> Result<Wishes, Failure> {
        let programs = elf.programs();
        for name in plan.with.iter().chain(&plan.without) {
            if !programs.iter().any(|program| program.name == *name) {
                let names: Vec<_> = programs.iter().map(|p| p.name.as_str()).collect();
                let error = anyhow!("the package has no program `{name}`");
                return Err(Failure::new(exit_code::USAGE, error)
                    .hint(format!("its programs are {}", names.join(", "))));
            }
        }
        if programs.is_empty() {
            let error = anyhow!("the package's object has no programs");
            return Err(Failure::new(exit_code::PACKAGE, error));
        }
        let progs = &package.meta.bpf_skel.progs;
        let annotated =
            |on: bool| progs.iter().filter(move |p| p.autoload == Some(on)).map(|p| p.name.clone());
        let mut wanted: BTreeSet<String> = annotated(true).collect();
        let mut off: BTreeSet<String> = annotated(false).collect();
        for name in &plan.with {
            off.remove(name);
            wanted.insert(name.clone());
        }
        for name in &plan.without {
            wanted.remove(name);
            off.insert(name.clone());
        }
        Ok(Wishes { wanted, off })
    }
}

/// What is to be loaded.
struct Attempt<'a> {
    plan: &'a Plan,
    package: &'a Package,
    elf: &'a BpfObject<'a>,
    arguments: &'a Arguments,
    pins: &'a Pins,
}

fn attempt<P>(
    attempt: &Attempt<'_>,
    left_out: &BTreeSet<String>,
    prepare: impl Fn(&Object) -> Result<P, Failure>,
) -> Result<Attached<P>, Refused> {
    let Attempt { plan, package, elf, arguments, pins } = attempt;
    let general = |failure| Refused { program: None, failure };
    let load = |object: &[u8]| -> Result<Loaded, Refused> {
        let mut opened = load::open(&package.meta.bpf_skel.obj_name, object).map_err(general)?;
        opened.set_variables(arguments).map_err(general)?;
        opened.size_maps(&package.meta, &plan.map_entries).map_err(general)?;
        memory::check(&opened.memory(), elf, plan.max_memory).map_err(general)?;
        pins.place(&mut opened).map_err(general)?;
        opened.leave_out(left_out);
        opened.load()
    };
    let (mut loaded, counters) = load_counting(elf, &package.object, !plan.as_is, load)?;
    fill_cgroup_arrays(plan, &mut loaded).map_err(general)?;
    let prepared = prepare(&loaded.0).map_err(general)?;
    let mut links = Vec::new();
    let mut programs = 0;
    for program in loaded.0.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        if left_out.contains(&name) {
            continue;
        }
        let section = program.section().to_string_lossy().into_owned();
        load::take_log();
        let meta = package.meta.bpf_skel.progs.iter().find(|meta| meta.name == name);
        match attach(plan, &program, &section, meta) {
            Ok(of_program) => {
                links.extend(of_program);
                programs += 1;
            }
            Err(error) => {
                let failure = explain(&name, &section, &error);
                return Err(Refused { program: Some(name), failure });
            }
        }
    }
    Ok(Attached { tracing: Tracing { links, programs, object: loaded.0 }, prepared, counters })
}

/// Attaches a program as its section says, and, where that needs more, its annotations.
fn attach(
    plan: &Plan,
    program: &ProgramMut<'_>,
    section: &str,
    meta: Option<&ProgMeta>,
) -> libbpf_rs::Result<Vec<Link>> {
    match section.split('/').next() {
        Some("xdp" | "xdp.frags") => xdp::attach(program, meta).map(|link| vec![link]),
        Some("perf_event") => perf_event::attach(program, plan.frequency, meta),
        _ => by_section(program, section).map(|link| vec![link]),
    }
}

/// Attaches a program as libbpf understands its section.
///
/// # Errors
/// As the kernel has them; and where the file that a uprobe names is none: libbpf would open it, and
/// wait for ever for who writes to a pipe.
pub fn by_section(program: &ProgramMut<'_>, section: &str) -> libbpf_rs::Result<Link> {
    if let Some(path) = probed_file(section)
        && std::fs::metadata(path).is_ok_and(|data| !data.is_file())
    {
        let text = format!("`{path}` is no program or library");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text).into());
    }
    program.attach()
}

/// The file that a section of a uprobe names by its path.
fn probed_file(section: &str) -> Option<&str> {
    let (kind, target) = section.split_once('/')?;
    let is_probe = ["uprobe", "uretprobe", "usdt"].iter().any(|probe| kind.starts_with(probe));
    let path = target.split(':').next()?;
    (is_probe && path.contains('/')).then_some(path)
}

/// Says what the kernel answered, and why, as far as it can be seen.
pub fn explain(name: &str, section: &str, error: &libbpf_rs::Error) -> Failure {
    let (kind, target) = section.split_once('/').unwrap_or((section, ""));
    let unsupported = error.kind() == libbpf_rs::ErrorKind::Unsupported
        || format!("{error:#}").contains("not supported");
    if unsupported {
        let error = anyhow!(
            "`{name}` can not be attached: this version does not know how to attach `{section}`"
        );
        return Failure::new(exit_code::ATTACH, error);
    }
    let text = format!("{error:#}");
    let text = text.strip_prefix("failed to attach BPF program: ").unwrap_or(&text);
    let failure = Failure::new(
        exit_code::ATTACH,
        anyhow!("can not attach `{name}` to `{section}`: the kernel answered: {text}"),
    );
    match kind {
        "kprobe" | "kretprobe" | "ksyscall" | "kretsyscall" | "kprobe.multi" | "kretprobe.multi"
            if !kernel::has_kprobes() =>
        {
            failure.hint("this kernel has no kprobes; a package built for tracepoints may run")
        }
        "kprobe" | "kretprobe" if !kernel::has_function(target.split('+').next().unwrap_or("")) => {
            failure.hint(format!(
                "this kernel has no function `{target}`: it may have another name here, or be inlined"
            ))
        }
        "tp" | "tracepoint" if !kernel::has_tracefs() => match kernel::hidden_tracefs() {
            None => failure.hint(
                "tracefs is not mounted, where tracepoints are: \
                 mount -t tracefs tracefs /sys/kernel/tracing",
            ),
            Some(dir) => failure.hint(format!(
                "this user may not look into `{}`, where tracepoints are: the capability \
                 CAP_DAC_READ_SEARCH allows it, or, to all users, mount -o remount,mode=755 {0}",
                dir.display()
            )),
        },
        "tp" | "tracepoint" if kernel::has_tracepoint(target) == Some(false) => {
            failure.hint(format!("this kernel has no tracepoint `{target}`"))
        }
        "raw_tp" | "raw_tracepoint" | "tp_btf" => {
            failure.hint("does this kernel have the tracepoint? see /sys/kernel/tracing/events")
        }
        "xdp" => failure.hint("the annotation `@ifindex N` says on which interface"),
        _ => failure.details(load::take_log()),
    }
}

/// Puts the cgroup that the user names into the maps that programs test against.
fn fill_cgroup_arrays(plan: &Plan, loaded: &mut Loaded) -> Result<(), Failure> {
    let Some(path) = &plan.cgroup else {
        return Ok(());
    };
    let cgroup = File::open(path)
        .with_context(|| format!("can not open the cgroup `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::USAGE, error))?;
    let mut filled = 0;
    for map in loaded.cgroup_arrays() {
        map.update(&0u32.to_ne_bytes(), &cgroup.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .with_context(|| format!("`{}` is no cgroup of version 2", path.display()))
            .map_err(|error| Failure::new(exit_code::USAGE, error))?;
        filled += 1;
    }
    if filled == 0 {
        let error = anyhow!("the package has no map of cgroups that --cgroup could fill");
        return Err(Failure::new(exit_code::USAGE, error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_probes() {
        assert_eq!(probed_file("uprobe//bin/bash:readline"), Some("/bin/bash"));
        assert_eq!(probed_file("uretprobe.s//lib/x.so:f+8"), Some("/lib/x.so"));
        assert_eq!(probed_file("usdt//lib/x.so:a:b"), Some("/lib/x.so"));
        assert_eq!(probed_file("uprobe/libc.so.6:malloc"), None);
        assert_eq!(probed_file("tp/sched/sched_switch"), None);
        assert_eq!(probed_file("uprobe"), None);
    }
}
