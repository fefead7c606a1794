// SPDX-License-Identifier: MIT
//! Replaces [`crate::registry`] if ecli is built without registries: its commands are refused.

use crate::args::RegistryCommand;
use crate::failure::Failure;

/// Refuses every command.
pub(crate) fn perform(command: RegistryCommand) -> Result<(), Failure> {
    let name = match command {
        RegistryCommand::Push(_) => "push",
        RegistryCommand::Pull(_) => "pull",
        RegistryCommand::Login(_) => "login",
        RegistryCommand::Logout(_) => "logout",
    };
    let text = format!("{name}: this ecli was built without support for registries");
    Err(Failure::usage(text).hint("build it with its default features"))
}
