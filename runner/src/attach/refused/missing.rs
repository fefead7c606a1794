// SPDX-License-Identifier: MIT
//! What this kernel does not have, by name: functions, tracepoints, hooks, kfuncs, variables, options,
//! operations and types of maps; and the nearest names that it has.

use anyhow::anyhow;
use bpfpack_refusal::since::Version;
use bpfpack_refusal::{near, since};
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::map_type;
use bpfpack_schemas::object::BpfObject;

use crate::attach::nearest;
use crate::failure::{Failure, exit_code};
use crate::kernel::Facts;

/// How the kernel's BTF names the targets of a kind: what they are called, the kind of the type, and
/// what its name begins with (libbpf: `find_kernel_btf_id`).
fn named_in_btf(kind: &str) -> (&'static str, Kind, &'static str) {
    match kind {
        "tp_btf" => ("tracepoint", Kind::Typedef, "btf_trace_"),
        "lsm" | "lsm.s" | "lsm_cgroup" => ("hook for security modules", Kind::Func, "bpf_lsm_"),
        "iter" | "iter.s" => ("iterator", Kind::Func, "bpf_iter_"),
        _ => ("function", Kind::Func, ""),
    }
}

/// The failure for a program whose target is not in the kernel's BTF.
pub(super) fn target(name: &str, section: &str, kernel: &dyn Facts) -> Failure {
    let section = section.trim_start_matches('?');
    let (kind, target) = section.split_once('/').unwrap_or((section, ""));
    let (what, of, prefix) = named_in_btf(kind);
    let btf = kernel.btf();
    let names: Vec<&str> = btf.iter().flat_map(|btf| names(btf, of, prefix)).collect();
    // It can be traced, but not with its types.
    let is_plain = prefix.is_empty() && kernel.functions().iter().any(|known| known == target);
    let cause = match () {
        () if btf.is_none() => {
            "this kernel has no BTF (/sys/kernel/btf/vmlinux), which the kind needs".to_owned()
        }
        () if is_plain => {
            format!("this kernel has the function `{target}`, but its BTF does not describe it")
        }
        () => {
            let of_kind = || {
                let cause = format!("this kernel has no {what} `{target}`");
                near::suggested(cause, &near::names(target, names))
            };
            let function = prefix.is_empty().then(|| nearest::function(target, kernel)).flatten();
            function.unwrap_or_else(of_kind)
        }
    };
    let failure =
        Failure::new(exit_code::LOAD, anyhow!("`{name}` ({section}) cannot be loaded: {cause}"));
    match is_plain && kernel.has_kprobes() {
        true => failure.hint(format!("a kprobe can trace it: SEC(\"kprobe/{target}\")")),
        false => failure,
    }
}

fn names<'b>(btf: &'b Btf<'_>, of: Kind, prefix: &'static str) -> impl Iterator<Item = &'b str> {
    btf.types().filter(move |ty| ty.kind == of).filter_map(move |ty| ty.name().strip_prefix(prefix))
}

/// Explains libbpf's messages about what an object needs, and not one of its programs.
pub(super) fn of_object(
    log: &str,
    elf: Option<&BpfObject<'_>>,
    kernel: &dyn Facts,
) -> Option<Failure> {
    log.lines().find_map(|line| {
        let line = line.strip_prefix("libbpf: ")?;
        kernel_function(line, kernel)
            .or_else(|| external(line, kernel))
            .or_else(|| configuration(line, elf))
            .or_else(|| operations(line, kernel))
            .or_else(|| map(line, elf, kernel))
    })
}

fn failure(cause: String) -> Failure {
    Failure::new(exit_code::LOAD, anyhow!("the object cannot be loaded: {cause}"))
}

/// "extern (func ksym) 'x': not found in kernel or module BTFs"
fn kernel_function(line: &str, kernel: &dyn Facts) -> Option<Failure> {
    let (name, what) = line.strip_prefix("extern (func ksym) '")?.split_once("': ")?;
    if what.starts_with("func_proto ") {
        let cause = format!("the kfunc `{name}` has other parameters in this kernel");
        return Some(failure(cause));
    }
    let btf = kernel.btf();
    let all: Vec<&str> = btf.iter().flat_map(|btf| names(btf, Kind::Func, "")).collect();
    let cause = format!("this kernel has no kfunc `{name}`");
    let hint = format!(
        "a program that also runs without it declares it __ksym __weak, and calls it only if \
         (bpf_ksym_exists({name}))"
    );
    Some(failure(near::suggested(cause, &near::names(name, all))).hint(hint))
}

