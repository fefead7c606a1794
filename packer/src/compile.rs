// SPDX-License-Identifier: MIT
//! Runs clang.
//!
//! The same source gives the same object wherever it is compiled: no path of the machine gets into
//! it, and the lines that the verifier's messages show are taken from the source as it was read.
//!
//! A source that begins with vmlinux.h is compiled with that header precompiled. Where it is not
//! yet, it is made meanwhile, for the next time. clang's messages are those of a compilation
//! without it: when one with it fails, it is done again without.

use std::ffi::OsStr;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tempfile::TempDir;

use crate::args::Plan;
use crate::cache::{self, Headers, Making};
use crate::export;
use crate::failure::{Failure, exit_code, unreadable};

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

/// What came of it.
#[derive(Debug)]
pub struct Compiled {
    /// The ELF object, debug information included.
    pub object: Vec<u8>,
}

/// Compiles the source.
pub fn compile(plan: &Plan, source: &Source) -> Result<Compiled, Failure> {
    let signals = Signals::catch()?;
    let clang = find_clang(&plan.clang)?;
    let headers = cache::headers(plan)?;
    let keepers = Keepers::new(plan, source)?;
    let compiler = Compiler { plan, clang: &clang, headers: &headers, keepers: keepers.as_ref() };
    let result = compiler.run(begins_with_vmlinux(&source.text));
    signals.check()?;
    result
}

struct Compiler<'a> {
    plan: &'a Plan,
    clang: &'a Path,
    headers: &'a Headers,
    keepers: Option<&'a Keepers>,
}

impl Compiler<'_> {
    fn run(&self, may_precompile: bool) -> Result<Compiled, Failure> {
        let target = match may_precompile && self.vmlinux_is_ours() {
            true => self.headers.precompiled(self.clang, &self.common_flags()),
            false => None,
        };
        if let Some(precompiled) = target.as_ref().filter(|path| path.exists())
            && let Some(object) = self.with_precompiled(precompiled)?
        {
            return Ok(Compiled { object });
        }
        let meanwhile = target.filter(|path| !path.exists()).and_then(|path| self.precompile(path));
        let result = self.plainly();
        if let Some((mut child, making)) = meanwhile {
            match &result {
                Ok(_) if child.wait().is_ok_and(|status| status.success()) => making.finish(),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        result.map(|object| Compiled { object })
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
        flags.push(format!("-D__TARGET_ARCH_{}", self.plan.target));
        flags.push(format!("-ffile-prefix-map={}/=bpfpack/", self.headers.dir.display()));
        flags.extend(self.plan.flags.iter().cloned());
        flags
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

    /// The compilation as such. clang talks to the user itself.
    fn plainly(&self) -> Result<Vec<u8>, Failure> {
        let mut command = self.command();
        command.arg("-c").arg(&self.plan.source).args(["-o", "-"]);
        self.show(&command);
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("can not run `{}`", self.clang.display()))
            .map_err(|error| Failure::new(exit_code::NO_COMPILER, error))?;
        if output.status.success() {
            return Ok(output.stdout);
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
    fn with_precompiled(&self, precompiled: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let mut command = self.command();
        command.arg("-include-pch").arg(precompiled);
        command.arg("-c").arg(&self.plan.source).args(["-o", "-"]);
        if std::io::stderr().is_terminal() {
            command.arg("-fcolor-diagnostics");
        }
        self.show(&command);
        let Ok(output) = command.stderr(Stdio::piped()).output() else {
            return Ok(None);
        };
        if !output.status.success() {
            return Ok(None);
        }
        std::io::stderr()
            .write_all(&output.stderr)
            .map_err(|error| Failure::new(exit_code::OTHER, error))?;
        Ok(Some(output.stdout))
    }

    /// Starts making the precompiled header. That it fails is no error: the next time tries again.
    fn precompile(&self, target: PathBuf) -> Option<(Child, Making)> {
        let making = Making::start(target).ok()?;
        let mut command = Command::new(self.clang);
        command
            .args(self.common_flags())
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
        let flags = &self.plan.flags;
        let dirs =
            flags.iter().enumerate().filter_map(|(at, flag)| match flag.strip_prefix("-I") {
                Some("") => flags.get(at + 1).map(String::as_str),
                dir => dir,
            });
        let mut dirs = dirs.map(Path::new).chain([self.plan.source_dir()]);
        let others =
            ["-include", "-isystem", "-iquote", "-iprefix", "--sysroot", "-isysroot", "-imacros"];
        !flags.iter().any(|flag| others.iter().any(|other| flag.starts_with(other)))
            && !dirs.any(|dir| dir.join("vmlinux.h").exists())
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
