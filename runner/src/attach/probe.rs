// SPDX-License-Identifier: MIT
//! Probes of functions: kernel functions, user functions, and USDT probes. libbpf attaches a probe
//! if the section names a kernel function and nothing else is set.

use std::io::{Error, ErrorKind};

use libbpf_rs::{ProgramAttachType, UprobeMultiOpts, UprobeOpts};

use super::binary::{self, Binary};
use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::nearest;
use super::pattern::matches;
use super::section;
use super::target::Target;
use crate::kernel;

/// Attaches to a kernel function.
pub(super) const FUNCTION: Method = Method { target: Target::Function, attach: function };

/// Attaches to kernel functions.
pub(super) const FUNCTIONS: Method = Method { target: Target::Functions, attach: functions };

/// Attaches to a system call.
pub(super) const SYSCALL: Method = Method { target: Target::Function, attach: syscall };

/// Attaches to a user function.
pub(super) const USER_FUNCTION: Method =
    Method { target: Target::UserFunction, attach: user_function };

/// Attaches to user functions.
pub(super) const USER_FUNCTIONS: Method =
    Method { target: Target::UserFunction, attach: user_functions };

/// Attaches to a USDT probe.
pub(super) const USDT: Method = Method { target: Target::Usdt, attach: usdt };

fn is_return(kind: &str) -> bool {
    kind.starts_with("kret") || kind.starts_with("uret")
}

fn function(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let Some(named) = context.named else {
        return by_section(context, Target::Function);
    };
    if named.contains('+') {
        let text = "an offset is possible only in a section: kprobe/FUNCTION+OFFSET";
        return Err(context.bad_target(text));
    }
    context.attached(context.program.attach_kprobe(is_return(context.kind), named))
}

fn functions(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let Some(named) = context.named else {
        return by_section(context, Target::Functions);
    };
    let known = match named.contains(['*', '?']) {
        true => kernel::functions(),
        false => Vec::new(),
    };
    let mut symbols = Vec::new();
    for part in named.split(',') {
        match part.contains(['*', '?']) {
            true => symbols.extend(known.iter().filter(|name| matches(part, name)).cloned()),
            false => symbols.push(part.to_owned()),
        }
    }
    if symbols.is_empty() {
        return Err(context.bad_target("no function of the kernel matches"));
    }
    context.attached(context.program.attach_kprobe_multi(is_return(context.kind), symbols))
}

fn syscall(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    match context.named {
        None => by_section(context, Target::Function),
        Some(named) => {
            context.attached(context.program.attach_ksyscall(is_return(context.kind), named))
        }
    }
}

/// Attaches as libbpf reads the section, if it names a target.
fn by_section(context: &Context<'_>, target: Target) -> Result<Vec<Attachment>, AttachError> {
    match context.rest_of_section() {
        None => Err(AttachError::NoTarget(target)),
        Some(_) => (section::METHOD.attach)(context),
    }
}

/// A program or library and the target in it, from a section or the command line.
#[derive(Debug, PartialEq, Eq)]
struct Probed<'t> {
    /// `None` if the text names only a function.
    binary: Option<&'t str>,
    rest: &'t str,
}

impl<'t> Probed<'t> {
    /// Parses `FILE:FUNCTION` or `FUNCTION`.
    fn parse(text: &'t str) -> Probed<'t> {
        match text.split_once(':') {
            Some((binary, rest)) => Probed { binary: Some(binary), rest },
            None => Probed { binary: None, rest: text },
        }
    }

    /// Opens the program or library.
    fn open(&self, context: &Context<'_>) -> Result<Binary, AttachError> {
        let options = context.options;
        // A program that names itself means its own loader, not ecli.
        let own = self.binary.filter(|name| *name != binary::SELF);
        let of_process = || options.process.map(|_| binary::SELF);
        let name = match own {
            Some(name) => name,
            None => options
                .binary
                .as_deref()
                .or_else(of_process)
                .ok_or(AttachError::NoTarget(Target::UserFunction))?,
        };
        Binary::find(name, options.process)
            .map_err(|error| AttachError::BadTarget { named: name.to_owned(), error })
    }
}

fn probed<'c>(context: &'c Context<'_>, target: Target) -> Result<Probed<'c>, AttachError> {
    let text = context.named.or(context.rest_of_section()).ok_or(AttachError::NoTarget(target))?;
    let probed = Probed::parse(text);
    match probed.rest.is_empty() {
        true => Err(context.bad_target("it names no function")),
        false => Ok(probed),
    }
}

/// The process ID for libbpf: -1 for all processes.
fn process(context: &Context<'_>) -> i32 {
    context.options.process.map_or(-1, |process| process as i32)
}

/// Parses the name of a function with an optional offset (`f+8`, `f+0x10`), or an offset in the
/// file.
fn offset(text: &str) -> Result<(&str, usize), String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    match text.rsplit_once('+') {
        Some((function, offset)) => {
            let offset = number(offset).ok_or_else(|| format!("`{offset}` is not an offset"))?;
            Ok((function, offset))
        }
        None => Ok(number(text).map_or((text, 0), |offset| ("", offset))),
    }
}

