// SPDX-License-Identifier: MIT
//! Runs clang.
//!
//! The same source gives the same object wherever it is compiled: no path of the machine gets into
//! it, and the lines that the verifier's messages show are taken from the source as it was read.
//!
//! What did not change is not compiled again ([`crate::results`]). A source that begins with
//! vmlinux.h is compiled with that header precompiled, from the second source, or change, on; it is
//! made while the first of these is compiled. clang's messages are those of a compilation without
//! it: when one with it fails, it is done again without.

use std::ffi::OsStr;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tempfile::TempDir;

use crate::args::Plan;
use crate::cache::{self, Headers, Making};
use crate::export;
use crate::failure::{Failure, exit_code, unreadable};
use crate::results::{ENVIRONMENT, Place};
use crate::strip;

/// Larger sources are refused: nobody writes them.
const MAX_SOURCE: u64 = 16 << 20;

/// What is compiled.
#[derive(Debug)]
pub struct Source {
    /// The source.
    pub text: String,
    /// Structs of the export header.
    pub exported: Vec<String>,
}

impl Source {
    /// Reads the source and its export header.
    pub fn read(plan: &Plan) -> Result<Source, Failure> {
        let exported = match &plan.export_header {
            Some(header) => export::structs(&read_text(header)?),
            None => Vec::new(),
        };
        Ok(Source { text: read_text(&plan.source)?, exported })
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let size = fs::metadata(path).map_err(|error| unreadable(path, error))?.len();
    if size > MAX_SOURCE {
        let text = format!("`{}` has {size} bytes; a source has at most 16 MiB", path.display());
        return Err(Failure::new(exit_code::NO_INPUT, anyhow!(text)));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Compiles the source, or finds what was made of it before; debug information is removed.
pub fn compile(plan: &Plan, source: &Source) -> Result<Vec<u8>, Failure> {
    let signals = Signals::catch()?;
    let clang = find_clang(&plan.clang)?;
    let headers = cache::headers(plan)?;
    let keepers = Keepers::new(plan, source)?;
    let compiler = Compiler { plan, clang: &clang, headers: &headers, keepers: keepers.as_ref() };
    let place = compiler.place(source);
    if let Some(object) = place.as_ref().and_then(Place::find) {
        return Ok(object);
    }
    let result = compiler.run(begins_with_vmlinux(&source.text), place.is_some());
    signals.check()?;
    let compiled = result?;
    let object = strip::debug_sections(&compiled.object)?;
    if let (Some(place), Some(dependencies)) = (place, compiled.dependencies) {
        place.keep(&dependencies, &object);
    }
    Ok(object)
}

/// What clang made.
struct Compiled {
    object: Vec<u8>,
    /// The files that it read, as a rule for make; none where it had something to say, which has to
    /// be said again the next time.
    dependencies: Option<String>,
}

struct Compiler<'a> {
    plan: &'a Plan,
    clang: &'a Path,
    headers: &'a Headers,
    keepers: Option<&'a Keepers>,
}

impl Compiler<'_> {
    fn run(&self, may_precompile: bool, may_keep: bool) -> Result<Compiled, Failure> {
        let target = match may_precompile && self.vmlinux_is_ours() {
            true => self.headers.precompiled(self.clang, &self.deciding_flags()),
            false => None,
        };
        if let Some(precompiled) = target.as_ref().filter(|path| path.exists())
            && let Some(compiled) = self.with_precompiled(precompiled, may_keep)?
        {
            return Ok(compiled);
        }
        // Who compiles one source only once is not made to wait for a precompiled header.
        let wanted = target.filter(|path| !self.headers.are_new && !path.exists());
        let meanwhile = wanted.and_then(|path| self.precompile(path));
        let result = self.plainly(may_keep);
        if let Some((mut child, making)) = meanwhile {
            match &result {
                Ok(_) if child.wait().is_ok_and(|status| status.success()) => making.finish(),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        result
    }

    /// Where the object is kept; none where it can not be told whether it is still the right one.
    fn place(&self, source: &Source) -> Option<Place> {
        let flags = &self.plan.flags;
        let searching = ["-i", "-M", "-working-directory", "--sysroot", "@", "-B"];
        if flags.iter().any(|flag| searching.iter().any(|word| flag.starts_with(word))) {
            return None;
        }
        let dirs = self.include_dirs().map(std::path::absolute).collect::<Result<_, _>>().ok()?;
        let identity = self.headers.identity(self.clang, &self.deciding_flags())?;
        let path = std::path::absolute(&self.plan.source).ok()?;
        let keepers = export::keepers(&source.exported);
        let environment: Vec<_> =
            ENVIRONMENT.iter().map(|name| std::env::var_os(name).unwrap_or_default()).collect();
        let mut parts = vec![
            identity.as_bytes(),
            path.as_os_str().as_encoded_bytes(),
            // As it is written, it is the value of __FILE__.
            self.plan.source.as_os_str().as_encoded_bytes(),
            keepers.as_bytes(),
        ];
        parts.extend(environment.iter().map(|value| value.as_encoded_bytes()));
        Some(Place::new(self.headers.cache()?, &parts, dirs, &self.headers.dir))
    }

    /// The folders that are searched before ours, in order.
    fn include_dirs(&self) -> impl Iterator<Item = &Path> {
        let flags = &self.plan.flags;
        let of_flag = |(at, flag): (usize, &'_ String)| match flag.strip_prefix("-I") {
            Some("") => flags.get(at + 1).map(Path::new),
            Some(_) => flags.get(at).map(|flag| Path::new(&flag[2..])),
            None => None,
        };
        let dirs: Vec<&Path> = flags.iter().enumerate().filter_map(of_flag).collect();
        std::iter::once(self.plan.source_dir()).chain(dirs)
    }

    /// Flags that decide how a header is understood, too.
    fn common_flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = [
            "-g",
            "-O2",
            "-target",
            "bpf",
            // The embedded source is where LLVM takes the lines for BTF from, whatever the paths
            // of the debug information are mapped to. It goes away with the debug information.
            "-gdwarf-5",
            "-gembed-source",
            "-fdebug-compilation-dir=.",
            // A table for linkers, which nobody links BPF with.
            "-fno-addrsig",
        ]
        .map(String::from)
        .into();
        // With 32-bit comparisons, the verifier sees bounds that it does not see without.
        flags.push(format!("-mcpu={}", self.plan.mcpu));
        flags.push(format!("-D__TARGET_ARCH_{}", self.plan.target));
        flags.push(format!("-ffile-prefix-map={}/=bpfpack/", self.headers.dir.display()));
        flags
    }

    /// All flags but those that name files.
    fn deciding_flags(&self) -> Vec<String> {
        [self.common_flags(), self.plan.flags.clone()].concat()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.clang);
        let dir = self.plan.source_dir();
        // The user's folders come before ours: ours are found only where there is no other.
        command
            .args(self.common_flags())
            .arg(format!("-ffile-prefix-map={}/=", dir.display().to_string().trim_end_matches('/')))
            .arg("-I")
            .arg(dir)
            .args(&self.plan.flags)
            .arg("-I")
            .arg(&self.headers.dir)
            .arg("-idirafter")
            .arg(Path::new("/usr/include").join(self.plan.target.multiarch()))
            .stdin(Stdio::null());
        if let Some(keepers) = self.keepers {
            command.arg("-ivfsoverlay").arg(&keepers.overlay);
        }
        command
    }

    /// The compilation as such.
    fn plainly(&self, may_keep: bool) -> Result<Compiled, Failure> {
        let (output, dependencies) = self
            .output(self.command(), may_keep)
            .with_context(|| format!("can not run `{}`", self.clang.display()))
            .map_err(|error| Failure::new(exit_code::NO_COMPILER, error))?;
        self.pass_on(&output.stderr)?;
        if output.status.success() {
            return Ok(Compiled { object: output.stdout, dependencies });
        }
        if !self.has_bpf_target() {
            return Err(Failure::new(
                exit_code::NO_COMPILER,
                anyhow!("`{}` can not compile for BPF", self.clang.display()),
            )
            .hint("Debian's can: apt-get install clang"));
        }
        Err(Failure::told(exit_code::COMPILE))
    }

    /// The same with the precompiled header; none where it fails, for whatever reason.
    fn with_precompiled(
        &self,
        precompiled: &Path,
        may_keep: bool,
    ) -> Result<Option<Compiled>, Failure> {
        let mut command = self.command();
        command.arg("-include-pch").arg(precompiled);
        match self.output(command, may_keep) {
            Ok((output, dependencies)) if output.status.success() => {
                self.pass_on(&output.stderr)?;
                Ok(Some(Compiled { object: output.stdout, dependencies }))
            }
            _ => Ok(None),
        }
    }

    /// Runs clang to its end; the object comes out of its standard output.
    fn output(
        &self,
        mut command: Command,
        may_keep: bool,
    ) -> std::io::Result<(Output, Option<String>)> {
        let rule = may_keep.then(tempfile::NamedTempFile::new).transpose()?;
        if let Some(rule) = &rule {
            command.args(["-MD", "-MF"]).arg(rule.path());
        }
        if std::io::stderr().is_terminal() {
            command.arg("-fcolor-diagnostics");
        }
        command.arg("-c").arg(&self.plan.source).args(["-o", "-"]);
        self.show(&command);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        let rule = rule.filter(|_| output.status.success() && output.stderr.is_empty());
        let dependencies = rule.and_then(|rule| fs::read_to_string(rule.path()).ok());
        Ok((output, dependencies))
    }

    /// clang's words reach the user as they are.
    fn pass_on(&self, words: &[u8]) -> Result<(), Failure> {
        let written = std::io::stderr().write_all(words);
        written.map_err(|error| Failure::new(exit_code::OTHER, error))
    }

    /// Starts making the precompiled header. That it fails is no error: the next time tries again.
    fn precompile(&self, target: PathBuf) -> Option<(Child, Making)> {
        let making = Making::start(target).ok()?;
        let mut command = Command::new(self.clang);
        command
            .args(self.common_flags())
            .args(&self.plan.flags)
            // Its name has the hash of all that it depends on: its time does not matter.
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

    /// Whether `vmlinux.h` can only be the one in our folder.
    fn vmlinux_is_ours(&self) -> bool {
        let others =
            ["-include", "-isystem", "-iquote", "-iprefix", "--sysroot", "-isysroot", "-imacros"];
        let mut flags = self.plan.flags.iter();
        !flags.any(|flag| others.iter().any(|other| flag.starts_with(other)))
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
            let words: Vec<_> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(OsStr::to_string_lossy)
                .collect();
            if let Ok(line) = shlex::try_join(words.iter().map(AsRef::as_ref)) {
                anstream::eprintln!("{line}");
            }
        }
    }
}

/// The source with lines behind it that keep structs in the object. clang reads it in place of the
/// source, under the source's name.
#[derive(Debug)]
struct Keepers {
    overlay: PathBuf,
    _dir: TempDir,
}

impl Keepers {
    fn new(plan: &Plan, source: &Source) -> Result<Option<Keepers>, Failure> {
        if source.exported.is_empty() {
            return Ok(None);
        }
        let make = || -> anyhow::Result<Keepers> {
            let dir = TempDir::with_prefix("ecc-")?;
            let with_keepers = dir.path().join("source.c");
            let text = format!("{}\n{}", source.text, export::keepers(&source.exported));
            fs::write(&with_keepers, text)?;
            let real = std::path::absolute(&plan.source)?;
            let overlay = dir.path().join("overlay.yaml");
            let roots = json!([{
                "type": "file", "name": real, "external-contents": with_keepers
            }]);
            let json = json!({"version": 0, "use-external-names": false, "roots": roots});
            fs::write(&overlay, json.to_string())?;
            Ok(Keepers { overlay, _dir: dir })
        };
        make()
            .context("can not prepare the source with its export types")
            .map(Some)
            .map_err(|error| Failure::new(exit_code::OTHER, error))
    }
}

/// Whether the first directive of a source includes vmlinux.h, and nothing but comments is before.
fn begins_with_vmlinux(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        }
        .trim_start();
    }
    let directive = rest.lines().next().unwrap_or_default();
    let include =
        directive.strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix("include"));
    include.is_some_and(|rest| {
        ["<vmlinux.h>", "\"vmlinux.h\""].iter().any(|name| rest.trim_start().starts_with(name))
    })
}

