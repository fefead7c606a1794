// SPDX-License-Identifier: MIT
//! Where cases run: namespaces and a cgroup of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use super::actor::Actor;
use super::acts::NETKIT;
use super::cases::{ACTOR, Case};
use super::ecli::Ecli;
use super::ended::Ended;
use crate::Held;
use crate::sys::{self, network};

/// A place for cases.
#[derive(Debug)]
pub struct Place {
    /// The directory with `ecli`, and the packages with their names and `.json`.
    files: PathBuf,
    /// Where cgroups of version 2 are mounted.
    cgroups: TempDir,
    /// The cgroup of activities.
    group: PathBuf,
    /// This program, which has functions to probe.
    program: PathBuf,
}

impl Place {
    /// Moves this thread to namespaces of its own. It must be the only thread.
    ///
    /// # Errors
    /// Returns an error without the required permissions.
    pub fn new(files: &Path) -> Result<Place> {
        sys::own_mounts().context("mounts of its own")?;
        sys::own_network().context("a network of its own")?;
        // Old kernels do not have such interfaces, and then no programs for them.
        let _ = network::create(NETKIT, "netkit");
        network::all_up().context("interfaces")?;
        let cgroups = TempDir::new()?;
        let kind = "cgroup2";
        mount(kind, cgroups.path(), kind, MountFlags::empty(), None).context("mounting cgroup2")?;
        let group = cgroups.path().join(format!("bpfpack-matrix-{}", std::process::id()));
        fs::create_dir(&group)?;
        let program = std::env::current_exe()?;
        Ok(Place { files: files.to_owned(), cgroups, group, program })
    }

    /// Runs a case.
    ///
    /// # Errors
    /// Returns an error if ecli does not end, or the activity is not possible.
    pub fn run(&self, case: &Case) -> Result<Ended> {
        let begin = Instant::now();
        let replaced = if case.replaces { Some(self.replaceable()?) } else { None };
        let target = replaced.as_ref().map(|(_, target)| target.clone());
        let actor = Actor::start(&self.program, case)?;
        fs::write(self.group.join("cgroup.procs"), actor.id().to_string())?;
        let mut command = self.command(case, target.as_deref(), actor.id());
        let mut ecli = Ecli::start(&mut command)?;
        let attached = ecli.is_attached()?;
        let acted = if attached { actor.act() } else { Ok(()) };
        let (code, stdout, message) = ecli.end()?;
        let message = self.without_paths(message, target.as_deref());
        // A program that replaces another one may have to go first.
        if let Some((other, _)) = replaced {
            other.end()?;
        }
        acted.with_context(|| format!("the activity of `{}`", case.name))?;
        let objects: Vec<_> =
            stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let events = (case.seen)(&objects);
        Ok(Ended {
            name: case.name.to_owned(),
            attached,
            code,
            events,
            is_right: case.events.fit(events),
            message,
            millis: begin.elapsed().as_millis() as u64,
        })
    }

    fn command(&self, case: &Case, target: Option<&str>, actor: u32) -> Command {
        let mut command = Command::new(self.files.join("ecli"));
        command.args(["run", "-j"]);
        if let Some(program) = case.program {
            command.args(["--attach", "*=off", "--interface", "lo"]);
            command.arg("--cgroup").arg(&self.group);
            // Not /proc/self/exe, which is ecli there.
            command.arg("--binary").arg(&self.program);
            match target.or(case.target) {
                Some(target) => command.args(["--attach", &format!("{program}={target}")]),
                None => command.args(["--with", program]),
            };
        }
        let actor = actor.to_string();
        command.args(case.args.iter().map(|arg| if *arg == ACTOR { &actor } else { *arg }));
        // Arguments of the package come after its name.
        command.arg(self.files.join(case.package).with_extension("json"));
        if let Some(option) = case.process {
            command.args([option, &actor]);
        }
        command
    }

    /// A message without what differs in each run.
    fn without_paths(&self, message: String, target: Option<&str>) -> String {
        let mut message = message
            .replace(&self.group.display().to_string(), "CGROUP")
            .replace(&self.program.display().to_string(), "PROGRAM");
        if let Some((target, (_, function))) =
            target.and_then(|it| Some((it, it.rsplit_once(':')?)))
        {
            message = message.replace(target, &format!("freplace:ID:{function}"));
        }
        message
    }

    /// Starts a program of which a function can be replaced. Returns the target, too.
    fn replaceable(&self) -> Result<(Ecli, String)> {
        let mut command = Command::new(self.files.join("ecli"));
        command.args(["run", "-j", "--attach", "*=off", "--attach", "on_replaced=socket:lo"]);
        command.arg(self.files.join("kinds.json"));
        let mut ecli = Ecli::start(&mut command)?;
        if !ecli.is_attached()? {
            bail!("no program to replace: {}", ecli.end()?.2);
        }
        let held = Held::by(ecli.id());
        let program = held.programs.iter().find(|(_, name)| name == "on_replaced");
        let (id, _) = program.context("no program to replace")?;
        Ok((ecli, format!("freplace:{id}:replaced")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What uses it is gone by now; the mount is gone with the namespace.
        let _ = fs::remove_dir(&self.group);
        let _ = unmount(self.cgroups.path(), UnmountFlags::DETACH);
    }
}
