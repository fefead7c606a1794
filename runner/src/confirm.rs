// SPDX-License-Identifier: MIT
//! Asks before a package from another machine runs for the first time, if it can do more than
//! observe.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::anyhow;

use crate::args::FetchPlan;
use crate::failure::talk::Talk;
use crate::failure::{Failure, exit_code};
use crate::fetch::cache::Cache;

/// Asks, unless the user has confirmed the same bytes before or on the command line. `digest` is
/// that of the package, and `what` says what it can do.
///
/// # Errors
/// Returns a failure with exit code 11 if the user refuses, or cannot be asked.
pub(crate) fn ask(plan: &FetchPlan, digest: &str, what: &str, talk: &Talk) -> Result<(), Failure> {
    if plan.yes {
        return Ok(());
    }
    let cache = plan.cache.as_deref().and_then(|directory| Cache::open(directory).ok());
    if cache.as_ref().is_some_and(|cache| cache.is_allowed(digest)) {
        return Ok(());
    }
    let refused = |text: &str| Failure::new(exit_code::REFUSED, anyhow!(text.to_owned()));
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}", what.trim_end());
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(refused(
            "the package comes from another machine, and can do more than observe",
        )
        .hint("--yes runs it without asking; `ecli inspect` shows what it can do"));
    }
    let _ = write!(stderr, "Run it? [y/N] ");
    let _ = stderr.flush();
    drop(stderr);
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        return Err(refused("the package was not run: you did not confirm it"));
    }
    if let Some(error) = cache.and_then(|cache| cache.allow(digest).err()) {
        talk.note(&format!("ecli will ask again: {error}"));
    }
    Ok(())
}
