// SPDX-License-Identifier: MIT
//! `ecli push`, `pull`, `login` and `logout`: files, questions and messages. The protocol is in
//! the crate `bpfpack-registry`.

mod login;
mod prompt;
mod pull;
mod push;

use bpfpack_registry::credentials::{Credentials, Login};
use bpfpack_registry::{Options, Reference};
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;

use crate::args::{Connection, RegistryCommand};
use crate::failure::Failure;
use crate::talk::Talk;
use crate::transfer::Meter;

/// Performs a command.
///
/// # Errors
/// Returns the failure of the registry, of a file, or of a question to the user.
pub(crate) fn perform(command: RegistryCommand) -> Result<(), Failure> {
    crate::sys::resolve_without_modules();
    let talk = Talk::new(false, false);
    match command {
        RegistryCommand::Push(push) => push::push(&push, &talk),
        RegistryCommand::Pull(pull) => pull::pull(&pull, &talk),
        RegistryCommand::Login(login) => login::login(login, &talk),
        RegistryCommand::Logout(logout) => login::logout(&logout, &talk),
    }
}

/// Parses the name of an image.
fn image(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error: bpfpack_registry::BadReference| {
        Failure::usage(error.to_string()).hint("for example ghcr.io/NAME/opensnoop:latest")
    })
}

/// How to reach a registry, according to the command line. Asks for the password of a user.
fn options<'a>(connection: &Connection, meter: &'a Meter) -> Result<Options<'a>, Failure> {
    let login = match (&connection.user, &connection.password) {
        (Some(user), Some(password)) => {
            Login::Given(Credentials::Password { user: user.clone(), password: password.clone() })
        }
        (Some(user), None) => {
            let password = prompt::secret(&format!("Password of {user}: "))?;
            Login::Given(Credentials::Password { user: user.clone(), password })
        }
        (None, _) => Login::Stored,
    };
    Ok(Options {
        login,
        insecure: connection.insecure,
        max_size: MAX_PACKAGE_SIZE,
        progress: Some(meter),
    })
}
