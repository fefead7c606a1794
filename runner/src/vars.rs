// SPDX-License-Identifier: MIT
//! The package's own command line: an argument for each global variable, typed by BTF.

mod listed;

use std::collections::{BTreeSet, HashMap};

use bpfpack_schemas::Meta;
use bpfpack_schemas::argument::{Argument, padded, plain};
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::meta::{DUMMY_PREFIX, Variable};
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::printable::{is_printable, lines, one_line};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::args::{Invocation, clap_answer};
use crate::failure::Failure;

/// The values of the arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// New values for variables.
    pub assignments: Vec<Assignment>,
    /// Whether `--verbose` of the package was given.
    pub verbose: bool,
    /// The variables whose final value is not zero. Annotations may depend on them.
    pub nonzero: BTreeSet<String>,
    /// The final value of each variable, as text.
    pub values: Vec<(String, String)>,
}

/// A new value for a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The section, with its leading dot.
    pub section: String,
    /// The offset in the section, in bytes.
    pub offset: usize,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

/// A variable that can be set.
#[derive(Debug)]
struct Settable<'m> {
    section: String,
    offset: usize,
    kind: Argument,
    meta: &'m Variable,
    /// Its bytes in the object.
    initial: Vec<u8>,
}

/// The maximum length of an option's name, in bytes.
const MOST_NAME: usize = 128;

/// The end of the help.
fn own(listing: &str) -> String {
    format!(
        "Options of ecli are accepted here, too, unless the package has an option with the same \
         name; `{listing}` lists them. A command after `--` starts when all programs are attached, \
         and ends the run."
    )
}

const CLASH: &str = "help of the command itself";

/// The variables of a package that can be set.
#[derive(Debug)]
pub(crate) struct Variables<'m> {
    meta: &'m Meta,
    settable: Vec<Settable<'m>>,
}

/// The variables and the parsed arguments.
#[derive(Debug)]
pub(crate) struct Given<'m> {
    variables: Vec<Settable<'m>>,
    /// `None` if there are no arguments; then nothing is parsed.
    matches: Option<ArgMatches>,
}

impl<'m> Variables<'m> {
    /// Finds the variables of a package.
    pub(crate) fn of(meta: &'m Meta, elf: &BpfObject<'_>, btf: &Btf<'_>) -> Variables<'m> {
        Variables { meta, settable: settable(meta, elf, btf) }
    }

    /// The parser for their arguments.
    pub(crate) fn command(&self, invocation: &Invocation) -> Command {
        command(self.meta, &self.settable, invocation)
    }

    /// Parses arguments; the first is the package's name. Returns `None` after printing help that
    /// was asked for. Most packages run without arguments and need no `command`.
    ///
    /// # Errors
    /// Returns clap's message.
    pub(crate) fn parse(
        self,
        command: Option<Command>,
        arguments: &[String],
    ) -> Result<Option<Given<'m>>, Failure> {
        let words = arguments.iter().skip(1);
        let matches = command.map(|command| command.try_get_matches_from(words)).transpose();
        match matches {
            Ok(matches) => Ok(Some(Given { variables: self.settable, matches })),
            Err(error) => clap_answer(&error).map(|()| None),
        }
    }
}

/// A variable that the command line may set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// The variable's name.
    pub(crate) name: &'a str,
    /// The option's name.
    pub(crate) long: &'a str,
    /// The option's letter.
    pub(crate) short: Option<char>,
    /// The variable's type.
    pub(crate) kind: &'a Argument,
}

/// A value for a variable that the command line does not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The variable's index among the candidates.
    pub(crate) variable: usize,
    /// The value, as text.
    pub(crate) text: String,
}

