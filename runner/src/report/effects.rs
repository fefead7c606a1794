// SPDX-License-Identifier: MIT
//! The tables of what helpers and kfuncs do to the system. A helper that is not in the table only
//! observes; a helper or kfunc that is not known may do anything.

use bpfpack_schemas::report::Effect::{
    self, ChangesPackets, ChangesSettings, DeniesOperations, MakesSystemCalls, MayChangeKernel,
    OverridesReturns, ReadsKernelMemory, ReadsUserMemory, Schedules, SendsInput, SendsSignals,
    WritesTraceLog, WritesUserMemory,
};

/// The helpers that do more than observe the event, by name without `bpf_`. All 211 helpers of the
/// kernel were looked at (bpf-helpers(7), net/core/filter.c, kernel/trace/bpf_trace.c).
#[rustfmt::skip]
static HELPERS: &[(&[&str], &[Effect])] = &[
    (&["probe_write_user"], &[WritesUserMemory]),
    (&["override_return"], &[OverridesReturns]),
    (&["send_signal", "send_signal_thread"], &[SendsSignals]),
    (&[
        "skb_store_bytes", "l3_csum_replace", "l4_csum_replace", "clone_redirect", "skb_vlan_push",
        "skb_vlan_pop", "skb_set_tunnel_key", "redirect", "skb_set_tunnel_opt", "skb_change_proto",
        "skb_change_type", "skb_change_tail", "skb_pull_data", "csum_update", "csum_level",
        "set_hash_invalid", "set_hash", "skb_change_head", "xdp_adjust_head", "skb_adjust_room",
        "redirect_map", "sk_redirect_map", "xdp_adjust_meta", "msg_redirect_map",
        "msg_apply_bytes", "msg_cork_bytes", "msg_pull_data", "xdp_adjust_tail",
        "msg_redirect_hash", "sk_redirect_hash", "lwt_push_encap", "lwt_seg6_store_bytes",
        "lwt_seg6_adjust_srh", "lwt_seg6_action", "sk_select_reuseport", "msg_push_data",
        "msg_pop_data", "skb_ecn_set_ce", "tcp_send_ack", "sk_assign", "store_hdr_opt",
        "reserve_hdr_opt", "redirect_neigh", "redirect_peer", "xdp_store_bytes", "skb_set_tstamp",
    ], &[ChangesPackets]),
    (&["setsockopt", "sock_ops_cb_flags_set", "sysctl_set_new_value", "bind", "bprm_opts_set"], &[ChangesSettings]),
    (&["set_retval"], &[DeniesOperations]),
    (&["sys_bpf", "sys_close"], &[MakesSystemCalls]),
    (&["rc_repeat", "rc_keydown", "rc_pointer_rel"], &[SendsInput]),
    (&["probe_read", "probe_read_str"], &[ReadsUserMemory, ReadsKernelMemory]),
    (&["probe_read_user", "probe_read_user_str", "copy_from_user", "copy_from_user_task"], &[ReadsUserMemory]),
    (&["probe_read_kernel", "probe_read_kernel_str", "snprintf_btf", "seq_printf_btf"], &[ReadsKernelMemory]),
    (&["trace_printk", "trace_vprintk"], &[WritesTraceLog]),
];

