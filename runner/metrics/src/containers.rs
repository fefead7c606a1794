// SPDX-License-Identifier: MIT
//! Containers and pods of cgroups: their IDs from the paths of cgroups, their names from the files
//! that the kubelet keeps on each node. No server is asked.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bpfpack_render::container_id;

/// Links to the logs of containers, by names that the kubelet gives:
/// `POD_NAMESPACE_CONTAINER-ID.log`.
const LOGS: &str = "/var/log/containers";

/// The minimum time between two looks at the directory.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// What is known of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The ID that its runtime gave it.
    Id,
    /// The UID of its pod.
    PodUid,
    /// The namespace of its pod.
    Namespace,
    /// The name of its pod.
    Pod,
    /// Its name in the pod.
    Name,
}

impl Part {
    /// All parts with the names of their labels.
    pub(crate) const ALL: [(Part, &str); 5] = [
        (Part::Id, "container_id"),
        (Part::PodUid, "pod_uid"),
        (Part::Namespace, "namespace"),
        (Part::Pod, "pod"),
        (Part::Name, "container"),
    ];
}

/// The names of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Named {
    namespace: String,
    pod: String,
    name: String,
}

/// The containers of this machine.
#[derive(Debug)]
pub(crate) struct Containers {
    logs: PathBuf,
    by_id: HashMap<String, Named>,
    /// Whether the directory exists: this machine is a node of a cluster.
    is_node: bool,
    /// When the next look at the directory is allowed.
    next: Option<Instant>,
}

impl Default for Containers {
    fn default() -> Containers {
        Containers { logs: LOGS.into(), by_id: HashMap::new(), is_node: false, next: None }
    }
}

impl Containers {
    /// A part of the container of a cgroup; empty if the cgroup is of no container, or if it is not
    /// known.
    pub(crate) fn find(&mut self, path: &str, part: Part) -> String {
        match part {
            Part::Id => id(path).unwrap_or_default().to_owned(),
            Part::PodUid => pod_uid(path).unwrap_or_default(),
            Part::Namespace => self.named(path, |named| &named.namespace),
            Part::Pod => self.named(path, |named| &named.pod),
            Part::Name => self.named(path, |named| &named.name),
        }
    }

    /// Whether the names of a cgroup's container are not known yet: the kubelet makes its files some
    /// time after a container has started.
    pub(crate) fn is_pending(&self, path: &str) -> bool {
        self.is_node && id(path).is_some_and(|id| !self.by_id.contains_key(id))
    }

    fn named(&mut self, path: &str, part: impl Fn(&Named) -> &str) -> String {
        let Some(id) = id(path) else { return String::new() };
        if !self.by_id.contains_key(id) {
            self.look();
        }
        self.by_id.get(id).map(|named| part(named).to_owned()).unwrap_or_default()
    }

    fn look(&mut self) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + PAUSE);
        self.by_id.clear();
        self.is_node = self.logs.is_dir();
        for entry in fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            if let Some((id, named)) = entry.file_name().to_str().and_then(of_log) {
                self.by_id.insert(id, named);
            }
        }
    }
}

/// The ID of the innermost container in a path.
fn id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(container_id)
}

/// The UID of the pod in a path: `pod` and a UUID, in which systemd has `_` for `-`.
fn pod_uid(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|name| {
        let name = name.strip_suffix(".slice").unwrap_or(name);
        let uid = name.rsplit_once("pod")?.1.replace('_', "-");
        let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_uid.then_some(uid)
    })
}

/// ID and names in the name of a log. Names of pods, namespaces and containers have no `_`.
fn of_log(name: &str) -> Option<(String, Named)> {
    let (rest, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = rest.splitn(3, '_');
    let mut next = || parts.next().map(str::to_owned);
    let (pod, namespace, name) = (next()?, next()?, next()?);
    Some((id.to_owned(), Named { namespace, pod, name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9";
    const UID: &str = "0b7d4ac8-2f0e-4c8f-9a53-6d1c33a1f0aa";

    #[test]
    fn paths_have_ids() {
        let systemd = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/\
             cri-containerd-{ID}.scope",
            UID.replace('-', "_")
        );
        let plain = format!("/kubepods/burstable/pod{UID}/{ID}");
        for path in [systemd, plain] {
            assert_eq!((id(&path), pod_uid(&path).as_deref()), (Some(ID), Some(UID)), "{path}");
        }
        let docker = format!("/system.slice/docker-{ID}.scope/init");
        assert_eq!((id(&docker), pod_uid(&docker)), (Some(ID), None));
        assert_eq!((id("/system.slice/cron.service"), pod_uid("/podium.slice")), (None, None));
    }

    #[test]
    fn names_are_those_of_logs() {
        let logs = std::env::temp_dir().join(format!("containers-{}", std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join(format!("web-5d4f_shop_nginx-{ID}.log")), "").unwrap();
        fs::write(logs.join("other.log"), "").unwrap();
        let mut containers = Containers { logs: logs.clone(), ..Containers::default() };
        let path = format!("/kubepods/burstable/pod{UID}/{ID}");
        let mut all = |path: &str| Part::ALL.map(|(part, _)| containers.find(path, part));
        assert_eq!(all(&path), [ID, UID, "shop", "web-5d4f", "nginx"]);
        assert_eq!(all("/user.slice"), [""; 5]);
        let new = format!("/kubepods/pod{UID}/{}", ID.replace('4', "5"));
        assert!(containers.is_pending(&new) && !containers.is_pending(&path));
        fs::remove_dir_all(logs).unwrap();
    }
}
