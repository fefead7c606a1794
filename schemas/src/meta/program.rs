// SPDX-License-Identifier: MIT
//! A program of a package, and annotations for attaching certain program types.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A program.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgMeta {
    /// The function's name.
    pub name: String,
    /// Its section, which names the attach point: `tp/sched/sched_switch`.
    pub attach: String,
    /// Whether attaching creates a link. Packers always write true.
    #[serde(default = "super::yes")]
    pub link: bool,
    /// bpfpack: `true`: the program is loaded instead of its alternatives. `false`: it is loaded
    /// only if the user names it. Absent: it is loaded unless the kernel supports a better
    /// alternative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoload: Option<bool>,
    /// bpfpack: `true`: if the kernel does not load or attach the program, it is omitted with a
    /// warning. Absent: that is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// bpfpack: how often per second a program in the section `perf_event` runs on each CPU. 49
    /// when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency: Option<u64>,
    /// How certain program types are attached, and unknown keys.
    #[serde(flatten)]
    pub annotations: ProgAnnotations,
}

/// Annotations of a program, by their wire names.
///
/// A value of the wrong type is not an error, as in other loaders: it is kept in `other`, and the
/// key counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgAnnotations {
    /// XDP: the index of the interface to attach to. 1, the loopback interface, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<i32>,
    /// XDP: flags of the attachment, `XDP_FLAGS_*` of the kernel. 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<i64>,
    /// XDP: further options. Unused by bpfpack, which attaches with a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdpopts: Option<XdpOptions>,
    /// TC: the attach point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tchook: Option<TcHook>,
    /// TC: the position among the programs at the attach point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcopts: Option<TcOptions>,
    /// Unknown keys, and known ones whose value has another type, are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Options for attaching an XDP program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct XdpOptions {
    /// File descriptor of the program to replace. 0 when absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_prog_fd: Option<i32>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The attach point of a TC program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TcHook {
    /// The index of the interface. 1, the loopback interface, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<i32>,
    /// The direction of the packets. `BPF_TC_INGRESS` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_point: Option<TcAttachPoint>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The direction of packets, as named in libbpf's `enum bpf_tc_attach_point`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TcAttachPoint {
    /// Incoming packets.
    #[default]
    #[serde(rename = "BPF_TC_INGRESS")]
    Ingress,
    /// Outgoing packets.
    #[serde(rename = "BPF_TC_EGRESS")]
    Egress,
    /// Packets of another queueing discipline.
    #[serde(rename = "BPF_TC_CUSTOM")]
    Custom,
}

/// The position of a TC program among those of its hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TcOptions {
    /// The handle of the filter. When absent, the kernel chooses it; other loaders use 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<u32>,
    /// The priority of the filter; lower ones run first. Absent: as for `handle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ProgAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ProgAnnotations, D::Error> {
        Map::deserialize(deserializer).map(ProgAnnotations::from)
    }
}

impl From<Map<String, Value>> for ProgAnnotations {
    fn from(mut other: Map<String, Value>) -> ProgAnnotations {
        ProgAnnotations {
            ifindex: take(&mut other, "ifindex"),
            flags: take(&mut other, "flags"),
            xdpopts: take(&mut other, "xdpopts"),
            tchook: take(&mut other, "tchook"),
            tcopts: take(&mut other, "tcopts"),
            other,
        }
    }
}

/// Takes the value of a key if it has the type and serializes to the same JSON.
fn take<T: DeserializeOwned + Serialize>(keys: &mut Map<String, Value>, key: &str) -> Option<T> {
    let value = keys.get(key)?;
    let typed = T::deserialize(value).ok()?;
    if serde_json::to_value(&typed).ok()? != *value {
        return None;
    }
    keys.shift_remove(key);
    Some(typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn program(annotations: &Value) -> ProgMeta {
        let mut json = json!({"name": "p", "attach": "xdp", "link": true});
        json.as_object_mut().unwrap().extend(annotations.as_object().unwrap().clone());
        let program: ProgMeta = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&program).unwrap(), json, "written as it was read");
        program
    }

    #[test]
    fn annotations_have_types() {
        let program = program(&json!({
            "title": "two words", "ifindex": 2, "flags": 1, "xdpopts": {"old_prog_fd": 0},
            "tchook": {"ifindex": 3, "attach_point": "BPF_TC_EGRESS", "parent": 7},
            "tcopts": {"handle": 1, "priority": 5}
        }));
        let annotations = program.annotations;
        assert_eq!((annotations.ifindex, annotations.flags), (Some(2), Some(1)));
        assert_eq!(annotations.xdpopts.unwrap().old_prog_fd, Some(0));
        let hook = annotations.tchook.unwrap();
        assert_eq!((hook.ifindex, hook.attach_point), (Some(3), Some(TcAttachPoint::Egress)));
        assert_eq!(hook.other["parent"], json!(7));
        let options = annotations.tcopts.unwrap();
        assert_eq!((options.handle, options.priority), (Some(1), Some(5)));
        assert_eq!(annotations.other, Map::from_iter([("title".into(), json!("two words"))]));
    }

    #[test]
    fn a_value_of_another_type_is_kept_and_counts_as_absent() {
        for (key, value) in [
            ("ifindex", json!("eth0")),
            ("ifindex", json!(null)),
            ("ifindex", json!(1u64 << 40)),
            ("flags", json!(true)),
            ("flags", json!(1.0)),
            ("flags", json!(u64::MAX)),
            ("xdpopts", json!(0)),
            ("xdpopts", json!({"old_prog_fd": null})),
            ("tchook", json!({"attach_point": "BPF_TC_SIDEWAYS"})),
            ("tcopts", json!([1, 1])),
            ("tcopts", json!({"handle": -1})),
        ] {
            let annotations = program(&json!({key: value})).annotations;
            let other = Map::from_iter([(key.to_owned(), value)]);
            assert_eq!(annotations, ProgAnnotations { other, ..Default::default() });
        }
        let flags = program(&json!({"flags": -1})).annotations.flags;
        assert_eq!(flags, Some(-1), "loaders refuse it");
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_counts() {
        let text = r#"{"name": "p", "attach": "xdp", "b": 1, "flags": "x", "a": 2, "flags": 1}"#;
        let program: ProgMeta = serde_json::from_str(text).unwrap();
        assert_eq!(program.annotations.flags, Some(1));
        let keys: Vec<_> = program.annotations.other.keys().collect();
        assert_eq!(keys, ["b", "a"]);
    }
}
