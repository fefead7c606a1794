// SPDX-License-Identifier: MIT
//! Sorts the words after the package's name: arguments of the package, options of ecli, and a
//! command. If both have an option of the same name, the package's wins.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::{Arg, Command};

use super::line::text;
use super::near::near;
use crate::failure::Failure;

/// The words after the package's name, sorted by owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Options of ecli, with their values.
    pub(super) own: Vec<OsString>,
    /// Arguments of the package.
    pub(super) package: Vec<String>,
    /// The words after `--`.
    pub(super) command: Option<Vec<OsString>>,
}

/// The options of the package and of ecli.
struct Known<'c> {
    package: &'c Command,
    own: &'c Command,
}

/// An option and its owner.
struct Found<'c> {
    arg: &'c Arg,
    is_own: bool,
}

/// Assigns each word to the package or to ecli.
///
/// # Errors
/// Returns an error that names an unknown option and suggests similar ones.
pub(super) fn sort(
    words: &[OsString],
    package: &Command,
    own: &Command,
) -> Result<Sorted, Failure> {
    let known = Known { package, own };
    let mut sorted = Sorted::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            let command: Vec<OsString> = words.cloned().collect();
            if command.is_empty() {
                return Err(Failure::usage("the command after `--` is missing")
                    .hint("ecli run PACKAGE -- CMD ARGUMENTS… traces while CMD runs"));
            }
            sorted.command = Some(command);
            break;
        }
        let value = words.peek().map(|next| next.as_os_str());
        let takes_next = match bytes {
            [b'-', b'-', ..] => sorted.long(&known, word, value)?,
            [b'-', _, ..] => sorted.letters(&known, &text(word)?, value)?,
            _ => {
                let text = format!("`{}` is not an option", word.to_string_lossy());
                return Err(Failure::usage(text).hint("a command comes after two dashes: -- CMD …"));
            }
        };
        if takes_next {
            words.next();
        }
    }
    Ok(sorted)
}

impl Sorted {
    /// Takes `--name` or `--name=value`. Returns whether the next word is its value.
    fn long(
        &mut self,
        known: &Known<'_>,
        word: &OsStr,
        next: Option<&OsStr>,
    ) -> Result<bool, Failure> {
        let bytes = &word.as_bytes()[2..];
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let name = text(OsStr::from_bytes(&bytes[..equals.unwrap_or(bytes.len())]))?;
        let found = known.find(|arg| arg.get_long() == Some(&name));
        let found = found.ok_or_else(|| known.unknown(&name))?;
        self.push(&found, word)?;
        if equals.is_some() {
            return Ok(false);
        }
        self.value(&found, word, next)
    }

    /// Takes `-x`, `-xVALUE` or `-xyz`. Returns whether the next word is a value.
    fn letters(
        &mut self,
        known: &Known<'_>,
        word: &str,
        next: Option<&OsStr>,
    ) -> Result<bool, Failure> {
        for (at, letter) in word.char_indices().skip(1) {
            let found = known.find(|arg| arg.get_short() == Some(letter));
            let found = found.ok_or_else(|| Failure::usage(unknown(&format!("-{letter}"))))?;
            let rest = &word[at + letter.len_utf8()..];
            if takes_value(found.arg) && !rest.is_empty() {
                self.push(&found, OsStr::new(&format!("-{letter}{rest}")))?;
                return Ok(false);
            }
            let option = format!("-{letter}");
            self.push(&found, OsStr::new(&option))?;
            if rest.is_empty() {
                return self.value(&found, OsStr::new(&option), next);
            }
        }
        Ok(false)
    }

    /// Takes the next word if it is the value of this option. Returns whether it is.
    fn value(
        &mut self,
        found: &Found<'_>,
        word: &OsStr,
        next: Option<&OsStr>,
    ) -> Result<bool, Failure> {
        if !takes_value(found.arg) || found.arg.is_require_equals_set() {
            return Ok(false);
        }
        let may_be = |next: &&OsStr| match next.as_bytes() {
            b"--" => false,
            [b'-', _, ..] => found.arg.is_allow_hyphen_values_set(),
            _ => true,
        };
        match next.filter(may_be) {
            Some(next) => self.push(found, next).map(|()| true),
            // Without a value, clap would consume the next word of ecli's options. For the
            // package's own option nothing follows, so clap reports it.
            None if found.is_own => {
                Err(Failure::usage(format!("`{}` needs a value", word.to_string_lossy())))
            }
            None => Ok(false),
        }
    }

