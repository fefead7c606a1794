// SPDX-License-Identifier: MIT
//! Parsers for the values of options. Each returns the value, or the reason why the text is wrong.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bpfpack_directories::user_cache;
use bpfpack_filter::{Expr, FilterError};
use bpfpack_render::{FormatKind, TimeColumn, formats};
use bpfpack_stage::Sort;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};

use crate::failure::Failure;

use super::{AttachArg, MapSetArg, WasmArg};

/// Parses the name of a format.
pub(super) fn format_parser() -> impl TypedValueParser<Value = &'static FormatKind> {
    PossibleValuesParser::new(formats::names())
        .map(|name| formats::named(&name).unwrap_or(formats::TEXT))
}

/// Parses the name of a time column.
pub(super) fn time_parser() -> impl TypedValueParser<Value = TimeColumn> {
    PossibleValuesParser::new(TimeColumn::names())
        .map(|name| TimeColumn::named(&name).unwrap_or(TimeColumn::None))
}

/// The argument of `-o`.
#[derive(Debug, Clone)]
pub struct OutputArg {
    /// The format before the colon.
    pub(super) format: Option<&'static FormatKind>,
    /// The file; `None` is standard output.
    pub(super) file: Option<PathBuf>,
}

/// Parses a file name with an optional format: `out.txt`, `csv:out.csv`, `-`.
fn output(text: &OsStr) -> Result<OutputArg, String> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let with_format = colon.and_then(|colon| {
        let name = std::str::from_utf8(&bytes[..colon]).ok()?;
        Some((formats::named(name)?, &bytes[colon + 1..]))
    });
    let (format, file) = match with_format {
        Some((format, file)) => (Some(format), file),
        None => (None, bytes),
    };
    match file {
        b"" => Err("the file name is missing; standard output is `-`".into()),
        b"-" => Ok(OutputArg { format, file: None }),
        file => Ok(OutputArg { format, file: Some(OsStr::from_bytes(file).into()) }),
    }
}

/// Parses an output. A file name may have any bytes.
pub(super) fn output_parser() -> impl TypedValueParser<Value = OutputArg> {
    OsStringValueParser::new().try_map(|text| output(&text))
}

/// Parses a column and an order: `COLUMN`, `COLUMN:asc`, `COLUMN:desc`.
pub(super) fn sort(text: &str) -> Result<Sort, String> {
    let (column, is_ascending) = match text.rsplit_once(':') {
        Some((column, "asc")) => (column, true),
        Some((column, "desc")) => (column, false),
        Some((_, order)) => return Err(format!("unknown order `{order}`: use asc or desc")),
        None => (text, false),
    };
    if column.is_empty() {
        return Err("COLUMN is empty".into());
    }
    Ok(Sort { column: column.to_owned(), is_ascending })
}

/// Parses the expression of an option.
pub(super) fn expr(option: &str, text: &str) -> Result<Expr, Failure> {
    Expr::parse(text).map_err(|error| expr_failure(option, &error))
}

/// A failure that shows what is wrong with the expression of an option, and where.
pub(crate) fn expr_failure(option: &str, error: &FilterError) -> Failure {
    let failure = Failure::usage(format!("{option}: {error}")).details(error.marked());
    error.hint.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
}

/// The types of packages that eunomia's ecli accepts.
pub(super) const TYPES: [&str; 4] = ["json", "JsonEunomia", "wasm", "WasmModule"];

/// The argument of `-p`: a process. In eunomia's ecli, `-p` gives the type of the package.
#[derive(Debug, Clone, Copy)]
pub struct PidArg(Option<u32>);

impl PidArg {
    /// The process, unless a type was given.
    pub(super) fn process(self) -> Option<u32> {
        self.0
    }
}

/// Parses a process ID. A type of package is accepted and ignored.
pub(super) fn pid(text: &str) -> Result<PidArg, String> {
    if TYPES.iter().any(|ty| ty.eq_ignore_ascii_case(text)) {
        return Ok(PidArg(None));
    }
    let pid = text.parse().ok().filter(|pid| (1..=0x7fff_ffff).contains(pid));
    pid.map(|pid| PidArg(Some(pid))).ok_or_else(|| "it must be a process ID".into())
}

/// Parses `MAP=N`.
pub(super) fn map_entries(text: &str) -> Result<(String, u32), String> {
    let (name, number) = text.split_once('=').ok_or("it must be MAP=N")?;
    let number = number.parse().ok().filter(|number| *number > 0);
    let number = number.ok_or("N must be a number from 1 to 4294967295")?;
    Ok((name.to_owned(), number))
}

/// Parses a target for programs: `PROGRAM=KIND:TARGET`, or `PROGRAM=off`.
pub(super) fn attach(text: &str) -> Result<AttachArg, String> {
    let (pattern, target) = text.split_once('=').ok_or("it must be PROGRAM=TARGET")?;
    if pattern.is_empty() {
        return Err("PROGRAM is empty".into());
    }
    let (kind, target) = match target.split_once(':') {
        Some((kind, target)) if !target.is_empty() => (kind, Some(target.to_owned())),
        None if target == "off" => (target, None),
        _ => return Err("TARGET must be KIND:NAME, for example kprobe:vfs_read, or off".into()),
    };
    Ok(AttachArg { pattern: pattern.to_owned(), kind: kind.to_owned(), target })
}

/// Parses a value for a map: `MAP=KEY:VALUE`.
pub(super) fn map_set(text: &str) -> Result<MapSetArg, String> {
    let parts = text.split_once('=').and_then(|(map, rest)| Some((map, rest.split_once(':')?)));
    let (map, (key, value)) = parts.ok_or("it must be MAP=KEY:VALUE")?;
    Ok(MapSetArg { map: map.to_owned(), key: key.to_owned(), value: value.to_owned() })
}

