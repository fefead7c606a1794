// SPDX-License-Identifier: MIT
//! `ecli cache`: downloaded packages.

use std::time::Duration;

use anyhow::Context as _;
use bpfpack_schemas::printable::clean;

use crate::args::{CacheCommand, CacheDo};
use crate::failure::{Failure, exit_code};
use crate::fetch::cache::{Cache, Listed};
use crate::output;

/// Performs a command.
///
/// # Errors
/// Returns an error if the directory is missing, or cannot be read or changed.
pub(crate) fn perform(command: &CacheCommand) -> Result<(), Failure> {
    let empty = || output::print(b"The cache is empty.\n");
    let Some(directory) = command.directory() else { return empty() };
    let unusable = |error: anyhow::Error| {
        let error = error.context(format!("cannot use the cache `{}`", directory.display()));
        Failure::new(exit_code::OTHER, error)
    };
    if !directory.exists() {
        return empty();
    }
    let cache = Cache::open(&directory).map_err(|error| unusable(error.into()))?;
    let text = match &command.action {
        CacheDo::List => list(&cache.list().context("cannot list it").map_err(unusable)?),
        CacheDo::Prune { older } => {
            let pruned = cache.prune(older.unwrap_or(Duration::ZERO));
            let (files, bytes) = pruned.context("cannot prune it").map_err(unusable)?;
            format!("removed {files} files with {} KiB\n", bytes.div_ceil(1024))
        }
    };
    output::print(text.as_bytes())
}

fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "The cache is empty.\n".to_owned();
    }
    let mut text = format!("{:<12}  {:>9}  {:>5}  SOURCE\n", "SHA256", "SIZE", "AGE");
    for Listed { entry, size, age } in listed {
        text += &format!(
            "{:<12}  {:>5} KiB  {:>5}  {}\n",
            entry.digest.get(..12).unwrap_or_default(),
            size.div_ceil(1024),
            rounded(*age),
            clean(&entry.source)
        );
    }
    text
}

/// An age in its largest unit.
pub(crate) fn rounded(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ ..3600 => format!("{}m", seconds / 60),
        seconds @ ..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_their_largest_unit() {
        for (seconds, text) in [(0, "0s"), (61, "1m"), (7200, "2h"), (200_000, "2d")] {
            assert_eq!(rounded(Duration::from_secs(seconds)), text);
        }
    }
}
