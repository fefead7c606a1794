// SPDX-License-Identifier: MIT
//! Without the feature `explanations`, the words of the verifier and of libbpf are shown.

/// The verifier's log of a program.
pub(super) mod log {
    use anyhow::anyhow;
    use bpfpack_schemas::object::BpfObject;

    use crate::failure::{Failure, exit_code};
    use crate::kernel::Facts;

    /// The number of lines to show. The reason is at the end.
    const LINES: usize = 25;

    /// Shows the end of a log.
    pub(in super::super) fn explain(
        log: &str,
        (name, section): (&str, &str),
        _: Option<&BpfObject<'_>>,
        _: &dyn Facts,
    ) -> Failure {
        let lines: Vec<&str> = log.trim_end().lines().collect();
        let error = anyhow!("the kernel's verifier refused `{name}` ({section})");
        let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
        Failure::new(exit_code::LOAD, error).details(end)
    }
}

/// What this kernel does not have.
pub(super) mod missing {
    use anyhow::anyhow;
    use bpfpack_schemas::object::BpfObject;

    use crate::failure::{Failure, exit_code};
    use crate::kernel::Facts;

    /// The failure for a program whose target is not in the kernel's BTF.
    pub(in super::super) fn target(name: &str, section: &str, _: &dyn Facts) -> Failure {
        let why = "this kernel does not have the function or tracepoint";
        let error = anyhow!("`{name}` ({section}) cannot be loaded: {why}");
        Failure::new(exit_code::LOAD, error)
    }

    /// Explains nothing.
    pub(in super::super) fn of_object(
        _: &str,
        _: Option<&BpfObject<'_>>,
        _: &dyn Facts,
    ) -> Option<Failure> {
        None
    }
}
