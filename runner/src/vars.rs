// SPDX-License-Identifier: MIT
//! The package's own command line: an argument for each global variable, its type taken from BTF.

use std::collections::BTreeSet;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, Variable};
use bpfpack_schemas::object::BpfObject;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::failure::{Failure, exit_code};

/// What the arguments say.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Values for variables, in place of those in the object.
    pub assignments: Vec<Assignment>,
    /// `--verbose` of the package.
    pub verbose: bool,
    /// Variables whose final value is not zero: annotations may depend on them.
    pub nonzero: BTreeSet<String>,
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The section, with its dot.
    pub section: String,
    /// The place in the section.
    pub offset: usize,
    /// The bytes to put there.
    pub bytes: Vec<u8>,
}

/// How an argument's text becomes bytes.
#[derive(Debug, Clone)]
enum Kinds {
    Bool { size: usize },
    Int { size: usize, signed: bool },
    Float { size: usize },
    Text { size: usize },
    Enum { size: usize, signed: bool, names: Vec<(String, i64)> },
}

/// A variable that can be set.
#[derive(Debug)]
struct Settable<'m> {
    section: String,
    offset: usize,
    kind: Kinds,
    meta: &'m Variable,
    /// Its bytes in the object.
    initial: Vec<u8>,
}

const CLASH: &str = "help of the command itself";

/// Reads the arguments behind the package's name; none where they asked for help, which is printed.
pub fn parse(
    meta: &Meta,
    elf: &BpfObject<'_>,
    btf: &Btf<'_>,
    arguments: &[String],
) -> Result<Option<Arguments>, Failure> {
    let variables = settable(meta, elf, btf);
    // Most packages run without arguments; then nothing has to be parsed.
    let matches = match arguments {
        [] | [_] => None,
        [package, rest @ ..] => match command(meta, &variables, package).try_get_matches_from(rest)
        {
            Ok(matches) => Some(matches),
            Err(error) if !error.use_stderr() => {
                let _ = error.print();
                return Ok(None);
            }
            Err(error) => {
                let text = error.render().to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
                return Err(Failure::new(exit_code::USAGE, anyhow!(text)));
            }
        },
    };
    let matches = matches.as_ref();
    let mut result = Arguments { verbose: is_set(matches, "verbose"), ..Default::default() };
    for variable in &variables {
        let bytes = variable.value(matches)?;
        if bytes.as_deref().unwrap_or(&variable.initial).iter().any(|byte| *byte != 0) {
            result.nonzero.insert(variable.meta.name.clone());
        }
        if let Some(bytes) = bytes {
            let Settable { section, offset, .. } = variable;
            result.assignments.push(Assignment {
                section: section.clone(),
                offset: *offset,
                bytes,
            });
        }
    }
    Ok(Some(result))
}

/// Whether a switch was given; one that does not exist was not.
fn is_set(matches: Option<&ArgMatches>, id: &str) -> bool {
    matches.is_some_and(|matches| matches!(matches.try_get_one::<bool>(id), Ok(Some(true))))
}

fn settable<'m>(meta: &'m Meta, elf: &BpfObject<'_>, btf: &Btf<'_>) -> Vec<Settable<'m>> {
    let mut found = Vec::new();
    for section in &meta.bpf_skel.data_sections {
        let data = elf.section_data(&section.name).unwrap_or_default();
        for var in elf.variables(btf, &section.name) {
            let (offset, size) = (var.offset as usize, var.size as usize);
            let described = section.variables.iter().find(|variable| variable.name == var.name);
            let Some(described) = described.filter(|v| !v.name.starts_with(DUMMY_PREFIX)) else {
                continue;
            };
            let Some(kind) = Kinds::of(btf.ty(var.ty), size) else {
                continue;
            };
            let initial = data.get(offset..offset + size).map_or(vec![0; size], <[u8]>::to_vec);
            let section = section.name.clone();
            found.push(Settable { section, offset, kind, meta: described, initial });
        }
    }
    found
}

