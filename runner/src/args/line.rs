// SPDX-License-Identifier: MIT
//! Parses the command line in two steps: first the words before the package's name; then, once the
//! package is read, the words after it: arguments of the package, more options of ecli, and a
//! command.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use super::sort::{Sorted, sort};
use super::{Origin, Plan, RegistryCommand, Run};
use crate::failure::{Failure, exit_code};

/// What the command line asks for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a process has one
pub enum Request {
    /// `ecli run`, or a package alone.
    Run(Args),
    /// `ecli push` and others for registries.
    Registry(RegistryCommand),
}

impl Request {
    /// Parses the command line of this process. Prints help if the command line asks for it, and
    /// returns `None`.
    ///
    /// # Errors
    /// Returns clap's message, which quotes the command line.
    pub fn read() -> Result<Option<Request>, Failure> {
        match Request::of(std::env::args_os().collect()) {
            Ok(request) => Ok(Some(request)),
            Err(error) => clap_answer(&error).map(|()| None),
        }
    }

    fn of(words: Vec<OsString>) -> Result<Request, clap::Error> {
        let cli = Cli::try_parse_from(&words)?;
        match cli.command {
            Some(Command::Run(run)) => Ok(Request::Run(Args::new(words, run))),
            Some(Command::Registry(command)) => Ok(Request::Registry(command)),
            None => {
                let words: Vec<OsString> = ["ecli", "run"]
                    .map(OsString::from)
                    .into_iter()
                    .chain(cli.command_line)
                    .collect();
                let run = Run::try_parse_from(&words[1..])?;
                Ok(Request::Run(Args::new(words, run)))
            }
        }
    }
}

/// The command line of `ecli run`, parsed up to the package's name.
#[derive(Debug)]
pub struct Args {
    /// The words before the package's name.
    before: Vec<OsString>,
    /// The options that those words give.
    run: Run,
    name: OsString,
    behind: Vec<OsString>,
}

/// The end of the help, and of what `ecli` prints without arguments.
const EXAMPLES: &str = "\
Examples:
  sudo ecli run package.json               trace until Ctrl-C
  sudo ecli run -j -d 10 package.json      print JSON for ten seconds
  sudo ecli run package.json -- ls /tmp    trace while a command runs

`ecli run --help` lists the options.";

/// Run packages of eBPF tracers
#[derive(Debug, Parser)]
#[command(name = "ecli", version, max_term_width = 80, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// `ecli PACKAGE …` is the same as `ecli run PACKAGE …`
    #[arg(value_name = "PACKAGE", required = true, allow_hyphen_values = true)]
    #[arg(trailing_var_arg = true, hide = true)]
    command_line: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // a process has one
enum Command {
    /// Load a package, attach its programs, and show their data until Ctrl-C
    Run(Run),
    #[command(flatten)]
    Registry(RegistryCommand),
}

impl Args {
    /// Splits the words of a command line, of which clap made `run`.
    fn new(mut before: Vec<OsString>, mut run: Run) -> Args {
        let mut line = std::mem::take(&mut run.command_line);
        before.truncate(before.len() - line.len());
        before.pop_if(|word| word == "--");
        let name = line.remove(0);
        Args { before, run, name, behind: line }
    }

    #[cfg(test)]
    pub(super) fn of(words: Vec<OsString>) -> Result<Args, clap::Error> {
        match Request::of(words)? {
            Request::Run(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    /// Returns where the package comes from. It touches no file.
    ///
    /// # Errors
    /// Returns an error if the name is not a package's, or if the options before it are wrong.
    pub(crate) fn package(&self) -> Result<Origin, Failure> {
        let package = self.origin()?;
        // Options that are wrong here are wrong with any package, so fail before reading it.
        self.run.clone().plan(package.clone(), Vec::new(), None)?;
        Ok(package)
    }

    fn origin(&self) -> Result<Origin, Failure> {
        let name = self.name.to_string_lossy();
        if name.starts_with('-') && name != "-" {
            return Err(Failure::usage(format!("unknown option `{name}`")).hint(format!(
                "arguments of the package come after its name: ecli run PACKAGE {name}"
            )));
        }
        if name.contains("://") {
            return Err(Failure::usage(format!("`{name}`: ecli does not download packages"))
                .hint("download it, look at it, and run the file"));
        }
        Ok(match &*name {
            "-" => Origin::Stdin,
            _ => Origin::File((&self.name).into()),
        })
    }

    /// The package's name, for messages.
    pub(crate) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// Whether any words follow the package's name.
    pub(crate) fn has_more(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Makes the plan for a module that is a whole tracer: all words after its name are its
    /// arguments.
    ///
    /// # Errors
    /// Returns an error if a word is not UTF-8, or if options contradict each other.
    pub(crate) fn of_module(self) -> Result<Plan, Failure> {
        let package = self.behind.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
        self.settle(Sorted { package, ..Sorted::default() })
    }

    /// Makes the plan for a package. `arguments` parses the words after its name; it is `None` if
    /// there are none.
    ///
    /// # Errors
    /// Returns an error if a word is an option of neither the package nor ecli.
    pub(crate) fn of_package(self, arguments: Option<&clap::Command>) -> Result<Plan, Failure> {
        let sorted = match arguments {
            Some(arguments) => sort(&self.behind, arguments, &Run::command())?,
            None => Sorted::default(),
        };
        self.settle(sorted)
    }

    fn settle(self, sorted: Sorted) -> Result<Plan, Failure> {
        let package = self.origin()?;
        let Sorted { own, package: mut arguments, command } = sorted;
        arguments.insert(0, self.name());
        let run = if own.is_empty() {
            self.run
        } else {
            let words: Vec<OsString> = [self.before, own, vec![self.name]].concat();
            Run::try_parse_from(&words[1..]).map_err(|error| failure(&error))?
        };
        run.plan(package, arguments, command)
    }
}

/// Converts a word that must be UTF-8.
pub(super) fn text(word: &OsStr) -> Result<String, Failure> {
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format!("`{}` is not UTF-8", word.to_string_lossy())))
}

/// Prints help that was asked for.
///
/// # Errors
/// Returns every other message of clap as a failure.
pub fn clap_answer(error: &clap::Error) -> Result<(), Failure> {
    if !error.use_stderr() {
        let _ = error.print();
        return Ok(());
    }
    Err(failure(error))
}

fn failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return Failure::told(exit_code::USAGE);
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
    Failure::usage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_there_are_three_examples() {
        let error = Args::of(vec!["ecli".into()]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert_eq!(text.matches("\n  sudo ecli run ").count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
