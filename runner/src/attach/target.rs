// SPDX-License-Identifier: MIT
//! What programs attach to.

/// What a program attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// What its section says.
    Section,
    /// A cgroup, by its path.
    Cgroup,
    /// A network interface, by its name.
    Interface,
    /// A network namespace, by its path.
    NetNs,
    /// The clock of each CPU.
    Clock,
}

impl Target {
    /// What has to be named, in words; none where nothing can be named.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Target::Section | Target::Clock => None,
            Target::Cgroup => Some("the path of a cgroup"),
            Target::Interface => Some("the name of an interface"),
            Target::NetNs => Some("the path of a network namespace"),
        }
    }
}
