// SPDX-License-Identifier: MIT
//! Appends lines to the source that keep structs in the object.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;

use crate::args::Plan;
use crate::cache::temporary_directory;
use crate::failure::{Failure, exit_code};
use crate::files::MAX_SOURCE;
use crate::source::Source;

/// The source with appended lines that keep structs in the object. clang reads it in place of the
/// source, under the source's name.
#[derive(Debug)]
pub(crate) struct Keepers {
    pub(crate) overlay: PathBuf,
    _dir: TempDir,
}

impl Keepers {
    pub(crate) fn new(plan: &Plan, source: &Source) -> Result<Option<Keepers>, Failure> {
        if source.exported.is_empty() && source.wanted.is_empty() {
            return Ok(None);
        }
        let make = || -> anyhow::Result<Keepers> {
            let dir = temporary_directory()?;
            let with_keepers = dir.path().join("source.c");
            // The original bytes: decoding as text would have replaced invalid ones.
            let mut text = fs::File::create(&with_keepers)?;
            std::io::copy(&mut fs::File::open(&plan.source)?.take(MAX_SOURCE), &mut text)?;
            text.write_all(format!("\n{}", source.keepers()).as_bytes())?;
            let real = std::path::absolute(&plan.source)?;
            let overlay = dir.path().join("overlay.yaml");
            let roots = json!([{
                "type": "file", "name": real, "external-contents": with_keepers
            }]);
            let json = json!({"version": 0, "use-external-names": false, "roots": roots});
            fs::write(&overlay, json.to_string())?;
            Ok(Keepers { overlay, _dir: dir })
        };
        make()
            .context("cannot prepare the source with its export types")
            .map(Some)
            .map_err(|error| Failure::new(exit_code::OTHER, error))
    }
}
