// SPDX-License-Identifier: MIT
//! The command line of `ecc`: [`Args`] as they are written, [`Plan`] as they are meant.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bpfpack_bpf::Arch;
use clap::Parser;

use crate::failure::{Failure, exit_code};

/// Compile a BPF C source and pack it into package.json, which `ecli run` loads on any machine.
#[derive(Debug, Parser)]
#[command(name = "ecc", version, max_term_width = 100)]
pub struct Args {
    /// The source, for instance hardirqs.bpf.c
    pub source: PathBuf,

    /// A header whose structs are exported: user space decodes records as them
    #[arg(value_name = "EXPORT_HEADER")]
    pub export_header: Option<PathBuf>,

    /// Write the results to this folder, made when missing, instead of the source's
    #[arg(short, long, value_name = "DIR")]
    pub output_path: Option<PathBuf>,

    /// Tell what is done, clang's command lines included
    #[arg(short, long)]
    pub verbose: bool,

    /// More flags for clang; may be given often, and one may hold several, quoted as in a shell
    #[arg(short, long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub additional_cflags: Vec<String>,

    /// Search headers in this folder too, after the source's own folder
    #[arg(short = 'I', value_name = "DIR")]
    pub include: Vec<PathBuf>,

    /// Define a macro
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    pub define: Vec<String>,

    /// The compiler
    #[arg(short, long, value_name = "PROGRAM", default_value = "clang")]
    pub clang_bin: PathBuf,

    /// Where vmlinux.h comes from: `bundled` (a recent distribution kernel), `kernel` (the running
    /// one), or a file. One beside the source wins over all of them
    #[arg(long, value_name = "bundled|kernel|FILE", default_value = "bundled")]
    pub vmlinux: OsString,

    /// The architecture that the package is for: x86 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub target: Option<String>,

    /// The instruction set, as clang's -mcpu: v3 (kernels from 5.1 on), v1 or v2 for older ones
    #[arg(long, value_name = "CPU", default_value = "v3")]
    pub mcpu: String,

    /// Write the object and the description, but no package.json
    #[arg(short, long)]
    pub no_generate_package_json: bool,
}

/// Which `vmlinux.h` the source gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vmlinux {
    /// The one that comes with ecc.
    Bundled,
    /// Made from the BTF of the running kernel.
    Kernel,
    /// A file.
    File(PathBuf),
}

/// What is to be done, all defaults settled.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The source, as the user wrote it: diagnostics name it so.
    pub source: PathBuf,
    /// The header whose structs are exported.
    pub export_header: Option<PathBuf>,
    /// Name of the results: the source's up to its first dot.
    pub name: String,
    /// Folder of the results.
    pub output: PathBuf,
    /// The compiler.
    pub clang: PathBuf,
    /// Architecture of the package.
    pub target: Arch,
    /// Which `vmlinux.h`.
    pub vmlinux: Vmlinux,
    /// The instruction set.
    pub mcpu: String,
    /// The user's own flags for clang, in order.
    pub flags: Vec<String>,
    /// Whether package.json is written.
    pub package: bool,
    /// Tell what is done.
    pub verbose: bool,
}

impl Plan {
    /// The source's folder, `.` where its path has none.
    #[must_use]
    pub fn source_dir(&self) -> &Path {
        match self.source.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        }
    }
}

impl Args {
    /// Settles the defaults. No file is touched.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn resolve(self) -> Result<Plan, Failure> {
        let usage = |text: String| Failure::new(exit_code::USAGE, anyhow!(text));
        let file_name = self.source.file_name().unwrap_or_default();
        let name = file_name
            .to_str()
            .and_then(|name| name.split('.').next())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                usage(format!("`{}` is no name of a source file", self.source.display()))
            })?
            .to_owned();
        let target = match &self.target {
            Some(target) => Arch::parse(target).ok_or_else(|| {
                usage(format!("unknown target `{target}`")).hint("there are x86 and arm64")
            })?,
            None => Arch::host().ok_or_else(|| {
                usage("this machine is neither x86_64 nor aarch64".to_owned())
                    .hint("say with --target which one the package is for")
            })?,
        };
        let mut flags = Vec::new();
        for dir in &self.include {
            let dir = dir.to_str().ok_or_else(|| usage("a folder's name is not UTF-8".into()))?;
            flags.push(format!("-I{dir}"));
        }
        flags.extend(self.define.iter().map(|define| format!("-D{define}")));
        for text in &self.additional_cflags {
            let words = shlex::split(text)
                .ok_or_else(|| usage(format!("a quote of `-a {text}` has no end")))?;
            flags.extend(words);
        }
        let vmlinux = match self.vmlinux.to_str() {
            Some("bundled") => Vmlinux::Bundled,
            Some("kernel") => Vmlinux::Kernel,
            _ => Vmlinux::File(self.vmlinux.into()),
        };
        let mut plan = Plan {
            source: self.source,
            export_header: self.export_header,
            name,
            output: PathBuf::new(),
            clang: self.clang_bin,
            target,
            vmlinux,
            mcpu: self.mcpu,
            flags,
            package: !self.no_generate_package_json,
            verbose: self.verbose,
        };
        plan.output = self.output_path.unwrap_or_else(|| plan.source_dir().to_owned());
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &[&str]) -> Result<Plan, Failure> {
        Args::try_parse_from([&["ecc"], args].concat()).unwrap().resolve()
    }

    #[test]
    fn names_folders_and_flags() {
        let p = plan(&["a/b.c/kprobe-link.bpf.c", "-a", "-DX='1 2' -Wall", "-I", "inc"]).unwrap();
        assert_eq!(p.name, "kprobe-link");
        assert_eq!(p.output, Path::new("a/b.c"));
        assert_eq!(p.flags, ["-Iinc", "-DX=1 2", "-Wall"]);
        assert_eq!(plan(&["x.bpf.c"]).unwrap().output, Path::new("."));
        assert_eq!(plan(&["x.bpf.c", "-o", "out"]).unwrap().output, Path::new("out"));
    }

    #[test]
    fn values_that_make_no_sense() {
        for args in [["--target", "vax"], ["-a", "'"]] {
            let failure = plan(&[&["x.bpf.c"], &args[..]].concat()).unwrap_err();
            assert_eq!(failure.exit_code, exit_code::USAGE);
        }
        assert_eq!(plan(&[".."]).unwrap_err().exit_code, exit_code::USAGE);
    }
}
