// SPDX-License-Identifier: MIT
//! The command line of `ecc`: [`Args`] as they are written, [`Plan`] as they are meant.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bpfpack_bpf::Arch;
use clap::Parser;

use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::{DescribeOptions, Input};

/// Compile BPF C sources and pack each into package.json, which `ecli run` loads on any machine.
#[derive(Debug, Parser)]
#[command(name = "ecc", version, max_term_width = 100)]
#[command(override_usage = "ecc [OPTIONS] SOURCE [EXPORT_HEADER]\n       \
    ecc [OPTIONS] SOURCE [EXPORT_HEADER] SOURCE [EXPORT_HEADER] ...")]
pub struct Args {
    /// A source (hardirqs.bpf.c), or an object that is made already (hardirqs.bpf.o); then, if need
    /// be, a header whose structs are exported: user space decodes records as them. More sources
    /// may follow: each becomes a package of its own
    #[arg(value_name = "SOURCE [EXPORT_HEADER]", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Write the results to this folder, made when missing, instead of the source's
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output_path: Option<PathBuf>,

    /// Tell what is done, clang's command lines included
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Write YAML instead of JSON (package.yaml, X.skel.yaml)
    #[arg(short, long)]
    pub(crate) yaml: bool,

    /// The source is a header: pack an object with its structs, for a Wasm module to know them
    #[arg(long)]
    pub(crate) header_only: bool,

    /// Pack a Wasm module, too, which sees what is found before ecli shows it; repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "no_generate_package_json")]
    pub(crate) wasm: Vec<PathBuf>,

    /// Write ewasm-skel.h, too: the package as a C string `program_data`
    #[arg(long, conflicts_with = "no_generate_package_json")]
    pub(crate) wasm_header: bool,

    /// Compile and describe on stdout what the package would hold; write nothing
    #[arg(long)]
    pub(crate) check: bool,

    /// Replace what is where the results are to be written, even if it is none of ecc's: another
    /// file (npm's package.json), or a link, but not what the link leads to
    #[arg(long)]
    pub(crate) force: bool,

    /// A folder whose include/ (and include/vmlinux/ARCH/) has headers that come before ecc's own
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workspace_path: Option<PathBuf>,

    /// More flags for clang, quoted as in a shell; repeatable
    #[arg(short, long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(crate) additional_cflags: Vec<String>,

    /// Search headers in this folder too, after the source's own folder
    #[arg(short = 'I', value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,

    /// Define a macro
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    pub(crate) define: Vec<String>,

    /// The compiler
    #[arg(short, long, value_name = "PROGRAM", default_value = "clang")]
    pub(crate) clang_bin: PathBuf,

    /// Remove debug information with this program as well; ecc does it itself
    #[arg(short, long, value_name = "PROGRAM")]
    pub(crate) llvm_strip_bin: Option<PathBuf>,

    /// Where vmlinux.h comes from: `bundled` (a recent distribution kernel), `kernel` (the running
    /// one), or a file. One beside the source wins over all of them
    #[arg(long, value_name = "bundled|kernel|FILE", default_value = "bundled")]
    pub(crate) vmlinux: OsString,

    /// The architecture that the package is for: x86 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub(crate) target: Option<String>,

    /// The instruction set, as clang's -mcpu: v3 (kernels from 5.1 on), v1 or v2 for older ones
    #[arg(long, value_name = "CPU", default_value = "v3")]
    pub(crate) mcpu: String,

    /// Do not recognize what maps and variables are for: show what annotations name, and nothing else
    #[arg(long)]
    pub(crate) no_recognition: bool,

    /// Write the object and the description, but no package.json
    #[arg(short, long)]
    pub(crate) no_generate_package_json: bool,
}

/// Which `vmlinux.h` the source gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vmlinux {
    /// The one that comes with ecc.
    Bundled,
    /// Made from the BTF of the running kernel.
    Kernel,
    /// A file.
    File(PathBuf),
}

/// What is to be done, all defaults settled.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The source, as the user wrote it: diagnostics name it so.
    pub(crate) source: PathBuf,
    /// What the source is.
    pub(crate) input: Input,
    /// The header whose structs are exported.
    pub(crate) export_header: Option<PathBuf>,
    /// Name of the results: the source's up to its first dot.
    pub(crate) name: String,
    /// Name of the package's file.
    pub(crate) package_name: String,
    /// Name of the header for Wasm.
    pub(crate) wasm_name: String,
    /// Folder of the results.
    pub(crate) output: PathBuf,
    /// The compiler.
    pub(crate) clang: PathBuf,
    /// A program that removes debug information once more.
    pub(crate) llvm_strip: Option<PathBuf>,
    /// Architecture of the package.
    pub(crate) target: Arch,
    /// Which `vmlinux.h`.
    pub(crate) vmlinux: Vmlinux,
    /// The instruction set.
    pub(crate) mcpu: String,
    /// The user's own flags for clang, in order.
    pub(crate) flags: Vec<String>,
    /// Whether the package is written.
    pub(crate) package: bool,
    /// YAML instead of JSON.
    pub(crate) yaml: bool,
    /// Wasm modules that are packed, too.
    pub(crate) wasm: Vec<PathBuf>,
    /// Whether ewasm-skel.h is written.
    pub(crate) wasm_header: bool,
    /// Nothing is written; a report of what was found is printed.
    pub(crate) check: bool,
    /// Files that are none of ecc's are replaced.
    pub(crate) force: bool,
    /// Whether it is recognized what maps and variables are for.
    pub(crate) recognition: bool,
    /// Progress and command lines are printed.
    pub(crate) verbose: bool,
}

