// SPDX-License-Identifier: MIT
//! The command lines of clang.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::anyhow;
use rustix::process::{Pid, Signal, kill_process};

use super::keepers::Keepers;
use super::system::Signals;
use super::{diagnostics, output};
use crate::args::Plan;
use crate::cache::{Kind, note_use, temporary_directory};
use crate::failure::{Failure, exit_code, too_much};
use crate::headers::{Headers, Making};
use crate::message::{self, shown};
use crate::object_cache::{CachedObject, ENVIRONMENT, SEARCHED};
use crate::options::Input;
use crate::source::Source;
use crate::vmlinux::Vmlinux;

/// Where projects keep headers, relative to the directory of a source.
pub(crate) const NEAR: [&str; 8] =
    ["include", "headers", "bpf", "..", "../include", "../headers", "../bpf", "../.."];

/// The result of a compilation.
pub(crate) enum Attempt {
    /// An object.
    Made(Made),
    /// clang refused the source, with these messages.
    Refused { messages: Vec<u8> },
}

/// An object of clang.
pub(crate) struct Made {
    pub(crate) object: Vec<u8>,
    /// The files that clang read, as a rule for make; `None` if it printed messages, which must be
    /// printed again in the next run.
    pub(crate) dependencies: Option<String>,
    /// What clang printed.
    pub(crate) messages: Vec<u8>,
}

/// How clang runs, whichever headers it reads.
pub(crate) struct Way<'a> {
    /// Whether the source begins with vmlinux.h, which may be precompiled.
    pub(crate) may_precompile: bool,
    /// Whether the object is kept in the cache.
    pub(crate) may_keep: bool,
    pub(crate) signals: &'a Signals,
}

/// Compiles one source.
pub(crate) struct Compiler<'a> {
    pub(crate) plan: &'a Plan,
    /// The instruction set.
    cpu: &'a str,
    pub(crate) clang: &'a Path,
    pub(crate) headers: &'a Headers,
    keepers: Option<&'a Keepers>,
    /// Directories that are searched after the user's, added when a header was missing.
    pub(crate) more_dirs: Vec<PathBuf>,
    /// Names that the source defines itself: vmlinux.h gets other names for them.
    pub(crate) renamed: Vec<String>,
    /// The directory of a vmlinux.h with the replaced names.
    pub(crate) renaming: Option<PathBuf>,
    /// Whether vmlinux.h is included before a header that includes nothing.
    pub(crate) with_vmlinux: bool,
    /// Whether the headers are not those of the plan.
    has_other_headers: bool,
}