impl Given<'_> {
    /// The variables with their names and types.
    pub(crate) fn candidates(&self) -> Vec<Candidate<'_>> {
        self.variables.iter().map(Settable::candidate).collect()
    }

    /// Whether the command line sets this variable.
    pub(crate) fn is_given(&self, variable: usize) -> bool {
        let id = self.variables[variable].id();
        let matches = self.matches.as_ref();
        matches.is_some_and(|matches| matches!(matches.try_get_one::<String>(&id), Ok(Some(_))))
    }

    /// Returns the values of all variables.
    ///
    /// # Errors
    /// Returns an error if a text is not a value of the variable's type.
    pub(crate) fn arguments(&self, chosen: &[Chosen]) -> Result<Arguments, Failure> {
        let matches = self.matches.as_ref();
        let mut result = Arguments { verbose: is_set(matches, "verbose"), ..Default::default() };
        for (at, variable) in self.variables.iter().enumerate() {
            let bytes = match chosen.iter().find(|chosen| chosen.variable == at) {
                Some(chosen) => Some(variable.bytes(&chosen.text)?),
                None => variable.value(matches)?,
            };
            let value = bytes.as_deref().unwrap_or(&variable.initial);
            if value.iter().any(|byte| *byte != 0) {
                result.nonzero.insert(variable.meta.name.clone());
            }
            result.values.push((variable.meta.name.clone(), variable.kind.show(value)));
            if let Some(bytes) = bytes {
                let Settable { section, offset, .. } = variable;
                let (section, offset) = (section.clone(), *offset);
                result.assignments.push(Assignment { section, offset, bytes });
            }
        }
        Ok(result)
    }
}

/// Whether a switch was given; false if there is no such switch.
fn is_set(matches: Option<&ArgMatches>, id: &str) -> bool {
    matches.is_some_and(|matches| matches!(matches.try_get_one::<bool>(id), Ok(Some(true))))
}

fn settable<'m>(meta: &'m Meta, elf: &BpfObject<'_>, btf: &Btf<'_>) -> Vec<Settable<'m>> {
    let mut found = Vec::new();
    // Variables of one type share its description: an enum may have thousands of names.
    let mut kinds: HashMap<(u32, usize), Option<Argument>> = HashMap::new();
    for section in &meta.bpf_skel.data_sections {
        let data = elf.section_data(&section.name).unwrap_or_default();
        for var in elf.variables(btf, &section.name) {
            let (offset, size) = (var.offset as usize, var.size as usize);
            let described = section.variables.iter().find(|variable| variable.name == var.name);
            let Some(described) = described.filter(|v| !v.name.starts_with(DUMMY_PREFIX)) else {
                continue;
            };
            let kind = kinds.entry((var.ty, size));
            let kind = kind.or_insert_with(|| Argument::of(btf.ty(var.ty), size));
            let Some(kind) = kind.clone() else { continue };
            let initial = data.get(offset..offset + size).map_or(vec![0; size], <[u8]>::to_vec);
            let section = section.name.clone();
            found.push(Settable { section, offset, kind, meta: described, initial });
        }
    }
    found
}

