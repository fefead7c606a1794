// SPDX-License-Identifier: MIT
//! The command lines of `ecli push`, `pull`, `login` and `logout`. The names of the options are
//! those of eunomia's ecli.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `-h` prints below the options of push and pull.
const NAMES: &str = "\
IMAGE is HOST/REPOSITORY:TAG, also with oci:// before it; the tag is latest if
none is given. Without -u, ecli uses the credentials of docker and podman, which
`ecli login` stores.";

/// A command for registries.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Push a package or a Wasm module to an OCI registry
    Push(Push),
    /// Pull a package or a Wasm module from an OCI registry
    Pull(Pull),
    /// Store a user name and a password for a registry
    Login(Login),
    /// Remove the user name and the password for a registry
    Logout(Logout),
}

/// How to reach a registry.
#[derive(Debug, Args)]
pub struct Connection {
    /// Log in as this user
    #[arg(short, long = "username", value_name = "USER")]
    pub user: Option<String>,

    /// The password. Other users may see it; without this option, ecli asks for it
    #[arg(short, long, value_name = "PASSWORD", requires = "user")]
    pub password: Option<String>,

    /// Connect without TLS
    #[arg(short, long)]
    pub insecure: bool,
}

/// The command line of `ecli push`.
#[derive(Debug, Args)]
#[command(max_term_width = 80, after_help = NAMES)]
#[command(override_usage = "ecli push [OPTIONS] [FILE] IMAGE")]
pub struct Push {
    /// Push this Wasm module or package; repeatable
    #[arg(short, long, value_name = "FILE")]
    pub module: Vec<PathBuf>,

    /// Push this signature of the package [default: FILE.minisig, if it exists]
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,

    /// Annotate the image, for example version=1.2; repeatable
    #[arg(short, long = "annotations", value_name = "KEY=VALUE", value_parser = annotation)]
    pub annotations: Vec<(String, String)>,

    /// How to reach the registry.
    #[command(flatten)]
    pub connection: Connection,

    /// The file, unless -m names it, and the name of the image
    #[arg(value_name = "[FILE] IMAGE", num_args = 1..=2, required = true)]
    pub words: Vec<OsString>,
}

/// The command line of `ecli pull`.
#[derive(Debug, Args)]
#[command(max_term_width = 80, after_help = NAMES)]
pub struct Pull {
    /// Write to FILE instead of package.json or app.wasm; a signature is written
    /// to FILE.minisig
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// How to reach the registry.
    #[command(flatten)]
    pub connection: Connection,

    /// The name of the image
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// The command line of `ecli login`.
#[derive(Debug, Args)]
#[command(max_term_width = 80)]
pub struct Login {
    /// How to reach the registry.
    #[command(flatten)]
    pub connection: Connection,

    /// Read the password from standard input
    #[arg(long, conflicts_with = "password", requires = "user")]
    pub password_stdin: bool,

    /// The registry, for example ghcr.io
    #[arg(value_name = "URL")]
    pub registry: String,
}

/// The command line of `ecli logout`.
#[derive(Debug, Args)]
#[command(max_term_width = 80)]
pub struct Logout {
    /// The registry, for example ghcr.io
    #[arg(value_name = "URL")]
    pub registry: String,
}

/// The keys of the OCI image specification that may be given without their prefix.
const SHORT: [&str; 6] = ["created", "description", "licenses", "source", "title", "version"];
const PREFIX: &str = "org.opencontainers.image.";

/// Parses `KEY=VALUE`.
fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err("KEY must not be empty or have spaces".to_owned());
    }
    let prefix = if SHORT.contains(&key) { PREFIX } else { "" };
    Ok((format!("{prefix}{key}"), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: RegistryCommand,
    }

    fn parse(line: &str) -> Result<RegistryCommand, String> {
        let parsed = Line::try_parse_from(format!("ecli {line}").split(' '));
        parsed.map(|line| line.command).map_err(|error| error.to_string())
    }

    #[test]
    fn command_lines_of_eunomia() {
        let Ok(RegistryCommand::Push(push)) = parse("push -m app.wasm h.io/a:latest") else {
            panic!()
        };
        assert_eq!(
            (&push.module[..], &push.words[..]),
            (&["app.wasm".into()][..], &["h.io/a:latest".into()][..])
        );
        let Ok(RegistryCommand::Pull(pull)) = parse("pull -o a.wasm -u me -p secret h.io/a") else {
            panic!()
        };
        assert_eq!((pull.output, pull.image.as_str()), (Some("a.wasm".into()), "h.io/a"));
        assert_eq!(pull.connection.password.as_deref(), Some("secret"));
        assert!(parse("login https://h.io").is_ok() && parse("logout h.io").is_ok());
        assert!(parse("push package.json h.io/a -i -a version=1").is_ok());
        for line in ["push", "push a b c", "pull", "pull -p x h.io/a", "login --password-stdin h"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn annotations() {
        let of = |text: &str| annotation(text).map(|(key, value)| format!("{key} {value}"));
        assert_eq!(of("version=1=2").unwrap(), "org.opencontainers.image.version 1=2");
        assert_eq!(of("org.example.x=").unwrap(), "org.example.x ");
        assert!(of("version").is_err() && of("=x").is_err() && of("a b=x").is_err());
    }

    #[test]
    fn the_help_fits_80_columns() {
        for name in ["push", "pull", "login", "logout"] {
            let mut line = Line::command();
            let help = line.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }
}