    fn push(&mut self, found: &Found<'_>, word: &OsStr) -> Result<(), Failure> {
        if found.is_own {
            self.own.push(word.to_owned());
        } else {
            self.package.push(text(word)?);
        }
        Ok(())
    }
}

impl<'c> Known<'c> {
    fn find(&self, is_it: impl Fn(&Arg) -> bool) -> Option<Found<'c>> {
        let of = |command: &'c Command, is_own| {
            let arg = command.get_arguments().find(|arg| is_it(arg))?;
            Some(Found { arg, is_own })
        };
        of(self.package, false).or_else(|| of(self.own, true))
    }

    fn unknown(&self, name: &str) -> Failure {
        let longs = |command: &'c Command| {
            let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
            near(name, shown.filter_map(Arg::get_long))
        };
        let of = |names: Vec<&str>, whose: &str| -> Vec<String> {
            names.iter().map(|name| format!("`--{name}` of {whose}")).collect()
        };
        let failure = Failure::usage(unknown(&format!("--{name}")));
        let similar =
            [of(longs(self.package), "the package"), of(longs(self.own), "ecli")].concat();
        match similar.is_empty() {
            true => {
                failure.hint("--help after the package's name lists the arguments of the package")
            }
            false => failure.hint(format!("there is {}", similar.join(", "))),
        }
    }
}

fn unknown(option: &str) -> String {
    format!("unknown option `{option}`: neither the package nor ecli has it")
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn command(name: &'static str, args: &[(&'static str, Option<char>, bool)]) -> Command {
        args.iter().fold(Command::new(name), |command, (long, short, takes_value)| {
            let action = if *takes_value { ArgAction::Set } else { ArgAction::SetTrue };
            let arg = Arg::new(*long).long(*long).action(action);
            let arg =
                if name == "package" && *takes_value { arg.allow_hyphen_values(true) } else { arg };
            command.arg(short.map_or(arg.clone(), |short| arg.short(short)))
        })
    }

    fn sorted(line: &str) -> Result<(String, String, Option<String>), String> {
        let package =
            command("package", &[("targ_dist", Some('d'), false), ("min", Some('m'), true)]);
        let own = command(
            "own",
            &[("json", Some('j'), false), ("duration", Some('d'), true), ("top", Some('n'), true)],
        );
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let text = |words: &[OsString]| {
            words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let Sorted { own, package, command } =
            sort(&words, &package, &own).map_err(|failure| failure.message())?;
        Ok((text(&own), package.join(" "), command.map(|command| text(&command))))
    }

    #[test]
    fn words_are_whose_options_they_belong_to() {
        let ok = |own: &str, package: &str, command: Option<&str>| {
            Ok((own.to_owned(), package.to_owned(), command.map(str::to_owned)))
        };
        assert_eq!(sorted("--targ_dist --json"), ok("--json", "--targ_dist", None));
        assert_eq!(sorted("-d --duration 2"), ok("--duration 2", "-d", None), "the package's wins");
        assert_eq!(sorted("--min -5 --top=3"), ok("--top=3", "--min -5", None));
        assert_eq!(sorted("-jdm4 -n 3"), ok("-j -n 3", "-d -m4", None));
        assert_eq!(sorted("-jn3"), ok("-j -n3", "", None));
        assert_eq!(sorted("-jm -- ls"), ok("-j", "-m", Some("ls")), "its value is missing");
        assert_eq!(sorted("--json -- ls --min -d"), ok("--json", "", Some("ls --min -d")));
        assert_eq!(sorted("--duration -"), ok("--duration -", "", None));
    }

    #[test]
    fn what_nobody_knows_is_an_error() {
        for (line, word) in [
            ("--tpo 3", "`--tpo`"),
            ("-jx", "`-x`"),
            ("file", "`file` is not an option"),
            ("--json --", "the command after `--` is missing"),
            ("--top", "`--top` needs a value"),
            ("-jn -j", "`-n` needs a value"),
            ("--top -- ls", "`--top` needs a value"),
        ] {
            let error = sorted(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
