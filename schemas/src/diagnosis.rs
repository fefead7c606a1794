// SPDX-License-Identifier: MIT
//! What `ecli doctor` reports about a machine: the types of its JSON output.

use serde::{Deserialize, Serialize};

/// The output of `ecli doctor --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "ecli doctor --json"))]
pub struct Diagnosis {
    /// The version of ecli.
    pub ecli: String,
    /// The release of the kernel, as uname(2) returns it.
    pub kernel: String,
    /// The architecture of the machine: `x86_64`.
    pub architecture: String,
    /// File systems, type information, and what surrounds this process.
    pub system: Vec<Check>,
    /// Options of the kernel's configuration; one check that is unknown if it cannot be read.
    pub configuration: Vec<Check>,
    /// Capabilities of this user, and settings that restrict tracing.
    pub privileges: Vec<Check>,
    /// Kinds of programs: whether the kernel loads and attaches a program that only returns.
    pub kinds: Vec<KindCheck>,
    /// Types of maps, by their names in `ecli inspect`.
    pub maps: Vec<Check>,
    /// Helpers, each with a kind of program that calls it.
    pub helpers: Vec<Check>,
    /// Other features of the kernel.
    pub features: Vec<Check>,
    /// The packages of the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageCheck>,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there and can be used.
    Ok,
    /// It is not there, or this machine refuses it.
    Missing,
    /// It could not be tried; the reason says why.
    #[default]
    Unknown,
}

/// One thing that tracers may need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// Its value: a path, a number, a mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why it has this state, or what follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the user can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A kind of programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindCheck {
    /// The kind, and whether packages can use it.
    #[serde(flatten)]
    pub check: Check,
    /// Whether the kernel loads a program of this kind.
    pub loads: State,
    /// Whether it attaches the program. `unknown` if that would affect others, so was not tried.
    pub attaches: State,
    /// The capabilities for this kind that this user lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PackageCheck {
    /// The package, and whether it can run here.
    #[serde(flatten)]
    pub check: Check,
    /// Its programs.
    pub programs: Vec<Check>,
}

impl Check {
    /// Makes a check.
    #[must_use]
    pub fn new(name: impl Into<String>, state: State) -> Check {
        Check { name: name.into(), state, ..Check::default() }
    }

    /// Something that is there.
    #[must_use]
    pub fn ok(name: impl Into<String>) -> Check {
        Check::new(name, State::Ok)
    }

    /// Something that is not there.
    #[must_use]
    pub fn missing(name: impl Into<String>) -> Check {
        Check::new(name, State::Missing)
    }

    /// Something that could not be tried.
    #[must_use]
    pub fn unknown(name: impl Into<String>) -> Check {
        Check::new(name, State::Unknown)
    }

    /// Sets the value.
    #[must_use]
    pub fn value(self, value: impl Into<String>) -> Check {
        Check { value: Some(value.into()), ..self }
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Check {
        Check { reason: Some(reason.into()), ..self }
    }

    /// Sets what the user can do.
    #[must_use]
    pub fn advice(self, advice: impl Into<String>) -> Check {
        Check { advice: Some(advice.into()), ..self }
    }
}