impl<'a> Compiler<'a> {
    /// A compilation without remedies.
    pub(crate) fn new(
        plan: &'a Plan,
        clang: &'a Path,
        headers: &'a Headers,
        keepers: Option<&'a Keepers>,
    ) -> Compiler<'a> {
        Compiler {
            plan,
            cpu: &plan.cpu,
            clang,
            headers,
            keepers,
            more_dirs: Vec::new(),
            renamed: Vec::new(),
            renaming: None,
            with_vmlinux: false,
            has_other_headers: false,
        }
    }

    /// The same compilation for another instruction set.
    pub(crate) fn for_cpu<'b>(&'b self, cpu: &'b str) -> Compiler<'b> {
        Compiler {
            cpu,
            more_dirs: self.more_dirs.clone(),
            renamed: self.renamed.clone(),
            renaming: self.renaming.clone(),
            with_vmlinux: self.with_vmlinux,
            ..Compiler::new(self.plan, self.clang, self.headers, self.keepers)
        }
    }

    /// Whether it differs from a compilation without remedies and with the headers of the plan.
    pub(crate) fn has_remedies(&self) -> bool {
        !self.more_dirs.is_empty()
            || !self.renamed.is_empty()
            || self.with_vmlinux
            || self.has_other_headers
    }

    /// A compilation with other headers. It starts with the remedies that do not depend on them.
    pub(crate) fn with_headers<'b>(&'b self, headers: &'b Headers) -> Compiler<'b> {
        Compiler {
            more_dirs: self.more_dirs.clone(),
            with_vmlinux: self.with_vmlinux,
            has_other_headers: true,
            ..Compiler::new(self.plan, self.clang, headers, self.keepers)
        }
    }

    /// Compiles, with the precompiled header if it exists.
    pub(crate) fn run(&self, may_precompile: bool, may_keep: bool) -> Result<Attempt, Failure> {
        let target = match may_precompile && self.vmlinux_is_ours() {
            true => self.headers.precompiled(self.clang, &self.deciding_flags()),
            false => None,
        };
        if let Some(precompiled) = target.as_ref().filter(|path| Kind::Precompiled.is_at(path)) {
            note_use(precompiled);
            let mut command = self.command();
            command.arg("-include-pch").arg(precompiled);
            if let Ok(made @ Attempt::Made(_)) = self.attempt(command, may_keep) {
                return Ok(made);
            }
        }
        // The first compilation does not wait for a precompiled header.
        let is_there = |path: &Path| Kind::Precompiled.is_at(path);
        let wanted = target.filter(|path| !self.headers.are_new && !is_there(path));
        let meanwhile = wanted.and_then(|path| self.precompile(path));
        let result = self.plainly(may_keep);
        if let Some((mut child, making)) = meanwhile {
            match &result {
                Ok(Attempt::Made(_)) if child.wait().is_ok_and(|status| status.success()) => {
                    making.finish();
                }
                _ => {
                    // clang removes its temporary file.
                    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
                    let _ = child.wait();
                }
            }
        }
        result
    }

    /// The place of the object in the cache; `None` if a later run could not tell whether it is
    /// current.
    pub(crate) fn cached_object(&self, source: &Source) -> Option<CachedObject> {
        let plan = self.plan;
        let searching = ["-i", "-M", "-working-directory", "--", "@", "-B"];
        let searches = |flag: &String| searching.iter().any(|word| flag.starts_with(word));
        // These change the search path, and the behavior of another program is unknown.
        let is_doubtful = SEARCHED.iter().any(|name| std::env::var_os(name).is_some())
            || plan.flags.iter().any(searches)
            || plan.llvm_strip.is_some();
        if is_doubtful || plan.input != Input::Source {
            return None;
        }
        let dirs: Vec<PathBuf> =
            self.include_dirs().map(std::path::absolute).collect::<Result<_, _>>().ok()?;
        let identity = self.headers.identity(self.clang, &self.deciding_flags())?;
        let path = std::path::absolute(&plan.source).ok()?;
        let keepers = source.keepers();
        let variants = plan.variants.join(",");
        let environment: Vec<_> =
            ENVIRONMENT.iter().map(|name| std::env::var_os(name).unwrap_or_default()).collect();
        // Another version of ecc may find other facts in the same object.
        let ecc = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
        let ecc = format!("{} {}.{}", ecc.len(), ecc.mtime(), ecc.mtime_nsec());
        let mut parts = vec![
            identity.as_bytes(),
            path.as_os_str().as_encoded_bytes(),
            // The path as written is the value of __FILE__.
            plan.source.as_os_str().as_encoded_bytes(),
            keepers.as_bytes(),
            variants.as_bytes(),
            ecc.as_bytes(),
        ];
        // A relative directory depends on the working directory.
        parts.extend(dirs.iter().map(|dir| dir.as_os_str().as_encoded_bytes()));
        parts.extend(environment.iter().map(|value| value.as_encoded_bytes()));
        // If the user chose the types, an object with older ones is no substitute.
        parts.push(if plan.vmlinux == Vmlinux::Bundled { b"any" } else { b"chosen" });
        let cache = self.headers.kept()?;
        Some(CachedObject::new(cache, &parts, dirs.clone(), &self.headers.dir))
    }

    /// The directories that are searched before ours, in order.
    pub(crate) fn include_dirs(&self) -> impl Iterator<Item = &Path> {
        let flags = &self.plan.flags;
        let of_flag = |(at, flag): (usize, &'_ String)| match flag.strip_prefix("-I") {
            Some("") => flags.get(at + 1).map(Path::new),
            Some(_) => flags.get(at).map(|flag| Path::new(&flag[2..])),
            None => None,
        };
        let dirs: Vec<&Path> = flags.iter().enumerate().filter_map(of_flag).collect();
        let more = self.more_dirs.iter().map(PathBuf::as_path);
        std::iter::once(self.plan.source_dir()).chain(dirs).chain(more)
    }

    /// The same, including those in which a missing header was searched.
    pub(crate) fn searched_dirs(&self) -> std::io::Result<Vec<PathBuf>> {
        let near = NEAR.iter().map(|near| self.plan.source_dir().join(near));
        let more = if self.more_dirs.is_empty() { Vec::new() } else { near.collect() };
        let own = self.include_dirs().filter(|dir| !self.more_dirs.iter().any(|m| m == dir));
        own.map(Path::to_owned).chain(more).map(std::path::absolute).collect()
    }

    /// Flags that affect how a header is compiled, too.
    fn common_flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = [
            "-g",
            "-O2",
            "-target",
            "bpf",
            // LLVM takes the source lines for BTF from the embedded source, however the paths in
            // the debug information are mapped. Stripping removes it with the debug information.
            "-gdwarf-5",
            "-gembed-source",
            "-fdebug-compilation-dir=.",
            // A table for linkers, which BPF does not need.
            "-fno-addrsig",
            // clang would leave files in /tmp when it crashes.
            "-fno-crash-diagnostics",
        ]
        .map(String::from)
        .into();
        flags.push(format!("-mcpu={}", self.cpu));
        flags.push(format!("-D__TARGET_ARCH_{}", self.plan.target));
        for dir in [Some(&self.headers.dir), self.renaming.as_ref()].into_iter().flatten() {
            flags.push(format!("-ffile-prefix-map={}/=bpfpack/", dir.display()));
        }
        flags
    }

    /// All flags except those that name files.
    fn deciding_flags(&self) -> Vec<String> {
        [self.common_flags(), self.plan.flags.clone()].concat()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.clang);
        let dir = self.plan.source_dir();
        // The user's directories come before ours, so ours apply only if a header is not found
        // there.
        command
            .args(self.common_flags())
            .arg(format!("-ffile-prefix-map={}/=", dir.display().to_string().trim_end_matches('/')))
            .arg("-I")
            .arg(dir)
            .args(&self.plan.flags);
        for dir in self.more_dirs.iter().chain(&self.renaming).chain([&self.headers.dir]) {
            command.arg("-I").arg(dir);
        }
        command
            .arg("-idirafter")
            .arg(Path::new("/usr/include").join(self.plan.target.multiarch()))
            .stdin(Stdio::null());
        if self.with_vmlinux {
            command.args(["-include", "vmlinux.h"]);
        }
        if let Some(keepers) = self.keepers {
            command.arg("-ivfsoverlay").arg(&keepers.overlay);
        }
        command
    }

    /// Runs the compilation itself.
    fn plainly(&self, may_keep: bool) -> Result<Attempt, Failure> {
        let attempt =
            self.attempt(self.command(), may_keep).map_err(|error| match error.kind() {
                std::io::ErrorKind::FileTooLarge => too_much(&self.plan.source, error),
                _ => {
                    let what = format!("cannot run `{}`", shown(self.clang));
                    let error = anyhow::Error::new(error).context(what);
                    Failure::new(exit_code::NO_COMPILER, error)
                }
            })?;
        if matches!(attempt, Attempt::Refused { .. }) && !self.has_bpf_target() {
            return Err(Failure::new(
                exit_code::NO_COMPILER,
                anyhow!("`{}` cannot compile for BPF", shown(self.clang)),
            )
            .hint("the clang of Debian can: apt-get install clang"));
        }
        Ok(attempt)
    }

    /// Runs clang to its end, and reads the object from its standard output.
    fn attempt(&self, mut command: Command, may_keep: bool) -> std::io::Result<Attempt> {
        let directory = may_keep.then(temporary_directory).transpose()?;
        let rule = directory.as_ref().map(|directory| directory.path().join("rule"));
        if let Some(rule) = &rule {
            command.args(["-MD", "-MF"]).arg(rule);
        }
        if message::has_colors() {
            command.arg("-fcolor-diagnostics");
        }
        if self.plan.input == Input::Header {
            command.args(["-x", "c"]);
        }
        let source = &self.plan.source;
        // A name that starts with a dash would be a flag.
        let is_flag = source.as_os_str().as_encoded_bytes().starts_with(b"-");
        let source = if is_flag { &Path::new(".").join(source) } else { source };
        command.arg("-c").arg(source).args(["-o", "-"]);
        self.show(&command);
        let (status, stdout, messages) = output::of(&mut command)?;
        if !status.success() {
            return Ok(Attempt::Refused { messages });
        }
        let rule = rule.filter(|_| messages.is_empty());
        let dependencies = rule.and_then(|rule| fs::read_to_string(rule).ok());
        Ok(Attempt::Made(Made { object: stdout, dependencies, messages }))
    }

    /// Prints clang's messages unchanged, except for unsafe characters.
    pub(crate) fn print(&self, messages: &[u8]) {
        let asks = ["-fcolor-diagnostics", "-fdiagnostics-color", "-fdiagnostics-color=always"];
        let is_asked = self.plan.flags.iter().any(|flag| asks.contains(&flag.as_str()));
        diagnostics::print(messages, is_asked || message::has_colors());
    }

    /// Starts to create the precompiled header. A failure is not an error: the next run tries
    /// again.
    fn precompile(&self, target: PathBuf) -> Option<(Child, Making)> {
        let making = Making::start(target).ok()?;
        let mut command = Command::new(self.clang);
        command
            .args(self.common_flags())
            .args(&self.plan.flags)
            // The name contains the hash of all dependencies, so its modification time does not
            // matter.
            .args(["-Xclang", "-fno-pch-timestamp", "-x", "c-header"])
            .arg(self.headers.dir.join("vmlinux.h"))
            .arg("-o")
            .arg(making.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.show(&command);
        Some((command.spawn().ok()?, making))
    }

    /// Whether `vmlinux.h` can only be the one in our directory.
    pub(crate) fn vmlinux_is_ours(&self) -> bool {
        let others =
            ["-include", "-isystem", "-iquote", "-iprefix", "--sysroot", "-isysroot", "-imacros"];
        let mut flags = self.plan.flags.iter();
        self.renaming.is_none()
            && !flags.any(|flag| others.iter().any(|other| flag.starts_with(other)))
            && !self.include_dirs().any(|dir| dir.join("vmlinux.h").exists())
    }

    fn has_bpf_target(&self) -> bool {
        let output = Command::new(self.clang).arg("--print-targets").output();
        output.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .any(|line| line.trim().starts_with("bpf "))
        })
    }

    fn show(&self, command: &Command) {
        if self.plan.verbose {
            let messages: Vec<_> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(OsStr::to_string_lossy)
                .collect();
            if let Ok(line) = shlex::try_join(messages.iter().map(AsRef::as_ref)) {
                message::command(&line);
            }
        }
    }
}
