// SPDX-License-Identifier: MIT
//! What a program can do to the system, and how that is known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a program can do to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It writes to the memory of processes.
    WritesUserMemory,
    /// It changes the registers of processes (kernels since 6.18).
    ChangesRegisters,
    /// It makes functions of the kernel fail, or return another value.
    OverridesReturns,
    /// It sends signals to processes.
    SendsSignals,
    /// It drops, changes or redirects packets.
    ChangesPackets,
    /// It denies operations of processes.
    DeniesOperations,
    /// It replaces functions of the kernel or of other BPF programs.
    ReplacesFunctions,
    /// It decides which thread runs.
    Schedules,
    /// It changes sysctls or options of sockets.
    ChangesSettings,
    /// It makes system calls, such as bpf(2).
    MakesSystemCalls,
    /// It sends input events, as a remote control does.
    SendsInput,
    /// It calls or is something that ecli does not know, which may change the kernel.
    MayChangeKernel,
    /// It reads the memory of processes.
    ReadsUserMemory,
    /// It reads memory of the kernel.
    ReadsKernelMemory,
    /// It writes lines to the trace buffer of the kernel.
    WritesTraceLog,
    /// Its maps can stay after the run, if the user gives a directory.
    PinsMaps,
}

impl Effect {
    /// Whether this is only observing.
    #[must_use]
    pub fn observes(self) -> bool {
        matches!(
            self,
            Effect::ReadsUserMemory
                | Effect::ReadsKernelMemory
                | Effect::WritesTraceLog
                | Effect::PinsMaps
        )
    }

    /// What can be done, in the infinitive: "send signals to processes".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Effect::WritesUserMemory => "write to the memory of processes",
            Effect::ChangesRegisters => "change the registers of processes (Linux 6.18)",
            Effect::OverridesReturns => "make functions of the kernel return another value",
            Effect::SendsSignals => "send signals to processes",
            Effect::ChangesPackets => "drop, change or redirect packets",
            Effect::DeniesOperations => "deny operations of processes",
            Effect::ReplacesFunctions => "replace functions of the kernel or of BPF programs",
            Effect::Schedules => "decide which thread runs",
            Effect::ChangesSettings => "change sysctls or options of sockets",
            Effect::MakesSystemCalls => "make system calls, such as bpf(2)",
            Effect::SendsInput => "send input events, as a remote control does",
            Effect::MayChangeKernel => "change the kernel in a way that ecli does not know",
            Effect::ReadsUserMemory => "read the memory of processes",
            Effect::ReadsKernelMemory => "read memory of the kernel",
            Effect::WritesTraceLog => "write lines to the trace buffer of the kernel",
            Effect::PinsMaps => "keep maps after the run (only with --pin)",
        }
    }
}

/// Why something is known to have an effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The program; absent if a map has the effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The helper, kfunc, kind or map.
    pub what: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "{program}: {}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

/// An effect of a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The effect.
    pub effect: Effect,
    /// Why it is known, at least one.
    pub evidence: Vec<Evidence>,
}
