// SPDX-License-Identifier: MIT
//! Parses the command line in two steps: first the words before the package's name; then, once the
//! package is read, the words after it: arguments of the package, more options of ecli, and a
//! command.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;

use bpfpack_schemas::executable;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

#[cfg(feature = "metrics")]
use super::ServiceCommand;
#[cfg(feature = "metrics")]
use super::dashboard::DashboardOptions;
#[cfg(feature = "policy")]
use super::doctor::DoctorOptions;
#[cfg(feature = "policy")]
use super::inspect::InspectOptions;
use super::sort::{Sorted, sort};
#[cfg(feature = "registry")]
use super::{CacheCommand, RegistryCommand};
use super::{FetchPlan, OWN, Origin, Plan, Remote, Run, TrustCommand};
use crate::failure::{Failure, exit_code};

/// What the command line asks for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a process has one
pub enum Request {
    /// `ecli run`, or a package alone.
    Run(Box<Args>),
    /// Another command.
    Other(Command),
}

/// The commands that this build does not have.
const ABSENT: &[&str] = &[
    #[cfg(not(feature = "metrics"))]
    "dashboard",
    #[cfg(not(feature = "policy"))]
    "doctor",
    #[cfg(not(feature = "policy"))]
    "inspect",
    #[cfg(not(feature = "registry"))]
    "cache",
    #[cfg(not(feature = "registry"))]
    "login",
    #[cfg(not(feature = "registry"))]
    "logout",
    #[cfg(not(feature = "registry"))]
    "pull",
    #[cfg(not(feature = "registry"))]
    "push",
    #[cfg(not(feature = "metrics"))]
    "ps",
    #[cfg(not(feature = "metrics"))]
    "read",
    #[cfg(not(feature = "metrics"))]
    "serve",
    #[cfg(not(feature = "metrics"))]
    "stop",
];

impl Request {
    /// Parses the command line of this process. Prints help if the command line asks for it, and
    /// returns `None`.
    ///
    /// # Errors
    /// Returns clap's message, which quotes the command line.
    pub fn read() -> Result<Option<Request>, Failure> {
        let words = std::env::args_os().collect();
        let request = match is_standalone() {
            true => Args::standalone(words).map(|args| Request::Run(Box::new(args))),
            false => Request::of(words),
        };
        match request {
            Ok(request) => Ok(Some(request)),
            Err(error) => clap_answer(&error).map(|()| None),
        }
    }

    fn of(words: Vec<OsString>) -> Result<Request, clap::Error> {
        let cli = Cli::try_parse_from(&words)?;
        let args = match cli.command {
            Some(Commands::Run(run)) => Args::new(words, *run),
            Some(Commands::Other(command)) => return Ok(Request::Other(command)),
            None => {
                let words: Vec<OsString> = ["ecli", "run"]
                    .map(OsString::from)
                    .into_iter()
                    .chain(cli.command_line)
                    .collect();
                let run = Run::try_parse_from(&words[1..])?;
                Args::new(words, run)
            }
        };
        Ok(Request::Run(Box::new(args)))
    }
}

/// Whether a package is behind this program. What cannot be read is reported when it is fetched.
fn is_standalone() -> bool {
    File::open(OWN).is_ok_and(|own| executable::has_package(&own).unwrap_or(false))
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
    /// Whether the package is behind this program; then the name is that of the program.
    is_own: bool,
}

/// How the user runs a package.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The words before the package's arguments.
    pub(crate) program: String,
    /// The command that lists the options of ecli.
    pub(crate) options: String,
}

/// The only option of a standalone executable itself.
const ECLI_HELP: &str = "--ecli-help";

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
    command: Option<Commands>,

    /// `ecli PACKAGE …` is the same as `ecli run PACKAGE …`
    #[arg(value_name = "PACKAGE", required = true, allow_hyphen_values = true)]
    #[arg(trailing_var_arg = true, hide = true)]
    command_line: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // a process has one
enum Commands {
    /// Load a package, attach its programs, and show their data until Ctrl-C
    Run(Box<Run>),
    #[command(flatten)]
    Other(Command),
}

/// A command that does not run a package in the foreground.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // clap prints what the variants mean
pub enum Command {
    #[cfg(feature = "metrics")]
    #[command(flatten)]
    Service(ServiceCommand),
    #[cfg(feature = "policy")]
    /// Report what a package contains, shows, and can do, without loading it
    Inspect(InspectOptions),
    #[cfg(feature = "metrics")]
    /// Write a Grafana dashboard and Prometheus rules for the metrics of a package
    Dashboard(Box<DashboardOptions>),
    #[cfg(feature = "policy")]
    /// Report what this machine can do for tracers
    Doctor(DoctorOptions),
    /// Manage the keys of people whose packages may run
    Trust(TrustCommand),
    /// Manage downloaded packages
    #[cfg(feature = "registry")]
    Cache(CacheCommand),
    #[cfg(feature = "registry")]
    #[command(flatten)]
    Registry(RegistryCommand),
}