impl Plan {
    /// The source's folder, `.` where its path has none.
    #[must_use]
    pub(crate) fn source_dir(&self) -> &Path {
        match self.source.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        }
    }

    /// What the description of the object depends on.
    pub(crate) fn describe_options(&self) -> DescribeOptions {
        DescribeOptions {
            name: self.name.clone(),
            source: self.source.clone(),
            input: self.input,
            export_header: self.export_header.clone(),
            has_flags: !self.flags.is_empty(),
            recognition: self.recognition,
        }
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(exit_code::USAGE, anyhow!(text.into()))
}

impl Args {
    /// Settles the defaults: a plan for each source. No file is touched.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub(crate) fn resolve(self) -> Result<Vec<Plan>, Failure> {
        let target = match &self.target {
            Some(target) => Arch::parse(target).ok_or_else(|| {
                usage(format!("unknown target `{target}`")).hint("there are x86 and arm64")
            })?,
            None => Arch::host().ok_or_else(|| {
                usage("this machine is neither x86_64 nor aarch64")
                    .hint("say with --target which one the package is for")
            })?,
        };
        let flags = self.flags(target)?;
        let vmlinux = match self.vmlinux.to_str() {
            Some("bundled") => Vmlinux::Bundled,
            Some("kernel") => Vmlinux::Kernel,
            _ => Vmlinux::File(self.vmlinux.clone().into()),
        };
        if vmlinux == Vmlinux::Kernel && Some(target) != Arch::host() {
            return Err(usage(format!("this machine's kernel has no types of {target}"))
                .hint("leave --vmlinux out, or give a file made on such a machine"));
        }
        let extension = if self.yaml { "yaml" } else { "json" };
        let mut plans = Vec::new();
        for (source, export_header) in pairs(&self.files, self.header_only)? {
            let is_object = source.extension().is_some_and(|extension| extension == "o");
            let input = match (is_object, self.header_only) {
                (true, _) => Input::Object,
                (false, true) => Input::Header,
                (false, false) => Input::Source,
            };
            if input == Input::Source && source.extension().is_none_or(|extension| extension != "c")
            {
                let text = format!("`{}` is no BPF C source", shown(&source));
                return Err(usage(text)
                    .hint("the names of sources end in .c, of objects that clang made in .o"));
            }
            if input == Input::Object && export_header.is_some() {
                return Err(usage("an object has its types already: a header changes nothing")
                    .hint("leave the header out"));
            }
            let export_header = export_header.or(self.header_only.then(|| source.clone()));
            let mut plan = Plan {
                name: name(&source)?,
                source,
                input,
                export_header,
                package_name: format!("package.{extension}"),
                wasm_name: "ewasm-skel.h".to_owned(),
                output: PathBuf::new(),
                clang: self.clang_bin.clone(),
                llvm_strip: self.llvm_strip_bin.clone(),
                target,
                vmlinux: vmlinux.clone(),
                mcpu: self.mcpu.clone(),
                flags: flags.clone(),
                package: !self.no_generate_package_json,
                yaml: self.yaml,
                wasm: self.wasm.clone(),
                wasm_header: self.wasm_header,
                check: self.check,
                force: self.force,
                recognition: !self.no_recognition,
                verbose: self.verbose,
            };
            plan.output = self.output_path.clone().unwrap_or_else(|| plan.source_dir().to_owned());
            plans.push(plan);
        }
        name_apart(&mut plans, extension)?;
        Ok(plans)
    }

    fn flags(&self, target: Arch) -> Result<Vec<String>, Failure> {
        let mut flags = Vec::new();
        for dir in &self.include {
            let dir = dir.to_str().ok_or_else(|| usage("a folder's name is not UTF-8"))?;
            flags.push(format!("-I{dir}"));
        }
        flags.extend(self.define.iter().map(|define| format!("-D{define}")));
        for text in &self.additional_cflags {
            let words = shlex::split(text)
                .ok_or_else(|| usage(format!("a quote of `-a {text}` has no end")))?;
            flags.extend(words);
        }
        if let Some(workspace) = &self.workspace_path {
            let include = workspace.join("include");
            for dir in [include.clone(), include.join("vmlinux").join(target.name())] {
                let dir = dir.to_str().ok_or_else(|| usage("a folder's name is not UTF-8"))?;
                flags.push(format!("-I{dir}"));
            }
        }
        Ok(flags)
    }
}