/// The compiler's path, as the shell would find it.
fn find_clang(name: &Path) -> Result<PathBuf, Failure> {
    let missing = || {
        Failure::new(exit_code::NO_COMPILER, anyhow!("there is no compiler `{}`", name.display()))
            .hint("install clang (Debian, Ubuntu: apt-get install clang), or name one with -c")
    };
    if name.components().count() > 1 {
        return fs::canonicalize(name).map_err(|_| missing());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| {
            path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
        })
        .ok_or_else(missing)
}

/// SIGINT and SIGTERM wait until clang has ended (it gets a terminal's SIGINT itself), so that
/// nothing stays behind.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn catch() -> Result<Signals, Failure> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)
                .map_err(|error| Failure::new(exit_code::OTHER, error))?;
        }
        Ok(Signals(caught))
    }

    fn check(&self) -> Result<(), Failure> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::told(128 + signal as u8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::begins_with_vmlinux;

    #[test]
    fn what_may_be_precompiled() {
        assert!(begins_with_vmlinux("#include <vmlinux.h>"));
        assert!(begins_with_vmlinux("// SPDX\n/* a\n b */\n\n# include \"vmlinux.h\"\nint x;"));
        assert!(!begins_with_vmlinux("#define A\n#include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("int x;\n#include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("#include <linux/bpf.h>"));
        assert!(!begins_with_vmlinux("// #include <vmlinux.h>"));
        assert!(!begins_with_vmlinux("/*"));
    }
}
