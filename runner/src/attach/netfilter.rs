// SPDX-License-Identifier: MIT
//! Programs that netfilter calls at a hook of a protocol.

use libbpf_rs::{self as netfilter, NetfilterOpts};

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// Attaches to a hook: `PROTOCOL/HOOK`, or `PROTOCOL/HOOK/PRIORITY`.
pub(super) const METHOD: Method = Method { target: Target::Netfilter, attach };

/// The hooks of the internet protocols (linux/netfilter.h: `nf_inet_hooks`).
const HOOKS: [(&str, i32); 5] = [
    ("pre_routing", netfilter::NF_INET_PRE_ROUTING),
    ("local_in", netfilter::NF_INET_LOCAL_IN),
    ("forward", netfilter::NF_INET_FORWARD),
    ("local_out", netfilter::NF_INET_LOCAL_OUT),
    ("post_routing", netfilter::NF_INET_POST_ROUTING),
];

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let (protocol_family, hooknum, priority) =
        hook(context.named(Target::Netfilter)?).map_err(|text| context.bad_target(text))?;
    let options = NetfilterOpts { protocol_family, hooknum, priority, ..Default::default() };
    context.attached(context.program.attach_netfilter_with_opts(options))
}

/// Parses protocol, hook and priority.
fn hook(text: &str) -> Result<(i32, i32, i32), String> {
    let mut parts = text.splitn(3, '/');
    let protocol = match parts.next() {
        Some("ipv4" | "ip") => netfilter::NFPROTO_IPV4,
        Some("ipv6" | "ip6") => netfilter::NFPROTO_IPV6,
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("unknown protocol `{other}`: use ipv4 or ipv6"));
        }
    };
    let name = parts.next().unwrap_or_default();
    let hook = HOOKS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let known: Vec<&str> = HOOKS.iter().map(|(name, _)| *name).collect();
        format!("unknown hook `{name}`: use one of {}", known.join(", "))
    })?;
    let priority = parts.next().map_or(Ok(0), |text| {
        text.parse().map_err(|_| format!("the priority `{text}` is not a whole number"))
    })?;
    Ok((protocol, hook.1, priority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_by_name() {
        assert_eq!(hook("ipv4/local_in"), Ok((2, 1, 0)));
        assert_eq!(hook("ipv6/forward/-100"), Ok((10, 2, -100)));
        assert!(hook("arp/local_in").unwrap_err().contains("ipv4 or ipv6"));
        assert!(hook("ipv4").unwrap_err().contains("pre_routing, local_in"));
        assert!(hook("ipv4/local_in/x").unwrap_err().contains("whole number"));
    }
}
