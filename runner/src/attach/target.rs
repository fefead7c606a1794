// SPDX-License-Identifier: MIT
//! What programs attach to.

/// What a program attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// What its section says.
    Section,
    /// A function of the kernel, or what else its type information names.
    Typed,
    /// A function of the kernel.
    Function,
    /// Functions of the kernel, by a pattern.
    Functions,
    /// A tracepoint.
    Tracepoint,
    /// A function of a program or a library.
    UserFunction,
    /// A statically defined probe of a program or a library.
    Usdt,
    /// Something that is counted, on each CPU.
    Event,
    /// A network interface, by its name or number.
    Interface,
    /// A network namespace, by its path.
    NetNs,
    /// A cgroup, by its path.
    Cgroup,
    /// A hook of the packet filter.
    Netfilter,
    /// A map of sockets, by its name in the package.
    SocketMap,
    /// A map of the package that is walked, by its name.
    WalkedMap,
    /// Nothing: it is called by the clock.
    Clock,
    /// Something that only another program can attach it to; why, in words.
    Elsewhere(&'static str),
}

impl Target {
    /// What has to be named, in words; none where nothing can be named.
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

    /// What the user can do where a program has no target.
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
