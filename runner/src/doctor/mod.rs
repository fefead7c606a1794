// SPDX-License-Identifier: MIT
//! `ecli doctor`: reports what this machine can do for tracers. Features are tried, not derived from
//! versions. What is tried is undone at once, and affects no one else.

mod config;
mod features;
mod kinds;
mod packages;
mod privileges;
mod system;
mod text;
mod trial;

use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::diagnosis::Diagnosis;

use crate::args::Doctor;
use crate::failure::Failure;
use crate::inspect;
use crate::kernel;
use crate::load;
use crate::output;

use config::Config;
use packages::Package;

/// Examines the machine, and prints the report. Returns the exit code, which is 0 whatever is
/// missing.
///
/// # Errors
/// Returns an error if a package cannot be read, or if the report cannot be written.
pub(crate) fn perform(plan: &Doctor) -> Result<u8, Failure> {
    // libbpf writes about each refusal.
    load::capture_log(false);
    let packages = packages::read(&plan.packages)?;
    let btf = kernel::btf();
    let mut diagnosis = diagnose(btf.as_ref());
    let check = |package: &Package| package.check(&diagnosis, btf.as_ref());
    diagnosis.packages = packages.iter().map(check).collect();
    let text = match plan.json {
        true => inspect::json(&diagnosis)?,
        false => text::of(&diagnosis),
    };
    output::print(text.as_bytes())?;
    Ok(0)
}

fn diagnose(btf: Option<&Btf<'_>>) -> Diagnosis {
    let name = rustix::system::uname();
    let config = Config::read();
    let effective = kernel::capabilities();
    let kinds = kinds::check(effective, btf, &config);
    let may_try = kinds::lacks("", effective).is_empty();
    Diagnosis {
        ecli: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: name.release().to_string_lossy().into_owned(),
        architecture: name.machine().to_string_lossy().into_owned(),
        system: system::check(),
        configuration: config.check(),
        privileges: privileges::check(effective, may_try),
        kinds,
        maps: features::maps(may_try),
        helpers: features::helpers(may_try),
        features: features::others(may_try),
        packages: Vec::new(),
    }
}
