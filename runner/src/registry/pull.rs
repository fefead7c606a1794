// SPDX-License-Identifier: MIT
//! `ecli pull`: writes a file only after everything in it was checked.

use std::path::Path;

use bpfpack_registry::artifact::{Kind, PACKAGE_NAME};
use bpfpack_registry::{Pulled, file, text};
use bpfpack_schemas::{Package, module};

use crate::args::Pull;
use crate::failure::{Failure, exit_code};
use crate::fetch::no_package;
use crate::talk::Talk;
use crate::transfer::{Meter, failure};
use bpfpack_input::WASM;

/// The file that eunomia's ecli writes if none is given.
const MODULE_NAME: &str = "app.wasm";

/// Who may read and write a new file, before the umask.
const MODE: u32 = 0o666;

pub(super) fn pull(pull: &Pull, talk: &Talk) -> Result<(), Failure> {
    let image = super::image(&pull.image)?;
    if let Some(path) = &pull.output {
        // It would fail after the download, too.
        file::check(path).map_err(|error| not_written(path, error))?;
    }
    let meter = Meter::new("pulling");
    let options = super::options(&pull.connection, &meter)?;
    let pulled = bpfpack_registry::pull_package(&image, &options);
    drop(meter);
    let pulled = pulled.map_err(|error| failure(error, &format!("cannot pull `{image}`")))?;
    check(&pulled, &image.to_string())?;
    let path = pull.output.clone().unwrap_or_else(|| match pulled.kind {
        Kind::Package => PACKAGE_NAME.into(),
        Kind::Module => MODULE_NAME.into(),
    });
    if let Some(signature) = &pulled.signature {
        let path = bpfpack_trust::signature_path(&path);
        file::replace(&path, signature, MODE).map_err(|error| not_written(&path, error))?;
    }
    file::replace(&path, &pulled.bytes, MODE).map_err(|error| not_written(&path, error))?;
    let size = text::size(pulled.bytes.len() as u64);
    let source = image.with_digest(pulled.digest);
    talk.note(&format!("wrote `{}`, {size}, from {source}", path.display()));
    Ok(())
}

/// Checks that the content is what its type says.
fn check(pulled: &Pulled, image: &str) -> Result<(), Failure> {
    let name = format!("the content of `{image}`");
    match pulled.kind {
        Kind::Package => Package::check(&pulled.bytes).map_err(|error| no_package(error, &name)),
        Kind::Module if pulled.bytes.starts_with(WASM) => {
            module::check(&pulled.bytes).map_err(|error| Failure::new(exit_code::MODULE, error))
        }
        Kind::Module => {
            let error = anyhow::anyhow!("{name} is not a Wasm module");
            Err(Failure::new(exit_code::MODULE, error))
        }
    }
}

fn not_written(path: &Path, error: std::io::Error) -> Failure {
    let error = anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
    Failure::new(exit_code::OUTPUT, error)
}