/// Parses a value for modules: `key=value`, or `module:key=value`.
pub(super) fn wasm_arg(text: &str) -> Result<WasmArg, String> {
    let (name, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    let (module, name) = match name.split_once(':') {
        Some((module, name)) => (Some(module.to_owned()), name),
        None => (None, name),
    };
    if name.is_empty() {
        return Err("KEY is empty".into());
    }
    Ok(WasmArg { module, name: name.to_owned(), value: value.to_owned() })
}

/// Parses an environment variable: `NAME=VALUE`, or `NAME` with its value in this environment.
pub(super) fn variable(text: &str) -> (String, String) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.to_owned(), std::env::var(text).unwrap_or_default()),
    }
}

/// Parses the memory limit of a Wasm module: bytes, or with K, M or G.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let size = bytes(text)?.filter(|size| (1 << 16..=1 << 32).contains(size));
    size.map(|size| size as usize).ok_or_else(|| "it must be from 64K to 4G".into())
}

/// Parses a memory limit: bytes, or with K, M or G.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let size = bytes(text)?.filter(|size| (16 << 20..=1 << 42).contains(size));
    size.ok_or_else(|| "it must be from 16M to 4096G".into())
}

/// Parses a number of bytes; `None` if it does not fit 64 bits.
fn bytes(text: &str) -> Result<Option<u64>, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim_end_matches("iB").trim_end_matches(['B', 'b']) {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return Err(format!("unknown unit `{unit}`; use K, M or G")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    Ok(number.checked_mul(1 << unit))
}

/// Parses a time: a number with `ms`, `s`, `m` or `h`; without a unit, seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let unit_ms = match unit {
        "ms" => 1.0,
        "" | "s" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3600e3,
        _ => return Err(format!("unknown unit `{unit}`; use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    let ms = number * unit_ms;
    // At most a year, at least a millisecond.
    if !(1.0..=366.0 * 24.0 * 3600e3).contains(&ms) {
        return Err("it must be from 1ms to a year".into());
    }
    Ok(Duration::from_micros((ms * 1e3).round() as u64))
}

/// The directory of a cache; `none` is none.
pub(super) fn cache_in(directory: &Path) -> Option<PathBuf> {
    (directory.as_os_str() != "none").then(|| directory.to_owned())
}

/// The directory of downloaded packages: a given one, or that of this user.
pub(super) fn packages_in(given: Option<&Path>) -> Option<PathBuf> {
    let is_root = rustix::process::geteuid().is_root();
    let default = || packages_of(is_root, user_cache());
    given.map_or_else(default, cache_in)
}

/// Where a user without root may write, and whatever HOME is for root.
fn packages_of(is_root: bool, user_cache: Option<PathBuf>) -> Option<PathBuf> {
    let cache = if is_root { Some(PathBuf::from("/var/cache/bpfpack")) } else { user_cache };
    cache.map(|cache| cache.join("packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloaded_packages_are_kept_where_the_user_may_write() {
        let home = Some(PathBuf::from("/home/me/.cache/bpfpack"));
        let of = |is_root, home: &Option<PathBuf>| packages_of(is_root, home.clone());
        assert_eq!(of(true, &home), Some("/var/cache/bpfpack/packages".into()));
        assert_eq!(of(false, &home), Some("/home/me/.cache/bpfpack/packages".into()));
        assert_eq!(of(false, &None), None);
        assert_eq!(packages_in(Some("none".as_ref())), None);
        assert_eq!(packages_in(Some("x".as_ref())), Some("x".into()));
    }

    #[test]
    fn times() {
        assert_eq!(duration("1"), Ok(Duration::from_secs(1)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("500ms"), duration("0.5"));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "s", "0", "-1s", "1y", "inf", "1e99s", "NaN"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processes_and_types_of_packages() {
        assert_eq!(pid("42").unwrap().process(), Some(42));
        assert_eq!(pid("wasm").unwrap().process(), None);
        assert_eq!(pid("jsoneunomia").unwrap().process(), None);
        for text in ["", "0", "-1", "bash", "4294967295"] {
            assert!(pid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_and_values_of_maps() {
        let arg = attach("read_*=usdt:/lib/libc.so.6:libc:setjmp").unwrap();
        assert_eq!((&*arg.pattern, &*arg.kind), ("read_*", "usdt"));
        assert_eq!(arg.target.as_deref(), Some("/lib/libc.so.6:libc:setjmp"));
        assert_eq!(attach("f=off").unwrap().target, None);
        for text in ["", "f", "=off", "f=", "f=kprobe", "f=kprobe:"] {
            assert!(attach(text).is_err(), "{text}");
        }
        let arg = map_set("jumps=0:handle").unwrap();
        assert_eq!((&*arg.map, &*arg.key, &*arg.value), ("jumps", "0", "handle"));
        assert!(map_set("jumps=0").is_err() && map_set("jumps:0").is_err());
    }

    #[test]
    fn columns_to_sort_by() {
        let by = |column: &str, is_ascending| Ok(Sort { column: column.into(), is_ascending });
        assert_eq!((sort("p99"), sort("comm:asc")), (by("p99", false), by("comm", true)));
        assert_eq!(sort("count/s:desc"), by("count/s", false));
        for text in ["", ":asc", "count:up", "count:"] {
            assert!(sort(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!((size("64K"), size("1GiB"), size("65536")), (Ok(65536), Ok(1 << 30), Ok(65536)));
        for text in ["", "1", "1T", "5G", "M", "-1M", "99999999999999999999"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!((memory("16M"), memory("8G")), (Ok(16 << 20), Ok(8 << 30)));
        for text in ["1M", "5000G", "", "17592186044416G", "1T"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
