// SPDX-License-Identifier: MIT
//! Exit codes of failures.

use bpfpack_registry::Error;
use bpfpack_registry::credentials::CredentialsError;

use crate::failure::{Failure, exit_code};

/// The failure for an error of the registry. `what` was tried.
pub(crate) fn failure(error: Error, what: &str) -> Failure {
    let code = match &error {
        Error::Reference(_) => exit_code::USAGE,
        Error::NotOurs { .. } | Error::Manifest { .. } => exit_code::PACKAGE,
        _ => exit_code::FETCH,
    };
    let hint = error.hint();
    let names_image = matches!(
        error,
        Error::Reference(_)
            | Error::NotFound(_)
            | Error::NotOurs { .. }
            | Error::Manifest { .. }
            | Error::TooLarge { .. }
    );
    let error = anyhow::Error::new(error);
    let error = if names_image { error } else { error.context(what.to_owned()) };
    let failure = Failure::new(code, error);
    hint.into_iter().fold(failure, Failure::hint)
}

/// The failure for stored credentials.
pub(crate) fn of_credentials(error: CredentialsError) -> Failure {
    Failure::new(exit_code::FETCH, error)
}
