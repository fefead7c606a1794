// SPDX-License-Identifier: MIT
//! Refuses objects that use undefined functions, and says how to replace them.

use anyhow::anyhow;

use crate::failure::{Failure, exit_code};
use crate::message::shown;
use crate::options::{DescribeOptions, Input};
use crate::records::undefined::{Undefined, Use};

/// Checks that an object defines everything that its code uses: otherwise no loader accepts it.
///
/// # Errors
/// The message names the functions and their callers.
pub(crate) fn check(options: &DescribeOptions, undefined: &[Undefined]) -> Result<(), Failure> {
    if undefined.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = undefined.iter().map(told).collect();
    let text =
        format!("{}: {}: no kernel can load the object", shown(&options.source), told.join("; "));
    let mut hints: Vec<(&str, &str)> = Vec::new();
    for one in undefined {
        let hint = c_library(&one.name).unwrap_or_else(|| remedy(one, options.input));
        if hints.iter().all(|(_, known)| *known != hint) {
            hints.push((&one.name, hint));
        }
    }
    let hint = match hints[..] {
        [(_, hint)] => hint.to_owned(),
        _ => {
            let named = hints.iter().map(|(name, hint)| format!("`{name}`: {hint}"));
            named.collect::<Vec<_>>().join("; ")
        }
    };
    Err(Failure::new(exit_code::DESCRIBE, anyhow!(text)).hint(hint))
}

/// Formats one undefined name, and its uses.
fn told(Undefined { name, is_called, uses }: &Undefined) -> String {
    let one = |Use { function, location }: &Use| match location {
        Some(location) => format!("`{function}` ({location})"),
        None => format!("`{function}`"),
    };
    let uses: Vec<String> = uses.iter().map(one).collect();
    let verb = match (is_called, uses.len()) {
        (true, 1) => "calls",
        (true, _) => "call",
        (false, 1) => "uses",
        (false, _) => "use",
    };
    format!("{} {verb} `{name}`, which is not defined", uses.join(", "))
}

/// The hint for a function of the C library that clang leaves as a call, or refuses.
pub(crate) fn c_library(name: &str) -> Option<&'static str> {
    Some(match name {
        "memcmp" | "bcmp" => {
            "BPF has no C library, and clang expands `memcmp` (and `__builtin_memcmp`) only where the \
             size is a constant, and up to clang 14 of a few bytes: compile with clang 15 or newer, \
             compare bytes or words in a loop with a constant bound, or strings with bpf_strncmp"
        }
        "memcpy" | "memmove" | "memset" | "bzero" => {
            "BPF has no C library, and clang expands `__builtin_memcpy`, `__builtin_memmove` and \
             `__builtin_memset` only where the size is a constant, and a small one: use a loop with a \
             constant bound, or copy with bpf_probe_read_kernel"
        }
        "strcmp" | "strncmp" | "strcasecmp" | "strncasecmp" => {
            "BPF has no C library: compare in a loop with a constant bound, or use bpf_strncmp if \
             one of the two is a constant"
        }
        "strlen" | "strnlen" | "strcpy" | "strncpy" | "strcat" | "strncat" | "strchr"
        | "strrchr" | "strstr" | "memchr" => {
            "BPF has no C library: write a loop with a constant bound; bpf_probe_read_kernel_str and \
             bpf_probe_read_user_str copy a string and return its size"
        }
        "printf" | "puts" | "putchar" => {
            "BPF has no C library: use bpf_printk, which prints to the trace pipe"
        }
        "snprintf" | "sprintf" => "BPF has no C library: use BPF_SNPRINTF of <bpf/bpf_helpers.h>",
        _ => return None,
    })
}

/// The hint for any other name.
fn remedy(undefined: &Undefined, input: Input) -> &'static str {
    match (undefined.is_called, input) {
        (true, Input::Object) => {
            "link the object with the one that defines it (bpftool gen object); declare a function \
             of the kernel `extern … __ksym` in the source"
        }
        (true, _) => {
            "is its name misspelled? Define it in the source, as `static __always_inline`, or \
             include the source that does; declare a function of the kernel `extern … __ksym`"
        }
        (false, _) => {
            "define it in the source; declare a variable of the kernel `extern … __ksym`, a value \
             of its configuration `extern … __kconfig`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undefined(name: &str, is_called: bool, uses: &[(&str, Option<&str>)]) -> Undefined {
        let one = |(function, location): &(&str, Option<&str>)| Use {
            function: (*function).to_owned(),
            location: location.map(str::to_owned),
        };
        Undefined { name: name.to_owned(), is_called, uses: uses.iter().map(one).collect() }
    }

    fn refused(undefined: &[Undefined], input: Input) -> (String, String) {
        let options = DescribeOptions { input, ..DescribeOptions::default() };
        let failure = check(&options, undefined).unwrap_err();
        assert_eq!(failure.exit_code, exit_code::DESCRIBE);
        (failure.to_string(), format!("{failure:?}"))
    }

    #[test]
    fn what_calls_it_and_what_to_do_is_told() {
        assert!(check(&DescribeOptions::default(), &[]).is_ok());
        let memcmp = undefined("memcmp", true, &[("handle", Some("x.bpf.c:12")), ("f", None)]);
        let (text, all) = refused(std::slice::from_ref(&memcmp), Input::Source);
        let expected = "x.bpf.o: `handle` (x.bpf.c:12), `f` call `memcmp`, which is not defined: no \
            kernel can load the object";
        assert_eq!(text, expected);
        assert!(all.contains("__builtin_memcmp") && !all.contains("__ksym"), "{all}");
        let own = undefined("own", true, &[("g", None)]);
        let (text, all) = refused(&[memcmp, own.clone(), own], Input::Source);
        assert!(text.contains("not defined; `g` calls `own`, which is not defined"), "{text}");
        assert!(all.contains("bpf_strncmp; `own`: is its name misspelled?"), "{all}");
        assert_eq!(all.matches("misspelled").count(), 1, "{all}");
    }

    #[test]
    fn objects_are_linked_and_variables_are_not_called() {
        let (_, all) = refused(&[undefined("own", true, &[("g", None)])], Input::Object);
        assert!(all.contains("bpftool gen object"), "{all}");
        let (text, all) = refused(&[undefined("own", false, &[("g", None)])], Input::Source);
        assert!(text.contains("`g` uses `own`") && all.contains("__kconfig"), "{text} {all}");
    }
}
