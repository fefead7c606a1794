// SPDX-License-Identifier: MIT
//! The command line of `ecc`: [`Args`] as written, and [`Plan`] with all defaults resolved.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bpfpack_bpf::Arch;
use clap::builder::Resettable;
use clap::{ArgAction, Parser};

use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::{DescribeOptions, Input};
use crate::vmlinux::Vmlinux;

// The headings of the help, in order.
const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const COMPILER: &str = "Compiler";

/// The end of the help, and of the output of `ecc` without arguments.
const EXAMPLES: &str = "\
Examples:
  ecc opens.bpf.c                      write package.json beside the source
  ecc -o out opens.bpf.c reads.bpf.c   pack two sources into out/
  ecc --check opens.bpf.c              print what the package would hold

Keys and signatures: `ecc new-key --help`, `ecc sign --help`";

/// Compile BPF C sources, and pack each into a package.json that `ecli run` loads.
// Value names are short, so that a line of the help fits 80 columns.
#[derive(Debug, Parser)]
#[command(name = "ecc", version, max_term_width = 80, arg_required_else_help = true)]
#[command(disable_help_flag = true, disable_version_flag = true, next_help_heading = INPUT)]
#[command(override_usage = "ecc [OPTIONS] SOURCE [EXPORT_HEADER] ...", after_help = EXAMPLES)]
pub struct Args {
    /// A source (opens.bpf.c) or an object (opens.bpf.o). A header after a source describes its
    /// records. Each source becomes a package
    #[arg(value_name = "SOURCE", required = true, help_heading = Resettable::Reset)]
    pub(crate) files: Vec<PathBuf>,

    /// Pack an object with the structs of a header
    #[arg(long)]
    pub(crate) header_only: bool,

    /// Add a Wasm module to the package; repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "no_generate_package_json")]
    pub(crate) wasm: Vec<PathBuf>,

    /// Prefer the headers in DIR/include and DIR/include/vmlinux/ARCH
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workspace_path: Option<PathBuf>,

    /// Use this vmlinux.h: bundled (the newest that suits), 6.18, 6.12, 6.1, kernel (the running
    /// one) or a file
    #[arg(long, value_name = "WHICH", default_value = "bundled")]
    pub(crate) vmlinux: OsString,

    /// Describe only what annotations name
    #[arg(long)]
    pub(crate) no_recognition: bool,

    /// Write to this directory, not the source's
    #[arg(short, long, value_name = "DIR", help_heading = OUTPUT)]
    pub(crate) output_path: Option<PathBuf>,

    /// Print the contents instead of writing them
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) check: bool,

    /// Write YAML instead of JSON
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) yaml: bool,

    /// Also write ewasm-skel.h, the package in C
    #[arg(long, conflicts_with = "no_generate_package_json", help_heading = OUTPUT)]
    pub(crate) wasm_header: bool,

    /// Also write an executable that needs no ecli: opens for opens.bpf.c
    #[arg(short, long, conflicts_with = "no_generate_package_json", help_heading = OUTPUT)]
    pub(crate) standalone: bool,

    /// Make the executable with this ecli [default: the one beside ecc, or in the PATH]
    #[arg(long, value_name = "FILE", requires = "standalone", help_heading = OUTPUT)]
    pub(crate) runner: Option<PathBuf>,

    /// Write only the object and the description
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) no_generate_package_json: bool,

    /// Replace files that ecc did not write
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) force: bool,

    /// Print each step and clang's command lines
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) verbose: bool,

    /// Print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = OUTPUT)]
    pub(crate) help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = OUTPUT)]
    pub(crate) version: Option<bool>,

    /// Pass flags to clang; repeatable
    #[arg(short, long, value_name = "FLAGS", allow_hyphen_values = true)]
    #[arg(help_heading = COMPILER)]
    pub(crate) additional_cflags: Vec<String>,

    /// Search this directory for headers; repeatable
    #[arg(short = 'I', value_name = "DIR", help_heading = COMPILER)]
    pub(crate) include: Vec<PathBuf>,

    /// Define a macro; repeatable
    #[arg(short = 'D', value_name = "NAME[=VALUE]", help_heading = COMPILER)]
    pub(crate) define: Vec<String>,

    /// Use this compiler
    #[arg(short, long, value_name = "PROGRAM", default_value = "clang", help_heading = COMPILER)]
    pub(crate) clang_bin: PathBuf,

    /// Also strip the object with this program
    #[arg(short, long, value_name = "PROGRAM", help_heading = COMPILER)]
    pub(crate) llvm_strip_bin: Option<PathBuf>,

    /// Pack for x86 or arm64 [default: this machine]
    #[arg(long, value_name = "ARCH", help_heading = COMPILER)]
    pub(crate) target: Option<String>,

    /// Compile for BPF v1, v2 or v3; with several, ecli loads the first that
    /// the kernel accepts
    #[arg(long, value_name = "CPU,…", value_delimiter = ',', default_value = "v3,v2")]
    #[arg(help_heading = COMPILER)]
    pub(crate) mcpu: Vec<String>,
}