fn command(meta: &Meta, variables: &[Settable<'_>], package: &str) -> Command {
    let skeleton = &meta.bpf_skel;
    let doc = skeleton.doc.clone().unwrap_or_default();
    let about = doc.brief.or(doc.description).unwrap_or_else(|| "A simple eBPF program".into());
    let mut command = Command::new(skeleton.obj_name.clone())
        .no_binary_name(true)
        .bin_name(format!("ecli run {package}"))
        .version(doc.version.unwrap_or_else(|| "0.1.0".into()))
        .about(about)
        .max_term_width(100)
        .disable_help_flag(true)
        .disable_version_flag(true);
    if let Some(details) = doc.details {
        command = command.after_help(details);
    }
    let mut names = Names::default();
    for variable in variables {
        for arg in variable.args(&mut names) {
            command = command.arg(arg);
        }
    }
    let own = [
        ("help", Some('h'), ArgAction::Help, "Print this help"),
        ("version", Some('V'), ArgAction::Version, "Print the version"),
        ("verbose", None, ArgAction::SetTrue, "Show libbpf's messages"),
    ];
    for (name, short, action, help) in own {
        if names.long.insert(name.to_owned()) {
            let short = short.filter(|short| names.short.insert(*short));
            let id = if name == "help" { CLASH } else { name };
            let mut arg = Arg::new(id).long(name).action(action).help(help);
            if let Some(short) = short {
                arg = arg.short(short);
            }
            command = command.arg(arg);
        }
    }
    command
}

/// Options that are taken. A package may use a name twice, or one of ours: the first has it.
#[derive(Default)]
struct Names {
    long: BTreeSet<String>,
    short: BTreeSet<char>,
}

impl Kinds {
    fn of(ty: Type<'_>, size: usize) -> Option<Kinds> {
        let ty = ty.resolved();
        Some(match ty.kind {
            Kind::Int if ty.int_encoding().bool => Kinds::Bool { size },
            Kind::Int if size <= 16 => Kinds::Int { size, signed: ty.int_encoding().signed },
            Kind::Float if size == 4 || size == 8 => Kinds::Float { size },
            Kind::Enum | Kind::Enum64 => Kinds::Enum {
                size,
                // clang 14 does not say; a negative enumerator can only be one of a signed enum.
                signed: ty.is_signed_enum(),
                names: ty.enumerators().map(|(name, value)| (name.to_owned(), value)).collect(),
            },
            Kind::Array if ty.target().is_plain_char() => Kinds::Text { size },
            _ => return None,
        })
    }

    fn is_bool(&self) -> bool {
        matches!(self, Kinds::Bool { .. })
    }

    /// What stands for the value in the help.
    fn value_name(&self) -> &'static str {
        match self {
            Kinds::Bool { .. } => "BOOL",
            Kinds::Int { .. } => "N",
            Kinds::Float { .. } => "X",
            Kinds::Text { .. } => "TEXT",
            Kinds::Enum { .. } => "NAME",
        }
    }

    /// The bytes of a text.
    fn parse(&self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Kinds::Bool { size } => match text {
                "true" | "1" => Ok(padded(&[1], *size)),
                "false" | "0" => Ok(padded(&[0], *size)),
                _ => Err("it is neither true nor false".into()),
            },
            Kinds::Int { size, signed } => int(text, *size, *signed),
            Kinds::Float { size } => {
                let value: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
                Ok(match size {
                    4 => (value as f32).to_le_bytes().into(),
                    _ => value.to_le_bytes().into(),
                })
            }
            Kinds::Text { size } => {
                // The terminating zero has to fit, too.
                if text.len() >= *size {
                    let (len, most) = (text.len(), size.saturating_sub(1));
                    return Err(format!("it has {len} bytes; at most {most} fit"));
                }
                Ok(padded(text.as_bytes(), *size))
            }
            Kinds::Enum { size, signed, names } => {
                if let Some((_, value)) = names.iter().find(|(name, _)| name == text) {
                    return Ok(value.to_le_bytes()[..*size.min(&8)].to_vec());
                }
                int(text, *size, *signed).or_else(|_| int(text, *size, true)).map_err(|_| {
                    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
                    format!("it is neither a number nor one of {}", names.join(", "))
                })
            }
        }
    }

    /// A value in words, for the help.
    fn show(&self, bytes: &[u8]) -> String {
        match self {
            Kinds::Text { .. } => String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned(),
            Kinds::Float { size: 4 } => bytes
                .try_into()
                .map_or_else(|_| String::new(), |b| f32::from_le_bytes(b).to_string()),
            Kinds::Float { .. } => bytes
                .try_into()
                .map_or_else(|_| String::new(), |b| f64::from_le_bytes(b).to_string()),
            Kinds::Int { signed: true, .. } => signed_value(bytes).to_string(),
            Kinds::Enum { names, .. } => {
                let value = signed_value(bytes);
                let name = names.iter().find(|(_, number)| i128::from(*number) == value);
                name.map_or_else(|| value.to_string(), |(name, _)| name.clone())
            }
            Kinds::Bool { .. } => (bytes.first() == Some(&1)).to_string(),
            Kinds::Int { .. } => unsigned_value(bytes).to_string(),
        }
    }
}

