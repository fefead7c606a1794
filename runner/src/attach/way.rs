// SPDX-License-Identifier: MIT
//! The ways of attaching that `--attach` accepts, and the program types that they suit.

use libbpf_rs::ProgramType as Type;

use super::method::Method;
use super::{
    cgroup, iterator, netfilter, netns, perf_event, probe, section, socket_filter, socket_map, tc,
    tracepoint, xdp,
};

/// A way of attaching, as `--attach` names it.
#[derive(Debug)]
pub(super) struct Way {
    /// Its name.
    pub(super) name: &'static str,
    /// How it attaches.
    pub(super) method: Method,
    /// The program types that it suits.
    types: &'static [Type],
    /// Whether the kernel must know the target at load time.
    pub(super) is_loaded_for: bool,
}

const fn way(name: &'static str, method: Method, types: &'static [Type]) -> Way {
    Way { name, method, types, is_loaded_for: false }
}

const fn loaded_for(name: &'static str, types: &'static [Type]) -> Way {
    Way { name, method: section::METHOD, types, is_loaded_for: true }
}

/// The ways, one row each.
#[rustfmt::skip]
static WAYS: &[Way] = &[
    way("kprobe", probe::FUNCTION, &[Type::Kprobe]),
    way("kretprobe", probe::FUNCTION, &[Type::Kprobe]),
    way("kprobe.multi", probe::FUNCTIONS, &[Type::Kprobe]),
    way("kretprobe.multi", probe::FUNCTIONS, &[Type::Kprobe]),
    way("ksyscall", probe::SYSCALL, &[Type::Kprobe]),
    way("kretsyscall", probe::SYSCALL, &[Type::Kprobe]),
    way("uprobe", probe::USER_FUNCTION, &[Type::Kprobe]),
    way("uretprobe", probe::USER_FUNCTION, &[Type::Kprobe]),
    way("uprobe.multi", probe::USER_FUNCTIONS, &[Type::Kprobe]),
    way("uretprobe.multi", probe::USER_FUNCTIONS, &[Type::Kprobe]),
    way("usdt", probe::USDT, &[Type::Kprobe]),
    way("tp", tracepoint::METHOD, &[Type::Tracepoint]),
    way("raw_tp", tracepoint::RAW, &[Type::RawTracepoint, Type::RawTracepointWritable]),
    way("perf", perf_event::METHOD, &[Type::PerfEvent]),
    way("xdp", xdp::METHOD, &[Type::Xdp]),
    way("tc", tc::METHOD, &[Type::SchedCls]),
    way("netkit", tc::NETKIT, &[Type::SchedCls]),
    way("socket", socket_filter::METHOD, &[Type::SocketFilter]),
    way("map", socket_map::METHOD, &[Type::SkSkb, Type::SkMsg]),
    way("cgroup", cgroup::METHOD, &[
        Type::CgroupSkb, Type::CgroupSock, Type::CgroupSockAddr, Type::CgroupSockopt,
        Type::CgroupSysctl, Type::CgroupDevice, Type::SockOps, Type::Lsm,
    ]),
    way("netns", netns::METHOD, &[Type::SkLookup, Type::FlowDissector]),
    way("netfilter", netfilter::METHOD, &[Type::Netfilter]),
    way("iter", iterator::METHOD, &[Type::Tracing]),
    loaded_for("fentry", &[Type::Tracing]),
    loaded_for("fexit", &[Type::Tracing]),
    loaded_for("fmod_ret", &[Type::Tracing]),
    loaded_for("tp_btf", &[Type::Tracing]),
    loaded_for("lsm", &[Type::Lsm]),
    loaded_for("freplace", &[Type::Ext]),
];

/// Finds a way by name.
pub(super) fn named(name: &str) -> Option<&'static Way> {
    WAYS.iter().find(|way| way.name == name)
}

/// The names of all ways.
pub(super) fn names() -> Vec<&'static str> {
    WAYS.iter().map(|way| way.name).collect()
}

impl Way {
    /// Whether it suits a program type.
    pub(super) fn suits(&self, ty: Type) -> bool {
        self.types.contains(&ty)
    }
}

/// The names of the ways that suit a program type.
pub(super) fn names_for(ty: Type) -> Vec<&'static str> {
    WAYS.iter().filter(|way| way.suits(ty)).map(|way| way.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_suit_types() {
        assert!(named("uprobe").is_some_and(|way| way.suits(Type::Kprobe)));
        assert!(named("uprobe").is_some_and(|way| !way.suits(Type::Xdp)));
        assert!(named("off").is_none() && named("uprobes").is_none());
        assert_eq!(names_for(Type::SkMsg), ["map"]);
        let mut names = names();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "each name is there once");
    }
}