/// Each source with its header: the second file is a header whatever its name, as with one source
/// only; of more, those that are no sources by their names.
fn pairs(files: &[PathBuf], header_only: bool) -> Result<Vec<(PathBuf, Option<PathBuf>)>, Failure> {
    let is_source =
        |path: &Path| header_only || path.extension().is_some_and(|e| e == "c" || e == "o");
    let mut pairs: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
    for file in files {
        match pairs.last_mut() {
            Some((_, header)) if !is_source(file) && header.is_none() => {
                *header = Some(file.clone());
            }
            Some(_) if !is_source(file) => {
                let text = format!("`{}` is no source, and a source has one header", shown(file));
                return Err(usage(text).hint("the names of sources end in .c, of objects in .o"));
            }
            _ => pairs.push((file.clone(), None)),
        }
    }
    Ok(pairs)
}

fn name(source: &Path) -> Result<String, Failure> {
    let file_name = source.file_name().unwrap_or_default();
    file_name
        .to_str()
        .and_then(|name| name.split('.').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| usage(format!("`{}` is no name of a source file", shown(source))))
}

/// Packages that would have the same name in one folder are named by their sources.
fn name_apart(plans: &mut [Plan], extension: &str) -> Result<(), Failure> {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut names: BTreeMap<(PathBuf, String), PathBuf> = BTreeMap::new();
    for plan in plans.iter() {
        *folders.entry(clean(&plan.output)).or_default() += 1;
        let key = (clean(&plan.output), plan.name.clone());
        if let Some(other) = names.insert(key, plan.source.clone()) {
            let (a, b) = (shown(&other), shown(&plan.source));
            return Err(usage(format!("`{a}` and `{b}` would be packed as the same files"))
                .hint("pack them one at a time, with different folders (-o)"));
        }
    }
    for plan in plans {
        if folders[&clean(&plan.output)] > 1 {
            plan.package_name = format!("{}.package.{extension}", plan.name);
            plan.wasm_name = format!("{}.ewasm-skel.h", plan.name);
        }
    }
    Ok(())
}

/// A folder by the name that all spellings of it have, links aside.
fn clean(dir: &Path) -> PathBuf {
    use std::path::Component;
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mut clean = PathBuf::new();
    for component in dir.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(args: &[&str]) -> Result<Vec<Plan>, Failure> {
        Args::try_parse_from([&["ecc"], args].concat()).unwrap().resolve()
    }

    fn plan(args: &[&str]) -> Plan {
        plans(args).unwrap().remove(0)
    }

    #[test]
    fn names_folders_and_flags() {
        let p =
            plan(&["a/b.c/kprobe-link.bpf.c", "-a", "-DX='1 2' -Wall", "-I", "inc", "-w", "ws"]);
        assert_eq!(p.name, "kprobe-link");
        assert_eq!(p.output, Path::new("a/b.c"));
        assert_eq!(p.flags[..3], ["-Iinc", "-DX=1 2", "-Wall"]);
        assert_eq!(p.flags[3], "-Iws/include");
        assert!(p.flags[4].starts_with("-Iws/include/vmlinux/"));
        assert_eq!(plan(&["x.bpf.c"]).output, Path::new("."));
        assert_eq!(plan(&["x.bpf.c", "-o", "out"]).output, Path::new("out"));
    }

    #[test]
    fn sources_headers_and_objects() {
        let p = plan(&["x.bpf.c", "event.hpp"]);
        assert_eq!(p.export_header.as_deref(), Some(Path::new("event.hpp")));
        assert_eq!(p.package_name, "package.json");
        let all = plans(&["a.bpf.c", "a.h", "b.bpf.c", "d/c.bpf.o", "-y"]).unwrap();
        let names: Vec<_> = all.iter().map(|p| p.package_name.as_str()).collect();
        assert_eq!(names, ["a.package.yaml", "b.package.yaml", "package.yaml"]);
        assert!(all[0].export_header.is_some() && all[1].export_header.is_none());
        assert_eq!(all[2].input, Input::Object);
        let all = plans(&["o/a.bpf.c", "./o/b.bpf.c", "--wasm-header"]).unwrap();
        let names: Vec<_> = all.iter().map(|p| (&p.package_name[..], &p.wasm_name[..])).collect();
        let expected = [("a.package.json", "a.ewasm-skel.h"), ("b.package.json", "b.ewasm-skel.h")];
        assert_eq!(names, expected);
        assert_eq!(plans(&["--header-only", "a.h", "b.h"]).unwrap().len(), 2);
        let p = plan(&["x.h", "--header-only"]);
        assert_eq!((p.input, p.export_header.as_deref()), (Input::Header, Some(Path::new("x.h"))));
    }

    #[test]
    fn values_that_make_no_sense() {
        for args in [
            &["x.bpf.c", "--target", "vax"][..],
            &["x.bpf.c", "-a", "'"],
            &[".."],
            &["a.bpf.c", "a.h", "b.h"],
            &["d/a.bpf.c", "./d/x/../a.c"],
            &["a.bpf.o", "a.h"],
            &["package.json"],
            &["."],
        ] {
            assert_eq!(plans(args).unwrap_err().exit_code, exit_code::USAGE, "{args:?}");
        }
    }
}