fn command(meta: &Meta, variables: &[Settable<'_>], invocation: &Invocation) -> Command {
    let skeleton = &meta.bpf_skel;
    let doc = skeleton.doc.clone().unwrap_or_default();
    let about = doc.brief.or(doc.description).unwrap_or_else(|| "A simple eBPF program".into());
    // All of these texts come from the package and are not trusted.
    let mut command = Command::new(one_line(&skeleton.obj_name).into_owned())
        .no_binary_name(true)
        .bin_name(one_line(&invocation.program).into_owned())
        .version(one_line(&doc.version.unwrap_or_else(|| "0.1.0".into())).into_owned())
        .about(lines(&about).into_owned())
        .max_term_width(80)
        .disable_help_flag(true)
        .disable_version_flag(true);
    let details = doc.details.map_or(String::new(), |details| format!("{}\n\n", lines(&details)));
    command = command.after_help(details + &own(&one_line(&invocation.options)));
    let mut names = Names::default();
    for variable in variables {
        for arg in variable.args(&mut names) {
            command = command.arg(arg);
        }
    }
    let own = [
        ("help", Some('h'), ArgAction::Help, "Print this help"),
        ("version", Some('V'), ArgAction::Version, "Print the version"),
        ("verbose", None, ArgAction::SetTrue, "Print the messages of libbpf"),
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

/// Names of options that are in use. If a package repeats a name or uses one of ecli's, the first
/// wins.
#[derive(Default)]
struct Names {
    long: BTreeSet<String>,
    short: BTreeSet<char>,
}

impl Settable<'_> {
    /// The package's default for this variable.
    fn default(&self) -> Option<&Value> {
        let cmdarg = self.meta.cmdarg.as_ref().and_then(|arg| arg.default.as_ref());
        cmdarg.or(self.meta.value.as_ref()).filter(|value| !value.is_null())
    }

    /// The value without an argument, as text; empty if it is zero.
    fn shown_default(&self) -> String {
        let initially_true = self.initial.first() == Some(&1);
        match self.default() {
            Some(value) => plain(value),
            None if self.kind.is_bool() && !initially_true => String::new(),
            None if self.initial.iter().any(|byte| *byte != 0) => self.kind.show(&self.initial),
            None => String::new(),
        }
    }

    /// The options for this variable. The option for a bool is named after its effect.
    fn args(&self, names: &mut Names) -> Vec<Arg> {
        let cmdarg = self.meta.cmdarg.clone().unwrap_or_default();
        let initially_true = self.kind.is_bool() && self.initial.first() == Some(&1);
        let long = self.long();
        let long = match self.default() {
            Some(Value::Bool(true)) if self.kind.is_bool() => format!("disable-{long}"),
            Some(Value::Bool(false)) if self.kind.is_bool() => format!("enable-{long}"),
            _ => long.to_owned(),
        };
        let mut help = cmdarg
            .help
            .or_else(|| self.meta.description.clone())
            .unwrap_or_else(|| format!("Set the variable {} ({})", self.meta.name, self.meta.ty));
        let shown = self.shown_default();
        if let Some(values) = self.kind.possible_values() {
            help = format!("{help} [possible values: {values}]");
        }
        if !shown.is_empty() {
            help = format!("{help} [default: {shown}]");
        }
        let long = one_line(&long).into_owned();
        // A name that nobody can type is not an option; the package's value stays.
        let is_option = (1..=MOST_NAME).contains(&long.len()) && !long.starts_with('-');
        if !is_option || !names.long.insert(long.clone()) {
            return Vec::new();
        }
        let mut arg = Arg::new(self.id()).long(long.clone()).help(lines(&help).into_owned());
        arg = if self.kind.is_bool() {
            arg.action(ArgAction::SetTrue)
        } else {
            let name = one_line(self.kind.value_name()).into_owned();
            arg.action(ArgAction::Set).value_name(name).allow_hyphen_values(true)
        };
        let mut letters = cmdarg.short.as_deref().unwrap_or_default().chars();
        if let (Some(letter), None) = (letters.next(), letters.next())
            && letter != '-'
            && is_printable(letter)
            && names.short.insert(letter)
        {
            arg = arg.short(letter);
        }
        let mut args = vec![arg];
        // Old packages have no default for a bool that is true in the object; this option unsets
        // it.
        if initially_true && self.default().is_none() {
            let disable = format!("disable-{long}");
            if names.long.insert(disable.clone()) {
                let help = format!("Set `{}` to false", one_line(&self.meta.name));
                args.push(
                    Arg::new(self.disable_id()).long(disable).action(ArgAction::SetTrue).help(help),
                );
            }
        }
        args
    }

    fn candidate(&self) -> Candidate<'_> {
        let cmdarg = self.meta.cmdarg.as_ref();
        let short = cmdarg.and_then(|arg| arg.short.as_ref()?.chars().next());
        Candidate { name: &self.meta.name, long: self.long(), short, kind: &self.kind }
    }

    /// The name of the option, unless it is a switch.
    fn long(&self) -> &str {
        let long = self.meta.cmdarg.as_ref().and_then(|arg| arg.long.as_deref());
        long.unwrap_or(&self.meta.name)
    }

    fn id(&self) -> String {
        format!("{}:{}", self.section, self.meta.name)
    }

    fn disable_id(&self) -> String {
        format!("{}:{}:disable", self.section, self.meta.name)
    }

    /// The bytes from the command line or from the package's default; `None` keeps the object's.
    fn value(&self, matches: Option<&ArgMatches>) -> Result<Option<Vec<u8>>, Failure> {
        let Argument::Bool { size } = self.kind else {
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
            Some(value) => self.bytes(&plain(value)).map(Some),
        }
    }

    fn bytes(&self, text: &str) -> Result<Vec<u8>, Failure> {
        self.kind.parse(text).map_err(|why| {
            let long = self.long();
            let ty = &self.meta.ty;
            Failure::usage(format!("`{text}` is not a value for `--{long}` ({ty}): {why}"))
        })
    }
}
