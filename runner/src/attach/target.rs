// SPDX-License-Identifier: MIT
//! The targets of programs.

/// What a program attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The target in its section.
    Section,
    /// A kernel function or another target that BTF describes.
    Typed,
    /// A kernel function.
    Function,
    /// Kernel functions that match a pattern.
    Functions,
    /// A tracepoint.
    Tracepoint,
    /// A function of a program or library.
    UserFunction,
    /// A USDT probe of a program or library.
    Usdt,
    /// An event that is counted on each CPU.
    Event,
    /// A network interface, by name or number.
    Interface,
    /// A network namespace, by path.
    NetNs,
    /// A cgroup, by path.
    Cgroup,
    /// A hook of netfilter.
    Netfilter,
    /// A socket map of the package, by name.
    SocketMap,
    /// A map of the package to iterate over, by name.
    WalkedMap,
    /// None: ecli calls the program.
    Clock,
    /// None: something else has to attach it; the text says what.
    Elsewhere(&'static str),
}

impl Target {
    /// What the user has to name, for messages; `None` if there is nothing to name.
    pub(super) fn name(self) -> Option<&'static str> {
        Some(match self {
            Target::Section | Target::Clock | Target::Elsewhere(_) => return None,
            Target::Typed => "a function or hook that the kernel describes",
            Target::Function => "a function of the kernel",
            Target::Functions => "a pattern of functions of the kernel",
            Target::Tracepoint => "a tracepoint",
            Target::UserFunction => "a function of a program or library",
            Target::Usdt => "a probe of a program or library",
            Target::Event => "an event",
            Target::Cgroup => "the path of a cgroup",
            Target::Interface => "the name of an interface",
            Target::NetNs => "the path of a network namespace",
            Target::Netfilter => "a hook of the packet filter",
            Target::SocketMap => "the name of a map of sockets",
            Target::WalkedMap => "the name of a map",
        })
    }

    /// What the user can do if a program has no target.
    pub(super) fn how_to_name(self, program: &str) -> String {
        let example = match self {
            Target::Elsewhere(why) => return why.to_owned(),
            Target::Section | Target::Clock => return "attach it to something else".to_owned(),
            Target::Typed => "fentry:vfs_read",
            Target::Function => "kprobe:vfs_read",
            Target::Functions => "kprobe.multi:vfs_*",
            Target::Tracepoint => "tp:sched/sched_switch",
            Target::UserFunction => "uprobe:/usr/bin/bash:readline",
            Target::Usdt => "usdt:/usr/lib/libc.so.6:libc:setjmp",
            Target::Event => "perf:cpu-clock@99hz",
            Target::Cgroup => "cgroup:/sys/fs/cgroup",
            Target::Interface => "socket:eth0",
            Target::NetNs => "netns:/proc/self/ns/net",
            Target::Netfilter => "netfilter:ipv4/local_in",
            Target::SocketMap => "map:NAME",
            Target::WalkedMap => "iter:NAME",
        };
        let shorter = match self {
            Target::Cgroup => ", or --cgroup PATH for all such programs",
            Target::Interface => ", or --interface NAME for all such programs",
            Target::UserFunction => {
                "; --binary FILE names the program or library for all such programs whose section \
                 names a function"
            }
            _ => "",
        };
        format!("name one with --attach '{program}={example}'{shorter}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_named_has_an_example() {
        let text = Target::Cgroup.how_to_name("f");
        assert!(
            text.starts_with("name one with --attach 'f=cgroup:/sys/fs/cgroup', or --cgroup PATH")
        );
        assert_eq!(Target::Elsewhere("because").how_to_name("f"), "because");
        assert!(Target::Clock.name().is_none() && Target::Section.name().is_none());
    }
}