/// Kfuncs whose effect is known, by name or, with `*`, by its beginning. The first that matches
/// counts.
#[rustfmt::skip]
static KFUNCS: &[(&[&str], &[Effect])] = &[
    (&["bpf_send_signal_task"], &[SendsSignals]),
    (&["scx_bpf_*"], &[Schedules]),
    (&["bpf_copy_from_user_str", "bpf_copy_from_user_task_str"], &[ReadsUserMemory]),
    (&["bpf_xdp_metadata_rx_*", "bpf_xdp_ct_lookup", "bpf_skb_ct_lookup", "bpf_ct_release"], &[]),
    (&["bpf_xdp_*", "bpf_skb_*", "bpf_sk_assign_tcp_reqsk"], &[ChangesPackets]),
    // Only dynptrs of packets give access to memory that is not the program's.
    (&["bpf_dynptr_from_skb", "bpf_dynptr_from_xdp", "bpf_dynptr_slice_rdwr"], &[ChangesPackets]),
    (&["bpf_sock_addr_set_sun_path", "bpf_sock_ops_enable_tx_tstamp"], &[ChangesSettings]),
    // Critical sections and references.
    (&[
        "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_task_acquire", "bpf_task_release",
        "bpf_task_from_pid", "bpf_task_from_vpid", "bpf_task_under_cgroup", "bpf_task_get_cgroup1",
        "bpf_cgroup_acquire", "bpf_cgroup_release", "bpf_cgroup_ancestor", "bpf_cgroup_from_id",
        "bpf_cpumask_*", "bpf_get_task_exe_file", "bpf_put_file", "bpf_get_kmem_cache",
        "bpf_session_is_return", "bpf_session_cookie", "bpf_throw",
    ], &[]),
    // Memory of the program itself.
    (&[
        "bpf_iter_*", "bpf_obj_new_impl", "bpf_obj_drop_impl", "bpf_percpu_obj_new_impl",
        "bpf_percpu_obj_drop_impl", "bpf_refcount_acquire_impl", "bpf_list_*", "bpf_rbtree_*",
        "bpf_dynptr_adjust", "bpf_dynptr_is_null", "bpf_dynptr_is_rdonly", "bpf_dynptr_size",
        "bpf_dynptr_clone", "bpf_dynptr_slice", "bpf_map_sum_elem_count", "bpf_str*",
    ], &[]),
    // Reading of kernel data.
    (&[
        "bpf_cast_to_kern_ctx", "bpf_rdonly_cast", "bpf_path_d_path", "bpf_get_file_xattr",
        "bpf_get_dentry_xattr", "bpf_get_fsverity_digest", "bpf_probe_read_kernel_dynptr",
        "bpf_probe_read_kernel_str_dynptr",
    ], &[ReadsKernelMemory]),
];

/// What a helper does. `name` is its name in C; `None` if ecli does not know the number.
pub(crate) fn of_helper(name: Option<&str>) -> &'static [Effect] {
    let Some(name) = name.and_then(|name| name.strip_prefix("bpf_")) else {
        return &[MayChangeKernel];
    };
    let row = HELPERS.iter().find(|(names, _)| names.contains(&name));
    row.map_or(&[], |(_, effects)| effects)
}

/// What a kfunc does.
pub(crate) fn of_kfunc(name: &str) -> &'static [Effect] {
    let fits = |known: &&str| match known.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == *known,
    };
    let row = KFUNCS.iter().find(|(names, _)| names.iter().any(fits));
    row.map_or(&[MayChangeKernel], |(_, effects)| effects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpfpack_schemas::object::helpers;

    #[test]
    fn helpers_have_effects() {
        assert_eq!(of_helper(Some("bpf_send_signal")), [SendsSignals]);
        assert_eq!(of_helper(Some("bpf_xdp_adjust_tail")), [ChangesPackets]);
        assert_eq!(of_helper(Some("bpf_map_lookup_elem")), []);
        assert_eq!(of_helper(None), [MayChangeKernel]);
    }

    #[test]
    fn names_in_the_table_are_helpers_and_each_is_there_once() {
        let known: Vec<String> = (1..212).filter_map(helpers::name).collect();
        let mut names: Vec<&str> = HELPERS.iter().flat_map(|(names, _)| *names).copied().collect();
        for name in &names {
            assert!(known.contains(&format!("bpf_{name}")), "{name}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        // Every helper whose name says that it changes something is in the table.
        for name in known.iter().map(|name| &name[4..]) {
            let changes = ["redirect", "store", "adjust", "change", "override", "signal"];
            if changes.iter().any(|word| name.contains(word)) {
                assert!(names.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn kfuncs_that_are_not_known_may_do_anything() {
        assert_eq!(of_kfunc("bpf_rcu_read_lock"), []);
        assert_eq!(of_kfunc("bpf_iter_num_new"), []);
        assert_eq!(of_kfunc("scx_bpf_dsq_insert"), [Schedules]);
        assert_eq!(of_kfunc("bpf_skb_ct_lookup"), []);
        assert_eq!(of_kfunc("bpf_skb_set_fou_encap"), [ChangesPackets]);
        assert_eq!(of_kfunc("bpf_task_acquire_not_gpl"), [MayChangeKernel]);
        assert_eq!(of_kfunc("bpf_sock_destroy"), [MayChangeKernel]);
    }
}