/// The work to do, with all defaults resolved.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The source, as the user wrote it; diagnostics use this name.
    pub(crate) source: PathBuf,
    /// The kind of the source.
    pub(crate) input: Input,
    /// The header whose structs are exported.
    pub(crate) export_header: Option<PathBuf>,
    /// The name of the results: the source's name up to its first dot.
    pub(crate) name: String,
    /// The name of the package file.
    pub(crate) package_name: String,
    /// The name of the Wasm header.
    pub(crate) wasm_name: String,
    /// The directory of the results.
    pub(crate) output: PathBuf,
    /// The compiler.
    pub(crate) clang: PathBuf,
    /// A program that also removes debug information.
    pub(crate) llvm_strip: Option<PathBuf>,
    /// The architecture of the package.
    pub(crate) target: Arch,
    /// The `vmlinux.h` of the source.
    pub(crate) vmlinux: Vmlinux,
    /// The instruction set.
    pub(crate) cpu: String,
    /// Other instruction sets, for kernels that refuse the object.
    pub(crate) variants: Vec<String>,
    /// The user's own flags for clang, in order.
    pub(crate) flags: Vec<String>,
    /// Whether the package is written.
    pub(crate) package: bool,
    /// YAML instead of JSON.
    pub(crate) yaml: bool,
    /// Wasm modules to pack.
    pub(crate) wasm: Vec<PathBuf>,
    /// Whether ewasm-skel.h is written.
    pub(crate) wasm_header: bool,
    /// Whether a standalone executable is written.
    pub(crate) standalone: bool,
    /// The `ecli` in the executable; `None` finds one.
    pub(crate) runner: Option<PathBuf>,
    /// Print a report of what was found, and write nothing.
    pub(crate) check: bool,
    /// Replace files that ecc did not write.
    pub(crate) force: bool,
    /// Whether ecc recognizes the purpose of maps and variables.
    pub(crate) recognition: bool,
    /// Print progress and command lines.
    pub(crate) verbose: bool,
}