/// Where a package comes from. It touches no file.
///
/// # Errors
/// Returns an error if the name is not a package's.
pub(super) fn origin(name: &OsStr) -> Result<Origin, Failure> {
    let text = name.to_string_lossy();
    if let Some((scheme, _)) = text.split_once("://") {
        return match scheme {
            "http" | "https" => Ok(Origin::Remote(Remote::Url(text.into_owned()))),
            "oci" => Ok(Origin::Remote(Remote::Image(text.into_owned()))),
            _ => Err(Failure::usage(format!("`{text}`: ecli cannot download from `{scheme}://`"))
                .hint("it can from http://, https:// and oci://")),
        };
    }
    Ok(match &*text {
        "-" => Origin::Stdin,
        _ => Origin::File(name.into()),
    })
}

impl Args {
    /// Splits the words of a command line, of which clap made `run`.
    fn new(mut before: Vec<OsString>, mut run: Run) -> Args {
        let mut line = std::mem::take(&mut run.command_line);
        before.truncate(before.len() - line.len());
        before.pop_if(|word| word == "--");
        let name = line.remove(0);
        Args { before, run, name, behind: line, is_own: false }
    }

    /// The command line of a standalone executable: all words are arguments of its package, or
    /// options of ecli that may follow a package.
    fn standalone(mut words: Vec<OsString>) -> Result<Args, clap::Error> {
        let path = if words.is_empty() { OsString::new() } else { words.remove(0) };
        let name = Path::new(&path).file_name().unwrap_or(path.as_os_str()).to_owned();
        if words.iter().eq([ECLI_HELP]) {
            let _ = Run::try_parse_from(["run", "--help"])?;
        }
        let before: Vec<OsString> = ["ecli", "run"].map(OsString::from).into();
        let parsed = [&before[1..], std::slice::from_ref(&name)].concat();
        let run = Run::try_parse_from(parsed)?;
        Ok(Args { before, run, name, behind: words, is_own: true })
    }

    /// The command line of a tracer of `ecli serve`: the words behind `ecli run`.
    ///
    /// # Errors
    /// Returns an error if they are not such words.
    #[cfg(feature = "metrics")]
    pub(crate) fn of_tracer(words: &[String]) -> Result<Args, Failure> {
        let words: Vec<OsString> = ["ecli", "run"]
            .into_iter()
            .map(OsString::from)
            .chain(words.iter().map(OsString::from))
            .collect();
        let mut run = Run::try_parse_from(&words[1..]).map_err(|error| failure(&error))?;
        run.metrics.served = true;
        Ok(Args::new(words, run))
    }

    #[cfg(test)]
    pub(super) fn of(words: Vec<OsString>) -> Result<Args, clap::Error> {
        match Request::of(words)? {
            Request::Run(args) => Ok(*args),
            Request::Other(_) => Err(clap::Error::new(ErrorKind::InvalidSubcommand)),
        }
    }

    /// Returns where the package comes from. It touches no file.
    ///
    /// # Errors
    /// Returns an error if the name is not a package's, or if the options before it are wrong.
    pub(crate) fn package(&self) -> Result<FetchPlan, Failure> {
        let package = self.origin()?;
        // Options that are wrong here are wrong with any package, so fail before reading it.
        Ok(self.run.clone().plan(package, Vec::new(), None)?.package)
    }

    fn origin(&self) -> Result<Origin, Failure> {
        if self.is_own {
            return Ok(Origin::Own);
        }
        let name = self.name.to_string_lossy();
        if ABSENT.contains(&&*name) {
            let text = format!("this ecli was built without support for `ecli {name}`");
            return Err(Failure::usage(text).hint("use an ecli with its default features"));
        }
        if name.starts_with('-') && name != "-" {
            return Err(Failure::usage(format!("unknown option `{name}`")).hint(format!(
                "arguments of the package come after its name: ecli run PACKAGE {name}"
            )));
        }
        origin(&self.name)
    }

    /// How the user runs the package, for its help.
    pub(crate) fn invocation(&self) -> Invocation {
        let name = self.name();
        match self.is_own {
            true => Invocation { options: format!("{name} {ECLI_HELP}"), program: name },
            false => Invocation {
                program: format!("ecli run {name}"),
                options: "ecli run --help".to_owned(),
            },
        }
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
            let mut run = Run::try_parse_from(&words[1..]).map_err(|error| failure(&error))?;
            run.metrics.served = self.run.metrics.served;
            // The package was fetched by what stands before its name.
            let before = self.run.fetch(package.clone());
            let before = FetchPlan { yes: run.yes, quiet: run.quiet, ..before };
            if run.fetch(package.clone()) != before {
                let text = "options about the package itself must come before its name";
                return Err(Failure::usage(text).hint(
                    "these are --offline, --pull, --signature, --insecure and --package-cache",
                ));
            }
            run
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