/// Whether a program for user functions can be attached by a uprobe_multi link. The kernel detaches
/// many such links in the time that it takes to detach one probe of a perf event (up to 100 ms
/// each). They do not support offsets in a function. Before kernel 6.10, a link for one process
/// sees only its first thread.
pub(super) fn can_be_linked(section: &str, named: Option<&str>) -> bool {
    let text = named.or(section.split_once('/').map(|(_, rest)| rest));
    let function = text.map(|text| Probed::parse(text).rest);
    function.is_some_and(|function| {
        offset(function).is_ok_and(|(name, at)| at == 0 && !name.is_empty())
    })
}

fn user_function(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let probed = probed(context, Target::UserFunction)?;
    let (function, offset) = offset(probed.rest).map_err(|text| context.bad_target(text))?;
    let binary = probed.open(context)?;
    let (program, retprobe) = (context.program, is_return(context.kind));
    let link = match program.attach_type() {
        ProgramAttachType::TraceUprobeMulti => {
            let offsets = match function {
                // An offset in the file.
                "" => vec![offset],
                _ => {
                    let begins =
                        binary.offsets(function).map_err(|error| context.refused(error))?;
                    begins.into_iter().map(|begin| begin + offset).collect()
                }
            };
            if offsets.is_empty() {
                return Err(context.bad_target(no_function(&binary, function)));
            }
            let options = UprobeMultiOpts { offsets, retprobe, ..Default::default() };
            program.attach_uprobe_multi_with_opts(process(context), binary.path(), "", options)
        }
        _ => {
            let func_name = (!function.is_empty()).then(|| function.to_owned());
            let options = UprobeOpts { retprobe, func_name, ..Default::default() };
            program.attach_uprobe_with_opts(process(context), binary.path(), offset, options)
        }
    };
    link.map(|link| vec![Attachment::Link(link)]).map_err(|error| {
        if error.kind() == libbpf_rs::ErrorKind::NotFound && !function.is_empty() {
            return context.bad_target(no_function(&binary, function));
        }
        context.refused(error)
    })
}

/// Says that a file has no function of this name, and which it has.
fn no_function(binary: &Binary, function: &str) -> String {
    let text = format!("`{}` has no function `{function}`", binary.name());
    nearest::suggested(text, &binary.near(function))
}

fn user_functions(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let probed = probed(context, Target::UserFunction)?;
    let binary = probed.open(context)?;
    let kind = context.kind;
    context.attached(context.program.attach_uprobe_multi(
        process(context),
        binary.path(),
        probed.rest,
        is_return(kind),
        kind.contains("session"),
    ))
}

fn usdt(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let probed = probed(context, Target::Usdt)?;
    // PROVIDER:NAME without a file refers to the file that `--binary` or `--pid` names.
    let (probed, rest) = match (probed.binary, probed.rest.split_once(':')) {
        (Some(_), Some(rest)) => (Probed { rest: "", ..probed }, rest),
        (Some(provider), None) => (Probed { binary: None, rest: "" }, (provider, probed.rest)),
        (None, _) => return Err(context.bad_target("write a probe as PROVIDER:NAME")),
    };
    let binary = probed.open(context).map_err(|error| match error {
        AttachError::NoTarget(_) => AttachError::NoTarget(Target::Usdt),
        other => other,
    })?;
    let (provider, name) = rest;
    let link = context.program.attach_usdt(process(context), binary.path(), provider, name);
    link.map(|link| vec![Attachment::Link(link)]).map_err(|error| {
        if error.kind() == libbpf_rs::ErrorKind::NotFound {
            let text = format!("`{}` has no probe `{provider}:{name}`", binary.name());
            return AttachError::BadTarget {
                named: context.named.unwrap_or(context.section).to_owned(),
                error: Error::new(ErrorKind::NotFound, text),
            };
        }
        context.refused(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sections_and_options_name() {
        let parsed = Probed::parse("/bin/bash:readline+4");
        assert_eq!(parsed, Probed { binary: Some("/bin/bash"), rest: "readline+4" });
        assert_eq!(Probed::parse("getaddrinfo").binary, None);
        assert_eq!(Probed::parse("libc.so.6:libc:setjmp").rest, "libc:setjmp");
        assert_eq!(offset("f"), Ok(("f", 0)));
        assert_eq!(offset("f+0x10"), Ok(("f", 16)));
        assert_eq!(offset("f+8"), Ok(("f", 8)));
        assert_eq!(offset("0x1234"), Ok(("", 0x1234)));
        assert!(offset("f+x").is_err());
        assert!(is_return("uretprobe.s") && is_return("kretprobe.multi") && !is_return("uprobe"));
    }
}