impl Plan {
    /// The directory of the source; `.` if its path has none.
    #[must_use]
    pub(crate) fn source_dir(&self) -> &Path {
        match self.source.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        }
    }

    /// The options that the description of the object depends on.
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
    /// Resolves the defaults: a plan for each source. Accesses no files.
    ///
    /// # Errors
    /// A value is invalid.
    pub(crate) fn resolve(self) -> Result<Vec<Plan>, Failure> {
        let target = match &self.target {
            Some(target) => Arch::parse(target).ok_or_else(|| {
                usage(format!("unknown target `{target}`")).hint("there are x86 and arm64")
            })?,
            None => Arch::host().ok_or_else(|| {
                usage("this machine is neither x86_64 nor aarch64")
                    .hint("name the architecture of the package with --target")
            })?,
        };
        let flags = self.flags(target)?;
        for (at, cpu) in self.mcpu.iter().enumerate() {
            if cpu.is_empty() || self.mcpu[..at].contains(cpu) {
                let what =
                    if cpu.is_empty() { "an empty name" } else { "a name that occurs twice" };
                return Err(usage(format!("--mcpu {}: {what}", self.mcpu.join(",")))
                    .hint("name each instruction set once, for example --mcpu v3,v2"));
            }
        }
        let vmlinux = Vmlinux::parse(&self.vmlinux);
        if vmlinux == Vmlinux::Kernel && Some(target) != Arch::host() {
            return Err(usage(format!(
                "this machine's kernel does not have the types of {target}"
            ))
            .hint("omit --vmlinux, or name a file that was made on such a machine"));
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
                let text = format!("`{}` is not a BPF C source", shown(&source));
                return Err(
                    usage(text).hint("the names of sources end in .c, the names of objects in .o")
                );
            }
            if input == Input::Object && export_header.is_some() {
                return Err(usage("an object already has its types, so a header has no effect")
                    .hint("omit the header"));
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
                cpu: self.mcpu.first().cloned().unwrap_or_default(),
                // Only a package holds several objects.
                variants: match self.no_generate_package_json || self.check {
                    true => Vec::new(),
                    false => self.mcpu.iter().skip(1).cloned().collect(),
                },
                flags: flags.clone(),
                package: !self.no_generate_package_json,
                yaml: self.yaml,
                wasm: self.wasm.clone(),
                wasm_header: self.wasm_header,
                standalone: self.standalone,
                runner: self.runner.clone(),
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
            let dir = dir.to_str().ok_or_else(|| usage("the name of a directory is not UTF-8"))?;
            flags.push(format!("-I{dir}"));
        }
        flags.extend(self.define.iter().map(|define| format!("-D{define}")));
        for text in &self.additional_cflags {
            let words = shlex::split(text)
                .ok_or_else(|| usage(format!("a quote in `-a {text}` is not closed")))?;
            flags.extend(words);
        }
        if let Some(workspace) = &self.workspace_path {
            let include = workspace.join("include");
            for dir in [include.clone(), include.join("vmlinux").join(target.name())] {
                let dir =
                    dir.to_str().ok_or_else(|| usage("the name of a directory is not UTF-8"))?;
                flags.push(format!("-I{dir}"));
            }
        }
        Ok(flags)
    }
}

/// Pairs each source with its header. With one source, the second file is a header, whatever its
/// name. With several, files are headers unless their names are those of sources.
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
                let text =
                    format!("`{}` is not a source, and a source has only one header", shown(file));
                return Err(
                    usage(text).hint("the names of sources end in .c, the names of objects in .o")
                );
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
        .ok_or_else(|| usage(format!("`{}` is not the name of a source file", shown(source))))
}

/// If packages in one directory would have the same name, they are named after their sources.
fn name_apart(plans: &mut [Plan], extension: &str) -> Result<(), Failure> {
    let mut directories: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut names: BTreeMap<(PathBuf, String), PathBuf> = BTreeMap::new();
    for plan in plans.iter() {
        *directories.entry(clean(&plan.output)).or_default() += 1;
        let key = (clean(&plan.output), plan.name.clone());
        if let Some(other) = names.insert(key, plan.source.clone()) {
            let (a, b) = (shown(&other), shown(&plan.source));
            return Err(usage(format!("the results of `{a}` and `{b}` would have the same names"))
                .hint("pack them one at a time, into different directories (-o)"));
        }
    }
    for plan in plans {
        if directories[&clean(&plan.output)] > 1 {
            plan.package_name = format!("{}.package.{extension}", plan.name);
            plan.wasm_name = format!("{}.ewasm-skel.h", plan.name);
        }
    }
    Ok(())
}

/// A directory by a name that is the same for all spellings of its path, except for links.
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
    fn help_fits_80_columns_and_every_option_has_a_heading() {
        use clap::CommandFactory as _;
        for arg in Args::command().get_opts() {
            assert!(arg.get_help_heading().is_some(), "{}: no heading", arg.get_id());
            assert!(arg.get_help().is_some(), "{}: no help", arg.get_id());
        }
        let help = Args::try_parse_from(["ecc", "--help"]).unwrap_err().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn without_arguments_there_are_three_examples() {
        let error = Args::try_parse_from(["ecc"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(error.to_string().matches("\n  ecc ").count(), 3);
    }

    #[test]
    fn names_directories_and_flags() {
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