/// "extern 'x' (strong): not resolved", "extern (var ksym) 'x': not found in kernel BTF"
fn external(line: &str, kernel: &dyn Facts) -> Option<Failure> {
    let rest = line.strip_prefix("extern '");
    let name = rest.and_then(|rest| rest.split_once("' (strong): not resolved")).or_else(|| {
        let rest = line.strip_prefix("extern (var ksym) '")?;
        rest.split_once("': not found")
    });
    let (name, _) = name?;
    if name.starts_with("CONFIG_") {
        return Some(failure(format!("this kernel was not built with the option `{name}`")).hint(
            format!(
                "a program that also runs without it declares it weak: extern int {name} __kconfig \
                 __weak; its value is 0 then"
            ),
        ));
    }
    let all = kernel.symbols();
    let near = near::names(name, all.iter().map(String::as_str));
    let cause = near::suggested(format!("this kernel has no symbol `{name}`"), &near);
    Some(failure(cause).hint(
        "a program that also runs without it declares it __ksym __weak; its address is NULL then",
    ))
}

/// "failed to open system Kconfig"
fn configuration(line: &str, elf: Option<&BpfObject<'_>>) -> Option<Failure> {
    line.starts_with("failed to open system Kconfig").then(|| {
        let btf = elf.and_then(|elf| elf.btf().ok());
        let wanted: Vec<String> = btf
            .iter()
            .flat_map(Btf::externs)
            .filter(|name| name.starts_with("CONFIG_"))
            .map(str::to_owned)
            .collect();
        failure(format!(
            "it needs {} of the kernel's configuration, and there is neither /boot/config-RELEASE \
             nor /proc/config.gz",
            match &*wanted {
                [] => "an option".to_owned(),
                wanted => near::list(wanted).replace(" or ", " and "),
            }
        ))
    })
}

/// What libbpf says before the name of a struct of operations.
const OPERATIONS: &str = "struct_ops init_kern";
/// What the kernel calls a struct of operations and its state.
const STATE: &str = "bpf_struct_ops_";

/// "struct_ops init_kern: struct bpf_struct_ops_x is not found in kernel BTF", "struct_ops init_kern
/// x: Cannot find member y in kernel BTF"
fn operations(line: &str, kernel: &dyn Facts) -> Option<Failure> {
    let rest = line.strip_prefix(OPERATIONS)?;
    if let Some((_, rest)) = rest.split_once("struct ")
        && let Some((name, _)) = rest.split_once(" is not found")
    {
        let name = name.strip_prefix(STATE).unwrap_or(name);
        let btf = kernel.btf();
        // Other structs have similar names, but not the member with the operations.
        let is_state = |ty: &Type<'_>| {
            ty.kind == Kind::Struct && ty.members().any(|member| member.name == "data")
        };
        let known: Vec<&str> = btf
            .iter()
            .flat_map(|btf| btf.types().filter(is_state))
            .filter_map(|ty| ty.name().strip_prefix(STATE))
            // The type of all of them.
            .filter(|name| *name != "value")
            .collect();
        let since = since::operations(name).filter(|since| kernel.is_before(*since));
        let since = since::available(since);
        let cause = format!("this kernel has no struct_ops type `{name}`{since}");
        return Some(failure(match known.is_empty() {
            true => cause,
            false => format!("{cause}; it has {}", near::list(&known).replace(" or ", " and ")),
        }));
    }
    let (map, rest) = rest.trim_start().split_once(": Cannot find member ")?;
    let member = rest.split(' ').next()?;
    Some(failure(format!("the operations `{map}` of this kernel have no `{member}`")))
}

/// The section of operations that are attached by a link.
const LINKED: &str = ".struct_ops.link";

/// "map 'x': failed to create: -EINVAL"
fn map(line: &str, elf: Option<&BpfObject<'_>>, kernel: &dyn Facts) -> Option<Failure> {
    let (name, _) = line.strip_prefix("map '")?.split_once("': failed to create: ")?;
    let btf = elf?.btf().ok()?;
    let is_linked = elf?.variables(&btf, LINKED).iter().any(|variable| variable.name == name);
    if is_linked && kernel.is_before(Version(6, 4)) {
        return Some(
            failure(format!(
                "operations in the section `{LINKED}` need Linux 6.4 or later, and this kernel is \
                 older"
            ))
            .hint("the section `.struct_ops` is for all kernels that have operations"),
        );
    }
    let ty = btf.map_number(name, "type")?;
    if kernel.has_map_type(ty) != Some(false) {
        return None;
    }
    let cause = match map_type::type_name(ty) {
        Some(known) => {
            let since = since::map_type(ty).filter(|since| kernel.is_before(*since));
            let since = since::available(since);
            format!(
                "the map `{name}` is of the type `{known}`{since}; this kernel does not have it"
            )
        }
        None => format!("the map `{name}` is of type {ty}, which this kernel does not have"),
    };
    Some(failure(cause))
}