fn padded(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(size, 0);
    out
}

fn unsigned_value(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

fn signed_value(bytes: &[u8]) -> i128 {
    let unused = 128 - 8 * bytes.len().clamp(1, 16);
    ((unsigned_value(bytes) << unused) as i128) >> unused
}

/// A decimal, `0x` or `0o` number as little-endian bytes.
fn int(text: &str, size: usize, signed: bool) -> Result<Vec<u8>, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let bits = 8 * size as u32;
    let (least, most): (u128, u128) = match (signed, bits) {
        (true, bits) => (1 << (bits - 1), (1 << (bits - 1)) - 1),
        (false, 128) => (0, u128::MAX),
        (false, bits) => (0, (1 << bits) - 1),
    };
    let range = || {
        let least = if signed { format!("-{least}") } else { "0".into() };
        format!("it is not in the range from {least} to {most}")
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("it is no whole number".into());
    }
    let magnitude = u128::from_str_radix(digits, radix).map_err(|_| range())?;
    if magnitude > if negative { least } else { most } {
        return Err(range());
    }
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    Ok(value.to_le_bytes()[..size].to_vec())
}

impl Settable<'_> {
    /// What the package wants when no argument is given.
    fn default(&self) -> Option<&Value> {
        let cmdarg = self.meta.cmdarg.as_ref().and_then(|arg| arg.default.as_ref());
        cmdarg.or(self.meta.value.as_ref()).filter(|value| !value.is_null())
    }

    /// The options of this variable. A bool's name says what giving it does.
    fn args(&self, names: &mut Names) -> Vec<Arg> {
        let cmdarg = self.meta.cmdarg.clone().unwrap_or_default();
        let long = cmdarg.long.unwrap_or_else(|| self.meta.name.clone());
        let initially_true = self.kind.is_bool() && self.initial.first() == Some(&1);
        let switch = match self.default() {
            Some(Value::Bool(true)) => format!("disable-{long}"),
            Some(Value::Bool(false)) => format!("enable-{long}"),
            _ => long.clone(),
        };
        let long = if self.kind.is_bool() { switch } else { long };
        let mut help = cmdarg.help.or_else(|| self.meta.description.clone()).unwrap_or_else(|| {
            format!("Set value of `{}` variable {}", self.meta.ty, self.meta.name)
        });
        let shown = match self.default() {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None if self.initial.iter().any(|byte| *byte != 0) => self.kind.show(&self.initial),
            None => String::new(),
        };
        if !self.kind.is_bool() && !shown.is_empty() {
            help = format!("{help} [default: {shown}]");
        }
        if !names.long.insert(long.clone()) {
            return Vec::new();
        }
        let mut arg = Arg::new(self.id()).long(long.clone()).help(help);
        arg = if self.kind.is_bool() {
            arg.action(ArgAction::SetTrue)
        } else {
            let name = self.kind.value_name();
            arg.action(ArgAction::Set).value_name(name).allow_hyphen_values(true)
        };
        let mut letters = cmdarg.short.as_deref().unwrap_or_default().chars();
        if let (Some(letter), None) = (letters.next(), letters.next())
            && letter != '-'
            && names.short.insert(letter)
        {
            arg = arg.short(letter);
        }
        let mut args = vec![arg];
        // An old package says nothing of a bool that the object sets: it can be unset here.
        if initially_true && self.default().is_none() {
            let disable = format!("disable-{long}");
            if names.long.insert(disable.clone()) {
                let help = format!("Set `{}`, which is true, to false", self.meta.name);
                args.push(
                    Arg::new(self.disable_id()).long(disable).action(ArgAction::SetTrue).help(help),
                );
            }
        }
        args
    }

    fn id(&self) -> String {
        format!("{}:{}", self.section, self.meta.name)
    }

    fn disable_id(&self) -> String {
        format!("{}:{}:disable", self.section, self.meta.name)
    }

    /// The bytes that the command line or the package give; none where the object's own stay.
    fn value(&self, matches: Option<&ArgMatches>) -> Result<Option<Vec<u8>>, Failure> {
        let Kinds::Bool { size } = self.kind else {
            let given = matches.and_then(|m| m.try_get_one::<String>(&self.id()).ok().flatten());
            return match given {
                Some(text) => self.bytes(text).map(Some),
                None => self.default_bytes(),
            };
        };
        if is_set(matches, &self.disable_id()) {
            return Ok(Some(vec![0; size]));
        }
        if is_set(matches, &self.id()) {
            let value = u8::from(self.default() != Some(&Value::Bool(true)));
            return Ok(Some(padded(&[value], size)));
        }
        self.default_bytes()
    }

    fn default_bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        match self.default() {
            None => Ok(None),
            Some(Value::String(text)) => self.bytes(text).map(Some),
            Some(value) => self.bytes(&value.to_string()).map(Some),
        }
    }

    fn bytes(&self, text: &str) -> Result<Vec<u8>, Failure> {
        self.kind.parse(text).map_err(|why| {
            let cmdarg = self.meta.cmdarg.as_ref();
            let long = cmdarg.and_then(|arg| arg.long.as_deref()).unwrap_or(&self.meta.name);
            let error = anyhow!("`{text}` is no value for `--{long}` ({}): {why}", self.meta.ty);
            Failure::new(exit_code::USAGE, error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_their_ranges() {
        assert_eq!(int("5", 4, false), Ok(vec![5, 0, 0, 0]));
        assert_eq!(int("-1", 2, true), Ok(vec![255, 255]));
        assert_eq!(int("0xff", 1, false), Ok(vec![255]));
        assert_eq!(int("-128", 1, true), Ok(vec![128]));
        assert_eq!(int("18446744073709551615", 8, false), Ok(vec![255; 8]));
        assert_eq!(int(&u128::MAX.to_string(), 16, false), Ok(vec![255; 16]));
        for (text, size, signed) in
            [("256", 1, false), ("128", 1, true), ("-129", 1, true), ("-1", 4, false)]
        {
            assert!(int(text, size, signed).unwrap_err().contains("range"), "{text}");
        }
        for text in ["", "x", "1.5", "0x", "--1", "1 "] {
            assert!(int(text, 4, true).unwrap_err().contains("whole number"), "{text}");
        }
    }

    #[test]
    fn texts_floats_and_enums() {
        let text = Kinds::Text { size: 4 };
        assert_eq!(text.parse("abc"), Ok(b"abc\0".to_vec()));
        assert!(text.parse("abcd").unwrap_err().contains("at most 3"));
        assert_eq!(Kinds::Float { size: 4 }.parse("1.5"), Ok(1.5f32.to_le_bytes().to_vec()));
        assert!(Kinds::Float { size: 8 }.parse("x").is_err());
        let names = vec![("RED".to_owned(), 1), ("LESS".to_owned(), -1)];
        let color = Kinds::Enum { size: 4, signed: false, names };
        assert_eq!(color.parse("RED"), Ok(vec![1, 0, 0, 0]));
        assert_eq!(color.parse("LESS"), Ok(vec![255; 4]));
        assert_eq!(color.parse("7"), Ok(vec![7, 0, 0, 0]));
        assert!(color.parse("BLUE").unwrap_err().contains("RED, LESS"));
    }

    #[test]
    fn values_in_words() {
        assert_eq!(Kinds::Int { size: 4, signed: true }.show(&[255; 4]), "-1");
        assert_eq!(Kinds::Int { size: 4, signed: false }.show(&[255; 4]), "4294967295");
        assert_eq!(Kinds::Text { size: 4 }.show(b"ab\0\0"), "ab");
    }
}
